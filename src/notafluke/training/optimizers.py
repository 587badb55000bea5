"""Optimizers with their learning-rate schedule.

Each takes the parameters and the number of steps of the whole training. PyTorch's optimizers work element by element,
so parameters stacked over seeds learn as they would alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch.optim.lr_scheduler import LambdaLR

Schedule = Literal["constant", "linear", "cosine"]
Parameters = Iterable[torch.nn.Parameter]


def _constant(progress: float) -> float:
    return 1.0


def _linear(progress: float) -> float:
    return 1.0 - progress


def _cosine(progress: float) -> float:
    return (1 + math.cos(math.pi * progress)) / 2


SCHEDULES: dict[str, Callable[[float], float]] = {"constant": _constant, "linear": _linear, "cosine": _cosine}


def scheduled(optimizer: torch.optim.Optimizer, schedule: Schedule, steps: int) -> LambdaLR:
    """A schedule over ``steps`` steps, from the optimizer's learning rate to the schedule's end.

    Raises ValueError for an unknown schedule.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule={schedule}: valid are {', '.join(SCHEDULES)}")
    factor = SCHEDULES[schedule]
    return LambdaLR(optimizer, lambda step: factor(min(step / steps, 1.0)))


def adam(
    parameters: Parameters, steps: int, lr: float, betas: tuple[float, float], eps: float, schedule: Schedule
) -> LambdaLR:
    """Adam (Kingma and Ba 2015). Raises ValueError unless ``betas`` are two."""
    if len(betas) != 2:
        raise ValueError(f"betas={list(betas)}: expected two numbers")
    return scheduled(torch.optim.Adam(parameters, lr=lr, betas=(betas[0], betas[1]), eps=eps), schedule, steps)


def rmsprop(
    parameters: Parameters, steps: int, lr: float, alpha: float, eps: float, momentum: float, schedule: Schedule
) -> LambdaLR:
    """RMSprop (Tieleman and Hinton 2012)."""
    optimizer = torch.optim.RMSprop(parameters, lr=lr, alpha=alpha, eps=eps, momentum=momentum)
    return scheduled(optimizer, schedule, steps)


def sgd(parameters: Parameters, steps: int, lr: float, momentum: float, schedule: Schedule) -> LambdaLR:
    """Stochastic gradient descent, with momentum when ``momentum`` is above 0."""
    return scheduled(torch.optim.SGD(parameters, lr=lr, momentum=momentum), schedule, steps)


def ignores_scale(optimizer: Callable[[list[torch.nn.Parameter], int], LambdaLR]) -> bool:
    """Whether twice the gradient makes the same steps, as with Adam and RMSprop, up to 1 % (their eps)."""
    moved = []
    for scale in (1.0, 2.0):
        parameter = torch.nn.Parameter(torch.zeros(2))
        scheduler = optimizer([parameter], 4)
        for _ in range(3):
            parameter.grad = scale * torch.tensor([1.0, -0.3])
            scheduler.optimizer.step()
        moved.append(parameter.detach())
    return torch.allclose(moved[0], moved[1], rtol=0.01, atol=0.0)
