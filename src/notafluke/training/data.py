"""The data of a block of seeds on one device, cut into what the models see at a step.

Symbols in shapes: S seeds of the block, N samples of a split, B rows of a batch, K samples of a row that follow each
other, T time steps of a sample, F features, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from notafluke.tasks.base import SPLITS, Task, TaskData
from notafluke.training.samples import Batch


class SeedData:
    """The data of all seeds of a block; seeds share one copy where the task allows."""

    def __init__(self, task: Task, per_seed: Sequence[TaskData], device: torch.device) -> None:
        """``per_seed`` has the data of each seed; the first stands for all where a task does not vary with the seed."""
        self.task = task
        self.width = len(per_seed)
        self.per_seed = per_seed if task.varies_with_seed else per_seed[:1]
        first = self.per_seed[0]
        splits = [*SPLITS, *(["earlier"] if first.earlier is not None else [])]
        padded = [name for name in splits if getattr(first, name).counted is not None]
        self.inputs = {name: self._stack(name, "inputs", device) for name in splits}
        self.targets = {name: self._stack(name, "targets", device) for name in splits}
        self.counted = {name: self._stack(name, "counted", device) for name in padded}
        rows = torch.arange(self.width) if task.varies_with_seed else torch.zeros(self.width, dtype=torch.long)
        self.owner = rows[:, None, None].to(device)

    def _stack(self, split: str, part: str, device: torch.device) -> Tensor:
        arrays = [getattr(getattr(data, split), part) for data in self.per_seed]
        return torch.from_numpy(np.stack(arrays)).to(device)

    def of(self, position: int) -> TaskData:
        """The data of the seed at a position of the block."""
        return self.per_seed[position % len(self.per_seed)]

    def samples(self, split: str) -> int:
        """Number of samples of a split."""
        return self.inputs[split].shape[1]

    @property
    def truncation(self) -> int:
        """How many samples of a series bring as many new time steps as a sample has."""
        return max(1, self.inputs["train"].shape[2] // (self.task.advance or 1))

    def windows(self, split: str, batch: Batch) -> Tensor:
        """Inputs [S, B, T, F] of samples that each stand for themselves."""
        return self.inputs[split][self.owner[..., 0], batch.rows[..., 0]]

    def series(self, split: str, batch: Batch) -> Tensor:
        """Inputs [S, B, K * advance, F] of samples that follow each other: each time step once."""
        assert self.task.advance is not None
        new_steps = self.inputs[split][..., -self.task.advance :, :]
        return new_steps[self.owner, batch.rows].flatten(2, 3)

    def truth(self, split: str, batch: Batch) -> Tensor:
        """Targets [S, B, K, ..., O] of a batch; those of classes are one-hot."""
        targets = self.targets[split][self.owner, batch.rows]
        return one_hot(targets, self.task.output_size).float() if self.task.kind == "classes" else targets

    def counts(self, split: str, batch: Batch) -> Tensor | None:
        """Which time steps of a batch count, [S, B, K, T]; None where all do."""
        return self.counted[split][self.owner, batch.rows] if split in self.counted else None


def load_seeds(task: Task, seeds: Sequence[int], replica: int) -> list[TaskData]:
    """The data of each seed, loaded once where seeds are equal or the task does not vary with them."""
    wanted = seeds if task.varies_with_seed else [seeds[0]] * len(seeds)
    loaded = {seed: task.load(seed, replica) for seed in dict.fromkeys(wanted)}
    return [loaded[seed] for seed in wanted]


def previous(targets: Tensor) -> Tensor:
    """Of target sequences [..., T, O] those of the step before, zeros at the first."""
    return torch.cat([torch.zeros_like(targets[..., :1, :]), targets[..., :-1, :]], dim=-2)
