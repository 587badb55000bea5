"""Power, smallest detectable effects and numbers of seeds against independent computations."""

import math
import time

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats

from notafluke import stats
from notafluke.stats import power as power_module


def integrated_power(effect, n, alpha):
    """Two-sided power of the paired t-test, integrated over the distribution of the standard deviation."""
    critical = scipy.stats.t.isf(alpha / 2, n - 1)

    def rejection(s):
        mean, limit = effect * math.sqrt(n), critical * s
        density = 2 * s * (n - 1) * scipy.stats.chi2.pdf((n - 1) * s * s, n - 1)
        return density * (scipy.stats.norm.sf(limit - mean) + scipy.stats.norm.cdf(-limit - mean))

    return scipy.integrate.quad(rejection, 0, 20, limit=400, points=[0.5, 1, 2])[0]


@pytest.mark.parametrize(("effect", "n", "alpha"), [(0.0, 7, 0.05), (0.9, 8, 0.05), (-1.4, 10, 0.05 / 9), (5, 3, 0.01)])
def test_paired_t_power_equals_integration(effect, n, alpha):
    assert stats.power_paired_t(effect, n, alpha) == pytest.approx(integrated_power(effect, n, alpha), abs=1e-7)


@pytest.mark.parametrize("effect", [0.3, 50.0, 1e4, math.inf])
def test_paired_t_power_is_a_probability_where_scipy_fails(effect):
    for n in (2, 3, 30, 100_000):
        assert 0 <= stats.power_paired_t(effect, n, 0.05 / 9) <= 1
    assert stats.power_paired_t(effect, 1) == 0
    assert stats.power_paired_t(effect, 1000, 0.05, "less") < 1e-6


def test_signed_rank_power_of_six_pairs_has_a_formula():
    # Six pairs reject at 0.05 exactly when all have one sign.
    for effect in (0.0, 0.7, -1.8, 3.0):
        expected = scipy.stats.norm.cdf(effect) ** 6 + scipy.stats.norm.cdf(-effect) ** 6
        assert stats.power_signed_rank(effect, 6) == pytest.approx(expected, abs=0.012)


def test_signed_rank_power_equals_the_rejection_rate_of_the_test():
    rng = np.random.default_rng(8)
    for effect, n, alpha in ((0.0, 9, 0.05), (1.1, 9, 0.05), (1.0, 14, 0.05 / 9)):
        rejected = [stats.signed_rank_test(rng.normal(effect, 1, n)).p_value <= alpha for _ in range(1500)]
        assert stats.power_signed_rank(effect, n, alpha) == pytest.approx(np.mean(rejected), abs=0.04)


def test_signed_rank_approximation_takes_over_smoothly(monkeypatch):
    for alpha in (0.05, 0.05 / 9):
        approximate = stats.power_signed_rank(0.5, 45, alpha)
        with monkeypatch.context() as patch:
            patch.setattr(power_module, "_LARGEST_SIMULATED_N", 45)
            assert stats.power_signed_rank(0.5, 45, alpha) == pytest.approx(approximate, abs=0.02)
    assert stats.power_signed_rank(9.0, 50) == 1
    assert stats.power_signed_rank(0.0, 400) == pytest.approx(0.05, abs=1e-3)


def test_exact_and_normal_critical_rank_sums_agree():
    exact = power_module._critical_rank_sum(200, 0.05)
    mean, sd = 200 * 201 / 4, math.sqrt(200 * 201 * 401 / 24)
    assert exact == pytest.approx(mean - 1.959964 * sd, abs=3)
    assert scipy.stats.wilcoxon(np.arange(1, 11) * np.r_[-np.ones(3), 1, -1, np.ones(5)], method="exact").pvalue > 0.05
    assert power_module._critical_rank_sum(10, 0.05) == 8  # printed tables: n = 10, two-sided 0.05


@pytest.mark.parametrize("test", ["paired_t", "signed_rank"])
def test_detectable_effect_and_seeds_invert_the_power(test):
    power_at = {"paired_t": stats.power_paired_t, "signed_rank": stats.power_signed_rank}[test]
    for n in (7, 12, 33, 80):
        effect = stats.minimum_detectable_effect(n, 0.05, 0.9, test)
        assert power_at(effect, n, 0.05) == pytest.approx(0.9, abs=1e-3)
    for effect in (0.35, 0.7, -1.3, 4.0):
        n = stats.seeds_needed(effect, 0.01, 0.8, test)
        assert isinstance(n, int)
        assert power_at(effect, n, 0.01) >= 0.8 > power_at(effect, n - 1, 0.01)


def test_limits_of_power():
    assert stats.minimum_detectable_effect(1) == math.inf
    assert stats.minimum_detectable_effect(5, test="signed_rank") == math.inf
    assert stats.minimum_detectable_effect(10, 0.05, 0.04) == 0
    assert stats.seeds_needed(math.inf) == 2
    assert stats.seeds_needed(1e-4) == pytest.approx((2.801585 / 1e-4) ** 2, rel=1e-5)
    assert stats.seeds_needed(0.01) == pytest.approx((2.801585 / 0.01) ** 2, rel=1e-3)


def test_signed_rank_power_is_fast_and_repeats():
    power_module._rejection_thresholds.cache_clear()
    start = time.perf_counter()
    effect = stats.minimum_detectable_effect(30, 0.05, 0.8, "signed_rank")
    assert time.perf_counter() - start < 2
    power_module._rejection_thresholds.cache_clear()
    assert stats.minimum_detectable_effect(30, 0.05, 0.8, "signed_rank") == effect


@pytest.mark.parametrize(
    "call",
    [
        lambda: stats.seeds_needed(0),
        lambda: stats.seeds_needed(math.nan),
        lambda: stats.seeds_needed(1, test="welch"),
        lambda: stats.minimum_detectable_effect(0),
        lambda: stats.minimum_detectable_effect(10, alpha=0),
        lambda: stats.minimum_detectable_effect(10, power=1),
        lambda: stats.power_paired_t(math.nan, 10),
        lambda: stats.power_signed_rank(math.nan, 10),
    ],
)
def test_impossible_requests_are_refused(call):
    with pytest.raises(ValueError):
        call()
