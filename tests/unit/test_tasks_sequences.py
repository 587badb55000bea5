"""Copy memory and reversal: the sequences, their baselines, and metrics that know the true past from the own one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from notafluke.errors import UsageError
from notafluke.tasks.copy_memory import CopyMemory
from notafluke.tasks.reversal import Reversal


def logs(classes: np.ndarray, size: int, sure: float) -> np.ndarray:
    """Log probabilities that give the classes `sure` and share the rest."""
    rest = math.log((1 - sure) / (size - 1))
    return np.where(np.arange(size) == classes[..., None], math.log(sure), rest).astype(np.float32)


class TestCopyMemory:
    task = CopyMemory(wait=5, recalled=3, symbols=4, train_size=50, validation_size=20, test_size=400)

    def test_a_sequence_is_symbols_blanks_a_signal_and_their_recall(self) -> None:
        """Arjovsky, Shah and Bengio 2016: blank for wait + recalled steps, then the symbols."""
        for seed in (0, 7):
            split = self.task.load(seed, 0).train
            assert split.inputs.shape == (50, 11, 6) and split.classes.shape == (50, 11)
            seen = split.inputs.argmax(axis=2)
            assert (split.inputs.sum(axis=2) == 1).all()
            for inputs, targets in zip(seen, split.classes, strict=True):
                symbols = inputs[:3].tolist()
                assert all(symbol < 4 for symbol in symbols)
                assert inputs[3:].tolist() == [4, 4, 4, 4, 5, 4, 4, 4]
                assert targets.tolist() == [4] * 8 + symbols

    def test_every_symbol_is_as_likely(self) -> None:
        counts = np.bincount(self.task.load(0, 0).test.classes[:, -3:].ravel(), minlength=4)
        assert np.abs(counts - 300).max() < 4.5 * math.sqrt(1200 * 0.25 * 0.75)

    def test_the_baseline_is_what_the_best_without_memory_gets(self) -> None:
        """Blank while it waits, then every symbol alike: 10 ln 8 / (T + 20) in the published form."""
        data = self.task.load(0, 0)
        blank, guess = logs(np.full(8, 4), 6, 1 - 1e-9), np.log([0.25] * 4 + [1e-12] * 2).astype(np.float32)
        predictions = np.broadcast_to(np.concatenate([blank, [guess] * 3]), (400, 11, 6))
        scores = self.task.test_metrics(data, predictions, predictions[:20])
        (trivial,) = [own for own in self.task.baselines(data) if own.trivial]
        assert scores["log_loss"] == pytest.approx(trivial.value, rel=1e-5)
        published = CopyMemory(wait=1000).baselines(data)[0].value
        assert published == pytest.approx(10 * math.log(8) / 1020, rel=1e-12)

    def test_recall_counts_the_last_steps_only(self) -> None:
        data = self.task.load(0, 0)
        classes = data.test.classes.copy()
        classes[:, -1] = (classes[:, -1] + 1) % 4
        classes[:, 0] = 0
        scores = self.task.test_metrics(data, logs(classes, 6, 0.9), logs(classes[:20], 6, 0.9))
        assert scores["recall_accuracy"] == pytest.approx(2 / 3)
        assert scores["accuracy"] == pytest.approx(9 / 11)


class TestReversal:
    task = Reversal(length=4, symbols=5, train_size=30, validation_size=10, test_size=20)

    def test_the_target_is_the_source_backwards(self) -> None:
        data = self.task.load(3, 0)
        for split in (data.train, data.validation, data.test):
            assert np.array_equal(split.inputs.argmax(axis=2)[:, ::-1], split.classes)

    def test_losses_are_given_the_truth_and_accuracy_runs_freely(self) -> None:
        data = self.task.load(0, 0)
        classes = data.test.classes
        wrong = classes.copy()
        wrong[:5, 2] = (wrong[:5, 2] + 1) % 5
        taught, free = logs(classes, 5, 0.8), logs(wrong, 5, 0.9)
        predictions = np.stack([taught, free], axis=1)
        scores = self.task.test_metrics(data, predictions, predictions[:10])
        assert scores["log_loss"] == pytest.approx(-math.log(0.8), rel=1e-6)
        assert scores["accuracy"] == pytest.approx(75 / 80)
        assert scores["exact_match"] == pytest.approx(15 / 20)

    def test_the_baseline_is_guessing(self) -> None:
        data = self.task.load(0, 0)
        baselines = {own.metric: own.value for own in self.task.baselines(data)}
        assert baselines == {"log_loss": math.log(5), "accuracy": 0.2}


@pytest.mark.parametrize(
    ("make", "options", "key"),
    [
        (CopyMemory, {"wait": 0}, "wait"),
        (CopyMemory, {"symbols": 1}, "symbols"),
        (CopyMemory, {"recalled": 2.5}, "recalled"),
        (Reversal, {"length": 0}, "length"),
        (Reversal, {"symbols": "8"}, "symbols"),
        (Reversal, {"train_size": True}, "train_size"),
    ],
    ids=lambda value: str(value),
)
def test_options_that_cannot_be_used(make: type, options: dict[str, object], key: str) -> None:
    with pytest.raises(UsageError, match=f"task.{key}="):
        make(**options).check()
