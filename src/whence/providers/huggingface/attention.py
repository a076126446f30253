"""Seeing a model's attention layers at work, while what the model computes stays the same.

Most architectures call transformers' attention interface: our function, registered there once, is set on a
model only while it is observed. The others call torch's softmax or sdpa themselves: those calls are tapped,
which is just as exact, but not as lean, since such a layer holds all of its weights at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from whence.providers.huggingface.calls import Call, Products, Tapped

NAME = "whence"
Via = Literal["interface", "tap"]
_SOFTMAX = (torch.softmax, torch.nn.functional.softmax, Tensor.softmax, torch.special.softmax)


class Observer:
    """Is called in every attention layer; by itself it only lets the caller stop the forward pass."""

    def __init__(self, check: Callable[[], None]) -> None:
        self.check = check
        self.stopped_by: BaseException | None = None

    def see(self, call: Call) -> None:
        """One layer's attention is about to be computed, or its weights just were."""
        try:
            self.check()
            self.observe(call)
        except BaseException as error:
            self.stopped_by = error  # not a failure of the model: see `passes.run`
            raise

    def observe(self, call: Call) -> None:
        """What this observer wants of a layer."""

    def computed(self, call: Call, output: Tensor) -> None:
        """The interface gives `output` to the rest of the layer: (batch, queries, heads, head size)."""


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in each layer: sdpa, or the plain formula for what sdpa lacks."""
    softcap, sinks = kwargs.pop("softcap", None), kwargs.pop("s_aux", None)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    is_causal = kwargs.get("is_causal")
    call = Products(
        query=query,
        key=key,
        value=value,
        mask=attention_mask,
        causal=bool(getattr(module, "is_causal", True) if is_causal is None else is_causal),
        scale=scale,
        softcap=softcap,
        bias=kwargs.get("position_bias"),
        sinks=sinks,
    )
    observer = _observer.get()
    if observer is not None:
        observer.see(call)
    if softcap is None and sinks is None:
        output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scale, **kwargs)
    else:
        output = call.output()
    if observer is not None:
        observer.computed(call, output)
    return output, None


_observer: ContextVar[Observer | None] = ContextVar("whence_observer", default=None)
AttentionInterface.register(NAME, _attention)
# Without a mask function of the same name a model silently gets no mask at all, and ignores padding.
AttentionMaskInterface.register(NAME, sdpa_mask)


class _Tap(TorchFunctionMode):
    """Sees every softmax and every sdpa of this thread; `batch`: how many sequences run at once."""

    def __init__(self, observer: Observer, batch: int) -> None:
        super().__init__()
        self.observer, self.batch = observer, batch

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.nn.functional.scaled_dot_product_attention:
            self.observer.see(_of_sdpa(*args, **kwargs))
        result = func(*args, **kwargs)
        if func in _SOFTMAX and result.dim() in (3, 4):
            # Some families lay the heads into the batch: (batch * heads, queries, keys).
            shape = (self.batch, -1, *result.shape[-2:])
            if result.dim() == 4 or result.shape[0] % self.batch == 0:
                self.observer.see(Tapped(tensor=result if result.dim() == 4 else result.view(shape)))
        return result


def _of_sdpa(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Products:
    """The arguments of `torch.nn.functional.scaled_dot_product_attention`."""
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    return Products(query=query, key=key, value=value, mask=attn_mask, causal=is_causal, scale=scale)


@contextmanager
def observing(model: PreTrainedModel, observer: Observer, *, via: Via, batch: int = 1) -> Iterator[None]:
    """While it lasts, this thread's forward passes through `model` are seen; then the model is as it was.

    Forward passes of other threads are not seen. They are computed as ever on a model whose own attention
    is sdpa; on another (eager, say) a pass that is under way when this begins or ends would be given the
    mask of one implementation and the attention of the other. One observer at a time per model: the caller
    holds the model's lock.
    """
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        with _interface(model, observer) if via == "interface" else _Tap(observer, batch):
            yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def _interface(model: PreTrainedModel, observer: Observer) -> Iterator[None]:
    configs = {
        id(config): config for config in (getattr(m, "config", None) for m in model.modules()) if config
    }
    before = {key: config._attn_implementation_internal for key, config in configs.items()}
    token = _observer.set(observer)
    try:
        for config in configs.values():
            config._attn_implementation_internal = NAME
        yield
    finally:
        for key, config in configs.items():
            config._attn_implementation_internal = before[key]
        _observer.reset(token)
