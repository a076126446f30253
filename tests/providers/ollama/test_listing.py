"""What an Ollama holds, and how much of each model can be seen here; no model is loaded or asked."""

from __future__ import annotations

import asyncio
import shutil
import socket
from pathlib import Path

import pytest
from tests.servers.ollama import OllamaServer
from tests.servers.ollama_store import Store
from tests.servers.raw import RawServer

from whence.providers.errors import InputError, ProviderError
from whence.providers.listing import ListedModel, Listing
from whence.providers.ollama.listing import listing

SEEN = {
    "demo:latest": ("weights", ""),
    "demo:q8_0": ("weights", ""),
    "demo:q4_0": ("weights", ""),
    "hf.co/whence/demo-GGUF:Q8_0": ("weights", ""),
    "briefed:latest": ("weights", ""),
    "thinker:latest": ("weights", ""),
    "adapted:latest": ("logprobs", "it has an adapter (LoRA)"),
    "seeing:latest": ("logprobs", "it has a projector for images"),
    "tensors:latest": ("text", "only GGUF models are scored"),
    "embedder:latest": (None, "writes no text (it can: embedding)"),
    "tooled:latest": ("weights", ""),
    "gpt-oss:120b-cloud": (None, "Ollama's cloud, to which the record would be sent"),
}


@pytest.fixture(autouse=True)
def store(server: OllamaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(server.store))


def listed(**options: str) -> Listing:
    return asyncio.run(listing(**options))


def by_name(found: Listing) -> dict[str, ListedModel]:
    return {model.name.removeprefix("ollama:"): model for model in found.models}


def test_each_model_has_its_access_and_the_reason_why_it_is_not_more(server: OllamaServer) -> None:
    found = listed(host=server.url)
    assert found.where == f"Ollama 0.33.0 at {server.url}"
    models = by_name(found)
    assert set(models) == set(SEEN)
    for name, (access, why) in SEEN.items():
        assert models[name].access == access, name
        assert why in models[name].why
        assert bool(models[name].why) == bool(why), name
    assert server.calls == 0


def test_the_order_is_the_server_s(server: OllamaServer) -> None:
    assert list(by_name(listed(host=server.url))) == [model.name for model in server.models.models()]


def test_the_host_is_the_variable_s_where_none_is_given(
    server: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", server.url)
    monkeypatch.setenv("OLLAMA_API_KEY", "hunter2")
    assert listed() == listed(host=server.url, api_key="hunter2")
    assert {seen.headers["authorization"] for seen in server.seen} == {"Bearer hunter2"}


def test_without_the_store_each_model_is_asked_through_its_server(
    server: OllamaServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    models = by_name(listed(host=server.url))
    assert models["demo:latest"].access == "logprobs"
    assert f"the files of this model were not found in {tmp_path}" in models["demo:latest"].why


def test_an_old_ollama_has_two_reasons(server: OllamaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "version", "0.12.10")
    models = by_name(listed(host=server.url))
    assert models["demo:latest"].access == "weights"
    assert models["adapted:latest"].access == "text"
    for why in ("an adapter (LoRA)", "this Ollama is 0.12.10"):
        assert why in models["adapted:latest"].why


def test_a_damaged_model_hides_none_of_the_others(
    server: OllamaServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(server.store, tmp_path / "models")
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "models"))
    copy = Store(tmp_path / "models").find("demo:q4_0")
    assert copy is not None
    copy.layers("model")[0].write_bytes(b"GGUF")
    models = by_name(listed(host=server.url))
    assert set(models) == set(SEEN)
    assert (models["demo:q4_0"].access, models["demo:latest"].access) == ("logprobs", "weights")
    assert "it is not whole" in models["demo:q4_0"].why


def test_no_ollama_and_an_empty_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ProviderError, match="no Ollama answers"):
        listed(host=f"127.0.0.1:{port}")
    with RawServer() as raw:
        raw.body = '{"version": "0.33.0", "models": []}'
        assert listed(host=raw.url).models == []
        models = '[{}, {"model": "../../x"}, {"model": "demo"}]'
        raw.body = f'{{"version": "0.33.0", "model_info": {{}}, "models": {models}}}'
        assert [model.access for model in listed(host=raw.url).models] == [None, None, "logprobs"]
    with pytest.raises(InputError, match="in the clear"):
        listed(host="10.0.0.7")
