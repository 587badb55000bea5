"""The sign-flip test across tasks against slow enumeration in fractions, and its conventions."""

import itertools
import math
import time
from fractions import Fraction

import numpy as np
import pytest

from notafluke import stats

ALTERNATIVES = ("two-sided", "less", "greater")


def signed_ranks(differences, zeros):
    pairs = [d for d in differences if d != 0 or zeros != "wilcox"]
    magnitudes = [abs(d) for d in pairs]
    for d, a in zip(pairs, magnitudes, strict=True):
        below, equal = sum(b < a for b in magnitudes), sum(b == a for b in magnitudes)
        rank = Fraction(len(pairs)) if math.isinf(a) else Fraction(2 * below + equal + 1, 2)
        yield rank, (d > 0) - (d < 0)


def enumerated(differences_by_task, zeros, alternative):
    """Statistic and p over the sign assignments of all tasks, in fractions."""
    terms, observed = [], Fraction(0)
    for differences in differences_by_task:
        ranks = list(signed_ranks(differences, zeros))
        total = sum(r for r, sign in ranks if sign or zeros == "zsplit")
        for rank, sign in ranks:
            if sign:
                terms.append(rank / total / len(differences_by_task))
                observed += sign * terms[-1]
    hits = 0
    for signs in itertools.product((-1, 1), repeat=len(terms)):
        drawn = sum((s * t for s, t in zip(signs, terms, strict=True)), Fraction(0))
        if alternative == "two-sided":
            hits += abs(drawn) >= abs(observed)
        else:
            hits += drawn >= observed if alternative == "greater" else drawn <= observed
    return float(observed), hits / 2 ** len(terms)


def suites():
    rng = np.random.default_rng(12)
    yield from ([[1.0]], [[0.0], [2.0, -1.0]], [[0.0, 0.0], [0.0]], [[1.0, 2.0], [-1.0, -2.0]])
    yield [[math.inf, -1.0, -math.inf], [2.0, math.inf], [0.0, -3.0]]
    for sizes in ((4, 5), (3, 3, 4), (1, 2, 3, 4)):
        yield [rng.integers(-3, 4, size=n).astype(float).tolist() for n in sizes]


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("zeros", ["wilcox", "pratt", "zsplit"])
def test_exact_p_equals_enumeration(zeros, alternative):
    for suite in suites():
        result = stats.stratified_sign_flip_test(suite, alternative, None, zeros=zeros)
        assert (result.statistic, result.p_value) == enumerated(suite, zeros, alternative), suite
        assert result.draws is None


def test_statistic_is_the_mean_rank_biserial():
    suite = [[1, 2, -3, 0], [math.inf, -1], [0, 0, 0]]
    result = stats.stratified_sign_flip_test(suite, draws=99)
    assert result.rank_biserials == tuple(stats.rank_biserial(d) for d in suite)
    assert result.statistic == pytest.approx(np.mean(result.rank_biserials), abs=1e-15)
    assert (result.tasks, result.n, result.n_nonzero, result.rank_biserials[2]) == (3, 9, 5, 0)


def test_one_task_is_the_signed_rank_test():
    differences = np.random.default_rng(2).normal(0.4, 1, 14)
    for alternative in ALTERNATIVES:
        result = stats.stratified_sign_flip_test([differences], alternative, None)
        assert result.p_value == stats.signed_rank_test(differences, alternative=alternative).p_value


def test_drawn_p_agrees_with_the_exact_one():
    rng = np.random.default_rng(3)
    suite = [rng.normal(0.4, 1, n) for n in (9, 5, 6)]
    exact = stats.stratified_sign_flip_test(suite, draws=None)
    drawn = stats.stratified_sign_flip_test(suite)
    assert (exact.draws, drawn.draws) == (None, 99_999)
    assert drawn.p_value == pytest.approx(exact.p_value, abs=5 * math.sqrt(exact.p_value / 99_999))
    assert stats.stratified_sign_flip_test(suite, rng=2).p_value != drawn.p_value
    assert stats.stratified_sign_flip_test(suite, rng=np.random.default_rng(0)) == drawn


@pytest.mark.parametrize("sizes", [(10,) * 9, (13, 17, 19, 23, 29, 31, 37, 41, 43)])
def test_equal_sums_tie_whatever_the_denominators(sizes):
    # The second suite needs whole numbers beyond 64 bits. Without a draw that ties, p would be a multiple of 1/10000.
    rng = np.random.default_rng(4)
    suite = [rng.normal(size=n) for n in sizes]
    result = stats.stratified_sign_flip_test(suite, draws=9_999)
    turned = stats.stratified_sign_flip_test([-d for d in suite], draws=9_999)
    assert (turned.p_value, turned.statistic) == (result.p_value, -result.statistic)
    zero_sum = [np.r_[np.arange(1.0, n + 1), -np.arange(1.0, n + 1)] for n in sizes]
    assert stats.stratified_sign_flip_test(zero_sum, draws=999).p_value == 1
    same_sign = [np.abs(d) for d in suite]
    assert stats.stratified_sign_flip_test(same_sign, draws=999).p_value == 1 / 1000


def test_level_without_an_effect_and_power_with_one():
    rng = np.random.default_rng(5)
    p_values = {shift: [] for shift in (0.0, 0.6)}
    for shift, found in p_values.items():
        for _ in range(150):
            suite = [scale * rng.normal(shift, 1, 8) for scale in (1, 100, 0.01, 5)]
            found.append(stats.stratified_sign_flip_test(suite, draws=499, rng=rng).p_value)
    assert np.mean(np.array(p_values[0.0]) <= 0.05) <= 0.1
    assert np.mean(np.array(p_values[0.6]) <= 0.05) >= 0.7


def test_nine_tasks_of_thirty_seeds_are_fast():
    rng = np.random.default_rng(6)
    start = time.perf_counter()
    stats.stratified_sign_flip_test([rng.normal(size=30) for _ in range(9)])
    assert time.perf_counter() - start < 3


def test_scale_of_each_task_restores_ties():
    suite = [np.subtract([0.3, 0.3, 0.8], [0.1, 0.5, 0.6]), np.array([1e6 + 1e-7, 5.0]) - [1e6, 2.0]]
    result = stats.stratified_sign_flip_test(suite, draws=None, scale=[1.0, 1e6])
    assert (result.n_nonzero, result.rank_biserials) == (4, (1 / 3, 1.0))
    assert stats.stratified_sign_flip_test(suite, draws=None, scale=1e6).n_nonzero == 4
    with pytest.raises(ValueError, match="one for each of the 2 tasks"):
        stats.stratified_sign_flip_test(suite, scale=[1.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "no task"),
        (([[1], []],), r"differences_by_task\[1\] is empty"),
        (([[1, math.nan]],), r"differences_by_task\[0\] holds NaN"),
        (([[1]], "both"), "alternative"),
        (([[1]], "less", 0), "draws"),
    ],
)
def test_what_cannot_be_tested_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        stats.stratified_sign_flip_test(*arguments)


def test_normal_approximation_is_that_of_many_flips():
    random = np.random.default_rng(11)
    by_task = [random.normal(0.05, 1, size=300) for _ in range(3)]
    flips = stats.stratified_sign_flip_test(by_task)
    normal = stats.stratified_sign_flip_test(by_task, method="normal")
    assert normal.statistic == flips.statistic
    assert normal.p_value == pytest.approx(flips.p_value, rel=0.05)
    for alternative in ("less", "greater"):
        one_sided = stats.stratified_sign_flip_test(by_task, alternative, method="normal").p_value
        assert one_sided == pytest.approx(stats.stratified_sign_flip_test(by_task, alternative).p_value, rel=0.05)
    with pytest.raises(ValueError, match="method must be one of"):
        stats.stratified_sign_flip_test(by_task, method="guess")
