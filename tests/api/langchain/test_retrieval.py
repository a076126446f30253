"""A retrieval chain over records, where the right chunk of each sentence is known: the report finds it."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from tests.api.langchain.conftest import PATIENCE_SECONDS, SAID, WROTE, Make, explained, to

from whence import Explainer, InputError
from whence.api.langchain import RetrievalReport
from whence.demo.records import PROMPT, Support, generate
from whence.providers.errors import NameUnknownError

RECORDS = {seed: generate(seed, sentences=14) for seed in (100, 101, 102)}
ASKED = ChatPromptTemplate.from_messages(
    [("user", '<source name="record">\n{context}\n</source>\n\n{question}')]
)
SIZE = 64


class Words(Embeddings):
    """Which words a text has, hashed."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        vector = np.full(SIZE, 0.01)
        for word in re.findall(r"\w+", text.lower()):
            vector[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4]) % SIZE] += 1
        return [float(value) for value in vector / np.linalg.norm(vector)]


@pytest.fixture(scope="module")
def store() -> InMemoryVectorStore:
    """A chunk for each line of each record."""
    made = InMemoryVectorStore(Words())
    made.add_documents(
        [
            Document(
                page_content=record.text[slice(*span)],
                metadata={"record": seed, "line": line, "source": f"{seed}/{line}"},
            )
            for seed, record in RECORDS.items()
            for line, span in enumerate(record.spans)
        ]
    )
    return made


def chain_of(llm: Any, store: InMemoryVectorStore, seed: int, *, others: int = 0) -> Any:
    """Retrieves all lines of a record and some of others; the prompt has those of the record in order."""
    record = RECORDS[seed]

    def retrieve(question: str) -> list[Document]:
        kept = store.as_retriever(
            search_kwargs={"k": len(record.lines), "filter": lambda chunk: chunk.metadata["record"] == seed}
        )
        strange = store.as_retriever(
            search_kwargs={"k": others, "filter": lambda chunk: chunk.metadata["record"] != seed}
        )
        found = kept.invoke(question)
        return found + (strange.invoke(question) if others else [])

    def join(chunks: list[Document]) -> str:
        own = {chunk.metadata["line"]: chunk for chunk in chunks if chunk.metadata["record"] == seed}
        assert [own[line].page_content for line in sorted(own)] == [
            record.text[start:end] for start, end in record.spans
        ]
        return record.text

    return (
        {"context": RunnableLambda(retrieve) | join, "question": RunnablePassthrough()}
        | ASKED
        | llm
        | StrOutputParser()
    )


def named(report: RetrievalReport, support: Support) -> set[int]:
    """The lines that the report names for a sentence, measured or by what is lost without them."""
    chunks = [
        chunk
        for sentence in report.sentences
        if sentence.text.strip() == support.text
        for chunk in (*(one.chunk for one in sentence.supports), *sentence.loses_without)
    ]
    return {int(report.chunks[chunk].metadata["line"]) for chunk in chunks}


@pytest.mark.parametrize(
    ("method", "options"),
    [("auto", {}), ("leave_one_out", {}), ("attention", {"layers": 1, "removals": False})],
    ids=["auto", "leave one out", "where the model looks things up"],
)
def test_the_report_finds_the_right_chunk(
    method: str, options: Any, chat: Make, handler: Make, demo: Explainer, store: InMemoryVectorStore
) -> None:
    made = handler({"ollama": demo}, method=method, **options)
    llm = chat("ollama")
    checked = hits = 0
    for seed, record in RECORDS.items():
        run_id = uuid4()
        answer = chain_of(llm, store, seed).invoke(PROMPT, to(made, run_id=run_id))
        assert answer == record.summary
        explained(made)
        report = made.retrieval_report(run_id)
        for support in record.truth:
            if support.kind in ("single", "both"):
                found = named(report, support)
                assert method == "attention" or found == support.lines
                checked += 1
                hits += bool(found & support.lines)
            elif support.kind == "habit" and method != "attention":
                assert named(report, support) == set()
    assert checked >= 12
    assert hits / checked >= 0.7


def test_what_is_lost_without_a_chunk_is_what_it_says(
    chat: Make, handler: Make, demo: Explainer, store: InMemoryVectorStore
) -> None:
    made, run_id = handler({"ollama": demo}), uuid4()
    chain_of(chat("ollama"), store, 100).invoke(PROMPT, to(made, run_id=run_id))
    (record,) = explained(made)
    assert record.removals is not None
    report = made.retrieval_report(run_id)
    truth = {support.text: support for support in RECORDS[100].truth}
    checked = 0
    for number, sentence in enumerate(report.sentences):
        support = truth.get(sentence.text.strip())
        if support is None or support.kind != "single":
            continue
        (line,) = support.lines
        effects = [chunk.removal.effects[number] for chunk in report.chunks if chunk.removal.effects]
        best = max(range(len(effects)), key=lambda at: effects[at] or 0.0)
        checked += 1
        assert int(report.chunks[best].metadata["line"]) == line
    assert checked >= 3


def test_what_is_retrieved_and_not_in_the_prompt_is_told(
    chat: Make, handler: Make, demo: Explainer, store: InMemoryVectorStore
) -> None:
    made, run_id = handler({"ollama": demo}), uuid4()
    chain_of(chat("ollama"), store, 100, others=3).invoke(PROMPT, to(made, run_id=run_id))
    explained(made)
    report = made.retrieval_report(run_id)
    own = len(RECORDS[100].lines)
    # Lines that the records share stand in the prompt, whoever's they are.
    strange = [chunk for chunk in report.chunks[own:] if chunk.text not in RECORDS[100].text]
    assert strange
    for chunk in strange:
        assert (chunk.in_prompt, chunk.used, chunk.passages) == (False, False, ())
        assert chunk.removal.reason
    assert all(chunk.in_prompt for chunk in report.chunks[:own])
    assert [chunk.rank for chunk in report.chunks] == list(range(1, own + 4))
    assert [chunk.metadata["source"] for chunk in report.chunks[:own]] != sorted(
        chunk.metadata["source"] for chunk in report.chunks[:own]
    )


def test_the_report_is_a_text_and_json_and_stands_in_the_viewer_of_the_answer(
    chat: Make, handler: Make, demo: Explainer, store: InMemoryVectorStore, tmp_path: Any
) -> None:
    made, run_id = handler({"ollama": demo}, removals=False), uuid4()
    chain_of(chat("ollama"), store, 100).invoke(PROMPT, to(made, run_id=run_id))
    (record,) = explained(made)
    report = made.retrieval_report(str(run_id))
    assert report == made.retrieval_report(record.run_id)
    assert RetrievalReport.model_validate_json(report.model_dump_json()) == report
    for chunk in report.chunks:
        assert chunk.name in str(report)
    assert json.loads(report.model_dump_json())["chunks"][0]["rank"] == 1
    page = made.save(run_id, tmp_path / "answer.html").read_text(encoding="utf-8")
    block = re.search(r'<script type="application/json" id="retrieval">(.*?)</script>', page)
    assert block is not None
    assert RetrievalReport.model_validate_json(block[1]) == report
    with pytest.raises(InputError, match=r"\.html"):
        made.save(run_id, tmp_path / "answer.pdf")
    with pytest.raises(NameUnknownError, match="unknown run"):
        made.save(uuid4(), tmp_path / "other.html")
    assert [file.name for file in tmp_path.iterdir()] == ["answer.html"]


# --- How documents come into a prompt ---


def found_in(handler: Any, quick: Any, prompt: Any, chunks: list[Document]) -> Any:
    store = InMemoryVectorStore(Words())
    store.add_documents(chunks)
    retriever = store.as_retriever(search_kwargs={"k": len(chunks)})
    (retriever | RunnableLambda(lambda _: prompt) | quick).invoke(SAID, to(handler))
    (record,) = explained(handler)
    return {chunk.document.text: chunk for chunk in record.chunks}, record.explanation


def test_documents_are_found_cut_wrapped_and_numbered(quick: Any, handler: Make) -> None:
    first = "Take alpha daily with a glass of water, and never on an empty stomach if you can avoid it."
    second = "The scan shows gamma in the upper part of the left lung, which was seen before."
    prompt = (
        f"Use these.\n[1] {first[:52]}...\n[2] The scan shows\n   gamma in the upper part of the left\n"
        f"   lung, which was seen before.\nQuestion: how is he?"
    )
    chunks, explanation = found_in(
        handler(), quick, prompt, [Document(page_content=first), Document(page_content=second)]
    )
    assert [source.text.split()[0] for source in explanation.sources] == ["Take", "The"]
    assert 0.3 < chunks[first].coverage < 1
    assert chunks[second].coverage == 1
    assert [len(chunk.sources) for chunk in chunks.values()] == [1, 1]


def test_what_the_answer_rests_on_is_the_chunk_with_its_cue(quick: Any, handler: Make) -> None:
    texts = ["Take alpha daily. Bring water.", "The scan shows gamma.", "Lunch is at noon."]
    made = handler()
    chunks, _ = found_in(made, quick, "\n\n".join(texts), [Document(page_content=text) for text in texts])
    report = made.retrieval_report(made.records[0].run_id)
    named = [[report.chunks[one.chunk].text for one in sentence.supports] for sentence in report.sentences]
    assert named == [[texts[0]], [texts[1]]]
    assert [report.chunks[at].text for at in report.unused] == [texts[2]]
    assert set(chunks) == set(texts)


def test_a_document_of_a_prompt_may_say_one_thing_twice(quick: Any, handler: Make) -> None:
    text = "Take alpha daily."
    chunks, explanation = found_in(
        handler(), quick, f"{text}\nThe scan shows gamma.\n{text}", [Document(page_content=text)]
    )
    places = chunks[text].sources
    assert [explanation.sources[place].text for place in places] == [text] * len(places)
    assert places


def test_only_what_the_same_chain_retrieved_is_looked_for(quick: Any, handler: Make) -> None:
    made = handler()
    store = InMemoryVectorStore(Words())
    store.add_documents([Document(page_content="Take alpha daily.")])
    store.as_retriever().invoke("alpha", to(made))
    quick.invoke(SAID, to(made))
    (record,) = explained(made)
    assert record.chunks == ()
    assert len(made._traces) == 0


# --- Without a retriever ---


def test_the_messages_are_sources_by_their_roles(quick: Any, handler: Make) -> None:
    made = handler()
    said = [
        SystemMessage("Be brief about zeta."),
        HumanMessage("Take alpha daily.", name="Åsa"),
        AIMessage("Noted."),
        HumanMessage("The scan shows gamma. And?"),
    ]
    quick.invoke(said, to(made))
    (record,) = explained(made)
    explanation = record.explanation
    assert explanation is not None
    assert [(source.name, source.kind, source.text) for source in explanation.sources] == [
        ("system", "message", "Be brief about zeta."),
        ("Åsa", "message", "Take alpha daily."),
        ("assistant", "message", "Noted."),
        ("user", "message", "The scan shows gamma. And?"),
    ]
    best = [explanation.segment_text(int(row.argmax())).strip() for row in explanation.matrix(0)]
    assert best == ["Take alpha daily.", "The scan shows gamma."]
    assert record.answer == WROTE


def test_content_in_blocks_is_text(quick: Any, handler: Make) -> None:
    made = handler()
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    quick.invoke(
        [HumanMessage(["Take alpha daily. ", {"type": "text", "text": "The scan shows gamma."}, image])],
        to(made),
    )
    assert made.flush(PATIENCE_SECONDS)
    (record,) = made.records
    assert "image_url" in record.reason
    assert record.explanation is not None
    assert "".join(source.text or "" for source in record.explanation.sources) == (
        "Take alpha daily. The scan shows gamma."
    )
