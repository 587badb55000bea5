"""Learning curves of every seed: the validation metric that chose the epoch, arm by arm beside the control."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator
from numpy.typing import NDArray

from notafluke.pairing import Floats
from notafluke.plan import Cell, Plan
from notafluke.records import read_history, read_record
from notafluke.report.drawing import (
    CROSS,
    DECADES_FOR_LOG,
    HOLLOW,
    Key,
    Scale,
    counting_ticks,
    near,
    plural,
    reach,
    sharing,
    union,
    van_der_corput,
)
from notafluke.report.figures import RC
from notafluke.report.panels import (
    Panel,
    Section,
    Text,
    columns_for,
    left_out_note,
    name_lines,
    neutral_lines,
    small_multiples,
)
from notafluke.report.style import INK, VERDICT_STYLES
from notafluke.study import CONTROL

MOST = 20
_HEIGHT, _FOOT = 1.25, 0.2
_WIDEST_ARM = 10.0
_MEDIAN = VERDICT_STYLES["equivalent"].colour
_SEED_LOOK: dict[str, Any] = {"color": "#56B4E9", "linewidth": 0.8, "alpha": 0.8}
_MEDIAN_LOOK: dict[str, Any] = {"color": _MEDIAN, "linewidth": 2.2, "solid_capstyle": "round"}
_CONTROL_LOOK: dict[str, Any] = {"color": "#777777", "linewidth": 1.5, "linestyle": (0, (3, 1.2))}
_BEST_LOOK: dict[str, Any] = {
    "marker": "o",
    "markersize": 3.6,
    "markerfacecolor": INK,
    "markeredgecolor": "white",
    "markeredgewidth": 0.5,
    "linestyle": "none",
}
_CAPTION = (
    "Each thin line is one seed's validation score after each epoch, its dot the best epoch, whose weights are tested; "
    "crosses are runs that failed, hollow arrows scores off the axis. The panels of a task share their scale, unless "
    "one says otherwise."
)
_KEYS = (
    Key("seed", _SEED_LOOK, 0.3),
    Key("median of the seeds", _MEDIAN_LOOK, 0.3),
    Key("median of the control", _CONTROL_LOOK, 0.3),
    Key("best epoch of a seed", _BEST_LOOK),
)


@dataclass(frozen=True)
class ArmCurves:
    """The primary metric on the validation part of one arm on one task.

    ``curves`` [seeds, epochs] has NaN where a run has ended; ``best_epochs`` [seeds] count from 0, -1 for none.
    ``seeds`` and ``failed`` [seeds] name the runs (0, 1, ... and none where empty), ``planned`` is how many there are
    to be (0: as many as there are).
    """

    task: str
    arm: str
    metric: str
    direction: str
    curves: Floats
    best_epochs: NDArray[np.int64]
    seeds: tuple[int, ...] = ()
    failed: tuple[bool, ...] = ()
    planned: int = 0
    unit: str = ""

    @property
    def seed_names(self) -> tuple[int, ...]:
        """The seeds, numbered where they have no names."""
        return self.seeds or tuple(range(len(self.curves)))

    @property
    def has_failed(self) -> tuple[bool, ...]:
        """Which of the runs failed."""
        return self.failed or (False,) * len(self.curves)

    @property
    def median(self) -> Floats:
        """Median over the seeds that reached each epoch, shape (epochs,)."""
        finite = np.where(np.isfinite(self.curves), self.curves, np.nan)
        known = np.isfinite(finite).any(axis=0) if finite.size else np.zeros(self.curves.shape[1], dtype=bool)
        median = np.full(self.curves.shape[1], np.nan)
        median[known] = np.nanmedian(finite[:, known], axis=0)
        return median


def collect_curves(plan: Plan) -> list[ArmCurves]:
    """The recorded curves of each task: the control first, then the arms of claims, then all others in study order."""
    found = []
    for task, cells in plan.cells.items():
        named = {arm for claim in plan.study.claims if task in claim.tasks for arm in (claim.treatment, claim.control)}
        for arm in sorted(cells, key=lambda arm: (arm != CONTROL, arm not in named)):
            curves = _recorded(task, arm, cells[arm], plan.study.seeds)
            if curves:
                found.append(curves)
    return found


def learning_curves(curves: Sequence[ArmCurves], title: str = "") -> Figure:
    """Return a panel for each arm of each task, with the control's median in all of them.

    Of a task's arms at most ``MOST`` are drawn: the control, then the others as they come. The scale of a task is
    logarithmic where its positive values span more than two decades; a seed or an arm far outside does not set it.
    """
    tasks: dict[str, list[tuple[int, ArmCurves]]] = {}
    for index, own in enumerate(curves):
        tasks.setdefault(own.task, []).append((index, own))
    with matplotlib.rc_context(RC):
        sections = [_section(sorted(arms, key=lambda arm: arm[1].arm != CONTROL)) for arms in tasks.values()]
        columns = columns_for([len(section.panels) for section in sections])
        return small_multiples(title, _CAPTION, _KEYS if sections else (), sections, columns, _HEIGHT, _FOOT)


def _recorded(task: str, arm: str, cell: Cell, seeds: Sequence[int]) -> ArmCurves | None:
    """Read the runs of a cell; None while there is none."""
    records = {seed: record for seed in seeds if (record := read_record(cell.run_folder(seed)))}
    records = {seed: record for seed, record in records.items() if record.run_key == cell.run_key(seed)}
    if not records:
        return None
    first = next(iter(records.values()))
    metric = first.primary_metric
    rows = [_history(cell.run_folder(seed), metric) for seed in records]
    curves = np.full((len(rows), max(map(len, rows))), np.nan)
    for curve, row in zip(curves, rows, strict=True):
        curve[: len(row)] = row
    return ArmCurves(
        task=task,
        arm=arm,
        metric=metric,
        direction=first.directions[metric],
        curves=curves,
        best_epochs=np.array([record.best_epoch for record in records.values()], dtype=np.int64),
        seeds=tuple(records),
        failed=tuple(record.outcome != "ok" for record in records.values()),
        planned=len(seeds),
        unit=first.units.get(metric, ""),
    )


def _history(folder: Path, metric: str) -> list[float]:
    """The metric by epoch, empty where a run has no history."""
    try:
        return [row.get(metric, math.nan) for row in read_history(folder)]
    except (OSError, ValueError, TypeError):
        return []


def _section(arms: Sequence[tuple[int, ArmCurves]]) -> Section:
    shown = arms[:MOST]
    control = next((arm for _, arm in shown if arm.arm == CONTROL), None)
    epochs = max(1, *(arm.curves.shape[1] for _, arm in shown))
    panels = []
    for (index, own), (scale, alone) in zip(shown, _scales([arm for _, arm in shown], control), strict=True):
        draw = partial(_draw, index=index, own=own, control=control, scale=scale, epochs=epochs)
        panels.append(Panel(partial(_head, own, scale, alone), scale, alone, draw))
    first = shown[0][1]
    unit = f" [{first.unit}]" if first.unit not in ("", first.metric) else ""
    detail = f"validation {first.metric}" + (", logarithmic scale" if panels[0].scale.log else "")
    ylabel = (f"{first.metric}{unit}", f"{first.direction} is better")
    note = left_out_note(len(arms) - len(shown), "arm")
    return Section(first.task, detail, ylabel, "epoch", tuple(panels), note)


def _scales(arms: Sequence[ArmCurves], control: ArmCurves | None) -> list[tuple[Scale, bool]]:
    """Return each arm's scale: the task's, or its own (the control's median included) where it is far from all."""
    ranges = [_range(arm.curves) for arm in arms]
    low, high = union(own for own, near in zip(ranges, sharing(ranges, _WIDEST_ARM), strict=True) if near)
    log = all(_positive(arm) for arm in arms) and 0 < low < high and math.log10(high / low) > DECADES_FOR_LOG
    turn = np.log10 if log else np.positive
    ranges = [_range(turn(arm.curves)) for arm in arms]
    shared = sharing(ranges, _WIDEST_ARM)
    common = union(own for own, near in zip(ranges, shared, strict=True) if near)
    reference = None if control is None else _range(turn(control.median)[None])
    ends = [
        common if near or own is None else union([own, reference]) for own, near in zip(ranges, shared, strict=True)
    ]
    return [
        (Scale.over(10**low, 10**high, log=True) if log else Scale.over(low, high), not near)
        for (low, high), near in zip(ends, shared, strict=True)
    ]


def _positive(arm: ArmCurves) -> bool:
    return bool((arm.curves[np.isfinite(arm.curves)] > 0).all())


def _range(curves: Floats) -> tuple[float, float] | None:
    """Return the range of an arm's curves without what is far outside the other seeds at the same epoch."""
    core = [near(column) for column in curves.T]
    finite = curves[np.isfinite(curves)]
    return reach(finite, np.concatenate(core)) if core else None


def _off(own: ArmCurves, scale: Scale) -> NDArray[np.bool_]:
    """Which scores are off the axis, infinite ones included, shape [seeds, epochs]."""
    return ~np.isnan(own.curves) & ((own.curves < scale.low) | (own.curves > scale.high))


def _head(own: ArmCurves, scale: Scale, alone: bool, width: float) -> list[Text]:
    """Return the arm's name, and what is absent, failed or off the axis."""
    count, failed = len(own.curves), sum(own.has_failed)
    parts = [plural(count, "seed") if own.planned in (0, count) else f"{count} of {own.planned} seeds"]
    if failed:
        parts.append(f"{failed} of {count} failed")
    beyond = int(_off(own, scale).any(axis=1).sum())
    if beyond:
        parts.append(f"{beyond} off the axis")
    if alone:
        parts.append("own scale")
    return name_lines(own.arm, width) + neutral_lines(parts, width)


def _draw(axes: Axes, index: int, own: ArmCurves, control: ArmCurves | None, scale: Scale, epochs: int) -> None:
    """Draw every seed, named ``curve-<index>-<seed>`` in the SVG, its best epoch, and the medians."""
    step = max(1, epochs - 1)
    axes.set_xlim(1 - 0.04 * step, epochs + 0.04 * step)
    if epochs == 1:
        axes.set_xlim(0.4, 1.6)
    ticks = counting_ticks(epochs)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FixedFormatter([str(tick) for tick in ticks]))
    worst = scale.low if own.direction == "higher" else scale.high
    off = _off(own, scale)
    lost = 0
    for place, (seed, curve) in enumerate(zip(own.seed_names, own.curves, strict=True)):
        finite = np.flatnonzero(np.isfinite(curve))
        shift = 0.7 * (van_der_corput(place + 1) - 0.5) if epochs == 1 else 0.0
        _line(axes, curve, _SEED_LOOK, f"curve-{index}-{seed}", 1 + shift, zorder=2)
        if off[place].any():
            epoch = int(np.flatnonzero(off[place])[0])
            above = curve[epoch] > scale.high
            y = scale.high if above else scale.low
            x = epoch + 1 + shift
            axes.plot([x], [y], marker="^" if above else "v", clip_on=False, zorder=6, **HOLLOW)
        best = int(own.best_epochs[place])
        if 0 <= best < len(curve) and scale.inside(curve[best]):
            x = best + 1 + shift
            axes.plot([x], [curve[best]], zorder=5, clip_on=False, gid=f"best-{index}-{seed}", **_BEST_LOOK)
        if own.has_failed[place]:
            x, y = 1 + lost * 0.05 * step, worst
            if len(finite):
                x, y = finite[-1] + 1 + shift, min(max(float(curve[finite[-1]]), scale.low), scale.high)
            else:
                lost += 1
            axes.plot([x], [y], zorder=7, clip_on=False, gid=f"failed-{index}-{seed}", **CROSS)
    medians: list[tuple[ArmCurves | None, dict[str, Any], str, int]]
    medians = [(own, _MEDIAN_LOOK, "median", 4), (control, _CONTROL_LOOK, "control", 3)]
    for arm, look, name, order in medians[: 1 if control is own else 2]:
        if arm is not None and epochs == 1:
            axes.plot([0.55, 1.45], [arm.median, arm.median], gid=f"{name}-{index}", zorder=order, **look)
        elif arm is not None:
            _line(axes, arm.median, look, f"{name}-{index}", 1, zorder=order)


def _line(axes: Axes, curve: Floats, look: dict[str, Any], gid: str, start: float, zorder: int) -> None:
    """Draw a curve over its epochs; a single score as a dot."""
    dot: dict[str, Any] = {"marker": "o", "markersize": 2.6} if np.isfinite(curve).sum() == 1 else {}
    shown = np.where(np.isfinite(curve), curve, np.nan)
    axes.plot(np.arange(len(curve)) + start, shown, gid=gid, zorder=zorder, **look, **dot)
