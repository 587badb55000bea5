"""Four-part chorales: Bach's in the package music21, and files in the form of the JSB chorales."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from notafluke.errors import UsageError, did_you_mean
from notafluke.tasks.piano_rolls import HIGHEST, LOWEST, Note, UInt8, piano_roll, roll_of_pitches, sounding_span

Int16: TypeAlias = NDArray[np.int16]
Frames: TypeAlias = list[list[int]]

EMBEDDED: Mapping[str, str] = {
    "music21": (
        "the music (J. S. Bach) is in the public domain; package music21: BSD-3-Clause; encodings: distributed with "
        "music21 by permission of their encoders (M. Greentree among others), some not for commercial use, see "
        "corpus/license.txt of the package"
    )
}
PARTS = ("Soprano", "Alto", "Tenor", "Bass")
SILENT = -1
FILE_SPLITS: Mapping[str, str] = {"train": "train", "valid": "validation", "test": "test"}
"""Keys of a file of chorales, and the splits that they are."""
_FORMATS = (".mxl", ".xml", ".musicxml")


@dataclass(frozen=True, eq=False)
class Chorale:
    """A chorale by its name: voices int16 [frames, 4], the MIDI pitch of soprano, alto, tenor, bass or SILENT."""

    name: str
    voices: Int16

    @property
    def roll(self) -> UInt8:
        """The piano-roll uint8 [frames, KEYS]: voices in unison are one key."""
        return roll_of_pitches([[pitch for pitch in row if pitch != SILENT] for row in self.voices.tolist()])


def require_source(source: object, valid: str) -> None:
    """Raise UsageError when a source is not text; `valid` says what it may be."""
    if not isinstance(source, str) or not source:
        raise UsageError(f"task.source={source!r}: it must be {valid}")


def music21_chorales(frame: float) -> tuple[list[Chorale], dict[str, Any]]:
    """Return Bach's chorales in music21's corpus, sampled every `frame` quarters, and facts: what was left out.

    Taken are the MusicXML files of its core corpus by Bach whose parts are Soprano, Alto, Tenor and Bass. Left out are
    Humdrum files (all rights are reserved in them, and the same chorales are there in MusicXML), analyses, and pieces
    with other parts. Repeats are not played twice; silence before the first note and after the last is cut off.
    It takes about half a minute. Raises UsageError where the package has no such corpus.
    """
    from music21 import converter, stream
    from music21.corpus.corpora import CoreCorpus

    paths = sorted(Path(path) for path in CoreCorpus().getComposer("bach"))
    scores = [path for path in paths if path.suffix in _FORMATS]
    chorales, other_parts = [], []
    for path in scores:
        # forceSource: else music21 keeps, and reads, pickles in the user's temporary folder.
        score = converter.parse(path, forceSource=True)
        chorale = _chorale(path.stem, score, frame) if isinstance(score, stream.Score) else None
        if chorale is None:
            other_parts.append(path.name)
        else:
            chorales.append(chorale)
    if not chorales:
        raise UsageError(
            "task.source=music21: the installed package music21 comes without its corpus of Bach's chorales"
        )
    facts = {
        "files_by_bach": len(paths),
        "left_out_as_no_musicxml": len(paths) - len(scores),
        "left_out_as_not_in_four_parts": len(other_parts),
    }
    return chorales, facts


def _chorale(name: str, score: Any, frame: float) -> Chorale | None:
    """Return a music21 score as a chorale; None where its parts are not the four, or one of them has chords."""
    if tuple(part.partName for part in score.parts) != PARTS:
        return None
    rolls = []
    for part in score.parts:
        notes = list(part.flatten().notes)
        if any(len(note.pitches) != 1 for note in notes):
            return None
        rolls.append(
            piano_roll(
                [Note(own.pitches[0].midi, float(own.offset), float(own.offset + own.quarterLength)) for own in notes],
                frame,
            )
        )
    voices = np.full((max(len(roll) for roll in rolls), len(PARTS)), SILENT, dtype=np.int16)
    for column, roll in enumerate(rolls):
        sounding = roll.any(axis=1)
        voices[: len(roll), column][sounding] = roll[sounding].argmax(axis=1) + LOWEST
    span = sounding_span((voices != SILENT).astype(np.uint8))
    return Chorale(name, voices[span]) if span.stop > span.start else None


def read_chorale_file(source: str, voices: int | None = None) -> dict[str, list[Frames]]:
    """Return the pieces of each split of a JSON file in the form of the JSB chorales.

    ``{"train": [piece, ...], "valid": [...], "test": [...]}``; a piece is a list of frames, a frame a list of MIDI
    pitches from 21 to 108. With `voices` a frame has so many numbers, and -1 is a silent voice. The keys of the answer
    are those of SPLITS. Raises UsageError, naming the place in the file (pieces and frames counted from 0), for what
    has another form, and for a split without pieces or a piece without two frames or without notes.
    """
    content = _json(source)
    if not isinstance(content, dict):
        raise UsageError(f"{source}: {_kind(content)} where an object with the keys {', '.join(FILE_SPLITS)} is needed")
    for key in content:
        if key not in FILE_SPLITS:
            raise UsageError(f"{source}: key {_shown(key)}{did_you_mean(key, FILE_SPLITS)}")
    splits = {}
    for key, split in FILE_SPLITS.items():
        if key not in content:
            raise UsageError(f"{source}: no key {key!r}; it needs the keys {', '.join(FILE_SPLITS)}")
        pieces = content[key]
        if not isinstance(pieces, list) or not pieces:
            found = "no pieces" if pieces == [] else _kind(pieces)
            raise UsageError(f"{source}: {key}: {found} where a list of pieces is needed")
        for number, piece in enumerate(pieces):
            _require_piece(f"{source}: {key}[{number}]", piece, voices)
        splits[split] = pieces
    return splits


def _require_piece(where: str, piece: object, voices: int | None) -> None:
    if not isinstance(piece, list):
        raise UsageError(f"{where}: {_kind(piece)} where a list of frames is needed")
    if len(piece) < 2:
        raise UsageError(f"{where}: the piece has {len(piece)} frames, 2 or more are needed")
    sounds = False
    for number, frame in enumerate(piece):
        if not isinstance(frame, list):
            raise UsageError(f"{where}[{number}]: {_kind(frame)} where a list of pitches is needed")
        if voices is not None and len(frame) != voices:
            raise UsageError(f"{where}[{number}]: {len(frame)} numbers where {voices} are needed, one a voice")
        for pitch in frame:
            whole = isinstance(pitch, int) and not isinstance(pitch, bool)
            silent = voices is not None and whole and pitch == SILENT
            if not silent and not (whole and LOWEST <= pitch <= HIGHEST):
                also = f", or {SILENT} for silence" if voices is not None else ""
                raise UsageError(
                    f"{where}[{number}]: {_shown(pitch)} is not a MIDI pitch from {LOWEST} to {HIGHEST}{also}"
                )
            sounds = sounds or not silent
    if not sounds:
        raise UsageError(f"{where}: the piece has no notes")


def _json(source: str) -> object:
    try:
        text = Path(source).read_bytes().decode("utf-8-sig")
        content: object = json.loads(text)
    except OSError as error:
        raise UsageError(f"task.source={source}: it cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{source}: this is not a JSON file: it is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{source}: row {error.lineno}, column {error.colno}: this is not JSON, or it is cut short: {error.msg}"
        ) from None
    # A number of thousands of digits.
    except ValueError as error:
        raise UsageError(f"{source}: this is not JSON that can be read: {error}") from None
    except RecursionError:
        raise UsageError(f"{source}: the lists are nested too deep for pieces, frames and pitches") from None
    return content


def _kind(value: object) -> str:
    names = {list: "a list", dict: "an object", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:40] + "..."
