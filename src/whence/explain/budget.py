"""What an explanation may spend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, ValidationError

from whence.providers.base import Prices
from whence.providers.errors import InputError


class Budget(BaseModel):
    """The most that an explanation may spend; None sets no limit.

    `calls`: requests to the model, or passes through it, each attempt counted. `tokens`: read and written.
    `money`: in the currency of the provider's prices. `seconds`: from the first call to the last.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    calls: NonNegativeInt | None = None
    tokens: NonNegativeInt | None = None
    money: NonNegativeFloat | None = None
    seconds: NonNegativeFloat | None = None

    @classmethod
    def of(cls, value: Self | Mapping[str, object] | None) -> Budget | None:
        """What the caller of `explain` wrote, as a Budget. Raises InputError."""
        if value is None or isinstance(value, Budget):
            return value
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'budget'}: {e['msg']}" for e in error.errors()
            )
            raise InputError(
                f"the budget cannot be understood ({faults}); write Budget(calls=100), with any of calls, "
                "tokens, money and seconds"
            ) from error

    def within(self, other: Budget | None) -> Budget:
        """Whichever limit is lower, for each kind."""
        if other is None:
            return self
        pairs = ((name, value, getattr(other, name)) for name, value in self)
        lower = {name: min((v for v in (a, b) if v is not None), default=None) for name, a, b in pairs}
        return Budget(**lower)

    def __str__(self) -> str:
        named = [
            f"{v if isinstance(v, int) else format(v, '.12g')} {name}" for name, v in self if v is not None
        ]
        return ", ".join(named) or "no limit"


DEFAULT_BUDGET = Budget(calls=200)
"""For whom calls cost money, and no budget was given to the SDK or the command line."""


@dataclass(frozen=True, kw_only=True)
class Spending:
    """Calls, and the tokens that they read and wrote."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Spending) -> Spending:
        return Spending(
            calls=self.calls + other.calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
        )

    def times(self, number: int) -> Spending:
        """So many of these."""
        return Spending(
            calls=self.calls * number,
            input_tokens=self.input_tokens * number,
            output_tokens=self.output_tokens * number,
        )

    def exceeds(self, budget: Budget | None, prices: Prices | None) -> str | None:
        """The limit that this goes beyond, in words; None where it is within all of them."""
        if budget is None:
            return None
        tokens = self.input_tokens + self.output_tokens
        money = 0.0 if prices is None else prices.money(self.input_tokens, self.output_tokens)
        if budget.calls is not None and self.calls > budget.calls:
            return f"{self.calls} calls are more than {budget.calls}"
        if budget.tokens is not None and tokens > budget.tokens:
            return f"{tokens} tokens are more than {budget.tokens}"
        if budget.money is not None and money > budget.money:
            currency = "" if prices is None else f" {prices.currency}"
            return f"{money:.4g}{currency} is more than {budget.money:g}{currency}"
        return None
