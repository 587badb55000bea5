"""The adding problem: remember two marked numbers over a long sequence and add them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from notafluke.tasks.base import Baseline, Float32, Metric, Split, TaskData, mean_squared_error, require_whole
from notafluke.tasks.generated import GeneratedTask

PREDICT_THE_MEAN = 1 / 6
"""The variance of the sum of two independent uniform numbers from [0, 1): 2 * 1/12."""


class Adding(GeneratedTask):
    """Hochreiter and Schmidhuber's adding problem, in the form that is common today.

    Each step of a sequence has two features: a number, uniform in [0, 1), and a marker, 1 at two steps and 0 at the
    others: one marked step is uniform over the first half (steps 0 .. length // 2 - 1), the other over the rest. The
    target is the sum of the two marked numbers, unscaled.

    Sources: S. Hochreiter, J. Schmidhuber, Long short-term memory, Neural Computation 9 (1997), experiment 4, had
    numbers from [-1, 1], other markers and a scaled target; this form, with a marker in each half, is that of
    M. Arjovsky, A. Shah, Y. Bengio, Unitary evolution recurrent neural networks, ICML 2016, section 5.2.
    """

    primary_metric = "mse"
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("mse", "lower"),)

    def __init__(
        self, *, length: int = 50, train_size: int = 3200, validation_size: int = 1000, test_size: int = 2000
    ) -> None:
        """Store the options: the steps of a sequence and the numbers of sequences of the three splits."""
        super().__init__(train_size=train_size, validation_size=validation_size, test_size=test_size)
        self.length = length

    @property
    def input_size(self) -> int:
        """Two features: the number and the marker."""
        return 2

    @property
    def output_size(self) -> int:
        """One output: the sum."""
        return 1

    def check(self) -> None:
        """Raise UsageError when an option is not a whole number, or too small."""
        require_whole("length", self.length, 2)
        super().check()

    def generate(self, rng: np.random.Generator, size: int) -> Split:
        """Draw `size` sequences: inputs [size, length, 2], targets [size, 1]."""
        values = rng.random((size, self.length), dtype=np.float32)
        half = self.length // 2
        marked = np.stack([rng.integers(0, half, size), rng.integers(half, self.length, size)], axis=1)
        markers = np.zeros_like(values)
        np.put_along_axis(markers, marked, np.float32(1), axis=1)
        targets = np.take_along_axis(values, marked, axis=1).sum(axis=1, keepdims=True, dtype=np.float32)
        return Split(np.stack([values, markers], axis=2), targets)

    def scores(self, predictions: Float32, split: Split) -> dict[str, float]:
        """Return the mean squared error."""
        return {"mse": mean_squared_error(predictions, split.numbers)}

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        """Return the expected error of always predicting the mean, 1."""
        return (Baseline("predict_the_mean", "mse", PREDICT_THE_MEAN, trivial=True),)
