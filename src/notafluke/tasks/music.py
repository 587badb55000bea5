"""Polyphonic music: which of the 88 keys of a piano sound next (Bach's chorales, MIDI files, or the JSB chorales)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from notafluke.errors import UsageError
from notafluke.tasks.base import (
    SPLITS,
    Baseline,
    Float32,
    Kind,
    Metric,
    Prompts,
    Split,
    TargetsAt,
    TaskData,
    all_finite,
    require_shape,
    require_whole,
)
from notafluke.tasks.chorales import EMBEDDED, music21_chorales, read_chorale_file, require_source
from notafluke.tasks.dataset import Dataset, DatasetTask, Prepared, file_declaration, package_declaration
from notafluke.tasks.midi import read_midi_folder, write_midi
from notafluke.tasks.piano_rolls import KEYS, LOWEST, Piece, UInt8, longest_copied_run, roll_of_pitches, share_out

MIDI_SPLITS: Mapping[str, str] = {"train": "train", "valid": "validation", "validation": "validation", "test": "test"}
"""Folders that share out MIDI files themselves, and the splits that they are."""


@dataclass(frozen=True)
class MusicDataset(Dataset):
    """Pieces as piano-rolls, each in one split.

    source: "music21" (Bach's chorales), a JSON file in the form of the JSB chorales, or a folder of MIDI files.
    frame: quarters from frame to frame, of music21 and MIDI; a JSON file has frames of its own.

    Arrays: frames uint8 [all frames, KEYS], the pieces one after the other; starts int64 [pieces + 1], where each
    begins; names and splits, text [pieces]. A JSON file, and a folder of MIDI files that all lie in folders train,
    valid (or validation) and test, say themselves what is for training; else see `piano_rolls.share_out`.
    """

    frame: float

    name: ClassVar[str] = "music"
    embedded: ClassVar[Mapping[str, str]] = EMBEDDED
    packages: ClassVar[tuple[str, ...]] = ("numpy", "music21")

    def declaration(self) -> dict[str, str]:
        """See Dataset."""
        if self.source in self.embedded:
            return package_declaration("music21", self.source)
        declared = file_declaration(self.source, self.embedded)
        # music21 reads MIDI files, and not each version the same.
        return declared | ({"music21": version("music21")} if Path(self.source).is_dir() else {})

    @property
    def takes_long(self) -> bool:
        """All but a JSON file."""
        return self.source in self.embedded or Path(self.source).is_dir()

    def prepare(self, raw: Path) -> Prepared:
        """See Dataset."""
        if self.source in self.embedded:
            chorales, facts = music21_chorales(self.frame)
            pieces = [Piece(own.name, own.roll) for own in chorales]
            return self._shared_out([own for own in pieces if len(own.roll) >= 2], facts)
        if Path(self.source).is_dir():
            pieces, facts = read_midi_folder(self.source, self.frame)
            folders = [own.name.rpartition("/")[0].partition("/")[0] for own in pieces]
            if set(folders) <= set(MIDI_SPLITS):
                return _prepared(pieces, [MIDI_SPLITS[folder] for folder in folders], facts, self.source)
            return self._shared_out(pieces, facts)
        return self._of_json()

    def example(self) -> Prepared:
        """Ten invented pieces of three voices that walk at random in C major."""
        rng = np.random.default_rng(0)
        scale = np.array([60, 62, 64, 65, 67, 69, 71])
        pieces = []
        for number in range(10):
            steps = np.cumsum(rng.integers(-1, 2, (200, 3)), axis=0) % len(scale)
            pitches = scale[steps] + np.array([-24, -12, 0])
            pieces.append(Piece(f"example {number}", roll_of_pitches(pitches.tolist())))
        return _prepared(pieces, ["train"] * 6 + ["validation"] * 2 + ["test"] * 2, {}, "example")

    def _shared_out(self, pieces: Sequence[Piece], facts: dict[str, Any]) -> Prepared:
        kept, of_split = share_out(pieces, self.frame)
        return _prepared([pieces[own] for own, _ in kept], [split for _, split in kept], facts | of_split, self.source)

    def _of_json(self) -> Prepared:
        pieces, splits = [], []
        repeated = 0
        for split, own in read_chorale_file(self.source).items():
            for number, frames in enumerate(own):
                pieces.append(Piece(f"{split} {number}", roll_of_pitches(frames)))
                splits.append(split)
                repeated += sum(len(frame) - len(set(frame)) for frame in frames)
        return _prepared(pieces, splits, {"pitches_twice_in_a_frame": repeated}, self.source)


@dataclass(frozen=True, eq=False)
class MusicData(TaskData):
    """The data of `Music`, and whole pieces of training (what may have been copied) and test (what is gone on with)."""

    train_pieces: tuple[Piece, ...]
    test_pieces: tuple[Piece, ...]


class Music(DatasetTask):
    """Predict which keys sound at the next frame from all frames of the piece before it.

    Inputs [steps, 88]: frames t = 0, 1, ... of a piece, 1 where a key (MIDI 21 to 108) sounds; targets [steps, 88]: the
    frames t + 1. The first frame of a piece is never predicted (as Bai, Kolter and Koltun 2018). A piece is cut into
    parts of `length` steps one after the other, each from a fresh state; the last is padded with silence that counts
    nowhere. With length None pieces stay whole, padded to the longest. The index names the piece and the frame (from 0)
    of the first input.

    Metrics, over the counted frames:
    - nll, nats a frame (primary): frame-level negative log-likelihood, the sum over the keys of
      -[y log p + (1 - y) log(1 - p)], mean over frames (Boulanger-Lewandowski, Bengio and Vincent 2012).
    - note_f1: F1 = 2 TP / (2 TP + FP + FN) over all keys of all frames (micro), sounding where p > 0.5.
    - frame_accuracy: TP / (TP + FP + FN) over the same (Bay, Ehmann and Downie 2009).

    Baselines: unigram (nll of each key at its frequency in the training targets, (k + 1/2) / (n + 1) for k of n frames;
    trivial); repeat (note_f1 of the frame before once more).

    Each trained network goes on from the first `prompt` frames of the first `samples` test pieces for `written` frames,
    each key drawn by itself. What it wrote is kept as MIDI files, with a text that says how much of it was copied.
    """

    kind: ClassVar[Kind] = "labels"
    targets_at: ClassVar[TargetsAt] = "every"
    primary_metric = "nll"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("nll", "lower", "nats a frame"),
        Metric("note_f1", "higher"),
        Metric("frame_accuracy", "higher"),
    )

    def __init__(
        self,
        *,
        source: str,
        frame: float = 1.0,
        length: int | None = 64,
        samples: int = 3,
        prompt: int = 16,
        written: int = 64,
    ) -> None:
        """Store the options (see the class and `MusicDataset`); `check` judges them."""
        self.source = source
        self.frame = frame
        self.length = length
        self.samples = samples
        self.prompt = prompt
        self.written = written

    @property
    def input_size(self) -> int:
        """One feature a key."""
        return KEYS

    @property
    def output_size(self) -> int:
        """One label a key."""
        return KEYS

    @property
    def dataset(self) -> MusicDataset:
        """See DatasetTask."""
        return MusicDataset(self.source, float(self.frame))

    def check_options(self) -> None:
        """See DatasetTask."""
        require_source(self.source, "music21, or the path of a JSON file or of a folder of MIDI files")
        if not _is_above_zero(self.frame):
            raise UsageError(f"task.frame={self.frame!r}: it must be a number of quarters above 0 (0.25: sixteenths)")
        if self.length is not None:
            require_whole("length", self.length, 1)
        require_whole("samples", self.samples, 0)
        require_whole("prompt", self.prompt, 1)
        require_whole("written", self.written, 1)

    def cut(self, prepared: Prepared) -> MusicData:
        """See DatasetTask."""
        pieces: dict[str, list[Piece]] = {split: [] for split in SPLITS}
        starts = prepared.arrays["starts"].tolist()
        rows = zip(
            starts, starts[1:], prepared.arrays["names"].tolist(), prepared.arrays["splits"].tolist(), strict=False
        )
        for start, stop, name, split in rows:
            pieces[split].append(Piece(name, prepared.arrays["frames"][start:stop]))
        steps = self.length or max(len(piece.roll) for own in pieces.values() for piece in own) - 1
        train, validation, test = (_parts(pieces[split], steps) for split in SPLITS)
        return MusicData(train, validation, test, tuple(pieces["train"]), tuple(pieces["test"]))

    def validation_metrics(self, data: TaskData, predictions: Float32) -> dict[str, float]:
        """Return all metrics on the validation split."""
        return frame_metrics(predictions, data.validation)

    def test_metrics(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, float]:
        """Return all metrics on the test split."""
        return frame_metrics(predictions, data.test)

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        """Return the scores of the frequencies of the keys, and of the frame before, on the test split."""
        frames = _counted(data.train.numbers, data.train)
        frequency = (frames.sum(axis=0, dtype=np.float64) + 0.5) / (len(frames) + 1)
        unigram = np.broadcast_to(logit(frequency), data.test.targets.shape)
        repeat = np.where(data.test.inputs > 0, 1.0, -1.0)
        return (
            Baseline("unigram", "nll", frame_metrics(unigram, data.test)["nll"], trivial=True),
            Baseline("repeat", "note_f1", frame_metrics(repeat, data.test)["note_f1"], trivial=False),
        )

    def prompts(self, data: TaskData) -> Prompts | None:
        """Return the first frames of some test pieces; None where no piece is longer than a prompt."""
        pieces = self._prompt_pieces(data)
        if not pieces:
            return None
        return Prompts(np.stack([piece.roll[: self.prompt].astype(np.float32) for piece in pieces]), self.written)

    def next_inputs(self, predictions: Float32, rng: np.random.Generator) -> Float32:
        """Draw each key of the next frame by itself, from its probability."""
        return (rng.random(predictions.shape) < expit(predictions.astype(np.float64))).astype(np.float32)

    def sample_files(self, data: TaskData, prompts: Prompts, continuations: Float32) -> dict[str, bytes]:
        """Return sample-1.mid, ..., each a prompt and what follows it, and samples.txt: what was copied."""
        files: dict[str, bytes] = {}
        lines = []
        for number, (piece, written) in enumerate(zip(self._prompt_pieces(data), continuations, strict=True), start=1):
            own = written.astype(np.uint8)
            name = f"sample-{number}.mid"
            files[name] = write_midi(np.concatenate([piece.roll[: self.prompt], own]), self.frame)
            real = piece.roll[self.prompt : self.prompt + len(own)]
            corpus = _music_data(data).train_pieces
            lines += [
                f"{name}: {self.prompt} frames of {piece.name}, then {len(own)} frames written by the network.",
                f"  Longest run of the written frames that stands verbatim in a training piece: {_run(own, corpus)}.",
                f"  The same of the {len(real)} frames that really follow: {_run(real, corpus)}.",
            ]
        return files | {"samples.txt": ("\n".join(lines) + "\n").encode()}

    def _prompt_pieces(self, data: TaskData) -> list[Piece]:
        pieces = [piece for piece in _music_data(data).test_pieces if len(piece.roll) > self.prompt]
        return pieces[: self.samples]


def frame_metrics(logits: NDArray[np.floating], split: Split) -> dict[str, float]:
    """Return nll, note_f1 and frame_accuracy of logits [samples, steps, KEYS]; see `Music`.

    In float64 on logits, so that those of 1e4 cost what they must and no more. NaN where a logit that counts is not
    finite; raises ValueError when the shapes do not belong together.
    """
    require_shape(logits, split.targets.shape)
    x, truth = _counted(logits, split).astype(np.float64), _counted(split.numbers, split) > 0
    if not all_finite(x):
        return {metric.name: float("nan") for metric in Music.metrics}
    sounding = x > 0
    right, wrong = int((sounding & truth).sum()), int((sounding != truth).sum())
    # -log p = log(1 + exp(-x)) of a key that sounds, and log(1 + exp(x)) of one that does not.
    return {
        "nll": float(np.logaddexp(0, np.where(truth, -x, x)).sum(axis=1).mean()),
        "note_f1": _ratio(2 * right, 2 * right + wrong),
        "frame_accuracy": _ratio(right, right + wrong),
    }


def _is_above_zero(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _ratio(part: int, whole: int) -> float:
    """A share of keys; 1 where none sounds and none was predicted: nothing is wrong then."""
    return part / whole if whole else 1.0


def _counted(values: NDArray[np.floating], split: Split) -> NDArray[np.floating]:
    """Values [samples, steps, keys] of the steps that count, [frames, keys]."""
    return values.reshape(-1, values.shape[-1]) if split.counted is None else values[split.counted]


def _parts(pieces: Sequence[Piece], steps: int) -> Split:
    """Cut pieces into parts of `steps` steps, each with the frame that follows as its target."""
    places = [(piece, first) for piece in pieces for first in range(0, len(piece.roll) - 1, steps)]
    inputs = np.zeros((len(places), steps, KEYS), dtype=np.float32)
    targets = np.zeros_like(inputs)
    counted = np.zeros(inputs.shape[:2], dtype=np.bool_)
    for row, (piece, first) in enumerate(places):
        own = piece.roll[first : first + steps + 1]
        inputs[row, : len(own) - 1], targets[row, : len(own) - 1] = own[:-1], own[1:]
        counted[row, : len(own) - 1] = True
    return Split(inputs, targets, tuple(f"{piece.name}, frame {first}" for piece, first in places), counted)


def _prepared(pieces: Sequence[Piece], splits: Sequence[str], facts: Mapping[str, Any], source: str) -> Prepared:
    """Raises UsageError for a split without pieces."""
    counts = {split: splits.count(split) for split in SPLITS}
    for split, count in counts.items():
        if count == 0:
            raise UsageError(
                f"task.source={source}: no piece is left for the {split} split; "
                "three or more pieces, of different music, are needed"
            )
    frames = np.concatenate([piece.roll for piece in pieces])
    lengths = [len(piece.roll) for piece in pieces]
    same: dict[bytes, set[str]] = {}
    for piece, split in zip(pieces, splits, strict=True):
        same.setdefault(piece.roll.tobytes(), set()).add(split)
    sounding = np.flatnonzero(frames.any(axis=0)) + LOWEST
    arrays = {
        "frames": frames,
        "starts": np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        "names": np.array([piece.name for piece in pieces]),
        "splits": np.array(splits),
    }
    general = {
        "pieces": counts,
        "frames": {split: sum(n for n, own in zip(lengths, splits, strict=True) if own == split) for split in SPLITS},
        "frames_of_a_piece": [min(lengths), max(lengths)],
        "silent_frames": int((~frames.any(axis=1)).sum()),
        "pitches": [int(sounding[0]), int(sounding[-1])],
        "notes_a_frame": round(float(frames.sum(axis=1).mean()), 3),
        "pieces_in_more_than_one_split": sum(len(own) > 1 for own in same.values()),
    }
    return Prepared(arrays, general | dict(facts))


def _run(frames: UInt8, corpus: Sequence[Piece]) -> str:
    length, piece, first = longest_copied_run(frames, corpus)
    return f"{length} (from frame {first} of {piece})" if length else "0"


def _music_data(data: TaskData) -> MusicData:
    if not isinstance(data, MusicData):
        raise TypeError("the samples of the music task need the data that its load() returned")
    return data
