"""Images in folders, or in a zip archive of folders, read into one array; the class of an image is its folder.

Symbols in shapes: N images, H height, W width, C channels (1 grey, 3 red, green and blue).
"""

from __future__ import annotations

import functools
import io
import re
import stat
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from notafluke.errors import UsageError, did_you_mean
from notafluke.tasks.base import SPLITS, Int64

UNDECIDED = -1
"""In place of the number of a split: which one is decided by shares."""

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}
"""Names of folders that hold the classes of one split."""

READ = (".jpeg", ".jpg", ".png")
NOT_READ = (".avif", ".bmp", ".gif", ".heic", ".tif", ".tiff", ".webp")
"""Endings of images that would be missing if they were left out."""

MAX_INPUT_BYTES = 4 * 2**30
"""Of all inputs in float32: what still fits beside a training in the memory of a small machine."""

MAX_FILE_BYTES = 64 * 2**20
"""Of one unpacked file: no photograph needs more, a decompression bomb does."""

MAX_ARCHIVE_BYTES = 64 * 2**30
"""Of all unpacked files: more than any archive of images that can be trained on here."""

_EXIF_ORIENTATION = 0x0112
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, eq=False)
class Images:
    """Images with their classes, in the order of their names.

    pixels: uint8 [N, H, W, C], of which `full_scale` is the largest value there can be. classes: int64 [N], numbers of
    `class_names`. names: of each image. splits: int64 [N], the number of its split in SPLITS or UNDECIDED. blocks:
    int64 [N]; images of one block must come into one split. facts: what was left out or changed, and how often.
    """

    pixels: NDArray[np.uint8]
    classes: Int64
    class_names: tuple[str, ...]
    names: tuple[str, ...]
    splits: Int64
    blocks: Int64
    full_scale: int = 255
    facts: dict[str, Any] = field(default_factory=dict)


def read_images(source: str, size: tuple[int, int] | None) -> Images:
    """Read the JPEG and PNG images of a folder or zip archive; see `places` for how it must be ordered.

    size: height and width to which all are resized (bilinear, without keeping their proportions); None: they must be of
    one size already. Images are turned as their EXIF data say; transparency is left out; grey ones among coloured ones
    get three equal channels. An image that is the same to the last pixel as another of its class is left out, the one
    of the test split kept. All of this is counted in the facts. Raises UsageError, naming the file, for what cannot be
    used.
    """
    with _opened(source) as (files, folders):
        names, others = _sort_out(source, files)
        _require_images(source, folders, names)
        splits, classes, wrapper = places(source, names)
        pixels, facts = _decode(source, [(name, files[name]) for name in names], size)
    class_names = sorted(set(classes))
    _require_classes(source, class_names, classes, splits)
    found = Images(
        pixels,
        np.array([class_names.index(own) for own in classes], dtype=np.int64),
        tuple(class_names),
        tuple(names),
        np.array(splits, dtype=np.int64),
        np.arange(len(names)),
        facts=facts | {"other_files_left_out": len(others), "first_of_them": others[0] if others else None},
    )
    return _without_duplicates(found, {"outer_folder": wrapper} if wrapper else {})


def places(source: str, names: Sequence[str]) -> tuple[list[int], list[str], str]:
    """Return the split (or UNDECIDED) and class of each image by its path, and an outer folder that holds them all.

    Either class/image, or train/class/image and test/class/image, and perhaps validation/class/image. Raises UsageError
    for images elsewhere.
    """
    parts = [PurePosixPath(name).parts for name in names]
    wrapper: list[str] = []
    while len({own[0] for own in parts}) == 1 and all(len(own) > 2 for own in parts):
        wrapper.append(parts[0][0])
        parts = [own[1:] for own in parts]
    expected = "expected class/image, or train/class/image and test/class/image"
    by_depth = {len(own): name for own, name in zip(reversed(parts), reversed(names), strict=True)}
    for depth, name in by_depth.items():
        if depth not in (2, 3):
            raise UsageError(f"{source}: {name} lies in {depth - 1} folders: {expected}")
    if len(by_depth) > 1:
        raise UsageError(f"{source}: {by_depth[2]} lies in one folder, but {by_depth[3]} in two: {expected}")
    if 2 in by_depth:
        return [UNDECIDED] * len(parts), [own[0] for own in parts], "/".join(wrapper)
    for own, name in zip(parts, names, strict=True):
        if own[0].lower() not in SPLIT_FOLDERS:
            raise UsageError(
                f"{source}: {name}: {own[0]!r} is no name of a split{did_you_mean(own[0], SPLIT_FOLDERS)} ({expected})"
            )
    splits = [SPLITS.index(SPLIT_FOLDERS[own[0].lower()]) for own in parts]
    for needed in ("train", "test"):
        if SPLITS.index(needed) not in splits:
            raise UsageError(f"{source}: there is no image in a folder {needed!r}: {expected}")
    return splits, [own[1] for own in parts], "/".join(wrapper)


def _require_classes(source: str, class_names: Sequence[str], classes: Sequence[str], splits: Sequence[int]) -> None:
    if len(class_names) < 2:
        raise UsageError(f"{source}: all images are of one class, {class_names[0]!r}: it needs at least two folders")
    in_train = {own for own, split in zip(classes, splits, strict=True) if split in (UNDECIDED, 0)}
    if unknown := sorted(set(class_names) - in_train):
        raise UsageError(
            f"{source}: the class {unknown[0]!r} is not among those of train: {', '.join(sorted(in_train))}"
        )


def _sort_out(source: str, files: dict[str, Callable[[], bytes]]) -> tuple[list[str], list[str]]:
    """Return the paths of the images and of other files, sorted. Raises UsageError for images that are not read."""
    names, others = [], []
    for name in sorted(files):
        path = PurePosixPath(name)
        if _hidden(path):
            others.append(name)
        elif path.suffix.lower() in READ:
            names.append(name)
        elif path.suffix.lower() in NOT_READ:
            raise UsageError(f"{source}: {name}: only JPEG and PNG images are read; convert it")
        else:
            others.append(name)
    if not names:
        raise UsageError(f"{source}: there is no image in it; expected a folder of JPEG or PNG images for each class")
    return names, others


def _require_images(source: str, folders: Sequence[str], names: Sequence[str]) -> None:
    """Raise UsageError for a folder without any image below it: a class would be missing."""
    filled = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    if empty := [own for own in sorted(folders) if own not in filled and not _hidden(PurePosixPath(own))]:
        raise UsageError(f"{source}: the folder {empty[0]} has no image; put some there or remove it")


def _hidden(path: PurePosixPath) -> bool:
    """Whether a path is what file managers leave behind, not meant to be seen."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


@contextmanager
def _opened(source: str) -> Iterator[tuple[dict[str, Callable[[], bytes]], list[str]]]:
    """The files below a folder or in a zip archive, a function that reads each by its path within; and the folders."""
    place = Path(source)
    if place.is_dir():
        found = [(own.relative_to(place).as_posix(), own) for own in place.rglob("*")]
        yield {name: own.read_bytes for name, own in found if own.is_file()}, [n for n, own in found if own.is_dir()]
        return
    try:
        archive = zipfile.ZipFile(place)
    # NotImplementedError: a version of the format that there is not, as in a damaged archive.
    except (zipfile.BadZipFile, NotImplementedError):
        raise UsageError(f"task.source={source}: expected a folder or a zip archive of images") from None
    except OSError as error:
        raise UsageError(f"task.source={source}: it cannot be read: {error.strerror}") from None
    with archive:
        yield _members(source, archive)


def _members(source: str, archive: zipfile.ZipFile) -> tuple[dict[str, Callable[[], bytes]], list[str]]:
    """The files and folders of an archive. Raises UsageError for links, paths that lead out, and duplicates."""
    found: dict[str, Callable[[], bytes]] = {}
    folders, unpacked = [], 0
    for info in archive.infolist():
        name = info.filename.replace("\\", "/")
        if name.startswith("/") or _DRIVE.match(name) or ".." in PurePosixPath(name).parts:
            raise UsageError(f"{source}: the path {info.filename!r} leads out of the archive; this archive is not used")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise UsageError(f"{source}: {name} is a link; this archive is not used")
        if name.endswith("/"):
            folders.append(str(PurePosixPath(name)))
            continue
        if name in found:
            raise UsageError(f"{source}: {name} is in the archive twice")
        if info.file_size > MAX_FILE_BYTES:
            raise UsageError(f"{source}: {name} has {info.file_size} bytes unpacked; at most {MAX_FILE_BYTES} are read")
        if (unpacked := unpacked + info.file_size) > MAX_ARCHIVE_BYTES:
            raise UsageError(f"{source}: it has more than {MAX_ARCHIVE_BYTES} bytes unpacked, the most that is read")
        found[name] = functools.partial(archive.read, info)
    return found, folders


def _decode(
    source: str, files: Sequence[tuple[str, Callable[[], bytes]]], size: tuple[int, int] | None
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Return the pixels [N, H, W, C] of image files, and how many were changed and how."""
    decoded: list[NDArray[np.uint8]] = []
    counts: Counter[str] = Counter(resized=0, turned_by_exif=0, transparency_left_out=0)
    for name, read in files:
        pixels, changes = _decode_one(f"{source}: {name}", read, size)
        first = decoded[0] if decoded else pixels
        if pixels.shape[:2] != first.shape[:2]:
            raise UsageError(
                f"{source}: {files[0][0]} is {_form(first)}, but {name} is {_form(pixels)} (height x width): "
                "task.size=[height,width] resizes all images"
            )
        if (needed := len(files) * pixels.size * 4) > MAX_INPUT_BYTES:
            raise UsageError(
                f"{source}: {len(files)} images like {name}, {_form(pixels)}, need {needed / 2**30:.1f} GiB as inputs, "
                f"at most {MAX_INPUT_BYTES / 2**30:.0f} are used: task.size=[height,width] makes them smaller"
            )
        decoded.append(pixels)
        counts.update(changes)
    channels = max(own.shape[2] for own in decoded)
    counts["grey_among_coloured"] = sum(own.shape[2] < channels for own in decoded)
    stacked = np.empty((len(decoded), *decoded[0].shape[:2], channels), dtype=np.uint8)
    for place, own in zip(stacked, decoded, strict=True):
        place[...] = own
    return stacked, dict(counts)


def _decode_one(
    where: str, read: Callable[[], bytes], size: tuple[int, int] | None
) -> tuple[NDArray[np.uint8], list[str]]:
    """Return the pixels [H, W, C] of one image file and what was changed. Raises UsageError with the reason."""
    # Here: a plan without images of one's own needs no Pillow.
    from PIL import Image, ImageOps, UnidentifiedImageError

    changes = []
    too_large = Image.DecompressionBombError, Image.DecompressionBombWarning
    damaged = OSError, SyntaxError, ValueError, EOFError, zlib.error, zipfile.BadZipFile
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image: Image.Image = Image.open(io.BytesIO(read()), formats=("JPEG", "PNG"))
            image.load()
        if image.mode in ("F", "I") or image.mode.startswith("I;"):
            raise UsageError(f"{where}: more than 8 bits a channel are not read; save it with 8 bits")
        if image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
            image = ImageOps.exif_transpose(image)
            changes.append("turned_by_exif")
        if image.has_transparency_data:
            changes.append("transparency_left_out")
        image = image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
        if size is not None and (image.height, image.width) != size:
            image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            changes.append("resized")
    except UnidentifiedImageError:
        raise UsageError(f"{where}: it is no JPEG or PNG image, whatever its name says") from None
    except (*too_large, *damaged) as error:
        raise UsageError(f"{where}: it cannot be read: {error}") from None
    except RuntimeError as error:  # encrypted, or packed by a method that zipfile does not know
        raise UsageError(f"{where}: it cannot be unpacked: {error}") from None
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels.reshape(*pixels.shape[:2], -1), changes


def _form(pixels: NDArray[np.uint8]) -> str:
    return f"{pixels.shape[0]} x {pixels.shape[1]}"


def _without_duplicates(images: Images, facts: dict[str, Any]) -> Images:
    """Leave out what is the same to the last pixel as another image of its class, the later splits kept."""
    order = sorted(range(len(images.names)), key=lambda number: -int(images.splits[number]))
    seen: dict[bytes, set[int]] = {}
    kept = []
    for number in order:
        classes = seen.setdefault(images.pixels[number].tobytes(), set())
        if images.classes[number] not in classes:
            kept.append(number)
        classes.add(int(images.classes[number]))
    kept.sort()
    return replace(
        images,
        pixels=images.pixels[kept],
        classes=images.classes[kept],
        names=tuple(images.names[number] for number in kept),
        splits=images.splits[kept],
        blocks=images.blocks[kept],
        facts=images.facts
        | facts
        | {
            "duplicates_left_out": len(order) - len(kept),
            "same_image_in_several_classes": sum(len(classes) > 1 for classes in seen.values()),
        },
    )
