"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from notafluke.errors import StorageError

TEMPORARY = ".tmp"
"""The end of the name of a file that is not whole yet; a killed process leaves it."""


def write_atomic(path: Path, content: str | bytes) -> Path:
    """Write ``content`` (text as UTF-8 with ``\\n``) to a temporary file beside ``path``, then rename it.

    After a loss of power too there is the whole file or the one before. Raises StorageError where it cannot be stored.
    """
    write_together({path: content.encode("utf-8") if isinstance(content, str) else content})
    return path


def write_together(contents: Mapping[Path, bytes], outdated: Sequence[Path] = ()) -> None:
    """Write several files: all to temporary files first, so that a full disk costs none of those that are there.

    Then what is outdated is removed, and each file renamed, in this order. Raises StorageError.
    """
    temporary: dict[Path, Path] = {}
    path = next(iter(contents))
    try:
        for path, content in contents.items():
            make_folder(path.parent)
            temporary[path] = _write_beside(path, content)
        for path in outdated:
            path.unlink(missing_ok=True)
        for path in contents:
            temporary[path].replace(path)
            del temporary[path]
        for folder in {path.parent for path in contents}:
            synchronise_folder(folder)
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(f"{path}: cannot be stored: {reason}; what is stored is not lost") from error
    finally:
        for left in temporary.values():
            left.unlink(missing_ok=True)


def _write_beside(path: Path, content: bytes) -> Path:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing; their names are on the disk then."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    synchronise_folder(folder.parent)


def remove(path: Path) -> None:
    """Remove a file, if there is one. Raises StorageError where it cannot be removed."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: cannot be removed: {error.strerror or error}") from error


def synchronise_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk; only then a rename outlasts a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some file systems of networks know no such thing.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
