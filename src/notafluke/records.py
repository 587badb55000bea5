"""Run records: the files below ``results/runs/`` that are the truth about every run.

A run's folder holds ``config.yaml`` (resolved configuration), ``history.csv`` (one line an epoch),
``predictions.npz`` (test predictions of the best epoch, with their index and what the task says of each sample),
``samples/`` (what the network wrote by itself, where the task asks for it), ``weights.pt`` (trainer.keep=best) and,
written last, ``metrics.json`` with the digests of all of them and its own checksum.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from notafluke.checksums import is_whole, with_checksum, without_checksum
from notafluke.files import write_together
from notafluke.names import require_file_names

SERIES = "by_sample/"
"""Before the names of series in ``predictions.npz``."""
SAMPLES = "samples"
WEIGHTS = "weights.pt"
METRICS = "metrics.json"


@dataclass(frozen=True)
class RunRecord:
    """The content of one ``metrics.json``.

    ``metrics`` are test metrics of the best validation epoch, empty unless the outcome is ``ok``; ``validation`` the
    validation metrics of that epoch; ``seconds`` the run's share of its block's wall time; ``weight_digest`` sha256
    of the weights after the last epoch; ``learning_rate`` the optimizer's, None where it has none, and
    ``at_grid_edge`` whether it was chosen from a grid (tune=lr) and lies at its edge. ``started`` and ``ended`` are
    UTC, ISO 8601; ``deterministic`` is False where ``nondeterminism=allow`` let something train that is not; ``files``
    are the SHA-256 of the run's other files by name.
    """

    run_key: str
    cell_key: str
    task: str
    changes: Mapping[str, str]
    seed: int
    outcome: str
    reason: str
    last_epoch: int
    best_epoch: int
    primary_metric: str
    directions: Mapping[str, str]
    units: Mapping[str, str]
    metrics: Mapping[str, float]
    validation: Mapping[str, float]
    baselines: Sequence[Mapping[str, Any]]
    parameters: int
    seconds: float
    weight_digest: str
    provenance: Mapping[str, Any]
    learning_rate: float | None = None
    at_grid_edge: bool = False
    started: str = ""
    ended: str = ""
    deterministic: bool = True
    files: Mapping[str, str] = field(default_factory=dict)


def write_record(
    folder: Path,
    record: RunRecord,
    config: Mapping[str, Any],
    history: Sequence[Mapping[str, float]],
    predictions: np.ndarray | None,
    index: Sequence[str] | None,
    series: Mapping[str, np.ndarray] | None = None,
    samples: Mapping[str, bytes] | None = None,
    weights: bytes | None = None,
) -> None:
    """Write a run's files, ``metrics.json`` last, so that a run that has one is whole.

    ``series`` [samples] by name is stored with the predictions, ``samples`` are files by name, ``weights`` is the
    content of ``weights.pt``. Raises StorageError where something cannot be stored, and UsageError for names of
    samples that are no names of files.
    """
    contents = {
        "config.yaml": yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True).encode(),
        "history.csv": history_text(history).encode(),
    }
    if predictions is not None:
        buffer = io.BytesIO()
        by_sample = {f"{SERIES}{name}": own for name, own in (series or {}).items()}
        names = np.array(index if index is not None else [])
        np.savez_compressed(buffer, allow_pickle=False, predictions=predictions, index=names, **by_sample)
        contents["predictions.npz"] = buffer.getvalue()
    require_file_names("sample_files", samples or {})
    contents |= {f"{SAMPLES}/{name}": content for name, content in (samples or {}).items()}
    if weights is not None:
        contents[WEIGHTS] = weights
    files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    before = [*(folder / SAMPLES).glob("[!.]*"), folder / "predictions.npz", folder / WEIGHTS]
    outdated = [path for path in before if path.relative_to(folder).as_posix() not in contents]
    contents[METRICS] = record_text(replace(record, files=files)).encode()
    write_together({folder / name: content for name, content in contents.items()}, [folder / METRICS, *outdated])


def record_text(record: RunRecord) -> str:
    """The content of ``metrics.json``."""
    return json.dumps(with_checksum(finite(asdict(record))), indent=1, allow_nan=False) + "\n"


def history_text(history: Sequence[Mapping[str, float]]) -> str:
    """CSV with the column ``epoch`` and one for each metric."""
    buffer = io.StringIO()
    names = list(history[0]) if history else []
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["epoch", *names])
    for epoch, values in enumerate(history):
        writer.writerow([epoch, *(repr(float(values[name])) for name in names)])
    return buffer.getvalue()


def read_record(folder: Path) -> RunRecord | None:
    """The record in a run's folder; None where it is missing, or is not as it was written."""
    try:
        content = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        return RunRecord(**without_checksum(content)) if is_whole(content) else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def damage(folder: Path) -> str:
    """What of a recorded run's files is not as it was written, ``history.csv is damaged``; empty where all is well."""
    record = read_record(folder)
    if record is None:
        return f"{METRICS} is damaged" if (folder / METRICS).exists() else ""
    for name, digest in record.files.items():
        try:
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
                return f"{name} is damaged"
        except OSError:
            return f"{name} is missing"
    return ""


def read_series(folder: Path) -> dict[str, np.ndarray]:
    """What a run's record says of each test sample, by name; nothing where it has no predictions."""
    try:
        with np.load(folder / "predictions.npz", allow_pickle=False) as stored:
            return {name.removeprefix(SERIES): stored[name] for name in stored.files if name.startswith(SERIES)}
    except FileNotFoundError:
        return {}


def read_history(folder: Path) -> list[dict[str, float]]:
    """Metrics by epoch, as written by ``write_record``."""
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items() if name != "epoch"} for row in csv.DictReader(file)]


def finite(content: Any) -> Any:
    """The same with None for numbers that JSON does not have."""
    if isinstance(content, Mapping):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
