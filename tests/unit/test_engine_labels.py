"""Labels with padded steps, earlier data and samples, each against a plain PyTorch loop or by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import Tensor, nn

from notafluke import components
from notafluke.configuration import compose_run
from notafluke.errors import ComponentError, UsageError
from notafluke.nn.activations import tanh
from notafluke.streams import generator
from notafluke.tasks.base import Baseline, Float32, Float64, Kind, Metric, Prompts, Split, TargetsAt, Task, TaskData
from notafluke.tasks.contract import require_contract
from notafluke.training.batching import initial_parameters, seed_losses
from notafluke.training.dry_pass import dry_pass
from notafluke.training.engine import train_block
from notafluke.training.recipe import Recipe
from notafluke.training.results import SeedResult

CONF = Path(__file__).parents[2] / "conf"
SETTINGS = {
    "task": "adding",
    "output": "bernoulli",
    "model.hidden_size": "5",
    "trainer.batch_size": "4",
    "trainer.max_epochs": "2",
    "optimizer": "sgd",
    "optimizer.lr": "0.1",
    "gradient": "none",
}
KEYS, STEPS = 3, 6


def recipe_of(**overrides: str) -> Recipe:
    run = compose_run(CONF, SETTINGS | {key.replace("__", "."): value for key, value in overrides.items()})
    return components.build_recipe(run.config)


class Keys(Task):
    """Which of three keys sound at the next step; pieces of different length, padded with ones to be noticed."""

    kind: ClassVar[Kind] = "labels"
    targets_at: ClassVar[TargetsAt] = "every"
    primary_metric = "nll"
    metrics = (Metric("nll", "lower", "nats"),)
    varies_with_seed = False
    input_size = KEYS
    output_size = KEYS

    def __init__(self, padding: float = 0.0, earlier: bool = False) -> None:
        self.padding, self.earlier = padding, earlier

    def declaration(self) -> dict[str, str]:
        return {"generated": "toy"}

    def check(self) -> None:
        pass

    def split(self, name: str, samples: int) -> Split:
        rng = generator(0, 0, "toy", name)
        frames = (rng.random((samples, STEPS + 1, KEYS)) < 0.4).astype(np.float32)
        lengths = rng.integers(2, STEPS + 1, samples)
        counted = np.arange(STEPS) < lengths[:, None]
        frames[:, 1:][~counted] = self.padding
        return Split(frames[:, :-1].copy(), frames[:, 1:].copy(), None, counted)

    def load(self, seed: int, replica: int) -> TaskData:
        earlier = self.split("earlier", 9) if self.earlier else None
        return TaskData(self.split("train", 10), self.split("validation", 5), self.split("test", 7), earlier=earlier)

    def validation_metrics(self, data: TaskData, predictions: Float32) -> dict[str, float]:
        return self.scores(data.validation, predictions)

    def test_metrics(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, float]:
        return self.scores(data.test, predictions)

    def scores(self, split: Split, logits: Float32) -> dict[str, float]:
        assert split.counted is not None
        logits, truth = logits[split.counted].astype(np.float64), split.numbers[split.counted]
        return {"nll": float((np.logaddexp(0, logits) - truth * logits).sum(axis=1).mean())}

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        return ()

    def by_sample(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, Float64]:
        assert validation_predictions.shape == data.validation.targets.shape
        return {"largest_logit": predictions.astype(np.float64).max(axis=(1, 2))}


class WritingKeys(Keys):
    """Goes on from two beginnings."""

    def prompts(self, data: TaskData) -> Prompts:
        return Prompts(data.test.inputs[:2, :3], steps=4)

    def next_inputs(self, predictions: Float32, rng: np.random.Generator) -> Float32:
        assert predictions.shape == (2, KEYS)
        return (rng.random(predictions.shape) < expit(predictions.astype(np.float64))).astype(np.float32)

    def sample_files(self, data: TaskData, prompts: Prompts, continuations: Float32) -> dict[str, bytes]:
        assert continuations.shape == (2, 4, KEYS)
        return {"keys.bin": continuations.tobytes()}


def train(recipe: Recipe, task: Task, seeds: Sequence[int]) -> dict[int, SeedResult]:
    return {result.seed: result for result in train_block(recipe, task, seeds, 0)}


def plain_loop(recipe: Recipe, data: TaskData, seed: int, epochs: Sequence[tuple[str, tuple[str, ...]]]) -> nn.Module:
    """One model trained without any of the engine: padded steps are cut out of outputs and targets beforehand."""
    model = recipe.build_model(KEYS, KEYS)
    model.load_state_dict(initial_parameters(lambda: model, seed, 0))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for name, words in epochs:
        split: Split = getattr(data, name)
        assert split.counted is not None
        inputs, targets = torch.from_numpy(split.inputs), torch.from_numpy(split.numbers)
        counted = torch.from_numpy(split.counted)
        order = generator(seed, 0, "batch order", *words).permutation(len(inputs))
        for start in range(0, len(inputs), recipe.batch_size):
            rows = torch.from_numpy(order[start : start + recipe.batch_size])
            logits, truth = model(inputs[rows])[counted[rows]], targets[rows][counted[rows]]
            each = nn.functional.binary_cross_entropy(logits.sigmoid(), truth, reduction="none").sum(-1)
            optimizer.zero_grad()
            each.mean().backward()
            optimizer.step()
    return model


def logits_of(model: nn.Module, inputs: Float32) -> Any:
    with torch.no_grad():
        return model(torch.from_numpy(inputs)).numpy()


class TestPadding:
    def test_agrees_with_a_plain_loop_over_the_counted_steps(self) -> None:
        recipe, task = recipe_of(), Keys()
        data = task.load(0, 0)
        results = train(recipe, task, [3, 1, 8])
        for seed in (3, 8):
            model = plain_loop(recipe, data, seed, [("train", ("0",)), ("train", ("1",))])
            assert results[seed].best_epoch == 1
            np.testing.assert_allclose(results[seed].predictions, logits_of(model, data.test.inputs), atol=1e-5)

    @pytest.mark.parametrize("output_loss", [{}, {"loss": "mse"}])
    def test_what_stands_in_the_padding_does_not_matter(self, output_loss: dict[str, str]) -> None:
        """The targets of the padding; its inputs come after all that counts."""
        recipe = recipe_of(**output_loss)
        zeros, ones = train(recipe, Keys(0.0), [0, 1]), train(recipe, Keys(1.0), [0, 1])
        for seed in (0, 1):
            assert zeros[seed].weight_digest == ones[seed].weight_digest
            assert zeros[seed].history == ones[seed].history

    def test_bit_for_bit_alone_and_in_blocks(self) -> None:
        recipe, task = recipe_of(model__hidden_size="33", trainer__batch_size="7"), WritingKeys(earlier=True)
        recipe = replace(recipe, pretraining_epochs=1)
        together = train(recipe, task, range(10))
        for seeds in ([4], [4, 2], [9, 0, 4]):
            for seed, result in train(recipe, task, seeds).items():
                assert result.weight_digest == together[seed].weight_digest
                assert result.samples == together[seed].samples
                assert result.history == together[seed].history

    def test_the_mean_over_counted_steps_by_hand(self) -> None:
        outputs = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 2, 1, 2, 1)
        targets = torch.zeros_like(outputs)
        weights = torch.tensor([[0.5], [0.5]])
        counted = torch.tensor([True, False, True, True]).reshape(1, 2, 1, 2)

        def squared(output: Tensor, target: Tensor) -> Tensor:
            return (output - target) ** 2

        assert seed_losses(squared, outputs, targets, weights, counted).tolist() == pytest.approx([(1 + 9 + 16) / 3])

    def test_an_infinite_loss_in_the_padding_reaches_neither_loss_nor_gradient(self) -> None:
        outputs = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2, 1).requires_grad_()
        counted = torch.tensor([True, False]).reshape(1, 1, 1, 2)
        loss = seed_losses(lambda a, b: -torch.log(a) + 0 * b, outputs, outputs.detach(), torch.ones(1, 1), counted)
        assert loss.tolist() == [0.0]


class TestEarlierData:
    def test_agrees_with_a_plain_loop(self) -> None:
        recipe, task = replace(recipe_of(), pretraining_epochs=2), Keys(earlier=True)
        data = task.load(0, 0)
        phases = [("earlier", ("pretraining", "0")), ("earlier", ("pretraining", "1")), ("train", ("0",))]
        result = train(recipe, task, [5, 6])[5]
        model = plain_loop(recipe, data, 5, [*phases, ("train", ("1",))])
        np.testing.assert_allclose(result.predictions, logits_of(model, data.test.inputs), atol=1e-5)
        assert [row for row in result.history] == result.history and len(result.history) == 2

    def test_none_is_as_if_there_were_no_earlier_data(self) -> None:
        digests = {train(recipe_of(), Keys(earlier=own), [0])[0].weight_digest for own in (True, False)}
        assert len(digests) == 1

    def test_a_seed_can_diverge_in_it(self) -> None:
        recipe = replace(recipe_of(), pretraining_epochs=1, loss=lambda a, b: (a - b) * torch.inf)
        result = train(recipe, Keys(earlier=True), [0])[0]
        assert (result.outcome, result.reason) == ("diverged", "loss not finite in epoch 0 of the pretraining")

    def test_needs_earlier_data(self) -> None:
        with pytest.raises(UsageError, match=r"trainer\.pretraining_epochs=1: the task has no earlier data"):
            dry_pass(replace(recipe_of(), pretraining_epochs=1), Keys(), tanh)


class NoState(nn.Module):
    """Sees the sum of the steps so far, and has no state to carry."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(KEYS, KEYS)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.head(inputs.cumsum(1))
        return outputs


class TestSamples:
    @pytest.mark.parametrize("model", ["lstm", "tcn", "without state"])
    def test_step_by_step_with_the_plain_model(self, model: str) -> None:
        """A model with a state reads all that it has written, another as many steps as the prompt has."""
        recipe = recipe_of(model=model if model != "without state" else "lstm", activation="relu")
        if model == "without state":
            recipe = replace(recipe, build_model=lambda *_: NoState())
        task = WritingKeys()
        data = task.load(0, 0)
        result = train(recipe, task, [2, 5])[2]
        plain = plain_loop(recipe, data, 2, [("train", ("0",)), ("train", ("1",))])
        rng, inputs, written = generator(2, 0, "sampling"), data.test.inputs[:2, :3], []
        for _ in range(4):
            seen = inputs[:, -3:] if model == "without state" else inputs
            written.append(task.next_inputs(logits_of(plain, seen)[:, -1], rng))
            inputs = np.concatenate([inputs, written[-1][:, None]], axis=1)
        assert result.best_epoch == 1
        assert result.samples == {"keys.bin": np.stack(written, axis=1).tobytes()}

    def test_no_prompts_no_samples(self) -> None:
        assert train(recipe_of(), Keys(), [0])[0].samples == {}


def test_series_over_the_test_samples() -> None:
    result = train(recipe_of(), Keys(), [0])[0]
    assert result.predictions is not None
    np.testing.assert_array_equal(result.series["largest_logit"], result.predictions.max(axis=(1, 2)))


class TestContract:
    def test_holds(self) -> None:
        require_contract(Keys(earlier=True), Keys(earlier=True).load(0, 0))
        dry_pass(recipe_of(), Keys(), tanh)

    def test_labels_are_zero_or_one(self) -> None:
        with pytest.raises(ComponentError, match="train split: labels are not all 0 or 1"):
            require_contract(Keys(padding=0.5), Keys(padding=0.5).load(0, 0))

    def test_what_is_written_and_judged_at_the_end_is_tried_before(self) -> None:
        class Wide(WritingKeys):
            def next_inputs(self, predictions: Float32, rng: np.random.Generator) -> Float32:
                return np.zeros((2, KEYS + 1), np.float32)

        class Flat(WritingKeys):
            def prompts(self, data: TaskData) -> Prompts:
                return Prompts(data.test.inputs[:2, 0], steps=4)

        class Short(Keys):
            def by_sample(self, *data: Any) -> dict[str, Float64]:
                return {"gain": np.zeros(3)}

        require_contract(WritingKeys(), WritingKeys().load(0, 0))
        for task, message in (
            (Wide(), r"next_inputs returns \(2, 4\) in float32, not \(2, 3\)"),
            (Flat(), r"prompts: inputs are \(2, 3\) in float32, not \[prompts, steps, 3\]"),
            (Short(), r"by_sample: gain has \(3,\) in float64, not one float64 for each test sample"),
        ):
            with pytest.raises(ComponentError, match=message):
                require_contract(task, task.load(0, 0))

    def test_an_output_for_classes_does_not_fit(self) -> None:
        with pytest.raises(ComponentError, match="is for classes, but the task predicts labels: try output=bernoulli"):
            dry_pass(recipe_of(output="softmax_cce"), Keys(), tanh)

    def test_a_sample_without_a_step_that_counts(self) -> None:
        inputs = np.zeros((2, 3, 1), np.float32)
        counted = np.array([[True, True, False], [False, False, False]])
        with pytest.raises(ValueError, match="one that counts in each"):
            Split(inputs, inputs, None, counted)
