"""What all lotteries share: metrics against chance, for draws whose drum may change with time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from notafluke.tasks.base import Baseline, Float32, Float64, Int64, Metric, Task, TaskData, all_finite, require_shape

SMALLEST_PROBABILITY = 1e-3
"""What the probability of what happened is raised to in the log loss: a sure and wrong number costs 6.9 nats."""


@dataclass(frozen=True, eq=False)
class LottoData(TaskData):
    """The data of a lottery: targets are 1 for the numbers drawn; `drawn` of them in every draw.

    validation_drum, test_drum: how many numbers are in the drum, 1 to that, int64 [samples].
    """

    drawn: int
    validation_drum: Int64
    test_drum: Int64


class LottoTask(Task):
    """Metrics and baselines of a lottery; the network has an output for each number of the largest drum.

    Numbers that are not in the drum at a draw cannot be guessed and do not count in any metric. Metrics:

    - hits (primary): the mean number of the `drawn` highest predictions that are drawn (ties: `hits_per_draw`).
    - mse: the squared error of the predictions against 0 and 1, mean over the numbers of the drum, then over draws.
    - log_loss, nats a number: -log p of what happened to each number, p being the prediction where it is drawn and
      1 - prediction where not, cut to [0.001, 1]; mean over the numbers of the drum, then over draws.

    Baselines, both named chance, means over the test draws: of the hypergeometric means drawn * drawn / numbers (hits),
    and of the log loss of p = drawn / numbers for every number. Where every seed is tested on the same draws, seeds are
    no evidence against it.
    """

    primary_metric = "hits"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("hits", "higher", "numbers a draw"),
        Metric("mse", "lower"),
        Metric("log_loss", "lower", "nats a number"),
    )

    def validation_metrics(self, data: TaskData, predictions: Float32) -> dict[str, float]:
        """Return all metrics on the validation split."""
        lotto = _lotto_data(data)
        return _scores(predictions, data.validation.numbers, lotto.validation_drum, lotto.drawn)

    def test_metrics(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, float]:
        """Return all metrics on the test split."""
        lotto = _lotto_data(data)
        return _scores(predictions, data.test.numbers, lotto.test_drum, lotto.drawn)

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        """Return what any choice that does not know the draw can expect."""
        lotto = _lotto_data(data)
        share = lotto.drawn / lotto.test_drum
        entropy = -(share * np.log(share) + (1 - share) * np.log1p(-share))
        over_seeds = self.varies_with_seed
        return (
            Baseline("chance", "hits", float(np.mean(lotto.drawn * share)), trivial=True, over_seeds=over_seeds),
            Baseline("chance", "log_loss", float(np.mean(entropy)), trivial=False, over_seeds=over_seeds),
        )

    def by_sample(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, Float64]:
        """Return hits, chance (the hits to expect), and drawn and numbers (in the drum) of each test draw."""
        lotto = _lotto_data(data)
        drum = lotto.test_drum.astype(np.float64)
        guesses = np.where(_in_drum(predictions, lotto.test_drum), predictions, np.float32(-np.inf))
        return {
            "hits": hits_per_draw(guesses, data.test.numbers, lotto.drawn),
            "chance": lotto.drawn**2 / drum,
            "drawn": np.full_like(drum, lotto.drawn),
            "numbers": drum,
        }


def hits_per_draw(predictions: Float32, targets: Float32, drawn: int) -> Float64:
    """Return, for each draw, how many of the `drawn` numbers with the highest predictions are drawn: float64 [samples].

    Numbers that tie for the last places share them evenly, which gives the mean over all ways to break the tie. So
    the rule favours no number, needs no random numbers, and a constant prediction scores chance in every draw.
    """
    require_shape(predictions, targets.shape)
    last = np.sort(predictions, axis=1)[:, -drawn][:, None]
    above = predictions > last
    tied = predictions == last
    places = drawn - above.sum(axis=1)
    truth = targets.astype(np.float64)
    hits: Float64 = (truth * above).sum(axis=1) + (truth * tied).sum(axis=1) * places / tied.sum(axis=1)
    return hits


def log_loss_of_numbers(predictions: Float32, targets: Float32) -> Float64:
    """Return -log p of what happened to each number, float64 [samples, numbers]; see LottoTask.log_loss."""
    require_shape(predictions, targets.shape)
    p = np.where(targets > 0, predictions.astype(np.float64), 1 - predictions.astype(np.float64))
    loss: Float64 = 0.0 - np.log(np.clip(p, SMALLEST_PROBABILITY, 1.0))
    return loss


def _scores(predictions: Float32, targets: Float32, drum: Int64, drawn: int) -> dict[str, float]:
    require_shape(predictions, targets.shape)
    if not all_finite(predictions):
        return {metric.name: float("nan") for metric in LottoTask.metrics}
    there = _in_drum(predictions, drum)
    squares = np.square(predictions.astype(np.float64) - targets.astype(np.float64))
    guesses = np.where(there, predictions, np.float32(-np.inf))
    return {
        "hits": float(np.mean(hits_per_draw(guesses, targets, drawn))),
        "mse": float(np.mean(np.mean(squares, axis=1, where=there))),
        "log_loss": float(np.mean(np.mean(log_loss_of_numbers(predictions, targets), axis=1, where=there))),
    }


def _in_drum(predictions: Float32, drum: Int64) -> NDArray[np.bool_]:
    """Return which numbers are in the drum, bool [samples, numbers]; the first output is number 1."""
    there: NDArray[np.bool_] = np.arange(predictions.shape[1]) < drum[:, None]
    return there


def _lotto_data(data: TaskData) -> LottoData:
    if not isinstance(data, LottoData):
        raise TypeError(f"a lottery needs its own LottoData, not {type(data).__name__}")
    return data
