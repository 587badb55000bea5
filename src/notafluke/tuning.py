"""``tune: lr``: every arm chooses its learning rate from the same grid, on validation, with seeds of its own.

The tuning seeds are never evaluated, and their runs never see the test split. So the treatment is compared with a
control that was tuned as much, and the choice takes nothing from the seeds that decide. It is one choice for all seeds
of an arm: what is inferred holds at the rates that were chosen, and a replica has its original's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from notafluke.checksums import is_whole, with_checksum, without_checksum
from notafluke.files import write_atomic

FACTORS = (1 / 3, 1.0, 3.0)
"""Of the configured learning rate."""
FIRST_SEED = 1_000_000
REPLICA = 0
"""Of all runs that choose: a replica is the control once more, so it trains at the rate that the control has chosen."""
FILE = "tuning.json"


class TuningFailed(Exception):
    """A run that was to choose has crashed or come to its time limit: nothing is chosen, as another try may succeed."""

    def __init__(self, outcome: str, reason: str) -> None:
        """With the outcome and reason of that run."""
        super().__init__(reason)
        self.outcome, self.reason = outcome, f"{reason}, while the learning rate was chosen"


@dataclass(frozen=True)
class Tuning:
    """What was tried and chosen.

    ``scores`` are the best validation scores of the tuning seeds by learning rate, None of a run that failed;
    ``at_grid_edge``: the lowest or the highest rate was chosen, so a better one may lie beyond.
    """

    cell_key: str
    metric: str
    seeds: tuple[int, ...]
    rates: tuple[float, ...]
    scores: tuple[tuple[float | None, ...], ...]
    learning_rate: float
    at_grid_edge: bool


def tuning_seeds(count: int) -> list[int]:
    """The seeds that choose; no study may have them."""
    return list(range(FIRST_SEED, FIRST_SEED + count))


def rates_around(learning_rate: float) -> list[float]:
    """The grid: a third of the configured learning rate, itself and three times."""
    return [learning_rate * factor for factor in FACTORS]


def choose(scores: Sequence[Sequence[float | None]], direction: str) -> int:
    """The position of the best rate: the fewest failed runs, then the best mean score; the lower of two equal ones."""
    sign = 1 if direction == "lower" else -1

    def badness(own: Sequence[float | None]) -> tuple[int, float]:
        finished = [score for score in own if score is not None]
        return len(own) - len(finished), sign * math.fsum(finished) / len(finished) if finished else math.inf

    return min(range(len(scores)), key=lambda position: badness(scores[position]))


def tune(
    cell_key: str,
    metric: str,
    direction: str,
    learning_rate: float,
    seeds: Sequence[int],
    validation_scores: Callable[[Sequence[tuple[float, int]]], Sequence[float | None]],
) -> Tuning:
    """Try the grid around a learning rate; ``validation_scores`` trains pairs of a rate and a seed, and scores each.

    The score of a run that diverged is None. Raises TuningFailed as ``validation_scores`` does.
    """
    rates = rates_around(learning_rate)
    found = validation_scores([(rate, seed) for rate in rates for seed in seeds])
    scores = [tuple(found[start : start + len(seeds)]) for start in range(0, len(found), len(seeds))]
    best = choose(scores, direction)
    edge = best in (0, len(rates) - 1)
    return Tuning(cell_key, metric, tuple(seeds), tuple(rates), tuple(scores), rates[best], edge)


def write_tuning(folder: Path, tuning: Tuning) -> None:
    """Store a choice in the folder of its cell."""
    write_atomic(folder / FILE, json.dumps(with_checksum(asdict(tuning)), indent=1, allow_nan=False) + "\n")


def read_tuning(folder: Path, cell_key: str) -> Tuning | None:
    """The stored choice of a cell; None where there is none, it is damaged, or not of this very cell."""
    try:
        stored: Mapping[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if not is_whole(stored):
            return None
        content = without_checksum(stored)
        lists = {name: tuple(content[name]) for name in ("seeds", "rates")}
        tuning = Tuning(**{**content, **lists, "scores": tuple(tuple(own) for own in content["scores"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return tuning if tuning.cell_key == cell_key else None
