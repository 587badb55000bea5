"""A study file, ``conf/study/<name>.yaml``: read, overridden and expanded into a study."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, get_args

from notafluke.configuration import (
    TUNES,
    compose_run,
    flatten,
    groups,
    options,
    override_text,
    overrides_by_key,
    read_yaml,
    seed_values,
    split_overrides,
    sweep_values,
)
from notafluke.errors import UsageError, did_you_mean
from notafluke.names import require_study_name
from notafluke.study import BASELINE_PREFIX, CONTROL, SPENDINGS, Arm, Claim, Expectation, Role, Sesoi, Study, read_sesoi
from notafluke.tuning import FIRST_SEED

ARMS = "arms"
EXTENDS = "extends"
TESTS = ("signed_rank", "paired_t", "sign_flip")
CORRECTIONS = ("holm", "benjamini_hochberg")
EXPECTATIONS = get_args(Expectation)
ROLES = get_args(Role)


def load_study(conf: Path, name: str, overrides: Sequence[str] = ()) -> tuple[Study, list[str]]:
    """A study with the user's overrides applied, and warnings about what they took out of it.

    A key that the study sweeps gets the new values, ``seed`` and ``task`` included; another key with several values
    becomes a sweep; another key with one value holds in every arm. Claims whose arms or tasks are gone are dropped
    with a warning. Raises UsageError.
    """
    if name not in (valid := options(conf, "study")):
        raise UsageError(f"unknown study {name}{did_you_mean(name, valid)}")
    require_study_name(name, Path("conf") / "study" / f"{name}.yaml", valid)
    draft = StudyDraft.read(conf, name)
    original = draft.resolve(name, [])
    if not overrides:
        return original, []
    draft.override(overrides_by_key(overrides))
    warnings: list[str] = []
    study = draft.resolve(name, warnings, droppable={claim.id for claim in original.claims})
    common = min(len(study.seeds), len(original.seeds))
    if study.looks and study.seeds[:common] != original.seeds[:common]:
        raise UsageError(
            f"{draft.path}: seed={draft.sweep['seed']}: each declared look has the seeds of the one before, and the "
            f"file's begin with {', '.join(map(str, original.seeds[:common][:3]))}, ..."
        )
    if study.digest == original.digest:
        # Settings that make no other run may still be others.
        return study, []
    return replace(study, name=f"{name}+{study.digest[:8]}"), warnings


def cells_per_job(conf: Path, name: str) -> int | None:
    """How many cells of a study one process trains: how it is executed, and no part of what it decides.

    None where the file does not say. Raises UsageError for what is not a whole number of at least 1.
    """
    path = Path("conf") / "study" / f"{name}.yaml"
    content = study_content(conf, name)
    if "cells_per_job" not in content:
        return None
    value = content["cells_per_job"]
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{path}: cells_per_job: {value!r} is not a whole number of at least 1")
    return value


def study_content(conf: Path, name: str) -> dict[str, Any]:
    """A study file as written, laid over the study that it ``extends``.

    Mappings are merged key by key, at every depth; an empty value takes a key away; everything else takes the place of
    what was there. Raises UsageError for a study that is not there or extends itself.
    """
    path = Path("conf") / "study" / f"{name}.yaml"
    content, seen = read_yaml(conf.parent / path), [name]
    while (base := content.pop(EXTENDS, None)) is not None:
        if base not in (valid := options(conf, "study")):
            raise UsageError(f"{path}: {EXTENDS}: unknown study {base!r}{did_you_mean(base, valid)}")
        if base in seen:
            raise UsageError(f"{path}: {EXTENDS}: {' extends '.join([*seen, base])}")
        seen.append(base)
        below = read_yaml(conf.parent / "conf" / "study" / f"{base}.yaml")
        content = _laid_over(below, content)
    return content


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, own in above.items():
        if isinstance(own, dict) and isinstance(merged.get(key), dict):
            merged[key] = _laid_over(merged[key], own)
        elif own is None and key in merged:
            del merged[key]
        else:
            merged[key] = own
    return merged


@dataclass
class StudyDraft:
    """A study file as written, before its sweeps are expanded."""

    conf: Path
    path: Path
    title: str
    alpha: Any
    test: str
    correction: str
    tune: str
    looks: Any
    spending: Any
    factorial: Any
    control: dict[str, str]
    tasks: dict[str, dict[str, str]]
    sweep: dict[str, str]
    claims: dict[str, dict[str, Any]]
    arms: dict[str, list[dict[str, str]]]
    written_tasks: tuple[str, ...]

    @classmethod
    def read(cls, conf: Path, name: str) -> StudyDraft:
        """Read and check a study file. Raises UsageError that names the file and the key."""
        path = Path("conf") / "study" / f"{name}.yaml"
        content = study_content(conf, name)
        keys = ["title", "alpha", "test", "correction", "tune", "looks", "spending", "factorial"]
        keys += ["control", "tasks", "sweep", "claims", "cells_per_job"]
        _require_keys(str(path), content, keys, required=["tasks", "sweep"])
        draft = cls(
            conf,
            path,
            str(content.get("title", path.stem)),
            content.get("alpha", 0.05),
            str(content.get("test", TESTS[0])),
            str(content.get("correction", CORRECTIONS[0])),
            str(content.get("tune", TUNES[0])),
            content.get("looks", []),
            content.get("spending", SPENDINGS[0]),
            content.get("factorial", False),
            _overrides(f"{path}: control", content.get("control")),
            _task_settings(path, content["tasks"]),
            _overrides(f"{path}: sweep", content["sweep"]),
            _sections(f"{path}: claims", content.get("claims")),
            _task_arms(path, content["tasks"]),
            tuple(_task_settings(path, content["tasks"])),
        )
        draft._check_scalars()
        return draft

    def _check_scalars(self) -> None:
        if not isinstance(self.alpha, float) or not 0 < self.alpha < 1:
            raise UsageError(f"{self.path}: alpha: {self.alpha!r} is not a number between 0 and 1, such as 0.05")
        if not isinstance(self.factorial, bool):
            raise UsageError(f"{self.path}: factorial: {self.factorial!r} is neither true nor false")
        for key, value, valid in (
            ("test", self.test, TESTS),
            ("correction", self.correction, CORRECTIONS),
            ("tune", self.tune, TUNES),
            ("spending", self.spending, SPENDINGS),
        ):
            if value not in valid:
                raise UsageError(f"{self.path}: {key}: unknown {value!r}{did_you_mean(value, valid)}")
        numbers = self.looks if isinstance(self.looks, list) else [None]
        if not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in numbers) or (
            sorted(set(numbers)) != numbers or len(numbers) == 1
        ):
            raise UsageError(
                f"{self.path}: looks: {self.looks!r} is no list of two or more ascending numbers of seeds, such as "
                "[10, 20, 40]"
            )

    def override(self, overrides: Mapping[str, str]) -> None:
        """Apply the user's overrides, which win over the settings of single tasks; ``tasks.stock.KEY`` is for one."""
        for key, value in overrides.items():
            if key.startswith("execution."):
                raise UsageError(f"{key}: how runs are executed is set in conf/config.yaml, not for a study")
            if key == "tune":
                self.tune = value
                self._check_scalars()
                continue
            if key == "task":
                self.tasks = {task: self.tasks.get(task, {}) for task in sweep_values(key, value)}
                continue
            if key.startswith("tasks."):
                _, task, own_key = (*key.split(".", 2), "")[:3]
                if task not in self.tasks or not own_key:
                    raise UsageError(f"{key}: write tasks.<task>.<key>=value{did_you_mean(task, self.tasks)}")
                self.tasks[task][own_key] = value
                continue
            for settings in self.tasks.values():
                settings.pop(key, None)
            several = len(sweep_values(key, value)) > 1
            if key in self.sweep or key == "seed" or several:
                self.sweep[key] = value
            else:
                self.control[key] = value

    def resolve(self, name: str, warnings: list[str], droppable: Collection[str] = ()) -> Study:
        """Expand all sweeps. Claims in ``droppable`` whose arms are gone are left out with a warning."""
        seeds = self._seeds()
        arms = {task: tuple(self._arms(task, settings)) for task, settings in self.tasks.items()}
        claims = []
        for claim_id, section in self.claims.items():
            claim = self._claim(claim_id, section)
            gone = {task: reason for task in claim.tasks if (reason := _missing_arm(claim, arms, task))}
            if gone and claim_id not in droppable:
                raise UsageError(f"{self.path}: claims.{claim_id}: {next(iter(gone.values()))}")
            kept = tuple(task for task in claim.tasks if task not in gone)
            if gone:
                where = f"on {', '.join(gone)}" if kept else "at all"
                reasons = "; ".join(dict.fromkeys(reason.partition(";")[0] for reason in gone.values()))
                warnings.append(f"claim {claim_id} is not decided {where} under these overrides: {reasons}")
            if kept:
                claims.append(replace(claim, tasks=kept))
        study = Study(
            name=name,
            title=self.title,
            alpha=self.alpha,
            test=self.test,
            correction=self.correction,
            tune=self.tune,
            looks=tuple(self.looks),
            spending=self.spending,
            seeds=seeds,
            arms=arms,
            claims=tuple(claims),
        )
        if not any(len(own) > 1 for own in arms.values()) and not claims:
            raise UsageError(f"{self.path}: the sweep expands to the control alone: no treatment and no claim")
        return study

    def _seeds(self) -> tuple[int, ...]:
        try:
            seeds = seed_values(self.sweep.get("seed", "range(0,10)"))
        except UsageError as error:
            raise UsageError(f"{self.path}: {error}") from error
        if self.tune != TUNES[0] and max(seeds) >= FIRST_SEED:
            raise UsageError(
                f"{self.path}: seed={max(seeds)}: with tune, seeds from {FIRST_SEED} on are those that tune"
            )
        if self.looks and (len(seeds) not in self.looks or list(seeds) != sorted(seeds)):
            valid = ", ".join(f"seed=range({min(seeds)},{min(seeds) + size})" for size in self.looks)
            what = f"{len(seeds)} seeds are" if len(seeds) not in self.looks else "seeds that do not ascend are"
            raise UsageError(
                f"{self.path}: seed={self.sweep.get('seed', 'range(0,10)')}: {what} no declared look; valid: {valid}"
            )
        return seeds

    def _arms(self, task: str, settings: Mapping[str, str]) -> Iterator[Arm]:
        """The control and the treatments of one task; swept values that are the control's are the control."""
        swept = {key: sweep_values(key, value) for key, value in self.sweep.items() if key != "seed"}
        fixed = dict(self.control)
        for key, value in settings.items():
            values = sweep_values(key, value)
            if len(values) > 1:
                swept[key] = values
            else:
                fixed[key] = value
                swept.pop(key, None)
        for key, values in swept.items():
            if key in groups(self.conf):
                for value in values:
                    if value not in (valid := options(self.conf, key)):
                        raise UsageError(f"{self.path}: unknown option {key}={value}{did_you_mean(value, valid)}")
            if duplicates := [value for value in values if values.count(value) > 1]:
                raise UsageError(f"{self.path}: sweep {key}: duplicate treatment {duplicates[0]!r} on task {task}")
        base = {"task": task, **({"tune": self.tune} if self.tune != TUNES[0] else {}), **fixed}
        yield Arm(CONTROL, base)
        try:
            current = current_values(self.conf, base)
        except UsageError as error:
            raise UsageError(f"task {task}: {error}") from error
        alternatives = {key: [value for value in values if value != current.get(key)] for key, values in swept.items()}
        if self.factorial:
            keys = list(swept)
            combinations = [
                {key: value for key, value in zip(keys, values, strict=True) if value is not None}
                for values in product(*([None, *alternatives[key]] for key in keys))
            ]
        else:
            combinations = [{key: value} for key, values in alternatives.items() for value in values]
        combinations += self.arms.get(task, [])
        for changes in combinations:
            if changes:
                yield Arm(arm_name(changes), {**base, **changes})

    def _claim(self, claim_id: str, section: Mapping[str, Any]) -> Claim:
        where = f"{self.path}: claims.{claim_id}"
        keys = ["sentence", "treatment", "control", "tasks", "metric", "sesoi", "expects", "role"]
        _require_keys(where, section, keys, required=["sentence", "treatment"])
        tasks = _task_names(f"{where}.tasks", section.get("tasks", list(self.written_tasks)))
        expects, role = section.get("expects", "better"), section.get("role", "claim")
        for key, value, valid in (("expects", expects, EXPECTATIONS), ("role", role, ROLES)):
            if value not in valid:
                raise UsageError(f"{where}.{key}: unknown {value!r}{did_you_mean(value, valid)}")
        if role == "claim" and section.get("sesoi") is None:
            raise UsageError(f"{where}.sesoi: a claim needs its smallest effect size of interest, such as 2% or 0.01")
        metric = section.get("metric")
        if metric is not None and not isinstance(metric, str):
            raise UsageError(f"{where}.metric: {metric!r} is no name of a metric")
        treatment = _arm_reference(f"{where}.treatment", section["treatment"])
        control = section.get("control", CONTROL)
        if not str(control).startswith(BASELINE_PREFIX):
            control = _arm_reference(f"{where}.control", control)
        if treatment == control:
            raise UsageError(f"{where}: treatment and control are the same arm, {control}")
        return Claim(
            claim_id,
            str(section["sentence"]),
            treatment,
            control,
            tuple(tasks),
            metric,
            _sesoi(f"{where}.sesoi", section.get("sesoi"), tasks),
            expects,
            role,
        )


def current_values(conf: Path, overrides: Mapping[str, str]) -> dict[str, str]:
    """Every option and value of a composed run, as override texts by key."""
    run = compose_run(conf, overrides)
    return {key: override_text(value) for key, value in flatten(run.config).items()} | run.choices


def arm_name(changes: Mapping[str, str]) -> str:
    """The name of a treatment: what it changes, ``activation=iris,loss=mse`` with sorted keys."""
    return ",".join(f"{key}={value}" for key, value in sorted(changes.items()))


def _arm_reference(where: str, value: Any) -> str:
    return CONTROL if value == CONTROL else arm_name(_changes(where, value))


def _changes(where: str, value: Any) -> dict[str, str]:
    """The changes of an arm, as ``a=b,c=d`` or as a mapping, with their values as the arms have them."""
    changes = value if isinstance(value, dict) else None
    if isinstance(value, str):
        try:
            changes = overrides_by_key(split_overrides(value, ", \t\n"))
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error
    if not changes:
        raise UsageError(f"{where}: {value!r} is neither 'control' nor changes such as activation=iris")
    # 1e-06 for 0.000001.
    return {str(key): sweep_values(str(key), _written(own, sweep=True))[0] for key, own in changes.items()}


def _missing_arm(claim: Claim, arms: Mapping[str, Sequence[Arm]], task: str) -> str:
    """Which arm of a claim the study does not train on a task, or that the task is not in it; empty where it does."""
    if task not in arms:
        return f"task {task} is not in the study{did_you_mean(task, arms)}"
    trained = [arm.name for arm in arms[task]]
    for arm in (claim.treatment, claim.control):
        if arm not in trained and not arm.startswith(BASELINE_PREFIX):
            return f"{arm} is not trained on {task}{did_you_mean(arm, trained)}"
    return ""


def _sesoi(where: str, value: Any, tasks: Sequence[str]) -> dict[str, Sesoi]:
    if value is None:
        return {}
    by_task = value if isinstance(value, dict) else {task: value for task in tasks}
    _require_keys(where, by_task, list(tasks), required=tasks)
    return {task: read_sesoi(where, by_task[task]) for task in tasks}


def _task_settings(path: Path, value: Any) -> dict[str, dict[str, str]]:
    """Tasks as ``stock,adding``, as a list, or as a mapping of each to its own overrides."""
    if not isinstance(value, dict):
        value = dict.fromkeys(_task_names(f"{path}: tasks", value))
    if not value:
        raise UsageError(f"{path}: tasks: expected task names, such as stock,adding")
    settings = {
        task: {key: item for key, item in own.items() if key != ARMS} if isinstance(own, dict) else own
        for task, own in value.items()
    }
    return {str(task): _overrides(f"{path}: tasks.{task}", own) for task, own in settings.items()}


def _task_arms(path: Path, value: Any) -> dict[str, list[dict[str, str]]]:
    """The arms of several changes that stand below ``tasks.<task>.arms``, by task. Raises UsageError."""
    found = {}
    for task, own in value.items() if isinstance(value, dict) else ():
        where = f"{path}: tasks.{task}.{ARMS}"
        written = own.get(ARMS, []) if isinstance(own, dict) else []
        if not isinstance(written, list):
            raise UsageError(f'{where}: {written!r} is no list of arms such as ["optimizer=sgd,gradient=none"]')
        arms = [_changes(where, one) for one in written]
        names = [arm_name(changes) for changes in arms]
        if duplicates := [name for name in names if names.count(name) > 1]:
            raise UsageError(f"{where}: the arm {duplicates[0]} stands there twice")
        found[str(task)] = arms
    return found


def _task_names(where: str, value: Any) -> list[str]:
    """Task names of ``stock,adding`` or of a list. Raises UsageError."""
    names = sweep_values("task", value) if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{where}: {value!r}: expected task names, such as stock,adding")
    if len(set(names)) < len(names):
        raise UsageError(f"{where}: {value!r} names a task twice")
    return names


def _overrides(where: str, value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"{where}: expected a mapping of keys to values, found {value!r}")
    sweep = where.endswith("sweep")
    texts = [f"{key}={_written(own, sweep)}" for key, own in value.items()]
    found = overrides_by_key(texts)
    for key in found:
        if key == "task" or (key == "seed" and not sweep) or key.startswith("execution."):
            raise UsageError(f"{where}: the key {key!r} is not for here: tasks, sweep and the command line set it")
        if key == "tune":
            raise UsageError(f"{where}: the key 'tune' is not for here: it stands at the top of a study, for all arms")
    return found


def _written(value: Any, sweep: bool) -> str:
    """A value of a study file as override text; a list in a sweep is its values."""
    if sweep and isinstance(value, list):
        return ",".join(_written(own, sweep) for own in value)
    return value if isinstance(value, str) else override_text(value)


def _sections(where: str, value: Any) -> dict[str, dict[str, Any]]:
    value = {} if value is None else value
    if not isinstance(value, dict) or not all(isinstance(section, dict) for section in value.values()):
        raise UsageError(f"{where}: expected a mapping of claim names to claims")
    return {str(key): section for key, section in value.items()}


def _require_keys(where: str, section: Mapping[str, Any], valid: Sequence[str], required: Collection[str]) -> None:
    for key in section:
        if key not in valid:
            raise UsageError(f"{where}: unknown key {key!r}{did_you_mean(key, valid)}")
    for key in required:
        if key not in section:
            raise UsageError(f"{where}: the key {key!r} is missing")
