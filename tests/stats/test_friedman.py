"""Friedman's test, its post-hoc tests and all-pairs adjustments against scipy and slow definitions."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from notafluke import stats
from notafluke.stats.friedman import range_p
from notafluke.stats.posthoc import _partitions

SCORES = np.round(np.random.default_rng(41).normal(size=(12, 5)), 1)


def test_friedman_equals_scipy():
    expected = scipy.stats.friedmanchisquare(*SCORES.T)
    result = stats.friedman_test(SCORES)
    assert (result.statistic, result.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    np.testing.assert_allclose(result.mean_ranks, scipy.stats.rankdata(-SCORES, axis=1).mean(axis=0))
    assert (result.n, result.k, result.df, result.df_error) == (12, 5, 4, 44)


def test_failed_runs_rank_last_and_the_best_first():
    result = stats.friedman_test([[3, 1, -math.inf, -math.inf], [9, 8, 7, 6]])
    assert result.mean_ranks == (1, 2, 3.25, 3.75)


def test_agreement_and_ties():
    agreed = stats.friedman_test([[3, 2, 1]] * 6)
    assert (agreed.iman_davenport, agreed.statistic) == (math.inf, 12)
    assert agreed.p_iman_davenport == pytest.approx(6.0**-5)
    with pytest.warns(stats.DegenerateWarning):
        tied = stats.friedman_test([[1, 1, 1], [2, 2, 2]])
    assert (tied.statistic, tied.p_value, tied.iman_davenport, tied.p_iman_davenport) == (0, 1, 0, 1)
    assert tied.degenerate
    single = stats.friedman_test([[1, 2, 3]])
    assert (single.statistic, single.iman_davenport, single.p_iman_davenport) == (2, 0, 1)
    many = stats.friedman_test(np.tile(np.arange(30.0), (400, 1)))
    assert 0 < many.p_value < 1e-300
    assert 0 < many.p_iman_davenport < 1e-300


@pytest.mark.parametrize("k", [2, 3, 7, 30])
def test_range_of_normals_equals_scipy(k):
    for q in (1e-6, 0.3, 2.0, 3.7, 6.0):
        assert range_p(q, k) == pytest.approx(scipy.stats.studentized_range.sf(q, k, np.inf), abs=1e-9)
    assert range_p(0, k) == 1
    # Far out the range is that of a single pair.
    assert range_p(20, k) == pytest.approx(math.comb(k, 2) * 2 * scipy.stats.norm.sf(20 / math.sqrt(2)), rel=1e-6)
    assert range_p(1e4, k) > 0
    for alpha in (1e-6, 0.05, 0.5, 0.99):
        assert range_p(math.sqrt(2) * stats.nemenyi_quantile(k, alpha), k) == pytest.approx(alpha, rel=1e-9)


def test_two_treatments_need_the_normal_quantile():
    assert stats.nemenyi_quantile(2, 0.05) == pytest.approx(1.959963984540054, rel=1e-12)
    assert stats.bonferroni_dunn_quantile(2, 0.05) == pytest.approx(1.959963984540054, rel=1e-12)
    assert stats.nemenyi_critical_difference(2, 6, 0.05) == pytest.approx(1.959963984540054 / math.sqrt(6))
    assert stats.iman_davenport_critical_value(4, 14, 0.05) == pytest.approx(scipy.stats.f.ppf(0.95, 3, 39))


def test_rank_comparisons_of_all_pairs_and_with_a_control():
    for method in ("siegel", "nemenyi", "conover"):
        everything = stats.rank_comparisons(SCORES, method)
        assert everything.pairs == tuple(itertools.combinations(range(5), 2))
        by_pair = dict(zip(everything.pairs, zip(everything.statistics, everything.p_values, strict=True), strict=True))
        controlled = stats.rank_comparisons(SCORES, method, control=2)
        assert controlled.pairs == ((2, 0), (2, 1), (2, 3), (2, 4))
        for (i, j), statistic, p in zip(controlled.pairs, controlled.statistics, controlled.p_values, strict=True):
            sign = 1 if i < j else -1
            assert (sign * statistic, p) == by_pair[min(i, j), max(i, j)]


def test_rank_comparisons_of_tasks_that_agree():
    scores = [[1, 2, 3]] * 4
    conover = stats.rank_comparisons(scores, "conover")
    assert conover.statistics == (math.inf, math.inf, math.inf)
    assert conover.p_values == pytest.approx([6.0**-3] * 3)
    tied = stats.rank_comparisons(np.ones((4, 3)), "conover")
    assert (tied.statistics, tied.p_values) == ((0, 0, 0), (1, 1, 1))
    assert stats.rank_comparisons(np.ones((4, 3)), "nemenyi").p_values == (1, 1, 1)
    many = stats.rank_comparisons(np.tile(np.arange(3.0), (5000, 1)), "siegel")
    assert min(many.p_values) > 0


def slow_shaffer(p, k):
    """Most pairs that can be equal among those not yet rejected, from all partitions."""
    sizes = {sum(math.comb(blocks.count(b), 2) for b in set(blocks)) for blocks in _partitions(k)}
    order = np.argsort(p)
    adjusted, largest = np.empty(len(p)), 0.0
    for rejected, index in enumerate(order):
        largest = max(largest, p[index] * max(s for s in sizes if s <= len(p) - rejected))
        adjusted[index] = min(1.0, largest)
    return adjusted


@pytest.mark.parametrize("k", [2, 3, 4, 6])
def test_all_pairs_adjustments(k):
    pairs = list(itertools.combinations(range(k), 2))
    for seed in range(5):
        p = np.random.default_rng(seed).random(len(pairs)) ** 3
        shaffer, bergmann_hommel = stats.shaffer(p), stats.bergmann_hommel(p)
        np.testing.assert_allclose(shaffer, slow_shaffer(p, k))
        # More powerful from left to right.
        assert np.all(stats.holm(p) >= shaffer - 1e-15)
        assert np.all(shaffer >= bergmann_hommel - 1e-15)
        assert np.all(bergmann_hommel >= p)
    if k == 3:
        # Either all three are equal or a single pair is.
        p = np.array([0.01, 0.02, 0.04])
        np.testing.assert_allclose(stats.bergmann_hommel(p), [0.03, 0.03, 0.04])


def test_number_of_partitions_is_bells():
    assert [sum(1 for _ in _partitions(k)) for k in range(1, 8)] == [1, 2, 5, 15, 52, 203, 877]


def test_cliques():
    ranks = [3.1, 1.0, 1.9, 4.0]
    nothing, everything = np.zeros((4, 4)), np.ones((4, 4))
    assert stats.rank_cliques(ranks, nothing) == ((1, 2, 0, 3),)
    assert stats.rank_cliques(ranks, everything) == ()
    apart = np.abs(np.subtract.outer(ranks, ranks)) > 1.5
    assert stats.rank_cliques(ranks, apart) == ((1, 2), (2, 0), (0, 3))
    # Pairwise tests need not follow the ranks: 1 and 0 differ, 1 and 3 do not.
    one = np.zeros((4, 4), dtype=bool)
    one[1, 0] = True
    assert stats.rank_cliques(ranks, one) == ((1, 2), (2, 0, 3))
    with pytest.raises(ValueError, match="shape"):
        stats.rank_cliques(ranks, [[1]])


@pytest.mark.parametrize(
    "call",
    [
        lambda: stats.friedman_test([1, 2, 3]),
        lambda: stats.friedman_test([[1, math.nan]]),
        lambda: stats.friedman_test([]),
        lambda: stats.rank_comparisons(SCORES, "tukey"),
        lambda: stats.rank_comparisons(SCORES, control=5),
        lambda: stats.nemenyi_critical_difference(1, 5, 0.05),
        lambda: stats.nemenyi_critical_difference(3, 0, 0.05),
        lambda: stats.nemenyi_quantile(3, 0),
        lambda: stats.bonferroni_dunn_quantile(1),
        lambda: stats.iman_davenport_critical_value(3, 1),
        lambda: stats.shaffer([0.1, 0.2]),
        lambda: stats.shaffer([]),
        lambda: stats.shaffer([1.2]),
        lambda: stats.bergmann_hommel([0.1] * 45),
    ],
)
def test_impossible_requests_are_refused(call):
    with pytest.raises(ValueError):
        call()
