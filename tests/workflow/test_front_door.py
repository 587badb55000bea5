"""`snakemake`: the whole study, nothing the second time, dry runs, targets by name, forced and repaired runs."""

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from notafluke.configuration import compose_run
from notafluke.plan import make_cell
from notafluke.report.columns import FIGURES, TABLES

TRAINING = re.compile(r"\btrain_adding_\w+")
ARMS = ("control", "activation=iris", "replica=1")


def test_every_output_of_the_study_is_there(finished):
    assert set(finished.records()) == {(arm, seed) for arm in ARMS for seed in range(3)}
    folder = finished.results / "tiny"
    for name in (
        "registered.yaml",
        "looks.jsonl",
        "tables/significance.md",
        "tables/significance.html",
        "tables/scores.csv",
        *(f"tables/{name}.{suffix}" for name in TABLES for suffix in ("csv", "tex")),
        *(f"figures/{name}.{suffix}" for name in FIGURES for suffix in ("svg", "png")),
    ):
        assert (folder / name).stat().st_size > 0, name
    assert (folder / "figures/forest.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / "figures/forest.svg").read_text(encoding="utf-8")
    assert (finished.results / "mlflow.db").is_file()


def test_tables_hold_every_claim_and_every_score(finished):
    table = finished.significance()
    assert list(table["claim"]) == ["iris", "same-against-same"]
    assert list(table["pairs_done"]) == [3, 3]
    assert not set(table["verdict"]) & {"incomplete", "cannot decide"}
    page = (finished.results / "tiny/tables/significance.html").read_text(encoding="utf-8")
    for text in (finished.markdown(), page):
        assert "Iris beats tanh" in text
        assert "The control against itself shows nothing" in text
    with (finished.results / "tiny/tables/scores.csv").open(encoding="utf-8") as file:
        scores = {(row["arm"], int(row["seed"])): float(row["value"]) for row in csv.DictReader(file)}
    assert scores == pytest.approx({key: record["metrics"]["mse"] for key, record in finished.records().items()})
    control = np.mean([scores["control", seed] for seed in range(3)])
    assert table.loc["activation=iris", "control_mean"] == pytest.approx(control)


def test_run_records_are_whole(finished, monkeypatch):
    monkeypatch.chdir(finished.root)
    keys = set()
    for path in finished.runs():
        record, folder = finished.record(path), (finished.root / path).parent
        assert record["outcome"] == "ok"
        assert record["metrics"]["mse"] > 0
        assert record["last_epoch"] == 1
        assert record["best_epoch"] in (0, 1)
        assert len(record["weight_digest"]) == 64
        assert record["parameters"] > 0
        keys.add(record["run_key"])

        with (folder / "history.csv").open(encoding="utf-8") as file:
            history = list(csv.DictReader(file))
        assert [row["epoch"] for row in history] == ["0", "1"]
        assert float(history[record["best_epoch"]]["mse"]) == record["validation"]["mse"]

        with np.load(folder / "predictions.npz", allow_pickle=False) as arrays:
            predictions = arrays["predictions"]
        assert predictions.shape == (64, 1)
        assert np.isfinite(predictions).all()

        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        overrides = {"task": record["task"], **record["changes"], "seed": str(record["seed"])}
        run = compose_run(Path("conf").absolute(), overrides)
        assert run.config == config
        assert make_cell(run).run_key(record["seed"]) == record["run_key"]
    assert len(keys) == 9
    assert len(set(finished.digests().values())) == 9


def test_the_second_time_there_is_nothing_to_do(finished):
    before = finished.tree()
    assert finished.snakemake().nothing_to_do
    assert finished.tree() == before


def test_dry_run_and_lint_write_nothing(pristine, finished):
    before = pristine.tree()
    assert set(TRAINING.findall(pristine.snakemake("-n").output)) == set(map(rule_of, finished.runs()))
    # a run is a target by name: its cell is all that is trained
    target = finished.of_arm("activation=iris")[1]
    assert set(TRAINING.findall(pristine.snakemake("-n", target).output)) == {rule_of(target)}
    assert "good condition" in pristine.snakemake("--lint").output
    assert pristine.tree() == before
    assert not (pristine.results / "runs").exists()


def test_small_cells_share_a_job_unless_the_study_says_otherwise(pristine, finished):
    """Three cells of a second: a job for each of two cores, and one for each cell where the file says so."""
    rules = set(map(rule_of, finished.runs()))
    pristine.edit("conf/study/tiny.yaml", "cells_per_job: 1", "")
    plan = pristine.snakemake("-n").output
    merged = set(TRAINING.findall(plan))
    assert len(merged) == 2 and {name.partition("_and_")[0] for name in merged} < rules
    assert "and 1 more cell (6 of 6 runs missing)" in plan
    assert "9 runs, 9 to train in 2 jobs" in pristine.notafluke("plan", "tiny").output
    # The same without what earlier plans found, as on another machine.
    shutil.rmtree(pristine.root / ".snakemake")
    assert set(TRAINING.findall(pristine.snakemake("-n").output)) == merged


def rule_of(metrics_file):
    """The rule that trains a run."""
    return "train_" + re.sub(r"\W+", "_", str(Path(metrics_file).parent.parent.relative_to("results/runs")))


def test_a_forced_run_is_trained_again_and_comes_out_the_same(project):
    project.edit("conf/config.yaml", "tracking: false", "tracking: true")
    before, digests = project.runs(), project.digests()
    control = project.of_arm("control")
    project.snakemake("-F", control[0])
    assert project.trained_since(before) == set(control)
    assert project.digests() == digests
    assert not TRAINING.findall(project.snakemake("-n").output)
    shown = [run.data.tags["run_key"] for run in project.shown() if run.data.tags["level"] == "run"]
    assert len(shown) == len(set(shown)) == 9


def test_a_damaged_record_makes_its_rows_incomplete_and_a_deleted_one_is_made_again_alone(project):
    before, digests = project.runs(), project.digests()
    target = project.of_arm("activation=iris")[1]
    record = project.root / target
    record.write_text(record.read_text(encoding="utf-8")[:100], encoding="utf-8")
    project.notafluke("decide", "tiny")
    table = project.significance()
    assert table.loc["activation=iris", "verdict"] == "incomplete"
    assert table.loc["activation=iris", "pairs_done"] == 2
    assert table.loc["replica=1", "verdict"] != "incomplete"

    record.unlink()
    project.snakemake("--rerun-incomplete", target)
    assert project.trained_since(before) == {target}
    assert project.digests() == digests
