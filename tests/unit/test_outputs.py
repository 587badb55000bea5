"""Outputs and their losses against mpmath in 60 digits, at logits of up to +-1e4, and the identities between them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from notafluke.nn import outputs
from notafluke.nn.outputs import ClassOutput, largest_other

CCE, BCE = "categorical_cross_entropy", "binary_cross_entropy"
Numbers = Sequence[Any]


def shares(part: Any, rest: Any) -> tuple[Any, Any]:
    """p and 1 - p of a part of a whole, the second without subtracting."""
    return part / (part + rest), rest / (part + rest)


def others(x: Numbers, i: int) -> Numbers:
    return [*x[:i], *x[i + 1 :]]


def softmax(x: Numbers) -> list[tuple[Any, Any]]:
    return [shares(mpmath.exp(own), sum(map(mpmath.exp, others(x, i)))) for i, own in enumerate(x)]


def sigmoid(x: Numbers) -> list[tuple[Any, Any]]:
    return [shares(mpmath.exp(own), mpmath.mpf(1)) for own in x]


def topcat_margin(x: Numbers) -> list[tuple[Any, Any]]:
    return [shares(mpmath.exp(own - max(others(x, i))), mpmath.mpf(1)) for i, own in enumerate(x)]


def topcat_total(x: Numbers) -> list[tuple[Any, Any]]:
    return [shares(mpmath.exp(own), 1 + sum(map(mpmath.exp, others(x, i)))) for i, own in enumerate(x)]


PROBABILITIES: dict[str, tuple[type[ClassOutput], Callable[[Numbers], list[tuple[Any, Any]]]]] = {
    "softmax": (outputs.Softmax, softmax),
    "sigmoid": (outputs.Sigmoid, sigmoid),
    "topcat_margin": (outputs.TopcatMargin, topcat_margin),
    "topcat_total": (outputs.TopcatTotal, topcat_total),
}
LOGITS = [
    [0.5, -1.0, 2.0],
    [1e4, -1e4, 0.0],
    [-1e4, -1e4 + 3, -1e4 - 2],
    [1e4, 1e4 - 1, 1e4 - 40],
    [-1e4, 0.0, 1.0],
    [30.0, -30.0, 29.0],
    [88.0, 89.0, -104.0],
    [1e-4, 0.0, -1e-4],
    [100.0, 0.25],
    [-1e4, 1e4],
    [3.0, 1.0, 0.0, -1.0, -2.0, 5.0],
    [1e4, 0.3, 0.7, -0.2],
    [-1e4, -3.0, -2.5, 9e3],
]


def cross_entropy(kind: str, probabilities: list[tuple[Any, Any]], target: int) -> Any:
    hit = -mpmath.log(probabilities[target][0])
    if kind == CCE:
        return hit
    return hit - sum(mpmath.log(miss) for i, (_, miss) in enumerate(probabilities) if i != target)


def exact_loss(name: str, kind: str, logits: Numbers, target: int) -> Any:
    return cross_entropy(kind, PROBABILITIES[name][1](logits), target)


def one_hot(target: int, classes: int, dtype: torch.dtype) -> Tensor:
    return torch.eye(classes, dtype=dtype)[target]


DIGITS = 60


@pytest.mark.parametrize("name", PROBABILITIES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-13)])
class TestAgainstManyDigits:
    def test_log_probabilities(self, name: str, dtype: torch.dtype, tolerance: float) -> None:
        """Of hit and miss, relatively: a probability of 1e-4000 is right in its exponent."""
        for logits in LOGITS:
            x = torch.tensor(logits, dtype=dtype)
            found = PROBABILITIES[name][0](CCE).log_probabilities(x)
            with mpmath.workdps(DIGITS):
                exact = PROBABILITIES[name][1]([mpmath.mpf(own) for own in x.tolist()])
                hit, miss = ([float(mpmath.log(own)) for own in side] for side in zip(*exact, strict=True))
            assert found.hit.tolist() == pytest.approx(hit, rel=tolerance, abs=tolerance)
            assert found.miss.tolist() == pytest.approx(miss, rel=tolerance, abs=tolerance)

    @pytest.mark.parametrize("kind", [CCE, BCE])
    def test_loss_and_gradient(self, name: str, dtype: torch.dtype, tolerance: float, kind: str) -> None:
        for logits in LOGITS:
            for target in range(len(logits)):
                x = torch.tensor(logits, dtype=dtype, requires_grad=True)
                loss = PROBABILITIES[name][0](kind).own_loss(x, one_hot(target, len(logits), dtype))
                (gradient,) = torch.autograd.grad(loss, x)
                exact = [mpmath.mpf(own) for own in x.tolist()]
                with mpmath.workdps(DIGITS):
                    expected = exact_loss(name, kind, exact, target)
                    slopes = []
                    for i in range(len(exact)):
                        step = mpmath.mpf(10) ** -20
                        ends = [
                            exact_loss(
                                name, kind, [own + sign * step * (j == i) for j, own in enumerate(exact)], target
                            )
                            for sign in (1, -1)
                        ]
                        slopes.append(float((ends[0] - ends[1]) / (2 * step)))
                assert loss.item() == pytest.approx(float(expected), rel=tolerance, abs=tolerance)
                assert gradient.tolist() == pytest.approx(slopes, rel=tolerance, abs=tolerance * 2)


@pytest.mark.parametrize("name", PROBABILITIES)
@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=6), st.integers(0, 5))
@settings(deadline=None)
def test_always_finite(name: str, logits: list[float], target: int) -> None:
    """Equal logits too, and both losses; a probability is one."""
    for kind in (CCE, BCE):
        output = PROBABILITIES[name][0](kind)
        x = torch.tensor(logits, requires_grad=True)
        loss = output.own_loss(x, one_hot(target % len(logits), len(logits), torch.float32))
        (gradient,) = torch.autograd.grad(loss, x)
        log = output.log_probabilities(x)
        assert loss.isfinite() and loss >= 0 and gradient.isfinite().all()
        assert log.hit.isfinite().all() and log.miss.isfinite().all()
        assert (log.hit <= 0).all() and (log.miss <= 0).all()


def test_the_definitions_above_are_those_of_the_notebook() -> None:
    """At moderate logits, where 1 - p can be subtracted."""
    x = [0.5, -1.0, 2.0]
    e = [mpmath.exp(own) for own in x]
    expected = {
        "softmax": [own / sum(e) for own in e],
        "sigmoid": [1 / (1 + 1 / own) for own in e],
        "topcat_margin": [1 / (1 + mpmath.exp(top - own)) for own, top in zip(x, [2.0, 2.0, 0.5], strict=True)],
        "topcat_total": [own / (1 + sum(e)) for own in e],
    }
    for name, probabilities in expected.items():
        for p, (hit, miss) in zip(probabilities, PROBABILITIES[name][1](x), strict=True):
            assert float(hit) == pytest.approx(float(p), rel=1e-14)
            assert float(miss) == pytest.approx(float(1 - p), rel=1e-14)


LISTS = st.lists(st.floats(-50, 50), min_size=2, max_size=6)


@given(LISTS)
def test_totals(logits: list[float]) -> None:
    """Softmax sums to 1, topcat_total to less (the rest is none of these); one of topcat_margin may exceed 1/2."""
    x = torch.tensor(logits, dtype=torch.float64)
    total = {name: make(CCE).values(x) for name, (make, _) in PROBABILITIES.items()}
    assert total["softmax"].sum().item() == pytest.approx(1, rel=1e-12)
    none_of_these = 1 / (1 + torch.exp(x).sum().item())
    assert total["topcat_total"].sum().item() == pytest.approx(1 - none_of_these, rel=1e-9, abs=1e-12)
    assert (total["topcat_margin"] > 0.5 + 1e-12).sum() <= 1


@given(LISTS)
def test_softmax_is_a_sigmoid_of_its_margin_over_the_others(logits: list[float]) -> None:
    x = torch.tensor(logits, dtype=torch.float64)
    rest = torch.stack([torch.logsumexp(x[torch.arange(len(x)) != i], 0) for i in range(len(x))])
    torch.testing.assert_close(outputs.Softmax(CCE).values(x), torch.sigmoid(x - rest), rtol=1e-9, atol=1e-300)


@given(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), st.integers(0, 1))
def test_for_two_classes_topcat_margin_is_softmax_and_bce_is_twice_cce(
    logits: tuple[float, float], target: int
) -> None:
    x, t = torch.tensor(logits, dtype=torch.float64), one_hot(target, 2, torch.float64)
    margin, soft = outputs.TopcatMargin(BCE), outputs.Softmax(CCE)
    torch.testing.assert_close(margin.log_probabilities(x).hit, soft.log_probabilities(x).hit, rtol=1e-12, atol=1e-12)
    assert margin.own_loss(x, t).item() == pytest.approx(2 * soft.own_loss(x, t).item(), rel=1e-9, abs=1e-12)


@given(LISTS, st.floats(-100, 100))
def test_a_common_shift_changes_only_what_knows_an_absolute_level(logits: list[float], shift: float) -> None:
    x = torch.tensor(logits, dtype=torch.float64)
    for make in (outputs.Softmax, outputs.TopcatMargin):
        torch.testing.assert_close(make(CCE).values(x + shift), make(CCE).values(x), rtol=1e-9, atol=1e-12)


def test_pytorchs_own_losses() -> None:
    random = torch.Generator().manual_seed(0)
    x, classes = torch.randn(20, 5, generator=random), torch.randint(0, 5, (20,), generator=random)
    t = torch.eye(5)[classes]
    ours = outputs.Softmax(CCE).own_loss(x, t)
    assert ours.shape == (20,), "summed over the classes, one for each sample"
    torch.testing.assert_close(ours, torch.nn.functional.cross_entropy(x, classes, reduction="none"))
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(x, t, reduction="none").sum(1)
    torch.testing.assert_close(outputs.Sigmoid(BCE).own_loss(x, t), theirs)
    p = torch.softmax(x.double(), -1)
    theirs = torch.nn.functional.binary_cross_entropy(p, t.double(), reduction="none").sum(1)
    torch.testing.assert_close(outputs.Softmax(BCE).own_loss(x.double(), t.double()), theirs)


class TestLargestOther:
    def slow(self, x: Tensor) -> Tensor:
        """`amax` over the others, one by one: ties share its gradient."""
        return torch.stack([x[torch.arange(len(x)) != i].amax() for i in range(len(x))])

    @pytest.mark.parametrize("logits", list(itertools.product([0.0, 1.0, 2.5], repeat=4)))
    def test_value_and_gradient_with_every_pattern_of_ties(self, logits: tuple[float, ...]) -> None:
        weights = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
        ours, theirs = (torch.tensor(logits, dtype=torch.float64, requires_grad=True) for _ in range(2))
        found, expected = largest_other(ours), self.slow(theirs)
        assert torch.equal(found, expected)
        (found * weights).sum().backward()
        (expected * weights).sum().backward()
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-12)

    def test_over_the_last_axis(self) -> None:
        x = torch.randn(3, 4, 5)
        found = largest_other(x)
        assert torch.equal(found[1, 2], self.slow(x[1, 2]))


class TestBindingOfOutputAndLoss:
    def test_a_mismatch_is_explicit(self) -> None:
        """Topcat trained on categorical cross-entropy: possible, by the output's own option."""
        x = torch.tensor([1.0, 0.0, -1.0])
        found = outputs.TopcatMargin(CCE).own_loss(x, torch.tensor([0.0, 1.0, 0.0]))
        assert found.item() == pytest.approx(1.3132616875, rel=1e-6)  # log(1 + e)

    def test_an_unknown_loss_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"loss=binary_cross_entropi: .*did you mean 'binary_cross_entropy'"):
            outputs.Softmax("binary_cross_entropi")

    def test_a_linear_output_has_none(self) -> None:
        with pytest.raises(ValueError, match="no loss of its own"):
            outputs.Linear().own_loss(torch.zeros(2), torch.zeros(2))
