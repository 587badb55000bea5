"""Data from outside: prepared once into a folder with their provenance, and read from there alone.

A `Dataset` says where its raw data are and turns them into arrays. They are stored in
``<results>/data/<name>-<first 8 of digest>/`` as ``arrays.npz`` and, written last, ``provenance.json``.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import platform
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from notafluke.checksums import is_whole, with_checksum
from notafluke.errors import UsageError
from notafluke.files import write_atomic
from notafluke.names import NAME
from notafluke.tasks.base import Task, TaskData
from notafluke.versions import version

ARRAYS = "arrays.npz"
PROVENANCE = "provenance.json"
RAW = "raw"
LOCK_FILE = Path("data.lock.yaml")
"""What online sources were frozen to; one commits it."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a dataset is prepared to.

    arrays: by name, numbers or fixed-width text, nothing that needs pickle. facts: what a reader wants to know of them,
    JSON values by name: rows, first and last date, how many rows were repaired and how.
    """

    arrays: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset(ABC):
    """Raw data and how they are prepared. Its fields are the options that the arrays depend on.

    source: which of several sources, or the path of the user's file or folder.
    """

    source: str
    name: ClassVar[str]
    """Of the folder of the prepared data."""
    embedded: ClassVar[Mapping[str, str]]
    """The sources that have a name, with the licence of each."""
    packages: ClassVar[tuple[str, ...]] = ("numpy",)
    """Packages that the arrays can depend on; their versions are recorded."""

    @abstractmethod
    def declaration(self) -> dict[str, str]:
        """Say what the raw data are: a package and its version, or the SHA-256 of the user's file; never a path.

        Raises UsageError when they are not there.
        """

    @property
    def takes_long(self) -> bool:
        """Whether `prepare` needs a download or more than a few seconds, so that no plan can wait for it."""
        return False

    @abstractmethod
    def prepare(self, raw: Path) -> Prepared:
        """Read the raw data, repair what can be repaired and count it. `raw` is a folder that keeps downloads.

        Raises UsageError, naming file, row and reason, for what cannot be used.
        """

    @abstractmethod
    def example(self) -> Prepared:
        """Return a few invented data of the same form, enough for every split of the task with its default options.

        For plans, before the real data are prepared; never trained on.
        """

    def files(self) -> tuple[Path, ...]:
        """The user's own files that it reads: none of a source that has a name."""
        return () if self.source in self.embedded else tuple(files_below(Path(self.source)))

    @property
    def shown_source(self) -> str:
        """The source without the place of the user's file or folder."""
        return self.source if self.source in self.embedded else Path(self.source).resolve().name

    @property
    def licence(self) -> str:
        """The licence of the data."""
        return self.embedded.get(self.source, "the user's own file")

    @property
    def digest(self) -> str:
        """SHA-256 of all that the arrays depend on: raw data, options and the code that prepares them."""
        # Here, because it reads sources.
        from notafluke.code_digest import code_digest

        options = {key: value for key, value in asdict(self).items() if key != "source"}
        code = code_digest([f"{type(self).__module__}.{type(self).__qualname__}"])
        content = {"name": self.name, "raw": self.declaration(), "options": options, "code": code}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def folder(self, results: Path) -> Path:
        """The folder of the prepared data below the folder of results. Raises UsageError for a name that is a path."""
        if not NAME.fullmatch(self.name):
            raise UsageError(f"{type(self).__name__}.name={self.name!r}: expected letters from a to z, digits, _ and -")
        return results / "data" / f"{self.name}-{self.digest[:8]}"


class DatasetTask(Task):
    """A task whose data come from outside, the same for every seed and replica."""

    varies_with_seed: ClassVar[bool] = False
    example_will_do: bool = True
    """Whether the invented example stands in for data that are not prepared; whoever trains says no."""

    @property
    @abstractmethod
    def dataset(self) -> Dataset:
        """What the data are made from."""

    @abstractmethod
    def check_options(self) -> None:
        """Raise UsageError, `task.<option>=<value>: <reason>`, for an option that cannot be used."""

    @abstractmethod
    def cut(self, prepared: Prepared) -> TaskData:
        """Cut the prepared data into inputs, targets and splits.

        Raises UsageError where they do not suffice for the options.
        """

    def declaration(self) -> dict[str, str]:
        """See Dataset.declaration."""
        self.check_options()
        return self.dataset.declaration()

    def check(self) -> None:
        """Raise UsageError for options or data that cannot be used."""
        self.load(0, 0)

    def files(self) -> tuple[Path, ...]:
        """See Task."""
        return self.dataset.files()

    def prepare(self) -> Path:
        """Prepare the data unless that is done, and return their folder. Raises UsageError as Dataset.prepare does."""
        self.check_options()
        return prepare(self.dataset, self.results)

    def prepared_folder(self) -> Path:
        """See Task."""
        return self.dataset.folder(self.results)

    def load(self, seed: int, replica: int) -> TaskData:
        """Return the data, cut once: the prepared ones, else such as `prepared` gives."""
        return self._cut

    @functools.cached_property
    def prepared(self) -> Prepared:
        """The prepared data; before they are, those of a source that is read in a moment, else the invented example.

        Raises UsageError where the example will not do: another process may be writing the data, or have removed them.
        """
        self.check_options()
        dataset = self.dataset
        folder = dataset.folder(self.results)
        found = _prepared(dataset, self.results, dataset.digest, _stamp(folder), self.example_will_do)
        if found is None:
            raise UsageError(f"{folder}: the data are not prepared, or damaged; try again")
        return found

    @functools.cached_property
    def _cut(self) -> TaskData:
        return self.cut(self.prepared)


@functools.lru_cache(maxsize=4)
def _prepared(dataset: Dataset, results: Path, digest: str, stamp: str, example_will_do: bool) -> Prepared | None:
    """Arms share what they read. ``digest`` tells a file from the same file edited, ``stamp`` what is stored of it.

    None where there is nothing but an example, and it will not do.
    """
    stored = read_prepared(dataset, results)
    if stored is not None:
        return stored
    if not dataset.takes_long:
        return dataset.prepare(results / "data" / RAW)
    return dataset.example() if example_will_do else None


def _stamp(folder: Path) -> str:
    """What changes whenever a folder's stored data do; empty where there are none."""
    try:
        return f"{(folder / ARRAYS).stat().st_mtime_ns} {(folder / PROVENANCE).read_text(encoding='utf-8')}"
    except OSError:
        return ""


def prepare(dataset: Dataset, results: Path) -> Path:
    """Prepare a dataset unless it is there, and return its folder. Raises UsageError as Dataset.prepare does."""
    folder = dataset.folder(results)
    if read_prepared(dataset, results) is None:
        prepared = dataset.prepare(results / "data" / RAW)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **prepared.arrays)
        # An earlier provenance stays until the new one is there: another process may be reading these very data.
        write_atomic(folder / ARRAYS, buffer.getvalue())
        provenance = {
            "name": dataset.name,
            "digest": dataset.digest,
            "source": dataset.shown_source,
            "raw": dataset.declaration(),
            "licence": dataset.licence,
            "options": {key: value for key, value in asdict(dataset).items() if key != "source"},
            "facts": dict(prepared.facts),
            "arrays": {
                name: {"shape": list(own.shape), "dtype": str(own.dtype)} for name, own in prepared.arrays.items()
            },
            "sha256": {ARRAYS: hashlib.sha256(buffer.getvalue()).hexdigest()},
            "python": platform.python_version(),
            "packages": {name: version(name) for name in dataset.packages},
        }
        text = json.dumps(with_checksum(provenance), indent=1, ensure_ascii=False)
        write_atomic(folder / PROVENANCE, text + "\n")
    return folder


def read_prepared(dataset: Dataset, results: Path) -> Prepared | None:
    """Return the stored data of a dataset; None where they are missing, or are not what the provenance says."""
    folder = dataset.folder(results)
    try:
        provenance = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
        content = (folder / ARRAYS).read_bytes()
        if (
            not is_whole(provenance)
            or provenance["digest"] != dataset.digest
            or provenance["sha256"][ARRAYS] != hashlib.sha256(content).hexdigest()
        ):
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return Prepared({name: arrays[name] for name in arrays.files}, provenance["facts"])
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None


def package_declaration(package: str, option: str) -> dict[str, str]:
    """Declare data by the installed package that carries them. Raises UsageError where it is not installed."""
    from importlib.metadata import PackageNotFoundError

    try:
        return {"package": package, "version": version(package)}
    except PackageNotFoundError:
        raise UsageError(f"task.source={option}: the package {package} is not installed") from None


def file_declaration(path: str, valid: Mapping[str, str]) -> dict[str, str]:
    """Declare the user's file by its SHA-256, or a folder by those of its files and their names within it.

    Raises UsageError where there is no such file.
    """
    place = Path(path)
    if place.is_dir():
        listing = "".join(f"{own.relative_to(place).as_posix()} {_sha256(path, own)}\n" for own in files_below(place))
        return {"sha256": hashlib.sha256(listing.encode()).hexdigest()}
    return {"sha256": _sha256(path, place, valid)}


def files_below(place: Path) -> list[Path]:
    """Return a file itself, or the files of a folder and its folders, sorted; nothing where there is no such place.

    Raises UsageError for a name that is no text.
    """
    if place.is_dir():
        return require_text_names(place, sorted(own for own in place.rglob("*") if own.is_file()))
    return [place] if place.is_file() else []


def require_text_names(place: Path, files: list[Path]) -> list[Path]:
    """Return the files of a folder. Raises UsageError for a name that is not UTF-8: no JSON and no line can say it."""
    for file in files:
        name = str(file.relative_to(place))
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{place}: the name of the file {name!r} is not UTF-8 text; rename it") from None
    return files


def _sha256(source: str, file: Path, valid: Mapping[str, str] | None = None) -> str:
    from notafluke.errors import did_you_mean

    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise UsageError(
            f"task.source={source}: there is no such file or folder, nor a source of this name"
            f"{did_you_mean(source, valid or {})}"
        ) from None
    except OSError as error:
        raise UsageError(f"task.source={source}: it cannot be read: {error.strerror}") from None
