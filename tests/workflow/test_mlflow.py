"""What MLflow shows: one parent a cell, one child a run, made again from the records at any time."""

import csv
from collections import Counter
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest
import yaml
from mlflow import MlflowClient
from shown_in_mlflow import shown as contents

from notafluke.cli import main
from notafluke.workflow import tell_of_tracking

# Shares the control and Iris with the tiny study.
OTHER = """
title: Another study with runs of the tiny one
control: {model.hidden_size: 4, optimizer.lr: 0.1, trainer.batch_size: 16, trainer.max_epochs: 2}
tasks:
  adding: {task.length: 2, task.train_size: 256, task.validation_size: 64, task.test_size: 64}
sweep:
  activation: tanh,iris
  seed: range(1,3)
"""


class Shown:
    """The runs of an experiment."""

    def __init__(self, project, experiment="tiny"):
        self.client = MlflowClient(f"sqlite:///{project.results}/mlflow.db")
        runs = project.shown(experiment)
        self.cells = [run for run in runs if run.data.tags["level"] == "cell"]
        self.children = {run.data.tags["run_key"]: run for run in runs if run.data.tags["level"] == "run"}
        assert len(self.cells) + len(self.children) == len(runs), "a run is shown twice"

    def curve(self, run, metric):
        history = sorted(self.client.get_metric_history(run.info.run_id, metric), key=lambda point: point.step)
        return [(point.step, point.value) for point in history]


@pytest.fixture(scope="module")
def shown(finished):
    return Shown(finished)


def test_every_run_is_a_child_of_its_cell(shown, finished):
    by_key = {record["run_key"]: record for record in finished.records().values()}
    assert shown.children.keys() == by_key.keys()
    assert len(shown.cells) == 3
    parents = {run.info.run_id: run for run in shown.cells}
    children = Counter(run.data.tags["mlflow.parentRunId"] for run in shown.children.values())
    assert children == dict.fromkeys(parents, 3)
    for key, run in shown.children.items():
        parent = parents[run.data.tags["mlflow.parentRunId"]]
        assert parent.data.tags["cell_key"] == by_key[key]["cell_key"]
        assert parent.data.tags["treatment"] == run.data.tags["treatment"]
    assert {run.info.status for run in [*shown.cells, *shown.children.values()]} == {"FINISHED"}


def test_runs_carry_tags_parameters_and_metrics(shown, finished):
    for path in finished.runs():
        record = finished.record(path)
        run = shown.children[record["run_key"]]
        tags, parameters = run.data.tags, run.data.params
        assert (tags["task"], tags["seed"], tags["outcome"]) == ("adding", str(record["seed"]), "ok")
        activation = record["changes"].get("activation", "tanh")
        assert ("activation=iris" in tags["treatment"]) == (activation == "iris")
        assert tags["weight_digest"] == record["weight_digest"]
        if record["provenance"]["git_commit"]:
            assert tags["git_commit"] == record["provenance"]["git_commit"]

        assert parameters["model.hidden_size"] == "4"
        assert parameters["task.length"] == "2"
        assert parameters["seed"] == str(record["seed"])
        assert parameters["replica"] == record["changes"].get("replica", "0")
        assert parameters["activation._target_"].endswith(activation)
        assert not [key for key in parameters if key.startswith("execution")]

        assert run.data.metrics["test/mse"] == pytest.approx(record["metrics"]["mse"], rel=1e-12)
        with (finished.root / path).with_name("history.csv").open(encoding="utf-8") as file:
            history = list(csv.DictReader(file))
        for metric, column in {"validation/mse": "mse", "train/train_loss": "train_loss"}.items():
            curve = [(int(row["epoch"]), pytest.approx(float(row[column]), rel=1e-12)) for row in history]
            assert shown.curve(run, metric) == curve


def test_the_git_commit_is_recorded(shown, finished):
    if not (finished.root / ".git").is_dir():
        pytest.skip("there is no git here")
    head = finished.run("git", "rev-parse", "HEAD").stdout.strip()
    assert {run.data.tags["git_commit"] for run in shown.children.values()} == {head}


def test_the_resolved_configuration_is_an_artifact(shown, finished):
    for path in finished.runs():
        run = shown.children[finished.record(path)["run_key"]]
        folder = url2pathname(urlparse(run.info.artifact_uri).path)
        shown_config = yaml.safe_load((Path(folder) / "config.yaml").read_text("utf-8"))
        assert shown_config == yaml.safe_load((finished.root / path).with_name("config.yaml").read_text("utf-8"))


def test_shared_runs_are_shown_in_both_studies_and_come_back_into_an_empty_database(project):
    before = project.runs()
    project.edit("conf/config.yaml", "tracking: false", "tracking: true")
    project.write("conf/study/other.yaml", OTHER)
    project.snakemake(study="other")
    assert not project.trained_since(before)
    other, tiny = Shown(project, "other"), Shown(project, "tiny")
    assert len(other.children) == 4
    assert len(other.cells) == 2
    assert other.children.keys() < tiny.children.keys()
    assert {run.info.status for run in other.children.values()} == {"FINISHED"}

    client = MlflowClient(f"sqlite:///{project.results}/mlflow.db")
    before = contents(client)
    assert "2 experiments, 13 runs: 13 added" in project.notafluke("track", "rebuild").stdout
    assert contents(client) == before

    (project.results / "mlflow.db").unlink()
    synchronised = project.notafluke("track", "sync", "tiny")
    assert "9 runs added" in synchronised.stdout and "notafluke track rebuild" in synchronised.stderr
    assert "0 runs added" in project.notafluke("track", "sync", "tiny").stdout
    assert contents(client) == {"tiny": before["tiny"]}


AWAY = "MLflow at http://***@127.0.0.1:9 does not answer; is it running? (MLFLOW_TRACKING_URI)"
CLOSED = {"MLFLOW_TRACKING_URI": "http://me:opensesame@127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


def test_a_server_that_is_away_is_told_and_stops_no_workflow(project, monkeypatch):
    for name, value in CLOSED.items():
        monkeypatch.setenv(name, value)
    marker = project.results / "tiny" / ".tracking-synchronised"
    for command in (["track", "init"], ["track", "rebuild"], ["track", "sync", "tiny"]):
        assert project.within(main, *command, code=1).output.splitlines()[-1] == f"error: {AWAY}"
    assert "nothing is logged" in project.within(main, "track", "init", "--tolerant").output
    project.edit("conf/config.yaml", "tracking: false", "tracking: true")
    told = project.within(main, "track", "init", "--tolerant").output
    assert told == f"warning: {AWAY}; training goes on without it\n"
    told = project.within(main, "track", "sync", "tiny", "--overrides=seed=0,1", f"--marker={marker}").output
    assert told.startswith(f"warning: {AWAY}; ") and told.endswith("track sync tiny --overrides=seed=0,1\n")
    warnings = []
    tell_of_tracking(marker, warnings.append)
    assert warnings == [told.strip()] and not marker.exists()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert "0 runs added" in project.within(main, "track", "sync", "tiny", f"--marker={marker}").output
    tell_of_tracking(marker, warnings.append)
    assert len(warnings) == 1 and marker.read_bytes() == b""


def test_a_driver_that_is_not_installed_is_told_in_one_line(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+nodriver://me:opensesame@127.0.0.1:9/runs")
    (line,) = project.within(main, "track", "init", code=1).output.splitlines()
    assert line.startswith("error: MLflow: ") and "opensesame" not in line
