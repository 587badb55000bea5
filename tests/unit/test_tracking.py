"""The view in MLflow: just what the records say, whatever happens to MLflow while training goes on."""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from mlflow import MlflowClient
from shown_in_mlflow import shown
from simulated_training import Clock, Training, process
from tracking_server import TrackingServer

from notafluke.checksums import with_checksum
from notafluke.errors import UsageError
from notafluke.tracking import (
    Experiment,
    Pace,
    connect,
    database,
    initialise,
    processes,
    rebuild,
    rebuilding,
    remember_runs,
    remembered_runs,
)
from notafluke.tracking import shown as shown_runs
from notafluke.tracking.database import damage, sqlite_uri
from notafluke.tracking.experiment import PARENT, cells_of, seeds_of
from notafluke.tracking.failures import failure_of
from notafluke.tracking.processes import PROCESS, host, is_alive, own_process
from notafluke.tracking.rebuilding import bring
from notafluke.tracking.shown import damaged_lines

SETTINGS = ("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES")


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of the caller's, and nothing that a test leaves."""
    with mock.patch.dict(os.environ):
        for name in ("MLFLOW_TRACKING_URI", *SETTINGS):
            os.environ.pop(name, None)
        yield


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results with an empty database: to make one takes a second."""
    results = tmp_path_factory.mktemp("empty")
    with mock.patch.dict(os.environ):
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        connect(results)
    return results


@pytest.fixture
def results(empty: Path, tmp_path: Path) -> Path:
    (tmp_path / "mlflow.db").write_bytes((empty / "mlflow.db").read_bytes())
    return tmp_path


@pytest.fixture(autouse=True)
def quick_creation(request: pytest.FixtureRequest, empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New databases are copies of one."""

    def copied(path: Path, results: Path) -> None:
        for end in ("-journal", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        path.write_bytes((empty / "mlflow.db").read_bytes())

    for module in (database, rebuilding):
        monkeypatch.setattr(module, "create_database", copied)


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory, empty: Path) -> Iterator[TrackingServer]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "server.db").write_bytes((empty / "mlflow.db").read_bytes())
    server = TrackingServer(folder)
    # The first answer takes longer than tests wait for one.
    MlflowClient(server.uri).search_experiments()
    yield server
    server.close()


@pytest.fixture
def server(one_server: TrackingServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrackingServer]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", one_server.uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    yield one_server
    one_server.recover()


def client_of(results: Path) -> MlflowClient:
    return MlflowClient(sqlite_uri(results / "mlflow.db"))


def statuses(results: Path, experiment: str = "toy") -> dict[str, str]:
    """By the name of the run."""
    return {run["name"]: run["status"] for run in shown(client_of(results), artifacts=False)[experiment].values()}


# ---- the pace ----


def test_sending_takes_a_tenth_of_the_time_and_not_more_often_than_every_five_seconds() -> None:
    clock = Clock()
    pace = Pace(clock)
    for seconds, pause in [(0.01, 5.0), (2.0, 20.0)]:
        assert pace.due()
        pace.succeeded(seconds)
        clock.now += pause - 0.01
        assert not pace.due()
        clock.now += 0.02


def test_after_failures_it_waits_longer_and_longer() -> None:
    clock = Clock()
    pace = Pace(clock)
    for pause in (30.0, 60.0, 120.0, 240.0, 300.0, 300.0):
        pace.failed(0.1)
        clock.now += pause - 0.01
        assert pace.outage and not pace.due()
        clock.now += 0.02
        assert pace.due()
    # An attempt that hung for a minute is followed by ten of them.
    pace.failed(60.0)
    clock.now += 599.0
    assert not pace.due()
    assert pace.succeeded(0.1) and not pace.succeeded(0.1)
    pace.failed(0.1)
    clock.now += 30.1
    assert pace.due()


# ---- which experiment shows which run ----


def test_a_run_is_noted_once_and_a_torn_line_costs_only_itself(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "adding" / "iris-0" / "seed=0"
    for _ in range(2):
        remember_runs(tmp_path, "toy", {"a": folder, "b": folder.with_name("seed=1")})
    file = tmp_path / "experiments.jsonl"
    assert len(file.read_text().splitlines()) == 2
    file.write_bytes(file.read_bytes()[:-9])
    remember_runs(tmp_path, "toy", {"c": folder.with_name("seed=2")})
    assert remembered_runs(tmp_path) == {"toy": {"a": "runs/adding/iris-0/seed=0", "c": "runs/adding/iris-0/seed=2"}}


def shown_line(**changes: object) -> str:
    """A line of experiments.jsonl as it is written, its checksum included."""
    return json.dumps(with_checksum({"experiment": "toy", "run_key": "x", "folder": "runs/a/b/seed=0", **changes}))


@pytest.mark.parametrize(
    "line",
    [
        shown_line(folder="../../etc/a/b"),
        shown_line(folder="runs/../../x"),
        shown_line(folder="/runs/a/b"),
        shown_line(run_key=3, folder="runs/a/b/c"),
        shown_line().replace("seed=0", "seed=2"),
        '{"experiment": "toy", "run_key": "x", "folder": "runs/a/b/seed=0"}',
        '["toy"]',
        "3",
        "\x00\xff",
        "",
    ],
)
def test_lines_that_lead_elsewhere_or_are_damaged_are_left_out(tmp_path: Path, line: str) -> None:
    good = shown_line(run_key="good", folder="runs/a/b/seed=1")
    (tmp_path / "experiments.jsonl").write_bytes(f"{line}\n{good}\n".encode("latin-1"))
    assert remembered_runs(tmp_path) == {"toy": {"good": "runs/a/b/seed=1"}}


def test_noting_a_run_reads_only_what_was_added(tmp_path: Path) -> None:
    """Another process's lines are seen, and those of a file that was replaced."""
    folder, file = tmp_path / "runs" / "adding" / "iris-0", tmp_path / "experiments.jsonl"
    remember_runs(tmp_path, "toy", {"a": folder / "seed=0"})
    with file.open("a") as stream:
        stream.write(shown_line(run_key="b", folder="runs/adding/iris-0/seed=1") + "\n")
    with mock.patch.object(shown_runs, "is_whole", wraps=shown_runs.is_whole) as checked:
        remember_runs(tmp_path, "toy", {"b": folder / "seed=1", "c": folder / "seed=2"})
        remember_runs(tmp_path, "toy", {"c": folder / "seed=2"})
    assert checked.call_count == 3
    assert len(file.read_text().splitlines()) == 3
    file.write_text(shown_line(run_key="d") + "\n")
    remember_runs(tmp_path, "toy", {"a": folder / "seed=0"})
    assert remembered_runs(tmp_path)["toy"].keys() == {"a", "d"}


def test_a_full_disk_is_told_and_the_run_is_noted_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "runs" / "adding" / "iris-0"
    remember_runs(tmp_path, "toy", {"a": folder / "seed=0"})
    size = (tmp_path / "experiments.jsonl").stat().st_size
    with at_most_bytes(size + 10):
        remember_runs(tmp_path, "toy", {"b": folder / "seed=1"})
    assert "cannot be written" in caplog.text
    assert remembered_runs(tmp_path)["toy"].keys() == {"a"}
    remember_runs(tmp_path, "toy", {"b": folder / "seed=1"})
    assert remembered_runs(tmp_path)["toy"].keys() == {"a", "b"}


class at_most_bytes:
    """No file of this process grows beyond so many bytes: a disk that is full."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __enter__(self) -> None:
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


# ---- live and anew ----


def test_a_database_that_is_made_anew_equals_the_one_that_was_logged_live(results: Path) -> None:
    training = Training(results, samples={"piece_1.mid": b"MThd"})
    training.train([0, 1], outcomes={1: "diverged"})
    training.train([2, 3], epochs=4, outcomes={3: "crashed"})
    training.live.finish_cell()
    other = Training(results, "single runs", "tanh")
    other.train([5], epochs=2)
    other.live.finish_cell()
    # A seed that comes later, trained in another process.
    later = Training(results)
    later.train([4])
    later.live.finish_cell()
    live = shown(client_of(results))
    assert {name: len(runs) for name, runs in live.items()} == {"toy": 6, "single runs": 2}

    run = live["toy"][training.cell.run_key(0)]
    assert run["metrics"]["train/train_loss"] == [(0, "0.0"), (1, "1.0"), (2, "2.0")]
    assert run["metrics"]["test/mse"] == [(0, "0.1")] and run["metrics"]["test/hits_1"] == [(0, "nan")]
    assert run["metrics"]["validation/odd name_2"] == [(0, "nan"), (1, "1.7976931348623157e+308"), (2, "nan")]
    assert run["parameters"]["optimizer.lr"] == "1e-05" and "optimizer.description" not in run["parameters"]
    assert not [name for name in run["parameters"] if name.startswith(("trust", "execution"))]
    assert run["tags"]["git_commit"] == "c0ffee" * 6 and PROCESS not in run["tags"]
    assert run["artifacts"].keys() == {"config.yaml", "samples/piece_1.mid"}
    cell = live["toy"][training.cell.key]
    assert cell["metrics"]["seeds"] == [(0, "5.0")] and cell["status"] == "FAILED"
    assert cell["metrics"]["mean/mse"] == [(0, repr((0.1 + 0.1 * 3 + 0.5) / 3))]
    assert statuses(results)["adding: activation=iris seed=1"] == "FAILED"

    before = (results / "mlflow.db").stat().st_ino
    counts = rebuild(results)
    assert (counts.shown, counts.added, counts.damaged) == (6, 6, 0)
    assert (results / "mlflow.db").stat().st_ino != before
    assert shown(client_of(results)) == live
    # Each run has its artifacts once.
    kept = {run.info.run_id for name in live for run in Experiment(client_of(results), results, name).runs()}
    folders = {path.parents[1].name for path in results.glob("mlartifacts/*/*/artifacts/config.yaml")}
    assert len(folders) == 6 and folders <= kept
    assert not list(results.glob(".mlflow.db*"))

    # What is there is found right, run by run, and left alone.
    client = client_of(results)
    same = [bring(Experiment(client, results, name), results, lambda _: True, exact=True) for name in live]
    assert [own.added for own in same] == [0, 0]


def test_training_that_was_cut_off_and_resumed_is_shown_once_and_whole(results: Path) -> None:
    def power_cut(epoch: int) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    first = Training(results, pace=Pace(Clock()))
    with pytest.raises(KeyboardInterrupt):
        first.train([0, 1], each=power_cut)
    assert set(statuses(results).values()) == {"RUNNING"}
    first.live.abandon()
    assert set(statuses(results).values()) == {"KILLED"}
    # The second process has the first two epochs from the checkpoint only.
    second = Training(results)
    second.train([0, 1], behind=2)
    second.live.finish_cell()
    assert set(statuses(results).values()) == {"FINISHED"}
    live = shown(client_of(results))
    run = live["toy"][first.cell.run_key(0)]
    assert [epoch for epoch, _ in run["metrics"]["train/train_loss"]] == [0, 1, 2]
    rebuild(results)
    assert shown(client_of(results)) == live


def test_a_block_that_fails_leaves_no_run_open(results: Path) -> None:
    """Its seeds are tried alone then; the one that crashes again is recorded without a weight."""
    training = Training(results)
    training.live.start([0, 1, 2])
    training.live.epoch_finished(0, {seed: training.epoch(0, seed) for seed in range(3)})
    training.train([0])
    training.live.start([1])
    training.record(1, 0, "2026-01-01T00:00:00+00:00", "crashed")
    training.train([2])
    training.live.finish_cell()
    assert statuses(results) == {
        "adding: activation=iris": "FAILED",
        "adding: activation=iris seed=0": "FINISHED",
        "adding: activation=iris seed=1": "FAILED",
        "adding: activation=iris seed=2": "FINISHED",
    }
    live = shown(client_of(results))
    assert live["toy"][training.cell.run_key(1)]["tags"]["outcome"] == "crashed"
    rebuild(results)
    assert shown(client_of(results)) == live


def test_a_damaged_record_is_not_shown(results: Path, caplog: pytest.LogCaptureFixture) -> None:
    training = Training(results)
    training.train([0, 1])
    training.live.finish_cell()
    history = training.cell.run_folder(1) / "history.csv"
    history.write_bytes(history.read_bytes().replace(b"0.25", b"0.26"))
    training.live.finish_cell()
    cell = shown(client_of(results))["toy"][training.cell.key]
    assert cell["metrics"]["seeds"] == [(0, "1.0")]
    counts = rebuild(results)
    assert (counts.shown, counts.damaged) == (1, 1) and "history.csv is damaged" in caplog.text
    assert statuses(results).keys() == {"adding: activation=iris", "adding: activation=iris seed=0"}


def test_a_rebuild_that_is_interrupted_leaves_the_old_database(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(results)
    training.train([0])
    training.live.finish_cell()
    before, files = shown(client_of(results)), sorted(path.name for path in results.iterdir())
    monkeypatch.setattr(rebuilding, "put_in_place", mock.Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        rebuild(results)
    assert shown(client_of(results)) == before
    assert sorted(path.name for path in results.iterdir()) == sorted({*files, ".mlflow-rebuild.lock", ".mlflow.lock"})


def test_runs_of_others_are_kept_aside(results: Path, caplog: pytest.LogCaptureFixture) -> None:
    training = Training(results)
    training.train([0])
    training.live.finish_cell()
    own = client_of(results).create_run("0", tags={"whose": "mine"}).info.run_id
    rebuild(results)
    assert "1 runs that are not of notafluke are kept in mlflow.db.replaced-" in caplog.text
    (kept,) = results.glob("mlflow.db.replaced-*")
    assert MlflowClient(sqlite_uri(kept)).get_run(own).data.tags["whose"] == "mine"


@pytest.mark.parametrize("how", ["lost", "damaged"])
def test_lines_that_are_lost_come_back_from_the_old_database(
    results: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    training = Training(results)
    training.train([0, 1])
    training.live.finish_cell()
    before, lines = shown(client_of(results)), results / "experiments.jsonl"
    content = lines.read_text()
    lines.unlink() if how == "lost" else lines.write_text(content.replace("seed=1", "seed=7"))
    assert damaged_lines(results) == (0 if how == "lost" else 1)
    assert rebuild(results).shown == 2
    assert ("1 lines are damaged" in caplog.text) == (how == "damaged") and "they are noted again" in caplog.text
    assert shown(client_of(results)) == before
    assert set(content.splitlines()) <= set(lines.read_text().splitlines())
    assert not list(results.glob("mlflow.db.replaced-*"))


def test_the_old_database_stays_where_the_new_one_lacks_a_run(results: Path) -> None:
    training = Training(results)
    training.train([0, 1])
    training.live.finish_cell()
    (training.cell.run_folder(1) / "history.csv").unlink()
    for _ in range(2):
        rebuild(results)
        (kept,) = results.glob("mlflow.db.replaced-*")
        assert len(shown(MlflowClient(sqlite_uri(kept)))["toy"]) == 3
        assert len(shown(client_of(results))["toy"]) == 2


def test_a_rebuild_moves_a_damaged_database_aside_and_keeps_its_artifacts(results: Path) -> None:
    training = Training(results)
    training.train([0])
    training.live.finish_cell()
    artifacts = {path for path in results.glob("mlartifacts/*/*") if path.is_dir()}
    content = os.urandom(5000)
    (results / "mlflow.db").write_bytes(content)
    for _ in range(2):
        rebuild(results)
        (aside,) = results.glob("mlflow.db.damaged-*")
        assert aside.read_bytes() == content
        assert artifacts and all(folder.is_dir() for folder in artifacts)


def test_an_experiment_whose_records_are_gone_is_not_made(results: Path) -> None:
    for name in ("toy", "single runs"):
        training = Training(results, name)
        training.train([0])
    shutil.rmtree(training.cell.run_folder(0))
    told: list[tuple[str, int, int]] = []
    assert rebuild(results, lambda *own: told.append(own)).experiments == 0
    assert told == [] and shown(client_of(results)) == {}
    assert [own.name for own in client_of(results).search_experiments()] == ["Default"]


# ---- the database ----


def broken(content: bytes, how: str) -> bytes:
    if how == "flipped":
        # A page of the schema, and one further on: what a bad sector leaves.
        flipped = bytearray(content)
        for place in (40, 41, 4096, 4100, len(content) // 2, len(content) // 2 + 1):
            flipped[place] ^= 0xFF
        return bytes(flipped)
    return {"empty": b"", "random": os.urandom(5000), "truncated": content[: len(content) // 2 + 100]}[how]


@pytest.mark.parametrize("how", ["empty", "random", "truncated", "flipped"])
def test_a_damaged_database_is_moved_aside(results: Path, how: str, caplog: pytest.LogCaptureFixture) -> None:
    training = Training(results)
    training.train([0])
    training.live.finish_cell()
    before = shown(client_of(results))
    path = results / "mlflow.db"
    content = broken(path.read_bytes(), how)
    path.write_bytes(content)
    # What SQLite would apply to the next database of this name.
    (results / "mlflow.db-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + os.urandom(600))
    assert initialise(results) == 0
    assert damage(path, thorough=True) == ""
    (aside,) = results.glob("mlflow.db.damaged-*Z")
    assert aside.read_bytes() == content
    assert "notafluke track rebuild" in caplog.text
    assert not (results / "mlflow.db-journal").exists()
    rebuild(results)
    assert shown(client_of(results)) == before


def test_a_locked_database_is_not_taken_for_damaged(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = sqlite3.connect(results / "mlflow.db", isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    plain = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: plain(*args, **{**options, "timeout": 0.1}))
    try:
        assert damage(results / "mlflow.db", thorough=True) == ""
    finally:
        connection.close()


def test_a_database_that_is_deleted_while_training_goes_on_comes_back_whole(
    results: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    training = Training(results, pace=Pace(clock))

    def each(epoch: int) -> None:
        clock.now += 100
        if epoch == 1:
            (results / "mlflow.db").unlink()

    training.train([0, 1], epochs=4, each=each)
    training.live.finish_cell()
    live = shown(client_of(results))
    assert set(statuses(results).values()) == {"FINISHED"}
    rebuild(results)
    assert shown(client_of(results)) == live
    assert "cannot log" not in caplog.text


def test_a_database_that_is_damaged_while_training_goes_on_is_replaced(
    results: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    training = Training(results, pace=Pace(clock))

    def each(epoch: int) -> None:
        clock.now += 100
        if epoch == 0:
            (results / "mlflow.db").write_bytes(os.urandom(100_000))

    training.train([0, 1], epochs=5, each=each)
    training.live.finish_cell()
    assert caplog.text.count("cannot log") == 1 and caplog.text.count("logs again") == 1
    live = shown(client_of(results))
    rebuild(results)
    assert shown(client_of(results)) == live


def test_a_full_disk_does_not_stop_training(results: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    training = Training(results, pace=Pace(clock))
    with at_most_bytes((results / "mlflow.db").stat().st_size):
        training.train([0, 1, 2], epochs=60, each=lambda _: setattr(clock, "now", clock.now + 60))
        training.live.finish_cell()
    assert caplog.text.count("cannot log") == 1
    assert all((training.cell.metrics_file(seed)).is_file() for seed in range(3))
    assert rebuild(results).shown == 3


def test_a_slow_database_is_not_waited_for(results: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each look at the clock finds it 6 seconds later: little is sent at a time, and the rest is left to a rebuild."""

    class Slow(Clock):
        def __call__(self) -> float:
            self.now += 6.0
            return self.now

    training = Training(results, pace=Pace(Slow()))
    training.train(range(6))
    training.live.finish_cell()
    assert caplog.text.count("MLflow is slow") == 1 and "notafluke track sync" in caplog.text
    assert statuses(results)["adding: activation=iris"] == "RUNNING" and len(statuses(results)) < 7
    assert rebuild(results).shown == 6
    assert set(statuses(results).values()) == {"FINISHED"}


def test_several_processes_start_on_an_empty_folder(tmp_path: Path) -> None:
    jobs = [process(tmp_path, "toy", f"cell{number}", [0, 1], 2) for number in range(4)]
    for job in jobs:
        job.join(120)
    assert [job.exitcode for job in jobs] == [0] * 4
    assert "cannot log" not in "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert not list(tmp_path.glob("mlflow.db.*"))
    live = shown(client_of(tmp_path))
    assert list(live) == ["toy"] and len(live["toy"]) == 12
    assert {run["status"] for run in live["toy"].values()} == {"FINISHED"}
    rebuild(tmp_path)
    assert shown(client_of(tmp_path)) == live


# ---- who trains a run ----


def test_runs_of_a_killed_process_are_closed_and_those_of_others_are_left_alone(results: Path) -> None:
    job = process(results, "toy", "iris", [0, 1], 100, 0.5)
    told = results / "iris.log"
    while not told.exists() or "epoch 0" not in told.read_text():
        assert job.is_alive()
        time.sleep(0.02)
    client = client_of(results)
    experiment = Experiment(client, results, "toy")
    alive = client.create_run(experiment.id, tags={"level": "run", PROCESS: own_process()}).info.run_id
    away = client.create_run(experiment.id, tags={"level": "run", PROCESS: "0123456789ab/1/5.0"}).info.run_id
    assert initialise(results) == 0
    job.kill()
    job.join(60)
    assert initialise(results) == 3
    status = {run.info.run_id: run.info.status for run in experiment.runs()}
    assert status.pop(alive) == status.pop(away) == "RUNNING"
    assert list(status.values()) == ["KILLED"] * 3
    assert initialise(results) == 0


def test_machines_of_the_same_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def host_of(content: str) -> str:
        (tmp_path / "machine-id").write_text(content)
        processes.host.cache_clear()
        return host()

    with monkeypatch.context() as patched:
        patched.setattr(processes, "MACHINE", [str(tmp_path / name) for name in ("machine-id", "no-boot-id")])
        one, other, unnamed = host_of("a" * 32), host_of("b" * 32), host_of("uninitialized")
        assert len({one, other, unnamed}) == 3 and one == host_of(f"{'a' * 32}\n")
        patched.setattr(processes.socket, "gethostname", lambda: "another")
        assert host_of("") != unnamed and host_of("a" * 32) == one
    processes.host.cache_clear()


def test_a_process_is_told_from_another_with_its_number() -> None:
    where, number, start = own_process().split("/")
    assert where == host() and is_alive(own_process()) is True
    assert is_alive(f"{where}/{number}/{float(start) - 60}") is False
    assert is_alive(f"0123456789ab/{number}/{start}") is None
    assert is_alive("") is None


def test_what_another_machine_trains_is_left_alone_and_its_cell_is_shared(results: Path) -> None:
    training = Training(results)
    client = client_of(results)
    experiment = Experiment(client, results, "toy")
    away = {"cell_key": training.cell.key, PROCESS: "0123456789ab/1/5.0"}
    cell = client.create_run(experiment.id, tags={**away, "level": "cell"}).info.run_id
    same = {**away, "level": "run", "run_key": training.cell.run_key(0), PARENT: cell}
    theirs = client.create_run(experiment.id, tags=same).info.run_id
    training.train([0, 1])
    training.live.finish_cell()
    now = {run.info.run_id: run for run in experiment.runs()}
    assert now[cell].info.status == now[theirs].info.status == "RUNNING"
    assert [run.data.tags["level"] for run in now.values()].count("cell") == 1
    assert {run.data.tags[PARENT] for run in seeds_of(list(now.values()))} == {cell}
    bring(experiment, results, lambda _: True, exact=True)
    assert client.get_run(theirs).info.lifecycle_stage == "active"
    # When it has ended, whoever ends the cell shows it whole.
    experiment.end(theirs, "KILLED", 5)
    training.live.finish_cell()
    assert {run.info.status for run in cells_of(experiment.runs())} == {"FINISHED"}


def test_the_process_that_ends_first_leaves_the_cell_to_the_other(results: Path) -> None:
    first = Training(results)
    first.train([0])
    client, experiment = client_of(results), Experiment(client_of(results), results, "toy")
    (cell,) = cells_of(experiment.runs())
    away = "0123456789ab/1/5.0"
    tags = {"cell_key": first.cell.key, "level": "run", "run_key": "theirs", PROCESS: away, PARENT: cell.info.run_id}
    client.create_run(experiment.id, tags=tags)
    first.live.finish_cell()
    (cell,) = cells_of(experiment.runs())
    assert (cell.info.status, cell.data.tags[PROCESS]) == ("RUNNING", away)


# ---- a server ----


@pytest.mark.parametrize(("fault", "first"), [("500", 0), ("500", 9), ("lost", 4), ("lost", 16), ("down", 1)])
def test_a_server_that_fails_at_any_moment_gets_each_epoch_once(
    server: TrackingServer, tmp_path: Path, fault: str, first: int, caplog: pytest.LogCaptureFixture
) -> None:
    """``first`` requests (of a server that goes down: epochs) are answered; then it fails until the third epoch."""
    clock = Clock()
    name = f"{fault} after {first}"
    training = Training(tmp_path, name, pace=Pace(clock), samples={"a.txt": b"a"})
    if fault == "down" and first == 0:
        server.down()
    elif fault != "down":
        server.fail(fault, first)

    def each(epoch: int) -> None:
        clock.now += 100
        if epoch == 0 and fault == "down" and first:
            server.down()
        if epoch == 2:
            server.up() if fault == "down" else server.recover()

    training.train([0, 1], epochs=5, each=each)
    training.live.finish_cell()
    assert caplog.text.count("cannot log") == 1 and caplog.text.count("logs again") == 1
    live = shown(server.database, artifacts=False)[name]
    assert len(live) == 3 and {run["status"] for run in live.values()} == {"FINISHED"}
    for seed in range(2):
        curve = live[training.cell.run_key(seed)]["metrics"]["train/train_loss"]
        assert curve == [(epoch, repr(epoch + seed / 10)) for epoch in range(5)]
    experiment = Experiment(server.database, tmp_path, name)
    assert [server.artifacts(run.info.run_id) for run in seeds_of(experiment.runs())] == [
        ["config.yaml", "samples/a.txt"]
    ] * 2
    # What comes out of the records alone is the same.
    assert rebuild(tmp_path).added == 0
    assert shown(server.database, artifacts=False)[name] == live


def test_a_server_that_hangs_is_waited_for_once(
    server: TrackingServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.fail("hang")
    training = Training(tmp_path, "hangs")
    asked = len(server.requests)
    training.train([0, 1], epochs=50)
    training.live.finish_cell()
    assert len(server.requests) == asked + 1
    assert caplog.text.count("cannot log") == 1 and "timed out" in caplog.text
    server.recover()
    assert rebuild(tmp_path).added == 2
    assert len(shown(server.database, artifacts=False)["hangs"]) == 3


def test_a_rebuild_on_a_server_removes_what_is_there_twice_or_of_no_record(
    server: TrackingServer, tmp_path: Path
) -> None:
    training = Training(tmp_path, "twice")
    training.train([0, 1])
    training.live.finish_cell()
    client = MlflowClient(server.uri)
    before = shown(server.database, artifacts=False)["twice"]
    experiment = Experiment(client, tmp_path, "twice")
    (right,) = (run for run in experiment.runs() if run.data.tags.get("seed") == "1")
    copied = {key: value for key, value in right.data.tags.items() if key != "mlflow.runName"}
    others = {**copied, "notafluke.results": "0" * 32, "run_key": "of somebody else"}
    of_others = [client.create_run(experiment.id, tags=others) for _ in range(2)]
    client.set_terminated(of_others[0].info.run_id)
    client.create_run(experiment.id, tags=copied)
    client.create_run(experiment.id, tags={**copied, "run_key": "gone"})
    trained = client.create_run(experiment.id, tags={**copied, "run_key": "in training", PROCESS: own_process()})
    client.set_tag(right.info.run_id, "outcome", "crashed")
    foreign = client.create_run(experiment.id, tags={"whose": "mine"})
    counts = rebuild(tmp_path)
    assert (counts.added, counts.removed) == (1, 3)
    for run in (trained, foreign, *of_others):
        assert client.get_run(run.info.run_id).info.lifecycle_stage == "active"
        client.delete_run(run.info.run_id)
    assert rebuild(tmp_path).added == 0
    assert shown(server.database, artifacts=False)["twice"] == before
    # Which experiment shows which run is found there too, for this results folder.
    (tmp_path / "experiments.jsonl").unlink()
    assert (rebuild(tmp_path).shown, remembered_runs(tmp_path).keys()) == (2, {"twice"})
    assert shown(server.database, artifacts=False)["twice"] == before


def error_of(module: str, name: str, text: str) -> Exception:
    """An error as a library that is not installed here would raise it."""
    return type(name, (Exception,), {"__module__": module})(text)


def test_failures_are_told_in_one_line() -> None:
    uri = "postgresql://me:opensesame@db/runs"
    away = "MLflow at postgresql://***@db/runs does not answer; is it running? (MLFLOW_TRACKING_URI)"
    wrapped = error_of("mlflow.exceptions", "MlflowException", "API request failed")
    wrapped.__context__ = error_of("botocore.exceptions", "EndpointConnectionError", "x")
    for error in (ConnectionRefusedError(), wrapped, error_of("sqlalchemy.exc", "OperationalError", f"x {uri}")):
        assert failure_of(error, uri) == away
    denied = error_of("botocore.exceptions", "ClientError", f"denied\n{uri}")
    assert failure_of(denied, uri) == "MLflow: ClientError: denied"
    assert failure_of(ModuleNotFoundError("no psycopg2"), uri) == "MLflow: ModuleNotFoundError: no psycopg2"
    assert failure_of(KeyError("a fault of ours"), uri) == ""


def test_no_password_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somebody:opensesame@127.0.0.1:9")
    with caplog.at_level(logging.DEBUG, "notafluke"):
        training = Training(tmp_path)
        training.train([0])
        training.live.finish_cell()
    assert caplog.text.count("cannot log") == 1 and "opensesame" not in caplog.text
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "10" and os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"


def test_settings_of_the_user_are_respected(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    Training(results).train([0])
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"


def test_two_rebuilds_at_once_are_refused(results: Path) -> None:
    def meanwhile(*_: object) -> None:
        with pytest.raises(UsageError, match="another notafluke track rebuild"):
            rebuild(results)
        asked.append(1)

    asked: list[int] = []
    training = Training(results)
    training.train([0])
    rebuild(results, meanwhile)
    assert asked
    assert json.loads((results / "experiments.jsonl").read_text())["experiment"] == "toy"
