from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, MarianTokenizer

from whence.demo.records import generate

DEMO = Path(str(files("whence.demo") / "model"))
FOREIGN = (
    "Der Patient wurde gestern entlassen; naïve façade.",
    "患者対ペニシリン過敏 肺炎。没有发烧。",
    "المريض لديه حساسية",
    "Пациент жалуется на кашель",
    "रोगी को बुखार है",
    "50 µg \U0001f642",
)


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


@pytest.fixture(scope="session")
def make_marian(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Marian tokenizers, trained on records and other scripts; keyword arguments go to SentencePiece."""
    sentences = [line for seed in range(60) for line in (*generate(seed).text.splitlines(), *FOREIGN) if line]

    @cache
    def make(*, target_size: int = 400, **source: Any) -> Any:
        folder = tmp_path_factory.mktemp("marian")
        vocab = {"</s>": 0, "<unk>": 1, "<pad>": 2}
        for side, size in (("source", 400), ("target", target_size)):
            SentencePieceTrainer.train(
                sentence_iterator=iter(sentences),
                model_prefix=str(folder / side),
                vocab_size=size,
                hard_vocab_limit=False,
                minloglevel=2,
                **source,
            )
            model = SentencePieceProcessor(model_file=str(folder / f"{side}.model"))
            for piece in map(model.id_to_piece, range(len(model))):
                vocab.setdefault(piece, len(vocab))
        (folder / "vocab.json").write_text(json.dumps(vocab))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it recommends a package that it then does not use
            return MarianTokenizer(
                source_spm=str(folder / "source.model"),
                target_spm=str(folder / "target.model"),
                vocab=str(folder / "vocab.json"),
            )

    return make
