"""Google's own clients get from the local servers what they would get from Vertex AI."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import grpc  # type: ignore[import-untyped]
import httpx
import pytest
from google import genai
from google.api_core import exceptions as google_errors
from google.cloud import aiplatform_v1 as v1
from google.genai import errors, types
from google.oauth2 import service_account
from google.oauth2.credentials import Credentials
from tests.servers import discovery
from tests.servers.answers import writer
from tests.servers.faults import Fault, Kind
from tests.servers.google_credentials import ACCESS_TOKEN, PROJECT
from tests.servers.google_credentials import service_account as write_service_account
from tests.servers.vertex import VertexServer
from tests.servers.vertex_answers import LOCATION, THOUGHT, THOUGHT_TOKENS
from tests.servers.vertex_grpc import VertexGrpcServer

from whence.demo.records import PROMPT, generate

Answer = TypeVar("Answer")
RECORD = generate(0, sentences=10)
QUESTION = f'<source name="record">\n{RECORD.text}\n</source>\n\n{PROMPT}'
TURNS = [("user", QUESTION)]
FLASH = "gemini-2.5-flash"
GREEDY = types.GenerateContentConfig(temperature=0, max_output_tokens=20)
WITH_LOGPROBS = GREEDY.model_copy(update={"response_logprobs": True, "logprobs": 3})


@pytest.fixture(scope="module")
def rest() -> Iterator[VertexServer]:
    with VertexServer() as server:
        yield server


@pytest.fixture(scope="module")
def rpc() -> Iterator[VertexGrpcServer]:
    with VertexGrpcServer() as server:
        yield server


@pytest.fixture(autouse=True)
def _fresh(rest: VertexServer, rpc: VertexGrpcServer) -> None:
    rest.forget()
    rpc.forget()


def over_rest(
    server: VertexServer,
    ask: Callable[[Any], Awaitable[Answer]],
    *,
    project: str = PROJECT,
    credentials: Any = None,
) -> Answer:
    """What `ask` gets of the SDK's asynchronous models."""

    async def main() -> Answer:
        client = genai.Client(
            enterprise=True,
            project=project,
            location=LOCATION,
            credentials=credentials or Credentials(token=ACCESS_TOKEN),  # type: ignore[no-untyped-call]
            http_options=types.HttpOptions(base_url=server.url, api_version="v1"),
        )
        async with client.aio as aio:
            answer = await ask(aio.models)
        client.close()
        return answer

    return asyncio.run(main())


def generated(config: types.GenerateContentConfig, model: str = FLASH) -> Callable[[Any], Awaitable[Any]]:
    return lambda models: models.generate_content(model=model, contents=QUESTION, config=config)


async def streamed(models: Any) -> list[types.GenerateContentResponse]:
    chunks = await models.generate_content_stream(model=FLASH, contents=QUESTION, config=WITH_LOGPROBS)
    return [chunk async for chunk in chunks]


def over_grpc(
    server: VertexGrpcServer,
    ask: Callable[[grpc.aio.Channel, list[tuple[str, str]]], Awaitable[Answer]],
) -> Answer:
    """What `ask` gets over a plain channel, with the metadata of a caller who may ask."""

    async def main() -> Answer:
        async with grpc.aio.insecure_channel(server.address) as channel:
            return await ask(channel, [("authorization", f"Bearer {ACCESS_TOKEN}")])

    return asyncio.run(main())


def predictions(channel: grpc.aio.Channel) -> v1.PredictionServiceAsyncClient:
    transport = v1.PredictionServiceAsyncClient.get_transport_class("grpc_asyncio")
    return v1.PredictionServiceAsyncClient(transport=transport(channel=channel))


def message(model: str = FLASH, **config: Any) -> v1.GenerateContentRequest:
    return v1.GenerateContentRequest(
        model=f"projects/{PROJECT}/locations/{LOCATION}/publishers/google/models/{model}",
        contents=[v1.Content(role="user", parts=[v1.Part(text=QUESTION)])],
        generation_config=v1.GenerationConfig(temperature=0, max_output_tokens=20, **config),
    )


async def asked(channel: grpc.aio.Channel, metadata: list[tuple[str, str]]) -> Any:
    request = message(response_logprobs=True, logprobs=3)
    return await predictions(channel).generate_content(request, metadata=metadata)


async def asked_for_a_stream(channel: grpc.aio.Channel, metadata: list[tuple[str, str]]) -> list[Any]:
    request = message(response_logprobs=True, logprobs=3)
    stream = await predictions(channel).stream_generate_content(request, metadata=metadata)
    return [chunk async for chunk in stream]


def both(
    rest: VertexServer, rpc: VertexGrpcServer
) -> list[tuple[VertexServer | VertexGrpcServer, Callable[[], Any]]]:
    """Each server, and the same question to it."""
    return [
        (rest, partial(over_rest, rest, generated(WITH_LOGPROBS))),
        (rpc, partial(over_grpc, rpc, asked)),
    ]


def require_true_logprobs(responses: list[Any]) -> None:
    """All that is told of the answer is what the model itself says of it."""
    written = writer().write(TURNS, max_tokens=20, top=3)
    candidates = [response.candidates[0] for response in responses]
    texts = [part.text for candidate in candidates for part in candidate.content.parts]
    assert "".join(texts) == written.text
    assert RECORD.summary.startswith(written.text)
    told = [candidate.logprobs_result for candidate in candidates]
    chosen = [token for result in told for token in result.chosen_candidates]
    assert [(token.token, token.token_id) for token in chosen] == [
        (piece.text, piece.id) for piece in written.pieces
    ]
    assert [token.log_probability for token in chosen] == pytest.approx(
        [piece.logprob_nats for piece in written.pieces], abs=1e-5
    )
    top = [token for result in told for place in result.top_candidates for token in place.candidates]
    assert [(token.token, token.token_id) for token in top] == [
        (text, number) for piece in written.pieces for text, number, _ in piece.top
    ]
    assert responses[-1].usage_metadata.prompt_token_count == written.prompt_tokens
    assert responses[-1].usage_metadata.candidates_token_count == written.output_tokens


def test_both_wires_tell_the_answer_of_the_model_and_what_it_was_worth(
    rest: VertexServer, rpc: VertexGrpcServer
) -> None:
    require_true_logprobs([over_rest(rest, generated(WITH_LOGPROBS))])
    require_true_logprobs([over_grpc(rpc, asked)])
    chunks, messages = over_rest(rest, streamed), over_grpc(rpc, asked_for_a_stream)
    assert len(chunks) == len(messages) == 3
    require_true_logprobs(chunks)
    require_true_logprobs(messages)
    for server in (rest, rpc):
        usage = chunks[-1].usage_metadata
        assert usage is not None
        assert server.calls == len(server.seen) == 2
        assert server.input_tokens == 2 * (usage.prompt_token_count or 0)
        assert server.output_tokens == 2 * (usage.candidates_token_count or 0)


def test_both_wires_count_tokens_and_that_is_no_call(rest: VertexServer, rpc: VertexGrpcServer) -> None:
    counted = over_rest(rest, lambda models: models.count_tokens(model=FLASH, contents=QUESTION))

    async def count(channel: grpc.aio.Channel, metadata: list[tuple[str, str]]) -> Any:
        transport = v1.LlmUtilityServiceAsyncClient.get_transport_class("grpc_asyncio")
        client = v1.LlmUtilityServiceAsyncClient(transport=transport(channel=channel))
        request = v1.CountTokensRequest(endpoint=message().model, contents=message().contents)
        return await client.count_tokens(request, metadata=metadata)

    assert counted.total_tokens == over_grpc(rpc, count).total_tokens == writer().count(TURNS)
    assert rest.calls == rpc.calls == 0


def test_an_answer_is_drawn_where_the_request_does_not_say_otherwise(rest: VertexServer) -> None:
    def drawn(**config: Any) -> str | None:
        drawing = types.GenerateContentConfig(max_output_tokens=12, **config)
        text: str | None = over_rest(rest, generated(drawing)).text
        return text

    seeded = [drawn(seed=seed, temperature=3) for seed in (1, 1, 2)]
    assert seeded[0] == seeded[1] != seeded[2]
    assert drawn(temperature=3) != drawn(temperature=3)


def test_a_model_that_thinks_tells_it_first_and_takes_it_from_the_limit(rest: VertexServer) -> None:
    answer = over_rest(rest, generated(WITH_LOGPROBS, "gemini-2.5-pro"))
    thought, text = answer.candidates[0].content.parts
    assert (thought.thought, thought.text) == (True, THOUGHT)
    assert text.text == answer.text
    assert RECORD.summary.startswith(answer.text)
    chosen = answer.candidates[0].logprobs_result.chosen_candidates
    assert "".join(token.token for token in chosen) == answer.text
    assert answer.usage_metadata.thoughts_token_count == THOUGHT_TOKENS
    assert rest.output_tokens == THOUGHT_TOKENS + answer.usage_metadata.candidates_token_count
    short = GREEDY.model_copy(update={"max_output_tokens": THOUGHT_TOKENS})
    answer = over_rest(rest, generated(short, "gemini-2.5-pro"))
    assert answer.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert not answer.text


@pytest.mark.parametrize(
    ("kind", "http", "status", "exception"),
    [
        ("rate_limit", 429, "RESOURCE_EXHAUSTED", google_errors.ResourceExhausted),
        ("spend_limit", 429, "RESOURCE_EXHAUSTED", google_errors.ResourceExhausted),
        ("server_error", 500, "INTERNAL", google_errors.InternalServerError),
        ("overloaded", 503, "UNAVAILABLE", google_errors.ServiceUnavailable),
        ("wrong_key", 401, "UNAUTHENTICATED", google_errors.Unauthenticated),
        ("forbidden", 403, "PERMISSION_DENIED", google_errors.PermissionDenied),
        ("quota", 403, "PERMISSION_DENIED", google_errors.PermissionDenied),
        ("context_length", 400, "INVALID_ARGUMENT", google_errors.InvalidArgument),
        ("logprobs_refused", 400, "INVALID_ARGUMENT", google_errors.InvalidArgument),
        ("echo_key", 400, "INVALID_ARGUMENT", google_errors.InvalidArgument),
    ],
)
def test_an_error_is_the_same_on_both_wires(
    rest: VertexServer,
    rpc: VertexGrpcServer,
    kind: Kind,
    http: int,
    status: str,
    exception: type[google_errors.GoogleAPICallError],
) -> None:
    for server in (rest, rpc):
        server.faults.append(Fault(kind=kind))
    with pytest.raises(errors.APIError) as of_rest:
        over_rest(rest, generated(WITH_LOGPROBS))
    assert (of_rest.value.code, of_rest.value.status) == (http, status)
    with pytest.raises(exception) as of_grpc:
        over_grpc(rpc, asked)
    assert of_grpc.value.message == of_rest.value.message
    assert (ACCESS_TOKEN in of_grpc.value.message) == (kind == "echo_key")
    for server in (rest, rpc):
        assert (server.calls, server.input_tokens) == (1, 0)


def test_an_error_says_how_long_to_wait_and_why(rest: VertexServer, rpc: VertexGrpcServer) -> None:
    for kind in ("rate_limit", "overloaded", "quota"):
        rest.faults.append(Fault(kind=kind, retry_after_seconds=None if kind == "quota" else 1.5))
    told = []
    for _ in range(3):
        with pytest.raises(errors.APIError) as error:
            over_rest(rest, generated(GREEDY))
        response: Any = error.value.response
        told.append((error.value.details["error"].get("details", [{}])[0], response.headers))
    assert told[0][0] == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.500s"}
    assert told[1][1]["retry-after"] == "1.5"
    assert told[2][0]["reason"] == "BILLING_DISABLED"
    rpc.faults.append(Fault(kind="overloaded", retry_after_seconds=1.5))
    with pytest.raises(google_errors.ServiceUnavailable) as over:
        over_grpc(rpc, asked)
    assert over.value.details[0].retry_delay.ToMilliseconds() == 1500


def test_what_does_not_exist_or_is_not_ours_is_refused(rest: VertexServer, rpc: VertexGrpcServer) -> None:
    def refused(ask: Callable[[Any], Awaitable[Any]], **options: Any) -> str | None:
        with pytest.raises(errors.APIError) as error:
            over_rest(rest, ask, **options)
        return error.value.status

    assert refused(generated(GREEDY, "gemini-1.0")) == "NOT_FOUND"
    assert refused(generated(GREEDY), project="another") == "PERMISSION_DENIED"
    wrong = Credentials(token="wrong")  # type: ignore[no-untyped-call]
    assert refused(generated(GREEDY), credentials=wrong) == "UNAUTHENTICATED"
    assert refused(generated(WITH_LOGPROBS, "gemini-3.5-flash")) == "INVALID_ARGUMENT"
    url = f"{rest.url}/v1/{message().model}:generateContent"
    headers = {"authorization": f"Bearer {ACCESS_TOKEN}"}
    told = httpx.post(url, json={"contents": [{"parts": [{"txt": "a"}]}]}, headers=headers)
    assert told.status_code == 400
    assert "'txt' was unexpected" in told.json()["error"]["message"]

    async def with_metadata(channel: grpc.aio.Channel, metadata: list[tuple[str, str]]) -> Any:
        call = channel.unary_unary(
            "/google.cloud.aiplatform.v1.PredictionService/GenerateContent",
            request_serializer=v1.GenerateContentRequest.serialize,
        )
        return await call(message(), metadata=metadata)

    with pytest.raises(grpc.aio.AioRpcError, match="does not name the model"):
        over_grpc(rpc, with_metadata)
    with pytest.raises(google_errors.Unauthenticated):
        over_grpc(rpc, lambda channel, _: asked(channel, []))
    assert (rest.calls, rpc.calls) == (5, 2)


def test_refusals_and_answers_without_text_have_the_fields_of_google(
    rest: VertexServer, rpc: VertexGrpcServer
) -> None:
    for server, ask in both(rest, rpc):
        kinds: tuple[Kind, ...] = ("refusal", "no_text", "thinking_only", "max_tokens")
        server.faults.extend(Fault(kind=kind) for kind in kinds)
        refused, empty, thinking, cut = [ask().candidates[0] for _ in kinds]
        assert refused.finish_reason.name == "SAFETY"
        assert not refused.content
        assert empty.finish_reason.name == "STOP"
        assert not empty.content.parts
        assert thinking.finish_reason.name == cut.finish_reason.name == "MAX_TOKENS"
        assert [part.thought for part in thinking.content.parts] == [True]
        assert RECORD.summary.startswith(cut.content.parts[0].text)
        server.gemini.refuses = "prompt"
        server.faults.append(Fault(kind="refusal"))
        blocked = ask()
        server.gemini.refuses = "answer"
        assert not blocked.candidates
        assert blocked.prompt_feedback.block_reason.name == "PROHIBITED_CONTENT"


def test_log_probabilities_can_be_too_few_too_many_or_none(rest: VertexServer, rpc: VertexGrpcServer) -> None:
    for server, ask in both(rest, rpc):
        kinds: tuple[Kind, ...] = ("fewer_logprobs", "more_logprobs", "nan_logprob")
        server.faults.extend(Fault(kind=kind) for kind in kinds)
        told = [ask().candidates[0].logprobs_result.chosen_candidates for _ in kinds]
        assert len(told[0]) == len(told[2]) - 1 == len(told[1]) - 2
        assert math.isnan(told[2][0].log_probability)
        assert not math.isnan(told[2][1].log_probability)


def test_what_arrives_damaged_is_seen_by_the_clients(rest: VertexServer, rpc: VertexGrpcServer) -> None:
    rest.faults.extend([Fault(kind="cut_connection"), Fault(kind="malformed_json")])
    with pytest.raises(httpx.RemoteProtocolError):
        over_rest(rest, generated(GREEDY))
    with pytest.raises(json.JSONDecodeError):
        over_rest(rest, generated(GREEDY))
    rpc.faults.extend([Fault(kind="cut_connection"), Fault(kind="malformed_json")])
    with pytest.raises(google_errors.ServiceUnavailable):
        over_grpc(rpc, asked)
    assert over_grpc(rpc, asked) is None  # grpc.aio gives None for a message that it cannot read
    assert rest.output_tokens == rpc.output_tokens == 0


def test_a_stream_can_end_in_an_error(rest: VertexServer, rpc: VertexGrpcServer) -> None:
    rest.faults.extend([Fault(kind="overloaded", mid_stream=True), Fault(kind="cut_connection")])
    with pytest.raises(errors.ServerError):
        over_rest(rest, streamed)
    with pytest.raises(httpx.RemoteProtocolError):
        over_rest(rest, streamed)
    rpc.faults.extend([Fault(kind="overloaded", mid_stream=True), Fault(kind="cut_connection")])

    async def ask(channel: grpc.aio.Channel, metadata: list[tuple[str, str]]) -> None:
        stream = await predictions(channel).stream_generate_content(message(), metadata=metadata)
        chunks = aiter(stream)
        assert (await anext(chunks)).candidates
        with pytest.raises(google_errors.ServiceUnavailable):
            await anext(chunks)

    over_grpc(rpc, ask)
    over_grpc(rpc, ask)


def test_a_slow_body_arrives_for_who_waits_long_enough(rest: VertexServer, rpc: VertexGrpcServer) -> None:
    rest.faults.append(Fault(kind="slow_body", seconds=0.0001))
    assert over_rest(rest, generated(GREEDY)).candidates
    rpc.faults.append(Fault(kind="slow_body", seconds=60))

    async def ask(channel: grpc.aio.Channel, metadata: list[tuple[str, str]]) -> Any:
        return await predictions(channel).generate_content(message(), metadata=metadata, timeout=1)

    with pytest.raises(google_errors.DeadlineExceeded):
        over_grpc(rpc, ask)


def test_a_service_account_gets_a_token(rest: VertexServer, tmp_path: Path) -> None:
    key = write_service_account(tmp_path / "key.json", f"{rest.url}/token")
    credentials = service_account.Credentials.from_service_account_file(  # type: ignore[no-untyped-call]
        str(key), scopes=["https://www.googleapis.com/auth/cloud-platform"]
    )
    assert over_rest(rest, generated(GREEDY), credentials=credentials).candidates


def test_a_payload_that_google_would_not_send_is_found() -> None:
    assert not discovery.problem("CountTokensResponse", {"totalTokens": 3}, request=False)
    wrong: list[object] = [{"totalTokens": "3"}, {"total_tokens": 3}, {"tokens": 3}, []]
    for payload in wrong:
        assert discovery.problem("CountTokensResponse", payload, request=False)
