"""The verdicts in the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from notafluke.claims import records
from notafluke.report.numbers import count, interval_text, p_text
from notafluke.report.style import VERDICT_STYLES, result_style
from notafluke.report.tables import adjusted_name, sections, verdict_text
from notafluke.sentences import failures_in_words
from notafluke.study import BASELINE_PREFIX, CONTROL

_VERDICT_WIDTH = 17
_MOST_TREATMENT = 24
_MOST_DIFFERENCE = 30


def verdict_table(decisions: pd.DataFrame, summary: pd.DataFrame) -> RenderableType:
    """Return one table for each family and one sentence for each claim; made for 80 columns and more."""
    widths = _widths(records(decisions))
    parts: list[RenderableType] = []
    for heading, rows in sections(decisions):
        parts += [Text(heading, style="bold"), _table(rows, *widths), Text()]
    return Group(*parts, *(_sentence(row) for row in records(summary)))


def _widths(rows: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Return the least widths of treatment and difference that all families share, so that their columns agree."""
    cells = [_cells(row) for row in rows]
    treatment = max([9, *(len(line) for name, *_ in cells for line in name.plain.splitlines())])
    difference = max([17, *(len(text) for _, text, *_ in cells)])
    return min(_MOST_TREATMENT, treatment), min(_MOST_DIFFERENCE, difference)


def _table(rows: Sequence[Mapping[str, Any]], treatment: int, difference: int) -> Table:
    """Return the rows of one family, grouped by task and metric."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False, header_style="dim")
    table.add_column("treatment", overflow="fold", min_width=treatment)
    table.add_column("difference [95 %]", justify="right", overflow="fold", width=difference)
    table.add_column(adjusted_name(rows[0]), justify="right", no_wrap=True, width=7)
    table.add_column("verdict", overflow="fold", width=_VERDICT_WIDTH)
    for number, group in enumerate(_groups(rows)):
        if number:
            table.add_row()
        table.add_row(_heading(group[0]))
        for row in group:
            table.add_row(*_cells(row))
    return table


def _groups(rows: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Return the rows of each task and metric, a task's metrics beside each other."""
    groups: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for row in rows:
        groups.setdefault(str(row["task"]), {}).setdefault(str(row["metric"]), []).append(row)
    return [group for metrics in groups.values() for group in metrics.values()]


def _heading(row: Mapping[str, Any]) -> Text:
    """Return a group's task, metric and direction."""
    metric, unit = str(row["metric"]), str(row["unit"])
    shown = f"{metric} [{unit}]" if unit and unit != metric else metric
    better = f", {row['direction']} is better" if row["direction"] else ""
    return Text.assemble((str(row["task"]), "bold"), (f"\n{shown}{better}" if metric else "", "dim"))


def _cells(row: Mapping[str, Any]) -> tuple[Text, Text, Text, Text]:
    """Return the cells of one comparison."""
    control = str(row["control"])
    name = Text(f" {row['treatment']}")
    if control != CONTROL:
        name.append(f"\n against {control.replace(BASELINE_PREFIX, 'baseline ')}", style="dim")
    verdict = Text(verdict_text(row), style=VERDICT_STYLES[str(row["verdict"])].terminal)
    for note in _notes(row):
        verdict.append(f"\n{note}", style="not bold default dim")
    difference = interval_text(row["delta"], row["delta_low"], row["delta_high"])
    return name, Text(difference), Text(p_text(row["p_holm"])), verdict


def _notes(row: Mapping[str, Any]) -> list[str]:
    """Return the few words below a verdict: what is absent, what failed, what is needed."""
    notes = []
    if row["verdict"] == "incomplete":
        notes.append(f"{row['pairs_done']:.0f} of {row['pairs_planned']:.0f} pairs")
    if row["verdict"] == "cannot decide":
        notes.append(str(row["reason"]).split(":")[0])
    if row["verdict"] == "underpowered" and not math.isnan(row["seeds_needed"]):
        notes.append(f"{count(row['seeds_needed'])} seeds needed")
    return notes + failures_in_words(row)


def _sentence(row: Mapping[str, Any]) -> Text:
    """Return a claim's sentence, its result in colour."""
    text = Text(str(row["sentence"]))
    result = f": {row['result']} ("
    start = text.plain.find(result) + 2
    text.stylize(result_style(str(row["result"])), start, start + len(str(row["result"])))
    if row["advice"]:
        text.append(f"\n  {row['advice']}", style="dim")
    if row["command"]:
        text.append(f"\n  {row['command']}", style="dim")
    return text.append("\n")
