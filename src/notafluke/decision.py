"""The last rule: from the run records of a study to its verdicts, tables and figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from notafluke.advice import with_advice
from notafluke.analysis import Analysis, analyse
from notafluke.looks import Schedule
from notafluke.options import reconstruction_note
from notafluke.origin import study_provenance
from notafluke.plan import Plan
from notafluke.registration import cautions, note_look, register
from notafluke.report.figures import save
from notafluke.report.gallery import analysis_figures, training_figures
from notafluke.report.numbers import number
from notafluke.report.tables import Page, PageFigure, write_tables
from notafluke.scores import collect, planned_runs


def decide_study(plan: Plan) -> list[Path]:
    """Write tables and figures of a study, and note the look; returns the files. Absent runs show as incomplete."""
    register(plan)
    analysis = judge(plan)
    figures = [*analysis_figures(analysis, plan.study.title), *training_figures(plan)]
    files, shown = write_figures(figures, plan.folder / "figures")
    page = Page(plan.study.title, notes(plan), plan.options, shown)
    tables = write_tables(analysis, plan.folder / "tables", page)
    note_look(plan)
    return [*tables, *files]


def write_figures(figures: list[tuple[PageFigure, Figure]], folder: Path) -> tuple[list[Path], list[PageFigure]]:
    """Write each figure as SVG and PNG; returns the files, and the figures with their SVG for the page."""
    files: list[Path] = []
    shown: list[PageFigure] = []
    for described, figure in figures:
        written = save(figure, folder, described.name)
        files += written
        shown.append(replace(described, svg=written[0].read_bytes()))
    return files, shown


def notes(plan: Plan) -> list[str]:
    """What a reader must know before believing the verdicts."""
    return [*cautions(plan), *_look(plan), *plan.warnings, *reconstruction_note(plan.options)]


def _look(plan: Plan) -> list[str]:
    """Which declared look this is, and what it may spend."""
    if not plan.study.looks:
        return []
    schedule, alpha = Schedule.of(plan.study), plan.study.alpha
    return [
        f"Look {schedule.reached} of {len(schedule.sizes)}, at {schedule.sizes[schedule.reached - 1]} of "
        f"{schedule.sizes[-1]} seeds: of alpha = {number(alpha)} for all looks this one tests at "
        f"{number(schedule.level(alpha))} ({plan.study.spending}); adjusted p-values are those of all looks so far."
    ]


def judge(plan: Plan) -> Analysis:
    """Everything that follows from the recorded runs of a study."""
    collected = collect(plan)
    provenance = study_provenance(plan, collected.provenance)
    analysis = analyse(
        plan.study,
        collected.scores,
        collected.baselines,
        planned_runs(plan),
        provenance,
        series=collected.series,
    )
    summary = with_advice(analysis.summary, analysis.decisions, plan).assign(cautions=" ".join(cautions(plan)))
    return replace(analysis, summary=summary, timings=collected.timings)
