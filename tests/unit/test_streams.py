"""Streams of random numbers: one of its own for each (seed, replica, purpose), the same everywhere."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notafluke.streams import generator, torch_seed

SMALL = st.integers(0, 5)
PURPOSE = st.lists(st.text(max_size=3), max_size=3).map(tuple)
KEY = st.tuples(SMALL, SMALL, PURPOSE)


def test_derivation() -> None:
    """SHA-256 of the JSON list, as a whole number, seeds a PCG64."""
    digest = hashlib.sha256(b'[3, 1, "data", "train"]').hexdigest()
    expected = np.random.Generator(np.random.PCG64(int(digest, 16)))
    assert generator(3, 1, "data", "train").bytes(32) == expected.bytes(32)
    assert torch_seed(3, 1, "data", "train") == int(digest[:16], 16) // 2


def test_pinned_values() -> None:
    """These must never change: every stored result rests on them."""
    assert generator(0, 0, "data", "train").integers(0, 2**32, 3).tolist() == [699649308, 1316321853, 4019869535]
    assert generator(3, 1, "data").random() == float.fromhex("0x1.6b8d37b34d504p-1")
    assert torch_seed(0, 0, "init", "weight") == 7432073228378097028


@given(KEY, KEY)
def test_other_key_other_stream(one: tuple[int, int, tuple[str, ...]], two: tuple[int, int, tuple[str, ...]]) -> None:
    (seed, replica, purpose), (seed2, replica2, purpose2) = one, two
    same = generator(seed, replica, *purpose).bytes(16) == generator(seed2, replica2, *purpose2).bytes(16)
    assert same == (one == two)
    assert (torch_seed(seed, replica, *purpose) == torch_seed(seed2, replica2, *purpose2)) == (one == two)


@given(KEY)
def test_torch_seed_has_63_bits(key: tuple[int, int, tuple[str, ...]]) -> None:
    seed, replica, purpose = key
    assert 0 <= torch_seed(seed, replica, *purpose) < 2**63


def test_order_of_calls_does_not_matter() -> None:
    first = [generator(seed, 0, "data").random(4).tolist() for seed in (1, 2, 3)]
    np.random.default_rng(5).random(100)
    second = [generator(seed, 0, "data").random(4).tolist() for seed in (3, 2, 1)]
    assert first == second[::-1]


def test_interleaved_use_does_not_matter() -> None:
    a, b = generator(1, 0, "a"), generator(1, 0, "b")
    mixed = [(a.random(), b.random()) for _ in range(5)]
    alone = list(zip(generator(1, 0, "a").random(5), generator(1, 0, "b").random(5), strict=True))
    assert mixed == alone


def test_words_are_not_run_together() -> None:
    values = {generator(0, 0, *words).bytes(8) for words in (("ab",), ("a", "b"), ('a", "b',), ("a,b",), ())}
    assert len(values) == 5


def test_streams_of_neighbouring_seeds_are_uncorrelated() -> None:
    streams = np.stack([generator(seed, replica, "x").standard_normal(4000) for seed in range(8) for replica in (0, 1)])
    correlations = np.asarray(np.corrcoef(streams))[np.triu_indices(16, 1)]
    # 120 pairs, standard error 1/sqrt(4000): 4.5 standard errors.
    assert np.abs(correlations).max() < 4.5 / np.sqrt(4000)


def test_numpy_integers_are_integers() -> None:
    assert generator(int(np.int64(3)), 0).random() == generator(np.int64(3), 0).random()  # type: ignore[arg-type]


@pytest.mark.parametrize("key", [(0.5, 0, "a"), ("1", 0, "a"), (0, None, "a"), (0, 0, 1)])
def test_wrong_types_are_refused(key: tuple[object, ...]) -> None:
    with pytest.raises(TypeError):
        generator(*key)  # type: ignore[arg-type]


@pytest.mark.parametrize("hash_seed", ["0", "1", "12345"])
def test_other_processes_and_hash_seeds(hash_seed: str) -> None:
    code = (
        "import sys; from notafluke.streams import generator, torch_seed; assert 'torch' not in sys.modules; "
        "print(generator(7, 0, 'data').integers(2**40), torch_seed(7, 0, 'data'))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    output = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert output.stdout.split() == [str(generator(7, 0, "data").integers(2**40)), str(torch_seed(7, 0, "data"))]
