"""Reversal: write a sequence of symbols backwards (sequence to sequence)."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from notafluke.streams import generator
from notafluke.tasks.base import (
    Baseline,
    Float32,
    Metric,
    Split,
    Task,
    TaskData,
    all_finite,
    require_shape,
    require_whole,
)
from notafluke.tasks.classification import CLASS_METRICS, class_metrics
from notafluke.tasks.copy_memory import one_hot


class Reversal(Task):
    """Sequence reversal, one of the transduction tasks of Grefenstette, Hermann, Suleyman and Blunsom (2015).

    The source is `length` random symbols, one-hot [length, symbols], the target the same symbols backwards.

    Metrics: those of classes given the true symbols before, except that `accuracy` is that of free-running decoding,
    in which the network goes on from its own symbols; `whole` is the share of sequences without any mistake then.
    Baseline: guessing.
    """

    kind: ClassVar[Literal["numbers", "classes"]] = "classes"
    targets_at: ClassVar[Literal["last", "every", "sequence"]] = "sequence"
    primary_metric: ClassVar[str] = "log_loss"
    metrics: ClassVar[tuple[Metric, ...]] = (*CLASS_METRICS, Metric("whole", "higher", "share"))
    varies_with_seed: ClassVar[bool] = True

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
        self.length = length
        self.symbols = symbols
        self.train_size = train_size
        self.validation_size = validation_size
        self.test_size = test_size

    @property
    def input_size(self) -> int:
        """One feature a symbol."""
        return self.symbols

    @property
    def output_size(self) -> int:
        """One class a symbol."""
        return self.symbols

    def declaration(self) -> dict[str, str]:
        """Say that the data are generated (the code, the options and numpy's version are in the key anyway)."""
        return {"generated": "numpy PCG64"}

    def check(self) -> None:
        """Raise UsageError when an option is not a whole number, or too small."""
        for name in ("length", "train_size", "validation_size", "test_size"):
            require_whole(name, getattr(self, name), 1)
        require_whole("symbols", self.symbols, 2)

    def load(self, seed: int, replica: int) -> TaskData:
        """Generate the three splits, each from its own stream (seed, replica, "data", split)."""
        self.check()
        sizes = {"train": self.train_size, "validation": self.validation_size, "test": self.test_size}
        return TaskData(**{name: self._sequences(seed, replica, name, size) for name, size in sizes.items()})

    def validation_metrics(self, data: TaskData, predictions: Float32) -> dict[str, float]:
        """Return all metrics on the validation split."""
        return self._scores(predictions, data.validation)

    def test_metrics(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, float]:
        """Return all metrics on the test split."""
        return self._scores(predictions, data.test)

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        """Return the expected scores of guessing."""
        return (
            Baseline("guessing", "log_loss", math.log(self.symbols), trivial=True),
            Baseline("guessing", "accuracy", 1 / self.symbols, trivial=False),
        )

    def _sequences(self, seed: int, replica: int, name: str, size: int) -> Split:
        symbols = generator(seed, replica, "data", name).integers(0, self.symbols, (size, self.length))
        return Split(one_hot(symbols, self.symbols), symbols[:, ::-1].copy())

    def _scores(self, predictions: Float32, split: Split) -> dict[str, float]:
        classes = split.classes
        require_shape(predictions, (len(classes), 2, self.length, self.symbols))
        if not all_finite(predictions):
            return {metric.name: float("nan") for metric in self.metrics}
        given_the_truth, free_running = predictions[:, 0], predictions[:, 1]
        right = free_running.argmax(axis=-1) == classes
        return class_metrics(given_the_truth, classes) | {
            "accuracy": float(right.mean()),
            "whole": float(right.all(axis=1).mean()),
        }
