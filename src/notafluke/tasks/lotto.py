"""The lottery: draws that nobody can predict, so that every arm must end at chance (the negative control)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from notafluke.errors import UsageError
from notafluke.streams import generator
from notafluke.tasks.base import Float32, Split, require_whole
from notafluke.tasks.lotto_csv import GENERATED
from notafluke.tasks.lotto_draws import LottoDraws, LottoMaxMillions
from notafluke.tasks.lotto_scores import LottoData, LottoTask


def lotto(
    *,
    source: str = GENERATED,
    window: int = 5,
    numbers: int | None = None,
    drawn: int | None = None,
    train_size: int | None = None,
    validation_size: int | None = None,
    test_size: int | None = None,
    maxmillions: bool = False,
    start: str | None = None,
    train_end: str | None = None,
    validation_end: str | None = None,
    test_end: str | None = None,
) -> LottoTask:
    """Return the lottery of a source: `Lotto` where it is "generated", `LottoDraws` where it is a file.

    None stands for the default of either. Raises UsageError for an option that generated draws do not have.
    """
    if not isinstance(maxmillions, bool):
        raise UsageError(f"task.maxmillions={maxmillions!r}: it must be true or false")
    if source != GENERATED:
        build = LottoMaxMillions if maxmillions else LottoDraws
        return build(
            source=source,
            window=window,
            numbers=numbers,
            drawn=drawn,
            train_size=train_size,
            validation_size=validation_size,
            test_size=test_size,
            start=start,
            train_end=train_end,
            validation_end=validation_end,
            test_end=test_end,
        )
    dates = {"start": start, "train_end": train_end, "validation_end": validation_end, "test_end": test_end}
    for name, value in {"maxmillions": maxmillions or None, **dates}.items():
        if value is not None:
            raise UsageError(f"task.{name}={value}: generated draws have no such option; give a file, task.source=...")
    own = {
        "numbers": numbers,
        "drawn": drawn,
        "train_size": train_size,
        "validation_size": validation_size,
        "test_size": test_size,
    }
    return Lotto(window=window, **{name: value for name, value in own.items() if value is not None})


class Lotto(LottoTask):
    """Predict the next draw of a lottery (6 of 49) from the draws before it; the draws are generated.

    The inputs are the multi-hot vectors of the previous `window` draws [window, numbers], the target is that of the
    next draw [numbers]. All draws of a (seed, replica) are one sequence, generated without replacement and
    independently of each other: training draws first, then validation, then test. A window may reach back into the
    split before. Metrics and baselines: see LottoTask.
    """

    advance: ClassVar[int | None] = 1
    varies_with_seed: ClassVar[bool] = True

    def __init__(
        self,
        *,
        numbers: int = 49,
        drawn: int = 6,
        window: int = 5,
        train_size: int = 1500,
        validation_size: int = 500,
        test_size: int = 1500,
    ) -> None:
        """Store the options: `drawn` of `numbers`, draws seen, and draws to predict in each of the three splits."""
        self.numbers = numbers
        self.drawn = drawn
        self.window = window
        self.train_size = train_size
        self.validation_size = validation_size
        self.test_size = test_size

    @property
    def input_size(self) -> int:
        """One feature a number."""
        return self.numbers

    @property
    def output_size(self) -> int:
        """One output a number."""
        return self.numbers

    def declaration(self) -> dict[str, str]:
        """Say that the data are generated (the code, the options and numpy's version are in the key anyway)."""
        return {"generated": "numpy PCG64"}

    def check(self) -> None:
        """Raise UsageError when an option is not a whole number, or too small, or all numbers are drawn."""
        for name in ("drawn", "window", "train_size", "validation_size", "test_size"):
            require_whole(name, getattr(self, name), 1)
        require_whole("numbers", self.numbers, 2)
        if self.drawn >= self.numbers:
            raise UsageError(f"task.drawn={self.drawn}: it must be less than task.numbers={self.numbers}")

    def load(self, seed: int, replica: int) -> LottoData:
        """Generate the draws from the stream (seed, replica, "data") and cut them into windows and splits."""
        self.check()
        sizes = (self.train_size, self.validation_size, self.test_size)
        rng = generator(seed, replica, "data")
        draws = multi_hot_draws(rng, self.window + sum(sizes), self.numbers, self.drawn)
        inputs = sliding_window_view(draws[:-1], self.window, axis=0).transpose(0, 2, 1)
        targets = draws[self.window :]
        first, second = sizes[0], sizes[0] + sizes[1]
        parts = (slice(0, first), slice(first, second), slice(second, None))
        train, validation, test = (Split(np.ascontiguousarray(inputs[part]), targets[part].copy()) for part in parts)
        drums = (np.full(size, self.numbers, dtype=np.int64) for size in sizes[1:])
        return LottoData(train, validation, test, self.drawn, *drums)


def multi_hot_draws(rng: np.random.Generator, size: int, numbers: int, drawn: int) -> Float32:
    """Draw `drawn` of `numbers` without replacement, `size` times: float32 [size, numbers] of zeros and ones."""
    chosen = np.argsort(rng.random((size, numbers)), axis=1, kind="stable")[:, :drawn]
    draws = np.zeros((size, numbers), dtype=np.float32)
    np.put_along_axis(draws, chosen, np.float32(1), axis=1)
    return draws
