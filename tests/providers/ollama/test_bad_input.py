"""Options that are none, a server that is not there, and one that is no Ollama: each a clear error."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tests.providers.ollama.conftest import Make
from tests.servers.ollama import OllamaServer
from tests.servers.raw import RawServer

from whence import Explainer
from whence.demo.records import PROMPT
from whence.providers.errors import (
    InputError,
    ModelLoadError,
    ProviderError,
    UnavailableError,
    UnknownModelError,
)
from whence.providers.ollama import Ollama


@pytest.fixture(scope="module")
def raw() -> Iterator[RawServer]:
    with RawServer() as server:
        yield server


def ask(provider: Ollama) -> None:
    asyncio.run(provider.capabilities())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": 7}, "model is int"),
        ({"host": 11434}, "host is int"),
        ({"host": b"127.0.0.1"}, "host is bytes"),
        ({"api_key": 5}, "api_key is int"),
        ({"device": 0}, "device is int"),
        ({"num_ctx": 0}, "num_ctx=0: it is a number of tokens"),
        ({"num_ctx": -1}, "num_ctx=-1"),
        ({"num_ctx": 4096.0}, r"num_ctx=4096\.0"),
        ({"num_ctx": True}, "num_ctx=True"),
        ({"num_ctx": "4096"}, "num_ctx='4096'"),
        ({"temperature": -0.1}, r"temperature=-0\.1"),
        ({"temperature": 2.1}, r"temperature=2\.1: it is a number from 0 to 2"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"temperature": "0"}, "temperature='0'"),
        ({"max_in_flight": 0}, "max_in_flight=0"),
        ({"max_in_flight": 1.5}, r"max_in_flight=1\.5"),
        ({"timeout_seconds": 0}, "timeout_seconds=0"),
        ({"timeout_seconds": float("inf")}, "timeout_seconds=inf"),
        ({"deadline_seconds": -1}, "deadline_seconds=-1"),
        ({"dtype": "int8"}, "dtype='int8': it is one of auto, float32, bfloat16, float16"),
        ({"dtype": None}, "dtype=None"),
        ({"native": "yes"}, "native='yes'"),
        ({"native": 1}, "native=1"),
        ({"models_dir": 7}, "models_dir"),
        ({"models_dir": "a\x00b"}, "models_dir"),
        ({"api_key": "a\nb"}, "api_key"),
        ({"api_key": "clé"}, "api_key"),
    ],
    ids=lambda value: ascii(value) if isinstance(value, dict) else "",
)
def test_an_option_that_is_none_is_an_error_before_anything_is_asked(
    options: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        Ollama(**{"model": "demo", **options})


def test_no_server_is_said_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(
        ProviderError, match=f"no Ollama answers at http://127.0.0.1:{port}; start it"
    ) as caught:
        Explainer(Ollama("demo", host=f"127.0.0.1:{port}")).explain(PROMPT, sources=["Latex."])
    assert not isinstance(caught.value, UnavailableError), "nobody waits for it"
    assert caught.value.__cause__ is not None


def test_a_host_that_nobody_has_is_said() -> None:
    with pytest.raises(ProviderError, match=r"no Ollama answers at https://nobody.invalid:443"):
        ask(Ollama("demo", host="https://nobody.invalid"))


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        ("<html><body>It works!</body></html>", "text/html"),
        ("{}", "application/json"),
        ('{"version": 12}', "application/json"),
        ('{"version": null}', "application/json"),
        ("[]", "application/json"),
        ("", "text/plain"),
        ("\x00\xff\x1b", "application/octet-stream"),
        ("[" * 100_000, "application/json"),
        ('{"version": "' + "9" * 100_000, "application/json"),
    ],
    ids=["html", "empty object", "number", "null", "list", "nothing", "bytes", "deep", "cut"],
)
def test_a_server_that_is_no_ollama_is_said(raw: RawServer, body: str, media_type: str) -> None:
    raw.body, raw.media_type = body, media_type
    with pytest.raises(ProviderError, match=f"what answers at {raw.url} is no Ollama; say where it is"):
        ask(Ollama("demo", host=raw.url))


@pytest.mark.parametrize(
    "body",
    [
        '{"version": "0.33.0"}',
        '{"version": "0.33.0", "models": 7}',
        '{"version": "0.33.0", "models": [7]}',
        '{"version": "0.33.0", "models": [{"model": "demo", "size": "big"}]}',
        '{"version": "0.33.0", "models": [{"model": null}, {"model": "../../x"}, {}]}',
        '{"version": "0.33.0", "models": [{"model": "demo"}], "model_info": 7}',
        '{"version": "0.33.0", "models": [{"model": "demo"}], "details": 7}',
    ],
)
def test_a_server_that_imitates_one_is_an_error(raw: RawServer, body: str) -> None:
    raw.body, raw.media_type = body, "application/json"
    with pytest.raises((ProviderError, UnknownModelError)):
        ask(Ollama("demo", host=raw.url))


def test_a_server_that_talks_something_else_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            own, _ = listener.accept()
            with own:
                own.recv(4096)
                own.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ProviderError, match=url):
            ask(Ollama("demo", host=url))
        thread.join(10)


def test_a_server_that_never_ends_its_answer_is_no_ollama() -> None:
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            own, _ = listener.accept()
            with own:
                own.recv(4096)
                own.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
                try:
                    while not over.wait(0.0):
                        own.sendall(b" " * 65536)
                except OSError:
                    return

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with pytest.raises(ProviderError, match="is no Ollama"):
                asyncio.run(asyncio.wait_for(Ollama("demo", host=url).capabilities(), 60))
        finally:
            over.set()
        thread.join(10)


def test_a_model_that_was_not_pulled_is_said_with_those_that_were(ollama: Make) -> None:
    with pytest.raises(UnknownModelError) as caught:
        Explainer(ollama("llama3.2")).explain(PROMPT, sources=["Latex."])
    for part in (
        "'llama3.2'",
        "demo:latest",
        "demo:q8_0",
        "hf.co/whence/demo-GGUF:Q8_0",
        "ollama pull llama3.2",
    ):
        assert part in str(caught.value)


def test_of_an_ollama_without_models_that_is_said(raw: RawServer) -> None:
    raw.body, raw.media_type = '{"version": "0.33.0", "models": []}', "application/json"
    with pytest.raises(UnknownModelError, match=r"known: none\. To get it: ollama pull demo"):
        ask(Ollama("demo", host=raw.url))


def test_a_tag_that_is_not_there_is_not_taken_for_another(ollama: Make) -> None:
    with pytest.raises(UnknownModelError, match="'demo:q5_0'"):
        ask(ollama("demo:q5_0"))


def test_the_variable_with_the_key_is_held_to_what_a_key_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "hunter2\n")
    with pytest.raises(InputError, match="OLLAMA_API_KEY") as caught:
        Ollama("demo")
    assert "hunter2" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="it is here")
@pytest.mark.parametrize("device", ["cuda", "cuda:7", "teapot"])
def test_a_device_that_is_not_here_is_said(ollama: Make, device: str) -> None:
    with pytest.raises(ModelLoadError, match=r"cuda|teapot"):
        ask(ollama(native=True, device=device))


def test_a_place_where_nothing_is_found_is_no_ollama(server: OllamaServer) -> None:
    with pytest.raises(ProviderError, match="is no Ollama; say where it is"):
        ask(Ollama("demo", host=f"{server.url}/elsewhere"))
