"""Many who ask, and some who leave."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.contract.conftest import Subject

from whence import Explainer, FakeProvider, Source, Step

THREADS = 6
LATENCY_SECONDS = 0.05


def slow(subject: Subject) -> Any:
    """A provider whose calls take a while."""
    if subject.server is None:
        return subject.provider(**({"latency_s": LATENCY_SECONDS} if subject.adapter.name != "demo" else {}))
    subject.server.latency_seconds = LATENCY_SECONDS
    return subject.provider()


def test_many_ask_at_once_and_the_limit_of_the_adapter_holds(subject: Subject) -> None:
    provider = slow(subject)
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda _: subject.explain(provider), range(THREADS)))
    assert len({e.model_dump_json(include={"output", "segments"}) for e in found}) == 1
    limit = asyncio.run(provider.capabilities()).max_in_flight
    if isinstance(provider, FakeProvider):
        assert 1 < provider.most_in_flight <= limit
    if subject.server is not None:
        assert 1 < subject.server.most_in_flight <= limit


def test_who_is_cancelled_asks_no_more_and_holds_up_nobody(subject: Subject) -> None:
    asyncio.run(cancelled(subject))


async def cancelled(subject: Subject) -> None:
    provider = slow(subject)
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def progress(step: Step) -> None:
        if step.stage == "ablate":
            loop.call_soon_threadsafe(begun.set)

    asked = Explainer(provider).aexplain(
        subject.adapter.prompt,
        sources=[Source(text=subject.adapter.source, name="note")],
        method="shapley",
        permutations=200,
        stop_early=False,
        max_tokens=80,
        budget={"calls": 900},
        progress=progress,
    )
    task = asyncio.create_task(asked)
    await asyncio.wait_for(begun.wait(), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(4 * LATENCY_SECONDS)
    calls = subject.counted(provider)[0]
    await asyncio.sleep(4 * LATENCY_SECONDS)
    assert subject.counted(provider)[0] == calls
    began = time.monotonic()
    assert (await asyncio.to_thread(subject.explain, provider)).output.text
    assert time.monotonic() - began < 30
