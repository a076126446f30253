"""What messages and documents say, in every form that LangChain has for it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document as LangChainDocument
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    HumanMessageChunk,
    SystemMessageChunk,
    ToolMessageChunk,
)
from tests.api.langchain.conftest import PATIENCE_SECONDS, SAID, WROTE, Make, to

from whence.api.langchain.said import answer_of, document_of, retrieved_as, said_in

TEXT = "Take alpha."


@pytest.mark.parametrize(
    ("message", "role", "kind"),
    [
        (AIMessageChunk(content=TEXT), "assistant", "ai"),
        (SystemMessageChunk(content=TEXT), "system", "system"),
        (ToolMessageChunk(content=TEXT, tool_call_id="1"), "user", "tool"),
        (HumanMessageChunk(content=TEXT), "user", "human"),
        (ChatMessage(content=TEXT, role="assistant"), "assistant", "ai"),
        (ChatMessage(content=TEXT, role="System"), "system", "system"),
        (ChatMessage(content=TEXT, role="developer"), "system", "system"),
        (ChatMessage(content=TEXT, role="user"), "user", "human"),
        (ChatMessage(content=TEXT, role="tool"), "user", "tool"),
        (ChatMessage(content=TEXT, role="narrator"), "user", "narrator"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseMessage) else value,
)
def test_who_speaks(message: BaseMessage, role: str, kind: str) -> None:
    said = said_in(message)
    assert (said.role, said.kind, said.parts) == (role, kind, (TEXT,))


CITED = {"citations": {"enabled": True}}
PLAIN = {"type": "text", "media_type": "text/plain", "data": TEXT}


@pytest.mark.parametrize(
    ("block", "name", "citable"),
    [
        ({"type": "document", "source": PLAIN, "title": "note", **CITED}, "note", True),
        ({"type": "document", "source": PLAIN, "citations": {"enabled": False}}, "", False),
        ({"type": "document", "source": {"type": "content", "content": TEXT}}, "", False),
        ({"type": "text-plain", "text": TEXT, "title": "note", "mime_type": "text/plain"}, "note", False),
        ({"type": "text-plain", "text": TEXT, "extras": {"title": "note", **CITED}}, "note", True),
        ({"type": "file", "source_type": "text", "text": TEXT, "metadata": CITED}, "", True),
        (
            {"type": "search_result", "source": "a.org", "content": [{"type": "text", "text": TEXT}]},
            "a.org",
            False,
        ),
    ],
    ids=str,
)
def test_documents_in_every_form(block: dict[str, Any], name: str, citable: bool) -> None:
    said = said_in(HumanMessage([block]))
    (document,) = said.parts
    assert not isinstance(document, str)
    assert (document.text, document.readable, said.left_out) == (TEXT, True, ())
    assert (document.name, document.citable, document.blocks) == (name, citable, ((0, len(TEXT)),))
    assert (document.numbered == "search_result") == (block["type"] == "search_result")


@pytest.mark.parametrize(
    "block",
    [
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        },
        {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}, "title": "a"},
        {"type": "document", "source": {"type": "content", "content": [{"type": "image"}]}},
        {"type": "document", "source": {"type": "content", "content": []}},
        {"type": "document", "source": None},
        {"type": "file", "base64": "JVBERi0=", "mime_type": "application/pdf"},
        {"type": "file", "file_id": "x"},
    ],
    ids=str,
)
def test_a_document_that_is_no_text_keeps_its_place(block: dict[str, Any]) -> None:
    said = said_in(HumanMessage(["Read.", block, "Summarise."]))
    first, document, last = said.parts
    assert (first, last) == ("Read.", "Summarise.")
    assert not isinstance(document, str)
    assert (document.text, document.readable, document.blocks) == ("", False, ())
    assert said.left_out == (block["type"],)


def test_texts_in_every_form_and_what_is_left_out() -> None:
    said = said_in(
        HumanMessage(
            [
                "a",
                {"type": "text", "text": "b"},
                {"type": "input_text", "text": "c"},
                {"text": "d"},
                {"type": "tool_result", "tool_use_id": "1", "content": "e"},
                {"type": "tool_result", "content": [{"type": "text", "text": "f"}, {"type": "image"}]},
                {"type": "tool_result"},
                {"type": "image_url", "image_url": {"url": "data:"}},
                {"type": "text", "text": None},
            ]
        )
    )
    assert said.parts == tuple("abcdef")
    assert said.left_out == ("image", "image_url", "text")


def test_calls_are_told_once() -> None:
    blocks: list[Any] = [{"type": "tool_use", "id": "1", "name": "read", "input": {}}]
    calls = [{"name": "read", "args": {"of": "Åsa"}, "id": "1"}]
    said = said_in(AIMessage(blocks, tool_calls=calls))
    assert (said.parts, said.left_out) == (('read({"of": "Åsa"})',), ())
    assert said_in(AIMessage(blocks)).left_out == ("tool_use",)


def test_what_is_left_out_stands_on_the_record(quick: Any, handler: Make) -> None:
    made = handler()
    quick.invoke([HumanMessage([SAID, {"type": "image_url", "image_url": {"url": "data:,"}}])], to(made))
    assert made.flush(PATIENCE_SECONDS)
    (record,) = made.records
    assert record.status == "explained"
    assert record.reason == "the model was also told what is not read here, and left out: image_url"
    assert record.explanation is not None
    assert record.explanation.results[0].caveats[-1] == record.reason


def test_an_answer_is_copied_as_deep_as_it_goes() -> None:
    citation = {"type": "char_location", "cited_text": "a"}
    message = AIMessage([{"type": "text", "text": "b", "citations": [citation]}])
    answer = answer_of(message)
    citation["cited_text"] = "changed"
    ((_, (copy,)),) = answer.blocks()
    assert copy["cited_text"] == "a"


class Odd:
    """Has no text."""

    def __str__(self) -> str:
        raise ValueError("a secret")


SCORES = [(np.float32(0.5), 0.5), (np.int64(2), 2.0), (0.25, 0.25), (True, None), (False, None)]
SCORES += [(np.True_, None), ("best", None), (None, None), (Decimal("0.5"), None)]


@pytest.mark.parametrize(("score", "wanted"), SCORES, ids=repr)
def test_scores_are_numbers(score: Any, wanted: float | None) -> None:
    found = document_of(retrieved_as(LangChainDocument(TEXT, metadata={"score": score})))
    assert found.score == wanted


def test_metadata_may_hold_anything() -> None:
    given = {"source": "a.txt", "odd": Odd(), "score": Odd(), "similarity": 0.5, "list": [1, 2]}
    found = document_of(retrieved_as(LangChainDocument(TEXT, metadata=given)))
    assert found.metadata == given | {"odd": "Odd", "score": "Odd", "similarity": "0.5", "list": "[1, 2]"}
    assert (found.name, found.score) == ("a.txt", 0.5)


def test_a_message_that_cannot_be_read_is_an_answer_that_failed(
    quick: FakeListChatModel, handler: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(message: Any) -> Any:
        raise ValueError("quotes the message")

    monkeypatch.setattr("whence.api.langchain.listening.said_in", broken)
    made = handler()
    assert quick.invoke(SAID, to(made)).text == WROTE
    assert made.flush(PATIENCE_SECONDS)
    (record,) = made.records
    assert (record.status, record.reason, made.errors) == ("failed", "ValueError", [record.error])
    assert (made.counts.answered, made.counts.failed, len(made._traces)) == (1, 1, 0)
