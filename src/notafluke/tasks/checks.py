"""Checks of options and cells that several tasks have."""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Mapping

from notafluke.errors import UsageError

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def is_date(value: object) -> bool:
    """Return whether a value is a text YYYY-MM-DD that is a day of the calendar."""
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return False
    try:
        datetime.date.fromisoformat(value)
    except ValueError:
        return False
    return True


def require_dates(dates: Mapping[str, object]) -> None:
    """Raise UsageError where the options, by name in their order in time, are not dates that ascend."""
    for name, value in dates.items():
        if not is_date(value):
            raise UsageError(f"task.{name}={value!r}: it must be a date, YYYY-MM-DD")
    for earlier, later in itertools.pairwise(dates):
        if str(dates[earlier]) >= str(dates[later]):
            raise UsageError(f"task.{later}={dates[later]}: it must come after task.{earlier}={dates[earlier]}")


def require_source(source: object, valid: str) -> None:
    """Raise UsageError when a source is not text; `valid` says what it may be."""
    if not isinstance(source, str) or not source:
        raise UsageError(f"task.source={source!r}: it must be {valid}")
