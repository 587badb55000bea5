"""The scores of a study by their keys: who is paired with whom.

Pairs are joined by (task, seed), never by their place in a table. The order of the rows does not matter; two rows of
one key are refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from notafluke import stats
from notafluke.errors import UsageError
from notafluke.study import BASELINE_PREFIX

Floats = NDArray[np.float64]
Seeds = NDArray[np.int64]

_SCORE_COLUMNS = ("task", "arm", "seed", "metric", "value", "outcome", "direction", "unit", "primary")
# Beyond, squares leave the float range: such a score is no finite one.
LARGEST_SCORE = 1e150
_NUMBERS = ("parameters", "epochs", "best_epoch", "validation_score", "learning_rate", "at_grid_edge")


@dataclass(frozen=True)
class Pairs:
    """The paired scores of one comparison, ordered by seed; NaN marks a failed run.

    ``seeds``, ``treatment`` and ``control`` have the shape (recorded pairs,); scores are in metric units. ``sign`` is
    +1 where higher is better, else -1. The counts say what was planned and what is absent.
    """

    seeds: Seeds
    treatment: Floats
    control: Floats
    sign: float
    planned: int
    absent_treatment: int
    absent_control: int

    def first(self, size: int) -> Pairs:
        """The pairs of the first ``size`` seeds, of which all must be recorded."""
        return replace(
            self,
            seeds=self.seeds[:size],
            treatment=self.treatment[:size],
            control=self.control[:size],
            planned=size,
        )

    @cached_property
    def finished(self) -> NDArray[np.bool_]:
        """Which pairs have two finite scores, shape (recorded pairs,)."""
        return np.isfinite(self.treatment) & np.isfinite(self.control)

    @cached_property
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

    @cached_property
    def finished_improvements(self) -> Floats:
        """Differences of the pairs in which both runs finished, shape (finished pairs,)."""
        return self.improvements[self.finished]


@dataclass(frozen=True)
class Metric:
    """How a task's metric is read."""

    name: str
    direction: str
    unit: str


@dataclass(frozen=True)
class ArmScores:
    """One arm's recorded runs on one task and metric, ordered by seed, shape (runs,) each.

    ``values`` are NaN for failed runs. ``numbers`` are further columns of the scores, NaN where they are empty.
    """

    seeds: Seeds
    values: Floats
    outcomes: NDArray[np.object_]
    numbers: Mapping[str, Floats]
    cell: str

    @classmethod
    def none(cls) -> ArmScores:
        """No run."""
        return cls(np.empty(0, np.int64), np.empty(0), np.empty(0, np.object_), {}, "")

    def failures(self, seeds: Seeds) -> dict[str, int]:
        """How often each outcome other than ``ok`` ended the runs of ``seeds``; ``not finite``: ok without a score."""
        wanted = np.isin(self.seeds, seeds, assume_unique=True) & ~np.isfinite(self.values)
        counts = Counter("not finite" if name == "ok" else str(name) for name in self.outcomes[wanted])
        return dict(sorted(counts.items()))

    def finite(self, name: str) -> Floats:
        """The finite numbers of a column, none where it is not there."""
        values = self.numbers.get(name, np.empty(0))
        return values[np.isfinite(values)]


@dataclass(frozen=True)
class Baseline:
    """A baseline's finite values, ordered by seed, shape (seeds,) each."""

    seeds: Seeds
    values: Floats


@dataclass(frozen=True)
class Table:
    """Scores, baselines and plan, each by its key and ordered by seed.

    ``same_samples`` are the baselines (task, name, metric) against which seeds are no evidence (``over_seeds``).
    """

    scores: Mapping[tuple[str, str, str], ArmScores]
    baselines: Mapping[tuple[str, str, str], Baseline]
    trivial: Mapping[str, tuple[str, str]]
    planned: Mapping[tuple[str, str], Seeds]
    metrics: Mapping[tuple[str, str], Metric]
    primary: Mapping[str, str]
    same_samples: frozenset[tuple[str, str, str]]

    @classmethod
    def read(cls, scores: pd.DataFrame, baselines: pd.DataFrame, planned: pd.DataFrame) -> Table:
        """Check the three tables and index them."""
        _require(scores, _SCORE_COLUMNS, "scores")
        _require(baselines, ("task", "seed", "name", "metric", "value", "trivial"), "baselines")
        _require(planned, ("task", "arm", "seed"), "planned")
        _refuse_duplicates(scores, ["task", "arm", "seed", "metric"], "scores")
        _refuse_duplicates(baselines, ["task", "seed", "name", "metric"], "baselines")
        plan = planned[["task", "arm", "seed"]].drop_duplicates().sort_values("seed", kind="stable")
        seeds = {_key(key): own.to_numpy(np.int64) for key, own in plan.groupby(["task", "arm"])["seed"]}
        known = scores.sort_values(["task", "metric", "arm", "seed"], kind="stable")
        ordered = baselines.sort_values(["task", "name", "metric", "seed"], kind="stable")
        metrics, primary = _metrics(known), _primary(known)
        candidates = ordered[ordered["trivial"].astype(bool)].to_dict("records")
        primary = {str(row["task"]): str(row["metric"]) for row in candidates} | primary
        trivial = {
            str(row["task"]): (str(row["name"]), str(row["metric"]))
            for row in reversed(candidates)
            if row["metric"] == primary[str(row["task"])]
        }
        return cls(_by_arm(known), _by_name(ordered), trivial, seeds, metrics, primary, _same_samples(ordered))

    def metric(self, task: str, name: str | None) -> Metric:
        """Return the metric, the task's primary one for None; unknown while no run of the task is recorded."""
        wanted = name or self.primary.get(task, "")
        return self.metrics.get((task, wanted), Metric(wanted, "", ""))

    def is_over_seeds(self, task: str, metric: str, control: str) -> bool:
        """Return whether seeds are evidence of a comparison with this control: an arm, or ``baseline:<name>``."""
        baseline = control.startswith(BASELINE_PREFIX)
        return not (baseline and (task, control.removeprefix(BASELINE_PREFIX), metric) in self.same_samples)

    def arm(self, task: str, metric: str, arm: str) -> ArmScores:
        """Return an arm's recorded runs."""
        return self.scores.get((task, arm, metric)) or ArmScores.none()

    def reference(self, task: str, metric: str, control: str) -> ArmScores | Baseline:
        """Return what is compared with: an arm's runs, or the values of ``baseline:<name>``."""
        if control.startswith(BASELINE_PREFIX):
            found = self.baselines.get((task, control.removeprefix(BASELINE_PREFIX), metric))
            return found or Baseline(np.empty(0, np.int64), np.empty(0))
        return self.arm(task, metric, control)

    def seeds_of(self, task: str, arm: str) -> Seeds:
        """Return the planned seeds of an arm, ascending."""
        return self.planned.get((task, arm), np.empty(0, np.int64))

    def pairs(self, task: str, metric: str, treatment: str, control: str, direction: str) -> Pairs:
        """Join the two arms by seed, over the seeds that both have in the plan."""
        planned = self.seeds_of(task, treatment)
        if not control.startswith(BASELINE_PREFIX):
            planned = np.intersect1d(planned, self.seeds_of(task, control), assume_unique=True)
        treated, reference = self.arm(task, metric, treatment), self.reference(task, metric, control)
        has_treatment = np.isin(planned, treated.seeds, assume_unique=True)
        has_reference = np.isin(planned, reference.seeds, assume_unique=True)
        seeds = planned[has_treatment & has_reference]
        return Pairs(
            seeds=seeds,
            treatment=treated.values[np.searchsorted(treated.seeds, seeds)],
            control=reference.values[np.searchsorted(reference.seeds, seeds)],
            sign=-1.0 if direction == "lower" else 1.0,
            planned=len(planned),
            absent_treatment=int((~has_treatment).sum()),
            absent_control=int((~has_reference).sum()),
        )


def _by_arm(scores: pd.DataFrame) -> dict[tuple[str, str, str], ArmScores]:
    """Cut the scores, ordered by task, metric, arm and seed, into arms; as arrays, since there may be many."""
    seeds, outcomes = scores["seed"].to_numpy(np.int64), scores["outcome"].astype(object).to_numpy()
    values = scores["value"].to_numpy(np.float64)
    values = np.where((outcomes == "ok") & (np.abs(values) <= LARGEST_SCORE), values, np.nan)
    numbers = {
        name: pd.to_numeric(scores[name], errors="coerce").to_numpy(np.float64, na_value=np.nan)
        for name in _NUMBERS
        if name in scores
    }
    cells = scores["cell"].astype(object).to_numpy() if "cell" in scores else np.full(len(scores), "", np.object_)
    return {
        key: ArmScores(
            seeds[part], values[part], outcomes[part], {n: own[part] for n, own in numbers.items()}, str(cells[part][0])
        )
        for key, part in _parts(scores, ["task", "arm", "metric"])
    }


def _by_name(baselines: pd.DataFrame) -> dict[tuple[str, str, str], Baseline]:
    """Cut the baselines, ordered by task, name, metric and seed, into their values by seed."""
    seeds, values = baselines["seed"].to_numpy(np.int64), baselines["value"].to_numpy(np.float64)
    found = {}
    for key, part in _parts(baselines, ["task", "name", "metric"]):
        finite = np.isfinite(values[part])
        found[key] = Baseline(seeds[part][finite], values[part][finite])
    return found


def _same_samples(baselines: pd.DataFrame) -> frozenset[tuple[str, str, str]]:
    """The keys of the baselines that say that runs of different seeds are no evidence against them."""
    if "over_seeds" not in baselines:
        return frozenset()
    own = baselines.loc[baselines["over_seeds"].eq(False), ["task", "name", "metric"]]
    return frozenset((str(row["task"]), str(row["name"]), str(row["metric"])) for row in own.to_dict("records"))


def _parts(ordered: pd.DataFrame, keys: list[str]) -> Iterator[tuple[tuple[str, str, str], slice]]:
    """The keys of a table whose rows of one key stand together, each with the slice of its rows."""
    codes = [ordered[key].astype(str).to_numpy(object) for key in keys]
    if not len(ordered):
        return
    changed = np.any([own[1:] != own[:-1] for own in codes], axis=0)
    edges = [0, *(np.flatnonzero(changed) + 1).tolist(), len(ordered)]
    for start, end in pairwise(edges):
        first, second, third = (str(own[start]) for own in codes)
        yield (first, second, third), slice(start, end)


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


def _metrics(scores: pd.DataFrame) -> dict[tuple[str, str], Metric]:
    """Return direction and unit of every (task, metric); mixed directions are refused."""
    found: dict[tuple[str, str], Metric] = {}
    described = scores[["task", "metric", "direction", "unit"]].fillna("").astype(str).drop_duplicates()
    for row in described.sort_values(["task", "metric", "direction", "unit"]).to_dict("records"):
        task, name, direction = str(row["task"]), str(row["metric"]), str(row["direction"])
        if direction not in ("higher", "lower"):
            raise UsageError(f"scores: direction of {task}/{name} is {direction!r}; valid: higher, lower")
        if (task, name) in found and found[task, name].direction != direction:
            raise UsageError(f"scores: {task}/{name} is given as both higher and lower is better")
        found.setdefault((task, name), Metric(name, direction, str(row["unit"])))
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
