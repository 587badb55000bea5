"""Music: frames and their targets, metrics against loops, scipy and sklearn, what is never counted, what is written."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import bernoulli
from sklearn.metrics import f1_score, jaccard_score

from notafluke.errors import UsageError
from notafluke.tasks.base import Split, TaskData
from notafluke.tasks.contract import require_contract
from notafluke.tasks.midi import read_midi_folder
from notafluke.tasks.music import Music, MusicData, frame_metrics
from notafluke.tasks.piano_rolls import KEYS, LOWEST

Pieces = dict[str, list[list[list[int]]]]


def walk(seed: int, frames: int) -> list[list[int]]:
    """A piece of three random voices, with a frame of silence."""
    pitches = np.random.default_rng(seed).integers(40, 90, (frames, 3)).tolist()
    return [sorted(set(frame)) if number != 3 else [] for number, frame in enumerate(pitches)]


def pieces() -> Pieces:
    return {
        "train": [walk(0, 9), walk(1, 4), walk(2, 13)],
        "valid": [walk(3, 6)],
        "test": [walk(4, 11), walk(5, 2)],
    }


def made(folder: Path, content: Pieces | None = None, **options: Any) -> Music:
    path = folder / "own.json"
    path.write_text(json.dumps(content or pieces()))
    task = Music(source=str(path), **{"length": 4, "prompt": 3, "written": 5} | options)
    task.results = folder / "results"
    return task


def frames(rows: np.ndarray) -> list[list[int]]:
    return [(np.flatnonzero(row) + LOWEST).tolist() for row in rows]


def random_logits(split: Split, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(-1, 2, split.targets.shape).astype(np.float32)


class TestSamples:
    def test_the_target_of_a_frame_is_the_next_of_the_piece(self, tmp_path: Path) -> None:
        data = made(tmp_path).load(0, 0)
        long, short = pieces()["test"]
        test = data.test
        assert test.index == (
            "test 0, frame 0",
            "test 0, frame 4",
            "test 0, frame 8",
            "test 1, frame 0",
        )
        assert test.counted is not None and test.counted.sum(axis=1).tolist() == [4, 4, 2, 1]
        assert [frames(own[counted]) for own, counted in zip(test.inputs, test.counted, strict=True)] == [
            long[0:4],
            long[4:8],
            long[8:10],
            short[:1],
        ]
        assert [frames(own[counted]) for own, counted in zip(test.numbers, test.counted, strict=True)] == [
            long[1:5],
            long[5:9],
            long[9:11],
            short[1:],
        ]
        assert not test.inputs[~test.counted].any() and not test.targets[~test.counted].any()

    def test_whole_pieces_are_padded_to_the_longest(self, tmp_path: Path) -> None:
        data = made(tmp_path, length=None).load(0, 0)
        for split, own in zip((data.train, data.validation, data.test), pieces().values(), strict=True):
            assert split.inputs.shape == (len(own), 12, KEYS)
            assert split.counted is not None
            assert split.counted.sum(axis=1).tolist() == [len(piece) - 1 for piece in own]

    def test_every_frame_but_the_first_is_predicted_once(self, tmp_path: Path) -> None:
        for length in (1, 3, 8, 50):
            data = made(tmp_path, length=length).load(0, 0)
            for split, own in zip((data.train, data.validation, data.test), pieces().values(), strict=True):
                assert frames(split.numbers[split.counted]) == [frame for piece in own for frame in piece[1:]]

    def test_a_later_frame_changes_no_earlier_input(self, tmp_path: Path) -> None:
        before = made(tmp_path).load(0, 0)
        changed = pieces()
        changed["test"][0][6] = [21, 108]
        after = made(tmp_path, changed).load(0, 0)
        differs = (before.test.inputs != after.test.inputs).any(axis=2)
        assert np.argwhere(differs).tolist() == [[1, 2]]
        assert np.argwhere((before.test.targets != after.test.targets).any(axis=2)).tolist() == [[1, 1]]
        for name in ("train", "validation"):
            assert np.array_equal(getattr(before, name).inputs, getattr(after, name).inputs)

    def test_the_contract_with_prepared_data_and_with_the_example(self, tmp_path: Path) -> None:
        task = made(tmp_path)
        task.prepare()
        require_contract(task, task.load(0, 0))
        example = Music(source="music21")
        example.results = tmp_path
        data = example.load(0, 0)
        require_contract(example, data)
        assert data.train.inputs.shape[1:] == (64, KEYS)
        prompts = example.prompts(data)
        assert prompts is not None and prompts.inputs.shape == (2, 16, KEYS) and prompts.steps == 64
        scores = example.test_metrics(data, np.zeros_like(data.test.numbers), np.zeros_like(data.validation.numbers))
        assert scores["nll"] == pytest.approx(KEYS * math.log(2), rel=1e-12)
        assert math.isnan(frame_metrics(np.full_like(data.test.numbers, np.nan), data.test)["nll"])


class TestMetrics:
    def test_nll_is_the_sum_over_keys_and_the_mean_over_counted_frames(self, tmp_path: Path) -> None:
        """Independent: scipy's Bernoulli distribution, frame by frame."""
        task = made(tmp_path)
        data = task.load(0, 0)
        logits = random_logits(data.test)
        costs = []
        for sample in range(len(logits)):
            for step in range(logits.shape[1]):
                if data.test.counted is not None and data.test.counted[sample, step]:
                    p = expit(logits[sample, step].astype(np.float64))
                    costs.append(-bernoulli.logpmf(data.test.targets[sample, step], p).sum())
        assert len(costs) == 11
        scores = task.test_metrics(data, logits, random_logits(data.validation))
        assert scores["nll"] == pytest.approx(np.mean(costs), rel=1e-9)

    def test_f1_and_accuracy_against_sklearn(self, tmp_path: Path) -> None:
        task = made(tmp_path)
        data = task.load(0, 0)
        logits = random_logits(data.validation, 3)
        counted = data.validation.counted
        truth, said = data.validation.numbers[counted].ravel(), logits[counted].ravel() > 0
        scores = task.validation_metrics(data, logits)
        assert scores["note_f1"] == pytest.approx(f1_score(truth, said, average="binary"), rel=1e-12)
        assert scores["frame_accuracy"] == pytest.approx(jaccard_score(truth, said), rel=1e-12)

    def test_by_hand(self) -> None:
        """Two keys sound; one is found, one missed, one is wrong: TP 1, FN 1, FP 1."""
        targets = np.zeros((1, 1, KEYS), dtype=np.float32)
        targets[0, 0, [3, 4]] = 1
        logits = np.full(targets.shape, -100.0)
        logits[0, 0, [4, 5]] = [2.0, math.log(3)]
        scores = frame_metrics(logits, Split(np.zeros_like(targets), targets))
        assert scores["nll"] == pytest.approx(100 + math.log(1 + math.exp(-2)) + math.log(4), rel=1e-12)
        assert (scores["note_f1"], scores["frame_accuracy"]) == (pytest.approx(0.5), pytest.approx(1 / 3))

    def test_logits_of_ten_thousand_cost_what_they_must(self) -> None:
        targets = np.zeros((1, 2, KEYS), dtype=np.float32)
        targets[0, :, 0] = 1
        logits = np.full_like(targets, -1e4)
        logits[0, 0, 0] = 1e4
        assert frame_metrics(logits, Split(np.zeros_like(targets), targets)) == {
            "nll": 5000.0,
            "note_f1": pytest.approx(2 / 3),
            "frame_accuracy": 0.5,
        }

    def test_padded_frames_never_count(self, tmp_path: Path) -> None:
        task = made(tmp_path)
        data = task.load(0, 0)
        logits = random_logits(data.test)
        scores = task.test_metrics(data, logits, random_logits(data.validation))
        for junk in (1e30, np.nan, -np.inf):
            other = np.where(data.test.counted[..., None], logits, np.float32(junk))
            assert task.test_metrics(data, other, random_logits(data.validation)) == scores
        wrong = logits.copy()
        wrong[data.test.counted] = np.inf
        assert all(math.isnan(value) for value in frame_metrics(wrong, data.test).values())

    def test_silence_that_is_predicted_is_right(self) -> None:
        silent = Split(np.zeros((1, 2, KEYS), np.float32), np.zeros((1, 2, KEYS), np.float32))
        scores = frame_metrics(np.full((1, 2, KEYS), -50.0), silent)
        assert (scores["note_f1"], scores["frame_accuracy"]) == (1.0, 1.0)
        assert frame_metrics(np.full((1, 2, KEYS), 50.0), silent)["note_f1"] == 0.0


class TestBaselines:
    def test_the_frequencies_of_the_training_targets(self, tmp_path: Path) -> None:
        task = made(tmp_path)
        data = task.load(0, 0)
        training = [frame for piece in pieces()["train"] for frame in piece[1:]]
        p = {
            key: (sum(key in frame for frame in training) + 0.5) / (len(training) + 1)
            for key in range(LOWEST, LOWEST + KEYS)
        }
        test = [frame for piece in pieces()["test"] for frame in piece[1:]]
        nll = [-sum(math.log(p[key] if key in frame else 1 - p[key]) for key in p) for frame in test]
        found = {(own.name, own.metric): own for own in task.baselines(data)}
        unigram = found["unigram", "nll"]
        assert unigram.value == pytest.approx(np.mean(nll), rel=1e-9) and unigram.trivial

    def test_the_frame_before_once_more(self, tmp_path: Path) -> None:
        task = made(tmp_path)
        pairs = [pair for piece in pieces()["test"] for pair in itertools.pairwise(piece)]
        right = sum(len(set(a) & set(b)) for a, b in pairs)
        total = sum(len(a) + len(b) for a, b in pairs)
        repeat = {own.name: own for own in task.baselines(task.load(0, 0))}["repeat"]
        assert (repeat.metric, repeat.trivial) == ("note_f1", False)
        assert repeat.value == pytest.approx(2 * right / total, rel=1e-12)

    def test_it_is_the_same_however_pieces_are_cut(self, tmp_path: Path) -> None:
        values = []
        for length in (None, 3):
            task = made(tmp_path, length=length)
            values.append([own.value for own in task.baselines(task.load(0, 0))])
        assert values[0] == pytest.approx(values[1], rel=1e-12)


class TestWriting:
    def test_prompts_are_the_first_frames_of_test_pieces(self, tmp_path: Path) -> None:
        task = made(tmp_path)
        prompts = task.prompts(task.load(0, 0))
        assert prompts is not None and prompts.steps == 5
        assert [frames(own) for own in prompts.inputs] == [pieces()["test"][0][:3]], "the other piece is too short"
        for nothing in (made(tmp_path, samples=0), made(tmp_path, prompt=11)):
            assert nothing.prompts(nothing.load(0, 0)) is None

    def test_each_key_is_drawn_from_its_probability(self, tmp_path: Path) -> None:
        task = made(tmp_path)
        logits = np.tile(np.linspace(-4, 4, KEYS, dtype=np.float32), (4000, 1))
        logits[:, 0], logits[:, 1] = 1e4, -1e4
        drawn = task.next_inputs(logits, np.random.default_rng(1))
        assert drawn.dtype == np.float32 and set(np.unique(drawn)) == {0.0, 1.0}
        assert drawn[:, 0].all() and not drawn[:, 1].any()
        p = expit(logits[0, 2:].astype(np.float64))
        assert (np.abs(drawn[:, 2:].mean(axis=0) - p) < 5 * np.sqrt(p * (1 - p) / 4000)).all()
        assert np.abs(np.corrcoef(drawn[:, 2:].T) - np.eye(KEYS - 2)).max() < 0.1, "keys are drawn by themselves"

    def test_the_files_are_the_music_and_say_what_was_copied(self, tmp_path: Path) -> None:
        content = pieces()
        content["test"][0][3:6] = content["train"][2][5:8]
        task = made(tmp_path, content)
        data = task.load(0, 0)
        prompts = task.prompts(data)
        assert isinstance(data, MusicData) and prompts is not None
        copied = data.train_pieces[0].roll[4:8].astype(np.float32)
        written = np.concatenate([np.eye(KEYS, dtype=np.float32)[:1], copied])[None]
        files = task.sample_files(data, prompts, written)
        assert files["samples.txt"].decode().splitlines() == [
            "sample-1.mid: 3 frames of test 0, then 5 frames written by the network.",
            "  Longest run of the written frames that stands verbatim in a training piece: "
            "4 (from frame 4 of train 0).",
            "  The same of the 5 frames that really follow: 3 (from frame 5 of train 2).",
        ]
        folder = tmp_path / "written"
        folder.mkdir()
        (folder / "sample-1.mid").write_bytes(files["sample-1.mid"])
        (piece,), _ = read_midi_folder(str(folder), 1.0)
        assert frames(piece.roll) == [*content["test"][0][:3], [21], *content["train"][0][4:8]]

    def test_silence_can_be_written(self, tmp_path: Path) -> None:
        task = made(tmp_path)
        data = task.load(0, 0)
        prompts = task.prompts(data)
        assert prompts is not None
        files = task.sample_files(data, prompts, np.zeros((1, 5, KEYS), np.float32))
        assert set(files) == {"sample-1.mid", "samples.txt"}
        assert "verbatim in a training piece: 1 (from frame 3 of train 0)" in files["samples.txt"].decode()

    def test_other_data_are_refused(self, tmp_path: Path) -> None:
        task = made(tmp_path)
        own = task.load(0, 0)
        with pytest.raises(TypeError, match="music task"):
            task.prompts(TaskData(own.train, own.validation, own.test))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "task.length=0: it must be a whole number of at least 1"),
        ({"frame": 0}, "task.frame=0: it must be a number of quarters above 0"),
        ({"frame": "1"}, "task.frame='1': it must be a number"),
        ({"frame": math.nan}, "task.frame=nan: it must be a number"),
        ({"samples": -1}, "task.samples=-1: "),
        ({"prompt": 0}, "task.prompt=0: "),
        ({"written": 1.5}, "task.written=1.5: "),
        ({"source": ""}, "task.source='': it must be music21, or the path"),
        ({"source": None}, "task.source=None: it must be music21, or the path"),
        ({"source": "musik21"}, "task.source=musik21: there is no such file or folder, nor a source of this name; did"),
    ],
    ids=str,
)
def test_options_that_cannot_be_used(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    task = Music(**{"source": "music21"} | options)
    task.results = tmp_path
    with pytest.raises(UsageError) as caught:
        task.declaration()
    assert str(caught.value).startswith(message)
    with pytest.raises(UsageError):
        task.check()


def test_a_file_is_declared_by_its_content(tmp_path: Path) -> None:
    first = made(tmp_path)
    before, digest = first.declaration(), first.dataset.digest
    (tmp_path / "elsewhere").mkdir()
    same = made(tmp_path / "elsewhere")
    assert (same.declaration(), same.dataset.digest) == (before, digest)
    other = made(tmp_path, pieces() | {"valid": [walk(9, 6)]})
    assert other.declaration() != before
    assert set(Music(source="music21").declaration()) == {"package", "version"}
    assert set(other.declaration()) == {"sha256"} and set(Music(source=str(tmp_path)).declaration()) == {
        "sha256",
        "music21",
    }, "which reads MIDI files"
    assert Music(source="music21").dataset.takes_long and Music(source=str(tmp_path)).dataset.takes_long
    assert not other.dataset.takes_long
