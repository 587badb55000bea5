"""Single runs with `python -m notafluke.train` and `notafluke train`: the same runs, to the last bit."""

import json

import yaml
from mlflow import MlflowClient

# Sizes at which the kernels of a matrix product take another path for their last partial vectors.
ODD = [
    "task=adding",
    "task.length=5",
    "task.train_size=61",
    "task.validation_size=33",
    "task.test_size=35",
    "model.hidden_size=33",
    "activation=iris",
    "trainer.batch_size=7",
    "trainer.max_epochs=2",
]
# Nothing listens at this port, and MLflow's client gives up at once.
UNREACHABLE = {
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "1",
}


def test_a_run_that_the_study_has_is_not_trained_again(project, tiny_cell):
    before = project.tree("results")
    done = project.hydra(*tiny_cell, "activation=iris", "seed=1")
    record = project.records()["activation=iris", 1]
    assert json.loads(done.stdout.splitlines()[-1])["run_key"] == record["run_key"]
    assert "recorded already" in done.output
    assert project.tree("results") == before


def test_cfg_job_prints_the_configuration(pristine, tiny_cell):
    before = pristine.tree()
    config = yaml.safe_load(pristine.hydra(*tiny_cell, "seed=4", "--cfg", "job").stdout)
    assert (config["seed"], config["model"]["hidden_size"]) == (4, 4)
    assert pristine.tree() == before


def test_runs_trained_alone_equal_those_of_the_block(pristine, finished, tiny_cell):
    done = pristine.hydra("-m", *tiny_cell, "activation=iris", "seed=range(0,2)")
    own, studys = pristine.records(), finished.records()
    assert own.keys() == {("activation=iris", 0), ("activation=iris", 1)}
    for key, record in own.items():
        for name in ("run_key", "weight_digest", "metrics", "validation", "best_epoch"):
            assert record[name] == studys[key][name], (key, name)
        assert record["run_key"] in done.stdout
    assert pristine.runs().keys() <= finished.runs().keys()
    assert not list(pristine.root.glob("outputs")) + list(pristine.root.glob("multirun"))


def test_odd_sizes_depend_neither_on_block_nor_order_nor_tracking(checkout, tmp_path):
    project = checkout.copied(tmp_path / "project")
    elsewhere = {"MLFLOW_TRACKING_URI": f"sqlite:///{project.root}/elsewhere.db"}
    project.notafluke("train", *ODD, "seed=range(0,3)", "execution.results=block", **elsewhere)
    unreachable = project.notafluke("train", *ODD, "seed=1", "execution.results=alone", **UNREACHABLE)
    order = ("seed=2,1,0", "execution.block_size=2", "execution.tracking=false")
    project.notafluke("train", *ODD, *order, "execution.results=pairs")

    block = by_seed(project, "block")
    assert sorted(block) == [0, 1, 2]
    assert len({record["weight_digest"] for record in block.values()}) == 3
    for results, seeds in {"alone": [1], "pairs": [0, 1, 2]}.items():
        records = by_seed(project, results)
        assert sorted(records) == seeds
        for seed, record in records.items():
            for name in ("run_key", "weight_digest", "metrics", "validation"):
                assert record[name] == block[seed][name], (results, seed, name)

    # MLFLOW_TRACKING_URI is respected
    client = MlflowClient(elsewhere["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("single runs")
    runs = client.search_runs([experiment.experiment_id], "tags.level = 'run'")
    assert {run.data.tags["run_key"] for run in runs} == {record["run_key"] for record in block.values()}
    assert not (project.root / "block" / "mlflow.db").exists()

    # a server that cannot be reached is told of once and stops nothing
    assert unreachable.stderr.count("MLflow: cannot log") == 1
    assert "Traceback" not in unreachable.output


def by_seed(project, results):
    return {record["seed"]: record for record in map(project.record, project.runs(results))}
