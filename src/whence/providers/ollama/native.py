"""The weights that an Ollama holds, loaded here: its own prompts, and the attention of its own file."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.from_thread
import psutil
import torch

from whence.providers.errors import ModelLoadError, UnsupportedError
from whence.providers.huggingface.loading import best_device, examined
from whence.providers.huggingface.local import LocalModel
from whence.providers.ollama.gguf.architectures import configuration_of
from whence.providers.ollama.gguf.header import Header, read_header
from whence.providers.ollama.gguf.weights import load_blob, memory_bytes
from whence.providers.ollama.place import Name
from whence.providers.ollama.store import Blob, check_digest, find, roots
from whence.providers.ollama.survey import Dtype
from whence.providers.ollama.wire import Messages

if TYPE_CHECKING:
    from whence.providers.huggingface.reading import Loaded

FROM = re.compile(r"^FROM (.+)$", re.MULTILINE)
EXACT = "F32"
RENDERINGS = 64
"""The last so many are kept: a prompt is counted, read and observed, one after the other."""
NOTE = (
    "The attention is that of the weights which Ollama holds ({quantization}), computed here from them in "
    "{dtype}. Ollama computes with llama.cpp, which rounds otherwise: what it looked at is near to this, not "
    "the same."
)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights that can be loaded here, by what their file says of itself.

    `dtype`: by name. `context_tokens`: with which the server has to be asked, at most, to compute the same.
    `needed_bytes`: of memory, at most, while they are loaded and then.
    """

    blob: Blob
    header: Header
    dtype: str
    context_tokens: int
    needed_bytes: int

    @property
    def note(self) -> str:
        """What readers of an explanation must know."""
        return NOTE.format(quantization=self.header.quantization, dtype=self.dtype)


def look(
    name: Name,
    digest: str,
    modelfile: str,
    *,
    models_dir: str | Path | None,
    dtype: Dtype,
    device: str | None,
) -> Weights:
    """Find a model's weights and read what they are, without loading them.

    `digest`: of its manifest; `modelfile`: as the server shows it, which names the file it serves. Raises
    UnsupportedError, ModelLoadError with the reason why they are not loaded.
    """
    served = FROM.search(modelfile)
    blob = find(name, digest, roots(models_dir), told=served[1] if served else "")
    if served is None or re.split(r"[/\\]", served[1].strip())[-1] != blob.path.name:
        raise UnsupportedError(
            "this Ollama serves another file than the one in the store here, so the two are not the same "
            "model; name the folder in which it keeps its models (models_dir=, OLLAMA_MODELS)"
        )
    header = read_header(blob.path)
    if dtype == "auto":
        dtype = "float32" if header.quantization == EXACT else "bfloat16"
    config = configuration_of(header)
    weights = Weights(
        blob=blob,
        header=header,
        dtype=dtype,
        context_tokens=config.max_position_embeddings,
        needed_bytes=memory_bytes(header, config, getattr(torch, dtype)),
    )
    require_memory(weights, device)
    return weights


def require_memory(weights: Weights, device: str | None) -> None:
    """Raise ModelLoadError where the weights would not fit into what is free now."""
    free_bytes = _free_bytes(device)
    if weights.needed_bytes > free_bytes:
        half = "dtype='bfloat16' halves that; " if weights.dtype == "float32" else ""
        raise ModelLoadError(
            f"its weights would take about {weights.needed_bytes / 2**30:.1f} GiB here in {weights.dtype}, "
            f"and {free_bytes / 2**30:.1f} GiB are free; {half}free memory, or take a smaller model"
        )


def local_model(
    weights: Weights,
    render: Callable[[Messages], Coroutine[Any, Any, str]],
    *,
    device: str | None,
    context_tokens: int,
) -> LocalModel:
    """The model, loaded on first use. `render`: the server's own rendering of a prompt.

    `context_tokens`: what the server lets it read. Raises ModelLoadError then.
    """

    def load() -> Loaded:
        check_digest(weights.blob)
        model, tokenizer = load_blob(
            weights.blob.path,
            weights.header,
            dtype=getattr(torch, weights.dtype),
            device=device or best_device(),
        )
        own = examined(model, tokenizer, revision=weights.blob.digest)
        return replace(
            own,
            render=_remembered(render, tokenizer),
            context_tokens=min(own.context_tokens or context_tokens, context_tokens),
        )

    return LocalModel(load, notes=(weights.note,))


def _remembered(
    render: Callable[[Messages], Coroutine[Any, Any, str]], tokenizer: object
) -> Callable[[Sequence[tuple[str, str]]], str]:
    """Asked from a worker thread. A beginning that the tokenizer writes itself is not written twice.

    As Ollama does, in completionPrompt of llm/llama_server.go.
    """
    begins = ""
    if getattr(tokenizer, "add_bos_token", False):
        begins = getattr(tokenizer, "bos_token", None) or ""

    @lru_cache(maxsize=RENDERINGS)
    def rendered(messages: Messages) -> str:
        return anyio.from_thread.run(render, messages).removeprefix(begins)

    return lambda messages: rendered(tuple(messages))


def _free_bytes(device: str | None) -> int:
    """Where the weights would lie. They pass through this machine's memory one by one."""
    if (device or best_device()).startswith("cuda"):
        try:
            free: int = torch.cuda.mem_get_info(device or "cuda")[0]
        except (RuntimeError, AssertionError, ValueError) as error:  # as that of no such device
            raise ModelLoadError(f"device={device!r} cannot be used here: {error}; take 'cpu'") from error
        return free
    available: int = psutil.virtual_memory().available
    return available
