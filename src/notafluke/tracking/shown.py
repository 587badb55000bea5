"""Which experiment shows which run: ``results/experiments.jsonl``, one line for each.

It is known without MLflow, so that MLflow can be made anew, and without the present code, as the keys of older runs
cannot be computed any more.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from notafluke.checksums import is_whole, with_checksum

SHOWN = "experiments.jsonl"
SINGLE_RUNS = "single runs"
"""The experiment of runs that are trained without a study."""
TAIL = 200
"""Bytes by which one sees that a file has only grown."""
Shown = dict[str, dict[str, str]]
"""Folders (relative to ``results``) by run key, by experiment."""
log = logging.getLogger(__name__)


@dataclass
class Read:
    """What has been read of a file: its runs, up to which byte, the last bytes before that, and damaged lines."""

    runs: Shown = field(default_factory=dict)
    end: int = 0
    tail: bytes = b""
    damaged: int = 0


_read: dict[str, Read] = {}


def remember_runs(results: Path, experiment: str, runs: Mapping[str, Path]) -> None:
    """Note that an experiment shows these runs: their folders (below ``results``) by run key; each is noted once.

    To be called when a run is recorded. A failure (disk full) is told and stops nothing: ``notafluke track sync``
    notes the runs of a study again.
    """
    known = _known_runs(results).get(experiment, {})
    lines = [
        json.dumps(
            with_checksum({"experiment": experiment, "run_key": key, "folder": below(results, folder)}),
            ensure_ascii=False,
        )
        for key, folder in runs.items()
        if known.get(key) != below(results, folder)
    ]
    try:
        append_lines(results / SHOWN, lines)
    except OSError as error:
        log.warning("%s: cannot be written (%s); notafluke track sync notes it later", SHOWN, error.strerror)


def append_lines(path: Path, lines: list[str]) -> None:
    """Append lines, each with one write: of several processes none tears the line of another.

    A last line that was cut off is ended first.
    """
    if not lines:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        for line in lines:
            content = ("\n" * torn + line + "\n").encode()
            if os.write(handle, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            torn = False
        os.fsync(handle)
    finally:
        os.close(handle)


def remembered_runs(results: Path) -> Shown:
    """Folders (relative to ``results``) by run key, by experiment; lines that are damaged are left out."""
    return _read_all(results / SHOWN).runs


def damaged_lines(results: Path) -> int:
    """How many lines cannot be used."""
    return _read_all(results / SHOWN).damaged


def _read_all(path: Path) -> Read:
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return Read()
    found = Read()
    _take(lines, found)
    return found


def _known_runs(results: Path) -> Shown:
    """The same as ``remembered_runs``, for a process that asks often: only what has been added since is read."""
    path = results / SHOWN
    own = _read.setdefault(str(path.resolve()), Read())
    try:
        with path.open("rb") as file:
            file.seek(max(0, own.end - TAIL))
            if file.read(min(TAIL, own.end)) != own.tail:
                own = _read[str(path.resolve())] = Read()
                file.seek(0)
            added = file.read()
    except OSError:
        _read.pop(str(path.resolve()), None)
        return {}
    # A last line without its end is another process's that writes it now, or was cut off.
    whole = added[: added.rfind(b"\n") + 1]
    _take(whole.splitlines(), own)
    own.end += len(whole)
    own.tail = (own.tail + whole)[-TAIL:]
    return own.runs


def _take(lines: Iterable[bytes], read: Read) -> None:
    """Take over the runs of some lines, and count those that are damaged."""
    for line in lines:
        try:
            own = json.loads(line)
            good = is_whole(own)
            experiment, key, folder = own["experiment"], own["run_key"], own["folder"]
        except (ValueError, KeyError, TypeError):
            read.damaged += bool(line.strip())
            continue
        if good and all(isinstance(text, str) and text for text in (experiment, key, folder)) and is_run_folder(folder):
            read.runs.setdefault(experiment, {})[key] = folder
        else:
            read.damaged += 1


def below(results: Path, folder: Path) -> str:
    """A run's folder relative to the results folder."""
    return folder.resolve().relative_to(results.resolve()).as_posix()


def is_run_folder(folder: str) -> bool:
    """Whether it is ``runs/<task>/<cell>/seed=<n>``: a file that was edited must not lead elsewhere."""
    parts = Path(folder).parts
    return len(parts) == 4 and parts[0] == "runs" and ".." not in parts
