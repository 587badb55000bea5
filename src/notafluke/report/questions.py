"""Answers without a study, in the terminal and as JSON: what can so many seeds detect, and is the best of n a fluke?"""

from __future__ import annotations

import json
import math
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from notafluke import stats
from notafluke.errors import UsageError, did_you_mean
from notafluke.pairing import LARGEST_SCORE
from notafluke.records import finite
from notafluke.report.listing import simple_table
from notafluke.report.numbers import MISSING, count, number, p_equation
from notafluke.seed_luck import LuckVerdict, luck_verdict
from notafluke.stats.signed_rank import LARGEST_EXACT_N

TABLE_SEEDS = (5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40)
MOST_SEEDS = 10_000
MOST_COMPARISONS = 1_000_000
SMALLEST_EFFECT = 0.001
STANDARD_INPUT = "-"
D_Z = (
    "d_z is the mean of the differences between two arms, seed by seed, in standard deviations of these differences. "
    "A dash: no effect is detected, however large."
)

_TEST_NAMES: dict[stats.PowerTest, str] = {"signed_rank": "exact signed-rank test", "paired_t": "paired t-test"}
_MOST_DECIMALS = 6


@dataclass(frozen=True)
class AtLevel:
    """What holds for one comparison at the level alpha; None is what was not asked, infinite what cannot be detected.

    ``fewest_seeds`` can give a p of alpha at all, ``detectable_effect`` is that of the seeds, ``seeds_needed`` are for
    the effect, and ``power_at_effect`` is the chance that the seeds detect it.
    """

    alpha: float
    fewest_seeds: int
    detectable_effect: float | None
    seeds_needed: int | None
    power_at_effect: float | None


@dataclass(frozen=True)
class Detectable:
    """One number of seeds: the smallest p (NaN for a test without one) and the effects detectable at both levels."""

    seeds: int
    smallest_p: float
    alone: float
    family: float


@dataclass(frozen=True)
class PowerAnswer:
    """Power before any run, for a comparison ``alone`` (at alpha) and in its ``family`` of m (at alpha / m).

    Holm asks the smallest of m p-values for alpha / m. Effects are d_z: the mean difference, in SDs of the differences.
    """

    test: stats.PowerTest
    treatments: int
    tasks: int
    family_size: int
    power: float
    seeds: int | None
    smallest_p: float | None
    holm_can_be_passed: bool | None
    effect: float | None
    alone: AtLevel
    family: AtLevel
    table: tuple[Detectable, ...]


def power_answer(
    seeds: int | None,
    effect: float | None,
    treatments: int = 1,
    tasks: int = 1,
    alpha: float = 0.05,
    power: float = 0.8,
    test: str = "signed_rank",
) -> PowerAnswer:
    """What ``seeds`` can detect, and how many an ``effect`` needs. Raises UsageError for what makes no sense."""
    if seeds is None and effect is None:
        raise UsageError("give --seeds (what can they detect?), --effect (how many seeds does it need?) or both")
    _check_whole("--treatments", treatments, 1, MOST_COMPARISONS)
    _check_whole("--tasks", tasks, 1, MOST_COMPARISONS)
    if seeds is not None:
        _check_whole("--seeds", seeds, 2, MOST_SEEDS)
    if effect is not None and not SMALLEST_EFFECT <= abs(effect) < math.inf:
        raise UsageError(
            f"--effect {effect}: expected the mean difference in standard deviations of the differences, "
            f"at least {SMALLEST_EFFECT}, such as 0.5"
        )
    _check_share("--alpha", alpha, 0.05)
    _check_share("--power", power, 0.8)
    known = _known_test(test)
    m = treatments * tasks
    return PowerAnswer(
        test=known,
        treatments=treatments,
        tasks=tasks,
        family_size=m,
        power=power,
        seeds=seeds,
        smallest_p=None if seeds is None else _smallest_p(seeds, known),
        holm_can_be_passed=None if seeds is None else seeds >= _fewest_seeds(alpha / m, known),
        effect=effect,
        alone=_at_level(seeds, effect, alpha, power, known),
        family=_at_level(seeds, effect, alpha / m, power, known),
        table=tuple(
            Detectable(
                seeds=size,
                smallest_p=_smallest_p(size, known),
                alone=stats.minimum_detectable_effect(size, alpha, power, known),
                family=stats.minimum_detectable_effect(size, alpha / m, power, known),
            )
            for size in TABLE_SEEDS
        ),
    )


def _at_level(seeds: int | None, effect: float | None, alpha: float, power: float, test: stats.PowerTest) -> AtLevel:
    power_at = stats.power_paired_t if test == "paired_t" else stats.power_signed_rank
    return AtLevel(
        alpha=alpha,
        fewest_seeds=_fewest_seeds(alpha, test),
        detectable_effect=None if seeds is None else stats.minimum_detectable_effect(seeds, alpha, power, test),
        seeds_needed=None if effect is None else stats.seeds_needed(effect, alpha, power, test),
        power_at_effect=None if effect is None or seeds is None else power_at(effect, seeds, alpha),
    )


def _known_test(name: str) -> stats.PowerTest:
    for test in _TEST_NAMES:
        if test == name:
            return test
    raise UsageError(f"--test {name}: there is no such test{did_you_mean(name, get_args(stats.PowerTest))}")


def _check_whole(option: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise UsageError(f"{option} {value}: expected a whole number from {least} to {most}")


def _check_share(option: str, value: float, example: float) -> None:
    if not 0.0 < value < 1.0:
        raise UsageError(f"{option} {value}: expected a number between 0 and 1, such as {example}")


def _smallest_p(seeds: int, test: stats.PowerTest) -> float:
    """The smallest two-sided p that these seeds can give; NaN for the t-test, whose p has no bound."""
    return math.ldexp(1.0, 1 - seeds) if test == "signed_rank" else math.nan


def _fewest_seeds(alpha: float, test: stats.PowerTest) -> int:
    seeds = 2
    while _smallest_p(seeds, test) > alpha:
        seeds += 1
    return seeds


def power_page(answer: PowerAnswer) -> RenderableType:
    """The answer for one comparison and for the family, what Holm's correction asks, and a table of seeds."""
    m, levels = answer.family_size, [answer.alone, answer.family][: min(answer.family_size, 2)]
    facts = _facts()

    def add(name: str, *values: str) -> None:
        facts.add_row(Text(name, style="dim"), *(Text(value, justify="right") for value in values))

    headings = ["alone", f"among {count(m)}"][: len(levels)]
    if m > 1:
        add("one comparison", *headings)
    add("needs a p of at most", *(f"{level.alpha:.3g}" for level in levels))
    add("fewest seeds that can give it", *(count(level.fewest_seeds) for level in levels))
    if answer.seeds is not None:
        if answer.test == "signed_rank":
            add(
                f"smallest p of {answer.seeds} seeds", *(number(_smallest_p(answer.seeds, answer.test)) for _ in levels)
            )
        add(f"smallest d_z that {answer.seeds} seeds detect", *(_effect(level.detectable_effect) for level in levels))
    if answer.effect is not None:
        add(f"seeds needed for d_z = {answer.effect:g}", *(_whole(level.seeds_needed) for level in levels))
        if answer.seeds is not None:
            name = f"chance of {answer.seeds} seeds to detect it"
            add(name, *(_percent(level.power_at_effect) for level in levels))
    return Group(
        Text(f"Power of the {_TEST_NAMES[answer.test]}, {_family(answer)}", style="bold"),
        Text(),
        facts,
        Text(),
        Text(_holm_sentence(answer), style="yellow" if answer.holm_can_be_passed is False else ""),
        Text(),
        Text(f"The smallest d_z detected with a chance of {_percent(answer.power)}", style="bold"),
        _seeds_table(answer, headings),
        Text(),
        Text(D_Z, style="dim"),
    )


def _seeds_table(answer: PowerAnswer, headings: list[str]) -> Table:
    exact = answer.test == "signed_rank"
    table = simple_table("seeds", *(["smallest p"] if exact else []), *headings)
    for column in table.columns:
        column.justify = "right"
        column.min_width = 10
    for row in answer.table:
        cells = [number(row.smallest_p)] if exact else []
        cells += [_effect(effect) for effect in (row.alone, row.family)[: len(headings)]]
        table.add_row(str(row.seeds), *cells, style="bold" if row.seeds == answer.seeds else "")
    return table


def _family(answer: PowerAnswer) -> str:
    if answer.family_size == 1:
        return "one comparison"
    factors = [(answer.treatments, "treatment"), (answer.tasks, "task")]
    product = " x ".join(f"{count(size)} {name}{'s' if size > 1 else ''}" for size, name in factors)
    return f"{count(answer.family_size)} comparisons ({product})"


def _holm_sentence(answer: PowerAnswer) -> str:
    m, fewest = answer.family_size, answer.family.fewest_seeds
    level = f"{answer.alone.alpha:.3g} / {count(m)} = {answer.family.alpha:.3g}"
    asked = (
        f"One comparison needs no correction: its p has to be at most {answer.alone.alpha:.3g}."
        if m == 1
        else f"Holm's correction for {count(m)} comparisons can be passed only if the smallest p is at most {level}."
    )
    if answer.test == "paired_t":
        return f"{asked} The t-test has no smallest p: two seeds can pass if the effect is large enough."
    if answer.seeds is None:
        return f"{asked} With fewer than {fewest} seeds no effect is large enough."
    if answer.holm_can_be_passed:
        return f"{asked} {answer.seeds} seeds can pass; {fewest} are the fewest that can."
    return f"{asked} {answer.seeds} seeds cannot pass, however large the effect; {fewest} are the fewest that can."


@dataclass(frozen=True)
class FlukeAnswer:
    """The best of n scores and their mean against a baseline, in the scores' own units and direction.

    ``low`` and ``high`` are the 95 % t interval of the mean; 5 % of the best of n are better than ``best_quantile_95``.
    ``verdict`` is that of table T3: of the mean, or that only the best beats the baseline; ``sentence`` explains it.
    """

    n: int
    direction: Literal["higher", "lower"]
    alpha: float
    mean: float
    sd: float
    low: float
    high: float
    best: float
    expected_best: float
    best_quantile_95: float
    baseline: float
    statistic: float
    p_value: float
    p_signed_rank: float
    smallest_p_signed_rank: float
    p_single_beats_baseline: float
    p_best_beats_baseline: float
    verdict: LuckVerdict
    sentence: str


def fluke_answer(
    scores: list[float], baseline: float, lower_is_better: bool = False, alpha: float = 0.05
) -> FlukeAnswer:
    """Whether the best of these scores is luck. Raises UsageError for what makes no sense."""
    _check_share("--alpha", alpha, 0.05)
    if not abs(baseline) <= LARGEST_SCORE:
        raise UsageError(f"--baseline {baseline}: expected a finite number, such as 10.6")
    sign = -1.0 if lower_is_better else 1.0
    values = np.array(scores)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateWarning)
        luck = stats.best_of_n(sign * values, sign * baseline)
        interval = stats.t_interval(values)
        ranks = stats.signed_rank_test(
            sign * (values - baseline),
            method="exact" if values.size <= LARGEST_EXACT_N else "normal",
            scale=max(abs(baseline), float(np.abs(values).max())),
        )
    verdict = luck_verdict(alpha, luck)
    return FlukeAnswer(
        n=luck.n,
        direction="lower" if lower_is_better else "higher",
        alpha=alpha,
        mean=sign * luck.mean + 0.0,
        sd=luck.sd,
        low=interval.low,
        high=interval.high,
        best=sign * luck.best + 0.0,
        expected_best=sign * luck.expected_best + 0.0,
        best_quantile_95=sign * luck.best_quantile_95 + 0.0,
        baseline=float(baseline),
        statistic=sign * luck.statistic + 0.0,
        p_value=luck.p_value,
        p_signed_rank=ranks.p_value,
        smallest_p_signed_rank=ranks.smallest_p,
        p_single_beats_baseline=luck.p_single_beats_baseline,
        p_best_beats_baseline=luck.p_best_beats_baseline,
        verdict=verdict,
        sentence=_sentence(luck, ranks.p_value, verdict, alpha, sign),
    )


def _sentence(luck: stats.BestOfNResult, p_signed_rank: float, verdict: str, alpha: float, sign: float) -> str:
    """The verdict in plain words; ``luck`` is that of higher is better."""
    n, p = luck.n, p_equation("p", luck.p_value)
    shown = _rounding(luck.sd)
    significant = luck.p_value <= alpha
    if luck.degenerate:
        place = {1.0: "better than", -1.0: "worse than", 0.0: "equal to"}[float(np.sign(luck.mean - luck.baseline))]
        return f"All {n} scores are equal, there is no luck to judge: they are {place} the baseline ({p})."
    expected = f"{shown(sign * luck.expected_best)} on average with this mean and SD"
    if verdict == "better":
        sentence = f"The mean of {n} beats the baseline significantly ({p}): no fluke"
        sentence += f". Report the mean, not the best: a best of {n} is {expected}."
    elif verdict == "best is luck":
        mean = f"the mean is significantly worse ({p})" if significant else f"the mean does not ({p})"
        sentence = f"The best of {n} beats the baseline, {mean}"
        if luck.best <= luck.best_quantile_95:
            sentence += f": a best of {n} like this is expected from luck alone, {expected}."
        else:
            bound = shown(sign * luck.best_quantile_95)
            sentence += f". It is an outlier: only 5 % of the best of {n} go beyond {bound} with this mean and SD."
    elif luck.mean > luck.baseline:
        sentence = f"The mean of {n} is better than the baseline, but not significantly ({p}): more seeds would tell"
        sentence += f". The best proves nothing: a best of {n} is {expected}."
    else:
        mean = f"{'' if significant else 'not '}significantly worse ({p})"
        sentence = f"Not even the best of {n} beats the baseline; the mean is {mean}."
    if (p_signed_rank <= alpha) != significant and luck.n >= _fewest_seeds(alpha, "signed_rank"):
        sentence += f" The signed-rank test disagrees ({p_equation('p', p_signed_rank)}): look at the single scores."
    return sentence


def fluke_page(answer: FlukeAnswer) -> RenderableType:
    """The numbers and the verdict."""
    n, shown = answer.n, _rounding(answer.sd)
    facts = _facts()

    def add(name: str, value: str, note: str = "") -> None:
        facts.add_row(Text(name, style="dim"), value, Text(note, style="dim"))

    add("scores", count(n), f"{answer.direction} is better")
    add("mean ± SD", f"{shown(answer.mean)} ± {shown(answer.sd)}")
    add("95 % interval of the mean", f"[{shown(answer.low)}, {shown(answer.high)}]")
    add("baseline", f"{answer.baseline:.6g}")
    add("mean against baseline", p_equation("p", answer.p_value), f"t-test, t = {number(answer.statistic)}")
    ranks = "exact signed-rank" if n <= LARGEST_EXACT_N else "signed-rank"
    if answer.smallest_p_signed_rank > answer.alpha:
        ranks = f"signed-rank, at least {number(answer.smallest_p_signed_rank)}"
    add("", p_equation("p", answer.p_signed_rank), ranks)
    add(f"best of {n}", f"{answer.best:.6g}")
    add("expected best", shown(answer.expected_best), "if normal, same mean and SD")
    add("95 % quantile of the best", shown(answer.best_quantile_95), "5 % of bests are better")
    add("one seed beats the baseline", _percent(answer.p_single_beats_baseline), "if normal, same mean and SD")
    add(f"the best of {n} beats it", _percent(answer.p_best_beats_baseline))
    return Group(
        Text(f"Is the best of {n} a fluke?", style="bold"), Text(), facts, Text(), Text(answer.sentence, style="bold")
    )


def parse_scores(text: str) -> list[float]:
    """Read scores: numbers between commas or blanks, an existing file with one on each line, or - for standard input.

    Raises UsageError for what is no finite number, and for fewer than two.
    """
    place, words = "", re.split(r"[,;\s]+", text.strip(" ,;"))
    if text == STANDARD_INPUT:
        place, words = " (standard input)", sys.stdin.read().split()
    elif _is_file(text):
        try:
            words = Path(text).read_text(encoding="utf-8-sig").split()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--scores {text}: cannot be read as text ({error})") from None
        place = f" {text}"
    scores = [_score(word, place) for word in words if word]
    if len(scores) < 2:
        raise UsageError(
            f"--scores{place or f' {text}'}: {'one score has no spread' if scores else 'there are no scores'}; "
            "give at least two numbers, such as 9.1,14.9, or a file with one on each line"
        )
    return scores


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # too long for a name, as many scores are
        return False


def _score(word: str, place: str) -> float:
    try:
        score = float(word)
    except ValueError:
        raise UsageError(
            f"--scores{place}: {word!r} is neither a number nor a file; give numbers such as 9.1,14.9, or a file with "
            "one on each line"
        ) from None
    if not abs(score) <= LARGEST_SCORE:
        raise UsageError(
            f"--scores{place}: {word} is no finite number below {LARGEST_SCORE:g}; a failed run has no score to average"
        )
    return score


def json_text(answer: PowerAnswer | FlukeAnswer) -> str:
    """The answer as one JSON object; what is infinite or does not exist is null."""
    return json.dumps(finite(asdict(answer)), indent=1, allow_nan=False, ensure_ascii=False)


def _facts() -> Table:
    """An empty table of names and values, without lines."""
    return Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))


def _effect(value: float | None) -> str:
    if value is None or math.isinf(value):
        return MISSING
    return f"{value:.2f}" if value >= 0.1 else number(value, 2)


def _whole(value: int | None) -> str:
    return MISSING if value is None else count(value)


def _percent(share: float | None) -> str:
    """A share in per cent; 0 and 100 only where it is just that."""
    if share is None:
        return MISSING
    if 0.0 < share < 0.005:
        return "< 1 %"
    return "> 99 %" if 0.995 <= share < 1.0 else f"{share:.0%}".replace("%", " %")


def _rounding(sd: float) -> Callable[[float], str]:
    """How to write numbers with this SD: with the digits that it deserves, two of it."""
    exponent = math.floor(math.log10(sd)) if sd > 0.0 else 0
    if sd == 0.0 or not -_MOST_DECIMALS <= exponent <= _MOST_DECIMALS:
        return lambda value: f"{value:.6g}"
    return lambda value: f"{round(value, max(0, 1 - exponent)) + 0.0:.{max(0, 1 - exponent)}f}"
