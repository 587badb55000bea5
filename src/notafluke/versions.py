"""Versions of installed packages: to read one costs a millisecond, and plans of many cells ask again and again."""

from __future__ import annotations

import importlib.metadata
from functools import cache


@cache
def version(package: str) -> str:
    """The version of an installed package. Raises PackageNotFoundError."""
    return importlib.metadata.version(package)
