"""Claude on Vertex AI: the same questions, with Google's credentials and paths."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from google.oauth2.service_account import Credentials
from tests.servers.anthropic import AnthropicServer
from tests.servers.google_credentials import PROJECT, service_account

from whence.providers.claude import Claude
from whence.providers.errors import AuthenticationError, ProviderError, UnavailableError, UnknownModelError
from whence.providers.observations import Generation
from whence.providers.prompt import Prompt

Make = Callable[..., Claude]
MAX_TOKENS = 16


def answer(claude: Claude, prompt: Prompt) -> Generation:
    return asyncio.run(claude.generate(prompt, max_tokens=MAX_TOKENS, seed=0))


@pytest.fixture
def on_vertex(
    server: AnthropicServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Claude]:
    account = service_account(tmp_path / "account.json", f"{server.url}/token")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    monkeypatch.setenv("CLOUD_ML_REGION", "europe-west1")

    def make(model: str = "claude-sonnet-5-5", **options: object) -> Claude:
        return Claude(model, base_url=f"{server.url}/v1", project=PROJECT, **options)  # type: ignore[arg-type]

    return make


def test_on_vertex_ai_a_service_account_asks_for_the_same_answer(
    on_vertex: Make, claude: Make, server: AnthropicServer, prompt: Prompt
) -> None:
    direct = answer(claude(), prompt)

    async def ask() -> tuple[Generation, int]:
        provider = on_vertex()
        capabilities = await provider.capabilities()
        assert (capabilities.context_tokens, capabilities.cites) == (None, True)
        return (
            await provider.generate(prompt, max_tokens=MAX_TOKENS, seed=0),
            await provider.count_tokens(prompt),
        )

    found, counted = asyncio.run(ask())
    assert (found, counted) == (direct, direct.prompt_tokens)
    models = f"/v1/projects/{PROJECT}/locations/europe-west1/publishers/anthropic/models"
    paths = [asked.path for asked in server.seen[1:] if asked.path != "/token"]
    assert paths == [f"{models}/claude-sonnet-5-5:streamRawPredict", f"{models}/count-tokens:rawPredict"]


def test_on_vertex_ai_a_temperature_goes_with_the_older_version(
    on_vertex: Make, server: AnthropicServer, prompt: Prompt
) -> None:
    answer(on_vertex("claude-sonnet-4-6", temperature=0.0), prompt)
    body = server.seen[-1].body
    assert (body["temperature"], body["anthropic_version"]) == (0.0, "vertex-2023-10-16")


def test_on_vertex_ai_a_model_that_is_not_offered_is_unknown(on_vertex: Make, prompt: Prompt) -> None:
    with pytest.raises(UnknownModelError, match="on Vertex AI those offered to this project and location"):
        answer(on_vertex("claude-9"), prompt)


@pytest.mark.parametrize(
    ("token_url", "expected", "cause"),
    [
        ("{server}/v1/models", AuthenticationError, "RefreshError"),  # gives no token
        ("http://127.0.0.1:9/token", UnavailableError, "TransportError"),
    ],
)
def test_on_vertex_ai_google_s_own_refusals_are_told_apart(
    server: AnthropicServer,
    prompt: Prompt,
    tmp_path: Path,
    token_url: str,
    expected: type[ProviderError],
    cause: str,
) -> None:
    account = service_account(tmp_path / "other.json", token_url.format(server=server.url))
    credentials = Credentials.from_service_account_file(  # type: ignore[no-untyped-call]
        account, scopes=["https://www.googleapis.com/auth/cloud-platform"]
    )
    provider = Claude("claude-sonnet-5-5", project=PROJECT, location="global", credentials=credentials)
    with pytest.raises(expected) as caught:
        answer(provider, prompt)
    assert type(caught.value) is expected
    assert type(caught.value.__cause__).__name__ == cause
