"""An explanation for as long as somebody waits for it: its outcome counted, its progress told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import anyio
from fastapi import Request

from whence.api.service.metrics import Metrics
from whence.api.service.models import Model
from whence.api.service.problems import ProblemError, client_left, from_whence, shutting_down
from whence.explain.schema import Explanation
from whence.providers.base import Step
from whence.providers.errors import WhenceError

Answer = TypeVar("Answer")


async def while_connected(
    request: Request, work: Coroutine[Any, Any, Answer], *, poll_seconds: float
) -> Answer:
    """What `work` gives; cancels it when the client leaves."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=poll_seconds)
            if not task.done() and await request.is_disconnected():
                raise client_left()
        return task.result()
    finally:
        task.cancel()


async def until_shutdown(
    work: Coroutine[Any, Any, Answer], shutdown: anyio.Event, *, seconds: float
) -> Answer:
    """What `work` gives, if it is done so many seconds after `shutdown`. Raises the 503 problem."""

    async def wait() -> None:
        await shutdown.wait()
        await asyncio.sleep(seconds)

    task, end = asyncio.ensure_future(work), asyncio.ensure_future(wait())
    try:
        await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise shutting_down()
        return task.result()
    finally:
        task.cancel()
        end.cancel()


class Steps:
    """The latest step of some work, from its thread to the event loop: a slow reader misses some."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._latest: Step | None = None

    def report(self, step: Step) -> None:
        """The progress callback: called from a worker thread."""
        self._loop.call_soon_threadsafe(self._take, step)

    def _take(self, step: Step) -> None:
        self._latest = step
        self._news.set()

    async def during(self, task: asyncio.Task[Any]) -> AsyncIterator[Step]:
        """Each step that is still the latest when it is asked for, until `task` is done."""
        while not task.done():
            news = asyncio.ensure_future(self._news.wait())
            try:
                await asyncio.wait({task, news}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                news.cancel()
            if self._news.is_set() and self._latest is not None:
                self._news.clear()
                yield self._latest


async def explain(model: Model, arguments: Mapping[str, Any], metrics: Metrics) -> Explanation:
    """Explain, and count how it ended."""
    with _counted(model, metrics):
        return await model.explain(arguments)


@contextmanager
def _counted(model: Model, metrics: Metrics) -> Iterator[None]:
    outcome = "failed"
    began = time.monotonic()
    try:
        yield
        outcome = "explained"
        metrics.explanation_seconds.labels(model.name).observe(time.monotonic() - began)
    except asyncio.CancelledError:
        outcome = "cancelled"
        raise
    except ProblemError as problem:
        outcome = problem.kind
        raise
    except WhenceError as error:
        outcome = from_whence(error).kind
        raise
    finally:
        metrics.explanations.labels(model.name, outcome).inc()
