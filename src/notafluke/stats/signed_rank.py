"""Wilcoxon's signed-rank test, exact with ties and zeros."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from notafluke.stats._checks import Alternative, as_probability, check_alternative, smallest_attainable_p
from notafluke.stats.ranks import SignedRanks, Zeros, signed_ranks

Method = Literal["exact", "normal"]

LARGEST_EXACT_N = 1000


@dataclass(frozen=True, slots=True)
class SignedRankResult:
    """Result of `signed_rank_test`.

    `statistic` is min(W+, W-) two-sided and W+ one-sided; `smallest_p` is the smallest p that the exact test can give
    with these non-zero pairs.
    """

    statistic: float
    p_value: float
    w_plus: float
    w_minus: float
    n: int
    n_nonzero: int
    smallest_p: float
    alternative: Alternative
    zeros: Zeros
    method: Method


def null_counts(ranks: NDArray[np.int64], limit: int) -> NDArray[np.float64]:
    """Count the sign assignments by their positive rank sum, 0..limit, as a vector of shape (limit + 1,).

    `ranks` are whole numbers >= 1 in ascending order, shape (n,), n <= 1000. The counts are whole, so exact, below
    2^53; beyond, each addition rounds to double precision. Dynamic programme over the pairs, O(n * limit).
    """
    counts = np.zeros(limit + 1)
    counts[0] = 1.0
    reached = 0
    for rank in ranks.tolist():
        if rank > limit:
            break
        reached = min(reached + rank, limit)
        counts[rank : reached + 1] += counts[: reached + 1 - rank].copy()
    return counts


def _lower_tail(ranks: NDArray[np.int64], limit: int) -> float:
    """Return P(positive rank sum <= limit) under random signs."""
    total = int(ranks.sum())
    if limit >= total:
        return 1.0
    if 2 * limit >= total:
        # The distribution is symmetric about total / 2, and the shorter tail is the cheaper and the more precise one.
        return 1.0 - _lower_tail(ranks, total - limit - 1)
    return math.ldexp(float(null_counts(ranks, limit).sum()), -ranks.size)


def _exact_p(ranks: SignedRanks, alternative: Alternative) -> float:
    doubled = np.rint(2 * ranks.nonzero).astype(np.int64)
    if doubled.size > LARGEST_EXACT_N:
        raise ValueError(
            f"{doubled.size} non-zero pairs are too many for the exact signed-rank test (at most {LARGEST_EXACT_N}): "
            'use method="normal"'
        )
    step = int(np.gcd.reduce(doubled))
    positive, negative = (round(2 * float(side.sum())) // step for side in (ranks.positive, ranks.negative))
    if alternative == "two-sided":
        return 2.0 * _lower_tail(doubled // step, min(positive, negative))
    return _lower_tail(doubled // step, positive if alternative == "less" else negative)


def _normal_p(ranks: SignedRanks, alternative: Alternative, correction: bool) -> float:
    variance = float(np.square(ranks.nonzero).sum() + np.square(ranks.zero).sum()) / 4
    excess = (ranks.w_plus - ranks.w_minus) / 2
    half = 0.5 if correction else 0.0
    if alternative == "two-sided":
        return 2.0 * float(ndtr(-max(abs(excess) - half, 0.0) / math.sqrt(variance)))
    signed_excess = excess if alternative == "greater" else -excess
    return float(ndtr(-(signed_excess - half) / math.sqrt(variance)))


def signed_rank_test(
    differences: ArrayLike,
    zeros: Zeros = "pratt",
    alternative: Alternative = "two-sided",
    method: Method = "exact",
    correction: bool = False,
    *,
    scale: float | None = None,
) -> SignedRankResult:
    """Test paired differences (treatment - control), shape (n,), with Wilcoxon's signed-rank test.

    "exact" takes the distribution of W+ over all 2^n sign assignments of the non-zero pairs, given their ranks with
    ties (Wilcoxon 1945; zeros as in Pratt 1959), for up to 1000 non-zero pairs; "normal" takes its mean and variance
    sum(r^2)/4, for zsplit with the ranks of the zeros, optionally with the continuity correction (which the exact
    method refuses). "greater" asks whether the treatment is better.

    +-inf marks a failed pair and takes the largest rank. Differences are rounded to 12 significant digits of `scale`,
    the largest |score| (default: the largest |difference|). All zeros give p = 1; n = 1 gives p = 1 two-sided.
    Raises ValueError for NaN, an empty vector, unknown options and more than 1000 non-zero pairs with "exact".
    """
    check_alternative(alternative)
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {get_args(Method)}, not {method!r}")
    if correction and method == "exact":
        raise ValueError('the continuity correction belongs to method="normal"')
    ranks = signed_ranks(differences, zeros, scale=scale)
    n_nonzero = ranks.positive.size + ranks.negative.size
    if n_nonzero == 0:
        p_value = 1.0
    elif method == "exact":
        p_value = _exact_p(ranks, alternative)
    else:
        p_value = _normal_p(ranks, alternative, correction)
    return SignedRankResult(
        statistic=min(ranks.w_plus, ranks.w_minus) if alternative == "two-sided" else ranks.w_plus,
        p_value=as_probability(p_value),
        w_plus=ranks.w_plus,
        w_minus=ranks.w_minus,
        n=int(np.size(differences)),
        n_nonzero=n_nonzero,
        smallest_p=smallest_attainable_p(n_nonzero, alternative),
        alternative=alternative,
        zeros=zeros,
        method=method,
    )
