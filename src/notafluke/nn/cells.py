"""Recurrent layers in the project's own cell code, so that every activation runs through the same arithmetic.

All modules are written for one model; the engine batches them over seeds with ``torch.func.vmap``. Symbols in shapes:
B samples, T time steps, F features, H hidden units.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear

from notafluke.nn.elementwise import elementwise
from notafluke.nn.lstm_scan import Tape, run_lstm

Activation = Callable[[Tensor], Tensor]
State = tuple[Tensor, ...]
"""What a network carries from one time step to the next: tensors whose first axis is the sample."""


@torch.no_grad()
def draw_uniform(parameter: Tensor, fan_in: int, generator: torch.Generator) -> None:
    """Draw a starting value uniform in ``+-1 / sqrt(fan_in)``, as PyTorch's own layers do."""
    bound = 1 / math.sqrt(fan_in)
    parameter.uniform_(-bound, bound, generator=generator)


class RecurrentLayer(nn.Module, ABC):
    """One recurrent layer: inputs [B, T, F] and a state to hidden states [B, T, H] and the state after them.

    Weights start uniform in ``+-1 / sqrt(H)`` and biases likewise, as ``torch.nn.RNN`` and ``torch.nn.LSTM`` do. With
    ``layer_norm`` both products, of the inputs and of the hidden state, are normalised before they are added (Ba, Kiros
    and Hinton 2016, their gains start at 1; their shifts are one with the bias).

    ``blocks`` is how many parts of H rows the products have, ``state_parts`` how many tensors [B, H] the state has.
    """

    blocks: ClassVar[int]
    state_parts: ClassVar[int] = 1

    def __init__(self, input_size: int, hidden_size: int, activation: Activation, layer_norm: bool = False) -> None:
        super().__init__()
        if layer_norm and hidden_size < 2:
            raise ValueError("layer_norm needs a hidden_size of at least 2: of a single unit nothing is left")
        self.hidden_size = hidden_size
        self.activation = activation
        self.layer_norm = layer_norm
        rows = self.blocks * hidden_size
        self.input_weight = nn.Parameter(torch.zeros(rows, input_size))
        self.recurrent_weight = nn.Parameter(torch.zeros(rows, hidden_size))
        self.bias = nn.Parameter(torch.zeros(self.bias_rows))
        if layer_norm:
            self.input_gain = nn.Parameter(torch.ones(rows))
            self.recurrent_gain = nn.Parameter(torch.ones(rows))

    @property
    def bias_rows(self) -> int:
        """Number of biases."""
        return self.blocks * self.hidden_size

    @torch.no_grad()
    def initialise(self, name: str, generator: torch.Generator) -> None:
        """Draw the starting value of the parameter ``name`` from its own stream; gains start at 1."""
        if name.endswith("gain"):
            self.get_parameter(name).fill_(1)
        else:
            draw_uniform(self.get_parameter(name), self.hidden_size, generator)

    def initial_state(self, inputs: Tensor) -> State:
        """A state of zeros for inputs [B, T, F]."""
        return tuple(inputs.new_zeros(len(inputs), self.hidden_size) for _ in range(self.state_parts))

    def project(self, inputs: Tensor) -> Tensor:
        """What the inputs [..., F] contribute to the blocks, [..., rows]: computed for all time steps at once."""
        if self.layer_norm:
            return self.normalised(linear(inputs, self.input_weight), self.input_gain) + self.bias
        return linear(inputs, self.input_weight, self.bias)

    def recur(self, hidden: Tensor) -> Tensor:
        """What the hidden state [B, H] contributes to the blocks, [B, rows]."""
        product = linear(hidden, self.recurrent_weight)
        return self.normalised(product, self.recurrent_gain) if self.layer_norm else product

    def normalised(self, product: Tensor, gain: Tensor) -> Tensor:
        """Layer normalisation over all rows."""
        return layer_norm(product, product.shape[-1:], gain)

    @abstractmethod
    def step(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        """Hidden state [B, H] and state after one time step, from the projected inputs [B, rows] and the state."""

    def forward(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Hidden states [B, T, H] and last state for inputs [B, T, F], starting from ``state`` or from zeros."""
        state = self.initial_state(inputs) if state is None else state
        hidden_states = []
        for projected in self.project(inputs).unbind(1):
            hidden, state = self.step(projected, state)
            hidden_states.append(hidden)
        return torch.stack(hidden_states, dim=1), state


class RNNLayer(RecurrentLayer):
    """Elman's layer: ``h = activation(W x + U h + b)``."""

    blocks = 1

    def step(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        """See RecurrentLayer."""
        hidden = self.activation(projected + self.recur(state[0]))
        return hidden, (hidden,)


class GRULayer(RecurrentLayer):
    """Cho's gated recurrent unit in PyTorch's form; blocks in its order reset, update, candidate.

    ``n = activation(W x + b + r * (U h + c))``, ``h = (1 - z) * n + z * h``: the activation is that of the candidate,
    the gates stay sigmoid. ``c`` is ``candidate_bias``; in the gates both biases would be one.
    """

    blocks = 3

    def __init__(self, input_size: int, hidden_size: int, activation: Activation, layer_norm: bool = False) -> None:
        super().__init__(input_size, hidden_size, activation, layer_norm)
        self.candidate_bias = nn.Parameter(torch.zeros(hidden_size))

    def normalised(self, product: Tensor, gain: Tensor) -> Tensor:
        """Gates and candidate are normalised apart."""
        gates = 2 * self.hidden_size
        parts = ((product[..., :gates], gain[:gates]), (product[..., gates:], gain[gates:]))
        return torch.cat([layer_norm(part, part.shape[-1:], own_gain) for part, own_gain in parts], dim=-1)

    def step(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        """See RecurrentLayer."""
        (hidden,) = state
        reset_in, update_in, candidate_in = projected.chunk(3, dim=-1)
        reset_hidden, update_hidden, candidate_hidden = self.recur(hidden).chunk(3, dim=-1)
        reset = torch.sigmoid(reset_in + reset_hidden)
        update = torch.sigmoid(update_in + update_hidden)
        candidate = self.activation(candidate_in + reset * (candidate_hidden + self.candidate_bias))
        hidden = (1 - update) * candidate + update * hidden
        return hidden, (hidden,)


class GatedCellLayer(RecurrentLayer):
    """What LSTM and LSTM-LITE share: a cell with input, forget and output gate, and a candidate.

    The activation is that of the candidate and of the cell's output; the gates stay sigmoid. The forget gate's bias
    starts at ``forget_bias`` (Gers, Schmidhuber and Cummins 2000; Jozefowicz, Zaremba and Sutskever 2015). With
    ``layer_norm`` the cell is normalised before the output's activation.
    """

    state_parts = 2

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        activation: Activation,
        forget_bias: float = 1.0,
        layer_norm: bool = False,
    ) -> None:
        super().__init__(input_size, hidden_size, activation, layer_norm)
        self.forget_bias = forget_bias
        if layer_norm:
            self.cell_gain = nn.Parameter(torch.ones(hidden_size))
            self.cell_shift = nn.Parameter(torch.zeros(hidden_size))

    @property
    def bias_rows(self) -> int:
        """Four biases for each unit, in PyTorch's order input gate, forget gate, candidate, output gate."""
        return 4 * self.hidden_size

    @torch.no_grad()
    def initialise(self, name: str, generator: torch.Generator) -> None:
        """See RecurrentLayer; the forget gate's bias starts at ``forget_bias``, the cell's shift at 0."""
        super().initialise(name, generator)
        if name == "bias":
            self.bias[self.hidden_size : 2 * self.hidden_size] = self.forget_bias
        if name == "cell_shift":
            self.cell_shift.zero_()

    @abstractmethod
    def gate_inputs(self, total: Tensor) -> tuple[Tensor, ...]:
        """What goes into input gate, forget gate, candidate and output gate, [B, H] each, from the sum of products."""

    def step(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        """See RecurrentLayer."""
        hidden, cell = state
        input_gate, forget_gate, candidate, output_gate = self.gate_inputs(projected + self.recur(hidden))
        written = torch.sigmoid(input_gate) * self.activation(candidate)
        cell = torch.sigmoid(forget_gate) * cell + written
        shown = layer_norm(cell, cell.shape[-1:], self.cell_gain, self.cell_shift) if self.layer_norm else cell
        hidden = torch.sigmoid(output_gate) * self.activation(shown)
        return hidden, (hidden, cell)


class LSTMLayer(GatedCellLayer):
    """Hochreiter and Schmidhuber's LSTM with forget gates: weights of their own for gates and candidate.

    With an elementwise activation of this package, and without ``layer_norm``, all time steps are one operation, which
    gives the same numbers to the last bit.
    """

    blocks = 4

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        activation: Activation,
        forget_bias: float = 1.0,
        layer_norm: bool = False,
    ) -> None:
        super().__init__(input_size, hidden_size, activation, forget_bias, layer_norm)
        # A subclass may have other steps.
        self.scanned = elementwise(activation) if type(self) is LSTMLayer and not layer_norm else None

    def forward(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """See RecurrentLayer."""
        if self.scanned is None:
            return super().forward(inputs, state)
        hidden, cell = self.initial_state(inputs) if state is None else state
        weights = (self.input_weight, self.recurrent_weight, self.bias)
        tape = Tape() if torch.is_grad_enabled() else None
        outputs, *after = run_lstm(inputs, *weights, hidden, cell, self.scanned, tape)
        return outputs, tuple(after)

    def gate_inputs(self, total: Tensor) -> tuple[Tensor, ...]:
        """See GatedCellLayer."""
        return total.chunk(4, dim=-1)


class LSTMLiteLayer(GatedCellLayer):
    """LSTM-LITE (research log): gates and candidate share one input and one recurrent matrix, with a bias each.

    ``H (F + H) + 4 H`` parameters instead of LSTM's ``4 H (F + H) + 4 H``.
    """

    blocks = 1

    def project(self, inputs: Tensor) -> Tensor:
        """See RecurrentLayer; the four biases come after the sum of the shared products."""
        product = linear(inputs, self.input_weight)
        return self.normalised(product, self.input_gain) if self.layer_norm else product

    def gate_inputs(self, total: Tensor) -> tuple[Tensor, ...]:
        """See GatedCellLayer."""
        return tuple(total + bias for bias in self.bias.chunk(4))
