"""The recipe of a training: all that decides how one model trains, apart from its data and its random streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from notafluke.training.gradients import Gradients

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Recipe:
    """Components with their options bound.

    ``build_model(input_size, output_size)`` gives an ordinary model of [B, T, F] to [B, O]; ``loss(prediction,
    target)`` one loss per element; ``gradient_rule`` maps the gradients of one model by name; ``optimizer(parameters,
    steps)`` gives the optimizer within its schedule.
    """

    build_model: Callable[[int, int], nn.Module]
    loss: Loss
    gradient_rule: Callable[[Gradients], Gradients]
    optimizer: Callable[[Sequence[nn.Parameter], int], LRScheduler]
    max_epochs: int
    batch_size: int
