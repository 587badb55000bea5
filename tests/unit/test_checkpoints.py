"""Checkpoints: a training interrupted at any step goes on to the same bits; damaged ones are not used."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from notafluke import checkpoints, components
from notafluke.checkpoints import (
    Block,
    BlockCheckpoint,
    Stored,
    checkpoint_content,
    machine,
    read_checkpoint,
    stored_blocks,
)
from notafluke.configuration import compose_run
from notafluke.errors import Stopped, StorageError
from notafluke.interruption import Interruption, stoppable
from notafluke.tasks.adding import Adding
from notafluke.tasks.base import Task
from notafluke.tasks.lotto import Lotto
from notafluke.training import optimizers
from notafluke.training.block import SeedBlock
from notafluke.training.engine import train_block
from notafluke.training.recipe import Recipe
from notafluke.training.results import SeedResult

CONF = Path(__file__).parents[2] / "conf"
SEEDS = [4, 0, 7]
BLOCK = Block("key", "training", tuple(SEEDS))


def recipe_of(**overrides: str) -> Recipe:
    own = {"task": "lotto", "model.hidden_size": "5", "trainer.batch_size": "4", "trainer.max_epochs": "3"}
    run = compose_run(CONF, own | {key.replace("__", "."): value for key, value in overrides.items()})
    return components.build_recipe(run.config)


def lotto() -> Lotto:
    """Windows of 3 draws; 25 training samples are no multiple of anything."""
    return Lotto(numbers=7, drawn=2, window=3, train_size=25, validation_size=9, test_size=11)


class Earlier(Adding):
    """An adding problem with earlier data to train on first."""

    def load(self, seed: int, replica: int) -> Any:
        data = super().load(seed, replica)
        return replace(data, earlier=data.validation)


# What is told apart: windows or streams, online or not, dropout, momentum and schedules, pretraining, a diverging seed.


def case(name: str) -> tuple[Recipe, Task]:
    cases = {
        "windows": lambda: (recipe_of(model__dropout="0.3", model__depth="2"), lotto()),
        "schedule": lambda: (
            recipe_of(optimizer="sgd", optimizer__momentum="0.9", optimizer__schedule="cosine"),
            lotto(),
        ),
        "streams": lambda: (recipe_of(state="carried", optimizer="rmsprop"), lotto()),
        "online": lambda: (recipe_of(online="true", trainer__max_epochs="2"), lotto()),
        "online streams": lambda: (recipe_of(online="true", state="carried", trainer__max_epochs="2"), lotto()),
        "pretraining": lambda: (
            recipe_of(task="adding", trainer__pretraining_epochs="2", trainer__max_epochs="2"),
            Earlier(length=5, train_size=20, validation_size=9, test_size=7),
        ),
    }
    return cases[name]()


NAMES = ["windows", "schedule", "streams", "online", "online streams", "pretraining"]


class Ticking(BlockCheckpoint):
    """Asks to stop after the given number of steps."""

    def __init__(self, folder: Path, steps: int | None) -> None:
        super().__init__(folder, BLOCK, Interruption())
        self.steps, self.asked_after = 0, steps

    def is_due(self) -> bool:
        self.steps += 1
        if self.steps == self.asked_after:
            self.interruption.asked = signal.SIGTERM
        return super().is_due()


class Watcher:
    """Keeps what an observer is told: the history of each seed."""

    def __init__(self) -> None:
        self.history: dict[int, list[dict[str, float]]] = {}

    def started(self, history: Mapping[int, Sequence[Mapping[str, float]]], since: str) -> None:
        self.history = {seed: [dict(row) for row in own] for seed, own in history.items()}

    def epoch_finished(self, epoch: int, metrics: Mapping[int, Mapping[str, float]]) -> None:
        for seed, own in metrics.items():
            self.history[seed].append(dict(own))
            assert len(self.history[seed]) == epoch + 1


def train(name: str, checkpoint: BlockCheckpoint | None = None, **options: Any) -> list[SeedResult]:
    recipe, task = case(name)
    watcher = Watcher()
    results = train_block(recipe, task, SEEDS, 0, observer=watcher, checkpoint=checkpoint, **options)
    for result in results:
        if result.outcome == "ok":
            assert repr(watcher.history[result.seed]) == repr(result.history)
    return results


def fingerprint(results: Sequence[SeedResult]) -> list[tuple[Any, ...]]:
    """All that the runs leave, to the last bit."""
    return [
        (
            own.seed,
            own.outcome,
            own.weight_digest,
            repr((own.history, own.validation_metrics, own.test_metrics, own.best_epoch, own.last_epoch)),
            None if own.predictions is None else own.predictions.tobytes(),
            {key: value.tobytes() for key, value in own.series.items()},
            {key: value.tobytes() for key, value in own.best_weights.items()},
        )
        for own in results
    ]


UNDISTURBED: dict[str, tuple[int, list[tuple[Any, ...]]]] = {}


def undisturbed(name: str, folder: Path) -> tuple[int, list[tuple[Any, ...]]]:
    """How many steps an undisturbed training takes, and what it leaves."""
    if name not in UNDISTURBED:
        counting = Ticking(folder, None)
        UNDISTURBED[name] = (0, fingerprint(train(name)))
        assert fingerprint(train(name, counting)) == UNDISTURBED[name][1]
        counting.remove()
        UNDISTURBED[name] = (counting.steps, UNDISTURBED[name][1])
    return UNDISTURBED[name]


@pytest.mark.parametrize("name", NAMES)
class TestInterruption:
    def test_again_and_again_at_any_step(self, name: str, tmp_path: Path) -> None:
        steps, expected = undisturbed(name, tmp_path)
        assert steps >= 6
        stops = 0
        for first in (1, steps // 2, steps):
            done, wanted = 0, first
            while True:
                checkpoint = Ticking(tmp_path, wanted)
                try:
                    found = fingerprint(train(name, checkpoint))
                    break
                except Stopped as stopped:
                    assert stopped.exit_code == 143
                    stops += 1
                    done += checkpoint.steps
                    wanted = steps // 2
            assert found == expected
            assert done + checkpoint.steps == steps, "each step is done once"
            checkpoint.remove()
        assert stops >= 4

    @settings(max_examples=2, deadline=None, derandomize=True)
    @given(data=st.data())
    def test_killed_at_any_step_it_goes_on_from_the_end_of_the_epoch_before(
        self, name: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        """As with SIGKILL: nothing is kept at the moment itself."""
        folder = tmp_path_factory.mktemp("killed")
        steps, expected = undisturbed(name, folder)

        class Killed(Exception):
            pass

        class Killing(Ticking):
            def is_due(self) -> bool:
                self.steps += 1
                if self.steps == self.asked_after:
                    raise Killed
                return False

        with pytest.raises(Killed):
            train(name, Killing(folder, data.draw(st.integers(1, steps))))
        again = Ticking(folder, None)
        assert fingerprint(train(name, again)) == expected
        assert again.steps <= steps


def test_a_finished_block_is_tested_again_without_training(tmp_path: Path) -> None:
    expected = undisturbed("online streams", tmp_path)[1]
    assert fingerprint(train("online streams", Ticking(tmp_path, None))) == expected
    again = Ticking(tmp_path, None)
    assert fingerprint(train("online streams", again)) == expected
    assert again.steps == 0


def test_seeds_with_learning_rates_of_their_own(tmp_path: Path) -> None:
    """The block that tunes: two optimizers, each for some of the seeds; nothing is tested."""
    recipe, task = case("windows")
    rates = [
        (lambda own, steps, lr=lr: optimizers.adam(own, steps, lr, (0.9, 0.99), 1e-8, "linear")) for lr in (0.1, 0.01)
    ]
    how: dict[str, Any] = {"tested": False, "optimizers": [(rates[0], 1), (rates[1], 2)]}
    expected = fingerprint(train_block(recipe, task, SEEDS, 9, **how))
    for stop in (1, 9, 15):
        checkpoint = Ticking(tmp_path, stop)
        with pytest.raises(Stopped):
            train_block(recipe, task, SEEDS, 9, checkpoint=checkpoint, **how)
        assert fingerprint(train_block(recipe, task, SEEDS, 9, checkpoint=Ticking(tmp_path, None), **how)) == expected
        checkpoint.remove()


def test_time_counts_before_and_after_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from notafluke.training import block

    now = [0.0]

    def monotonic() -> float:
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr(block.time, "monotonic", monotonic)
    whole = train("windows", time_limit=30)
    assert {own.outcome for own in whole} == {"timeout"}
    assert {own.reason for own in whole} == {f"over the time limit of 30 s in epoch {whole[0].last_epoch + 1}"}
    assert all(own.test_metrics == {} and own.predictions is None and own.weight_digest == "" for own in whole)
    assert all(len(own.history) == own.last_epoch + 1 > 0 for own in whole)
    now[0] = 0.0
    with pytest.raises(Stopped):
        train("windows", Ticking(tmp_path, 6), time_limit=30)
    resumed = train("windows", Ticking(tmp_path, None), time_limit=30)
    assert {own.outcome for own in resumed} == {"timeout"}
    assert abs(resumed[0].last_epoch - whole[0].last_epoch) <= 1
    now[0] = -1e6
    assert {own.outcome for own in train("windows", time_limit=1e5)} == {"ok"}


def test_a_checkpoint_of_another_block_is_not_used(tmp_path: Path) -> None:
    stored = Stored(BLOCK, machine("cpu"), {"epoch": 3, "step": 4, "pretraining": False})
    for other in (replace(BLOCK, cell_key="another"), replace(BLOCK, seeds=(4, 0)), replace(BLOCK, purpose="tuning")):
        checkpoint = BlockCheckpoint(tmp_path, other, Interruption())
        assert checkpoint.path != tmp_path / BLOCK.file_name
        checkpoint.path.write_bytes(checkpoint_content(stored))
        assert checkpoint.read() is None
    own = BlockCheckpoint(tmp_path, BLOCK, Interruption())
    assert own.read() is None
    own.path.write_bytes(checkpoint_content(stored))
    assert own.read() == stored.state
    assert stored.where == "epoch 4, step 4"
    own.remove()
    assert own.read() is None and len(list(stored_blocks(tmp_path))) == 3


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_checkpoint_is_not_used(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("damaged") / BLOCK.file_name
    content = bytearray(checkpoint_content(Stored(BLOCK, "AVX2", {"epoch": 0, "weights": [torch.arange(9.0)]})))
    if data.draw(st.booleans()):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    path.write_bytes(content)
    assert read_checkpoint(path) is None
    assert list(stored_blocks(path.parent)) == []


def test_no_pickle_is_loaded(tmp_path: Path) -> None:
    """A file that would run code when it is unpickled is refused, although its digest is right."""
    import hashlib
    import io

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (tmp_path.joinpath("trapped").touch, ())

    buffer = io.BytesIO()
    torch.save({"block": {}, "state": Trap()}, buffer)
    path = tmp_path / BLOCK.file_name
    path.write_bytes(hashlib.sha256(buffer.getvalue()).hexdigest().encode() + b"\n" + buffer.getvalue())
    assert read_checkpoint(path) is None
    assert not (tmp_path / "trapped").exists()


def test_a_full_disk_is_told_once_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = undisturbed("windows", tmp_path)[1]

    def full(path: Path, content: bytes) -> Path:
        raise StorageError(f"{path}: cannot be stored: No space left on device")

    monkeypatch.setattr(checkpoints, "write_atomic", full)
    caplog.clear()
    assert fingerprint(train("windows", Ticking(tmp_path, None))) == expected
    told = [record.getMessage() for record in caplog.records if "no checkpoint" in record.getMessage()]
    reason = f"{tmp_path / BLOCK.file_name}: cannot be stored: No space left on device"
    assert told == [f"no checkpoint: {reason}; training goes on, and an interruption would lose it"]


def test_a_checkpoint_of_another_kind_of_cpu_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its last digits would be of both, and no machine could repeat the run."""
    expected = undisturbed("windows", tmp_path)[1]
    with pytest.raises(Stopped):
        train("windows", Ticking(tmp_path, 9))
    monkeypatch.setattr(checkpoints, "machine", lambda device: "another")
    again = Ticking(tmp_path, None)
    assert fingerprint(train("windows", again)) == expected
    assert again.steps == undisturbed("windows", tmp_path)[0]
    assert "and this is another: the block starts again" in caplog.text


class Numpy(Lotto):
    """Its metrics are numbers of NumPy, which PyTorch does not read again."""

    def validation_metrics(self, data: Any, predictions: Any) -> dict[str, float]:
        return {name: np.float64(value) for name, value in super().validation_metrics(data, predictions).items()}


def test_metrics_of_numpy_are_kept_as_numbers(tmp_path: Path) -> None:
    recipe, _ = case("windows")
    task = Numpy(numbers=7, drawn=2, window=3, train_size=25, validation_size=9, test_size=11)
    checkpoint = Ticking(tmp_path, 9)
    with pytest.raises(Stopped):
        train_block(recipe, task, SEEDS, 0, checkpoint=checkpoint)
    stored = read_checkpoint(checkpoint.path)
    assert stored is not None and stored.where == "epoch 2, step 2"


def test_what_cannot_be_kept_is_told_and_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A schedule of one's own that holds a function."""
    recipe, task = case("windows")

    class Own(torch.optim.lr_scheduler.LambdaLR):
        def state_dict(self) -> dict[str, Any]:
            return super().state_dict() | {"own": lambda: None}

    def optimizer(parameters: Any, steps: int) -> Own:
        return Own(torch.optim.Adam(parameters, lr=0.01), lambda step: 1.0)

    own = replace(recipe, optimizer=optimizer)
    expected = fingerprint(train_block(own, task, SEEDS, 0))
    assert fingerprint(train_block(own, task, SEEDS, 0, checkpoint=Ticking(tmp_path, None))) == expected
    assert caplog.text.count("no checkpoint: ") == 1


class Failing:
    """An objective that fails at its n-th call."""

    def __init__(self, recipe: Recipe, calls: int, failure: BaseException) -> None:
        self.recipe, self.calls, self.failure = recipe, calls, failure

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        self.calls -= 1
        if self.calls == 0:
            raise self.failure
        assert self.recipe.loss is not None
        return self.recipe.loss(prediction, target)


def test_a_run_that_fails_alone_keeps_its_epochs() -> None:
    recipe = recipe_of(output="linear", task="adding")
    task = Adding(length=4, train_size=12, validation_size=5, test_size=5)
    whole = train_block(recipe, task, [4], 0)[0]
    broken = replace(recipe, loss=Failing(recipe, 8, ArithmeticError("cursed\nindeed")))
    with pytest.raises(ArithmeticError):
        train_block(broken, task, [4], 0)
    broken = replace(recipe, loss=Failing(recipe, 8, ArithmeticError("cursed\nindeed")))
    (crashed,) = train_block(broken, task, [4], 0, raises=False)
    assert (crashed.outcome, crashed.reason) == ("crashed", "ArithmeticError: cursed")
    assert crashed.last_epoch == 1 and crashed.history == whole.history[:2]
    assert crashed.test_metrics == {} and crashed.weight_digest == ""


def test_a_component_that_ends_the_process_is_a_failure() -> None:
    recipe = recipe_of(output="linear", task="adding")
    task = Adding(length=4, train_size=12, validation_size=5, test_size=5)
    broken = replace(recipe, loss=Failing(recipe, 3, SystemExit(0)))
    with pytest.raises(RuntimeError, match=r"has called sys\.exit"):
        train_block(broken, task, [4], 0)


def test_a_signal_within_lightning_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning has a handler of its own for SIGTERM, which ends the process with exit code 0."""
    expected = undisturbed("windows", tmp_path)[1]
    original, sent = SeedBlock.on_train_epoch_end, []

    def then_signal(block: SeedBlock) -> None:
        original(block)
        if not sent:
            sent.append(block.epoch)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(SeedBlock, "on_train_epoch_end", then_signal)
    with pytest.raises(Stopped), stoppable() as interruption, interruption.waits():
        train("windows", BlockCheckpoint(tmp_path, BLOCK, interruption))
    assert sent == [1]
    again = Ticking(tmp_path, None)
    assert fingerprint(train("windows", again)) == expected
    assert again.steps < undisturbed("windows", tmp_path)[0]


class Overflowing(Lotto):
    """One seed's last validation sample is infinite: it has learned from the others by then, and diverges."""

    def load(self, seed: int, replica: int) -> Any:
        data = super().load(seed, replica)
        if seed == SEEDS[0]:
            inputs = data.validation.inputs.copy()
            inputs[-1] = np.inf
            return replace(data, validation=replace(data.validation, inputs=inputs))
        return data


def test_a_time_limit_within_the_look_ahead_leaves_the_weights_of_the_end_of_the_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = recipe_of(online="true", trainer__max_epochs="1")
    task = Overflowing(numbers=7, drawn=2, window=3, train_size=25, validation_size=9, test_size=11)
    whole = {own.seed: own for own in train_block(recipe, task, SEEDS, 0)}
    assert whole[SEEDS[0]].outcome == "diverged" and whole[SEEDS[1]].outcome == "ok"

    def late(block: SeedBlock) -> float:
        return 1.0 if block.look_ahead is not None and block.look_ahead.split == "test" else 0.0

    monkeypatch.setattr(SeedBlock, "seconds", property(late))
    limited = {own.seed: own for own in train_block(recipe, task, SEEDS, 0, time_limit=0.5)}
    assert limited[SEEDS[1]].outcome == "timeout"
    assert limited[SEEDS[0]].outcome == "diverged"
    assert limited[SEEDS[0]].weight_digest == whole[SEEDS[0]].weight_digest
