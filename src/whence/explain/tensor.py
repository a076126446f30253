"""The full attention tensor as part of an explanation: layers x heads x queries x keys, in named blocks."""

from __future__ import annotations

import itertools
from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from whence.explain.cells import BOUNDS, DTYPES, Encoding, decode, thumbnail_shape
from whence.explain.packing import unpack, unpack_plain
from whence.explain.result import NonEmpty, Part, Text

CAVEAT = (
    "Attention shows where the model looked, not why it wrote this: a passage with a high share may have "
    "changed nothing, and one with a low share may have decided the sentence."
)
"""What stands wherever attention is shown."""
BlockName = Literal["encoder", "decoder", "cross"]
BLOCK_NAMES: tuple[BlockName, ...] = get_args(BlockName)
TokenPart = Literal["source", "instruction", "template", "special", "sink", "output"]
GZIP_IN_BASE64 = "H4sI"
"""What every base64 of a gzip stream begins with: its magic number and its method."""
ROW_SUM_TOLERANCE = 1e-2
"""How far above 1 the sum of a row may be: what half precision leaves of a sum that should be 1."""


class AttentionToken(Part):
    """A token that attends or is attended to.

    `start`, `end`: its characters in the text of its source, or, where `part` is `output`, in the output's;
    0 for all others.
    """

    text: Text = Field(description="What to call it. Text of a record: untrusted, never to be executed.")
    part: TokenPart = Field(
        description="Where it came from: a source; what messages say; the chat template; special tokens; "
        "the sink, which is the first token of a sequence; or the output so far."
    )
    source: Text | None = Field(default=None, description="The id of its source; null for other parts.")
    start: int = Field(default=0, ge=0, description="In Unicode code points.")
    end: int = Field(default=0, ge=0, description="In Unicode code points, exclusive.")

    @model_validator(mode="after")
    def _place_of_the_part(self) -> Self:
        if (self.part == "source") != (self.source is not None):
            raise ValueError("a token of a source names it, and no other token does")
        if self.end < self.start or (self.end and self.part not in ("source", "output")):
            raise ValueError(f"a token of part {self.part} cannot stand at [{self.start}, {self.end})")
        return self


class Precision(Part):
    """How far a decoded weight may be from the model's.

    A weight of at least `floor` is within `relative_error` of itself, a lesser one within `absolute_error`.
    """

    floor: float = Field(description="Where the relative error begins to hold.")
    relative_error: float = Field(description="|decoded - weight| / weight, at or above the floor.")
    absolute_error: float = Field(description="|decoded - weight|, below the floor.")


PRECISION: dict[Encoding, Precision] = {
    name: Precision(floor=floor, relative_error=relative, absolute_error=absolute)
    for name, (floor, relative, absolute) in BOUNDS.items()
}


class AttentionHead(Part):
    """One head of one layer; null stands for what a size limit left out."""

    layer: NonNegativeInt
    head: NonNegativeInt
    values: str | None = Field(
        repr=False,
        description="Base64 of one gzip stream: queries x keys numbers in the block's encoding, row by row.",
    )
    thumbnail: str | None = Field(
        repr=False,
        description="Base64 of `thumbnail_shape` codes of `u8_log` (whatever the block's encoding), row by "
        "row: of n queries and m keys, cell (floor(q * rows / n), floor(k * columns / m)) holds the greatest "
        "weight that falls into it.",
    )
    row_sums: str | None = Field(
        repr=False,
        description="Base64 of one little-endian float32 for each query: the sum of its weights before "
        "encoding. 1, less what sinks of the model's own took.",
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if (self.thumbnail is None) != (self.row_sums is None):
            raise ValueError("a head has both thumbnail and row sums, or neither")
        if self.values is not None:
            if self.thumbnail is None:
                raise ValueError("a head with values has a thumbnail and row sums")
            # The values are inflated where they are read: here it would take longer than all the rest.
            text = self.values
            if not (text.startswith(GZIP_IN_BASE64) and text.isascii() and len(text) % 4 == 0):
                raise ValueError("the values of a head are not a gzip stream in base64")
        return self


class AttentionBlock(Part):
    """One kind of attention: every weight of every head that was kept, and the tokens of rows and columns.

    `weights`, `thumbnail_of` and `row_sums_of` decode it, one head at a time.
    """

    name: BlockName = Field(
        description="`encoder`, `decoder`: a sequence on itself; `cross`: the decoder on the encoder."
    )
    layers: tuple[NonNegativeInt, ...] = Field(
        min_length=1, description="Those that have attention, by index."
    )
    heads: PositiveInt = Field(description="Of each layer.")
    encoding: Encoding = Field(
        description="`u8_log`: one byte; code 0 stands for 0, and code c from 1 to 255 for "
        "10 ** (6 * (c - 255) / 254). `float16`: two bytes, little-endian IEEE 754."
    )
    precision: Precision
    queries: tuple[AttentionToken, ...] = Field(
        min_length=1, repr=False, description="The tokens of the rows that were kept."
    )
    positions: tuple[NonNegativeInt, ...] = Field(
        repr=False, description="For each row its index among all queries of the model, ascending."
    )
    keys: tuple[AttentionToken, ...] = Field(
        min_length=1, repr=False, description="The tokens of the columns."
    )
    explaining: tuple[NonNegativeInt, ...] = Field(
        repr=False,
        description="For each token of the output the row that explains it: that of the position which "
        "predicts it. Empty where no row explains the output.",
    )
    thumbnail_shape: tuple[int, int] = Field(
        description="Rows and columns: at most 64, and no more than are."
    )
    data: tuple[AttentionHead, ...] = Field(
        repr=False, description="Every head of every layer, sorted by layer, then head."
    )
    left_out: NonEmpty | None = Field(
        default=None, description="What a size limit left out, in sentences; null where nothing is missing."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if list(self.layers) != sorted(set(self.layers)):
            raise ValueError("the layers are not in order, or not different")
        wanted = itertools.product(self.layers, range(self.heads))
        if len(self.data) != len(self.layers) * self.heads or any(
            (own.layer, own.head) != place for own, place in zip(self.data, wanted, strict=True)
        ):
            raise ValueError("the heads are not every head of every layer, in order")
        if any(head.values is None for head in self.data) and self.left_out is None:
            raise ValueError("some heads have no values, and left_out does not say so")
        return self

    @model_validator(mode="after")
    def _of_one_shape(self) -> Self:
        rows, columns = len(self.queries), len(self.keys)
        if len(self.positions) != rows or list(self.positions) != sorted(set(self.positions)):
            raise ValueError("the positions are not one for each row, ascending")
        if any(row >= rows for row in self.explaining):
            raise ValueError(f"explaining names a row beyond the {rows} that there are")
        if self.thumbnail_shape != thumbnail_shape(rows, columns):
            raise ValueError(f"{self.thumbnail_shape} is not the thumbnail of {rows} x {columns} weights")
        if self.precision != PRECISION[self.encoding]:
            raise ValueError(f"the precision is not that of {self.encoding}")
        for head in self.data:
            if head.thumbnail is not None and head.row_sums is not None:
                unpack_plain(head.thumbnail, self.thumbnail_shape, "|u1")
                sums = unpack_plain(head.row_sums, (rows,), "<f4")
                if not (sums.min() >= 0 and sums.max() <= 1 + ROW_SUM_TOLERANCE):
                    raise ValueError("a row of attention sums to less than 0 or more than 1")
        return self

    def weights(self, layer: int, head: int) -> NDArray[np.float32]:
        """The weights of one head, queries x keys, each within `precision`.

        Raises IndexError for a head that the model does not have, ValueError where a size limit left its
        values out or where they are damaged.
        """
        packed = self._kept(self._head(layer, head).values, "values", layer, head)
        shape = (len(self.queries), len(self.keys))
        weights = decode(unpack(packed, shape, DTYPES[self.encoding]), self.encoding)
        if not (weights.min() >= 0 and weights.max() <= 1):
            raise ValueError(f"layer {layer}, head {head}: a weight is not between 0 and 1")
        return weights

    def thumbnail_of(self, layer: int, head: int) -> NDArray[np.float32]:
        """The greatest weight in each cell, `thumbnail_shape`, as exact as `u8_log`. Raises as `weights`."""
        packed = self._kept(self._head(layer, head).thumbnail, "thumbnail", layer, head)
        return decode(unpack_plain(packed, self.thumbnail_shape, "|u1"), "u8_log")

    def row_sums_of(self, layer: int, head: int) -> NDArray[np.float32]:
        """The sum of each query's weights before encoding. Raises as `weights`."""
        packed = self._kept(self._head(layer, head).row_sums, "row sums", layer, head)
        return unpack_plain(packed, (len(self.queries),), "<f4")

    def _head(self, layer: int, head: int) -> AttentionHead:
        if layer not in self.layers or not 0 <= head < self.heads:
            raise IndexError(
                f"layer {layer}, head {head}: the {self.name} has heads 0 to {self.heads - 1} in layers "
                f"{', '.join(map(str, self.layers))}"
            )
        return self.data[self.layers.index(layer) * self.heads + head]

    def _kept(self, packed: str | None, what: str, layer: int, head: int) -> str:
        if packed is None:
            raise ValueError(f"layer {layer}, head {head} has no {what}: {self.left_out}")
        return packed
