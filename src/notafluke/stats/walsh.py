"""The Hodges-Lehmann estimate of a paired shift with its exact interval."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from notafluke.stats._checks import as_vector, check_open_unit
from notafluke.stats.signed_rank import LARGEST_EXACT_N, null_counts


@dataclass(frozen=True, slots=True)
class HodgesLehmannResult:
    """Result of `hodges_lehmann`: `confidence` is the one asked for, `achieved` the exact one of the limits."""

    estimate: float
    low: float
    high: float
    confidence: float
    achieved: float
    n: int


def hodges_lehmann(differences: ArrayLike, confidence: float = 0.95) -> HodgesLehmannResult:
    """Return the median of the Walsh averages of paired differences, shape (n,), n <= 1000 (Hodges and Lehmann 1963).

    The limits are the (c + 1)-th smallest and largest Walsh average, where c is the largest rank sum with
    2 P(W <= c) <= 1 - confidence: the shifts that the exact signed-rank test does not reject (ties make them
    conservative). Where even all signs alike are not enough, 2/2^n > 1 - confidence, they are -inf and inf.
    Failed pairs are -inf or +inf, but not both: their averages would be undefined.
    Raises ValueError for NaN, an empty vector, both infinities, more than 1000 pairs and a confidence outside (0, 1).
    """
    check_open_unit(confidence, "confidence")
    vector = as_vector(differences, "differences", infinite=True)
    n = vector.size
    if n > LARGEST_EXACT_N:
        raise ValueError(f"{n} pairs are too many for the exact interval (at most {LARGEST_EXACT_N})")
    if np.isposinf(vector).any() and np.isneginf(vector).any():
        raise ValueError("differences hold both +inf and -inf: such failed pairs have no Walsh average")
    ordered = np.sort(vector)
    first, second = np.triu_indices(n)
    walsh = np.sort(ordered[first] / 2 + ordered[second] / 2)
    tail = np.ldexp(np.cumsum(null_counts(np.arange(1, n + 1, dtype=np.int64), walsh.size // 2)), 1 - n)
    # 1 - 0.95 lies above 0.05 as a float; a tail of exactly 0.05 belongs to the rejections all the same.
    critical = int(np.searchsorted(tail, (1.0 - confidence) * (1.0 + 1e-12), side="right")) - 1
    low, high, achieved = -math.inf, math.inf, 1.0
    if critical >= 0:
        low, high = float(walsh[critical]), float(walsh[walsh.size - 1 - critical])
        achieved = 1.0 - float(tail[critical])
    middle = walsh.size // 2
    estimate = float(walsh[middle] / 2 + walsh[walsh.size - 1 - middle] / 2)
    return HodgesLehmannResult(
        estimate=estimate, low=low, high=high, confidence=float(confidence), achieved=achieved, n=n
    )
