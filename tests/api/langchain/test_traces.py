"""Whose documents an answer may rest on: of retrievers within others, of branches, and of long runs."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID, uuid4

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever, EnsembleRetriever
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel
from tests.api.langchain.conftest import PATIENCE_SECONDS, WROTE, Make, to

from whence.api.langchain import traces
from whence.api.langchain.said import Retrieved
from whence.api.langchain.traces import Asked, Traces

FOUND = [
    Document("Take alpha daily before food comes."),
    Document("The scan shows gamma on the left side."),
    Document("Parking at the hospital is free today."),
]


class Brings(BaseRetriever):
    """Returns copies of what it was made with."""

    documents: list[Document]

    def _get_relevant_documents(self, query: str, **options: Any) -> list[Document]:
        return [Document(one.page_content, metadata=dict(one.metadata)) for one in self.documents]


class Ranks(BaseDocumentCompressor):
    """Keeps the first two, and scores them."""

    def compress_documents(self, documents: Any, query: str, callbacks: Any = None) -> list[Document]:
        return [
            Document(one.page_content, metadata={"relevance_score": 0.9 - place / 10})
            for place, one in enumerate(documents[:2])
        ]


def joined(found: list[Document]) -> str:
    return "\n".join(one.page_content for one in found)


def asks() -> Any:
    return RunnableLambda(joined) | FakeListChatModel(responses=[WROTE])


def brought(handler: Any) -> list[list[str]]:
    """The first words of the documents of each answer."""
    assert handler.flush(PATIENCE_SECONDS)
    assert handler.errors == []
    assert len(handler._traces) == 0
    return [[chunk.document.text.split()[1] for chunk in record.chunks] for record in handler.records]


def test_retrievers_within_a_retriever_bring_each_document_once(handler: Make) -> None:
    made = handler({})
    both = EnsembleRetriever(
        retrievers=[Brings(documents=FOUND[:2]), Brings(documents=FOUND[1:])], weights=[0.5, 0.5]
    )
    (both | asks()).invoke("x", to(made))
    assert brought(made) == [["scan", "alpha", "at"]]


def test_what_is_ranked_again_has_that_score(handler: Make) -> None:
    made = handler({})
    ranked = ContextualCompressionRetriever(base_retriever=Brings(documents=FOUND), base_compressor=Ranks())
    (ranked | asks()).invoke("x", to(made))
    assert brought(made) == [["alpha", "scan"]]
    assert [chunk.document.score for chunk in made.records[0].chunks] == [0.9, 0.8]


def test_branches_have_documents_of_their_own(handler: Make) -> None:
    made = handler({})
    branches = [Brings(documents=own) | asks() for own in (FOUND[:1], FOUND[1:])]
    RunnableParallel(one=branches[0], two=branches[1]).invoke("x", to(made))
    assert sorted(brought(made)) == [["alpha"], ["scan", "at"]]


def test_questions_within_one_run_have_documents_of_their_own(handler: Make) -> None:
    made = handler({})
    ask = [Brings(documents=[one]) | asks() for one in FOUND]
    RunnableLambda[Any, Any](lambda text: [one.invoke(text) for one in ask]).invoke("x", to(made))
    assert brought(made) == [["alpha"], ["scan"], ["at"]]


def test_a_retriever_that_returns_no_documents_leaves_no_run(handler: Make) -> None:
    class Broken(Brings):
        def _get_relevant_documents(self, query: str, **options: Any) -> Any:
            return ["text"]

    made = handler({})
    (Broken(documents=[]) | (lambda found: "?") | FakeListChatModel(responses=[WROTE])).invoke("x", to(made))
    assert made.flush(PATIENCE_SECONDS)
    assert len(made._traces) == 0
    assert [type(error) for error in made.errors] == [AttributeError]
    assert made.counts.not_configured == 1


# --- Without LangChain ---


def ask(runs: Traces, parent: UUID | None) -> Asked:
    return runs.ask(uuid4(), parent, "model", tags=frozenset(), facts={})


def begun(runs: Traces, parent: UUID | None = None, **options: Any) -> UUID:
    run_id = uuid4()
    runs.begin(run_id, parent, "run", **options)
    return run_id


def some(*texts: str) -> list[Retrieved]:
    return [Retrieved(text, {}, None) for text in texts]


def test_a_model_within_a_retriever_sees_what_that_has_so_far() -> None:
    runs = Traces(evict_after_seconds=60)
    root = begun(runs)
    outer = begun(runs, root, retrieves=True)
    inner = begun(runs, outer, retrieves=True)
    runs.retrieve(inner, some("a", "b"))
    assert [one.text for one in ask(runs, outer).documents] == ["a", "b"]
    assert ask(runs, root).documents == ()
    runs.retrieve(outer, some("b"))
    assert [one.text for one in ask(runs, root).documents] == ["b"]


def test_the_nearest_run_with_documents_counts() -> None:
    runs = Traces(evict_after_seconds=60)
    root = begun(runs)
    for question in ("a", "b"):
        chain = begun(runs, root)
        runs.retrieve(begun(runs, chain, retrieves=True), some(question))
        assert [one.text for one in ask(runs, begun(runs, chain)).documents] == [question]
    assert [one.text for one in ask(runs, root).documents] == ["a", "b"]


def test_so_many_documents_are_known_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "DOCUMENTS", 2)
    runs = Traces(evict_after_seconds=60)
    root = begun(runs)
    runs.retrieve(begun(runs, root, retrieves=True), some("a", "b"))
    assert ask(runs, root).notes == ()
    runs.retrieve(begun(runs, root, retrieves=True), some("c"))
    asked = ask(runs, root)
    assert [one.text for one in asked.documents] == ["b", "c"]
    assert asked.notes == ("more than 2 documents were retrieved: the last 2 are known",)


class Clock:
    """Time that passes when it is told to."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(traces, "time", clock)
    return clock


def test_a_long_run_in_which_something_happens_is_kept(clock: Clock) -> None:
    runs = Traces(evict_after_seconds=10)
    root = begun(runs)
    runs.retrieve(begun(runs, root, retrieves=True), some("a"))
    node = begun(runs, root)
    for _ in range(5):
        clock.now += 9
        asked = ask(runs, node)
        runs.end(asked.run_id)
        begun(runs)  # another chain, in which nothing more happens
    assert [one.text for one in asked.documents] == ["a"]
    assert (asked.lineage, asked.notes) == ((node, root), ())
    assert runs.evicted == 3


def test_the_first_thing_after_a_long_time_keeps_what_is_around_it(clock: Clock) -> None:
    runs = Traces(evict_after_seconds=10)
    root = begun(runs)
    clock.now += 100
    assert ask(runs, root).lineage == (root,)
    assert runs.evicted == 0


def test_what_is_left_of_an_evicted_run_says_so(clock: Clock) -> None:
    runs = Traces(evict_after_seconds=10)
    root = begun(runs)
    node = begun(runs, root)
    clock.now += 11
    begun(runs)  # another chain, which goes on
    asked = ask(runs, node)
    assert asked.lineage == (node,)
    assert "evicted" in asked.notes[0]
    assert runs.evicted == 2
    assert ask(runs, uuid4()).notes == ()  # of a run that it was never told of


def test_many_runs_are_evicted_one_by_one(clock: Clock) -> None:
    runs = Traces(evict_after_seconds=10)
    for _ in range(3000):
        clock.now += 1
        begun(runs)
    assert (len(runs), runs.evicted) == (10, 2990)
    assert len(runs._gone) == traces.GONE


def test_runs_in_a_circle_end() -> None:
    runs = Traces(evict_after_seconds=60)
    one, two = uuid4(), uuid4()
    runs.begin(one, two, "one")
    runs.begin(two, one, "two")
    runs.begin(one, one, "one")
    assert ask(runs, one).names == {"model", "one"}


def test_the_record_says_what_is_not_known(handler: Make) -> None:
    made, quick = handler({}, evict_after_seconds=0.05), FakeListChatModel(responses=[WROTE])

    def slow(text: str) -> str:
        time.sleep(0.06)
        RunnableLambda(lambda other: other).invoke(text, {"callbacks": [made]})
        return text

    outer: Any = RunnableLambda(
        lambda text: quick.invoke(RunnableLambda(slow).invoke(text, {"callbacks": []}))
    )
    outer.invoke("Take alpha.", to(made))
    assert made.flush(PATIENCE_SECONDS)
    (record,) = made.records
    assert "evicted" in record.reason
