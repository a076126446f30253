"""Keeps the full attention tensor while a model is observed, within a limit of size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from whence.explain.cells import (
    DTYPES,
    Encoding,
    encode,
    pool,
    require_weights,
    thumbnail_shape,
)
from whence.explain.packing import base64_characters, pack, pack_plain, size_bytes
from whence.explain.tensor import BLOCK_NAMES, PRECISION, AttentionBlock, AttentionHead, AttentionToken
from whence.providers.errors import CaptureError, InputError
from whence.providers.observations import Block, BlockName, Token

# Of synthetic and real heads, causal or not, level 4 makes 98 to 99 % of what level 1 does in a little more
# time, and level 9 no less than 99 % of level 4 in 2 to 9 times its time: docs/decisions/0010.
GZIP_LEVEL = 4
GZIP_OVERHEAD = 64
"""Header, end, and first block of a gzip stream, generously, in bytes; further blocks add less than 0.1 %."""


@dataclass(frozen=True, kw_only=True)
class KeepAttention:
    """How to keep the full attention tensor.

    `encoding`: `u8_log`, one byte for each weight, or `float16`, two; `AttentionBlock.precision` tells the
    error of each. `limit_bytes`: the most that all base64 text of the tensor may take. What it leaves out
    stands in `AttentionBlock.left_out`. Raises InputError.
    """

    encoding: Encoding = "u8_log"
    limit_bytes: int = 64 * 2**20

    def __post_init__(self) -> None:
        if self.encoding not in get_args(Encoding):
            raise InputError(f"encoding is {self.encoding!r}; choose one of {', '.join(get_args(Encoding))}")
        if (
            not isinstance(self.limit_bytes, int)
            or isinstance(self.limit_bytes, bool)
            or self.limit_bytes < 1
        ):
            raise InputError(f"limit_bytes is {self.limit_bytes!r}; give a whole number of bytes from 1")

    @classmethod
    def wanted(cls, attention: bool | Literal["u8", "float16"] | KeepAttention) -> KeepAttention | None:
        """What `attention=` asks for; None for False. Raises InputError."""
        if isinstance(attention, KeepAttention):
            return attention
        if isinstance(attention, bool):
            return cls() if attention else None
        if attention in ("u8", "float16"):
            return cls(encoding="u8_log" if attention == "u8" else "float16")
        raise InputError(f"attention is {attention!r}; give True, False, 'u8', 'float16' or a KeepAttention")


@dataclass(kw_only=True)
class _Draft:
    """A block on its way: the rows wanted, and how much of its part of the limit is left."""

    block: Block
    rows: Sequence[int]
    summaries_left: int = 0
    values_bytes_left: int = 0
    heads: dict[tuple[int, int], AttentionHead] = field(default_factory=dict)

    @property
    def head_count(self) -> int:
        return len(self.block.layers) * self.block.heads

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows), len(self.block.keys)

    @property
    def summary_bytes(self) -> int:
        """Thumbnail and row sums of one head, in base64."""
        return base64_characters(size_bytes(thumbnail_shape(*self.shape), "|u1")) + base64_characters(
            size_bytes((len(self.rows),), "<f4")
        )


class TensorKeeper:
    """A `Watcher` that compresses each head as it comes; `finish` gives the blocks.

    Holds one head in float32 at a time. `ids`: of the sources, by their index.

    The limit is shared out before the pass. Where all queries would exceed it, even before compression,
    blocks keep the rows that explain the output. Thumbnails and row sums come next; then values: the blocks
    that explain the output have what they can need before others get any. Within a block, heads are
    kept as they come, until one does not fit.
    """

    def __init__(self, keep: KeepAttention, ids: Sequence[str]) -> None:
        self._keep = keep
        self._ids = ids
        self._drafts: dict[BlockName, _Draft] | None = None

    @property
    def begun(self) -> bool:
        """Whether a model has been observed."""
        return self._drafts is not None

    def begin(self, blocks: Sequence[Block]) -> Mapping[BlockName, Sequence[int]]:
        """Share out the limit. See `Watcher.begin`; what an earlier pass showed is forgotten."""
        dtype = DTYPES[self._keep.encoding]
        drafts = [_Draft(block=block, rows=range(len(block.queries))) for block in blocks]
        if sum(d.head_count * size_bytes(d.shape, dtype) for d in drafts) > self._keep.limit_bytes:
            for draft in drafts:
                draft.rows = sorted(set(draft.block.explaining)) or draft.rows
        drafts.sort(key=lambda draft: not draft.block.explaining)
        left_bytes = self._keep.limit_bytes
        for draft in drafts:
            draft.summaries_left = min(draft.head_count, left_bytes // draft.summary_bytes)
            left_bytes -= draft.summaries_left * draft.summary_bytes
        for draft in drafts:
            raw_bytes = size_bytes(draft.shape, dtype)
            most = base64_characters(raw_bytes + raw_bytes // 1000 + GZIP_OVERHEAD)
            draft.values_bytes_left = min(left_bytes, draft.head_count * most)
            left_bytes -= draft.values_bytes_left
        self._drafts = {draft.block.name: draft for draft in drafts}
        return {name: draft.rows for name, draft in self._drafts.items()}

    def see(self, block: BlockName, layer: int, head: int, weights: NDArray[np.float32]) -> None:
        """Keep what fits of one head. Raises CaptureError for weights that are not possible."""
        draft = (self._drafts or {})[block]
        where = f"{block}, layer {layer}, head {head}"
        if (layer, head) in draft.heads or layer not in draft.block.layers or head >= draft.block.heads:
            raise CaptureError(f"{where}: the model has no such head, or showed it twice")
        if weights.shape != draft.shape:
            raise CaptureError(f"{where}: the model showed {weights.shape} weights, not {draft.shape}")
        try:
            require_weights(weights)
        except ValueError as error:
            raise CaptureError(f"{where}: {error}") from error
        values = thumbnail = row_sums = None
        if draft.summaries_left:
            draft.summaries_left -= 1
            thumbnail = pack_plain(encode(pool(weights), "u8_log"), "|u1")
            row_sums = pack_plain(weights.sum(axis=1, dtype=np.float64), "<f4")
            values = self._values(draft, weights)
        draft.heads[layer, head] = AttentionHead(
            layer=layer, head=head, values=values, thumbnail=thumbnail, row_sums=row_sums
        )

    def _values(self, draft: _Draft, weights: NDArray[np.float32]) -> str | None:
        """The values of one head, packed; None where they, or some before them, did not fit."""
        if not draft.values_bytes_left:
            return None
        encoding = self._keep.encoding
        packed = pack(encode(weights, encoding), DTYPES[encoding], level=GZIP_LEVEL)
        if len(packed) > draft.values_bytes_left:
            draft.values_bytes_left = 0
            return None
        draft.values_bytes_left -= len(packed)
        return packed

    def finish(self) -> tuple[AttentionBlock, ...]:
        """The blocks: encoder, decoder, cross. Raises CaptureError where a head was never shown."""
        drafts = self._drafts or {}
        if not drafts:
            raise CaptureError("the model showed no attention weights, so there is no tensor to keep")
        return tuple(self._block(drafts[name]) for name in BLOCK_NAMES if name in drafts)

    def _block(self, draft: _Draft) -> AttentionBlock:
        block = draft.block
        missing = draft.head_count - len(draft.heads)
        if missing:
            raise CaptureError(f"{block.name}: {missing} of {draft.head_count} heads were never shown")
        row_of = {position: row for row, position in enumerate(draft.rows)}
        tokens = [self._token(token) for token in block.queries]
        return AttentionBlock(
            name=block.name,
            layers=block.layers,
            heads=block.heads,
            encoding=self._keep.encoding,
            precision=PRECISION[self._keep.encoding],
            queries=tuple(tokens[position] for position in draft.rows),
            positions=tuple(draft.rows),
            keys=tuple(self._token(token) for token in block.keys),
            explaining=tuple(row_of[position] for position in block.explaining),
            thumbnail_shape=thumbnail_shape(*draft.shape),
            data=tuple(draft.heads[place] for place in sorted(draft.heads)),
            left_out=self._left_out(draft),
        )

    def _token(self, token: Token) -> AttentionToken:
        placed = token.part in ("source", "output")
        return AttentionToken(
            text=token.text,
            part=token.part,
            source=self._ids[token.source] if token.source is not None else None,
            start=token.start if placed else 0,
            end=token.end if placed else 0,
        )

    def _left_out(self, draft: _Draft) -> str | None:
        limit = f"the limit of {self._keep.limit_bytes:,} bytes"
        said: list[str] = []
        rows, queries = len(draft.rows), len(draft.block.queries)
        if rows < queries:
            said.append(
                f"Only the {rows} of {queries} queries that explain the output are kept: all would exceed "
                f"{limit}."
            )
        without = [head for head in draft.heads.values() if head.values is None]
        if without:
            layers = _ranges(sorted({head.layer for head in without}))
            said.append(
                f"The values of {len(without)} of {draft.head_count} heads are left out ({layers}): with "
                f"them the tensor would exceed {limit}."
            )
        bare = sum(head.thumbnail is None for head in without)
        if bare:
            said.append(f"So are the thumbnails and row sums of {bare} of these heads.")
        return " ".join(said) or None


def _ranges(layers: Sequence[int]) -> str:
    """`layers 0, 3 to 5`."""
    runs = [
        [layer for _, layer in run] for _, run in groupby(enumerate(layers), lambda item: item[1] - item[0])
    ]
    named = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return f"layer{'s' if len(layers) > 1 else ''} {', '.join(named)}"
