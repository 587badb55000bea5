"""Losses: functions of prediction and target (equal shapes) that return one loss per element.

The engine takes the mean over the outputs and over the samples of a batch. ``d = prediction - target`` throughout.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

# Beyond this distance exponential and logarithmic branches go on linearly: exp overflows float32 at 89.
LINEAR_FROM = 20.0


def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared error, ``d^2``."""
    return (prediction - target).square()


def smooth_l1(prediction: Tensor, target: Tensor) -> Tensor:
    """PyTorch's smooth L1 with beta 1: ``d^2 / 2`` where ``|d| < 1``, else ``|d| - 1/2``."""
    return functional.smooth_l1_loss(prediction, target, reduction="none")


def smooth_l1_log(prediction: Tensor, target: Tensor) -> Tensor:
    """The research log's own smooth L1, without the factor 1/2: ``|d|`` where ``|d| > 1``, else ``d^2``."""
    distance = (prediction - target).abs()
    return torch.where(distance > 1, distance, distance.square())


def exp_or_log(prediction: Tensor, target: Tensor) -> Tensor:
    """``log(d + 1)`` where the prediction is over the target, ``exp(-d) - 1`` where it is under (research log).

    Beyond ``|d| = 20`` each branch goes on linearly with its slope there. At ``d = 0`` the derivative is that of the
    under branch, -1. Each branch sees a clamped argument, because ``where`` alone lets the NaN gradients of the
    branch not taken through.
    """
    difference = prediction - target
    over = torch.log1p(difference.clamp(0, LINEAR_FROM)) + beyond(difference) / (LINEAR_FROM + 1)
    under = torch.expm1((-difference).clamp(0, LINEAR_FROM)) + beyond(-difference) * math.exp(LINEAR_FROM)
    return torch.where(difference > 0, over, under)


def beyond(distance: Tensor) -> Tensor:
    """How far a distance lies beyond LINEAR_FROM, else 0.

    The steep slope there must not meet the small one before it in one sum: float32 would lose the small one.
    """
    return torch.relu(distance - LINEAR_FROM)
