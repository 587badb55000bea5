"""Which class is an image of? Handwritten digits, or images of one's own, read as a sequence of rows or of pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from notafluke.errors import UsageError, did_you_mean
from notafluke.tasks.base import SPLITS, Baseline, Float32, Int64, Kind, Metric, Split, TaskData, require_shape
from notafluke.tasks.class_baselines import class_baselines
from notafluke.tasks.classification import CLASS_METRICS, class_metrics
from notafluke.tasks.dataset import Dataset, DatasetTask, Prepared, file_declaration, package_declaration
from notafluke.tasks.images import UNDECIDED, Images, read_images
from notafluke.versions import version

DIGITS = "sklearn"
READINGS = ("rows", "pixels")

FORM_STARTS = (0, 130, 256, 386, 516, 646, 776, 915, 1029, 1157, 1287, 1415, 1545, 1667)
"""First image of each filled-in form among scikit-learn's digits: the labels repeat those of one printed form."""


@dataclass(frozen=True)
class ImageSet(Dataset):
    """scikit-learn's digits or the user's images, with their splits and what is no neural network gets.

    size: height and width to which the user's images are resized, or None. validation_share, test_share: of each
    class, see `shared_out`; without effect where the folders say what is in the split.
    """

    size: tuple[int, int] | None
    validation_share: float
    test_share: float
    name: ClassVar[str] = "images"
    embedded: ClassVar[Mapping[str, str]] = {
        DIGITS: "CC BY 4.0 (UCI, Optical Recognition of Handwritten Digits); package scikit-learn: BSD-3-Clause"
    }
    packages: ClassVar[tuple[str, ...]] = ("numpy", "pillow", "scikit-learn", "scipy")

    def declaration(self) -> dict[str, str]:
        """See Dataset.declaration."""
        if self.source == DIGITS:
            return package_declaration("scikit-learn", DIGITS)
        # Pillow's decoders give the pixels, scikit-learn the baselines beside them.
        return file_declaration(self.source, self.embedded) | {own: version(own) for own in ("pillow", "scikit-learn")}

    def prepare(self, raw: Path) -> Prepared:
        """See Dataset.prepare."""
        return self._prepared(digits() if self.source == DIGITS else read_images(self.source, self.size))

    def example(self) -> Prepared:
        """See Dataset.example: 30 forms with noise in place of the ten digits."""
        forms, class_names = 30, tuple("0123456789")
        count = forms * len(class_names)
        return self._prepared(
            Images(
                pixels=np.random.default_rng(0).integers(0, 17, (count, 8, 8, 1), dtype=np.uint8),
                classes=np.tile(np.arange(len(class_names)), forms),
                class_names=class_names,
                names=tuple(str(number) for number in range(count)),
                splits=np.full(count, UNDECIDED),
                blocks=np.repeat(np.arange(forms), len(class_names)),
                full_scale=16,
            )
        )

    def _prepared(self, images: Images) -> Prepared:
        splits = shared_out(self.source, images, self.validation_share, self.test_share)
        train, test = (splits == SPLITS.index(name) for name in ("train", "test"))
        flat = scaled(images.pixels, images.full_scale).reshape(len(splits), -1)
        scores, facts = class_baselines(flat[train], images.classes[train], flat[test], images.classes[test])
        counts = {
            name: {split: int(np.sum((images.classes == own) & (splits == at))) for at, split in enumerate(SPLITS)}
            for own, name in enumerate(images.class_names)
        }
        shape = dict(zip(("height", "width", "channels"), images.pixels.shape[1:], strict=True))
        return Prepared(
            {
                "pixels": images.pixels,
                "full_scale": np.array(images.full_scale),
                "classes": images.classes,
                "class_names": np.array(images.class_names),
                "names": np.array(images.names),
                "splits": splits,
                "baseline_names": np.array([name for name, _, _ in scores]),
                "baseline_metrics": np.array([metric for _, metric, _ in scores]),
                "baseline_values": np.array([value for _, _, value in scores]),
            },
            {"images": len(splits), **shape, "classes": counts, **images.facts, **facts},
        )


def digits() -> Images:
    """Return scikit-learn's copy of the UCI test set: 1,797 images [8, 8, 1] of 0 to 16, in their order."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    count = len(bunch.target)
    return Images(
        pixels=bunch.images[..., None].astype(np.uint8),
        classes=bunch.target.astype(np.int64),
        class_names=tuple(str(own) for own in bunch.target_names),
        names=tuple(f"{number:04d}" for number in range(count)),
        splits=np.full(count, UNDECIDED),
        blocks=np.searchsorted(FORM_STARTS, np.arange(count), side="right") - 1,
        full_scale=16,
    )


def shared_out(source: str, images: Images, validation_share: float, test_share: float) -> Int64:
    """Return the number of the split of each image, int64 [N]; `source` is for error messages.

    The blocks of each class are cut in their order: the first are for training, then come the share for validation and
    the share for the test, rounded, at least one block each. So what stands together in the order (shots of one scene,
    digits of one form) is rarely torn apart. Where images have a test split of their own, validation is cut from the
    end of train; where they have one for validation too, nothing is cut. Raises UsageError for a class with too few.
    """
    splits = images.splits.copy()
    fixed = [name for at, name in enumerate(SPLITS) if at in splits]
    if "validation" in fixed:
        return splits
    wanted = {"validation": validation_share} | ({} if "test" in fixed else {"test": test_share})
    for number, name in enumerate(images.class_names):
        own = np.flatnonzero((images.classes == number) & np.isin(splits, (UNDECIDED, SPLITS.index("train"))))
        blocks, place = np.unique(images.blocks[own], return_inverse=True)
        left = len(blocks)
        splits[own] = SPLITS.index("train")
        for split, share in reversed(wanted.items()):
            start = left - max(1, round(share * len(blocks)))
            splits[own[(place >= start) & (place < left)]] = SPLITS.index(split)
            left = start
        if left < 1:
            raise UsageError(
                f"{source}: the class {name!r} has {len(blocks)} images or forms for train, {' and '.join(wanted)}: "
                "too few, or too large a share"
            )
    return splits


def scaled(pixels: NDArray[np.uint8], full_scale: int) -> Float32:
    """Return pixels as float32 of 0 to 1, by the range that they can have, whatever they are."""
    return pixels.astype(np.float32) / np.float32(full_scale)


class ImageClassification(DatasetTask):
    """Recognise the class of an image that is read in time: row by row, or pixel by pixel.

    Inputs: pixels from 0 to 1; with `reading` "rows" [height, width x channels], from the top; with "pixels"
    [height x width, channels], each row from the left (Le, Jaitly and Hinton 2015). Target: the class.

    Source "sklearn": 1,797 digits, 8 x 8, of 14 forms filled in by 13 people; whole forms go into one split. Else the
    path of a folder or zip archive of images, see `notafluke.tasks.images.places`.

    Metrics: those of classes. Baselines: see `notafluke.tasks.class_baselines`; `class_frequencies` is trivial.
    """

    kind: ClassVar[Kind] = "classes"
    primary_metric = "log_loss"
    metrics: ClassVar[tuple[Metric, ...]] = CLASS_METRICS

    def __init__(
        self,
        *,
        source: str,
        reading: str = "rows",
        size: int | list[int] | None = None,
        validation_share: float = 0.15,
        test_share: float = 0.2,
    ) -> None:
        """Store the options (see the class, `ImageSet` and `shared_out`); `check_options` judges them."""
        self.source = source
        self.reading = reading
        self.size = size
        self.validation_share = validation_share
        self.test_share = test_share

    @cached_property
    def dataset(self) -> ImageSet:
        """See DatasetTask.dataset."""
        sides = [self.size, self.size] if isinstance(self.size, int) else self.size
        size = None if sides is None else (sides[0], sides[1])
        return ImageSet(self.source, size, self.validation_share, self.test_share)

    @property
    def input_size(self) -> int:
        """The features of a row, or of a pixel."""
        _, _, width, channels = self.prepared.arrays["pixels"].shape
        return int(width * channels if self.reading == "rows" else channels)

    @property
    def output_size(self) -> int:
        """The number of classes."""
        return len(self.prepared.arrays["class_names"])

    def check_options(self) -> None:
        """Raise UsageError for an option that cannot be used."""
        if self.reading not in READINGS:
            raise UsageError(f"task.reading={self.reading!r}{did_you_mean(self.reading, READINGS)}")
        if not self.source or "\0" in self.source:
            raise UsageError(
                f"task.source={self.source!r}: it must be {DIGITS!r} or the path of a folder or zip archive"
            )
        sides = self.size if isinstance(self.size, list) else [self.size, self.size]
        if self.size is not None and not (len(sides) == 2 and all(_is_whole(side) for side in sides)):
            raise UsageError(f"task.size={self.size!r}: it must be a number of pixels, or [height,width], or null")
        if self.size is not None and self.source == DIGITS:
            raise UsageError(f"task.size={self.size!r}: the digits stay 8 x 8; it is for images of your own")
        for name in ("validation_share", "test_share"):
            if not _is_share(value := getattr(self, name)):
                raise UsageError(f"task.{name}={value!r}: it must be a number above 0 and below 1")
        if self.validation_share + self.test_share >= 1:
            raise UsageError(f"task.test_share={self.test_share}: with task.validation_share it leaves none for train")

    def cut(self, prepared: Prepared) -> TaskData:
        """See DatasetTask.cut."""
        arrays = prepared.arrays
        count, height, width, channels = arrays["pixels"].shape
        form = (height, width * channels) if self.reading == "rows" else (height * width, channels)
        inputs = scaled(arrays["pixels"], int(arrays["full_scale"])).reshape(count, *form)
        chosen = [arrays["splits"] == at for at in range(len(SPLITS))]
        names = arrays["names"]
        return ImageTaskData(
            *(Split(inputs[own], arrays["classes"][own], tuple(names[own].tolist())) for own in chosen),
            scores=tuple(
                zip(*(arrays[f"baseline_{part}"].tolist() for part in ("names", "metrics", "values")), strict=True)
            ),
        )

    def validation_metrics(self, data: TaskData, predictions: Float32) -> dict[str, float]:
        """Return all metrics of log probabilities [samples, classes] on the validation split."""
        return self._scores(data.validation, predictions)

    def test_metrics(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, float]:
        """Return all metrics of log probabilities [samples, classes] on the test split."""
        return self._scores(data.test, predictions)

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        """Return what was found when the data were prepared."""
        assert isinstance(data, ImageTaskData)
        trivial = ("class_frequencies", self.primary_metric)
        return tuple(Baseline(name, metric, value, (name, metric) == trivial) for name, metric, value in data.scores)

    def _scores(self, split: Split, predictions: Float32) -> dict[str, float]:
        require_shape(predictions, (len(split.classes), self.output_size))
        return class_metrics(predictions, split.classes)


@dataclass(frozen=True, eq=False)
class ImageTaskData(TaskData):
    """The data of `ImageClassification`; scores: name, metric and value of each baseline."""

    scores: tuple[tuple[str, str, float], ...] = field(kw_only=True)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1
