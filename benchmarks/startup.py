"""Start-up: ``python benchmarks/startup.py`` measures what passes before anything trains.

``notafluke --help`` beside ``python -c pass``; ``snakemake -n`` on the demo, in a fresh checkout and with a cached
plan, beside ``snakemake -n`` on an empty Snakefile; a training job up to its first step beside ``import
pytorch_lightning``; and what each further cell of that job costs beyond its training. They take turns. It writes
``benchmarks/results/performance/startup.json`` and its section of ``docs/performance.md``. ``--quick`` repeats less and
prints only.

Example: python benchmarks/startup.py --quick
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from measuring import Ratio, Spread, quotients, store
from pages import BENCHMARKS, CACHE, markdown_table

PART = "startup"
ROOT = BENCHMARKS.parent
FOLDER = CACHE / PART
PROJECT, EMPTY, MARKS = FOLDER / "project", FOLDER / "empty", FOLDER / "marks.txt"
BIN = Path(sys.executable).parent
SEEDS = 10
OVERRIDES = f"seed=range(0,{SEEDS}) tasks.adding.trainer.max_epochs=1"
TARGETS = {"help": 0.3, "cached": 4.0, "first step": 1.5}
"""Seconds at most."""


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and of the processor."""

    seconds: float
    processor: float


@dataclass(frozen=True)
class Job:
    """A training job: up to its first step, from there back to the end of Lightning's import, each further cell."""

    start: Cost
    first_step: Cost
    telling: Cost
    further: list[Cost]


@dataclass
class Measured:
    """The costs of each command, and the training jobs."""

    costs: dict[str, list[Cost]] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)

    def seconds(self, name: str) -> Spread:
        """Seconds of a command."""
        return Spread.of([own.seconds for own in self.costs[name]])


def environment(**more: str) -> dict[str, str]:
    """This checkout's package and commands first."""
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src"), **more}


def cost(command: Sequence[str], folder: Path, **more: str) -> Cost:
    """What a process costs. Ends the program where it fails."""
    with (FOLDER / "output.txt").open("w", encoding="utf-8") as output:
        begin = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment(**more), stdout=output, stderr=output)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        told = (FOLDER / "output.txt").read_text(encoding="utf-8")[-2000:]
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{told}")
    return Cost(seconds, used.ru_utime + used.ru_stime)


def prepare() -> None:
    """A fresh checkout's files, and an empty project; every module is compiled, as after an installation."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    EMPTY.mkdir(parents=True)
    (EMPTY / "Snakefile").touch()
    PROJECT.mkdir()
    for name in ("conf", "workflow", "profiles"):
        shutil.copytree(ROOT / name, PROJECT / name)
    shutil.copy(ROOT / "Snakefile", PROJECT)


def cells() -> list[str]:
    """The folders of the demo's cells on the adding problem, which needs no data."""
    code = (
        "import sys; from notafluke.workflow import plan_of; "
        "print(*(cell.folder for cell in plan_of('demo', sys.argv[1]).cells['adding'].values()), sep='\\n')"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, OVERRIDES],
        cwd=PROJECT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.split()


def train(folders: Sequence[str]) -> Job:
    """Train cells in one process, as a job of Snakemake does: the database of MLflow is there before."""
    shutil.rmtree(PROJECT / "results", ignore_errors=True)
    cost(["notafluke", "track", "init"], PROJECT)
    MARKS.unlink(missing_ok=True)
    begin = time.monotonic()
    path = os.pathsep.join(str(own) for own in (BENCHMARKS / "probe", ROOT / "src"))
    command = ["notafluke", "train-cells", "demo", f"--overrides={OVERRIDES}", *folders]
    cost(command, PROJECT, PYTHONPATH=path, STARTUP_MARKS=str(MARKS))
    return job_of(MARKS.read_text(encoding="utf-8"), begin)


def job_of(marks: str, begin: float) -> Job:
    """What the marks of a training process say, which began at a time of the monotonic clock."""
    lines = [line.split("\t") for line in marks.splitlines()]
    found = [(name, Cost(float(seconds), float(used))) for name, seconds, used in lines]
    first = {name: own for name, own in reversed(found)}
    imported, step = first["import pytorch_lightning:end"], first["step:begin"]
    told = [own for own in intervals(found, "telling") if own[1].seconds <= step.seconds]
    further = []
    for start, end in intervals(found, "cell")[1:]:
        inside = [own for own in found if start.seconds <= own[1].seconds <= end.seconds]
        training = minus(total(intervals(inside, "fit")), total(intervals(inside, "telling")))
        further.append(minus(minus(end, start), training))
    start = Cost(step.seconds - begin, step.processor)
    return Job(start, minus(step, imported), total(told), further)


def intervals(marks: Sequence[tuple[str, Cost]], what: str) -> list[tuple[Cost, Cost]]:
    """Begins and ends of something, in their order."""
    own = [(name, when) for name, when in marks if name.startswith(f"{what}:")]
    return [(begin, end) for (name, begin), (_, end) in pairwise(own) if name.endswith(":begin")]


def minus(one: Cost, other: Cost) -> Cost:
    """The difference."""
    return Cost(one.seconds - other.seconds, one.processor - other.processor)


def total(spans: Sequence[tuple[Cost, Cost]]) -> Cost:
    """What spans cost together."""
    costs = [minus(end, begin) for begin, end in spans]
    return Cost(sum(own.seconds for own in costs), sum(own.processor for own in costs))


def measure(repetitions: int, cells_of_job: int) -> Measured:
    """Measure every command in turns, after one turn that is not counted."""
    begun, found = time.monotonic(), Measured()
    prepare()
    folders = cells()[:cells_of_job]
    for turn in range(repetitions + 1):
        own: dict[str, list[Cost]] = {"pass": [], "help": []}
        for _ in range(3):
            own["pass"].append(cost([sys.executable, "-c", "pass"], EMPTY))
            own["help"].append(cost(["notafluke", "--help"], EMPTY))
        shutil.rmtree(PROJECT / ".snakemake", ignore_errors=True)
        shutil.rmtree(PROJECT / "results", ignore_errors=True)
        own["fresh"] = [cost(["snakemake", "-n"], PROJECT)]
        own["cached"] = [cost(["snakemake", "-n"], PROJECT)]
        own["empty"] = [cost(["snakemake", "-n", "--cores", "1"], EMPTY)]
        own["lightning"] = [cost([sys.executable, "-c", "import pytorch_lightning"], EMPTY)]
        if turn:
            for name, costs in own.items():
                found.costs.setdefault(name, []).extend(costs)
            found.jobs.append(train(folders))
        told = ", ".join(f"{name} {costs[-1].seconds:.2f}" for name, costs in own.items())
        print(f"{time.monotonic() - begun:6.1f} s  turn {turn} of {repetitions}: {told}", flush=True)
    return found


def ratios(found: Measured) -> list[Ratio]:
    """Every command against the least that it could cost, in seconds of the processor."""

    def used(name: str) -> list[float]:
        return [own.processor for own in found.costs[name]]

    starts = [own.start.processor for own in found.jobs]
    return [
        Ratio("`notafluke --help` / `python -c pass`", quotients(used("help"), used("pass")), at_most=True),
        Ratio("`snakemake -n` on the demo / on nothing", quotients(used("cached"), used("empty")), at_most=True),
        Ratio("the same in a fresh checkout", quotients(used("fresh"), used("empty")), at_most=True),
        Ratio(
            "training job up to its first step / `import pytorch_lightning`",
            quotients(starts, used("lightning")),
            at_most=True,
        ),
    ]


def quick_ratios() -> list[Ratio]:
    """The ratios of a reduced measurement, for the regression guard."""
    return ratios(measure(repetitions=2, cells_of_job=1))


def text(found: Measured) -> str:
    """The section of the page below the ratios."""
    jobs = found.jobs
    first = Spread.of([own.first_step.seconds for own in jobs])
    telling = Spread.of([own.telling.seconds for own in jobs])
    further = Spread.of([own.seconds for job in jobs for own in job.further])
    rows = [
        _row("`notafluke --help`", found.seconds("help"), TARGETS["help"]),
        _row("`python -c pass`", found.seconds("pass")),
        _row("`snakemake -n` on the demo, its plan in the cache", found.seconds("cached"), TARGETS["cached"]),
        _row("`snakemake -n` on the demo in a fresh checkout", found.seconds("fresh")),
        _row("`snakemake -n` on an empty Snakefile", found.seconds("empty")),
        _row("training job: up to its first step", Spread.of([own.start.seconds for own in jobs])),
        _row("`import pytorch_lightning`", found.seconds("lightning")),
        _row("training job: from the end of that import to its first step", first, TARGETS["first step"]),
        _row("of this: telling MLflow that it begins", telling),
        _row(f"each further cell of a job ({SEEDS} seeds), beyond its training", further),
        _row("the same by run", Spread(*(value / SEEDS for value in (further.median, further.low, further.high)))),
    ]
    header = {"what": ":--", "seconds, median (lowest-highest)": "--:", "target": "--:", "": ":--"}
    return "\n".join(
        [
            "Ratios are of the processor's seconds, which other work on the machine changes least; below are the "
            "clock's.",
            "",
            markdown_table(header, rows),
            "",
            f"{len(jobs)} turns of every command, one after another, after one that is not counted. A fresh checkout "
            "has no `.snakemake/`: every arm of the demo is tried once, and data are looked at. The training job is a "
            f"`notafluke train-cells` of {1 + len(jobs[0].further)} cells of the demo on `adding`, {SEEDS} seeds and "
            "one epoch each, with the live log, in one process. Its training is what Lightning's `fit` takes without "
            "the live log; the rest of a further cell is composing and trying its configuration, building, testing, "
            "recording and logging its runs. MLflow is imported before Lightning, so the way from there to the first "
            "step does not tell all; the row `up to its first step`, from the start of the process, does.",
        ]
    )


def _row(name: str, value: Spread, target: float | None = None) -> list[str]:
    if target is None:
        return [name, value.shown(2), "-", "-"]
    return [name, value.shown(2), f"under {target:g}", "met" if value.median < target else "missed"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and store what the standard measurement has found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, print only")
    given = parser.parse_args(arguments)
    found = measure(*((2, 2) if given.quick else (3, 4)))
    shown = text(found)
    print("\n".join(["", *(" | ".join(own.row()) for own in ratios(found)), "", shown]))
    if not given.quick:
        details: Mapping[str, Any] = {
            "commands": {name: [asdict(own) for own in costs] for name, costs in found.costs.items()},
            "jobs": [asdict(own) for own in found.jobs],
        }
        store(PART, ratios(found), details, shown)


if __name__ == "__main__":
    main()
