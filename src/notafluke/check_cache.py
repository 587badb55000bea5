"""What checks found before, kept below ``.snakemake/``: new seeds or claims need not have their cells tried again."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from notafluke.checksums import is_whole, with_checksum
from notafluke.files import write_atomic

MOST = 20_000
"""So many findings are kept; the oldest go first."""


class CheckCache:
    """Findings by the digest of all that they depend on. A check that raised has left none.

    A file that is missing or damaged is an empty cache; without ``path`` nothing is read or stored.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._stored = {} if path is None else _read(path)
        self._known = dict(self._stored)

    @property
    def known(self) -> dict[str, Any]:
        """All findings by digest."""
        return dict(self._known)

    def findings(self, depends_on: Any, check: Callable[[], Any]) -> Any:
        """What ``check`` returned for the same ``depends_on``, or returns now; both of what JSON can hold.

        Raises what ``check`` raises, and keeps nothing then.
        """
        key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
        if key not in self._known:
            self._known[key] = check()
        return copy.deepcopy(self._known[key])

    def store(self) -> None:
        """Write what was found anew, if anything was. Raises StorageError."""
        if self.path is None or self._known == self._stored:
            return
        kept = dict(list((_read(self.path) | self._known).items())[-MOST:])
        write_atomic(self.path, json.dumps(with_checksum({"findings": kept})))
        self._stored = dict(self._known)


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        return dict(tree["findings"]) if is_whole(tree) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
