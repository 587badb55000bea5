"""Reversal: write a sequence of symbols backwards (sequence to sequence)."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from notafluke.tasks.base import (
    Baseline,
    Float32,
    Kind,
    Metric,
    Split,
    TargetsAt,
    TaskData,
    all_finite,
    require_shape,
    require_whole,
)
from notafluke.tasks.classification import CLASS_METRICS, class_metrics, one_hot
from notafluke.tasks.generated import GeneratedTask


class Reversal(GeneratedTask):
    """Sequence reversal, one of the transduction tasks of Grefenstette, Hermann, Suleyman and Blunsom (2015).

    The source is `length` random symbols, one-hot [length, symbols], the target the same symbols backwards.

    Metrics: those of classes given the true symbols before, except that `accuracy` is that of free-running decoding,
    in which the network goes on from its own symbols; `exact_match` is the share of sequences without any mistake then.
    Baseline: guessing.
    """

    kind: ClassVar[Kind] = "classes"
    targets_at: ClassVar[TargetsAt] = "sequence"
    primary_metric = "log_loss"
    metrics: ClassVar[tuple[Metric, ...]] = (*CLASS_METRICS, Metric("exact_match", "higher", "share"))

    def __init__(
        self,
        *,
        length: int = 10,
        symbols: int = 8,
        train_size: int = 3200,
        validation_size: int = 500,
        test_size: int = 1000,
    ) -> None:
        """Store the options: symbols of a sequence, size of the alphabet, and the sizes of the splits."""
        super().__init__(train_size=train_size, validation_size=validation_size, test_size=test_size)
        self.length = length
        self.symbols = symbols

    @property
    def input_size(self) -> int:
        """One feature a symbol."""
        return self.symbols

    @property
    def output_size(self) -> int:
        """One class a symbol."""
        return self.symbols

    def check(self) -> None:
        """Raise UsageError when an option is not a whole number, or too small."""
        require_whole("length", self.length, 1)
        require_whole("symbols", self.symbols, 2)
        super().check()

    def generate(self, rng: np.random.Generator, size: int) -> Split:
        """Draw `size` sequences: inputs [size, length, symbols], classes [size, length]."""
        symbols = rng.integers(0, self.symbols, (size, self.length))
        return Split(one_hot(symbols, self.symbols), symbols[:, ::-1].copy())

    def scores(self, predictions: Float32, split: Split) -> dict[str, float]:
        """Return all metrics of log probabilities [samples, 2, length, symbols]: given the truth, running freely."""
        classes = split.classes
        require_shape(predictions, (len(classes), 2, self.length, self.symbols))
        if not all_finite(predictions):
            return {metric.name: float("nan") for metric in self.metrics}
        given_the_truth, free_running = predictions[:, 0], predictions[:, 1]
        right = free_running.argmax(axis=-1) == classes
        return class_metrics(given_the_truth, classes) | {
            "accuracy": float(right.mean()),
            "exact_match": float(right.all(axis=1).mean()),
        }

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        """Return the expected scores of guessing."""
        return (
            Baseline("guessing", "log_loss", math.log(self.symbols), trivial=True),
            Baseline("guessing", "accuracy", 1 / self.symbols, trivial=False),
        )
