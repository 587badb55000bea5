"""The stock market: the next day's return of an index from its past returns, and what trading on it would yield."""

from __future__ import annotations

from dataclasses import dataclass
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
    TaskData,
    all_finite,
    mean_squared_error,
    require_shape,
    require_whole,
)
from notafluke.tasks.checks import require_dates, require_source
from notafluke.tasks.dataset import DatasetTask, Prepared
from notafluke.tasks.stock_periods import NO_VARIATION, require_rows
from notafluke.tasks.stock_prices import StockPrices
from notafluke.tasks.stock_rule import (
    annual_yield,
    break_even_cost,
    count_trades,
    daily_returns,
    long_short_yield,
    sharpe,
)


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


class Stock(DatasetTask):
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
    - sharpe: the Sharpe ratio of the rule's daily simple returns after costs, cash at 0 %, times sqrt(252); 0 where
      they do not vary, as when the rule never invests.
    - long_short_yield, % a year: of the rule that is short of the index where the other one is in cash; from one side
      to the other two units are traded, and a day on which the index doubles ruins it (-100 %).
    - break_even_cost, % of the wealth for each unit traded: at which the rule yields what buy-and-hold does; negative
      when it is behind without any cost; see `stock_rule.break_even_cost`, also for a rule that hardly trades.

    By sample: strategy_return and market_return, the daily log returns in % of the rule and of buy-and-hold, both after
    costs (they sum to the logarithm of the wealth), and position, 1 on invested days, else 0.

    Baselines: train_mean (mse of the training mean, trivial); buy_and_hold (annual_yield and sharpe of the same rule
    always long: one entry, paid for, and no exit).

    Options: source, "arch" for the S&P 500 of 1999 to 2018 in the package arch, or the path of a CSV file (UTF-8, with
    the columns Date, YYYY-MM-DD, and Close; others are ignored), see `StockPrices`. It has no default, so that nobody
    can lose the user's file on the way and train on the other data. start: the first date whose price is used (None:
    the file's first). train_end, validation_end, test_end: last dates of the splits, inclusive; later prices are
    unused.
    """

    advance: ClassVar[int | None] = 1
    primary_metric = "mse"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mse", "lower", "%^2"),
        Metric("directional_accuracy", "higher", "share of days"),
        Metric("invested_share", "higher", "share of days"),
        Metric("trades", "lower", "changes of position"),
        Metric("annual_yield", "higher", "% a year"),
        Metric("sharpe", "higher", "a year"),
        Metric("long_short_yield", "higher", "% a year"),
        Metric("break_even_cost", "higher", "% a trade"),
    )

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
    def dataset(self) -> StockPrices:
        """The prices."""
        return StockPrices(source=self.source)

    @property
    def input_size(self) -> int:
        """One feature: the return."""
        return 1

    @property
    def output_size(self) -> int:
        """One output: the next return."""
        return 1

    def check_options(self) -> None:
        """Raise UsageError for an option that cannot be used."""
        require_whole("window", self.window, 1)
        ends = {"train_end": self.train_end, "validation_end": self.validation_end, "test_end": self.test_end}
        require_dates(ends if self.start is None else {"start": self.start, **ends})
        if self.threshold not in ("median", "zero"):
            raise UsageError(f"task.threshold={self.threshold!r}{did_you_mean(self.threshold, ('median', 'zero'))}")
        if not _is_share(self.cost):
            raise UsageError(f"task.cost={self.cost!r}: it must be a number from 0 to below 1 (0.0005 is 0.05 %)")
        require_source(self.source, "'arch' or the path of a CSV file")

    def cut(self, prepared: Prepared) -> StockData:
        """Cut the prices; see `cut_prices`."""
        ends = (self.train_end, self.validation_end, self.test_end)
        return cut_prices(
            prepared.arrays["dates"], prepared.arrays["close"], self.source, self.window, self.start, ends
        )

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
        held, returns = self._held(stock, predictions, validation_predictions), stock.test_returns[:, 0]
        return _forecast_metrics(_per_cent(predictions, stock), stock.test_returns) | {
            "invested_share": float(np.mean(held)),
            "trades": float(count_trades(held)),
            "annual_yield": annual_yield(held, returns, self.cost),
            "sharpe": sharpe(daily_returns(held, returns, self.cost)),
            "long_short_yield": long_short_yield(held, returns, self.cost),
            "break_even_cost": break_even_cost(held, returns),
        }

    def by_sample(
        self, data: TaskData, predictions: Float32, validation_predictions: Float32
    ) -> dict[str, NDArray[np.float64]]:
        """Return strategy_return, market_return and position; see the class."""
        stock = _stock_data(data)
        held, returns = self._held(stock, predictions, validation_predictions), stock.test_returns[:, 0]
        return {
            "strategy_return": daily_returns(held, returns, self.cost),
            "market_return": daily_returns(np.ones_like(held), returns, self.cost),
            "position": held.astype(np.float64),
        }

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        """Return the error of the training mean and what buy-and-hold gets on the test split."""
        stock = _stock_data(data)
        returns = stock.test_returns
        always = np.ones(len(returns), dtype=np.bool_)
        held = daily_returns(always, returns[:, 0], self.cost)
        return (
            Baseline("train_mean", "mse", mean_squared_error(np.full_like(returns, stock.mean), returns), trivial=True),
            Baseline("buy_and_hold", "annual_yield", annual_yield(always, returns[:, 0], self.cost), trivial=False),
            Baseline("buy_and_hold", "sharpe", sharpe(held), trivial=False),
        )

    def _held(self, stock: StockData, predictions: Float32, validation_predictions: Float32) -> NDArray[np.bool_]:
        """Return the days [days] on which the rule holds the index."""
        threshold = 0.0 if self.threshold == "zero" else float(np.median(_per_cent(validation_predictions, stock)))
        held: NDArray[np.bool_] = _per_cent(predictions, stock)[:, 0] > threshold
        return held


def cut_prices(
    dates: NDArray[np.str_], close: Float64, name: str, window: int, start: str | None, ends: tuple[str, str, str]
) -> StockData:
    """Cut prices into windows and splits and scale them; `name` is for error messages, see `Stock` for the rest.

    dates: ISO text [days], ascending; close: [days], above 0. Raises UsageError when a split has too few rows or the
    training returns are all equal.
    """
    first = 0 if start is None else int(np.searchsorted(dates, start))
    dates = dates[first:]
    stops = np.searchsorted(dates, ends, side="right").tolist()
    # The train split needs two targets, for an SD, after `window` returns, after one price.
    require_rows(name, dates, ends, stops, [(window + 3, "task.window + 3"), (1, ""), (1, "")])
    returns = 100 * np.diff(np.log(close[first : first + stops[2]]))
    targets = returns[window:, None]
    # Price row t has the target t - window - 1: one row makes no return, and `window` returns make no target.
    cuts = [stop - window - 1 for stop in stops]
    mean, sd = float(np.mean(targets[: cuts[0]])), float(np.std(targets[: cuts[0]]))
    if sd <= NO_VARIATION:
        raise UsageError(f"{name}: the returns of the train split (to {ends[0]}) are all equal: nothing to learn")
    inputs = sliding_window_view(returns[:-1], window)[:, :, None]
    index = tuple(dates[window + 1 : stops[2]].tolist())

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


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


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
