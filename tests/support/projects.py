"""Projects to try the front door on: temporary copies of the repository with a study of a few seconds."""

import contextlib
import hashlib
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from notafluke.training.determinism import ENVIRONMENT, pin_environment

# Before a test imports torch in this process; the commands that are run do it for themselves.
pin_environment()

REPOSITORY = Path(__file__).parents[2]
NOT_COPIED = {".git", ".venv", ".snakemake", "results", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
OTHER_SETTINGS = ("GIT_", "HYDRA_", "MLFLOW_", "SNAKEMAKE_", "PYTEST_")
SECONDS = 600  # when a command counts as hung; a busy machine may take a minute for one

# Nine runs that train in less than a second, a job for each cell; alpha is that high so that three seeds can decide.
TINY = """
title: A tiny study
cells_per_job: 1
alpha: 0.5
control:
  model.hidden_size: 4
  optimizer.lr: 0.1
  trainer.batch_size: 16
  trainer.max_epochs: 2
tasks:
  adding:
    task.length: 2
    task.train_size: 256
    task.validation_size: 64
    task.test_size: 64
sweep:
  activation: tanh,iris
  replica: 0,1
  seed: range(0,3)
claims:
  iris:
    sentence: Iris beats tanh
    treatment: activation=iris
    sesoi: 2%
  same-against-same:
    sentence: the control against itself shows nothing
    treatment: replica=1
    expects: equivalent
    role: negative_control
"""
# The same settings as overrides of a single run.
TINY_CELL = [
    "task=adding",
    "task.length=2",
    "task.train_size=256",
    "task.validation_size=64",
    "task.test_size=64",
    "model.hidden_size=4",
    "optimizer.lr=0.1",
    "trainer.batch_size=16",
    "trainer.max_epochs=2",
]


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    @property
    def nothing_to_do(self) -> bool:
        return "Nothing to be done" in self.output


@dataclass(frozen=True)
class Project:
    """A copy of the repository, and the commands that are run in it."""

    root: Path

    @property
    def results(self) -> Path:
        return self.root / "results"

    def copied(self, folder: Path) -> "Project":
        """A copy with results and the times of the files."""
        shutil.copytree(self.root, folder, symlinks=True)
        return Project(folder)

    def snakemake(self, *arguments: str, study: str = "tiny", overrides: str = "", code: int | None = 0) -> Done:
        config = ["--config", f"study={study}", f"overrides={overrides}"]
        return self.run(sys.executable, "-m", "snakemake", "--cores", "2", *arguments, *config, code=code)

    def notafluke(self, *arguments: str, code: int | None = 0, **settings: str) -> Done:
        return self.run("notafluke", *arguments, code=code, **settings)

    def hydra(self, *arguments: str, code: int | None = 0, **settings: str) -> Done:
        """``python -m notafluke.train``."""
        return self.run(sys.executable, "-m", "notafluke.train", *arguments, code=code, **settings)

    def run(self, *command: str, code: int | None = 0, **settings: str) -> Done:
        """Run a command in the project; unless it ends with ``code``, the test fails and shows its output."""
        ended = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment(**settings),
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
        done = Done(ended.returncode, ended.stdout, ended.stderr)
        if code is not None and done.code != code:
            pytest.fail(f"{' '.join(command)}: ended with {done.code}, not {code}\n{done.output}{self.logs()}")
        return done

    def environment(self, **settings: str) -> dict[str, str]:
        """The environment of a command: the project's own source, nothing of the caller's tools."""
        left_out = (*OTHER_SETTINGS, *ENVIRONMENT)
        own = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        own["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), own["PATH"]])
        own["PYTHONPATH"] = str(self.root / "src")
        own["COLUMNS"] = "200"
        return own | settings

    def within(self, main: Callable[[], object], *arguments: str, code: int = 0) -> Done:
        """Run the main function of a command in this process, which saves the seconds that a new one needs to start."""
        out, error = io.StringIO(), io.StringIO()
        argv, path, ended = ["notafluke", *arguments], list(sys.path), 0
        with (
            contextlib.chdir(self.root),
            mock.patch.object(sys, "argv", argv),
            mock.patch.object(sys, "path", path),
            mock.patch.object(logging.root, "handlers", []),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(error),
        ):
            try:
                main()
            except SystemExit as end:
                ended = end.code if isinstance(end.code, int) else int(end.code is not None)
        done = Done(ended, out.getvalue(), error.getvalue())
        assert done.code == code, f"{' '.join(arguments)}: ended with {done.code}, not {code}\n{done.output}"
        return done

    def logs(self) -> str:
        """What the jobs have logged, for the message of a failed test."""
        return "".join(f"\n--- {path}\n{path.read_text()}" for path in sorted(self.results.glob("logs/**/*.log")))

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text that stands exactly once in a file."""
        file = self.root / path
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{path}: {old!r} stands there {text.count(old)} times"
        file.write_text(text.replace(old, new), encoding="utf-8")

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        return file

    def train_in_one_job(self) -> None:
        """Let one process train all three cells of the tiny study: to start Python takes longer than to train them."""
        self.edit("conf/study/tiny.yaml", "cells_per_job: 1", "cells_per_job: 3")

    def runs(self, results: str = "results") -> dict[str, tuple[int, str]]:
        """Inode and digest of every metrics.json, by its path: what tells whether a run was trained anew.

        A record is replaced as a whole, so a new one has another inode; Snakemake sets the times of old ones anew.
        """
        return {
            path.relative_to(self.root).as_posix(): (path.stat().st_ino, sha256(path))
            for path in sorted((self.root / results).glob("runs/*/*/seed=*/metrics.json"))
        }

    def trained_since(self, before: dict[str, tuple[int, str]]) -> set[str]:
        """Runs trained since ``runs()``, new and anew; all others are the very same files, and none has got lost."""
        now = self.runs()
        assert before.keys() <= now.keys()
        return {path for path in now if now[path] != before.get(path)}

    def record(self, metrics_file: str) -> dict[str, Any]:
        return json.loads((self.root / metrics_file).read_text(encoding="utf-8"))

    def records(self, results: str = "results") -> dict[tuple[str, int], dict[str, Any]]:
        """All records by (arm, seed): ``("activation=iris", 0)``, ``("control", 2)``."""
        found = {}
        for path in self.runs(results):
            record = self.record(path)
            found[arm_of(record), record["seed"]] = record
        return found

    def digests(self, results: str = "results") -> dict[tuple[str, int], str]:
        """The weight digest of every run by (arm, seed)."""
        return {key: record["weight_digest"] for key, record in self.records(results).items()}

    def of_arm(self, arm: str) -> list[str]:
        """The metrics files of an arm, by seed."""
        return [path for path in self.runs() if arm_of(self.record(path)) == arm]

    def significance(self, study: str = "tiny") -> pd.DataFrame:
        table = pd.read_csv(self.results / study / "tables" / "significance.csv", keep_default_na=False)
        return table.set_index("treatment")

    def markdown(self, study: str = "tiny") -> str:
        return (self.results / study / "tables" / "significance.md").read_text(encoding="utf-8")

    def looks(self, study: str = "tiny") -> list[dict[str, Any]]:
        lines = (self.results / study / "looks.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def shown(self, experiment: str = "tiny") -> list[Run]:
        """Every run of an MLflow experiment, cells included."""
        client = MlflowClient(f"sqlite:///{self.results}/mlflow.db")
        return list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id]))

    def tree(self, folder: str = ".") -> dict[str, tuple[int, str]]:
        """Time and digest of every file, without what Snakemake, git and Python keep for themselves.

        Nor with MLflow's artifacts: its database names their folder absolutely, so copies write into the original's.
        """
        left_out = {".snakemake", ".git", "__pycache__", "mlartifacts"}
        return {
            path.relative_to(self.root).as_posix(): (path.stat().st_mtime_ns, sha256(path))
            for path in sorted((self.root / folder).rglob("*"))
            if path.is_file() and not left_out & set(path.relative_to(self.root).parts)
        }


def arm_of(record: dict[str, Any]) -> str:
    """What a run of the tiny study changes against the study's control."""
    settings = {text.partition("=")[0] for text in TINY_CELL}
    return ",".join(f"{key}={value}" for key, value in record["changes"].items() if key not in settings) or "control"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def copy_repository(root: Path) -> Project:
    """A fresh checkout of the working tree, a git repository of its own where there is git."""
    files = git(REPOSITORY, "ls-files", "-coz", "--exclude-standard")
    if files is not None:
        names = [name for name in files.split("\0") if name]
    else:
        paths = (path.relative_to(REPOSITORY) for path in REPOSITORY.rglob("*"))
        names = [str(path) for path in paths if not NOT_COPIED & set(path.parts)]
    for name in names:
        if (REPOSITORY / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, root / name)
    project = Project(root)
    project.write("conf/study/tiny.yaml", TINY)
    if git(root, "init", "--quiet") is not None:
        git(root, "add", "--all")
        author = ("-c", "user.name=tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false")
        git(root, *author, "commit", "--quiet", "--message", "a checkout")
    return project


def git(folder: Path, *arguments: str) -> str | None:
    """The output of a git command; None where there is no git or it fails."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, env=own, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def untracked(project: Project) -> Project:
    """Switch live logging off: it takes half of the seconds of a short job. The workflow needs no MLflow then."""
    project.edit("conf/config.yaml", "tracking: true", "tracking: false")
    return project
