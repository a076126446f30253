"""What comes back: text by the type of its blocks, why it ended, what is billed, and what is cited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from anthropic.types import Message

from whence.providers.claude.answer import generation
from whence.providers.claude.content import Document
from whence.providers.errors import ProviderError, RefusedError
from whence.providers.observations import Citation, Generation

RECORD = Document(0, "A.  \U0001f600 B. C.", ((0, 3), (4, 8), (8, 11)))
LETTER = Document(2, "שלום. Bye.", ((0, 6), (6, 10)))


def block(first: int, beyond: int, document: Any = 0) -> dict[str, Any]:
    place = {"start_block_index": first, "end_block_index": beyond, "document_index": document}
    return {
        "type": "content_block_location",
        "cited_text": "",
        "document_title": None,
        "file_id": None,
        **place,
    }


def characters(start: int, end: int, cited_text: str) -> dict[str, Any]:
    place = {"start_char_index": start, "end_char_index": end, "document_index": 0}
    return {
        "type": "char_location",
        "cited_text": cited_text,
        "document_title": None,
        "file_id": None,
        **place,
    }


def said(text: str, *citations: dict[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": text, "citations": list(citations) or None}


def read(
    content: Sequence[dict[str, Any]],
    *,
    stop_reason: str | None = "end_turn",
    documents: Sequence[Document] | None = (RECORD, LETTER),
    **more: Any,
) -> Generation:
    usage = {"input_tokens": 5, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 200}
    message = Message.construct(  # as the SDK makes it of what a server sent: unchecked
        id="msg",
        type="message",
        role="assistant",
        model="claude",
        content=content,
        stop_reason=stop_reason,
        usage=usage | {"output_tokens": 7},
        **more,
    )
    return generation(message, request_id="req_1", documents=documents)


def test_texts_are_joined_thoughts_are_not_read_and_everything_billed_is_counted() -> None:
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    answer = read([thinking, said("One. "), {"type": "redacted_thinking", "data": "x"}, said("Two.")])
    assert answer == Generation(text="One. Two.", prompt_tokens=235, output_tokens=7, citations=())


@pytest.mark.parametrize(
    ("stop_reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
    ],
)
def test_why_an_answer_ended(stop_reason: str, finish: str) -> None:
    assert read([said("One.")], stop_reason=stop_reason, documents=None).finish == finish


@pytest.mark.parametrize("stop_reason", ["tool_use", "pause_turn", "something_new", None])
def test_an_ending_that_is_not_understood_is_an_error(stop_reason: str | None) -> None:
    with pytest.raises(ProviderError, match=rf"{stop_reason!r} \(request req_1\)"):
        read([said("One.")], stop_reason=stop_reason)


def test_of_a_long_ending_only_the_beginning_is_told() -> None:
    with pytest.raises(ProviderError) as caught:
        read([], stop_reason="long" * 99)
    assert len(str(caught.value)) < 160


@pytest.mark.parametrize(("category", "words"), [("bio", "bio"), (None, "no category given")])
def test_a_refusal_says_of_what_kind_it_is(category: str | None, words: str) -> None:
    details = {"type": "refusal", "category": category, "explanation": None}
    with pytest.raises(RefusedError, match=words) as caught:
        read([], stop_reason="refusal", stop_details=details)
    assert caught.value.request_id == "req_1"
    assert (caught.value.prompt_tokens, caught.value.output_tokens) == (235, 7)


def test_a_citation_is_of_the_exact_characters_of_answer_and_source() -> None:
    answer = read(
        [
            said("None. "),
            said("One \U0001f600. ", block(1, 2)),
            said("Two.", block(0, 3), block(1, 2, document=1)),
        ]
    )
    assert answer.citations is not None
    found = [
        (
            answer.text[c.start : c.end],
            c.source,
            (RECORD, RECORD, LETTER)[i].text[c.source_start : c.source_end],
        )
        for i, c in enumerate(answer.citations)
    ]
    assert found == [
        ("One \U0001f600. ", 0, "\U0001f600 B."),
        ("Two.", 0, "A.  \U0001f600 B. C."),
        ("Two.", 2, "Bye."),
    ]


def test_a_citation_by_characters_is_found_in_the_source_past_what_was_not_sent() -> None:
    answer = read([said("One.", characters(3, 6, "\U0001f600 B"))])
    assert answer.citations == (Citation(start=0, end=4, source=0, source_start=4, source_end=7),)


@pytest.mark.parametrize(
    "citation",
    [
        block(0, 1, document=2),
        block(0, 1, document=-1),
        block(3, 4),
        block(0, 4),
        block(-1, 1),
        block(1, 1),
        characters(3, 6, "other"),
        characters(3, 3, ""),
        characters(-4, -2, "B."),
        {"type": "page_location", "cited_text": "", "document_index": 0, "start_page_number": 1},
        {"type": "something_new", "document_index": 0},
    ],
)
def test_a_citation_of_what_was_not_given_is_an_error_and_no_guess(citation: dict[str, Any]) -> None:
    with pytest.raises(ProviderError, match="cites what it was not given") as caught:
        read([said("One.", citation)])
    assert caught.value.request_id == "req_1"


def test_an_answer_that_was_not_asked_to_cite_has_no_citations() -> None:
    assert read([said("One.")], documents=None).citations is None
