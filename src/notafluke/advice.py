"""What further seeds would decide: for each underpowered claim how many it takes, and the command that adds them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from notafluke.claims import records
from notafluke.looks import Schedule
from notafluke.plan import Plan


def with_advice(summary: pd.DataFrame, decisions: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Return the summary with the column ``advice``, empty where more seeds are no question."""
    rows = records(decisions)
    texts = [advice([row for row in rows if row["claim"] == claim], plan) for claim in summary["claim"]]
    return summary.assign(advice=texts)


def advice(rows: Sequence[Mapping[str, Any]], plan: Plan) -> str:
    """The advice for one claim from its rows of decisions."""
    wanted = {row["task"]: row["seeds_needed"] for row in rows if row["verdict"] == "underpowered"}
    wanted = {task: int(seeds) for task, seeds in wanted.items() if math.isfinite(seeds)}
    if not wanted:
        return ""
    study, needed = plan.study, max(wanted.values())
    have = len(study.seeds)
    where = ", ".join(f"{seeds - have} more on {task}" for task, seeds in wanted.items() if seeds > have)
    if not where:
        return ""
    schedule = Schedule.of(study)
    size = schedule.next if study.looks else needed
    if size is None:
        return f"seeds for a power of 80 %: {where}; this was the last of the declared looks, so it takes a new study"
    command = f"snakemake --cores all --config study={study.name.partition('+')[0]} overrides={_overrides(plan, size)}"
    honest = (
        f"the next declared look is at {size} seeds"
        if study.looks
        else "without looks declared beforehand (docs/studies.md) the longer study is exploratory"
    )
    return f"seeds for a power of 80 %: {where}: {command} ({honest})"


def _overrides(plan: Plan, size: int) -> str:
    """The overrides of the plan with ``size`` seeds, quoted for a shell."""
    kept = [text for text in plan.overrides if not text.startswith("seed=")]
    return shlex.quote(" ".join([*kept, f"seed={_seeds(plan.study.seeds, size)}"]))


def _seeds(seeds: Sequence[int], size: int) -> str:
    """The seeds so far and the next whole numbers, as Hydra writes them."""
    first = seeds[0]
    if list(seeds) == list(range(first, first + len(seeds))):
        return f"range({first},{first + size})"
    further = range(max(seeds) + 1, max(seeds) + 1 + size - len(seeds))
    return ",".join(map(str, [*seeds, *further]))
