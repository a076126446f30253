"""What is told of a text that a model is made to write, and how much it may read and write."""

from __future__ import annotations

import asyncio
import json
from importlib.resources import files

import pytest
import torch
from tests.providers.ollama.asking import HOSTILE, MAX_TOKENS, answer, chats, rendered, score
from tests.providers.ollama.conftest import Make
from tests.servers.ollama import OllamaServer
from tests.servers.ollama_runner import runner
from transformers import AutoModelForCausalLM

from whence import Explainer, Source
from whence.demo.records import PROMPT, generate
from whence.explain.scored import JSON_CAVEAT
from whence.providers.errors import (
    ContextLengthError,
    ProviderError,
    UnsupportedError,
)
from whence.providers.ollama.forcing import longest_literal_tokens
from whence.providers.prompt import Prompt, build_prompt

NEAR = 1e-3  # two ways through one model in float32, over sums of many tokens


@pytest.mark.parametrize(
    "text", [generate(1, sentences=10).summary, *HOSTILE.values()], ids=["plain", *HOSTILE]
)
def test_scores_are_those_of_teacher_forcing_over_the_same_tokens(
    ollama: Make, prompt: Prompt, text: str
) -> None:
    scores = score(ollama(native=False), prompt, text)
    ids, literal = rendered(prompt), json.dumps(text, ensure_ascii=False).encode()
    written = runner().force(ids, literal, max_tokens=longest_literal_tokens(text)).ids
    forced = teacher_forced(ids, list(written))
    pieces = [
        (b'"', None),
        *((json.dumps(c, ensure_ascii=False)[1:-1].encode(), i) for i, c in enumerate(text)),
    ]
    owner = [place for piece, place in pieces for _ in piece]
    pieced, at = list[tuple[int, int, float | None]](), 0
    for token, value in zip(written, forced, strict=True):
        piece = runner()._bytes[token]
        own = [place for place in owner[at : at + len(piece)] if place is not None]
        if own:
            before = pieced.pop() if pieced and text[slice(*pieced[-1][:2])].isspace() else None
            start, known = (own[0], 0.0) if before is None else (before[0], before[2])
            whole = None if known is None or not piece.isascii() else known + value
            pieced.append((start, own[-1] + 1, whole))  # blanks count with what follows
        at += len(piece)
    expected = [(start, end, value) for start, end, value in pieced if value is not None]
    spans = [
        span for span, value in zip(scores.spans, scores.logprobs_nats, strict=True) if value is not None
    ]
    assert spans == [(start, end) for start, end, _ in expected]
    told = [value for value in scores.logprobs_nats if value is not None]
    assert told == pytest.approx([value for *_, value in expected], abs=NEAR)
    assert (scores.encoding, scores.prompt_tokens, scores.written_tokens) == ("json", len(ids), len(written))
    assert (None in scores.logprobs_nats) == (not text.isascii())


def test_an_output_that_names_a_control_token_is_scored_or_said_not_to_be(
    ollama: Make, prompt: Prompt
) -> None:
    with pytest.raises(ProviderError, match="holds a control token of the model; compare texts"):
        score(ollama(native=False), prompt, "Say <|user|> now.")


def teacher_forced(ids: list[int], written: list[int]) -> list[float]:
    """Log-probability of each token of `written`, read after `ids` in one pass, in nats."""
    model = AutoModelForCausalLM.from_pretrained(str(files("whence.demo") / "model")).eval()
    with torch.no_grad():
        logits = model(torch.tensor([ids + written])).logits[0, len(ids) - 1 : -1]
    chosen = torch.tensor(written).unsqueeze(-1)
    values: list[float] = logits.double().log_softmax(-1).gather(-1, chosen)[:, 0].tolist()
    return values


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_every_character_is_told_or_missing(ollama: Make, prompt: Prompt, text: str) -> None:
    scores = score(ollama(native=False), prompt, text)
    covered = {place for span in scores.spans if span for place in range(*span)}
    assert covered == set(range(len(text)))
    assert all(value is None or value <= 0 for value in scores.logprobs_nats)


def test_three_thousand_characters_are_scored_to_the_last(ollama: Make, long_server: OllamaServer) -> None:
    text = ("Allergic to latex. " * 200)[:3000]
    prompt = build_prompt(PROMPT, sources=[Source(text="Allergic to latex.", name="record")])
    scores = score(ollama(native=False, at=long_server), prompt, text)
    assert scores.spans[-1] is not None
    assert scores.spans[-1][1] == 3000
    assert None not in scores.logprobs_nats


def test_the_encoding_stands_in_the_parameters_and_in_a_caveat(ollama: Make) -> None:
    e = Explainer(ollama(native=False)).explain(
        PROMPT, sources=["Allergic to latex. Started on apixaban."], output="Latex.", method="leave_one_out"
    )
    (result,) = e.results
    assert result.method.parameters["encoding"] == "json"
    assert JSON_CAVEAT in result.caveats
    assert (result.method.access, result.scores.unit) == ("logprobs", "nats")


@pytest.mark.parametrize("version", ["0.12.10", "0.12.10-rc0", "0.9.1", "0.1.0"])
def test_an_old_ollama_compares_texts_only_and_that_is_said(
    ollama: Make, monkeypatch: pytest.MonkeyPatch, server: OllamaServer, version: str
) -> None:
    monkeypatch.setattr(server, "version", version)
    capabilities = asyncio.run(ollama(native=False).capabilities())
    assert (capabilities.access, capabilities.scores, capabilities.forces) == ("text", False, False)
    (note,) = capabilities.notes
    assert f"this Ollama is {version}, and tells log-probabilities from 0.12.11 on only" in note
    with pytest.raises(UnsupportedError, match="cannot score a given output: this Ollama is"):
        asyncio.run(ollama(native=False).score([build_prompt(PROMPT, sources=["Latex."])], "Latex."))


@pytest.mark.parametrize("version", ["0.12.11", "v0.12.11", "0.12.11-rc1", "0.13.0-rc0+x", "1.0.0", "0.0.0"])
def test_a_young_ollama_tells_log_probabilities(
    ollama: Make, monkeypatch: pytest.MonkeyPatch, server: OllamaServer, version: str
) -> None:
    monkeypatch.setattr(server, "version", version)
    assert asyncio.run(ollama(native=False).capabilities()).access == "logprobs"


@pytest.mark.parametrize("version", ["0.13.5", "0.30.0"])
def test_both_ways_of_running_a_model_are_understood(ollama: Make, prompt: Prompt, version: str) -> None:
    text = "Allergic to latex. é 你好 \U0001f642."
    with OllamaServer(version=version) as other:
        scores = score(ollama(native=False, at=other), prompt, text)
    told = [value for value in scores.logprobs_nats if value is not None]
    assert len(told) > 4
    assert (None in scores.logprobs_nats) == (version == "0.30.0")
    spans = [span for span in scores.spans if span]
    assert {place for span in spans for place in range(*span)} == set(range(len(text)))


def test_where_a_modelfile_ends_an_answer_does_not_end_a_given_one(
    odd_server: OllamaServer, ollama: Make, prompt: Prompt
) -> None:
    text = "Allergic to latex. Allergic to latex."
    terse = score(ollama("terse", native=False, at=odd_server), prompt, text)
    assert terse == score(ollama("demo", native=False, at=odd_server), prompt, text)
    assert answer(ollama("terse", native=False, at=odd_server), prompt).text.count(".") == 0


# How much it may read and write.


@pytest.mark.parametrize(
    ("model", "num_ctx", "context_tokens"), [("demo", None, 1024), ("demo", 300, 300), ("narrow", None, 200),
                                             ("narrow", 400, 400)],
)  # fmt: skip
def test_the_context_is_the_option_s_then_the_modelfile_s_then_the_model_s(
    odd_server: OllamaServer, ollama: Make, model: str, num_ctx: int | None, context_tokens: int
) -> None:
    provider = ollama(model, native=False, at=odd_server, num_ctx=num_ctx)
    assert asyncio.run(provider.capabilities()).context_tokens == context_tokens
    answer(provider, build_prompt(PROMPT, sources=["Latex."]), max_tokens=4)
    assert chats(odd_server)[-1]["options"]["num_ctx"] == context_tokens


def test_a_model_that_was_trained_with_more_reads_as_much_as_is_usual(
    ollama: Make, long_server: OllamaServer
) -> None:
    assert asyncio.run(ollama(native=False, at=long_server).capabilities()).context_tokens == 8192


def test_what_is_too_long_is_an_error_with_both_counts(ollama: Make, server: OllamaServer) -> None:
    record = generate(1, sentences=30)
    prompt = build_prompt(PROMPT, sources=[Source(text=record.text, name="record")])
    tokens = len(rendered(prompt))
    provider = ollama(native=False, num_ctx=100)
    for ask in (answer, lambda provider, prompt: score(provider, prompt, "Latex.")):
        with pytest.raises(ContextLengthError) as caught:
            ask(provider, prompt)
        assert (caught.value.tokens, caught.value.limit_tokens) == (tokens, 100)
    assert server.input_tokens == 0


def test_a_prompt_that_fits_with_an_output_that_does_not_is_an_error(ollama: Make, prompt: Prompt) -> None:
    tokens = len(rendered(prompt))
    with pytest.raises(ContextLengthError) as caught:
        score(ollama(native=False, num_ctx=tokens + 20), prompt, generate(1, sentences=10).summary)
    assert caught.value.tokens > caught.value.limit_tokens == tokens + 20


def test_nothing_is_cut_in_silence(ollama: Make, server: OllamaServer, prompt: Prompt) -> None:
    tokens = len(rendered(prompt))
    found = answer(ollama(native=False, num_ctx=tokens + 8), prompt, max_tokens=MAX_TOKENS)
    assert (found.prompt_tokens, found.finish) == (tokens, "length")
