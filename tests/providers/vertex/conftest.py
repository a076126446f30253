"""Servers that speak Vertex AI's protocols, and Gemini asked through both real SDKs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from google.oauth2.credentials import Credentials
from tests.servers.google_credentials import ACCESS_TOKEN, PROJECT
from tests.servers.hosting import Server
from tests.servers.vertex import VertexServer
from tests.servers.vertex_answers import LOCATION
from tests.servers.vertex_grpc import VertexGrpcServer

from whence.demo.records import PROMPT, generate
from whence.providers.prompt import Prompt, Source, build_prompt
from whence.providers.vertex import Vertex

Wire = Literal["rest", "grpc"]
FLASH = "gemini-2.5-flash"
ENVIRONMENT = ("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION", "GOOGLE_APPLICATION_CREDENTIALS")


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[Wire, VertexServer | VertexGrpcServer]]:
    with VertexServer() as rest, VertexGrpcServer() as grpc:
        yield {"rest": rest, "grpc": grpc}


@pytest.fixture(params=["rest", "grpc"])
def wire(request: pytest.FixtureRequest) -> Wire:
    chosen: Wire = request.param
    return chosen


@pytest.fixture
def server(
    servers: dict[Wire, VertexServer | VertexGrpcServer], wire: Wire
) -> VertexServer | VertexGrpcServer:
    server = servers[wire]
    server.forget()
    server.latency_seconds = 0.0
    server.gemini.refuses = "answer"
    return server


def endpoint_of(server: Server | VertexGrpcServer) -> str:
    return f"http://{server.address}" if isinstance(server, VertexGrpcServer) else server.url


@pytest.fixture
def vertex(server: VertexServer | VertexGrpcServer, wire: Wire) -> Callable[..., Vertex]:
    """Make an adapter for that server, with other options where they are given."""

    def make(model: str = FLASH, **options: Any) -> Vertex:
        return Vertex(
            model,
            **{
                "project": PROJECT,
                "location": LOCATION,
                "credentials": Credentials(token=ACCESS_TOKEN),  # type: ignore[no-untyped-call]
                "transport": wire,
                "endpoint": endpoint_of(server),
                **options,
            },
        )

    return make


@pytest.fixture(autouse=True)
def without_google(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine's user has set up."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@pytest.fixture(scope="session")
def prompt() -> Prompt:
    return build_prompt(PROMPT, sources=[Source(text=generate(1, sentences=10).text, name="record")])
