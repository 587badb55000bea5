"""Which stock to buy: the return over a long time from the past returns, and what holding the best predicted yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from notafluke.errors import UsageError
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
from notafluke.tasks.stock_table import StockTable


@dataclass(frozen=True, eq=False)
class StockPickData(TaskData):
    """The data of `StockPick`: its targets are standardised log returns; here is what turns predictions back.

    stocks: how many; the samples of a split are ordered by day, then by stock. mean, sd: of the training targets, in
    per cent. validation_returns, test_returns: the targets in per cent, float64 [samples, 1].
    """

    stocks: int
    mean: float
    sd: float
    validation_returns: Float64
    test_returns: Float64


class StockPick(DatasetTask):
    """Predict the log return of every stock over the next `hold` days, buy the best predicted, and hold.

    A sample is a stock and a day t of purchase. Inputs: its daily log returns of the days t-window+1 .. t, in per cent
    [window, 1]. Target: 100 * ln(close[t+hold] / close[t]) [1]. Index: "<date of t> <stock>". Both the purchase at the
    close of t and the sale at the close of t+hold lie in the split's period: a target that reaches beyond its end is
    left out. A window may reach back into the period before. Days of purchase are every `every`-th day of a period,
    from its first on (in training from the first that has a window). Mean and SD of all daily returns of the training
    period scale the inputs, those of the training targets the targets; metrics turn predictions back to per cent.

    The rule: buy, at the close of the first day of the test period, the `pick` stocks with the highest predictions for
    equal money, and hold them for `hold` days. Ties for the last places share them evenly, so that a network that
    tells no stocks apart holds all.

    Metrics (test period):
    - mse, %^2 (primary), over all samples.
    - pick_return, %: simple return of the rule over the holding time, without costs (one purchase, for everyone).
    - excess_return, %: pick_return less the mean simple return of all stocks.
    - rank_correlation: Spearman's, between the predictions and the returns of the stocks on a day, the mean over all
      days of purchase; a day on which either does not vary counts as 0.

    By sample: share, of the money that the rule would put into the stock if it bought on that day, and holding_return,
    the stock's simple return in % over the holding time.

    Baselines: train_mean (mse of the training mean, trivial); all_stocks (pick_return and excess_return of holding all
    stocks equally).

    Options: source, "arch" for the indices S&P 500 and NASDAQ Composite of 1999 to 2018 in the package arch, or the
    path of a CSV file with many stocks, see `StockTable`. It has no default, so that nobody can lose the user's file
    on the way and train on the other data. start: the first date whose price is used (None: the file's first).
    train_end, validation_end, test_end: last dates of the periods, inclusive; later prices are unused.
    """

    primary_metric = "mse"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mse", "lower", "%^2"),
        Metric("pick_return", "higher", "%"),
        Metric("excess_return", "higher", "%"),
        Metric("rank_correlation", "higher"),
    )

    def __init__(
        self,
        *,
        source: str,
        window: int = 20,
        hold: int = 252,
        every: int = 5,
        pick: int = 1,
        start: str | None = None,
        train_end: str = "2010-12-31",
        validation_end: str = "2013-12-31",
        test_end: str = "2018-12-31",
    ) -> None:
        """Store the options (see the class); `check` judges them."""
        self.source = source
        self.window = window
        self.hold = hold
        self.every = every
        self.pick = pick
        self.start = start
        self.train_end = train_end
        self.validation_end = validation_end
        self.test_end = test_end

    @property
    def dataset(self) -> StockTable:
        """The prices in use."""
        return StockTable(source=self.source, start=self.start, end=self.test_end)

    @property
    def input_size(self) -> int:
        """One feature: the return."""
        return 1

    @property
    def output_size(self) -> int:
        """One output: the return over the holding time."""
        return 1

    def check_options(self) -> None:
        """Raise UsageError for an option that cannot be used."""
        for name in ("window", "hold", "every", "pick"):
            require_whole(name, getattr(self, name), 1)
        ends = {"train_end": self.train_end, "validation_end": self.validation_end, "test_end": self.test_end}
        require_dates(ends if self.start is None else {"start": self.start, **ends})
        require_source(self.source, "'arch' or the path of a CSV file")

    def cut(self, prepared: Prepared) -> StockPickData:
        """Cut the closes into samples and splits and scale them. Raises UsageError where there are too few rows."""
        dates, names, close = (prepared.arrays[name] for name in ("dates", "names", "close"))
        if self.pick > len(names):
            raise UsageError(f"task.pick={self.pick}: {self.source} has {len(names)} stocks without a missing price")
        ends = (self.train_end, self.validation_end, self.test_end)
        stops = np.searchsorted(dates, ends, side="right").tolist()
        purchase = (self.hold + 1, "task.hold + 1")
        first = (self.window + self.hold + 1, "task.window + task.hold + 1")
        require_rows(self.source, dates, ends, stops, [first, purchase, purchase])
        level = 100 * np.log(close)
        returns = np.diff(level, axis=0)
        # Return row t - 1 is the one of day t: those of the training period end with that of its last day.
        daily = returns[: stops[0] - 1]
        begins = (self.window, stops[0], stops[1])
        days = [np.arange(begin, stop - self.hold, self.every) for begin, stop in zip(begins, stops, strict=True)]
        targets = [(level[own + self.hold] - level[own]).reshape(-1, 1) for own in days]
        mean, sd = float(np.mean(targets[0])), float(np.std(targets[0]))
        if min(sd, float(np.std(daily))) <= NO_VARIATION:
            raise UsageError(
                f"{self.source}: the returns of the train split (to {self.train_end}) are all equal: nothing to learn"
            )
        scaled = (returns - np.mean(daily)) / np.std(daily)
        # [first return row, stock, window]; the window of day t ends with return row t - 1.
        windows = sliding_window_view(scaled, self.window, axis=0)

        def split(own: NDArray[np.int64], truth: Float64) -> Split:
            return Split(
                windows[own - self.window].reshape(-1, self.window, 1).astype(np.float32),
                ((truth - mean) / sd).astype(np.float32),
                tuple(f"{date} {name}" for date in dates[own] for name in names),
            )

        train, validation, test = (split(own, truth) for own, truth in zip(days, targets, strict=True))
        return StockPickData(
            train=train,
            validation=validation,
            test=test,
            stocks=len(names),
            mean=mean,
            sd=sd,
            validation_returns=targets[1],
            test_returns=targets[2],
        )

    def validation_metrics(self, data: TaskData, predictions: Float32) -> dict[str, float]:
        """Return mse on the validation split."""
        own = _pick_data(data)
        return {"mse": mean_squared_error(_per_cent(predictions, own), own.validation_returns)}

    def test_metrics(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, float]:
        """Return all metrics on the test split; the validation predictions are not used."""
        own = _pick_data(data)
        require_shape(predictions, own.test_returns.shape)
        if not all_finite(predictions):
            return {metric.name: float("nan") for metric in self.metrics}
        forecast, truth = predictions.reshape(-1, own.stocks), own.test_returns.reshape(-1, own.stocks)
        bought = np.expm1(truth[0] / 100)
        share = shares(forecast[0], self.pick)
        return {
            "mse": mean_squared_error(_per_cent(predictions, own), own.test_returns),
            "pick_return": 100 * float(share @ bought),
            "excess_return": 100 * float((share - 1 / own.stocks) @ bought),
            "rank_correlation": rank_correlation(forecast.astype(np.float64), truth),
        }

    def by_sample(
        self, data: TaskData, predictions: Float32, validation_predictions: Float32
    ) -> dict[str, NDArray[np.float64]]:
        """Return share and holding_return; see the class."""
        own = _pick_data(data)
        forecast = predictions.reshape(-1, own.stocks)
        return {
            "share": np.concatenate([shares(day, self.pick) for day in forecast]),
            "holding_return": 100 * np.expm1(own.test_returns[:, 0] / 100),
        }

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        """Return the error of the training mean, and the return of all stocks held equally."""
        own = _pick_data(data)
        truth = own.test_returns
        everything = 100 * float(np.expm1(truth[: own.stocks] / 100).mean())
        return (
            Baseline("train_mean", "mse", mean_squared_error(np.full_like(truth, own.mean), truth), trivial=True),
            Baseline("all_stocks", "pick_return", everything, trivial=False),
            Baseline("all_stocks", "excess_return", 0.0, trivial=False),
        )


def shares(forecast: NDArray[np.floating], pick: int) -> Float64:
    """Return the share of the money in each stock [stocks]: equal for the `pick` highest forecasts [stocks].

    Stocks that tie for the last places share them evenly.
    """
    last = np.sort(forecast)[-pick]
    above, tied = forecast > last, forecast == last
    places = (pick - np.count_nonzero(above)) / np.count_nonzero(tied)
    return np.where(above, 1.0, np.where(tied, places, 0.0)) / pick


def rank_correlation(forecast: Float64, truth: Float64) -> float:
    """Return the mean over days of Spearman's rank correlation between the stocks' values [days, stocks].

    Ties get their mean rank. A day on which either does not vary counts as 0.
    """
    from scipy.stats import rankdata

    ranks = [rankdata(values, axis=1) for values in (forecast, truth)]
    one, two = (own - own.mean(axis=1, keepdims=True) for own in ranks)
    scale = np.sqrt((one**2).sum(axis=1) * (two**2).sum(axis=1))
    together = (one * two).sum(axis=1)
    return float(np.divide(together, scale, out=np.zeros_like(scale), where=scale > 0).mean())


def _pick_data(data: TaskData) -> StockPickData:
    if not isinstance(data, StockPickData):
        raise TypeError("the metrics of the stock_pick task need the data that its load() returned")
    return data


def _per_cent(predictions: Float32, data: StockPickData) -> Float64:
    """Turn standardised predictions into log returns in per cent."""
    return predictions.astype(np.float64) * data.sd + data.mean
