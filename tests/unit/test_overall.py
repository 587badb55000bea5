"""Over all tasks, seed luck and failures: against hand-made score tables and independent computations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats as reference
from score_tables import Tables, ToyStudy, claim

from notafluke import stats
from notafluke.analysis import Analysis, analyse
from notafluke.claims import records
from notafluke.failures import failures
from notafluke.origin import provenance_frame
from notafluke.overall import Suite, mean_ranks, overall
from notafluke.pairing import Table
from notafluke.score_profiles import score_profiles
from notafluke.seed_luck import seed_luck

TASKS = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu")
NONE = provenance_frame([])


def suite(effect: float, tasks: int = 7, seeds: int = 10, direction: str = "higher", seed: int = 0) -> Tables:
    """A control and two treatments on tasks of very different scales; a=1 is better by ``effect`` control SD."""
    tables, random = Tables(direction), np.random.default_rng(seed)
    sign = 1 if direction == "higher" else -1
    for number, task in enumerate(TASKS[:tasks]):
        scale, level = 10.0 ** (number - 2), random.normal()
        control = level + random.normal(size=seeds)
        tables.arm("control", scale * control, task)
        tables.arm("a=1", scale * (control + sign * (effect + 0.3 * random.normal(size=seeds))), task)
        tables.arm("b=1", scale * (control + 0.3 * random.normal(size=seeds)), task)
    return tables


def rows_of(tables: Tables, **options: Any) -> dict[str, dict[str, Any]]:
    frame = overall(ToyStudy((), **options), Table.read(*tables.frames()))
    return {row["treatment"]: row for row in records(frame)}


def test_an_effect_on_all_tasks_is_found_whatever_their_scales() -> None:
    rows = rows_of(suite(1.0))
    better, nothing = rows["a=1"], rows["b=1"]
    assert (better["verdict"], nothing["verdict"]) == ("better", "no evidence")
    assert (better["tasks"], better["wins"], better["losses"], better["m"]) == (7, 7, 0, 2)
    assert better["iqm_low"] < better["iqm"] < better["iqm_high"]
    assert better["iqm_low"] > 0 > nothing["iqm_low"]
    assert better["p_improvement"] > 0.9
    assert better["p_holm"] == pytest.approx(2 * better["p_fixed_suite"])


def test_numbers_of_a_row_against_slow_computations() -> None:
    tables = suite(0.2)
    row = rows_of(tables)["a=1"]
    scores, _, _ = tables.frames()
    wide = scores.pivot_table(index=["task", "seed"], columns="arm", values="value")
    by_task = [(own["a=1"].to_numpy(), own["control"].to_numpy()) for _, own in wide.groupby("task")]
    standardised = [((x - y.mean()) / y.std(ddof=1), (y - y.mean()) / y.std(ddof=1)) for x, y in by_task]
    x, y = (np.concatenate(part) for part in zip(*standardised, strict=True))
    assert row["iqm"] == pytest.approx(reference.trim_mean(x, 0.25) - reference.trim_mean(y, 0.25))
    assert row["p_improvement"] == pytest.approx(np.mean([np.mean(x > y) for x, y in by_task]))
    means = [np.mean(x - y) for x, y in standardised]
    assert row["p_new_tasks"] == pytest.approx(reference.wilcoxon(means, method="exact").pvalue)
    ranks = wide.rank(axis=1, ascending=False).groupby("task").mean().mean()
    assert row["mean_rank"] == pytest.approx(ranks["a=1"])
    assert mean_ranks(Table.read(*tables.frames()), TASKS)["control"] == pytest.approx(ranks["control"])


def test_lower_is_better_is_the_mirror_image() -> None:
    up, down = rows_of(suite(0.5))["a=1"], rows_of(suite(0.5, direction="lower"))["a=1"]
    assert up["verdict"] == down["verdict"] == "better"
    assert down["iqm"] > 0
    assert down["p_improvement"] > 0.5


def test_order_of_rows_and_tasks_changes_nothing() -> None:
    scores, baselines, planned = suite(0.2).frames()
    frames = [
        overall(ToyStudy(()), Table.read(scores.sample(frac=1, random_state=number), baselines, planned))
        for number in range(3)
    ]
    assert all(frame.to_csv() == frames[0].to_csv() for frame in frames)


def test_few_tasks_do_not_speak_for_others() -> None:
    assert math.isnan(rows_of(suite(1.0, tasks=5))["a=1"]["p_new_tasks"])
    assert rows_of(suite(1.0, tasks=6))["a=1"]["p_new_tasks"] == pytest.approx(2 / 2**6)


def test_tasks_without_variance_or_without_learning_are_left_out_and_named() -> None:
    tables = suite(1.0, tasks=2)
    tables.arm("control", [1.0] * 10, "flat").arm("a=1", np.arange(10.0), "flat")
    tables.arm("control", np.linspace(0, 1, 10), "hopeless").arm("a=1", np.linspace(1, 2, 10), "hopeless")
    tables.baseline("guess", [5.0] * 10, trivial=True, task="hopeless")
    row = rows_of(tables)["a=1"]
    assert row["tasks"] == 2
    assert row["left_out"] == "flat: the control's scores do not vary; hopeless: control did not learn"
    only = Tables().arm("control", [1.0] * 10).arm("a=1", np.arange(10.0))
    assert rows_of(only)["a=1"]["verdict"] == "cannot decide"


def test_failures_count_and_absent_runs_are_incomplete() -> None:
    failing: list[Any] = [None] * 6 + [3.0] * 4
    rows = rows_of(Tables().arm("control", np.linspace(0, 1, 10)).arm("a=1", failing))
    assert rows["a=1"]["p_improvement"] == pytest.approx(0.4)
    assert rows["a=1"]["iqm"] == -math.inf
    few: list[Any] = [None, *np.linspace(2, 3, 9)]
    assert rows_of(Tables().arm("control", np.linspace(0, 1, 10)).arm("a=1", few))["a=1"]["iqm"] > 0
    absent: list[Any] = [..., *np.linspace(2, 3, 9)]
    row = rows_of(Tables().arm("control", np.linspace(0, 1, 10)).arm("a=1", absent))["a=1"]
    assert row["verdict"] == "incomplete"
    assert math.isnan(row["p_holm"])


def test_pool_independence() -> None:
    """A further treatment changes no number of another but those that go by the pool: p_Holm and the mean rank."""
    tables = suite(0.3)
    before = rows_of(tables)["a=1"]
    for task in TASKS:
        tables.arm("c=1", np.random.default_rng(9).normal(size=10), task)
    after = rows_of(tables)["a=1"]
    changed = {name for name in before if str(before[name]) != str(after[name])}
    assert changed <= {"p_holm", "m", "mean_rank", "verdict", "reason"}


def test_best_of_ten_is_luck() -> None:
    """The worked example of the statistical design: +14.9 is what the best of ten is expected to be."""
    z = np.array([-1.5, -1.0, -0.7, -0.4, -0.1, 0.1, 0.4, 0.7, 1.0])
    rest = z * 3.0
    scores = np.append(9 - 5.9 / 9 + (rest - rest.mean()), 14.9)
    tables = Tables().arm("control", scores).baseline("buy_and_hold", [10.6] * 10)
    row = records(seed_luck(0.05, Table.read(*tables.frames())))[0]
    assert row["best"] == 14.9
    assert row["mean"] == pytest.approx(9)
    assert row["verdict"] == "best is luck"
    expected = reference.ttest_1samp(scores, 10.6)
    assert row["p_value"] == pytest.approx(expected.pvalue)
    assert row["expected_best"] == pytest.approx(9 + scores.std(ddof=1) * 1.53875, abs=1e-4)
    single = reference.norm.sf((10.6 - 9) / scores.std(ddof=1))
    assert row["p_single_beats_baseline"] == pytest.approx(single)
    assert row["p_best_beats_baseline"] == pytest.approx(1 - (1 - single) ** 10)


def test_luck_where_lower_is_better_and_where_the_baseline_differs_by_seed() -> None:
    baseline = np.linspace(1, 2, 10)
    noise = np.random.default_rng(1).normal(0, 0.01, 10)
    tables = Tables("lower").arm("control", baseline - 0.5 + noise).baseline("mean", baseline)
    row = records(seed_luck(0.05, Table.read(*tables.frames())))[0]
    assert row["verdict"] == "better"
    assert row["mean"] == pytest.approx(1.0 + noise.mean())
    assert row["best"] == pytest.approx(1.0 + noise.min())
    assert row["expected_best"] < row["mean"]
    assert row["best_quantile_95"] < row["expected_best"]


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ([1.0, 1.1, 0.9, 1.2, 1.0, 0.8], "better"),
        ([-1.0, -1.1, -0.9, -1.2, -1.0, -0.8], "worse"),
        ([-1.0, -1.1, -0.9, -1.2, -1.0, 0.8], "best is luck"),
        ([-1.0, -0.1, -0.2, -1.2, -5.0, -0.8], "no evidence"),
        ([0.1, 1.9, 0.4, 4.3, 0.3], "no evidence"),
        ([1.0, None, 0.9, 1.2, 1.0, 0.8], "cannot decide"),
        ([1.0], "cannot decide"),
    ],
)
def test_verdicts_of_luck(scores: list[Any], verdict: str) -> None:
    tables = Tables().arm("control", scores).baseline("zero", [0.0] * len(scores))
    row = records(seed_luck(0.05, Table.read(*tables.frames())))[0]
    assert row["verdict"] == verdict
    assert row["failed"] == scores.count(None)


def test_failures_are_counted_and_compared_with_fisher() -> None:
    failing: list[Any] = [None] * 8 + [1.0] * 2
    tables = Tables().arm("control", np.linspace(0, 1, 10)).arm("a=1", failing).arm("b=1", [..., *np.ones(9)])
    rows = {row["arm"]: row for row in records(failures(Table.read(*tables.frames())))}
    assert (rows["a=1"]["ok"], rows["a=1"]["diverged"]) == (2, 8)
    assert rows["a=1"]["p_fisher"] == pytest.approx(reference.fisher_exact([[8, 2], [0, 10]]).pvalue)
    assert (rows["b=1"]["absent"], rows["b=1"]["p_fisher"]) == (1, 1.0)
    assert math.isnan(rows["control"]["p_fisher"])
    for row in rows.values():
        parts = ("ok", "not_finite", "diverged", "crashed", "timeout", "absent")
        assert row["planned"] == sum(row[part] for part in parts)


def test_profiles_are_the_share_of_runs_above_each_threshold() -> None:
    tables = suite(1.0, tasks=3)
    table = Table.read(*tables.frames())
    profiles = score_profiles(table, Suite.of(ToyStudy(()), table))
    assert [own.arm for own in profiles] == ["control", "a=1", "b=1"]
    own = profiles[1]
    pooled = np.concatenate(
        [
            Suite.of(ToyStudy(()), table).standardised(task, table.arm(task, "score", "a=1").values, 1.0)
            for task in TASKS[:3]
        ]
    )
    assert own.share.tolist() == pytest.approx([np.mean(pooled > threshold) for threshold in own.thresholds])
    assert np.all(own.low <= own.share)
    assert np.all(own.share <= own.high)
    assert np.all(np.diff(own.share) <= 0)
    assert (own.n_runs, own.n_tasks) == (30, 3)


def whole(tables: Tables, **options: Any) -> Analysis:
    return analyse(ToyStudy((claim(sesoi=0.5),), **options), *tables.frames(), NONE)


def test_identical_arms_are_never_better_and_nothing_is_nan_that_a_rule_gives() -> None:
    same = np.linspace(0, 1, 10)
    analysis = whole(Tables().arm("control", same).arm("a=1", same).baseline("zero", [0.0] * 10))
    row = records(analysis.overall)[0]
    assert (row["p_fixed_suite"], row["iqm"], row["p_improvement"]) == (1.0, 0.0, 0.5)
    assert row["verdict"] == "cannot decide"
    decided = records(analysis.decisions)[0]
    assert decided["verdict"] not in ("better", "worse")
    assert decided["p_value"] == 1.0


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_few_seeds_never_crash(seeds: int) -> None:
    analysis = whole(Tables().arm("control", np.arange(seeds)).arm("a=1", np.arange(seeds) + 1.0))
    assert records(analysis.decisions)[0]["verdict"] == "cannot decide"
    assert records(analysis.overall)[0]["verdict"] == "cannot decide"


def test_tables_without_a_run_or_a_control() -> None:
    empty = Tables().arm("control", [...] * 6).arm("a=1", [...] * 6)
    scores = pd.DataFrame(columns=[*Tables().arm("x", [1.0]).scores[0]])
    analysis = analyse(ToyStudy((claim(),)), scores, *empty.frames()[1:], NONE)
    assert records(analysis.decisions)[0]["verdict"] == "incomplete"
    assert records(analysis.failures)[0]["absent"] == 6
    assert analysis.profiles == []


def test_a_fixed_suite_is_tested_within_tasks() -> None:
    """Opposite effects on two tasks cancel, however sure each one is."""
    tables = Tables()
    for task, sign in (("one", 1), ("two", -1)):
        control = np.random.default_rng(3).normal(size=10)
        tables.arm("control", control, task).arm("a=1", control + sign * np.linspace(0.5, 1.5, 10), task)
    row = rows_of(tables)["a=1"]
    assert (row["wins"], row["losses"]) == (1, 1)
    assert row["verdict"] == "no evidence"
    by_task = [np.linspace(0.5, 1.5, 10), -np.linspace(0.5, 1.5, 10)]
    assert row["p_fixed_suite"] == pytest.approx(stats.stratified_sign_flip_test(by_task).p_value, abs=0.01)


def test_the_verdict_over_all_tasks_is_that_of_the_statistic_that_was_tested() -> None:
    """Many tiny losses in the middle of the scores and some large gains at both ends: the ranks say better."""
    control = np.linspace(0, 1, 42)
    gains = np.where((np.arange(42) < 10) | (np.arange(42) >= 32), np.linspace(5, 10, 42), -np.linspace(0.01, 0.02, 42))
    row = rows_of(Tables().arm("control", control).arm("a=1", control + gains))["a=1"]
    assert row["rank_biserial"] > 0
    assert row["p_holm"] <= 0.05
    assert row["verdict"] in ("better", "mixed")


def test_rounding_noise_is_no_variance_of_the_control() -> None:
    noise = np.tile([0.3, 0.1 + 0.2], 5)
    row = rows_of(Tables().arm("control", noise).arm("a=1", np.linspace(0, 1, 10)))["a=1"]
    assert (row["verdict"], row["left_out"]) == ("cannot decide", "toy: the control's scores do not vary")


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e149, 1e200, 1e308])
def test_scores_at_the_ends_of_the_float_range(scale: float) -> None:
    random = np.random.default_rng(5)
    tables = Tables().arm("control", scale * random.uniform(-1, 1, 10)).arm("a=1", scale * random.uniform(-1, 1, 10))
    analysis = whole(tables.baseline("zero", [0.0] * 10))
    assert records(analysis.decisions)[0]["verdict"] in ("no evidence", "underpowered", "equivalent", "cannot decide")
