"""The model and the tokenizer of a GGUF file, in the float type that is asked for.

transformers can load such a file, too: with the package accelerate, with all weights twice in memory, and in
part by the name that the file gives itself. So it makes the empty model here, and the weights are put into it
some rows at a time, as gguf-py dequantizes them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from whence.providers.errors import ModelLoadError, WhenceError
from whence.providers.ollama.gguf.architectures import configuration_of
from whence.providers.ollama.gguf.header import Header, TensorInfo
from whence.providers.ollama.gguf.keys import damaged
from whence.providers.ollama.gguf.tensors import ROTATIONS, parameters_of
from whence.providers.ollama.gguf.vocabulary import tokenizer_of

_one_at_a_time = threading.Lock()
"""Initialisation is left out, and the float type set, for the whole process while a model is made."""
CHUNK_ELEMENTS = 1 << 20
"""How many weights are dequantized at a time, in whole rows."""
WORKING_BYTES = 32 * CHUNK_ELEMENTS
"""Measured: at most 31 bytes for each, with what the libraries keep."""
TOKEN_BYTES = {"gpt2": 1200, "llama": 2304}
"""What a token of the vocabulary takes while the tokenizer is made; measured: 1,124 and 2,215."""


def memory_bytes(header: Header, config: PreTrainedConfig, dtype: torch.dtype) -> int:
    """An upper bound of what loading takes beside the program itself: the weights, and the most that is
    needed meanwhile. What the model computes later is not in it.
    """
    weights_bytes = sum(tensor.elements for tensor in header.tensors) * dtype.itemsize
    token_bytes = TOKEN_BYTES[str(header.metadata["tokenizer.ggml.model"])]
    return weights_bytes + WORKING_BYTES + int(config.vocab_size) * token_bytes


def load_blob(
    path: Path, header: Header, *, dtype: torch.dtype, device: str | torch.device
) -> tuple[PreTrainedModel, Any]:
    """The model of the file, ready to run, and its tokenizer. `header`: of this very file.

    Raises UnsupportedError for what is not handled, by name, ModelLoadError for all else.
    """
    try:
        config = configuration_of(header)
        tokenizer = tokenizer_of(header)
        with _one_at_a_time, no_init_weights():
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=dtype)
        with path.open("rb") as file, torch.no_grad():
            model.tie_weights()
            _fill(model, header, config, file)
            _turn(model, header, file)
        return model.eval().to(device), tokenizer
    except WhenceError:
        raise
    except Exception as error:  # files of others: the libraries raise whatever they meet
        raise ModelLoadError(f"the GGUF file {path} cannot be loaded: {error}") from error


def _fill(model: PreTrainedModel, header: Header, config: PreTrainedConfig, file: BinaryIO) -> None:
    parameters = parameters_of(header, config)
    for tensor in header.tensors:
        if tensor.name not in parameters:
            continue  # a rotation's
        name, _ = parameters[tensor.name]
        target = model.get_parameter(name)
        rows = _rows(target, tensor.name, header, config)
        # gemma's norms are kept as what they multiply with, and in transformers less one.
        less = 1.0 if header.architecture.startswith("gemma") and name.endswith("norm.weight") else 0.0
        for start, values in _read(file, tensor):
            if less:
                values -= less
            part = torch.from_numpy(values).view(-1, *target.shape[1:])
            if rows is None:
                target[start : start + len(part)] = part
            else:
                target[rows[start : start + len(part)]] = part.to(target.dtype)


def _rows(target: nn.Parameter, name: str, header: Header, config: PreTrainedConfig) -> torch.Tensor | None:
    """Where each row of the tensor goes, where that is not its own place.

    llama.cpp turns neighbouring dimensions of llama's heads, transformers those that are half a head apart.
    """
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    stem = name.split(".")[-2]
    if header.architecture != "llama" or stem not in heads:
        return None
    places = torch.arange(target.shape[0]).view(heads[stem], 2, -1)
    return places.transpose(1, 2).reshape(-1)


def _turn(model: PreTrainedModel, header: Header, file: BinaryIO) -> None:
    """Divide the frequencies of the rotation by the file's factors; of phi3's two, by the short ones."""
    tensors = {tensor.name: tensor for tensor in header.tensors}
    *_, name = ROTATIONS.get(header.architecture, ("",))
    if name not in tensors:
        return
    factors = torch.from_numpy(np.concatenate([values for _, values in _read(file, tensors[name])]))
    if not bool((factors > 0).all()):
        raise damaged(f"{name} has factors that are not above 0")
    rotary: Any = model.model.rotary_emb
    for frequencies in (rotary.inv_freq, rotary.original_inv_freq):
        frequencies /= factors.to(frequencies.device)
    scale = header.metadata.get(f"{header.architecture}.rope.scaling.attn_factor", 1.0)
    if not isinstance(scale, float) or not 0 < scale < float("inf"):
        raise damaged(f"{header.architecture}.rope.scaling.attn_factor is {scale!r}, not a number above 0")
    rotary.attention_scaling = scale


def _read(file: BinaryIO, tensor: TensorInfo) -> Iterator[tuple[int, np.ndarray]]:
    """The weights as float32, some rows at a time: the first row's number, and the rows, flat."""
    kind = GGMLQuantizationType[tensor.type]
    block_elements, block_bytes = GGML_QUANT_SIZES[kind]
    row_elements = tensor.shape[0]
    row_bytes = row_elements // block_elements * block_bytes
    count = tensor.elements // row_elements
    step = max(1, CHUNK_ELEMENTS // row_elements)
    file.seek(tensor.offset_bytes)
    for start in range(0, count, step):
        rows = min(step, count - start)
        raw = file.read(rows * row_bytes)
        if len(raw) < rows * row_bytes:
            raise damaged(f"it ends within {tensor.name}")
        values = dequantize(np.frombuffer(raw, np.uint8).reshape(rows, row_bytes), kind)
        values = np.array(values, np.float32).reshape(-1)
        if not np.isfinite(values).all():
            raise damaged(f"{tensor.name} has weights that are no numbers")
        yield (start if len(tensor.shape) > 1 else 0), values
