"""A server that speaks Anthropic's protocol, and Claude asked through the real SDK."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.servers.anthropic import API_KEY, AnthropicServer

from whence.demo.records import PROMPT, generate
from whence.providers.claude import Claude
from whence.providers.prompt import Prompt, Source, build_prompt

MODEL = "claude-sonnet-5-5"


@pytest.fixture(scope="session")
def running() -> Iterator[AnthropicServer]:
    with AnthropicServer() as server:
        yield server


@pytest.fixture
def server(running: AnthropicServer) -> AnthropicServer:
    running.forget()
    running.latency_seconds = 0.0
    return running


@pytest.fixture
def claude(server: AnthropicServer) -> Callable[..., Claude]:
    """Make an adapter for that server, with other options where they are given."""

    def make(model: str = MODEL, **options: Any) -> Claude:
        return Claude(model, **{"api_key": API_KEY, "base_url": server.url, **options})

    return make


@pytest.fixture(autouse=True)
def without_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever this machine's user has set up."""
    for name in [name for name in os.environ if name.startswith("ANTHROPIC_")]:
        monkeypatch.delenv(name)
    for name in ("CLOUD_ML_REGION", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(scope="session")
def prompt() -> Prompt:
    return build_prompt(PROMPT, sources=[Source(text=generate(1, sentences=10).text, name="record")])
