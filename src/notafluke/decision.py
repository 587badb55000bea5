"""The last rule: from the run records of a study to its verdicts, tables and figures."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from notafluke.claims import decide, summarise
from notafluke.options import reconstruction_note
from notafluke.plan import Plan
from notafluke.registration import cautions, note_look, register
from notafluke.report.figures import forest, save
from notafluke.report.gradients import collect_norms, gradient_norms
from notafluke.report.tables import Page, write_significance
from notafluke.scores import collect, planned_runs


def decide_study(plan: Plan) -> list[Path]:
    """Write tables and figures of a study, and note the look; returns the files. Absent runs show as incomplete."""
    register(plan)
    decisions, summary, scores, baselines = judge(plan)
    figure = forest(decisions, scores, baselines, planned_runs(plan), title=plan.study.title)
    figures = save(figure, plan.folder / "figures", "forest")
    norms = save(gradient_norms(collect_norms(plan), plan.study.title), plan.folder / "figures", "gradient_norms")
    page = Page(plan.study.title, notes(plan), plan.options, figures[0].read_bytes(), norms[0].read_bytes())
    tables = write_significance(decisions, scores, summary, plan.folder / "tables", page)
    note_look(plan)
    return [*tables, *figures, *norms]


def notes(plan: Plan) -> list[str]:
    """What a reader must know before believing the verdicts."""
    return [*cautions(plan), *plan.warnings, *reconstruction_note(plan.options)]


def judge(plan: Plan) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Decisions, their summary by claim, and the scores and baselines that they rest on."""
    scores, baselines = collect(plan)
    decisions = decide(plan.study, scores, baselines, planned_runs(plan))
    return decisions, summarise(decisions), scores, baselines
