"""What an answer itself says of what it rests on: explained without asking anybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from math import isfinite
from typing import Any, TypeGuard

from langchain_core.messages import BaseMessage

from whence.api.langchain.by_hand import generation_of
from whence.api.langchain.said import Document
from whence.providers.base import Capabilities, Passages, Progress
from whence.providers.observations import Citation, Generation, Span, WrittenToken
from whence.providers.prompt import Prompt


def carried_by(answer: BaseMessage, brought: Sequence[tuple[int, Document]]) -> Generation:
    """The answer, with the log-probabilities that Ollama tells, and Claude's citations.

    `brought`: the documents that could be cited, each with the index of its source.
    """
    written = generation_of(answer)
    return replace(written, tokens=_tokens(answer, written.text), citations=_citations(answer, brought))


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


def _tokens(answer: BaseMessage, text: str) -> tuple[WrittenToken, ...] | None:
    """None where they are not told, or are not all of the text: Ollama holds back parts of characters."""
    told: Any = answer.response_metadata.get("logprobs")
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


def _citations(answer: BaseMessage, brought: Sequence[tuple[int, Document]]) -> tuple[Citation, ...] | None:
    """None where no document was brought to be cited. What cannot be placed is left out."""
    if not brought or isinstance(answer.content, str):
        return None
    found: list[Citation] = []
    end = 0
    for block in answer.content:
        told: Mapping[str, Any] = {"text": block} if isinstance(block, str) else block
        text = str(told.get("text") or "")
        start, end = end, end + len(text)
        given = told.get("citations")
        for citation in given if isinstance(given, list) else ():
            place = _place(citation, brought)
            if place is not None and text:
                source, (source_start, source_end) = place
                found.append(
                    Citation(
                        start=start, end=end, source=source, source_start=source_start, source_end=source_end
                    )
                )
    return tuple(found)


def _is_logprob(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _place(citation: object, brought: Sequence[tuple[int, Document]]) -> tuple[int, Span] | None:
    """The source that is cited, and its characters; None where no document has such a place."""
    if not isinstance(citation, Mapping):
        return None
    index = citation.get("document_index")
    if not isinstance(index, int) or not 0 <= index < len(brought):
        return None
    source, document = brought[index]
    kind = str(citation.get("type"))
    ends = {"char_location": "char_index", "content_block_location": "block_index"}.get(kind)
    if ends is None:
        return None
    first, beyond = citation.get(f"start_{ends}"), citation.get(f"end_{ends}")
    most = len(document.text) if kind == "char_location" else len(document.blocks)
    if not isinstance(first, int) or not isinstance(beyond, int) or not 0 <= first < beyond <= most:
        return None
    if kind == "char_location":
        return source, (first, beyond)
    return source, (document.blocks[first][0], document.blocks[beyond - 1][1])
