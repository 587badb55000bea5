"""Rounding before ranking, so that floating-point noise neither makes nor breaks a tie."""

import math
from decimal import Decimal

import numpy as np
from numpy.typing import ArrayLike

from notafluke.stats._checks import FloatArray, as_vector, largest_magnitude

DIGITS = 12
_LARGEST_POWER = 300


def _shift_decimal_point(values: FloatArray, places: int) -> FloatArray:
    # Powers of ten beyond 1e308 do not exist as floats, hence the two steps; dividing by a positive power keeps
    # the results of decimal inputs correctly rounded, which multiplying by 10**-k would not.
    first = max(-_LARGEST_POWER, min(_LARGEST_POWER, places))
    for step in (first, places - first):
        values = values * 10.0**step if step >= 0 else values / 10.0**-step
    return values


def _decimals(scale: float, digits: int) -> int:
    # The shortest decimal form: 1e-6 has its first digit in the sixth place, though the float lies just below it.
    return digits - 1 - Decimal(repr(float(scale))).adjusted()


def whole_units(differences: FloatArray, scale: float | None = None, digits: int = DIGITS) -> FloatArray:
    """Return the differences as whole multiples of the last of `digits` significant digits of `scale`.

    `scale` is the largest |score|; None stands for the largest finite |difference|. Shape (n,) is kept, +-inf stay.
    Equal rounded differences give equal units, and sums of units are exact below 2^53.
    """
    if scale is None:
        scale = largest_magnitude(differences)
    if not (math.isfinite(scale) and scale >= 0.0):
        raise ValueError(f"scale must be finite and not negative, not {scale!r}")
    if not 1 <= digits <= 15:
        raise ValueError(f"digits must be 1 to 15, not {digits!r}")
    if largest_magnitude(differences) > 2.0 * scale:
        raise ValueError(f"scale = {scale!r} is no largest |score|: a difference is more than twice as large")
    if scale == 0.0:
        return differences + 0.0
    return np.rint(_shift_decimal_point(differences, _decimals(scale, digits))) + 0.0


def round_significant(differences: ArrayLike, scale: float | None = None, digits: int = DIGITS) -> FloatArray:
    """Round differences to `digits` significant digits of `scale`, the largest |score| behind them.

    Differences of shape (n,) may hold +-inf, which stay. Without `scale` the largest finite |difference| is used, which
    is the finest rounding that the convention of `reference/statistics.md` allows when the scores are unknown.
    Raises ValueError for NaN, for a scale that is negative, infinite or less than half of a |difference| (no largest
    |score| can be) and for digits outside 1 to 15.
    """
    vector = as_vector(differences, "differences", infinite=True)
    if scale is None:
        scale = largest_magnitude(vector)
    units = whole_units(vector, scale, digits)
    return units if scale == 0.0 else _shift_decimal_point(units, -_decimals(scale, digits))
