"""Is the best seed a fluke? What the best of k seeds is expected to score, against a baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator
from scipy.special import ndtri

from notafluke.claims import records
from notafluke.pairing import Floats
from notafluke.report.drawing import (
    CROSS,
    HOLLOW,
    Key,
    Scale,
    counting_ticks,
    near,
    plural,
    reach,
    scales,
    van_der_corput,
    wrap,
)
from notafluke.report.figures import RC
from notafluke.report.numbers import number
from notafluke.report.panels import (
    NOTHING,
    Panel,
    Section,
    Text,
    left_out_note,
    name_lines,
    neutral_lines,
    small_multiples,
    verdict_lines,
)
from notafluke.report.style import BAND, INK, NEUTRAL, VERDICT_STYLES
from notafluke.stats import expected_maximum
from notafluke.study import CONTROL

MOST = 18
MOST_SEEDS_SHOWN = 30
_COLUMNS, _HEIGHT, _FOOT = 3, 1.35, 0.2
_QUANTILES = (0.05, 0.95)
_FARTHEST_BASELINE = 3.0
_EXPECTED: dict[str, Any] = {"color": VERDICT_STYLES["equivalent"].colour, "linewidth": 1.8}
_RANGE: dict[str, Any] = {"color": BAND, "alpha": 0.28, "linewidth": 0}
_BASELINE: dict[str, Any] = {"color": VERDICT_STYLES["worse"].colour, "linewidth": 1.5, "linestyle": (0, (4, 1.6))}
_RUNNING: dict[str, Any] = {
    "color": INK,
    "linewidth": 0.8,
    "marker": "o",
    "markersize": 3.4,
    "markeredgecolor": "white",
    "markeredgewidth": 0.4,
}
_RUG: dict[str, Any] = {
    "color": INK,
    "marker": "o",
    "markersize": 3.2,
    "alpha": 0.5,
    "markeredgewidth": 0,
    "linestyle": "none",
}
_CAPTION = (
    "The more seeds are tried, the better the best of them: the curve is what the best of k seeds scores on average if "
    "seeds are normally distributed, the band 90 % of such bests. A best seed that lies on the curve is luck, however "
    "good. Grey dots at the right are all seeds, crosses failed runs."
)
_KEYS = (
    Key("expected best of k seeds", _EXPECTED, 0.3),
    Key("5 to 95 %", {**_RANGE, "linewidth": 7, "solid_capstyle": "butt"}, 0.3),
    Key("best of the first k seeds", {**_RUNNING, "markersize": 3.4}, 0.3),
    Key("baseline", _BASELINE, 0.3),
    Key("one seed", _RUG),
)


def best_of_n_curves(luck: pd.DataFrame, scores: pd.DataFrame, title: str = "") -> Figure:
    """Return a panel for each row of ``luck`` (table T3: a task, metric, arm and baseline), with the arm's ``scores``.

    Seeds are in the order of their numbers; a failed run is a seed that was tried and gave nothing. Of a task and
    metric at most ``MOST`` rows are drawn: those of the control, then the others as they come.
    """
    if not len(luck):
        title = f"{title}: no baseline to compare the best of n with" if title else "no baseline"
    rows = [_Row.of(index, row, scores) for index, row in enumerate(records(luck))]
    groups: dict[tuple[str, str], list[_Row]] = {}
    for row in rows:
        groups.setdefault((str(row.values["task"]), str(row.values["metric"])), []).append(row)
    with matplotlib.rc_context(RC):
        sections = [_section(sorted(group, key=lambda row: row.values["arm"] != CONTROL)) for group in groups.values()]
        return small_multiples(title, _CAPTION, _KEYS if sections else (), sections, _COLUMNS, _HEIGHT, _FOOT)


@dataclass(frozen=True)
class _Row:
    """One row of the table, the seeds of its arm in their order and their scores, NaN for a failed run."""

    index: int
    values: Mapping[str, Any]
    seeds: tuple[int, ...]
    scores: Floats

    @classmethod
    def of(cls, index: int, values: Mapping[str, Any], scores: pd.DataFrame) -> _Row:
        """Find the arm's scores."""
        own = scores[
            (scores["task"] == values["task"])
            & (scores["metric"] == values["metric"])
            & (scores["arm"] == values["arm"])
        ].sort_values("seed", kind="stable")
        known = own["value"].astype(np.float64)
        finished = known.where((own["outcome"] == "ok") & np.isfinite(known))
        return cls(index, values, tuple(int(seed) for seed in own["seed"]), finished.to_numpy(np.float64))

    def number(self, name: str) -> float:
        """Return a number of the row, NaN where it is empty."""
        value = self.values.get(name, math.nan)
        return math.nan if value is None or pd.isna(value) else float(value)

    @property
    def best(self) -> float:
        """The table's best score, or that of the seeds where it has none (of one seed)."""
        return self.number("best") if math.isfinite(self.number("best")) else float(self.running_best[-1])

    @property
    def sign(self) -> float:
        """+1 where higher is better, else -1."""
        return -1.0 if self.values["direction"] == "lower" else 1.0

    @property
    def tried(self) -> int:
        """How many seeds the horizontal axis holds."""
        return max(MOST_SEEDS_SHOWN, len(self.seeds))

    def best_of(self, quantile: float | None = None) -> Floats:
        """Return the expected best of 1, 2, ... seeds, or a quantile of it (higher = better), shape (tried,)."""
        counts = range(1, self.tried + 1)
        units = [expected_maximum(k) if quantile is None else float(ndtri(quantile ** (1 / k))) for k in counts]
        return self.number("mean") + self.sign * self.number("sd") * np.array(units)

    @property
    def running_best(self) -> Floats:
        """Return the best of the first 1, 2, ... seeds, NaN until one has finished, shape (seeds,)."""
        turned = np.where(np.isfinite(self.scores), self.sign * self.scores, -np.inf)
        best = np.maximum.accumulate(turned) if len(turned) else turned
        return np.where(np.isfinite(best), self.sign * best, np.nan)

    @property
    def range(self) -> tuple[float, float] | None:
        """Return what the panel needs of the axis: curve, band and seeds, and the baseline where it is not far off."""
        parts = [self.best_of(quantile) for quantile in (None, *_QUANTILES)] if self.number("sd") > 0 else []
        values = np.concatenate([*parts, near(self.scores), np.array([self.number("mean")])])
        ends = reach(self.scores, values[np.isfinite(values)])
        if ends is None:
            return None
        baseline, room = self.number("baseline"), _FARTHEST_BASELINE * (ends[1] - ends[0])
        near_by = ends[0] - room <= baseline <= ends[1] + room
        return (min(ends[0], baseline), max(ends[1], baseline)) if near_by else ends

    def head(self, scale: Scale, own: bool, width: float) -> list[Text]:
        """Return the arm, the verdict and the numbers of the picture."""
        finished = self.scores[np.isfinite(self.scores)]
        failed, expected = len(self.scores) - len(finished), self.number("expected_best")
        lines = name_lines(str(self.values["arm"]), width)
        verdict = self.values.get("verdict")
        if isinstance(verdict, str) and verdict:
            lines += verdict_lines(verdict, width)
        parts = []
        if not len(finished):
            parts.append(NOTHING)
        else:
            texts = scale.number_texts([self.best, *([expected] if math.isfinite(expected) else [])])
            named = zip((f"best of {len(finished)}: ", "expected "), texts, strict=False)
            parts += [name + text for name, text in named]
        if failed:
            parts.append(f"{failed} of {len(self.seeds)} failed")
        beyond = sum(not scale.inside(value) for value in finished)
        if beyond:
            parts.append(f"{plural(beyond, 'seed')} off the axis")
        if own:
            parts.append("own scale")
        lines += neutral_lines(parts, width)
        return lines + self._baseline(scale, len(finished), width)

    def _baseline(self, scale: Scale, finished: int, width: float) -> list[Text]:
        """Return the baseline's name and value behind a piece of its line, and how likely it is to be beaten."""
        baseline = self.number("baseline")
        if not math.isfinite(baseline):
            return []
        inside = scale.inside(baseline)
        value = scale.number_texts([baseline])[0] if inside else number(baseline)
        named = wrap(f"{self.values['baseline_name']} {value}", width - 0.36)
        lines = [Text(line, mark={} if place else _BASELINE, length=0.28) for place, line in enumerate(named)]
        parts = [] if inside else ["baseline off the axis"]
        single, several = self.number("p_single_beats_baseline"), self.number("p_best_beats_baseline")
        if math.isfinite(single) and math.isfinite(several):
            parts += [f"one seed beats it: {_percent(single)}", f"the best of {finished} does: {_percent(several)}"]
        return lines + neutral_lines(parts, width)


def _percent(share: float) -> str:
    """Return a probability in per cent, never rounded to certainty."""
    if 0 < share < 0.005:
        return "< 1 %"
    return "> 99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"


def _section(rows: Sequence[_Row]) -> Section:
    values = rows[0].values
    shown = rows[:MOST]
    panels = [
        Panel(partial(row.head, scale, own), scale, own, partial(_draw, row=row, scale=scale))
        for row, (scale, own) in zip(shown, scales([row.range for row in shown]), strict=True)
    ]
    metric, unit = str(values["metric"]), values.get("unit")
    unit = f" [{unit}]" if isinstance(unit, str) and unit not in ("", metric) else ""
    ylabel = (f"{metric}{unit}", f"{values['direction']} is better")
    note = left_out_note(len(rows) - len(shown), "row")
    return Section(str(values["task"]), metric, ylabel, "number of seeds tried, k", tuple(panels), note)


def _draw(axes: Axes, row: _Row, scale: Scale) -> None:
    """Draw curve, band, baseline and the seeds, named ``seed-<row>-<seed>`` and ``best-<row>-<k>`` in the SVG."""
    last = row.tried
    axes.set_xlim(1 - 0.05 * last, 1.17 * last)
    ticks = counting_ticks(last)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FixedFormatter([str(tick) for tick in ticks]))
    axes.axvline(1.03 * last, color=NEUTRAL, linewidth=0.5, linestyle=(0, (1, 2)), zorder=0)
    if math.isfinite(row.number("mean")) and math.isfinite(row.number("sd")):
        counts = np.arange(1, last + 1)
        low, high = (row.best_of(quantile) for quantile in _QUANTILES)
        axes.fill_between(counts, low, high, gid=f"band-{row.index}", zorder=1, **_RANGE)
        axes.plot(counts, row.best_of(), gid=f"expected-{row.index}", zorder=3, **_EXPECTED)
    baseline = row.number("baseline")
    if math.isfinite(baseline):
        if scale.inside(baseline):
            axes.plot(axes.get_xlim(), [baseline] * 2, gid=f"baseline-{row.index}", zorder=2, **_BASELINE)
        else:
            above = baseline > scale.high
            look = {"color": _BASELINE["color"], "marker": "^" if above else "v", "markersize": 6, "linestyle": "none"}
            y = scale.high if above else scale.low
            axes.plot([0.95 * last], [y], gid=f"baseline-{row.index}", clip_on=False, zorder=6, **look)
    best = row.running_best
    known = np.isfinite(best)
    places = np.arange(1, len(best) + 1)[known]
    axes.plot(places, best[known], gid=f"running-{row.index}", drawstyle="steps-post", zorder=4, **_RUNNING)
    _draw_rug(axes, row, scale, last)


def _draw_rug(axes: Axes, row: _Row, scale: Scale, last: int) -> None:
    """Draw all seeds at the right, the failed ones at the worse edge, those off the axis as arrows."""
    worst = scale.low if row.sign > 0 else scale.high
    failed, lost = int(np.isnan(row.scores).sum()), 0
    for place, (seed, value) in enumerate(zip(row.seeds, row.scores, strict=True)):
        x, y, look = last * (1.1 + 0.1 * (van_der_corput(place + 1) - 0.5)), float(value), _RUG
        if not math.isfinite(value):
            x, y, look = last * (1.05 + 0.1 * (lost + 0.5) / failed), worst, CROSS
            lost += 1
        elif not scale.inside(value):
            above = value > scale.high
            y = scale.high if above else scale.low
            look = HOLLOW | {"marker": "^" if above else "v"}
        axes.plot([x], [y], clip_on=False, zorder=5, gid=f"seed-{row.index}-{seed}", **look)
