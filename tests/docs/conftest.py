"""A user's machine, as the pages presume it, except that keys and names lead to the wire servers."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

import pytest
from tests.servers.anthropic import API_KEY, AnthropicServer
from tests.servers.google_credentials import service_account
from tests.servers.hosting import Server
from tests.servers.ollama import OllamaServer
from tests.servers.vertex import VertexServer

PROJECT, LOCATION = "your-project", "europe-west4"
"""As the pages write them."""


@pytest.fixture(scope="session")
def anthropic() -> Iterator[Server]:
    with AnthropicServer() as server:
        yield server


@pytest.fixture(scope="session")
def google() -> Iterator[Server]:
    with VertexServer(project=PROJECT, location=LOCATION) as server:
        yield server


@pytest.fixture(scope="session")
def ollama() -> Iterator[OllamaServer]:
    """Holds the bundled model as `llama3.2`, too, which the page asks."""
    with OllamaServer() as server:
        library = server.store / "manifests" / "registry.ollama.ai" / "library"
        (library / "llama3.2").symlink_to(library / "demo", target_is_directory=True)
        yield server


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory, google: Server) -> Path:
    """The key file of a service account, to which the server gives a token."""
    path = tmp_path_factory.mktemp("account") / "account.json"
    return service_account(path, f"{google.url}/token", project=PROJECT)


@pytest.fixture
def machine(
    anthropic: Server,
    google: Server,
    ollama: OllamaServer,
    account: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Server, ...]]:
    """The servers, counting from zero, and a directory to work in; `my-model` there is the bundled one."""
    for name in (
        "ANTHROPIC_AUTH_TOKEN",
        "CLOUD_ML_REGION",
        "GOOGLE_CLOUD_PROJECT",
        "GOOGLE_CLOUD_LOCATION",
        "OLLAMA_API_KEY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", API_KEY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", anthropic.url)
    monkeypatch.setenv("ANTHROPIC_VERTEX_BASE_URL", f"{anthropic.url}/v1")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", google.url)
    monkeypatch.setenv("OLLAMA_HOST", ollama.url)
    monkeypatch.setenv("OLLAMA_MODELS", str(ollama.store))
    monkeypatch.chdir(tmp_path)
    servers = (anthropic, google, ollama)
    for server in servers:
        server.forget()
    with as_file(files("whence.demo") / "model") as model:
        (tmp_path / "my-model").symlink_to(model, target_is_directory=True)
        yield servers
