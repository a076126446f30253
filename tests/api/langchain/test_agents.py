"""Agents: turns that call tools are passed over, and of the answer the results of the tools are sources."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.tools import BaseTool, tool
from langchain_core.vectorstores import InMemoryVectorStore
from tests.api.langchain.conftest import PATIENCE_SECONDS, Make, explained, in_a_loop, to
from tests.servers.ollama_store import TOOLED
from tests.servers.scripts import ToolCall

from whence import Explainer
from whence.demo.records import PROMPT, generate

RECORD = generate(100)
RESULT = f'<source name="record">\n{RECORD.text}\n</source>'
CALL = ToolCall(name="read_record", arguments={"of": "Åsa"})
ASKED: Any = {"messages": [{"role": "user", "content": PROMPT}]}
AGENTS = {
    "anthropic": ("anthropic", ""),
    "ollama": ("ollama", TOOLED),
    "gemini": ("vertex", "gemini-2.5-flash"),
    "gemini that signs": ("vertex", "gemini-3.5-flash"),
}


@tool
def read_record(of: str) -> str:
    """Read a record."""
    return RESULT if of == "Åsa" else "There is none."


@tool
async def read_record_later(of: str) -> str:
    """Read a record."""
    await asyncio.sleep(0)
    return RESULT


@pytest.mark.parametrize("agent", AGENTS)
def test_the_turn_that_answers_is_explained(
    agent: str, chat: Make, handler: Make, demo: Explainer, servers: Any
) -> None:
    kind, model = AGENTS[agent]
    servers[kind].tool_calls += [CALL, CALL]
    llm, run_id = chat(kind, model), uuid4()
    made = handler({"*": demo}, removals=False, segment_by="source")
    state = create_agent(llm, [read_record]).invoke(ASKED, to(made, run_id=run_id))
    kinds = [message.type for message in state["messages"]]
    assert kinds == ["human", "ai", "tool", "ai", "tool", "ai"]
    (record,) = explained(made)
    assert made.get(run_id) is record
    assert record.answer == state["messages"][-1].text
    assert servers[kind].calls == 3
    assert made.counts.answered == 1
    explanation = record.explanation
    assert explanation is not None
    assert [(source.name, source.kind, source.text) for source in explanation.sources] == [
        ("user", "message", PROMPT),
        ("read_record", "message", RESULT),
        ("read_record (2)", "message", RESULT),
    ]


def test_the_answer_rests_on_what_the_tool_brought(
    chat: Make, handler: Make, demo: Explainer, servers: Any
) -> None:
    servers["ollama"].tool_calls.append(CALL)
    made = handler({"ollama": demo}, method="leave_one_out", removals=False)
    create_agent(chat("ollama", TOOLED), [read_record]).invoke(ASKED, to(made))
    (record,) = explained(made)
    explanation = record.explanation
    assert explanation is not None
    truth = {support.text: support for support in RECORD.truth if support.kind == "single"}
    found = 0
    values = explanation.matrix(0)
    for target in range(len(explanation.output.targets)):
        support = truth.get(explanation.target_text(target).strip())
        if support is not None:
            best = explanation.segment_text(int(values[target].argmax()))
            lines = [RECORD.text[slice(*RECORD.spans[i])] for i in support.lines]
            found += any(line in best for line in lines)
    assert found >= 3


async def _later(agent: Any, config: Any) -> Any:
    parts = [part async for part in agent.astream(ASKED, config, stream_mode="values")]
    return await agent.ainvoke(ASKED, config), parts[-1]


@pytest.mark.parametrize("name", ["read_record", "read_record_later"])
def test_an_agent_in_an_event_loop(
    name: str, chat: Make, handler: Make, demo: Explainer, servers: Any
) -> None:
    brought: BaseTool = {"read_record": read_record, "read_record_later": read_record_later}[name]
    servers["ollama"].tool_calls.append(ToolCall(name=name, arguments=CALL.arguments))
    llm = chat("ollama", TOOLED)
    made = handler({"ollama": demo}, removals=False)
    states = in_a_loop(llm, lambda: _later(create_agent(llm, [brought]), to(made)))
    records = explained(made)
    assert [record.answer for record in records] == [state["messages"][-1].text for state in states]
    assert len({record.lineage[-1] for record in records}) == 2


def test_agents_at_one_time_do_not_mix(chat: Make, handler: Make, demo: Explainer, servers: Any) -> None:
    servers["anthropic"].tool_calls.append(CALL)
    made = handler({"anthropic": demo}, removals=False)
    agent = create_agent(chat("anthropic"), [read_record])
    run_ids = [uuid4() for _ in range(4)]
    agent.batch([ASKED] * 4, [to(made, run_id=run_id) for run_id in run_ids])
    records = explained(made)
    assert {record.lineage[-1] for record in records} == set(run_ids)
    assert len(records) == 4


def test_documents_that_a_tool_retrieves_are_found_in_its_result(
    chat: Make, handler: Make, demo: Explainer, servers: Any
) -> None:
    lines = [RECORD.text[start:end] for start, end in RECORD.spans]
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    store.add_documents([Document(page_content=line, metadata={"line": i}) for i, line in enumerate(lines)])
    retriever = store.as_retriever(search_kwargs={"k": len(lines)})

    @tool
    def read_record(of: str) -> str:
        """Read a record."""
        found = sorted(retriever.invoke(of), key=lambda document: int(document.metadata["line"]))
        assert [document.page_content for document in found] == lines
        return RESULT

    servers["ollama"].tool_calls.append(CALL)
    made, run_id = handler({"ollama": demo}, removals=False), uuid4()
    create_agent(chat("ollama", TOOLED), [read_record]).invoke(ASKED, to(made, run_id=run_id))
    (record,) = explained(made)
    assert record.explanation is not None
    assert len(record.chunks) == len(lines)
    for chunk in record.chunks:
        (source,) = (record.explanation.sources[number] for number in chunk.sources)
        assert source.text == chunk.document.text
        assert source.metadata["line"] == chunk.document.metadata["line"]
    report = made.retrieval_report(run_id)
    assert len(report.chunks) == len(lines)


def test_a_tool_that_fails_ends_nothing_but_its_chain(chat: Make, handler: Make, servers: Any) -> None:
    @tool
    def read_record(of: str) -> str:
        """Read a record."""
        raise RuntimeError("no such record")

    servers["ollama"].tool_calls.append(CALL)
    made = handler()
    with pytest.raises(RuntimeError, match="no such record"):
        create_agent(chat("ollama", TOOLED), [read_record]).invoke(ASKED, to(made))
    assert made.flush(PATIENCE_SECONDS)
    assert made.records == ()
    assert made.errors == []
    assert len(made._traces) == 0
