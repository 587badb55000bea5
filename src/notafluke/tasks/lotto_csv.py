"""Real lottery draws: a CSV in the layout of the British Columbia Lottery Corporation's public download."""

from __future__ import annotations

import csv
import datetime
import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from notafluke.errors import UsageError, did_you_mean
from notafluke.streams import generator
from notafluke.tasks.checks import is_date
from notafluke.tasks.dataset import Dataset, Prepared, file_declaration

GENERATED = "generated"
"""The source that is no file: draws from (seed, "data")."""

DRUMS: Mapping[str, tuple[tuple[str, int], ...]] = {
    "LOTTO MAX": (("2009-09-25", 49), ("2019-05-14", 50)),
    "649": (("1982-06-12", 49),),
}
"""Numbers in the drum by product: each rule with the date of its first draw. Rules of the game, British Columbia
Lottery Corporation; the draws of both products to May 2024 agree with them."""

KEYS = ("PRODUCT", "DRAW NUMBER", "SEQUENCE NUMBER", "DRAW DATE")
DRAWN = "NUMBER DRAWN "
FEWEST_DRAWN = 2

_WHOLE = re.compile(r"\d{1,9}", re.ASCII)
_EXAMPLE_DRAWS = 400


@dataclass(frozen=True)
class _Row:
    """One line of the file; the numbers ascending."""

    line: int
    product: str
    draw: int
    sequence: int
    date: str
    numbers: tuple[int, ...]
    drum: int


@dataclass(frozen=True)
class LottoFile(Dataset):
    """The draws of a file, in the order of their draw and sequence numbers.

    numbers: in the drum at every date; None: by the product's rules (DRUMS).

    Arrays, a row for each draw: draw, sequence (0 = main draw, above: MaxMillions of that draw), drum (numbers in it)
    int64 [rows]; date, ISO text [rows]; numbers int64 [rows, drawn], ascending.
    """

    numbers: int | None = None
    name: ClassVar[str] = "lotto"
    embedded: ClassVar[Mapping[str, str]] = {}

    def declaration(self) -> dict[str, str]:
        """Return the SHA-256 of the user's file. Raises UsageError when it is not there."""
        return file_declaration(self.source, {GENERATED: ""})

    def prepare(self, raw: Path) -> Prepared:
        """Read the file. Order, exact duplicates and numbers that do not ascend are repaired and counted.

        Raises UsageError, naming file, row and column, for what cannot be used; see `_read_rows` and `_in_order`.
        """
        read = _read_rows(self.source, self.numbers)
        rows, duplicates = _in_order(self.source, read.rows)
        main = [row for row in rows if row.sequence == 0]
        if not main:
            raise UsageError(f"{self.source}: no main draw: SEQUENCE NUMBER is 0 in none of the {len(rows)} rows")
        draws = {row.draw for row in rows}
        keys = [(row.draw, row.sequence) for row in read.rows]
        facts = {
            "product": rows[0].product,
            "rows": len(read.rows),
            "first_date": rows[0].date,
            "last_date": rows[-1].date,
            "main_draws": len(main),
            "maxmillions_draws": len(rows) - len(main),
            "drawn": len(rows[0].numbers),
            "numbers_in_the_drum": _periods(rows),
            "exact_duplicates_removed": duplicates,
            "rows_out_of_order": sum(later < earlier for earlier, later in itertools.pairwise(keys)),
            "draws_with_numbers_not_ascending": read.unsorted,
            "missing_draw_numbers": max(draws) - min(draws) + 1 - len(draws),
            "draw_numbers_without_main_draw": len(draws) - len(main),
        }
        return Prepared(_arrays(rows), facts)

    def example(self) -> Prepared:
        """Return invented weekly draws of 7 of 49, then of 50 numbers, some of them with two MaxMillions."""
        rng = generator(0, 0, "lotto", "example")
        first = datetime.date(2015, 1, 2)
        rows = []
        for draw in range(1, _EXAMPLE_DRAWS + 1):
            date = (first + datetime.timedelta(weeks=draw - 1)).isoformat()
            drum = self.numbers or (49 if draw <= _EXAMPLE_DRAWS // 2 else 50)
            for sequence in range(3 if draw % 3 == 0 else 1):
                chosen = sorted((rng.permutation(drum)[: min(7, drum - 1)] + 1).tolist())
                rows.append(_Row(0, "EXAMPLE", draw, sequence, date, tuple(chosen), drum))
        return Prepared(_arrays(rows), {"example": True})


def drum_size(product: str, date: str) -> int | None:
    """Return how many numbers the drum of a product has at a date; None where DRUMS does not say."""
    sizes = [numbers for first, numbers in DRUMS.get(product, ()) if first <= date]
    return sizes[-1] if sizes else None


def _arrays(rows: Sequence[_Row]) -> dict[str, Any]:
    return {
        "draw": np.array([row.draw for row in rows], dtype=np.int64),
        "sequence": np.array([row.sequence for row in rows], dtype=np.int64),
        "drum": np.array([row.drum for row in rows], dtype=np.int64),
        "date": np.array([row.date for row in rows], dtype="U10"),
        "numbers": np.array([row.numbers for row in rows], dtype=np.int64),
    }


def _periods(rows: Sequence[_Row]) -> dict[str, str]:
    """Return first and last date of each size of the drum."""
    dates: dict[int, list[str]] = {}
    for row in rows:
        dates.setdefault(row.drum, []).append(row.date)
    return {str(drum): f"{own[0]} to {own[-1]}" for drum, own in dates.items()}


@dataclass(frozen=True)
class _Read:
    """The rows as they stand in the file, and in how many of them the numbers do not ascend."""

    rows: list[_Row]
    unsorted: int


def _read_rows(source: str, numbers: int | None) -> _Read:
    """Read and check each row by itself; empty ones are passed over.

    Raises UsageError for a file that cannot be read, is empty, no UTF-8 text or a web page; for a column that is
    missing; for a row with too few or too many cells, a second product, a draw or sequence number that is not whole, a
    wrong date, a number outside the drum or one that stands there twice.
    """
    records = _records(source)
    line, header = next(records, (1, []))
    header = [name.strip() for name in header]
    if not any(header):
        raise UsageError(f"{source}: the file is empty; it must have the columns {', '.join(KEYS)}, {DRAWN}1, ...")
    places = _places(source, header)
    rows: list[_Row] = []
    unsorted = 0
    for line, record in records:
        cells = [cell.strip() for cell in record]
        if not any(cells):
            continue
        where = f"{source}: row {line}"
        if len(cells) != len(header):
            raise UsageError(f"{where} has {len(cells)} cells, the header has {len(header)}")
        row, ascending = _row(where, line, {name: cells[place] for name, place in places.items()}, numbers)
        if rows and row.product != rows[0].product:
            raise UsageError(
                f"{where}, column PRODUCT: {row.product!r} after {rows[0].product!r}; one file, one product"
            )
        rows.append(row)
        unsorted += not ascending
    if not rows:
        raise UsageError(f"{source}: no draw stands below the header")
    return _Read(rows, unsorted)


def _records(source: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the records of the file with the line on which each ends."""
    try:
        content = Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"task.source={source}: it cannot be read: {error.strerror}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise UsageError(f"{source}: row {line}: byte 0x{byte:02x} is not UTF-8 text; save the file as UTF-8") from None
    if text.lstrip().startswith("<"):
        raise UsageError(f"{source}: this is a web page (HTML), not a CSV file; download the file itself")
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        for record in reader:
            yield reader.line_num, record
    except csv.Error as error:
        raise UsageError(f"{source}: row {reader.line_num}: this is not a CSV file: {error}") from None


def _places(source: str, header: Sequence[str]) -> dict[str, int]:
    """Return the place of each column that is read. Raises UsageError for one that is missing or stands there twice."""
    count = 0
    while f"{DRAWN}{count + 1}" in header:
        count += 1
    wanted = [*KEYS, *(f"{DRAWN}{place}" for place in range(1, max(count, FEWEST_DRAWN) + 1))]
    for name in wanted:
        if name not in header:
            raise UsageError(f"{source}: row 1: no column {name!r}{did_you_mean(name, header)}")
        if header.count(name) > 1:
            raise UsageError(f"{source}: row 1: the column {name!r} stands there twice")
    return {name: header.index(name) for name in wanted}


def _row(where: str, line: int, cells: Mapping[str, str], numbers: int | None) -> tuple[_Row, bool]:
    """Return a row, and whether its numbers ascended. Raises UsageError for the first thing that is wrong."""
    whole = {name: _whole(where, name, cells[name]) for name in cells if name not in ("PRODUCT", "DRAW DATE")}
    product, date = cells["PRODUCT"], cells["DRAW DATE"]
    if not is_date(date):
        raise UsageError(f"{where}, column DRAW DATE: {_shown(date)} is not a date, YYYY-MM-DD")
    drum = numbers if numbers is not None else drum_size(product, date)
    if drum is None:
        raise UsageError(f"{where}, column PRODUCT: {_drum_not_known(product, date)}")
    chosen: dict[int, str] = {}
    for name in [name for name in cells if name.startswith(DRAWN)]:
        number = whole[name]
        if not 1 <= number <= drum:
            raise UsageError(f"{where}, column {name}: {number} is not among the {drum} numbers of the drum at {date}")
        if number in chosen:
            raise UsageError(f"{where}, column {name}: {number} stands there twice, first in {chosen[number]}")
        chosen[number] = name
    if len(chosen) >= drum:
        raise UsageError(f"{where}: all {drum} numbers are drawn; there is nothing to predict")
    ascending = sorted(chosen)
    row = _Row(line, product, whole["DRAW NUMBER"], whole["SEQUENCE NUMBER"], date, tuple(ascending), drum)
    return row, ascending == list(chosen)


def _whole(where: str, column: str, cell: str) -> int:
    if not _WHOLE.fullmatch(cell):
        raise UsageError(f"{where}, column {column}: {_shown(cell)} is not a whole number")
    return int(cell)


def _drum_not_known(product: str, date: str) -> str:
    remedy = "set task.numbers to the numbers in the drum"
    if product in DRUMS:
        return f"{product} has no draw before {DRUMS[product][0][0]}, this one is of {date}; {remedy}"
    return f"the rules of {_shown(product)} are not known ({', '.join(DRUMS)} are); {remedy}"


def _in_order(source: str, read: Sequence[_Row]) -> tuple[list[_Row], int]:
    """Return the rows by draw and sequence number, each once, and how many exact duplicates were removed.

    Raises UsageError for rows that contradict each other: a draw with two sets of numbers or two dates, or dates that
    do not follow the draw numbers.
    """
    kept: dict[tuple[int, int], _Row] = {}
    dates: dict[int, _Row] = {}
    for row in read:
        name = f"draw {row.draw}"
        first = kept.setdefault((row.draw, row.sequence), row)
        same_draw = dates.setdefault(row.draw, row)
        if row.date != same_draw.date:
            raise UsageError(
                f"{source}: rows {same_draw.line} and {row.line}, column DRAW DATE: {name} is of {same_draw.date} and "
                f"of {row.date}"
            )
        if row.numbers != first.numbers:
            raise UsageError(
                f"{source}: rows {first.line} and {row.line}: {name}, sequence {row.sequence}, has two sets of numbers"
            )
    rows = [kept[key] for key in sorted(kept)]
    for earlier, later in itertools.pairwise(rows):
        if later.date < earlier.date:
            raise UsageError(
                f"{source}: rows {earlier.line} and {later.line}, column DRAW DATE: draw {later.draw} of {later.date} "
                f"comes after draw {earlier.draw} of {earlier.date}"
            )
    return rows, len(read) - len(kept)


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= 40 else cell[:40] + "...")
