"""The vanishing-gradient picture: the norm of each parameter's gradient over the epochs, of every seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from notafluke.plan import Cell, Plan
from notafluke.records import read_history
from notafluke.report.figures import RC
from notafluke.report.style import INK, NEUTRAL
from notafluke.study import CONTROL
from notafluke.training.history import GRADIENT_NORM

COLUMNS = 3
MOST_LABELS = 12
_PANEL_WIDTH, _PANEL_HEIGHT, _HEAD, _FOOT = 3.8, 2.5, 0.55, 0.5
_LEAST_GAP = 0.075


@dataclass(frozen=True)
class ArmNorms:
    """Gradient norms of one arm on one task: by parameter an array [seeds, epochs], NaN where a run has ended."""

    task: str
    arm: str
    norms: Mapping[str, NDArray[np.float64]]


def collect_norms(plan: Plan) -> list[ArmNorms]:
    """The recorded norms of each task's control and of the arms with another model, in study order."""
    found = []
    for task, arms in plan.study.arms.items():
        model = arms[0].overrides.get("model")
        for arm in arms:
            if arm.name == CONTROL or arm.overrides.get("model") != model:
                norms = _recorded(plan.cells[task][arm.name], plan.study.seeds)
                if norms:
                    found.append(ArmNorms(task, arm.name, norms))
    return found


def gradient_norms(arms: Sequence[ArmNorms], title: str = "") -> Figure:
    """Return a figure with a panel for each arm: thin lines are seeds, a thick one is their geometric mean.

    Parameters are drawn from dark (first of the network) to light (last) and named at the right; all panels of a task
    share the scale, so that a gradient that vanishes in one network can be seen beside one that does not.
    """
    columns = min(COLUMNS, max(1, len(arms)))
    limits = {own.task: _limits([other for other in arms if other.task == own.task]) for own in arms}
    lines = [arms[start : start + columns] for start in range(0, len(arms), columns)]
    height = _HEAD + _FOOT + _PANEL_HEIGHT * max(1, len(lines))
    with matplotlib.rc_context(RC):
        width = _PANEL_WIDTH * columns
        figure = Figure(figsize=(width, height))
        figure.text(
            0.6 / width, 1 - 0.22 / height, title, size=10, weight="bold", color=INK, parse_math=False, va="center"
        )
        if not lines:
            figure.text(0.6 / width, 0.4, "no run with recorded gradient norms", size=9, color=NEUTRAL)
        grid = figure.add_gridspec(
            max(1, len(lines)),
            columns,
            left=0.75 / width,
            right=1 - 1.6 / width,
            bottom=_FOOT / height,
            top=1 - (_HEAD + 0.15) / height,
            wspace=1.05,
            hspace=0.5,
        )
        for number, line in enumerate(lines):
            for column, own in enumerate(line):
                axes = figure.add_subplot(grid[number, column])
                last = number * columns + column + columns >= len(arms)
                _draw(axes, own, limits[own.task], first=column == 0, last=last)
        return figure


def _recorded(cell: Cell, seeds: Sequence[int]) -> dict[str, NDArray[np.float64]]:
    histories = [
        read_history(cell.run_folder(seed)) for seed in seeds if (cell.run_folder(seed) / "history.csv").is_file()
    ]
    columns = next((history[0] for history in histories if history), {})
    names = [name for name in columns if name.startswith(GRADIENT_NORM)]
    epochs = max((len(history) for history in histories), default=0)
    return {
        name.removeprefix(GRADIENT_NORM): np.array(
            [[row[name] for row in history] + [math.nan] * (epochs - len(history)) for history in histories]
        )
        for name in names
    }


def _limits(arms: Sequence[ArmNorms]) -> tuple[float, float]:
    """The range of all positive finite norms of a task, widened."""
    values = np.concatenate([own.ravel() for arm in arms for own in arm.norms.values()])
    values = values[np.isfinite(values) & (values > 0)]
    if not values.size:
        return 0.1, 10.0
    return float(values.min()) / 1.6, float(values.max()) * 1.6


def _draw(axes: Axes, own: ArmNorms, limits: tuple[float, float], first: bool, last: bool) -> None:
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, max(2, len(own.norms))))
    ends: list[tuple[float, str, tuple[float, ...]]] = []
    for colour, (name, norms) in zip(colours, own.norms.items(), strict=False):
        shown = np.where(norms > 0, norms, np.nan)
        epochs = np.arange(1, norms.shape[1] + 1)
        marker = "o" if len(epochs) == 1 else ""
        for seed in shown:
            axes.plot(epochs, seed, color=colour, linewidth=0.5, alpha=0.35, marker=marker, markersize=2)
        with np.errstate(all="ignore"):
            counts = np.isfinite(shown).sum(axis=0)
            mean = np.exp(np.nansum(np.log(shown), axis=0) / np.where(counts, counts, np.nan))
        axes.plot(epochs, mean, color=colour, linewidth=1.6, marker=marker, markersize=5)
        if np.isfinite(mean).any():
            ends.append((float(mean[np.isfinite(mean)][-1]), name, tuple(colour)))
    axes.set_yscale("log")
    axes.set_ylim(*limits)
    epochs_shown = next(iter(own.norms.values())).shape[1]
    axes.set_xlim(0.5, epochs_shown + 0.5)
    axes.xaxis.set_major_locator(FixedLocator([1]) if epochs_shown == 1 else MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(LogLocator(base=10, numticks=6))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=8)
    axes.set_title(f"{own.task}: {own.arm}", size=9, color=INK, loc="left", parse_math=False)
    if first:
        axes.set_ylabel("gradient norm", size=8, color=INK)
    if last:
        axes.set_xlabel("epoch", size=8, color=INK)
    if len(ends) <= MOST_LABELS:
        _label(axes, ends, limits)
    else:
        axes.text(1.02, 0.5, f"{len(ends)} parameters,\ndark: first", transform=axes.transAxes, size=7, color=INK)


def _label(axes: Axes, ends: Sequence[tuple[float, str, tuple[float, ...]]], limits: tuple[float, float]) -> None:
    """Name each line at its end, moved apart where they are too close to be read."""
    low, high = (math.log10(limit) for limit in limits)
    wanted = sorted(((math.log10(value) - low) / (high - low), name, colour) for value, name, colour in ends)
    heights: list[float] = []
    for height, *_ in wanted:
        heights.append(max(height, heights[-1] + _LEAST_GAP) if heights else height)
    excess = max(0.0, heights[-1] - 1.0) if heights else 0.0
    for placed, (height, name, colour) in zip(heights, wanted, strict=True):
        y = placed - excess
        axes.annotate(
            name,
            xy=(1.0, height),
            xytext=(1.09, y),
            xycoords="axes fraction",
            textcoords="axes fraction",
            size=7,
            color=INK,
            va="center",
            annotation_clip=False,
            parse_math=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.8,
                "shrinkA": 0,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )
