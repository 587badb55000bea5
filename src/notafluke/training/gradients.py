"""Gradient rules: functions of the gradients of all parameters of one model, by name.

The norm is the global norm of one model, so each seed of a block has its own; Lightning's own clipping would take the
norm of the whole block. A gradient of norm zero is left as it is. A gradient that is not finite is left as it is too,
by every rule: it makes the weights non-finite, and the engine records the seed as diverged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Gradients = Mapping[str, Tensor]


def relative_to_largest(gradients: Gradients) -> tuple[Tensor, dict[str, Tensor]]:
    """The size of the largest entry (scalar; 1 where all are 0) and the gradients relative to it.

    Squares of float32 numbers overflow at 1e19 and vanish at 1e-23; those of the relative ones do neither.
    """
    largest = torch.stack([gradient.abs().amax() for gradient in gradients.values()]).amax()
    largest = torch.where(largest > 0, largest, torch.ones_like(largest))
    return largest, {name: gradient / largest for name, gradient in gradients.items()}


def euclidean_norm(gradients: Gradients) -> Tensor:
    """Euclidean norm (scalar) over all parameters of one model."""
    return torch.stack([gradient.square().sum() for gradient in gradients.values()]).sum().sqrt()


def ignores_size(rule: Callable[[Gradients], Gradients]) -> bool:
    """Whether twice the gradient comes out the same, as with scale_norm: the rule sets the size itself."""
    small = {"weight": torch.tensor([3.0, -4.0]), "bias": torch.tensor([0.5])}
    once, twice = rule(small), rule({name: 2 * gradient for name, gradient in small.items()})
    # Clipping does so too above its limit: far below it, it does not.
    tiny = rule({name: 1e-6 * gradient for name, gradient in small.items()})
    return all(torch.allclose(once[name], twice[name]) and torch.allclose(once[name], tiny[name]) for name in small)


def require_positive(name: str, value: float) -> None:
    """Raise ValueError unless the value is positive."""
    if not value > 0:
        raise ValueError(f"{name}={value}: expected a number above 0")


def none(gradients: Gradients) -> Gradients:
    """Leave the gradients as they are."""
    return gradients


def clip_norm(gradients: Gradients, max_norm: float) -> Gradients:
    """Scale the gradients down to a global norm of ``max_norm`` where they exceed it (Pascanu et al. 2013).

    Raises ValueError unless ``max_norm`` is positive.
    """
    require_positive("max_norm", max_norm)
    largest, relative = relative_to_largest(gradients)
    norm = largest * euclidean_norm(relative)
    factor = torch.where(norm.isfinite(), (max_norm / norm).clamp(max=1), torch.ones_like(norm))
    return {name: gradient * factor for name, gradient in gradients.items()}


def clip_value(gradients: Gradients, max_value: float) -> Gradients:
    """Cut every entry to at most ``max_value`` in size, which may turn the gradient (Mikolov 2012).

    Raises ValueError unless ``max_value`` is positive.
    """
    require_positive("max_value", max_value)
    finite = torch.stack([gradient.isfinite().all() for gradient in gradients.values()]).all()
    return {
        name: torch.where(finite, gradient.clamp(-max_value, max_value), gradient)
        for name, gradient in gradients.items()
    }


def scale_norm(gradients: Gradients, coefficient: float) -> Gradients:
    """Scale the gradients always to a global norm of ``coefficient``: ``g <- c * g / ||g||`` (research log).

    The step never gets shorter by itself, only by a schedule of the learning rate. Adam and RMSprop divide by the
    gradient's size again, so under them the coefficient has no effect. Raises ValueError unless ``coefficient`` is
    positive.
    """
    require_positive("coefficient", coefficient)
    _, relative = relative_to_largest(gradients)
    norm = euclidean_norm(relative)
    usable = (norm > 0) & norm.isfinite()
    return {
        name: torch.where(usable, relative[name] * (coefficient / norm), gradient)
        for name, gradient in gradients.items()
    }
