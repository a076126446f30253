"""A bounded queue and the thread that works it off."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from whence.providers.errors import InputError

Job = Callable[[], None]
Dropped = Callable[[str], None]
"""Told why a job is not done."""

IDLE_SECONDS = 5.0
"""After which the thread ends; the next job starts another, so that nobody has to close a handler."""
SETTLE_SECONDS = 0.05
"""A job waits so long, unless it is waited for: the chain that brought it has its last steps to do."""
TELLINGS = 1000
"""What `tell` has still to do, at most."""
FULL, CLOSED, NO_THREAD = "the queue was full", "the handler was closed", "no thread could be started"
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

    def tell(self, job: Job) -> None:
        """Do it, also when closed."""
        job()

    def flush(self, timeout_s: float | None = None) -> bool:
        """Nothing waits here."""
        return True

    def close(self, reason: str = CLOSED) -> None:
        """Do no more."""
        self._closed = True

    def renew(self) -> None:
        """There is nothing to renew."""


class Worker:
    """Jobs one after the other, off the thread that brings them."""

    def __init__(self, *, places: int) -> None:
        self._places = places
        self._closed = False
        self.renew()

    def renew(self) -> None:
        """In a fork: it has no thread, and what waited is not its own to do."""
        self._jobs: deque[tuple[Job, Dropped, float]] = deque()
        self._tellings: deque[Job] = deque(maxlen=TELLINGS)
        self._thread: threading.Thread | None = None
        self._at_work = False
        self._waiting_for_it = 0
        self._changed = threading.Condition()

    def put(self, job: Job, dropped: Dropped) -> None:
        """Have it done, where there is a place for it."""
        with self._changed:
            reason = CLOSED if self._closed else FULL if len(self._jobs) >= self._places else None
            if reason is None:
                entry = (job, dropped, time.monotonic() + SETTLE_SECONDS)
                self._jobs.append(entry)
                if not self._start():
                    self._jobs.remove(entry)
                    reason = NO_THREAD
        if reason is not None:
            dropped(reason)

    def tell(self, job: Job) -> None:
        """Have it done before all others, also when closed; of very many, only the last are."""
        with self._changed:
            self._tellings.append(job)
            self._start()

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until all is done; whether it is. Raises InputError where it would wait for itself."""
        if threading.current_thread() is self._thread:
            raise InputError(
                "flush() waits for the very thread that calls it here: leave it out of the callback"
            )
        with self._changed:
            self._waiting_for_it += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: not self._waits() and not self._at_work, timeout_s)
            finally:
                self._waiting_for_it -= 1

    def close(self, reason: str = CLOSED) -> None:
        """Take no more, and drop what waits."""
        with self._changed:
            self._closed = True
            waiting = list(self._jobs)
            self._jobs.clear()
            self._changed.notify_all()
        for _, dropped, _ in waiting:
            dropped(reason)

    def _waits(self) -> bool:
        return bool(self._jobs or self._tellings)

    def _start(self) -> bool:
        """Whether there is a thread that sees what has changed."""
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="whence-langchain", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # too many of them, or the interpreter ends
                self._tellings.clear()
                return False
            self._thread = thread
        self._changed.notify_all()
        return True

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - of somebody's callback; it ends no thread
                log.warning("a callback raised %s", type(error).__name__)
            del job  # an answer, which could be long, until the next
            with self._changed:
                self._at_work = False
                self._changed.notify_all()

    def _next(self) -> Job | None:
        """The next job; None after a time without any."""
        with self._changed:
            self._changed.wait_for(lambda: self._waits() or self._closed, IDLE_SECONDS)
            while self._jobs and not self._tellings and not self._waiting_for_it:
                left = self._jobs[0][2] - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            self._at_work = self._waits()
            if self._tellings:
                return self._tellings.popleft()
            if self._jobs:
                return self._jobs.popleft()[0]
            self._thread = None
            return None
