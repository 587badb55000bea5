"""`notafluke track`: the view of the runs in MLflow."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from notafluke.commands.common import StudyName, StudyOverrides, planned, results_folder
from notafluke.errors import StorageError

track = typer.Typer(no_args_is_help=True, help="The view of the runs in MLflow.", rich_markup_mode=None)


@track.command("init", epilog="Example: notafluke track init")
def track_init() -> None:
    """Make the tracking database ready.

    It is created where it is missing, and moved aside where it is damaged; runs that a killed process has left are
    marked as killed. Nothing changes where all is well.
    """
    from notafluke.tracking import initialise

    with _reachable():
        killed = initialise(results_folder())
    if killed:
        typer.echo(f"{killed} runs whose process is gone are marked as killed")
    typer.echo("the tracking database is ready")


@track.command("sync", epilog="Example: notafluke track sync demo")
def track_sync(study: StudyName, overrides: StudyOverrides = "") -> None:
    """Add to MLflow what it lacks.

    Every recorded run of a study that its experiment does not show yet.
    """
    from notafluke.tracking import synchronise

    plan = planned(study, overrides)
    with _reachable():
        typer.echo(f"{synchronise(plan)} runs added")


@track.command("rebuild", epilog="Example: notafluke track rebuild")
def track_rebuild() -> None:
    """Make MLflow anew from the run records.

    All experiments with their runs, each once, as results/experiments.jsonl and the records have them. The SQLite
    database in results/ is built beside the old one and replaces it once it is complete. On a server
    (MLFLOW_TRACKING_URI) what lacks is added, and what is there twice or is of no record is deleted, as in its UI.
    """
    from notafluke.tracking import rebuild

    with _reachable():
        done = rebuild(results_folder(), _show_progress)
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


@contextmanager
def _reachable() -> Iterator[None]:
    """Tell what MLflow has against it in one line."""
    from filelock import Timeout

    try:
        yield
    except Timeout:
        raise StorageError("MLflow: another process has been creating the database for minutes") from None
    except Exception as error:
        from mlflow.exceptions import MlflowException

        from notafluke.tracking.live import one_line

        if isinstance(error, MlflowException):
            raise StorageError(f"MLflow: {one_line(error)}") from error
        raise
