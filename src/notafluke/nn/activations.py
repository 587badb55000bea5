"""Hidden activations: functions of one tensor that keep its shape."""

from __future__ import annotations

import math

import torch
from torch import Tensor

GOLDEN_RATIO = (1 + math.sqrt(5)) / 2
SQRT_5 = math.sqrt(5)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent, the control of most claims."""
    return torch.tanh(x)


def golden_tanh(x: Tensor) -> Tensor:
    """Golden-ratio tanh: ``phi * tanh(x)``.

    A normal input of mean absolute deviation 1 leaves with mean absolute deviation 1.007 (research log).
    """
    return GOLDEN_RATIO * torch.tanh(x)


def iris(x: Tensor) -> Tensor:
    """Iris: ``sqrt(5) * x / sqrt(x^2 + 4)``, the project's own reconstruction, scaled so that ``iris(1) = 1``.

    The log gives no formula, only that Iris is related to the metallic ratios; this is the slope of the metallic
    mean ``M(x) = (x + sqrt(x^2 + 4)) / 2`` centred and normalised by the golden ratio.
    """
    return SQRT_5 * x * torch.rsqrt(x * x + 4)


def relu(x: Tensor) -> Tensor:
    """Rectified linear unit."""
    return torch.relu(x)
