"""The event service of the USGS: a catalogue month by month, frozen in the lock file."""

from __future__ import annotations

import datetime
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from notafluke.clock import utc_now, written_at
from notafluke.downloads import Patience, download
from notafluke.errors import UsageError
from notafluke.files import write_atomic
from notafluke.tasks.online import Part, freeze, read_parts
from notafluke.tasks.usgs_csv import SERVICE_LIMIT, USGS_COLUMNS, Catalogue, read_into

SERVICE = "https://earthquake.usgs.gov/fdsnws/event/1/query"


@dataclass(frozen=True)
class Request:
    """What is asked of the service, in months.

    first, last: ISO dates, both included; minimum: the smallest magnitude; service: the address that is asked.
    """

    first: str
    last: str
    minimum: float
    service: str = SERVICE

    @property
    def entry(self) -> str:
        """The name of its entry in the lock file: months of several periods share it."""
        return f"usgs minmagnitude={self.minimum:g}"

    @property
    def months(self) -> tuple[str, ...]:
        """Names of its parts, "1973-01-01--1973-02-01": the first date, and the one after the last."""
        begin, end = datetime.date.fromisoformat(self.first), datetime.date.fromisoformat(self.last)
        end += datetime.timedelta(days=1)
        names = []
        while begin < end:
            stop = min(_next_month(begin), end)
            names.append(f"{begin.isoformat()}--{stop.isoformat()}")
            begin = stop
        return tuple(names)

    def address(self, month: str) -> str:
        """The address of a part; the service counts both ends in, so an event at midnight comes twice."""
        begin, stop = month.split("--")
        query = {"format": "csv", "starttime": begin, "endtime": stop, "minmagnitude": f"{self.minimum:g}"}
        return f"{self.service}?{urlencode(query)}"

    def file(self, raw: Path, month: str) -> Path:
        """Where a part is kept."""
        return raw / "usgs" / f"minmagnitude={self.minimum:g}" / f"{month}.csv"


def fetch_months(request: Request, raw: Path, lock: Path, patience: Patience, command: str) -> Iterator[str]:
    """Download the months that are missing, then freeze all of them; yield lines of progress.

    ``command`` is what one types to go on after an error. Raises UsageError.
    """
    today = datetime.datetime.now(datetime.UTC).date()
    if request.last >= today.isoformat():
        raise UsageError(f"task.test_end={request.last}: the catalogue is whole only up to yesterday, {today} is today")
    frozen = read_parts(lock, request.entry)
    parts: dict[str, Part] = {}
    for number, month in enumerate(request.months, start=1):
        file = request.file(raw, month)
        try:
            part = _kept(file)
            how = "there already"
            if part is None:
                part = _download(request, month, file, patience)
                how = "downloaded"
        except UsageError as error:
            raise UsageError(
                f"{error}; {number - 1} of {len(request.months)} months are there; go on with: {command}"
            ) from error
        if (before := frozen.get(month)) is not None and before.sha256 == part.sha256:
            part = before
        elif before is not None:
            how += f", changed since it was frozen on {before.retrieved}"
        parts[month] = part
        yield f"{number} of {len(request.months)}: {month}: {part.rows:,} events, {how}"
    freeze(lock, request.entry, parts)
    events = sum(part.rows for part in parts.values())
    yield f"frozen in {lock}: {len(parts)} months, {events:,} events; commit this file"


def frozen_months(request: Request, lock: Path, command: str) -> dict[str, Part]:
    """Return what the lock file says of the months. Raises UsageError, with the command, where it lacks one."""
    parts = read_parts(lock, request.entry)
    missing = [month for month in request.months if month not in parts]
    if missing:
        what = "nothing" if len(missing) == len(request.months) else f"no month {missing[0]}"
        raise UsageError(f"task.source=usgs: {what} of it is frozen in {lock}; run: {command}")
    return parts


def read_months(request: Request, raw: Path, parts: dict[str, Part], patience: Patience, command: str) -> Catalogue:
    """Return the events of frozen months; a missing or damaged file is downloaded again.

    Raises UsageError where the service then gives other rows than were frozen.
    """
    catalogue = Catalogue()
    for month in request.months:
        file = request.file(raw, month)
        content = file.read_bytes() if file.is_file() else b""
        if not _is(content, parts[month]):
            content = _content(request, month, patience)
            if not _is(content, parts[month]):
                raise UsageError(
                    f"{request.address(month)}: the catalogue was revised since it was frozen on "
                    f"{parts[month].retrieved}; to train on what it says now, run: {command}"
                )
            _write(file, content)
        _read(catalogue, content, str(file))
    return catalogue


def _is(content: bytes, part: Part) -> bool:
    return hashlib.sha256(content).hexdigest() == part.sha256


def _kept(file: Path) -> Part | None:
    """Describe a month that is there; None where it is not, or is no whole answer."""
    if not file.is_file():
        return None
    content = file.read_bytes()
    if content and _fault(content):
        return None
    try:
        rows = _rows(content, str(file))
    except UsageError:
        return None
    return Part.of(content, rows, written_at(file))


def _download(request: Request, month: str, file: Path, patience: Patience) -> Part:
    content = _content(request, month, patience)
    rows = _rows(content, request.address(month))
    _write(file, content)
    return Part.of(content, rows, utc_now())


def _content(request: Request, month: str, patience: Patience) -> bytes:
    return download(request.address(month), patience, _fault)


def _write(file: Path, content: bytes) -> None:
    try:
        write_atomic(file, content)
    except OSError as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror}") from None


def _fault(content: bytes) -> str | None:
    """What is wrong with an answer that another try may mend."""
    if content.lstrip().startswith(b"<"):
        return "the server answers with an HTML page, not with CSV"
    if not content.startswith(b"time,"):
        return f"the server answers {content[:60].decode('utf-8', 'replace')!r}, not with the header of a catalogue"
    if not content.endswith(b"\n"):
        return "the last line is cut"
    return None


def _rows(content: bytes, name: str) -> int:
    """The number of rows. Raises UsageError for what cannot be read, or is as much as the service gives at most."""
    catalogue = Catalogue()
    _read(catalogue, content, name)
    if catalogue.rows >= SERVICE_LIMIT:
        raise UsageError(
            f"{name}: {catalogue.rows:,} rows, the most that the USGS service gives at once, so events are missing; "
            "choose a larger task.minimum_magnitude"
        )
    return catalogue.rows


def _read(catalogue: Catalogue, content: bytes, name: str) -> None:
    """Read an answer; an empty one stands for a month without events."""
    if content:
        read_into(catalogue, io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline=""), name, USGS_COLUMNS)


def _next_month(date: datetime.date) -> datetime.date:
    return (date.replace(day=1) + datetime.timedelta(days=31)).replace(day=1)
