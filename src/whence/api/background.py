"""The one event loop that owns every client: SDK clients cannot leave the loop that made them."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeVar

import anyio
from anyio.from_thread import BlockingPortal

Answer = TypeVar("Answer")
EXIT_PATIENCE_SECONDS = 10.0
"""How long the end of the process waits for what was cancelled; a download of weights hears of nothing."""


class _Loop:
    """An event loop in a daemon thread, and the portal to it; it belongs to one process."""

    def __init__(self) -> None:
        self.process = os.getpid()
        started: Future[BlockingPortal] = Future()

        async def serve() -> None:
            async with BlockingPortal() as portal:
                started.set_result(portal)
                await portal.sleep_until_stopped()

        self.thread = threading.Thread(target=anyio.run, args=(serve,), name="whence", daemon=True)
        self.thread.start()
        self.portal = started.result()

    def stop(self) -> None:
        """Cancel what still runs, and end."""
        self.portal.call(self.portal.stop, True)
        self.thread.join(EXIT_PATIENCE_SECONDS)


_lock = threading.Lock()
_loop: _Loop | None = None


def submit(work: Callable[[], Awaitable[Answer]]) -> Future[Answer]:
    """Start `work` on the background loop, from any thread or task; cancelling the future cancels it.

    The loop starts on first use, also in a fork, and ends with the process.
    """
    answer: Future[Answer] = Future()

    async def run() -> None:
        try:
            result = await work()
        except anyio.get_cancelled_exc_class():
            answer.cancel()
            raise
        except BaseException as error:  # noqa: BLE001 - for the caller: SystemExit here would end the loop
            if answer.set_running_or_notify_cancel():
                answer.set_exception(error)
        else:
            if answer.set_running_or_notify_cancel():
                answer.set_result(result)

    task = _running().portal.start_task_soon(run)
    answer.add_done_callback(lambda done: done.cancelled() and task.cancel())
    return answer


def _running() -> _Loop:
    """This process's loop: a fork inherits the variable, but not the thread."""
    global _loop
    with _lock:
        if _loop is None or _loop.process != os.getpid():
            _loop = _Loop()
        return _loop


@atexit.register
def _stop() -> None:
    if _loop is not None and _loop.process == os.getpid():
        _loop.stop()
