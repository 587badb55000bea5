"""Where a study stands, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from notafluke.report.listing import simple_table
from notafluke.status import CONTENT, DAMAGED, FAILED, MISSING, RunState, Status, reasons

HEADINGS = ("done", "diverged", *FAILED, DAMAGED, MISSING, "stale")
SHOWN = 12
"""Lines of reasons before the rest is only counted; --json has all."""


def status_page(status: Status) -> RenderableType:
    """A table of the runs of each task, the reasons of those that failed, and the commands that finish the study."""
    table = simple_table("task", *HEADINGS)
    for task in dict.fromkeys(run.task for run in status.runs):
        table.add_row(task, *_numbers(status, task))
    if len(table.rows) > 1:
        table.add_row("all", *_numbers(status, None))
    parts: list[RenderableType] = [table, Text()]
    lines = [*_failures(status), *_unfinished(status), *_stale(status)]
    parts += [Text(line) for line in lines]
    parts += [Text(), *(Text(line) for line in _ending(status))] if lines else map(Text, _ending(status))
    return Group(*parts)


def _numbers(status: Status, task: str | None) -> list[str]:
    counts = status.counts(task)
    stale = sum(own.runs for own in status.stale if task in (None, own.task))
    done = counts[CONTENT[0]] + counts[CONTENT[1]]
    numbers = [done, counts[CONTENT[1]], *(counts[own] for own in (*FAILED, DAMAGED, MISSING)), stale]
    return [str(number) if number else "-" for number in numbers]


def _failures(status: Status) -> list[str]:
    lines = [
        f"{task}: {len(runs)} {state}: {reason or 'no reason recorded'} ({_named(runs)})"
        for (task, state, reason), runs in reasons(status.runs).items()
    ]
    more = [f"and {len(lines) - SHOWN} more reasons: --json shows all"] if len(lines) > SHOWN else []
    return lines[:SHOWN] + more


def _named(runs: Sequence[RunState]) -> str:
    by_arm: dict[str, list[str]] = {}
    for run in runs:
        by_arm.setdefault(run.arm, []).append(str(run.seed))
    shown = [f"{arm} seed {','.join(seeds)}" for arm, seeds in list(by_arm.items())[:3]]
    return "; ".join([*shown, "..."] if len(by_arm) > 3 else shown)


def _unfinished(status: Status) -> list[str]:
    return [
        f"{own.task}: {own.arm}, seeds {','.join(map(str, own.seeds)) or '?'}: has come to {own.where} at {own.written}"
        for own in status.unfinished
    ]


def _stale(status: Status) -> list[str]:
    return [
        f"{own.task}: {own.arm} has {own.runs} stale runs, of older code, data or versions: {own.folder}"
        for own in status.stale
    ]


def _ending(status: Status) -> list[str]:
    counts = status.counts()
    left = sum(counts[own] for own in (*FAILED, DAMAGED, MISSING))
    head = f"{status.study}: {len(status.runs)} runs, " + (_state(status, left))
    if status.working:
        return [f"{head}; {', '.join(status.working)} works in this folder now"]
    locked = ["this folder is locked by a snakemake that was killed; nothing recorded is lost"] if status.locked else []
    verb = "see:" if status.decided and status.synchronised else "finish it with:"
    return [head, *locked, verb, *(f"  {command}" for command in status.commands)]


def _state(status: Status, left: int) -> str:
    if left:
        return f"{left} to train"
    if not status.decided:
        return "all trained, not decided"
    return "all done" if status.synchronised else "all trained and decided, but MLflow may lack some of it"
