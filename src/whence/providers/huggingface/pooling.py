"""Which positions a classifier looks at: found out by asking which of them its scores depend on."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from whence.providers.errors import UnsupportedError

FIRST, LAST, MEAN = "first", "last", "mean"


def find_pooling(model: PreTrainedModel, ids: list[int]) -> str:
    """`first`, `last` or `mean`, from the gradient of the scores with respect to the top layer's output.

    `ids`: a few ordinary tokens. Raises UnsupportedError for other pooling.
    """
    try:
        slope = _slope(model, ids)
    except Exception as error:  # code of many families: it raises whatever it meets
        raise _refusal(model) from error
    looked_at = slope[0].abs().sum(dim=-1).nonzero()[:, 0].tolist()
    if looked_at == [0]:
        return FIRST
    if looked_at == [len(ids) - 1]:
        return LAST
    stated = {getattr(model.config, name, None) for name in ("classifier_pooling", "summary_type")}
    if len(looked_at) == len(ids) and "mean" in stated:
        return MEAN
    raise _refusal(model)


def _slope(model: PreTrainedModel, ids: list[int]) -> Tensor:
    """The gradient, (1, positions, width)."""
    layers = {child for module in model.modules() if isinstance(module, nn.ModuleList) for child in module}
    states: list[Tensor] = []
    thread = threading.get_ident()

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        if threading.get_ident() != thread:  # a pass of somebody else's
            return output
        state = output if isinstance(output, Tensor) else output[0]
        leaf = state.detach().requires_grad_()
        states.append(leaf)  # the top layer's is the last, and what is below it gets no gradient
        state = leaf.clone()  # some families go on to change it in place
        return state if isinstance(output, Tensor) else (state, *output[1:])

    training = [module for module in model.modules() if module.training]
    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        model.eval()
        with torch.enable_grad():
            scores = model(input_ids=torch.tensor([ids], device=model.device)).logits
            return torch.autograd.grad((scores * _uneven(scores)).sum(), states[-1])[0]
    finally:
        for handle in handles:
            handle.remove()
        for module in training:
            module.training = True


def _refusal(model: PreTrainedModel) -> UnsupportedError:
    return UnsupportedError(
        f"{type(model).__name__} pools its positions in a way that is not explained here (the first, the "
        "last or the mean of all are), so no row of attention stands for its label"
    )


def pooled_rows(pooling: str, ids: Sequence[int], pad: int | None) -> tuple[int, ...]:
    """The positions whose rows, averaged, explain the label; the last is that of the last token but padding.

    Where the end token serves as padding too, such models take it for padding even behind a lone text.
    """
    if pooling == LAST:
        return (max((i for i, token in enumerate(ids) if token != pad), default=len(ids) - 1),)
    return (0,) if pooling == FIRST else tuple(range(len(ids)))


def _uneven(scores: Tensor) -> Tensor:
    """Weights that differ, for softmaxed or centred scores may add up to a constant."""
    return torch.arange(1.0, scores.shape[-1] + 1, device=scores.device)
