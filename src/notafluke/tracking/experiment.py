"""One MLflow experiment, and how runs come into it and end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notafluke.tracking.database import ARTIFACTS, PATIENCE, is_server, lock, own_database, results_id
from notafluke.tracking.processes import PROCESS, is_alive, own_process
from notafluke.tracking.views import CELL, LEVEL, RUN, Point, View, now, parse_time

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # how the UI opens it
PAGE = 1000
PARENT = "mlflow.parentRunId"
RESULTS = "notafluke.results"
"""Tag of a run: from which results folder it is."""
ENDED = {"FINISHED", "FAILED"}


class Experiment:
    """An MLflow experiment and one's own runs of it; created or restored where it is not there.

    In the database below the results folder these are all of notafluke, elsewhere those that carry its id: others log
    to the same experiment. ``patience`` in seconds: how long to wait for another process that creates it.
    """

    def __init__(self, client: MlflowClient, results: Path, name: str, patience: float = PATIENCE) -> None:
        self.client, self.name = client, name
        self.results_id = results_id(results, patience)
        self.is_shared = own_database(results) is None
        found = client.get_experiment_by_name(name)
        if found is None:
            with lock(results, patience):
                found = client.get_experiment_by_name(name)
                self.id = found.experiment_id if found else self._create(results, name)
        else:
            self.id = found.experiment_id
        if found is not None and found.lifecycle_stage == "deleted":
            client.restore_experiment(self.id)

    def _create(self, results: Path, name: str) -> str:
        location = None if is_server(results) else (results / ARTIFACTS / artifact_folder(name)).resolve().as_uri()
        return str(self.client.create_experiment(name, artifact_location=location, tags=EXPERIMENT_TAGS))

    def runs(self, condition: str = f"tags.{LEVEL} LIKE '%'") -> list[Run]:
        """One's own runs that fulfil a condition, the oldest first."""
        found = all_runs(self.client, [self.id], condition)
        return sorted((run for run in found if self._is_own(run)), key=age)

    def _is_own(self, run: Run) -> bool:
        tags = run.data.tags
        return tags.get(LEVEL) in (CELL, RUN) and (not self.is_shared or tags.get(RESULTS) == self.results_id)

    def cell_runs(self, cell_key: str) -> list[Run]:
        """Those of one cell: itself and its seeds."""
        return self.runs(f"tags.cell_key = '{cell_key}'")

    def start(self, view: View, parent: str = "", process: str = "") -> str:
        """Create a run and return its id; ``process`` is who trains it."""
        own = {RESULTS: self.results_id, **({PARENT: parent} if parent else {})}
        if process:
            own[PROCESS] = process
        run = self.client.create_run(self.id, view.started, {**view.tags, **own}, run_name=view.name)
        return str(run.info.run_id)

    def log(
        self,
        run_id: str,
        points: Sequence[Point] = (),
        time_of: Callable[[Point], int] = lambda _: now(),
        parameters: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log metrics, parameters and tags; to log the same metrics with the same ``time_of`` again changes nothing."""
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(own.name, own.value, time_of(own), own.epoch) for own in points]
        self.client.log_batch(
            run_id,
            metrics=metrics,
            params=[Param(key, value) for key, value in (parameters or {}).items()],
            tags=[RunTag(key, value) for key, value in (tags or {}).items()],
        )

    def add_files(self, run_id: str, view: View) -> None:
        """Add the artifacts."""
        for name, path in view.files.items():
            folder = name.rpartition("/")[0]
            self.client.log_artifact(run_id, str(path), folder or None)

    def end(self, run_id: str, status: str, ended: int) -> None:
        """End a run; nobody trains it any more."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.delete_tag(run_id, PROCESS)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
        self.client.set_terminated(run_id, status, ended)

    def show(self, view: View, parent: str = "") -> str:
        """Show a run that has ended, all of it, and return its id."""
        run_id = self.start(view, parent)
        # Before the metrics, all of which MLflow would read to find the artifacts' place.
        self.add_files(run_id, view)
        self.log(run_id, view.points, view.time_of, view.parameters)
        self.client.set_terminated(run_id, view.status, view.ended)
        return run_id

    def replace_cell(self, view: View, existing: Sequence[Run], process: str = "") -> str:
        """Create the run of a cell in place of all that there are, whose seeds it takes over, and return its id.

        ``existing`` are the runs of the cell, itself and its seeds. One that has ended is not ended yet.
        """
        run_id = self.start(view, process=process)
        self.log(run_id, view.points, view.time_of, view.parameters)
        for run in seeds_of(existing):
            self.client.set_tag(run.info.run_id, PARENT, run_id)
        for run in cells_of(existing):
            self.client.delete_run(run.info.run_id)
        return run_id

    def end_cell(self, view: View, existing: Sequence[Run]) -> str:
        """End the run of a cell, and return its id.

        It is used as it is where it has just begun; where its metrics are those of other seeds, or it is there twice,
        or some seeds have no parent, it is made anew.
        """
        cells = cells_of(existing)
        parents = {run.data.tags.get(PARENT) for run in seeds_of(existing)}
        if len(cells) == 1 and parents <= {cells[0].info.run_id} and continues(cells[0], view):
            run_id = str(cells[0].info.run_id)
            self.log(run_id, view.points, view.time_of, view.parameters, view.tags)
        else:
            run_id = self.replace_cell(view, existing)
        self.end(run_id, view.status, view.ended or now())
        return run_id

    def close_orphans(self) -> int:
        """Mark as killed what no process of this machine trains any more; returns how many."""
        return close_orphans(self.client, [self.id])


def cells_of(runs: Sequence[Run]) -> list[Run]:
    """Those of the runs that stand for cells."""
    return [run for run in runs if run.data.tags[LEVEL] == CELL]


def seeds_of(runs: Sequence[Run]) -> list[Run]:
    """Those of the runs that stand for a seed."""
    return [run for run in runs if run.data.tags[LEVEL] == RUN]


def is_busy(run: Run) -> bool:
    """Whether a run of MLflow is being trained, as far as one can tell from here."""
    process = run.data.tags.get(PROCESS, "")
    return run.info.status == "RUNNING" and process != "" and is_alive(process) is not False


def is_others(run: Run) -> bool:
    """Whether another process trains a run, here or on another machine: it is to be left alone."""
    return is_busy(run) and run.data.tags[PROCESS] != own_process()


def continues(run: Run, view: View) -> bool:
    """Whether a run of MLflow can become the view by adding to it."""
    latest, data = view.latest(), run.data
    return (
        run.info.start_time == view.started
        and all(view.parameters.get(key) == value for key, value in data.params.items())
        and all(name in latest and same_number(latest[name], value) for name, value in data.metrics.items())
    )


def artifact_folder(experiment: str) -> str:
    """The folder of an experiment's artifacts, below those of all."""
    return experiment.replace(" ", "-")


def age(run: Run) -> tuple[int, str]:
    """What to sort runs by: the oldest first."""
    return run.info.start_time, run.info.run_id


def all_runs(client: MlflowClient, experiments: Sequence[str], condition: str) -> Iterator[Run]:
    """Every run of some experiments that fulfils a condition."""
    token = None
    while True:
        page = client.search_runs(list(experiments), condition, max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def all_experiments(client: MlflowClient) -> dict[str, str]:
    """Names by id of all experiments."""
    found: dict[str, str] = {}
    token = None
    while True:
        page = client.search_experiments(max_results=PAGE, page_token=token)
        found |= {own.experiment_id: own.name for own in page}
        token = page.token
        if not token:
            return found


def close_orphans(client: MlflowClient, experiments: Sequence[str]) -> int:
    """Mark runs as killed whose process, on this machine, runs no more; returns how many.

    Runs of a process that lives, or of another machine, are left alone.
    """
    here = own_process().partition("/")[0]
    condition = f"attributes.status = 'RUNNING' and tags.`{PROCESS}` LIKE '{here}/%'"
    found = all_runs(client, experiments, condition) if experiments else ()
    # One that ends just now has the tag no more.
    orphans = [run for run in found if is_alive(run.data.tags.get(PROCESS, "")) is False]
    for run in orphans:
        client.delete_tag(run.info.run_id, PROCESS)
        client.set_terminated(run.info.run_id, "KILLED")
    return len(orphans)


def shows(run: Run, view: View, parent: str = "") -> bool:
    """Whether a run of MLflow shows exactly this; tags that others have added do not count."""
    data: Any = run.data
    wanted = {**view.tags, **({PARENT: parent} if parent else {})}
    return (
        run.info.status == view.status
        and run.info.start_time == view.started
        and run.info.end_time == view.ended
        and run.info.run_name == view.name
        and PROCESS not in data.tags
        and all(data.tags.get(key) == value for key, value in wanted.items())
        and data.params == dict(view.parameters)
        and same_numbers(data.metrics, view.latest())
    )


def same_numbers(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Whether the same names have the same numbers."""
    return one.keys() == other.keys() and all(same_number(one[name], other[name]) for name in one)


def same_number(one: float, other: float) -> bool:
    """Whether two numbers are the same; not a number is the same as itself."""
    return one == other or (math.isnan(one) and math.isnan(other))


def started_at(text: str) -> int:
    """When a run starts, in milliseconds since the epoch; now unless it is given in ISO 8601."""
    return parse_time(text) if text else now()
