"""A plan as plain text for a pipe, and as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from whence.explain.plan import Plan
from whence.explain.render.describe import counted
from whence.explain.render.lines import QUIET, STRONG, Line
from whence.explain.render.visible import visible

TITLE = "What this would cost at most. Nothing was asked of the model."
ANSWER = "answer"
TOTAL = "total"


def to_text(plan: Plan) -> str:
    """One fact in each line: a label, and what stands beside it; no escape codes."""
    costs = [
        Line(label=name, body=Text(f"{counted(calls, 'call')}, {read} tokens read, {written} written"))
        for name, calls, read, written in _costs(plan)
    ]
    return "".join(f"{line.plain()}\n" for line in (*_head(plan), *costs, *_limits(plan)))


def to_terminal(plan: Plan) -> RenderableType:
    """The same for a rich console, the costs as a table."""
    table = Table("", "calls", "tokens read", "tokens written", box=None, pad_edge=False, header_style=QUIET)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, *numbers in _costs(plan):
        table.add_row(name, *(f"{number:,}" for number in numbers), style=STRONG if name == TOTAL else "")
    head, limits = ([line.grid() for line in lines] for lines in (_head(plan), _limits(plan)))
    return Group(*head, Text(), table, Text(), *limits)


def _head(plan: Plan) -> Iterator[Line]:
    yield Line(label="Plan", body=Text(TITLE, style=STRONG))
    yield Line(label="Model", body=Text(visible(plan.model)))
    yield Line(label="Provider", body=Text(f"{visible(plan.provider)}, access to {plan.access}"))
    how = "counted by the provider" if plan.counted else "estimated from its characters"
    yield Line(label="Prompt", body=Text(f"{counted(plan.prompt_tokens, 'token')}, {how}"))
    yield Line(label="Segments", body=Text(f"{plan.segments} that can be removed"))


def _costs(plan: Plan) -> list[tuple[str, int, int, int]]:
    """Name, calls, tokens read and written: of the answer, each method, and all of it."""
    methods = [(own.method, own.calls, own.input_tokens, own.output_tokens) for own in plan.methods]
    answer = (
        plan.calls - sum(own.calls for own in plan.methods),
        plan.input_tokens - sum(own.input_tokens for own in plan.methods),
        plan.output_tokens - sum(own.output_tokens for own in plan.methods),
    )
    return [
        *([(ANSWER, *answer)] if answer[0] else []),
        *methods,
        (TOTAL, plan.calls, plan.input_tokens, plan.output_tokens),
    ]


def _limits(plan: Plan) -> Iterator[Line]:
    if plan.money is not None:
        yield Line(label="Money", body=Text(f"{plan.money.amount:.4g} {visible(plan.money.currency)}"))
    budget = "none: this model's calls cost nothing" if plan.budget is None else str(plan.budget)
    yield Line(label="Budget", body=Text(budget))
    for method in plan.methods:
        if method.cut:
            yield Line(label="Cut", body=Text(f"{method.method}: the budget allows {method.cut}"))
    for method in plan.methods:
        for fallback in method.fallbacks:
            yield Line(
                label="Passed over", body=Text(f"{visible(fallback.method)}: {visible(fallback.reason)}")
            )
