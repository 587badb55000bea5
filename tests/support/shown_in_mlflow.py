"""All that MLflow shows, as plain data: what two databases are compared by."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

PARENT = "mlflow.parentRunId"
# A connection that stays open would go on reading a database that has been replaced since.
os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def shown(client: MlflowClient, artifacts: bool = True) -> dict[str, dict[str, dict[str, Any]]]:
    """Every active run by run key (a cell: its cell key) and experiment; a run that is there twice fails.

    Without what may differ: run ids (the parent is named by its cell key) and the times at which metrics were logged.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for experiment in client.search_experiments():
        runs = list(client.search_runs([experiment.experiment_id], max_results=1000))
        if not runs:
            continue
        cells = {run.info.run_id: run.data.tags["cell_key"] for run in runs if run.data.tags["level"] == "cell"}
        own = found.setdefault(experiment.name, {})
        for run in runs:
            key = run.data.tags.get("run_key", run.data.tags["cell_key"])
            assert key not in own, f"{run.info.run_name} is there twice"
            own[key] = content(client, run, cells, artifacts)
    return found


def content(client: MlflowClient, run: Run, cells: dict[str, str], artifacts: bool) -> dict[str, Any]:
    tags = dict(run.data.tags)
    if PARENT in tags:
        tags[PARENT] = cells[tags[PARENT]]
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "times": (run.info.start_time, run.info.end_time),
        "tags": tags,
        "parameters": run.data.params,
        "metrics": {name: curve(client, run, name) for name in run.data.metrics},
        "artifacts": files(client, run.info.run_id) if artifacts else {},
    }


def curve(client: MlflowClient, run: Run, name: str) -> list[tuple[int, str]]:
    """Every value that was logged, by epoch; as text, because NaN equals nothing."""
    return sorted((point.step, repr(point.value)) for point in client.get_metric_history(run.info.run_id, name))


def files(client: MlflowClient, run_id: str) -> dict[str, str]:
    """Digests of the artifacts by path."""
    if not client.list_artifacts(run_id):
        return {}
    with TemporaryDirectory() as folder:
        top = Path(client.download_artifacts(run_id, "", folder))
        paths = sorted(path for path in top.rglob("*") if path.is_file())
        return {path.relative_to(top).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
