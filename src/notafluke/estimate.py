"""How long a study will train: a few steps of every cell are timed, with as many seeds as will train together."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from notafluke import components
from notafluke.configuration import compose_run, conf_folder
from notafluke.plan import Cell, Plan
from notafluke.tasks.base import Task
from notafluke.tuning import FACTORS, FILE, tuning_seeds

if TYPE_CHECKING:
    from notafluke.training.recipe import Recipe

FEW, MORE = 2, 6
"""Optimizer steps of the two timings whose difference gives the time of a step."""
SECONDS_A_JOB = 8.0
"""Start of a process: imports of torch, Lightning and MLflow."""


@dataclass(frozen=True)
class BlockTime:
    """Seconds of one optimizer step, and of everything else in an epoch, for a block of seeds."""

    step: float
    rest_of_epoch: float
    steps_per_epoch: int
    epochs: int
    pretraining_steps: int

    @property
    def seconds(self) -> float:
        """Of the whole training, with a test of the length of a validation."""
        steps = self.pretraining_steps + self.epochs * self.steps_per_epoch
        return steps * self.step + (self.epochs + 1) * self.rest_of_epoch


@dataclass(frozen=True)
class CellTime:
    """A cell and the estimated seconds of its missing runs on one core, tuning included."""

    cell: Cell
    seconds: float


def cell_times(plan: Plan) -> Iterator[CellTime]:
    """Estimate the missing runs of every cell, one cell after another; those without any take nothing.

    Data that are not prepared yet are prepared first. Raises UsageError for data that cannot be used.
    """
    for cell in plan.distinct_cells:
        missing = [seed for seed in plan.study.seeds if not cell.metrics_file(seed).is_file()]
        yield CellTime(cell, _seconds(cell, missing) if missing else 0.0)


def wall_seconds(times: Sequence[CellTime], plan: Plan, cores: int) -> float:
    """The wall time of a study on so many cores: training and the starts of its jobs, evenly shared out."""
    busy = [own for own in times if own.seconds]
    keys = {own.cell.key for own in busy}
    jobs = sum(any(cell.key in keys for cell in job) for job in plan.jobs)
    total = sum(own.seconds for own in busy) + jobs * SECONDS_A_JOB
    longest = max((own.seconds + SECONDS_A_JOB for own in busy), default=0.0)
    return max(total / cores, longest)


def _seconds(cell: Cell, seeds: Sequence[int]) -> float:
    from notafluke.training.block_size import choose_block_size

    run = compose_run(conf_folder(), {"task": cell.task, **cell.changes, "execution.tracking": "false"})
    task, recipe, replica = (
        components.build_task(run.config),
        components.build_recipe(run.config),
        run.config["replica"],
    )
    task.prepare()
    size = choose_block_size(recipe, task, seeds, replica, run.config["execution"]["block_size"])
    blocks = size.split(seeds)
    if run.config["tune"] == "lr" and not (Path(cell.folder) / FILE).is_file():
        tries = tuning_seeds(run.config["tuning_seeds"]) * len(FACTORS)
        blocks += size.split(tries)
    # Blocks of equal width take equal time.
    by_width = {len(block): block for block in blocks}
    times = {own: _time_block(recipe, task, block, replica).seconds for own, block in by_width.items()}
    return sum(times[len(block)] for block in blocks)


def _time_block(recipe: Recipe, task: Task, seeds: Sequence[int], replica: int) -> BlockTime:
    """Train a block twice for a part of an epoch, with one validation each."""
    import torch

    from notafluke.training.block import SeedBlock
    from notafluke.training.determinism import pin_torch
    from notafluke.training.engine import fit

    pin_torch()
    place = torch.device("cpu")
    one_epoch = replace(recipe, max_epochs=1, pretraining_epochs=0)
    block = SeedBlock(one_epoch, task, seeds, replica, place, tested=False)
    steps = block.steps_per_epoch
    earlier = len(block.batches("earlier", shuffle=False)) if recipe.pretraining_epochs else 0
    seconds = {}
    for most in (FEW, MORE):
        block = SeedBlock(one_epoch, task, seeds, replica, place, tested=False)
        began = time.perf_counter()
        fit(block, most_steps=most)
        seconds[most] = time.perf_counter() - began
    step = max(0.0, seconds[MORE] - seconds[FEW]) / (min(MORE, steps) - min(FEW, steps) or 1)
    rest = max(0.0, seconds[FEW] - min(FEW, steps) * step)
    return BlockTime(step, rest, steps, recipe.max_epochs, recipe.pretraining_epochs * earlier)
