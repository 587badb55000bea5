"""MLflow brought to what ``results/`` holds: what it lacks is added, or all of it is made anew."""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from notafluke.errors import UsageError
from notafluke.plan import Plan
from notafluke.records import damage
from notafluke.tracking.database import (
    ARTIFACTS,
    BESIDE,
    connect,
    create_database,
    lock,
    nobody_writes,
    own_database,
    put_in_place,
    quieten,
    remove_database,
    settle,
    sqlite_uri,
    tracking_uri,
)
from notafluke.tracking.database import damage as database_damage
from notafluke.tracking.experiment import (
    ENDED,
    PARENT,
    Experiment,
    all_experiments,
    all_runs,
    artifact_folder,
    cells_of,
    close_orphans,
    seeds_of,
    shows,
)
from notafluke.tracking.processes import PROCESS, is_alive
from notafluke.tracking.shown import remember_runs, remembered_runs
from notafluke.tracking.views import LEVEL, Recorded, ended_cell, ended_run, now, recorded_run

if TYPE_CHECKING:
    from mlflow.entities import Run

ATTEMPTS = 4
"""How often a cell is tried while the database is locked."""
RUN_ID = re.compile(r"[0-9a-f]{32}")
Progress = Callable[[str, int, int], None]
"""Told the experiment, how many of its cells are done, and of how many."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Counts:
    """What was done: runs added (of seeds) and removed; records that are damaged, and so are not shown."""

    experiments: int = 0
    shown: int = 0
    added: int = 0
    removed: int = 0
    damaged: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


def initialise(results: Path) -> int:
    """Make sure that there is a whole database, and mark what nobody trains any more as killed; returns how many."""
    client = connect(results)
    return close_orphans(client, list(all_experiments(client)))


def synchronise(plan: Plan) -> int:
    """Show every recorded run of a plan that its experiment does not show yet; returns how many were added."""
    results = Path(plan.results)
    runs = [
        found
        for cell in plan.distinct_cells
        for seed in plan.study.seeds
        if (found := recorded_run(cell.run_folder(seed), cell.run_key(seed))) is not None
    ]
    remember_runs(results, plan.study.name, {run.record.run_key: run.folder for run in runs})
    experiment = Experiment(connect(results), results, plan.study.name)
    experiment.close_orphans()
    cells = {run.record.cell_key for run in runs}
    return bring(experiment, results, lambda run: run.record.cell_key in cells, exact=False).added


def rebuild(results: Path, progress: Progress = lambda *_: None) -> Counts:
    """Make MLflow anew from the records, with the experiments that ``experiments.jsonl`` names.

    The SQLite database below ``results`` is built beside the old one and takes its place once it is complete; on a
    server what lacks is added, and what is there twice or is of no record is removed. Raises UsageError where another
    rebuild is at work.
    """
    results.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(results / ".mlflow-rebuild.lock", timeout=0):
            path = own_database(results)
            return rebuild_server(results, progress) if path is None else rebuild_database(results, path, progress)
    except Timeout:
        raise UsageError("another notafluke track rebuild is at work") from None


def rebuild_server(results: Path, progress: Progress) -> Counts:
    """Bring the experiments of a server to what the records hold. Experiments that no record names are left alone."""
    client = connect(results)
    counts = Counts()
    for name in remembered_runs(results):
        experiment = Experiment(client, results, name)
        experiment.close_orphans()
        counts += bring(experiment, results, lambda _: True, exact=True, progress=progress)
    return counts


def rebuild_database(results: Path, path: Path, progress: Progress) -> Counts:
    """Build a new SQLite database and put it in the place of the old one; then remove artifacts that are of no run."""
    from mlflow import MlflowClient

    settle(tracking_uri(results), live=False)
    quieten()
    new = path.with_name(f".{path.name}.rebuilt")
    remove_database(new)
    create_database(new, results)
    client = MlflowClient(sqlite_uri(new))

    def fill(progress: Progress) -> Counts:
        counts = Counts()
        for name in remembered_runs(results):
            counts += bring(Experiment(client, results, name), results, lambda _: True, exact=True, progress=progress)
        return counts

    try:
        counts = fill(progress)
        with lock(results), nobody_writes(path):
            # What was recorded meanwhile.
            later = fill(lambda *_: None)
            foreign = keep_foreign(path)
            for end in BESIDE:
                path.with_name(path.name + end).unlink(missing_ok=True)
            put_in_place(new, path)
    finally:
        remove_database(new)
    remove_artifacts(results, list(remembered_runs(results)), path, foreign)
    return Counts(later.experiments, later.shown, counts.added + later.added, 0, later.damaged)


def bring(
    experiment: Experiment,
    results: Path,
    wanted: Callable[[Recorded], bool],
    exact: bool,
    progress: Progress = lambda *_: None,
) -> Counts:
    """Bring an experiment to what ``experiments.jsonl`` and the records say, for the runs that are wanted.

    Without ``exact`` a run that is shown with its end is taken for right; with it, it is compared with its record, and
    runs that no record backs are removed unless somebody trains them.
    """
    recorded: dict[str, list[Recorded]] = {}
    for key, folder in remembered_runs(results).get(experiment.name, {}).items():
        run = recorded_run(results / folder, key)
        if run is not None and wanted(run):
            recorded.setdefault(run.record.cell_key, []).append(run)
    there: dict[str, list[Run]] = {}
    for own in experiment.runs():
        there.setdefault(own.data.tags.get("cell_key", ""), []).append(own)
    counts = Counts(experiments=1)
    for done, (cell_key, runs) in enumerate(recorded.items()):
        progress(experiment.name, done, len(recorded))
        counts += bring_cell_patiently(experiment, runs, there.get(cell_key, []), exact)
    progress(experiment.name, len(recorded), len(recorded))
    if exact:
        left = [own for cell_key in there.keys() - recorded.keys() for own in there[cell_key]]
        counts += remove_unbacked(experiment, left)
    return counts


def bring_cell_patiently(
    experiment: Experiment, recorded: Sequence[Recorded], existing: Sequence[Run], exact: bool
) -> Counts:
    """``bring_cell``, tried again where the database is locked: what was done by then is found there."""
    from mlflow.exceptions import MlflowException

    for attempt in range(1, ATTEMPTS):
        try:
            return bring_cell(experiment, recorded, existing, exact)
        except MlflowException as error:
            if "locked" not in str(error):
                raise
            time.sleep(2.0**attempt)
            existing = experiment.cell_runs(recorded[0].record.cell_key)
    return bring_cell(experiment, recorded, existing, exact)


def bring_cell(experiment: Experiment, recorded: Sequence[Recorded], existing: Sequence[Run], exact: bool) -> Counts:
    """Show these runs of one cell, each once, and the cell itself; ``existing`` is what is shown of it."""
    whole = [run for run in recorded if not told_damage(run)]
    damaged = len(recorded) - len(whole)
    if not whole:
        return Counts(damaged=damaged)
    seeds, cells = seeds_of(existing), cells_of(existing)
    kept: list[Run] = []
    missing: list[Recorded] = []
    for run in whole:
        same = [own for own in seeds if own.data.tags.get("run_key") == run.record.run_key]
        right = [own for own in same if trains(own) or is_right(own, run, exact)]
        kept += right[:1]
        missing += [] if right else [run]
    keys = {run.record.run_key for run in whole}
    others = [own for own in seeds if own.data.tags.get("run_key") not in keys]
    leaving = [own for own in seeds if own not in kept and own not in others]
    leaving += [own for own in others if exact and not busy(own)]
    for own in leaving:
        experiment.client.delete_run(own.info.run_id)
    staying = [own for own in seeds if own not in leaving]
    view = ended_cell(whole)
    training = [own for own in cells if trains(own) or (busy(own) and any(busy(seed) for seed in staying))]
    if training:
        # Whoever trains it ends it.
        cell_id = str(training[0].info.run_id)
    else:
        parents = {own.data.tags.get(PARENT) for own in staying}
        ended = len(cells) == 1 and parents <= {cells[0].info.run_id} and cells[0].info.status in ENDED
        if ended and not missing and not leaving and (not exact or shows(cells[0], view)):
            return Counts(shown=len(whole), damaged=damaged)
        cell_id = experiment.replace_cell(view, [*cells, *staying])
    for run in missing:
        experiment.show(ended_run(run), cell_id)
    if not training:
        experiment.end(cell_id, view.status, view.ended or now())
    return Counts(shown=len(whole), added=len(missing), removed=len(leaving), damaged=damaged)


def told_damage(run: Recorded) -> str:
    """What of a run's files is damaged; it is told."""
    wrong = damage(run.folder)
    if wrong:
        log.warning("%s: %s; the run is not shown", run.folder.as_posix(), wrong)
    return wrong


def is_right(own: Run, run: Recorded, exact: bool) -> bool:
    """Whether a run of MLflow shows how the recorded one ended."""
    return shows(own, ended_run(run)) if exact else own.info.status in ENDED


def trains(own: Run) -> bool:
    """Whether a process of this machine trains a run of MLflow."""
    return busy(own) and is_alive(own.data.tags[PROCESS]) is True


def busy(own: Run) -> bool:
    """Whether a run of MLflow is being trained, as far as one can tell from here."""
    process = own.data.tags.get(PROCESS, "")
    return own.info.status == "RUNNING" and process != "" and is_alive(process) is not False


def remove_unbacked(experiment: Experiment, runs: Sequence[Run]) -> Counts:
    """Remove runs of cells that no record backs, unless somebody trains them."""
    training = {own.data.tags.get("cell_key") for own in runs if busy(own)}
    leaving = [own for own in runs if own.data.tags.get("cell_key") not in training]
    for own in leaving:
        experiment.client.delete_run(own.info.run_id)
    return Counts(removed=len(seeds_of(leaving)))


def keep_foreign(path: Path) -> set[str]:
    """Keep a copy of the old database where it holds runs that are not of notafluke; returns their ids.

    To be called before another database takes its place.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    if not path.exists() or database_damage(path, thorough=False):
        return set()
    try:
        client = MlflowClient(sqlite_uri(path))
        runs = all_runs(client, list(all_experiments(client)), "")
        foreign = {str(own.info.run_id) for own in runs if LEVEL not in own.data.tags}
    except MlflowException as error:
        # Of another version of MLflow, say: nothing is known about it, so it is kept.
        log.warning("%s cannot be read (%s)", path.name, str(error).partition(". ")[0])
        foreign = set()
        kept = copy_aside(path)
        log.warning("It is kept as %s", kept.name)
        return foreign
    if foreign:
        kept = copy_aside(path)
        log.warning("%d runs that are not of notafluke are kept in %s", len(foreign), kept.name)
    return foreign


def copy_aside(path: Path) -> Path:
    """Copy a database beside itself."""
    kept = path.with_name(f"{path.name}.replaced-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    shutil.copy2(path, kept)
    return kept


def remove_artifacts(results: Path, experiments: Sequence[str], path: Path, foreign: set[str]) -> None:
    """Remove the artifacts of runs that are neither in the database nor foreign."""
    from mlflow import MlflowClient

    folders = [folder for name in experiments for folder in artifact_folders(results, name)]
    client = MlflowClient(sqlite_uri(path))
    # Looked up after the folders: a run is there before it has any.
    known = {str(own.info.run_id) for own in all_runs(client, list(all_experiments(client)), "")}
    for folder in folders:
        if folder.name not in known | foreign:
            shutil.rmtree(folder, ignore_errors=True)


def artifact_folders(results: Path, experiment: str) -> list[Path]:
    """The folders of an experiment's runs below ``mlartifacts``."""
    below = results / ARTIFACTS / artifact_folder(experiment)
    if below.is_symlink() or not below.is_dir():
        return []
    return [folder for folder in below.iterdir() if RUN_ID.fullmatch(folder.name) and folder.is_dir()]
