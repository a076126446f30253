"""A semaphore for tasks of any event loop and thread: first come, first served, and nobody polls."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager


class Turns:
    """Held by `places` tasks at a time, by one unless told otherwise. Who waits takes no thread.

    asyncio's locks belong to one event loop, and threading's would hold up the loop that waits for them.
    """

    def __init__(self, places: int = 1) -> None:
        self._guard = threading.Lock()
        self._free = places
        self._waiting: deque[Future[None]] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and hold it; the wait can be cancelled."""
        await self._acquire()
        try:
            yield
        finally:
            self._release()

    async def _acquire(self) -> None:
        with self._guard:
            if self._free:
                self._free -= 1
                return
            called: Future[None] = Future()
            self._waiting.append(called)
        try:
            await asyncio.wrap_future(called)
        except asyncio.CancelledError:
            with self._guard:
                handed_over = called.done() and not called.cancelled()
            if handed_over:  # in the moment in which the wait was given up
                self._release()
            raise

    def _release(self) -> None:
        """Hand over to the first who still waits."""
        with self._guard:
            while self._waiting:
                called = self._waiting.popleft()
                if called.set_running_or_notify_cancel():
                    called.set_result(None)
                    return
            self._free += 1
