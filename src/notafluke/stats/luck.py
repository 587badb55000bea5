"""Seed luck: what the best of n seeds is worth when all seeds are draws from one normal distribution."""

import math
import operator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_ndtr, ndtr, ndtri

from notafluke.stats._checks import as_vector, largest_magnitude
from notafluke.stats.t_tests import moments, paired_t_test

_STEP = 1 / 64


def _at_least(value: int, smallest: int, name: str) -> int:
    number = operator.index(value)
    if number < smallest:
        raise ValueError(f"{name} must be at least {smallest}, not {value!r}")
    return number


@lru_cache(maxsize=512)
def _expected_maximum(n: int) -> float:
    # The trapezoidal rule converges exponentially for such a density; below -40 and far above the mode it is 0.
    z = np.arange(-40.0, math.sqrt(2.0 * math.log(n)) + 10.0, _STEP)
    log_density = (n - 1) * log_ndtr(z) - np.square(z) / 2
    weight = np.exp(log_density - log_density.max())
    return math.fsum((z * weight).tolist()) / math.fsum(weight.tolist())


def expected_maximum(n: int) -> float:
    """Return E_n, the expected maximum of n independent standard normals (Tippett 1925): 0 for n = 1.

    The integral of z n phi(z) Phi(z)^(n - 1), to about 13 digits. Raises ValueError for n < 1.
    """
    n = _at_least(n, 1, "n")
    return 0.0 if n == 1 else _expected_maximum(n)


@dataclass(frozen=True, slots=True)
class BestOfNResult:
    """Result of `best_of_n`: what the scores say about the best of them, and about the mean against the baseline.

    `expected_best` and `best_quantile_95` are the mean and the 95 % quantile of the best of n under normality,
    `statistic` and `p_value` the two-sided one-sample t-test of the mean against `baseline`, the two probabilities
    those that one further seed, or the best of n further seeds, beats the baseline.
    """

    n: int
    mean: float
    sd: float
    best: float
    expected_best: float
    best_quantile_95: float
    baseline: float
    statistic: float
    p_value: float
    p_single_beats_baseline: float
    p_best_beats_baseline: float
    degenerate: bool


def best_of_n(scores: ArrayLike, baseline: float) -> BestOfNResult:
    """Judge the best of n scores (higher is better), shape (n,), and their mean against a baseline.

    Under normality the best of n has mean = mean + SD E_n (see `expected_maximum`) and 95 % quantile
    mean + SD z(0.95^(1/n)). Where lower is better, negate scores and baseline.
    Without variance (constant scores or n = 1) the best, its mean and its quantile are the mean, t and p are those of
    `paired_t_test`, the two probabilities are 1 above the baseline and 0 on it and below, `degenerate` is true and a
    `DegenerateWarning` is given.
    Raises ValueError for NaN, infinite values (a failed run has no mean) and an empty vector.
    """
    values = as_vector(scores, "scores")
    test = paired_t_test(values, baseline)
    mean = moments(values, largest_magnitude(values, np.array([baseline]))).mean
    if test.degenerate:
        single = best = float(test.mean > 0.0)
    else:
        single = float(ndtr(test.mean / test.sd))
        best = -math.expm1(values.size * float(log_ndtr(-test.mean / test.sd)))
    return BestOfNResult(
        n=values.size,
        mean=mean,
        sd=test.sd,
        best=float(values.max()),
        expected_best=mean + test.sd * expected_maximum(values.size),
        best_quantile_95=mean + test.sd * float(ndtri(0.95 ** (1.0 / values.size))),
        baseline=float(baseline),
        statistic=test.statistic,
        p_value=test.p_value,
        p_single_beats_baseline=float(single),
        p_best_beats_baseline=float(best),
        degenerate=test.degenerate,
    )


@dataclass(frozen=True, slots=True)
class DeflatedSharpeResult:
    """Result of `deflated_sharpe_ratio`: P(the true Sharpe ratio > `threshold`), the expected best of the trials."""

    threshold: float
    probability: float


def deflated_sharpe_ratio(
    sharpe: float,
    observations: int,
    trials: int,
    trial_variance: float,
    *,
    skewness: float = 0.0,
    kurtosis: float = 3.0,
) -> DeflatedSharpeResult:
    """Return the deflated Sharpe ratio of the best of several trials (Bailey and Lopez de Prado 2014).

    `sharpe` and the variance of the trials' Sharpe ratios are per observation (per day for daily returns), `kurtosis`
    is 3 for a normal. The threshold is the expected maximum of the trials by the paper's approximation, 0 for one.
    Raises ValueError for fewer than 2 observations or 1 trial, a negative variance, values that are not finite, and a
    skewness and kurtosis that give the Sharpe ratio no positive variance.
    """
    observations, trials = _at_least(observations, 2, "observations"), _at_least(trials, 1, "trials")
    if not all(map(math.isfinite, (sharpe, trial_variance, skewness, kurtosis))):
        raise ValueError("sharpe, trial_variance, skewness and kurtosis must be finite")
    if trial_variance < 0.0:
        raise ValueError(f"trial_variance must not be negative, not {trial_variance!r}")
    variance = 1.0 - skewness * sharpe + (kurtosis - 1.0) / 4 * sharpe * sharpe
    if variance <= 0.0:
        raise ValueError(f"skewness {skewness!r} and kurtosis {kurtosis!r} belong to no distribution of returns")
    threshold = 0.0
    if trials > 1:
        quantiles = -ndtri([1.0 / trials, 1.0 / (trials * math.e)])
        threshold = math.sqrt(trial_variance) * float(np.dot([1.0 - np.euler_gamma, np.euler_gamma], quantiles))
    z = (sharpe - threshold) * math.sqrt((observations - 1) / variance)
    return DeflatedSharpeResult(threshold=threshold, probability=float(ndtr(z)))
