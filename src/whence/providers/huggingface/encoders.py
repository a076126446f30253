"""Models that write nothing: masked language models fill in words, classifiers choose a label.

They follow no instruction: sources and prompt are one text to them. Each is explained by its own rows: the
masked position, or the position whose state the classifier looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from whence.providers.base import text_to_explain
from whence.providers.errors import InputError, UnsupportedError
from whence.providers.huggingface.anatomy import Anatomy
from whence.providers.huggingface.attention import Observer
from whence.providers.huggingface.encoding import (
    EncodedPrompt,
    decode,
    encode_prompt,
    ordinary_ids,
    prompt_ids,
    tokenize_text,
)
from whence.providers.huggingface.generation import require_finite, require_room
from whence.providers.huggingface.passes import run
from whence.providers.huggingface.pooling import pooled_rows
from whence.providers.huggingface.reading import Loaded, Reading, logprobs_of
from whence.providers.observations import BlockName, Generation, Span, Token
from whence.providers.prompt import Prompt

PART_OF_A_CHARACTER = "\ufffd"
"""What a tokenizer decodes such a byte to."""


class MaskedLanguageModel:
    """Fills in each mask of the prompt; its output is one line for each."""

    block: BlockName = "encoder"
    instructed = False

    def check(self, model: PreTrainedModel, anatomy: Anatomy) -> None:
        """Every one can be explained."""

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
        """The most probable visible token at each mask, each on its own."""
        encoded = _encode(loaded, prompt)
        masks = _masks(loaded, encoded)
        output = run(loaded.model, _inputs(loaded, encoded), observer, via=loaded.anatomy.via)
        require_finite(loaded.model, output.logits)
        ordinary = set(ordinary_ids(loaded.tokenizer))
        ids = [_likeliest(loaded.tokenizer, ordinary, output.logits[0, mask]) for mask in masks]
        report(len(ids))
        return Generation(
            text="\n".join(decode(loaded.tokenizer, (token,)).strip() for token in ids),
            token_ids=tuple(ids),
            prompt_tokens=len(encoded.ids),
            output_tokens=len(ids),
        )

    def read(self, loaded: Loaded, prompt: Prompt, output: str | Generation) -> Reading:
        """The text with its masks; a given output has one line for each mask, and each is one token."""
        encoded = _encode(loaded, prompt)
        masks = _masks(loaded, encoded)
        lines = text_to_explain(output).split("\n")
        if len(lines) != len(masks):
            raise InputError(
                f"the prompt has {len(masks)} masked positions, and the output {len(lines)} lines; give one "
                "line for each mask"
            )
        if isinstance(output, Generation) and output.token_ids:
            ids = output.token_ids
        else:
            ids = tuple(_single(loaded.tokenizer, line) for line in lines)

        def logprobs_nats(output: Any) -> Tensor:
            return logprobs_of(output.logits[0, masks], ids)

        return Reading(
            inputs=_inputs(loaded, encoded),
            tokens={"encoder": (encoded.tokens, encoded.tokens)},
            block="encoder",
            rows=tuple((mask,) for mask in masks),
            spans=_lines(lines),
            prompt_tokens=len(encoded.ids),
            last_logits=None,
            logprobs_nats=logprobs_nats,
        )


class Classifier:
    """Chooses a label for a text; encoders, and decoders with a classification head."""

    instructed = False

    def __init__(self, block: BlockName, pooled: str) -> None:
        self.block, self.pooled = block, pooled

    def check(self, model: PreTrainedModel, anatomy: Anatomy) -> None:
        """It must have labels to choose from."""
        if len(_labels(model)) < 2 or model.config.problem_type == "regression":
            raise UnsupportedError(
                f"{type(model).__name__} tells numbers (regression): there is no label to explain; use a "
                "model that chooses between two labels or more"
            )

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
        """The most probable label."""
        encoded = _encode(loaded, prompt)
        output = run(loaded.model, _inputs(loaded, encoded), observer, via=loaded.anatomy.via)
        require_finite(loaded.model, output.logits)
        label = int(output.logits[0].argmax())
        report(1)
        return Generation(
            text=_labels(loaded.model)[label],
            token_ids=(label,),
            prompt_tokens=len(encoded.ids),
            output_tokens=1,
        )

    def read(self, loaded: Loaded, prompt: Prompt, output: str | Generation) -> Reading:
        """The label is explained by the row, or the mean of the rows, that the classifier looks at."""
        encoded = _encode(loaded, prompt)
        text = text_to_explain(output)
        labels = [name.strip() for name in _labels(loaded.model)]
        if text.strip() not in labels:
            raise InputError(f"the output is no label of this model; it chooses between {', '.join(labels)}")
        label = labels.index(text.strip())

        def logprobs_nats(output: Any) -> Tensor:
            if loaded.model.config.problem_type == "multi_label_classification":
                return torch.nn.functional.logsigmoid(output.logits[0, label : label + 1].float())
            return logprobs_of(output.logits, (label,))

        return Reading(
            inputs=_inputs(loaded, encoded),
            tokens={self.block: (encoded.tokens, encoded.tokens)},
            block=self.block,
            rows=(pooled_rows(self.pooled, encoded.ids, loaded.model.config.pad_token_id),),
            spans=((0, len(text)),),
            prompt_tokens=len(encoded.ids),
            last_logits=None,
            logprobs_nats=logprobs_nats,
        )


def _labels(model: PreTrainedModel) -> list[str]:
    """The labels in the order of the scores."""
    names: Any = model.config.id2label
    return [str(names[index]) for index in sorted(names)]


def _encode(loaded: Loaded, prompt: Prompt) -> EncodedPrompt:
    encoded = encode_prompt(loaded.tokenizer, prompt, plain=True)
    if (
        not encoded.ids
    ):  # all was taken away, and this tokenizer adds nothing: what stands for no text is read
        encoded = _nothing(loaded)
    require_room(len(encoded.ids), loaded.context_tokens)
    return encoded


def _nothing(loaded: Loaded) -> EncodedPrompt:
    """One special token, where there is no text. Raises InputError for a tokenizer without any."""
    tokenizer = loaded.tokenizer
    tokens = (tokenizer.cls_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    first = next((token for token in tokens if token is not None), None)
    if first is None:
        raise InputError("nothing is left of the prompt, and this model has no token for that")
    return EncodedPrompt(ids=(first,), tokens=(Token(part="special"),))


def _inputs(loaded: Loaded, encoded: EncodedPrompt) -> dict[str, Tensor]:
    return {"input_ids": torch.tensor([encoded.ids], device=loaded.model.device)}


def _masks(loaded: Loaded, encoded: EncodedPrompt) -> list[int]:
    masks = [i for i, token in enumerate(encoded.ids) if token == loaded.tokenizer.mask_token_id]
    if not masks:
        raise InputError(
            f"{type(loaded.model).__name__} fills in masks, and the prompt has none; write "
            f"{loaded.tokenizer.mask_token} in the prompt where a word is wanted (in a source it is text)"
        )
    return masks


def _likeliest(tokenizer: Any, ordinary: set[int], logits: Tensor) -> int:
    """The best token that can be seen: no blank, and no byte that is only a part of a character."""
    ranked = (int(token) for token in logits.argsort(descending=True))
    return next(
        token
        for token in ranked
        if token in ordinary and decode(tokenizer, (token,)).strip().strip(PART_OF_A_CHARACTER)
    )


def _single(tokenizer: Any, word: str) -> int:
    """The one token that stands for a word, as at the beginning of a word where the vocabulary has that."""
    word = word.strip()
    readings = [tokenize_text(tokenizer, text)[0] for text in (f" {word}", word)]
    readings.append([tokenizer.convert_tokens_to_ids(word)])  # by its name, such as bert's `##ing`
    ordinary = set(ordinary_ids(tokenizer)) - {tokenizer.unk_token_id}
    for ids in readings:
        if len(ids) == 1 and ids[0] in ordinary and decode(tokenizer, (ids[0],)).strip():
            return ids[0]
    raise InputError(
        "a line of the output is not one token of this model's vocabulary; a mask stands for one token"
    )


def _lines(lines: Sequence[str]) -> tuple[Span, ...]:
    spans: list[Span] = []
    at = 0
    for line in lines:
        spans.append((at, at + len(line)))
        at += len(line) + 1
    return tuple(spans)
