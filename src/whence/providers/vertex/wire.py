"""What both transports are asked, and what they answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Protocol

MOST_ALTERNATIVES = 20
"""Log-probabilities that Vertex AI gives for each place of an answer, at most."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """`turns`: (role, text), of the roles `user` and `model`."""

    system: tuple[str, ...]
    turns: tuple[tuple[str, str], ...]
    max_tokens: int = 0
    temperature: float = 0.0
    seed: int = 0
    logprobs: bool = False


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A token that was, or might have been, written; None for what was not told."""

    text: str
    id: int | None
    logprob_nats: float | None


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came so far. `finish`, `blocked`: the API's names, empty where it names none.

    `chosen`, `alternatives`: for each place; empty where there are no log-probabilities. `answered`: whether
    there is an answer at all. `comment`: what the API says of the finish or the block.
    """

    text: str
    answered: bool
    finish: str
    blocked: str
    comment: str
    prompt_tokens: int | None
    output_tokens: int | None
    chosen: tuple[Choice, ...]
    alternatives: tuple[tuple[Choice, ...], ...]
    request_id: str | None


class Transport(Protocol):
    """A way to Vertex AI. Raises the errors of whence, LogprobsRefusedError among them."""

    def ask(self, question: Question) -> AsyncGenerator[Reply]:
        """The reply as it grows; the last is whole. Streams where no log-probabilities are asked for."""

    async def count(self, question: Question) -> int:
        """Tokens of the system text and the turns."""

    async def aclose(self) -> None:
        """Close the connections."""


@dataclass(kw_only=True)
class Gathered(ABC):
    """The parts of one answer; both SDKs give the same fields, and spell what is missing differently."""

    _text: str = ""
    _answered: bool = False
    _finish: str = ""
    _blocked: str = ""
    _comment: str = ""
    _prompt_tokens: int | None = None
    _output_tokens: int | None = None
    _chosen: list[Choice] = field(default_factory=list)
    _alternatives: list[tuple[Choice, ...]] = field(default_factory=list)
    _request_id: str | None = None

    @abstractmethod
    def has(self, message: Any, name: str) -> bool:
        """Whether a field was sent."""

    @abstractmethod
    def enum(self, message: Any, name: str) -> str:
        """The name of an enum's value; empty where it was not sent, or says that it is unspecified."""

    def add(self, response: Any) -> Reply:
        """The reply with one more part."""
        self._request_id = response.response_id or self._request_id
        if self.has(response, "prompt_feedback"):
            feedback = response.prompt_feedback
            self._blocked = self.enum(feedback, "block_reason") or self._blocked
            self._comment = feedback.block_reason_message or self._comment
        if self.has(response, "usage_metadata"):
            usage = response.usage_metadata
            wrote = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
            self._prompt_tokens = usage.prompt_token_count or self._prompt_tokens
            self._output_tokens = wrote or self._output_tokens
        for candidate in (response.candidates or ())[:1]:
            self._answered = True
            self._finish = self.enum(candidate, "finish_reason") or self._finish
            self._comment = candidate.finish_message or self._comment
            if self.has(candidate, "content"):
                parts = candidate.content.parts or ()
                self._text += "".join(part.text or "" for part in parts if not part.thought)
            if self.has(candidate, "logprobs_result"):
                result = candidate.logprobs_result
                self._chosen += [self._choice(chosen) for chosen in result.chosen_candidates or ()]
                self._alternatives += [
                    tuple(self._choice(other) for other in place.candidates or ())
                    for place in result.top_candidates or ()
                ]
        return Reply(
            text=self._text,
            answered=self._answered,
            finish=self._finish,
            blocked=self._blocked,
            comment=self._comment,
            prompt_tokens=self._prompt_tokens,
            output_tokens=self._output_tokens,
            chosen=tuple(self._chosen),
            alternatives=tuple(self._alternatives),
            request_id=self._request_id,
        )

    def _choice(self, candidate: Any) -> Choice:
        return Choice(
            text=candidate.token or "",
            id=candidate.token_id if self.has(candidate, "token_id") else None,
            logprob_nats=candidate.log_probability if self.has(candidate, "log_probability") else None,
        )
