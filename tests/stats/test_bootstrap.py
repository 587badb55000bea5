"""Bootstrap intervals against slow loops and scipy, and what they do with failed runs."""

import math

import numpy as np
import pytest
import scipy.stats

from notafluke import stats
from notafluke.stats import bootstrap as bootstrap_module

RNG = np.random.default_rng(21)
SIZES = (8, 5, 12)
X = [RNG.normal(0.4, 1, n) for n in SIZES]
Y = [RNG.normal(0.0, 1, n) for n in SIZES]
IQM = stats.interquartile_mean_difference


def test_statistic_gets_paired_seeds_of_each_task_in_the_order_given():
    labels = [100 * task + np.arange(n) for task, n in enumerate(SIZES)]
    seen = []

    def statistic(x, y):
        np.testing.assert_array_equal(y, -x)
        seen.append(x)
        return x.mean(axis=1)

    result = stats.paired_stratified_bootstrap(labels, [-x for x in labels], statistic, resamples=50)
    assert [block.shape for block in seen] == [(1, sum(SIZES)), (50, sum(SIZES))]
    tasks = np.repeat(np.arange(3), SIZES)
    np.testing.assert_array_equal(seen[1] // 100, np.tile(tasks, (50, 1)))
    assert len(np.unique(seen[1])) > 20
    assert result.estimate == np.concatenate(labels).mean()
    assert (result.confidence, result.resamples) == (0.95, 50)


def test_interval_equals_that_of_a_slow_loop():
    rng = np.random.default_rng(5)
    values = []
    for _ in range(4000):
        drawn = [rng.integers(0, n, n) for n in SIZES]
        x, y = (np.concatenate([a[i] for a, i in zip(arm, drawn, strict=True)]) for arm in (X, Y))
        values.append(scipy.stats.trim_mean(x, 0.25) - scipy.stats.trim_mean(y, 0.25))
    result = stats.paired_stratified_bootstrap(X, Y, IQM)
    assert (result.low, result.high) == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.06)
    trimmed = [scipy.stats.trim_mean(np.concatenate(arm), 0.25) for arm in (X, Y)]
    assert result.estimate == pytest.approx(trimmed[0] - trimmed[1])
    narrow = stats.paired_stratified_bootstrap(X, Y, IQM, confidence=0.5)
    assert result.low < narrow.low < narrow.estimate < narrow.high < result.high


def test_chunks_change_nothing(monkeypatch):
    whole = stats.paired_stratified_bootstrap(X, Y, IQM, resamples=500)
    monkeypatch.setattr(bootstrap_module, "_CHUNK", 700)
    assert stats.paired_stratified_bootstrap(X, Y, IQM, resamples=500) == whole


def test_own_generator():
    before = np.random.get_state()[1].copy()
    first = stats.paired_stratified_bootstrap(X, Y, IQM, resamples=300, rng=7)
    assert stats.paired_stratified_bootstrap(X, Y, IQM, resamples=300, rng=np.random.default_rng(7)) == first
    assert stats.paired_stratified_bootstrap(X, Y, IQM, resamples=300, rng=8) != first
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_failed_runs_give_limits_without_nan():
    x, y = [a.copy() for a in X], [a.copy() for a in Y]
    x[0][:7] = -math.inf
    some = stats.paired_stratified_bootstrap(x, y, IQM)
    assert some.low == -math.inf
    assert some.high < math.inf
    assert not math.isnan(some.estimate)
    share = stats.paired_stratified_bootstrap(x, y, stats.share_of_better_pairs)
    assert 0 <= share.low <= share.estimate <= share.high <= 1
    failed = [np.full(n, -math.inf) for n in SIZES]
    nothing = stats.paired_stratified_bootstrap(failed, failed, IQM)
    assert (nothing.low, nothing.estimate, nothing.high) == (0, 0, 0)
    assert stats.paired_stratified_bootstrap(failed, y, IQM).high == -math.inf


def test_constant_arms_give_a_point():
    result = stats.paired_stratified_bootstrap([[1, 1], [1]], [[0.5, 0.5], [0.5]], IQM, resamples=99)
    assert (result.low, result.estimate, result.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([], [], IQM), {}, "at least one"),
        (([[1]], [[1], [2]], IQM), {}, "same tasks"),
        (([[1, 2]], [[1]], IQM), {}, "task 0 is not paired"),
        (([[1]], [[math.nan]], IQM), {}, r"y_by_task\[0\] holds NaN"),
        (([[1], []], [[1], []], IQM), {}, r"x_by_task\[1\] is empty"),
        (([[1]], [[1]], lambda x, y: 0.5), {}, "shape"),
        (([[1]], [[1]], lambda x, y: np.full(len(x), math.nan)), {}, "NaN"),
        (([[1]], [[1]], IQM), {"confidence": 1.0}, "confidence"),
        (([[1]], [[1]], IQM), {"resamples": 0}, "resamples"),
    ],
)
def test_what_cannot_be_resampled_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        stats.paired_stratified_bootstrap(*arguments, **options)


def test_bca_agrees_with_scipy():
    sample = np.random.default_rng(1).exponential(size=30)
    options = {"confidence_level": 0.9, "n_resamples": 20_000, "rng": np.random.default_rng(2)}
    for method, limits in (("BCa", ("low", "high")), ("percentile", ("percentile_low", "percentile_high"))):
        expected = scipy.stats.bootstrap((sample,), np.mean, method=method, **options).confidence_interval
        result = stats.bca_interval(sample, np.mean, confidence=0.9, resamples=20_000)
        assert [getattr(result, limit) for limit in limits] == pytest.approx(expected, abs=0.02)
    assert result.estimate == pytest.approx(sample.mean())
    assert result.acceleration == pytest.approx(scipy.stats.skew(sample) / 6 / math.sqrt(30))


def test_bca_takes_statistics_of_rows_and_of_vectors():
    sample = np.random.default_rng(3).normal(size=12)
    rows = stats.bca_interval(sample, stats.interquartile_mean, resamples=400)
    vectors = stats.bca_interval(sample, lambda values: stats.interquartile_mean(values), resamples=400)
    assert rows == vectors
    assert stats.bca_interval(sample[::-1], stats.interquartile_mean, resamples=400) == rows
    mirrored = stats.bca_interval(-sample, np.median, resamples=20_000)
    there = stats.bca_interval(sample, np.median, resamples=20_000)
    assert (mirrored.low, mirrored.high) == pytest.approx((-there.high, -there.low), abs=0.1)


@pytest.mark.parametrize("sample", [[4.0], [2.0, 2.0, 2.0]])
def test_bca_without_variance(sample):
    with pytest.warns(stats.DegenerateWarning):
        result = stats.bca_interval(sample, np.mean, resamples=99)
    assert (result.low, result.high, result.percentile_low) == (sample[0], sample[0], sample[0])
    assert (result.degenerate, result.bias_correction, result.acceleration) == (True, 0, 0)


def test_bca_of_a_statistic_at_its_bound():
    result = stats.bca_interval([1.0, 2.0, 3.0, 9.0], np.max, resamples=200)
    assert result.low <= result.high == 9


@pytest.mark.parametrize(
    ("sample", "statistic", "message"),
    [
        ([1, math.inf], np.mean, "infinite"),
        ([], np.mean, "empty"),
        ([1, 2], lambda values: values, "shape"),
        ([1, 2], lambda values: math.nan, "NaN"),
        ([1, 2], lambda values: math.inf, "finite"),
    ],
)
def test_bca_refusals(sample, statistic, message):
    with pytest.raises(ValueError, match=message):
        stats.bca_interval(sample, statistic, resamples=10)
