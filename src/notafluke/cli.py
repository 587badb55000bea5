"""The `notafluke` command. Everything heavy is imported by the commands that need it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notafluke.commands import reproducing, runs, tracking
from notafluke.commands.common import StudyName, StudyOverrides, planned
from notafluke.errors import DEBUG, UsageError, told_in_one_line
from notafluke.interruption import stoppable
from notafluke.redaction import redacting_handler, show_exception

if TYPE_CHECKING:
    from notafluke.records import RunRecord

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"With {DEBUG} any command shows the traceback of an error. Start with: notafluke show demo",
)
app.add_typer(tracking.track, name="track")
app.add_typer(runs.app)
app.add_typer(reproducing.app)


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
    with stoppable() as interruption:
        from notafluke.tracking import SINGLE_RUNS
        from notafluke.train import train_cell

        _tell(train_cell(overrides, SINGLE_RUNS, interruption=interruption))


@app.command(epilog="Example: notafluke fetch task=earthquake task.source=usgs")
def fetch(
    overrides: Annotated[list[str], typer.Argument(help="The task, and its options that choose the data.")],
) -> None:
    """Download and freeze the data of a web service.

    Before planning; goes on where it was interrupted. What it fetched is recorded in data.lock.yaml, to be committed.
    """
    from notafluke.fetching import fetch

    for line in fetch(overrides):
        typer.echo(line)


@app.command(epilog="Example: notafluke prepare demo")
def prepare(
    study: StudyName,
    folders: Annotated[list[str] | None, typer.Argument(help="Only these folders, results/data/...")] = None,
    overrides: StudyOverrides = "",
) -> None:
    """Prepare the data of a study.

    Fetched where needed, checked and stored in results/data with their provenance; what is there is kept.
    """
    from notafluke.preparation import prepare_study

    for folder in prepare_study(planned(study, overrides), folders or []):
        typer.echo(folder)


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
    with stoppable() as interruption:
        from notafluke.train import train_cells

        for cell, records in train_cells(planned(study, overrides), folders, retrain, interruption):
            typer.echo(cell.folder)
            _tell(records)


@app.command(epilog='Example: notafluke plan demo --overrides "seed=range(0,12)" --estimate')
def plan(
    study: StudyName,
    overrides: StudyOverrides = "",
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Prepare the data, time a few steps of each cell, say how long all take."),
    ] = False,
) -> None:
    """Show the cells and runs of a study.

    How many runs are planned and recorded already; trains and records nothing.
    """
    from notafluke.report.listing import estimate_text, plan_table, show
    from notafluke.training.determinism import pin_environment

    if estimate:
        pin_environment()
    own_plan = planned(study, overrides)
    show(plan_table(own_plan, hint=not estimate))
    if estimate:
        show(estimate_text(own_plan))


@app.command(epilog="Example: notafluke decide demo")
def decide(study: StudyName, overrides: StudyOverrides = "") -> None:
    """Write tables and figures of a study.

    From its run records alone; absent runs show as incomplete.
    """
    from notafluke.decision import decide_study

    for path in decide_study(planned(study, overrides)):
        typer.echo(str(path))


@app.command(epilog="Example: notafluke show demo")
def show(study: StudyName, overrides: StudyOverrides = "") -> None:
    """Print the verdicts of a study.

    And where its tables, figures and runs are.
    """
    from notafluke.report.listing import show as print_page
    from notafluke.report.listing import verdict_page

    print_page(verdict_page(planned(study, overrides)))


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


@app.command(
    epilog="Example: notafluke analyse examples/scores.csv --control tanh --metric loss --lower-is-better "
    "--sesoi 0.0033 --out results/analysis"
)
def analyse(
    scores: Annotated[Path, typer.Argument(help="A CSV file with a row for each run: treatment, seed, score.")],
    control: Annotated[str, typer.Option(help="The treatment that all others are compared with.")],
    out: Annotated[Path, typer.Option(help="The folder for tables and figures.")],
    metric: Annotated[
        str,
        typer.Option(
            help="The metric's name; the column with the scores, unless --score-column is "
            "given or there is a column score."
        ),
    ] = "score",
    lower_is_better: Annotated[bool, typer.Option("--lower-is-better", help="Lower scores are better.")] = False,
    alpha: Annotated[float, typer.Option(help="Family-wise error rate over all comparisons.")] = 0.05,
    sesoi: Annotated[str, typer.Option(help="Smallest effect size of interest: 0.01 in metric units, or 2%.")] = "",
    baseline: Annotated[str, typer.Option(help="A score that every run is compared with: is the best one luck?")] = "",
    only_common_seeds: Annotated[
        bool, typer.Option("--only-common-seeds", help="Leave out seeds that a treatment lacks.")
    ] = False,
    task_column: Annotated[str, typer.Option(help="Column of the task; one task where it is missing.")] = "task",
    treatment_column: Annotated[str, typer.Option(help="Column of the treatment.")] = "treatment",
    seed_column: Annotated[str, typer.Option(help="Column of the seed.")] = "seed",
    score_column: Annotated[str, typer.Option(help="Column of the score.")] = "score",
    status_column: Annotated[str, typer.Option(help="Column of the status: ok, diverged, crashed, ...")] = "status",
    as_json: Annotated[bool, typer.Option("--json", help="Print the tables as one JSON object.")] = False,
) -> None:
    """Decide on scores from elsewhere.

    The same tables and figures as for a study, from a CSV file of any tracker, paper or program.
    """
    from notafluke.external import request_of
    from notafluke.report.external import analyse_file

    columns = {
        "task": task_column,
        "treatment": treatment_column,
        "seed": seed_column,
        "score": score_column,
        "status": status_column,
    }
    request = request_of(scores, control, metric, lower_is_better, columns, alpha, sesoi, baseline, only_common_seeds)
    analyse_file(request, out, as_json)


def _number_option(option: str, description: str, whole: bool = False) -> Any:
    """An option for a number; what is none is refused in one line."""

    def parse(text: str) -> float:
        try:
            return int(text) if whole else float(text)
        except ValueError:
            raise UsageError(f"{option} {text}: expected a {'whole ' if whole else ''}number") from None

    return typer.Option(option, parser=parse, metavar="<int>" if whole else "<float>", help=description)


@app.command(epilog="Example: notafluke power --seeds 10 --treatments 9 --effect 0.8")
def power(
    seeds: Annotated[
        int | None, _number_option("--seeds", "Number of seeds: what can they detect?", whole=True)
    ] = None,
    effect: Annotated[
        float | None,
        _number_option(
            "--effect", "An effect d_z, mean difference / SD of the differences: how many seeds does it need?"
        ),
    ] = None,
    treatments: Annotated[
        int, _number_option("--treatments", "Treatments that are compared with the control.", whole=True)
    ] = 1,
    tasks: Annotated[int, _number_option("--tasks", "Tasks on which each is compared.", whole=True)] = 1,
    alpha: Annotated[float, _number_option("--alpha", "Family-wise error rate over all comparisons.")] = 0.05,
    power: Annotated[float, _number_option("--power", "The chance with which an effect is to be detected.")] = 0.8,
    test: Annotated[str, typer.Option(help="signed_rank or paired_t")] = "signed_rank",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what so many seeds can detect.

    Before any run: the smallest p and effect, alone and after Holm's correction, and the seeds that an effect needs.
    """
    from notafluke.report.listing import show
    from notafluke.report.questions import json_text, power_answer, power_page

    answer = power_answer(seeds, effect, treatments, tasks, alpha, power, test)
    if as_json:
        typer.echo(json_text(answer))
    else:
        show(power_page(answer))


@app.command(epilog="Example: notafluke fluke --scores 2.7,5.2,5.8,7.1,8.4,10.1,11.1,11.7,13,14.9 --baseline 10.6")
def fluke(
    scores: Annotated[
        str, typer.Option(help="One score for each seed, 9.1,14.9,...; or a file with one on each line, - for stdin.")
    ],
    baseline: Annotated[
        float, _number_option("--baseline", "The score to beat, such as that of buy-and-hold or chance.")
    ],
    lower_is_better: Annotated[bool, typer.Option("--lower-is-better", help="Lower scores are better.")] = False,
    alpha: Annotated[float, _number_option("--alpha", "Level of the test of the mean against the baseline.")] = 0.05,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say whether the best of n seeds is a fluke.

    From the scores of all seeds: what their mean says, and how good the best of so many is from luck alone.
    """
    from notafluke.report.listing import show
    from notafluke.report.questions import fluke_answer, fluke_page, json_text, parse_scores

    answer = fluke_answer(parse_scores(scores), baseline, lower_is_better, alpha)
    if as_json:
        typer.echo(json_text(answer))
    else:
        show(fluke_page(answer))


def _tell(records: Sequence[RunRecord]) -> None:
    for record in records:
        values = "  ".join(f"{name} {value:.4g}" for name, value in record.metrics.items())
        typer.echo(f"seed {record.seed}: {record.outcome}  {values}{record.reason}")
    for baseline in records[0].baselines if records else ():
        if baseline["trivial"]:
            typer.echo(f"baseline {baseline['name']}: {baseline['metric']} {baseline['value']:.4g}")


def main() -> None:
    """Run the command line: a UsageError is one line and exit code 2."""
    arguments = [argument for argument in sys.argv[1:] if argument != DEBUG]
    sys.excepthook = show_exception
    logging.basicConfig(level=logging.INFO, handlers=[redacting_handler("%(asctime)s %(message)s", "%H:%M:%S")])
    with told_in_one_line(DEBUG in sys.argv):
        app(arguments, prog_name="notafluke")
