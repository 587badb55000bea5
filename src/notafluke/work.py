"""How much a cell has to compute, known before anything trains, and which cells one process trains for that.

The seconds are an estimate that hangs on nothing but the configuration and on numbers that the dry pass finds: the
same on every machine and at each reading of the Snakefile, so that the same cells always share a job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any

from notafluke.tuning import FACTORS

TARGET = 20.0
"""Seconds of training that are worth a job of their own: to start one costs about four."""
LEAST_JOBS = 2
"""So many jobs are made of any two cells: that many cores everybody has."""
CELL = 1.0
"""Seconds of a cell that has nothing to compute: it is tried, Lightning starts, its runs are recorded."""
STEP = 2e-3
"""Seconds of an optimizer step, apart from the network."""
TIME_STEP = 2e-4
"""Seconds of a time step of a recurrent network, forward and backward, however small it is."""
RATE = 1e10
"""Multiply-adds a second of one core."""
PASSES = 3
"""Of the weights in a step of training, forward and backward, against one in an evaluation."""
EVALUATION_SAMPLES = 256
"""As in training.samples, which imports torch; plans do without."""


@dataclass(frozen=True)
class Work:
    """What a run computes on: ``weights`` of the network, new ``time_steps`` of a sample, samples of each split."""

    weights: int
    time_steps: int
    samples: Mapping[str, int]

    def seconds(self, config: Mapping[str, Any], seeds: int) -> float:
        """About how long so many seeds of a configuration train on one core, the tuning included."""
        tries: int = len(FACTORS) * config["tuning_seeds"] if config["tune"] == "lr" else 0
        width: int = config["execution"]["block_size"]
        blocks = -(-seeds // width) + -(-tries // width)
        return CELL + blocks * self._overhead(config) + (seeds + tries) * self._multiply_adds(config) / RATE

    def _overhead(self, config: Mapping[str, Any]) -> float:
        """Seconds of a block of seeds, however few and small these are."""
        learned, evaluated = self._passes(config)
        batch_size: int = config["trainer"]["batch_size"]
        steps = sum(times * -(-self.samples[split] // batch_size) for split, times in learned)
        looks = sum(times * -(-self.samples[split] // EVALUATION_SAMPLES) for split, times in evaluated)
        return steps * (STEP + self.time_steps * TIME_STEP) + looks * self.time_steps * TIME_STEP / PASSES

    def _multiply_adds(self, config: Mapping[str, Any]) -> float:
        """Of one seed."""
        learned, evaluated = self._passes(config)
        samples = PASSES * sum(times * self.samples[split] for split, times in learned)
        samples += sum(times * self.samples[split] for split, times in evaluated)
        return float(samples * self.time_steps * self.weights)

    def _passes(self, config: Mapping[str, Any]) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        """The splits that are learned from, and those that are only predicted, each with how many times."""
        epochs, before = config["trainer"]["max_epochs"], config["trainer"]["pretraining_epochs"]
        learned = [("train", epochs)] + ([("earlier", before)] if "earlier" in self.samples else [])
        others = [("validation", epochs), ("test", 1)]
        return (learned + others, []) if config["online"] else (learned, others)


def merged(seconds: Sequence[float | None], alike: Sequence[str], target: float = TARGET) -> list[int]:
    """How many cells each job trains: neighbours that are ``alike`` share one, up to ``target`` seconds and more.

    ``seconds`` of each cell, more than 0, or None where they are not known: such a cell has a job of its own. There are
    LEAST_JOBS at least, where there are as many cells.
    """
    target = min(target, sum(own or 0.0 for own in seconds) / LEAST_JOBS)
    sizes = []
    for _, stretch in groupby(enumerate(seconds), key=lambda own: (alike[own[0]], own[0] if own[1] is None else -1)):
        sizes += _cut([own or 0.0 for _, own in stretch], target)
    return sizes


def _cut(seconds: Sequence[float], target: float) -> list[int]:
    """Even parts of at least the target on average: each cell belongs to the part in which its middle lies."""
    if len(seconds) == 1:
        return [1]
    total = sum(seconds)
    part = total / max(1, int(total / target))
    middles = [end - own / 2 for own, end in zip(seconds, accumulate(seconds), strict=True)]
    return [len(list(own)) for _, own in groupby(int(middle / part) for middle in middles)]
