"""The figures beside the forest plot: every seed is there, what is written is what was measured, nothing overlaps."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from notafluke.plan import make_plan
from notafluke.records import RunRecord, write_record
from notafluke.report import best_of_n, curves, drawing, improvement, profiles, slopes
from notafluke.report.best_of_n import best_of_n_curves
from notafluke.report.curves import ArmCurves, collect_curves, learning_curves
from notafluke.report.figures import svg_bytes
from notafluke.report.improvement import improvement_probabilities
from notafluke.report.profiles import Profile, performance_profiles
from notafluke.report.slopes import slopes as draw_slopes
from notafluke.seed_luck import to_draw
from notafluke.stats import best_of_n as judge_best
from notafluke.stats import expected_maximum

LONG = "activation=golden_tanh,optimizer.lr=0.003"
HOSTILE = "activation=<b>$x_2$|é&</b>"
TWENTY = ["control", *(f"{LONG},model.hidden_size={number}" for number in range(19))]
SVG = "{http://www.w3.org/2000/svg}"


# --- helpers -----------------------------------------------------------------------------------------------------


def texts(figure: Figure | bytes) -> list[str]:
    root = ElementTree.fromstring(figure if isinstance(figure, bytes) else svg_bytes(figure))
    return [" ".join("".join(element.itertext()).split()) for element in root.iter(f"{SVG}text")]


def names(figure: Figure, prefix: str) -> list[str]:
    """The names in the SVG that begin with ``prefix``."""
    root = ElementTree.fromstring(svg_bytes(figure))
    return [name for element in root.iter() if (name := element.get("id", "")).startswith(prefix)]


def artist(figure: Figure, gid: str) -> Line2D:
    (found,) = [line for axes in figure.axes for line in axes.lines if line.get_gid() == gid]
    return found


def points(figure: Figure, gid: str) -> tuple[list[float], list[float]]:
    line = artist(figure, gid)
    return np.asarray(line.get_xdata(), float).tolist(), np.asarray(line.get_ydata(), float).tolist()


def dashes(figure: Figure, gid: str) -> str:
    """The dash pattern of a line as the SVG has it, empty for a solid one."""
    root = ElementTree.fromstring(svg_bytes(figure))
    (group,) = [element for element in root.iter(f"{SVG}g") if element.get("id") == gid]
    style = next(element.get("style", "") for element in group.iter(f"{SVG}path"))
    return next((part for part in style.split("; ") if part.startswith("stroke-dasharray")), "")


def assert_readable(figure: Figure) -> None:
    """No text lies on another one or leaves the page."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in figure.texts]
    for axes in figure.axes:
        labels = [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label, axes.yaxis.label, *axes.texts]
        boxes += [(label.get_text(), label.get_window_extent()) for label in labels if label.get_text()]
    width, height = figure.bbox.width, figure.bbox.height
    for place, (text, box) in enumerate(boxes):
        assert box.x0 >= -0.5 and box.x1 <= width + 0.5 and box.y0 >= -0.5 and box.y1 <= height + 0.5, text
        for other, beside in boxes[:place]:
            across = min(box.x1, beside.x1) - max(box.x0, beside.x0)
            along = min(box.y1, beside.y1) - max(box.y0, beside.y0)
            assert across <= 0 or along <= 1.5, f"{text!r} lies on {other!r}"


# --- data --------------------------------------------------------------------------------------------------------


def table(arm: str, values: list[float], direction: str = "lower", task: str = "toy") -> pd.DataFrame:
    outcome = ["ok" if math.isfinite(value) else "diverged" for value in values]
    known = {"task": task, "arm": arm, "metric": "mse", "direction": direction, "unit": "", "primary": True}
    return pd.DataFrame([known | {"seed": s, "value": values[s], "outcome": outcome[s]} for s in range(len(values))])


def comparison(treatment: str, control: str = "control", **changes: Any) -> dict[str, Any]:
    row = {"task": "toy", "metric": "mse", "unit": "", "direction": "lower", "family": "claims", "role": "claim"}
    row |= {"treatment": treatment, "control": control, "verdict": "no evidence", "verdict_suffix": "", "reason": ""}
    row |= {"failures": "", "p_holm": 0.25, "pairs_done": 4, "pairs_planned": 4}
    return row | changes


def slope_figure(
    arms: dict[str, list[float]], rows: list[dict[str, Any]], direction: str = "lower", baseline: float = 0.5
) -> Figure:
    scores = pd.concat([table(arm, values, direction) for arm, values in arms.items()])
    planned = scores[["task", "arm", "seed"]]
    known = {"task": "toy", "name": "mean", "metric": "mse", "value": baseline, "trivial": True}
    baselines = pd.DataFrame([known | {"seed": seed} for seed in range(max(map(len, arms.values())))])
    decisions = pd.DataFrame([row | {"direction": direction} for row in rows])
    return draw_slopes(decisions, scores, baselines, planned, "Toy")


def arm_curves(arm: str = "control", scale: float = 1.0, seeds: int = 5, **changes: Any) -> ArmCurves:
    rng = np.random.default_rng(len(arm))
    values = scale * (1 + np.exp(-np.arange(8) / 3) + rng.uniform(0, 0.1, (seeds, 8)))
    known: dict[str, Any] = {"task": "toy", "arm": arm, "metric": "mse", "direction": "lower", "curves": values}
    return ArmCurves(**(known | {"best_epochs": np.argmin(values, axis=1)} | changes))


def luck_row(
    arm: str, values: list[float], baseline: float, direction: str = "higher", **changes: Any
) -> dict[str, Any]:
    """A row of table T3, as `seed_luck` makes it."""
    sign = 1 if direction == "higher" else -1
    finite = np.array([value for value in values if math.isfinite(value)])
    row: dict[str, Any] = {"task": "toy", "metric": "mse", "unit": "", "direction": direction, "arm": arm}
    row |= {"n": len(finite), "failed": len(values) - len(finite), "baseline_name": "buy_and_hold"}
    row |= dict.fromkeys(("mean", "sd", "best", "expected_best", "p_single_beats_baseline"), math.nan)
    row |= {"baseline": baseline, "p_best_beats_baseline": math.nan, "verdict": "cannot decide"}
    if len(finite) > 1:
        found = judge_best(sign * finite, sign * baseline)
        row |= {"mean": sign * found.mean, "sd": found.sd, "best": sign * found.best}
        row |= {"expected_best": sign * found.expected_best, "verdict": "best is luck"}
        row |= {"p_single_beats_baseline": found.p_single_beats_baseline}
        row |= {"p_best_beats_baseline": found.p_best_beats_baseline}
    return row | changes


LUCK_KEYS = ["task", "metric", "baseline_name"]


def luck_figure(arms: dict[str, list[float]], baseline: float = 10.6, direction: str = "higher") -> Figure:
    luck = pd.DataFrame([luck_row(arm, values, baseline, direction) for arm, values in arms.items()])
    return best_of_n_curves(luck, pd.concat([table(arm, own, direction) for arm, own in arms.items()]), "Toy")


def overall_row(treatment: str, p: float = 0.6, **changes: Any) -> dict[str, Any]:
    row = {"treatment": treatment, "control": "control", "tasks": 3, "p_improvement": p, "verdict": "no evidence"}
    return row | {"p_improvement_low": p - 0.2, "p_improvement_high": p + 0.2} | changes


def profile(arm: str = "control", shift: float = 0.0, failed: int = 0) -> Profile:
    thresholds = np.linspace(-3, 3, 31)
    share = (1 - failed / 20) / (1 + np.exp(2 * (thresholds - shift)))
    low, high = np.clip(share - 0.1, 0, 1), np.clip(share + 0.1, 0, 1)
    return Profile(arm, thresholds, share, low, high, 20, 4, failed)


EXAMPLES: dict[str, Callable[[], Figure]] = {
    "slopes": lambda: slope_figure(
        {"control": [0.5, 0.6, 0.7, 0.8], LONG: [0.4, 0.7, math.nan, 0.8], HOSTILE: [0.5, 0.6, 0.7, 9.0]},
        [
            comparison(LONG, failures="treatment: 1 of 4 diverged"),
            comparison(HOSTILE, verdict="better", verdict_suffix="negligible"),
            comparison("control", "baseline:mean", verdict="worse"),
            comparison(HOSTILE, LONG, role="negative_control", family="controls", verdict="incomplete"),
        ],
    ),
    "slopes of 20 arms": lambda: slope_figure(
        {arm: [0.5 + place / 100, 0.6, 0.7, 0.8] for place, arm in enumerate(TWENTY)},
        [comparison(arm, role="exploratory", family="exploratory") for arm in TWENTY[1:]],
    ),
    "curves": lambda: learning_curves(
        [arm_curves(), arm_curves(LONG, failed=(True, *[False] * 4), planned=6), arm_curves("far", 1e9)], "Toy"
    ),
    "curves of 20 arms": lambda: learning_curves([arm_curves(arm) for arm in TWENTY]),
    "best of n": lambda: luck_figure({"control": [9.0, 12.0, 5.0], LONG: [9.0, math.nan, 11.0, 40.0], "one": [9.0]}),
    "best of n of 20 arms": lambda: luck_figure({arm: [0.001, 0.0012, 0.0009] for arm in TWENTY}, 0.1667, "lower"),
    "improvement": lambda: improvement_probabilities(
        pd.DataFrame([overall_row(LONG), overall_row(HOSTILE, math.nan, tasks=0), overall_row("x", control=LONG)]),
        "Toy",
    ),
    "improvement of 20 arms": lambda: improvement_probabilities(pd.DataFrame([overall_row(arm) for arm in TWENTY])),
    "profiles": lambda: performance_profiles([profile(LONG, 1), profile(), profile(HOSTILE, -1, 5)], "Toy"),
    "profiles of 20 arms": lambda: performance_profiles([profile(arm, 0.1) for arm in TWENTY], "Toy"),
}


@cache
def drawn(name: str) -> bytes:
    """The SVG of an example."""
    return svg_bytes(EXAMPLES[name]())


@pytest.mark.parametrize("name", EXAMPLES)
def test_texts_neither_overlap_nor_leave_the_page(name: str) -> None:
    assert_readable(EXAMPLES[name]())


@pytest.mark.parametrize("name", EXAMPLES)
def test_same_input_same_bytes(name: str) -> None:
    assert drawn(name) == svg_bytes(EXAMPLES[name]())


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_direction_of_improvement_is_at_the_axis(name: str) -> None:
    shown = " ".join(texts(drawn(name)))
    assert "lower is better" in shown or "higher is better" in shown


@pytest.mark.parametrize(
    "figure",
    [
        lambda: draw_slopes(
            pd.DataFrame(columns=list(comparison("a"))), table("a", []).reindex(columns=list(table("a", [1.0]))),
            pd.DataFrame(columns=["task", "seed", "name", "metric", "value", "trivial"]),
            pd.DataFrame(columns=["task", "arm", "seed"]),
        ),
        lambda: learning_curves([]),
        lambda: best_of_n_curves(pd.DataFrame(columns=list(luck_row("a", [], 0.0))), table("a", [1.0])),
        lambda: performance_profiles([]),
    ],
    ids=["slopes", "curves", "best_of_n", "profiles"],
)  # fmt: skip
def test_without_a_run_that_is_said(figure: Callable[[], Figure]) -> None:
    assert "no finished run" in texts(figure())


# --- slopes ------------------------------------------------------------------------------------------------------


def test_each_seed_has_its_line_drawn_by_whether_it_improved() -> None:
    arms = {"control": [0.5, 0.6, 0.7], "a=1": [0.4, 0.7, 0.7]}
    styles = {}
    for direction in ("lower", "higher"):
        figure = slope_figure(arms, [comparison("a=1")], direction)
        assert names(figure, "seed-") == [f"seed-0-{seed}" for seed in range(3)]
        for seed in range(3):
            assert points(figure, f"seed-0-{seed}") == ([0, 1], [arms["control"][seed], arms["a=1"][seed]])
        assert points(figure, "mean-0")[1] == pytest.approx([0.6, 0.6])
        styles[direction] = [dashes(figure, f"seed-0-{seed}") for seed in range(3)]
        assert any("1 of 3 better, 1 tie" in text for text in texts(figure))
    solid, dashed, dotted = styles["lower"]
    assert solid == "" and len({solid, dashed, dotted}) == 3
    assert styles["higher"] == [dashed, solid, dotted]


@pytest.mark.parametrize(("direction", "edge"), [("lower", 1), ("higher", 0)])
def test_a_failed_run_is_a_cross_at_the_worse_edge(direction: str, edge: int) -> None:
    arms = {"control": [0.5, 0.6, math.nan], "a=1": [0.4, math.nan, math.nan]}
    figure = slope_figure(arms, [comparison("a=1", failures="treatment: 2 of 3 diverged")], direction)
    assert names(figure, "failed-") == ["failed-0-1-1", "failed-0-2-0", "failed-0-2-1"]
    worst = figure.axes[0].get_ylim()[edge]
    assert points(figure, "failed-0-1-1")[1] == [worst]
    assert points(figure, "seed-0-1") == ([0, 1], [0.6, worst])
    assert any("2 of 3 diverged" in text for text in texts(figure))


def test_the_means_below_are_those_of_the_table() -> None:
    figure = slope_figure({"control": [0.512, 0.514], "a=1": [0.4, 0.6]}, [comparison("a=1")])
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["control\n0.513", "treatment\n0.500"]
    against = slope_figure({"control": [0.512, 0.514]}, [comparison("control", "baseline:mean")], baseline=-0.5)
    assert [label.get_text() for label in against.axes[0].get_xticklabels()] == [
        "baseline\n\N{MINUS SIGN}0.50",
        "control\n0.51",
    ]


def test_one_far_seed_does_not_set_the_scale_and_a_far_arm_has_its_own() -> None:
    control = [0.5, 0.52, 0.54, 0.56, 0.58]
    figure = slope_figure(
        {"control": control, "seed": [0.5, 0.52, 0.54, 0.56, 30.0], "arm": [9.0, 9.1, 9.2, 9.3, 9.4], "b": control},
        [comparison("seed"), comparison("arm"), comparison("b")],
    )
    first, second, third = (axes.get_ylim() for axes in figure.axes)
    assert first == third and first[1] < 1 and second[1] > 9.4
    assert any("1 score off the axis (30.0)" in text for text in texts(figure))
    assert sum("own scale" in text for text in texts(figure)) == 1


def test_declared_comparisons_come_first_and_what_is_left_out_is_counted() -> None:
    arms = {f"a={number}": [0.5, 0.6] for number in range(slopes.MOST + 3)} | {"control": [0.5, 0.6]}
    free = [comparison(arm, role="exploratory", family="exploratory") for arm in arms if arm != "control"]
    figure = slope_figure(arms, [comparison("a=7"), *free])
    assert len(figure.axes) == slopes.MOST
    assert any(text.startswith("4 more exploratory comparisons") for text in texts(figure))
    other = slope_figure(
        arms, [comparison("a=7"), comparison("a=8", role="exploratory", family="exploratory", metric="x")]
    )
    assert len(other.axes) == 1, "exploratory comparisons are those on the primary metric"


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5, 0.5], [math.nan, math.nan], [0.0], [1e300, -1e300]])
def test_slopes_of_degenerate_seeds(values: list[float]) -> None:
    figure = slope_figure({"control": values, "a": values}, [comparison("a")])
    assert len(names(figure, "seed-")) == len(values)
    assert_readable(figure)


# --- learning curves ---------------------------------------------------------------------------------------------


def test_every_curve_its_best_epoch_and_both_medians_are_drawn() -> None:
    control, other = arm_curves(), arm_curves("a=1", seeds=4)
    figure = learning_curves([other, control])
    assert len(names(figure, "curve-")) == 9 and len(names(figure, "best-")) == 9
    for seed in range(4):
        assert points(figure, f"curve-0-{seed}") == (list(range(1, 9)), other.curves[seed].tolist())
        best = int(other.best_epochs[seed])
        assert points(figure, f"best-0-{seed}") == ([best + 1], [other.curves[seed, best]])
    assert points(figure, "median-0")[1] == pytest.approx(np.median(other.curves, axis=0).tolist())
    assert points(figure, "control-0")[1] == pytest.approx(np.median(control.curves, axis=0).tolist())
    assert not names(figure, "control-1"), "the control's own panel needs no second line"
    left, right = figure.axes
    assert left.get_ylim() == right.get_ylim()


def test_the_scale_is_logarithmic_over_decades_and_ignores_one_exploding_seed() -> None:
    wide = arm_curves(curves=np.geomspace(10, 1e-3, 8)[None] * np.ones((5, 1)))
    assert learning_curves([wide]).axes[0].get_yscale() == "log"
    assert any("logarithmic" in text for text in texts(learning_curves([wide])))
    own = arm_curves()
    own.curves[2, 4:] = 1e6
    figure = learning_curves([own])
    assert figure.axes[0].get_yscale() == "linear" and figure.axes[0].get_ylim()[1] < 4
    assert any("1 off the axis" in text for text in texts(figure))


@pytest.mark.parametrize(("direction", "edge"), [("lower", 1), ("higher", 0)])
def test_failed_runs_are_crosses_where_they_ended(direction: str, edge: int) -> None:
    own = arm_curves(failed=(True, True, False, False, False), planned=7, direction=direction)
    own.curves[0, 3:] = math.nan
    own.curves[1] = math.nan
    figure = learning_curves([own])
    assert names(figure, "failed-") == ["failed-0-0", "failed-0-1"]
    assert points(figure, "failed-0-0") == ([3], [own.curves[0, 2]])
    assert points(figure, "failed-0-1") == ([1], [figure.axes[0].get_ylim()[edge]])
    assert any("5 of 7 seeds, 2 of 5 failed" in text for text in texts(figure))


@pytest.mark.parametrize(
    "values",
    [np.ones((3, 4)), np.zeros((1, 1)), np.full((2, 3), math.nan), np.empty((2, 0)), np.full((2, 2), math.inf)],
)
def test_curves_of_degenerate_runs(values: np.ndarray) -> None:
    own = arm_curves(curves=values, best_epochs=np.full(len(values), -1), failed=(True,) * len(values))
    figure = learning_curves([own, arm_curves("a=1", curves=values, best_epochs=np.zeros(len(values), dtype=int))])
    assert len(names(figure, "curve-")) == 2 * len(values)
    assert_readable(figure)


def test_the_control_comes_first_and_arms_left_out_are_counted() -> None:
    arms = [arm_curves(f"a={number}") for number in range(curves.MOST + 1)]
    figure = learning_curves([*arms, arm_curves()])
    assert len(figure.axes) == curves.MOST
    assert "control" in texts(figure) and any(text.startswith("2 more arms") for text in texts(figure))


def test_curves_are_read_from_the_records_the_arms_of_claims_first(own_conf: Path) -> None:
    text = (
        "tasks: adding\nsweep: {activation: 'tanh,elu,iris', seed: 'range(0,3)'}\nclaims:\n"
        "  iris: {sentence: Iris helps, treatment: {activation: iris}, sesoi: 2%}\n"
    )
    (own_conf / "study" / "own.yaml").write_text(text, encoding="utf-8")
    plan = make_plan("own")
    for arm, cell in plan.cells["adding"].items():
        for seed in (0, 2):
            outcome = "diverged" if (arm, seed) == ("control", 2) else "ok"
            stale = (arm, seed) == ("activation=elu", 2)
            record = RunRecord(
                run_key="other" if stale else cell.run_key(seed),
                outcome=outcome,
                seed=seed,
                **{name: {} for name in ("changes", "metrics", "validation", "provenance")},
                **{name: "" for name in ("cell_key", "reason", "weight_digest")},
                **{name: 1 for name in ("last_epoch", "best_epoch", "parameters", "seconds")},
                task="adding",
                primary_metric="mse",
                directions={"mse": "lower"},
                units={"mse": ""},
                baselines=[],
            )
            history = [{"train_loss": 9.0, "mse": 1.0 + seed}, {"train_loss": 9.0, "mse": 0.5}][: 1 + (outcome == "ok")]
            write_record(cell.run_folder(seed), record, {}, history, None, None)
    found = collect_curves(plan)
    assert [own.arm for own in found] == ["control", "activation=iris", "activation=elu"]
    control, iris, elu = found
    np.testing.assert_array_equal(control.curves, [[1.0, 0.5], [3.0, math.nan]])
    assert (control.seeds, control.failed, control.planned) == ((0, 2), (False, True), 3)
    assert (iris.metric, iris.direction, iris.best_epochs.tolist()) == ("mse", "lower", [1, 1])
    assert elu.seeds == (0,), "a record under another key is not of this study"


# --- best of n ---------------------------------------------------------------------------------------------------


def test_the_curve_is_the_expected_best_and_every_seed_is_there() -> None:
    values = [9.0, 12.0, 5.0, 8.0]
    for direction, sign, running in (("higher", 1, [9.0, 12.0, 12.0, 12.0]), ("lower", -1, [9.0, 9.0, 5.0, 5.0])):
        figure = luck_figure({"control": values}, 10.6, direction)
        x, y = points(figure, "expected-0")
        wanted = [np.mean(values) + sign * np.std(values, ddof=1) * expected_maximum(int(k)) for k in x]
        assert x == list(range(1, 31)) and y == pytest.approx(wanted)
        assert points(figure, "running-0") == ([1, 2, 3, 4], running)
        assert [points(figure, f"seed-0-{seed}")[1] for seed in range(4)] == [[value] for value in values]
        assert points(figure, "baseline-0")[1] == [10.6, 10.6]
        shown = " ".join(texts(figure))
        assert "buy_and_hold 10.6" in shown and "best is luck" in shown
        best, expected = (luck_row("control", values, 10.6, direction)[name] for name in ("best", "expected_best"))
        assert f"best of 4: {best:.1f}, expected {expected:.1f}" in shown


def test_the_worked_example_of_the_reference() -> None:
    rng = np.random.default_rng(1).normal(size=10)
    scores = 9 + 3.83 * (rng - rng.mean()) / rng.std(ddof=1)
    shown = " ".join(texts(luck_figure({"control": scores.tolist()})))
    assert "expected 14.9" in shown and "one seed beats it: 34 %" in shown and "the best of 10 does: 98 %" in shown


@pytest.mark.parametrize(("direction", "edge"), [("higher", 0), ("lower", 1)])
def test_a_failed_seed_was_tried_and_gave_nothing(direction: str, edge: int) -> None:
    figure = luck_figure({"control": [math.nan, 9.0, math.nan, 11.0]}, 10.0, direction)
    assert points(figure, "running-0")[0] == [2, 3, 4]
    assert points(figure, "seed-0-0")[1] == [figure.axes[0].get_ylim()[edge]]
    shown = texts(figure)
    assert any("2 of 4 failed" in text for text in shown) and any("best of 2" in text for text in shown)


def test_a_far_baseline_is_an_arrow() -> None:
    figure = luck_figure({"control": [0.001, 0.0012, 0.0009]}, 0.1667, "lower")
    assert figure.axes[0].get_ylim()[1] < 0.01
    shown = texts(figure)
    assert "buy_and_hold 0.167" in shown and any("baseline off the axis" in text for text in shown)


@pytest.mark.parametrize("values", [[9.0], [9.0] * 5, [math.nan] * 3, [9.0, 10.0] * 20])
@pytest.mark.filterwarnings("ignore::notafluke.stats.DegenerateWarning")
def test_best_of_degenerate_seeds(values: list[float]) -> None:
    figure = luck_figure({"control": values})
    assert len(names(figure, "seed-")) == len(values)
    if not np.isfinite(values).any():
        assert any("no finished run" in text for text in texts(figure))
    assert_readable(figure)


def test_rows_left_out_are_counted() -> None:
    figure = luck_figure({f"a={number}": [1.0, 2.0] for number in range(best_of_n.MOST + 2)})
    assert len(figure.axes) == best_of_n.MOST
    assert any(text.startswith("2 more rows") for text in texts(figure))


# --- probability of improvement ----------------------------------------------------------------------------------


def test_probabilities_are_points_with_intervals_and_their_numbers() -> None:
    rows = [overall_row("a", 0.625), overall_row("b", 0.9, p_improvement_high=1.0, verdict="better", tasks=1)]
    figure = improvement_probabilities(pd.DataFrame(rows))
    assert points(figure, "arm-0")[0] == [0.625]
    assert points(figure, "interval-0")[0] == pytest.approx([0.425, 0.825])
    shown = texts(figure)
    assert "0.62 [0.42, 0.82]" in shown and "0.90 [0.70, 1.00]" in shown
    assert "no evidence, 3 tasks" in shown and "better, 1 task" in shown


def test_a_row_without_a_probability_says_why() -> None:
    nothing = {"p_improvement_low": math.nan, "p_improvement_high": math.nan}
    rows = [
        overall_row("a", math.nan, tasks=0, **nothing),
        overall_row("b", math.nan, tasks=2, **nothing),
        overall_row("c", math.nan, tasks=0, reason="no task to compare on", **nothing),
        overall_row("d", 0.5, **nothing),
    ]
    frame = pd.DataFrame(rows).astype({"tasks": "Int64"})
    figure = improvement_probabilities(frame)
    shown = texts(figure)
    for text in (improvement.NO_TASK, "no recorded pair in 2 tasks", "no task to compare on", "0.50, no interval"):
        assert text in shown
    assert names(figure, "arm-") == ["arm-3"] and not names(figure, "interval-")
    assert "no treatment to compare" in texts(improvement_probabilities(frame.iloc[:0]))
    many = improvement_probabilities(pd.DataFrame([overall_row(f"a={n}") for n in range(improvement.MOST + 1)]))
    assert any(text.startswith("1 more treatment left out") for text in texts(many))


# --- profiles ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arms", [3, 8])
def test_profiles_are_drawn_as_given_each_told_apart_without_colour(arms: int) -> None:
    own = [profile(f"a={number}", number / 4) for number in range(arms - 1)] + [profile()]
    figure = performance_profiles(own)
    for one in own:
        assert points(figure, f"profile-{one.arm}") == (one.thresholds.tolist(), one.share.tolist())
        assert one.arm in texts(figure)
    assert len(names(figure, "band-")) == arms
    assert len(figure.axes) == (1 if arms <= profiles.MOST_IN_ONE else arms)
    if arms <= profiles.MOST_IN_ONE:
        assert len({dashes(figure, f"profile-{one.arm}") for one in own}) == arms


def test_failed_runs_of_a_profile_are_marked_and_counted() -> None:
    figure = performance_profiles([profile(), profile("a=1", failed=5)])
    assert points(figure, "failed-a=1") == ([-3.0], [0.75])
    assert any("5 failed" in text for text in texts(figure)) and not names(figure, "failed-control")


def test_profiles_of_one_threshold_or_none() -> None:
    for size in (0, 1):
        flat = np.full(size, 0.5)
        assert_readable(performance_profiles([Profile("control", flat, flat, flat, flat, 1, 1)]))
    many = performance_profiles([profile(f"a={number}") for number in range(profiles.MOST + 1)])
    assert any(text.startswith("1 more arm left out") for text in texts(many))


# --- drawing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 0), (1, 1), (-1e-9, 1e-9), (0.6971, 0.6982), (1e5, 3e5), (-1e149, 1e149), (math.inf, -math.inf)],
)
def test_a_scale_has_ticks_that_say_where_they_are(low: float, high: float) -> None:
    scale = drawing.Scale.over(low, high)
    assert scale.low < scale.high and 2 <= len(scale.ticks) <= 9
    assert len(set(scale.texts)) == len(scale.texts)
    for tick, text in zip(scale.ticks, scale.texts, strict=True):
        assert float(text.replace("\N{MINUS SIGN}", "-")) == pytest.approx(tick, rel=1e-6, abs=1e-6 * scale.high)


def test_arm_names_break_between_their_changes() -> None:
    assert drawing.arm_lines(LONG, 1.7) == ["activation=golden_tanh,", "optimizer.lr=0.003"]
    lines = drawing.arm_lines(",".join([LONG] * 5), 1.5)
    assert len(lines) == 3 and lines[-1].endswith("…")
    assert all(drawing.text_width(line) <= 1.6 for line in lines)


def test_of_many_baselines_those_of_claims_and_trivial_ones_are_drawn() -> None:
    def rows(arms: int) -> pd.DataFrame:
        names = ["control", *(f"arm={number}" for number in range(1, arms))]
        kinds = [("a", "mse", "mean"), ("a", "gain", "market"), ("a", "gain", "other")]
        return pd.DataFrame([(*kind, arm) for kind in kinds for arm in names], columns=[*LUCK_KEYS, "arm"])

    decisions = pd.DataFrame(
        [("a", "gain", "arm=1", "baseline:market", "mean"), ("a", "mse", "arm=2", "control", "mean")],
        columns=["task", "metric", "treatment", "control", "baseline_name"],
    )
    scores = pd.DataFrame({"task": ["a", "a"], "metric": ["mse", "gain"], "primary": [True, False]})
    assert len(to_draw(rows(13), decisions, scores)) == 39, "few enough: all"
    near = to_draw(rows(20), decisions, scores)
    assert set(near["baseline_name"]) == {"mean", "market"} and len(near) == 40
    nearest = to_draw(rows(21), decisions, scores)
    assert nearest[["baseline_name", "arm"]].to_numpy().tolist() == [
        ["mean", "control"],
        ["market", "control"],
        ["market", "arm=1"],
    ]
