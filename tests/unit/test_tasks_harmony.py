"""Harmony: phrases by hand, alphabets from training alone, metrics given the truth and running freely, baselines."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from music21.corpus.corpora import CoreCorpus
from sklearn.metrics import log_loss

from notafluke.errors import UsageError
from notafluke.tasks.base import TaskData
from notafluke.tasks.contract import require_contract
from notafluke.tasks.harmony import Alphabet, Harmony, HarmonyData, bass_frequencies

Voices = list[list[int]]
TRAIN: list[Voices] = [
    [[72, 67, 64, 48], [74, 67, 62, 50], [72, -1, 64, -1], [76, 67, 60, 48], [72, 67, 64, 50]],
    [[74, 69, 65, 50], [72, 67, 64, 48]],
    [[76, 67, 60, 53]],
]
VALID: list[Voices] = [[[72, 67, 64, 48], [99, 67, 62, 30]]]
TEST: list[Voices] = [[[72, 67, 64, 50], [74, 67, 62, 50], [-1, 67, 64, 48], [76, 67, 60, 52]]]


def made(folder: Path, *, train: Any = None, valid: Any = None, test: Any = None, **options: Any) -> Harmony:
    """Every quarter stands there for two eighths, of which the second has other pitches."""
    content = {"train": train or TRAIN, "valid": valid or VALID, "test": test or TEST}
    eighths = {
        key: [[row for quarter in piece for row in (quarter, [60, 60, 60, 60])] for piece in pieces]
        for key, pieces in content.items()
    }
    path = folder / "own.json"
    path.write_text(json.dumps(eighths))
    task = Harmony(source=str(path), **{"length": 2, "every": 2} | options)
    task.results = folder / "results"
    return task


def loaded(task: Harmony) -> HarmonyData:
    data = task.load(0, 0)
    assert isinstance(data, HarmonyData)
    return data


class TestPhrases:
    def test_by_hand(self, tmp_path: Path) -> None:
        """Symbols: pitches ascending, rest, other. The fifth quarter of the first chorale and all the last are left."""
        data = loaded(made(tmp_path))
        assert (data.soprano.pitches, data.bass.pitches) == ((72, 74, 76), (48, 50, 53))
        assert data.train.inputs.shape == (3, 2, 5) and data.train.inputs.sum(axis=2).min() == 1
        assert data.train.inputs.argmax(axis=2).tolist() == [[0, 1], [0, 2], [1, 0]]
        assert data.train.classes.tolist() == [[0, 1], [3, 0], [1, 0]]
        assert data.train.index == ("train 0, quarter 0", "train 0, quarter 2", "train 1, quarter 0")
        assert data.validation.inputs.argmax(axis=2).tolist() == [[0, 4]]
        assert data.validation.classes.tolist() == [[0, 4]]
        assert data.test.inputs.argmax(axis=2).tolist() == [[0, 1], [3, 2]]
        assert data.test.classes.tolist() == [[1, 1], [0, 4]]

    def test_alphabets_rest_on_training_alone(self, tmp_path: Path) -> None:
        before = loaded(made(tmp_path))
        other = [[[21, 60, 60, 108] for _ in range(4)]]
        after = loaded(made(tmp_path, valid=other, test=other))
        assert (after.soprano, after.bass) == (before.soprano, before.bass)
        assert np.array_equal(before.train.inputs, after.train.inputs)
        assert (after.test.classes == after.bass.size - 1).all()

    def test_a_later_quarter_changes_no_earlier_phrase(self, tmp_path: Path) -> None:
        before = loaded(made(tmp_path))
        changed = [[*TEST[0][:3], [74, 60, 60, 48]]]
        after = loaded(made(tmp_path, test=changed))
        assert np.argwhere(before.test.classes != after.test.classes).tolist() == [[1, 1]]
        assert np.argwhere((before.test.inputs != after.test.inputs).any(axis=2)).tolist() == [[1, 1]]

    def test_every_step_and_every_second(self, tmp_path: Path) -> None:
        assert len(loaded(made(tmp_path, every=1)).train.inputs) == 8
        facts = made(tmp_path).prepared.facts
        assert facts["quarters"] == {"train": 8, "validation": 2, "test": 4}
        assert facts["rests"] == {"soprano": 1, "bass": 1}

    def test_the_contract_with_prepared_data_and_with_the_example(self, tmp_path: Path) -> None:
        task = made(tmp_path)
        task.prepare()
        require_contract(task, task.load(0, 0))
        example = Harmony(source="music21")
        example.results = tmp_path
        require_contract(example, example.load(0, 0))
        assert loaded(example).train.inputs.shape == (72, 16, example.input_size)
        assert len(set(loaded(example).train.classes.ravel().tolist())) == example.output_size - 2 == 7
        assert example.dataset.takes_long and not task.dataset.takes_long

    def test_chorales_of_music21_are_in_one_split(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        chosen = ("bwv10.7", "bwv323", "bwv274", "bwv62.6", "bwv133.6", "bwv26.6")
        paths = [path for path in CoreCorpus().getComposer("bach") if path.stem in chosen]
        monkeypatch.setattr(CoreCorpus, "getComposer", lambda *_: paths)
        prepared = Harmony(source="music21").dataset.prepare(tmp_path)
        splits = dict(zip(prepared.arrays["names"].tolist(), prepared.arrays["splits"].tolist(), strict=True))
        assert prepared.facts["dropped_as_the_same_notes"] == ["bwv62.6"]
        assert prepared.facts["groups_of_variants"] == [["bwv10.7", "bwv323"]]
        assert splits["bwv10.7"] == splits["bwv323"]
        assert set(splits) == set(chosen) - {"bwv62.6"} and set(splits.values()) == {"train", "validation", "test"}
        soprano, bass = prepared.arrays["lines"].T
        assert soprano.max() > bass.max() and soprano[soprano > 0].mean() > bass[bass > 0].mean() + 15


class TestMetrics:
    def test_given_the_truth_and_running_freely(self, tmp_path: Path) -> None:
        task = made(tmp_path)
        data = loaded(task)
        rng = np.random.default_rng(2)
        logits = rng.normal(size=(2, 2, 2, 5))
        logits[:, 1] = np.eye(5)[[[1, 1], [0, 0]]] * 9
        predictions = (logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))).astype(np.float32)
        scores = task.test_metrics(data, predictions, predictions)
        given = np.exp(predictions[:, 0].reshape(4, 5).astype(np.float64))
        expected = log_loss([1, 1, 0, 4], given / given.sum(axis=1, keepdims=True), labels=range(5))
        assert scores["nll"] == pytest.approx(expected, rel=1e-6)
        assert (scores["accuracy"], scores["exact_match"]) == (0.75, 0.5)
        assert scores["total_probability"] == pytest.approx(1, rel=1e-5)
        assert list(scores) == [metric.name for metric in task.metrics]

    def test_what_is_not_finite_is_no_score(self, tmp_path: Path) -> None:
        task = made(tmp_path)
        data = loaded(task)
        predictions = np.full((2, 2, 2, 5), -math.log(5), dtype=np.float32)
        predictions[0, 1, 0, 0] = np.nan
        scores = task.test_metrics(data, predictions, predictions)
        assert set(scores) == {metric.name for metric in task.metrics}
        assert all(math.isnan(value) for value in scores.values())
        with pytest.raises(ValueError, match="shape"):
            task.test_metrics(data, predictions[:, :, :1], predictions)


class TestBaselines:
    def test_frequencies_by_hand(self, tmp_path: Path) -> None:
        """Training phrases: (72, 48) twice, (72, rest), (74, 50) twice, (76, 48); K = 5."""
        data = loaded(made(tmp_path))
        unigram, beside = bass_frequencies(data)
        assert unigram == pytest.approx(np.array([3.5, 2.5, 0.5, 1.5, 0.5]) / 8.5, rel=1e-12)
        assert beside[0] == pytest.approx((np.array([2, 0, 0, 1, 0]) + unigram) / 4, rel=1e-12)
        assert beside[3] == pytest.approx(unigram, rel=1e-12), "no rest of the soprano in the training phrases"
        assert beside.sum(axis=1) == pytest.approx(np.ones(5), rel=1e-12)

    def test_scores_against_counting_in_the_raw_chorales(self, tmp_path: Path) -> None:
        task = made(tmp_path)
        pairs = [(row[0], row[3]) for piece in TRAIN for row in piece[: len(piece) // 2 * 2]]
        both, alone, soprano = Counter(pairs), Counter(b for _, b in pairs), Counter(s for s, _ in pairs)

        def p(b: int) -> float:
            return (alone[b] + 0.5) / (len(pairs) + 2.5)

        test = [(row[0], row[3]) for row in TEST[0]]
        found = {(own.name, own.metric): own for own in task.baselines(loaded(task))}
        assert found["unigram", "nll"].value == pytest.approx(-np.mean([math.log(p(b)) for _, b in test]))
        expected = -np.mean([math.log((both[s, b] + p(b)) / (soprano[s] + 1)) for s, b in test])
        assert found["given_soprano", "nll"].value == pytest.approx(expected)
        assert found["unigram", "accuracy"].value == 0.25, "always 48"
        assert found["given_soprano", "accuracy"].value == 0.5, "72: 48, 74: 50, rest: 48, 76: 48"
        assert [own.trivial for own in found.values()] == [True, False, False, False]

    def test_other_data_are_refused(self, tmp_path: Path) -> None:
        task = made(tmp_path)
        own = loaded(task)
        with pytest.raises(TypeError, match="harmony task"):
            task.baselines(TaskData(own.train, own.validation, own.test))


def test_symbols_of_an_alphabet() -> None:
    alphabet = Alphabet.of(np.array([60, -1, 48, 60], dtype=np.int16))
    assert (alphabet.pitches, alphabet.size) == ((48, 60), 4)
    voice = np.array([[48, 60], [-1, 61]], dtype=np.int16)
    assert alphabet.symbols(voice).tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "task.length=0: it must be a whole number of at least 1"),
        ({"every": 0}, "task.every=0: "),
        ({"every": True}, "task.every=True: "),
        ({"source": ""}, "task.source='': it must be music21 or the path of a JSON file"),
        ({"source": "music"}, "task.source=music: there is no such file or folder"),
        ({"source": "."}, "task.source=.: it cannot be read: Is a directory"),
        ({"length": 3}, "task.length=3: no chorale of the validation split is so long; the longest has 2 quarters"),
    ],
    ids=str,
)
def test_options_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    good = made(tmp_path)
    task = Harmony(**{"source": good.source, "length": 2, "every": 2} | options)
    task.results = tmp_path / "results"
    with pytest.raises(UsageError) as caught:
        task.check()
    assert str(caught.value).startswith(message)


def test_three_voices_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"train": [[[60, 50, 40]] * 2], "valid": VALID, "test": TEST}))
    with pytest.raises(UsageError, match=r"own\.json: train\[0\]\[0\]: 3 numbers where 4 are needed, one a voice"):
        Harmony(source=str(path), length=2).check()
