"""What there is, in the terminal: a study's plan, the components, the studies, the place of the results."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from notafluke.configuration import conf_folder, groups, options
from notafluke.errors import UsageError, did_you_mean
from notafluke.options import described_option
from notafluke.plan import Plan
from notafluke.study_file import study_content
from notafluke.tuning import FILE as TUNING_FILE


def show(*parts: RenderableType) -> None:
    """Print to the terminal; where the output is no terminal, as plain text without breaking lines."""
    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(console.width, 160))
    for part in parts:
        console.print(part)


def simple_table(*headings: str) -> Table:
    """An empty table in the house style."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def plan_table(plan: Plan, hint: bool = True) -> RenderableType:
    """The cells of a study with the number of runs recorded of those planned, and a hint at how long the rest takes."""
    table = simple_table("task", "arm", "recorded", f"folder in {plan.results}/runs/<task>")
    seeds = plan.study.seeds
    for task, arms in plan.cells.items():
        for arm, cell in arms.items():
            done = sum(cell.metrics_file(seed).is_file() for seed in seeds)
            table.add_row(task, arm, f"{done} of {len(seeds)}", Path(cell.folder).name)
    missing = len(plan.missing())
    untuned = [cell for cell in plan.distinct_cells if not (Path(cell.folder) / TUNING_FILE).is_file()]
    tuning = f", after the tuning of {len(untuned)} cells" if plan.study.tune != "none" and missing and untuned else ""
    left = sum(any(not cell.metrics_file(seed).is_file() for cell in job for seed in seeds) for job in plan.jobs)
    jobs = f" in {left} job{'s' if left > 1 else ''}" if left else ""
    total = Text(f"\n{plan.study.name}: {len(plan.metrics_files())} runs, {missing} to train{jobs}{tuning}")
    overridden = f" --overrides {shlex.quote(' '.join(plan.overrides))}" if plan.overrides else ""
    command = f"notafluke plan {plan.study.name.partition('+')[0]}{overridden} --estimate"
    hints = [Text(f"how long they take: {command}", style="dim")] if missing and hint else []
    return Group(table, total, *hints, *(Text(f"warning: {warning}") for warning in plan.warnings))


def estimate_text(plan: Plan) -> RenderableType:
    """How long the missing runs of a study take on the cores of this machine, from a few timed steps of every cell."""
    from notafluke.estimate import cell_times, wall_seconds

    cores = os.cpu_count() or 1
    with Progress(*Progress.get_default_columns(), console=Console(stderr=True), transient=True) as progress:
        times = list(progress.track(cell_times(plan), total=len(plan.distinct_cells), description="timing the cells"))
    by_task: dict[str, float] = {}
    for own in times:
        by_task[own.cell.task] = by_task.get(own.cell.task, 0.0) + own.seconds
    parts = ", ".join(f"{task} {duration(seconds)}" for task, seconds in by_task.items() if seconds)
    total = wall_seconds(times, plan, cores)
    return Text(
        f"about {duration(total)} on {cores} cores, from a few timed steps of every cell on this machine as busy as it "
        f"is now (one core: {parts})"
        if parts
        else "nothing to train"
    )


def duration(seconds: float) -> str:
    """A time in words: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def component_table(wanted: str = "") -> RenderableType:
    """Every option of every group, or of one, with description and source. Raises UsageError for an unknown group."""
    conf = conf_folder()
    parts: list[RenderableType] = []
    if wanted and wanted not in groups(conf):
        raise UsageError(f"unknown group {wanted}{did_you_mean(wanted, groups(conf))}")
    for group in [wanted] if wanted else groups(conf):
        table = simple_table("option", "description", "source")
        table.columns[0].min_width = 13
        for option in options(conf, group):
            own = described_option(conf, group, option)
            table.add_row(option, own.description, own.source)
        parts += [Text(group, style="bold"), table, Text()]
    return Group(*parts)


def study_table() -> RenderableType:
    """Every study with its title."""
    conf = conf_folder()
    table = simple_table("study", "title")
    for name in options(conf, "study"):
        try:
            title = str(study_content(conf, name).get("title", ""))
        except UsageError as error:
            title = f"cannot be read: {error}"
        table.add_row(name, title)
    return table


def verdict_page(plan: Plan) -> RenderableType:
    """The verdicts of a study, notes on how far they can be trusted, and where everything is."""
    from notafluke.decision import judge, notes
    from notafluke.report.terminal import verdict_table
    from notafluke.tracking import ui_command

    analysis = judge(plan)
    places = [
        ("tables", plan.folder / "tables" / "significance.html"),
        ("figures", plan.folder / "figures"),
        ("runs", Path(plan.results) / "runs"),
        ("MLflow", ui_command(Path(plan.results))),
    ]
    return Group(
        Text(plan.study.title, style="bold"),
        Text(),
        verdict_table(analysis.decisions, analysis.summary),
        *(Text(note, style="yellow") for note in notes(plan)),
        *(Text.assemble((f"{name:8}", "dim"), str(place)) for name, place in places),
    )
