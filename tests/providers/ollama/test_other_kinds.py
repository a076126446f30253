"""Models whose weights are not loaded, each with its reason; the way through the server remains."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.providers.ollama.conftest import Make
from tests.providers.ollama.storing import GGUF, OTHER, WEIGHTS, found, small, weights
from tests.servers.ollama import OllamaServer
from tests.servers.ollama_store import ADAPTED, SAFETENSORS, SEEING, Store

from whence import Explainer
from whence.demo.records import PROMPT, generate
from whence.providers.errors import ModelLoadError, UnsupportedError

RECORD = generate(1, sentences=10).text


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return small(tmp_path / "models")


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ({"model": WEIGHTS, "adapter": b"lora"}, "an adapter .LoRA., which is not applied here"),
        ({"model": WEIGHTS, "projector": b"clip"}, "a projector for images"),
        ({"model": WEIGHTS, "draft": b"draft"}, "a second model that drafts"),
        ({"tensor": [b"one", b"two"]}, "safetensors"),
        ({"model": WEIGHTS, "control-vector": b"x"}, "a kind that is not known here: 'control-vector'"),
        ({"model": [WEIGHTS, OTHER]}, "not one GGUF file"),
        ({"template": b"x"}, "not one GGUF file"),
    ],
    ids=["adapter", "projector", "draft", "safetensors", "unknown", "two", "none"],
)
def test_each_kind_that_is_not_read_is_refused_by_name(
    store: Store, layers: dict[str, Any], reason: str
) -> None:
    store.add("odd", GGUF, layers)
    with pytest.raises(UnsupportedError, match=reason):
        found(store, "odd")


def test_a_model_of_the_cloud_and_one_of_another_format_are_refused(store: Store) -> None:
    store.add("far", {**GGUF, "remote_host": "https://ollama.com:443"}, {"model": WEIGHTS})
    store.add("other", {"model_format": "mlx"}, {"model": WEIGHTS})
    with pytest.raises(UnsupportedError, match="runs in Ollama's cloud"):
        found(store, "far")
    with pytest.raises(UnsupportedError, match="not one GGUF file"):
        found(store, "other")


# The same through the adapter: native attention says why not, and the server's way remains.


def test_the_reason_stands_in_what_auto_passed_over_and_the_server_is_asked(ollama: Make) -> None:
    e = Explainer(ollama(ADAPTED)).explain(PROMPT, sources=["Allergic to latex."], output="Latex.")
    (result, *_) = e.results
    assert result.method.access == "logprobs"
    passed_over = {fallback.method: fallback.reason for fallback in result.method.fallbacks}
    assert "an adapter (LoRA), which is not applied here" in passed_over["attention"]


def test_the_reason_is_raised_where_nothing_but_the_weights_will_do(
    odd_server: OllamaServer, ollama: Make
) -> None:
    reasons = {
        ADAPTED: "an adapter (LoRA)",
        SEEING: "a projector for images",
        SAFETENSORS: "its weights are safetensors, one file for each tensor, and not GGUF",
        "drafting": "a second model that drafts",
        "steered": "a kind that is not known here: 'control-vector'",
    }
    for model, reason in reasons.items():
        assert reason in anyio.run(ollama(model, at=odd_server).capabilities).refused["mean"]
        with pytest.raises(UnsupportedError) as caught:
            Explainer(ollama(model, at=odd_server, native=True)).explain(PROMPT, sources=[RECORD])
        assert reason in str(caught.value)


def test_of_a_model_of_safetensors_only_texts_are_compared(ollama: Make) -> None:
    capabilities = anyio.run(ollama(SAFETENSORS).capabilities)
    assert (capabilities.access, capabilities.scores) == ("text", False)
    assert any("its weights are safetensors" in note for note in capabilities.notes)


@pytest.fixture
def copy(server: OllamaServer, tmp_path: Path) -> Store:
    """The store of the server, in another folder."""
    shutil.copytree(server.store, tmp_path / "models")
    return Store(tmp_path / "models")


def damage(kind: str, store: Store) -> None:
    path = weights(store, "demo")
    if kind == "forged":
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    elif kind == "cut":
        os.truncate(path, path.stat().st_size // 2)
    elif kind == "gone":
        path.unlink()
    elif kind == "link":
        outside = store.root.with_name("outside")
        path.rename(outside)
        path.symlink_to(outside)
    elif kind == "garbage":
        path.write_bytes(b"\x00" * path.stat().st_size)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("forged", "not the file that its name says"),
        ("cut", "it is not whole"),
        ("gone", "cannot be read"),
        ("link", "a link out of Ollama's store"),
        ("garbage", "GGUF"),
    ],
)
def test_a_damaged_file_is_never_explained_with(copy: Store, ollama: Make, kind: str, says: str) -> None:
    damage(kind, copy)
    explainer = Explainer(ollama(native=True, models_dir=copy.root))
    with pytest.raises(ModelLoadError, match=says):
        explainer.explain(PROMPT, sources=[RECORD], output="Allergic to latex.", method="attention")
    if kind == "forged":  # the server runs that file, too
        with pytest.raises(ModelLoadError, match=says):
            anyio.run(ollama(models_dir=copy.root).capabilities)
    else:
        capabilities = anyio.run(ollama(models_dir=copy.root).capabilities)
        assert capabilities.access == "logprobs"
        assert re.search(says, capabilities.refused["mean"])


@pytest.mark.parametrize(
    ("kind", "says"),
    [("forged", "not the file that"), ("cut", "not the file that"), ("gone", "cannot be read: No such file")],
)
def test_a_file_that_changes_after_it_was_looked_at_is_not_loaded(
    copy: Store, ollama: Make, kind: str, says: str
) -> None:
    provider = ollama(native=True, models_dir=copy.root)
    anyio.run(provider._known)
    damage(kind, copy)
    with pytest.raises(ModelLoadError, match=says):
        Explainer(provider).explain(PROMPT, sources=[RECORD], output="Allergic to latex.", method="attention")
