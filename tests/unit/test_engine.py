"""The seed-batched engine: to the last bit the same alone and together, and the same as a plain PyTorch loop."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from notafluke import components
from notafluke.configuration import compose_run, options
from notafluke.errors import ComponentError
from notafluke.streams import generator
from notafluke.tasks.adding import Adding
from notafluke.tasks.base import Baseline, Float32, Metric, Split, Task, TaskData, mean_squared_error
from notafluke.training.batching import initial_parameters
from notafluke.training.engine import train_block
from notafluke.training.history import GRADIENT_NORM
from notafluke.training.recipe import Recipe
from notafluke.training.results import SeedResult

CONF = Path(__file__).parents[2] / "conf"
# Hidden 33 and batch 7: no multiple of any vector width. 40 rows: the last batch has 5.
AWKWARD = {"task": "adding", "model.hidden_size": "33", "trainer.batch_size": "7", "trainer.max_epochs": "2"}


def small_adding() -> Adding:
    return Adding(length=5, train_size=40, validation_size=21, test_size=23)


def recipe_of(**overrides: str) -> Recipe:
    run = compose_run(CONF, AWKWARD | {key.replace("__", "."): value for key, value in overrides.items()})
    return components.build_recipe(run.config)


class Watcher:
    """Keeps what an observer is told."""

    def __init__(self, at_epoch: Callable[[], None] = lambda: None) -> None:
        self.epochs: list[tuple[int, dict[int, dict[str, float]]]] = []
        self.at_epoch = at_epoch
        self.earlier: dict[int, list[dict[str, float]]] = {}

    def started(self, history: Mapping[int, Sequence[Mapping[str, float]]], since: str) -> None:
        self.earlier = {seed: [dict(row) for row in own] for seed, own in history.items()}

    def epoch_finished(self, epoch: int, metrics: Mapping[int, Mapping[str, float]]) -> None:
        self.at_epoch()
        self.epochs.append((epoch, {seed: dict(own) for seed, own in metrics.items()}))


def train(recipe: Recipe, task: Task, seeds: Sequence[int], replica: int = 0) -> dict[int, SeedResult]:
    results = train_block(recipe, task, seeds, replica, observer=Watcher())
    assert [result.seed for result in results] == list(seeds)
    return {result.seed: result for result in results}


def fingerprint(result: SeedResult) -> tuple[Any, ...]:
    """All that a run leaves, to the last bit (NaN equal to NaN)."""
    predictions = None if result.predictions is None else result.predictions.tobytes()
    numbers = (result.history, result.validation_metrics, result.test_metrics)
    ends = (result.outcome, result.reason, result.last_epoch, result.best_epoch, result.parameters)
    return result.weight_digest, predictions, repr(numbers), ends


def assert_same(found: Mapping[int, SeedResult], expected: Mapping[int, SeedResult]) -> None:
    for seed, result in found.items():
        assert fingerprint(result) == fingerprint(expected[seed]), f"seed {seed}"


COMBINATIONS = [
    *({"model": "rnn", "activation": name} for name in options(CONF, "activation")),
    *({"model": model, "optimizer": name} for model in ("rnn", "lstm") for name in ("rmsprop", "sgd")),
    *(
        {"model": model, "model__layer_norm": "true", "model__dropout": "0.3", "model__depth": "2"}
        for model in ("rnn", "gru", "lstm", "lstm_lite", "lstm_dense_residual", "mlp")
    ),
    {"model": "tcn", "model__dropout": "0.3", "model__depth": "2", "activation": "relu"},
    {"model": "mlp", "model__depth": "0"},
    {"optimizer": "sgd", "optimizer__momentum": "0.9", "optimizer__schedule": "cosine", "gradient": "scale_norm"},
    {"model__depth": "2", "activation": "iris", "optimizer__schedule": "linear"},
    {"trainer__batch_size": "64"},
    {"trainer__batch_size": "1", "model__hidden_size": "5", "trainer__max_epochs": "1"},
]


class TestBitForBit:
    @pytest.mark.parametrize("choice", COMBINATIONS, ids=lambda choice: ",".join(choice.values()))
    def test_alone_in_blocks_of_any_width_and_in_any_order(self, choice: dict[str, str]) -> None:
        recipe, task = recipe_of(**choice), small_adding()
        ten = train(recipe, task, range(10))
        assert {result.outcome for result in ten.values()} == {"ok"}
        assert len({result.weight_digest for result in ten.values()}) == 10
        assert_same(train(recipe, task, [3]), ten)
        assert_same(train(recipe, task, [8, 3]), ten)
        assert_same(train(recipe, task, [9, 0, 3]), ten)

    def test_in_the_opposite_order(self) -> None:
        recipe, task = recipe_of(), small_adding()
        assert_same(train(recipe, task, range(9, -1, -1)), train(recipe, task, range(10)))

    def test_replicas_differ(self) -> None:
        recipe = recipe_of()
        digests = {train(recipe, small_adding(), [3], replica)[3].weight_digest for replica in (0, 1, 2)}
        assert len(digests) == 3

    def test_the_state_of_global_generators_does_not_matter(self) -> None:
        expected = train(recipe_of(), small_adding(), [3])
        torch.manual_seed(99)
        np.random.seed(99)
        torch.rand(1000)
        assert_same(train(recipe_of(), small_adding(), [3]), expected)

    def test_in_another_process(self) -> None:
        """Another process, hash seed and block: the same weights and predictions."""
        code = """
            import hashlib, json, sys
            from notafluke.training.determinism import pin_environment
            pin_environment()
            from notafluke import components
            from notafluke.configuration import compose_run
            from pathlib import Path
            from notafluke.tasks.adding import Adding
            from notafluke.training.engine import train_block

            found = {}
            for model in ("rnn", "lstm"):
                run = compose_run(Path(sys.argv[1]), {**json.loads(sys.argv[2]), "model": model, "activation": "iris"})
                task = Adding(length=5, train_size=40, validation_size=21, test_size=23)
                for result in train_block(components.build_recipe(run.config), task, [5, 2, 4], 0):
                    predictions = hashlib.sha256(result.predictions.tobytes()).hexdigest()
                    found[f"{model} {result.seed}"] = [result.weight_digest, predictions, repr(result.history)]
            print(json.dumps(found))
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), str(CONF), json.dumps(AWKWARD)],
            env={**os.environ, "PYTHONHASHSEED": "77"},
            capture_output=True,
            text=True,
            check=True,
        )
        expected = {}
        for model in ("rnn", "lstm"):
            for seed, result in train(recipe_of(model=model, activation="iris"), small_adding(), [2, 4, 5]).items():
                assert result.predictions is not None
                digest = hashlib.sha256(result.predictions.tobytes()).hexdigest()
                expected[f"{model} {seed}"] = [result.weight_digest, digest, repr(result.history)]
        assert json.loads(done.stdout.splitlines()[-1]) == expected

    def test_a_plain_model_without_a_start_of_its_own(self) -> None:
        """nn.Linear draws its bias from PyTorch's global generator, which is no stream of the run."""

        def build(input_size: int, output_size: int) -> nn.Module:
            return nn.Sequential(nn.Flatten(), nn.Linear(5 * input_size, output_size))

        recipe = recipe_of()
        plain = replace(recipe, build_model=build, max_epochs=1)
        torch.manual_seed(1)
        first = train(plain, small_adding(), [0])
        torch.manual_seed(2)
        assert_same(train(plain, small_adding(), [0]), first)


def plain_loop(
    recipe: Recipe, task: Task, seed: int, optimizer_of: Callable[[list[Tensor]], torch.optim.Optimizer], linear: bool
) -> tuple[list[float], list[float], float, dict[str, Tensor]]:
    """One model, trained as any PyTorch tutorial does: mean train loss and validation MSE by epoch, test MSE, weights.

    Clips to a norm of 1; the learning rate goes linearly to 0 or stays.
    """
    data = task.load(seed, 0)
    model = recipe.build_model(task.input_size, task.output_size)
    model.load_state_dict(initial_parameters(lambda: model, seed, 0))
    optimizer = optimizer_of(list(model.parameters()))
    base = optimizer.param_groups[0]["lr"]
    inputs, targets = torch.from_numpy(data.train.inputs), torch.from_numpy(data.train.targets)
    total = recipe.max_epochs * -(-len(inputs) // recipe.batch_size)
    train_loss, validation, test, step = [], [], [], 0
    for epoch in range(recipe.max_epochs):
        order = generator(seed, 0, "batch order", str(epoch)).permutation(len(inputs))
        batch_losses = []
        for start in range(0, len(inputs), recipe.batch_size):
            rows = torch.from_numpy(order[start : start + recipe.batch_size])
            for group in optimizer.param_groups:
                group["lr"] = base * (1 - step / total) if linear else base
            optimizer.zero_grad()
            loss = recipe.objective(model(inputs[rows])[:, -1], targets[rows]).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            batch_losses.append(loss.item())
            step += 1
        train_loss.append(float(np.mean(batch_losses)))
        with torch.no_grad():
            for split, scores in ((data.validation, validation), (data.test, test)):
                error = model(torch.from_numpy(split.inputs))[:, -1].numpy() - split.targets
                scores.append(float(np.mean(error.astype(np.float64) ** 2)))
    return train_loss, validation, test[int(np.argmin(validation))], dict(model.named_parameters())


class TestAgainstAPlainLoop:
    @pytest.mark.parametrize(
        ("choice", "optimizer_of"),
        [
            ({"model": "lstm"}, lambda own: torch.optim.Adam(own, lr=0.01)),
            ({"model": "rnn", "activation": "iris", "model__depth": "2"}, lambda own: torch.optim.Adam(own, lr=0.01)),
            ({"model": "lstm", "optimizer__schedule": "linear"}, lambda own: torch.optim.Adam(own, lr=0.01)),
            ({"model": "rnn", "optimizer": "sgd", "loss": "mse"}, lambda own: torch.optim.SGD(own, lr=0.1)),
            (
                {"optimizer": "sgd", "optimizer__momentum": "0.9", "optimizer__schedule": "linear"},
                lambda own: torch.optim.SGD(own, lr=0.1, momentum=0.9),
            ),
            ({"optimizer": "rmsprop", "loss": "exp_or_log"}, lambda own: torch.optim.RMSprop(own, lr=0.01, alpha=0.99)),
        ],
        ids=["lstm", "rnn-iris-deep", "linear", "sgd", "momentum-linear", "rmsprop"],
    )
    def test_agrees(
        self, choice: dict[str, str], optimizer_of: Callable[[list[Tensor]], torch.optim.Optimizer]
    ) -> None:
        """The last batch is ragged here: padding counted as data would show at once."""
        recipe, task = recipe_of(trainer__max_epochs="4", **choice), small_adding()
        linear = choice.get("optimizer__schedule") == "linear"
        together = train(recipe, task, [6, 2, 7])
        for seed in (2, 7):
            train_loss, validation, test, _ = plain_loop(recipe, task, seed, optimizer_of, linear)
            result = together[seed]
            assert [row["train_loss"] for row in result.history] == pytest.approx(train_loss, rel=1e-4)
            assert [row["mse"] for row in result.history] == pytest.approx(validation, rel=1e-4)
            assert result.best_epoch == int(np.argmin(validation))
            assert result.test_metrics["mse"] == pytest.approx(test, rel=1e-4)

    def test_weights_after_one_epoch(self) -> None:
        """The digest cannot be compared with a tolerance, but predictions rest on all weights."""
        recipe, task = recipe_of(trainer__max_epochs="1"), small_adding()
        *_, weights = plain_loop(recipe, task, 3, lambda own: torch.optim.Adam(own, lr=0.01), linear=False)
        model = recipe.build_model(2, 1)
        model.load_state_dict(weights)
        with torch.no_grad():
            expected = model(torch.from_numpy(task.load(3, 0).test.inputs))[:, -1].numpy()
        np.testing.assert_allclose(train(recipe, task, [3, 4])[3].predictions, expected, rtol=1e-4, atol=1e-5)


class OneRowCounts(nn.Module):
    """Predicts one learned number whatever the input."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.zeros(1))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.level.expand(inputs.shape[0], 1)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 5, 7, 16, 40])
def test_a_ragged_batch_is_the_mean_over_its_real_rows(batch_size: int) -> None:
    """SGD on (level - target)^2 with step 1/2 sets the level to the mean target of the batch just seen."""
    task = Toy({0: [0.0], 1: [0.0]}, samples=7)
    recipe = replace(
        recipe_of(loss="mse", gradient="none"),
        build_model=lambda *_: OneRowCounts(),
        optimizer=lambda own, steps: torch.optim.lr_scheduler.LambdaLR(torch.optim.SGD(own, lr=0.5), lambda step: 1.0),
        max_epochs=1,
        batch_size=batch_size,
    )
    for seed, result in train(recipe, task, [0, 1]).items():
        targets = task.load(seed, 0).train.targets[:, 0]
        order = generator(seed, 0, "batch order", "0").permutation(7)
        batches = [targets[order[start : start + batch_size]] for start in range(0, 7, batch_size)]
        assert result.predictions is not None
        assert result.predictions[0, 0] == pytest.approx(batches[-1].mean(), rel=1e-5)
        levels = [0.0, *(batch.mean() for batch in batches)]
        losses = [((batch - level) ** 2).mean() for batch, level in zip(batches, levels, strict=False)]
        assert result.history[0]["train_loss"] == pytest.approx(np.mean(losses), rel=1e-5)


@dataclass(frozen=True, eq=False)
class ToyData(TaskData):
    seed: int


class Toy(Task):
    """Linear data; the validation metrics of each seed follow a script, and every use of the test split is counted."""

    primary_metric = "score"
    varies_with_seed = True
    input_size = 2
    output_size = 1

    def __init__(
        self,
        script: Mapping[int, Sequence[float]],
        direction: Literal["lower", "higher"] = "lower",
        samples: int = 20,
        change: Callable[[int, Split, str], Split] = lambda seed, split, name: split,
    ) -> None:
        self.script, self.samples, self.change = script, samples, change
        self.metrics = (Metric("score", direction), Metric("mse", "lower"))
        self.validated: dict[int, int] = dict.fromkeys(script, 0)
        self.tested: dict[int, int] = dict.fromkeys(script, 0)

    def declaration(self) -> dict[str, str]:
        return {"generated": "toy"}

    def check(self) -> None:
        pass

    def load(self, seed: int, replica: int) -> ToyData:
        parts = {}
        for name in ("train", "validation", "test"):
            inputs = generator(seed, replica, "toy", name).standard_normal((self.samples, 3, 2)).astype(np.float32)
            split = Split(inputs, inputs.sum(axis=(1, 2))[:, None] * np.float32(0.3))
            parts[name] = self.change(seed, split, name)
        return ToyData(**parts, seed=seed)

    def validation_metrics(self, data: TaskData, predictions: Float32) -> dict[str, float]:
        assert isinstance(data, ToyData)
        script = self.script[data.seed]
        score = script[self.validated[data.seed] % len(script)]
        self.validated[data.seed] += 1
        return {"score": score, "mse": mean_squared_error(predictions, data.validation.targets)}

    def test_metrics(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, float]:
        assert isinstance(data, ToyData)
        self.tested[data.seed] += 1
        validation = mean_squared_error(validation_predictions, data.validation.targets)
        return {"score": validation, "mse": mean_squared_error(predictions, data.test.targets)}

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        return ()


NAN, INF = float("nan"), float("inf")
SCRIPTS = {
    0: [5.0, 3.0, 4.0, 3.0, 6.0],
    1: [1.0, 2.0, 3.0, 4.0, 5.0],
    2: [5.0, 4.0, 3.0, 2.0, 1.0],
    3: [NAN, 2.0, NAN, 1.5, 7.0],
    4: [2.0, 2.0, 2.0, 2.0, 2.0],
}


class TestBestEpoch:
    @pytest.mark.parametrize(("direction", "choose"), [("lower", np.nanargmin), ("higher", np.nanargmax)])
    def test_is_the_first_best_by_the_primary_metric(
        self, direction: Literal["lower", "higher"], choose: Callable[[Any], Any]
    ) -> None:
        task = Toy(SCRIPTS, direction)
        results = train(recipe_of(trainer__max_epochs="5"), task, list(SCRIPTS))
        for seed, result in results.items():
            best = int(choose(SCRIPTS[seed]))
            assert result.best_epoch == best
            assert result.validation_metrics["score"] == SCRIPTS[seed][best]
            assert result.last_epoch == 4
            np.testing.assert_equal([row["score"] for row in result.history], SCRIPTS[seed])

    def test_its_weights_are_tested_and_the_last_weights_digested(self) -> None:
        """A training that ends at the best epoch has the same predictions; only a full one has the same digest."""
        full = train(recipe_of(trainer__max_epochs="5"), Toy(SCRIPTS), list(SCRIPTS))
        for seed, result in full.items():
            # Equal scores keep the first epoch, so the short training's script falls with every epoch.
            falling = Toy({seed: [9.0 - epoch for epoch in range(5)]})
            short = train(recipe_of(trainer__max_epochs=str(result.best_epoch + 1)), falling, [seed])
            assert np.array_equal(short[seed].predictions, result.predictions)
            assert short[seed].test_metrics == result.test_metrics
            assert (short[seed].weight_digest == result.weight_digest) == (result.best_epoch == 4)

    def test_the_test_split_is_scored_once_at_the_end(self) -> None:
        task = Toy(SCRIPTS)
        seen: list[int] = []
        watcher = Watcher(lambda: seen.append(sum(task.tested.values())))
        train_block(recipe_of(trainer__max_epochs="5"), task, list(SCRIPTS), 0, observer=watcher)
        assert seen == [0] * 5
        assert task.tested == dict.fromkeys(SCRIPTS, 1)
        assert task.validated == dict.fromkeys(SCRIPTS, 5)

    def test_also_for_a_seed_alone(self) -> None:
        task = Toy({7: [1.0]})
        train(recipe_of(), task, [7])
        assert task.tested == {7: 1} and task.validated == {7: 2}

    def test_the_observer_sees_validation_metrics_of_every_seed_and_epoch(self) -> None:
        watcher = Watcher()
        results = train_block(recipe_of(trainer__max_epochs="3"), Toy(SCRIPTS), [4, 1], 0, observer=watcher)
        assert [epoch for epoch, _ in watcher.epochs] == [0, 1, 2]
        for epoch, metrics in watcher.epochs:
            assert metrics == {result.seed: result.history[epoch] for result in results}
            for own in metrics.values():
                assert list(own)[:3] == ["train_loss", "score", "mse"]
                assert list(own)[3:] and all(name.startswith(GRADIENT_NORM) for name in list(own)[3:])

    @pytest.mark.parametrize("never", [NAN, INF])
    def test_a_seed_that_never_has_a_best_epoch_is_not_ok(self, never: float) -> None:
        """Its starting weights must not be tested and counted as a result."""
        results = train(recipe_of(), Toy({0: [1.0], 1: [never]}), [0, 1])
        assert results[0].outcome == "ok"
        assert results[1].outcome != "ok" and results[1].test_metrics == {}


def explode(bad: int, factor: float) -> Callable[[int, Split, str], Split]:
    """Inputs so large for one seed that plain SGD runs away on it."""

    def change(seed: int, split: Split, name: str) -> Split:
        return Split(split.inputs, split.targets * np.float32(factor)) if seed == bad and name == "train" else split

    return change


class Linear(nn.Module):
    """A linear model that starts as a recurrent network does: from the streams."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, width))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.flatten(1) @ self.weight.T


def scaled_inputs(bad: int, factor: float) -> Callable[[int, Split, str], Split]:
    def change(seed: int, split: Split, name: str) -> Split:
        return Split(split.inputs * np.float32(factor), split.targets) if seed == bad else split

    return change


class TestDiverged:
    """Seed 2 runs away; seeds 1, 5 and 8 do not."""

    SEEDS = (5, 2, 1, 8)
    SCRIPT: ClassVar = {seed: (3.0, 2.0, 1.0, 0.5, 0.4, 0.3) for seed in (5, 2, 1, 8)}

    def recipe(self, epochs: int, optimizer: str = "sgd") -> Recipe:
        base = recipe_of(optimizer=optimizer, loss="mse", gradient="none", trainer__batch_size="6")
        slow = functools.partial(base.optimizer, lr=0.05)
        return replace(base, build_model=lambda *_: Linear(6), optimizer=slow, max_epochs=epochs)

    def task(self) -> Toy:
        return Toy(self.SCRIPT, change=scaled_inputs(2, 12.0))

    def test_is_recorded_with_reason_and_epoch(self) -> None:
        results = train(self.recipe(6), self.task(), self.SEEDS)
        bad = results.pop(2)
        assert bad.outcome == "diverged"
        assert 0 < bad.last_epoch < 5, "the test wants a divergence in the midst of training"
        assert bad.reason == f"loss not finite in epoch {bad.last_epoch}"
        assert len(bad.history) == bad.last_epoch
        assert bad.test_metrics == {} and bad.predictions is None
        for result in results.values():
            assert result.outcome == "ok" and result.reason == "" and len(result.history) == 6

    def test_does_not_touch_the_others(self) -> None:
        together = train(self.recipe(6), self.task(), self.SEEDS)
        healthy = train(self.recipe(6), self.task(), [1, 5, 8])
        assert_same(healthy, together)
        for seed in self.SEEDS:
            assert_same(train(self.recipe(6), self.task(), [seed]), together)

    def test_keeps_its_weights_from_then_on(self) -> None:
        together = train(self.recipe(6), self.task(), self.SEEDS)[2]
        until_then = train(self.recipe(together.last_epoch + 1), self.task(), self.SEEDS)[2]
        assert until_then.weight_digest == together.weight_digest
        assert until_then.outcome == "diverged"

    @pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
    def test_from_the_first_batch_with_every_optimizer(self, optimizer: str) -> None:
        """An infinite loss at once: the weights stay where they started, whatever the optimizer remembers."""
        task = Toy(self.SCRIPT, change=explode(2, 1e30))
        recipe = self.recipe(3, optimizer)
        together = train(recipe, task, self.SEEDS)
        assert (together[2].outcome, together[2].last_epoch) == ("diverged", 0)
        assert together[2].history == []
        start = initial_parameters(lambda: Linear(6), 2, 0)["weight"]
        assert together[2].weight_digest == hashlib.sha256(b"weight" + start.numpy().tobytes()).hexdigest()
        assert_same(train(recipe, Toy(self.SCRIPT), [1, 5, 8]), together)

    def test_predictions_that_are_not_finite(self) -> None:
        def change(seed: int, split: Split, name: str) -> Split:
            bad = seed == 2 and name == "validation"
            return Split(split.inputs * np.float32("nan"), split.targets) if bad else split

        results = train(self.recipe(3), Toy(self.SCRIPT, change=change), self.SEEDS)
        assert results[2].outcome == "diverged"
        assert results[2].reason == "predictions not finite in epoch 0"
        assert_same(train(self.recipe(3), Toy(self.SCRIPT), [1, 5, 8]), results)

    def test_is_not_shown_to_the_observer_any_more(self) -> None:
        watcher = Watcher()
        results = train_block(self.recipe(6), self.task(), self.SEEDS, 0, observer=watcher)
        last = {result.seed: result.last_epoch for result in results}[2]
        assert [2 in metrics for _, metrics in watcher.epochs] == [epoch < last for epoch in range(6)]

    def test_training_stops_when_none_is_left(self) -> None:
        watcher = Watcher()
        task = Toy(self.SCRIPT, change=explode(2, 1e30))
        results = train_block(self.recipe(6), task, [2], 0, observer=watcher)
        assert watcher.epochs == [(0, {})]
        assert results[0].outcome == "diverged" and task.tested[2] == 0


class Wrapped(nn.Module):
    """A model that hides a module somewhere inside."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict({"hidden": nn.Sequential(nn.Linear(2, 2), inner)})

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs[:, -1, :1]


@pytest.mark.parametrize(
    "module",
    [
        nn.LSTM(2, 3),
        nn.GRU(2, 3),
        nn.RNN(2, 3),
        nn.LSTMCell(2, 3),
        nn.GRUCell(2, 3),
        nn.Dropout(0.1),
        nn.Dropout2d(0.1),
        nn.AlphaDropout(0.1),
        nn.BatchNorm1d(2),
        nn.SyncBatchNorm(2),
    ],
    ids=lambda module: type(module).__name__,
)
def test_what_cannot_be_batched_is_refused_by_name(module: nn.Module) -> None:
    recipe = recipe_of()
    for model, place in ((Wrapped(module), "blocks.hidden.1"), (module, "the model itself")):
        refused = replace(recipe, build_model=lambda *_, own=model: own)
        with pytest.raises(ComponentError) as caught:
            train(refused, small_adding(), [0])
        assert type(module).__name__ in str(caught.value) and place in str(caught.value)


class SecretDropout(nn.Module):
    """Random numbers that no module shows."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Parameter(torch.ones(1))

    def forward(self, inputs: Tensor) -> Tensor:
        return nn.functional.dropout(inputs[:, -1, :1] * self.head, 0.5, training=True)


def test_random_numbers_in_the_forward_pass_are_refused() -> None:
    """They would depend on the block."""
    recipe = recipe_of()
    secret = replace(recipe, build_model=lambda *_: SecretDropout())
    with pytest.raises(RuntimeError, match="random"):
        train(secret, small_adding(), [0])


def test_the_number_of_parameters_is_that_of_one_model() -> None:
    lstm = 4 * 33 * (2 + 33 + 1) + 33 + 1
    assert {result.parameters for result in train(recipe_of(), small_adding(), [0, 1, 2]).values()} == {lstm}


def test_predictions_have_one_row_a_sample() -> None:
    """Also where the split is longer than what is predicted at once."""
    task = Adding(length=3, train_size=20, validation_size=300, test_size=515)
    recipe = recipe_of(trainer__max_epochs="1")
    result = train(recipe, task, [0])[0]
    assert result.predictions is not None and result.predictions.shape == (515, 1)
    assert result.predictions.dtype == np.float32
    data = task.load(0, 0)
    assert result.test_metrics["mse"] == pytest.approx(
        float(np.mean((result.predictions.astype(np.float64) - data.test.targets) ** 2)), rel=1e-12
    )
