"""Which units are explained and which receive credit, and to which of them each token belongs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from whence.explain.schema import Segment, Target, TargetKind, TextKind
from whence.explain.segments import Span, assign_tokens, split

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
    segment_by: TextKind,
    target_by: TargetKind,
) -> Layout:
    """Divide sources (`ids`, `texts`) and `output`, and give each token to its unit.

    A token belongs to the unit of its first visible character. A target within a single token that
    belongs to its neighbour (two words in one token) takes that token too.
    """
    segments: list[Segment] = []
    segment_of = np.full(len(source_tokens), NOWHERE, dtype=np.intp)
    tokens_of_source: list[list[int]] = [[] for _ in ids]
    for i, (source, _, _) in enumerate(source_tokens):
        tokens_of_source[source].append(i)
    for name, text, own in zip(ids, texts, tokens_of_source, strict=True):
        units, members = _divide(text, [source_tokens[i][1:] for i in own], segment_by)
        segment_of[own] = [NOWHERE if unit is None else len(segments) + unit for unit in members]
        segments += [Segment(source=name, kind=segment_by, start=a, end=b) for a, b in units]
    units, members = _divide(output, output_tokens, target_by)
    return Layout(
        segments=tuple(segments),
        targets=tuple(Target(start=a, end=b, kind=target_by) for a, b in units),
        segment_of=segment_of,
        tokens_of=_tokens_of(units, output_tokens, members),
    )


def tokens_of(
    text: str, targets: Sequence[Target], tokens: Sequence[Span | None]
) -> tuple[tuple[int, ...], ...]:
    """As `Layout.tokens_of`, where the targets are known and the text was written in other tokens."""
    units = [(target.start, target.end) for target in targets]
    return _tokens_of(units, tokens, assign_tokens(text, tokens, units))


def _tokens_of(
    units: Sequence[Span], tokens: Sequence[Span | None], members: Sequence[int | None]
) -> tuple[tuple[int, ...], ...]:
    """For each unit its tokens; `members`: for each token the index of its unit."""
    owned: list[list[int]] = [[] for _ in units]
    for i, member in enumerate(members):
        if member is not None:
            owned[member].append(i)
    order = sorted((token[0], i) for i, token in enumerate(tokens) if token is not None)
    return tuple(tuple(own) or _covering(order, start) for own, (start, _) in zip(owned, units, strict=True))


def _divide(
    text: str, tokens: Sequence[Span | None], kind: TextKind | TargetKind
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


def _covering(order: Sequence[tuple[int, int]], at: int) -> tuple[int]:
    """The token that covers the character `at`, or else the one before it; `order`: (start, index)."""
    after = bisect_right(order, at, key=itemgetter(0))
    return (order[after - 1][1],) if after else (0,)
