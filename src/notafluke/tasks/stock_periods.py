"""What the stock tasks share: three periods with enough rows each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from notafluke.errors import UsageError
from notafluke.tasks.base import SPLITS

NO_VARIATION = 1e-9
"""An SD of returns (per cent) that is rounding only."""


def require_rows(
    source: str,
    dates: NDArray[np.str_],
    ends: tuple[str, str, str],
    stops: Sequence[int],
    needs: Sequence[tuple[int, str]],
) -> None:
    """Raise UsageError when a split has too few rows of prices.

    dates: ISO text [rows in use], ascending; ends: the last dates of the splits, and stops the rows at which they end;
    needs: for each split how many rows it needs, and the options that this is made of, empty where it needs a row only.
    """
    begins = (0, stops[0], stops[1])
    periods = (f"to {ends[0]}", f"after {ends[0]}, to {ends[1]}", f"after {ends[1]}, to {ends[2]}")
    span = f"the prices in use run from {dates[0]} to {dates[-1]}" if len(dates) else "no prices are in use"
    for split, begin, stop, (need, why), period in zip(SPLITS, begins, stops, needs, periods, strict=True):
        if stop - begin < need:
            made_of = f" ({why})" if why else ""
            raise UsageError(
                f"{source}: {stop - begin} rows for the {split} split ({period}), {need} or more{made_of} are needed; "
                f"{span}; set task.train_end, task.validation_end and task.test_end"
            )
