"""Greedy generation with progress: the most probable token, until the model ends or the limit is reached.

Not `model.generate`: it takes whatever it is not told (repetition penalties, bans of repeated words) from
the model's own settings, and those forbid just what a summary does, which is to repeat its record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from whence.providers.errors import ProviderError
from whence.providers.huggingface.attention import Observer, observing
from whence.providers.huggingface.encoding import decode
from whence.providers.huggingface.loading import Loaded
from whence.providers.observations import Generation


def generate(
    loaded: Loaded,
    ids: tuple[int, ...],
    *,
    max_tokens: int,
    report: Callable[[int], None],
    on_layer: Callable[[int], None],
) -> Generation:
    """Continue `ids` by at most `max_tokens` tokens. An end token that the model wrote is kept in the ids.

    Raises ProviderError where the model's probabilities are not finite.
    """
    model, ends = loaded.model, _end_ids(loaded)
    written: list[int] = []
    cache: Any = None
    inputs = torch.tensor([ids], device=model.device)
    with observing(model, Observer(on_layer)), torch.no_grad():
        while len(written) < max_tokens and not (written and written[-1] in ends):
            step = model(input_ids=inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache, logits = step.past_key_values, step.logits[0, -1]
            if not torch.isfinite(logits.max()):
                raise ProviderError(
                    f"{type(model).__name__} computed no finite number: its weights are damaged"
                )
            written.append(int(logits.argmax()))
            inputs = torch.tensor([written[-1:]], device=model.device)
            report(len(written))
    return Generation(
        text=decode(loaded.tokenizer, tuple(written)),
        token_ids=tuple(written),
        finish="stop" if written[-1] in ends else "length",
        prompt_tokens=len(ids),
        output_tokens=len(written),
    )


def _end_ids(loaded: Loaded) -> set[int]:
    """The tokens that end an answer: the model's own, or else the tokenizer's."""
    own: Any = loaded.model.generation_config
    ends = loaded.tokenizer.eos_token_id if own is None or own.eos_token_id is None else own.eos_token_id
    return set(ends) if isinstance(ends, list) else {ends}
