"""What training leaves of each seed: scored by epoch, the best one kept, failures recorded. Knows nothing of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from notafluke.tasks.base import Float32, Float64, Task, TaskData
from notafluke.training.history import GRADIENT_NORM, TRAIN_LOSS

KEPT = ("outcome", "reason", "last_epoch", "best_epoch", "history", "validation_metrics")
"""What a result has before its run is tested."""


@dataclass
class SeedResult:
    """What training left of one seed.

    ``predictions`` are those for the test split of the best epoch, as the task's metrics see them (see Task), None
    unless ``ok``; ``series`` what the task says of each test sample (Task.by_sample); ``samples`` files with what the
    network wrote by itself; ``history`` has a row for each epoch; ``best_weights`` are the parameters of the best epoch
    by name; ``seconds`` the run's share of its block's time, ``started`` UTC, ISO 8601.
    """

    seed: int
    parameters: int
    outcome: str = "ok"
    reason: str = ""
    last_epoch: int = -1
    best_epoch: int = -1
    history: list[dict[str, float]] = field(default_factory=list)
    validation_metrics: dict[str, float] = field(default_factory=dict)
    test_metrics: dict[str, float] = field(default_factory=dict)
    predictions: Float32 | None = None
    series: dict[str, Float64] = field(default_factory=dict)
    samples: dict[str, bytes] = field(default_factory=dict)
    weight_digest: str = ""
    best_weights: dict[str, Float32] = field(default_factory=dict)
    started: str = ""
    seconds: float = 0.0

    def fail(self, outcome: str, reason: str) -> None:
        """Record how it has ended."""
        self.outcome, self.reason = outcome, reason


@dataclass(frozen=True)
class EpochSummary:
    """An epoch of a block: for each position whether its loss is still finite, its mean loss and gradient norms."""

    epoch: int
    alive: Sequence[bool]
    mean_loss: Sequence[float]
    gradient_norms: Mapping[str, Sequence[float]]


class BlockResults:
    """The results of the seeds of a block; a position is a seed's place in it."""

    def __init__(self, task: Task, data: Sequence[TaskData], seeds: Sequence[int], parameters: int) -> None:
        self.task, self.data = task, data
        self.seeds = [SeedResult(seed, parameters) for seed in seeds]
        self.best_scores = [float("inf")] * len(seeds)
        directions = {metric.name: metric.direction for metric in task.metrics}
        self.sign = 1 if directions[task.primary_metric] == "lower" else -1

    def judge(self, summary: EpochSummary, predictions: Float32) -> list[int]:
        """Score the validation predictions [S, N, ..., O] of an epoch; the positions of those that are best so far."""
        improved = []
        for position, result in enumerate(self.seeds):
            if result.outcome != "ok":
                continue
            result.last_epoch = summary.epoch
            if unusable := _unusable(summary, predictions[position], position):
                result.fail("diverged", f"{unusable} not finite in epoch {summary.epoch}")
                continue
            found = self.task.validation_metrics(self.data[position], predictions[position])
            # A number of NumPy would not be stored as what it is.
            metrics = {name: float(value) for name, value in found.items()}
            norms = {f"{GRADIENT_NORM}{name}": own[position] for name, own in summary.gradient_norms.items()}
            result.history.append({TRAIN_LOSS: summary.mean_loss[position], **metrics, **norms})
            score = self.sign * metrics[self.task.primary_metric]
            if score < self.best_scores[position]:
                self.best_scores[position] = score
                result.best_epoch, result.validation_metrics = summary.epoch, metrics
                improved.append(position)
        return improved

    def state(self) -> dict[str, Any]:
        """What the epochs so far have left, as plain values."""
        kept = [{name: getattr(result, name) for name in KEPT} for result in self.seeds]
        return {"seeds": kept, "best_scores": self.best_scores}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same seeds."""
        self.best_scores = list(state["best_scores"])
        for result, kept in zip(self.seeds, state["seeds"], strict=True):
            for name, value in kept.items():
                setattr(result, name, value)

    @property
    def over(self) -> bool:
        """Whether no seed is left to train."""
        return all(result.outcome != "ok" for result in self.seeds)

    def latest(self) -> dict[int, dict[str, float]]:
        """The last row of the history of each seed that is still training."""
        return {result.seed: result.history[-1] for result in self.seeds if result.outcome == "ok"}

    def test(self, predictions: Mapping[int, tuple[Float32, Float32]]) -> None:
        """Test each seed once, from its validation and test predictions of the best epoch by position.

        A seed without them has diverged while it learned online in the test split.
        """
        for position, result in enumerate(self.seeds):
            if result.outcome != "ok":
                continue
            if result.best_epoch < 0:
                result.fail("diverged", f"validation {self.task.primary_metric} not finite in any epoch")
            elif position not in predictions:
                result.fail("diverged", "loss not finite while it learned in the test split")
            else:
                validation, result.predictions = predictions[position]
                own = self.data[position], result.predictions, validation
                result.test_metrics = self.task.test_metrics(*own)
                if np.isfinite(result.predictions).all() and np.isfinite(validation).all():
                    result.series = self.task.by_sample(*own)


def _unusable(summary: EpochSummary, predictions: Float32, position: int) -> str:
    """What of a seed is not finite; empty where all is well."""
    if not np.isfinite(summary.mean_loss[position]):
        return "loss"
    if not np.isfinite(predictions).all():
        return "predictions"
    return "" if summary.alive[position] else "loss on the validation split"
