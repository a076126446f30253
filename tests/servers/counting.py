"""What a server of a model was asked, and what it is to do wrong."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tests.servers.faults import Fault
from tests.servers.scripts import ToolCall


@dataclass(frozen=True)
class Seen:
    """One request. `headers`: by lower-case name. `body`: decoded JSON, or the text that is none."""

    path: str
    headers: Mapping[str, str]
    body: Any


class Counted:
    """Counters of a server, whatever it speaks, while its context is open.

    `faults`: one is taken by each call of the model, in order of arrival; None lets a call through.
    `tool_calls`: the script of those who are offered tools, see `next_call`; beyond it the bundled model
    answers. `seen`: every request, in order. `calls`, `input_tokens`, `output_tokens`: of the model, as
    billed; a call that is answered with an error counts, without tokens. `most_in_flight`: calls of the model
    at one time.
    """

    def __init__(self, *, latency_seconds: float = 0.0) -> None:
        self.latency_seconds = latency_seconds
        self.faults: deque[Fault | None] = deque()
        self.tool_calls: list[ToolCall] = []
        self.seen: list[Seen] = []
        self._lock = threading.Lock()
        self._in_flight = 0
        self.forget()

    def forget(self) -> None:
        """Zero the counters, and drop what was seen, the faults that nobody met, and the script."""
        with self._lock:
            self.calls = self.input_tokens = self.output_tokens = self.most_in_flight = 0
            self.seen.clear()
            self.faults.clear()
            self.tool_calls.clear()

    @contextmanager
    def call(self) -> Iterator[Fault | None]:
        """One call of the model, as long as it is in flight; gives the fault that it meets."""
        with self._lock:
            self.calls += 1
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            fault = self.faults.popleft() if self.faults else None
        try:
            yield fault
        finally:
            with self._lock:
                self._in_flight -= 1

    def bill(self, *, input_tokens: int, output_tokens: int) -> None:
        """Count the tokens of a call that was answered."""
        with self._lock:
            self.input_tokens += input_tokens
            self.output_tokens += output_tokens

    def __enter__(self) -> Self:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError
