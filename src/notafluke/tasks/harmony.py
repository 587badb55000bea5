"""Harmony: write the bass to the melody of a chorale (sequence to sequence)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from notafluke.errors import UsageError
from notafluke.tasks.base import (
    SPLITS,
    Baseline,
    Float32,
    Float64,
    Int64,
    Kind,
    Metric,
    Split,
    TargetsAt,
    TaskData,
    all_finite,
    require_shape,
    require_whole,
)
from notafluke.tasks.checks import require_source
from notafluke.tasks.chorales import (
    EMBEDDED,
    PARTS,
    SILENT,
    Chorale,
    Int16,
    music21_chorales,
    read_chorale_file,
)
from notafluke.tasks.classification import CLASS_METRICS, class_metrics, one_hot
from notafluke.tasks.dataset import Dataset, DatasetTask, Prepared, file_declaration, package_declaration
from notafluke.tasks.piano_rolls import Piece, share_out

_SOPRANO, _BASS = 0, 3


@dataclass(frozen=True)
class HarmonyDataset(Dataset):
    """Soprano and bass of chorales, one pitch a quarter, each chorale in one split.

    source: "music21" (Bach's chorales), or a JSON file in the separated form of the JSB chorales: four numbers a step
    (soprano, alto, tenor, bass), -1 for silence. every: which steps of such a file are taken; 4 makes quarters of
    sixteenths. Nothing is transposed.

    Arrays: lines int16 [all quarters, 2], MIDI pitches of soprano and bass, -1 silent; starts int64 [chorales + 1],
    where each begins; names and splits, text [chorales]. A file says itself what is for training; else see
    `piano_rolls.share_out`, which gives each chorale the split that it has in the music task.
    """

    every: int

    name: ClassVar[str] = "harmony"
    embedded: ClassVar[Mapping[str, str]] = EMBEDDED
    packages: ClassVar[tuple[str, ...]] = ("numpy", "music21")

    def declaration(self) -> dict[str, str]:
        """See Dataset."""
        if self.source in self.embedded:
            return package_declaration("music21", self.source)
        return file_declaration(self.source, self.embedded)

    @property
    def takes_long(self) -> bool:
        """Only music21's corpus."""
        return self.source in self.embedded

    def prepare(self, raw: Path) -> Prepared:
        """See Dataset."""
        if self.source in self.embedded:
            chorales, facts = music21_chorales(1.0)
            kept, of_split = share_out([Piece(own.name, own.roll) for own in chorales], 1.0)
            return _prepared([chorales[own] for own, _ in kept], [split for _, split in kept], facts | of_split)
        chorales, splits = [], []
        for split, pieces in read_chorale_file(self.source, voices=len(PARTS)).items():
            for number, frames in enumerate(pieces):
                chorales.append(Chorale(f"{split} {number}", np.array(frames[:: self.every], dtype=np.int16)))
                splits.append(split)
        return _prepared(chorales, splits, {})

    def example(self) -> Prepared:
        """Ten invented chorales: a melody that walks at random in C major, and the third and fifth below it."""
        rng = np.random.default_rng(0)
        scale = np.array([60, 62, 64, 65, 67, 69, 71])
        chorales = []
        for number in range(10):
            melody = np.cumsum(rng.integers(-1, 2, 200))
            below = [scale[(melody - distance) % len(scale)] for distance in (0, 2, 4)]
            bass = scale[(melody - rng.integers(0, 2, 200) * 2) % len(scale)] - 12
            chorales.append(Chorale(f"example {number}", np.stack([*below, bass], axis=1).astype(np.int16)))
        return _prepared(chorales, ["train"] * 6 + ["validation"] * 2 + ["test"] * 2, {})


@dataclass(frozen=True)
class Alphabet:
    """The symbols of a voice: pitches ascending, then rest, then whatever the training data do not have."""

    pitches: tuple[int, ...]

    @classmethod
    def of(cls, voice: Int16) -> Alphabet:
        """The alphabet of a voice, MIDI pitches or SILENT."""
        return cls(tuple(sorted(set(voice.tolist()) - {SILENT})))

    @property
    def size(self) -> int:
        """The number of symbols."""
        return len(self.pitches) + 2

    def symbols(self, voice: Int16) -> Int64:
        """The symbol of each pitch, of any shape, 0 to size - 1."""
        known = np.array([*self.pitches, SILENT], dtype=np.int64)
        equal = voice[..., None] == known
        return np.where(equal.any(axis=-1), equal.argmax(axis=-1), len(known)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class HarmonyData(TaskData):
    """The data of `Harmony`, and the alphabets of soprano and bass."""

    soprano: Alphabet
    bass: Alphabet


class Harmony(DatasetTask):
    """Write the bass line of a phrase to its soprano line, one symbol a quarter.

    The source is the soprano, one-hot [length, symbols of the soprano], the target the bass, classes [length].
    A chorale is cut into phrases of `length` quarters one after the other; what remains at its end is left out. The
    index names the chorale and the quarter (from 0) at which the phrase begins. Symbols are the pitches in the training
    split (all of it), rest, and one for all other pitches, so that the alphabets rest on training alone.

    Metrics: nll (primary), nats a symbol given the true symbols before, is the log_loss of classes; accuracy is that of
    free-running decoding, in which the network goes on from its own symbols, and exact_match the share of phrases
    without any mistake then. brier, calibration_error and total_probability are given the true symbols before.

    Baselines, from the training phrases: unigram, p(b) = (n(b) + 1/2) / (n + K / 2) over the K symbols of the bass
    (trivial); given_soprano, p(b | s) = (n(s, b) + p(b)) / (n(s) + 1) for the soprano s of the same quarter.
    """

    kind: ClassVar[Kind] = "classes"
    targets_at: ClassVar[TargetsAt] = "sequence"
    primary_metric = "nll"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("nll", "lower", "nats a symbol"),
        Metric("accuracy", "higher", "share"),
        Metric("exact_match", "higher", "share"),
        *(metric for metric in CLASS_METRICS if metric.name not in ("log_loss", "accuracy")),
    )

    def __init__(self, *, source: str, length: int = 16, every: int = 4) -> None:
        """Store the options (see the class and `HarmonyDataset`); `check` judges them."""
        self.source = source
        self.length = length
        self.every = every

    @property
    def input_size(self) -> int:
        """One feature a symbol of the soprano."""
        return self._harmony.soprano.size

    @property
    def output_size(self) -> int:
        """One class a symbol of the bass."""
        return self._harmony.bass.size

    @property
    def dataset(self) -> HarmonyDataset:
        """See DatasetTask."""
        return HarmonyDataset(self.source, self.every)

    @property
    def _harmony(self) -> HarmonyData:
        return _harmony_data(self.load(0, 0))

    def check_options(self) -> None:
        """See DatasetTask."""
        require_source(self.source, "music21 or the path of a JSON file")
        require_whole("length", self.length, 1)
        require_whole("every", self.every, 1)

    def cut(self, prepared: Prepared) -> HarmonyData:
        """See DatasetTask. Raises UsageError for a split without a phrase."""
        lines, starts = prepared.arrays["lines"], prepared.arrays["starts"]
        names, splits = prepared.arrays["names"].tolist(), prepared.arrays["splits"]
        lengths = np.diff(starts)
        training = lines[np.repeat(splits == "train", lengths)]
        soprano, bass = Alphabet.of(training[:, 0]), Alphabet.of(training[:, 1])

        def phrases(split: str) -> Split:
            places = [
                (number, first)
                for number in np.flatnonzero(splits == split).tolist()
                for first in range(0, int(lengths[number]) - self.length + 1, self.length)
            ]
            if not places:
                raise UsageError(
                    f"task.length={self.length}: no chorale of the {split} split is so long; "
                    f"the longest has {lengths[splits == split].max()} quarters"
                )
            begins = np.array([starts[number] + first for number, first in places])
            own = lines[begins[:, None] + np.arange(self.length)]
            index = tuple(f"{names[number]}, quarter {first}" for number, first in places)
            return Split(one_hot(soprano.symbols(own[..., 0]), soprano.size), bass.symbols(own[..., 1]), index)

        train, validation, test = (phrases(split) for split in SPLITS)
        return HarmonyData(train, validation, test, soprano, bass)

    def validation_metrics(self, data: TaskData, predictions: Float32) -> dict[str, float]:
        """Return all metrics on the validation split."""
        return self._scores(predictions, data.validation)

    def test_metrics(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, float]:
        """Return all metrics on the test split."""
        return self._scores(predictions, data.test)

    def _scores(self, predictions: Float32, split: Split) -> dict[str, float]:
        """Metrics of log probabilities [samples, 2, length, symbols]: given the truth, running freely."""
        classes = split.classes
        require_shape(predictions, (len(classes), 2, self.length, predictions.shape[-1]))
        if not all_finite(predictions):
            return {metric.name: float("nan") for metric in self.metrics}
        scores = class_metrics(predictions[:, 0], classes)
        right = predictions[:, 1].argmax(axis=-1) == classes
        return {
            "nll": scores["log_loss"],
            "accuracy": float(right.mean()),
            "exact_match": float(right.all(axis=1).mean()),
        } | {name: scores[name] for name in ("brier", "calibration_error", "total_probability")}

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        """Return the scores of the frequencies of bass symbols, and of those beside the soprano, on the test split."""
        harmony = _harmony_data(data)
        unigram, beside = bass_frequencies(harmony)
        soprano, bass = data.test.inputs.argmax(axis=2), data.test.classes
        return (
            Baseline("unigram", "nll", float(-np.log(unigram[bass]).mean()), trivial=True),
            Baseline("unigram", "accuracy", float((unigram.argmax() == bass).mean()), trivial=False),
            Baseline("given_soprano", "nll", float(-np.log(beside[soprano, bass]).mean()), trivial=False),
            Baseline(
                "given_soprano", "accuracy", float((beside.argmax(axis=1)[soprano] == bass).mean()), trivial=False
            ),
        )


def bass_frequencies(data: HarmonyData) -> tuple[Float64, Float64]:
    """Return p(bass) [K] and p(bass | soprano) [symbols of the soprano, K] in the training split; see `Harmony`."""
    counts = np.zeros((data.soprano.size, data.bass.size))
    np.add.at(counts, (data.train.inputs.argmax(axis=2), data.train.classes), 1)
    unigram = (counts.sum(axis=0) + 0.5) / (counts.sum() + data.bass.size / 2)
    return unigram, (counts + unigram) / (counts.sum(axis=1, keepdims=True) + 1)


def _prepared(chorales: Sequence[Chorale], splits: Sequence[str], facts: Mapping[str, Any]) -> Prepared:
    voices = np.concatenate([own.voices for own in chorales])
    lengths = [len(own.voices) for own in chorales]
    arrays = {
        "lines": voices[:, [_SOPRANO, _BASS]],
        "starts": np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        "names": np.array([own.name for own in chorales]),
        "splits": np.array(splits),
    }
    general = {
        "chorales": {split: splits.count(split) for split in SPLITS},
        "quarters": {split: sum(n for n, own in zip(lengths, splits, strict=True) if own == split) for split in SPLITS},
        "quarters_of_a_chorale": [min(lengths), max(lengths)],
        "rests": {
            name: int((voices[:, column] == SILENT).sum()) for name, column in (("soprano", _SOPRANO), ("bass", _BASS))
        },
    }
    return Prepared(arrays, general | dict(facts))


def _harmony_data(data: TaskData) -> HarmonyData:
    if not isinstance(data, HarmonyData):
        raise TypeError("the baselines of the harmony task need the data that its load() returned")
    return data
