"""What does the handler add to a chain of LangChain that takes 100 ms?

The chain: a retriever brings 4 documents of 200 words, a prompt holds 3 of them (the bundled model reads no
more), a chat model streams 50 tokens, one each 2 ms like a server that keeps its own pace, a parser makes
text of them. It runs by `invoke` and by `ainvoke`, without callbacks, with an empty handler, and with
`ExplanationHandler` in the background, in turns, and

- idle: nobody is configured for the model, so that its worker only finds the documents in the prompt;
- explaining: the bundled model explains earlier answers of the chain all the while, in this process.

CPU: what the thread that runs the chain takes more than without callbacks, the median over the runs. As
LangChain calls every handler for each token, what an empty one takes stands beside it, and what ours takes
beyond that; and what the worker takes for an answer when idle. Ratio: of the median times by the clock, with
the handler to without callbacks when nothing else runs. `own ratio`: to without callbacks at the same time,
so that what the running explanation costs every chain in the process is on both sides.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import pairwise
from statistics import median
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda

from whence import Explainer
from whence.api.langchain import ExplanationHandler
from whence.demo.records import PROMPT, generate

DOCUMENTS, DOCUMENT_WORDS, IN_PROMPT = 4, 200, 3
TOKENS, TOKEN_SECONDS = 50, 0.002
WAITING = 20
"""So many answers are to be explained before the clock runs, and each run adds one."""
STATES = ("idle", "explaining")
WAYS = ("without", "empty", "handler")
AIM_CPU_US, AIM_RATIO = 1000.0, 1.02


class Streams(BaseChatModel):
    """A chat model whose tokens come at a pace of their own."""

    streaming: bool
    tokens: tuple[str, ...]
    token_seconds: float = TOKEN_SECONDS

    @property
    def _llm_type(self) -> str:
        return "paced"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content="".join(self.tokens)))])

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        due = time.perf_counter()
        for token in self.tokens:
            due += self.token_seconds
            time.sleep(max(0.0, due - time.perf_counter()))
            yield ChatGenerationChunk(message=AIMessageChunk(content=token))

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        due = time.perf_counter()
        for token in self.tokens:
            due += self.token_seconds
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            yield ChatGenerationChunk(message=AIMessageChunk(content=token))


class Brings(BaseRetriever):
    """A retriever that always brings the same."""

    documents: list[Document]

    def _get_relevant_documents(self, query: str, **kwargs: Any) -> list[Document]:
        return self.documents

    async def _aget_relevant_documents(self, query: str, **kwargs: Any) -> list[Document]:
        return self.documents


class Empty(BaseCallbackHandler):
    """What LangChain itself needs to call a handler."""

    run_inline = True


def chain_of(token_seconds: float) -> Runnable[str, str]:
    words = " ".join(generate(seed).text for seed in range(20)).split()
    documents = [
        Document(" ".join(words[at : at + DOCUMENT_WORDS]), metadata={"source": f"{at}.txt", "score": 0.5})
        for at in range(0, DOCUMENTS * DOCUMENT_WORDS, DOCUMENT_WORDS)
    ]
    summaries = " ".join(generate(seed).summary for seed in range(20)).split(" ")
    model = Streams(
        streaming=True, tokens=tuple(f"{word} " for word in summaries[:TOKENS]), token_seconds=token_seconds
    )
    prompt = ChatPromptTemplate.from_messages(
        [("user", f'<source name="records">\n{{context}}\n</source>\n\n{PROMPT}')]
    )
    joined = RunnableLambda(
        lambda found: {"context": "\n\n".join(own.page_content for own in found[:IN_PROMPT])}
    )
    return Brings(documents=documents) | joined | prompt | model | StrOutputParser()


class Taken:
    """Seconds of each run: by the clock, and of CPU."""

    def __init__(self) -> None:
        self.clock: list[float] = []
        self.cpu: list[float] = []


Run = Callable[[RunnableConfig], Awaitable[object]]
"""Runs the chain once, with these callbacks."""


async def timed(run: Run, config: RunnableConfig, taken: Taken) -> None:
    clock, cpu = time.perf_counter(), time.thread_time()
    await run(config)
    taken.cpu.append(time.thread_time() - cpu)
    taken.clock.append(time.perf_counter() - clock)


async def block(run: Run, prepare: Run, state: str, runs: int) -> tuple[dict[str, Taken], list[float]]:
    """All ways in turns; and what the worker took for each answer, of its own CPU."""
    worked: list[float] = []
    handler = ExplanationHandler(
        {"*": Explainer("demo")} if state == "explaining" else None,
        queue_size=WAITING + runs,
        keep=WAITING + runs + 1,
        on_explanation=lambda _: worked.append(time.thread_time()),
    )
    configs: dict[str, RunnableConfig] = {
        "without": {},
        "empty": {"callbacks": [Empty()]},
        "handler": {"callbacks": [handler]},
    }
    taken = {way: Taken() for way in WAYS}
    if state == "explaining":
        await prepare(configs["handler"])
        handler.flush()  # the model is loaded, and has explained an answer
        for _ in range(WAITING):
            await prepare(configs["handler"])
    for number in range(runs):
        for turn in range(len(WAYS)):
            way = WAYS[(number + turn) % len(WAYS)]
            await timed(run, configs[way], taken[way])
            if state == "idle":
                handler.flush()
    if state == "explaining" and handler.records[-1].status != "waiting":
        sys.exit("the explanations ended before the runs did: raise WAITING")
    handler.close()
    handler.flush()
    if handler.errors:
        raise handler.errors[0]
    return taken, [after - before for before, after in pairwise(worked)]


def run(runs: int, rounds: int) -> dict[str, float]:
    chain, at_once = chain_of(TOKEN_SECONDS), chain_of(0.0)

    async def invoke(config: RunnableConfig) -> object:
        return chain.invoke(PROMPT, config)

    async def ainvoke(config: RunnableConfig) -> object:
        return await chain.ainvoke(PROMPT, config)

    async def prepare(config: RunnableConfig) -> object:
        return at_once.invoke(PROMPT, config)

    figures: dict[str, float] = {}
    for face, once in (("invoke", invoke), ("ainvoke", ainvoke)):
        asyncio.run(block(once, prepare, "idle", 2))  # the first calls import and compile
        seen: dict[tuple[str, str], Taken] = {(state, way): Taken() for state in STATES for way in WAYS}
        worked = []
        for _ in range(rounds):
            for state in STATES:
                taken, own = asyncio.run(block(once, prepare, state, runs // rounds))
                worked += own if state == "idle" else []
                for way, found in taken.items():
                    seen[state, way].clock += found.clock
                    seen[state, way].cpu += found.cpu
        figures[f"{face}_worker_cpu_us"] = 1e6 * median(worked)
        quiet = median(seen["idle", "without"].clock)
        figures[f"{face}_without_clock_ms"] = 1e3 * quiet
        for state in STATES:
            without, empty, handler = (seen[state, way] for way in WAYS)
            for name, more, less in (
                ("", handler, without),
                ("empty_", empty, without),
                ("own_", handler, empty),
            ):
                added = [after - before for after, before in zip(more.cpu, less.cpu, strict=True)]
                figures[f"{face}_{state}_{name}cpu_us"] = 1e6 * median(added)
            figures[f"{face}_{state}_ratio"] = median(handler.clock) / quiet
            figures[f"{face}_{state}_own_ratio"] = median(handler.clock) / median(without.clock)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=60, help="of the chain, in each state and way")
    parser.add_argument("--rounds", type=int, default=3, help="in which the states take turns")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--check", action="store_true", help="exit with 1 where an aim is missed")
    arguments = parser.parse_args()
    figures = run(arguments.runs, arguments.rounds)
    kinds = [(face, state) for face in ("invoke", "ainvoke") for state in STATES]
    if arguments.json:
        print(json.dumps(figures))
    else:
        for face, state in kinds:
            if state == "idle":
                quiet, worker = (figures[f"{face}_{name}"] for name in ("without_clock_ms", "worker_cpu_us"))
                print(f"{face:8} without callbacks {quiet:.1f} ms; the idle worker takes {worker:.0f} us")
            names = ("cpu_us", "empty_cpu_us", "own_cpu_us", "own_ratio")
            added, empty, own, ratio = (figures[f"{face}_{state}_{name}"] for name in names)
            print(
                f"{face:8} {state:10} added CPU {added:6.0f} us (an empty handler {empty:6.0f} us,"
                f" beyond it {own:6.0f} us), own ratio {ratio:.3f}"
            )
        print(", ".join(f"{face} {state} {figures[f'{face}_{state}_ratio']:.3f}" for face, state in kinds))
    missed = any(
        figures[f"{face}_{state}_cpu_us"] >= AIM_CPU_US or figures[f"{face}_{state}_ratio"] > AIM_RATIO
        for face, state in kinds
    )
    if arguments.check and missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
