"""Texts that have broken other viewers, and an explanation made of them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from whence import Explanation
from whence.explain.cells import DTYPES, encode, pool, thumbnail_shape
from whence.explain.packing import pack, pack_plain
from whence.explain.result import Detail, Elsewhere, Fallback, Measure, MethodRecord, Result, Scores
from whence.explain.schema import (
    Cost,
    Output,
    OutputToken,
    PromptRecord,
    Segment,
    SourceRecord,
    Target,
)
from whence.explain.tensor import PRECISION, AttentionBlock, AttentionHead, AttentionToken

EXECUTED = "'ran' in globalThis"
"""Asked of a page: has any of the texts run as script?"""

TEXTS = {
    "script": "</script><img src=x onerror=globalThis.ran=1><script>globalThis.ran=1</script>",
    "comment": "<!--<script>globalThis.ran=1//--></style><style>*{display:none}</style>",
    "template": "{{constructor.constructor('globalThis.ran=1')()}} ${globalThis.ran=1} {% raw %}",
    "attribute": "\" onfocus=globalThis.ran=1 autofocus x='&quot; javascript:globalThis.ran=1",
    "reordered": "no \u202efever\u202c, \u2066RTL\u2069 \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d",
    "combining": "Z\u0351\u036b\u0343\u036a" + "\u0301" * 60 + "algo e\u0301 n\u0303",
    "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3f4\U000e0067\U000e007f \u2764\ufe0f",
    "nul": "before\x00after \x1b[31mred\x07 \x7f\x85",
    "long": "x" * 10_000,
    "cjk": "\u60a3\u8005\u53d1\u70e7\u4e09\u5929\u3002\u80ba\u708e\u3092\u7591\u3046\u3002\ud658\uc790\ub294",
    "unseen": "a\u200bb\u00adc\u2060d\ufeff \u3164\u115f\u2028new\u2029line",
    "blank": " \t ",
}


@cache
def hostile() -> Explanation:
    """Two documents and an image, two methods, token detail and attention.

    Wherever a text of others can stand, there stands one of `TEXTS`.
    """
    record = "\n".join(TEXTS.values())
    edges = np.cumsum([0, *(len(text) + 1 for text in TEXTS.values())]).tolist()
    edges[-1] = len(record)
    spans = list(pairwise(edges))
    answer = "".join(f"{TEXTS[name]}\n" for name in ("script", "reordered", "emoji", "nul"))
    cuts = [0, *(at + 1 for at, sign in enumerate(answer) if sign == "\n")]
    sentences = list(pairwise(cuts))
    segments = (
        *(Segment(source="s1", kind="sentence", start=start, end=end) for start, end in spans),
        Segment(source="s2", kind="source", start=0, end=len(TEXTS["script"])),
        Segment(source="s3", kind="region", box=(0, 0, 10, 20)),
    )
    random = np.random.default_rng(8)
    return Explanation(
        id="hostile",
        created_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        provider=TEXTS["script"],
        model=TEXTS["reordered"],
        revision=TEXTS["attribute"],
        prompt=PromptRecord(instruction=TEXTS["script"], messages=()),
        sources=(
            SourceRecord(
                id="s1",
                name=TEXTS["script"],
                kind="document",
                metadata={text: text for text in TEXTS.values()},
                text=record,
            ),
            SourceRecord(id="s2", name=TEXTS["nul"], kind="message", text=TEXTS["script"]),
            SourceRecord(
                id="s3",
                name=TEXTS["attribute"],
                kind="image",
                media_type=TEXTS["script"],
                sha256=TEXTS["template"],
            ),
        ),
        segments=segments,
        output=Output(
            text=answer,
            given=True,
            finish="length",
            targets=tuple(Target(start=start, end=end, kind="sentence") for start, end in sentences),
            tokens=tuple(OutputToken(start=start, end=end, logprob_nats=-0.5) for start, end in sentences),
        ),
        results=(
            _attention(random, len(sentences), len(segments), [("s1", *span) for span in spans]),
            _removal(random, len(sentences), len(segments)),
        ),
        attention=(_block(random, record, spans, answer, sentences),),
        cost=Cost(calls=1, seconds=1.5),
    )


def _attention(
    random: np.random.Generator, targets: int, segments: int, columns: list[tuple[str, int, int]]
) -> Result:
    rows = random.dirichlet(np.full(segments + 2, 0.5), targets).astype(np.float32)
    detail = random.dirichlet(np.full(len(columns) + 2, 0.5), targets).astype(np.float32)
    return Result(
        method=MethodRecord(
            name=TEXTS["script"],
            family="native_attention",
            evidence="descriptive",
            access="weights",
            parameters={TEXTS["script"]: TEXTS["attribute"]},
            fallbacks=(Fallback(method=TEXTS["nul"], reason=TEXTS["script"]),),
        ),
        scores=Scores(
            values=tuple(map(tuple, rows[:, :-2].tolist())),
            unit="attention_mass",
            signed=False,
            elsewhere=_elsewhere(rows),
        ),
        detail=Detail(
            shape=(targets, len(columns)),
            values=pack(detail[:, :-2]),
            tokens=tuple(columns),
            elsewhere=_elsewhere(detail),
        ),
        fidelity=Measure(k=(1,), values=((0.5,),) * targets, unit=TEXTS["script"]),
        groundedness=Measure(reason=TEXTS["script"]),
        caveats=(TEXTS["script"], TEXTS["reordered"]),
    )


def _removal(random: np.random.Generator, targets: int, segments: int) -> Result:
    """Effects of either sign, with errors."""
    return Result(
        method=MethodRecord(name=TEXTS["attribute"], family="logprob", evidence="causal", access="logprobs"),
        scores=Scores(
            values=tuple(map(tuple, random.normal(0.2, 1, (targets, segments)).tolist())),
            unit="nats",
            signed=True,
            stderr=tuple(map(tuple, random.random((targets, segments)).tolist())),
            noise_floor=0.1,
        ),
        fidelity=Measure(reason=TEXTS["nul"]),
        groundedness=Measure(reason=TEXTS["attribute"]),
        caveats=(TEXTS["template"],),
    )


def _elsewhere(rows: NDArray[np.float32]) -> tuple[Elsewhere, ...]:
    """The last two columns as the sink and as special tokens."""
    return tuple(
        Elsewhere(sink=sink, special=special, total=sink + special) for sink, special in rows[:, -2:].tolist()
    )


def _block(
    random: np.random.Generator,
    record: str,
    spans: list[tuple[int, int]],
    answer: str,
    sentences: list[tuple[int, int]],
) -> AttentionBlock:
    """A causal block of two layers and two heads, whose first token takes much."""
    tokens = [
        AttentionToken(text=TEXTS["script"], part="sink"),
        AttentionToken(text=TEXTS["template"], part="template"),
        AttentionToken(text=TEXTS["nul"], part="special"),
        *(
            AttentionToken(text=record[start:end], part="source", source="s1", start=start, end=end)
            for start, end in spans
        ),
        *(
            AttentionToken(text=answer[start:end], part="output", start=start, end=end)
            for start, end in sentences
        ),
    ]
    count = len(tokens)
    heads = []
    for layer, head in ((0, 0), (0, 1), (1, 0), (1, 1)):
        raw = np.tril(random.random((count, count)))
        raw[:, 0] += count / 2
        weights = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
        heads.append(
            AttentionHead(
                layer=layer,
                head=head,
                values=pack(encode(weights, "u8_log"), DTYPES["u8_log"]),
                thumbnail=pack_plain(encode(pool(weights), "u8_log"), DTYPES["u8_log"]),
                row_sums=pack_plain(weights.sum(axis=1), "<f4"),
            )
        )
    return AttentionBlock(
        name="decoder",
        layers=(0, 1),
        heads=2,
        encoding="u8_log",
        precision=PRECISION["u8_log"],
        queries=tuple(tokens),
        positions=tuple(range(count)),
        keys=tuple(tokens),
        explaining=tuple(range(count - len(sentences) - 1, count - 1)),
        thumbnail_shape=thumbnail_shape(count, count),
        data=tuple(heads),
    )
