"""One contract for every option found in conf/: described, importable, batchable, and it trains, alone or together."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra.utils import get_object
from torch.func import vmap

from notafluke import components
from notafluke.code_digest import reached_definitions
from notafluke.configuration import compose_run, groups, options
from notafluke.errors import UsageError
from notafluke.tasks.base import Task
from notafluke.training.batching import initial_parameters
from notafluke.training.engine import train_block
from notafluke.training.recipe import Recipe

CONF = Path(__file__).parents[2] / "conf"
OPTIONS = [(group, option) for group in groups(CONF) for option in options(CONF, group)]
SMALL = {
    "task": "adding",
    "task.length": "4",
    "task.train_size": "12",
    "task.validation_size": "8",
    "task.test_size": "8",
    "model.hidden_size": "5",
    "trainer.batch_size": "5",
    "trainer.max_epochs": "1",
}


class Silent:
    def epoch_finished(self, epoch: int, metrics: Mapping[int, Mapping[str, float]]) -> None:
        pass


def section(group: str, option: str) -> dict[str, Any]:
    content = yaml.safe_load((CONF / group / f"{option}.yaml").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def recipe_with(group: str, option: str) -> Recipe:
    return components.build_recipe(compose_run(CONF, {**SMALL, group: option}).config)


def cases(*wanted: str) -> Any:
    chosen = [(group, option) for group, option in OPTIONS if group in wanted]
    return pytest.mark.parametrize(("group", "option"), chosen, ids=[f"{group}={option}" for group, option in chosen])


def test_every_folder_of_options_is_a_group() -> None:
    folders = {path.name for path in CONF.iterdir() if path.is_dir()} - {"study"}
    assert folders == set(groups(CONF))
    assert {"tanh", "golden_tanh", "iris", "relu"} <= set(options(CONF, "activation"))


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda value: value)
class TestEveryOption:
    def test_says_what_it_is_and_where_it_is_from(self, group: str, option: str) -> None:
        content = section(group, option)
        for key in ("description", "reference" if group == "task" else "source"):
            assert isinstance(content[key], str) and len(content[key].strip()) > 2, key
            assert "\n" not in content[key].strip()

    def test_its_target_takes_exactly_its_options(self, group: str, option: str) -> None:
        """Every parameter without a value of the engine's own stands in the file, and nothing else does."""
        content = section(group, option)
        if "_target_" not in content:
            assert group == "trainer"
            return
        given_later = {
            "model": {"input_size", "output_size", "activation"},
            "activation": {"x"},
            "loss": {"prediction", "target"},
            "gradient": {"gradients"},
            "optimizer": {"parameters", "steps"},
        }.get(group, set())
        own = {key for key in content if not key.startswith("_")} - {"description", "reference"}
        own -= {"source"} if group != "task" else set()
        parameters = set(inspect.signature(get_object(content["_target_"])).parameters)
        assert own == parameters - given_later
        assert given_later <= parameters

    def test_its_code_is_in_the_key(self, group: str, option: str) -> None:
        target = section(group, option).get("_target_")
        if target:
            module, _, name = target.rpartition(".")
            assert (module, name) in reached_definitions([target])

    def test_its_code_has_a_docstring(self, group: str, option: str) -> None:
        target = section(group, option).get("_target_")
        assert target is None or (get_object(target).__doc__ or "").strip()

    def test_passes_the_check_before_training(self, group: str, option: str) -> None:
        components.check(compose_run(CONF, {group: option}).config)

    def test_may_be_the_default(self, group: str, option: str) -> None:
        """Nothing that another option sets is needed."""
        run = compose_run(CONF, {group: option})
        assert run.choices[group] == option


@cases("task")
def test_a_task_is_one(group: str, option: str) -> None:
    assert isinstance(components.build_task(compose_run(CONF, {group: option}).config), Task)


@cases("model", "activation", "loss", "gradient", "optimizer", "trainer")
def test_trains_the_same_alone_and_together(group: str, option: str) -> None:
    """Invariants 2 and 3 for every option: finite results that do not depend on the block."""
    run = compose_run(CONF, {**{key: SMALL[key] for key in SMALL}, group: option})
    recipe, task = components.build_recipe(run.config), components.build_task(run.config)
    together = train_block(recipe, task, [0, 1, 2], 0, observer=Silent())
    (alone,) = train_block(recipe, task, [1], 0, observer=Silent())
    assert [result.outcome for result in together] == ["ok"] * 3
    assert together[1].weight_digest == alone.weight_digest
    assert together[1].test_metrics == alone.test_metrics and together[1].history == alone.history
    assert len({result.weight_digest for result in together}) == 3


@cases("activation")
class TestActivation:
    def of(self, option: str) -> Any:
        return components._component(compose_run(CONF, {"activation": option}).config, "activation")

    def test_keeps_shape_and_type(self, group: str, option: str) -> None:
        for dtype in (torch.float32, torch.float64):
            x = torch.linspace(-8, 8, 24, dtype=dtype).reshape(2, 3, 4)
            found = self.of(option)(x)
            assert found.shape == x.shape and found.dtype == dtype

    def test_values_and_gradients_are_finite(self, group: str, option: str) -> None:
        x = torch.tensor([-1e4, -88.0, -1.0, 0.0, 1e-8, 1.0, 88.0, 1e4], requires_grad=True)
        found = self.of(option)(x)
        found.sum().backward()
        assert x.grad is not None and found.isfinite().all() and x.grad.isfinite().all()

    def test_leaves_its_argument_alone(self, group: str, option: str) -> None:
        x = torch.linspace(-2, 2, 9)
        before = x.clone()
        self.of(option)(x)
        assert torch.equal(x, before)


@cases("loss")
class TestLoss:
    def of(self, option: str) -> Any:
        return components._component(compose_run(CONF, {"loss": option}).config, "loss")

    def test_one_value_an_element(self, group: str, option: str) -> None:
        prediction, target = torch.randn(5, 3), torch.randn(5, 3)
        loss = self.of(option)
        found = loss(prediction, target)
        assert found.shape == (5, 3)
        assert torch.allclose(found[2, 1], loss(prediction[2:3, 1:2], target[2:3, 1:2])[0, 0])

    def test_least_at_the_target(self, group: str, option: str) -> None:
        """0 there, and it grows on both sides; exp_or_log too, although its slope there is not 0."""
        distance = torch.tensor([[-30.0], [-3.0], [-0.1], [0.0], [0.1], [3.0], [30.0]])
        found = self.of(option)(distance + 2, torch.full_like(distance, 2)).flatten()
        assert found[3] == 0
        assert (found[:4].diff() < 0).all() and (found[3:].diff() > 0).all()

    def test_values_and_gradients_are_finite(self, group: str, option: str) -> None:
        prediction = torch.tensor([[-1e4, -90.0, -1.0, 0.0, 1.0, 90.0, 1e4]], requires_grad=True)
        found = self.of(option)(prediction, torch.zeros_like(prediction))
        found.sum().backward()
        assert prediction.grad is not None and found.isfinite().all() and prediction.grad.isfinite().all()


@cases("model")
class TestModel:
    def test_shapes(self, group: str, option: str) -> None:
        for inputs, outputs, steps in ((1, 1, 1), (3, 2, 5)):
            model = recipe_with(group, option).build_model(inputs, outputs)
            assert model(torch.randn(4, steps, inputs)).shape == (4, outputs)

    def test_samples_do_not_see_one_another(self, group: str, option: str) -> None:
        """Else padding rows would count."""
        model = recipe_with(group, option).build_model(2, 1)
        model.load_state_dict(initial_parameters(lambda: model, 0, 0))
        inputs = torch.randn(4, 5, 2)
        other = inputs.clone()
        other[1:] = 1e3
        assert torch.allclose(model(inputs)[0], model(other)[0])

    def test_every_parameter_is_drawn_and_learns(self, group: str, option: str) -> None:
        model = recipe_with(group, option).build_model(2, 1)
        starts = [initial_parameters(lambda: recipe_with(group, option).build_model(2, 1), seed, 0) for seed in (0, 1)]
        model.load_state_dict(starts[0])
        model(torch.randn(6, 5, 2)).square().sum().backward()
        for name, parameter in model.named_parameters():
            assert not torch.equal(starts[0][name], starts[1][name]), name
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
            assert starts[0][name].isfinite().all()


@cases("gradient")
def test_a_gradient_rule_keeps_names_shapes_and_direction(group: str, option: str) -> None:
    rule = recipe_with(group, option).gradient_rule
    gradients = {"a": torch.randn(3, 4, 2) * 10, "b": torch.randn(3, 5)}
    found = vmap(rule)(gradients)
    assert list(found) == ["a", "b"]
    for name, value in gradients.items():
        assert found[name].shape == value.shape
    for seed in range(3):
        ours, theirs = (torch.cat([own["a"][seed].flatten(), own["b"][seed]]) for own in (found, gradients))
        assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0).item() == pytest.approx(1, abs=1e-5)


@cases("optimizer")
class TestOptimizer:
    def test_every_schedule(self, group: str, option: str) -> None:
        """The learning rate over 4 steps: constant, down to 1/4, or along half a cosine."""
        expected = {
            "constant": [1, 1, 1, 1],
            "linear": [1, 0.75, 0.5, 0.25],
            "cosine": [1, 0.8535533905932737, 0.5, 0.1464466094067262],
        }
        for schedule, factors in expected.items():
            config = compose_run(CONF, {**SMALL, "optimizer": option, "optimizer.schedule": schedule}).config
            parameter = torch.nn.Parameter(torch.ones(2))
            scheduler = components.build_recipe(config).optimizer([parameter], 4)
            rates = []
            for _ in range(4):
                rates.append(scheduler.get_last_lr()[0])
                parameter.grad = torch.ones(2)
                scheduler.optimizer.step()
                scheduler.step()
            base = config["optimizer"]["lr"]
            assert rates == pytest.approx([base * factor for factor in factors], rel=1e-9)

    def test_minimises(self, group: str, option: str) -> None:
        parameter = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
        scheduler = recipe_with(group, option).optimizer([parameter], 1000)
        for _ in range(1000):
            scheduler.optimizer.zero_grad()
            parameter.square().sum().backward()
            scheduler.optimizer.step()
            scheduler.step()
        assert parameter.detach().abs().max() < 0.1

    def test_elements_learn_as_they_would_alone(self, group: str, option: str) -> None:
        def after(start: torch.Tensor) -> torch.Tensor:
            parameter = torch.nn.Parameter(start.clone())
            scheduler = recipe_with(group, option).optimizer([parameter], 10)
            for _ in range(10):
                scheduler.optimizer.zero_grad()
                parameter.pow(4).sum().backward()
                scheduler.optimizer.step()
                scheduler.step()
            return parameter.detach()

        both = after(torch.tensor([[1.0, 0.3], [-0.5, 0.2]]))
        assert torch.equal(both[1], after(torch.tensor([[-0.5, 0.2]]))[0])


def test_a_task_that_is_none(own_conf: Path) -> None:
    text = "description: d\nreference: r\n_target_: fractions.Fraction\n"
    (own_conf / "task" / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"fractions\.Fraction is not a notafluke\.tasks\.base\.Task"):
        components.build_task(compose_run(own_conf, {"task": "mine"}).config)


def test_options_that_a_component_does_not_take(own_conf: Path) -> None:
    path = own_conf / "model" / "rnn.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "width: 3\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"model \(notafluke\.nn\.recurrent\.rnn\).*width"):
        components.check(compose_run(own_conf, {"model": "rnn"}).config)


def test_options_that_a_component_lacks(own_conf: Path) -> None:
    path = own_conf / "model" / "rnn.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("depth: 1\n", ""), encoding="utf-8")
    with pytest.raises(UsageError, match="depth"):
        components.check(compose_run(own_conf, {"model": "rnn"}).config)


def test_a_function_of_pytorch_as_a_component_is_no_crash(own_conf: Path) -> None:
    """`_target_: torch.tanh` has no signature that Python knows: it works, or one line says why it does not."""
    text = "description: d\nsource: s\n_target_: torch.tanh\n_partial_: true\n"
    (own_conf / "activation" / "theirs.yaml").write_text(text, encoding="utf-8")
    try:
        components.check(compose_run(own_conf, {"activation": "theirs"}).config)
    except UsageError as error:
        assert "torch.tanh" in str(error)
