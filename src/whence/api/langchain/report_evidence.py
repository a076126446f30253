"""What an explanation measured, by chunk: which passages are whose, and which chunks a sentence rests on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from whence.api.langchain.report_rules import JOINT, standing_out
from whence.api.langchain.report_schema import ChunkPassage, Support
from whence.explain.schema import Explanation, Segment

if TYPE_CHECKING:
    from whence.api.langchain.retelling import Chunk


class Evidence:
    """One result of an explanation. `result`: what it is; `explanation`: whose."""

    def __init__(self, explanation: Explanation, chunks: Sequence[Chunk], index: int) -> None:
        self.explanation = explanation
        self.result = explanation.results[index]
        self._chunks = chunks
        self._passages = passages_of(explanation, chunks)
        self._shares = explanation.shares(index)
        self._values = explanation.matrix(index).astype(np.float64)
        self._outstanding = standing_out(explanation, index)
        own = {segment for passages in self._passages for segment in passages}
        names = {source.id: source.name for source in explanation.sources}
        self._others = {
            number: names[segment.source]
            for number, segment in enumerate(explanation.segments)
            if number not in own
        }

    def supports(self, target: int) -> tuple[Support, ...]:
        """The chunks that a sentence rests on, the best first."""
        found = []
        for index, own in enumerate(self._passages):
            outstanding = np.flatnonzero(self._outstanding[target, own])
            if len(outstanding):
                values = self._values[target, own]
                adds_up = self.result.scores.elsewhere is not None
                found.append(
                    Support(
                        chunk=index,
                        share=_part(self._shares[target, own].sum()),
                        score=float(values.sum() if adds_up else values.max()),
                        passages=tuple(outstanding.tolist()),
                    )
                )
        return tuple(sorted(found, key=lambda support: -support.score))

    def others(self, target: int) -> tuple[str, ...]:
        """Names of the sources that it rests on beside the chunks."""
        outstanding = np.flatnonzero(self._outstanding[target]).tolist()
        return tuple(dict.fromkeys(self._others[at] for at in outstanding if at in self._others))

    def passages(self, index: int) -> tuple[ChunkPassage, ...]:
        """The parts of a chunk that receive credit, in the order of the prompt."""
        segments = ((at, self.explanation.segments[at]) for at in self._passages[index])
        return tuple(
            ChunkPassage(
                source=segment.source,
                start=segment.start or 0,
                end=segment.end or 0,
                text=self.explanation.segment_text(at),
                share=_part(self._shares[:, at].mean()),
            )
            for at, segment in segments
        )

    def share(self, index: int) -> float | None:
        """A chunk's part of the evidence, the mean over the sentences; None without a passage."""
        own = self._passages[index]
        return _part(self._shares[:, own].sum(axis=1).mean()) if own else None

    def excludes(self, index: int) -> bool:
        """Whether a chunk on which no sentence rests is not used: all of it was taken away and measured.

        What stands in several passages is taken away as a whole only by designs that remove many together.
        """
        own = set(self._passages[index])
        whole = self.result.method.name in JOINT or (len(own) == 1 and self._chunks[index].places == 1)
        return (
            bool(own)
            and self.result.method.evidence == "causal"
            and whole
            and not any(segment in own for _, segment in self.result.scores.unmeasured)
        )


def passages_of(explanation: Explanation, chunks: Sequence[Chunk]) -> list[list[int]]:
    """For each chunk its segments. One that reaches beyond the chunk, in a source of several, is nobody's."""
    numbers = {source.id: number for number, source in enumerate(explanation.sources)}
    segments_of: dict[int, list[int]] = defaultdict(list)
    for at, segment in enumerate(explanation.segments):
        segments_of[numbers[segment.source]].append(at)
    found = []
    for chunk in chunks:
        spans: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for source, start, end in chunk.within:
            spans[source].append((start, end))
        found.append(
            [
                at
                for source in chunk.sources
                for at in segments_of[source]
                if source not in spans or _inside(explanation, explanation.segments[at], at, spans[source])
            ]
        )
    return found


def _inside(explanation: Explanation, segment: Segment, at: int, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether all letters and numbers of a segment are within one of these places."""
    written = [
        place for place, c in enumerate(explanation.segment_text(at), segment.start or 0) if c.isalnum()
    ]
    return bool(written) and any(start <= written[0] and written[-1] < end for start, end in spans)


def _part(share: float) -> float:
    """A share, without what arithmetic adds to 1."""
    return min(1.0, max(0.0, float(share)))
