"""Cells and networks against PyTorch's own layers, plain NumPy, and the formulas of their papers."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from notafluke.nn import activations, recurrent
from notafluke.nn.cells import GRULayer, LSTMLayer, LSTMLiteLayer, RecurrentLayer, RNNLayer
from notafluke.nn.networks import DenseResidualNetwork, Network, count_parameters

BUILDERS: dict[str, Callable[..., Network]] = {
    "rnn": recurrent.RNN,
    "gru": recurrent.GRU,
    "lstm": recurrent.LSTM,
    "lstm_lite": recurrent.LSTMLite,
    "lstm_lite_wide": recurrent.LSTMLiteWide,
    "lstm_dense_residual": recurrent.LSTMDenseResidual,
}
LAYERS: dict[str, type[RecurrentLayer]] = {"rnn": RNNLayer, "gru": GRULayer, "lstm": LSTMLayer, "lite": LSTMLiteLayer}
GATES = {"rnn": 1, "gru": 3, "lstm": 4}


def randomise(module: nn.Module, seed: int = 1) -> None:
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-0.6, 0.6, generator=random)


def build(kind: str, features: int, outputs: int, hidden: int, depth: int, **changes: Any) -> Network:
    """A network with random weights, biases included."""
    options = {"activation": torch.tanh, "layer_norm": False, "dropout": 0.0, **changes}
    if "lstm" in kind:
        options["forget_bias"] = 1.0
    network = BUILDERS[kind](features, outputs, hidden_size=hidden, depth=depth, **options)
    randomise(network)
    return network


def torch_twin(kind: str, network: Network, features: int, hidden: int, depth: int) -> nn.RNNBase:
    """PyTorch's own layers with our weights; our one bias is split in two unequal parts where PyTorch has two."""
    twin = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[kind](features, hidden, depth, batch_first=True)
    for number in range(depth):
        own = {name: parameter.detach().clone() for name, parameter in network.layers[number].named_parameters()}
        share = torch.rand_like(own["bias"])
        if kind == "gru":
            # Of the candidate PyTorch's second bias is another parameter: our candidate_bias.
            share[2 * hidden :] = own["bias"][2 * hidden :]
        theirs = own["bias"] - share
        if kind == "gru":
            theirs[2 * hidden :] = own["candidate_bias"]
        with torch.no_grad():
            getattr(twin, f"weight_ih_l{number}").copy_(own["input_weight"])
            getattr(twin, f"weight_hh_l{number}").copy_(own["recurrent_weight"])
            getattr(twin, f"bias_ih_l{number}").copy_(share)
            getattr(twin, f"bias_hh_l{number}").copy_(theirs)
    return twin


@pytest.mark.parametrize("kind", GATES)
class TestAgainstPyTorch:
    @pytest.mark.parametrize("depth", [1, 2, 3])
    def test_outputs_gradients_and_states(self, kind: str, depth: int) -> None:
        torch.manual_seed(0)
        features, hidden = 3, 5
        network = build(kind, features, 2, hidden, depth)
        twin = torch_twin(kind, network, features, hidden, depth)
        inputs = torch.randn(4, 11, features)
        theirs, their_state = twin(inputs)
        head = network.head
        expected = theirs @ head.weight.T + head.bias
        torch.testing.assert_close(network(inputs), expected, atol=1e-6, rtol=1e-6)

        _, state = network(inputs, network.initial_state(inputs))
        per_layer = zip(*their_state, strict=True) if kind == "lstm" else [(own,) for own in their_state]
        flat = [part for layer in per_layer for part in layer]
        for ours, own in zip(state, flat, strict=True):
            torch.testing.assert_close(ours, own, atol=1e-6, rtol=1e-6)

        expected.square().sum().backward()
        network.zero_grad()
        network(inputs).square().sum().backward()
        pairs = [("input_weight", "weight_ih"), ("recurrent_weight", "weight_hh"), ("bias", "bias_ih")]
        for number in range(depth):
            for ours, name in pairs:
                found = network.get_parameter(f"layers.{number}.{ours}").grad
                torch.testing.assert_close(found, getattr(twin, f"{name}_l{number}").grad, atol=5e-5, rtol=5e-5)

    @pytest.mark.parametrize("depth", [1, 2, 4])
    def test_number_of_parameters(self, kind: str, depth: int) -> None:
        features, hidden, outputs, gates = 3, 7, 2, GATES[kind]
        extra = hidden if kind == "gru" else 0
        first = gates * hidden * (features + hidden + 1) + extra
        deeper = gates * hidden * (hidden + hidden + 1) + extra
        assert count_parameters(build(kind, features, outputs, hidden, depth)) == (
            first + (depth - 1) * deeper + outputs * (hidden + 1)
        )


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def iris(x: np.ndarray) -> np.ndarray:
    return np.sqrt(5) * np.tanh(np.arcsinh(x / 2))


def layer_norm(x: np.ndarray, gain: np.ndarray, shift: np.ndarray | float = 0.0) -> np.ndarray:
    """Ba, Kiros and Hinton 2016, equation 3, over the units; PyTorch's epsilon."""
    mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return gain * (x - mean) / np.sqrt(variance + 1e-5) + shift


def slow_layer(
    kind: str, w: dict[str, np.ndarray], inputs: np.ndarray, normed: bool, f: Callable[..., Any]
) -> np.ndarray:
    """Hidden states of a layer, step by step in NumPy, from the formulas of the papers."""
    hidden_size = w["recurrent_weight"].shape[1]
    hidden = cell = np.zeros((len(inputs), hidden_size))
    cuts = {"gru": [2 * hidden_size]}.get(kind, [])

    def product(x: np.ndarray, weight: np.ndarray, gain: str) -> np.ndarray:
        total = x @ weight.T
        if not normed:
            return total
        parts = zip(np.split(total, cuts, axis=-1), np.split(w[gain], cuts), strict=True)
        return np.concatenate([layer_norm(part, own) for part, own in parts], axis=-1)

    states = []
    for step in range(inputs.shape[1]):
        x = product(inputs[:, step], w["input_weight"], "input_gain")
        h = product(hidden, w["recurrent_weight"], "recurrent_gain")
        if kind == "rnn":
            hidden = f(x + h + w["bias"])
        elif kind == "gru":
            x = x + w["bias"]
            reset, update = (
                sigmoid(a + b) for a, b in zip(np.split(x, 3, -1)[:2], np.split(h, 3, -1)[:2], strict=True)
            )
            candidate = f(np.split(x, 3, -1)[2] + reset * (np.split(h, 3, -1)[2] + w["candidate_bias"]))
            hidden = (1 - update) * candidate + update * hidden
        else:
            biases = np.split(w["bias"], 4)
            totals = np.split(x + h, 4, -1) if kind == "lstm" else [x + h] * 4
            entry, forget, candidate, exit_ = (total + bias for total, bias in zip(totals, biases, strict=True))
            cell = sigmoid(forget) * cell + sigmoid(entry) * f(candidate)
            hidden = sigmoid(exit_) * f(layer_norm(cell, w["cell_gain"], w["cell_shift"]) if normed else cell)
        states.append(hidden)
    return np.stack(states, axis=1)


@pytest.mark.parametrize("normed", [False, True], ids=["plain", "layer_norm"])
@pytest.mark.parametrize("kind", LAYERS)
def test_step_by_step_in_numpy(kind: str, normed: bool) -> None:
    """With Iris: the activation is that of candidate and output, the gates stay sigmoid."""
    layer = LAYERS[kind](2, 4, activations.iris, layer_norm=normed).double()
    randomise(layer)
    inputs = np.random.default_rng(3).standard_normal((5, 7, 2))
    weights = {name: parameter.detach().numpy() for name, parameter in layer.named_parameters()}
    found = layer(torch.from_numpy(inputs))[0].detach().numpy()
    np.testing.assert_allclose(found, slow_layer(kind, weights, inputs, normed, iris), rtol=1e-11, atol=1e-12)


class TestLSTMLite:
    @pytest.mark.parametrize(("features", "hidden", "outputs"), [(1, 16, 1), (10, 33, 7), (49, 8, 49)])
    def test_its_parameters_are_a_quarter_of_the_weights(self, features: int, hidden: int, outputs: int) -> None:
        lite, full = (count_parameters(build(kind, features, outputs, hidden, 1)) for kind in ("lstm_lite", "lstm"))
        head = outputs * (hidden + 1)
        assert lite == hidden * (features + hidden) + 4 * hidden + head
        assert full - lite == 3 * hidden * (features + hidden)

    @pytest.mark.parametrize("depth", [1, 3])
    @pytest.mark.parametrize(("features", "hidden", "outputs"), [(1, 16, 1), (10, 33, 7), (300, 8, 300), (2, 1, 1)])
    def test_widened_it_has_as_many_as_the_lstm(self, features: int, hidden: int, outputs: int, depth: int) -> None:
        """No other width comes nearer."""
        wide = build("lstm_lite_wide", features, outputs, hidden, depth)
        wanted = count_parameters(build("lstm", features, outputs, hidden, depth))
        width = wide.layers[0].hidden_size
        assert isinstance(width, int) and width >= hidden
        counts = {
            own: count_parameters(build("lstm_lite", features, outputs, own, depth))
            for own in range(max(1, width - 2), width + 3)
        }
        assert min(counts, key=lambda own: abs(counts[own] - wanted)) == width
        assert count_parameters(wide) == counts[width]

    def test_with_equal_matrices_it_is_an_lstm(self) -> None:
        """An LSTM whose four blocks are the same matrix gives the same."""
        lite, full = LSTMLiteLayer(3, 5, torch.tanh), LSTMLayer(3, 5, torch.tanh)
        randomise(lite)
        with torch.no_grad():
            full.input_weight.copy_(lite.input_weight.repeat(4, 1))
            full.recurrent_weight.copy_(lite.recurrent_weight.repeat(4, 1))
            full.bias.copy_(lite.bias)
        inputs = torch.randn(2, 6, 3)
        torch.testing.assert_close(lite(inputs)[0], full(inputs)[0], rtol=1e-6, atol=1e-6)


class TestDenseResidual:
    def test_its_connections_written_out(self) -> None:
        """h1 = L(x), h2 = L([h1,x]), r2 = h2+h1, h3 = L([r2,h2,h1,x]), r3 = h3+r2, ..., h5, dense output."""
        network = build("lstm_dense_residual", 3, 2, 4, 5).double()
        assert isinstance(network, DenseResidualNetwork)
        x = torch.randn(2, 6, 3, dtype=torch.float64)

        def layer(number: int, *parts: Tensor) -> Tensor:
            hidden: Tensor = network.layers[number - 1](torch.cat(parts, dim=-1))[0]
            return hidden

        h1 = layer(1, x)
        h2 = layer(2, h1, x)
        r2 = h2 + h1
        h3 = layer(3, r2, h2, h1, x)
        r3 = h3 + r2
        h4 = layer(4, r3, h3, h2, h1, x)
        r4 = h4 + r3
        h5 = layer(5, r4, h4, h3, h2, h1, x)
        torch.testing.assert_close(network(x), network.head(h5), rtol=1e-12, atol=1e-12)

    def test_its_parameters(self) -> None:
        """Five LSTMs of 512 units on 91 x 181 cells, as published."""
        with torch.device("meta"):
            network = BUILDERS["lstm_dense_residual"](
                16471, 16471, torch.tanh, hidden_size=512, depth=5, forget_bias=1.0, layer_norm=False, dropout=0.0
            )
        inputs = [16471 + 512 * more for more in (0, 1, 3, 4, 5)]
        assert count_parameters(network) == sum(4 * 512 * (own + 512 + 1) for own in inputs) + 16471 * 513

    def test_of_one_and_two_layers(self) -> None:
        x = torch.randn(2, 4, 3)
        for depth in (1, 2):
            assert build("lstm_dense_residual", 3, 2, 4, depth)(x).shape == (2, 4, 2)


def test_a_network_without_the_head_of_every_step_is_its_last_step() -> None:
    network = build("lstm", 2, 3, 4, 2)
    inputs = torch.randn(3, 5, 2)
    hidden, _ = network.connect(inputs, [layer.initial_state(inputs) for layer in network._layers])
    torch.testing.assert_close(network(inputs)[:, -1], network.head(hidden[:, -1]))


@pytest.mark.parametrize("kind", BUILDERS)
def test_dropout_acts_on_the_outputs_of_the_layers_while_training_only(kind: str) -> None:
    plain, dropping = build(kind, 2, 1, 6, 2), build(kind, 2, 1, 6, 2, dropout=0.5)
    inputs = torch.randn(3, 5, 2)
    assert torch.equal(plain.eval()(inputs), dropping.eval()(inputs))
    assert torch.equal(plain.train()(inputs), plain.eval()(inputs))
    assert not torch.equal(dropping.train()(inputs), dropping.eval()(inputs))


@pytest.mark.parametrize("kind", BUILDERS)
def test_gains_start_at_1_and_the_cell_s_shift_at_0(kind: str) -> None:
    from notafluke.training.batching import initial_parameters

    start = initial_parameters(functools.partial(build, kind, 2, 1, 6, 2, layer_norm=True), 0, 0)
    gains = [value for name, value in start.items() if name.endswith("gain")]
    assert gains and all((value == 1).all() for value in gains)
    assert all((value == 0).all() for name, value in start.items() if name.endswith("cell_shift"))
    if "lstm" in kind:
        width = start["layers.0.recurrent_weight"].shape[1]
        assert (start["layers.0.bias"][width : 2 * width] == 1).all()


@pytest.mark.parametrize("kind", LAYERS)
def test_layer_norm_of_a_single_unit_is_refused(kind: str) -> None:
    """It would always be the same: the layer would not see its inputs."""
    with pytest.raises(ValueError, match="hidden_size of at least 2"):
        LAYERS[kind](2, 1, torch.tanh, layer_norm=True)


def test_an_activation_with_parameters_starts_as_it_was_made_and_learns() -> None:
    from notafluke.training.batching import initial_parameters

    network = BUILDERS["rnn"](2, 1, nn.PReLU(), hidden_size=3, depth=2, layer_norm=False, dropout=0.0)
    start = initial_parameters(lambda: network, 0, 0)
    assert start["layers.0.activation.weight"].item() == 0.25
    network(torch.randn(4, 5, 2)).sum().backward()
    assert network.get_parameter("layers.0.activation.weight").grad is not None


def test_layer_norm_makes_the_layer_deaf_to_the_scale_of_its_weights() -> None:
    """What it promises: both matrices ten times as large give the same (up to epsilon)."""
    layer = LSTMLayer(2, 8, torch.tanh, layer_norm=True).double()
    randomise(layer)
    inputs = torch.randn(3, 5, 2, dtype=torch.float64)
    before = layer(inputs)[0]
    with torch.no_grad():
        layer.input_weight *= 10
        layer.recurrent_weight *= 10
    torch.testing.assert_close(layer(inputs)[0], before, rtol=1e-2, atol=1e-3)
    with torch.no_grad():
        layer.bias += 1
    assert not math.isclose((layer(inputs)[0] - before).abs().max().item(), 0, abs_tol=1e-2)
