"""What an answer itself says of what it rests on: used without a second call."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from tests.api.langchain.conftest import PATIENCE_SECONDS, WROTE, Make, explained, in_a_loop, to

from whence import Explainer
from whence.api.langchain.carried import carried_by
from whence.api.langchain.said import Document
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


# --- What is odd ---


def answer(*blocks: Any, **told: Any) -> AIMessage:
    return AIMessage(
        list(blocks) if len(blocks) != 1 or not isinstance(blocks[0], str) else blocks[0], **told
    )


def cited(**changed: Any) -> dict[str, Any]:
    citation = {"type": "char_location", "document_index": 0, "start_char_index": 0, "end_char_index": 4}
    return {"type": "text", "text": "It is so.", "citations": [citation | changed]}


BROUGHT = [(3, Document(text="Take alpha.", blocks=((0, 5), (5, 11))))]


def test_a_citation_is_placed_in_its_source() -> None:
    block = cited(type="content_block_location", start_block_index=1, end_block_index=2)
    written = carried_by(answer("So. ", cited(), block), BROUGHT)
    assert written.citations is not None
    assert [
        (one.start, one.end, one.source, one.source_start, one.source_end) for one in written.citations
    ] == [
        (4, 13, 3, 0, 4),
        (13, 22, 3, 5, 11),
    ]


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
        {"type": "page_location", "start_page_number": 1, "end_page_number": 2},
        {"type": "content_block_location", "start_block_index": 0, "end_block_index": 3},
        {"type": "web_search_result_location", "url": "https://example.org"},
        {"type": None},
    ],
    ids=str,
)
def test_a_citation_that_has_no_place_is_left_out(changed: dict[str, Any]) -> None:
    assert carried_by(answer("So. ", cited(**changed)), BROUGHT).citations == ()


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
    assert carried_by(answer(WROTE, response_metadata={"logprobs": told}), ()).tokens is None


def test_citations_of_an_odd_shape_do_not_break_the_chain(handler: Make) -> None:
    odd: list[Any] = [
        {"type": "text", "text": "x", "citations": "none"},
        {"type": "thinking", "thinking": "y"},
    ]
    odd += [{"type": "text", "text": None, "citations": [None, 3]}]
    assert carried_by(answer(*odd), BROUGHT).citations == ()
