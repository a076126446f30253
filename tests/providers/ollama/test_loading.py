"""How the weights that an Ollama holds are found and loaded, and what keeps them from it."""

from __future__ import annotations

from typing import Any

import anyio
import numpy as np
import psutil
import pytest
from tests.providers.ollama.conftest import Make
from tests.servers.ollama import OllamaServer

from whence.providers.errors import (
    InputError,
    MissingExtraError,
    ModelLoadError,
    UnsupportedError,
)
from whence.providers.observations import AttentionQuery
from whence.providers.ollama import native as loading
from whence.providers.ollama import survey
from whence.providers.prompt import Prompt


@pytest.mark.parametrize(
    ("model", "dtype", "loaded"),
    [
        ("demo", "auto", "float32"),
        ("demo:q8_0", "auto", "bfloat16"),
        ("demo:q4_0", "float32", "float32"),
        ("demo", "bfloat16", "bfloat16"),
        ("demo", "float16", "float16"),
    ],
)
def test_the_type_of_the_weights_is_a_choice_and_is_said(
    ollama: Make, prompt: Prompt, model: str, dtype: str, loaded: str
) -> None:
    provider = ollama(model, native=True, dtype=dtype)
    rows = anyio.run(provider.attend, prompt, "Allergic to latex.", AttentionQuery())
    np.testing.assert_allclose(rows.rows.sum(axis=1), 1, atol=1e-5)
    (note,) = anyio.run(provider.capabilities).notes
    quantization = model.partition(":")[2].upper() or "F32"
    assert f"which Ollama holds ({quantization}), computed here from them in {loaded}." in note


@pytest.mark.parametrize("options", [{"dtype": "int8"}, {"dtype": "float64"}, {"dtype": None}])
def test_another_type_is_an_error(ollama: Make, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"dtype=.*one of auto, float32, bfloat16, float16"):
        anyio.run(ollama(native=True, **options).capabilities)


def test_what_does_not_fit_the_memory_is_refused_before_it_is_loaded(
    ollama: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = psutil.virtual_memory()
    monkeypatch.setattr(loading, "load_blob", None)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: real._replace(available=3 << 20))
    with pytest.raises(ModelLoadError, match=r"about 0.0 GiB here in float32.*dtype='bfloat16' halves that"):
        anyio.run(ollama(native=True).capabilities)
    assert "GiB are free" in anyio.run(ollama().capabilities).refused["mean"]


def test_without_the_extra_the_reason_is_said(ollama: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "installed", lambda _: False)
    with pytest.raises(MissingExtraError, match=r"pip install 'whence\[huggingface\]'"):
        anyio.run(ollama(native=True).capabilities)
    capabilities = anyio.run(ollama().capabilities)
    assert capabilities.access == "logprobs"
    assert "whence[huggingface]" in capabilities.refused["mean"]


def test_the_weights_of_another_machine_are_not_looked_for(
    server: OllamaServer, monkeypatch: pytest.MonkeyPatch, ollama: Make
) -> None:
    monkeypatch.setattr("whence.providers.ollama.place.on_this_machine", lambda _: False)
    asked = ollama(models_dir=None)
    assert "runs on another machine" in anyio.run(asked.capabilities).refused["mean"]
    with pytest.raises(UnsupportedError, match=r"runs on another machine.*models_dir="):
        anyio.run(ollama(native=True, models_dir=None).capabilities)
    assert anyio.run(ollama(native=True).capabilities).access == "weights"


def test_a_server_with_another_store_is_said_with_the_path_that_it_names(
    own_server: OllamaServer, ollama: Make, server: OllamaServer
) -> None:
    base = own_server.models.find("demo")
    assert base is not None
    own_server.models.add(
        "demo", {**base.config, "file_type": "F16"}, {"model": base.layers("model")[0].read_bytes()}
    )
    with pytest.raises(UnsupportedError, match=f"not found in {server.store}.*it says: {own_server.store}"):
        anyio.run(ollama(native=True, at=own_server, models_dir=server.store).capabilities)


def test_the_variable_names_the_store(
    ollama: Make, server: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(server.store))
    assert anyio.run(ollama("DEMO:Latest", native=True, models_dir=None).capabilities).access == "weights"


@pytest.mark.parametrize("line", ["", "FROM demo", "FROM /elsewhere/blobs/sha256-" + "0" * 64])
def test_weights_that_the_server_does_not_serve_are_not_read(
    ollama: Make, server: OllamaServer, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setattr("tests.servers.ollama_show._modelfile", lambda _: line)
    with pytest.raises(UnsupportedError, match="serves another file than the one in the store here"):
        anyio.run(ollama(native=True).capabilities)
