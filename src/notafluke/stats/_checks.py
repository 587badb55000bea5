"""Argument checks shared by the statistics: clear refusals instead of NaN results."""

import math
import sys
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Alternative = Literal["two-sided", "less", "greater"]

SMALLEST_P = sys.float_info.min


class DegenerateWarning(UserWarning):
    """Differences without any variance: the result follows a documented convention, not the usual formula."""


def check_alternative(alternative: str) -> None:
    """Raise ValueError unless `alternative` is one of `Alternative`."""
    if alternative not in get_args(Alternative):
        raise ValueError(f"alternative must be one of {get_args(Alternative)}, not {alternative!r}")


def check_open_unit(value: float, name: str) -> None:
    """Raise ValueError unless 0 < value < 1 (alpha, power, confidence)."""
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name} must lie strictly between 0 and 1, not {value!r}")


def as_vector(values: ArrayLike, name: str, *, infinite: bool = False) -> FloatArray:
    """Return `values` as a float vector of shape (n,), n >= 1.

    Raises ValueError for another shape, an empty vector, NaN, and, unless `infinite`, for +-inf.
    """
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, not of shape {vector.shape}")
    if vector.size == 0:
        raise ValueError(f"{name} is empty")
    missing = np.flatnonzero(np.isnan(vector))
    if missing.size:
        raise ValueError(
            f"{name} holds NaN at position {missing[0]}: leave an absent pair out, and mark a failed one with +-inf"
        )
    if not infinite and np.isinf(vector).any():
        raise ValueError(
            f"{name} holds an infinite value (a failed pair): it has no mean, use the rank-based statistics"
        )
    return vector


def as_matrix(values: ArrayLike, name: str, *, infinite: bool = False) -> FloatArray:
    """Return `values` as a float matrix of shape (rows, columns), neither 0; a vector becomes one column.

    Raises ValueError for more dimensions, an empty matrix, NaN, and, unless `infinite`, for +-inf.
    """
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim not in (1, 2):
        raise ValueError(f"{name} must have one or two dimensions, not shape {matrix.shape}")
    as_vector(matrix.ravel(), name, infinite=infinite)
    return matrix.reshape(matrix.shape[0], -1)


def paired_vectors(x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return finite `x` and `y` of one shape (n,); `y` may be a single number, the baseline of every pair.

    Raises ValueError for unequal lengths and for everything `as_vector` refuses.
    """
    first = as_vector(x, "x")
    second = as_vector(np.full(first.shape, y) if np.ndim(y) == 0 else y, "y")
    if first.shape != second.shape:
        raise ValueError(f"x and y are not paired: {first.size} against {second.size} values")
    return first, second


def largest_magnitude(*vectors: FloatArray) -> float:
    """Return the largest finite |value| of all vectors, 0 when there is none."""
    finite = np.abs(np.concatenate(vectors))
    finite = finite[np.isfinite(finite)]
    return float(finite.max()) if finite.size else 0.0


def as_probability(p: float) -> float:
    """Clip a computed p into (0, 1]: a tail that underflows is reported as the smallest positive normal float."""
    return min(max(float(p), SMALLEST_P), 1.0)


def smallest_attainable_p(n_nonzero: int, alternative: Alternative) -> float:
    """Return the smallest p of an exact sign-flip or signed-rank test: 2/2^n two-sided, 1/2^n one-sided."""
    sides = 2.0 if alternative == "two-sided" else 1.0
    return as_probability(math.ldexp(sides, -n_nonzero))
