"""The verdicts against hand-made score tables with known answers, and the rules they must keep."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference
from score_tables import Tables, ToyStudy, claim, two_arms

from notafluke import claims
from notafluke.errors import UsageError
from notafluke.report.columns import COLUMNS
from notafluke.sentences import summarise
from notafluke.study import Claim

WIDE = np.array([0.3, 1.1, -0.4, 0.9, 0.2, -0.8, 0.6, 0.15, -0.25, 0.5])


def decide(tables: Tables, *declared: Claim, **options: Any) -> pd.DataFrame:
    return claims.decide(ToyStudy(declared, **options), *tables.frames())


def one(tables: Tables, *declared: Claim, **options: Any) -> dict[str, Any]:
    return claims.records(decide(tables, *(declared or (claim(),)), **options))[0]


# --- known answers -----------------------------------------------------------------------------------------------


def test_best_of_ten_worked_example() -> None:
    # reference/statistics.md, "Seed luck": mean +9 with SD 3.83 against buy-and-hold +10.6: t = -1.32, p = .22.
    raw = np.array([-1.3, -0.9, -0.5, -0.2, 0.1, 0.2, 0.4, 0.7, 0.9, 1.6])
    scores = 9 + 3.83 * (raw - raw.mean()) / raw.std(ddof=1)
    tables = Tables().arm("control", scores).baseline("buy_and_hold", [10.6] * 10)
    row = one(tables, claim("control", "baseline:buy_and_hold", sesoi=1.0), test="paired_t")
    assert row["control_mean"] == pytest.approx(10.6)
    assert row["control_sd"] == 0.0
    assert row["treatment_mean"] == pytest.approx(9)
    assert row["treatment_sd"] == pytest.approx(3.83)
    assert row["delta"] == pytest.approx(-1.6)
    assert row["d_z"] * math.sqrt(10) == pytest.approx(-1.32, abs=0.005)
    assert row["p_value"] == pytest.approx(0.22, abs=0.005)
    assert row["p_value"] == pytest.approx(reference.ttest_1samp(scores, 10.6).pvalue, rel=1e-9)
    assert row["verdict"] == "underpowered"
    assert row["seeds_needed"] > 100


def test_figures_of_a_row_against_scipy() -> None:
    control = np.linspace(10, 12, 10)
    row = one(two_arms(WIDE), claim(), test="signed_rank")
    treated = control + WIDE
    interval = reference.ttest_1samp(WIDE, 0).confidence_interval(0.95)
    assert row["delta"] == pytest.approx(WIDE.mean())
    assert (row["delta_low"], row["delta_high"]) == pytest.approx((interval.low, interval.high))
    assert row["delta_percent"] == pytest.approx(100 * WIDE.mean() / 11)
    assert row["p_value"] == pytest.approx(reference.wilcoxon(WIDE, method="exact").pvalue)
    assert row["d_z"] == pytest.approx(WIDE.mean() / WIDE.std(ddof=1))
    ranks = reference.rankdata(np.abs(WIDE))
    assert row["rank_biserial"] == pytest.approx(np.sum(np.sign(WIDE) * ranks) / ranks.sum())
    assert row["p_better"] == pytest.approx(0.7)
    assert row["arms_correlation"] == pytest.approx(np.corrcoef(treated, control)[0, 1])
    low, high = ((WIDE.mean() - bound) / (WIDE.std(ddof=1) / math.sqrt(10)) for bound in (-0.5, 0.5))
    assert row["p_tost"] == pytest.approx(max(reference.t.sf(low, 9), reference.t.cdf(high, 9)))
    assert (row["pairs_done"], row["pairs_planned"], row["m"]) == (10, 10, 1)
    assert row["treatment_cell"] == "results/runs/toy/a=1"


def test_smallest_detectable_effect_of_the_reference_table() -> None:
    # reference/statistics.md: paired t at n = 10, alpha .05: d_z 1.00; signed-rank 1.01.
    for test, expected in (("paired_t", 1.00), ("signed_rank", 1.01)):
        row = one(two_arms(WIDE), claim(), test=test)
        assert row["mde80"] == pytest.approx(expected * WIDE.std(ddof=1), rel=0.015)


# --- every rule --------------------------------------------------------------------------------------------------

BETTER = [1.0, 1.2, 0.8, 1.1, 0.9, 1.05, 0.95, 1.15, 0.85, 1.3]


@pytest.mark.parametrize(
    ("differences", "sesoi", "verdict", "suffix"),
    [
        ([*BETTER[:9], ...], 0.5, "incomplete", ""),
        (BETTER[:5], 0.5, "cannot decide", ""),
        ([0.0] * 10, 0.5, "cannot decide", ""),
        (BETTER, 0.5, "better", "relevant"),
        (BETTER, 1.0, "better", ""),
        (BETTER, 5.0, "better", "negligible"),
        (BETTER, None, "better", ""),
        ([-d for d in BETTER], 0.5, "worse", "relevant"),
        ([0.10, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.17, 0.18, -9.0], 0.5, "no rule", ""),
        (WIDE, 2.0, "equivalent", ""),
        (WIDE, None, "no evidence", ""),
        (WIDE, 0.5, "underpowered", ""),
    ],
)
def test_verdict_rules(differences: Any, sesoi: float | None, verdict: str, suffix: str) -> None:
    row = one(two_arms(differences), claim(sesoi=sesoi))
    if verdict == "no rule":  # one catastrophe among ten small gains is not significant at n = 10 ...
        assert row["verdict"] == "underpowered"
        row = one(two_arms([*np.linspace(0.1, 0.2, 19), -9.0]), claim(sesoi=sesoi))  # ... but is among twenty
        verdict = "mixed"
    assert (row["verdict"], row["verdict_suffix"]) == (verdict, suffix)
    assert bool(row["reason"]) == (verdict not in ("better", "worse"))


def test_no_evidence_when_the_power_was_there() -> None:
    # The mean lies near the SESOI, so that equivalence is not shown, but the SESOI would have been detected.
    differences = np.tile([0.9, -0.7, 1.3, -0.5, 0.3], 7) - 0.03
    row = one(two_arms(differences), claim(sesoi=0.42))
    assert row["mde80"] <= 0.42
    assert row["p_holm"] > 0.05
    assert row["p_tost_holm"] > 0.05
    assert row["verdict"] == "no evidence"


def test_five_seeds_can_never_decide_and_six_can() -> None:
    assert one(two_arms(BETTER[:6]))["verdict"] == "better"
    assert one(two_arms(BETTER[:6]))["p_value"] == pytest.approx(2 / 2**6)
    assert "0.0625" in one(two_arms(BETTER[:5]))["reason"]
    assert one(two_arms(BETTER[:5]), claim(), test="sign_flip")["verdict"] == "cannot decide"
    assert one(two_arms(BETTER[:5]), claim(), test="paired_t")["verdict"] == "better"
    assert one(two_arms(BETTER[:1]), claim(), test="paired_t")["verdict"] == "cannot decide"


def test_the_family_size_of_the_plan_decides_what_is_reachable() -> None:
    tables = two_arms(BETTER[:6])
    many = [claim(), *(claim(f"b={i}") for i in range(2))]  # planned nowhere: incomplete, but counted
    rows = decide(tables, *many)
    assert set(rows["m"]) == {3}
    assert rows["verdict"].tolist() == ["cannot decide", "incomplete", "incomplete"]


def test_adjusted_p_counts_incomplete_rows_in_m() -> None:
    tables = two_arms(BETTER).arm("a=2", [*BETTER[:9], ...])
    rows = claims.records(decide(tables, claim(), claim("a=2")))
    assert rows[0]["p_value"] == pytest.approx(2 / 1024)
    assert rows[0]["p_holm"] == pytest.approx(2 * 2 / 1024)
    assert rows[1]["verdict"] == "incomplete"
    assert math.isnan(rows[1]["p_value"])
    assert rows[1]["delta"] == pytest.approx(np.mean(BETTER[:9]) - np.linspace(10, 12, 10)[:9].mean())
    assert "1 of 10 treatment runs" in rows[1]["reason"]


def test_holm_by_hand_and_benjamini_hochberg() -> None:
    noisy = np.array([0.5, 0.7, -0.1, 0.9, 0.4, 0.6, -0.2, 0.8, 0.3, 1.0])
    tables = two_arms(BETTER).arm("a=2", np.linspace(10, 12, 10) + noisy).arm("a=3", np.linspace(10, 12, 10) + WIDE)
    declared = [claim(), claim("a=2"), claim("a=3")]
    p = [reference.wilcoxon(d, method="exact").pvalue for d in (BETTER, noisy, WIDE)]
    assert p[0] < p[1] < p[2]
    holm = decide(tables, *declared)["p_holm"].tolist()
    assert holm == pytest.approx([3 * p[0], max(3 * p[0], 2 * p[1]), max(2 * p[1], p[2])])
    screened = decide(tables, *declared, correction="benjamini_hochberg")
    assert screened["p_holm"].tolist() == pytest.approx(reference.false_discovery_control(p).tolist())
    assert set(screened["correction"]) == {"benjamini_hochberg"}


@pytest.mark.parametrize("name", ["test", "correction"])
def test_unknown_options_name_the_valid_ones(name: str) -> None:
    with pytest.raises(UsageError, match="valid: "):
        decide(two_arms(WIDE), claim(), **{name: "wilcoxson"})


# --- the control must have learned -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("baseline", "verdict"),
    [([9.0] * 10, "better"), ([12.5] * 10, "cannot decide"), ([11.0] * 10, "cannot decide")],
)
def test_control_did_not_learn(baseline: list[float], verdict: str) -> None:
    tables = two_arms(BETTER).baseline("chance", baseline, trivial=True)
    row = one(tables)
    assert row["verdict"] == verdict
    assert row["baseline"] == baseline[0]
    assert ("did not learn" in row["reason"]) == (verdict == "cannot decide")
    lower = Tables("lower").arm("control", [-v for v in np.linspace(10, 12, 10)])
    lower.arm("a=1", [-(v + d) for v, d in zip(np.linspace(10, 12, 10), BETTER, strict=True)])
    assert one(lower.baseline("chance", [-b for b in baseline], trivial=True))["verdict"] == verdict


def test_control_did_not_learn_spares_baselines_and_positive_controls() -> None:
    tables = two_arms(BETTER).baseline("chance", [12.5] * 10, trivial=True)
    rows = decide(
        tables, claim("a=1", "baseline:chance"), claim("a=1", "control", role="positive_control"), claim("a=1")
    )
    by_role = {(row["role"], row["control"]): row["verdict"] for row in claims.records(rows)}
    assert by_role["positive_control", "control"] == "better"
    assert by_role["claim", "control"] == "cannot decide"
    assert by_role["claim", "baseline:chance"] != "cannot decide"


def test_with_too_few_seeds_the_control_is_not_judged() -> None:
    tables = two_arms(BETTER[:4]).baseline("chance", [99.0] * 4, trivial=True)
    assert one(tables, claim(), test="paired_t")["verdict"] == "better"


# --- failures and absences ---------------------------------------------------------------------------------------


def test_failures_count_against_their_arm() -> None:
    differences = [None, None, *BETTER[2:]]
    row = one(two_arms(differences))
    assert (row["failed_treatment"], row["failed_control"], row["pairs_finished"]) == (2, 0, 8)
    assert row["failures"] == "treatment: 2 of 10 diverged"
    ranks = np.array([10, 10, *reference.rankdata(BETTER[2:])])  # each failure takes the largest rank
    sums = np.array([abs(np.dot(signs, ranks)) for signs in product((-1, 1), repeat=10)])
    assert row["p_value"] == pytest.approx(np.mean(sums >= abs(np.dot([-1, -1] + [1] * 8, ranks))))
    assert row["delta"] == pytest.approx(np.mean(BETTER[2:]))
    assert math.isnan(row["p_tost"])
    assert row["p_better"] == pytest.approx(0.8)


def test_any_failure_switches_off_equivalent_and_the_suffixes() -> None:
    assert one(two_arms(WIDE), claim(sesoi=3.0))["verdict"] == "equivalent"
    assert one(two_arms([None, *WIDE[1:]]), claim(sesoi=3.0))["verdict"] == "no evidence"
    control = [None, *np.linspace(10, 12, 9)]
    tables = Tables().arm("control", control).arm("a=1", [20.0] * 10)
    row = one(tables, claim(sesoi=0.5))
    assert (row["verdict"], row["verdict_suffix"]) == ("better", "")


def test_all_treatment_runs_failed_is_worse_and_all_of_both_is_no_difference() -> None:
    row = one(two_arms([None] * 10))
    assert (row["verdict"], row["p_value"], row["pairs_finished"]) == ("worse", pytest.approx(2 / 1024), 0)
    assert math.isnan(row["delta"])
    row = one(Tables().arm("control", [None] * 10).arm("a=1", [None] * 10))
    assert (row["verdict"], row["p_value"], row["rank_biserial"], row["p_better"]) == ("cannot decide", 1.0, 0.0, 0.5)


def test_survivors_cannot_rescue_an_arm_that_fails() -> None:
    row = one(two_arms([None] * 8 + [5.0, 5.0], control=np.full(10, 10.0)))
    assert row["delta"] == 5.0
    assert row["verdict"] == "worse"
    assert "finished pairs alone say better" in row["reason"]


def test_with_a_failure_the_ranks_decide_whatever_the_test() -> None:
    differences = [None, *BETTER[1:]]
    expected = one(two_arms(differences))["p_value"]
    for test in ("paired_t", "sign_flip"):
        row = one(two_arms(differences), claim(), test=test)
        assert (row["p_value"], row["test"]) == (expected, "signed_rank")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-20, 20), min_size=6, max_size=12),
    st.data(),
)
def test_a_failure_never_helps_its_arm(differences: list[int], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(differences) - 1))
    failing: list[Any] = [*differences]
    failing[place] = None
    before, after = one(two_arms(differences)), one(two_arms(failing))
    assert after["rank_biserial"] <= before["rank_biserial"] + 1e-12
    assert after["p_better"] <= before["p_better"]
    if before["verdict"] == "worse":
        assert after["verdict"] == "worse"
    if before["verdict"] not in ("better", "mixed"):
        assert after["verdict"] != "better"


def test_an_ok_run_without_a_finite_score_is_a_failure() -> None:
    row = one(two_arms([math.inf, *BETTER[1:]]))
    assert row["failed_treatment"] == 1
    assert row["failures"] == "treatment: 1 of 10 not finite"


# --- invariances -------------------------------------------------------------------------------------------------


def test_pool_independence() -> None:
    alone = one(two_arms(WIDE))
    crowded = two_arms(WIDE).arm("a=2", np.linspace(0, 1, 10)).arm("a=3", np.linspace(50, 90, 10))
    with_more = claims.records(decide(crowded, claim(), claim("a=2"), claim("a=3")))[0]
    for name in ("p_value", "delta", "delta_low", "delta_high", "d_z", "rank_biserial", "p_better", "p_tost"):
        assert with_more[name] == alone[name]
    exploratory = decide(crowded, claim())
    assert exploratory["family"].tolist() == ["claims", "exploratory", "exploratory"]
    assert exploratory["p_holm"][0] == alone["p_holm"]
    assert exploratory["m"].tolist() == [1, 2, 2]


def test_order_of_rows_changes_nothing() -> None:
    tables = two_arms(WIDE).arm("a=2", [None, *BETTER[1:]]).arm("control", BETTER, "other").arm("a=1", WIDE, "other")
    tables.baseline("chance", [9.0] * 10, trivial=True)
    study = ToyStudy((claim(), claim("a=1", "baseline:chance")))
    frames = tables.frames()
    expected = claims.decide(study, *frames).to_csv()
    for seed in range(5):
        shuffled = [frame.sample(frac=1, random_state=seed) for frame in frames]
        assert claims.decide(study, *shuffled).to_csv() == expected


def test_antisymmetry_and_direction() -> None:
    for differences in (WIDE, BETTER, [None, None, *WIDE[2:]]):
        there = one(two_arms(differences))
        back = one(two_arms(differences), claim("control", "a=1"))
        negated = one(_negated(two_arms(differences)))
        for name in ("d_z", "rank_biserial"):
            assert back[name] == pytest.approx(-there[name])
            assert negated[name] == pytest.approx(there[name])
        assert (back["delta"], back["delta_low"]) == pytest.approx((-there["delta"], -there["delta_high"]))
        assert (negated["delta"], negated["delta_low"]) == pytest.approx((-there["delta"], -there["delta_high"]))
        assert back["p_value"] == there["p_value"] == negated["p_value"]
        assert back["p_better"] == pytest.approx(1 - there["p_better"])
        mirror = {"better": "worse", "worse": "better"}
        assert back["verdict"] == mirror.get(there["verdict"], there["verdict"])
        assert negated["verdict"] == there["verdict"]


def _negated(tables: Tables) -> Tables:
    for row in tables.scores:
        row["value"] = -row["value"]
        row["direction"] = "lower"
    return tables


def test_rounding_noise_makes_no_difference() -> None:
    base = [0.1 * k for k in range(1, 11)]
    tables = Tables().arm("control", base).arm("a=1", [(b * 3) / 3 + 0.1 - 0.1 for b in base])
    row = one(tables)
    assert (row["p_value"], row["delta"], row["verdict"]) == (1.0, 0.0, "cannot decide")


@pytest.mark.parametrize("test", ["signed_rank", "paired_t", "sign_flip"])
def test_constant_differences_give_no_nan_and_no_zero_p(test: str) -> None:
    row = one(two_arms([2.0] * 10, control=np.arange(10.0)), claim(), test=test)
    assert row["p_value"] == pytest.approx(2 / 1024)
    assert (row["verdict"], row["delta_low"], row["delta_high"]) == ("better", 2.0, 2.0)
    assert "no variance" in row["reason"]
    same = one(two_arms([0.0] * 10), claim(), test=test)
    assert same["p_value"] == 1.0
    assert same["verdict"] not in ("better", "worse")


# --- families, exploratory rows, plan ----------------------------------------------------------------------------


def test_families_and_what_is_exploratory() -> None:
    tables = two_arms(WIDE).arm("replica=1", BETTER).arm("model=rnn", BETTER).arm("b=1", BETTER)
    rows = decide(
        tables,
        claim("replica=1", role="negative_control", sesoi=None),
        claim(),
        claim("control", "model=rnn", role="positive_control"),
    )
    assert rows["family"].tolist() == ["claims", "controls", "controls", "exploratory"]
    assert rows["treatment"].tolist() == ["a=1", "replica=1", "control", "b=1"]
    assert rows["m"].tolist() == [1, 2, 2, 1]
    assert rows["result"].tolist()[-1] == ""
    assert list(rows.columns) == list(COLUMNS)


def test_a_claim_on_another_metric_leaves_the_primary_exploratory() -> None:
    tables = two_arms(WIDE)
    extra = [row | {"metric": "yield", "primary": False, "direction": "lower"} for row in tables.scores]
    tables.scores += extra
    rows = decide(tables, claim(metric="yield"))
    assert rows["metric"].tolist() == ["yield", "score"]
    assert rows["direction"].tolist() == ["lower", "higher"]
    assert rows["d_z"][0] == pytest.approx(-rows["d_z"][1])


def test_unplanned_runs_are_left_out_and_absent_arms_are_incomplete() -> None:
    tables = two_arms(BETTER)
    scores, baselines, planned = tables.frames()
    few = planned[planned["seed"] < 8]
    row = claims.decide(ToyStudy((claim(),)), scores, baselines, few).iloc[0]
    assert (row["pairs_done"], row["pairs_planned"]) == (8, 8)
    row = claims.decide(ToyStudy((claim(),)), scores[scores["arm"] == "control"], baselines, planned).iloc[0]
    assert (row["verdict"], row["pairs_done"], row["pairs_planned"]) == ("incomplete", 0, 10)
    row = claims.decide(ToyStudy((claim(),)), scores.iloc[:0], baselines, planned).iloc[0]
    assert (row["verdict"], row["metric"]) == ("incomplete", "")


def test_pairs_are_joined_by_seed_not_by_position() -> None:
    scores, baselines, planned = two_arms(WIDE).frames()
    mixed_up = pd.concat([scores[scores["arm"] == "control"][::-1], scores[scores["arm"] != "control"]])
    row = claims.decide(ToyStudy((claim(),)), mixed_up, baselines, planned).iloc[0]
    assert row["delta"] == pytest.approx(WIDE.mean())
    assert row["d_z"] == pytest.approx(WIDE.mean() / WIDE.std(ddof=1))


def test_bad_tables_are_refused_in_one_line() -> None:
    scores, baselines, planned = two_arms(WIDE).frames()
    study = ToyStudy((claim(),))
    with pytest.raises(UsageError, match=r"duplicate row.*arm=a=1, seed=0"):
        claims.decide(study, pd.concat([scores, scores[scores["arm"] == "a=1"]]), baselines, planned)
    with pytest.raises(UsageError, match="no column value"):
        claims.decide(study, scores.drop(columns="value"), baselines, planned)
    mixed = scores.assign(direction=["higher"] * 19 + ["lower"])
    with pytest.raises(UsageError, match="both higher and lower"):
        claims.decide(study, mixed, baselines, planned)


def test_relative_sesoi_is_of_the_controls_mean() -> None:
    row = one(two_arms(WIDE), claim(sesoi=0.02, relative=True))
    assert row["sesoi"] == pytest.approx(0.02 * 11)


# --- claims in words ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expects", "differences", "result"),
    [
        ("better", BETTER, "holds"),
        ("better", [-d for d in BETTER], "contradicted"),
        ("better", WIDE, "not decided"),
        ("better", WIDE / 9, "does not hold"),
        ("not_worse", -np.array(BETTER) / 9, "holds"),
        ("worse", [-d for d in BETTER], "holds"),
        ("not_worse", BETTER, "holds"),
        ("not_worse", WIDE, "not decided"),
        ("not_worse", [-d for d in BETTER], "contradicted"),
        ("equivalent", WIDE / 9, "holds"),
        ("equivalent", BETTER, "contradicted"),
        ("equivalent", np.array(BETTER) / 9, "holds"),
    ],
)
def test_results(expects: Any, differences: Any, result: str) -> None:
    row = one(two_arms(differences), claim(expects=expects))
    assert row["result"] == result
    negative = claim(expects="equivalent", role="negative_control")
    passes = row["verdict"] not in ("better", "worse", "mixed")
    assert (one(two_arms(differences), negative)["result"] == "holds") == passes


def test_summary_over_tasks() -> None:
    tables = (
        two_arms(BETTER).arm("control", np.linspace(10, 12, 10), "t2").arm("a=1", np.linspace(10, 12, 10) + WIDE, "t2")
    )
    summary = summarise(decide(tables, claim(tasks=("toy", "t2"))))
    assert summary["result"].tolist() == ["holds on 1 of 2"]
    sentence = summary["sentence"][0]
    assert sentence.startswith(
        "A helps: holds on 1 of 2 (a=1 against control over 10 paired seeds on 2 tasks: toy better (relevant), "
    )
    assert "at the control's learning rate" in sentence
    assert sentence.endswith("over retrainings, on this test period/set.")
    tuned = summarise(decide(tables, claim(tasks=("toy", "t2")), tune="lr"))
    assert "each arm at the learning rate it chose on validation" in tuned["sentence"][0]
    tables.arm("control", np.linspace(10, 12, 10), "t3").arm("a=1", np.linspace(10, 12, 10) - BETTER, "t3")
    assert summarise(decide(tables, claim(tasks=("toy", "t2", "t3"))))["result"].tolist() == ["contradicted"]


def test_incomplete_rows_do_not_count_as_held() -> None:
    summary = summarise(decide(two_arms([*BETTER[:9], ...]), claim(), claim("a=1", id="2", role="negative_control")))
    assert summary["result"].tolist() == ["not decided yet", "not decided yet"]
    assert "9 of 10 pairs recorded" in summary["sentence"][0]


def test_nothing_to_decide() -> None:
    scores, baselines, planned = two_arms(WIDE).frames()
    rows = claims.decide(ToyStudy(()), scores, baselines, planned.iloc[:0])
    assert len(rows) == 0
    assert len(summarise(rows)) == 0


def test_an_alpha_of_one_half_leaves_no_interval_of_equivalence() -> None:
    row = one(two_arms(BETTER), alpha=0.5)
    assert row["verdict"] == "better"
    assert math.isnan(row["delta_low_90"])
    assert one(two_arms(BETTER))["delta_low_90"] > one(two_arms(BETTER))["delta_low"]
