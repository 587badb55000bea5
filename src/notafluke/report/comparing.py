"""Two runs side by side, and a run that was trained again beside what is stored of it: for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from notafluke.comparison import (
    Comparison,
    Difference,
    StoredRun,
    compare_results,
    configuration_differences,
    surroundings_differences,
)
from notafluke.environments import environment_file
from notafluke.finding import results_of
from notafluke.records import finite
from notafluke.report.listing import duration, simple_table
from notafluke.reproduction import Reproduction

_MOST_ROWS = 30
_MOST_NAMES = 8
_MOST_CHARACTERS = 40


# ---- notafluke reproduce ---------------------------------------------------------------------------------------------


def reproduction_page(own: Reproduction) -> RenderableType:
    """What came of training a run again: identical and in what, or the first difference; and the surroundings."""
    record, comparison = own.stored.record, own.comparison
    parts: list[RenderableType] = [
        Text(str(own.stored.folder), style="bold"),
        Text(f"run {record.run_key[:16]}, trained again in {duration(own.seconds)}", style="dim"),
        *map(Text, _cautions(own)),
        *_result(comparison, "stored", "again"),
    ]
    if not own.same_key:
        parts.append(Text("The run key is another now: configuration, code, data or versions are not what they were."))
    parts += _table("surroundings", own.surroundings, ("stored", "now"))
    if not own.surroundings:
        parts.append(Text("surroundings: no difference", style="dim"))
    if not comparison.identical and (hint := _way_back(own)):
        parts.append(Text(hint, style="dim"))
    if own.kept is not None:
        parts.append(Text(f"the new run is kept in {own.kept}"))
    return Group(*parts)


def reproduction_content(own: Reproduction) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "run_key": own.stored.record.run_key,
        "folder": str(own.stored.folder),
        "identical": own.comparison.identical,
        "all_compared": own.comparison.whole,
        "outcome": own.stored.record.outcome,
        "outcome_again": own.again.record.outcome,
        "deterministic": own.stored.record.deterministic,
        "same_key": own.same_key,
        "compared": list(own.comparison.compared),
        "differences": _as_rows(own.comparison.differences, "stored", "again"),
        "surroundings": _as_rows(own.surroundings, "stored", "now"),
        "seconds": round(own.seconds, 3),
        "kept": None if own.kept is None else str(own.kept),
    }


def _cautions(own: Reproduction) -> list[str]:
    record, cautions = own.stored.record, []
    if not record.deterministic:
        cautions.append("It was declared not to be reproducible: its record says deterministic: false.")
    outcomes = f"{record.outcome}, now {own.again.record.outcome}"
    if not own.stored.is_content:
        cautions.append(
            f"Outcome {outcomes}: crashed and timeout are no content that a run comes to again, so only "
            "the epochs that both have are compared."
        )
    elif not own.again.is_content:
        cautions.append(f"Outcome {outcomes}: only the epochs that both have could be compared.")
    return cautions


def _result(comparison: Comparison, first: str, second: str) -> list[RenderableType]:
    """Identical, how far and in what; or the first difference in full and the names of the others."""
    words = ", ".join(comparison.compared)
    if comparison.identical and comparison.whole:
        return [Text.assemble(("identical", "bold green"), f": {words}")]
    if comparison.identical:
        epochs = (
            "the one epoch that both have is"
            if comparison.epochs == 1
            else (f"the {comparison.epochs} epochs that both have are")
        )
        return [Text.assemble((f"{epochs} identical", "bold yellow"), f": {words}")]
    if not comparison.differences:
        rest = f" ({words}: no difference)" if words else ""
        return [Text(f"nothing to compare: there is no epoch that both have{rest}", style="bold yellow")]
    one, *others = comparison.differences
    found: list[RenderableType] = [Text.assemble(("differs", "bold red"), f", first in: {one.name}")]
    width = max(len(first), len(second))
    found += [Text(f"  {name:{width}}  {value}") for name, value in ((first, one.first), (second, one.second))]
    if others:
        names = [own.name for own in others]
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        found.append(Text(f"  then in: {'; '.join(names[:_MOST_NAMES])}{more}"))
    return found


def _way_back(own: Reproduction) -> str:
    """How to have the code again that the run was trained with; empty where it is this code."""
    provenance, names = own.stored.record.provenance, {row.place for row in own.surroundings}
    commit = str(provenance.get("git_commit", ""))
    if "code" not in names or not commit:
        return ""
    hint = f"its code: git checkout {commit[:12]}"
    results = results_of(own.stored.folder)
    if provenance.get("git_dirty") and own.stored.environment and results is not None:
        file = _relative(environment_file(results, str(provenance["environment"])))
        hint += f" && python -m notafluke.environments {file} | git apply"
    return hint


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


# ---- notafluke diff --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TwoRuns:
    """Two runs and all that differs between them."""

    first: StoredRun
    second: StoredRun
    configuration: tuple[Difference, ...]
    surroundings: tuple[Difference, ...]
    results: Comparison

    @property
    def identical(self) -> bool:
        """Whether nothing at all differs."""
        return not (self.configuration or self.surroundings or self.results.differences)


def two_runs(first: StoredRun, second: StoredRun) -> TwoRuns:
    """Compare two runs in everything."""
    return TwoRuns(
        first,
        second,
        tuple(configuration_differences(first, second)),
        tuple(surroundings_differences(first, second)),
        compare_results(first, second),
    )


def difference_page(own: TwoRuns) -> RenderableType:
    """Two runs side by side: configuration, surroundings, metrics, and where their results part."""
    runs = own.first, own.second
    parts: list[RenderableType] = [
        Text(f"{name:6} {run.record.run_key[:16]}  {run.folder}", style="bold")
        for name, run in zip(("first", "second"), runs, strict=True)
    ]
    if own.identical:
        compared = ", ".join(own.results.compared) or "of their results there is nothing to compare"
        outcome = "" if own.results.whole else f", outcome {own.first.record.outcome}, so that no more can be compared"
        return Group(*parts, Text(f"no difference: {compared}{outcome}"))
    parts += _table("configuration", own.configuration, ("first", "second"))
    parts += _table("surroundings", own.surroundings, ("first", "second"))
    parts += [Text("\nresults", style="bold"), *_result(own.results, "first", "second"), _metrics(*runs)]
    return Group(*parts)


def difference_content(own: TwoRuns) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "runs": [
            {
                "run_key": run.record.run_key,
                "folder": str(run.folder),
                "outcome": run.record.outcome,
                "metrics": finite(run.record.metrics),
            }
            for run in (own.first, own.second)
        ],
        "identical": own.identical,
        "all_compared": own.results.whole,
        "configuration": _as_rows(own.configuration, "first", "second"),
        "surroundings": _as_rows(own.surroundings, "first", "second"),
        "compared": list(own.results.compared),
        "differences": _as_rows(own.results.differences, "first", "second"),
    }


def _metrics(first: StoredRun, second: StoredRun) -> RenderableType:
    """Test metrics side by side with the second's lead over the first, and what ends a run."""
    one, other = first.record, second.record
    table = simple_table("", "first", "second", "second - first")
    for name in dict.fromkeys((*one.metrics, *other.metrics)):
        pair = one.metrics.get(name), other.metrics.get(name)
        gap = f"{pair[1] - pair[0]:+.4g}" if pair[0] is not None and pair[1] is not None else ""
        unit = one.units.get(name) or other.units.get(name)
        table.add_row(f"test {name}{f' [{unit}]' if unit and unit != name else ''}", *map(_number, pair), gap)
    table.add_row("outcome", one.outcome, other.outcome)
    table.add_row("best epoch", str(one.best_epoch), str(other.best_epoch))
    table.add_row("last epoch", str(one.last_epoch), str(other.last_epoch))
    table.add_row("learning rate", _number(one.learning_rate), _number(other.learning_rate))
    table.add_row("parameters", str(one.parameters), str(other.parameters))
    table.add_row("seconds", f"{one.seconds:.3g}", f"{other.seconds:.3g}")
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else repr(float(value))


# ---- both ------------------------------------------------------------------------------------------------------------


def _table(title: str, rows: Sequence[Difference], headings: tuple[str, str]) -> list[RenderableType]:
    """A heading and a table of differences, long values cut and many of them counted; nothing where there are none."""
    if not rows:
        return []
    table = simple_table("", *headings)
    for row in rows[:_MOST_ROWS]:
        table.add_row(row.name, _cut(row.first), _cut(row.second))
    if len(rows) > _MOST_ROWS:
        table.add_row(f"and {len(rows) - _MOST_ROWS} more (--json shows all)", "", "")
    return [Text(f"\n{title}", style="bold"), table]


def _cut(value: str) -> str:
    """A value for a cell of a table; of a digest the first 16 digits."""
    if len(value) >= 40 and not set(value) - set("0123456789abcdef"):
        return value[:16]
    return value if len(value) <= _MOST_CHARACTERS else f"{value[: _MOST_CHARACTERS - 3]}..."


def _as_rows(rows: Sequence[Difference], first: str, second: str) -> list[dict[str, str]]:
    return [{"what": row.name, first: row.first, second: row.second} for row in rows]
