"""Objects out of a configuration: the task and the training recipe of a run, and whether they fit together."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notafluke.configuration import RunConfig, component_options
from notafluke.errors import ComponentError, UsageError, did_you_mean
from notafluke.importing import without_collection
from notafluke.tasks.base import Task
from notafluke.work import Work

if TYPE_CHECKING:
    from notafluke.training.recipe import Recipe


def build_task(config: Mapping[str, Any]) -> Task:
    """The task of a run. Raises UsageError for options that it does not take."""
    task = build_component(config, "task")
    if not isinstance(task, Task):
        raise ComponentError("task", f"{config['task']['_target_']} is not a notafluke.tasks.base.Task")
    task.results = Path(config["execution"]["results"])
    return task


def build_recipe(config: Mapping[str, Any]) -> Recipe:
    """The training recipe of a run. Imports torch. Raises ComponentError for options that a component does not take."""
    from notafluke.training.recipe import Recipe

    model, attention = build_component(config, "model"), build_component(config, "attention")
    parts = {"activation": build_component(config, "activation")}
    if _takes(model, "attention"):
        parts["attention"] = attention
    elif attention(1) is not None:
        raise ComponentError("attention", "the model has no attention; choose model=seq2seq or attention=none")
    return Recipe(
        build_model=functools.partial(model, **parts),
        output=build_component(config, "output"),
        loss=build_component(config, "loss"),
        gradient_rule=build_component(config, "gradient"),
        optimizer=build_component(config, "optimizer"),
        state=build_component(config, "state"),
        online=config["online"],
        pretraining_epochs=config["trainer"]["pretraining_epochs"],
        max_epochs=config["trainer"]["max_epochs"],
        batch_size=config["trainer"]["batch_size"],
        takes_steps=_asks(model, "steps"),
    )


@dataclass(frozen=True)
class Examined:
    """What trying a run found: what is allowed but should be known, one line each, and how much there is to compute."""

    cautions: list[str]
    work: Work


def check(run: RunConfig) -> list[str]:
    """Build and try everything that a run needs, its data included, without training.

    Returns what is allowed but should be known, one line each. Raises UsageError that names the component, its option
    file and the reason.
    """
    return examine(run).cautions


def examine(run: RunConfig) -> Examined:
    """What ``check`` does, with the work that there is."""
    if "notafluke.training.dry_pass" not in sys.modules:
        with without_collection():
            # The first optimizer imports the compiler, so it is imported in any case.
            importlib.import_module("torch._dynamo")
            importlib.import_module("notafluke.training.dry_pass")
    from notafluke.training.dry_pass import dry_pass

    config = run.config
    require_device(config["execution"]["device"])
    try:
        task = build_task(config)
        task.check()
        recipe = build_recipe(config)
        _require_state_rule(recipe)
        work = dry_pass(recipe, task, build_component(config, "activation"), config["nondeterminism"] == "refuse")
    except ComponentError as error:
        raise UsageError(f"{_described(run, error.group)}: {error.reason}") from error
    return Examined(_cautions(run, recipe, task), work)


def require_device(device: str) -> None:
    """Raise UsageError for a GPU that is not there. Imports torch where it is asked for one."""
    if not device.startswith("cuda"):
        return
    import torch

    if (torch.device(device).index or 0) >= torch.cuda.device_count():
        raise UsageError(f"execution.device={device}: torch finds {torch.cuda.device_count()} CUDA devices here")


def _require_state_rule(recipe: Recipe) -> None:
    """Raise ComponentError for a rule of the state that lacks what notafluke.training.recipe.StateRule asks for."""
    wanted = ("carried", "training_batches", "evaluation_batches")
    if lacking := [name for name in wanted if not hasattr(recipe.state, name)]:
        raise ComponentError("state", f"has no {' and no '.join(lacking)}; see notafluke.training.recipe.StateRule")


def scaling_has_no_effect(config: Mapping[str, Any]) -> bool:
    """Whether the gradient rule sets the gradient's size, but the optimizer divides by it again. Imports torch."""
    from notafluke.training.gradients import ignores_size
    from notafluke.training.optimizers import ignores_scale

    return ignores_size(build_component(config, "gradient")) and ignores_scale(build_component(config, "optimizer"))


def _cautions(run: RunConfig, recipe: Recipe, task: Task) -> list[str]:
    cautions = []
    if recipe.loss is not None and recipe.output.kind != "numbers":
        cautions.append(
            f"loss={run.choices['loss']} is trained on the probabilities of output={run.choices['output']}, in place "
            "of the loss that belongs to it"
        )
    if caution := recipe.output.caution(task.output_size):
        cautions.append(caution)
    return [f"task={run.choices['task']}: {caution}" for caution in cautions]


def build_component(config: Mapping[str, Any], group: str) -> Any:
    """The object of a component: with ``_partial_: true`` its function with its options bound, else what it returns.

    Raises ComponentError for what cannot be imported or does not take its options.
    """
    section = component_options(config, group)
    if "_target_" not in section:
        raise ComponentError(group, "the option has no _target_, the dotted path of its function or class")
    target = section.pop("_target_")
    partial = section.pop("_partial_", False)
    function = _import(group, target)
    try:
        signature = inspect.signature(function)
    except ValueError:  # a function written in C does not say what it takes
        signature = None
    try:
        if signature is not None:
            signature.bind_partial(**section)
        bound = functools.partial(function, **section)
        return bound if partial else bound()
    except (TypeError, ValueError) as error:
        raise ComponentError(group, " ".join(str(error).split())) from error


def _takes(function: Callable[..., Any], name: str) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:
        return False
    return name in parameters


def _asks(function: Callable[..., Any], name: str) -> bool:
    """Whether it takes a parameter for which its option file has no value."""
    return _takes(function, name) and inspect.signature(function).parameters[name].default is inspect.Parameter.empty


def _import(group: str, target: str) -> Callable[..., Any]:
    """The object of a dotted path; modules in the working folder can be imported too. Raises ComponentError."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    path, _, name = str(target).rpartition(".")
    if not path:
        raise ComponentError(group, f"cannot import {target!r}: write a dotted path, package.module.function")
    try:
        module = importlib.import_module(path)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and (path == missing or path.startswith(f"{missing}.")):
            tried = f"found no module {missing!r} in {folder} nor among the installed packages"
        else:
            tried = f"importing {path} raised {type(error).__name__}: {' '.join(str(error).split())}"
        raise ComponentError(group, f"cannot import {target}: {tried}") from error
    if not hasattr(module, name):
        public = [own for own, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
        place = getattr(module, "__file__", None) or path
        raise ComponentError(group, f"cannot import {target}: {place} has no {name!r}{did_you_mean(name, public)}")
    found = getattr(module, name)
    if not callable(found):
        raise ComponentError(group, f"{target} is not a function or class")
    return found  # type: ignore[no-any-return]


def _described(run: RunConfig, group: str) -> str:
    """A component for a message: its name, option file and target; a model goes with its activation and attention."""
    parts = [group]
    if group == "model":
        parts += ["activation", *(["attention"] if run.choices["attention"] != "none" else [])]
    return " with ".join(_one_described(run, part) for part in parts)


def _one_described(run: RunConfig, group: str) -> str:
    option = run.choices[group]
    target = run.config[group].get("_target_")
    return f"{group}={option} (conf/{group}/{option}.yaml{f', {target}' if target else ''})"
