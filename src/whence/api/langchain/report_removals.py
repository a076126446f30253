"""What the answer loses where a chunk, or another source, is taken away as a whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from whence.api.langchain.report_rules import standing_out
from whence.api.langchain.report_schema import Removal
from whence.explain.result import Result
from whence.explain.schema import Explanation

if TYPE_CHECKING:
    from whence.api.langchain.retelling import Chunk

_NOT_ASKED = "nothing was taken away to measure it"
_NOT_THERE = "it is not in the prompt"
_NOT_FOUND = "it was not found in the prompt"
_OTHER_PARTS = "what was taken away was measured for other parts of the answer"
_PLACES = "stands in {count} places of the prompt, which were not taken away together"
_TOGETHER = "taken away only together with {what}"
ONE_BY_ONE = "a chunk that it may rest on stands in several places, which were not taken away together"


class Removals:
    """The effects of removals. `result`: what they are; None where there is none for these parts."""

    def __init__(
        self, removals: Explanation | None, answer: Explanation, chunks: Sequence[Chunk], reason: str
    ) -> None:
        same = removals is not None and removals.output.targets == answer.output.targets
        self.result: Result | None = removals.results[0] if removals is not None and same else None
        self._reason = _OTHER_PARTS if removals is not None else reason or _NOT_ASKED
        self._chunks = chunks
        self._column: dict[int, int] = {}
        self._lost: frozenset[tuple[int, int]] = frozenset()
        self._names = [source.name for source in answer.sources]
        if removals is not None and same:
            numbers = {source.id: number for number, source in enumerate(removals.sources)}
            sources = [numbers[segment.source] for segment in removals.segments]
            self._column = {source: column for column, source in enumerate(sources)}
            self._matrix = removals.matrix().astype(np.float64)
            self._lost = frozenset(
                (int(target), sources[int(column)]) for target, column in np.argwhere(standing_out(removals))
            )
        self._sharing: dict[int, list[int]] = {}
        for index, chunk in enumerate(chunks):
            for source in chunk.sources:
                self._sharing.setdefault(source, []).append(index)

    def loses(self, target: int) -> tuple[int, ...]:
        """The chunks whose removal a sentence does not bear."""
        return tuple(
            index
            for index, chunk in enumerate(self._chunks)
            if _alone(chunk) and (target, chunk.sources[0]) in self._lost
        )

    def others(self, target: int) -> tuple[str, ...]:
        """Names of the sources whose removal it does not bear, and that are not one chunk's alone."""
        of_chunks = {source for chunk in self._chunks for source in chunk.sources}
        shared = {source for chunk in self._chunks for source, _, _ in chunk.within}
        return tuple(
            name
            for source, name in enumerate(self._names)
            if (target, source) in self._lost and (source not in of_chunks or source in shared)
        )

    def one_by_one(self, target: int) -> bool:
        """Whether it does not bear the loss of one place of a chunk that stands in several."""
        return any(
            (target, source) in self._lost
            for chunk in self._chunks
            if chunk.places > 1
            for source in chunk.sources
        )

    def of(self, index: int) -> Removal:
        """What taking a chunk away costs each sentence, or why that is not known."""
        chunk = self._chunks[index]
        if not chunk.sources:
            return Removal(reason=_NOT_FOUND if chunk.unread else _NOT_THERE)
        if self.result is None:
            return Removal(reason=self._reason)
        if chunk.places > 1:
            return Removal(reason=_PLACES.format(count=chunk.places))
        if chunk.within:
            return Removal(reason=_TOGETHER.format(what=self._beside(index)))
        if chunk.sources[0] not in self._column:
            return Removal(reason=_NOT_ASKED)
        column = self._column[chunk.sources[0]]
        missing = {target for target, segment in self.result.scores.unmeasured if segment == column}
        values = self._matrix[:, column]
        effects = tuple(None if target in missing else float(own) for target, own in enumerate(values))
        return Removal(
            effects=effects,
            total=None if missing else math.fsum(values),
            reason=f"{len(missing)} of {len(effects)} could not be measured" if missing else None,
        )

    def _beside(self, index: int) -> str:
        others = [other + 1 for other in self._sharing[self._chunks[index].sources[0]] if other != index]
        if not others:
            return "the text around it"
        return f"chunk{'s' * (len(others) > 1)} {', '.join(map(str, others))}"


def _alone(chunk: Chunk) -> bool:
    """Whether it stands in one place, and nothing else in its source."""
    return chunk.places == 1 and not chunk.within
