"""The study that is killed, what must be the same after it went on, and how it goes on."""

from __future__ import annotations

import datetime
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from faults import Running, running
from projects import Done, Project
from result_files import repeatable

from notafluke.records import damage, read_record

# Four cells of three seeds: two that tune and train in epochs, two that learn online in one pass and carry their state.
STUDY = """
title: A study to be killed
alpha: 0.5
tune: lr
cells_per_job: 2
control:
  model.hidden_size: 4
  tuning_seeds: 1
tasks:
  adding:
    task.length: 8
    task.train_size: 512
    task.validation_size: 128
    task.test_size: 128
    trainer.batch_size: 16
    trainer.max_epochs: 5
  stock:
    state: carried
    online: true
    trainer: one_pass
    task.start: "2013-01-01"
    task.train_end: "2013-12-31"
    task.validation_end: "2014-06-30"
    task.test_end: "2014-12-31"
sweep:
  activation: tanh,iris
  seed: range(0,3)
claims:
  iris:
    sentence: Iris beats tanh
    treatment: activation=iris
    sesoi: 2%
"""
RUNS, CELLS = 12, 4
SECONDS = 300.0
"""When a command counts as hung."""
_BEGUN = re.compile(r"(?P<time>\d\d:\d\d:\d\d) (?P<folder>.+): (?:training seeds|trying the learning rates) ")
_FINISHED = re.compile(r".*: (?:\d+\.\d s a seed|learning rate \S+ chosen)")


@dataclass(frozen=True)
class State:
    """What two trainings of a study must have in common.

    ``tables`` are digests of tables and figures, ``runs`` the weight digest and metrics of each run by its folder,
    ``shown`` the status of every run in MLflow by its name in the study, and how often it is there.
    """

    tables: dict[str, str]
    runs: dict[str, tuple[str, str]]
    shown: dict[tuple[str, str], int]

    def differences(self, other: State) -> list[str]:
        """What differs in ``other``, in a few words each."""
        found = [f"table {name}" for name in _differing(self.tables, other.tables)]
        found += [f"run {name}" for name in _differing(self.runs, other.runs)]
        return found + [f"MLflow {key}: {other.shown.get(key, 0)} times" for key in _differing(self.shown, other.shown)]


def _differing(first: dict, second: dict) -> list:  # type: ignore[type-arg]
    return [key for key in sorted({*first, *second}) if first.get(key) != second.get(key)]


@dataclass(frozen=True)
class Undisturbed:
    """A project in which the study was trained without any fault, how long that took, and what came of it."""

    project: Project
    seconds: float
    state: State


def state_of(project: Project) -> State:
    """What the study has come to. Every run must be recorded, whole, and of the outcome ok."""
    runs = {}
    for path in project.runs():
        folder = (project.root / path).parent
        record = read_record(folder)
        assert record is not None and not damage(folder), f"{path}: {damage(folder)}"
        assert record.outcome == "ok", f"{path}: {record.outcome}"
        runs[path] = record.weight_digest, repr(sorted(record.metrics.items()))
    assert len(runs) == RUNS, sorted(runs)
    shown = Counter(
        (run.data.tags.get("run_key") or run.data.tags.get("cell_key", "?"), run.info.status)
        for run in project.shown("killed")
    )
    return State(repeatable(project.results / "killed"), runs, dict(shown))


def unfinished(project: Project) -> list[str]:
    """What a fault has left that looks finished and is not: records that are damaged, tables that are cut."""
    found = []
    for path in project.runs():
        folder = (project.root / path).parent
        if why := damage(folder) or ("" if read_record(folder) else "no record"):
            found.append(f"{path}: {why}")
    for table in project.results.glob("killed/tables/*.csv"):
        if not table.read_bytes().endswith(b"\n"):
            found.append(f"{table}: cut off")
    return found


def leftovers(project: Project) -> list[str]:
    """Checkpoints that nobody needs any more."""
    return [str(path.relative_to(project.root)) for path in project.results.glob("runs/**/checkpoint-*")]


def start(project: Project, name: str = "killed") -> AbstractContextManager[Running]:
    """The context of ``snakemake`` on the study, in a session of its own: ``with start(project) as workflow``."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--config", "study=killed"]
    return running(command, project.root, project.environment(), project.root / f"{name}.log")


def resume(project: Project) -> Done:
    """``snakemake`` once more, to the end; where it says that the folder is locked, after ``--unlock`` as it says."""
    done = project.snakemake(study="killed", code=None)
    if done.code and "--unlock" in done.output:
        project.snakemake("--unlock", study="killed")
        done = project.snakemake(study="killed", code=None)
    return done


def moments(rng: np.random.Generator, count: int, seconds: float) -> Iterator[float]:
    """``count`` random moments, one in each of as many equal parts of a duration, in random order."""
    parts = (np.arange(count) + rng.random(count)) * seconds / count
    yield from rng.permutation(parts).tolist()


def wait(workflow: Running, seconds: float) -> bool:
    """Wait until the workflow has run for so long; whether it still runs."""
    while workflow.seconds < seconds:
        if workflow.process.poll() is not None:
            return False
        time.sleep(0.01)
    return workflow.process.poll() is None


@dataclass(frozen=True)
class Block:
    """A block of seeds that a job was training when it was stopped: its cell's folder and what its log says of it."""

    folder: Path
    began: float
    lines: tuple[str, ...]

    @property
    def epochs(self) -> int:
        """How many epochs were over."""
        return sum(bool(re.search(r" epoch \d+ of \d+:", line)) for line in self.lines)

    @property
    def checkpoints(self) -> list[Path]:
        """The checkpoints of the cell."""
        return list(self.folder.glob("checkpoint-*.pt"))

    def unsaved(self, moment: float) -> float:
        """Seconds of training that a stop at this time costs: since the last thing that was stored."""
        stored = [path.stat().st_mtime for path in self.folder.rglob("*") if path.is_file()]
        return moment - max([self.began, *(time for time in stored if time <= moment)])


def blocks(project: Project) -> list[Block]:
    """The blocks, those that tune included, that were begun and not finished, one for each training job at most."""
    found = []
    for path in sorted(project.results.glob("logs/train_*.log")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        begun = [(place, match) for place, line in enumerate(lines) if (match := _BEGUN.match(line))]
        if begun and not any(_FINISHED.match(line) for line in lines[begun[-1][0] :]):
            place, match = begun[-1]
            today = datetime.datetime.now().strftime("%Y-%m-%d ")
            began = datetime.datetime.strptime(today + match["time"], "%Y-%m-%d %H:%M:%S").timestamp()
            found.append(Block(project.root / match["folder"], began, tuple(lines[place:])))
    return found


def discard(project: Project) -> None:
    """Remove a project that is not needed any more."""
    shutil.rmtree(project.root, ignore_errors=True)


def after(undisturbed: Undisturbed, project, problems: list[str]) -> str:
    """Let the study go on to its end; what is not as in the undisturbed one, empty where all is well."""
    done = resume(project)
    if done.code:
        return f"it did not go on: {done.output[-2000:]}{project.logs()[-4000:]}"
    try:
        problems = [*problems, *undisturbed.state.differences(state_of(project))]
    except AssertionError as error:
        problems = [*problems, str(error)]
    return "; ".join([*problems, *(f"left: {path}" for path in leftovers(project))])
