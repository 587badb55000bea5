"""What seeds can detect, and whether the best of n is a fluke: numbers, words and the way in from the command line."""

from __future__ import annotations

import io
import itertools
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from rich.console import Console, RenderableType

from notafluke import stats
from notafluke.errors import UsageError
from notafluke.report.questions import fluke_answer, fluke_page, json_text, parse_scores, power_answer, power_page

# The worked example of the design: best of ten +14.9, mean 9, SD 3.83, buy-and-hold 10.6.
SCORES = [2.7, 5.2, 5.8, 7.1, 8.4, 10.1, 11.1, 11.7, 13.0, 14.9]
BUY_AND_HOLD = 10.6
Run = Callable[..., tuple[int, str, str]]


def printed(page: RenderableType, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(page)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_worked_example() -> None:
    answer = fluke_answer(SCORES, BUY_AND_HOLD)
    assert (answer.n, answer.best, answer.baseline) == (10, 14.9, 10.6)
    assert answer.mean == pytest.approx(9.0) and answer.sd == pytest.approx(3.83, abs=0.001)
    assert answer.expected_best == pytest.approx(14.9, abs=0.01)
    assert answer.statistic == pytest.approx(-1.32, abs=0.005) and answer.p_value == pytest.approx(0.22, abs=0.002)
    assert answer.p_single_beats_baseline == pytest.approx(0.34, abs=0.003)
    assert answer.p_best_beats_baseline == pytest.approx(0.98, abs=0.005)
    # And against scipy.
    differences = np.subtract(SCORES, BUY_AND_HOLD)
    assert answer.p_value == pytest.approx(scipy.stats.ttest_1samp(differences, 0).pvalue)
    ranks = scipy.stats.rankdata(np.abs(differences).round(9))
    signs = np.array(list(itertools.product([0, 1], repeat=10)))
    distances = np.abs(signs @ ranks - ranks.sum() / 2)
    own = abs(ranks[differences > 0].sum() - ranks.sum() / 2)
    assert answer.p_signed_rank == np.mean(distances >= own)
    interval = scipy.stats.ttest_1samp(SCORES, 0).confidence_interval(0.95)
    assert (answer.low, answer.high) == pytest.approx((interval.low, interval.high))
    best = np.random.default_rng(4).normal(answer.mean, answer.sd, (200_000, 10)).max(axis=1)
    assert answer.expected_best == pytest.approx(best.mean(), abs=0.03)
    assert answer.best_quantile_95 == pytest.approx(np.quantile(best, 0.95), abs=0.06)
    assert answer.verdict == "best is luck"
    assert answer.sentence == (
        "The best of 10 beats the baseline, the mean does not (p = 0.219): a best of 10 like this is expected from "
        "luck alone, 14.9 on average with this mean and SD."
    )


def test_lower_is_better_is_the_mirror_image() -> None:
    answer = fluke_answer(SCORES, BUY_AND_HOLD)
    mirrored = fluke_answer([-score for score in SCORES], -BUY_AND_HOLD, lower_is_better=True)
    for name in ("mean", "best", "expected_best", "best_quantile_95", "baseline", "statistic"):
        assert getattr(mirrored, name) == -getattr(answer, name), name
    for name in ("n", "sd", "p_value", "p_signed_rank", "p_single_beats_baseline", "p_best_beats_baseline", "verdict"):
        assert getattr(mirrored, name) == getattr(answer, name), name
    assert (mirrored.low, mirrored.high) == (-answer.high, -answer.low)
    assert mirrored.sentence == answer.sentence.replace("14.9", "-14.9")
    assert fluke_answer([3.0, 4.0, 5.0], 4.5, lower_is_better=True).best == 3


@pytest.mark.parametrize(
    ("scores", "baseline", "lower", "verdict", "words"),
    [
        (
            [2, 3, 4, 5, 3.5],
            0.5,
            False,
            "better",
            "The mean of 5 beats the baseline significantly (p = 0.0039): no fluke.",
        ),
        ([2, 3, 4, 5, 3.5], 0.5, False, "better", "Report the mean, not the best: a best of 5 is 4.8 on average"),
        ([2, 3, 4, 5, 3.5], 8, True, "better", "a best of 5 is 2.2 on average"),
        (
            [2, 3, 4, 5, 3.5],
            9,
            False,
            "worse",
            "Not even the best of 5 beats the baseline; the mean is significantly worse",
        ),
        (
            [2, 3, 9],
            9,
            False,
            "no evidence",
            "Not even the best of 3 beats the baseline; the mean is not significantly",
        ),
        ([2, 3, 4, 5, 3.5], 3.4, False, "no evidence", "better than the baseline, but not significantly (p = 0.851)"),
        (
            [2, 3, 4, 5, 3.5],
            3.6,
            False,
            "best is luck",
            "the mean does not (p = 0.851): a best of 5 like this is expected",
        ),
        ([2, 3, 4, 5, 3.5], 4.9, False, "best is luck", "the mean is significantly worse (p = 0.0488): a best of 5"),
        (
            [1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 40],
            6,
            False,
            "best is luck",
            "It is an outlier: only 5 % of the best of 11 go",
        ),
        ([1, 2, 3, 4, 30, 1, 2, 2, 1, 1, 2, 1, 1], 5, False, "best is luck", "The signed-rank test disagrees (p = 0.0"),
        (
            [1, 1, 1, 1],
            0.5,
            False,
            "no evidence",
            "All 4 scores are equal, there is no luck to judge: they are better",
        ),
        ([1, 1, 1, 1], 1, False, "no evidence", "they are equal to the baseline (p = 1.000)"),
        ([1] * 6, 0.5, True, "worse", "they are worse than the baseline (p = 0.0312)"),
    ],
)
def test_every_verdict_has_its_words(
    scores: list[float], baseline: float, lower: bool, verdict: str, words: str
) -> None:
    answer = fluke_answer(scores, baseline, lower)
    assert answer.verdict == verdict
    assert words in answer.sentence
    assert answer.sentence in " ".join(printed(fluke_page(answer), 300).split())
    assert "nan" not in json_text(answer).lower()


def test_the_verdict_depends_on_alpha() -> None:
    assert fluke_answer([2, 3, 4, 5, 3.5], 2.4, alpha=0.05).verdict == "no evidence"
    assert fluke_answer([2, 3, 4, 5, 3.5], 2.4, alpha=0.2).verdict == "better"


def test_pages_fit_a_terminal_of_80_columns() -> None:
    for page in (
        fluke_page(fluke_answer(SCORES, BUY_AND_HOLD)),
        fluke_page(fluke_answer([0.00121, 0.00134, 0.00119], 0.0011, lower_is_better=True)),
        power_page(power_answer(10, 0.8, treatments=9)),
    ):
        lines = printed(page).splitlines()
        assert max(len(line.rstrip()) for line in lines) <= 80
        narrow, wide = (" ".join(printed(page, width).split()) for width in (80, 160))
        assert narrow == wide, "no cell is folded"


def test_the_numbers_of_the_page() -> None:
    text = " ".join(printed(fluke_page(fluke_answer(SCORES, BUY_AND_HOLD))).split())
    for part in (
        "scores 10 higher is better",
        "mean ± SD 9.0 ± 3.8",
        "95 % interval of the mean [6.3, 11.7]",
        "baseline 10.6 mean against baseline p = 0.219 t-test, t = -1.32",
        "best of 10 14.9 expected best 14.9",
        "95 % quantile of the best 18.8",
        "one seed beats the baseline 34 %",
        "the best of 10 beats it 98 %",
    ):
        assert part in text
    # Three seeds never give a significant signed-rank p.
    assert "at least 0.250" in printed(fluke_page(fluke_answer([1, 2, 3], 0)))


def test_scores_from_text_file_and_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_scores("9.1,14.9, -3;1e2 7") == [9.1, 14.9, -3, 100, 7]
    path = tmp_path / "scores.txt"
    path.write_text("\ufeff9.1\n14.9\n\n-3\n", encoding="utf-8")
    assert parse_scores(str(path)) == [9.1, 14.9, -3]
    monkeypatch.setattr(sys, "stdin", io.StringIO("1\n2\n"))
    assert parse_scores("-") == [1, 2]
    assert len(parse_scores(",".join(["1.25"] * 5000))) == 5000, "longer than any file's name"


@pytest.mark.parametrize(
    ("treatments", "tasks", "needed"), [(1, 1, 6), (2, 1, 7), (3, 1, 7), (5, 1, 8), (3, 3, 9), (9, 1, 9), (4, 5, 10)]
)
def test_seeds_before_holm_can_be_passed(treatments: int, tasks: int, needed: int) -> None:
    answer = power_answer(needed, None, treatments, tasks)
    m = treatments * tasks
    assert (answer.family_size, answer.family.alpha) == (m, 0.05 / m)
    assert answer.family.fewest_seeds == needed and answer.alone.fewest_seeds == 6
    assert (
        answer.holm_can_be_passed is True
        and power_answer(needed - 1, None, treatments, tasks).holm_can_be_passed is False
    )
    # The most extreme data there are, with the other p-values at 1.
    smallest = [stats.signed_rank_test(np.arange(1.0, n + 1)).p_value for n in (needed, needed - 1)]
    assert stats.holm([smallest[0]], m=m)[0] <= 0.05 < stats.holm([smallest[1]], m=m)[0]
    assert answer.smallest_p == smallest[0]


def test_detectable_effects_of_the_design() -> None:
    rank = {row.seeds: row for row in power_answer(10, None, treatments=9).table}
    for n, alone, family in (
        (6, 1.80, math.inf),
        (8, 1.24, math.inf),
        (10, 1.01, 1.66),
        (20, 0.67, 0.94),
        (30, 0.54, 0.72),
    ):
        assert rank[n].alone == pytest.approx(alone, abs=0.02)
        assert rank[n].family == pytest.approx(family, abs=0.03)
    t = {row.seeds: row for row in power_answer(10, None, treatments=9, test="paired_t").table}
    for n, alone, family in ((5, 1.68, 3.07), (10, 1.00, 1.46), (20, 0.66, 0.90)):
        assert (t[n].alone, t[n].family) == pytest.approx((alone, family), abs=0.006)
        assert math.isnan(t[n].smallest_p)
    for effect, needed in ((0.5, 34), (0.8, 15), (1, 10), (1.5, 6)):
        assert power_answer(None, effect, test="paired_t").alone.seeds_needed == needed


def test_power_of_the_seeds_for_an_effect() -> None:
    answer = power_answer(10, -0.8, treatments=3, test="paired_t")
    for level in (answer.alone, answer.family):
        critical = scipy.stats.t.isf(level.alpha / 2, 9)
        noncentral = scipy.stats.nct(9, 0.8 * math.sqrt(10))
        assert level.power_at_effect == pytest.approx(noncentral.sf(critical) + noncentral.cdf(-critical), abs=1e-8)
        assert level.seeds_needed == stats.seeds_needed(0.8, level.alpha, 0.8, "paired_t")
        assert level.detectable_effect == stats.minimum_detectable_effect(10, level.alpha, 0.8, "paired_t")
    rank = power_answer(10, 1.0)
    assert rank.alone.power_at_effect == stats.power_signed_rank(1.0, 10, 0.05)
    assert rank.alone == rank.family


def test_power_pages() -> None:
    text = " ".join(printed(power_page(power_answer(10, 0.8, treatments=9))).split())
    assert "Power of the exact signed-rank test, 9 comparisons (9 treatments x 1 task)" in text
    assert "needs a p of at most 0.05 0.00556 fewest seeds that can give it 6 9" in text
    assert "0.05 / 9 = 0.00556. 10 seeds can pass; 9 are the fewest that can." in text
    assert "seeds needed for d_z = 0.8 15 26" in text
    text = " ".join(printed(power_page(power_answer(5, None))).split())
    assert "5 seeds cannot pass, however large the effect; 6 are the fewest that can." in text
    assert "among" not in text
    text = " ".join(printed(power_page(power_answer(None, 0.5, treatments=2, tasks=3))).split())
    assert (
        "6 comparisons (2 treatments x 3 tasks)" in text and "With fewer than 8 seeds no effect is large enough" in text
    )
    text = " ".join(printed(power_page(power_answer(4, None, treatments=2, test="paired_t"))).split())
    assert "The t-test has no smallest p" in text and "smallest p of" not in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["power"], "give --seeds (what can they detect?), --effect (how many seeds does it need?) or both"),
        (["power", "--treatments", "9"], "give --seeds"),
        (["power", "--seeds", "1"], "--seeds 1: expected a whole number from 2 to 10000"),
        (["power", "--seeds", "ten"], "--seeds ten: expected a whole number"),
        (["power", "--seeds", "5.5"], "--seeds 5.5: expected a whole number"),
        (["power", "--seeds", "8", "--treatments", "0"], "--treatments 0: expected a whole number from 1"),
        (["power", "--seeds", "8", "--tasks", "-1"], "--tasks -1: expected a whole number from 1"),
        (["power", "--seeds", "8", "--alpha", "1.5"], "--alpha 1.5: expected a number between 0 and 1"),
        (["power", "--seeds", "8", "--power", "nan"], "--power nan: expected a number between 0 and 1"),
        (["power", "--effect", "0"], "--effect 0.0: expected the mean difference in standard deviations"),
        (["power", "--effect", "inf"], "--effect inf: expected the mean difference"),
        (["power", "--effect", "big"], "--effect big: expected a number"),
        (
            ["power", "--seeds", "8", "--test", "paird_t"],
            "--test paird_t: there is no such test; did you mean 'paired_t'?",
        ),
        (["power", "--seeds", "8", "--test", "wilcoxon"], "valid: paired_t, signed_rank"),
        (["fluke", "--scores", "9.1", "--baseline", "1"], "--scores 9.1: one score has no spread; give at least two"),
        (["fluke", "--scores", "", "--baseline", "1"], "there are no scores; give at least two numbers"),
        (["fluke", "--scores", " , ", "--baseline", "1"], "there are no scores"),
        (["fluke", "--scores", "9.1,x", "--baseline", "1"], "'x' is neither a number nor a file"),
        (["fluke", "--scores", "nowhere.txt", "--baseline", "1"], "'nowhere.txt' is neither a number nor a file"),
        (["fluke", "--scores", "9.1,nan", "--baseline", "1"], "nan is no finite number"),
        (["fluke", "--scores", "9.1,-inf", "--baseline", "1"], "-inf is no finite number"),
        (["fluke", "--scores", "1,1e308", "--baseline", "1"], "1e308 is no finite number below 1e+150"),
        (["fluke", "--scores", "1,2", "--baseline", "nan"], "--baseline nan: expected a finite number"),
        (["fluke", "--scores", "1,2", "--baseline", "hold"], "--baseline hold: expected a number"),
        (["fluke", "--scores", "1,2", "--baseline", "1", "--alpha", "0"], "--alpha 0.0: expected a number between"),
        (["fluke", "--scores", "1,2", "--baseline", "1", "--alpha", "a"], "--alpha a: expected a number"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_one_line_and_exit_code_2(run: Run, arguments: list[str], expected: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ") and expected in line


def test_mistakes_in_a_file_of_scores(tmp_path: Path) -> None:
    path = tmp_path / "scores.txt"
    for content, message in (
        (b"score\n1\n2\n", "'score' is neither a number"),
        (b"", "no scores"),
        (b"\xff\xfe", "read"),
    ):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=message) as caught:
            parse_scores(str(path))
        assert str(path) in str(caught.value)
    with pytest.raises(UsageError, match="neither a number nor a file"):
        parse_scores(str(tmp_path))


@pytest.mark.parametrize("arguments", [["fluke", "--scores", "1,2"], ["fluke", "--baseline", "2"]])
def test_what_fluke_needs(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert code == 2 and out == "" and "Missing option" in err and "Traceback" not in err


def test_json(run: Run) -> None:
    code, out, _ = run("fluke", "--scores", ",".join(map(str, SCORES)), "--baseline", "10.6", "--json")
    content = json.loads(out)
    assert code == 0 and content["n"] == 10 and content["expected_best"] == pytest.approx(14.9, abs=0.01)
    assert content["sentence"].startswith("The best of 10 beats the baseline, the mean does not")
    code, out, _ = run("power", "--seeds", "8", "--treatments", "9", "--effect", "-1", "--json")
    content = json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert code == 0 and content["family_size"] == 9 and content["holm_can_be_passed"] is False
    assert content["family"]["detectable_effect"] is None and content["family"]["power_at_effect"] == 0
    assert content["alone"]["detectable_effect"] == pytest.approx(1.24, abs=0.02)
    code, out, _ = run("power", "--seeds", "8", "--test", "paired_t", "--json")
    assert code == 0 and json.loads(out)["smallest_p"] is None


def test_every_way_to_give_scores_prints_the_same(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also in a folder that is no repository; negative scores are no options."""
    monkeypatch.chdir(tmp_path)
    lines = "\n".join(map(str, SCORES))
    (tmp_path / "scores.txt").write_text(lines, encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    pages = [
        run("fluke", "--scores", given, "--baseline", "10.6") for given in (lines.replace("\n", ","), "scores.txt", "-")
    ]
    assert pages[0] == pages[1] == pages[2]
    assert "expected from luck alone, 14.9 on average" in pages[0][1] and pages[0][0] == 0
    assert "Not even the best of 3" in run("fluke", "--scores", "-3,-4,-5.5", "--baseline", "-1")[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.txt"]


def test_front_door(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from notafluke.cli import main; main()", "power", "--seeds", "10"]
    done = subprocess.run([*command, "--treatments", "9"], capture_output=True, encoding="utf-8", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "10 seeds can pass; 9 are the fewest that can." in done.stdout
