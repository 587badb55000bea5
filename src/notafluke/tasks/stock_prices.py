"""The prices of one index or stock: the S&P 500 in the package arch, or the user's CSV file."""

from __future__ import annotations

import csv
import datetime
import gzip
import importlib.util
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from notafluke.errors import UsageError
from notafluke.tasks.base import Float64
from notafluke.tasks.dataset import Dataset, Prepared, package_declaration
from notafluke.tasks.stock_csv import (
    declaration_of,
    facts_of_dates,
    in_order,
    invented_walk,
    not_a_date,
    not_a_price,
    number,
    read_bytes,
    read_table,
    require_columns,
)


@dataclass(frozen=True)
class StockPrices(Dataset):
    """Daily closing prices: `dates`, ISO text [days], ascending, and `close`, float64 [days], all above 0.

    source: "arch", the S&P 500 from 1999-01-04 to 2018-12-31, or the path of a CSV file (UTF-8, plain or packed with
    gzip) with the columns Date, YYYY-MM-DD, and Close; others are ignored, but High and Low are looked at for the
    facts. Rows without any value are passed over. Rows out of order are sorted, and of days that stand there twice
    with the same price one is dropped; both are counted in the facts.
    """

    name: ClassVar[str] = "stock"
    embedded: ClassVar[Mapping[str, str]] = {"arch": "NCSA (package arch); index values from Yahoo Finance"}
    packages: ClassVar[tuple[str, ...]] = ("numpy", "pandas")

    def declaration(self) -> dict[str, str]:
        """Return package and version, or the SHA-256 of the user's file. Raises UsageError when it is not there."""
        if self.source in self.embedded:
            return package_declaration("arch", self.source)
        return declaration_of(self._content())

    def prepare(self, raw: Path) -> Prepared:
        """Read the prices. Facts: days, first and last, repairs, gaps, and rows in which High = Low = Close.

        Raises UsageError, naming file, row (line of the file, the first is 1), column and value, for the first thing
        that is wrong: no such file, not a CSV file, column missing, no date or price, price not above 0, two prices
        for one day.
        """
        if self.source in self.embedded:
            return arch_prices()
        return csv_prices(self.source, self._content())

    def example(self) -> Prepared:
        """Return an invented random walk, one price a week over the years of the embedded prices."""
        days = np.arange(np.datetime64("1999-01-04"), np.datetime64("2019-01-01"), 7)
        dates = np.datetime_as_string(days, unit="D")
        return Prepared({"dates": dates, "close": invented_walk(0, len(dates))}, facts_of_dates(dates.tolist()))

    def _content(self) -> bytes:
        return read_bytes(self.source, "'arch' is the S&P 500 in the package arch")


def arch_prices() -> Prepared:
    """Return the S&P 500, daily, 1999-01-04 to 2018-12-31, from the installed package arch."""
    # The file alone: importing the package takes a second, for the models that it is really for.
    found = importlib.util.find_spec("arch")
    assert found is not None and found.submodule_search_locations
    packed = Path(found.submodule_search_locations[0], "data", "sp500", "sp500.csv.gz").read_bytes()
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(packed).decode())))
    dates = [datetime.datetime.strptime(row["Date"], "%m/%d/%Y").date().isoformat() for row in rows]
    high, low, close = (np.array([float(row[name]) for row in rows]) for name in ("High", "Low", "Close"))
    return _prepared(dates, close, _flat_rows(high, low, close))


def csv_prices(source: str, content: bytes) -> Prepared:
    """Return the prices in a CSV file; see StockPrices."""
    table = read_table(source, content, "the columns Date and Close")
    require_columns(table, ("Date", "Close"))
    dates, cells = table.columns["Date"], table.columns["Close"]
    for row, (date, price) in enumerate(zip(dates, cells, strict=True)):
        for column, problem in (("Date", not_a_date(date)), ("Close", not_a_price(price))):
            if problem is not None:
                raise table.error(row, column, problem)
    close = np.array([float(cell) for cell in cells], dtype=np.float64)

    def same(first: int, second: int) -> bool:
        if close[first] != close[second]:
            raise UsageError(
                f"{source}: rows {table.line(first)} and {table.line(second)}: {dates[first]} has two prices, "
                f"{cells[first]!r} and {cells[second]!r}"
            )
        return True

    kept, repairs = in_order(dates, same)
    flat = {}
    if {"High", "Low"} <= set(table.columns):
        high, low = (np.array([number(table.columns[name][row]) for row in kept]) for name in ("High", "Low"))
        flat = _flat_rows(high, low, close[kept])
    return _prepared([dates[row] for row in kept], close[kept], repairs | flat)


def _flat_rows(high: Float64, low: Float64, close: Float64) -> dict[str, int]:
    """Count the days of which only one price is known: in files of the S&P 500 those before 1962."""
    return {"rows_with_high_low_close_equal": int(np.count_nonzero((high == low) & (low == close)))}


def _prepared(dates: Sequence[str], close: Float64, facts: Mapping[str, Any]) -> Prepared:
    # An empty list alone would be an array of numbers.
    text: NDArray[Any] = np.array(dates, dtype="U10")
    return Prepared({"dates": text, "close": close}, facts_of_dates(dates) | dict(facts))
