"""What became of the documents that were retrieved for an answer, out of its explanation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from whence.api.langchain.report_rules import cannot_tell, removal_rule, rules, share_text, standing_out
from whence.api.langchain.report_schema import (
    ChunkPassage,
    Removal,
    RetrievalReport,
    RetrievedChunk,
    Sentence,
    Support,
)
from whence.explain.schema import Explanation

if TYPE_CHECKING:
    from whence.api.langchain.retelling import Chunk

__all__ = ["RetrievalReport", "report_of"]

_OVERLAP = "Chunks {pairs} share text: what they share counts for the one that stands there first."
_PLACES = (
    "{what} more than one place of the prompt: the effect of the removal is that of the place that matters "
    "most, while the others still say it."
)
_CLAIMS = (
    "What the answer itself says it used is shown beside what was measured, and counts for nothing there."
)
_MORE = "The explanation has more results than this report shows: {names}."
_NOT_ASKED = "nothing was taken away to measure it"
_NOT_THERE = "it is not in the prompt"
_OTHER_PARTS = "what was taken away was measured for other parts of the answer"


def report_of(
    explanation: Explanation, chunks: Sequence[Chunk], removals: Explanation | None = None
) -> RetrievalReport:
    """Which chunks each sentence rests on, by the explanation's first measured result.

    The rules are those of `report_rules`. `chunks`: in the order of retrieval, with indices into the
    explanation's sources. `removals`: of the same prompt and answer, with sources as segments. Claims that
    the answer made itself are a column of their own, unless they are all there is.
    """
    made = _Made(explanation, chunks, removals)
    primary = explanation.results[made.measured]
    claimed = None if made.claims is None else explanation.results[made.claims]
    lost = None if removals is None else removals.results[0]
    return RetrievalReport(
        provider=explanation.provider,
        model=explanation.model,
        method=primary.method.name,
        evidence=primary.method.evidence,
        unit=primary.scores.unit,
        noise_floor=primary.scores.noise_floor,
        removal_method=None if lost is None else lost.method.name,
        removal_unit=None if lost is None else lost.scores.unit,
        removal_noise_floor=None if lost is None else lost.scores.noise_floor,
        claims_method=None if claimed is None else claimed.method.name,
        kind=explanation.output.targets[0].kind,
        chunks=made.chunks(),
        sentences=made.sentences,
        caveats=made.caveats(),
    )


class _Made:
    """The parts of a report. `measured`, `claims`: which results they are of."""

    def __init__(
        self, explanation: Explanation, chunks: Sequence[Chunk], removals: Explanation | None
    ) -> None:
        units = [result.scores.unit for result in explanation.results]
        self.measured = next((i for i, unit in enumerate(units) if unit != "claim"), 0)
        self.claims = next(
            (i for i, unit in enumerate(units) if unit == "claim" and i != self.measured), None
        )
        self._explanation = explanation
        self._given = chunks
        self._removals = removals
        self._same_answer = removals is not None and removals.output.targets == explanation.output.targets
        self._source_of = np.array(_sources_of(explanation))
        self._passages = [np.flatnonzero(np.isin(self._source_of, chunk.sources)) for chunk in chunks]
        self._shares = explanation.shares(self.measured)
        self._values = explanation.matrix(self.measured).astype(np.float64)
        self._outstanding = standing_out(explanation, self.measured)
        self._claimed = None if self.claims is None else standing_out(explanation, self.claims)
        self._removed = [] if removals is None else _sources_of(removals)
        self._lost = self._losses()
        self._overlaps = self._overlapping()
        unknown = cannot_tell(explanation, self.measured)
        if removals is not None and self._same_answer:
            unknown &= cannot_tell(removals)
        self.sentences = tuple(
            self._sentence(target, bool(unknown[target])) for target in range(len(unknown))
        )

    def chunks(self) -> tuple[RetrievedChunk, ...]:
        """Each with what it was for."""
        used = {s.chunk for sentence in self.sentences for s in sentence.supports}
        used = used.union(*(sentence.loses_without for sentence in self.sentences))
        untold = any(sentence.supported is None for sentence in self.sentences)
        claimed = {chunk for sentence in self.sentences for chunk in sentence.claims or ()}
        made = []
        for index, chunk in enumerate(self._given):
            own = self._passages[index]
            made.append(
                RetrievedChunk(
                    name=_encodable(chunk.document.name) or f"document {index + 1}",
                    text=_encodable(chunk.document.text),
                    metadata={_encodable(k): _encodable(v) for k, v in chunk.document.metadata.items()},
                    rank=index + 1,
                    retrieval_score=_finite(chunk.document.score),
                    in_prompt=bool(len(own)),
                    coverage=chunk.coverage,
                    passages=tuple(self._passage(segment) for segment in own.tolist()),
                    share=_part(self._shares[:, own].sum(axis=1).mean()) if len(own) else None,
                    used=True if index in used else (None if untold and len(own) else False),
                    claimed=None if self.claims is None else index in claimed,
                    overlaps=tuple(b if a == index else a for a, b in self._overlaps if index in (a, b)),
                    removal=self._removal(chunk),
                )
            )
        return tuple(made)

    def caveats(self) -> tuple[str, ...]:
        """The rule first, then what this answer and these chunks ask for, then those of the methods."""
        explanation = self._explanation
        said = [*rules(explanation, self.measured)]
        pairs = [f"{a + 1} and {b + 1}" for a, b in self._overlaps]
        said += [_OVERLAP.format(pairs=", ".join(pairs))] if pairs else []
        if self._removals is not None:
            said.append(removal_rule(self._removals))
            places = [str(i + 1) for i, chunk in enumerate(self._given) if len(chunk.sources) > 1]
            if places:
                what = (
                    f"Chunk {places[0]} stands" if len(places) == 1 else f"Chunks {', '.join(places)} stand"
                )
                said.append(_PLACES.format(what=f"{what} in"))
        said += [_CLAIMS] if self.claims is not None else []
        shown = {self.measured, self.claims}
        more = [result.method.name for i, result in enumerate(explanation.results) if i not in shown]
        said += [_MORE.format(names=", ".join(more))] if more else []
        results = [explanation.results[i] for i in (self.measured, self.claims) if i is not None]
        results += [] if self._removals is None else [self._removals.results[0]]
        return tuple(dict.fromkeys([*said, *(caveat for result in results for caveat in result.caveats)]))

    def _sentence(self, target: int, unknown: bool) -> Sentence:
        explanation = self._explanation
        span = explanation.output.targets[target]
        row = self._outstanding[target]
        supports = [
            self._support(target, index) for index, own in enumerate(self._passages) if row[own].any()
        ]
        loses = [
            index
            for index, chunk in enumerate(self._given)
            if any((target, source) in self._lost for source in chunk.sources)
        ]
        of_chunks = {source for chunk in self._given for source in chunk.sources}
        others = [s for s in dict.fromkeys(self._source_of[row].tolist()) if s not in of_chunks]
        claims = None
        if self._claimed is not None:
            cited = self._claimed[target]
            claims = tuple(index for index, own in enumerate(self._passages) if cited[own].any())
        found = bool(supports or loses or others)
        return Sentence(
            text=explanation.target_text(target),
            start=span.start,
            end=span.end,
            supports=tuple(sorted(supports, key=lambda support: -support.score)),
            loses_without=tuple(loses),
            others=tuple(explanation.sources[source].name for source in others),
            claims=claims,
            supported=True if found else (None if unknown else False),
        )

    def _support(self, target: int, index: int) -> Support:
        own = self._passages[index]
        values = self._values[target, own]
        adds_up = self._explanation.results[self.measured].scores.elsewhere is not None
        return Support(
            chunk=index,
            share=_part(self._shares[target, own].sum()),
            score=float(values.sum() if adds_up else values.max()),
            passages=tuple(np.flatnonzero(self._outstanding[target, own]).tolist()),
        )

    def _passage(self, segment: int) -> ChunkPassage:
        part = self._explanation.segments[segment]
        return ChunkPassage(
            source=part.source,
            start=part.start or 0,
            end=part.end or 0,
            text=self._explanation.segment_text(segment),
            share=_part(self._shares[:, segment].mean()),
        )

    def _losses(self) -> frozenset[tuple[int, int]]:
        """(target, source) where the sentence does not bear the removal of the source."""
        if self._removals is None or not self._same_answer:
            return frozenset()
        outstanding = np.argwhere(standing_out(self._removals))
        return frozenset((int(target), self._removed[int(segment)]) for target, segment in outstanding)

    def _removal(self, chunk: Chunk) -> Removal:
        if self._removals is None:
            return Removal(reason=_NOT_ASKED if chunk.sources else _NOT_THERE)
        if not self._same_answer:
            return Removal(reason=_OTHER_PARTS)
        scores = self._removals.results[0].scores
        segments = [segment for segment, source in enumerate(self._removed) if source in chunk.sources]
        if not segments:
            return Removal(reason=_NOT_THERE)
        columns = [self._removals.matrix()[:, segment].astype(np.float64) for segment in segments]
        best = max(range(len(segments)), key=lambda at: float(columns[at].sum()))
        missing = {target for target, segment in scores.unmeasured if segment == segments[best]}
        effects = [None if t in missing else float(value) for t, value in enumerate(columns[best])]
        return Removal(
            effects=tuple(effects),
            total=None if missing else math.fsum(columns[best]),
            reason=f"{len(missing)} of {len(effects)} could not be measured" if missing else None,
        )

    def _overlapping(self) -> list[tuple[int, int]]:
        """Pairs of chunks of which one at least is in the prompt, that share a source or text."""
        return [
            (i, j)
            for j, other in enumerate(self._given)
            for i, one in enumerate(self._given[:j])
            if (one.sources or other.sources)
            and (set(one.sources) & set(other.sources) or share_text(one.document.text, other.document.text))
        ]


def _sources_of(explanation: Explanation) -> list[int]:
    """For each segment the index of its source."""
    index = {source.id: number for number, source in enumerate(explanation.sources)}
    return [index[segment.source] for segment in explanation.segments]


def _part(share: float) -> float:
    """A share, without what arithmetic adds to 1."""
    return min(1.0, max(0.0, float(share)))


def _finite(score: float | None) -> float | None:
    return score if score is not None and math.isfinite(score) else None


def _encodable(text: str) -> str:
    """Names and texts are of others, and may hold what no file can."""
    return text.encode(errors="replace").decode()
