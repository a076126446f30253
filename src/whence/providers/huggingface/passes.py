"""One forward pass through a model, with an observer in each of its attention layers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from transformers import PreTrainedModel

from whence.providers.errors import CaptureError
from whence.providers.huggingface.attention import Observer, Via, observing


def run(
    model: PreTrainedModel,
    inputs: Mapping[str, Any],
    observer: Observer,
    *,
    via: Via,
    last_logits: int | None = None,
) -> Any:
    """The model's output. `last_logits`: of how many positions logits are wanted; None for all.

    Raises CaptureError where the model fails, and whatever the observer raises.
    """
    options: dict[str, Any] = {"use_cache": False, "logits_to_keep": last_logits}
    batch = next(iter(inputs.values())).shape[0]
    with observing(model, observer, via=via, batch=batch), torch.no_grad():
        return call(model, model, observer, **inputs, **accepted(model, options))


def call(model: PreTrainedModel, part: torch.nn.Module, observer: Observer, **inputs: Any) -> Any:
    """The output of a model, or of a part of it, that is being observed. Raises as `run` does."""
    try:
        return part(**inputs)
    except Exception as error:  # code of many families: it raises whatever it meets
        if error is observer.stopped_by:
            raise
        raise CaptureError(f"{type(model).__name__} failed while it was observed: {error}") from error


def accepted(model: PreTrainedModel, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `options` that this architecture takes, without those that are None."""
    known = inspect.signature(model.forward).parameters
    return {name: value for name, value in options.items() if name in known and value is not None}
