"""A text that llama.cpp is made to write, as Ollama asks it to: what it tells can be placed in the text."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import torch
from tests.gguf.export import bundled_gguf
from tests.peers.llama_cpp import LlamaCpp, absent, running

from whence.demo.provider import load
from whence.providers.ollama.forcing import Entry, align

PROMPT = "<|begin|><|user|>The patient is allergic to latex.\n\nSummarise it.<|end|><|assistant|>"
AGREES_NATS = 3e-3
pytestmark = pytest.mark.skipif(bool(absent()), reason=absent())


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaCpp]:
    with running() as server:
        server.load(bundled_gguf(tmp_path_factory.mktemp("gguf")))
        yield server


def forced(peer: LlamaCpp, text: str) -> tuple[str, list[Entry], int]:
    """What Ollama would pass on of it: of each piece with any text its last token, and how many there were.

    The grammar is that of its JSON schema {"const": text}, in the notation of llama.cpp.
    """
    literal = json.dumps(text, ensure_ascii=False)
    quoted = literal.replace("\\", "\\\\").replace('"', '\\"')
    pieces = peer.stream(
        {
            "prompt": PROMPT,
            "n_predict": 400,
            "temperature": 0,
            "n_probs": 1,
            "grammar": f'root ::= "{quoted}" space\nspace ::= | " " | "\\n"{{1,2}} [ \\t]{{0,20}}',
        }
    )
    entries = [
        Entry(text=told["token"], logprob_nats=told["logprob"])
        for piece in pieces
        if piece["content"] and not piece["stop"]
        for told in piece["completion_probabilities"][-1:]
    ]
    return "".join(piece["content"] for piece in pieces), entries, pieces[-1]["tokens_predicted"]


@pytest.mark.parametrize(
    "text",
    [
        "Allergic to latex. No stop is recorded.",
        'He said "no".\nThen\ttwo \\ lines.\r\n',
        "\u4f60\u597d\uff0c\u4e16\u754c\u3002 \u00e9\u00e9 \U0001f469\u200d\u2695\ufe0f x \u2028 \x85 end",
        "\u0645\u0631\u062d\u0628\u0627 \x00 NUL",
    ],
    ids=["plain", "escapes", "beyond-ascii", "rtl-and-nul"],
)
def test_every_character_is_told_or_known_not_to_be(peer: LlamaCpp, text: str) -> None:
    written, entries, tokens = forced(peer, text)
    told = align(written, entries, text, tokens=tokens)
    covered = {at for one in told for at in range(one.start, one.end)}
    assert covered == set(range(len(text)))
    assert [one.start for one in told] == sorted(one.start for one in told)
    silent = {at for one in told if one.logprob_nats is None for at in range(one.start, one.end)}
    assert all(not text[at].isascii() or text[at].isspace() for at in silent)
    held_back = tokens - 1 - len(entries)
    assert bool(held_back) == bool(silent)


def test_the_numbers_are_those_of_the_whole_vocabulary_whatever_the_grammar_forbids(peer: LlamaCpp) -> None:
    text = "Allergic to latex."
    written, entries, _ = forced(peer, text)
    ids = peer.ids(PROMPT)
    own = [token for entry in entries for token in peer.ids(entry.text)]
    assert len(own) == len(entries), "each of these tokens stands for itself"
    provider = load()
    model = provider._load().model
    with torch.no_grad():
        logits = model(torch.tensor([[*ids, *own]])).logits[0, len(ids) - 1 : -1]
    expected = torch.log_softmax(logits, dim=-1).gather(-1, torch.tensor(own)[:, None])[:, 0]
    for entry, nats in zip(entries, expected.tolist(), strict=True):
        assert entry.logprob_nats == pytest.approx(nats, abs=AGREES_NATS)
    assert min(entry.logprob_nats for entry in entries) < -5, "a grammar alone would make them certain"
    assert written.strip() == json.dumps(text)
