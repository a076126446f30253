"""Which units are explained and which receive credit, and to which of them each token belongs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whence.explain.schema import Segment, Target
from whence.explain.segments import SegmentKind, Span, TargetKind, assign_tokens, split

NOWHERE = -1
SourceToken = tuple[int, int, int]
"""Index of the source, start, end."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Segments and targets, and the tokens of each.

    `segment_of`: for each source token the index of its segment; -1 for a token without a visible
    character. `tokens_of`: for each target the indices of its output tokens, at least one.
    """

    segments: tuple[Segment, ...]
    targets: tuple[Target, ...]
    segment_of: NDArray[np.intp]
    tokens_of: tuple[tuple[int, ...], ...]


def lay_out(
    *,
    ids: Sequence[str],
    texts: Sequence[str],
    output: str,
    source_tokens: Sequence[SourceToken],
    output_tokens: Sequence[Span | None],
    segment_by: SegmentKind,
    target_by: TargetKind,
) -> Layout:
    """Divide sources (`ids`, `texts`) and `output`, and give each token to its unit.

    A token belongs to the unit of its first visible character. A target within a single token that
    belongs to its neighbour (two words in one token) takes that token too.
    """
    segments: list[Segment] = []
    segment_of = np.full(len(source_tokens), NOWHERE, dtype=np.intp)
    for source, (name, text) in enumerate(zip(ids, texts, strict=True)):
        own = [i for i, token in enumerate(source_tokens) if token[0] == source]
        spans: list[Span | None] = [source_tokens[i][1:] for i in own]
        units, members = _divide(text, spans, segment_by)
        segment_of[own] = [NOWHERE if unit is None else len(segments) + unit for unit in members]
        segments += [Segment(source=name, kind=segment_by, start=a, end=b) for a, b in units]
    units, members = _divide(output, output_tokens, target_by)
    tokens_of = tuple(
        tuple(i for i, member in enumerate(members) if member == unit)
        or _covering(output_tokens, units[unit])
        for unit in range(len(units))
    )
    return Layout(
        segments=tuple(segments),
        targets=tuple(Target(start=a, end=b, kind=target_by) for a, b in units),
        segment_of=segment_of,
        tokens_of=tokens_of,
    )


def _divide(
    text: str, tokens: Sequence[Span | None], kind: SegmentKind | TargetKind
) -> tuple[list[Span], list[int | None]]:
    """The units of a text, and for each token the index of its unit."""
    if kind != "token":
        units = split(text, kind)
        return units, assign_tokens(text, tokens, units)
    units = []
    members: list[int | None] = []
    for token in tokens:
        visible = token is not None and bool(text[slice(*token)].strip())
        members.append(len(units) if visible else None)
        units += [token] if token is not None and visible else []
    return units, members


def _covering(tokens: Sequence[Span | None], unit: Span) -> tuple[int, ...]:
    """The token that covers the first character of a unit, or else the one before it."""
    before = [i for i, token in enumerate(tokens) if token is not None and token[0] <= unit[0]]
    return (before[-1],) if before else (0,)
