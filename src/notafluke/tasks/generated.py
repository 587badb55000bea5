"""What the generated tasks share: three splits from random streams of their own, scored alike."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from notafluke.streams import generator
from notafluke.tasks.base import SPLITS, Float32, Split, Task, TaskData, require_whole


class GeneratedTask(Task):
    """A task whose data are drawn anew for every seed, the same for all arms of a seed.

    Each split comes from its own stream (seed, replica, "data", split); validation and test are scored by the same
    metrics.
    """

    varies_with_seed: ClassVar[bool] = True

    def __init__(self, *, train_size: int, validation_size: int, test_size: int) -> None:
        """Store the numbers of samples of the three splits."""
        self.train_size = train_size
        self.validation_size = validation_size
        self.test_size = test_size

    @abstractmethod
    def generate(self, rng: np.random.Generator, size: int) -> Split:
        """Draw `size` samples."""

    @abstractmethod
    def scores(self, predictions: Float32, split: Split) -> dict[str, float]:
        """Return all metrics of the predictions for a split."""

    def declaration(self) -> dict[str, str]:
        """Say that the data are generated (the code, the options and numpy's version are in the key anyway)."""
        return {"generated": "numpy PCG64"}

    def check(self) -> None:
        """Raise UsageError when a size is not a whole number of at least 1."""
        for name in SPLITS:
            require_whole(f"{name}_size", getattr(self, f"{name}_size"), 1)

    def load(self, seed: int, replica: int) -> TaskData:
        """Generate the three splits."""
        self.check()
        train, validation, test = (
            self.generate(generator(seed, replica, "data", name), getattr(self, f"{name}_size")) for name in SPLITS
        )
        return TaskData(train, validation, test)

    def validation_metrics(self, data: TaskData, predictions: Float32) -> dict[str, float]:
        """Return all metrics on the validation split."""
        return self.scores(predictions, data.validation)

    def test_metrics(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, float]:
        """Return all metrics on the test split."""
        return self.scores(predictions, data.test)
