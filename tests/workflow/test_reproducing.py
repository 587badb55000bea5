"""`notafluke reproduce` and `notafluke diff`: trained again alone, a run of a block comes to the same bits, or it is
said where it does not."""

import hashlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from notafluke import cli
from notafluke.records import read_record, record_text

IRIS = "activation=iris"


@pytest.fixture(autouse=True)
def own_sources(request, monkeypatch):
    """The process that trains again is one of its own: it imports the sources of the project, not of this checkout."""
    if "project" in request.fixturenames:
        monkeypatch.setenv("PYTHONPATH", str(request.getfixturevalue("project").root / "src"))


def change_a_digit(folder: Path) -> tuple[str, str]:
    """Change the last digit of the metric of epoch 1 in a record, and every digest with it: what it was and is."""
    file = folder / "history.csv"
    lines = file.read_text(encoding="utf-8").splitlines()
    cells = lines[2].split(",")
    column = lines[0].split(",").index("mse")
    before = cells[column]
    cells[column] = before[:-1] + ("1" if before[-1] != "1" else "2")
    lines[2] = ",".join(cells)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    record = read_record(folder)
    files = {**record.files, "history.csv": hashlib.sha256(file.read_bytes()).hexdigest()}
    (folder / "metrics.json").write_text(record_text(replace(record, files=files)), encoding="utf-8")
    return before, cells[column]


def test_a_run_of_a_block_is_reproduced_alone_and_a_changed_digit_is_found(project, monkeypatch, tmp_path):
    places = tmp_path / "places"
    places.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(places))
    run_key, digest = project.records()["control", 2]["run_key"], project.digests()["control", 2]
    tree = project.tree("results")

    done = project.within(cli.main, "reproduce", run_key[:10], "--keep", "--json", code=0)
    (found,) = json.loads(done.stdout)["runs"]
    assert found["identical"] is found["all_compared"] is found["same_key"] is True
    assert (found["run_key"], found["differences"]) == (run_key, [])
    # What the fixture has edited since.
    assert [own["what"] for own in found["surroundings"]] == ["uncommitted changes", "changed file conf/config.yaml"]
    assert found["compared"][0].startswith("2 epochs x ") and "64 predictions" in found["compared"]
    assert f"weight digest {digest[:16]}" in found["compared"]
    assert project.tree("results") == tree, "nothing in results/ changes"

    (again,) = places.glob("*/results/runs/*/*/seed=2")
    assert str(again) == found["kept"]
    assert read_record(again).weight_digest == digest
    before, after = change_a_digit(project.root / found["folder"])
    found = json.loads(project.within(cli.main, "diff", run_key[:10], str(again), "--json", code=1).stdout)
    assert found["configuration"] == []
    assert found["differences"] == [{"what": "epoch 1 of history.csv, mse", "first": after, "second": before}]


def test_after_an_edit_it_differs_and_says_that_it_is_the_code(project, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = sorted(tmp_path.iterdir())
    project.edit("src/notafluke/nn/activations.py", "return torch.tanh(x)\n", "return torch.tanh(1.5 * x)\n")
    done = project.within(cli.main, "reproduce", str(Path(project.of_arm("control")[0]).parent), code=1)
    text = " ".join(done.stdout.split())
    assert "differs, first in: epoch 0 of history.csv, train_loss stored 0." in text
    assert "The run key is another now" in text
    assert "changed file src/notafluke/nn/activations.py" in text
    assert "its code: git checkout" in text
    assert [line.split()[0] for line in done.stdout.splitlines() if line.startswith("code")] == ["code"]
    assert sorted(tmp_path.iterdir()) == before, "nothing stays behind"


def test_runs_are_found_in_mlflow_and_compared(project):
    shown = {run.data.tags["run_key"]: run for run in project.shown() if "run_key" in run.data.tags}
    (cell, *_) = (run for run in project.shown() if "run_key" not in run.data.tags)
    records = project.records()
    one, other = (records[arm, 0]["run_key"] for arm in ("control", IRIS))
    run_id = shown[one].info.run_id
    assert "no difference: " in project.within(cli.main, "diff", run_id, one, code=0).stdout

    found = json.loads(project.within(cli.main, "diff", run_id, other, "--json", code=1).stdout)
    assert [own["run_key"] for own in found["runs"]] == [one, other]
    assert found["configuration"] == [
        {
            "what": "activation._target_",
            "first": "notafluke.nn.activations.tanh",
            "second": "notafluke.nn.activations.iris",
        }
    ]
    assert [own["what"] for own in found["surroundings"]] == ["code"]
    assert found["differences"][0]["what"] == "epoch 0 of history.csv, train_loss"
    text = project.within(cli.main, "diff", one, other, code=1).stdout
    for run in found["runs"]:
        assert repr(run["metrics"]["mse"]) in text

    refused = project.within(cli.main, "reproduce", cell.info.run_id, code=2)
    assert refused.stderr.strip() == f"error: {cell.info.run_id}: this run of MLflow is no single run but cell"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "name the runs to reproduce, or a study"),
        (["abc123abc", "--study", "tiny"], "name the runs to reproduce, or a study"),
        (["--study", "tiny", "--sample", "0"], "--sample 0: expected a whole number of at least 1"),
        (["results/runs"], "results/runs: no run is recorded there"),
    ],
)
def test_mistakes_are_told_in_one_line(checkout, arguments, expected):
    done = checkout.within(cli.main, "reproduce", *arguments, code=2)
    assert done.stdout == "" and done.stderr.count("\n") == 1
    assert expected in done.stderr
