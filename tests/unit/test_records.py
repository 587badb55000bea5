"""Run records: whole or not there, valid JSON whatever the numbers, and read back as they were."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import tempfile
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from example_record import RECORD as EXAMPLE
from hypothesis import given
from hypothesis import strategies as st

from notafluke.checksums import CHECKSUM
from notafluke.errors import StorageError
from notafluke.records import RunRecord, damage, finite, history_text, read_history, read_record, write_record

NAN, INF = float("nan"), float("inf")

RECORD = replace(
    EXAMPLE,
    task="stock",
    last_epoch=1,
    best_epoch=0,
    directions={"mse": "lower", "hits": "higher"},
    units={"mse": "%^2", "hits": ""},
    metrics={"mse": 0.1 + 0.2, "hits": 1e-300},
    validation={"mse": 1 / 3},
    baselines=[{"name": "train_mean", "metric": "mse", "value": 1.5, "trivial": True}],
    parameters=1234,
    seconds=0.125,
    provenance={"git_commit": "", "packages": {"torch": "2.13.0"}},
)
HISTORY = [{"train_loss": 0.1 + 0.2, "mse": 1 / 3}, {"train_loss": 5e-324, "mse": 1e308}]
CONFIG = {"task": {"_target_": "x.Y", "description": "ä, ö: 'quoted'"}, "seed": 3, "list": [1, None, 0.1]}


def write(folder: Path, record: RunRecord = RECORD, **changes: Any) -> None:
    arguments: dict[str, Any] = {"config": CONFIG, "history": HISTORY, "predictions": None, "index": None} | changes
    write_record(folder, record, **arguments)


def strict_json(path: Path) -> Any:
    """Parse as the standard says, without Python's NaN and Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_read_back_to_the_last_bit(tmp_path: Path) -> None:
    predictions = np.linspace(-1, 1, 7, dtype=np.float32)[:, None] / 3
    index = [f"2001-01-0{number}" for number in range(1, 8)]
    write(tmp_path / "deep" / "folder", predictions=predictions, index=index)
    folder = tmp_path / "deep" / "folder"
    record = read_record(folder)
    assert record is not None and damage(folder) == ""
    assert replace(record, files={}) == RECORD
    for name, digest in record.files.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert sorted(record.files) == ["config.yaml", "history.csv", "predictions.npz"]
    assert read_history(folder) == HISTORY
    assert yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")) == CONFIG
    with np.load(folder / "predictions.npz", allow_pickle=False) as stored:
        assert stored["predictions"].dtype == np.float32
        assert np.array_equal(stored["predictions"], predictions)
        assert stored["index"].tolist() == index
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.yaml",
        "history.csv",
        "metrics.json",
        "predictions.npz",
    ]


def test_without_predictions_and_index(tmp_path: Path) -> None:
    write(tmp_path, predictions=np.zeros((2, 1), np.float32))
    with np.load(tmp_path / "predictions.npz", allow_pickle=False) as stored:
        assert stored["index"].size == 0
    write(tmp_path, replace(RECORD, outcome="crashed", metrics={}), predictions=None, history=[])
    assert not (tmp_path / "predictions.npz").exists(), "those of an earlier training must not stay"
    assert read_history(tmp_path) == []
    assert (tmp_path / "history.csv").read_text(encoding="utf-8").strip() == "epoch"


def test_metrics_come_last_and_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    replace_file, unlink = Path.replace, Path.unlink

    def spy_replace(path: Path, target: Path) -> Path:
        events.append(target.name)
        return replace_file(path, target)

    def spy_unlink(path: Path, missing_ok: bool = False) -> None:
        events.append(f"-{path.name}")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "replace", spy_replace)
    write(tmp_path, predictions=np.zeros((2, 1), np.float32), weights=b"w", samples={"a.txt": b"a"})
    assert len(events) == 6 and events[-1] == "metrics.json"
    monkeypatch.setattr(Path, "unlink", spy_unlink)
    events.clear()
    write(tmp_path)
    assert events[0] == "-metrics.json" and events[-1] == "metrics.json"
    assert set(events[1:4]) == {"-predictions.npz", "-weights.pt", "-a.txt"}
    assert damage(tmp_path) == "" and not (tmp_path / "weights.pt").exists()


@pytest.mark.parametrize("failing", range(5))
def test_a_disk_that_is_full_costs_no_earlier_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Whichever file of the new record finds no room: the old one is whole."""
    write(tmp_path, predictions=np.zeros((2, 1), np.float32))
    before = read_record(tmp_path)
    calls = iter(range(10))
    true = os.fsync

    def full(handle: int) -> None:
        if next(calls) == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        true(handle)

    monkeypatch.setattr(os, "fsync", full)
    predictions = np.ones((2, 1), np.float32)
    if failing < 4:
        with pytest.raises(StorageError, match="cannot be stored: No space left on device; what is stored is not lost"):
            write(tmp_path, replace(RECORD, seed=4), predictions=predictions)
        assert read_record(tmp_path) == before and damage(tmp_path) == ""
    else:
        # The files are renamed by then; their names may not be on the disk yet.
        with pytest.raises(StorageError):
            write(tmp_path, replace(RECORD, seed=4), predictions=predictions)
        assert damage(tmp_path) == "" and read_record(tmp_path) != before
    assert not list(tmp_path.glob(".*.tmp"))


def test_numbers_that_json_does_not_have(tmp_path: Path) -> None:
    bad = {"mse": NAN, "hits": INF}
    baselines = [{"name": "n", "metric": "mse", "value": -INF, "trivial": False}]
    write(
        tmp_path,
        replace(RECORD, metrics=bad, validation={"mse": -INF}, baselines=baselines, seconds=NAN),
        history=[{"mse": NAN, "loss": INF}, {"mse": -INF, "loss": 0.0}],
    )
    content = strict_json(tmp_path / "metrics.json")
    assert content["metrics"] == {"mse": None, "hits": None}
    assert content["validation"] == {"mse": None} and content["baselines"][0]["value"] is None
    record = read_record(tmp_path)
    assert record is not None and record.metrics == {"mse": None, "hits": None}
    history = read_history(tmp_path)
    assert math.isnan(history[0]["mse"]) and history[0]["loss"] == INF and history[1] == {"mse": -INF, "loss": 0.0}


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(TREES)
def test_any_tree_becomes_valid_json_and_finite_ones_stay(tree: Any) -> None:
    text = json.dumps(finite(tree), allow_nan=False)
    found = json.loads(text)
    if not any(word in repr(tree) for word in ("nan", "inf")):
        assert found == tree


@given(
    st.lists(st.fixed_dictionaries({"a": st.floats(allow_nan=False), 'b, "c"': st.floats(allow_nan=False)}), max_size=4)
)
def test_history_is_read_back_by_any_csv_reader(history: list[dict[str, float]]) -> None:
    import csv

    rows = list(csv.DictReader(history_text(history).splitlines()))
    assert [int(row.pop("epoch")) for row in rows] == list(range(len(history)))
    assert [{name: float(value) for name, value in row.items()} for row in rows] == history


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"3",
        b"{}",
        b"\xff\xfe",
        b'{"run_key": "x"}',
        json.dumps({**asdict(RECORD), "more": 1}).encode(),
        json.dumps({key: value for key, value in asdict(RECORD).items() if key != "seed"}).encode(),
    ],
)
def test_what_is_no_whole_record_reads_as_none(tmp_path: Path, damage: bytes) -> None:
    write(tmp_path)
    (tmp_path / "metrics.json").write_bytes(damage)
    assert read_record(tmp_path) is None


def test_half_a_record_reads_as_none(tmp_path: Path) -> None:
    write(tmp_path)
    data = (tmp_path / "metrics.json").read_bytes()
    for length in range(0, len(data) - 2, 37):
        (tmp_path / "metrics.json").write_bytes(data[:length])
        assert read_record(tmp_path) is None


def test_nothing_there_reads_as_none(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    assert read_record(tmp_path / "nowhere") is None
    (tmp_path / "metrics.json").mkdir()
    assert read_record(tmp_path) is None


def test_every_field_is_in_the_file(tmp_path: Path) -> None:
    write(tmp_path)
    assert set(strict_json(tmp_path / "metrics.json")) == {field.name for field in fields(RunRecord)} | {CHECKSUM}


@given(st.data())
def test_every_changed_bit_is_found(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, predictions=np.zeros((2, 1), np.float32), samples={"a.txt": b"text"}, weights=b"w")
        assert damage(folder) == ""
        before = read_record(folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        assert len(files) == 6
        path = data.draw(st.sampled_from(files))
        content = bytearray(path.read_bytes())
        position, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
        content[position] ^= 1 << bit
        path.write_bytes(content)
        # White space between the values of JSON may be another white space.
        same = path.name == "metrics.json" and read_record(folder) == before
        assert same or damage(folder) == f"{path.relative_to(folder)} is damaged"
