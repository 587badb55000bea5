"""The sign-flip (paired randomisation) test of the mean difference."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from notafluke.stats._checks import (
    Alternative,
    as_probability,
    as_vector,
    check_alternative,
    smallest_attainable_p,
)
from notafluke.stats.ranks import signed_ranks
from notafluke.stats.rounding import whole_units

LARGEST_EXACT_N = 20
DEFAULT_DRAWS = 99_999
DEFAULT_SEED = 0
_CHUNK = 4_000_000

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SignFlipResult:
    """Result of `sign_flip_test`.

    `statistic` is the mean difference, or the mean signed rank where `on_ranks`; `draws` is None for the exact test;
    `smallest_p` is the smallest p that could have come out.
    """

    statistic: float
    p_value: float
    n: int
    n_nonzero: int
    smallest_p: float
    alternative: Alternative
    draws: int | None
    on_ranks: bool


def _signed_units(differences: ArrayLike, scale: float | None) -> tuple[IntArray, float, bool]:
    """Return the non-zero differences in whole units, ordered by magnitude, with the statistic and `on_ranks`."""
    vector = as_vector(differences, "differences", infinite=True)
    if np.isinf(vector).any():
        ranks = signed_ranks(vector, scale=scale)
        signed = np.concatenate([ranks.positive, -ranks.negative])
        units, statistic, on_ranks = np.rint(2 * signed), float(signed.sum()) / vector.size, True
    else:
        # The mean is scaled down first so that the sum of huge values cannot overflow.
        exponent = math.frexp(float(np.abs(vector).max()))[1]
        mean = math.fsum(np.ldexp(vector, -exponent).tolist()) / vector.size
        units, statistic, on_ranks = whole_units(vector, scale), math.ldexp(mean, exponent), False
    units = units[units != 0.0].astype(np.int64)
    # A fixed order makes the random draws belong to the magnitudes, not to the position of a pair in the input.
    return units[np.argsort(np.abs(units), kind="stable")], statistic, on_ranks


def _count_as_extreme(sums: IntArray, observed: int, alternative: Alternative) -> int:
    """Count the sums that speak at least as much for the alternative as the observed one.

    "less" is "greater" with all signs turned, drawn ones included: swapping the arms then mirrors the test exactly.
    """
    if alternative == "two-sided":
        return int(np.count_nonzero(np.abs(sums) >= abs(observed)))
    return int(np.count_nonzero(sums >= (observed if alternative == "greater" else -observed)))


def _exact_p(units: IntArray, alternative: Alternative) -> float:
    sums = np.zeros(1, dtype=np.int64)
    for magnitude in np.abs(units):
        sums = np.concatenate([sums - magnitude, sums + magnitude])
    return _count_as_extreme(sums, int(units.sum()), alternative) / sums.size


def _monte_carlo_p(units: IntArray, alternative: Alternative, draws: int, rng: np.random.Generator) -> float:
    magnitudes, observed = np.abs(units), int(units.sum())
    as_extreme = 0
    chunk = max(1, _CHUNK // max(1, units.size))
    for start in range(0, draws, chunk):
        negative = rng.integers(0, 2, size=(min(chunk, draws - start), units.size), dtype=np.int8)
        sums = int(magnitudes.sum()) - 2 * (negative.astype(np.int64) @ magnitudes)
        as_extreme += _count_as_extreme(sums, observed, alternative)
    return (as_extreme + 1) / (draws + 1)


def sign_flip_test(
    differences: ArrayLike,
    alternative: Alternative = "two-sided",
    draws: int | None = None,
    rng: np.random.Generator | int | None = None,
    *,
    scale: float | None = None,
) -> SignFlipResult:
    """Test the mean of paired differences (treatment - control), shape (n,), by flipping their signs.

    Exact over all 2^n assignments (Fisher 1935, sec. 21) while `draws` is None and there are at most 20 non-zero pairs
    (a zero only repeats every assignment). Otherwise Monte-Carlo with `draws` (default 99,999) assignments and
    p = (1 + hits) / (1 + draws) (Phipson and Smyth 2010), never below the smallest p of the exact test. `rng` is a
    Generator or a seed; None is seed 0, so equal input gives an equal p, whatever the order of the pairs.

    A mean of failed pairs (+-inf) does not exist: one failed pair switches the test to Pratt's signed ranks, with the
    failed pairs at the largest rank; `on_ranks` says so. Differences are rounded to 12 significant digits of `scale`,
    the largest |score| (default: the largest |difference|), so that equal sums tie. All zeros give p = 1.
    Raises ValueError for NaN, an empty vector, an unknown alternative or draws below 1.
    """
    check_alternative(alternative)
    if draws is not None and draws < 1:
        raise ValueError(f"draws must be at least 1, not {draws!r}")
    units, statistic, on_ranks = _signed_units(differences, scale)
    smallest_p = smallest_attainable_p(units.size, alternative)
    if draws is None and units.size > LARGEST_EXACT_N:
        draws = DEFAULT_DRAWS
    if draws is None:
        p_value = _exact_p(units, alternative)
    else:
        generator = np.random.default_rng(DEFAULT_SEED if rng is None else rng)
        smallest_p = max(smallest_p, 1 / (draws + 1))
        p_value = max(_monte_carlo_p(units, alternative, draws, generator), smallest_p)
    return SignFlipResult(
        statistic=statistic,
        p_value=as_probability(p_value),
        n=int(np.size(differences)),
        n_nonzero=int(units.size),
        smallest_p=smallest_p,
        alternative=alternative,
        draws=draws,
        on_ranks=on_ranks,
    )
