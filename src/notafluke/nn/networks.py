"""Networks of layers with a linear head: how layers are connected, how their states are carried, how they start.

Symbols in shapes: B samples, T time steps, F features, H units of a layer, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, overload

import torch
from torch import Tensor, nn

from notafluke.nn.cells import State, draw_uniform
from notafluke.nn.dropout import Dropout


class Layer(Protocol):
    """A layer: inputs [B, T, F] and a state of ``state_parts`` tensors to outputs [B, T, H] and the state after."""

    hidden_size: int

    @property
    def state_parts(self) -> int:
        """How many tensors its state has."""

    def initial_state(self, inputs: Tensor) -> State:
        """The state before the first time step."""

    def __call__(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs and the state after them."""


class Network(nn.Module):
    """Stacked layers and a linear head on every time step: [B, T, F] to [B, T, O].

    Called with a state it also returns the state after the last step: ``outputs, state = network(inputs, state)``. A
    sequence cut in pieces gives the same outputs as the uncut one when each piece starts from the state of the one
    before. ``dropout`` is the share of each layer's outputs that is set to 0 while training.
    """

    def __init__(self, layers: Sequence[nn.Module], output_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.dropouts = nn.ModuleList(Dropout(dropout) for _ in layers)
        self.head = nn.Linear(self._layers[-1].hidden_size, output_size)

    @property
    def _layers(self) -> list[Layer]:
        return list(self.layers)  # type: ignore[arg-type]

    @torch.no_grad()
    def initialise(self, name: str, generator: torch.Generator) -> None:
        """Draw the starting value of the parameter ``name`` (dotted path) from its own stream."""
        initialise_within(self, name, generator)

    @classmethod
    def input_sizes(cls, input_size: int, hidden_size: int, depth: int) -> list[int]:
        """Features that each of ``depth`` layers sees: those of the inputs, then the layer before."""
        return [input_size] + [hidden_size] * (depth - 1)

    def initial_state(self, inputs: Tensor) -> State:
        """The state before the first time step, for inputs [B, T, F]."""
        return tuple(part for layer in self._layers for part in layer.initial_state(inputs))

    @overload
    def forward(self, inputs: Tensor) -> Tensor: ...
    @overload
    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]: ...
    def forward(self, inputs: Tensor, state: State | None = None) -> Tensor | tuple[Tensor, State]:
        """Outputs [B, T, O] for inputs [B, T, F]; with a state also the state after them."""
        parts = iter(self.initial_state(inputs) if state is None else state)
        states = [tuple(next(parts) for _ in range(layer.state_parts)) for layer in self._layers]
        hidden, after = self.connect(inputs, states)
        outputs: Tensor = self.head(hidden)
        return outputs if state is None else (outputs, tuple(part for own in after for part in own))

    def connect(self, inputs: Tensor, states: Sequence[State]) -> tuple[Tensor, list[State]]:
        """What the head sees, [B, T, H], and the states after it: each layer on the one before."""
        after = []
        for layer, dropout, state in zip(self._layers, self.dropouts, states, strict=True):
            inputs, new_state = layer(inputs, state)
            inputs = dropout(inputs)
            after.append(new_state)
        return inputs, after


class DenseResidualNetwork(Network):
    """The connections of the earthquake network (research log).

    ``h1 = L(x)``, ``h2 = L([h1, x])``, ``r2 = h2 + h1``, ``h3 = L([r2, h2, h1, x])``, ``r3 = h3 + r2``, and so on: each
    layer sees the inputs, all hidden states before it and the last residual sum; the head sees the last hidden state.
    """

    @classmethod
    def input_sizes(cls, input_size: int, hidden_size: int, depth: int) -> list[int]:
        """See Network: all hidden states before, and from the third layer on the residual sum."""
        return [input_size + hidden_size * (number + (number >= 2)) for number in range(depth)]

    def connect(self, inputs: Tensor, states: Sequence[State]) -> tuple[Tensor, list[State]]:
        """See Network."""
        seen, residual, after = [inputs], inputs, list[State]()
        for number, (layer, dropout, state) in enumerate(zip(self._layers, self.dropouts, states, strict=True)):
            features = [residual, *seen] if number >= 2 else seen
            hidden, new_state = layer(torch.cat(features, dim=-1), state)
            hidden = dropout(hidden)
            residual = residual + hidden if number else hidden
            seen = [hidden, *seen]
            after.append(new_state)
        return seen[0], after


@torch.no_grad()
def initialise_within(model: nn.Module, name: str, generator: torch.Generator) -> None:
    """Draw a parameter by the rule of the module that holds it: its ``initialise``, or that of ``nn.Linear``.

    A parameter of any other module, such as an activation with parameters, starts as its constructor left it.
    """
    owner, _, own_name = name.rpartition(".")
    module = model.get_submodule(owner)
    if isinstance(module, nn.Linear):
        draw_uniform(module.get_parameter(own_name), module.in_features, generator)
    elif callable(rule := getattr(module, "initialise", None)):
        rule(own_name, generator)


def require_sizes(**sizes: int) -> None:
    """Raise ValueError, naming it, for a size that is not at least 1."""
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name}={value}: expected a whole number of at least 1")


def count_parameters(model: nn.Module) -> int:
    """Number of trained numbers of a model."""
    return sum(parameter.numel() for parameter in model.parameters())
