"""What is loaded from a GGUF file computes what llama.cpp computes from it, and reads texts alike.

llama.cpp is the server under Ollama, so where both disagree our reading of the file is wrong. Measured, with
float32 throughout: log-probabilities differ by at most 6e-5. gemma's do by 3e-3, for llama.cpp looks GELU up
in a table of half-precision numbers; without their MLPs they do not.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.gguf.export import bundled_gguf, export
from tests.gguf.tiny import (
    CONFIGS,
    LARGEST,
    VOCABULARY,
    bundled_tokenizer,
    ids_of_length,
    logits,
    sentencepiece,
    tiny,
)
from tests.peers.llama_cpp import LlamaCpp, absent, running
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from whence.providers.ollama.gguf.header import read_header
from whence.providers.ollama.gguf.vocabulary import SPLITS, tokenizer_of
from whence.providers.ollama.gguf.weights import load_blob

pytestmark = pytest.mark.skipif(bool(absent()), reason=absent() or "never")

SAME_NATS = 2e-4
GELU_TABLE_NATS = 6e-3
LENGTHS = (2, 30, 101)

# What a file says beside its weights, or leaves out, and llama.cpp heeds, or does not.
VARIANTS: list[tuple[str, dict[str, object]]] = [
    ("llama", {"llama.attention.sliding_window": 4}),
    ("llama", {"llama.rope.freq_base": None, "llama.rope.dimension_count": None}),
    ("llama", {"llama.attention.head_count_kv": [2, 2, 2]}),
    ("llama", {"llama.rope.scaling.factor": 3.0}),
    ("llama", {"llama.rope.scale_linear": 3.0}),
    ("llama", {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 2.0}),
    ("qwen2", {"qwen2.attention.sliding_window": 4}),
    ("qwen2-yarn", {"qwen2.rope.scaling.attn_factor": 1.3}),
    ("qwen2-yarn", {"qwen2.rope.scaling.original_context_length": None}),
    ("qwen2-yarn", {"qwen2.rope.scaling.type": "none"}),
    ("qwen3", {"qwen3.attention.sliding_window": 4}),
    ("gemma2", {"gemma2.attention.sliding_window": None, "gemma2.attn_logit_softcapping": None}),
    ("gemma2", {"gemma2.attention.sliding_window_pattern": 3, "gemma2.final_logit_softcapping": 7.0}),
    ("gemma3", {"gemma3.attention.sliding_window": None, "gemma3.final_logit_softcapping": 2.0}),
    ("gemma3", {"gemma3.rope.freq_base": None, "gemma3.rope.freq_base_swa": None}),
    ("gemma3", {"gemma3.attention.sliding_window_pattern": 3, "gemma3.rope.freq_base_swa": 777.0}),
    ("phi3", {"phi3.attention.sliding_window": 8}),
    ("phi3-long", {"phi3.rope.scaling.type": "longrope", "phi3.rope.scaling.attn_factor": 1.7}),
]


@pytest.fixture(scope="module")
def peer() -> Iterator[LlamaCpp]:
    with running() as server:
        yield server


def furthest_nats(peer: LlamaCpp, path: Path) -> float:
    """How far the log-probabilities of the next token lie apart, at most."""
    model, _ = load_blob(path, read_header(path), dtype=torch.float32, device="cpu")
    peer.load(path)
    prompts = [ids_of_length(tokens) for tokens in LENGTHS]
    ours = torch.stack([logits(model, ids)[-1].log_softmax(-1) for ids in prompts])
    theirs = torch.stack([peer.log_probabilities(ids, VOCABULARY) for ids in prompts])
    return (ours - theirs).abs().max().item()


@pytest.mark.parametrize("name", CONFIGS)
def test_probabilities_are_those_of_llama_cpp(peer: LlamaCpp, tmp_path: Path, name: str) -> None:
    path = export(tiny(CONFIGS[name]), bundled_tokenizer(), tmp_path / "model.gguf")
    assert furthest_nats(peer, path) < (GELU_TABLE_NATS if name.startswith("gemma") else SAME_NATS)


@pytest.mark.parametrize("layers", ["few", "as-27B"])
@pytest.mark.parametrize("name", LARGEST)
def test_without_mlps_gemma_is_the_same(peer: LlamaCpp, tmp_path: Path, name: str, layers: str) -> None:
    config = (CONFIGS if layers == "few" else LARGEST)[name]
    path = export(tiny(config, mlp=0.0), bundled_tokenizer(), tmp_path / "model.gguf")
    assert furthest_nats(peer, path) < SAME_NATS


@pytest.mark.parametrize(("name", "metadata"), VARIANTS)
def test_keys_count_as_in_llama_cpp(
    peer: LlamaCpp, tmp_path: Path, name: str, metadata: dict[str, object]
) -> None:
    model = tiny(CONFIGS[name], mlp=0.0 if name.startswith("gemma") else 1.0)
    path = export(model, bundled_tokenizer(), tmp_path / "model.gguf", metadata=metadata)
    assert furthest_nats(peer, path) < SAME_NATS


# Tokens ----------------------------------------------------------------------------------------------------

TEXTS = [
    "",
    "<|begin|><|user|>Hi there<|end|><|assistant|>",
    "  <|end|>  x",
    "<|pad|><|pad|><|system|",
    "a\n\n\nb\r\n\r\nc\t\td",
    "   \n   \n x",
    "I'm you'LL we'Ve it'S 'tis 's 't 'S'T",
    "日本語のテキスト、漢字 안녕하세요 مرحبا नमस्ते",
    "👩‍👩‍👧‍👦 emoji 🎉🎉 \U0001d54f\U0001d7d8",
    "12345 67890123 1,234.56 ½ ² ٣٤ 一二三 Ⅷ ①",
    "é e\u0301 ﬁ ǅaǅ İ ı ßA ªº x\u0300\u0301y",
    "\u00a0nbsp\u2003em\u3000ideo\u200bzw\u2028line",
    "\x00\x01\x7f\x85\uffff",
    "CamelCaseHTTPServer aB ABc _foo__bar-baz/qux\\x ..../// \n/// !!!",
    "<s>x</s> <unk> <0x0A> ▁a ▁",
    "aaaaaaaaaaaaa bbbb" + " " * 40 + "\n" * 9,
]
_POOL = [*"aB1 \n\t'’,.é日🎉\u0301ǅ½/<|_", "<|end|>", "<|user|>", " the", "'s", "\r\n", "Ⅷ", "12", "AB"]
_RANDOM = random.Random(0)
TEXTS += ["".join(_RANDOM.choices(_POOL, k=_RANDOM.randint(1, 30))) for _ in range(100)]


def across() -> Any:
    """A byte-level tokenizer whose merges cross every border, so that each split of a text shows."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|pad|>", "<|begin|>", "<|end|>", "<|user|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        max_token_length=16,
    )
    backend.train_from_iterator(["".join(_RANDOM.choices(_POOL, k=20)) for _ in range(1500)], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<|begin|>", eos_token="<|end|>", pad_token="<|pad|>"
    )


def check_tokens(peer: LlamaCpp, path: Path) -> None:
    tokenizer = tokenizer_of(read_header(path))
    peer.load(path)
    for text in TEXTS:
        assert tokenizer(text)["input_ids"] == peer.ids(text), repr(text)


def test_the_bundled_tokenizer_reads_as_llama_cpp(peer: LlamaCpp, tmp_path: Path) -> None:
    path = bundled_gguf(tmp_path, "F32")
    check_tokens(peer, path)
    ours, written = tokenizer_of(read_header(path)), bundled_tokenizer()
    for text in TEXTS:
        assert ours(text)["input_ids"] == written(text)["input_ids"]


@pytest.mark.parametrize("pre", ["gpt-2", "llama-bpe", "dbrx", "qwen2", "smollm", "tekken", "gpt-4o"])
def test_each_split_is_that_of_llama_cpp(peer: LlamaCpp, tmp_path: Path, pre: str) -> None:
    metadata = {"tokenizer.ggml.pre": pre, "tokenizer.ggml.add_bos_token": None}
    check_tokens(peer, export(tiny(CONFIGS["llama"]), across(), tmp_path / "model.gguf", metadata=metadata))


def test_no_split_is_left_out_above() -> None:
    assert len({SPLITS[pre] for pre in SPLITS}) == 7


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"tokenizer.ggml.add_space_prefix": False, "tokenizer.ggml.add_eos_token": True},
        {"tokenizer.ggml.add_bos_token": False},
        {"general.name": "Phi-3 Mini"},
    ],
)
def test_sentencepiece_reads_as_llama_cpp(
    peer: LlamaCpp, tmp_path: Path, metadata: dict[str, object]
) -> None:
    lines = ["".join(_RANDOM.choices(_POOL, k=20)).replace("\n", " ") for _ in range(500)]
    processor = sentencepiece([*lines, "the patient is allergic to latex and penicillin"] * 2)
    check_tokens(peer, export(tiny(CONFIGS["llama"]), processor, tmp_path / "model.gguf", metadata=metadata))
