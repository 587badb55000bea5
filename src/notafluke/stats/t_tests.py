"""Mean-based inference for paired differences: t-test, equivalence test and interval."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from notafluke.stats._checks import (
    Alternative,
    DegenerateWarning,
    FloatArray,
    as_probability,
    as_vector,
    check_alternative,
    check_open_unit,
    largest_magnitude,
    paired_vectors,
    smallest_attainable_p,
)
from notafluke.stats.rounding import round_significant


@dataclass(frozen=True, slots=True)
class Moments:
    """Number, mean and standard deviation (n - 1) of differences; `sd` is 0 for constant differences and for n = 1."""

    n: int
    mean: float
    sd: float

    @property
    def degenerate(self) -> bool:
        """Whether there is no variance to judge the mean by."""
        return self.sd == 0.0

    @property
    def standard_error(self) -> float:
        """Standard error of the mean."""
        return self.sd / math.sqrt(self.n)


def moments(differences: FloatArray, scale: float | None = None) -> Moments:
    """Return the `Moments` of finite differences of shape (n,), independent of their order to the last digit.

    Differences that are equal after rounding to 12 significant digits of `scale` (see `round_significant`) count as
    constant: their rounding noise is no variance.
    """
    n = differences.size
    rounded = round_significant(differences, scale)
    if rounded.min() == rounded.max():
        return Moments(n=n, mean=float(rounded[0]), sd=0.0)
    # A power of two scales without rounding, and squares of huge or tiny values then stay inside the float range.
    exponent = math.frexp(largest_magnitude(differences))[1]
    scaled = np.ldexp(differences, -exponent)
    mean = math.fsum(scaled.tolist()) / n
    sd = math.sqrt(math.fsum(np.square(scaled - mean).tolist()) / (n - 1))
    return Moments(n=n, mean=float(np.ldexp(mean, exponent)), sd=float(np.ldexp(sd, exponent)))


def _warn_if_degenerate(sample: Moments) -> None:
    if sample.degenerate:
        warnings.warn(
            f"{sample.n} paired difference(s) without variance: the result follows the sign-flip convention",
            DegenerateWarning,
            stacklevel=3,
        )


def _t_test(sample: Moments, null: float, alternative: Alternative) -> tuple[float, float]:
    """Return t and p of mean = null; without variance t is 0 or +-inf and p that of the exact sign-flip test."""
    shift = sample.mean - null
    if sample.degenerate:
        supported = {"two-sided": shift != 0.0, "greater": shift > 0.0, "less": shift < 0.0}[alternative]
        t = math.copysign(math.inf, shift) if shift else 0.0
        return t, smallest_attainable_p(sample.n, alternative) if supported else 1.0
    t = shift / sample.standard_error
    df = sample.n - 1
    if alternative == "two-sided":
        return t, as_probability(2.0 * float(stdtr(df, -abs(t))))
    return t, as_probability(float(stdtr(df, t if alternative == "less" else -t)))


@dataclass(frozen=True, slots=True)
class PairedTResult:
    """Result of `paired_t_test`: `statistic` is t, `mean` and `sd` are those of the differences x - y."""

    statistic: float
    p_value: float
    df: int
    mean: float
    sd: float
    n: int
    alternative: Alternative
    degenerate: bool


def paired_t_test(x: ArrayLike, y: ArrayLike, alternative: Alternative = "two-sided") -> PairedTResult:
    """Test the mean of x - y (treatment - control, paired, shape (n,)) with Student's t (Student 1908).

    `y` may be one number: the one-sample test against a baseline. "greater" asks whether x is the larger.
    Without variance (constant differences or n = 1) t has no distribution; then t is 0 or +-inf, p that of the exact
    sign-flip test of the constant differences (2/2^n two-sided, 1/2^n one-sided in their direction, otherwise 1),
    `degenerate` is true and a `DegenerateWarning` is given.
    Raises ValueError for NaN, infinite values, empty or unequal vectors and an unknown alternative.
    """
    check_alternative(alternative)
    first, second = paired_vectors(x, y)
    sample = moments(as_vector(first - second, "x - y"), largest_magnitude(first, second))
    _warn_if_degenerate(sample)
    statistic, p_value = _t_test(sample, 0.0, alternative)
    return PairedTResult(
        statistic=statistic,
        p_value=p_value,
        df=sample.n - 1,
        mean=sample.mean,
        sd=sample.sd,
        n=sample.n,
        alternative=alternative,
        degenerate=sample.degenerate,
    )


@dataclass(frozen=True, slots=True)
class TIntervalResult:
    """Result of `t_interval`: the limits `low` and `high` of the mean difference."""

    mean: float
    low: float
    high: float
    confidence: float
    sd: float
    n: int
    degenerate: bool


def _t_limits(sample: Moments, confidence: float) -> tuple[float, float]:
    if sample.n == 1:
        return -math.inf, math.inf
    if sample.degenerate:
        return sample.mean, sample.mean
    half_width = float(stdtrit(sample.n - 1, (1.0 + confidence) / 2)) * sample.standard_error
    return sample.mean - half_width, sample.mean + half_width


def t_interval(differences: ArrayLike, confidence: float = 0.95) -> TIntervalResult:
    """Return Student's interval of the mean of paired differences, shape (n,).

    One difference gives (-inf, inf), constant differences give an interval of width 0; both are `degenerate` and give a
    `DegenerateWarning`.
    Raises ValueError for NaN, infinite values, an empty vector and a confidence outside (0, 1).
    """
    check_open_unit(confidence, "confidence")
    sample = moments(as_vector(differences, "differences"))
    _warn_if_degenerate(sample)
    low, high = _t_limits(sample, confidence)
    return TIntervalResult(
        mean=sample.mean,
        low=low,
        high=high,
        confidence=float(confidence),
        sd=sample.sd,
        n=sample.n,
        degenerate=sample.degenerate,
    )


@dataclass(frozen=True, slots=True)
class TostResult:
    """Result of `tost`: `p_value` is the larger of `p_low` (mean > bound_low) and `p_high` (mean < bound_high).

    `statistic` is the t of that larger p; `low` and `high` are the 1 - 2 alpha interval of the mean difference, 90 %
    for alpha 0.05, which lies inside the bounds exactly when p_value < alpha (unless `degenerate`).
    """

    statistic: float
    p_value: float
    p_low: float
    p_high: float
    bound_low: float
    bound_high: float
    mean: float
    low: float
    high: float
    confidence: float
    sd: float
    df: int
    n: int
    degenerate: bool


def _check_bounds(low: float, high: float, alpha: float) -> None:
    if not low < high:
        raise ValueError(f"the equivalence bounds must satisfy low < high, not {low!r}, {high!r}")
    if math.isinf(low) and math.isinf(high):
        raise ValueError("at least one equivalence bound must be finite")
    if not 0.0 < alpha < 0.5:
        raise ValueError(f"alpha must lie strictly between 0 and 0.5, not {alpha!r}")


def _tost(sample: Moments, low: float, high: float, alpha: float) -> TostResult:
    _check_bounds(low, high, alpha)
    low, high = float(low), float(high)
    t_low, p_low = _t_test(sample, low, "greater")
    t_high, p_high = _t_test(sample, high, "less")
    interval_low, interval_high = _t_limits(sample, 1.0 - 2.0 * alpha)
    return TostResult(
        statistic=t_low if p_low >= p_high else t_high,
        p_value=max(p_low, p_high),
        p_low=p_low,
        p_high=p_high,
        bound_low=low,
        bound_high=high,
        mean=sample.mean,
        low=interval_low,
        high=interval_high,
        confidence=1.0 - 2.0 * float(alpha),
        sd=sample.sd,
        df=sample.n - 1,
        n=sample.n,
        degenerate=sample.degenerate,
    )


def tost(differences: ArrayLike, low: float, high: float, *, alpha: float = 0.05) -> TostResult:
    """Test by two one-sided t-tests (Schuirmann 1987) that the mean difference lies strictly between low and high.

    One infinite bound leaves a single one-sided test (non-inferiority). `alpha` only sets the interval, 1 - 2 alpha.
    Without variance each one-sided p is that of `paired_t_test`: 1/2^n inside its bound, 1 on or beyond it.
    Raises ValueError for NaN, infinite differences, an empty vector and bounds that are not low < high.
    """
    sample = moments(as_vector(differences, "differences"))
    _warn_if_degenerate(sample)
    return _tost(sample, low, high, alpha)


def tost_paired(x: ArrayLike, y: ArrayLike, low: float, high: float, *, alpha: float = 0.05) -> TostResult:
    """Apply `tost` to x - y (treatment - control, paired, shape (n,)); `y` may be one number.

    Raises ValueError as `tost` does, and for unequal lengths.
    """
    first, second = paired_vectors(x, y)
    sample = moments(as_vector(first - second, "x - y"), largest_magnitude(first, second))
    _warn_if_degenerate(sample)
    return _tost(sample, low, high, alpha)


@dataclass(frozen=True, slots=True)
class IndependentTostResult:
    """Result of `tost_independent`: fields as in `TostResult`, `mean` is mean x - mean y, `df` may be broken."""

    statistic: float
    p_value: float
    p_low: float
    p_high: float
    bound_low: float
    bound_high: float
    mean: float
    low: float
    high: float
    confidence: float
    standard_error: float
    df: float


def tost_independent(
    x: ArrayLike, y: ArrayLike, low: float, high: float, *, alpha: float = 0.05, equal_variances: bool = False
) -> IndependentTostResult:
    """Test by two one-sided t-tests that mean x - mean y of unpaired samples lies strictly between low and high.

    Shapes (n_x,) and (n_y,); Welch's (1947) standard error and degrees of freedom, or the pooled ones. Runs that share
    their seeds are paired: use `tost_paired`.
    Raises ValueError for NaN, infinite values, bounds that are not low < high, fewer than 2 values in a sample, and
    samples that are both without variance.
    """
    _check_bounds(low, high, alpha)
    first, second = as_vector(x, "x"), as_vector(y, "y")
    if min(first.size, second.size) < 2:
        raise ValueError("x and y must hold at least 2 values each")
    scale = largest_magnitude(first, second)
    one, other = moments(first, scale), moments(second, scale)
    if one.degenerate and other.degenerate:
        raise ValueError("x and y are both constant: there is no variance to judge their means by")
    if equal_variances:
        df = float(one.n + other.n - 2)
        pooled = ((one.n - 1) * one.sd**2 + (other.n - 1) * other.sd**2) / df
        standard_error = math.sqrt(pooled * (1 / one.n + 1 / other.n))
    else:
        standard_error = math.hypot(one.standard_error, other.standard_error)
        shares = (one.standard_error / standard_error) ** 2, (other.standard_error / standard_error) ** 2
        df = 1.0 / (shares[0] ** 2 / (one.n - 1) + shares[1] ** 2 / (other.n - 1))
    mean = one.mean - other.mean
    t_low, t_high = (mean - low) / standard_error, (mean - high) / standard_error
    p_low, p_high = (as_probability(float(stdtr(df, t))) for t in (-t_low, t_high))
    half_width = float(stdtrit(df, 1.0 - alpha)) * standard_error
    return IndependentTostResult(
        statistic=t_low if p_low >= p_high else t_high,
        p_value=max(p_low, p_high),
        p_low=p_low,
        p_high=p_high,
        bound_low=float(low),
        bound_high=float(high),
        mean=mean,
        low=mean - half_width,
        high=mean + half_width,
        confidence=1.0 - 2.0 * float(alpha),
        standard_error=standard_error,
        df=df,
    )
