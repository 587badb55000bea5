"""What becomes of chorales, JSON and MIDI files: frames by hand, pieces shared out, and every bad file in one line."""

from __future__ import annotations

import itertools
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from music21 import clef, converter, corpus, midi, note, stream
from music21.corpus.corpora import CoreCorpus
from music21.midi.translate import streamToMidiFile

from notafluke.errors import UsageError
from notafluke.tasks.chorales import music21_chorales, read_chorale_file
from notafluke.tasks.midi import read_midi, read_midi_folder, write_midi
from notafluke.tasks.music import MusicDataset
from notafluke.tasks.piano_rolls import (
    KEYS,
    LOWEST,
    Note,
    Piece,
    longest_copied_run,
    notes_of,
    piano_roll,
    roll_of_pitches,
    share_out,
)

Pitches = list[list[int]]
WALK: Pitches = [[48 + step, 60 + step, 84] for step in (0, 2, 4, 5, 7, 9, 11, 12)]


def pitches(roll: np.ndarray) -> Pitches:
    """The MIDI pitches of each frame."""
    return [(np.flatnonzero(row) + LOWEST).tolist() for row in roll]


def line(*notes: tuple[float, float, int], name: str = "") -> stream.Part:
    """A part of notes (begin, duration, pitch) in quarters."""
    part = stream.Part()
    part.partName = name
    for begin, duration, pitch in notes:
        part.insert(begin, note.Note(pitch, quarterLength=duration))
    return part


def save_midi(path: Path, *notes: tuple[float, float, int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(streamToMidiFile(line(*notes)).writestr())
    return path


def walk(seed: int, frames: int = 24) -> Pitches:
    """Two voices at random: pieces of different music."""
    rng = np.random.default_rng(seed)
    return rng.integers(50, 80, (frames, 2)).tolist()


class TestPianoRolls:
    def test_a_key_sounds_from_its_beginning_to_before_its_end(self) -> None:
        notes = [Note(60, 0, 2), Note(64, 0.5, 1), Note(67, 1, 1.5), Note(20, 0, 9), Note(109, 0, 9), Note(72, 2, 2)]
        assert pitches(piano_roll(notes, 1.0)) == [[60], [60, 67]]
        assert pitches(piano_roll(notes, 0.5)) == [[60], [60, 64], [60, 67], [60]]

    def test_thirds_of_a_quarter_are_no_matter_of_rounding(self) -> None:
        thirds = [Note(60 + n, float(Fraction(n, 3)), float(Fraction(n + 1, 3))) for n in range(7)]
        assert pitches(piano_roll(thirds, 1.0)) == [[60], [63], [66]]

    @given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 12), st.just(KEYS)), elements=st.integers(0, 1)))
    @settings(max_examples=30, deadline=None)
    def test_notes_and_frames_are_the_same_music(self, roll: np.ndarray) -> None:
        end = int(np.flatnonzero(roll.any(axis=1)).max(initial=-1)) + 1
        assert np.array_equal(piano_roll(notes_of(roll, 0.25), 0.25), roll[:end])

    def test_the_longest_copied_run_ends_with_a_piece(self) -> None:
        corpus_ = [
            Piece("a", roll_of_pitches([[60], [62], [64]])),
            Piece("b", roll_of_pitches([[65], [67], [64], [65]])),
        ]
        assert longest_copied_run(roll_of_pitches([[50], [62], [64], [65], [67]]), corpus_) == (2, "a", 1)
        assert longest_copied_run(roll_of_pitches([[64], [65], [67], [64], [65]]), corpus_) == (4, "b", 0)
        assert longest_copied_run(roll_of_pitches([[50]]), corpus_) == (0, "", 0)

    @given(st.lists(st.integers(0, 2), min_size=1, max_size=12), st.lists(st.integers(0, 2), min_size=1, max_size=12))
    @settings(max_examples=60, deadline=None)
    def test_the_longest_copied_run_against_a_slow_search(self, written: list[int], piece: list[int]) -> None:
        parts = {tuple(piece[a:b]) for a in range(len(piece)) for b in range(a + 1, len(piece) + 1)}
        own = [written[a:b] for a in range(len(written)) for b in range(a + 1, len(written) + 1)]
        slow = max((len(part) for part in own if tuple(part) in parts), default=0)
        rolls = [roll_of_pitches([[60 + symbol] for symbol in symbols]) for symbols in (written, piece)]
        length, _, first = longest_copied_run(rolls[0], [Piece("p", rolls[1])])
        assert length == slow
        assert tuple(piece[first : first + length]) in {tuple(part) for part in own} | {()}

    def test_the_same_notes_in_another_key_are_dropped_and_variants_stay_together(self) -> None:
        music = {f"piece {number}": walk(number) for number in range(12)}
        music["transposed"] = [[pitch + 3 for pitch in frame] for frame in music["piece 4"]]
        music["variant"] = [[pitch - 2 for pitch in frame] for frame in music["piece 7"][:17]] + walk(99)
        music["held"] = [[60]] * 30
        music["held too"] = [[60]] * 25 + [[55]]
        pieces = [Piece(name, roll_of_pitches(frames)) for name, frames in music.items()]
        kept, facts = share_out(pieces, 1.0)
        splits = {pieces[number].name: split for number, split in kept}
        assert facts["dropped_as_the_same_notes"] == ["transposed"]
        assert facts["groups_of_variants"] == [["piece 7", "variant"]]
        assert splits["piece 7"] == splits["variant"]
        assert set(splits) == set(music) - {"transposed"}
        groups = len(splits) - 1
        alone = [split for name, split in splits.items() if name != "variant"]
        assert [alone.count(split) for split in ("validation", "test")] == [round(groups / 5)] * 2

    def test_the_split_rests_on_names_not_on_their_order(self) -> None:
        pieces = [Piece(f"piece {number}", roll_of_pitches(walk(number))) for number in range(10)]
        forward = {pieces[number].name: split for number, split in share_out(pieces, 1.0)[0]}
        back = {pieces[::-1][number].name: split for number, split in share_out(pieces[::-1], 1.0)[0]}
        assert forward == back
        assert sorted(forward.values()) == ["test"] * 2 + ["train"] * 6 + ["validation"] * 2


class TestMidi:
    def test_known_frames(self, tmp_path: Path) -> None:
        """The third note ends between two frames, the last is a sixteenth at a frame, silence is cut off."""
        file = save_midi(tmp_path / "a.mid", (2, 2, 60), (2, 1, 64), (3, 1.5, 67), (5, 0.25, 72), (4.5, 0.5, 50))
        (piece,), facts = read_midi_folder(str(tmp_path), 1.0)
        assert (piece.name, pitches(piece.roll)) == ("a", [[60, 64], [60, 67], [67], [72]])
        assert facts["files"] == 1
        (eighths,), _ = read_midi_folder(str(tmp_path), 0.5)
        assert pitches(eighths.roll) == [[60, 64], [60, 64], [60, 67], [60, 67], [67], [50], [72]]
        assert read_midi(file)[0][0] == Note(60, 2.0, 4.0)

    def test_notes_that_come_a_little_late_still_count(self, tmp_path: Path) -> None:
        save_midi(tmp_path / "a.mid", (0.02, 0.97, 60), (1.03, 0.9, 62), (1.97, 0.05, 64))
        assert pitches(read_midi_folder(str(tmp_path), 1.0)[0][0].roll) == [[60], [62], [64]]

    def test_what_is_written_is_read_again(self, tmp_path: Path) -> None:
        roll = roll_of_pitches([*WALK, [], [21, 108], [108]])
        (tmp_path / "w.mid").write_bytes(write_midi(roll, 0.5))
        assert pitches(read_midi_folder(str(tmp_path), 0.5)[0][0].roll) == pitches(roll)
        assert write_midi(roll, 0.5) == write_midi(roll, 0.5)
        score = converter.parse(tmp_path / "w.mid", forceSource=True)
        assert {pitch.midi for own in score.flatten().notes for pitch in own.pitches} == {
            pitch for frame in pitches(roll) for pitch in frame
        }

    def test_drums_and_notes_outside_the_piano_are_counted(self, tmp_path: Path) -> None:
        content = streamToMidiFile(line((0, 1, 60), (1, 1, 62), (2, 1, 110)))
        drums = streamToMidiFile(line((0, 4, 40)))
        for event in drums.tracks[1].events:
            if isinstance(event.type, midi.ChannelVoiceMessages):
                event.channel = 10
        content.tracks.append(drums.tracks[1])
        (tmp_path / "a.mid").write_bytes(content.writestr())
        (piece,), facts = read_midi_folder(str(tmp_path), 1.0)
        assert pitches(piece.roll) == [[60], [62]]
        assert facts == {"files": 1, "notes_of_drums_left_out": 1, "notes_outside_the_piano_left_out": 1}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "a.mid: this is not a MIDI file, or it is cut short: "),
            (b"hello", "a.mid: this is not a MIDI file, or it is cut short: badly formatted"),
            (write_midi(roll_of_pitches(WALK), 1.0)[:-1], "a.mid: this is not a MIDI file, or it is cut short: "),
            (write_midi(roll_of_pitches(WALK), 1.0)[:-5], "a.mid: it is cut short: track 2 has no end"),
            (write_midi(roll_of_pitches([[]]), 1.0), "a.mid: it has no notes (from 21 to 108, drums apart)"),
            (write_midi(roll_of_pitches([[60]]), 1.0), "a.mid: it has notes in one frame only"),
        ],
    )
    def test_files_that_cannot_be_used(self, tmp_path: Path, content: bytes, message: str) -> None:
        save_midi(tmp_path / "b.mid", (0, 1, 60), (1, 1, 62))
        (tmp_path / "a.mid").write_bytes(content)
        with pytest.raises(UsageError) as caught:
            read_midi_folder(str(tmp_path), 1.0)
        assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(message)

    def test_time_in_seconds_is_refused(self, tmp_path: Path) -> None:
        content = bytearray(write_midi(roll_of_pitches(WALK), 1.0))
        content[12:14] = bytes([256 - 25, 24])
        (tmp_path / "a.mid").write_bytes(content)
        with pytest.raises(UsageError, match=r"a\.mid: its time is in seconds"):
            read_midi_folder(str(tmp_path), 1.0)

    def test_folders_without_pieces(self, tmp_path: Path) -> None:
        (tmp_path / "readme.txt").write_text("nothing")
        with pytest.raises(UsageError, match=r"no MIDI file \(\*\.mid, \*\.midi\) is in this folder"):
            read_midi_folder(str(tmp_path), 1.0)
        for name in ("a.mid", "a.mid-b.mid", "a.midi"):
            save_midi(tmp_path / name, (0, 1, 60), (1, 1, 62))
        with pytest.raises(UsageError, match="2 files are named a, with different suffixes"):
            read_midi_folder(str(tmp_path), 1.0)

    def test_a_folder_is_shared_out_by_piece_or_says_itself_how(self, tmp_path: Path) -> None:
        for number in range(5):
            notes = [(step, 1.0, pitch) for step, frame in enumerate(walk(number)) for pitch in set(frame)]
            save_midi(tmp_path / "plain" / f"{number}.mid", *notes)
            folder = ("train", "train", "train", "valid", "test")[number]
            save_midi(tmp_path / "own" / folder / f"{number}.MID", *notes)
        plain, own = (MusicDataset(str(tmp_path / name), 1.0).prepare(tmp_path) for name in ("plain", "own"))
        assert sorted(plain.arrays["splits"].tolist()) == ["test"] + ["train"] * 3 + ["validation"]
        assert plain.arrays["names"].tolist() == ["0", "1", "2", "3", "4"]
        (tmp_path / "plain" / "0.mid").rename(tmp_path / "plain" / "train.mid")
        named = MusicDataset(str(tmp_path / "plain"), 1.0).prepare(tmp_path)
        assert len(set(named.arrays["splits"].tolist())) == 3, "a file is no folder"
        assert dict(zip(own.arrays["names"].tolist(), own.arrays["splits"].tolist(), strict=True)) == {
            "test/4": "test",
            "train/0": "train",
            "train/1": "train",
            "train/2": "train",
            "valid/3": "validation",
        }

    def test_too_little_different_music(self, tmp_path: Path) -> None:
        for number in range(4):
            save_midi(tmp_path / f"{number}.mid", (0, 1, 60), (1, 1, 62 + min(number, 1)))
        with pytest.raises(UsageError, match="no piece is left for the train split; three or more"):
            MusicDataset(str(tmp_path), 1.0).prepare(tmp_path)


def good() -> dict[str, list[Pitches]]:
    return {"train": [WALK, WALK[:3]], "valid": [WALK[2:]], "test": [WALK[1:]]}


class TestJson:
    def test_the_files_own_split_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "a.json"
        path.write_text(json.dumps(good() | {"train": [WALK, [[60, 60], [62]]]}))
        prepared = MusicDataset(str(path), 1.0).prepare(tmp_path)
        starts, frames = prepared.arrays["starts"].tolist(), prepared.arrays["frames"]
        own = [pitches(frames[a:b]) for a, b in itertools.pairwise(starts)]
        assert own == [WALK, [[60], [62]], WALK[2:], WALK[1:]]
        assert prepared.arrays["splits"].tolist() == ["train", "train", "validation", "test"]
        assert prepared.facts["pitches_twice_in_a_frame"] == 1
        assert prepared.facts["pieces"] == {"train": 2, "validation": 1, "test": 1}
        assert frames.dtype == np.uint8 and prepared.arrays["names"].dtype.kind == "U"

    def test_a_piece_in_two_splits_is_told(self, tmp_path: Path) -> None:
        path = tmp_path / "a.json"
        path.write_text(json.dumps(good() | {"test": [WALK]}))
        assert MusicDataset(str(path), 1.0).prepare(tmp_path).facts["pieces_in_more_than_one_split"] == 1

    @pytest.mark.parametrize(
        ("content", "voices", "message"),
        [
            (json.dumps(good())[:40], None, "row 1, column "),
            ("", None, "row 1, column 1: this is not JSON, or it is cut short"),
            (b"\xff\xfe", None, "this is not a JSON file: it is not UTF-8 text"),
            ("[" * 200_000, None, "the lists are nested too deep"),
            ("9" * 5000, None, "this is not JSON that can be read: Exceeds the limit (4300 digits)"),
            ([], None, "a list where an object with the keys train, valid, test is needed"),
            ({**good(), "vaild": []}, None, "key \"vaild\"; did you mean 'valid'? valid: test, train, valid"),
            ({"train": [WALK], "test": [WALK]}, None, "no key 'valid'"),
            ({**good(), "valid": []}, None, "valid: no pieces where a list of pieces is needed"),
            ({**good(), "test": "none"}, None, "test: text where a list of pieces is needed"),
            ({**good(), "test": [WALK, {}]}, None, "test[1]: an object where a list of frames is needed"),
            ({**good(), "train": [WALK, []]}, None, "train[1]: the piece has 0 frames, 2 or more are needed"),
            ({**good(), "train": [[[60]]]}, None, "train[0]: the piece has 1 frames, 2 or more are needed"),
            ({**good(), "train": [[[], []]]}, None, "train[0]: the piece has no notes"),
            ({**good(), "train": [[[60], 60]]}, None, "train[0][1]: a number where a list of pitches is needed"),
            ({**good(), "train": [[[60], [20]]]}, None, "train[0][1]: 20 is not a MIDI pitch from 21 to 108"),
            ({**good(), "train": [[[60], [109]]]}, None, "train[0][1]: 109 is not a MIDI pitch from 21 to 108"),
            ({**good(), "train": [[[60], [-1]]]}, None, "train[0][1]: -1 is not a MIDI pitch from 21 to 108"),
            ({**good(), "train": [[[60], [True]]]}, None, "train[0][1]: true is not a MIDI pitch"),
            ({**good(), "train": [[[60], [60.5]]]}, None, "train[0][1]: 60.5 is not a MIDI pitch"),
            ({**good(), "train": [[["x" * 99]] * 2]}, None, f'train[0][0]: "{"x" * 39}... is not a MIDI pitch'),
            (good(), 4, "train[0][0]: 3 numbers where 4 are needed, one a voice"),
            ({**good(), "train": [[[1, 2, 3, -2]] * 2]}, 4, "train[0][0]: 1 is not a MIDI pitch from 21 to 108, or -1"),
            ({**good(), "train": [[[-1] * 4] * 2]}, 4, "train[0]: the piece has no notes"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_what_is_wrong_stands_in_one_line(
        self, tmp_path: Path, content: Any, voices: int | None, message: str
    ) -> None:
        path = tmp_path / "a.json"
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(UsageError) as caught:
            read_chorale_file(str(path), voices)
        assert str(caught.value).removeprefix(f"{path}: ").startswith(message)
        assert "\n" not in str(caught.value)


class TestMusic21:
    def test_quarters_of_a_chorale_are_what_chordify_finds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Independent: music21's own reduction to chords, at each quarter of a chorale with eighths and rests."""
        paths = [path for path in CoreCorpus().getComposer("bach") if path.stem in ("bwv133.6", "bwv281", "bwv1.6")]
        monkeypatch.setattr(CoreCorpus, "getComposer", lambda *_: paths)
        chorales, facts = music21_chorales(1.0)
        assert [own.name for own in chorales if own.name != "bwv281"] == ["bwv133.6"]
        assert facts["left_out_as_not_in_four_parts"] == 1, "bwv1.6 has a horn"
        (chorale,) = [own for own in chorales if own.name == "bwv133.6"]
        chords = corpus.parse("bach/bwv133.6").chordify().flatten().notes
        spans = [(own.offset, own.offset + own.quarterLength, {pitch.midi for pitch in own.pitches}) for own in chords]
        expected = [
            sorted(set().union(*(own for begin, end, own in spans if begin <= quarter < end)))
            for quarter in range(int(max(end for _, end, _ in spans)))
        ]
        first = next(number for number, frame in enumerate(expected) if frame)
        assert pitches(chorale.roll) == expected[first : first + len(chorale.roll)]
        assert not any(expected[first + len(chorale.roll) :])
        assert len(chorale.roll) > 40

    def test_a_package_without_its_corpus(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(CoreCorpus, "getComposer", lambda *_: [])
        with pytest.raises(UsageError, match=r"task\.source=music21: the installed package music21 comes without"):
            music21_chorales(1.0)

    def test_four_parts_by_hand(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        names = ("Soprano", "Alto", "Tenor", "Bass")
        voices = [[(1, 2, 72), (3, 1, 74)], [(1, 3, 65)], [(1, 0.5, 60), (1.5, 0.5, 59), (2, 1, 57)], [(2, 2, 57)]]
        for name, parts in {"whole": voices, "trio": voices[:3]}.items():
            score = stream.Score([line(*own, name=label) for own, label in zip(parts, names, strict=False)])
            score.parts[0].insert(0, clef.TrebleClef())
            score.write("musicxml", tmp_path / f"{name}.musicxml")
        (tmp_path / "analysis.rntxt").write_text("")
        monkeypatch.setattr(CoreCorpus, "getComposer", lambda *_: sorted(tmp_path.iterdir(), reverse=True))
        (chorale,), facts = music21_chorales(1.0)
        assert chorale.name == "whole"
        assert chorale.voices.tolist() == [[72, 65, 60, -1], [72, 65, 57, 57], [74, 65, -1, 57]]
        assert pitches(chorale.roll) == [[60, 65, 72], [57, 65, 72], [57, 65, 74]]
        assert facts == {"files_by_bach": 3, "left_out_as_no_musicxml": 1, "left_out_as_not_in_four_parts": 1}
