"""`notafluke track`: the view of the runs in MLflow."""

from __future__ import annotations

from pathlib import Path

import typer

from notafluke.commands.common import StudyName, StudyOverrides, planned

track = typer.Typer(no_args_is_help=True, help="The view of the runs in MLflow.", rich_markup_mode=None)


@track.command("init", epilog="Example: notafluke track init")
def track_init() -> None:
    """Create the tracking database.

    Once, before several processes write to it.
    """
    from notafluke.configuration import compose_run, conf_folder
    from notafluke.tracking import connect

    results = Path(compose_run(conf_folder(), {}).config["execution"]["results"])
    connect(results)
    typer.echo("the tracking database is ready")


@track.command("sync", epilog="Example: notafluke track sync demo")
def track_sync(study: StudyName, overrides: StudyOverrides = "") -> None:
    """Add to MLflow what it lacks.

    Every recorded run of a study that its experiment does not show yet.
    """
    from notafluke.tracking import synchronise

    typer.echo(f"{synchronise(planned(study, overrides))} runs added")
