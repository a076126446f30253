"""An ASGI application on a free port of this machine, which counts what it is asked."""

from __future__ import annotations

import json
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import anyio
import uvicorn
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tests.servers.counting import Counted, Seen
from tests.servers.faults import Fault

JOIN_SECONDS = 30.0  # only reached by a server that does not end
IN_FLIGHT = 512
"""How many connections can wait to be accepted."""


class Server(Counted, ABC):
    """A server of HTTP in a thread, while its context is open."""

    def __init__(self, *, latency_seconds: float = 0.0) -> None:
        self.url = ""
        super().__init__(latency_seconds=latency_seconds)

    @abstractmethod
    def app(self) -> ASGIApp:
        """The application; made once, when the server starts."""

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
