"""The dry pass: every component of a recipe is tried on two samples before anything is trained or written."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import vmap

from notafluke.errors import ComponentError, UsageError
from notafluke.nn.cells import Activation
from notafluke.tasks.base import Task
from notafluke.training.batching import call_seeds, initial_parameters, key_names, refuse_unbatchable
from notafluke.training.data import SeedData, previous
from notafluke.training.optimizers import last_rate
from notafluke.training.recipe import Recipe
from notafluke.training.samples import Batch

SAMPLES = 2
# One seed, twice in the block: that another one starts badly is a result, and none of the component's faults.
SEED = 0


def dry_pass(recipe: Recipe, task: Task, activation: Activation) -> None:
    """Try model, output, loss, gradient rule and optimizer on two samples, alone and as a block of two seeds.

    Raises ComponentError for what has the wrong shape, is not finite at the start, does not take what it is given or
    cannot be batched over seeds, and where components and task do not fit together.
    """
    _require_time(recipe, task)
    if recipe.output.kind != task.kind:
        fitting = "output=linear" if task.kind == "numbers" else "output=softmax_cce"
        raise ComponentError("output", f"is for {recipe.output.kind}, but the task predicts {task.kind}: try {fitting}")
    _try_activation(activation)

    def build() -> nn.Module:
        return recipe.build_model(task.input_size, task.output_size)

    with blamed("model"):
        model = build()
        start = initial_parameters(build, SEED, 0)
    refuse_unbatchable(model)
    _require_signature(model, recipe, task)
    data = SeedData(task, [SEED], 0, torch.device("cpu"))
    positions = torch.arange(min(SAMPLES, data.samples("train")))
    batch = Batch(positions[None, :, None], torch.full((len(positions), 1), 1 / len(positions)))
    inputs, targets = data.windows("train", batch), data.truth("train", batch)[:, :, 0]
    more = (previous(targets),) if task.targets_at == "sequence" else ()
    with blamed("model"):
        model.load_state_dict(start, strict=False)
        outputs = model.eval()(inputs[0], *(own[0] for own in more))
        _require_shape("model", outputs, targets.shape[1:], every_step=task.targets_at == "last")
        _require_finite("model", "output", outputs)
    if recipe.state.carried:
        _require_exact_state(model, data, positions)

    stacked = {name: torch.stack([value, value]).requires_grad_() for name, value in start.items()}
    tensors = stacked | {name: torch.arange(2) for name in key_names(model)}
    with blamed("model", "fails for a block of two seeds: "):
        both = call_seeds(model.train(), tensors, *(own.expand(2, *own.shape[1:]) for own in (inputs, *more)))
    if both.dim() > targets.dim():
        both = both[:, :, -1]
    both_targets = targets.expand_as(both)
    loss = "output" if recipe.loss is None else "loss"
    with blamed("output", "fails for a block of two seeds: "):
        predictions = vmap(recipe.output.predictions)(both.detach())
        _require_shape("output", predictions, both.shape)
        _require_finite("output", "prediction", predictions)
    with blamed(loss, "fails for a block of two seeds: "):
        elements = vmap(recipe.objective)(both, both_targets)
        _require_shape(loss, elements, both.shape[:-1] if recipe.loss is None else both.shape)
        _require_finite(loss, "loss", elements)
    with blamed("model"):
        found = torch.autograd.grad(elements.sum(), list(stacked.values()), allow_unused=True, materialize_grads=True)
        for name, gradient in zip(stacked, found, strict=True):
            _require_finite("model", f"gradient of {name}", gradient)
    _try_gradient_rule(recipe, dict(zip(stacked, found, strict=True)))
    _try_optimizer(recipe)


@contextmanager
def blamed(group: str, but: str = "") -> Iterator[None]:
    """Turn whatever is raised into a ComponentError of this group."""
    try:
        yield
    except ComponentError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        kind = "" if isinstance(error, ValueError) and not but else f"{type(error).__name__}: "
        raise ComponentError(group, f"{but}{kind}{reason}") from error


def _require_time(recipe: Recipe, task: Task) -> None:
    if task.advance is None and recipe.state.carried:
        raise ComponentError("state", "needs a task whose samples follow each other in time; choose state=reset")
    if task.advance is None and recipe.online:
        raise UsageError("online=true: needs a task whose samples follow each other in time; choose online=false")


def _try_activation(activation: Activation) -> None:
    x = torch.linspace(-3, 3, 24).reshape(2, 3, 4)
    with blamed("activation"):
        found = activation(x)
        _require_shape("activation", found, x.shape)
        _require_finite("activation", "value", found)
    with blamed("activation", "fails for a block of two seeds: "):
        vmap(activation)(x)


def _require_signature(model: nn.Module, recipe: Recipe, task: Task) -> None:
    parameters = inspect.signature(model.forward).parameters
    wanted = task.targets_at == "sequence"
    if wanted and "previous" not in parameters:
        raise ComponentError("model", "gives no sequence of its own, which the task asks for: choose model=seq2seq")
    if not wanted and "previous" in parameters:
        raise ComponentError("model", "gives a sequence of its own, which the task does not ask for: choose model=lstm")
    if recipe.state.carried and not ("state" in parameters and callable(getattr(model, "initial_state", None))):
        raise ComponentError("model", "cannot carry its state: it has no initial_state(inputs) and forward(..., state)")


def _require_exact_state(model: nn.Module, data: SeedData, positions: Tensor) -> None:
    """A series in one piece and the same in two must give the same outputs."""

    def series(samples: Tensor) -> Tensor:
        return data.series("train", Batch(samples[None, None], torch.ones(1, len(samples))))[0]

    with blamed("model", "cannot carry its state: "), torch.no_grad():
        whole, _ = model(series(positions), model.initial_state(series(positions)))  # type: ignore[operator]
        state, parts = model.initial_state(series(positions[:1])), []  # type: ignore[operator]
        for position in positions:
            outputs, state = model(series(position[None]), state)
            parts.append(outputs)
    if not torch.allclose(whole, torch.cat(parts, dim=1), rtol=1e-4, atol=1e-5):
        raise ComponentError("model", "carries its state wrongly: a series cut in two gives other outputs than uncut")


def _try_gradient_rule(recipe: Recipe, gradients: dict[str, Tensor]) -> None:
    with blamed("gradient"):
        ruled = vmap(recipe.gradient_rule)(gradients)
        if list(ruled) != list(gradients):
            raise ComponentError("gradient", f"returns {', '.join(ruled)} for {', '.join(gradients)}")
        for name, gradient in gradients.items():
            _require_shape("gradient", ruled[name], gradient.shape)
            _require_finite("gradient", name, ruled[name])


def _try_optimizer(recipe: Recipe) -> None:
    with blamed("optimizer"):
        parameter = nn.Parameter(torch.zeros(1))
        scheduler = recipe.optimizer([parameter], 1)
        parameter.grad = torch.ones(1)
        rate = last_rate(scheduler)
        _require_finite("optimizer", "step", parameter.detach())
    if recipe.online and rate == 0:
        raise ComponentError("optimizer", "its schedule ends at 0, but with online=true learning goes on: use constant")


def _require_shape(group: str, found: object, wanted: tuple[int, ...], every_step: bool = False) -> None:
    """Raise ComponentError unless it is a tensor of the wanted shape; ``every_step`` allows a further axis of steps."""
    if not isinstance(found, Tensor):
        raise ComponentError(group, f"returns {type(found).__name__} where a tensor is needed")
    shape = tuple(found.shape)
    if every_step and len(shape) == len(wanted) + 1:
        shape = (*shape[:-2], shape[-1])
    if shape != tuple(wanted):
        raise ComponentError(group, f"returns the shape {tuple(found.shape)} where {tuple(wanted)} is needed")


def _require_finite(group: str, what: str, values: Tensor) -> None:
    if not values.isfinite().all():
        bad = "NaN" if values.isnan().any() else "infinite"
        raise ComponentError(group, f"{what} is {bad} at the start, on two samples")
