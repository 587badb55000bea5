"""The stock_pick task: samples and metrics by hand, bad files, and no look ahead."""

from __future__ import annotations

import gzip
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from arch.data import nasdaq, sp500
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from notafluke.errors import UsageError
from notafluke.tasks.base import Float64, TaskData
from notafluke.tasks.contract import require_contract
from notafluke.tasks.dataset import Prepared, prepare, read_prepared
from notafluke.tasks.stock_pick import StockPick, StockPickData, rank_correlation, shares
from notafluke.tasks.stock_table import StockTable

DAYS = 60
DATES = pd.bdate_range("2000-01-03", periods=DAYS).strftime("%Y-%m-%d").tolist()
NAMES = ["one", "two", "three"]
# Rows 0 to 29 are for training, 30 to 43 for validation, 44 to 57 for the test; two more are not used.
STOPS = (30, 44, 58)
OPTIONS: dict[str, Any] = {
    "window": 3,
    "hold": 4,
    "every": 2,
    "train_end": DATES[29],
    "validation_end": DATES[43],
    "test_end": DATES[57],
}

SET_DATES = "set task.train_end, task.validation_end and task.test_end"


def walks(seed: int = 0, stocks: int = 3) -> Float64:
    """Make closes [days, stocks] of random walks, rounded as files have them."""
    steps = np.random.default_rng(seed).normal(0, 0.02, (DAYS, stocks))
    return (100 * np.exp(np.cumsum(steps, axis=0))).round(2)


def text(close: Float64, names: list[str] = NAMES) -> str:
    """Write closes as CSV; NaN is an empty cell."""
    rows = [
        [date, *("" if math.isnan(own) else repr(own) for own in row)]
        for date, row in zip(DATES, close.tolist(), strict=True)
    ]
    return "".join(",".join(row) + "\n" for row in [["Date", *names], *rows])


def cut(close: Float64, **changes: Any) -> StockPickData:
    """Cut closes without a file."""
    arrays = {"dates": np.array(DATES), "names": np.array(NAMES), "close": close}
    return StockPick(source="toy", **OPTIONS | changes).cut(Prepared(arrays))


def loaded(content: str | bytes, folder: Path, **changes: Any) -> tuple[StockPick, StockPickData]:
    """Load a file."""
    path = folder / "closes.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    task = StockPick(source=str(path), **OPTIONS | changes)
    data = task.load(0, 0)
    assert isinstance(data, StockPickData)
    return task, data


def refusal(content: str | bytes, folder: Path, **changes: Any) -> str:
    """Return the error line for a file, without the folder."""
    with pytest.raises(UsageError) as caught:
        loaded(content, folder, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(folder) + "/", "")


def test_samples_by_hand(tmp_path: Path) -> None:
    close = walks()
    _, data = loaded(text(close), tmp_path)
    level = [[100 * math.log(own) for own in row] for row in close.tolist()]
    daily = [level[t][s] - level[t - 1][s] for t in range(1, 30) for s in range(3)]
    shift, scale = statistics.fmean(daily), statistics.pstdev(daily)
    # The first window needs 3 returns; the last sale is the last row of the period.
    days = {"train": range(3, 26, 2), "validation": range(30, 40, 2), "test": range(44, 54, 2)}
    targets = [level[t + 4][s] - level[t][s] for t in days["train"] for s in range(3)]
    mean, sd = statistics.fmean(targets), statistics.pstdev(targets)
    assert [data.mean, data.sd] == pytest.approx([mean, sd])
    for name, own in days.items():
        split = getattr(data, name)
        assert split.index == tuple(f"{DATES[t]} {NAMES[s]}" for t in own for s in range(3))
        inputs = [
            [(level[d][s] - level[d - 1][s] - shift) / scale for d in (t - 2, t - 1, t)] for t in own for s in range(3)
        ]
        np.testing.assert_allclose(split.inputs[:, :, 0], inputs, rtol=1e-4, atol=1e-5)
        truth = [(level[t + 4][s] - level[t][s] - mean) / sd for t in own for s in range(3)]
        np.testing.assert_allclose(split.targets[:, 0], truth, rtol=1e-4, atol=1e-5)


def test_metrics_by_hand(tmp_path: Path) -> None:
    """Four days of holding from the first day of the test period."""
    close = walks()
    close[44], close[48] = (100, 200, 50), (110, 190, 60)
    task, data = loaded(text(close), tmp_path)
    rng = np.random.default_rng(0)
    predictions = rng.standard_normal((15, 1)).astype(np.float32)
    predictions[:3, 0] = (0.5, 0.4, 0.3)
    scores = task.test_metrics(data, predictions, predictions)
    # The best predicted rose by 10 %, the others fell by 5 % and rose by 20 %.
    assert scores["pick_return"] == pytest.approx(10)
    assert scores["excess_return"] == pytest.approx(10 - 25 / 3)
    two = StockPick(source=task.source, **OPTIONS | {"pick": 2}).test_metrics(data, predictions, predictions)
    assert two["pick_return"] == pytest.approx((10 - 5) / 2)
    truth = [100 * math.log(close[t + 4][s] / close[t][s]) for t in range(44, 54, 2) for s in range(3)]
    forecast = [float(p) * data.sd + data.mean for p in predictions[:, 0]]
    assert scores["mse"] == pytest.approx(statistics.fmean((f - y) ** 2 for f, y in zip(forecast, truth, strict=True)))
    days = [spearmanr(forecast[d : d + 3], truth[d : d + 3]).statistic for d in range(0, 15, 3)]
    assert scores["rank_correlation"] == pytest.approx(statistics.fmean(days))
    series = task.by_sample(data, predictions, predictions)
    assert series["share"][:3].tolist() == [1, 0, 0] and series["share"].sum() == 5
    assert series["holding_return"][:3].tolist() == pytest.approx([10, -5, 20])


def test_baselines_by_hand(tmp_path: Path) -> None:
    close = walks()
    close[44], close[48] = (100, 200, 50), (110, 190, 60)
    task, data = loaded(text(close), tmp_path)
    mean, hold, excess = task.baselines(data)
    assert (mean.name, mean.metric, mean.trivial) == ("train_mean", "mse", True)
    truth = data.test_returns[:, 0]
    assert mean.value == pytest.approx(np.mean((truth - data.mean) ** 2))
    assert (hold.name, hold.metric) == ("all_stocks", "pick_return")
    assert hold.value == pytest.approx(25 / 3)
    assert (excess.metric, excess.value) == ("excess_return", 0.0)
    # A network that tells no stocks apart holds all of them.
    scores = task.test_metrics(data, np.zeros((15, 1), np.float32), np.zeros((15, 1), np.float32))
    assert scores["pick_return"] == pytest.approx(hold.value)
    assert (scores["excess_return"], scores["rank_correlation"]) == (0.0, 0.0)
    assert scores["mse"] == pytest.approx(mean.value)


@pytest.mark.parametrize(
    ("forecast", "pick", "expected"),
    [
        ([1, 3, 2], 1, [0, 1, 0]),
        ([1, 3, 2], 2, [0, 1 / 2, 1 / 2]),
        ([3, 3, 2], 1, [1 / 2, 1 / 2, 0]),
        ([4, 3, 3], 2, [1 / 2, 1 / 4, 1 / 4]),
        ([1, 1, 1], 2, [1 / 3, 1 / 3, 1 / 3]),
        ([1, 2, 3], 3, [1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_shares(forecast: list[float], pick: int, expected: list[float]) -> None:
    assert shares(np.array(forecast, dtype=np.float64), pick).tolist() == pytest.approx(expected)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 8))
def test_rank_correlation_against_scipy(seed: int, stocks: int) -> None:
    rng = np.random.default_rng(seed)
    # Of few values, so that there are ties.
    forecast, truth = (rng.integers(0, 5, (4, stocks)).astype(np.float64) for _ in range(2))
    days = []
    for one, two in zip(forecast, truth, strict=True):
        varies = len(set(one)) > 1 and len(set(two)) > 1
        days.append(spearmanr(one, two).statistic if varies else 0.0)
    assert rank_correlation(forecast, truth) == pytest.approx(statistics.fmean(days))


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), row=st.integers(30, 57), stock=st.integers(0, 2), window=st.integers(1, 8))
def test_no_future_price_reaches_a_prediction(seed: int, row: int, stock: int, window: int) -> None:
    """Change a stock's prices from a row after the training period on: nothing that is known before it changes."""
    close = walks(seed)
    changed = close.copy()
    changed[row:, stock] *= np.random.default_rng(seed + 1).uniform(1.5, 3.0, DAYS - row)
    before, after = (cut(own, window=window, every=1) for own in (close, changed))
    assert (before.mean, before.sd) == (after.mean, after.sd)
    for part in ("inputs", "targets"):
        assert np.array_equal(getattr(before.train, part), getattr(after.train, part))
    different = 0
    for name in ("validation", "test"):
        one, two = getattr(before, name), getattr(after, name)
        days = [DATES.index(own.split()[0]) for own in one.index]
        for sample, day in enumerate(days):
            own_stock = sample % 3 == stock
            if day < row:
                assert np.array_equal(one.inputs[sample], two.inputs[sample])
            # The sale is 4 days later.
            reached = own_stock and day + 4 >= row
            if not reached:
                assert one.targets[sample] == two.targets[sample]
            different += reached and bool(one.targets[sample] != two.targets[sample])
    # The test can fail: targets whose sale comes after the change are other ones.
    assert different > 0


@settings(deadline=None, max_examples=40)
@given(
    window=st.integers(1, 6), hold=st.integers(1, 8), every=st.integers(1, 9), stops=st.permutations([20, 34, 48, 58])
)
def test_purchase_and_sale_lie_in_the_period(window: int, hold: int, every: int, stops: list[int]) -> None:
    ends = sorted(stops[:3])
    names = ("train_end", "validation_end", "test_end")
    changes = {name: DATES[end - 1] for name, end in zip(names, ends, strict=True)}
    data = cut(walks(), window=window, hold=hold, every=every, **changes)
    begin = window
    for name, end in zip(("train", "validation", "test"), ends, strict=True):
        days = sorted({DATES.index(own.split()[0]) for own in getattr(data, name).index})
        assert days[0] == begin and set(np.diff(days)) <= {every}
        # One day of purchase more and the sale would be outside.
        assert days[-1] + hold < end <= days[-1] + every + hold
        begin = end


def test_embedded_indices_against_pandas() -> None:
    task = StockPick(source="arch")
    data: Any = task.load(0, 0)
    frame = pd.DataFrame({"S&P 500": sp500.load()["Close"], "NASDAQ Composite": nasdaq.load()["Close"]})
    outcome = frame.shift(-252) / frame - 1
    first = outcome.loc["2014-01-02"]
    assert data.test.index[:2] == ("2014-01-02 S&P 500", "2014-01-02 NASDAQ Composite")
    assert 100 * np.expm1(data.test_returns[:2, 0] / 100) == pytest.approx(100 * first.to_numpy())
    hold = task.baselines(data)[1].value
    assert hold == pytest.approx(100 * first.mean()) and hold == pytest.approx(13.2190, abs=1e-4)
    assert task.dataset.declaration()["package"] == "arch" and task.dataset.licence.startswith("NCSA")
    require_contract(task, data)


def test_stocks_with_missing_cells_are_left_out_and_named(tmp_path: Path) -> None:
    close = walks(stocks=5)
    close[10:12, 0] = close[0, 2] = close[59, 4] = np.nan
    names = ["gap", "one", "late", "two", "three"]
    content = (
        text(close, names).replace(f"{DATES[10]},,", f"{DATES[10]},NA,").replace(f"{DATES[11]},,", f"{DATES[11]},nan,")
    )
    task, data = loaded(content, tmp_path)
    facts = task.prepared.facts
    assert facts["missing_cells_of_stocks_left_out"] == {"gap": 2, "late": 1}
    # The cell after the last date in use does not matter.
    assert (facts["stocks"], facts["stocks_left_out"], facts["rows"]) == (3, 2, 58)
    assert np.array_equal(data.test.inputs, cut(close[:, [1, 3, 4]]).test.inputs)
    # Nor do those before the first date in use.
    later = loaded(content, tmp_path, start=DATES[5])[0].prepared.facts
    assert (later["first_date"], later["missing_cells_of_stocks_left_out"]) == (DATES[5], {"gap": 2})


def test_order_equal_rows_and_gzip(tmp_path: Path) -> None:
    close = walks()
    close[3, 1] = np.nan
    lines = text(close).splitlines(keepends=True)
    mixed = "".join([lines[0], *reversed(lines[1:]), lines[4], "\n", lines[9]])
    options = {"start": DATES[0], "end": DATES[-1]}
    (tmp_path / "closes.csv.gz").write_bytes(gzip.compress(mixed.encode()))
    (tmp_path / "closes.csv").write_text(text(close))
    packed = StockTable(str(tmp_path / "closes.csv.gz"), **options).prepare(tmp_path)
    plain = StockTable(str(tmp_path / "closes.csv"), **options).prepare(tmp_path)
    for name in ("dates", "names", "close"):
        assert np.array_equal(packed.arrays[name], plain.arrays[name])
    assert packed.arrays["close"].tolist() == close[:, [0, 2]].tolist()
    # 59 rows that go back in time; of the last two, the second goes forward.
    assert (packed.facts["duplicate_rows_dropped"], packed.facts["rows_out_of_order"]) == (2, 59)
    assert (plain.facts["duplicate_rows_dropped"], plain.facts["rows_out_of_order"]) == (0, 0)


def changed(row: int, column: int, cell: str) -> str:
    """Return the good file with one cell replaced; the header is row 1."""
    rows = [line.split(",") for line in text(walks()).splitlines()]
    rows[row - 1][column] = cell
    return "".join(",".join(own) + "\n" for own in rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(5, 2, "n/a"), "closes.csv: row 5, column two: 'n/a' is not a number"),
        (changed(5, 2, "0"), "closes.csv: row 5, column two: the price '0' is not above 0"),
        (changed(5, 0, "3.1.2000"), "closes.csv: row 5, column Date: '3.1.2000' is not a date, YYYY-MM-DD"),
        (
            changed(1, 0, "date"),
            "closes.csv: row 1: no column 'Date'; did you mean 'date'? valid: date, one, three, two",
        ),
        (changed(1, 2, "one"), "closes.csv: row 1: the column 'one' stands there twice"),
        (changed(1, 3, " "), "closes.csv: row 1: column 4 has no name"),
        ("<html>", "closes.csv: this is a web page, not a CSV file"),
        ("", "closes.csv: the file is empty; it must have the column Date and one column of closes for each stock"),
        (
            "Date,one\n2000-01-03,1\n2000-01-04,2\n2000-01-04,3\n",
            "closes.csv: rows 3 and 4, column one: 2000-01-04 has two prices, '2' and '3'",
        ),
        (
            "Date,one\n2000-01-03,1\n",
            f"closes.csv: stocks without a missing price from the first row to {DATES[57]}: 1; 2 or more are needed",
        ),
        (
            "Date,one,two\n2000-01-03,1,\n",
            f"closes.csv: stocks without a missing price from the first row to {DATES[57]}: 1; 2 or more are needed; "
            "two lacks 1",
        ),
        (
            "Date\n",
            f"closes.csv: stocks without a missing price from the first row to {DATES[57]}: 0; 2 or more are needed",
        ),
        (
            "Date,one,two\n",
            f"closes.csv: 0 rows for the train split (to {DATES[29]}), 8 or more (task.window + task.hold + 1) are "
            f"needed; no prices are in use; {SET_DATES}",
        ),
        (
            text(np.full((DAYS, 3), 5.0)),
            f"closes.csv: the returns of the train split (to {DATES[29]}) are all equal: nothing to learn",
        ),
    ],
)
def test_one_line_for_each_fault(content: str, message: str, tmp_path: Path) -> None:
    assert refusal(content, tmp_path) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"hold": 14},
            f"closes.csv: 14 rows for the validation split (after {DATES[29]}, to {DATES[43]}), 15 or more "
            f"(task.hold + 1) are needed; the prices in use run from {DATES[0]} to {DATES[57]}; " + SET_DATES,
        ),
        (
            {"window": 26},
            f"closes.csv: 30 rows for the train split (to {DATES[29]}), 31 or more (task.window + task.hold + 1) are "
            f"needed; the prices in use run from {DATES[0]} to {DATES[57]}; " + SET_DATES,
        ),
        ({"pick": 4}, "task.pick=4: closes.csv has 3 stocks without a missing price"),
        ({"hold": 0}, "task.hold=0: it must be a whole number of at least 1"),
        ({"every": 1.5}, "task.every=1.5: it must be a whole number of at least 1"),
        ({"pick": 0}, "task.pick=0: it must be a whole number of at least 1"),
        ({"start": DATES[29]}, f"task.train_end={DATES[29]}: it must come after task.start={DATES[29]}"),
    ],
)
def test_options_that_do_not_fit(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    assert refusal(text(walks()), tmp_path, **changes) == message


def test_the_fewest_rows_are_enough(tmp_path: Path) -> None:
    _, data = loaded(text(walks()), tmp_path, hold=13, window=16)
    assert [len(own.targets) for own in (data.train, data.validation, data.test)] == [3, 3, 3]


def test_missing_file(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.csv")
    with pytest.raises(UsageError) as caught:
        StockPick(source=missing).declaration()
    assert str(caught.value) == (
        f"task.source={missing}: there is no such file "
        "('arch' are the S&P 500 and the NASDAQ Composite in the package arch)"
    )


@pytest.mark.parametrize("source", [None, ""])
def test_source_must_be_named(source: Any) -> None:
    with pytest.raises(UsageError, match="it must be 'arch' or the path of a CSV file"):
        StockPick(source=source).check()
    with pytest.raises(TypeError, match="source"):
        StockPick()  # type: ignore[call-arg]


def test_prepared_data_and_the_example_suffice(tmp_path: Path) -> None:
    task = StockPick(source="arch")
    folder = prepare(task.dataset, tmp_path)
    stored = read_prepared(task.dataset, tmp_path)
    assert folder.name.startswith("stock_pick-") and stored is not None
    direct: Any = task.load(0, 0)
    assert np.array_equal(task.cut(stored).test.inputs, direct.test.inputs)
    example = task.cut(task.dataset.example())
    for split in (example.train, example.validation, example.test):
        assert len(np.unique(split.targets)) > 20


def test_plain_data_are_refused() -> None:
    data = cut(walks())
    plain = TaskData(data.train, data.validation, data.test)
    with pytest.raises(TypeError, match="load"):
        StockPick(source="arch").baselines(plain)
