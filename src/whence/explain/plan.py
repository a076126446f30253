"""Before anything is asked: what the provider can x what the methods need, and what it will cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import anyio.to_thread
from pydantic import Field

from whence.explain.budget import Budget, Spending
from whence.explain.calls import Calls, scoring
from whence.explain.methods import AUTO, METHODS, Method, get_method
from whence.explain.methods.base import Effort
from whence.explain.result import Access, Fallback, Family, Part, Text
from whence.explain.schema import Money, TextKind
from whence.explain.segments import split
from whence.providers.base import Capabilities, Passages
from whence.providers.errors import BudgetError, UnsupportedError
from whence.providers.observations import Generation
from whence.providers.prompt import Prompt


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A method, and those that `auto` passed over before it. `rest`: what it would look at next."""

    method: Method
    fallbacks: tuple[Fallback, ...] = ()
    rest: tuple[Method | Fallback, ...] = ()

    def after(self, reason: str) -> Choice | None:
        """What `auto` takes where this method turns out impossible; None where nothing is left."""
        return _first((Fallback(method=self.method.name, reason=reason), *self.rest), self.fallbacks)


class PlannedMethod(Part):
    """One method, with the most that it may cost. `cut`: what the budget takes from it; null for nothing."""

    method: Text
    family: Family
    fallbacks: tuple[Fallback, ...] = ()
    calls: int
    input_tokens: int
    output_tokens: int
    cut: Text | None = None


class Plan(Part):
    """What an explanation may cost at most, before anything is spent.

    `calls` and tokens: of all methods and of the answer, where the model writes one. `counted`: whether the
    prompt's tokens were counted by the provider, or estimated from its characters. `money`: null where no
    prices are known. `budget`: the limits that hold; null for none.
    """

    provider: Text
    model: Text
    access: Access
    segments: int = Field(description="How many segments can be removed.")
    prompt_tokens: int
    counted: bool
    methods: tuple[PlannedMethod, ...]
    calls: int
    input_tokens: int
    output_tokens: int
    money: Money | None = None
    budget: Budget | None = None


@dataclass(frozen=True, kw_only=True)
class Size:
    """What the cost depends on.

    `prompt_tokens`: of the whole prompt. `segments`: that can be removed. `output_tokens`: of the output.
    `answer`: what it costs, where the model has yet to write it. `rewritten_tokens`: of one written again.
    """

    prompt_tokens: int
    counted: bool
    segments: int
    output_tokens: int
    rewritten_tokens: int
    answer: Spending

    def each(self, effort: Effort, capabilities: Capabilities) -> Spending:
        """The most that one call costs: that of a mask which keeps everything."""
        if effort.rewrites:
            return Spending(calls=1, input_tokens=self.prompt_tokens, output_tokens=self.rewritten_tokens)
        return scoring(capabilities, prompt_tokens=self.prompt_tokens, output_tokens=self.output_tokens)


async def size_of(
    calls: Calls,
    prompt: Prompt,
    output: str | Generation | None,
    *,
    passages: Passages | None = None,
    segment_by: TextKind,
    max_tokens: int,
) -> Size:
    """The size of a prompt, counted by the provider where it counts, and of its output, where it is known.

    `passages`: those that can be cited, where the answer is to cite.
    """
    texts = [source.text for source in prompt.sources]
    prompt_tokens = await calls.count(prompt)
    answer = Spending()
    if output is None:
        read = prompt_tokens if passages is None else await calls.count_cited(prompt, passages)
        answer = Spending(calls=1, input_tokens=read, output_tokens=max_tokens)
    return Size(
        prompt_tokens=prompt_tokens,
        counted=calls.capabilities.counts,
        segments=await anyio.to_thread.run_sync(_removable, texts, segment_by),
        output_tokens=max_tokens if output is None else await calls.length(output),
        rewritten_tokens=max_tokens,
        answer=answer,
    )


def _removable(texts: list[str], segment_by: TextKind) -> int:
    """How many segments have a visible character; none where they are tokens, which are not removed."""
    if segment_by == "token":
        return 0
    return sum(bool(text[a:b].strip()) for text in texts for a, b in split(text, segment_by))


def choose(name: str, capabilities: Capabilities, *, provider: str) -> Choice:
    """The method of that name, or for `auto` the first that the provider can serve.

    Raises UnknownMethodError, or UnsupportedError which names what the provider can serve.
    """
    if name != "auto":
        method = get_method(name)
        reason = method.lacks(capabilities)
        if reason is not None:
            raise UnsupportedError(f"{name} {reason}. {provider} can serve: {_served(capabilities)}")
        return Choice(method=method)
    candidates = [(method, method.lacks(capabilities)) for method in map(get_method, AUTO)]
    choice = _first(
        [
            method if reason is None else Fallback(method=method.name, reason=reason)
            for method, reason in candidates
        ]
    )
    if choice is None:
        reasons = "; ".join(f"{method.name} {reason}" for method, reason in candidates)
        raise UnsupportedError(f"no method can explain {provider}: {reasons}")
    return choice


def _first(candidates: Sequence[Method | Fallback], passed_over: tuple[Fallback, ...] = ()) -> Choice | None:
    """The first method of some candidates, of which those that cannot be had are given as fallbacks."""
    for index, candidate in enumerate(candidates):
        if not isinstance(candidate, Fallback):
            return Choice(method=candidate, fallbacks=passed_over, rest=tuple(candidates[index + 1 :]))
        passed_over = (*passed_over, candidate)
    return None


def serves(capabilities: Capabilities) -> list[str]:
    """The names of the methods that a provider with these capabilities can serve."""
    return [name for name in METHODS if get_method(name).lacks(capabilities) is None]


def price(
    choices: Sequence[Choice],
    parameters: Mapping[str, object],
    capabilities: Capabilities,
    size: Size,
    budget: Budget | None,
    *,
    provider: str,
    model: str,
    spent: Spending | None = None,
) -> Plan:
    """The plan of some methods, cut to the budget. `spent`: what is gone of the budget already.

    Raises BudgetError where not even the least of every method fits.
    """
    _require_prices(budget, capabilities)
    efforts = [choice.method.effort(parameters, capabilities, size.segments) for choice in choices]
    each = [size.each(effort, capabilities) for effort in efforts]
    least = [cost.times(effort.least) for cost, effort in zip(each, efforts, strict=True)]
    before = (spent or Spending()) + size.answer
    beyond = sum(least, before).exceeds(budget, capabilities.prices)
    if beyond is not None:
        names = ", ".join(choice.method.name for choice in choices)
        raise BudgetError(
            f"the budget of {budget} does not allow the cheapest plan for {names}: {beyond}. Allow more, or "
            "ask for less: coarser segments (segment_by='paragraph'), a shorter answer (max_tokens=); the "
            "calls of lasso do not grow with the segments"
        )
    planned: list[PlannedMethod] = []
    total = before
    for index, (choice, effort, cost) in enumerate(zip(choices, efforts, each, strict=True)):
        reserved = sum(least[index + 1 :], total)
        calls = _most(effort, cost, reserved, budget, capabilities)
        part = cost.times(calls)
        total += part
        planned.append(
            PlannedMethod(
                method=choice.method.name,
                family=effort.family,
                fallbacks=(*choice.fallbacks, *effort.fallbacks),
                calls=part.calls,
                input_tokens=part.input_tokens,
                output_tokens=part.output_tokens,
                cut=None if calls == effort.wanted else f"{calls} of {effort.wanted} calls",
            )
        )
    prices = capabilities.prices
    return Plan(
        provider=provider,
        model=model,
        access=capabilities.access,
        segments=size.segments,
        prompt_tokens=size.prompt_tokens,
        counted=size.counted,
        methods=tuple(planned),
        calls=total.calls,
        input_tokens=total.input_tokens,
        output_tokens=total.output_tokens,
        money=None
        if prices is None
        else Money(amount=prices.money(total.input_tokens, total.output_tokens), currency=prices.currency),
        budget=budget,
    )


def _most(
    effort: Effort, each: Spending, before: Spending, budget: Budget | None, capabilities: Capabilities
) -> int:
    """How many calls fit, between the least and the wanted: bisection, as costs only grow."""
    low, high = effort.least, effort.wanted
    while low < high:
        middle = (low + high + 1) // 2
        if (before + each.times(middle)).exceeds(budget, capabilities.prices) is None:
            low = middle
        else:
            high = middle - 1
    return low


def _require_prices(budget: Budget | None, capabilities: Capabilities) -> None:
    if (
        budget is not None
        and budget.money is not None
        and capabilities.metered
        and capabilities.prices is None
    ):
        raise BudgetError(
            "a budget of money needs prices, and none are configured for this model; configure them, or "
            "limit calls or tokens"
        )


def _served(capabilities: Capabilities) -> str:
    return ", ".join(serves(capabilities)) or "none"
