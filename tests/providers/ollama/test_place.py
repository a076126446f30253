"""Hosts and names as Ollama itself reads them, and none that leads elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.providers.errors import InputError
from whence.providers.ollama import Ollama
from whence.providers.ollama.place import name_of, place_of, require_local, same

LIBRARY = ("registry.ollama.ai", "library")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        (None, "http://127.0.0.1:11434"),
        ("", "http://127.0.0.1:11434"),
        ("localhost", "http://localhost:11434"),
        (" 127.0.0.1:8080 ", "http://127.0.0.1:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:11434"),  # noqa: S104
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("http://0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("[::1]", "http://[::1]:11434"),
        ("[::]:8080", "http://[::1]:8080"),
        ("::", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("http://127.0.0.1", "http://127.0.0.1:80"),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1"),
        ("https://ollama.example", "https://ollama.example:443"),
        ("https://gate.example/ollama/", "https://gate.example:443/ollama"),
    ],
)
def test_a_host_is_read_as_ollama_reads_it(host: str | None, url: str) -> None:
    place = place_of(host, insecure=False)
    assert (place.url, place.here) == (url, ".example" not in url)


def test_the_variable_says_where_it_is_and_an_option_is_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "0.0.0.0:9")
    assert place_of(None, insecure=False).url == "http://127.0.0.1:9"
    assert place_of("127.0.0.1:8", insecure=False).url == "http://127.0.0.1:8"


@pytest.mark.parametrize("host", ["10.0.0.7", "gpu-box:11434", "http://ollama.example", "127.0.0.1.example"])
def test_a_record_crosses_no_network_in_the_clear_unless_the_caller_wants_it(host: str) -> None:
    with pytest.raises(InputError, match="in the clear"):
        place_of(host, insecure=False)
    assert not place_of(host, insecure=True).here


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:0", "127.0.0.1:99999", "127.0.0.1:x", "ftp://127.0.0.1", "http://", "://", "[::1", "/x"],
)
def test_what_is_no_host_is_an_error(host: str) -> None:
    with pytest.raises(InputError, match="host"):
        place_of(host, insecure=True)


@pytest.mark.parametrize("host", ["http://me:hunter2@127.0.0.1", "http://127.0.0.1/?key=hunter2"])
def test_a_secret_in_a_host_is_refused_and_not_repeated(host: str) -> None:
    with pytest.raises(InputError) as caught:
        place_of(host, insecure=True)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("demo", (*LIBRARY, "demo", "latest")),
        ("demo:q8_0", (*LIBRARY, "demo", "q8_0")),
        ("me/demo", ("registry.ollama.ai", "me", "demo", "latest")),
        ("hf.co/org/Repo-GGUF:Q4_K_M", ("hf.co", "org", "Repo-GGUF", "Q4_K_M")),
        ("host:5000/me/demo", ("host:5000", "me", "demo", "latest")),
        ("host:5000/me/demo:1.5b", ("host:5000", "me", "demo", "1.5b")),
    ],
)
def test_a_name_is_completed_as_ollama_completes_it(model: str, parts: tuple[str, ...]) -> None:
    assert name_of(model).parts == parts


@pytest.mark.parametrize(
    "model",
    ["", ":", "demo:", ":q8", "a/b/c/d", "/demo", "me//demo", "../demo", "me/../demo", "demo:../../x",
     "demo:a b", "..", ".", "demo\\x", "demo\x00", "-demo", "demo\n", "démo", "demo:.", "./demo"],
)  # fmt: skip
def test_what_is_no_name_is_an_error_before_anything_is_asked(model: str) -> None:
    with pytest.raises(InputError, match="no name of a model"):
        Ollama(model)


@given(st.one_of(st.text(), st.text(alphabet="./\\:~ab-_\x00%", max_size=20)))
def test_no_name_leads_out_of_the_store(model: str) -> None:
    try:
        parts = name_of(model).parts
    except InputError:
        return
    root = Path("/store/manifests")
    path = root.joinpath(*parts)
    assert path.parts[: len(root.parts)] == root.parts
    assert len(path.parts) == len(root.parts) + 4
    assert ".." not in path.parts
    assert not set("\\\x00~%") & set(str(path))


def test_cases_do_not_tell_names_apart() -> None:
    assert same("Demo", "registry.ollama.ai/library/demo:LATEST")
    assert same("hf.co/Whence/Demo-GGUF:q8_0", "HF.co/whence/demo-gguf:Q8_0")
    assert not same("demo", "demo:q8_0")
    assert not same("demo", "me/demo")


@pytest.mark.parametrize("model", ["gpt-oss:120b-cloud", "demo:cloud", "demo:Cloud", "me/demo:x-CLOUD"])
def test_a_model_of_the_cloud_is_refused_by_its_name(model: str) -> None:
    with pytest.raises(InputError, match="Ollama's cloud, to which the record would be sent"):
        Ollama(model)


@pytest.mark.parametrize("model", ["cloudy", "cloud:latest", "demo:cloud9", "my-cloud:7b"])
def test_a_cloud_in_a_name_is_no_cloud(model: str) -> None:
    require_local(model)
