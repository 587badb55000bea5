"""Properties 2 to 7 and 10 of the reference cases, on generated data."""

import math
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from notafluke import stats

PROPERTY = settings(deadline=None, derandomize=True, database=None, max_examples=60)

ALTERNATIVES = ("two-sided", "less", "greater")
MIRRORED = {"two-sided": "two-sided", "less": "greater", "greater": "less"}
METHODS = {
    "bonferroni": "bonferroni",
    "holm": "holm",
    "hochberg": "simes-hochberg",
    "sidak": "sidak",
    "holm_sidak": "holm-sidak",
    "benjamini_hochberg": "fdr_bh",
    "benjamini_yekutieli": "fdr_by",
}

# Eighths are exact in floats, so that transformed data tie exactly where the original data do.
eighths = st.integers(-40, 40).map(lambda k: k / 8)
differences = st.lists(eighths, min_size=1, max_size=14)
failing = st.lists(st.one_of(eighths, st.sampled_from([math.inf, -math.inf])), min_size=1, max_size=14)
pairs = st.lists(st.tuples(eighths, eighths), min_size=1, max_size=14)
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@pytest.fixture(autouse=True)
def expect_degenerate_data(recwarn):
    """Generated data include constant differences, which warn."""


def paired_p_values(x, y, alternative):
    d = np.subtract(x, y)
    return {
        "signed_rank": stats.signed_rank_test(d, alternative=alternative).p_value,
        "sign_flip": stats.sign_flip_test(d, alternative).p_value,
        "drawn": stats.sign_flip_test(d, alternative, draws=199, rng=3).p_value,
        "t": stats.paired_t_test(x, y, alternative).p_value,
    }


@PROPERTY
@given(pairs)
def test_2_swapping_the_arms_flips_effects_and_keeps_two_sided_p(data):
    x, y = np.array(data).T
    d = x - y
    for alternative in ALTERNATIVES:
        swapped = paired_p_values(y, x, MIRRORED[alternative])
        assert paired_p_values(x, y, alternative) == swapped
        # A lower-is-better metric is the negated metric.
        assert paired_p_values(-x, -y, MIRRORED[alternative]) == swapped
    assert stats.cohens_dz(-d) == -stats.cohens_dz(d)
    assert stats.rank_biserial(-d) == -stats.rank_biserial(d)
    there, back = stats.paired_probability_of_improvement(d), stats.paired_probability_of_improvement(-d)
    assert (back.estimate, back.low, back.high) == pytest.approx((1 - there.estimate, 1 - there.high, 1 - there.low))
    interval, mirrored = stats.t_interval(d), stats.t_interval(-d)
    assert (mirrored.low, mirrored.high) == (-interval.high, -interval.low)
    assert stats.tost(d, -1, 2).p_value == stats.tost(-d, -2, 1).p_value


@PROPERTY
@given(failing)
def test_2_swapping_the_arms_with_failed_runs(data):
    d = np.array(data)
    for alternative in ALTERNATIVES:
        result = stats.signed_rank_test(d, alternative=alternative)
        mirrored = stats.signed_rank_test(-d, alternative=MIRRORED[alternative])
        assert (result.p_value, result.w_plus) == (mirrored.p_value, mirrored.w_minus)
    assert stats.rank_biserial(-d) == -stats.rank_biserial(d)


@PROPERTY
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=12), st.randoms())
def test_3_the_order_of_the_seeds_changes_nothing(data, random):
    shuffled = random.sample(data, len(data))
    (x, y), (x2, y2) = np.array(data).T, np.array(shuffled).T
    for alternative in ALTERNATIVES:
        assert paired_p_values(x, y, alternative) == paired_p_values(x2, y2, alternative)
    for function in (
        stats.cohens_dz,
        stats.rank_biserial,
        stats.t_interval,
        stats.paired_probability_of_improvement,
        stats.sign_flip_test,
        lambda d: stats.tost(d, -1, 1),
    ):
        assert function(x - y) == function(x2 - y2)


@PROPERTY
@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=12), st.randoms())
def test_3_the_order_of_the_family_changes_nothing(data, random):
    p = np.array(data) / 10_000
    order = random.sample(range(p.size), p.size)
    for method in METHODS:
        np.testing.assert_array_equal(stats.adjust(p[order], method), stats.adjust(p, method)[order])


@PROPERTY
@given(pairs, st.sampled_from([0.25, 2, 64]), eighths)
def test_4_affine_transforms_of_the_metric_leave_every_p_unchanged(data, factor, shift):
    x, y = np.array(data).T
    for alternative in ALTERNATIVES:
        moved = paired_p_values(factor * x + shift, factor * y + shift, alternative)
        assert moved == pytest.approx(paired_p_values(x, y, alternative), rel=1e-12)


@PROPERTY
@given(pairs)
def test_4_monotone_transforms(data):
    x, y = np.array(data).T
    estimate = stats.paired_probability_of_improvement(x - y).estimate
    assert stats.paired_probability_of_improvement(np.exp(x) - np.exp(y), scale=np.exp(5)).estimate == estimate
    # Ranks of differences keep under odd increasing transforms of the differences.
    d = x - y
    for alternative in ALTERNATIVES:
        cubed = stats.signed_rank_test(d**3, alternative=alternative)
        assert cubed == stats.signed_rank_test(d, alternative=alternative)
    assert stats.rank_biserial(d**3) == stats.rank_biserial(d)


# statsmodels collects garbage at each call, which takes half a minute in a process that has imported torch.
@mock.patch("gc.collect", lambda: 0)
@PROPERTY
@given(p_values, st.integers(0, 5))
def test_5_adjusted_p_values(data, undeclared):
    p = np.array(data)
    m = p.size + undeclared
    for method, name in METHODS.items():
        adjusted = stats.adjust(p, method, m)
        assert np.all(adjusted >= p)
        assert np.all(adjusted <= 1)
        assert np.all(np.diff(adjusted[np.argsort(p)]) >= 0)
        np.testing.assert_array_equal(stats.adjust(p[:1], method), p[:1])
        # A test that gave no p-value counts as p = 1.
        padded = np.concatenate([p, np.ones(undeclared)])
        with np.errstate(divide="ignore"):
            expected = multipletests(padded, method=name)[1][: p.size]
        np.testing.assert_allclose(adjusted, expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("bad", [[0.5, math.nan], [1.1], [-0.1], [[0.1]]])
def test_5_impossible_families_are_refused(bad):
    for method in METHODS:
        with pytest.raises(ValueError):
            stats.adjust(bad, method)
        with pytest.raises(ValueError, match="m = 1"):
            stats.adjust([0.1, 0.2], method, m=1)
        assert stats.adjust([], method, m=3).shape == (0,)
    with pytest.raises(ValueError, match="method"):
        stats.adjust([0.1], "tukey")


@PROPERTY
@given(st.data())
def test_6_a_failed_run_never_helps_its_arm(data):
    n = data.draw(st.integers(1, 10))
    # Whole numbers of distinct magnitude: among tied differences the null distribution itself changes with the ties.
    magnitudes = data.draw(st.permutations(range(1, n + 1)))
    signs = data.draw(st.lists(st.sampled_from([-1, 1]), min_size=n, max_size=n))
    zero_tasks = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    finite = np.where(zero_tasks, 0, np.multiply(magnitudes, signs)).astype(float)
    failed = np.array(data.draw(st.lists(st.sampled_from(["", "t", "c", "tc"]), min_size=n, max_size=n)))
    position = data.draw(st.integers(0, n - 1))
    assume("t" not in failed[position])

    def outcome(treatment_failed):
        control_failed = np.char.find(failed, "c") >= 0
        d = stats.intention_to_treat_differences(finite, np.zeros(n), treatment_failed, control_failed)
        return (
            stats.signed_rank_test(d, alternative="greater").p_value,
            stats.signed_rank_test(d, zeros="wilcox", alternative="greater").p_value,
            -stats.rank_biserial(d),
            -stats.paired_probability_of_improvement(d).estimate,
        )

    before = np.char.find(failed, "t") >= 0
    after = before.copy()
    after[position] = True
    assert np.all(np.array(outcome(after)) >= np.array(outcome(before)) - 1e-12)


@pytest.mark.parametrize("n", [1, 2, 10, 25])
def test_7_identical_arms(n):
    scores = np.linspace(0.1, 0.9, n)
    for alternative in ALTERNATIVES:
        assert set(paired_p_values(scores, scores, alternative).values()) == {1}
    zeros = np.zeros(n)
    assert stats.cohens_dz(zeros) == stats.rank_biserial(zeros) == 0
    assert stats.paired_probability_of_improvement(zeros).estimate == 0.5


@PROPERTY
@given(eighths, st.integers(1, 30))
def test_7_constant_differences_give_neither_nan_nor_zero(value, n):
    constant = np.full(n, value)
    for alternative in ALTERNATIVES:
        assert all(0 < p <= 1 for p in paired_p_values(constant, 0, alternative).values())
        assert 0 < stats.signed_rank_test(constant, alternative=alternative, method="normal").p_value <= 1
    assert 0 < stats.tost(constant, -1, 1).p_value <= 1
    assert not math.isnan(stats.t_interval(constant).low)
    assert not math.isnan(stats.cohens_dz(constant))


@PROPERTY
@given(failing)
def test_10_two_sided_exact_p_is_never_below_its_floor(data):
    nonzero = sum(d != 0 for d in data)
    for zeros in ("pratt", "wilcox", "zsplit"):
        result = stats.signed_rank_test(data, zeros)
        assert result.smallest_p == min(1, 2 / 2**nonzero)
        assert result.smallest_p <= result.p_value <= 1
    for flipped in (stats.sign_flip_test(data), stats.sign_flip_test(data, draws=99)):
        assert min(1, 2 / 2**nonzero) <= flipped.smallest_p <= flipped.p_value <= 1


def test_10_five_seeds_cannot_reach_five_percent():
    assert stats.signed_rank_test([1, 2, 3, 4, 5]).p_value == stats.sign_flip_test([9, 9, 9, 9, 9]).p_value == 0.0625
