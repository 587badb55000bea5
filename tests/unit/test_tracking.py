"""The view in MLflow: which runs it counts as shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from notafluke.plan import Cell
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
