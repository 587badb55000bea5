"""Figures of losses and of gradient norms: every line is drawn from what was measured, and nothing is left out."""

from __future__ import annotations

import math
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from notafluke.configuration import options
from notafluke.options import reconstruction_note
from notafluke.plan import load_plan, make_plan
from notafluke.records import history_text
from notafluke.report.figures import svg_bytes
from notafluke.report.gradients import ArmNorms, collect_norms, gradient_norms
from notafluke.report.loss_family import loss_family, shipped_losses

REPOSITORY = Path(__file__).parents[2]


def texts(svg: bytes) -> list[str]:
    root = ElementTree.fromstring(svg)
    return ["".join(element.itertext()).strip() for element in root.iter() if element.tag.endswith("}text")]


def numbers_of(svg: bytes) -> list[float]:
    """All coordinates of all lines, in their order."""
    root = ElementTree.fromstring(svg)
    lines = [element.get("d", "") for element in root.iter() if element.tag.endswith("}path")]
    return [float(number) for line in lines for number in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", line)]


class TestLossFamily:
    def test_every_loss_has_its_panel(self, conf: Path) -> None:
        names = set(options(conf, "loss")) - {"of_output"}
        losses = shipped_losses()
        assert set(losses) == names
        figure = loss_family(losses)
        assert [axes.get_title(loc="left") for axes in figure.axes] == list(losses)
        for axes, loss in zip(figure.axes, losses.values(), strict=True):
            x, y = np.concatenate([np.asarray(line.get_xydata()) for line in axes.lines[1:3]]).T
            assert x.min() == -3 and x.max() == 3
            distance = torch.from_numpy(x.copy())
            np.testing.assert_array_equal(y, loss(distance, torch.zeros_like(distance)))

    def test_the_figure_of_the_documentation_is_this_one(self, conf: Path) -> None:
        """`make figures` draws it; a loss of one's own need not be in it."""
        committed = (REPOSITORY / "docs" / "figures" / "losses.svg").read_bytes()
        drawn = {name: loss for name, loss in shipped_losses().items() if name in texts(committed)}
        assert len(drawn) >= 27
        assert texts(svg_bytes(loss_family(drawn))) == texts(committed)
        assert numbers_of(svg_bytes(loss_family(drawn))) == pytest.approx(numbers_of(committed), abs=1e-3)


class TestGradientNorms:
    def arms(self, epochs: int = 4) -> list[ArmNorms]:
        rng = np.random.default_rng(0)
        lines = {f"layers.{number}.weight": np.exp(rng.normal(-number, 0.1, (3, epochs))) for number in range(3)}
        dead = {"layers.0.weight": np.array([[1.0, 0.1, math.nan], [1.0, 0.0, 0.0]])}
        many = {f"layers.{number}.weight": np.full((2, epochs), 0.1) for number in range(20)}
        return [
            ArmNorms("adding", "control", lines),
            ArmNorms("adding", "model=rnn", dead),
            ArmNorms("lotto", "control", many),
            ArmNorms("stock", "control", lines),
        ]

    def test_every_seed_and_the_geometric_mean_are_drawn(self) -> None:
        own = self.arms()[0]
        axes = gradient_norms([own]).axes[0]
        lines = [line.get_ydata() for line in axes.lines]
        assert len(lines) == 3 * (3 + 1)
        for number, norms in enumerate(own.norms.values()):
            block = lines[4 * number : 4 * number + 4]
            np.testing.assert_allclose(np.array(block[:3], dtype=float), norms)
            np.testing.assert_allclose(np.array(block[3], dtype=float), np.exp(np.log(norms).mean(axis=0)))
        assert axes.get_yscale() == "log"
        assert {text.get_text() for text in axes.texts} == set(own.norms)

    def test_panels_of_a_task_share_the_scale_and_all_are_there(self) -> None:
        figure = gradient_norms(self.arms(), "Title <b>")
        panels = figure.axes
        titles = [axes.get_title(loc="left") for axes in panels]
        assert titles == ["adding: control", "adding: model=rnn", "lotto: control", "stock: control"]
        assert panels[0].get_ylim() == panels[1].get_ylim()
        shown = texts(svg_bytes(figure))
        assert "Title <b>" in shown and any("20 parameters" in text for text in shown)

    def test_seeds_that_ended_and_gradients_of_zero_are_no_trouble(self) -> None:
        axes = gradient_norms(self.arms()[1:2]).axes[0]
        mean = np.asarray(axes.lines[-1].get_ydata(), dtype=float)
        np.testing.assert_allclose(mean, [1.0, 0.1, math.nan])

    def test_of_one_epoch_and_of_none(self) -> None:
        (axes,) = gradient_norms([self.arms(epochs=1)[0]]).axes
        assert [tick for tick in axes.get_xticks() if 0.5 <= tick <= 1.5] == [1]
        assert any("no run with recorded gradient norms" in text for text in texts(svg_bytes(gradient_norms([]))))

    def test_same_input_same_bytes(self) -> None:
        assert svg_bytes(gradient_norms(self.arms())) == svg_bytes(gradient_norms(self.arms()))

    def test_they_are_read_from_the_records_of_controls_and_other_models(self, own_conf: Path) -> None:
        text = "tasks: adding\nsweep: {model: 'lstm,rnn', activation: 'tanh,iris', seed: 'range(0,3)'}\n"
        (own_conf / "study" / "own.yaml").write_text(text, encoding="utf-8")
        plan = make_plan("own")
        for number, cell in enumerate(plan.distinct_cells):
            for seed in (0, 2):
                rows = (
                    []
                    if (number, seed) == (0, 0)
                    else [
                        {
                            "train_loss": 1.0,
                            "mse": 1.0,
                            "gradient_norm/a": 0.5 + number,
                            "gradient_norm/b": 0.25 + seed,
                        },
                        {"train_loss": 1.0, "mse": 1.0, "gradient_norm/a": 0.1, "gradient_norm/b": 0.2},
                    ][: 2 - (seed == 2)]
                )
                folder = cell.run_folder(seed)
                folder.mkdir(parents=True)
                (folder / "history.csv").write_text(history_text(rows), encoding="utf-8")
        found = collect_norms(plan)
        assert [own.arm for own in found] == ["control", "model=rnn"]
        np.testing.assert_array_equal(found[1].norms["a"], [[1.5, 0.1], [1.5, math.nan]])
        # The control's first seed ended in its first epoch: its other seed is still there.
        np.testing.assert_array_equal(found[0].norms["b"], [[math.nan], [2.25]])


class TestOptionsInUse:
    def test_each_with_what_its_file_says(self, conf: Path) -> None:
        found = {own.name: own for own in load_plan("demo").options}
        assert {"activation=tanh", "activation=iris", "model=rnn", "task=stock", "output=linear"} <= set(found)
        assert found["activation=iris"].source.startswith("the project's own reconstruction")
        assert "S&P 500" in found["task=stock"].description and "arch" in found["task=stock"].source

    def test_reconstructions_are_named(self, conf: Path) -> None:
        (note,) = reconstruction_note(load_plan("demo").options)
        assert note == "Reconstructed by this project, as their source gives no formula: activation=iris."
        assert reconstruction_note(load_plan("demo", ["activation=tanh,relu"]).options) == []
