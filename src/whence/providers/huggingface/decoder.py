"""Decoder-only models: each token of the answer is explained by the position before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from whence.providers.errors import CaptureError
from whence.providers.huggingface.anatomy import Anatomy
from whence.providers.huggingface.attention import Observer
from whence.providers.huggingface.encoding import encode_output, encode_prompt, prompt_ids
from whence.providers.huggingface.generation import require_room, room_for_answer, write
from whence.providers.huggingface.reading import Loaded, Reading, logprobs_of
from whence.providers.observations import BlockName, Generation
from whence.providers.prompt import Prompt


class Decoder:
    """A causal language model."""

    block: BlockName = "decoder"
    instructed = True

    def check(self, model: PreTrainedModel, anatomy: Anatomy) -> None:
        """Its attention must look back only."""
        if "decoder" not in anatomy.blocks:
            raise CaptureError(
                f"{type(model).__name__} reads in both directions, so what it read is not known for each "
                "token that it wrote; only models that read from left to right are explained as they write"
            )

    def count(self, loaded: Loaded, prompt: Prompt) -> int:
        """As the chat template renders it."""
        return len(prompt_ids(loaded.tokenizer, prompt, render=loaded.render))

    def generate(
        self,
        loaded: Loaded,
        prompt: Prompt,
        *,
        max_tokens: int,
        report: Callable[[int], None],
        observer: Observer,
    ) -> Generation:
        """Continue the prompt."""
        ids = prompt_ids(loaded.tokenizer, prompt, render=loaded.render)
        room = room_for_answer(len(ids), loaded.context_tokens, max_tokens)
        return write(
            loaded,
            {},
            "input_ids",
            ids,
            max_tokens=room,
            report=report,
            observer=observer,
            prompt_tokens=len(ids),
        )

    def read(self, loaded: Loaded, prompt: Prompt, output: str | Generation) -> Reading:
        """The answer after the prompt, without its last token, which predicts nothing that is explained."""
        encoded = encode_prompt(loaded.tokenizer, prompt, render=loaded.render)
        answer = encode_output(loaded.tokenizer, output)
        ids = (*encoded.ids, *answer.ids[:-1])
        require_room(len(ids), loaded.context_tokens)
        tokens = (*encoded.tokens, *answer.tokens[:-1])
        count, first = len(answer.ids), len(encoded.ids) - 1

        def logprobs_nats(output: Any) -> Tensor:
            return logprobs_of(output.logits[0, -count:], answer.ids)

        return Reading(
            inputs={"input_ids": torch.tensor([ids], device=loaded.model.device)},
            tokens={"decoder": (tokens, tokens)},
            block="decoder",
            rows=tuple((first + t,) for t in range(count)),
            spans=answer.spans,
            prompt_tokens=len(encoded.ids),
            last_logits=count,
            logprobs_nats=logprobs_nats,
        )
