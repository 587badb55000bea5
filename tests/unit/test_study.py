"""Studies: what a sweep expands to, how overrides change it, which claims they take away, and every refusal."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from notafluke.errors import UsageError
from notafluke.study import Sesoi, Study
from notafluke.study_file import arm_name, cells_per_job, load_study

NUMBERS = itertools.count()
Make = Callable[..., str]


@pytest.fixture
def make(conf: Path) -> Make:
    """Write a study of its keys into ``conf/study`` and return its name."""

    def write(**content: Any) -> str:
        name = f"test_{next(NUMBERS)}"
        text = yaml.safe_dump({"tasks": "adding", **content}, sort_keys=False)
        (conf / "study" / f"{name}.yaml").write_text(text, encoding="utf-8")
        return name

    return write


def load(conf: Path, name: str, *overrides: str) -> Study:
    return load_study(conf, name, overrides)[0]


def arms(study: Study, task: str = "adding") -> list[str]:
    return [arm.name for arm in study.arms[task]]


def refusal(conf: Path, name: str, *overrides: str) -> str:
    with pytest.raises(UsageError) as caught:
        load_study(conf, name, overrides)
    return str(caught.value)


CLAIM = {"sentence": "iris beats tanh", "treatment": "activation=iris", "sesoi": "2%"}


class TestDemo:
    """The shipped study, as its file documents it."""

    def test_cells(self, conf: Path) -> None:
        study = load(conf, "demo")
        common = ["control", "activation=golden_tanh", "activation=iris", "loss=exp_or_log", "replica=1"]
        assert list(study.arms) == ["stock", "adding", "lotto"]
        assert sorted(arms(study, "stock")) == sorted(common)
        assert sorted(arms(study, "adding")) == sorted([*common, "model=rnn"])
        assert sorted(arms(study, "lotto")) == sorted(common)
        assert study.seeds == tuple(range(10))
        assert [own[0].name for own in study.arms.values()] == ["control"] * 3

    def test_settings_of_control_and_task_hold_in_all_arms(self, conf: Path) -> None:
        """Each single value of the file, the task's before the control's, wherever an arm does not change it."""
        content = yaml.safe_load((conf / "study" / "demo.yaml").read_text(encoding="utf-8"))
        for task, own in load(conf, "demo").arms.items():
            settings_of_task = content["tasks"][task] or {}
            for key, value in {**content["control"], **settings_of_task}.items():
                if "," not in str(value):
                    assert {arm.overrides[key] for arm in own if key not in arm.name} == {str(value)}
            assert all(arm.overrides["task"] == task for arm in own)

    def test_every_treatment_changes_one_factor(self, conf: Path) -> None:
        for own in load(conf, "demo").arms.values():
            control = own[0].overrides
            for arm in own[1:]:
                changed = {key for key in arm.overrides if arm.overrides[key] != control.get(key)}
                assert len(changed) == 1 and set(control) <= set(arm.overrides)
                assert {arm.name} == {f"{key}={arm.overrides[key]}" for key in changed}

    def test_claims(self, conf: Path) -> None:
        claims = {claim.id: claim for claim in load(conf, "demo").claims}
        assert set(claims) == {
            "golden-tanh",
            "iris",
            "exp-or-log",
            "stock-yield",
            "lotto-chance",
            "same-against-same",
            "lstm-remembers",
        }
        assert claims["iris"].sesoi == {"stock": Sesoi(0.02, True), "adding": Sesoi(0.0033, False)}
        assert claims["iris"].metric is None and claims["iris"].control == "control"
        assert claims["stock-yield"].control == "baseline:buy_and_hold"
        assert claims["same-against-same"].role == "negative_control"
        assert claims["lstm-remembers"].role == "positive_control" and claims["lstm-remembers"].control == "model=rnn"


class TestExpansion:
    def test_one_factor_at_a_time(self, conf: Path, make: Make) -> None:
        study = load(conf, make(sweep={"activation": "tanh,iris,relu", "loss": "smooth_l1,mse"}))
        assert sorted(arms(study)) == ["activation=iris", "activation=relu", "control", "loss=mse"]

    def test_factorial(self, conf: Path, make: Make) -> None:
        sweep = {"activation": "tanh,iris,relu", "loss": "smooth_l1,mse", "replica": "0,1"}
        study = load(conf, make(sweep=sweep, factorial=True))
        expected = {
            ",".join(sorted(part for part in (activation, loss, replica) if part)) or "control"
            for activation in ("", "activation=iris", "activation=relu")
            for loss in ("", "loss=mse")
            for replica in ("", "replica=1")
        }
        assert len(arms(study)) == 12 and set(arms(study)) == expected

    @pytest.mark.parametrize(
        ("control", "sweep", "treatments"),
        [
            ({"activation": "iris"}, {"activation": "tanh,iris"}, ["activation=tanh"]),
            ({"optimizer.lr": 0.03}, {"optimizer.lr": "0.01,0.03"}, ["optimizer.lr=0.01"]),
            ({}, {"optimizer.lr": "0.01,0.03"}, ["optimizer.lr=0.03"]),
            ({"optimizer": "sgd"}, {"optimizer.lr": "0.01,0.1"}, ["optimizer.lr=0.01"]),
            ({}, {"optimizer.betas": "[0.9,0.999],[0.5,0.9]"}, ["optimizer.betas=[0.5,0.9]"]),
            ({}, {"optimizer.schedule": "constant,linear"}, ["optimizer.schedule=linear"]),
            ({"model.hidden_size": 8}, {"model.hidden_size": "8,16"}, ["model.hidden_size=16"]),
        ],
        ids=str,
    )
    def test_the_controls_own_value_is_the_control(
        self, conf: Path, make: Make, control: dict[str, Any], sweep: dict[str, str], treatments: list[str]
    ) -> None:
        assert arms(load(conf, make(control=control, sweep=sweep))) == ["control", *treatments]

    @pytest.mark.parametrize("spelling", ["1e-2", "0.010", "0.01"])
    def test_however_it_is_spelled(self, conf: Path, make: Make, spelling: str) -> None:
        study = load(conf, make(sweep={"optimizer.lr": f"{spelling},0.03"}))
        assert arms(study) == ["control", "optimizer.lr=0.03"]

    def test_a_sweep_of_one_task_only(self, conf: Path, make: Make) -> None:
        study = load(
            conf, make(tasks={"adding": {"model": "lstm,rnn"}, "lotto": None}, sweep={"activation": "tanh,iris"})
        )
        assert sorted(arms(study)) == ["activation=iris", "control", "model=rnn"]
        assert sorted(arms(study, "lotto")) == ["activation=iris", "control"]

    def test_a_task_may_fix_what_the_study_sweeps(self, conf: Path, make: Make) -> None:
        tasks = {"adding": {"activation": "relu"}, "lotto": None}
        study = load(conf, make(tasks=tasks, sweep={"activation": "tanh,iris", "loss": "smooth_l1,mse"}))
        assert arms(study) == ["control", "loss=mse"]
        assert {arm.overrides["activation"] for arm in study.arms["adding"]} == {"relu"}
        assert sorted(arms(study, "lotto")) == ["activation=iris", "control", "loss=mse"]

    @pytest.mark.parametrize("tasks", ["adding,lotto", ["adding", "lotto"], {"adding": None, "lotto": {}}])
    def test_tasks_as_text_list_or_mapping(self, conf: Path, make: Make, tasks: Any) -> None:
        study = load(conf, make(tasks=tasks, sweep={"activation": "tanh,iris"}))
        assert list(study.arms) == ["adding", "lotto"]

    def test_an_empty_value_takes_a_whole_section_away(self, conf: Path, make: Make) -> None:
        base = make(sweep={"activation": "tanh,iris"}, claims={"iris": CLAIM}, alpha=0.1)
        study = load(conf, make(extends=base, claims=None, alpha=None))
        assert (study.claims, study.alpha) == ((), 0.05)

    @pytest.mark.parametrize(
        ("seeds", "expected"),
        [("range(0,4)", (0, 1, 2, 3)), ("7", (7,)), (7, (7,)), ("5,3,1", (5, 3, 1)), ("range(2,9,3)", (2, 5, 8))],
    )
    def test_seeds(self, conf: Path, make: Make, seeds: Any, expected: tuple[int, ...]) -> None:
        assert load(conf, make(sweep={"activation": "tanh,iris", "seed": seeds})).seeds == expected

    def test_ten_seeds_unless_it_says_otherwise(self, conf: Path, make: Make) -> None:
        assert load(conf, make(sweep={"activation": "tanh,iris"})).seeds == tuple(range(10))

    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(st.data())
    def test_counts_by_brute_force(self, workplace: Path, data: st.DataObject) -> None:
        """Of k swept factors with n values each, one of them the control's: sum (n-1), or product n with factorial."""
        valid = {"activation": ["tanh", "iris", "relu"], "loss": ["smooth_l1", "mse"], "replica": ["0", "1", "2"]}
        keys = data.draw(st.lists(st.sampled_from(list(valid)), min_size=1, unique=True))
        sweep = {key: data.draw(st.permutations(valid[key])) for key in keys}
        factorial = data.draw(st.booleans())
        content = {"tasks": "adding", "sweep": {key: ",".join(own) for key, own in sweep.items()}}
        name = f"test_{next(NUMBERS)}"
        path = workplace / "conf" / "study" / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**content, "factorial": factorial}), encoding="utf-8")
        found = arms(load(workplace / "conf", name))
        path.unlink()
        if factorial:
            combinations = {frozenset(zip(sweep, values, strict=True)) for values in itertools.product(*sweep.values())}
            assert len(found) == len(combinations)
        else:
            assert len(found) == 1 + sum(len(own) - 1 for own in sweep.values())
        assert len(set(found)) == len(found)


class TestValues:
    """How values of a sweep are read and named."""

    def test_all_options_of_a_group(self, conf: Path, make: Make) -> None:
        """Hydra's own grammar: `glob(*)`."""
        name = make(sweep={"activation": "glob(*tanh,exclude=lecun*)", "seed": 0})
        found = arms(load(conf, name))
        assert found == ["control", "activation=golden_tanh", "activation=silver_tanh"]

    def test_a_glob_that_finds_nothing(self, conf: Path, make: Make) -> None:
        line = refusal(conf, make(sweep={"activation": "glob(x*)", "seed": 0}))
        assert "activation" in line and "glob(x*)" in line and "expands to nothing" in line

    @pytest.mark.parametrize("written", ["false,true", "False,True", [False, True]])
    def test_true_and_false(self, conf: Path, make: Make, written: Any) -> None:
        """The control's own value is the control, however it is written."""
        name = make(sweep={"model.layer_norm": written, "seed": 0})
        assert arms(load(conf, name)) == ["control", "model.layer_norm=true"]

    @pytest.mark.parametrize("written", ["0.000001", "1e-6", "1E-06", 0.000001])
    def test_a_claim_may_write_a_number_as_it_likes(self, conf: Path, make: Make, written: Any) -> None:
        claim = {**CLAIM, "treatment": {"optimizer.lr": written}}
        name = make(sweep={"optimizer.lr": "0.01,0.000001", "seed": 0}, claims={"x": claim})
        study = load(conf, name)
        assert arms(study) == ["control", "optimizer.lr=1e-06"]
        assert study.claims[0].treatment == "optimizer.lr=1e-06"

    @pytest.mark.parametrize("value", [0, -1, 1.5, "two", True, None])
    def test_cells_per_job_is_a_whole_number(self, conf: Path, make: Make, value: Any) -> None:
        name = make(sweep={"activation": "tanh,iris"}, cells_per_job=value)
        with pytest.raises(UsageError, match=f"conf/study/{name}.yaml: cells_per_job: .* at least 1"):
            cells_per_job(conf, name)
        assert load(conf, name).digest == load(conf, make(sweep={"activation": "tanh,iris"}, title=name)).digest


class TestRefused:
    """Every mistake is one line that names the file, the key and the valid choices."""

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ({"sweep": {"activation": "tanh,tanh"}}, "duplicate treatment 'tanh'"),
            ({"sweep": {"activation": "iris,iris"}}, "duplicate treatment 'iris'"),
            ({"sweep": {"activation": "tanh"}}, "no treatment and no claim"),
            ({"sweep": {}}, "no treatment and no claim"),
            ({"sweep": {"activation": ""}}, "expands to nothing"),
            ({"sweep": {"activation": "range(0,0)"}}, "sweep activation"),
            ({"sweep": {"seed": "range(0,0)", "activation": "tanh,iris"}}, "seed"),
            ({"sweep": {"seed": "0,1,0", "activation": "tanh,iris"}}, "names a seed twice"),
            ({"sweep": {"seed": "0,-1", "activation": "tanh,iris"}}, "seed=-1: expected a whole number"),
            ({"sweep": {"seed": "0.5", "activation": "tanh,iris"}}, "seed=0.5: expected a whole number"),
            ({"sweep": {"activation": "tanh,iris"}, "control": {"optimzer": "sgd"}}, "did you mean 'optimizer'"),
            ({"sweep": {"activation": "tanh,iris"}, "control": {"model": "lstn"}}, "did you mean 'lstm'"),
            ({"sweep": {"activation": "tanh,iris"}, "control": {"seed": 3}}, "control: the key 'seed' is not for here"),
            ({"sweep": {"activation": "tanh,iris"}, "control": {"task": "lotto"}}, "the key 'task' is not for here"),
            ({"sweep": {"execution.device": "cpu,cuda"}}, "'execution.device' is not for here"),
            ({"sweep": {"activation": "tanh,iris"}, "tasks": "addding"}, "did you mean 'adding'"),
            ({"sweep": {"activation": "tanh,iris"}, "tasks": []}, "expected task names"),
            ({"sweep": {"activation": "tanh,iris"}, "tasks": 3}, "expected task names"),
            ({"sweep": {"activation": "tanh,iris"}, "tasks": {"adding": "x"}}, "tasks.adding: expected a mapping"),
            ({"sweep": "activation=tanh"}, "sweep: expected a mapping"),
            ({"sweep": {"activation": "tanh,iris"}, "alfa": 0.1}, "unknown key 'alfa'; did you mean 'alpha'"),
            ({"sweep": {"activation": "tanh,iris"}, "alpha": 0}, "alpha"),
            ({"sweep": {"activation": "tanh,iris"}, "alpha": 1.0}, "alpha"),
            ({"sweep": {"activation": "tanh,iris"}, "alpha": "5%"}, "alpha"),
            ({"sweep": {"activation": "tanh,iris"}, "factorial": "yes please"}, "neither true nor false"),
            ({"sweep": {"activation": "tanh,iris"}, "test": "signed"}, "did you mean 'signed_rank'"),
            ({"sweep": {"activation": "tanh,iris"}, "correction": "bonferroni"}, "valid: benjamini_hochberg, holm"),
            ({"sweep": {"activation": "tanh,iris"}, "tune": "lrs"}, "unknown 'lrs'; did you mean 'lr'"),
            ({"sweep": {"activation": "tanh,iris"}, "claims": ["x"]}, "claims: expected a mapping"),
            ({"sweep": {"activation": "tanh,iris"}, "claims": {"x": "y"}}, "claims: expected a mapping"),
        ],
        ids=str,
    )
    def test_studies(self, conf: Path, make: Make, content: dict[str, Any], expected: str) -> None:
        name = make(**content)
        assert expected in refusal(conf, name)

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"sentence": None}, "the key 'sentence' is missing"),
            ({"treatment": None}, "the key 'treatment' is missing"),
            ({"treatmnt": "x"}, "unknown key 'treatmnt'; did you mean 'treatment'"),
            ({"treatment": "activation=irsi"}, "did you mean 'activation=iris'"),
            ({"treatment": "activation=relu"}, "activation=relu is not trained on adding"),
            ({"treatment": "iris"}, "write key=value"),
            ({"treatment": ""}, "neither 'control' nor changes"),
            ({"control": "activation=relu"}, "activation=relu is not trained on adding"),
            ({"tasks": ["lotto"]}, "task lotto is not in the study; valid: adding"),
            ({"sesoi": None}, "sesoi: a claim needs its smallest effect"),
            ({"sesoi": 0}, "neither a positive number nor a percentage"),
            ({"sesoi": -1}, "neither a positive number nor a percentage"),
            ({"sesoi": "2 percent"}, "neither a positive number nor a percentage"),
            ({"sesoi": "nan"}, "neither a positive number nor a percentage"),
            ({"sesoi": {"lotto": 1}}, "unknown key 'lotto'"),
            ({"expects": "improves"}, "expects: unknown 'improves'"),
            ({"role": "control"}, "role: unknown 'control'"),
            ({"sesoi": {}}, "the key 'adding' is missing"),
        ],
        ids=str,
    )
    def test_claims(self, conf: Path, make: Make, change: dict[str, Any], expected: str) -> None:
        claim = {key: value for key, value in {**CLAIM, **change}.items() if value is not None}
        name = make(sweep={"activation": "tanh,iris"}, claims={"x": claim})
        found = refusal(conf, name)
        assert expected in found and name in found and "claims.x" in found

    def test_unknown_study(self, conf: Path) -> None:
        assert refusal(conf, "dmo").startswith("unknown study dmo; did you mean 'demo'?")
        assert refusal(conf, "../study/demo").startswith("unknown study")

    def test_yaml_that_does_not_parse(self, conf: Path) -> None:
        (conf / "study" / "broken.yaml").write_text("tasks: adding\nsweep: [a\n", encoding="utf-8")
        assert "conf/study/broken.yaml line" in refusal(conf, "broken")
        (conf / "study" / "broken.yaml").unlink()

    def test_missing_keys(self, conf: Path) -> None:
        (conf / "study" / "empty.yaml").write_text("title: x\n", encoding="utf-8")
        assert "the key 'tasks' is missing" in refusal(conf, "empty")
        (conf / "study" / "empty.yaml").unlink()


class TestClaims:
    def test_sesoi_forms(self, conf: Path, make: Make) -> None:
        for value, expected in [("2%", Sesoi(0.02, True)), (0.5, Sesoi(0.5, False)), ("1e-3", Sesoi(0.001, False))]:
            study = load(conf, make(sweep={"activation": "tanh,iris"}, claims={"x": {**CLAIM, "sesoi": value}}))
            assert study.claims[0].sesoi == {"adding": expected}

    def test_all_tasks_unless_named(self, conf: Path, make: Make) -> None:
        name = make(tasks="adding,lotto", sweep={"activation": "tanh,iris"}, claims={"x": CLAIM})
        assert load(conf, name).claims[0].tasks == ("adding", "lotto")

    def test_treatment_of_several_factors_in_any_order(self, conf: Path, make: Make) -> None:
        sweep = {"activation": "tanh,iris", "loss": "smooth_l1,mse"}
        for treatment in (
            "loss=mse,activation=iris",
            "activation=iris loss=mse",
            {"loss": "mse", "activation": "iris"},
        ):
            name = make(sweep=sweep, factorial=True, claims={"x": {**CLAIM, "treatment": treatment}})
            assert load(conf, name).claims[0].treatment == "activation=iris,loss=mse"

    def test_treatment_that_is_a_list(self, conf: Path, make: Make) -> None:
        """The arm's name in the plan's listing is what a claim names."""
        sweep = {"optimizer.betas": "[0.9,0.999],[0.5,0.9]"}
        claim = {**CLAIM, "treatment": "optimizer.betas=[0.5,0.9]"}
        study = load(conf, make(sweep=sweep, claims={"x": claim}))
        assert study.claims[0].treatment in arms(study)

    def test_negative_controls_need_no_sesoi(self, conf: Path, make: Make) -> None:
        claim = {"sentence": "A/A", "treatment": "replica=1", "role": "negative_control", "expects": "equivalent"}
        assert load(conf, make(sweep={"replica": "0,1"}, claims={"x": claim})).claims[0].sesoi == {}

    def test_a_study_of_claims_alone(self, conf: Path, make: Make) -> None:
        claim = {**CLAIM, "treatment": "control", "control": "baseline:predict_the_mean"}
        study = load(conf, make(sweep={"seed": "range(0,3)"}, claims={"x": claim}))
        assert arms(study) == ["control"]


class TestOverrides:
    """What `overrides="..."` does."""

    def study(self, make: Make) -> str:
        return make(
            tasks={"adding": {"model": "lstm,rnn", "trainer.max_epochs": 3}, "lotto": None},
            control={"optimizer.lr": 0.01, "trainer.max_epochs": 2},
            sweep={"activation": "tanh,iris,relu", "seed": "range(0,4)"},
            claims={
                "iris": {**CLAIM, "sesoi": {"adding": "2%", "lotto": 0.1}},
                "rnn": {"sentence": "s", "treatment": "model=rnn", "tasks": ["adding"], "sesoi": 1},
            },
        )

    def test_none(self, conf: Path, make: Make) -> None:
        name = self.study(make)
        assert load_study(conf, name, [])[0].name == name

    def test_seeds(self, conf: Path, make: Make) -> None:
        name = self.study(make)
        study = load(conf, name, "seed=range(0,6)")
        assert study.seeds == tuple(range(6))
        assert study.arms == load(conf, name).arms

    def test_tasks(self, conf: Path, make: Make) -> None:
        name = self.study(make)
        study = load(conf, name, "task=adding")
        assert study.arms == {"adding": load(conf, name).arms["adding"]}
        assert [claim.tasks for claim in study.claims] == [("adding",), ("adding",)]
        assert load(conf, name, "task=lotto,adding") == load(conf, name)
        assert set(load(conf, make(sweep={"loss": "mse,smooth_l1"}), "task=adding,stock").arms) == {"adding", "stock"}

    def test_swept_key_gets_new_values(self, conf: Path, make: Make) -> None:
        study = load(conf, self.study(make), "activation=tanh,golden_tanh")
        assert sorted(arms(study, "lotto")) == ["activation=golden_tanh", "control"]
        study = load(conf, self.study(make), "activation=tanh")
        assert arms(study, "lotto") == ["control"]

    def test_new_key_with_several_values_is_a_sweep(self, conf: Path, make: Make) -> None:
        study = load(conf, self.study(make), "loss=smooth_l1,mse")
        assert "loss=mse" in arms(study) and "loss=mse" in arms(study, "lotto")

    def test_new_key_with_one_value_holds_in_every_arm(self, conf: Path, make: Make) -> None:
        study = load(conf, self.study(make), "loss=mse")
        assert {arm.overrides["loss"] for own in study.arms.values() for arm in own} == {"mse"}
        assert sorted(arms(study, "lotto")) == ["activation=iris", "activation=relu", "control"]

    def test_they_win_over_the_settings_of_tasks(self, conf: Path, make: Make) -> None:
        study = load(conf, self.study(make), "trainer.max_epochs=5", "model=rnn")
        assert {arm.overrides["trainer.max_epochs"] for own in study.arms.values() for arm in own} == {"5"}
        assert {arm.overrides["model"] for own in study.arms.values() for arm in own} == {"rnn"}
        assert "model=rnn" not in arms(study)

    def test_the_last_of_a_key_wins(self, conf: Path, make: Make) -> None:
        name = self.study(make)
        assert load(conf, name, "seed=1,2", "seed=5,6") == load(conf, name, "seed=5,6")

    def test_their_order_does_not_matter(self, conf: Path, make: Make) -> None:
        name = self.study(make)
        overrides = ["seed=0,1", "loss=mse", "task=lotto,adding", "activation=tanh,iris"]
        digests = {load(conf, name, *order).digest for order in itertools.permutations(overrides)}
        assert len(digests) == 1

    def test_an_overridden_study_has_a_name_of_its_own(self, conf: Path, make: Make) -> None:
        name = self.study(make)
        original, study = load(conf, name), load(conf, name, "seed=range(0,6)")
        assert study.name == f"{name}+{study.digest[:8]}" and study.digest != original.digest
        assert load(conf, name, "seed=range(0,7)").name != study.name

    @pytest.mark.parametrize("override", ["seed=range(0,4)", "seed=0,1,2,3", "optimizer.lr=0.01", "task=adding,lotto"])
    def test_overrides_that_change_nothing_keep_the_name(self, conf: Path, make: Make, override: str) -> None:
        name = self.study(make)
        assert load(conf, name, override) == load(conf, name)

    def test_claims_whose_arms_are_gone_are_dropped_with_a_warning(self, conf: Path, make: Make) -> None:
        study, warnings = load_study(conf, self.study(make), ["activation=tanh,relu"])
        assert [claim.id for claim in study.claims] == ["rnn"]
        assert len(warnings) == 1 and "claim iris" in warnings[0] and "activation=iris" in warnings[0]
        assert "\n" not in warnings[0]

    def test_claims_lose_the_tasks_that_are_gone(self, conf: Path, make: Make) -> None:
        study, warnings = load_study(conf, self.study(make), ["task=lotto"])
        assert [(claim.id, claim.tasks) for claim in study.claims] == [("iris", ("lotto",))]
        assert len(warnings) == 2

    def test_a_dropped_task_needs_no_sesoi_any_more(self, conf: Path, make: Make) -> None:
        study, _ = load_study(conf, self.study(make), ["task=lotto"])
        assert Study.from_text_tree(study.name, study.as_text_tree()) == study

    def test_claims_that_are_wrong_stay_errors(self, conf: Path, make: Make) -> None:
        name = make(sweep={"activation": "tanh,iris"}, claims={"x": {**CLAIM, "treatment": "activation=relu"}})
        assert "is not trained on adding" in refusal(conf, name, "seed=0,1")

    @pytest.mark.parametrize(
        ("override", "expected"),
        [
            ("activaton=iris", "did you mean 'activation'"),
            ("task=addin", "did you mean 'adding'"),
            ("seed=range(0,0)", "expands to nothing"),
            ("seed=x", "seed=x: expected a whole number"),
            ("seed", "write key=value"),
            ("+loss=mse", "runs have fixed keys"),
            ("activation=tanh,iris,iris", "duplicate treatment 'iris'"),
        ],
    )
    def test_refused(self, conf: Path, make: Make, override: str, expected: str) -> None:
        assert expected in refusal(conf, self.study(make), override)

    def test_a_time_limit_is_no_other_study_but_holds(self, conf: Path, make: Make) -> None:
        name = self.study(make)
        plain, limited = load(conf, name), load(conf, name, "trainer.time_limit=9", "trainer.keep=best")
        assert (limited.name, limited.digest) == (plain.name, plain.digest)
        assert limited.design_digest == plain.design_digest
        for arms in limited.arms.values():
            assert {arm.overrides["trainer.time_limit"] for arm in arms} == {"9"}
            assert {arm.overrides["trainer.keep"] for arm in arms} == {"best"}


class TestText:
    @pytest.mark.parametrize("overrides", [[], ["seed=range(0,3)"], ["task=stock", "activation=tanh,relu"]], ids=str)
    def test_the_text_tree_is_read_back(self, conf: Path, overrides: list[str]) -> None:
        study = load(conf, "demo", *overrides)
        tree = study.as_text_tree()
        assert Study.from_text_tree(study.name, json.loads(json.dumps(tree))) == study
        assert Study.from_text_tree(study.name, yaml.safe_load(yaml.safe_dump(tree, sort_keys=False))) == study
        assert "name" not in tree

    def test_the_digest_is_that_of_what_is_decided(self, conf: Path, make: Make) -> None:
        sweep = {"activation": "tanh,iris", "seed": "range(0,3)"}
        base: dict[str, Any] = {"title": "t", "sweep": sweep, "claims": {"x": CLAIM}}
        digest = load(conf, make(**base)).digest
        assert load(conf, make(**base)).digest == digest, "the file's name does not count"
        assert load(conf, make(**{**base, "sweep": {"seed": "0,1,2", "activation": "iris,tanh"}})).digest == digest
        for change in (
            {"alpha": 0.01},
            {"test": "paired_t"},
            {"correction": "benjamini_hochberg"},
            {"control": {"optimizer.lr": 0.1}},
            {"sweep": {"activation": "tanh,iris", "seed": "range(0,4)"}},
            {"sweep": {"activation": "tanh,iris,relu", "seed": "range(0,3)"}},
            {"claims": {"x": {**CLAIM, "sesoi": "3%"}}},
            {"claims": {"x": {**CLAIM, "expects": "not_worse"}}},
            {"claims": {}},
            {"tasks": "adding,lotto"},
        ):
            assert load(conf, make(**{**base, **change})).digest != digest, change

    def test_titles_default_to_the_name(self, conf: Path, make: Make) -> None:
        name = make(sweep={"activation": "tanh,iris"})
        assert load(conf, name).title == name


@pytest.mark.parametrize("tasks", [5, None, [], ["adding", "adding"], [["adding"]], [1]], ids=str)
def test_task_names_that_are_none(conf: Path, make: Make, tasks: Any) -> None:
    """In the study and in a claim, in one line that names the file and the key."""
    with pytest.raises(UsageError, match=r"tasks: .*(such as stock,adding|names a task twice)"):
        load(conf, make(sweep={"activation": "tanh,iris"}, tasks=tasks))
    with pytest.raises(UsageError, match=r"claims\.x\.tasks: .*(such as stock,adding|names a task twice)"):
        load(conf, make(sweep={"activation": "tanh,iris"}, claims={"x": {**CLAIM, "tasks": tasks}}))


def test_a_claim_compares_two_arms(conf: Path, make: Make) -> None:
    for same in ({"treatment": "control"}, {"treatment": "activation=iris", "control": "activation=iris"}):
        with pytest.raises(UsageError, match="the same arm"):
            load(conf, make(sweep={"activation": "tanh,iris"}, claims={"x": {**CLAIM, **same}}))


def test_arm_names_are_sorted() -> None:
    assert arm_name({"loss": "mse", "activation": "iris"}) == "activation=iris,loss=mse"


class TestArms:
    """Arms of several changes, for claims whose own control differs from the study's."""

    def test_are_trained_on_their_task_alone(self, conf: Path, make: Make) -> None:
        pair = ["optimizer=sgd,gradient=scale_norm", {"gradient": "clip_norm", "optimizer": "sgd"}]
        name = make(
            tasks={"adding": {"arms": pair, "task.length": 5}, "lotto": None},
            sweep={"replica": "0,1"},
            claims={"scale": CLAIM | {"treatment": pair[0], "control": pair[1], "tasks": ["adding"]}},
        )
        study = load(conf, name)
        names = ["gradient=scale_norm,optimizer=sgd", "gradient=clip_norm,optimizer=sgd"]
        assert arms(study) == ["control", "replica=1", *names]
        assert arms(study, "lotto") == ["control", "replica=1"]
        assert [study.claims[0].treatment, study.claims[0].control] == names
        assert study.arms["adding"][2].overrides == {
            "task": "adding",
            "task.length": "5",
            "optimizer": "sgd",
            "gradient": "scale_norm",
        }

    @pytest.mark.parametrize(
        ("own", "expected"),
        [
            ("optimizer=sgd", "is no list of arms"),
            (["control"], "cannot read override 'control'"),
            ([{}], "is neither 'control' nor changes"),
            (["a=1,b=2", "b=2,a=1"], "the arm a=1,b=2 stands there twice"),
        ],
    )
    def test_refused(self, conf: Path, make: Make, own: Any, expected: str) -> None:
        name = make(tasks={"adding": {"arms": own}}, sweep={"activation": "tanh,iris"})
        message = refusal(conf, name)
        assert "tasks.adding.arms: " in message and expected in message


class TestExtends:
    def test_is_laid_over_the_other_key_by_key(self, conf: Path, make: Make) -> None:
        base = make(
            title="Base",
            alpha=0.1,
            control={"model.hidden_size": 64},
            tasks={"adding": {"task.length": 9, "trainer.max_epochs": 7}, "lotto": None},
            sweep={"activation": "tanh,iris", "seed": "range(0,20)"},
            claims={"iris": CLAIM, "gone": CLAIM},
        )
        name = make(
            extends=base,
            title="Quick",
            tasks={"adding": {"trainer.max_epochs": 2}},
            sweep={"seed": "range(0,8)"},
            claims={"iris": {"sesoi": "5%"}, "gone": None},
        )
        study = load(conf, name)
        assert (study.title, study.alpha, len(study.seeds)) == ("Quick", 0.1, 8)
        assert arms(study) == ["control", "activation=iris"]
        shown = {key: study.arms["adding"][0].overrides[key] for key in ("task.length", "trainer.max_epochs")}
        assert shown == {"task.length": "9", "trainer.max_epochs": "2"}
        assert [(claim.id, claim.sesoi["adding"]) for claim in study.claims] == [("iris", Sesoi(0.05, True))]
        assert list(study.arms) == ["adding", "lotto"]

    def test_refused(self, conf: Path, make: Make) -> None:
        assert "extends: unknown study 'dmo'; did you mean 'demo'" in refusal(conf, make(extends="dmo"))
        name = make(sweep={"activation": "tanh,iris"})
        (conf / "study" / f"{name}.yaml").write_text(f"extends: {name}\n")
        assert f"extends: {name} extends {name}" in refusal(conf, name)

    def test_a_task_without_settings_can_be_added(self, conf: Path, make: Make) -> None:
        base = make(tasks={"adding": {"task.length": 9}}, sweep={"activation": "tanh,iris"})
        name = make(extends=base, tasks={"lotto": None})
        assert list(load(conf, name).arms) == ["adding", "lotto"]


def test_an_unquoted_date_of_yaml_is_a_text(conf: Path) -> None:
    text = "tasks: {stock: {task.train_end: 2009-12-31}}\nsweep: {activation: 'tanh,iris'}\n"
    (conf / "study" / "dated.yaml").write_text(text)
    assert load(conf, "dated").arms["stock"][0].overrides["task.train_end"] == "2009-12-31"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("alpha: 0x_", "not valid YAML: invalid literal for int"),
        (f"alpha: {'9' * 5000}", "not valid YAML: Exceeds the limit"),
        (f"control: {'[' * 5000}", "not valid YAML: maximum recursion depth"),
        ("title: !!binary aGk=", "holds more than texts, numbers, lists and mappings: Object of type bytes"),
        ("control: {model.hidden_size: !!set {a}}", "Object of type set"),
        ("control: &a {model: *a}", "Circular reference"),
        (r'title: "\ud800"', "surrogates not allowed"),
        ("alpha: !!int", "not valid YAML: string index out of range"),
        ("factorial: !!bool maybe", "not valid YAML: 'maybe'"),
        ("title: !!timestamp tomorrow", "not valid YAML"),
        ("title: !!timestamp 2026-13-45", "not valid YAML: month must be in 1..12"),
        ("title: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
    ],
)
def test_what_no_study_can_mean_is_refused(conf: Path, line: str, told: str) -> None:
    (conf / "study" / "odd.yaml").write_text(f"tasks: adding\nsweep: {{activation: 'tanh,iris'}}\n{line}\n")
    message = refusal(conf, "odd")
    assert "odd.yaml" in message and told in message


def test_a_date_that_is_none_is_a_text_too(conf: Path, make: Make) -> None:
    (conf / "study" / "undated.yaml").write_text("title: 2026-13-45\ntasks: adding\nsweep: {activation: 'tanh,iris'}\n")
    assert load(conf, "undated").title == "2026-13-45"


@pytest.mark.parametrize("expression", ["range(0,1000000000)", "range(0,1,0.000001)"])
def test_a_sweep_without_end_is_refused(conf: Path, make: Make, expression: str) -> None:
    assert "expands to more than 100,000 values" in refusal(conf, make(sweep={"seed": expression}))


def test_the_metric_of_a_claim_is_a_name(conf: Path, make: Make) -> None:
    name = make(sweep={"activation": "tanh,iris"}, claims={"one": {**CLAIM, "metric": ["mse"]}})
    assert "claims.one.metric: ['mse'] is no name of a metric" in refusal(conf, name)
