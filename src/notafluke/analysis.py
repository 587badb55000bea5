"""From scores to every table: the same for a study's run records and for a table of scores from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from notafluke.claims import StudyLike, decide
from notafluke.failures import failures
from notafluke.over_samples import Series, over_samples
from notafluke.overall import Suite, friedman_note, overall
from notafluke.pairing import Table
from notafluke.report.profiles import Profile
from notafluke.score_profiles import score_profiles
from notafluke.seed_luck import seed_luck
from notafluke.sentences import SCOPE, summarise, with_run_keys
from notafluke.study import CONTROL


@dataclass(frozen=True)
class Analysis:
    """The scores and what follows from them; the columns of each table are in ``report.columns``.

    ``decisions`` has a row for each comparison, ``summary`` for each claim, ``overall`` for each arm over all tasks,
    ``luck`` for each arm and baseline, ``over_samples`` for what is judged over test samples, ``failures`` for each
    cell, ``provenance`` for each thing that the figures rest on. ``profiles`` are the arms' performance profiles,
    ``friedman`` is a sentence, ``scope`` what all generalises to. ``timings`` say how long each run trained, None where
    that is not known.
    """

    scores: pd.DataFrame
    baselines: pd.DataFrame
    planned: pd.DataFrame
    decisions: pd.DataFrame
    summary: pd.DataFrame
    overall: pd.DataFrame
    luck: pd.DataFrame
    over_samples: pd.DataFrame
    failures: pd.DataFrame
    provenance: pd.DataFrame
    profiles: list[Profile]
    friedman: str
    scope: str
    timings: pd.DataFrame | None = None


def analyse(
    study: StudyLike,
    scores: pd.DataFrame,
    baselines: pd.DataFrame,
    planned: pd.DataFrame,
    provenance: pd.DataFrame,
    scope: str = SCOPE,
    control_name: str = CONTROL,
    series: Series | None = None,
) -> Analysis:
    """Decide the claims of a study and fill all tables. Raises UsageError for tables that cannot be read.

    ``scores``, ``baselines`` and ``planned`` are those of ``claims.decide``; ``scope`` and ``control_name`` are for the
    sentences, ``series`` are those of ``over_samples``.
    """
    table = Table.read(scores, baselines, planned)
    suite = Suite.of(study, table)
    decisions = decide(study, scores, baselines, planned)
    summary = with_run_keys(summarise(decisions, scope, control_name), decisions, scores)
    return Analysis(
        scores=scores,
        baselines=baselines,
        planned=planned,
        decisions=decisions,
        summary=summary.assign(advice="", command="", cautions=""),
        overall=overall(study, table, suite),
        luck=seed_luck(study.alpha, table),
        over_samples=over_samples(study.alpha, table, series or {}),
        failures=failures(table),
        provenance=provenance,
        profiles=score_profiles(table, suite),
        friedman=friedman_note(table, tuple(suite.scales)),
        scope=scope,
    )
