"""Models of Hugging Face as GGUF files, as llama.cpp's converter lays them out.

Written by gguf-py, llama.cpp's own package: its names of tensors, its quantization, its container. What
differs between the architectures is here: the order of llama's query and key rows, gemma's norms plus one,
the tensors of scaled rotations.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sentencepiece import SentencePieceProcessor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

import whence.demo
from gguf import (
    MODEL_ARCH_NAMES,
    GGMLQuantizationType,
    GGUFValueType,
    GGUFWriter,
    LlamaFileType,
    TokenType,
    get_tensor_name_map,
)
from gguf.quants import quantize

Quantization = Literal["F32", "F16", "Q8_0", "Q4_0"]
BLOCK = 32
"""Weights that Q8_0 and Q4_0 quantize together; a row of another length stays F32."""

_ARCHITECTURES = {"gemma3_text": "gemma3"}
"""By model type, where llama.cpp calls it otherwise."""
_FILE_TYPES = {
    "F32": LlamaFileType.ALL_F32,
    "F16": LlamaFileType.MOSTLY_F16,
    "Q8_0": LlamaFileType.MOSTLY_Q8_0,
    "Q4_0": LlamaFileType.MOSTLY_Q4_0,
}


def bundled_gguf(directory: Path, quantization: Quantization = "F32") -> Path:
    """The bundled model as a file in `directory`."""
    source = Path(whence.demo.__file__).parent / "model"
    model = AutoModelForCausalLM.from_pretrained(source, dtype="float32")
    path = directory / f"demo-{quantization}.gguf"
    return export(model, AutoTokenizer.from_pretrained(source), path, quantization=quantization)


def export(
    model: PreTrainedModel,
    tokenizer: Any,
    path: Path,
    *,
    quantization: Quantization = "F32",
    metadata: Mapping[str, object] | None = None,
) -> Path:
    """Write a model as a GGUF file.

    `tokenizer`: a byte-level BPE of transformers, or a SentencePieceProcessor. `metadata`: keys to add, or to
    write with another value; with None, to leave out.
    """
    architecture = _ARCHITECTURES.get(model.config.model_type, model.config.model_type)
    described = {
        "general.name": "exported",
        "general.file_type": int(_FILE_TYPES[quantization]),
        "general.quantization_version": 2,
        **{f"{architecture}.{key}": value for key, value in _hyperparameters(model.config).items()},
        **_vocabulary(tokenizer, model.config.vocab_size),
        **(metadata or {}),
    }
    writer = GGUFWriter(path, architecture)
    for key, value in described.items():
        if value is not None:
            _add(writer, key, value)
    for name, weights in _tensors(model, architecture).items():
        kind = _type_of(name, weights, quantization)
        writer.add_tensor(name, quantize(weights, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: GGUFWriter, key: str, value: Any) -> None:
    """As llama.cpp types it: whole numbers are uint32 wherever they fit, others are single."""
    if isinstance(value, list):
        writer.add_array(key, value)
    elif isinstance(value, int) and not isinstance(value, bool):
        fits = 0 <= value < 1 << 32
        writer.add_key_value(key, value, GGUFValueType.UINT32 if fits else GGUFValueType.INT64)
    else:
        writer.add_key_value(key, value, GGUFValueType.get_type(value))


def _type_of(name: str, weights: np.ndarray, quantization: Quantization) -> GGMLQuantizationType:
    whole = weights.ndim > 1 and (quantization == "F16" or weights.shape[-1] % BLOCK == 0)
    return GGMLQuantizationType[quantization if whole else "F32"]


# The configuration ------------------------------------------------------------------------------------------


def _hyperparameters(config: Any) -> dict[str, object]:
    """The keys of one architecture, without its name in front."""
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    keys: dict[str, object] = {
        "vocab_size": config.vocab_size,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
    }
    if head_dim != config.hidden_size // config.num_attention_heads or config.model_type.startswith("gemma"):
        keys |= {"attention.key_length": head_dim, "attention.value_length": head_dim}
    if config.model_type in ("gemma2", "gemma3_text", "phi3"):
        keys["attention.sliding_window"] = config.sliding_window
    rotation = config.rope_parameters
    if config.model_type == "gemma3_text":
        keys["rope.freq_base_swa"] = rotation["sliding_attention"]["rope_theta"]
        rotation = rotation["full_attention"]
    if config.model_type == "gemma2":
        keys["attn_logit_softcapping"] = config.attn_logit_softcapping
        keys["final_logit_softcapping"] = config.final_logit_softcapping
    else:
        keys["rope.freq_base"] = float(rotation["rope_theta"])
    if config.model_type in ("llama", "phi3"):
        keys["rope.dimension_count"] = int(head_dim * rotation.get("partial_rotary_factor", 1.0))
    return keys | _scaling(config, rotation)


def _scaling(config: Any, rotation: Mapping[str, Any]) -> dict[str, object]:
    match rotation["rope_type"]:
        case "linear":
            return {"rope.scaling.type": "linear", "rope.scaling.factor": float(rotation["factor"])}
        case "yarn":
            return {
                "rope.scaling.type": "yarn",
                "rope.scaling.factor": float(rotation["factor"]),
                "rope.scaling.original_context_length": rotation["original_max_position_embeddings"],
            }
        case "longrope":
            trained = config.original_max_position_embeddings
            stretch = config.max_position_embeddings / trained
            return {
                "rope.scaling.original_context_length": trained,
                "rope.scaling.attn_factor": math.sqrt(1 + math.log(stretch) / math.log(trained)),
            }
        case "default" | "llama3":  # of the second, the frequencies are a tensor
            return {}
    raise ValueError(f"no layout is known for {rotation['rope_type']!r}")


# The tokenizer ----------------------------------------------------------------------------------------------


def _vocabulary(tokenizer: Any, size: int) -> dict[str, object]:
    if isinstance(tokenizer, SentencePieceProcessor):
        return _sentencepiece(tokenizer, size)
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    tokens, types = _padded(size)
    for token, index in tokenizer.get_vocab().items():
        tokens[index], types[index] = token, int(TokenType.NORMAL)
    for added in backend["added_tokens"]:
        types[added["id"]] = int(TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": [" ".join(pair) for pair in backend["model"]["merges"]],
        "tokenizer.ggml.bos_token_id": tokenizer.bos_token_id,
        "tokenizer.ggml.eos_token_id": tokenizer.eos_token_id,
        "tokenizer.ggml.padding_token_id": tokenizer.pad_token_id,
        "tokenizer.ggml.add_bos_token": False,  # the chat template writes it
        "tokenizer.chat_template": tokenizer.chat_template,
    }


def _sentencepiece(processor: SentencePieceProcessor, size: int) -> dict[str, object]:
    tokens, types = _padded(size)
    scores = [-10000.0] * size
    for index in range(processor.get_piece_size()):
        tokens[index] = processor.id_to_piece(index)
        scores[index] = processor.get_score(index)
        types[index] = int(
            TokenType.UNKNOWN
            if processor.is_unknown(index)
            else TokenType.CONTROL
            if processor.is_control(index)
            else TokenType.BYTE
            if processor.is_byte(index)
            else TokenType.NORMAL
        )
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.bos_token_id": processor.bos_id(),
        "tokenizer.ggml.eos_token_id": processor.eos_id(),
        "tokenizer.ggml.unknown_token_id": processor.unk_id(),
    }


def _padded(size: int) -> tuple[list[str], list[int]]:
    """Places that no token takes: models round their vocabulary up."""
    return [f"[PAD{index}]" for index in range(size)], [int(TokenType.UNUSED)] * size


# The weights ------------------------------------------------------------------------------------------------


def _tensors(model: PreTrainedModel, architecture: str) -> dict[str, np.ndarray]:
    config: Any = model.config
    arch = next(key for key, name in MODEL_ARCH_NAMES.items() if name == architecture)
    names = get_tensor_name_map(arch, config.num_hidden_layers)
    tensors = _rotations(config)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        weights = tensor.float().numpy()
        if architecture == "llama" and ".q_proj." in name:
            weights = _interleaved(weights, config.num_attention_heads)
        if architecture == "llama" and ".k_proj." in name:
            weights = _interleaved(weights, config.num_key_value_heads)
        if architecture.startswith("gemma") and name.endswith("norm.weight"):
            weights = weights + 1
        stem, _, suffix = name.rpartition(".")
        written = names.get_name(stem)
        if written is None:
            raise ValueError(f"gguf-py has no name for {name} in {architecture}")
        tensors[f"{written}.{suffix}"] = weights
    return tensors


def _interleaved(rows: np.ndarray, heads: int) -> np.ndarray:
    """The rows of each head in llama.cpp's order: the two halves of a rotation next to each other."""
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(rows.shape)


def _rotations(config: Any) -> dict[str, np.ndarray]:
    """The tensors that divide the frequencies of a scaled rotation, of shape (rotated dimensions / 2,)."""
    rotation = config.rope_parameters
    if rotation.get("rope_type") == "llama3":
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
        plain = rotation["rope_theta"] ** (-np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
        return {"rope_freqs.weight": (plain / scaled.double().numpy()).astype(np.float32)}
    if rotation.get("rope_type") == "longrope":
        return {
            f"rope_factors_{length}.weight": np.array(rotation[f"{length}_factor"], np.float32)
            for length in ("long", "short")
        }
    return {}
