"""Data of a web service, which may change there: frozen by `notafluke fetch` into a lock file that one commits.

The lock file has an entry for each source and set of its options, and in it, for each part (a month, say), ``sha256``,
``size`` in bytes, ``rows`` and when it was ``retrieved``. A run key rests on the digests, so that it never depends on
what the service says today.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from notafluke.errors import UsageError
from notafluke.files import write_atomic
from notafluke.tasks.dataset import Dataset

_HEADER = "# What online sources were frozen to by `notafluke fetch`. Commit this file; do not edit it by hand.\n"


@dataclass(frozen=True)
class OnlineDataset(Dataset):
    """A dataset with a source that must be fetched and frozen before anything is planned."""

    @property
    @abstractmethod
    def online(self) -> bool:
        """Whether the chosen source is one of a web service."""

    @abstractmethod
    def fetch(self, raw: Path, lock: Path) -> Iterator[str]:
        """Download what is missing into the folder ``raw``, then freeze all of it in the lock file.

        Yields lines of progress. What is whole stays where a fetch is interrupted, and the next one goes on from there.
        Raises UsageError.
        """


@dataclass(frozen=True)
class Part:
    """What the lock file says of one part of a source."""

    sha256: str
    size: int
    rows: int
    retrieved: str

    @staticmethod
    def of(content: bytes, rows: int, retrieved: str) -> Part:
        """Describe a content, retrieved at an ISO time."""
        return Part(hashlib.sha256(content).hexdigest(), len(content), rows, retrieved)


def read_parts(lock: Path, entry: str) -> dict[str, Part]:
    """Return the parts of an entry by name; none where the file or the entry is missing.

    Raises UsageError where the file is not what `freeze` writes.
    """
    content = _read(lock).get(entry, {})
    try:
        return {str(name): Part(**own) for name, own in content.items()}
    except (AttributeError, TypeError):
        raise UsageError(
            f"{lock}: {entry}: not as `notafluke fetch` writes it; fetch again without this entry"
        ) from None


def freeze(lock: Path, entry: str, parts: Mapping[str, Part]) -> None:
    """Write the parts into an entry of the lock file, beside those and the entries that are there."""
    content = _read(lock)
    content[entry] = dict(
        sorted({**content.get(entry, {}), **{name: vars(own) for name, own in parts.items()}}.items())
    )
    write_atomic(lock, _HEADER + yaml.safe_dump(dict(sorted(content.items())), sort_keys=False))


def digest_of(parts: Mapping[str, Part], names: Sequence[str]) -> str:
    """SHA-256 over the names and digests of some parts; when they were retrieved does not matter."""
    return hashlib.sha256(json.dumps([[name, parts[name].sha256] for name in names]).encode()).hexdigest()


def _read(lock: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(lock.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{lock}: cannot be read: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"{lock}: expected a mapping of sources, found {type(content).__name__}")
    return content
