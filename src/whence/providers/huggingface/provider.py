"""The adapter for Hugging Face models."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from whence.providers.errors import InputError
from whence.providers.huggingface.loading import examined, head_of_class, load
from whence.providers.huggingface.local import LocalModel, turns_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class HuggingFace(LocalModel):
    """A language model: `HuggingFace("org/name")`, a local directory, or `HuggingFace(model, tokenizer)`.

    Causal language models, encoder-decoders, masked language models and sequence classifiers.

    `device`: `cpu`, `cuda`, `mps`; by default the best there is. A loaded model stays where it is.
    `dtype`: `auto` is the checkpoint's own; `float32` is exact, and twice the size of `bfloat16`.
    `trust_remote_code` lets a repository's own code run here: off unless you turn it on.
    `model_name`: how explanations call it. `score_batch`: how many prompts are scored at once; by default 1
    on a CPU, where more bring nothing, and 8 elsewhere. `notes`: what their readers must know of it.

    A name is loaded on first use, in a worker thread. Raises as `loading.load` does. A loaded model is left
    as it was; while it is explained, do not run it elsewhere, unless its own attention is sdpa.
    """

    name = "huggingface"

    def __init__(
        self,
        model: str | PreTrainedModel,
        tokenizer: Any = None,
        *,
        device: str | None = None,
        dtype: str | torch.dtype = "auto",
        revision: str | None = None,
        trust_remote_code: bool = False,
        model_name: str | None = None,
        score_batch: int | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        if score_batch is not None and score_batch < 1:
            raise InputError(f"score_batch={score_batch}: at least one prompt is scored at a time")
        if isinstance(model, str):
            if tokenizer is not None:
                raise TypeError("a model given by name brings its own tokenizer; pass HuggingFace(name)")
            super().__init__(
                partial(
                    load,
                    model,
                    device=device,
                    dtype=dtype,
                    revision=revision,
                    trust_remote_code=trust_remote_code,
                ),
                score_batch=score_batch,
                notes=notes,
            )
            self.model = model_name or model
        else:
            if tokenizer is None:
                raise TypeError("a loaded model needs its tokenizer: HuggingFace(model, tokenizer)")
            head_of_class(model)  # refuses at once what is no language model
            commit = getattr(model.config, "_commit_hash", None)
            super().__init__(
                partial(examined, model, tokenizer, revision=commit),
                # A model that is given may be at work for another provider while its attention is found.
                loading=turns_of(model),
                score_batch=score_batch,
                notes=notes,
            )
            self.model = model_name or model.config.name_or_path or type(model).__name__
