"""From the attention of every layer and head to one row of weights for each row wanted.

Nothing of size layers x heads x queries x keys is held: rows are combined as the layers compute them, or for
rollout computed again, layer by layer, from the queries and keys that each layer was given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from whence.providers.huggingface.anatomy import Place
from whence.providers.huggingface.calls import ROWS_AT_ONCE, Call, Products, blocks_of
from whence.providers.observations import BlockName

CROSS: BlockName = "cross"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The rows that explain something: `rows` of `block`; layers and heads to combine, None for all."""

    block: BlockName
    rows: Tensor
    layers: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None


class Reduction(Protocol):
    """Is shown every call of attention in a pass, and afterwards gives the rows."""

    def take(self, place: Place, call: Call) -> None:
        """One layer."""

    def rows(self) -> Tensor:
        """Float32, (batch, wanted rows, keys)."""


class Mean:
    """The weights of the wanted rows, averaged over heads and layers."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.kept_layers = 0
        self.total: Tensor | None = None

    def take(self, place: Place, call: Call) -> None:
        """Add this layer's rows."""
        wanted = self.wanted
        if place.block != wanted.block or (wanted.layers is not None and place.layer not in wanted.layers):
            return
        self.prepare(place, call)
        blocks = [self.combine(call, rows) for rows in torch.split(wanted.rows, ROWS_AT_ONCE)]
        mean = torch.cat(blocks, dim=1)
        self.total = mean if self.total is None else self.total + mean
        self.kept_layers += 1

    def prepare(self, place: Place, call: Call) -> None:
        """What is worked out once for all rows of a layer."""

    def combine(self, call: Call, rows: Tensor) -> Tensor:
        """Some rows of one layer, (batch, rows, keys)."""
        return call.weights(rows, self.wanted.heads).mean(dim=1)

    def rows(self) -> Tensor:
        """See `Reduction.rows`."""
        assert self.total is not None  # noqa: S101 - the layers asked for were checked against those there are
        return self.total / self.kept_layers


class ValueWeighted(Mean):
    """Weights times the norm of what they carry: |a_ij f(x_j)|, f(x) = (x W_V + b_V) W_O of one head.

    Kobayashi et al. 2020, equation 5: the length of the vector that key j adds to the output of the layer,
    not the weight alone. Summed over heads, and each row of a layer divided by its sum, so that each layer
    counts as much as any other; then averaged over layers.
    """

    def prepare(self, place: Place, call: Call) -> None:
        """The norms."""
        heads = slice(None) if self.wanted.heads is None else list(self.wanted.heads)
        self.norms = carried_norms(place, call)[:, heads].unsqueeze(2)

    def combine(self, call: Call, rows: Tensor) -> Tensor:
        """Some rows of one layer, each of which sums to 1."""
        carried = (call.weights(rows, self.wanted.heads) * self.norms).sum(dim=1)
        return carried / carried.sum(dim=-1, keepdim=True)


def carried_norms(place: Place, call: Call) -> Tensor:
    """|f(x_j)| of every head and key: float32, (batch, heads, keys)."""
    assert isinstance(call, Products) and place.projection is not None  # noqa: S101, PT018 - else refused
    weight = output_weight(place.projection)  # (heads * head size, out)
    by_head = weight.float().reshape(call.heads, -1, weight.shape[-1])
    gram = by_head @ by_head.transpose(
        -1, -2
    )  # |vW|^2 = v (W W^T) v^T: no vector as long as the model is wide
    value = call.value.float().repeat_interleave(call.heads // call.value.shape[1], dim=1)
    return ((value @ gram) * value).sum(dim=-1).clamp(min=0).sqrt()


def output_weight(projection: nn.Module) -> Tensor:
    """The matrix of an output projection, (in, out)."""
    weight: Tensor = projection.weight  # type: ignore[assignment]
    return weight if isinstance(projection, Conv1D) else weight.T


class Rollout:
    """Attention followed from layer to layer: Abnar and Zuidema 2020, with half of each layer the residual.

    From the top layer down, r <- r/2 + (r A)/2, where A is the mean of a layer's heads: only the wanted rows
    are followed. A decoder with an encoder has two places in each layer where it reads; r follows its own
    positions, and c, at first 0, those of the encoder: c <- c + (r A_cross)/2 and r <- r/2 at the cross
    attention, r <- r/2 + (r A_self)/2 at its own; then c <- c/2 + (c A)/2 through the encoder. The rows of c
    and r together sum to 1.
    """

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.calls: list[tuple[Place, Products]] = []

    def take(self, place: Place, call: Call) -> None:
        """Keep what this layer's weights are computed from."""
        assert isinstance(call, Products)  # noqa: S101 - `StreamedRollout` is for the others
        self.calls.append((place, call.without_values()))

    @torch.no_grad()  # the pass is over, and with it its own: learned sinks are parameters
    def rows(self) -> Tensor:
        """Of the wanted block; with an encoder: its keys, then the decoder's own positions."""
        own: Tensor | None = None
        memory: Tensor | None = None
        while self.calls:
            place, call = self.calls.pop()  # what is followed is let go
            if own is None:
                own = _one_hot(self.wanted.rows, call)
            if place.block == CROSS:
                read = self._through(own, call) / 2
                memory, own = read if memory is None else memory + read, own / 2
            elif place.block == "encoder" and memory is not None:
                memory = (memory + self._through(memory, call)) / 2
            else:
                own = (own + self._through(own, call)) / 2
        assert own is not None  # noqa: S101 - a model without attention is refused long before
        return own if memory is None else torch.cat([memory, own], dim=-1)

    def _through(self, flow: Tensor, call: Products) -> Tensor:
        """flow @ A, in blocks of rows of A."""
        through = flow.new_zeros(*flow.shape[:2], call.size[1])
        for rows in blocks_of(call.size[0]):
            if not flow[..., rows].any():  # in the top layer all but the wanted rows
                continue
            weights = call.first(rows.stop).weights(rows, self.wanted.heads).mean(dim=1)
            through[..., : weights.shape[-1]] += flow[..., rows] @ weights
        return through


class StreamedRollout:
    """The same from the bottom layer up, for layers whose weights are there only while they compute.

    One matrix of queries x keys in all, and not one for each layer. For models of one block.
    """

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.flow: Tensor | None = None

    def take(self, place: Place, call: Call) -> None:
        """Follow all positions through one more layer."""
        weights = call.weights(slice(None), self.wanted.heads).mean(dim=1)
        below = torch.eye(weights.shape[-1], device=weights.device) if self.flow is None else self.flow
        self.flow = (below + weights @ below) / 2

    def rows(self) -> Tensor:
        """See `Reduction.rows`."""
        assert self.flow is not None  # noqa: S101 - as above
        return self.flow[:, self.wanted.rows]


def _one_hot(rows: Tensor, call: Call) -> Tensor:
    """Each wanted row as itself: (batch, wanted rows, queries)."""
    flow = torch.zeros(call.batch, len(rows), call.size[0], device=call.device)
    flow[:, torch.arange(len(rows)), rows] = 1
    return flow
