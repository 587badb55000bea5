"""Monte-Carlo calibration of the whole pipeline, from scores to verdicts: how often does it err, how much does it find?

``python benchmarks/calibration.py`` simulates studies, puts their scores through ``notafluke.claims.decide`` and writes
``benchmarks/results/calibration-*.csv`` and ``docs/calibration.md``. Every finished part is kept in
``benchmarks/.cache``, so an interrupted run continues; parts belong to the code they were computed with. The peers run
in virtual environments of their own, ``benchmarks/.venvs``. ``--quick`` tries everything out in a minute and writes to
``benchmarks/.cache/quick`` only.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import inspect
import json
import multiprocessing
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pages import BENCHMARKS, CACHE, PAGE, RESULTS, markdown_table, percent, share_columns, write_section
from scipy.stats import ttest_rel
from simulation import ALPHA, CORRELATION, DECLARED, SESOI, UNEQUAL, Setting, code_digest, pipeline

REPETITIONS = 2_000
PEERS = ("autorank", "rliable")
METHODS = ("notafluke", "paired t", *PEERS)
# A unit of work that is cached: short enough to lose little, long enough to be worth a file.
PARTS = {"small": 200, "large": 50}

# --- what is simulated ---------------------------------------------------------------------------------------------

# Three numbers of seeds, two of tasks, two of treatments and five distributions are 60 settings. In 8 of the 12 sizes
# Holm can be passed; they share 20, four of each distribution. In the other 4, one each, no error is possible.
# Together every distribution meets every number of seeds, of tasks and of treatments.
NULL = tuple(
    Setting(seeds, tasks, treatments, distribution)
    for (seeds, tasks, treatments), distributions in {
        (6, 1, 1): ("skewed", "failing"),
        (10, 1, 1): ("normal", "heavy-tailed", "tied"),
        (20, 1, 1): ("heavy-tailed", "tied", "failing"),
        (10, 8, 1): ("skewed", "failing"),
        (20, 8, 1): ("normal", "heavy-tailed", "tied"),
        (10, 1, 10): ("normal", "heavy-tailed"),
        (20, 1, 10): ("skewed", "tied", "failing"),
        (20, 8, 10): ("normal", "skewed"),
        (6, 8, 1): ("normal",),
        (6, 1, 10): ("heavy-tailed",),
        (6, 8, 10): ("tied",),
        (10, 8, 10): ("failing",),
    }.items()
    for distribution in distributions
)
# The most critical: the exact test can come close to its 5 % there (see ``Setting.reachable_level``). Each size of
# family at its best n, and all five distributions.
CRITICAL = (
    Setting(10, 1, 1, "heavy-tailed"),
    Setting(20, 1, 1, "tied"),
    Setting(20, 1, 1, "failing"),
    Setting(20, 8, 1, "normal"),
    Setting(20, 1, 10, "skewed"),
    Setting(20, 8, 10, "normal"),
)
CRITICAL_FACTOR = 5
# Not a null of the test: equal means, but differences that are not symmetric.
BEYOND = tuple(Setting(seeds, distribution=UNEQUAL) for seeds in (6, 10, 20))

# The true effect is the SESOI itself; the SESOI is this many standard deviations of the difference.
EQUIVALENCE = tuple(Setting(seeds, effect=effect) for seeds in (6, 10, 20) for effect in (0.25, 0.5, 1.0, 2.0))

EFFECTS = (0.3, 0.5, 0.8, 1.0, 1.25, 1.5, 2.0)
CORRELATIONS = (CORRELATION, 0.0)
PEER_NULL = (
    *(Setting(n, 1, 1, kind) for kind in ("normal", "skewed", "heavy-tailed", "tied") for n in (6, 10, 20)),
    *(Setting(n, 1, 1, kind, correlation=0.0) for kind in ("normal", "skewed") for n in (6, 10, 20)),
    *(Setting(10, 8, 1, correlation=correlation) for correlation in CORRELATIONS),
)
PEER_POWER = (
    *(Setting(n, correlation=rho, effect=effect) for rho in CORRELATIONS for n in (10, 20) for effect in EFFECTS),
    *(Setting(10, 8, correlation=rho, effect=effect) for rho in CORRELATIONS for effect in (0.5, 1.0)),
)


@dataclass(frozen=True)
class Part:
    """Repetitions ``start`` to ``stop`` of a setting, decided by one method."""

    method: str
    setting: Setting
    sesoi: float
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The part's file in the cache."""
        return f"{self.setting.name}-s{self.sesoi:g}/{self.start}-{self.stop}.json"


def parts(method: str, settings: Iterable[Setting], repetitions: int, sesoi: float | None = None) -> list[Part]:
    """Cut the repetitions of settings into parts; without ``sesoi`` it is half a standard deviation of a score."""
    found = []
    for setting in settings:
        size = PARTS["large" if setting.comparisons > 20 else "small"]
        for start in range(0, repetitions, size):
            own = SESOI if sesoi is None else sesoi
            found.append(Part(method, setting, own, start, min(start + size, repetitions)))
    return found


def compute(part: Part) -> dict[str, int]:
    """Count the outcomes of a part's repetitions."""
    if part.method in PEERS:
        return _peer(part)
    if part.method == "paired t":
        return dict(Counter(_paired_t(part.setting.scores(repetition)) for repetition in range(part.start, part.stop)))
    counts: Counter[str] = Counter()
    setting = part.setting
    decide = pipeline(setting.seeds, setting.tasks, setting.treatments, part.sesoi).decide
    for repetition in range(part.start, part.stop):
        rows = decide(setting.scores(repetition))
        verdicts = set(rows["verdict"])
        counts.update(f"any {verdict}" for verdict in verdicts)
        counts.update(f"all {verdict}" for verdict in verdicts if len(verdicts) == 1)
        counts["any declared"] += bool(verdicts & set(DECLARED))
        counts["any accepted equivalence"] += bool((rows["p_tost_holm"] <= ALPHA).any())
        counts["comparisons declared"] += int(rows["verdict"].isin(DECLARED).sum())
    return dict(counts)


def _paired_t(scores: np.ndarray) -> str:
    """Decide (tasks, arms, seeds) by the paired t-test of each task with Holm over the tasks; the pipeline's words."""
    differences = scores[:, 1] - scores[:, 0]
    p_values = np.atleast_1d(ttest_rel(scores[:, 1], scores[:, 0], axis=1).pvalue)
    smallest = int(np.nanargmin(p_values)) if not np.isnan(p_values).all() else 0
    if not p_values[smallest] <= ALPHA / len(p_values):
        return "none"
    return "better" if differences[smallest].mean() > 0 else "worse"


def _peer(part: Part) -> dict[str, int]:
    scores = np.stack([part.setting.scores(repetition) for repetition in range(part.start, part.stop)])
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "scores.npz", Path(folder) / "decisions.csv"
        np.savez(source, scores=scores)
        command = [str(environment(part.method)), str(BENCHMARKS / "peers" / f"run_{part.method}.py")]
        one_thread = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(
            [*command, str(source), str(target)], capture_output=True, text=True, check=False, env=one_thread
        )
        if done.returncode:
            raise RuntimeError(f"{part.method} failed: {done.stderr[-2000:]}")
        with target.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    counts = Counter(row["decision"] for row in rows)
    counts.update(f"by {row['test']}" for row in rows if "test" in row)
    return dict(counts)


# --- environments of the peers -------------------------------------------------------------------------------------


def environment(peer: str) -> Path:
    """The interpreter of a peer's virtual environment."""
    return BENCHMARKS / ".venvs" / peer / "bin" / "python"


def prepare(peer: str) -> None:
    """Make the peer's virtual environment unless its requirements are installed already."""
    requirements = BENCHMARKS / "peers" / f"{peer}.txt"
    stamp = environment(peer).parents[1] / "requirements.txt"
    if stamp.exists() and stamp.read_bytes() == requirements.read_bytes():
        return
    print(f"making the environment of {peer} ...", flush=True)
    shutil.rmtree(stamp.parent, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(stamp.parent)], check=True)
    subprocess.run([str(environment(peer)), "-m", "pip", "install", "-qq", "-r", str(requirements)], check=True)
    shutil.copyfile(requirements, stamp)


# --- run -----------------------------------------------------------------------------------------------------------


def cache_folder(method: str) -> Path:
    """Where a method's parts are kept: they belong to the code that decides and counts them."""
    counting = {"notafluke": (compute,), "paired t": (compute, _paired_t)}.get(method, (_peer,))
    texts = [inspect.getsource(function) for function in counting]
    if method in PEERS:
        texts += [file.read_text(encoding="utf-8") for file in sorted((BENCHMARKS / "peers").glob(f"*{method}*.*"))]
    digest = code_digest(*texts, pipeline=method == "notafluke")
    return CACHE / "calibration" / f"{method.replace(' ', '-')}-{digest}"


def run(wanted: Sequence[Part], workers: int) -> dict[Part, dict[str, int]]:
    """Compute the parts that the cache lacks, large ones first, and return the counts of all."""
    folders = {method: cache_folder(method) for method in {part.method for part in wanted}}
    files = {part: folders[part.method] / part.name for part in wanted}
    done = {part: json.loads(file.read_text()) for part, file in files.items() if file.exists()}
    missing = sorted(
        dict.fromkeys(part for part in wanted if part not in done),
        key=lambda part: -(part.stop - part.start) * part.setting.comparisons,
    )
    print(f"{len(done)} of {len(done) + len(missing)} parts are in the cache", flush=True)
    begin, shown = time.monotonic(), 0.0
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        for number, (part, counts) in enumerate(pool.imap_unordered(_computed, missing), 1):
            file = files[part]
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_suffix(".new")
            temporary.write_text(json.dumps(counts))
            temporary.replace(file)
            done[part] = counts
            if time.monotonic() - shown > 10 or number == len(missing):
                shown = time.monotonic()
                print(
                    f"{number} of {len(missing)} parts after {shown - begin:.0f} s: {part.method} {part.name}",
                    flush=True,
                )
    return done


def _computed(part: Part) -> tuple[Part, dict[str, int]]:
    return part, compute(part)


def total(done: dict[Part, dict[str, int]], wanted: Iterable[Part]) -> tuple[int, Counter[str]]:
    """Return the repetitions and the summed counts of parts."""
    repetitions, counts = 0, Counter[str]()
    for part in wanted:
        repetitions += part.stop - part.start
        counts.update(done[part])
    return repetitions, counts


@dataclass(frozen=True)
class Sizes:
    """How many repetitions each kind of simulation has."""

    null: int
    critical: int
    equivalence: int
    power: int
    rliable: int

    @classmethod
    def of(cls, repetitions: int) -> Sizes:
        """Derive all from the number for a null setting."""
        return cls(
            repetitions, CRITICAL_FACTOR * repetitions, repetitions, max(1, repetitions // 2), max(1, repetitions // 4)
        )

    def null_of(self, setting: Setting) -> int:
        """Repetitions of a null setting."""
        return self.critical if setting in CRITICAL else self.null

    def peer_of(self, method: str, setting: Setting) -> int:
        """Repetitions of a comparison with the peers; a bootstrap takes its time."""
        if method == "rliable":
            return self.rliable
        return self.power if setting.effect else self.null


def null_parts(setting: Setting, sizes: Sizes) -> list[Part]:
    return parts("notafluke", [setting], sizes.null_of(setting))


def equivalence_parts(setting: Setting, sizes: Sizes) -> list[Part]:
    return parts("notafluke", [setting], sizes.equivalence, sesoi=setting.effect * setting.difference_sd)


def peer_parts(method: str, setting: Setting, sizes: Sizes) -> list[Part]:
    return parts(method, [setting], sizes.peer_of(method, setting))


# --- tables --------------------------------------------------------------------------------------------------------


def _key(setting: Setting) -> dict[str, Any]:
    return {
        "seeds": setting.seeds,
        "tasks": setting.tasks,
        "treatments": setting.treatments,
        "distribution": setting.distribution,
        "correlation": setting.correlation,
        "d_z": setting.effect,
    }


def null_rows(done: dict[Part, dict[str, int]], settings: Sequence[Setting], sizes: Sizes) -> list[dict[str, Any]]:
    """Family-wise error of the pipeline, a row for each setting."""
    rows = []
    for setting in settings:
        repetitions, counts = total(done, null_parts(setting, sizes))
        rows.append(
            _key(setting)
            | {"m": setting.comparisons, "reachable": setting.reachable_level(), "repetitions": repetitions}
            | {"errors": counts["any declared"]}
            | share_columns(counts["any declared"], repetitions, ALPHA)
            | {f"any_{word}": counts[f"any {word}"] for word in DECLARED}
            | {"comparisons_declared": counts["comparisons declared"]}
            | {"all_cannot_decide": counts["all cannot decide"]}
        )
    return rows


def equivalence_rows(done: dict[Part, dict[str, int]], sizes: Sizes) -> list[dict[str, Any]]:
    """Share of ``equivalent`` at an effect of one SESOI, and of the equivalence test that accepts."""
    rows = []
    for setting in EQUIVALENCE:
        repetitions, counts = total(done, equivalence_parts(setting, sizes))
        row = _key(setting) | {"sesoi": setting.effect * setting.difference_sd, "repetitions": repetitions}
        row |= {"equivalent": counts["any equivalent"]} | share_columns(counts["any equivalent"], repetitions, ALPHA)
        accepted = counts["any accepted equivalence"]
        row |= {"accepted": accepted}
        row |= {f"accepted_{name}": value for name, value in share_columns(accepted, repetitions, ALPHA).items()}
        rows.append(row)
    return rows


def peer_rows(done: dict[Part, dict[str, int]], settings: Sequence[Setting], sizes: Sizes) -> list[dict[str, Any]]:
    """Decisions of the pipeline and of its peers on the same scores."""
    rows = []
    for setting in settings:
        for method in METHODS:
            repetitions, counts = total(done, peer_parts(method, setting, sizes))
            if method == "notafluke":
                better, declared = counts["any better"], counts["any declared"]
            else:
                better, declared = counts["better"], counts["better"] + counts["worse"]
            count, level = (better, None) if setting.effect else (declared, ALPHA)
            tests = {name.removeprefix("by "): number for name, number in counts.items() if name.startswith("by ")}
            rows.append(
                _key(setting)
                | {"method": method, "repetitions": repetitions, "better": better, "declared": declared}
                | {"z": "", "p_above": ""}
                | share_columns(count, repetitions, level)
                | {"tests": " ".join(f"{name}:{tests[name]}" for name in sorted(tests))}
            )
    return rows


def write_csv(file: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows; shares with six digits, so that the file is small and reads well."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})


# --- the page ------------------------------------------------------------------------------------------------------


def _interval(row: dict[str, Any], prefix: str = "") -> str:
    share, low, high = (row[f"{prefix}{name}"] for name in ("share", "low", "high"))
    return f"{percent(share)} [{percent(low)}, {percent(high)}]"


def null_section(rows: list[dict[str, Any]]) -> str:
    """The table of error rates, and what it says."""
    header = dict.fromkeys(("seeds", "tasks", "treatments"), "--:") | {"scores": ":--"}
    header |= dict.fromkeys(("reachable %", "repetitions", "errors", "error % [95 %]", "z", "p"), "--:")
    table = markdown_table(
        header,
        [
            [
                *(str(row[name]) for name in ("seeds", "tasks", "treatments", "distribution")),
                percent(row["reachable"]),
                f"{row['repetitions']:,}",
                str(row["errors"]),
                _interval(row) if row["reachable"] else "0 by design",
                f"{row['z']:+.1f}",
                f"{row['p_above']:.3f}",
            ]
            for row in rows
        ],
    )
    tried = [row for row in rows if row["reachable"]]
    above = [row for row in tried if row["p_above"] <= ALPHA / len(tried)]
    worst = max(tried, key=lambda row: row["share"])
    errors, repetitions = sum(row["errors"] for row in rows), sum(row["repetitions"] for row in rows)
    words = {word: sum(row[f"any_{word}"] for row in rows) for word in DECLARED}
    verdict = (
        f"**{len(above)} of them lie above 5 % by more than chance**"
        if above
        else "None of them lies above 5 % by more than chance"
    )
    undecided = all(row["all_cannot_decide"] == row["repetitions"] for row in rows if not row["reachable"])
    text = (
        f"{verdict} (exact one-sided binomial test, Bonferroni over the {len(tried)} settings in which an error is "
        f"possible). The highest rate is {_interval(worst)} %: {worst['seeds']} seeds, {worst['tasks']} task(s), "
        f"{worst['treatments']} treatment(s), {worst['distribution']} scores. Over all {repetitions:,} studies "
        f"{errors:,} made an error; `better` stood in {words['better']:,} of them, `worse` in {words['worse']:,}, "
        f'`mixed` in {words["mixed"]:,}. In the {len(rows) - len(tried)} settings marked "by design" so few seeds '
        f"cannot pass Holm: {'every' if undecided else '**not every**'} row of every study was `cannot decide`."
    )
    return f"{table}\n\n{text}"


def beyond_section(done: dict[Part, dict[str, int]], rows: list[dict[str, Any]], sizes: Sizes) -> str:
    """The table of what is not a null of the test, with the t-test beside it."""
    header = dict.fromkeys(("seeds", "repetitions", "declared % [95 %]", "better", "worse", "mixed"), "--:")
    header |= {"paired t % [95 %]": "--:"}
    cells = []
    for row, setting in zip(rows, BEYOND, strict=True):
        repetitions, counts = total(done, parts("paired t", [setting], sizes.null))
        of_t = share_columns(counts["better"] + counts["worse"], repetitions)
        words = [str(row[f"any_{word}"]) for word in DECLARED]
        cells.append([str(row["seeds"]), f"{row['repetitions']:,}", _interval(row), *words, _interval(of_t)])
    return markdown_table(header, cells)


def equivalence_section(rows: list[dict[str, Any]]) -> str:
    """The table of false equivalence."""
    header = dict.fromkeys(
        ("seeds", "SESOI = effect (d_z)", "repetitions", "`equivalent` % [95 %]", "test accepts % [95 %]", "p"), "--:"
    )
    cells = [
        [
            str(row["seeds"]),
            f"{row['d_z']:g}",
            f"{row['repetitions']:,}",
            _interval(row),
            _interval(row, "accepted_"),
            f"{row['accepted_p_above']:.3f}",
        ]
        for row in rows
    ]
    above = sum(row["accepted_p_above"] <= ALPHA / len(rows) for row in rows)
    found = "None is" if not above else f"**{above} are**"
    return f"{markdown_table(header, cells)}\n\n{found} above 5 % by more than chance (Bonferroni over the table)."


def peer_section(rows: list[dict[str, Any]], null: bool) -> str:
    """A table with a column for each method."""
    header = dict.fromkeys(("correlation", "seeds", "tasks"), "--:")
    header |= {"scores": ":--"} if null else {"d_z": "--:"}
    header |= dict.fromkeys((f"{method} %" for method in METHODS), "--:")
    by_setting: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("correlation", "seeds", "tasks", "distribution", "d_z"))
        by_setting.setdefault(key, {})[row["method"]] = row
    cells = []
    for (correlation, seeds, tasks, distribution, effect), found in by_setting.items():
        shares = []
        for method in METHODS:
            row = found[method]
            above = null and row["p_above"] <= 0.001
            shares.append(f"**{percent(row['share'])}**" if above else percent(row["share"]))
        cells.append([f"{correlation:g}", str(seeds), str(tasks), distribution if null else f"{effect:g}", *shares])
    widths = {}
    for method in METHODS:
        largest = max((row["high"] - row["low"]) / 2 for row in rows if row["method"] == method)
        widths.setdefault(f"{100 * largest:.1f}", []).append(method)
    precision = ", ".join(f"{width} points ({', '.join(methods)})" for width, methods in widths.items())
    return f"{markdown_table(header, cells)}\n\nThe 95 % intervals reach at most {precision} to either side."


CALLS = {
    "notafluke": "`claims.decide(study, scores, baselines, planned)`, defaults: exact signed-rank, Holm, alpha 0.05",
    "paired t": "`scipy.stats.ttest_rel(treatment, control)` for each task, Holm over the tasks, p <= 0.05",
    "autorank": '`autorank(data, alpha=0.05, verbose=False, order="descending")`; rows of `data`: the seeds, with '
    "several tasks the tasks (means over seeds); significant where `pvalue < alpha`, better by the mean or median of "
    "`rankdf`",
    "rliable": '`rly.get_interval_estimates({"x,y": (x, y)}, probability_of_improvement, reps=2000)`; significant '
    "where the 95 % interval excludes 0.5",
}


def method_section(sizes: Sizes) -> str:
    """How it was measured: command, versions, repetitions."""
    rows = []
    for method, call in CALLS.items():
        package = {"paired t": "scipy"}.get(method, method)
        rows.append([method, _pinned(package) if method in PEERS else importlib.metadata.version(package), call])
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "pandas", "scipy"))
    return "\n\n".join(
        [
            f"Command: `python benchmarks/calibration.py --repetitions {sizes.null}`. Python "
            f"{platform.python_version()}, {versions}. Repetitions: {sizes.null:,} for each null setting, "
            f"{sizes.critical:,} for the six most critical, {sizes.equivalence:,} for equivalence, {sizes.power:,} for "
            f"power; for rliable, whose bootstrap is slow, {sizes.rliable:,}. Seeds are fixed: every repetition has "
            "its own generator, whichever worker computes it.",
            markdown_table({"method": ":--", "version": ":--", "exact call": ":--"}, rows),
        ]
    )


def _pinned(peer: str) -> str:
    lines = (BENCHMARKS / "peers" / f"{peer}.txt").read_text(encoding="utf-8").splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{peer}=="))


# --- command -------------------------------------------------------------------------------------------------------


def main() -> None:
    """Read the options, simulate, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="studies for each null setting")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--quick", action="store_true", help="a few repetitions, results into benchmarks/.cache/quick")
    parser.add_argument("--without-peers", action="store_true", help="leave autorank and rliable out, and their tables")
    options = parser.parse_args()
    sizes = Sizes.of(4 if options.quick else options.repetitions)
    settings = {"null": NULL, "beyond": BEYOND, "equivalence": EQUIVALENCE, "peer null": PEER_NULL, "power": PEER_POWER}
    if options.quick:
        sizes = replace(sizes, critical=sizes.null)
        settings = {name: found[::6] for name, found in settings.items()} | {
            "beyond": BEYOND,
            "equivalence": EQUIVALENCE,
        }
    methods = METHODS[:2] if options.without_peers else METHODS
    for peer in PEERS if not options.without_peers else ():
        prepare(peer)
    wanted = [part for setting in (*settings["null"], *settings["beyond"]) for part in null_parts(setting, sizes)]
    wanted += parts("paired t", BEYOND, sizes.null)
    wanted += [part for setting in EQUIVALENCE for part in equivalence_parts(setting, sizes)]
    compared = (*settings["peer null"], *settings["power"])
    wanted += [part for setting in compared for method in methods for part in peer_parts(method, setting, sizes)]
    done = run(wanted, options.workers)

    null, beyond = (null_rows(done, settings[name], sizes) for name in ("null", "beyond"))
    equivalence = equivalence_rows(done, sizes)
    results, page = RESULTS, PAGE
    if options.quick:
        results = CACHE / "quick"
        results.mkdir(parents=True, exist_ok=True)
        page = Path(shutil.copy(PAGE, results / PAGE.name))
    write_csv(results / "calibration-null.csv", [*null, *beyond])
    write_csv(results / "calibration-equivalence.csv", equivalence)
    sections = {
        "method": method_section(sizes),
        "null": null_section(null),
        "beyond": beyond_section(done, beyond, sizes),
        "equivalence": equivalence_section(equivalence),
    }
    if not options.without_peers:
        rows = {name: peer_rows(done, settings[name], sizes) for name in ("peer null", "power")}
        write_csv(results / "calibration-peers.csv", [*rows["peer null"], *rows["power"]])
        sections |= {f"{name.replace(' ', '-')}": peer_section(found, name != "power") for name, found in rows.items()}
    for name, text in sections.items():
        write_section(page, name, text)
    print(f"written: {page}, {results}/calibration-*.csv", flush=True)


if __name__ == "__main__":
    main()
