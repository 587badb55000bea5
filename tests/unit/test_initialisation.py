"""Starting values: each parameter from its own stream, by its name."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from notafluke.nn import activations, recurrent
from notafluke.nn.networks import Network
from notafluke.training.batching import initial_parameters


def lstm(activation: Callable[[Tensor], Tensor], depth: int, forget_bias: float = 1.0) -> Network:
    return recurrent.LSTM(3, 1, activation, 24, depth, forget_bias, False, 0.0)


class TestInitialisation:
    def start(self, activation: Callable[[Tensor], Tensor], seed: int, replica: int = 0) -> dict[str, Tensor]:
        return initial_parameters(lambda: lstm(activation, 2), seed, replica)

    def test_arms_of_a_seed_start_equal(self) -> None:
        control, treatment = self.start(activations.tanh, 5), self.start(activations.iris, 5)
        assert list(control) == list(treatment)
        assert all(torch.equal(control[name], treatment[name]) for name in control)

    def test_what_a_deeper_network_shares_starts_equal(self) -> None:
        deep = initial_parameters(lambda: lstm(torch.tanh, 3), 5, 0)
        shared = self.start(torch.tanh, 5)
        assert all(torch.equal(shared[name], deep[name]) for name in shared)

    def test_seed_replica_and_name_have_streams_of_their_own(self) -> None:
        starts = [self.start(torch.tanh, seed, replica) for seed, replica in ((0, 0), (1, 0), (0, 1))]
        names = ["layers.0.recurrent_weight", "layers.1.input_weight", "layers.1.recurrent_weight"]
        drawn = [start[name].flatten() for start in starts for name in names]
        correlations = np.corrcoef(torch.stack(drawn).numpy())[np.triu_indices(9, 1)]
        # 36 pairs of 96 x 24 values: 4.5 standard errors.
        assert np.abs(correlations).max() < 4.5 / math.sqrt(96 * 24)

    @pytest.mark.parametrize(
        "build", [lambda: recurrent.RNN(3, 1, torch.tanh, 8, 1, False, 0.0), lambda: nn.Linear(3, 1)]
    )
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
            network = lstm(torch.tanh, 2, forget_bias)
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
