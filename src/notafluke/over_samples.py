"""Evidence over test samples in place of seeds: where every seed is tested on the same days or draws.

Retraining a network brings no further test day and no further draw, so seeds cannot say whether a trading rule beats
the market on other days, or a lottery can be guessed. Here the networks stay as they were trained and the test samples
are the chance: a moving-block bootstrap and White's reality check over days, the exact distribution of the hits over
draws. What is judged are the series that a task gives of each test sample (`Task.by_sample`):

- ``strategy_return`` and ``market_return``: log returns of each day in per cent;
- ``hits``, ``drawn`` and ``numbers``: of each draw how many of ``drawn`` guessed numbers are among the ``drawn`` that
  are drawn out of ``numbers``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from notafluke import stats
from notafluke.overall import ANALYSIS_SEED, RESAMPLES
from notafluke.pairing import Floats, Table
from notafluke.report.columns import OVER_SAMPLES_COLUMNS
from notafluke.stats.hits import fit_p, total_hits_p

Run = tuple[str, str, int]
"""Task, arm and seed."""
Series = Mapping[Run, Mapping[str, Floats]]
"""The series [samples] of each run, by their names."""

RETURNS = ("strategy_return", "market_return")
HITS = ("hits", "drawn", "numbers")
ALL_ARMS = "all arms"
LEAST_DAYS = 30
"""Fewer days are no sample to draw blocks from."""
DAYS_A_YEAR = 252
CONFIDENCE = 0.95
_CHUNK = 250
_INTEGERS = ("samples", "runs", "planned", "m", "block_length", "resamples")


def over_samples(
    alpha: float, table: Table, series: Series, block_length: int | None = None, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Return one row for each task and arm with such series, and for returns one for all arms; OVER_SAMPLES_COLUMNS.

    ``block_length`` (mean length for the reality check) is in days, None for the cube root of their number, rounded:
    the rate at which the error of a block bootstrap's variance is smallest (Hall, Horowitz and Jing 1995).
    """
    rows: list[dict[str, Any]] = []
    for task in dict.fromkeys(task for task, _ in table.planned):
        arms = {arm for own, arm in table.planned if own == task}
        runs = {run: own for run, own in series.items() if run[0] == task and run[1] in arms}
        if returns := _with(runs, RETURNS):
            rows += _of_returns(table, task, returns, block_length, resamples)
        if hits := _with(runs, HITS):
            rows += [_of_hits(table, task, arm, own) for arm, own in _by_arm(table, task, hits)]
    _judge(alpha, rows)
    frame = pd.DataFrame(rows, columns=list(OVER_SAMPLES_COLUMNS))
    for column in _INTEGERS:
        frame[column] = frame[column].astype("Int64")
    return frame


def _with(runs: Series, names: Sequence[str]) -> Series:
    """The runs that have all of these series."""
    return {run: own for run, own in runs.items() if all(name in own for name in names)}


def _by_arm(table: Table, task: str, runs: Series) -> Iterable[tuple[str, Series]]:
    """The planned runs of each arm, arms and seeds sorted."""
    for arm in sorted(arm for planned, arm in table.planned if planned == task):
        seeds = [seed for seed in table.seeds_of(task, arm).tolist() if (task, arm, seed) in runs]
        yield arm, {(task, arm, seed): runs[task, arm, seed] for seed in seeds}


def _row(task: str, arm: str, runs: int, planned: int, reason: str = "", **values: Any) -> dict[str, Any]:
    """A row of an arm's runs; its reason says where planned ones are missing."""
    missing = f"{planned - runs} of {planned} runs left no series" if runs < planned else ""
    reasons = "; ".join(part for part in (reason, missing) if part)
    row = {"task": task, "arm": arm, "runs": runs, "planned": planned, "reason": reasons, "verdict": "cannot decide"}
    return dict.fromkeys(OVER_SAMPLES_COLUMNS, math.nan) | row | values


# --- returns of each day -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Market:
    """A market over its test days, and the runs that traded on these very days.

    ``market`` [days] and ``strategies`` [days, runs] are log returns in per cent, ``resampled`` [resamples, runs + 1]
    the yields of the runs and, last, of the market on resampled days; no resample of too few days.
    """

    market: Floats
    runs: tuple[Run, ...]
    strategies: Floats
    block_length: int
    resampled: Floats

    @classmethod
    def of(cls, runs: Series, block_length: int | None, resamples: int) -> _Market:
        """The market of the first of the runs, with all runs on the same one."""
        market = next(iter(runs.values()))["market_return"]
        same = tuple(run for run, own in runs.items() if np.array_equal(own["market_return"], market))
        strategies = np.column_stack([runs[run]["strategy_return"] for run in same])
        length = block_length or max(1, round(len(market) ** (1 / 3)))
        resampled = np.empty((0, len(same) + 1))
        if len(market) >= LEAST_DAYS:
            both = np.column_stack([strategies, market])
            resampled = annual_yield(resampled_means(both, length, resamples, "moving block"))
        return cls(market, same, strategies, length, resampled)

    def row(self) -> dict[str, Any]:
        """What all rows have in common."""
        few = not len(self.resampled)
        return {
            "over": "test days",
            "samples": len(self.market),
            "unit": "% a year",
            "reference_name": "the market",
            "reference": float(annual_yield(self.market.mean())),
            "reason": f"fewer than {LEAST_DAYS} test days" if few else "",
            "block_length": math.nan if few else self.block_length,
            "resamples": math.nan if few else len(self.resampled),
        }

    def mean_of(self, runs: Collection[Run]) -> dict[str, Any]:
        """The mean yield of an arm's runs against the market's."""
        row = self.row() | {"question": "does the mean of its seeds differ from the market?"}
        if not set(runs) <= set(self.runs):
            return row | {"reason": "its test days are not those of all arms"}
        if not runs:
            return row
        places = [self.runs.index(run) for run in runs]
        mean = float(annual_yield(self.strategies[:, places].mean(axis=0)).mean())
        row |= {"mean": mean, "difference": mean - row["reference"], "method": "moving-block bootstrap"}
        if len(self.resampled):
            differences = self.resampled[:, places].mean(axis=1) - self.resampled[:, -1]
            low, high = np.quantile(differences, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
            row |= {"low": low, "high": high, "p_value": two_sided_p(differences)}
        return row

    def best(self) -> dict[str, Any]:
        """The best of all runs against the market."""
        yields = annual_yield(self.strategies.mean(axis=0))
        best = int(np.argmax(yields))
        row = self.row() | {"question": "is the best of all runs a fluke?", "method": "White's reality check"}
        row |= {"mean": float(yields[best]), "difference": float(yields[best]) - row["reference"]}
        if len(self.resampled):
            row["reason"] = f"the best is {self.runs[best][1]}, seed {self.runs[best][2]}"
            row["p_value"] = reality_check(self.strategies, self.market, self.block_length, len(self.resampled))
        return row


def _of_returns(
    table: Table, task: str, runs: Series, block_length: int | None, resamples: int
) -> list[dict[str, Any]]:
    """The rows of a task with returns: each arm's mean yield against the market's, then the best of all runs."""
    by_arm = dict(_by_arm(table, task, runs))
    market = _Market.of({run: own for arm in by_arm.values() for run, own in arm.items()}, block_length, resamples)
    planned = {arm: len(table.seeds_of(task, arm)) for arm in by_arm}
    rows = [_row(task, arm, len(own), planned[arm], **market.mean_of(own)) for arm, own in by_arm.items()]
    return [*rows, _row(task, ALL_ARMS, len(market.runs), sum(planned.values()), **market.best())]


def annual_yield(mean_log_return: NDArray[np.float64] | float) -> Floats:
    """Return the geometric yield in % a year of a mean daily log return in %, at 252 days a year."""
    return 100 * np.expm1(np.asarray(mean_log_return, dtype=np.float64) * DAYS_A_YEAR / 100)


def two_sided_p(differences: Floats) -> float:
    """Return twice the smaller share of resampled differences at or beyond 0: below 0.05 where 0 is outside 95 %.

    The sample itself counts as one more resample, so that no p is 0.
    """
    beyond = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    return min(1.0, 2 * (int(beyond) + 1) / (len(differences) + 1))


def reality_check(strategies: Floats, market: Floats, block_length: int, resamples: int = RESAMPLES) -> float:
    """Return White's p that the best of the strategies [days, models] is no better than the market [days].

    H. White, A reality check for data snooping, Econometrica 68, 2000: the largest mean difference against those of
    stationary bootstraps (mean block length `block_length`) around the means of the sample; the same as the "upper" p
    of arch's SPA, but quicker. The sample itself counts as one more resample.
    """
    differences = strategies - market[:, None]
    means = differences.mean(axis=0)
    largest = (resampled_means(differences, block_length, resamples, "stationary") - means).max(axis=1)
    return (int(np.count_nonzero(largest >= means.max())) + 1) / (resamples + 1)


def resampled_means(
    values: Floats, block_length: int, resamples: int, kind: Literal["moving block", "stationary"]
) -> Floats:
    """Return the column means [resamples, columns] of values [days, columns] over days resampled in blocks by arch."""
    # Here, because arch costs half a second that most studies do not need.
    from arch.bootstrap import MovingBlockBootstrap, StationaryBootstrap

    days = len(values)
    bootstrap = MovingBlockBootstrap if kind == "moving block" else StationaryBootstrap
    drawn = bootstrap(block_length, np.arange(days), seed=ANALYSIS_SEED).bootstrap(resamples)
    means = np.empty((resamples, values.shape[1]))
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        counts = np.stack([np.bincount(next(drawn)[0][0], minlength=days) for _ in range(size)])
        means[start : start + size] = counts @ values / days
    return means


# --- hits of each draw -------------------------------------------------------------------------------------------


def _of_hits(table: Table, task: str, arm: str, runs: Series) -> dict[str, Any]:
    """The row of an arm: its hits against chance, exactly, and whether those of single draws are spread as by chance.

    Given the draws before it, a draw is by chance hypergeometric whatever the guess, so the total of each run has an
    exact distribution, also where guesses depend on earlier draws. Runs share draws, so the smallest p of the runs is
    multiplied by their number (Bonferroni), which holds for any dependence.
    """
    row: dict[str, Any] = {
        "question": "does it hit more or less than chance?",
        "over": "draws",
        "unit": "numbers a draw",
    }
    row |= {"reference_name": "chance", "method": "exact, each run, Bonferroni over runs"}
    planned = len(table.seeds_of(task, arm))
    if not runs:
        return _row(task, arm, 0, planned, **row)
    hits = [own["hits"] for own in runs.values()]
    chances = [own["drawn"] ** 2 / own["numbers"] for own in runs.values()]
    means = np.array([own.mean() for own in hits])
    excess = means - np.array([own.mean() for own in chances])
    p_values = [total_hits_p(own["hits"], own["drawn"], own["numbers"]) for own in runs.values()]
    fits = [p for own in runs.values() if not math.isnan(p := fit_p(own["hits"], own["drawn"], own["numbers"]))]
    row |= {
        "samples": len(hits[0]),
        "mean": float(means.mean()),
        "reference": float(np.mean([own.mean() for own in chances])),
        "difference": float(excess.mean()),
        "p_value": min(1.0, len(p_values) * min(p_values)),
        "p_fit": min(1.0, len(fits) * min(fits)) if fits else math.nan,
    }
    if len({len(own) for own in hits}) == 1 and len(hits[0]) > 1:
        each_draw = np.mean([own - chance for own, chance in zip(hits, chances, strict=True)], axis=0)
        interval = stats.t_interval(each_draw, confidence=CONFIDENCE)
        row |= {"low": float(interval.low), "high": float(interval.high)}
    row["contrary"] = float(excess[int(np.argmin(p_values))]) * excess.mean() < 0
    return _row(task, arm, len(runs), planned, **row)


# --- verdicts ----------------------------------------------------------------------------------------------------


def _judge(alpha: float, rows: list[dict[str, Any]]) -> None:
    """Fill in p adjusted by Holm over the rows, their number and the verdicts.

    A row of an arm that lacks runs has no p: who is missing may be who failed.
    """
    for row in rows:
        row["m"] = len(rows)
        if row["arm"] != ALL_ARMS and row["runs"] < row["planned"]:
            row |= {"p_value": math.nan, "p_fit": math.nan, "verdict": "incomplete"}
    tested = [row for row in rows if not math.isnan(row["p_value"])]
    if not tested:
        return
    adjusted = stats.holm([row["p_value"] for row in tested], m=len(rows))
    for row, p_value in zip(tested, adjusted, strict=True):
        row |= {"p_holm": float(p_value), "verdict": "better" if row["difference"] > 0 else "worse"}
        if p_value > alpha:
            row["verdict"] = "no evidence"
        elif row.get("contrary"):
            row |= {"verdict": "mixed", "reason": "the run with the smallest p and the mean lie on different sides"}
