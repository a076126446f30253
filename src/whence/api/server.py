"""The HTTP face: puts the service together, and serves it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import h11
import uvicorn
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from uvicorn.protocols.http.h11_impl import H11Protocol

from whence.api.service import about, explanations, openapi, page, plans, problems
from whence.api.service.access import Access
from whence.api.service.bodies import FIELDS
from whence.api.service.guard import Cors, Guard
from whence.api.service.logs import configure, describe, log
from whence.api.service.models import Model
from whence.api.service.problems import ProblemError
from whence.api.service.settings import Settings
from whence.api.service.state import Service
from whence.version import __version__

SILENT: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""FastAPI would hand exceptions and their messages to whatever OpenTelemetry exporter the process has."""
HEADERS_OF_THE_API = ("Authorization", "Content-Type", "Accept")
EXPOSED_HEADERS = ("Content-Location", "Retry-After", "X-Request-ID")


def create_app(settings: Settings) -> FastAPI:
    """The ASGI application. Its models are known at once and loaded when it starts, or on first use.

    Raises UnknownProviderError, MissingExtraError, InputError for models that cannot be had.
    """
    service = Service(settings)
    app = FastAPI(
        title="Whence",
        description="What a language model read and used when it wrote something.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=SILENT,
        lifespan=lambda _: _preloading(service),
    )
    problems.install(app, FIELDS)
    app.include_router(explanations.routes(service))
    app.include_router(plans.routes(service))
    app.include_router(about.routes(service))
    app.include_router(page.routes())
    app.openapi = partial(openapi.document, app, keys=bool(settings.server.api_keys))  # type: ignore[method-assign]
    # The last one added is the first to see a request.
    app.add_middleware(Guard, settings=settings.server)
    if settings.server.cors_origins:
        app.add_middleware(
            Cors,
            allow_origins=settings.server.cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=HEADERS_OF_THE_API,
            expose_headers=EXPOSED_HEADERS,
        )
    app.add_middleware(Access, metrics=service.metrics)
    return app


@asynccontextmanager
async def _preloading(service: Service) -> AsyncIterator[None]:
    """Load in the background, so that the server says meanwhile that it is not ready yet."""

    async def load(model: Model) -> None:
        try:
            await model.load()
        except Exception as error:  # noqa: BLE001 - nobody else hears of it; /readyz says that it failed
            if not isinstance(error, ProblemError):  # the log has those
                log.error("the model %s cannot be loaded", model.name, extra={"fields": describe(error)})

    tasks = [asyncio.create_task(load(model)) for model in service.models.values() if model.preload]
    yield
    for task in tasks:
        task.cancel()


class Protocol(H11Protocol):
    """uvicorn's, which answers what is no HTTP at all with a problem, too."""

    def send_400_response(self, msg: str) -> None:
        """End a connection whose request cannot be understood."""
        problem = ProblemError(400, "bad-request", "This is no HTTP.", "The request cannot be understood.")
        body = json.dumps(problem.document(None)).encode()
        headers = [("content-type", problems.MEDIA_TYPE), ("connection", "close")]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def serve(settings: Settings) -> None:
    """Serve until the process is told to end. Raises as `create_app` does."""
    configure(settings.server.log_level)
    config = uvicorn.Config(
        create_app(settings),
        host=settings.server.host,
        port=settings.server.port,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.server.shutdown_seconds,
    )
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run()
