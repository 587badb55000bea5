"""Expected maxima, best of n and the deflated Sharpe ratio against independent computations."""

import math

import mpmath
import numpy as np
import pytest
import scipy.stats

from notafluke import stats


def test_expected_maximum_has_closed_forms():
    quarter = math.asin(1 / 3)
    assert stats.expected_maximum(1) == 0
    assert stats.expected_maximum(2) == pytest.approx(1 / math.sqrt(math.pi), rel=1e-13)
    assert stats.expected_maximum(3) == pytest.approx(1.5 / math.sqrt(math.pi), rel=1e-13)
    expected = 3 / math.sqrt(math.pi) * (0.5 + quarter / math.pi)
    assert stats.expected_maximum(4) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("n", [7, 100, 10_000, 1_000_000, 10**9])
def test_expected_maximum_equals_high_precision(n):
    with mpmath.workdps(25):
        limits = [-12] + [mpmath.mpf(i) / 2 for i in range(-20, 25)] + [14]
        # E max = the integral of P(max > z) above 0 minus that of P(max <= z) below it.
        above = mpmath.quad(lambda z: -mpmath.expm1(n * mpmath.log(mpmath.ncdf(z))), [z for z in limits if z >= 0])
        below = mpmath.quad(lambda z: mpmath.ncdf(z) ** n, [z for z in limits if z <= 0])
        expected = float(above - below)
    assert stats.expected_maximum(n) == pytest.approx(expected, rel=1e-11)


def test_expected_maximum_grows_and_simulates():
    values = [stats.expected_maximum(n) for n in range(1, 60)]
    assert all(np.diff(values) > 0)
    drawn = np.random.default_rng(1).normal(size=(200_000, 10)).max(axis=1).mean()
    assert stats.expected_maximum(10) == pytest.approx(drawn, abs=0.006)
    design = {5: 1.163, 10: 1.539, 20: 1.867, 30: 2.043}
    assert {n: round(stats.expected_maximum(n), 3) for n in design} == design


def with_moments(n, mean, sd):
    z = np.random.default_rng(n).normal(size=n)
    return mean + sd * (z - z.mean()) / z.std(ddof=1)


def test_worked_example_of_the_statistical_design():
    # Best of ten +14.9, mean +9, buy-and-hold +10.6.
    result = stats.best_of_n(with_moments(10, 9.0, 3.83), 10.6)
    assert result.expected_best == pytest.approx(14.9, abs=0.05)
    assert result.mean - result.baseline == pytest.approx(-1.6)
    assert (result.statistic, result.p_value) == pytest.approx((-1.32, 0.22), abs=0.005)
    assert (result.p_single_beats_baseline, result.p_best_beats_baseline) == pytest.approx((0.34, 0.98), abs=0.005)


def test_best_of_n_equals_scipy():
    scores = np.random.default_rng(3).normal(0.2, 2, 12)
    result = stats.best_of_n(scores, -0.5)
    mean, sd = scores.mean(), scores.std(ddof=1)
    t = scipy.stats.ttest_1samp(scores, -0.5)
    beats = scipy.stats.norm.sf(-0.5, mean, sd)
    expected = {
        "n": 12,
        "mean": mean,
        "sd": sd,
        "best": scores.max(),
        "expected_best": mean + sd * stats.expected_maximum(12),
        "best_quantile_95": scipy.optimize.brentq(lambda x: scipy.stats.norm.cdf(x, mean, sd) ** 12 - 0.95, 0, 20),
        "baseline": -0.5,
        "statistic": t.statistic,
        "p_value": t.pvalue,
        "p_single_beats_baseline": beats,
        "p_best_beats_baseline": 1 - (1 - beats) ** 12,
    }
    assert {name: getattr(result, name) for name in expected} == pytest.approx(expected, rel=1e-9)
    assert stats.best_of_n(scores[::-1], -0.5) == result


def test_far_baselines_give_neither_nan_nor_zero_p():
    for baseline in (-1e9, 1e9):
        result = stats.best_of_n([1.0, 2.0, 4.0], baseline)
        assert 0 < result.p_value < 1e-9
        assert result.p_best_beats_baseline == result.p_single_beats_baseline == (baseline < 0)
    tail = stats.best_of_n(with_moments(10, 0.0, 1.0), 12.0)
    assert tail.p_best_beats_baseline == pytest.approx(10 * scipy.stats.norm.sf(12), rel=1e-9)


@pytest.mark.parametrize(
    ("scores", "baseline", "p_value", "probability"),
    [([3.0] * 6, 1.0, 2 / 64, 1), ([3.0] * 6, 3.0, 1, 0), ([0.1 + 0.2, 0.3], 0.5, 0.5, 0), ([5.0], 1.0, 1, 1)],
)
def test_scores_without_variance(scores, baseline, p_value, probability):
    with pytest.warns(stats.DegenerateWarning):
        result = stats.best_of_n(scores, baseline)
    assert (result.sd, result.degenerate, result.p_value) == (0, True, p_value)
    assert result.p_single_beats_baseline == result.p_best_beats_baseline == probability
    assert result.mean == result.expected_best == result.best_quantile_95 == pytest.approx(result.best)


def test_deflated_sharpe_ratio_of_one_trial_is_the_probabilistic_one():
    single = stats.deflated_sharpe_ratio(0.1, 101, 1, 0.2)
    assert single.threshold == 0
    assert single.probability == pytest.approx(scipy.stats.norm.cdf(0.1 * 10 / math.sqrt(1 + 0.1**2 / 2)))
    thresholds = [stats.deflated_sharpe_ratio(0.1, 100, trials, 0.2).threshold for trials in (2, 10, 100, 10**6)]
    assert all(np.diff(thresholds) > 0)
    # The paper's approximation against the exact expected maximum, within a few per cent.
    assert thresholds[1] / math.sqrt(0.2) == pytest.approx(1.5746, abs=1e-4)


@pytest.mark.parametrize(
    "call",
    [
        lambda: stats.expected_maximum(0),
        lambda: stats.best_of_n([], 1),
        lambda: stats.best_of_n([1, math.nan], 1),
        lambda: stats.best_of_n([1, -math.inf], 1),
        lambda: stats.best_of_n([1, 2], math.nan),
        lambda: stats.deflated_sharpe_ratio(math.nan, 100, 10, 1),
        lambda: stats.deflated_sharpe_ratio(1, 1, 10, 1),
        lambda: stats.deflated_sharpe_ratio(1, 100, 0, 1),
        lambda: stats.deflated_sharpe_ratio(1, 100, 10, -1),
        lambda: stats.deflated_sharpe_ratio(2, 100, 10, 1, skewness=3),
    ],
)
def test_impossible_requests_are_refused(call):
    with pytest.raises(ValueError):
        call()


def test_number_of_seeds_is_whole():
    with pytest.raises(TypeError):
        stats.expected_maximum(2.5)
