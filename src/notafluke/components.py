"""Objects out of a configuration: the task and the training recipe of a run, and whether they fit together."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notafluke.configuration import RunConfig, component_options
from notafluke.errors import ComponentError, UsageError, did_you_mean
from notafluke.tasks.base import Task

if TYPE_CHECKING:
    from notafluke.training.recipe import Recipe

NO_ATTENTION = "notafluke.nn.attention.none"
NORM_SCALING = "notafluke.training.gradients.scale_norm"


def build_task(config: Mapping[str, Any]) -> Task:
    """The task of a run. Raises UsageError for options that it does not take."""
    task = _built(config, "task")
    if not isinstance(task, Task):
        raise ComponentError("task", f"{config['task']['_target_']} is not a notafluke.tasks.base.Task")
    return task


def build_recipe(config: Mapping[str, Any]) -> Recipe:
    """The training recipe of a run. Imports torch. Raises ComponentError for options that a component does not take."""
    from notafluke.training.recipe import Recipe

    parts = {"activation": _built(config, "activation"), "attention": _built(config, "attention")}
    model = _built(config, "model")
    if not _takes(model, "attention"):
        if config["attention"]["_target_"] != NO_ATTENTION:
            raise ComponentError("attention", "the model has no attention; choose model=seq2seq or attention=none")
        del parts["attention"]
    return Recipe(
        build_model=functools.partial(model, **parts),
        output=_built(config, "output"),
        loss=_built(config, "loss"),
        gradient_rule=_built(config, "gradient"),
        optimizer=_built(config, "optimizer"),
        state=_built(config, "state"),
        online=config["online"],
        max_epochs=config["trainer"]["max_epochs"],
        batch_size=config["trainer"]["batch_size"],
    )


def check(run: RunConfig) -> list[str]:
    """Build and try everything that a run needs, its data included, without training.

    Returns what is allowed but should be known, one line each. Raises UsageError that names the component, its option
    file and the reason.
    """
    import torch

    from notafluke.training.dry_pass import dry_pass

    config = run.config
    device = config["execution"]["device"]
    if device.startswith("cuda") and (torch.device(device).index or 0) >= torch.cuda.device_count():
        raise UsageError(f"execution.device={device}: torch finds {torch.cuda.device_count()} CUDA devices here")
    try:
        task = build_task(config)
        task.check()
        recipe = build_recipe(config)
        dry_pass(recipe, task, _built(config, "activation"))
    except ComponentError as error:
        raise UsageError(f"{_described(run, error.group)}: {error.reason}") from error
    return _cautions(run, task)


def scales_the_norm_in_vain(config: Mapping[str, Any]) -> bool:
    """Whether the gradient is scaled to a norm for an optimizer that divides by the gradient's size again."""
    if config["gradient"]["_target_"] != NORM_SCALING:
        return False
    from notafluke.training.optimizers import ignores_scale

    return ignores_scale(_built(config, "optimizer"))


def _cautions(run: RunConfig, task: Task) -> list[str]:
    cautions = []
    if run.config["output"].get("loss") and run.choices["loss"] != "of_output":
        cautions.append(
            f"task={run.choices['task']}: loss={run.choices['loss']} is trained on the probabilities of "
            f"output={run.choices['output']}, in place of the output's own {run.config['output']['loss']}"
        )
    if task.kind == "classes" and task.output_size == 2 and run.config["output"]["_target_"].endswith("TopcatMargin"):
        cautions.append(
            f"task={run.choices['task']} has two classes: there topcat_margin is softmax, and binary cross-entropy is "
            "twice the categorical one"
        )
    return cautions


def _built(config: Mapping[str, Any], group: str) -> Any:
    """The object of a component: with ``_partial_: true`` its function with its options bound, else what it returns."""
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
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and (path == missing or path.startswith(f"{missing}.")):
            tried = f"found no module {missing!r} in {folder} nor among the installed packages"
        else:
            tried = f"importing {path} raised {type(error).__name__}: {' '.join(str(error).split())}"
        raise ComponentError(group, f"cannot import {target}: {tried}") from error
    if not hasattr(module, name):
        public = [own for own, value in vars(module).items() if callable(value) and not own.startswith("_")]
        place = getattr(module, "__file__", None) or path
        raise ComponentError(group, f"cannot import {target}: {place} has no {name!r}{did_you_mean(name, public)}")
    found = getattr(module, name)
    if not callable(found):
        raise ComponentError(group, f"{target} is not a function or class")
    return found  # type: ignore[no-any-return]


def _described(run: RunConfig, group: str) -> str:
    """A component for a message: its name, option file and target; a model goes with its activation."""
    parts = [group, "activation"] if group == "model" else [group]
    return " with ".join(_one_described(run, part) for part in parts)


def _one_described(run: RunConfig, group: str) -> str:
    option = run.choices[group]
    target = run.config[group].get("_target_")
    return f"{group}={option} (conf/{group}/{option}.yaml{f', {target}' if target else ''})"
