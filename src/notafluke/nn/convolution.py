"""Temporal convolutional network: causal dilated convolutions in residual blocks (Bai, Kolter and Koltun 2018).

Symbols in shapes: B samples, T time steps, F features, H channels.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from notafluke.nn.cells import Activation, State, draw_uniform
from notafluke.nn.dropout import Dropout
from notafluke.nn.networks import Network, require_sizes


class CausalConvolution(nn.Module):
    """A causal convolution with weight normalisation: [B, T, F] to [B, T, H]; step t sees t, t - d, t - 2 d, ...

    It is a matrix product of the shifted inputs, because a batched product is the same for every number of seeds, and
    convolution kernels are not. Each row of the weight is ``length * direction / |direction|`` (Salimans and Kingma
    2016); it starts with the length of its direction. The past before the first step is 0 and is handed over from piece
    to piece, so a sequence may be cut.
    """

    def __init__(self, input_size: int, hidden_size: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.fan_in = input_size * kernel_size
        self.direction = nn.Parameter(torch.ones(hidden_size, self.fan_in))
        self.length = nn.Parameter(torch.ones(hidden_size))
        self.bias = nn.Parameter(torch.zeros(hidden_size))

    @torch.no_grad()
    def initialise(self, name: str, generator: torch.Generator) -> None:
        """Directions and biases uniform in ``+-1 / sqrt(fan in)``, as ``nn.Conv1d``; lengths follow the directions."""
        if name == "length":
            self.length.copy_(self.direction.norm(dim=1))
        else:
            draw_uniform(self.get_parameter(name), self.fan_in, generator)

    @property
    def padding(self) -> int:
        """How many steps of the past it needs: what stands for padding before the first step."""
        return (self.kernel_size - 1) * self.dilation

    def forward(self, inputs: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs [B, T, H] and the new past, for inputs [B, T, F] and the past [B, padding, F]."""
        known = torch.cat([past, inputs], dim=1)
        steps = inputs.shape[1]
        taps = [known[:, start : start + steps] for start in range(0, self.padding + 1, self.dilation)]
        weight = self.direction * (self.length / self.direction.square().sum(1).sqrt())[:, None]
        return linear(torch.cat(taps, dim=-1), weight, self.bias), known[:, steps:]


class TemporalBlock(nn.Module):
    """Two causal convolutions with activation and dropout, and a residual connection: [B, T, F] to [B, T, H]."""

    state_parts: ClassVar[int] = 2

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        activation: Activation,
        kernel_size: int,
        dilation: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.activation = activation
        self.first = CausalConvolution(input_size, hidden_size, kernel_size, dilation)
        self.second = CausalConvolution(hidden_size, hidden_size, kernel_size, dilation)
        self.first_dropout, self.second_dropout = Dropout(dropout), Dropout(dropout)
        self.skip = nn.Identity() if input_size == hidden_size else nn.Linear(input_size, hidden_size)

    def initial_state(self, inputs: Tensor) -> State:
        """A past of zeros for both convolutions, whatever the features of the network's inputs [B, T, ...]."""
        return tuple(
            inputs.new_zeros(len(inputs), convolution.padding, convolution.fan_in // convolution.kernel_size)
            for convolution in (self.first, self.second)
        )

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, H] and the pasts after them."""
        inner, first_past = self.first(inputs, state[0])
        inner = self.first_dropout(self.activation(inner))
        inner, second_past = self.second(inner, state[1])
        inner = self.second_dropout(self.activation(inner))
        return self.activation(inner + self.skip(inputs)), (first_past, second_past)


class TCN(Network):
    """Temporal convolutional network of ``depth`` blocks with dilations 1, 2, 4, ... and ``hidden_size`` channels.

    A step sees ``1 + 2 (kernel_size - 1) (2^depth - 1)`` steps, its own included. Raises ValueError for sizes below 1
    and a dropout outside [0, 1).
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        activation: Activation,
        hidden_size: int,
        depth: int,
        kernel_size: int,
        dropout: float,
    ) -> None:
        require_sizes(hidden_size=hidden_size, depth=depth, kernel_size=kernel_size)
        sizes = self.input_sizes(input_size, hidden_size, depth)
        blocks = [
            TemporalBlock(size, hidden_size, activation, kernel_size, 2**level, dropout)
            for level, size in enumerate(sizes)
        ]
        super().__init__(blocks, output_size)
