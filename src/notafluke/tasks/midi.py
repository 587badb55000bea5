"""MIDI files, read and written with music21."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from notafluke.errors import UsageError
from notafluke.tasks.piano_rolls import HIGHEST, LOWEST, Note, Piece, UInt8, notes_of, piano_roll, sounding_span

GRID = 4
"""Played notes are moved to the nearest such part of a frame, so that one that comes late still counts."""
PERCUSSION = 10
"""The channel of General MIDI whose numbers are drums, not pitches."""
_SUFFIXES = (".mid", ".midi")


def read_midi_folder(source: str, frame: float) -> tuple[list[Piece], dict[str, Any]]:
    """Return the pieces of all MIDI files in a folder and the folders below it, sorted by name, and facts.

    A piece is named by the path of its file within the folder, without suffix. Notes are moved to the nearest
    `frame / GRID` quarters, each at least as long, then sampled every `frame` quarters, from the first that sounds to
    the last; drums and notes outside the piano are left out and counted. Raises UsageError where there is no such file,
    or for the first that cannot be read, or that has not two frames with notes.
    """
    folder = Path(source)
    files = sorted(own for own in folder.rglob("*") if own.suffix.lower() in _SUFFIXES and own.is_file())
    if not files:
        raise UsageError(f"task.source={source}: no MIDI file (*.mid, *.midi) is in this folder")
    pieces: list[Piece] = []
    drums = outside = 0
    for file in files:
        notes, own_drums = read_midi(file)
        drums += own_drums
        outside += sum(not LOWEST <= note.pitch <= HIGHEST for note in notes)
        roll = piano_roll([_on_grid(note, frame / GRID) for note in notes], frame)
        roll = roll[sounding_span(roll)]
        if len(roll) < 2:
            few = "no notes" if len(roll) == 0 else "notes in one frame only"
            raise UsageError(f"{file}: it has {few} (from {LOWEST} to {HIGHEST}, drums apart); two frames are needed")
        pieces.append(Piece(file.relative_to(folder).with_suffix("").as_posix(), roll))
    name, count = Counter(piece.name for piece in pieces).most_common(1)[0]
    if count > 1:
        raise UsageError(f"task.source={source}: {count} files are named {name}, with different suffixes")
    facts = {"files": len(files), "notes_of_drums_left_out": drums, "notes_outside_the_piano_left_out": outside}
    return pieces, facts


def read_midi(file: Path) -> tuple[list[Note], int]:
    """Return the notes of a MIDI file, and how many it has of drums; tempo does not matter.

    Raises UsageError, naming the file, when it cannot be read.
    """
    from music21.midi import MetaEvents, MidiFile
    from music21.midi.translate import getNotesFromEvents, getTimeForEvents

    midi = MidiFile()
    try:
        midi.readstr(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{file}: it cannot be read: {error.strerror}") from None
    # music21 raises whatever its parser meets in a broken file: IndexError, ValueError, its own.
    except Exception as error:
        raise UsageError(f"{file}: this is not a MIDI file, or it is cut short: {error}") from None
    if midi.ticksPerSecond is not None or not midi.ticksPerQuarterNote:
        raise UsageError(f"{file}: its time is in seconds, not in quarters (SMPTE)")
    notes: list[Note] = []
    drums = 0
    for number, track in enumerate(midi.tracks, start=1):
        if not track.events or track.events[-1].type != MetaEvents.END_OF_TRACK:
            raise UsageError(f"{file}: it is cut short: track {number} has no end")
        for own in getNotesFromEvents(getTimeForEvents(track)):
            if own.event.channel == PERCUSSION:
                drums += 1
            elif own.event.pitch is not None:
                quarter = midi.ticksPerQuarterNote
                notes.append(Note(own.event.pitch, own.onTime / quarter, own.offTime / quarter))
    return notes, drums


def write_midi(roll: UInt8, frame: float) -> bytes:
    """Return a MIDI file of a piano-roll; a key that sounds in frames next to each other is one note, held."""
    from music21 import note, stream
    from music21.midi.translate import streamToMidiFile

    part: Any = stream.Part()  # type: ignore[no-untyped-call]
    for own in notes_of(roll, frame):
        part.insert(own.begin, note.Note(own.pitch, quarterLength=own.end - own.begin))
    content: bytes = streamToMidiFile(part).writestr()
    return content


def _on_grid(note: Note, step: float) -> Note:
    begin = round(note.begin / step)
    return Note(note.pitch, begin * step, max(round(note.end / step), begin + 1) * step)
