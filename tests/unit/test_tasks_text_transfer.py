"""Text transfer: which text is trained on, which is tested, and what each metric is of."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from notafluke.errors import UsageError
from notafluke.tasks.characters import CharacterData
from notafluke.tasks.contract import guess, require_contract
from notafluke.tasks.dataset import prepare
from notafluke.tasks.text_transfer import TextTransfer


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two files of 200 and 160 characters, in two alphabets that overlap."""
    place = tmp_path_factory.mktemp("transfer")
    (place / "first.txt").write_text("abcab" * 39 + "cbac\n", encoding="utf-8")
    (place / "second.txt").write_text("bdbdd" * 31 + "dddb\n", encoding="utf-8")
    return {"first": str(place / "first.txt"), "second": str(place / "second.txt")}


@pytest.fixture(scope="module")
def task(sources: dict[str, str]) -> TextTransfer:
    """The transfer between them, in windows of four."""
    return TextTransfer(**sources, length=4, passages=1, sample_characters=3)


@pytest.fixture(scope="module")
def data(task: TextTransfer) -> CharacterData:
    """Its data."""
    return loaded(task)


def loaded(task: TextTransfer) -> CharacterData:
    """Load and narrow."""
    own = task.load(0, 0)
    assert isinstance(own, CharacterData)
    return own


def test_the_texts_of_each_split(sources: dict[str, str], data: CharacterData) -> None:
    # The alphabet of both training texts; the line feeds stand in the test texts only.
    assert data.alphabet == "abcd"
    assert data.earlier is not None
    # A tenth of 200 is tested on and a tenth validated, of 160 likewise: 160 and 128 are left.
    assert len(data.earlier.inputs) == 159 // 4 and len(data.train.inputs) == 127 // 4
    assert set(data.train.targets.reshape(-1).tolist()) == {1, 3}
    assert set(data.validation.targets.reshape(-1).tolist()) == {1, 3}
    assert set(data.earlier.targets.reshape(-1).tolist()) == {0, 1, 2}
    # Second: 16 characters, three windows; first: 20 characters would give four, three are used.
    assert data.test.inputs.shape == (6, 4, 5) and data.scored == {"first": 12, "second": 12}
    assert set(data.test.targets[:3].reshape(-1).tolist()) == {1, 3}
    assert set(data.test.targets[3:].reshape(-1).tolist()) == {0, 1, 2}
    never = loaded(TextTransfer(**sources, train_on="first", length=4))
    assert np.array_equal(never.train.inputs, data.earlier.inputs)
    assert set(never.validation.targets.reshape(-1).tolist()) == {0, 1, 2}
    assert np.array_equal(never.test.inputs, data.test.inputs)


def test_contract_and_no_carried_state(task: TextTransfer, data: CharacterData) -> None:
    require_contract(task, data)
    assert task.advance is None
    equal = task.validation_metrics(data, guess(task, data.validation))
    assert equal["bits_per_character"] == pytest.approx(math.log2(5), rel=1e-6)
    assert set(equal) <= {metric.name for metric in task.metrics}


def test_each_metric_is_of_its_own_text(task: TextTransfer, data: CharacterData) -> None:
    """Sure and right on the second's test text, equal probabilities on the first's."""
    predictions = guess(task, data.test)
    predictions[:3] = -100
    np.put_along_axis(predictions[:3], data.test.classes[:3, :, None], np.float32(0), axis=2)
    scores = task.test_metrics(data, predictions, guess(task, data.validation))
    assert scores["bits_per_character"] == pytest.approx(0, abs=1e-6)
    assert scores["accuracy"] == 1
    assert scores["bits_per_character_first"] == pytest.approx(math.log2(5), rel=1e-6)
    # Of equal ones the first, a, is taken.
    assert scores["accuracy_first"] == pytest.approx(float((data.test.classes[3:] == 0).mean()))
    predictions[5, 0, 0] = np.inf
    broken = task.test_metrics(data, predictions, predictions)
    assert list(broken) == list(scores) and all(math.isnan(value) for value in broken.values())


def test_baselines_by_hand(task: TextTransfer, data: CharacterData) -> None:
    found = {(baseline.name, baseline.metric): baseline for baseline in task.baselines(data)}
    assert len(found) == 4 and [key for key, own in found.items() if own.trivial] == [("unigram", "bits_per_character")]
    # Second: 128 characters bdbdd..., of which 52 are b; p = (count + 2/5) / 130. Tested on 12, from the second on.
    text = "".join(data.alphabet[code] for code in data.texts["second"]["train"])
    assert (len(text), text.count("b")) == (128, 52)
    p = {"b": 52.4 / 130, "d": 76.4 / 130}
    tested = [data.alphabet[code] for code in data.texts["second"]["test"][1:13]]
    assert found["unigram", "bits_per_character"].value == pytest.approx(-sum(math.log2(p[c]) for c in tested) / 12)
    # The first is periodic, and so is what is tested of it.
    assert found["n_gram", "bits_per_character_first"].value < 0.3 < found["unigram", "bits_per_character_first"].value


def test_the_second_test_text_changes_no_training(sources: dict[str, str], data: CharacterData, tmp_path: Path) -> None:
    text = Path(sources["second"]).read_text(encoding="utf-8")
    changed = tmp_path / "second.txt"
    changed.write_text(text[:-16] + "x" * 15 + "\n", encoding="utf-8")
    other = loaded(TextTransfer(first=sources["first"], second=str(changed), length=4))
    assert other.alphabet == data.alphabet and other.earlier is not None and data.earlier is not None
    for one, two in ((data.train, other.train), (data.validation, other.validation), (data.earlier, other.earlier)):
        assert np.array_equal(one.inputs, two.inputs) and np.array_equal(one.targets, two.targets)
    assert not np.array_equal(data.test.targets, other.test.targets)


def test_samples_tell_which_text_they_are_from(task: TextTransfer, data: CharacterData) -> None:
    prompts = task.prompts(data)
    assert prompts is not None and prompts.inputs.shape == (2, 4, 5)
    # "abc" stands in the first text, "bdd" in the second.
    written = np.eye(5, dtype=np.float32)[[[0, 1, 2], [1, 3, 3]]]
    text = task.sample_files(data, prompts, written)["samples.txt"].decode()
    first, second = text.split("=== Prompt ")[1:]
    assert first.startswith("1, from the test text of task.first ===\n")
    assert '3 of 3 characters stand in the training text of task.first: "abc"' in first
    assert '1 of 3 characters stand in the training text of task.second: "b"' in first
    assert '1 of 3 characters stand in the training text of task.first: "b"' in second
    assert '3 of 3 characters stand in the training text of task.second: "bdd"' in second
    own = TextTransfer(first=task.sources["first"], second=task.sources["second"], length=4, prompts=["ab"])
    assert own.prompt_texts(loaded(own)) == [("of the user", "ab")]


def test_provenance_names_both_but_no_place(task: TextTransfer, tmp_path: Path) -> None:
    declaration = task.declaration()
    assert sorted(declaration) == ["first_sha256", "second_sha256"]
    turned = TextTransfer(first=task.sources["second"], second=task.sources["first"], length=4)
    assert turned.dataset.digest != task.dataset.digest
    written = (prepare(task.dataset, tmp_path) / "provenance.json").read_text(encoding="utf-8")
    assert str(Path(task.sources["first"]).parent) not in written
    assert '"first.txt"' in written and '"second.txt"' in written
    assert json.loads(written)["source"] == "first.txt, second.txt"
    assert [file.name for file in task.files()] == ["first.txt", "second.txt"]
    mixed = TextTransfer(first="comedies", second=task.sources["second"])
    assert mixed.dataset.licence.endswith("; the user's own file")
    assert mixed.declaration()["first_part"] == "comedies"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first": "comedys"}, "task.first=comedys: there is no such file or folder"),
        ({"first": "histories", "second": "histories"}, "task.second=histories: it must be another text"),
        ({"train_on": "Second"}, "task.train_on='Second'; did you mean 'second'?"),
        ({"length": 16}, "task.length=16: the second validation text has only 16 characters"),
    ],
)
def test_bad_options_are_told(sources: dict[str, str], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        TextTransfer(**{**sources, "length": 4, **options}).check()
    assert message in str(error.value)


def test_the_separator_of_paths_is_refused(sources: dict[str, str], tmp_path: Path) -> None:
    odd = tmp_path / f"a{os.pathsep}b.txt"
    odd.write_text("text\n", encoding="utf-8")
    with pytest.raises(UsageError, match="the path must not hold"):
        TextTransfer(first=sources["first"], second=str(odd)).check()


def test_the_shipped_baselines_and_example() -> None:
    """The figures of the documentation."""
    shipped = TextTransfer(first="comedies", second="histories")
    own = loaded(shipped)
    assert own.test.inputs.shape == (624, 64, 73)
    assert [baseline.value for baseline in shipped.baselines(own)] == pytest.approx(
        [4.8085, 2.7076, 4.8300, 2.9767], abs=1e-4
    )
    example = shipped.cut(shipped.dataset.example())
    assert len(example.test.targets) == 124
