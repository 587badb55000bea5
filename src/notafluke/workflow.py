"""What the Snakefile needs from the library: the plan of a configuration and names for its rules and files."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from notafluke.code_digest import code_digest
from notafluke.configuration import conf_folder, split_overrides, tracking_is_on
from notafluke.errors import UsageError, did_you_mean
from notafluke.plan import Cell, Plan, load_plan
from notafluke.redaction import redact
from notafluke.report.columns import FIGURES, TABLES
from notafluke.tasks.dataset import PROVENANCE

KEYS = ("study", "overrides")
ANALYSIS = "notafluke.decision.decide_study"
LEAST_FREE = 1 << 20
"""Bytes below which a disk counts as full."""


def study_and_overrides(config: Mapping[str, Any]) -> tuple[str, str]:
    """Snakemake's ``--config study=... overrides=...`` as texts. Raises UsageError for another key."""
    for key in config:
        if key not in KEYS:
            raise UsageError(f"unknown --config key {key}{did_you_mean(key, KEYS)}")
    return str(config["study"]), str(config["overrides"] or "")


def plan_of(study: str, overrides: str) -> Plan:
    """The plan of a study under overrides that are separated by blanks. Raises UsageError."""
    return load_plan(study, split_overrides(overrides))


def tracks() -> bool:
    """Whether ``conf/config.yaml`` lets training log to MLflow."""
    return tracking_is_on(conf_folder())


def tell_of_tracking(marker: Path, warn: Callable[[str], None]) -> None:
    """Say what the synchronisation failed with, where its marker says so; without it the next start tries again."""
    try:
        told = marker.read_text(encoding="utf-8").strip()
    except OSError:
        return
    if told:
        marker.unlink(missing_ok=True)
        warn(told)


def tell_of_full_disk(folder: Path, warn: Callable[[str], None]) -> None:
    """Say that the disk of a folder is full, where it is. The logs of jobs that failed for it may be empty then."""
    existing = next(place for place in (folder.resolve(), *folder.resolve().parents) if place.exists())
    if shutil.disk_usage(existing).free < LEAST_FREE:
        warn(f"No space left on device: {folder} is full. What is stored is not lost; with room again, start it again")


def planned(config: Mapping[str, Any], warn: Callable[[str], None]) -> tuple[str, str, Plan]:
    """Study, overrides and plan of Snakemake's ``--config``; its warnings go to ``warn``, a line each.

    Ends the program with one line on a UsageError. No secret is in these lines.
    """
    try:
        study, overrides = study_and_overrides(config)
        plan = plan_of(study, overrides)
    except UsageError as error:
        raise SystemExit(redact(f"error: {error}")) from None
    for warning in plan.warnings:
        warn(redact(f"warning: {warning}"))
    return study, overrides, plan


def table_files(plan: Plan) -> list[str]:
    """The tables that the last rule writes beside the page."""
    files = [f"{name}.{suffix}" for name in TABLES for suffix in ("csv", "tex")]
    return [str(plan.folder / "tables" / name) for name in [*files, "significance.md", "scores.csv", "timings.csv"]]


def figure_files(plan: Plan, suffix: str) -> list[str]:
    """The figures that the last rule draws, as ``svg`` or ``png``."""
    return [str(plan.folder / "figures" / f"{name}.{suffix}") for name in FIGURES]


def data_files(cells: Sequence[Cell]) -> list[str]:
    """The files that say that the data of cells are prepared."""
    return list(dict.fromkeys(f"{cell.data}/{PROVENANCE}" for cell in cells if cell.data))


def data_folder_of(wildcards: Any, output: Sequence[str]) -> str:
    """The folder that a job prepares, read off its outputs ``<folder>/provenance.json``."""
    return str(output[0]).rpartition("/")[0]


def data_rule_name(folder: str) -> str:
    """The name of the rule that prepares a folder of data: ``prepare_stock_3fa9c1d2``."""
    return "prepare_" + re.sub(r"\W+", "_", folder.rpartition("/")[2], flags=re.ASCII)


def rule_name(cells: Sequence[Cell]) -> str:
    """The name of the rule that trains cells: ``train_stock_activation_iris_3fa9c1d2``, and how many more it trains."""
    folder = cells[0].folder.split("/runs/")[-1]
    more = f"_and_{len(cells) - 1}_more" if len(cells) > 1 else ""
    return "train_" + re.sub(r"\W+", "_", folder, flags=re.ASCII) + more


def training_message(cells: Sequence[Cell], plan: Plan) -> str:
    """What Snakemake says when it starts a training job."""
    files = [cell.metrics_file(seed) for cell in cells for seed in plan.study.seeds]
    missing = sum(not file.is_file() for file in files)
    others = len(cells) - 1
    more = f" and {others} more {'cell' if others == 1 else 'cells'}" if others else ""
    what = f"{cells[0].task}: {cells[0].treatment}{more}"
    if not missing:
        # Whether it is forced is not known yet.
        return f"{what}: all {len(files)} runs are recorded; only -F trains them again"
    return f"training {what} ({missing} of {len(files)} {'runs' if more else 'seeds'} missing)"


def folders_of(wildcards: Any, output: Sequence[str]) -> list[str]:
    """The folders of the cells that a training job trains, read off its outputs ``<folder>/seed=0/metrics.json``."""
    return list(dict.fromkeys(str(file).rpartition("/seed=")[0] for file in output))


def unrecorded(value: str) -> Callable[..., str]:
    """A parameter that Snakemake does not compare with that of an earlier job.

    A run is the same in whichever study it appears, so its rule must not depend on the study's name.
    """

    def parameter(wildcards: Any, output: Sequence[str]) -> str:
        return value

    return parameter


def retrain_of(workflow: Any, rule: str) -> Callable[..., str]:
    """A function that gives ``--retrain`` where Snakemake was told to force a rule (``-F``, ``-R RULE``), else nothing.

    Snakemake's settings are not there yet when it reads the Snakefile.
    """

    def retrain(wildcards: Any, output: Sequence[str]) -> str:
        settings = workflow.dag_settings
        return "--retrain" if settings.forceall or rule in settings.forcerun else ""

    return retrain


def analysis_digest(plan: Plan) -> str:
    """Changes when a page may although no run is new: with the study, the analysis code, the options' descriptions."""
    described = hashlib.sha256(repr(plan.options).encode()).hexdigest()
    return f"{plan.study.digest} {code_digest([ANALYSIS])} {described}"
