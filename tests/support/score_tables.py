"""Hand-made score tables: what ``claims.decide`` reads, filled arm by arm."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from notafluke.study import Claim, Sesoi, Spending


@dataclass(frozen=True)
class ToyStudy:
    """What ``claims.decide`` reads of a study."""

    claims: tuple[Claim, ...]
    alpha: float = 0.05
    test: str = "signed_rank"
    correction: str = "holm"
    tune: str = "none"
    name: str = "toy"
    seeds: tuple[int, ...] = ()
    looks: tuple[int, ...] = ()
    spending: Spending = "obrien_fleming"


@dataclass
class Tables:
    """Scores, baselines and plan, filled arm by arm; ``None`` is a diverged run, ``...`` an absent one."""

    direction: str = "higher"
    metric: str = "score"
    scores: list[dict[str, Any]] = field(default_factory=list)
    baselines: list[dict[str, Any]] = field(default_factory=list)
    planned: list[dict[str, Any]] = field(default_factory=list)

    def arm(self, arm: str, values: Any, task: str = "toy") -> Tables:
        """Add an arm's scores, seed by seed."""
        for seed, value in enumerate(values):
            self.planned.append({"task": task, "arm": arm, "seed": seed})
            if value is ...:
                continue
            self.scores.append(
                {
                    "task": task,
                    "arm": arm,
                    "seed": seed,
                    "metric": self.metric,
                    "value": math.nan if value is None else float(value),
                    "outcome": "diverged" if value is None else "ok",
                    "direction": self.direction,
                    "unit": "points",
                    "primary": True,
                    "run_key": f"{task}-{arm}-{seed}",
                    "cell": f"results/runs/{task}/{arm}",
                    "parameters": 10,
                    "epochs": 5,
                    "best_epoch": 3,
                    "validation_score": 0.0,
                }
            )
        return self

    def baseline(self, name: str, values: Any, trivial: bool = False, task: str = "toy") -> Tables:
        """Add a baseline's values, seed by seed."""
        for seed, value in enumerate(values):
            key = {"task": task, "seed": seed, "name": name, "metric": self.metric}
            self.baselines.append(key | {"value": float(value), "trivial": trivial})
        return self

    def frames(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Return the three tables."""
        empty: dict[str, list[Any]] = {"task": [], "seed": [], "name": [], "metric": [], "value": [], "trivial": []}
        return (
            pd.DataFrame(self.scores),
            pd.DataFrame(self.baselines) if self.baselines else pd.DataFrame(empty),
            pd.DataFrame(self.planned),
        )


def claim(treatment: str = "a=1", control: str = "control", sesoi: float | None = 0.5, **changes: Any) -> Claim:
    tasks = changes.pop("tasks", ("toy",))
    declared = {} if sesoi is None else {task: Sesoi(sesoi, changes.get("relative", False)) for task in tasks}
    changes.pop("relative", None)
    options: dict[str, Any] = {
        "id": f"{treatment}-{control}",
        "sentence": "A helps.",
        "metric": None,
        "expects": "better",
        "role": "claim",
    }
    return Claim(treatment=treatment, control=control, tasks=tasks, sesoi=declared, **(options | changes))


def two_arms(differences: Any, direction: str = "higher", control: Any = None) -> Tables:
    """Return a table in which the treatment's score is the control's plus the difference."""
    base = np.linspace(10, 12, len(differences)) if control is None else control
    treated = [value if value in (None, ...) else b + value for value, b in zip(differences, base, strict=True)]
    return Tables(direction).arm("control", base).arm("a=1", treated)
