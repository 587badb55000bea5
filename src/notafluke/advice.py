"""What further seeds would decide: for each underpowered claim how many it takes, and the command that adds them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from notafluke.claims import TOO_FEW_PAIRS, records
from notafluke.looks import Schedule
from notafluke.plan import Plan


def with_advice(summary: pd.DataFrame, decisions: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Return the summary with the columns ``advice`` and ``command``, empty where more seeds are no question."""
    rows = records(decisions)
    found = [advice([row for row in rows if row["claim"] == claim], plan) for claim in summary["claim"]]
    return summary.assign(advice=[text for text, _ in found], command=[command for _, command in found])


def advice(rows: Sequence[Mapping[str, Any]], plan: Plan) -> tuple[str, str]:
    """The advice for one declared claim from its rows of decisions, and the command that follows it."""
    study, have = plan.study, len(plan.study.seeds)
    wanted = {row["task"]: seeds for row in rows if row["role"] == "claim" and (seeds := _wanted(row)) > have}
    schedule = Schedule.of(study)
    if not wanted:
        return "", ""
    where = ", ".join(f"{seeds:.0f} on {task}" for task, seeds in wanted.items() if math.isfinite(seeds))
    needed = f"seeds for a power of 80 %: {where}" if where else "more seeds are needed for any verdict"
    if not study.looks:
        size = int(max((seeds for seeds in wanted.values() if math.isfinite(seeds)), default=0))
        if not size:
            return needed, ""
        return f"{needed}; without looks declared beforehand the longer study is exploratory", _command(plan, size)
    if schedule.next is None:
        return f"{needed}; this was the last declared look, so it takes a new study", ""
    last = schedule.sizes[-1]
    beyond = f"; the last one, at {last}, will probably not do" if max(wanted.values()) > last and where else ""
    return f"{needed}; the next declared look is at {schedule.next} seeds{beyond}", _command(plan, schedule.next)


def _wanted(row: Mapping[str, Any]) -> float:
    """The number of seeds that a row asks for: infinite where it is not known, 0 where it asks for none."""
    needed = float(row["seeds_needed"])
    if row["verdict"] == "underpowered":
        return needed
    if row["verdict"] == "cannot decide" and str(row["reason"]).startswith(TOO_FEW_PAIRS):
        return math.inf if math.isnan(needed) else needed
    return 0.0


def _command(plan: Plan, size: int) -> str:
    """The command that trains the study with ``size`` seeds."""
    name = plan.study.name.partition("+")[0]
    return f"snakemake --cores all --config study={name} overrides={_overrides(plan, size)}"


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
