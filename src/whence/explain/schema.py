"""The one schema: an `Explanation`, whoever made it and by whatever method.

Every rule that a field must obey is checked here, so a value that exists is a value that is possible.
Offsets are Python code points into the text as given, end exclusive.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, Field, model_validator

from whence.explain.budget import Budget
from whence.explain.result import Float32, NonEmpty, Part, Result, Scores, Text
from whence.explain.tensor import BLOCK_NAMES, AttentionBlock
from whence.providers.errors import MissingExtraError

SCHEMA_VERSION: Literal["1.0"] = "1.0"
TextKind = Literal["token", "word", "sentence", "paragraph", "source"]
SegmentKind = Literal[TextKind, "region"]
TargetKind = Literal["token", "word", "sentence", "whole"]


class SourceReference(Part):
    """Where a source stood in a message."""

    source: str


class MessageRecord(Part):
    """One message: its texts, and references in place of its sources."""

    role: Literal["system", "user", "assistant"]
    content: tuple[Text | SourceReference, ...]


class PromptRecord(Part):
    """What was asked. `instruction`: the texts of the user's messages, joined."""

    instruction: Text
    messages: tuple[MessageRecord, ...]


class SourceRecord(Part):
    """A named input: its text, or for an image its media type and digest."""

    id: Text
    name: Text
    kind: Literal["document", "message", "image"]
    metadata: dict[Text, Text] = Field(default={})
    text: Text | None = None
    media_type: Text | None = None
    sha256: Text | None = None

    @model_validator(mode="after")
    def _text_or_image(self) -> Self:
        if (self.kind == "image") != (self.text is None):
            raise ValueError(f"source {self.id}: an image has no text, and everything else has one")
        if self.kind == "image" and not (self.media_type and self.sha256):
            raise ValueError(f"source {self.id}: an image needs its media type and digest")
        return self


class Segment(Part):
    """A unit that receives credit: characters [start, end) of a source, or a box of an image.

    `box`: left, top, right, bottom, in pixels.
    """

    source: Text
    kind: SegmentKind
    start: int | None = Field(default=None, ge=0)
    end: int | None = Field(default=None, ge=0)
    box: tuple[int, int, int, int] | None = None

    @model_validator(mode="after")
    def _span_or_box(self) -> Self:
        if self.kind == "region":
            if self.box is None or self.start is not None or self.end is not None:
                raise ValueError("a region has a box, and no offsets")
            left, top, right, bottom = self.box
            if not (0 <= left < right and 0 <= top < bottom):
                raise ValueError(f"the box {self.box} is empty or outside the image")
        elif self.start is None or self.end is None or self.box is not None:
            raise ValueError(f"a {self.kind} has start and end, and no box")
        elif self.start >= self.end:
            raise ValueError(f"the {self.kind} [{self.start}, {self.end}) is empty")
        return self


class Target(Part):
    """A unit of the output that is explained: characters [start, end) of its text."""

    start: int = Field(ge=0)
    end: int = Field(ge=0)
    kind: TargetKind


class OutputToken(Part):
    """A token of the output; `start` and `end` are equal where it has no characters (the end token)."""

    start: int = Field(ge=0)
    end: int = Field(ge=0)
    logprob_nats: Float32 | None = None


class Output(Part):
    """What the model wrote, or was said to have written (`given`)."""

    text: Text
    given: bool
    finish: Literal["stop", "length"] | None = Field(
        default=None, description="`length`: cut at the limit; null for a given output."
    )
    targets: tuple[Target, ...] = Field(min_length=1)
    tokens: tuple[OutputToken, ...] | None = None

    @model_validator(mode="after")
    def _inside_the_text(self) -> Self:
        kinds = {target.kind for target in self.targets}
        if len(kinds) > 1:
            raise ValueError(f"targets of several kinds: {', '.join(sorted(kinds))}")
        if kinds == {"whole"} and len(self.targets) > 1:
            raise ValueError("the whole output is one target")
        _check_spans(
            [(target.start, target.end) for target in self.targets],
            len(self.text),
            partition=kinds != {"token"},
            what="target",
        )
        for token in self.tokens or ():
            if not token.start <= token.end <= len(self.text):
                raise ValueError(f"output token [{token.start}, {token.end}) is outside the text")
        return self


class Money(Part):
    """An amount in a currency (ISO 4217)."""

    amount: float = Field(ge=0, allow_inf_nan=False)
    currency: str = Field(pattern="^[A-Z]{3}$")


class Cost(Part):
    """What the explanation took. `calls`: requests to the model, or passes through it; every attempt counts.

    Tokens are those of calls that were answered. `budget`: the limits that held; null for none.
    """

    calls: int = Field(ge=0)
    input_tokens: int | None = Field(default=None, ge=0)
    output_tokens: int | None = Field(default=None, ge=0)
    seconds: float = Field(ge=0, allow_inf_nan=False)
    money: Money | None = None
    budget: Budget | None = None


class Passage(Part):
    """A segment with its score for one target; `share` is its part of the target's evidence."""

    segment: int
    source: str
    start: int | None
    end: int | None
    text: str
    score: float
    share: float


class Explanation(Part):
    """For each target of the output, which segments of the sources it came from, and how we know.

    `results`: one or more, the primary first. Write it with `save` or `model_dump_json`, read it back with
    `Explanation.model_validate_json`, which raises pydantic's ValidationError for impossible values.
    """

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    id: NonEmpty
    created_at: AwareDatetime
    provider: Text
    model: Text
    revision: Text | None = None
    prompt: PromptRecord
    sources: tuple[SourceRecord, ...] = Field(min_length=1)
    segments: tuple[Segment, ...] = Field(min_length=1)
    output: Output
    results: tuple[Result, ...] = Field(min_length=1)
    attention: tuple[AttentionBlock, ...] | None = Field(
        default=None,
        min_length=1,
        description="The full attention tensor, where it was asked for: at most one block of each name, in "
        "the order encoder, decoder, cross.",
    )
    cost: Cost

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        ids = [source.id for source in self.sources]
        if len(set(ids)) != len(ids):
            raise ValueError("two sources have the same id")
        placed = [part for message in self.prompt.messages for part in message.content]
        referred = {part.source for part in placed if isinstance(part, SourceReference)}
        unknown = ({segment.source for segment in self.segments} | referred) - set(ids)
        if unknown:
            raise ValueError(f"segments or messages refer to unknown sources: {', '.join(sorted(unknown))}")
        place = {source: index for index, source in enumerate(ids)}
        order = [place[segment.source] for segment in self.segments]
        if order != sorted(order):
            raise ValueError("segments are not in the order of their sources")
        own: dict[str, list[Segment]] = {source: [] for source in ids}
        for segment in self.segments:
            own[segment.source].append(segment)
        for source in self.sources:
            _check_segments(source, own[source.id])
        for result in self.results:
            self._check_result(result)
        self._check_attention()
        return self

    def _check_result(self, result: Result) -> None:
        targets, segments = len(self.output.targets), len(self.segments)
        values = result.scores.values
        if len(values) != targets or any(len(row) != segments for row in values):
            widths = sorted({len(row) for row in values})
            raise ValueError(
                f"scores are {len(values)} x {widths}, not {targets} targets x {segments} segments"
            )
        if result.detail is not None:
            texts = {source.id: source.text or "" for source in self.sources}
            for source, start, end in result.detail.tokens:
                if source not in texts or not 0 <= start <= end <= len(texts[source]):
                    raise ValueError(f"detail token [{start}, {end}) is outside source {source}")
            if len(result.detail.elsewhere) != len(self.output.tokens or ()):
                raise ValueError("detail has not one row for each token of the output")
        for measure in (result.fidelity, result.groundedness):
            if measure.values is not None and len(measure.values) != targets:
                raise ValueError("a measure has not one row for each target")

    def _check_attention(self) -> None:
        blocks = self.attention or ()
        names = [block.name for block in blocks]
        if names != [name for name in BLOCK_NAMES if name in names]:
            raise ValueError(f"blocks of attention are not different, or not in order: {', '.join(names)}")
        lengths = {source.id: len(source.text or "") for source in self.sources}
        for block in blocks:
            if block.explaining and len(block.explaining) != len(self.output.tokens or ()):
                raise ValueError(f"the {block.name} does not explain every token of the output by one row")
            for token in (*block.queries, *block.keys):
                if token.source is not None and token.source not in lengths:
                    raise ValueError(f"the {block.name} has a token of the unknown source {token.source}")
                length = len(self.output.text) if token.source is None else lengths[token.source]
                if token.end > length:
                    raise ValueError(
                        f"the {block.name} has a token [{token.start}, {token.end}) outside its text"
                    )

    def segment_text(self, index: int) -> str:
        """The characters of one segment; empty for a region of an image."""
        segment = self.segments[index]
        text = next(source.text for source in self.sources if source.id == segment.source)
        return (text or "")[segment.start : segment.end]

    def target_text(self, index: int) -> str:
        """The characters of one target."""
        target = self.output.targets[index]
        return self.output.text[target.start : target.end]

    def matrix(self, result: int = 0) -> NDArray[np.float32]:
        """Scores of one result, targets x segments, in its unit, signs kept."""
        values = self.results[result].scores.values
        return np.asarray(values, dtype=np.float32).reshape(len(self.output.targets), len(self.segments))

    def shares(self, result: int = 0) -> NDArray[np.float64]:
        """Each segment's part of a target's evidence: targets x segments, non-negative.

        Negatives count as 0, and so do scores under the noise floor; the rest is divided by its sum plus
        `elsewhere`, so that a row and its `elsewhere_share` sum to 1. Claims share equally. A row without
        any evidence is zeros, and its `elsewhere_share` is 1.
        """
        return _shares(self.results[result].scores, slice(None))

    def within_noise(self, result: int = 0) -> NDArray[np.bool_]:
        """Which scores are nearer to 0 than the noise floor, targets x segments; none without a floor.

        They are not distinguishable from chance, and count as 0 in `shares`.
        """
        within: NDArray[np.bool_] = np.abs(self.matrix(result)) < (
            self.results[result].scores.noise_floor or 0
        )
        return within

    def elsewhere_share(self, result: int = 0) -> NDArray[np.float64]:
        """The part of each target's evidence that no segment received: 1 minus the row of `shares`."""
        rest: NDArray[np.float64] = np.clip(1 - self.shares(result).sum(axis=1), 0, 1)
        return rest

    def top(self, target: int, k: int = 3, *, result: int = 0) -> list[Passage]:
        """The k segments with the highest scores for one target, best first; ties in reading order.

        Segments that contribute nothing (share 0) are left out, so there may be fewer than k.
        Raises IndexError for a target that does not exist, ValueError for k < 1.
        """
        if k < 1:
            raise ValueError(f"k is {k}; ask for at least one passage")
        if not 0 <= target < len(self.output.targets):
            raise IndexError(f"target {target}: this output has targets 0 to {len(self.output.targets) - 1}")
        scores = self.results[result].scores.values[target]
        shares = _shares(self.results[result].scores, slice(target, target + 1))[0]
        best = [int(i) for i in np.argsort(-np.asarray(scores), kind="stable") if shares[i] > 0][:k]
        return [self._passage(i, scores[i], float(shares[i])) for i in best]

    def _passage(self, index: int, score: float, share: float) -> Passage:
        segment = self.segments[index]
        return Passage(
            segment=index,
            source=segment.source,
            start=segment.start,
            end=segment.end,
            text=self.segment_text(index),
            score=score,
            share=share,
        )

    def at(
        self,
        segment_by: TextKind,
        *,
        target_by: TargetKind | None = None,
    ) -> Explanation:
        """The same explanation at another granularity, from its token-level detail; no model is asked.

        Results whose scores do not add up (ablation, claims), or that kept no detail, raise
        UnsupportedError.
        """
        from whence.explain.aggregate import at

        return at(self, segment_by, target_by)

    def save(self, path: str | Path, *, interactive: bool = True) -> Path:
        """Write the explanation; the ending (.json, .html, .csv, .txt) says how. Returns the path.

        An .html file is the viewer, which holds all there is, and asks nothing of a network; with
        `interactive=False` it is a page without any script, for print and mail. The file appears whole or
        not at all. Raises ValueError for another ending, OSError.
        """
        from whence.explain.render import save

        return save(self, Path(path), interactive=interactive)

    def widget(self) -> Any:
        """The viewer as a widget for a notebook, which `display` shows, and a cell by itself.

        Raises MissingExtraError without the extra `notebook`.
        """
        from whence.explain.render.widget import to_widget

        try:
            return to_widget(self)
        except ModuleNotFoundError as error:
            raise MissingExtraError("notebook", "anywidget") from error

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        from whence.explain.render.widget import to_mimebundle

        return to_mimebundle(self)

    def _repr_html_(self) -> str:
        from whence.explain.render.widget import to_viewer_frame

        return to_viewer_frame(self)

    def __str__(self) -> str:
        from whence.explain.render.text import to_text

        return to_text(self)


def _check_segments(source: SourceRecord, own: Sequence[Segment]) -> None:
    if source.text is None:
        if any(segment.kind != "region" for segment in own):
            raise ValueError(f"source {source.id} is an image: its segments are regions")
        return
    kinds = {segment.kind for segment in own}
    if len(kinds) > 1 or "region" in kinds:
        raise ValueError(f"source {source.id} has segments of kinds that do not go together")
    if kinds == {"source"} and len(own) > 1:
        raise ValueError(f"source {source.id} is one segment where sources receive the credit")
    spans = [(s.start, s.end) for s in own if s.start is not None and s.end is not None]
    partition = "token" not in kinds and bool(own or source.text.strip())  # no token is in blanks alone
    _check_spans(spans, len(source.text), partition=partition, what=f"segment of {source.id}")


def _shares(scores: Scores, rows: slice) -> NDArray[np.float64]:
    values = np.clip(np.asarray(scores.values[rows], dtype=np.float64), 0, None)
    if scores.noise_floor is not None:
        values[values < scores.noise_floor] = 0
    if scores.unit == "claim":
        values = (values > 0).astype(np.float64)
    totals = values.sum(axis=1)
    if scores.elsewhere is not None:
        totals += [max(e.total, 0.0) for e in scores.elsewhere[rows]]
    np.divide(values, totals[:, None], out=values, where=totals[:, None] > 0)
    return values


def _check_spans(spans: Sequence[tuple[int, int]], length: int, *, partition: bool, what: str) -> None:
    """Inside the text and in order; a partition also leaves no character out and takes none twice."""
    for start, end in spans:
        if not 0 <= start < end <= length:
            raise ValueError(f"{what} [{start}, {end}) is empty or outside the text of {length} characters")
    if partition:
        edges = [0, *(end for _, end in spans)]
        if [start for start, _ in spans] != edges[:-1] or edges[-1] != length:
            raise ValueError(f"the {what}s do not partition the text of {length} characters")
    elif list(spans) != sorted(spans):
        raise ValueError(f"the {what}s are not in order")


def now() -> datetime:
    """The present moment, with its time zone."""
    return datetime.now().astimezone()
