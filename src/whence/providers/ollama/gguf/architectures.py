"""A configuration of transformers from the metadata of a GGUF file, as llama.cpp reads it.

transformers reads these files, too, and leaves out part of what they say without a word: scaled rotations,
the scale of gemma's queries, the size of qwen3's heads. So nothing is left to it, or to a default of its own:
each key of the file is used here, or named here as one that does not matter, or refused by name.

Where llama.cpp computes otherwise than the model's authors (phi3's window, say), its way is taken: that is
the model that is served. Sources: its `src/models/*.cpp` and `src/llama-model.cpp`, of October 2026.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from transformers import (
    Gemma2Config,
    Gemma3TextConfig,
    LlamaConfig,
    Phi3Config,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from whence.providers.errors import WhenceError
from whence.providers.ollama.gguf.header import Header
from whence.providers.ollama.gguf.keys import Keys, damaged, listed, unsupported
from whence.providers.ollama.gguf.tensors import check_tensors
from whence.providers.ollama.gguf.vocabulary import HANDLED, check_vocabulary

INERT = ("general.", "quantize.", "tokenizer.chat_template")
"""How keys begin that describe the file, not the computation."""

LARGEST_GEMMAS = {"gemma2": 46, "gemma3": 62}
"""The layers of the 27B models, by which llama.cpp knows that their queries are scaled otherwise."""
STRETCHED_TOKENS = 131_072
"""From this context on, Ollama scales a gemma3 of its own converter although the file does not say so."""


def configuration_of(header: Header) -> PreTrainedConfig:
    """The configuration of a llama, qwen2, qwen3, gemma2, gemma3 (its text alone) or phi3.

    Its `max_position_embeddings` is the context that the model may be asked with. phi3 with long and short
    factors has that of the short ones: llama.cpp chooses by the context that it was started with, so the
    server has to be asked with a `num_ctx` of no more.

    Raises UnsupportedError, which names what is not handled, and ModelLoadError for what makes no sense.
    """
    _check_kind(header)
    keys = Keys(header)
    try:
        config = _ARCHITECTURES[header.architecture](keys, header)
        _check_keys(keys, header, config)
        check_vocabulary(header, config.vocab_size)
        check_tensors(header, config)
    except WhenceError:
        raise
    except Exception as error:  # the libraries check what they are told, and raise what they like
        raise damaged(f"its sizes do not fit each other ({error})") from error
    return config


def _check_kind(header: Header) -> None:
    kind = header.metadata.get("general.type", "model")
    if kind != "model":
        raise unsupported(f"general.type is {kind!r}, not a whole model")
    if any(key.startswith("split.") for key in header.metadata):
        raise unsupported("it is one of several parts (split.*)")
    if header.architecture not in _ARCHITECTURES:
        known = ", ".join(_ARCHITECTURES)
        raise unsupported(f"its architecture is {header.architecture!r}; known are {known}")


def _check_keys(keys: Keys, header: Header, config: PreTrainedConfig) -> None:
    """That no key is left which might count."""
    keys.ignore("rope.scaling.finetuned", "tensor_data_layout")
    keys.only("attention.causal", True)
    for name in ("expert_count", "expert_used_count", "pooling_type"):
        keys.only(name, 0)
    keys.only("use_parallel_residual", False)
    keys.only("vocab_size", config.vocab_size)
    others = [key for key in header.metadata if not key.startswith((*INERT, f"{header.architecture}."))]
    unread = keys.unread() + [key for key in others if key not in HANDLED]
    if unread:
        raise unsupported(f"it has keys that are not handled ({listed(unread)})")


def _common(keys: Keys, header: Header, *, epsilon: float | None = None) -> dict[str, Any]:
    shapes = {tensor.name: tensor.shape for tensor in header.tensors}
    embedding = shapes.get("token_embd.weight")
    if embedding is None or len(embedding) != 2:
        raise damaged("it has no tensor token_embd.weight of two dimensions")
    hidden = keys.integer("embedding_length")
    heads = keys.integer("attention.head_count")
    layers = keys.integer("block_count")
    if layers > len(shapes):  # before a model of so many layers is made
        raise damaged(f"it has {len(shapes)} tensors for {layers} layers")
    if hidden % heads:
        raise damaged(f"embedding_length {hidden} is no multiple of attention.head_count {heads}")
    key_value_heads = keys.integer("attention.head_count_kv", heads)
    head_dim = keys.integer("attention.key_length", hidden // heads)
    if heads % key_value_heads or head_dim % 2:
        raise damaged(f"{heads} heads of {head_dim} dimensions with {key_value_heads} for keys and values")
    keys.only("attention.value_length", head_dim)
    return {
        "vocab_size": embedding[1],
        "max_position_embeddings": keys.integer("context_length"),
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "intermediate_size": keys.integer("feed_forward_length"),
        "num_attention_heads": heads,
        "num_key_value_heads": key_value_heads,
        "head_dim": head_dim,
        "rms_norm_eps": keys.number("attention.layer_norm_rms_epsilon", epsilon),
        "tie_word_embeddings": "output.weight" not in shapes,
        "bos_token_id": header.metadata.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": header.metadata.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": header.metadata.get("tokenizer.ggml.padding_token_id"),
        "dtype": "float32",
    }


def _rotation(keys: Keys, common: dict[str, Any], *, theta: float = 10000.0) -> dict[str, Any]:
    """How positions turn queries and keys. A file without scaling has none of the keys."""
    rotation = {"rope_type": "default", "rope_theta": keys.number("rope.freq_base", theta)}
    kind = keys.text("rope.scaling.type", "linear")
    old = keys.number("rope.scale_linear", 1.0)
    factor = keys.number("rope.scaling.factor", old)
    trained = keys.integer("rope.scaling.original_context_length", common["max_position_embeddings"])
    if kind not in ("none", "linear", "yarn"):
        raise unsupported(f"rope.scaling.type is {kind!r}")
    keys.only("rope.scaling.alpha", 0.0)
    keys.only("rope.scaling.yarn_log_multiplier", 0.0)
    keys.only("rope.scaling.yarn_ext_factor", 1.0)
    keys.only("rope.scaling.yarn_attn_factor", 1.0)
    keys.only("rope.scaling.yarn_beta_fast", 32.0)
    keys.only("rope.scaling.yarn_beta_slow", 1.0)
    if kind != "yarn":
        keys.only("rope.scaling.attn_factor", 1.0)
        return (
            rotation
            if kind == "none" or factor == 1
            else rotation | {"rope_type": "linear", "factor": factor}
        )
    if factor < 1:
        raise damaged(f"rope.scaling.factor is {factor}, below 1")
    return rotation | {
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": trained,
        "attention_factor": (0.1 * math.log(factor) + 1) * keys.number("rope.scaling.attn_factor", 1.0),
    }


def _whole_heads(keys: Keys, common: dict[str, Any]) -> None:
    """All dimensions of a head are turned."""
    keys.only("rope.dimension_count", common["head_dim"])


def _llama(keys: Keys, header: Header) -> PreTrainedConfig:
    common = _common(keys, header)
    names = {tensor.name for tensor in header.tensors}
    _whole_heads(keys, common)
    keys.ignore("attention.sliding_window")
    return LlamaConfig(
        **common,
        hidden_act="silu",
        rope_parameters=_rotation(keys, common),
        attention_bias="blk.0.attn_q.bias" in names,
        mlp_bias="blk.0.ffn_gate.bias" in names,
    )


def _qwen2(keys: Keys, header: Header) -> PreTrainedConfig:
    common = _common(keys, header)
    _whole_heads(keys, common)
    keys.ignore("attention.sliding_window")
    return Qwen2Config(
        **common, hidden_act="silu", rope_parameters=_rotation(keys, common), use_sliding_window=False
    )


def _qwen3(keys: Keys, header: Header) -> PreTrainedConfig:
    common = _common(keys, header)
    _whole_heads(keys, common)
    keys.ignore("attention.sliding_window")
    return Qwen3Config(
        **common,
        hidden_act="silu",
        rope_parameters=_rotation(keys, common),
        use_sliding_window=False,
        attention_bias=False,
    )


def _gemma2(keys: Keys, header: Header) -> PreTrainedConfig:
    common = _common(keys, header)
    _whole_heads(keys, common)
    rotation = _rotation(keys, common)
    keys.only("rope.freq_base_swa", rotation["rope_theta"])
    return Gemma2Config(
        **common,
        hidden_activation="gelu_pytorch_tanh",
        rope_parameters=rotation,
        query_pre_attn_scalar=_query_scale(common, header),
        sliding_window=keys.integer("attention.sliding_window", 4096),
        layer_types=_layer_types(common, keys.integer("attention.sliding_window_pattern", 2)),
        attn_logit_softcapping=keys.number("attn_logit_softcapping", 50.0),
        final_logit_softcapping=keys.number("final_logit_softcapping", 30.0),
    )


def _gemma3(keys: Keys, header: Header) -> PreTrainedConfig:
    # Ollama's own converter leaves out what its server then fills in, and had names of its own for two keys.
    renamed = keys.has("rope.global.freq_base") or keys.has("rope.local.freq_base")
    own = renamed or not keys.has("attention.layer_norm_rms_epsilon")
    common = _common(keys, header, epsilon=1e-6 if own else None)
    _whole_heads(keys, common)
    if own and common["max_position_embeddings"] >= STRETCHED_TOKENS and not keys.has("rope.scaling.factor"):
        raise unsupported("gemma3.rope.scaling.factor is missing")
    theta = keys.number("rope.global.freq_base", 1_000_000.0 if own else 10_000.0)
    local = keys.number("rope.local.freq_base", 10_000.0)
    rotation = _rotation(keys, common, theta=theta)
    local = keys.number("rope.freq_base_swa", local)
    window = keys.integer("attention.sliding_window", 0, least=0)
    period = keys.integer("attention.sliding_window_pattern", 6)
    softcap = keys.number("final_logit_softcapping") if keys.has("final_logit_softcapping") else None
    return Gemma3TextConfig(
        **common,
        hidden_activation="gelu_pytorch_tanh",
        rope_parameters={
            "full_attention": rotation,
            "sliding_attention": {"rope_type": "default", "rope_theta": local},
        },
        query_pre_attn_scalar=_query_scale(common, header),
        sliding_window=window or common["max_position_embeddings"],
        layer_types=_layer_types(common, period if window else 1),
        attention_bias=False,
        attn_logit_softcapping=None,
        final_logit_softcapping=softcap,
        use_bidirectional_attention=False,
    )


def _phi3(keys: Keys, header: Header) -> PreTrainedConfig:
    common = _common(keys, header)
    if common["head_dim"] != common["hidden_size"] // common["num_attention_heads"]:
        raise unsupported("phi3.attention.key_length is not embedding_length / head_count")
    turned = keys.integer("rope.dimension_count", common["head_dim"])
    if turned > common["head_dim"] or turned % 2:
        raise damaged(f"phi3.rope.dimension_count is {turned}, of heads of {common['head_dim']}")
    keys.ignore("attention.sliding_window")  # llama.cpp has switched phi3's window off
    if any(tensor.name.startswith("rope_factors_") for tensor in header.tensors):
        keys.ignore("rope.scaling.attn_factor")  # read with the tensors
        keys.only("rope.scaling.type", "longrope", "linear", "none")
        trained = keys.integer("rope.scaling.original_context_length", common["max_position_embeddings"])
        common["max_position_embeddings"] = min(trained, common["max_position_embeddings"])
        rotation = {"rope_type": "default", "rope_theta": keys.number("rope.freq_base", 10000.0)}
        keys.only("rope.scaling.factor", 1.0)
    else:
        rotation = _rotation(keys, common)
        if rotation["rope_type"] != "default":
            raise unsupported(f"phi3.rope.scaling.type is {rotation['rope_type']!r}")
    del common["head_dim"]  # derived
    return Phi3Config(
        **common,
        hidden_act="silu",
        original_max_position_embeddings=common["max_position_embeddings"],
        rope_parameters=rotation
        | {"partial_rotary_factor": turned / common["hidden_size"] * common["num_attention_heads"]},
        sliding_window=None,
    )


def _query_scale(common: dict[str, Any], header: Header) -> int:
    """The number whose root divides gemma's queries."""
    if common["num_hidden_layers"] == LARGEST_GEMMAS[header.architecture]:
        return int(common["hidden_size"] // common["num_attention_heads"])
    return int(common["head_dim"])


def _layer_types(common: dict[str, Any], period: int) -> list[str]:
    """Of every `period` layers the last sees all, the others a window."""
    return [
        "sliding_attention" if layer % period < period - 1 else "full_attention"
        for layer in range(common["num_hidden_layers"])
    ]


_ARCHITECTURES: dict[str, Callable[[Keys, Header], PreTrainedConfig]] = {
    "llama": _llama,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "gemma2": _gemma2,
    "gemma3": _gemma3,
    "phi3": _phi3,
}
