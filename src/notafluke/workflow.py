"""What the Snakefile needs from the library: the plan of a configuration and names for its rules and files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from notafluke.code_digest import code_digest
from notafluke.configuration import split_overrides
from notafluke.errors import UsageError, did_you_mean
from notafluke.plan import Cell, Plan, load_plan

KEYS = ("study", "overrides")
ANALYSIS = "notafluke.decision.decide_study"


def study_and_overrides(config: Mapping[str, Any]) -> tuple[str, str]:
    """Snakemake's ``--config study=... overrides=...`` as texts. Raises UsageError for another key."""
    for key in config:
        if key not in KEYS:
            raise UsageError(f"unknown --config key {key}{did_you_mean(key, KEYS)}")
    return str(config["study"]), str(config["overrides"] or "")


def plan_of(study: str, overrides: str) -> Plan:
    """The plan of a study under overrides that are separated by blanks. Raises UsageError."""
    return load_plan(study, split_overrides(overrides))


def rule_name(cell: Cell) -> str:
    """The name of the rule that trains a cell: ``train_stock_activation_iris_3fa9c1d2``."""
    folder = cell.folder.split("/runs/")[-1]
    return "train_" + re.sub(r"\W+", "_", folder, flags=re.ASCII)


def training_message(cell: Cell, plan: Plan) -> str:
    """What Snakemake says when it starts a training job."""
    missing = sum(not cell.metrics_file(seed).is_file() for seed in plan.study.seeds)
    return f"training {cell.task}: {cell.treatment} ({missing} of {len(plan.study.seeds)} seeds missing)"


def seeds_of(wildcards: Any, output: Sequence[str]) -> str:
    """The seeds of a training job, ``0,1,2``, read off its outputs ``.../seed=0/metrics.json``."""
    return ",".join(re.findall(r"/seed=(\d+)/", " ".join(output)))


def folder_of(wildcards: Any, output: Sequence[str]) -> str:
    """The folder of the cell that a training job trains, read off its outputs."""
    return str(output[0]).rpartition("/seed=")[0]


def unrecorded(value: str) -> Callable[..., str]:
    """A parameter that Snakemake does not compare with that of an earlier job.

    A run is the same in whichever study it appears, so its rule must not depend on the study's name.
    """

    def parameter(wildcards: Any, output: Sequence[str]) -> str:
        return value

    return parameter


def retrain_of(workflow: Any, rule: str) -> Callable[..., str]:
    """A function that says whether Snakemake was told to force a rule (``-F``, ``-R RULE``): ``true`` or ``false``.

    Snakemake's settings are not there yet when it reads the Snakefile.
    """

    def retrain(wildcards: Any, output: Sequence[str]) -> str:
        settings = workflow.dag_settings
        return "true" if settings.forceall or rule in settings.forcerun else "false"

    return retrain


def analysis_digest(plan: Plan) -> str:
    """Changes when the verdicts may although no run is new: with the study's text and with the analysis code."""
    return f"{plan.study.digest} {code_digest([ANALYSIS])}"
