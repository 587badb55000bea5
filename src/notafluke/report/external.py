"""The analysis of scores from elsewhere as files, in the terminal and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from rich.console import Group
from rich.text import Text

from notafluke.analysis import Analysis, analyse
from notafluke.decidability import undecidable
from notafluke.decision import write_figures
from notafluke.errors import UsageError
from notafluke.external import SCOPE, External, Request, read_scores
from notafluke.records import finite
from notafluke.report.columns import SUMMARY_COLUMNS
from notafluke.report.gallery import Drawn, analysis_figures
from notafluke.report.listing import show
from notafluke.report.tables import Page, write_tables
from notafluke.report.terminal import verdict_table

MOST_COMPARISONS = 60
MOST_SEEDS = 200
_MOST_PRINTED = 40
_MOST_SENTENCES = 10


def analyse_file(request: Request, folder: Path, as_json: bool) -> None:
    """Analyse a file of scores, write tables and figures into a folder, and print what follows.

    Raises UsageError for what cannot be read, before anything is written.
    """
    external = read_scores(request)
    _require_folder(folder)
    analysis = analyse(
        external.study,
        external.scores,
        external.baselines,
        external.planned,
        external.provenance,
        SCOPE,
        request.control,
    )
    title = f"{request.metric} of {request.path.name} against {request.control}"
    notes = [*external.notes, *undecidable(external.study)]
    figures: Drawn = []
    if _can_be_drawn(external, analysis):
        figures = [own for own in analysis_figures(analysis, title) if len(analysis.luck) or own[0].name != "best_of_n"]
    else:
        notes.append(
            f"No figures: they are for at most {MOST_COMPARISONS} comparisons and {MOST_SEEDS} seeds; "
            "the tables hold everything."
        )
    _, shown = write_figures(figures, folder / "figures")
    tables = write_tables(analysis, folder / "tables", Page(title, notes, (), shown), with_scores=False)
    if as_json:
        print(json_text(analysis, notes))
        return
    decisions = analysis.decisions.head(_MOST_PRINTED)
    rest = len(analysis.decisions) - len(decisions)
    findings, others = _findings(analysis.summary)
    show(
        Group(
            Text(title, style="bold"),
            Text(),
            verdict_table(decisions, findings),
            *([Text(others), Text()] if others else []),
            *([Text(f"and {rest} more comparisons in {folder / 'tables' / 'significance.csv'}")] if rest else []),
            *(Text(note, style="yellow") for note in notes),
            *(
                Text.assemble((f"{name:8}", "dim"), str(place))
                for name, place in _places(folder, tables, bool(figures))
            ),
        )
    )


def _findings(summary: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The claims to print in sentences: all of a few, else those that hold or are contradicted; others in a line."""
    if len(summary) <= _MOST_SENTENCES:
        return summary, ""
    found = summary["result"].str.startswith("holds") | (summary["result"] == "contradicted")
    others = summary[~found].groupby("result", sort=True)["treatment"]
    lines = [f"{str(result).capitalize()}: {', '.join(names[:_MOST_PRINTED])}." for result, names in others]
    return summary[found].head(_MOST_SENTENCES), " ".join(lines)


def json_text(analysis: Analysis, notes: list[str]) -> str:
    """All tables as one JSON object of lists of rows; what is no number is null."""
    tables = {
        "decisions": analysis.decisions,
        "claims": analysis.summary[list(SUMMARY_COLUMNS)],
        "overall": analysis.overall,
        "seed_luck": analysis.luck,
        "failures": analysis.failures,
        "provenance": analysis.provenance,
    }
    content = {name: json.loads(frame.to_json(orient="records", double_precision=15)) for name, frame in tables.items()}
    return json.dumps(finite(content | {"notes": notes}), indent=1, allow_nan=False)


def _require_folder(folder: Path) -> None:
    """Make the folder. Raises UsageError where it cannot be one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {folder}: no folder can be made there: {error.strerror}") from error


def _can_be_drawn(external: External, analysis: Analysis) -> bool:
    return len(analysis.decisions) <= MOST_COMPARISONS and len(external.study.seeds) <= MOST_SEEDS


def _places(folder: Path, tables: tuple[Path, ...], drawn: bool) -> list[tuple[str, Path]]:
    figures = [("figures", folder / "figures")] if drawn else []
    return [("tables", tables[0]), *figures]
