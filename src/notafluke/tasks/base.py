"""What every task has: the forms of its data, metrics and baselines, and the class to derive from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from notafluke.errors import UsageError

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

Kind = Literal["numbers", "classes", "labels"]
TargetsAt = Literal["last", "every", "sequence"]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a task's data.

    inputs: float32 [samples, time, features], oldest step first. Targets of numbers: float32 [samples, outputs], as the
    network is to give them; labels likewise, 0 or 1; of classes: int64 [samples], 0 to outputs - 1. Where a sample has
    several targets in time (see `Task.targets_at`), the steps are the second axis: [samples, steps, outputs] or
    [samples, steps]. index: a name for each sample (the date of its target, say), or None. counted: bool
    [samples, steps], False at the steps that only pad a sample with targets at every step; None where all steps count.
    """

    inputs: Float32
    targets: Float32 | Int64
    index: tuple[str, ...] | None = None
    counted: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        """Raise ValueError when the parts do not fit together."""
        if self.inputs.ndim != 3 or self.inputs.dtype != np.float32:
            raise ValueError(f"a split needs inputs of 3 axes in float32, not {_form(self.inputs)}")
        axes = {np.dtype(np.float32): (2, 3), np.dtype(np.int64): (1, 2)}.get(self.targets.dtype, ())
        if self.targets.ndim not in axes:
            raise ValueError(
                "a split needs targets of 2 or 3 axes in float32, or of 1 or 2 axes in int64 for classes, "
                f"not {_form(self.targets)}"
            )
        if len(self.inputs) != len(self.targets) or (self.index is not None and len(self.index) != len(self.inputs)):
            raise ValueError("inputs, targets and index of a split differ in their number of samples")
        if self.counted is not None and (
            self.counted.dtype != np.bool_
            or self.counted.shape != self.targets.shape[:2]
            or not self.counted.any(axis=1).all()
        ):
            raise ValueError("counted needs a bool for each step of each sample, and one that counts in each")

    @property
    def numbers(self) -> Float32:
        """The targets of a task that predicts numbers or labels. Raises TypeError where they are classes."""
        return self.targets.astype(np.float32, casting="safe", copy=False)

    @property
    def classes(self) -> Int64:
        """The targets of a task that predicts classes. Raises TypeError where they are numbers."""
        return self.targets.astype(np.int64, casting="safe", copy=False)


@dataclass(frozen=True, eq=False)
class TaskData:
    """The three parts of a task's data. A task may derive from this what its metrics need beyond the targets.

    earlier: what a network can be trained on before the train split (`trainer.pretraining_epochs`), or None.
    """

    train: Split
    validation: Split
    test: Split
    earlier: Split | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Metric:
    """A metric: its name, the direction that is better, and its unit ("" where it has none)."""

    name: str
    direction: Literal["lower", "higher"]
    unit: str = ""


@dataclass(frozen=True)
class Baseline:
    """What one gets on the test split without learning; `trivial` when an arm that learned must beat it.

    over_seeds: whether runs of different seeds are evidence against it; not where they only repeat the training on the
    same test samples and chance is in the samples (the draws of a real lottery): see `Task.by_sample`.
    """

    name: str
    metric: str
    value: float
    trivial: bool
    over_seeds: bool = True


@dataclass(frozen=True, eq=False)
class Prompts:
    """Beginnings that a trained network goes on from, float32 [prompts, time, features], and for how many steps."""

    inputs: Float32
    steps: int


class Task(ABC):
    """A data set with its split, features, metrics, directions and baselines.

    The constructor of a task only stores its options; `check` judges them. Predictions are float32 [samples,
    outputs], straight from the network; those of classes are the logarithms of the probabilities, which need not sum
    to 1; those of labels are logits, log(p / (1 - p)). With targets at every step they are [samples, steps, outputs].
    For sequences they are [samples, 2, steps, outputs]: first given the true target of the step before, then running
    freely on the network's own. Metrics are computed in float64; where any prediction they rest on is not finite, all
    of them are NaN.
    """

    kind: ClassVar[Kind] = "numbers"
    """What is predicted: numbers, one of `output_size` classes, or each of `output_size` labels, yes or no."""
    targets_at: ClassVar[TargetsAt] = "last"
    """Where the targets are: at the last time step of a sample, at every one, or a sequence with steps of its own."""
    advance: ClassVar[int | None] = None
    """By how many time steps a sample follows the one before it, the first of a split the last of the split before;
    None when samples have nothing to do with each other. A state can be carried, and one can learn online, only along
    time."""
    primary_metric: str
    metrics: ClassVar[tuple[Metric, ...]]
    """Every metric that `test_metrics` returns, the primary one first."""
    varies_with_seed: ClassVar[bool]
    """Whether `load` gives other data for another seed or replica."""
    source_options: ClassVar[tuple[str, ...]] = ("source",)
    """The options that say where the data are. What these data are stands in `declaration`, their place nowhere."""
    results: Path = Path("results")
    """The folder of results, which holds prepared data; whoever builds the task sets it."""

    @property
    @abstractmethod
    def input_size(self) -> int:
        """The number of features of a time step."""

    @property
    @abstractmethod
    def output_size(self) -> int:
        """The number of outputs of the network."""

    @abstractmethod
    def declaration(self) -> dict[str, str]:
        """Say what the raw data are, for the run key: never a path, and nothing that differs between machines.

        Raises UsageError when the data are not there.
        """

    @abstractmethod
    def check(self) -> None:
        """Raise UsageError when the options or the data cannot be used; called before anything is written."""

    @abstractmethod
    def load(self, seed: int, replica: int) -> TaskData:
        """Return the data of (seed, replica). Raises UsageError as `check` does."""

    def files(self) -> tuple[Path, ...]:
        """The user's own files that the data come from: a plan is made again when one of them has changed."""
        return ()

    def prepare(self) -> Path | None:
        """Prepare data from outside where that is not done yet; the folder that holds them, None where there are none.

        Raises UsageError for data that cannot be used.
        """
        return None

    def prepared_folder(self) -> Path | None:
        """The folder in which `prepare` leaves the data, without preparing them."""
        return None

    @abstractmethod
    def validation_metrics(self, data: TaskData, predictions: Float32) -> dict[str, float]:
        """Return the metrics of the predictions for the validation split, the primary one among them."""

    @abstractmethod
    def test_metrics(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, float]:
        """Return all metrics of the predictions for the test split.

        The validation predictions of the same network are for decisions such as a threshold.
        """

    @abstractmethod
    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        """Return what one gets on the test split without learning."""

    def by_sample(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, Float64]:
        """Return series over the test samples, float64 [samples] by name, to be stored with the predictions.

        For what is judged over samples instead of seeds: the daily return of a trading rule, the hits of each draw.
        Called with finite predictions only.
        """
        return {}

    def prompts(self, data: TaskData) -> Prompts | None:
        """Return the beginnings from which every trained network is to go on by itself, or None."""
        return None

    def next_inputs(self, predictions: Float32, rng: np.random.Generator) -> Float32:
        """Draw the next input [prompts, features] of each prompt from the predictions [prompts, outputs]."""
        raise NotImplementedError(f"{type(self).__name__} has prompts, but no next_inputs")

    def sample_files(self, data: TaskData, prompts: Prompts, continuations: Float32) -> dict[str, bytes]:
        """Return what a network wrote, continuations [prompts, steps, features], as files by name."""
        raise NotImplementedError(f"{type(self).__name__} has prompts, but no sample_files")


def _form(array: NDArray[Any]) -> str:
    return f"{array.shape} in {array.dtype}"


def mean_squared_error(predictions: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Return the mean over all elements of (predictions - truth)^2 in float64.

    NaN where a prediction is not finite; raises ValueError when the shapes differ (never broadcasts).
    """
    require_shape(predictions, truth.shape)
    if not all_finite(predictions):
        return float("nan")
    return float(np.mean(np.square(predictions.astype(np.float64) - truth.astype(np.float64))))


def all_finite(*arrays: NDArray[np.floating]) -> bool:
    """Return whether no element of the arrays is NaN or infinite."""
    return all(bool(np.isfinite(array).all()) for array in arrays)


def require_shape(predictions: NDArray[np.floating], shape: tuple[int, ...]) -> None:
    """Raise ValueError when the predictions do not have this shape: a fault of the program, not of the user."""
    if predictions.shape != shape:
        raise ValueError(f"predictions of shape {predictions.shape} for targets of shape {shape}")


def require_whole(name: str, value: object, minimum: int) -> None:
    """Raise UsageError, naming the option, when its value is not a whole number of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise UsageError(f"task.{name}={value!r}: it must be a whole number of at least {minimum}")
