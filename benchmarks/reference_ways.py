"""The ways of ``peers.py`` to train the reference work, each timed as a whole command, and what they recorded."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pages import BENCHMARKS, CACHE

from notafluke.tasks.adding import Adding

WORK = CACHE / "peers"
PEERS = BENCHMARKS / "peers"
PROGRAM = PEERS / "train_reference.py"
STUDY = PEERS / "reference_study.yaml"
LAUNCHER = BENCHMARKS / ".venvs" / "joblib-launcher"
ACTIVATIONS = ("tanh", "golden_tanh", "iris", "relu")
SEEDS = 20
RUNS = SEEDS * len(ACTIVATIONS)
OURS = "notafluke"
CORES = 2
WORKING_FILES = ("Snakefile", "conf", "workflow", "profiles")
OTHER_SETTINGS = ("HYDRA_", "MKL_", "MLFLOW_", "OMP_", "SNAKEMAKE_")
"""Variables that neither we nor a peer should inherit begin like this."""

Scores = Mapping[str, Mapping[int, float]]
"""Test MSE by activation and seed."""


@dataclass(frozen=True)
class Trained:
    """What one invocation took (wall time) and gave; ``training`` are the seconds that its records name, together."""

    seconds: float
    scores: Scores
    training: float = 0.0


def prepare(seeds: Sequence[int]) -> None:
    """A fresh folder with the data of all seeds and a database, and the launcher where it is not installed yet."""
    shutil.rmtree(WORK, ignore_errors=True)
    (WORK / "data").mkdir(parents=True)
    task = Adding(**{name.removeprefix("task."): value for name, value in study()["tasks"]["adding"].items()})
    for seed in seeds:
        data = task.load(seed, 0)
        arrays = {f"{split}_{part}": getattr(getattr(data, split), part)
                  for split in ("train", "validation", "test") for part in ("inputs", "targets")}  # fmt: skip
        np.savez(WORK / "data" / f"{seed}.npz", **arrays)
    code = "import sys; from mlflow import MlflowClient; MlflowClient(sys.argv[1]).create_experiment('reference')"
    database = f"sqlite:///{WORK / 'empty.db'}"
    timed([sys.executable, "-c", code, database], WORK, environment())
    if not LAUNCHER.exists():
        needed = ["--no-deps", "--target", str(LAUNCHER), "--requirement", str(PEERS / "joblib-launcher.txt")]
        timed([sys.executable, "-m", "pip", "install", *needed], WORK, dict(os.environ))


def study() -> dict[str, Any]:
    """The study of the reference work."""
    return dict(yaml.safe_load(STUDY.read_text(encoding="utf-8")))


def environment(*paths: Path) -> dict[str, str]:
    """The variables of a command: this environment's programs first, nobody's settings, ``paths`` before Python's."""
    found = {name: value for name, value in os.environ.items() if not name.startswith(OTHER_SETTINGS)}
    found["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), found.get("PATH", "")])
    found["PYTHONPATH"] = os.pathsep.join(filter(None, [*map(str, paths), found.get("PYTHONPATH", "")]))
    return found


def timed(command: Sequence[str], folder: Path, variables: Mapping[str, str], lines: str = "") -> float:
    """Seconds that a command takes, its output in ``output.txt``; ends the program where it fails."""
    output = folder / "output.txt"
    with output.open("w", encoding="utf-8") as file:
        began = time.perf_counter()
        done = subprocess.run(
            command,
            cwd=folder,
            env=variables,
            input=lines,
            text=True,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
        seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{output.read_text(encoding='utf-8')[-3000:]}")
    return seconds


def ours(seeds: Sequence[int], name: str) -> Trained:
    """``snakemake`` in a fresh copy of the working files: planning, database, training, tables, figures."""
    project = WORK / name
    project.mkdir()
    for own in WORKING_FILES:
        place = BENCHMARKS.parent / own
        (shutil.copytree if place.is_dir() else shutil.copy)(place, project / own)
    shutil.copy(STUDY, project / "conf" / "study" / "reference.yaml")
    command = ["snakemake", "--cores", str(CORES), "--config", "study=reference"]
    command.append(f"overrides=seed=range({min(seeds)},{max(seeds) + 1})")
    seconds = timed(command, project, environment())
    files = list(project.glob("results/runs/adding/*/seed=*/metrics.json"))
    records = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    require_same_settings(yaml.safe_load((files[0].parent / "config.yaml").read_text(encoding="utf-8")))
    require_logged(project / "results" / "mlflow.db", len(seeds) * len(ACTIVATIONS))
    runs = [(own["changes"].get("activation", "tanh"), own["seed"], own["metrics"].get("mse")) for own in records]
    return Trained(seconds, by_activation(runs, seeds), sum(own["seconds"] for own in records))


def basic(seeds: Sequence[int], name: str, threads: int = 1, planned: int = 0) -> Trained:
    """Hydra's own launcher: all runs in one process, one after another."""
    return swept(seeds, name, planned, environment(), [f"threads={threads}"], workers=1)


def joblib(seeds: Sequence[int], name: str, planned: int = 0) -> Trained:
    """Hydra's joblib launcher: a process for each core, which trains one run after another."""
    options = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={CORES}"]
    return swept(seeds, name, planned, environment(LAUNCHER), options, workers=CORES)


def processes(seeds: Sequence[int], name: str, planned: int = 0) -> Trained:
    """A process for each run, as many at once as there are cores."""
    folder = fresh(name)
    lines = "".join(f"seed={seed} activation={activation}\n" for seed in seeds for activation in ACTIVATIONS)
    command = ["xargs", "-P", str(CORES), "-L", "1", sys.executable, str(PROGRAM), *common(folder)]
    seconds = timed(command, folder, environment(), lines)
    scores = read_scores(folder, seeds)
    return Trained(seconds * (planned or len(seeds)) / len(seeds), scores)


def swept(
    seeds: Sequence[int], name: str, planned: int, variables: Mapping[str, str], options: Sequence[str], workers: int
) -> Trained:
    """A sweep of the peers' program; with ``planned`` the seconds that so many seeds would take."""
    folder = fresh(name)
    sweep = [f"seed={','.join(map(str, seeds))}", f"activation={','.join(ACTIVATIONS)}"]
    command = [sys.executable, str(PROGRAM), "-m", *sweep, *options, *common(folder)]
    seconds = timed(command, folder, variables)
    scores = read_scores(folder, seeds)
    if planned > len(seeds):
        seconds += further_seconds(read_lines(folder), planned - len(seeds)) / workers
    return Trained(seconds, scores)


def further_seconds(lines: Iterable[Mapping[str, Any]], seeds: int) -> float:
    """What so many more seeds of each activation would take one after another.

    A run takes from the end of its process' run before to its own end; a process' first one, which also pays what is
    done only once, does not count.
    """
    by_process: dict[int, list[Any]] = defaultdict(list)
    for line in lines:
        by_process[line["process"]].append(line)
    taken: dict[str, list[float]] = defaultdict(list)
    for own in by_process.values():
        own.sort(key=lambda line: line["ended"])
        for before, line in pairwise(own):
            taken[line["activation"]].append(line["ended"] - before["ended"])
    return seeds * sum(statistics.mean(taken[activation]) for activation in ACTIVATIONS)


def fastest_threads(name: str) -> dict[int, float]:
    """Seconds that a run of tanh and one of iris take in one process, by number of threads."""
    folder = fresh(name)
    # The first seed pays what is done only once.
    sweep = ["seed=0,1", "activation=tanh,iris", f"threads={','.join(str(n + 1) for n in range(CORES))}"]
    timed([sys.executable, str(PROGRAM), "-m", *sweep, *common(folder)], folder, environment())
    taken: dict[int, float] = defaultdict(float)
    for line in read_lines(folder):
        if line["seed"] == 1:
            taken[line["threads"]] += line["ended"] - line["began"]
    return dict(taken)


def fresh(name: str) -> Path:
    """A folder for an invocation of a peer, with a database that has been created."""
    folder = WORK / name
    folder.mkdir()
    shutil.copy(WORK / "empty.db", folder / "mlflow.db")
    return folder


def common(folder: Path) -> list[str]:
    """Where the data of a peer come from and its results go to."""
    database = f"database='sqlite:///{folder / 'mlflow.db'}'"
    return [f"data='{WORK / 'data'}'", database, f"records='{folder / 'records.jsonl'}'"]


def read_lines(folder: Path) -> list[dict[str, Any]]:
    """What a peer's runs recorded."""
    return [json.loads(line) for line in (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()]


def read_scores(folder: Path, seeds: Sequence[int]) -> Scores:
    """The scores of a peer's runs."""
    require_logged(folder / "mlflow.db", len(seeds) * len(ACTIVATIONS))
    return by_activation([(line["activation"], line["seed"], line["mse"]) for line in read_lines(folder)], seeds)


def by_activation(runs: Iterable[tuple[str, int, float | None]], seeds: Sequence[int]) -> Scores:
    """The scores of runs; ends the program where one is missing or failed."""
    found: dict[str, dict[int, float]] = {activation: {} for activation in ACTIVATIONS}
    for activation, seed, mse in runs:
        if mse is not None:
            found[activation][seed] = mse
    for activation, own in found.items():
        if sorted(own) != sorted(seeds):
            raise SystemExit(f"{activation}: seeds {sorted(own)} were trained, not {list(seeds)}")
    return found


def require_logged(database: Path, runs: int) -> None:
    """End the program unless so many runs, at least, are finished in MLflow."""
    with sqlite3.connect(database) as connection:
        (found,) = connection.execute("select count(*) from runs where status = 'FINISHED'").fetchone()
    if found < runs:
        raise SystemExit(f"{database}: {found} finished runs, expected {runs}")


def require_same_settings(config: Mapping[str, Any]) -> None:
    """End the program unless a run's configuration has the settings of the peers."""
    peers = yaml.safe_load((PEERS / "train_reference.yaml").read_text(encoding="utf-8"))
    own = {
        "hidden_size": config["model"]["hidden_size"],
        "forget_bias": config["model"]["forget_bias"],
        "batch_size": config["trainer"]["batch_size"],
        "max_epochs": config["trainer"]["max_epochs"],
        "lr": config["optimizer"]["lr"],
        "max_norm": config["gradient"]["max_norm"],
    }
    for name, value in own.items():
        if peers[name] != value:
            raise SystemExit(f"{name} is {value} with notafluke and {peers[name]} with the peers")
