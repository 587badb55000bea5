"""Hidden activations: functions of one tensor that keep its shape.

The three Iris variants are this project's own reconstructions: the research log names Iris and gives no formula.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

GOLDEN_RATIO = (1 + math.sqrt(5)) / 2
SILVER_RATIO = 1 + math.sqrt(2)
SQRT_5 = math.sqrt(5)
# The square of a float32 overflows at 1.8e19; x / sqrt(x^2 + 4) is 1 to all digits long before.
FAR = 1e9


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent, the control of most claims."""
    return torch.tanh(x)


def golden_tanh(x: Tensor) -> Tensor:
    """Golden-ratio tanh: ``phi * tanh(x)``.

    A normal input of mean absolute deviation 1 leaves with mean absolute deviation 1.007 (research log).
    """
    return GOLDEN_RATIO * torch.tanh(x)


def silver_tanh(x: Tensor) -> Tensor:
    """Silver-ratio tanh: ``(1 + sqrt(2)) * tanh(x)`` (research log)."""
    return SILVER_RATIO * torch.tanh(x)


def lecun_tanh(x: Tensor) -> Tensor:
    """LeCun's scaled tanh: ``1.7159 * tanh(2 x / 3)`` (LeCun, Bottou, Orr and Mueller 1998); it is 1 at 1."""
    return 1.7159 * torch.tanh(2 / 3 * x)


def iris(x: Tensor) -> Tensor:
    """Iris: ``sqrt(5) * x / sqrt(x^2 + 4)``, the project's own reconstruction, scaled so that ``iris(1) = 1``.

    The slope of the metallic mean ``M(x) = (x + sqrt(x^2 + 4)) / 2``, centred and normalised by the golden ratio:
    ``M(1) = phi`` and ``M'(1) = phi / sqrt(5)``.
    """
    return SQRT_5 * iris_sigmoid(x)


def iris_sigmoid(x: Tensor) -> Tensor:
    """Iris as a sigmoid: ``2 M'(x) - 1 = x / sqrt(x^2 + 4)``, the project's own reconstruction.

    M is the metallic mean, see ``iris``. Odd, within (-1, 1), slope 1/2 at 0.
    """
    x = x.clamp(-FAR, FAR)
    return x * torch.rsqrt(x * x + 4)


def iris_log(x: Tensor) -> Tensor:
    """Iris as a logarithm: ``log M(x) = asinh(x / 2)``, the project's own reconstruction.

    M is the metallic mean, see ``iris``. Odd, unbounded, slope 1/2 at 0; ``tanh(iris_log(x)) = iris_sigmoid(x)``.
    """
    return torch.asinh(x / 2)


def softsign(x: Tensor) -> Tensor:
    """Softsign: ``x / (1 + |x|)`` (Turian, Bergstra and Bengio 2009)."""
    return x / (1 + x.abs())


def relu(x: Tensor) -> Tensor:
    """Rectified linear unit: ``max(x, 0)``, slope 0 at 0 (Nair and Hinton 2010)."""
    return torch.relu(x)


def leaky_relu(x: Tensor, negative_slope: float) -> Tensor:
    """Leaky rectified linear unit: ``x`` above 0, else ``negative_slope * x``, its slope at 0 (Maas et al. 2013)."""
    return functional.leaky_relu(x, negative_slope)


def gelu(x: Tensor) -> Tensor:
    """Gaussian error linear unit: ``x * Phi(x)``, Phi the normal distribution function (Hendrycks and Gimpel 2016)."""
    return functional.gelu(x)


def silu(x: Tensor) -> Tensor:
    """Sigmoid linear unit, swish: ``x * sigmoid(x)`` (Elfwing, Uchibe and Doya 2018)."""
    return functional.silu(x)


def mish(x: Tensor) -> Tensor:
    """Mish: ``x * tanh(log(1 + exp(x)))`` (Misra 2020)."""
    return functional.mish(x)


def selu(x: Tensor) -> Tensor:
    """Self-normalising unit: ``1.0507 * elu(x)`` with alpha 1.6733 (Klambauer et al. 2017)."""
    return functional.selu(x)


def elu(x: Tensor, alpha: float) -> Tensor:
    """Exponential linear unit: ``x`` above 0, else ``alpha * (exp(x) - 1)`` (Clevert, Unterthiner, Hochreiter 2016)."""
    return functional.elu(x, alpha)


def sin(x: Tensor) -> Tensor:
    """Sine (Sitzmann et al. 2020 for networks of it; Parascandolo et al. 2017 for recurrent ones)."""
    return torch.sin(x)
