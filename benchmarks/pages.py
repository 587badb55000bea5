"""Shares with their intervals, and the marked sections of ``docs/calibration.md``."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from pathlib import Path

from scipy.stats import binomtest

BENCHMARKS = Path(__file__).resolve().parent
PAGE = BENCHMARKS.parent / "docs" / "calibration.md"
RESULTS = BENCHMARKS / "results"
CACHE = BENCHMARKS / ".cache"


def share_columns(count: int, repetitions: int, level: float | None = None) -> dict[str, float]:
    """Return the share, its 95 % Wilson interval and, with ``level``, z and exact one-sided p of share > level."""
    interval = binomtest(count, repetitions).proportion_ci(0.95, method="wilson")
    columns = {"share": count / repetitions, "low": float(interval.low), "high": float(interval.high)}
    if level is not None:
        error = math.sqrt(level * (1 - level) / repetitions)
        p_above = binomtest(count, repetitions, level, alternative="greater").pvalue
        columns |= {"z": (count / repetitions - level) / error, "p_above": float(p_above)}
    return columns


def markdown_table(header: Mapping[str, str], rows: list[list[str]]) -> str:
    """Return a Markdown table; ``header`` maps titles to ``:--`` or ``--:``."""
    lines = [f"| {' | '.join(header)} |", f"| {' | '.join(header.values())} |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def write_section(page: Path, name: str, text: str) -> None:
    """Put ``text``, its paragraphs wrapped, between the page's markers of this name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    content = page.read_text(encoding="utf-8")
    if content.count(begin) != 1 or content.count(end) != 1:
        raise SystemExit(f"{page}: the markers {begin} and {end} must stand in it once")
    head, _, rest = content.partition(begin)
    tail = rest.partition(end)[2]
    page.write_text(f"{head}{begin}\n{_wrapped(text)}\n{end}{tail}", encoding="utf-8")


def _wrapped(text: str) -> str:
    lines = []
    for line in text.strip().splitlines():
        short = line.startswith("|") or not line
        lines += [line] if short else textwrap.wrap(line, 120, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)


def percent(value: float) -> str:
    """Return a share in per cent."""
    return f"{100 * value:.2f}" if 0 < value < 0.1 else f"{100 * value:.1f}"
