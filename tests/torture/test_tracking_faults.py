"""MLflow under many processes, on a full disk, and a real server that is killed: nothing lost, nothing twice."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from projects import copy_repository
from shown_in_mlflow import shown
from simulated_training import Clock, Training, process

from notafluke.tracking import Pace, connect, rebuild

PROCESSES = 16
SEEDS, EPOCHS = [0, 1, 2], 12


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.delenv(name, raising=False)


def database(results: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{results.resolve()}/mlflow.db")


@pytest.mark.parametrize("experiments", [1, PROCESSES])
def test_sixteen_processes_on_one_sqlite_file(tmp_path, tally, experiments):
    """From no database at all. What one could not deliver, because others held the lock, a rebuild brings."""
    jobs = [
        process(tmp_path, f"study{number % experiments}", f"cell{number}", SEEDS, EPOCHS, 0.2)
        for number in range(PROCESSES)
    ]
    for job in jobs:
        job.join(600)
    ended = sum(job.exitcode == 0 for job in jobs)
    told = sum("cannot log" in path.read_text() for path in tmp_path.glob("*.log"))
    live = shown(database(tmp_path))
    delivered = sum(len(runs) for runs in live.values())
    rebuild(tmp_path)
    whole = shown(database(tmp_path))
    right = sum(run == whole[name].get(key) for name, runs in live.items() for key, run in runs.items())
    assert sum(len(runs) for runs in whole.values()) == PROCESSES * (len(SEEDS) + 1)
    note = f"{delivered} runs delivered live, {told} processes told of a failure"
    tally.add("16 processes on one SQLite file", f"{experiments} experiments", ended, PROCESSES, note)
    tally.add("a run that is logged meanwhile", "mlflow.db", right, delivered)


def test_databases_that_are_killed_while_they_are_made(tmp_path, tally, extent):
    """SIGKILL while the database is created: the next process finds none, or a whole one."""
    for number in range(extent.share(10)):
        results = tmp_path / str(number)
        job = process(results, "toy", "iris", [0], 1)
        time.sleep(float(extent.generator(7, number).uniform(0.0, 2.0)))
        job.kill()
        job.join(60)
        connect(results)
        rebuild(results)
        tally.add("SIGKILL while the database is made", "mlflow.db", not list(results.glob("mlflow.db.damaged*")))


def test_a_real_server_that_is_killed_and_started_again(tmp_path, monkeypatch, tally):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    server = start_server(tmp_path, port)
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        clock = Clock()
        training = Training(tmp_path / "results", pace=Pace(clock))

        def each(epoch: int) -> None:
            nonlocal server
            clock.now += 400
            if epoch == 2:
                stop_server(server)
            if epoch == 5:
                server = start_server(tmp_path, port)

        training.train([0, 1], epochs=10, each=each)
        training.live.finish_cell()
        live = shown(MlflowClient(uri))["toy"]
        complete = [
            [epoch for epoch, _ in run["metrics"].get("train/train_loss", [])] == list(range(10))
            for key, run in live.items()
            if key != training.cell.key
        ]
        added = rebuild(tmp_path / "results").added
        tally.add("SIGKILL", "mlflow server", sum(complete) if added == 0 else 0, 2)
    finally:
        stop_server(server)


def test_a_study_whose_server_is_away(tmp_path, tally):
    """From the start to the end: it is decided all the same, and the next start shows its runs."""
    project = copy_repository(tmp_path / "project")
    snakemake = (sys.executable, "-m", "snakemake", "--cores", "2", "--config", "study=tiny")
    away = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = project.run(*snakemake, code=None, **away)
    decided = done.code == 0 and len(project.runs()) == 9 and len(project.significance()) == 2
    told = "127.0.0.1:9 does not answer" in done.output and "notafluke track sync tiny" in done.output
    project.run(*snakemake)
    shown_later = len(shown(database(project.results))["tiny"]) == 12
    quiet = project.run(*snakemake).nothing_to_do
    tally.add("no answer", "server of a whole study", sum((decided, told, shown_later, quiet)), 4)


def start_server(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """``mlflow server``, once it answers."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", f"{folder}/stored"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    log = (folder / "server.log").open("ab")
    server = subprocess.Popen(command, cwd=folder, env=own, stdout=log, stderr=log, start_new_session=True)
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.2)
    raise AssertionError((folder / "server.log").read_text())


def stop_server(server: subprocess.Popen[bytes]) -> None:
    """SIGKILL, with its workers."""
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
