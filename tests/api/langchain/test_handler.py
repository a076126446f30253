"""Off the hot path: what waits, what is passed over, what is dropped, and that no chain ever breaks by it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel, FakeListChatModelError
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from tests.api.langchain.conftest import PATIENCE_SECONDS, SAID, WROTE, Make, explained, to

from whence import Explainer, FakeProvider
from whence.api.langchain import ExplanationHandler, Record, worker
from whence.providers.base import Prices
from whence.providers.errors import InputError, NameUnknownError, ProviderError, UnknownMethodError

PRICES = Prices(input_per_million=1.0, output_per_million=2.0, currency="EUR")


class Gate:
    """Holds the worker until it is opened, as somebody's slow callback would."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        self.told: list[Record] = []
        self.threads: list[str] = []

    def __call__(self, record: Record) -> None:
        self.told.append(record)
        self.threads.append(threading.current_thread().name)
        if record.status != "dropped":
            self.reached.set()
            assert self.open.wait(PATIENCE_SECONDS)


def statuses(handler: ExplanationHandler) -> list[str]:
    return [record.status for record in handler.records]


# --- Background and inline ---


def test_the_chain_does_not_wait(quick: Any, handler: Make) -> None:
    gate = Gate()
    made = handler(on_explanation=gate)
    for _ in range(3):
        assert quick.invoke(SAID, to(made)).text == WROTE
    assert gate.reached.wait(PATIENCE_SECONDS)
    assert not made.flush(0.01)
    assert statuses(made) == ["explained", "waiting", "waiting"]
    assert made.explanations == (made.records[0].explanation,)
    gate.open.set()
    assert len(explained(made)) == 3
    assert gate.threads == ["whence-langchain"] * 3
    assert [record.run_id for record in gate.told] == [record.run_id for record in made.records]


def test_a_full_queue_drops_the_newest_and_counts_it(quick: Any, handler: Make) -> None:
    gate = Gate()
    made = handler(on_explanation=gate, queue_size=2)
    quick.invoke(SAID, to(made))
    assert gate.reached.wait(PATIENCE_SECONDS)
    for _ in range(5):
        quick.invoke(SAID, to(made))
    assert statuses(made) == ["explained", "waiting", "waiting", "dropped", "dropped", "dropped"]
    assert made.records[-1].reason == "the queue was full"
    gate.open.set()
    assert made.flush(PATIENCE_SECONDS)
    counts = made.counts
    assert (counts.answered, counts.explained, counts.dropped) == (6, 3, 3)
    assert statuses(made)[:3] == ["explained"] * 3
    assert len(gate.told) == 6
    assert gate.threads == ["whence-langchain"] * 6  # of those that were dropped, too


def test_inline_the_chain_waits(quick: Any, handler: Make) -> None:
    threads: list[str] = []
    made = handler(mode="inline", on_explanation=lambda _: threads.append(threading.current_thread().name))
    quick.invoke(SAID, to(made))
    assert statuses(made) == ["explained"]
    assert threads == [threading.current_thread().name]
    assert made.flush(0)
    assert asyncio.run(quick.ainvoke(SAID, to(made))).text == WROTE
    assert statuses(made) == ["explained"] * 2
    made.close()
    quick.invoke(SAID, to(made))
    assert statuses(made)[2:] == ["dropped"]


def test_inline_an_event_loop_goes_on(quick: Any, handler: Make) -> None:
    slow = FakeProvider(access="text", latency_s=0.1)
    made = handler({"*": Explainer(slow)}, mode="inline", method="leave_one_out", removals=False)

    async def ask() -> int:
        ticks, asked = 0, asyncio.create_task(quick.ainvoke(SAID, to(made)))
        while not asked.done():
            ticks += 1
            await asyncio.sleep(0.005)
        await asked
        return ticks

    assert asyncio.run(ask()) > 10
    assert statuses(made) == ["explained"]


def test_after_its_close_it_takes_no_more(quick: Any, handler: Make) -> None:
    gate = Gate()
    made = handler(on_explanation=gate)
    for _ in range(3):
        quick.invoke(SAID, to(made))
    assert gate.reached.wait(PATIENCE_SECONDS)
    made.close()
    assert quick.invoke(SAID, to(made)).text == WROTE
    gate.open.set()
    assert made.flush(PATIENCE_SECONDS)
    assert statuses(made) == ["explained", "dropped", "dropped", "dropped"]
    assert {record.reason for record in made.records[1:]} == {"the handler was closed"}
    assert made.counts.dropped == 3
    made.close()


def test_its_thread_ends_when_it_has_nothing_to_do_and_starts_again(
    quick: Any, handler: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "IDLE_SECONDS", 0.02)
    threads: list[threading.Thread] = []
    made = handler(on_explanation=lambda _: threads.append(threading.current_thread()))
    for _ in range(2):
        quick.invoke(SAID, to(made))
        assert made.flush(PATIENCE_SECONDS)
        threads[-1].join(PATIENCE_SECONDS)
        assert not threads[-1].is_alive()
    assert threads[0] is not threads[1]
    explained(made)


def test_nobody_waits_for_himself(quick: Any, handler: Make) -> None:
    made: ExplanationHandler = handler(on_explanation=lambda _: made.flush())
    quick.invoke(SAID, to(made))
    assert made.flush(PATIENCE_SECONDS)
    (error,) = made.errors
    assert isinstance(error, InputError)
    assert "flush() waits for the very thread" in str(error)


def test_without_a_thread_it_drops_and_goes_on(
    quick: Any, handler: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    made = handler(on_explanation=lambda _: None)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", full)
        assert quick.invoke(SAID, to(made)).text == WROTE
    quick.invoke(SAID, to(made))
    assert made.flush(PATIENCE_SECONDS)
    assert statuses(made) == ["dropped", "explained"]
    assert made.records[0].reason == "no thread could be started"
    assert made.errors == []


@pytest.mark.parametrize("mode", ["background", "inline"])
def test_what_a_callback_asks_is_not_explained_in_turn(quick: Any, handler: Make, mode: Any) -> None:
    asked = []

    def again(record: Record) -> None:
        asked.append(quick.invoke(SAID))
        asked.append(quick.invoke(SAID, to(made)))

    made = handler(mode=mode, on_explanation=again)
    RunnableLambda(lambda text: quick.invoke(text)).invoke(SAID, to(made))
    assert made.flush(PATIENCE_SECONDS)
    assert len(asked) == 2
    assert statuses(made) == ["explained"]


FORK = """
import os, threading
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from whence import Explainer, FakeProvider
from whence.api.langchain import ExplanationHandler

held, at_work = threading.Event(), threading.Event()
here = os.getpid()

def told(record):
    at_work.set()
    if os.getpid() == here:
        held.wait(60)

llm = FakeListChatModel(responses=["The dose is low."])
handler = ExplanationHandler({"*": Explainer(FakeProvider(access="logprobs"))}, on_explanation=told)
for _ in range(2):
    llm.invoke("Take alpha daily. It rains.", {"callbacks": [handler]})
assert at_work.wait(60)
with handler._traces._lock, handler._lock:  # as another thread may hold them
    child = os.fork()
if child == 0:
    try:
        assert handler.flush(30), "of the parent's work nothing is the child's"
        llm.invoke("Take alpha daily. It rains.", {"callbacks": [handler]})
        assert handler.flush(30)
        states = [record.status for record in handler.records]
        assert states == ["explained", "waiting", "explained"], states
        assert handler.errors == [], handler.errors
        os._exit(0)
    except BaseException as error:
        print(repr(error), flush=True)
        os._exit(1)
held.set()
_, status = os.waitpid(child, 0)
assert handler.flush(60)
assert [record.status for record in handler.records] == ["explained"] * 2
held.clear()
at_work.clear()
for _ in range(3):
    llm.invoke("Take alpha daily. It rains.", {"callbacks": [handler]})
assert at_work.wait(60)
print("child", os.waitstatus_to_exitcode(status))
"""


def test_a_forked_child_explains_on_its_own_and_what_waits_at_the_end_is_told(
    python: Callable[[str], Any],
) -> None:
    done = python(FORK.replace("import os,", "import warnings; warnings.simplefilter('default')\nimport os,"))
    assert (done.returncode, done.stdout) == (0, "child 0\n"), done.stderr
    assert "2 answers are not explained: the program ended" in done.stderr


# --- What is passed over ---


def test_tags_names_and_models_are_filters(quick: Any, handler: Make, chat: Make) -> None:
    other = chat("ollama")
    chain = (quick | RunnableLambda(lambda message: message)).with_config(run_name="summaries")
    made = {
        "tags": handler(tags=["wanted"]),
        "names": handler(names=["summaries"]),
        "own name": handler(names=["FakeListChatModel"]),
        "model": handler(model_names=["demo"], removals=False, method="leave_one_out"),
    }
    config = {"callbacks": list(made.values())}
    chain.invoke(SAID, config)
    quick.invoke(SAID, {**config, "tags": ["wanted", "more"]})
    other.invoke(SAID, config)
    for one in made.values():
        assert one.flush(PATIENCE_SECONDS)
        assert len(one._traces) == 0
    found = {name: [record.answer == WROTE for record in one.records] for name, one in made.items()}
    assert found == {"tags": [True], "names": [True], "own name": [True, True], "model": [False]}
    assert [one.counts.passed_over for one in made.values()] == [2, 2, 1, 2]
    assert made["tags"].records[0].tags == {"wanted", "more"}


@pytest.mark.parametrize(
    ("rate", "least", "most"), [(0, 0, 0), (0.05, 3, 60), (0.5, 200, 300), (1, 500, 500)]
)
def test_a_share_of_the_chains_is_drawn(
    quick: Any, provider: FakeProvider, handler: Make, rate: float, least: int, most: int
) -> None:
    made = handler({}, rate=rate, keep=1000, queue_size=1000)
    both = quick | RunnableLambda(lambda message: SAID) | quick
    for _ in range(250):
        both.invoke(SAID, to(made))
    assert made.flush(PATIENCE_SECONDS)
    counts = made.counts
    assert least <= counts.answered <= most
    assert counts.answered + counts.passed_over == 500
    # Both models of a chain, or none.
    roots = [record.lineage[-1] for record in made.records]
    assert sorted(map(roots.count, set(roots))) == [2] * (counts.answered // 2)


def test_a_model_that_tells_its_name_late_is_filtered_by_it(handler: Make) -> None:
    made = handler(model_names=["wanted"])
    for name in ("other", "wanted"):
        answer = AIMessage(WROTE, response_metadata={"model_name": name})
        Calling(messages=iter([answer])).invoke(SAID, to(made))
    (record,) = explained(made)
    assert record.model.endswith(":wanted")
    assert made.counts.passed_over == 1


def test_the_same_run_is_drawn_alike_by_every_handler(quick: Any, handler: Make) -> None:
    made = [handler({}, rate=0.5) for _ in range(2)]
    for _ in range(30):
        quick.invoke(SAID, {"callbacks": made})
    drawn = [[record.run_id for record in one.records] for one in made]
    assert drawn[0] == drawn[1]
    assert 0 < len(drawn[0]) < 30


# --- Money ---


def test_without_a_budget_nothing_is_spent_and_the_plan_is_recorded(quick: Any, handler: Make) -> None:
    paid = FakeProvider(access="text", prices=PRICES)
    made = handler({"*": Explainer(paid)})
    quick.invoke(SAID, to(made))
    assert made.flush(PATIENCE_SECONDS)
    (record,) = made.records
    assert paid.calls == 0
    assert (record.status, record.explanation, record.removals) == ("planned", None, None)
    assert record.plan is not None
    assert record.plan.calls > 0
    assert f"budget={{'calls': {record.plan.calls}}}" in record.reason
    assert made.counts.planned == 1
    with pytest.raises(InputError, match="not explained \\(planned: "):
        made.retrieval_report(record.run_id)


def test_with_a_budget_that_much_is_spent(quick: Any, handler: Make) -> None:
    paid = FakeProvider(access="text", prices=PRICES)
    made = handler({"*": Explainer(paid)}, budget={"calls": 20}, removals=False)
    quick.invoke(SAID, to(made))
    (record,) = explained(made)
    assert 0 < paid.calls <= 20
    assert record.explanation is not None
    assert record.explanation.cost.calls == paid.calls


def test_a_budget_that_does_not_suffice_is_a_failure_that_says_so(quick: Any, handler: Make) -> None:
    paid = FakeProvider(access="text", prices=PRICES)
    made = handler({"*": Explainer(paid)}, budget={"calls": 1})
    quick.invoke(SAID, to(made))
    assert made.flush(PATIENCE_SECONDS)
    (record,) = made.records
    assert record.status == "failed"
    assert "calls" in record.reason
    assert paid.calls <= 1


def test_a_real_api_is_asked_nothing_without_a_budget(chat: Make, handler: Make, servers: Any) -> None:
    from tests.servers.anthropic import API_KEY

    from whence.providers.claude import Claude

    server = servers["anthropic"]
    claude = Claude("claude-haiku-5-5", api_key=API_KEY, base_url=server.url)
    made = handler([Explainer(claude)])
    chat("anthropic").invoke("The patient is allergic to latex. It rained.", to(made))
    assert made.flush(PATIENCE_SECONDS)
    (record,) = made.records
    assert (record.status, made.errors) == ("planned", [])
    assert server.calls == 1
    assert not [seen for seen in server.seen if seen.path == "/v1/messages"][1:]


# --- What goes wrong ---


def test_a_failed_explanation_is_kept_and_told(quick: Any, handler: Make) -> None:
    told: list[Record] = []
    broken = FakeProvider(access="logprobs", faults=[ProviderError("the model is gone")] * 99)
    made = handler({"*": Explainer(broken)}, on_explanation=told.append)
    assert quick.invoke(SAID, to(made)).text == WROTE
    assert made.flush(PATIENCE_SECONDS)
    (record,) = made.records
    assert (record.status, record.reason) == ("failed", "the model is gone")
    assert made.errors == [record.error]
    assert told == [record]
    assert made.counts.failed == 1
    traceback = made.errors[0].__traceback__
    while traceback is not None:  # where prompts and answers were
        assert traceback.tb_frame.f_locals == {}
        traceback = traceback.tb_next


@pytest.mark.parametrize(
    ("mode", "error"),
    [("background", ValueError), ("inline", ValueError), ("background", SystemExit), ("inline", SystemExit)],
)
def test_a_callback_that_raises_breaks_nothing(
    quick: Any, handler: Make, mode: Any, error: type[BaseException]
) -> None:
    def told(record: Record) -> None:
        raise error("of somebody's own")

    made = handler(on_explanation=told, mode=mode)
    for _ in range(3):
        assert quick.invoke(SAID, to(made)).text == WROTE
    assert made.flush(PATIENCE_SECONDS)
    assert statuses(made) == ["explained"] * 3
    assert [str(kept) for kept in made.errors] == ["of somebody's own"] * 3
    made.close()
    assert quick.invoke(SAID, to(made)).text == WROTE  # dropped, which is told, too
    assert made.flush(PATIENCE_SECONDS)
    assert len(made.errors) == 4


def test_only_the_last_errors_are_kept(quick: Any, handler: Make) -> None:
    def told(record: Record) -> None:
        raise ValueError(str(record.run_id))

    made = handler(on_explanation=told, queue_size=200)
    for _ in range(130):
        quick.invoke(SAID, to(made))
    assert made.flush(PATIENCE_SECONDS)
    assert [str(error) for error in made.errors] == [str(record.run_id) for record in made.records[-100:]]


def test_a_model_that_fails_leaves_nothing_behind(handler: Make) -> None:
    failing = FakeListChatModel(responses=[WROTE], error_on_chunk_number=2)
    made = handler()
    with pytest.raises(FakeListChatModelError):
        list((RunnableLambda(lambda text: text) | failing).stream(SAID, to(made)))

    def broken(_: Any) -> Any:
        raise RuntimeError("of the chain")

    with pytest.raises(RuntimeError, match="of the chain"):
        (FakeListChatModel(responses=[WROTE]) | broken).invoke(SAID, to(made))
    assert len(explained(made)) == 1  # the one that had answered


def test_a_real_model_that_fails(chat: Make, handler: Make, servers: Any) -> None:
    from tests.servers.faults import Fault

    servers["ollama"].faults.append(Fault(kind="malformed_json"))
    made = handler()
    with pytest.raises(ValueError, match=r"JSON|Expecting|Unterminated"):
        chat("ollama").invoke(SAID, to(made))
    assert made.records == ()
    assert len(made._traces) == 0


# --- Streams that are left ---


def test_streams_that_are_left_are_evicted_by_their_age(quick: Any, handler: Make) -> None:
    made = handler(evict_after_seconds=0.05)
    held = [quick.stream(SAID, to(made)) for _ in range(20)]
    for stream in held:
        next(stream)
    assert len(made._traces) == 20
    time.sleep(0.06)
    quick.invoke(SAID, to(made))
    assert len(explained(made)) == 1
    assert made.counts.evicted == 20
    for stream in held:  # an end after the eviction is of nobody
        assert list(stream)
    assert len(made.records) == 1


def test_streams_that_are_closed_early_explain_nothing(handler: Make) -> None:
    made = handler(evict_after_seconds=0.05)
    slow = FakeListChatModel(responses=[WROTE], sleep=0.005)

    async def leave(chain: Any) -> None:
        stream = chain.astream(SAID, to(made))
        await anext(stream)
        await stream.aclose()
        events = chain.astream_events(SAID, to(made), version="v2")
        await anext(events)
        await events.aclose()

    for chain in (slow, RunnableLambda(lambda text: text) | slow):
        stream = chain.stream(SAID, to(made))
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        asyncio.run(leave(chain))
    assert made.records == ()
    time.sleep(0.06)
    FakeListChatModel(responses=[WROTE]).invoke(SAID, to(made))
    assert len(explained(made)) == 1


def test_a_closed_stream_that_langchain_reads_to_its_end_is_an_answer(quick: Any, handler: Make) -> None:
    made = handler()
    stream = (quick | StrOutputParser()).stream(SAID, to(made))
    assert next(stream) == WROTE[0]
    stream.close()
    (record,) = explained(made)
    assert record.answer == WROTE


# --- Event loops ---


def test_a_chain_may_be_asked_inside_a_running_loop(quick: Any, handler: Make) -> None:
    made = [handler(), handler(mode="inline")]

    async def ask() -> None:
        assert quick.invoke(SAID, {"callbacks": made}).text == WROTE
        assert list(quick.stream(SAID, {"callbacks": made}))
        assert all(one.flush(PATIENCE_SECONDS) for one in made)

    asyncio.run(ask())
    for one in made:
        assert len(explained(one)) == 2


def test_tools_that_are_not_asynchronous_inside_a_chain_that_is(quick: Any, handler: Make) -> None:
    made = handler()

    @tool
    def summarise(text: str) -> str:
        """Ask another model."""
        return str(quick.invoke(text).text)

    @tool
    async def later(text: str) -> str:
        """Ask another model, and wait."""
        return str((await quick.ainvoke(text)).text)

    run_id = uuid4()
    chain: Any = RunnableLambda(lambda text: {"text": text}) | summarise | (lambda _: {"text": SAID}) | later
    assert asyncio.run(chain.ainvoke(SAID, to(made, run_id=run_id))) == WROTE
    records = explained(made)
    assert [record.lineage[-1] for record in records] == [run_id] * 2
    assert "summarise" in records[0].names
    assert "later" in records[1].names


def test_one_handler_serves_several_loops_and_threads(quick: Any, handler: Make) -> None:
    made = handler(queue_size=200)

    async def several() -> None:
        await asyncio.gather(*(quick.ainvoke(SAID, to(made)) for _ in range(20)))

    threads = [threading.Thread(target=asyncio.run, args=(several(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        quick.invoke(SAID, to(made))
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert len(explained(made)) == 80


# --- What it keeps ---


def test_an_answer_that_the_chain_changes_is_explained_as_it_was(quick: Any, handler: Make) -> None:
    gate = Gate()
    made = handler(on_explanation=gate)
    quick.invoke(SAID, to(made))
    assert gate.reached.wait(PATIENCE_SECONDS)
    answer = quick.invoke(SAID, to(made))
    answer.content = "The chain changed this."
    answer.response_metadata["model_name"] = "another"
    gate.open.set()
    _, record = explained(made)
    assert record.answer == WROTE
    assert record.explanation is not None
    assert record.explanation.output.text == WROTE


def test_only_so_many_records_are_kept(quick: Any, handler: Make) -> None:
    made = handler(keep=3)
    for _ in range(8):
        quick.invoke(SAID, to(made))
    assert len(explained_of(made)) == 3
    assert made.counts.answered == made.counts.explained == 8


def explained_of(handler: ExplanationHandler) -> tuple[Record, ...]:
    assert handler.flush(PATIENCE_SECONDS)
    return handler.records


def test_a_turn_that_calls_tools_is_not_an_answer(handler: Make) -> None:
    made = handler()
    asked, call = uuid4(), {"name": "read", "args": {}, "id": "1"}
    model = Calling(
        messages=iter([AIMessage(content="I read.", tool_calls=[call]), AIMessage(content=WROTE)])
    )
    for _ in range(2):
        model.invoke(SAID, to(made))
    assert [record.answer for record in explained(made)] == [WROTE]
    assert made.get(asked) is None
    assert made.counts.called_tools == 1


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_answer_without_text_is_nothing_to_explain(text: str, handler: Make) -> None:
    made = handler()
    Calling(messages=iter([AIMessage(text)])).invoke(SAID, to(made))
    assert made.flush(PATIENCE_SECONDS)
    (record,) = made.records
    assert (record.status, record.reason) == ("nothing to explain", "the answer has no text")
    assert (made.errors, made.counts.nothing_to_explain, made.counts.failed) == ([], 1, 0)
    with pytest.raises(InputError, match="nothing to explain"):
        made.retrieval_report(record.run_id)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "later"}, "mode is 'later'; choose one of background, inline"),
        ({"rate": 1.5}, "rate is 1.5"),
        ({"rate": "often"}, "rate is 'often'"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"queue_size": 0}, "queue_size is 0"),
        ({"queue_size": True}, "queue_size is True"),
        ({"keep": 2.5}, "keep is 2.5"),
        ({"evict_after_seconds": 0}, "evict_after_seconds is 0"),
        ({"evict_after_seconds": "soon"}, "evict_after_seconds is 'soon'"),
        ({"budget": {"turns": 3}}, "turns"),
        ({"tags": "wanted"}, "tags is 'wanted'"),
        ({"names": "wanted"}, "names is 'wanted'"),
        ({"model_names": "demo"}, "model_names is 'demo'"),
        ({"explainers": "demo"}, "explainers= holds str"),
        ({"explainers": [FakeProvider()]}, "explainers= holds FakeProvider"),
        ({"explainers": {"*": "demo"}}, "explainers= holds str"),
        ({"models": ["demo"]}, "models= holds str"),
        ({"method": ["lasso", "guess"]}, "unknown method 'guess'"),
        ({"method": []}, "method is []"),
        ({"method": 3}, "method is 3"),
        ({"segment_by": "line"}, "segment_by is 'line'"),
        ({"target_by": "source"}, "target_by is 'source'"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"on_explanation": 3}, "on_explanation is 3"),
        ({"layer": [1]}, "layer is neither an option of ExplanationHandler nor a parameter of auto"),
        ({"layers": [1], "method": "lasso"}, "a parameter of lasso, which takes"),
    ],
    ids=str,
)
def test_what_it_cannot_take_it_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, UnknownMethodError)) as refused:
        ExplanationHandler(**options)
    assert message in str(refused.value)


def test_what_it_does_not_know(handler: Make, quick: Any) -> None:
    made = handler()
    quick.invoke(SAID, to(made))
    (record,) = explained(made)
    with pytest.raises(NameUnknownError, match=str(record.run_id)):
        made.retrieval_report(uuid4())
    with pytest.raises(InputError, match="'nonsense'"):
        made.get("nonsense")


class Calling(FakeListChatModel):
    """Answers with messages as they are."""

    responses: list[str] = []  # noqa: RUF012 - a field of pydantic
    messages: Any

    def _generate(self, *arguments: Any, **options: Any) -> Any:
        from langchain_core.outputs import ChatGeneration, ChatResult

        return ChatResult(generations=[ChatGeneration(message=next(self.messages))])


def test_a_streamed_answer_is_joined(handler: Make) -> None:
    made = handler()
    parts = list(FakeListChatModel(responses=[WROTE]).stream(SAID, to(made)))
    assert all(isinstance(part, AIMessageChunk) for part in parts)
    (record,) = explained(made)
    assert record.answer == WROTE
