"""Many threads, many tasks, callers who go away, and the end of the process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import as_file, files
from subprocess import CompletedProcess

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

import whence
from whence import Explainer, Explanation, FakeProvider, HuggingFace, Step

Run = Callable[..., CompletedProcess[str]]
MANY = 100
FOREVER_S = 3600.0
PATIENCE_S = 60.0  # only reached by a test that fails
ASK = "Summarise this record."
ANSWER = "The patient is a 49-year-old woman. The diagnosis is asthma."


def question(number: int) -> str:
    """A source whose one cue is its word of that number."""
    return " ".join(["x"] * number + ["alpha"] + ["y"] * (MANY - number))


def assert_right(explanation: Explanation, number: int) -> None:
    assert explanation.sources[0].text == question(number)
    assert explanation.output.text.strip() == "The dose is low."
    assert explanation.matrix()[0].nonzero()[0].tolist() == [number]


def explain_in_threads(explainers: Sequence[Explainer]) -> list[Explanation]:
    together = threading.Barrier(MANY)

    def work(number: int) -> Explanation:
        together.wait(PATIENCE_S)
        explainer = explainers[number % len(explainers)]
        return explainer.explain("Do.", sources=[question(number)], segment_by="word")

    with ThreadPoolExecutor(MANY) as pool:
        return list(pool.map(work, range(MANY)))


def explain_in_tasks(explainers: Sequence[Explainer]) -> list[Explanation]:
    async def work(number: int) -> Explanation:
        explainer = explainers[number % len(explainers)]
        return await explainer.aexplain("Do.", sources=[question(number)], segment_by="word")

    async def gather() -> list[Explanation]:
        return await asyncio.gather(*map(work, range(MANY)))

    return asyncio.run(gather())


@pytest.mark.parametrize("explain", [explain_in_threads, explain_in_tasks])
@pytest.mark.parametrize("explainers", [1, 7])
def test_a_hundred_at_once_each_get_their_own_answer(
    explain: Callable[[Sequence[Explainer]], list[Explanation]], explainers: int
) -> None:
    latency_s = 0.2
    providers = [FakeProvider(latency_s=latency_s, max_in_flight=20) for _ in range(explainers)]
    began = time.monotonic()
    explanations = explain([Explainer(provider) for provider in providers])
    assert time.monotonic() - began < MANY * latency_s, "they waited for one another"
    for number, explanation in enumerate(explanations):
        assert_right(explanation, number)
    assert len({explanation.id for explanation in explanations}) == MANY
    assert sum(provider.calls for provider in providers) == 2 * MANY


def test_the_demo_answers_threads_and_tasks_at_once_as_it_does_one_by_one(
    demo: Explainer, record: str
) -> None:
    sources = [record[: 100 * (number + 2)] for number in range(6)]
    wanted = [demo.explain(ASK, sources=[source], max_tokens=20) for source in sources]

    async def ask(source: str) -> Explanation:
        return await demo.aexplain(ASK, sources=[source], max_tokens=20)

    async def gather() -> list[Explanation]:
        return await asyncio.gather(*map(ask, sources))

    with ThreadPoolExecutor(len(sources) + 1) as pool:
        tasks = pool.submit(asyncio.run, gather())
        threads = pool.map(lambda source: demo.explain(ASK, sources=[source], max_tokens=20), sources)
        for explanations in (list(threads), tasks.result()):
            for one, other in zip(explanations, wanted, strict=True):
                assert one.output == other.output
                assert one.results == other.results


def test_two_explainers_may_hold_the_same_model(record: str) -> None:
    with as_file(files("whence.demo") / "model") as folder:
        model = AutoModelForCausalLM.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    one, other = (Explainer(HuggingFace(model, tokenizer)) for _ in range(2))

    def work(number: int) -> Explanation:
        # Different layers, so that one pass seen by the other would show.
        return (one, other)[number % 2].explain(ASK, sources=[record], output=ANSWER, layers=number % 2)

    wanted = [work(number).results for number in range(2)]
    with ThreadPoolExecutor(8) as pool:
        for number, explanation in enumerate(pool.map(work, range(16))):
            assert explanation.results == wanted[number % 2]


# Callers who go away.


def test_cancelling_a_task_asks_nothing_more() -> None:
    provider = FakeProvider(latency_s=0.5)
    explainer = Explainer(provider)

    async def go_away() -> None:
        task = asyncio.create_task(explainer.aexplain("Do.", sources=["alpha"]))
        while provider.calls < 1:  # noqa: ASYNC110 - it counts, and tells nobody
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(3 * provider.latency_s)

    asyncio.run(go_away())
    assert provider.calls == 1, "it went on to ask for the attention"
    explainer.explain("Do.", sources=["alpha"])
    assert provider.calls == 3


def test_cancelling_an_ablation_pays_for_nothing_more() -> None:
    provider = FakeProvider(access="logprobs", latency_s=0.1, max_in_flight=2)
    explainer = Explainer(provider)
    sources = [" ".join(f"Word {number}." for number in range(20))]

    async def go_away() -> int:
        task = asyncio.create_task(explainer.aexplain("Do.", sources=sources, method="leave_one_out"))
        while provider.calls < 5:  # noqa: ASYNC110 - it counts, and tells nobody
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        asked = provider.calls
        await asyncio.sleep(5 * provider.latency_s)
        return asked

    asked = asyncio.run(go_away())
    assert provider.calls == asked, "it went on to ask"
    assert asked < 10
    explainer.explain("Do.", sources=["alpha"], method="leave_one_out")


def test_a_time_limit_ends_an_explanation_at_once() -> None:
    provider = FakeProvider(latency_s=FOREVER_S)

    async def wait() -> None:
        async with asyncio.timeout(0.2):
            await Explainer(provider).aexplain("Do.", sources=["alpha"])

    with pytest.raises(TimeoutError):
        asyncio.run(wait())
    assert provider.calls == 1


def test_cancelling_half_of_them_leaves_the_others() -> None:
    explainer = Explainer(FakeProvider(latency_s=1.0, max_in_flight=20))

    async def gather() -> list[Explanation | BaseException]:
        tasks = [
            asyncio.create_task(explainer.aexplain("Do.", sources=[question(number)], segment_by="word"))
            for number in range(MANY)
        ]
        await asyncio.sleep(0.1)
        for task in tasks[::2]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    for number, explanation in enumerate(asyncio.run(gather())):
        if number % 2:
            assert isinstance(explanation, Explanation)
            assert_right(explanation, number)
        else:
            assert isinstance(explanation, asyncio.CancelledError)


@pytest.mark.parametrize(("stage", "more"), [("generate", 10), ("attend", 2)])
def test_cancelling_a_task_stops_the_model_in_the_middle(
    demo: Explainer, record: str, stage: str, more: int
) -> None:
    whole: list[Step] = []
    demo.explain(ASK, sources=[record], progress=whole.append)
    steps: list[Step] = []
    reached, cancelled = threading.Event(), threading.Event()

    def progress(step: Step) -> None:
        steps.append(step)
        if step.stage == stage and step.done == 2:
            # The model waits here, in its own thread, until the caller has gone.
            reached.set()
            assert cancelled.wait(PATIENCE_S)

    async def go_away() -> None:
        task = asyncio.create_task(demo.aexplain(ASK, sources=[record], progress=progress))
        assert await asyncio.to_thread(reached.wait, PATIENCE_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        cancelled.set()

    asyncio.run(go_away())
    # The same model has one pass at a time, so once this is done the cancelled pass has ended.
    again = demo.explain(ASK, sources=[record], output=ANSWER)
    assert steps[-1].stage == stage
    assert len(whole) - len(steps) >= more, "there was nothing left to stop"
    assert len(again.output.targets) == 2


def test_a_caller_who_still_waits_for_the_model_can_go_away(demo: Explainer, record: str) -> None:
    """The second waits for the first, is cancelled while it waits, and never reaches the model."""
    reached, release = threading.Event(), threading.Event()
    steps: list[Step] = []

    def hold(step: Step) -> None:
        if step.stage == "attend" and step.done == 1:
            reached.set()
            assert release.wait(PATIENCE_S)

    async def go_away() -> Explanation:
        first = asyncio.create_task(demo.aexplain(ASK, sources=[record], output=ANSWER, progress=hold))
        assert await asyncio.to_thread(reached.wait, PATIENCE_S)
        second = asyncio.create_task(demo.aexplain(ASK, sources=[record], progress=steps.append))
        await asyncio.sleep(0.3)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        release.set()
        return await first

    assert asyncio.run(go_away()).output.text == ANSWER
    demo.explain(ASK, sources=[record], output=ANSWER)
    assert {step.stage for step in steps} <= {"load"}


# A progress callback that raises.


class EnoughError(Exception):
    """Raised by a callback."""


@pytest.mark.parametrize("error", [EnoughError("no more"), SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("stage", ["load", "generate", "attend"])
@pytest.mark.parametrize("provider", ["fake", "demo"])
def test_what_a_callback_raises_ends_the_explanation(
    demo: Explainer, provider: str, stage: str, error: BaseException
) -> None:
    explainer = demo if provider == "demo" else Explainer(provider)
    steps: list[Step] = []

    def progress(step: Step) -> None:
        steps.append(step)
        if step.stage == stage:
            raise error

    with pytest.raises(type(error)) as raised:
        explainer.explain(ASK, sources=["alpha"], max_tokens=5, progress=progress)
    assert raised.value is error
    assert [step.stage for step in steps].count(stage) == 1
    after = explainer.explain(ASK, sources=["alpha"], output=ANSWER)
    assert after.output.text == ANSWER


def test_what_a_callback_raises_reaches_a_task() -> None:
    def progress(step: Step) -> None:
        raise EnoughError(step.stage)

    async def ask() -> None:
        await Explainer("fake").aexplain("Do.", sources=["alpha"], progress=progress)

    with pytest.raises(EnoughError, match="load"):
        asyncio.run(ask())


def test_an_error_reaches_a_task_as_it_reaches_a_caller_who_waits() -> None:
    async def ask() -> None:
        explainer = Explainer(FakeProvider(access="text"))
        await explainer.aexplain("Do.", sources=["alpha"], method="attention")

    with pytest.raises(whence.UnsupportedError):
        asyncio.run(ask())


def test_closing_does_not_disturb_what_runs() -> None:
    explainer = Explainer(FakeProvider(latency_s=0.2))

    async def ask() -> Explanation:
        task = asyncio.create_task(explainer.aexplain("Do.", sources=["alpha"]))
        await asyncio.sleep(0.05)
        explainer.close()
        return await task

    assert asyncio.run(ask()).matrix().shape == (1, 1)


# The end of the process. Each of these would be killed after two minutes if it hung.


def test_the_process_ends_after_use(python: Run) -> None:
    done = python("""
import whence
print(whence.Explainer(whence.FakeProvider()).explain("Do.", sources=["alpha"]).output.text)
""")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "The dose is low.", "")


def test_the_process_ends_while_a_provider_lets_a_thread_wait(python: Run) -> None:
    done = python(f"""
import threading, time, whence
provider = whence.FakeProvider(latency_s={FOREVER_S})
explain = whence.Explainer(provider).explain
threading.Thread(target=explain, args=["Do."], kwargs={{"sources": ["alpha"]}}, daemon=True).start()
while not provider.calls:
    time.sleep(0.01)
print("ends")
""")
    assert (done.returncode, done.stdout.strip()) == (0, "ends")


def test_the_process_ends_while_a_model_writes(python: Run, endless: str) -> None:
    done = python(f"""
import threading, whence
writes = threading.Event()
def explain():
    whence.Explainer({endless!r}).explain(
        "Do.", sources=["alpha"], max_tokens=900000,
        progress=lambda step: step.stage == "generate" and step.done > 3 and writes.set(),
    )
threading.Thread(target=explain, daemon=True).start()
print(writes.wait({PATIENCE_S}))
""")
    assert (done.returncode, done.stdout.strip()) == (0, "True")


def test_the_process_ends_when_its_loop_does(python: Run) -> None:
    done = python(f"""
import asyncio, whence
async def main():
    explainer = whence.Explainer(whence.FakeProvider(latency_s={FOREVER_S}))
    task = asyncio.create_task(explainer.aexplain("Do.", sources=["alpha"]))
    await asyncio.sleep(0.1)
    print("ends")
asyncio.run(main())
""")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "ends", "")


def test_a_fork_explains_too(python: Run) -> None:
    done = python("""
import multiprocessing, sys, warnings, whence
explainer = whence.Explainer("fake")
def explain(source):
    return explainer.explain("Do.", sources=[source]).matrix().tolist()
here = explain("alpha")
warnings.simplefilter("ignore")  # newer Pythons warn of any fork beside a thread
with multiprocessing.get_context("fork").Pool(2) as pool:
    there = pool.map(explain, ["alpha"] * 4)
print(there == [here] * 4)
""")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "True", "")
