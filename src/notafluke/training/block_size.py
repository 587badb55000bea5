"""How many seeds of a cell train together: as many as pay and as fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from notafluke.tasks.base import Task
from notafluke.training.block import SeedBlock
from notafluke.training.determinism import pin_torch
from notafluke.training.memory import available_bytes, bytes_of_seed
from notafluke.training.recipe import Recipe

Training = TypeVar("Training")
WEIGHTS_TOGETHER = 5 * 2**18
"""Models of more weights than these are no faster together (measured by benchmarks/seeds.py, see docs/performance.md):
what a step touches no longer fits into the processor's cache."""


@dataclass(frozen=True)
class BlockSize:
    """How many seeds train together at most, and why they are fewer than asked for; empty where they are not."""

    seeds: int
    reason: str = ""

    def split(self, trainings: Sequence[Training]) -> list[Sequence[Training]]:
        """Blocks of about equal size, none larger than this, in the order of the trainings: one for each seed."""
        if not trainings:
            return []
        blocks = -(-len(trainings) // self.seeds)
        size = -(-len(trainings) // blocks)
        # An odd block is padded with a copy.
        size = min(size + size % 2, self.seeds)
        return [trainings[start : start + size] for start in range(0, len(trainings), size)]


def choose_block_size(recipe: Recipe, task: Task, seeds: Sequence[int], replica: int, most: int) -> BlockSize:
    """The size of the blocks of these seeds on the CPU, at most ``most``; one forward pass of one seed is made."""
    if min(len(seeds), most) <= 2:
        return BlockSize(most)
    pin_torch()
    block = SeedBlock(recipe, task, seeds[:1], replica, torch.device("cpu"))
    return fitting_size(most, block.results.seeds[0].parameters, bytes_of_seed(block), available_bytes())


def fitting_size(most: int, weights: int, bytes_a_seed: int, free: int) -> BlockSize:
    """At most ``most`` seeds of so many weights and bytes each, fewer where more do not pay or ``free`` is too little.

    At least two, as one alone is padded to two.
    """
    paying, fitting = _even(WEIGHTS_TOGETHER // weights), _even(free // bytes_a_seed)
    if most <= min(paying, fitting):
        return BlockSize(most)
    if fitting < paying:
        need = f"each takes about {bytes_a_seed / 2**20:,.0f} MiB of the {free / 2**20:,.0f} MiB that a core may use"
        return BlockSize(min(most, fitting), need)
    return BlockSize(min(most, paying), f"with {weights:,} weights each, more are no faster")


def _even(seeds: int) -> int:
    return max(2, seeds - seeds % 2)
