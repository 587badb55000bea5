"""Hodges-Lehmann intervals and Bayesian tests against definitions and scipy."""

import math

import numpy as np
import pytest
import scipy.stats

from notafluke import stats

DATA = np.random.default_rng(51).normal(0.5, 1, 12)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
def test_hodges_lehmann_limits_are_the_shifts_that_the_test_accepts(confidence):
    result = stats.hodges_lehmann(DATA, confidence)
    walsh = [(a + b) / 2 for i, a in enumerate(DATA) for b in DATA[i:]]
    assert result.estimate == pytest.approx(np.median(walsh))
    for limit, outwards in ((result.low, -1e-9), (result.high, 1e-9)):
        outside, inside = DATA - limit - outwards, DATA - limit + outwards
        assert stats.signed_rank_test(outside).p_value <= 1 - confidence < stats.signed_rank_test(inside).p_value
    assert result.achieved >= confidence


def test_hodges_lehmann_is_r_wilcox_test():
    # R: wilcox.test(c(1, 3, 4, 7, 9.5, 11), conf.int = TRUE): 96.9 %, all Walsh averages.
    result = stats.hodges_lehmann([1, 3, 4, 7, 9.5, 11])
    assert (result.low, result.high, result.achieved) == (1, 11, 1 - 2 / 64)
    assert stats.hodges_lehmann([1, 3, 4, 7, 9.5, 11], 1 - 4 / 64).low == 2


def test_hodges_lehmann_at_its_limits():
    five = stats.hodges_lehmann([1, 2, 3, 4, 5])
    assert (five.estimate, five.low, five.high, five.achieved) == (3, -math.inf, math.inf, 1)
    failed = stats.hodges_lehmann([-math.inf, 1, 2, 3, 4, 5, 6])
    assert (failed.low, failed.estimate, failed.high) == (-math.inf, 3, 5)
    assert stats.hodges_lehmann([-math.inf]).estimate == -math.inf
    large = np.random.default_rng(1).normal(size=1000)
    assert stats.hodges_lehmann(large).estimate == pytest.approx(np.median(large), abs=0.1)
    for wrong in ([math.inf, -math.inf], [], [math.nan], np.zeros(1001)):
        with pytest.raises(ValueError):
            stats.hodges_lehmann(wrong)


def test_bayesian_sign_test_of_two_regions_is_a_beta_probability():
    result = stats.bayesian_sign_test([1] * 7 + [-1] * 3, prior=1.0, prior_place="better", draws=200_000)
    assert result.p_better == pytest.approx(scipy.stats.beta.sf(0.5, 8, 3), abs=0.005)
    assert (result.worse, result.equivalent, result.better, result.p_equivalent) == (3, 0, 7, 0)
    failed = stats.bayesian_sign_test([math.inf, -math.inf, -math.inf], draws=100)
    assert (failed.worse, failed.better) == (2, 1)


def test_bayesian_boundaries_survive_rounding():
    # 0.3 - 0.2 and 0.1 differ in floats, not in decimals.
    result = stats.bayesian_sign_test([0.3 - 0.2, 0.2 - 0.3, 0.8 - 0.7], 0.1, draws=10)
    assert (result.worse, result.equivalent, result.better) == (0, 3, 0)
    assert stats.bayesian_signed_rank_test([0.3 - 0.2, 0.8 - 0.7], 0.1, draws=10).p_equivalent == 1


def slow_signed_rank(differences, rope, prior, draws):
    rng = np.random.default_rng(99)
    values = np.r_[0.0, differences]
    wins = np.zeros(3)
    for _ in range(draws):
        weights = rng.dirichlet(np.r_[prior, np.ones(len(differences))])
        mass = np.zeros(3)
        for i, a in enumerate(values):
            for j, b in enumerate(values):
                mass[1 + ((a + b) / 2 > rope) - ((a + b) / 2 < -rope)] += weights[i] * weights[j]
        wins[mass.argmax()] += 1
    return wins / draws


def test_bayesian_signed_rank_equals_its_definition():
    data = [0.4, -0.3, 0.9, 0.2, 1.5]
    result = stats.bayesian_signed_rank_test(data, 0.25, draws=20_000)
    expected = slow_signed_rank(data, 0.25, 0.6, 2_500)
    assert [result.p_worse, result.p_equivalent, result.p_better] == pytest.approx(expected, abs=0.04)
    assert result.p_worse + result.p_equivalent + result.p_better == pytest.approx(1)
    assert stats.bayesian_signed_rank_test(data[::-1], 0.25, draws=20_000) == result
    assert stats.bayesian_signed_rank_test(data, 0.25, draws=20_000, rng=4) != result


def test_correlated_t_is_students_posterior():
    result = stats.bayesian_correlated_t_test(DATA, 0.2, runs=3)
    scale = DATA.std(ddof=1) * math.sqrt(1 / 12 + 1 / 3)
    posterior = scipy.stats.t(11, DATA.mean(), scale)
    assert result.p_worse == pytest.approx(posterior.cdf(-0.2))
    assert result.p_better == pytest.approx(posterior.sf(0.2))
    assert result.p_equivalent == pytest.approx(posterior.cdf(0.2) - posterior.cdf(-0.2))
    with pytest.warns(stats.DegenerateWarning):
        constant = stats.bayesian_correlated_t_test([0.1 + 0.2, 0.3], 0.3)
    assert (constant.p_worse, constant.p_equivalent, constant.p_better) == (0, 1, 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: stats.bayesian_sign_test([1], -1),
        lambda: stats.bayesian_sign_test([1], math.nan),
        lambda: stats.bayesian_sign_test([1], prior=-1),
        lambda: stats.bayesian_sign_test([1], prior_place="rope"),
        lambda: stats.bayesian_sign_test([1], draws=0),
        lambda: stats.bayesian_signed_rank_test([1, math.inf]),
        lambda: stats.bayesian_signed_rank_test([]),
        lambda: stats.bayesian_correlated_t_test([1, 2, 3], runs=2),
        lambda: stats.bayesian_correlated_t_test([1, 2], runs=2),
        lambda: stats.bayesian_correlated_t_test([1, 2], runs=0),
        lambda: stats.noether_runs(0.5),
        lambda: stats.noether_runs(0.75, 0),
        lambda: stats.noether_runs(1.0),
    ],
)
def test_impossible_requests_are_refused(call):
    with pytest.raises(ValueError):
        call()
