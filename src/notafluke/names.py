"""Names that become files and folders: what they may look like, and that nothing leads out of ``results/``."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from notafluke.errors import UsageError

RUNS = "runs"
"""The folder of the run records in ``results/``."""
LONGEST = 64
"""Characters of a study, task or option: with what is added, folders stay below the 255 bytes of file systems."""
LONGEST_FILE = 120
"""Characters of a file that a task writes."""
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
DATABASE = "mlflow.db"
"""The beginning of the names of MLflow's database and of what SQLite keeps beside it."""
RESERVED = (
    "data",
    "environments",
    "experiments.jsonl",
    "logs",
    "mlartifacts",
    "mlruns",
    "multirun",
    "readme.md",
    "runs",
)
"""What else there is in ``results/``, in lower case: no study can have such a name."""
WRITTEN = ("environments", "experiments.jsonl", "logs", "mlartifacts", "multirun", RUNS, DATABASE)
"""What is written in ``results/`` beside the folders of studies and data."""
OF_A_STUDY = ("tables", "figures", "registered.yaml", "looks.jsonl")
"""What is written in the folder of a study."""


def require_name(kind: str, name: str, path: Path, others: Iterable[str] = ()) -> None:
    """Raise UsageError where the name of a file in ``conf/`` cannot name a folder: a study, a task or an option.

    ``others`` are the names beside it; two that differ in upper and lower case only are one folder on many computers.
    """
    where = f"{str(path)!r}: the name of {kind}"
    if len(name) > LONGEST:
        raise UsageError(f"{where} has {len(name)} characters; at most {LONGEST} can be used: rename the file")
    if not NAME.fullmatch(name) or name.endswith("."):
        raise UsageError(
            f"{where} can have letters from a to z, digits, '_', '-' and '.', and begins with a letter, digit or '_' "
            "and ends with no '.': rename the file"
        )
    if same := sorted(own for own in others if own != name and own.casefold() == name.casefold()):
        raise UsageError(f"{where} differs from {same[0]!r} in upper and lower case only: rename one of the files")


def require_study_name(name: str, path: Path, others: Iterable[str] = ()) -> None:
    """The same for a study, whose folder lies beside what else is in ``results/``."""
    require_name("a study", name, path, others)
    if name.casefold() in RESERVED or name.casefold().startswith(DATABASE):
        raise UsageError(f"{str(path)!r}: results/{name} is not for a study: rename the file")


def require_file_names(what: str, names: Iterable[str]) -> None:
    """Raise UsageError for names that are not those of plain files in one folder, or that are one file twice."""
    seen: dict[str, str] = {}
    for name in names:
        if not name.isprintable() or name != name.strip() or not name.strip("."):
            raise UsageError(f"{what}: {name!r} is no name of a file")
        if "/" in name or "\\" in name or ":" in name:
            raise UsageError(f"{what}: {name!r} is a path; expected the name of a file alone")
        if len(name.encode("utf-8", "surrogatepass")) > LONGEST_FILE or _surrogates(name):
            raise UsageError(f"{what}: {name[:40]!r}... cannot name a file: at most {LONGEST_FILE} bytes of UTF-8")
        folded = unicodedata.normalize("NFC", name).casefold()
        if (first := seen.setdefault(folded, name)) != name:
            raise UsageError(f"{what}: {first!r} and {name!r} are one file on many computers")


def require_inside(results: Path, *folders: Path | str) -> None:
    """Raise UsageError where a folder below ``results`` leads out of it, because it or one above it is a link.

    ``results`` itself may be a link.
    """
    root = os.path.realpath(results)
    for folder in folders:
        place = os.path.realpath(folder)
        if os.path.commonpath([root, place]) != root or place == root:
            raise UsageError(f"{folder} leads out of {results}, to {place}: nothing is written there; remove the link")


def require_no_way_out(results: Path, study: Path | None = None) -> None:
    """Raise UsageError where something that is written in ``results``, or for a study, is a link that leads out."""
    require_inside(results, *(results / name for name in WRITTEN))
    if study is not None:
        require_inside(results, study, results / "logs" / study.name, *(study / name for name in OF_A_STUDY))


def reached_by_link(results: Path, path: Path) -> bool:
    """Whether a path below ``results`` is a link, or a folder between them is one; also where it is not below.

    ``results`` itself may be a link. What is reached by a link is never removed.
    """
    try:
        parts = path.relative_to(results).parts
    except ValueError:
        return True
    if not parts or os.pardir in parts:
        return True
    return any(results.joinpath(*parts[: length + 1]).is_symlink() for length in range(len(parts)))


def require_results(results: str) -> None:
    """Raise UsageError where the results folder cannot be one: nameless, or a folder that holds the project."""
    if not results.strip() or not results.isprintable():
        raise UsageError(f"execution.results={results!r}: expected the name of a folder, such as results")
    place = os.path.realpath(results)
    if os.path.commonpath([place, os.path.realpath(Path.cwd())]) == place:
        raise UsageError(f"execution.results={results}: it holds the project itself; expected a folder of its own")


def _surrogates(name: str) -> bool:
    return any(unicodedata.category(character) == "Cs" for character in name)
