"""Small multiples: sections of panels in a grid, each with lines of text above it; every length is in inches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from notafluke.report.drawing import (
    LINE,
    MARGIN,
    NORMAL,
    WIDTH,
    Key,
    Page,
    Scale,
    arm_lines,
    fill,
    plain,
    plural,
    text_width,
    verdict_look,
    wrap,
)
from notafluke.report.style import INK, NEUTRAL, VERDICT_STYLES

_HEADING = 0.3
_NOTE = 0.18
_ROW_GAP = 0.16
_SECTION_GAP = 0.16
_COLUMN_GAP = 0.2
_LABEL = 0.16
_INDENT = 0.17
NOTHING = "no finished run"


@dataclass(frozen=True)
class Text:
    """A line above a panel, with the mark in front of it: a marker, or a line of ``length`` inches."""

    text: str
    weight: str = "normal"
    color: str = INK
    style: str = "normal"
    mark: Mapping[str, Any] = field(default_factory=dict)
    length: float = 0.0


@dataclass(frozen=True)
class Panel:
    """One small picture: the lines above it for a given width, its scale, and what draws into its axes."""

    head: Callable[[float], list[Text]]
    scale: Scale
    own: bool
    draw: Callable[[Axes], None]


@dataclass(frozen=True)
class Section:
    """The panels of one task and metric; ``ylabel`` are the lines beside the first panel of each row."""

    name: str
    detail: str
    ylabel: tuple[str, ...]
    xlabel: str
    panels: tuple[Panel, ...]
    note: str = ""

    def labelled(self, number: int, columns: int) -> bool:
        """Whether a panel has numbers at its scale: at the left edge, with a scale of its own, or beside such a one."""
        return number % columns == 0 or self.panels[number].own or self.panels[number - 1].own


@dataclass(frozen=True)
class Grid:
    """How all sections of a figure are laid out: the sizes of axes and of what is around them."""

    columns: int
    height: float
    foot: float
    first: float
    other: float

    @property
    def width(self) -> float:
        """Width of a panel's axes."""
        return (WIDTH - 2 * MARGIN - self.first - (self.columns - 1) * self.other) / self.columns

    def left(self, column: int) -> float:
        """Where the axes of a column begin."""
        return MARGIN + self.first + column * (self.width + self.other)

    def rows(self, section: Section) -> Iterator[tuple[int, list[Panel], list[list[Text]], float]]:
        """Yield each row's first number, panels, lines above them, and height."""
        label = 0.17 if section.xlabel else 0.0
        for start in range(0, len(section.panels), self.columns):
            row = list(section.panels[start : start + self.columns])
            spare = [self.other - 0.14] * (self.columns - 1) + [0.0]
            heads = [panel.head(self.width + more) for panel, more in zip(row, spare, strict=False)]
            lines = max(len(head) for head in heads)
            last = label if start + self.columns >= len(section.panels) else 0.0
            yield start, row, heads, lines * LINE + 0.05 + self.height + self.foot + last


def columns_for(counts: Sequence[int]) -> int:
    """Return how many columns suit the sections' numbers of panels: four where that saves rows, else three.

    >>> columns_for([1, 3]), columns_for([4]), columns_for([5, 6]), columns_for([20])
    (3, 4, 3, 4)
    """
    rows = {columns: sum(-(-count // columns) for count in counts) for columns in (3, 4)}
    return 4 if rows[4] < rows[3] else 3


def small_multiples(
    title: str, caption: str, keys: Sequence[Key], sections: Sequence[Section], columns: int, height: float, foot: float
) -> Figure:
    """Return the figure of all sections, one below the other."""
    labels = max([0, *(len(section.ylabel) for section in sections)]) * _LABEL
    first = max([0.0, *(panel.scale.width for section in sections for panel in section.panels)]) + labels + 0.08
    inner = [
        panel.scale.width
        for section in sections
        for number, panel in enumerate(section.panels)
        if number % columns and section.labelled(number, columns)
    ]
    grid = Grid(columns, height, foot, first, max([0.0, *inner]) + _COLUMN_GAP)
    body = sum(_height(section, grid) + _SECTION_GAP for section in sections) if sections else 0.5
    page, top = Page.headed(title, caption, keys, body)
    if not sections:
        page.text(MARGIN, top + 0.1, NOTHING, size=NORMAL, color=NEUTRAL, style="italic")
    for section in sections:
        _draw_section(page, section, grid, top)
        top += _height(section, grid) + _SECTION_GAP
    return page.figure


def verdict_lines(verdict: str, width: float) -> list[Text]:
    """Return a verdict in bold, its marker in front where it has one."""
    style = VERDICT_STYLES.get(verdict.split(" (")[0])
    indent = _INDENT if style else 0.0
    lines = wrap(verdict, (width - indent) / 1.12, most=2)
    looks = [verdict_look(style) | {"markersize": 5.5, "markeredgewidth": 1.1} if style else {}] + [{}] * len(lines)
    return [Text(line, "bold", mark=look) for line, look in zip(lines, looks, strict=False)]


def neutral_lines(parts: Sequence[str], width: float) -> list[Text]:
    """Return the parts, joined by commas, in lines of the panel's width."""
    return [Text(line, color=NEUTRAL) for line in fill(parts, width)]


def name_lines(name: str, width: float) -> list[Text]:
    """Return an arm's name in lines of the panel's width."""
    return [Text(line) for line in arm_lines(name, width)]


def left_out_note(count: int, noun: str) -> str:
    """Say how many are not drawn, and by which rule; empty for none."""
    if not count:
        return ""
    return f"{plural(count, f'more {noun}')} left out here, chosen by the order of the study and not by result."


def _height(section: Section, grid: Grid) -> float:
    rows = [height for *_, height in grid.rows(section)]
    return _HEADING + sum(rows) + _ROW_GAP * (len(rows) - 1) + (_NOTE if section.note else 0.0)


def _draw_section(page: Page, section: Section, grid: Grid, top: float) -> None:
    page.text(MARGIN, top + 0.1, section.name, size=NORMAL, weight="bold")
    page.text(MARGIN + text_width(section.name, NORMAL, "bold") + 0.1, top + 0.1, section.detail, color=NEUTRAL)
    top += _HEADING
    for start, row, heads, height in grid.rows(section):
        lines = max(len(head) for head in heads)
        middle = top + lines * LINE + 0.05
        for column, (panel, head) in enumerate(zip(row, heads, strict=True)):
            left = grid.left(column)
            for place, text in enumerate(head):
                _write(page, left, top + (lines - len(head) + place + 0.5) * LINE, text)
            axes = page.axes(left, middle, grid.width, grid.height)
            plain(axes)
            panel.scale.dress(axes, labels=section.labelled(start + column, grid.columns))
            panel.draw(axes)
            if section.xlabel and start + column + grid.columns >= len(section.panels):
                x = left + grid.width / 2
                page.text(x, middle + grid.height + grid.foot + 0.06, section.xlabel, ha="center")
        for place, label in enumerate(section.ylabel):
            x = MARGIN + (place + 0.5) * _LABEL
            look: dict[str, Any] = {
                "rotation": 90,
                "ha": "center",
                "va": "center",
                "color": INK if place == 0 else NEUTRAL,
            }
            page.text(x, middle + grid.height / 2, wrap(label, grid.height + 0.5, most=1)[0], **look)
        top += height + _ROW_GAP
    if section.note:
        page.text(MARGIN, top - _ROW_GAP + 0.12, section.note, color=NEUTRAL, style="italic")


def _write(page: Page, x: float, y: float, text: Text) -> None:
    """Write one line above a panel."""
    indent = 0.0
    if text.mark:
        ends = [x, x + text.length] if text.length else [x + 0.05]
        page.line(ends, [y] * len(ends), **text.mark)
        indent = max(_INDENT, text.length + 0.06)
    page.text(x + indent, y, text.text, weight=text.weight, color=text.color, style=text.style)
