"""Each adapter with the server that it asks, which is started once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from tests.contract.adapters import ADAPTERS, Adapter
from tests.servers.counting import Counted

from whence import Explainer, Explanation, FakeProvider, Source
from whence.providers.base import Provider

SERVED = [adapter for adapter in ADAPTERS if adapter.serve is not None]


@dataclass(frozen=True)
class Subject:
    """An adapter, and its server where it has one."""

    adapter: Adapter
    server: Counted | None

    def provider(self, **options: Any) -> Provider:
        """A new provider."""
        return self.adapter.make(self.server, **options)

    def explain(self, provider: Provider | None = None, **arguments: Any) -> Explanation:
        """The adapter's own question, by the method that asks least, unless told otherwise."""
        given = {"sources": [Source(text=self.adapter.source, name="note")], "method": "leave_one_out"}
        return Explainer(provider or self.provider()).explain(
            arguments.pop("prompt", self.adapter.prompt), **{**given, "max_tokens": 80, **arguments}
        )

    def counted(self, provider: Provider) -> tuple[int, int | None, int | None]:
        """Calls, and tokens read and written, as the other side counted them; None where it counts none."""
        if self.server is not None:
            return self.server.calls, self.server.input_tokens, self.server.output_tokens
        assert isinstance(provider, FakeProvider)
        return provider.calls, None, None


@pytest.fixture(scope="session")
def started() -> Iterator[dict[Any, Counted]]:
    """Servers by what makes them; adapters of one kind share theirs."""
    servers: dict[Any, Counted] = {}
    with ExitStack() as stack:
        for adapter in SERVED:
            if adapter.serve not in servers and not adapter.absent:
                assert adapter.serve is not None
                servers[adapter.serve] = stack.enter_context(adapter.serve())
        yield servers


@pytest.fixture(autouse=True)
def nobody_s_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine's user has set up."""
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "CLOUD_ML_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("OLLAMA_HOST", "OLLAMA_MODELS", "OLLAMA_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)


def prepared(request: pytest.FixtureRequest, started: dict[Any, Counted]) -> Subject:
    """The subject of a test, or a skip with the declared reason."""
    adapter: Adapter = request.param
    if adapter.absent:
        pytest.skip(adapter.absent)
    one = request.node.name.replace(f"[{adapter.name}-", "[").replace(f"[{adapter.name}]", "")
    for name in (getattr(request.node, "originalname", request.node.name), one):
        if name in adapter.excused:
            pytest.skip(adapter.excused[name])
    server = started.get(adapter.serve)
    if server is not None:
        server.forget()
        server.latency_seconds = 0.0
    return Subject(adapter, server)


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.name)
def subject(request: pytest.FixtureRequest, started: dict[Any, Counted]) -> Subject:
    return prepared(request, started)


@pytest.fixture(params=SERVED, ids=lambda adapter: adapter.name)
def served(request: pytest.FixtureRequest, started: dict[Any, Counted]) -> tuple[Subject, Counted]:
    """An adapter that asks over a wire, and what answers there."""
    own = prepared(request, started)
    assert own.server is not None
    return own, own.server
