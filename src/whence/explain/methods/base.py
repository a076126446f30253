"""What a method is, what it is given, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from whence.explain.layout import Layout
from whence.explain.result import Fallback, Result
from whence.explain.schema import OutputToken, TargetKind, TextKind
from whence.providers.base import Capabilities, Progress, Provider, Watcher
from whence.providers.observations import Generation
from whence.providers.prompt import Prompt


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a method is given. `ids`: of the sources, in the order of `prompt.sources`.

    `output`: a generation, or the text that the caller wants explained. `watcher`: to be passed to the
    provider's `attend`, by a method that calls it once.
    """

    provider: Provider
    prompt: Prompt
    ids: tuple[str, ...]
    output: str | Generation
    segment_by: TextKind
    target_by: TargetKind
    detail: bool
    seed: int
    parameters: Mapping[str, object]
    fallbacks: tuple[Fallback, ...]
    progress: Progress | None
    watcher: Watcher | None = None

    @property
    def output_text(self) -> str:
        """The text to explain."""
        return self.output if isinstance(self.output, str) else self.output.text


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a method found. `calls`: passes through the model, or requests to it."""

    layout: Layout
    result: Result
    tokens: tuple[OutputToken, ...] | None
    calls: int


class Method(Protocol):
    """An algorithm: observations of a provider in, one result out."""

    name: str
    parameters: frozenset[str]
    """The names of the keyword parameters that it takes."""

    def lacks(self, capabilities: Capabilities) -> str | None:
        """Why this provider cannot serve it; None where it can."""

    def check(self, parameters: Mapping[str, object], capabilities: Capabilities) -> None:
        """Raise InputError or UnknownLayerError for parameters that this model cannot serve."""

    async def run(self, task: Task) -> Finding:
        """Observe and score."""
