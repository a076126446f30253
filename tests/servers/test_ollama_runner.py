"""What the bundled model is made to write: by llama.cpp's rules, and with its own log-probabilities."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

import pytest
import torch
from tests.servers.ollama_runner import runner
from transformers import AutoModelForCausalLM, AutoTokenizer

from whence.demo.records import PROMPT

MESSAGES = [{"role": "user", "content": f"The patient is allergic to latex.\n\n{PROMPT}"}]
HOSTILE = {
    "plain": "Allergic to latex.",
    "quotes and breaks": 'She said "no".\nThen \\n, a tab\tand a return\r.',
    "emoji and CJK": "🏥 患者对乳胶过敏。👩‍⚕️ é",
    "control characters": "a\x00b\x1f\x7f\u2028",
    "right to left": "\u202eמטופל אלרגי\u202c ال",
    "spaces": "  \n two ",
    "markup": "</think> {{ .System }} [img-0] <|nothing|>",
    "empty": "",
}


@cache
def teacher() -> tuple[Any, Any]:
    """The bundled model, as transformers loads it."""
    source = str(files("whence.demo") / "model")
    return AutoTokenizer.from_pretrained(source), AutoModelForCausalLM.from_pretrained(source).eval()


@cache
def spelled() -> list[bytes]:
    """The bytes of each token, by the alphabet of byte-level BPE; of control tokens, none."""
    tokenizer, _ = teacher()
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printed]
    byte_of = {chr(byte): byte for byte in printed}
    byte_of |= {chr(256 + place): byte for place, byte in enumerate(others)}
    special = set(tokenizer.all_special_ids)
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    return [
        b"" if index in special else bytes(byte_of[character] for character in token)
        for index, token in enumerate(tokens)
    ]


def texts(ids: tuple[int, ...]) -> list[str]:
    """The characters that each token completes, by decoding ever longer beginnings."""
    tokenizer, _ = teacher()
    found, before = [], ""
    for end in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[:end], skip_special_tokens=True)
        whole = text if not text.endswith("\ufffd") else before
        found.append(whole[len(before) :])
        before = whole
    return found


@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
@pytest.mark.parametrize("trailing_space", [True, False], ids=["with space", "without"])
def test_forced_output_is_the_literal_with_the_model_s_own_logprobs(text: str, trailing_space: bool) -> None:
    literal = json.dumps(text, ensure_ascii=False)
    prompt = runner().encode(runner().render(MESSAGES))
    ran = runner().force(prompt, literal.encode(), max_tokens=400, top=3, trailing_space=trailing_space)
    written = "".join(step.text for step in ran.steps)
    assert written.rstrip(" \n\t") == literal if trailing_space else written == literal
    assert ran.finish == "stop"
    # The same path again, by a library's own tokenizer and one pass over all of it.
    tokenizer, model = teacher()
    assert ran.ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ran.ids[:-1]) == written
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *ran.ids]])).logits[0, len(prompt) - 1 : -1]
    expected = logits.log_softmax(dim=-1)
    shown = [place for place, text in enumerate(texts(ran.ids)) if text]
    assert len(shown) == len(ran.steps)
    for place, step in zip(shown, ran.steps, strict=True):
        (entry,) = step.entries
        assert entry.text == step.text
        assert entry.logprob_nats == pytest.approx(float(expected[place, ran.ids[place]]), abs=1e-4)
        assert [nats for _, nats in entry.top] == pytest.approx(
            expected[place].topk(3).values.tolist(), abs=1e-4
        )
    # Each token is the most probable one that leads on to the literal.
    done = b""
    for place, token in enumerate(ran.ids[:-1]):
        rest = literal.encode()[len(done) :]
        leading = [other for other, own in enumerate(spelled()) if own and rest.startswith(own)]
        if rest and not (trailing_space and spelled()[token] != rest[: len(spelled()[token])]):
            assert token == max(leading, key=lambda other: float(expected[place, other]))
        done += spelled()[token]


def test_what_a_real_llama_server_wrote_is_written_here() -> None:
    """Tokens that llama.cpp itself chose with this model and a grammar of the literal, at temperature 0."""
    prompt = runner().encode("<|begin|><|user|>Say it: the dose is <|end|><|assistant|>")
    known = {
        "Low dose.": (7, 49, 84, 92, 226, 73, 84, 302, 19, 7, 226, 2),
        'a\nb"c\\d\te': (7, 70, 65, 83, 71, 65, 7, 72, 65, 65, 73, 65, 89, 74, 7, 226, 2),
        "x<|user|>y<|end|>z": (7, 93, 4, 94, 33, 97, 271, 73, 97, 35, 95, 7, 226, 2),
    }
    for text, ids in known.items():
        ran = runner().force(prompt, json.dumps(text).encode(), max_tokens=100)
        assert ran.ids == ids
    assert "".join(step.text for step in ran.steps) == '"xy<|end|>z" ', "a control token shows no text"
    cut = runner().force(prompt, '"😀"'.encode(), max_tokens=3)
    assert ([step.text for step in cut.steps], len(cut.ids), cut.finish) == (['"'], 3, "length")


def test_ollama_s_own_runner_had_an_entry_for_each_token() -> None:
    prompt = runner().encode(runner().render(MESSAGES))
    literal = json.dumps("é 😀", ensure_ascii=False)
    now, then = (
        runner().force(prompt, literal.encode(), max_tokens=99, top=2, each_token=each)
        for each in (False, True)
    )
    assert now.ids == then.ids
    assert [step.text for step in now.steps] == [step.text for step in then.steps]
    entries = [entry for step in then.steps for entry in step.entries]
    assert len(entries) == len(then.ids) - 1
    assert "".join(entry.text for entry in entries).startswith('"\ufffd\ufffd \ufffd')
    assert [step.entries[-1].logprob_nats for step in then.steps] == [
        step.entries[0].logprob_nats for step in now.steps
    ]
