"""P-value adjustments for a declared family of tests.

Every function takes p-values of shape (k,), k >= 0, and returns the adjusted ones in the same order. `m` is the
declared size of the family, at least k (default k); the m - k tests that gave no p-value count as p = 1. Adjusted
values are never below the raw ones nor above 1, keep their order, and a family of one is unchanged. All raise
ValueError for a p-value that is NaN or outside [0, 1] and for m < k.
"""

import operator
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from notafluke.stats._checks import FloatArray

Adjustment = Literal[
    "bonferroni", "holm", "hochberg", "sidak", "holm_sidak", "benjamini_hochberg", "benjamini_yekutieli"
]


def check_p_values(p_values: ArrayLike) -> FloatArray:
    """Return the p-values as a vector of shape (k,); ValueError for another shape, NaN and values outside [0, 1]."""
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1:
        raise ValueError(f"p_values must be one-dimensional, not of shape {p.shape}")
    # Written so that NaN fails, too.
    invalid = np.flatnonzero(~((p >= 0.0) & (p <= 1.0)))
    if invalid.size:
        raise ValueError(f"p_values holds {p[invalid[0]]} at position {invalid[0]}, which is no probability")
    return p


def _family(p_values: ArrayLike, m: int | None) -> tuple[FloatArray, int]:
    p = check_p_values(p_values)
    size = p.size if m is None else operator.index(m)
    if size < p.size:
        raise ValueError(f"the declared family size m = {size} is smaller than the {p.size} p-values")
    return p, size


def _bounded(adjusted: FloatArray, p: FloatArray) -> FloatArray:
    # Rounding may leave an adjusted value one unit in the last place below its raw p.
    return np.clip(adjusted, p, 1.0)


def _step(p: FloatArray, adjust_sorted: Callable[[FloatArray], FloatArray], *, up: bool) -> FloatArray:
    """Adjust the ascending p-values, make them monotone from below (step-down) or above (step-up), undo the order."""
    order = np.argsort(p, kind="stable")
    adjusted = adjust_sorted(p[order])
    result = np.empty_like(p)
    result[order] = np.minimum.accumulate(adjusted[::-1])[::-1] if up else np.maximum.accumulate(adjusted)
    return _bounded(result, p)


def step_down(p: FloatArray, adjust_sorted: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Adjust the ascending p-values, make them monotone from below, undo the order."""
    return _step(p, adjust_sorted, up=False)


def _any_of(p: FloatArray, sizes: FloatArray | int) -> FloatArray:
    """Return 1 - (1 - p)^sizes without cancellation."""
    with np.errstate(divide="ignore"):
        adjusted = -np.expm1(sizes * np.log1p(-p))
    return np.where(np.equal(sizes, 1), p, adjusted)


def bonferroni(p_values: ArrayLike, *, m: int | None = None) -> FloatArray:
    """Bonferroni: m p."""
    p, size = _family(p_values, m)
    return _bounded(size * p, p)


def sidak(p_values: ArrayLike, *, m: int | None = None) -> FloatArray:
    """Sidak (1967): 1 - (1 - p)^m."""
    p, size = _family(p_values, m)
    return _bounded(_any_of(p, size), p)


def holm(p_values: ArrayLike, *, m: int | None = None) -> FloatArray:
    """Holm (1979), step-down: max over j <= i of (m - j + 1) p_(j)."""
    p, size = _family(p_values, m)
    return _step(p, lambda ascending: (size - np.arange(p.size)) * ascending, up=False)


def holm_sidak(p_values: ArrayLike, *, m: int | None = None) -> FloatArray:
    """Holm's step-down with Sidak's formula: max over j <= i of 1 - (1 - p_(j))^(m - j + 1)."""
    p, size = _family(p_values, m)
    return _step(p, lambda ascending: _any_of(ascending, (size - np.arange(p.size)).astype(np.float64)), up=False)


def hochberg(p_values: ArrayLike, *, m: int | None = None) -> FloatArray:
    """Hochberg (1988), step-up: min over j >= i of (m - j + 1) p_(j)."""
    p, size = _family(p_values, m)
    return _step(p, lambda ascending: (size - np.arange(p.size)) * ascending, up=True)


def benjamini_hochberg(p_values: ArrayLike, *, m: int | None = None) -> FloatArray:
    """Benjamini and Hochberg (1995), false discovery rate: min over j >= i of m p_(j) / j."""
    p, size = _family(p_values, m)
    return _step(p, lambda ascending: size * ascending / np.arange(1, p.size + 1), up=True)


def benjamini_yekutieli(p_values: ArrayLike, *, m: int | None = None) -> FloatArray:
    """Benjamini and Yekutieli (2001), any dependence: Benjamini-Hochberg times 1 + 1/2 + ... + 1/m."""
    p, size = _family(p_values, m)
    penalty = float(np.sum(1.0 / np.arange(1, size + 1)))
    return _step(p, lambda ascending: penalty * size * ascending / np.arange(1, p.size + 1), up=True)


_METHODS = {
    "bonferroni": bonferroni,
    "holm": holm,
    "hochberg": hochberg,
    "sidak": sidak,
    "holm_sidak": holm_sidak,
    "benjamini_hochberg": benjamini_hochberg,
    "benjamini_yekutieli": benjamini_yekutieli,
}


def adjust(p_values: ArrayLike, method: Adjustment, m: int | None = None) -> FloatArray:
    """Adjust by the function called `method`; raises ValueError for an unknown name."""
    if method not in _METHODS:
        raise ValueError(f"method must be one of {get_args(Adjustment)}, not {method!r}")
    return _METHODS[method](p_values, m=m)
