"""The declared schedule of looks: how much of the error rate each look at the verdicts may spend.

A study that is looked at with 10, 20 and 40 seeds tests three times. With ``looks: [10, 20, 40]`` in its file, declared
before the first look, each look has its share of alpha (Lan and DeMets 1983), and a p-value is turned into the
sequential one: the smallest level at which this look or an earlier one rejects (Liu and Anderson 2008). Holm's
correction of sequential p-values keeps the family's error rate over all looks (Maurer and Bretz 2013).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from notafluke import stats
from notafluke.study import Spending


class Scheduled(Protocol):
    """The part of a study that says when it is looked at."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of this look."""

    @property
    def looks(self) -> tuple[int, ...]:
        """The declared numbers of seeds, ascending; none where there is one look."""

    @property
    def spending(self) -> Spending:
        """How alpha is spent: ``obrien_fleming`` or ``pocock``."""


@dataclass(frozen=True)
class Schedule:
    """``sizes``, numbers of seeds, ascending, of which the first ``reached`` have been looked at."""

    sizes: tuple[int, ...]
    reached: int
    spending: Spending

    @classmethod
    def of(cls, study: Scheduled) -> Schedule:
        """The schedule of a study; one look where it declares none."""
        if not study.looks:
            return cls((max(1, len(study.seeds)),), 1, study.spending)
        return cls(study.looks, study.looks.index(len(study.seeds)) + 1, study.spending)

    @property
    def past(self) -> tuple[int, ...]:
        """The looks so far, this one last."""
        return self.sizes[: self.reached]

    @property
    def next(self) -> int | None:
        """The number of seeds of the next look; None after the last."""
        return self.sizes[self.reached] if self.reached < len(self.sizes) else None

    def level(self, alpha: float) -> float:
        """The level at which this look tests, of an overall ``alpha``."""
        return self._level(alpha, self.reached)

    def last_level(self, alpha: float) -> float:
        """The level at which the last look will test: what further seeds are planned with."""
        return self._level(alpha, len(self.sizes))

    def level_at(self, size: int, alpha: float) -> float:
        """The level at which the look at ``size`` seeds tests."""
        return self._level(alpha, self.sizes.index(size) + 1)

    def _level(self, alpha: float, look: int) -> float:
        # An early look may have so small a share that no float can say it.
        return max(sys.float_info.min, stats.nominal_level(alpha, self.sizes, look, self.spending))

    def sequential(self, p_values: Sequence[float], signs: Sequence[float]) -> tuple[float, float]:
        """The overall p of the looks so far, and the sign of the effect that the look behind it has shown.

        Each direction is a test of its own, so that a look cannot lend its p to what a later one says in reverse.
        """
        by_sign = {
            sign: self.sequential_p([p if own == sign else 1.0 for p, own in zip(p_values, signs, strict=True)])
            for sign in (signs[-1], -signs[-1])
        }
        sign = min(by_sign, key=by_sign.__getitem__)
        return by_sign[sign], sign

    def sequential_p(self, p_values: Sequence[float], one_sided: bool = False) -> float:
        """The overall p of the p-values of the looks so far."""
        return stats.sequential_p(p_values, self.sizes, self.spending, sides=1 if one_sided else 2)
