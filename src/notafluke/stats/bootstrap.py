"""Bootstrap intervals: paired and stratified by task, and BCa.

Limits are order statistics of the resampled values, never interpolated: with -inf among them (failed runs) a limit is
-inf or a finite value, not NaN. At level a the lower limit is the k-th smallest and the upper one the k-th largest of B
resampled values, k = floor((B + 1) a), at least 1 (Efron and Tibshirani 1993, sec. 12.5).
"""

import inspect
import math
import operator
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from notafluke.stats._checks import DegenerateWarning, FloatArray, as_vector, check_open_unit
from notafluke.stats.sign_flip import DEFAULT_SEED

PairedStatistic = Callable[[FloatArray, FloatArray], ArrayLike]

DEFAULT_RESAMPLES = 10_000
_CHUNK = 1_000_000


def _check_resamples(resamples: int) -> int:
    number = operator.index(resamples)
    if number < 1:
        raise ValueError(f"resamples must be at least 1, not {resamples!r}")
    return number


def _checked(values: ArrayLike, rows: int) -> FloatArray:
    result = np.asarray(values, dtype=np.float64)
    if result.shape != (rows,):
        raise ValueError(f"the statistic must give one number for each of {rows} resamples, not shape {result.shape}")
    if np.isnan(result).any():
        raise ValueError("the statistic is NaN for a resample: no interval can be given")
    return result


def _order_statistics(values: FloatArray, low_level: float, high_level: float) -> tuple[float, float]:
    """Return the limits at the two levels of the sorted resampled values."""
    # Rounded, so that 0.95 leaves 0.025 in each tail in spite of its binary form.
    low, high = (math.floor(round((values.size + 1) * level, 9)) for level in (low_level, 1.0 - high_level))
    return float(values[min(max(low, 1), values.size) - 1]), float(values[-min(max(high, 1), values.size)])


@dataclass(frozen=True, slots=True)
class BootstrapResult:
    """Result of `paired_stratified_bootstrap`: the statistic of all pairs with its percentile limits."""

    estimate: float
    low: float
    high: float
    confidence: float
    resamples: int


@dataclass(frozen=True, slots=True)
class _Task:
    """The pairs of one task in canonical order, shape (n,) each, with the columns that they take in the input."""

    x: FloatArray
    y: FloatArray
    columns: slice

    @property
    def key(self) -> tuple[int, bytes, bytes, bytes]:
        larger, smaller = np.maximum(self.x, self.y), np.minimum(self.x, self.y)
        return self.x.size, larger.tobytes(), smaller.tobytes(), self.x.tobytes()


def _tasks(x_by_task: Sequence[ArrayLike], y_by_task: Sequence[ArrayLike]) -> list[_Task]:
    if len(x_by_task) != len(y_by_task) or len(x_by_task) == 0:
        raise ValueError(f"x and y must hold the same tasks, at least one: {len(x_by_task)} against {len(y_by_task)}")
    tasks: list[_Task] = []
    start = 0
    for index, (first, second) in enumerate(zip(x_by_task, y_by_task, strict=True)):
        # Adding 0 turns -0 into 0, which has other bytes.
        x = as_vector(first, f"x_by_task[{index}]", infinite=True) + 0.0
        y = as_vector(second, f"y_by_task[{index}]", infinite=True) + 0.0
        if x.shape != y.shape:
            raise ValueError(f"task {index} is not paired: {x.size} against {y.size} values")
        # The larger and the smaller value of a pair first: swapping the arms keeps the order.
        order = np.lexsort((x, np.minimum(x, y), np.maximum(x, y)))
        tasks.append(_Task(x=x[order], y=y[order], columns=slice(start, start + x.size)))
        start += x.size
    return tasks


def paired_stratified_bootstrap(
    x_by_task: Sequence[ArrayLike],
    y_by_task: Sequence[ArrayLike],
    statistic: PairedStatistic,
    *,
    confidence: float = 0.95,
    resamples: int = DEFAULT_RESAMPLES,
    rng: np.random.Generator | int | None = None,
) -> BootstrapResult:
    """Return the percentile interval of a statistic of paired scores, seeds resampled within each task.

    `x_by_task` and `y_by_task` hold one vector of shape (n_task,) for each task, paired by position; both arms are
    resampled with the same seeds (Agarwal et al. 2021, here paired). `statistic(x, y)` gets all tasks side by side in
    the order given, shape (rows, total) each, row by row one resample, and returns shape (rows,):
    `interquartile_mean_difference`, `share_of_better_pairs` or an own one. Rows come in chunks of about 8 MB.

    Failed runs are -inf; a statistic that subtracts must say itself what -inf - -inf is. Limits are resampled values
    (see the module). `rng` is a Generator or a seed; None is seed 0. The seeds are put into an order of their own and
    each task draws from a stream that follows from its scores, so the order of seeds and tasks changes nothing beyond
    the rounding of the statistic itself, and swapping the arms mirrors the limits unless two pairs mirror each other.
    Raises ValueError for NaN, unpaired or empty tasks, a confidence outside (0, 1), resamples below 1, and a statistic
    that returns another shape or NaN.
    """
    check_open_unit(confidence, "confidence")
    resamples = _check_resamples(resamples)
    tasks = _tasks(x_by_task, y_by_task)
    generator = np.random.default_rng(DEFAULT_SEED if rng is None else rng)
    in_order = sorted(tasks, key=lambda task: task.key)
    seeds = generator.integers(0, 2**63, size=len(tasks))
    streams = [(task, np.random.default_rng(seed)) for task, seed in zip(in_order, seeds.tolist(), strict=True)]
    all_x, all_y = (np.concatenate([getattr(task, arm) for task in tasks])[None, :] for arm in ("x", "y"))
    estimate = float(_checked(statistic(all_x, all_y), 1)[0])
    values = np.empty(resamples)
    chunk = max(1, _CHUNK // all_x.size)
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        x, y = np.empty((rows, all_x.size)), np.empty((rows, all_x.size))
        for task, stream in streams:
            drawn = stream.integers(0, task.x.size, size=(rows, task.x.size))
            x[:, task.columns], y[:, task.columns] = task.x[drawn], task.y[drawn]
        values[start : start + rows] = _checked(statistic(x, y), rows)
    values.sort()
    low, high = _order_statistics(values, (1.0 - confidence) / 2, (1.0 + confidence) / 2)
    return BootstrapResult(estimate=estimate, low=low, high=high, confidence=float(confidence), resamples=resamples)


@dataclass(frozen=True, slots=True)
class BcaResult:
    """Result of `bca_interval`: `low` and `high` are the BCa limits, then the plain percentile limits."""

    estimate: float
    low: float
    high: float
    percentile_low: float
    percentile_high: float
    bias_correction: float
    acceleration: float
    confidence: float
    resamples: int
    n: int
    degenerate: bool


def _row_statistic(statistic: Callable[..., ArrayLike]) -> Callable[[FloatArray], FloatArray]:
    """Return the statistic of each row, in one call where it takes `axis`."""
    try:
        vectorised = "axis" in inspect.signature(statistic).parameters
    except (TypeError, ValueError):
        vectorised = False
    if vectorised:
        return lambda block: np.asarray(statistic(block, axis=-1), dtype=np.float64)
    return lambda block: np.array([np.asarray(statistic(row), dtype=np.float64) for row in block])


def _acceleration(jackknife: FloatArray) -> float:
    shifts = math.fsum(jackknife.tolist()) / jackknife.size - jackknife
    largest = float(np.abs(shifts).max())
    if largest == 0.0:
        return 0.0
    shifts = shifts / largest
    squares = math.fsum(np.square(shifts).tolist())
    return math.fsum((shifts**3).tolist()) / (6.0 * squares * math.sqrt(squares))


def bca_interval(
    sample: ArrayLike,
    statistic: Callable[..., ArrayLike],
    *,
    confidence: float = 0.95,
    resamples: int = DEFAULT_RESAMPLES,
    rng: np.random.Generator | int | None = None,
) -> BcaResult:
    """Return the BCa and the percentile bootstrap interval of a statistic of one sample, shape (n,) (Efron 1987).

    `statistic(values)` returns a number; one that takes `axis` (`np.var`, `interquartile_mean`) is called once with
    axis=-1 for many resamples. The acceleration comes from the jackknife; resampled values equal to the estimate count
    half in the bias correction. With few values both intervals are too narrow (see the project's statistical design):
    for a mean use `t_interval`. `rng` is a Generator or a seed; None is seed 0. The order of the sample changes
    nothing.
    Without variance among the resampled values the interval is the estimate, `degenerate` is true and a
    `DegenerateWarning` is given.
    Raises ValueError for NaN, infinite values, an empty sample, a confidence outside (0, 1), resamples below 1, and a
    statistic that is NaN or infinite.
    """
    check_open_unit(confidence, "confidence")
    resamples = _check_resamples(resamples)
    values = np.sort(as_vector(sample, "sample"))
    of_rows = _row_statistic(statistic)
    estimate = float(_finite(of_rows(values[None, :]), 1)[0])
    generator = np.random.default_rng(DEFAULT_SEED if rng is None else rng)
    resampled = np.empty(resamples)
    chunk = max(1, _CHUNK // values.size)
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        # Sorted, so that equal resamples give equal values, down to the last digit.
        drawn = np.sort(generator.integers(0, values.size, size=(rows, values.size)), axis=1)
        resampled[start : start + rows] = _finite(of_rows(values[drawn]), rows)
    resampled.sort()
    degenerate = bool(resampled[0] == resampled[-1])
    if degenerate:
        warnings.warn("resamples without variance: the interval is a single point", DegenerateWarning, stacklevel=2)
    acceleration = 0.0 if degenerate else _acceleration(_jackknife(values, of_rows))
    below = (int(np.searchsorted(resampled, estimate)) + int(np.searchsorted(resampled, estimate, side="right"))) / 2
    # An estimate beyond all resampled values would have an infinite correction.
    z0 = float(ndtri(min(max(below, 0.5), resamples - 0.5) / resamples))
    levels = []
    for z in (float(ndtri((1.0 - confidence) / 2)), float(ndtri((1.0 + confidence) / 2))):
        stretch = 1.0 - acceleration * (z0 + z)
        # Beyond the pole of the formula the level is that at the pole.
        levels.append(float(ndtr(z0 + (z0 + z) / stretch)) if stretch > 0.0 else float(z0 + z > 0.0))
    low, high = _order_statistics(resampled, levels[0], levels[1])
    percentile_low, percentile_high = _order_statistics(resampled, (1.0 - confidence) / 2, (1.0 + confidence) / 2)
    return BcaResult(
        estimate=estimate,
        low=low,
        high=high,
        percentile_low=percentile_low,
        percentile_high=percentile_high,
        bias_correction=z0,
        acceleration=acceleration,
        confidence=float(confidence),
        resamples=resamples,
        n=values.size,
        degenerate=degenerate,
    )


def _finite(values: ArrayLike, rows: int) -> FloatArray:
    result = _checked(values, rows)
    if np.isinf(result).any():
        raise ValueError("the statistic is infinite for a resample: BCa needs finite values")
    return result


def _jackknife(values: FloatArray, of_rows: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Return the statistic of the sample without each of its values in turn, shape (n,)."""
    kept = np.arange(values.size - 1)
    result = np.empty(values.size)
    for left_out in range(values.size):
        rest: NDArray[np.intp] = kept + (kept >= left_out)
        result[left_out] = _finite(of_rows(values[rest][None, :]), 1)[0]
    return result
