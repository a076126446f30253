"""An ASGI application on a free port of this machine, which counts what it is asked."""

from __future__ import annotations

import json
import socket
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import anyio
import uvicorn
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tests.servers.faults import Fault

JOIN_SECONDS = 30.0  # only reached by a server that does not end
IN_FLIGHT = 512
"""How many connections can wait to be accepted."""


@dataclass(frozen=True)
class Seen:
    """One request. `headers`: by lower-case name. `body`: decoded JSON, or the text that is none."""

    path: str
    headers: Mapping[str, str]
    body: Any


class Server(ABC):
    """A server in a thread, while its context is open.

    `faults`: one is taken by each call of the model, in order of arrival; None lets a call through.
    `seen`: every request, in order. `calls`, `input_tokens`, `output_tokens`: of the model, as billed; a call
    that is answered with an error counts, without tokens. `most_in_flight`: calls of the model at one time.
    """

    def __init__(self, *, latency_seconds: float = 0.0) -> None:
        self.latency_seconds = latency_seconds
        self.url = ""
        self.faults: deque[Fault | None] = deque()
        self.seen: list[Seen] = []
        self._lock = threading.Lock()
        self._in_flight = 0
        self.forget()

    @abstractmethod
    def app(self) -> ASGIApp:
        """The application; made once, when the server starts."""

    def forget(self) -> None:
        """Zero the counters, and drop what was seen and the faults that nobody met."""
        with self._lock:
            self.calls = self.input_tokens = self.output_tokens = self.most_in_flight = 0
            self.seen.clear()
            self.faults.clear()

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
        listener = socket.create_server(("127.0.0.1", 0), backlog=IN_FLIGHT)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            _Recorder(self.app(), self.seen),
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level=100,  # above all: it logs each connection that is cut on purpose
            backlog=IN_FLIGHT,
            timeout_graceful_shutdown=1,
            # A connection that is closed while a call is on its way loses the call, which nobody counts here.
            timeout_keep_alive=600,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(JOIN_SECONDS)
        if self._thread.is_alive():
            raise TimeoutError(f"the server at {self.url} did not end within {JOIN_SECONDS:.0f} s")


class _Recorder:
    """Notes each request, and hands its body on."""

    def __init__(self, app: ASGIApp, seen: list[Seen]) -> None:
        self._app, self._seen = app, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        self._seen.append(Seen(scope["path"], headers, decoded(body)))
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, again, send)


def decoded(body: bytes) -> Any:
    """A body as JSON, or as the text that it is otherwise."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


class CutResponse(Response):
    """Announces its whole body, sends half of it, and closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


def damaged(fault: Fault, response: Response) -> Response:
    """The response as it arrives over a bad line: `cut_connection`, `slow_body` or `malformed_json`."""
    body = bytes(response.body)
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    if fault.kind == "cut_connection":
        return CutResponse(body, headers=headers)
    if fault.kind == "malformed_json":
        return Response(body[: len(body) // 2], headers=headers)
    if fault.kind == "slow_body":
        return StreamingResponse(_dripping(body, fault.seconds), headers=headers)
    raise ValueError(f"{fault.kind!r} does not damage a body")


async def _dripping(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    for byte in body:
        await anyio.sleep(seconds)
        yield bytes([byte])
