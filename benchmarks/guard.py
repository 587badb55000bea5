"""Regression guard: ``python benchmarks/guard.py`` measures the quick parts and compares their ratios with the stored.

A ratio that is to be large may fall to 0.7 of the stored one, one that is to be small may rise to 1.4 of it; seconds,
which hang on the machine, are not compared. Each part is a module beside this one with ``quick_ratios() ->
list[Ratio]``. The stored ones are those of ``benchmarks/results/performance/*.json``; where the standard measurement
is of other sizes, it has stored its quick ratios too, in ``details`` as ``quick``. The exit code is 1 after a
regression, 2 where nothing could be compared.

Example: python benchmarks/guard.py --parts startup seeds
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from measuring import STORED, Ratio

PARTS = ("startup", "seeds", "limit", "peers")
LEAST, MOST = 0.7, 1.4


@dataclass(frozen=True)
class Comparison:
    """A ratio that was measured now beside the stored one; None where none of its name is stored."""

    name: str
    measured: float
    stored: float | None
    at_most: bool

    @property
    def bound(self) -> float | None:
        """What it may fall or rise to."""
        return None if self.stored is None else self.stored * (MOST if self.at_most else LEAST)

    @property
    def regressed(self) -> bool:
        """Whether it lies beyond its bound."""
        if self.bound is None:
            return False
        return self.measured > self.bound if self.at_most else self.measured < self.bound

    def row(self) -> str:
        """A line of the table."""
        if self.bound is None:
            return f"{self.name:<72} {self.measured:>8.2f} {'-':>8} {'-':>14}  nothing stored"
        bound = f"{'at most' if self.at_most else 'at least'} {self.bound:.2f}"
        verdict = "REGRESSION" if self.regressed else "ok"
        return f"{self.name:<72} {self.measured:>8.2f} {self.stored:>8.2f} {bound:>14}  {verdict}"


HEADER = f"{'ratio':<72} {'now':>8} {'stored':>8} {'may be':>14}"


def stored_ratios(folder: Path = STORED) -> dict[str, float]:
    """The medians by name; of a ratio that was measured in a quick and in a standard size the quick one."""
    standard: dict[str, float] = {}
    quick: dict[str, float] = {}
    for file in sorted(folder.glob("*.json")):
        tree = json.loads(file.read_text(encoding="utf-8"))
        standard |= {own["name"]: own["value"]["median"] for own in tree["ratios"]}
        quick |= {own["name"]: own["value"]["median"] for own in tree["details"].get("quick", ())}
    return standard | quick


def compare(measured: Sequence[Ratio], stored: Mapping[str, float]) -> list[Comparison]:
    """Each ratio that is guarded beside the stored one."""
    return [
        Comparison(own.name, own.value.median, stored.get(own.name), own.at_most) for own in measured if own.guarded
    ]


def exit_code(found: Sequence[Comparison]) -> int:
    """1 after a regression, 2 where nothing could be compared, else 0."""
    if all(own.stored is None for own in found):
        return 2
    return int(any(own.regressed for own in found))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    given = parser.parse_args(arguments)
    begun, stored = time.monotonic(), stored_ratios()
    found: list[Comparison] = []
    for part in given.parts:
        print(f"{time.monotonic() - begun:6.1f} s  {part}", flush=True)
        found += compare(importlib.import_module(part).quick_ratios(), stored)
    print("\n".join(["", HEADER, *(own.row() for own in found)]))
    regressions = sum(own.regressed for own in found)
    compared = sum(own.stored is not None for own in found)
    print(f"\n{compared} ratios compared, {regressions} regressions, {time.monotonic() - begun:.0f} s")
    return exit_code(found)


if __name__ == "__main__":
    sys.exit(main())
