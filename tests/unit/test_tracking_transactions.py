"""Many calls of MLflow's client as one transaction: all of it is there afterwards, or nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from notafluke.tracking.database import connect
from notafluke.tracking.transactions import one_transaction


@pytest.fixture
def client(tmp_path: Path) -> MlflowClient:
    return connect(tmp_path / "results")


def stored(tmp_path: Path, table: str) -> int:
    """Rows that another process would see."""
    with closing(sqlite3.connect(tmp_path / "results" / "mlflow.db")) as connection:
        (count,) = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
    return int(count)


def add_run(client: MlflowClient) -> str:
    run_id = str(client.create_run("0").info.run_id)
    client.log_batch(run_id, [Metric("mse", 0.5, 1, step) for step in range(3)])
    client.set_terminated(run_id, "FINISHED", 2)
    return run_id


def test_everything_is_there_at_the_end_and_nothing_before(client: MlflowClient, tmp_path: Path) -> None:
    with one_transaction(client):
        ids = [add_run(client), add_run(client)]
        assert client.get_run(ids[0]).info.status == "FINISHED", "what was written in it is read in it"
        assert stored(tmp_path, "runs") == stored(tmp_path, "metrics") == 0
    assert stored(tmp_path, "runs") == 2 and stored(tmp_path, "metrics") == 6
    assert [point.value for point in client.get_metric_history(ids[1], "mse")] == [0.5] * 3


def test_what_fails_leaves_nothing_and_the_client_goes_on(client: MlflowClient, tmp_path: Path) -> None:
    with pytest.raises(ArithmeticError, match="cursed"), one_transaction(client):
        add_run(client)
        raise ArithmeticError("cursed")
    assert stored(tmp_path, "runs") == 0
    add_run(client)
    assert stored(tmp_path, "runs") == 1


def test_with_a_server_nothing_changes() -> None:
    server: Any = SimpleNamespace(_tracking_client=SimpleNamespace(store=object()))
    with one_transaction(cast("MlflowClient", server)):
        pass
