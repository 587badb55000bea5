"""The seed-batched engine: all seeds of a block train as one batched computation.

Parameters are stacked along a leading seed axis and the model runs under ``torch.func.vmap``. Symbols in shapes:
S seeds of the block, B samples of a batch, T time steps, F features, O outputs.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.func import vmap

from notafluke.streams import generator
from notafluke.tasks.base import Task, TaskData
from notafluke.training.batching import initial_parameters, refuse_unbatchable, seed_losses, seed_predictions
from notafluke.training.determinism import pin_torch
from notafluke.training.recipe import Recipe

# Vectorised kernels take another path in a last partial vector, so every batch is padded to whole vectors.
ROW_MULTIPLE = 16
# A block of one would use another matrix product than wider blocks do.
NARROWEST_BLOCK = 2
PREDICTION_ROWS = 256


@dataclass
class SeedResult:
    """What training left of one seed. Predictions are [samples, O] of the best epoch, None unless ``ok``."""

    seed: int
    parameters: int
    outcome: str = "ok"
    reason: str = ""
    last_epoch: int = -1
    best_epoch: int = -1
    history: list[dict[str, float]] = field(default_factory=list)
    validation_metrics: dict[str, float] = field(default_factory=dict)
    test_metrics: dict[str, float] = field(default_factory=dict)
    predictions: np.ndarray | None = None
    weight_digest: str = ""


class Observer(Protocol):
    """Somebody who wants to see the metrics while a block trains."""

    def epoch_finished(self, epoch: int, metrics: Mapping[int, Mapping[str, float]]) -> None:
        """Called after each epoch with the metrics of each seed that is still training."""


class SeedData:
    """The data of all seeds of a block, on one device; seeds share one copy where the task allows."""

    def __init__(self, task: Task, seeds: Sequence[int], replica: int, device: torch.device) -> None:
        wanted = seeds if task.varies_with_seed else seeds[:1]
        self.per_seed = [task.load(seed, replica) for seed in wanted]
        self.width = len(seeds)
        self.inputs = {name: self._stack(name, "inputs", device) for name in ("train", "validation", "test")}
        self.targets = self._stack("train", "targets", device)
        rows = torch.arange(self.width) if task.varies_with_seed else torch.zeros(self.width, dtype=torch.long)
        self.owner = rows[:, None].to(device)

    def _stack(self, split: str, part: str, device: torch.device) -> Tensor:
        arrays = [getattr(getattr(data, split), part) for data in self.per_seed]
        return torch.from_numpy(np.stack(arrays)).to(device)

    def of(self, position: int) -> TaskData:
        """The data of the seed at a position of the block."""
        return self.per_seed[position % len(self.per_seed)]

    def samples(self, split: str) -> int:
        """Number of samples of a split."""
        return self.inputs[split].shape[1]


def padded_rows(rows: int) -> int:
    """The next multiple of ROW_MULTIPLE."""
    return -(-rows // ROW_MULTIPLE) * ROW_MULTIPLE


class SeedBlock(pl.LightningModule):
    """A block of seeds of one cell: S models, batched."""

    def __init__(
        self, recipe: Recipe, task: Task, seeds: Sequence[int], replica: int, device: torch.device, observer: Observer
    ) -> None:
        super().__init__()
        self.recipe, self.task, self.replica, self.observer = recipe, task, replica, observer
        self.streams = list(seeds) + list(seeds[:1]) * (NARROWEST_BLOCK - len(seeds))

        def build() -> nn.Module:
            return recipe.build_model(task.input_size, task.output_size)

        template = build()
        refuse_unbatchable(template)
        starts = [initial_parameters(build, seed, replica) for seed in self.streams]
        self.names = list(starts[0])
        self.stacked = nn.ParameterList(
            nn.Parameter(torch.stack([start[name] for start in starts])) for name in self.names
        )
        # Held in a list so that Lightning does not take the template's own parameters for trainable ones.
        self.template = [template.to(device)]
        count = sum(parameter.numel() for parameter in template.parameters())
        self.results = [SeedResult(seed, count) for seed in seeds]
        self.data = SeedData(task, self.streams, replica, device)
        self.alive = torch.ones(len(self.streams), dtype=torch.bool, device=device)
        self.best = {name: parameter.detach().clone() for name, parameter in self.weights.items()}
        self.best_scores = [float("inf")] * len(seeds)
        self.lower_is_better = {metric.name: metric.direction == "lower" for metric in task.metrics}[
            task.primary_metric
        ]

    @property
    def weights(self) -> dict[str, Tensor]:
        """Stacked parameters [S, ...] by name."""
        return dict(zip(self.names, self.stacked, strict=True))

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of one epoch."""
        return -(-self.data.samples("train") // self.recipe.batch_size)

    def train_dataloader(self) -> range:
        """Step numbers: the tensors lie on the device already, a batch is an index into them."""
        return range(self.steps_per_epoch)

    def configure_optimizers(self) -> Any:
        """The recipe's optimizer over the stacked parameters."""
        scheduler = self.recipe.optimizer(list(self.stacked), self.recipe.max_epochs * self.steps_per_epoch)
        return {"optimizer": scheduler.optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        """Draw every seed's order of the samples of this epoch."""
        samples = self.data.samples("train")
        orders = [
            generator(seed, self.replica, "batch order", str(self.current_epoch)).permutation(samples)
            for seed in self.streams
        ]
        self.order = torch.from_numpy(np.stack(orders)).to(self.alive.device)
        self.epoch_loss = torch.zeros(len(self.streams), dtype=torch.float64, device=self.alive.device)

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs [S, B, T, F], targets [S, B, O] and weights [B] of one step; padding rows weigh nothing."""
        size = self.recipe.batch_size
        rows = self.order[:, step * size : (step + 1) * size]
        real = rows.shape[1]
        padding = padded_rows(size) - real
        rows = torch.cat([rows, rows[:, :1].expand(-1, padding)], dim=1)
        weights = torch.zeros(real + padding, device=rows.device)
        weights[:real] = 1 / real
        return self.data.inputs["train"][self.data.owner, rows], self.data.targets[self.data.owner, rows], weights

    def training_step(self, step: int) -> Tensor:
        """One batch of every seed; the sum keeps each seed's gradient its own."""
        losses = seed_losses(self.template[0], self.recipe.loss, self.weights, *self.batch(step))
        with torch.no_grad():
            self.epoch_loss += losses
            self.alive &= losses.isfinite()
        return torch.where(self.alive, losses, 0.0).sum()

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        """Apply the gradient rule to each model of the block; called between backward and the optimizer's update."""
        gradients = {name: parameter.grad for name, parameter in self.weights.items() if parameter.grad is not None}
        ruled = vmap(self.recipe.gradient_rule)(gradients)
        for name, parameter in self.weights.items():
            parameter.grad = ruled[name]
        if not self.alive.all():
            self.frozen_values = [parameter.detach()[~self.alive].clone() for parameter in self.stacked]

    def optimizer_step(self, *arguments: Any, **keywords: Any) -> None:
        """One step; seeds that have diverged keep the weights they had."""
        super().optimizer_step(*arguments, **keywords)
        if not self.alive.all():
            with torch.no_grad():
                for parameter, values in zip(self.stacked, self.frozen_values, strict=True):
                    parameter[~self.alive] = values

    @torch.no_grad()
    def predict_split(self, split: str, weights: Mapping[str, Tensor]) -> np.ndarray:
        """Predictions [S, samples, O] of one split with the given stacked weights."""
        samples = self.data.samples(split)
        parts = []
        for start in range(0, samples, PREDICTION_ROWS):
            rows = torch.arange(start, start + PREDICTION_ROWS, device=self.alive.device).clamp(max=samples - 1)
            inputs = self.data.inputs[split][self.data.owner, rows[None]]
            parts.append(seed_predictions(self.template[0], weights, inputs))
        return torch.cat(parts, dim=1)[:, :samples].cpu().numpy()

    def training_seeds(self) -> Iterator[tuple[int, SeedResult]]:
        """Positions and results of the seeds that still train."""
        return ((position, result) for position, result in enumerate(self.results) if result.outcome == "ok")

    def on_train_epoch_end(self) -> None:
        """Validate every seed, keep its best weights and tell the observer."""
        predictions = self.predict_split("validation", self.weights)
        mean_loss = (self.epoch_loss / self.steps_per_epoch).tolist()
        improved = []
        for position, result in self.training_seeds():
            result.last_epoch = self.current_epoch
            if not self.alive[position] or not np.isfinite(predictions[position]).all():
                self.alive[position] = False
                result.outcome = "diverged"
                what = "predictions" if np.isfinite(mean_loss[position]) else "loss"
                result.reason = f"{what} not finite in epoch {self.current_epoch}"
                continue
            metrics = self.task.validation_metrics(self.data.of(position), predictions[position])
            result.history.append({"train_loss": mean_loss[position], **metrics})
            score = metrics[self.task.primary_metric] * (1 if self.lower_is_better else -1)
            if score < self.best_scores[position]:
                self.best_scores[position] = score
                result.best_epoch, result.validation_metrics = self.current_epoch, metrics
                improved.append(position)
        for name, parameter in self.weights.items():
            self.best[name][improved] = parameter.detach()[improved]
        self.observer.epoch_finished(
            self.current_epoch, {result.seed: result.history[-1] for _, result in self.training_seeds()}
        )
        if not self.alive[: len(self.results)].any():
            self.trainer.should_stop = True

    def finish(self) -> list[SeedResult]:
        """Test every seed with the weights of its best validation epoch, once, and digest its last weights."""
        validation = self.predict_split("validation", self.best)
        test = self.predict_split("test", self.best)
        for position, result in enumerate(self.results):
            result.weight_digest = weight_digest({name: value[position] for name, value in self.weights.items()})
            if result.outcome == "ok" and result.best_epoch < 0:
                result.outcome = "diverged"
                result.reason = f"validation {self.task.primary_metric} not finite in any epoch"
            if result.outcome == "ok":
                result.predictions = test[position]
                result.test_metrics = self.task.test_metrics(
                    self.data.of(position), test[position], validation[position]
                )
        return self.results


def weight_digest(weights: Mapping[str, Tensor]) -> str:
    """sha256 over names and bytes of one model's parameters, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def train_block(
    recipe: Recipe,
    task: Task,
    seeds: Sequence[int],
    replica: int,
    *,
    observer: Observer,
    device: str = "cpu",
    progress_bar: bool = False,
) -> list[SeedResult]:
    """Train the seeds of one cell together and return one result for each, in the order of ``seeds``.

    Raises UnbatchableError for a model that cannot be batched, and whatever a component raises.
    """
    pin_torch()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    place = torch.device(device)
    block = SeedBlock(recipe, task, seeds, replica, place, observer)
    trainer = pl.Trainer(
        max_epochs=recipe.max_epochs,
        accelerator="gpu" if place.type == "cuda" else "cpu",
        devices=[place.index or 0] if place.type == "cuda" else 1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress_bar,
        num_sanity_val_steps=0,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pytorch_lightning")
        trainer.fit(block)
    return block.finish()
