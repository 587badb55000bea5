"""A process that cannot look: Python's audit hooks refuse what lies below some folders.

It seals what goes through Python: files, folders, SQLite databases. It is no prison for code that means harm, which
could start another program.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_OF_PLACES = {
    "open": (0,),
    "os.listdir": (0,),
    "os.scandir": (0,),
    "os.mkdir": (0,),
    "os.remove": (0,),
    "os.rmdir": (0,),
    "os.truncate": (0,),
    "os.rename": (0, 1),
    "os.link": (0, 1),
    "os.symlink": (0, 1),
    "os.chmod": (0,),
    "os.chdir": (0,),
    "os.utime": (0,),
    "sqlite3.connect": (0,),
}
"""The audit events that name places, and where in their arguments. The os functions raise one before they act."""


def seal(closed: Iterable[Path], left_open: Iterable[Path] = ()) -> None:
    """Refuse, in this process and for good, to open, list or change anything at or below the closed places.

    What is below ``left_open`` may be used. A place that is refused raises PermissionError. Links are followed first.
    """
    shut = tuple(os.path.realpath(place) for place in closed)
    free = tuple(os.path.realpath(place) for place in left_open)
    above = {str(parent) for place in shut for parent in Path(place).parents}

    def check(event: str, arguments: tuple[Any, ...]) -> None:
        for position in _OF_PLACES.get(event, ()):
            place = _place(arguments[position])
            if place is None:
                continue
            # A folder above, held open, would lead past this check: os.open(name, dir_fd=...) is told by name alone.
            refused = _is_below(place, shut) and not _is_below(place, free)
            if refused or (event == "open" and place in above):
                raise PermissionError(f"{place}: sealed, so that what is stored there cannot be read")

    sys.addaudithook(check)


def _place(argument: Any) -> str | None:
    """The real path of an argument; None where it is a file that is open already or nothing on a disk."""
    if argument is None or isinstance(argument, int):
        return None
    text = os.fsdecode(argument)
    if text.startswith("file:"):  # SQLite's form of an address
        text = text.removeprefix("file:").partition("?")[0]
    return None if text == ":memory:" else os.path.realpath(text)


def _is_below(place: str, folders: tuple[str, ...]) -> bool:
    return any(place == folder or place.startswith(f"{folder.rstrip(os.sep)}{os.sep}") for folder in folders)
