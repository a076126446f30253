"""Encoder-decoder models: each token of the answer is explained by the cross-attention that predicts it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from whence.providers.errors import CaptureError
from whence.providers.huggingface.anatomy import Anatomy
from whence.providers.huggingface.attention import Observer, observing
from whence.providers.huggingface.encoding import encode_output, encode_prompt, leading_special, prompt_ids
from whence.providers.huggingface.generation import require_room, write
from whence.providers.huggingface.passes import call
from whence.providers.huggingface.reading import Loaded, Reading, logprobs_of
from whence.providers.observations import BlockName, Generation, Token
from whence.providers.prompt import Prompt


class EncoderDecoder:
    """A model that reads with one half and writes with the other: t5, bart, marian, pegasus."""

    block: BlockName = "cross"
    instructed = False

    def check(self, model: PreTrainedModel, anatomy: Anatomy) -> None:
        """Its cross-attention must be seen."""
        if "cross" not in anatomy.blocks:
            raise CaptureError(f"the cross-attention of {type(model).__name__} cannot be observed")

    def count(self, loaded: Loaded, prompt: Prompt) -> int:
        """As plain text."""
        return len(prompt_ids(loaded.tokenizer, prompt, plain=True))

    def generate(
        self,
        loaded: Loaded,
        prompt: Prompt,
        *,
        max_tokens: int,
        report: Callable[[int], None],
        observer: Observer,
    ) -> Generation:
        """Read once, then write."""
        ids = self._prompt(loaded, prompt).ids
        prefix = _prefix(loaded)
        limit = loaded.output_tokens
        room = max_tokens if limit is None else min(max_tokens, limit - len(prefix))
        inputs = torch.tensor([ids], device=loaded.model.device)
        with observing(loaded.model, observer, via=loaded.anatomy.via), torch.no_grad():
            memory = call(loaded.model, loaded.model.get_encoder(), observer, input_ids=inputs)
        return write(
            loaded,
            {"encoder_outputs": memory},
            "decoder_input_ids",
            prefix,
            max_tokens=room,
            report=report,
            observer=observer,
            prompt_tokens=len(ids),
        )

    def read(self, loaded: Loaded, prompt: Prompt, output: str | Generation) -> Reading:
        """The prompt in the encoder, the answer in the decoder."""
        encoded = self._prompt(loaded, prompt)
        answer = encode_output(loaded.tokenizer, output)
        prefix = _prefix(loaded)
        ids = (*prefix, *answer.ids[:-1])
        require_room(len(ids), loaded.output_tokens)
        names = loaded.tokenizer.convert_ids_to_tokens(list(prefix))
        written = (*(Token(part="special", text=name) for name in names), *answer.tokens[:-1])
        count, device = len(answer.ids), loaded.model.device

        def logprobs_nats(output: Any) -> Tensor:
            return logprobs_of(output.logits[0, -count:], answer.ids)

        return Reading(
            inputs={
                "input_ids": torch.tensor([encoded.ids], device=device),
                "decoder_input_ids": torch.tensor([ids], device=device),
            },
            tokens={
                "encoder": (encoded.tokens, encoded.tokens),
                "decoder": (written, written),
                "cross": (written, encoded.tokens),
            },
            block="cross",
            rows=tuple((len(prefix) - 1 + t,) for t in range(count)),
            spans=answer.spans,
            prompt_tokens=len(encoded.ids),
            last_logits=None,
            logprobs_nats=logprobs_nats,
        )

    def _prompt(self, loaded: Loaded, prompt: Prompt) -> Any:
        encoded = encode_prompt(loaded.tokenizer, prompt, plain=True, sink=False)
        require_room(len(encoded.ids), loaded.context_tokens)
        return encoded


def _prefix(loaded: Loaded) -> tuple[int, ...]:
    """What stands before the first token of an answer: the start, then what the tokenizer puts there."""
    config = loaded.model.generation_config
    start = config.decoder_start_token_id
    if start is None:
        start = loaded.model.config.decoder_start_token_id
    if start is None:
        start = config.bos_token_id
    if start is None:
        raise CaptureError(
            f"{type(loaded.model).__name__} does not say with which token its answers start; set "
            "decoder_start_token_id in its configuration"
        )
    forced = config.forced_bos_token_id
    rest = leading_special(loaded.tokenizer) if forced is None else (forced,)
    return (start, *(token for token in rest if token != start))
