"""A lottery of real draws: the next main draw of a file from the main draws before it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from notafluke.errors import UsageError
from notafluke.tasks.base import Float32, Int64, Split, require_whole
from notafluke.tasks.checks import require_dates
from notafluke.tasks.dataset import DatasetTask, Prepared
from notafluke.tasks.lotto_csv import GENERATED, LottoFile
from notafluke.tasks.lotto_scores import LottoData, LottoTask

VALIDATION_SHARE = TEST_SHARE = 5
"""Without sizes or dates, one draw in five is for validation and one in five for the test."""


class LottoDraws(LottoTask, DatasetTask):
    """Predict the next main draw of a real lottery from the `window` main draws before it, the draws of a file.

    Inputs, targets, metrics and baselines are those of `Lotto`; features and outputs are the numbers of the largest
    drum among the draws in use. The index of a sample is the date of its draw. The data are the same for every seed.

    Options: source, the path of the file (see `LottoFile`). numbers: in the drum (None: by the product's rules).
    drawn: None, or how many numbers of a draw the file must have. start: the first date whose draw is used, also as
    input (None: the first there is). The splits follow each other in time, cut either by train_end and validation_end,
    the last dates of the two, and test_end (None: the last there is); or by train_size, validation_size and test_size,
    draws to predict from the first on; without any of them one draw in five is for the test, the one in five before
    for validation. maxmillions: whether the MaxMillions of a day are further draws to train on. They are targets only,
    with the inputs of that day's main draw: the main draws before it. So no draw of a day is an input of another one of
    that day, and validation and test are the same main draws with and without them.
    """

    advance: ClassVar[int | None] = 1
    maxmillions: ClassVar[bool] = False

    def __init__(
        self,
        *,
        source: str,
        window: int = 5,
        numbers: int | None = None,
        drawn: int | None = None,
        train_size: int | None = None,
        validation_size: int | None = None,
        test_size: int | None = None,
        start: str | None = None,
        train_end: str | None = None,
        validation_end: str | None = None,
        test_end: str | None = None,
    ) -> None:
        """Store the options (see the class); `check` judges them."""
        self.source = source
        self.window = window
        self.numbers = numbers
        self.drawn = drawn
        self.sizes = {"train_size": train_size, "validation_size": validation_size, "test_size": test_size}
        self.ends = {"train_end": train_end, "validation_end": validation_end, "test_end": test_end}
        self.start = start

    @property
    def dataset(self) -> LottoFile:
        """The draws of the file."""
        return LottoFile(self.source, self.numbers)

    @property
    def input_size(self) -> int:
        """One feature a number of the largest drum."""
        return int(self.load(0, 0).train.inputs.shape[2])

    @property
    def output_size(self) -> int:
        """One output a number of the largest drum."""
        return self.input_size

    def check_options(self) -> None:
        """Raise UsageError for an option that cannot be used, or for sizes beside dates."""
        source: object = self.source
        if not isinstance(source, str) or not source:
            raise UsageError(f"task.source={source!r}: it must be {GENERATED!r} or the path of a CSV file")
        require_whole("window", self.window, 1)
        for name, minimum in (("numbers", 3), ("drawn", 2)):
            if getattr(self, name) is not None:
                require_whole(name, getattr(self, name), minimum)
        sizes = {name: size for name, size in self.sizes.items() if size is not None}
        ends = {name: end for name, end in self.ends.items() if end is not None}
        for name, size in sizes.items():
            require_whole(name, size, 1)
        dates = ends if self.start is None else {"start": self.start, **ends}
        require_dates(dates)
        if sizes and ends:
            name = next(iter(ends))
            raise UsageError(f"task.{name}={ends[name]}: give dates or sizes of the splits, not both")
        self._require_all(sizes, ("train_size", "validation_size", "test_size"))
        self._require_all(ends, ("train_end", "validation_end"))

    def _require_all(self, given: dict[str, int] | dict[str, str], needed: tuple[str, ...]) -> None:
        missing = [name for name in needed if name not in given]
        if given and missing:
            raise UsageError(
                f"task.{missing[0]}=null: give it together with {', '.join(f'task.{own}' for own in given)}"
            )

    def cut(self, prepared: Prepared) -> LottoData:
        """Cut the draws into windows and splits.

        Raises UsageError for too few draws, and for another number of numbers than `drawn`.
        """
        arrays = prepared.arrays
        drawn = arrays["numbers"].shape[1]
        if self.drawn is not None and self.drawn != drawn:
            raise UsageError(f"task.drawn={self.drawn}: the draws of {self.source} have {drawn} numbers")
        used = np.flatnonzero((arrays["date"] >= self.start) if self.start else np.ones(len(arrays["date"]), np.bool_))
        main = used[arrays["sequence"][used] == 0]
        cuts = self._cuts(arrays["date"][main])
        largest = int(arrays["drum"][main[: cuts[2]]].max())
        multi_hot = _multi_hot(arrays["numbers"], largest)
        # The sample of the main draw at place i has the place i - window among the samples.
        inputs = sliding_window_view(multi_hot[main[:-1]], self.window, axis=0).transpose(0, 2, 1)
        dates, drums = arrays["date"][main], arrays["drum"][main]

        def split(first: int, end: int) -> Split:
            place = slice(first - self.window, end - self.window)
            index = tuple(dates[first:end].tolist())
            return Split(np.ascontiguousarray(inputs[place]), multi_hot[main[first:end]], index)

        train = split(self.window, cuts[0])
        if self.maxmillions:
            rows = np.flatnonzero(np.isin(arrays["draw"], arrays["draw"][main[self.window : cuts[0]]]))
            place = np.searchsorted(arrays["draw"][main], arrays["draw"][rows]) - self.window
            train = Split(inputs[place].copy(), multi_hot[rows], tuple(arrays["date"][rows].tolist()))
        return LottoData(
            train,
            split(cuts[0], cuts[1]),
            split(cuts[1], cuts[2]),
            drawn=drawn,
            validation_drum=drums[cuts[0] : cuts[1]],
            test_drum=drums[cuts[1] : cuts[2]],
        )

    def _cuts(self, dates: NDArray[np.str_]) -> tuple[int, int, int]:
        """Return the main draws, counted from the first in use, with which train, validation and test end."""
        draws, window = len(dates), self.window
        train_end, validation_end, test_end = self.ends.values()
        train_size, validation_size, test_size = self.sizes.values()
        if train_end is not None and validation_end is not None:
            stops = np.searchsorted(dates, [train_end, validation_end, test_end or "9999-12-31"], side="right").tolist()
            first, second, third = stops
        elif train_size is not None and validation_size is not None and test_size is not None:
            first = window + train_size
            second = first + validation_size
            third = second + test_size
        else:
            samples = max(0, draws - window)
            third = draws
            second = third - samples // TEST_SHARE
            first = second - samples // VALIDATION_SHARE
        span = f"{draws} main draws are in use" + (f", {dates[0]} to {dates[-1]}" if draws else "")
        if third > draws:
            raise UsageError(f"{self.source}: {third} draws are needed (window {window} + the three sizes), {span}")
        for name, begin, end in (("train", window, first), ("validation", first, second), ("test", second, third)):
            if end <= begin:
                raise UsageError(f"{self.source}: no draw to predict in the {name} split (window {window}): {span}")
        return first, second, third


class LottoMaxMillions(LottoDraws):
    """`LottoDraws` that also trains on the MaxMillions; its samples do not follow each other one by one."""

    advance: ClassVar[int | None] = None
    maxmillions: ClassVar[bool] = True


def _multi_hot(numbers: Int64, largest: int) -> Float32:
    """Return draws of numbers from 1, int64 [draws, drawn], as float32 [draws, largest] of zeros and ones."""
    hot = np.zeros((len(numbers), max(largest, int(numbers.max()))), dtype=np.float32)
    np.put_along_axis(hot, numbers - 1, np.float32(1), axis=1)
    return np.ascontiguousarray(hot[:, :largest])
