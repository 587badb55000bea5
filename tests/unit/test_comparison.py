"""Two runs compared bit by bit: each kind of difference is found at its place, and a run is identical to itself."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_record import RECORD as EXAMPLE
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from notafluke.comparison import (
    Comparison,
    StoredRun,
    compare_results,
    configuration_differences,
    read_run,
    same_bits,
    surroundings_differences,
)
from notafluke.records import write_record
from notafluke.report.comparing import difference_content, reproduction_page, two_runs
from notafluke.reproduction import Reproduction
from notafluke.tuning import Tuning, write_tuning

RECORD = replace(
    EXAMPLE,
    task="stock",
    last_epoch=2,
    best_epoch=1,
    directions={"mse": "lower", "hits": "higher"},
    units={"mse": "%^2", "hits": ""},
    metrics={"mse": 0.1 + 0.2, "hits": 3.0},
    validation={"mse": 1 / 3},
    baselines=[{"name": "mean", "metric": "mse", "value": 1.5, "trivial": True}],
    parameters=1234,
    seconds=0.125,
    provenance={
        "git_commit": "1" * 40,
        "git_dirty": False,
        "python": "3.11.7",
        "packages": {"torch": "2.13.0", "numpy": "2.4.0", "notafluke": "0.1.0"},
        "cpu": "A processor",
        "cpu_capability": "AVX2",
        "lock": "2" * 64,
        "code": "3" * 64,
        "data": {"package": "arch", "version": "8.0.0"},
    },
    learning_rate=0.01,
)
CONFIG = {
    "optimizer": {"_target_": "x.adam", "lr": 0.01, "description": "one", "source": "here"},
    "task": {"_target_": "x.Stock", "source": "arch", "description": "two"},
    "trainer": {"max_epochs": 3},
    "tune": "none",
    "seed": 3,
    "execution": {"results": "results", "device": "cpu", "block_size": 12},
}
ENVIRONMENT = {
    "packages": {"torch": "2.13.0+cpu", "numpy": "2.4.0", "scipy": "1.17.0"},
    "python": {"version": "3.11.7", "build": "main"},
    "platform": {"system": "Linux x86_64", "libc": "glibc 2.36"},
    "torch": {"version": "2.13.0+cpu", "cuda": ""},
    "code": {"commit": "1" * 40, "diff": "", "changed": {}, "untracked": {}},
}
TUNING = Tuning("cd" * 32, "mse", (1, 2), (0.1, 0.3), ((0.5, None), (0.25, 0.75)), 0.3, True)
RUN = StoredRun(
    folder=Path("results/runs/stock/x/seed=3"),
    record=RECORD,
    config=CONFIG,
    history=[{"train_loss": 1.0 / (epoch + 3), "mse": 0.1 * epoch} for epoch in range(3)],
    arrays={
        "predictions": np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2) / 3,
        "index": np.array(["mon", "tue", "wed", "thu"]),
        "by_sample/return": np.linspace(0, 1, 4),
    },
    samples={"samples.txt": "4" * 64},
    tuning=TUNING,
    environment=ENVIRONMENT,
)


def only_difference(comparison: Comparison) -> tuple[str, str, str]:
    (found,) = comparison.differences
    assert not comparison.identical
    return found.name, found.first, found.second


def with_record(**changes: Any) -> StoredRun:
    return replace(RUN, record=replace(RECORD, **changes))


def with_history(epoch: int, name: str, value: float) -> StoredRun:
    history = [dict(row) for row in RUN.history]
    history[epoch][name] = value
    return replace(RUN, history=history)


def with_array(name: str, change: Callable[[np.ndarray], Any]) -> StoredRun:
    array = RUN.arrays[name].copy()
    return replace(RUN, arrays={**RUN.arrays, name: array if (new := change(array)) is None else new})


def test_a_run_is_identical_to_itself_and_all_of_it_was_compared() -> None:
    found = compare_results(RUN, replace(RUN))
    assert found.identical and found.whole and not found.differences
    assert found.compared == (
        "4 scores of the tuning",
        "3 epochs x 2 columns of the history",
        "outcome ok",
        "best epoch",
        "1 validation metric",
        "2 test metrics",
        "1 baseline",
        "4 predictions",
        "1 series over them",
        "1 file that the network wrote",
        f"weight digest {'ef' * 8}",
    )
    assert configuration_differences(RUN, RUN) == surroundings_differences(RUN, RUN) == []


def up(value: float) -> float:
    """The next number: one bit more."""
    return math.nextafter(value, math.inf)


def set_at(place: Any, value: Any) -> Callable[[np.ndarray], None]:
    def change(array: np.ndarray) -> None:
        array[place] = value

    return change


THIRD = float(RUN.arrays["by_sample/return"][1])
PREDICTION = RUN.arrays["predictions"][2, 1]


@pytest.mark.parametrize(
    ("other", "place", "first", "second"),
    [
        (with_record(outcome="diverged"), "outcome", "ok", "diverged"),
        (with_record(outcome="crashed", reason="ValueError: no"), "outcome", "ok", "crashed (ValueError: no)"),
        (with_record(last_epoch=1), "last epoch", "2", "1"),
        (with_record(at_grid_edge=True), "chosen at the edge of the grid", "no", "yes"),
        (with_record(primary_metric="hits"), "primary metric", "mse", "hits"),
        (with_record(directions={"mse": "higher", "hits": "higher"}), "direction, mse", "lower", "higher"),
        (with_record(units={"mse": "%^2"}), "unit, hits", "", "-"),
        (with_record(best_epoch=0), "best epoch", "1", "0"),
        (with_record(weight_digest="00" * 32), "weight digest", "ef" * 32, "00" * 32),
        (with_record(learning_rate=0.03), "learning rate", "0.01", "0.03"),
        (with_record(parameters=1), "parameters", "1234", "1"),
        (with_record(metrics={"mse": 0.3, "hits": 3.0}), "test, mse", "0.30000000000000004", "0.3"),
        (with_record(metrics={"mse": 0.1 + 0.2}), "test, hits", "3.0", "-"),
        (with_record(metrics={"mse": 0.1 + 0.2, "hits": None}), "test, hits", "3.0", "-"),
        (with_record(validation={"mse": up(1 / 3)}), "validation, mse", "0.3333333333333333", "0.33333333333333337"),
        (with_record(baselines=[{**RECORD.baselines[0], "value": 1.6}]), "baseline, mean mse", "1.5", "1.6"),
        (with_history(1, "mse", up(0.1)), "epoch 1 of history.csv, mse", "0.1", repr(up(0.1))),
        (with_history(0, "mse", -0.0), "epoch 0 of history.csv, mse", "0.0", "-0.0"),
        (with_history(2, "train_loss", math.nan), "epoch 2 of history.csv, train_loss", "0.2", "nan"),
        (replace(RUN, history=RUN.history[:2]), "history, number of epochs", "3", "2"),
        (
            replace(RUN, history=[{"mse": row["mse"]} for row in RUN.history]),
            "epoch 0 of history.csv, train_loss",
            "0.3333333333333333",
            "-",
        ),
        (
            with_array("predictions", set_at((2, 1), np.nextafter(PREDICTION, np.float32(2)))),
            "predictions, sample 2 (wed), place [1]",
            str(PREDICTION),
            str(np.nextafter(PREDICTION, np.float32(2))),
        ),
        (
            with_array("predictions", lambda own: own.astype(np.float64)),
            "predictions, form",
            "[4, 2] float32",
            "[4, 2] float64",
        ),
        (with_array("predictions", lambda own: own[:3]), "predictions, form", "[4, 2] float32", "[3, 2] float32"),
        (with_array("index", set_at(3, "fri")), "index, sample 3", "thu", "fri"),
        (with_array("by_sample/return", set_at(1, 7.0)), "by_sample/return, sample 1 (tue)", str(THIRD), "7.0"),
        (
            replace(RUN, arrays={name: own for name, own in RUN.arrays.items() if "/" not in name}),
            "by_sample/return",
            "there",
            "-",
        ),
        (replace(RUN, samples={"samples.txt": "5" * 64}), "samples, samples.txt", "4" * 64, "5" * 64),
        (replace(RUN, samples={}), "samples, samples.txt", "4" * 64, "-"),
        (
            replace(RUN, tuning=replace(TUNING, scores=((0.5, 0.5), (0.25, 0.75)))),
            "tuning, score of learning rate 0.1, seed 2",
            "-",
            "0.5",
        ),
        (
            replace(RUN, tuning=replace(TUNING, rates=(0.1, 0.2))),
            "tuning, learning rates that were tried",
            "0.1, 0.3 with seeds 1, 2",
            "0.1, 0.2 with seeds 1, 2",
        ),
    ],
)
def test_each_kind_of_difference_is_named_with_both_values(
    other: StoredRun, place: str, first: str, second: str
) -> None:
    assert only_difference(compare_results(RUN, other)) == (place, first, second)
    assert only_difference(compare_results(other, RUN)) == (place, second, first)


def test_the_best_weights_are_compared_where_both_were_kept() -> None:
    kept, others = (with_record(files={"weights.pt": digit * 64}) for digit in "12")
    assert only_difference(compare_results(kept, others)) == ("weights.pt", "1" * 64, "2" * 64)
    assert "best weights" in compare_results(kept, kept).compared
    assert compare_results(kept, RUN).identical and compare_results(RUN, kept).identical


def test_the_first_difference_in_time_comes_first() -> None:
    other = replace(with_history(1, "mse", 5.0), record=replace(RECORD, weight_digest="00" * 32, best_epoch=0))
    other = replace(other, tuning=replace(TUNING, scores=((0.6, None), (0.25, 0.75))))
    names = [found.part for found in compare_results(RUN, other).differences]
    assert names == ["tuning", "epoch 1 of history.csv", "best epoch", "weight digest"]


def without_content(outcome: str, epochs: int, **changes: Any) -> StoredRun:
    """The run, that got no further than so many epochs."""
    record = replace(RECORD, outcome=outcome, reason="a reason", metrics={}, weight_digest="", **changes)
    return replace(RUN, record=record, arrays={}, samples={}, history=RUN.history[:epochs])


@pytest.mark.parametrize("outcome", ["crashed", "timeout"])
def test_an_outcome_that_is_no_content_need_not_come_again_but_the_common_epochs(outcome: str) -> None:
    short, longer = without_content(outcome, 2), without_content(outcome, 3)
    for again in (RUN, short, longer, without_content("crashed", 2)):
        found = compare_results(short, again, trained_again=True)
        assert found.identical and not found.whole and found.epochs == 2
        assert found.compared == ("4 scores of the tuning", "2 epochs x 2 columns of the history")
    wrong = replace(longer, history=with_history(1, "mse", 9.0).history)
    found = compare_results(short, wrong, trained_again=True)
    assert only_difference(found) == ("epoch 1 of history.csv, mse", "0.1", "9.0")


@pytest.mark.parametrize("outcome", ["crashed", "timeout"])
@pytest.mark.parametrize("epochs", [0, 2, 3])
@pytest.mark.parametrize("stored", [RUN, replace(with_record(outcome="diverged", metrics={}), arrays={}, samples={})])
def test_content_that_ends_otherwise_when_trained_again_is_never_identical(
    outcome: str, epochs: int, stored: StoredRun
) -> None:
    found = compare_results(stored, without_content(outcome, epochs), trained_again=True)
    assert only_difference(found) == ("outcome", stored.record.outcome, f"{outcome} (a reason)")
    assert not found.whole


@pytest.mark.parametrize("outcome", ["crashed", "timeout"])
def test_the_tuning_alone_makes_no_run_identical(outcome: str) -> None:
    found = compare_results(without_content(outcome, 0), RUN, trained_again=True)
    assert found.compared == ("4 scores of the tuning",) and not found.differences
    assert not found.identical


def test_side_by_side_runs_that_end_otherwise_differ() -> None:
    crashed, timeout = without_content("crashed", 2), without_content("timeout", 2)
    for one, other in ((crashed, RUN), (RUN, crashed), (crashed, timeout)):
        names = [found.name for found in compare_results(one, other).differences]
        assert names[0] == "outcome" and not two_runs(one, other).identical
    longer = compare_results(crashed, without_content("crashed", 3))
    assert only_difference(longer) == ("history, number of epochs", "2", "3")
    assert two_runs(crashed, crashed).identical
    assert difference_content(two_runs(crashed, crashed))["all_compared"] is False


def test_a_choice_of_the_learning_rate_that_only_one_has_is_told() -> None:
    tuned = replace(RUN, config={**CONFIG, "tune": "lr"})
    assert only_difference(compare_results(tuned, replace(tuned, tuning=None))) == ("tuning", "there", "-")
    assert compare_results(tuned, replace(RUN, tuning=None)).identical, "the configurations say that one was not tuned"


def test_a_run_that_ends_while_its_learning_rate_is_chosen_differs_in_the_outcome_alone() -> None:
    tuned = {**CONFIG, "tune": "lr"}
    early = replace(without_content("crashed", 0, learning_rate=0.1), config=tuned, tuning=None)
    found = only_difference(compare_results(replace(RUN, config=tuned), early, trained_again=True))
    assert found == ("outcome", "ok", "crashed (a reason)")
    late = replace(without_content("timeout", 2), config=tuned)
    nothing = compare_results(late, early, trained_again=True)
    assert not nothing.compared and not nothing.differences and not nothing.identical


def test_numbers_that_are_not_finite_are_counted_apart() -> None:
    run = with_record(metrics={"mse": None, "hits": 3.0}, validation={"mse": None})
    found = compare_results(run, run)
    assert found.identical
    names = [name for name in found.compared if "metric" in name]
    assert names == ["1 validation metric not finite", "1 test metric", "1 test metric not finite"]


def test_diverged_runs_share_the_reason() -> None:
    loss, metric = (with_record(outcome="diverged", reason=f"{what} not finite") for what in ("loss", "metric"))
    found = only_difference(compare_results(loss, metric))
    assert found == ("outcome", "diverged (loss not finite)", "diverged (metric not finite)")


def test_diverged_runs_are_compared_as_they_are() -> None:
    diverged = replace(with_record(outcome="diverged", metrics={}), arrays={}, samples={})
    found = compare_results(diverged, diverged)
    assert found.identical and found.whole and "outcome diverged" in found.compared
    assert not any("prediction" in own for own in found.compared)


def test_configurations_are_compared_by_key_without_what_only_describes_or_executes() -> None:
    config: dict[str, Any] = {
        **CONFIG,
        "optimizer": {"_target_": "x.sgd", "lr": 0.03, "momentum": 0.9, "description": "another", "source": "there"},
        "task": {**CONFIG["task"], "source": "own.csv", "description": "another"},  # type: ignore[dict-item]
        "execution": {"results": "elsewhere", "device": "cuda", "block_size": 1},
    }
    found = {own.name: (own.first, own.second) for own in configuration_differences(RUN, replace(RUN, config=config))}
    assert found == {
        "optimizer._target_": ("x.adam", "x.sgd"),
        "optimizer.lr": ("0.01", "0.03"),
        "optimizer.momentum": ("-", "0.9"),
        "task.source": ("arch", "own.csv"),
        "execution.device": ("cpu", "cuda"),
    }


def test_what_is_no_part_of_a_run_is_no_difference_of_configurations_but_the_seed() -> None:
    trainer = {"max_epochs": 3, "time_limit": 60, "keep": "best"}
    other = replace(RUN, config={**CONFIG, "trainer": trainer, "trust": ["own"], "tuning_seeds": 5, "seed": 4})
    assert [found.name for found in configuration_differences(RUN, other)] == ["seed"]
    tuned = [replace(RUN, config={**CONFIG, "tune": "lr", "tuning_seeds": count}) for count in (3, 5)]
    assert [found.name for found in configuration_differences(*tuned)] == ["tuning_seeds"]


def test_a_chosen_learning_rate_is_no_part_of_the_configuration() -> None:
    tuned = [replace(RUN, config={**CONFIG, "tune": "lr", "optimizer": {"lr": rate}}) for rate in (0.1, 0.3)]
    assert configuration_differences(*tuned) == []


def test_surroundings_name_what_differs() -> None:
    record = replace(RECORD, provenance={**RECORD.provenance, "code": "9" * 64, "cpu": "Another", "git_dirty": True})
    environment = {
        **ENVIRONMENT,
        "packages": {**ENVIRONMENT["packages"], "scipy": "1.18.0", "extra": "1"},
        "code": {"changed": {"src/a.py": "7"}, "untracked": {"own.py": "8"}},
    }
    other = replace(RUN, record=record, environment=environment)
    found = {own.name: (own.first, own.second) for own in surroundings_differences(RUN, other)}
    assert found == {
        "code": ("3" * 64, "9" * 64),
        "cpu": ("A processor", "Another"),
        "uncommitted changes": ("no", "yes"),
        "changed file src/a.py": ("-", "7"),
        "untracked file own.py": ("-", "8"),
        "package scipy": ("1.17.0", "1.18.0"),
        "package extra": ("-", "1"),
    }


def test_surroundings_without_their_description_are_compared_by_what_both_records_hold() -> None:
    assert surroundings_differences(RUN, replace(RUN, environment={})) == []
    packages = {**RECORD.provenance["packages"], "torch": "2.14.0"}
    other = replace(RUN, environment={}, record=replace(RECORD, provenance={**RECORD.provenance, "packages": packages}))
    (found,) = surroundings_differences(RUN, other)
    assert (found.name, found.first, found.second) == ("package torch", "2.13.0", "2.14.0")


def test_two_runs_differ_where_only_their_surroundings_do() -> None:
    assert two_runs(RUN, RUN).identical
    other = replace(RUN, record=replace(RECORD, provenance={**RECORD.provenance, "cpu": "Another"}))
    found = difference_content(two_runs(RUN, other))
    assert found["identical"] is False and found["differences"] == found["configuration"] == []
    assert found["surroundings"] == [{"what": "cpu", "first": "A processor", "second": "Another"}]


def test_a_stored_run_is_read_back_and_identical_to_itself(tmp_path: Path) -> None:
    folder = tmp_path / "cell" / "seed=3"
    series = {"return": RUN.arrays["by_sample/return"]}
    index = [str(name) for name in RUN.arrays["index"]]
    record = replace(RECORD, metrics={"mse": math.nan, "hits": 3.0})
    write_record(folder, record, CONFIG, RUN.history, RUN.arrays["predictions"], index, series, {"b.txt": b"text"})
    write_tuning(folder.parent, TUNING)
    stored = read_run(folder)
    assert compare_results(stored, read_run(folder)).identical
    (folder / "samples" / ".DS_Store").write_text("no sample", encoding="utf-8")
    assert read_run(folder).samples == stored.samples
    assert stored.samples == {"b.txt": hashlib.sha256(b"text").hexdigest()}
    assert stored.tuning == TUNING and stored.config == CONFIG
    again = replace(stored, record=replace(RECORD, metrics={"mse": None, "hits": 3.0}))
    assert compare_results(stored, again).identical
    with pytest.raises(FileNotFoundError):
        read_run(tmp_path / "nowhere")


NUMBERS = st.floats(width=64) | st.sampled_from([0.0, -0.0, math.nan, math.inf, 5e-324])
HISTORIES = st.integers(1, 3).flatmap(
    lambda columns: st.lists(
        st.lists(NUMBERS, min_size=columns, max_size=columns).map(
            lambda row: {f"m{number}": value for number, value in enumerate(row)}
        ),
        min_size=1,
        max_size=5,
    )
)


@given(HISTORIES, st.data())
@settings(max_examples=60)
def test_one_changed_number_of_any_history_is_found_where_it_is(
    history: list[dict[str, float]], data: st.DataObject
) -> None:
    run = replace(RUN, history=history)
    assert compare_results(run, replace(run, history=[dict(row) for row in history])).identical
    epoch = data.draw(st.integers(0, len(history) - 1))
    name = data.draw(st.sampled_from(sorted(history[0])))
    value = data.draw(NUMBERS.filter(lambda own: own.hex() != history[epoch][name].hex()))
    changed = [dict(row) for row in history]
    changed[epoch][name] = value
    found = only_difference(compare_results(run, replace(run, history=changed)))
    assert found == (f"epoch {epoch} of history.csv, {name}", repr(history[epoch][name]), repr(value))


@given(st.integers(0, 7), st.integers(0, 31))
def test_one_flipped_bit_of_a_prediction_is_found_where_it_is(position: int, bit: int) -> None:
    changed = RUN.arrays["predictions"].copy()
    changed.view(np.uint32).reshape(-1)[position] ^= np.uint32(1 << bit)
    found = only_difference(compare_results(RUN, replace(RUN, arrays={**RUN.arrays, "predictions": changed})))
    names = RUN.arrays["index"]
    assert found[0] == f"predictions, sample {position // 2} ({names[position // 2]}), place [{position % 2}]"


@given(NUMBERS, NUMBERS)
def test_same_bits_is_the_same_text_in_hexadecimal(one: float, other: float) -> None:
    assert same_bits(one, one)
    assert same_bits(one, other) == (one.hex() == other.hex())


def page_of(stored: StoredRun, again: StoredRun) -> str:
    """What `notafluke reproduce` prints, in one line."""
    found = Reproduction(stored, again, compare_results(stored, again, trained_again=True), (), 1.0, None)
    console = Console(file=io.StringIO(), width=200)
    console.print(reproduction_page(found))
    return " ".join(console.file.getvalue().split())


def test_the_page_says_how_far_a_record_promises_anything() -> None:
    assert "identical: 4 scores of the tuning, 3 epochs" in (text := page_of(RUN, RUN))
    assert "declared" not in text and "no content" not in text
    assert "It was declared not to be reproducible" in page_of(with_record(deterministic=False), RUN)
    crashed = replace(with_record(outcome="crashed", reason="ValueError: no", metrics={}), tuning=None, history=[])
    text = page_of(crashed, RUN)
    assert "Outcome crashed, now ok: crashed and timeout are no content" in text
    assert "nothing to compare" in text and "identical" not in text
    text = page_of(RUN, crashed)
    assert "Outcome ok, now crashed: only the epochs that both have could be compared." in text
    assert "differs, first in: outcome stored ok again crashed (ValueError: no)" in text
    timeout = without_content("timeout", 2)
    text = page_of(timeout, timeout)
    assert "the 2 epochs that both have are identical: 4 scores of the tuning, 2 epochs x 2 columns" in text
    assert "the one epoch that both have is identical: " in page_of(timeout, without_content("timeout", 1))
    assert "no epoch that both have (4 scores of the tuning: no difference)" in page_of(
        without_content("timeout", 0), RUN
    )
    text = page_of(RUN, with_history(1, "mse", 5.0))
    assert "differs, first in: epoch 1 of history.csv, mse stored 0.1 again 5.0" in text
