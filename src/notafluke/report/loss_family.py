"""The figure of all losses in the documentation: ``python -m notafluke.report.loss_family docs/figures``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib
import torch
from matplotlib.figure import Figure
from torch import Tensor

from notafluke.components import build_component
from notafluke.configuration import compose_run, conf_folder, options
from notafluke.errors import UsageError, told_in_one_line
from notafluke.files import write_atomic
from notafluke.report.figures import RC, svg_bytes
from notafluke.report.style import INK, NEUTRAL, VERDICT_STYLES

COLUMNS = 6
UNDER, OVER = VERDICT_STYLES["worse"].colour, VERDICT_STYLES["equivalent"].colour
SYMMETRIC = ("mse", "mae", "huber", "smooth_l1", "smooth_l1_log")
_REACH, _TOP = 3.0, 4.5


def shipped_losses() -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """The losses of ``conf/loss`` that are of this package, as configured, the symmetric ones first."""
    names = [name for name in options(conf_folder(), "loss") if name != "of_output"]
    names.sort(key=lambda name: (SYMMETRIC.index(name) if name in SYMMETRIC else len(SYMMETRIC), name))
    configs = {name: compose_run(conf_folder(), {"loss": name}).config for name in names}
    own = {name: config for name, config in configs.items() if config["loss"]["_target_"].startswith("notafluke.")}
    return {name: build_component(config, "loss") for name, config in own.items()}


def loss_family(losses: Mapping[str, Callable[[Tensor, Tensor], Tensor]]) -> Figure:
    """Return a figure with a panel for each loss as a function of ``d = prediction - target``, the square in grey."""
    rows = -(-len(losses) // COLUMNS)
    # Denser at the target, where a root is steep.
    over = _REACH * torch.linspace(0, 1, 41, dtype=torch.float64) ** 2
    under = -over.flip(0)
    with matplotlib.rc_context(RC):
        height = 0.9 + 1.55 * rows
        figure = Figure(figsize=(10, height))
        figure.text(0.045, 1 - 0.25 / height, "Losses", size=11, weight="bold", color=INK, va="center")
        for x, text, colour in (
            (0.12, "under the target, d < 0", UNDER),
            (0.32, "over the target, d > 0", OVER),
            (0.52, "for comparison: mse, d²", NEUTRAL),
        ):
            figure.text(x, 1 - 0.25 / height, f"━ {text}", size=8.5, color=colour, va="center")
        grid = figure.add_gridspec(rows, COLUMNS, left=0.045, right=0.99, bottom=0.4 / height, top=1 - 0.65 / height)
        grid.update(hspace=0.55, wspace=0.18)
        for number, (name, loss) in enumerate(losses.items()):
            axes = figure.add_subplot(grid[number // COLUMNS, number % COLUMNS])
            both = torch.cat([under, over])
            axes.plot(both, both.square(), color=NEUTRAL, linewidth=0.6, alpha=0.6)
            for d, colour in ((under, UNDER), (over, OVER)):
                axes.plot(d, loss(d, torch.zeros_like(d)), color=colour, linewidth=1.8)
            axes.set_xlim(-_REACH, _REACH)
            axes.set_ylim(0, _TOP)
            axes.set_xticks([-2, 0, 2])
            axes.set_yticks([0, 2, 4])
            axes.axvline(0, color=NEUTRAL, linewidth=0.4)
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(colors=INK, labelsize=7, labelleft=number % COLUMNS == 0)
            axes.set_title(name, size=8.5, color=INK, loc="left")
            if number + COLUMNS >= len(losses):
                axes.set_xlabel("d = prediction − target", size=7, color=INK)
        return figure


def main() -> None:
    """Draw the losses into the folder that the command line names."""
    with told_in_one_line(debug=False):
        if len(sys.argv) != 2:
            raise UsageError("name the folder: python -m notafluke.report.loss_family docs/figures")
        print(write_atomic(Path(sys.argv[1]) / "losses.svg", svg_bytes(loss_family(shipped_losses()))))


if __name__ == "__main__":
    main()
