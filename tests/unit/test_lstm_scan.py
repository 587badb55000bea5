"""The LSTM as one operation: every number is that of the loop over its time steps, to the last bit."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor
from torch.func import functional_call, vmap

from notafluke import components
from notafluke.configuration import compose_run, conf_folder
from notafluke.nn import activations
from notafluke.nn.cells import LSTMLayer
from notafluke.nn.elementwise import elementwise
from notafluke.nn.lstm_scan import LSTMScan
from notafluke.training.engine import train_block

CONF = Path(__file__).parents[2] / "conf" / "activation"
OPTIONS = sorted(path.stem for path in CONF.glob("*.yaml"))
NO_OPTIONS = ("_target_", "_partial_", "description", "source", "reference")
SIZES = [(16, 10, 32, 32, 1), (32, 4, 7, 9, 3), (64, 2, 13, 5, 4), (33, 3, 7, 9, 2), (5, 2, 3, 4, 1)]
"""Hidden units, models, samples, time steps, features."""


def activation_of(option: str) -> Callable[[Tensor], Tensor]:
    tree = yaml.safe_load((CONF / f"{option}.yaml").read_text())
    options = {
        key: value for key, value in tree.items() if key not in ("_target_", "_partial_", "description", "source")
    }
    return partial(getattr(activations, tree["_target_"].rpartition(".")[2]), **options)


def stack(layer: LSTMLayer, models: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        name: (0.5 * torch.randn(models, *own.shape, generator=generator)).requires_grad_()
        for name, own in layer.named_parameters()
    }


def run(layer: LSTMLayer, weights: dict[str, Tensor], inputs: Tensor, state: tuple[Tensor, Tensor]) -> list[Tensor]:
    """Outputs, last state, and the gradients of weights, inputs and first state where every result counts."""

    def one(own: dict[str, Tensor], x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, ...]:
        outputs, after = functional_call(layer, own, (x, (hidden, cell)))
        return outputs, *after

    found = vmap(one)(weights, inputs, *state)
    total = sum((number + 1) * own.square().sum() for number, own in enumerate(found))
    # Of a single feature the gradient is a product of a matrix and a vector, which is no layer's input in a network.
    several = [inputs] if inputs.shape[-1] > 1 else []
    return [*found, *torch.autograd.grad(total, [*weights.values(), *several, *state])]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_activation_gives_the_bits_of_the_loop(option: str) -> None:
    for units, models, samples, steps, features in SIZES:
        layer = LSTMLayer(features, units, activation_of(option))
        assert (layer.scanned is None) == (option == "softsign"), "whose argument is used twice"
        generator = torch.Generator().manual_seed(2)
        inputs = torch.randn(models, samples, steps, features, generator=generator).requires_grad_()
        state = tuple(torch.randn(models, samples, units, generator=generator).requires_grad_() for _ in range(2))
        weights = stack(layer, models)
        found = run(layer, weights, inputs, state)
        layer.scanned = None
        expected = run(layer, weights, inputs, state)
        assert all(torch.equal(own, other) for own, other in zip(found, expected, strict=True))
        # The order of memory decides in which order sums over a gradient are added up.
        assert [own.stride() for own in found] == [own.stride() for own in expected]


def test_without_gradients_it_gives_the_same_and_keeps_nothing() -> None:
    layer = LSTMLayer(2, 16, activations.iris)
    layer.initialise("recurrent_weight", torch.Generator().manual_seed(0))
    for steps in (1, 2, 7):
        inputs = torch.randn(3, steps, 2, generator=torch.Generator().manual_seed(steps))
        with torch.no_grad():
            outputs, state = layer(inputs)
        expected, expected_state = layer(inputs)
        assert torch.equal(outputs, expected) and all(map(torch.equal, state, expected_state))


def test_one_model_is_the_lstm_of_pytorch() -> None:
    layer, stock = LSTMLayer(3, 8, activations.tanh), torch.nn.LSTM(3, 8, batch_first=True)
    with torch.no_grad():
        stock.bias_hh_l0.zero_()
        for own, theirs in (
            ("input_weight", "weight_ih_l0"),
            ("recurrent_weight", "weight_hh_l0"),
            ("bias", "bias_ih_l0"),
        ):
            layer.get_parameter(own).copy_(stock.get_parameter(theirs))
    inputs = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(3)).requires_grad_()
    (outputs, _), (expected, _) = layer(inputs), stock(inputs)
    torch.testing.assert_close(outputs, expected)
    found = torch.autograd.grad(outputs.square().sum(), [inputs, layer.recurrent_weight])
    wanted = torch.autograd.grad(expected.square().sum(), [inputs, stock.weight_hh_l0])
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("option", ["tanh", "iris", "gelu", "leaky_relu"])
def test_the_gradients_are_those_of_finite_differences(option: str) -> None:
    layer = LSTMLayer(2, 3, activation_of(option)).double()
    generator = torch.Generator().manual_seed(4)
    for own in layer.parameters():
        torch.nn.init.normal_(own, generator=generator)
    inputs = torch.randn(2, 4, 2, generator=generator, dtype=torch.float64).requires_grad_()

    def outputs(x: Tensor, *weights: Tensor) -> Tensor:
        own = dict(zip((name for name, _ in layer.named_parameters()), weights, strict=True))
        found: Tensor = functional_call(layer, own, (x,))[0]
        return found

    assert layer.scanned is not None
    assert torch.autograd.gradcheck(outputs, (inputs, *layer.parameters()))


def test_what_ran_without_gradients_cannot_be_differentiated() -> None:
    layer = LSTMLayer(1, 2, activations.tanh)
    inputs = torch.ones(1, 2, 1).requires_grad_()
    weights = (layer.input_weight, layer.recurrent_weight, layer.bias)
    outputs, _, _ = LSTMScan.apply(inputs, *weights, torch.zeros(1, 2), torch.zeros(1, 2), layer.scanned, None)
    with pytest.raises(RuntimeError, match="without a tape"):
        outputs.sum().backward()


def test_functions_of_somebody_else_are_called_at_every_step() -> None:
    calls = []

    def counted(x: Tensor) -> Tensor:
        calls.append(x.shape)
        return torch.tanh(x)

    assert elementwise(counted) is None
    LSTMLayer(1, 2, counted)(torch.ones(1, 5, 1))
    assert len(calls) == 10


def step_function(x: Tensor) -> Tensor:
    return (x > 0).float()


def centred(x: Tensor) -> Tensor:
    return x - x.mean()


@pytest.mark.parametrize("function", [step_function, centred])
def test_what_has_no_gradient_or_mixes_elements_is_none_of_ours(
    function: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(function, "__module__", activations.__name__)
    assert elementwise(function) is None
    assert LSTMLayer(1, 2, function)(torch.ones(1, 3, 1))[0].shape == (1, 3, 2)


class Doubled(LSTMLayer):
    """Has steps of its own."""

    def gate_inputs(self, total: Tensor) -> tuple[Tensor, ...]:
        return super().gate_inputs(2 * total)


def test_a_subclass_and_layer_normalisation_keep_their_steps() -> None:
    assert Doubled(1, 4, activations.tanh).scanned is None
    assert LSTMLayer(1, 4, activations.tanh, layer_norm=True).scanned is None


@pytest.mark.parametrize("model", ["lstm", "lstm_dense_residual"])
def test_a_training_comes_to_the_same_weights(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a hundred steps with a clipped gradient, where a last bit would show."""
    overrides = {"task": "adding", "task.length": "20", "task.train_size": "1600", "model": model, "seed": "0"}
    more = {"optimizer.lr": "0.01", "loss": "exp_or_log", "trainer.max_epochs": "2"}
    run_config = compose_run(conf_folder(), {**overrides, **more})
    task, recipe = components.build_task(run_config.config), components.build_recipe(run_config.config)

    def digests() -> list[str]:
        return [own.weight_digest for own in train_block(recipe, task, range(6), 0)]

    scanned = digests()
    monkeypatch.setattr("notafluke.nn.cells.elementwise", lambda activation: None)
    assert digests() == scanned
