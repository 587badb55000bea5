"""The copy memory problem: repeat, after a long wait, the symbols that stood at the beginning."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from notafluke.tasks.base import (
    Baseline,
    Float32,
    Int64,
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


class CopyMemory(GeneratedTask):
    """The copy memory problem, as in Arjovsky, Shah and Bengio (2016), section 5.1.

    The alphabet has `symbols` symbols, a blank and a signal. An input is `recalled` random symbols, `wait - 1`
    blanks, the signal, and `recalled` blanks; the target is blank for `wait + recalled` steps, then the symbols in
    their order. A target stands at every step. Inputs are one-hot [wait + 2 recalled, symbols + 2].

    Metrics: those of classes over all steps, and `recall_accuracy` over the steps that ask for a symbol. Baseline:
    without memory the best is the blank, then any symbol alike: `recalled ln(symbols) / steps` nats.
    """

    kind: ClassVar[Kind] = "classes"
    targets_at: ClassVar[TargetsAt] = "every"
    primary_metric = "log_loss"
    metrics: ClassVar[tuple[Metric, ...]] = (*CLASS_METRICS, Metric("recall_accuracy", "higher", "share"))

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
        super().__init__(train_size=train_size, validation_size=validation_size, test_size=test_size)
        self.wait = wait
        self.recalled = recalled
        self.symbols = symbols

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

    def check(self) -> None:
        """Raise UsageError when an option is not a whole number, or too small."""
        require_whole("wait", self.wait, 1)
        require_whole("recalled", self.recalled, 1)
        require_whole("symbols", self.symbols, 2)
        super().check()

    def generate(self, rng: np.random.Generator, size: int) -> Split:
        """Draw `size` sequences: inputs [size, steps, symbols + 2], classes [size, steps]."""
        blank, signal = self.symbols, self.symbols + 1
        recalled = rng.integers(0, self.symbols, (size, self.recalled))
        seen: Int64 = np.full((size, self.steps), blank, dtype=np.int64)
        seen[:, : self.recalled] = recalled
        seen[:, self.recalled + self.wait - 1] = signal
        targets: Int64 = np.full((size, self.steps), blank, dtype=np.int64)
        targets[:, -self.recalled :] = recalled
        return Split(one_hot(seen, self.input_size), targets)

    def scores(self, predictions: Float32, split: Split) -> dict[str, float]:
        """Return all metrics of log probabilities [samples, steps, symbols + 2]."""
        classes = split.classes
        require_shape(predictions, (*classes.shape, self.output_size))
        if not all_finite(predictions):
            return {metric.name: float("nan") for metric in self.metrics}
        asked = class_metrics(predictions[:, -self.recalled :], classes[:, -self.recalled :])
        return class_metrics(predictions, classes) | {"recall_accuracy": asked["accuracy"]}

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        """Return the expected scores without memory."""
        log_loss = self.recalled * math.log(self.symbols) / self.steps
        return (
            Baseline("no_memory", "log_loss", log_loss, trivial=True),
            Baseline("no_memory", "recall_accuracy", 1 / self.symbols, trivial=False),
        )
