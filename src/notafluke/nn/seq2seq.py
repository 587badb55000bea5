"""Sequence to sequence: an LSTM reads the source, another writes the target, with or without attention.

Symbols in shapes: B samples, I source steps, T target steps, F features, O outputs, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from notafluke.nn.attention import Attention
from notafluke.nn.cells import Activation, LSTMLayer, State
from notafluke.nn.dropout import Dropout
from notafluke.nn.networks import Network, initialise_within, require_sizes


class Seq2Seq(nn.Module):
    """Encoder and decoder of ``depth`` LSTM layers each (Sutskever, Vinyals and Le 2014).

    The decoder starts from the encoder's last state; ``attention(hidden_size)`` gives its attention, or None.

    The decoder's input at a step is the target of the step before (zeros at the first), or its own most probable class
    when it runs freely. The head sees the hidden state of the decoder's last layer and, with attention, the context.
    Raises ValueError for sizes below 1 and a dropout outside [0, 1).
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        activation: Activation,
        attention: Callable[[int], Attention | None],
        hidden_size: int,
        depth: int,
        forget_bias: float,
        layer_norm: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        require_sizes(hidden_size=hidden_size, depth=depth)

        def layers(size: int) -> nn.ModuleList:
            sizes = Network.input_sizes(size, hidden_size, depth)
            return nn.ModuleList(LSTMLayer(own, hidden_size, activation, forget_bias, layer_norm) for own in sizes)

        self.encoder, self.decoder = layers(input_size), layers(output_size)
        self.attention = attention(hidden_size)
        self.encoder_dropouts = nn.ModuleList(Dropout(dropout) for _ in self.encoder)
        self.decoder_dropouts = nn.ModuleList(Dropout(dropout) for _ in self.decoder)
        self.head = nn.Linear(hidden_size * (1 if self.attention is None else 2), output_size)

    @torch.no_grad()
    def initialise(self, name: str, generator: torch.Generator) -> None:
        """Draw the starting value of the parameter ``name`` (dotted path) from its own stream."""
        initialise_within(self, name, generator)

    def forward(self, inputs: Tensor, previous: Tensor, free_running: bool = False) -> Tensor:
        """Outputs [B, T, O] for the source [B, I, F] and the targets of the step before [B, T, O].

        ``free_running`` takes only the number of steps and the first one from ``previous``.
        """
        encoded, states = self.encode(inputs)
        keys = None if self.attention is None else self.attention.keys(encoded)
        past: Tensor | None = None
        outputs: list[Tensor] = []
        for step in range(previous.shape[1]):
            symbol = most_probable(outputs[-1]) if free_running and step else previous[:, step]
            hidden, states = self.decode(symbol, states)
            if self.attention is not None and keys is not None:
                context, past = self.attention(hidden, keys, encoded, past)
                hidden = torch.cat([hidden, context], dim=-1)
            outputs.append(self.head(hidden))
        return torch.stack(outputs, dim=1)

    def encode(self, inputs: Tensor) -> tuple[Tensor, list[State]]:
        """The last layer's hidden states [B, I, H] and every layer's last state."""
        states = []
        for layer, dropout in zip(self.encoder, self.encoder_dropouts, strict=True):
            inputs, state = layer(inputs)
            inputs = dropout(inputs)
            states.append(state)
        return inputs, states

    def decode(self, symbol: Tensor, states: list[State]) -> tuple[Tensor, list[State]]:
        """Hidden state [B, H] of the last layer and every layer's state after one step with the input [B, O]."""
        after = []
        for layer, dropout, state in zip(self.decoder, self.decoder_dropouts, states, strict=True):
            assert isinstance(layer, LSTMLayer)
            hidden, new_state = layer.step(layer.project(symbol), state)
            symbol = dropout(hidden)
            after.append(new_state)
        return symbol, after


def most_probable(outputs: Tensor) -> Tensor:
    """One-hot [B, O] of the largest output; the first of several."""
    classes = torch.arange(outputs.shape[-1], device=outputs.device)
    return (outputs.argmax(-1, keepdim=True) == classes).to(outputs)
