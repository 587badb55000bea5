"""Effect sizes of paired differences."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from notafluke.stats._checks import as_vector, check_open_unit
from notafluke.stats.ranks import Zeros, signed_ranks
from notafluke.stats.rounding import whole_units
from notafluke.stats.t_tests import moments


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
