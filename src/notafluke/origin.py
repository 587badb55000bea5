"""What the tables rest on: the study's text, the code and machines of its runs, the packages that analysed them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import pandas as pd

from notafluke.overall import ANALYSIS_SEED
from notafluke.plan import Plan
from notafluke.registration import registered_study
from notafluke.report.columns import PROVENANCE_COLUMNS

ANALYSIS_PACKAGES = ("notafluke", "numpy", "scipy", "pandas", "arch")


def study_provenance(plan: Plan, runs: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The provenance of a study's tables: PROVENANCE_COLUMNS, one row for each thing. ``runs`` are the runs' own."""
    study = plan.study
    registered = registered_study(plan) or {}
    rows = [
        ("study", study.name),
        ("study digest", study.digest),
        ("registered", registered.get("registered", "not yet")),
        ("registered digest", registered.get("digest", "")),
        ("runs recorded before the registration", registered.get("runs_recorded_before", "")),
        ("seeds", " ".join(map(str, study.seeds))),
        ("declared looks", " ".join(map(str, study.looks)) or "one"),
        ("runs recorded", f"{len(runs)} of {len(plan.metrics_files())}"),
        ("git commit of the runs", _counted(run.get("git_commit") or "unknown" for run in runs)),
        ("runs from an uncommitted change", sum(bool(run.get("git_dirty")) for run in runs)),
        ("Python of the runs", _counted(run.get("python", "unknown") for run in runs)),
        ("platform of the runs", _counted(run.get("platform", "unknown") for run in runs)),
        ("CPU of the runs", _counted(run.get("cpu") or "unknown" for run in runs)),
        ("CPU capability of the runs", _counted(run.get("cpu_capability", "unknown") for run in runs)),
        *([("GPU of the runs", _counted(run.get("gpu") or "none" for run in runs))] if _on_gpu(runs) else []),
        *_packages(runs),
        *analysis_rows(study.alpha, study.test, study.correction),
    ]
    return provenance_frame(rows)


def analysis_rows(alpha: float, test: str, correction: str) -> list[tuple[str, object]]:
    """What was done to the scores, and with which packages."""
    return [
        ("alpha", alpha),
        ("test", test),
        ("correction", correction),
        ("analysis seed", ANALYSIS_SEED),
        *((f"{package} of the analysis", version(package)) for package in ANALYSIS_PACKAGES),
    ]


def provenance_frame(rows: Iterable[tuple[str, object]]) -> pd.DataFrame:
    """Rows as the table of provenance."""
    return pd.DataFrame([(what, str(value)) for what, value in rows], columns=list(PROVENANCE_COLUMNS))


def _on_gpu(runs: Sequence[Mapping[str, Any]]) -> bool:
    return any(run.get("gpu") for run in runs)


def _packages(runs: Sequence[Mapping[str, Any]]) -> list[tuple[str, object]]:
    names = dict.fromkeys(name for run in runs for name in run.get("packages", {}))
    return [(f"{name} of the runs", _counted(run.get("packages", {}).get(name, "?") for run in runs)) for name in names]


def _counted(values: Iterable[object]) -> str:
    """A value that all runs share, or each with its number of runs, the most frequent first."""
    counts = sorted(Counter(map(str, values)).items(), key=lambda item: (-item[1], item[0]))
    if len(counts) == 1:
        return counts[0][0]
    return ", ".join(f"{value} ({count} runs)" for value, count in counts) or "no run"
