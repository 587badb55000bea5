"""Probability of improvement: how often a treatment beats the control on the same seed, over all tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator

from notafluke.claims import records
from notafluke.report.drawing import (
    LINE,
    MARGIN,
    NORMAL,
    SMALL,
    WIDTH,
    Key,
    Page,
    arm_lines,
    plural,
    text_width,
    verdict_look,
    wrap,
)
from notafluke.report.figures import RC
from notafluke.report.panels import left_out_note
from notafluke.report.style import INK, NEUTRAL, VERDICT_STYLES
from notafluke.study import BASELINE_PREFIX, CONTROL

MOST = 40
_LEFT_MOST, _RIGHT_MOST, _GUTTER = 2.3, 1.9, 0.14
_ROW_PADDING, _ABOVE, _BELOW, _NOTE = 0.13, 0.24, 0.46, 0.22
_LINES = {0.5: (0, ()), 0.75: (0, (4, 2))}
_PLAIN: dict[str, Any] = {"marker": "o", "markersize": 6.5, "color": INK}
NO_TASK = "no task with both arms"
_CAPTION = (
    "Each mark is the probability that the treatment beats the control on the same task and seed, ties counted half, "
    "with its 95 % bootstrap interval. Lines: 0.5, no difference; 0.75 (dashed), three seeds of four are better."
)


def improvement_probabilities(overall: pd.DataFrame, title: str = "") -> Figure:
    """Return a row for each treatment of ``overall`` (table T2); a row without a probability says why.

    Improvement is to the right. At most ``MOST`` rows are drawn, as they come.
    """
    rows = [_Row.of(index, row) for index, row in enumerate(records(overall))]
    shown = rows[:MOST]
    note = left_out_note(len(rows) - len(shown), "treatment")
    with matplotlib.rc_context(RC):
        found = {row.verdict for row in shown if math.isfinite(row.middle)}
        keys = [Key(name, verdict_look(style)) for name, style in VERDICT_STYLES.items() if name in found]
        if not shown:
            page, top = Page.headed(title, _CAPTION, (), 0.5)
            page.text(MARGIN, top + 0.1, "no treatment to compare", size=NORMAL, color=NEUTRAL, style="italic")
            return page.figure
        body = sum(row.height for row in shown)
        page, top = Page.headed(title, _CAPTION, keys, _ABOVE + body + _BELOW + (_NOTE if note else 0.0))
        _draw(page, shown, top, body)
        if note:
            page.text(MARGIN, top + _ABOVE + body + _BELOW + 0.06, note, color=NEUTRAL, style="italic")
        return page.figure


@dataclass(frozen=True)
class _Row:
    """One treatment: its numbers, its name at the left and its texts at the right."""

    index: int
    middle: float
    low: float
    high: float
    verdict: str
    why: str
    left: tuple[str, ...]
    right: tuple[str, ...]

    @classmethod
    def of(cls, index: int, values: Mapping[str, Any]) -> _Row:
        """Gather a row's numbers and wrap its texts."""
        middle, low, high = (_float(values.get(f"p_improvement{end}")) for end in ("", "_low", "_high"))
        tasks, control = _float(values.get("tasks")), str(values["control"])
        left = arm_lines(str(values["treatment"]), _LEFT_MOST)
        if control != CONTROL:
            left += wrap(f"against {control.replace(BASELINE_PREFIX, 'baseline ')}", _LEFT_MOST)
        number = plural(int(tasks), "task") if math.isfinite(tasks) else ""
        verdict, reason = (_text(values.get(name)) for name in ("verdict", "reason"))
        right, why = [], ""
        if math.isfinite(middle):
            interval = f" [{low:.2f}, {high:.2f}]" if math.isfinite(low) and math.isfinite(high) else ", no interval"
            right = [f"{middle:.2f}{interval}", ", ".join(filter(None, [verdict, number]))]
        else:
            why = f"no recorded pair in {number}" if tasks > 0 else reason or NO_TASK
        texts = [line for text in right for line in wrap(text, _RIGHT_MOST) if line]
        return cls(index, middle, low, high, verdict, why, tuple(left), tuple(texts))

    @property
    def height(self) -> float:
        """Return the height of the row in inches."""
        return max(len(self.left), len(self.right)) * LINE + _ROW_PADDING

    @property
    def look(self) -> dict[str, Any]:
        """Return the marker of the verdict, a dot where there is none."""
        return verdict_look(VERDICT_STYLES[self.verdict]) if self.verdict in VERDICT_STYLES else _PLAIN


def _float(value: Any) -> float:
    return math.nan if value is None or pd.isna(value) else float(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _draw(page: Page, rows: Sequence[_Row], top: float, body: float) -> None:
    left = MARGIN + max([0.8, *(text_width(line) for row in rows for line in row.left)]) + _GUTTER
    widest = max([0.9, *(text_width(line, SMALL, "bold") for row in rows for line in row.right)])
    right = WIDTH - MARGIN - widest - _GUTTER
    page.text(left, top + 0.12, "← control better", color=NEUTRAL)
    page.text(right, top + 0.12, "treatment better →", color=NEUTRAL, ha="right")
    axes = page.axes(left, top + _ABOVE, right - left, body)
    _dress(axes, body)
    offset = 0.0
    for row in rows:
        middle = offset + row.height / 2
        _draw_row(axes, row, middle)
        if row.why:
            (line,) = wrap(row.why, right - left - 0.1, most=1)
            page.text(left, top + _ABOVE + middle, line, color=NEUTRAL, style="italic")
        for x, lines in ((MARGIN, row.left), (right + _GUTTER, row.right)):
            for place, line in enumerate(lines):
                y = top + _ABOVE + middle + (place - (len(lines) - 1) / 2) * LINE
                bold = x > left and place == 0
                quiet = (x > left and place > 0) or line.startswith("against ")
                page.text(x, y, line, weight="bold" if bold else "normal", color=NEUTRAL if quiet else INK)
        offset += row.height


def _dress(axes: Axes, body: float) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(body, 0)
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.spines["bottom"].set_color(NEUTRAL)
    axes.spines["bottom"].set_linewidth(0.8)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    axes.xaxis.set_major_formatter(FixedFormatter(["0", "0.25", "0.5", "0.75", "1"]))
    axes.tick_params(axis="x", labelsize=SMALL, colors=INK, length=3, width=0.8, pad=2)
    axes.set_xlabel("probability of improvement, higher is better", fontsize=SMALL, color=INK, labelpad=2)


def _draw_row(axes: Axes, row: _Row, y: float) -> None:
    """Draw point and interval, named ``arm-<row>`` and ``interval-<row>`` in the SVG."""
    if not math.isfinite(row.middle):
        return
    axes.axhline(y, color="#dddddd", linewidth=0.5, zorder=0)
    ends = [y - row.height / 2, y + row.height / 2]
    for place, dashes in _LINES.items():
        colour = INK if place == 0.5 else NEUTRAL
        axes.plot([place] * 2, ends, color=colour, linewidth=0.8, linestyle=dashes, clip_on=False, zorder=1)
    colour = VERDICT_STYLES[row.verdict].colour if row.verdict in VERDICT_STYLES else INK
    if math.isfinite(row.low) and math.isfinite(row.high):
        axes.plot([row.low, row.high], [y, y], color=colour, linewidth=1.6, zorder=3, gid=f"interval-{row.index}")
        for end in (row.low, row.high):
            axes.plot([end, end], [y - 0.035, y + 0.035], color=colour, linewidth=1.2, zorder=3, clip_on=False)
    axes.plot([row.middle], [y], linestyle="none", zorder=5, clip_on=False, gid=f"arm-{row.index}", **row.look)
