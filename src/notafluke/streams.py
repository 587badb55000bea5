"""Streams of random numbers: one of its own for each (seed, replica, purpose), the same on every machine."""

from __future__ import annotations

import hashlib
import json
import operator

import numpy as np


def generator(seed: int, replica: int, *purpose: str) -> np.random.Generator:
    """Return the NumPy generator of (seed, replica, purpose), at its beginning.

    SHA-256 of the three gives the seed sequence of a PCG64, so that no stream depends on another, on the order of the
    calls, on the platform, the Python version or PYTHONHASHSEED. `replica` tells the two arms of an A/A comparison
    apart; `purpose` is one or more words: `generator(3, 0, "data", "train")`.

    Raises TypeError when the seed or the replica is not whole or a word of the purpose is not a string.
    """
    entropy = int.from_bytes(_digest(seed, replica, purpose), "big")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def torch_seed(seed: int, replica: int, *purpose: str) -> int:
    """Return a whole number in [0, 2^63) for `torch.Generator().manual_seed`, derived as in `generator`."""
    return int.from_bytes(_digest(seed, replica, purpose)[:8], "big") >> 1


def _digest(seed: int, replica: int, purpose: tuple[str, ...]) -> bytes:
    """Return 32 bytes for (seed, replica, purpose); JSON keeps ("a", "b") and ("ab",) apart."""
    if not all(isinstance(word, str) for word in purpose):
        raise TypeError(f"the purpose of a stream is made of strings, not {purpose!r}")
    text = json.dumps([operator.index(seed), operator.index(replica), *purpose], ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).digest()
