"""What an answer itself says of what it rests on: used without a second call."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from tests.api.langchain.conftest import PATIENCE_SECONDS, WROTE, Make, explained, in_a_loop, to

from whence import Explainer
from whence.api.langchain.carried import carried_by
from whence.api.langchain.said import Answer, Document
from whence.demo.records import PROMPT, generate

RECORD = generate(100)
LINES = [RECORD.text[start:end] for start, end in RECORD.spans]
WHOLE = {"type": "text", "media_type": "text/plain", "data": RECORD.text}
PASSAGES = {"type": "content", "content": [{"type": "text", "text": f"{line} "} for line in LINES]}


def asked(source: dict[str, Any]) -> list[Any]:
    block = {"type": "document", "source": source, "title": "record", "citations": {"enabled": True}}
    return [HumanMessage([block, {"type": "text", "text": PROMPT}])]


def claims_of(explanation: Any) -> dict[str, str]:
    """What each sentence is said to rest on: the passages with a claim, joined."""
    (result,) = (one for one in explanation.results if one.scores.unit == "claim")
    matrix = explanation.matrix(explanation.results.index(result))
    return {
        explanation.target_text(target).strip(): "".join(
            explanation.segment_text(int(segment)) for segment in row.nonzero()[0]
        )
        for target, row in enumerate(matrix)
    }


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("source", [WHOLE, PASSAGES], ids=["text", "passages"])
def test_claude_s_citations_are_claims_without_an_explainer(
    source: dict[str, Any], streamed: bool, chat: Make, handler: Make, servers: Any
) -> None:
    llm = chat("anthropic")
    made = handler({})
    if streamed:
        parts = list(llm.stream(asked(source), to(made)))
        answer = parts[0]
        for part in parts[1:]:
            answer += part
    else:
        answer = llm.invoke(asked(source), to(made))
    cited = [block for block in answer.content if isinstance(block, dict) and block.get("citations")]
    assert cited
    (record,) = explained(made)
    assert servers["anthropic"].calls == 1
    explanation = record.explanation
    assert explanation is not None
    assert explanation.output.text == answer.text
    assert [(source.name, source.kind) for source in explanation.sources] == [("record", "document")]
    assert (explanation.provider, explanation.model) == ("anthropic", "claude-haiku-5-5")
    (result,) = explanation.results
    assert (result.method.name, result.scores.unit) == ("citations", "claim")
    claims = claims_of(explanation)
    for block in cited:
        for citation in block["citations"]:
            assert citation["cited_text"].strip() in claims[block["text"].strip()]


def test_claims_stand_beside_what_was_measured(
    chat: Make, handler: Make, demo: Explainer, servers: Any
) -> None:
    llm = chat("anthropic")
    made = handler({"anthropic": demo}, removals=False)
    in_a_loop(llm, lambda: llm.ainvoke(asked(WHOLE), to(made)))
    (record,) = explained(made)
    assert record.explanation is not None
    units = [result.scores.unit for result in record.explanation.results]
    assert units[0] != "claim"
    assert units[1:] == ["claim"]
    assert any(claims_of(record.explanation).values())
    assert servers["anthropic"].calls == 1


def test_claims_are_kept_where_the_explanation_would_cost_too_much(
    chat: Make, handler: Make, servers: Any
) -> None:
    from tests.servers.anthropic import API_KEY

    from whence.providers.claude import Claude

    claude = Claude("claude-haiku-5-5", api_key=API_KEY, base_url=servers["anthropic"].url)
    made = handler([Explainer(claude)])
    chat("anthropic").invoke(asked(WHOLE), to(made))
    assert made.flush(PATIENCE_SECONDS)
    (record,) = made.records
    assert servers["anthropic"].calls == 1
    assert record.plan is not None
    assert record.explanation is not None
    assert any(claims_of(record.explanation).values())
    report = made.retrieval_report(record.run_id)
    assert report.unit == "claim"


def test_claude_without_documents_claims_nothing(chat: Make, handler: Make) -> None:
    made = handler({})
    chat("anthropic").invoke(f"{RECORD.text}\n\n{PROMPT}", to(made))
    assert made.flush(PATIENCE_SECONDS)
    assert [record.status for record in made.records] == ["not configured"]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_ollama_s_log_probabilities_are_those_of_the_output(
    streamed: bool, chat: Make, handler: Make, demo: Explainer, servers: Any
) -> None:
    llm = chat("ollama", logprobs=True)
    made = handler({"ollama": demo}, removals=False)
    if streamed:
        list(llm.stream(f"{RECORD.text}\n\n{PROMPT}", to(made)))
    else:
        llm.invoke(f"{RECORD.text}\n\n{PROMPT}", to(made))
    (record,) = explained(made)
    assert servers["ollama"].calls == 1
    assert record.explanation is not None
    tokens = record.explanation.output.tokens
    assert tokens is not None
    assert len(tokens) > 20
    assert all(token.logprob_nats is not None and token.logprob_nats <= 0 for token in tokens)


# --- Where a citation belongs ---


def answer(*blocks: Any, **told: Any) -> Answer:
    return Answer(content=list(blocks), told=told)


def cited(**changed: Any) -> dict[str, Any]:
    citation = {"type": "char_location", "document_index": 0, "start_char_index": 0, "end_char_index": 4}
    return {"type": "text", "text": "It is so.", "citations": [citation | {"cited_text": "Take"} | changed]}


def of_blocks(**changed: Any) -> dict[str, Any]:
    place = {"start_block_index": 1, "end_block_index": 2, "cited_text": "alpha."}
    return {"type": "text", "text": "It is so.", "citations": [place | changed]}


BROUGHT = [(3, Document(text="Take alpha.", blocks=((0, 5), (5, 11)), citable=True))]


def placed(*blocks: Any, brought: Any = BROUGHT) -> tuple[list[Any], int]:
    written, unplaced = carried_by(answer(*blocks), brought)
    assert written.citations is not None
    return [
        (one.start, one.end, one.source, one.source_start, one.source_end) for one in written.citations
    ], unplaced


def test_a_citation_is_placed_in_its_source() -> None:
    assert placed("So. ", cited(), of_blocks(document_index=0)) == ([(4, 13, 3, 0, 4), (13, 22, 3, 5, 11)], 0)


@pytest.mark.parametrize(
    "changed",
    [
        {"document_index": 1},
        {"document_index": -1},
        {"document_index": None},
        {"document_index": "0"},
        {"start_char_index": 4},
        {"start_char_index": -1},
        {"end_char_index": 12},
        {"end_char_index": "4"},
        {"cited_text": "take"},
        {"cited_text": None},
        {"search_result_index": 0},
    ],
    ids=str,
)
def test_a_citation_that_has_no_place_is_left_out_and_counted(changed: dict[str, Any]) -> None:
    assert placed("So. ", cited(**changed), cited()) == ([(13, 22, 3, 0, 4)], 1)


@pytest.mark.parametrize(
    "place",
    [
        {"type": "page_location", "start_page_number": 1, "end_page_number": 2, "document_index": 0},
        {"type": "content_block_location", "start_block_index": 0, "end_block_index": 3, "document_index": 0},
        {"type": "web_search_result_location", "url": "https://example.org"},
        {"type": None},
    ],
    ids=str,
)
def test_a_citation_of_something_else_is_left_out_and_counted(place: dict[str, Any]) -> None:
    assert placed({"type": "text", "text": "So.", "citations": [place]}) == ([], 1)


def test_what_cannot_be_read_keeps_its_number() -> None:
    pdf = (None, Document(text="", readable=False))
    assert placed(cited(document_index=1), brought=[pdf, *BROUGHT])[0] == [(0, 9, 3, 0, 4)]
    assert placed(cited(document_index=0), brought=[pdf, *BROUGHT]) == ([], 1)


def test_search_results_are_numbered_apart() -> None:
    result = Document(text="Stop beta. Take alpha.", blocks=((0, 10), (10, 22)), numbered="search_result")
    both = [(0, result), *BROUGHT]
    assert placed(cited(), of_blocks(search_result_index=0), brought=both) == (
        [(0, 9, 3, 0, 4), (9, 18, 0, 10, 22)],
        0,
    )


def test_citations_in_langchain_s_own_form() -> None:
    place = {"type": "char_location", "document_index": 0, "start_char_index": 0, "end_char_index": 4}
    block = {
        "type": "text",
        "text": "It is so.",
        "annotations": [{"type": "citation", "cited_text": "Take", "extras": place}],
    }
    assert placed(block) == ([(0, 9, 3, 0, 4)], 0)


def test_texts_are_counted_as_they_are_joined() -> None:
    thinking = {"type": "thinking", "thinking": "y", "text": "not said"}
    assert answer(thinking, "So. ", cited()).text == "So. It is so."
    assert placed(thinking, "So. ", cited())[0] == [(4, 13, 3, 0, 4)]


def test_without_citations_asked_for_there_are_no_claims() -> None:
    brought = [(0, Document(text="Take alpha."))]
    assert carried_by(answer("So."), brought)[0].citations is None
    assert carried_by(answer("So."), BROUGHT)[0].citations == ()


# --- From a chain ---

ALPHA, GAMMA = "Take alpha daily. It must be taken with food.", "The scan shows gamma. It was done on Monday."
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}


def document(text: str, enabled: bool = True) -> dict[str, Any]:
    source = {"type": "text", "media_type": "text/plain", "data": text}
    return {"type": "document", "source": source, "title": text[:4], "citations": {"enabled": enabled}}


def claimed(handler: Any, asked: Any, *blocks: Any) -> Any:
    """The one record of an answer to that."""
    GenericFakeChatModel(messages=iter([AIMessage(list(blocks))])).invoke(asked, to(handler))
    assert handler.flush(PATIENCE_SECONDS)
    return handler.records[0]


def says(citation: dict[str, Any], text: str) -> dict[str, Any]:
    return {"type": "text", "text": "Take alpha.", "citations": [citation | {"cited_text": text}]}


def test_a_pdf_before_what_is_cited(handler: Make) -> None:
    pdf = {"type": "document", "source": PDF, "title": "scan", "citations": {"enabled": True}}
    place = {"type": "char_location", "document_index": 1, "start_char_index": 0, "end_char_index": 17}
    own = {"type": "text-plain", "text": GAMMA, "extras": {"citations": {"enabled": True}}}
    far = {"type": "char_location", "document_index": 2, "start_char_index": 4, "end_char_index": 21}
    lost = place | {"document_index": 0}
    record = claimed(
        handler({}),
        [HumanMessage([pdf, document(ALPHA), own, {"type": "text", "text": "What?"}])],
        says(place, ALPHA[:17]),
        says(far, GAMMA[4:21]),
        says(lost, "of the PDF"),
    )
    assert record.status == "explained"
    (result,) = record.explanation.results
    rests = [
        record.explanation.segment_text(int(row.argmax())).strip() for row in record.explanation.matrix(0)
    ]
    assert rests[0] == "Take alpha daily."
    assert any(caveat.startswith("1 of the answer's citations are left out") for caveat in result.caveats)
    assert "left out: document" in record.reason
    assert record.reason in result.caveats


def test_search_results_of_a_tool_are_documents_that_can_be_cited(handler: Make) -> None:
    found = {
        "type": "search_result",
        "source": "https://example.org",
        "title": "Doses",
        "content": [{"type": "text", "text": "Stop beta. "}, {"type": "text", "text": "Take alpha daily."}],
        "citations": {"enabled": True},
    }
    call = {"name": "look", "args": {}, "id": "1"}
    place = {"type": "search_result_location", "search_result_index": 0}
    place |= {"start_block_index": 1, "end_block_index": 2}
    asked = [HumanMessage("Dose?"), AIMessage("", tool_calls=[call]), ToolMessage([found], tool_call_id="1")]
    record = claimed(handler({}), asked, says(place, "Take alpha daily."))
    assert (record.status, record.reason) == ("explained", "")
    assert [source.name for source in record.explanation.sources] == ["Doses"]
    assert claims_of(record.explanation) == {"Take alpha.": "Take alpha daily."}


def test_documents_without_citations_leave_it_not_configured(handler: Make) -> None:
    asked = [HumanMessage([document(ALPHA, enabled=False), {"type": "text", "text": "What?"}])]
    record = claimed(handler({}), asked, {"type": "text", "text": "Take alpha."})
    assert (record.status, record.explanation) == ("not configured", None)


PLACE = {"type": "char_location", "document_index": 0, "start_char_index": 0, "end_char_index": 17}
ASKED = [HumanMessage([document(ALPHA), {"type": "text", "text": "What?"}])]


@pytest.mark.parametrize("units", [{"segment_by": "word"}, {"target_by": "token"}], ids=str)
def test_claims_are_of_sentences_or_of_nothing(units: Any, handler: Make) -> None:
    alone = claimed(handler({}, **units), ASKED, says(PLACE, ALPHA[:17]))
    assert claims_of(alone.explanation) == {"Take alpha.": "Take alpha daily. "}
    beside = claimed(handler(**units), ASKED, says(PLACE, ALPHA[:17]))
    assert beside.status == "explained"
    assert beside.reason == "no claims: they are made of sentences, and other units were asked for"
    assert len(beside.explanation.results) == 1


def test_claims_that_fail_leave_what_was_measured(handler: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: Any) -> Any:
        raise ValueError("a text of the record")

    monkeypatch.setattr("whence.api.langchain.carried.Carried.capabilities", broken)
    made = handler()
    record = claimed(made, ASKED, says(PLACE, ALPHA[:17]))
    assert (record.status, record.reason) == ("explained", "no claims: ValueError")
    assert made.errors == [record.error]
    assert made.counts.explained == 1


# --- What is odd ---


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        "tokens",
        [1, 2],
        [{"token": WROTE}],
        [{"token": WROTE, "logprob": "low"}],
        [{"token": WROTE[:-1], "logprob": -0.5}],
        [{"token": WROTE, "logprob": float("nan")}],
        [{"token": WROTE, "logprob": True}],
    ],
    ids=str,
)
def test_log_probabilities_that_are_not_the_text_s_are_none(told: Any) -> None:
    assert carried_by(answer(WROTE, logprobs=told), ())[0].tokens is None


def test_citations_of_an_odd_shape_do_not_break_the_chain() -> None:
    odd: list[Any] = [
        {"type": "text", "text": "x", "citations": "none"},
        {"type": "thinking", "thinking": "y"},
    ]
    odd += [{"type": "text", "text": None, "citations": [None, 3]}, {"type": "text", "citations": [None, 3]}]
    assert placed(*odd) == ([], 0)
    assert placed({"type": "text", "text": "x", "citations": [None, 3]}) == ([], 2)
