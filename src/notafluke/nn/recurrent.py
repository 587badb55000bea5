"""Recurrent networks in the project's own cell code, so that every activation runs through the same arithmetic.

All modules are written for one model; the engine batches them over seeds with ``torch.func.vmap``. Symbols in shapes:
B samples, T time steps, F features, H hidden units, O outputs.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

Activation = Callable[[Tensor], Tensor]


class RecurrentLayer(nn.Module, ABC):
    """One recurrent layer: [B, T, F] to its hidden states [B, T, H], starting from a state of zeros.

    Weights start uniform in ``+-1 / sqrt(H)`` and biases likewise, as ``torch.nn.RNN`` and ``torch.nn.LSTM`` do.
    """

    blocks: int

    def __init__(self, input_size: int, hidden_size: int, activation: Activation) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.activation = activation
        rows = self.blocks * hidden_size
        self.input_weight = nn.Parameter(torch.zeros(rows, input_size))
        self.recurrent_weight = nn.Parameter(torch.zeros(rows, hidden_size))
        self.bias = nn.Parameter(torch.zeros(rows))

    @torch.no_grad()
    def initialise(self, name: str, generator: torch.Generator) -> None:
        """Draw the starting value of the parameter ``name`` from its own stream."""
        bound = 1 / math.sqrt(self.hidden_size)
        self.get_parameter(name).uniform_(-bound, bound, generator=generator)

    @abstractmethod
    def scan(self, projected: tuple[Tensor, ...]) -> list[Tensor]:
        """Hidden states [B, H] of all steps out of the projected inputs [B, blocks * H] of all steps."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Hidden states [B, T, H] for inputs [B, T, F]."""
        projected = nn.functional.linear(inputs, self.input_weight, self.bias)
        return torch.stack(self.scan(projected.unbind(1)), dim=1)


class RNNLayer(RecurrentLayer):
    """Elman's layer: ``h = activation(W x + U h + b)``."""

    blocks = 1

    def scan(self, projected: tuple[Tensor, ...]) -> list[Tensor]:
        """See RecurrentLayer."""
        hidden = torch.zeros_like(projected[0])
        states = []
        for step in projected:
            hidden = self.activation(step + nn.functional.linear(hidden, self.recurrent_weight))
            states.append(hidden)
        return states


class LSTMLayer(RecurrentLayer):
    """Hochreiter and Schmidhuber's LSTM with forget gates; gates in PyTorch's order input, forget, candidate, output.

    The activation is that of the candidate and of the cell's output; the gates stay sigmoid. The forget gate's bias
    starts at ``forget_bias`` (Gers, Schmidhuber and Cummins 2000; Jozefowicz, Zaremba and Sutskever 2015).
    """

    blocks = 4

    def __init__(self, input_size: int, hidden_size: int, activation: Activation, forget_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size, activation)
        self.forget_bias = forget_bias

    @torch.no_grad()
    def initialise(self, name: str, generator: torch.Generator) -> None:
        """Draw the starting value of the parameter ``name`` from its own stream."""
        super().initialise(name, generator)
        if name == "bias":
            self.bias[self.hidden_size : 2 * self.hidden_size] = self.forget_bias

    def scan(self, projected: tuple[Tensor, ...]) -> list[Tensor]:
        """See RecurrentLayer."""
        cell = torch.zeros_like(projected[0][:, : self.hidden_size])
        hidden = cell
        states = []
        for step in projected:
            gates = step + nn.functional.linear(hidden, self.recurrent_weight)
            input_gate, forget_gate, candidate, output_gate = gates.chunk(4, dim=-1)
            written = torch.sigmoid(input_gate) * self.activation(candidate)
            cell = torch.sigmoid(forget_gate) * cell + written
            hidden = torch.sigmoid(output_gate) * self.activation(cell)
            states.append(hidden)
        return states


class RecurrentNetwork(nn.Module):
    """Stacked recurrent layers and a linear head on the last hidden state: [B, T, F] to [B, O]."""

    def __init__(self, layers: list[RecurrentLayer], output_size: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.head = nn.Linear(layers[-1].hidden_size, output_size)

    @torch.no_grad()
    def initialise(self, name: str, generator: torch.Generator) -> None:
        """Draw the starting value of the parameter ``name`` (dotted path) from its own stream."""
        owner, _, own_name = name.rpartition(".")
        module = self.get_submodule(owner)
        if isinstance(module, RecurrentLayer):
            module.initialise(own_name, generator)
        else:
            bound = 1 / math.sqrt(self.head.in_features)
            self.get_parameter(name).uniform_(-bound, bound, generator=generator)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs [B, O] for inputs [B, T, F]."""
        states = inputs
        for layer in self.layers:
            states = layer(states)
        outputs: Tensor = self.head(states[:, -1])
        return outputs


def layer_inputs(input_size: int, hidden_size: int, depth: int) -> list[int]:
    """Input sizes of ``depth`` stacked layers. Raises ValueError unless both sizes are at least 1."""
    for name, value in (("hidden_size", hidden_size), ("depth", depth)):
        if value < 1:
            raise ValueError(f"{name}={value}: expected a whole number of at least 1")
    return [input_size] + [hidden_size] * (depth - 1)


def rnn(input_size: int, output_size: int, activation: Activation, hidden_size: int, depth: int) -> RecurrentNetwork:
    """Plain recurrent network of ``depth`` layers of ``hidden_size`` units. Raises ValueError for sizes below 1."""
    sizes = layer_inputs(input_size, hidden_size, depth)
    return RecurrentNetwork([RNNLayer(size, hidden_size, activation) for size in sizes], output_size)


def lstm(
    input_size: int, output_size: int, activation: Activation, hidden_size: int, depth: int, forget_bias: float
) -> RecurrentNetwork:
    """LSTM network of ``depth`` layers of ``hidden_size`` units. Raises ValueError for sizes below 1."""
    sizes = layer_inputs(input_size, hidden_size, depth)
    return RecurrentNetwork([LSTMLayer(size, hidden_size, activation, forget_bias) for size in sizes], output_size)
