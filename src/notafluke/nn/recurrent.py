"""The recurrent models, built from options: ``rnn``, ``gru``, ``lstm``, ``lstm_lite`` and their relatives."""

from __future__ import annotations

from bisect import bisect_left
from typing import ClassVar

import torch

from notafluke.nn.cells import (
    Activation,
    GatedCellLayer,
    GRULayer,
    LSTMLayer,
    LSTMLiteLayer,
    RecurrentLayer,
    RNNLayer,
)
from notafluke.nn.networks import DenseResidualNetwork, Network, count_parameters, require_sizes


class RNN(Network):
    """Plain recurrent network of ``depth`` layers of ``hidden_size`` units (Elman 1990).

    Raises ValueError for sizes below 1 and a dropout outside [0, 1).
    """

    layer_type: ClassVar[type[RecurrentLayer]] = RNNLayer

    def __init__(
        self,
        input_size: int,
        output_size: int,
        activation: Activation,
        hidden_size: int,
        depth: int,
        layer_norm: bool,
        dropout: float,
    ) -> None:
        require_sizes(hidden_size=hidden_size, depth=depth)
        sizes = self.input_sizes(input_size, hidden_size, depth)
        layers = [self.layer_type(size, hidden_size, activation, layer_norm) for size in sizes]
        super().__init__(layers, output_size, dropout)


class GRU(RNN):
    """Network of gated recurrent units (Cho et al. 2014). Raises ValueError as RNN does."""

    layer_type = GRULayer


class LSTM(Network):
    """LSTM network (Hochreiter and Schmidhuber 1997) with the forget gates' bias starting at ``forget_bias``.

    Raises ValueError as RNN does.
    """

    layer_type: ClassVar[type[GatedCellLayer]] = LSTMLayer

    def __init__(
        self,
        input_size: int,
        output_size: int,
        activation: Activation,
        hidden_size: int,
        depth: int,
        forget_bias: float,
        layer_norm: bool,
        dropout: float,
    ) -> None:
        require_sizes(hidden_size=hidden_size, depth=depth)
        sizes = self.input_sizes(input_size, hidden_size, depth)
        layers = [self.layer_type(size, hidden_size, activation, forget_bias, layer_norm) for size in sizes]
        super().__init__(layers, output_size, dropout)


class LSTMLite(LSTM):
    """LSTM with one shared matrix for gates and candidate (research log): 1/4 of the weights. Raises as RNN does."""

    layer_type = LSTMLiteLayer


class LSTMLiteWide(LSTMLite):
    """LSTM-LITE as wide as an LSTM of ``hidden_size`` units has parameters (the nearest width; research log).

    Raises ValueError as RNN does.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        activation: Activation,
        hidden_size: int,
        depth: int,
        forget_bias: float,
        layer_norm: bool,
        dropout: float,
    ) -> None:
        def parameters(model: type[LSTM], width: int) -> int:
            with torch.device("meta"):
                return count_parameters(
                    model(input_size, output_size, activation, width, depth, forget_bias, layer_norm, dropout)
                )

        wanted = parameters(LSTM, hidden_size)

        def surplus(width: int) -> int:
            return parameters(LSTMLite, width) - wanted

        # Four times as wide, its inputs alone have as many weights as all of the LSTM's inputs.
        enough = bisect_left(range(4 * hidden_size + 1), 0, lo=hidden_size, key=surplus)
        width = min((enough - 1, enough), key=lambda width: abs(surplus(width)))
        super().__init__(input_size, output_size, activation, width, depth, forget_bias, layer_norm, dropout)


class LSTMDenseResidual(DenseResidualNetwork, LSTM):
    """The earthquake network: LSTM layers that see all before them, with residual sums (research log)."""
