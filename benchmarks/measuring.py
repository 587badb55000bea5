"""What the benchmarks of ``docs/performance.md`` share: interleaved timing, ratios with their targets, the machine."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pages import BENCHMARKS, markdown_table, write_section

PAGE = BENCHMARKS.parent / "docs" / "performance.md"
STORED = BENCHMARKS / "results" / "performance"


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of some repetitions."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of values."""
        return cls(statistics.median(values), min(values), max(values))

    def shown(self, digits: int = 1) -> str:
        """``median (low-high)``."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


@dataclass(frozen=True)
class Ratio:
    """A measured ratio beside what it was to be.

    ``target`` is the least that it should be, or the most where ``at_most``; None where nothing was aimed at. With
    ``guarded`` the regression guard compares it; one that hangs on the machine's other work should not be.
    """

    name: str
    value: Spread
    target: float | None = None
    at_most: bool = False
    guarded: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the target."""
        if self.target is None:
            return None
        return self.value.median <= self.target if self.at_most else self.value.median >= self.target

    def row(self) -> list[str]:
        """A row of the table of ratios."""
        target = "-" if self.target is None else f"{'at most' if self.at_most else 'at least'} {self.target:g}"
        return [self.name, self.value.shown(2), target, {None: "-", True: "met", False: "missed"}[self.met]]


def interleaved(ways: Mapping[str, Callable[[], float]], repetitions: int) -> dict[str, list[float]]:
    """What every way returns, one repetition of all after another, so that a change of the machine meets all alike."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repetitions):
        for name, way in ways.items():
            found[name].append(way())
    return found


def quotients(above: Sequence[float], below: Sequence[float]) -> Spread:
    """The spread of the ratio, repetition by repetition."""
    return Spread.of([a / b for a, b in zip(above, below, strict=True)])


def store(part: str, ratios: Sequence[Ratio], details: Mapping[str, Any], text: str) -> None:
    """Keep a part's ratios and details, and write its section of the page: the ratios first, then ``text``."""
    STORED.mkdir(parents=True, exist_ok=True)
    content = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "ratios": [asdict(own) for own in ratios],
        "details": details,
    }
    (STORED / f"{part}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    header = {"ratio": ":--", "median (lowest-highest)": "--:", "target": "--:", "": ":--"}
    table = markdown_table(header, [own.row() for own in ratios])
    write_section(PAGE, part, f"{table}\n\n{text}")


def machine() -> str:
    """Processor, cores, memory and versions, in words."""
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    versions = f"Python {platform.python_version()}, PyTorch {torch.__version__}"
    return f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {device}; {platform.system()}, {versions}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


MEASURED = ("Snakefile", "benchmarks", "conf", "src", "workflow", ":!benchmarks/results")
"""What decides a measurement; its own results and page do not."""


def commit() -> str:
    """The commit that was measured, ``+`` where files that matter differ from it."""

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *arguments], cwd=BENCHMARKS.parent, capture_output=True, text=True)

    changed = git("diff", "--quiet", "HEAD", "--", *MEASURED).returncode
    return git("rev-parse", "--short", "HEAD").stdout.strip() + "+" * changed
