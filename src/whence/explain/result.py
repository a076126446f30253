"""What one method found: its scores, what they are evidence of, and what a reader must know of them.

Scores are float32: they are written with the fewest digits that give the same float32 back.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from whence.explain.packing import unpack

ROW_SUM_TOLERANCE = 1e-4
"""How far a row of attention and its `elsewhere` may be from 1; float32 sums stay well within it."""

Access = Literal["weights", "logprobs", "text"]
Family = Literal["native_attention", "gradient", "logprob", "perturbation", "citation"]
Evidence = Literal["descriptive", "sensitivity", "causal", "self_reported"]
Unit = Literal["attention_mass", "nats", "similarity", "relevance", "claim"]

EVIDENCE: Mapping[str, str] = {
    "native_attention": "descriptive",
    "gradient": "sensitivity",
    "logprob": "causal",
    "perturbation": "causal",
    "citation": "self_reported",
}
UNITS: Mapping[str, str] = {
    "native_attention": "attention_mass",
    "gradient": "relevance",
    "logprob": "nats",
    "perturbation": "similarity",
    "citation": "claim",
}


def to_float32(values: Any) -> Any:
    """Each number as the shortest decimal that is the same float32; refuses NaN, infinity and overflow."""
    with np.errstate(over="ignore"):
        array = np.asarray(values, dtype=np.float32)
    if not np.isfinite(array).all():
        raise ValueError("a score is NaN, infinite or beyond float32")
    return array.astype(str).astype(np.float64).tolist()


def _number(value: float) -> float:
    return float(to_float32(value))


def _row(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(to_float32(values))


Float32 = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_number)]
Row = Annotated[tuple[float, ...], AfterValidator(_row)]
Rows = tuple[Row, ...]


def _encodable(text: str) -> str:
    text.encode()  # UnicodeEncodeError, a ValueError, for a lone surrogate
    return text


def _writable(value: JsonValue) -> JsonValue:
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()  # ValueError for NaN or a lone surrogate
    return value


Text = Annotated[str, AfterValidator(_encodable)]
NonEmpty = Annotated[str, Field(min_length=1), AfterValidator(_encodable)]
Json = Annotated[JsonValue, AfterValidator(_writable)]


class Part(BaseModel):
    """What all parts share: frozen, nothing beyond the named fields, and no record text in an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Fallback(Part):
    """A method that was passed over, and why."""

    method: Text
    reason: NonEmpty


class MethodRecord(Part):
    """The algorithm, what its scores are evidence of, and the access that it used."""

    name: Text
    family: Family
    evidence: Evidence
    access: Access
    parameters: dict[Text, Json] = {}
    seed: int | None = None
    fallbacks: tuple[Fallback, ...] = ()

    @model_validator(mode="after")
    def _evidence_of_the_family(self) -> Self:
        if self.evidence != EVIDENCE[self.family]:
            raise ValueError(f"{self.family} gives {EVIDENCE[self.family]} evidence, not {self.evidence}")
        return self


class Elsewhere(Part):
    """What fell outside every segment, by part; `total` is the sum of the parts.

    `instruction`: what messages say. `template`: the chat template and the lines around a source.
    `special`: special tokens. `sink`: the first token of the sequence, where idle attention rests.
    `output_so_far`: the output's own earlier tokens. `blank`: tokens of a source without a visible
    character.
    """

    instruction: Float32 = 0.0
    template: Float32 = 0.0
    special: Float32 = 0.0
    sink: Float32 = 0.0
    output_so_far: Float32 = 0.0
    blank: Float32 = 0.0
    total: Float32

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        parts = self.parts.values()
        if abs(math.fsum(parts) - self.total) > 1e-5 * max(1.0, *map(abs, parts)):
            raise ValueError(f"the parts of elsewhere add up to {math.fsum(parts)}, not {self.total}")
        return self

    @property
    def parts(self) -> dict[str, float]:
        """Every part by name, without the total."""
        return {name: value for name, value in self if name != "total"}


class Scores(Part):
    """`values`: targets x segments, in `unit`. `signed`: whether the method can give negatives.

    `stderr`: like `values`. `noise_floor`: scores nearer to 0 are not distinguishable from noise.
    `unmeasured`: (target, segment) of scores that could not be had; their values are 0, and say nothing.
    """

    values: Rows
    unit: Unit
    signed: bool
    elsewhere: tuple[Elsewhere, ...] | None = None
    stderr: Rows | None = None
    noise_floor: Float32 | None = Field(default=None, ge=0)
    unmeasured: tuple[tuple[NonNegativeInt, NonNegativeInt], ...] = ()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.signed != (self.unit not in ("attention_mass", "claim")):
            raise ValueError(f"{self.unit} is {'un' if self.signed else ''}signed")
        parts = [tuple(outside.parts.values()) for outside in self.elsewhere or ()]
        if not self.signed and any(value < 0 for row in (*self.values, *parts) for value in row):
            raise ValueError("a negative score in an unsigned method")
        if self.unit in ("attention_mass", "relevance") and self.elsewhere is None:
            raise ValueError(f"{self.unit} needs elsewhere: what fell outside every segment is never hidden")
        if self.unit in ("nats", "similarity", "claim") and self.elsewhere is not None:
            raise ValueError(f"{self.unit} knows no elsewhere")
        if self.elsewhere is not None and len(self.elsewhere) != len(self.values):
            raise ValueError(f"{len(self.values)} targets, but {len(self.elsewhere)} values of elsewhere")
        if self.unit == "attention_mass" and self.elsewhere is not None:
            for index, (row, outside) in enumerate(zip(self.values, self.elsewhere, strict=True)):
                total = math.fsum(row) + outside.total
                if abs(total - 1) > ROW_SUM_TOLERANCE:
                    raise ValueError(f"row {index} and its elsewhere add up to {total:.6f}, not to 1")
        if self.stderr is not None and [len(row) for row in self.stderr] != [len(r) for r in self.values]:
            raise ValueError("the standard errors have another shape than the scores")
        if any(error < 0 for row in self.stderr or () for error in row):
            raise ValueError("a negative standard error")
        for target, segment in self.unmeasured:
            if target >= len(self.values) or segment >= len(self.values[target]):
                raise ValueError(
                    "a score that could not be measured, of a target or segment that is not there"
                )
            if self.values[target][segment] != 0:
                raise ValueError("a score that could not be measured is not 0")
        return self


class Detail(Part):
    """The token-level matrix: output tokens x source tokens, with what fell elsewhere for each row.

    `values`: little-endian float32, row by row, gzip, base64; `shape` says how many rows and columns.
    `tokens`: (source id, start, end) for each column. Rows are those of `Output.tokens`.
    """

    shape: tuple[int, int]
    values: str
    tokens: tuple[tuple[Text, int, int], ...]
    elsewhere: tuple[Elsewhere, ...]

    @model_validator(mode="after")
    def _shape_of_the_parts(self) -> Self:
        if self.shape != (len(self.elsewhere), len(self.tokens)):
            raise ValueError(
                f"shape {self.shape}, but {len(self.elsewhere)} rows x {len(self.tokens)} tokens"
            )
        self.matrix()
        return self

    def matrix(self) -> NDArray[np.float32]:
        """The values, decoded: output tokens x source tokens. Raises ValueError where they are damaged."""
        return unpack(self.values, self.shape)


class Measure(Part):
    """A check of the highlights: `values` is targets x `k`, or null with the reason."""

    k: tuple[PositiveInt, ...] = ()
    values: Rows | None = None
    unit: Text | None = None
    reason: NonEmpty | None = None

    @model_validator(mode="after")
    def _values_or_reason(self) -> Self:
        if (self.values is None) == (self.reason is None):
            raise ValueError("a measure has values, or the reason why it has none")
        if self.values is not None and any(len(row) != len(self.k) for row in self.values):
            raise ValueError("a measure has one value for each k")
        return self


class Confirmation(Part):
    """What removing one segment alone did to one target: `effect`, in the unit of the scores.

    `confirmed`: it is more than noise.
    """

    target: int = Field(ge=0)
    segment: int = Field(ge=0)
    effect: Float32
    confirmed: bool


class Result(Part):
    """One method, one matrix.

    `confirmations`: of a design that removes many segments at once, its best ones removed one by one.
    """

    method: MethodRecord
    scores: Scores
    confirmations: tuple[Confirmation, ...] = ()
    detail: Detail | None = None
    fidelity: Measure
    groundedness: Measure
    caveats: tuple[NonEmpty, ...] = Field(min_length=1, description="Sentences that a reader must see.")

    @model_validator(mode="after")
    def _unit_of_the_family(self) -> Self:
        if self.scores.unit != UNITS[self.method.family]:
            raise ValueError(
                f"{self.method.family} is measured in {UNITS[self.method.family]}, not {self.scores.unit}"
            )
        return self

    @model_validator(mode="after")
    def _confirmations_inside(self) -> Self:
        for item in self.confirmations:
            if item.target >= len(self.scores.values) or item.segment >= len(self.scores.values[item.target]):
                raise ValueError("a confirmation of a target or segment that does not exist")
        return self

    @model_validator(mode="after")
    def _detail_of_attention(self) -> Self:
        if self.detail is not None and self.scores.unit == "attention_mass":
            weights = self.detail.matrix()
            totals = weights.sum(axis=1, dtype=np.float64) + [e.total for e in self.detail.elsewhere]
            if (weights < 0).any() or (np.abs(totals - 1) > ROW_SUM_TOLERANCE).any():
                raise ValueError("a row of the detail and its elsewhere are not weights that add up to 1")
        return self
