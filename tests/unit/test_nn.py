"""Activations, losses, cells and their initialisation against closed forms, PyTorch's own layers and plain NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from notafluke.nn import activations, losses, recurrent
from notafluke.training.batching import initial_parameters

PHI = (1 + 5**0.5) / 2
ACTIVATIONS = [activations.tanh, activations.golden_tanh, activations.iris, activations.relu]


def values(function: Callable[[Tensor], Tensor], *points: float) -> list[float]:
    return function(torch.tensor(points, dtype=torch.float64)).tolist()


class TestActivations:
    def test_tanh(self) -> None:
        assert values(activations.tanh, -2, 0, 0.5) == pytest.approx([math.tanh(-2), 0, math.tanh(0.5)], rel=1e-14)

    def test_relu(self) -> None:
        assert values(activations.relu, -3, -0.0, 0, 2.5) == [0, 0, 0, 2.5]

    def test_golden_tanh_is_phi_times_tanh(self) -> None:
        assert values(activations.golden_tanh, -1, 0.25, 40) == pytest.approx(
            [PHI * math.tanh(-1), PHI * math.tanh(0.25), 1.618033988749895], rel=1e-14
        )

    @pytest.mark.parametrize(("law", "published"), [("normal", 1.007), ("laplace", 0.924)])
    def test_golden_tanh_keeps_the_mean_absolute_deviation(self, law: str, published: float) -> None:
        """The input has mean 0 and mean absolute deviation 1: SD sqrt(pi/2) (normal), scale 1 (Laplace)."""
        x = torch.linspace(-60, 60, 1_200_001, dtype=torch.float64)
        density = torch.exp(-x * x / math.pi) / math.pi if law == "normal" else torch.exp(-x.abs()) / 2
        assert torch.trapezoid(density, x).item() == pytest.approx(1, abs=1e-8)
        assert torch.trapezoid(density * x.abs(), x).item() == pytest.approx(1, abs=1e-8)
        spread = torch.trapezoid(density * activations.golden_tanh(x).abs(), x).item()
        assert round(spread, 3) == published

    def test_iris_at_known_points(self) -> None:
        assert values(activations.iris, 1, -1, 0) == pytest.approx([1, -1, 0], abs=1e-15)
        # x = 1.5 gives sqrt(x^2 + 4) = 2.5
        assert values(activations.iris, 1.5) == pytest.approx([0.6 * 5**0.5], rel=1e-14)

    def test_iris_is_the_scaled_slope_of_the_metallic_mean(self) -> None:
        """sqrt(5) (2 M'(x) - 1), M(x) = (x + sqrt(x^2 + 4)) / 2, by central differences; tanh(asinh(x/2)) too."""
        x = np.linspace(-9, 9, 181)
        step = 1e-5

        def mean(at: np.ndarray) -> np.ndarray:
            return (at + np.sqrt(at**2 + 4)) / 2

        slope = (mean(x + step) - mean(x - step)) / (2 * step)
        found = activations.iris(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(found, 5**0.5 * (2 * slope - 1), atol=1e-8)
        np.testing.assert_allclose(found, 5**0.5 * np.tanh(np.arcsinh(x / 2)), rtol=1e-12, atol=1e-14)

    def test_iris_is_odd_increasing_and_bounded(self) -> None:
        x = torch.cat([torch.linspace(0, 20, 2001), torch.logspace(2, 18, 17)])
        found = activations.iris(x)
        assert torch.equal(activations.iris(-x), -found)
        assert found.abs().max().item() <= 5**0.5 + 1e-6
        assert (found[:2001].diff() > 0).all()
        assert found[-1].item() == pytest.approx(5**0.5, rel=1e-6)

    @pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda activation: activation.__name__)
    def test_gradients_are_those_of_finite_differences(self, activation: Callable[[Tensor], Tensor]) -> None:
        x = torch.tensor([-30.0, -3.0, -1.0, -0.1, 0.1, 0.7, 2.0, 30.0], dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(activation, (x,))

    @pytest.mark.parametrize(
        ("activation", "slope"),
        [(activations.tanh, 1.0), (activations.golden_tanh, PHI), (activations.iris, 5**0.5 / 2)],
    )
    def test_slope_at_zero(self, activation: Callable[[Tensor], Tensor], slope: float) -> None:
        x = torch.zeros(1, requires_grad=True)
        activation(x).sum().backward()
        assert x.grad is not None and x.grad.item() == pytest.approx(slope, rel=1e-6)


def exp_or_log(d: float) -> tuple[float, float]:
    """Value and slope by the definition: two branches, each linear beyond 20; at 0 the under branch."""
    if d > 0:
        near = min(d, 20)
        return math.log(near + 1) + (d - near) / 21, 1 / (near + 1)
    near = min(-d, 20)
    return math.exp(near) - 1 + (-d - near) * math.exp(20), -math.exp(near)


def smooth_l1(d: float) -> tuple[float, float]:
    return (d * d / 2, d) if abs(d) < 1 else (abs(d) - 0.5, math.copysign(1, d))


def smooth_l1_log(d: float) -> tuple[float, float]:
    return (abs(d), math.copysign(1, d)) if abs(d) > 1 else (d * d, 2 * d)


def mse(d: float) -> tuple[float, float]:
    return d * d, 2 * d


DISTANCES = [-60, -25.5, -20.5, -20, -19.75, -5, -1.5, -1, -0.5, -1e-3, -1e-6, 0]
DISTANCES += [1e-6, 1e-3, 0.5, 1, 1.5, 5, 19.75, 20, 20.5, 25.5, 60]
LOSSES = [
    (losses.mse, mse),
    (losses.smooth_l1, smooth_l1),
    (losses.smooth_l1_log, smooth_l1_log),
    (losses.exp_or_log, exp_or_log),
]


@pytest.mark.parametrize(("loss", "expected"), LOSSES, ids=[loss.__name__ for loss, _ in LOSSES])
class TestLosses:
    @pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-6), (torch.float64, 1e-12)])
    def test_value_and_slope(
        self,
        loss: Callable[[Tensor, Tensor], Tensor],
        expected: Callable[[float], tuple[float, float]],
        dtype: torch.dtype,
        tolerance: float,
    ) -> None:
        """All distances together, so that a branch not taken would show its NaN."""
        difference = torch.tensor(DISTANCES, dtype=dtype)
        prediction = difference.clone().requires_grad_()
        found = loss(prediction, torch.zeros_like(difference))
        found.sum().backward()
        assert prediction.grad is not None
        for d, value, slope in zip(difference.tolist(), found.tolist(), prediction.grad.tolist(), strict=True):
            assert value == pytest.approx(expected(d)[0], rel=tolerance, abs=1e-12), d
            assert slope == pytest.approx(expected(d)[1], rel=tolerance, abs=1e-12), d

    def test_only_the_difference_counts(
        self, loss: Callable[[Tensor, Tensor], Tensor], expected: Callable[[float], tuple[float, float]]
    ) -> None:
        prediction = torch.tensor([[3.5, -2.0], [0.25, 8.0]])
        target = torch.tensor([[1.5, -2.5], [1.25, 8.0]])
        found = loss(prediction, target)
        assert found.shape == (2, 2)
        assert found.flatten().tolist() == pytest.approx([expected(d)[0] for d in (2.0, 0.5, -1.0, 0.0)], rel=1e-6)

    def test_the_slope_to_the_target_is_the_opposite(
        self, loss: Callable[[Tensor, Tensor], Tensor], expected: Callable[[float], tuple[float, float]]
    ) -> None:
        target = torch.tensor([1.5, -1.5, 0.25], requires_grad=True)
        loss(torch.zeros(3), target).sum().backward()
        assert target.grad is not None
        assert target.grad.tolist() == pytest.approx([-expected(d)[1] for d in (-1.5, 1.5, -0.25)], rel=1e-5)

    def test_finite_differences(
        self, loss: Callable[[Tensor, Tensor], Tensor], expected: Callable[[float], tuple[float, float]]
    ) -> None:
        points = [-22.0, -4.0, -1.3, -0.4, 0.3, 0.9, 1.4, 7.0, 22.0]
        prediction = torch.tensor(points, dtype=torch.float64, requires_grad=True)
        target = torch.zeros_like(prediction, requires_grad=False)
        assert torch.autograd.gradcheck(lambda own: loss(own, target), (prediction,), rtol=1e-5, atol=1e-6)

    def test_far_away_everything_is_finite(
        self, loss: Callable[[Tensor, Tensor], Tensor], expected: Callable[[float], tuple[float, float]]
    ) -> None:
        prediction = torch.tensor([-1e6, -1e3, 1e3, 1e6], requires_grad=True)
        found = loss(prediction, torch.zeros(4))
        found.sum().backward()
        assert prediction.grad is not None
        assert found.isfinite().all() and prediction.grad.isfinite().all()


def test_exp_or_log_at_the_target_has_the_slope_of_the_under_branch() -> None:
    prediction = torch.zeros(3, requires_grad=True)
    losses.exp_or_log(prediction, torch.zeros(3)).sum().backward()
    assert prediction.grad is not None and prediction.grad.tolist() == [-1, -1, -1]


def torch_twin(kind: str, network: recurrent.RecurrentNetwork, features: int, hidden: int, depth: int) -> nn.RNNBase:
    """PyTorch's own layers with our weights; our one bias is split in two unequal parts."""
    twin = (nn.RNN if kind == "rnn" else nn.LSTM)(features, hidden, depth, batch_first=True)
    for number in range(depth):
        own = {name: parameter.detach().clone() for name, parameter in network.layers[number].named_parameters()}
        share = torch.rand_like(own["bias"])
        with torch.no_grad():
            getattr(twin, f"weight_ih_l{number}").copy_(own["input_weight"])
            getattr(twin, f"weight_hh_l{number}").copy_(own["recurrent_weight"])
            getattr(twin, f"bias_ih_l{number}").copy_(share)
            getattr(twin, f"bias_hh_l{number}").copy_(own["bias"] - share)
    return twin


def build(
    kind: str, features: int, outputs: int, hidden: int, depth: int, activation: Callable[[Tensor], Tensor] = torch.tanh
) -> recurrent.RecurrentNetwork:
    """A network with random weights, biases included."""
    if kind == "rnn":
        network = recurrent.rnn(features, outputs, activation, hidden, depth)
    else:
        network = recurrent.lstm(features, outputs, activation, hidden, depth, 1.0)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(-0.6, 0.6, generator=random)
    return network


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
class TestCells:
    @pytest.mark.parametrize("depth", [1, 2, 3])
    def test_outputs_and_gradients_are_those_of_pytorchs_layers(self, kind: str, depth: int) -> None:
        torch.manual_seed(0)
        features, hidden = 3, 5
        network = build(kind, features, 2, hidden, depth)
        twin = torch_twin(kind, network, features, hidden, depth)
        inputs = torch.randn(4, 11, features)
        theirs, _ = twin(inputs)
        ours = inputs
        for layer in network.layers:
            ours = layer(ours)
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
        head = network.head
        torch.testing.assert_close(network(inputs), theirs[:, -1] @ head.weight.T + head.bias, atol=1e-6, rtol=1e-6)
        (theirs[:, -1] @ head.weight.T + head.bias).square().sum().backward()
        expected = {
            f"layers.{number}.{ours}": getattr(twin, f"{name}_l{number}").grad
            for number in range(depth)
            for ours, name in (("input_weight", "weight_ih"), ("recurrent_weight", "weight_hh"), ("bias", "bias_ih"))
        }
        network.zero_grad()
        network(inputs).square().sum().backward()
        for name, gradient in expected.items():
            torch.testing.assert_close(network.get_parameter(name).grad, gradient, atol=2e-5, rtol=2e-5)

    @pytest.mark.parametrize("depth", [1, 2, 4])
    def test_number_of_parameters(self, kind: str, depth: int) -> None:
        features, hidden, outputs, gates = 3, 7, 2, {"rnn": 1, "lstm": 4}[kind]
        first = gates * hidden * (features + hidden + 1)
        deeper = gates * hidden * (hidden + hidden + 1)
        network = build(kind, features, outputs, hidden, depth)
        count = sum(parameter.numel() for parameter in network.parameters())
        assert count == first + (depth - 1) * deeper + outputs * (hidden + 1)

    def test_the_past_counts_and_the_future_does_not(self, kind: str) -> None:
        layer = build(kind, 2, 1, 5, 1).layers[0]
        inputs = torch.randn(3, 9, 2, generator=torch.Generator().manual_seed(2))
        other = inputs.clone()
        other[:, 4] += 1
        before, after = layer(inputs), layer(other)
        assert torch.equal(before[:, :4], after[:, :4])
        assert (before[:, 4:] != after[:, 4:]).any(dim=2).all()

    @pytest.mark.parametrize(("sizes", "text"), [((0, 1), "hidden_size=0"), ((4, 0), "depth=0"), ((-3, 1), "-3")])
    def test_sizes_below_one_are_refused(self, kind: str, sizes: tuple[int, int], text: str) -> None:
        with pytest.raises(ValueError, match=text):
            build(kind, 2, 1, *sizes)


def test_the_activation_is_that_of_candidate_and_output_and_the_gates_stay_sigmoid() -> None:
    """An LSTM with Iris, step by step in NumPy and float64."""
    network = build("lstm", 2, 1, 4, 1, activations.iris).double()
    inputs = np.random.default_rng(3).standard_normal((5, 7, 2))
    weights = {name: parameter.detach().numpy() for name, parameter in network.layers[0].named_parameters()}

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    def iris(x: np.ndarray) -> np.ndarray:
        return np.sqrt(5) * np.tanh(np.arcsinh(x / 2))

    hidden = cell = np.zeros((5, 4))
    for step in range(7):
        total = inputs[:, step] @ weights["input_weight"].T + hidden @ weights["recurrent_weight"].T + weights["bias"]
        entry, forget, candidate, exit_ = np.split(total, 4, axis=1)
        cell = sigmoid(forget) * cell + sigmoid(entry) * iris(candidate)
        hidden = sigmoid(exit_) * iris(cell)
    found = network.layers[0](torch.from_numpy(inputs))[:, -1].detach().numpy()
    np.testing.assert_allclose(found, hidden, rtol=1e-12, atol=1e-13)


class TestInitialisation:
    def start(self, activation: Callable[[Tensor], Tensor], seed: int, replica: int = 0) -> dict[str, Tensor]:
        return initial_parameters(lambda: recurrent.lstm(3, 1, activation, 24, 2, 1.0), seed, replica)

    def test_arms_of_a_seed_start_equal(self) -> None:
        control, treatment = self.start(activations.tanh, 5), self.start(activations.iris, 5)
        assert list(control) == list(treatment)
        assert all(torch.equal(control[name], treatment[name]) for name in control)

    def test_what_a_deeper_network_shares_starts_equal(self) -> None:
        deep = initial_parameters(lambda: recurrent.lstm(3, 1, torch.tanh, 24, 3, 1.0), 5, 0)
        shared = self.start(torch.tanh, 5)
        assert all(torch.equal(shared[name], deep[name]) for name in shared)

    def test_seed_replica_and_name_have_streams_of_their_own(self) -> None:
        starts = [self.start(torch.tanh, seed, replica) for seed, replica in ((0, 0), (1, 0), (0, 1))]
        names = ["layers.0.recurrent_weight", "layers.1.input_weight", "layers.1.recurrent_weight"]
        drawn = [start[name].flatten() for start in starts for name in names]
        correlations = np.corrcoef(torch.stack(drawn).numpy())[np.triu_indices(9, 1)]
        # 36 pairs of 96 x 24 values: 4.5 standard errors.
        assert np.abs(correlations).max() < 4.5 / math.sqrt(96 * 24)

    @pytest.mark.parametrize("build", [lambda: recurrent.rnn(3, 1, torch.tanh, 8, 1), lambda: nn.Linear(3, 1)])
    def test_the_global_generator_is_left_alone(self, build: Callable[[], nn.Module]) -> None:
        torch.manual_seed(0)
        initial_parameters(build, 1, 0)
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(0)))

    def test_uniform_within_one_over_the_root_of_the_width(self) -> None:
        bound = 1 / math.sqrt(24)
        for name, value in self.start(torch.tanh, 0).items():
            if name.endswith(".bias") and name.startswith("layers"):
                value = torch.cat([value[:24], value[48:]])
            drawn = value.flatten().double()
            assert drawn.abs().max() <= bound * (1 + 1e-6)
            if len(drawn) < 50:
                continue
            # Uniform on +-b: variance b^2 / 3; variance of x^2 is 4 b^4 / 45. 4.5 standard errors.
            assert abs(drawn.mean()) < 4.5 * bound / math.sqrt(3 * len(drawn))
            assert abs(drawn.square().mean() - bound**2 / 3) < 4.5 * bound**2 * math.sqrt(4 / 45 / len(drawn))

    def test_forget_bias(self) -> None:
        for forget_bias in (1.0, 0.0, -2.5):
            network = recurrent.lstm(3, 1, torch.tanh, 24, 2, forget_bias)
            start = initial_parameters(lambda own=network: own, 0, 0)
            for layer in (0, 1):
                bias = start[f"layers.{layer}.bias"]
                assert (bias[24:48] == forget_bias).all()
                assert (torch.cat([bias[:24], bias[48:]]).abs() < 0.21).all()
                assert len(torch.cat([bias[:24], bias[48:]]).unique()) == 72

    def test_a_model_without_a_rule_of_its_own(self) -> None:
        """PyTorch's own initialisation of nn.Linear: weight and bias uniform in +-1 / sqrt(fan in)."""

        def build() -> nn.Module:
            return nn.Sequential(nn.Linear(25, 400), nn.LayerNorm(400))

        start, other = initial_parameters(build, 0, 0), initial_parameters(build, 1, 0)
        for name in ("0.weight", "0.bias"):
            assert 0.19 < start[name].abs().max() <= 0.2
            assert abs(start[name].double().square().mean() - 0.04 / 3) < 4.5 * 0.04 * math.sqrt(4 / 45 / 400)
            assert not torch.equal(start[name], other[name])
        assert (start["1.weight"] == 1).all() and (start["1.bias"] == 0).all()

    def test_such_a_model_starts_equal_whatever_was_drawn_before(self) -> None:
        """nn.Linear draws from PyTorch's global generator: its state must not reach a run."""
        starts = []
        for seed in (10, 11):
            torch.manual_seed(seed)
            starts.append(initial_parameters(lambda: nn.Sequential(nn.Linear(5, 4)), 0, 0))
        assert all(torch.equal(starts[0][name], starts[1][name]) for name in starts[0])

    def test_what_two_such_models_share_starts_equal(self) -> None:
        """Although the larger one draws more before."""
        small = initial_parameters(lambda: nn.ModuleDict({"head": nn.Linear(5, 4)}), 0, 0)
        large = initial_parameters(lambda: nn.ModuleDict({"body": nn.Linear(7, 7), "head": nn.Linear(5, 4)}), 0, 0)
        assert torch.equal(small["head.weight"], large["head.weight"])
        assert torch.equal(small["head.bias"], large["head.bias"])
