"""Following one pass through the places where a model attends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from transformers import PreTrainedModel

from whence.providers.base import Watcher
from whence.providers.errors import CaptureError, UnsupportedError
from whence.providers.huggingface.anatomy import Anatomy, listed
from whence.providers.huggingface.attention import Observer
from whence.providers.huggingface.calls import Call, Products
from whence.providers.huggingface.reading import Reading
from whence.providers.huggingface.reductions import (
    Mean,
    Reduction,
    Rollout,
    StreamedRollout,
    ValueWeighted,
    Wanted,
)
from whence.providers.observations import BlockName
from whence.providers.observations import Reduction as ReductionName


class Following(Observer):
    """Gives each call of attention, with its place in the model, to a reduction and to a watcher."""

    def __init__(
        self,
        anatomy: Anatomy,
        reading: Reading,
        reduction: Reduction,
        check: Callable[[], None],
        watcher: Watcher | None,
    ) -> None:
        super().__init__(check)
        self.anatomy, self.reading, self.reduction, self.watcher = anatomy, reading, reduction, watcher
        self.calls = 0
        self.sinks = False  # learned ones, which take a part of each row
        if watcher is not None:
            _require_equal_heads(anatomy)
        self.watched: Mapping[BlockName, Sequence[int]] = (
            {} if watcher is None else watcher.begin(reading.blocks(anatomy))
        )

    def observe(self, call: Call) -> None:
        """One layer. Raises CaptureError where it is not the one that comes here."""
        number, self.calls = self.calls, self.calls + 1
        if number >= len(self.anatomy.places):
            raise CaptureError("the model attends more often than it did when it was examined")
        place = self.anatomy.places[number]
        if place is None:
            return
        queries, keys = self.reading.tokens[place.block]
        if call.size != (len(queries), len(keys)):
            raise CaptureError(
                f"layer {place.layer} attends from {call.size[0]} to {call.size[1]} positions, where "
                f"{len(queries)} and {len(keys)} were read; it divides or pads long inputs, so its weights "
                "cannot be told apart by token"
            )
        self.sinks = self.sinks or (isinstance(call, Products) and call.sinks is not None)
        self.reduction.take(place, call)
        if self.watcher is not None and place.block in self.watched:
            rows = torch.tensor(list(self.watched[place.block]), device=call.device)
            for head in range(place.heads):
                weights = call.weights(rows, [head])[0, 0].cpu().numpy()
                self.watcher.see(place.block, place.layer, head, weights)

    def finish(self, model: PreTrainedModel) -> None:
        """Raise CaptureError where layers are missing: a partial average would look like an answer."""
        if self.calls != len(self.anatomy.places):
            raise CaptureError(
                f"attention was seen {self.calls} times in {type(model).__name__}, and not "
                f"{len(self.anatomy.places)} times as when it was examined"
            )


def _require_equal_heads(anatomy: Anatomy) -> None:
    """Raise UnsupportedError where a block has layers of several sizes."""
    for block in anatomy.blocks:
        heads = sorted(
            {place.heads for place in anatomy.places if place is not None and place.block == block}
        )
        if len(heads) > 1:
            raise UnsupportedError(
                f"the layers of this model's {block} have {' or '.join(map(str, heads))} heads, and a tensor "
                "of layers x heads needs the same number in each; leave attention= away"
            )


def reduction(name: ReductionName, wanted: Wanted, anatomy: Anatomy) -> Reduction:
    """The reduction of that name."""
    if name == "rollout":
        return Rollout(wanted) if anatomy.streams else StreamedRollout(wanted)
    return ValueWeighted(wanted) if name == "value_weighted" else Mean(wanted)


def refused(anatomy: Anatomy, block: BlockName) -> dict[ReductionName, str]:
    """The reductions that cannot be had for what `block` explains, each with the reason."""
    reasons: dict[ReductionName, str] = {}
    silent = {layer: name for own in anatomy.silent.values() for layer, name in own.items()}
    if silent:
        reasons["rollout"] = f"attention cannot be followed through {listed(silent)}"
    elif block == "cross" and (set(anatomy.blocks) != {"encoder", "decoder", "cross"} or not anatomy.streams):
        reasons["rollout"] = "not all of its blocks can be followed"
    own = [place for place in anatomy.places if place is not None and place.block == block]
    if any(place.projection is None for place in own):
        reasons["value_weighted"] = (
            "its values do not go straight from the attention into one output projection, or that is "
            "quantised or adapted"
            if anatomy.via == "interface"
            else "it does not use transformers' attention interface, which shows the values"
        )
    return reasons


def silent_notes(anatomy: Anatomy, block: BlockName) -> tuple[str, ...]:
    """What a reader must know where some layers, or one half of a model, have no attention to be seen."""
    notes: list[str] = []
    silent = anatomy.silent.get(block)
    if silent:
        layers = ", ".join(map(str, anatomy.layers(block)))
        notes.append(
            f"Attention of layers {layers} only: {listed(silent)} pass on what they read in another way, "
            "which is not shown."
        )
    if block == "cross" and "encoder" not in anatomy.blocks:
        notes.append("The attention within the encoder cannot be observed; only what the decoder read of it.")
    return tuple(notes)
