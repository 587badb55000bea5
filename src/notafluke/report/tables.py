"""All tables as CSV and LaTeX, and the page that holds them as Markdown and HTML."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from notafluke.analysis import Analysis
from notafluke.claims import records
from notafluke.files import write_atomic
from notafluke.options import DescribedOption
from notafluke.report.columns import CLAIM_COLUMNS, COLUMNS
from notafluke.report.latex import latex_text
from notafluke.report.numbers import MISSING, count, interval_text, mean_sd_text, number, p_text, typographic
from notafluke.report.style import SECTIONS, VERDICT_STYLES
from notafluke.report.suite_tables import Column, ReadableTable, metric_text, suite_tables
from notafluke.study import BASELINE_PREFIX

MOST_ROWS = 300
SUFFIXES = (
    "(relevant): shown to be larger than the smallest effect size of interest",
    "(negligible): significant, and shown to be smaller than it",
)
_SCORE_ORDER = ["task", "arm", "metric", "seed"]


@dataclass(frozen=True)
class PageFigure:
    """A figure of the page: the name of its files, heading, how to read it, and the SVG."""

    name: str
    heading: str
    caption: str
    svg: bytes = b""


@dataclass(frozen=True)
class Page:
    """What a page says beside its numbers.

    ``notes`` are lines below the title, ``options`` say what the compared options are; the first of ``figures`` stands
    open, the others can be unfolded.
    """

    title: str
    notes: Sequence[str] = ()
    options: Sequence[DescribedOption] = ()
    figures: Sequence[PageFigure] = ()


def write_tables(analysis: Analysis, folder: Path, page: Page, with_scores: bool = True) -> tuple[Path, ...]:
    """Write all tables into ``folder``, each file whole or not at all: ``<table>.csv`` and ``.tex``, and the page.

    The CSV files hold every column in full precision; the others a selection with the digits that matter, and at most
    MOST_ROWS rows a table. Same scores, same bytes: what differs from one training to the next, times, stands in
    ``timings.csv`` and in the table of provenance alone.
    """
    frames = {
        "significance": analysis.decisions,
        "claims": analysis.summary[list(CLAIM_COLUMNS)],
        "overall": analysis.overall,
        "seed_luck": analysis.luck,
        "over_samples": analysis.over_samples,
        "failures": analysis.failures,
        "provenance": analysis.provenance,
    }
    if with_scores:
        frames["scores"] = analysis.scores.sort_values(_SCORE_ORDER, kind="stable")
    if analysis.timings is not None:
        frames["timings"] = analysis.timings.sort_values(["task", "arm", "seed"], kind="stable")
    texts = {
        "significance.html": html_text(analysis, page),
        "significance.md": markdown_text(analysis, page),
        **{f"{name}.csv": csv_text(frame) for name, frame in frames.items()},
        **{f"{own.name}.tex": latex_text(own.columns, own.rows, own.heading) for own in _for_latex(analysis)},
    }
    return tuple(write_atomic(folder / name, text) for name, text in texts.items())


def _for_latex(analysis: Analysis) -> list[ReadableTable]:
    """Return every table for LaTeX; the verdicts with the columns that fit a page."""
    rows = records(analysis.decisions)
    wanted = ("task", "treatment", "pairs", "difference [95 %]", "d_z", "p", "p_Holm", "p_BH", "verdict")
    columns = [column for column in readable_columns(rows) if column.heading in wanted] if rows else []
    claims = [
        Column("claim", lambda row: str(row["claim"]), False, "name"),
        Column("result", lambda row: str(row["result"]), False, "result"),
        Column("tasks", lambda row: f"{row['held']:.0f} of {row['tasks']:.0f}", True, "tasks on which it holds"),
    ]
    return [
        ReadableTable("significance", "Verdicts", "", columns, rows),
        ReadableTable("claims", "Claims", "", claims, records(analysis.summary)),
        *suite_tables(analysis),
    ]


def csv_text(frame: pd.DataFrame) -> str:
    """Return ``frame`` as CSV: floats with all their digits, empty for what is not there, lines end in ``\\n``."""
    return frame.to_csv(index=False, lineterminator="\n")


def markdown_text(analysis: Analysis, page: Page) -> str:
    """Return claims and tables as Markdown with aligned columns."""
    parts = [f"# {page.title}", *page.notes]
    if len(analysis.summary):
        parts += ["## What holds", "\n".join(_claim_lines(analysis))]
    for heading, rows in sections(analysis.decisions):
        parts += [f"## {heading}", _shown(readable_columns(rows), rows, "significance")]
    for table in _worth_showing(analysis):
        parts += [f"## {table.heading}", *([table.note] if table.note else [])]
        parts += [_shown(table.columns, table.rows, table.name)] if table.rows else []
    if page.options:
        options = [vars(own) | {"name": own.name} for own in page.options]
        parts += ["## What was compared", _markdown_table(_OPTION_COLUMNS, options)]
    parts += ["## How to read it", "\n".join(f"- {line}" for line in _legend(analysis))]
    return "\n\n".join(parts) + "\n"


def _claim_lines(analysis: Analysis) -> Iterator[str]:
    for row in records(analysis.summary):
        yield " ".join(f"- `{row['claim']}` - {row['sentence']}".split())
        if row["advice"]:
            yield f"  ({row['advice']}{': `' + row['command'] + '`' if row['command'] else ''})"


def _shown(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """Return a table of at most MOST_ROWS rows, and where the others are."""
    left_out = rows_left_out(rows, name)
    return _markdown_table(columns, rows[:MOST_ROWS]) + (f"\n\n{left_out}" if left_out else "")


def rows_left_out(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """Return a line that says how many rows a page leaves out; empty where it has all."""
    return f"The first {MOST_ROWS} of {len(rows)} rows; all are in {name}.csv." if len(rows) > MOST_ROWS else ""


def html_text(analysis: Analysis, page: Page) -> str:
    """Return claims, figures, tables and legend as one page that needs no network."""
    decisions = analysis.decisions
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("notafluke.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("significance.html.j2").render(
        title=page.title,
        notes=list(page.notes),
        options=list(page.options),
        claims=records(analysis.summary),
        figures=[(figure, _embedded(figure.svg)) for figure in page.figures],
        sections=[
            {
                "heading": heading,
                "columns": readable_columns(rows),
                "details": _detail_columns(),
                "rows": rows[:MOST_ROWS],
                "left_out": rows_left_out(rows, "significance"),
            }
            for heading, rows in sections(decisions)
        ],
        tables=[
            (table, table.rows[:MOST_ROWS], rows_left_out(table.rows, table.name)) for table in _worth_showing(analysis)
        ],
        styles=VERDICT_STYLES,
        verdicts=[(name, style) for name, style in VERDICT_STYLES.items() if (decisions["verdict"] == name).any()],
        all_columns=COLUMNS,
        scope=f"{analysis.scope}{beyond(analysis)}",
        suffixes=SUFFIXES,
        typographic=typographic,
    )


def beyond(analysis: Analysis) -> str:
    """Return what the scope of the page leaves out: the table over test samples speaks of other samples; else empty."""
    kinds = sorted({str(row["over"]) for row in records(analysis.over_samples)})
    return (
        f"; but p-values and intervals of the table over test samples are over {' and '.join(kinds)}" if kinds else ""
    )


def _worth_showing(analysis: Analysis) -> list[ReadableTable]:
    """Return the tables that say anything."""
    return [table for table in suite_tables(analysis) if table.rows or table.note]


def _embedded(svg: bytes) -> str:
    """Return a figure as an address that holds it."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}"


_OPTION_COLUMNS = [
    Column("option", lambda row: str(row["name"]), False, "as overrides name it"),
    Column("what it is", lambda row: str(row["description"]), False, "description of the option file"),
    Column("source", lambda row: str(row["source"]), False, "where it is from"),
]


def sections(decisions: pd.DataFrame) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return heading and rows of each family that has any."""
    rows = records(decisions)
    parts = [(heading, [row for row in rows if row["family"] == family]) for family, heading in SECTIONS.items()]
    return [(_with_size(heading, part), part) for heading, part in parts if part]


def comparison(row: Mapping[str, Any]) -> str:
    """Return ``treatment``, and the control where it is not the study's."""
    control = str(row["control"])
    if control == "control":
        return str(row["treatment"])
    return f"{row['treatment']} against {control.replace(BASELINE_PREFIX, 'baseline ')}"


def verdict_text(row: Mapping[str, Any]) -> str:
    """Return the verdict with its suffix."""
    return f"{row['verdict']} ({row['verdict_suffix']})" if row["verdict_suffix"] else str(row["verdict"])


def adjusted_name(row: Mapping[str, Any]) -> str:
    """Return the heading of the adjusted p-values."""
    return "p_Holm" if row["correction"] == "holm" else "p_BH"


def readable_columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Return the columns of the readable table for these rows."""
    adjusted = adjusted_name(rows[0])
    return [
        Column("task", lambda row: str(row["task"]), False, "task"),
        Column("metric", metric_text, False, "metric; the arrow shows the better direction"),
        Column("treatment", comparison, False, "treatment against the study's control, or against what is named"),
        Column("verdict", verdict_text, False, "see below"),
        Column(
            "difference [95 %]",
            lambda row: interval_text(row["delta"], row["delta_low"], row["delta_high"]),
            True,
            "treatment - control in metric units, mean over the finished pairs with its 95 % t interval",
        ),
        Column("in %", _percent, True, "the difference in per cent of the control's mean"),
        Column("p", lambda row: p_text(row["p_value"]), True, "two-sided p of this comparison alone"),
        Column(adjusted, lambda row: p_text(row["p_holm"]), True, "p adjusted for all comparisons of the section"),
        Column("d_z", lambda r: number(r["d_z"], 2), True, "mean / SD of the differences; positive = treatment better"),
        Column(
            "P(better) [95 %]",
            lambda r: interval_text(r["p_better"], r["p_better_low"], r["p_better_high"], signed=False),
            True,
            "share of seeds in which the treatment wins",
        ),
        Column("SESOI", lambda r: number(r["sesoi"], 2), True, "smallest effect size of interest, metric units"),
        Column("MDE80", lambda r: number(r["mde80"], 2), True, "effect detectable with 80 % power, metric units"),
        Column("pairs", _pairs, True, "seeds recorded in both arms / planned"),
        Column("failed", _failed, True, "failed runs: treatment / control"),
        Column("control", lambda r: mean_sd_text(r["control_mean"], r["control_sd"]), True, _FINISHED),
        Column("with treatment", lambda r: mean_sd_text(r["treatment_mean"], r["treatment_sd"]), True, _FINISHED),
        Column("reason", lambda row: str(row["reason"]), False, "why"),
    ]


_FINISHED = "mean ± SD of the finished runs"


def _detail_columns() -> list[Column]:
    """Return the columns of the second table: the arms and the remaining statistics."""

    def both(name: str, text: Callable[[float], str]) -> Callable[[Mapping[str, Any]], str]:
        return lambda row: f"{text(row[f'{name}_treatment'])} / {text(row[f'{name}_control'])}"

    return [
        Column("task", lambda row: str(row["task"]), False, "task"),
        Column("treatment", comparison, False, "treatment against the study's control, or against what is named"),
        Column(
            "difference [90 %]",
            lambda row: interval_text(row["delta"], row["delta_low_90"], row["delta_high_90"]),
            True,
            "with the interval of the equivalence test, 1 - 2 alpha",
        ),
        Column("p_TOST", lambda row: p_text(row["p_tost"]), True, "p of equivalence within the SESOI"),
        Column("p_TOST,Holm", lambda row: p_text(row["p_tost_holm"]), True, "the same, adjusted"),
        Column("seeds needed", lambda row: count(row["seeds_needed"]), True, "to detect the SESOI with 80 % power"),
        Column("rank-biserial", lambda row: number(row["rank_biserial"], 2), True, "positive = treatment better"),
        Column("correlation", lambda row: number(row["arms_correlation"], 2), True, "of the arms over seeds"),
        Column("trivial baseline", _baseline, True, "what the control must beat on the task's primary metric"),
        Column("parameters T / C", both("parameters", count), True, "trained parameters"),
        Column(
            "learning rate T / C", _learning_rates, True, "trained at; * the lowest or highest that it could choose"
        ),
        Column("epochs T / C", both("epochs", lambda value: number(value, 3)), True, "mean number trained"),
        Column("validation T / C", both("validation", number), True, "mean best score on the primary metric"),
        Column("best epoch T / C", both("best_epoch", lambda value: number(value, 3)), True, "median over runs"),
        Column("runs", lambda row: str(row["treatment_cell"]) or MISSING, False, "folder of the treatment's runs"),
    ]


def _learning_rates(row: Mapping[str, Any]) -> str:
    edges = {side: "*" if row[f"at_grid_edge_{side}"] == 1 else "" for side in ("treatment", "control")}
    return " / ".join(f"{number(row[f'learning_rate_{side}'], 2)}{edge}" for side, edge in edges.items())


def _pairs(row: Mapping[str, Any]) -> str:
    return f"{row['pairs_done']:.0f}/{row['pairs_planned']:.0f}"


def _failed(row: Mapping[str, Any]) -> str:
    return f"{row['failed_treatment']:.0f}/{row['failed_control']:.0f}"


def _percent(row: Mapping[str, Any]) -> str:
    value = row["delta_percent"]
    return MISSING if math.isnan(value) else f"{'+' if value > 0 else ''}{number(value, 2)}"


def _baseline(row: Mapping[str, Any]) -> str:
    return f"{row['baseline_name']} {number(row['baseline'])}" if row["baseline_name"] else MISSING


def _with_size(heading: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a section's heading with the size of its family."""
    return f"{heading}, m = {rows[0]['m']:.0f}" if rows else heading


def _legend(analysis: Analysis) -> list[str]:
    """Return the lines that explain the verdicts that occur and the columns."""
    decisions = analysis.decisions
    verdicts = [
        f"**{name}**: {style.meaning}" for name, style in VERDICT_STYLES.items() if (decisions["verdict"] == name).any()
    ]
    columns = [
        f"`{col.heading}`: {col.meaning}" for _, rows in sections(decisions)[:1] for col in readable_columns(rows)
    ]
    further = [
        f"`{column.heading}` ({table.heading.lower()}): {column.meaning}"
        for table in _worth_showing(analysis)[:2]
        for column in table.columns
    ]
    return [*verdicts, *SUFFIXES, *columns, *further, f"Everything here is {analysis.scope}{beyond(analysis)}."]


def _markdown_table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return an aligned Markdown table; numbers to the right."""
    cells = [[column.heading for column in columns]]
    cells += [[" ".join(column.text(row).replace("|", "\\|").split()) for column in columns] for row in rows]
    widths = [max(3, *(len(line[place]) for line in cells)) for place in range(len(columns))]
    rule = ["-" * (width - 1) + (":" if col.numeric else "-") for col, width in zip(columns, widths, strict=True)]
    lines = [
        [
            text.rjust(width) if column.numeric else text.ljust(width)
            for text, width, column in zip(line, widths, columns, strict=True)
        ]
        for line in cells
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])
