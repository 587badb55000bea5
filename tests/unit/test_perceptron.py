"""The multilayer perceptron: against NumPy and scikit-learn, and what one layer cannot do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from notafluke import components
from notafluke.configuration import compose_run
from notafluke.nn.networks import count_parameters
from notafluke.nn.perceptron import MLP
from notafluke.tasks.base import Baseline, Float32, Metric, Split, Task, TaskData
from notafluke.training.batching import initial_parameters
from notafluke.training.engine import train_block
from notafluke.training.results import SeedResult

CONF = Path(__file__).parents[2] / "conf"


def mlp(**changes: Any) -> MLP:
    options = {"steps": 5, "hidden_size": 4, "depth": 2, "layer_norm": False, "dropout": 0.0} | changes
    return MLP(3, 2, torch.tanh, **options)


def started(model: MLP) -> MLP:
    model.load_state_dict(initial_parameters(lambda: model, 3, 0))
    return model


def by_hand(model: MLP, inputs: Tensor) -> np.ndarray:
    """The same in NumPy, from the parameters alone."""
    own = {name: value.detach().numpy().astype(np.float64) for name, value in model.named_parameters()}
    hidden = inputs.numpy().astype(np.float64).reshape(len(inputs), -1)
    for number in range(len(model.layers)):
        product = hidden @ own[f"layers.{number}.weight"].T
        if f"layers.{number}.gain" in own:
            centred = product - product.mean(1, keepdims=True)
            product = centred / np.sqrt(product.var(1, keepdims=True) + 1e-5) * own[f"layers.{number}.gain"]
        hidden = np.tanh(product + own[f"layers.{number}.bias"])
    found: np.ndarray = hidden @ own["head.weight"].T + own["head.bias"]
    return found


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_it_is_what_its_formula_says(depth: int, layer_norm: bool) -> None:
    model = started(mlp(depth=depth, layer_norm=layer_norm))
    inputs = torch.randn(7, 5, 3, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(model(inputs).detach().numpy(), by_hand(model, inputs), rtol=1e-5, atol=1e-6)


def test_every_feature_of_every_step_has_a_weight() -> None:
    """15 inputs, layers of 4, 2 outputs."""
    expected = {0: 15 * 2 + 2, 1: 15 * 4 + 4 + 4 * 2 + 2, 2: 15 * 4 + 4 + 4 * 4 + 4 + 4 * 2 + 2}
    assert {depth: count_parameters(mlp(depth=depth)) for depth in expected} == expected
    model = started(mlp())
    inputs = torch.zeros(1, 5, 3, requires_grad=True)
    model(inputs).sum().backward()
    assert inputs.grad is not None and (inputs.grad != 0).all()


def test_weights_start_within_their_bounds_and_gains_at_one() -> None:
    """Uniform in +-1 / sqrt(fan in), as nn.Linear; arms of another depth share the start of what they share."""
    shallow, deep = (
        initial_parameters(lambda depth=depth: mlp(depth=depth, hidden_size=50, layer_norm=True), 3, 0)
        for depth in (1, 2)
    )
    for name in ("layers.0.weight", "layers.0.bias", "layers.0.gain", "head.weight", "head.bias"):
        assert torch.equal(shallow[name], deep[name])
    assert torch.equal(deep["layers.1.gain"], torch.ones(50))
    for name, fan_in in {"layers.0.weight": 15, "layers.1.weight": 50, "layers.1.bias": 50}.items():
        bound = fan_in**-0.5
        assert 0.9 * bound < deep[name].abs().max() <= bound


def test_dropout_is_for_the_hidden_layers_in_training() -> None:
    model = started(mlp(dropout=0.5, hidden_size=40))
    inputs = torch.randn(6, 5, 3)
    assert torch.equal(model.eval()(inputs), started(mlp(hidden_size=40))(inputs))
    assert not torch.equal(model.train()(inputs), model.eval()(inputs))
    without_layers = started(mlp(dropout=0.5, depth=0)).train()
    assert torch.equal(without_layers(inputs), without_layers.eval()(inputs))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"depth": -1}, "depth=-1"),
        ({"hidden_size": 0}, "hidden_size=0"),
        ({"hidden_size": 0, "depth": 0}, "hidden_size=0"),
        ({"steps": 0}, "steps=0"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"dropout": 1.0, "depth": 0}, "dropout=1.0"),
        ({"hidden_size": 1, "layer_norm": True}, "layer_norm needs a hidden_size"),
    ],
    ids=str,
)
def test_what_it_cannot_be(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        mlp(**changes)


def test_samples_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="6 time steps for a perceptron of 5"):
        mlp()(torch.zeros(2, 6, 3))


class ExclusiveOr(Task):
    """Two steps of -1 or 1; the target is their product: no linear function of them tells anything of it."""

    primary_metric = "hits"
    metrics = (Metric("hits", "higher", "share"),)
    varies_with_seed = False
    input_size = 1
    output_size = 1

    def declaration(self) -> dict[str, str]:
        return {"generated": "the four cases"}

    def check(self) -> None:
        pass

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        return ()

    def load(self, seed: int, replica: int) -> TaskData:
        inputs = np.tile(np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], dtype=np.float32), (16, 1))
        split = Split(inputs[..., None], inputs.prod(axis=1, keepdims=True))
        return TaskData(split, split, split)

    def validation_metrics(self, data: TaskData, predictions: Float32) -> dict[str, float]:
        return {"hits": float(np.mean((predictions > 0) == (data.test.numbers > 0)))}

    def test_metrics(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, float]:
        return self.validation_metrics(data, predictions)


def trained(depth: int, task: ExclusiveOr, seeds: list[int]) -> list[SeedResult]:
    options = {"model": "mlp", "model.depth": str(depth), "trainer.max_epochs": "40", "loss": "mse"}
    run = compose_run(CONF, {"task": "lotto", "optimizer.lr": "0.03", **options})
    return train_block(components.build_recipe(run.config), task, seeds, 0)


def test_one_layer_cannot_recognise_what_two_can() -> None:
    """Exclusive or (Minsky and Papert 1969): linear is right on three of the four at most."""
    scores = {depth: [own.test_metrics["hits"] for own in trained(depth, ExclusiveOr(), [0, 1])] for depth in (0, 1)}
    assert max(scores[0]) <= 0.75
    assert scores[1] == [1.0, 1.0]


def test_it_trains_alone_as_together_on_many_inputs() -> None:
    """As many as an image of 32 x 32 in colour has: longer sums than those of the other tests of the engine."""

    class Wide(ExclusiveOr):
        @property
        def input_size(self) -> int:
            return 96

        def load(self, seed: int, replica: int) -> TaskData:
            rng = np.random.default_rng(0)
            inputs = rng.standard_normal((21, 32, 96), dtype=np.float32)
            split = Split(inputs, inputs[:, 0, :1])
            return TaskData(split, split, split)

    options = {"model": "mlp", "model.hidden_size": "33", "trainer.batch_size": "7", "trainer.max_epochs": "2"}
    recipe = components.build_recipe(compose_run(CONF, {"task": "lotto", **options}).config)
    ten = train_block(recipe, Wide(), range(10), 0)
    assert len({result.weight_digest for result in ten}) == 10
    for seeds in ([3], [8, 3], [9, 0, 3]):
        for result in train_block(recipe, Wide(), seeds, 0):
            assert result.weight_digest == ten[result.seed].weight_digest
            assert result.predictions is not None and ten[result.seed].predictions is not None
            assert np.array_equal(result.predictions, ten[result.seed].predictions)
