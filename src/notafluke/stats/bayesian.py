"""Bayesian comparisons with a region of practical equivalence, ROPE (Benavoli, Corani, Demsar and Zaffalon 2017).

`differences` are treatment - control; a difference of exactly +-rope lies inside the ROPE. Differences are first
rounded to 12 significant digits of `scale`, the largest |score| (see `round_significant`). `rng` is a Generator or a
seed; None is seed 0.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr

from notafluke.stats._checks import DegenerateWarning, FloatArray, as_vector
from notafluke.stats.rounding import round_significant
from notafluke.stats.sign_flip import DEFAULT_SEED
from notafluke.stats.t_tests import moments

Region = Literal["worse", "equivalent", "better"]

DEFAULT_DRAWS = 50_000
_CHUNK = 1_000_000


@dataclass(frozen=True, slots=True)
class BayesianRankResult:
    """Result of the Bayesian sign and signed-rank tests.

    The posterior probabilities that the region below, inside or above the ROPE holds the largest share of
    differences (not the shares themselves), and the numbers of differences in the regions.
    """

    p_worse: float
    p_equivalent: float
    p_better: float
    worse: int
    equivalent: int
    better: int
    rope: float
    draws: int


def _check_rope(rope: float) -> None:
    if not (math.isfinite(rope) and rope >= 0.0):
        raise ValueError(f"rope must be finite and not negative, not {rope!r}")


def _check_sampling(prior: float, draws: int) -> None:
    if not (math.isfinite(prior) and prior >= 0.0):
        raise ValueError(f"prior must be finite and not negative, not {prior!r}")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, not {draws!r}")


def _counts(differences: FloatArray, rope: float) -> tuple[int, int, int]:
    """Count the differences below, inside and above the ROPE."""
    worse, better = int(np.count_nonzero(differences < -rope)), int(np.count_nonzero(differences > rope))
    return worse, differences.size - worse - better, better


def _rank_result(wins: FloatArray, differences: FloatArray, rope: float, draws: int) -> BayesianRankResult:
    worse, equivalent, better = _counts(differences, rope)
    p_worse, p_equivalent, p_better = (wins / draws).tolist()
    return BayesianRankResult(
        p_worse=p_worse,
        p_equivalent=p_equivalent,
        p_better=p_better,
        worse=worse,
        equivalent=equivalent,
        better=better,
        rope=float(rope),
        draws=draws,
    )


def bayesian_sign_test(
    differences: ArrayLike,
    rope: float = 0.0,
    *,
    prior: float = 1.0,
    prior_place: Region = "equivalent",
    draws: int = DEFAULT_DRAWS,
    rng: np.random.Generator | int | None = None,
    scale: float | None = None,
) -> BayesianRankResult:
    """Return how probably most differences, shape (n,), lie below, inside or above the ROPE.

    Monte-Carlo over the Dirichlet posterior of the three shares, with `prior` pseudo-observations at `prior_place`.
    Failed pairs are +-inf.
    Raises ValueError for NaN, an empty vector, a negative rope or prior, draws below 1 and an unknown place.
    """
    _check_rope(rope)
    _check_sampling(prior, draws)
    if prior_place not in get_args(Region):
        raise ValueError(f"prior_place must be one of {get_args(Region)}, not {prior_place!r}")
    rounded = round_significant(differences, scale)
    shapes = np.array(_counts(rounded, rope), dtype=np.float64)
    shapes[get_args(Region).index(prior_place)] += prior
    generator = np.random.default_rng(DEFAULT_SEED if rng is None else rng)
    # Gamma variables are Dirichlet shares but for their sum, which does not change which one is the largest.
    largest = generator.standard_gamma(shapes, size=(draws, 3)).argmax(axis=1)
    return _rank_result(np.bincount(largest, minlength=3).astype(np.float64), rounded, rope, draws)


def bayesian_signed_rank_test(
    differences: ArrayLike,
    rope: float = 0.0,
    *,
    prior: float = 0.6,
    draws: int = DEFAULT_DRAWS,
    rng: np.random.Generator | int | None = None,
    scale: float | None = None,
) -> BayesianRankResult:
    """Return how probably most averages of two differences, shape (n,), lie below, inside or above the ROPE.

    Monte-Carlo over the Dirichlet process: the differences and one pseudo-observation of 0 with weight `prior` get
    random weights, and each pair of them, a value with itself included, counts by the product of their weights.
    Raises ValueError for NaN, infinite values, an empty vector, a negative rope or prior and draws below 1.
    """
    _check_rope(rope)
    _check_sampling(prior, draws)
    rounded = np.sort(round_significant(as_vector(differences, "differences"), scale))
    values = np.concatenate([[0.0], rounded])
    sums = round_significant((values[:, None] + values[None, :]).ravel()).reshape(values.size, values.size)
    below, above = (sums < -2 * rope).astype(np.float64), (sums > 2 * rope).astype(np.float64)
    generator = np.random.default_rng(DEFAULT_SEED if rng is None else rng)
    shapes = np.concatenate([[prior], np.ones(rounded.size)])
    wins = np.zeros(3)
    chunk = max(1, _CHUNK // values.size)
    for start in range(0, draws, chunk):
        weights = generator.standard_gamma(shapes, size=(min(chunk, draws - start), values.size))
        weights /= weights.sum(axis=1, keepdims=True)
        worse, better = (np.einsum("ij,ij->i", weights @ region, weights) for region in (below, above))
        shares = np.stack([worse, 1.0 - worse - better, better], axis=1)
        wins += np.bincount(shares.argmax(axis=1), minlength=3)
    return _rank_result(wins, rounded, rope, draws)


@dataclass(frozen=True, slots=True)
class CorrelatedTResult:
    """Result of `bayesian_correlated_t_test`: the posterior of the mean difference and its shares around the ROPE.

    The posterior is Student's t with `df` degrees of freedom, location `mean` and squared scale `variance`.
    """

    p_worse: float
    p_equivalent: float
    p_better: float
    mean: float
    variance: float
    df: int
    rope: float
    degenerate: bool


def bayesian_correlated_t_test(differences: ArrayLike, rope: float = 0.0, *, runs: int = 1) -> CorrelatedTResult:
    """Return the posterior of the mean difference of `runs` runs of cross-validation, shape (runs * folds,).

    Training sets overlap, so differences correlate with rho = 1 / folds: the variance of the mean is
    s^2 (1 / n + rho / (1 - rho)) (Nadeau and Bengio 2003; Corani and Benavoli 2015). For independent seeds use
    `tost`. Constant differences put all mass on their value and give a `DegenerateWarning`.
    Raises ValueError for NaN, infinite values, a negative rope and a number of differences that is not runs * folds
    with 2 folds or more.
    """
    _check_rope(rope)
    sample = moments(as_vector(differences, "differences"))
    if runs < 1 or sample.n % runs or sample.n // runs < 2:
        raise ValueError(f"{sample.n} differences are not {runs!r} runs of cross-validation with 2 folds or more")
    correlation = runs / sample.n
    variance = sample.sd**2 * (1.0 / sample.n + correlation / (1.0 - correlation))
    df = sample.n - 1
    if sample.degenerate:
        warnings.warn("differences without variance: the posterior is a single point", DegenerateWarning, stacklevel=2)
        p_worse, p_better = float(sample.mean < -rope), float(sample.mean > rope)
    else:
        spread = math.sqrt(variance)
        p_worse = float(stdtr(df, (-rope - sample.mean) / spread))
        p_better = float(stdtr(df, (sample.mean - rope) / spread))
    return CorrelatedTResult(
        p_worse=p_worse,
        p_equivalent=max(1.0 - p_worse - p_better, 0.0),
        p_better=p_better,
        mean=sample.mean,
        variance=variance,
        df=df,
        rope=float(rope),
        degenerate=sample.degenerate,
    )
