"""Friedman's test across tasks and its critical values; rank 1 is the highest score, ties take the mean rank.

Mean ranks depend on which treatments are in the pool (Benavoli et al. 2016): for information, never for a verdict.
"""

import math
import operator
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import chdtrc, fdtrc, fdtri, log_ndtr, ndtri

from notafluke.stats._checks import DegenerateWarning, FloatArray, as_matrix, as_probability, check_open_unit

_STEP = 1 / 32


@dataclass(frozen=True, slots=True)
class RankTable:
    """Ranks of k treatments on n tasks: `ranks` of shape (n, k), `sums` of shape (k,)."""

    ranks: FloatArray
    sums: FloatArray
    n: int
    k: int

    @property
    def uncorrected(self) -> float:
        """Friedman's chi-squared without correction for ties."""
        excess = self.sums - self.n * (self.k + 1) / 2
        return 12.0 * float(np.square(excess).sum()) / (self.n * self.k * (self.k + 1))

    @property
    def tie_factor(self) -> float:
        """Variance of the ranks against that without ties: 1 without any, 0 when every task ties all treatments."""
        squares = float(np.square(self.ranks - (self.k + 1) / 2).sum())
        return 12.0 * squares / (self.n * self.k * (self.k**2 - 1))

    @property
    def agreement_p(self) -> float:
        """Chance that random rankings of all tasks agree: the convention where the statistic is infinite."""
        return as_probability(math.exp(-(self.n - 1) * math.lgamma(self.k + 1)))


def rank_table(scores: ArrayLike) -> RankTable:
    """Rank the scores of each task, rows = tasks, columns = treatments; infinite scores are ranked like any other.

    Raises ValueError for NaN, no scores and fewer than 2 treatments.
    """
    matrix = as_matrix(scores, "scores", infinite=True)
    n, k = matrix.shape
    if k < 2:
        raise ValueError("scores must hold at least 2 treatments (columns)")
    above = (matrix[:, None, :] > matrix[:, :, None]).sum(axis=2)
    equal = (matrix[:, None, :] == matrix[:, :, None]).sum(axis=2)
    ranks = above + (equal + 1) / 2
    return RankTable(ranks=ranks, sums=ranks.sum(axis=0), n=n, k=k)


@dataclass(frozen=True, slots=True)
class FriedmanResult:
    """Result of `friedman_test`: `statistic` is chi-squared corrected for ties, with `df` degrees of freedom.

    `uncorrected` is chi-squared without that correction, as in Demsar (2006), and `iman_davenport` the F made of it,
    with `df` and `df_error` degrees of freedom. `mean_ranks` are those of the k treatments over n tasks.
    """

    statistic: float
    p_value: float
    uncorrected: float
    p_uncorrected: float
    iman_davenport: float
    p_iman_davenport: float
    df: int
    df_error: int
    mean_ranks: tuple[float, ...]
    n: int
    k: int
    degenerate: bool


def friedman_test(scores: ArrayLike) -> FriedmanResult:
    """Test whether treatments differ in rank over tasks: rows = tasks, columns = treatments, higher is better.

    Friedman (1937), tie-corrected, and the less conservative F of Iman and Davenport (1980). Scores are ranked as they
    are; a failed run is -inf. Every task tied gives statistics of 0, p = 1 and a `DegenerateWarning`; full agreement of
    n tasks gives F = inf, with the chance k!^(1 - n) of such an agreement as its p; a single task F = 0 and p = 1.
    Raises ValueError for NaN, no scores and fewer than 2 treatments.
    """
    table = rank_table(scores)
    n, k = table.n, table.k
    degenerate = table.tie_factor == 0.0
    if degenerate:
        warnings.warn("all treatments tie on every task: there is no rank to test", DegenerateWarning, stacklevel=2)
    statistic = 0.0 if degenerate else table.uncorrected / table.tie_factor
    shortfall = n * (k - 1) - table.uncorrected
    if n == 1:
        f, p_f = 0.0, 1.0
    elif shortfall <= 1e-9 * n * k:
        f, p_f = math.inf, table.agreement_p
    else:
        f = (n - 1) * table.uncorrected / shortfall
        p_f = as_probability(float(fdtrc(k - 1, (k - 1) * (n - 1), f)))
    return FriedmanResult(
        statistic=statistic,
        p_value=as_probability(float(chdtrc(k - 1, statistic))),
        uncorrected=table.uncorrected,
        p_uncorrected=as_probability(float(chdtrc(k - 1, table.uncorrected))),
        iman_davenport=f,
        p_iman_davenport=p_f,
        df=k - 1,
        df_error=(k - 1) * (n - 1),
        mean_ranks=tuple((table.sums / n).tolist()),
        n=n,
        k=k,
        degenerate=degenerate,
    )


def _check_sizes(k: int, n: int = 1, alpha: float = 0.5) -> None:
    if operator.index(k) < 2:
        raise ValueError(f"k must be at least 2 treatments, not {k!r}")
    if operator.index(n) < 1:
        raise ValueError(f"n must be at least 1 task, not {n!r}")
    check_open_unit(alpha, "alpha")


def range_p(q: float, k: int) -> float:
    """Return P(the range of k independent standard normals > q), also where it is tiny (no 1 - cdf)."""
    if q <= 0.0:
        return 1.0
    # k phi(z) times the chance that the other k - 1 lie below z, but not all of them within q of it.
    z = np.arange(-12.0, 12.0 + q, _STEP)
    with np.errstate(divide="ignore"):
        some_beyond = -np.expm1((k - 1) * np.log1p(-np.exp(np.minimum(log_ndtr(z - q) - log_ndtr(z), 0.0))))
    density = np.exp((k - 1) * log_ndtr(z) - np.square(z) / 2) * some_beyond
    return as_probability(k * _STEP / math.sqrt(2 * math.pi) * math.fsum(density.tolist()))


def nemenyi_quantile(k: int, alpha: float = 0.05) -> float:
    """Return Nemenyi's q, the upper alpha quantile of the range of k normals / sqrt(2) (Demsar 2006, table 5a).

    Raises ValueError for k < 2 and alpha outside (0, 1).
    """
    _check_sizes(k, alpha=alpha)
    upper = 1.0
    while range_p(upper, k) > alpha:
        upper *= 2.0
    return float(brentq(lambda q: range_p(q, k) - alpha, 0.0, upper, xtol=1e-12)) / math.sqrt(2.0)


def bonferroni_dunn_quantile(k: int, alpha: float = 0.05) -> float:
    """Return the two-sided normal quantile at alpha / (k - 1), for k - 1 comparisons with a control (Dunn 1961).

    Raises ValueError for k < 2 and alpha outside (0, 1).
    """
    _check_sizes(k, alpha=alpha)
    return -float(ndtri(alpha / (2 * (k - 1))))


def mean_rank_standard_error(k: int, n: int) -> float:
    """Return sqrt(k (k + 1) / (6 n)), the SD of the difference of two mean ranks of k treatments on n tasks, no ties.

    Raises ValueError for k < 2 and n < 1.
    """
    _check_sizes(k, n)
    return math.sqrt(k * (k + 1) / (6 * n))


def nemenyi_critical_difference(k: int, n: int, alpha: float = 0.05) -> float:
    """Return by how much two of k mean ranks over n tasks must differ (Nemenyi 1963, all pairs; Demsar 2006).

    Raises ValueError for k < 2, n < 1 and alpha outside (0, 1).
    """
    _check_sizes(k, n, alpha)
    return nemenyi_quantile(k, alpha) * mean_rank_standard_error(k, n)


def bonferroni_dunn_critical_difference(k: int, n: int, alpha: float = 0.05) -> float:
    """Return by how much one of k - 1 mean ranks over n tasks must differ from that of the control (Dunn 1961).

    Raises ValueError for k < 2, n < 1 and alpha outside (0, 1).
    """
    _check_sizes(k, n, alpha)
    return bonferroni_dunn_quantile(k, alpha) * mean_rank_standard_error(k, n)


def iman_davenport_critical_value(k: int, n: int, alpha: float = 0.05) -> float:
    """Return the upper alpha quantile of F with k - 1 and (k - 1)(n - 1) degrees of freedom.

    Raises ValueError for k < 2, n < 2 and alpha outside (0, 1).
    """
    _check_sizes(k, n - 1, alpha)
    return float(fdtri(k - 1, (k - 1) * (n - 1), 1.0 - alpha))


def rank_cliques(mean_ranks: ArrayLike, different: ArrayLike) -> tuple[tuple[int, ...], ...]:
    """Return the bars of a critical-difference diagram: longest runs of ranks without a difference inside.

    `mean_ranks` of shape (k,), `different` of shape (k, k), true where two treatments differ (by the critical
    difference, or by their own Holm-adjusted p). Each bar holds 2 treatments or more, best first; ties by position.
    Raises ValueError for NaN, infinite ranks and another shape.
    """
    ranks = as_matrix(mean_ranks, "mean_ranks").ravel()
    apart = np.asarray(different, dtype=np.bool_)
    if apart.shape != (ranks.size, ranks.size):
        raise ValueError(f"different must be of shape {(ranks.size, ranks.size)}, not {apart.shape}")
    order = np.argsort(ranks, kind="stable")
    apart = (apart | apart.T)[np.ix_(order, order)]
    cliques: list[tuple[int, ...]] = []
    reached = 0
    for start in range(ranks.size):
        end = _clique_end(apart, start)
        if end > max(reached, start + 1):
            cliques.append(tuple(order[start:end].tolist()))
            reached = end
    return tuple(cliques)


def _clique_end(apart: NDArray[np.bool_], start: int) -> int:
    end = start + 1
    while end < len(apart) and not apart[start:end, end].any():
        end += 1
    return end
