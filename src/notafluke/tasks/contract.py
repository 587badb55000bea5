"""What every task must keep, tried on its data before anything is trained, so that a task is told what it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np

from notafluke.errors import ComponentError, did_you_mean
from notafluke.tasks.base import SPLITS, Float32, Kind, Split, TargetsAt, Task, TaskData


def require_contract(task: Task, data: TaskData) -> None:
    """Raise ComponentError for what does not agree with the docstrings of Task, Split and TaskData."""
    _require_choice("kind", task.kind, get_args(Kind))
    _require_choice("targets_at", task.targets_at, get_args(TargetsAt))
    if task.targets_at == "sequence" and task.kind != "classes":
        raise ComponentError("task", "sequences of their own are written in classes: set kind = 'classes'")
    _require_metrics(task)
    if not isinstance(data, TaskData):
        raise ComponentError("task", f"load returns {type(data).__name__} where TaskData is needed")
    for name in SPLITS:
        _require_split(task, name, getattr(data, name))
    if data.earlier is not None:
        _require_split(task, "earlier", data.earlier)
    _require_time(task, data.train.inputs.shape[1])
    _require_scores(task, data)
    _require_series(task, data)
    _require_prompts(task, data)


def guess(task: Task, split: Split) -> Float32:
    """Predictions of the right shape: zeros for numbers, equal probabilities for classes."""
    if task.kind != "classes":
        return np.zeros_like(split.numbers)
    shape = (*split.targets.shape, task.output_size)
    if task.targets_at == "sequence":
        shape = (shape[0], 2, *shape[1:])
    return np.full(shape, -np.log(task.output_size), dtype=np.float32)


def _require_choice(name: str, value: object, valid: Sequence[str]) -> None:
    if value not in valid:
        raise ComponentError("task", f"{name}={value}{did_you_mean(value, valid)}")


def _require_metrics(task: Task) -> None:
    names = [metric.name for metric in task.metrics]
    if len(set(names)) < len(names):
        raise ComponentError("task", f"metrics: a name stands there twice: {', '.join(names)}")
    _require_choice("primary_metric", task.primary_metric, names)
    for metric in task.metrics:
        _require_choice(f"metric {metric.name}: direction", metric.direction, ("lower", "higher"))
    declaration = task.declaration()
    if not all(isinstance(value, str) for value in declaration.values()):
        raise ComponentError("task", f"declaration() returns {declaration!r} where texts by name are needed")


def _require_split(task: Task, name: str, split: Split) -> None:
    where = f"{name} split"
    if not isinstance(split, Split):
        raise ComponentError("task", f"{where}: is {type(split).__name__} where Split is needed")
    if len(split.inputs) == 0:
        raise ComponentError("task", f"{where}: has no sample")
    if split.inputs.shape[2] != task.input_size:
        raise ComponentError("task", f"{where}: inputs have {split.inputs.shape[2]} features, not {task.input_size}")
    axes = 1 + (task.targets_at != "last") + (task.kind != "classes")
    wanted = np.int64 if task.kind == "classes" else np.float32
    if split.targets.ndim != axes or split.targets.dtype != wanted:
        found = f"{split.targets.ndim} axes in {split.targets.dtype}"
        raise ComponentError(
            "task", f"{where}: targets have {found}, not {axes} in {np.dtype(wanted)}, as kind and targets_at say"
        )
    if task.targets_at == "every" and split.targets.shape[1] != split.inputs.shape[1]:
        steps = f"{split.targets.shape[1]} steps for inputs of {split.inputs.shape[1]}"
        raise ComponentError("task", f"{where}: targets of {steps}, with a target at every step")
    if task.kind != "classes" and split.targets.shape[-1] != task.output_size:
        found = f"{split.targets.shape[-1]} {task.kind}"
        raise ComponentError("task", f"{where}: targets have {found}, not {task.output_size}")
    if task.kind == "labels" and not np.isin(split.targets, (0, 1)).all():
        raise ComponentError("task", f"{where}: labels are not all 0 or 1")
    if split.counted is not None and task.targets_at != "every":
        raise ComponentError("task", f"{where}: counted is for a target at every step")
    if task.kind == "classes" and not 0 <= split.targets.min() <= split.targets.max() < task.output_size:
        span = f"{split.targets.min()} to {split.targets.max()}"
        raise ComponentError("task", f"{where}: classes go from {span}, not from 0 to {task.output_size - 1}")
    for part in ("inputs", "targets"):
        if not np.isfinite(getattr(split, part)).all():
            raise ComponentError("task", f"{where}: {part} are not all finite")


def _require_time(task: Task, steps: int) -> None:
    if task.advance is None:
        return
    if not 1 <= task.advance <= steps:
        raise ComponentError("task", f"advance={task.advance}: samples of {steps} steps cannot follow each other so")
    if task.targets_at == "every" and task.advance != steps:
        raise ComponentError(
            "task", f"advance={task.advance}: with a target at every step it must be all {steps} steps"
        )


def _require_scores(task: Task, data: TaskData) -> None:
    """Metrics and baselines of a guess, by their names."""
    names = [metric.name for metric in task.metrics]
    validation, test = guess(task, data.validation), guess(task, data.test)
    on_validation = task.validation_metrics(data, validation)
    if task.primary_metric not in on_validation:
        raise ComponentError("task", f"validation_metrics lacks the primary metric {task.primary_metric}")
    on_test = task.test_metrics(data, test, validation)
    if sorted(on_test) != sorted(names):
        raise ComponentError(
            "task", f"test_metrics returns {', '.join(on_test)}, but metrics declares {', '.join(names)}"
        )
    for baseline in task.baselines(data):
        _require_choice(f"baseline {baseline.name}: metric", baseline.metric, names)


def _require_series(task: Task, data: TaskData) -> None:
    """Series over the test samples, for a guess: float64, one number for each sample."""
    series = task.by_sample(data, guess(task, data.test), guess(task, data.validation))
    for name, own in series.items():
        if own.dtype != np.float64 or own.shape != (len(data.test.inputs),):
            found = f"{own.shape} in {own.dtype}"
            raise ComponentError("task", f"by_sample: {name} has {found}, not one float64 for each test sample")


def _require_prompts(task: Task, data: TaskData) -> None:
    """What a trained network goes on from, and the next input for a guess: found at the end, it would cost the run."""
    prompts = task.prompts(data)
    if prompts is None:
        return
    count = len(prompts.inputs)
    if prompts.inputs.dtype != np.float32 or prompts.inputs.ndim != 3 or prompts.inputs.shape[2] != task.input_size:
        found = f"{prompts.inputs.shape} in {prompts.inputs.dtype}"
        raise ComponentError("task", f"prompts: inputs are {found}, not [prompts, steps, {task.input_size}] in float32")
    even = np.full((count, task.output_size), -np.log(task.output_size), dtype=np.float32)
    chosen = task.next_inputs(even, np.random.default_rng(0))
    if chosen.dtype != np.float32 or chosen.shape != (count, task.input_size):
        found = f"{chosen.shape} in {chosen.dtype}"
        raise ComponentError("task", f"next_inputs returns {found}, not ({count}, {task.input_size}) in float32")
