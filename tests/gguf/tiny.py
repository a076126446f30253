"""Tiny models of the six architectures, with random weights, in which each of their peculiarities counts."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    Gemma3TextConfig,
    LlamaConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

import whence.demo

VOCABULARY = 1662  # of the bundled tokenizer
CONTEXT_TOKENS = 512
BASE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT_TOKENS,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
SEVEN = BASE | {"num_hidden_layers": 7}  # one of gemma3's layers in six sees all
PLAIN: dict[str, Any] = {"rope_type": "default", "rope_theta": 10000.0}
SHORT, LONG = [1 + 0.1 * pair for pair in range(8)], [2.0 + pair for pair in range(8)]

CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**BASE),
    "llama-scaled": LlamaConfig(
        **BASE,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    ),
    "llama-biases": LlamaConfig(
        **BASE, attention_bias=True, mlp_bias=True, tie_word_embeddings=True, head_dim=32
    ),
    "llama-linear": LlamaConfig(**BASE, rope_parameters=PLAIN | {"rope_type": "linear", "factor": 4.0}),
    "qwen2": Qwen2Config(**BASE),
    "qwen2-yarn": Qwen2Config(
        **BASE,
        rope_parameters=PLAIN | {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64},
    ),
    "qwen3": Qwen3Config(**BASE, head_dim=32, tie_word_embeddings=True),
    "gemma2": Gemma2Config(
        **BASE, head_dim=24, query_pre_attn_scalar=24, sliding_window=8, rope_parameters=PLAIN
    ),
    "gemma3": Gemma3TextConfig(
        **SEVEN,
        head_dim=32,
        query_pre_attn_scalar=32,
        sliding_window=8,
        rope_parameters={
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
            "sliding_attention": PLAIN,
        },
    ),
    "phi3": Phi3Config(**BASE, rope_parameters=PLAIN | {"partial_rotary_factor": 0.75}),
    "phi3-long": Phi3Config(
        **(BASE | {"max_position_embeddings": 2 * CONTEXT_TOKENS}),
        original_max_position_embeddings=CONTEXT_TOKENS,
        rope_parameters=PLAIN | {"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG},
    ),
}
LARGEST: dict[str, PreTrainedConfig] = {
    "gemma2": Gemma2Config(
        **(BASE | {"num_hidden_layers": 46, "hidden_size": 32}),
        head_dim=24,
        query_pre_attn_scalar=8,
        sliding_window=8,
        rope_parameters=PLAIN,
    ),
    "gemma3": Gemma3TextConfig(
        **(BASE | {"num_hidden_layers": 62, "hidden_size": 32}),
        head_dim=24,
        query_pre_attn_scalar=8,
        sliding_window=8,
    ),
}
"""As many layers as the 27B models, whose queries are scaled otherwise than the size of their heads says."""


def tiny(config: PreTrainedConfig, *, seed: int = 0, mlp: float = 1.0) -> PreTrainedModel:
    """A model with weights so large that attention is uneven. `mlp`: a factor for the outputs of its MLPs."""
    torch.manual_seed(seed)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter.shape[-1] ** -0.5)
            elif name.endswith("norm.weight"):
                parameter.add_(0.2 * torch.randn_like(parameter))
            else:
                parameter.normal_(0, 0.3)
            if name.endswith("down_proj.weight"):
                parameter.mul_(mlp)
    model.tie_weights()
    return model


def ids_of_length(tokens: int) -> list[int]:
    """A beginning, and ordinary tokens of the bundled tokenizer."""
    return [1, *(20 + 37 * place % 1600 for place in range(tokens - 1))]


def logits(model: PreTrainedModel, ids: list[int]) -> torch.Tensor:
    """Of all places: (len(ids), vocabulary)."""
    with torch.no_grad():
        output: torch.Tensor = model(torch.tensor([ids])).logits[0]
    return output


def bundled_tokenizer() -> Any:
    """Byte-level, split as GPT-2's."""
    return AutoTokenizer.from_pretrained(Path(whence.demo.__file__).parent / "model")


def sentencepiece(texts: list[str]) -> SentencePieceProcessor:
    """A tokenizer of SentencePiece, trained on the texts, with bytes for what is not in them."""
    written = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=written,
        model_type="bpe",
        vocab_size=VOCABULARY,
        hard_vocab_limit=False,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        control_symbols=["<|user|>", "<|end|>", "<|endoftext|>"],
        minloglevel=2,
        num_threads=1,
    )
    return SentencePieceProcessor(model_proto=written.getvalue())
