"""`notafluke reproduce` and `notafluke diff`: is a run what its record says, and what tells two runs apart."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from notafluke.commands.common import StudyOverrides, planned, results_folder
from notafluke.errors import UsageError
from notafluke.redaction import redact

app = typer.Typer()

_RUN = "A run: its key or 6 or more of the first digits, its folder or metrics.json, or its id in MLflow."


@app.command(epilog="Example: notafluke reproduce results/runs/stock/activation=iris-0a1b2c3d/seed=0")
def reproduce(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help=_RUN)] = None,
    study: Annotated[str, typer.Option(help="Take runs of this study, chosen at random.")] = "",
    overrides: StudyOverrides = "",
    sample: Annotated[int, typer.Option(help="How many runs of the study.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the choice: the same seed chooses the same runs.")] = 0,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the new run, and say where it is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train a run again and compare it bit by bit.

    From its recorded configuration with the code that is here, in a fresh process that cannot read the stored results;
    results/ stays as it is. Exit code 0: identical, 1: it differs, 2: one cannot be tried; the others are.
    """
    from notafluke.finding import find_run
    from notafluke.report.comparing import reproduction_content, reproduction_page
    from notafluke.report.listing import show
    from notafluke.reproduction import reproduce, sample_runs

    if bool(runs) == bool(study):
        raise UsageError("name the runs to reproduce, or a study to take some of: notafluke reproduce --study demo")
    if sample < 1:
        raise UsageError(f"--sample {sample}: expected a whole number of at least 1")
    results = results_folder()
    texts = runs or [str(folder) for folder in sample_runs(planned(study, overrides), sample, seed)]
    contents: list[dict[str, Any]] = []
    code = 0
    for text in texts:
        try:
            own = reproduce(find_run(text, results), results, keep)
        except UsageError as error:
            if len(texts) == 1:
                raise
            typer.echo(redact(f"error: {error}"), err=True)
            contents.append({"run": text, "error": redact(str(error))})
            code = 2
            continue
        contents.append({"run": text, **reproduction_content(own)})
        code = max(code, 0 if own.comparison.identical else 1)
        if not as_json:
            show(reproduction_page(own))
    if as_json:
        typer.echo(json.dumps({"runs": contents}, indent=1))
    if code:
        raise typer.Exit(code)


@app.command(epilog="Example: notafluke diff 3f2a9c 81d0e4")
def diff(
    first: Annotated[str, typer.Argument(metavar="RUN", help=_RUN)],
    second: Annotated[str, typer.Argument(metavar="RUN", help="Another, in the same words.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what tells two runs apart.

    Their configurations, code, data, versions and machines, and where their results part. Exit code 0: nothing, 1:
    something.
    """
    from notafluke.comparison import read_run
    from notafluke.finding import find_run, results_of
    from notafluke.report.comparing import difference_content, difference_page, two_runs
    from notafluke.report.listing import show

    results = results_folder()
    folders = [find_run(text, results) for text in (first, second)]
    own = two_runs(*(read_run(folder, results_of(folder)) for folder in folders))
    if as_json:
        typer.echo(json.dumps(difference_content(own), indent=1))
    else:
        show(difference_page(own))
    if not own.identical:
        raise typer.Exit(1)
