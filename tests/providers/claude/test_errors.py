"""Whatever goes wrong is an error of ours, with the request's id, its cause, and never the key."""

from __future__ import annotations

import asyncio
import json
import math
import re
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anthropic
import httpx2
import pytest
from tests.servers.anthropic import API_KEY, AnthropicServer
from tests.servers.faults import Fault
from tests.servers.raw import RawServer

from whence.providers.claude import Claude
from whence.providers.claude.errors import translated
from whence.providers.errors import (
    AuthenticationError,
    ContextLengthError,
    InputError,
    ProviderError,
    QuotaError,
    RateLimitError,
    RefusedError,
    TemporaryError,
    UnavailableError,
    UnknownModelError,
    WhenceError,
)
from whence.providers.prompt import Prompt, Source, build_prompt

Make = Callable[..., Claude]
PLANTED = "Zebrapenicillin"


def failure(provider: Claude, prompt: Prompt, expected: type[WhenceError]) -> Any:
    with pytest.raises(expected) as caught:
        asyncio.run(provider.generate(prompt, max_tokens=32, seed=0))
    assert type(caught.value) is expected
    return caught.value


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(kind="rate_limit"), RateLimitError),
        (Fault(kind="server_error"), UnavailableError),
        (Fault(kind="overloaded"), UnavailableError),
        (Fault(kind="server_error", mid_stream=True), UnavailableError),
        (Fault(kind="overloaded", mid_stream=True), UnavailableError),
        (Fault(kind="rate_limit", mid_stream=True), RateLimitError),
        (Fault(kind="cut_connection"), UnavailableError),
        (Fault(kind="wrong_key"), AuthenticationError),
        (Fault(kind="forbidden"), AuthenticationError),
        (Fault(kind="quota"), QuotaError),
        (Fault(kind="low_credit"), QuotaError),
        (Fault(kind="spend_limit"), QuotaError),
    ],
    ids=lambda value: f"{value.kind}{'_mid_stream' * value.mid_stream}" if isinstance(value, Fault) else "",
)
def test_a_fault_is_an_error_of_its_kind_with_the_request_and_the_cause(
    claude: Make, server: AnthropicServer, prompt: Prompt, fault: Fault, expected: type[ProviderError]
) -> None:
    server.faults.append(fault)
    error = failure(claude(), prompt, expected)
    assert error.request_id.startswith("req_")
    assert error.request_id in str(error)
    assert isinstance(error.__cause__, anthropic.AnthropicError | httpx2.HTTPError)
    assert getattr(error, "retry_after_seconds", None) is None
    assert server.calls == 1, "the SDK asked again by itself"


def test_a_stream_that_ends_too_early_is_not_an_answer(
    claude: Make, server: AnthropicServer, prompt: Prompt
) -> None:
    server.faults.append(Fault(kind="malformed_json"))
    error = failure(claude(), prompt, UnavailableError)
    assert error.request_id.startswith("req_")


def test_a_refusal_names_its_kind(claude: Make, server: AnthropicServer, prompt: Prompt) -> None:
    server.faults.append(Fault(kind="refusal"))
    error = failure(claude(), prompt, RefusedError)
    assert "(bio)" in str(error)
    assert error.request_id.startswith("req_")
    assert (error.prompt_tokens, error.output_tokens) == (server.input_tokens, server.output_tokens)
    assert error.prompt_tokens > 0


@pytest.mark.parametrize("kind", ["rate_limit", "overloaded", "server_error"])
def test_the_wait_that_the_api_names_is_handed_on(
    claude: Make, server: AnthropicServer, prompt: Prompt, kind: Any
) -> None:
    server.faults.append(Fault(kind=kind, retry_after_seconds=7.5))
    with pytest.raises(TemporaryError) as caught:
        asyncio.run(claude().generate(prompt, max_tokens=32, seed=0))
    assert caught.value.retry_after_seconds == 7.5


def test_a_prompt_that_is_too_long_is_an_error_with_both_lengths(
    claude: Make, server: AnthropicServer
) -> None:
    long = build_prompt("Sum up.", sources=[Source(text="Sodium is low. " * 600, name="record")])
    error = failure(claude(), long, ContextLengthError)
    assert error.tokens > error.limit_tokens == 1024
    assert error.request_id.startswith("req_")
    assert isinstance(error.__cause__, anthropic.BadRequestError)


def test_nobody_listening_is_an_error_that_may_pass(prompt: Prompt) -> None:
    error = failure(
        Claude("claude", api_key=API_KEY, base_url="http://127.0.0.1:9"), prompt, UnavailableError
    )
    assert isinstance(error.__cause__, anthropic.APIConnectionError)


def test_a_key_that_the_api_tells_back_is_nowhere_to_be_read(
    claude: Make, server: AnthropicServer, prompt: Prompt
) -> None:
    server.faults.extend([Fault(kind="echo_key"), Fault(kind="echo_key", mid_stream=True)])
    provider = claude()
    for _ in range(2):
        error = failure(provider, prompt, AuthenticationError)
        shown = [str(error), repr(error), str(error.__cause__), repr(error.__cause__), repr(provider)]
        shown += traceback.format_exception(error)
        assert API_KEY not in "".join(shown)
        assert "[key]" in str(error)
    public = {name: value for name, value in vars(provider).items() if not name.startswith("_")}
    assert API_KEY not in repr(public)


def test_a_wrong_key_is_found_out_before_anything_is_paid_for(claude: Make, server: AnthropicServer) -> None:
    with pytest.raises(AuthenticationError, match="Check the key or credentials") as caught:
        asyncio.run(claude(api_key="sk-wrong").capabilities())
    assert isinstance(caught.value.__cause__, anthropic.AuthenticationError)
    assert server.calls == 0


@pytest.mark.parametrize("profile", [None, "clinic"])
def test_without_a_key_the_error_says_how_to_give_one(
    server: AnthropicServer, prompt: Prompt, monkeypatch: pytest.MonkeyPatch, profile: str | None
) -> None:
    if profile is not None:  # one that is not there
        monkeypatch.setenv("ANTHROPIC_PROFILE", profile)
    provider = Claude("claude-sonnet-5-5", base_url=server.url)
    with pytest.raises(AuthenticationError, match="api_key=, or the environment variable ANTHROPIC_API_KEY"):
        asyncio.run(provider.capabilities())
    failure(provider, prompt, AuthenticationError)
    assert not server.seen


def test_the_key_of_the_environment_is_used(server: AnthropicServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", API_KEY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    assert asyncio.run(Claude("claude-sonnet-5-5").capabilities()).context_tokens == 1024


@pytest.mark.parametrize("key", [f"{API_KEY}\n", "sk-\u00e4", "sk one"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(
    claude: Make, prompt: Prompt, key: str
) -> None:
    error = failure(claude(api_key=key), prompt, AuthenticationError)
    assert key.strip() not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": " "}, "name of a model"),
        ({"model": 5}, "model is int"),
        ({"api_key": ["k"]}, "api_key is list"),
        ({"max_in_flight": 0}, "max_in_flight=0: .* 1 or greater"),
        ({"max_in_flight": 1.5}, "max_in_flight=1.5: .* whole number"),
        ({"max_in_flight": True}, "max_in_flight"),
        ({"timeout_seconds": 0.0}, "timeout_seconds=0.0: .* greater than 0"),
        ({"timeout_seconds": math.nan}, "timeout_seconds=nan"),
        ({"deadline_seconds": math.inf}, "deadline_seconds=inf"),
        ({"deadline_seconds": "60"}, "deadline_seconds='60'"),
        ({"temperature": "hot"}, "temperature='hot': it is a number from 0 to 1"),
        ({"base_url": 5}, "base_url is int"),
        ({"base_url": "localhost:80"}, "base_url 'localhost:80': write https://HOST"),
        ({"base_url": "https://[bad"}, "write https://HOST"),
        ({"base_url": "http://claude.example"}, "in the clear; write https://"),
        ({"location": "europe-west1"}, "give project="),
        ({"project": "p", "api_key": "k"}, "takes no api_key"),
        ({"project": "p"}, "location=, or set the environment variable CLOUD_ML_REGION"),
        ({"project": "", "location": "europe-west1"}, "give project="),
    ],
)
def test_options_that_cannot_be_meant_are_refused_at_once(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Claude(**{"model": "claude-sonnet-5-5", **options})


def test_a_place_in_the_clear_is_refused_wherever_it_is_named_and_its_password_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, prompt: Prompt
) -> None:
    place = "http://user:word@claude.example/v1?key=word"
    with pytest.raises(InputError, match=r"base_url 'claude\.example/v1'") as caught:
        Claude("claude", api_key=API_KEY, base_url=place)
    assert "word" not in str(caught.value)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://claude.example")
    error = failure(Claude("claude", api_key=API_KEY), prompt, InputError)
    assert "in the clear" in str(error)


@pytest.mark.parametrize(
    "events",
    [
        [PLANTED],
        [
            {"type": "message_start", "message": {"id": "m", "content": [], "usage": {"input_tokens": 1}}},
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "tool_use", "id": "t", "name": "n", "input": {}},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": f'{{"a": {PLANTED}'},
            },
        ],
    ],
)
def test_an_answer_of_another_shape_may_pass_and_is_not_shown_in_the_traceback(
    prompt: Prompt, events: list[Any]
) -> None:
    with RawServer() as server:
        server.media_type = "text/event-stream"
        server.body = "".join(
            f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
            if isinstance(event, dict)
            else f"event: message_start\ndata: {{{event}\n\n"
            for event in events
        )
        error = failure(Claude("claude", api_key=API_KEY, base_url=server.url), prompt, UnavailableError)
    assert "cannot be read" in str(error)
    assert PLANTED not in "".join(traceback.format_exception(error))


def told(status: int, message: str | None, *, headers: dict[str, str] | None = None) -> WhenceError:
    """What an answer of that status is translated to."""
    error = {"type": "invalid_request_error", "message": message}
    return translation(status, None if message is None else {"type": "error", "error": error}, headers or {})


def translation(status: int, body: object, headers: dict[str, str]) -> WhenceError:
    request = httpx2.Request("POST", "https://api.test/v1/messages")
    response = httpx2.Response(status, headers=headers, request=request)
    with pytest.raises(WhenceError) as caught, translated("claude-x"):
        raise anthropic.APIStatusError("told", response=response, body=body)
    return caught.value


@pytest.mark.parametrize(
    "body",
    [None, [], "<html>", {"error": "busy"}, {"error": {"message": {"a": 1}, "type": [], "details": 3}}],
)
def test_an_error_of_another_server_may_have_any_shape(body: object) -> None:
    assert str(translation(502, body, {})) == "Claude's API could not answer: status 502"


@pytest.mark.parametrize(
    ("message", "lengths"),
    [
        ("prompt is too long: 213 tokens > 200 maximum", (213, 200, 0)),
        ("input length and `max_tokens` exceed context limit: 188 + 20 > 200, decrease", (188, 200, 20)),
    ],
)
def test_both_ways_in_which_the_api_tells_of_lengths_are_read(message: str, lengths: tuple[int, ...]) -> None:
    error = told(400, message)
    assert isinstance(error, ContextLengthError)
    assert (error.tokens, error.limit_tokens, error.reserved_tokens) == lengths


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (400, "messages: something else", ProviderError),
        (404, "model: claude-x", UnknownModelError),
        (404, None, ProviderError),
        (408, None, UnavailableError),
        (409, "conflict", UnavailableError),
        (413, "request too large", ProviderError),
        (503, None, UnavailableError),
    ],
)
def test_a_status_is_an_error_of_its_kind(
    status: int, message: str | None, expected: type[WhenceError]
) -> None:
    assert type(told(status, message)) is expected


def test_a_wait_may_be_named_in_milliseconds_or_as_a_date_and_nonsense_is_ignored() -> None:
    def wait(**headers: str) -> float | None:
        error = told(429, "slow down", headers={n.replace("_", "-"): v for n, v in headers.items()})
        assert isinstance(error, RateLimitError)
        return error.retry_after_seconds

    assert wait(retry_after="3", retry_after_ms="2500") == 2.5
    soon = wait(retry_after=format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True))
    assert soon is not None
    assert 50 < soon <= 60
    assert wait(retry_after="Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert [wait(retry_after=v) for v in ("soon", "-1", "nan", "inf", "")] == [None] * 5


def test_a_refusal_for_size_without_numbers_is_counted_where_the_limit_is_known(
    claude: Make, server: AnthropicServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = build_prompt("Sum up.", sources=[Source(text="Sodium is low. " * 600, name="record")])
    monkeypatch.setattr("whence.providers.claude.errors.LENGTHS", re.compile("never"))
    provider = claude()
    failure(provider, long, ProviderError)
    asyncio.run(provider.capabilities())
    error = failure(provider, long, ContextLengthError)
    assert error.tokens > error.limit_tokens == 1024
    assert isinstance(error.__cause__, anthropic.BadRequestError)


@pytest.mark.parametrize("error", [ValueError("x"), AttributeError("x"), KeyError("x")])
def test_what_the_sdk_stumbles_over_in_an_answer_may_pass(error: Exception) -> None:
    with pytest.raises(UnavailableError, match="cannot be read"), translated("claude-x"):
        raise error
