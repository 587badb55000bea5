"""A readable table as LaTeX, to be read in with ``\\input``; needs the package booktabs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from notafluke.report.numbers import typographic
from notafluke.report.suite_tables import Column

_ESCAPES = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "\N{MINUS SIGN}": "$-$",
}


# 1.2e-05, or [1, 2] e-05
_EXPONENT = re.compile(r"((?:^|[^\w.])[\d.]+|\])\s?e([+-]\d\d)\b")


def latex_text(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], title: str) -> str:
    """Return a ``tabular`` with rules of booktabs, below a comment with the title; cells are escaped."""
    layout = "".join("r" if column.numeric else "l" for column in columns)
    lines = [
        f"% {' '.join(title.split())}",
        r"% needs \usepackage{booktabs}",
        rf"\begin{{tabular}}{{{layout}}}",
        r"\toprule",
        _line(column.heading for column in columns),
        r"\midrule",
        *(_line(typographic(column.text(row)) for column in columns) for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Return text with LaTeX's special characters as they are to be seen, in one line.

    >>> escaped("loss_a & 95 %")
    'loss\\\\_a \\\\& 95 \\\\%'
    """
    plain = "".join(_ESCAPES.get(character, character) for character in " ".join(text.split()))
    # Behind a line break [ and * would be its arguments.
    guarded = f"{{{plain[0]}}}{plain[1:]}" if plain[:1] in ("[", "*") else plain
    return _EXPONENT.sub(lambda found: rf"{found[1]}$\times 10^{{{int(found[2])}}}$", guarded)


def _line(cells: Iterable[str]) -> str:
    return " & ".join(escaped(cell) for cell in cells) + r" \\"
