"""Recurrent networks: the models ``rnn``, ``gru``, ``lstm``, ``lstm_lite`` and their relatives, built from options."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from notafluke.nn.cells import Activation, GRULayer, LSTMLayer, LSTMLiteLayer, RecurrentLayer, RNNLayer
from notafluke.nn.networks import DenseResidualNetwork, Network, require_sizes

BuildLayer = Callable[[int, int], RecurrentLayer]
"""A layer from its input and hidden size."""


def rnn(
    input_size: int,
    output_size: int,
    activation: Activation,
    hidden_size: int,
    depth: int,
    layer_norm: bool,
    dropout: float,
) -> Network:
    """Plain recurrent network (Elman 1990). Raises ValueError for sizes below 1 and a dropout outside [0, 1)."""
    build = partial(RNNLayer, activation=activation, layer_norm=layer_norm)
    return stacked(build, input_size, output_size, hidden_size, depth, dropout)


def gru(
    input_size: int,
    output_size: int,
    activation: Activation,
    hidden_size: int,
    depth: int,
    layer_norm: bool,
    dropout: float,
) -> Network:
    """Network of gated recurrent units (Cho et al. 2014). Raises ValueError as ``rnn`` does."""
    build = partial(GRULayer, activation=activation, layer_norm=layer_norm)
    return stacked(build, input_size, output_size, hidden_size, depth, dropout)


def lstm(
    input_size: int,
    output_size: int,
    activation: Activation,
    hidden_size: int,
    depth: int,
    forget_bias: float,
    layer_norm: bool,
    dropout: float,
) -> Network:
    """LSTM network (Hochreiter and Schmidhuber 1997). Raises ValueError as ``rnn`` does."""
    build = partial(LSTMLayer, activation=activation, forget_bias=forget_bias, layer_norm=layer_norm)
    return stacked(build, input_size, output_size, hidden_size, depth, dropout)


def lstm_lite(
    input_size: int,
    output_size: int,
    activation: Activation,
    hidden_size: int,
    depth: int,
    forget_bias: float,
    layer_norm: bool,
    dropout: float,
) -> Network:
    """LSTM with one shared matrix for gates and candidate (research log), 1/4 of the weights. Raises as ``rnn``."""
    build = partial(LSTMLiteLayer, activation=activation, forget_bias=forget_bias, layer_norm=layer_norm)
    return stacked(build, input_size, output_size, hidden_size, depth, dropout)


def lstm_lite_wide(
    input_size: int,
    output_size: int,
    activation: Activation,
    hidden_size: int,
    depth: int,
    forget_bias: float,
    layer_norm: bool,
    dropout: float,
) -> Network:
    """LSTM-LITE as wide as an LSTM of ``hidden_size`` units has parameters (the nearest width; research log).

    Raises ValueError as ``rnn`` does.
    """
    require_sizes(hidden_size=hidden_size, depth=depth)
    options = {"activation": torch.tanh, "depth": depth, "forget_bias": 0.0, "layer_norm": layer_norm, "dropout": 0.0}

    def surplus(width: int) -> int:
        with torch.device("meta"):
            ours = lstm_lite(input_size, output_size, hidden_size=width, **options)  # type: ignore[arg-type]
            theirs = lstm(input_size, output_size, hidden_size=hidden_size, **options)  # type: ignore[arg-type]
        return count_parameters(ours) - count_parameters(theirs)

    # Four times as wide, its inputs alone have as many weights as all of the LSTM's inputs.
    wide = bisect_left(range(4 * hidden_size + 1), 0, lo=hidden_size, key=surplus)
    width = min((wide - 1, wide), key=lambda width: abs(surplus(width)))
    return lstm_lite(input_size, output_size, activation, width, depth, forget_bias, layer_norm, dropout)


def lstm_dense_residual(
    input_size: int,
    output_size: int,
    activation: Activation,
    hidden_size: int,
    depth: int,
    forget_bias: float,
    layer_norm: bool,
    dropout: float,
) -> DenseResidualNetwork:
    """The earthquake network: LSTM layers that see all before them, with residual sums. Raises as ``rnn`` does."""
    require_sizes(hidden_size=hidden_size, depth=depth)
    layers = [
        LSTMLayer(size, hidden_size, activation, forget_bias, layer_norm)
        for size in DenseResidualNetwork.input_sizes(input_size, hidden_size, depth)
    ]
    return DenseResidualNetwork(layers, output_size, dropout)


def stacked(
    build: BuildLayer, input_size: int, output_size: int, hidden_size: int, depth: int, dropout: float
) -> Network:
    """A network of ``depth`` layers, each on the one before. Raises ValueError for sizes below 1."""
    require_sizes(hidden_size=hidden_size, depth=depth)
    sizes = [input_size] + [hidden_size] * (depth - 1)
    return Network([build(size, hidden_size) for size in sizes], output_size, dropout)


def count_parameters(model: nn.Module) -> int:
    """Number of trained numbers of a model."""
    return sum(parameter.numel() for parameter in model.parameters())
