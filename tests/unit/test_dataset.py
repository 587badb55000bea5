"""Data from outside: stored whole or not at all, with what they were made from, and never read when damaged."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from notafluke.errors import UsageError
from notafluke.files import write_atomic
from notafluke.tasks import dataset
from notafluke.tasks.base import Baseline, Float32, Metric, Split, TaskData
from notafluke.tasks.dataset import (
    ARRAYS,
    PROVENANCE,
    Dataset,
    DatasetTask,
    Prepared,
    file_declaration,
    files_below,
    package_declaration,
    prepare,
    read_prepared,
)


@dataclass(frozen=True)
class Numbers(Dataset):
    """Whole numbers, one on each line."""

    scale: int = 1
    name: ClassVar[str] = "numbers"
    embedded: ClassVar[Mapping[str, str]] = {"ten": "public domain"}

    def declaration(self) -> dict[str, str]:
        return {"package": "none"} if self.source == "ten" else file_declaration(self.source, self.embedded)

    @property
    def takes_long(self) -> bool:
        return self.source == "ten"

    def prepare(self, raw: Path) -> Prepared:
        lines = [*map(str, range(10))] if self.source == "ten" else Path(self.source).read_text().split()
        for row, line in enumerate(lines, start=1):
            if not line.isdecimal():
                raise UsageError(f"{self.source}: row {row}: {line!r} is no whole number")
        values = np.array(lines, np.float32) * self.scale
        return Prepared({"values": values, "names": np.array(lines)}, {"rows": len(lines)})

    def example(self) -> Prepared:
        return Prepared({"values": np.arange(6, dtype=np.float32), "names": np.array(["x"] * 6)})


class NumbersTask(DatasetTask):
    """Nothing that could be learned."""

    primary_metric = "mse"
    metrics = (Metric("mse", "lower"),)
    input_size = 1
    output_size = 1

    def __init__(self, source: str, results: Path, scale: int = 1) -> None:
        self.source, self.scale, self.results = source, scale, results

    @property
    def dataset(self) -> Numbers:
        return Numbers(self.source, self.scale)

    def check_options(self) -> None:
        if self.scale < 1:
            raise UsageError(f"task.scale={self.scale}: too small")

    def cut(self, prepared: Prepared) -> TaskData:
        values = prepared.arrays["values"][:, None, None]
        return TaskData(*(Split(own, own[:, 0]) for own in np.array_split(values, 3)))

    def validation_metrics(self, data: TaskData, predictions: Float32) -> dict[str, float]:
        return {"mse": 0.0}

    def test_metrics(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, float]:
        return {"mse": 0.0}

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        return ()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own.txt"
    path.write_text("3\n1\n2\n4\n1\n5\n")
    return path


class TestStored:
    def test_comes_back(self, file: Path, tmp_path: Path) -> None:
        dataset = Numbers(str(file), 2)
        folder = prepare(dataset, tmp_path / "results")
        assert folder == tmp_path / "results" / "data" / f"numbers-{dataset.digest[:8]}"
        stored = read_prepared(dataset, tmp_path / "results")
        assert stored is not None
        assert stored.arrays["values"].tolist() == [6, 2, 4, 8, 2, 10]
        assert stored.arrays["names"].tolist() == ["3", "1", "2", "4", "1", "5"]
        assert stored.facts == {"rows": 6}

    def test_says_what_it_was_made_from_but_not_where(self, file: Path, tmp_path: Path) -> None:
        text = (prepare(Numbers(str(file), 2), tmp_path / "results") / PROVENANCE).read_text()
        provenance = json.loads(text)
        assert str(tmp_path) not in text
        assert provenance["source"] == "own.txt" and provenance["licence"] == "the user's own file"
        assert provenance["raw"] == file_declaration(str(file), {})
        assert provenance["options"] == {"scale": 2} and provenance["facts"] == {"rows": 6}
        assert provenance["packages"] == {"numpy": np.__version__}
        assert provenance["arrays"]["values"] == {"shape": [6], "dtype": "float32"}

    def test_an_embedded_source_shows_its_licence(self, tmp_path: Path) -> None:
        provenance = json.loads((prepare(Numbers("ten"), tmp_path) / PROVENANCE).read_text())
        assert (provenance["source"], provenance["licence"]) == ("ten", "public domain")

    def test_is_not_made_twice(self, file: Path, tmp_path: Path) -> None:
        folder = prepare(Numbers(str(file)), tmp_path)
        before = (folder / ARRAYS).stat().st_mtime_ns
        prepare(Numbers(str(file)), tmp_path)
        assert (folder / ARRAYS).stat().st_mtime_ns == before

    @pytest.mark.parametrize("name", [ARRAYS, PROVENANCE])
    @pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
    def test_damaged_data_are_made_again(self, file: Path, tmp_path: Path, name: str, damage: str) -> None:
        dataset = Numbers(str(file))
        damaged = prepare(dataset, tmp_path) / name
        content = damaged.read_bytes()
        if damage == "gone":
            damaged.unlink()
        else:
            # Of the provenance the digest, which is what everything else rests on.
            at = content.find(dataset.digest.encode()) + 5 if name == PROVENANCE else len(content) // 2
            flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
            damaged.write_bytes(content[:at] if damage == "cut" else flipped)
        assert read_prepared(dataset, tmp_path) is None
        prepare(dataset, tmp_path)
        assert read_prepared(dataset, tmp_path) is not None

    def test_unusable_data_leave_nothing(self, file: Path, tmp_path: Path) -> None:
        file.write_text("1\ntwo\n")
        with pytest.raises(UsageError, match=r"own\.txt: row 2: 'two' is no whole number"):
            prepare(Numbers(str(file)), tmp_path / "results")
        assert not (tmp_path / "results").exists()


class TestDigest:
    def test_depends_on_content_and_options_but_not_on_the_place(self, file: Path, tmp_path: Path) -> None:
        first = Numbers(str(file)).digest
        moved = tmp_path / "elsewhere" / "other.txt"
        moved.parent.mkdir()
        moved.write_bytes(file.read_bytes())
        assert Numbers(str(moved)).digest == first
        assert Numbers(str(file), 2).digest != first
        file.write_text("7\n")
        assert Numbers(str(file)).digest != first

    def test_of_a_folder(self, tmp_path: Path) -> None:
        folder = tmp_path / "texts"
        (folder / "b").mkdir(parents=True)
        (folder / "a.txt").write_text("1")
        (folder / "b" / "c.txt").write_text("2")
        first = file_declaration(str(folder), {})
        assert files_below(folder) == [folder / "a.txt", folder / "b" / "c.txt"]
        folder.rename(tmp_path / "moved")
        assert file_declaration(str(tmp_path / "moved"), {}) == first
        (tmp_path / "moved" / "a.txt").rename(tmp_path / "moved" / "z.txt")
        assert file_declaration(str(tmp_path / "moved"), {}) != first

    def test_a_name_that_is_no_text_is_told(self, tmp_path: Path) -> None:
        """Bytes that are not UTF-8 can stand in a name, but in no listing, no JSON file and no line."""
        try:
            Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt")).write_text("1\n")
        except OSError:
            pytest.skip("this file system has no such names")
        with pytest.raises(UsageError, match=r"the name of the file '\\udcff\.txt' is not UTF-8 text; rename it"):
            file_declaration(str(tmp_path), {})

    def test_no_such_file(self) -> None:
        with pytest.raises(UsageError, match=r"task\.source=tem: there is no such file .*; did you mean 'ten'\?"):
            Numbers("tem").digest  # noqa: B018

    def test_of_a_package(self) -> None:
        assert package_declaration("numpy", "numpy") == {"package": "numpy", "version": np.__version__}
        with pytest.raises(UsageError, match="the package no-such-package is not installed"):
            package_declaration("no-such-package", "x")


class TestTask:
    def test_what_takes_long_is_an_example_until_it_is_prepared(self, tmp_path: Path) -> None:
        assert len(NumbersTask("ten", tmp_path).load(0, 0).train.inputs) == 2
        prepare(Numbers("ten"), tmp_path)
        assert len(NumbersTask("ten", tmp_path).load(0, 0).train.inputs) == 4
        assert len(NumbersTask("ten", tmp_path / "other").load(0, 0).train.inputs) == 2

    def test_an_example_is_never_trained_on(self, tmp_path: Path) -> None:
        task = NumbersTask("ten", tmp_path)
        task.check()
        for damage in (lambda folder: None, lambda folder: (folder / PROVENANCE).unlink()):
            task = NumbersTask("ten", tmp_path)
            task.example_will_do = False
            damage(task.prepared_folder())
            with pytest.raises(UsageError, match=r"numbers-.*: the data are not prepared, or damaged; try again"):
                task.load(0, 0)
            prepare(Numbers("ten"), tmp_path)
            assert len(task.load(0, 0).train.inputs) == 4

    def test_data_stay_readable_while_they_are_made_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two processes that found nothing both prepare; what the first has finished is never away."""
        prepare(Numbers("ten"), tmp_path)
        seen = []

        def writing(path: Path, content: str | bytes) -> Path:
            seen.append(read_prepared(Numbers("ten"), tmp_path) is not None)
            written = write_atomic(path, content)
            seen.append(read_prepared(Numbers("ten"), tmp_path) is not None)
            return written

        monkeypatch.setattr(dataset, "write_atomic", writing)
        answers = iter([None])
        monkeypatch.setattr(dataset, "read_prepared", lambda *arguments: next(answers))
        prepare(Numbers("ten"), tmp_path)
        assert seen == [True] * 4

    def test_prepared_data_are_read(self, tmp_path: Path) -> None:
        task = NumbersTask("ten", tmp_path)
        assert task.prepare() == task.prepared_folder()
        assert len(NumbersTask("ten", tmp_path).load(0, 0).train.inputs) == 4
        assert task.load(0, 0) is task.load(5, 1)

    def test_a_file_is_read_at_once(self, file: Path, tmp_path: Path) -> None:
        task = NumbersTask(str(file), tmp_path / "results")
        task.check()
        assert task.load(0, 0).train.inputs.ravel().tolist() == [3, 1]
        assert not (tmp_path / "results").exists()
        assert task.files() == (file,)

    def test_an_edited_file_is_read_again(self, file: Path, tmp_path: Path) -> None:
        NumbersTask(str(file), tmp_path).check()
        file.write_text("9\n9\n9\n")
        assert NumbersTask(str(file), tmp_path).load(0, 0).train.inputs.ravel().tolist() == [9]

    def test_options_are_checked_first(self, tmp_path: Path) -> None:
        task = NumbersTask(str(tmp_path / "none.txt"), tmp_path, scale=0)
        for asked in (task.check, task.declaration, task.prepare):
            with pytest.raises(UsageError, match=r"task\.scale=0: too small"):
                asked()
