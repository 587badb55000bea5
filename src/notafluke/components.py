"""Objects out of a configuration: the task and the training recipe of a run."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notafluke.configuration import component_options
from notafluke.errors import UsageError
from notafluke.tasks.base import Task

if TYPE_CHECKING:
    from notafluke.training.recipe import Recipe

DRY_ROWS = 2


def build_task(config: Mapping[str, Any]) -> Task:
    """The task of a run. Raises UsageError for options that it does not take."""
    task = _component(config, "task")()
    if not isinstance(task, Task):
        raise UsageError(f"task: {config['task']['_target_']} is not a notafluke.tasks.base.Task")
    return task


def build_recipe(config: Mapping[str, Any]) -> Recipe:
    """The training recipe of a run. Imports torch. Raises UsageError for options that a component does not take."""
    from notafluke.training.recipe import Recipe

    return Recipe(
        build_model=functools.partial(_component(config, "model"), activation=_component(config, "activation")),
        loss=_component(config, "loss"),
        gradient_rule=_component(config, "gradient"),
        optimizer=_component(config, "optimizer"),
        max_epochs=config["trainer"]["max_epochs"],
        batch_size=config["trainer"]["batch_size"],
    )


def check(config: Mapping[str, Any]) -> None:
    """Build and judge everything that a run needs, its data included, without training. Raises UsageError."""
    import torch

    from notafluke.training.batching import UnbatchableError, check_batchable

    device = config["execution"]["device"]
    if device.startswith("cuda") and (torch.device(device).index or 0) >= torch.cuda.device_count():
        raise UsageError(f"execution.device={device}: torch finds {torch.cuda.device_count()} CUDA devices here")
    task = build_task(config)
    task.check()
    train = task.load(0, 0).train
    recipe = build_recipe(config)
    inputs, targets = torch.from_numpy(train.inputs[:DRY_ROWS]), torch.from_numpy(train.targets[:DRY_ROWS])
    parts: dict[str, Callable[[], Any]] = {
        "model": lambda: recipe.build_model(inputs.shape[2], targets.shape[1]),
        "gradient": lambda: recipe.gradient_rule({"parameter": torch.zeros(1)}),
        "optimizer": lambda: recipe.optimizer([torch.nn.Parameter(torch.zeros(1))], 1),
        "batching": lambda: check_batchable(recipe, inputs, targets),
    }
    for group, try_out in parts.items():
        try:
            try_out()
        except UnbatchableError as error:
            raise UsageError(f"{error.component} ({_name(config, error.component)}): {error}") from error
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0]
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            raise UsageError(f"{group} ({_name(config, group)}): {kind}{reason}") from error


def _component(config: Mapping[str, Any], group: str) -> Callable[..., Any]:
    """The function or class of a component with its options bound."""
    section = component_options(config, group)
    if "_target_" not in section:
        raise UsageError(f"{group}: the option has no _target_, the dotted path of its function or class")
    target = section.pop("_target_")
    section.pop("_partial_", None)
    function = _import(group, target)
    try:
        signature = inspect.signature(function)
    except ValueError:  # a function written in C does not say what it takes
        return functools.partial(function, **section)
    try:
        signature.bind_partial(**section)
    except TypeError as error:
        raise UsageError(f"{group} ({target}): {error}") from error
    return functools.partial(function, **section)


def _import(group: str, target: str) -> Callable[..., Any]:
    """The object of a dotted path; modules in the working folder can be imported too. Raises UsageError."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{group}: cannot import {target}: {type(error).__name__}: {reason}") from error
    if not callable(found):
        raise UsageError(f"{group}: {target} is not a function or class")
    return found  # type: ignore[no-any-return]


def _name(config: Mapping[str, Any], group: str) -> str:
    """What a component is, for a message; a model goes with its activation."""
    targets = [config[part]["_target_"] for part in (("model", "activation") if group == "model" else (group,))]
    return " with ".join(targets)
