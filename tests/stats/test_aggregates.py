"""Aggregates over runs and tasks and unpaired effects against scipy and pair counting."""

import math

import numpy as np
import pytest
import scipy.stats

from notafluke import stats

SCORES = np.random.default_rng(31).normal(size=(9, 4))


@pytest.mark.parametrize("n", range(1, 12))
def test_interquartile_mean_equals_scipys_trimmed_mean(n):
    values = np.random.default_rng(n).normal(size=n)
    assert stats.interquartile_mean(values) == pytest.approx(scipy.stats.trim_mean(values, 0.25))


def test_interquartile_mean_of_rows():
    expected = [stats.interquartile_mean(row) for row in SCORES]
    np.testing.assert_array_equal(stats.interquartile_mean(SCORES, axis=-1), expected)
    np.testing.assert_array_equal(stats.interquartile_mean(SCORES.T, axis=0), expected)
    assert stats.interquartile_mean(SCORES) == stats.interquartile_mean(SCORES.ravel()[::-1])
    assert isinstance(stats.interquartile_mean(SCORES), float)
    assert stats.interquartile_mean([1.5e308] * 8) == 1.5e308


def test_interquartile_mean_of_failed_runs():
    failed = -math.inf
    assert stats.interquartile_mean([failed, 1, 2, 9]) == 1.5
    assert stats.interquartile_mean([failed, failed, 2, 9]) == failed
    assert stats.interquartile_mean([-failed, 1, 2, 3]) == 2.5
    assert stats.interquartile_mean([failed]) == failed
    with pytest.raises(ValueError, match="both"):
        stats.interquartile_mean([failed, 1, 2, 3, 4, 5, 6, -failed])
    difference = stats.interquartile_mean_difference(
        [[failed] * 4, [failed] * 4, [3] * 4], [[failed] * 4, [1] * 4, [1] * 4]
    )
    np.testing.assert_array_equal(difference, [0, failed, 2])


def test_share_of_better_pairs():
    x, y = np.array([[1, 2, -math.inf], [5, 2, 3]]), np.array([[1, 1, -math.inf], [6, 6, 1]])
    np.testing.assert_allclose(stats.share_of_better_pairs(x, y), [4 / 6, 1 / 3])
    with pytest.raises(ValueError, match="not paired"):
        stats.share_of_better_pairs([1, 2], [1])


def test_means_gap_and_profile():
    assert stats.mean_score(SCORES) == pytest.approx(SCORES.mean())
    assert stats.median_score(SCORES) == pytest.approx(np.median(SCORES.mean(axis=0)))
    assert stats.optimality_gap(SCORES, 0.5) == pytest.approx(0.5 - np.minimum(SCORES, 0.5).mean())
    assert stats.optimality_gap([1, -math.inf], 1) == math.inf
    profile = stats.performance_profile([1, 2, 2, -math.inf], [-math.inf, 0, 1, 1.5, 2])
    np.testing.assert_array_equal(profile, [0.75, 0.75, 0.5, 0.5, 0])
    of_tasks = stats.performance_profile([[1, 4], [3, 8]], [2, 1.5, 6], of="task_means")
    np.testing.assert_array_equal(of_tasks, [0.5, 1, 0])


def test_probability_of_improvement_equals_mann_whitney():
    x, y = np.round(SCORES, 1), np.round(np.random.default_rng(7).normal(size=(6, 4)), 1)
    u = [scipy.stats.mannwhitneyu(a, b).statistic / (9 * 6) for a, b in zip(x.T, y.T, strict=True)]
    assert stats.probability_of_improvement(x, y) == pytest.approx(np.mean(u))
    assert stats.probability_of_improvement(x[:, 0], y[:, 0]) == stats.vargha_delaney_a(x[:, 0], y[:, 0])
    assert stats.vargha_delaney_a(x[:, 0], y[:, 0]) == pytest.approx(u[0])
    assert stats.probability_of_improvement([-math.inf, 1], [-math.inf, 2]) == (0.5 + 1) / 4


def test_unpaired_effects():
    x, y = SCORES[:, 0], SCORES[:5, 1]
    pooled = math.sqrt((8 * x.var(ddof=1) + 4 * y.var(ddof=1)) / 12)
    assert stats.cohens_d(x, y) == pytest.approx((x.mean() - y.mean()) / pooled)
    assert stats.hedges_g(x, y) == pytest.approx(stats.cohens_d(x, y) * (1 - 3 / 47))
    assert stats.cohens_d([1, 1], [1]) == 0
    assert stats.cohens_d([1, 1], [0.1 + 0.2, 0.3]) == math.inf
    assert stats.cohens_d([1], [2]) == -math.inf
    assert stats.cohens_d([1, 2], [4]) == pytest.approx(-2.5 / math.sqrt(0.5))
    assert stats.cliffs_delta([-math.inf, 3], [1, 2]) == 0


@pytest.mark.parametrize("equal_variances", [False, True])
def test_unpaired_tost_is_two_one_sided_tests(equal_variances):
    x, y = SCORES[:, 0], 2 * SCORES[:5, 1]
    above = scipy.stats.ttest_ind(x, y - 1.4, equal_var=equal_variances, alternative="greater")
    below = scipy.stats.ttest_ind(x, y + 0.9, equal_var=equal_variances, alternative="less")
    result = stats.tost_independent(x, y, -1.4, 0.9, equal_variances=equal_variances)
    assert (result.p_low, result.p_high) == pytest.approx((above.pvalue, below.pvalue))
    assert result.p_value == max(result.p_low, result.p_high)
    interval = scipy.stats.ttest_ind(x, y, equal_var=equal_variances).confidence_interval(0.9)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize(
    "call",
    [
        lambda: stats.interquartile_mean([]),
        lambda: stats.interquartile_mean([1, math.nan]),
        lambda: stats.mean_score([1, math.inf]),
        lambda: stats.median_score([[[1]]]),
        lambda: stats.optimality_gap([1], math.inf),
        lambda: stats.performance_profile([1], [math.nan]),
        lambda: stats.performance_profile([1], [1], of="tasks"),
        lambda: stats.probability_of_improvement([[1, 2]], [1]),
        lambda: stats.cliffs_delta([1], [math.nan]),
        lambda: stats.vargha_delaney_a([], [1]),
        lambda: stats.cohens_d([1, math.inf], [1]),
        lambda: stats.hedges_g([1, 2], [1]),
        lambda: stats.tost_independent([1], [1, 2], -1, 1),
        lambda: stats.tost_independent([1, 1], [2, 2], -1, 1),
        lambda: stats.tost_independent([1, 2], [2, 4], 1, -1),
    ],
)
def test_impossible_requests_are_refused(call):
    with pytest.raises(ValueError):
        call()
