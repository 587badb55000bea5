"""The user's CSV file of daily prices: read, checked and put in order; what is wrong with it is told in one line."""

from __future__ import annotations

import contextlib
import csv
import datetime
import gzip
import hashlib
import io
import itertools
import math
import re
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from notafluke.errors import UsageError, did_you_mean
from notafluke.tasks.base import Float64
from notafluke.tasks.checks import is_date

LONG_GAP = 7
"""Calendar days between two rows; more are counted as a gap. No exchange pauses so long in an ordinary year."""

LARGEST = 2**30
"""Bytes of the largest unpacked file."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, eq=False)
class Table:
    """The rows of a CSV file in which any cell has a value.

    source: for messages. text: the content. columns: the stripped cells of the rows by column name, in the order of
    the file. records: which record of the file each row is, the first after the header is 1.
    """

    source: str
    text: str
    columns: dict[str, list[str]]
    records: list[int]

    def line(self, row: int) -> int:
        """Return the line of the file, counted from 1, on which a row starts."""
        return _line(self.text, self.records[row])

    def error(self, row: int, column: str, why: str) -> UsageError:
        """Return the error for a cell."""
        return UsageError(f"{self.source}: row {self.line(row)}, column {column}: {why}")


def read_bytes(source: str, embedded: str) -> bytes:
    """Return the content of the user's file. Raises UsageError where it cannot be read.

    embedded: what else there is, as in "'arch' is the S&P 500 in the package arch".
    """
    try:
        return Path(source).read_bytes()
    except FileNotFoundError:
        raise UsageError(f"task.source={source}: there is no such file ({embedded})") from None
    except OSError as error:
        raise UsageError(f"task.source={source}: it cannot be read: {error.strerror}") from None


def declaration_of(content: bytes) -> dict[str, str]:
    """Declare the user's file by the SHA-256 of its content."""
    return {"sha256": hashlib.sha256(content).hexdigest()}


def read_table(source: str, content: bytes, needed: str) -> Table:
    """Parse a CSV file, plain or packed with gzip; rows without any value are passed over.

    needed: the columns that it must have, in words. Raises UsageError for a web page, an empty file, what is not UTF-8
    and for rows with more or fewer cells than the header.
    """
    import pandas as pd

    text = _decode(source, _unpack(source, content))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.StringIO(text, newline=""), dtype=str, keep_default_na=False, skip_blank_lines=False, index_col=False
            )
    except pd.errors.EmptyDataError:
        raise UsageError(f"{source}: the file is empty; it must have {needed}") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise UsageError(f"{source}: {_malformed(text, str(error))}") from None
    _require_whole_rows(source, text)
    # A blank line lacks cells, whatever keep_default_na says.
    cells = frame.fillna("").apply(lambda column: column.str.strip())
    rows = np.flatnonzero((cells != "").any(axis=1).to_numpy())
    columns = {name: cells[name].iloc[rows].tolist() for name in cells.columns}
    return Table(source, text, columns, (rows + 1).tolist())


def _require_whole_rows(source: str, text: str) -> None:
    """Raise UsageError for a row that ends early: where a file was cut short, half a price looks like a price."""
    records = _records(text)
    _, names = next(records, (1, []))
    for line, cells in records:
        if len(cells) < len(names) and any(cell.strip() for cell in cells):
            raise UsageError(
                f"{source}: row {line} has {len(cells)} cells, the header has {len(names)}; is the file cut short?"
            )


def header(table: Table) -> list[str]:
    """Return the names of the columns as they stand in the file."""
    return next(_records(table.text), (1, []))[1]


def require_columns(table: Table, names: Sequence[str]) -> None:
    """Raise UsageError where the table lacks one of the columns, or has it twice: nobody can tell which is meant."""
    found = header(table)
    for name in names:
        if found.count(name) > 1:
            raise UsageError(f"{table.source}: row 1: the column {name!r} stands there twice")
        if name not in table.columns:
            raise UsageError(f"{table.source}: row 1: no column {name!r}{did_you_mean(name, table.columns)}")


def not_a_date(cell: str) -> str | None:
    """Say what is wrong with the cell of a date; None when it is one."""
    return None if is_date(cell) else f"{_shown(cell)} is not a date, YYYY-MM-DD"


def not_a_price(cell: str) -> str | None:
    """Say what is wrong with the cell of a price; None when it is a number above 0."""
    if not _NUMBER.fullmatch(cell) or not math.isfinite(float(cell)):
        return f"{_shown(cell)} is not a number"
    return None if float(cell) > 0 else f"the price {_shown(cell)} is not above 0"


def number(cell: str) -> float:
    """Return the number in a cell, NaN where there is none."""
    return float(cell) if _NUMBER.fullmatch(cell) else math.nan


def in_order(dates: Sequence[str], same: Callable[[int, int], bool]) -> tuple[list[int], dict[str, int]]:
    """Return which rows to keep, in the order of their dates, and facts: what was repaired.

    Of rows with the same date the first is kept; `same` is asked whether a later one says the same, and raises where
    that is an error. Out of order is a row with an earlier date than the row before it.
    """
    kept: list[int] = []
    for row in sorted(range(len(dates)), key=lambda row: dates[row]):
        if not (kept and dates[kept[-1]] == dates[row] and same(kept[-1], row)):
            kept.append(row)
    return kept, {
        "duplicate_rows_dropped": len(dates) - len(kept),
        "rows_out_of_order": sum(later < earlier for earlier, later in itertools.pairwise(dates)),
    }


def facts_of_dates(dates: Sequence[str]) -> dict[str, Any]:
    """Return facts of ascending dates: how many, from when to when, gaps of more than LONG_GAP days and the longest."""
    days = [datetime.date.fromisoformat(date) for date in dates]
    gaps = [(later - earlier).days for earlier, later in itertools.pairwise(days)]
    longest = max(range(len(gaps)), key=gaps.__getitem__, default=None)
    return {
        "rows": len(dates),
        "first_date": dates[0] if dates else None,
        "last_date": dates[-1] if dates else None,
        f"gaps_over_{LONG_GAP}_days": sum(gap > LONG_GAP for gap in gaps),
        "longest_gap": None if longest is None else f"{gaps[longest]} days, {dates[longest]} to {dates[longest + 1]}",
    }


def invented_walk(seed: int, days: int, drift: float = 0.0005, sd: float = 0.01) -> Float64:
    """Return the prices of an invented random walk [days], for examples; drift and sd are of the daily log return."""
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(drift, sd, days)))


def _unpack(source: str, content: bytes) -> bytes:
    if not content.startswith(_GZIP):
        return content
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = file.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{source}: it is packed with gzip, but cannot be unpacked: {error}") from None
    if len(unpacked) > LARGEST:
        raise UsageError(f"{source}: it has more than {LARGEST} bytes unpacked, the most that is read")
    return unpacked


def _decode(source: str, content: bytes) -> str:
    beginning = content[:200].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if beginning.startswith((b"<!doctype", b"<html")):
        raise UsageError(f"{source}: this is a web page, not a CSV file")
    try:
        return content.decode("utf-8-sig")
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
    _, names = next(records, (1, []))
    for line, cells in records:
        if len(cells) > len(names):
            return f"row {line} has {len(cells)} cells, the header has {len(names)}"
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
