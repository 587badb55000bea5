"""The stock market: the next day's return of an index from its past returns, and what trading on it would yield."""

from __future__ import annotations

import contextlib
import csv
import datetime
import hashlib
import importlib.metadata
import io
import itertools
import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from notafluke.errors import UsageError, did_you_mean
from notafluke.tasks.base import (
    Baseline,
    Float32,
    Float64,
    Metric,
    Split,
    Task,
    TaskData,
    all_finite,
    mean_squared_error,
    require_shape,
    require_whole,
)

DAYS_A_YEAR = 252
"""Trading days that count as one year."""

_NO_VARIATION = 1e-9
"""An SD of returns (per cent) that is rounding only."""

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, eq=False)
class Prices:
    """Closing prices: ISO dates, ascending, and close float64 [days], all above 0."""

    dates: tuple[str, ...]
    close: Float64


@dataclass(frozen=True, eq=False)
class StockData(TaskData):
    """The data of `Stock`: its targets are standardised log returns; here is what turns predictions back.

    mean, sd: of the training targets, in per cent; validation_returns, test_returns: the log returns in per cent,
    float64 [samples, 1], unrounded, so that a day without change has a return of exactly 0.
    """

    mean: float
    sd: float
    validation_returns: Float64
    test_returns: Float64


class Stock(Task):
    """Predict the next trading day's log return from the `window` returns before it, and trade on it.

    Return of day t: 100 * ln(close[t] / close[t-1]), in per cent. The sample of day t has the inputs
    return[t-window] .. return[t-1] [window, 1] and the target return[t] [1]; its index is the date of t. Splits go by
    the date of the target, so a window may reach back into the split before (the past), never forward. Mean and SD
    (divided by n) of the training targets scale inputs and targets of all splits; metrics turn predictions back to
    per cent.

    The trading rule: hold the index on day t (from the close of t-1 to the close of t) when the prediction for t
    exceeds the threshold, else cash at 0 %. The threshold is the median of the same network's validation predictions,
    or 0 per cent. The prediction for t needs the close of t-1, at which the rule trades: no slippage, no dividends.

    Metrics (test period):
    - mse, %^2 (primary).
    - directional_accuracy: the share of days on which prediction > 0 agrees with return > 0 (a day without change
      counts as "not up").
    - invested_share: the share of days invested. trades: the number of changes of position. These two describe the
      rule; their directions only say that dearer is worse and that the index tends to rise.
    - annual_yield, % a year: geometric, 252 days a year, from simple returns close to close. Each change of position
      (entry or exit) trades one unit and takes the share `cost` of the wealth at the close at which it is made, that
      is before the return of the first day in the new position. The rule starts in cash; a position that is open
      at the end is valued at the last close and not sold. Wealth after n days:
      W = (1 - cost)^trades * product over invested days of close[t] / close[t-1]; yield = 100 * (W^(252/n) - 1).

    Baselines: train_mean (mse of the training mean, trivial); buy_and_hold (annual_yield of the same rule always long:
    one entry, paid for, and no exit).

    Options: source, "arch" for the S&P 500 of 1999 to 2018 in the package arch, or the path of a CSV file (UTF-8, with
    the columns Date, YYYY-MM-DD ascending, and Close; others are ignored). It has no default, so that nobody can lose
    the user's file on the way and train on the other data. start: the first date whose price is used (None: the
    file's first). train_end, validation_end, test_end: last dates of the splits, inclusive; later prices are unused.
    """

    advance: ClassVar[int | None] = 1
    primary_metric: ClassVar[str] = "mse"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mse", "lower", "%^2"),
        Metric("directional_accuracy", "higher", "share of days"),
        Metric("invested_share", "higher", "share of days"),
        Metric("trades", "lower", "changes of position"),
        Metric("annual_yield", "higher", "% a year"),
    )
    varies_with_seed: ClassVar[bool] = False

    def __init__(
        self,
        *,
        source: str,
        window: int = 20,
        start: str | None = None,
        train_end: str = "2010-12-31",
        validation_end: str = "2013-12-31",
        test_end: str = "2018-12-31",
        threshold: str = "median",
        cost: float = 0.0005,
    ) -> None:
        """Store the options (see the class); `check` judges them."""
        self.source = source
        self.window = window
        self.start = start
        self.train_end = train_end
        self.validation_end = validation_end
        self.test_end = test_end
        self.threshold = threshold
        self.cost = cost

    @property
    def input_size(self) -> int:
        """One feature: the return."""
        return 1

    @property
    def output_size(self) -> int:
        """One output: the next return."""
        return 1

    def declaration(self) -> dict[str, str]:
        """Return package and version, or the SHA-256 of the user's file. Raises UsageError when it is not there."""
        self._check_options()
        if self.source != "arch":
            return {"sha256": hashlib.sha256(_read_bytes(self.source)).hexdigest()}
        try:
            return {"package": "arch", "version": importlib.metadata.version("arch")}
        except importlib.metadata.PackageNotFoundError:
            raise UsageError("task.source=arch: the package arch is not installed") from None

    def check(self) -> None:
        """Raise UsageError for an option or a file that cannot be used."""
        self._prepare()

    def load(self, seed: int, replica: int) -> StockData:
        """Return the data, the same for every seed and replica. Raises UsageError as `check` does."""
        return self._prepare()

    def validation_metrics(self, data: TaskData, predictions: Float32) -> dict[str, float]:
        """Return mse and directional_accuracy on the validation split."""
        stock = _stock_data(data)
        return _forecast_metrics(_per_cent(predictions, stock), stock.validation_returns)

    def test_metrics(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, float]:
        """Return all metrics on the test split; the threshold rests on the validation predictions only."""
        stock = _stock_data(data)
        require_shape(predictions, stock.test_returns.shape)
        require_shape(validation_predictions, stock.validation_returns.shape)
        if not all_finite(predictions, validation_predictions):
            return {metric.name: float("nan") for metric in self.metrics}
        forecast = _per_cent(predictions, stock)
        threshold = 0.0 if self.threshold == "zero" else float(np.median(_per_cent(validation_predictions, stock)))
        held = forecast[:, 0] > threshold
        return _forecast_metrics(forecast, stock.test_returns) | {
            "invested_share": float(np.mean(held)),
            "trades": float(count_trades(held)),
            "annual_yield": annual_yield(held, stock.test_returns[:, 0], self.cost),
        }

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        """Return the error of the training mean and the yield of buy-and-hold on the test split."""
        stock = _stock_data(data)
        returns = stock.test_returns
        always = np.ones(len(returns), dtype=np.bool_)
        return (
            Baseline("train_mean", "mse", mean_squared_error(np.full_like(returns, stock.mean), returns), trivial=True),
            Baseline("buy_and_hold", "annual_yield", annual_yield(always, returns[:, 0], self.cost), trivial=False),
        )

    def _check_options(self) -> None:
        require_whole("window", self.window, 1)
        ends = {"train_end": self.train_end, "validation_end": self.validation_end, "test_end": self.test_end}
        dates = ends if self.start is None else {"start": self.start, **ends}
        for name, value in dates.items():
            if not _is_date(value):
                raise UsageError(f"task.{name}={value!r}: it must be a date, YYYY-MM-DD")
        names = list(dates)
        for earlier, later in itertools.pairwise(names):
            if dates[earlier] >= dates[later]:
                raise UsageError(f"task.{later}={dates[later]}: it must come after task.{earlier}={dates[earlier]}")
        if self.threshold not in ("median", "zero"):
            raise UsageError(f"task.threshold={self.threshold!r}{did_you_mean(self.threshold, ('median', 'zero'))}")
        if not _is_share(self.cost):
            raise UsageError(f"task.cost={self.cost!r}: it must be a number from 0 to below 1 (0.0005 is 0.05 %)")
        if not _is_text(self.source):
            raise UsageError(f"task.source={self.source!r}: it must be 'arch' or the path of a CSV file")

    def _prepare(self) -> StockData:
        self._check_options()
        prices = arch_prices() if self.source == "arch" else csv_prices(self.source)
        ends = (self.train_end, self.validation_end, self.test_end)
        return prepare(prices, self.source, self.window, self.start, ends)


def annual_yield(held: NDArray[np.bool_], log_returns: Float64, cost: float) -> float:
    """Return the yield in % a year of holding the index on the days `held` [days]; see `Stock` for the definition.

    log_returns: 100 * ln(close[t] / close[t-1]) of the same days, float64 [days].
    """
    growth = float(np.sum(log_returns[held])) / 100 + count_trades(held) * math.log1p(-cost)
    return 100 * math.expm1(growth * DAYS_A_YEAR / len(held))


def count_trades(held: NDArray[np.bool_]) -> int:
    """Return how often the position changes, from cash before the first day; the last position is not sold."""
    return int(np.count_nonzero(np.diff(held.astype(np.int8), prepend=np.int8(0))))


def prepare(prices: Prices, name: str, window: int, start: str | None, ends: tuple[str, str, str]) -> StockData:
    """Cut prices into windows and splits and scale them; `name` is for error messages, see `Stock` for the rest.

    Raises UsageError when a split has too few rows or the training returns are all equal.
    """
    first = 0 if start is None else int(np.searchsorted(prices.dates, start))
    dates = prices.dates[first:]
    stops = np.searchsorted(dates, ends, side="right").tolist()
    _require_rows(dates, name, window, ends, stops)
    returns = 100 * np.diff(np.log(prices.close[first : first + stops[2]]))
    targets = returns[window:, None]
    # Price row t has the target t - window - 1: one row makes no return, and `window` returns make no target.
    cuts = [stop - window - 1 for stop in stops]
    mean, sd = float(np.mean(targets[: cuts[0]])), float(np.std(targets[: cuts[0]]))
    if sd <= _NO_VARIATION:
        raise UsageError(f"{name}: the returns of the train split (to {ends[0]}) are all equal: nothing to learn")
    inputs = sliding_window_view(returns[:-1], window)[:, :, None]
    index = dates[window + 1 : stops[2]]

    def split(part: slice) -> Split:
        return Split(_scale(inputs[part], mean, sd), _scale(targets[part], mean, sd), index[part])

    validation, test = slice(cuts[0], cuts[1]), slice(cuts[1], cuts[2])
    return StockData(
        train=split(slice(0, cuts[0])),
        validation=split(validation),
        test=split(test),
        mean=mean,
        sd=sd,
        validation_returns=targets[validation],
        test_returns=targets[test],
    )


def arch_prices() -> Prices:
    """Return the S&P 500, daily, 1999-01-04 to 2018-12-31, from the installed package arch."""
    # Here and not above: arch brings pandas, which costs half a second that planning does not need.
    from arch.data import sp500

    frame = sp500.load()
    dates = np.datetime_as_string(frame.index.to_numpy(), unit="D").tolist()
    return Prices(tuple(dates), frame["Close"].to_numpy(dtype=np.float64))


def csv_prices(source: str) -> Prices:
    """Return the columns Date and Close of a CSV file; rows without any value are passed over.

    Raises UsageError, naming file, row (line of the file, the first is 1), column and value, for the first thing
    that is wrong: no such file, not UTF-8, column missing, no date or price, price not above 0, dates that do not
    ascend.
    """
    text = _decode(source, _read_bytes(source))
    dates: list[str] = []
    close: list[float] = []
    for record, cells in enumerate(_date_and_close(source, text), start=1):
        if cells is None:
            continue
        date, price = cells
        problem = _problem(date, price, dates[-1] if dates else "")
        if problem is not None:
            column, why = problem
            raise UsageError(f"{source}: row {_line(text, record)}, column {column}: {why}")
        dates.append(date)
        close.append(float(price))
    return Prices(tuple(dates), np.array(close, dtype=np.float64))


def _problem(date: str, price: str, before: str) -> tuple[str, str] | None:
    """Return the column and what is wrong with a row after the row of date `before`; None when all is well."""
    if not _is_date(date):
        return "Date", f"{_shown(date)} is not a date, YYYY-MM-DD"
    if not _NUMBER.fullmatch(price) or not math.isfinite(float(price)):
        return "Close", f"{_shown(price)} is not a number"
    if not float(price) > 0:
        return "Close", f"the price {_shown(price)} is not above 0"
    if date == before:
        return "Date", f"{date!r} stands there twice"
    if date < before:
        return "Date", f"{date!r} comes after {before!r}; sort the rows by date, the oldest first"
    return None


def _date_and_close(source: str, text: str) -> list[tuple[str, str] | None]:
    """Return the stripped cells of Date and Close of every record after the header; None for an empty record."""
    import pandas as pd

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.StringIO(text, newline=""), dtype=str, keep_default_na=False, skip_blank_lines=False, index_col=False
            )
    except pd.errors.EmptyDataError:
        raise UsageError(f"{source}: the file is empty; it must have the columns Date and Close") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise UsageError(f"{source}: {_malformed(text, str(error))}") from None
    for column in ("Date", "Close"):
        if column not in frame.columns:
            raise UsageError(f"{source}: row 1: no column {column!r}{did_you_mean(column, frame.columns)}")
    cells = frame.apply(lambda column: column.str.strip())
    empty = (cells == "").all(axis=1)
    triples = zip(cells["Date"], cells["Close"], empty, strict=True)
    return [None if nothing else (date, price) for date, price, nothing in triples]


def _read_bytes(source: str) -> bytes:
    try:
        return Path(source).read_bytes()
    except FileNotFoundError:
        raise UsageError(
            f"task.source={source}: there is no such file ('arch' is the S&P 500 in the package arch)"
        ) from None
    except OSError as error:
        raise UsageError(f"task.source={source}: it cannot be read: {error.strerror}") from None


def _decode(source: str, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise UsageError(f"{source}: row {row}: byte 0x{byte:02x} is not UTF-8 text; save the file as UTF-8") from None


def _line(text: str, record: int) -> int:
    """Return the line, counted from 1, on which a record starts; the header is record 0."""
    line, _ = next(itertools.islice(_records(text), record, None), (record + 1, []))
    return line


def _malformed(text: str, message: str) -> str:
    """Say what pandas could not parse: the first row that has more cells than the header, else in its own words."""
    records = _records(text)
    _, header = next(records, (1, []))
    for line, cells in records:
        if len(cells) > len(header):
            return f"row {line} has {len(cells)} cells, the header has {len(header)}"
    return f"this is not a CSV file: {message}"


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the records with the line on which each starts: a quoted cell may hold line breaks."""
    reader = csv.reader(io.StringIO(text, newline=""))
    line = 1
    # csv.Error: a cell beyond csv's limit, in a file that is being refused anyway.
    with contextlib.suppress(csv.Error):
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1


def _shown(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:40] + "...")


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_date(value: object) -> bool:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return False
    try:
        datetime.date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _require_rows(dates: tuple[str, ...], name: str, window: int, ends: tuple[str, str, str], stops: list[int]) -> None:
    """Raise UsageError when a split has too few prices; `stops` are the rows at which the splits end."""
    # The train split needs two targets, for an SD, after `window` returns, after one price.
    needs = (window + 3, 1, 1)
    begins = (0, stops[0], stops[1])
    periods = (f"to {ends[0]}", f"after {ends[0]}, to {ends[1]}", f"after {ends[1]}, to {ends[2]}")
    span = f"the prices in use run from {dates[0]} to {dates[-1]}" if dates else "no prices are in use"
    for split, begin, stop, need, period in zip(
        ("train", "validation", "test"), begins, stops, needs, periods, strict=True
    ):
        if stop - begin < need:
            why = " (task.window + 3)" if split == "train" else ""
            raise UsageError(
                f"{name}: {stop - begin} rows for the {split} split ({period}), {need} or more{why} are needed; {span}"
            )


def _stock_data(data: TaskData) -> StockData:
    if not isinstance(data, StockData):
        raise TypeError("the metrics of the stock task need the data that its load() returned")
    return data


def _scale(returns: Float64, mean: float, sd: float) -> Float32:
    """Standardise returns in per cent."""
    return ((returns - mean) / sd).astype(np.float32)


def _per_cent(predictions: Float32, data: StockData) -> Float64:
    """Turn standardised predictions into log returns in per cent."""
    return predictions.astype(np.float64) * data.sd + data.mean


def _forecast_metrics(forecast: Float64, returns: Float64) -> dict[str, float]:
    """Return mse and directional_accuracy of forecasts in per cent, both NaN where one is not finite."""
    mse = mean_squared_error(forecast, returns)
    agreement = float(np.mean((forecast > 0) == (returns > 0))) if all_finite(forecast) else float("nan")
    return {"mse": mse, "directional_accuracy": agreement}
