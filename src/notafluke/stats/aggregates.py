"""Aggregates over runs and tasks (Agarwal et al. 2021): higher is better, a failed run is -inf.

`scores` hold one row for each run (seed) and one column for each task; one dimension means one task.
"""

import math
from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from notafluke.stats._checks import FloatArray, as_matrix, as_vector, largest_magnitude
from notafluke.stats.effects import count_better


def _refuse_nan(values: FloatArray, name: str) -> FloatArray:
    if values.size == 0:
        raise ValueError(f"{name} is empty")
    if np.isnan(values).any():
        raise ValueError(f"{name} holds NaN: leave an absent run out, and mark a failed one with -inf")
    return values


@overload
def interquartile_mean(scores: ArrayLike, axis: None = None) -> float: ...
@overload
def interquartile_mean(scores: ArrayLike, axis: int) -> FloatArray: ...
def interquartile_mean(scores: ArrayLike, axis: int | None = None) -> float | FloatArray:
    """Return the mean of the middle half of all scores, of any shape, or along one axis.

    n // 4 values are cut at each end, without fractional weights, as by scipy's `trim_mean` and rliable. -inf (failed)
    is cut like any other value; where more than n // 4 failed, the result is -inf (with +inf likewise).
    The order of the scores changes nothing, and negated scores negate the result, to the last digit.
    Raises ValueError for NaN, no scores at all and for +inf together with -inf.
    """
    values = _refuse_nan(np.asarray(scores, dtype=np.float64), "scores")
    if np.isposinf(values).any() and np.isneginf(values).any():
        raise ValueError("scores hold both +inf and -inf: such values have no mean")
    ordered = np.sort(values, axis=None) if axis is None else np.sort(np.moveaxis(values, axis, -1), axis=-1)
    cut = ordered.shape[-1] // 4
    middle = ordered[..., cut : ordered.shape[-1] - cut]
    # A power of two scales without rounding: the sum of huge scores stays inside the float range. Summing each value
    # with its mirror image makes the sum of the negated scores exactly the negated sum.
    exponent = max(math.frexp(largest_magnitude(middle.ravel()))[1] - 900, 0)
    scaled = np.ldexp(middle, -1 - exponent)
    means = np.ldexp(np.mean(scaled + scaled[..., ::-1], axis=-1), exponent)
    return float(means) if axis is None else np.asarray(means)


def interquartile_mean_difference(x: ArrayLike, y: ArrayLike) -> FloatArray:
    """Return the interquartile mean of x minus that of y along the last axis, shape (..., n) to (...).

    A statistic for `paired_stratified_bootstrap`. Two results of -inf (mostly failed on both sides) differ by 0.
    Raises ValueError as `interquartile_mean` does.
    """
    first, second = interquartile_mean(x, axis=-1), interquartile_mean(y, axis=-1)
    with np.errstate(invalid="ignore"):
        return np.where(first == second, 0.0, first - second)


def share_of_better_pairs(x: ArrayLike, y: ArrayLike) -> FloatArray:
    """Return the share of pairs with x above y, ties counted 1/2, along the last axis, shape (..., n) to (...).

    A statistic for `paired_stratified_bootstrap`. Two failed runs (-inf) are a tie.
    Raises ValueError for NaN and for x and y of different shapes.
    """
    first = _refuse_nan(np.asarray(x, dtype=np.float64), "x")
    second = _refuse_nan(np.asarray(y, dtype=np.float64), "y")
    if first.shape != second.shape:
        raise ValueError(f"x and y are not paired: shape {first.shape} against {second.shape}")
    better = np.count_nonzero(first > second, axis=-1) + np.count_nonzero(first >= second, axis=-1)
    return np.asarray(better / (2 * first.shape[-1]), dtype=np.float64)


def mean_score(scores: ArrayLike) -> float:
    """Return the mean over tasks of the mean over runs; ValueError for NaN, infinite values and no scores."""
    means = _task_means(scores)
    return math.fsum(means.tolist()) / means.size


def median_score(scores: ArrayLike) -> float:
    """Return the median over tasks of the mean over runs; ValueError for NaN, infinite values and no scores."""
    return float(np.median(_task_means(scores)))


def _task_means(scores: ArrayLike) -> FloatArray:
    matrix = as_matrix(scores, "scores")
    return np.array([math.fsum(column) / len(column) for column in matrix.T.tolist()])


def optimality_gap(scores: ArrayLike, target: float = 1.0) -> float:
    """Return by how much the scores, cut off at the target, fall short of it in the mean.

    target - mean(min(score, target)) over all runs and tasks; inf when a run failed (-inf).
    Raises ValueError for NaN, no scores and a target that is not finite.
    """
    matrix = as_matrix(scores, "scores", infinite=True)
    if not math.isfinite(target):
        raise ValueError(f"target must be finite, not {target!r}")
    return float(target) - math.fsum(np.minimum(matrix, target).ravel().tolist()) / matrix.size


def performance_profile(
    scores: ArrayLike, thresholds: ArrayLike, *, of: Literal["runs", "task_means"] = "runs"
) -> FloatArray:
    """Return the share of runs (or of task means) strictly above each of the thresholds, shape (thresholds,).

    A failed run (-inf) is above none; task means refuse it.
    Raises ValueError for NaN, no scores, thresholds of another shape and an unknown `of`.
    """
    if of not in ("runs", "task_means"):
        raise ValueError(f"of must be 'runs' or 'task_means', not {of!r}")
    values = as_matrix(scores, "scores", infinite=True).ravel() if of == "runs" else _task_means(scores)
    limits = as_vector(thresholds, "thresholds", infinite=True)
    return (values.size - np.searchsorted(np.sort(values), limits, side="right")) / values.size


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float:
    """Return the mean over tasks of P(a run of x beats a run of y), ties counted 1/2, unpaired (Agarwal et al. 2021).

    Per task the Mann-Whitney U / (n_x n_y), shapes (n_x, tasks) and (n_y, tasks), or (n_x,) and (n_y,). Failed runs
    are -inf. For runs paired by seed see `paired_probability_of_improvement`.
    Raises ValueError for NaN, no scores and unequal numbers of tasks.
    """
    first, second = as_matrix(x, "x", infinite=True), as_matrix(y, "y", infinite=True)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"x and y hold different numbers of tasks: {first.shape[1]} against {second.shape[1]}")
    doubled = sum(count_better(a, b) for a, b in zip(first.T, second.T, strict=True))
    return float(doubled / (2 * first.shape[0] * second.size))
