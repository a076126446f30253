"""Our attention function: what the model computes stays the same, and the wanted rows are seen beside it.

It is registered with transformers' attention interface once, and set on a model only while `observing`.
No tensor of all layers, heads, queries and keys is ever held: each layer's rows are averaged over heads
and added up as they come. Softmax is taken in float32, as transformers' eager attention does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from whence.providers.errors import CaptureError

NAME = "whence"
ROWS_AT_ONCE = 64
"""Rows of softmax(QK^T) held at a time, for all heads of one layer."""


class Observer:
    """Is called in every attention layer; by itself it only lets the caller stop the forward pass."""

    def __init__(self, on_layer: Callable[[int], None]) -> None:
        self.on_layer = on_layer
        self.calls = 0
        self.stopped_by: BaseException | None = None

    def see(
        self, query: Tensor, key: Tensor, mask: Tensor | None, scale: float, softcap: float | None
    ) -> None:
        """One layer's attention is about to be computed."""
        try:
            self.on_layer(self.calls)
        except BaseException as error:
            self.stopped_by = error  # not a failure of the model: see `collect_rows`
            raise
        self.calls += 1


class RowCollector(Observer):
    """Adds up attention from the last `rows` positions on, averaged over heads.

    `layers`, `heads`: indices to keep, None for all. `total`: float32, (batch, rows, keys), summed over
    the layers kept.
    """

    def __init__(
        self,
        *,
        rows: int,
        layers: frozenset[int] | None,
        heads: tuple[int, ...] | None,
        on_layer: Callable[[int], None],
    ) -> None:
        super().__init__(on_layer)
        self.rows, self.layers, self.heads = rows, layers, heads
        self.kept_layers = 0
        self.total: Tensor | None = None

    def see(
        self, query: Tensor, key: Tensor, mask: Tensor | None, scale: float, softcap: float | None
    ) -> None:
        """Add this layer's rows."""
        layer = self.calls
        super().see(query, key, mask, scale, softcap)
        if self.layers is not None and layer not in self.layers:
            return
        key = key.float()  # once, not for every block
        first, count = query.shape[2] - self.rows, query.shape[2]
        blocks = []
        for start in range(first, count, ROWS_AT_ONCE):
            block = slice(start, min(start + ROWS_AT_ONCE, count))
            weights = attention_weights(query, key, mask, scale, softcap, rows=block)
            kept = weights if self.heads is None else weights[:, list(self.heads)]
            blocks.append(kept.mean(dim=1))
        mean = torch.cat(blocks, dim=1)
        self.total = mean if self.total is None else self.total + mean
        self.kept_layers += 1


def attention_weights(
    query: Tensor, key: Tensor, mask: Tensor | None, scale: float, softcap: float | None, *, rows: slice
) -> Tensor:
    """softmax(QK^T) of some query positions: float32, (batch, heads, rows, keys).

    `query`: (batch, heads, queries, head size), `key`: (batch, key-value heads, keys, head size).
    `mask`: None for causal, else boolean (True attends) or additive, (batch, 1, queries, keys).
    Computed in float32 whatever the model's own precision: sdpa accumulates in float32 too, and a product
    rounded to bfloat16 before the softmax would be far from what the model computed.
    """
    batch, heads, queries, size = query.shape
    shared, keys = key.shape[1], key.shape[2]
    key = key.float()
    grouped = query[:, :, rows].float().reshape(batch, shared, heads // shared, -1, size)
    scores = (grouped @ key.unsqueeze(2).transpose(-1, -2)).reshape(batch, heads, -1, keys) * scale
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if mask is None:
        position = torch.arange(queries, device=query.device)[rows] + keys - queries
        mask = position[:, None] >= torch.arange(keys, device=query.device)
    else:
        mask = mask[:, :, rows, :keys]
    lowest = torch.finfo(scores.dtype).min
    scores = scores.masked_fill(~mask, lowest) if mask.dtype == torch.bool else scores + mask
    return torch.softmax(scores, dim=-1, dtype=torch.float32)


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in each layer: sdpa, or for a soft cap, which sdpa lacks, the plain formula."""
    softcap = kwargs.pop("softcap", None)
    unhandled = [name for name in ("s_aux", "position_bias") if kwargs.get(name) is not None]
    if unhandled:
        raise CaptureError(
            f"{type(module).__name__} adds {' and '.join(unhandled)} to its attention, which cannot be "
            "observed yet"
        )
    if attention_mask is None and query.shape[2] > 1 and not _is_causal(module, kwargs.get("is_causal")):
        raise CaptureError(
            f"{type(module).__name__} reads in both directions; only causal models are observed"
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    observer = _observer.get()
    if observer is not None:
        observer.see(query, key, attention_mask, scale, softcap)
    if softcap is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scale, **kwargs)
    repeated = value.repeat_interleave(query.shape[1] // value.shape[1], dim=1)
    blocks = [
        attention_weights(
            query, key, attention_mask, scale, softcap, rows=slice(start, start + ROWS_AT_ONCE)
        ).to(value.dtype)
        @ repeated
        for start in range(0, query.shape[2], ROWS_AT_ONCE)
    ]
    return torch.cat(blocks, dim=2).transpose(1, 2).contiguous(), None


def _is_causal(module: torch.nn.Module, given: bool | None) -> bool:
    return bool(getattr(module, "is_causal", True) if given is None else given)


_observer: ContextVar[Observer | None] = ContextVar("whence_observer", default=None)
AttentionInterface.register(NAME, _attention)
# Without a mask function of the same name a model silently gets no mask at all, and ignores padding.
AttentionMaskInterface.register(NAME, sdpa_mask)


@contextmanager
def observing(model: PreTrainedModel, observer: Observer) -> Iterator[None]:
    """While it lasts, this thread's forward passes through `model` are seen; then the model is as it was.

    Forward passes of other threads are not seen. They are computed as ever on a model whose own attention
    is sdpa; on another (eager, say) a pass that is under way when this begins or ends would be given the
    mask of one implementation and the attention of the other. One observer at a time per model: the caller
    holds the model's lock.
    """
    configs = {
        id(config): config for config in (getattr(m, "config", None) for m in model.modules()) if config
    }
    before = {key: config._attn_implementation_internal for key, config in configs.items()}
    training = [module for module in model.modules() if module.training]
    token = _observer.set(observer)
    try:
        for config in configs.values():
            config._attn_implementation_internal = NAME
        for module in training:
            module.training = False
        yield
    finally:
        for key, config in configs.items():
            config._attn_implementation_internal = before[key]
        for module in training:
            module.training = True
        _observer.reset(token)


def collect_rows(
    model: PreTrainedModel,
    inputs: dict[str, Tensor],
    collector: RowCollector,
) -> tuple[Tensor, Tensor]:
    """One forward pass; the mean rows (batch, rows, keys) and the logits of the same positions.

    Raises CaptureError where the model did not attend through the interface in each of its layers, or where
    its attention is not finite: a partial average would look like an answer.
    """
    try:
        with observing(model, collector), torch.no_grad():
            logits = model(**inputs, use_cache=False, logits_to_keep=collector.rows).logits
    except (AttributeError, TypeError) as error:
        if error is collector.stopped_by:
            raise
        # An older architecture that does not take these arguments, or has no mask of this kind.
        raise CaptureError(f"{type(model).__name__} cannot be observed: {error}") from error
    expected = model.config.get_text_config().num_hidden_layers
    if collector.calls != expected or collector.total is None:
        raise CaptureError(
            f"{type(model).__name__} has {expected} layers, but attention was seen in {collector.calls}; "
            "this architecture bypasses transformers' attention interface, or has layers without attention"
        )
    rows = collector.total / collector.kept_layers
    if not torch.isfinite(rows).all():
        raise CaptureError(f"the attention of {type(model).__name__} is not finite: its weights are damaged")
    return rows, logits
