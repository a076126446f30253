"""A model and its tokenizer, from a hub id, a local directory, or the caller's hands."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import scan_cache_dir
from huggingface_hub.errors import CacheNotFound, HFValidationError, StrictDataclassError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)
from transformers.utils import logging

from whence.providers.errors import ModelLoadError, UnknownModelError, UnsupportedError


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model that is ready to be asked. `revision`: a commit of the hub, or a digest of the weights."""

    model: PreTrainedModel
    tokenizer: Any
    revision: str | None


def load(
    name: str,
    *,
    device: str | None,
    dtype: str | torch.dtype,
    revision: str | None,
    trust_remote_code: bool,
) -> Loaded:
    """Load a decoder-only model. Weights are read from safetensors only: a pickle can run code.

    Raises UnknownModelError where there is no such model, ModelLoadError where it cannot be used,
    UnsupportedError where it is not decoder-only.
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
    require_decoder_only(config)
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(name, **options)
            # With output_loading_info a pair comes back, which the library's types do not say.
            loaded: Any = AutoModelForCausalLM.from_pretrained(
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
        model.to(torch.device(device or _best_device()))
    except (RuntimeError, AssertionError) as error:  # an unknown device, one that is not here, or a full one
        raise ModelLoadError(f"{name} cannot be moved to {device!r}: {_first_line(error)}") from error
    digest = _digest(Path(name)) if local else getattr(model.config, "_commit_hash", None)
    return Loaded(model=model, tokenizer=require_offsets(tokenizer), revision=digest)


def require_decoder_only(config: Any) -> None:
    """Raise UnsupportedError for encoders and encoder-decoders."""
    if config.is_encoder_decoder:
        kind = "an encoder-decoder"
    elif config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        kind = "not a causal language model"
    elif config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False):
        kind = "an encoder"
    else:
        return
    raise UnsupportedError(
        f"{config.model_type} is {kind}; decoder-only models (llama, qwen, mistral, gemma, gpt2, ...) can be "
        "explained"
    )


def require_offsets(tokenizer: Any) -> Any:
    """Return the tokenizer if it tells which characters a token stands for, else raise ModelLoadError."""
    if not getattr(tokenizer, "is_fast", False):
        raise ModelLoadError(
            f"{type(tokenizer).__name__} does not tell which characters its tokens stand for; use the fast "
            "version of this tokenizer"
        )
    return tokenizer


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _best_device() -> str:
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
