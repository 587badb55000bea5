"""Counts of injected faults, kept line by line, so that a run that is cut off has told what it knows."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Fault:
    """One fault, or ``injected`` of one kind: how many were survived, the rest is lost.

    ``place`` is where it was injected (a kind of file, a parser), ``seconds`` what the trial took, ``note`` free text,
    ``test`` which test injected it into the code of which ``commit``.
    """

    kind: str
    place: str
    injected: int
    survived: int
    seconds: float
    note: str = ""
    test: str = ""
    commit: str = ""


@dataclass
class Tally:
    """Appends every fault to a file of JSON lines and prints a line of progress."""

    file: Path
    test: str = ""
    commit: str = ""
    total: int = 0
    lost: int = 0
    began: float = 0.0

    def start(self) -> None:
        """Begin to measure the next trial."""
        self.began = time.monotonic()

    def add(self, kind: str, place: str, survived: bool | int, injected: int = 1, note: str = "") -> None:
        """Count a fault, or several of one kind; ``survived`` says whether, or how many."""
        now = time.monotonic()
        seconds = now - (self.began or now)
        self.began = now
        fault = Fault(kind, place, injected, int(survived), round(seconds, 1), note, self.test, self.commit)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(fault)) + "\n")
        self.total += injected
        self.lost += injected - int(survived)
        state = "survived" if int(survived) == injected else "LOST"
        count = f" {int(survived)} of {injected}" if injected > 1 else ""
        print(f"{self.total:6} {kind}, {place}: {state}{count} in {seconds:.1f} s {note}".rstrip(), flush=True)


def read(file: Path) -> list[Fault]:
    """The faults of a file, none where it is missing."""
    lines: Sequence[str] = file.read_text(encoding="utf-8").splitlines() if file.is_file() else ()
    return [Fault(**json.loads(line)) for line in lines]
