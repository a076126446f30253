"""What a request must pass before it is read: its Host header, its API key, the size of its body."""

from __future__ import annotations

import asyncio
import re

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whence.api.service.keys import find_key
from whence.api.service.problems import ProblemError, client_left
from whence.api.service.settings import ServerSettings

NO_OWNER = ""
PORT = re.compile(r":[0-9]*\Z")
"""At the end of a Host header; it may be empty (RFC 3986, 3.2.3)."""
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/docs", "/openapi.json", "/", "/page.js", "/viewer.js"})
"""What needs no key: whether the server is up, the documentation, and the page that asks for a key; neither
says anything of this server."""


class Guard:
    """Ends a request that may not go on with a problem; of others the body is read and the key known."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._settings = settings
        self._hosts = settings.hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, and pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            _check_host(headers, self._hosts)
            scope["state"]["owner"] = self._owner(headers, scope["path"])
            body = await self._body(receive)
        except ProblemError as problem:
            await problem.response(scope["state"]["id"])(scope, receive, send)
            return
        given = False

        async def again() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)

    def _owner(self, headers: Headers, path: str) -> str:
        """The hash of the key that was sent, where one is needed."""
        hashes = self._settings.api_keys
        if not hashes or path in OPEN_PATHS:
            return NO_OWNER
        scheme, _, key = headers.get("authorization", "").partition(" ")
        owner = find_key(key.strip(), hashes) if scheme.lower() == "bearer" else None
        if owner is None:
            raise ProblemError(
                401,
                "unauthorized",
                "An API key is needed.",
                "Send one of the server's keys: Authorization: Bearer KEY.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return owner

    async def _body(self, receive: Receive) -> bytes:
        """The whole body. Up to the double of the limit is read away, so that the client hears the answer."""
        limit = self._settings.body_limit_bytes
        body = bytearray()
        size, more = 0, True
        try:
            async with asyncio.timeout(self._settings.body_timeout_seconds):
                while more and size <= 2 * limit:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise client_left()
                    part = message.get("body", b"")
                    size += len(part)
                    body += part if size <= limit else b""
                    more = message.get("more_body", False)
        except TimeoutError as error:
            raise ProblemError(
                408,
                "request-timeout",
                "The request took too long to arrive.",
                f"Its body was not there after {self._settings.body_timeout_seconds:g} s.",
                headers={"Connection": "close"},
            ) from error
        if size > limit:
            raise ProblemError(
                413,
                "body-too-large",
                "The request is too large.",
                f"A body may have {limit} bytes.",
                headers={"Connection": "close"} if more else None,
                limit_bytes=limit,
            )
        return bytes(body)


def _check_host(headers: Headers, hosts: frozenset[str]) -> None:
    """A page of another site can let a browser ask us under a name of its own; not under ours."""
    if PORT.sub("", headers.get("host", "").lower()) not in hosts:
        raise ProblemError(
            421,
            "unknown-host",
            "This server does not answer to that name.",
            "The Host header names none of the hosts that are configured: see server.allowed_hosts.",
        )


class Cors(CORSMiddleware):
    """Starlette's, whose refusal of a preflight is a problem, too."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """What a browser hears when it asks whether it may ask."""
        response = super().preflight_response(request_headers)
        if response.status_code >= 400:
            raise ProblemError(
                400,
                "cross-origin",
                "This request may not come from another site.",
                "Its origin, method or headers are not allowed: see server.cors_origins.",
            )
        return response
