"""The view in MLflow: which runs it counts as shown."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from notafluke.plan import Cell
from notafluke.records import RunRecord
from notafluke.tracking import Experiment

CELL = Cell("adding", {"activation": "iris"}, "0" * 64, "results/runs/adding/activation=iris-00000000", "")
CONFIG = {"seed": 0, "trainer": {"max_epochs": 1}}


def test_a_killed_run_shows_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the synchronisation brings the result of a run that was killed and finished while MLflow was away."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    experiment = Experiment(tmp_path, "toy")
    parent = experiment.cell_run(CELL, CONFIG)
    for seed, status in enumerate(["FINISHED", "FAILED", "KILLED", "RUNNING"]):
        experiment.client.set_terminated(experiment.seed_run(parent, CELL, CONFIG, seed), status)
    assert experiment.finished_keys() == {CELL.run_key(0), CELL.run_key(1)}
    again = experiment.seed_run(parent, CELL, CONFIG, 2)
    assert [run.info.run_id for run in experiment.runs("run_key", CELL.run_key(2))] == [again]


def test_what_a_network_wrote_is_shown_with_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    experiment = Experiment(tmp_path, "toy")
    run_id = experiment.seed_run(experiment.cell_run(CELL, CONFIG), CELL, CONFIG, 0)
    folder = tmp_path / "seed=0"
    (folder / "samples").mkdir(parents=True)
    (folder / "samples" / "piece_1.mid").write_bytes(b"MThd")
    record = RunRecord(
        **{field.name: None for field in fields(RunRecord)}
        | {"metrics": {"nll": 8.5}, "parameters": 3, "seconds": 1.0, "best_epoch": 0, "outcome": "ok", "provenance": {}}
    )
    experiment.finish(run_id, record, folder)
    assert [own.path for own in experiment.client.list_artifacts(run_id, "samples")] == ["samples/piece_1.mid"]
    run = experiment.client.get_run(run_id)
    assert run.data.metrics["test/nll"] == 8.5 and run.info.status == "FINISHED"
