"""Two runs compared: what they gave, bit by bit, and what they were given. Pure functions on what was recorded."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from notafluke.configuration import NOT_PART_OF_A_RUN, SETTINGS, component_options, flatten
from notafluke.environments import read_environment
from notafluke.records import SAMPLES, SERIES, WEIGHTS, RunRecord, read_history, read_record
from notafluke.tuning import Tuning, read_tuning

CONTENT = ("ok", "diverged")
"""The outcomes that the run itself decides: it comes to the same again. What crashed or ran out of time need not."""
NOTHING = "-"


@dataclass(frozen=True, eq=False)
class StoredRun:
    """All that is recorded of a run.

    ``arrays`` are those of predictions.npz, ``samples`` the SHA-256 of what the network wrote, as recorded,
    ``environment`` the full description of its surroundings (environments), empty where it is not there.
    """

    folder: Path
    record: RunRecord
    config: Mapping[str, Any]
    history: Sequence[Mapping[str, float]]
    arrays: Mapping[str, NDArray[Any]]
    samples: Mapping[str, str]
    tuning: Tuning | None
    environment: Mapping[str, Any]

    @property
    def is_content(self) -> bool:
        """Whether the outcome is what such a run comes to."""
        return self.record.outcome in CONTENT


@dataclass(frozen=True)
class Difference:
    """One thing that two runs do not share, as text; ``part`` says of what it is, ``place`` where in it."""

    part: str
    place: str
    first: str
    second: str

    @property
    def name(self) -> str:
        """Part and place in words."""
        return f"{self.part}, {self.place}" if self.part and self.place else self.part or self.place


@dataclass(frozen=True)
class Comparison:
    """What was compared of the results of two runs, in words, and what differs, the first in time first.

    ``whole``: both outcomes are content, so that all was compared. ``epochs``: how many epochs both have.
    """

    compared: tuple[str, ...]
    differences: tuple[Difference, ...]
    whole: bool
    epochs: int

    @property
    def identical(self) -> bool:
        """Whether the end of the runs was compared, or at least an epoch, and nothing differs."""
        return (self.whole or self.epochs > 0) and not self.differences


def read_run(folder: Path, results: Path | None = None) -> StoredRun:
    """Read a run whose files are whole; the surroundings are those of the folder of results, where it is given.

    Raises FileNotFoundError where nothing is recorded.
    """
    record = read_record(folder)
    if record is None:
        raise FileNotFoundError(folder)
    arrays = {}
    if (folder / "predictions.npz").is_file():
        with np.load(folder / "predictions.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    digest = str(record.provenance.get("environment", ""))
    environment = read_environment(results, digest) if results is not None and digest else None
    return StoredRun(
        folder=folder,
        record=record,
        config=yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")),
        history=read_history(folder),
        arrays=arrays,
        samples={
            name.removeprefix(f"{SAMPLES}/"): digest
            for name, digest in sorted(record.files.items())
            if name.startswith(f"{SAMPLES}/")
        },
        tuning=read_tuning(folder.parent, record.cell_key),
        environment=environment or {},
    )


# ---- what they gave --------------------------------------------------------------------------------------------------


def compare_results(first: StoredRun, second: StoredRun, trained_again: bool = False) -> Comparison:
    """Compare what two runs gave.

    Where an outcome is no content (crashed, timeout), only the choice of the learning rate, the epochs that both have
    and the outcome. ``trained_again``: the second is to be the first once more, so that how it ends and after how many
    epochs need not come again where the first's outcome is no content.
    """
    whole = first.is_content and second.is_content
    compared: list[str] = []
    differences: list[Difference] = []
    parts: list[_Part] = [_tuning, _learning_rate, _history]
    if whole:
        parts += [_number_of_epochs, _rest]
    elif not trained_again:
        parts += [_end, _number_of_epochs]
    elif first.is_content:
        parts.append(_end)
    for part in parts:
        words, found = part(first, second)
        compared += words
        differences += found
    return Comparison(tuple(compared), tuple(differences), whole, min(len(first.history), len(second.history)))


_Part = Callable[[StoredRun, StoredRun], tuple[list[str], list[Difference]]]


def _tuning(first: StoredRun, second: StoredRun) -> tuple[list[str], list[Difference]]:
    one, other = first.tuning, second.tuning
    if one is None or other is None:
        tuned = all(run.config.get("tune") == "lr" for run in (first, second))
        if one is other or not tuned or not (_has_chosen(first) and _has_chosen(second)):
            return [], []
        there = ["there" if own is not None else NOTHING for own in (one, other)]
        return [], [Difference("tuning", "", *there)]
    if (one.rates, one.seeds) != (other.rates, other.seeds):
        tried = [f"{_shown(own.rates)} with seeds {_shown(own.seeds)}" for own in (one, other)]
        return ["tuning"], [Difference("tuning", "learning rates that were tried", *tried)]
    tries = [
        (f"score of learning rate {rate!r}, seed {seed}", own, its)
        for rate, mine, theirs in zip(one.rates, one.scores, other.scores, strict=True)
        for seed, own, its in zip(one.seeds, mine, theirs, strict=True)
    ]
    return [f"{len(tries)} scores of the tuning"], list(_unequal("tuning", tries))[:1]


def _learning_rate(first: StoredRun, second: StoredRun) -> tuple[list[str], list[Difference]]:
    if not (_has_chosen(first) and _has_chosen(second)):
        return [], []
    rates = first.record.learning_rate, second.record.learning_rate
    return [], list(_unequal("learning rate", [("", *rates)]))


def _has_chosen(run: StoredRun) -> bool:
    """Whether the learning rate is the run's own: what ends while it is chosen records the one to start from."""
    return run.config.get("tune") != "lr" or run.tuning is not None or run.is_content


def _history(first: StoredRun, second: StoredRun) -> tuple[list[str], list[Difference]]:
    """The first epoch, and the first column in it, that differs."""
    one, other = first.history, second.history
    epochs = min(len(one), len(other))
    columns = list(dict.fromkeys(name for row in (*one[:1], *other[:1]) for name in row)) if epochs else []
    compared = [f"{_counted(epochs, 'epoch')} x {_counted(len(columns), 'column')} of the history"] if epochs else []
    for epoch in range(epochs):
        cells = [(name, one[epoch].get(name), other[epoch].get(name)) for name in columns]
        for found in _unequal(f"epoch {epoch} of history.csv", cells):
            return compared, [found]
    return compared, []


def _number_of_epochs(first: StoredRun, second: StoredRun) -> tuple[list[str], list[Difference]]:
    return [], list(_unequal("history", [("number of epochs", len(first.history), len(second.history))]))


def _end(first: StoredRun, second: StoredRun) -> tuple[list[str], list[Difference]]:
    """How two runs have ended of which one at least crashed or ran out of time."""
    return [], list(_unequal("outcome", [("", _outcome(first.record), _outcome(second.record))]))


def _rest(first: StoredRun, second: StoredRun) -> tuple[list[str], list[Difference]]:
    """What stands at the end of a run whose outcome is content."""
    one, other = first.record, second.record
    plain = [
        ("outcome", _outcome(one), _outcome(other)),
        ("last epoch", one.last_epoch, other.last_epoch),
        ("best epoch", one.best_epoch, other.best_epoch),
        ("weight digest", one.weight_digest, other.weight_digest),
        ("parameters", one.parameters, other.parameters),
        ("chosen at the edge of the grid", one.at_grid_edge, other.at_grid_edge),
        ("primary metric", one.primary_metric, other.primary_metric),
    ]
    compared = [f"outcome {one.outcome}", "best epoch"]
    differences = [Difference(name, "", _shown(own), _shown(its)) for name, own, its in plain if own != its]
    differences += _unequal("direction", _by_name(one.directions, other.directions))
    differences += _unequal("unit", _by_name(one.units, other.units))
    for what, values in (
        ("validation metric", (one.validation, other.validation)),
        ("test metric", (one.metrics, other.metrics)),
        ("baseline", (_baselines(one), _baselines(other))),
    ):
        rows = _by_name(*values)
        differences += _unequal(what.removesuffix(" metric"), rows)
        compared += _numbers_compared(what, rows)
    for name, own, its in _by_name(first.arrays, second.arrays):
        differences += _array_difference(name, own, its, first.arrays.get("index"))
    if (predictions := first.arrays.get("predictions")) is not None:
        compared.append(_counted(len(predictions), "prediction"))
    if series := sum(name.startswith(SERIES) for name in first.arrays):
        compared.append(f"{series} series over them")
    if first.samples:
        compared.append(f"{_counted(len(first.samples), 'file')} that the network wrote")
    differences += _unequal("samples", _by_name(first.samples, second.samples))
    best = one.files.get(WEIGHTS), other.files.get(WEIGHTS)
    if None not in best:  # whether they are kept is no part of what a run is
        compared.append("best weights")
        differences += _unequal(WEIGHTS, [("", *best)])
    compared.append(f"weight digest {one.weight_digest[:16]}")
    return compared, differences


def _outcome(record: RunRecord) -> str:
    return f"{record.outcome} ({record.reason})" if record.reason else record.outcome


def _numbers_compared(what: str, rows: Sequence[tuple[str, Any, Any]]) -> list[str]:
    """How many numbers there are; a record does not tell those that are not finite (NaN, infinity) from each other."""
    finite = [name for name, own, its in rows if own is not None or its is not None]
    counts = [_counted(len(finite), what)] if finite else []
    return counts + ([f"{_counted(len(rows) - len(finite), what)} not finite"] if len(finite) < len(rows) else [])


def _baselines(record: RunRecord) -> dict[str, float]:
    return {f"{own['name']} {own['metric']}": own["value"] for own in record.baselines}


def _array_difference(
    name: str, own: NDArray[Any] | None, its: NDArray[Any] | None, index: NDArray[Any] | None
) -> Iterator[Difference]:
    """The first sample in which two arrays [samples, ...] differ, bit by bit."""
    if own is None or its is None:
        yield Difference(name, "", *("there" if array is not None else NOTHING for array in (own, its)))
    elif own.shape != its.shape or (own.dtype != its.dtype and own.dtype.kind != "U"):
        yield Difference(name, "form", _form(own), _form(its))
    elif own.size and (unequal := _bits(own) != _bits(its)).any():
        place = tuple(int(part) for part in np.argwhere(unequal)[0])
        named = f" ({index[place[0]]})" if index is not None and len(index) == len(own) and name != "index" else ""
        where = f", place {list(place[1:])}" if len(place) > 1 and own[0].size > 1 else ""
        yield Difference(name, f"sample {place[0]}{named}{where}", _shown(own[place]), _shown(its[place]))


def _bits(array: NDArray[Any]) -> NDArray[Any]:
    """Numbers as the whole numbers that have the same bits, so that -0 and 0 differ and NaN is itself."""
    kind = array.dtype
    return np.ascontiguousarray(array).view(f"u{kind.itemsize}") if kind.kind == "f" and kind.itemsize <= 8 else array


def _form(array: NDArray[Any]) -> str:
    return f"{list(array.shape)} {array.dtype}"


# ---- what they were given --------------------------------------------------------------------------------------------


def configuration_differences(first: StoredRun, second: StoredRun) -> list[Difference]:
    """The keys of two configurations whose values differ, without what only describes or carries out.

    The learning rate that was chosen (tune=lr) is a result, and not among them; the seed is.
    """
    pairs = _by_name(_settings(first), _settings(second))
    return [Difference("", name, _shown(own), _shown(its)) for name, own, its in pairs if own != its]


def _settings(run: StoredRun) -> dict[str, Any]:
    sections = {
        key: component_options(run.config, key) if isinstance(value, Mapping) else value
        for key, value in run.config.items()
        if key == "seed" or key not in NOT_PART_OF_A_RUN
    }
    device = run.config.get("execution", {}).get("device")
    settings = flatten(sections) | {"execution.device": device}
    unused = (*SETTINGS, "optimizer.lr" if run.config.get("tune") == "lr" else "tuning_seeds")
    return {name: value for name, value in settings.items() if name not in unused}


def surroundings_differences(first: StoredRun, second: StoredRun) -> list[Difference]:
    """What differs in code, data, versions and machine, those things first that a run key rests on."""
    full = bool(first.environment and second.environment)
    one, other = _surroundings(first, full), _surroundings(second, full)
    return [Difference("", name, _shown(own), _shown(its)) for name, own, its in _by_name(one, other) if own != its]


def _surroundings(run: StoredRun, full: bool) -> dict[str, Any]:
    """Names and values of all that is known, with the full description or without; what is not recorded is no key."""
    record, known = run.record.provenance, run.environment if full else {}
    code = known.get("code", {})
    packages = known.get("packages", record.get("packages", {}))
    found: dict[str, Any] = {
        "code": record.get("code"),
        **{f"data {name}": value for name, value in record.get("data", {}).items()},
        "data as prepared": record.get("data_digest"),
        **{f"package {name}": packages[name] for name in ("torch", "numpy") if name in packages},
        "cpu": record.get("cpu"),
        "cpu capability": record.get("cpu_capability"),
        "threads": record.get("threads"),
        "gpu": record.get("gpu"),
        "platform": record.get("platform"),
        "libc": known.get("platform", {}).get("libc"),
        "python": record.get("python"),
        "python build": known.get("python", {}).get("build"),
        "torch build": known.get("torch", {}).get("version"),
        "cuda": known.get("torch", {}).get("cuda"),
        "commit": record.get("git_commit"),
        "uncommitted changes": record.get("git_dirty"),
        **{f"changed file {name}": digest for name, digest in code.get("changed", {}).items()},
        **{f"untracked file {name}": digest for name, digest in code.get("untracked", {}).items()},
        "requirements.lock": record.get("lock"),
        **{f"package {name}": value for name, value in packages.items()},
    }
    return {name: value for name, value in found.items() if value not in (None, "")}


# ---- values ----------------------------------------------------------------------------------------------------------


def _unequal(part: str, values: Sequence[tuple[str, Any, Any]]) -> Iterator[Difference]:
    for name, own, its in values:
        if not same_bits(own, its):
            yield Difference(part, name, _shown(own), _shown(its))


def same_bits(own: Any, its: Any) -> bool:
    """Whether two values are the same, numbers to the last bit: -0 is not 0, and NaN is itself."""
    if isinstance(own, float) and isinstance(its, float):
        return struct.pack("<d", own) == struct.pack("<d", its) or (math.isnan(own) and math.isnan(its))
    return type(own) is type(its) and bool(own == its)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _by_name(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Values of both by name, in the order of the first, then what only the second has."""
    return [(name, one.get(name), other.get(name)) for name in dict.fromkeys((*one, *other))]


def _shown(value: Any) -> str:
    """A value at full precision."""
    if value is None:
        return NOTHING
    if isinstance(value, np.floating):
        return str(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    return str(value)
