"""Activations against closed forms, published figures and the properties that their formulas promise."""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from notafluke.nn import activations

PHI = (1 + 5**0.5) / 2
Activation = Callable[[Tensor], Tensor]


def leaky_relu(x: Tensor) -> Tensor:
    return activations.leaky_relu(x, 0.01)


def elu(x: Tensor) -> Tensor:
    return activations.elu(x, 1.0)


def metallic_mean(x: float) -> mpmath.mpf:
    """The positive root of m^2 = x m + 1."""
    return mpmath.findroot(lambda m: m * m - x * m - 1, max(x, 0) + 1)


def metallic_slope(x: float) -> mpmath.mpf:
    return mpmath.diff(lambda own: (own + mpmath.sqrt(own**2 + 4)) / 2, x)


# Each by its definition, in 30 digits. Iris by the metallic mean, of which the code knows nothing.
DEFINITIONS: dict[str, tuple[Activation, Callable[[float], mpmath.mpf]]] = {
    "tanh": (activations.tanh, mpmath.tanh),
    "golden_tanh": (activations.golden_tanh, lambda x: mpmath.phi * mpmath.tanh(x)),
    "silver_tanh": (activations.silver_tanh, lambda x: (1 + mpmath.sqrt(2)) * mpmath.tanh(x)),
    "lecun_tanh": (activations.lecun_tanh, lambda x: mpmath.mpf("1.7159") * mpmath.tanh(2 * mpmath.mpf(x) / 3)),
    "iris": (activations.iris, lambda x: mpmath.sqrt(5) * (2 * metallic_slope(x) - 1)),
    "iris_sigmoid": (activations.iris_sigmoid, lambda x: 2 * metallic_slope(x) - 1),
    "iris_log": (activations.iris_log, lambda x: mpmath.log(metallic_mean(x))),
    "softsign": (activations.softsign, lambda x: x / (1 + abs(mpmath.mpf(x)))),
    "relu": (activations.relu, lambda x: max(mpmath.mpf(x), 0)),
    "leaky_relu": (leaky_relu, lambda x: x if x > 0 else mpmath.mpf("0.01") * x),
    "gelu": (activations.gelu, lambda x: x * mpmath.ncdf(x)),
    "silu": (activations.silu, lambda x: x / (1 + mpmath.exp(-x))),
    "mish": (activations.mish, lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x)))),
    "selu": (
        activations.selu,
        # Klambauer et al. 2017: the fixed point of mean 0 and variance 1.
        lambda x: (
            mpmath.mpf("1.0507009873554804934193349852946")
            * (x if x > 0 else mpmath.mpf("1.6732632423543772848170429916717") * mpmath.expm1(x))
        ),
    ),
    "elu": (elu, lambda x: x if x > 0 else mpmath.expm1(x)),
    "sin": (activations.sin, mpmath.sin),
}
POINTS = [-40.0, -5.5, -2.0, -1.0, -0.3, -1e-3, 1e-3, 0.25, 1.0, 1.5, 3.0, 40.0]


@pytest.mark.parametrize("name", DEFINITIONS)
class TestDefinition:
    @pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-13)])
    def test_value(self, name: str, dtype: torch.dtype, tolerance: float) -> None:
        """Within the tolerance, and a tenth of it in absolute terms: the tail of gelu cancels."""
        activation, definition = DEFINITIONS[name]
        points = torch.tensor(POINTS, dtype=dtype)
        with mpmath.workdps(30):
            expected = [float(definition(x)) for x in points.tolist()]
        assert activation(points).tolist() == pytest.approx(expected, rel=tolerance, abs=tolerance / 10)

    def test_slope(self, name: str) -> None:
        activation, definition = DEFINITIONS[name]
        points = torch.tensor(POINTS, dtype=torch.float64, requires_grad=True)
        activation(points).sum().backward()
        assert points.grad is not None
        with mpmath.workdps(30):
            # The metallic mean's own slope is found numerically: 30 digits leave 15 after two differences.
            expected = [float(mpmath.diff(definition, x, h=mpmath.mpf(10) ** -8)) for x in POINTS]
        assert points.grad.tolist() == pytest.approx(expected, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize(("law", "published"), [("normal", 1.007), ("laplace", 0.924)])
def test_golden_tanh_keeps_the_mean_absolute_deviation(law: str, published: float) -> None:
    """The input has mean 0 and mean absolute deviation 1: SD sqrt(pi/2) (normal), scale 1 (Laplace)."""
    x = torch.linspace(-60, 60, 1_200_001, dtype=torch.float64)
    density = torch.exp(-x * x / math.pi) / math.pi if law == "normal" else torch.exp(-x.abs()) / 2
    assert torch.trapezoid(density, x).item() == pytest.approx(1, abs=1e-8)
    assert torch.trapezoid(density * x.abs(), x).item() == pytest.approx(1, abs=1e-8)
    spread = torch.trapezoid(density * activations.golden_tanh(x).abs(), x).item()
    assert round(spread, 3) == published


def test_selu_keeps_mean_0_and_variance_1() -> None:
    """Its two constants are chosen for that, for standard normal inputs."""
    x = torch.linspace(-12, 12, 240_001, dtype=torch.float64)
    density = torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    found = activations.selu(x)
    assert torch.trapezoid(density * found, x).item() == pytest.approx(0, abs=1e-7)
    assert torch.trapezoid(density * found * found, x).item() == pytest.approx(1, abs=1e-7)


class TestIris:
    def test_at_known_points(self) -> None:
        """phi at 1: M(1) = phi, M'(1) = phi / sqrt(5). At 1.5 the root is 2.5."""
        x = torch.tensor([1.0, -1.0, 0.0, 1.5], dtype=torch.float64)
        assert activations.iris(x).tolist() == pytest.approx([1, -1, 0, 0.6 * 5**0.5], abs=1e-15)
        assert activations.iris_sigmoid(x).tolist() == pytest.approx([5**-0.5, -(5**-0.5), 0, 0.6], abs=1e-15)
        assert activations.iris_log(x).tolist() == pytest.approx([math.log(PHI), -math.log(PHI), 0, math.log(2)])

    @given(st.floats(-1e6, 1e6))
    def test_the_sigmoid_is_tanh_of_the_logarithm(self, x: float) -> None:
        at = torch.tensor(x, dtype=torch.float64)
        expected = torch.tanh(activations.iris_log(at)).item()
        assert activations.iris_sigmoid(at).item() == pytest.approx(expected, rel=1e-11, abs=1e-15)

    def test_no_float_is_too_far(self) -> None:
        """The square of a float32 overflows at 1.8e19."""
        x = torch.tensor([1e9, 1e19, 1e20, 3e38])
        assert activations.iris(x).tolist() == pytest.approx([5**0.5] * 4, rel=1e-6)
        assert activations.iris_sigmoid(-x).tolist() == pytest.approx([-1] * 4, rel=1e-6)
        assert activations.iris_log(x).isfinite().all()


FLOATS = st.floats(-(2.0**100), 2.0**100, width=32)
ODD = ["tanh", "golden_tanh", "silver_tanh", "lecun_tanh", "iris", "iris_sigmoid", "iris_log", "softsign", "sin"]
INCREASING = [*ODD[:-1], "relu", "leaky_relu", "selu", "elu"]
BOUNDS = {
    "tanh": 1.0,
    "golden_tanh": PHI,
    "silver_tanh": 1 + 2**0.5,
    "lecun_tanh": 1.7159,
    "iris": 5**0.5,
    "iris_sigmoid": 1.0,
    "softsign": 1.0,
    "sin": 1.0,
}
# The least value of each that has one: of gelu, silu and mish found to 6 digits by minimising their definitions.
LEAST = {"relu": 0.0, "gelu": -0.169971, "silu": -0.278465, "mish": -0.308843, "selu": -1.758100, "elu": -1.0}


@pytest.mark.parametrize("name", ODD)
@given(x=FLOATS)
def test_odd(name: str, x: float) -> None:
    at = torch.tensor([x])
    assert torch.equal(DEFINITIONS[name][0](-at), -DEFINITIONS[name][0](at))


@pytest.mark.parametrize("name", INCREASING)
@given(points=st.tuples(FLOATS, FLOATS))
def test_increasing(name: str, points: tuple[float, float]) -> None:
    """Never falling in float32 up to rounding, and rising where the points are well apart and near 0."""
    lower, upper = sorted(points)
    low, high = DEFINITIONS[name][0](torch.tensor([lower, upper])).tolist()
    assert low <= high + 3e-7 * abs(high)
    if -3 < lower < upper - 1e-3 < 3 and (upper > 1e-3 or name != "relu"):
        assert low < high


@pytest.mark.parametrize("name", BOUNDS)
@given(x=FLOATS)
def test_bounded_on_both_sides(name: str, x: float) -> None:
    assert abs(DEFINITIONS[name][0](torch.tensor([x])).item()) <= BOUNDS[name] * (1 + 3e-7)


@pytest.mark.parametrize("name", LEAST)
@given(x=FLOATS)
def test_bounded_below(name: str, x: float) -> None:
    assert DEFINITIONS[name][0](torch.tensor([x])).item() >= LEAST[name] - 2e-6


def test_iris_log_is_unbounded_and_slow() -> None:
    x = torch.logspace(1, 30, 30)
    steps = activations.iris_log(x).diff()
    np.testing.assert_allclose(steps.numpy(), math.log(10), rtol=2e-2)


@pytest.mark.parametrize(
    ("name", "slope"),
    [
        ("tanh", 1.0),
        ("golden_tanh", PHI),
        ("silver_tanh", 1 + 2**0.5),
        ("lecun_tanh", 1.7159 * 2 / 3),
        ("iris", 5**0.5 / 2),
        ("iris_sigmoid", 0.5),
        ("iris_log", 0.5),
        ("softsign", 1.0),
        ("relu", 0.0),
        ("leaky_relu", 0.01),
        ("gelu", 0.5),
        ("silu", 0.5),
        ("mish", 0.6),
        ("sin", 1.0),
    ],
)
def test_slope_at_zero(name: str, slope: float) -> None:
    """At a kink the side below, as documented."""
    x = torch.zeros(1, requires_grad=True)
    DEFINITIONS[name][0](x).sum().backward()
    assert x.grad is not None and x.grad.item() == pytest.approx(slope, rel=1e-6)
