"""An n-gram model of symbols with interpolated Witten-Bell smoothing: what counting alone gets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from notafluke.tasks.base import Float64, Int64


@dataclass(frozen=True, eq=False)
class _Level:
    """Counts after contexts of one length: the grams (context * size + symbol), ascending, and how often each came.

    A gram's place among the grams is its number as a context of the next longer length. total, kinds: by context, how
    many symbols followed it and how many different ones, 0 for what only ends the text.
    """

    grams: Int64
    counts: Int64
    total: Int64
    kinds: Int64


@dataclass(frozen=True, eq=False)
class NGram:
    """Probabilities of the next of `size` symbols, given up to `order` - 1 symbols before it.

    Interpolated Witten-Bell smoothing (Chen and Goodman 1999, section 2.5; Witten and Bell 1991, method C), h' the
    context h without its oldest symbol, N(h) how often h was followed by anything, T(h) by how many different symbols:

        p(c | h) = (count(h c) + T(h) p(c | h')) / (N(h) + T(h)),

    p(c | h') where h was never seen, and below the empty context 1 / size. So no symbol has the probability 0, and
    they sum to 1. An order of 1 is the unigram.
    """

    size: int
    levels: tuple[_Level, ...]

    @classmethod
    def fit(cls, codes: Int64, size: int, order: int) -> NGram:
        """Count the grams of up to `order` symbols in codes [symbols], each from 0 to size - 1, at least one."""
        levels: list[_Level] = []
        contexts, symbols, numbers = np.zeros(len(codes), dtype=np.int64), codes, 1
        while len(levels) < order and len(symbols) > 0:
            grams, number, counts = np.unique(contexts * size + symbols, return_inverse=True, return_counts=True)
            before = grams // size
            total = np.bincount(contexts, minlength=numbers)
            levels.append(_Level(grams, counts, total, np.bincount(before, minlength=numbers)))
            contexts, symbols, numbers = number[:-1], symbols[1:], len(grams)
        return cls(size, tuple(levels))

    def probabilities(self, codes: Int64) -> Float64:
        """Return the probability of each of codes [symbols] given those before it, float64 [symbols]."""
        result = np.full(len(codes), 1 / self.size)
        contexts = np.zeros(len(codes), dtype=np.int64)
        for level in self.levels:
            here = np.flatnonzero(contexts >= 0)
            here = here[level.total[contexts[here]] > 0]
            context = contexts[here]
            wanted = context * self.size + codes[here]
            place = np.minimum(np.searchsorted(level.grams, wanted), len(level.grams) - 1)
            known = level.grams[place] == wanted
            counts, kinds = np.where(known, level.counts[place], 0), level.kinds[context]
            result[here] = (counts + kinds * result[here]) / (level.total[context] + kinds)
            # The gram at a position is the context of the position after it; -1 where it was never seen.
            contexts = np.full(len(codes), -1, dtype=np.int64)
            after = here[known] + 1
            inside = after < len(codes)
            contexts[after[inside]] = place[known][inside]
        return result

    def bits(self, codes: Int64) -> float:
        """Return the mean of -log2 p over codes from the second on, given all before: the first is given."""
        return float(-np.log2(self.probabilities(codes)[1:]).mean())
