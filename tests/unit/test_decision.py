"""The last rule: registration, looks, and the files it writes from run records."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from result_files import repeatable

from notafluke import decision
from notafluke.errors import UsageError
from notafluke.plan import Plan, load_plan
from notafluke.records import RunRecord, write_record
from notafluke.registration import cautions, note_look, register
from notafluke.workflow import figure_files, table_files

STUDY: dict[str, Any] = {
    "title": "Iris against tanh",
    "tasks": {"adding": {"task.length": 6, "task.train_size": 20}},
    "sweep": {"activation": "tanh,iris", "seed": "range(0,6)"},
    "claims": {"iris": {"sentence": "iris beats tanh", "treatment": "activation=iris", "sesoi": "2%"}},
}


@pytest.fixture
def place(conf: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder with conf/, a study `tiny` and no results."""
    (conf / "study" / "tiny.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False), encoding="utf-8")
    yield conf.parent
    shutil.rmtree(conf.parent / "results", ignore_errors=True)


def record(plan: Plan, arm: str, seed: int, mse: float, outcome: str = "ok", seconds: float = 1.0) -> None:
    """Write a run record that a training could have left."""
    cell = plan.cells["adding"][arm]
    write_record(
        cell.run_folder(seed),
        RunRecord(
            run_key=cell.run_key(seed),
            cell_key=cell.key,
            task="adding",
            changes=dict(cell.changes),
            seed=seed,
            outcome=outcome,
            reason="" if outcome == "ok" else "loss not finite in epoch 2",
            last_epoch=3,
            best_epoch=2,
            primary_metric="mse",
            directions={"mse": "lower"},
            units={"mse": ""},
            metrics={"mse": mse} if outcome == "ok" else {},
            validation={"mse": mse},
            baselines=[{"name": "predict_the_mean", "metric": "mse", "value": 1 / 6, "trivial": True}],
            parameters=100,
            seconds=seconds,
            weight_digest="0" * 64,
            provenance={"python": f"3.11.{seconds:.0f}"},
        ),
        {},
        [],
        np.zeros((2, 1), np.float32),
        None,
    )


def record_all(plan: Plan, better: float = 0.02, seconds: float = 1.0) -> None:
    random = np.random.default_rng(0)
    for seed in plan.study.seeds:
        level = 0.1 + random.uniform(-0.005, 0.005)
        for arm in plan.cells["adding"]:
            gain = better + random.uniform(-0.002, 0.002) if arm == "activation=iris" else 0.0
            record(plan, arm, seed, level - gain, seconds=seconds)


def looks_of(plan: Plan) -> list[dict[str, Any]]:
    path = plan.folder / "looks.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


class TestRegistration:
    def test_stores_the_resolved_study_once(self, place: Path) -> None:
        plan = load_plan("tiny")
        register(plan)
        path = plan.folder / "registered.yaml"
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert content["digest"] == plan.study.digest and content["study"] == plan.study.as_text_tree()
        assert content["runs_recorded_before"] == 0
        assert datetime.fromisoformat(content["registered"]).tzinfo is not None
        before = path.read_bytes()
        record_all(plan)
        register(plan)
        assert path.read_bytes() == before

    def test_a_damaged_registration_is_refused(self, place: Path) -> None:
        plan = load_plan("tiny")
        register(plan)
        path = plan.folder / "registered.yaml"
        whole = path.read_text(encoding="utf-8")
        for damaged in (
            whole.replace("alpha: 0.05", "alpha: 0.07"),
            whole.replace("runs_recorded_before: 0", "runs_recorded_before: 1"),
            whole.replace("checksum", "chesksum"),
            whole[:100],
            whole[: whole.index("  claims:")],
            whole[: whole.index("  claims:")] + "  1: 2\n",
            "- a list\n",
            "",
        ):
            assert damaged != whole
            path.write_text(damaged, encoding="utf-8")
            with pytest.raises(
                UsageError, match=r"results/tiny/registered\.yaml.*restore it from a backup, or delete it"
            ):
                cautions(plan)
        path.write_text(whole[: whole.index("checksum")], encoding="utf-8")
        assert cautions(plan) == [], "registered before there were checksums"

    def test_says_how_many_runs_were_there_before(self, place: Path) -> None:
        plan = load_plan("tiny")
        record(plan, "control", 0, 0.1)
        register(plan)
        content = yaml.safe_load((plan.folder / "registered.yaml").read_text(encoding="utf-8"))
        assert content["runs_recorded_before"] == 1

    def test_a_study_that_was_registered_late_is_noted(self, place: Path) -> None:
        plan = load_plan("tiny")
        for seed in (0, 1):
            record(plan, "control", seed, 0.1)
        register(plan)
        (note,) = cautions(plan)
        assert "2 of its runs were recorded before" in note and "exploratory" in note

    def test_the_same_study_needs_no_note(self, place: Path) -> None:
        plan = load_plan("tiny")
        assert cautions(plan) == []
        register(plan)
        assert cautions(plan) == []

    def test_a_changed_study_is_noted_with_the_lines_that_differ(self, place: Path) -> None:
        plan = load_plan("tiny")
        register(plan)
        for seed in (0, 1, 2):
            record(plan, "control", seed, 0.1)
        changed = {**STUDY, "alpha": 0.01}
        changed["claims"] = {"iris": {**STUDY["claims"]["iris"], "sesoi": "1%"}}
        (place / "conf" / "study" / "tiny.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
        (note,) = cautions(load_plan("tiny"))
        assert note.startswith("Changed after 3 runs:")
        assert "alpha: 0.05 -> 0.01" in note and "0.02 -> 0.01" in note
        assert "\n" not in note and "sentence" not in note

    def test_an_overridden_study_is_registered_apart(self, place: Path) -> None:
        register(load_plan("tiny"))
        more = load_plan("tiny", ["seed=range(0,8)"])
        assert cautions(more) == []
        register(more)
        assert (more.folder / "registered.yaml").is_file()
        assert cautions(load_plan("tiny")) == []


class TestLooks:
    def look(self, plan: Plan) -> None:
        plan.folder.mkdir(parents=True, exist_ok=True)
        note_look(plan)

    def test_each_is_appended(self, place: Path) -> None:
        plan = load_plan("tiny")
        record(plan, "control", 0, 0.1)
        self.look(plan)
        record_all(plan)
        self.look(plan)
        first, second = looks_of(plan)
        assert (first["runs"], second["runs"]) == (1, 12)
        assert first["study"] == plan.study.digest and first["seeds"] == list(range(6))
        assert datetime.fromisoformat(first["time"]) <= datetime.fromisoformat(second["time"])

    def test_looking_again_at_the_same_is_no_fault(self, place: Path) -> None:
        plan = load_plan("tiny")
        self.look(plan)
        self.look(plan)
        assert cautions(plan) == []

    def test_more_seeds_after_a_look_are_exploratory(self, place: Path) -> None:
        self.look(load_plan("tiny"))
        more = load_plan("tiny", ["seed=range(0,8)"])
        (note,) = cautions(more)
        assert note.startswith("Exploratory") and "6 seeds" in note
        self.look(more)
        (note,) = cautions(load_plan("tiny", ["seed=range(0,12)"]))
        assert "6, 8" in note

    def test_fewer_seeds_than_were_looked_at_are_exploratory(self, place: Path) -> None:
        self.look(load_plan("tiny", ["seed=range(0,8)"]))
        assert "8 seeds" in cautions(load_plan("tiny"))[0]

    def test_a_look_at_more_seeds_does_not_taint_the_look_before_it(self, place: Path) -> None:
        self.look(load_plan("tiny"))
        self.look(load_plan("tiny", ["seed=range(0,8)"]))
        assert cautions(load_plan("tiny")) == []

    def test_a_damaged_line_is_told_and_the_others_count(self, place: Path) -> None:
        plan = load_plan("tiny")
        self.look(plan)
        path = plan.folder / "looks.jsonl"
        whole = path.read_bytes()
        damaged = (b'{"study": "', b"[]\n", b"\xff\n", whole.replace(b'"runs": 0', b'"runs": 1'), whole[:-20] + b"\n")
        for line in damaged:
            path.write_bytes(whole + line)
            looked_at, missing = cautions(load_plan("tiny", ["seed=range(0,8)"]))
            assert "6 seeds" in looked_at
            assert missing == "Looks may be missing: 1 of the lines in results/tiny/looks.jsonl is damaged."
        note_look(plan)
        assert len(cautions(plan)) == 1, "the look after a damaged line is a line of its own"
        assert path.read_bytes().count(b"\n") == 3
        path.write_bytes(b"")
        assert "Looks may be missing" in cautions(plan)[0], "an empty file has lost its looks"

    def test_looks_of_before_there_were_checksums_count(self, place: Path) -> None:
        plan = load_plan("tiny")
        self.look(plan)
        (look,) = looks_of(plan)
        del look["checksum"]
        (plan.folder / "looks.jsonl").write_text(json.dumps(look) + "\n", encoding="utf-8")
        (note,) = cautions(load_plan("tiny", ["seed=range(0,8)"]))
        assert "6 seeds" in note

    def test_looks_at_other_studies_do_not_count(self, place: Path) -> None:
        text = yaml.safe_dump({**STUDY, "sweep": {"activation": "tanh,iris", "seed": "range(0,2)"}})
        for name in ("tiny2", "tin", "tiny-more"):
            (place / "conf" / "study" / f"{name}.yaml").write_text(text, encoding="utf-8")
            self.look(load_plan(name))
        assert cautions(load_plan("tiny")) == []

    def test_other_seeds_than_those_looked_at_are_exploratory_too(self, place: Path) -> None:
        """As many seeds, but new ones: choosing among sets of seeds is how flukes are found."""
        self.look(load_plan("tiny"))
        assert cautions(load_plan("tiny", ["seed=range(6,12)"])) != []


class TestDecide:
    def test_writes_tables_figures_and_the_look(self, place: Path) -> None:
        plan = load_plan("tiny")
        register(plan)
        record_all(plan)
        files = decision.decide_study(plan)
        expected = {*table_files(plan), *figure_files(plan, "svg"), *figure_files(plan, "png")}
        assert set(map(str, files)) == expected | {str(plan.folder / "tables" / "significance.html")}
        assert all(path.stat().st_size > 0 for path in files)
        (look,) = looks_of(plan)
        assert look["runs"] == 12 and look["seeds"] == list(range(6))
        table = pd.read_csv(plan.folder / "tables" / "significance.csv")
        assert table["verdict"].tolist() == ["better"]

    def test_two_trainings_give_the_same_bytes(self, place: Path) -> None:
        """They differ in what is measured and dated: seconds, registration and where the runs were trained."""
        plan, found, times = load_plan("tiny"), [], []
        for seconds in (1.0, 2.5):
            shutil.rmtree(place / "results", ignore_errors=True)
            record_all(plan, seconds=seconds)
            decision.decide_study(plan)
            found.append(repeatable(plan.folder))
            times.append(pd.read_csv(plan.folder / "tables" / "timings.csv"))
        assert found[0] == found[1]
        assert [sorted(set(own["seconds"])) for own in times] == [[1.0], [2.5]]
        assert {(own.arm, own.seed) for own in times[0].itertuples()} == {
            (arm, seed) for arm in plan.cells["adding"] for seed in range(6)
        }

    def test_an_absent_run_is_incomplete_and_a_diverged_one_is_not_dropped(self, place: Path) -> None:
        plan = load_plan("tiny")
        record_all(plan)
        plan.cells["adding"]["activation=iris"].metrics_file(2).unlink()
        decisions = decision.judge(plan).decisions
        assert decisions["verdict"].tolist() == ["incomplete"]
        record(plan, "activation=iris", 2, 0.0, outcome="diverged")
        decisions = decision.judge(plan).decisions
        assert decisions["verdict"].tolist() != ["incomplete"]

    def test_a_record_under_another_key_is_not_counted(self, place: Path) -> None:
        plan = load_plan("tiny")
        record_all(plan)
        path = plan.cells["adding"]["control"].metrics_file(0)
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**content, "run_key": "0" * 64}), encoding="utf-8")
        scores = decision.judge(plan).scores
        assert len(scores) == 11

    def test_more_seeds_are_said_to_be_exploratory_in_the_table(self, place: Path) -> None:
        plan = load_plan("tiny")
        record_all(plan)
        decision.decide_study(plan)
        more = load_plan("tiny", ["seed=range(0,8)"])
        record_all(more)
        decision.decide_study(more)
        assert "Exploratory: looked at before with 6 seeds" in (more.folder / "tables" / "significance.md").read_text(
            encoding="utf-8"
        )
        assert "Exploratory: looked" not in (plan.folder / "tables" / "significance.md").read_text(encoding="utf-8")
        assert len(looks_of(plan)) == len(looks_of(more)) == 1

    def test_judging_alone_is_no_look(self, place: Path) -> None:
        plan = load_plan("tiny")
        record_all(plan)
        decision.judge(plan)
        assert looks_of(plan) == []
