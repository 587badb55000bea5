"""The seed-batched engine: trains all seeds of a block with Lightning as one batched computation."""

from __future__ import annotations

import logging
import signal
import threading
import traceback
import warnings
from collections.abc import Sequence

import pytorch_lightning as pl
import torch

from notafluke.errors import named
from notafluke.tasks.base import Task
from notafluke.training.block import Checkpoint, Observer, SeedBlock, TimeLimitReached
from notafluke.training.determinism import pin_torch
from notafluke.training.memory import keep_freed_memory
from notafluke.training.recipe import OptimizerBuilder, Recipe
from notafluke.training.results import SeedResult

log = logging.getLogger(__name__)


class OwnSignalHandler(pl.Callback):
    """Takes SIGTERM back from Lightning, which would end the process with exit code 0 and without a checkpoint."""

    def __init__(self) -> None:
        self.handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning has set its own handler by then; only the main thread may set one."""
        if self.handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self.handler)


def train_block(
    recipe: Recipe,
    task: Task,
    seeds: Sequence[int],
    replica: int,
    *,
    observer: Observer | None = None,
    device: str = "cpu",
    progress_bar: bool = False,
    tested: bool = True,
    optimizers: Sequence[tuple[OptimizerBuilder, int]] = (),
    checkpoint: Checkpoint | None = None,
    time_limit: float | None = None,
    deterministic: bool = True,
    raises: bool = True,
) -> list[SeedResult]:
    """Train the seeds of one cell together and return one result for each, in the order of ``seeds``.

    Not ``tested``, they are validated, and the test split is never looked at. ``optimizers``, each for a number of
    seeds, stand in for the recipe's; a seed may then be there several times. With ``checkpoint`` the training goes on
    from what is kept there, and is kept after each epoch and when it is due. What still trains after ``time_limit``
    seconds ends as ``timeout``. Not ``deterministic``, operations without deterministic code are allowed. Where
    what fails while it trains is not to be raised (``raises``), it ends the seeds as ``crashed``.

    Raises ComponentError for a model that cannot be batched, and whatever a component raises.
    """
    pin_torch(deterministic)
    place = torch.device(device)
    block = SeedBlock(recipe, task, seeds, replica, place, observer, tested, optimizers, checkpoint, time_limit)
    try:
        fit(block, progress_bar)
    except TimeLimitReached:
        block.end("timeout", f"over the time limit of {time_limit:g} s in {block.where}")
    except Exception as error:
        if raises:
            raise
        log.warning("%s", traceback.format_exc())
        block.end("crashed", named(error))
    return block.finish()


def fit(block: SeedBlock, progress_bar: bool = False, most_steps: int | None = None) -> None:
    """Train a block for the epochs of its recipe, each of at most ``most_steps`` steps."""
    keep_freed_memory()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    place = block.alive.device
    trainer = pl.Trainer(
        max_epochs=block.recipe.max_epochs,
        limit_train_batches=most_steps,
        accelerator="gpu" if place.type == "cuda" else "cpu",
        devices=[place.index or 0] if place.type == "cuda" else 1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress_bar,
        num_sanity_val_steps=0,
        callbacks=[OwnSignalHandler()],
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pytorch_lightning")
        try:
            trainer.fit(block)
        except SystemExit as error:
            # Otherwise the process would end as if all were done.
            raise RuntimeError("a component has called sys.exit") from error
