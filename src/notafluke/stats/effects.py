"""Effect sizes of paired differences, and of two unpaired samples."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from notafluke.stats._checks import FloatArray, as_vector, check_open_unit, largest_magnitude
from notafluke.stats.ranks import Zeros, signed_ranks
from notafluke.stats.rounding import whole_units
from notafluke.stats.t_tests import Moments, moments


def cohens_dz(differences: ArrayLike) -> float:
    """Return Cohen's d_z, mean / SD of the paired differences, shape (n,) (Cohen 1988).

    Without variance (constant differences or n = 1) it is 0 for a mean of 0 and +-inf otherwise.
    Raises ValueError for NaN, infinite values and an empty vector.
    """
    sample = moments(as_vector(differences, "differences"))
    if sample.degenerate:
        return math.copysign(math.inf, sample.mean) if sample.mean else 0.0
    return sample.mean / sample.sd


def rank_biserial(differences: ArrayLike, *, zeros: Zeros = "wilcox", scale: float | None = None) -> float:
    """Return the matched-pairs rank-biserial correlation (W+ - W-) / (W+ + W-) (Kerby 2014) of shape (n,).

    Zeros are dropped by default, as in the published definition; all zeros give 0. +-inf is a failed pair and takes the
    largest rank. `zeros` and `scale` are those of `signed_rank_test`.
    Raises ValueError for NaN and an empty vector.
    """
    ranks = signed_ranks(differences, zeros, scale=scale)
    total = ranks.w_plus + ranks.w_minus
    return (ranks.w_plus - ranks.w_minus) / total if total else 0.0


@dataclass(frozen=True, slots=True)
class ProbabilityOfImprovementResult:
    """Result of `paired_probability_of_improvement`: the share `estimate` of `n` pairs with its Wilson limits."""

    estimate: float
    low: float
    high: float
    confidence: float
    n: int


def paired_probability_of_improvement(
    differences: ArrayLike, confidence: float = 0.95, *, scale: float | None = None
) -> ProbabilityOfImprovementResult:
    """Return P(better): the share of pairs with a positive difference, ties counted 1/2, shape (n,).

    The interval is Wilson's (1927) for that share of n pairs. +-inf is a failed pair. Differences that round to 0 (see
    `round_significant`) are ties.
    Raises ValueError for NaN, an empty vector and a confidence outside (0, 1).
    """
    check_open_unit(confidence, "confidence")
    units = whole_units(as_vector(differences, "differences", infinite=True), scale)
    n = units.size
    share = float(np.sum(0.5 * (1.0 + np.sign(units)))) / n
    z = float(ndtri((1.0 + confidence) / 2))
    shrink = 1.0 + z * z / n
    centre = (share + z * z / (2 * n)) / shrink
    half_width = z * math.sqrt(share * (1.0 - share) / n + z * z / (4 * n * n)) / shrink
    return ProbabilityOfImprovementResult(
        estimate=share,
        # Rounding must not push a limit past the estimate at a share of 0 or 1.
        low=max(min(centre - half_width, share), 0.0),
        high=min(max(centre + half_width, share), 1.0),
        confidence=float(confidence),
        n=n,
    )


def count_better(x: FloatArray, y: FloatArray) -> int:
    """Return twice the number of pairs (one of x, one of y) with x above y, ties counted 1/2: a whole number."""
    ordered = np.sort(y)
    return int(np.searchsorted(ordered, x, side="left").sum() + np.searchsorted(ordered, x, side="right").sum())


def vargha_delaney_a(x: ArrayLike, y: ArrayLike) -> float:
    """Return A12, the share of all unpaired pairs with x above y, ties counted 1/2 (Vargha and Delaney 2000).

    Also called the common-language effect size; shapes (n_x,) and (n_y,). Failed runs are -inf.
    Raises ValueError for NaN and empty vectors.
    """
    first, second = as_vector(x, "x", infinite=True), as_vector(y, "y", infinite=True)
    return count_better(first, second) / (2 * first.size * second.size)


def cliffs_delta(x: ArrayLike, y: ArrayLike) -> float:
    """Return Cliff's (1993) delta, P(x > y) - P(x < y) over all unpaired pairs, shapes (n_x,) and (n_y,).

    Failed runs are -inf. Raises ValueError for NaN and empty vectors.
    """
    first, second = as_vector(x, "x", infinite=True), as_vector(y, "y", infinite=True)
    pairs = first.size * second.size
    return (count_better(first, second) - pairs) / pairs


def _two_moments(x: ArrayLike, y: ArrayLike) -> tuple[Moments, Moments]:
    first, second = as_vector(x, "x"), as_vector(y, "y")
    scale = largest_magnitude(first, second)
    return moments(first, scale), moments(second, scale)


def cohens_d(x: ArrayLike, y: ArrayLike) -> float:
    """Return Cohen's d of two unpaired samples, (mean x - mean y) / pooled SD, shapes (n_x,) and (n_y,) (Cohen 1988).

    Without variance it is 0 for equal means and +-inf otherwise.
    Raises ValueError for NaN, infinite values and empty vectors.
    """
    first, second = _two_moments(x, y)
    shift = first.mean - second.mean
    if first.degenerate and second.degenerate:
        return math.copysign(math.inf, shift) if shift else 0.0
    weights = (np.array([first.n, second.n]) - 1) / (first.n + second.n - 2)
    # hypot neither overflows nor underflows where the squares would.
    return shift / math.hypot(*(np.sqrt(weights) * [first.sd, second.sd]).tolist())


def hedges_g(x: ArrayLike, y: ArrayLike) -> float:
    """Return Hedges' g, `cohens_d` times the small-sample correction 1 - 3 / (4 (n_x + n_y) - 9) (Hedges 1981).

    Raises ValueError as `cohens_d` does, and for fewer than 4 values in all, which the correction does not serve.
    """
    d = cohens_d(x, y)
    n = int(np.size(x) + np.size(y))
    if n < 4:
        raise ValueError(f"Hedges' correction needs at least 4 values, not {n}")
    return d * (1.0 - 3.0 / (4 * n - 9))
