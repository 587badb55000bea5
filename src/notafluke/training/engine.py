"""The seed-batched engine: all seeds of a block train as one batched computation.

Parameters are stacked along a leading seed axis and the model runs under ``torch.func.vmap``. Symbols in shapes:
S seeds of the block, N samples of a split, B rows of a batch, K samples of a row that follow each other, O outputs.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.func import vmap

from notafluke.streams import generator, torch_seed
from notafluke.tasks.base import SPLITS, Task
from notafluke.training.batching import call_seeds, initial_parameters, key_names, refuse_unbatchable, seed_losses
from notafluke.training.data import SeedData, previous
from notafluke.training.determinism import pin_torch
from notafluke.training.history import GRADIENT_NORM, TRAIN_LOSS
from notafluke.training.recipe import Recipe
from notafluke.training.samples import Batch, stream_batches, window_batches

PREDICTION_SAMPLES = 256
SECONDS_OF_SILENCE = 30.0
log = logging.getLogger(__name__)
State = tuple[Tensor, ...]


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


class SeedBlock(pl.LightningModule):
    """A block of seeds of one cell: S models, batched. It steps its optimizer itself, after training too."""

    def __init__(
        self, recipe: Recipe, task: Task, seeds: Sequence[int], replica: int, device: torch.device, observer: Observer
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.recipe, self.task, self.replica, self.observer = recipe, task, replica, observer
        # An odd block is padded with a copy: one seed alone would use another matrix product than a block does, and an
        # odd number of 16 rows is no multiple of what AVX-512 kernels take in one step.
        self.streams = [*seeds, *seeds[: len(seeds) % 2]]

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
        self.key_names = key_names(template)
        count = sum(parameter.numel() for parameter in template.parameters())
        self.results = [SeedResult(seed, count) for seed in seeds]
        self.data = SeedData(task, self.streams, replica, device)
        self.alive = torch.ones(len(self.streams), dtype=torch.bool, device=device)
        self.best = {name: parameter.detach().clone() for name, parameter in self.weights.items()}
        self.best_scores = [float("inf")] * len(seeds)
        self.online_predictions: dict[int, OnlinePredictions] = {}
        self.clock = Clock()
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
        return len(self.batches("train", torch.arange(self.data.samples("train"))[None]))

    def batches(self, split: str, order: Tensor) -> list[Batch]:
        """The batches of one pass over a split in the order [S, N]."""
        return list(self.recipe.state.batches(order, self.recipe.batch_size, self.data.piece, self.recipe.online))

    def in_time(self, split: str) -> Tensor:
        """The samples of a split in the order of time, [1, N]."""
        return torch.arange(self.data.samples(split), device=self.alive.device)[None]

    def shuffled(self) -> Tensor:
        """Every seed's own order of the training samples in this epoch, [S, N]."""
        samples = self.data.samples("train")
        orders = [
            generator(seed, self.replica, "batch order", str(self.current_epoch)).permutation(samples)
            for seed in self.streams
        ]
        return torch.from_numpy(np.stack(orders)).to(self.alive.device)

    def train_dataloader(self) -> range:
        """Step numbers: the tensors lie on the device already, a batch is an index into them."""
        return range(self.steps_per_epoch)

    def configure_optimizers(self) -> Any:
        """The recipe's optimizer over the stacked parameters."""
        scheduler = self.recipe.optimizer(list(self.stacked), self.recipe.max_epochs * self.steps_per_epoch)
        return {"optimizer": scheduler.optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        """Arrange the samples of this epoch, and start from a fresh state."""
        in_order = self.recipe.online or self.recipe.state.carried
        self.epoch_batches = self.batches("train", self.in_time("train") if in_order else self.shuffled())
        self.carried: State | None = None
        zeros = torch.zeros(len(self.streams), dtype=torch.float64, device=self.alive.device)
        self.epoch_loss, self.epoch_norms = zeros, {name: zeros for name in self.names}

    def training_step(self, step: int) -> None:
        """Learn from one batch of every seed."""
        losses, norms = self.learn("train", step, self.epoch_batches[step])
        self.clock.tell(self.current_epoch, "train", step, len(self.epoch_batches))
        self.lr_schedulers().step()  # type: ignore[union-attr]
        self.epoch_loss = self.epoch_loss + losses
        self.epoch_norms = {name: self.epoch_norms[name] + norm for name, norm in norms.items()}

    def learn(self, split: str, step: int, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """One step of the optimizer; the losses [S] and the norm [S] of each parameter's gradient before the rule.

        A seed whose loss is not finite has diverged: from then on it keeps the weights that it had.
        """
        with torch.enable_grad():
            outputs, carried = self.outputs(self.weights | self.keys(split, step), split, batch, training=True)
            losses = seed_losses(self.recipe.objective, outputs, self.data.truth(split, batch), batch.weights)
            self.alive &= losses.detach().isfinite()
            # The sum keeps each seed's gradient its own.
            total = torch.where(self.alive, losses, 0.0).sum()
            found = torch.autograd.grad(total, list(self.stacked), allow_unused=True, materialize_grads=True)
        self.carried = carried
        with torch.no_grad():
            gradients = dict(zip(self.names, found, strict=True))
            ruled = vmap(self.recipe.gradient_rule)(gradients)
            for name, parameter in self.weights.items():
                parameter.grad = ruled[name]
            frozen = ~self.alive
            kept = [parameter[frozen] for parameter in self.stacked] if frozen.any() else []
            self.optimizers().step()  # type: ignore[union-attr]
            for parameter, values in zip(self.stacked, kept, strict=bool(kept)):
                parameter[frozen] = values
            norms = {
                name: torch.linalg.vector_norm(gradient.flatten(1), dim=1, dtype=torch.float64)
                for name, gradient in gradients.items()
            }
        return losses.detach(), norms

    def keys(self, split: str, step: int) -> dict[str, Tensor]:
        """The keys [S] that all layers with random numbers draw from at one step."""
        return {
            name: torch.tensor(
                [
                    torch_seed(seed, self.replica, "layer", split, str(self.current_epoch), str(step), name)
                    for seed in self.streams
                ]
            )
            for name in self.key_names
        }

    def outputs(
        self, tensors: Mapping[str, Tensor], split: str, batch: Batch, *, training: bool, free_running: bool = False
    ) -> tuple[Tensor, State | None]:
        """Outputs [S, B, K, ..., O] of every seed's model for a batch, and the state after it where it is carried."""
        model = self.template[0].train(training)
        if self.recipe.state.carried:
            inputs = self.data.series(split, batch)
            carried = self.carried or self.fresh_state(inputs)
            outputs, state = call_seeds(model, tensors, inputs, carried)
            by_sample = outputs.unflatten(2, (batch.rows.shape[2], -1))
            at = by_sample[:, :, :, -1] if self.task.targets_at == "last" else by_sample
            return at, tuple(part.detach() for part in state)
        inputs = self.data.windows(split, batch)
        if self.task.targets_at == "sequence":
            before = previous(self.data.truth(split, batch))[:, :, 0]
            outputs = call_seeds(model, tensors, inputs, before, free_running=free_running)
        else:
            outputs = call_seeds(model, tensors, inputs)
            if self.task.targets_at == "last" and outputs.dim() == inputs.dim():
                outputs = outputs[:, :, -1]
        return outputs[:, :, None], None

    def fresh_state(self, inputs: Tensor) -> State:
        """Every seed's state before the first time step of inputs [S, B, T, F]."""
        state: State = self.template[0].initial_state(inputs[0])  # type: ignore[operator]
        return tuple(part.expand(len(inputs), *part.shape) for part in state)

    @torch.no_grad()
    def predictions(self, tensors: Mapping[str, Tensor], split: str, batch: Batch) -> Tensor:
        """What the metrics see of a batch, [S, B, K, ..., O]; the state is carried on."""
        outputs, self.carried = self.outputs(tensors, split, batch, training=False)
        if self.task.targets_at == "sequence":
            free, _ = self.outputs(tensors, split, batch, training=False, free_running=True)
            outputs = torch.stack([outputs, free], dim=3)
        return vmap(self.recipe.output.predictions)(outputs)

    @torch.no_grad()
    def predict(self, weights: Mapping[str, Tensor], *wanted: str) -> dict[str, np.ndarray]:
        """Predictions [S, N, ..., O] of the wanted splits with the given stacked weights.

        A state that is carried comes from the beginning of the training split, through every split in between.
        """
        predictions = {}
        self.carried = None
        carried = self.recipe.state.carried
        for split in SPLITS[: 1 + SPLITS.index(wanted[-1])] if carried else wanted:
            order = self.in_time(split)
            if carried:
                batches = stream_batches(order.shape[1], 1, PREDICTION_SAMPLES, order.device)
            else:
                batches = window_batches(order, PREDICTION_SAMPLES)
            parts = [real_samples(self.predictions(weights, split, batch), batch) for batch in batches]
            predictions[split] = torch.cat(parts, dim=1).cpu().numpy()
        return predictions

    def predict_and_learn(self, split: str) -> np.ndarray:
        """Predictions [S, N, ..., O] of a split, each batch predicted before it is learned from."""
        parts = []
        batches = self.batches(split, self.in_time(split))
        for step, batch in enumerate(batches):
            self.clock.tell(self.current_epoch, split, step, len(batches))
            before = self.carried
            parts.append(real_samples(self.predictions(self.weights, split, batch), batch))
            after, self.carried = self.carried, before
            self.learn(split, step, batch)
            # The state advances once per step, as the prediction left it.
            self.carried = after
        return torch.cat(parts, dim=1).cpu().numpy()

    def training_seeds(self) -> Iterator[tuple[int, SeedResult]]:
        """Positions and results of the seeds that still train."""
        return ((position, result) for position, result in enumerate(self.results) if result.outcome == "ok")

    def on_train_epoch_end(self) -> None:
        """Validate every seed, keep what was best and tell the observer."""
        if self.recipe.online:
            learned = self.learned()
            improved = self.judge(predictions := self.predict_and_learn("validation"))
            if improved:
                alive = self.alive.clone()
                test = self.predict_and_learn("test")
                for position in improved:
                    self.online_predictions[position] = OnlinePredictions(
                        predictions[position], test[position], bool(self.alive[position])
                    )
                self.alive = alive
            self.go_back(learned)
        else:
            improved = self.judge(self.predict(self.weights, "validation")["validation"])
        for name, parameter in self.weights.items():
            self.best[name][improved] = parameter.detach()[improved]
        self.observer.epoch_finished(
            self.current_epoch, {result.seed: result.history[-1] for _, result in self.training_seeds()}
        )
        if not self.alive[: len(self.results)].any():
            self.trainer.should_stop = True

    def judge(self, predictions: np.ndarray) -> list[int]:
        """Score every seed's validation predictions [S, N, ..., O]; the positions of those that are best so far."""
        mean_loss = (self.epoch_loss / len(self.epoch_batches)).tolist()
        norms = {name: (norm / len(self.epoch_batches)).tolist() for name, norm in self.epoch_norms.items()}
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
            own_norms = {f"{GRADIENT_NORM}{name}": norm[position] for name, norm in norms.items()}
            result.history.append({TRAIN_LOSS: mean_loss[position], **metrics, **own_norms})
            score = metrics[self.task.primary_metric] * (1 if self.lower_is_better else -1)
            if score < self.best_scores[position]:
                self.best_scores[position] = score
                result.best_epoch, result.validation_metrics = self.current_epoch, metrics
                improved.append(position)
        return improved

    def learned(self) -> tuple[list[Tensor], Any]:
        """All that training has changed: weights and the optimizer's memory."""
        weights = [parameter.detach().clone() for parameter in self.stacked]
        return weights, copy.deepcopy(self.optimizers().optimizer.state_dict())  # type: ignore[union-attr]

    @torch.no_grad()
    def go_back(self, learned: tuple[list[Tensor], Any]) -> None:
        """Forget what was learned since ``learned()`` was called."""
        weights, memory = learned
        for parameter, value in zip(self.stacked, weights, strict=True):
            parameter.copy_(value)
        self.optimizers().optimizer.load_state_dict(memory)  # type: ignore[union-attr]

    def finish(self) -> list[SeedResult]:
        """Test every seed with the weights of its best validation epoch, once, and digest its last weights."""
        if self.recipe.online:
            kept = self.online_predictions
            found = {position: (own.validation, own.test) for position, own in kept.items() if own.finite}
        else:
            splits = self.predict(self.best, "validation", "test")
            found = dict(enumerate(zip(splits["validation"], splits["test"], strict=True)))
        for position, result in enumerate(self.results):
            result.weight_digest = weight_digest({name: value[position] for name, value in self.weights.items()})
            if result.outcome == "ok" and result.best_epoch < 0:
                result.outcome = "diverged"
                result.reason = f"validation {self.task.primary_metric} not finite in any epoch"
            elif result.outcome == "ok" and position not in found:
                result.outcome = "diverged"
                result.reason = "loss not finite while it learned in the test split"
            if result.outcome == "ok":
                validation, result.predictions = found[position]
                result.test_metrics = self.task.test_metrics(self.data.of(position), result.predictions, validation)
        return self.results


class Clock:
    """Logs how far a long epoch has come, twice a minute."""

    def __init__(self) -> None:
        self.told = time.monotonic()

    def tell(self, epoch: int, split: str, step: int, steps: int) -> None:
        """Say it when it is time."""
        if time.monotonic() - self.told >= SECONDS_OF_SILENCE:
            self.told = time.monotonic()
            log.info("epoch %d, %s: step %d of %d", epoch + 1, split, step + 1, steps)


@dataclass(frozen=True)
class OnlinePredictions:
    """What a seed predicted while it learned on, and whether its loss stayed finite."""

    validation: np.ndarray
    test: np.ndarray
    finite: bool


def real_samples(values: Tensor, batch: Batch) -> Tensor:
    """Of values [S, B, K, ...] those of samples, [S, samples of the batch, ...]."""
    return values[:, batch.weights > 0]


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

    Raises ComponentError for a model that cannot be batched, and whatever a component raises.
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
