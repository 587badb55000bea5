"""Failures: how the runs of each arm ended, and whether an arm fails more often than the control."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

from notafluke.pairing import Table
from notafluke.report.columns import FAILURE_COLUMNS
from notafluke.study import CONTROL

OUTCOMES = ("diverged", "crashed", "timeout")


def failures(table: Table) -> pd.DataFrame:
    """Return one row for each task and arm; FAILURE_COLUMNS."""
    rows = []
    for task, arm in table.planned:
        row = _counts(table, task, arm)
        if arm != CONTROL and (task, CONTROL) in table.planned:
            row["p_fisher"] = _fisher(row, _counts(table, task, CONTROL))
        rows.append(row)
    frame = pd.DataFrame(rows, columns=list(FAILURE_COLUMNS))
    for column in ("planned", "ok", "not_finite", *OUTCOMES, "absent"):
        frame[column] = frame[column].astype("Int64")
    return frame


def _counts(table: Table, task: str, arm: str) -> dict[str, Any]:
    planned = table.seeds_of(task, arm)
    runs = table.arm(task, table.metric(task, None).name, arm)
    recorded = np.intersect1d(planned, runs.seeds, assume_unique=True)
    counts = runs.failures(recorded)
    failed = sum(counts.values())
    return {
        "task": task,
        "arm": arm,
        "planned": len(planned),
        "ok": len(recorded) - failed,
        "not_finite": counts.get("not finite", 0),
        **{outcome: counts.get(outcome, 0) for outcome in OUTCOMES},
        "absent": len(planned) - len(recorded),
        "p_fisher": math.nan,
    }


def _fisher(row: dict[str, Any], control: dict[str, Any]) -> float:
    """Two-sided exact p of the two arms' failed and ok runs; NaN where one of them has no run."""
    table = np.array(
        [[own["planned"] - own["absent"] - own["ok"], own["ok"]] for own in (row, control)], dtype=np.int64
    )
    if not table.sum(axis=1).all():
        return math.nan
    return min(1.0, float(fisher_exact(table).pvalue))
