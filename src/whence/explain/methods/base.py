"""What a method is, what it is given, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from whence.explain.calls import Calls
from whence.explain.layout import Layout
from whence.explain.result import Fallback, Family, Result
from whence.explain.schema import OutputToken, TargetKind, TextKind
from whence.providers.base import Capabilities, Watcher
from whence.providers.observations import Generation
from whence.providers.prompt import Prompt


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a method is given. `ids`: of the sources, in the order of `prompt.sources`.

    `calls`: how the provider is asked. `allowed`: how many of them the budget leaves to this method; None
    where it sets no limit. `output`: a generation, or the text that the caller wants explained. `max_tokens`:
    of an answer. `watcher`: to be passed to the provider's `attend`, by a method that calls it once.
    """

    calls: Calls
    allowed: int | None
    prompt: Prompt
    ids: tuple[str, ...]
    output: str | Generation
    segment_by: TextKind
    target_by: TargetKind
    detail: bool
    seed: int
    parameters: Mapping[str, object]
    max_tokens: int
    fallbacks: tuple[Fallback, ...]
    watcher: Watcher | None = None

    @property
    def output_text(self) -> str:
        """The text to explain."""
        return self.output if isinstance(self.output, str) else self.output.text


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a method found; `tokens` of the output, where they are known."""

    layout: Layout
    result: Result
    tokens: tuple[OutputToken, ...] | None


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What a method does and costs, before anything is known of the output.

    `least`, `wanted`: calls with which it gives anything, and with which it is content. `family`: of the
    result, or of the first of two. `rewrites`: whether each call writes a text. `fallbacks`: what it passes
    over here, and why.
    """

    family: Family
    rewrites: bool = False
    least: int
    wanted: int
    fallbacks: tuple[Fallback, ...] = ()


class Method(Protocol):
    """An algorithm: observations of a provider in, one result out."""

    name: str
    parameters: frozenset[str]
    """The names of the keyword parameters that it takes."""

    def lacks(self, capabilities: Capabilities) -> str | None:
        """Why this provider cannot serve it; None where it can."""

    def check(self, parameters: Mapping[str, object], capabilities: Capabilities) -> None:
        """Raise InputError or UnknownLayerError for parameters that this model cannot serve."""

    def effort(self, parameters: Mapping[str, object], capabilities: Capabilities, segments: int) -> Effort:
        """What it costs on sources of so many segments that can be removed."""

    async def run(self, task: Task) -> tuple[Finding, ...]:
        """Observe and score: one finding, or two where the same calls tell two things.

        Raises BudgetError where it would need more than it is allowed.
        """
