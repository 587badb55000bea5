"""A checksum within a file's own content, so that damage of the file is noticed when it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

CHECKSUM = "checksum"
"""The key of the SHA-256 over all others."""


def with_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """``content``, of what JSON can hold, with its checksum."""
    return {**content, CHECKSUM: _checksum(content)}


def is_whole(content: Mapping[str, Any]) -> bool:
    """Whether ``content`` carries a checksum, and it is that of the rest."""
    try:
        return CHECKSUM in content and content[CHECKSUM] == _checksum(without_checksum(content))
    except TypeError:
        # Keys of several types have no order; YAML has them, JSON does not.
        return False


def without_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """``content`` without its checksum."""
    return {key: value for key, value in content.items() if key != CHECKSUM}


def _checksum(content: Mapping[str, Any]) -> str:
    # A damaged file may hold what JSON has not, such as a date of YAML.
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=repr).encode()).hexdigest()
