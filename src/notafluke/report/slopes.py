"""The paired seed-slope plot: a line for each seed, from what the control scored to what the treatment scored."""

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

from notafluke.claims import paired_scores, records
from notafluke.pairing import Pairs
from notafluke.report.drawing import CROSS, HOLLOW, Key, Scale, arm_lines, near, plural, reach, scales
from notafluke.report.figures import RC
from notafluke.report.numbers import number, typographic
from notafluke.report.panels import (
    Panel,
    Section,
    Text,
    columns_for,
    left_out_note,
    name_lines,
    neutral_lines,
    small_multiples,
    verdict_lines,
)
from notafluke.report.style import INK, NEUTRAL, VERDICT_STYLES
from notafluke.sentences import failures_in_words, few_words
from notafluke.study import BASELINE_PREFIX, CONTROL

MOST = 20
_HEIGHT, _FOOT = 1.25, 0.37
_MARGIN = 0.3
_ROLES = {"negative_control": "negative control", "exploratory": "exploratory"}
_LOOKS: dict[int, dict[str, Any]] = {
    1: {"color": VERDICT_STYLES["better"].colour, "linestyle": "-"},
    -1: {"color": VERDICT_STYLES["worse"].colour, "linestyle": (0, (3.5, 1.5))},
    0: {"color": NEUTRAL, "linestyle": (0, (1, 1.2))},
}
_SEED: dict[str, Any] = {"linewidth": 1.0, "markersize": 2.6, "marker": "o", "alpha": 0.75}
_MEAN: dict[str, Any] = {
    "color": INK,
    "linewidth": 2.4,
    "marker": "o",
    "markersize": 6.5,
    "markeredgecolor": "white",
    "markeredgewidth": 0.9,
}
_CAPTION = (
    "Each line is one seed, from its score in the control (left) to its score in the treatment (right); the thick line "
    "joins the means, given below; crosses at the edge are failed runs, hollow arrows scores off the axis."
)
_KEYS = (
    Key("seed improved", {**_SEED, **_LOOKS[1], "markersize": 0}, 0.3),
    Key("seed got worse", {**_SEED, **_LOOKS[-1], "markersize": 0}, 0.3),
    Key("no difference", {**_SEED, **_LOOKS[0], "markersize": 0}, 0.3),
    Key("means", {**_MEAN, "markersize": 0}, 0.3),
)


def slopes(
    decisions: pd.DataFrame,
    scores: pd.DataFrame,
    baselines: pd.DataFrame,
    planned: pd.DataFrame,
    title: str = "",
) -> Figure:
    """Return the slope plot of ``decisions`` (from ``claims.decide``, with the same tables).

    A panel for each declared claim, each control and each exploratory comparison on the task's primary metric, by task
    and metric; positive controls come last. In metric units: whether higher or lower is better stands at the axis. Of
    a task's comparisons at most ``MOST`` are drawn, the declared ones first.
    """
    pairs = paired_scores(scores, baselines, planned, decisions)
    marked = scores.loc[scores["primary"].astype(bool), ["task", "metric"]].drop_duplicates()
    primary = set(marked.itertuples(index=False, name=None))
    rows = [
        _Row(index, row, pairs[index])
        for index, row in enumerate(records(decisions))
        if row["family"] != "exploratory" or (row["task"], row["metric"]) in primary or not row["metric"]
    ]
    with matplotlib.rc_context(RC):
        sections = [_section(group) for group in _grouped(rows)]
        columns = columns_for([len(section.panels) for section in sections])
        return small_multiples(title, _CAPTION, _KEYS if sections else (), sections, columns, _HEIGHT, _FOOT)


@dataclass(frozen=True)
class _Row:
    """One comparison: its decision and its pairs."""

    index: int
    values: Mapping[str, Any]
    pairs: Pairs

    @property
    def range(self) -> tuple[float, float] | None:
        """What the panel needs of the axis, far seeds left out."""
        both = self.pairs.control, self.pairs.treatment
        return reach(np.concatenate(both), np.concatenate([near(values) for values in both]))

    @property
    def means(self) -> tuple[float, float]:
        """Means of control and treatment over the pairs in which both finished."""
        done = self.pairs.finished
        if not done.any():
            return math.nan, math.nan
        return float(self.pairs.control[done].mean()), float(self.pairs.treatment[done].mean())

    def head(self, scale: Scale, own: bool, width: float) -> list[Text]:
        """Return what is compared, the verdict, and what the picture alone does not say."""
        values = self.values
        control = str(values["control"])
        lines = name_lines(str(values["treatment"]), width)
        if control != CONTROL:
            against = f"against {control.replace(BASELINE_PREFIX, 'baseline ')}"
            lines += [Text(line, color=NEUTRAL) for line in arm_lines(against, width)]
        if values["role"] in _ROLES:
            lines.append(Text(_ROLES[values["role"]], color=NEUTRAL, style="italic"))
        suffix = f" ({values['verdict_suffix']})" if values["verdict_suffix"] else ""
        return lines + verdict_lines(f"{values['verdict']}{suffix}", width) + self._details(scale, own, width)

    def _details(self, scale: Scale, own: bool, width: float) -> list[Text]:
        values, improvements = self.values, self.pairs.improvements
        words = few_words(values)
        parts = [words] if words else []
        if len(improvements):
            better, ties = int((improvements > 0).sum()), int((improvements == 0).sum())
            parts.append(f"{better} of {len(improvements)} better" + (f", {plural(ties, 'tie')}" if ties else ""))
        parts += failures_in_words(values)
        both = np.concatenate([self.pairs.control, self.pairs.treatment])
        beyond = sorted(float(value) for value in both if np.isfinite(value) and not scale.inside(value))
        if beyond:
            shown = ", ".join(number(value) for value in beyond[:2]) + (", ..." if len(beyond) > 2 else "")
            parts.append(f"{plural(len(beyond), 'score')} off the axis ({shown})")
        if own:
            parts.append("own scale")
        return neutral_lines(parts, width)


def _grouped(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Return the rows of each section: tasks in their order, positive controls in sections of their own at the end."""
    sections: dict[tuple[bool, str, str], list[_Row]] = {}
    for row in rows:
        positive = row.values["role"] == "positive_control"
        sections.setdefault((positive, str(row.values["task"]), str(row.values["metric"])), []).append(row)
    tasks = list(dict.fromkeys(task for _, task, _ in sections))
    order = {key: place for place, key in enumerate(sections)}
    return [sections[key] for key in sorted(sections, key=lambda key: (key[0], tasks.index(key[1]), order[key]))]


def _section(rows: Sequence[_Row]) -> Section:
    values = rows[0].values
    declared = sum(row.values["family"] != "exploratory" for row in rows)
    shown = rows[: max(MOST, declared)]
    panels = [
        Panel(partial(row.head, scale, own), scale, own, partial(_draw, row=row, scale=scale))
        for row, (scale, own) in zip(shown, scales([row.range for row in shown]), strict=True)
    ]
    name = f"{values['task']} (positive control)" if values["role"] == "positive_control" else str(values["task"])
    metric = str(values["metric"])
    unit = f" [{values['unit']}]" if values["unit"] not in ("", metric) else ""
    ylabel = (f"{metric}{unit}", f"{values['direction']} is better") if values["direction"] else ()
    note = left_out_note(len(rows) - len(shown), "exploratory comparison")
    return Section(name, metric, ylabel, "", tuple(panels), note)


def _draw(axes: Axes, row: _Row, scale: Scale) -> None:
    """Draw one line for each recorded pair, named ``seed-<row>-<seed>`` in the SVG, and the means."""
    axes.set_xlim(-_MARGIN, 1 + _MARGIN)
    axes.set_xticks([])
    worst = scale.low if row.pairs.sign > 0 else scale.high
    failed = [0, 0]
    for place, (seed, improvement) in enumerate(zip(row.pairs.seeds, row.pairs.improvements, strict=True)):
        look = _LOOKS[int(np.sign(improvement))]
        ends = [float(row.pairs.control[place]), float(row.pairs.treatment[place])]
        places = []
        for side, value in enumerate(ends):
            x: float = side
            if not math.isfinite(value):
                x = side + (1 if side else -1) * 0.05 * failed[side]
                failed[side] += 1
                axes.plot([x], [worst], clip_on=False, zorder=6, gid=f"failed-{row.index}-{seed}-{side}", **CROSS)
                value = worst
            elif not scale.inside(value):
                arrow = "^" if value > scale.high else "v"
                value = scale.high if value > scale.high else scale.low
                axes.plot([x], [value], marker=arrow, clip_on=False, zorder=6, **HOLLOW)
            places.append((x, value))
        marked = [side for side in (0, 1) if math.isfinite(ends[side]) and scale.inside(ends[side])]
        xs, ys = zip(*places, strict=True)
        axes.plot(xs, ys, zorder=3, gid=f"seed-{row.index}-{seed}", markevery=marked, clip_on=False, **(_SEED | look))
    means = row.means
    if all(math.isfinite(mean) for mean in means):
        axes.plot([0, 1], means, zorder=5, gid=f"mean-{row.index}", **_MEAN)
    texts = scale.number_texts(means)
    names = _names(row.values)
    axes.set_xticks([])
    axes.xaxis.set_major_locator(FixedLocator([0, 1]))
    labels = [f"{name}\n{typographic(text)}" for name, text in zip(names, texts, strict=True)]
    axes.xaxis.set_major_formatter(FixedFormatter(labels))
    for label in axes.get_xticklabels():
        label.set_parse_math(False)


def _names(values: Mapping[str, Any]) -> tuple[str, str]:
    """Return what stands below the two columns."""
    control, treatment = str(values["control"]), str(values["treatment"])
    other = "control" if control == CONTROL else "reference"
    left = "baseline" if control.startswith(BASELINE_PREFIX) else other
    return left, "control" if treatment == CONTROL else "treatment"
