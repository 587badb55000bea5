"""The `notafluke` command. Everything heavy is imported by the commands that need it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from notafluke.errors import DEBUG, UsageError, told_in_one_line

if TYPE_CHECKING:
    from notafluke.plan import Plan
    from notafluke.records import RunRecord

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"With {DEBUG} any command shows the traceback of an error. Start with: notafluke show demo",
)
track = typer.Typer(no_args_is_help=True, help="The view of the runs in MLflow.", rich_markup_mode=None)
app.add_typer(track, name="track")

StudyName = Annotated[str, typer.Argument(help="A study: the name of a file in conf/study, without .yaml.")]
StudyOverrides = Annotated[
    str, typer.Option("--overrides", help='Overrides of the study, "activation=tanh,iris seed=range(0,8)".')
]


@app.callback()
def describe() -> None:
    """Train ideas for recurrent networks against a control over many seeds, and say which claims hold.

    A whole study: snakemake --cores all --config study=demo
    """


@app.command(epilog='Example: notafluke train task=stock activation=iris "seed=range(0,10)"')
def train(
    overrides: Annotated[list[str], typer.Argument(help="Overrides of conf/config.yaml; seed may name several.")],
) -> None:
    """Train the missing runs of one cell.

    Seeds train together; runs that are recorded already are not trained again.
    """
    from notafluke.training.determinism import pin_environment

    pin_environment()
    from notafluke.tracking import SINGLE_RUNS
    from notafluke.train import train_cell

    _tell(train_cell(overrides, SINGLE_RUNS))


@app.command("train-cells", epilog="Example: notafluke train-cells demo results/runs/stock/activation=iris-0a1b2c3d")
def train_cells_(
    study: StudyName,
    folders: Annotated[list[str], typer.Argument(help="Folders of cells, as notafluke plan shows them.")],
    overrides: StudyOverrides = "",
    retrain: Annotated[bool, typer.Option("--retrain", help="Train again what is recorded already.")] = False,
) -> None:
    """Train the missing runs of some cells of a study.

    One after another in one process; this is what the jobs of snakemake call.
    """
    from notafluke.training.determinism import pin_environment

    pin_environment()
    from notafluke.train import train_cells

    for cell, records in train_cells(_plan(study, overrides), folders, retrain):
        typer.echo(cell.folder)
        _tell(records)


@app.command(epilog='Example: notafluke plan demo --overrides "seed=range(0,12)"')
def plan(study: StudyName, overrides: StudyOverrides = "") -> None:
    """Show the cells and runs of a study.

    How many runs are planned and recorded already; trains and writes nothing.
    """
    from notafluke.report.listing import plan_table, show

    show(plan_table(_plan(study, overrides)))


@app.command(epilog="Example: notafluke decide demo")
def decide(study: StudyName, overrides: StudyOverrides = "") -> None:
    """Write tables and figures of a study.

    From its run records alone; absent runs show as incomplete.
    """
    from notafluke.decision import decide_study

    for path in decide_study(_plan(study, overrides)):
        typer.echo(str(path))


@app.command(epilog="Example: notafluke show demo")
def show(study: StudyName, overrides: StudyOverrides = "") -> None:
    """Print the verdicts of a study.

    And where its tables, figures and runs are.
    """
    from notafluke.report.listing import show as print_page
    from notafluke.report.listing import verdict_page

    print_page(verdict_page(_plan(study, overrides)))


@app.command("list", epilog="Example: notafluke list components activation")
def list_(
    what: Annotated[str, typer.Argument(help="components or studies")] = "components",
    group: Annotated[str, typer.Argument(help="One group of components, such as activation.")] = "",
) -> None:
    """List components or studies.

    Each option with its description and source.
    """
    from notafluke.report.listing import component_table, show, study_table

    tables = {"components": lambda: component_table(group), "studies": study_table}
    if what not in tables:
        from notafluke.errors import did_you_mean

        raise UsageError(f"cannot list {what!r}{did_you_mean(what, tables)}")
    if group and what != "components":
        raise UsageError(f"cannot list {what} {group}: only components have groups")
    show(tables[what]())


@track.command("init", epilog="Example: notafluke track init")
def track_init() -> None:
    """Create the tracking database.

    Once, before several processes write to it.
    """
    from pathlib import Path

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

    typer.echo(f"{synchronise(_plan(study, overrides))} runs added")


def _tell(records: Sequence[RunRecord]) -> None:
    for record in records:
        values = "  ".join(f"{name} {value:.4g}" for name, value in record.metrics.items())
        typer.echo(f"seed {record.seed}: {record.outcome}  {values}{record.reason}")


def _plan(study: str, overrides: str) -> Plan:
    from notafluke.configuration import split_overrides
    from notafluke.plan import load_plan

    return load_plan(study, split_overrides(overrides))


def main() -> None:
    """Run the command line: a UsageError is one line and exit code 2."""
    arguments = [argument for argument in sys.argv[1:] if argument != DEBUG]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    with told_in_one_line(DEBUG in sys.argv):
        app(arguments, prog_name="notafluke")
