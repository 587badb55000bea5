"""Performance profiles: which share of an arm's runs scores above tau, over all tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator

from notafluke.pairing import Floats
from notafluke.report.drawing import (
    CROSS,
    LINE,
    MARGIN,
    NORMAL,
    SMALL,
    WIDTH,
    Key,
    Page,
    Scale,
    arm_lines,
    fill,
    plain,
    plural,
    text_width,
)
from notafluke.report.figures import RC
from notafluke.report.panels import (
    NOTHING,
    Panel,
    Section,
    Text,
    columns_for,
    left_out_note,
    name_lines,
    neutral_lines,
    small_multiples,
)
from notafluke.report.style import INK, NEUTRAL
from notafluke.study import CONTROL

MOST = 24
MOST_IN_ONE = 4
_HEIGHT, _ABOVE, _BELOW, _LEGEND_MOST = 3.1, 0.22, 0.44, 2.2
_PANEL_HEIGHT, _PANEL_FOOT = 1.15, 0.2
_LOOKS: tuple[dict[str, Any], ...] = (
    {"color": "#D55E00", "linestyle": (0, (5, 1.6))},
    {"color": "#009E73", "linestyle": (0, (1.2, 1.2))},
    {"color": "#0072B2", "linestyle": (0, (5, 1.3, 1.2, 1.3))},
    {"color": "#CC79A7", "linestyle": (0, (9, 1.8))},
)
_ARM_LOOK: dict[str, Any] = {"color": "#0072B2", "linestyle": "-"}
_CONTROL_LOOK: dict[str, Any] = {"color": INK, "linestyle": "-", "linewidth": 2.0}
_GREY_LOOK: dict[str, Any] = {"color": "#777777", "linestyle": (0, (3, 1.2)), "linewidth": 1.5}
_CAPTION = (
    "At each score tau: the share of all runs that score above it, with its 95 % bootstrap interval; farther right and "
    "higher is better. A failed run scores above nothing; a cross at the left edge marks the share that did not fail."
)
_BASE: dict[str, Any] = {"linewidth": 1.7}
_SHARES = Scale(-0.03, 1.03, ticks=(0.0, 0.25, 0.5, 0.75, 1.0), texts=("0", "0.25", "0.5", "0.75", "1"))
_KEYS = (
    Key("arm", _BASE | _ARM_LOOK, 0.3),
    Key("95 % interval", {"color": _ARM_LOOK["color"], "alpha": 0.12, "linewidth": 7, "solid_capstyle": "butt"}, 0.3),
    Key("control", _GREY_LOOK, 0.3),
)
_YLABEL = ("share of runs", "above tau")
_SHORT = "score tau [control SD]"
_XLABEL = "standardised score tau [control SDs], higher is better"


@dataclass(frozen=True)
class Profile:
    """The profile of one arm: at each threshold the share of runs above it, with its interval; arrays of one shape.

    ``failed`` is how many of the ``n_runs`` runs failed.
    """

    arm: str
    thresholds: Floats
    share: Floats
    low: Floats
    high: Floats
    n_runs: int
    n_tasks: int
    failed: int = 0

    @property
    def counts(self) -> list[str]:
        """Return how much is behind the profile, in words."""
        text = [plural(self.n_runs, "run"), plural(self.n_tasks, "task")]
        return text + ([f"{self.failed} failed"] if self.failed else [])


def performance_profiles(profiles: Sequence[Profile], title: str = "") -> Figure:
    """Return all profiles in one picture, or with the control's in a panel each where there are more than four.

    At most ``MOST`` are drawn: the control, then the others as they come.
    """
    ordered = sorted(profiles, key=lambda own: own.arm != CONTROL)
    shown = ordered[:MOST]
    note = left_out_note(len(ordered) - len(shown), "arm")
    with matplotlib.rc_context(RC):
        if len(shown) > MOST_IN_ONE:
            return _panels(shown, note, title)
        return _together(shown, title)


def _ends(profiles: Sequence[Profile]) -> tuple[float, float]:
    """Return the ends of the horizontal axis."""
    values = np.concatenate([np.asarray(own.thresholds, dtype=np.float64) for own in profiles])
    values = values[np.isfinite(values)]
    if not len(values):
        return -1.0, 1.0
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 1, high + 1)


def _together(profiles: Sequence[Profile], title: str) -> Figure:
    """Draw one picture, its legend at the right in the order of the curves' height."""
    if not profiles:
        page, top = Page.headed(title, _CAPTION, (), 0.5)
        page.text(MARGIN, top + 0.1, NOTHING, size=NORMAL, color=NEUTRAL, style="italic")
        return page.figure
    order = sorted(profiles, key=lambda own: -_height(own))
    places = {own.arm: place for place, own in enumerate(own for own in profiles if own.arm != CONTROL)}
    looks = {own.arm: _CONTROL_LOOK if own.arm == CONTROL else _LOOKS[places[own.arm]] for own in profiles}
    names = {own.arm: arm_lines(own.arm, _LEGEND_MOST) for own in profiles}
    counts = {own.arm: fill(own.counts, _LEGEND_MOST) for own in profiles}
    legend = max(text_width(line) for own in profiles for line in (*names[own.arm], *counts[own.arm])) + 0.5
    lines = sum(len(names[own.arm]) + len(counts[own.arm]) for own in profiles)
    height = max(_HEIGHT, lines * LINE + 0.1 * len(profiles))
    page, top = Page.headed(title, _CAPTION, (), _ABOVE + height + _BELOW)
    left = MARGIN + 0.55
    width = WIDTH - MARGIN - legend - 0.15 - left
    page.text(left, top + 0.1, "← worse", color=NEUTRAL)
    page.text(left + width, top + 0.1, "better →", color=NEUTRAL, ha="right")
    axes = page.axes(left, top + _ABOVE, width, height)
    plain(axes)
    _SHARES.dress(axes, labels=True)
    axes.set_ylabel("share of runs above tau", fontsize=SMALL, color=INK, labelpad=3)
    axes.set_xlabel(_XLABEL, fontsize=SMALL, color=INK, labelpad=2)
    _dress(axes, profiles)
    for own in profiles:
        _draw_profile(axes, own, looks[own.arm])
    y = top + _ABOVE + 0.08
    for own in order:
        page.line([WIDTH - MARGIN - legend, WIDTH - MARGIN - legend + 0.36], [y, y], **_BASE | looks[own.arm])
        for line, colour in [*((name, INK) for name in names[own.arm]), *((text, NEUTRAL) for text in counts[own.arm])]:
            page.text(WIDTH - MARGIN - legend + 0.46, y, line, color=colour)
            y += LINE
        y += 0.1
    return page.figure


def _panels(profiles: Sequence[Profile], note: str, title: str) -> Figure:
    """Draw a panel for each arm, the control's profile in all of them."""
    control = next((own for own in profiles if own.arm == CONTROL), None)
    panels = [
        Panel(partial(_head, own), _SHARES, False, partial(_draw_panel, own=own, control=control, profiles=profiles))
        for own in profiles
    ]
    detail = "standardised scores, farther right and higher is better"
    section = Section("all tasks", detail, _YLABEL, _SHORT, tuple(panels), note)
    return small_multiples(title, _CAPTION, _KEYS, [section], columns_for([len(panels)]), _PANEL_HEIGHT, _PANEL_FOOT)


def _head(own: Profile, width: float) -> list[Text]:
    return name_lines(own.arm, width) + neutral_lines(own.counts, width)


def _draw_panel(axes: Axes, own: Profile, control: Profile | None, profiles: Sequence[Profile]) -> None:
    _dress(axes, profiles, most=4)
    _draw_profile(axes, own, _CONTROL_LOOK if own.arm == CONTROL else _ARM_LOOK)
    if control is not None and control is not own:
        axes.plot(control.thresholds, control.share, zorder=4, gid=f"control-{own.arm}", **_GREY_LOOK)


def _dress(axes: Axes, profiles: Sequence[Profile], most: int = 8) -> None:
    """Give the horizontal axis the range of all thresholds."""
    low, high = _ends(profiles)
    scale = Scale.over(low, high, bins=most)
    axes.set_xlim(low, high)
    shown = [(tick, text) for tick, text in zip(scale.ticks, scale.texts, strict=True) if low <= tick <= high]
    axes.xaxis.set_major_locator(FixedLocator([tick for tick, _ in shown]))
    axes.xaxis.set_major_formatter(FixedFormatter([text for _, text in shown]))
    if low < 0 < high:
        axes.axvline(0, color=NEUTRAL, linewidth=0.6, linestyle=(0, (1, 2)), zorder=0)


def _draw_profile(axes: Axes, own: Profile, look: dict[str, Any]) -> None:
    """Draw one profile, named ``profile-<arm>`` and ``band-<arm>`` in the SVG."""
    band = {"color": look["color"], "alpha": 0.12, "linewidth": 0}
    axes.fill_between(own.thresholds, own.low, own.high, zorder=1, gid=f"band-{own.arm}", **band)
    axes.plot(own.thresholds, own.share, zorder=3, gid=f"profile-{own.arm}", **_BASE | look)
    if own.failed and own.n_runs:
        cross = CROSS | {"color": look["color"], "gid": f"failed-{own.arm}"}
        axes.plot([_first(own)], [1 - own.failed / own.n_runs], clip_on=False, zorder=6, **cross)


def _first(own: Profile) -> float:
    finite = own.thresholds[np.isfinite(own.thresholds)]
    return float(finite.min()) if len(finite) else 0.0


def _height(own: Profile) -> float:
    """Mean share, by which the legend is ordered."""
    return float(np.nan_to_num(own.share).mean()) if len(own.share) else 0.0
