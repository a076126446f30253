"""The Anthropic API, and Claude on Vertex AI, as the SDK asks for them; the bundled model answers."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from itertools import count, islice
from typing import Any

import anyio
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.servers.answers import CONTEXT_TOKENS, writer
from tests.servers.anthropic_answers import Answers
from tests.servers.anthropic_errors import DAMAGING, GOOGLE_STATUS, ApiError, error_of, invalid
from tests.servers.anthropic_messages import encoded
from tests.servers.anthropic_models import MODELS
from tests.servers.anthropic_requests import Asked, Counted, Sampled, read, turns
from tests.servers.faults import Fault
from tests.servers.google_credentials import ACCESS_TOKEN, token
from tests.servers.hosting import IN_FLIGHT, Server, damaged, decoded

API_KEY = "sk-ant-local-0123456789abcdef"
FIRST_VERSION = "2023-06-01"
CURRENT_VERSION = "2026-10-21"
VERTEX_FIRST_VERSION = "vertex-2023-10-16"
VERSIONS = (FIRST_VERSION, CURRENT_VERSION)
VERTEX_VERSIONS = (VERTEX_FIRST_VERSION, CURRENT_VERSION)
EVENT_STREAM = "text/event-stream"
VERTEX = "/projects/{project}/locations/{location}/publishers/anthropic/models"
EVENTS_BEFORE_ERROR = 4  # message_start, content_block_start, ping, and the first words

Handler = Callable[[Request], Awaitable[Response]]


class AnthropicServer(Server):
    """Takes `API_KEY`, and on the paths of Vertex AI the `ACCESS_TOKEN`, which its own /token gives out.

    `temperature`: at which models write where a request does not say it; above 0 no two calls are alike.
    `context_tokens`: what every model can read, with its answer.
    """

    def __init__(
        self,
        *,
        latency_seconds: float = 0.0,
        temperature: float = 0.0,
        context_tokens: int = CONTEXT_TOKENS,
    ) -> None:
        self._answers = Answers(temperature=temperature, max_input_tokens=context_tokens)
        self._numbers = count()
        self._threads = anyio.CapacityLimiter(IN_FLIGHT)
        super().__init__(latency_seconds=latency_seconds)

    def forget(self) -> None:
        """Zero the counters, and empty the prompt cache."""
        super().forget()
        self._answers.cache.clear()

    def app(self) -> ASGIApp:
        """The routes of the API, and those of Vertex AI with and without its version."""
        message = _WhileSent(self)
        counted = self._plain(self._count)
        routes = [
            Route("/v1/messages", message, methods=["POST"]),
            Route("/v1/messages/count_tokens", counted, methods=["POST"]),
            Route("/v1/models", self._plain(self._models), methods=["GET"]),
            Route("/v1/models/{model}", self._plain(self._one_model), methods=["GET"]),
            Route("/token", token, methods=["POST"]),
        ]
        for prefix in (VERTEX, f"/v1{VERTEX}"):
            routes += [
                Route(f"{prefix}/count-tokens:rawPredict", counted, methods=["POST"]),
                Route(f"{prefix}/{{model}}:rawPredict", message, methods=["POST"]),
                Route(f"{prefix}/{{model}}:streamRawPredict", message, methods=["POST"]),
            ]
        return Starlette(routes=routes)

    async def replied(self, request: Request, handler: Handler) -> Response:
        """What the handler answers, or the error; either with an id."""
        request.state.id = f"req_{next(self._numbers):024d}"
        try:
            _authorize(request)
            response = await handler(request)
        except ApiError as error:
            google = _of_vertex(request) and error.status in GOOGLE_STATUS
            body = error.google_body() if google else error.body(request.state.id)
            response = JSONResponse(body, error.status, error.headers)
        response.headers["request-id"] = request.state.id
        return response

    def _plain(self, handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            return await self.replied(request, handler)

        return answer

    async def _models(self, request: Request) -> Response:
        data = [model.info(self._answers.max_input_tokens) for model in MODELS.values()]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]}
        return JSONResponse({"data": data, "has_more": False} | ends)

    async def _one_model(self, request: Request) -> Response:
        name = request.path_params["model"]
        if name not in MODELS:
            raise ApiError(404, "not_found_error", f"model: {name}")
        return JSONResponse(MODELS[name].info(self._answers.max_input_tokens))

    async def _count(self, request: Request) -> Response:
        body, _ = await _body(request)
        asked, _ = read(body, Counted)
        return JSONResponse({"input_tokens": await run_sync(writer().count, turns(asked))})

    async def message(self, request: Request, fault: Fault | None) -> Response:
        """One call of the model. Raises ApiError."""
        await anyio.sleep(self.latency_seconds)
        body, is_first_version = await _body(request)
        error = None
        if fault is not None:
            error = error_of(fault, key=_key(request), max_input_tokens=self._answers.max_input_tokens)
        if error is not None and not (fault and fault.mid_stream and body.get("stream")):
            raise error
        asked, model = read(body, Sampled if is_first_version else Asked)
        script = tuple(self.tool_calls)
        answer = await run_sync(self._answers.answer, asked, model, fault, script, limiter=self._threads)
        if error is not None:
            begun = islice(answer.events(), EVENTS_BEFORE_ERROR)
            return _streamed([*begun, error.body(request.state.id)])
        if fault is not None and fault.kind in DAMAGING:
            events = b"".join(map(encoded, answer.events()))
            whole = (
                Response(events, media_type=EVENT_STREAM) if asked.stream else JSONResponse(answer.message())
            )
            return damaged(fault, whole)
        self.bill(input_tokens=answer.input_tokens, output_tokens=answer.output_tokens)
        return _streamed(answer.events()) if asked.stream else JSONResponse(answer.message())


class _WhileSent:
    """A call of the model, which is in flight until its last byte is sent."""

    def __init__(self, server: AnthropicServer) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        with self._server.call() as fault:
            response = await self._server.replied(request, partial(self._server.message, fault=fault))
            await response(scope, receive, send)


def _streamed(events: Iterable[dict[str, Any]]) -> Response:
    async def encode() -> AsyncIterator[bytes]:
        for event in events:
            yield encoded(event)

    return StreamingResponse(encode(), media_type=EVENT_STREAM)


def _of_vertex(request: Request) -> bool:
    return "project" in request.path_params


def _key(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key if scheme == "Bearer" else request.headers.get("x-api-key", "")


def _authorize(request: Request) -> None:
    """Raise ApiError where the key is missing or not the right one."""
    if not _key(request):
        raise ApiError(401, "authentication_error", "An API key is required.")
    right = ACCESS_TOKEN if _of_vertex(request) else API_KEY
    if not hmac.compare_digest(_key(request).encode(), right.encode()):
        raise ApiError(401, "authentication_error", "invalid API key")
    if not _of_vertex(request):
        _require_version(request.headers.get("anthropic-version"), VERSIONS)


def _require_version(version: object, known: Sequence[str]) -> None:
    if version is None:
        raise invalid("anthropic-version: header is required")
    if version not in known:
        raise invalid(f"anthropic-version: {version!r} is not a valid version")


async def _body(request: Request) -> tuple[dict[str, Any], bool]:
    """The body, and whether it is of the first version of the API."""
    body = decoded(await request.body())
    if not isinstance(body, dict):
        raise invalid("The request body is not valid JSON")
    if not _of_vertex(request):
        return body, request.headers["anthropic-version"] == FIRST_VERSION
    version = body.pop("anthropic_version", None)
    _require_version(version, VERTEX_VERSIONS)
    if "model" in request.path_params:
        body["model"] = request.path_params["model"]
    return body, version == VERTEX_FIRST_VERSION
