"""The scale of the shades, and how shares and scores are written.

The scale is fixed: the same shade means the same share of a target's evidence, in every sentence, method
and page. A scale relative to the strongest passage would paint the best of many poor passages as dark as
a passage that carries everything.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal

EDGES_PERCENT = (1, 5, 10, 25, 50)
"""From this share on, steps 1 to 5; a smaller share is not shaded."""

_ALL = 1 - 1e-6  # float32 sums of a whole may miss 1 by this much

# Halves up, as browsers round: Python's own formats round them to even.
_ONE, _TENTH = Decimal(1), Decimal("0.1")
_THREE_DIGITS = Context(prec=3, rounding=ROUND_HALF_UP)

MINUS = "\N{MINUS SIGN}"
NBSP = "\N{NO-BREAK SPACE}"


def percent_number(share: float) -> float:
    """A share in percent, rounded as it is written: whole from 10 % on, one decimal below; halves up."""
    percent = Decimal(100 * share)
    tenths = percent.quantize(_TENTH, ROUND_HALF_UP)
    return float(percent.quantize(_ONE, ROUND_HALF_UP) if abs(tenths) >= 10 else tenths)


def percent(share: float) -> str:
    """A share for reading: `43 %`, `4.2 %`, `0 %`; a negative part of elsewhere with its sign.

    What is written as nothing is nothing, and as everything everything: `<0.1 %`, `>99 %` otherwise.
    """
    number = percent_number(abs(share))
    if number == 0:
        return f"<0.1{NBSP}%" if share != 0 else f"0{NBSP}%"
    if number == 100 and share < _ALL:
        return f">99{NBSP}%"
    digits = f"{number:.0f}" if number >= 10 else f"{number:.1f}"
    return f"{MINUS if share < 0 else ''}{digits}{NBSP}%"


def step(share: float) -> int:
    """The shade of a share, 0 (none) to 5; by the number that is written, so that the two never disagree."""
    number = percent_number(share)
    return sum(number >= edge for edge in EDGES_PERCENT)


def legend() -> list[tuple[int, str]]:
    """Each step with the shares that it stands for."""
    ends = [*EDGES_PERCENT[1:], None]
    return [
        (number, f"{start}{NBSP}% or more" if end is None else f"{start} to {end}{NBSP}%")
        for number, (start, end) in enumerate(zip(EDGES_PERCENT, ends, strict=True), start=1)
    ]


def quantity(value: float) -> str:
    """A score for reading: three significant digits, halves up, with a real minus sign."""
    return f"{float(_THREE_DIGITS.create_decimal(value)):.3g}".replace("-", MINUS)
