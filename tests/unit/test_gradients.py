"""Gradient rules against PyTorch's own clipping and plain arithmetic, one model at a time and batched over seeds."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.func import vmap

from notafluke.training import gradients as rules

SHAPES = {"weight": (4, 3), "recurrent": (4, 4), "bias": (4,), "scalar": ()}


def draw(seed: int, norm: float) -> dict[str, Tensor]:
    """Random gradients of a given global norm."""
    random = torch.Generator().manual_seed(seed)
    raw = {name: torch.randn(shape, generator=random, dtype=torch.float64) for name, shape in SHAPES.items()}
    size = length(raw)
    return {name: (value * (norm / size)).float() for name, value in raw.items()}


def length(gradients: dict[str, Tensor]) -> float:
    """The global norm in float64."""
    return math.sqrt(sum(value.double().square().sum().item() for value in gradients.values()))


def clip(norm: float) -> Callable[[rules.Gradients], rules.Gradients]:
    return lambda gradients: rules.clip_norm(gradients, norm)


def scale(coefficient: float) -> Callable[[rules.Gradients], rules.Gradients]:
    return lambda gradients: rules.scale_norm(gradients, coefficient)


def assert_equal(found: rules.Gradients, expected: rules.Gradients) -> None:
    assert list(found) == list(expected)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0, equal_nan=True)


def test_none_leaves_all_as_it_is() -> None:
    gradients = draw(0, 123.0)
    assert_equal(rules.none(gradients), gradients)


@pytest.mark.parametrize("norm", [1e-3, 0.5, 0.999])
def test_clip_leaves_shorter_gradients_as_they_are(norm: float) -> None:
    gradients = draw(1, norm)
    assert_equal(rules.clip_norm(gradients, 1.0), gradients)


@pytest.mark.parametrize("norm", [1.001, 7.0, 1e4])
@pytest.mark.parametrize("max_norm", [0.1, 1.0])
def test_clip_agrees_with_pytorch(norm: float, max_norm: float) -> None:
    gradients = draw(2, norm)
    parameters = [torch.nn.Parameter(torch.zeros_like(value)) for value in gradients.values()]
    for parameter, value in zip(parameters, gradients.values(), strict=True):
        parameter.grad = value.clone()
    torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    found = rules.clip_norm(gradients, max_norm)
    assert length(dict(found)) == pytest.approx(max_norm, rel=1e-6)
    for value, parameter in zip(found.values(), parameters, strict=True):
        torch.testing.assert_close(value, parameter.grad, rtol=1e-5, atol=0)  # PyTorch adds 1e-6 to the norm


@pytest.mark.parametrize("norm", [1e-6, 0.3, 1.0, 50.0])
@pytest.mark.parametrize("coefficient", [1.0, (1 + 5**0.5) / 2, (5**0.5 - 1) / 2])
def test_scale_gives_the_norm_always_and_keeps_the_direction(norm: float, coefficient: float) -> None:
    gradients = draw(3, norm)
    found = rules.scale_norm(gradients, coefficient)
    for name, value in gradients.items():
        torch.testing.assert_close(found[name].double(), value.double() * (coefficient / norm), rtol=1e-5, atol=0)


@pytest.mark.parametrize("rule", [clip(2.0), scale(2.0), rules.none], ids=["clip", "scale", "none"])
def test_every_seed_of_a_block_has_a_norm_of_its_own(rule: Callable[[rules.Gradients], rules.Gradients]) -> None:
    each = [draw(seed, norm) for seed, norm in enumerate((1e-4, 0.5, 1.9, 2.1, 3e5, 0.0))]
    stacked = {name: torch.stack([own[name] for own in each]) for name in SHAPES}
    together = vmap(rule)(stacked)
    for position, own in enumerate(each):
        alone = rule(own)
        for name in SHAPES:
            torch.testing.assert_close(together[name][position], alone[name], rtol=1e-6, atol=0)


@pytest.mark.parametrize("rule", [clip(2.0), scale(2.0)], ids=["clip", "scale"])
def test_a_seed_that_is_not_finite_does_not_touch_its_neighbours(
    rule: Callable[[rules.Gradients], rules.Gradients],
) -> None:
    each = [draw(seed, 5.0) for seed in range(3)]
    expected = vmap(rule)({name: torch.stack([own[name] for own in each]) for name in SHAPES})
    for bad in (math.nan, math.inf, -math.inf):
        each[1] = {name: value + bad for name, value in each[1].items()}
        found = vmap(rule)({name: torch.stack([own[name] for own in each]) for name in SHAPES})
        for name in SHAPES:
            assert torch.equal(found[name][[0, 2]], expected[name][[0, 2]])


@pytest.mark.parametrize("rule", [clip(2.0), scale(2.0), rules.none], ids=["clip", "scale", "none"])
def test_zero_stays_zero(rule: Callable[[rules.Gradients], rules.Gradients]) -> None:
    zero = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    assert_equal(rule(zero), zero)


@pytest.mark.parametrize("rule", [clip(2.0), scale(2.0), rules.none], ids=["clip", "scale", "none"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_left_as_it_is(rule: Callable[[rules.Gradients], rules.Gradients], bad: float) -> None:
    gradients = draw(4, 3.0)
    gradients["bias"][2] = bad
    assert_equal(rule(gradients), gradients)


@pytest.mark.parametrize("rule", [clip(2.0), scale(2.0)], ids=["clip", "scale"])
@pytest.mark.parametrize("norm", [1e18, 1e25, 1e35])
def test_an_exploded_but_finite_gradient_is_brought_to_the_norm(
    rule: Callable[[rules.Gradients], rules.Gradients], norm: float
) -> None:
    """Its square overflows float32, which must not turn the step into none at all."""
    assert length(dict(rule(draw(5, norm)))) == pytest.approx(2.0, rel=1e-5)


@pytest.mark.parametrize("norm", [1e-18, 1e-25, 1e-30])
def test_a_vanishing_gradient_is_scaled_too(norm: float) -> None:
    """Its square underflows float32."""
    assert length(dict(rules.scale_norm(draw(6, norm), 2.0))) == pytest.approx(2.0, rel=1e-5)


def test_a_denormal_gradient_becomes_neither_infinite_nor_nan() -> None:
    """The factor 1.618 / 1e-40 is beyond float32; zeros stay zeros."""
    found = rules.scale_norm({"a": torch.tensor([1e-40, 0.0, -1e-40])}, 1.618)
    assert length(dict(found)) == pytest.approx(1.618, rel=1e-3) and found["a"][1] == 0


def test_below_its_limit_clipping_changes_no_bit() -> None:
    gradients = draw(7, 0.9)
    assert_equal(rules.clip_norm(gradients, 1.0), gradients)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=8), st.floats(1e-3, 1e3))
def test_clip_never_lengthens_nor_turns(entries: list[float], max_norm: float) -> None:
    gradients = {"g": torch.tensor(entries)}
    found = rules.clip_norm(gradients, max_norm)
    assert length(dict(found)) <= min(max_norm, length(gradients)) * (1 + 1e-5)
    assert (found["g"] * gradients["g"] >= 0).all()


def test_which_rules_set_the_size_of_the_gradient_themselves() -> None:
    """Found by trying, so for a rule of one's own too."""
    assert rules.ignores_size(scale(1.0)) and rules.ignores_size(scale(0.618))
    assert rules.ignores_size(lambda gradients: {name: value.sign() for name, value in gradients.items()})
    for rule in (rules.none, clip(1.0), clip(100.0), lambda gradients: rules.clip_value(gradients, 1.0)):
        assert not rules.ignores_size(rule)


class TestClipValue:
    def test_every_entry_is_cut(self) -> None:
        gradients = {"a": torch.tensor([[3.0, -0.5], [-7.0, 0.0]]), "b": torch.tensor([1.0])}
        found = rules.clip_value(gradients, 1.0)
        assert found["a"].tolist() == [[1.0, -0.5], [-1.0, 0.0]] and found["b"].tolist() == [1.0]

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_what_is_not_finite_is_left_whole(self, bad: float) -> None:
        """Cut to 1, an infinite entry would hide that the run has diverged."""
        gradients = {"a": torch.tensor([3.0, bad]), "b": torch.tensor([5.0])}
        assert_equal(rules.clip_value(gradients, 1.0), gradients)

    def test_each_seed_for_itself(self) -> None:
        gradients = {"a": torch.tensor([[3.0, 0.1], [math.nan, 5.0]])}
        found = vmap(lambda own: rules.clip_value(own, 1.0))(gradients)["a"]
        assert found[0].tolist() == pytest.approx([1.0, 0.1]) and found[1, 1].item() == 5.0

    @pytest.mark.parametrize("value", [0, -1.0, math.nan])
    def test_the_value_must_be_positive(self, value: float) -> None:
        with pytest.raises(ValueError, match="max_value"):
            rules.clip_value({"a": torch.ones(1)}, value)


@pytest.mark.parametrize("value", [0, -1.0, math.nan, -math.inf])
def test_the_norm_must_be_positive(value: float) -> None:
    with pytest.raises(ValueError, match="max_norm"):
        rules.clip_norm(draw(0, 1.0), value)
    with pytest.raises(ValueError, match="coefficient"):
        rules.scale_norm(draw(0, 1.0), value)
