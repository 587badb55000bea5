"""Power, smallest detectable effect and number of seeds, in units of d_z = mean / SD of normal differences."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, owens_t, stdtrit
from scipy.stats import nct

from notafluke.stats._checks import Alternative, FloatArray, check_alternative, check_open_unit
from notafluke.stats.signed_rank import null_counts

PowerTest = Literal["paired_t", "signed_rank"]

_LARGEST_SIMULATED_N = 40
_LARGEST_EXACT_CRITICAL_N = 200
_LARGEST_SEARCHED_N = 100_000
_SIMULATIONS = 10_000
_SEED = 20_060_214
_CHUNK = 2_000_000


def _check(n: int, alpha: float) -> None:
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n!r}")
    check_open_unit(alpha, "alpha")


def power_paired_t(effect: float, n: int, alpha: float = 0.05, alternative: Alternative = "two-sided") -> float:
    """Return the power of the paired t-test of n pairs at effect d_z: noncentral t, all rejection regions counted.

    n = 1 has no test and power 0. Raises ValueError for n < 1, alpha outside (0, 1), NaN and an unknown alternative.
    """
    check_alternative(alternative)
    _check(n, alpha)
    if math.isnan(effect):
        raise ValueError("effect is NaN")
    if n == 1:
        return 0.0
    df = n - 1
    critical = -float(stdtrit(df, alpha / 2 if alternative == "two-sided" else alpha))
    upper, lower = (_noncentral_t_tail(critical, df, sign * effect * math.sqrt(n)) for sign in (1.0, -1.0))
    if alternative == "two-sided":
        return min(upper + lower, 1.0)
    return upper if alternative == "greater" else lower


def _noncentral_t_tail(critical: float, df: int, noncentrality: float) -> float:
    """Return P(T > critical)."""
    if math.isinf(noncentrality):
        return 1.0 if noncentrality > 0.0 else 0.0
    tail = float(nct.sf(critical, df, noncentrality))
    # scipy gives NaN in tails far below double precision; the normal limit is 0 or 1 there.
    return tail if math.isfinite(tail) else float(ndtr(noncentrality - critical))


@lru_cache(maxsize=512)
def _critical_rank_sum(n: int, alpha: float) -> int:
    """Return the largest c with 2 P(W <= c) <= alpha for n untied pairs, -1 when 2/2^n > alpha."""
    half = n * (n + 1) // 4
    if n <= _LARGEST_EXACT_CRITICAL_N:
        tail = np.ldexp(np.cumsum(null_counts(np.arange(1, n + 1, dtype=np.int64), half)), 1 - n)
        return int(np.searchsorted(tail, alpha, side="right")) - 1
    sd = math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    return math.floor(n * (n + 1) / 4 + float(ndtri(alpha / 2)) * sd - 0.5)


@lru_cache(maxsize=128)
def _rejection_thresholds(n: int, critical: int) -> FloatArray:
    """Return, ascending, the shifts beyond which each simulated sample of n standard normals is rejected upwards.

    W+ counts the Walsh averages above 0, so a sample shifted by d has W- <= critical exactly when d exceeds minus its
    (critical + 1)-th smallest Walsh average. The negated sample (antithetic) gives the second half. All n share their
    first random numbers, so that the power hardly jitters from n to n.
    """
    samples = np.random.default_rng(_SEED).standard_normal((n, _SIMULATIONS)).T
    first, second = np.triu_indices(n)
    last = first.size - 1 - critical
    thresholds = []
    chunk = max(1, _CHUNK // first.size)
    for start in range(0, _SIMULATIONS, chunk):
        block = samples[start : start + chunk]
        walsh = np.partition((block[:, first] + block[:, second]) / 2, [critical, last], axis=1)
        thresholds += [-walsh[:, critical], walsh[:, last]]
    return np.sort(np.concatenate(thresholds))


def _simulated_power(effect: float, thresholds: FloatArray) -> float:
    return float(np.searchsorted(thresholds, effect) + np.searchsorted(thresholds, -effect)) / thresholds.size


def _approximate_power(effect: float, n: int, critical: int) -> float:
    """Normal approximation with the exact moments of W+ under a shifted normal (Lehmann 1975, sec. 4.2)."""
    p1, p2 = float(ndtr(effect)), float(ndtr(math.sqrt(2.0) * effect))
    p3 = (p2 + p1 * p1) / 2
    p4 = p2 - 2.0 * float(owens_t(math.sqrt(2.0) * effect, 1.0 / math.sqrt(3.0)))
    mean = n * p1 + n * (n - 1) / 2 * p2
    variance = (
        n * p1 * (1 - p1)
        + n * (n - 1) / 2 * p2 * (1 - p2)
        + 2 * n * (n - 1) * (p3 - p1 * p2)
        + n * (n - 1) * (n - 2) * (p4 - p2 * p2)
    )
    limit = n * (n + 1) / 2 - critical - 0.5
    if variance <= 0.0:
        return float(mean > limit)
    sd = math.sqrt(variance)
    return float(ndtr((mean - limit) / sd) + ndtr((critical + 0.5 - mean) / sd))


def power_signed_rank(effect: float, n: int, alpha: float = 0.05) -> float:
    """Return the power of the two-sided exact signed-rank test of n pairs of normal differences at effect d_z.

    Up to 40 pairs 20,000 simulated samples from a fixed own Generator (standard error about 0.004, the same value in
    every call), beyond them Lehmann's normal approximation. 0 when 2/2^n > alpha.
    Raises ValueError for n < 1, alpha outside (0, 1) and NaN.
    """
    _check(n, alpha)
    if math.isnan(effect):
        raise ValueError("effect is NaN")
    critical = _critical_rank_sum(n, alpha)
    if critical < 0:
        return 0.0
    if math.isinf(effect):
        return 1.0
    if n <= _LARGEST_SIMULATED_N:
        return _simulated_power(abs(effect), _rejection_thresholds(n, critical))
    return _approximate_power(abs(effect), n, critical)


_POWER: dict[str, Callable[[float, int, float], float]] = {
    "paired_t": power_paired_t,
    "signed_rank": power_signed_rank,
}


def _check_request(alpha: float, power: float, test: str) -> None:
    check_open_unit(alpha, "alpha")
    check_open_unit(power, "power")
    if test not in get_args(PowerTest):
        raise ValueError(f"test must be one of {get_args(PowerTest)}, not {test!r}")


def minimum_detectable_effect(n: int, alpha: float = 0.05, power: float = 0.8, test: PowerTest = "paired_t") -> float:
    """Return the smallest d_z that the two-sided test of n pairs detects with the given power.

    inf when no effect can be detected (one pair; signed-rank with 2/2^n > alpha), 0 when the power asked for is no more
    than alpha. Raises ValueError for n < 1, alpha or power outside (0, 1) and an unknown test.
    """
    _check(n, alpha)
    _check_request(alpha, power, test)
    power_at = _POWER[test]
    if power_at(math.inf, n, alpha) < power:
        return math.inf
    if power_at(0.0, n, alpha) >= power:
        return 0.0
    upper = 1.0
    while power_at(upper, n, alpha) < power:
        upper *= 2.0
    return float(brentq(lambda effect: power_at(effect, n, alpha) - power, 0.0, upper, xtol=1e-10))


def seeds_needed(effect: float, alpha: float = 0.05, power: float = 0.8, test: PowerTest = "paired_t") -> int:
    """Return the number of pairs at which the two-sided test reaches the given power for an effect d_z of either sign.

    Found by bisection: the number below it falls short. Beyond 100,000 pairs the normal formula answers.
    Raises ValueError for an effect of 0 or NaN, alpha or power outside (0, 1) and an unknown test.
    """
    _check_request(alpha, power, test)
    if math.isnan(effect) or effect == 0.0:
        raise ValueError(f"no number of seeds can detect an effect of {effect!r}")
    power_at = _POWER[test]
    normal_n = ((float(ndtri(1 - alpha / 2)) + float(ndtri(power))) / effect) ** 2
    if test == "signed_rank":
        normal_n *= math.pi / 3
    if normal_n > _LARGEST_SEARCHED_N:
        return math.ceil(normal_n)
    enough = max(2, math.ceil(normal_n))
    while power_at(effect, enough, alpha) < power:
        enough *= 2
    short = 1
    while enough - short > 1:
        middle = (short + enough) // 2
        if power_at(effect, middle, alpha) < power:
            short = middle
        else:
            enough = middle
    return enough


def noether_runs(probability: float, alpha: float = 0.05, power: float = 0.95) -> int:
    """Return the runs per arm at which an unpaired one-sided rank test detects P(better) = `probability`.

    ceil(((z_alpha + z_power) / (sqrt(6) (probability - 1/2)))^2) (Noether 1987, as in Bouthillier et al. 2021), z the
    normal quantiles of 1 - alpha and of the power. For runs paired by seed see `seeds_needed`.
    Raises ValueError for alpha, power or a probability outside (0, 1), and for a probability of 1/2.
    """
    check_open_unit(alpha, "alpha")
    check_open_unit(power, "power")
    check_open_unit(probability, "probability")
    if probability == 0.5:
        raise ValueError("no number of runs can detect a probability of 1/2")
    runs = ((float(ndtri(power)) - float(ndtri(alpha))) / (math.sqrt(6.0) * (probability - 0.5))) ** 2
    return max(1, math.ceil(runs))
