"""Multilayer perceptron on all time steps of a sample at once.

Symbols in shapes: B samples, T time steps, F features, H units of a layer, O outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear

from notafluke.nn.cells import Activation, draw_uniform
from notafluke.nn.dropout import Dropout
from notafluke.nn.networks import initialise_within, require_sizes


class PerceptronLayer(nn.Module):
    """A fully connected layer: [B, F] to [B, H], ``activation(W x + b)``.

    With ``layer_norm`` the product is normalised before the bias is added (Ba, Kiros and Hinton 2016; its gain starts
    at 1). Raises ValueError for ``layer_norm`` with a single unit.
    """

    def __init__(self, input_size: int, hidden_size: int, activation: Activation, layer_norm: bool) -> None:
        super().__init__()
        if layer_norm and hidden_size < 2:
            raise ValueError("layer_norm needs a hidden_size of at least 2: of a single unit nothing is left")
        self.activation = activation
        self.layer_norm = layer_norm
        self.weight = nn.Parameter(torch.zeros(hidden_size, input_size))
        self.bias = nn.Parameter(torch.zeros(hidden_size))
        if layer_norm:
            self.gain = nn.Parameter(torch.ones(hidden_size))

    @torch.no_grad()
    def initialise(self, name: str, generator: torch.Generator) -> None:
        """Draw the starting value of the parameter ``name`` as ``nn.Linear`` does; the gain starts at 1."""
        if name == "gain":
            self.gain.fill_(1)
        else:
            draw_uniform(self.get_parameter(name), self.weight.shape[1], generator)

    def forward(self, inputs: Tensor) -> Tensor:
        """Activations [B, H] for inputs [B, F]."""
        if not self.layer_norm:
            return self.activation(linear(inputs, self.weight, self.bias))
        product = linear(inputs, self.weight)
        return self.activation(layer_norm(product, product.shape[-1:], self.gain) + self.bias)


class MLP(nn.Module):
    """Multilayer perceptron of ``depth`` hidden layers on a whole sample: [B, T, F] to [B, O].

    ``depth`` 0 has no hidden layer: a linear map of all inputs, with a softmax the multinomial logistic regression
    (Rosenblatt's perceptron of 1958 is its hard form). It has a weight for each feature of each of the ``steps`` time
    steps, so all samples must be of that length. ``dropout`` is the share of each hidden layer's outputs that is set to
    0 while training.

    Raises ValueError for a ``hidden_size`` or ``steps`` below 1, a depth below 0 and a dropout outside [0, 1).
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        activation: Activation,
        steps: int,
        hidden_size: int,
        depth: int,
        layer_norm: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        require_sizes(hidden_size=hidden_size, steps=steps)
        if depth < 0:
            raise ValueError(f"depth={depth}: expected a whole number of at least 0")
        # Without a hidden layer nothing is dropped, but a wrong share is as wrong.
        Dropout(dropout)
        self.steps = steps
        sizes = [steps * input_size] + [hidden_size] * depth
        self.layers = nn.ModuleList(PerceptronLayer(size, hidden_size, activation, layer_norm) for size in sizes[:-1])
        self.dropouts = nn.ModuleList(Dropout(dropout) for _ in self.layers)
        self.head = nn.Linear(sizes[-1], output_size)

    @torch.no_grad()
    def initialise(self, name: str, generator: torch.Generator) -> None:
        """Draw the starting value of the parameter ``name`` (dotted path) from its own stream."""
        initialise_within(self, name, generator)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs [B, O] for inputs [B, T, F]. Raises ValueError for another number of time steps than ``steps``."""
        if inputs.shape[1] != self.steps:
            raise ValueError(f"samples of {inputs.shape[1]} time steps for a perceptron of {self.steps}")
        hidden = inputs.flatten(1)
        for layer, dropout in zip(self.layers, self.dropouts, strict=True):
            hidden = dropout(layer(hidden))
        outputs: Tensor = self.head(hidden)
        return outputs
