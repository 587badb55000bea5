"""Scores from elsewhere: a tidy CSV of any tracker, paper or program as the tables that the verdicts are made of."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from notafluke.errors import UsageError, did_you_mean
from notafluke.origin import analysis_rows, provenance_frame
from notafluke.pairing import LARGEST_SCORE
from notafluke.study import BASELINE_PREFIX, CONTROL, Claim, Sesoi, Spending, read_sesoi

ONE_TASK = "task"
SCOPE = "over the seeds given, on these test data"
COLUMN_NAMES = ("task", "treatment", "seed", "score", "status")
INTERRUPTED = "interrupted"
STATUSES: Mapping[str, str] = {
    **dict.fromkeys(("", "ok", "finished", "success", "succeeded", "completed", "complete", "done"), "ok"),
    **dict.fromkeys(("diverged", "nan"), "diverged"),
    **dict.fromkeys(("crashed", "failed", "fail", "failure", "error"), "crashed"),
    **dict.fromkeys(("timeout", "timed_out", "timed out"), "timeout"),
    **dict.fromkeys(("killed", "cancelled", "canceled", "preempted", "interrupted", "pruned"), INTERRUPTED),
    **dict.fromkeys(("running", "queued", "pending", "scheduled"), INTERRUPTED),
}
_OTHER_NAMES = {"status": ("status", "state", "outcome")}
_ERRORS = ("loss", "error", "mse", "rmse", "mae", "perplexity", "nll", "wer", "cer")
_SHOWN_ROWS = 5


@dataclass(frozen=True)
class ExternalStudy:
    """The design of an analysis of scores from elsewhere: what ``claims.decide`` needs of a study."""

    seeds: tuple[int, ...]
    claims: tuple[Claim, ...]
    alpha: float = 0.05
    test: str = "signed_rank"
    correction: str = "holm"
    tune: str = "not known"
    looks: tuple[int, ...] = ()
    spending: Spending = "obrien_fleming"


@dataclass(frozen=True)
class Request:
    """What to analyse: the file, the names of its columns, the control's name and what counts.

    ``columns`` are the file's names of COLUMN_NAMES; ``sesoi`` a number in metric units or a percentage of the
    control's mean, empty for none; ``baseline`` a number that every score is compared with, None for none;
    ``only_common_seeds`` leaves out the seeds that an arm of the task lacks, in place of calling the row incomplete.
    """

    path: Path
    control: str
    metric: str
    lower_is_better: bool
    columns: Mapping[str, str]
    alpha: float = 0.05
    sesoi: Sesoi | None = None
    baseline: float | None = None
    only_common_seeds: bool = False


def request_of(
    path: Path,
    control: str,
    metric: str,
    lower_is_better: bool,
    columns: Mapping[str, str],
    alpha: float,
    sesoi: str,
    baseline: str,
    only_common_seeds: bool,
) -> Request:
    """The request of a command line. Raises UsageError that names the option."""
    if not 0 < alpha < 1:
        raise UsageError(f"--alpha {alpha}: it must lie between 0 and 1, such as 0.05")
    try:
        number = float(baseline) if baseline else None
    except ValueError:
        number = math.nan
    if number is not None and not math.isfinite(number):
        raise UsageError(f"--baseline {baseline}: it must be a number, such as 10.6")
    return Request(
        path=path,
        control=control,
        metric=metric,
        lower_is_better=lower_is_better,
        columns=columns,
        alpha=alpha,
        sesoi=read_sesoi("--sesoi", sesoi) if sesoi else None,
        baseline=number,
        only_common_seeds=only_common_seeds,
    )


@dataclass(frozen=True)
class External:
    """The tables of ``claims.decide`` for scores from elsewhere, and what must be known about them."""

    study: ExternalStudy
    scores: pd.DataFrame
    baselines: pd.DataFrame
    planned: pd.DataFrame
    provenance: pd.DataFrame
    notes: list[str]


def read_scores(request: Request) -> External:
    """Read and check a table of scores. Raises UsageError that names the file, the rows and the valid choices."""
    raw = _read_csv(request.path)
    columns = _columns(raw, request)
    frame = _renamed(raw, columns)
    notes: list[str] = []
    frame = _checked(frame, request, notes)
    planned = _planned(frame, request, notes)
    frame = frame[frame["outcome"] != INTERRUPTED].merge(planned, on=["task", "arm", "seed"])
    if not request.lower_is_better and any(word in request.metric.casefold() for word in _ERRORS):
        notes.append(f"Higher {request.metric} is taken as better; if lower is, add --lower-is-better.")
    scores = frame.assign(
        metric=request.metric,
        direction="lower" if request.lower_is_better else "higher",
        unit="",
        primary=True,
    )
    study = ExternalStudy(
        seeds=tuple(sorted({int(seed) for seed in planned["seed"].unique()})),
        claims=_claims(planned, request),
        alpha=request.alpha,
    )
    rows = [
        ("file", request.path.name),
        ("sha256 of the file", hashlib.sha256(request.path.read_bytes()).hexdigest()),
        ("rows", len(frame)),
        ("control", request.control),
        ("metric", f"{request.metric}, {'lower' if request.lower_is_better else 'higher'} is better"),
        ("columns", ", ".join(f"{own}: {found}" for own, found in columns.items())),
        ("smallest effect size of interest", _sesoi_text(request.sesoi)),
        ("baseline", "none" if request.baseline is None else request.baseline),
        ("seeds", "those of all treatments" if request.only_common_seeds else "all"),
        *analysis_rows(study.alpha, study.test, study.correction),
    ]
    return External(study, scores, _baselines(planned, request), planned, provenance_frame(rows), notes)


def _read_csv(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    try:
        # Blank lines stay, so that the number of a row is that of the file.
        frame = pd.read_csv(
            path,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            skipinitialspace=True,
            skip_blank_lines=False,
        )
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}: line {line} is not UTF-8; save the file as UTF-8") from error
    except pd.errors.EmptyDataError as error:
        raise UsageError(f"{path}: the file is empty") from error
    except pd.errors.ParserError as error:
        raise UsageError(f"{path}: not a CSV file: {str(error).strip()}") from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise UsageError(f"{path}: the rows have more fields than the heading")
    frame = frame.rename(columns=lambda name: str(name).strip())
    if frame.columns.has_duplicates:
        raise UsageError(f"{path}: two columns are called {frame.columns[frame.columns.duplicated()][0]!r}")
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(frame.columns) == 1 and separator in frame.columns[0]:
            raise UsageError(f"{path}: the columns are separated by {name}; they must be by commas")
    frame = frame.fillna("")
    frame = frame[(frame != "").any(axis=1)]
    if frame.empty:
        raise UsageError(f"{path}: the file has a heading and no row")
    return frame


def _columns(frame: pd.DataFrame, request: Request) -> dict[str, str]:
    """The file's names of the wanted columns; task and status may be missing. Upper and lower case are alike.

    A column of the metric's own name holds the scores, unless there is one called score or another is named.
    """
    found = [str(name) for name in frame.columns]
    by_folded = {name.casefold(): name for name in reversed(found)}
    columns = {}
    for own in COLUMN_NAMES:
        wanted = request.columns[own]
        candidates = [wanted]
        if wanted == own:
            candidates += [by_folded[name] for name in _OTHER_NAMES.get(own, (own,)) if name in by_folded]
            candidates += [request.metric] if own == "score" else []
        column = next((name for name in candidates if name in found), None)
        if column is not None:
            columns[own] = column
        elif own not in ("task", "status") or wanted != own:
            option, named = f"--{own}-column", repr(wanted)
            if own == "score" and wanted == own != request.metric:
                wanted, named = request.metric, f"'score' or {request.metric!r}"
                option = "--metric or --score-column"
            raise UsageError(
                f"{request.path}: no column {named} with the {own} (name it with {option}){did_you_mean(wanted, found)}"
            )
    return columns


def _renamed(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """The wanted columns under their own names, line breaks in them as blanks; the index is that of the file's rows."""
    table = pd.DataFrame({own: frame[name].str.split().str.join(" ") for own, name in columns.items()})
    table = table.assign(**{own: value for own, value in (("task", ONE_TASK), ("status", "")) if own not in columns})
    return table.rename(columns={"treatment": "arm"})


def _sesoi_text(sesoi: Sesoi | None) -> str:
    if sesoi is None:
        return "none"
    return f"{100 * sesoi.value:g} % of the control's mean" if sesoi.relative else f"{sesoi.value:g}"


def _checked(frame: pd.DataFrame, request: Request, notes: list[str]) -> pd.DataFrame:
    """Scores as numbers, seeds as whole numbers, statuses as outcomes; every fault names its rows."""
    path = request.path
    for column, name in (("task", "task"), ("arm", "treatment")):
        _refuse(path, frame[column] == "", f"an empty {name}")
    seeds = pd.to_numeric(frame["seed"], errors="coerce")
    _refuse(path, seeds.isna() | (seeds % 1 != 0) | (seeds.abs() > 2**53), "a seed that is no whole number")
    status = frame["status"].str.casefold()
    unknown = ~status.isin(STATUSES.keys())
    if unknown.any():
        value = frame["status"][unknown].iloc[0]
        _refuse(path, unknown, f"unknown status {value!r}", did_you_mean(value, filter(None, STATUSES)))
    outcome = status.map(STATUSES)
    blank = frame["score"].str.casefold().isin(("", "nan", "na", "n/a", "null", "none"))
    score = pd.to_numeric(frame["score"].where(~blank), errors="coerce")
    wrong = score.isna() & ~blank & (outcome == "ok")
    if wrong.any():
        _refuse(path, wrong, f"{frame['score'][wrong].iloc[0]!r} is no number")
    huge = np.isfinite(score) & (score.abs() > LARGEST_SCORE)
    _refuse(path, huge, f"a score beyond {LARGEST_SCORE:g}")
    without = (outcome == "ok") & ~np.isfinite(score)
    if without.any():
        notes.append(f"{_runs(without)} without a finite score count as failed: {_row_list(without)}.")
    interrupted = outcome == INTERRUPTED
    if interrupted.any():
        notes.append(
            f"{_runs(interrupted)} that did not end ({', '.join(sorted(set(status[interrupted])))}) count as absent: "
            f"{_row_list(interrupted)}."
        )
    checked = pd.DataFrame(
        {
            "task": frame["task"],
            "arm": frame["arm"],
            "seed": seeds.astype(np.int64),
            "value": score.where((outcome == "ok") & np.isfinite(score)),
            "outcome": outcome,
        }
    )
    keys = ["task", "arm", "seed"]
    twice = checked.duplicated(keys, keep=False)
    if twice.any():
        first = checked[twice].iloc[0]
        same = (checked[keys] == first[keys]).all(axis=1)
        raise UsageError(
            f"{path}: task {first['task']}, treatment {first['arm']}, seed {first['seed']} stands more than once: "
            f"{_row_list(same)}"
        )
    arms = sorted(set(checked["arm"]))
    if request.control not in arms:
        raise UsageError(
            f"{path}: no row with the treatment {request.control!r}, the control{did_you_mean(request.control, arms)}"
        )
    reserved = [arm for arm in arms if arm.startswith(BASELINE_PREFIX) or arm == CONTROL != request.control]
    if reserved:
        raise UsageError(f"{path}: the treatment name {reserved[0]!r} is reserved; rename it")
    if len(arms) < 2:
        raise UsageError(f"{path}: only the control {request.control!r}: there is no treatment to compare")
    return checked.assign(arm=checked["arm"].where(checked["arm"] != request.control, CONTROL))


def _planned(frame: pd.DataFrame, request: Request, notes: list[str]) -> pd.DataFrame:
    """Every seed of a task for every arm that it has: what an arm lacks is absent, and its rows are incomplete."""
    parts = []
    for task, own in frame.groupby("task", sort=True):
        arms = sorted(set(own["arm"]))
        if CONTROL not in arms:
            notes.append(f"Task {task} has no row of the control: nothing is compared there.")
        seeds = np.unique(own["seed"].to_numpy())
        counts = own["seed"].value_counts()
        if request.only_common_seeds:
            common = np.sort(counts.index[counts == len(arms)].to_numpy())
            if not len(common):
                raise UsageError(f"{request.path}: task {task}: no seed is there for all {len(arms)} treatments")
            if len(common) < len(seeds):
                notes.append(
                    f"Task {task}: {len(seeds) - len(common)} of {len(seeds)} seeds are left out, which some treatment "
                    "lacks (--only-common-seeds). If they are lacking because runs failed, the verdicts are too kind."
                )
            seeds = common
        product = pd.MultiIndex.from_product([[task], arms, seeds], names=["task", "arm", "seed"])
        parts.append(product.to_frame(index=False))
    return pd.concat(parts, ignore_index=True)


def _claims(planned: pd.DataFrame, request: Request) -> tuple[Claim, ...]:
    """Each treatment against the control on the tasks that have both."""
    tasks = {str(arm): tuple(sorted(set(own.astype(str)))) for arm, own in planned.groupby("arm")["task"]}
    claims = []
    for arm in sorted(set(tasks) - {CONTROL}, key=_natural):
        shared = tuple(task for task in tasks[arm] if task in tasks.get(CONTROL, ()))
        sesoi = {task: request.sesoi for task in shared if request.sesoi}
        sentence = f"Treatment {arm} is better than {request.control} in {request.metric}"
        if shared:
            claims.append(Claim(arm, sentence, arm, CONTROL, shared, None, sesoi, "better", "claim"))
    return tuple(claims)


def _baselines(planned: pd.DataFrame, request: Request) -> pd.DataFrame:
    """The baseline of every task and seed; empty without one."""
    rows = planned[["task", "seed"]].drop_duplicates()
    if request.baseline is None:
        rows = rows.iloc[:0]
    return rows.assign(name="baseline", metric=request.metric, value=request.baseline or 0.0, trivial=False)


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts t2 before t10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def _refuse(path: Path, rows: pd.Series, what: str, hint: str = "") -> None:
    """Raise UsageError where any row has a fault, naming the first of them."""
    if rows.any():
        raise UsageError(f"{path}: {what}: {_row_list(rows)}{hint}")


def _runs(rows: pd.Series) -> str:
    count = int(rows.sum())
    return f"{count} run{'s' if count > 1 else ''}"


def _row_list(rows: pd.Series) -> str:
    """The numbers of the marked rows, the first few; the heading is row 1, as in a spreadsheet."""
    numbers = [int(place) + 2 for place in rows.index[rows]]
    shown = ", ".join(map(str, numbers[:_SHOWN_ROWS]))
    more = f" and {len(numbers) - _SHOWN_ROWS} more" if len(numbers) > _SHOWN_ROWS else ""
    return f"row{'s' if len(numbers) > 1 else ''} {shown}{more}"
