"""MLflow brought to what ``results/`` holds: what it lacks is added, or all of it is made anew."""

from __future__ import annotations

import logging
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from filelock import FileLock, Timeout

from notafluke.errors import UsageError
from notafluke.names import reached_by_link
from notafluke.plan import Plan
from notafluke.records import damage
from notafluke.tracking.database import (
    ARTIFACTS,
    BESIDE,
    DATABASE,
    connect,
    create_database,
    lock,
    move_aside,
    name_aside,
    nobody_writes,
    own_database,
    put_in_place,
    quieten,
    remove_database,
    results_id,
    settle,
    sqlite_uri,
    tracking_uri,
)
from notafluke.tracking.database import damage as database_damage
from notafluke.tracking.experiment import (
    ENDED,
    PARENT,
    RESULTS,
    Experiment,
    all_experiments,
    all_runs,
    artifact_folder,
    cells_of,
    close_orphans,
    is_busy,
    seeds_of,
    shows,
)
from notafluke.tracking.processes import PROCESS, is_alive
from notafluke.tracking.shown import SHOWN, damaged_lines, is_run_folder, remember_runs, remembered_runs
from notafluke.tracking.transactions import one_transaction
from notafluke.tracking.views import CELL, LEVEL, RUN, Recorded, ended_cell, ended_run, now, recorded_run

if TYPE_CHECKING:
    from mlflow import MlflowClient
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


def initialise(results: Path, live: bool = False) -> int:
    """Make sure that there is a whole database, and mark what nobody trains any more as killed; returns how many.

    With ``live`` a server is not waited for longer than while training.
    """
    client = connect(results, live)
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
    server what lacks is added, and what is one's own and there twice or of no record is removed. Runs that MLflow shows
    and that ``experiments.jsonl`` has lost are noted there again. Raises UsageError where another rebuild is at work.
    """
    results.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(results / ".mlflow-rebuild.lock", timeout=0):
            path = own_database(results)
            if lost := damaged_lines(results):
                log.warning("%s: %d lines are damaged and left out", SHOWN, lost)
            results_id(results)
            return rebuild_server(results, progress) if path is None else rebuild_database(results, path, progress)
    except Timeout:
        raise UsageError("another notafluke track rebuild is at work") from None


def rebuild_server(results: Path, progress: Progress) -> Counts:
    """Bring one's own runs on a server to what the records hold. Experiments that no record names are left alone."""
    client = connect(results)
    note_again(results, client, f" and tags.`{RESULTS}` = '{results_id(results)}'")
    counts = Counts()
    there = set(all_experiments(client).values())
    for name in remembered_runs(results):
        if name not in there and not has_records(results, name):
            continue
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
    note_again_of_database(results, path)

    def fill(progress: Progress) -> Counts:
        counts = Counts()
        for name in remembered_runs(results):
            if has_records(results, name):
                experiment = Experiment(client, results, name)
                counts += bring(experiment, results, lambda _: True, exact=True, progress=progress)
        return counts

    try:
        counts = fill(progress)
        with lock(results), nobody_writes(path):
            # What was recorded meanwhile.
            later = fill(lambda *_: None)
            needed = keep_what_lacks(path, client)
            for end in BESIDE:
                path.with_name(path.name + end).unlink(missing_ok=True)
            put_in_place(new, path)
    finally:
        remove_database(new)
    if needed is not None:
        remove_artifacts(results, list(remembered_runs(results)), path, needed)
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
            with one_transaction(experiment.client):
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
    leaving = [own for own in seeds if own not in kept and own not in others and not is_busy(own)]
    leaving += [own for own in others if exact and not is_busy(own)]
    for own in leaving:
        experiment.client.delete_run(own.info.run_id)
    staying = [own for own in seeds if own not in leaving]
    view = ended_cell(whole)
    training = [own for own in cells if trains(own) or (is_busy(own) and any(is_busy(seed) for seed in staying))]
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
    return is_busy(own) and is_alive(own.data.tags[PROCESS]) is True


def remove_unbacked(experiment: Experiment, runs: Sequence[Run]) -> Counts:
    """Remove runs of cells that no record backs, unless somebody trains them."""
    training = {own.data.tags.get("cell_key") for own in runs if is_busy(own)}
    leaving = [own for own in runs if own.data.tags.get("cell_key") not in training]
    for own in leaving:
        experiment.client.delete_run(own.info.run_id)
    return Counts(removed=len(seeds_of(leaving)))


def has_records(results: Path, experiment: str) -> bool:
    """Whether there is a record of a run that an experiment shows."""
    runs = remembered_runs(results).get(experiment, {})
    return any(recorded_run(results / folder, key) is not None for key, folder in runs.items())


def note_again_of_database(results: Path, path: Path) -> None:
    """``note_again`` of the database below ``results``, where there is one that can be read."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    if path.exists() and not database_damage(path, thorough=True):
        try:
            note_again(results, MlflowClient(sqlite_uri(path)))
        except MlflowException as error:
            # Of another version: it is told and kept when the new one takes its place.
            log.debug("%s cannot be read: %s", path.name, error)


def note_again(results: Path, client: MlflowClient, condition: str = "") -> None:
    """Note runs in ``experiments.jsonl`` that MLflow shows and that have a whole record, but no line."""
    remembered = remembered_runs(results)
    for number, experiment in all_experiments(client).items():
        lost: dict[str, Path] = {}
        for own in all_runs(client, [number], f"tags.{LEVEL} = '{RUN}'{condition}"):
            tags = own.data.tags
            key = tags.get("run_key", "")
            if not key or key in remembered.get(experiment, {}):
                continue
            place = "/".join([*Path(tags.get("folder", "")).parts[-3:], f"seed={tags.get('seed')}"])
            if not is_run_folder(place):
                continue
            run = recorded_run(results / place, key)
            if run is not None and not damage(run.folder):
                lost[key] = run.folder
        if lost:
            log.warning("%s: %d runs of %s had no line; they are noted again", SHOWN, len(lost), experiment)
            remember_runs(results, experiment, lost)


def keep_what_lacks(path: Path, new: MlflowClient) -> set[str] | None:
    """Keep the old database where the new one does not have all of its runs: as a copy; a damaged one is moved aside.

    Returns the ids of the runs whose artifacts must stay; None where not all of them are known. To be called before
    the new one takes its place.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    if path.exists() and (wrong := database_damage(path, thorough=True)):
        log.warning("%s is damaged (%s); it is now %s", path.name, wrong, move_aside(path, "damaged"))
    needed: set[str] | None = set()
    if path.exists():
        try:
            old = MlflowClient(sqlite_uri(path))
            have = {own for own, _ in identified_runs(new)}
            lacking = [run for own, run in identified_runs(old) if own not in have and not is_busy(run)]
            # Cells are made of their seeds.
            lacking = [run for run in lacking if run.data.tags.get(LEVEL) != CELL]
        except MlflowException as error:
            log.warning("%s cannot be read (%s)", path.name, str(error).partition(". ")[0])
            log.warning("It is kept as %s", copy_aside(path).name)
            return None
        if lacking:
            foreign = sum(LEVEL not in run.data.tags for run in lacking)
            kept = copy_aside(path).name
            for number, what in ((foreign, "that are not of notafluke"), (len(lacking) - foreign, "without a record")):
                if number:
                    log.warning("%d runs %s are kept in %s", number, what, kept)
            needed = {str(run.info.run_id) for run in lacking}
    for kept_path in path.parent.glob(f"{DATABASE}.*"):
        if not kept_path.name.endswith(BESIDE):
            earlier = stored_ids(kept_path)
            needed = None if needed is None or earlier is None else needed | earlier
    return needed


def identified_runs(client: MlflowClient) -> Iterable[tuple[tuple[str, str], Run]]:
    """Every run of a database with its experiment and what identifies it there, whichever its id is."""
    for number, experiment in all_experiments(client).items():
        for run in all_runs(client, [number], ""):
            tags = run.data.tags
            own = {RUN: tags.get("run_key"), CELL: tags.get("cell_key")}.get(tags.get(LEVEL, ""))
            yield (experiment, own or str(run.info.run_id)), run


def stored_ids(path: Path) -> set[str] | None:
    """The ids of the runs in a database that was put aside; None where it cannot be read."""
    if ".damaged-" in path.name:
        return None
    try:
        address = f"file:{quote(path.resolve().as_posix())}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            return {str(own) for (own,) in connection.execute("SELECT run_uuid FROM runs")}
    except sqlite3.Error:
        return None


def copy_aside(path: Path) -> Path:
    """Copy a database beside itself."""
    kept = name_aside(path, "replaced")
    shutil.copy2(path, kept)
    return kept


def remove_artifacts(results: Path, experiments: Sequence[str], path: Path, needed: set[str]) -> None:
    """Remove the artifacts of runs that are not in the database, and are not needed by one that is kept.

    What a link leads to may be somebody else's, and stays.
    """
    from mlflow import MlflowClient

    folders = [folder for name in experiments for folder in artifact_folders(results, name)]
    client = MlflowClient(sqlite_uri(path))
    # Looked up after the folders: a run is there before it has any.
    known = {str(own.info.run_id) for own in all_runs(client, list(all_experiments(client)), "")}
    for folder in folders:
        if folder.name not in known | needed and not reached_by_link(results, folder):
            shutil.rmtree(folder, ignore_errors=True)


def artifact_folders(results: Path, experiment: str) -> list[Path]:
    """The folders of an experiment's runs below ``mlartifacts``."""
    below = results / ARTIFACTS / artifact_folder(experiment)
    if below.is_symlink() or not below.is_dir():
        return []
    return [folder for folder in below.iterdir() if RUN_ID.fullmatch(folder.name) and folder.is_dir()]
