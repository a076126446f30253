"""What a retrieval report holds: indices count from 0, offsets are code points, end exclusive."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from whence.explain.render import write_whole
from whence.explain.result import Evidence, Float32, NonEmpty, Part, Text, Unit
from whence.explain.schema import TargetKind

REPORT_SCHEMA_VERSION: Literal["1.0"] = "1.0"


class ChunkPassage(Part):
    """A part of a chunk that receives credit: characters [start, end) of a source of the explanation.

    `share`: its part of the evidence, the mean over the sentences.
    """

    source: Text
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    text: Text
    share: float = Field(ge=0, le=1)


class Removal(Part):
    """What taking one chunk away costs the answer.

    `effects`: of each sentence, positive where it is worse off without the chunk, null where it is not known.
    `total`: their sum. `reason`: why something is null.
    """

    effects: tuple[Float32 | None, ...] | None = None
    total: Float32 | None = None
    reason: NonEmpty | None = None

    @model_validator(mode="after")
    def _effects_or_reason(self) -> Self:
        known = self.effects is not None and None not in self.effects
        if (self.total is None) == known or (self.reason is None) != known:
            raise ValueError("a removal has all its effects and their sum, or the reason why not")
        return self


class RetrievedChunk(Part):
    """A retrieved document, and what became of it.

    `text`: as retrieved. `rank`: its place in the order of retrieval, from 1. `retrieval_score`: as the
    retriever told it, null where it did not. `in_prompt`: null where it was not found, and some of the prompt
    was not read. `coverage`: the share of its words that stand there. `passages`: its parts there; none where
    each reaches beyond it. `share`: its part of the evidence for the answer, the mean over the sentences;
    null without a passage. `used`: whether any sentence rests on it or loses without it; false only where all
    of it was taken away, and of each sentence it is known whether it rests on anything; else null. `claimed`:
    whether the answer says itself that it used it, null where the answer says nothing of the kind.
    `overlaps`: chunks with which it shares text.
    """

    name: Text
    text: Text
    metadata: dict[Text, Text] = Field(default={})
    rank: PositiveInt
    retrieval_score: float | None = Field(default=None, allow_inf_nan=False)
    in_prompt: bool | None
    coverage: float = Field(ge=0, le=1)
    passages: tuple[ChunkPassage, ...] = ()
    share: float | None = Field(default=None, ge=0, le=1)
    used: bool | None
    claimed: bool | None = None
    overlaps: tuple[NonNegativeInt, ...] = ()
    removal: Removal


class Support(Part):
    """A chunk that a sentence rests on. `share`: its part of the sentence's evidence.

    `score`: in the report's unit, of attention and relevance the sum over its passages, otherwise of its best
    one, for effects do not add up. `passages`: those of the chunk that stand out.
    """

    chunk: NonNegativeInt
    share: float = Field(ge=0, le=1)
    score: Float32
    passages: tuple[NonNegativeInt, ...] = Field(min_length=1)


class Sentence(Part):
    """A part of the answer: characters [start, end) of its text.

    `supports`: the chunks that it rests on, the best first. `loses_without`: chunks whose removal it does not
    bear. `others`: names of sources that it rests on and that are not one chunk, such as what a tool
    returned. `claims`: chunks that the answer itself says it used here; null where it says nothing of the
    kind. `supported`: whether it rests on any source; claims do not count beside what was measured. Null
    where nothing was found, and that is no proof: `reason` says why not.
    """

    text: Text
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    supports: tuple[Support, ...] = ()
    loses_without: tuple[NonNegativeInt, ...] = ()
    others: tuple[Text, ...] = ()
    claims: tuple[NonNegativeInt, ...] | None = None
    supported: bool | None
    reason: NonEmpty | None = None

    @model_validator(mode="after")
    def _supported_by_something(self) -> Self:
        found = bool(self.supports or self.loses_without or self.others)
        if found != (self.supported is True):
            raise ValueError("a sentence is supported where it rests on something, and only there")
        if (self.supported is None) != (self.reason is not None):
            raise ValueError("a sentence of which it is not known has the reason why not, and no other has")
        return self


class RetrievalReport(Part):
    """For each sentence of an answer the retrieved chunks it rests on, and for each chunk what it was for.

    `method`, `evidence`, `unit`: of shares, scores and supports, and `removal_...` of what happens without a
    chunk (null where nothing was taken away), `claims_method` of what the answer says itself, beside what was
    measured. `caveats` begin with the rule by which a sentence rests on a chunk.
    """

    schema_version: Literal["1.0"] = REPORT_SCHEMA_VERSION
    provider: Text
    model: Text
    method: Text
    evidence: Evidence
    unit: Unit
    noise_floor: Float32 | None = Field(default=None, ge=0)
    removal_method: Text | None = None
    removal_unit: Unit | None = None
    removal_noise_floor: Float32 | None = Field(default=None, ge=0)
    claims_method: Text | None = None
    kind: TargetKind = Field(description="What `sentences` are.")
    chunks: tuple[RetrievedChunk, ...]
    sentences: tuple[Sentence, ...] = Field(min_length=1)
    caveats: tuple[NonEmpty, ...] = Field(min_length=1, description="Sentences that a reader must see.")

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        for sentence in self.sentences:
            named = {support.chunk for support in sentence.supports}
            if any(
                index >= len(self.chunks)
                for index in named.union(sentence.loses_without, sentence.claims or ())
            ):
                raise ValueError("a sentence rests on a chunk that is not there")
            for support in sentence.supports:
                if max(support.passages) >= len(self.chunks[support.chunk].passages):
                    raise ValueError("a sentence rests on a passage that is not there")
        for chunk in self.chunks:
            if bool(chunk.passages) != (chunk.share is not None) or (chunk.passages and not chunk.in_prompt):
                raise ValueError("a chunk has passages and a share together, and only in the prompt")
            if chunk.removal.effects is not None and len(chunk.removal.effects) != len(self.sentences):
                raise ValueError("a removal has not one effect for each sentence")
            if any(index >= len(self.chunks) for index in chunk.overlaps):
                raise ValueError("a chunk overlaps with one that is not there")
        return self

    @property
    def unsupported(self) -> tuple[int, ...]:
        """Indices of the sentences of which it is known that they rest on no source."""
        return tuple(i for i, sentence in enumerate(self.sentences) if sentence.supported is False)

    @property
    def unused(self) -> tuple[int, ...]:
        """Indices of the chunks in the prompt of which it is known that no sentence rests on them."""
        return tuple(i for i, chunk in enumerate(self.chunks) if chunk.in_prompt and chunk.used is False)

    @property
    def not_in_prompt(self) -> tuple[int, ...]:
        """Indices of the chunks that were retrieved, and that the model never read."""
        return tuple(i for i, chunk in enumerate(self.chunks) if chunk.in_prompt is False)

    def to_text(self) -> str:
        """For a terminal or a file of 80 columns; no escape codes."""
        from whence.api.langchain.report_text import to_text

        return to_text(self)

    def to_html(self) -> str:
        """A page that runs nothing and loads nothing, to be written in UTF-8. It holds the chunks in full."""
        from whence.api.langchain.report_html import to_html

        return to_html(self)

    def to_json(self) -> str:
        """All of it; `RetrievalReport.model_validate_json` reads it back."""
        return self.model_dump_json()

    def save(self, path: str | Path) -> Path:
        """Write the report; the ending (.html, .json, .txt) says how. Returns the path.

        The file appears whole or not at all. Raises ValueError for another ending, OSError.
        """
        path = Path(path)
        write = {".html": self.to_html, ".json": self.to_json, ".txt": self.to_text}.get(path.suffix.lower())
        if write is None:
            raise ValueError(f"{path.name}: the ending says how to write; use one of .html, .json, .txt")
        write_whole(path, write())
        return path

    def __str__(self) -> str:
        return self.to_text()
