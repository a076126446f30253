"""A bounded queue before each model: first come, first served; a full one says when to come back."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from whence.api.service.problems import ProblemError

SMOOTHING = 0.2
"""The weight of the latest duration in their moving mean."""


class Queue:
    """At most `max_running` at once, and `max_waiting` behind them."""

    def __init__(self, *, max_running: int, max_waiting: int) -> None:
        self._turns = asyncio.Semaphore(max_running)  # wakes waiters in the order in which they came
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._mean_seconds = 1.0
        self.running = 0
        self.waiting = 0

    def require_room(self) -> None:
        """Raise the 503 problem where nobody else may wait."""
        if self.running + self.waiting < self._max_running + self._max_waiting:
            return
        seconds = max(1, math.ceil(self._mean_seconds * (self.waiting + 1) / self._max_running))
        raise ProblemError(
            503,
            "queue-full",
            "Too many requests wait for this model.",
            f"{self.running} are at the model and {self.waiting} wait, which is the limit; "
            f"try again in {seconds} s.",
            headers={"Retry-After": str(seconds)},
            retry_after_seconds=seconds,
        )

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and hold it. Who is cancelled while waiting gives up the place."""
        self.require_room()
        self.waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self.waiting -= 1
        self.running += 1
        began = time.monotonic()
        try:
            yield
        finally:
            self.running -= 1
            self._turns.release()
            self._mean_seconds += SMOOTHING * (time.monotonic() - began - self._mean_seconds)
