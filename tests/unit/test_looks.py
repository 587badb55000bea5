"""A declared schedule of looks: what each look may spend, and what it does to verdicts, names and cautions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from score_tables import Tables, ToyStudy, claim

from notafluke import stats
from notafluke.advice import advice
from notafluke.claims import decide, records
from notafluke.decidability import undecidable
from notafluke.errors import UsageError
from notafluke.plan import load_plan
from notafluke.study_file import load_study

LOOKS = (10, 20, 40)


def row(differences: Any, **options: Any) -> dict[str, Any]:
    """The decision on one claim at the look that the number of differences says."""
    control = np.linspace(10, 12, len(differences))
    tables = Tables().arm("control", control).arm("a=1", control + np.asarray(differences))
    study = ToyStudy((claim(sesoi=0.5),), seeds=tuple(range(len(differences))), looks=LOOKS, **options)
    return records(decide(study, *tables.frames()))[0]


def test_the_first_look_asks_for_more_than_alpha() -> None:
    level = stats.nominal_level(0.05, LOOKS, 1)
    assert level < 0.05 / 10
    # All ten of one sign: p = 2 / 2^10 = 0.00195, which a single look would take for certain.
    decided = row(np.linspace(0.1, 1, 10))
    assert decided["p_value"] == pytest.approx(2 / 2**10)
    assert decided["p_sequential"] > 0.05
    assert decided["verdict"] != "better"
    assert decided["look"] == "1 of 3"
    assert "the next one at 20 seeds" in decided["reason"]


def test_pocock_spends_more_at_the_first_look() -> None:
    assert row(np.linspace(0.1, 1, 10), spending="pocock")["verdict"] == "better"


def test_sequential_p_is_that_of_the_looks_so_far() -> None:
    differences = np.concatenate([np.linspace(-0.9, 1, 10), np.linspace(0.1, 1.1, 10)])
    decided = row(differences)
    p_values = [float(stats.signed_rank_test(differences[:size]).p_value) for size in (10, 20)]
    assert decided["p_value"] == pytest.approx(p_values[-1])
    assert decided["p_sequential"] == pytest.approx(stats.sequential_p(p_values, LOOKS))


def test_what_an_earlier_look_has_shown_stays_shown() -> None:
    early = np.concatenate([np.linspace(1, 3, 20), np.zeros(20)])
    early[20:] = np.tile([-0.5, 0.6], 10)
    assert row(early)["p_sequential"] <= row(early[:20])["p_sequential"]


def test_equivalence_is_tested_over_the_looks_too() -> None:
    decided = row(np.tile([-0.01, 0.012], 10))
    assert decided["p_tost"] < decided["p_tost_sequential"]
    assert decided["verdict"] == "equivalent"


def test_many_looks_keep_the_level() -> None:
    """Under the null at most 5 % of studies ever decide, looking at 10, 20 and 40 seeds; undeclared it is more."""
    random = np.random.default_rng(20)
    repetitions, declared, undeclared = 400, 0, 0
    for _ in range(repetitions):
        differences = random.normal(size=40)
        p_values = [float(stats.signed_rank_test(differences[:size]).p_value) for size in LOOKS]
        declared += stats.sequential_p(p_values, LOOKS) <= 0.05
        undeclared += min(p_values) <= 0.05
    assert declared / repetitions <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / repetitions)
    assert undeclared > 1.5 * declared


def test_too_few_seeds_for_the_claims_are_told_beforehand() -> None:
    claims = tuple(claim(f"a={number}") for number in range(9))
    assert undecidable(ToyStudy(claims, seeds=tuple(range(9)))) == []
    (warning,) = undecidable(ToyStudy(claims, seeds=tuple(range(8))))
    assert warning.startswith("8 seeds cannot decide 9 comparisons")
    assert "it takes 9 seeds or more" in warning
    assert undecidable(ToyStudy(claims, seeds=(0, 1), test="paired_t")) == []


# --- studies ---------------------------------------------------------------------------------------------------------

STUDY: dict[str, Any] = {
    "title": "Looked at twice",
    "looks": [6, 12],
    "tasks": {"adding": {"task.length": 6, "task.train_size": 20}},
    "sweep": {"activation": "tanh,iris", "seed": "range(0,6)"},
    "claims": {"iris": {"sentence": "iris beats tanh", "treatment": "activation=iris", "sesoi": "2%"}},
}


def write(conf: Path, **changes: Any) -> Path:
    (conf / "study" / "looked.yaml").write_text(yaml.safe_dump(STUDY | changes, sort_keys=False), encoding="utf-8")
    return conf


def test_a_look_is_one_of_those_declared(conf: Path) -> None:
    write(conf)
    assert load_study(conf, "looked")[0].looks == (6, 12)
    later, _ = load_study(conf, "looked", ["seed=range(0,12)"])
    assert later.seeds == tuple(range(12))
    with pytest.raises(UsageError, match=r"8 seeds are no declared look; valid: seed=range\(0,6\), seed=range\(0,12\)"):
        load_study(conf, "looked", ["seed=range(0,8)"])
    with pytest.raises(UsageError, match="seeds that do not ascend"):
        load_study(conf, "looked", ["seed=5,4,3,2,1,0"])
    with pytest.raises(UsageError, match="each declared look has the seeds of the one before"):
        load_study(conf, "looked", ["seed=range(1,13)"])


@pytest.mark.parametrize("looks", [[10], [20, 10], [6, 6], ["6", 12], "6,12", 6, [0, 6], [True, 6]])
def test_a_schedule_that_is_none_is_refused(conf: Path, looks: Any) -> None:
    write(conf, looks=looks)
    with pytest.raises(UsageError, match=r"conf/study/looked.yaml: looks: .* is no list of two or more ascending"):
        load_study(conf, "looked")


def test_unknown_spending_names_the_valid_ones(conf: Path) -> None:
    write(conf, spending="pokock")
    with pytest.raises(UsageError, match="spending: unknown 'pokock'; did you mean 'pocock'"):
        load_study(conf, "looked")


def advised(conf: Path, seeds_needed: float, overrides: list[str], **changes: Any) -> tuple[str, str]:
    write(conf, **changes)
    plan = load_plan("looked", overrides)
    row = {"claim": "iris", "role": "claim", "task": "adding", "verdict": "underpowered", "reason": ""}
    return advice([row | {"seeds_needed": seeds_needed}], plan)


def test_advice_is_a_command_that_adds_the_seeds(conf: Path) -> None:
    text, command = advised(conf, 24, ["trainer.max_epochs=3"], looks=[])
    assert text.startswith("seeds for a power of 80 %: 24 on adding; without looks")
    assert text.endswith("exploratory")
    study = "snakemake --cores all --config study=looked"
    assert command == f"{study} overrides='trainer.max_epochs=3 seed=range(0,24)'"
    assert advised(conf, 6, ["seed=2,3,7"], looks=[])[1] == f"{study} overrides=seed=2,3,7,8,9,10"


def test_advice_with_declared_looks_goes_to_the_next_one(conf: Path) -> None:
    text, command = advised(conf, 24, [])
    assert "the next declared look is at 12 seeds; the last one, at 12, will probably not do" in text
    assert command.endswith("overrides='seed=range(0,12)'")
    assert advised(conf, 11, [])[0].endswith("the next declared look is at 12 seeds")
    text, command = advised(conf, 24, ["seed=range(0,12)"])
    assert "the last declared look" in text
    assert command == ""
    assert advised(conf, float("nan"), []) == ("", "")


def test_advice_where_no_verdict_was_possible(conf: Path) -> None:
    write(conf)
    row = {"claim": "iris", "role": "claim", "task": "adding", "verdict": "cannot decide", "seeds_needed": float("nan")}
    few, did_not_learn = ({**row, "reason": reason} for reason in ("too few pairs: 6", "control did not learn: mse"))
    text, command = advice([few], load_plan("looked"))
    assert text == "more seeds are needed for any verdict; the next declared look is at 12 seeds"
    assert command.endswith("overrides='seed=range(0,12)'")
    assert advice([did_not_learn], load_plan("looked")) == ("", "")
    assert advice([{**few, "role": "negative_control"}], load_plan("looked")) == ("", "")


def test_a_first_look_that_cannot_decide_is_told_with_the_look_that_can(conf: Path) -> None:
    write(conf)
    (warning,) = load_plan("looked").warnings
    assert "6 seeds cannot decide 1 comparison: the smallest p of an exact test is 0.0312, above 0.00305" in warning
    assert warning.endswith("(spending: obrien_fleming); the look at 12 seeds can")


def test_a_later_look_cannot_turn_what_an_earlier_one_has_shown() -> None:
    """The first pairs say better and reject; the others pull all together to the other side."""
    turned = row(np.concatenate([np.linspace(0.1, 0.2, 10), -np.linspace(1, 2, 10)]), spending="pocock")
    assert turned["p_holm"] <= 0.05
    assert turned["verdict"] == "mixed"
    assert turned["reason"].startswith("an earlier look said better, all pairs together say worse")
    goes_on = row(np.concatenate([np.linspace(0.1, 0.2, 10), np.linspace(1, 2, 10)]), spending="pocock")
    assert goes_on["verdict"] == "better"
