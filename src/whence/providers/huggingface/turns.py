"""A lock for tasks of any event loop and thread: first come, first served, and nobody polls."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager


class Turns:
    """Held by one task at a time. Who waits takes no thread, and can be cancelled.

    asyncio's lock belongs to one event loop, and threading's would hold up the loop that waits for it.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._waiting: deque[Future[None]] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and hold it."""
        await self._acquire()
        try:
            yield
        finally:
            self._release()

    async def _acquire(self) -> None:
        with self._guard:
            if not self._held:
                self._held = True
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
            self._held = False
