"""The lock that a killed snakemake leaves behind, and who works in this folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from notafluke.errors import UsageError

LOCKS = Path(".snakemake") / "locks"
JOBS = ("train", "train-cells", "prepare", "fetch", "decide")
"""Commands of `notafluke` that write results."""
ESTIMATE = "--estimate"
"""With it `notafluke plan` trains."""
THIS_MACHINE = "only processes of this machine are seen"
"""What is to be known of a folder that several machines share."""
WITH_VALUE = ("-X", "-W", "--check-hash-based-pycs")
"""Options of Python that are followed by their value."""


@dataclass(frozen=True)
class Worker:
    """A process that writes results in this folder: its id and what it is."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})"


def locked() -> bool:
    """Whether snakemake has locked the working folder, now or before it was killed."""
    return any(LOCKS.glob("*.lock"))


def workers() -> list[Worker]:
    """The processes of snakemake and of its jobs whose working folder is this one; this process is left out.

    Only processes of this machine are seen.
    """
    import psutil

    here, own, found = Path.cwd().resolve(), psutil.Process().pid, []
    for process in psutil.process_iter():
        try:
            if process.pid == own or process.status() == psutil.STATUS_ZOMBIE:
                continue
            name = worker_name(process.cmdline())
            if name and Path(process.cwd()).resolve() == here:
                found.append(Worker(process.pid, name))
        except (psutil.Error, OSError):  # it has ended, or is somebody else's
            continue
    return found


def worker_name(arguments: Sequence[str]) -> str:
    """What a command line runs: `snakemake`, or a command of notafluke that writes results; else empty.

    >>> worker_name(["python", "-m", "snakemake", "--cores", "2"])
    'snakemake'
    >>> worker_name(["python3.12", "/x/.venv/bin/notafluke", "train-cells", "demo", "results/runs/x"])
    'notafluke train-cells'
    >>> worker_name(["vim", "snakemake"])
    ''
    """
    words = list(arguments)
    if words and Path(words[0]).name.startswith("python"):
        words = words[1:]
        while words and words[0].startswith("-") and words[0] != "-m":
            if words[0] == "-c":
                return ""
            words = words[2:] if words[0] in WITH_VALUE else words[1:]
        words = words[1:] if words[:1] == ["-m"] else words
    program = Path(words[0]).name if words else ""
    if program in ("snakemake", "notafluke.train"):
        return program
    if program in ("notafluke", "notafluke.cli"):
        command = next((word for word in words[1:] if not word.startswith("-")), "")
        if command in JOBS or (command == "plan" and ESTIMATE in words):
            return f"notafluke {command}"
    return ""


def lock_hint() -> str:
    """One line on the lock of this folder and what to do about it; empty where there is none."""
    if not locked():
        return ""
    if found := workers():
        return f"this folder is locked: {found[0]} works in it; wait until it has ended"
    return (
        "this folder is locked by a snakemake that was killed; nothing recorded is lost. "
        "Run `make unlock` (or `notafluke unlock`), then the same command again: it goes on where it stopped "
        f"({THIS_MACHINE})"
    )


def refuse_while_working(what: str) -> None:
    """Raise UsageError while a process of this machine writes results in this folder."""
    if found := workers():
        raise UsageError(f"{what}: not while {found[0]} works in this folder; wait until it has ended, or stop it")


def unlock() -> bool:
    """Remove the lock with `snakemake --unlock`; whether there was one. Raises UsageError while somebody works here."""
    refuse_while_working("unlock")
    if not locked():
        return False
    # The lock is the folder's: without the Snakefile it takes no plan, which may be what is broken.
    command = [sys.executable, "-m", "snakemake", "--unlock", "--snakefile", os.devnull, "--workflow-profile", "none"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or locked():
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UsageError(f"snakemake --unlock failed: {last}; the lock is the folder {LOCKS}, which can be removed")
    return True
