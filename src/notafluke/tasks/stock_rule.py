"""What a trading rule yields: wealth, Sharpe ratio and break-even cost from positions and log returns.

held: bool [days], whether the index is held on a day, from the close before it to its own. log_returns: of the index
on the same days, 100 * ln(close[t] / close[t-1]), float64 [days]. cost: the share of the wealth that each unit traded
takes, at the close at which the position changes, so before the first day in the new position. All start in cash; a
position that is open at the end is valued at the last close and not sold.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from notafluke.tasks.base import Float64

DAYS_A_YEAR = 252
"""Trading days that count as one year."""

_NO_VARIATION = 1e-11
"""An SD of simple daily returns (shares, not per cent) that is rounding only."""


def count_trades(held: NDArray[np.bool_]) -> int:
    """Return how often the position changes, from cash before the first day; the last position is not sold."""
    return int(np.count_nonzero(_changes(held)))


def annual_yield(held: NDArray[np.bool_], log_returns: Float64, cost: float) -> float:
    """Return the geometric yield in % a year of holding the index on the days `held`, else cash at 0 %."""
    growth = float(np.sum(log_returns[held])) / 100 + count_trades(held) * math.log1p(-cost)
    return 100 * math.expm1(growth * DAYS_A_YEAR / len(held))


def daily_returns(held: NDArray[np.bool_], log_returns: Float64, cost: float) -> Float64:
    """Return the daily log returns in % of the same rule after costs [days]; they sum to the log of its wealth."""
    returns: Float64 = np.where(held, log_returns, 0.0) + 100 * math.log1p(-cost) * _changes(held)
    return returns


def sharpe(returns: Float64) -> float:
    """Return the Sharpe ratio a year of daily log returns in % [days], with cash at 0 % (Sharpe 1994).

    mean / SD of the simple returns, the SD divided by n - 1, times sqrt(252). 0 where the returns do not vary (a rule
    that never invests, or a single day): the ratio is not defined there, and nothing was earned for a risk.
    """
    simple = np.expm1(returns / 100)
    sd = float(np.std(simple, ddof=1)) if len(simple) > 1 else 0.0
    return 0.0 if sd <= _NO_VARIATION else float(np.mean(simple)) / sd * math.sqrt(DAYS_A_YEAR)


def long_short_yield(held: NDArray[np.bool_], log_returns: Float64, cost: float) -> float:
    """Return the yield in % a year of holding the index on the days `held` and being short of it on all others.

    A short day multiplies the wealth by 1 - (close[t] / close[t-1] - 1): the short position is worth the wealth at the
    close before. From cash to either side one unit is traded, from one side to the other two. The trades that set the
    short position to the wealth again after each day, and the fee for borrowing, are not counted. -100 where the index
    at least doubles on a short day: all is lost.
    """
    short = 1 - np.expm1(log_returns[~held] / 100)
    if (short <= 0).any():
        return -100.0
    units = int(np.abs(np.diff(np.where(held, 1, -1), prepend=0)).sum())
    growth = float(np.sum(log_returns[held])) / 100 + float(np.sum(np.log(short))) + units * math.log1p(-cost)
    return 100 * math.expm1(growth * DAYS_A_YEAR / len(held))


def break_even_cost(held: NDArray[np.bool_], log_returns: Float64) -> float:
    """Return the cost per unit traded, in % of the wealth, at which the rule yields exactly what buy-and-hold does.

    With G the sum of log returns before costs of the rule and B of the index, n the rule's trades and 1 the entry of
    buy-and-hold, G + n ln(1 - c) = B + ln(1 - c) has the solution c = 1 - exp(-(G - B) / (n - 1)). Negative where the
    rule is behind before any cost: then no cost makes up for it. Where the rule makes no trade beyond the one entry of
    buy-and-hold (n < 2), no such cost exists; then n - 1 is taken as 1: what the rule could bear on one more trade,
    which is 0 for buy-and-hold itself.
    """
    ahead = float(np.sum(np.where(held, 0.0, -log_returns))) / 100
    return -100 * math.expm1(-ahead / max(count_trades(held) - 1, 1))


def _changes(held: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return on which days the position is another than the day before, from cash [days]."""
    return np.diff(held, prepend=np.False_)
