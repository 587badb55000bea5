"""All pairs after Friedman's test, and adjustments for all pairs of k treatments: for parity with other packages.

Pairs are in the order (0, 1), (0, 2), ..., (k - 2, k - 1). Verdicts come from pairwise signed-rank tests instead: a
test on mean ranks depends on which other treatments are in the pool.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, stdtr

from notafluke.stats._checks import FloatArray, as_probability
from notafluke.stats.friedman import RankTable, mean_rank_standard_error, range_p, rank_table
from notafluke.stats.multiplicity import check_p_values, step_down

RankTest = Literal["nemenyi", "siegel", "conover"]

_LARGEST_EXHAUSTIVE_K = 9


@dataclass(frozen=True, slots=True)
class RankComparisons:
    """Result of `rank_comparisons`: statistic (positive where j ranks better) and p for each of the `pairs` (i, j)."""

    pairs: tuple[tuple[int, int], ...]
    statistics: tuple[float, ...]
    p_values: tuple[float, ...]
    method: RankTest


def rank_comparisons(scores: ArrayLike, method: RankTest = "siegel", *, control: int | None = None) -> RankComparisons:
    """Compare mean ranks of treatments (columns) over tasks (rows), all pairs or each with the `control` column.

    "siegel": z = difference / sqrt(k (k + 1) / (6 n)) with a normal p, raw (Siegel and Castellan 1988; Demsar 2006);
    "nemenyi": the same z times sqrt(2) with the p of the range of k normals, adjusted for all pairs; "conover": t with
    (n - 1)(k - 1) degrees of freedom, raw (Conover 1999). Only Conover's corrects for ties. When all tasks agree, it is
    +-inf for treatments that differ, with the p k!^(1 - n) of such an agreement.
    Raises ValueError for NaN, fewer than 2 treatments, an unknown method or control.
    """
    if method not in get_args(RankTest):
        raise ValueError(f"method must be one of {get_args(RankTest)}, not {method!r}")
    table = rank_table(scores)
    if control is not None and control not in range(table.k):
        raise ValueError(f"control must be a column from 0 to {table.k - 1}, not {control!r}")
    pairs = [pair for pair in itertools.combinations(range(table.k), 2) if control is None or control in pair]
    if control is not None:
        pairs = [(control, first + second - control) for first, second in pairs]
    compare = {"siegel": _siegel, "nemenyi": _nemenyi, "conover": _conover}[method]
    results = [compare(table, float(table.sums[first] - table.sums[second])) for first, second in pairs]
    return RankComparisons(
        pairs=tuple(pairs),
        statistics=tuple(statistic for statistic, _ in results),
        p_values=tuple(as_probability(p) for _, p in results),
        method=method,
    )


def _siegel(table: RankTable, difference: float) -> tuple[float, float]:
    z = difference / table.n / mean_rank_standard_error(table.k, table.n)
    return z, 2.0 * float(ndtr(-abs(z)))


def _nemenyi(table: RankTable, difference: float) -> tuple[float, float]:
    q = math.sqrt(2.0) * _siegel(table, difference)[0]
    return q, range_p(abs(q), table.k)


def _conover(table: RankTable, difference: float) -> tuple[float, float]:
    if difference == 0.0:
        return 0.0, 1.0
    # Doubled ranks are whole numbers, so that full agreement leaves exactly 0.
    spread = float(table.n * np.square(2 * table.ranks).sum() - np.square(2 * table.sums).sum()) / 4
    if spread <= 0.0:
        return math.copysign(math.inf, difference), table.agreement_p
    df = (table.n - 1) * (table.k - 1)
    t = difference / math.sqrt(2.0 * spread / df)
    return t, 2.0 * float(stdtr(df, -abs(t)))


def _treatments(p: FloatArray) -> int:
    k = (1 + math.isqrt(1 + 8 * p.size)) // 2
    if k < 2 or k * (k - 1) // 2 != p.size:
        raise ValueError(f"{p.size} p-values are not those of all pairs of k treatments, k (k - 1) / 2")
    return k


def _numbers_of_true(k: int) -> set[int]:
    """Return how many of all pairs of k treatments can be truly equal at once (Shaffer 1986)."""
    possible: list[set[int]] = [{0}, {0}]
    for size in range(2, k + 1):
        possible.append({math.comb(j, 2) + rest for j in range(1, size + 1) for rest in possible[size - j]})
    return possible[k]


def shaffer(p_values: ArrayLike) -> FloatArray:
    """Adjust the p-values of all pairs of k treatments, shape (k (k - 1) / 2,), by Shaffer's (1986) static procedure.

    Holm's step-down with the largest number of pairs that can still be equal in place of the number of pairs left. The
    order does not matter. Raises ValueError for p-values outside [0, 1], NaN and a number that is not k (k - 1) / 2.
    """
    p = check_p_values(p_values)
    possible = _numbers_of_true(_treatments(p))
    factors = np.array([max(number for number in possible if number <= p.size - i) for i in range(p.size)])
    return step_down(p, lambda ascending: factors * ascending)


def _partitions(k: int) -> Iterator[tuple[int, ...]]:
    """Yield every partition of k treatments as the block of each treatment."""

    def extend(blocks: tuple[int, ...], used: int) -> Iterator[tuple[int, ...]]:
        if len(blocks) == k:
            yield blocks
            return
        for block in range(used + 1):
            yield from extend((*blocks, block), max(used, block + 1))

    return extend((), 0)


def bergmann_hommel(p_values: ArrayLike) -> FloatArray:
    """Adjust the p-values of all pairs of k <= 9 treatments by Bergmann and Hommel's (1988) procedure.

    `p_values` are in the order (0, 1), (0, 2), ..., (k - 2, k - 1). The adjusted p of a pair is the largest
    |I| min(p in I) over the exhaustive sets I that hold it: the pairs within the blocks of a partition of the
    treatments. Raises ValueError as `shaffer` does, and for k > 9 (there are too many partitions).
    """
    p = check_p_values(p_values)
    k = _treatments(p)
    if k > _LARGEST_EXHAUSTIVE_K:
        raise ValueError(f"{k} treatments are too many for Bergmann and Hommel (at most {_LARGEST_EXHAUSTIVE_K})")
    first, second = np.triu_indices(k, 1)
    adjusted = p.copy()
    for partition in _partitions(k):
        blocks = np.array(partition)
        equal = blocks[first] == blocks[second]
        if equal.any():
            bound = np.count_nonzero(equal) * p[equal].min()
            adjusted[equal] = np.maximum(adjusted[equal], bound)
    return np.minimum(adjusted, 1.0)
