"""Who trains a run: a tag of runs that are RUNNING, from which one sees that nobody trains it any more."""

from __future__ import annotations

import hashlib
import os
import socket

import psutil

PROCESS = "notafluke.process"
"""The tag. It is taken off when a run ends."""
TOLERANCE = 5.0
"""Seconds by which the start of the same process may differ: it is computed from the clock, which is set at times."""


def host() -> str:
    """This machine, without its name."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12]


def own_process() -> str:
    """This process: ``<host>/<pid>/<start in seconds since the epoch>``."""
    return f"{host()}/{os.getpid()}/{psutil.Process().create_time():.2f}"


def is_alive(process: str) -> bool | None:
    """Whether a process runs; None where it is of another host or unknown."""
    try:
        where, number, start = process.split("/")
        pid, began = int(number), float(start)
    except ValueError:
        return None
    if where != host():
        return None
    try:
        found = psutil.Process(pid)
        return bool(abs(found.create_time() - began) < TOLERANCE and found.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return None
