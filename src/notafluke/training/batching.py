"""One model's code over a block of seeds: parameters stacked along a leading axis, under ``torch.func.vmap``.

Symbols in shapes: S seeds of the block, B samples of a batch, T time steps, F features, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from notafluke.errors import ComponentError
from notafluke.streams import torch_seed

UNBATCHABLE = {
    nn.RNNBase: "use the layers of notafluke.nn.cells",
    nn.RNNCellBase: "use the layers of notafluke.nn.cells",
    nn.modules.dropout._DropoutNd: "use notafluke.nn.Dropout",
    nn.modules.batchnorm._NormBase: "use layer normalisation",
}
"""Modules that cannot be batched over seeds, and what to use instead."""

Stacked = Mapping[str, Tensor]


def call_seeds(model: nn.Module, tensors: Stacked, *arguments: Any, **options: Any) -> Any:
    """What every seed's model returns, stacked: ``tensors`` are its parameters and buffers by name, [S, ...] each.

    ``arguments`` are tensors [S, B, ...] or tuples of such; ``options`` are the same for all seeds.
    """

    def one(own: dict[str, Tensor], *own_arguments: Any) -> Any:
        return functional_call(model, own, own_arguments, options)

    return vmap(one)(dict(tensors), *arguments)


def seed_losses(
    objective: Callable[[Tensor, Tensor], Tensor],
    outputs: Tensor,
    targets: Tensor,
    weights: Tensor,
    counted: Tensor | None = None,
) -> Tensor:
    """The loss [S] of every seed: mean over the elements of a sample, weighted sum over the samples.

    ``outputs`` and ``targets`` are [S, B, ..., O], ``weights`` [B] or [B, K] for the leading axes of a batch.
    ``counted`` [S, B, K, T] says which time steps count; those of a batch then weigh alike.
    """
    elements: Tensor = vmap(objective)(outputs, targets)
    if counted is not None:
        steps = elements.flatten(counted.dim()).mean(-1) if elements.dim() > counted.dim() else elements
        each = weights[..., None] * counted
        # What does not count may be infinite.
        return torch.where(each > 0, steps * each, 0.0).flatten(1).sum(1) / each.flatten(1).sum(1)
    within = elements.dim() - 1 - weights.dim()
    samples = elements.flatten(-within).mean(-1) if within else elements
    return (samples * weights).flatten(1).sum(1)


def build_seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A model whose constructor draws from torch's generator at a seed; the generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build()


def refuse_random_buffers(build: Callable[[], nn.Module]) -> None:
    """Raise ComponentError, naming it, for a buffer that the constructor draws: it would be the same for all seeds."""
    first, second = (dict(build_seeded(build, seed).named_buffers()) for seed in (0, 1))
    for name, buffer in first.items():
        if not torch.equal(buffer, second[name]):
            raise ComponentError(
                "model", f"draws its buffer {name}: make it a parameter, drawn for each seed, or constant"
            )


def refuse_unbatchable(model: nn.Module) -> None:
    """Raise ComponentError if the model holds a module that cannot be batched over seeds, by its name."""
    for name, module in model.named_modules():
        for kind, instead in UNBATCHABLE.items():
            if isinstance(module, kind):
                held = f"{type(module).__name__} ({name or 'the model itself'})"
                raise ComponentError("model", f"cannot train several seeds together: it holds {held}; {instead}")


def key_names(model: nn.Module) -> list[str]:
    """Names of the integer buffers called ``key``: the engine sets each before a step, to draw random numbers from."""
    return [
        name
        for name, buffer in model.named_buffers()
        if name.rpartition(".")[2] == "key" and buffer.dtype == torch.int64
    ]


def initial_parameters(build: Callable[[], nn.Module], seed: int, replica: int) -> dict[str, Tensor]:
    """Starting values by name, each from the stream (seed, replica, "initialisation", name).

    A model with ``initialise(name, generator)`` draws its own. Of another each parameter is what its module's
    ``reset_parameters``, or else the model's constructor, draws when torch's generator stands at the beginning of that
    parameter's stream.
    """
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which also keeps a traceback of each call for a CUDA that may be initialised later.
        torch.default_generator.manual_seed(0)
        model = build()
        values = {}
        for name, parameter in model.named_parameters():
            own_seed = torch_seed(seed, replica, "initialisation", name)
            torch.default_generator.manual_seed(own_seed)
            owner = model.get_submodule(name.rpartition(".")[0])
            if callable(initialise := getattr(model, "initialise", None)):
                initialise(name, torch.Generator().manual_seed(own_seed))
            elif callable(reset := getattr(owner, "reset_parameters", None)):
                reset()
            else:
                parameter = build().get_parameter(name)
            values[name] = parameter.detach().clone()
    return values
