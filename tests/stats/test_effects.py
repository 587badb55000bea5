"""Effect sizes, intention-to-treat differences and the Wilson interval."""

import math

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from notafluke import stats


@pytest.mark.parametrize(
    ("differences", "expected"),
    [([0, 0, 0], 0), ([0.1] * 7, math.inf), ([-0.1, 0.2 - 0.3], -math.inf), ([4], math.inf), ([-4, 4], 0)],
)
def test_dz_without_variance(differences, expected):
    assert stats.cohens_dz(differences) == expected


def test_dz_has_no_value_for_failed_pairs():
    with pytest.raises(ValueError, match="failed pair"):
        stats.cohens_dz([1, math.inf])


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([0, 0], 0),
        ([1, 2, 3], 1),
        ([-1], -1),
        ([1, 2, -math.inf], 0),  # ranks 1, 2, 3
        ([1, -math.inf, -math.inf], -5 / 7),  # ranks 1, 3, 3
        ([math.inf, -math.inf, 0], 0),
    ],
)
def test_rank_biserial(differences, expected):
    assert stats.rank_biserial(differences) == pytest.approx(expected, abs=1e-15)


def test_rank_biserial_with_pratts_ranks():
    assert stats.rank_biserial([0, 1, -2, 4], zeros="pratt") == pytest.approx((2 + 4 - 3) / 9)


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_probability_of_improvement_has_the_wilson_interval(confidence):
    for differences, wins in (([1, 2, -3, 0, 0.1 + 0.2 - 0.3], 3), ([math.inf, -1, -math.inf], 1), ([5], 1), ([-5], 0)):
        n = len(differences)
        result = stats.paired_probability_of_improvement(differences, confidence)
        low, high = proportion_confint(wins, n, alpha=1 - confidence, method="wilson")
        assert (result.estimate, result.low, result.high, result.n) == pytest.approx(
            (wins / n, low, high, n), abs=1e-12
        )
        assert 0 <= result.low <= result.estimate <= result.high <= 1


def test_intention_to_treat_ranks_failures_below_every_score():
    differences = stats.intention_to_treat_differences(
        [3.0, math.nan, 5.0, math.inf, 0.3],
        [1.0, 2.0, -math.inf, 7.0, 0.1 + 0.2],
        [False, True, False, True, False],
        [False, False, True, True, False],
    )
    np.testing.assert_array_equal(differences, [2, -math.inf, math.inf, 0, 0])
    lower_is_better = stats.intention_to_treat_differences([3, 9], [1, 9], [0, 1], [0, 0], direction=-1)
    np.testing.assert_array_equal(lower_is_better, [-2, -math.inf])
    np.testing.assert_array_equal(stats.intention_to_treat_differences([1, 2], [0, 4]), [1, -2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, math.nan], [1, 2], [0, 0], [0, 0]), "treatment is not finite at position 1"),
        (([1, 2], [1, math.inf]), "control is not finite at position 1"),
        (([1, 2], [1, 2, 3]), "not paired"),
        (([1, 2], [1, 2], [True]), "treatment_failed"),
        (([1e308], [-1e308]), "infinite"),
        (([], []), "empty"),
    ],
)
def test_intention_to_treat_refuses_what_it_cannot_pair(arguments, message):
    with np.errstate(over="ignore"), pytest.raises(ValueError, match=message):
        stats.intention_to_treat_differences(*arguments)
