"""From scores to verdicts: each claim, task by task, by the rules fixed before the first run.

Differences are paired by (task, seed) and turned so that **positive means that the treatment is better**, whatever the
metric's direction. In that unit are ``d_z``, ``rank_biserial`` and ``p_better``; ``delta`` and its interval are
``treatment - control`` in the metric's own unit.

Failed runs are kept (intention to treat): a failed treatment against a finished control is a difference of minus
infinity for the ranks, the reverse plus infinity, both failed zero. Means, intervals and the power go over the pairs in
which both finished.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd

from notafluke import stats
from notafluke.errors import UsageError, did_you_mean
from notafluke.looks import Schedule, Scheduled
from notafluke.pairing import Floats, Metric, Pairs, Table
from notafluke.report.columns import COLUMNS
from notafluke.report.numbers import number, p_equation, p_text
from notafluke.stats.t_tests import moments
from notafluke.study import BASELINE_PREFIX, CONTROL, Claim, Sesoi

Family = Literal["claims", "controls", "exploratory"]

FAMILIES: tuple[Family, ...] = ("claims", "controls", "exploratory")
VERDICTS = (
    "better",
    "worse",
    "equivalent",
    "no evidence",
    "underpowered",
    "mixed",
    "cannot decide",
    "incomplete",
)
POWER = 0.8
MOST_SEEDS = 10**12
TOO_FEW_PAIRS = "too few pairs"
SAME_SAMPLES = "every seed is tested on the same samples; see over_samples"
_TESTS = ("signed_rank", "paired_t", "sign_flip")
_CORRECTIONS = {"holm": stats.holm, "benjamini_hochberg": stats.benjamini_hochberg}

_INTEGERS = (
    "pairs_done",
    "pairs_finished",
    "pairs_planned",
    "failed_treatment",
    "failed_control",
    "m",
    "seeds_needed",
    "parameters_treatment",
    "parameters_control",
)


class StudyLike(Scheduled, Protocol):
    """The part of a study that the verdicts need."""

    @property
    def alpha(self) -> float:
        """Family-wise error rate, for example 0.05."""

    @property
    def test(self) -> str:
        """``signed_rank``, ``paired_t`` or ``sign_flip``."""

    @property
    def correction(self) -> str:
        """``holm`` or ``benjamini_hochberg``."""

    @property
    def tune(self) -> str:
        """``none``, or what every arm tuned for itself."""

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The declared claims, in the study's order."""


def decide(study: StudyLike, scores: pd.DataFrame, baselines: pd.DataFrame, planned: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each claim and task, then one for each exploratory comparison; see the module's text.

    ``scores`` has a row for each (task, arm, seed, metric), failed runs included; ``baselines`` for each (task, seed,
    name, metric); ``planned`` for each planned (task, arm, seed). Rows of runs that are not planned are left out. The
    order of the rows in these tables does not matter. The families ``claims``, ``controls`` and ``exploratory`` have
    their own number of comparisons ``m``, fixed by the plan.
    """
    table = Table.read(scores, baselines, planned)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateWarning)  # becomes a remark in the row
        rows = [_measure(study, comparison, table) for comparison in _comparisons(study, table)]
        for family in FAMILIES:
            _adjust(study, [row for row in rows if row.values["family"] == family])
        for row in rows:
            _judge(study, row)
    frame = pd.DataFrame([row.values for row in rows], columns=list(COLUMNS))
    for column in _INTEGERS:
        frame[column] = frame[column].astype("Int64")
    return frame


def paired_scores(
    scores: pd.DataFrame,
    baselines: pd.DataFrame,
    planned: pd.DataFrame,
    decisions: pd.DataFrame,
) -> list[Pairs]:
    """Return the paired scores behind each row of ``decisions``, in its order (for figures)."""
    table = Table.read(scores, baselines, planned)
    return [
        table.pairs(row["task"], row["metric"], row["treatment"], row["control"], row["direction"])
        for row in records(decisions)
    ]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as dictionaries with plain floats (NaN where empty) for its whole-number columns."""
    # Column by column: DataFrame.astype and to_dict take ten times as long.
    columns = [
        own.to_numpy(np.float64, na_value=np.nan).tolist() if own.dtype in ("Int64", "Float64") else own.tolist()
        for _, own in frame.items()
    ]
    names = [str(name) for name in frame.columns]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


# --- which comparisons -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Comparison:
    """One row to decide: a claim (None when exploratory) on one task."""

    family: Family
    claim: Claim | None
    task: str
    metric: Metric
    treatment: str
    control: str

    @property
    def role(self) -> str:
        """The claim's role, or ``exploratory``."""
        return self.claim.role if self.claim else "exploratory"


def _comparisons(study: StudyLike, table: Table) -> list[_Comparison]:
    """Return claims, then controls, in the study's order; then all other arms against the study's control."""
    declared = [
        _Comparison(
            family="claims" if claim.role == "claim" else "controls",
            claim=claim,
            task=task,
            metric=table.metric(task, claim.metric),
            treatment=claim.treatment,
            control=claim.control,
        )
        for claim in study.claims
        for task in claim.tasks
    ]
    covered = {(row.task, row.metric.name, frozenset((row.treatment, row.control))) for row in declared}
    named = list(dict.fromkeys(row.task for row in declared))
    tasks = [*named, *sorted({task for task, _ in table.planned} - set(named))]
    exploratory = [
        _Comparison("exploratory", None, task, table.metric(task, None), arm, CONTROL)
        for task in tasks
        for arm in sorted({arm for planned, arm in table.planned if planned == task} - {CONTROL})
        if (task, table.metric(task, None).name, frozenset((arm, CONTROL))) not in covered
    ]
    families = [[row for row in declared if row.family == family] for family in ("claims", "controls")]
    return [*families[0], *families[1], *exploratory]


# --- the numbers of a row ----------------------------------------------------------------------------------------


@dataclass
class _Row:
    """A row in the making: its pairs and the columns so far."""

    comparison: _Comparison
    pairs: Pairs
    sesoi: float
    learned: str
    over_seeds: bool
    tested: _Tested
    tested_sign: float
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Tested:
    """The test of one look: its name, two-sided p (NaN: nothing to test), sign of the effect, smallest possible p."""

    test: str
    p_value: float
    sign: float
    smallest_p: float


_NOT_TESTED = _Tested("none", math.nan, 0.0, 0.0)


def _measure(study: StudyLike, comparison: _Comparison, table: Table) -> _Row:
    """Fill in everything that the row's own runs give: no family, no verdict yet."""
    task, metric, claim = comparison.task, comparison.metric, comparison.claim
    pairs = table.pairs(task, metric.name, comparison.treatment, comparison.control, metric.direction)
    control = pairs.control[np.isfinite(pairs.control)]
    treatment = pairs.treatment[np.isfinite(pairs.treatment)]
    improvements, finished = pairs.improvements, pairs.finished_improvements
    delta = pairs.sign * _mean(finished)
    low, high = sorted(pairs.sign * bound for bound in _interval(finished, 0.95))
    sesoi = _sesoi(claim.sesoi.get(task) if claim else None, _mean(control))
    complete = pairs.planned > 0 and len(pairs.seeds) == pairs.planned
    schedule = Schedule.of(study)
    looks = [pairs.first(size) for size in schedule.past[:-1]] + [pairs] if complete else [pairs]
    over_seeds = table.is_over_seeds(task, metric.name, comparison.control)
    tests = [_tested(study.test, look) if over_seeds else _NOT_TESTED for look in looks]
    equivalence = [over_seeds and bool(look.finished.all()) for look in looks]
    tosts = [
        _p_tost(look.finished_improvements, sesoi) if asked else math.nan
        for look, asked in zip(looks, equivalence, strict=True)
    ]
    tested = tests[-1]
    p_sequential, tested_sign = math.nan, tested.sign
    if complete and not math.isnan(tested.p_value):
        p_sequential, tested_sign = schedule.sequential(
            [1.0 if math.isnan(own.p_value) else own.p_value for own in tests], [own.sign for own in tests]
        )
    low_90, high_90 = sorted(pairs.sign * bound for bound in _interval(finished, 1 - 2 * study.alpha))
    better = stats.paired_probability_of_improvement(improvements) if len(improvements) else None
    values: dict[str, Any] = dict.fromkeys(COLUMNS, math.nan) | {
        "claim": claim.id if claim else "",
        "family": comparison.family,
        "role": comparison.role,
        "sentence": claim.sentence if claim else "",
        "task": task,
        "metric": metric.name,
        "unit": metric.unit,
        "direction": metric.direction,
        "treatment": comparison.treatment,
        "control": comparison.control,
        "pairs_done": len(pairs.seeds),
        "pairs_finished": len(finished),
        "pairs_planned": pairs.planned,
        "failed_treatment": int((~np.isfinite(pairs.treatment)).sum()),
        "failed_control": int((~np.isfinite(pairs.control)).sum()),
        "failures": _failures(comparison, pairs, table),
        "control_mean": _mean(control),
        "control_sd": _sd(control),
        "treatment_mean": _mean(treatment),
        "treatment_sd": _sd(treatment),
        "delta": delta + 0.0,
        "delta_low": low + 0.0,
        "delta_high": high + 0.0,
        "delta_low_90": low_90 + 0.0,
        "delta_high_90": high_90 + 0.0,
        "delta_percent": _ratio(100 * delta, abs(_mean(control))),
        "d_z": float(stats.cohens_dz(finished)) if len(finished) > 1 else math.nan,
        "rank_biserial": float(stats.rank_biserial(improvements)) if len(improvements) else math.nan,
        "p_better": better.estimate if better else math.nan,
        "p_better_low": better.low if better else math.nan,
        "p_better_high": better.high if better else math.nan,
        "test": tested.test,
        "p_value": tested.p_value if complete else math.nan,
        "look": f"{schedule.reached} of {len(schedule.sizes)}",
        "p_sequential": p_sequential,
        "correction": study.correction,
        "alpha": float(study.alpha),
        "p_tost": tosts[-1] if complete else math.nan,
        "p_tost_sequential": _equivalence(schedule, tosts) if complete else math.nan,
        "sesoi": sesoi,
        "expects": claim.expects if claim else "",
        "result": "",
        "arms_correlation": _correlation(pairs),
        "tune": study.tune,
    }
    values |= _baseline(table, task)
    for side in ("treatment", "control"):
        values |= _effort(table, comparison, side)
    learned = _not_learned(study, table, comparison)
    return _Row(comparison, pairs, sesoi, learned, over_seeds, tested, tested_sign, values)


def _mean(values: Floats) -> float:
    """Return the mean, the same in every order, NaN of nothing."""
    return math.fsum(values.tolist()) / len(values) if len(values) else math.nan


def _sd(values: Floats) -> float:
    """Return the standard deviation (n - 1), exactly 0 for values that are equal but for rounding, NaN below two."""
    return moments(values).sd if len(values) > 1 else math.nan


def _ratio(numerator: float, denominator: float) -> float:
    """Return the ratio, NaN where the denominator is 0."""
    return numerator / denominator + 0.0 if denominator else math.nan


def _interval(improvements: Floats, confidence: float) -> tuple[float, float]:
    """Return the t interval of the mean improvement, NaN below two pairs and where no confidence is asked for."""
    if len(improvements) < 2 or confidence <= 0:
        return math.nan, math.nan
    interval = stats.t_interval(improvements, confidence=confidence)
    return float(interval.low), float(interval.high)


def _sesoi(declared: Sesoi | None, control_mean: float) -> float:
    """Return the smallest effect size of interest in metric units; NaN for none, or for a share of a mean of 0."""
    if declared is None:
        return math.nan
    value = declared.value * abs(control_mean) if declared.relative else float(declared.value)
    return value if value > 0 else math.nan


def _tested(test: str, pairs: Pairs) -> _Tested:
    """Test the pairs of one look.

    A failed run has no difference to average, so with any failure the ranks decide, whatever the declared test. Which
    pairs hold a failure does not change when signs are flipped, so this choice keeps the level.
    """
    improvements = pairs.improvements
    used = "signed_rank" if not pairs.finished.all() else test
    if used not in _TESTS:
        raise UsageError(f"unknown test{did_you_mean(used, _TESTS)}")
    if not len(improvements) or (used == "paired_t" and len(improvements) < 2):
        return _Tested(used, math.nan, 0.0, 0.0)
    if used == "signed_rank":
        ranks = stats.signed_rank_test(improvements, method=_method(improvements))
        return _Tested(used, ranks.p_value, float(np.sign(ranks.w_plus - ranks.w_minus)), ranks.smallest_p)
    sign = float(np.sign(_mean(improvements)))
    if used == "paired_t":
        return _Tested(used, stats.paired_t_test(improvements, 0.0).p_value, sign, 0.0)
    flips = stats.sign_flip_test(improvements)
    return _Tested(used, flips.p_value, sign, flips.smallest_p)


def _method(improvements: Floats) -> stats.Method:
    """Exact where the exact distribution can be had; with more than a thousand pairs the normal limit is as good."""
    return "exact" if len(improvements) <= stats.LARGEST_EXACT_N else "normal"


def _p_tost(improvements: Floats, sesoi: float) -> float:
    """Return the p of equivalence within ``sesoi``; NaN without a SESOI or below two pairs."""
    if not sesoi > 0 or len(improvements) < 2:
        return math.nan
    return float(stats.tost_paired(improvements, 0.0, -sesoi, sesoi).p_value)


def _equivalence(schedule: Schedule, p_values: Sequence[float]) -> float:
    """Return the overall p of equivalence; a look without a p counts as 1, NaN where this one has none."""
    if math.isnan(p_values[-1]):
        return math.nan
    return schedule.sequential_p([1.0 if math.isnan(p) else p for p in p_values], one_sided=True)


def _correlation(pairs: Pairs) -> float:
    """Return Pearson's correlation of the two arms over the finished pairs, NaN where one of them is constant."""
    treatment, control = pairs.treatment[pairs.finished], pairs.control[pairs.finished]
    if len(treatment) < 3 or _sd(treatment) == 0 or _sd(control) == 0:
        return math.nan
    with np.errstate(all="ignore"):
        correlation = float(np.corrcoef(treatment, control)[0, 1])
    return correlation if math.isfinite(correlation) else math.nan


def _failures(comparison: _Comparison, pairs: Pairs, table: Table) -> str:
    """Return the failures in words, for example ``treatment: 2 of 10 diverged``; empty without any."""
    texts = []
    for side, arm in (("treatment", comparison.treatment), ("control", comparison.control)):
        counts = table.arm(comparison.task, comparison.metric.name, arm).failures(pairs.seeds)
        parts = [f"{number} of {len(pairs.seeds)} {outcome}" for outcome, number in counts.items()]
        if parts:
            texts.append(f"{side}: {', '.join(parts)}")
    return "; ".join(texts)


def _baseline(table: Table, task: str) -> dict[str, Any]:
    """Return name and mean of the task's trivial baseline on its primary metric."""
    if task not in table.trivial:
        return {"baseline_name": "", "baseline": math.nan}
    name, metric = table.trivial[task]
    return {"baseline_name": name, "baseline": _mean(table.baselines[task, name, metric].values)}


def _effort(table: Table, comparison: _Comparison, side: str) -> dict[str, Any]:
    """Return what an arm took: parameters, epochs, learning rate, validation score; and its cell."""
    arm = comparison.treatment if side == "treatment" else comparison.control
    runs = table.arm(comparison.task, comparison.metric.name, arm)
    parameters, epochs, rates = (runs.finite(name) for name in ("parameters", "best_epoch", "learning_rate"))
    return {
        f"parameters_{side}": int(parameters.max()) if len(parameters) else math.nan,
        f"epochs_{side}": _mean(runs.finite("epochs")),
        f"best_epoch_{side}": float(np.median(epochs)) if len(epochs) else math.nan,
        f"validation_{side}": _mean(runs.finite("validation_score")),
        f"learning_rate_{side}": float(rates[0]) if len(rates) else math.nan,
        f"at_grid_edge_{side}": _mean(runs.finite("at_grid_edge")),
        f"{side}_cell": runs.cell,
    }


def control_not_learned(alpha: float, table: Table, task: str, control: str = CONTROL) -> str:
    """Return why a control did not learn a task, empty where it did.

    The control must beat the trivial baseline on the primary metric: better mean, and a one-sided exact signed-rank p
    of at most alpha. Not asked with so few seeds that no score could pass (below five at alpha 0.05). Where seeds are
    no evidence against that baseline, they cannot show it.
    """
    if task not in table.trivial:
        return ""
    name, metric_name = table.trivial[task]
    if not table.is_over_seeds(task, metric_name, BASELINE_PREFIX + name):
        return f"seeds cannot say that the control learned: {SAME_SAMPLES}"
    metric = table.metric(task, metric_name)
    pairs = table.pairs(task, metric_name, control, BASELINE_PREFIX + name, metric.direction)
    if 0.5 ** len(pairs.seeds) > alpha:
        return ""
    improvements = pairs.improvements
    p_value = float(stats.signed_rank_test(improvements, alternative="greater", method=_method(improvements)).p_value)
    if p_value <= alpha and _mean(pairs.finished_improvements) > 0:
        return ""
    mean, baseline = _mean(pairs.control), _mean(pairs.treatment[np.isfinite(pairs.treatment)])
    return (
        f"control did not learn: {metric_name} {number(baseline)} against {number(mean)} of {name} "
        f"(one-sided {p_equation('p', p_value)})"
    )


def _not_learned(study: StudyLike, table: Table, comparison: _Comparison) -> str:
    """Return why the row's control did not learn.

    Not asked for comparisons with a baseline, and for known answers, which are about the pipeline.
    """
    known = comparison.role in ("positive_control", "negative_control")
    if known or comparison.control.startswith(BASELINE_PREFIX):
        return ""
    return control_not_learned(study.alpha, table, comparison.task, comparison.control)


# --- families and verdicts ---------------------------------------------------------------------------------------


def _adjust(study: StudyLike, rows: list[_Row]) -> None:
    """Fill in the adjusted p-values and ``m`` of one family; comparisons without a p count in ``m``."""
    correction = _CORRECTIONS.get(study.correction)
    if correction is None:
        raise UsageError(f"unknown correction{did_you_mean(study.correction, _CORRECTIONS)}")
    for name, adjusted, adjust in (
        ("p_sequential", "p_holm", correction),
        ("p_tost_sequential", "p_tost_holm", stats.holm),
    ):
        known = [row for row in rows if not math.isnan(row.values[name])]
        if known:
            p_values = adjust([row.values[name] for row in known], m=len(rows))
            for row, p_value in zip(known, p_values, strict=True):
                row.values[adjusted] = float(p_value)
    for row in rows:
        row.values["m"] = len(rows)


def _judge(study: StudyLike, row: _Row) -> None:
    """Fill in power, verdict, its suffix, the reason and whether this row gives what the claim expects.

    The power of the sign-flip test is taken as that of the signed-rank test, which has the same smallest p.
    """
    values, pairs = row.values, row.pairs
    schedule = Schedule.of(study)
    share = schedule.level(study.alpha / values["m"])
    sd = _sd(pairs.finished_improvements)
    test: stats.PowerTest = "paired_t" if values["test"] == "paired_t" else "signed_rank"
    if row.over_seeds and not math.isnan(sd):
        smallest = stats.minimum_detectable_effect(len(pairs.seeds), share, POWER, test=test)
        values["mde80"] = (smallest * sd if sd else 0.0) if row.tested.smallest_p <= share else math.inf
    if row.over_seeds and row.sesoi > 0 and sd > 0:
        last = schedule.last_level(study.alpha / values["m"])
        needed = stats.seeds_needed(row.sesoi / sd, last, POWER, test=test)
        values["seeds_needed"] = needed if needed <= MOST_SEEDS else math.nan
    verdict, reason = _verdict(study, row, share)
    if row.over_seeds and schedule.next and verdict in ("no evidence", "underpowered", "cannot decide"):
        reason += f"; look {values['look']}, the next one at {schedule.next} seeds"
    values["verdict"] = verdict
    values["verdict_suffix"] = _suffix(study, row, share) if verdict in ("better", "worse") else ""
    constant = "the differences have no variance" if sd == 0 else ""
    values["reason"] = "; ".join(part for part in (reason, constant, values["failures"]) if part)
    if row.comparison.claim:
        values["result"] = _result(row.comparison.claim, verdict, values["verdict_suffix"])


def _verdict(study: StudyLike, row: _Row, share: float) -> tuple[str, str]:
    """Return the first verdict of the list whose rule matches, and why. ``share`` is this look's part of alpha / m."""
    values, pairs, improvements = row.values, row.pairs, row.pairs.improvements
    if not pairs.planned or len(pairs.seeds) < pairs.planned:
        return "incomplete", _absent(row)
    if not row.over_seeds:
        return "cannot decide", SAME_SAMPLES
    # Under Benjamini-Hochberg all rows pass at alpha when all have so small a p.
    limit = share if study.correction == "holm" else Schedule.of(study).level(study.alpha)
    if row.tested.smallest_p > limit:
        return "cannot decide", (
            f"{TOO_FEW_PAIRS}: {int(np.sum(improvements != 0))} non-zero, smallest possible p "
            f"{p_text(row.tested.smallest_p)} is above {number(limit)}, "
            f"{'what this look may spend' if study.looks else 'alpha/m' if limit == share else 'alpha'}"
        )
    if math.isnan(values["p_value"]):
        return "cannot decide", f"{TOO_FEW_PAIRS}: a t-test needs two, finished are {len(pairs.finished_improvements)}"
    if row.learned:
        return "cannot decide", row.learned
    if values["p_holm"] <= study.alpha:
        return _direction(row)
    if not math.isnan(values["p_tost_holm"]) and values["p_tost_holm"] <= study.alpha:
        return "equivalent", f"within ±{number(row.sesoi)}"
    mde80 = values["mde80"]
    shown = f"smallest effect detectable with 80 % power: {number(mde80)}"
    if not row.sesoi > 0:
        claim = row.comparison.claim
        share_of_zero = claim is not None and row.comparison.task in claim.sesoi
        return "no evidence", shown + ("; the SESOI is a share of a control mean of 0" if share_of_zero else "")
    if mde80 <= row.sesoi:
        return "no evidence", f"{shown}, at most the SESOI {number(row.sesoi)}"
    needed = values["seeds_needed"]
    asked = f"; {needed} seeds needed for the SESOI {number(row.sesoi)}" if not math.isnan(needed) else ""
    return "underpowered", shown + asked


def _absent(row: _Row) -> str:
    """Say which planned runs are absent."""
    pairs = row.pairs
    if not pairs.planned:
        return "no seed is planned for both arms"
    sides = (("treatment", pairs.absent_treatment), ("control", pairs.absent_control))
    missing = [f"{count} of {pairs.planned} {side} runs" for side, count in sides if count]
    both = pairs.absent_treatment < pairs.planned and pairs.absent_control < pairs.planned
    apart = "; the arms have no seed in common" if both and not len(pairs.seeds) else ""
    return f"absent: {' and '.join(missing)}{apart}"


def _direction(row: _Row) -> tuple[str, str]:
    """Return ``better``, ``worse`` or ``mixed`` for a significant row.

    Ranks and mean must have one sign, that of the look which was significant. A failed run has no place in a mean over
    finished pairs but would only push it towards the other arm: where the arm that the ranks put behind also failed
    more often, the mean agrees.
    """
    ranks = float(np.sign(row.values["rank_biserial"]))
    infinite = row.pairs.improvements[np.isinf(row.pairs.improvements)]
    mean = _mean(row.pairs.finished_improvements)
    signs = {float(np.sign(mean)) if math.isfinite(mean) else 0.0, float(np.sum(np.sign(infinite)))}
    agree = ranks != 0 and any(sign * ranks > 0 for sign in signs)
    if row.tested_sign * ranks < 0:
        return "mixed", f"an earlier look said {_word(row.tested_sign)}, all pairs together say {_word(ranks)}"
    if not agree:
        return "mixed", f"ranks say {_word(ranks)}, the mean of the finished pairs says {_word(mean)}"
    contrary = "" if mean * ranks >= 0 or math.isnan(mean) else f"the finished pairs alone say {_word(mean)}"
    return ("better" if ranks > 0 else "worse"), contrary


def _word(sign: float) -> str:
    return "better" if sign > 0 else "worse" if sign < 0 else "neither"


def _suffix(study: StudyLike, row: _Row, share: float) -> str:
    """Return ``negligible``, ``relevant`` or nothing; nothing with any failure, since both go by means."""
    if not row.sesoi > 0 or not row.pairs.finished.all():
        return ""
    if not math.isnan(row.values["p_tost_holm"]) and row.values["p_tost_holm"] <= study.alpha:
        return "negligible"
    low, high = _interval(row.pairs.finished_improvements, 1 - share)
    return "relevant" if low > row.sesoi or high < -row.sesoi else ""


def _result(claim: Claim, verdict: str, suffix: str) -> str:
    """Return whether one task's verdict is what the claim expects; empty while runs are absent.

    ``not_worse`` holds with ``better`` or ``equivalent``: an absence of evidence is not enough. ``equivalent`` and
    ``not_worse`` also hold with a ``negligible`` difference, which the equivalence test accepted. Where these seeds
    could not tell, the claim is ``not decided``.
    """
    if verdict == "incomplete":
        return ""
    if verdict == "cannot decide" or (verdict == "underpowered" and claim.role != "negative_control"):
        return "not decided"
    significant = verdict in ("better", "worse")
    if claim.role == "negative_control":
        return "contradicted" if significant or verdict == "mixed" else "holds"
    if claim.expects == "equivalent":
        holds = verdict == "equivalent" or suffix == "negligible"
        opposite = significant and not holds
    elif claim.expects == "not_worse":
        holds = verdict in ("better", "equivalent") or suffix == "negligible"
        opposite = significant and not holds
    else:
        holds, opposite = verdict == claim.expects, significant and verdict != claim.expects
    return "holds" if holds else "contradicted" if opposite else "does not hold"
