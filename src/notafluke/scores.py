"""Run records of a study as tidy tables of scores: the only thing that the statistics see."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from notafluke.over_samples import Run
from notafluke.pairing import Floats
from notafluke.plan import Cell, Plan
from notafluke.records import RunRecord, damage, read_record, read_series
from notafluke.report.columns import TIMING_COLUMNS

log = logging.getLogger(__name__)

SCORE_COLUMNS = (
    "task",
    "arm",
    "seed",
    "metric",
    "value",
    "outcome",
    "direction",
    "unit",
    "primary",
    "run_key",
    "cell",
    "parameters",
    "epochs",
    "best_epoch",
    "validation_score",
    "learning_rate",
    "at_grid_edge",
)
BASELINE_COLUMNS = ("task", "seed", "name", "metric", "value", "trivial", "over_seeds")


def planned_runs(plan: Plan) -> pd.DataFrame:
    """One row for each planned run: ``task, arm, seed``."""
    rows = [
        {"task": task, "arm": arm, "seed": seed}
        for task, arms in plan.cells.items()
        for arm in arms
        for seed in plan.study.seeds
    ]
    return pd.DataFrame(rows, columns=["task", "arm", "seed"])


@dataclass(frozen=True)
class Collected:
    """What the recorded runs of a study hold.

    ``scores`` (SCORE_COLUMNS) have one row for each (task, arm, seed, metric); the value of a run that did not end well
    is NaN. ``baselines`` (BASELINE_COLUMNS) come from the first arm of the task that has a record of the seed.
    ``series`` are those that a run leaves of its test samples, of the runs that ended well and have any. ``provenance``
    is that of each run. ``timings`` (TIMING_COLUMNS) have one row for each run: measured, so no two trainings have the
    same.
    """

    scores: pd.DataFrame
    baselines: pd.DataFrame
    series: Mapping[Run, Mapping[str, Floats]]
    provenance: list[Mapping[str, Any]]
    timings: pd.DataFrame


def collect(plan: Plan) -> Collected:
    """Read every recorded run of a study. Damaged records, and those under another run key, are not counted."""
    scores: list[dict[str, Any]] = []
    baselines: dict[tuple[str, int, str, str], dict[str, Any]] = {}
    series: dict[Run, Mapping[str, Floats]] = {}
    provenance: dict[str, Mapping[str, Any]] = {}
    timings: list[dict[str, Any]] = []
    for task, arms in plan.cells.items():
        for arm, cell in arms.items():
            for seed in plan.study.seeds:
                folder = cell.run_folder(seed)
                record = read_record(folder)
                if damaged := damage(folder):
                    log.warning("%s: %s: not counted; notafluke retry lets it be trained again", folder, damaged)
                if record is None or damaged or record.run_key != cell.run_key(seed):
                    continue
                scores += _score_rows(task, arm, cell, record)
                if record.outcome == "ok" and (own := read_series(folder)):
                    series[task, arm, seed] = own
                provenance[record.run_key] = record.provenance
                timings.append(_timing_row(task, arm, record))
                for baseline in record.baselines:
                    key = task, seed, baseline["name"], baseline["metric"]
                    # Records of before the key existed are of baselines over seeds.
                    baselines.setdefault(key, {"task": task, "seed": seed, "over_seeds": True, **baseline})
    return Collected(
        pd.DataFrame(scores, columns=list(SCORE_COLUMNS)),
        pd.DataFrame(list(baselines.values()), columns=list(BASELINE_COLUMNS)),
        series,
        list(provenance.values()),
        pd.DataFrame(timings, columns=list(TIMING_COLUMNS)),
    )


def _timing_row(task: str, arm: str, record: RunRecord) -> dict[str, Any]:
    run = {"task": task, "arm": arm, "seed": record.seed, "run_key": record.run_key}
    return run | {"seconds": record.seconds, "started": record.started, "ended": record.ended}


def _score_rows(task: str, arm: str, cell: Cell, record: RunRecord) -> Iterator[dict[str, Any]]:
    for metric, direction in record.directions.items():
        value = record.metrics.get(metric)
        yield {
            "task": task,
            "arm": arm,
            "seed": record.seed,
            "metric": metric,
            "value": float("nan") if value is None else value,
            "outcome": record.outcome,
            "direction": direction,
            "unit": record.units[metric],
            "primary": metric == record.primary_metric,
            "run_key": record.run_key,
            "cell": cell.folder,
            "parameters": record.parameters,
            "epochs": record.last_epoch + 1,
            "best_epoch": record.best_epoch,
            "validation_score": record.validation.get(record.primary_metric, float("nan")),
            "learning_rate": float("nan") if record.learning_rate is None else record.learning_rate,
            "at_grid_edge": float(record.at_grid_edge),
        }
