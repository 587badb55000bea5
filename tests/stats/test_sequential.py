"""Alpha spending, boundaries and sequential p-values against published tables, other integrations and simulation."""

import math
import time

import mpmath
import numpy as np
import pytest
import scipy.signal
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from notafluke import stats
from notafluke.stats import sequential

PROPERTY = settings(deadline=None, derandomize=True, database=None, max_examples=60)
SCHEDULES = [(10, 15, 20, 30, 40), (5, 8), (10, 20, 40), (90, 95, 100), (1, 2, 3, 4, 5, 6, 7, 8, 9, 10), (2, 50)]
SPENDINGS = ("obrien_fleming", "pocock")

schedules = st.lists(st.integers(2, 60), min_size=2, max_size=5, unique=True).map(lambda sizes: tuple(sorted(sizes)))
designs = st.tuples(st.sampled_from(SCHEDULES), st.sampled_from(SPENDINGS), st.sampled_from([1, 2]))
levels = st.floats(-8, math.log10(0.49)).map(lambda exponent: 10**exponent)


def correlations(looks):
    n = np.array(looks, dtype=float)
    return np.sqrt(np.minimum.outer(n, n) / np.maximum.outer(n, n))


def crossing_probabilities(result, step=0.002):
    """The chance to have crossed by each look, forwards with the density of S(n), as in textbooks, by plain sums."""
    n = np.array(result.looks, dtype=float) / result.looks[0]
    grid = np.arange(-9.0, 9.0 + step / 2, step) * math.sqrt(n[-1])
    width = grid[1] - grid[0]
    density = scipy.stats.norm.pdf(grid)
    crossed = []
    for k, z in enumerate(result.z):
        if k:
            kernel = scipy.stats.norm.pdf(grid, scale=math.sqrt(n[k] - n[k - 1])) * width
            density = scipy.signal.fftconvolve(density, kernel, mode="same")
        limit = z * math.sqrt(n[k])
        # The cell that holds the boundary lies inside in part.
        inside = np.clip((limit - grid) / width + 0.5, 0.0, 1.0)
        if result.sides == 2:
            inside *= np.clip((limit + grid) / width + 0.5, 0.0, 1.0)
        density = density * inside
        crossed.append(1.0 - density.sum() * width)
    return crossed


@pytest.mark.parametrize(
    ("looks", "spending", "published"),
    [
        # DeMets and Lan (1994), Reboussin et al. (2000), ldbounds: two-sided 0.05, equally spaced looks.
        (2, "obrien_fleming", [2.9626, 1.9686]),
        (3, "obrien_fleming", [3.7103, 2.5114, 1.9930]),
        (4, "obrien_fleming", [4.3326, 2.9631, 2.3590, 2.0141]),
        (5, "obrien_fleming", [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
        (2, "pocock", [2.1570, 2.2010]),
        (3, "pocock", [2.2794, 2.2949, 2.2959]),
        (5, "pocock", [2.4380, 2.4268, 2.4101, 2.3966, 2.3859]),
    ],
)
def test_published_boundaries(looks, spending, published):
    result = stats.boundaries(range(1, looks + 1), 0.05, spending)
    assert result.z == pytest.approx(published, abs=1.5e-4)
    assert result.nominal == pytest.approx(2 * scipy.stats.norm.sf(result.z), rel=1e-12)
    # One side alone, at half the level, has the same boundaries but for paths that cross both.
    assert stats.boundaries(range(1, looks + 1), 0.025, spending, sides=1).z == pytest.approx(result.z, abs=2e-5)


@pytest.mark.parametrize("spending", SPENDINGS)
@pytest.mark.parametrize("looks", [(5, 8), (10, 20, 40), (19, 20, 60)])
@pytest.mark.parametrize(("alpha", "sides"), [(0.05, 2), (0.7, 2), (0.05, 1), (0.4, 1)])
def test_boundaries_spend_what_the_multivariate_normal_says(looks, spending, alpha, sides):
    result = stats.boundaries(looks, alpha, spending, sides)
    for k in range(1, len(looks) + 1):
        z = np.array(result.z[:k])
        normal = scipy.stats.multivariate_normal(cov=correlations(looks[:k]), seed=1)
        low = -z if sides == 2 else np.full(k, -np.inf)
        assert 1 - normal.cdf(z, lower_limit=low) == pytest.approx(result.spent[k - 1], abs=2e-5)


@pytest.mark.parametrize("spending", SPENDINGS)
@pytest.mark.parametrize("sides", [1, 2])
def test_boundaries_spend_what_the_forward_recursion_says(spending, sides):
    for looks in SCHEDULES[:-1]:
        for alpha in (0.001, 0.05, 0.3):
            result = stats.boundaries(looks, alpha, spending, sides)
            assert crossing_probabilities(result) == pytest.approx(result.spent, abs=2e-6)


@pytest.mark.parametrize("spending", SPENDINGS)
@pytest.mark.parametrize("alpha", [0.05, 1e-8, 1e-60, 1e-250])
def test_the_tails_keep_their_relative_precision(spending, alpha):
    result = stats.boundaries((10, 25), alpha, spending)
    first, second = map(mpmath.mpf, result.z)
    rho, sd = mpmath.sqrt(mpmath.mpf(10) / 25), mpmath.sqrt(mpmath.mpf(15) / 25)

    def crossing_late(z):
        return 2 * mpmath.npdf(z) * mpmath.ncdf((rho * z - second) / sd)

    with mpmath.workdps(30):
        low, high = max(-first, rho * second - 12), min(first, rho * second + 12)
        integral = mpmath.quad(crossing_late, mpmath.linspace(low, high, 31))
    assert float(integral / (mpmath.mpf(result.spent[1]) - mpmath.mpf(result.spent[0]))) == pytest.approx(1, rel=1e-9)


def test_spending_functions():
    z = scipy.stats.norm.isf
    for alpha in (0.05, 0.8):
        # Two sides, each with half of alpha.
        expected = 2 * 2 * scipy.stats.norm.sf(z(alpha / 4) / math.sqrt(0.3))
        assert stats.spent(0.3, alpha) == pytest.approx(expected, rel=1e-12)
        assert stats.spent(0.3, alpha, "pocock") == pytest.approx(alpha * math.log(1 + (math.e - 1) * 0.3), rel=1e-12)
    assert stats.spent(0.3, 0.05, sides=1) == pytest.approx(stats.spent(0.3, 0.1) / 2, rel=1e-12)
    for spending in SPENDINGS:
        course = [stats.spent(t, 0.05, spending) for t in np.linspace(0, 1, 101)]
        assert course[0] == 0 and course[-1] == 0.05 and np.all(np.diff(course) > 0)
    assert stats.spent(1e-4, 0.05) == 0  # far below the float range, not NaN


@pytest.mark.parametrize("spending", SPENDINGS)
@pytest.mark.parametrize("sides", [1, 2])
def test_one_look_is_the_usual_test(spending, sides):
    for alpha in (1e-8, 0.05, 0.05 / 9, 0.499):
        result = stats.boundaries([12], alpha, spending, sides)
        assert result.nominal == result.spent == (alpha,)
        assert stats.nominal_level(alpha, [12], 1, spending, sides) == alpha
    for p in (1e-300, 0.0371, 0.62, 1.0):
        assert stats.sequential_p([p], [12], spending, sides) == p


@pytest.mark.parametrize("spending", SPENDINGS)
@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("looks", [*SCHEDULES, (1, 15, 20, 3000, 4000), (1, 10**6), (1, 10**6, 10**6 + 1), (999, 1000)])
def test_extreme_levels_and_looks_give_neither_nan_nor_disorder(looks, spending, sides):
    before = np.zeros(len(looks))
    for alpha in (1e-300, 1e-30, 1e-8, 1e-4, 0.05, 0.3, 0.499, *([0.8, 0.999] if sides == 2 else [])):
        result = stats.boundaries(looks, alpha, spending, sides)
        nominal = np.array(result.nominal)
        assert np.all(np.isfinite(result.z)) and np.all(np.array(result.z) >= 0)
        assert np.all((nominal >= 0) & (nominal <= alpha * (1 + 1e-12)))
        assert np.all(nominal >= before), "the levels of every look grow with alpha"
        before = nominal
    for p in (0.0, 5e-324, 1e-308, 1e-100, 1e-12, 0.3, 0.9999, 1.0):
        for k in range(1, len(looks) + 1):
            assert max(p, 2e-308) <= stats.sequential_p([p] * k, looks, spending, sides) <= 1
    assert stats.sequential_p([1.0] * len(looks), looks, spending, sides) == 1


@PROPERTY
@given(schedules, st.sampled_from(SPENDINGS), st.sampled_from([1, 2]), levels)
def test_nominal_levels_on_any_schedule(looks, spending, sides, alpha):
    result = stats.boundaries(looks, alpha, spending, sides)
    larger = stats.boundaries(looks, alpha * 1.01, spending, sides)
    assert np.all(np.array(result.nominal) <= np.array(larger.nominal))
    assert result.spent[-1] == alpha and np.all(np.diff(result.spent) > 0)
    for k, (own, total) in enumerate(zip(result.nominal, result.spent, strict=True), start=1):
        # What a look rejects on its own is rejected by that look or an earlier one.
        assert 0 <= own <= total * (1 + 1e-12)
        assert stats.nominal_level(alpha, looks, k, spending, sides) == own


@PROPERTY
@given(designs, levels)
def test_the_sequential_p_inverts_the_nominal_level(design, alpha):
    looks, spending, sides = design
    for k, nominal in enumerate(stats.boundaries(looks, alpha, spending, sides).nominal):
        if nominal > 3e-308:
            result = stats.sequential_p([1.0] * k + [nominal], looks, spending, sides)
            assert result == pytest.approx(alpha, rel=1e-6)


@pytest.mark.parametrize("spending", SPENDINGS)
@pytest.mark.parametrize("looks", SCHEDULES)
def test_the_sequential_p_inverts_large_levels(looks, spending):
    for alpha in np.linspace(0.5, 0.999, 60):
        for k, nominal in enumerate(stats.boundaries(looks, alpha, spending).nominal):
            assert stats.sequential_p([1.0] * k + [nominal], looks, spending) == pytest.approx(alpha, rel=5e-6)


@PROPERTY
@given(designs, levels, st.data())
def test_a_look_rejects_exactly_when_the_sequential_p_is_small_enough(design, alpha, data):
    looks, spending, sides = design
    nominal = stats.boundaries(looks, alpha, spending, sides).nominal
    k = data.draw(st.integers(1, len(looks)))
    p = [min(1.0, level * data.draw(st.sampled_from([0.0, 0.5, 0.999, 1.001, 2.0, 1e6]))) for level in nominal[:k]]
    rejected = any(own <= level for own, level in zip(p, nominal, strict=False) if level > 1e-300)
    if all(level > 1e-300 for level in nominal[:k]):
        assert (stats.sequential_p(p, looks, spending, sides) <= alpha) == rejected


@PROPERTY
@given(designs, st.lists(st.floats(0, 1), min_size=1, max_size=10), st.floats(0, 1), st.integers(0, 9))
def test_sequential_p_properties(design, p_values, factor, position):
    looks, spending, sides = design
    p = p_values[: len(looks)]
    result = stats.sequential_p(p, looks, spending, sides)
    assert max(min(p), 2e-308) <= result <= 1
    # A smaller p at any look, or one more look, never makes it larger.
    smaller = [value * factor if place == position % len(p) else value for place, value in enumerate(p)]
    assert stats.sequential_p(smaller, looks, spending, sides) <= result
    assert result <= stats.sequential_p(p[:1], looks, spending, sides)


@pytest.mark.parametrize("spending", SPENDINGS)
def test_sequential_p_of_the_first_look_has_a_formula(spending):
    norm = scipy.stats.norm
    for p in (1e-200, 1e-12, 0.001, 0.02):
        expected = 4 * norm.sf(math.sqrt(0.25) * norm.isf(p / 4))
        if spending == "pocock":
            expected = p / math.log(1 + (math.e - 1) * 0.25)
        assert stats.sequential_p([p], (10, 20, 40), spending) == pytest.approx(expected, rel=2e-6)


def test_one_sided_p_values():
    looks = (10, 20, 40)
    for spending in SPENDINGS:
        for p in ([0.2, 0.02], [0.001], [0.3, 0.1, 0.04]):
            halved = stats.sequential_p([2 * value for value in p], looks, spending) / 2
            result = stats.sequential_p(p, looks, spending, sides=1)
            # Half of the two-sided one is a little too small: its boundaries forget paths that cross both.
            assert halved <= result * (1 + 1e-6)
            assert halved == pytest.approx(result, rel=0.01)
        assert stats.sequential_p([0.5, 0.7], looks, spending, sides=1) == 1


@pytest.mark.parametrize("spending", SPENDINGS)
@pytest.mark.parametrize("sides", [1, 2])
def test_a_random_walk_is_rejected_as_often_as_declared(spending, sides):
    rng = np.random.default_rng(19)
    looks, repetitions = (10, 15, 20, 30, 40), 200_000
    steps = rng.standard_normal((repetitions, len(looks))) * np.sqrt(np.diff(looks, prepend=0))
    z = np.cumsum(steps, axis=1) / np.sqrt(looks)
    result = stats.boundaries(looks, 0.05, spending, sides)
    crossed = np.logical_or.accumulate((np.abs(z) if sides == 2 else z) >= result.z, axis=1).mean(axis=0)
    error = 4 * np.sqrt(np.array(result.spent) * (1 - np.array(result.spent)) / repetitions)
    assert np.all(np.abs(crossed - result.spent) <= error + 1e-9)


@pytest.mark.parametrize("spending", SPENDINGS)
def test_rejecting_at_any_look_and_holm_keep_their_level(spending):
    """The whole procedure: normal differences, p-values of the paired t-test, three hypotheses in a family."""
    rng = np.random.default_rng(23)
    looks, families, m = (10, 15, 20, 30, 40), 5000, 3
    differences = rng.standard_normal((families * m, looks[-1]))
    p = np.column_stack([scipy.stats.ttest_1samp(differences[:, :n], 0, axis=1).pvalue for n in looks])
    final = np.array([stats.sequential_p(row, looks, spending) for row in p.tolist()])
    rejected, error = (final <= 0.05).mean(), 4 * math.sqrt(0.05 * 0.95 / final.size)
    assert rejected == pytest.approx(0.05, abs=error)
    # Looking again never takes a rejection back, so the last look has them all.
    for row in p[:50].tolist():
        course = [stats.sequential_p(row[:k], looks, spending) for k in range(1, len(looks) + 1)]
        assert np.all(np.diff(course) <= 0)
    any_rejected = np.mean([stats.holm(family).min() <= 0.05 for family in final.reshape(families, m)])
    assert any_rejected <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / families)
    # Without spending the same looks reject far too often.
    assert (p <= 0.05).any(axis=1).mean() > 0.1


def test_sequential_p_is_fast():
    sequential._inverses.cache_clear()
    start = time.perf_counter()
    for _ in range(3000):
        stats.sequential_p([0.3, 0.2, 0.1, 0.04, 0.03], (10, 15, 20, 30, 40))
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stats.boundaries([]), "looks is empty"),
        (lambda: stats.boundaries([10, 10]), "ascending"),
        (lambda: stats.boundaries([20, 10]), "ascending"),
        (lambda: stats.boundaries([0, 10]), "at least 1"),
        (lambda: stats.boundaries([10, 20], 0), "alpha"),
        (lambda: stats.boundaries([10, 20], 1), "alpha"),
        (lambda: stats.boundaries([10, 20], math.nan), "alpha"),
        (lambda: stats.boundaries([10, 20], 0.5, sides=1), "below 0.5"),
        (lambda: stats.boundaries([10, 20], 0.05, "linear"), "spending must be one of"),
        (lambda: stats.boundaries([10, 20], 0.05, sides=3), "sides must be one of"),
        (lambda: stats.spent(1.1, 0.05), "fraction"),
        (lambda: stats.spent(math.nan, 0.05), "fraction"),
        (lambda: stats.spent(0.5, 0), "alpha"),
        (lambda: stats.spent(0.5, 0.05, "obf"), "spending must be one of"),
        (lambda: stats.nominal_level(0.05, [10, 20], 3), "look_number must be 1 to 2"),
        (lambda: stats.nominal_level(0.05, [10, 20], 0), "look_number"),
        (lambda: stats.nominal_level(1.5, [10, 20], 1), "alpha"),
        (lambda: stats.sequential_p([0.1, 0.2, 0.3], [10, 20]), "more than the 2 planned looks"),
        (lambda: stats.sequential_p([1.1], [10, 20]), r"outside \[0, 1\]"),
        (lambda: stats.sequential_p([math.nan], [10, 20]), "NaN"),
        (lambda: stats.sequential_p([], [10, 20]), "empty"),
        (lambda: stats.sequential_p([0.1], [20, 10]), "ascending"),
        (lambda: stats.sequential_p([0.1], [10, 20], "obf"), "spending must be one of"),
    ],
)
def test_impossible_requests_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_sample_sizes_are_whole_numbers():
    with pytest.raises(TypeError):
        stats.boundaries([2.5, 10])
