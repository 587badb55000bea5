"""How long a study will take: the arithmetic by hand, which blocks are timed, and that nothing is recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from notafluke import estimate
from notafluke.estimate import SECONDS_A_JOB, BlockTime, CellTime, cell_times, wall_seconds
from notafluke.plan import make_plan
from notafluke.report.listing import duration
from notafluke.tuning import FIRST_SEED

STUDY = """
tune: {tune}
control: {{model.hidden_size: 4, trainer.batch_size: 16, trainer.max_epochs: 3, tuning_seeds: 2}}
tasks:
  adding: {{task.length: 4, task.train_size: 100, task.validation_size: 20, task.test_size: 20}}
sweep: {{activation: "tanh,iris", seed: "range(0,22)"}}
"""


def test_the_time_of_a_block_by_hand() -> None:
    """Three epochs of ten steps and twenty steps before them; three validations and a test of half a second."""
    block = BlockTime(step=0.1, rest_of_epoch=0.5, steps_per_epoch=10, epochs=3, pretraining_steps=20)
    assert block.seconds == pytest.approx(50 * 0.1 + 4 * 0.5)


def test_the_wall_time_by_hand(own_conf: Path) -> None:
    (own_conf / "study" / "timed.yaml").write_text(STUDY.format(tune="none"))
    plan = make_plan("timed")
    first, second = plan.distinct_cells
    times = [CellTime(first, 30.0), CellTime(second, 50.0)]
    assert wall_seconds(times, plan, 1) == pytest.approx(80 + 2 * SECONDS_A_JOB)
    assert wall_seconds(times, plan, 2) == pytest.approx(50 + SECONDS_A_JOB), "no job is shared by two cores"
    assert wall_seconds([CellTime(first, 0.0), CellTime(second, 50.0)], plan, 1) == pytest.approx(50 + SECONDS_A_JOB)
    assert wall_seconds([], plan, 2) == 0


@pytest.mark.parametrize(("tune", "widths"), [("none", [12, 10]), ("lr", [12, 10, 6])])
def test_blocks_of_each_width_are_timed_once(
    own_conf: Path, monkeypatch: pytest.MonkeyPatch, tune: str, widths: list[int]
) -> None:
    """Twenty-two seeds are blocks of 12 and 10; two seeds at three learning rates are one of six."""
    timed: list[list[int]] = []

    def time_block(recipe: Any, task: Any, seeds: Sequence[int], replica: int) -> BlockTime:
        timed.append(list(seeds))
        return BlockTime(0.0, float(len(seeds)), 1, 0, 0)

    monkeypatch.setattr(estimate, "_time_block", time_block)
    (own_conf / "study" / "timed.yaml").write_text(STUDY.format(tune=tune))
    found = next(cell_times(make_plan("timed")))
    assert [len(seeds) for seeds in timed] == widths
    assert found.seconds == sum(widths)
    if tune == "lr":
        assert timed[2] == [FIRST_SEED, FIRST_SEED + 1] * 3


def test_from_the_command_line_nothing_is_recorded(conf: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    (conf / "study" / "timed.yaml").write_text(STUDY.format(tune="lr"))
    code, out, _ = run("plan", "timed", "--estimate")
    assert code == 0
    assert "44 runs, 44 to train" in out and "cores, from a few timed steps of every cell" in out and "adding" in out
    assert not (conf.parent / "results").exists()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (9000, "2.5 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
