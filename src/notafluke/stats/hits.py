"""Hits of a lottery: by chance hypergeometric in each draw, whatever is guessed, and independent from draw to draw."""

from __future__ import annotations

import functools
import math
import sys

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chisquare, hypergeom

Floats = NDArray[np.float64]
Rules = tuple[tuple[int, int, int], ...]
"""(drawn, numbers, draws): of each rule how many numbers are drawn, and guessed, out of how many, in how many draws."""

_ROUNDING = 1e-6
# The chi-squared approximation wants at least so many expected draws in each cell.
_LEAST_EXPECTED = 5


def total_hits_p(hits: Floats, drawn: Floats, numbers: Floats) -> float:
    """Return the exact two-sided p of the total hits [draws] by chance: twice the smaller tail, at most 1.

    Where predictions tie, hits are means over the ways to break the tie; they vary less than chance says.
    """
    law = total_hits_law(rules_of(drawn, numbers))
    total = float(hits.sum())
    at_least = law[max(0, math.ceil(total - _ROUNDING)) :].sum()
    at_most = law[: math.floor(total + _ROUNDING) + 1].sum()
    return float(min(1.0, max(2 * min(at_least, at_most), sys.float_info.min)))


def rules_of(drawn: Floats, numbers: Floats) -> Rules:
    """Return (drawn, numbers, draws) of each rule among the draws."""
    found, counts = np.unique(np.column_stack([drawn, numbers]).astype(np.int64), axis=0, return_counts=True)
    return tuple((int(own[0]), int(own[1]), int(count)) for own, count in zip(found, counts, strict=True))


@functools.lru_cache(maxsize=64)
def total_hits_law(rules: Rules) -> Floats:
    """Return P(total = 0, 1, ...) of independent hypergeometric hits, for rules (drawn, numbers, draws).

    By convolution, squaring again and again; all terms are positive, so that small tails are as exact as large ones.
    """
    law = np.ones(1)
    for drawn, numbers, draws in rules:
        power = hypergeom(numbers, drawn, drawn).pmf(np.arange(drawn + 1))
        while draws:
            if draws % 2:
                law = np.convolve(law, power)
            draws //= 2
            power = np.convolve(power, power) if draws else power
    law.flags.writeable = False
    return law


def fit_p(hits: Floats, drawn: Floats, numbers: Floats) -> float:
    """Return p of the chi-squared test that the hits of single draws are spread as the hypergeometric law says.

    Cells with fewer than five expected draws are put together, from the most hits down, then from none up. NaN where
    hits are not whole (ties), or fewer than two cells remain.
    """
    if not np.array_equal(hits, np.round(hits)):
        return math.nan
    most = int(drawn.max())
    expected = np.zeros(most + 1)
    for each, among, draws in rules_of(drawn, numbers):
        expected[: each + 1] += draws * hypergeom(among, each, each).pmf(np.arange(each + 1))
    observed = np.bincount(hits.astype(np.int64), minlength=most + 1).astype(np.float64)
    cells: list[list[float]] = []
    for pair in zip(observed[::-1].tolist(), expected[::-1].tolist(), strict=True):
        if cells and cells[-1][1] < _LEAST_EXPECTED:
            cells[-1] = [cells[-1][0] + pair[0], cells[-1][1] + pair[1]]
        else:
            cells.append(list(pair))
    if len(cells) > 1 and cells[-1][1] < _LEAST_EXPECTED:
        last = cells.pop()
        cells[-1] = [cells[-1][0] + last[0], cells[-1][1] + last[1]]
    if len(cells) < 2:
        return math.nan
    counts = np.array(cells)
    # The probabilities sum to 1 but for rounding, which scipy would refuse beyond 1.5e-8.
    return float(chisquare(counts[:, 0], counts[:, 1] * counts[:, 0].sum() / counts[:, 1].sum()).pvalue)
