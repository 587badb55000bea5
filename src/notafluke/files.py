"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from notafluke.errors import StorageError

TEMPORARY = ".tmp"
"""The end of the name of a file that is not whole yet; a killed process leaves it."""


def write_atomic(path: Path, content: str | bytes) -> Path:
    """Write ``content`` (text as UTF-8 with ``\\n``) to a temporary file beside ``path``, then rename it.

    After a loss of power too there is the whole file or the one before. Raises StorageError where it cannot be stored.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        _write(path, data)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be stored: {error.strerror or error}; what is stored is not lost"
        ) from error
    return path


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    synchronise_folder(path.parent)


def synchronise_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk; only then a rename outlasts a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
