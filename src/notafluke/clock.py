"""Times as records and files name them: UTC in ISO 8601, to the second."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path


def utc_now() -> str:
    """The present moment."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def written_at(path: Path) -> str:
    """When a file was written."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
