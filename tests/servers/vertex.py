"""Gemini on Vertex AI over REST, as google-genai asks for it; payloads are held against Google's schema."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Any, TypeVar

import anyio
from anyio.to_thread import run_sync
from google.cloud import aiplatform_v1 as v1
from google.protobuf.json_format import MessageToDict, ParseDict  # type: ignore[import-untyped]
from google.rpc import code_pb2 as code  # type: ignore[import-untyped]
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp
from tests.servers import discovery, google_credentials
from tests.servers.answers import CONTEXT_TOKENS
from tests.servers.faults import Fault
from tests.servers.google_credentials import PROJECT
from tests.servers.hosting import Server, damaged
from tests.servers.vertex_answers import (
    LOCATION,
    PIECES_AT_ONCE,
    Gemini,
    billed,
    usage,
)
from tests.servers.vertex_errors import StatusError, error_of, require_token

CHECKED_PLACES = 3
DAMAGE = ("cut_connection", "malformed_json", "slow_body")
HTTP_STATUS = {
    code.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    code.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    code.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    code.NOT_FOUND: HTTPStatus.NOT_FOUND,
    code.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    code.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    code.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}

Asked = TypeVar("Asked", v1.GenerateContentRequest, v1.CountTokensRequest)


class VertexServer(Server):
    """Takes the bearer token `ACCESS_TOKEN`, which its `/token` gives to service accounts.

    A request that Google's schema does not know is answered with 400; leaving the context raises
    AssertionError where an answer was not of the schema.
    """

    def __init__(
        self,
        *,
        latency_seconds: float = 0.0,
        project: str = PROJECT,
        location: str = LOCATION,
        context_tokens: int = CONTEXT_TOKENS,
    ) -> None:
        super().__init__(latency_seconds=latency_seconds)
        self.gemini = Gemini(project=project, location=location, context_tokens=context_tokens)
        self._wrong: list[str] = []

    def app(self) -> ASGIApp:
        """Google's routes: a custom verb after the name of what it is asked of."""
        verbs = {
            "generateContent": self._generate,
            "streamGenerateContent": self._stream,
            "countTokens": self._count,
        }
        routes = [
            Route(f"/v1/{{name:path}}:{verb}", partial(self._told, method), methods=["POST"])
            for verb, method in verbs.items()
        ]
        return Starlette(routes=[Route("/token", google_credentials.token, methods=["POST"]), *routes])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        assert not self._wrong, f"answers that Google's schema does not know: {self._wrong}"

    async def _told(self, method: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
        try:
            return await method(request)
        except StatusError as error:
            # The wait stands in the status of some errors, and in the header of others: clients know both.
            inside = error.code == code.RESOURCE_EXHAUSTED
            after = None if inside else error.retry_after_seconds
            return JSONResponse(
                _error_body(error, with_retry=inside),
                status_code=HTTP_STATUS[error.code],
                headers={} if after is None else {"retry-after": f"{after:g}"},
            )

    async def _generate(self, request: Request) -> Response:
        with self.call() as fault:
            (answer,) = await self._answers(request, fault)
            return _arriving(fault, JSONResponse(self._json(answer)))

    async def _stream(self, request: Request) -> Response:
        """Server-sent events, each a part of the answer."""
        with self.call() as fault:
            if request.query_params.get("alt") != "sse":
                raise StatusError(code.INVALID_ARGUMENT, "This server streams with alt=sse only.")
            chunks = await self._answers(request, fault, pieces_at_once=PIECES_AT_ONCE)
            data = [self._json(chunk) for chunk in chunks]
            if fault and fault.mid_stream and (error := error_of(fault, request.headers["authorization"])):
                data[1:] = [_error_body(error, with_retry=True)]
            events = "".join(f"data: {json.dumps(chunk)}\r\n\r\n" for chunk in data)
            return _arriving(fault, Response(events, media_type="text/event-stream"))

    async def _answers(
        self, request: Request, fault: Fault | None, *, pieces_at_once: int | None = None
    ) -> list[v1.GenerateContentResponse]:
        asked = await self._asked(request, v1.GenerateContentRequest)
        asked.model = request.path_params["name"]
        if fault and not (fault.mid_stream and pieces_at_once):
            error = error_of(fault, request.headers["authorization"])
            if error:
                raise error
        await anyio.sleep(self.latency_seconds)
        script = tuple(self.tool_calls)
        answer = partial(self.gemini.answer, asked, fault, script=script, pieces_at_once=pieces_at_once)
        chunks = await run_sync(answer)
        if billed(fault):
            self.bill(**usage(chunks[-1]))
        return chunks

    async def _count(self, request: Request) -> Response:
        asked = await self._asked(request, v1.CountTokensRequest)
        asked.endpoint = request.path_params["name"]
        return JSONResponse(self._json(await run_sync(self.gemini.count, asked)))

    async def _asked(self, request: Request, kind: type[Asked]) -> Asked:
        """The request, of the caller who may ask. Raises StatusError."""
        require_token(request.headers.get("authorization"))
        try:
            payload = json.loads(await request.body())
        except ValueError as error:
            raise StatusError(code.INVALID_ARGUMENT, "Invalid JSON payload received.") from error
        wrong = discovery.problem(kind.__name__, payload, request=True)
        if wrong:
            raise StatusError(code.INVALID_ARGUMENT, f"Invalid JSON payload received. {wrong}")
        asked = kind()
        ParseDict(payload, kind.pb(asked), ignore_unknown_fields=True)
        return asked

    def _json(self, response: v1.GenerateContentResponse | v1.CountTokensResponse) -> dict[str, Any]:
        payload: dict[str, Any] = MessageToDict(type(response).pb(response))
        wrong = discovery.problem(type(response).__name__, _shortened(payload), request=False)
        if wrong:
            self._wrong.append(wrong)
        return payload


def _shortened(payload: dict[str, Any]) -> dict[str, Any]:
    """With the first places of the log-probabilities only: hundreds are alike, and slow to check."""
    candidates = []
    for candidate in payload.get("candidates", ()):
        told = candidate.get("logprobsResult")
        if told is not None:
            first = {
                name: places[:CHECKED_PLACES] for name, places in told.items() if isinstance(places, list)
            }
            candidate = candidate | {"logprobsResult": told | first}
        candidates.append(candidate)
    return payload | {"candidates": candidates} if candidates else payload


def _error_body(error: StatusError, *, with_retry: bool) -> dict[str, Any]:
    status = MessageToDict(error.status(with_retry=with_retry))
    return {"error": {**status, "code": HTTP_STATUS[error.code], "status": code.Code.Name(error.code)}}


def _arriving(fault: Fault | None, whole: Response) -> Response:
    return damaged(fault, whole) if fault is not None and fault.kind in DAMAGE else whole
