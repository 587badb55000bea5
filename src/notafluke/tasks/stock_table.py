"""The prices of many stocks: a CSV file with a column for each, or the two indices in the package arch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from notafluke.errors import UsageError
from notafluke.tasks.base import Float64
from notafluke.tasks.dataset import Dataset, Prepared, package_declaration
from notafluke.tasks.stock_csv import (
    Table,
    declaration_of,
    facts_of_dates,
    header,
    in_order,
    invented_walk,
    not_a_date,
    not_a_price,
    read_bytes,
    read_table,
    require_columns,
)

MISSING = ("", "na", "nan")
"""What stands in a cell without a price, in small letters."""

_EXAMPLES = 4


@dataclass(frozen=True)
class StockTable(Dataset):
    """Daily closes of many stocks over a period in which none is missing.

    Arrays: `dates`, ISO text [days], ascending; `names`, text [stocks]; `close`, float64 [days, stocks], all above 0.

    source: "arch", the indices S&P 500 and NASDAQ Composite, or the path of a CSV file (UTF-8, plain or packed with
    gzip) with the column Date, YYYY-MM-DD, and a column of closes for each stock; an empty cell, NA or NaN is a
    missing price. start, end: the first and last date that is used (start None: the file's first). A stock with a
    missing price between them is left out. Rows out of order are sorted, equal rows of one day dropped.
    """

    start: str | None
    end: str
    name: ClassVar[str] = "stock_pick"
    embedded: ClassVar[Mapping[str, str]] = {"arch": "NCSA (package arch); index values from Yahoo Finance"}
    packages: ClassVar[tuple[str, ...]] = ("numpy", "pandas")

    def declaration(self) -> dict[str, str]:
        """Return package and version, or the SHA-256 of the user's file. Raises UsageError when it is not there."""
        if self.source in self.embedded:
            return package_declaration("arch", self.source)
        return declaration_of(self._content())

    def prepare(self, raw: Path) -> Prepared:
        """Read the closes. Facts: days and gaps of the period, stocks, those left out by name, and repairs.

        Raises UsageError, naming file, row (line of the file, the first is 1), column and value, for the first thing
        that is wrong: no such file, not a CSV file, no column Date, a column without a name or with that of another,
        no date or price, price not above 0, two rows for one day that differ, fewer than two stocks that are complete.
        """
        if self.source in self.embedded:
            return self._used(*arch_closes(), {})
        return self._used(*csv_closes(self.source, self._content()))

    def example(self) -> Prepared:
        """Return invented random walks, a price for each weekday over the years of the embedded prices."""
        days = np.arange(np.datetime64("1999-01-04"), np.datetime64("2019-01-01"))
        dates = np.datetime_as_string(days[np.is_busday(days)], unit="D").tolist()
        walks = [invented_walk(seed, len(dates)) for seed in range(_EXAMPLES)]
        return self._used(dates, [f"stock {seed}" for seed in range(_EXAMPLES)], np.stack(walks, axis=1), {})

    def _content(self) -> bytes:
        return read_bytes(self.source, "'arch' are the S&P 500 and the NASDAQ Composite in the package arch")

    def _used(self, dates: Sequence[str], names: Sequence[str], close: Float64, facts: Mapping[str, Any]) -> Prepared:
        """Keep the period and the stocks of which every price in it is there."""
        # An empty list alone would be an array of numbers.
        days = np.array(dates, dtype="U10")
        first = 0 if self.start is None else int(np.searchsorted(days, self.start))
        period = slice(first, int(np.searchsorted(days, self.end, side="right")))
        missing = np.isnan(close[period]).sum(axis=0)
        complete = np.flatnonzero(missing == 0)
        left_out = {names[stock]: int(missing[stock]) for stock in np.flatnonzero(missing).tolist()}
        if len(complete) < 2:
            why = "".join(f"; {name} lacks {cells}" for name, cells in list(left_out.items())[:3])
            raise UsageError(
                f"{self.source}: stocks without a missing price from {self.start or 'the first row'} to {self.end}: "
                f"{len(complete)}; 2 or more are needed{why}"
            )
        return Prepared(
            {"dates": days[period], "names": np.array(names)[complete], "close": close[period][:, complete]},
            facts_of_dates(days[period].tolist())
            | {"stocks": len(complete), "stocks_left_out": len(left_out), "missing_cells_of_stocks_left_out": left_out}
            | dict(facts),
        )


def arch_closes() -> tuple[list[str], list[str], Float64]:
    """Return dates, names and daily closes [days, 2] of the indices in the package arch, 1999-01-04 to 2018-12-31."""
    # Here and not above: arch brings pandas, which costs half a second that planning does not need.
    import pandas as pd
    from arch.data import nasdaq, sp500

    indices = {"S&P 500": sp500, "NASDAQ Composite": nasdaq}
    frame = pd.concat({name: own.load()["Close"] for name, own in indices.items()}, axis=1, join="inner")
    dates = np.datetime_as_string(frame.index.to_numpy(), unit="D").tolist()
    return dates, list(indices), frame.to_numpy(dtype=np.float64)


def csv_closes(source: str, content: bytes) -> tuple[list[str], list[str], Float64, dict[str, int]]:
    """Return ascending dates, names, closes [days, stocks], NaN where missing, and repairs; see StockTable."""
    table = read_table(source, content, "the column Date and one column of closes for each stock")
    require_columns(table, ("Date",))
    _require_names(table)
    dates = table.columns["Date"]
    for row, date in enumerate(dates):
        if problem := not_a_date(date):
            raise table.error(row, "Date", problem)
    names = [name for name in table.columns if name != "Date"]
    # NaN only where a price is missing; without any stock still of two axes.
    close = np.array([_closes(table, name) for name in names], dtype=np.float64).reshape(len(names), len(dates)).T

    def same(first: int, second: int) -> bool:
        differs = ~((close[first] == close[second]) | (np.isnan(close[first]) & np.isnan(close[second])))
        if differs.any():
            name = names[int(np.argmax(differs))]
            prices = table.columns[name]
            raise UsageError(
                f"{source}: rows {table.line(first)} and {table.line(second)}, column {name}: {dates[first]} has two "
                f"prices, {prices[first]!r} and {prices[second]!r}"
            )
        return True

    kept, repairs = in_order(dates, same)
    return [dates[row] for row in kept], names, close[kept], repairs


def _closes(table: Table, name: str) -> list[float]:
    """Return the prices of a column, NaN where they are missing. Raises UsageError for what is no price."""
    prices = []
    for row, cell in enumerate(table.columns[name]):
        if cell.lower() in MISSING:
            prices.append(np.nan)
        elif problem := not_a_price(cell):
            raise table.error(row, name, problem)
        else:
            prices.append(float(cell))
    return prices


def _require_names(table: Table) -> None:
    """Raise UsageError where a column has no name or that of another: a reader could not tell which was picked."""
    names = [name.strip() for name in header(table)]
    for place, name in enumerate(names):
        if not name:
            raise UsageError(f"{table.source}: row 1: column {place + 1} has no name")
        if name in names[:place]:
            raise UsageError(f"{table.source}: row 1: the column {name!r} stands there twice")
