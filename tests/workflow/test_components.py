"""The study of all components through the front door, cut to the tasks that are new in it: every run is finished."""

import csv

import numpy as np
import pytest
from projects import untracked

from notafluke import cli

OVERRIDES = "task=lotto,copy_memory,reversal seed=0,1"
ARMS = {
    "lotto": {"control", "replica=1", "state=carried", "online=true"},
    "copy_memory": {
        "control",
        "replica=1",
        "output=softmax_bce",
        "output=sigmoid_bce",
        "output=topcat_margin_bce",
        "output=topcat_total_bce",
    },
    "reversal": {"control", "replica=1", "attention=additive", "attention=temporal", "attention=temporal_faulty"},
}


@pytest.fixture(scope="module")
def trained(once, checkout):
    """A copy in which the cut study has run; not to be changed."""

    def build(folder):
        project = untracked(checkout.copied(folder))
        project.snakemake(study="components", overrides=OVERRIDES)
        project.notafluke("track", "sync", "components", "--overrides", OVERRIDES)

    return once("components", build)


@pytest.fixture(scope="module")
def scores(trained):
    (folder,) = trained.results.glob("components+*")
    with (folder / "tables/scores.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_run_of_every_arm_is_finished(trained, scores):
    outcomes = {(row["task"], row["arm"], row["seed"]): row["outcome"] for row in scores}
    planned = {(task, arm, seed) for task, arms in ARMS.items() for arm in arms for seed in ("0", "1")}
    assert outcomes == dict.fromkeys(planned, "ok")
    assert len(trained.runs()) == len(planned)


def test_several_cells_share_a_job_and_one_is_trained_again_alone(trained, tmp_path):
    """15 cells of a second in a job for each of two cores; a run that is gone is trained anew, and nothing else."""
    assert len(list(trained.results.glob("logs/train_*.log"))) == 2
    project = trained.copied(tmp_path / "copy")
    before = project.runs()
    target = next(path for path in before if "temporal_faulty" in path)
    digest = project.record(target)["weight_digest"]
    (project.root / target).unlink()
    left = project.runs()
    project.snakemake("--omit-from", "decide", "synchronise_tracking", study="components", overrides=OVERRIDES)
    assert project.trained_since(left) == {target}
    assert project.record(target)["weight_digest"] == digest


def test_predictions_have_the_documented_shapes(trained):
    shapes = {"lotto": (100, 49), "copy_memory": (200, 11, 10), "reversal": (200, 2, 5, 8)}
    for path in trained.runs():
        with np.load(trained.root / path.replace("metrics.json", "predictions.npz"), allow_pickle=False) as arrays:
            assert arrays["predictions"].shape == shapes[trained.record(path)["task"]]


def test_parameters_are_counted(scores):
    counts = {(row["task"], row["arm"]): int(row["parameters"]) for row in scores}
    plain, attentive = counts["reversal", "control"], counts["reversal", "attention=additive"]
    assert attentive - plain == 16 * 16 * 2 + 16 + 16 * 8
    assert counts["lotto", "control"] == counts["lotto", "state=carried"] == 4 * 16 * (49 + 16 + 1) + 49 * 17


def test_probabilities_that_do_not_sum_to_one_are_shown_apart(scores):
    totals = {row["arm"]: float(row["value"]) for row in scores if row["metric"] == "total_probability"}
    assert totals["output=softmax_bce"] == pytest.approx(1, abs=1e-5)
    assert totals["output=topcat_total_bce"] < 1
    assert abs(totals["output=sigmoid_bce"] - 1) > 1e-3


def test_gradient_norms_are_in_the_history_and_in_mlflow(trained):
    path = next(path for path in trained.runs() if "reversal" in path)
    with (trained.root / path.replace("metrics.json", "history.csv")).open(encoding="utf-8") as file:
        (epoch,) = csv.DictReader(file)
    norms = {name: float(value) for name, value in epoch.items() if name.startswith("gradient_norm/")}
    assert {"gradient_norm/encoder.0.recurrent_weight", "gradient_norm/head.bias"} <= set(norms)
    assert all(value > 0 for value in norms.values())
    (folder,) = trained.results.glob("components+*")
    shown = {run.data.tags.get("run_key"): run.data.metrics for run in trained.shown(folder.name)}
    metrics = shown[trained.record(path)["run_key"]]
    assert {name: metrics[name] for name in norms} == pytest.approx(norms)
    assert (folder / "figures/gradient_norms.svg").stat().st_size > 0


def test_what_is_a_reconstruction_is_said_on_the_page(trained):
    (folder,) = trained.results.glob("components+*")
    for name in ("significance.md", "significance.html"):
        text = (folder / "tables" / name).read_text(encoding="utf-8")
        assert "Reconstructed by this project" in text
        for option in ("output=topcat_margin_bce", "output=topcat_total_bce", "attention=temporal_faulty"):
            assert option in text


def test_the_list_names_every_option_with_its_source(trained):
    text = trained.notafluke("list", "components").stdout
    for word in ("golden_tanh", "topcat_total_bce", "temporal_faulty", "lstm_dense_residual", "scale_norm_golden"):
        assert word in text
    assert text.count("the project's own reconstruction") >= 6 and "S. Bai, J. Kolter and V. Koltun" in text


def test_bad_input_of_the_new_groups_is_one_line_and_writes_nothing(trained):
    before = trained.tree()
    for arguments, words in {
        ("train", "task=adding", "output=softmax_cce"): ["output=softmax_cce (conf/output/softmax_cce.yaml", "numbers"],
        ("train", "task=adding", "state=carried"): ["state=carried", "follow each other in time"],
        ("train", "task=adding", "attention=temporall"): ["attention=temporall", "did you mean 'temporal'"],
        ("train", "task=adding", "activation._target_=my.module.f"): ["my.module.f", "add my.module to the list trust"],
        ("train", "task=adding", "loss=golden", "loss.over.log=1"): ["loss=golden", "over.log=1", "above 1"],
    }.items():
        done = trained.within(cli.main, *arguments, code=2)
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ") and all(word in line for word in words), line
    assert trained.tree() == before


def test_a_function_of_ones_own_is_trained(trained, tmp_path):
    """`activation._target_=my.module.f`: in the folder of the run and under a key of its own."""
    project = trained.copied(tmp_path / "copy")
    project.write("my/module.py", "def f(x):\n    return x / (1 + x * x)\n")
    project.write("my/__init__.py", "")
    project.edit("conf/config.yaml", "trust: []", "trust: [my]")
    cell = ["task=adding", "task.length=2", "task.train_size=64", "task.validation_size=16", "task.test_size=16"]
    before = project.runs()
    project.notafluke("train", *cell, "trainer.max_epochs=1", "activation._target_=my.module.f", "seed=range(0,2)")
    new = project.trained_since(before)
    assert len(new) == 2 and all("activation._target_=my.module.f" in path for path in new)
    assert {project.record(path)["outcome"] for path in new} == {"ok"}
