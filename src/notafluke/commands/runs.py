"""Commands about the recorded runs: `notafluke status`, `retry`, `prune` and `unlock`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from notafluke.commands.common import StudyName, StudyOverrides, planned, results_folder
from notafluke.errors import UsageError

if TYPE_CHECKING:
    from notafluke.pruning import Removable

app = typer.Typer()


@app.command(epilog="Example: notafluke status demo")
def status(
    study: StudyName,
    overrides: StudyOverrides = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show where a study stands.

    Which runs are done, failed, damaged, missing or stale, and the command that finishes it.
    """
    import json

    from notafluke.status import status_of

    found = status_of(planned(study, overrides))
    if as_json:
        typer.echo(json.dumps(found.as_tree(), indent=1))
        return
    from notafluke.report.listing import show
    from notafluke.report.status_page import status_page

    show(status_page(found))


@app.command(epilog="Example: notafluke retry demo --outcome crashed,timeout")
def retry(
    study: StudyName,
    overrides: StudyOverrides = "",
    outcome: Annotated[str, typer.Option("--outcome", help="Only these: crashed, timeout, damaged.")] = "",
) -> None:
    """Let failed runs train again.

    Takes away the records of runs that crashed, timed out or are damaged; what they said is kept in failures.jsonl of
    each run. Runs that ended well or diverged are results and stay.
    """
    from notafluke.locks import refuse_while_working
    from notafluke.retrying import outcomes_of
    from notafluke.retrying import retry as take_away
    from notafluke.status import snakemake_command

    outcomes, plan = outcomes_of(outcome), planned(study, overrides)
    refuse_while_working("retry")
    found = take_away(plan, outcomes)
    for run in found:
        typer.echo(f"{run.folder}: {run.state}: {run.reason}")
    if not found:
        typer.echo(f"{plan.study.name}: no run is {' or '.join(outcomes)}; nothing to do")
        return
    if any(run.state == "timeout" for run in found):
        typer.echo("their time is up again at the same trainer.time_limit: give them more")
    typer.echo(f"{len(found)} runs are missing now; train them with: {snakemake_command(plan)}")


@app.command(epilog="Example: notafluke prune")
def prune(
    study: Annotated[str, typer.Argument(help="Only the runs of this study; else of all.")] = "",
    overrides: StudyOverrides = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove stale and damaged runs.

    Runs of older code, data, options or versions, damaged ones, and what killed processes left. Lists them first.
    """
    from notafluke.locks import THIS_MACHINE, refuse_while_working
    from notafluke.pruning import all_stale, removable, remove
    from notafluke.redaction import redact

    if overrides and not study:
        raise UsageError("--overrides belong to a study: notafluke prune STUDY --overrides ...")
    results = results_folder()
    refuse_while_working("prune")
    found, unclear = removable(results, planned(study, overrides) if study else None)
    for line in unclear:
        typer.echo(redact(line))
    if not found:
        typer.echo("nothing to remove")
        return
    if all_stale(found, results):
        typer.echo("Every recorded run is stale. Is this an older checkout, or another environment than they are of?")
    _list(found)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nothing removed: there is no terminal to ask; say it with --yes")
        if not typer.confirm(f"Remove them? ({THIS_MACHINE})"):
            typer.echo("nothing removed")
            return
        refuse_while_working("prune")
    remove(found, results)
    typer.echo("removed; MLflow is brought up to date by: notafluke track rebuild")


def _list(found: list[Removable]) -> None:
    from notafluke.pruning import STALE, size_text
    from notafluke.redaction import redact

    for item in found:
        runs = f", {item.runs} run{'s' if item.runs > 1 else ''}" if item.runs else ""
        typer.echo(redact(f"{size_text(item.size):>9}  {item.kind}{runs}: {item.path} ({item.reason})"))
    typer.echo(f"{size_text(sum(item.size for item in found)):>9}  in all")
    if any(item.kind == STALE for item in found):
        typer.echo(
            "Stale runs would be used again, untrained, after an edit is undone; removed, they are trained again."
        )


@app.command(epilog="Example: notafluke unlock")
def unlock(
    check: Annotated[bool, typer.Option("--check", help="Only say in one line whether the folder is locked.")] = False,
) -> None:
    """Remove the lock of a killed snakemake.

    Refused while a snakemake, or a job that one has left, works in this folder.
    """
    from notafluke.locks import lock_hint
    from notafluke.locks import unlock as remove_lock

    if check:
        if hint := lock_hint():
            typer.echo(hint)
        return
    typer.echo("unlocked; start it again, it goes on where it stopped" if remove_lock() else "there is no lock")
