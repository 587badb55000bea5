"""The dry pass: every component of a recipe is tried on two samples before anything is trained or written."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import vmap

from notafluke.errors import ComponentError, UsageError
from notafluke.nn.cells import Activation
from notafluke.nn.outputs import ClassOutput, LogProbabilities
from notafluke.tasks.base import Task
from notafluke.tasks.contract import require_contract
from notafluke.training.batching import (
    build_seeded,
    initial_parameters,
    key_names,
    refuse_random_buffers,
    refuse_unbatchable,
)
from notafluke.training.data import SeedData, previous
from notafluke.training.determinism import pin_torch
from notafluke.training.forward import series_outputs, window_outputs
from notafluke.training.recipe import Recipe
from notafluke.training.samples import Batch
from notafluke.work import Work

SAMPLES = 2
# One seed, twice in the block: that another one starts badly is a result, and none of the component's faults.
SEED = 0
NOT_DETERMINISTIC = " does not have a deterministic implementation"
ALLOW = "nondeterminism=allow trains it all the same, and its records say so"
IN_BLOCK = "fails for a block of two seeds: "


def dry_pass(recipe: Recipe, task: Task, activation: Activation, deterministic: bool = True) -> Work:
    """Try all components on two samples, the model alone and as a block of two seeds, by the engine's own code.

    Returns how much a training has to compute.

    Raises ComponentError for what has the wrong shape, is not finite at the start, does not take what it is given or
    cannot be batched over seeds, where components and task do not fit together and, if they are to be
    ``deterministic``, for what gives other numbers the second time. Uses one thread from then on.
    """
    pin_torch(deterministic)
    with blamed("task"):
        loaded = task.load(SEED, 0)
        require_contract(task, loaded)
    data = SeedData(task, [loaded, loaded], torch.device("cpu"))
    _require_fitting(recipe, data)
    _try_activation(activation)

    def build() -> nn.Module:
        return recipe.new_model(task, loaded)

    with blamed("model"):
        model = build_seeded(build, SEED)
        if not isinstance(model, nn.Module):
            raise ComponentError("model", f"gives {type(model).__name__} where a torch.nn.Module is needed")
        if not list(model.parameters()):
            raise ComponentError("model", "has no parameters to train")
        start = initial_parameters(build, SEED, 0)
        model.load_state_dict(start, strict=False)
    refuse_unbatchable(model)
    refuse_random_buffers(build)
    _require_signature(model, recipe, task)
    _try_alone(model, recipe, data, deterministic)
    if recipe.state.carried:
        _require_exact_state(model, data)
    batch = _two_samples(recipe, data)
    targets = data.truth("train", batch)
    parameters = {name: torch.stack([value, value]).requires_grad_() for name, value in start.items()}
    outputs = _try_block(model, recipe, data, batch, parameters)
    _require_shape("model", outputs, targets.shape)
    group = "output" if recipe.loss is None else "loss"
    with blamed("output", IN_BLOCK):
        vmap(recipe.output.predictions)(outputs)
    with blamed(group, IN_BLOCK):
        losses = vmap(recipe.objective)(outputs, targets)
    with blamed("model"):
        found = _gradients(losses, parameters)
        for name, gradient in found.items():
            _require_finite("model", f"gradient of {name}", gradient)
    if deterministic:
        again = _try_block(model, recipe, data, batch, parameters)
        _require_same("model", "outputs", outputs, again)
        _require_same(group, "losses", losses, vmap(recipe.objective)(outputs, targets))
        repeated = _gradients(vmap(recipe.objective)(again, targets), parameters)
        for name, gradient in found.items():
            _require_same("model", f"gradient of {name}", gradient, repeated[name])
    _try_gradient_rule(recipe, found, deterministic)
    _try_optimizer(recipe)
    steps = task.advance if recipe.state.carried and task.advance else data.inputs["train"].shape[2]
    return Work(
        weights=sum(value.numel() for value in start.values()),
        time_steps=steps,
        samples={split: data.samples(split) for split in data.inputs},
    )


@contextmanager
def blamed(group: str, but: str = "") -> Iterator[None]:
    """Turn whatever is raised into a ComponentError of this group."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        # What vmap says goes on about issue trackers.
        reason = reason.partition(". ")[0] if but else reason
        operation, found, _ = reason.partition(NOT_DETERMINISTIC)
        if found:
            raise ComponentError(group, f"{operation}{NOT_DETERMINISTIC}: {ALLOW}") from error
        kind = "" if isinstance(error, ValueError) and not but else f"{type(error).__name__}: "
        raise ComponentError(group, f"{but}{kind}{reason}") from error


def _require_fitting(recipe: Recipe, data: SeedData) -> None:
    """Output, state rule and learning online must be for such a task."""
    task, samples = data.task, data.samples("train")
    with blamed("output"):
        kind = recipe.output.kind
    if kind != task.kind:
        fitting = {"numbers": "linear", "classes": "softmax_cce", "labels": "bernoulli"}[task.kind]
        raise ComponentError("output", f"is for {kind}, but the task predicts {task.kind}: try output={fitting}")
    if recipe.pretraining_epochs and "earlier" not in data.inputs:
        raise UsageError(
            f"trainer.pretraining_epochs={recipe.pretraining_epochs}: the task has no earlier data to train on first; "
            "text_transfer has"
        )
    if task.advance is None and recipe.state.carried:
        raise ComponentError("state", "needs a task whose samples follow each other in time; choose state=reset")
    if task.advance is None and recipe.online:
        raise UsageError("online=true: needs a task whose samples follow each other in time; choose online=false")
    if recipe.state.carried and not recipe.online and samples < 2 * recipe.batch_size:
        raise ComponentError(
            "state", f"cuts {samples} samples into trainer.batch_size={recipe.batch_size} streams: nothing is carried"
        )


def _try_activation(activation: Activation) -> None:
    x = torch.linspace(-3, 3, 24).reshape(2, 3, 4)
    with blamed("activation"):
        found = activation(x)
        _require_shape("activation", found, x.shape)
        _require_finite("activation", "value", found)
        _require_samples_apart("activation", activation(x[:1]), found)
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


def _two_samples(recipe: Recipe, data: SeedData) -> Batch:
    """The first batch that the state rule makes of two samples."""
    samples = min(SAMPLES, data.samples("train"))
    with blamed("state"):
        return next(
            iter(recipe.state.training_batches(samples, samples, samples, True, lambda: torch.arange(samples)[None]))
        )


def _try_alone(model: nn.Module, recipe: Recipe, data: SeedData, deterministic: bool) -> None:
    """Model, output and loss without batching over seeds: what is wrong here is wrong with the component itself."""
    task = data.task
    positions = torch.arange(min(SAMPLES, data.samples("train")))
    windows = Batch(positions[None, :, None], torch.ones(len(positions), 1))
    inputs, targets = data.windows("train", windows)[0], data.truth("train", windows)[0][:, 0]
    more = (previous(targets),) if task.targets_at == "sequence" else ()
    with blamed("model"), torch.no_grad():
        outputs = model.eval()(inputs, *more)
        _require_every_step(outputs, task, inputs.shape[1])
        _require_shape("model", outputs, targets.shape, every_step=task.targets_at == "last")
        _require_finite("model", "output", outputs)
        if deterministic:
            _require_same("model", "outputs", outputs, model(inputs, *more))
            longer = model(*(torch.cat([own, own[:1]]) for own in (inputs, *more)))
            _require_samples_apart("model", outputs, longer)
        if task.targets_at == "sequence":
            free = model(inputs, *more, free_running=True)
            _require_shape("model", free, targets.shape)
            _require_finite("model", "output of free running", free)
    outputs = outputs[:, -1] if outputs.dim() > targets.dim() else outputs
    with blamed("output"):
        if isinstance(recipe.output, ClassOutput):
            _require_log_probabilities(recipe.output, outputs)
        predictions = recipe.output.predictions(outputs)
        _require_shape("output", predictions, outputs.shape)
        _require_finite("output", "prediction", predictions)
    group = "output" if recipe.loss is None else "loss"
    with blamed(group):
        losses = recipe.objective(outputs, targets)
        _require_shape(group, losses, outputs.shape[:-1] if recipe.loss is None else outputs.shape)
        _require_finite(group, "loss", losses)
        if deterministic:
            _require_same(group, "losses", losses, recipe.objective(outputs, targets))
            longer = recipe.objective(*(torch.cat([own, own[:1]]) for own in (outputs, targets)))
            _require_samples_apart(group, losses, longer)


def _gradients(losses: Tensor, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The gradient of every stacked parameter by name."""
    own = list(parameters.values())
    found = torch.autograd.grad(losses.sum(), own, allow_unused=True, materialize_grads=True, retain_graph=True)
    return dict(zip(parameters, found, strict=True))


def _require_same(group: str, what: str, first: Tensor, second: Tensor) -> None:
    """Raise ComponentError where something comes out in other bits the second time."""
    if not torch.equal(first, second):
        raise ComponentError(
            group, f"gives other {what} for the same inputs: draw random numbers by a buffer 'key'; or {ALLOW}"
        )


def _require_every_step(outputs: object, task: Task, steps: int) -> None:
    if task.targets_at == "every" and isinstance(outputs, Tensor) and outputs.dim() == 2:
        raise ComponentError(
            "model",
            f"gives one output for all {steps} time steps, but the task asks for one at each: choose model=lstm",
        )


def _require_log_probabilities(output: ClassOutput, logits: Tensor) -> None:
    found: object = output.log_probabilities(logits)
    if not isinstance(found, LogProbabilities):
        kind = type(found).__name__
        raise ComponentError("output", f"log_probabilities returns {kind} where LogProbabilities(hit, miss) is needed")


def _require_samples_apart(group: str, values: Tensor, longer: Tensor) -> None:
    """Raise ComponentError where a sample's values depend on the batch it is in: padding rows would count."""
    if not torch.allclose(values, longer[: len(values)], rtol=1e-3, atol=1e-5):
        raise ComponentError(group, "mixes the samples of a batch: each must be treated for itself")


def _try_block(model: nn.Module, recipe: Recipe, data: SeedData, batch: Batch, parameters: dict[str, Tensor]) -> Tensor:
    """Outputs of a block of two seeds in training, and whatever else the engine asks of it."""
    tensors = parameters | {name: torch.arange(2) for name in key_names(model)}
    with blamed("model", IN_BLOCK):
        if recipe.state.carried:
            _, state = series_outputs(model.train(), tensors, data, "train", batch, None)
            return series_outputs(model, tensors, data, "train", batch, state)[0]
        if data.task.targets_at == "sequence":
            window_outputs(model.eval(), tensors, data, "train", batch, free_running=True)
        return window_outputs(model.train(), tensors, data, "train", batch)


def _require_exact_state(model: nn.Module, data: SeedData) -> None:
    """A series in one piece and the same in two must give the same outputs."""

    def series(*positions: int) -> Tensor:
        return data.series("train", Batch(torch.tensor(positions)[None, None], torch.ones(1, len(positions))))[0]

    both = range(min(SAMPLES, data.samples("train")))
    with blamed("model", "cannot carry its state: "), torch.no_grad():
        whole, _ = model(series(*both), model.initial_state(series(*both)))  # type: ignore[operator]
        state, parts = model.initial_state(series(0)), []  # type: ignore[operator]
        for position in both:
            outputs, state = model(series(position), state)
            parts.append(outputs)
    if not torch.allclose(whole, torch.cat(parts, dim=1), rtol=1e-4, atol=1e-5):
        raise ComponentError("model", "carries its state wrongly: a series cut in two gives other outputs than uncut")


def _try_gradient_rule(recipe: Recipe, gradients: dict[str, Tensor], deterministic: bool) -> None:
    """``gradients`` [2, ...] by name; the rule is tried on those of one model first."""
    with blamed("gradient"):
        one: object = recipe.gradient_rule({name: gradient[0] for name, gradient in gradients.items()})
        if not isinstance(one, Mapping):
            kind = type(one).__name__
            raise ComponentError("gradient", f"returns {kind} where a mapping of name to tensor is needed")
        if list(one) != list(gradients):
            raise ComponentError("gradient", f"returns {', '.join(one)} for {', '.join(gradients)}")
        for name, gradient in gradients.items():
            _require_shape("gradient", one[name], gradient.shape[1:])
            _require_finite("gradient", name, one[name])
    with blamed("gradient", IN_BLOCK):
        ruled = vmap(recipe.gradient_rule)(gradients)
    if deterministic:
        again = vmap(recipe.gradient_rule)(gradients)
        for name in gradients:
            _require_same("gradient", name, ruled[name], again[name])


def _try_optimizer(recipe: Recipe) -> None:
    """Two steps of two stacked parameters, which must move as each alone."""

    def stepped(start: Tensor, gradient: Tensor) -> tuple[Tensor, float]:
        parameter = nn.Parameter(start.clone())
        scheduler = recipe.optimizer([parameter], 2)
        if not hasattr(scheduler, "optimizer"):
            kind = type(scheduler).__name__
            raise ComponentError(
                "optimizer", f"returns {kind} where an LRScheduler is needed: see optimizers.scheduled"
            )
        for _ in range(2):
            parameter.grad = gradient.clone()
            scheduler.optimizer.step()
            scheduler.step()
        return parameter.detach(), float(scheduler.get_last_lr()[0])

    starts = torch.tensor([[[1.0, -2.0], [0.5, 1.0]], [[-1.0, 0.3], [2.0, 1.0]]])
    gradients = torch.tensor([[[0.1, -0.3], [1.0, 0.2]], [[20.0, 5.0], [-7.0, 1.0]]])
    with blamed("optimizer"):
        together, last_rate = stepped(starts, gradients)
        _require_finite("optimizer", "step", together)
        for start, gradient, own in zip(starts, gradients, together, strict=True):
            if not torch.allclose(stepped(start, gradient)[0], own, rtol=1e-5, atol=1e-7):
                raise ComponentError("optimizer", "couples the seeds of a block: it must work element by element")
    if recipe.online and last_rate == 0:
        raise ComponentError("optimizer", "its schedule ends at 0, but with online=true learning goes on: use constant")


def _require_shape(group: str, found: object, wanted: tuple[int, ...], every_step: bool = False) -> None:
    """Raise ComponentError unless it is a tensor of the wanted shape; ``every_step`` allows a further axis of steps."""
    if not isinstance(found, Tensor):
        raise ComponentError(group, f"returns {type(found).__name__} where a tensor is needed")
    shape = tuple(found.shape)
    if every_step and len(shape) == len(wanted) + 1:
        shape = (*shape[:-2], shape[-1])
    if shape != tuple(wanted):
        hint = ": one loss per element, no mean" if group == "loss" else ""
        raise ComponentError(group, f"returns the shape {tuple(found.shape)} where {tuple(wanted)} is needed{hint}")


def _require_finite(group: str, what: str, values: Tensor) -> None:
    if not values.isfinite().all():
        bad = "NaN" if values.isnan().any() else "infinite"
        raise ComponentError(group, f"{what} is {bad} at the start, on two samples")
