"""An Ollama on this machine with its store on disk, and the adapter that asks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.servers.ollama import OllamaServer

from whence import Explainer
from whence.demo.records import PROMPT, generate
from whence.providers.ollama import Ollama
from whence.providers.prompt import Prompt, Source, build_prompt

Make = Callable[..., Ollama]
ODD = {
    "narrow": {"params": b'{"num_ctx": 200}'},
    "terse": {"params": b'{"stop": ["latex", "\\"", "."], "repeat_penalty": 1.9, "temperature": 1.5}'},
    "drafting": {"draft": b"draft"},
    "steered": {"control-vector": b"x"},
}
ENVIRONMENT = ("OLLAMA_HOST", "OLLAMA_MODELS", "OLLAMA_API_KEY")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def nobody_s_ollama(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine's user has set up."""
    for name in (*ENVIRONMENT, *PROXIES, *map(str.lower, PROXIES)):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def running() -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        yield server


@pytest.fixture
def server(running: OllamaServer) -> OllamaServer:
    """The one that all tests share: its store stays as it is."""
    running.forget()
    running.latency_seconds = 0.0
    return running


@pytest.fixture
def own_server() -> Iterator[OllamaServer]:
    """One whose store a test may change."""
    with OllamaServer() as server:
        yield server


@pytest.fixture(scope="session")
def odd_server() -> Iterator[OllamaServer]:
    """The bundled model under other names, with what a Modelfile or a newer Ollama may add to it."""
    with OllamaServer() as server:
        base = server.models.find("demo")
        assert base is not None
        content = base.layers("model")[0].read_bytes()
        for name, layers in ODD.items():
            server.models.add(name, base.config, {"model": content, **layers})
        yield server


@pytest.fixture(scope="session")
def long_server() -> Iterator[OllamaServer]:
    """One whose models say that they can read more than is usual."""
    with OllamaServer(context_tokens=131072) as server:
        yield server


@pytest.fixture
def ollama(server: OllamaServer) -> Make:
    """Make an adapter for the shared server; `at` for another, and other options where they are given."""

    def make(model: str = "demo", *, at: OllamaServer = server, **options: Any) -> Ollama:
        store = {} if options.get("native") is False else {"models_dir": at.store}
        return Ollama(model, **{"host": at.url, **store, **options})

    return make


@pytest.fixture(scope="session")
def demo() -> Iterator[Explainer]:
    """The same model through the Hugging Face provider."""
    with Explainer("demo") as explainer:
        yield explainer


@pytest.fixture(scope="session")
def prompt() -> Prompt:
    return build_prompt(PROMPT, sources=[Source(text=generate(1, sentences=10).text, name="record")])
