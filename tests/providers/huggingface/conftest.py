from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

DEMO = Path(str(files("whence.demo") / "model"))


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """The bundled model's tokenizer: byte-level BPE with a chat template."""
    return AutoTokenizer.from_pretrained(DEMO)


@pytest.fixture(scope="session")
def make_model(tokenizer: Any) -> Callable[..., LlamaForCausalLM]:
    """Small random llamas that share the tokenizer; keyword arguments go to the configuration."""

    def make(seed: int = 0, **changes: Any) -> LlamaForCausalLM:
        torch.manual_seed(seed)
        sizes: dict[str, Any] = {
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "max_position_embeddings": 512,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        }
        return LlamaForCausalLM(LlamaConfig(**(sizes | changes)))

    return make
