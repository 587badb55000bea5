"""The house style: one colour and one marker for each verdict, told apart without colour too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VerdictStyle:
    """How a verdict looks: colour (Okabe-Ito), matplotlib marker, character, filled or not, rich style; its meaning."""

    colour: str
    marker: str
    symbol: str
    filled: bool
    terminal: str
    meaning: str


VERDICT_STYLES: dict[str, VerdictStyle] = {
    "better": VerdictStyle(
        "#009E73",
        "^",
        "▲",
        True,
        "bold green",
        "Significant after correction, ranks and mean agree: the treatment improves the metric.",
    ),
    "worse": VerdictStyle(
        "#D55E00",
        "v",
        "▼",
        True,
        "bold red",
        "Significant after correction, ranks and mean agree: the treatment harms the metric.",
    ),
    "equivalent": VerdictStyle(
        "#0072B2",
        "s",
        "■",
        True,
        "blue",
        "Shown to lie within the smallest effect size of interest (two one-sided tests, corrected).",
    ),
    "no evidence": VerdictStyle(
        "#555555",
        "o",
        "○",
        False,
        "default",
        "Not significant, though an effect of the size of interest would probably have been seen "
        "(or no size was declared: the smallest detectable effect is given).",
    ),
    "underpowered": VerdictStyle(
        "#B07D00",
        "D",
        "◇",
        False,
        "yellow",
        "Not significant, and these seeds could well have missed an effect of the size of interest.",
    ),
    "mixed": VerdictStyle(
        "#CC79A7",
        "X",
        "✖",
        True,
        "magenta",
        "Significant after correction, but ranks and mean point in different directions.",
    ),
    "cannot decide": VerdictStyle(
        "#555555",
        "P",
        "✚",
        False,
        "bright_black",
        "Too few differing pairs for any verdict, or the control itself did not learn the task.",
    ),
    "incomplete": VerdictStyle(
        "#555555", "h", "⬡", False, "bright_black", "Planned runs are absent: nothing is decided."
    ),
}

RESULT_STYLES: dict[str, str] = {
    "holds": "bold green",
    "contradicted": "bold red",
    "does not hold": "yellow",
    "not decided": "yellow",
}

SECTIONS: dict[str, str] = {
    "claims": "Declared claims",
    "controls": "Controls (known answers)",
    "exploratory": "Exploratory (not declared beforehand)",
}

NEUTRAL = "#555555"
INK = "#222222"
BAND = "#56B4E9"


def result_style(result: str) -> str:
    """Return the rich style of a claim's result; ``holds on k of K`` is undecided."""
    return RESULT_STYLES.get(result, "yellow")
