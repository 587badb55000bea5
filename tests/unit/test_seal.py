"""A sealed process cannot look at what is stored, whichever way it tries; what is left open it can use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

READING = [
    "open(stored)",
    "open(os.fsencode(stored), 'rb')",
    "pathlib.Path(stored).read_bytes()",
    "io.open(stored)",
    "os.open(stored, os.O_RDONLY)",
    "open(os.path.relpath(stored))",
    "open(os.path.join(results, 'data', '..', 'runs', 'metrics.json'))",
    "open(link)",
    "os.listdir(runs)",
    "list(os.scandir(runs))",
    "os.open(runs, os.O_RDONLY)",
    "os.open(results, os.O_RDONLY)",
    "os.open('/', os.O_RDONLY)",
    "numpy.load(os.path.join(runs, 'predictions.npz'), allow_pickle=False)",
    "sqlite3.connect(database)",
    "sqlite3.connect(pathlib.Path(database))",
    "sqlite3.connect(f'file:{database}?mode=ro', uri=True)",
    "open(database + '-wal')",
]
CHANGING = [
    "open(stored, 'a')",
    "os.chdir(runs)",
    "os.rename(stored, stored + '.old')",
    "os.rename(outside, stored)",
    "os.link(stored, outside + '.copy')",
    "os.remove(stored)",
    "os.mkdir(os.path.join(runs, 'more'))",
    "shutil.copyfile(stored, outside + '.copy')",
    "shutil.rmtree(runs)",
]
ALLOWED = [
    "open(outside).read()",
    "open(os.path.join(results, 'data', 'arrays')).read()",
    "os.listdir(os.path.join(results, 'data'))",
    "sqlite3.connect(':memory:').execute('select 1')",
    "open(outside + '.new', 'w').write('new')",
    "os.listdir(os.path.dirname(results))",
    "print('all is well', file=open(1, 'w', closefd=False))",
]
PROGRAM = """
import io, os, pathlib, shutil, sqlite3, sys
import numpy
from notafluke.seal import seal

place = sys.argv[1]
results, outside, link = (os.path.join(place, name) for name in ("results", "outside", "link"))
runs, database = os.path.join(results, "runs"), os.path.join(results, "mlflow.db")
stored = os.path.join(runs, "metrics.json")
seal(map(pathlib.Path, CLOSED), [pathlib.Path(results) / "data"])
for attempt in ATTEMPTS:
    try:
        eval(attempt)
    except PermissionError as error:
        assert "sealed" in str(error), (attempt, error)
    else:
        sys.exit(f"{attempt} was not refused")
for attempt in ALLOWED:
    eval(attempt)
"""


def lay_out(place: Path) -> None:
    """A folder of results, something outside of it, and a link into it."""
    for name in ("results/runs", "results/data"):
        (place / name).mkdir(parents=True)
    np.savez(place / "results" / "runs" / "predictions.npz", allow_pickle=False, predictions=np.zeros(3))
    for name in ("runs/metrics.json", "runs-of-another-kind", "data/arrays", "mlflow.db", "mlflow.db-wal"):
        (place / "results" / name).write_text("stored", encoding="utf-8")
    (place / "outside").write_text("outside", encoding="utf-8")
    (place / "link").symlink_to(place / "results" / "runs" / "metrics.json")


@pytest.mark.parametrize("closed", ["[results]", "[runs, *(database + end for end in ('', '-wal'))]"])
def test_a_sealed_process_is_refused_whatever_it_tries(tmp_path: Path, closed: str) -> None:
    place = tmp_path.resolve()
    allowed = [*ALLOWED, *(["open(runs + '-of-another-kind').read()"] if "runs" in closed else [])]
    lay_out(place)
    before = {path: path.read_bytes() for path in (place / "results").rglob("*") if path.is_file()}
    program = f"ATTEMPTS, ALLOWED = {[*READING, *CHANGING]!r}, {allowed!r}\n" + PROGRAM.replace("CLOSED", closed)
    done = subprocess.run(
        [sys.executable, "-c", program, str(place)], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "all is well"
    assert (place / "outside.new").read_text(encoding="utf-8") == "new"
    assert not (place / "outside.copy").exists()
    assert {path: path.read_bytes() for path in (place / "results").rglob("*") if path.is_file()} == before


def test_without_the_seal_they_can_read(tmp_path: Path) -> None:
    lay_out(tmp_path.resolve())
    unsealed = PROGRAM.partition("seal(map")[0] + "for attempt in ATTEMPTS:\n    eval(attempt)"
    command = [sys.executable, "-c", f"ATTEMPTS = {READING!r}\n{unsealed}", str(tmp_path.resolve())]
    subprocess.run(command, cwd=tmp_path, check=True)
