"""What an answer itself says of what it rests on: explained without asking anybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from math import isfinite
from typing import Any, TypeGuard

from whence.api.langchain.by_hand import generation_of
from whence.api.langchain.said import Answer, Document
from whence.providers.base import Capabilities, Passages, Progress
from whence.providers.observations import Citation, Generation, Span, WrittenToken
from whence.providers.prompt import Prompt

Brought = Sequence[tuple[int | None, Document]]
"""The documents that could be cited, each with the index of its source; None for what cannot be read."""


def carried_by(answer: Answer, brought: Brought) -> tuple[Generation, int]:
    """The answer, with the log-probabilities that Ollama tells, and Claude's citations.

    And how many citations there are beside these, of which nobody can tell what they mean.
    """
    written = generation_of(answer)
    citations, unplaced = _citations(answer, brought)
    return replace(written, tokens=_tokens(answer, written.text), citations=citations), unplaced


class Carried:
    """A provider that has answered already, and is asked nothing. `name`, `model`: of who answered."""

    def __init__(self, answer: Generation, *, name: str, model: str) -> None:
        self.name = name
        self.model = model
        self._answer = answer

    async def capabilities(self) -> Capabilities:
        """Its claims."""
        return Capabilities(access="text", cites=True, deterministic=True)

    async def generate(
        self, prompt: Prompt, *, max_tokens: int, seed: int, progress: Progress | None = None
    ) -> Generation:
        """The answer that there is."""
        return self._answer

    async def cite(
        self,
        prompt: Prompt,
        passages: Passages,
        *,
        max_tokens: int,
        seed: int,
        progress: Progress | None = None,
    ) -> Generation:
        """The answer that there is."""
        return self._answer

    async def count_cited_tokens(self, prompt: Prompt, passages: Passages) -> int:
        """Nothing is read again."""
        return 0


def _tokens(answer: Answer, text: str) -> tuple[WrittenToken, ...] | None:
    """None where they are not told, or are not all of the text: Ollama holds back parts of characters."""
    told: Any = answer.told.get("logprobs")
    if not isinstance(told, list):
        return None
    # The client's own objects, or what they were before.
    fields = [one if isinstance(one, Mapping) else getattr(one, "__dict__", {}) for one in told]
    tokens = [str(one.get("token", "")) for one in fields]
    nats = [own for one in fields if _is_logprob(own := one.get("logprob"))]
    if not tokens or "".join(tokens) != text or len(nats) != len(tokens):
        return None
    ends = list(accumulate(map(len, tokens)))
    return tuple(
        WrittenToken(start=end - len(token), end=end, logprob_nats=float(own))
        for token, end, own in zip(tokens, ends, nats, strict=True)
    )


def _citations(answer: Answer, brought: Brought) -> tuple[tuple[Citation, ...] | None, int]:
    """None where no citations were asked for."""
    if not any(document.citable for _, document in brought):
        return None, 0
    found: list[Citation] = []
    end = unplaced = 0
    for text, citations in answer.blocks():
        start, end = end, end + len(text)
        for citation in citations:
            place = _place(citation, brought)
            if place is None or not text:
                unplaced += 1
                continue
            source, (source_start, source_end) = place
            found.append(
                Citation(
                    start=start, end=end, source=source, source_start=source_start, source_end=source_end
                )
            )
    return tuple(found), unplaced


def _is_logprob(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _place(citation: object, brought: Brought) -> tuple[int, Span] | None:
    """The source that is cited, and its characters; None where no document has such a place.

    LangChain's own form of a citation has what is Anthropic's in its `extras`. Documents and search results
    are counted apart, each over all messages.
    """
    if not isinstance(citation, Mapping):
        return None
    extras = citation.get("extras")
    told = {**extras, **citation} if isinstance(extras, Mapping) else citation
    numbered = "search_result" if "search_result_index" in told else "document"
    counted = [one for one in brought if one[1].numbered == numbered]
    index = told.get(f"{numbered}_index")
    if not isinstance(index, int) or not 0 <= index < len(counted):
        return None
    source, document = counted[index]
    unit = "char" if "start_char_index" in told else "block"
    first, beyond = told.get(f"start_{unit}_index"), told.get(f"end_{unit}_index")
    most = len(document.text) if unit == "char" else len(document.blocks)
    if not isinstance(first, int) or not isinstance(beyond, int) or not 0 <= first < beyond <= most:
        return None
    if unit == "block":
        first, beyond = document.blocks[first][0], document.blocks[beyond - 1][1]
    elif document.text[first:beyond] != told.get("cited_text"):
        return None
    return None if source is None else (source, (first, beyond))
