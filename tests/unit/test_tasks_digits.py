"""Digits and images as sequences: by hand, against scikit-learn, and that the test split teaches nothing."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from notafluke.configuration import compose_run
from notafluke.errors import UsageError
from notafluke.tasks.base import TaskData
from notafluke.tasks.class_baselines import class_baselines
from notafluke.tasks.contract import require_contract
from notafluke.tasks.dataset import prepare
from notafluke.tasks.digits import FORM_STARTS, ImageClassification, digits, shared_out
from notafluke.tasks.images import UNDECIDED, Images

CONF = Path(__file__).parents[2] / "conf"


def task_of(source: str = "sklearn", **options: Any) -> ImageClassification:
    return ImageClassification(source=source, **options)


def write(file: Path, pixels: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(buffer, format="PNG")
    file.write_bytes(buffer.getvalue())


def pets(root: Path, each: int = 10) -> str:
    """Cats are dark above, dogs below; 2 x 3 pixels in colour, numbered in the last one."""
    for number in range(each):
        for kind, dark in (("cat", 0), ("dog", 1)):
            pixels = np.full((2, 3, 3), 200)
            pixels[dark] = 10
            pixels[1, 2] = number
            write(root / kind / f"{number:02d}.png", pixels)
    return str(root)


def parts(data: TaskData) -> list[tuple[str, ...]]:
    return [split.index or () for split in (data.train, data.validation, data.test)]


class TestDigits:
    def test_they_are_those_of_scikit_learn(self) -> None:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        data = task_of().load(0, 0)
        splits = (data.train, data.validation, data.test)
        assert [len(split.inputs) for split in splits] == [1157, 258, 382]
        assert np.array_equal(np.concatenate([split.inputs for split in splits]) * 16, bunch.images)
        assert np.array_equal(np.concatenate([split.classes for split in splits]), bunch.target)
        assert (data.train.inputs.min(), data.train.inputs.max()) == (0, 1)

    def test_a_form_begins_with_the_ten_digits_and_is_never_torn_apart(self) -> None:
        labels = digits().classes
        starts = [at for at in range(len(labels) - 12) if labels[at : at + 13].tolist() == [*range(10), 0, 1, 2]]
        # Each form has the ten digits several times at its beginning: its first is the one that follows no other.
        assert {at for at in starts if at - 10 not in starts} == set(FORM_STARTS)
        edges = [int(part[0]) for part in parts(task_of().load(0, 0))]
        assert edges == [FORM_STARTS[0], FORM_STARTS[9], FORM_STARTS[11]]

    def test_rows_and_pixels_are_the_same_numbers(self) -> None:
        rows, pixels = task_of(), task_of(reading="pixels")
        assert (rows.input_size, pixels.input_size, rows.output_size) == (8, 1, 10)
        by_row, by_pixel = rows.load(0, 0).test.inputs, pixels.load(0, 0).test.inputs
        assert by_row.shape == (382, 8, 8) and by_pixel.shape == (382, 64, 1)
        assert np.array_equal(by_row.reshape(382, 64, 1), by_pixel)

    def test_the_baselines_are_what_scikit_learn_says(self) -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import log_loss
        from sklearn.tree import DecisionTreeClassifier

        task = task_of()
        data = task.load(0, 0)
        found = {(own.name, own.metric): own.value for own in task.baselines(data)}
        train, test = data.train.inputs.reshape(-1, 64), data.test.inputs.reshape(-1, 64)
        shares = np.bincount(data.train.classes) / 1157
        regression = LogisticRegression(max_iter=1000).fit(train, data.train.classes)
        tree = DecisionTreeClassifier(random_state=0).fit(train, data.train.classes)
        expected = {
            ("class_frequencies", "log_loss"): -np.log(shares[data.test.classes]).mean(),
            ("class_frequencies", "accuracy"): (data.test.classes == shares.argmax()).mean(),
            ("logistic_regression", "log_loss"): log_loss(data.test.classes, regression.predict_proba(test)),
            ("logistic_regression", "accuracy"): regression.score(test, data.test.classes),
            ("decision_tree", "accuracy"): tree.score(test, data.test.classes),
        }
        assert found == pytest.approx(expected, rel=1e-5)
        assert [own.metric for own in task.baselines(data) if own.trivial] == ["log_loss"]

    def test_it_keeps_the_contract_and_so_does_its_example(self) -> None:
        task = task_of()
        require_contract(task, task.load(0, 0))
        example = task.cut(task.dataset.example())
        require_contract(task, example)
        assert [len(part) for part in parts(example)] == [200, 40, 60]

    @pytest.mark.parametrize(
        ("option", "reading"), [("digits", "rows"), ("digits_pixels", "pixels"), ("images", "rows")]
    )
    def test_its_option_files(self, option: str, reading: str) -> None:
        run = compose_run(CONF, {"task": option, "task.size": "[4,6]"})
        assert run.choices["output"] == "softmax_cce" and run.config["task"]["reading"] == reading
        assert run.config["task"]["size"] == [4, 6]
        assert compose_run(CONF, {"task": option, "task.source": "cats_dogs.zip"}).config["task"]["test_share"] == 0.2


class TestImages:
    def test_the_decoder_and_the_baselines_are_declared(self, tmp_path: Path) -> None:
        """Another version of them may give other pixels and other baselines from the same files."""
        assert set(task_of(pets(tmp_path, each=3)).declaration()) == {"sha256", "pillow", "scikit-learn"}

    def test_from_files_to_metrics_by_hand(self, tmp_path: Path) -> None:
        """Three images a class: one for each split, in the order of their names."""
        task = task_of(pets(tmp_path, each=3))
        data = task.load(0, 0)
        assert parts(data) == [(f"cat/{at}.png", f"dog/{at}.png") for at in ("00", "01", "02")]
        assert (task.input_size, task.output_size) == (9, 2)
        cat = np.array([[10] * 9, [200] * 6 + [2] * 3], dtype=np.float32) / np.float32(255)
        assert np.array_equal(data.test.inputs[0], cat) and data.test.classes.tolist() == [0, 1]
        # p of cat: 0.8 and 0.4 of what is spent, which is 1 and 0.5
        predictions = np.log(np.array([[0.8, 0.2], [0.2, 0.3]], dtype=np.float32))
        scores = task.test_metrics(data, predictions, predictions)
        assert scores == pytest.approx(
            {
                "log_loss": -(math.log(0.8) + math.log(0.6)) / 2,
                "accuracy": 1.0,
                "brier": (2 * 0.2**2 + 2 * 0.4**2) / 2,
                "calibration_error": (0.2 + 0.4) / 2,
                "total_probability": 0.75,
            },
            rel=1e-6,
        )
        assert task.validation_metrics(data, predictions) == scores
        require_contract(task, data)

    def test_the_last_of_each_class_are_tested(self, tmp_path: Path) -> None:
        data = task_of(pets(tmp_path), validation_share=0.3, test_share=0.2).load(0, 0)
        numbers = [sorted({int(name[4:6]) for name in part}) for part in parts(data)]
        assert numbers == [[0, 1, 2, 3, 4], [5, 6, 7], [8, 9]]

    def test_folders_train_and_test_decide(self, tmp_path: Path) -> None:
        pets(tmp_path / "train", each=10)
        for kind, value in (("cat", 1), ("dog", 2)):
            write(tmp_path / "test" / kind / "00.png", np.full((2, 3, 3), value))
        data = task_of(str(tmp_path), validation_share=0.3).load(0, 0)
        train, validation, test = parts(data)
        assert test == ("test/cat/00.png", "test/dog/00.png")
        assert {int(name[-6:-4]) for name in validation} == {7, 8, 9} and len(train) == 14
        for kind, value in (("cat", 3), ("dog", 4)):
            write(tmp_path / "validation" / kind / "00.png", np.full((2, 3, 3), value))
        train, validation, _ = parts(task_of(str(tmp_path), validation_share=0.3).load(0, 0))
        assert validation == ("validation/cat/00.png", "validation/dog/00.png") and len(train) == 20

    def test_the_test_images_change_nothing_in_train(self, tmp_path: Path) -> None:
        """Inputs, order and scale."""
        before = task_of(pets(tmp_path)).load(0, 0)
        tested = before.test.index or ()
        for name in tested:
            write(tmp_path / name, np.full((2, 3, 3), 250 + int(name[4:6]) % 3 + 2 * (name < "d")))
        after = task_of(str(tmp_path)).load(0, 0)
        for own, other in ((before.train, after.train), (before.validation, after.validation)):
            assert np.array_equal(own.inputs, other.inputs) and own.index == other.index
        assert not np.array_equal(before.test.inputs, after.test.inputs)

    def test_one_image_does_not_scale_another(self, tmp_path: Path) -> None:
        before = task_of(pets(tmp_path)).load(0, 0).train
        write(tmp_path / "cat" / "00.png", np.zeros((2, 3, 3)))
        after = task_of(str(tmp_path)).load(0, 0).train
        assert before.index == after.index
        assert np.array_equal(before.inputs[1:], after.inputs[1:]) and (after.inputs[0] == 0).all()

    def test_it_is_prepared_once_with_what_was_found(self, tmp_path: Path) -> None:
        task = task_of(pets(tmp_path / "pets", each=3), size=4)
        task.results = tmp_path / "results"
        prepare(task.dataset, task.results)
        stored = task_of(str(tmp_path / "pets"), size=4)
        stored.results = task.results
        facts = stored.prepared.facts
        assert facts["classes"]["dog"] == {"train": 1, "validation": 1, "test": 1}
        assert (facts["images"], facts["height"], facts["resized"]) == (6, 4, 6)
        assert np.array_equal(stored.load(0, 0).test.inputs, task.load(0, 0).test.inputs)
        assert stored.baselines(stored.load(0, 0)) == task.baselines(task.load(0, 0))
        assert task_of(str(tmp_path / "pets")).dataset.digest != task.dataset.digest

    def test_both_ways_to_say_a_square(self, tmp_path: Path) -> None:
        source = pets(tmp_path)
        assert task_of(source, size=3).dataset == task_of(source, size=[3, 3]).dataset
        assert task_of(source, size=[3, 4]).load(0, 0).train.inputs.shape[1:] == (3, 12)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reading": "colums"}, "task.reading='colums'; valid: pixels, rows"),
        ({"source": ""}, "task.source=''"),
        ({"source": "nowhere.zip"}, "task.source=nowhere.zip: there is no such file or folder"),
        ({"source": "a", "size": 0}, "task.size=0"),
        ({"source": "a", "size": True}, "task.size=True"),
        ({"source": "a", "size": [3]}, "task.size=[3]"),
        ({"source": "a", "size": [3, 2.5]}, "task.size=[3, 2.5]"),
        ({"source": "a", "size": "3"}, "task.size='3'"),
        ({"size": 4}, "task.size=4: the digits stay 8 x 8"),
        ({"validation_share": 0.0}, "task.validation_share=0.0"),
        ({"test_share": 1}, "task.test_share=1"),
        ({"test_share": math.nan}, "task.test_share=nan"),
        ({"validation_share": 0.5, "test_share": 0.5}, "it leaves none for train"),
        (
            {"validation_share": 0.5, "test_share": 0.49},
            "the class '0' has 14 images or forms for train, validation and test",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_options_that_cannot_be_used(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        task_of(**({"source": "sklearn"} | options)).check()
    assert words in str(caught.value)


def test_too_few_images(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the class 'cat' has 2 images or forms for train, validation and test"):
        task_of(pets(tmp_path, each=2)).check()


def plain(classes: list[int], blocks: list[int]) -> Images:
    count = len(classes)
    return Images(
        np.zeros((count, 1, 1, 1), dtype=np.uint8),
        np.array(classes),
        tuple("abc"[: max(classes) + 1]),
        tuple(map(str, range(count))),
        np.full(count, UNDECIDED),
        np.array(blocks),
    )


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=40),
    st.floats(0.05, 0.4),
    st.floats(0.05, 0.4),
)
def test_no_block_of_a_class_is_torn_apart(
    extra: list[tuple[int, int]], validation_share: float, test_share: float
) -> None:
    """For any images: each class in every split, blocks in order, and as many as the shares say."""
    pairs = sorted([(own, block) for own in range(3) for block in (10, 11, 12, 13, 14, 15)] + extra)
    images = plain([own for own, _ in pairs], [block for _, block in pairs])
    splits = shared_out("x", images, validation_share, test_share)
    for number in range(3):
        own = images.classes == number
        by_block = [set(splits[own & (images.blocks == block)].tolist()) for block in np.unique(images.blocks[own])]
        assert all(len(found) == 1 for found in by_block)
        order = [found.pop() for found in by_block]
        assert order == sorted(order) and set(order) == {0, 1, 2}
        assert order.count(1) == max(1, round(validation_share * len(order)))
        assert order.count(2) == max(1, round(test_share * len(order)))


def test_what_the_test_images_are_is_not_fitted() -> None:
    """Of two classes; the same test sample gets the same score, whatever stands beside it."""
    rng = np.random.default_rng(0)
    inputs, classes = rng.random((40, 3), dtype=np.float32), np.arange(40) % 2
    alone, _ = class_baselines(inputs, classes, inputs[:1], classes[:1])
    twice, facts = class_baselines(inputs, classes, inputs[[0, 0, 0]], classes[[0, 0, 0]])
    assert [name for name, _, _ in alone] == [
        "class_frequencies", "class_frequencies", "logistic_regression", "logistic_regression", "decision_tree",
    ]  # fmt: skip
    assert [value for _, _, value in alone] == pytest.approx([value for _, _, value in twice])
    assert dict((name, value) for name, metric, value in alone if metric == "log_loss")["class_frequencies"] == (
        pytest.approx(math.log(2))
    )
    assert facts["logistic_regression_converged"] is True
