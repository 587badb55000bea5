"""Tables, page, forest plot and terminal: complete, readable by machines and the same every time."""

from __future__ import annotations

import html
import io
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from score_tables import ToyStudy

from notafluke import claims
from notafluke.analysis import Analysis, analyse
from notafluke.errors import StorageError
from notafluke.files import write_atomic
from notafluke.options import DescribedOption
from notafluke.origin import provenance_frame
from notafluke.report import figures, gallery, numbers, tables, terminal
from notafluke.report.columns import (
    CLAIM_COLUMNS,
    COLUMNS,
    FAILURE_COLUMNS,
    FIGURES,
    LUCK_COLUMNS,
    OVER_SAMPLES_COLUMNS,
    OVERALL_COLUMNS,
    PROVENANCE_COLUMNS,
    TABLES,
    TIMING_COLUMNS,
)
from notafluke.report.style import VERDICT_STYLES
from notafluke.study import Claim, Sesoi

SEEDS = 10
HOSTILE = "activation=<b>$x_2$|é&</b>"
OPTIONS = [
    DescribedOption("activation", "iris", "Iris (reconstruction), <x> | y", "the project's own"),
    DescribedOption("model", "lstm", "LSTM", "Hochreiter & Schmidhuber"),
]
SVG = "{http://www.w3.org/2000/svg}"


FIGURE = tables.PageFigure("forest", "Every seed", "How to read it", b"<svg xmlns='http://www.w3.org/2000/svg'/>")


@dataclass(frozen=True)
class Example:
    """A decided study with failures, an extreme seed, an absent run, controls and exploratory rows."""

    analysis: Analysis

    @property
    def scores(self) -> pd.DataFrame:
        return self.analysis.scores

    @property
    def decisions(self) -> pd.DataFrame:
        return self.analysis.decisions

    @property
    def summary(self) -> pd.DataFrame:
        return self.analysis.summary

    def figure(self, title: str = "Toy") -> Figure:
        """Return the forest plot."""
        own = self.analysis
        return figures.forest(own.decisions, own.scores, own.baselines, own.planned, title)

    def write(self, folder: Path, **options: Any) -> tuple[Path, ...]:
        """Write the tables."""
        page = tables.Page("Toy <study>", ["changed after 3 runs"], OPTIONS, **options)
        return tables.write_tables(self.analysis, folder, page)


def example(shuffle: int | None = None) -> Example:
    rng = np.random.default_rng(3)
    shifts = {"control": 0.0, "a=1": -0.05, HOSTILE: 0.0, "a=3": 0.01, "replica=1": 0.0, "model=rnn": 0.9, "b=1": 0.03}
    scores, baselines, planned = [], [], []
    for seed in range(SEEDS):
        level = rng.normal(0.5, 0.05)
        for arm, shift in shifts.items():
            planned.append({"task": "toy", "arm": arm, "seed": seed})
            value, outcome = level + shift + rng.normal(0, 0.01), "ok"
            if arm == HOSTILE and seed == 4:
                value += 30
            if arm == "a=3" and seed in (2, 5):
                value, outcome = math.nan, "diverged"
            if arm == "b=1" and seed == 9:
                continue
            scores.append(
                {
                    "task": "toy",
                    "arm": arm,
                    "seed": seed,
                    "metric": "mse",
                    "value": value,
                    "outcome": outcome,
                    "direction": "lower",
                    "unit": "",
                    "primary": True,
                    "run_key": f"{arm}-{seed}",
                    "cell": f"results/runs/toy/{arm}",
                    "parameters": 1234,
                    "epochs": 5,
                    "best_epoch": 3,
                    "validation_score": 0.1,
                }
            )
        key = {"task": "toy", "seed": seed, "metric": "mse"}
        baselines.append(key | {"name": "mean", "value": 0.9, "trivial": True})
    both = {"tasks": ("toy",), "metric": None, "sesoi": {"toy": Sesoi(0.04, False)}}
    declared = (
        Claim("one", "A helps", "a=1", "control", expects="better", role="claim", **both),  # type: ignore[arg-type]
        Claim("two", "Iris & co. help", HOSTILE, "control", expects="better", role="claim", **both),  # type: ignore[arg-type]
        Claim("three", "C does no harm", "a=3", "control", expects="not_worse", role="claim", **both),  # type: ignore[arg-type]
        Claim("base", "It beats the mean", "control", "baseline:mean", expects="better", role="claim", **both),  # type: ignore[arg-type]
        Claim("aa", "A/A", "replica=1", "control", expects="equivalent", role="negative_control", **both),  # type: ignore[arg-type]
        Claim("lstm", "LSTM wins", "control", "model=rnn", expects="better", role="positive_control", **both),  # type: ignore[arg-type]
    )
    frames = [pd.DataFrame(scores), pd.DataFrame(baselines), pd.DataFrame(planned)]
    if shuffle is not None:
        frames = [frame.sample(frac=1, random_state=shuffle) for frame in frames]
    origin = provenance_frame([("study", "toy <study>"), ("study digest", "0" * 64)])
    series = {("toy", "control", seed): draws_of(seed) for seed in range(SEEDS)}
    return Example(analyse(ToyStudy(declared), frames[0], frames[1], frames[2], origin, series=series))


def draws_of(seed: int) -> dict[str, np.ndarray]:
    """The hits of 200 draws of a lottery, 2 of 5."""
    hits = np.random.default_rng(seed).hypergeometric(2, 3, 2, 200).astype(np.float64)
    return {"hits": hits, "drawn": np.full(200, 2.0), "numbers": np.full(200, 5.0)}


@pytest.fixture(scope="module")
def toy() -> Example:
    return example()


# --- tables ------------------------------------------------------------------------------------------------------


def test_csv_holds_every_column_in_full_precision(toy: Example, tmp_path: Path) -> None:
    paths = {path.name: path for path in toy.write(tmp_path)}
    expected = {f"{name}.{suffix}" for name in TABLES for suffix in ("csv", "tex")}
    assert set(paths) == expected | {"significance.md", "significance.html", "scores.csv"}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(paths)
    text = paths["significance.csv"].read_bytes()
    assert b"\r" not in text
    back = pd.read_csv(io.BytesIO(text))
    assert list(back.columns) == list(COLUMNS)
    for column in ("delta", "p_value", "p_holm", "mde80", "control_mean"):
        assert back[column].tolist() == pytest.approx(toy.decisions[column].tolist(), rel=0, abs=0, nan_ok=True)
    scores = pd.read_csv(paths["scores.csv"])
    assert len(scores) == len(toy.scores)
    assert set(scores["run_key"]) == set(toy.scores["run_key"])


def test_no_nan_and_no_zero_p_where_the_rules_give_a_value(toy: Example) -> None:
    decided = toy.decisions[toy.decisions["verdict"] != "incomplete"]
    assert set(toy.decisions["verdict"]) >= {"better", "equivalent", "incomplete"}
    always = ["control_mean", "treatment_mean", "delta", "delta_low", "delta_high", "d_z", "rank_biserial", "p_better"]
    for column in [*always, "p_value", "p_holm", "mde80"]:
        assert decided[column].notna().all(), column
    assert (decided["p_value"] >= 2 / 2**SEEDS).all()
    assert (decided["p_holm"] >= decided["p_value"]).all()


def test_files_are_the_same_bytes_whatever_the_order_of_the_rows(toy: Example, tmp_path: Path) -> None:
    toy.write(tmp_path / "first")
    figures.save(toy.figure(), tmp_path / "first", "forest")
    again = example(shuffle=7)
    again.write(tmp_path / "second")
    figures.save(again.figure(), tmp_path / "second", "forest")
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert len(names) == 2 * len(TABLES) + 5
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name


def test_markdown_is_aligned_and_escaped(toy: Example, tmp_path: Path) -> None:
    toy.write(tmp_path)
    text = (tmp_path / "significance.md").read_text(encoding="utf-8")
    blocks = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert len(blocks) == 9, "three families, five further tables, and what was compared"
    for block in blocks:
        lines = block.splitlines()
        assert len({len(line) for line in lines}) == 1
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)
    assert "changed after 3 runs" in text
    assert text.endswith("\n")


def test_what_was_compared_is_said_and_reconstructions_are_named(toy: Example, tmp_path: Path) -> None:
    toy.write(tmp_path, figures=[FIGURE])
    for name in ("significance.md", "significance.html"):
        text = html.unescape((tmp_path / name).read_text(encoding="utf-8")).replace("\\|", "|")
        for own in OPTIONS:
            assert own.name in text and own.description in text and own.source in text
    assert text.count("data:image/svg+xml;base64,") == 1


def test_page_is_well_formed_self_contained_and_complete(toy: Example, tmp_path: Path) -> None:
    toy.write(tmp_path)
    text = (tmp_path / "significance.html").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>"))
    sources = [element.get("src") for element in root.iter() if element.get("src")]
    assert sources == []
    assert not [element for element in root.iter() if element.tag in ("script", "link", "iframe")]
    assert "http" not in text
    shown = " ".join("".join(root.itertext()).split())
    for sentence in toy.summary["sentence"]:
        assert numbers.typographic(sentence) in shown
    for verdict in set(toy.decisions["verdict"]):
        assert VERDICT_STYLES[verdict].meaning in shown
    for word in (HOSTILE, "Toy <study>", "changed after 3 runs", "2 of 10 diverged", "Exploratory", "m = 4", *COLUMNS):
        assert word in shown
    assert not re.search(r"\bnan\b(?! of)", shown, re.IGNORECASE)


def test_page_holds_its_figures(toy: Example, tmp_path: Path) -> None:
    toy.write(tmp_path, figures=[FIGURE, FIGURE])
    text = (tmp_path / "significance.html").read_text(encoding="utf-8")
    assert text.count('src="data:image/svg+xml;base64,') == 2
    assert text.count("<summary>Every seed</summary>") == 1, "the first figure stands open"


def test_every_table_has_the_columns_that_are_explained(toy: Example, tmp_path: Path) -> None:
    toy.write(tmp_path)
    explained = {
        "claims": CLAIM_COLUMNS,
        "overall": OVERALL_COLUMNS,
        "seed_luck": LUCK_COLUMNS,
        "over_samples": OVER_SAMPLES_COLUMNS,
        "failures": FAILURE_COLUMNS,
        "provenance": PROVENANCE_COLUMNS,
    }
    for name, columns in explained.items():
        frame = pd.read_csv(tmp_path / f"{name}.csv")
        assert list(frame.columns) == list(columns), name
        assert len(frame), name


def test_claims_name_the_keys_of_all_their_runs(toy: Example) -> None:
    keys = toy.summary.set_index("claim")["run_keys"].str.split(" ")
    assert keys["one"] == [f"{arm}-{seed}" for arm in ("a=1", "control") for seed in range(SEEDS)]
    assert keys["base"] == [f"control-{seed}" for seed in range(SEEDS)]


def test_the_page_says_what_the_table_over_test_samples_speaks_of(toy: Example, tmp_path: Path) -> None:
    toy.write(tmp_path)
    for name in ("significance.md", "significance.html"):
        text = " ".join((tmp_path / name).read_text(encoding="utf-8").split())
        assert "Over test samples" in text
        assert "over draws: what other draws of the same lottery would give with these networks" in text
        assert "over test days" not in text, "there is no market in this study"
        assert "but p-values and intervals of the table over test samples are over draws." in text


def test_latex_is_a_table_with_escaped_cells(toy: Example, tmp_path: Path) -> None:
    toy.write(tmp_path)
    for name in TABLES:
        text = (tmp_path / f"{name}.tex").read_text(encoding="utf-8")
        assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
        rows = [line for line in text.splitlines() if line.endswith(r"\\")]
        layout = re.search(r"tabular}{([lr]*)}", text)
        assert layout
        for row in rows:
            assert len(re.findall(r"(?<!\\)&", row)) == max(0, len(layout[1]) - 1), row
        body = re.sub(r"\$[^$]+\$", "", "\n".join(rows))
        body = body.replace(r"\textasciicircum{}", "").replace(r"\textbackslash{}", "")
        assert not re.search(r"(?<!\\)[%#_^~|<>]", body), name
        assert not re.search(r"[^ -~\n]", body.replace("é", "")), name


def test_long_tables_are_cut_on_the_page_and_say_so(toy: Example, tmp_path: Path) -> None:
    many = pd.concat([toy.decisions] * 150, ignore_index=True)
    long = Example(replace(toy.analysis, decisions=many))
    long.write(tmp_path)
    for name in ("significance.md", "significance.html"):
        assert "The first 300 of" in (tmp_path / name).read_text(encoding="utf-8")
    assert len(pd.read_csv(tmp_path / "significance.csv")) == len(many)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_atomic(tmp_path / "deep" / "a.txt", "old\n")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(StorageError, match=r"a\.txt: cannot be stored: disk full"):
        write_atomic(path, "new\n")
    assert path.read_text() == "old\n"
    assert [item.name for item in path.parent.iterdir()] == ["a.txt"]


# --- forest plot -------------------------------------------------------------------------------------------------


def test_forest_shows_every_seed_and_every_text(toy: Example, tmp_path: Path) -> None:
    svg, png = figures.save(toy.figure("Which ideas help?"), tmp_path, "forest")
    root = ElementTree.parse(svg).getroot()
    marks = [element.get("id", "") for element in root.iter(f"{SVG}g") if element.get("id", "").startswith("seed-")]
    assert len(marks) == len(set(marks)) == int(toy.decisions["pairs_done"].sum())
    texts = [" ".join("".join(element.itertext()).split()) for element in root.iter(f"{SVG}text")]
    for expected in ("Which ideas help?", "toy", "← worse", "better →", "a=1", "negative control", "against model=rnn"):
        assert expected in texts
    assert any("2 of 10 diverged" in text for text in texts)
    assert any("9 of 10 pairs" in text for text in texts)
    assert "toy (positive control)" in texts
    assert any(numbers.typographic("1 seed (-30") in text for text in texts)
    assert HOSTILE in "".join(texts)
    assert png.read_bytes().startswith(b"\x89PNG")
    assert b"<dc:date>" not in svg.read_bytes()


def test_one_extreme_seed_does_not_set_the_scale(toy: Example) -> None:
    first = toy.figure().axes[0]
    low, high = first.get_xlim()
    assert -0.2 < low < 0 < high < 0.2


def test_forest_texts_do_not_overlap(toy: Example) -> None:
    figure = toy.figure()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in figure.texts]
    for axes in figure.axes:
        shown = [label for label in axes.get_xticklabels() if label.get_text()]
        boxes += [label.get_window_extent() for label in [*shown, axes.xaxis.label]]
    width, height = figure.bbox.width, figure.bbox.height
    for place, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height
        for other in boxes[:place]:
            overlap_x = min(box.x1, other.x1) - max(box.x0, other.x0)
            overlap_y = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert overlap_x <= 0 or overlap_y <= 1.5


def test_improvement_is_to_the_right_for_both_directions(toy: Example) -> None:
    row = claims.records(toy.decisions)[0]
    assert (row["direction"], row["verdict"]) == ("lower", "better")
    pairs = claims.paired_scores(toy.scores, toy.analysis.baselines, toy.analysis.planned, toy.decisions)[0]
    assert np.mean(pairs.improvements) > 0 > row["delta"]


def test_every_verdict_has_its_own_marker_and_symbol() -> None:
    assert set(VERDICT_STYLES) == set(claims.VERDICTS)
    looks = [(style.marker, style.filled) for style in VERDICT_STYLES.values()]
    assert len(set(looks)) == len({style.symbol for style in VERDICT_STYLES.values()}) == len(VERDICT_STYLES)


def test_nothing_to_show(toy: Example, tmp_path: Path) -> None:
    own = toy.analysis
    none = Example(analyse(ToyStudy(()), own.scores, own.baselines, own.planned.iloc[:0], provenance_frame([])))
    none.write(tmp_path)
    figures.save(none.figure(), tmp_path, "forest")
    Console(file=io.StringIO()).print(terminal.verdict_table(none.decisions, none.summary))


# --- terminal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 100, 140])
def test_terminal_table_fits_and_is_plain_when_piped(toy: Example, width: int) -> None:
    out = io.StringIO()
    Console(file=out, width=width).print(terminal.verdict_table(toy.decisions, toy.summary))
    text = out.getvalue()
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= width
    for word in ("Declared claims, m = 4", "Controls", "Exploratory", "incomplete", "9 of 10 pairs", "2 of 10"):
        assert word in text
    one_line = " ".join(text.split())
    for sentence in toy.summary["sentence"]:
        assert sentence.split(" (")[0] in one_line


def test_terminal_colours_the_verdicts(toy: Example) -> None:
    out = io.StringIO()
    Console(file=out, width=100, force_terminal=True, color_system="standard").print(
        terminal.verdict_table(toy.decisions, toy.summary)
    )
    assert "\x1b[1;32mbetter" in out.getvalue()


# --- numbers -----------------------------------------------------------------------------------------------------


def test_numbers_as_text() -> None:
    assert numbers.p_text(5e-324) == "<0.0001"
    assert numbers.p_equation("p", 0.04965) == "p = 0.0496"
    assert numbers.interval_text(0.0, 0.0, 0.0) == "0.0 [0.0, 0.0]"
    assert numbers.interval_text(-0.0004, -0.3, 0.3) == "0.00 [-0.30, +0.30]"
    assert numbers.interval_text(123456.0, 120000.0, 126912.0, signed=False) == "1.235 [1.200, 1.269] e+05"
    assert numbers.number(0.09999) == "0.100"
    assert numbers.count(math.nan) == "-"
    assert numbers.mean_sd_text(10.6, 0.0) == "10.6"


# --- documentation -----------------------------------------------------------------------------------------------


def test_every_column_and_figure_is_explained_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")
    verdicts, suite = (COLUMNS, CLAIM_COLUMNS, OVERALL_COLUMNS), (LUCK_COLUMNS, OVER_SAMPLES_COLUMNS)
    described = (*verdicts, *suite, FAILURE_COLUMNS, TIMING_COLUMNS, PROVENANCE_COLUMNS)
    for columns in described:
        assert "".join(f"| `{name}` | {meaning} |\n" for name, meaning in columns.items()) in page
    assert re.findall(r"^\| `(\w+)` \| .*\n", page.split("## significance.csv")[0], re.MULTILINE) == list(FIGURES)
    assert set(FIGURES) == set(gallery.FIGURES)
