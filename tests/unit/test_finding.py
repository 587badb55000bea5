"""A run by its key, the beginning of it, or its path; what is none, several or damaged is told in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from example_record import RECORD

from notafluke.errors import UsageError
from notafluke.finding import find_run, recorded_keys, results_of
from notafluke.records import write_record

KEYS = {0: "0a1b2c" + "0" * 58, 1: "0a1b2c" + "1" * 58, 2: "ffee01" + "2" * 58}


def write(folder: Path, key: str, seed: int) -> None:
    record = replace(RECORD, run_key=key, task="stock", seed=seed, changes={})
    write_record(folder, record, {"seed": seed}, [{"mse": 0.5}], None, None)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs of a cell in ``results`` of the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for seed, key in KEYS.items():
        write(folder(seed), key, seed)
    return Path("results")


def folder(seed: int, cell: str = "default-01234567") -> Path:
    return Path("results") / "runs" / "stock" / cell / f"seed={seed}"


def told(text: str, results: Path) -> str:
    with pytest.raises(UsageError) as caught:
        find_run(text, results)
    return str(caught.value)


@pytest.mark.parametrize("text", [KEYS[2], KEYS[2][:6], KEYS[2][:6].upper(), KEYS[2][:40]])
def test_by_key(results: Path, text: str) -> None:
    assert find_run(text, results) == folder(2)


def test_by_path(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (folder(1), folder(1) / "metrics.json", folder(1).resolve()):
        found = find_run(str(path), results)
        assert found.resolve() == folder(1).resolve()
        assert results_of(found) == tmp_path.resolve() / "results"
    assert results_of(tmp_path / "elsewhere") is None
    monkeypatch.chdir(folder(1))
    assert find_run("metrics.json", tmp_path / "results").resolve() == Path.cwd()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (KEYS[0][:6], f"0a1b2c: 2 runs begin so: {KEYS[0][:12]} ({folder(0)}), {KEYS[1][:12]} ({folder(1)})"),
        ("ffee0", "unknown run 'ffee0': name a run key or 6 or more of its first digits"),
        ("demo", "unknown run 'demo': name a run key"),
        ("", "unknown run ''"),
        ("ffee02", f"unknown run ffee02; did you mean {KEYS[2][:12]} ({folder(2)})?"),
        ("777777777", "unknown run 777777777: none of the 3 runs in results/runs begins so"),
        ("7" * 32, "none of the 3 runs in results/runs begins so"),
        ("x" * 300, "File name too long"),
        ("results/nowhere", "results/nowhere: no run is recorded there: it has no metrics.json"),
        (str(folder(0).parent), "its runs are the folders seed=<n> in it"),
    ],
)
def test_what_is_no_run_is_told_in_one_line(results: Path, text: str, expected: str) -> None:
    assert expected in told(text, results)


def test_without_any_run(tmp_path: Path) -> None:
    assert told("abcdef12", tmp_path / "results").endswith(f"no run is recorded in {tmp_path}/results/runs")


@pytest.mark.parametrize(("name", "byte"), [("history.csv", b"9"), ("config.yaml", b"x"), ("metrics.json", b"9")])
def test_a_damaged_run_is_named_and_what_is_damaged(results: Path, name: str, byte: bytes) -> None:
    content = (folder(2) / name).read_bytes()
    (folder(2) / name).write_bytes(content[:-3] + byte + content[-2:])
    for text in (KEYS[2][:8], str(folder(2))):
        assert told(text, results).startswith(
            f"{folder(2)}: {name} is damaged; notafluke retry lets it be trained again"
        )


def test_of_two_folders_of_a_run_the_whole_one_is_taken(results: Path) -> None:
    write(folder(2, "activation=tanh-01234567"), KEYS[2], 2)
    assert [key for key, _ in recorded_keys(results)].count(KEYS[2]) == 2
    (folder(2, "activation=tanh-01234567") / "history.csv").unlink()
    assert find_run(KEYS[2], results) == folder(2)
