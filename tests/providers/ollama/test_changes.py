"""A model that is pulled anew, and what a server or a store may say that Ollama would not."""

from __future__ import annotations

import asyncio
import os
import traceback
from pathlib import Path

import pytest
from tests.providers.ollama.asking import answer, score
from tests.providers.ollama.conftest import Make
from tests.providers.ollama.storing import found, small
from tests.servers.ollama import OllamaServer
from tests.servers.raw import RawServer

from whence.providers.errors import InputError, ProviderError, UnavailableError, WhenceError
from whence.providers.observations import AttentionQuery
from whence.providers.ollama import Ollama
from whence.providers.ollama.store import roots
from whence.providers.prompt import Prompt

KEY = "sk-very-secret-0123456789"
OUTPUT = "Allergic to latex."


def pull_anew(server: OllamaServer, quantization: str = "q4_0") -> None:
    """The tag `demo` has other weights from now on."""
    other = server.models.find(f"demo:{quantization}")
    assert other is not None
    server.models.add("demo", other.config, {"model": other.layers("model")[0].read_bytes()})


@pytest.mark.parametrize("native", [True, False])
def test_a_model_that_is_pulled_anew_is_noticed(
    ollama: Make, own_server: OllamaServer, prompt: Prompt, native: bool
) -> None:
    provider = ollama(at=own_server, native=native)
    first = asyncio.run(provider.capabilities())
    answer(provider, prompt)
    pull_anew(own_server)
    with pytest.raises(ProviderError, match="was pulled or made anew while it was asked"):
        score(provider, prompt, OUTPUT)
    again = asyncio.run(provider.capabilities())
    assert (first.revision != again.revision) == native
    assert score(provider, prompt, OUTPUT).spans
    pull_anew(own_server, "q8_0")
    last = asyncio.run(provider.capabilities())
    if native:
        assert last.revision not in (first.revision, again.revision)
        assert any("Q8_0" in note for note in last.notes)
        rows = asyncio.run(provider.attend(prompt, OUTPUT, AttentionQuery()))
        assert rows.rows.shape[0] > 0


@pytest.mark.parametrize(
    "body", ["[]", "null", '"x"', '{"models": 1}', "[" * 5000, '{"models": [{"model": 1}]}', '{"mod', ""]
)
def test_a_list_that_is_none_is_an_error_of_ours(body: str) -> None:
    with RawServer() as server:
        server.body = '{"version": "0.33.0"}'
        provider = Ollama("demo", host=server.url, api_key=KEY)

        async def ask() -> None:
            await provider._wire.version()
            server.body = body
            await provider._wire.held()

        with pytest.raises(UnavailableError, match="an answer that Ollama would not give"):
            asyncio.run(ask())


@pytest.mark.parametrize(
    "body", [f'{{"error": "no {KEY}"}}', f"<p>{KEY} Jane Doe</p>", f'{{"models": "{KEY}"}}']
)
def test_no_answer_s_key_or_page_is_repeated(body: str) -> None:
    with RawServer() as server:
        server.body = body
        with pytest.raises(WhenceError) as caught:
            asyncio.run(Ollama("demo", host=server.url, api_key=KEY).capabilities())
        shown = "".join(traceback.format_exception(caught.value))
        assert KEY not in shown
        assert "Jane Doe" not in shown


def test_a_user_without_a_home_has_no_usual_store(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    assert roots(None) == []
    with pytest.raises(InputError, match="write the whole path"):
        roots("~/models")


@pytest.mark.skipif(os.name != "posix", reason="names differ by their case on these systems only")
def test_a_name_in_its_own_case_is_looked_at_first(tmp_path: Path) -> None:
    store = small(tmp_path)
    (manifest,) = tmp_path.glob("manifests/*/*/tiny")
    (manifest.parent / "TINY").symlink_to("/")
    assert found(store).path.is_file()
