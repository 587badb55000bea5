"""The figures of a trading rule against accounts that are kept day by day."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import brentq

from notafluke.tasks.base import Float64
from notafluke.tasks.stock_rule import (
    annual_yield,
    break_even_cost,
    count_trades,
    daily_returns,
    long_short_yield,
    sharpe,
)

CLOSE = (100, 110, 99, 99, 108.9, 98.01, 107.811)
SIX_DAYS = 100 * np.diff(np.log(CLOSE))
ACCOUNTS = st.lists(st.tuples(st.booleans(), st.floats(-0.2, 0.2)), min_size=2, max_size=60)


def arrays(days: list[tuple[bool, float]]) -> tuple[NDArray[np.bool_], Float64]:
    """Return positions and log returns of days with simple returns."""
    return np.array([held for held, _ in days]), 100 * np.log1p([simple for _, simple in days])


@settings(deadline=None)
@given(ACCOUNTS, st.floats(0, 0.05))
def test_daily_returns_against_an_account(days: list[tuple[bool, float]], cost: float) -> None:
    position, expected = False, []
    for held, simple in days:
        wealth = (1 - cost) if held != position else 1.0
        position = held
        expected.append(100 * math.log(wealth * (1 + simple if held else 1.0)))
    positions, log_returns = arrays(days)
    found = daily_returns(positions, log_returns, cost)
    assert found.tolist() == pytest.approx(expected, abs=1e-9)
    total = 100 * math.expm1(found.sum() / 100 * 252 / len(days))
    assert total == pytest.approx(annual_yield(positions, log_returns, cost), rel=1e-6, abs=1e-6)


def test_sharpe_of_six_days_by_hand() -> None:
    """In for days 1, 2 and 4 at a cost of 1 %: 0.99 * 1.1, 0.9, 0.99, 0.99 * 1.1, 0.99, 1."""
    held = np.array([True, True, False, True, False, False])
    simple = [0.089, -0.1, -0.01, 0.089, -0.01, 0.0]
    expected = statistics.fmean(simple) / statistics.stdev(simple) * math.sqrt(252)
    assert sharpe(daily_returns(held, SIX_DAYS, 0.01)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("returns", [[0.0] * 5, [0.3] * 50, [1.0]])
def test_sharpe_without_variance_is_zero(returns: list[float]) -> None:
    assert sharpe(np.array(returns)) == 0.0


@settings(deadline=None)
@given(ACCOUNTS, st.floats(0, 0.05))
def test_long_short_against_an_account(days: list[tuple[bool, float]], cost: float) -> None:
    wealth, position = 1.0, 0
    for held, simple in days:
        side = 1 if held else -1
        wealth *= (1 - cost) ** abs(side - position)
        wealth *= 1 + side * simple
        position = side
    expected = 100 * (wealth ** (252 / len(days)) - 1)
    assert long_short_yield(*arrays(days), cost) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_long_short_of_six_days_by_hand() -> None:
    """Long 1, 2 and 4, short 3, 5 and 6: 1.1 * 0.9 * 1 * 1.1 * 1.1 * 0.9; units 1, 2, 2, 2 at 1 %."""
    held = np.array([True, True, False, True, False, False])
    wealth = 1.1 * 0.9 * 1.0 * 1.1 * 1.1 * 0.9 * 0.99**7
    assert long_short_yield(held, SIX_DAYS, 0.01) == pytest.approx(100 * (wealth**42 - 1), rel=1e-9)


@pytest.mark.parametrize("growth", [2.0, 2.5])
def test_an_index_that_doubles_ruins_the_short_side(growth: float) -> None:
    returns = 100 * np.log([1.1, growth])
    assert long_short_yield(np.array([True, False]), returns, 0.001) == -100.0
    assert long_short_yield(np.array([False, True]), returns, 0.0) > -100.0


@settings(deadline=None)
@given(ACCOUNTS)
def test_at_the_break_even_cost_the_yields_are_equal(days: list[tuple[bool, float]]) -> None:
    held, returns = arrays(days)
    cost, trades = break_even_cost(held, returns) / 100, count_trades(held)
    assert math.isfinite(cost)
    ahead = annual_yield(held, returns, 0.0) - annual_yield(np.ones_like(held), returns, 0.0)
    assert cost * ahead >= -1e-12, "on the same side, but for rounding"
    if trades < 2:
        # One more trade at this cost takes what the rule is ahead.
        left_out = float(np.prod(1 / np.exp(returns[~held] / 100)))
        assert left_out * (1 - cost) == pytest.approx(1)
    else:
        rule = float(np.sum(returns[held])) / 100 + trades * math.log1p(-cost)
        hold = float(np.sum(returns)) / 100 + math.log1p(-cost)
        assert rule == pytest.approx(hold, abs=1e-9)


def test_break_even_cost_against_a_root_finder() -> None:
    """Six days, in for 1, 2, 4 and 6: it avoids a fall of 10 %, ahead by 1 / 0.9 over 4 trades beyond the entry."""
    held = np.array([True, True, False, True, False, True])

    def difference(cost: float) -> float:
        return annual_yield(held, SIX_DAYS, cost) - annual_yield(np.ones_like(held), SIX_DAYS, cost)

    root = brentq(difference, 0, 0.5, xtol=1e-14)
    assert break_even_cost(held, SIX_DAYS) == pytest.approx(100 * root, rel=1e-8)
    assert break_even_cost(held, SIX_DAYS) == pytest.approx(100 * (1 - 0.9 ** (1 / 4)), rel=1e-12)


def test_break_even_cost_without_trades_beyond_the_entry() -> None:
    always, never = np.ones(6, dtype=np.bool_), np.zeros(6, dtype=np.bool_)
    assert break_even_cost(always, SIX_DAYS) == 0.0
    # In cash, behind an index that rose to 1.07811: negative.
    assert break_even_cost(never, SIX_DAYS) == pytest.approx(100 * (1 - 1.07811))
    # Late, after a rise of 10 %: negative; after the fall to 0.99: ahead.
    assert break_even_cost(np.arange(6) >= 1, SIX_DAYS) == pytest.approx(100 * (1 - 1.1))
    assert break_even_cost(np.arange(6) >= 2, SIX_DAYS) == pytest.approx(100 * (1 - 0.99))
