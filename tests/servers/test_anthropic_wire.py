"""The local Anthropic API answers the real SDK as the real one does, and refuses what that refuses."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import Anthropic, AnthropicVertex
from anthropic.types import MessageParam, TextBlock
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsBase
from google.oauth2 import service_account as google
from tests.servers.anthropic import API_KEY, AnthropicServer
from tests.servers.anthropic_models import MODELS
from tests.servers.anthropic_requests import Asked, Counted
from tests.servers.faults import Fault, Kind
from tests.servers.google_credentials import ACCESS_TOKEN, service_account

from whence.demo.records import PROMPT, generate

RECORD = generate(100)
LINES = [RECORD.text[start:end] for start, end in RECORD.spans]
TEXT = f'<source name="record">\n{RECORD.text}\n</source>\n\n{PROMPT}'
ASKED: list[MessageParam] = [{"role": "user", "content": TEXT}]
HAIKU, OPUS, OLDER = "claude-haiku-5-5", "claude-opus-5-5", "claude-sonnet-4-6"


@pytest.fixture(scope="module")
def running() -> Iterator[AnthropicServer]:
    with AnthropicServer() as server:
        yield server


@pytest.fixture
def server(running: AnthropicServer) -> AnthropicServer:
    running.forget()
    return running


@pytest.fixture(scope="module")
def connected(running: AnthropicServer) -> Iterator[Anthropic]:
    with Anthropic(
        api_key=API_KEY, base_url=running.url, max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


@pytest.fixture
def client(server: AnthropicServer, connected: Anthropic) -> Anthropic:
    return connected


def ask(client: Anthropic | AnthropicVertex, **changed: Any) -> anthropic.types.Message:
    asked: dict[str, Any] = {"model": HAIKU, "max_tokens": 160, "messages": ASKED} | changed
    message = client.messages.create(**asked)
    assert isinstance(message, anthropic.types.Message)
    return message


def text_of(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if isinstance(block, TextBlock))


def documents(*sources: dict[str, Any], cited: bool = True) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = [
        {"type": "document", "source": source, "title": "record", "citations": {"enabled": cited}}
        for source in sources
    ]
    return [{"role": "user", "content": [*blocks, {"type": "text", "text": PROMPT}]}]


BLOCKS = {"type": "content", "content": [{"type": "text", "text": line} for line in LINES]}
PLAIN = {"type": "text", "media_type": "text/plain", "data": RECORD.text}


# --- answers ---


def test_a_message_is_the_true_summary_and_is_billed_as_its_usage_says(
    server: AnthropicServer, client: Anthropic
) -> None:
    message = ask(client)
    assert text_of(message) == RECORD.summary
    assert message.stop_reason == "end_turn"
    assert (server.calls, server.input_tokens, server.output_tokens) == (
        1,
        message.usage.input_tokens,
        message.usage.output_tokens,
    )
    counted = client.messages.count_tokens(model=HAIKU, messages=ASKED)
    assert counted.input_tokens == message.usage.input_tokens
    assert server.calls == 1
    assert [seen.path for seen in server.seen] == ["/v1/messages", "/v1/messages/count_tokens"]
    assert server.seen[0].headers["authorization"] == f"Bearer {API_KEY}"
    assert server.seen[0].body["messages"] == ASKED


def test_models_that_always_think_give_the_thought_first_and_bill_it(client: Anthropic) -> None:
    quiet, thinking = ask(client), ask(client, model=OPUS)
    assert [block.type for block in thinking.content] == ["thinking", "text"]
    assert text_of(thinking) == text_of(quiet)
    details = thinking.usage.output_tokens_details
    assert details is not None
    assert thinking.usage.output_tokens - details.thinking_tokens == quiet.usage.output_tokens
    assert details.thinking_tokens > 0
    cut = ask(client, model=OPUS, max_tokens=details.thinking_tokens)
    assert ([block.type for block in cut.content], cut.stop_reason) == (["thinking"], "max_tokens")


@pytest.mark.parametrize("model", [HAIKU, OPUS])
def test_a_stream_adds_up_to_the_message(server: AnthropicServer, client: Anthropic, model: str) -> None:
    messages: Any = documents(BLOCKS)
    whole = ask(client, model=model, messages=messages)
    with client.messages.stream(model=model, max_tokens=160, messages=messages) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert [block.to_dict() for block in streamed.content] == [
        block.to_dict() if block.type != "text" or block.citations else {"type": "text", "text": block.text}
        for block in whole.content
    ]
    assert (streamed.stop_reason, streamed.usage.output_tokens) == ("end_turn", whole.usage.output_tokens)
    assert server.output_tokens == 2 * whole.usage.output_tokens


@pytest.mark.parametrize(("source", "kind"), [(BLOCKS, "content_block_location"), (PLAIN, "char_location")])
def test_citations_are_of_the_passages_that_a_sentence_rests_on(
    client: Anthropic, source: dict[str, Any], kind: str
) -> None:
    # A first document moves the indices of the second.
    other = {"type": "content", "content": "The weather was fine."}
    message = ask(client, messages=documents(other, source))
    blocks = [block for block in message.content if isinstance(block, TextBlock)]
    assert text_of(message) == RECORD.summary
    cited = [(block.text, citation) for block in blocks for citation in block.citations or ()]
    for _, citation in cited:
        assert citation.type == kind
        assert (citation.document_index, citation.document_title) == (1, "record")  # type: ignore[union-attr]
        if citation.type == "content_block_location":
            assert citation.cited_text == "".join(
                LINES[citation.start_block_index : citation.end_block_index]
            )
        elif citation.type == "char_location":
            assert citation.cited_text == RECORD.text[citation.start_char_index : citation.end_char_index]
    right = [
        any(LINES[line] in citation.cited_text for line in support.lines)
        for text, citation in cited
        for support in RECORD.truth
        if support.text == text.strip()
    ]
    assert len(right) >= 4
    assert sum(right) >= 0.7 * len(right)


def test_documents_that_are_not_cited_are_answered_without_citations(client: Anthropic) -> None:
    (block,) = ask(client, messages=documents(PLAIN, cited=False)).content
    assert isinstance(block, TextBlock)
    assert (block.text, block.citations) == (RECORD.summary, None)


def test_a_prefix_is_written_to_the_cache_once_and_then_read_from_it(
    server: AnthropicServer, client: Anthropic
) -> None:
    def content(question: str) -> list[dict[str, Any]]:
        source = TEXT.removesuffix(PROMPT)
        return [
            {"type": "text", "text": source, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            {"type": "text", "text": question},
        ]

    first, second = (
        ask(client, messages=[{"role": "user", "content": content(question)}]).usage
        for question in (PROMPT, "Which medicine was stopped?")
    )
    assert first.cache_creation_input_tokens == second.cache_read_input_tokens
    assert (first.cache_creation_input_tokens or 0) > 64
    assert first.cache_read_input_tokens == second.cache_creation_input_tokens == 0
    assert first.cache_creation is not None
    assert first.cache_creation.ephemeral_1h_input_tokens == first.cache_creation_input_tokens
    read = first.cache_creation_input_tokens or 0
    assert first.input_tokens + read == client.messages.count_tokens(model=HAIKU, messages=ASKED).input_tokens
    assert server.input_tokens == first.input_tokens + second.input_tokens + 2 * read


def test_only_an_older_model_takes_a_temperature_and_only_in_the_first_version(client: Anthropic) -> None:
    old = {"anthropic-version": "2023-06-01"}
    cold: dict[str, Any] = {"extra_body": {"temperature": 0}}
    assert text_of(ask(client, model=OLDER, extra_headers=old, **cold)) == RECORD.summary
    with pytest.raises(anthropic.BadRequestError, match="temperature: Extra inputs are not permitted"):
        ask(client, model=OLDER, **cold)
    with pytest.raises(anthropic.BadRequestError, match="`temperature` is not supported for this model"):
        ask(client, extra_headers=old, **cold)


def test_a_server_with_a_temperature_gives_no_answer_twice() -> None:
    with (
        AnthropicServer(temperature=3.0) as server,
        Anthropic(api_key=API_KEY, base_url=server.url) as client,
    ):
        assert len({text_of(ask(client, max_tokens=12)) for _ in range(3)}) == 3


def test_models_say_what_they_can(client: Anthropic) -> None:
    assert [model.id for model in client.models.list()] == list(MODELS)
    info = client.models.retrieve(OPUS)
    assert info.capabilities is not None
    assert info.capabilities.citations.supported
    assert not info.capabilities.thinking.types.disabled.supported
    assert info.max_input_tokens == 1024


def test_calls_that_come_together_are_in_flight_together(server: AnthropicServer, client: Anthropic) -> None:
    server.latency_seconds = 0.2
    with ThreadPoolExecutor(8) as pool:
        texts = set(pool.map(lambda _: text_of(ask(client)), range(8)))
    server.latency_seconds = 0.0
    assert texts == {RECORD.summary}
    assert 1 < server.most_in_flight <= server.calls == 8


# --- requests ---


def test_requests_have_the_fields_of_the_sdk_and_no_others() -> None:
    unused = {"container", "diagnostics", "output_config", "speed", "stop_sequences"}
    headers = {"user_profile_id", "workspace_id"}
    known = set(MessageCreateParamsBase.__annotations__) | {"stream"}
    assert set(Asked.model_fields) == known - unused - headers
    assert set(Counted.model_fields) == set(MessageCountTokensParams.__annotations__) - unused - headers


EMPTY = {"type": "text", "text": ""}
ASSISTANT = {"role": "assistant", "content": "The patient"}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"extra_body": {"seed": 1}}, "seed: Extra inputs are not permitted"),
        ({"messages": [*ASKED, ASSISTANT]}, "does not support assistant message prefill"),
        ({"messages": []}, "messages: List should have at least 1 item"),
        ({"messages": [{"role": "user", "content": [EMPTY]}]}, "text content blocks must be non-empty"),
        ({"messages": [{"role": "user", "content": " "}]}, "must contain non-whitespace text"),
        ({"system": ""}, "system: text content blocks must be non-empty"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "does not match any of the"),
        (
            {"messages": [*documents(PLAIN, cited=False), *documents(PLAIN)]},
            "citations must be enabled on all of the documents, or on none",
        ),
        ({"model": OPUS, "thinking": {"type": "disabled"}}, "is not supported for this model"),
        ({"messages": [{"role": "user", "content": TEXT * 9}]}, r"prompt is too long: \d+ tokens > 1024 max"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
        ({"extra_headers": {"anthropic-version": "2020-01-01"}}, "is not a valid version"),
    ],
)
def test_a_bad_request_is_refused_in_the_words_of_the_api(
    server: AnthropicServer, client: Anthropic, changed: dict[str, Any], told: str
) -> None:
    with pytest.raises(anthropic.BadRequestError, match=told) as raised:
        ask(client, **changed)
    assert raised.value.type == "invalid_request_error"
    assert (raised.value.request_id or "").startswith("req_")
    assert (server.calls, server.input_tokens, server.output_tokens) == (1, 0, 0)


def test_an_unknown_model_and_a_wrong_key_are_told_apart(server: AnthropicServer, client: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as raised:
        ask(client, model="claude-nothing")
    assert raised.value.type == "not_found_error"
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("claude-nothing")
    with Anthropic(api_key="sk-wrong", base_url=server.url) as stranger:
        with pytest.raises(anthropic.AuthenticationError):
            ask(stranger)
        with pytest.raises(anthropic.AuthenticationError):
            stranger.models.list()


# --- faults ---


@pytest.mark.parametrize(
    ("kind", "error", "told"),
    [
        ("rate_limit", anthropic.RateLimitError, "rate_limit_error"),
        ("spend_limit", anthropic.RateLimitError, "rate_limit_error"),
        ("server_error", anthropic.InternalServerError, "api_error"),
        ("overloaded", anthropic.APIStatusError, "overloaded_error"),
        ("wrong_key", anthropic.AuthenticationError, "authentication_error"),
        ("forbidden", anthropic.PermissionDeniedError, "permission_error"),
        ("quota", anthropic.APIStatusError, "billing_error"),
        ("low_credit", anthropic.BadRequestError, "invalid_request_error"),
        ("context_length", anthropic.BadRequestError, "invalid_request_error"),
    ],
)
def test_a_fault_is_met_once_and_is_the_error_that_the_sdk_knows(
    server: AnthropicServer,
    client: Anthropic,
    kind: Kind,
    error: type[anthropic.APIStatusError],
    told: str,
) -> None:
    server.faults += [Fault(kind=kind, retry_after_seconds=2.5), None]
    with pytest.raises(error) as raised:
        ask(client)
    assert raised.value.type == told
    assert raised.value.request_id == raised.value.response.json()["request_id"]
    waits = kind in ("rate_limit", "server_error", "overloaded")
    assert raised.value.response.headers.get("retry-after") == ("2.5" if waits else None)
    assert raised.value.error_code == ("enforced_spend_limit_reached" if kind == "spend_limit" else None)
    assert text_of(ask(client)) == RECORD.summary
    assert server.calls == 2


def test_an_error_may_repeat_the_key(server: AnthropicServer, client: Anthropic) -> None:
    server.faults.append(Fault(kind="echo_key"))
    with pytest.raises(anthropic.AuthenticationError, match=API_KEY):
        ask(client)


def test_a_stream_may_break_off_with_an_error(server: AnthropicServer, client: Anthropic) -> None:
    server.faults.append(Fault(kind="overloaded", mid_stream=True))
    texts: list[str] = []
    with (
        pytest.raises(anthropic.APIStatusError, match="overloaded_error"),
        client.messages.stream(model=HAIKU, max_tokens=160, messages=ASKED) as stream,
    ):
        texts.extend(stream.text_stream)
    assert texts == [RECORD.summary[:16]]


@pytest.mark.parametrize("stream", [False, True])
def test_a_connection_may_be_cut_within_the_body(
    server: AnthropicServer, client: Anthropic, stream: bool
) -> None:
    server.faults.append(Fault(kind="cut_connection"))
    with pytest.raises((anthropic.APIConnectionError, httpx2.RemoteProtocolError)):
        list(client.messages.create(model=HAIKU, max_tokens=160, messages=ASKED, stream=stream))
    assert text_of(ask(client)) == RECORD.summary


def test_a_body_may_come_too_slowly(server: AnthropicServer, client: Anthropic) -> None:
    ask(client, max_tokens=4)  # what was answered once is answered at once, so that only the body is slow
    server.faults.append(Fault(kind="slow_body", seconds=60))
    patient = httpx2.Timeout(60, read=2)
    with client.messages.with_streaming_response.create(
        model=HAIKU, max_tokens=4, messages=ASKED, timeout=patient
    ) as response:
        assert response.status_code == 200
        with pytest.raises((anthropic.APITimeoutError, httpx2.ReadTimeout)):
            response.read()


def test_a_body_may_be_no_json(server: AnthropicServer, client: Anthropic) -> None:
    server.faults.append(Fault(kind="malformed_json"))
    with pytest.raises(ValueError, match=r"Unterminated|Expecting|control"):
        ask(client)


def test_a_refusal_says_why_and_is_billed_for_what_was_read(
    server: AnthropicServer, client: Anthropic
) -> None:
    server.faults.append(Fault(kind="refusal"))
    message = ask(client, model=OPUS)
    assert (message.content, message.stop_reason) == ([], "refusal")
    assert message.stop_details is not None
    assert (server.calls, server.input_tokens, server.output_tokens) == (1, message.usage.input_tokens, 0)
    assert server.input_tokens > 0


def test_an_answer_may_have_no_text_or_too_little(server: AnthropicServer, client: Anthropic) -> None:
    kinds: tuple[Kind, ...] = ("no_text", "thinking_only", "max_tokens")
    server.faults += [Fault(kind=kind) for kind in kinds]
    empty, thoughts, cut = (ask(client) for _ in kinds)
    assert (empty.content, empty.stop_reason) == ([], "end_turn")
    assert ([block.type for block in thoughts.content], thoughts.stop_reason) == (["thinking"], "max_tokens")
    assert thoughts.usage.output_tokens == 160
    assert cut.stop_reason == "max_tokens"
    assert RECORD.summary.startswith(text_of(cut))
    assert 0 < len(text_of(cut)) < len(RECORD.summary)


# --- Vertex AI ---


def test_claude_on_vertex_answers_with_a_token_of_a_service_account(
    server: AnthropicServer, tmp_path: Path
) -> None:
    path = service_account(tmp_path / "account.json", f"{server.url}/token")
    credentials = google.Credentials.from_service_account_file(  # type: ignore[no-untyped-call]
        str(path), scopes=["https://www.googleapis.com/auth/cloud-platform"]
    )
    with AnthropicVertex(
        region="local", project_id="p", credentials=credentials, base_url=server.url, max_retries=0
    ) as client:
        message = ask(client)
        assert text_of(message) == RECORD.summary
        with client.messages.stream(model=HAIKU, max_tokens=160, messages=ASKED) as stream:
            assert "".join(stream.text_stream) == RECORD.summary
        counted = client.messages.count_tokens(model=HAIKU, messages=ASKED)
        assert counted.input_tokens == message.usage.input_tokens
        with pytest.raises(anthropic.NotFoundError, match="NOT_FOUND"):
            ask(client, model="claude-nothing")
    paths = [seen.path for seen in server.seen if seen.path != "/token"]
    assert paths[0] == f"/projects/p/locations/local/publishers/anthropic/models/{HAIKU}:rawPredict"
    assert server.seen[1].headers["authorization"] == f"Bearer {ACCESS_TOKEN}"
    with (
        AnthropicVertex(
            region="local", project_id="p", access_token="no", base_url=f"{server.url}/v1", max_retries=0
        ) as stranger,
        pytest.raises(anthropic.AuthenticationError, match="UNAUTHENTICATED"),
    ):
        ask(stranger)
