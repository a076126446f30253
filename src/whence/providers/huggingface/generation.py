"""Greedy generation with progress: the most probable token, until the model ends or the limit is reached.

Not `model.generate`: it takes whatever it is not told (repetition penalties, bans of repeated words) from
the model's own settings, and those forbid just what a summary does, which is to repeat its record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from whence.providers.errors import ContextLengthError, ProviderError
from whence.providers.huggingface.attention import Observer, observing
from whence.providers.huggingface.encoding import decode
from whence.providers.huggingface.passes import accepted, call
from whence.providers.huggingface.reading import Loaded
from whence.providers.observations import Generation


def write(
    loaded: Loaded,
    arguments: Mapping[str, Any],
    name: str,
    ids: tuple[int, ...],
    *,
    max_tokens: int,
    report: Callable[[int], None],
    observer: Observer,
    prompt_tokens: int,
) -> Generation:
    """Continue `ids`, the argument `name`, by at most `max_tokens` tokens. A written end token is kept.

    `arguments`: what else each step is given. Raises ProviderError where the model's probabilities are not
    finite.
    """
    model, ends, padding = loaded.model, _end_ids(loaded), loaded.tokenizer.pad_token_id
    written: list[int] = []
    cache: Any = None
    fed = list(ids)
    with observing(model, observer, via=loaded.anatomy.via), torch.no_grad():
        while len(written) < max_tokens and not (written and written[-1] in ends):
            observer.check()
            options = {"past_key_values": cache, "use_cache": True, "logits_to_keep": 1}
            inputs = {name: torch.tensor([fed], device=model.device)}
            step = call(model, model, observer, **arguments, **inputs, **accepted(model, options))
            cache, logits = getattr(step, "past_key_values", None), step.logits[0, -1]
            require_finite(model, logits)
            if padding is not None and padding not in ends:
                logits[padding : padding + 1] = -torch.inf  # which marian never learnt not to write
            written.append(int(logits.argmax()))
            # An architecture without such a cache reads everything again.
            fed = written[-1:] if cache is not None else [*ids, *written]
            report(len(written))
    return Generation(
        text=decode(loaded.tokenizer, tuple(written)),
        token_ids=tuple(written),
        finish="stop" if written[-1] in ends else "length",
        prompt_tokens=prompt_tokens,
        output_tokens=len(written),
    )


def room_for_answer(tokens: int, limit_tokens: int | None, max_tokens: int) -> int:
    """How many tokens an answer may have after a prompt of so many. Raises ContextLengthError.

    Room is kept for an eighth of the context, or for `max_tokens` if that is less.
    """
    if limit_tokens is None:
        return max_tokens
    require_room(tokens, limit_tokens, reserved_tokens=min(max_tokens, limit_tokens // 8))
    return min(max_tokens, limit_tokens - tokens)


def require_room(tokens: int, limit_tokens: int | None, *, reserved_tokens: int = 0) -> None:
    """Raise ContextLengthError for more tokens than there is room for."""
    if limit_tokens is not None and tokens > limit_tokens - reserved_tokens:
        raise ContextLengthError(tokens=tokens, limit_tokens=limit_tokens, reserved_tokens=reserved_tokens)


def require_finite(model: PreTrainedModel, logits: Tensor) -> None:
    """Raise ProviderError where there is no most probable token or label."""
    if not torch.isfinite(logits.max()):
        raise ProviderError(f"{type(model).__name__} computed no finite number: its weights are damaged")


def _end_ids(loaded: Loaded) -> set[int]:
    """The tokens that end an answer: the model's own, or else the tokenizer's."""
    own: Any = loaded.model.generation_config
    ends = loaded.tokenizer.eos_token_id if own is None or own.eos_token_id is None else own.eos_token_id
    return set(ends) if isinstance(ends, list) else {ends}
