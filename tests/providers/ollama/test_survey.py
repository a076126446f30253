"""What can be seen of each kind of model, found out without making it write."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.providers.ollama.conftest import Make
from tests.servers.ollama import OllamaServer
from tests.servers.ollama_store import CLOUD, DEMO, EMBEDDING, THINKING, Stored

from whence import Explainer
from whence.demo.records import PROMPT
from whence.explain.plan import serves
from whence.providers.base import Attends, Capabilities, Provider, Scores
from whence.providers.errors import InputError, ProviderError, UnsupportedError
from whence.providers.ollama import Ollama
from whence.providers.ollama.survey import LOGPROBS_SINCE
from whence.providers.registry import resolve


def capabilities(provider: Ollama) -> Capabilities:
    return asyncio.run(provider.capabilities())


def test_the_registry_makes_the_adapter_by_its_name() -> None:
    provider = resolve("ollama:demo:q8_0")
    assert isinstance(provider, Ollama)
    assert (provider.name, provider.model) == ("ollama", "demo:q8_0")
    assert isinstance(provider, Provider)
    assert isinstance(provider, Attends)
    assert isinstance(provider, Scores)


def test_nothing_is_asked_before_something_is_wanted(ollama: Make, server: OllamaServer) -> None:
    ollama()
    assert not server.seen


def test_a_look_makes_the_model_read_nothing(ollama: Make, server: OllamaServer) -> None:
    for native in (True, False, None):
        capabilities(ollama(native=native))
    assert server.calls == 0
    asked = [seen for seen in server.seen if seen.path not in ("/api/version", "/api/tags", "/api/show")]
    assert all(seen.body["_debug_render_only"] for seen in asked)


def test_weights_that_are_here_are_seen_whole(ollama: Make) -> None:
    for native in (True, None):
        found = capabilities(ollama(native=native))
        assert (found.access, found.attends, found.scores, found.counts) == ("weights", True, True, True)
        assert (found.context_tokens, found.forces, found.refused) == (1024, False, {})
        assert found.prices is None


def test_a_model_that_is_only_asked_says_why_it_is_not_seen(ollama: Make) -> None:
    found = capabilities(ollama(native=False, max_in_flight=3, deadline_seconds=9.0))
    assert (found.access, found.attends, found.scores, found.forces) == ("logprobs", False, True, True)
    assert set(found.refused.values()) == {"native=False was given"}
    assert (found.max_in_flight, found.deadline_seconds, found.notes) == (3, 9.0, ())
    with pytest.raises(UnsupportedError, match="native=False was given"):
        Explainer(ollama(native=False)).explain(PROMPT, sources=["Latex."], method="attention")


@pytest.mark.parametrize("version", ["", "latest", "12", "0.12", "main-abc"])
def test_a_version_that_is_none_is_said(
    ollama: Make, server: OllamaServer, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(server, "version", version)
    with pytest.raises((InputError, ProviderError), match="which is no version; update it"):
        capabilities(ollama())


def test_the_version_that_is_needed_is_a_version() -> None:
    assert LOGPROBS_SINCE == (0, 12, 11)


def test_text_only_leaves_the_methods_that_compare_texts(ollama: Make) -> None:
    with OllamaServer(version="0.12.10") as old:
        found = capabilities(ollama(native=False, at=old))
        e = Explainer(ollama(native=False, at=old)).explain(
            PROMPT, sources=["Allergic to latex."], method="leave_one_out", max_tokens=40
        )
    assert "attention" not in serves(found)
    assert e.results[0].method.parameters["value"] == "similarity"
    assert any("tells log-probabilities from 0.12.11 on only" in caveat for caveat in e.results[0].caveats)


@pytest.mark.parametrize("native", [True, False, None])
def test_a_model_that_embeds_writes_nothing(ollama: Make, native: bool | None) -> None:
    with pytest.raises(UnsupportedError, match=r"embedder:latest writes no text .it can: embedding."):
        capabilities(ollama(EMBEDDING, native=native))


def test_a_model_of_the_cloud_is_refused_whatever_it_is_called(
    own_server: OllamaServer, ollama: Make
) -> None:
    far = own_server.models.find(CLOUD)
    assert far is not None
    own_server.models.add("near", far.config, {})
    with pytest.raises(InputError, match="Ollama's cloud, to which the record would be sent"):
        capabilities(ollama("near", at=own_server))
    assert own_server.calls == 0


def test_a_model_that_can_think_is_scored_and_read(ollama: Make) -> None:
    assert capabilities(ollama(THINKING, native=False)).access == "logprobs"
    assert capabilities(ollama(THINKING)).access == "weights"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_family": "gptoss"}, "this model always thinks before it answers"),
        ({"model_family": "gpt-oss"}, "this model always thinks before it answers"),
        ({"model_format": "safetensors"}, "its weights are safetensors, which Ollama runs otherwise"),
    ],
)
def test_a_model_whose_output_cannot_be_forced_compares_texts(
    ollama: Make, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], reason: str
) -> None:
    own = Stored.config.fget  # type: ignore[attr-defined]
    monkeypatch.setattr(Stored, "config", property(lambda stored: {**own(stored), **config}))
    found = capabilities(ollama(native=False))
    assert (found.access, found.scores) == ("text", False)
    assert reason in found.notes[0]


def test_names_mean_the_same_model_in_every_case(ollama: Make) -> None:
    for name in ("DEMO", "demo:LATEST", f"registry.ollama.ai/library/{DEMO}", "Library/Demo"):
        assert capabilities(ollama(name)).access == "weights"
