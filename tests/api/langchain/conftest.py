"""LangChain's own packages, asked through the wire servers; and models that answer at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any, TypeVar

import pytest
from google.oauth2.credentials import Credentials
from langchain_anthropic import ChatAnthropic, _client_utils
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_ollama import ChatOllama
from tests.servers.anthropic import API_KEY, AnthropicServer
from tests.servers.google_credentials import ACCESS_TOKEN, PROJECT
from tests.servers.hosting import Server
from tests.servers.ollama import OllamaServer
from tests.servers.vertex import VertexServer
from tests.servers.vertex_answers import LOCATION

from whence import Explainer, FakeProvider
from whence.api.langchain import ExplanationHandler, Record

Answer = TypeVar("Answer")
Make = Callable[..., Any]
ENVIRONMENT = (
    "OLLAMA_HOST",
    "OLLAMA_MODELS",
    "OLLAMA_API_KEY",
    "GOOGLE_API_KEY",
    "GOOGLE_GENAI_USE_VERTEXAI",
)
MODELS = {"anthropic": "claude-haiku-5-5", "ollama": "demo", "vertex": "gemini-2.5-flash"}
TOKENS = 80
PATIENCE_SECONDS = 60.0  # only reached by what hangs
SAID = "Take alpha daily. The scan shows gamma. Nothing else."
"""What a FakeProvider makes two sentences of."""
WROTE = "The dose is low. The scan was clear."


@pytest.fixture(autouse=True)
def nobody_s_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine's user has set up."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def running() -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        servers = {"anthropic": AnthropicServer(), "ollama": OllamaServer(), "vertex": VertexServer()}
        yield {name: stack.enter_context(server) for name, server in servers.items()}


@pytest.fixture
def servers(running: dict[str, Any]) -> dict[str, Any]:
    """One of each provider, by name; the bundled model answers."""
    for server in running.values():
        server.forget()
        server.latency_seconds = 0.0
    return running


@pytest.fixture
def chat(servers: dict[str, Server]) -> Iterator[Make]:
    """Make a chat model of a provider; its connections are closed at the end."""
    made: list[BaseChatModel] = []

    def make(kind: str, model: str = "", **options: Any) -> BaseChatModel:
        made.append(CHATS[kind](servers[kind], model or MODELS[kind], options))
        return made[-1]

    yield make
    for llm in made:
        client = getattr(llm, "client", None) or getattr(llm, "_client", None)
        client.close()  # type: ignore[union-attr]


def _anthropic(server: Server, model: str, options: Any) -> BaseChatModel:
    # Shared by all models of one address, and tied to the event loop of the first of them.
    _client_utils._get_default_async_httpx_client.cache_clear()
    _client_utils._get_default_httpx_client.cache_clear()
    given = {"api_key": API_KEY, "base_url": server.url, "max_tokens": TOKENS, "max_retries": 0}
    return ChatAnthropic(model=model, **given | options)


def _ollama(server: Server, model: str, options: Any) -> BaseChatModel:
    given: dict[str, Any] = {"base_url": server.url, "temperature": 0, "num_predict": TOKENS, "num_ctx": 1000}
    return ChatOllama(model=model, **given | options)


def _gemini(server: Server, model: str, options: Any) -> BaseChatModel:
    given: dict[str, Any] = {
        "project": PROJECT,
        "location": LOCATION,
        "credentials": Credentials(token=ACCESS_TOKEN),  # type: ignore[no-untyped-call]
        "base_url": server.url,
        "api_version": "v1",
        "temperature": 0,
        "max_output_tokens": TOKENS,
        "max_retries": 1,
    }
    return ChatGoogleGenerativeAI(model=model, **given | options)


CHATS: dict[str, Callable[[Server, str, Any], BaseChatModel]] = {
    "anthropic": _anthropic,
    "ollama": _ollama,
    "vertex": _gemini,
}


@pytest.fixture(scope="session")
def demo() -> Iterator[Explainer]:
    """The model that answers in all the servers, with its weights."""
    with Explainer("demo") as explainer:
        yield explainer


@pytest.fixture
def quick() -> FakeListChatModel:
    """Answers at once, always the same."""
    return FakeListChatModel(responses=[WROTE])


@pytest.fixture
def provider() -> FakeProvider:
    """Explains what `quick` answers."""
    return FakeProvider(access="logprobs")


@pytest.fixture
def handler(provider: FakeProvider) -> Iterator[Make]:
    """Make a handler for whatever model, which is closed at the end."""
    made: list[ExplanationHandler] = []

    def make(explainers: Any = None, **options: Any) -> ExplanationHandler:
        explainers = (
            {"*": Explainer(provider)} if explainers is None and "models" not in options else explainers
        )
        made.append(ExplanationHandler(explainers, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def to(handler: ExplanationHandler, **config: Any) -> Any:
    """How a chain is told of it."""
    return {"callbacks": [handler], **config}


def explained(handler: ExplanationHandler) -> tuple[Record, ...]:
    """Its records, once all of them are explained."""
    assert handler.flush(PATIENCE_SECONDS)
    assert handler.errors == []
    assert [(record.status, record.reason) for record in handler.records] == [("explained", "")] * len(
        handler.records
    )
    assert handler.counts.explained == handler.counts.answered
    assert len(handler._traces) == 0
    return handler.records


def in_a_loop(llm: BaseChatModel, work: Callable[[], Awaitable[Answer]]) -> Answer:
    """What comes of it in an event loop of its own. LangChain's models leave their connections open."""

    async def run() -> Answer:
        try:
            return await work()
        finally:
            if isinstance(llm, ChatAnthropic | ChatOllama):
                await llm._async_client.close()
            elif isinstance(llm, ChatGoogleGenerativeAI):
                await llm.client.aio.aclose()  # type: ignore[union-attr]

    return asyncio.run(run())
