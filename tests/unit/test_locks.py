"""Who works in a folder, by real processes; and the lock that a killed snakemake leaves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from notafluke import locks
from notafluke.errors import UsageError


@contextmanager
def process(folder: Path, name: str, *arguments: str) -> Iterator[int]:
    """A program of this name that sleeps in a folder."""
    program = folder / "bin" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text("import sys, time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    command = [sys.executable, "-S", str(program), *arguments]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None and started.stdout.readline() == "ready\n"
            yield started.pid
        finally:
            started.kill()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / locks.LOCKS).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["/x/.venv/bin/python", "-m", "snakemake", "--cores", "2"], "snakemake"),
        (["python3.12", "/x/.venv/bin/snakemake", "-c2"], "snakemake"),
        (["/x/bin/snakemake"], "snakemake"),
        (["python", "-u", "-m", "notafluke.train", "task=adding"], "notafluke.train"),
        (["python", "/x/bin/notafluke", "train-cells", "demo"], "notafluke train-cells"),
        (["python", "/x/bin/notafluke", "show", "demo"], ""),
        (["grep", "snakemake"], ""),
        (["python", "-X", "dev", "-m", "snakemake"], "snakemake"),
        (["python", "-Xdev", "-W", "error", "/x/bin/snakemake"], "snakemake"),
        (["python", "-m", "notafluke.cli", "train", "task=adding"], "notafluke train"),
        (["python", "/x/src/notafluke/cli.py", "train"], ""),
        (["python", "/x/bin/notafluke", "--debug", "train"], "notafluke train"),
        (["/x/bin/notafluke", "plan", "demo", "--estimate"], "notafluke plan"),
        (["/x/bin/notafluke", "plan", "demo"], ""),
        (["/x/bin/notafluke", "show", "train"], ""),
        (["python", "-c", "import snakemake"], ""),
        (["python", "-c", "x", "-m", "snakemake"], ""),
        (["python", "other.py", "snakemake"], ""),
        (["python"], ""),
        ([], ""),
    ],
)
def test_command_lines(arguments: list[str], expected: str) -> None:
    assert locks.worker_name(arguments) == expected


def test_a_snakemake_that_works_here_is_found_and_one_elsewhere_is_not(here: Path) -> None:
    other = here / "other"
    other.mkdir()
    with process(other, "snakemake"):
        assert locks.workers() == []
        with process(here, "snakemake") as pid:
            assert locks.workers() == [locks.Worker(pid, "snakemake")]
    assert locks.workers() == []


def test_nothing_is_unlocked_or_removed_while_somebody_works(here: Path) -> None:
    lock = here / locks.LOCKS / "0.output.lock"
    lock.write_text("results/x\n")
    assert locks.lock_hint().startswith(
        "this folder is locked by a snakemake that was killed; nothing recorded is lost"
    )
    with process(here, "notafluke", "train-cells") as pid:
        found = f"notafluke train-cells (process {pid})"
        with pytest.raises(UsageError) as caught:
            locks.unlock()
        assert str(caught.value).startswith(f"unlock: not while {found} works in this folder")
        assert f"{found} works in it" in locks.lock_hint()
    assert lock.exists()


def test_without_a_lock_there_is_nothing_to_do(here: Path) -> None:
    assert locks.lock_hint() == "" and locks.unlock() is False


def test_the_lock_is_removed_by_snakemake_without_a_plan(here: Path) -> None:
    lock = here / locks.LOCKS / "0.output.lock"
    lock.write_text("results/x\n")
    (here / "Snakefile").write_text("raise SystemExit('the study is broken')\n")
    assert locks.unlock() is True and not lock.exists()


def test_what_snakemake_says_is_told_when_it_cannot_unlock(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, python = here / locks.LOCKS / "0.output.lock", here / "python"
    lock.write_text("results/x\n")
    python.write_text("#!/bin/sh\necho no permission >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(UsageError) as caught:
        locks.unlock()
    assert str(caught.value).startswith(
        "snakemake --unlock failed: no permission; the lock is the folder .snakemake/locks"
    )
    assert lock.exists()
