"""A model and its tokenizer, from a hub id, a local directory, or the caller's hands."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from huggingface_hub import scan_cache_dir
from huggingface_hub.errors import CacheNotFound, HFValidationError, StrictDataclassError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
)
from transformers.utils import logging

from whence.providers.errors import CaptureError, ModelLoadError, UnknownModelError, UnsupportedError
from whence.providers.huggingface.anatomy import DECODER_TOKENS, ENCODER_TOKENS, Anatomy, examine
from whence.providers.huggingface.decoder import Decoder
from whence.providers.huggingface.encoders import Classifier, MaskedLanguageModel
from whence.providers.huggingface.encoding import ordinary_ids
from whence.providers.huggingface.pooling import find_pooling
from whence.providers.huggingface.reading import Kind, Loaded
from whence.providers.huggingface.seq2seq import EncoderDecoder

Head = Literal["decoder", "encoder-decoder", "masked", "classifier"]
_AUTO: dict[Head, Any] = {
    "decoder": AutoModelForCausalLM,
    "encoder-decoder": AutoModelForSeq2SeqLM,
    "masked": AutoModelForMaskedLM,
    "classifier": AutoModelForSequenceClassification,
}
_CLASSES: dict[Head, Mapping[str, str]] = {
    "classifier": MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    "encoder-decoder": MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    "masked": MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    "decoder": MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
}
"""By family, the classes with such a head; some have two, of which the configuration chooses the first."""


def load(
    name: str,
    *,
    device: str | None,
    dtype: str | torch.dtype,
    revision: str | None,
    trust_remote_code: bool,
) -> Loaded:
    """Load a model. Weights are read from safetensors only: a pickle can run code.

    Raises UnknownModelError where there is no such model, ModelLoadError where it cannot be used,
    UnsupportedError and CaptureError where it cannot be explained.
    """
    local = Path(name).is_dir()
    options = {"revision": revision, "trust_remote_code": trust_remote_code}
    if local and not any(Path(name).glob("*.safetensors")):
        raise ModelLoadError(
            f"{name} holds no *.safetensors file; other formats are not loaded, because a pickle can run "
            "code: convert the weights with model.save_pretrained(...)"
        )
    try:
        with _quiet():
            config = AutoConfig.from_pretrained(name, **options)
    except (OSError, ValueError, StrictDataclassError) as error:
        if local or not isinstance(error, OSError | HFValidationError):
            raise ModelLoadError(f"the configuration of {name} cannot be used: {error}") from error
        hint = f"Give a hub id or a directory that holds config.json. The hub said: {_first_line(error)}"
        raise UnknownModelError("Hugging Face model", name, _cached(), hint) from error
    head = head_of(config, (config.architectures or [""])[0])
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(name, **options)
            # With output_loading_info a pair comes back, which the library's types do not say.
            loaded: Any = _AUTO[head].from_pretrained(
                name, **options, dtype=dtype, use_safetensors=True, output_loading_info=True
            )
    except Exception as error:  # files of others: the library raises whatever its parsers meet
        raise ModelLoadError(f"{name} cannot be loaded: {error}") from error
    model, found = loaded
    missing = [*found["missing_keys"], *found["mismatched_keys"]]
    if missing:
        raise ModelLoadError(
            f"the weights of {name} lack {len(missing)} tensors ({missing[0]}, ...), which would be random; "
            "this is not a complete language model"
        )
    try:
        model.to(torch.device(device or best_device()))
    except (RuntimeError, AssertionError) as error:  # an unknown device, one that is not here, or a full one
        raise ModelLoadError(f"{name} cannot be moved to {device!r}: {_first_line(error)}") from error
    digest = _digest(Path(name)) if local else getattr(model.config, "_commit_hash", None)
    return examined(model, tokenizer, revision=digest)


def examined(model: PreTrainedModel, tokenizer: Any, *, revision: str | None) -> Loaded:
    """A model with its attention found, by a pass over a few tokens. Raises as `load` does.

    A decoder without attention that can be seen (a state-space model) can still write, and score.
    """
    head = head_of_class(model)
    ids = ordinary_ids(tokenizer)[: max(ENCODER_TOKENS, DECODER_TOKENS)]
    kind: Kind
    try:
        anatomy = examine(model, ids)
    except CaptureError as error:
        if head != "decoder":
            raise
        return Loaded(
            model=model,
            tokenizer=tokenizer,
            revision=revision,
            kind=Decoder(),
            anatomy=Anatomy(via="tap", places=(), silent={}, streams=False),
            context_tokens=_context_tokens(model, "encoder"),
            output_tokens=_context_tokens(model, "decoder"),
            unseen=str(error),
        )
    match head:
        case "decoder":
            kind = Decoder()
        case "encoder-decoder":
            kind = EncoderDecoder()
        case "masked":
            kind = MaskedLanguageModel()
        case "classifier":
            kind = Classifier(anatomy.blocks[0], find_pooling(model, ids[:DECODER_TOKENS]))
    kind.check(model, anatomy)
    return Loaded(
        model=model,
        tokenizer=tokenizer,
        revision=revision,
        kind=kind,
        anatomy=anatomy,
        context_tokens=_context_tokens(model, "encoder"),
        output_tokens=_context_tokens(model, "decoder"),
    )


def head_of_class(model: PreTrainedModel) -> Head:
    """What a model that is loaded writes. Raises UnsupportedError for what is no language model."""
    known = {name for classes in _CLASSES.values() for name in classes.values()}
    names = [own.__name__ for own in type(model).__mro__]
    return head_of(model.config, next((name for name in names if name in known), names[0]), bare=False)


def head_of(config: Any, name: str, *, bare: bool = True) -> Head:
    """What a model writes; `name`: of its class. Raises UnsupportedError for what is no language model.

    `bare`: whether a class without a head, or an unknown one, may stand for the family's language model.
    """
    is_base = name.endswith(("Model", "ForPreTraining")) or not hasattr(transformers, name)
    heads = [head for head, classes in _CLASSES.items() if name in classes.values()]
    if not heads and bare and is_base:
        heads = [head for head in _CLASSES if head != "classifier" and config.model_type in _CLASSES[head]]
    for head in heads:
        if (head == "encoder-decoder") == config.is_encoder_decoder and not (
            head == "masked" and getattr(config, "is_decoder", False)
        ):
            return head
    raise UnsupportedError(
        f"{name or config.model_type} cannot be explained; causal language models (llama, qwen, gpt2, ...), "
        "encoder-decoders (t5, bart, ...), masked language models (bert, ...) and sequence classifiers can be"
    )


def _context_tokens(model: PreTrainedModel, half: str) -> int | None:
    """The longest input, or output: as configured, less the places that some families keep for padding.

    `half`: `encoder` or `decoder`, for the families in which they differ.
    """
    config = model.config.get_text_config()
    names = ("max_position_embeddings", f"max_{half}_position_embeddings", "max_seq_len")
    limits = (getattr(config, name, None) for name in names)
    limit: int | None = next((limit for limit in limits if limit is not None), None)
    tables = [
        m
        for n, m in model.named_modules()
        if n.endswith("position_embeddings") and isinstance(m, nn.Embedding)
    ]
    if limit is not None and tables and tables[0].padding_idx is not None:
        return limit - tables[0].padding_idx - 1
    return limit


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def best_device() -> str:
    """Where a model is put that nobody places."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _digest(directory: Path) -> str:
    """SHA-256 over the weight files in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def _cached() -> list[str]:
    try:
        return sorted(repository.repo_id for repository in scan_cache_dir().repos)
    except CacheNotFound:
        return []


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars of the library: ours reports the loading."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
