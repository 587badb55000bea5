"""MLflow as a view of the run records: experiment = study, parent run = cell, child run = seed.

A run is unique by experiment and tag ``run_key``. What MLflow shows can be made again from ``results/`` at any time,
so a failure to log never stops training: it is told once, and the synchronisation after training fills the gap.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from filelock import FileLock

from notafluke.configuration import component_options, flatten
from notafluke.git import git
from notafluke.plan import Cell, Plan
from notafluke.records import SAMPLES, RunRecord, read_history, read_record
from notafluke.training.history import GRADIENT_NORM, TRAIN_LOSS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SINGLE_RUNS = "single runs"
DATABASE = "mlflow.db"
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # how the UI opens it
BATCH = 500
PARAMETER_LENGTH = 6000
log = logging.getLogger(__name__)


def tracking_uri(results: Path) -> str:
    """``MLFLOW_TRACKING_URI``, or the SQLite database below the results folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(results / DATABASE).as_posix()}"


def ui_command(results: Path) -> str:
    """The command that opens MLflow; an address from the environment is not shown, as it may hold a password."""
    if "MLFLOW_TRACKING_URI" in os.environ:
        return "make ui   (MLFLOW_TRACKING_URI is set)"
    return f"make ui   or: mlflow ui --backend-store-uri {tracking_uri(results)}"


def connect(results: Path) -> MlflowClient:
    """A client whose database exists; only one process at a time may create it."""
    from mlflow import MlflowClient

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    results.mkdir(parents=True, exist_ok=True)
    with lock(results), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        client = MlflowClient(tracking_uri(results))
        client.search_experiments(max_results=1)
    return client


def lock(results: Path) -> FileLock:
    """Held while something is looked up and then created, so that two processes do not both create it."""
    return FileLock(results / ".mlflow.lock", timeout=120)


class Experiment:
    """One MLflow experiment and the runs of it that belong to notafluke."""

    def __init__(self, results: Path, name: str) -> None:
        self.results = results
        self.client = connect(results)
        with lock(results):
            found = self.client.get_experiment_by_name(name)
            if found is None:
                remote = tracking_uri(results).startswith(("http", "databricks"))
                artifacts = None if remote else (results / "mlartifacts" / name.replace(" ", "-")).resolve().as_uri()
                self.id = self.client.create_experiment(name, artifact_location=artifacts, tags=EXPERIMENT_TAGS)
            else:
                if found.lifecycle_stage == "deleted":
                    self.client.restore_experiment(found.experiment_id)
                self.id = found.experiment_id

    def runs(self, tag: str, value: str) -> list[Run]:
        """Runs with a tag, the oldest first."""
        return list(
            self.client.search_runs([self.id], filter_string=f"tags.`{tag}` = '{value}'", order_by=["start_time ASC"])
        )

    def finished_keys(self) -> set[str]:
        """Run keys of all runs that show how they ended; one that was killed shows no result."""
        ended = "tags.level = 'run' and attributes.status != 'RUNNING' and attributes.status != 'KILLED'"
        keys: set[str] = set()
        token = None
        while True:
            page = self.client.search_runs([self.id], ended, max_results=5000, page_token=token)
            keys.update(run.data.tags["run_key"] for run in page)
            token = page.token
            if not token:
                return keys

    def cell_run(self, cell: Cell, config: Mapping[str, Any]) -> str:
        """Id of the parent run of a cell, created when it is not there."""
        with lock(self.results):
            for run in self.runs("cell_key", cell.key):
                if run.data.tags.get("level") == "cell":
                    return str(run.info.run_id)
            name = f"{cell.task}: {cell.treatment}"
            run_id = self._create(name, cell_tags(cell) | {"level": "cell"})
        self._describe(run_id, config)
        return run_id

    def seed_run(self, parent: str, cell: Cell, config: Mapping[str, Any], seed: int) -> str:
        """Id of a fresh run of a seed; what an earlier, unfinished try left under the same key is deleted."""
        with lock(self.results):
            for old in self.runs("run_key", cell.run_key(seed)):
                self.client.delete_run(old.info.run_id)
            tags = cell_tags(cell) | {
                "level": "run",
                "seed": str(seed),
                "run_key": cell.run_key(seed),
                "mlflow.parentRunId": parent,
            }
            run_id = self._create(f"{cell.task}: {cell.treatment} seed={seed}", tags)
        self._describe(run_id, {**config, "seed": seed})
        return run_id

    def _create(self, name: str, tags: dict[str, str]) -> str:
        return str(self.client.create_run(self.id, int(time.time() * 1000), tags, run_name=name).info.run_id)

    def _describe(self, run_id: str, config: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        parameters = [Param(key, str(value)[:PARAMETER_LENGTH]) for key, value in flat_parameters(config).items()]
        self.client.log_batch(run_id, params=parameters)
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        self.client.log_text(run_id, text, "config.yaml")

    def log_history(self, run_id: str, history: Sequence[Mapping[str, float]], first_epoch: int = 0) -> None:
        """Log metrics by epoch; numbers that are not finite are shown as MLflow shows them."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(metric_name(name), value, now, epoch)
            for epoch, values in enumerate(history, first_epoch)
            for name, value in values.items()
        ]
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + BATCH])

    def finish(self, run_id: str, record: RunRecord, folder: Path) -> None:
        """Log the final metrics, the outcome and what the network wrote, and end the run honestly."""
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        values = {f"test/{name}": value for name, value in record.metrics.items()}
        values |= {"parameters": record.parameters, "seconds": record.seconds, "best_epoch": record.best_epoch}
        tags = {
            "outcome": record.outcome,
            "reason": record.reason,
            "weight_digest": record.weight_digest,
            "git_commit": record.provenance.get("git_commit", ""),
        }
        metrics = [Metric(name, float(value), now, 0) for name, value in values.items()]
        run_tags = [RunTag(name, str(value)) for name, value in tags.items() if value]
        self.client.log_batch(run_id, metrics=metrics, tags=run_tags)
        for sample in sorted((folder / SAMPLES).glob("*")):
            self.client.log_artifact(run_id, str(sample), SAMPLES)
        self.client.set_terminated(run_id, "FINISHED" if record.outcome == "ok" else "FAILED")

    def finish_cell(self, run_id: str, records: Sequence[RunRecord]) -> None:
        """Show the mean of each test metric over the seeds on the cell's run, and end it."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        good = [record.metrics for record in records if record.outcome == "ok"]
        names = list(good[0]) if good else []
        metrics = [
            Metric(f"mean/{name}", sum(own[name] for own in good) / len(good), now, len(records)) for name in names
        ]
        metrics.append(Metric("seeds", len(records), now, len(records)))
        self.client.log_batch(run_id, metrics=metrics)
        self.client.set_terminated(run_id, "FINISHED" if len(good) == len(records) else "FAILED")


class LiveLog:
    """Logs a block of seeds to MLflow while it trains. Failures are told once and do not stop the training."""

    def __init__(self, experiment_name: str, results: Path, cell: Cell, config: Mapping[str, Any]) -> None:
        self.cell, self.config = cell, config
        self.run_ids: dict[int, str] = {}
        self.experiment: Experiment | None = None
        self.parent = ""
        with self._tolerantly():
            experiment = Experiment(results, experiment_name)
            self.parent = experiment.cell_run(cell, config)
            self.experiment = experiment

    @contextmanager
    def _tolerantly(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0]
            log.warning("MLflow: cannot log (%s: %s); training goes on", type(error).__name__, reason)
            self.experiment = None

    def start(self, seeds: Sequence[int]) -> None:
        """Open a run for each seed."""
        with self._tolerantly():
            if self.experiment:
                for seed in seeds:
                    self.run_ids[seed] = self.experiment.seed_run(self.parent, self.cell, self.config, seed)

    def epoch_finished(self, epoch: int, metrics: Mapping[int, Mapping[str, float]]) -> None:
        """See training.engine.Observer."""
        with self._tolerantly():
            if self.experiment:
                for seed, values in metrics.items():
                    self.experiment.log_history(self.run_ids[seed], [values], first_epoch=epoch)

    def finish(self, record: RunRecord) -> None:
        """End the run of one seed."""
        with self._tolerantly():
            if self.experiment and record.seed in self.run_ids:
                run_id = self.run_ids.pop(record.seed)
                self.experiment.finish(run_id, record, self.cell.run_folder(record.seed))

    def finish_cell(self) -> None:
        """End the run of the cell, which shows all seeds recorded so far."""
        with self._tolerantly():
            if self.experiment:
                self.experiment.finish_cell(self.parent, recorded_runs(self.cell))

    def abandon(self) -> None:
        """Mark all runs that are still open as killed."""
        with self._tolerantly():
            if self.experiment:
                for run_id in [*self.run_ids.values(), self.parent]:
                    self.experiment.client.set_terminated(run_id, "KILLED")


def synchronise(plan: Plan) -> int:
    """Log every run record of a plan that its experiment does not show yet; returns how many were added."""
    results = Path(plan.results)
    experiment = Experiment(results, plan.study.name)
    known = experiment.finished_keys()
    added = 0
    for cell in plan.distinct_cells:
        if all(cell.run_key(seed) in known for seed in plan.study.seeds):
            continue
        records = [record for seed in plan.study.seeds if (record := read_record(cell.run_folder(seed))) is not None]
        if not records:
            continue
        config = yaml.safe_load((cell.run_folder(records[0].seed) / "config.yaml").read_text(encoding="utf-8"))
        parent = experiment.cell_run(cell, config)
        for record in records:
            if record.run_key not in known:
                run_id = experiment.seed_run(parent, cell, config, record.seed)
                experiment.log_history(run_id, read_history(cell.run_folder(record.seed)))
                experiment.finish(run_id, record, cell.run_folder(record.seed))
                added += 1
        experiment.finish_cell(parent, recorded_runs(cell))
    return added


def recorded_runs(cell: Cell) -> list[RunRecord]:
    """The records of all seeds of a cell, of whichever study."""
    records = [read_record(folder) for folder in sorted(Path(cell.folder).glob("seed=*"))]
    return [record for record in records if record is not None and record.cell_key == cell.key]


def cell_tags(cell: Cell) -> dict[str, str]:
    """Tags that the runs of a cell share."""
    return {
        "task": cell.task,
        "treatment": cell.treatment,
        "cell_key": cell.key,
        "mlflow.source.name": "notafluke",
        "folder": cell.folder,
        "git_commit": git("rev-parse", "HEAD"),
    }


def metric_name(column: str) -> str:
    """What MLflow calls a column of a history: ``train/...``, ``gradient_norm/...`` or ``validation/...``."""
    if column.startswith(GRADIENT_NORM):
        return column
    return f"train/{column}" if column == TRAIN_LOSS else f"validation/{column}"


def flat_parameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted parameters of a resolved configuration, without what only describes or executes it."""
    sections = {
        key: component_options(config, key) if isinstance(value, dict) else value
        for key, value in config.items()
        if key != "execution"
    }
    return flatten(sections)
