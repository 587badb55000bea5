"""What all tasks share: the forms of data and metrics, and what each shipped option must keep."""

from __future__ import annotations

import importlib
import inspect
import math
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import yaml

from notafluke.errors import UsageError
from notafluke.tasks.base import Split, Task, mean_squared_error, require_whole

OPTIONS = sorted((Path(__file__).parents[2] / "conf" / "task").glob("*.yaml"))


# With all its days it needs more than a gigabyte.
SHORTER = {
    "earthquake_full": {
        "start": "2012-01-01",
        "train_end": "2012-06-30",
        "validation_end": "2012-09-30",
        "test_end": "2012-12-31",
    }
}


def read(path: Path) -> dict[str, Any]:
    """Read an option file on top of the options of its group that it builds on."""
    own: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    merged: dict[str, Any] = {}
    for base in builds_on(own):
        merged |= read(path.with_name(f"{base}.yaml"))
    return merged | own


def builds_on(options: dict[str, Any]) -> list[str]:
    """Return the options of the same group in a defaults list."""
    return [entry for entry in options.get("defaults", []) if isinstance(entry, str) and entry != "_self_"]


def instantiate(path: Path, **changes: Any) -> Task:
    """Make the task of an option file as Hydra does, without what its class does not take."""
    options = read(path)
    module, name = options.pop("_target_").rsplit(".", 1)
    task = getattr(importlib.import_module(module), name)
    given = {key: value for key, value in options.items() if key not in ("description", "reference", "defaults")}
    return cast(Task, task(**given | SHORTER.get(path.stem, {}) | changes))


def prediction_shape(task: Task, split: Split) -> tuple[int, ...]:
    """As the docstring of Task says: of numbers and labels like the targets, of classes one for each class."""
    shape = (*split.targets.shape, task.output_size) if task.kind == "classes" else split.targets.shape
    return (shape[0], 2, *shape[1:]) if task.targets_at == "sequence" else shape


def perfect(task: Task, split: Split) -> Any:
    """Predictions without any error."""
    if task.kind == "numbers":
        return split.targets
    if task.kind == "labels":
        return np.where(split.numbers == 1, np.float32(1e4), np.float32(-1e4))
    sure = np.where(np.arange(task.output_size) == split.classes[..., None], 0, -1e4).astype(np.float32)
    return np.stack([sure, sure], axis=1) if task.targets_at == "sequence" else sure


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: path.stem)
class TestEveryOption:
    """One contract for every option in conf/task."""

    def test_says_what_it_is(self, path: Path) -> None:
        options = read(path)
        assert all(isinstance(options[key], str) and options[key] for key in ("_target_", "description", "reference"))

    def test_options_are_those_of_the_class(self, path: Path) -> None:
        """Every option of the class stands in the file, with its default unless the file builds on another one."""
        options = read(path)
        changed = yaml.safe_load(path.read_text(encoding="utf-8")) if builds_on(options) else {}
        module, name = options["_target_"].rsplit(".", 1)
        for key, parameter in inspect.signature(getattr(importlib.import_module(module), name)).parameters.items():
            assert key in options
            assert key in changed or parameter.default in (inspect.Parameter.empty, options[key])

    def test_forms_and_sizes(self, path: Path) -> None:
        task = instantiate(path)
        task.check()
        data = task.load(3, 0)
        for split in (data.train, data.validation, data.test):
            assert split.inputs.shape[0] == split.targets.shape[0] > 0
            assert split.inputs.shape[2] == task.input_size
            assert split.targets.dtype == (np.int64 if task.kind == "classes" else np.float32)
            if task.kind != "classes":
                assert split.targets.shape[-1] == task.output_size
            else:
                assert split.classes.min() >= 0 and split.classes.max() < task.output_size
            steps = {"last": (), "every": (split.inputs.shape[1],)}
            if task.targets_at in steps:
                outputs = () if task.kind == "classes" else (task.output_size,)
                assert split.targets.shape[1:] == (*steps[task.targets_at], *outputs)
            assert split.inputs.flags.c_contiguous and split.targets.flags.c_contiguous
            assert np.isfinite(split.inputs).all() and np.isfinite(split.targets).all()

    def test_same_seed_same_data(self, path: Path) -> None:
        task = instantiate(path)
        first, again = task.load(3, 0), instantiate(path).load(3, 0)
        others = [task.load(4, 0), task.load(3, 1)]
        for name in ("train", "validation", "test"):
            for part in ("inputs", "targets"):
                values = getattr(getattr(first, name), part)
                assert np.array_equal(values, getattr(getattr(again, name), part))
                for other in others:
                    assert np.array_equal(values, getattr(getattr(other, name), part)) != task.varies_with_seed

    def test_metrics_are_those_declared(self, path: Path) -> None:
        task = instantiate(path)
        data = task.load(0, 0)
        rng = np.random.default_rng(0)
        validation = rng.standard_normal(prediction_shape(task, data.validation)).astype(np.float32)
        test = rng.standard_normal(prediction_shape(task, data.test)).astype(np.float32)
        names = [metric.name for metric in task.metrics]
        assert names[0] == task.primary_metric
        assert len(set(names)) == len(names)
        on_validation, on_test = task.validation_metrics(data, validation), task.test_metrics(data, test, validation)
        assert list(on_test) == names
        assert task.primary_metric in on_validation and set(on_validation) <= set(names)
        for value in (*on_validation.values(), *on_test.values()):
            assert type(value) is float and math.isfinite(value)

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_a_prediction_that_is_not_finite_makes_all_metrics_nan(self, path: Path, bad: float) -> None:
        task = instantiate(path)
        data = task.load(0, 0)
        validation = np.zeros(prediction_shape(task, data.validation), np.float32)
        test = np.zeros(prediction_shape(task, data.test), np.float32)
        validation[-1, 0] = test[-1, 0] = bad
        assert all(math.isnan(value) for value in task.validation_metrics(data, validation).values())
        scores = task.test_metrics(data, test, np.zeros_like(validation))
        assert all(math.isnan(value) for value in scores.values())

    def test_wrong_shape_is_not_broadcast(self, path: Path) -> None:
        task = instantiate(path)
        data = task.load(0, 0)
        flat = np.zeros(len(data.validation.targets), dtype=np.float32)
        with pytest.raises(ValueError, match="shape"):
            task.validation_metrics(data, flat)

    def test_perfect_predictions_have_no_error(self, path: Path) -> None:
        task = instantiate(path)
        data = task.load(0, 0)
        scores = task.test_metrics(data, perfect(task, data.test), perfect(task, data.validation))
        errors = {"mse", "log_loss", "bits_per_character", "nll", "brier", "calibration_error"} & set(scores)
        assert errors and all(scores[name] < 1e-12 for name in errors)
        assert all(scores[name] == 1 for name in {"accuracy", "recall_accuracy", "exact_match"} & set(scores))

    def test_samples_follow_each_other_as_declared(self, path: Path) -> None:
        """A sample that comes `advance` steps later sees the end of the one before, also across splits."""
        task = instantiate(path)
        data = task.load(2, 0)
        inputs = np.concatenate([data.train.inputs[-40:], data.validation.inputs[:40]])
        if task.advance is not None:
            assert np.array_equal(inputs[1:, : -task.advance], inputs[:-1, task.advance :])
        else:
            assert not np.array_equal(inputs[1:, :-1], inputs[:-1, 1:])

    def test_baselines(self, path: Path) -> None:
        task = instantiate(path)
        baselines = task.baselines(task.load(0, 0))
        names = {metric.name for metric in task.metrics}
        assert all(baseline.metric in names and math.isfinite(baseline.value) for baseline in baselines)
        assert [b.metric for b in baselines if b.trivial] == [task.primary_metric]

    def test_declaration_is_text_without_paths(self, path: Path) -> None:
        declaration = instantiate(path).declaration()
        assert declaration
        assert {type(value) for value in declaration.values()} == {str}
        assert not any("/" in value for value in declaration.values())


def test_all_shipped_options_are_found() -> None:
    assert {"adding", "copy_memory", "lotto", "reversal", "stock"} <= {path.stem for path in OPTIONS}


def test_importing_the_tasks_brings_neither_torch_nor_pandas() -> None:
    code = (
        "import sys, notafluke.tasks.adding, notafluke.tasks.lotto, notafluke.tasks.stock as stock; "
        "import notafluke.tasks.copy_memory, notafluke.tasks.reversal, notafluke.tasks.detection; "
        "stock.Stock(source='arch').declaration(); "
        "assert not {'torch', 'pandas', 'hydra', 'snakemake'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("inputs", "targets", "index"),
    [
        (np.zeros((2, 3), np.float32), np.zeros((2, 1), np.float32), None),
        (np.zeros((2, 3, 1), np.float32), np.zeros(2, np.float32), None),
        (np.zeros((2, 3, 1), np.float32), np.zeros((2, 3, 1), np.int64), None),
        (np.zeros((2, 3, 1), np.float32), np.zeros(2, np.int32), None),
        (np.zeros((2, 3, 1), np.float64), np.zeros((2, 1), np.float32), None),
        (np.zeros((2, 3, 1), np.float32), np.zeros((3, 1), np.float32), None),
        (np.zeros((2, 3, 1), np.float32), np.zeros((2, 1), np.float32), ("one",)),
    ],
)
def test_parts_of_a_split_must_fit(inputs: Any, targets: Any, index: tuple[str, ...] | None) -> None:
    with pytest.raises(ValueError):
        Split(inputs, targets, index)


def test_mean_squared_error_is_computed_in_float64() -> None:
    truth = np.zeros((3, 1), dtype=np.float32)
    # 1e30 squared is beyond float32.
    assert mean_squared_error(np.full((3, 1), 1e30, dtype=np.float32), truth) == pytest.approx(1e60)


@pytest.mark.parametrize("value", [0, -1, 1.0, "5", None, True])
def test_not_a_whole_number(value: object) -> None:
    with pytest.raises(UsageError) as caught:
        require_whole("window", value, 1)
    assert str(caught.value) == f"task.window={value!r}: it must be a whole number of at least 1"
