"""The lottery: draws that nobody can predict, so that every arm must end at chance (the negative control)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from notafluke.errors import UsageError
from notafluke.streams import generator
from notafluke.tasks.base import (
    Baseline,
    Float32,
    Float64,
    Metric,
    Split,
    Task,
    TaskData,
    all_finite,
    mean_squared_error,
    require_shape,
    require_whole,
)


class Lotto(Task):
    """Predict the next draw of a lottery (6 of 49) from the draws before it.

    The inputs are the multi-hot vectors of the previous `window` draws [window, numbers], the target is that of the
    next draw [numbers]. All draws of a (seed, replica) are one sequence, generated without replacement and
    independently of each other: training draws first, then validation, then test. A window may reach back into the
    split before.

    Metrics: `hits`, the mean number of the `drawn` highest predictions that are drawn (ties: see `hits_per_draw`),
    and `mse` over all numbers. Baseline: chance, drawn * drawn / numbers, the mean of the hypergeometric distribution.
    """

    advance: ClassVar[int | None] = 1
    primary_metric: ClassVar[str] = "hits"
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("hits", "higher", "numbers a draw"), Metric("mse", "lower"))
    varies_with_seed: ClassVar[bool] = True

    def __init__(
        self,
        *,
        numbers: int = 49,
        drawn: int = 6,
        window: int = 5,
        train_size: int = 1500,
        validation_size: int = 500,
        test_size: int = 1500,
    ) -> None:
        """Store the options: `drawn` of `numbers`, draws seen, and draws to predict in each of the three splits."""
        self.numbers = numbers
        self.drawn = drawn
        self.window = window
        self.train_size = train_size
        self.validation_size = validation_size
        self.test_size = test_size

    @property
    def input_size(self) -> int:
        """One feature a number."""
        return self.numbers

    @property
    def output_size(self) -> int:
        """One output a number."""
        return self.numbers

    def declaration(self) -> dict[str, str]:
        """Say that the data are generated (the code, the options and numpy's version are in the key anyway)."""
        return {"generated": "numpy PCG64"}

    def check(self) -> None:
        """Raise UsageError when an option is not a whole number, or too small, or all numbers are drawn."""
        for name in ("drawn", "window", "train_size", "validation_size", "test_size"):
            require_whole(name, getattr(self, name), 1)
        require_whole("numbers", self.numbers, 2)
        if self.drawn >= self.numbers:
            raise UsageError(f"task.drawn={self.drawn}: it must be less than task.numbers={self.numbers}")

    def load(self, seed: int, replica: int) -> TaskData:
        """Generate the draws from the stream (seed, replica, "data") and cut them into windows and splits."""
        self.check()
        sizes = (self.train_size, self.validation_size, self.test_size)
        rng = generator(seed, replica, "data")
        draws = multi_hot_draws(rng, self.window + sum(sizes), self.numbers, self.drawn)
        inputs = sliding_window_view(draws[:-1], self.window, axis=0).transpose(0, 2, 1)
        targets = draws[self.window :]
        first, second = sizes[0], sizes[0] + sizes[1]
        parts = (slice(0, first), slice(first, second), slice(second, None))
        train, validation, test = (Split(np.ascontiguousarray(inputs[part]), targets[part].copy()) for part in parts)
        return TaskData(train, validation, test)

    def validation_metrics(self, data: TaskData, predictions: Float32) -> dict[str, float]:
        """Return hits and mse on the validation split."""
        return self._scores(predictions, data.validation.numbers)

    def test_metrics(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, float]:
        """Return hits and mse on the test split."""
        return self._scores(predictions, data.test.numbers)

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        """Return the expected hits of any choice that does not know the draw."""
        return (Baseline("chance", "hits", self.drawn * self.drawn / self.numbers, trivial=True),)

    def _scores(self, predictions: Float32, targets: Float32) -> dict[str, float]:
        if not all_finite(predictions):
            return {"hits": float("nan"), "mse": float("nan")}
        hits = float(np.mean(hits_per_draw(predictions, targets, self.drawn)))
        return {"hits": hits, "mse": mean_squared_error(predictions, targets)}


def multi_hot_draws(rng: np.random.Generator, size: int, numbers: int, drawn: int) -> Float32:
    """Draw `drawn` of `numbers` without replacement, `size` times: float32 [size, numbers] of zeros and ones."""
    chosen = np.argsort(rng.random((size, numbers)), axis=1, kind="stable")[:, :drawn]
    draws = np.zeros((size, numbers), dtype=np.float32)
    np.put_along_axis(draws, chosen, np.float32(1), axis=1)
    return draws


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
