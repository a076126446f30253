"""Explanations to be drawn, built straight from the schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from whence.demo.records import Record, generate
from whence.explain.result import Elsewhere, Fallback, Measure, MethodRecord, Result, Scores
from whence.explain.schema import (
    Cost,
    Explanation,
    MessageRecord,
    Output,
    PromptRecord,
    Segment,
    SourceRecord,
    SourceReference,
    Target,
)

Build = Callable[..., Explanation]


def _partition(starts: Sequence[int], length: int) -> list[tuple[int, int]]:
    """Spans from each start to the next."""
    edges = [*starts, length]
    return list(pairwise(edges))


def _attention(values: np.ndarray[Any, np.dtype[np.float64]], **changes: Any) -> Result:
    """Attention with these values; what is left of each row lies elsewhere."""
    rows = values.astype(np.float32).astype(np.float64)
    rest = 1 - rows.sum(axis=1)
    fields: dict[str, Any] = {
        "method": MethodRecord(
            name="attention",
            family="native_attention",
            evidence="descriptive",
            access="weights",
            parameters={"layers": "mean", "heads": "mean", "variant": "raw"},
        ),
        "scores": Scores(
            values=tuple(map(tuple, rows.tolist())),
            unit="attention_mass",
            signed=False,
            elsewhere=tuple(
                Elsewhere(sink=0.6 * r, template=0.25 * r, output_so_far=0.15 * r, total=r)
                for r in rest.tolist()
            ),
        ),
        "fidelity": Measure(reason="no check was asked for"),
        "groundedness": Measure(reason="no check was asked for"),
        "caveats": (
            "Attention shows where the model looked. It does not show why it answered.",
            "Attention is averaged over all layers and heads.",
        ),
    }
    return Result(**{**fields, **changes})


def _ablation(values: np.ndarray[Any, np.dtype[np.float64]], **changes: Any) -> Result:
    """Nats, signed, with a noise floor, standard errors and checks."""
    targets = len(values)
    fields: dict[str, Any] = {
        "method": MethodRecord(
            name="leave-one-out",
            family="logprob",
            evidence="causal",
            access="logprobs",
            seed=7,
            fallbacks=(Fallback(method="attention", reason="the provider does not show its weights"),),
        ),
        "scores": Scores(
            values=tuple(map(tuple, values.tolist())),
            unit="nats",
            signed=True,
            stderr=tuple(map(tuple, np.full_like(values, 0.05).tolist())),
            noise_floor=0.1,
        ),
        "fidelity": Measure(k=(1, 3), values=((1.25, 2.5),) * targets, unit="nats"),
        "groundedness": Measure(k=(1,), values=((3.5,),) * targets, unit="nats"),
        "caveats": ("A fact that stands twice looks unimportant: taking one away leaves the other.",),
    }
    return Result(**{**fields, **changes})


def _build(
    texts: Sequence[tuple[str, str]] = (("note", "Dry cough. No fever."),),
    output: str = "He coughs.",
    *,
    segment_starts: Sequence[Sequence[int]] | None = None,
    target_starts: Sequence[int] = (0,),
    segment_kind: str = "sentence",
    target_kind: str = "sentence",
    values: Any = None,
    results: Callable[..., tuple[Result, ...]] = lambda values: (_attention(values),),
    given: bool = False,
    finish: str | None = "stop",
    **fields: Any,
) -> Explanation:
    """An explanation of `output` by sources (name, text), one segment each unless cut at `segment_starts`."""
    starts = segment_starts or [[0] for _ in texts]
    segments = [
        Segment.model_validate({"source": f"s{i}", "kind": segment_kind, "start": start, "end": end})
        for i, (_, text) in enumerate(texts)
        for start, end in (_partition(starts[i], len(text)) if text else [])
    ]
    targets = [
        Target.model_validate({"start": start, "end": end, "kind": target_kind})
        for start, end in _partition(target_starts, len(output))
    ]
    if values is None:
        values = np.full((len(targets), len(segments)), 0.5 / len(segments))
    content = {
        "id": "e-1",
        "created_at": datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
        "provider": "huggingface",
        "model": "whence-demo",
        "revision": "sha256:0123456789abcdef0123456789abcdef",
        "prompt": PromptRecord(
            instruction="Summarise this record.",
            messages=(
                MessageRecord(role="user", content=(SourceReference(source="s0"), "Summarise this record.")),
            ),
        ),
        "sources": tuple(
            SourceRecord(id=f"s{i}", name=name, kind="document", text=text)
            for i, (name, text) in enumerate(texts)
        ),
        "segments": tuple(segments),
        "output": Output.model_validate(
            {"text": output, "given": given, "finish": finish, "targets": [t.model_dump() for t in targets]}
        ),
        "results": results(np.asarray(values, dtype=np.float64)),
        "cost": Cost(calls=1, input_tokens=210, output_tokens=60, seconds=0.42),
    }
    return Explanation.model_validate({**content, **fields})


def _of_record(record: Record, results: Callable[..., tuple[Result, ...]]) -> Explanation:
    """The true summary of a record, with evidence that mostly follows the truth."""
    rng = np.random.default_rng(0)
    noise = rng.gamma(0.4, 0.02, (len(record.truth), len(record.spans)))
    for row, support in zip(noise, record.truth, strict=True):
        for line in support.lines:
            row[line] += rng.uniform(0.2, 0.7) / len(support.lines)
        row /= max(1.0, row.sum() / 0.95)
    return _build(
        [("admission note", record.text)],
        record.summary,
        segment_starts=[[start for start, _ in record.spans]],
        target_starts=[support.start for support in record.truth],
        values=noise,
        results=results,
    )


HOSTILE = {
    "markup": "</script></style></title><img src=x onerror=alert(1)><script>alert(1)</script>",
    "attribute": "\"><style>*{display:none}</style><a href='https://evil.test' style='x' onclick=\"y\">",
    "entity": "&lt;b&gt; &#0; &amp;amp; <!-- ]]> <![CDATA[",
    "template": "{{ 7 * 7 }}{% raw %}{# #}",
    "terminal": "[bold red]x[/] :smile: \x1b[31mred\x1b]8;;https://evil.test\x07",
    "controls": "a\x00b\x01c\x7fd\x85e\x9bf\x0bg\x0ch\ri",
    "bidi": "dose \u202e05\u202c mg \u2066x\u2069\u200f\u061c",
    "invisible": "no\u200b \ufefffever\u00ad\u2028\u2029\U000e0041\U000e0042",
    "cjk": "患者は咳をしている。",
    "emoji": "👩🏽‍⚕️ 🏳️‍🌈 1️⃣",
    "marks": "Z\u0351\u0343\u0342a\u0323\u0307lgo e\u0301",
    "persian": "می\u200cخواهم שלום",
    "formula": '=HYPERLINK("https://evil.test")',
    "lines": "  one\r\n\ttwo\n\n three  ",
}
"""Texts that break a page, a terminal or a table that is not careful."""


@pytest.fixture(params=list(HOSTILE.values()), ids=list(HOSTILE))
def hostile(request: pytest.FixtureRequest) -> str:
    text: str = request.param
    return text


@pytest.fixture
def filled(build: Build) -> Callable[[str], Explanation]:
    """An explanation that says one text wherever a text can stand."""

    def fill(text: str) -> Explanation:
        method = MethodRecord(
            name=text,
            family="native_attention",
            evidence="descriptive",
            access="weights",
            parameters={text: text},
            fallbacks=(Fallback(method=text, reason=text),),
        )
        reason = Measure(reason=text)
        made = build([(text, text)], text)
        result = made.results[0].model_copy(
            update={"method": method, "caveats": (text,), "fidelity": reason, "groundedness": reason}
        )
        return build(
            [(text, text)],
            text,
            results=lambda _: (result, result),
            model=text,
            provider=text,
            revision=text[:12],
            id=text,
            sources=(SourceRecord(id="s0", name=text, kind="document", text=text, metadata={text: text}),),
            prompt=PromptRecord(
                instruction=text,
                messages=(MessageRecord(role="user", content=(text, SourceReference(source="s0"))),),
            ),
        )

    return fill


@pytest.fixture
def build() -> Build:
    return _build


@pytest.fixture
def attention() -> Callable[..., Result]:
    return _attention


@pytest.fixture
def ablation() -> Callable[..., Result]:
    return _ablation


@pytest.fixture
def explanation() -> Explanation:
    """A realistic record, explained by attention."""
    return _of_record(generate(3), lambda values: (_attention(values),))


@pytest.fixture
def compared() -> Explanation:
    """The same record, explained by attention and by ablation."""
    return _of_record(generate(3), lambda values: (_attention(values), _ablation(5 * (values - 0.03))))
