"""The sign-flip test across tasks: one p-value for a fixed suite."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from notafluke.stats._checks import (
    Alternative,
    FloatArray,
    as_probability,
    as_vector,
    check_alternative,
    smallest_attainable_p,
)
from notafluke.stats.ranks import Zeros, signed_ranks
from notafluke.stats.sign_flip import DEFAULT_DRAWS, DEFAULT_SEED, LARGEST_EXACT_N

_CHUNK = 2_000_000
_LARGEST_INT64_SUM = 2**62

FlipMethod = Literal["flips", "normal"]

# Whole numbers: int64 where they fit, otherwise Python's own (dtype object).
WholeArray = NDArray[Any]


@dataclass(frozen=True, slots=True)
class StratifiedSignFlipResult:
    """Result of `stratified_sign_flip_test`.

    `statistic` is the mean over the `tasks` of `rank_biserials`, which are in the order given; `n` counts the pairs of
    all tasks, `draws` is None for the exact test and for the normal approximation, `smallest_p` is the smallest p that
    could have come out.
    """

    statistic: float
    p_value: float
    rank_biserials: tuple[float, ...]
    tasks: int
    n: int
    n_nonzero: int
    smallest_p: float
    alternative: Alternative
    draws: int | None


@dataclass(frozen=True, slots=True, order=True)
class _Task:
    """Ranks of the non-zero pairs of one task, ascending, and the sum of all ranks: whole numbers in lowest terms."""

    total: int
    ranks: tuple[int, ...]
    signed_sum: int

    @property
    def rank_biserial(self) -> Fraction:
        return Fraction(self.signed_sum, self.total) if self.ranks else Fraction(0)


def _task(differences: FloatArray, zeros: Zeros, scale: float | None) -> _Task:
    ranks = signed_ranks(differences, zeros, scale=scale)
    doubled = [round(2 * rank) for rank in ranks.nonzero.tolist()]
    total = round(2 * (ranks.w_plus + ranks.w_minus))
    divisor = math.gcd(total, *doubled) or 1
    return _Task(
        total=total // divisor,
        ranks=tuple(rank // divisor for rank in doubled),
        signed_sum=round(2 * float(ranks.positive.sum() - ranks.negative.sum())) // divisor,
    )


def _weights(tasks: Sequence[_Task]) -> tuple[WholeArray, int]:
    """Return whole numbers, one for each task, by which its rank sums count, and the observed weighted sum.

    Fractions with different denominators are compared exactly over their common denominator.
    """
    common = math.lcm(*(task.total for task in tasks))
    weights = [common // task.total for task in tasks]
    observed = sum(weight * task.signed_sum for weight, task in zip(weights, tasks, strict=True))
    fits = len(tasks) * common < _LARGEST_INT64_SUM
    return np.array(weights, dtype=np.int64 if fits else np.object_), observed


def _count_as_extreme(sums: WholeArray, observed: int, alternative: Alternative) -> int:
    # As in `sign_flip_test`, "less" is "greater" with all signs turned, drawn ones included.
    if alternative == "two-sided":
        return int(np.count_nonzero(np.abs(sums) >= abs(observed)))
    return int(np.count_nonzero(sums >= (observed if alternative == "greater" else -observed)))


def _exact_p(tasks: Sequence[_Task], alternative: Alternative) -> float:
    weights, observed = _weights(tasks)
    sums = np.zeros(1, dtype=weights.dtype)
    for task, weight in zip(tasks, weights, strict=True):
        for rank in task.ranks:
            sums = np.concatenate([sums - weight * rank, sums + weight * rank])
    return _count_as_extreme(sums, observed, alternative) / sums.size


def _monte_carlo_p(tasks: Sequence[_Task], alternative: Alternative, draws: int, rng: np.random.Generator) -> float:
    weights, observed = _weights(tasks)
    sizes = [len(task.ranks) for task in tasks]
    # One column for each task: its ranks in the rows of its pairs. Such sums are exact as floats.
    ranks = np.zeros((sum(sizes), len(tasks)))
    ranks[np.arange(sum(sizes)), np.repeat(np.arange(len(tasks)), sizes)] = [r for task in tasks for r in task.ranks]
    flipped_totals = ranks.sum(axis=0)
    as_extreme = 0
    chunk = max(1, _CHUNK // max(1, sum(sizes)))
    for start in range(0, draws, chunk):
        negative = rng.integers(0, 2, size=(min(chunk, draws - start), sum(sizes)), dtype=np.int8)
        signed_sums = (flipped_totals - 2.0 * (negative.astype(np.float64) @ ranks)).astype(np.int64)
        as_extreme += _count_as_extreme(signed_sums.astype(weights.dtype) @ weights, observed, alternative)
    return (as_extreme + 1) / (draws + 1)


def _normal_p(tasks: Sequence[_Task], alternative: Alternative) -> float:
    variance = math.fsum((rank / task.total) ** 2 for task in tasks for rank in task.ranks)
    z = float(sum((task.rank_biserial for task in tasks), Fraction(0))) / math.sqrt(variance)
    if alternative == "two-sided":
        return 2.0 * float(ndtr(-abs(z)))
    return float(ndtr(z if alternative == "less" else -z))


def _scales(scale: ArrayLike | None, tasks: int) -> list[float | None]:
    if scale is None:
        return [None] * tasks
    if np.ndim(scale) == 0:
        return [float(np.asarray(scale, dtype=np.float64))] * tasks
    scales = as_vector(scale, "scale")
    if scales.size != tasks:
        raise ValueError(f"scale must be one number or one for each of the {tasks} tasks, not {scales.size}")
    return list(scales.tolist())


def stratified_sign_flip_test(
    differences_by_task: Sequence[ArrayLike],
    alternative: Alternative = "two-sided",
    draws: int | None = DEFAULT_DRAWS,
    rng: np.random.Generator | int | None = None,
    *,
    method: FlipMethod = "flips",
    zeros: Zeros = "wilcox",
    scale: ArrayLike | None = None,
) -> StratifiedSignFlipResult:
    """Test paired differences (treatment - control) of several tasks at once by flipping signs within the tasks.

    `differences_by_task` holds one vector of shape (n_task,) for each task of a fixed suite. The statistic is the mean
    over tasks of `rank_biserial`, so each task counts alike whatever its scale and number of seeds; a task of zeros
    only counts as 0. Monte-Carlo with `draws` sign assignments, p = (1 + hits) / (1 + draws) (Phipson and Smyth 2010),
    never below the smallest p of the exact test. draws=None: exact over all 2^n assignments while there are at most 20
    non-zero pairs in all, otherwise 99,999 draws. `rng` is a Generator or a seed; None is seed 0. method="normal" takes
    the distribution of the flipped sum as normal, with its exact variance: for hundreds of pairs and more.

    +-inf marks a failed pair and takes the largest rank of its task. Sums are compared as fractions over their common
    denominator, in whole numbers, so that equal ones tie; the order of seeds and of tasks changes nothing, to the last
    digit. `zeros` is that of `signed_rank_test`, `scale` the largest |score| of all tasks or one for each task (see
    `round_significant`). All zeros give p = 1.
    Raises ValueError for NaN, no tasks, an empty task, unknown options or draws below 1.
    """
    check_alternative(alternative)
    if method not in get_args(FlipMethod):
        raise ValueError(f"method must be one of {get_args(FlipMethod)}, not {method!r}")
    if draws is not None and draws < 1:
        raise ValueError(f"draws must be at least 1, not {draws!r}")
    if len(differences_by_task) == 0:
        raise ValueError("differences_by_task holds no task")
    vectors = [
        as_vector(differences, f"differences_by_task[{index}]", infinite=True)
        for index, differences in enumerate(differences_by_task)
    ]
    tasks = [_task(v, zeros, s) for v, s in zip(vectors, _scales(scale, len(vectors)), strict=True)]
    # Ordered by their ranks, not by their position: the draws then belong to the data. Zeros only have nothing to flip.
    flipping = sorted(task for task in tasks if task.ranks)
    n_nonzero = sum(len(task.ranks) for task in flipping)
    smallest_p = smallest_attainable_p(n_nonzero, alternative)
    if method == "normal":
        draws = None
    elif draws is None and n_nonzero > LARGEST_EXACT_N:
        draws = DEFAULT_DRAWS
    if not flipping:
        p_value = 1.0
    elif method == "normal":
        p_value = max(_normal_p(flipping, alternative), smallest_p)
    elif draws is None:
        p_value = _exact_p(flipping, alternative)
    else:
        generator = np.random.default_rng(DEFAULT_SEED if rng is None else rng)
        smallest_p = max(smallest_p, 1 / (draws + 1))
        p_value = max(_monte_carlo_p(flipping, alternative, draws, generator), smallest_p)
    return StratifiedSignFlipResult(
        statistic=float(sum((task.rank_biserial for task in tasks), Fraction(0)) / len(tasks)),
        p_value=as_probability(p_value),
        rank_biserials=tuple(float(task.rank_biserial) for task in tasks),
        tasks=len(tasks),
        n=sum(vector.size for vector in vectors),
        n_nonzero=n_nonzero,
        smallest_p=smallest_p,
        alternative=alternative,
        draws=draws,
    )
