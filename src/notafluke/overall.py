"""Over all tasks: each arm against the control on the study's suite, for readers who ask for one number.

Scores of different tasks are made comparable as ``direction * (score - control mean) / control SD``. Task x seed is
never counted as n: signs are flipped and seeds resampled within tasks, and only the means of tasks speak for other
tasks. The claims are decided task by task, not here.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from notafluke import stats
from notafluke.claims import StudyLike, control_not_learned
from notafluke.looks import Schedule
from notafluke.pairing import Floats, Pairs, Table
from notafluke.report.columns import OVERALL_COLUMNS
from notafluke.report.numbers import number, p_text
from notafluke.stats.t_tests import moments
from notafluke.study import CONTROL

ANALYSIS_SEED = 0
RESAMPLES = 10_000
# A table of very many runs is resampled less often and takes the normal limit: a million runs must not take hours.
LEAST_RESAMPLES = 200
_LARGEST_WORK = 400_000_000
_PAIRS_FOR_NORMAL = 100
# Below, scores divided by the SD could leave the float range.
_SMALLEST_SD = 1e-150
_TASKS_FOR_NEW_TASKS = 6
_INTEGERS = ("tasks", "pairs", "wins", "ties", "losses", "resamples", "m")


@dataclass(frozen=True)
class Suite:
    """The tasks that can be put together, and why the others cannot: by task the control's mean and SD, or a reason."""

    scales: Mapping[str, tuple[float, float]]
    left_out: Mapping[str, str]

    @classmethod
    def of(cls, study: StudyLike, table: Table) -> Suite:
        """The tasks on which the control learned and its scores on the primary metric vary."""
        scales, left_out = {}, {}
        for task in dict.fromkeys(task for task, _ in table.planned):
            scores = _control_scores(table, task)
            reason = control_not_learned(study.alpha, table, task).partition(":")[0]
            if (task, CONTROL) not in table.planned:
                reason = "no control"
            spread = moments(scores) if len(scores) > 1 else None
            if not reason and (spread is None or spread.sd < _SMALLEST_SD):
                reason = "the control's scores do not vary"
            if reason or spread is None:
                left_out[task] = reason
            else:
                scales[task] = (spread.mean, spread.sd)
        return cls(scales, left_out)

    def standardised(self, task: str, scores: Floats, sign: float) -> Floats:
        """Scores in control SD, positive = better than the control's mean; a failed run is minus infinity."""
        mean, sd = self.scales[task]
        return np.asarray(np.where(np.isfinite(scores), sign * (scores - mean) / sd, -np.inf), dtype=np.float64)


def overall(study: StudyLike, table: Table, suite: Suite | None = None) -> pd.DataFrame:
    """Return one row for each arm beside the control: how it does over all tasks; OVERALL_COLUMNS."""
    suite = suite or Suite.of(study, table)
    ranks = mean_ranks(table, tuple(suite.scales))
    arms = sorted({arm for _, arm in table.planned} - {CONTROL})
    resamples = _resamples(table)
    rows = [_row(study, table, suite, arm, ranks.get(arm, math.nan), len(arms), resamples) for arm in arms]
    known = [row for row in rows if not math.isnan(row["p_sequential"])]
    if known:
        for row, p_value in zip(known, stats.holm([row["p_sequential"] for row in known], m=len(rows)), strict=True):
            row["p_holm"] = float(p_value)
    for row in rows:
        row["verdict"], row["reason"] = _verdict(study, row)
    frame = pd.DataFrame(rows, columns=list(OVERALL_COLUMNS))
    for column in _INTEGERS:
        frame[column] = frame[column].astype("Int64")
    return frame


def mean_ranks(table: Table, tasks: Sequence[str]) -> dict[str, float]:
    """The mean rank of each arm that is on all tasks, 1 = best: over the seeds of a task, then over tasks.

    A failed run ranks last. Seeds that are not recorded for every arm are left out.
    """
    ranked = task_ranks(table, tasks)
    return dict(zip(ranked.columns, ranked.mean(axis=0), strict=True)) if len(ranked) else {}


def task_ranks(table: Table, tasks: Sequence[str]) -> pd.DataFrame:
    """The mean rank of each arm (columns) on each task (rows), of the arms that are planned on all of them.

    Without a row where on some task no seed is recorded for all of them.
    """
    arms = sorted({arm for _, arm in table.planned if all((task, arm) in table.planned for task in tasks)})
    rows = {}
    for task in tasks:
        metric = table.metric(task, None)
        runs = [table.arm(task, metric.name, arm) for arm in arms]
        seeds = reduce(partial(np.intersect1d, assume_unique=True), [own.seeds for own in runs])
        if not len(seeds):
            return pd.DataFrame(columns=arms)
        scores = np.array([own.values[np.searchsorted(own.seeds, seeds)] for own in runs])
        failed_last = np.where(np.isfinite(scores), -scores if metric.direction != "lower" else scores, np.inf)
        rows[task] = rankdata(failed_last, axis=0).mean(axis=1)
    return pd.DataFrame(rows, index=arms).T


def friedman_note(table: Table, tasks: Sequence[str]) -> str:
    """Friedman's test of the arms' mean ranks over tasks, in words; empty with fewer than three arms or two tasks."""
    ranks = task_ranks(table, tasks)
    if len(ranks) < 2 or ranks.shape[1] < 3:
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateWarning)
        result = stats.friedman_test(-ranks.to_numpy(np.float64))
    return (
        f"Friedman's test over {len(ranks)} tasks and {ranks.shape[1]} arms, for information: "
        f"chi-squared {result.statistic:.3g}, p = {result.p_value:.3g}."
    )


def _control_scores(table: Table, task: str) -> Floats:
    metric = table.metric(task, None)
    values = table.arm(task, metric.name, CONTROL).values
    return values[np.isfinite(values)]


def _resamples(table: Table) -> int:
    """How often a table of this size is resampled."""
    pairs = sum(len(seeds) for (_, arm), seeds in table.planned.items() if arm != CONTROL)
    return int(min(RESAMPLES, max(LEAST_RESAMPLES, _LARGEST_WORK // max(1, pairs))))


def _row(study: StudyLike, table: Table, suite: Suite, arm: str, rank: float, m: int, resamples: int) -> dict[str, Any]:
    planned = [task for task in suite.scales if (task, arm) in table.planned and (task, CONTROL) in table.planned]
    left_out = {task: reason for task, reason in suite.left_out.items() if (task, arm) in table.planned}
    pairs = {task: _pairs(table, task, arm) for task in planned}
    complete = bool(pairs) and all(own.planned and len(own.seeds) == own.planned for own in pairs.values())
    row: dict[str, Any] = dict.fromkeys(OVERALL_COLUMNS, math.nan) | {
        "treatment": arm,
        "control": CONTROL,
        "tasks": len(pairs),
        "task_names": ", ".join(pairs),
        "left_out": "; ".join(f"{task}: {reason}" for task, reason in left_out.items()),
        "pairs": sum(len(own.seeds) for own in pairs.values()),
        "m": m,
        "mean_rank": rank,
        "complete": complete,
    }
    recorded = {task: own for task, own in pairs.items() if len(own.seeds)}
    if not recorded:
        return row
    signs = [float(np.sign(stats.rank_biserial(own.improvements))) for own in recorded.values()]
    row |= {"wins": signs.count(1.0), "ties": signs.count(0.0), "losses": signs.count(-1.0)}
    row |= _bootstrapped(suite, recorded, resamples)
    if complete:
        schedule = Schedule.of(study)
        looks = [{task: own.first(size) for task, own in pairs.items()} for size in schedule.past[:-1]] + [pairs]
        tests = [_fixed_suite(look, large=resamples < RESAMPLES) for look in looks]
        signs = [float(np.sign(own.statistic)) for own in tests]
        p_sequential, tested_sign = schedule.sequential([own.p_value for own in tests], signs)
        row |= {"p_fixed_suite": tests[-1].p_value, "p_sequential": p_sequential}
        row |= {"rank_biserial": tests[-1].statistic, "tested_sign": tested_sign, "smallest_p": tests[-1].smallest_p}
        row["p_new_tasks"] = _p_new_tasks(suite, pairs)
    return row


def _pairs(table: Table, task: str, arm: str) -> Pairs:
    metric = table.metric(task, None)
    return table.pairs(task, metric.name, arm, CONTROL, metric.direction)


def _bootstrapped(suite: Suite, pairs: Mapping[str, Pairs], resamples: int) -> dict[str, Any]:
    """Difference of the interquartile means and probability of improvement, with intervals."""
    treated = [suite.standardised(task, own.treatment, own.sign) for task, own in pairs.items()]
    control = [suite.standardised(task, own.control, own.sign) for task, own in pairs.items()]
    wins = [(1 + np.sign(own.improvements)) / 2 for own in pairs.values()]
    sizes = np.cumsum([len(own) for own in wins])[:-1]

    def improvement(x: Floats, _: Floats) -> Floats:
        shares = [part.mean(axis=-1) for part in np.split(x, sizes, axis=-1)]
        return np.asarray(np.mean(shares, axis=0), dtype=np.float64)

    difference = stats.paired_stratified_bootstrap(
        treated, control, stats.interquartile_mean_difference, resamples=resamples, rng=ANALYSIS_SEED
    )
    share = stats.paired_stratified_bootstrap(wins, wins, improvement, resamples=resamples, rng=ANALYSIS_SEED)
    return {
        "iqm": difference.estimate,
        "iqm_low": difference.low,
        "iqm_high": difference.high,
        "p_improvement": share.estimate,
        "p_improvement_low": share.low,
        "p_improvement_high": share.high,
        "resamples": resamples,
    }


def _fixed_suite(pairs: Mapping[str, Pairs], large: bool) -> stats.StratifiedSignFlipResult:
    """The test across these very tasks. In a large table many pairs take the normal limit."""
    improvements = [own.improvements for own in pairs.values()]
    normal = large and sum(map(len, improvements)) >= _PAIRS_FOR_NORMAL
    return stats.stratified_sign_flip_test(
        improvements, draws=None, rng=ANALYSIS_SEED, method="normal" if normal else "flips"
    )


def _p_new_tasks(suite: Suite, pairs: Mapping[str, Pairs]) -> float:
    """p for other tasks of the kind, from one number a task; NaN with fewer than six tasks.

    A task in which one arm failed more often has that arm behind by more than any number.
    """
    if len(pairs) < _TASKS_FOR_NEW_TASKS:
        return math.nan
    means = []
    for task, own in pairs.items():
        failed = float(np.sum(np.sign(own.improvements[np.isinf(own.improvements)])))
        finished = own.finished_improvements / suite.scales[task][1]
        mean = math.fsum(finished.tolist()) / len(finished) if len(finished) else 0.0
        means.append(math.copysign(math.inf, failed) if failed else mean)
    return float(stats.signed_rank_test(means).p_value)


def _verdict(study: StudyLike, row: Mapping[str, Any]) -> tuple[str, str]:
    if not row["tasks"]:
        return "cannot decide", f"no task to compare on ({row['left_out']})" if row["left_out"] else "no task"
    if not row["complete"]:
        return "incomplete", "planned runs are absent"
    level = Schedule.of(study).level(study.alpha / row["m"])
    if row["smallest_p"] > level:
        return "cannot decide", f"the smallest possible p {p_text(row['smallest_p'])} is above {number(level)}"
    if row["p_holm"] > study.alpha:
        return "no evidence", ""
    ranks = float(np.sign(row["rank_biserial"]))
    if ranks != row["tested_sign"]:
        return "mixed", "an earlier look showed the opposite of all pairs together"
    if row["iqm"] * ranks < 0:
        return "mixed", "ranks and interquartile means differ in sign"
    return ("better" if ranks > 0 else "worse"), ""
