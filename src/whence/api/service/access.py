"""The outermost layer: gives each request an id, writes its line, counts it, and answers what went wrong."""

from __future__ import annotations

import time
import uuid

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whence.api.service.logs import describe, log
from whence.api.service.metrics import Metrics
from whence.api.service.problems import ProblemError, unexpected

UNMATCHED = "unmatched"
METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})
OTHER_METHOD = "other"
"""HTTP takes any word for a method: no client may write its own into the log, or make a label of it."""


class Access:
    """One line for each request: its method, route template, status and time; nothing that was sent."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, whatever happens."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        request_id = str(uuid.uuid4())
        scope.setdefault("state", {})["id"] = request_id
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        fields: dict[str, object] = {}
        try:
            await self._app(scope, receive, watched)
        except Exception as error:  # noqa: BLE001 - the last who can answer
            problem = error if isinstance(error, ProblemError) else unexpected()
            if not isinstance(error, ProblemError):
                fields = describe(error)
            if status == 0:
                await problem.response(request_id)(scope, receive, watched)
        finally:
            seconds = time.monotonic() - began
            route = getattr(scope.get("route"), "path", UNMATCHED)
            method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
            method = method if route != UNMATCHED else UNMATCHED
            self._metrics.requests.labels(method, route, str(status)).inc()
            self._metrics.request_seconds.labels(route).observe(seconds)
            fields = {
                "request": request_id,
                "method": method,
                "route": route,
                "status": status,
                "milliseconds": round(seconds * 1000, 1),
            } | fields
            if "exception" in fields:
                log.error("request failed", extra={"fields": fields})
            else:
                log.info("request", extra={"fields": fields})
