"""Invented catalogues in the form of the USGS service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

HEADER = (
    "time,latitude,longitude,depth,mag,magType,nst,gap,dmin,rms,net,id,updated,place,type,horizontalError,depthError,"
    "magError,magNst,status,locationSource,magSource"
)


def row(time: str, latitude: Any = 10, longitude: Any = 20, mag: Any = 5, magtype: str = "mw", **changes: str) -> str:
    """One line of the 22 columns; ``id`` is made of the time unless given."""
    cells = dict.fromkeys(HEADER.split(","), "")
    cells |= {"time": time, "latitude": str(latitude), "longitude": str(longitude), "mag": str(mag), "magType": magtype}
    cells |= {"id": f"xx{''.join(filter(str.isdigit, time))}", "updated": "2016-11-10T21:45:55.530Z"}
    cells |= {"place": '"5km N of Here, There"', "type": "earthquake", "depth": "10"} | changes
    return ",".join(cells.values())


def catalogue(*rows: str) -> str:
    """The text of a file: header and rows."""
    return "\n".join([HEADER, *rows]) + "\n"


def write(path: Path, *rows: str) -> Path:
    """Write a file and return its path."""
    path.write_text(catalogue(*rows), encoding="utf-8")
    return path
