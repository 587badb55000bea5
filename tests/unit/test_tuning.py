"""tune=lr: the choice by hand, against runs at fixed learning rates, and without a look at the test split."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from notafluke.checksums import with_checksum, without_checksum
from notafluke.configuration import compose_run
from notafluke.errors import UsageError
from notafluke.plan import make_cell
from notafluke.records import RunRecord, read_record
from notafluke.study_file import load_study
from notafluke.tasks.adding import Adding
from notafluke.train import train_cell
from notafluke.tuning import FIRST_SEED, Tuning, choose, rates_around, read_tuning, tune, tuning_seeds, write_tuning

SMALL = [
    "task=adding",
    "task.length=4",
    "task.train_size=96",
    "task.validation_size=40",
    "task.test_size=40",
    "model.hidden_size=4",
    "trainer.max_epochs=2",
    "execution.tracking=false",
]
TUNED = [*SMALL, "tune=lr", "tuning_seeds=2"]


def by_key(overrides: list[str]) -> dict[str, str]:
    return dict(text.split("=", 1) for text in overrides)


class TestChoice:
    @pytest.mark.parametrize(
        ("scores", "direction", "position"),
        [
            ([[3.0, 3.0], [2.0, 2.0], [2.5, 2.5]], "lower", 1),
            ([[3.0, 3.0], [2.0, 2.0], [2.5, 2.5]], "higher", 0),
            ([[3.0, 3.0], [0.0, None], [9.0, 9.0]], "lower", 0),
            ([[None, None], [None, None], [None, 5.0]], "higher", 2),
            ([[1.0], [1.0], [1.0]], "lower", 0),
            ([[None], [None], [None]], "lower", 0),
        ],
        ids=["lowest", "highest", "a failure outweighs any score", "one finished", "the lower of equals", "none"],
    )
    def test_by_hand(self, scores: list[list[float | None]], direction: str, position: int) -> None:
        assert choose(scores, direction) == position

    def test_the_grid_and_its_edges(self) -> None:
        assert rates_around(0.03) == pytest.approx([0.01, 0.03, 0.09])
        asked: list[list[tuple[float, int]]] = []

        def score(best: float) -> Callable[[Any], list[float | None]]:
            def of(tries: list[tuple[float, int]]) -> list[float | None]:
                asked.append(tries)
                return [abs(np.log(rate / best)) for rate, _ in tries]

            return of

        found = [tune("k", "mse", "lower", 0.03, [7, 8], score(best)) for best in (0.0001, 0.03, 5.0)]
        assert [own.learning_rate for own in found] == pytest.approx([0.01, 0.03, 0.09])
        assert [own.at_grid_edge for own in found] == [True, False, True]
        assert [seed for _, seed in asked[0]] == [7, 8] * 3

    def test_stored_and_read(self, tmp_path: Path) -> None:
        tuning = Tuning("key", "mse", (1, 2), (0.1, 0.3), ((1.0, None), (0.5, 0.5)), 0.3, True)
        write_tuning(tmp_path, tuning)
        assert read_tuning(tmp_path, "key") == tuning
        assert read_tuning(tmp_path, "another") is None
        path = tmp_path / "tuning.json"
        path.write_text(path.read_text().replace('"learning_rate": 0.3', '"learning_rate": 0.1'))
        assert read_tuning(tmp_path, "key") is None, "not what was written"
        path.write_text(path.read_text()[:-20])
        assert read_tuning(tmp_path, "key") is None


class TestTraining:
    def test_the_choice_is_that_of_runs_at_fixed_rates(self, own_conf: Path) -> None:
        """Nine runs trained apart, by the front door, at the rates and seeds of the grid."""
        records = train_cell([*TUNED, "seed=range(0,3)"], "single")
        cell = make_cell(compose_run(own_conf, by_key(TUNED)))
        tuning = read_tuning(Path(cell.folder), cell.key)
        assert tuning is not None and tuning.seeds == (FIRST_SEED, FIRST_SEED + 1)
        for rate, scores in zip(tuning.rates, tuning.scores, strict=True):
            fixed = train_cell([*SMALL, f"optimizer.lr={rate!r}", f"seed={FIRST_SEED},{FIRST_SEED + 1}"], "single")
            assert [own.validation["mse"] for own in fixed] == list(scores)
        best = int(np.argmin(np.mean(np.array(tuning.scores, float), axis=1)))
        assert tuning.learning_rate == tuning.rates[best]
        assert {own.learning_rate for own in records} == {tuning.learning_rate}
        assert {own.at_grid_edge for own in records} == {best != 1}
        alone = train_cell([*SMALL, f"optimizer.lr={tuning.learning_rate!r}", "seed=1"], "single")[0]
        assert records[1].weight_digest == alone.weight_digest and records[1].metrics == alone.metrics
        assert records[1].run_key != alone.run_key

    def test_a_replica_trains_at_the_rate_of_its_original(self, own_conf: Path) -> None:
        """Else the A/A arm could differ from the control by more than its random streams."""
        choices = []
        for replica in ("replica=0", "replica=1"):
            train_cell([*TUNED, replica, "seed=0"], "single")
            folder = Path(make_cell(compose_run(own_conf, by_key([*TUNED, replica]))).folder)
            content = without_checksum(json.loads((folder / "tuning.json").read_text()))
            choices.append(content | {"cell_key": ""})
        assert choices[0] == choices[1]

    def test_more_seeds_keep_the_choice(self, own_conf: Path) -> None:
        train_cell([*TUNED, "seed=0"], "single")
        file = Path(make_cell(compose_run(own_conf, by_key(TUNED))).folder) / "tuning.json"
        content = json.loads(file.read_text())
        content["learning_rate"] = content["rates"][0]
        file.write_text(json.dumps(with_checksum(without_checksum(content))))
        assert train_cell([*TUNED, "seed=range(0,2)"], "single")[1].learning_rate == content["rates"][0]

    def test_tuning_seeds_are_never_tested(self, own_conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tested = []
        original = Adding.test_metrics

        def noted(self: Adding, data: Any, *predictions: Any) -> dict[str, float]:
            tested.append(data.test.inputs[0, 0, 0])
            return original(self, data, *predictions)

        monkeypatch.setattr(Adding, "test_metrics", noted)
        train_cell([*TUNED, "seed=0"], "single")
        task = Adding(length=4, train_size=96, validation_size=40, test_size=40)
        first = {seed: task.load(seed, 0).test.inputs[0, 0, 0] for seed in [0, *tuning_seeds(2)]}
        guessed = {value for value in tested if value == first[0]}
        assert guessed and not set(tested) & {first[seed] for seed in tuning_seeds(2)}

    def test_is_part_of_the_key(self, own_conf: Path) -> None:
        keys = {
            make_cell(compose_run(own_conf, by_key(overrides))).key
            for overrides in (SMALL, TUNED, [*SMALL, "tune=lr"], [*SMALL, "tuning_seeds=2"])
        }
        assert len(keys) == 3, "without tuning the number of its seeds does not matter"

    def test_old_records_have_no_learning_rate(self, own_conf: Path) -> None:
        (record,) = train_cell([*SMALL, "seed=0"], "single")
        assert isinstance(record, RunRecord) and record.learning_rate == 0.01
        folder = Path(make_cell(compose_run(own_conf, by_key(SMALL))).folder) / "seed=0"
        content = json.loads((folder / "metrics.json").read_text())
        del content["learning_rate"], content["at_grid_edge"]
        (folder / "metrics.json").write_text(json.dumps(with_checksum(without_checksum(content))))
        old = read_record(folder)
        assert old is not None and old.learning_rate is None


class TestStudies:
    def write(self, conf: Path, text: str) -> None:
        (conf / "study" / "tuned.yaml").write_text(f"tasks: adding\n{text}")

    def test_every_arm_is_tuned_the_control_too(self, own_conf: Path) -> None:
        self.write(own_conf, "tune: lr\nsweep: {activation: 'tanh,iris'}\n")
        study = load_study(own_conf, "tuned")[0]
        assert study.tune == "lr"
        assert [arm.name for arm in study.arms["adding"]] == ["control", "activation=iris"]
        assert [arm.overrides["tune"] for arm in study.arms["adding"]] == ["lr", "lr"]

    def test_from_the_command_line(self, own_conf: Path) -> None:
        self.write(own_conf, "sweep: {activation: 'tanh,iris'}\n")
        study = load_study(own_conf, "tuned", ["tune=lr"])[0]
        assert study.tune == "lr" and study.arms["adding"][0].overrides["tune"] == "lr"
        with pytest.raises(UsageError, match=r"tune: unknown 'lrs'; did you mean 'lr'\?"):
            load_study(own_conf, "tuned", ["tune=lrs"])

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("sweep: {tune: 'none,lr'}\n", "the key 'tune' is not for here"),
            ("control: {tune: lr}\nsweep: {activation: 'tanh,iris'}\n", "the key 'tune' is not for here"),
            (f"tune: lr\nsweep: {{activation: 'tanh,iris', seed: {FIRST_SEED}}}\n", "seeds from 1000000 on"),
        ],
    )
    def test_refused(self, own_conf: Path, text: str, message: str) -> None:
        self.write(own_conf, text)
        with pytest.raises(UsageError, match=message):
            load_study(own_conf, "tuned")

    def test_an_unknown_choice(self, own_conf: Path) -> None:
        with pytest.raises(UsageError, match=r"tune=rate; valid: lr, none"):
            compose_run(own_conf, {"task": "adding", "tune": "rate"})


class TestFailures:
    def test_a_time_limit_while_it_chooses_is_no_choice(self, own_conf: Path) -> None:
        """Else the runs of this very key would train at a rate that only a slow machine chooses."""
        limited = train_cell([*TUNED, "seed=0,1", "trainer.time_limit=0.0001"], "single")
        cell = make_cell(compose_run(own_conf, by_key(TUNED)))
        assert [own.outcome for own in limited] == ["timeout", "timeout"]
        assert "while the learning rate was chosen" in limited[0].reason
        assert limited[0].run_key == cell.run_key(0)
        assert not (Path(cell.folder) / "tuning.json").exists() and not list(Path(cell.folder).glob("checkpoint-*"))
        for seed in (0, 1):
            (cell.run_folder(seed) / "metrics.json").unlink()
        again = train_cell([*TUNED, "seed=0,1"], "single")
        tuning = read_tuning(Path(cell.folder), cell.key)
        assert tuning is not None and None not in [score for own in tuning.scores for score in own]
        assert {own.learning_rate for own in again} == {tuning.learning_rate}

    def test_a_crash_while_it_chooses_is_one_of_all_seeds(
        self, own_conf: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = Adding.validation_metrics

        def cursed(self: Adding, data: Any, predictions: Any) -> dict[str, float]:
            if data.seed_is_cursed:
                raise ArithmeticError("cursed")
            return original(self, data, predictions)

        load = Adding.load

        def loaded(self: Adding, seed: int, replica: int) -> Any:
            data = load(self, seed, replica)
            object.__setattr__(data, "seed_is_cursed", seed == FIRST_SEED + 1)
            return data

        monkeypatch.setattr(Adding, "load", loaded)
        monkeypatch.setattr(Adding, "validation_metrics", cursed)
        records = train_cell([*TUNED, "seed=0"], "single")
        assert [own.outcome for own in records] == ["crashed"]
        assert records[0].reason == "ArithmeticError: cursed, while the learning rate was chosen"
        cell = make_cell(compose_run(own_conf, by_key(TUNED)))
        assert not (Path(cell.folder) / "tuning.json").exists()
