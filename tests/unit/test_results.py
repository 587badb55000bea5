"""What training leaves of each seed: the best epoch, failures with their reasons, one test at the end. No torch."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from notafluke.tasks.adding import Adding
from notafluke.training.results import BlockResults, EpochSummary

NAN = math.nan
TASK = Adding(length=4, train_size=6, validation_size=5, test_size=7)


def results(*seeds: int) -> BlockResults:
    return BlockResults(TASK, [TASK.load(seed, 0) for seed in seeds], seeds, 12)


def summary(epoch: int, alive: list[bool], losses: list[float]) -> EpochSummary:
    return EpochSummary(epoch, alive, losses, {"head": [0.5] * len(alive)})


def off_by(block: BlockResults, *errors: float) -> np.ndarray:
    """Validation predictions that are wrong by so much for each seed."""
    truth = [data.validation.numbers for data in block.data]
    return np.stack([own + np.float32(error) for own, error in zip(truth, errors, strict=True)])


def test_the_best_epoch_is_kept_and_rows_are_written() -> None:
    block = results(3, 8)
    assert block.judge(summary(0, [True, True], [1.0, 2.0]), off_by(block, 3, 1)) == [0, 1]
    assert block.judge(summary(1, [True, True], [1.0, 2.0]), off_by(block, 2, 4)) == [0]
    assert block.judge(summary(2, [True, True], [1.0, 2.0]), off_by(block, 2.5, 0.5)) == [1]
    assert [result.best_epoch for result in block.seeds] == [1, 2]
    assert block.seeds[0].validation_metrics["mse"] == pytest.approx(4, rel=1e-5)
    assert block.latest().keys() == {3, 8}
    assert block.latest()[8] == {"train_loss": 2.0, "mse": pytest.approx(0.25, rel=1e-5), "gradient_norm/head": 0.5}


@pytest.mark.parametrize(
    ("alive", "loss", "error", "reason"),
    [
        (False, NAN, 0.0, "loss not finite in epoch 1"),
        (True, 1.0, math.inf, "predictions not finite in epoch 1"),
        (False, 1.0, 0.0, "loss on the validation split not finite in epoch 1"),
    ],
)
def test_a_seed_that_diverges_says_of_what(alive: bool, loss: float, error: float, reason: str) -> None:
    block = results(3, 8)
    block.judge(summary(0, [True, True], [1.0, 1.0]), off_by(block, 1, 1))
    assert block.judge(summary(1, [True, alive], [1.0, loss]), off_by(block, 2, error)) == []
    bad = block.seeds[1]
    assert (bad.outcome, bad.reason, bad.last_epoch, len(bad.history)) == ("diverged", reason, 1, 1)
    assert block.latest().keys() == {3}
    block.judge(summary(2, [True, alive], [1.0, NAN]), off_by(block, 0, 0))
    assert bad.last_epoch == 1 and bad.reason == reason, "it is over"


def test_tested_once_from_what_was_predicted() -> None:
    block = results(3, 8, 9)
    block.judge(summary(0, [True] * 3, [1.0] * 3), off_by(block, 1, 1, 1))
    block.seeds[2].fail("diverged", "of old")
    tests = [data.test.numbers + np.float32(2) for data in block.data]
    block.test({0: (off_by(block, 1, 1, 1)[0], tests[0]), 2: (off_by(block, 1, 1, 1)[2], tests[2])})
    assert block.seeds[0].test_metrics["mse"] == pytest.approx(4, rel=1e-5)
    assert block.seeds[0].predictions is tests[0]
    assert block.seeds[1].reason == "loss not finite while it learned in the test split"
    assert block.seeds[2].reason == "of old"
    assert all(result.test_metrics == {} and result.predictions is None for result in block.seeds[1:])


def test_it_knows_nothing_of_torch() -> None:
    code = "import sys, notafluke.training.results; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
