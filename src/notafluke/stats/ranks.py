"""Signed ranks of paired differences: zeros, ties and failed runs."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from notafluke.stats._checks import FloatArray, as_vector
from notafluke.stats.rounding import whole_units

Zeros = Literal["pratt", "wilcox", "zsplit"]


@dataclass(frozen=True, slots=True)
class SignedRanks:
    """Ranks of |difference|, split by sign; shapes (n_positive,), (n_negative,), (n_zero,).

    `zero` is empty unless the zeros take part in the sums (zsplit).
    """

    positive: FloatArray
    negative: FloatArray
    zero: FloatArray

    @property
    def nonzero(self) -> FloatArray:
        """Ranks of the pairs that differ, ascending."""
        return np.sort(np.concatenate([self.positive, self.negative]))

    @property
    def w_plus(self) -> float:
        """Rank sum of the positive differences, with half of the zero ranks."""
        return float(self.positive.sum() + self.zero.sum() / 2)

    @property
    def w_minus(self) -> float:
        """Rank sum of the negative differences, with half of the zero ranks."""
        return float(self.negative.sum() + self.zero.sum() / 2)


def _midranks(magnitudes: FloatArray) -> FloatArray:
    _, inverse, counts = np.unique(magnitudes, return_inverse=True, return_counts=True)
    midranks = np.cumsum(counts) - (counts - 1) / 2
    # Failed pairs all take the largest rank, not the mean of the top ranks: with means, a second failed run could
    # lower the p in favour of the arm that failed.
    return np.where(np.isinf(magnitudes), float(magnitudes.size), midranks[inverse])


def signed_ranks(differences: ArrayLike, zeros: Zeros = "pratt", *, scale: float | None = None) -> SignedRanks:
    """Rank the rounded |differences| of shape (n,), ties by the mean rank.

    `zeros`: "wilcox" drops them, "pratt" ranks them and then drops their ranks (Pratt 1959), "zsplit" gives half of
    their ranks to each side. +-inf is a failed pair and takes the largest rank, the number of ranked pairs, however
    many there are. `scale` is the largest |score| for the rounding, see `round_significant`.
    Raises ValueError for NaN, an empty vector or an unknown `zeros`.
    """
    if zeros not in get_args(Zeros):
        raise ValueError(f"zeros must be one of {get_args(Zeros)}, not {zeros!r}")
    units = whole_units(as_vector(differences, "differences", infinite=True), scale)
    if zeros == "wilcox":
        units = units[units != 0.0]
    ranks = _midranks(np.abs(units))
    zero_ranks = ranks[units == 0.0] if zeros == "zsplit" else np.empty(0)
    return SignedRanks(positive=ranks[units > 0.0], negative=ranks[units < 0.0], zero=zero_ranks)
