"""Explanations to measure with: synthetic, but of the size and the shape of real ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from whence import Explanation, KeepAttention
from whence.explain.keeper import TensorKeeper
from whence.explain.packing import pack
from whence.explain.result import Detail, Elsewhere, Measure, MethodRecord, Result, Scores
from whence.explain.schema import Cost, Output, OutputToken, PromptRecord, Segment, SourceRecord, Target
from whence.explain.tensor import AttentionBlock
from whence.providers.observations import Block, Token

LAYERS = HEADS = 12
SINK = 0.4
"""What the first token takes of each query: of real heads it is often more."""
WORDS = ("patient", "admitted", "fever", "cough", "stopped", "warfarin", "mg", "daily", "of", "and")
SENTENCE_WORDS = 12

Span = tuple[int, int]


def text_of(words: int) -> str:
    """So many words, in sentences."""
    rng = np.random.default_rng(words)
    chosen = [str(word) for word in rng.choice(WORDS, words)]
    for at in range(SENTENCE_WORDS - 1, words, SENTENCE_WORDS):
        chosen[at] += "."
    return " ".join(chosen)


def spans_of(text: str, pattern: str) -> list[Span]:
    return [match.span() for match in re.finditer(pattern, text)]


def record(words: int, output_tokens: int) -> Explanation:
    """A record, an answer, and which sentence rests on which, with token detail."""
    rng = np.random.default_rng(words)
    text, answer = text_of(words), text_of(output_tokens)
    read, said = spans_of(text, r"\S+ ?"), spans_of(answer, r"\S+ ?")
    segments, targets = spans_of(text, r"[^.]+(\. ?|$)"), spans_of(answer, r"[^.]+(\. ?|$)")
    scores = rng.dirichlet(np.full(len(segments) + 1, 0.05), len(targets))
    detail = rng.dirichlet(np.full(len(read) + 1, 0.02), len(said)).astype(np.float32)
    result = _result(
        Scores(
            values=tuple(map(tuple, scores[:, :-1].tolist())),
            unit="attention_mass",
            signed=False,
            elsewhere=tuple(Elsewhere(sink=rest, total=rest) for rest in scores[:, -1].tolist()),
        ),
        Detail(
            shape=(len(said), len(read)),
            values=pack(detail[:, :-1]),
            tokens=tuple(("s1", start, end) for start, end in read),
            elsewhere=tuple(Elsewhere(sink=rest, total=rest) for rest in detail[:, -1].tolist()),
        ),
    )
    return _explanation(text, answer, segments, targets, said, result, None)


def attention(tokens: int) -> Explanation:
    """A short explanation with dense attention of 12 layers x 12 heads, each token on each."""
    text = text_of(tokens - 1)
    spans = spans_of(text, r"\S+")
    seen = (
        Token(part="sink", text="<s>"),
        *(
            Token(part="source", text=text[slice(*span)], source=0, start=span[0], end=span[1])
            for span in spans
        ),
    )
    layers = tuple(range(LAYERS))
    keeper = TensorKeeper(KeepAttention(limit_bytes=1 << 30), ids=["s1"])
    keeper.begin([Block(name="encoder", layers=layers, heads=HEADS, queries=seen, keys=seen, explaining=())])
    for at, weights in enumerate(_heads(tokens)):
        keeper.see("encoder", at // HEADS, at % HEADS, weights)
    scores = Scores(values=((1.0,),), unit="attention_mass", signed=False, elsewhere=(Elsewhere(total=0),))
    whole = [(0, len(text))]
    return _explanation(text, "Yes.", whole, [(0, 4)], [(0, 4)], _result(scores, None), keeper.finish())


def tensor(explanation: Explanation) -> NDArray[np.float32]:
    """All weights of its one block, as the peers take them: layers x heads x queries x keys."""
    assert explanation.attention is not None  # noqa: S101 - `attention` made it
    block = explanation.attention[0]
    heads = [block.weights(layer, head) for layer in block.layers for head in range(block.heads)]
    return np.stack(heads).reshape(len(block.layers), block.heads, *heads[0].shape)


def _heads(tokens: int) -> Iterator[NDArray[np.float32]]:
    """Heads of three kinds in turn: near, diffuse and peaked; beside what the first token takes."""
    rng = np.random.default_rng(tokens)
    places = np.arange(tokens, dtype=np.float32)
    distance = np.abs(places[:, None] - places)
    for at in range(LAYERS * HEADS):
        scores = (2.0 if at % 3 == 2 else 0.4) * rng.standard_normal((tokens, tokens), dtype=np.float32)
        if at % 3 == 0:
            scores -= distance / rng.uniform(2, 12)
        weights = np.exp(scores, dtype=np.float32)
        weights *= (1 - SINK) / weights.sum(axis=1, keepdims=True)
        weights[:, 0] += SINK
        yield weights


def _result(scores: Scores, detail: Detail | None) -> Result:
    none = Measure(reason="synthetic")
    return Result(
        method=MethodRecord(
            name="attention", family="native_attention", evidence="descriptive", access="weights"
        ),
        scores=scores,
        detail=detail,
        fidelity=none,
        groundedness=none,
        caveats=("Synthetic: of no model.",),
    )


def _explanation(
    text: str,
    answer: str,
    segments: list[Span],
    targets: list[Span],
    said: list[Span],
    result: Result,
    blocks: tuple[AttentionBlock, ...] | None,
) -> Explanation:
    return Explanation(
        id="synthetic",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        provider="none",
        model="synthetic",
        prompt=PromptRecord(instruction="", messages=()),
        sources=(SourceRecord(id="s1", name="record", kind="document", text=text),),
        segments=tuple(
            Segment(source="s1", kind="sentence", start=start, end=end) for start, end in segments
        ),
        output=Output(
            text=answer,
            given=True,
            targets=tuple(Target(start=start, end=end, kind="sentence") for start, end in targets),
            tokens=tuple(OutputToken(start=start, end=end) for start, end in said),
        ),
        results=(result,),
        attention=blocks,
        cost=Cost(calls=0, seconds=0),
    )
