"""Objects out of a configuration: the task and the training recipe of a run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hydra.utils import get_object

from notafluke.configuration import component_options
from notafluke.errors import UsageError
from notafluke.tasks.base import Task

if TYPE_CHECKING:
    from notafluke.training.recipe import Recipe


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

    from notafluke.training.recipe import UnbatchableError, refuse_unbatchable

    task = build_task(config)
    task.check()
    recipe = build_recipe(config)
    parameter = torch.nn.Parameter(torch.zeros(1))
    parts: dict[str, Callable[[], Any]] = {
        "model": lambda: refuse_unbatchable(recipe.build_model(task.input_size, task.output_size)),
        "gradient": lambda: recipe.gradient_rule({"parameter": torch.zeros(1)}),
        "optimizer": lambda: recipe.optimizer([parameter], 1),
    }
    for group, build in parts.items():
        try:
            build()
        except (ValueError, TypeError, UnbatchableError) as error:
            raise UsageError(f"{group} ({config[group]['_target_']}): {error}") from error


def _component(config: Mapping[str, Any], group: str) -> Callable[..., Any]:
    """The function or class of a component with its options bound."""
    section = component_options(config, group)
    target = section.pop("_target_")
    section.pop("_partial_", None)
    try:
        function = get_object(target)
    except Exception as error:
        raise UsageError(f"{group}: cannot import {target}: {str(error).splitlines()[0]}") from error
    try:
        inspect.signature(function).bind_partial(**section)
    except TypeError as error:
        raise UsageError(f"{group} ({target}): {error}") from error
    return functools.partial(function, **section)
