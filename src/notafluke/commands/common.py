"""What several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from notafluke.plan import Plan

StudyName = Annotated[str, typer.Argument(help="A study: the name of a file in conf/study, without .yaml.")]
StudyOverrides = Annotated[
    str, typer.Option("--overrides", help='Overrides of the study, "activation=tanh,iris seed=range(0,8)".')
]


def planned(study: str, overrides: str) -> Plan:
    """The plan of a study under overrides in one text. Raises UsageError."""
    from notafluke.configuration import split_overrides
    from notafluke.plan import load_plan

    return load_plan(study, split_overrides(overrides))


def results_folder() -> Path:
    """The project's folder of results. Raises UsageError outside of a project, and where a link leads out of it."""
    from notafluke.configuration import compose_run, conf_folder
    from notafluke.names import require_no_way_out

    results = Path(compose_run(conf_folder(), {}).config["execution"]["results"])
    require_no_way_out(results)
    return results
