"""Seed luck: is the best of n seeds more than n tries would give, and does the mean beat the baseline at all?"""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal

import numpy as np
import pandas as pd

from notafluke import stats
from notafluke.claims import records
from notafluke.pairing import Metric, Table
from notafluke.report.columns import LUCK_COLUMNS
from notafluke.study import BASELINE_PREFIX, CONTROL

MOST_DRAWN = 40
LuckVerdict = Literal["better", "worse", "best is luck", "no evidence"]


def seed_luck(alpha: float, table: Table) -> pd.DataFrame:
    """Return one row for each task, metric and baseline, and each arm; LUCK_COLUMNS."""
    rows = []
    for task, name, metric_name in table.baselines:
        metric = table.metric(task, metric_name)
        if metric.direction:
            arms = sorted(arm for planned, arm in table.planned if planned == task)
            rows += [_row(alpha, table, task, metric, name, arm) for arm in arms]
    frame = pd.DataFrame([row for row in rows if row], columns=list(LUCK_COLUMNS))
    for column in ("n", "failed"):
        frame[column] = frame[column].astype("Int64")
    return frame


def to_draw(luck: pd.DataFrame, decisions: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``luck`` that a figure shows: all, where these are not more than ``MOST_DRAWN``.

    Else those against baselines that claims compare with, or trivial ones on the primary metric; and if these are still
    too many, what the claims compare and the controls.
    """
    rows = list(zip(luck["task"], luck["metric"], luck["baseline_name"], luck["arm"], strict=True))
    claimed = {
        (row["task"], row["metric"], str(row["control"]).removeprefix(BASELINE_PREFIX), row["treatment"])
        for row in records(decisions)
        if str(row["control"]).startswith(BASELINE_PREFIX)
    }
    baselines = {own[:3] for own in claimed} | _trivial(decisions, scores)
    near = [own[:3] in baselines for own in rows]
    nearest = [own in claimed or (own[:3] in baselines and own[3] == CONTROL) for own in rows]
    if len(rows) <= MOST_DRAWN:
        return luck
    return luck[near] if sum(near) <= MOST_DRAWN else luck[nearest]


def _trivial(decisions: pd.DataFrame, scores: pd.DataFrame) -> set[tuple[str, str, str]]:
    """Task, primary metric and name of each task's trivial baseline."""
    primary = scores[scores["primary"].astype(bool)]
    metrics = dict(zip(primary["task"], primary["metric"], strict=True))
    names = zip(decisions["task"], decisions["baseline_name"], strict=True)
    return {(task, metrics[task], name) for task, name in names if task in metrics}


def _row(alpha: float, table: Table, task: str, metric: Metric, name: str, arm: str) -> dict[str, Any]:
    """The row of one arm against one baseline; empty where no run of the arm has a baseline."""
    pairs = table.pairs(task, metric.name, arm, BASELINE_PREFIX + name, metric.direction)
    if not len(pairs.seeds):
        return {}
    finished = np.isfinite(pairs.treatment)
    baseline = math.fsum(pairs.control.tolist()) / len(pairs.control)
    scores = (pairs.treatment - pairs.control + baseline)[finished]
    failed = int((~finished).sum())
    row: dict[str, Any] = dict.fromkeys(LUCK_COLUMNS, math.nan) | {
        "task": task,
        "metric": metric.name,
        "unit": metric.unit,
        "direction": metric.direction,
        "arm": arm,
        "n": len(scores),
        "failed": failed,
        "baseline_name": name,
        "baseline": baseline,
        "verdict": "cannot decide",
    }
    if len(scores) < 2:
        return row
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateWarning)
        luck = stats.best_of_n(pairs.sign * scores, pairs.sign * baseline)
    row |= {
        "mean": pairs.sign * luck.mean,
        "sd": luck.sd,
        "best": pairs.sign * luck.best,
        "expected_best": pairs.sign * luck.expected_best,
        "best_quantile_95": pairs.sign * luck.best_quantile_95,
        "p_single_beats_baseline": luck.p_single_beats_baseline,
        "p_best_beats_baseline": luck.p_best_beats_baseline,
    }
    verdict = luck_verdict(alpha, luck)
    if not failed and table.is_over_seeds(task, metric.name, BASELINE_PREFIX + name):
        row |= {"p_value": luck.p_value, "verdict": verdict}
    elif not failed and verdict == "best is luck":
        row["verdict"] = verdict
    return row


def luck_verdict(alpha: float, luck: stats.BestOfNResult) -> LuckVerdict:
    """What the seeds say of their mean, or that only their best beats the baseline."""
    significant = luck.p_value <= alpha
    if luck.mean > luck.baseline:
        return "better" if significant else "no evidence"
    if luck.best > luck.baseline:
        return "best is luck"
    return "worse" if significant else "no evidence"
