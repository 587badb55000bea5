"""The last rule: from the run records of a study to its verdicts, tables and figures."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from notafluke.claims import decide, summarise
from notafluke.plan import Plan
from notafluke.report.figures import forest, save
from notafluke.report.tables import write_significance
from notafluke.scores import collect, planned_runs

EXPLORATORY = "exploratory"


def decide_study(plan: Plan) -> list[Path]:
    """Write tables and figures of a study, and note the look; returns the files. Absent runs show as incomplete."""
    decisions, summary, scores, baselines = judge(plan)
    notes = [*registration_notes(plan), *look_notes(plan), *plan.warnings]
    figure = forest(decisions, scores, baselines, planned_runs(plan), title=plan.study.title)
    figures = save(figure, plan.folder / "figures", "forest")
    svg = figures[0].read_bytes()
    tables = write_significance(decisions, scores, summary, plan.folder / "tables", plan.study.title, notes, svg)
    note_look(plan, scores)
    return [*tables, *figures]


def judge(plan: Plan) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Decisions, their summary by claim, and the scores and baselines that they rest on."""
    scores, baselines = collect(plan)
    decisions = decide(plan.study, scores, baselines, planned_runs(plan))
    return decisions, summarise(decisions), scores, baselines


def registration_notes(plan: Plan) -> list[str]:
    """Say so when the study has changed since its training first started, with the lines that differ."""
    path = plan.folder / "registered.yaml"
    if not path.is_file():
        return []
    registered = yaml.safe_load(path.read_text(encoding="utf-8"))
    if registered["digest"] == plan.study.digest:
        return []
    before, after = (
        yaml.safe_dump(tree, sort_keys=True).splitlines() for tree in (registered["study"], plan.study.as_text_tree())
    )
    changed = [line for line in difflib.unified_diff(before, after, lineterm="", n=0) if line[:2] not in ("--", "++")]
    runs = len(plan.metrics_files()) - len(plan.missing())
    # The same change stands in many arms: tell it once.
    lines = "; ".join(dict.fromkeys(" ".join(line.split()) for line in changed if not line.startswith("@@")))
    return [f"Changed after {runs} runs: this is not the study that was registered before training. {lines}"]


def look_notes(plan: Plan) -> list[str]:
    """Say so when verdicts of this study were looked at before with fewer seeds: they are exploratory then."""
    now, design = len(plan.study.seeds), plan.study.design_digest
    earlier = sorted({look["seeds"] for look in looks(plan) if look["design"] == design and look["seeds"] < now})
    if not earlier:
        return []
    counts = ", ".join(map(str, earlier))
    return [f"{EXPLORATORY.capitalize()}: seeds were added after looks at {counts} seeds, without a declared schedule."]


def looks(plan: Plan) -> Iterator[dict[str, Any]]:
    """All looks at this study and at its overridden forms."""
    name = plan.study.name.partition("+")[0]
    for folder in [Path(plan.results) / name, *sorted(Path(plan.results).glob(f"{name}+*"))]:
        path = folder / "looks.jsonl"
        if path.is_file():
            yield from (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line)


def note_look(plan: Plan, scores: pd.DataFrame) -> None:
    """Append this look (digests of the study with and without its seeds, seeds, runs, time) to ``looks.jsonl``."""
    look = {
        "study": plan.study.digest,
        "design": plan.study.design_digest,
        "seeds": len(plan.study.seeds),
        "runs": int(scores["run_key"].nunique()),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with (plan.folder / "looks.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(look) + "\n")
