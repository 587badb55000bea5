"""Evidence over test days and draws: against arch, slow references and enumeration; errors of the first kind."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from arch.bootstrap import SPA, MovingBlockBootstrap
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as reference
from score_tables import Tables, ToyStudy, claim, two_arms

from notafluke import claims
from notafluke.analysis import analyse
from notafluke.origin import provenance_frame
from notafluke.over_samples import (
    ALL_ARMS,
    annual_yield,
    over_samples,
    reality_check,
    resampled_means,
    two_sided_p,
)
from notafluke.overall import ANALYSIS_SEED, Suite
from notafluke.pairing import Table
from notafluke.plan import Cell
from notafluke.records import RunRecord, write_record
from notafluke.report.columns import OVER_SAMPLES_COLUMNS
from notafluke.scores import collect
from notafluke.seed_luck import seed_luck
from notafluke.stats.hits import fit_p, rules_of, total_hits_law, total_hits_p

Floats = NDArray[np.float64]


def rows(series: Mapping[tuple[str, str, int], dict[str, Floats]], seeds: int = 2, **options: Any) -> pd.DataFrame:
    """The table of the arms control and a=1 with these series."""
    tables = Tables().arm("control", range(seeds), "own").arm("a=1", range(seeds), "own")
    return over_samples(0.05, Table.read(*tables.frames()), series, **{"resamples": 400, **options})


def traded(rng: np.random.Generator, days: int = 250, edge: float = 0.0, seeds: int = 2) -> dict[Any, Any]:
    """A market, and strategies that hold it on random days; `edge` is what a=1 gains beside, in % a day."""
    market = rng.normal(0.03, 1, days)
    return {
        ("own", arm, seed): {
            "market_return": market,
            "strategy_return": np.where(rng.random(days) < 0.5, market, 0) + (edge if arm == "a=1" else 0),
        }
        for arm in ("control", "a=1")
        for seed in range(seeds)
    }


def guessed(rng: np.random.Generator, draws: int = 400, seeds: int = 2, hits: int = 0) -> dict[Any, Any]:
    """Hits of 6 of 49; a=1 is given `hits` more in every fourth draw."""
    series = {}
    for arm, seed in itertools.product(("control", "a=1"), range(seeds)):
        own = rng.hypergeometric(6, 43, 6, draws).astype(np.float64)
        own[::4] += hits if arm == "a=1" else 0
        series["own", arm, seed] = {"hits": own, "drawn": np.full(draws, 6.0), "numbers": np.full(draws, 49.0)}
    return series


# --- days: against arch and slow references ------------------------------------------------------------------------


def test_moving_blocks_are_those_of_arch() -> None:
    series = traded(np.random.default_rng(0), seeds=3)
    found = rows(series, seeds=3, resamples=300).set_index("arm").loc["a=1"]
    runs = [series["own", "a=1", seed] for seed in range(3)]
    days = np.column_stack([*(run["strategy_return"] for run in runs), runs[0]["market_return"]])

    def difference(resampled: Floats) -> Floats:
        growth = np.exp(resampled.sum(axis=0) / 100) ** (252 / len(resampled))
        return np.atleast_1d(100 * (growth[:-1].mean() - growth[-1]))

    bootstrap = MovingBlockBootstrap(6, days, seed=ANALYSIS_SEED)
    low, high = bootstrap.conf_int(difference, reps=300, method="percentile", size=0.95)[:, 0]
    assert (found["block_length"], found["resamples"], found["samples"], found["runs"]) == (6, 300, 250, 3)
    assert found["difference"] == pytest.approx(difference(days)[0], rel=1e-9)
    assert (found["low"], found["high"]) == pytest.approx((low, high), rel=1e-9)
    again = MovingBlockBootstrap(6, days, seed=ANALYSIS_SEED)
    own = np.array([difference(resampled)[0] for (resampled,), _ in again.bootstrap(300)])
    assert found["p_value"] == pytest.approx(2 * (1 + min(np.sum(own <= 0), np.sum(own >= 0))) / 301)


def test_the_reality_check_is_that_of_arch() -> None:
    rng = np.random.default_rng(1)
    market = rng.normal(0, 1, 300)
    strategies = market[:, None] * (rng.random((300, 7)) < 0.6) + rng.normal(0.03, 0.3, (300, 7))
    spa = SPA(
        -market, -strategies, block_size=7, reps=500, bootstrap="stationary", studentize=False, seed=ANALYSIS_SEED
    )
    spa.compute()
    upper = round(float(spa.pvalues["upper"]) * 500)
    assert 0 < upper < 500
    assert reality_check(strategies, market, 7, 500) == pytest.approx((upper + 1) / 501)


def test_the_reality_check_against_a_slow_reference() -> None:
    """The stationary bootstrap written out day by day, with random numbers of its own."""
    rng = np.random.default_rng(2)
    days, resamples = 120, 2000
    market = rng.normal(0, 1, days)
    strategies = market[:, None] * (rng.random((days, 4)) < 0.5) + 0.05
    differences = [[float(own) for own in row] for row in strategies - market[:, None]]
    means = [sum(row[model] for row in differences) / days for model in range(4)]
    beyond = 0
    for _ in range(resamples):
        day, sums = int(rng.integers(days)), [0.0] * 4
        for step in range(days):
            day = int(rng.integers(days)) if step and rng.random() < 1 / 5 else (day + (step > 0)) % days
            sums = [total + own for total, own in zip(sums, differences[day], strict=True)]
        beyond += max(total / days - mean for total, mean in zip(sums, means, strict=True)) >= max(means)
    wanted = beyond / resamples
    assert 0.05 < wanted < 0.95
    assert reality_check(strategies, market, 5, 4000) == pytest.approx(wanted, abs=5 * math.sqrt(0.25 / resamples))


def test_resampling_keeps_blocks_together() -> None:
    """A block as long as the series leaves it as it is; the mean of blocks of one day varies as sd / sqrt(n)."""
    values = np.random.default_rng(3).normal(0, 1, (90, 2))
    whole = resampled_means(values, 90, 50, "moving block")
    assert whole == pytest.approx(np.tile(values.mean(axis=0), (50, 1)))
    single = resampled_means(values, 1, 3000, "moving block")
    assert single.std(axis=0) == pytest.approx(values.std(axis=0) / np.sqrt(90), rel=0.08)


def test_yields_by_hand() -> None:
    assert annual_yield(np.array([0.0, 100 * math.log(1.1) / 252])) == pytest.approx([0, 10])
    assert two_sided_p(np.array([-1.0, 1, 2, 3])) == pytest.approx(4 / 5)
    assert two_sided_p(np.arange(1.0, 100)) == pytest.approx(2 / 100)


def test_the_best_of_many_without_an_edge_is_a_fluke_and_an_edge_is_none() -> None:
    plain = rows(traded(np.random.default_rng(4), days=500)).set_index("arm")
    assert plain["verdict"].tolist() == ["no evidence"] * 3
    edge = rows(traded(np.random.default_rng(4), days=500, edge=0.4)).set_index("arm")
    assert edge.loc[["a=1", ALL_ARMS], "verdict"].tolist() == ["better"] * 2
    assert edge.loc[ALL_ARMS, "reason"].startswith("the best is a=1, seed ")
    assert edge.loc[ALL_ARMS, "mean"] >= edge.loc["a=1", "mean"]
    assert edge["over"].tolist() == ["test days"] * 3
    worse = rows(traded(np.random.default_rng(4), days=500, edge=-0.4)).set_index("arm")
    assert worse.loc["a=1", "verdict"] == "worse"
    assert worse.loc[ALL_ARMS, "verdict"] == "no evidence"


def test_errors_of_the_first_kind_over_days() -> None:
    """Strategies without an edge over 250 days: the share of p at or below 0.1 stays near 0.1."""
    rng = np.random.default_rng(5)
    studies, mean_rejects, best_rejects = 120, 0, 0
    for _ in range(studies):
        market = rng.normal(0, 1, 250)
        strategies = market[:, None] + rng.normal(0, 0.5, (250, 8))
        differences = resampled_means(np.column_stack([strategies[:, :1], market]), 6, 199, "moving block")
        mean_rejects += two_sided_p(annual_yield(differences[:, 0]) - annual_yield(differences[:, 1])) <= 0.1
        best_rejects += reality_check(strategies, market, 6, 199) <= 0.1
    largest = int(reference.binom(studies, 0.14).ppf(0.999))
    smallest = int(reference.binom(studies, 0.05).ppf(0.001))
    assert smallest <= mean_rejects <= largest
    assert smallest <= best_rejects <= largest


# --- draws: exact --------------------------------------------------------------------------------------------------


def test_the_law_of_total_hits_by_enumeration() -> None:
    """Two draws of 2 of 5 and one of 2 of 4, all guesses fixed: every outcome is as probable as any other."""
    drums = [5, 5, 4]
    counts = np.zeros(7)
    outcomes = [list(itertools.combinations(range(numbers), 2)) for numbers in drums]
    for drawn in itertools.product(*outcomes):
        counts[sum(len({0, 1} & set(own)) for own in drawn)] += 1
    law = total_hits_law(((2, 4, 1), (2, 5, 2)))
    assert law == pytest.approx(counts / counts.sum(), rel=1e-12)
    assert total_hits_p(np.array([2.0, 2, 2]), np.full(3, 2.0), np.array([5.0, 5, 4])) == pytest.approx(2 * law[6])
    assert total_hits_p(np.array([1.0, 1, 0]), np.full(3, 2.0), np.array([5.0, 5, 4])) == pytest.approx(
        min(1, 2 * min(law[:3].sum(), law[2:].sum()))
    )


@settings(deadline=None, max_examples=40)
@given(rules=st.lists(st.tuples(st.integers(2, 7), st.integers(8, 60), st.integers(1, 300)), min_size=1, max_size=3))
def test_mean_and_variance_of_the_law(rules: list[tuple[int, int, int]]) -> None:
    law = total_hits_law(tuple(rules))
    laws = [(reference.hypergeom(numbers, drawn, drawn), draws) for drawn, numbers, draws in rules]
    places = np.arange(len(law))
    mean = sum(draws * own.mean() for own, draws in laws)
    assert law.sum() == pytest.approx(1, abs=1e-10)
    assert law @ places == pytest.approx(mean, rel=1e-9)
    assert law @ (places - mean) ** 2 == pytest.approx(sum(draws * own.var() for own, draws in laws), rel=1e-8)


def test_the_law_agrees_with_its_normal_limit_and_keeps_small_tails() -> None:
    law = total_hits_law(((6, 49, 1500),))
    one = reference.hypergeom(49, 6, 6)
    limit = reference.norm(1500 * one.mean(), math.sqrt(1500) * one.std())
    assert law[1150:].sum() == pytest.approx(limit.sf(1149.5), rel=0.15)
    assert law[-1] == 0 or law[-1] == pytest.approx(one.pmf(6) ** 1500)
    assert 0 < law[1900:].sum() < 1e-100
    assert total_hits_p(np.full(1500, 6.0), np.full(1500, 6.0), np.full(1500, 49.0)) > 0, "no p is 0"


def test_rules_are_counted_by_date() -> None:
    assert rules_of(np.full(4, 7.0), np.array([49.0, 50, 49, 50])) == ((7, 49, 2), (7, 50, 2))


def test_ties_make_hits_that_are_no_whole_numbers() -> None:
    drawn, numbers = np.full(100, 6.0), np.full(100, 49.0)
    constant = np.full(100, 36 / 49)
    assert total_hits_p(constant, drawn, numbers) == pytest.approx(1, abs=0.1)
    assert math.isnan(fit_p(constant, drawn, numbers))


def test_fit_against_scipy_and_against_hits_that_are_spread_otherwise() -> None:
    rng = np.random.default_rng(6)
    drawn, numbers = np.full(3000, 2.0), np.full(3000, 5.0)
    hits = rng.hypergeometric(2, 3, 2, 3000).astype(np.float64)
    counts = np.bincount(hits.astype(int), minlength=3)
    wanted = reference.chisquare(counts, 3000 * reference.hypergeom(5, 2, 2).pmf([0, 1, 2])).pvalue
    assert fit_p(hits, drawn, numbers) == pytest.approx(wanted)
    lumped = np.where(rng.random(3000) < 0.4, 2.0, 0.0)
    assert lumped.mean() == pytest.approx(0.8, abs=0.06), "the mean of chance, but never one hit"
    assert fit_p(lumped, drawn, numbers) < 1e-10
    assert math.isnan(fit_p(hits[:3], drawn[:3], numbers[:3])), "too few draws for two cells"


def test_errors_of_the_first_kind_over_draws() -> None:
    """Exact tests reject at most as often as they say, whatever is guessed; the fit about as often."""
    rng = np.random.default_rng(7)
    studies, rejects, misfits = 400, 0, 0
    drawn, numbers = np.full(300, 6.0), np.repeat([49.0, 45.0], 150)
    for _ in range(studies):
        hits = rng.hypergeometric(6, (numbers - 6).astype(int), 6).astype(np.float64)
        rejects += total_hits_p(hits, drawn, numbers) <= 0.05
        misfits += fit_p(hits, drawn, numbers) <= 0.05
    assert reference.binom(studies, 0.05).ppf(0.001) * 0.5 <= rejects <= reference.binom(studies, 0.05).ppf(0.999)
    assert reference.binom(studies, 0.02).ppf(0.001) <= misfits <= reference.binom(studies, 0.08).ppf(0.999)


def test_hits_at_chance_and_above() -> None:
    found = rows(guessed(np.random.default_rng(8))).set_index("arm")
    assert found["verdict"].tolist() == ["no evidence"] * 2
    assert found["reference"].tolist() == pytest.approx([36 / 49] * 2)
    assert (found["low"] < found["difference"]).all() and (found["difference"] < found["high"]).all()
    assert found["over"].tolist() == ["draws"] * 2
    better = rows(guessed(np.random.default_rng(8), hits=1)).set_index("arm")
    assert better["verdict"].to_dict() == {"a=1": "better", "control": "no evidence"}
    own = guessed(np.random.default_rng(8), hits=1)
    singles = [total_hits_p(**own["own", "a=1", seed]) for seed in range(2)]
    assert better.loc["a=1", "p_value"] == pytest.approx(2 * min(singles))
    assert better.loc["a=1", "p_holm"] == pytest.approx(2 * better.loc["a=1", "p_value"])


def test_runs_on_both_sides_of_chance_are_mixed() -> None:
    """One run lies far below chance in many draws; the other so far above it in few that the mean is above it."""
    series = guessed(np.random.default_rng(9))
    below, few = series["own", "a=1", 0], series["own", "a=1", 1]
    below["hits"] = np.where(np.arange(400) % 2 == 0, 1.0, 0.0)
    series["own", "a=1", 1] = {name: own[:10] for name, own in few.items()} | {
        "hits": np.array([1.0, 1, 1, 1, 1, 1, 1, 1, 2, 2])
    }
    found = rows(series).set_index("arm").loc["a=1"]
    assert found["difference"] > 0 and total_hits_p(**below) < 1e-5
    assert (found["verdict"], found["reason"]) == (
        "mixed",
        "the run with the smallest p and the mean lie on different sides",
    )
    assert math.isnan(found["low"]), "no draw-by-draw mean of runs with different numbers of draws"


# --- the table -----------------------------------------------------------------------------------------------------


def test_an_arm_that_lacks_runs_has_no_p() -> None:
    for series in (guessed(np.random.default_rng(10)), traded(np.random.default_rng(21))):
        del series["own", "a=1", 1]
        found = rows(series).set_index("arm")
        assert found.loc["a=1", "verdict"] == "incomplete"
        assert found.loc["a=1", "reason"] == "1 of 2 runs left no series"
        assert math.isnan(found.loc["a=1", "p_value"])
        assert found.loc["control", "verdict"] == "no evidence"
        del series["own", "a=1", 0]
        assert rows(series).set_index("arm").loc["a=1", "verdict"] == "incomplete"


def test_arms_on_other_test_days_are_not_put_together() -> None:
    series = traded(np.random.default_rng(11))
    series["own", "control", 1] = traded(np.random.default_rng(12), days=99)["own", "control", 1]
    found = rows(series).set_index("arm")
    assert found.loc["control", "verdict"] == "cannot decide"
    assert found.loc["control", "reason"] == "its test days are not those of all arms"
    assert found.loc["a=1", "verdict"] == "no evidence"
    assert found.loc[ALL_ARMS, "runs"] == 3


def test_few_days_are_not_resampled() -> None:
    found = rows(traded(np.random.default_rng(13), days=29))
    assert set(found["verdict"]) == {"cannot decide"}
    assert found["p_value"].isna().all() and found["difference"].notna().all()
    assert found["reason"].str.startswith("fewer than 30 test days").all()


def test_the_order_of_the_runs_does_not_matter() -> None:
    series = traded(np.random.default_rng(14)) | {("other", "control", 0): {"unknown": np.zeros(3)}}
    turned = dict(reversed(series.items()))
    pd.testing.assert_frame_equal(rows(series), rows(turned))


def test_without_series_there_is_no_row_and_arch_is_not_imported() -> None:
    found = rows({("own", "control", 0): {"something": np.zeros(4)}})
    assert list(found.columns) == list(OVER_SAMPLES_COLUMNS) and found.empty
    code = (
        "import sys; sys.path.insert(0, 'tests/support'); from score_tables import Tables; "
        "from notafluke.over_samples import over_samples; from notafluke.pairing import Table; "
        "tables = Tables().arm('control', [1, 2]); "
        "assert over_samples(0.05, Table.read(*tables.frames()), {}).empty; "
        "assert not [name for name in sys.modules if name.startswith('arch')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


# --- baselines against which seeds are no evidence -----------------------------------------------------------------


def against_chance(over_seeds: bool | None, trivial: bool = False) -> Tables:
    """Ten seeds that are all far above the baseline."""
    tables = Tables().arm("control", np.linspace(1.0, 1.1, 10)).arm("a=1", np.linspace(1.2, 1.4, 10))
    tables.baseline("chance", [0.7] * 10, trivial=trivial)
    for row in tables.baselines:
        row |= {} if over_seeds is None else {"over_seeds": over_seeds}
    return tables


def test_seeds_are_no_evidence_against_chance_in_the_same_draws() -> None:
    own = ToyStudy((claim("a=1", "baseline:chance", sesoi=0.1),))
    row = claims.records(claims.decide(own, *against_chance(False).frames()))[0]
    assert (row["verdict"], row["result"], row["test"]) == ("cannot decide", "not decided", "none")
    assert row["reason"] == "every seed is tested on the same samples; see over_samples"
    for name in ("p_value", "p_sequential", "p_holm", "p_tost", "p_tost_sequential", "p_tost_holm", "mde80"):
        assert math.isnan(row[name]), name
    assert math.isnan(row["seeds_needed"])
    assert row["delta"] == pytest.approx(0.6)


@pytest.mark.parametrize("over_seeds", [True, None])
def test_other_baselines_and_old_records_are_judged_over_seeds(over_seeds: bool | None) -> None:
    own = ToyStudy((claim("a=1", "baseline:chance", sesoi=0.1),))
    row = claims.records(claims.decide(own, *against_chance(over_seeds).frames()))[0]
    assert (row["verdict"], row["p_value"]) == ("better", pytest.approx(2 / 2**10))


def test_looks_and_comparisons_of_arms_are_as_ever() -> None:
    own = ToyStudy((claim("a=1", "baseline:chance"), claim("a=1")), seeds=tuple(range(10)), looks=(10, 20))
    first, second = claims.records(claims.decide(own, *against_chance(False).frames()))
    assert first["reason"] == "every seed is tested on the same samples; see over_samples", "no look will decide it"
    assert second["m"] == 2 and second["p_value"] == pytest.approx(2 / 2**10)


def test_seeds_cannot_say_that_a_control_learned_what_is_chance_in_the_same_draws() -> None:
    own = ToyStudy((claim("a=1"),))
    frames = against_chance(False, trivial=True).frames()
    row = claims.records(claims.decide(own, *frames))[0]
    assert row["verdict"] == "cannot decide"
    assert row["reason"].startswith(
        "seeds cannot say that the control learned: every seed is tested on the same samples"
    )
    assert Suite.of(own, Table.read(*frames)).left_out == {"toy": "seeds cannot say that the control learned"}
    learned = claims.records(claims.decide(own, *against_chance(True, trivial=True).frames()))[0]
    assert learned["verdict"] == "better"


def test_seed_luck_has_no_p_over_seeds_against_it() -> None:
    luck = seed_luck(0.05, Table.read(*against_chance(False).frames()))
    assert luck["p_value"].isna().all() and set(luck["verdict"]) == {"cannot decide"}
    assert luck["expected_best"].notna().all()
    over = seed_luck(0.05, Table.read(*against_chance(True).frames()))
    assert set(over["verdict"]) == {"better"}
    tables = two_arms([0.1] * 5).baseline("chance", [11.9] * 5)
    for row in tables.baselines:
        row["over_seeds"] = False
    best = seed_luck(0.05, Table.read(*tables.frames()))
    assert set(best["verdict"]) == {"best is luck"}, "the best beats it, the mean does not: that is about seeds"


# --- from the records ----------------------------------------------------------------------------------------------


def test_series_and_baselines_come_from_the_records(tmp_path: Path) -> None:
    series = guessed(np.random.default_rng(15))
    arms = {arm: Cell("own", {}, f"key {arm}", str(tmp_path / arm), "") for arm in ("control", "a=1")}
    for (_, arm, seed), own in series.items():
        baselines = [{"name": "chance", "metric": "hits", "value": 0.7, "trivial": True, "over_seeds": False}]
        baselines.append({"name": "old", "metric": "hits", "value": 0.7, "trivial": False})
        record = RunRecord(
            run_key=arms[arm].run_key(seed),
            cell_key=arms[arm].key,
            task="own",
            changes={},
            seed=seed,
            outcome="diverged" if (arm, seed) == ("a=1", 1) else "ok",
            reason="",
            last_epoch=1,
            best_epoch=1,
            primary_metric="hits",
            directions={"hits": "higher"},
            units={"hits": ""},
            metrics={"hits": float(own["hits"].mean())},
            validation={"hits": 0.7},
            baselines=baselines,
            parameters=1,
            seconds=1.0,
            weight_digest="",
            provenance={},
        )
        write_record(Path(arms[arm].run_folder(seed)), record, {}, [], np.zeros((400, 49), np.float32), None, own)
    plan: Any = SimpleNamespace(cells={"own": arms}, study=SimpleNamespace(seeds=(0, 1)))
    collected = collect(plan)
    assert sorted(collected.series) == [("own", "a=1", 0), ("own", "control", 0), ("own", "control", 1)]
    assert np.array_equal(collected.series["own", "control", 1]["hits"], series["own", "control", 1]["hits"])
    assert collected.baselines.groupby("name")["over_seeds"].unique().map(list).to_dict() == {
        "chance": [False],
        "old": [True],
    }
    planned = pd.DataFrame([{"task": "own", "arm": arm, "seed": seed} for arm in arms for seed in (0, 1)])
    analysis = analyse(
        ToyStudy(()), collected.scores, collected.baselines, planned, provenance_frame([]), series=collected.series
    )
    assert analysis.over_samples["verdict"].tolist() == ["incomplete", "no evidence"]
