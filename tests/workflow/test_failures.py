"""Runs that fail and workflows that are killed: recorded, counted, completed; the other runs come out the same."""

import os
import signal
import subprocess
import sys
import time

# A network whose seed 2 cannot be initialised, and one whose seeds 1 and 2 start at infinity; otherwise the LSTM. The
# dry pass before training tries seed 0.
FRAGILE = """
from notafluke.nn.networks import Network
from notafluke.nn.recurrent import LSTM
from notafluke.streams import torch_seed


class Crashing(Network):
    def initialise(self, name, generator):
        if generator.initial_seed() == torch_seed(2, 0, "initialisation", name):
            raise ArithmeticError("seed 2 is cursed")
        super().initialise(name, generator)


class Diverging(Network):
    def initialise(self, name, generator):
        good = generator.initial_seed() == torch_seed(0, 0, "initialisation", name)
        super().initialise(name, generator)
        if not good:
            self.get_parameter(name).data.fill_(float("inf"))


def crashing(input_size, output_size, activation, hidden_size, depth, forget_bias):
    network = LSTM(input_size, output_size, activation, hidden_size, depth, forget_bias, False, 0.0)
    return Crashing(list(network.layers), output_size)


def diverging(input_size, output_size, activation, hidden_size, depth, forget_bias):
    network = LSTM(input_size, output_size, activation, hidden_size, depth, forget_bias, False, 0.0)
    return Diverging(list(network.layers), output_size)
"""
MODEL = """
description: An LSTM that fails for some seeds
source: this test
_target_: fragile.{name}
_partial_: true
hidden_size: 16
depth: 1
forget_bias: 1.0
"""
# The control's runs are those of the tiny study. The high alpha lets two failures of three decide.
FAULTS = """
title: Treatments that fail
alpha: 0.9
cells_per_job: 3
control: {model.hidden_size: 4, optimizer.lr: 0.1, trainer.batch_size: 16, trainer.max_epochs: 2}
tasks:
  adding: {task.length: 2, task.train_size: 256, task.validation_size: 64, task.test_size: 64}
sweep:
  model: lstm,crashing,diverging
  seed: range(0,3)
claims:
  diverging:
    sentence: infinite weights are better
    treatment: model=diverging
    sesoi: 2%
"""
# Works while the study is planned, and no longer when it is trained.
BREAKABLE = """
from pathlib import Path

import torch


def breakable(x):
    if Path("broken").exists():
        raise ValueError("broken on purpose")
    return torch.tanh(x)
"""
SHARED = """
title: Cells that share jobs
control: {model.hidden_size: 4, trainer.max_epochs: 1}
tasks:
  adding: {task.length: 2, task.train_size: 64, task.validation_size: 32, task.test_size: 32}
sweep:
  activation: tanh,breakable,iris
  seed: range(0,3)
claims:
  iris: {sentence: Iris is better, treatment: activation=iris, sesoi: 2%}
"""
# One cell whose training lasts some seconds.
LONG = """
title: A longer training
control:
  model.hidden_size: 4
  trainer.batch_size: 8
  trainer.max_epochs: 60
tasks:
  adding: {task.length: 2, task.train_size: 64, task.validation_size: 32, task.test_size: 32}
sweep:
  seed: range(0,3)
claims:
  learns:
    sentence: an LSTM adds two numbers
    treatment: control
    control: baseline:predict_the_mean
    sesoi: 2%
"""


def test_failed_runs_are_recorded_and_count_against_their_arm(project):
    project.write("fragile.py", FRAGILE)
    for name in ("crashing", "diverging"):
        project.write(f"conf/model/{name}.yaml", MODEL.format(name=name))
    project.write("conf/study/faults.yaml", FAULTS)
    before = project.runs()
    project.snakemake(study="faults")
    assert len(project.trained_since(before)) == 6

    records = project.records()
    outcomes = {key: record["outcome"] for key, record in records.items()}
    for name, expected in {
        "control": ["ok", "ok", "ok"],
        "model=crashing": ["ok", "ok", "crashed"],
        "model=diverging": ["ok", "diverged", "diverged"],
    }.items():
        assert [outcomes[name, seed] for seed in range(3)] == expected
        for seed in range(3):
            record = records[name, seed]
            if record["outcome"] == "ok":
                assert record["weight_digest"] == records["control", seed]["weight_digest"], (name, seed)
            else:
                assert record["metrics"] == {}
    assert records["model=crashing", 2]["reason"] == "ArithmeticError: seed 2 is cursed"
    assert records["model=diverging", 2]["reason"] == "loss not finite in epoch 0"
    assert records["model=diverging", 2]["last_epoch"] == 0

    table = project.significance("faults")
    assert list(table.loc["model=diverging", ["failed_treatment", "failed_control", "verdict"]]) == [2, 0, "worse"]
    assert "diverged" in table.loc["model=diverging", "failures"]
    assert table.loc["model=crashing", "failed_treatment"] == 1
    assert "crashed" in table.loc["model=crashing", "failures"]
    assert project.snakemake(study="faults").nothing_to_do


def test_a_cell_that_cannot_be_trained_costs_its_job_no_other_cell(project):
    project.write("breakable.py", BREAKABLE)
    option = "description: Breaks\nsource: this test\n_target_: breakable.breakable\n_partial_: true\n"
    project.write("conf/activation/breakable.yaml", option)
    project.write("conf/study/shared.yaml", SHARED.replace("title:", "cells_per_job: 3\ntitle:"))
    before = project.runs()
    assert "and 2 more cells (9 of 9 runs missing)" in project.snakemake("-n", study="shared").output
    (project.root / "broken").touch()
    failed = project.snakemake(study="shared", code=1)
    assert (
        "activation=breakable (conf/activation/breakable.yaml, breakable.breakable): broken on purpose" in failed.output
    )
    kept = project.runs()
    trained = project.trained_since(before)
    assert len(trained) == 6 and not any("breakable" in path for path in trained)
    # Mended, the job trains what it lacks, and nothing twice.
    (project.root / "broken").unlink()
    project.snakemake(study="shared")
    assert len(project.trained_since(kept)) == 3 and all("breakable" in path for path in project.trained_since(kept))


def test_a_killed_workflow_is_completed_with_the_same_weights(project):
    project.write("conf/study/long.yaml", LONG)
    project.edit("conf/config.yaml", "block_size: 20", "block_size: 2")
    before = project.runs()
    kill_while_seed_2_trains(project)
    half, left = project.runs(), sorted(project.trained_since(before))
    assert [project.record(path)["seed"] for path in left] == [0, 1]
    assert {project.record(path)["outcome"] for path in left} == {"ok"}

    target = left[0].replace("seed=0", "seed=2")
    done = project.snakemake(target, study="long", code=None)
    if done.code != 0:
        assert "--unlock" in done.output
        project.notafluke("unlock")
        project.snakemake(target, study="long")
    assert project.trained_since(half) == {target}

    settings = [f"{key}={value}" for key, value in project.record(target)["changes"].items()]
    undisturbed = ("seed=range(0,3)", "execution.block_size=3", "execution.results=undisturbed")
    project.notafluke("train", "task=adding", *settings, *undisturbed)
    records = {record["seed"]: record for record in map(project.record, project.runs("undisturbed"))}
    for path in [*left, target]:
        record = project.record(path)
        for name in ("run_key", "weight_digest", "metrics"):
            assert record[name] == records[record["seed"]][name]


def kill_while_seed_2_trains(project):
    """Kill Snakemake and everything that it started, as the system does when memory runs out."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--config", "study=long"]
    with (project.root / "killed.log").open("w") as log:
        workflow = subprocess.Popen(
            command, cwd=project.root, env=project.environment(), stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 120
        while project.logs().count("epoch 3 of 60") < 2:
            assert workflow.poll() is None, (project.root / "killed.log").read_text() + project.logs()
            assert time.monotonic() < deadline, project.logs()
            time.sleep(0.02)
    finally:
        os.killpg(workflow.pid, signal.SIGKILL)
        workflow.wait()
