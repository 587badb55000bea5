"""What must be the same to the byte after two trainings of a study."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from notafluke.files import TEMPORARY

MEASURED = ("timings.csv", "provenance.csv", "provenance.tex")
_PROVENANCE = {
    ".md": re.compile(r"^## Provenance\n.*?(?=^## )", re.MULTILINE | re.DOTALL),
    ".html": re.compile(r"^<h2>Provenance</h2>\n.*?(?=^<(?:h2|details)>)", re.MULTILINE | re.DOTALL),
}


def repeatable(study: Path) -> dict[str, str]:
    """The sha256 of every table and figure in a study's folder, by name, without what is measured or dated.

    That are ``timings.csv``, the tables of provenance, and the section of the pages that shows them; everything else
    counts, but for temporary files, which a killed process leaves. The folder must hold tables, and each page its
    section.
    """
    found = [path for folder in ("tables", "figures") for path in sorted((study / folder).iterdir())]
    files = [path for path in found if not path.name.endswith(TEMPORARY)]
    names = {path.name for path in files}
    assert {"significance.csv", "scores.csv", *MEASURED} <= names, sorted(names)
    return {
        f"{path.parent.name}/{path.name}": hashlib.sha256(_content(path)).hexdigest()
        for path in files
        if path.name not in MEASURED
    }


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix not in _PROVENANCE:
        return content
    text, sections = _PROVENANCE[path.suffix].subn("", content.decode("utf-8"))
    assert sections == 1, f"{path}: {sections} sections of provenance"
    return text.encode("utf-8")
