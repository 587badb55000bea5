"""Who trains a run: a tag of runs that are RUNNING, from which one sees that nobody trains it any more."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from functools import cache
from pathlib import Path

import psutil

PROCESS = "notafluke.process"
"""The tag. It is taken off when a run ends."""
MACHINE = ("/etc/machine-id", "/proc/sys/kernel/random/boot_id")
"""What tells machines of the same name apart; the second one changes with each start of the machine."""
NUMBERS = "/proc/self/ns/pid"
TOLERANCE = 5.0
"""Seconds by which the start of the same process may differ: it is computed from the clock, which is set at times."""


@cache
def host() -> str:
    """This machine, without its name: where its processes have numbers of their own (a container is another one)."""
    name = next((found for path in MACHINE if (found := _identifier(path))), "") or socket.gethostname()
    try:
        numbers = str(Path(NUMBERS).readlink())
    except OSError:
        numbers = ""
    return hashlib.sha256(f"{name} {numbers}".encode()).hexdigest()[:12]


def _identifier(path: str) -> str:
    """What identifies the machine in a file; empty where there is none."""
    try:
        found = Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
    return found if re.fullmatch(r"[0-9a-f-]{32,36}", found) else ""


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
