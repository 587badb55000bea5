"""The longest passage that a text has copied from another."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Overlap:
    """A passage that stands in both texts, and where it starts in each; empty, at 0, where they share nothing."""

    passage: str
    start: int
    source_start: int


def longest_overlap(text: str, source: str) -> Overlap:
    """Return the longest passage of `text` that also stands, letter for letter, in `source`; the first such one.

    Each start in `text` is tried with a passage longer by one than the best so far, so that the source is searched at
    most twice as often as `text` has characters, by Python's search in linear time.
    """
    start, length = 0, 0
    for at in range(len(text)):
        while at + length < len(text) and text[at : at + length + 1] in source:
            start, length = at, length + 1
    passage = text[start : start + length]
    return Overlap(passage, start, source.find(passage))
