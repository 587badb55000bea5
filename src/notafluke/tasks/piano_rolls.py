"""Piano-rolls: which of the 88 keys sound at each frame; and pieces shared out, no music to two splits."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from notafluke.tasks.base import SPLITS

UInt8: TypeAlias = NDArray[np.uint8]

LOWEST, HIGHEST = 21, 108
"""MIDI pitches of a piano: A0 to C8."""
KEYS = HIGHEST - LOWEST + 1
SHARED_QUARTERS = 16
"""Pieces that have so many quarters in common, in any key, go to the same split."""
_SHARES = {"validation": 0.2, "test": 0.2}


@dataclass(frozen=True, eq=False)
class Piece:
    """A piece by its name: roll uint8 [frames, KEYS], 1 where a key sounds."""

    name: str
    roll: UInt8


@dataclass(frozen=True)
class Note:
    """A note: MIDI pitch, and when it begins and ends, in quarters from the beginning of the piece."""

    pitch: int
    begin: float
    end: float


def piano_roll(notes: Iterable[Note], frame: float) -> UInt8:
    """Return which keys sound at the frames 0, `frame`, 2 `frame`, ... quarters: begin <= frame < end.

    A note that begins and ends between two frames is not in it, nor is one outside the piano.
    """
    spans = [
        (note.pitch - LOWEST, math.ceil(note.begin / frame - 1e-6), math.ceil(note.end / frame - 1e-6))
        for note in notes
        if LOWEST <= note.pitch <= HIGHEST
    ]
    roll = np.zeros((max((stop for _, _, stop in spans), default=0), KEYS), dtype=np.uint8)
    for key, first, stop in spans:
        roll[first:stop, key] = 1
    return roll


def roll_of_pitches(frames: Sequence[Iterable[int]]) -> UInt8:
    """Return the piano-roll of the MIDI pitches of each frame; raises IndexError for a pitch outside the piano."""
    roll = np.zeros((len(frames), KEYS), dtype=np.uint8)
    for row, pitches in zip(roll, frames, strict=True):
        for pitch in pitches:
            if not LOWEST <= pitch <= HIGHEST:
                raise IndexError(f"pitch {pitch} is not from {LOWEST} to {HIGHEST}")
            row[pitch - LOWEST] = 1
    return roll


def sounding_span(roll: UInt8) -> slice:
    """Return the frames from the first that sounds to the last; an empty slice where none does."""
    sounding = np.flatnonzero(roll.any(axis=1))
    return slice(int(sounding[0]), int(sounding[-1]) + 1) if len(sounding) else slice(0, 0)


def notes_of(roll: UInt8, frame: float) -> list[Note]:
    """Return the notes of a piano-roll: a key that sounds in frames next to each other is one note, held."""
    edges = np.diff(roll.astype(np.int8), axis=0, prepend=np.int8(0), append=np.int8(0))
    notes = []
    for key in np.flatnonzero(roll.any(axis=0)).tolist():
        begins, ends = np.flatnonzero(edges[:, key] == 1).tolist(), np.flatnonzero(edges[:, key] == -1).tolist()
        notes += [Note(LOWEST + key, a * frame, b * frame) for a, b in zip(begins, ends, strict=True)]
    return sorted(notes, key=lambda note: (note.begin, note.pitch))


def longest_copied_run(written: UInt8, corpus: Sequence[Piece]) -> tuple[int, str, int]:
    """Return the longest run of frames of `written` that stands in a piece as well: length, the piece, its first frame.

    The first piece that has it; ("", 0) and length 0 where not a single frame is in common.
    """
    best = (0, "", 0)
    for piece in corpus:
        equal = (written[:, None, :] == piece.roll[None, :, :]).all(axis=2)
        run = np.zeros(len(piece.roll), dtype=np.int64)
        for row in equal:
            run = np.where(row, np.concatenate(([0], run[:-1])) + 1, 0)
            end = int(run.argmax())
            if run[end] > best[0]:
                best = (int(run[end]), piece.name, end + 1 - int(run[end]))
    return best


def share_out(pieces: Sequence[Piece], frame: float) -> tuple[list[tuple[int, str]], dict[str, Any]]:
    """Return (number, split) of each piece that is kept, in the order of the pieces, and the facts of it.

    A piece with the same notes as an earlier one, in whatever key, is dropped. Pieces that share `SHARED_QUARTERS`
    quarters in a row, in whatever key, are a group: variants of one piece. Groups are sorted by the SHA-256 of the name
    of their first piece; a fifth each, at least one, goes to test and validation, and the rest to training. So the
    split rests on names and notes alone. Fewer than three groups leave a split without pieces.
    """
    bits = [_bits(piece.roll[sounding_span(piece.roll)]) for piece in pieces]
    same: dict[tuple[int, ...], int] = {}
    for number, frames in enumerate(bits):
        same.setdefault(_in_any_key(frames), number)
    kept = sorted(same.values())
    groups = _groups([bits[number] for number in kept], max(2, round(SHARED_QUARTERS / frame)))
    by_group: dict[int, list[int]] = {}
    for number, group in zip(kept, groups, strict=True):
        by_group.setdefault(group, []).append(number)
    ranked = sorted(by_group.values(), key=lambda own: hashlib.sha256(pieces[own[0]].name.encode()).hexdigest())
    splits: dict[int, str] = {}
    waiting = ranked
    for split, share in reversed(_SHARES.items()):
        size = max(1, round(share * len(ranked)))
        splits |= {number: split for own in waiting[:size] for number in own}
        waiting = waiting[size:]
    splits |= {number: SPLITS[0] for own in waiting for number in own}
    facts = {
        "dropped_as_the_same_notes": [pieces[number].name for number in range(len(pieces)) if number not in splits],
        "groups_of_variants": [[pieces[number].name for number in own] for own in by_group.values() if len(own) > 1],
    }
    return [(number, splits[number]) for number in kept], facts


def _groups(pieces: Sequence[tuple[int, ...]], window: int) -> list[int]:
    """Return the group of each piece: the number of its first piece."""
    group = list(range(len(pieces)))
    seen: dict[tuple[int, ...], int] = {}
    for number, frames in enumerate(pieces):
        for first in range(len(frames) - window + 1):
            part = frames[first : first + window]
            # A held chord, or two in turn, say nothing of where they come from.
            if len(set(part)) <= window // 4:
                continue
            other = group[seen.setdefault(_in_any_key(part), number)]
            if other != group[number]:
                low, high = sorted((other, group[number]))
                group = [low if own == high else own for own in group]
    return group


def _bits(roll: UInt8) -> tuple[int, ...]:
    """One whole number a frame, whose bit k is key k."""
    packed = np.packbits(roll, axis=1, bitorder="little")
    return tuple(int.from_bytes(row.tobytes(), "little") for row in packed)


def _in_any_key(frames: Sequence[int]) -> tuple[int, ...]:
    """Shift frames so that the lowest key of them all is bit 0: the same for a transposed copy."""
    keys = 0
    for frame in frames:
        keys |= frame
    lowest = (keys & -keys).bit_length() - 1 if keys else 0
    return tuple(frame >> lowest for frame in frames)
