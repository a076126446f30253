"""A bounded queue and the thread that works it off."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable

Job = Callable[[], None]
Dropped = Callable[[str], None]
"""Told why a job is not done."""

IDLE_SECONDS = 5.0
"""After which the thread ends; the next job starts another, so that nobody has to close a handler."""
SETTLE_SECONDS = 0.05
"""A job waits so long, unless it is waited for: the chain that brought it has its last steps to do."""
FULL, CLOSED = "the queue was full", "the handler was closed"
log = logging.getLogger("whence.langchain")


class InLine:
    """Jobs done by those who bring them."""

    def __init__(self) -> None:
        self._closed = False

    def put(self, job: Job, dropped: Dropped) -> None:
        """Do it."""
        if self._closed:
            dropped(CLOSED)
        else:
            job()

    def flush(self, timeout_s: float | None = None) -> bool:
        """Nothing waits here."""
        return True

    def close(self) -> None:
        """Do no more."""
        self._closed = True


class Worker:
    """Jobs one after the other, off the thread that brings them."""

    def __init__(self, *, places: int) -> None:
        self._places = places
        self._jobs: deque[tuple[Job, Dropped, float]] = deque()
        self._running = self._at_work = self._closed = False
        self._waiting_for_it = 0
        self._process = os.getpid()
        self._changed = threading.Condition()

    def put(self, job: Job, dropped: Dropped) -> None:
        """Have it done, where there is a place for it."""
        with self._changed:
            self._forget_parent()
            reason = CLOSED if self._closed else FULL if len(self._jobs) >= self._places else None
            if reason is None:
                self._jobs.append((job, dropped, time.monotonic() + SETTLE_SECONDS))
                if not self._running:
                    self._running = True
                    threading.Thread(target=self._work, name="whence-langchain", daemon=True).start()
                self._changed.notify_all()
        if reason is not None:
            dropped(reason)

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until all is done; whether it is."""
        with self._changed:
            self._forget_parent()
            self._waiting_for_it += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: not self._jobs and not self._at_work, timeout_s)
            finally:
                self._waiting_for_it -= 1

    def close(self) -> None:
        """Take no more, and drop what waits."""
        with self._changed:
            self._forget_parent()
            self._closed = True
            waiting = list(self._jobs)
            self._jobs.clear()
            self._changed.notify_all()
        for _, dropped, _ in waiting:
            dropped(CLOSED)

    def _forget_parent(self) -> None:
        """A fork has no thread, and what waited is not its own to do."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._running = self._at_work = False
            self._waiting_for_it = 0
            self._jobs.clear()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - SystemExit, of somebody's callback, ends no thread
                log.warning("a callback raised %s", type(error).__name__)
            del job  # an answer, which could be long, until the next
            with self._changed:
                self._at_work = False
                self._changed.notify_all()

    def _next(self) -> Job | None:
        """The next job; None after a time without any."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed, IDLE_SECONDS)
            while self._jobs and not self._waiting_for_it:
                left = self._jobs[0][2] - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            self._at_work = self._running = bool(self._jobs)
            return self._jobs.popleft()[0] if self._jobs else None
