"""The adding problem: remember two marked numbers over a long sequence and add them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from notafluke.streams import generator
from notafluke.tasks.base import (
    Baseline,
    Float32,
    Metric,
    Split,
    Task,
    TaskData,
    mean_squared_error,
    require_whole,
)

PREDICT_THE_MEAN = 1 / 6
"""The variance of the sum of two independent uniform numbers from [0, 1): 2 * 1/12."""


class Adding(Task):
    """Hochreiter and Schmidhuber's adding problem, in the form that is common today.

    Each step of a sequence has two features: a number, uniform in [0, 1), and a marker, 1 at two steps and 0 at the
    others: one marked step is uniform over the first half (steps 0 .. length // 2 - 1), the other over the rest. The
    target is the sum of the two marked numbers, unscaled.

    Sources: S. Hochreiter, J. Schmidhuber, Long short-term memory, Neural Computation 9 (1997), experiment 4, had
    numbers from [-1, 1], other markers and a scaled target; this form, with a marker in each half, is that of
    M. Arjovsky, A. Shah, Y. Bengio, Unitary evolution recurrent neural networks, ICML 2016, section 5.2.
    """

    primary_metric: ClassVar[str] = "mse"
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("mse", "lower"),)
    varies_with_seed: ClassVar[bool] = True

    def __init__(
        self, *, length: int = 50, train_size: int = 3200, validation_size: int = 1000, test_size: int = 2000
    ) -> None:
        """Store the options: the steps of a sequence and the numbers of sequences of the three splits."""
        self.length = length
        self.train_size = train_size
        self.validation_size = validation_size
        self.test_size = test_size

    @property
    def input_size(self) -> int:
        """Two features: the number and the marker."""
        return 2

    @property
    def output_size(self) -> int:
        """One output: the sum."""
        return 1

    def declaration(self) -> dict[str, str]:
        """Say that the data are generated (the code, the options and numpy's version are in the key anyway)."""
        return {"generated": "numpy PCG64"}

    def check(self) -> None:
        """Raise UsageError when an option is not a whole number, or too small."""
        require_whole("length", self.length, 2)
        require_whole("train_size", self.train_size, 1)
        require_whole("validation_size", self.validation_size, 1)
        require_whole("test_size", self.test_size, 1)

    def load(self, seed: int, replica: int) -> TaskData:
        """Generate the three splits, each from its own stream (seed, replica, "data", split)."""
        self.check()
        return TaskData(
            train=sequences(generator(seed, replica, "data", "train"), self.train_size, self.length),
            validation=sequences(generator(seed, replica, "data", "validation"), self.validation_size, self.length),
            test=sequences(generator(seed, replica, "data", "test"), self.test_size, self.length),
        )

    def validation_metrics(self, data: TaskData, predictions: Float32) -> dict[str, float]:
        """Return the mean squared error on the validation split."""
        return {"mse": mean_squared_error(predictions, data.validation.numbers)}

    def test_metrics(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, float]:
        """Return the mean squared error on the test split."""
        return {"mse": mean_squared_error(predictions, data.test.numbers)}

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        """Return the expected error of always predicting the mean, 1."""
        return (Baseline("predict_the_mean", "mse", PREDICT_THE_MEAN, trivial=True),)


def sequences(rng: np.random.Generator, size: int, length: int) -> Split:
    """Draw `size` sequences: inputs [size, length, 2], targets [size, 1]."""
    values = rng.random((size, length), dtype=np.float32)
    half = length // 2
    marked = np.stack([rng.integers(0, half, size), rng.integers(half, length, size)], axis=1)
    markers = np.zeros_like(values)
    np.put_along_axis(markers, marked, np.float32(1), axis=1)
    targets = np.take_along_axis(values, marked, axis=1).sum(axis=1, keepdims=True, dtype=np.float32)
    return Split(np.stack([values, markers], axis=2), targets)
