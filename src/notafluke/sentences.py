"""Claims in words: the result of each over its tasks, and a sentence that a paper could print."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from notafluke.claims import records
from notafluke.report.columns import SUMMARY_COLUMNS
from notafluke.report.numbers import interval_text, p_equation
from notafluke.study import BASELINE_PREFIX, CONTROL

SCOPE = "over retrainings, on this test period/set"


def summarise(decisions: pd.DataFrame, scope: str = SCOPE, control_name: str = CONTROL) -> pd.DataFrame:
    """Return one row for each declared claim: on how many tasks it holds, the result and a sentence to print.

    ``result`` is ``holds``, ``holds on k of K``, ``contradicted`` (any task gives the opposite), ``does not hold``,
    ``not decided`` (these seeds cannot tell on any task) or ``not decided yet`` (runs are absent). A negative control
    holds where its row is complete and neither ``better``, ``worse`` nor ``mixed``. ``scope`` is what the sentences
    generalise to, ``control_name`` what they call the study's control.
    """
    declared = decisions[decisions["family"] != "exploratory"]
    rows = [_summary_row(records(group), scope, control_name) for _, group in declared.groupby("claim", sort=False)]
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))


def with_run_keys(summary: pd.DataFrame, decisions: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Return the summary with the keys of all runs that each claim rests on, separated by blanks.

    Empty where the scores have no run keys: they are from elsewhere.
    """
    keys: dict[str, list[str]] = {claim: [] for claim in summary["claim"]}
    if "run_key" in scores:
        ordered = scores.sort_values(["task", "arm", "seed"], kind="stable")
        by_arm = {key: list(dict.fromkeys(part["run_key"])) for key, part in ordered.groupby(["task", "arm"])}
        for row in records(decisions):
            for arm in (row["treatment"], row["control"]):
                if row["claim"] in keys:
                    keys[row["claim"]] += by_arm.get((row["task"], arm), [])
    return summary.assign(run_keys=[" ".join(dict.fromkeys(keys[claim])) for claim in summary["claim"]])


def _summary_row(rows: list[dict[str, Any]], scope: str, control_name: str) -> dict[str, Any]:
    """Return the summary of one claim from its rows."""
    held = sum(row["result"] == "holds" for row in rows)
    if any(row["result"] == "contradicted" for row in rows):
        result = "contradicted"
    elif any(row["verdict"] == "incomplete" for row in rows):
        result = "not decided yet"
    elif held == len(rows):
        result = "holds"
    else:
        open_ = all(row["result"] == "not decided" for row in rows)
        result = f"holds on {held} of {len(rows)}" if held else "not decided" if open_ else "does not hold"
    first = rows[0]
    kept = {name: first[name] for name in ("claim", "family", "role", "treatment", "control", "expects")}
    return kept | {
        "tasks": len(rows),
        "held": held,
        "result": result,
        "sentence": _sentence(rows, result, scope, control_name),
    }


def _sentence(rows: list[dict[str, Any]], result: str, scope: str, control_name: str) -> str:
    """Return the sentence that a paper could print: the claim, the result, each task's figures, the scope."""
    first = rows[0]
    control = str(first["control"])
    against = control_name if control == CONTROL else control.replace(BASELINE_PREFIX, "the baseline ")
    counts = {row["pairs_done"] for row in rows}
    common = len(counts) == 1 and not any(row["verdict"] == "incomplete" for row in rows)
    seeds = f" over {first['pairs_done']:.0f} paired seeds" if common else ""
    where = f" on {len(rows)} tasks" if len(rows) > 1 else ""
    tasks = "; ".join(_clause(row, with_seeds=not common) for row in rows)
    tuned = {"none": " at the control's learning rate,", "lr": " each arm at the learning rate it chose on validation,"}
    rate = tuned.get(str(first["tune"]), "")
    claim = str(first["sentence"]).strip().rstrip(".")
    if claim.split(" ")[0].isalpha():
        claim = claim[:1].upper() + claim[1:]
    return f"{claim}: {result} ({first['treatment']} against {against}{seeds}{where}: {tasks}),{rate} {scope}."


def deciding_p(row: Mapping[str, Any]) -> str:
    """Return the adjusted p that the verdict rests on, in words; empty where there is none."""
    if row["verdict"] == "equivalent":
        return p_equation("adjusted p of equivalence", row["p_tost_holm"])
    return "" if math.isnan(row["p_holm"]) else p_equation("adjusted p", row["p_holm"])


def few_words(row: Mapping[str, Any]) -> str:
    """Return what stands below a verdict in a figure: what is absent, why it cannot be decided, or the adjusted p."""
    if row["verdict"] == "incomplete":
        return f"{row['pairs_done']:.0f} of {row['pairs_planned']:.0f} pairs"
    if row["verdict"] == "cannot decide":
        return str(row["reason"]).split(":")[0]
    return deciding_p(row).replace("adjusted", "adj.")


def failures_in_words(row: Mapping[str, Any]) -> list[str]:
    """Return the failures of each arm, the treatment's without saying so."""
    return [part.removeprefix("treatment: ") for part in str(row["failures"]).split("; ") if part]


def _clause(row: dict[str, Any], with_seeds: bool) -> str:
    """Return one task's verdict with its figures."""
    verdict = f"{row['task']} {row['verdict']}" + (f" ({row['verdict_suffix']})" if row["verdict_suffix"] else "")
    if row["verdict"] == "incomplete":
        return f"{verdict}, {row['pairs_done']:.0f} of {row['pairs_planned']:.0f} pairs recorded"
    figures = [f"{row['pairs_done']:.0f} paired seeds"] if with_seeds else []
    if not math.isnan(row["delta"]):
        unit = f" {row['unit']}" if row["unit"] not in ("", row["metric"]) else ""
        change = interval_text(row["delta"], row["delta_low"], row["delta_high"])
        figures.append(f"{row['metric']} {change}{unit}")
    if p_words := deciding_p(row):
        figures.append(p_words)
    if row["failures"]:
        figures.append(row["failures"].replace("; ", ", "))
    return ", ".join([verdict, *figures])
