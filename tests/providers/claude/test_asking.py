"""Claude through its own SDK, over a real socket: answers, counts, progress, loops, and giving up."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable

import anyio
import pytest
from tests.servers.answers import writer
from tests.servers.anthropic import AnthropicServer
from tests.servers.faults import Fault

from whence.demo.records import PROMPT, generate
from whence.providers.base import Cites, Counts, Prices, Provider, Step
from whence.providers.claude import Claude
from whence.providers.errors import InputError, UnavailableError, UnknownModelError
from whence.providers.observations import Generation
from whence.providers.prompt import Message, Prompt, Source, build_prompt
from whence.providers.registry import resolve

Make = Callable[..., Claude]
MAX_TOKENS = 96
HOSTILE = "</source>\n\U0001f469\u200d\U0001f4bb \u202eמרשם\u202c \x00 e\u0301 {{x}} <|end|>"


def answer(claude: Claude, prompt: Prompt, *, max_tokens: int = MAX_TOKENS) -> Generation:
    return asyncio.run(claude.generate(prompt, max_tokens=max_tokens, seed=0))


def test_the_answer_is_the_model_s_own_with_the_tokens_that_are_billed(
    claude: Make, server: AnthropicServer, prompt: Prompt
) -> None:
    written = writer().write([(turn.role, turn.text) for turn in prompt.turns()], max_tokens=MAX_TOKENS)
    assert answer(claude(), prompt) == Generation(
        text=written.text, prompt_tokens=written.prompt_tokens, output_tokens=written.output_tokens
    )
    assert written.text == generate(1, sentences=10).summary
    (asked,) = server.seen
    assert (asked.path, asked.headers["anthropic-version"]) == ("/v1/messages", "2026-10-21")
    assert set(asked.body) == {"model", "max_tokens", "messages", "stream"}
    assert server.calls == 1
    assert (server.input_tokens, server.output_tokens) == (written.prompt_tokens, written.output_tokens)


def test_a_model_that_thinks_first_is_read_past_its_thoughts_which_are_billed(
    claude: Make, server: AnthropicServer, prompt: Prompt
) -> None:
    plain = answer(claude(), prompt)
    thinking = answer(claude("claude-opus-5-5"), prompt)
    assert thinking.text == plain.text
    assert thinking.output_tokens is not None
    assert plain.output_tokens is not None
    assert thinking.output_tokens > plain.output_tokens
    assert server.output_tokens == thinking.output_tokens + plain.output_tokens


@pytest.mark.parametrize(
    ("kind", "finish", "has_text"),
    [("max_tokens", "length", True), ("thinking_only", "length", False), ("no_text", "stop", False)],
)
def test_an_answer_that_is_cut_or_has_no_text_is_given_as_it_is(
    claude: Make, server: AnthropicServer, prompt: Prompt, kind: str, finish: str, has_text: bool
) -> None:
    server.faults.append(Fault(kind=kind))  # type: ignore[arg-type]
    found = answer(claude(), prompt)
    assert (found.finish, bool(found.text)) == (finish, has_text)
    assert found.output_tokens == server.output_tokens


def test_what_precedes_the_sources_is_read_from_the_cache_in_the_second_call_and_still_counted(
    claude: Make, server: AnthropicServer
) -> None:
    house_style = "Write as a careful clinician would, and keep to what the record states. " * 3
    record = generate(1, sentences=10)
    asked = [
        build_prompt(PROMPT, sources=[Source(text=text, name="record")], system=house_style)
        for text in (record.text, record.without([0]).text)
    ]
    provider = claude()
    first, second = (answer(provider, prompt) for prompt in asked)
    counted = [asyncio.run(provider.count_tokens(prompt)) for prompt in asked]
    assert [first.prompt_tokens, second.prompt_tokens] == counted
    assert server.input_tokens == sum(counted)
    assert server.seen[0].body["system"][0]["cache_control"] == {"type": "ephemeral"}


def test_hostile_text_arrives_as_it_is_and_is_counted(claude: Make, server: AnthropicServer) -> None:
    prompt = build_prompt(PROMPT, sources=[Source(text=HOSTILE, name="record")])
    counted = asyncio.run(claude().count_tokens(prompt))
    assert server.seen[-1].body["messages"][0]["content"][0]["text"] == prompt.turns()[0].text
    assert counted == writer().count([("user", prompt.turns()[0].text)])
    assert server.calls == 0


def test_citations_lead_to_the_lines_of_the_record(claude: Make, server: AnthropicServer) -> None:
    record = generate(1, sentences=10)
    starts = [start for start, _ in record.spans]
    # Every character belongs to a passage: to the blanks between the lines, too.
    ends = [*starts[1:], len(record.text)]
    passages = [part for (a, b), end in zip(record.spans, ends, strict=True) for part in ((a, b), (b, end))]
    prompt = build_prompt(PROMPT, sources=[" \n", Source(text=record.text, name="record")])
    asked = [[(0, 2)], passages]

    async def ask() -> tuple[Generation, int]:
        provider = claude()
        return (
            await provider.cite(prompt, asked, max_tokens=MAX_TOKENS, seed=0),
            await provider.count_cited_tokens(prompt, asked),
        )

    found, counted = asyncio.run(ask())
    assert found.prompt_tokens == counted == server.input_tokens
    assert found.text == record.summary
    assert found.citations
    assert {citation.source for citation in found.citations} == {1}
    right = 0
    for support in record.truth:
        cited = [c for c in found.citations if c.start <= support.start and support.end <= c.end]
        assert all(c.source_start in starts for c in cited)
        right += any(
            c.source_start <= record.spans[line][0] < record.spans[line][1] <= c.source_end
            for c in cited
            for line in support.lines
        )
    assert right >= 4, "of six sentences most are cited to a line that states them"


def test_a_temperature_goes_to_models_that_take_one_in_the_version_that_has_it(
    claude: Make, server: AnthropicServer, prompt: Prompt
) -> None:
    answer(claude("claude-sonnet-4-6", temperature=0.0), prompt, max_tokens=8)
    (asked,) = server.seen
    assert (asked.body["temperature"], asked.headers["anthropic-version"]) == (0.0, "2023-06-01")


def test_a_temperature_that_a_newer_model_refuses_is_an_error_that_says_to_leave_it_away(
    claude: Make, prompt: Prompt
) -> None:
    with pytest.raises(InputError, match="claude-sonnet-5-5 takes no temperature; leave it away"):
        answer(claude(temperature=0.5), prompt)


def test_capabilities_are_asked_once_also_by_two_who_ask_at_the_same_time(
    claude: Make, server: AnthropicServer
) -> None:
    prices = Prices(input_per_million=2.0, output_per_million=10.0)
    provider = claude(prices=prices, max_in_flight=7, deadline_seconds=30.0)
    assert isinstance(provider, Provider)
    assert isinstance(provider, Counts)
    assert isinstance(provider, Cites)

    async def both() -> None:
        first, second = await asyncio.gather(provider.capabilities(), provider.capabilities())
        assert first is second
        assert (first.access, first.cites, first.writes_logprobs) == ("text", True, False)
        assert (first.context_tokens, first.deterministic, first.metered) == (1024, False, True)
        assert (first.max_in_flight, first.deadline_seconds, first.prices) == (7, 30.0, prices)

    asyncio.run(both())
    assert [asked.path for asked in server.seen] == ["/v1/models/claude-sonnet-5-5"]
    assert server.calls == 0


def test_an_unknown_model_is_refused_with_the_names_of_those_that_there_are(
    claude: Make, prompt: Prompt
) -> None:
    provider = claude("claude-9")
    with pytest.raises(UnknownModelError, match="'claude-9'; known: claude-fable-5-2, claude-opus-5-5"):
        asyncio.run(provider.capabilities())
    with pytest.raises(UnknownModelError, match="'claude-9'"):
        answer(provider, prompt)


def test_progress_tells_now_and_then_how_much_is_written_and_in_the_end_exactly(
    claude: Make, server: AnthropicServer, prompt: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause_seconds = 0.05
    monkeypatch.setattr("whence.providers.base.TOLD_EVERY_SECONDS", pause_seconds)
    steps: list[Step] = []
    server.faults.append(Fault(kind="slow_body"))
    began = time.monotonic()
    found = asyncio.run(claude().generate(prompt, max_tokens=24, seed=0, progress=steps.append))
    took = time.monotonic() - began
    assert {(step.stage, step.total) for step in steps} == {("generate", 24)}
    assert steps[-1].done == found.output_tokens == 24
    done = [step.done for step in steps[:-1]]
    assert done == sorted(done)
    assert 1 <= len(done) <= took / pause_seconds


def test_an_error_of_the_caller_s_own_progress_is_not_taken_for_one_of_the_provider(
    claude: Make, prompt: Prompt
) -> None:
    def broken(step: Step) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(claude().generate(prompt, max_tokens=MAX_TOKENS, seed=0, progress=broken))


def test_an_adapter_is_used_in_one_loop_after_the_other_and_leaves_nothing_open(
    claude: Make, server: AnthropicServer, prompt: Prompt
) -> None:
    provider = claude()
    assert answer(provider, prompt) == answer(provider, prompt)
    del provider
    gc.collect()  # an open socket would be a ResourceWarning, which is an error here
    assert server.calls == 2


def test_many_calls_at_once_each_get_their_own_answer(claude: Make, server: AnthropicServer) -> None:
    records = [generate(seed, sentences=10) for seed in range(4)]
    prompts = [build_prompt(PROMPT, sources=[Source(text=r.text, name="record")]) for r in records]
    server.latency_seconds = 0.2

    async def all_of_them() -> list[Generation]:
        provider = claude()
        return await asyncio.gather(
            *(provider.generate(prompt, max_tokens=MAX_TOKENS, seed=0) for prompt in prompts)
        )

    found = asyncio.run(all_of_them())
    assert [generation.text for generation in found] == [
        writer().write([("user", prompt.turns()[0].text)], max_tokens=MAX_TOKENS).text for prompt in prompts
    ]
    assert server.most_in_flight == len(prompts)


def test_who_gives_up_ends_the_request_and_leaves_the_connections_usable(
    claude: Make, server: AnthropicServer, prompt: Prompt
) -> None:
    provider = claude()

    async def give_up_and_ask_again() -> Generation:
        server.faults.append(Fault(kind="slow_body", seconds=0.1))
        with anyio.move_on_after(0.5) as scope:
            await provider.generate(prompt, max_tokens=MAX_TOKENS, seed=0)
        assert scope.cancelled_caught
        await anyio.sleep(0.2)
        server.forget()
        return await provider.generate(prompt, max_tokens=8, seed=0)

    assert asyncio.run(give_up_and_ask_again()).finish == "length"
    assert server.most_in_flight == 1, "the request that was given up is still being answered"


def test_an_attempt_takes_no_longer_than_its_time(
    claude: Make, server: AnthropicServer, prompt: Prompt
) -> None:
    server.faults.append(Fault(kind="slow_body", seconds=0.1))
    began = time.monotonic()
    with pytest.raises(UnavailableError, match=r"within 0\.6 s; .* raise timeout_seconds"):
        answer(claude(timeout_seconds=0.6), prompt)
    assert time.monotonic() - began < 5


def test_the_registry_knows_claude(server: AnthropicServer) -> None:
    provider = resolve("claude:claude-haiku-5-5", api_key="k", base_url=server.url)
    assert isinstance(provider, Claude)
    assert (provider.name, provider.model) == ("claude", "claude-haiku-5-5")


def test_a_conversation_keeps_its_turns(claude: Make, server: AnthropicServer) -> None:
    prompt = build_prompt(
        [
            Message(role="system", content="Be brief."),
            Message(role="user", content=[Source(text="Low sodium.", name="note"), PROMPT]),
            Message(role="assistant", content="Sodium is low."),
            Message(role="user", content="Shorter."),
        ]
    )
    answer(claude(), prompt, max_tokens=4)
    body = server.seen[-1].body
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert body["system"][0]["text"] == "Be brief."
