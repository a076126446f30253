"""Ollama, as its clients ask for it, with its store on disk; the bundled model answers.

The source of shapes, statuses and texts is Ollama's own (0.32), whose templates run before llama-server does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.servers.answers import CONTEXT_TOKENS
from tests.servers.faults import Fault
from tests.servers.hosting import IN_FLIGHT, Server, damaged
from tests.servers.ollama_answers import Answers, chunk
from tests.servers.ollama_errors import DAMAGING, QUEUE_FULL, OllamaError, error_of
from tests.servers.ollama_requests import SINCE, Chat, Generate, Show, kept_seconds, read
from tests.servers.ollama_show import details, listed, shown
from tests.servers.ollama_store import Store, Stored, filled

VERSION = "0.33.0"
LLAMA_SERVER = (0, 30, 0)
"""The version from which llama-server runs the models."""
QUEUE = 512
NDJSON = "application/x-ndjson"
CHUNKS_BEFORE_ERROR = 2

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class _Loaded:
    model: Stored
    expires: datetime
    context_tokens: int


class OllamaServer(Server):
    """Holds the models that `ollama_store` names, in the directory `store`.

    `version`: what it says it is; fields that are younger are ignored. `debug_render`: whether it renders
    only, when asked to. `parallel`: calls at work at one time; more than `queue` that wait are refused.
    `context_tokens`: what the metadata of the models says that they can read. `trailing_space`: whether a
    forced output may end in white space, as it may in most versions of llama.cpp.
    """

    def __init__(
        self,
        *,
        latency_seconds: float = 0.0,
        version: str = VERSION,
        debug_render: bool = True,
        parallel: int = 1,
        queue: int = QUEUE,
        context_tokens: int = CONTEXT_TOKENS,
        trailing_space: bool = True,
    ) -> None:
        self.version = version
        numbers = tuple(map(int, version.split(".")))
        unknown = {name for name, since in SINCE.items() if numbers < since}
        self._unknown = frozenset(unknown if debug_render else {*unknown, "_debug_render_only"})
        self._parallel, self._queue, self._context_tokens = parallel, queue, context_tokens
        self._answers = Answers(trailing_space=trailing_space, own_runner=numbers < LLAMA_SERVER)
        self._threads = anyio.CapacityLimiter(IN_FLIGHT)
        self._loaded: dict[str, _Loaded] = {}
        super().__init__(latency_seconds=latency_seconds)

    def __enter__(self) -> Self:
        self._directory = TemporaryDirectory(prefix="whence-ollama-")
        self._models = filled(Path(self._directory.name), self._context_tokens)
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            self._directory.cleanup()

    @property
    def store(self) -> Path:
        """The models directory: `manifests` and `blobs`."""
        return self._models.root

    @property
    def models(self) -> Store:
        """What the directory holds."""
        return self._models

    def forget(self) -> None:
        """Zero the counters, and unload the models."""
        super().forget()
        self._loaded.clear()

    def app(self) -> ASGIApp:
        """Ollama's routes that read, without those that pull and create."""
        self._at_work, self._waiting = asyncio.Semaphore(self._parallel), 0
        routes = [
            Route("/", self._plain(self._alive), methods=["GET"]),
            Route("/api/version", self._plain(self._version), methods=["GET"]),
            Route("/api/tags", self._plain(self._tags), methods=["GET"]),
            Route("/api/ps", self._plain(self._running), methods=["GET"]),
            Route("/api/show", self._plain(self._show), methods=["POST"]),
            Route("/api/chat", _Call(self, Chat), methods=["POST"]),
            Route("/api/generate", _Call(self, Generate), methods=["POST"]),
        ]
        missing = {404: _text(404, "404 page not found"), 405: _text(405, "405 method not allowed")}
        return Starlette(routes=routes, exception_handlers=missing)

    def _plain(self, handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except OllamaError as error:
                return JSONResponse(error.body, error.status, error.headers)

        return answer

    async def _alive(self, _: Request) -> Response:
        return PlainTextResponse("Ollama is running")

    async def _version(self, _: Request) -> Response:
        return JSONResponse({"version": self.version})

    async def _tags(self, _: Request) -> Response:
        return JSONResponse({"models": [listed(model) for model in self._models.models()]})

    async def _running(self, _: Request) -> Response:
        running = [one for one in self._loaded.values() if one.expires > datetime.now(UTC)]
        told = [
            {
                "name": one.model.name,
                "model": one.model.name,
                "size": one.model.size_bytes,
                "digest": one.model.digest,
                "details": details(one.model),
                "expires_at": one.expires.isoformat(),
                "size_vram": 0,
                "context_length": one.context_tokens,
            }
            for one in sorted(running, key=lambda one: one.expires, reverse=True)
        ]
        return JSONResponse({"models": told})

    async def _show(self, request: Request) -> Response:
        asked = read(await request.body(), Show)
        name = asked.model or asked.name
        if not name:
            raise OllamaError(400, "model is required")
        return JSONResponse(shown(self._found(name, told=name if ":" in name else f"{name}:latest")))

    def _found(self, name: str, *, told: str) -> Stored:
        """Raises OllamaError; `told`: how it calls a model that is not there."""
        try:
            model = self._models.find(name)
        except ValueError as error:
            raise OllamaError(400, "invalid model name") from error
        if model is None:
            raise OllamaError(404, f"model '{told}' not found")
        return model

    def admitted(self, asked: Chat | Generate) -> Stored:
        """The model of a call, if it can do what is asked. Raises OllamaError."""
        chats = isinstance(asked, Chat)
        if not asked.model:
            raise OllamaError(400, "model is required") if chats else OllamaError(404, "model '' not found")
        model = self._found(asked.model, told=asked.model)
        if model.config.get("remote_host"):
            raise OllamaError(401, "unauthorized")  # nobody is signed in here
        if asked.think and "thinking" not in model.capabilities:
            raise OllamaError(400, f'"{asked.model}" does not support thinking')
        if "completion" not in model.capabilities:
            raise OllamaError(400, f'"{asked.model}" does not support {"chat" if chats else "generate"}')
        if isinstance(asked, Chat) and asked.tools and "tools" not in model.capabilities:
            raise OllamaError(400, f"{model.full_name} does not support tools")
        if not model.layers("model"):
            raise OllamaError(500, "this server, which is no Ollama, runs GGUF files only")
        return model

    async def without_reading(self, asked: Chat | Generate) -> Response:
        """Load or unload a model, or render a prompt. Raises OllamaError."""
        model = self.admitted(asked)
        if not asked.render_only:
            unloads = asked.keep_alive is not None and kept_seconds(asked.keep_alive) == 0
            self._keep(asked, model)
            return JSONResponse(chunk(asked, "", "", done="unload" if unloads else "load"))
        options = self._answers.options(asked, model)
        prompt = await run_sync(self._answers.prompt, asked, model, options, limiter=self._threads)
        return JSONResponse(chunk(asked, "", "") | {"_debug_info": {"rendered_template": prompt}})

    async def reading(self, asked: Chat | Generate, fault: Fault | None, credential: str) -> Response:
        """One call of the model. Raises OllamaError."""
        error = None
        if fault is not None:
            error = error_of(fault, credential=credential, context_tokens=self._context_tokens)
        if error is not None and not (fault and fault.mid_stream and asked.stream):
            raise error
        model = self.admitted(asked)
        async with self._turn():
            await anyio.sleep(self.latency_seconds)
            script = tuple(self.tool_calls)
            answer = await run_sync(self._answers.answer, asked, model, fault, script, limiter=self._threads)
        self._keep(asked, model)
        if error is not None:
            return _streamed([*islice(answer.chunks(), CHUNKS_BEFORE_ERROR), error.body])
        if fault is not None and fault.kind in DAMAGING:
            lines = b"".join(map(_line, answer.chunks()))
            whole = Response(lines, media_type=NDJSON) if asked.stream else JSONResponse(answer.whole())
            return damaged(fault, whole)
        self.bill(input_tokens=answer.prompt_tokens, output_tokens=answer.written_tokens)
        return _streamed(answer.chunks()) if asked.stream else JSONResponse(answer.whole())

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._at_work.locked() and self._waiting >= self._queue:
            raise OllamaError(503, QUEUE_FULL)
        self._waiting += 1
        try:
            await self._at_work.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._at_work.release()

    def _keep(self, asked: Chat | Generate, model: Stored) -> None:
        expires = datetime.now(UTC) + timedelta(seconds=kept_seconds(asked.keep_alive))
        context_tokens = self._answers.options(asked, model).num_ctx
        self._loaded[model.name] = _Loaded(model, expires, context_tokens)

    async def replied(self, asked: Chat | Generate, fault: Fault | None, credential: str) -> Response:
        """What a call of the model is answered with, be it an error."""
        try:
            return await self.reading(asked, fault, credential)
        except OllamaError as error:
            return JSONResponse(error.body, error.status, error.headers)

    def read(self, body: bytes, shape: type[Chat] | type[Generate]) -> Chat | Generate:
        """A request, as this version reads it. Raises OllamaError."""
        return read(body, shape, unknown=self._unknown)


class _Call:
    """A chat or a generation; where the model reads, it is in flight until its last byte is sent."""

    def __init__(self, server: OllamaServer, shape: type[Chat] | type[Generate]) -> None:
        self._server, self._shape = server, shape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            asked = self._server.read(await request.body(), self._shape)
            given = asked.messages if isinstance(asked, Chat) else asked.prompt
            reads = bool(given) and not asked.render_only
            response = None if reads else await self._server.without_reading(asked)
        except OllamaError as error:
            response = JSONResponse(error.body, error.status)
        if response is not None:
            await response(scope, receive, send)
            return
        with self._server.call() as fault:
            credential = request.headers.get("authorization", "").removeprefix("Bearer ")
            response = await self._server.replied(asked, fault, credential)
            await response(scope, receive, send)


def _streamed(chunks: Iterable[dict[str, Any]]) -> Response:
    async def lines() -> AsyncIterator[bytes]:
        for one in chunks:
            yield _line(one)

    return StreamingResponse(lines(), media_type=NDJSON)


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _text(status: int, text: str) -> Any:
    async def answer(_: Request, __: Exception) -> Response:
        return PlainTextResponse(text, status)

    return answer
