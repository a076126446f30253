"""Greedy generation with progress: the most probable token, until the model ends or the limit is reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from whence.providers.huggingface.attention import Observer, observing
from whence.providers.huggingface.encoding import decode
from whence.providers.huggingface.loading import Loaded
from whence.providers.observations import Generation


class _Report(StoppingCriteria):
    """Tells how many tokens there are; never stops anything."""

    def __init__(self, prompt_tokens: int, report: Callable[[int], None]) -> None:
        self.prompt_tokens, self.report = prompt_tokens, report

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        self.report(input_ids.shape[1] - self.prompt_tokens)
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def generate(
    loaded: Loaded,
    ids: tuple[int, ...],
    *,
    max_tokens: int,
    report: Callable[[int], None],
    on_layer: Callable[[int], None],
) -> Generation:
    """Continue `ids` by at most `max_tokens` tokens. An end token that the model wrote is kept in the ids."""
    model, tokenizer = loaded.model, loaded.tokenizer
    own: Any = model.generation_config
    ends = tokenizer.eos_token_id if own is None or own.eos_token_id is None else own.eos_token_id
    end_ids = set(ends) if isinstance(ends, list) else {ends}
    config = GenerationConfig(
        max_new_tokens=max_tokens,
        do_sample=False,
        num_beams=1,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=ends,
        pad_token_id=next((i for i in (tokenizer.pad_token_id, *end_ids) if i is not None), None),
    )
    inputs = torch.tensor([ids], device=model.device)
    with observing(model, Observer(on_layer)), torch.no_grad():
        sequence: Any = model.generate(  # type: ignore[operator]  # declared as a Tensor by nn.Module
            inputs,
            attention_mask=torch.ones_like(inputs),
            generation_config=config,
            stopping_criteria=StoppingCriteriaList([_Report(len(ids), report)]),
        )
    written = tuple(sequence[0, len(ids) :].tolist())
    return Generation(
        text=decode(tokenizer, written),
        token_ids=written,
        finish="stop" if written and written[-1] in end_ids else "length",
        prompt_tokens=len(ids),
        output_tokens=len(written),
    )
