"""Losses: functions of prediction and target (equal shapes) that return one loss per element.

The engine takes the mean over the outputs and over the samples of a batch. ``d = prediction - target`` throughout, and
targets are standardised by their task: a loss that is not symmetric is a statement about that scale.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from notafluke.errors import did_you_mean

# Beyond this distance every branch goes on linearly: exp overflows float32 at 89.
LINEAR_FROM = 20.0
# A branch that is steeper there would overflow float32 at distances that networks do reach.
STEEPEST_BEYOND = 1e25
# No branch is steeper at 0 than this: the slope of a root is infinite there.
STEEPEST = 1e3

Form = Callable[[Tensor, float], Tensor]


def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared error, ``d^2``."""
    return (prediction - target).square()


def mae(prediction: Tensor, target: Tensor) -> Tensor:
    """Absolute error, ``|d|``; slope 0 at 0."""
    return (prediction - target).abs()


def huber(prediction: Tensor, target: Tensor, delta: float) -> Tensor:
    """Huber's loss: ``d^2 / 2`` where ``|d| <= delta``, else ``delta * (|d| - delta / 2)`` (Huber 1964).

    Raises ValueError unless ``delta`` is positive.
    """
    if not delta > 0:
        raise ValueError(f"delta={delta}: expected a number above 0")
    return functional.huber_loss(prediction, target, reduction="none", delta=delta)


def smooth_l1(prediction: Tensor, target: Tensor) -> Tensor:
    """PyTorch's smooth L1 with beta 1: ``d^2 / 2`` where ``|d| < 1``, else ``|d| - 1/2``."""
    return functional.smooth_l1_loss(prediction, target, reduction="none")


def of_output() -> None:
    """No loss of this group: training minimises the one that belongs to the output (see ``notafluke.nn.outputs``)."""


@dataclass(frozen=True)
class OverUnder:
    """The over/under family of the research log: one branch for ``d > 0``, another for ``d <= 0``.

    A branch is a function of the distance ``u = |d|``: the sum of the forms that its mapping names, each with its one
    parameter (see ``FORMS``). ``over={"log": e}, under={"exp": e}`` is exp_or_log: ``log(d + 1)`` over the target,
    ``exp(-d) - 1`` under it.

    At ``d = 0`` the slope is that of the under branch. Beyond ``u = 20`` a branch goes on linearly with its slope
    there, so value and gradient are finite in float32 for distances of up to 1e12 at least. Each branch sees a clamped
    argument, because ``where`` alone lets the NaN gradients of the branch not taken through.

    Raises ValueError for an unknown form, a parameter outside its range, a branch without a form, and a branch that is
    steeper than 1e25 at ``u = 20``.
    """

    over: Mapping[str, float]
    under: Mapping[str, float]

    def __post_init__(self) -> None:
        """Check the branches."""
        for name, branch in (("over", self.over), ("under", self.under)):
            _check_branch(name, branch)
        for slope, branch in zip(self.steepness, (self.over, self.under), strict=True):
            if not abs(slope) <= STEEPEST_BEYOND:
                raise ValueError(f"{dict(branch)} is too steep for float32 at a distance of {LINEAR_FROM:g}")

    @cached_property
    def steepness(self) -> tuple[float, float]:
        """The slopes of both branches at LINEAR_FROM."""
        return _slope(self.over, LINEAR_FROM), _slope(self.under, LINEAR_FROM)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """One loss per element."""
        difference = prediction - target
        over, under = (
            # The steep slope beyond must not meet the small one before it in one sum: float32 would lose the small one.
            _branch(branch, distance.clamp(0, LINEAR_FROM)) + slope * torch.relu(distance - LINEAR_FROM)
            for branch, slope, distance in zip(
                (self.over, self.under), self.steepness, (difference, -difference), strict=True
            )
        )
        return torch.where(difference > 0, over, under)


def linear(distance: Tensor, slope: float) -> Tensor:
    """``slope * u``."""
    return slope * distance


def power(distance: Tensor, exponent: float) -> Tensor:
    """``u ^ exponent``; a root (exponent below 1) never steeper than STEEPEST, so linear up to where it meets that."""
    if exponent >= 1:
        return distance**exponent
    joint = max(STEEPEST ** (1 / (exponent - 1)), torch.finfo(torch.float32).tiny)
    return torch.where(distance < joint, STEEPEST * distance, distance.clamp(min=joint) ** exponent)


def log(distance: Tensor, base: float) -> Tensor:
    """``log_base(u + 1)``."""
    return torch.log1p(distance) / math.log(base)


def log_of_multiple(distance: Tensor, factor: float) -> Tensor:
    """``log(factor * u + 1)``."""
    return torch.log1p(factor * distance)


def exp(distance: Tensor, base: float) -> Tensor:
    """``base^u - 1``."""
    return torch.expm1(math.log(base) * distance)


def exp_decay(distance: Tensor, base: float) -> Tensor:
    """``base^-u - 1``: falls from 0 to -1."""
    return torch.expm1(-math.log(base) * distance)


def square_then_linear(distance: Tensor, joint: float) -> Tensor:
    """``u`` beyond the joint, else ``u^2``; at the joint the slope is that of the square."""
    return torch.where(distance > joint, distance, distance.square())


def linear_then_square(distance: Tensor, joint: float) -> Tensor:
    """``u`` before the joint, else ``u^2``; at the joint the slope is that of the square."""
    return torch.where(distance < joint, distance, distance.square())


# Each with the least parameter that it takes (exclusive).
FORMS: dict[str, tuple[Form, float]] = {
    "linear": (linear, -math.inf),
    "power": (power, 0),
    "log": (log, 1),
    "log_of_multiple": (log_of_multiple, 0),
    "exp": (exp, 1),
    "exp_decay": (exp_decay, 1),
    "square_then_linear": (square_then_linear, 0),
    "linear_then_square": (linear_then_square, 0),
}


def _branch(branch: Mapping[str, float], distance: Tensor) -> Tensor:
    return functools.reduce(torch.add, (FORMS[form][0](distance, parameter) for form, parameter in branch.items()))


def _slope(branch: Mapping[str, float], distance: float) -> float:
    at = torch.tensor(distance, dtype=torch.float64, requires_grad=True)
    _branch(branch, at).backward()
    assert at.grad is not None
    return at.grad.item()


def _check_branch(name: str, branch: Mapping[str, float]) -> None:
    if not branch:
        raise ValueError(f"{name}: a branch needs a form{did_you_mean('', FORMS)}")
    for form, parameter in branch.items():
        if form not in FORMS:
            raise ValueError(f"{name}: unknown form {form!r}{did_you_mean(form, FORMS)}")
        least = FORMS[form][1]
        if not least < parameter < math.inf:
            raise ValueError(f"{name}.{form}={parameter!r}: expected a number above {least:g}")
