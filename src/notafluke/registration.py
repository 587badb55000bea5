"""Decided beforehand: the study as it stood when training first started, and every look at its verdicts.

What is stored carries a checksum. A damaged registration is refused; damaged looks are told above the tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from notafluke.checksums import is_whole, with_checksum
from notafluke.configuration import flatten, read_yaml
from notafluke.errors import UsageError
from notafluke.files import write_atomic
from notafluke.plan import Plan
from notafluke.study import Study, tree_digest

REGISTERED = "registered.yaml"
LOOKS = "looks.jsonl"
_REGISTERED_KEYS = {"registered", "digest", "runs_recorded_before", "study"}
_LOOK_KEYS = {"study", "design", "seeds", "runs", "time"}


def register(plan: Plan) -> None:
    """Store the resolved study at the first start of training under its name; later it is left alone.

    A study whose runs were all recorded before, in other studies, is registered when it is first decided.
    """
    path = plan.folder / REGISTERED
    if path.exists():
        return
    content = {
        "registered": _now(),
        "digest": plan.study.digest,
        "runs_recorded_before": plan.recorded_runs(),
        "study": plan.study.as_text_tree(),
    }
    write_atomic(path, yaml.safe_dump(with_checksum(content), sort_keys=False, allow_unicode=True))


def note_look(plan: Plan) -> None:
    """Append this look (digests of the study with and without its seeds, seeds, runs, time) to ``looks.jsonl``."""
    look = {
        "study": plan.study.digest,
        "design": plan.study.design_digest,
        "seeds": list(plan.study.seeds),
        "runs": plan.recorded_runs(),
        "time": _now(),
    }
    path = plan.folder / LOOKS
    before = path.read_bytes() if path.is_file() else b""
    if before and not before.endswith(b"\n"):
        before += b"\n"
    # Appending could leave half a line where the disk is full.
    write_atomic(path, before + json.dumps(with_checksum(look)).encode() + b"\n")


def cautions(plan: Plan) -> list[str]:
    """What a reader must know before believing the verdicts: changed, late or repeated decisions."""
    return [*_changed(plan), *_late(plan), *_looked_before(plan), *_damaged(plan)]


def registered_study(plan: Plan) -> dict[str, Any] | None:
    """What ``register`` has stored; None where there is nothing yet. Raises UsageError where it is damaged."""
    return _read_registration(plan.folder / REGISTERED)


def _read_registration(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    remedy = "restore it from a backup, or delete it: the study then counts as registered late"
    try:
        content = read_yaml(path)
    except UsageError as error:
        raise UsageError(f"{error}; {remedy}") from error
    if not (is_whole(content) or _is_whole_without_checksum(content)):
        raise UsageError(f"{path} is damaged, its checksum is not that of its content; {remedy}")
    return content


def _is_whole_without_checksum(content: Mapping[str, Any]) -> bool:
    """What was registered before there were checksums has the digest of the study alone."""
    try:
        return set(content) == _REGISTERED_KEYS and content["digest"] == tree_digest(content["study"])
    except TypeError:
        return False


def _changed(plan: Plan) -> list[str]:
    registered = registered_study(plan)
    if registered is None or registered["digest"] == plan.study.digest:
        return []
    before, after = (_readable(tree) for tree in (registered["study"], plan.study.as_text_tree()))
    changes = [
        f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    ]
    runs = max((look["runs"] for look in _looks(plan.folder) if look["study"] == registered["digest"]), default=0)
    runs = max(runs, plan.recorded_runs())
    return [
        f"Changed after {runs} runs: this is not the study that was registered before training. {'; '.join(changes)}"
    ]


def _readable(tree: Mapping[str, Any]) -> dict[str, str]:
    """A study's text as short keys to values; what is set alike in several arms of a task stands once."""
    rest = {key: str(value) for key, value in flatten({**tree, "arms": {}}).items()}
    arms = {
        f"{task}, {arm}: {key}" if key not in tree["arms"][task]["control"] else f"{task}: {key}": str(value)
        for task, own in tree["arms"].items()
        for arm, overrides in reversed(own.items())
        for key, value in overrides.items()
    }
    names = {task: ", ".join(own) for task, own in tree["arms"].items()}
    return {**rest, **{f"arms of {task}": text for task, text in names.items()}, **arms}


def _late(plan: Plan) -> list[str]:
    registered = registered_study(plan)
    before = registered["runs_recorded_before"] if registered else 0
    if not before or _registered_at_an_earlier_look(plan):
        return []
    return [
        f"Registered late: {before} of its runs were recorded before this study was, so its claims are exploratory."
    ]


def _registered_at_an_earlier_look(plan: Plan) -> bool:
    """Whether an earlier declared look of the same design was registered before any of its runs was recorded."""
    for folder in _forms(plan):
        content = _read_registration(folder / REGISTERED)
        if content is None or content["runs_recorded_before"]:
            continue
        seeds = content["study"]["seeds"]
        same_design = Study.from_text_tree("", content["study"]).design_digest == plan.study.design_digest
        if same_design and plan.study.looks and seeds == list(plan.study.seeds)[: len(seeds)]:
            return True
    return False


def _forms(plan: Plan) -> list[Path]:
    """The folders of the study and of its overridden forms."""
    name = plan.study.name.partition("+")[0]
    return [Path(plan.results) / name, *sorted(Path(plan.results).glob(f"{name}+*"))]


def _looked_before(plan: Plan) -> list[str]:
    """Looks at other seeds of the same design, the study's overridden forms included, before the first at these.

    Looks of the declared schedule have their share of alpha and are left out: those at the first seeds of these.
    """
    now, design = list(plan.study.seeds), plan.study.design_digest
    looks = [look for folder in _forms(plan) for look in _looks(folder) if look["design"] == design]
    first = min((look["time"] for look in looks if look["seeds"] == now), default="~")
    before = [look["seeds"] for look in looks if look["seeds"] != now and look["time"] < first]
    undeclared = [seeds for seeds in before if not plan.study.looks or seeds != now[: len(seeds)]]
    if not undeclared:
        return []
    counts = ", ".join(map(str, sorted({len(seeds) for seeds in undeclared})))
    return [f"Exploratory: looked at before with {counts} seeds, without a declared schedule of looks."]


def _damaged(plan: Plan) -> list[str]:
    """Which files of looks are not whole: what stood there is not known."""
    return [
        f"Looks may be missing: {count} of the lines in {folder / LOOKS} {'is' if count == 1 else 'are'} damaged."
        for folder in _forms(plan)
        if (count := sum(look is None for look in _read_looks(folder)))
    ]


def _looks(folder: Path) -> Iterator[dict[str, Any]]:
    return (look for look in _read_looks(folder) if look is not None)


def _read_looks(folder: Path) -> list[dict[str, Any] | None]:
    """The looks of a study's folder in the order of time; None for a line that is damaged, or a file without any."""
    path = folder / LOOKS
    if not path.is_file():
        return []
    return [_look(line) for line in path.read_bytes().split(b"\n") if line] or [None]


def _look(line: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except ValueError:
        return None
    # What was noted before there were checksums has just these keys.
    return content if isinstance(content, dict) and (is_whole(content) or set(content) == _LOOK_KEYS) else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
