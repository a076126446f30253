"""An Ollama asked over a real socket: errors, keys, proxies, event loops, and giving up."""

from __future__ import annotations

import asyncio
import gc
import time
import traceback
from typing import Any

import pytest
from starlette.responses import RedirectResponse
from tests.providers.ollama.asking import answer, chats, score
from tests.providers.ollama.conftest import Make
from tests.servers.faults import Fault
from tests.servers.ollama import OllamaServer
from tests.servers.raw import RawServer

from whence import UnavailableError
from whence.providers.errors import (
    AuthenticationError,
    ContextLengthError,
    ProviderError,
    UnknownModelError,
    WhenceError,
)
from whence.providers.observations import Generation
from whence.providers.ollama import Ollama
from whence.providers.prompt import Prompt

KEY = "hunter2-hunter2"


@pytest.mark.parametrize(
    ("kind", "error", "says"),
    [
        ("overloaded", UnavailableError, "503: server busy"),
        ("server_error", UnavailableError, "500: model runner has unexpectedly stopped"),
        ("runner_crash", UnavailableError, "500: llama-server process has terminated"),
        ("wrong_key", AuthenticationError, "401: unauthorized. Give the key"),
        ("context_length", ContextLengthError, "1025 tokens.*1024"),
        ("cut_connection", UnavailableError, "could not be asked"),
        ("malformed_json", UnavailableError, "Ollama would not give"),
    ],
)
@pytest.mark.parametrize("way", ["write", "score"])
def test_each_error_is_told_as_what_it_is(
    ollama: Make,
    server: OllamaServer,
    prompt: Prompt,
    kind: Any,
    error: type[WhenceError],
    says: str,
    way: str,
) -> None:
    server.faults.append(Fault(kind=kind))
    with pytest.raises(error, match=says):
        answer(ollama(native=False), prompt) if way == "write" else score(
            ollama(native=False), prompt, "Latex."
        )


def test_an_error_in_the_middle_of_a_stream_is_no_answer(
    ollama: Make, server: OllamaServer, prompt: Prompt
) -> None:
    server.faults.append(Fault(kind="server_error", mid_stream=True))
    with pytest.raises(UnavailableError, match="an error was encountered while running the model"):
        answer(ollama(native=False), prompt)


def test_an_answer_that_takes_too_long_is_given_up(
    ollama: Make, server: OllamaServer, prompt: Prompt
) -> None:
    provider = ollama(native=False, timeout_seconds=0.2)
    asyncio.run(provider.capabilities())
    server.latency_seconds = 3.0
    began = time.monotonic()
    with pytest.raises(UnavailableError, match=r"gave no answer within 0\.2 s"):
        answer(provider, prompt)
    assert time.monotonic() - began < 3


def test_a_model_that_is_removed_meanwhile_is_said_with_those_that_are_left(
    own_server: OllamaServer, ollama: Make, prompt: Prompt
) -> None:
    provider = ollama(native=False, at=own_server)
    asyncio.run(provider.capabilities())
    gone = own_server.models.find("demo")
    assert gone is not None
    gone.path.unlink()
    for ask in (answer, lambda provider, prompt: score(provider, prompt, "Latex.")):
        with pytest.raises(UnknownModelError, match=r"'demo'; known: .*demo:q8_0.*ollama pull demo"):
            ask(provider, prompt)


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_key_is_sent_and_never_shown(
    ollama: Make, server: OllamaServer, prompt: Prompt, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "variable":
        monkeypatch.setenv("OLLAMA_API_KEY", KEY)
    provider = ollama(native=False, **({"api_key": KEY} if how == "option" else {}))
    answer(provider, prompt, max_tokens=4)
    assert {seen.headers["authorization"] for seen in server.seen} == {f"Bearer {KEY}"}
    server.faults.append(Fault(kind="echo_key"))
    with pytest.raises(ProviderError, match=r"\*\*\*") as caught:
        answer(provider, prompt)
    shown = [*traceback.format_exception(caught.value), repr(provider), str(vars(caught.value))]
    assert KEY not in "".join(shown)


def test_without_a_key_none_is_sent(ollama: Make, server: OllamaServer, prompt: Prompt) -> None:
    answer(ollama(native=False), prompt, max_tokens=4)
    assert not [seen for seen in server.seen if "authorization" in seen.headers]


def test_this_machine_is_asked_without_a_proxy(
    ollama: Make, server: OllamaServer, prompt: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert answer(ollama(native=False), prompt, max_tokens=4).text
        assert score(ollama(native=False), prompt, "Latex.").spans
        assert not proxy.seen


def test_nobody_is_sent_elsewhere(server: OllamaServer, prompt: Prompt) -> None:
    class Elsewhere(RawServer):
        async def _answer(self, _: Any) -> Any:
            return RedirectResponse(f"{server.url}/api/version", 307)

    with Elsewhere() as gate:
        with pytest.raises(ProviderError):
            answer(Ollama("demo", host=gate.url, native=False), prompt)
        assert gate.seen
    assert not server.seen


def test_one_adapter_answers_in_every_event_loop_and_leaves_nothing_open(
    ollama: Make, server: OllamaServer, prompt: Prompt
) -> None:
    provider = ollama(native=False)
    texts = {answer(provider, prompt).text for _ in range(3)}
    assert len(texts) == 1
    assert [seen.path for seen in server.seen].count("/api/show") == 1
    del provider
    gc.collect()  # an unclosed socket would be a warning, and a warning is an error


def test_many_who_ask_first_look_once(ollama: Make, server: OllamaServer, prompt: Prompt) -> None:
    provider = ollama(native=False)

    async def ask() -> list[Generation]:
        calls = [provider.generate(prompt, max_tokens=8, seed=0) for _ in range(6)]
        return list(await asyncio.gather(*calls))

    assert len(set(asyncio.run(ask()))) == 1
    paths = [seen.path for seen in server.seen]
    assert (paths.count("/api/version"), paths.count("/api/show")) == (1, 1)


@pytest.mark.parametrize("way", ["write", "score"])
def test_who_is_cancelled_ends_at_once_and_the_adapter_goes_on(
    ollama: Make, server: OllamaServer, prompt: Prompt, way: str
) -> None:
    provider = ollama(native=False)

    async def ask() -> float:
        await provider.capabilities()
        server.latency_seconds = 5.0
        call = (
            provider.generate(prompt, max_tokens=8, seed=0)
            if way == "write"
            else provider.score([prompt], "Latex.")
        )
        task = asyncio.ensure_future(call)
        while not chats(server):  # noqa: ASYNC110  it is another thread that hears of it
            await asyncio.sleep(0.01)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        took = time.monotonic() - began
        server.latency_seconds = 0.0
        return took

    assert asyncio.run(ask()) < 2
