from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoTokenizer,
    BertTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    MarianTokenizer,
)

from whence import Explanation
from whence.demo.records import generate
from whence.providers.observations import Span

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


def record_lines() -> Iterator[str]:
    return (line for seed in range(40) for line in generate(seed).text.splitlines() if line)


def trained(model: Any, pre_tokenizer: Any, trainer: Any, normalizer: Any = None) -> dict[str, Any]:
    """The vocabulary, and merges where it has some, of a tokenizer trained on records."""
    own = Tokenizer(model)
    own.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        own.normalizer = normalizer
    own.train_from_iterator(record_lines(), trainer)
    learnt: dict[str, Any] = json.loads(own.to_str())["model"]
    return learnt


@pytest.fixture(scope="session")
def wordpiece() -> Any:
    """As bert's: `[CLS] ... [SEP]`, uncased, with `[UNK]` for what it never saw."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    learnt = trained(
        models.WordPiece(unk_token="[UNK]"),
        pre_tokenizers.BertPreTokenizer(),
        trainers.WordPieceTrainer(vocab_size=500, special_tokens=names, show_progress=False),
        normalizers.BertNormalizer(),
    )
    return BertTokenizer(vocab=learnt["vocab"])


@pytest.fixture(scope="session")
def byte_level() -> Callable[..., Any]:
    """As roberta's and bart's: `<s> ... </s>`, and a mask that takes up the blank before it."""
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    learnt = trained(
        models.BPE(),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        trainers.BpeTrainer(
            vocab_size=600, initial_alphabet=alphabet, special_tokens=names, show_progress=False
        ),
    )

    def make(kind: Callable[..., Any]) -> Any:
        merges = [tuple(pair) for pair in learnt["merges"]]
        return kind(vocab=learnt["vocab"], merges=merges, mask_token=AddedToken("<mask>", lstrip=True))

    return make


@pytest.fixture(scope="session")
def unigram() -> Callable[..., list[tuple[str, float]]]:
    """Vocabularies with scores, as of t5, pegasus and mbart; `names`: control tokens, which are first."""

    @cache
    def make(*names: str) -> list[tuple[str, float]]:
        trainer = trainers.UnigramTrainer(
            vocab_size=400, special_tokens=list(names), unk_token="<unk>", show_progress=False
        )
        split = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
        return [(piece, score) for piece, score in trained(models.Unigram(), split, trainer)["vocab"]]

    return make


SHARPNESS = 12
ASKING = ("query", "key", "q_proj", "k_proj", "q_lin", "k_lin", "Wqkv", "c_attn", "in_proj")


def sharpened(model: Any) -> Any:
    """In evaluation, and with attention that is far from uniform: there any row would look right."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if any(part in name for part in ASKING):
                weight.mul_(SHARPNESS)
    return model.eval()


def by_segment(explanation: Explanation, text: str, offsets: Sequence[Span], row: Any) -> list[float]:
    """By hand: what one row of attention gives each segment; `text`: what was read, `offsets`: its tokens."""
    starts = [next((k for k in range(a, b) if not text[k].isspace()), -1) for a, b in offsets]
    texts = {source.id: source.text or "" for source in explanation.sources}
    totals: list[float] = []
    for segment in explanation.segments:
        at = text.index(texts[segment.source])
        begin, end = at + (segment.start or 0), at + (segment.end or 0)
        own = [i for i, k in enumerate(starts) if begin <= k < end]
        totals.append(sum(float(row[i]) for i in own))
    return totals


def assert_whole(explanation: Explanation) -> None:
    """Every row of every result, with its elsewhere, sums to 1."""
    for result in explanation.results:
        assert result.scores.elsewhere is not None
        totals = [
            sum(row) + e.total for row, e in zip(result.scores.values, result.scores.elsewhere, strict=True)
        ]
        assert totals == pytest.approx([1] * len(totals), abs=1e-5)
