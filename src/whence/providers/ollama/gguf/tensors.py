"""Which tensor of a GGUF file is which parameter of a model of transformers."""

from __future__ import annotations

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, MODEL_ARCH_NAMES, GGMLQuantizationType, get_tensor_name_map
from gguf.quants import dequantize
from transformers import AutoModelForCausalLM, PreTrainedConfig

from whence.providers.ollama.gguf.header import Header, TensorInfo
from whence.providers.ollama.gguf.keys import damaged, listed, unsupported

ROTATIONS = {
    "llama": ("rope_freqs.weight",),
    "phi3": ("rope_factors_long.weight", "rope_factors_short.weight"),
}
"""By architecture: tensors that are no weights, but divide the frequencies of its rotation."""


def check_tensors(header: Header, config: PreTrainedConfig) -> None:
    """Every parameter has its tensor, of its shape, of a type that is read here, and no tensor is left over.

    Raises UnsupportedError for a tensor or a type that is not handled, ModelLoadError for the others.
    """
    tensors = {tensor.name: tensor for tensor in header.tensors}
    expected = _expected(header, config)
    if unknown := tensors.keys() - expected.keys():
        raise unsupported(f"it has tensors that are not handled ({listed(sorted(unknown))})")
    if missing := expected.keys() - tensors.keys() - set(ROTATIONS.get(header.architecture, ())):
        raise damaged(f"it lacks tensors ({listed(sorted(missing))})")
    for name, tensor in tensors.items():
        if tensor.shape[::-1] != expected[name]:
            raise damaged(f"{name} has the shape {tensor.shape[::-1]}, and {expected[name]} is described")
    for kind in {tensor.type for tensor in header.tensors}:
        _check_type(GGMLQuantizationType[kind])
    _check_rotations(header, tensors)


def parameters_of(header: Header, config: PreTrainedConfig) -> dict[str, tuple[str, tuple[int, ...]]]:
    """By name of the tensor: the parameter's name and shape. Tied parameters have one tensor."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    arch = next(key for key, name in MODEL_ARCH_NAMES.items() if name == header.architecture)
    names = get_tensor_name_map(arch, config.num_hidden_layers)
    found = {}
    for parameter, tensor in model.named_parameters():  # tied ones once
        stem, _, suffix = parameter.rpartition(".")
        name = names.get_name(stem)
        if name is None:
            raise unsupported(f"no tensor is known for {parameter}")
        found[f"{name}.{suffix}"] = (parameter, tuple(tensor.shape))
    return found


def _expected(header: Header, config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of all tensors that the file may have, slowest dimension first."""
    shapes = {name: shape for name, (_, shape) in parameters_of(header, config).items()}
    return shapes | dict.fromkeys(ROTATIONS.get(header.architecture, ()), (_pairs(config),))


def _pairs(config: PreTrainedConfig) -> int:
    """Pairs of dimensions of a head that are turned."""
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    partial = (config.rope_parameters or {}).get("partial_rotary_factor", 1.0)
    return int(head_dim * partial) // 2


def _check_type(kind: GGMLQuantizationType) -> None:
    """gguf-py can read one block of zeros of this type."""
    _, block_bytes = GGML_QUANT_SIZES[kind]
    try:
        dequantize(np.zeros((1, block_bytes), np.uint8), kind)
    except NotImplementedError:
        raise unsupported(f"it has weights of type {kind.name}, which gguf-py does not read") from None


def _check_rotations(header: Header, tensors: dict[str, TensorInfo]) -> None:
    names = ROTATIONS.get(header.architecture, ())
    there = [name for name in names if name in tensors]
    if there and len(there) != len(names):
        raise damaged(f"it has {there[0]} alone")
    if any(tensors[name].type != "F32" for name in there):
        raise damaged(f"{there[0]} is not F32")
