"""A thousand runs at one time leave nothing behind; and texts that are meant to do harm."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from tests.api.langchain.conftest import PATIENCE_SECONDS, SAID, WROTE, Make, explained, to

from whence import Explainer, FakeProvider
from whence.api.langchain import ExplanationHandler, worker

RUNS = 1000
KEPT, WARM = 10, 100
SENTENCE = "The dose is low."
THREADS = 8


class Chunks(BaseRetriever):
    """Returns what it was made with."""

    found: list[Document]

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return self.found


def joined(chunks: list[Document]) -> str:
    return "\n".join(chunk.page_content for chunk in chunks)


def chain() -> Any:
    """The usual one, and quick."""
    found = [Document(page_content=text) for text in ("Take alpha daily.", "The scan shows gamma.")]
    return (
        Chunks(found=found)
        | RunnableLambda(joined)
        | FakeListChatModel(responses=[SENTENCE])
        | StrOutputParser()
    )


def objects() -> Counter[str]:
    """How many there are of each class."""
    gc.collect()
    return Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())


def ours(name: str) -> bool:
    return name.startswith(("whence.", "langchain_core.", "concurrent.", "asyncio.", "threading."))


def at_once(made: list[ExplanationHandler], runs: int) -> set[str]:
    """Half of them in an event loop, half in threads."""
    one = chain()

    async def several() -> list[str]:
        return list(await asyncio.gather(*(one.ainvoke(SAID, {"callbacks": made}) for _ in range(runs // 2))))

    with ThreadPoolExecutor(THREADS) as pool:
        asynchronous = pool.submit(asyncio.run, several())
        answers = list(pool.map(lambda _: one.invoke(SAID, {"callbacks": made}), range(runs // 2)))
        return {*answers, *asynchronous.result(PATIENCE_SECONDS)}


def test_a_thousand_runs_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "IDLE_SECONDS", 0.1)
    options: dict[str, Any] = {"keep": KEPT, "queue_size": RUNS, "removals": False}
    some = ExplanationHandler({"*": Explainer(FakeProvider(access="logprobs"))}, rate=0.3, **options)
    every = ExplanationHandler({}, **options)  # all found in their prompts, and nobody to explain them

    def run(runs: int) -> None:
        assert at_once([some, every], runs) == {SENTENCE}
        assert some.flush(PATIENCE_SECONDS)
        assert every.flush(PATIENCE_SECONDS)

    run(WARM)  # what is made once, and as many records as are kept
    before = objects()
    run(RUNS)
    total = RUNS + WARM
    counts = some.counts
    assert counts.explained == counts.answered == total - counts.passed_over
    assert 0.2 * total < counts.explained < 0.4 * total
    assert every.counts.answered == every.counts.not_configured == total
    for made in (some, every):
        assert made.errors == []
        assert len(made._traces) == made.counts.evicted == made.counts.dropped == 0
        assert len(made.records) == KEPT
        assert {len(record.chunks) for record in made.records} == {2}
    assert len(some.explanations) == KEPT
    ended = time.monotonic() + PATIENCE_SECONDS
    while any(thread.name == "whence-langchain" for thread in threading.enumerate()):
        assert time.monotonic() < ended
        time.sleep(0.02)
    after = objects()
    grown = {name: n - before[name] for name, n in after.items() if ours(name) and n - before[name] > KEPT}
    assert grown == {}


def test_a_full_queue_under_load_loses_no_count() -> None:
    slow = FakeProvider(access="logprobs", latency_s=0.005)
    made = ExplanationHandler({"*": Explainer(slow)}, queue_size=5, removals=False, keep=300)
    assert at_once([made], 200) == {SENTENCE}
    assert made.flush(PATIENCE_SECONDS)
    counts = made.counts
    assert counts.answered == 200 == counts.explained + counts.dropped
    assert counts.dropped > 0
    statuses = Counter(record.status for record in made.records)
    assert statuses == {"explained": counts.explained, "dropped": counts.dropped}
    made.close()


# --- Hostile texts ---

HOSTILE = {
    "lone surrogates": "Take alpha \ud800 daily. \udfff",
    "NUL and controls": "Take alpha\x00 daily.\x1b[31m \x07\x85",
    "right to left": "Take alpha daily. \u202egnihton\u202c \u05d0\u05d1\u05d2",
    "markup": "</script><script>alert(1)</script> alpha <source name='x'> & \"quotes\"",
    "template": "{context} {{7*7}} %s {0.__class__} alpha",
    "combining": "a\u0301" * 500 + " alpha \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "blank": " \n\t\u00a0 ",
    "empty": "",
    "nonsense words": "alpha " * 10 + "\ufffe\uffff \u2028\u2029",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_messages_break_no_chain(name: str, handler: Make) -> None:
    text = HOSTILE[name]
    made = handler(names=None)
    call = {"name": text or "x", "args": {text: text}, "id": "1"}
    said = [
        SystemMessage(text),
        HumanMessage(f"{text} The scan shows gamma.", name=text),
        AIMessage(text, tool_calls=[call]),
        ToolMessage(text, tool_call_id="1", name=text),
        HumanMessage("Bring gamma."),
    ]
    llm = FakeListChatModel(responses=[WROTE]).with_config(run_name=text, tags=[text], metadata={"x": text})
    assert llm.invoke(said, to(made)).text == WROTE
    assert made.flush(PATIENCE_SECONDS)
    (record,) = made.records
    assert record.status in ("explained", "failed")
    assert len(made.errors) == (record.status == "failed")
    if name != "lone surrogates":
        assert (record.status, record.reason) in [("explained", "")] or not text.strip()
    else:
        assert "surrogate" in record.reason or record.status == "explained"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_documents_reach_the_report(name: str, handler: Make) -> None:
    text = HOSTILE[name]
    found = [
        Document(page_content=text, metadata={"source": text, text: text, "score": float("nan")}),
        Document(page_content="The scan shows gamma.", metadata={"source": text, "score": "best"}),
    ]
    made, run_id = handler(), uuid4()
    (Chunks(found=found) | RunnableLambda(joined) | FakeListChatModel(responses=[WROTE])).invoke(
        "gamma", to(made, run_id=run_id)
    )
    assert made.flush(PATIENCE_SECONDS)
    record = made.get(run_id)
    assert record is not None
    if name == "lone surrogates":  # no model can read them
        assert (record.status, made.errors) == ("failed", [record.error])
        assert "surrogate" in record.reason
        return
    assert len(record.chunks) == 2
    assert (record.status, made.errors) == ("explained", [])
    report = made.retrieval_report(run_id)
    report.model_dump_json().encode()
    str(report).encode()
    assert [one.retrieval_score for one in report.chunks] == [None, None]
    assert report.chunks[1].in_prompt


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_recorded(name: str, handler: Make) -> None:
    text = HOSTILE[name]
    made = handler()
    assert FakeListChatModel(responses=[text]).invoke(SAID, to(made)).text == text
    assert made.flush(PATIENCE_SECONDS)
    (record,) = made.records
    assert record.answer == text
    assert record.status in (("explained", "failed") if text.strip() else ("nothing to explain",))
    assert len(made.errors) == made.counts.failed == (record.status == "failed")
    assert record.status == "explained" or record.reason


def test_a_hundred_thousand_words(handler: Make) -> None:
    words = " ".join(f"word{i % 977}." if i % 12 == 0 else f"word{i % 977}" for i in range(100_000))
    made = handler({})  # finding them is what takes time
    began = time.thread_time()
    (
        Chunks(found=[Document(page_content=words[:200_000]), Document(page_content="The scan shows gamma.")])
        | RunnableLambda(lambda chunks: f"{words}\n{chunks[1].page_content}")
        | FakeListChatModel(responses=[WROTE])
    ).invoke("gamma", to(made))
    assert time.thread_time() - began < 1  # the search is not the chain's
    assert made.flush(PATIENCE_SECONDS)
    (record,) = made.records
    assert (record.status, made.errors) == ("not configured", [])
    assert all(chunk.sources for chunk in record.chunks)


@pytest.mark.parametrize("args", ["object", "circle", "keys"])
def test_arguments_that_are_no_json(args: str, handler: Make) -> None:
    made = handler()
    circular: dict[str, Any] = {}
    circular["self"] = circular
    given = {"object": {"y": object()}, "circle": circular, "keys": {(1, 2): 3}}[args]
    call = {"name": "x", "args": given, "id": "1", "type": "tool_call"}
    said = AIMessage("")
    said.tool_calls = [call]  # type: ignore[list-item]
    llm = FakeListChatModel(responses=[WROTE])
    llm.invoke([HumanMessage(SAID), said, ToolMessage("z", tool_call_id="1")], to(made))
    assert len(explained(made)) == 1
    assert made.errors == []
