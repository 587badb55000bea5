"""The signed-rank and sign-flip tests against slow enumeration, scipy and their limits."""

import itertools
import math
import time

import numpy as np
import pytest
import scipy.stats

from notafluke import stats

ALTERNATIVES = ("two-sided", "less", "greater")
ZEROS = ("pratt", "wilcox", "zsplit")


def enumerated(differences, zeros, alternative):
    """Statistic and p over all 2^n sign assignments, in whole numbers (four times the rank sums)."""
    pairs = [d for d in differences if d != 0 or zeros != "wilcox"]
    magnitudes = [abs(d) for d in pairs]
    ranks = []
    for a in magnitudes:
        below, equal = sum(b < a for b in magnitudes), sum(b == a for b in magnitudes)
        ranks.append(4 * len(pairs) if math.isinf(a) else 4 * below + 2 * (equal + 1))
    split = sum(r for r, d in zip(ranks, pairs, strict=True) if d == 0) // 2 if zeros == "zsplit" else 0
    flipped = [(r, d) for r, d in zip(ranks, pairs, strict=True) if d != 0]
    plus = split + sum(r for r, d in flipped if d > 0)
    minus = split + sum(r for r, d in flipped if d < 0)
    hits = 0
    for signs in itertools.product((0, 1), repeat=len(flipped)):
        w = split + sum(r for s, (r, _) in zip(signs, flipped, strict=True) if s)
        if alternative == "greater":
            hits += w >= plus
        elif alternative == "less":
            hits += w <= plus
        else:
            hits += min(w, plus + minus - w) <= min(plus, minus)
    return (min(plus, minus) if alternative == "two-sided" else plus) / 4, hits / 2 ** len(flipped)


def samples():
    rng = np.random.default_rng(7)
    yield from ([0.0], [3.0], [-2.0], [0.0, 0.0], [1.0, -1.0], [2.0, 2.0, 2.0], [math.inf], [math.inf, -math.inf, 1.0])
    for n in range(2, 11):
        for spread in (2, 6, 50):
            yield rng.integers(-spread, spread + 1, size=n).astype(float).tolist()
        failed = rng.integers(-4, 5, size=n).astype(float)
        failed[rng.random(n) < 0.4] = math.inf
        failed[rng.random(n) < 0.2] = -math.inf
        yield failed.tolist()


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("zeros", ZEROS)
def test_dynamic_programme_equals_enumeration(zeros, alternative):
    for differences in samples():
        result = stats.signed_rank_test(differences, zeros=zeros, alternative=alternative)
        assert (result.statistic, result.p_value) == enumerated(differences, zeros, alternative), differences


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_exact_equals_scipy_without_ties(alternative):
    rng = np.random.default_rng(1)
    for n in (1, 2, 5, 17, 40):
        differences = rng.normal(0.2, 1, n)
        expected = scipy.stats.wilcoxon(differences, alternative=alternative, method="exact")
        result = stats.signed_rank_test(differences, alternative=alternative)
        assert result.statistic == expected.statistic
        assert result.p_value == pytest.approx(expected.pvalue, rel=1e-12)


@pytest.mark.parametrize("correction", [False, True])
@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("zeros", ZEROS)
def test_normal_equals_scipy(zeros, alternative, correction):
    differences = np.random.default_rng(2).integers(-6, 8, size=60)
    expected = scipy.stats.wilcoxon(
        differences, zero_method=zeros, alternative=alternative, method="asymptotic", correction=correction
    )
    result = stats.signed_rank_test(differences, zeros, alternative, "normal", correction)
    assert (result.statistic, result.p_value) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-12)


def test_a_thousand_tied_pairs_are_fast_and_agree_with_the_normal_limit():
    differences = np.random.default_rng(3).integers(-40, 42, size=1000)
    start = time.perf_counter()
    exact = stats.signed_rank_test(differences)
    assert time.perf_counter() - start < 1
    assert exact.p_value == pytest.approx(stats.signed_rank_test(differences, method="normal").p_value, rel=0.02)
    assert stats.signed_rank_test(np.arange(1, 1001)).p_value == math.ldexp(2, -1000)


def test_more_than_a_thousand_pairs_are_refused_by_the_exact_method_only():
    differences = np.arange(1, 1002)
    with pytest.raises(ValueError, match='method="normal"'):
        stats.signed_rank_test(differences)
    assert 0 < stats.signed_rank_test(np.arange(1, 20_001), method="normal").p_value < 1e-300


def test_zeros_and_single_pairs():
    for zeros, method in itertools.product(ZEROS, ("exact", "normal")):
        for alternative in ALTERNATIVES:
            assert stats.signed_rank_test([0, 0, 0], zeros, alternative, method).p_value == 1
    one = stats.signed_rank_test([2.5])
    assert (one.statistic, one.p_value, one.smallest_p) == (0, 1, 1)
    assert stats.signed_rank_test([2.5], alternative="greater").p_value == 0.5
    five = stats.signed_rank_test([1, 2, 3, 4, 5, 0])
    assert (five.n, five.n_nonzero, five.smallest_p, five.p_value) == (6, 5, 0.0625, 0.0625)


def test_rounding_restores_ties_before_ranking():
    x, y = np.array([0.3, 0.3, 0.8, 0.5]), np.array([0.1, 0.5, 0.6, 0.5])
    assert len(set(np.abs(x - y))) > 2
    assert stats.signed_rank_test(x - y).w_plus == 6
    assert stats.signed_rank_test(1e6 + np.array([1e-7, -2e-7, 3.0]) - 1e6, scale=1e6).n_nonzero == 1
    np.testing.assert_array_equal(stats.round_significant([123456.7891234, -math.inf], 1e8), [123456.789, -math.inf])
    np.testing.assert_array_equal(stats.round_significant([1.5e300, -2.5e-3], 1e300), [1.5e300, 0])
    np.testing.assert_array_equal(stats.round_significant([1.23456789e-310], 1e-310, 3), [1.23e-310])
    np.testing.assert_array_equal(stats.round_significant([0.0, 0.0], 0.0), [0, 0])
    with pytest.raises(ValueError, match="scale"):
        stats.round_significant([3.0], 1.0)


@pytest.mark.parametrize("test", [stats.signed_rank_test, stats.sign_flip_test, stats.rank_biserial])
@pytest.mark.parametrize(
    ("differences", "message"), [([1, math.nan], "NaN at position 1"), ([], "empty"), ([[1, 2]], "one-dimensional")]
)
def test_invalid_differences_are_refused(test, differences, message):
    with pytest.raises(ValueError, match=message):
        test(differences)


@pytest.mark.parametrize(
    "option", [{"zeros": "drop"}, {"alternative": "both"}, {"method": "auto"}, {"correction": True}]
)
def test_unknown_options_are_refused(option):
    with pytest.raises(ValueError):
        stats.signed_rank_test([1, 2, 3], **option)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_sign_flip_equals_scipys_permutations(alternative):
    rng = np.random.default_rng(4)
    for n in (2, 5, 9):
        differences = rng.integers(-6, 9, size=n) / 8
        expected = scipy.stats.permutation_test(
            (differences,), np.mean, permutation_type="samples", alternative=alternative, n_resamples=np.inf
        )
        result = stats.sign_flip_test(differences, alternative)
        assert result.statistic == pytest.approx(expected.statistic, abs=1e-15)
        assert result.p_value == pytest.approx(expected.pvalue, rel=1e-12)
        assert result.draws is None


def test_sign_flip_sums_tie_in_spite_of_floating_point():
    # In floats 0.1 + 0.2 > 0.3: the observed sum of 0 would not tie with its own mirror image.
    assert (
        stats.sign_flip_test([0.1, 0.2, -0.3], "greater").p_value == stats.sign_flip_test([1, 2, -3], "greater").p_value
    )


def test_monte_carlo_sign_flip():
    differences = np.random.default_rng(5).normal(0.4, 1, 18)
    exact = stats.sign_flip_test(differences)
    drawn = stats.sign_flip_test(differences, draws=99_999, rng=np.random.default_rng(1))
    assert drawn.draws == 99_999
    assert drawn.p_value == pytest.approx(exact.p_value, abs=5 * math.sqrt(exact.p_value / 99_999))
    assert (drawn.p_value * 100_000) % 1 == pytest.approx(0, abs=1e-6)
    assert stats.sign_flip_test(differences, draws=999, rng=1) == stats.sign_flip_test(differences, draws=999, rng=1)
    many = stats.sign_flip_test(np.ones(21))
    assert (many.draws, many.p_value, many.smallest_p) == (99_999, 1e-5, 1e-5)
    assert stats.sign_flip_test([1, 2, 3], draws=99_999).p_value >= 0.25
    with pytest.raises(ValueError, match="draws"):
        stats.sign_flip_test([1, 2], draws=0)


def test_sign_flip_leaves_global_random_state_alone():
    before = np.random.get_state()[1].copy()
    stats.sign_flip_test(np.arange(30), draws=100)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_sign_flip_of_failed_pairs_is_the_signed_rank_test():
    differences = [math.inf, -1.0, 2.0, 0.0, -3.0, 2.0, math.inf]
    for alternative in ALTERNATIVES:
        flipped = stats.sign_flip_test(differences, alternative)
        assert flipped.on_ranks
        assert flipped.p_value == stats.signed_rank_test(differences, alternative=alternative).p_value
