"""One contract for every option found in conf/: described, importable, and it trains alone as together, bit for bit."""

from __future__ import annotations

import functools
import inspect
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra.utils import get_object
from torch import Tensor, nn
from torch.func import vmap

from notafluke import components
from notafluke.code_digest import reached_definitions
from notafluke.configuration import RunConfig, compose_run, groups, options
from notafluke.errors import UsageError
from notafluke.plan import make_plan
from notafluke.tasks.base import Task
from notafluke.tasks.dataset import DatasetTask
from notafluke.training.batching import call_seeds, initial_parameters, seed_losses
from notafluke.training.block import SeedBlock
from notafluke.training.engine import train_block
from notafluke.training.recipe import Recipe
from notafluke.training.results import SeedResult

CONF = Path(__file__).parents[2] / "conf"
OPTIONS = [(group, option) for group in groups(CONF) for option in options(CONF, group)]
# A small form of each kind of task; an option is tried on the first one that it fits.
SMALL_TEXT = {
    "length": 4,
    "characters": 170,
    "validation_characters": 90,
    "test_characters": 90,
    "symbols": 7,
    "sample_characters": 3,
}
SMALL_TASKS = {
    "adding": {"length": 4, "train_size": 40, "validation_size": 21, "test_size": 23},
    "lotto": {"numbers": 7, "drawn": 2, "window": 3, "train_size": 40, "validation_size": 21, "test_size": 23},
    "copy_memory": {"wait": 2, "recalled": 2, "train_size": 40, "validation_size": 21, "test_size": 23},
    "reversal": {"length": 3, "symbols": 5, "train_size": 40, "validation_size": 21, "test_size": 23},
    "text": SMALL_TEXT,
    "text_transfer": SMALL_TEXT,
    "music": {"length": 5, "samples": 1, "prompt": 3, "written": 2},
}
# Tasks whose options make no small form of their data: they are tried on the example of their dataset.
ON_THEIR_EXAMPLE = ("digits", "digits_pixels", "harmony", "images")
SMALL = {
    "task": "adding",
    **{f"task.{key}": str(value) for key, value in SMALL_TASKS["adding"].items()},
    "model.hidden_size": "5",
    "trainer.batch_size": "5",
    "trainer.max_epochs": "1",
}


@functools.cache
def fitting(group: str, option: str) -> dict[str, str]:
    """The overrides of a small task that an option fits, with the option."""
    refusals = []
    for task, sizes in SMALL_TASKS.items():
        if group == "task" and task != option:
            continue
        overrides = {"task": task, **{f"task.{key}": str(value) for key, value in sizes.items()}, group: option}
        try:
            components.check(compose_run(CONF, {**overrides, "model.hidden_size": "5", "trainer.batch_size": "5"}))
        except UsageError as error:
            refusals.append(str(error))
        else:
            return overrides
    if group == "task" and option.startswith("stock"):
        overrides = {"task": option, "task.window": "3", "task.start": "2017-06-01", **STOCK_SPLIT}
        return overrides | ({"task.hold": "5"} if option == "stock_pick" else {})
    if group == "task" and option in ON_THEIR_EXAMPLE:
        return {group: option}
    if group == "task" and option.startswith("earthquake"):
        return {"task": option, "task.step": "60.0", **EARTHQUAKE_SPLIT}
    pytest.fail(f"{group}={option} fits no task: {refusals}")


EARTHQUAKE_SPLIT = {
    "task.start": "'2013-01-01'",
    "task.train_end": "'2013-02-10'",
    "task.validation_end": "'2013-03-03'",
    "task.test_end": "'2013-03-26'",
}
STOCK_SPLIT = {
    "task.train_end": "'2017-08-31'",
    "task.validation_end": "'2017-10-31'",
    "task.test_end": "'2017-12-31'",
}


def run_of(group: str, option: str, **changes: str) -> RunConfig:
    return compose_run(
        CONF, {**fitting(group, option), **{key.replace("__", "."): own for key, own in changes.items()}}
    )


def parts_of(run: RunConfig) -> tuple[Recipe, Task]:
    task = components.build_task(run.config)
    if isinstance(task, DatasetTask) and run.choices["task"] in ON_THEIR_EXAMPLE:
        vars(task)["prepared"] = task.dataset.example()
    return components.build_recipe(run.config), task


def section(group: str, option: str) -> dict[str, Any]:
    """An option file, on top of the options of its group that it builds on."""
    content = yaml.safe_load((CONF / group / f"{option}.yaml").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    merged: dict[str, Any] = {}
    for entry in content.get("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            merged |= section(group, entry)
    return merged | content


def recipe_with(group: str, option: str) -> Recipe:
    return components.build_recipe(compose_run(CONF, {**SMALL, group: option}).config)


def cases(*wanted: str, without: tuple[str, ...] = ()) -> Any:
    chosen = [(group, option) for group, option in OPTIONS if group in wanted and option not in without]
    return pytest.mark.parametrize(("group", "option"), chosen, ids=[f"{group}={option}" for group, option in chosen])


def test_every_folder_of_options_is_a_group() -> None:
    folders = {path.name for path in CONF.iterdir() if path.is_dir()} - {"study"}
    assert folders == set(groups(CONF))


def test_everything_that_the_notebook_names_is_there() -> None:
    """The lists of the project's reference (its notebook and the issue that asked for them)."""
    named = {
        "activation": "tanh golden_tanh silver_tanh lecun_tanh iris iris_sigmoid iris_log softsign relu leaky_relu "
        "gelu silu mish selu elu sin",
        "output": "softmax_cce softmax_bce sigmoid_bce topcat_margin_bce topcat_total_bce",
        "loss": "exp_or_log exp_or_lin sqr_or_lin pow_or_lin lin_or_log sqr_or_sqrt double_or_half mule_or_dive "
        "mulgr_or_divgr golden silver sqrt5 twoxp_or_logtwo tenxp_or_logten exporlogtwo twoxporlog avg2e smooth_l1_log "
        "smooth_l1_or_l2 straight_l2_l1 linex logex abex mse mae huber smooth_l1",
        "gradient": "none clip_norm clip_value scale_norm scale_norm_golden scale_norm_golden_conjugate",
        "model": "rnn gru lstm lstm_lite lstm_lite_wide tcn lstm_dense_residual seq2seq mlp",
        "attention": "none additive temporal temporal_faulty",
        "state": "carried reset",
    }
    for group, names in named.items():
        assert set(names.split()) <= set(options(CONF, group)), group


def test_the_study_of_components_has_every_option(own_conf: Path) -> None:
    """One's own too: it sweeps over all options of a group, whatever they are."""
    text = "description: d\nsource: s\n_target_: torch.nn.functional.hardtanh\n_partial_: true\n"
    (own_conf / "activation" / "my_own.yaml").write_text(text, encoding="utf-8")
    used = {(own.group, own.option) for own in make_plan("components").options}
    for group in set(groups(own_conf)) - {"task", "trainer"}:
        assert {(group, option) for option in options(own_conf, group)} <= used
    assert {("task", task) for task in ("adding", "copy_memory", "lotto", "reversal")} <= used


@pytest.mark.parametrize("option", ["iris", "iris_sigmoid", "iris_log", "topcat_margin_bce", "topcat_total_bce"])
def test_a_reconstruction_is_called_one(option: str) -> None:
    group = "activation" if option.startswith("iris") else "output"
    content = section(group, option)
    assert "(reconstruction)" in content["description"]
    assert content["source"].startswith("the project's own reconstruction")
    assert "reconstruction" in (get_object(content["_target_"]).__doc__ or "")


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
            "attention": {"hidden_size"},
            "loss": {"prediction", "target"} if content.get("_partial_") else set(),
            "gradient": {"gradients"},
            "optimizer": {"parameters", "steps"},
        }.get(group, set())
        own = {key for key in content if not key.startswith("_")} - {"description", "reference", "defaults"}
        own -= {"source"} if group != "task" else set()
        parameters = set(inspect.signature(get_object(content["_target_"])).parameters)
        assert own == parameters - given_later - ({"attention", "steps"} if group == "model" else set())
        assert given_later <= parameters

    def test_its_code_is_in_the_key(self, group: str, option: str) -> None:
        target = section(group, option).get("_target_")
        if target:
            module, _, name = target.rpartition(".")
            assert (module, name) in reached_definitions([target])

    def test_its_code_has_a_docstring(self, group: str, option: str) -> None:
        target = section(group, option).get("_target_")
        assert target is None or (get_object(target).__doc__ or "").strip()

    def test_may_be_chosen_alone(self, group: str, option: str) -> None:
        """It composes with all other defaults."""
        run = compose_run(CONF, {group: option})
        assert run.choices[group] == option

    def test_trains_the_same_alone_and_together(self, group: str, option: str) -> None:
        """Invariants 2 and 3: finite results that do not depend on the block, to the last bit.

        Hidden 33 and batch 7: no multiple of any vector width. 40 rows: the last batch has 5.
        """
        run = run_of(group, option, model__hidden_size="33", trainer__batch_size="7", trainer__max_epochs="1")
        recipe, task = parts_of(run)
        ten = train(recipe, task, list(range(10)))
        assert {result.outcome for result in ten.values()} == {"ok"}
        assert len({result.weight_digest for result in ten.values()}) == 10
        for seeds in ([3], [8, 3], [9, 0, 3]):
            for seed, result in train(recipe, task, seeds).items():
                assert fingerprint(result) == fingerprint(ten[seed]), f"seed {seed} in {seeds}"


def train(recipe: Recipe, task: Task, seeds: list[int]) -> dict[int, SeedResult]:
    return {result.seed: result for result in train_block(recipe, task, seeds, 0)}


def fingerprint(result: SeedResult) -> tuple[Any, ...]:
    """All that a run leaves, to the last bit."""
    assert result.predictions is not None
    numbers = (result.history, result.validation_metrics, result.test_metrics, result.parameters)
    return result.weight_digest, result.predictions.tobytes(), repr(numbers)


@cases("model", "activation", "attention", "state", "loss", "output")
class TestWhatIsDifferentiated:
    def test_the_gradient_is_that_of_finite_differences(self, group: str, option: str) -> None:
        """In float64, through the engine's own code for a block of two seeds, along random directions."""
        recipe, task = parts_of(run_of(group, option, model__hidden_size="5", trainer__batch_size="6"))
        block = SeedBlock(recipe, task, [0, 1], 0, torch.device("cpu")).double()
        block.template[0].double()
        block.data.inputs = {name: values.double() for name, values in block.data.inputs.items()}
        truth = block.data.truth
        block.data.truth = lambda split, batch: truth(split, batch).double()  # type: ignore[method-assign]
        batch = block.batches("train", shuffle=False)[0]

        def loss() -> Tensor:
            outputs, _ = block.outputs(block.weights, "train", batch, None, training=True)
            return seed_losses(recipe.objective, outputs, block.data.truth("train", batch), batch.weights).sum()

        gradients = torch.autograd.grad(loss(), list(block.stacked))
        random = torch.Generator().manual_seed(5)
        for _ in range(3):
            directions = [torch.randn(own.shape, generator=random, dtype=torch.float64) for own in block.stacked]
            along = sum((own * way).sum().item() for own, way in zip(gradients, directions, strict=True))
            ends = []
            for step in (1e-6, -2e-6):
                with torch.no_grad():
                    for own, way in zip(block.stacked, directions, strict=True):
                        own += step * way
                    ends.append(loss().item())
            with torch.no_grad():
                for own, way in zip(block.stacked, directions, strict=True):
                    own += 1e-6 * way
            assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(along, rel=2e-5, abs=1e-8)

    def test_it_runs_on_any_device(self, group: str, option: str) -> None:
        """The meta device refuses to mix with tensors of another: what is made on the way must go along."""
        recipe, task = parts_of(run_of(group, option, model__hidden_size="5"))
        model = recipe.new_model(task, task.load(0, 0)).to("meta")
        data = task.load(0, 0).train
        inputs = torch.empty(4, *data.inputs.shape[1:], device="meta")
        steps = data.targets.shape[1:2] if task.targets_at != "last" else ()
        targets = torch.empty(4, *steps, task.output_size, device="meta")
        if task.targets_at == "sequence":
            outputs = model(inputs, targets)
            assert model(inputs, targets, free_running=True).shape == targets.shape
        elif recipe.state.carried:
            outputs = model(inputs, model.initial_state(inputs))[0]  # type: ignore[operator]
        else:
            outputs = model(inputs)
        outputs = outputs[:, -1] if task.targets_at == "last" and outputs.dim() == 3 else outputs
        found = recipe.objective(outputs, targets)
        found.sum().backward()
        assert {found.device.type, recipe.output.predictions(outputs).device.type} == {"meta"}
        assert all(own.grad is not None and own.grad.device.type == "meta" for own in model.parameters())


@cases("task")
def test_a_task_is_one(group: str, option: str) -> None:
    assert isinstance(components.build_task(compose_run(CONF, {group: option}).config), Task)


@cases("activation")
class TestActivation:
    def of(self, option: str) -> Any:
        return components.build_component(compose_run(CONF, {"activation": option}).config, "activation")

    def test_keeps_shape_and_type(self, group: str, option: str) -> None:
        for dtype in (torch.float32, torch.float64):
            x = torch.linspace(-8, 8, 24, dtype=dtype).reshape(2, 3, 4)
            found = self.of(option)(x)
            assert found.shape == x.shape and found.dtype == dtype

    def test_values_and_gradients_are_finite(self, group: str, option: str) -> None:
        x = torch.tensor([-1e20, -1e4, -88.0, -1.0, 0.0, 1e-8, 1.0, 88.0, 1e4, 1e20], requires_grad=True)
        found = self.of(option)(x)
        found.sum().backward()
        assert x.grad is not None and found.isfinite().all() and x.grad.isfinite().all()

    def test_leaves_its_argument_alone(self, group: str, option: str) -> None:
        x = torch.linspace(-2, 2, 9)
        before = x.clone()
        self.of(option)(x)
        assert torch.equal(x, before)


@cases("loss", without=("of_output",))
class TestLoss:
    def of(self, option: str) -> Any:
        return components.build_component(compose_run(CONF, {"loss": option}).config, "loss")

    def test_one_value_an_element(self, group: str, option: str) -> None:
        prediction, target = torch.randn(5, 3), torch.randn(5, 3)
        loss = self.of(option)
        found = loss(prediction, target)
        assert found.shape == (5, 3)
        assert torch.allclose(found[2, 1], loss(prediction[2:3, 1:2], target[2:3, 1:2])[0, 0])

    def test_least_at_the_target(self, group: str, option: str) -> None:
        """0 there, and it grows on both sides, also where its slope at the target is not 0."""
        distance = torch.tensor([[-30.0], [-3.0], [-0.1], [0.0], [0.1], [3.0], [30.0]])
        found = self.of(option)(distance + 2, torch.full_like(distance, 2)).flatten()
        assert found[3] == 0
        assert (found[:4].diff() < 0).all() and (found[3:].diff() > 0).all()

    def test_values_and_gradients_are_finite(self, group: str, option: str) -> None:
        """10^-d and its linear continuation, at distances that no float32 power would survive."""
        prediction = torch.tensor([[-1e12, -1e4, -90.0, -1.0, 0.0, 1.0, 90.0, 1e4, 1e12]], requires_grad=True)
        found = self.of(option)(prediction, torch.zeros_like(prediction))
        found.sum().backward()
        assert prediction.grad is not None and found.isfinite().all() and prediction.grad.isfinite().all()


def model_of(option: str, inputs: int, outputs: int, steps: int) -> nn.Module:
    recipe = recipe_with("model", option)
    return recipe.build_model(inputs, outputs, **({"steps": steps} if recipe.takes_steps else {}))


@cases("model")
class TestModel:
    def call(self, model: nn.Module, inputs: Tensor, outputs: int) -> Tensor:
        """Sequence models are given the true past: the first outputs of random numbers."""
        if "previous" in inspect.signature(model.forward).parameters:
            found: Tensor = model(inputs, inputs[..., :1].expand(-1, -1, outputs))
            return found
        found = model(inputs)
        return found

    def test_one_output_a_step(self, group: str, option: str) -> None:
        """Or one for all steps, where it reads them at once."""
        for inputs, outputs, steps in ((1, 1, 1), (3, 2, 5)):
            model = model_of(option, inputs, outputs, steps)
            wanted = (4, outputs) if option == "mlp" else (4, steps, outputs)
            assert self.call(model, torch.randn(4, steps, inputs), outputs).shape == wanted

    def test_samples_do_not_see_one_another(self, group: str, option: str) -> None:
        """Else padding rows would count."""
        model = model_of(option, 2, 1, 5)
        model.load_state_dict(initial_parameters(lambda: model, 0, 0))
        inputs = torch.randn(4, 5, 2)
        other = inputs.clone()
        other[1:] = 1e3
        assert torch.allclose(self.call(model, inputs, 1)[0], self.call(model, other, 1)[0])

    def test_every_parameter_is_drawn_and_learns(self, group: str, option: str) -> None:
        model = model_of(option, 2, 1, 5)
        starts = [initial_parameters(lambda: model_of(option, 2, 1, 5), seed, 0) for seed in (0, 1)]
        model.load_state_dict(starts[0])
        self.call(model, torch.randn(6, 5, 2), 1).square().sum().backward()
        for name, parameter in model.named_parameters():
            assert not torch.equal(starts[0][name], starts[1][name]), name
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
            assert starts[0][name].isfinite().all()

    @pytest.mark.parametrize("change", ["model.hidden_size=0", "model.hidden_size=-3", "model.depth=0"])
    def test_sizes_below_one_are_refused(self, group: str, option: str, change: str) -> None:
        """A perceptron may have no hidden layer."""
        change = change.replace("depth=0", "depth=-1") if option == "mlp" else change
        key, _, value = change.partition("=")
        with pytest.raises(UsageError, match=change.partition(".")[2]):
            components.check(run_of(group, option, **{key: value}))

    def test_dropout_outside_its_range_is_refused(self, group: str, option: str) -> None:
        for value in ("1.0", "-0.1"):
            with pytest.raises(UsageError, match="dropout="):
                components.check(run_of(group, option, **{"model.dropout": value}))


@cases("model", without=("seq2seq", "mlp"))
class TestModelInTime:
    """All but those that read a whole sample before they write."""

    def test_a_state_that_is_carried_is_exact(self, group: str, option: str) -> None:
        """Cut anywhere, in float64, the outputs are those of the uncut sequence; within a block of seeds too."""
        model = recipe_with(group, option).build_model(2, 3).double()
        model.load_state_dict(initial_parameters(lambda: model, 0, 0))
        inputs = torch.randn(4, 11, 2, dtype=torch.float64)
        whole, last = model(inputs, model.initial_state(inputs))  # type: ignore[operator]
        assert torch.equal(whole, model(inputs))
        for cuts in ([1, 10], [5, 6], [3, 3, 5], [1] * 11):
            state, parts = model.initial_state(inputs), []  # type: ignore[operator]
            for piece in inputs.split(cuts, dim=1):
                outputs, state = model(piece, state)
                parts.append(outputs)
            torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-12, atol=1e-13)
            for found, expected in zip(state, last, strict=True):
                torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
        stacked = {name: torch.stack([own, own + 0.1]) for name, own in model.named_parameters()}
        both = inputs.expand(2, *inputs.shape)
        start = tuple(part.expand(2, *part.shape) for part in model.initial_state(inputs))  # type: ignore[operator]
        first, state = call_seeds(model, stacked, both[:, :, :4], start)
        second, _ = call_seeds(model, stacked, both[:, :, 4:], state)
        torch.testing.assert_close(torch.cat([first, second], dim=2)[0], whole, rtol=1e-12, atol=1e-13)

    def test_the_future_does_not_reach_the_past(self, group: str, option: str) -> None:
        model = recipe_with(group, option).build_model(2, 3)
        model.load_state_dict(initial_parameters(lambda: model, 0, 0))
        inputs = torch.randn(3, 9, 2, generator=torch.Generator().manual_seed(2))
        other = inputs.clone()
        other[:, 4] += 1
        before, after = model(inputs), model(other)
        assert torch.equal(before[:, :4], after[:, :4])
        assert (before[:, 4:] != after[:, 4:]).any(dim=2).all()


@cases("gradient")
def test_a_gradient_rule_keeps_names_shapes_and_signs(group: str, option: str) -> None:
    """Those shipped that go by the norm keep the direction too."""
    rule = recipe_with(group, option).gradient_rule
    gradients = {"a": torch.randn(3, 4, 2) * 10, "b": torch.randn(3, 5)}
    found = vmap(rule)(gradients)
    assert list(found) == ["a", "b"]
    for name, value in gradients.items():
        assert found[name].shape == value.shape
        assert (found[name].sign() == value.sign()).all()
    if option not in ("none", "clip_norm", "scale_norm", "scale_norm_golden", "scale_norm_golden_conjugate"):
        return
    for seed in range(3):
        ours, theirs = (torch.cat([own["a"][seed].flatten(), own["b"][seed]]) for own in (found, gradients))
        assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0).item() == pytest.approx(1, abs=1e-5)


def test_the_coefficients_are_one_and_the_golden_ratio_and_its_conjugate() -> None:
    golden = (1 + math.sqrt(5)) / 2
    wanted = {"scale_norm": 1, "scale_norm_golden": golden, "scale_norm_golden_conjugate": golden - 1}
    gradients = {"a": torch.randn(4, 2, dtype=torch.float64), "b": torch.randn(5, dtype=torch.float64)}
    for option, norm in wanted.items():
        found = recipe_with("gradient", option).gradient_rule(gradients)
        assert torch.cat([own.flatten() for own in found.values()]).norm().item() == pytest.approx(norm, rel=1e-12)


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
