"""What MLflow shows of a run and of a cell, made of run records alone: the same while training and years later."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from notafluke.configuration import component_options, flatten
from notafluke.plan import Cell
from notafluke.records import SAMPLES, RunRecord, read_history, read_record
from notafluke.training.history import GRADIENT_NORM, TRAIN_LOSS

SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Ten times as fast where PyYAML has it in C."""
LEVEL, CELL, RUN = "level", "cell", "run"
NOT_SHOWN = ("execution", "hydra", "trust")
"""Sections of a configuration that are no part of a run."""
PARAMETER_LENGTH = 6000
TAG_LENGTH = 5000
LARGEST = 1.7976931348623157e308
"""MLflow's databases store this in place of infinity."""


@dataclass(frozen=True)
class Point:
    """A value of a metric; ``epoch`` from 0."""

    name: str
    value: float
    epoch: int

    @property
    def by_epoch(self) -> bool:
        """Whether it is of a metric by epoch, not of one with which a run ends."""
        return self.name.startswith(("train/", "validation/", GRADIENT_NORM))


@dataclass(frozen=True)
class View:
    """What MLflow shows of one run. ``started`` and ``ended`` in milliseconds since the epoch; ``ended`` None: it runs.

    ``epochs`` is how many it has, ``files`` are its artifacts: paths by name.
    """

    name: str
    tags: Mapping[str, str]
    parameters: Mapping[str, str]
    started: int
    points: Sequence[Point] = ()
    epochs: int = 0
    files: Mapping[str, Path] = field(default_factory=dict)
    status: str = "RUNNING"
    ended: int | None = None

    def time_of(self, point: Point) -> int:
        """When a metric was logged, in milliseconds since the epoch: epochs are spread evenly over the run."""
        if self.ended is None:
            return self.started
        share = (point.epoch + 1) / self.epochs if point.by_epoch and self.epochs else 1.0
        return self.started + round(share * (self.ended - self.started))

    def latest(self) -> dict[str, float]:
        """The last value of each metric, as MLflow stores it: that of the highest epoch."""
        found: dict[str, Point] = {}
        for point in self.points:
            if point.name not in found or found[point.name].epoch <= point.epoch:
                found[point.name] = point
        return {name: stored(point.value) for name, point in found.items()}


@dataclass(frozen=True)
class Recorded:
    """A run record with its folder."""

    folder: Path
    record: RunRecord

    @property
    def cell(self) -> Cell:
        """The cell of the run, as far as its record tells."""
        own = self.record
        return Cell(own.task, own.changes, own.cell_key, self.folder.parent.as_posix(), "")

    def config(self) -> dict[str, Any]:
        """Its resolved configuration."""
        return dict(yaml.load((self.folder / "config.yaml").read_bytes(), Loader=SafeLoader))


def recorded_run(folder: Path, run_key: str) -> Recorded | None:
    """The run in a folder; None where there is none that is whole and has this key."""
    record = read_record(folder)
    return None if record is None or record.run_key != run_key else Recorded(folder, record)


def starting_run(cell: Cell, config: Mapping[str, Any], seed: int, started: int) -> View:
    """A run that is about to train."""
    tags = {**cell_tags(cell), LEVEL: RUN, "seed": str(seed), "run_key": cell.run_key(seed)}
    name = f"{cell.task}: {cell.treatment} seed={seed}"
    return View(name, tags, parameters({**config, "seed": seed}), started)


def starting_cell(cell: Cell, config: Mapping[str, Any], started: int) -> View:
    """A cell that is about to train. What differs between its seeds is left out."""
    shared = {key: value for key, value in config.items() if key != "seed"}
    return View(f"{cell.task}: {cell.treatment}", {**cell_tags(cell), LEVEL: CELL}, parameters(shared), started)


def ended_run(run: Recorded) -> View:
    """A run that is recorded, all of it. Raises OSError or ValueError where its files are damaged."""
    record, history = run.record, read_history(run.folder)
    begun = starting_run(run.cell, run.config(), record.seed, parse_time(record.started))
    tags = {
        "outcome": record.outcome,
        "reason": record.reason,
        "weight_digest": record.weight_digest,
        "git_commit": git_commit(record),
    }
    samples = sorted((run.folder / SAMPLES).glob("*"))
    return replace(
        begun,
        tags={**begun.tags, **{name: value[:TAG_LENGTH] for name, value in tags.items() if value}},
        points=[*points_of(history), *final_points(record)],
        epochs=len(history),
        files={"config.yaml": run.folder / "config.yaml", **{f"{SAMPLES}/{path.name}": path for path in samples}},
        status="FINISHED" if record.outcome == "ok" else "FAILED",
        ended=parse_time(record.ended),
    )


def final_points(record: RunRecord) -> list[Point]:
    """The metrics with which a run ends."""
    values: dict[str, float | None] = {f"test/{name}": value for name, value in record.metrics.items()}
    values |= {"parameters": record.parameters, "seconds": record.seconds, "best_epoch": record.best_epoch}
    return [Point(metric_name(name), number(value), 0) for name, value in values.items()]


def ended_cell(runs: Sequence[Recorded]) -> View:
    """A cell with the means over the seeds that ended well, of the runs that its experiment shows (at least one)."""
    runs = sorted(runs, key=lambda run: run.record.seed)
    first = runs[0]
    begun = starting_cell(first.cell, first.config(), min(parse_time(run.record.started) for run in runs))
    good = [run.record.metrics for run in runs if run.record.outcome == "ok"]
    means = {
        f"mean/{name}": sum(number(own.get(name)) for own in good) / len(good) for name in (good[0] if good else [])
    }
    commit = git_commit(first.record)
    return replace(
        begun,
        tags={**begun.tags, **({"git_commit": commit} if commit else {})},
        points=[Point(metric_name(name), value, 0) for name, value in {**means, "seeds": float(len(runs))}.items()],
        status="FINISHED" if len(good) == len(runs) else "FAILED",
        ended=max(parse_time(run.record.ended) for run in runs),
    )


def points_of(history: Sequence[Mapping[str, float]]) -> list[Point]:
    """The metrics of each epoch."""
    return [point for epoch, values in enumerate(history) for point in epoch_points(epoch, values)]


def epoch_points(epoch: int, values: Mapping[str, float]) -> list[Point]:
    """The metrics of one epoch."""
    return [Point(history_name(column), float(value), epoch) for column, value in values.items()]


def history_name(column: str) -> str:
    """What MLflow calls a column of a history: ``train/...``, ``gradient_norm/...`` or ``validation/...``."""
    if not column.startswith(GRADIENT_NORM):
        column = f"train/{column}" if column == TRAIN_LOSS else f"validation/{column}"
    return metric_name(column)


def metric_name(name: str) -> str:
    """The same with what MLflow refuses in names replaced."""
    return re.sub(r"[^/\w.\- :]", "_", name)


def cell_tags(cell: Cell) -> dict[str, str]:
    """Tags that the runs of a cell share."""
    return {
        "task": cell.task,
        "treatment": cell.treatment[:TAG_LENGTH],
        "cell_key": cell.key,
        "mlflow.source.name": "notafluke",
        "folder": cell.folder,
    }


def parameters(config: Mapping[str, Any]) -> dict[str, str]:
    """Dotted parameters of a resolved configuration, without what only describes or executes it."""
    sections = {
        key: component_options(config, key) if isinstance(value, dict) else value
        for key, value in config.items()
        if key not in NOT_SHOWN
    }
    return {key: str(value)[:PARAMETER_LENGTH] for key, value in flatten(sections).items()}


def number(value: float | None) -> float:
    """A value of a record, where None stands for what is not finite."""
    return float(value) if value is not None and math.isfinite(value) else math.nan


def stored(value: float) -> float:
    """A value as MLflow's databases store it."""
    return math.copysign(LARGEST, value) if math.isinf(value) else value


def git_commit(record: RunRecord) -> str:
    """The commit that a run was trained with; empty where there was none."""
    return str(record.provenance.get("git_commit") or "")


def parse_time(text: str) -> int:
    """Milliseconds since the epoch of a time in ISO 8601; 1 where it is none (0 would count as not given)."""
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return 1


def now() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)
