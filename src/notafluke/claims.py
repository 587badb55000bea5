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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from notafluke import stats
from notafluke.errors import UsageError, did_you_mean
from notafluke.report.columns import COLUMNS
from notafluke.report.numbers import interval_text, number, p_equation, p_text
from notafluke.study import BASELINE_PREFIX, CONTROL, Claim, Sesoi

Floats = NDArray[np.float64]
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
SCOPE = "over retrainings, on this test period/set"
POWER = 0.8
_TESTS = ("signed_rank", "paired_t", "sign_flip")
_CORRECTIONS = {"holm": stats.holm, "benjamini_hochberg": stats.benjamini_hochberg}

_SCORE_COLUMNS = ("task", "arm", "seed", "metric", "value", "outcome", "direction", "unit", "primary")
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


class StudyLike(Protocol):
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


@dataclass(frozen=True)
class Pairs:
    """The paired scores of one comparison, ordered by seed; NaN marks a failed run.

    ``seeds``, ``treatment`` and ``control`` have the shape (recorded pairs,); scores are in metric units. ``sign`` is
    +1 where higher is better, else -1. The counts say what was planned and what is absent.
    """

    seeds: NDArray[np.int64]
    treatment: Floats
    control: Floats
    sign: float
    planned: int
    absent_treatment: int
    absent_control: int

    @property
    def finished(self) -> NDArray[np.bool_]:
        """Which pairs have two finite scores, shape (recorded pairs,)."""
        return np.isfinite(self.treatment) & np.isfinite(self.control)

    @property
    def improvements(self) -> Floats:
        """Differences, positive = treatment better, shape (recorded pairs,); a failed run counts as infinitely bad."""
        if not len(self.seeds):
            return np.empty(0)
        return stats.intention_to_treat_differences(
            self.treatment,
            self.control,
            ~np.isfinite(self.treatment),
            ~np.isfinite(self.control),
            direction=1 if self.sign > 0 else -1,
        )

    @property
    def finished_improvements(self) -> Floats:
        """Differences of the pairs in which both runs finished, shape (finished pairs,)."""
        return self.improvements[self.finished]


def decide(study: StudyLike, scores: pd.DataFrame, baselines: pd.DataFrame, planned: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each claim and task, then one for each exploratory comparison; see the module's text.

    ``scores`` has a row for each (task, arm, seed, metric), failed runs included; ``baselines`` for each (task, seed,
    name, metric); ``planned`` for each planned (task, arm, seed). Rows of runs that are not planned are left out. The
    order of the rows in these tables does not matter. The families ``claims``, ``controls`` and ``exploratory`` have
    their own number of comparisons ``m``, fixed by the plan.
    """
    table = _Table.read(scores, baselines, planned)
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


def summarise(decisions: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each declared claim: on how many tasks it holds, the result and a sentence to print.

    ``result`` is ``holds``, ``holds on k of K``, ``contradicted`` (any task gives the opposite),
    ``does not hold`` or ``not decided yet`` (runs are absent). A
    negative control holds where its row is complete and neither ``better``, ``worse`` nor ``mixed``.
    """
    columns = ["claim", "family", "role", "treatment", "control", "expects", "tasks", "held", "result", "sentence"]
    declared = decisions[decisions["family"] != "exploratory"]
    rows = [_summary_row(records(group)) for _, group in declared.groupby("claim", sort=False)]
    return pd.DataFrame(rows, columns=columns)


def paired_scores(
    scores: pd.DataFrame,
    baselines: pd.DataFrame,
    planned: pd.DataFrame,
    decisions: pd.DataFrame,
) -> list[Pairs]:
    """Return the paired scores behind each row of ``decisions``, in its order (for figures)."""
    table = _Table.read(scores, baselines, planned)
    return [
        table.pairs(row["task"], row["metric"], row["treatment"], row["control"], row["direction"])
        for row in records(decisions)
    ]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as dictionaries with plain floats (NaN where empty) for its whole-number columns."""
    whole = {name: frame[name].astype("Float64").astype(np.float64) for name in _INTEGERS if name in frame}
    return [{str(key): value for key, value in row.items()} for row in frame.assign(**whole).to_dict("records")]


# --- the tables by key -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Metric:
    """How a task's metric is read."""

    name: str
    direction: str
    unit: str


@dataclass(frozen=True)
class _Table:
    """Scores, baselines and plan, each by its key and ordered by seed."""

    scores: Mapping[tuple[str, str, str], pd.DataFrame]
    baselines: Mapping[tuple[str, str, str], pd.Series]
    trivial: Mapping[str, tuple[str, str]]
    planned: Mapping[tuple[str, str], tuple[int, ...]]
    metrics: Mapping[tuple[str, str], _Metric]
    primary: Mapping[str, str]

    @classmethod
    def read(cls, scores: pd.DataFrame, baselines: pd.DataFrame, planned: pd.DataFrame) -> _Table:
        """Check the three tables and index them."""
        _require(scores, _SCORE_COLUMNS, "scores")
        _require(baselines, ("task", "seed", "name", "metric", "value", "trivial"), "baselines")
        _require(planned, ("task", "arm", "seed"), "planned")
        _refuse_duplicates(scores, ["task", "arm", "seed", "metric"], "scores")
        _refuse_duplicates(baselines, ["task", "seed", "name", "metric"], "baselines")
        plan = planned.drop_duplicates(["task", "arm", "seed"])
        seeds = {_key(key): tuple(sorted(int(s) for s in part)) for key, part in plan.groupby(["task", "arm"])["seed"]}
        known = scores.sort_values(["task", "metric", "arm", "seed"], kind="stable")
        by_arm = {_key(key): part.set_index("seed") for key, part in known.groupby(["task", "arm", "metric"])}
        ordered = baselines.sort_values(["task", "name", "metric", "seed"], kind="stable")
        by_name = {
            _key(key): part.set_index("seed")["value"].astype(np.float64)
            for key, part in ordered.groupby(["task", "name", "metric"])
        }
        metrics, primary = _metrics(known), _primary(known)
        candidates = ordered[ordered["trivial"].astype(bool)].to_dict("records")
        primary = {str(row["task"]): str(row["metric"]) for row in candidates} | primary
        trivial = {
            str(row["task"]): (str(row["name"]), str(row["metric"]))
            for row in reversed(candidates)
            if row["metric"] == primary[str(row["task"])]
        }
        return cls(by_arm, by_name, trivial, seeds, metrics, primary)

    def metric(self, task: str, name: str | None) -> _Metric:
        """Return the metric, the task's primary one for None; unknown while no run of the task is recorded."""
        wanted = name or self.primary.get(task, "")
        return self.metrics.get((task, wanted), _Metric(wanted, "", ""))

    def values(self, task: str, metric: str, arm: str) -> pd.Series:
        """Return the arm's recorded scores by seed, NaN for a failed run, or the baseline's values."""
        if arm.startswith(BASELINE_PREFIX):
            values = self.baselines.get((task, arm.removeprefix(BASELINE_PREFIX), metric))
            return pd.Series(dtype=np.float64) if values is None else values[np.isfinite(values)]
        rows = self.scores.get((task, arm, metric))
        if rows is None:
            return pd.Series(dtype=np.float64)
        values = rows["value"].astype(np.float64)
        return values.where((rows["outcome"] == "ok") & np.isfinite(values))

    def pairs(self, task: str, metric: str, treatment: str, control: str, direction: str) -> Pairs:
        """Join the two arms by seed, over the seeds that both have in the plan."""
        planned = self.planned.get((task, treatment), ())
        if not control.startswith(BASELINE_PREFIX):
            partner = set(self.planned.get((task, control), ()))
            planned = tuple(seed for seed in planned if seed in partner)
        treated, reference = self.values(task, metric, treatment), self.values(task, metric, control)
        seeds = [seed for seed in planned if seed in treated.index and seed in reference.index]
        return Pairs(
            seeds=np.array(seeds, dtype=np.int64),
            treatment=treated.loc[seeds].to_numpy(np.float64),
            control=reference.loc[seeds].to_numpy(np.float64),
            sign=-1.0 if direction == "lower" else 1.0,
            planned=len(planned),
            absent_treatment=sum(seed not in treated.index for seed in planned),
            absent_control=sum(seed not in reference.index for seed in planned),
        )

    def outcomes(self, task: str, metric: str, arm: str, seeds: Iterable[int]) -> dict[str, int]:
        """Count the outcomes other than ``ok`` of the arm over ``seeds``; ``not finite``: ended ok without a score."""
        rows = self.scores.get((task, arm, metric))
        if rows is None:
            return {}
        rows = rows.loc[list(seeds)]
        finite = np.isfinite(rows["value"].astype(np.float64))
        named = rows["outcome"].astype(str).where((rows["outcome"] != "ok") | finite, "not finite")
        counts = named.value_counts()
        return {str(name): int(counts[name]) for name in sorted(counts.index) if name != "ok"}


def _key(key: Any) -> Any:
    """Return a group's key as plain strings."""
    return tuple(str(part) for part in key)


def _require(frame: pd.DataFrame, columns: Sequence[str], name: str) -> None:
    """Refuse a table without the columns that the verdicts read."""
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise UsageError(f"{name}: no column {', '.join(missing)}; found {', '.join(map(str, frame.columns))}")


def _refuse_duplicates(frame: pd.DataFrame, keys: list[str], name: str) -> None:
    """Refuse two rows of one key, naming the first."""
    twice = frame[frame.duplicated(keys)].sort_values(keys, kind="stable")
    if len(twice):
        first = ", ".join(f"{key}={twice.iloc[0][key]}" for key in keys)
        raise UsageError(f"{name}: {len(twice)} duplicate row(s), the first: {first}")


def _metrics(scores: pd.DataFrame) -> dict[tuple[str, str], _Metric]:
    """Return direction and unit of every (task, metric); mixed directions are refused."""
    found: dict[tuple[str, str], _Metric] = {}
    described = scores[["task", "metric", "direction", "unit"]].fillna("").astype(str).drop_duplicates()
    for row in described.sort_values(["task", "metric", "direction", "unit"]).to_dict("records"):
        task, name, direction = str(row["task"]), str(row["metric"]), str(row["direction"])
        if direction not in ("higher", "lower"):
            raise UsageError(f"scores: direction of {task}/{name} is {direction!r}; valid: higher, lower")
        if (task, name) in found and found[task, name].direction != direction:
            raise UsageError(f"scores: {task}/{name} is given as both higher and lower is better")
        found.setdefault((task, name), _Metric(name, direction, str(row["unit"])))
    return found


def _primary(scores: pd.DataFrame) -> dict[str, str]:
    """Return the primary metric of every task; two of them are refused."""
    primary: dict[str, str] = {}
    marked = scores.loc[scores["primary"].astype(bool), ["task", "metric"]].drop_duplicates()
    for row in marked.to_dict("records"):
        task, metric = str(row["task"]), str(row["metric"])
        if task in primary:
            raise UsageError(f"scores: task {task} has two primary metrics, {primary[task]} and {metric}")
        primary[task] = metric
    return primary


# --- which comparisons -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Comparison:
    """One row to decide: a claim (None when exploratory) on one task."""

    family: Family
    claim: Claim | None
    task: str
    metric: _Metric
    treatment: str
    control: str

    @property
    def role(self) -> str:
        """The claim's role, or ``exploratory``."""
        return self.claim.role if self.claim else "exploratory"


def _comparisons(study: StudyLike, table: _Table) -> list[_Comparison]:
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
    values: dict[str, Any] = field(default_factory=dict)


def _measure(study: StudyLike, comparison: _Comparison, table: _Table) -> _Row:
    """Fill in everything that the row's own runs give: no family, no verdict yet."""
    task, metric, claim = comparison.task, comparison.metric, comparison.claim
    pairs = table.pairs(task, metric.name, comparison.treatment, comparison.control, metric.direction)
    control = pairs.control[np.isfinite(pairs.control)]
    treatment = pairs.treatment[np.isfinite(pairs.treatment)]
    improvements, finished = pairs.improvements, pairs.finished_improvements
    delta = pairs.sign * _mean(finished)
    low, high = sorted(pairs.sign * bound for bound in _interval(finished, 0.95))
    sesoi = _sesoi(claim.sesoi.get(task) if claim else None, _mean(control))
    test, p_value = _p_value(study.test, pairs)
    complete = pairs.planned > 0 and len(pairs.seeds) == pairs.planned
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
        "delta_percent": _ratio(100 * delta, abs(_mean(control))),
        "d_z": float(stats.cohens_dz(finished)) if len(finished) > 1 else math.nan,
        "rank_biserial": float(stats.rank_biserial(improvements)) if len(improvements) else math.nan,
        "p_better": stats.paired_probability_of_improvement(improvements).estimate if len(improvements) else math.nan,
        "test": test,
        "p_value": p_value if complete else math.nan,
        "correction": study.correction,
        "alpha": float(study.alpha),
        "p_tost": _p_tost(finished, sesoi) if complete and pairs.finished.all() else math.nan,
        "sesoi": sesoi,
        "expects": claim.expects if claim else "",
        "result": "",
        "arms_correlation": _correlation(pairs),
        "tune": study.tune,
    }
    values |= _baseline(table, task)
    for side in ("treatment", "control"):
        values |= _effort(table, comparison, side)
    return _Row(comparison, pairs, sesoi, _not_learned(study, table, comparison), values)


def _mean(values: Floats) -> float:
    """Return the mean, the same in every order, NaN of nothing."""
    return math.fsum(values.tolist()) / len(values) if len(values) else math.nan


def _sd(values: Floats) -> float:
    """Return the standard deviation (n - 1), exactly 0 for equal values, NaN below two."""
    if len(values) < 2:
        return math.nan
    return float(np.std(values, ddof=1)) if np.ptp(values) else 0.0


def _ratio(numerator: float, denominator: float) -> float:
    """Return the ratio, NaN where the denominator is 0."""
    return numerator / denominator + 0.0 if denominator else math.nan


def _interval(improvements: Floats, confidence: float) -> tuple[float, float]:
    """Return the t interval of the mean improvement, NaN below two pairs."""
    if len(improvements) < 2:
        return math.nan, math.nan
    interval = stats.t_interval(improvements, confidence=confidence)
    return float(interval.low), float(interval.high)


def _sesoi(declared: Sesoi | None, control_mean: float) -> float:
    """Return the smallest effect size of interest in metric units, NaN when none is declared."""
    if declared is None:
        return math.nan
    return declared.value * abs(control_mean) if declared.relative else float(declared.value)


def _p_value(test: str, pairs: Pairs) -> tuple[str, float]:
    """Return the test used and its two-sided p; NaN where there is nothing to test.

    A failed run has no difference to average, so with any failure the ranks decide, whatever the declared test. Which
    pairs hold a failure does not change when signs are flipped, so this choice keeps the level.
    """
    improvements = pairs.improvements
    used = "signed_rank" if not pairs.finished.all() else test
    if not len(improvements) or (used == "paired_t" and len(improvements) < 2):
        return used, math.nan
    if used == "signed_rank":
        p_value = stats.signed_rank_test(improvements).p_value
    elif used == "paired_t":
        p_value = stats.paired_t_test(improvements, 0.0).p_value
    elif used == "sign_flip":
        p_value = stats.sign_flip_test(improvements).p_value
    else:
        raise UsageError(f"unknown test{did_you_mean(used, _TESTS)}")
    return used, float(p_value)


def _p_tost(improvements: Floats, sesoi: float) -> float:
    """Return the p of equivalence within ``sesoi``; NaN without a SESOI or below two pairs."""
    if not sesoi > 0 or len(improvements) < 2:
        return math.nan
    return float(stats.tost_paired(improvements, 0.0, -sesoi, sesoi).p_value)


def _correlation(pairs: Pairs) -> float:
    """Return Pearson's correlation of the two arms over the finished pairs, NaN where one of them is constant."""
    treatment, control = pairs.treatment[pairs.finished], pairs.control[pairs.finished]
    if len(treatment) < 3 or np.ptp(treatment) == 0 or np.ptp(control) == 0:
        return math.nan
    return float(np.corrcoef(treatment, control)[0, 1])


def _failures(comparison: _Comparison, pairs: Pairs, table: _Table) -> str:
    """Return the failures in words, for example ``treatment: 2 of 10 diverged``; empty without any."""
    texts = []
    for side, arm in (("treatment", comparison.treatment), ("control", comparison.control)):
        counts = table.outcomes(comparison.task, comparison.metric.name, arm, pairs.seeds.tolist())
        parts = [f"{number} of {len(pairs.seeds)} {outcome}" for outcome, number in counts.items()]
        if parts:
            texts.append(f"{side}: {', '.join(parts)}")
    return "; ".join(texts)


def _baseline(table: _Table, task: str) -> dict[str, Any]:
    """Return name and mean of the task's trivial baseline on its primary metric."""
    if task not in table.trivial:
        return {"baseline_name": "", "baseline": math.nan}
    name, metric = table.trivial[task]
    values = table.values(task, metric, BASELINE_PREFIX + name)
    return {"baseline_name": name, "baseline": _mean(values.to_numpy(np.float64))}


def _effort(table: _Table, comparison: _Comparison, side: str) -> dict[str, Any]:
    """Return an arm's parameters, mean seconds a run, median best epoch and cell."""
    arm = comparison.treatment if side == "treatment" else comparison.control
    rows = table.scores.get((comparison.task, arm, comparison.metric.name))
    cell = "" if rows is None or "cell" not in rows or not len(rows) else str(rows["cell"].iloc[0])
    parameters = _finite(rows, "parameters")
    epochs = _finite(rows, "best_epoch")
    return {
        f"parameters_{side}": int(parameters.max()) if len(parameters) else math.nan,
        f"seconds_{side}": _mean(_finite(rows, "seconds")),
        f"best_epoch_{side}": float(np.median(epochs)) if len(epochs) else math.nan,
        f"{side}_cell": cell,
    }


def _finite(rows: pd.DataFrame | None, column: str) -> Floats:
    """Return the column's finite values, none when it is not there."""
    if rows is None or column not in rows:
        return np.empty(0)
    values = pd.to_numeric(rows[column], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return np.asarray(values[np.isfinite(values)], dtype=np.float64)


def _not_learned(study: StudyLike, table: _Table, comparison: _Comparison) -> str:
    """Return why the study's control did not learn this task, empty where it did or the question does not arise.

    The control must beat the trivial baseline on the primary metric: better mean, and a one-sided exact signed-rank p
    of at most alpha. Not asked for comparisons with a baseline, for positive controls, and with so few seeds that no
    score could pass (below five at alpha 0.05).
    """
    task = comparison.task
    exempt = comparison.control.startswith(BASELINE_PREFIX) or comparison.role == "positive_control"
    if exempt or task not in table.trivial:
        return ""
    name, metric_name = table.trivial[task]
    metric = table.metric(task, metric_name)
    pairs = table.pairs(task, metric_name, CONTROL, BASELINE_PREFIX + name, metric.direction)
    if 0.5 ** len(pairs.seeds) > study.alpha:
        return ""
    p_value = float(stats.signed_rank_test(pairs.improvements, alternative="greater").p_value)
    if p_value <= study.alpha and _mean(pairs.finished_improvements) > 0:
        return ""
    mean, baseline = _mean(pairs.control), _mean(pairs.treatment[np.isfinite(pairs.treatment)])
    return (
        f"control did not learn: {metric_name} {number(baseline)} against {number(mean)} of {name} "
        f"(one-sided {p_equation('p', p_value)})"
    )


# --- families and verdicts ---------------------------------------------------------------------------------------


def _adjust(study: StudyLike, rows: list[_Row]) -> None:
    """Fill in the adjusted p-values and ``m`` of one family; comparisons without a p count in ``m``."""
    correction = _CORRECTIONS.get(study.correction)
    if correction is None:
        raise UsageError(f"unknown correction{did_you_mean(study.correction, _CORRECTIONS)}")
    for name, adjusted, adjust in (("p_value", "p_holm", correction), ("p_tost", "p_tost_holm", stats.holm)):
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
    share = study.alpha / values["m"]
    sd = _sd(pairs.finished_improvements)
    test: stats.PowerTest = "paired_t" if values["test"] == "paired_t" else "signed_rank"
    if not math.isnan(sd):
        smallest = stats.minimum_detectable_effect(len(pairs.seeds), share, POWER, test=test)
        values["mde80"] = smallest * sd if sd else 0.0
    if row.sesoi > 0 and sd > 0:
        values["seeds_needed"] = stats.seeds_needed(row.sesoi / sd, share, POWER, test=test)
    verdict, reason = _verdict(study, row, share)
    values["verdict"] = verdict
    values["verdict_suffix"] = _suffix(study, row, share) if verdict in ("better", "worse") else ""
    constant = "the differences have no variance" if sd == 0 else ""
    values["reason"] = "; ".join(part for part in (reason, constant, values["failures"]) if part)
    if row.comparison.claim:
        values["result"] = _result(row.comparison.claim, verdict, values["verdict_suffix"])


def _verdict(study: StudyLike, row: _Row, share: float) -> tuple[str, str]:
    """Return the first verdict of the list whose rule matches, and why. ``share`` is alpha / m."""
    values, pairs, improvements = row.values, row.pairs, row.pairs.improvements
    if not pairs.planned or len(pairs.seeds) < pairs.planned:
        return "incomplete", _absent(row)
    nonzero = int(np.sum(improvements != 0))
    if values["test"] != "paired_t" and 2.0 * 0.5**nonzero > share:
        smallest = min(1.0, 2.0 * 0.5**nonzero)
        return "cannot decide", (
            f"too few pairs: {nonzero} non-zero, smallest possible p {p_text(smallest)} is above "
            f"alpha/m = {number(share)}"
        )
    if math.isnan(values["p_value"]):
        return "cannot decide", f"too few pairs: a t-test needs two, finished are {len(pairs.finished_improvements)}"
    if row.learned:
        return "cannot decide", row.learned
    if values["p_holm"] <= study.alpha:
        return _direction(row)
    if not math.isnan(values["p_tost_holm"]) and values["p_tost_holm"] <= study.alpha:
        return "equivalent", f"within ±{number(row.sesoi)}"
    mde80 = values["mde80"]
    shown = f"smallest effect detectable with 80 % power: {number(mde80)}"
    if not row.sesoi > 0:
        return "no evidence", shown
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
    return f"absent: {' and '.join(missing)}"


def _direction(row: _Row) -> tuple[str, str]:
    """Return ``better``, ``worse`` or ``mixed`` for a significant row.

    Ranks and mean must have one sign. A failed run has no place in a mean over finished pairs but would only push it
    towards the other arm: where the arm that the ranks put behind also failed more often, the mean agrees.
    """
    ranks = float(np.sign(row.values["rank_biserial"]))
    infinite = row.pairs.improvements[np.isinf(row.pairs.improvements)]
    mean = _mean(row.pairs.finished_improvements)
    signs = {float(np.sign(mean)) if math.isfinite(mean) else 0.0, float(np.sum(np.sign(infinite)))}
    agree = ranks != 0 and any(sign * ranks > 0 for sign in signs)
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

    ``not_worse`` holds with ``better`` or ``equivalent``: an absence of evidence is not enough. ``equivalent`` also
    holds with a ``negligible`` difference, which the equivalence test accepted.
    """
    if verdict == "incomplete":
        return ""
    significant = verdict in ("better", "worse")
    if claim.role == "negative_control":
        return "contradicted" if significant or verdict == "mixed" else "holds"
    if claim.expects == "equivalent":
        holds = verdict == "equivalent" or suffix == "negligible"
        opposite = significant and not holds
    elif claim.expects == "not_worse":
        holds, opposite = verdict in ("better", "equivalent"), verdict == "worse"
    else:
        holds, opposite = verdict == claim.expects, significant and verdict != claim.expects
    return "holds" if holds else "contradicted" if opposite else "does not hold"


# --- claims in words ---------------------------------------------------------------------------------------------


def _summary_row(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the summary of one claim from its rows."""
    held = sum(row["result"] == "holds" for row in rows)
    if any(row["result"] == "contradicted" for row in rows):
        result = "contradicted"
    elif any(row["verdict"] == "incomplete" for row in rows):
        result = "not decided yet"
    elif held == len(rows):
        result = "holds"
    else:
        result = f"holds on {held} of {len(rows)}" if held else "does not hold"
    first = rows[0]
    kept = {name: first[name] for name in ("claim", "family", "role", "treatment", "control", "expects")}
    return kept | {"tasks": len(rows), "held": held, "result": result, "sentence": _sentence(rows, result)}


def _sentence(rows: list[dict[str, Any]], result: str) -> str:
    """Return the sentence that a paper could print: the claim, the result, each task's figures, the scope."""
    first = rows[0]
    control = str(first["control"])
    against = (
        f"the baseline {control.removeprefix(BASELINE_PREFIX)}" if control.startswith(BASELINE_PREFIX) else control
    )
    tasks = "; ".join(_clause(row) for row in rows)
    rate = " at the control's learning rate," if first["tune"] == "none" else ""
    claim = str(first["sentence"]).strip().rstrip(".")
    if claim.split(" ")[0].isalpha():
        claim = claim[:1].upper() + claim[1:]
    return f"{claim}: {result} ({first['treatment']} against {against}: {tasks}),{rate} {SCOPE}."


def _clause(row: dict[str, Any]) -> str:
    """Return one task's verdict with its figures."""
    verdict = f"{row['task']} {row['verdict']}" + (f" ({row['verdict_suffix']})" if row["verdict_suffix"] else "")
    if row["verdict"] == "incomplete":
        return f"{verdict}, {row['pairs_done']:.0f} of {row['pairs_planned']:.0f} pairs recorded"
    figures = [f"{row['pairs_done']:.0f} paired seeds"]
    if not math.isnan(row["delta"]):
        unit = f" {row['unit']}" if row["unit"] not in ("", row["metric"]) else ""
        change = interval_text(row["delta"], row["delta_low"], row["delta_high"])
        figures.append(f"{row['metric']} {change}{unit}")
    if not math.isnan(row["p_holm"]):
        figures.append(p_equation("adjusted p", row["p_holm"]))
    if row["failures"]:
        figures.append(row["failures"].replace("; ", ", "))
    return f"{verdict}, {', '.join(figures)}"
