"""Earthquake catalogues as CSV files: the columns of the USGS service, or the same under other names."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TextIO

from notafluke.errors import UsageError, did_you_mean

SERVICE_LIMIT = 20_000
"""The most events that the USGS service gives in one answer."""
MAGNITUDES = (-2.0, 10.0)
EARTHQUAKE = "earthquake"

USGS_COLUMNS: Mapping[str, str] = {
    "id": "id",
    "time": "time",
    "latitude": "latitude",
    "longitude": "longitude",
    "magnitude": "mag",
    "magnitude_type": "magType",
    "kind": "type",
    "updated": "updated",
}
"""The columns of the USGS service by what they are to us; the last two may be missing."""
_OPTIONAL = ("kind", "updated")

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?(Z|\+00:00)", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MILLISECOND = datetime.timedelta(milliseconds=1)


class Event(NamedTuple):
    """One row of a catalogue.

    time: milliseconds since 1970-01-01, UTC; latitude, longitude: degrees; magnitude: None where it is blank, of the
    type magnitude_type ("mb", say; may be blank); kind: "earthquake", "explosion" and so on, or blank; updated: when
    the service last changed it, as ISO text, or blank.
    """

    time: int
    latitude: float
    longitude: float
    magnitude: float | None
    magnitude_type: str
    kind: str
    updated: str


@dataclass
class Catalogue:
    """Events by id, each once, out of several files; rows: how many were read; merged: how many were there again."""

    events: dict[str, Event] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    merged: int = 0

    def add(self, identifier: str, event: Event, place: str) -> None:
        """Add a row; of several with one id the one updated last stays.

        Raises UsageError where neither is the later one and they are not equal. ``place``: file and row.
        """
        self.rows += 1
        known = self.events.get(identifier)
        if known is not None:
            self.merged += 1
            if event.updated <= known.updated:
                if event.updated == known.updated and event != known:
                    raise UsageError(
                        f"{place}: the event {identifier!r} stands with other values in {self.places[identifier]}, and "
                        "column updated does not say which is newer; leave one of them out"
                    )
                return
        self.events[identifier] = event
        self.places[identifier] = place


def read_files(files: Iterable[Path]) -> Catalogue:
    """Return the events of CSV files of the USGS service (.csv or .csv.gz).

    Raises UsageError, naming file, row (line of the file, the first is 1) and column, for what cannot be used.
    """
    catalogue = Catalogue()
    for file in files:
        with _opened(file) as text:
            before = catalogue.rows
            read_into(catalogue, text, str(file), USGS_COLUMNS)
        if catalogue.rows - before == SERVICE_LIMIT:
            raise UsageError(
                f"{file}: {SERVICE_LIMIT:,} rows, the most that the USGS service gives at once, so events are missing; "
                "download shorter periods, or larger magnitudes, as several files into one folder"
            )
    return catalogue


def read_into(catalogue: Catalogue, text: TextIO, name: str, columns: Mapping[str, str]) -> None:
    """Read one CSV text into the catalogue; ``name`` is for messages. Raises UsageError as `read_files` does."""
    try:
        for row, identifier, event in _events(text, name, columns):
            catalogue.add(identifier, event, f"{name}: row {row}")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: not UTF-8 text (byte 0x{error.object[error.start]:02x}); save it as UTF-8") from None
    except (EOFError, zlib.error):
        raise UsageError(f"{name}: the compressed file is cut or damaged; download it again") from None
    except OSError as error:
        raise UsageError(f"{name}: it cannot be read: {error.strerror or error}") from None


def _opened(file: Path) -> TextIO:
    try:
        if file.suffix == ".gz":
            return io.TextIOWrapper(gzip.open(file), encoding="utf-8-sig", newline="")
        return file.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise UsageError(f"{file}: it cannot be read: {error.strerror}") from None


def _events(text: TextIO, name: str, columns: Mapping[str, str]) -> Iterator[tuple[int, str, Event]]:
    """Yield row, id and event of each record; empty lines are passed over."""
    records = _records(text, name)
    _, header = next(records, (1, []))
    place = _places(header, name, columns)
    for row, cells in records:
        if len(cells) != len(header):
            raise UsageError(f"{name}: row {row} has {len(cells)} cells, the header has {len(header)}")
        by_name = {own: cells[index].strip() for own, index in place.items()}
        try:
            yield row, *_event(by_name)
        except _CellError as error:
            raise UsageError(f"{name}: row {row}, column {columns[error.column]}: {error.reason}") from None


def _records(text: TextIO, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the records with the line on which each starts: a quoted cell may hold line breaks."""
    reader = csv.reader(text, strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise UsageError(f"{name}: row {line}: this is not a CSV file: {error}") from None


def _places(header: list[str], name: str, columns: Mapping[str, str]) -> dict[str, int]:
    """Where each of our columns stands. Raises UsageError for what is not the header of a catalogue."""
    names = [cell.strip() for cell in header]
    if not any(names):
        raise UsageError(f"{name}: the file is empty; it must have the columns {', '.join(columns.values())}")
    if names[0].startswith("<"):
        raise UsageError(f"{name}: this is an HTML page, not a CSV file; download the catalogue as CSV")
    for own, column in columns.items():
        if column not in names and own not in _OPTIONAL:
            raise UsageError(f"{name}: row 1: no column {column!r}{did_you_mean(column, names)}")
        if names.count(column) > 1:
            raise UsageError(f"{name}: row 1: the column {column!r} stands there twice")
    return {own: names.index(column) for own, column in columns.items() if column in names}


class _CellError(Exception):
    """A cell that cannot be used: our name of its column, and why."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column
        self.reason = reason


def _event(cells: Mapping[str, str]) -> tuple[str, Event]:
    if not cells["id"]:
        raise _CellError("id", "it is blank")
    magnitude = _number(cells, "magnitude", *MAGNITUDES) if cells["magnitude"] else None
    return cells["id"], Event(
        _milliseconds(cells["time"]),
        _number(cells, "latitude", -90, 90),
        _number(cells, "longitude", -180, 180),
        magnitude,
        cells["magnitude_type"],
        cells.get("kind", ""),
        cells.get("updated", ""),
    )


def _milliseconds(text: str) -> int:
    try:
        if _TIME.fullmatch(text):
            return (datetime.datetime.fromisoformat(text) - _EPOCH) // _MILLISECOND
    except ValueError:
        pass
    raise _CellError("time", f"{_shown(text)} is not a time such as 2014-12-30T21:17:23.920Z")


def _number(cells: Mapping[str, str], column: str, low: float, high: float) -> float:
    text = cells[column]
    if not _NUMBER.fullmatch(text):
        raise _CellError(column, f"{_shown(text)} is not a number")
    value = float(text)
    if not low <= value <= high:
        raise _CellError(column, f"{_shown(text)} is out of range, {low:g} to {high:g}")
    return value


def _shown(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:40] + "...")
