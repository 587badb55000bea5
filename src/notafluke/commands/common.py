"""What several commands share."""

from __future__ import annotations

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
