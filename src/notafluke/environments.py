"""The full description of the surroundings of a run, stored once for all runs that share it.

``<results>/environments/<first 16 of digest>.json`` holds every installed package, how Python and torch were built, and
what of the code was not committed. The digest is the SHA-256 of the file, so two processes in the same state write the
same file; a run's record holds it. Nothing names the machine, its user or a folder of theirs; secrets are redacted.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from notafluke.errors import UsageError, told_in_one_line
from notafluke.files import write_atomic
from notafluke.git import git, git_bytes
from notafluke.redaction import redact

FOLDER = "environments"
DIFF_LIMIT = 4 * 2**20
"""Bytes of a stored diff at most; beyond, the digests of the changed files still tell two states apart."""
MOST_FILES = 1000
SOURCES = (".py", ".pyi", ".smk", ".yaml", ".yml", ".toml")
"""Endings of untracked files that are listed; also those named ``Snakefile``."""
DIFF = (
    "-c",
    "core.quotePath=true",
    "diff",
    "HEAD",
    # The same text under whatever settings of the user, and of nothing outside the working folder.
    *("--relative", "--binary", "--unified=3", "--diff-algorithm=myers", "--src-prefix=a/", "--dst-prefix=b/"),
    *("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--submodule=short"),
)


_other_results: list[Path] = []


def leave_out(folders: Iterable[Path]) -> None:
    """In this process, and for good: what lies in these folders is no source either, they hold results too."""
    _other_results.extend(folders)


def store_environment(results: Path) -> str:
    """Describe this process and store that unless it is there; the SHA-256 of the file. Imports torch."""
    content = (json.dumps(describe(results), indent=1, sort_keys=True) + "\n").encode()
    digest = hashlib.sha256(content).hexdigest()
    if read_environment(results, digest) is None:
        write_atomic(environment_file(results, digest), content)
    return digest


def read_environment(results: Path, digest: str) -> dict[str, Any] | None:
    """The description of a digest; None where it is missing or not what the digest says."""
    try:
        content = environment_file(results, digest).read_bytes()
        found = json.loads(content) if hashlib.sha256(content).hexdigest() == digest else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def environment_file(results: Path, digest: str) -> Path:
    """Where the description of a digest is stored."""
    return results / FOLDER / f"{digest[:16]}.json"


def describe(results: Path) -> dict[str, Any]:
    """Packages, builds and uncommitted code of this process, as JSON values. Imports torch."""
    import torch

    return {
        "packages": installed_packages(),
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "build": " ".join(platform.python_build()),
            "compiler": platform.python_compiler(),
        },
        "platform": {"system": f"{platform.system()} {platform.machine()}", "libc": " ".join(platform.libc_ver())},
        "torch": {"version": torch.__version__, "cuda": torch.version.cuda or ""},
        "code": uncommitted(results),
    }


@cache
def installed_packages() -> dict[str, str]:
    """Versions of all installed distributions by normalised name; of two with a name the one that Python imports."""
    found: dict[str, str] = {}
    for distribution in distributions():
        if "Name" in distribution.metadata and "Version" in distribution.metadata:
            name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
            found.setdefault(name, distribution.metadata["Version"])
    return dict(sorted(found.items()))


def uncommitted(results: Path) -> dict[str, Any]:
    """What of the working folder is not as committed; nothing without git.

    ``commit``; ``diff`` against it of the tracked files, as text in which a byte that is not UTF-8 is a lone surrogate
    (Python: ``errors="surrogateescape"``), with a ``note`` where it was cut; ``changed`` and ``untracked``, files with
    their SHA-256, empty for one that is gone.
    """
    commit = git("rev-parse", "HEAD")
    content, whole = git_bytes(*DIFF, most=DIFF_LIMIT)
    listed = git_bytes(*DIFF, "--name-only", "-z")[0]
    found: dict[str, Any] = {
        "commit": commit,
        "diff": redact(_text(content)),
        "changed": _digests(_names(listed)),
        "untracked": _digests(_untracked_sources(results)),
    }
    if not whole:
        found["note"] = f"the diff was cut after {DIFF_LIMIT // 2**20} MiB"
    return found


def _untracked_sources(results: Path) -> list[str]:
    """Source files of the working folder that git does not know, without results and hidden folders."""
    # The usual name too, whatever this run's folder of results is called.
    left_out = ("results/", *(f"{Path(os.path.relpath(folder)).as_posix()}/" for folder in (results, *_other_results)))
    listed = git_bytes("ls-files", "--others", "--exclude-standard", "-z")[0]
    return [
        name
        for name in _names(listed)
        if (name.endswith(SOURCES) or Path(name).name == "Snakefile")
        and not name.startswith(left_out)
        and not any(part.startswith(".") for part in Path(name).parts)
    ][:MOST_FILES]


def _digests(names: Iterable[str]) -> dict[str, str]:
    return {redact(name): _digest(Path(name)) for name in names}


def _digest(path: Path) -> str:
    """SHA-256 of a file, of a link the place that it names; empty where there is no such file."""
    try:
        return hashlib.sha256(bytes(path.readlink()) if path.is_symlink() else path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _names(content: bytes) -> list[str]:
    return sorted(_text(name) for name in content.split(b"\0") if name)


def _text(content: bytes) -> str:
    return content.decode("utf-8", errors="surrogateescape")


def main() -> None:
    """``python -m notafluke.environments FILE | git apply``: the diff that a stored description holds."""
    with told_in_one_line(debug=False):
        if len(sys.argv) != 2:
            raise UsageError(
                "name one file: python -m notafluke.environments results/environments/FILE.json | git apply"
            )
        path = Path(sys.argv[1])
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
        if not hashlib.sha256(content).hexdigest().startswith(path.stem):
            raise UsageError(f"{path}: is damaged: it is not what its name says")
        diff = str(json.loads(content)["code"]["diff"])
        sys.stdout.buffer.write(diff.encode("utf-8", errors="surrogateescape"))


if __name__ == "__main__":
    main()
