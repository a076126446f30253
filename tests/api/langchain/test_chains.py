"""Chains and graphs in every way they can be asked; the real packages through the wire servers."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import Any, TypedDict
from uuid import uuid4

import pytest
from langchain_classic.chains import create_retrieval_chain
from langchain_classic.chains.combine_documents import create_stuff_documents_chain
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_huggingface import ChatHuggingFace, HuggingFacePipeline
from langgraph.graph import END, START, StateGraph
from tests.api.langchain.conftest import PATIENCE_SECONDS, SAID, WROTE, Make, explained, in_a_loop, to
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

from whence import Explainer, FakeProvider
from whence.demo.records import PROMPT, generate
from whence.providers.claude import Claude
from whence.providers.ollama import Ollama

RECORD = generate(100)
TEXT = f'<source name="record">\n{RECORD.text}\n</source>\n\n{PROMPT}'
ASKED = ChatPromptTemplate.from_messages(
    [("user", '<source name="record">\n{context}\n</source>\n\n{question}')]
)


class Lines(BaseRetriever):
    """Returns the lines of the record, with a score, and one that nobody needs."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        lines = [RECORD.text[start:end] for start, end in RECORD.spans]
        found = [
            Document(page_content=line, metadata={"source": f"line {i}", "score": 1 - i / 100})
            for i, line in enumerate(lines)
        ]
        return [
            *found,
            Document(page_content="Nobody retrieves this on purpose.", metadata={"source": "odd"}),
        ]


def joined(documents: list[Document]) -> str:
    """As the bundled model is used to read them."""
    assert [document.page_content for document in documents[:-1]]
    return RECORD.text


def rag(llm: Any) -> Any:
    """The usual chain."""
    return (
        {"context": Lines() | RunnableLambda(joined), "question": RunnablePassthrough()}
        | ASKED
        | llm
        | StrOutputParser()
    )


def asked_in_turn(chain: Runnable[str, str], config: Any) -> list[str]:
    return [
        chain.invoke(PROMPT, config),
        *chain.batch([PROMPT] * 2, config),
        "".join(chain.stream(PROMPT, config)),
    ]


async def asked_at_once(chain: Runnable[str, str], config: Any) -> list[str]:
    streamed = "".join([part async for part in chain.astream(PROMPT, config)])
    events = [event async for event in chain.astream_events(PROMPT, config, version="v2")]
    ended = [event for event in events if event["event"] == "on_chain_end" and not event["parent_ids"]]
    one, several = await asyncio.gather(chain.ainvoke(PROMPT, config), chain.abatch([PROMPT] * 2, config))
    return [one, *several, streamed, ended[0]["data"]["output"]]


@pytest.mark.parametrize("kind", ["anthropic", "ollama", "vertex"])
def test_every_way_of_asking_a_chain(
    kind: str, chat: Make, handler: Make, demo: Explainer, servers: Any
) -> None:
    llm = chat(kind)
    made = handler({"*": demo}, removals=False)
    answers = asked_in_turn(rag(llm), to(made))
    answers += in_a_loop(llm, lambda: asked_at_once(rag(llm), to(made)))
    assert set(answers) == {RECORD.summary}
    assert len(answers) == 9
    records = explained(made)
    assert len(records) == 9
    assert servers[kind].calls == 9
    assert len({record.run_id for record in records}) == 9
    assert len({record.lineage[-1] for record in records}) == 9
    for record in records:
        assert record.answer == RECORD.summary
        assert record.explanation is not None
        assert record.explanation.output.text == RECORD.summary
        assert len(record.chunks) == len(RECORD.lines) + 1
        assert made.get(record.run_id) is record
        assert made.get(str(record.lineage[-1])) is record
        in_prompt = [bool(chunk.sources) for chunk in record.chunks]
        assert in_prompt == [True] * len(RECORD.lines) + [False]


def test_each_chunk_keeps_its_metadata_and_its_score(chat: Make, handler: Make, demo: Explainer) -> None:
    made = handler({"ollama": demo}, removals=False)
    rag(chat("ollama")).invoke(PROMPT, to(made))
    (record,) = explained(made)
    assert record.explanation is not None
    sources = record.explanation.sources
    for i, chunk in enumerate(record.chunks[:-1]):
        (source,) = (sources[number] for number in chunk.sources)
        start, end = RECORD.spans[i]
        assert source.text == RECORD.text[start:end] == chunk.document.text
        assert (source.name, source.metadata["source"]) == (f"line {i}", f"line {i}")
        assert chunk.document.score == 1 - i / 100
        assert chunk.coverage == 1
    assert [source.name for source in sources] == [f"line {i}" for i in range(len(RECORD.lines))]


def test_the_chain_that_langchain_makes_itself(chat: Make, handler: Make, demo: Explainer) -> None:
    stuffed = ChatPromptTemplate.from_messages(
        [("user", '<source name="record">\n{context}\n</source>\n\n{input}')]
    )
    chain = create_retrieval_chain(
        Lines(), create_stuff_documents_chain(chat("ollama"), stuffed, document_separator=" ")
    )
    made = handler({"ollama": demo}, removals=False)
    told = chain.invoke({"input": PROMPT}, to(made))
    (record,) = explained(made)
    assert record.answer == told["answer"]
    assert all(chunk.sources for chunk in record.chunks)
    assert "retrieval_chain" in record.names
    assert len(record.lineage) > 2


def test_a_run_is_found_by_its_own_number_and_by_that_of_the_chain(quick: Any, handler: Make) -> None:
    made, run_id = handler(), uuid4()
    chain = RunnableLambda(lambda text: text) | (RunnableLambda(lambda text: text) | quick)
    chain.invoke(SAID, to(made, run_id=run_id))
    (record,) = explained(made)
    assert record.lineage[-1] == run_id
    assert made.get(run_id) is made.get(str(run_id)) is made.get(record.run_id) is record
    for number in record.lineage:
        assert made.get(number) is record
    assert made.get(uuid4()) is None


def test_of_several_answers_of_a_chain_the_last_one_is_its_own(quick: Any, handler: Make) -> None:
    made, run_id = handler(), uuid4()
    (quick | RunnableLambda(lambda _: SAID) | quick).invoke(SAID, to(made, run_id=run_id))
    first, last = explained(made)
    assert made.get(run_id) is last
    assert made.get(first.run_id) is first


class State(TypedDict):
    """What the graph hands on."""

    record: str
    summary: str
    judged: str


def two_models(summarising: Any, judging: Any) -> Any:
    graph = StateGraph(State)
    graph.add_node("summarise", lambda state: {"summary": summarising.invoke(state["record"]).text})
    graph.add_node(
        "judge",
        lambda state: {"judged": judging.invoke(f"{state['summary']}\n\n{state['record']}").text},
    )
    graph.add_edge(START, "summarise")
    graph.add_edge("summarise", "judge")
    graph.add_edge("judge", END)
    return graph.compile()


def test_each_model_of_a_graph_is_explained_by_its_own(
    chat: Make, handler: Make, servers: Any, demo: Explainer
) -> None:
    claude, ollama = chat("anthropic"), chat("ollama")
    fakes = [
        FakeProvider(access="logprobs", name="claude", model="claude-haiku-5-5"),
        FakeProvider(access="logprobs", name="ollama", model="demo"),
    ]
    made = handler([Explainer(fake) for fake in fakes], removals=False)
    graph, run_id = two_models(claude, ollama), uuid4()
    state = graph.invoke({"record": TEXT}, to(made, run_id=run_id))
    first, second = explained(made)
    assert (first.answer, second.answer) == (state["summary"], state["judged"])
    assert [first.model, second.model] == ["anthropic:claude-haiku-5-5", "ollama:demo"]
    explanations = [first.explanation, second.explanation]
    assert [one.provider for one in explanations if one] == ["claude", "ollama"]
    assert all(fake.calls for fake in fakes)
    assert made.get(run_id) is second
    assert {"LangGraph", "summarise"} <= first.names
    assert "judge" in second.names
    assert servers["anthropic"].calls == servers["ollama"].calls == 1


def test_a_graph_may_be_asked_in_a_loop_and_streamed(quick: Any, handler: Make) -> None:
    made = handler()
    graph = two_models(quick, quick)

    async def ask() -> Any:
        parts = [part async for part in graph.astream({"record": SAID}, to(made))]
        return parts, await graph.ainvoke({"record": SAID}, to(made))

    parts, state = asyncio.run(ask())
    assert [set(part) for part in parts] == [{"summarise"}, {"judge"}]
    assert state["judged"] == WROTE
    assert len(explained(made)) == 4


def test_models_side_by_side_are_one_chain(quick: Any, handler: Make) -> None:
    made, run_id = handler(), uuid4()
    RunnableParallel(one=quick, two=quick).invoke(SAID, to(made, run_id=run_id))
    records = explained(made)
    assert [record.lineage for record in records] == [(run_id,)] * 2


def test_ollama_s_own_adapter_explains_its_chain(chat: Make, handler: Make, servers: Any) -> None:
    server = servers["ollama"]
    made = handler([Explainer(Ollama("demo", host=server.url, models_dir=server.store))], removals=False)
    rag(chat("ollama")).invoke(PROMPT, to(made))
    (record,) = explained(made)
    assert record.explanation is not None
    assert record.explanation.provider == "ollama"
    assert record.explanation.results[0].method.evidence == "descriptive"


def test_claude_s_own_adapter_explains_its_chain(chat: Make, handler: Make, servers: Any) -> None:
    from tests.servers.anthropic import API_KEY

    server = servers["anthropic"]
    claude = Claude("claude-haiku-5-5", api_key=API_KEY, base_url=server.url)
    made = handler(
        [Explainer(claude)],
        budget={"calls": 17},
        method="leave_one_out",
        segment_by="paragraph",
        removals=False,
    )
    rag(chat("anthropic")).invoke(PROMPT, to(made))
    (record,) = explained(made)
    assert record.explanation is not None
    assert record.explanation.provider == "claude"
    assert 1 < server.calls <= 1 + 17


@pytest.fixture(scope="module")
def local() -> Any:
    """The bundled model, run by langchain-huggingface in this process."""
    folder = str(files("whence.demo") / "model")
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    writing = pipeline(
        "text-generation",
        model=AutoModelForCausalLM.from_pretrained(folder),
        tokenizer=tokenizer,
        max_new_tokens=80,
        return_full_text=False,
    )
    return ChatHuggingFace(llm=HuggingFacePipeline(pipeline=writing, model_id=folder), tokenizer=tokenizer)


def test_a_model_of_hugging_face_in_this_process(local: Any, handler: Make, demo: Explainer) -> None:
    made = handler({"huggingface": demo}, removals=False)
    answer = rag(local).invoke(PROMPT, to(made))
    (record,) = explained(made)
    assert record.answer == answer == RECORD.summary
    assert record.model.startswith("huggingface:")


def test_a_chain_with_the_handler_answers_as_without_it(
    chat: Make, handler: Make, demo: Explainer, servers: Any
) -> None:
    chain = rag(chat("ollama"))
    bare = chain.invoke(PROMPT)
    sent = servers["ollama"].seen[-1].body
    made = handler({"ollama": demo}, removals=False)
    assert chain.invoke(PROMPT, to(made)) == bare
    assert servers["ollama"].seen[-1].body == sent
    assert made.flush(PATIENCE_SECONDS)
