"""The significance table as CSV, Markdown and HTML, and the scores that it comes from."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from notafluke.claims import SCOPE, records
from notafluke.files import write_atomic
from notafluke.options import DescribedOption
from notafluke.report.columns import COLUMNS
from notafluke.report.numbers import MISSING, count, interval_text, mean_sd_text, number, p_text, typographic
from notafluke.report.style import SECTIONS, VERDICT_STYLES
from notafluke.study import BASELINE_PREFIX

FOREST = "../figures/forest.svg"
_SCORE_ORDER = ["task", "arm", "metric", "seed"]


@dataclass(frozen=True)
class Column:
    """A readable column: heading, text of a row's cell, whether it is a number, and what it means."""

    heading: str
    text: Callable[[Mapping[str, Any]], str]
    numeric: bool
    meaning: str


@dataclass(frozen=True)
class Page:
    """What a page says beside its numbers.

    ``notes`` are lines below the title, ``options`` say what the compared options are; the page holds the forest plot
    when its bytes are given, else it links it at ``../figures/forest.svg``; and the figure of the gradient norms.
    """

    title: str
    notes: Sequence[str] = ()
    options: Sequence[DescribedOption] = ()
    forest_svg: bytes | None = None
    norms_svg: bytes | None = None


def write_significance(
    decisions: pd.DataFrame, scores: pd.DataFrame, summary: pd.DataFrame, folder: Path, page: Page
) -> tuple[Path, ...]:
    """Write ``significance.csv``, ``.md`` and ``.html`` and ``scores.csv`` into ``folder``, each whole or not at all.

    The CSV files hold every column in full precision; Markdown and HTML a selection with the digits that matter. Same
    input, same bytes.
    """
    return (
        write_atomic(folder / "significance.csv", csv_text(decisions)),
        write_atomic(folder / "significance.md", markdown_text(decisions, summary, page)),
        write_atomic(folder / "significance.html", html_text(decisions, summary, page)),
        write_atomic(folder / "scores.csv", csv_text(scores.sort_values(_SCORE_ORDER, kind="stable"))),
    )


def csv_text(frame: pd.DataFrame) -> str:
    """Return ``frame`` as CSV: floats with all their digits, empty for what is not there, lines end in ``\\n``."""
    return frame.to_csv(index=False, lineterminator="\n")


def markdown_text(decisions: pd.DataFrame, summary: pd.DataFrame, page: Page) -> str:
    """Return claims and table as Markdown with aligned columns."""
    parts = [f"# {page.title}", *page.notes]
    if len(summary):
        parts += ["## What holds", "\n".join(f"- `{row['claim']}` - {row['sentence']}" for row in records(summary))]
    for heading, rows in sections(decisions):
        columns = readable_columns(rows)
        parts += [f"## {heading}", _markdown_table(columns, rows)]
    if page.options:
        options = [vars(own) | {"name": own.name} for own in page.options]
        parts += ["## What was compared", _markdown_table(_OPTION_COLUMNS, options)]
    parts += ["## How to read it", "\n".join(f"- {line}" for line in _legend(decisions))]
    return "\n\n".join(parts) + "\n"


def html_text(decisions: pd.DataFrame, summary: pd.DataFrame, page: Page) -> str:
    """Return claims, forest plot, table and legend as one page that needs no network."""
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
        claims=records(summary),
        figure=_embedded(page.forest_svg) or FOREST,
        norms=_embedded(page.norms_svg),
        sections=[
            {
                "heading": heading,
                "columns": readable_columns(rows),
                "details": _detail_columns(),
                "rows": rows,
            }
            for heading, rows in sections(decisions)
        ],
        styles=VERDICT_STYLES,
        verdicts=[(name, style) for name, style in VERDICT_STYLES.items() if (decisions["verdict"] == name).any()],
        all_columns=COLUMNS,
        scope=SCOPE,
        typographic=typographic,
    )


def _embedded(svg: bytes | None) -> str:
    """Return a figure as an address that holds it; empty where there is none."""
    return "" if svg is None else f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}"


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
        Column("metric", _metric, False, "metric, and the direction in which it is better"),
        Column("treatment", comparison, False, "treatment against the study's control, or against what is named"),
        Column("verdict", verdict_text, False, "see below"),
        Column("pairs", _pairs, True, "seeds recorded in both arms / planned"),
        Column("failed", _failed, True, "failed runs: treatment / control"),
        Column("control", lambda r: mean_sd_text(r["control_mean"], r["control_sd"]), True, _FINISHED),
        Column("with treatment", lambda r: mean_sd_text(r["treatment_mean"], r["treatment_sd"]), True, _FINISHED),
        Column(
            "difference [95 %]",
            lambda row: interval_text(row["delta"], row["delta_low"], row["delta_high"]),
            True,
            "treatment - control in metric units, mean over the finished pairs with its 95 % t interval",
        ),
        Column("in %", _percent, True, "the difference in per cent of the control's mean"),
        Column("d_z", lambda r: number(r["d_z"], 2), True, "mean / SD of the differences; positive = treatment better"),
        Column("P(better)", lambda row: number(row["p_better"], 2), True, "share of seeds in which the treatment wins"),
        Column("p", lambda row: p_text(row["p_value"]), True, "two-sided p of this comparison alone"),
        Column(adjusted, lambda row: p_text(row["p_holm"]), True, "p adjusted for all comparisons of the section"),
        Column("MDE80", lambda r: number(r["mde80"], 2), True, "effect detectable with 80 % power, metric units"),
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
        Column("SESOI", lambda row: number(row["sesoi"]), True, "smallest effect size of interest, metric units"),
        Column("p_TOST", lambda row: p_text(row["p_tost"]), True, "p of equivalence within the SESOI"),
        Column("p_TOST,Holm", lambda row: p_text(row["p_tost_holm"]), True, "the same, adjusted"),
        Column("seeds needed", lambda row: count(row["seeds_needed"]), True, "to detect the SESOI with 80 % power"),
        Column("rank-biserial", lambda row: number(row["rank_biserial"], 2), True, "positive = treatment better"),
        Column("correlation", lambda row: number(row["arms_correlation"], 2), True, "of the arms over seeds"),
        Column("trivial baseline", _baseline, True, "what the control must beat on the task's primary metric"),
        Column("parameters T / C", both("parameters", count), True, "trained parameters"),
        Column("seconds T / C", both("seconds", lambda value: number(value, 2)), True, "mean training time of a run"),
        Column("best epoch T / C", both("best_epoch", lambda value: number(value, 3)), True, "median over runs"),
        Column("runs", lambda row: str(row["treatment_cell"]) or MISSING, False, "folder of the treatment's runs"),
    ]


def _metric(row: Mapping[str, Any]) -> str:
    unit = f" [{row['unit']}]" if row["unit"] and row["unit"] != row["metric"] else ""
    better = f", {row['direction']} is better" if row["direction"] else ""
    return f"{row['metric']}{unit}{better}"


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


def _legend(decisions: pd.DataFrame) -> list[str]:
    """Return the lines that explain the verdicts that occur and the columns."""
    verdicts = [
        f"**{name}**: {style.meaning}" for name, style in VERDICT_STYLES.items() if (decisions["verdict"] == name).any()
    ]
    columns = [
        f"`{col.heading}`: {col.meaning}" for _, rows in sections(decisions)[:1] for col in readable_columns(rows)
    ]
    return [*verdicts, *columns, f"Everything here is {SCOPE}."]


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
