"""Runs that crashed or ran out of time, made ready to be trained again: what they were is kept beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from notafluke.checksums import is_whole, with_checksum
from notafluke.clock import utc_now
from notafluke.errors import StorageError, UsageError, did_you_mean
from notafluke.files import synchronise_folder, write_atomic
from notafluke.plan import Plan
from notafluke.records import METRICS, finite, read_record
from notafluke.status import CONTENT, DAMAGED, FAILED, RunState, planned_runs

FAILURES = "failures.jsonl"
"""The file in a run's folder with a line for each record that was taken away to train the run again."""
OF_FILE = "metrics_sha256"
"""The key of a line that says of which file it is: the SHA-256 of the ``metrics.json`` that was taken away."""
RETRIED = (*FAILED, DAMAGED)


def outcomes_of(text: str) -> tuple[str, ...]:
    """The outcomes of ``crashed,timeout``; all that can be retried where it is empty. Raises UsageError."""
    chosen = tuple(own.strip() for own in text.split(",")) if text.strip() else RETRIED
    for outcome in chosen:
        if outcome in CONTENT:
            raise UsageError(f"--outcome {outcome}: such a run is a result, which is never taken back for another try")
        if outcome not in RETRIED:
            raise UsageError(f"--outcome {outcome}: unknown outcome{did_you_mean(outcome, RETRIED)}")
    return chosen


def retry(plan: Plan, outcomes: Sequence[str]) -> list[RunState]:
    """Take away the records of a study's runs of these outcomes, so that they are missing; returns what they were.

    A line in ``failures.jsonl`` of the run keeps what the record said. Raises StorageError where it cannot be kept.
    """
    found = [run for run in planned_runs(plan) if run.state in outcomes]
    for run in found:
        folder = Path(run.folder)
        _keep(folder, run)
        try:
            (folder / METRICS).unlink(missing_ok=True)
            synchronise_folder(folder)
        except OSError as error:
            raise StorageError(f"{folder / METRICS}: cannot be removed: {error.strerror or error}") from error
    return found


def _keep(folder: Path, run: RunState) -> None:
    """Add the line, unless an attempt that was cut off has added it already: of the very same file."""
    record, file = read_record(folder), folder / FAILURES
    try:
        of_file = hashlib.sha256((folder / METRICS).read_bytes()).hexdigest()
        before = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    except OSError as error:
        raise StorageError(f"{folder}: cannot be read: {error.strerror or error}") from error
    lines = before.splitlines()
    if lines and _read_line(lines[-1]).get(OF_FILE) == of_file:
        return
    said = {"outcome": run.state, "reason": run.reason, OF_FILE: of_file}
    content = {"retried": utc_now(), **({} if record is None else finite(asdict(record))), **said}
    write_atomic(file, "".join(f"{line}\n" for line in [*lines, json.dumps(with_checksum(content))]))


def _read_line(text: str) -> dict[str, Any]:
    """What a line says; nothing where it is damaged. It stays as it is then: nothing rests on it."""
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) and is_whole(content) else {}
