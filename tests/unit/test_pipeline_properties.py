"""Properties of the whole pipeline, by hypothesis; numbered as in the list that comes with the reference cases."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from score_tables import Tables, ToyStudy, claim

from notafluke import claims
from notafluke.errors import UsageError
from notafluke.overall import overall
from notafluke.pairing import Table

ARMS = ("control", "a=1", "b=1")
OWN = ("p_value", "p_tost", "delta", "delta_low", "delta_high", "d_z", "rank_biserial", "p_better", "pairs_done")
RECORDED = st.one_of(st.integers(-5, 5).map(float), st.floats(-1e3, 1e3), st.none())
PLANNED = st.one_of(RECORDED, st.just(...))


@st.composite
def studies(draw: st.DrawFn) -> Tables:
    """Two tasks, three arms, five to eight seeds; scores with ties, failed and absent runs."""
    tables = Tables(draw(st.sampled_from(["higher", "lower"])))
    for task in ("one", "two"):
        seeds = draw(st.integers(5, 8))
        scores = PLANNED if draw(st.integers(0, 3)) == 0 else RECORDED
        for arm in ARMS:
            tables.arm(arm, draw(st.lists(scores, min_size=seeds, max_size=seeds)), task)
    return tables


def verdicts(frames: tuple[pd.DataFrame, ...], *arms: str) -> list[dict[str, Any]]:
    declared = tuple(claim(arm, tasks=("one", "two")) for arm in arms)
    scores = frames[0] if len(frames[0]) else pd.DataFrame(columns=[*Tables().arm("x", [1.0]).scores[0]])
    return claims.records(claims.decide(ToyStudy(declared), scores, *frames[1:]))


def same(first: Any, second: Any) -> bool:
    return first == second or (isinstance(first, float) and math.isnan(first) and math.isnan(second))


@settings(max_examples=40)
@given(studies())
def test_1_a_further_treatment_changes_no_number_of_another(tables: Tables) -> None:
    frames = tables.frames()
    without = tuple(own[own["arm"] != "b=1"] if "arm" in own else own for own in frames)
    for alone, beside in zip(verdicts(without, "a=1"), verdicts(frames, "a=1", "b=1"), strict=False):
        assert alone["treatment"] == beside["treatment"]
        for name in OWN:
            assert same(alone[name], beside[name]), name


@settings(max_examples=40)
@given(studies(), st.integers(0, 1000))
def test_3_and_9_the_order_of_rows_changes_no_byte(tables: Tables, seed: int) -> None:
    frames = tables.frames()
    random = Random(seed)
    shuffled = tuple(own.sample(frac=1, random_state=random.randrange(1000)) for own in frames)
    declared = (claim("a=1", tasks=("one", "two")), claim("b=1", tasks=("two",)))
    if len(frames[0]):
        expected, found = (claims.decide(ToyStudy(declared), *own).to_csv() for own in (frames, shuffled))
        assert found == expected


@settings(max_examples=8)
@given(studies(), st.integers(0, 1000))
def test_3_and_9_the_order_of_rows_changes_no_byte_over_all_tasks(tables: Tables, seed: int) -> None:
    frames = tables.frames()
    if len(frames[0]):
        shuffled = tuple(own.sample(frac=1, random_state=seed) for own in frames)
        expected, found = (overall(ToyStudy(()), Table.read(*own)).to_csv() for own in (frames, shuffled))
        assert found == expected


@settings(max_examples=40)
@given(studies())
def test_7_and_10_no_zero_p_and_no_nan_where_a_rule_gives_a_value(tables: Tables) -> None:
    for row in verdicts(tables.frames(), "a=1", "b=1"):
        assert row["verdict"] in claims.VERDICTS
        if row["verdict"] == "incomplete":
            assert math.isnan(row["p_value"])
            continue
        assert 2 / 2 ** row["pairs_done"] <= row["p_value"] <= row["p_holm"] <= 1
        assert -1 <= row["rank_biserial"] <= 1
        assert 0 <= row["p_better_low"] <= row["p_better"] <= row["p_better_high"] <= 1
        for name in ("pairs_planned", "failed_treatment", "failed_control", "m"):
            assert row[name] >= 0


@settings(max_examples=40)
@given(studies(), st.permutations(range(8)))
def test_8_pairs_are_joined_by_seed_and_not_by_place(tables: Tables, names: list[int]) -> None:
    """Renaming the seeds of all arms alike, which moves every row, changes nothing but the names."""
    frames = tables.frames()
    renamed = tuple(own.assign(seed=[names[int(seed)] for seed in own["seed"]]) if len(own) else own for own in frames)
    for before, after in zip(verdicts(frames, "a=1"), verdicts(renamed, "a=1"), strict=True):
        for name in ("verdict", "rank_biserial", "p_better", "p_value", "pairs_done"):
            assert same(before[name], after[name]), name


@settings(max_examples=20)
@given(studies(), st.data())
def test_8_a_duplicate_is_refused(tables: Tables, data: st.DataObject) -> None:
    scores, baselines, planned = tables.frames()
    if len(scores):
        row = data.draw(st.integers(0, len(scores) - 1))
        with pytest.raises(UsageError, match="duplicate row"):
            verdicts((pd.concat([scores, scores.iloc[[row]]]), baselines, planned), "a=1")
