"""The user's errors: one line, with the nearest and all valid choices."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from notafluke.errors import UsageError, did_you_mean


def test_nearest_and_sorted_choices() -> None:
    assert did_you_mean("irsi", ["tanh", "iris", "gelu"]) == "; did you mean 'iris'? valid: gelu, iris, tanh"


def test_nothing_near() -> None:
    assert did_you_mean("42", ["tanh", "iris"]) == "; valid: iris, tanh"


def test_no_choices() -> None:
    assert did_you_mean("42", []) == "; there is nothing to choose from"


@pytest.mark.parametrize("written", ["close", "CLOSE", "Clsoe", "Cloze"])
def test_case_does_not_matter(written: str) -> None:
    assert did_you_mean("Close", [written, "Date"]).startswith(f"; did you mean {written!r}?")


def test_long_lists_are_complete() -> None:
    choices = [f"option_{number:03}" for number in range(300)]
    assert did_you_mean("other", reversed(choices)).endswith("valid: " + ", ".join(choices))


def test_not_a_string() -> None:
    assert did_you_mean(None, ["none_rule", "None"]) == "; did you mean 'None'? valid: None, none_rule"


def test_one_line_and_picklable() -> None:
    error = UsageError("a cell holds\nanother line\r\nor two")
    assert str(error) == "a cell holds another line or two"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_needs_only_the_standard_library() -> None:
    code = "import sys, notafluke.errors; assert not {'numpy', 'torch', 'pandas', 'hydra'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
