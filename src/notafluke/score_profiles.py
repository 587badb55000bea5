"""Performance profiles: for every score, which share of an arm's runs is above it (Agarwal et al. 2021)."""

from __future__ import annotations

import numpy as np

from notafluke import stats
from notafluke.overall import ANALYSIS_SEED, Suite
from notafluke.pairing import Floats, Table
from notafluke.report.profiles import Profile
from notafluke.study import CONTROL

THRESHOLDS = 101
RESAMPLES = 2_000
MOST_ARMS = 100
_SHOWN = (0.01, 0.99)
# One arm that fails by hundreds of SD must not squeeze all others into a line.
_WIDEST = 8.0


def score_profiles(table: Table, suite: Suite) -> list[Profile]:
    """Return the profile of each arm that is on all tasks of the suite, the control first; none for very many arms.

    Scores are in control SD, failed runs minus infinity: never above anything. Bands are pointwise 95 % intervals of
    the stratified bootstrap, whose share above a threshold is a mean of binomial ones.
    """
    tasks = list(suite.scales)
    arms = sorted({arm for _, arm in table.planned if all((task, arm) in table.planned for task in tasks)})
    if len(arms) > MOST_ARMS:
        return []
    arms = [CONTROL, *(arm for arm in arms if arm != CONTROL)]
    scores = {arm: [_standardised(suite, table, task, arm) for task in tasks] for arm in arms} if tasks else {}
    scores = {arm: own for arm, own in scores.items() if all(len(part) for part in own)}
    finite = [part[np.isfinite(part)] for own in scores.values() for part in own]
    if not finite or not sum(map(len, finite)):
        return []
    low, high = np.clip(np.quantile(np.concatenate(finite), _SHOWN), -_WIDEST, _WIDEST)
    margin = 0.05 * (high - low) or 1.0
    thresholds = np.linspace(low - margin, high + margin, THRESHOLDS)
    return [_profile(arm, own, thresholds) for arm, own in scores.items()]


def _standardised(suite: Suite, table: Table, task: str, arm: str) -> Floats:
    metric = table.metric(task, None)
    runs = table.arm(task, metric.name, arm)
    wanted = np.isin(runs.seeds, table.seeds_of(task, arm), assume_unique=True)
    sign = -1.0 if metric.direction == "lower" else 1.0
    return suite.standardised(task, runs.values[wanted], sign)


def _profile(arm: str, by_task: list[Floats], thresholds: Floats) -> Profile:
    shares = np.array([stats.performance_profile(part, thresholds) for part in by_task])
    sizes = np.array([len(part) for part in by_task])
    generator = np.random.default_rng(ANALYSIS_SEED)
    drawn = generator.binomial(sizes[:, None], shares, size=(RESAMPLES, *shares.shape)).sum(axis=1) / sizes.sum()
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0, method="nearest")
    return Profile(
        arm=arm,
        thresholds=thresholds,
        share=(shares * sizes[:, None]).sum(axis=0) / sizes.sum(),
        low=low,
        high=high,
        n_runs=int(sizes.sum()),
        n_tasks=len(by_task),
        failed=int(sum(np.isinf(part).sum() for part in by_task)),
    )
