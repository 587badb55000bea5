"""What can be removed from the results: runs of older code, damaged ones, and what killed processes have left."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from notafluke.checkpoints import PATTERN, read_checkpoint
from notafluke.code_digest import UndefinedError, code_digest
from notafluke.components import build_task
from notafluke.configuration import RunConfig, compose_run, conf_folder, read_yaml
from notafluke.errors import GoneError, StorageError, UsageError
from notafluke.files import TEMPORARY
from notafluke.names import RUNS, require_inside
from notafluke.plan import Plan, cell_content, make_cell, targets_of
from notafluke.records import METRICS, RunRecord, damage, read_record
from notafluke.retrying import FAILURES
from notafluke.status import cell_folders, run_folders
from notafluke.tuning import FILE as TUNING_FILE

HOUR = 3600
"""Seconds after which a temporary file is taken for that of a killed process."""
STALE, DAMAGED, LEFT_OVER, CHECKPOINT = "stale", "damaged", "left over", "checkpoint"


@dataclass(frozen=True)
class Removable:
    """A file or folder that can be removed: its kind, why, its size in bytes and, of a folder, its runs."""

    path: Path
    kind: str
    reason: str
    size: int
    runs: int = 0


class Judge:
    """Says which key the runs of a task and its changes would have now."""

    def __init__(self, conf: Path) -> None:
        self.conf = conf
        self._found: dict[tuple[object, ...], tuple[str, RunConfig | None, str]] = {}
        # A file that cannot be read would make all its runs look like those of an option that is gone.
        for path in sorted(conf.rglob("*.yaml")):
            read_yaml(path.relative_to(conf.parent))
        compose_run(conf, {})

    def stale(self, record: RunRecord, device: str) -> str:
        """Why a record's run would not be used now; empty where it would be.

        It is stale where its key is another now, or an option, key or function of it is gone. Raises another UsageError
        where that cannot be said here and now, as its data, a package or a variable of the environment are not there.
        """
        known = (record.task, tuple(record.changes.items()), device)
        if known not in self._found:
            self._found[known] = self._find(record, device)
        key, run, gone = self._found[known]
        if run is None or key == record.cell_key:
            return gone
        return f"not of the present {', '.join(_differences(record, run)) or 'code, data, configuration or versions'}"

    def _find(self, record: RunRecord, device: str) -> tuple[str, RunConfig | None, str]:
        """The present key and configuration of a record's cell; without them, and why, where something is gone."""
        overrides = {"task": record.task, **record.changes, "execution.device": device}
        try:
            run = compose_run(self.conf, overrides)
            code_digest(targets_of(run.config))
        except (GoneError, UndefinedError) as error:
            return "", None, str(error)
        return make_cell(run).key, run, ""


def _differences(record: RunRecord, run: RunConfig) -> list[str]:
    """What of a record's provenance is not as it is now."""
    content, recorded = cell_content(run.config, build_task(run.config)), record.provenance
    packages = recorded.get("packages", {})
    config = hashlib.sha256(json.dumps(content["config"], sort_keys=True).encode()).hexdigest()
    differs = {
        "configuration": recorded.get("config") != config,
        "code": recorded.get("code") != content["code"],
        "data": recorded.get("data") != json.loads(json.dumps(content["data"])),
        "versions": any(
            str(packages.get(name)).partition("+")[0] != content[name].partition("+")[0] for name in ("torch", "numpy")
        ),
    }
    return [name for name, other in differs.items() if other]


def removable(results: Path, plan: Plan | None, now: float | None = None) -> tuple[list[Removable], list[str]]:
    """What can be removed, and what could not be judged and is kept, a line each.

    With a plan, of the cells only those that it plans or that hold runs of its study's arms; files that killed
    processes have left are found in all of ``results``. Raises UsageError where ``conf/`` cannot be read. Reads only.
    """
    judge, found, unclear = Judge(conf_folder()), list[Removable](), list[str]()
    arms = None if plan is None else {(own.task, tuple(own.changes.items())) for own in plan.distinct_cells}
    planned = {Path(own.folder): own.key for own in plan.distinct_cells} if plan else {}
    for folder in cell_folders(results):
        records = {own: read_record(own) for own in run_folders(folder)}
        whole = [own for own in records.values() if own is not None]
        mine = folder in planned or any((own.task, tuple(own.changes.items())) in (arms or ()) for own in whole)
        if arms is not None and not mine:
            continue
        try:
            found += _of_cell(folder, records, judge, planned.get(folder, ""))
        except Exception as error:  # the user's own code and data, which may fail in any way
            unclear.append(f"{folder}: kept, cannot say whether it is stale: {' '.join(str(error).split())}")
    inside = tuple(own.path for own in found if own.path.is_dir())
    moment = time.time() if now is None else now
    found += [own for own in _left_over(results, moment) if not any(up in own.path.parents for up in inside)]
    require_inside(results, *(own.path for own in found))
    return found, unclear


def all_stale(items: list[Removable], results: Path) -> bool:
    """Whether all runs in ``results`` are stale and among these items, as in an older checkout."""
    stale = sum(own.runs for own in items if own.kind == STALE)
    return stale > 0 and stale == sum(len(run_folders(folder)) for folder in cell_folders(results))


def remove(items: list[Removable], results: Path) -> None:
    """Remove files and folders, and the folders of tasks that are empty then. Raises StorageError where it cannot.

    Of a damaged run ``failures.jsonl`` stays: what earlier tries of it said.
    """
    for item in items:
        try:
            if item.kind == DAMAGED and (item.path / FAILURES).is_file():
                _remove_run(item.path)
            else:
                _remove(item.path)
        except OSError as error:
            raise StorageError(f"{item.path}: cannot be removed: {error.strerror or error}") from error
    for folder in (results / RUNS).glob("*"):
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()


def _remove(path: Path) -> None:
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    # First what makes it look finished: a removal that is cut off leaves no half of a run that counts.
    for metrics in sorted(path.rglob(METRICS)):
        metrics.unlink()
    shutil.rmtree(path)


def _remove_run(folder: Path) -> None:
    """All of a run but its earlier failures."""
    (folder / METRICS).unlink(missing_ok=True)
    for path in sorted(folder.iterdir()):
        if path.name != FAILURES:
            _remove(path)


def _of_cell(folder: Path, records: Mapping[Path, RunRecord | None], judge: Judge, planned: str) -> Iterator[Removable]:
    """The folder of a cell whose runs are all stale, else those of its runs and checkpoints that are of no use.

    ``planned`` is its present key where a plan says so.
    """
    verdicts = {own: _verdict(own, record, judge) for own, record in records.items()}
    stale = [reason for kind, reason in verdicts.values() if kind == STALE]
    if stale and all(kind == STALE for own, (kind, _) in verdicts.items() if records[own] is not None):
        yield Removable(folder, STALE, stale[0], size_of(folder), len(verdicts))
        return
    for own, (kind, reason) in verdicts.items():
        if kind:
            yield Removable(own, kind, reason, size_of(own), 1)
    good = {record.seed: record.cell_key for own, record in records.items() if record and not verdicts[own][0]}
    for path in sorted(folder.glob(PATTERN)):
        if reason := _of_no_use(path, good, {planned, *good.values()} - {""}):
            yield Removable(path, CHECKPOINT, reason, size_of(path))


def _of_no_use(checkpoint: Path, recorded: Mapping[int, str], keys: Collection[str]) -> str:
    """Why a checkpoint is of no use; empty where it is or may be. ``keys`` are the present ones of its cell."""
    stored = read_checkpoint(checkpoint)
    if stored is None:
        return "it is damaged, so its block starts again"
    block = stored.block
    if keys and block.cell_key not in keys:
        return "of older code, data, options or versions"
    if block.purpose == "tuning":
        return "the learning rate is chosen" if (checkpoint.parent / TUNING_FILE).is_file() else ""
    return "its seeds are recorded" if all(seed in recorded for seed in block.seeds) else ""


def _verdict(folder: Path, record: RunRecord | None, judge: Judge) -> tuple[str, str]:
    if record is not None and (reason := judge.stale(record, _device(folder))):
        return STALE, reason
    fault = damage(folder)
    return (DAMAGED, fault) if fault else ("", "")


def _device(folder: Path) -> str:
    """The device that a run was trained on, which is part of its key."""
    try:
        device = read_yaml(folder / "config.yaml")["execution"]["device"]
    except (OSError, UsageError, KeyError, TypeError):
        return "cpu"
    return str(device)


def _left_over(results: Path, now: float) -> Iterator[Removable]:
    for path in sorted(results.rglob(f".*{TEMPORARY}")):
        if path.is_file() and not path.is_symlink() and now - path.stat().st_mtime > HOUR:
            yield Removable(path, LEFT_OVER, "a file that a killed process did not finish", path.stat().st_size)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links are not followed."""
    if path.is_dir() and not path.is_symlink():
        return sum(own.lstat().st_size for own in path.rglob("*") if not own.is_dir())
    return path.lstat().st_size


def size_text(size: float) -> str:
    """Bytes for people.

    >>> size_text(512), size_text(1536), size_text(3 * 2**30)
    ('512 B', '1.5 kB', '3.0 GB')
    """
    for unit in ("B", "kB", "MB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GB"
