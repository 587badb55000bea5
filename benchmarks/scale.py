"""Studies of 100, 1,000 and 10,000 runs: what each stage costs apart from training, and how it grows.

Example: ``python benchmarks/scale.py`` measures all of it and writes its section of ``docs/performance.md`` and
``docs/figures/scale.svg``; ``python benchmarks/scale.py --quick`` measures 100 and 300 runs and stores nothing.

A trainer that only draws numbers (``stub_trainer.py``) stands in for the engine; the rest is real: Hydra, dry pass,
Snakemake, records on the disk, tables, figures, MLflow.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib
import yaml
from matplotlib.figure import Figure
from measuring import Ratio, Spread, store
from pages import BENCHMARKS, CACHE, markdown_table

from notafluke.files import write_atomic
from notafluke.report.drawing import MARGIN, SMALL, WIDTH, Key, Page, plain
from notafluke.report.figures import RC, svg_bytes
from notafluke.report.style import INK, NEUTRAL, VERDICT_STYLES

REPOSITORY = BENCHMARKS.parent
FIGURE = REPOSITORY / "docs" / "figures" / "scale.svg"
STUDY = "scale"
SEEDS = 20
EPOCHS = 5
CORES = 2
LARGEST_SYNCHRONISED = 2_000
"""MLflow takes the longest of all, and longer studies tell nothing more of it."""
ACTIVATIONS = ("tanh", "iris", "golden_tanh", "relu", "gelu", "silu", "mish", "elu", "selu", "softsign")
GRADIENTS = ("clip_norm", "none", "clip_value", "scale_norm", "scale_norm_golden")
RATES = ("0.003", "0.001", "0.01", "0.03", "0.0003")
SWEEPS = {
    100: ((3, 1, 1), (2, 1, 1)),
    300: ((4, 1, 2), (7, 1, 1)),
    1_000: ((5, 1, 5), (5, 1, 5)),
    10_000: ((10, 5, 5), (10, 5, 5)),
}
"""How many activations, gradient rules and learning rates, all combined, on each of the two tasks."""
STAGES = {
    "plan": "plan and `snakemake -n` from nothing",
    "again": "`snakemake -n`, planned before",
    "runs": "the runs themselves, 2 cores",
    "nothing": "`snakemake`, nothing to do",
    "tables": "tables and figures, `notafluke decide`",
    "mlflow": "MLflow, `notafluke track sync`",
}
LIMITS = {"plan": 30.0, "nothing": 30.0, "tables": 60.0}
"""Seconds that 10,000 runs may take."""
LINEAR = 1.1
"""The largest exponent of growth that counts as linear."""


@dataclass(frozen=True)
class Cost:
    """What a command took: wall and processor seconds, its children included, and its own peak memory in GiB.

    ``runs`` are those that it was about, or the entries of MLflow.
    """

    runs: int
    wall: float
    processor: float
    memory: float


def measured(command: Sequence[str], project: Path, runs: int, wanted: str = "") -> Cost:
    """Run a command in a project. Ends the benchmark where it fails, or does not say what is wanted."""
    environment = {**os.environ, "PATH": f"{project / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(REPOSITORY / "src")
    log = project / "benchmark.log"
    began = time.perf_counter()
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=project, env=environment, stdout=file, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    said = log.read_text(encoding="utf-8", errors="replace")
    if process.returncode or wanted not in said:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{said[-3000:]}")
    unit = 2**30 if sys.platform == "darwin" else 2**20
    return Cost(runs, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def build_project(runs: int) -> Path:
    """A project of its own with a study of so many runs, no result yet, and the stub in place of the engine."""
    project = CACHE / "scale" / str(runs)
    project.mkdir(parents=True)
    for name in ("conf", "workflow", "profiles"):
        shutil.copytree(REPOSITORY / name, project / name)
    shutil.copy(REPOSITORY / "Snakefile", project)
    adding, lotto = (_sweep(*counts) for counts in SWEEPS[runs])
    study = {
        "title": f"A study of {runs} runs",
        "factorial": True,
        "control": {
            "model.hidden_size": 4,
            "optimizer": "sgd",
            "optimizer.lr": float(RATES[0]),
            "trainer.max_epochs": EPOCHS,
        },
        "tasks": {"adding": {**adding, "task.length": 10}, "lotto": lotto},
        "sweep": {"seed": f"range(0,{SEEDS})"},
        "claims": {"iris": {"sentence": "Iris beats tanh", "treatment": "activation=iris", "sesoi": "2%"}},
    }
    (project / "conf" / "study" / f"{STUDY}.yaml").write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    # MLflow is measured apart from the runs.
    config = project / "conf" / "config.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("tracking: true", "tracking: false"), encoding="utf-8")
    command = project / "bin" / "notafluke"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{BENCHMARKS / "stub_trainer.py"}" "$@"\n')
    command.chmod(0o755)
    return project


def _sweep(activations: int, gradients: int, rates: int) -> dict[str, Any]:
    size = {"task.train_size": 64, "task.validation_size": 32, "task.test_size": 32}
    return {
        "activation": ",".join(ACTIVATIONS[:activations]),
        "gradient": ",".join(GRADIENTS[:gradients]),
        "optimizer.lr": ",".join(RATES[:rates]),
        **size,
    }


def measure(runs: int) -> dict[str, Cost]:
    """What each stage of a study of so many runs costs."""
    project = build_project(runs)
    snakemake = [sys.executable, "-m", "snakemake"]
    study = ["--config", f"study={STUDY}"]
    started = [*snakemake, "--cores", str(CORES)]
    some = min(runs, LARGEST_SYNCHRONISED)
    overrides = ["--overrides", f"seed=range(0,{SEEDS * some // runs})"] if some < runs else []
    # The first synchronisation of some runs finds a plan of theirs.
    commands = {
        "plan": ([*snakemake, "-n", *study], runs, "This was a dry-run"),
        "again": ([*snakemake, "-n", *study], runs, "This was a dry-run"),
        "runs": ([*started, "--omit-from", "decide", *study], runs, ""),
        "tables": (["notafluke", "decide", STUDY], runs, ""),
        "nothing": ([*started, *study], runs, "Nothing to be done"),
        "init": (["notafluke", "track", "init"], 0, ""),
        "found": (["notafluke", "plan", STUDY, *overrides], some, ""),
        # MLflow has an entry for each cell as well.
        "mlflow": (["notafluke", "track", "sync", STUDY, *overrides], some + runs // SEEDS, f"{some} runs added"),
    }
    found = {}
    for stage, (command, counted, wanted) in commands.items():
        found[stage] = cost = measured(command, project, counted, wanted)
        said = f"{cost.wall:.1f} s, {cost.processor:.1f} s of processor, {cost.memory:.2f} GiB"
        print(f"{runs:>6} runs: {STAGES.get(stage, stage)}: {said}", flush=True)
    return {stage: found[stage] for stage in STAGES}


def exponent(costs: Sequence[Cost]) -> float:
    """Of the growth of the processor time, which other work does not disturb, between the two largest studies."""
    smaller, larger = costs[-2:]
    return math.log(larger.processor / smaller.processor) / math.log(larger.runs / smaller.runs)


def ratios_of(found: Mapping[int, Mapping[str, Cost]]) -> list[Ratio]:
    """The seconds and the memory of the largest study as shares of their limits, and how each stage grows."""
    largest = max(found)
    own = found[largest]
    ratios = [
        Ratio(
            f"{STAGES[stage]}: seconds of {largest:,} runs / {limit:g}", _one(own[stage].wall / limit), 1.0, True, False
        )
        for stage, limit in LIMITS.items()
    ]
    ratios.append(
        Ratio(f"{STAGES['plan']}: peak memory of {largest:,} runs / 1 GiB", _one(own["plan"].memory), 1.0, True)
    )
    growth = {stage: exponent([costs[stage] for costs in found.values()]) for stage in STAGES}
    ratios += [Ratio(f"{STAGES[stage]}: exponent of growth", _one(own), LINEAR, True) for stage, own in growth.items()]
    return ratios


def _one(value: float) -> Spread:
    return Spread.of([value])


def table_of(found: Mapping[int, Mapping[str, Cost]]) -> str:
    """Seconds of each stage, with the milliseconds a run of the largest study."""
    header = {"stage": ":--", **{f"{runs:,} runs": "--:" for runs in found}, "ms a run or entry, largest": "--:"}
    rows = []
    for stage, name in STAGES.items():
        costs = [own[stage] for own in found.values()]
        seconds = [
            f"{own.wall:.1f} s" + (f" ({own.runs:,} entries)" if own.runs != runs else "")
            for runs, own in zip(found, costs, strict=True)
        ]
        rows.append([name, *seconds, f"{1000 * costs[-1].wall / costs[-1].runs:.1f}"])
    return markdown_table(header, rows)


def text_of(found: Mapping[int, Mapping[str, Cost]]) -> str:
    """The section of the page below its ratios."""
    cells = {runs: runs // SEEDS for runs in found}
    largest = max(found)
    sizes = ", ".join(f"{runs:,} ({own} cells)" for runs, own in cells.items())
    return (
        f"Studies of {sizes} runs, {SEEDS} seeds a cell, on two tasks, of {EPOCHS} epochs. A stub draws numbers in "
        "place of training; the plan, the dry pass, Snakemake, the records on the disk, tables, figures and MLflow are "
        "the real ones. Measured once each, in wall time from the start of a process to its end. The exponent of "
        "growth is that of the processor time between the two largest studies: 1 is linear, and what every process "
        "costs makes it smaller.\n\n"
        f"{table_of(found)}\n\n"
        "![Seconds of each stage against the number of runs](figures/scale.svg)\n\n"
        "MLflow has an entry for each run and for each cell; of the largest study "
        f"{LARGEST_SYNCHRONISED:,} runs are sent, some seeds of each cell. It gets the entries of a cell in one "
        "transaction, each with one `log_batch`. The live log of a training, which sends the epochs that came together "
        "as one `log_batch`, is switched off here; it is part of what is "
        f"measured against other tools above. Peak memory of the plan of {largest:,} runs: "
        f"{found[largest]['plan'].memory:.2f} GiB, torch included."
    )


def draw(found: Mapping[int, Mapping[str, Cost]]) -> Figure:
    """Seconds of each stage against the number of runs, log-log, with the line of linear growth."""
    looks = [own for own in VERDICT_STYLES.values() if own.filled] + [VERDICT_STYLES["underpowered"]]
    markers = ("o", "s", "^", "v", "D", "P")
    colours = [*dict.fromkeys(own.colour for own in looks), NEUTRAL]
    styles = {stage: (colours[number % len(colours)], markers[number]) for number, stage in enumerate(STAGES)}
    keys = [
        Key(STAGES[stage].replace("`", ""), {"color": colour, "marker": marker, "markersize": 4}, 0.3)
        for stage, (colour, marker) in styles.items()
    ]
    keys.append(Key("linear growth", {"color": NEUTRAL, "linestyle": ":"}, 0.3))
    with matplotlib.rc_context(RC):
        caption = (
            "A stub in place of training; all else is real. What a process costs anyway bends the lines on the left."
        )
        page, top = Page.headed("What runs cost apart from training", caption, keys, 3.4)
        axes = page.axes(MARGIN + 0.5, top, WIDTH - 2 * MARGIN - 0.6, 2.9)
        plain(axes)
        for stage, (colour, marker) in styles.items():
            costs = [own[stage] for own in found.values()]
            axes.plot(
                [own.runs for own in costs], [own.wall for own in costs], color=colour, marker=marker, markersize=4
            )
        runs = list(found)
        for start in (0.1, 1.0):
            axes.plot(runs, [start * own / runs[0] for own in runs], color=NEUTRAL, linestyle=":", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("runs", size=SMALL, color=INK)
        axes.set_ylabel("seconds", size=SMALL, color=INK)
        return page.figure


def main() -> None:
    """Measure, print and, unless it is to be quick, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100 and 300 runs; prints only")
    quick = parser.parse_args().quick
    shutil.rmtree(CACHE / "scale", ignore_errors=True)
    sizes = (100, 300) if quick else (100, 1_000, 10_000)
    found = {runs: measure(runs) for runs in sizes}
    ratios, text = ratios_of(found), text_of(found)
    for ratio in ratios:
        print(" | ".join(ratio.row()))
    print(table_of(found))
    if not quick:
        write_atomic(FIGURE, svg_bytes(draw(found)))
        details = {str(runs): {stage: asdict(own) for stage, own in costs.items()} for runs, costs in found.items()}
        store("scale", ratios, details, text)


if __name__ == "__main__":
    main()
