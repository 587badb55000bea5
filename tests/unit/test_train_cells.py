"""Several cells in one process: one that cannot be trained keeps no other from its training."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from notafluke import train
from notafluke.errors import Stopped, StorageError, UsageError
from notafluke.plan import Cell, Plan
from notafluke.train import train_cells

CELLS = [Cell("adding", {"activation": name}, name, f"results/runs/adding/{name}", "") for name in ("a", "b", "c")]
PLAN = cast("Plan", SimpleNamespace(distinct_cells=CELLS, study=SimpleNamespace(name="tiny", seeds=(0, 1))))
FOLDERS = [cell.folder for cell in CELLS]


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> list[str]:
    """The activation of each cell that is tried; the second cell raises the test's parameter."""
    found: list[str] = []

    def train_cell(overrides: Sequence[str], *_: Any) -> list[Any]:
        found.append(overrides[1].partition("=")[2])
        if found[-1] == "b":
            raise request.param
        return []

    monkeypatch.setattr(train, "train_cell", train_cell)
    return found


@pytest.mark.parametrize("tried", [UsageError("no such file"), ArithmeticError("cursed")], indirect=True)
def test_the_others_are_trained_and_the_failure_is_told_at_the_end(
    tried: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    trained: list[Cell] = []
    with pytest.raises((UsageError, ArithmeticError), match=r"no such file|cursed"):
        trained.extend(cell for cell, _ in train_cells(PLAN, FOLDERS, retrain=False))
    assert tried == ["a", "b", "c"]
    (told,) = caplog.messages
    assert told.startswith("results/runs/adding/b: not trained: ") and ("no such file" in told or "cursed" in told)


@pytest.mark.parametrize("tried", [StorageError("the disk is full"), Stopped(signal.SIGTERM)], indirect=True)
def test_a_full_disk_and_a_signal_end_it_all(tried: list[str]) -> None:
    with pytest.raises((StorageError, Stopped)):
        list(train_cells(PLAN, FOLDERS, retrain=False))
    assert tried == ["a", "b"]
