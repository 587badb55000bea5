"""The regression guard of the benchmarks: what counts as a regression, and against what."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, imported as the scripts of benchmarks/ import each other."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import guard

    yield guard
    for name in {"guard", "measuring", "pages"} - before:
        sys.modules.pop(name, None)


def ratio(guard: Any, name: str, median: float, at_most: bool = False, guarded: bool = True) -> Any:
    spread = sys.modules["measuring"].Spread(median, median, median)
    return guard.Ratio(name, spread, at_most=at_most, guarded=guarded)


@pytest.mark.parametrize(
    ("measured", "at_most", "regressed"),
    [(7.0, False, False), (6.9, False, True), (30.0, False, False), (14.0, True, False), (14.1, True, True)],
)
def test_regression_is_beyond_the_tolerance_on_the_bad_side(
    guard: Any, measured: float, at_most: bool, regressed: bool
) -> None:
    [found] = guard.compare([ratio(guard, "a", measured, at_most)], {"a": 10.0})
    assert found.regressed is regressed
    assert guard.exit_code([found]) == int(regressed)
    assert ("REGRESSION" in found.row()) is regressed


def test_only_guarded_ratios_are_compared(guard: Any) -> None:
    measured = [ratio(guard, "a", 1.0, guarded=False), ratio(guard, "b", 1.0)]
    assert [own.name for own in guard.compare(measured, {"a": 10.0, "b": 1.0})] == ["b"]


def test_what_is_not_stored_is_no_regression_but_alone_no_success(guard: Any) -> None:
    new, known = guard.compare([ratio(guard, "new", 1.0), ratio(guard, "known", 1.0)], {"known": 1.0})
    assert not new.regressed
    assert "nothing stored" in new.row()
    assert guard.exit_code([new, known]) == 0
    assert guard.exit_code([new]) == guard.exit_code([]) == 2


def test_quick_ratios_of_a_standard_measurement_go_before_its_own(guard: Any, tmp_path: Path) -> None:
    def entry(name: str, median: float) -> dict[str, Any]:
        return {"name": name, "value": {"median": median, "low": median, "high": median}}

    one = {"ratios": [entry("a", 1.0), entry("b", 2.0)], "details": {"quick": [entry("a", 3.0)]}}
    other = {"ratios": [entry("c", 4.0)], "details": {}}
    for name, tree in (("one", one), ("other", other)):
        (tmp_path / f"{name}.json").write_text(json.dumps(tree), encoding="utf-8")
    assert guard.stored_ratios(tmp_path) == {"a": 3.0, "b": 2.0, "c": 4.0}


def test_every_part_can_be_measured_quickly(guard: Any) -> None:
    for part in guard.PARTS:
        tree = ast.parse((guard.STORED.parents[1] / f"{part}.py").read_text(encoding="utf-8"))
        assert "quick_ratios" in {own.name for own in tree.body if isinstance(own, ast.FunctionDef)}, part
