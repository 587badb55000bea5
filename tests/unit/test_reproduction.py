"""What the process that trains again is told; the process itself is tried through the front door (tests/workflow)."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from example_record import RECORD

from notafluke import reproduction
from notafluke.comparison import Comparison, StoredRun, read_run
from notafluke.components import build_task
from notafluke.configuration import compose_run
from notafluke.errors import Stopped, UsageError
from notafluke.records import write_record
from notafluke.reproduction import Reproduction, copy_data, reproduce, request_of, sample_runs
from notafluke.tracking import local_files
from notafluke.tuning import FACTORS, FIRST_SEED, Tuning

RATE = 0.1
TUNING = Tuning(
    "cd" * 32, "mse", (FIRST_SEED,), tuple(RATE * factor for factor in FACTORS), ((1.0,), (0.9,), (0.5,)), 0.3, True
)


def stored(config: dict[str, Any], tuning: Tuning | None = None, **changes: Any) -> StoredRun:
    folder = Path("results/runs/adding/default-cdcdcdcd/seed=3")
    return StoredRun(folder, replace(RECORD, **changes), config, [], {}, {}, tuning, {})


def request(run: StoredRun) -> dict[str, Any]:
    return request_of(run, Path("results"), {Path("results").resolve()})


def test_a_run_that_was_tuned_starts_from_the_rate_that_was_configured() -> None:
    config = {"tune": "lr", "optimizer": {"lr": 0.3, "_target_": "x"}}
    assert request(stored(config, TUNING))["config"]["optimizer"] == {"lr": RATE, "_target_": "x"}
    with pytest.raises(UsageError, match=r"tuning\.json of its cell is missing or damaged"):
        request(stored(config))
    untuned = {"tune": "none", "optimizer": {"lr": 0.3}}
    assert request(stored(untuned))["config"]["optimizer"] == {"lr": 0.3}


def test_everything_in_results_is_closed_but_prepared_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/elsewhere/mlflow.db")
    found = request(stored({"tune": "none"}))
    place = tmp_path.resolve()
    assert {str(place / "results"), str(place / "elsewhere/mlflow.db"), str(place / "elsewhere/mlflow.db-wal")} <= set(
        found["closed"]
    )
    assert found["open"] == [str(place / "results" / "data")]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other/mlflow.db")
    assert str(place / "other/mlflow.db") in request(stored({"tune": "none"}))["closed"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert not [own for own in request(stored({"tune": "none"}))["closed"] if "127" in own]


@pytest.mark.parametrize(
    ("uri", "names"),
    [
        ("sqlite:///x.db?timeout=5", ["x.db", "x.db-journal", "x.db-wal", "x.db-shm"]),
        ("sqlite:////abs/x.db", ["/abs/x.db", "/abs/x.db-journal", "/abs/x.db-wal", "/abs/x.db-shm"]),
        ("sqlite:///file:x.db?mode=rw&uri=true", ["x.db", "x.db-journal", "x.db-wal", "x.db-shm"]),
        ("sqlite+pysqlite:///x.db", ["x.db", "x.db-journal", "x.db-wal", "x.db-shm"]),
        ("file:runs/of%20mine", ["runs/of mine"]),
        ("file:///abs/runs", ["/abs/runs"]),
        ("file://localhost/abs/runs", ["/abs/runs"]),
        ("runs", ["runs"]),
        ("sqlite://", []),
        ("sqlite:///:memory:", []),
        ("https://example.org", []),
        ("databricks", []),
    ],
)
def test_what_an_address_of_mlflow_names_on_this_machine(
    uri: str, names: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    places = [(tmp_path.resolve() / name) for name in names]
    assert local_files(uri) == places
    assert {str(place) for place in places} <= set(request(stored({"tune": "none"}))["closed"])
    assert str(tmp_path.resolve()) not in request(stored({"tune": "none"}))["closed"]


def copied(task: Any, place: Path) -> dict[str, str]:
    """What of ``place``/stored/data is copied for a task, by path."""
    own = place / "own"
    copy_data(task, place / "stored" / "data", own)
    return {file.relative_to(own).as_posix(): file.read_text() for file in own.rglob("*") if file.suffix == ".txt"}


def test_downloads_are_copied_as_well_where_the_prepared_data_are_damaged(conf: Path, tmp_path: Path) -> None:
    run = compose_run(conf, {"task": "digits", "execution.results": "stored"})
    results = tmp_path / "stored"
    task = build_task({**run.config, "execution": {**run.config["execution"], "results": str(results)}})
    folder = task.prepare()
    (results / "data" / "raw").mkdir()
    (results / "data" / "raw" / "download.txt").write_text("a download")
    (folder / "note.txt").write_text("prepared")
    prepared = {f"{folder.name}/note.txt": "prepared"}
    assert copied(task, tmp_path) == prepared
    shutil.rmtree(tmp_path / "own")
    (folder / "arrays.npz").write_bytes(b"damaged")
    assert copied(task, tmp_path) == {**prepared, "raw/download.txt": "a download"}
    shutil.rmtree(tmp_path / "own")
    shutil.rmtree(folder)
    assert copied(task, tmp_path) == {"raw/download.txt": "a download"}


def tiny_plan(place: Path, seeds: Iterable[int]) -> Any:
    """A plan of one cell with runs in ``place``."""
    cell = SimpleNamespace(run_folder=lambda seed: place / f"seed={seed}")
    return SimpleNamespace(distinct_cells=[cell], study=SimpleNamespace(seeds=seeds, name="tiny"))


def test_only_content_is_drawn_and_what_is_damaged(tmp_path: Path) -> None:
    for seed, outcome in enumerate(("ok", "diverged", "crashed", "timeout", "ok")):
        write_record(tmp_path / f"seed={seed}", replace(RECORD, outcome=outcome), {}, [], None, None)
    (tmp_path / "seed=4" / "metrics.json").write_text("damaged")
    drawn = {path.name for path in sample_runs(tiny_plan(tmp_path, range(5)), 9, seed=0)}
    assert drawn == {"seed=0", "seed=1", "seed=4"}
    with pytest.raises(UsageError, match=r"study tiny: no run of it came to an end \(ok or diverged\)"):
        sample_runs(tiny_plan(tmp_path, [2, 3]), 1, seed=0)


def test_a_sample_of_a_study_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    def folder(seed: int) -> Path:
        return tmp_path / f"seed={seed}"

    for seed in range(8):
        write_record(folder(seed), RECORD, {}, [], None, None)
    plan = tiny_plan(tmp_path, range(10))
    chosen = sample_runs(plan, 3, seed=5)
    assert chosen == sample_runs(plan, 3, seed=5) and len(set(chosen)) == 3
    assert any(sample_runs(plan, 3, seed=own) != chosen for own in range(5))
    assert set(sample_runs(plan, 20, seed=0)) == {folder(seed) for seed in range(8)}, "never one that is not recorded"
    plan.study.seeds = [9]
    with pytest.raises(UsageError, match="study tiny: no run of it is recorded"):
        sample_runs(plan, 1, seed=0)


@pytest.fixture
def place(own_conf: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A project's folder, which is the working folder, and where temporary folders are its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "places"))
    (tmp_path / "places").mkdir()
    return own_conf.parent


def record_run(place: Path, target: str) -> Path:
    """A recorded run whose task is a function of one's choice; the folder of it."""
    run = compose_run(place / "conf", {"task": "adding"})
    config = {**run.config, "task": {"_target_": target}}
    folder = place / "results" / "runs" / "adding" / "default-cdcdcdcd" / "seed=3"
    write_record(folder, RECORD, config, [], None, None)
    return folder


PEEK = """
from pathlib import Path

from notafluke.tasks.adding import Adding as Task

Path("loaded").touch()
stored = Path("results/runs/adding/default-cdcdcdcd/seed=3/metrics.json").read_text(encoding="utf-8")
Path("seen").write_text(stored, encoding="utf-8")
"""


def test_the_process_cannot_read_the_stored_run(place: Path, tmp_path: Path) -> None:
    (place / "peek.py").write_text(PEEK, encoding="utf-8")
    (place / "conf" / "task" / "peek.yaml").write_text(
        "description: looks\nsource: this test\n_target_: peek.Task\n", encoding="utf-8"
    )
    folder = record_run(place, "peek.Task")
    with pytest.raises(UsageError, match=r"here: .*importing peek raised PermissionError.*sealed"):
        reproduce(folder, Path("results"))
    assert (place / "loaded").exists() and not (place / "seen").exists()
    assert list((tmp_path / "places").iterdir()) == []


def test_a_recorded_target_that_nobody_trusts_is_not_loaded(place: Path) -> None:
    (place / "peek.py").write_text(PEEK, encoding="utf-8")
    folder = record_run(place, "peek.Task")
    with pytest.raises(UsageError, match=r"cannot be trained again here: task\._target_=peek\.Task is not trusted"):
        reproduce(folder, Path("results"))
    assert not (place / "loaded").exists()


def test_a_process_that_dies_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = record_run(place, "notafluke.tasks.adding.Adding")
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(UsageError, match="the process that trained it again ended with code 1 and left nothing"):
        reproduce(folder, Path("results"))


def test_what_fails_is_told_with_its_reason(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Here a configuration of an older version, which lacks a key."""
    run = compose_run(place / "conf", {"task": "adding"})
    folder = place / "results" / "runs" / "adding" / "default-cdcdcdcd" / "seed=3"
    write_record(folder, RECORD, {key: own for key, own in run.config.items() if key != "trainer"}, [], None, None)
    with pytest.raises(UsageError, match="it cannot be trained again here: KeyError: 'trainer'"):
        reproduce(folder, Path("results"))
    assert "Traceback" in capfd.readouterr().err


def test_the_process_knows_of_no_server_but_of_the_secrets(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "peek.py").write_text(
        "import os\n\nfrom notafluke.redaction import redact\n\n"
        "text = f\"{os.environ.get('MLFLOW_TRACKING_URI')} {redact('hunter22')}\"\n"
        "raise ValueError(text)\n",
        encoding="utf-8",
    )
    (place / "conf" / "task" / "peek.yaml").write_text(
        "description: looks\nsource: this test\n_target_: peek.Task\n", encoding="utf-8"
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter22@127.0.0.1:9")
    folder = record_run(place, "peek.Task")
    with pytest.raises(UsageError, match=r"importing peek raised ValueError: None \*\*\*"):
        reproduce(folder, Path("results"))


def test_an_interruption_says_that_it_starts_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = record_run(place, "notafluke.tasks.adding.Adding")
    monkeypatch.setattr(reproduction.subprocess, "run", lambda *args, **options: signal.raise_signal(signal.SIGINT))
    with pytest.raises(Stopped, match="stopped by SIGINT; no result has changed, and the same command starts again"):
        reproduce(folder, Path("results"))


def test_of_several_runs_one_that_cannot_be_tried_stops_no_other(
    run: Callable[..., tuple[int, str, str]], conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = Path("results/runs/adding/default-cdcdcdcd")
    folders = [str(cell / f"seed={seed}") for seed in range(3)]
    for folder in folders:
        write_record(Path(folder), RECORD, {}, [], None, None)
    (Path(folders[1]) / "history.csv").write_text("damaged", encoding="utf-8")

    def as_stored(folder: Path, results: Path, keep: bool) -> Reproduction:
        run = read_run(folder)
        return Reproduction(run, run, Comparison(("outcome ok",), (), True, 0), (), 1.0, None)

    monkeypatch.setattr(reproduction, "reproduce", as_stored)
    code, out, err = run("reproduce", *folders, "--json")
    damaged = f"{folders[1]}: history.csv is damaged; notafluke retry lets it be trained again"
    assert (code, err) == (2, f"error: {damaged}\n")
    found = json.loads(out)["runs"]
    assert [own["run"] for own in found] == folders
    assert [own.get("identical") for own in found] == [True, None, True]
    assert found[0]["all_compared"] is True and found[1]["error"] == damaged
    code, out, err = run("reproduce", *folders)
    assert (code, err) == (2, f"error: {damaged}\n") and out.count("identical") == 2
    assert run("reproduce", folders[1], "--json") == (2, "", f"error: {damaged}\n")
    shutil.rmtree("results")
