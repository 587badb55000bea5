"""The published reference cases under reference/, and how a result is compared with them."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REFERENCE = Path(__file__).parent / "reference"


@dataclass(frozen=True)
class Case:
    input: dict[str, Any]
    expected: dict[str, dict[str, Any]]
    checked: set[str] = field(default_factory=set)

    def params(self, name: str) -> dict[str, Any]:
        return self.expected[name]["params"]

    def check(self, name: str, result: Any) -> None:
        """Compare with the printed value within its tolerance and, unless drawn, with the precise one to 1e-6."""
        entry = self.expected[name]
        self.checked.add(name)
        if entry["tolerance"] == "exact":
            assert result == entry["published"], name
            return
        result = np.asarray(result, dtype=float)
        assert result.shape == np.shape(entry["published"]), name
        ((kind, tolerance),) = entry["tolerance"].items()
        np.testing.assert_allclose(result, entry["published"], **{"rtol": 0, f"{kind[0]}tol": tolerance}, err_msg=name)
        if entry.get("note") != "Monte-Carlo":
            np.testing.assert_allclose(result, entry["recomputed"], rtol=1e-6, atol=0, err_msg=name)


@pytest.fixture(scope="session")
def reference() -> Callable[[str], Case]:
    def load(name: str) -> Case:
        content = json.loads((REFERENCE / f"{name}.json").read_text(encoding="utf-8"))
        return Case(content["input"], {entry["name"]: entry for entry in content["expected"]})

    return load
