"""From tokens to segments and targets: sums over a segment's tokens, averages over a target's tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whence.explain.layout import NOWHERE, Layout, SourceToken, lay_out
from whence.explain.packing import pack
from whence.explain.result import Detail, Elsewhere, Measure, Result, Scores
from whence.explain.schema import Explanation, TargetKind, TextKind
from whence.explain.segments import Span
from whence.providers.errors import UnsupportedError
from whence.providers.observations import AttentionRows

PARTS = ("instruction", "template", "special", "sink", "output_so_far", "blank")
NOT_HERE = Measure(reason="measured at another granularity; explain again to measure it at this one")


@dataclass(frozen=True, kw_only=True)
class TokenScores:
    """The token level. `values`: output tokens x source tokens; `outside`: output tokens x `PARTS`.

    Each row with its `outside` is all of the evidence for that output token: 1 for attention.
    """

    tokens: tuple[SourceToken, ...]
    values: NDArray[np.float64]
    outside: NDArray[np.float64]


def from_attention(rows: AttentionRows) -> TokenScores:
    """Divide the columns of attention into source tokens and parts outside every source."""
    weights = rows.rows.astype(np.float64)
    columns = [i for i, key in enumerate(rows.keys) if key.part == "source"]
    outside = np.zeros((len(weights), len(PARTS)))
    for part, name in enumerate(PARTS):
        key_part = "output" if name == "output_so_far" else name
        own = [i for i, key in enumerate(rows.keys) if key.part == key_part]
        outside[:, part] = weights[:, own].sum(axis=1)
    places = [rows.keys[i] for i in columns]
    return TokenScores(
        tokens=tuple((key.source or 0, key.start, key.end) for key in places),
        values=weights[:, columns],
        outside=outside,
    )


def aggregate(scores: TokenScores, layout: Layout) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Targets x segments, and targets x `PARTS`: tokens without a visible character count as `blank`."""
    by_segment = np.zeros((len(scores.values), len(layout.segments)))
    placed = layout.segment_of != NOWHERE
    np.add.at(by_segment.T, layout.segment_of[placed], scores.values.T[placed])
    outside = scores.outside.copy()
    outside[:, PARTS.index("blank")] += scores.values[:, ~placed].sum(axis=1)
    mean = np.array([by_segment[list(tokens)].mean(axis=0) for tokens in layout.tokens_of])
    mean_outside = np.array([outside[list(tokens)].mean(axis=0) for tokens in layout.tokens_of])
    return mean, mean_outside


def to_elsewhere(outside: NDArray[np.float64]) -> tuple[Elsewhere, ...]:
    """One `Elsewhere` for each row of parts."""
    return tuple(Elsewhere(**dict(zip(PARTS, row, strict=True)), total=sum(row)) for row in outside.tolist())


def to_detail(scores: TokenScores, ids: tuple[str, ...]) -> Detail:
    """The token level as it is kept in an explanation; `ids` are those of the sources."""
    return Detail(
        shape=(len(scores.values), len(scores.tokens)),
        values=pack(scores.values.astype(np.float32)),
        tokens=tuple((ids[source], start, end) for source, start, end in scores.tokens),
        elsewhere=to_elsewhere(scores.outside),
    )


def at(explanation: Explanation, segment_by: TextKind, target_by: TargetKind | None) -> Explanation:
    """See `Explanation.at`."""
    ids = tuple(source.id for source in explanation.sources)
    target_kind = target_by or explanation.output.targets[0].kind
    results: list[Result] = []
    layout: Layout | None = None
    for result in explanation.results:
        scores = _token_scores(result, ids)
        layout = lay_out(
            ids=ids,
            texts=[source.text or "" for source in explanation.sources],
            output=explanation.output.text,
            source_tokens=scores.tokens,
            output_tokens=_output_spans(explanation),
            segment_by=segment_by,
            target_by=target_kind,
        )
        values, outside = aggregate(scores, layout)
        changed = Scores(
            values=tuple(tuple(row) for row in values.tolist()),
            unit=result.scores.unit,
            signed=result.scores.signed,
            elsewhere=to_elsewhere(outside),
        )
        update: dict[str, Scores | Measure] = {"scores": changed}
        if (layout.segments, layout.targets) != (explanation.segments, explanation.output.targets):
            checks = {"fidelity": result.fidelity, "groundedness": result.groundedness}
            update |= {name: NOT_HERE for name, check in checks.items() if check.values is not None}
        results.append(result.model_copy(update=update))
    assert layout is not None  # noqa: S101 - the schema has at least one result
    output = explanation.output.model_copy(update={"targets": layout.targets})
    changes = {"segments": layout.segments, "output": output, "results": tuple(results)}
    return Explanation.model_validate(dict(explanation) | changes)


def _token_scores(result: Result, ids: tuple[str, ...]) -> TokenScores:
    if result.scores.unit not in ("attention_mass", "relevance"):
        raise UnsupportedError(
            f"{result.method.name} measures in {result.scores.unit}, which does not add up over tokens; "
            "explain again with the segment_by that you want"
        )
    if result.detail is None:
        raise UnsupportedError(
            f"this result of {result.method.name} kept no token level; explain with detail=True"
        )
    detail = result.detail
    place = {source: index for index, source in enumerate(ids)}
    return TokenScores(
        tokens=tuple((place[source], start, end) for source, start, end in detail.tokens),
        values=detail.matrix().astype(np.float64),
        outside=np.array([[row.parts[part] for part in PARTS] for row in detail.elsewhere]),
    )


def _output_spans(explanation: Explanation) -> list[Span | None]:
    tokens = explanation.output.tokens or ()
    return [(token.start, token.end) if token.end > token.start else None for token in tokens]
