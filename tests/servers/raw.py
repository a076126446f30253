"""A server that answers everything alike, with whatever it was told to."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp
from tests.servers.hosting import Server


class RawServer(Server):
    """Answers each request with `body`, as `media_type`."""

    body = ""
    media_type = "application/json"

    def app(self) -> ASGIApp:
        """One route for all paths."""
        return Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST"])])

    async def _answer(self, request: Request) -> Response:
        return Response(self.body, media_type=self.media_type)
