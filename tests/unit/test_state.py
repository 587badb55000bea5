"""State carried or reset, online or not: against plain loops over one model, without look-ahead, bit for bit."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from notafluke import components
from notafluke.configuration import compose_run
from notafluke.streams import generator, torch_seed
from notafluke.tasks.base import Split, Task, TaskData
from notafluke.tasks.lotto import Lotto
from notafluke.training import state as state_rules
from notafluke.training.batching import initial_parameters, seed_losses
from notafluke.training.block import SeedBlock
from notafluke.training.engine import train_block
from notafluke.training.recipe import Recipe
from notafluke.training.results import SeedResult
from notafluke.training.samples import stream_batches

CONF = Path(__file__).parents[2] / "conf"
MODES = [(state, online) for state in ("reset", "carried") for online in (False, True)]
MODE_NAMES = [f"{state}{'-online' if online else ''}" for state, online in MODES]
modes = pytest.mark.parametrize(("state", "online"), MODES, ids=MODE_NAMES)


def small_lotto(**sizes: int) -> Lotto:
    """Windows of 3 draws; 41 training samples are no multiple of anything."""
    return Lotto(
        **{
            "numbers": 7,
            "drawn": 2,
            "window": 3,
            "train_size": 41,
            "validation_size": 13,
            "test_size": 17,
            **sizes,
        }
    )


def recipe_of(state: str, online: bool, **overrides: str) -> Recipe:
    own = {"task": "lotto", "model.hidden_size": "5", "trainer.batch_size": "4", "trainer.max_epochs": "2"}
    own |= {"state": state, "online": str(online).lower(), "optimizer.lr": "0.03"}
    run = compose_run(CONF, own | {key.replace("__", "."): value for key, value in overrides.items()})
    return components.build_recipe(run.config)


def train(recipe: Recipe, task: Task, seeds: Sequence[int]) -> dict[int, SeedResult]:
    return {result.seed: result for result in train_block(recipe, task, seeds, 0)}


class PlainLoop:
    """One model, one sample list, no block: what the documentation says, in order."""

    def __init__(self, recipe: Recipe, task: Lotto, seed: int, state: str, online: bool) -> None:
        self.recipe, self.task, self.seed, self.carried, self.online = recipe, task, seed, state == "carried", online
        self.data = task.load(seed, 0)
        self.model = recipe.build_model(task.input_size, task.output_size)
        self.model.load_state_dict(initial_parameters(lambda: self.model, seed, 0), strict=False)
        self.epoch = 0

    def run(self) -> dict[str, Any]:
        splits = {name: getattr(self.data, name) for name in ("train", "validation", "test")}
        steps = len(self.pieces("train"))
        scheduler = self.recipe.optimizer(list(self.model.parameters()), self.recipe.max_epochs * steps)
        self.optimizer = scheduler.optimizer
        found: dict[str, Any] = {"train_loss": [], "validation": [], "test": [], "history": []}
        for epoch in range(self.recipe.max_epochs):
            self.epoch = epoch
            self.state: Any = None
            losses = []
            for step, piece in enumerate(self.pieces("train")):
                losses.append(self.learn("train", step, piece))
                scheduler.step()
            found["train_loss"].append(float(np.mean(losses)))
            if self.online:
                kept = copy.deepcopy((self.model.state_dict(), self.optimizer.state_dict()))
                validation, test = (self.predict_and_learn(name) for name in ("validation", "test"))
                self.model.load_state_dict(kept[0])
                self.optimizer.load_state_dict(kept[1])
            elif self.carried:
                validation, test = self.uncut()
            else:
                with torch.no_grad():
                    self.model.eval()
                    validation, test = (
                        self.model(torch.from_numpy(splits[name].inputs))[:, -1].numpy()
                        for name in ("validation", "test")
                    )
            found["validation"].append(validation)
            found["test"].append(test)
            found["history"].append(self.task.validation_metrics(self.data, validation))
        return found

    def pieces(self, split: str) -> list[list[list[int]]]:
        """Samples of each step: rows of samples that follow each other."""
        samples, size = len(getattr(self.data, split).inputs), self.recipe.batch_size
        if self.online or not self.carried:
            if self.online:
                order = list(range(samples))
            else:
                order = generator(self.seed, 0, "batch order", str(self.epoch)).permutation(samples).tolist()
            steps = [order[start : start + size] for start in range(0, samples, size)]
            return [[step] for step in steps] if self.carried else [[[own] for own in step] for step in steps]
        streams_wanted = min(size, samples)
        length, window = samples // streams_wanted, self.task.window
        begin = samples - streams_wanted * length
        streams = [list(range(start, start + length)) for start in range(begin, samples, length)]
        return [[own[at : at + window] for own in streams] for at in range(0, length, window)]

    def inputs(self, split: str, rows: list[list[int]]) -> list[Tensor]:
        inputs = torch.from_numpy(getattr(self.data, split).inputs)
        return [inputs[row][:, -1] if self.carried else inputs[row[0]] for row in rows]

    def forward(self, split: str, step: int, rows: list[list[int]], training: bool) -> tuple[list[Tensor], Any]:
        """Outputs [K, O] of each row, and the states after them."""
        self.model.train(training)
        for name, buffer in self.model.named_buffers():
            buffer.fill_(torch_seed(self.seed, 0, "layer", split, str(self.epoch), str(step), name))
        inputs = self.inputs(split, rows)
        if not self.carried:
            return list(self.model(torch.stack(inputs))[:, -1:]), None
        outputs, states = [], []
        for number, own in enumerate(inputs):
            start = self.state[number] if self.state else self.model.initial_state(own[None])  # type: ignore[operator]
            found, after = self.model(own[None], start)
            outputs.append(found[0])
            states.append(tuple(part.detach() for part in after))
        return outputs, states

    def learn(self, split: str, step: int, rows: list[list[int]]) -> float:
        outputs, states = self.forward(split, step, rows, training=True)
        targets = torch.from_numpy(getattr(self.data, split).targets)
        truth = [targets[row] for row in rows]
        loss = self.recipe.objective(torch.cat(outputs), torch.cat(truth)).mean(1).mean()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.state = states
        return loss.item()

    def predict_and_learn(self, split: str) -> np.ndarray:
        predictions = []
        for step, rows in enumerate(self.pieces(split)):
            with torch.no_grad():
                outputs, after = self.forward(split, step, rows, training=False)
            predictions.append(torch.cat(outputs))
            self.learn(split, step, rows)
            self.state = after
        return torch.cat(predictions).numpy()

    @torch.no_grad()
    def uncut(self) -> tuple[np.ndarray, np.ndarray]:
        """The whole series in one call."""
        self.model.eval()
        series = np.concatenate([getattr(self.data, name).inputs[:, -1] for name in ("train", "validation", "test")])
        outputs = self.model(torch.from_numpy(series)[None])[0].numpy()
        first, second = len(self.data.train.inputs), len(self.data.train.inputs) + len(self.data.validation.inputs)
        return outputs[first:second], outputs[second:]


@modes
@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"model": "gru", "model__depth": "2"},
        {"model": "tcn", "model__depth": "2"},
        {"model": "lstm_dense_residual", "model__depth": "3"},
        {"optimizer": "sgd", "optimizer__momentum": "0.9", "loss": "exp_or_log"},
        {"trainer__batch_size": "1", "trainer__max_epochs": "1"},
        {"trainer__batch_size": "64"},
    ],
    ids=lambda choice: ",".join(choice.values()) or "lstm",
)
def test_agrees_with_a_plain_loop(state: str, online: bool, choice: dict[str, str]) -> None:
    recipe, task = recipe_of(state, online, **choice), small_lotto()
    together = train(recipe, task, [6, 2, 7])
    for seed in (2, 7):
        expected = PlainLoop(recipe, task, seed, state, online).run()
        result = together[seed]
        assert [row["train_loss"] for row in result.history] == pytest.approx(expected["train_loss"], rel=1e-4)
        for row, own in zip(result.history, expected["history"], strict=True):
            assert row["mse"] == pytest.approx(own["mse"], rel=1e-4)
        hits = [own["hits"] for own in expected["history"]]
        assert result.best_epoch == int(np.argmax(hits))
        np.testing.assert_allclose(result.predictions, expected["test"][result.best_epoch], rtol=2e-3, atol=2e-4)
        test = task.test_metrics(task.load(seed, 0), expected["test"][result.best_epoch], expected["validation"][0])
        assert result.test_metrics["mse"] == pytest.approx(test["mse"], rel=1e-4)


@pytest.mark.parametrize("online", [False, True])
def test_masks_of_dropout_are_those_of_seed_epoch_step_and_layer(online: bool) -> None:
    """The plain loop sets the keys of (seed, split, epoch, step, layer) itself; batches of 16 need no padding rows."""
    choice = {"model__dropout": "0.4", "model__depth": "2", "trainer__batch_size": "16"}
    recipe, task = recipe_of("reset", online, **choice), small_lotto(train_size=48, validation_size=16, test_size=32)
    for seed, result in train(recipe, task, [3, 5]).items():
        expected = PlainLoop(recipe, task, seed, "reset", online).run()
        assert [row["train_loss"] for row in result.history] == pytest.approx(expected["train_loss"], rel=1e-4)
        np.testing.assert_allclose(result.predictions, expected["test"][result.best_epoch], rtol=2e-3, atol=2e-4)


@modes
@pytest.mark.parametrize("batch_size", ["7", "1"])
def test_bit_for_bit_alone_and_in_blocks(state: str, online: bool, batch_size: str) -> None:
    recipe = recipe_of(state, online, model__hidden_size="33", trainer__batch_size=batch_size, model__dropout="0.2")
    task = small_lotto()
    ten = train(recipe, task, range(10))
    assert {result.outcome for result in ten.values()} == {"ok"}
    for seeds in ([3], [8, 3], [9, 0, 3]):
        for seed, result in train(recipe, task, seeds).items():
            assert result.weight_digest == ten[seed].weight_digest
            assert result.history == ten[seed].history and result.test_metrics == ten[seed].test_metrics
            assert np.array_equal(result.predictions, ten[seed].predictions)


class Changed(Lotto):
    """The lottery with one draw's target changed."""

    def __init__(self, split: str, position: int) -> None:
        plain = small_lotto()
        super().__init__(**vars(plain))
        self.split, self.position = split, position

    def load(self, seed: int, replica: int) -> TaskData:
        data = super().load(seed, replica)
        own: Split = getattr(data, self.split)
        targets = own.targets.copy()
        targets[self.position] += 5
        return replace(data, **{self.split: replace(own, targets=targets)})


class TestOnline:
    @pytest.mark.parametrize("state", ["reset", "carried"])
    def test_a_target_is_learned_from_only_after_it_was_predicted(self, state: str) -> None:
        """A changed target in the test split changes the predictions behind it, and none before or at it."""
        recipe = recipe_of(state, True, trainer__batch_size="1", trainer__max_epochs="1")
        before, after = train(recipe, small_lotto(), [1])[1], train(recipe, Changed("test", 6), [1])[1]
        assert before.predictions is not None and after.predictions is not None
        same = (before.predictions == after.predictions).all(axis=1)
        assert same[:7].all() and not same[7:].any()
        assert before.weight_digest == after.weight_digest, "the weights after training, before it learned on"

    @pytest.mark.parametrize("state", ["reset", "carried"])
    def test_it_learns_on_from_the_validation_split(self, state: str) -> None:
        recipe = recipe_of(state, True, trainer__batch_size="1", trainer__max_epochs="1")
        before, after = train(recipe, small_lotto(), [1])[1], train(recipe, Changed("validation", 12), [1])[1]
        assert not (before.predictions == after.predictions).all(axis=1).any()
        assert before.history[0]["train_loss"] == after.history[0]["train_loss"]

    def test_without_it_nothing_of_the_test_targets_reaches_a_prediction(self) -> None:
        for state in ("reset", "carried"):
            recipe = recipe_of(state, False)
            before, after = train(recipe, small_lotto(), [1])[1], train(recipe, Changed("test", 0), [1])[1]
            assert np.array_equal(before.predictions, after.predictions)

    def test_the_next_epoch_goes_on_from_the_end_of_training(self) -> None:
        """Not from what was learned in the splits behind it, the optimizer's memory included."""
        recipe = recipe_of("carried", True, trainer__max_epochs="3")
        before, after = train(recipe, small_lotto(), [1])[1], train(recipe, Changed("validation", 3), [1])[1]
        assert [row["train_loss"] for row in before.history] == [row["train_loss"] for row in after.history]
        assert before.weight_digest == after.weight_digest


class Exploding(Lotto):
    """Infinite targets in one split of one seed."""

    def __init__(self, split: str, bad: int) -> None:
        super().__init__(**vars(small_lotto()))
        self.split, self.bad = split, bad

    def load(self, seed: int, replica: int) -> TaskData:
        data = super().load(seed, replica)
        if seed != self.bad:
            return data
        own: Split = getattr(data, self.split)
        targets = own.targets.copy()
        targets[4:] = np.inf
        return replace(data, **{self.split: replace(own, targets=targets)})


class TestDivergedOnline:
    @pytest.mark.parametrize(("split", "reason"), [("validation", "in epoch 0"), ("test", "in the test split")])
    def test_in_a_split_behind_training(self, split: str, reason: str) -> None:
        recipe = recipe_of("carried", True)
        results = train(recipe, Exploding(split, bad=2), [1, 2, 5])
        assert results[2].outcome == "diverged" and reason in results[2].reason
        assert results[2].predictions is None and results[2].test_metrics == {}
        healthy = train(recipe, small_lotto(), [1, 5])
        for seed, result in healthy.items():
            assert results[seed].outcome == "ok"
            assert results[seed].weight_digest == result.weight_digest
            assert np.array_equal(results[seed].predictions, result.predictions)


class TestStreams:
    @pytest.mark.parametrize(
        ("samples", "streams", "piece"), [(10, 3, 2), (7, 7, 3), (5, 8, 4), (40, 1, 7), (9, 2, 20)]
    )
    def test_equal_streams_of_the_last_samples_in_order(self, samples: int, streams: int, piece: int) -> None:
        seen: dict[int, list[int]] = {}
        for batch in stream_batches(samples, streams, piece):
            assert batch.weights.sum().item() == pytest.approx(1, rel=1e-6)
            assert batch.rows.shape[1] % 16 == 0 and batch.rows.shape[1:] == batch.weights.shape
            for row, column in batch.weights.nonzero().tolist():
                seen.setdefault(row, []).append(int(batch.rows[0, row, column]))
        flat = [own for row in sorted(seen) for own in seen[row]]
        left_out = samples % min(streams, samples)
        assert flat == list(range(left_out, samples))
        assert len(seen) == min(streams, samples) and len({len(own) for own in seen.values()}) == 1

    def test_padding_repeats_whole_streams(self) -> None:
        for batch in stream_batches(50, 3, 5):
            for row in range(batch.rows.shape[1]):
                assert torch.equal(batch.rows[0, row], batch.rows[0, row % 3])

    @pytest.mark.parametrize("online", [False, True])
    def test_padding_does_not_diverge_where_no_sample_does(self, online: bool) -> None:
        """A relu network whose state grows on the last sample alone: read over and over, it would overflow."""

        class LastIsLarge(Lotto):
            def load(self, seed: int, replica: int) -> TaskData:
                data = super().load(seed, replica)
                inputs = np.zeros_like(data.train.inputs)
                inputs[-1] = 1
                return replace(data, train=replace(data.train, inputs=inputs, targets=0 * data.train.targets))

        class Growing(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.head = nn.Parameter(torch.full((7,), 1e-9))

            def initial_state(self, inputs: Tensor) -> tuple[Tensor]:
                return (inputs.new_zeros(len(inputs), 7),)

            def forward(self, inputs: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
                (hidden,), outputs = state, []
                for step in inputs.unbind(1):
                    hidden = torch.relu(1e4 * hidden + step)
                    outputs.append(hidden * self.head)
                return torch.stack(outputs, 1), (hidden,)

        task = LastIsLarge(**vars(small_lotto()))
        recipe = replace(recipe_of("carried", online, trainer__max_epochs="1"), build_model=lambda *_: Growing())
        block = SeedBlock(recipe, task, [0, 1], 0, torch.device("cpu"))
        losses = []
        state = None
        for batch in block.batches("train"):
            outputs, state = block.outputs(block.weights, "train", batch, state, training=True)
            losses.append(seed_losses(recipe.objective, outputs, block.data.truth("train", batch), batch.weights))
        assert torch.stack(losses).isfinite().all()


@pytest.mark.parametrize("samples", [1, 3, 40, 256])
def test_predictions_do_not_depend_on_where_the_series_is_cut(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine cuts it for memory; the plain loop reads it uncut."""
    monkeypatch.setattr(state_rules, "EVALUATION_SAMPLES", samples)
    recipe, task = recipe_of("carried", False), small_lotto()
    result = train(recipe, task, [4])[4]
    expected = PlainLoop(recipe, task, 4, "carried", False).run()
    np.testing.assert_allclose(result.predictions, expected["test"][result.best_epoch], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            {"task": "adding", "state": "carried"},
            ["state=carried (conf/state/carried.yaml", "follow each other in time"],
        ),
        ({"task": "adding", "online": "true"}, ["online=true", "follow each other in time"]),
        (
            {"task": "lotto", "online": "true", "optimizer.schedule": "linear"},
            ["optimizer=adam", "schedule", "constant"],
        ),
    ],
    ids=["carried", "online", "schedule"],
)
def test_what_does_not_fit_together_is_refused(overrides: dict[str, str], words: list[str]) -> None:
    from notafluke.errors import UsageError

    with pytest.raises(UsageError) as caught:
        components.check(compose_run(CONF, overrides))
    assert all(word in str(caught.value) for word in words), caught.value
