"""The readable form of the tables beside the verdicts: over all tasks, seed luck, samples, failures, provenance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from notafluke.analysis import Analysis
from notafluke.claims import records
from notafluke.report.numbers import MISSING, count, interval_text, mean_sd_text, number, p_text

_ARROWS = {"higher": " ↑", "lower": " ↓"}


@dataclass(frozen=True)
class Column:
    """A readable column: heading, text of a row's cell, whether it is a number, and what it means."""

    heading: str
    text: Callable[[Mapping[str, Any]], str]
    numeric: bool
    meaning: str


@dataclass(frozen=True)
class ReadableTable:
    """A table to read: ``name`` of its files, heading, what to know about it, columns and rows."""

    name: str
    heading: str
    note: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]


def suite_tables(analysis: Analysis) -> list[ReadableTable]:
    """Return the five tables; one without rows has no note either, or a note that says why."""
    return [
        _overall(analysis.overall, analysis.friedman),
        _luck(analysis.luck),
        _over_samples(analysis.over_samples),
        _failures(analysis.failures),
        _provenance(analysis.provenance),
    ]


def _overall(frame: pd.DataFrame, friedman: str) -> ReadableTable:
    note = (
        "Each arm against the control over the tasks together, on their primary metrics. The declared claims are "
        "decided task by task, above; this table is a family of its own. Ranks are descriptive."
    )
    columns = [
        _text("treatment", "treatment", "treatment against the study's control"),
        _text("verdict", "verdict", "of this table: Holm over its rows"),
        _number("tasks", "tasks", count, "tasks with both arms, on which the control learned and varies"),
        Column("W/T/L", _wins, True, "tasks on which the treatment tends to be better / neither / worse"),
        Column(
            "IQM difference [95 %]",
            lambda row: interval_text(row["iqm"], row["iqm_low"], row["iqm_high"]),
            True,
            "difference of interquartile means in control SD, positive = better; stratified bootstrap",
        ),
        Column(
            "P(improvement) [95 %]",
            lambda row: interval_text(
                row["p_improvement"], row["p_improvement_low"], row["p_improvement_high"], signed=False
            ),
            True,
            "share of seeds in which the treatment is better, mean over tasks; stratified bootstrap",
        ),
        _number("p these tasks", "p_fixed_suite", p_text, "signs flipped within tasks"),
        _number("p_Holm", "p_holm", p_text, "adjusted for the rows of this table"),
        _number("p new tasks", "p_new_tasks", p_text, "exact signed-rank on task means, with six tasks or more"),
        _number("mean rank", "mean_rank", lambda value: number(value, 3), "1 = best of all arms; descriptive"),
        _text("left out", "left_out", "tasks that are not in the row, and why"),
    ]
    note = f"{note} {friedman}".strip() if len(frame) else ""
    return ReadableTable("overall", "Over all tasks", note, columns, records(frame))


def _luck(frame: pd.DataFrame) -> ReadableTable:
    note = (
        "What the best of n seeds is worth. From mean and SD alone the best of n has an expected value: a best near it "
        "is what n tries give. Probabilities assume normal scores; p is not adjusted."
    )
    columns = [
        _text("task", "task", "task"),
        Column("metric", metric_text, False, "metric; the arrow shows the better direction"),
        _text("arm", "arm", "arm"),
        _text("verdict", "verdict", "of the mean against the baseline; best is luck: only the best seed beats it"),
        _number("n", "n", count, "seeds with a finite score"),
        _number("failed", "failed", count, "seeds without one"),
        Column("mean ± SD", lambda row: mean_sd_text(row["mean"], row["sd"]), True, "over seeds"),
        _number("best", "best", number, "best seed"),
        _number("expected best", "expected_best", number, "best of n expected from mean and SD"),
        _number("95 % of best", "best_quantile_95", number, "the best of n exceeds it with a probability of 5 %"),
        Column("baseline", _baseline, True, "baseline"),
        _number("p", "p_value", p_text, "of the mean against the baseline, two-sided t"),
        _number("P(one beats it)", "p_single_beats_baseline", _share, "probability that one seed beats the baseline"),
        _number("P(best beats it)", "p_best_beats_baseline", _share, "probability that the best of n does"),
    ]
    return ReadableTable("seed_luck", "Seed luck", note if len(frame) else "", columns, records(frame))


_BEYOND = {
    "test days": "over test days: what other days of the same market would give with these networks",
    "draws": "over draws: what other draws of the same lottery would give with these networks",
}


def _over_samples(frame: pd.DataFrame) -> ReadableTable:
    rows = records(frame)
    scopes = [text for over, text in _BEYOND.items() if any(row["over"] == over for row in rows)]
    note = (
        "Where every seed is tested on the same samples, seeds are no evidence against chance or the market. p-values "
        f"and intervals of this table are {'; and '.join(scopes)}. They say nothing of networks trained anew."
    )
    columns = [
        _text("task", "task", "task"),
        _text("arm", "arm", "arm; all arms: the best run of them all"),
        _text("question", "question", "what is asked"),
        _text("verdict", "verdict", "of this table: Holm over its rows"),
        Column("over", lambda row: f"{count(row['samples'])} {row['over']}", True, "the test samples"),
        _number("runs", "runs", count, "runs with a series over them"),
        Column("mean", lambda row: _with_unit(row, "mean"), True, "over the runs, of all arms the best"),
        Column("against", lambda row: f"{row['reference_name']} {number(row['reference'])}", True, "what is compared"),
        Column(
            "difference [95 %]",
            lambda row: interval_text(row["difference"], row["low"], row["high"]),
            True,
            "with its interval over the test samples",
        ),
        _number("p", "p_value", p_text, "of this row alone, over the test samples"),
        _number("p_Holm", "p_holm", p_text, "adjusted for the rows of this table"),
        _number("p of fit", "p_fit", p_text, "are the hits of single draws spread as by chance? chi-squared"),
        _text("method", "method", "how p is computed"),
        _text("reason", "reason", "why, in a few words"),
    ]
    return ReadableTable("over_samples", "Over test samples", note if rows else "", columns, rows)


def _with_unit(row: Mapping[str, Any], name: str) -> str:
    return f"{number(row[name])} {row['unit']}"


def _failures(frame: pd.DataFrame) -> ReadableTable:
    columns = [
        _text("task", "task", "task"),
        _text("arm", "arm", "arm"),
        *(
            _number(heading, name, count, meaning)
            for heading, name, meaning in (
                ("planned", "planned", "planned runs"),
                ("ok", "ok", "finished with a finite score"),
                ("not finite", "not_finite", "finished without one"),
                ("diverged", "diverged", "loss or predictions not finite"),
                ("crashed", "crashed", "a component raised"),
                ("timeout", "timeout", "ran out of time"),
                ("absent", "absent", "not recorded"),
            )
        ),
        _number("p_Fisher", "p_fisher", p_text, "failed and ok against the control's"),
    ]
    rows = records(frame)
    failed = [row for row in rows if row["ok"] < row["planned"]]
    note = f"All runs of {len(rows)} cells finished with a finite score." if not failed else ""
    if failed and len(failed) < len(rows):
        note = f"Only cells with a failed or absent run; in the other {len(rows) - len(failed)} all runs finished."
    return ReadableTable("failures", "Failures", note, columns, failed)


def _provenance(frame: pd.DataFrame) -> ReadableTable:
    columns = [_text("what", "what", "what"), _text("value", "value", "value")]
    return ReadableTable("provenance", "Provenance", "", columns, records(frame))


def metric_text(row: Mapping[str, Any]) -> str:
    """Return a row's metric with its unit, and an arrow in the better direction."""
    unit = f" [{row['unit']}]" if row["unit"] and row["unit"] != row["metric"] else ""
    return f"{row['metric']}{unit}{_ARROWS.get(str(row['direction']), '')}"


def _text(heading: str, name: str, meaning: str) -> Column:
    return Column(heading, lambda row: str(row[name]) or MISSING, False, meaning)


def _number(heading: str, name: str, text: Callable[[float], str], meaning: str) -> Column:
    return Column(heading, lambda row: text(row[name]), True, meaning)


def _share(value: float) -> str:
    return number(value, 2)


def _wins(row: Mapping[str, Any]) -> str:
    return "/".join(count(row[name]) for name in ("wins", "ties", "losses"))


def _baseline(row: Mapping[str, Any]) -> str:
    return f"{row['baseline_name']} {number(row['baseline'])}"
