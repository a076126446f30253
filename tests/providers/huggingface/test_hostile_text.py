"""Text that breaks tokenizers, read and written by each kind of model: only text, and every row is whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.providers.huggingface.conftest import assert_whole
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    BartTokenizer,
    RobertaTokenizer,
    T5Tokenizer,
)

from whence import Explainer, HuggingFace
from whence.providers.huggingface.encoding import encode_output, encode_prompt
from whence.providers.prompt import build_prompt

TEXTS = {
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇪🇺🇪 ☃️",
    "NUL and controls": "a\x00b\x00 \x01\x7f\x85\x9f",
    "right to left": "dose \u202e gm 01\u202c \u2066isolate\u2069 שלום \u200f.",
    "CJK": "患者は発熱した。抗生物質を投与した。𠮷野家",
    "combining": "cafe\u0301 Z\u0351\u0343\u033alg\u0301o \u0301",
    "compatibility": "ﬁ ½ ﷺ 𝒜 İ ß Å µ",
    "ends": "Stop.</s></s> More.\n</s>",
    "beginnings": "<s>So<s> it <pad><unk><mask> is.",
    "bert's": "[CLS] a [SEP][MASK][PAD] [UNK]b[MASK]",
    "glued": "x</s>y<s>z[SEP]w▁</s>",
    "blanks": "\u00a0x\u2003\u3000y\u200b\u2060z \t\n\r\n.",
    "one character": ".",
    "unknown only": "𓀀𓀁",
}
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 514,
}
HALVES: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 512,
}
T5: dict[str, Any] = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 1, "num_heads": 2}
KINDS = ("wordpiece", "byte level", "classifier", "bart", "unigram", "marian")


@pytest.fixture(params=KINDS, scope="module")
def pair(
    request: pytest.FixtureRequest,
    wordpiece: Any,
    byte_level: Callable[..., Any],
    unigram: Callable[..., Any],
    make_marian: Callable[..., Any],
) -> tuple[Any, Any]:
    """A model and its tokenizer."""
    makers: dict[str, Callable[[], tuple[Any, str, Any, dict[str, Any]]]] = {
        "wordpiece": lambda: (wordpiece, "bert", AutoModelForMaskedLM, SIZES),
        "byte level": lambda: (byte_level(RobertaTokenizer), "roberta", AutoModelForMaskedLM, SIZES),
        "classifier": lambda: (wordpiece, "bert", AutoModelForSequenceClassification, SIZES),
        "bart": lambda: (byte_level(BartTokenizer), "bart", AutoModelForSeq2SeqLM, HALVES),
        "unigram": lambda: (
            T5Tokenizer(vocab=unigram("<pad>", "</s>", "<unk>"), extra_ids=0),
            "t5",
            AutoModelForSeq2SeqLM,
            T5,
        ),
        "marian": lambda: (make_marian(), "marian", AutoModelForSeq2SeqLM, HALVES),
    }
    tokenizer, family, auto, sizes = makers[request.param]()
    ends = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    ends |= {"decoder_start_token_id": tokenizer.pad_token_id} if auto is AutoModelForSeq2SeqLM else {}
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, vocab_size=len(tokenizer), **sizes, **ends)
    return auto.from_config(config).eval(), tokenizer


def control_tokens(tokenizer: Any, ids: Any) -> list[int]:
    unknown = tokenizer.unk_token_id
    return [token for token in ids if token in tokenizer.all_special_ids and token != unknown]


@pytest.mark.parametrize("name", TEXTS)
def test_a_record_is_only_text(pair: tuple[Any, Any], name: str) -> None:
    model, tokenizer = pair
    text, mask = TEXTS[name], tokenizer.mask_token or ""
    source = f"Allergic to latex. {text}"
    prompt = f"It is {mask}."
    plain = encode_prompt(tokenizer, build_prompt(prompt, sources=["Latex."]), plain=True)
    hostile = encode_prompt(tokenizer, build_prompt(prompt, sources=[source]), plain=True)
    assert control_tokens(tokenizer, hostile.ids) == control_tokens(tokenizer, plain.ids)
    own = [token for token in hostile.tokens if token.source == 0]
    assert all(0 <= token.start <= token.end <= len(source) for token in own)
    assert [token.start for token in own] == sorted(token.start for token in own)
    labels = getattr(model.config, "id2label", {})
    output = labels[0] if "Classification" in type(model).__name__ else "no"
    for segment_by in ("token", "word", "sentence"):
        explanation = Explainer(HuggingFace(model, tokenizer)).explain(
            prompt, sources=[source], output=output, segment_by=segment_by, attention=True, detail=True
        )
        assert_whole(explanation)
        assert explanation.sources[0].text == source
        assert_whole(explanation.at("paragraph"))


@pytest.mark.parametrize("name", TEXTS)
def test_a_record_of_nothing_else_is_read_too(pair: tuple[Any, Any], name: str) -> None:
    model, tokenizer = pair
    explanation = Explainer(HuggingFace(model, tokenizer)).explain(
        f"It is {tokenizer.mask_token or ''}.",
        sources=[TEXTS[name], "Latex."],
        output="no" if model.config.is_encoder_decoder else None,
    )
    assert_whole(explanation)


@pytest.mark.parametrize("name", TEXTS)
def test_an_output_is_only_text(pair: tuple[Any, Any], name: str) -> None:
    model, tokenizer = pair
    text = f"No fever. {TEXTS[name]} So"
    encoded = encode_output(tokenizer, text)
    assert control_tokens(tokenizer, encoded.ids) == []
    spans = [span for span in encoded.spans if span is not None]
    assert all(0 <= a < b <= len(text) for a, b in spans)
    if model.config.is_encoder_decoder:
        for target_by in ("token", "word", "sentence"):
            explanation = Explainer(HuggingFace(model, tokenizer)).explain(
                "In short", sources=["Latex."], output=text, target_by=target_by
            )
            assert_whole(explanation)
            if target_by != "token":
                targets = range(len(explanation.output.targets))
                assert "".join(map(explanation.target_text, targets)) == text
