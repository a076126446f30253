"""A model asked through its Ollama: what it writes, and streams that nobody wishes for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.responses import Response
from tests.providers.ollama.asking import HOSTILE, MAX_TOKENS, answer, chats, score
from tests.providers.ollama.conftest import Make
from tests.servers.answers import writer
from tests.servers.faults import Fault
from tests.servers.ollama import OllamaServer
from tests.servers.ollama_store import THINKING

from whence import Explainer, Source, UnavailableError
from whence.demo.records import PROMPT, generate
from whence.providers.base import Step
from whence.providers.errors import (
    ContextLengthError,
    CutError,
    ProviderError,
    UnsupportedError,
    WhenceError,
)
from whence.providers.observations import Generation
from whence.providers.prompt import Message, Prompt, build_prompt


def test_the_answer_is_the_model_s_own_with_the_tokens_that_it_took(
    ollama: Make, server: OllamaServer, prompt: Prompt
) -> None:
    written = writer().write([(turn.role, turn.text) for turn in prompt.turns()], max_tokens=MAX_TOKENS)
    assert answer(ollama(native=False), prompt) == Generation(
        text=written.text, prompt_tokens=written.prompt_tokens, output_tokens=written.output_tokens
    )
    assert written.text == generate(1, sentences=10).summary
    assert (server.calls, server.input_tokens) == (1, written.prompt_tokens)


def test_every_call_forbids_that_anything_is_cut_shifted_or_thought(
    ollama: Make, server: OllamaServer, prompt: Prompt
) -> None:
    provider = ollama(native=False, num_ctx=512, temperature=0.5)
    answer(provider, prompt)
    score(provider, prompt, "Latex.")
    Explainer(ollama(native=True)).explain(PROMPT, sources=["Latex."], output="Latex.", method="attention")
    bodies = chats(server)
    assert len(bodies) > 3
    for body in bodies:
        assert (body["truncate"], body["shift"], body["think"]) == (False, False, False)
    assert [body["options"]["num_ctx"] for body in bodies] == [512, 512, *[1024] * (len(bodies) - 2)]
    assert [body["options"]["temperature"] for body in bodies[:2]] == [0.5, 0]


def test_a_system_message_of_the_caller_is_sent_as_one(ollama: Make, server: OllamaServer) -> None:
    prompt = build_prompt(PROMPT, sources=[Source(text="Latex.", name="record")], system="Be brief.")
    answer(ollama(native=False), prompt, max_tokens=4)
    assert [message["role"] for message in chats(server)[0]["messages"]] == ["system", "user"]


def test_messages_keep_their_roles_and_their_order(ollama: Make, server: OllamaServer) -> None:
    said = (
        Message(role="user", content=("Hello.",)),
        Message(role="assistant", content=("Hello!",)),
        Message(role="user", content=(Source(text="Latex.", name="record"), PROMPT)),
    )
    answer(ollama(native=False), Prompt(messages=said), max_tokens=4)
    assert [one["role"] for one in chats(server)[0]["messages"]] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("kind", "finish", "has_text"),
    [("max_tokens", "length", True), ("thinking_only", "length", False), ("no_text", "stop", False)],
)
def test_an_answer_that_is_cut_or_has_no_text_is_given_as_it_is(
    ollama: Make, server: OllamaServer, prompt: Prompt, kind: Any, finish: str, has_text: bool
) -> None:
    server.faults.append(Fault(kind=kind))
    found = answer(ollama(native=False), prompt)
    assert (found.finish, bool(found.text)) == (finish, has_text)
    assert found.output_tokens == server.output_tokens


def test_a_model_that_thinks_is_told_not_to(ollama: Make, prompt: Prompt) -> None:
    assert answer(ollama(THINKING, native=False), prompt).text == generate(1, sentences=10).summary


def test_progress_is_told_and_ends_with_what_was_written(ollama: Make, prompt: Prompt) -> None:
    steps: list[Step] = []

    async def ask() -> Generation:
        return await ollama(native=False).generate(
            prompt, max_tokens=MAX_TOKENS, seed=0, progress=steps.append
        )

    found = asyncio.run(ask())
    assert (steps[-1].stage, steps[-1].done, steps[-1].total) == ("generate", found.output_tokens, MAX_TOKENS)


# Streams that nobody wishes for.


def line(content: str, **fields: Any) -> str:
    return json.dumps({"message": {"content": content}, "done": False, **fields}, ensure_ascii=False)


DONE = json.dumps({"done": True, "done_reason": "stop", "prompt_eval_count": 7, "eval_count": 3})


class Scripted(OllamaServer):
    """Ollama but for chats, which are answered with `body`."""

    body = ""

    def app(self) -> Any:
        own, told = super().app(), self

        async def app(scope: Any, receive: Any, send: Any) -> None:
            chats = scope["type"] == "http" and scope["path"] == "/api/chat"
            answer = Response(told.body.encode(), media_type="application/x-ndjson") if chats else own
            await answer(scope, receive, send)

        return app


@pytest.fixture(scope="module")
def scripted() -> Any:
    with Scripted() as server:
        yield server


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_line_of_a_stream_ends_where_json_says(
    scripted: Scripted, ollama: Make, prompt: Prompt, text: str
) -> None:
    scripted.body = "\n".join([line(text), "", line(text), DONE])
    found = answer(ollama(native=False, at=scripted), prompt)
    assert found == Generation(text=text * 2, prompt_tokens=7, output_tokens=3)


def test_a_stream_that_ends_without_an_end_is_an_answer_that_was_cut(
    scripted: Scripted, ollama: Make, prompt: Prompt
) -> None:
    scripted.body = "\n".join([line("Seen."), line(" Seen.")])
    found = answer(ollama(native=False, at=scripted), prompt)
    assert (found.text, found.finish) == ("Seen. Seen.", "length")
    assert (found.prompt_tokens, found.output_tokens) == (None, 2)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("{", "an answer that Ollama would not give"),
        ("[]", "an answer that Ollama would not give"),
        ("\x00", "an answer that Ollama would not give"),
        (line("a") + "\n" + json.dumps({"error": "boom"}), "boom"),
        (json.dumps({"done": True, "prompt_eval_count": -1}), "an answer that Ollama would not give"),
        (json.dumps({"message": {"content": 7}}), "an answer that Ollama would not give"),
    ],
)
def test_an_answer_of_another_form_is_an_error_that_may_pass(
    scripted: Scripted, ollama: Make, prompt: Prompt, body: str, says: str
) -> None:
    scripted.body = body
    with pytest.raises(UnavailableError, match=says):
        answer(ollama(native=False, at=scripted), prompt)


def reply(content: str, tokens: Sequence[str] | None, **fields: Any) -> str:
    told = {} if tokens is None else {"logprobs": [{"token": one, "logprob": -1.0} for one in tokens]}
    message = {"content": content, **fields.pop("message", {})}
    counts = {"prompt_eval_count": 7, "eval_count": 3}
    return json.dumps({"message": message, "done": True, "done_reason": "stop", **counts, **told, **fields})


@pytest.mark.parametrize(
    ("body", "error", "says"),
    [
        (reply('"Latex."', None), UnsupportedError, "without log-probabilities.*similarity"),
        (reply("Latex.", ["Latex."]), ProviderError, "something else than the text"),
        (reply('"Latex."', ["Penicillin"]), ProviderError, "do not fit the text"),
        (
            reply('"La', ['"La'], done_reason="length", prompt_eval_count=1015),
            ContextLengthError,
            "1024 that this model can read",
        ),
        (
            reply('"La', ['"La'], done_reason="length"),
            CutError,
            "stopped after 3 tokens.*1024 tokens is not full",
        ),
        (
            reply('"Latex."', ['"Latex."'], message={"thinking": "Hm."}),
            UnsupportedError,
            "demo thinks before it writes, even where it is told not to.*similarity",
        ),
        (reply('"Latex."', ['"Latex."'], error="boom"), UnavailableError, "boom"),
        ("{}", UnsupportedError, "without log-probabilities"),
        ("<html>", UnavailableError, "an answer that Ollama would not give"),
    ],
)
def test_what_is_no_score_is_an_error_by_name(
    scripted: Scripted, ollama: Make, prompt: Prompt, body: str, error: type[WhenceError], says: str
) -> None:
    scripted.body = body
    with pytest.raises(error, match=says):
        score(ollama(native=False, at=scripted), prompt, "Latex.")


def test_an_entry_that_is_missing_is_missing(scripted: Scripted, ollama: Make, prompt: Prompt) -> None:
    scripted.body = reply('"Latex é."', ['"Latex ', '."'], eval_count=5)
    scores = score(ollama(native=False, at=scripted), prompt, "Latex é.")
    assert scores.spans == ((0, 6), (6, 7), (7, 8))
    assert scores.logprobs_nats == (-1.0, None, -1.0)
