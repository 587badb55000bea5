"""Numbers as a person reads them: few digits, the same for an estimate and its interval, never a p of 0."""

from __future__ import annotations

import math

MISSING = "-"
_PLAIN_EXPONENTS = range(-3, 5)
_MOST_DECIMALS = 6


def number(value: float, digits: int = 3) -> str:
    """Return ``value`` with ``digits`` significant digits, in powers of ten outside 0.001 to 99999.

    >>> number(0.0123456), number(1234567.0), number(math.nan), number(math.inf)
    ('0.0123', '1.23e+06', '-', 'inf')
    """
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == 0:
        return "0"
    exponent = _exponent(float(f"{value:.{digits - 1}e}"))
    if exponent in _PLAIN_EXPONENTS:
        return f"{value:.{max(0, digits - 1 - exponent)}f}"
    return f"{value:.{digits - 1}e}"


def count(value: float) -> str:
    """Return a whole number, with blanks between thousands; NaN is a dash.

    >>> count(1250000), count(math.nan)
    ('1 250 000', '-')
    """
    return MISSING if math.isnan(value) else f"{round(value):,}".replace(",", " ")


def p_text(p_value: float) -> str:
    """Return a p-value with four decimals, three from 0.1 on; below 0.0001 a bound instead of a zero.

    >>> p_text(0.0019531), p_text(0.25), p_text(1e-9), p_text(1.0)
    ('0.0020', '0.250', '<0.0001', '1.000')
    """
    if math.isnan(p_value):
        return MISSING
    if p_value < 0.0001:
        return "<0.0001"
    return f"{p_value:.4f}" if p_value < 0.1 else f"{p_value:.3f}"


def p_equation(name: str, p_value: float) -> str:
    """Return ``name = p`` or ``name < 0.0001``.

    >>> p_equation("p", 0.25), p_equation("p", 1e-9)
    ('p = 0.250', 'p < 0.0001')
    """
    text = p_text(p_value)
    return f"{name} < {text[1:]}" if text.startswith("<") else f"{name} = {text}"


def interval_text(middle: float, low: float, high: float, signed: bool = True) -> str:
    """Return ``middle [low, high]``, all with the digits that half the interval's width deserves (two of it).

    >>> interval_text(-0.01234, -0.0201, -0.0046), interval_text(1.23e-6, -2e-7, 2.7e-6)
    ('-0.0123 [-0.0201, -0.0046]', '+1.2 [-0.2, +2.7] e-06')
    >>> interval_text(0.5, math.nan, math.nan), interval_text(math.nan, math.nan, math.nan)
    ('+0.500', '-')
    """
    if math.isnan(middle):
        return MISSING
    sign = "+" if signed else ""
    if not (math.isfinite(low) and math.isfinite(high)):
        return (sign if middle > 0 else "") + number(middle)
    largest = max(abs(middle), abs(low), abs(high))
    exponent = _exponent(largest)
    scale = 0 if exponent in _PLAIN_EXPONENTS else exponent
    half = (high - low) / 2 if high > low else largest / 10
    decimals = min(_MOST_DECIMALS, max(0, 1 - _exponent(half) + scale))
    first, second, third = (_fixed(value / 10.0**scale, decimals, sign) for value in (middle, low, high))
    return f"{first} [{second}, {third}]" + (f" e{scale:+03d}" if scale else "")


def mean_sd_text(mean: float, sd: float) -> str:
    """Return ``mean ± SD`` with the digits that the SD deserves (two of it).

    >>> mean_sd_text(9.0, 3.83), mean_sd_text(0.1667, math.nan), mean_sd_text(1.5e-4, 2e-6)
    ('9.0 ± 3.8', '0.167', '1.500 ± 0.020 e-04')
    """
    if not math.isfinite(mean) or not math.isfinite(sd) or sd == 0:
        return number(mean)
    exponent = _exponent(max(abs(mean), sd))
    scale = 0 if exponent in _PLAIN_EXPONENTS else exponent
    decimals = min(_MOST_DECIMALS, max(0, 1 - _exponent(sd) + scale))
    first, second = (_fixed(value / 10.0**scale, decimals, "") for value in (mean, sd))
    return f"{first} ± {second}" + (f" e{scale:+03d}" if scale else "")


def typographic(text: str) -> str:
    """Turn the hyphens of negative numbers into minus signs; other hyphens and exponents stay.

    >>> typographic("buy-and-hold -1.2 [-3, 4] 1e-05") == "buy-and-hold \N{MINUS SIGN}1.2 [\N{MINUS SIGN}3, 4] 1e-05"
    True
    """
    letters = list(text)
    for place, letter in enumerate(letters[:-1]):
        starts = place == 0 or letters[place - 1] in " ([,"
        if letter == "-" and starts and letters[place + 1].isdigit():
            letters[place] = "\N{MINUS SIGN}"
    return "".join(letters)


def _exponent(value: float) -> int:
    """Return the power of ten of the first digit (0 for 0)."""
    return math.floor(math.log10(abs(value))) if value else 0


def _fixed(value: float, decimals: int, sign: str) -> str:
    """Return ``value`` with ``decimals`` decimals and, for ``sign`` ``+``, its sign; never a negative zero."""
    rounded = round(value, decimals)
    return f"{0.0:.{decimals}f}" if rounded == 0 else f"{rounded:{sign}.{decimals}f}"
