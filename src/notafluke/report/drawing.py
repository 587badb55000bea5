"""What the figures share: pages addressed in inches, wrapped text, and scales whose labels are known beforehand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullFormatter, NullLocator

from notafluke.pairing import Floats
from notafluke.report.numbers import number, typographic
from notafluke.report.style import INK, NEUTRAL, VerdictStyle

WIDTH = 7.6
MARGIN = 0.12
LINE = 0.15
SMALL, NORMAL, LARGE = 8.0, 9.0, 10.0
OUTER_FENCE = 3.0
FENCED_FROM = 4
DECADES_FOR_LOG = 2.0
CROSS: dict[str, Any] = {
    "marker": "x",
    "markersize": 4.5,
    "markeredgewidth": 1.2,
    "color": INK,
    "linestyle": "none",
}
HOLLOW: dict[str, Any] = {
    "markersize": 5,
    "markerfacecolor": "white",
    "markeredgecolor": INK,
    "linestyle": "none",
}
_SERVICE = {"family": "sans-serif", "color": INK, "parse_math": False}
_ROOM = 0.07
_LARGEST = 1e150
_PLAIN = (1e-3, 1e5)


# --- text --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=10_000)
def text_width(text: str, size: float = SMALL, weight: str = "normal") -> float:
    """Return the width of a line of text in inches, with 2 % for the hinting of raster output."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, _font(size, weight), ismath=False)
    return 1.02 * float(width) / 72


@lru_cache
def _font(size: float, weight: str) -> FontProperties:
    return FontProperties(family="DejaVu Sans", size=size, weight=weight)


def wrap(text: str, width: float, size: float = SMALL, most: int = 3) -> list[str]:
    """Break ``text`` after blanks and ``, = _ - /`` into lines of at most ``width`` inches, with an ellipsis."""
    pieces: list[str] = [""]
    for letter in " ".join(text.split()):
        pieces[-1] += letter
        if letter in " ,=_-/" or text_width(pieces[-1], size) > 0.8 * width:
            pieces.append("")
    lines = [""]
    for piece in pieces:
        if lines[-1] and text_width((lines[-1] + piece).rstrip(), size) > width:
            lines.append("")
        lines[-1] += piece
    lines = [line.strip() for line in lines]
    return lines if len(lines) <= most else [*lines[: most - 1], lines[most - 1].rstrip(" ,=_-/") + "…"]


def fill(parts: Sequence[str], width: float, size: float = SMALL) -> list[str]:
    """Join ``parts`` with commas into lines of at most ``width`` inches."""
    lines: list[str] = []
    for part in parts:
        joined = f"{lines[-1]}, {part}" if lines else part
        if lines and text_width(joined, size) <= width:
            lines[-1] = joined
        else:
            lines += wrap(part, width, size)
    return lines


def arm_lines(name: str, width: float, most: int = 3) -> list[str]:
    """Break an arm's name into lines of at most ``width`` inches, between its changes where that is possible."""
    lines: list[str] = []
    changes = name.split(",")
    for place, change in enumerate(changes):
        part = change + ("," if place + 1 < len(changes) else "")
        if lines and text_width(lines[-1] + part.rstrip()) <= width:
            lines[-1] += part
        else:
            lines += wrap(part, width, most=most)
    lines = [line.strip() for line in lines]
    return lines if len(lines) <= most else [*lines[: most - 1], lines[most - 1].rstrip(" ,=_-/…") + "…"]


def apart(values: Sequence[float], most: int = 6) -> list[str]:
    """Return the numbers as text, with three digits or as many more as tell them apart.

    >>> apart([14.9, 14.93]), apart([0.69769, 0.69816]), apart([1.0, 1.0])
    (['14.90', '14.93'], ['0.6977', '0.6982'], ['1.00', '1.00'])
    """
    different = len({value for value in values if math.isfinite(value)})
    for digits in range(3, most + 1):
        texts = [number(value, digits) for value in values]
        shown = {text for value, text in zip(values, texts, strict=True) if math.isfinite(value)}
        if len(shown) == different:
            break
    return texts


def plural(count: int, noun: str) -> str:
    """Return ``1 seed`` or ``2 seeds``.

    >>> plural(1, "seed"), plural(0, "arm")
    ('1 seed', '0 arms')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


# --- the page ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """An entry of the key: its text and the look of its line (``length`` inches) or of its marker (``length`` 0)."""

    text: str
    look: Mapping[str, Any]
    length: float = 0.0

    @property
    def width(self) -> float:
        """Inches that the entry takes, with the gap behind it."""
        return 0.34 + self.length + text_width(self.text)


@dataclass(frozen=True)
class Page:
    """A figure addressed in inches from its top left corner."""

    figure: Figure
    height: float

    @classmethod
    def headed(cls, title: str, caption: str, keys: Sequence[Key], body: float) -> tuple[Page, float]:
        """Return a page with title, caption and key above ``body`` inches, and where the body begins."""
        text = wrap(caption, WIDTH - 2 * MARGIN, most=9)
        rows = _key_rows(keys)
        heading = wrap(title, WIDTH - 2 * MARGIN, LARGE) if title else []
        head = MARGIN + 0.2 * len(heading) + LINE * len(text) + 0.06 + 0.19 * len(rows) + 0.08
        height = head + body
        page = cls(Figure(figsize=(WIDTH, height), facecolor="white"), height)
        top = MARGIN
        for line in heading:
            page.text(MARGIN, top + 0.1, line, size=LARGE, weight="bold")
            top += 0.2
        for line in text:
            page.text(MARGIN, top + 0.07, line, color=NEUTRAL)
            top += LINE
        top += 0.06
        for row in rows:
            x = MARGIN + 0.06
            for entry in row:
                page.key(x, top + 0.09, entry)
                x += entry.width
            top += 0.19
        return page, top + 0.08

    def text(self, x: float, y: float, text: str, **kwargs: Any) -> None:
        """Write one line, centred on ``y``; minus signs are typographic, dollar signs are plain."""
        options = {"size": SMALL, "va": "center_baseline", **_SERVICE, **kwargs}
        self.figure.text(x / WIDTH, 1 - y / self.height, typographic(text), **options)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Return axes whose top left corner is at (``x``, ``y``)."""
        return self.figure.add_axes((x / WIDTH, 1 - (y + height) / self.height, width / WIDTH, height / self.height))

    def key(self, x: float, y: float, entry: Key) -> None:
        """Draw the entry's line or marker, and its text at the right of it."""
        ends = [x] if not entry.length else [x - 0.06, x - 0.06 + entry.length]
        self.line(ends, [y] * len(ends), **entry.look)
        self.text(x + 0.1 + max(0.0, entry.length - 0.08), y, entry.text)

    def line(self, x: Sequence[float], y: Sequence[float], **look: Any) -> None:
        """Draw a line, or a single marker, anywhere on the page."""
        place: dict[str, Any] = {"transform": self.figure.transFigure, **({} if len(x) > 1 else {"linestyle": "none"})}
        places = [value / WIDTH for value in x], [1 - value / self.height for value in y]
        self.figure.add_artist(Line2D(*places, **{**place, **look}))


def verdict_look(style: VerdictStyle) -> dict[str, Any]:
    """Return the marker properties of a verdict."""
    face = style.colour if style.filled else "white"
    return {
        "marker": style.marker,
        "markersize": 6.5,
        "markerfacecolor": face,
        "markeredgecolor": style.colour,
        "markeredgewidth": 1.3,
    }


def van_der_corput(index: int) -> float:
    """Return the index's bits mirrored at the point: evenly spread numbers in (0, 1), the same every time."""
    value, weight = 0.0, 0.5
    while index:
        value += weight * (index & 1)
        index, weight = index >> 1, weight / 2
    return value


def _key_rows(keys: Sequence[Key]) -> list[list[Key]]:
    """Distribute the entries over lines of the key."""
    rows: list[list[Key]] = []
    used = math.inf
    for entry in keys:
        if used + entry.width > WIDTH - 2 * MARGIN:
            rows.append([])
            used = 0.0
        rows[-1].append(entry)
        used += entry.width
    return rows


# --- axes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """The range of an axis, linear or logarithmic, with the places and texts of its ticks."""

    low: float
    high: float
    log: bool = False
    ticks: tuple[float, ...] = field(default=())
    texts: tuple[str, ...] = field(default=())

    @classmethod
    def over(cls, low: float, high: float, log: bool = False, bins: int = 5) -> Scale:
        """Return a scale a little wider than ``low`` to ``high``; any two numbers will do."""
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            low, high, log = 0.0, 1.0, False
        if log:
            start, end = math.log10(low), math.log10(high)
            room = max(_ROOM * (end - start), 0.05)
            low, high = 10 ** (start - room), 10 ** (end + room)
        else:
            room = _ROOM * (high - low)
            if high - low <= 1e-9 * max(abs(low), abs(high)):
                room = 0.05 * max(abs(low), abs(high)) or 1.0
            low, high = low - room, high + room
        ticks = _log_ticks(low, high) if log else _ticks(low, high, bins)
        return cls(low, high, log, tuple(ticks), tuple(typographic(text) for text in _tick_texts(ticks, log)))

    @property
    def width(self) -> float:
        """Width of the widest label in inches."""
        return max((text_width(text) for text in self.texts), default=0.0)

    def inside(self, value: float) -> bool:
        """Whether the value is on the axis."""
        return self.low <= value <= self.high

    def number_texts(self, values: Sequence[float]) -> list[str]:
        """Return values as text, to about a hundredth of a linear axis, or with digits enough to tell them apart."""
        span = self.high - self.low
        if self.log or any("e" in text for text in self.texts) or not all(math.isfinite(value) for value in values):
            return apart(values)
        decimals = max(0, math.ceil(-math.log10(span / 100)))
        return [f"{value + 0.0:.{decimals}f}" if abs(value) < _PLAIN[1] else number(value) for value in values]

    def at(self, share: float) -> float:
        """Return the value at ``share`` of the way from the lower to the upper end."""
        if self.log:
            return float(self.low * (self.high / self.low) ** share)
        return self.low + share * (self.high - self.low)

    @property
    def between(self) -> list[float]:
        """Where a logarithmic axis of a few decades has its small ticks."""
        start, end = (math.log10(self.low), math.log10(self.high)) if self.log else (0.0, math.inf)
        if end - start > 5:
            return []
        decades = range(math.floor(start), math.ceil(end))
        return [base * 10.0**power for power in decades for base in range(2, 10) if self.inside(base * 10.0**power)]

    def dress(self, axes: Axes, labels: bool) -> None:
        """Give the y axis its range and ticks, with their labels or without."""
        if self.log:
            axes.set_yscale("log")
        axes.set_ylim(self.low, self.high)
        axes.yaxis.set_major_locator(FixedLocator(self.ticks))
        axes.yaxis.set_major_formatter(FixedFormatter(self.texts if labels else [""] * len(self.ticks)))
        axes.yaxis.set_minor_locator(FixedLocator(self.between) if self.between else NullLocator())
        axes.tick_params(axis="y", which="minor", length=1.8, width=0.6, color=NEUTRAL)
        axes.yaxis.set_minor_formatter(NullFormatter())


def near(values: Floats) -> Floats:
    """Return the finite values except those beyond the outer fences: three interquartile ranges from the quartiles."""
    kept: Floats = values[np.isfinite(values) & (np.abs(values) < _LARGEST)]
    if len(kept) < FENCED_FROM:
        return kept
    first, third = np.quantile(kept, [0.25, 0.75])
    room = OUTER_FENCE * (third - first)
    fenced: Floats = kept[(kept >= first - room) & (kept <= third + room)]
    return fenced


def reach(values: Floats, core: Floats) -> tuple[float, float] | None:
    """Return the range of ``core``, with those of ``values`` that take less than half as much again of the axis."""
    if not len(core):
        return None
    low, high = float(core.min()), float(core.max())
    room = (high - low) / 2
    kept = np.concatenate([core, values[(values >= low - room) & (values <= high + room)]])
    return float(kept.min()), float(kept.max())


def sharing(ranges: Sequence[tuple[float, float] | None], widest: float = 5.0) -> list[bool]:
    """Say which panels share one axis: all, except those that would hide what is in the others.

    A range more than ``widest`` times the (lower) median range is left alone. While the others together take more than
    twice that, so is the one whose absence helps most, the last of equals.

    >>> sharing([(0, 1), (0, 2), (0, 20), (1e9, 1e9 + 1), None])
    [True, True, False, False, True]
    """
    spans = sorted(high - low for low, high in filter(None, ranges) if high > low)
    if not spans:
        return [True] * len(ranges)
    most = widest * spans[(len(spans) - 1) // 2]
    together = [place for place, own in enumerate(ranges) if own is not None and own[1] - own[0] <= most]
    while _span(ranges[place] for place in together) > 2 * most:
        rests = {place: [other for other in together if other != place] for place in reversed(together)}
        together = min(rests.values(), key=lambda rest: _span(ranges[place] for place in rest))
    return [own is None or place in together for place, own in enumerate(ranges)]


def _span(ranges: Iterable[tuple[float, float] | None]) -> float:
    low, high = union(ranges)
    return high - low


def union(ranges: Iterable[tuple[float, float] | None]) -> tuple[float, float]:
    """Return the ends of all ranges together; (inf, -inf) where there are none."""
    known = [own for own in ranges if own is not None]
    return min((low for low, _ in known), default=math.inf), max((high for _, high in known), default=-math.inf)


def scales(ranges: Sequence[tuple[float, float] | None], widest: float = 5.0) -> list[tuple[Scale, bool]]:
    """Return each panel's scale, shared where that shows enough, and whether it is the panel's own."""
    shared = sharing(ranges, widest)
    common = Scale.over(*union(own for own, together in zip(ranges, shared, strict=True) if together))
    return [
        (common, False) if together or own is None else (Scale.over(*own), True)
        for own, together in zip(ranges, shared, strict=True)
    ]


def counting_ticks(last: int, most: int = 4) -> list[int]:
    """Return whole numbers from 1 to about ``last`` for an axis that counts.

    >>> counting_ticks(1), counting_ticks(3), counting_ticks(30), counting_ticks(200)
    ([1], [1, 2, 3], [1, 10, 20, 30], [1, 100, 200])
    """
    if last <= most:
        return list(range(1, last + 1))
    powers = (base * 10**power for power in range(12) for base in (1, 2, 5))
    step = next(step for step in powers if 1 + last // step <= most)
    return [1, *(value for value in range(step, last + 1, step) if value > 1 + step / 2)]


def plain(axes: Axes) -> None:
    """Leave the axes their left and bottom lines."""
    axes.spines[["top", "right"]].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(NEUTRAL)
        axes.spines[side].set_linewidth(0.8)
    axes.tick_params(colors=INK, labelsize=SMALL, length=3, width=0.8, pad=2)


def _ticks(low: float, high: float, bins: int) -> list[float]:
    """Return round numbers between the ends."""
    for most in (bins, bins + 1, bins + 2):
        places = MaxNLocator(nbins=most, min_n_ticks=2, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        ticks = [float(place) for place in places if low <= place <= high]
        if len(ticks) >= 3:
            break
    return ticks


def _log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten between the ends, at most five of them, or 1, 2, 5 where there are fewer than two."""
    exponents = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    if len(exponents) >= 2:
        return [10.0**exponent for exponent in exponents[:: max(1, math.ceil(len(exponents) / 5))]]
    about = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    return [base * 10.0**power for power in about for base in (1, 2, 5) if low <= base * 10.0**power <= high]


def _tick_texts(ticks: Sequence[float], log: bool) -> list[str]:
    """Return the ticks as text with just the digits that they need, as powers of ten where those are too many.

    >>> _tick_texts([-0.5, 0, 0.5], False), _tick_texts([0, 2.5e-5, 5e-5], False), _tick_texts([0.01, 1, 100], True)
    (['-0.5', '0.0', '0.5'], ['0', '2.5e-05', '5.0e-05'], ['0.01', '1', '100'])
    """
    largest = max((abs(tick) for tick in ticks), default=0.0)
    if log:
        return [f"{tick:g}" if _PLAIN[0] <= tick < _PLAIN[1] else f"{tick:.0e}" for tick in ticks]
    kind = "f" if largest == 0 or _PLAIN[0] <= largest < _PLAIN[1] else "e"
    for digits in range(12):
        texts = [f"{tick + 0.0:.{digits}{kind}}" for tick in ticks]
        if all(abs(float(text) - tick) <= 1e-6 * largest for text, tick in zip(texts, ticks, strict=True)):
            break
    return ["0" if kind == "e" and tick == 0 else text for text, tick in zip(texts, ticks, strict=True)]
