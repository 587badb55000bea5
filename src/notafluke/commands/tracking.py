"""`notafluke track`: the view of the runs in MLflow."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from notafluke.commands.common import StudyName, StudyOverrides, planned, results_folder
from notafluke.errors import StorageError, UsageError
from notafluke.files import write_atomic
from notafluke.redaction import redact

track = typer.Typer(no_args_is_help=True, help="The view of the runs in MLflow.", rich_markup_mode=None)


@track.command("init", epilog="Example: notafluke track init")
def track_init(
    tolerant: Annotated[
        bool,
        typer.Option(
            "--tolerant",
            help="For the workflow: warn where MLflow fails; do nothing where execution.tracking is false.",
        ),
    ] = False,
) -> None:
    """Make the tracking database ready.

    It is created where it is missing, and moved aside where it is damaged; runs that a killed process has left are
    marked as killed. Nothing changes where all is well.
    """
    from notafluke.tracking import initialise

    if tolerant and not _is_on():
        typer.echo("execution.tracking is false: nothing is logged to MLflow")
        return
    results = results_folder()
    try:
        with _reachable(results):
            killed = initialise(results, live=tolerant)
    except UsageError as error:
        if not tolerant:
            raise
        _warn(f"warning: {error}; training goes on without it")
        return
    if killed:
        typer.echo(f"{killed} runs whose process is gone are marked as killed")
    typer.echo("the tracking database is ready")


@track.command("sync", epilog="Example: notafluke track sync demo")
def track_sync(
    study: StudyName,
    overrides: StudyOverrides = "",
    marker: Annotated[
        Path | None,
        typer.Option(
            help="For the workflow: a file that is empty afterwards, or says that MLflow failed; exit code 0 then too."
        ),
    ] = None,
) -> None:
    """Add to MLflow what it lacks.

    Every recorded run of a study that its experiment does not show yet.
    """
    from notafluke.tracking import synchronise

    plan = planned(study, overrides)
    failed = ""
    try:
        with _reachable(Path(plan.results)):
            typer.echo(f"{synchronise(plan)} runs added")
    except UsageError as error:
        if marker is None:
            raise
        command = f"notafluke track sync {study}" + (f" --overrides={shlex.quote(overrides)}" if overrides else "")
        failed = _warn(f"warning: {error}; the runs are recorded. The next start tries again, and so does: {command}")
    if marker is not None:
        write_atomic(marker, failed)


@track.command("rebuild", epilog="Example: notafluke track rebuild")
def track_rebuild() -> None:
    """Make MLflow anew from the run records.

    All experiments with their runs, each once, as results/experiments.jsonl and the records have them. The SQLite
    database in results/ is built beside the old one and replaces it once it is complete. On a server
    (MLFLOW_TRACKING_URI) what lacks is added, and what is of this results folder and there twice or of no record is
    deleted, as in its UI.
    """
    from notafluke.tracking import rebuild

    results = results_folder()
    with _reachable(results):
        done = rebuild(results, _show_progress)
    parts = [f"{done.experiments} experiments, {done.shown} runs: {done.added} added, {done.removed} removed"]
    if done.damaged:
        parts.append(f"{done.damaged} damaged records are not shown")
    typer.echo("; ".join(parts))


def _show_progress(experiment: str, done: int, total: int) -> None:
    """One line, written over in a terminal."""
    if sys.stderr.isatty():
        typer.echo(f"\r{experiment}: {done} of {total} cells", err=True, nl=done == total)
    elif done == total:
        typer.echo(f"{experiment}: {total} cells", err=True)


def _is_on() -> bool:
    """Whether training logs to MLflow."""
    from notafluke.configuration import conf_folder, tracking_is_on

    return tracking_is_on(conf_folder())


def _warn(text: str) -> str:
    """Print a warning without secrets, and return it."""
    typer.echo(redact(text), err=True)
    return f"{redact(text)}\n"


@contextmanager
def _reachable(results: Path) -> Iterator[None]:
    """Tell what MLflow has against it in one line."""
    from notafluke.tracking.database import tracking_uri
    from notafluke.tracking.failures import failure_of

    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        if told := failure_of(error, tracking_uri(results)):
            raise StorageError(told) from error
        raise
