"""Whatever goes wrong with a call is told as the error that it is, by both transports."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import httpx
import pytest
from google.genai.errors import APIError
from google.oauth2.credentials import Credentials
from tests.servers.faults import Fault, Kind
from tests.servers.google_credentials import ACCESS_TOKEN
from tests.servers.raw import RawServer
from tests.servers.vertex import VertexServer
from tests.servers.vertex_grpc import VertexGrpcServer

from whence.providers.errors import (
    AuthenticationError,
    ContextLengthError,
    ProviderError,
    QuotaError,
    RateLimitError,
    RefusedError,
    TemporaryError,
    UnavailableError,
    UnknownModelError,
    WhenceError,
)
from whence.providers.observations import Generation
from whence.providers.prompt import Prompt, build_prompt
from whence.providers.vertex import Vertex
from whence.providers.vertex.failures import Failure, LogprobsRefusedError, clean, error_of, retry_after_of
from whence.providers.vertex.place import Model, place_of
from whence.providers.vertex.rest import _failure

AnyServer = VertexServer | VertexGrpcServer
Make = Callable[..., Vertex]
MODEL = Model(
    name="gemini-2.5-flash", resource="r", project="p", location="global", place=place_of(None, "global")
)


def answer(provider: Vertex, prompt: Prompt) -> Generation:
    return anyio.run(lambda: provider.generate(prompt, max_tokens=30, seed=0))


@pytest.mark.parametrize("logprobs", [True, False])
@pytest.mark.parametrize(
    ("kind", "kind_of_error", "says"),
    [
        ("rate_limit", RateLimitError, "RESOURCE_EXHAUSTED: Resource exhausted"),
        ("server_error", UnavailableError, "INTERNAL: Internal error"),
        ("overloaded", UnavailableError, "UNAVAILABLE: The model is overloaded"),
        ("wrong_key", AuthenticationError, "UNAUTHENTICATED.*Renew the credentials"),
        ("forbidden", AuthenticationError, "'aiplatform.endpoints.predict' denied.*roles/aiplatform.user"),
        ("quota", QuotaError, "Enable billing"),
        ("context_length", ContextLengthError, "more than the"),
        ("cut_connection", UnavailableError, "Vertex AI"),
        ("malformed_json", UnavailableError, "Vertex AI"),
        ("echo_key", ProviderError, r"The request of \*\*\* cannot be served"),
    ],
)
def test_what_the_api_refuses_is_an_error_with_its_cause(
    server: AnyServer,
    vertex: Make,
    prompt: Prompt,
    logprobs: bool,
    kind: Kind,
    kind_of_error: type[ProviderError],
    says: str,
) -> None:
    server.faults.append(Fault(kind=kind))
    provider = vertex(logprobs=logprobs)
    with pytest.raises(ProviderError, match=says) as caught:
        answer(provider, prompt)
    error = caught.value
    assert type(error) is kind_of_error
    own = kind != "malformed_json"  # what the SDK says of that one quotes the answer
    assert type(error.__cause__).__module__.partition(".")[0] in (
        ("google", "httpx") if own else ("builtins",)
    )
    assert ACCESS_TOKEN not in str(error)
    assert prompt.sources[0].text[:20] not in str(error)
    assert server.calls == 1, "it asks again by itself"
    assert answer(provider, prompt).text, "the next call is let through"


@pytest.mark.parametrize("kind", ["rate_limit", "overloaded"])
def test_the_wait_that_the_api_names_is_told(
    server: AnyServer, vertex: Make, prompt: Prompt, kind: Kind
) -> None:
    server.faults.append(Fault(kind=kind, retry_after_seconds=2.5))
    with pytest.raises(TemporaryError) as caught:
        answer(vertex(), prompt)
    assert caught.value.retry_after_seconds == 2.5


def test_an_error_in_the_middle_of_a_stream_is_the_same_error(
    server: AnyServer, vertex: Make, prompt: Prompt
) -> None:
    server.faults.append(Fault(kind="overloaded", mid_stream=True))
    with pytest.raises(UnavailableError, match="overloaded"):
        answer(vertex(logprobs=False), prompt)


@pytest.mark.parametrize("logprobs", [True, False])
@pytest.mark.parametrize(("refuses", "says"), [("answer", "SAFETY"), ("prompt", "PROHIBITED_CONTENT")])
def test_a_refusal_is_named(
    server: AnyServer, vertex: Make, prompt: Prompt, logprobs: bool, refuses: str, says: str
) -> None:
    server.gemini.refuses = refuses  # type: ignore[assignment]
    server.faults.append(Fault(kind="refusal"))
    with pytest.raises(RefusedError, match=rf"{says}.*request answer-\d+") as caught:
        answer(vertex(logprobs=logprobs), prompt)
    error = caught.value
    assert error.request_id is not None
    assert (error.prompt_tokens, error.output_tokens) == (server.input_tokens, server.output_tokens)
    assert error.prompt_tokens > 0


PLANTED = "Zebrapenicillin"


@pytest.mark.parametrize(
    "body",
    [
        f'{{"candidates": {PLANTED}',
        f'{{"candidates": [{{"content": {{"parts": [{{"text": {{"a": "{PLANTED}"}}}}]}}}}]}}',
        f'{{"candidates": [["{PLANTED}"]]}}',
        "5",
    ],
)
def test_an_answer_of_another_shape_may_pass_and_is_not_shown_in_the_traceback(
    prompt: Prompt, body: str
) -> None:
    with RawServer() as server:
        for logprobs in (True, False):
            server.body = body if logprobs else f"data: {body}\n\n"
            provider = Vertex(
                "gemini-2.5-flash",
                project="p",
                credentials=Credentials(token=ACCESS_TOKEN),  # type: ignore[no-untyped-call]
                endpoint=server.url,
                logprobs=logprobs,
            )
            with pytest.raises(UnavailableError, match="cannot be read") as caught:
                answer(provider, prompt)
            assert PLANTED not in "".join(traceback.format_exception(caught.value))


def test_a_refused_answer_without_log_probabilities_does_not_end_the_asking_for_them(prompt: Prompt) -> None:
    with RawServer() as server:
        provider = Vertex(
            "gemini-2.5-flash",
            project="p",
            credentials=Credentials(token=ACCESS_TOKEN),  # type: ignore[no-untyped-call]
            endpoint=server.url,
        )
        low = '{"content": {"parts": [{"text": "Low"}]}, "finishReason": "%s"}'
        said = f'{{"totalTokens": 1, "candidates": [{low}]}}'
        for finish, error in (("SAFETY", RefusedError), ("OTHER", ProviderError)):
            server.body = said % finish
            with pytest.raises(error):
                answer(provider, prompt)
            assert anyio.run(provider.capabilities).writes_logprobs
        server.body = said % "STOP"
        assert answer(provider, prompt).tokens is None
        assert not anyio.run(provider.capabilities).writes_logprobs


@pytest.mark.parametrize("logprobs", [True, False])
@pytest.mark.parametrize(
    ("kind", "finish"), [("no_text", "stop"), ("thinking_only", "length"), ("max_tokens", "length")]
)
def test_an_answer_with_little_or_no_text_is_an_answer(
    server: AnyServer, vertex: Make, prompt: Prompt, logprobs: bool, kind: Kind, finish: str
) -> None:
    server.faults.append(Fault(kind=kind))
    written = answer(vertex(logprobs=logprobs), prompt)
    assert written.finish == finish
    assert bool(written.text) == (kind == "max_tokens")
    assert (written.tokens is None) == (not logprobs)
    assert (server.input_tokens, server.output_tokens) == (
        written.prompt_tokens or 0,
        written.output_tokens or 0,
    )


@pytest.mark.parametrize("kind", ["fewer_logprobs", "more_logprobs", "nan_logprob"])
def test_log_probabilities_that_do_not_fit_the_answer_are_refused(
    server: AnyServer, vertex: Make, prompt: Prompt, kind: Kind
) -> None:
    server.faults.append(Fault(kind=kind))
    with pytest.raises(ProviderError, match="logprobs=False"):
        answer(vertex(), prompt)


def test_an_unknown_model_and_a_wrong_token_are_found_before_anything_is_paid(
    server: AnyServer, vertex: Make
) -> None:
    with pytest.raises(UnknownModelError, match=r"unknown model 'gemini-0'.*google/models/gemini-0"):
        anyio.run(vertex("gemini-0").capabilities)
    with pytest.raises(AuthenticationError, match="denied on"):
        anyio.run(vertex(project="another").capabilities)
    wrong = Credentials(token="another-token")  # type: ignore[no-untyped-call]
    with pytest.raises(AuthenticationError, match="UNAUTHENTICATED"):
        anyio.run(vertex(credentials=wrong).capabilities)
    assert server.calls == 0


def test_a_prompt_that_is_too_long_names_its_tokens_and_the_limit(server: AnyServer, vertex: Make) -> None:
    prompt = build_prompt("Summarise this record.", sources=["word " * 1200])
    with pytest.raises(ContextLengthError) as caught:
        answer(vertex(), prompt)
    assert caught.value.limit_tokens == server.gemini.context_tokens
    assert caught.value.tokens == anyio.run(vertex().count_tokens, prompt)


@pytest.mark.parametrize("logprobs", [True, False])
def test_an_attempt_that_takes_too_long_ends(
    server: AnyServer, vertex: Make, prompt: Prompt, logprobs: bool
) -> None:
    provider = vertex(logprobs=logprobs, timeout_seconds=0.7)

    async def main() -> float:
        await provider.capabilities()
        server.faults.append(Fault(kind="slow_body", seconds=0.5))
        began = anyio.current_time()
        with pytest.raises(UnavailableError, match=r"no answer within 0\.7 s"):
            await provider.generate(prompt, max_tokens=30, seed=0)
        return anyio.current_time() - began

    assert 0.6 < anyio.run(main) < 3


def test_a_place_where_nobody_listens_is_unavailable(vertex: Make, prompt: Prompt) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    provider = vertex(endpoint=f"http://127.0.0.1:{port}")
    for ask in (provider.capabilities, lambda: provider.generate(prompt, max_tokens=9, seed=0)):
        with pytest.raises(UnavailableError, match="Vertex AI") as caught:
            anyio.run(ask)
        assert caught.value.__cause__ is not None


def test_a_token_is_not_sent_to_a_server_without_tls_where_tls_was_asked_for(
    server: AnyServer, vertex: Make
) -> None:
    plain = server.address if isinstance(server, VertexGrpcServer) else server.url.removeprefix("http://")
    with pytest.raises(UnavailableError):
        anyio.run(vertex(endpoint=plain, timeout_seconds=5).capabilities)
    assert server.seen == []


def test_the_whole_traceback_of_an_error_of_ours_shows_no_token(
    server: AnyServer, vertex: Make, prompt: Prompt
) -> None:
    server.faults.append(Fault(kind="wrong_key"))
    with pytest.raises(AuthenticationError) as caught:
        answer(vertex(), prompt)
    assert ACCESS_TOKEN not in "".join(traceback.format_exception(caught.value))


def rest_error(
    status: int, error: dict[str, object] | None = None, headers: dict[str, str] | None = None
) -> WhenceError | LogprobsRefusedError:
    """What becomes of an answer of that status, as google-genai raises it."""
    response = httpx.Response(
        status, headers=headers, **({"json": {"error": error}} if error else {"text": "<html>Oh</html>"})
    )
    with pytest.raises(APIError) as caught:
        APIError.raise_for_response(response)
    return error_of(_failure(caught.value), MODEL, ())


def quota(identity: str, *, wait: str | None = None) -> dict[str, object]:
    kind = "type.googleapis.com/google.rpc."
    details: list[dict[str, object]] = [
        {"@type": f"{kind}QuotaFailure", "violations": [{"quotaId": identity}]},
        {"@type": f"{kind}RequestInfo", "requestId": "r-1"},
    ]
    if wait is not None:
        details.append({"@type": f"{kind}RetryInfo", "retryDelay": wait})
    message = "You exceeded your current quota, please check your plan and billing details."
    return {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details}


def test_a_quota_of_the_minute_is_waited_for_and_one_of_the_day_is_not() -> None:
    minute = rest_error(429, quota("RequestsPerMinute", wait="36.5s"))
    assert isinstance(minute, RateLimitError)
    assert (minute.retry_after_seconds, minute.request_id) == (36.5, "r-1")
    for useless in ("nans", "infs", "-3s", "soon"):
        error = rest_error(429, quota("RequestsPerMinute", wait=useless), {"retry-after": "7"})
        assert isinstance(error, RateLimitError)
        assert error.retry_after_seconds == 7
    assert isinstance(rest_error(429, quota("RequestsPerDay", wait="36.5s")), QuotaError)
    assert isinstance(rest_error(429, quota("Requests")), QuotaError)


def test_a_page_of_somebody_else_is_told_by_its_status() -> None:
    bad_gateway = rest_error(502, headers={"retry-after": "7", "x-request-id": "r-2"})
    assert isinstance(bad_gateway, UnavailableError)
    assert (bad_gateway.retry_after_seconds, bad_gateway.request_id) == (7, "r-2")
    assert isinstance(rest_error(401), AuthenticationError)
    assert type(rest_error(302)) is ProviderError


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        ("INVALID_ARGUMENT", "logprobs must be in the range [0, 5].", ProviderError),
        (
            "INVALID_ARGUMENT",
            "the input token count is 40000 but model only supports up to 32768",
            ContextLengthError,
        ),
        ("FAILED_PRECONDITION", "User location is not supported.", ProviderError),
        ("DEADLINE_EXCEEDED", "", UnavailableError),
        ("ABORTED", "", UnavailableError),
        ("CANCELLED", "", UnavailableError),
        ("UNKNOWN", "Stream removed", UnavailableError),
    ],
)
def test_each_status_is_an_error_of_its_kind(status: str, message: str, kind: type) -> None:
    error = error_of(Failure(status=status, message=message), MODEL, ())
    assert type(error) is kind
    if kind is ProviderError:
        assert message.rstrip(".") in str(error)


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        ("Logprobs is not supported for the current model.", True),
        ("`response_logprobs` is unsupported", True),
        ("Log probabilities are not available for this model", True),
        ("The logprobs parameter is currently disabled.", True),
        ("This model doesn't support responseLogprobs.", True),
        ("logprobs value 20 is not supported", False),
        ("The model does not support logprobs values above 5", False),
        ("Streaming is not supported with logprobs", False),
        ("logprobs is supported; seed is not supported", False),
    ],
)
def test_log_probabilities_are_given_up_where_they_and_nothing_else_are_refused(
    message: str, refused: bool
) -> None:
    error = error_of(Failure(status="INVALID_ARGUMENT", message=message), MODEL, ())
    assert isinstance(error, LogprobsRefusedError) == refused


def test_waits_are_read_as_seconds_or_as_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert retry_after_of({"retry-after": later}) == pytest.approx(30, abs=2)
    assert retry_after_of({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    for useless in ("soon", "-3", "nan", "inf", ""):
        assert retry_after_of({"retry-after": useless}) is None
    assert retry_after_of({}) is None


def test_messages_are_short_and_hold_no_token() -> None:
    said = clean(f"a {ACCESS_TOKEN} b\n Bearer abc.def c ya29.x-y_z " + "d" * 999, ["a "])
    assert "abc" not in said
    assert "ya29" not in said
    assert "\n" not in said
    assert len(said) < 420
