"""Group-sequential tests: boundaries by alpha spending, and the p-value of a test that is looked at several times.

`looks` are the planned sample sizes of all K looks, n_1 < ... < n_K; look k has the information fraction n_k / n_K. The
statistics are those of a random walk, corr(z_j, z_k) = sqrt(n_j / n_k): exact for means of normal differences with
known variance, the usual approximation for t-tests and rank tests.

`sides` is 2 for a two-sided test with symmetric boundaries, where each side spends alpha / 2 (DeMets and Lan 1994), and
1 for a one-sided test with an upper boundary only, whose alpha is below 1/2.
"""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr, ndtri, ndtri_exp

from notafluke.stats._checks import SMALLEST_P, FloatArray, as_probability, as_vector, check_open_unit

Spending = Literal["obrien_fleming", "pocock"]
Sides = Literal[1, 2]

# Inside, alpha is said by x, the upper alpha / (2 sides) quantile of the normal distribution: alpha = sides / 2 is the
# smallest x, and beyond the largest one lies the end of the float range.
_SMALLEST_X = -float(ndtri(0.25))
_LARGEST_X = 38.5
# Levels are interpolated between these, which lie closer where the last boundary falls to 0.
_GRID = np.concatenate([np.geomspace(1e-5, 0.1, 45) - 1e-5, np.geomspace(0.11, _LARGEST_X, 145)]) + _SMALLEST_X

# 16 Gauss-Legendre points on a panel of 4 standard deviations integrate a normal density to rounding error.
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_PANEL = 4.0
_MOST_PANELS = 128
# P(Z > 40) is no float any more; what lies 9 standard deviations off, or below -12, adds nothing to an upper tail.
_LARGEST_Z = 40.0
_REACH = 9.0
_LOWEST_Z = -12.0


def _checked_looks(looks: Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(operator.index(size) for size in looks)
    if not sizes:
        raise ValueError("looks is empty")
    if sizes[0] < 1 or any(first >= second for first, second in pairwise(sizes)):
        raise ValueError(f"looks must be ascending sample sizes of at least 1, not {sizes}")
    return sizes


def _check_design(spending: str, sides: int) -> None:
    if spending not in get_args(Spending):
        raise ValueError(f"spending must be one of {get_args(Spending)}, not {spending!r}")
    if sides not in get_args(Sides):
        raise ValueError(f"sides must be one of {get_args(Sides)}, not {sides!r}")


def _check_alpha(alpha: float, sides: int) -> None:
    check_open_unit(alpha, "alpha")
    if sides == 1 and alpha >= 0.5:
        raise ValueError(f"alpha of a one-sided sequential test must lie below 0.5, not {alpha!r}")


def _quantile(alpha: float, sides: int) -> float:
    return -float(ndtri(alpha / sides / 2))


def _log_spent(fractions: FloatArray, x: float, spending: str) -> FloatArray:
    """Return the logarithm of the level that one side has spent at each fraction, shape (K,)."""
    if spending == "obrien_fleming":
        return np.asarray(math.log(2.0) + log_ndtr(-x / np.sqrt(fractions)))
    return np.asarray(math.log(2.0) + log_ndtr(-x) + np.log(np.log1p((math.e - 1.0) * fractions)))


def spent(fraction: float, alpha: float, spending: Spending = "obrien_fleming", sides: Sides = 2) -> float:
    """Return the level that a test of overall level alpha has spent at an information fraction (Lan and DeMets 1983).

    Each side with its share a of alpha has spent 2 - 2 Phi(z(a / 2) / sqrt(t)) by "obrien_fleming" and
    a ln(1 + (e - 1) t) by "pocock" at the fraction t. Nothing is spent at 0 and all at 1.
    Raises ValueError for a fraction outside [0, 1], alpha outside (0, 1) or an unknown spending.
    """
    _check_design(spending, sides)
    _check_alpha(alpha, sides)
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"fraction must lie between 0 and 1, not {fraction!r}")
    if fraction in (0.0, 1.0):
        return float(fraction * alpha)
    return sides * math.exp(float(_log_spent(np.array([fraction]), _quantile(alpha, sides), spending)[0]))


def _panels(low: float, high: float, width: float) -> tuple[FloatArray, FloatArray]:
    """Return points and weights for the integral from low to high of functions with details of the given width."""
    number = min(max(math.ceil((high - low) / (_PANEL * width)), 1), _MOST_PANELS)
    half = (high - low) / number / 2
    middles = low + half * (2 * np.arange(number) + 1)
    return (middles[:, None] + half * _POINTS).ravel(), np.tile(half * _WEIGHTS, number)


def _boundary(log_density: FloatArray, means: FloatArray, sd: float, log_level: float, bound: float) -> float:
    """Return the boundary in [0, bound] that is first crossed at this look with a chance of exp(log_level).

    `log_density` is that of the points of the last look that no look has rejected, with their quadrature weights, and
    `means` and `sd` those of z given these points.
    """

    def excess(boundary: float) -> float:
        logs = log_density + log_ndtr((means - boundary) / sd)
        largest = float(logs.max())
        return largest + math.log(float(np.exp(logs - largest).sum())) - log_level

    if excess(0.0) <= 0.0:
        return 0.0
    return float(brentq(excess, 0.0, bound, xtol=1e-13, rtol=1e-14)) if excess(bound) < 0.0 else bound


def _upper_boundaries(fractions: tuple[float, ...], x: float, spending: str, sides: int) -> FloatArray:
    """Return the upper boundaries, shape (K,), by recursive integration (Armitage, McPherson and Rowe 1969).

    The recursion runs on P(not crossed at looks 1..k - 1 | z_k), where z_(k-1) given z_k is normal with mean rho z_k
    and variance 1 - rho^2 = sd^2. Unlike the density of z_k that Jennison and Turnbull (2000, ch. 19) integrate, it
    never underflows, so that the tails keep their relative precision however small alpha is.
    """
    t = np.array(fractions)
    log_spent = _log_spent(t, x, spending)
    with np.errstate(divide="ignore"):
        log_steps = log_spent[1:] + np.log1p(-np.exp(log_spent[:-1] - log_spent[1:]))
    # P(z_k > c) is at least the chance that c is first crossed at look k, which is spent there.
    bounds = -np.asarray(ndtri_exp(np.concatenate([log_spent[:1], log_steps])))
    reach = float(np.max(bounds, initial=0.0, where=bounds <= _LARGEST_Z)) + _REACH
    rhos, sds = np.sqrt(t[:-1] / t[1:]).tolist(), np.sqrt(np.diff(t) / t[1:]).tolist()
    z = bounds.copy()
    points, mass = np.empty(0), np.empty(0)
    for last, (rho, sd) in enumerate(zip(rhos, sds, strict=True)):
        high = min(float(z[last]), reach)
        low = max(-high, _LOWEST_Z) if sides == 2 else _LOWEST_Z
        earlier, earlier_mass = points, mass
        points, weights = _panels(low, high, min(sds[max(last - 1, 0) : last + 1]))
        not_crossed = np.ones(points.shape)
        if last:
            distance = (earlier - rhos[last - 1] * points[:, None]) / sds[last - 1]
            not_crossed = np.exp(-0.5 * distance * distance) @ earlier_mass / (sds[last - 1] * math.sqrt(2 * math.pi))
        mass = weights * not_crossed
        if bounds[last + 1] <= _LARGEST_Z:
            with np.errstate(divide="ignore"):
                log_density = np.log(mass) - 0.5 * points * points - 0.5 * math.log(2 * math.pi)
            z[last + 1] = _boundary(log_density, rho * points, sd, float(log_steps[last]), float(bounds[last + 1]))
    return z


@dataclass(frozen=True, slots=True)
class SequentialBoundaries:
    """Result of `boundaries`, one value for each look.

    `spent` is the level spent so far, `z` the boundary of |z| (of z for one side) and `nominal` the level of that look,
    2 Phi(-z) two-sided: the look rejects when its own p is no larger. It is 0 where it lies below the float range.
    """

    looks: tuple[int, ...]
    fractions: tuple[float, ...]
    spent: tuple[float, ...]
    z: tuple[float, ...]
    nominal: tuple[float, ...]
    alpha: float
    spending: Spending
    sides: Sides


@lru_cache(maxsize=1024)
def _boundaries(looks: tuple[int, ...], alpha: float, spending: Spending, sides: Sides) -> SequentialBoundaries:
    fractions = tuple(size / looks[-1] for size in looks)
    z = _upper_boundaries(fractions, _quantile(alpha, sides), spending, sides)
    total = tuple(spent(fraction, alpha, spending, sides) for fraction in fractions)
    return SequentialBoundaries(
        looks=looks,
        fractions=fractions,
        spent=total,
        z=tuple(z.tolist()),
        # The first look has spent just its own level; so the only look of K = 1 has exactly alpha.
        nominal=(total[0], *(sides * ndtr(-z[1:])).tolist()),
        alpha=alpha,
        spending=spending,
        sides=sides,
    )


def boundaries(
    looks: Sequence[int], alpha: float = 0.05, spending: Spending = "obrien_fleming", sides: Sides = 2
) -> SequentialBoundaries:
    """Return the boundaries of a group-sequential test of overall level alpha that looks at the given sample sizes.

    By recursive numerical integration: relative error of the levels below 1e-8 when looks are 0.1 % or more apart.
    Raises ValueError for looks that are empty or not ascending, alpha outside (0, 1) (one-sided (0, 0.5)), an unknown
    spending and sides other than 1 and 2.
    """
    sizes = _checked_looks(looks)
    _check_design(spending, sides)
    _check_alpha(alpha, sides)
    return _boundaries(sizes, float(alpha), spending, sides)


def nominal_level(
    alpha: float,
    looks: Sequence[int],
    look_number: int,
    spending: Spending = "obrien_fleming",
    sides: Sides = 2,
) -> float:
    """Return the level at which look `look_number` (1..K) tests when all looks together have the level alpha.

    Raises ValueError as `boundaries` does, and for a look number that is not planned.
    """
    levels = boundaries(looks, alpha, spending, sides).nominal
    if not 1 <= operator.index(look_number) <= len(levels):
        raise ValueError(f"look_number must be 1 to {len(levels)}, not {look_number!r}")
    return levels[look_number - 1]


@lru_cache(maxsize=64)
def _inverses(fractions: tuple[float, ...], spending: str, sides: int) -> tuple[CubicSpline, ...]:
    """Return for each look x as a function of its boundary; the two are nearly proportional."""
    z = np.array([_upper_boundaries(fractions, x, spending, sides) for x in _GRID.tolist()])
    return tuple(CubicSpline(column, _GRID) for column in z.T)


def sequential_p(
    p_values: ArrayLike, looks: Sequence[int], spending: Spending = "obrien_fleming", sides: Sides = 2
) -> float:
    """Return the sequential p-value: the smallest overall level at which some look so far rejects (Liu, Anderson 2008).

    `p_values` are those of looks 1..k, shape (k,), k <= K, each from all its data as if it were the only look (a look
    that was left out counts as p = 1); `looks` are all K planned ones. Comparing the result with alpha at every look
    keeps the level alpha, and Holm's adjustment of such p-values the family-wise error (Maurer and Bretz 2013).

    It is never below the smallest of the `p_values`, never grows with further looks, and for K = 1 is the p-value
    itself. A p above what its look spends at the largest level (1, one-sided 1/2) counts as 1. Interpolated
    in a table of 190 levels for each look, made once: relative error below 1e-6 from 1e-8 to 0.5, 5e-6 above.
    Raises ValueError for p-values that are no probabilities or more than looks, and as `boundaries` does.
    """
    sizes = _checked_looks(looks)
    _check_design(spending, sides)
    p = as_vector(p_values, "p_values")
    if p.min() < 0.0 or p.max() > 1.0:
        raise ValueError(f"p_values holds a value outside [0, 1]: {p.tolist()}")
    if p.size > len(sizes):
        raise ValueError(f"{p.size} p-values are more than the {len(sizes)} planned looks")
    if len(sizes) == 1:
        return as_probability(p[0])
    z = -ndtri(np.maximum(p, SMALLEST_P) / sides)
    inverses = _inverses(tuple(size / sizes[-1] for size in sizes), spending, sides)
    levels = [1.0]
    for own_p, own_z, inverse in zip(p.tolist(), z.tolist(), inverses, strict=False):
        if own_z > inverse.x[0]:
            x = float(inverse(min(own_z, inverse.x[-1])))
            levels.append(max(2 * sides * float(ndtr(-x)), own_p))
    return as_probability(min(levels))
