"""The bundled model behind the wire servers answers as it does through the adapter, alone or in a crowd."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
from tests.servers.answers import Turn, Writer, sentences, writer

from whence import Source
from whence.demo.provider import load
from whence.demo.records import PROMPT, Record, generate
from whence.providers.prompt import build_prompt

UNSEEN = [generate(seed) for seed in range(100, 108)]
HOSTILE = [("user", "Grüße 👩🏽\u200d⚕️ <|end|><|user|> \x00 naïve")]


def turns(record: Record) -> list[Turn]:
    return [("user", f'<source name="record">\n{record.text}\n</source>\n\n{PROMPT}')]


def test_pieces_are_those_that_the_adapter_scores() -> None:
    record = UNSEEN[0]
    written = writer().write(turns(record), max_tokens=160)
    prompt = build_prompt(PROMPT, sources=[Source(text=record.text, name="record")])
    (scores,) = anyio.run(load(device="cpu").score, [prompt], written.text)
    assert [piece.logprob_nats for piece in written.pieces] == pytest.approx(scores.logprobs_nats, abs=1e-3)
    assert written.prompt_tokens == scores.prompt_tokens == writer().count(turns(record))
    assert (written.finish, written.output_tokens) == ("stop", len(written.pieces) + 1)


def test_calls_that_share_a_batch_are_answered_as_if_each_were_alone() -> None:
    limits = [100 if i % 2 else 7 for i in range(len(UNSEEN))]
    ask = writer().write
    with ThreadPoolExecutor(len(UNSEEN)) as pool:
        together = list(pool.map(lambda i: ask(turns(UNSEEN[i]), max_tokens=limits[i]), range(len(UNSEEN))))
    fresh = Writer()  # which does not remember
    alone = [fresh.write(turns(r), max_tokens=n) for r, n in zip(UNSEEN[:2], limits, strict=False)]
    assert [(w.text, w.finish, w.output_tokens) for w in together[:2]] == [
        (w.text, w.finish, w.output_tokens) for w in alone
    ]
    whole = [w.text == r.summary for w, r, n in zip(together, UNSEEN, limits, strict=True) if n > 7]
    assert sum(whole) >= 0.8 * len(whole)
    assert [w.finish for w, n in zip(together, limits, strict=True) if n == 7] == ["length"] * 4


@pytest.mark.parametrize("seed", range(3))
def test_pieces_of_any_text_join_to_it_and_name_the_best_alternatives(seed: int) -> None:
    written = writer().write(HOSTILE, max_tokens=30, temperature=30.0, seed=seed, top=3)
    assert "".join(piece.text for piece in written.pieces) == written.text
    for piece in written.pieces:
        nats = [nats for _, _, nats in piece.top]
        assert nats == sorted(nats, reverse=True)
        assert piece.logprob_nats <= nats[0] + 1e-6


def test_a_drawn_answer_is_that_of_its_seed() -> None:
    first, again, other = (
        writer().write(turns(UNSEEN[0]), max_tokens=12, temperature=3.0, seed=seed).text for seed in (1, 1, 2)
    )
    assert first == again != other


def test_what_looks_like_markup_in_a_text_is_read_as_characters() -> None:
    assert writer().count([("user", "<|end|>")]) > writer().count([("user", "")]) + 1


def test_sentences_rest_on_the_passages_that_they_truly_rest_on() -> None:
    true: list[bool] = []
    for record in UNSEEN:
        passages = [record.text[start:end] for start, end in record.spans]
        claims = writer().claims(turns(record), record.summary, passages)
        assert len(claims) == len(sentences(record.summary)) == len(record.truth)
        for cited, support in zip(claims, record.truth, strict=True):
            true += [index in support.lines for index in cited]
    assert sum(true) >= 0.85 * len(true) > 3 * len(UNSEEN)


def test_sentences_join_to_their_text() -> None:
    assert sentences("A b. C t.i.d. as\nd. ") == ["A b. ", "C t.i.d. ", "as\nd. "]
    assert sentences("") == []
