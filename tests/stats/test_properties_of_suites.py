"""Properties 2 to 7 of the reference cases for what looks at several tasks, arms or resamples, on generated data."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notafluke import stats

PROPERTY = settings(deadline=None, derandomize=True, database=None, max_examples=50)

ALTERNATIVES = ("two-sided", "less", "greater")
MIRRORED = {"two-sided": "two-sided", "less": "greater", "greater": "less"}
DRAWS = (None, 199)

# Eighths are exact in floats, so that transformed data tie exactly where the original data do.
eighths = st.integers(-40, 40).map(lambda k: k / 8)
failing = st.one_of(eighths, st.sampled_from([math.inf, -math.inf]))
suites = st.lists(st.lists(failing, min_size=1, max_size=5), min_size=1, max_size=4)
samples = st.lists(st.one_of(eighths, st.just(-math.inf)), min_size=1, max_size=12)
finite = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12)
pair = st.tuples(st.one_of(eighths, st.just(-math.inf)), st.one_of(eighths, st.just(-math.inf)))
paired_suites = st.lists(st.lists(pair, min_size=1, max_size=5), min_size=1, max_size=4)


@st.composite
def tables(draw, values=eighths, least=2):
    n, k = draw(st.integers(1, 6)), draw(st.integers(least, 5))
    return np.array(draw(st.lists(st.lists(values, min_size=k, max_size=k), min_size=n, max_size=n)))


@pytest.fixture(autouse=True)
def expect_degenerate_data(recwarn):
    """Generated data include constant scores, which warn."""


def arms(suite):
    return [[x for x, _ in task] for task in suite], [[y for _, y in task] for task in suite]


def shuffled(suite, random):
    return random.sample([random.sample(task, len(task)) for task in suite], len(suite))


@PROPERTY
@given(suites)
def test_2_swapping_the_arms_mirrors_the_suite(suite):
    turned = [np.negative(d) for d in suite]
    for draws in DRAWS:
        for alternative in ALTERNATIVES:
            there = stats.stratified_sign_flip_test(suite, alternative, draws)
            back = stats.stratified_sign_flip_test(turned, MIRRORED[alternative], draws)
            assert (back.p_value, back.statistic) == (there.p_value, -there.statistic)


@PROPERTY
@given(suites, st.randoms())
def test_3_the_order_of_seeds_and_tasks_changes_nothing(suite, random):
    other = shuffled(suite, random)
    for draws in DRAWS:
        for alternative in ALTERNATIVES:
            one, two = (stats.stratified_sign_flip_test(s, alternative, draws) for s in (suite, other))
            assert (one.p_value, one.statistic, one.n) == (two.p_value, two.statistic, two.n)
            assert sorted(one.rank_biserials) == sorted(two.rank_biserials)


@PROPERTY
@given(suites, st.lists(st.sampled_from([0.25, 2, 64]), min_size=4, max_size=4))
def test_4_units_of_a_task_leave_the_suite_unchanged(suite, factors):
    scaled = [factor * np.array(d) for factor, d in zip(factors, suite, strict=False)]
    cubed = [np.array(d) ** 3 for d in suite]
    for draws in DRAWS:
        result = stats.stratified_sign_flip_test(suite, draws=draws)
        assert stats.stratified_sign_flip_test(scaled, draws=draws) == result
        assert stats.stratified_sign_flip_test(cubed, draws=draws) == result


@PROPERTY
@given(suites)
def test_7_and_10_p_of_a_suite_has_its_floor(suite):
    zeros = [np.zeros(len(d)) for d in suite]
    nonzero = sum(x != 0 for d in suite for x in d)
    for draws in DRAWS:
        for alternative in ALTERNATIVES:
            assert stats.stratified_sign_flip_test(zeros, alternative, draws).p_value == 1
            result = stats.stratified_sign_flip_test(suite, alternative, draws)
            floor = min(1, (2 if alternative == "two-sided" else 1) / 2**nonzero)
            assert floor <= result.smallest_p <= result.p_value <= 1
            assert -1 <= result.statistic <= 1


@PROPERTY
@given(paired_suites, st.randoms())
def test_3_the_order_of_seeds_and_tasks_leaves_the_bootstrap_unchanged(suite, random):
    for statistic in (stats.interquartile_mean_difference, stats.share_of_better_pairs):
        one, two = (
            stats.paired_stratified_bootstrap(*arms(s), statistic, resamples=60)
            for s in (suite, shuffled(suite, random))
        )
        assert one == two
        assert one.low <= one.high  # so neither is NaN


@PROPERTY
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(0, 1000))
def test_2_swapping_the_arms_mirrors_the_bootstrap(sizes, seed):
    rng = np.random.default_rng(seed)
    x, y = ([rng.normal(size=n) for n in sizes] for _ in range(2))
    there = stats.paired_stratified_bootstrap(x, y, stats.interquartile_mean_difference, resamples=60)
    back = stats.paired_stratified_bootstrap(y, x, stats.interquartile_mean_difference, resamples=60)
    assert (back.estimate, back.low, back.high) == (-there.estimate, -there.high, -there.low)


@PROPERTY
@given(paired_suites)
def test_7_identical_arms_in_the_bootstrap(suite):
    x, _ = arms(suite)
    difference = stats.paired_stratified_bootstrap(x, x, stats.interquartile_mean_difference, resamples=40)
    assert (difference.low, difference.estimate, difference.high) == (0, 0, 0)
    share = stats.paired_stratified_bootstrap(x, x, stats.share_of_better_pairs, resamples=40)
    assert (share.low, share.estimate, share.high) == (0.5, 0.5, 0.5)


@PROPERTY
@given(finite, st.randoms())
def test_aggregates_are_exactly_symmetric_and_free_of_order(values, random):
    data = np.array(values)
    other = random.sample(values, len(values))
    assert stats.interquartile_mean(other) == stats.interquartile_mean(values)
    assert stats.interquartile_mean(-data) == -stats.interquartile_mean(data)
    assert data.min() <= stats.interquartile_mean(data) <= data.max() or np.ptp(data) < 1e-9 * np.abs(data).max()
    there, back = stats.hodges_lehmann(data, 0.8), stats.hodges_lehmann(-data, 0.8)
    assert (back.estimate, back.low, back.high) == (-there.estimate, -there.high, -there.low)
    assert stats.hodges_lehmann(other, 0.8) == there
    assert there.low <= there.estimate <= there.high
    for function in (
        stats.mean_score,
        stats.optimality_gap,
        lambda s: stats.performance_profile(s, [0, 1]).tolist(),
        lambda s: stats.best_of_n(s, 1.0),
        lambda s: stats.bca_interval(s, stats.interquartile_mean, resamples=50),
        lambda s: stats.bayesian_sign_test(s, 0.5, draws=50),
        lambda s: stats.bayesian_signed_rank_test(s, 0.5, draws=50),
    ):
        assert function(values) == function(other)


@PROPERTY
@given(samples, samples, st.randoms())
def test_unpaired_effects(x, y, random):
    delta, a = stats.cliffs_delta(x, y), stats.vargha_delaney_a(x, y)
    assert delta == -stats.cliffs_delta(y, x)
    assert a == pytest.approx((delta + 1) / 2)
    assert -1 <= delta <= 1
    signs = np.sign(np.subtract.outer(np.exp(x), np.exp(y)))
    assert delta == pytest.approx(signs.mean(), abs=1e-12)
    assert stats.cliffs_delta(np.exp(x), np.exp(y)) == delta
    assert stats.cliffs_delta(random.sample(x, len(x)), random.sample(y, len(y))) == delta
    assert stats.probability_of_improvement(x, y) == a


@PROPERTY
@given(samples, st.data())
def test_6_a_failed_run_never_helps_its_arm(x, data):
    y = data.draw(samples)
    worse = list(x)
    worse[data.draw(st.integers(0, len(x) - 1))] = -math.inf
    assert stats.cliffs_delta(worse, y) <= stats.cliffs_delta(x, y)
    assert stats.interquartile_mean(worse) <= stats.interquartile_mean(x) + 1e-12
    thresholds = np.arange(-5, 5)
    assert np.all(stats.performance_profile(worse, thresholds) <= stats.performance_profile(x, thresholds))
    assert stats.optimality_gap(worse, 1.0) >= stats.optimality_gap(x, 1.0)


@PROPERTY
@given(tables(), st.randoms())
def test_friedman_is_free_of_order_and_of_monotone_transforms(scores, random):
    result = stats.friedman_test(scores)
    rows = random.sample(range(len(scores)), len(scores))
    assert stats.friedman_test(scores[rows]) == result
    assert stats.friedman_test(np.exp(scores)) == result
    columns = random.sample(range(scores.shape[1]), scores.shape[1])
    turned = stats.friedman_test(scores[:, columns])
    assert (turned.statistic, turned.p_value) == (result.statistic, result.p_value)
    assert turned.mean_ranks == tuple(np.array(result.mean_ranks)[columns])
    assert stats.friedman_test(-scores).statistic == result.statistic
    assert sum(result.mean_ranks) == pytest.approx(result.k * (result.k + 1) / 2)
    assert 0 < result.p_value <= 1
    assert 0 < result.p_iman_davenport <= 1
    for method in ("siegel", "nemenyi", "conover"):
        compared = stats.rank_comparisons(scores, method)
        assert all(0 < p <= 1 for p in compared.p_values)
        assert not any(math.isnan(statistic) for statistic in compared.statistics)


@PROPERTY
@given(st.integers(2, 5), st.data())
def test_5_all_pairs_adjustments(k, data):
    size = k * (k - 1) // 2
    p = np.array(data.draw(st.lists(st.floats(0, 1), min_size=size, max_size=size)))
    for adjust in (stats.shaffer, stats.bergmann_hommel):
        adjusted = adjust(p)
        assert np.all((p <= adjusted) & (adjusted <= 1))
    order = np.argsort(p, kind="stable")
    assert np.all(np.diff(stats.shaffer(p)[order]) >= 0)
    if size == 1:
        np.testing.assert_array_equal(stats.shaffer(p), p)
        np.testing.assert_array_equal(stats.bergmann_hommel(p), p)


@PROPERTY
@given(st.lists(eighths, min_size=1, max_size=12), eighths, st.sampled_from([0.25, 2, 64]), eighths)
def test_4_best_of_n_under_affine_transforms(values, baseline, factor, shift):
    data = np.array(values)
    here, there = stats.best_of_n(data, baseline), stats.best_of_n(factor * data + shift, factor * baseline + shift)
    for name in ("p_value", "p_single_beats_baseline", "p_best_beats_baseline"):
        assert getattr(there, name) == pytest.approx(getattr(here, name), rel=1e-9, abs=1e-12)
        assert 0 <= getattr(here, name) <= 1
    assert there.expected_best == pytest.approx(factor * here.expected_best + shift, abs=1e-9)
    assert here.p_value > 0
    assert here.mean <= here.expected_best <= here.best_quantile_95
