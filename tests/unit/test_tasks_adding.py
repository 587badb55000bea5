"""The adding problem against its definition and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from notafluke.errors import UsageError
from notafluke.tasks.adding import Adding


@settings(deadline=None)
@given(length=st.integers(2, 60), size=st.integers(1, 40), seed=st.integers(0, 100))
def test_every_sequence_keeps_the_definition(length: int, size: int, seed: int) -> None:
    data = Adding(length=length, train_size=size, validation_size=size + 1, test_size=size + 2).load(seed, 0)
    for split, samples in ((data.train, size), (data.validation, size + 1), (data.test, size + 2)):
        assert split.inputs.shape == (samples, length, 2)
        for sequence, target in zip(split.inputs, split.targets, strict=True):
            marked = np.flatnonzero(sequence[:, 1])
            assert len(marked) == 2 and marked[0] < length // 2 <= marked[1]
            assert (sequence[marked, 1] == 1).all()
            assert ((sequence[:, 0] >= 0) & (sequence[:, 0] < 1)).all()
            assert target == sequence[marked[0], 0] + sequence[marked[1], 0]


def test_predicting_the_mean_gives_one_sixth() -> None:
    task = Adding(length=10, train_size=1, validation_size=1, test_size=40_000)
    data = task.load(0, 0)
    mse = task.test_metrics(data, np.ones((40_000, 1), np.float32), np.ones((1, 1), np.float32))["mse"]
    (baseline,) = task.baselines(data)
    assert (baseline.name, baseline.value, baseline.trivial) == ("predict_the_mean", 1 / 6, True)
    # The fourth central moment of the triangular distribution is 1/15: this is 5 standard errors of the mean square.
    assert mse == pytest.approx(1 / 6, abs=5 * np.sqrt((1 / 15 - 1 / 36) / 40_000))


def test_numbers_and_markers_are_uniform() -> None:
    inputs = Adding(length=9, train_size=20_000, validation_size=1, test_size=1).load(1, 0).train.inputs
    counts = inputs[:, :, 1].sum(axis=0)
    assert stats.chisquare(counts[:4]).pvalue > 1e-4
    assert stats.chisquare(counts[4:]).pvalue > 1e-4
    assert stats.kstest(inputs[:2000, :, 0].ravel(), "uniform").pvalue > 1e-4


def test_splits_do_not_share_sequences_or_sizes() -> None:
    small = Adding(length=5, train_size=10, validation_size=10, test_size=10).load(0, 0)
    large = Adding(length=5, train_size=99, validation_size=10, test_size=10).load(0, 0)
    assert np.array_equal(small.validation.inputs, large.validation.inputs)
    assert np.array_equal(small.test.inputs, large.test.inputs)
    firsts = {split.inputs[0].tobytes() for split in (small.train, small.validation, small.test)}
    assert len(firsts) == 3


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"length": 1}, "length=1"),
        ({"length": "fifty"}, "length='fifty'"),
        ({"train_size": 0}, "train_size=0"),
        ({"validation_size": 2.5}, "validation_size=2.5"),
        ({"test_size": None}, "test_size=None"),
    ],
)
def test_bad_options(options: dict[str, Any], name: str) -> None:
    for call in (Adding(**options).check, lambda: Adding(**options).load(0, 0)):
        with pytest.raises(UsageError, match=rf"^task\.{name}: it must be a whole number of at least \d$"):
            call()
