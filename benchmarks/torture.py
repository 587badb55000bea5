"""Fault injection: ``python benchmarks/torture.py`` runs tests/torture, counts, and writes ``docs/reliability.md``.

``--trials`` is the number of processes that are killed with SIGKILL, by which the numbers of all other faults go;
``--seed`` chooses moments and damage. Only the standard run (50 trials, all tests) is written to the page; another one
is printed alone. The exit code is 0 where nothing was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from pages import BENCHMARKS, CACHE, markdown_table, write_section

PAGE = BENCHMARKS.parent / "docs" / "reliability.md"
SUPPORT = BENCHMARKS.parent / "tests" / "support"
TRIALS = 50


def main() -> int:
    """Run the tests, print the counts and, after a standard run, write them to the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="pytest's -k")
    parser.add_argument(
        "--go-on", action="store_true", help="after a run that was stopped: only what it had not passed"
    )
    arguments = parser.parse_args()
    faults, passed = CACHE / "faults.jsonl", CACHE / "passed.txt"
    faults.parent.mkdir(parents=True, exist_ok=True)
    if not arguments.go_on:
        passed.unlink(missing_ok=True)
    keep_passed(faults, passed)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "torture",
        "-p",
        "no:xdist",
        "-q",
        "-s",
        "-o",
        "faulthandler_timeout=0",
        "tests/torture",
    ]
    command += [f"--deselect={test}" for test in lines(passed)]
    settings = {"TRIALS": str(arguments.trials), "SEED": str(arguments.seed), "FAULTS": str(faults)}
    settings |= {"PASSED": str(passed), "COMMIT": commit()}
    code = subprocess.run(
        [*command, *(["-k", arguments.only] if arguments.only else [])],
        cwd=BENCHMARKS.parent,
        env={**os.environ, **settings},
        check=False,
    ).returncode
    rows = table_rows(faults)
    text = f"{markdown_table(HEADER, rows)}\n\n{summary(arguments, faults, code)}"
    print(f"\n{text}")
    if arguments.trials == TRIALS and not arguments.only:
        write_section(PAGE, "torture", text)
    return code


HEADER = {"fault": ":--", "where": ":--", "injected": "--:", "survived": "--:", "lost": "--:"}


def lines(file: Path) -> list[str]:
    """The lines of a file, none where it is missing."""
    return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []


def keep_passed(faults: Path, passed: Path) -> None:
    """Leave only the counts of tests that have passed: the others are run again."""
    known = set(lines(passed))
    kept = [line for line in lines(faults) if json.loads(line)["test"] in known]
    faults.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def table_rows(file: Path) -> list[list[str]]:
    """The counts of each kind of fault and place, and their sums."""
    sys.path.insert(0, str(SUPPORT))
    from tally import read

    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for fault in read(file):
        key = fault.kind, fault.place
        injected, survived = counts.get(key, (0, 0))
        counts[key] = injected + fault.injected, survived + fault.survived
    rows = [_row(kind, place, *own) for (kind, place), own in counts.items()]
    total = [sum(own[part] for own in counts.values()) for part in (0, 1)]
    return [*rows, _row("**all**", "", *total)]


def _row(kind: str, place: str, injected: int, survived: int) -> list[str]:
    return [kind, place, f"{injected:,}", f"{survived:,}", f"{injected - survived:,}"]


def summary(arguments: argparse.Namespace, faults: Path, code: int) -> str:
    """What was run, on which code, where and how it ended."""
    found = [json.loads(line) for line in lines(faults)]
    commits = ", ".join(dict.fromkeys(own["commit"] for own in found))
    minutes = sum(own["seconds"] for own in found) / 60
    ended = "all tests passed" if code == 0 else f"**tests failed** (pytest ended with {code})"
    return (
        f"Command: `python benchmarks/torture.py --trials {arguments.trials} --seed {arguments.seed}`; "
        f"commit {commits}; Python {platform.python_version()}, {os.cpu_count()} cores, {minutes:.0f} minutes; {ended}."
    )


def commit() -> str:
    """The code that is tested."""
    dirty = "+changes" if _git("status", "--porcelain", "--untracked-files=no") else ""
    return f"{_git('rev-parse', '--short=12', 'HEAD') or 'unknown'}{dirty}"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=BENCHMARKS, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    sys.exit(main())
