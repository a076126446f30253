"""One attention layer at work: what it is given, and the weights that follow from it.

Weights are computed only where somebody asks for them, in float32, as transformers' eager attention does:
sdpa accumulates in float32 too, and a product rounded to bfloat16 before the softmax would be far from what
the model computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

ROWS_AT_ONCE = 64
"""Rows of softmax(QK^T) held at a time, for all heads of one layer."""
Rows = slice | Tensor


class Call(Protocol):
    """One call of one attention layer."""

    @property
    def heads(self) -> int:
        """How many heads there are."""

    @property
    def size(self) -> tuple[int, int]:
        """How many queries and keys."""

    @property
    def batch(self) -> int:
        """How many sequences."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    @property
    def streams(self) -> bool:
        """Whether weights can be asked for later, without a tensor of all of them being held."""

    def weights(self, rows: Rows, heads: Sequence[int] | None = None) -> Tensor:
        """Weights of some queries, and of some heads: float32, (batch, heads, rows, keys)."""


@dataclass(kw_only=True, eq=False)
class Products:
    """A layer that is given queries, keys and values; nothing of size queries x keys is held.

    `query`: (batch, heads, queries, head size). `key`, `value`: (batch, key-value heads, keys, head size).
    `mask`: None, boolean (True attends) or additive, (batch, 1 or heads, 1 or queries, keys); `causal` counts
    only where it is None. `bias`: added before the mask, (1 or batch, heads, queries, keys). `softcap`: as in
    Gemma 2. `sinks`: (heads,), a learned logit that takes its part of each row, as in gpt-oss.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    causal: bool
    scale: float
    softcap: float | None = None
    bias: Tensor | None = None
    sinks: Tensor | None = None

    @property
    def streams(self) -> bool:
        """They are computed from queries and keys."""
        return True

    @property
    def batch(self) -> int:
        """How many sequences."""
        return self.query.shape[0]

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.query.device

    @property
    def heads(self) -> int:
        """How many query heads."""
        return self.query.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """How many queries and keys."""
        return self.query.shape[2], self.key.shape[2]

    @cached_property
    def _key(self) -> Tensor:
        return self.key.float()  # once, not for every block of rows

    def weights(self, rows: Rows, heads: Sequence[int] | None = None) -> Tensor:
        """See `Call.weights`; with learned sinks a row sums to less than 1."""
        chosen = slice(None) if heads is None else list(heads)
        group = self.heads // self.key.shape[1]
        query, key = self.query[:, :, rows].float()[:, chosen], self._key
        if heads is not None:
            key, group = key[:, [head // group for head in heads]], 1
        batch, count, _, head_size = query.shape
        grouped = (query * self.scale).reshape(batch, count // group, group, -1, head_size)
        scores = grouped @ key.unsqueeze(2).transpose(-1, -2)
        scores = scores.reshape(batch, count, -1, key.shape[2])
        if self.softcap is not None:
            scores = torch.tanh(scores / self.softcap) * self.softcap
        if self.bias is not None:
            scores = scores + _part(self.bias, rows, chosen)
        lowest = torch.finfo(scores.dtype).min
        if self.mask is not None:
            mask = _part(self.mask, rows, chosen)[..., : key.shape[2]]
            scores = scores.masked_fill_(~mask, lowest) if mask.dtype == torch.bool else scores + mask
        elif self._looks_back:
            position = torch.arange(self.size[0], device=self.device)[rows] + key.shape[2] - self.size[0]
            first = int(position.min()) + 1  # what is before is seen by all of these rows
            later = position[:, None] < torch.arange(first, key.shape[2], device=self.device)
            scores[..., first:].masked_fill_(later, lowest)
        if self.sinks is None:
            return torch.softmax(scores, dim=-1)
        sinks = self.sinks.float()[chosen].reshape(1, -1, 1, 1).expand(batch, -1, scores.shape[2], 1)
        return torch.softmax(torch.cat([scores, sinks], dim=-1), dim=-1)[..., :-1]

    def without_values(self) -> Products:
        """The same weights, and what they need alone; a head's keys lie together, as they are read often."""
        return replace(self, key=self.key.contiguous(), value=self.value.new_empty(0))

    def first(self, count: int) -> Products:
        """The same weights of the first `count` queries, without keys that none of them can see."""
        if not self._looks_back or self.bias is not None or self.size[0] != self.size[1]:
            return self
        return replace(self, query=self.query[:, :, :count], key=self.key[:, :, :count])

    def output(self) -> Tensor:
        """What the layer computes, by the plain formula: (batch, queries, heads, head size)."""
        value = self.value.repeat_interleave(self.heads // self.value.shape[1], dim=1)
        blocks = [self.weights(rows).to(value.dtype) @ value for rows in blocks_of(self.size[0])]
        return torch.cat(blocks, dim=2).transpose(1, 2).contiguous()

    @property
    def _looks_back(self) -> bool:
        """Whether no query sees a key after it, and every key before."""
        return self.causal and self.mask is None and self.size[0] > 1


@dataclass(kw_only=True, eq=False)
class Tapped:
    """A layer whose softmax was seen: `tensor` is (batch, heads, queries, keys), held by the model itself."""

    tensor: Tensor

    @property
    def streams(self) -> bool:
        """They are one tensor, which goes with the layer."""
        return False

    @property
    def batch(self) -> int:
        """How many sequences."""
        return self.tensor.shape[0]

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.tensor.device

    @property
    def heads(self) -> int:
        """How many heads."""
        return self.tensor.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """How many queries and keys."""
        return self.tensor.shape[2], self.tensor.shape[3]

    def weights(self, rows: Rows, heads: Sequence[int] | None = None) -> Tensor:
        """See `Call.weights`."""
        part = self.tensor[:, :, rows]
        return (part if heads is None else part[:, list(heads)]).float()


def blocks_of(queries: int) -> list[slice]:
    """All rows, in blocks that are held one at a time."""
    return [slice(start, min(start + ROWS_AT_ONCE, queries)) for start in range(0, queries, ROWS_AT_ONCE)]


def _part(tensor: Tensor, rows: Rows, heads: slice | list[int]) -> Tensor:
    """Some rows and heads of a mask, which may stand for all rows or all heads at once."""
    if tensor.shape[-2] > 1:
        tensor = tensor[..., rows, :]
    return tensor[:, heads] if tensor.dim() == 4 and tensor.shape[1] > 1 else tensor
