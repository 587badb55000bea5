"""The lottery against the hypergeometric distribution and a search through all ways to break a tie."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import log_loss

from notafluke.errors import UsageError
from notafluke.tasks.base import mean_squared_error
from notafluke.tasks.lotto import Lotto, multi_hot_draws
from notafluke.tasks.lotto_scores import hits_per_draw

CHANCE = float(stats.hypergeom(49, 6, 6).mean())


def hits_by_search(predictions: list[float], drawn_numbers: set[int], drawn: int) -> float:
    """Average the hits over every order that sorts the predictions, highest first."""
    results = []
    for order in itertools.permutations(range(len(predictions))):
        values = [predictions[number] for number in order]
        if values == sorted(values, reverse=True):
            results.append(len(set(order[:drawn]) & drawn_numbers))
    return sum(results) / len(results)


@settings(deadline=None, max_examples=60)
@given(
    predictions=st.lists(st.sampled_from([-1.0, -0.0, 0.0, 0.5, 2.0]), min_size=6, max_size=6),
    truth=st.sets(st.integers(0, 5), min_size=3, max_size=3),
    drawn=st.integers(1, 5),
)
def test_ties_are_shared(predictions: list[float], truth: set[int], drawn: int) -> None:
    target = np.zeros((1, 6), np.float32)
    target[0, sorted(truth)] = 1
    found = hits_per_draw(np.array([predictions], np.float32), target, drawn)[0]
    assert found == pytest.approx(hits_by_search(predictions, truth, drawn))


def test_distinct_predictions_by_hand() -> None:
    predictions = np.array([[0.9, 0.1, 0.8, 0.2, 0.7], [5, 4, 3, 2, 1]], np.float32)
    targets = np.array([[1, 1, 0, 0, 1], [0, 0, 0, 1, 1]], np.float32)
    assert hits_per_draw(predictions, targets, 3).tolist() == [2.0, 0.0]


def test_constant_predictions_score_chance_exactly() -> None:
    task = Lotto()
    data = task.load(0, 0)
    scores = task.test_metrics(data, np.full((1500, 49), 0.3, np.float32), np.zeros((500, 49), np.float32))
    baseline, entropy = task.baselines(data)
    assert (baseline.name, baseline.metric, baseline.trivial) == ("chance", "hits", True)
    assert (entropy.name, entropy.metric, entropy.trivial) == ("chance", "log_loss", False)
    assert baseline.over_seeds and entropy.over_seeds
    assert baseline.value == pytest.approx(CHANCE, abs=1e-12)
    assert scores["hits"] == pytest.approx(CHANCE, abs=1e-12)


def test_log_loss_of_chance_is_the_entropy_and_sure_errors_are_cut() -> None:
    task = Lotto(numbers=5, drawn=2, train_size=3, validation_size=2, test_size=4)
    data = task.load(0, 0)
    guess = np.full((4, 5), 0.4, np.float32)
    chance = task.baselines(data)[1].value
    assert chance == pytest.approx(float(stats.bernoulli(0.4).entropy()), abs=1e-12)
    assert task.test_metrics(data, guess, guess[:2])["log_loss"] == pytest.approx(chance, abs=1e-7)
    wrong = 3 - 8 * data.test.numbers  # -5 for the drawn, 3 for the others: far beyond 0 and 1
    assert task.test_metrics(data, wrong, guess[:2])["log_loss"] == pytest.approx(-np.log(0.001), abs=1e-9)


def test_log_loss_is_that_of_scikit_learn() -> None:
    task = Lotto()
    data = task.load(3, 0)
    guess = np.random.default_rng(0).uniform(0.001, 0.999, (1500, 49)).astype(np.float32)
    found = task.test_metrics(data, guess, guess[:500])
    wanted = log_loss(data.test.numbers.ravel(), guess.ravel().astype(np.float64))
    assert found["log_loss"] == pytest.approx(wanted, rel=1e-12)
    assert found["mse"] == pytest.approx(mean_squared_error(guess, data.test.numbers), rel=1e-12)


def test_series_of_each_draw_have_the_mean_of_the_metric() -> None:
    task = Lotto(test_size=40)
    data = task.load(0, 0)
    guess = np.random.default_rng(0).random((40, 49)).astype(np.float32)
    series = task.by_sample(data, guess, guess)
    assert sorted(series) == ["chance", "drawn", "hits", "numbers"]
    assert all(own.shape == (40,) and own.dtype == np.float64 for own in series.values())
    assert series["hits"].mean() == task.test_metrics(data, guess, guess)["hits"]
    assert (series["chance"] == 36 / 49).all() and (series["drawn"] == 6).all() and (series["numbers"] == 49).all()


def test_no_prediction_may_be_infinite_or_missing() -> None:
    task = Lotto(test_size=2)
    data = task.load(0, 0)
    guess = np.zeros((2, 49), np.float32)
    guess[1, 7] = np.inf
    assert all(math.isnan(value) for value in task.test_metrics(data, guess, guess).values())


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000))
def test_no_number_is_favoured(seed: int) -> None:
    """Renumbering the balls changes nothing, ties included."""
    rng = np.random.default_rng(seed)
    predictions = rng.integers(0, 4, (20, 49)).astype(np.float32)
    targets = multi_hot_draws(rng, 20, 49, 6)
    order = rng.permutation(49)
    assert hits_per_draw(predictions, targets, 6) == pytest.approx(
        hits_per_draw(predictions[:, order], targets[:, order], 6)
    )


def test_hits_of_blind_guesses_are_hypergeometric() -> None:
    rng = np.random.default_rng(1)
    targets = Lotto(test_size=30_000).load(0, 0).test.targets
    hits = hits_per_draw(rng.standard_normal(targets.shape).astype(np.float32), targets, 6)
    # 4, 5 and 6 hits together are expected 29.6 times.
    counts = [np.count_nonzero(hits == number) for number in range(4)] + [np.count_nonzero(hits >= 4)]
    law = stats.hypergeom(49, 6, 6)
    expected = 30_000 * np.append(law.pmf(range(4)), law.sf(3))
    assert stats.chisquare(counts, expected).pvalue > 1e-4


def test_draws_are_uniform_and_independent() -> None:
    draws = multi_hot_draws(np.random.default_rng(2), 20_000, 49, 6)
    assert (draws.sum(axis=1) == 6).all() and set(np.unique(draws)) == {0.0, 1.0}
    # Six numbers of a draw differ, so the statistic is 48/49 * 49/43 of a chi-squared one: scale by 43/48.
    frequencies = draws.sum(axis=0)
    statistic = ((frequencies - 20_000 * 6 / 49) ** 2 / (20_000 * 6 / 49)).sum() * 48 / 43
    assert stats.chi2(48).sf(statistic) > 1e-4
    assert stats.chi2(48).cdf(statistic) > 1e-4
    overlap = (draws[1:] * draws[:-1]).sum(axis=1)
    assert overlap.mean() == pytest.approx(CHANCE, abs=5 * float(stats.hypergeom(49, 6, 6).std()) / np.sqrt(19_999))


def test_splits_are_one_sequence_and_windows_hold_the_past() -> None:
    task = Lotto(window=3, train_size=10, validation_size=4, test_size=6)
    data = task.load(5, 0)
    splits = (data.train, data.validation, data.test)
    assert [len(split.targets) for split in splits] == [10, 4, 6]
    inputs = np.concatenate([split.inputs for split in splits])
    targets = np.concatenate([split.targets for split in splits])
    sequence = np.concatenate([inputs[0], targets])
    for sample in range(20):
        assert np.array_equal(inputs[sample], sequence[sample : sample + 3])
        assert np.array_equal(targets[sample], sequence[sample + 3])
    assert len({draw.tobytes() for draw in sequence}) == 23


def test_knowing_the_draw_gives_all_hits() -> None:
    task = Lotto(train_size=5, validation_size=5, test_size=5)
    data = task.load(0, 0)
    scores = task.test_metrics(data, data.test.numbers, data.validation.numbers)
    assert (scores["hits"], scores["mse"]) == (6.0, 0.0)
    assert scores["log_loss"] == 0
    assert task.validation_metrics(data, -data.validation.numbers)["hits"] == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drawn": 49}, "task.drawn=49: it must be less than task.numbers=49"),
        ({"drawn": 0}, "task.drawn=0: it must be a whole number of at least 1"),
        ({"numbers": 1}, "task.numbers=1: it must be a whole number of at least 2"),
        ({"window": 0}, "task.window=0: it must be a whole number of at least 1"),
        ({"test_size": "x"}, "task.test_size='x': it must be a whole number of at least 1"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Lotto(**options).check()
    assert str(caught.value) == message
