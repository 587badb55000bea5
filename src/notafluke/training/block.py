"""A block of seeds that train as one batched computation, and that can go on where it was interrupted.

Parameters are stacked along a leading seed axis and the model runs under ``torch.func.vmap``. Symbols in shapes:
S seeds of the block, N samples of a split, B rows of a batch, K samples of a row that follow each other, O outputs.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.func import vmap

from notafluke.clock import utc_now
from notafluke.streams import generator, torch_seed
from notafluke.tasks.base import SPLITS, Float32, Task
from notafluke.training.batching import build_seeded, initial_parameters, key_names, refuse_unbatchable, seed_losses
from notafluke.training.data import SeedData, load_seeds
from notafluke.training.forward import State, series_outputs, window_outputs
from notafluke.training.recipe import OptimizerBuilder, Recipe
from notafluke.training.results import BlockResults, EpochSummary, SeedResult
from notafluke.training.samples import Batch
from notafluke.training.sampling import continuations

SECONDS_OF_SILENCE = 30.0
log = logging.getLogger(__name__)


class Observer(Protocol):
    """Somebody who wants to see the metrics while a block trains."""

    def started(self, history: Mapping[int, Sequence[Mapping[str, float]]], since: str) -> None:
        """Called before the first step, with the epochs of each seed that a checkpoint has brought back.

        ``since`` is when the block first started, as it is recorded.
        """

    def epoch_finished(self, epoch: int, metrics: Mapping[int, Mapping[str, float]]) -> None:
        """Called after each epoch with the metrics of each seed that is still training."""


class Checkpoint(Protocol):
    """Where the state of a block is kept, so that its training can go on after an interruption."""

    def read(self) -> Mapping[str, Any] | None:
        """What was kept last; None where there is nothing."""

    def is_due(self) -> bool:
        """Whether it is time to keep the state, in the middle of an epoch too."""

    def write(self, state: Mapping[str, Any]) -> None:
        """Keep a state: tensors, plain values, and lists and mappings of them."""


class TimeLimitReached(Exception):
    """The block has trained for as long as it may."""


@dataclass(frozen=True)
class Learned:
    """What one step of the optimizer has seen of each seed.

    ``losses`` [S]; ``gradient_norms`` [parameters, S], before the gradient rule; ``state`` after the batch, where it is
    carried.
    """

    losses: Tensor
    gradient_norms: Tensor
    state: State | None


@dataclass
class LookAhead:
    """How far a block has learned on from the end of an epoch, through validation and test, to forget it again.

    ``weights`` and ``memory`` are those to go back to. ``parts`` are the predictions [S, samples, ..., O] of the split
    so far, ``validation`` those of the split before, ``improved`` the positions that are best so far, ``alive`` [S]
    before the test split.
    """

    weights: list[Tensor]
    memory: list[dict[str, Any]]
    state: State | None
    split: str = "validation"
    step: int = 0
    parts: list[Tensor] = field(default_factory=list)
    validation: Tensor | None = None
    improved: list[int] = field(default_factory=list)
    alive: Tensor | None = None

    def predictions(self) -> Tensor:
        """Predictions [S, N, ..., O] of the whole split."""
        return torch.cat(self.parts, dim=1)

    def begin_test(self, improved: list[int], alive: Tensor) -> None:
        """Go on to the test split."""
        self.validation, self.improved, self.alive = self.predictions(), improved, alive.clone()
        self.split, self.step, self.parts = "test", 0, []


@dataclass(frozen=True)
class Share:
    """The seeds of a block that one optimizer moves: their rows of the stacked parameters, which share its memory."""

    build: OptimizerBuilder
    parameters: Sequence[nn.Parameter]
    rows: slice

    def set_gradients(self, gradients: Mapping[str, Tensor]) -> None:
        """Give every parameter its rows of the stacked gradients, which come in the order of the parameters."""
        for parameter, gradient in zip(self.parameters, gradients.values(), strict=True):
            parameter.grad = gradient[self.rows]


class SeedBlock(pl.LightningModule):
    """A block of seeds of one cell: S models, batched. It steps its optimizer itself, after training too."""

    def __init__(
        self,
        recipe: Recipe,
        task: Task,
        seeds: Sequence[int],
        replica: int,
        device: torch.device,
        observer: Observer | None = None,
        tested: bool = True,
        optimizers: Sequence[tuple[OptimizerBuilder, int]] = (),
        checkpoint: Checkpoint | None = None,
        time_limit: float | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.tested, self.checkpoint, self.time_limit = tested, checkpoint, time_limit
        self.recipe, self.task, self.replica, self.observer = recipe, task, replica, observer
        # An odd block is padded with a copy: one seed alone would use another matrix product than a block does, and an
        # odd number of 16 rows is no multiple of what AVX-512 kernels take in one step.
        self.streams = [*seeds, *seeds[: len(seeds) % 2]]
        loaded = load_seeds(task, self.streams, replica)

        def build() -> nn.Module:
            return recipe.new_model(task, loaded[0])

        template = build_seeded(build, 0)
        refuse_unbatchable(template)
        starts = {seed: initial_parameters(build, seed, replica) for seed in seeds}
        self.names = [name for name, _ in template.named_parameters()]
        self.stacked = nn.ParameterList(
            nn.Parameter(torch.stack([starts[seed][name] for seed in self.streams]).to(device)) for name in self.names
        )
        self.shares = self._shares(optimizers)
        # Held in a list so that Lightning does not take the template's own parameters for trainable ones.
        self.template = [template.to(device)]
        self.key_names = key_names(template)
        self.data = SeedData(task, loaded, device)
        self.alive = torch.ones(len(self.streams), dtype=torch.bool, device=device)
        self.pretraining = recipe.pretraining_epochs > 0
        self.epoch, self.steps_done = 0, 0
        self.carried: State | None = None
        self.look_ahead: LookAhead | None = None
        self.forget_sums()
        self.steps_per_epoch = len(self.batches("train", shuffle=False))
        count = sum(parameter.numel() for parameter in template.parameters())
        own_data = [self.data.of(position) for position in range(len(seeds))]
        self.results = BlockResults(task, own_data, seeds, count)
        self.best = {name: parameter.detach().clone() for name, parameter in self.weights.items()}
        self.online_predictions: dict[int, tuple[Tensor, Tensor]] = {}
        self.progress = ProgressLog()
        self.started = utc_now()
        self.seconds_before, self.began = 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has trained, before interruptions too."""
        return self.seconds_before + time.monotonic() - self.began

    @property
    def finished(self) -> bool:
        """Whether no epoch is left, or no seed to train."""
        return not self.pretraining and (self.epoch >= self.recipe.max_epochs or self.results.over)

    def _shares(self, optimizers: Sequence[tuple[OptimizerBuilder, int]]) -> list[Share]:
        """One share with the recipe's optimizer, or one for each optimizer and its number of seeds, in their order."""
        if not optimizers:
            return [Share(self.recipe.optimizer, list(self.stacked), slice(None))]
        shares, first = list[Share](), 0
        for build, count in optimizers:
            # The last one also moves the copy that pads an odd block.
            rows = slice(first, first + count if len(shares) < len(optimizers) - 1 else None)
            shares.append(Share(build, [nn.Parameter(own.data[rows]) for own in self.stacked], rows))
            first += count
        return shares

    @property
    def weights(self) -> dict[str, Tensor]:
        """Stacked parameters [S, ...] by name."""
        return dict(zip(self.names, self.stacked, strict=True))

    @property
    def epoch_words(self) -> tuple[str, ...]:
        """What tells the random streams of this epoch from those of others."""
        return ("pretraining", str(self.epoch)) if self.pretraining else (str(self.epoch),)

    def batches(self, split: str, shuffle: bool = True) -> list[Batch]:
        """The batches of one pass that learns from a split."""
        samples = self.data.samples(split)

        def shuffled() -> Tensor:
            if not shuffle:
                return torch.arange(samples)[None]
            streams = (generator(seed, self.replica, "batch order", *self.epoch_words) for seed in self.streams)
            return torch.from_numpy(np.stack([stream.permutation(samples) for stream in streams]))

        rule, recipe = self.recipe.state, self.recipe
        found = rule.training_batches(samples, recipe.batch_size, self.data.truncation, recipe.online, shuffled)
        return [batch.to(self.alive.device) for batch in found]

    def train_dataloader(self) -> range:
        """Step numbers: the tensors lie on the device already, a batch is an index into them."""
        return range(self.steps_per_epoch)

    def configure_optimizers(self) -> Any:
        """The optimizer of every share, with its schedule."""
        steps = self.recipe.max_epochs * self.steps_per_epoch
        if self.recipe.pretraining_epochs:
            steps += self.recipe.pretraining_epochs * len(self.batches("earlier", shuffle=False))
        schedulers = [share.build(share.parameters, steps) for share in self.shares]
        return [scheduler.optimizer for scheduler in schedulers], schedulers

    @property
    def own_optimizers(self) -> list[torch.optim.Optimizer]:
        """The optimizer of every share, without what Lightning wraps around it."""
        return _as_list(self.optimizers(use_pl_optimizer=False))

    def advance_schedules(self) -> None:
        """Bring every learning rate to the next step of its schedule."""
        for scheduler in _as_list(self.lr_schedulers()):
            scheduler.step()

    def on_train_start(self) -> None:
        """Go on where an earlier training was interrupted; then to what Lightning's loop over epochs begins with."""
        stored = None if self.checkpoint is None else self.checkpoint.read()
        if stored is not None:
            self.set_state(stored)
            log.info("goes on from its checkpoint: epoch %d, step %d", self.epoch + 1, self.steps_done)
        if self.observer is not None:
            # An epoch that is judged, but still learns on through the test split, is told of when it is finished.
            history = {result.seed: result.history[: self.epoch] for result in self.results.seeds}
            self.observer.started(history, self.started)
        self.pretrain()
        if self.steps_done or self.look_ahead:
            self.epoch_batches = self.batches("train")
            for step in range(self.steps_done, self.steps_per_epoch):
                self.training_step(step)
            self.on_train_epoch_end()
        if self.finished:
            self.trainer.should_stop = True

    def pretrain(self) -> None:
        """Train on the earlier data of the task, where the recipe says so; the optimizer's memory stays."""
        while self.pretraining:
            batches = self.batches("earlier")
            while self.steps_done < len(batches):
                self.carried = self.learn("earlier", self.steps_done, batches[self.steps_done], self.carried).state
                self.advance_schedules()
                self.progress.tell(self.epoch, "pretraining", self.steps_done, len(batches))
                self.steps_done += 1
                self.step_finished()
            for result, alive in zip(self.results.seeds, self.alive.tolist(), strict=False):
                if result.outcome == "ok" and not alive:
                    result.fail("diverged", f"loss not finite in epoch {self.epoch} of the pretraining")
            self.next_epoch()
            if self.epoch == self.recipe.pretraining_epochs:
                self.pretraining, self.epoch = False, 0
            self.keep()

    def next_epoch(self) -> None:
        """Begin an epoch from a fresh state."""
        self.epoch, self.steps_done, self.carried = self.epoch + 1, 0, None
        self.forget_sums()

    def forget_sums(self) -> None:
        """Begin the sums over an epoch's steps."""
        shape = (len(self.names), len(self.streams))
        self.epoch_norms = torch.zeros(shape, dtype=torch.float64, device=self.alive.device)
        self.epoch_loss = torch.zeros_like(self.epoch_norms[0])

    def on_train_epoch_start(self) -> None:
        """Arrange the samples of this epoch."""
        self.epoch_batches = self.batches("train")

    def training_step(self, step: int) -> None:
        """Learn from one batch of every seed."""
        learned = self.learn("train", step, self.epoch_batches[step], self.carried)
        self.advance_schedules()
        self.carried = learned.state
        self.epoch_loss += learned.losses
        self.epoch_norms += learned.gradient_norms
        self.progress.tell(self.epoch, "train", step, self.steps_per_epoch)
        self.steps_done = step + 1
        self.step_finished()

    def step_finished(self) -> None:
        """Keep the state where it is time. Raises TimeLimitReached."""
        if self.time_limit is not None and self.seconds > self.time_limit:
            raise TimeLimitReached
        if self.checkpoint is not None and self.checkpoint.is_due():
            self.keep()

    def keep(self) -> None:
        """Keep the state, where there is a place for it."""
        if self.checkpoint is not None:
            self.checkpoint.write(self.state())

    def state(self) -> dict[str, Any]:
        """All that training has left so far, as tensors and plain values.

        Random numbers leave nothing: every stream is derived anew from seed, purpose, epoch and step.
        """
        return {
            "pretraining": self.pretraining,
            "epoch": self.epoch,
            "step": self.steps_done,
            "carried": self.carried,
            "look_ahead": vars(self.look_ahead) if self.look_ahead else None,
            "weights": [parameter.detach() for parameter in self.stacked],
            "memory": [own.state_dict() for own in self.own_optimizers],
            "schedules": [own.state_dict() for own in _as_list(self.lr_schedulers())],
            "alive": self.alive,
            "best": self.best,
            "epoch_norms": self.epoch_norms,
            "epoch_loss": self.epoch_loss,
            "online_predictions": self.online_predictions,
            "results": self.results.state(),
            "started": self.started,
            "seconds": self.seconds,
        }

    @torch.no_grad()
    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same block."""
        state = moved(state, self.alive.device)
        self.pretraining, self.epoch, self.steps_done = state["pretraining"], state["epoch"], state["step"]
        self.carried = state["carried"]
        self.look_ahead = LookAhead(**state["look_ahead"]) if state["look_ahead"] else None
        self.restore(state["weights"], state["memory"])
        for scheduler, own in zip(_as_list(self.lr_schedulers()), state["schedules"], strict=True):
            scheduler.load_state_dict(own)
        self.alive, self.best = state["alive"], state["best"]
        self.epoch_norms, self.epoch_loss = state["epoch_norms"], state["epoch_loss"]
        self.online_predictions = state["online_predictions"]
        self.results.set_state(state["results"])
        self.started, self.seconds_before = state["started"], state["seconds"]

    def learn(self, split: str, step: int, batch: Batch, state: State | None) -> Learned:
        """One step of the optimizer.

        A seed whose loss is not finite has diverged: from then on it keeps the weights that it had.
        """
        with torch.enable_grad():
            tensors = self.weights | self.keys(split, step)
            outputs, state = self.outputs(tensors, split, batch, state, training=True)
            truth, counted = self.data.truth(split, batch), self.data.counts(split, batch)
            losses = seed_losses(self.recipe.objective, outputs, truth, batch.weights, counted)
            self.alive &= losses.detach().isfinite()
            # The sum keeps each seed's gradient its own.
            total = torch.where(self.alive, losses, 0.0).sum()
            gradients = torch.autograd.grad(total, list(self.stacked), allow_unused=True, materialize_grads=True)
        self.step(dict(zip(self.names, gradients, strict=True)))
        norms = [torch.linalg.vector_norm(own.flatten(1), dim=1, dtype=torch.float64) for own in gradients]
        return Learned(losses.detach(), torch.stack(norms), state)

    @torch.no_grad()
    def step(self, gradients: Mapping[str, Tensor]) -> None:
        """Apply the gradient rule to each model and the optimizer to all; frozen seeds stay as they are."""
        ruled = vmap(self.recipe.gradient_rule)(dict(gradients))
        for share in self.shares:
            share.set_gradients({name: ruled[name] for name in self.names})
        frozen = ~self.alive
        kept = [parameter[frozen] for parameter in self.stacked] if frozen.any() else []
        for optimizer in self.own_optimizers:
            optimizer.step()
        for parameter, values in zip(self.stacked, kept, strict=False):
            parameter[frozen] = values

    def keys(self, split: str, step: int) -> dict[str, Tensor]:
        """The keys [S] that all layers with random numbers draw from at one step."""
        words = (split, *self.epoch_words, str(step))
        return {
            name: torch.tensor([torch_seed(seed, self.replica, "layer", *words, name) for seed in self.streams])
            for name in self.key_names
        }

    def outputs(
        self, tensors: Mapping[str, Tensor], split: str, batch: Batch, state: State | None, *, training: bool
    ) -> tuple[Tensor, State | None]:
        """Outputs [S, B, K, ..., O] of every seed's model for a batch, and the state after it where it is carried."""
        model = self.template[0].train(training)
        if self.recipe.state.carried:
            return series_outputs(model, tensors, self.data, split, batch, state)
        return window_outputs(model, tensors, self.data, split, batch), None

    @torch.no_grad()
    def predictions(
        self, tensors: Mapping[str, Tensor], split: str, batch: Batch, state: State | None
    ) -> tuple[Tensor, State | None]:
        """What the metrics see of a batch, [S, samples, ..., O], and the state after it."""
        outputs, state = self.outputs(tensors, split, batch, state, training=False)
        if self.task.targets_at == "sequence":
            free = window_outputs(self.template[0], tensors, self.data, split, batch, free_running=True)
            outputs = torch.stack([outputs, free], dim=3)
        return batch.samples_of(vmap(self.recipe.output.predictions)(outputs)), state

    @torch.no_grad()
    def predict(self, weights: Mapping[str, Tensor], *wanted: str) -> dict[str, Float32]:
        """Predictions [S, N, ..., O] of the wanted splits with the given stacked weights.

        A state that is carried comes from the beginning of the training split, through every split in between.
        """
        found, state = {}, None
        for split in SPLITS[: 1 + SPLITS.index(wanted[-1])] if self.recipe.state.carried else wanted:
            parts = []
            for batch in self.recipe.state.evaluation_batches(self.data.samples(split)):
                part, state = self.predictions(weights, split, batch.to(self.alive.device), state)
                parts.append(part)
            found[split] = torch.cat(parts, dim=1).cpu().numpy()
        return found

    def predict_and_learn(self, ahead: LookAhead) -> None:
        """Predict each batch of a split before it is learned from.

        The state advances once per step, as the prediction leaves it.
        """
        batches = self.batches(ahead.split)
        while ahead.step < len(batches):
            batch = batches[ahead.step]
            part, after = self.predictions(self.weights, ahead.split, batch, ahead.state)
            self.learn(ahead.split, ahead.step, batch, ahead.state)
            ahead.parts.append(part)
            ahead.state = after
            self.progress.tell(self.epoch, ahead.split, ahead.step, len(batches))
            ahead.step += 1
            self.step_finished()

    def on_train_epoch_end(self) -> None:
        """Validate every seed, keep what was best and tell the observer."""
        if self.recipe.online:
            improved = self.validate_online()
        else:
            improved = self.judge(self.predict(self.weights, "validation")["validation"])
        for name, parameter in self.weights.items():
            self.best[name][improved] = parameter.detach()[improved]
        if self.observer is not None:
            self.observer.epoch_finished(self.epoch, self.results.latest())
        self.next_epoch()
        self.keep()
        if self.finished:
            self.trainer.should_stop = True

    def validate_online(self) -> list[int]:
        """Learn on through validation, and through the test split where a seed is best so far; then forget both.

        The test predictions are kept unscored: the weights that follow on this epoch's validation exist only now.
        """
        if self.look_ahead is None:
            weights = [parameter.detach().clone() for parameter in self.stacked]
            memory = [copy.deepcopy(own.state_dict()) for own in self.own_optimizers]
            self.look_ahead = LookAhead(weights, memory, self.carried)
        ahead = self.look_ahead
        if ahead.split == "validation":
            self.predict_and_learn(ahead)
            ahead.begin_test(self.judge(ahead.predictions().cpu().numpy()), self.alive)
        if ahead.improved and self.tested:
            self.predict_and_learn(ahead)
            self.keep_online_predictions(ahead)
        self.restore(ahead.weights, ahead.memory)
        self.look_ahead = None
        return ahead.improved

    def keep_online_predictions(self, ahead: LookAhead) -> None:
        """Keep what the seeds that are best so far have predicted on their way, of those that did not diverge on it."""
        assert ahead.validation is not None and ahead.alive is not None
        test = ahead.predictions()
        for position in ahead.improved:
            self.online_predictions.pop(position, None)
            if self.alive[position]:
                self.online_predictions[position] = ahead.validation[position], test[position]
        self.alive = ahead.alive

    def judge(self, validation: Float32) -> list[int]:
        """Score this epoch's validation predictions [S, N, ..., O]; the positions of those that are best so far."""
        mean_loss = (self.epoch_loss / self.steps_per_epoch).tolist()
        norms = (self.epoch_norms / self.steps_per_epoch).tolist()
        by_name = dict(zip(self.names, norms, strict=True))
        improved = self.results.judge(EpochSummary(self.epoch, self.alive.tolist(), mean_loss, by_name), validation)
        for position, result in enumerate(self.results.seeds):
            self.alive[position] &= result.outcome == "ok"
        return improved

    @torch.no_grad()
    def restore(self, weights: Sequence[Tensor], memory: Sequence[dict[str, Any]]) -> None:
        """Go back to earlier weights and the optimizers' memory of then."""
        for parameter, value in zip(self.stacked, weights, strict=True):
            parameter.copy_(value)
        for optimizer, own in zip(self.own_optimizers, memory, strict=True):
            optimizer.load_state_dict(own)

    @property
    def where(self) -> str:
        """The epoch that it is in, in words."""
        return f"epoch {self.epoch}" + (" of the pretraining" if self.pretraining else "")

    def end(self, outcome: str, reason: str) -> None:
        """Record how the seeds that still train have ended; what the others have is that of their last epoch."""
        if self.look_ahead is not None:
            self.restore(self.look_ahead.weights, self.look_ahead.memory)
            self.look_ahead = None
        for result in self.results.seeds:
            if result.outcome == "ok":
                result.fail(outcome, reason)

    def finish(self) -> list[SeedResult]:
        """Test every seed with the weights of its best validation epoch, once, and digest its last weights."""
        for position, result in enumerate(self.results.seeds):
            result.started, result.seconds = self.started, self.seconds / len(self.results.seeds)
            # Where the time was over or something failed, is nothing that would come again.
            if result.outcome in ("ok", "diverged"):
                result.weight_digest = weight_digest({name: value[position] for name, value in self.weights.items()})
        if not self.tested:
            return self.results.seeds
        for position, result in enumerate(self.results.seeds):
            result.best_weights = {name: value[position].cpu().numpy() for name, value in self.best.items()}
        if self.recipe.online:
            kept = self.online_predictions.items()
            self.results.test({position: (own[0].cpu().numpy(), own[1].cpu().numpy()) for position, own in kept})
        else:
            splits = self.predict(self.best, "validation", "test")
            self.results.test(dict(enumerate(zip(splits["validation"], splits["test"], strict=True))))
            self.write_samples()
        return self.results.seeds

    def write_samples(self) -> None:
        """Let every network that finished go on from the task's prompts, and keep what it wrote."""
        data = self.data.of(0)
        prompts = self.task.prompts(data)
        if prompts is None or not any(result.outcome == "ok" for result in self.results.seeds):
            return
        generators = [generator(seed, self.replica, "sampling") for seed in self.streams]
        model, output = self.template[0].eval(), vmap(self.recipe.output.predictions)
        written = continuations(model, self.best, prompts, self.task, output, generators)
        for result, own in zip(self.results.seeds, written, strict=False):
            if result.outcome == "ok":
                result.samples = self.task.sample_files(data, prompts, own)


class ProgressLog:
    """Logs how far a long epoch has come, twice a minute."""

    def __init__(self) -> None:
        self.told = time.monotonic()

    def tell(self, epoch: int, split: str, step: int, steps: int) -> None:
        """Say it when it is time."""
        if time.monotonic() - self.told >= SECONDS_OF_SILENCE:
            self.told = time.monotonic()
            log.info("epoch %d, %s: step %d of %d", epoch + 1, split, step + 1, steps)


def weight_digest(weights: Mapping[str, Tensor]) -> str:
    """sha256 over names and bytes of one model's parameters, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def moved(tree: Any, device: torch.device) -> Any:
    """Lists, tuples and mappings with every tensor in them on a device."""
    if isinstance(tree, Tensor):
        return tree.to(device)
    if isinstance(tree, Mapping):
        return {key: moved(value, device) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(moved(value, device) for value in tree)
    return tree


def _as_list(found: Any) -> list[Any]:
    """What Lightning gives as one where there is one, and as a list where there are several."""
    return found if isinstance(found, list) else [found]
