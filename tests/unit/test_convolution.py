"""The temporal convolutional network against PyTorch's convolutions, and what it can see."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from notafluke.nn.convolution import TCN, CausalConvolution, TemporalBlock
from notafluke.training.batching import initial_parameters


def randomise(module: nn.Module) -> None:
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-0.6, 0.6, generator=random)


def padded_conv1d(convolution: CausalConvolution, inputs: Tensor, features: int) -> Tensor:
    """Bai et al.: `weight_norm(nn.Conv1d)` on inputs padded on the left, with our weights."""
    kernel = convolution.kernel_size
    theirs = nn.utils.parametrizations.weight_norm(
        nn.Conv1d(features, len(convolution.length), kernel, dilation=convolution.dilation).double()
    )
    # Our rows hold the taps one after another, the oldest first; theirs are [out, in, kernel].
    direction = convolution.direction.detach().unflatten(1, (kernel, features)).transpose(1, 2)
    with torch.no_grad():
        theirs.parametrizations.weight.original0.copy_(convolution.length[:, None, None])  # type: ignore[union-attr]
        theirs.parametrizations.weight.original1.copy_(direction)  # type: ignore[union-attr]
        theirs.bias.copy_(convolution.bias)  # type: ignore[union-attr]
    padded = nn.functional.pad(inputs.transpose(1, 2), (convolution.padding, 0))
    found: Tensor = theirs(padded).transpose(1, 2)
    return found


@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (2, 1), (3, 2), (4, 8)])
def test_a_causal_convolution_is_pytorchs_with_padding_and_weight_norm(kernel_size: int, dilation: int) -> None:
    convolution = CausalConvolution(3, 5, kernel_size, dilation).double()
    randomise(convolution)
    inputs = torch.randn(2, 13, 3, dtype=torch.float64)
    found, past = convolution(inputs, inputs.new_zeros(2, convolution.padding, 3))
    torch.testing.assert_close(found, padded_conv1d(convolution, inputs, 3), rtol=1e-12, atol=1e-12)
    assert past.shape == (2, convolution.padding, 3)


def test_a_block_is_that_of_the_paper() -> None:
    """relu(x' + relu(conv(relu(conv(x))))), x' through a 1x1 convolution where the channels differ."""
    for features in (3, 6):
        block = TemporalBlock(features, 6, torch.relu, kernel_size=3, dilation=2, dropout=0.0).double()
        randomise(block)
        inputs = torch.randn(2, 9, features, dtype=torch.float64)
        inner = torch.relu(padded_conv1d(block.first, inputs, features))
        inner = torch.relu(padded_conv1d(block.second, inner, 6))
        skip = inputs if features == 6 else inputs @ block.skip.weight.T + block.skip.bias  # type: ignore[operator]
        found, _ = block(inputs, block.initial_state(inputs))
        torch.testing.assert_close(found, torch.relu(inner + skip), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("depth", "kernel_size", "reach"), [(1, 3, 5), (2, 2, 7), (3, 3, 29), (4, 3, 61)])
def test_what_a_step_sees(depth: int, kernel_size: int, reach: int) -> None:
    """Itself and so many steps before it, none after it: 1 + 2 (k - 1) (2^depth - 1) in all."""
    assert reach == 1 + 2 * (kernel_size - 1) * (2**depth - 1)
    network = TCN(2, 1, torch.tanh, 4, depth, kernel_size, 0.0).double()
    randomise(network)
    inputs = torch.randn(1, 80, 2, dtype=torch.float64, requires_grad=True)
    network(inputs)[0, 70].sum().backward()
    assert inputs.grad is not None
    seen = inputs.grad[0].abs().sum(1) > 0
    assert seen.nonzero().flatten().tolist() == list(range(70 - reach + 1, 71))


def test_lengths_start_as_those_of_the_directions() -> None:
    start = initial_parameters(lambda: TCN(2, 1, torch.relu, 4, 2, 3, 0.0), 3, 0)
    for name in ("layers.0.first", "layers.1.second"):
        torch.testing.assert_close(start[f"{name}.length"], start[f"{name}.direction"].norm(dim=1))
