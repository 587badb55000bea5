"""A recorded run by its key, by its path or by its id in MLflow."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from notafluke.errors import UsageError
from notafluke.records import METRICS, damage
from notafluke.redaction import redact

SHORTEST = 6
"""Digits of a run key that are enough, where they are the beginning of one run's only."""
_PREFIX = re.compile(rf"[0-9a-f]{{{SHORTEST},64}}")
_MLFLOW_ID = re.compile(r"[0-9a-f]{32}")
# Read as text: it is also found in a record that is damaged, and it saves the reading of thousands of others.
_KEY = re.compile(rb'"run_key": ?"([0-9a-f]{64})"')
_SHOWN = 5


def find_run(text: str, results: Path) -> Path:
    """The folder of a run that is whole.

    ``text`` is a run key or its first digits, a run's folder or its metrics.json, or the id of a run in MLflow. Raises
    UsageError for what is no run, for several, and for a damaged one.
    """
    folder = _by_path(text) or _by_key(text, results)
    if found := damage(folder):
        raise UsageError(f"{folder}: {found}; notafluke retry lets it be trained again")
    return folder


def results_of(folder: Path) -> Path | None:
    """The folder of results that a run's folder lies in; None where it lies somewhere else."""
    place = folder.resolve().parents
    return place[3] if len(place) > 3 and place[2].name == "runs" else None


def _by_path(text: str) -> Path | None:
    """The folder of a path; None for what is none. Raises UsageError for a path without a run."""
    path = Path(text)
    if path.name == METRICS:
        path = path.parent
    try:
        if text and (path / METRICS).is_file():
            return path
        is_cell = os.sep in text and any(path.glob(f"seed=*/{METRICS}"))
    except OSError as error:
        raise UsageError(f"{text}: cannot be read: {error.strerror}") from None
    if os.sep not in text:
        return None
    cell = "; its runs are the folders seed=<n> in it" if is_cell else ""
    raise UsageError(f"{text}: no run is recorded there: it has no {METRICS}{cell}")


def _by_key(text: str, results: Path) -> Path:
    wanted = text.lower()
    if not _PREFIX.fullmatch(wanted):
        raise UsageError(
            f"unknown run {text!r}: name a run key or {SHORTEST} or more of its first digits (0-9, a-f), the folder of "
            "a run, or its id in MLflow"
        )
    places: dict[str, Path] = {}
    for key, folder in recorded_keys(results):
        # The same run may lie in two folders, where what the first is called after has changed since.
        if key not in places or (damage(places[key]) and not damage(folder)):
            places[key] = folder
    found = [key for key in places if key.startswith(wanted)]
    if not found and _MLFLOW_ID.fullmatch(wanted) and (key := _key_in_mlflow(wanted, results)):
        if key not in places:
            raise UsageError(f"{text}: MLflow knows the run {key[:16]}, but {results}/runs has it no more")
        return places[key]
    if not found:
        raise UsageError(f"unknown run {text}{_nearest(wanted, places, results)}")
    if len(found) > 1:
        listed = ", ".join(f"{key[: len(text) + 6]} ({places[key]})" for key in sorted(found)[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise UsageError(f"{text}: {len(found)} runs begin so: {listed}{more}; give more digits")
    return places[found[0]]


def recorded_keys(results: Path) -> Iterator[tuple[str, Path]]:
    """Run keys of all recorded runs with their folders, damaged ones too where the key can be read."""
    for path in sorted((results / "runs").glob(f"*/*/seed=*/{METRICS}")):
        try:
            match = _KEY.search(path.read_bytes())
        except OSError:
            continue
        if match:
            yield match[1].decode(), path.parent


def _nearest(wanted: str, places: dict[str, Path], results: Path) -> str:
    """The end of the error line of a run that is not there."""
    if not places:
        return f": no run is recorded in {results}/runs"
    shown = max(len(wanted), 12)
    near = difflib.get_close_matches(wanted, [key[: len(wanted)] for key in places], n=1)
    if not near:
        return f": none of the {len(places)} runs in {results}/runs begins so; notafluke plan STUDY shows their folders"
    key = next(own for own in places if own.startswith(near[0]))
    return f"; did you mean {key[:shown]} ({places[key]})?"


def _key_in_mlflow(run_id: str, results: Path) -> str:
    """The run key of a run in MLflow; empty where MLflow, if there is one, does not know the id.

    Raises UsageError for a run of MLflow that is not one seed's.
    """
    from notafluke.tracking import local_files, tracking_uri

    uri = tracking_uri(results)
    files = local_files(uri)
    if files and not files[0].exists():
        return ""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        tags = MlflowClient(uri).get_run(run_id).data.tags
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return ""
        reason = redact((str(error).splitlines() or [""])[0])
        raise UsageError(f"{run_id}: this may be a run of MLflow, but MLflow cannot be asked: {reason}") from error
    if key := tags.get("run_key", ""):
        return str(key)
    raise UsageError(f"{run_id}: this run of MLflow is no single run but {tags.get('level', 'of another program')}")
