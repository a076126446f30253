"""The one event loop that owns every client: SDK clients cannot leave the loop that made them."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import ExitStack
from typing import TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

Answer = TypeVar("Answer")

_lock = threading.Lock()
_portal: BlockingPortal | None = None


def submit(work: Callable[[], Awaitable[Answer]]) -> Future[Answer]:
    """Start `work` on the background loop, from any thread or task; cancelling the future cancels it.

    The loop starts on first use, in a daemon thread, and ends with the process.
    """
    global _portal
    with _lock:
        if _portal is None:
            stack = ExitStack()
            _portal = stack.enter_context(start_blocking_portal(name="whence"))
            # In reverse order: what still runs is cancelled, then the loop's thread is joined.
            atexit.register(stack.close)
            atexit.register(_portal.call, _portal.stop, True)
        return _portal.start_task_soon(work)
