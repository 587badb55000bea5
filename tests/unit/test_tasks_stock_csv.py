"""The user's CSV file: what is wrong with it, in one line with file, row, column and value."""

from __future__ import annotations

import gzip
import hashlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import arch
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notafluke.errors import UsageError
from notafluke.tasks.dataset import Prepared
from notafluke.tasks.stock import Stock
from notafluke.tasks.stock_prices import StockPrices

OPTIONS: dict[str, Any] = {
    "window": 3,
    "train_end": "2000-01-14",
    "validation_end": "2000-01-21",
    "test_end": "2000-01-28",
}


SET_DATES = "set task.train_end, task.validation_end and task.test_end"


def rows() -> list[list[str]]:
    """Return header and 20 business days from 2000-01-03 (a Monday), with changing prices."""
    dates = pd.bdate_range("2000-01-03", periods=20).strftime("%Y-%m-%d")
    return [["Date", "Open", "Close"], *([day, "1", f"{100 + (7 * i) % 11}.5"] for i, day in enumerate(dates))]


def text(cells: list[list[str]]) -> str:
    """Join cells as CSV."""
    return "".join(",".join(row) + "\n" for row in cells)


def refusal(content: str | bytes, folder: Path, **changes: Any) -> str:
    """Return the error line for a file, without the folder; `check` and `load` must agree."""
    path = folder / "prices.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    task = Stock(source=str(path), **OPTIONS | changes)
    with pytest.raises(UsageError) as caught:
        task.check()
    with pytest.raises(UsageError) as again:
        task.load(0, 0)
    assert str(again.value) == str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(folder) + "/", "")


def changed(row: int, column: int, value: str) -> str:
    """Return the good file with one cell replaced; the header is row 1."""
    cells = rows()
    cells[row - 1][column] = value
    return text(cells)


def prepared(content: str | bytes, folder: Path) -> Prepared:
    """Prepare a file."""
    path = folder / "prices.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return StockPrices(str(path)).prepare(folder)


def test_the_good_file_is_good(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(text(rows()))
    data = Stock(source=str(path), **OPTIONS).load(0, 0)
    assert [len(split.targets) for split in (data.train, data.validation, data.test)] == [6, 5, 5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(5, 2, "n/a"), "prices.csv: row 5, column Close: 'n/a' is not a number"),
        (changed(5, 2, ""), "prices.csv: row 5, column Close: '' is not a number"),
        (changed(5, 2, "nan"), "prices.csv: row 5, column Close: 'nan' is not a number"),
        (changed(5, 2, "inf"), "prices.csv: row 5, column Close: 'inf' is not a number"),
        (changed(5, 2, "1e999"), "prices.csv: row 5, column Close: '1e999' is not a number"),
        (changed(5, 2, "1_0"), "prices.csv: row 5, column Close: '1_0' is not a number"),
        (changed(5, 2, '"1,5"'), "prices.csv: row 5, column Close: '1,5' is not a number"),
        (changed(2, 2, "x" * 99), f"prices.csv: row 2, column Close: '{'x' * 40}...' is not a number"),
        (changed(21, 2, "0"), "prices.csv: row 21, column Close: the price '0' is not above 0"),
        (changed(6, 2, "-3.5"), "prices.csv: row 6, column Close: the price '-3.5' is not above 0"),
        (changed(3, 0, "04.01.2000"), "prices.csv: row 3, column Date: '04.01.2000' is not a date, YYYY-MM-DD"),
        (changed(3, 0, "2000-02-30"), "prices.csv: row 3, column Date: '2000-02-30' is not a date, YYYY-MM-DD"),
        (changed(3, 0, "2000-1-4"), "prices.csv: row 3, column Date: '2000-1-4' is not a date, YYYY-MM-DD"),
        (changed(3, 0, ""), "prices.csv: row 3, column Date: '' is not a date, YYYY-MM-DD"),
        (
            changed(4, 0, "2000-01-04"),
            "prices.csv: rows 3 and 4: 2000-01-04 has two prices, '107.5' and '103.5'",
        ),
        (
            text([*rows(), ["2000-01-03", "1", "7"]]),
            "prices.csv: rows 2 and 22: 2000-01-03 has two prices, '100.5' and '7'",
        ),
        ("2000-01-03\n", "prices.csv: row 1: no column 'Date'; valid: 2000-01-03"),
        ("Date,Close\n2000-01-03\n", "prices.csv: row 2 has 1 cells, the header has 2; is the file cut short?"),
        ("<!DOCTYPE html><p>no</p>", "prices.csv: this is a web page, not a CSV file"),
        ("\ufeff \n<HTML>\n", "prices.csv: this is a web page, not a CSV file"),
        ("<!doctype html>\né".encode("latin-1"), "prices.csv: this is a web page, not a CSV file"),
        (
            gzip.compress(text(rows()).encode())[:-12],
            "prices.csv: it is packed with gzip, but cannot be unpacked: "
            "Compressed file ended before the end-of-stream marker was reached",
        ),
        (
            changed(1, 2, "close"),
            "prices.csv: row 1: no column 'Close'; did you mean 'close'? valid: Date, Open, close",
        ),
        (changed(1, 2, "Price"), "prices.csv: row 1: no column 'Close'; valid: Date, Open, Price"),
        (changed(1, 1, "Close"), "prices.csv: row 1: the column 'Close' stands there twice"),
        (changed(1, 0, "Day"), "prices.csv: row 1: no column 'Date'; valid: Close, Day, Open"),
        (changed(4, 2, "5,6"), "prices.csv: row 4 has 4 cells, the header has 3"),
        (changed(2, 2, "5,6"), "prices.csv: row 2 has 4 cells, the header has 3"),
        ("", "prices.csv: the file is empty; it must have the columns Date and Close"),
        (
            "Date,Close\n",
            "prices.csv: 0 rows for the train split (to 2000-01-14), 6 or more (task.window + 3) are needed; "
            "no prices are in use; " + SET_DATES,
        ),
        (
            changed(3, 2, "é").encode("latin-1"),
            "prices.csv: row 3: byte 0xe9 is not UTF-8 text; save the file as UTF-8",
        ),
        (text(rows()).encode("utf-16"), "prices.csv: row 1: byte 0xff is not UTF-8 text; save the file as UTF-8"),
    ],
)
def test_one_line_for_each_fault(content: str | bytes, message: str, tmp_path: Path) -> None:
    assert refusal(content, tmp_path) == message


def test_semicolons_show_what_was_read_as_the_header(tmp_path: Path) -> None:
    message = refusal(text(rows()).replace(",", ";"), tmp_path)
    assert message == "prices.csv: row 1: no column 'Date'; valid: Date;Open;Close"


def test_an_open_quote_is_not_a_csv_file(tmp_path: Path) -> None:
    message = refusal(changed(4, 1, '"1') + "2000-02-01,1,5\n" * 20_000, tmp_path)
    assert message.startswith("prices.csv: this is not a CSV file: Error tokenizing data.")


def test_rows_are_lines_of_the_file_after_blank_lines_and_quoted_breaks(tmp_path: Path) -> None:
    cells = rows()
    cells[2][1] = '"a note\nof three\nlines"'
    cells[6][2] = "?"
    lines = text(cells).splitlines(keepends=True)
    lines.insert(5, "\n")
    message = refusal("".join(lines), tmp_path)
    assert message == "prices.csv: row 10, column Close: '?' is not a number"
    assert "".join(lines).splitlines()[9].endswith("?")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_mark_and_blanks(end: str, tmp_path: Path) -> None:
    """A byte order mark, blank lines, blanks around cells and any line end are fine, and rows are still right."""
    path = tmp_path / "prices.csv"
    good = (
        text(rows())
        .replace(",", " , ")
        .replace("Date ,", "Date,")
        .replace(", Open ,", ",Open,")
        .replace(" Close", "Close")
    )
    path.write_bytes(("\ufeff" + good + "\n  \n,,\n").replace("\n", end).encode())
    arrays = StockPrices(str(path)).prepare(tmp_path).arrays
    assert arrays["dates"].tolist() == [row[0] for row in rows()[1:]]
    assert arrays["close"].tolist() == [float(row[2]) for row in rows()[1:]]
    bad = changed(5, 2, "bad").replace("\n", end)
    assert refusal(bad.encode(), tmp_path) == "prices.csv: row 5, column Close: 'bad' is not a number"


def test_a_row_that_lacks_cells_is_a_file_cut_short(tmp_path: Path) -> None:
    """The last price would be read, cut in two: 55.9 as 55."""
    whole = text(rows())
    message = refusal(whole[: whole.rindex(",")], tmp_path)
    last, columns = len(rows()), len(rows()[0])
    assert message == (
        f"prices.csv: row {last} has {columns - 1} cells, the header has {columns}; is the file cut short?"
    )


def test_gaps_are_fine(tmp_path: Path) -> None:
    cells = rows()
    del cells[5], cells[15]
    path = tmp_path / "prices.csv"
    path.write_text(text(cells))
    data = Stock(source=str(path), **OPTIONS).load(0, 0)
    assert sum(len(split.targets) for split in (data.train, data.validation, data.test)) == 14


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"window": 8},
            "prices.csv: 10 rows for the train split (to 2000-01-14), 11 or more (task.window + 3) are needed; "
            "the prices in use run from 2000-01-03 to 2000-01-28; " + SET_DATES,
        ),
        (
            {"train_end": "2000-01-22", "validation_end": "2000-01-23"},
            "prices.csv: 0 rows for the validation split (after 2000-01-22, to 2000-01-23), 1 or more are needed; "
            "the prices in use run from 2000-01-03 to 2000-01-28; " + SET_DATES,
        ),
        (
            {"validation_end": "2000-02-01", "test_end": "2018-12-31"},
            "prices.csv: 0 rows for the test split (after 2000-02-01, to 2018-12-31), 1 or more are needed; "
            "the prices in use run from 2000-01-03 to 2000-01-28; " + SET_DATES,
        ),
        (
            {"start": "2000-01-12"},
            "prices.csv: 3 rows for the train split (to 2000-01-14), 6 or more (task.window + 3) are needed; "
            "the prices in use run from 2000-01-12 to 2000-01-28; " + SET_DATES,
        ),
    ],
)
def test_too_few_rows(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    assert refusal(text(rows()), tmp_path, **changes) == message


def test_the_least_number_of_rows_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(text(rows()))
    data = Stock(source=str(path), **OPTIONS | {"window": 7}).load(0, 0)
    assert data.train.targets.shape == (2, 1)


def test_constant_prices(tmp_path: Path) -> None:
    cells = [row if row[0] == "Date" else [row[0], "1", "5"] for row in rows()]
    message = refusal(text(cells), tmp_path)
    assert message == "prices.csv: the returns of the train split (to 2000-01-14) are all equal: nothing to learn"


def test_missing_file_and_folder(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.csv")
    for call in (Stock(source=missing).check, Stock(source=missing).declaration):
        with pytest.raises(UsageError) as caught:
            call()
        assert str(caught.value) == (
            f"task.source={missing}: there is no such file ('arch' is the S&P 500 in the package arch)"
        )
    with pytest.raises(UsageError, match=r"^task\.source=.*: it cannot be read: Is a directory$"):
        Stock(source=str(tmp_path)).check()


def test_declaration_is_the_content_of_the_file_not_its_path(tmp_path: Path) -> None:
    raw = text(rows()).encode()
    (tmp_path / "one.csv").write_bytes(raw)
    (tmp_path / "two.csv").write_bytes(raw)
    expected = {"sha256": hashlib.sha256(raw).hexdigest()}
    assert Stock(source=str(tmp_path / "one.csv")).declaration() == expected
    assert Stock(source=str(tmp_path / "two.csv")).declaration() == expected


def test_declaration_of_the_embedded_data() -> None:
    assert Stock(source="arch").declaration() == {"package": "arch", "version": arch.__version__}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 0}, "task.window=0: it must be a whole number of at least 1"),
        ({"train_end": 2010}, "task.train_end=2010: it must be a date, YYYY-MM-DD"),
        ({"test_end": "2018-13-01"}, "task.test_end='2018-13-01': it must be a date, YYYY-MM-DD"),
        ({"start": "then"}, "task.start='then': it must be a date, YYYY-MM-DD"),
        (
            {"validation_end": "2009-12-31"},
            "task.validation_end=2009-12-31: it must come after task.train_end=2010-12-31",
        ),
        ({"test_end": "2013-12-31"}, "task.test_end=2013-12-31: it must come after task.validation_end=2013-12-31"),
        ({"start": "2011-01-01"}, "task.train_end=2010-12-31: it must come after task.start=2011-01-01"),
        ({"threshold": "medain"}, "task.threshold='medain'; did you mean 'median'? valid: median, zero"),
        ({"cost": 1}, "task.cost=1: it must be a number from 0 to below 1 (0.0005 is 0.05 %)"),
        ({"cost": -0.1}, "task.cost=-0.1: it must be a number from 0 to below 1 (0.0005 is 0.05 %)"),
        ({"cost": "free"}, "task.cost='free': it must be a number from 0 to below 1 (0.0005 is 0.05 %)"),
        ({"cost": float("nan")}, "task.cost=nan: it must be a number from 0 to below 1 (0.0005 is 0.05 %)"),
        ({"source": None}, "task.source=None: it must be 'arch' or the path of a CSV file"),
        ({"source": ""}, "task.source='': it must be 'arch' or the path of a CSV file"),
    ],
)
def test_bad_options(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Stock(**{"source": "arch"} | changes).check()
    assert str(caught.value) == message


def test_source_has_no_default() -> None:
    """Whoever drops the option by mistake must not silently train on the embedded data."""
    with pytest.raises(TypeError, match="source"):
        Stock()  # type: ignore[call-arg]


def test_prices_are_read_to_the_last_bit(tmp_path: Path) -> None:
    close = np.random.default_rng(0).uniform(0.1, 5000, 500)
    dates = pd.bdate_range("1990-01-01", periods=500).strftime("%Y-%m-%d")
    path = tmp_path / "prices.csv"
    path.write_text("Date,Close\n" + "".join(f"{d},{c!r}\n" for d, c in zip(dates, close.tolist(), strict=True)))
    assert StockPrices(str(path)).prepare(tmp_path).arrays["close"].tolist() == close.tolist()


def same_prices(one: Prepared, two: Prepared) -> bool:
    """Return whether dates and closes are equal to the last bit."""
    return all(np.array_equal(one.arrays[name], two.arrays[name]) for name in ("dates", "close"))


def test_a_good_file_needs_no_repair(tmp_path: Path) -> None:
    assert prepared(text(rows()), tmp_path).facts == {
        "rows": 20,
        "first_date": "2000-01-03",
        "last_date": "2000-01-28",
        "gaps_over_7_days": 0,
        "longest_gap": "3 days, 2000-01-07 to 2000-01-10",
        "duplicate_rows_dropped": 0,
        "rows_out_of_order": 0,
    }


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(1, 21)), twice=st.lists(st.integers(1, 20), max_size=5))
def test_order_and_equal_rows_are_repaired_and_counted(order: list[int], twice: list[int], tmp_path: Path) -> None:
    cells = rows()
    # The same price may be written in another way.
    again = [[cells[row][0], "", cells[row][2] + "00"] for row in twice]
    shuffled = [cells[row] for row in order] + again
    found = prepared(text([cells[0], *shuffled]), tmp_path)
    assert same_prices(found, prepared(text(cells), tmp_path))
    dates = [row[0] for row in shuffled]
    assert found.facts["duplicate_rows_dropped"] == len(twice)
    assert found.facts["rows_out_of_order"] == sum(b < a for a, b in pairwise(dates))


def test_a_file_packed_with_gzip_is_read_and_its_rows_are_named(tmp_path: Path) -> None:
    packed = gzip.compress(text(rows()).encode())
    assert same_prices(prepared(packed, tmp_path), prepared(text(rows()), tmp_path))
    message = refusal(gzip.compress(changed(5, 2, "n/a").encode()), tmp_path)
    assert message == "prices.csv: row 5, column Close: 'n/a' is not a number"


def test_gaps_are_counted_and_the_longest_named(tmp_path: Path) -> None:
    dates = ["2000-01-03", "2000-01-10", "2000-01-18", "2000-01-19", "2000-02-01", "2000-02-02"]
    facts = prepared("Date,Close\n" + "".join(f"{date},{row + 1}\n" for row, date in enumerate(dates)), tmp_path).facts
    # 7, 8, 1, 13 and 1 days.
    assert (facts["gaps_over_7_days"], facts["longest_gap"]) == (2, "13 days, 2000-01-19 to 2000-02-01")


def test_days_with_a_single_price_are_counted(tmp_path: Path) -> None:
    """As in files of the S&P 500 before 1962; a cell that is no number is not equal."""
    content = (
        "Date,High,Low,Close\n2000-01-03,5,5,5.0\n2000-01-04,6,5,5\n2000-01-05,,,5\n2000-01-06,6,6,6\n"
        "2000-01-06,9,6,6\n"
    )
    facts = prepared(content, tmp_path).facts
    assert (facts["rows"], facts["rows_with_high_low_close_equal"]) == (4, 2)
    assert "rows_with_high_low_close_equal" not in prepared(content.replace("Low", "low"), tmp_path).facts
