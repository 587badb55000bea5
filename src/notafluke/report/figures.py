"""The forest plot: every seed, every comparison, one look. Numbers in, matplotlib figures out; no pyplot."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from notafluke.claims import paired_scores, records
from notafluke.files import write_atomic
from notafluke.pairing import Floats, Pairs
from notafluke.report.drawing import (
    LINE,
    MARGIN,
    NORMAL,
    OUTER_FENCE,
    SMALL,
    WIDTH,
    Key,
    Page,
    fill,
    text_width,
    van_der_corput,
    verdict_look,
    wrap,
)
from notafluke.report.numbers import interval_text, number
from notafluke.report.style import BAND, INK, NEUTRAL, VERDICT_STYLES, VerdictStyle
from notafluke.sentences import failures_in_words, few_words
from notafluke.study import BASELINE_PREFIX, CONTROL

_GUTTER = 0.14
_LEFT_MOST, _RIGHT_MOST = 2.0, 2.5
_ROW_PADDING = 0.12
_GROUP = 0.22
_AXIS_BELOW = 0.44
_PANEL_HEAD = 0.40
_PANEL_GAP = 0.10
_BAR_UP, _DOTS_DOWN, _JITTER = 0.075, 0.085, 0.035
_EDGE = 0.1
_WIDEST_ROW = 10.0
_GROUP_NAMES = {"negative_control": "negative control", "exploratory": "exploratory (not declared)"}
RC: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica", "sans-serif"],
    "font.size": SMALL,
    "svg.fonttype": "none",
    "svg.hashsalt": "notafluke",
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
    "path.simplify": False,
}


def forest(
    decisions: pd.DataFrame,
    scores: pd.DataFrame,
    baselines: pd.DataFrame,
    planned: pd.DataFrame,
    title: str = "",
) -> Figure:
    """Return the forest plot of ``decisions`` (from ``claims.decide``, with the same tables).

    A panel for each task and metric, with its own axis in metric units, or in per cent of the control's mean where
    those would be unreadable; improvement is to the right whatever the metric's direction. Declared claims come first,
    then negative controls and undeclared comparisons; positive controls have panels of their own at the end, so that
    their large effects do not set the scale. Each seed is a mark; a seed far outside is drawn as an arrow at the edge
    and named, a failed run as a cross at the side that it counts for.
    """
    pairs = paired_scores(scores, baselines, planned, decisions)
    rows = [_Row.of(index, row, pairs[index]) for index, row in enumerate(records(decisions))]
    with matplotlib.rc_context(RC):
        return _draw([_Panel.of(group) for group in _grouped(rows)], title)


def save(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write ``<name>.svg`` (text as text) and ``<name>.png`` (200 dpi) into ``folder``; same figure, same bytes."""
    vector, raster = svg_bytes(figure), io.BytesIO()
    with matplotlib.rc_context(RC):
        figure.set_dpi(200)
        FigureCanvasAgg(figure).print_png(raster, metadata={"Software": None})
    return write_atomic(folder / f"{name}.svg", vector), write_atomic(folder / f"{name}.png", raster.getvalue())


def svg_bytes(figure: Figure) -> bytes:
    """Return the figure as SVG with its text as text; same figure, same bytes."""
    vector = io.BytesIO()
    with matplotlib.rc_context(RC):
        FigureCanvasSVG(figure).print_svg(vector, metadata={"Date": None, "Creator": None})
    return vector.getvalue()


# --- what is to be drawn -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    """One comparison: its decision, its seeds' differences in metric units (positive = better), its texts."""

    index: int
    values: Mapping[str, Any]
    pairs: Pairs
    improvements: Floats
    left: tuple[str, ...]

    @classmethod
    def of(cls, index: int, values: Mapping[str, Any], pairs: Pairs) -> _Row:
        """Gather a row's numbers and wrap its label."""
        control = str(values["control"])
        lines = wrap(str(values["treatment"]), _LEFT_MOST, SMALL)
        if control != CONTROL:
            lines += wrap(f"against {control.replace(BASELINE_PREFIX, 'baseline ')}", _LEFT_MOST, SMALL)
        return cls(index, values, pairs, pairs.improvements, tuple(lines))

    @property
    def group(self) -> str:
        """Where the row stands in its panel: ``claim``, ``negative_control`` or ``exploratory``."""
        return "claim" if self.values["role"] == "positive_control" else str(self.values["role"])

    @property
    def style(self) -> VerdictStyle:
        """Colour and marker of the verdict."""
        return VERDICT_STYLES[str(self.values["verdict"])]

    def mean_interval(self, scale: float) -> tuple[float, float, float]:
        """Return mean improvement and its interval, divided by ``scale``; NaN where there is none."""
        sign = self.pairs.sign
        ends = sorted(sign * float(self.values[name]) / scale for name in ("delta_low", "delta_high"))
        return sign * float(self.values["delta"]) / scale, ends[0], ends[1]


@dataclass(frozen=True)
class _Panel:
    """The rows of one task and metric, the divisor of each row's numbers and the axis that they share."""

    rows: tuple[_Row, ...]
    scales: tuple[float, ...]
    percent: bool
    low: float
    high: float

    @classmethod
    def of(cls, rows: Sequence[_Row]) -> _Panel:
        """Choose the unit and the range of the axis."""
        ones = tuple(1.0 for _ in rows)
        low, high = _range(rows, ones)
        largest = max(abs(low), abs(high))
        means = tuple(abs(float(row.values["control_mean"])) for row in rows)
        readable = 1e-3 <= largest < 1e5
        if readable or not all(math.isfinite(mean) and mean > 0 for mean in means):
            return cls(tuple(rows), ones, False, low, high)
        scales = tuple(mean / 100 for mean in means)
        return cls(tuple(rows), scales, True, *_range(rows, scales))

    def right(self, position: int) -> tuple[str, ...]:
        """Return the text at the right of a row: verdict, p, failures, what lies beyond the axis."""
        row, scale = self.rows[position], self.scales[position]
        values = row.values
        suffix = f" ({values['verdict_suffix']})" if values["verdict_suffix"] else ""
        lines = [f"{values['verdict']}{suffix}"]
        words = few_words(values)
        details = [*([words] if words else []), *failures_in_words(values), *self._beyond(row, scale)]
        return tuple(lines + fill(details, _RIGHT_MOST, SMALL))

    def _beyond(self, row: _Row, scale: float) -> list[str]:
        """Say in words what of a row lies beyond the axis."""
        mean, low, high = row.mean_interval(scale)
        parts = []
        if math.isfinite(mean) and not self.inside(mean):
            parts.append(f"mean {interval_text(mean, low, high)}")
        seeds = sorted(d / scale for d in row.improvements if np.isfinite(d) and not self.inside(d / scale))
        if seeds:
            shown = ", ".join(number(value) for value in seeds[:2]) + (", ..." if len(seeds) > 2 else "")
            parts.append(f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''} ({shown})")
        return [f"off the axis: {parts[0]}", *parts[1:]] if parts else []

    def inside(self, value: float) -> bool:
        """Whether a value in axis units is on the axis."""
        return self.low <= value <= self.high

    def height(self, position: int) -> float:
        """Return the height of a row in inches."""
        lines = max(2, len(self.rows[position].left), len(self.right(position)))
        return lines * LINE + _ROW_PADDING

    def groups_before(self, position: int) -> str:
        """Return the name of the group that begins with this row, empty within a group and for the claims."""
        group = self.rows[position].group
        begins = position == 0 or self.rows[position - 1].group != group
        return _GROUP_NAMES.get(group, "") if begins else ""

    @property
    def body(self) -> float:
        """Height of all rows and group names in inches."""
        count = range(len(self.rows))
        return sum(self.height(i) + (_GROUP if self.groups_before(i) else 0.0) for i in count)


def _grouped(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Return the rows of each panel: tasks in their order, positive controls in panels of their own at the end."""
    panels: dict[tuple[bool, str, str], list[_Row]] = {}
    for row in rows:
        positive = row.values["role"] == "positive_control"
        panels.setdefault((positive, str(row.values["task"]), str(row.values["metric"])), []).append(row)
    tasks = list(dict.fromkeys(task for positive, task, _ in panels if not positive))
    order = {key: place for place, key in enumerate(panels)}
    keys = sorted(panels, key=lambda key: (key[0], tasks.index(key[1]) if key[1] in tasks else len(tasks), order[key]))
    return [panels[key] for key in keys]


def _range(rows: Sequence[_Row], scales: Sequence[float]) -> tuple[float, float]:
    """Return the ends of the axis: zero, the SESOI, intervals and seeds, except what would hide all the rest.

    A seed beyond the outer fences of its row (three interquartile ranges) does not count, nor does a row that reaches
    more than ten times farther out than the (lower) median row of the declared claims.
    """
    spans = [_span(row, scale) for row, scale in zip(rows, scales, strict=True)]
    known = [(row, span) for row, span in zip(rows, spans, strict=True) if span != (0.0, 0.0)]
    leading = [span for row, span in known if row.group == "claim"] or [span for _, span in known]
    if not leading:
        return -1.0, 1.0
    reach = sorted(max(-low, high) for low, high in leading)
    most = _WIDEST_ROW * reach[(len(reach) - 1) // 2]
    near = [(low, high) for _, (low, high) in known if max(-low, high) <= most]
    low, high = min(low for low, _ in near), max(high for _, high in near)
    sesois = [float(row.values["sesoi"]) / scale for row, scale in zip(rows, scales, strict=True)]
    shown = [1.1 * sesoi for sesoi in sesois if 0 < sesoi <= 3 * max(-low, high)]
    low, high = min([low, *(-sesoi for sesoi in shown)]), max([high, *shown])
    room = 0.07 * (high - low)
    return low - room, high + room


def _span(row: _Row, scale: float) -> tuple[float, float]:
    """Return what a row needs of the axis, zero included and far seeds left out."""
    finite = row.improvements[np.isfinite(row.improvements)] / scale
    if not len(finite):
        return 0.0, 0.0
    first, third = np.quantile(finite, [0.25, 0.75])
    reach = OUTER_FENCE * (third - first)
    near = finite[(finite >= first - reach) & (finite <= third + reach)]
    _, low, high = row.mean_interval(scale)
    ends = [value for value in (low, high) if math.isfinite(value) and len(near) == len(finite)]
    return min(0.0, *near, *ends), max(0.0, *near, *ends)


# --- drawing -----------------------------------------------------------------------------------------------------


def _draw(panels: Sequence[_Panel], title: str) -> Figure:
    """Stack title, key and panels from the top; every length is in inches."""
    left = max([0.8, *(text_width(line) for panel in panels for row in panel.rows for line in row.left)])
    texts = [line for panel in panels for i in range(len(panel.rows)) for line in panel.right(i)]
    right = max([0.9, *(text_width(line, SMALL, "bold") for line in texts)])
    verdicts = [name for name in VERDICT_STYLES if any(row.values["verdict"] == name for p in panels for row in p.rows)]
    caption = (
        "Each dot is one seed, treatment paired with control, better to the right; the bar is the mean with its 95 % t "
        "interval; the band is the smallest effect size of interest; crosses are failed runs, hollow arrows seeds off "
        "the axis."
    )
    key = [Key(name, verdict_look(VERDICT_STYLES[name])) for name in verdicts]
    body = sum(_PANEL_HEAD + panel.body + _AXIS_BELOW for panel in panels) + _PANEL_GAP * len(panels)
    page, top = Page.headed(title, caption, key, body)
    for panel in panels:
        _draw_panel(page, panel, top, MARGIN + left + _GUTTER, WIDTH - MARGIN - right - _GUTTER)
        top += _PANEL_HEAD + panel.body + _AXIS_BELOW + _PANEL_GAP
    return page.figure


def _draw_panel(page: Page, panel: _Panel, top: float, left: float, right: float) -> None:
    """Draw one task's rows, heading and axis."""
    values = panel.rows[0].values
    positive = values["role"] == "positive_control"
    name = f"{values['task']} (positive control)" if positive else str(values["task"])
    page.text(MARGIN, top + 0.1, name, size=NORMAL, weight="bold")
    direction = f", {values['direction']} is better" if values["direction"] else ""
    page.text(
        MARGIN + text_width(name, NORMAL, "bold") + 0.1, top + 0.1, f"{values['metric']}{direction}", color=NEUTRAL
    )
    page.text(left, top + 0.3, "← worse", color=NEUTRAL)
    page.text(right, top + 0.3, "better →", color=NEUTRAL, ha="right")
    axes = page.axes(left, top + _PANEL_HEAD, right - left, panel.body)
    axes.set_ylim(panel.body, 0)
    axes.set_xlim(panel.low, panel.high)
    _dress(axes, panel)
    offset = 0.0
    for position in range(len(panel.rows)):
        group = panel.groups_before(position)
        if group:
            if position:
                axes.axhline(offset, color="#bbbbbb", linewidth=0.6)
            page.text(MARGIN, top + _PANEL_HEAD + offset + 0.13, group, color=NEUTRAL, style="italic")
            offset += _GROUP
        height = panel.height(position)
        middle = offset + height / 2
        _draw_row(axes, panel, position, middle, height)
        _draw_texts(page, panel, position, top + _PANEL_HEAD + middle, right + _GUTTER)
        offset += height


def _dress(axes: Axes, panel: _Panel) -> None:
    """Give the axes their line of zero, ticks and label, and nothing else."""
    values = panel.rows[0].values
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(NEUTRAL)
    axes.spines["bottom"].set_linewidth(0.8)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, min_n_ticks=3, steps=[1, 2, 2.5, 5, 10]))
    axes.tick_params(axis="x", labelsize=SMALL, colors=INK, length=3, width=0.8, pad=2)
    axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
    unit = "% of the control" if panel.percent else str(values["unit"]) if values["unit"] != values["metric"] else ""
    metric = f"{values['metric']} [{unit}]" if unit else str(values["metric"])
    label = f"improvement in {metric}" if values["metric"] else "improvement"
    axes.set_xlabel(label, fontsize=SMALL, color=INK, labelpad=2, parse_math=False)


def _draw_row(axes: Axes, panel: _Panel, position: int, middle: float, height: float) -> None:
    """Draw a row's band, interval, mean and seeds around ``middle``."""
    row, scale = panel.rows[position], panel.scales[position]
    sesoi = float(row.values["sesoi"]) / scale
    if sesoi > 0:
        low, high = max(-sesoi, panel.low), min(sesoi, panel.high)
        box = (low, middle - height / 2)
        axes.add_patch(Rectangle(box, high - low, height, facecolor=BAND, alpha=0.18, linewidth=0, zorder=0))
        for edge in (-sesoi, sesoi):
            if panel.inside(edge):
                ends = [middle - height / 2, middle + height / 2]
                axes.plot([edge, edge], ends, color="#3a86b0", linewidth=0.6, linestyle=(0, (1, 2)), zorder=1)
    _draw_interval(axes, panel, row, scale, middle - _BAR_UP)
    _draw_seeds(axes, panel, row, scale, middle + _DOTS_DOWN)


def _draw_interval(axes: Axes, panel: _Panel, row: _Row, scale: float, y: float) -> None:
    """Draw mean and interval, an arrow head where they leave the axis."""
    mean, low, high = row.mean_interval(scale)
    colour = row.style.colour
    if not math.isfinite(mean):
        return
    if math.isfinite(low) and high >= panel.low and low <= panel.high:
        axes.plot([max(low, panel.low), min(high, panel.high)], [y, y], color=colour, linewidth=1.6, zorder=3)
        for end in (low, high):
            if panel.inside(end):
                axes.plot([end, end], [y - 0.035, y + 0.035], color=colour, linewidth=1.2, zorder=3)
    leaves = [(panel.low, "<", min(mean, low) < panel.low), (panel.high, ">", max(mean, high) > panel.high)]
    for edge, marker, beyond in leaves:
        if beyond:
            axes.plot([edge], [y], marker=marker, color=colour, markersize=6, linestyle="none", clip_on=False, zorder=4)
    if panel.inside(mean):
        axes.plot([mean], [y], linestyle="none", zorder=5, **verdict_look(row.style))


def _draw_seeds(axes: Axes, panel: _Panel, row: _Row, scale: float, y: float) -> None:
    """Draw one mark for each recorded pair, named ``seed-<row>-<seed>`` in the SVG.

    Marks that belong beyond an edge queue up at it, so that they can be counted.
    """
    width = panel.high - panel.low
    beyond = int(np.sum((row.improvements < panel.low * scale) | (row.improvements > panel.high * scale)))
    step = min(0.02, _EDGE / max(1, beyond))
    queue = {-1: 0, 1: 0}
    for place, (seed, improvement) in enumerate(zip(row.pairs.seeds, row.improvements, strict=True)):
        value = float(improvement) / scale
        height = y + _JITTER * (2 * van_der_corput(place + 1) - 1)
        failed = not row.pairs.finished[place]
        x = value
        if not panel.inside(value):
            side = -1 if value < 0 else 1
            inset = width * (0.015 + step * queue[side])
            queue[side] += 1
            x = panel.low + inset if side < 0 else panel.high - inset
        if failed:
            look: dict[str, Any] = {"marker": "x", "markersize": 4.5, "markeredgewidth": 1.1, "color": INK}
        elif not panel.inside(value):
            arrow = "<" if value < 0 else ">"
            look = {"marker": arrow, "markersize": 4.5, "markerfacecolor": "white", "markeredgecolor": INK}
        else:
            look = {"marker": "o", "markersize": 3.4, "color": "#444444", "alpha": 0.55, "markeredgewidth": 0}
        axes.plot([x], [height], linestyle="none", zorder=2, gid=f"seed-{row.index}-{seed}", **look)


def _draw_texts(page: Page, panel: _Panel, position: int, middle: float, right: float) -> None:
    """Write a row's label at the left and its verdict at the right."""
    row = panel.rows[position]
    lines = panel.right(position)
    for place, line in enumerate(row.left):
        y = middle + (place - (len(row.left) - 1) / 2) * LINE
        page.text(MARGIN, y, line, color=INK if not line.startswith("against ") else NEUTRAL)
    for place, line in enumerate(lines):
        y = middle + (place - (len(lines) - 1) / 2) * LINE
        page.text(right, y, line, weight="bold" if place == 0 else "normal", color=INK if place == 0 else NEUTRAL)
