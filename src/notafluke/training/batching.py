"""One model's code over a block of seeds: parameters stacked along a leading axis, under ``torch.func.vmap``.

Symbols in shapes: S seeds of the block, B samples of a batch, T time steps, F features, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from notafluke.streams import torch_seed
from notafluke.training.recipe import Loss, Recipe

UNBATCHABLE = (nn.RNNBase, nn.RNNCellBase, nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase)

Stacked = Mapping[str, Tensor]


class UnbatchableError(TypeError):
    """A component does not work for a block of seeds; ``component`` is its group."""

    def __init__(self, component: str, reason: str) -> None:
        super().__init__(reason)
        self.component = component


def seed_predictions(model: nn.Module, parameters: Stacked, inputs: Tensor) -> Tensor:
    """Predictions [S, B, O] of every seed's model for its own inputs [S, B, T, F]."""

    def one(own_parameters: dict[str, Tensor], own_inputs: Tensor) -> Tensor:
        prediction: Tensor = functional_call(model, own_parameters, (own_inputs,))
        return prediction

    predictions: Tensor = vmap(one)(dict(parameters), inputs)
    return predictions


def seed_losses(
    model: nn.Module, loss: Loss, parameters: Stacked, inputs: Tensor, targets: Tensor, row_weights: Tensor
) -> Tensor:
    """The loss [S] of every seed: mean over outputs, weighted sum over the rows [B] of its batch."""

    def one(own_parameters: dict[str, Tensor], own_inputs: Tensor, own_targets: Tensor) -> Tensor:
        prediction = functional_call(model, own_parameters, (own_inputs,))
        return (loss(prediction, own_targets).mean(dim=1) * row_weights).sum()

    losses: Tensor = vmap(one)(dict(parameters), inputs, targets)
    return losses


def refuse_unbatchable(model: nn.Module) -> None:
    """Raise UnbatchableError if the model holds a module that cannot be batched over seeds, by its name."""
    for name, module in model.named_modules():
        if isinstance(module, UNBATCHABLE):
            held = f"{type(module).__name__} ({name or 'the model itself'})"
            raise UnbatchableError("model", f"cannot train several seeds together: it holds {held}")


def initial_parameters(build: Callable[[], nn.Module], seed: int, replica: int) -> dict[str, Tensor]:
    """Starting values by name, each from the stream (seed, replica, "initialisation", name).

    A model with ``initialise(name, generator)`` draws its own. Of another each parameter is what its module's
    ``reset_parameters``, or else the model's constructor, draws when torch's generator stands at the beginning of that
    parameter's stream.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build()
        values = {}
        for name, parameter in model.named_parameters():
            own_seed = torch_seed(seed, replica, "initialisation", name)
            torch.manual_seed(own_seed)
            owner = model.get_submodule(name.rpartition(".")[0])
            if callable(initialise := getattr(model, "initialise", None)):
                initialise(name, torch.Generator().manual_seed(own_seed))
            elif callable(reset := getattr(owner, "reset_parameters", None)):
                reset()
            else:
                parameter = build().get_parameter(name)
            values[name] = parameter.detach().clone()
    return values


def check_batchable(recipe: Recipe, inputs: Tensor, targets: Tensor) -> None:
    """Run model, loss and gradient rule once for a block of two seeds on inputs [B, T, F] and targets [B, O].

    Raises UnbatchableError that names the component which cannot train several seeds together.
    """

    def build() -> nn.Module:
        return recipe.build_model(inputs.shape[2], targets.shape[1])

    model = build()
    refuse_unbatchable(model)
    both_inputs, both_targets = inputs.expand(2, *inputs.shape), targets.expand(2, *targets.shape)
    row_weights = torch.full((len(inputs),), 1 / len(inputs))
    component = "model"
    try:
        starts = [initial_parameters(build, seed, 0) for seed in (0, 1)]
        parameters = {name: torch.stack([start[name] for start in starts]).requires_grad_() for name in starts[0]}
        predictions = seed_predictions(model, parameters, both_inputs)
        _require_shape("model", tuple(predictions.shape[1:]), tuple(targets.shape))
        component = "loss"
        per_element = vmap(recipe.loss)(predictions.detach(), both_targets)
        _require_shape("loss", tuple(per_element.shape[1:]), tuple(targets.shape))
        losses = seed_losses(model, recipe.loss, parameters, both_inputs, both_targets, row_weights)
        gradients = torch.autograd.grad(losses.sum(), list(parameters.values()))
        component = "gradient"
        vmap(recipe.gradient_rule)(dict(zip(parameters, gradients, strict=True)))
    except UnbatchableError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise UnbatchableError(component, f"fails for a block of two seeds: {reason}") from error


def _require_shape(component: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if found != wanted:
        raise UnbatchableError(component, f"returns the shape {found} where {wanted} is needed")
