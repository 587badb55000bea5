"""The copy memory problem: repeat, after a long wait, the symbols that stood at the beginning."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np

from notafluke.errors import UsageError
from notafluke.streams import generator
from notafluke.tasks.base import (
    Baseline,
    Float32,
    Int64,
    Metric,
    Split,
    Task,
    TaskData,
    all_finite,
    require_shape,
    require_whole,
)
from notafluke.tasks.classification import CLASS_METRICS, class_metrics


class CopyMemory(Task):
    """The copy memory problem, as in Arjovsky, Shah and Bengio (2016), section 5.1.

    The alphabet has `symbols` symbols, a blank and a signal. An input is `recalled` random symbols, `wait - 1`
    blanks, the signal, and `recalled` blanks; the target is blank for `wait + recalled` steps, then the symbols in
    their order. A target stands at every step. Inputs are one-hot [wait + 2 recalled, symbols + 2].

    Metrics: those of classes over all steps, and `recall_accuracy` over the steps that ask for a symbol. Baseline:
    without memory the best is the blank, then any symbol alike: `recalled ln(symbols) / steps` nats.
    """

    kind: ClassVar[Literal["numbers", "classes"]] = "classes"
    targets_at: ClassVar[Literal["last", "every", "sequence"]] = "every"
    primary_metric: ClassVar[str] = "log_loss"
    metrics: ClassVar[tuple[Metric, ...]] = (*CLASS_METRICS, Metric("recall_accuracy", "higher", "share"))
    varies_with_seed: ClassVar[bool] = True

    def __init__(
        self,
        *,
        wait: int = 20,
        recalled: int = 10,
        symbols: int = 8,
        train_size: int = 3200,
        validation_size: int = 500,
        test_size: int = 1000,
    ) -> None:
        """Store the options: steps to wait, symbols to recall, size of the alphabet, and the sizes of the splits."""
        self.wait = wait
        self.recalled = recalled
        self.symbols = symbols
        self.train_size = train_size
        self.validation_size = validation_size
        self.test_size = test_size

    @property
    def steps(self) -> int:
        """Time steps of a sequence."""
        return self.wait + 2 * self.recalled

    @property
    def input_size(self) -> int:
        """One feature for each symbol, the blank and the signal."""
        return self.symbols + 2

    @property
    def output_size(self) -> int:
        """One class for each symbol, the blank and the signal (which is never a target)."""
        return self.symbols + 2

    def declaration(self) -> dict[str, str]:
        """Say that the data are generated (the code, the options and numpy's version are in the key anyway)."""
        return {"generated": "numpy PCG64"}

    def check(self) -> None:
        """Raise UsageError when an option is not a whole number, or too small."""
        for name in ("wait", "recalled", "train_size", "validation_size", "test_size"):
            require_whole(name, getattr(self, name), 1)
        require_whole("symbols", self.symbols, 2)
        if self.symbols > 1000:
            raise UsageError(f"task.symbols={self.symbols}: it must be at most 1000")

    def load(self, seed: int, replica: int) -> TaskData:
        """Generate the three splits, each from its own stream (seed, replica, "data", split)."""
        self.check()
        return TaskData(
            train=self._sequences(generator(seed, replica, "data", "train"), self.train_size),
            validation=self._sequences(generator(seed, replica, "data", "validation"), self.validation_size),
            test=self._sequences(generator(seed, replica, "data", "test"), self.test_size),
        )

    def validation_metrics(self, data: TaskData, predictions: Float32) -> dict[str, float]:
        """Return all metrics on the validation split."""
        return self._scores(predictions, data.validation)

    def test_metrics(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, float]:
        """Return all metrics on the test split."""
        return self._scores(predictions, data.test)

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        """Return the expected scores without memory."""
        log_loss = self.recalled * math.log(self.symbols) / self.steps
        return (
            Baseline("no_memory", "log_loss", log_loss, trivial=True),
            Baseline("no_memory", "recall_accuracy", 1 / self.symbols, trivial=False),
        )

    def _sequences(self, rng: np.random.Generator, size: int) -> Split:
        blank, signal = self.symbols, self.symbols + 1
        recalled = rng.integers(0, self.symbols, (size, self.recalled))
        seen: Int64 = np.full((size, self.steps), blank, dtype=np.int64)
        seen[:, : self.recalled] = recalled
        seen[:, self.recalled + self.wait - 1] = signal
        targets: Int64 = np.full((size, self.steps), blank, dtype=np.int64)
        targets[:, -self.recalled :] = recalled
        return Split(one_hot(seen, self.input_size), targets)

    def _scores(self, predictions: Float32, split: Split) -> dict[str, float]:
        classes = split.classes
        require_shape(predictions, (*classes.shape, self.output_size))
        if not all_finite(predictions):
            return {metric.name: float("nan") for metric in self.metrics}
        asked = class_metrics(predictions[:, -self.recalled :], classes[:, -self.recalled :])
        return class_metrics(predictions, classes) | {"recall_accuracy": asked["accuracy"]}


def one_hot(classes: Int64, size: int) -> Float32:
    """Return float32 [..., size] with 1 at each class of [...]."""
    return np.eye(size, dtype=np.float32)[classes]
