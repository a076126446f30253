"""Where a model attends: found out once per model, by a pass over a few tokens.

Nothing is taken from names of families. The blocks are told apart by the number of queries and keys, for the
encoder reads seven tokens then and the decoder five; a layer's index is its place in the list of layers that
holds it; and what takes up a layer's output first is its output projection.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from whence.providers.errors import CaptureError
from whence.providers.huggingface.attention import Observer, Via
from whence.providers.huggingface.calls import Call, Products
from whence.providers.huggingface.passes import run
from whence.providers.observations import BlockName

ENCODER_TOKENS, DECODER_TOKENS = 7, 5
Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one call of attention stands. `projection`: what takes up its output; None where unknown."""

    block: BlockName
    layer: int
    heads: int
    projection: nn.Module | None


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """The attention of one model.

    `places`: for each call that an observer sees in a pass, in order, where it stands; None for a softmax
    that is no attention. `silent`: by block, layers without attention that can be seen, and what they are.
    `streams`: whether weights can be asked for after the pass (see `Call.streams`).
    """

    via: Via
    places: tuple[Place | None, ...]
    silent: Mapping[BlockName, Mapping[int, str]]
    streams: bool

    def layers(self, block: BlockName) -> tuple[int, ...]:
        """The layers of a block that attend."""
        return tuple(place.layer for place in self.places if place is not None and place.block == block)

    def heads(self, block: BlockName) -> int:
        """How many heads each layer of a block has; the fewest, where layers differ."""
        return min(place.heads for place in self.places if place is not None and place.block == block)

    @property
    def blocks(self) -> tuple[BlockName, ...]:
        """The blocks that there are."""
        found = {place.block for place in self.places if place is not None}
        return tuple(name for name in ("encoder", "decoder", "cross") if name in found)


def examine(model: PreTrainedModel, ids: list[int]) -> Anatomy:
    """Find a model's attention; `ids`: ordinary tokens to try it with, at least seven.

    Raises CaptureError where there is none, naming the layers, or where it is of an unknown shape.
    """
    if getattr(model.config, "attention_type", None) == "block_sparse":
        # A short input would make such a model replace its own attention, for good.
        raise CaptureError(
            f"{type(model).__name__} attends to blocks of long inputs, so its weights cannot be told apart "
            "by token; set its attention_type to 'original_full'"
        )
    two = model.config.is_encoder_decoder
    device = model.device
    inputs = {"input_ids": torch.tensor([ids[: ENCODER_TOKENS if two else DECODER_TOKENS]], device=device)}
    sizes: dict[Size, BlockName] = {(DECODER_TOKENS, DECODER_TOKENS): "decoder"}
    if two:
        inputs["decoder_input_ids"] = torch.tensor([ids[:DECODER_TOKENS]], device=device)
        sizes |= {(ENCODER_TOKENS, ENCODER_TOKENS): "encoder", (DECODER_TOKENS, ENCODER_TOKENS): "cross"}
    failure: CaptureError | None = None
    for via in ("interface", "tap"):
        survey = _Survey(sizes)
        try:
            with survey.following(model):
                run(model, inputs, survey, via=via)
        except CaptureError as error:
            failure = error  # a family that bypasses the interface may stumble over the interface's mask
            continue
        if any(survey.found):
            return survey.anatomy(model, via, bidirectional=not (two or survey.causal))
    if failure is not None:
        raise failure
    raise CaptureError(
        f"{type(model).__name__} has no attention that could be observed: {listed(_silent(model, None, ()))}"
    )


@dataclass(frozen=True, kw_only=True)
class _Found:
    place: Place
    list_name: str | None


class _Survey(Observer):
    """Notes each call of a small pass, and in which module it happened."""

    def __init__(self, sizes: Mapping[Size, BlockName]) -> None:
        super().__init__(lambda: None)
        self.sizes = sizes
        self.found: list[_Found | None] = []
        self.causal = True
        self.streams = True
        self.inside: list[str] = []
        self.output: Tensor | None = None
        self.takers = 0
        self.thread = threading.get_ident()  # others may run passes of their own through the model

    def observe(self, call: Call) -> None:
        block = self.sizes.get(call.size)
        if block is None:
            if isinstance(call, Products):
                raise CaptureError(
                    f"{self.inside[-1]} attends from {call.size[0]} to {call.size[1]} positions where there "
                    f"are {' or '.join(str(keys) for _, keys in self.sizes)}: this attention is not known"
                )
            self.found.append(None)
            return
        name, index = next(
            ((name, int(part)) for name, part in map(_split, self.inside) if part.isdigit()), (None, 0)
        )
        place = Place(block=block, layer=index, heads=call.heads, projection=None)
        self.found.append(_Found(place=place, list_name=name))
        self.streams = self.streams and call.streams
        above = torch.triu(torch.ones(call.size, dtype=torch.bool, device=call.device), diagonal=1)
        if block == "decoder" and (call.weights(slice(None))[..., above] > 0).any():
            self.causal = False

    def computed(self, call: Call, output: Tensor) -> None:
        self.output, self.takers = output, 0

    @contextmanager
    def following(self, model: PreTrainedModel) -> Iterator[None]:
        """Know at each moment in which modules the pass is."""
        handles: list[Any] = []
        for name, module in model.named_modules():
            handles.append(module.register_forward_pre_hook(self._entering(name)))
            handles.append(module.register_forward_hook(self._leaving()))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def anatomy(self, model: PreTrainedModel, via: Via, *, bidirectional: bool) -> Anatomy:
        """What was noted, with layers numbered."""
        places = [None if found is None else found.place for found in self.found]
        names: dict[BlockName, str | None] = {f.place.block: f.list_name for f in self.found if f}
        for block in names:
            own = [i for i, place in enumerate(places) if place is not None and place.block == block]
            numbers = [place.layer for place in places if place is not None and place.block == block]
            if len(set(numbers)) < len(numbers):  # layers that share their weights are told apart by order
                names[block] = None
                for number, i in enumerate(own):
                    places[i] = replace(places[i], layer=number)  # type: ignore[type-var]
        if bidirectional:
            places = [None if place is None else replace(place, block="encoder") for place in places]
            names = {"encoder": names["decoder"]}
        return Anatomy(
            via=via,
            places=tuple(places),
            streams=self.streams,
            silent={
                block: {}
                if name is None
                else _silent(model, name, [p.layer for p in places if p and p.block == block])
                for block, name in names.items()
            },
        )

    def _entering(self, name: str) -> Callable[[nn.Module, Any], None]:
        def hook(module: nn.Module, args: Any) -> None:
            if threading.get_ident() != self.thread:
                return
            self.inside.append(name)
            if self.output is None or not isinstance(module, nn.Linear | Conv1D) or not args:
                return
            found = self.found[-1]
            if found is not None and _same_storage(args[0], self.output):
                self.takers += 1
                # Two take it where an adapter stands beside the projection, and a quantised one has no
                # matrix that could be read.
                alone = self.takers == 1 and module.weight.dtype == args[0].dtype
                projection = module if alone else None
                self.found[-1] = replace(found, place=replace(found.place, projection=projection))

        return hook

    def _leaving(self) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if threading.get_ident() == self.thread:
                self.inside.pop()

        return hook


def _same_storage(one: Any, other: Tensor) -> bool:
    """Whether a layer is given just what the attention computed, if in another shape."""
    if not isinstance(one, Tensor):
        return False
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def _split(name: str) -> tuple[str, str]:
    head, _, tail = name.rpartition(".")
    return head, tail


def _silent(model: PreTrainedModel, list_name: str | None, seen: Any) -> dict[int, str]:
    """The other layers of a list of layers, by what does their work."""
    if list_name is None:
        count = getattr(model.config.get_text_config(), "num_hidden_layers", None)
        lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
        layers = next((module for module in lists if len(module) == count), nn.ModuleList())
    else:
        layers = model.get_submodule(list_name)  # type: ignore[assignment]
    return {index: _worker(layer) for index, layer in enumerate(layers) if index not in seen}


def _worker(layer: nn.Module) -> str:
    """The class that does a layer's work, or of the layer itself."""
    passive = ("norm", "mlp", "dropout", "feedforward", "feed_forward", "moe")
    names = [type(child).__name__ for child in layer.children()]
    workers = [name for name in names if not any(word in name.lower() for word in passive)]
    return workers[0] if workers else type(layer).__name__


def listed(silent: Mapping[int, str]) -> str:
    """`layers 0, 1, 3 (MambaMixer)`."""
    by_class: dict[str, list[int]] = {}
    for layer, name in silent.items():
        by_class.setdefault(name, []).append(layer)
    return (
        "; ".join(
            f"layer{'s' if len(layers) > 1 else ''} {', '.join(map(str, layers))} ({name})"
            for name, layers in by_class.items()
        )
        or "its layers are of no known kind"
    )
