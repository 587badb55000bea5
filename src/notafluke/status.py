"""Where a study stands: which of its runs are recorded, failed, damaged or missing, and what finishes it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from notafluke.checkpoints import PATTERN, read_checkpoint
from notafluke.clock import written_at
from notafluke.configuration import conf_folder, tracking_is_on
from notafluke.locks import locked, workers
from notafluke.names import RUNS
from notafluke.plan import Cell, Plan
from notafluke.records import METRICS, RunRecord, damage, read_record

CONTENT = ("ok", "diverged")
"""Outcomes that are what a study is about."""
FAILED = ("crashed", "timeout")
"""Outcomes that say nothing of the treatment: they are retried on request."""
DAMAGED, MISSING = "damaged", "missing"
PAGE, SYNCHRONISED = "significance.html", ".tracking-synchronised"
"""What the last two rules of the workflow write for a study."""
STATES = (*CONTENT, *FAILED, DAMAGED, MISSING)


@dataclass(frozen=True)
class RunState:
    """A planned run: its state (STATES), why it is not ok, and its folder."""

    task: str
    arm: str
    seed: int
    state: str
    reason: str
    folder: str


@dataclass(frozen=True)
class StaleCell:
    """Runs of an arm of the study that older code, data or versions trained."""

    task: str
    arm: str
    runs: int
    folder: str


@dataclass(frozen=True)
class Unfinished:
    """A block of seeds that has begun to train and not ended: how far it is by its checkpoint, written when (UTC)."""

    task: str
    arm: str
    seeds: tuple[int, ...]
    where: str
    checkpoint: str
    written: str


@dataclass(frozen=True)
class Status:
    """Where a study stands. ``commands`` finish it, in this order; ``working`` are the processes at work here.

    ``decided``: its tables are there; ``synchronised``: MLflow has its runs, or is not used; since its last run ended.
    """

    study: str
    runs: tuple[RunState, ...]
    stale: tuple[StaleCell, ...]
    unfinished: tuple[Unfinished, ...]
    decided: bool
    synchronised: bool
    locked: bool
    working: tuple[str, ...]
    commands: tuple[str, ...]

    def counts(self, task: str | None = None) -> dict[str, int]:
        """Number of runs by state, of one task or of all."""
        found = Counter(run.state for run in self.runs if task in (None, run.task))
        return {state: found[state] for state in STATES}

    def as_tree(self) -> dict[str, Any]:
        """As plain mappings, lists and scalars; of the runs those that are not ok."""
        tasks = list(dict.fromkeys(run.task for run in self.runs))
        return {
            "study": self.study,
            "runs": len(self.runs),
            "counts": self.counts(),
            "tasks": {task: self.counts(task) for task in tasks},
            "not_ok": [asdict(run) for run in self.runs if run.state != CONTENT[0]],
            "stale": [asdict(own) for own in self.stale],
            "unfinished": [asdict(own) for own in self.unfinished],
            "decided": self.decided,
            "synchronised": self.synchronised,
            "locked": self.locked,
            "working": list(self.working),
            "commands": list(self.commands),
        }


def status_of(plan: Plan) -> Status:
    """Look at every planned run and its files; reads only."""
    runs = tuple(planned_runs(plan))
    arms = {cell.key: arm for cells in plan.cells.values() for arm, cell in cells.items()}
    unfinished = [
        unfinished_block(cell.task, arms[cell.key], path)
        for cell in plan.distinct_cells
        for path in sorted(Path(cell.folder).glob(PATTERN))
    ]
    states = {run.state for run in runs}
    is_locked, working = locked(), tuple(map(str, workers()))
    all_trained = states <= set(CONTENT)
    newest = newest_end(plan) if all_trained else ""
    is_decided = all_trained and made_since(newest, plan.folder / "tables" / PAGE)
    is_synchronised = all_trained and (
        not tracking_is_on(conf_folder()) or made_since(newest, plan.folder / SYNCHRONISED)
    )
    return Status(
        plan.study.name,
        runs,
        tuple(stale_cells(plan)),
        tuple(unfinished),
        is_decided,
        is_synchronised,
        is_locked,
        working,
        tuple(commands(plan, states, is_decided and is_synchronised, is_locked and not working)),
    )


def unfinished_block(task: str, arm: str, path: Path) -> Unfinished:
    """What a checkpoint says of its block; without seeds where it cannot be used. Imports torch."""
    stored = read_checkpoint(path)
    if stored is None:
        return Unfinished(task, arm, (), "damaged, so it starts again", path.as_posix(), written_at(path))
    where = f"tuning, {stored.where}" if stored.block.purpose == "tuning" else stored.where
    return Unfinished(task, arm, stored.block.seeds, where, path.as_posix(), written_at(path))


def planned_runs(plan: Plan) -> Iterator[RunState]:
    """Every planned run with its state, in study order."""
    seen = set()
    for task, cells in plan.cells.items():
        for arm, cell in cells.items():
            if cell.key in seen:
                continue
            seen.add(cell.key)
            for seed in plan.study.seeds:
                state, reason = state_of(cell, seed)
                yield RunState(task, arm, seed, state, reason, cell.run_folder(seed).as_posix())


def state_of(cell: Cell, seed: int) -> tuple[str, str]:
    """The state of one run (STATES) and why it is not ok."""
    folder = cell.run_folder(seed)
    if not (folder / METRICS).exists():
        return MISSING, ""
    if fault := damage(folder):
        return DAMAGED, fault
    record = read_record(folder)
    if record is None or record.run_key != cell.run_key(seed):
        return DAMAGED, f"{METRICS} is of another run"
    return record.outcome, record.reason


def stale_cells(plan: Plan) -> Iterator[StaleCell]:
    """Folders of runs with the task and changes of a planned cell, but of another key."""
    for task, cells in plan.cells.items():
        by_changes = {tuple(cell.changes.items()): (arm, cell) for arm, cell in cells.items()}
        for folder in cell_folders(Path(plan.results), task):
            record = first_record(folder)
            if record is None or record.task != task:
                continue
            arm, cell = by_changes.get(tuple(record.changes.items()), ("", None))
            if cell is not None and record.cell_key != cell.key:
                yield StaleCell(task, arm, len(run_folders(folder)), folder.as_posix())


def newest_end(plan: Plan) -> str:
    """When the last run of a study ended (UTC, ISO 8601); empty without any."""
    records = (read_record(cell.run_folder(seed)) for cell in plan.distinct_cells for seed in plan.study.seeds)
    return max((own.ended for own in records if own is not None), default="")


def made_since(time: str, path: Path) -> bool:
    """Whether a file is there, and not older than a time."""
    return path.is_file() and written_at(path) >= time


def commands(plan: Plan, states: set[str], is_finished: bool, unlock: bool) -> Iterator[str]:
    """What finishes a study, in this order; what shows it where nothing is left to do."""
    study = plan.study.name.partition("+")[0]
    overrides = " ".join(plan.overrides)
    option = f" --overrides {shlex.quote(overrides)}" if overrides else ""
    if unlock:
        yield "notafluke unlock"
    if states & {*FAILED, DAMAGED}:
        yield f"notafluke retry {study}{option}"
    if states - set(CONTENT) or not is_finished:
        yield f"{snakemake_command(plan)}"
    else:
        yield f"notafluke show {study}{option}"


def snakemake_command(plan: Plan) -> str:
    """The command that trains what is missing of a study and decides it."""
    overrides = " ".join(plan.overrides)
    given = f" overrides={shlex.quote(overrides)}" if overrides else ""
    return f"snakemake --cores all --config study={plan.study.name.partition('+')[0]}{given}"


def cell_folders(results: Path, task: str = "*") -> list[Path]:
    """The folders of cells below the results, of one task or of all; links are not followed."""
    tasks = [own for own in sorted((results / RUNS).glob(task)) if own.is_dir() and not own.is_symlink()]
    return [own for folder in tasks for own in sorted(folder.iterdir()) if own.is_dir() and not own.is_symlink()]


def run_folders(cell: Path) -> list[Path]:
    """The folders of a cell's runs that have a record, whole or not."""
    return [own for own in sorted(cell.glob("seed=*")) if (own / METRICS).exists() and not own.is_symlink()]


def first_record(cell: Path) -> RunRecord | None:
    """The first whole record in a cell's folder."""
    return next((record for own in run_folders(cell) if (record := read_record(own)) is not None), None)


def reasons(runs: tuple[RunState, ...]) -> Mapping[tuple[str, str, str], list[RunState]]:
    """The runs that failed or are damaged, by task, state and reason."""
    found: dict[tuple[str, str, str], list[RunState]] = {}
    for run in runs:
        if run.state in (*FAILED, DAMAGED, CONTENT[1]):
            found.setdefault((run.task, run.state, run.reason), []).append(run)
    return found
