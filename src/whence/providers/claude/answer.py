"""What Claude answered, as a `Generation`: its text, why it ended, what is billed, and what it cites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from anthropic.types import (
    CitationCharLocation,
    Message,
    TextBlock,
    TextCitation,
)

from whence.providers.claude.content import Document
from whence.providers.errors import ProviderError, RefusedError
from whence.providers.observations import Citation, Generation, Span

FINISHES: dict[str, Literal["stop", "length"]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
}
LONGEST_NAME = 60
"""Characters of what the API calls an ending, of which it may make new ones."""


def generation(
    message: Message, *, request_id: str | None, documents: Sequence[Document] | None = None
) -> Generation:
    """A whole message; `documents`: those that it could cite. Raises RefusedError, ProviderError."""
    usage = message.usage
    prompt_tokens = (
        usage.input_tokens + (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
    )
    if message.stop_reason == "refusal":
        category = message.stop_details and message.stop_details.category
        raise RefusedError(
            f"Claude would not answer this prompt ({str(category or 'no category given')[:LONGEST_NAME]})",
            request_id=request_id,
            prompt_tokens=prompt_tokens,
            output_tokens=usage.output_tokens,
        )
    finish = FINISHES.get(message.stop_reason or "")
    if finish is None:
        raise ProviderError(
            "Claude ended its answer for a reason that is not understood: "
            f"{repr(message.stop_reason)[:LONGEST_NAME]}",
            request_id=request_id,
        )
    blocks = [block for block in message.content if block.type == "text"]
    return Generation(
        text="".join(block.text for block in blocks),
        finish=finish,
        prompt_tokens=prompt_tokens,
        output_tokens=usage.output_tokens,
        citations=None if documents is None else _citations(blocks, documents, request_id),
    )


def _citations(
    blocks: Sequence[TextBlock], documents: Sequence[Document], request_id: str | None
) -> tuple[Citation, ...]:
    """A claim for each citation of each block of text, in order."""
    claims: list[Citation] = []
    end = 0
    for block in blocks:
        start, end = end, end + len(block.text)
        for citation in block.citations or ():
            place = _place(citation, documents)
            if place is None:
                raise ProviderError(
                    "Claude cites what it was not given, so nobody can tell what it meant; ask again",
                    request_id=request_id,
                )
            source, (source_start, source_end) = place
            claims.append(
                Citation(
                    start=start, end=end, source=source, source_start=source_start, source_end=source_end
                )
            )
    return tuple(claims)


def _place(citation: TextCitation, documents: Sequence[Document]) -> tuple[int, Span] | None:
    """The source that is cited, and its characters; None where no document has such a place."""
    # By their type: what the SDK does not know, it makes an object of some other class.
    if citation.type != "content_block_location" and citation.type != "char_location":
        return None
    if not 0 <= citation.document_index < len(documents):
        return None
    document = documents[citation.document_index]
    if citation.type == "char_location":
        span = _characters(document, citation)
        return span and (document.source, span)
    first, beyond = citation.start_block_index, citation.end_block_index
    if not 0 <= first < beyond <= len(document.blocks):
        return None
    return document.source, (document.blocks[first][0], document.blocks[beyond - 1][1])


def _characters(document: Document, citation: CitationCharLocation) -> Span | None:
    """Characters of the blocks, one after the other, as characters of the source."""
    start, end = citation.start_char_index, citation.end_char_index
    places = [place for block in document.blocks for place in range(*block)]
    if not 0 <= start < end or "".join(document.text[i] for i in places[start:end]) != citation.cited_text:
        return None
    return places[start], places[end - 1] + 1
