"""Mean-based tests and intervals against scipy, and what they say without variance."""

import math

import numpy as np
import pytest
import scipy.stats

from notafluke import stats

RNG = np.random.default_rng(11)
X, Y = RNG.normal(0.5, 2, 12), RNG.normal(0, 2, 12)


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_paired_t_equals_scipy(alternative):
    expected = scipy.stats.ttest_rel(X, Y, alternative=alternative)
    result = stats.paired_t_test(X, Y, alternative)
    assert (result.statistic, result.p_value, result.df) == pytest.approx((expected.statistic, expected.pvalue, 11))
    baseline = scipy.stats.ttest_1samp(X, 0.3, alternative=alternative)
    assert stats.paired_t_test(X, 0.3, alternative).p_value == pytest.approx(baseline.pvalue)


def test_t_interval_equals_scipy():
    expected = scipy.stats.ttest_1samp(X, 0).confidence_interval(0.99)
    result = stats.t_interval(X, 0.99)
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high))


def test_tost_is_two_one_sided_tests_and_its_interval_decides_alike():
    below = scipy.stats.ttest_rel(X, Y + 0.9, alternative="less").pvalue
    above = scipy.stats.ttest_rel(X, Y - 1.4, alternative="greater").pvalue
    result = stats.tost_paired(X, Y, -1.4, 0.9)
    assert (result.p_low, result.p_high, result.p_value) == pytest.approx((above, below, max(above, below)))
    at_limit = stats.tost_paired(X, Y, -50, result.high)
    assert at_limit.p_value == pytest.approx(0.05)
    assert at_limit.statistic == pytest.approx(scipy.stats.t.ppf(0.05, 11))


def test_one_infinite_bound_is_a_non_inferiority_test():
    expected = scipy.stats.ttest_rel(X, Y - 1, alternative="greater").pvalue
    assert stats.tost_paired(X, Y, -1, math.inf).p_value == pytest.approx(expected)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (1, -1), (-math.inf, math.inf), (math.nan, 1)])
def test_impossible_bounds_are_refused(low, high):
    with pytest.raises(ValueError, match="bound"):
        stats.tost([1, 2, 4], low, high)


@pytest.mark.parametrize(
    ("x", "y", "two_sided", "greater", "less", "statistic"),
    [
        ([1, 2, 3], [1, 2, 3], 1, 1, 1, 0),
        ([2, 3, 4, 5, 6], [1, 2, 3, 4, 5], 2 / 32, 1 / 32, 1, math.inf),
        ([0.4, 0.6, 1.1], [0.5, 0.7, 1.2], 2 / 8, 1, 1 / 8, -math.inf),  # -0.1 but for rounding noise
        ([5], [3], 1, 0.5, 1, math.inf),
        ([5], [5], 1, 1, 1, 0),
    ],
)
def test_differences_without_variance(x, y, two_sided, greater, less, statistic):
    for alternative, p_value in (("two-sided", two_sided), ("greater", greater), ("less", less)):
        with pytest.warns(stats.DegenerateWarning):
            result = stats.paired_t_test(x, y, alternative)
        assert (result.p_value, result.statistic, result.degenerate) == (p_value, statistic, True)
        assert result.p_value == stats.sign_flip_test(np.subtract(x, y), alternative).p_value


def test_equivalence_and_intervals_without_variance():
    with pytest.warns(stats.DegenerateWarning):
        inside, outside = stats.tost([0.3] * 6, -0.5, 0.5), stats.tost([0.3] * 6, -0.3, 0.3)
    assert (inside.p_value, outside.p_value) == (1 / 64, 1)
    assert (inside.low, inside.high) == (0.3, 0.3)
    with pytest.warns(stats.DegenerateWarning):
        constant, single = stats.t_interval([0.1] * 49), stats.t_interval([0.1])
    assert (constant.low, constant.high, constant.sd) == (0.1, 0.1, 0)
    assert (single.low, single.mean, single.high) == (-math.inf, 0.1, math.inf)
    with pytest.warns(stats.DegenerateWarning):
        assert stats.tost([0.0], -1, 1).p_value == 0.5


def test_extreme_values_give_neither_nan_nor_zero():
    nearly_constant = 1 + 1e-9 * np.arange(1000)
    assert 0 < stats.paired_t_test(nearly_constant, 0).p_value < 1e-300
    for size in (1e-300, 1e300):
        result = stats.paired_t_test(X * size, Y * size)
        assert result.statistic == pytest.approx(stats.paired_t_test(X, Y).statistic)
        assert stats.cohens_dz((X - Y) * size) == pytest.approx(stats.cohens_dz(X - Y))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2], [1, 2, 3], "not paired"),
        ([1, math.nan], [1, 2], "NaN"),
        ([1, math.inf], [1, 2], "failed pair"),
        ([], [], "empty"),
        ([1, 2], math.nan, "NaN"),
    ],
)
def test_invalid_pairs_are_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        stats.paired_t_test(x, y)
    with pytest.raises(ValueError, match=message):
        stats.tost_paired(x, y, -1, 1)


@pytest.mark.parametrize("confidence", [0, 1, 1.2, math.nan])
def test_invalid_confidence_is_refused(confidence):
    with pytest.raises(ValueError, match="confidence"):
        stats.t_interval([1, 2], confidence)
