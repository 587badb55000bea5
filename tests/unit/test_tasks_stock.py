"""The stock task: windows, scaling, metrics and yields against independent computations, and no look ahead."""

from __future__ import annotations

import dataclasses
import math
import statistics
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from arch.data import sp500
from hypothesis import given, settings
from hypothesis import strategies as st

from notafluke.tasks.base import Float32, Float64
from notafluke.tasks.dataset import Prepared, prepare, read_prepared
from notafluke.tasks.stock import Stock, StockData, cut_prices
from notafluke.tasks.stock_prices import StockPrices
from notafluke.tasks.stock_rule import annual_yield, count_trades, long_short_yield, sharpe

DATES = tuple(pd.bdate_range("2000-01-03", periods=60).strftime("%Y-%m-%d"))
CUTS = (30, 40, 55)
ENDS = (DATES[29], DATES[39], DATES[54])


@pytest.fixture(scope="module")
def task() -> Stock:
    """The shipped task."""
    return Stock(source="arch")


@pytest.fixture(scope="module")
def data(task: Stock) -> StockData:
    """The shipped data."""
    loaded = task.load(0, 0)
    assert isinstance(loaded, StockData)
    return loaded


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """The raw data, straight from the package."""
    return sp500.load()


def walk(seed: int, days: int = 60) -> Float64:
    """Make prices of a random walk [days]."""
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, days)))


def toy(close: Float64, window: int = 3) -> StockData:
    """Prepare 60 days of prices: targets of rows up to 29 are for training, to 39 validation, to 54 test."""
    return cut_prices(np.array(DATES), close, "toy", window, None, ENDS)


def column(values: list[float] | Float64) -> Float32:
    """Make predictions [samples, 1]."""
    return np.array(values, dtype=np.float32)[:, None]


def test_sizes_and_dates(data: StockData) -> None:
    found = []
    for split in (data.train, data.validation, data.test):
        assert split.index is not None
        found.append((len(split.targets), split.index[0], split.index[-1]))
    assert found == [
        (2998, "1999-02-03", "2010-12-31"),
        (754, "2011-01-03", "2013-12-31"),
        (1258, "2014-01-02", "2018-12-31"),
    ]


def test_windows_and_scaling_against_pandas(data: StockData, frame: pd.DataFrame) -> None:
    returns = pd.Series(100 * np.log(frame["Close"] / frame["Close"].shift(1)))
    table = pd.DataFrame({f"lag{lag}": returns.shift(lag) for lag in range(20, 0, -1)} | {"target": returns}).dropna()
    train = table.loc[:"2010-12-31", "target"]
    assert data.mean == pytest.approx(train.mean(), rel=1e-9)
    assert data.sd == pytest.approx(train.std(ddof=0), rel=1e-12)
    scaled = (table - train.mean()) / train.std(ddof=0)
    for split, first, last in (
        (data.train, "1999-01-01", "2010-12-31"),
        (data.validation, "2011-01-01", "2013-12-31"),
        (data.test, "2014-01-01", "2018-12-31"),
    ):
        expected = scaled.loc[first:last]
        assert split.index == tuple(day.date().isoformat() for day in expected.index)
        np.testing.assert_allclose(split.inputs[:, :, 0], expected.iloc[:, :-1].to_numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(split.targets[:, 0], expected["target"].to_numpy(), rtol=1e-5, atol=1e-6)


def test_training_targets_are_standardised(data: StockData) -> None:
    targets = data.train.targets.astype(np.float64)
    assert targets.mean() == pytest.approx(0, abs=1e-6)
    assert targets.std() == pytest.approx(1, abs=1e-6)


def test_baselines_from_the_raw_prices(task: Stock, data: StockData, frame: pd.DataFrame) -> None:
    mean, hold, hold_sharpe = task.baselines(data)
    close = frame["Close"]
    assert (hold.name, hold.metric, hold.trivial) == ("buy_and_hold", "annual_yield", False)
    growth = close.loc["2018-12-31"] / close.loc["2013-12-31"] * (1 - 0.0005)
    assert hold.value == pytest.approx(100 * (growth ** (252 / 1258) - 1), abs=1e-9)
    assert hold.value == pytest.approx(6.2838, abs=1e-4)
    returns = (100 * np.log(close).diff()).loc["2014-01-01":]
    train = (100 * np.log(close).diff()).loc["1999-02-03":"2010-12-31"]
    simple = close.pct_change().loc["2014-01-01":]
    simple.iloc[0] = (1 + simple.iloc[0]) * (1 - 0.0005) - 1
    assert (hold_sharpe.name, hold_sharpe.metric, hold_sharpe.trivial) == ("buy_and_hold", "sharpe", False)
    assert hold_sharpe.value == pytest.approx(simple.mean() / simple.std() * math.sqrt(252), rel=1e-9)
    assert (mean.name, mean.metric, mean.trivial) == ("train_mean", "mse", True)
    assert mean.value == pytest.approx(((returns - train.mean()) ** 2).mean(), rel=1e-9)
    assert mean.value == pytest.approx(0.69674, abs=1e-5)


def test_predicting_zero_is_the_training_mean(task: Stock, data: StockData) -> None:
    """A network that gives 0 gives the training mean: the trivial baseline exactly."""
    scores = task.test_metrics(data, np.zeros((1258, 1), np.float32), np.zeros((754, 1), np.float32))
    assert scores["mse"] == task.baselines(data)[0].value
    # The median of equal predictions is not exceeded.
    assert (scores["invested_share"], scores["trades"], scores["annual_yield"]) == (0.0, 0.0, 0.0)
    assert scores["sharpe"] == 0.0


def test_always_long_is_buy_and_hold(task: Stock, data: StockData) -> None:
    scores = task.test_metrics(data, np.ones((1258, 1), np.float32), np.zeros((754, 1), np.float32))
    _, hold, hold_sharpe = task.baselines(data)
    assert (scores["annual_yield"], scores["sharpe"]) == (hold.value, hold_sharpe.value)
    assert (scores["invested_share"], scores["trades"], scores["break_even_cost"]) == (1.0, 1.0, 0.0)
    assert scores["long_short_yield"] == hold.value


def six_days(held: list[bool], cost: float) -> tuple[float, float]:
    """Return the yield and the number of trades over closes 100, 110, 99, 99, 108.9, 98.01, 107.811."""
    close = np.array([100, 110, 99, 99, 108.9, 98.01, 107.811])
    days = np.array(held)
    return annual_yield(days, 100 * np.diff(np.log(close)), cost), count_trades(days)


@pytest.mark.parametrize(
    ("held", "trades", "wealth"),
    [
        # In for days 1, 2 and 4: 1.1 * 0.9 * 1.1 = 1.089; in, out, in, out: 0.99^4 = 0.96059601.
        ([True, True, False, True, False, False], 4, 1.04608905489),
        # Days 3 and 6, the second entry open at the end: 1 * 1.1; in, out, in: 0.99^3 = 0.970299.
        ([False, False, True, False, False, True], 3, 1.0673289),
        # Every day: 1.07811 * 0.99.
        ([True] * 6, 1, 1.0673289),
        ([False] * 6, 0, 1.0),
        # The last day only: 1.1 * 0.99.
        ([False] * 5 + [True], 1, 1.089),
    ],
)
def test_yield_of_six_days_by_hand(held: list[bool], trades: int, wealth: float) -> None:
    found = six_days(held, 0.01)
    assert found[0] == pytest.approx(100 * (wealth ** (252 / 6) - 1), rel=1e-9, abs=1e-9)
    assert found[1] == trades


def test_yield_of_one_year_is_the_growth() -> None:
    """252 days at 10 % in all, no cost: 10 % a year."""
    returns = np.full(252, 100 * math.log(1.1) / 252)
    assert annual_yield(np.ones(252, dtype=np.bool_), returns, 0.0) == pytest.approx(10)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(-0.2, 0.2)), min_size=1, max_size=80), st.floats(0, 0.05))
def test_yield_against_a_day_by_day_account(days: list[tuple[bool, float]], cost: float) -> None:
    wealth, position, trades = 1.0, False, 0
    for held, simple in days:
        if held != position:
            wealth, position, trades = wealth * (1 - cost), held, trades + 1
        if held:
            wealth *= 1 + simple
    held_days = np.array([held for held, _ in days])
    log_returns = 100 * np.log1p([simple for _, simple in days])
    assert count_trades(held_days) == trades
    assert annual_yield(held_days, log_returns, cost) == pytest.approx(
        100 * (wealth ** (252 / len(days)) - 1), rel=1e-6, abs=1e-6
    )


@pytest.mark.parametrize("threshold", ["median", "zero"])
def test_metrics_of_a_toy_series(threshold: str) -> None:
    close = walk(1)
    close[42] = close[41]
    data = toy(close)
    rng = np.random.default_rng(2)
    validation, test = column(rng.normal(0, 1, 10)), column(rng.normal(0, 1, 15))
    scores = Stock(source="arch", threshold=threshold, cost=0.002).test_metrics(data, test, validation)
    forecast = [float(p) * data.sd + data.mean for p in test[:, 0]]
    truth = [100 * math.log(close[t] / close[t - 1]) for t in range(40, 55)]
    limit = 0.0 if threshold == "zero" else statistics.median(float(p) * data.sd + data.mean for p in validation[:, 0])
    held = [f > limit for f in forecast]
    assert scores["mse"] == pytest.approx(statistics.fmean((f - y) ** 2 for f, y in zip(forecast, truth, strict=True)))
    agree = [(f > 0) == (y > 0) for f, y in zip(forecast, truth, strict=True)]
    assert scores["directional_accuracy"] == pytest.approx(sum(agree) / 15)
    assert scores["invested_share"] == pytest.approx(sum(held) / 15)
    assert scores["trades"] == sum(a != b for a, b in pairwise([False, *held]))
    wealth = math.prod(close[t] / close[t - 1] for t, h in zip(range(40, 55), held, strict=True) if h)
    assert scores["annual_yield"] == pytest.approx(100 * ((wealth * 0.998 ** scores["trades"]) ** (252 / 15) - 1))


def test_a_day_without_change_is_not_up() -> None:
    close = walk(3)
    close[30:40] = close[29]
    data = toy(close)
    assert (data.validation_returns == 0).all()
    task = Stock(source="arch")
    down, up = column([-data.mean / data.sd - 0.01] * 10), column([-data.mean / data.sd + 0.01] * 10)
    assert task.validation_metrics(data, down)["directional_accuracy"] == 1.0
    assert task.validation_metrics(data, up)["directional_accuracy"] == 0.0


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), row=st.integers(30, 54), window=st.integers(1, 12))
def test_no_future_price_reaches_a_prediction(seed: int, row: int, window: int) -> None:
    """Change every price from a row after the training period on: nothing that is known before it changes."""
    close = walk(seed)
    changed = close.copy()
    changed[row:] *= np.random.default_rng(seed + 1).uniform(1.5, 3.0, 60 - row)
    before, after = toy(close, window), toy(changed, window)
    assert (before.mean, before.sd) == (after.mean, after.sd)
    assert np.array_equal(before.train.inputs, after.train.inputs)
    assert np.array_equal(before.train.targets, after.train.targets)
    known = row - 30
    inputs, inputs_changed = (np.concatenate([d.validation.inputs, d.test.inputs]) for d in (before, after))
    targets, targets_changed = (np.concatenate([d.validation.targets, d.test.targets]) for d in (before, after))
    # The inputs of the day of the first changed price are from the days before it.
    assert np.array_equal(inputs[: known + 1], inputs_changed[: known + 1])
    assert np.array_equal(targets[:known], targets_changed[:known])
    # The test can fail: the price of a day reaches its own target and the next day's inputs.
    assert targets[known] != targets_changed[known]
    assert known == 24 or (inputs[known + 1] != inputs_changed[known + 1]).any()


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), day=st.integers(0, 14), threshold=st.sampled_from(["median", "zero"]))
def test_a_position_depends_on_nothing_later(seed: int, day: int, threshold: str) -> None:
    """Change the predictions and prices after a test day: the positions up to it stay (seen through the yield)."""
    rng = np.random.default_rng(seed)
    close = walk(seed)
    validation, test = column(rng.normal(0, 1, 10)), column(rng.normal(0, 1, 15))
    task = Stock(source="arch", threshold=threshold)

    def first_days(data: StockData, predictions: Float32) -> dict[str, float]:
        """Return the scores when only the days up to `day` are left to score."""
        short = dataclasses.replace(data, test_returns=data.test_returns[: day + 1])
        return task.test_metrics(short, predictions[: day + 1], validation)

    later_close, later_test = close.copy(), test.copy()
    later_close[40 + day + 1 :] *= 2
    later_test[day + 1 :] += 100
    assert first_days(toy(close), test) == first_days(toy(later_close), later_test)
    full = task.test_metrics(toy(close), later_test, validation)
    share = task.test_metrics(toy(close), test, validation)["invested_share"]
    later_held = np.count_nonzero(test[day + 1 :, 0] > rule_limit(toy(close), validation, threshold))
    assert full["invested_share"] * 15 == pytest.approx(share * 15 - later_held + (14 - day))


def rule_limit(data: StockData, validation: Float32, threshold: str) -> float:
    """Return the threshold in the network's own units."""
    return -data.mean / data.sd if threshold == "zero" else float(np.median(validation))


def test_a_shorter_test_period_is_a_beginning_of_the_longer(data: StockData) -> None:
    short: Any = Stock(source="arch", test_end="2014-06-30").load(0, 0)
    days = len(short.test.targets)
    assert (short.mean, short.sd) == (data.mean, data.sd)
    assert np.array_equal(short.test.inputs, data.test.inputs[:days])
    assert np.array_equal(short.test.targets, data.test.targets[:days])


def test_start_drops_earlier_prices(data: StockData) -> None:
    late: Any = Stock(source="arch", start="2005-01-01").load(0, 0)
    assert late.train.index is not None and data.train.index is not None
    # The first price is of 2005-01-03; a return and 20 returns before the first target are 21 trading days.
    assert late.train.index[0] == "2005-02-02"
    assert set(late.train.index) < set(data.train.index)
    assert np.array_equal(late.test_returns, data.test_returns)


def test_csv_export_gives_exactly_the_embedded_data(data: StockData, frame: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    frame.to_csv(path)
    task = Stock(source=str(path))
    task.check()
    copy: Any = task.load(0, 0)
    assert (copy.mean, copy.sd) == (data.mean, data.sd)
    for name in ("train", "validation", "test"):
        one, two = getattr(data, name), getattr(copy, name)
        assert np.array_equal(one.inputs, two.inputs) and np.array_equal(one.targets, two.targets)
        assert one.index == two.index
    assert task.baselines(copy) == task.baselines(data)


def test_plain_data_are_refused(task: Stock, data: StockData) -> None:
    plain: Any = type(data).__mro__[1](data.train, data.validation, data.test)
    with pytest.raises(TypeError, match="load"):
        task.baselines(plain)


def test_series_by_sample_sum_to_the_yields(task: Stock, data: StockData) -> None:
    rng = np.random.default_rng(0)
    validation, test = column(rng.normal(0, 1, 754)), column(rng.normal(0, 1, 1258))
    series = task.by_sample(data, test, validation)
    assert sorted(series) == ["market_return", "position", "strategy_return"]
    assert {(own.dtype, own.shape) for own in series.values()} == {(np.dtype(np.float64), (1258,))}
    held = test[:, 0] > np.median(validation)
    assert np.array_equal(series["position"], held)
    scores = task.test_metrics(data, test, validation)

    def yearly(returns: Float64) -> float:
        return float(100 * (np.exp(returns.sum() / 100) ** (252 / 1258) - 1))

    assert yearly(series["strategy_return"]) == pytest.approx(scores["annual_yield"], rel=1e-9)
    assert yearly(series["market_return"]) == pytest.approx(task.baselines(data)[1].value, rel=1e-9)
    assert scores["sharpe"] == sharpe(series["strategy_return"])
    assert scores["long_short_yield"] == long_short_yield(held, data.test_returns[:, 0], 0.0005)
    # Days without a trade are the index's own return, or nothing.
    still = np.flatnonzero(held[1:] == held[:-1]) + 1
    assert np.array_equal(series["strategy_return"][still], np.where(held, data.test_returns[:, 0], 0)[still])


def test_break_even_cost_makes_the_rule_equal_to_buy_and_hold(data: StockData) -> None:
    rng = np.random.default_rng(1)
    validation, test = column(rng.normal(0, 1, 754)), column(rng.normal(0, 1, 1258))
    cost = Stock(source="arch").test_metrics(data, test, validation)["break_even_cost"] / 100
    held, returns = test[:, 0] > np.median(validation), data.test_returns[:, 0]
    assert cost != 0
    assert annual_yield(held, returns, cost) == pytest.approx(annual_yield(np.ones_like(held), returns, cost))


def test_the_dataset_has_a_licence_and_facts() -> None:
    dataset = StockPrices("arch")
    assert dataset.licence.startswith("NCSA") and "Yahoo" in dataset.licence
    facts = dataset.prepare(Path("unused")).facts
    assert (facts["rows"], facts["first_date"], facts["last_date"]) == (5031, "1999-01-04", "2018-12-31")
    # The exchange was closed from 2001-09-11 to 2001-09-16: not more than 7 days.
    assert (facts["gaps_over_7_days"], facts["longest_gap"]) == (0, "7 days, 2001-09-10 to 2001-09-17")
    assert facts["rows_with_high_low_close_equal"] == 0


def test_prepared_data_are_those_that_were_read(tmp_path: Path, data: StockData) -> None:
    dataset = StockPrices("arch")
    folder = prepare(dataset, tmp_path)
    assert folder.name.startswith("stock-")
    stored = read_prepared(dataset, tmp_path)
    assert stored is not None
    again = Stock(source="arch").cut(stored)
    assert np.array_equal(again.test.inputs, data.test.inputs) and again.test.index == data.test.index


def test_the_example_suffices_for_the_default_options() -> None:
    example: Prepared = StockPrices("arch").example()
    data = Stock(source="arch").cut(example)
    for split in (data.train, data.validation, data.test):
        assert len(split.targets) > 50 and len(np.unique(split.targets)) > 50
