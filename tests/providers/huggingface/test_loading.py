"""Each kind of model, saved and loaded by its directory, explains as it did; what has no head is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.providers.huggingface.conftest import assert_whole
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    T5Tokenizer,
)

from whence import Explainer, Explanation, HuggingFace, UnsupportedError
from whence.providers.errors import ModelLoadError

SOURCE = "The patient is allergic to latex. Stopped taking warfarin."
READERS: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 0,
    "id2label": {0: "urgent", 1: "routine"},
}
WRITERS: dict[str, Any] = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 128,
    "forced_eos_token_id": None,
}
Saved = Callable[[PreTrainedModel, Any], str]


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    """The name under which a model and its tokenizer, once saved, can be asked for."""

    def save(model: PreTrainedModel, tokenizer: Any) -> str:
        model.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        return f"huggingface:{tmp_path}"

    return save


def reader(auto: Any, tokenizer: Any, family: str = "bert", **changes: Any) -> Any:
    torch.manual_seed(0)
    return auto.from_config(
        AutoConfig.for_model(family, **(READERS | {"vocab_size": len(tokenizer)} | changes))
    )


def writer(family: str, tokenizer: Any, start: int, **changes: Any) -> Any:
    torch.manual_seed(0)
    own = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "decoder_start_token_id": start,
    }
    own |= {"eos_token_id": tokenizer.eos_token_id}
    sizes = {
        name: size
        for name, size in WRITERS.items()
        if (family == "t5") == (name in T5_SIZES) or name == "d_model"
    }
    return AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(family, **(sizes | own | changes)))


T5_SIZES = ("d_kv", "d_ff", "num_layers", "num_heads")


def assert_same(name: str, model: Any, tokenizer: Any, prompt: str, **options: Any) -> Explanation:
    """By name and in the caller's hands it explains the same, generated and given."""
    by_name, by_hand = Explainer(name, device="cpu"), Explainer(HuggingFace(model.eval(), tokenizer))
    for output in (None, options.pop("output")):
        one, other = (
            own.explain(prompt, sources=[SOURCE], output=output, **options) for own in (by_name, by_hand)
        )
        assert one.output == other.output
        assert one.matrix().tolist() == other.matrix().tolist()
        assert one.revision is not None
        assert one.revision.startswith("sha256:")
        assert_whole(one)
    return one


def test_a_masked_language_model(saved: Saved, wordpiece: Any) -> None:
    model = reader(AutoModelForMaskedLM, wordpiece)
    assert_same(saved(model, wordpiece), model, wordpiece, "It is [MASK].", output="was")


def test_a_classifier(saved: Saved, wordpiece: Any) -> None:
    model = reader(AutoModelForSequenceClassification, wordpiece)
    assert_same(saved(model, wordpiece), model, wordpiece, "", output="urgent")


def test_a_t5(saved: Saved, unigram: Callable[..., Any]) -> None:
    tokenizer = T5Tokenizer(vocab=unigram("<pad>", "</s>", "<unk>"), extra_ids=0)
    model = writer("t5", tokenizer, 0)
    assert_same(saved(model, tokenizer), model, tokenizer, "summarize:", output="No warfarin.", max_tokens=6)


@pytest.mark.filterwarnings("ignore:Recommended")  # a package that is not needed
def test_a_marian(saved: Saved, make_marian: Callable[..., Any]) -> None:
    tokenizer = make_marian()
    model = writer("marian", tokenizer, tokenizer.pad_token_id)
    name = saved(model, tokenizer)
    assert {path.name for path in Path(name.removeprefix("huggingface:")).glob("*.spm")} == {
        "source.spm",
        "target.spm",
    }
    assert_same(name, model, tokenizer, "", output="Der Patient.", max_tokens=6)


def test_what_a_checkpoint_lacks_is_not_made_up(saved: Saved, wordpiece: Any) -> None:
    name = saved(reader(AutoModel, wordpiece), wordpiece)
    with pytest.raises(ModelLoadError, match=r"lack .* tensors .* would be random"):
        Explainer(name).explain("It is [MASK].", sources=[SOURCE])


@pytest.mark.parametrize(
    ("auto", "family", "named"),
    [
        (AutoModelForQuestionAnswering, "bert", "BertForQuestionAnswering"),
        (AutoModelForSequenceClassification, "bart", "BartForSequenceClassification"),
    ],
)
def test_a_checkpoint_with_another_head_is_no_language_model(
    saved: Saved, wordpiece: Any, auto: Any, family: str, named: str
) -> None:
    sizes = {name: size for name, size in WRITERS.items() if name not in T5_SIZES} if family == "bart" else {}
    name = saved(reader(auto, wordpiece, family, **sizes), wordpiece)
    with pytest.raises(UnsupportedError, match=f"{named} cannot be explained"):
        Explainer(name).explain("", sources=[SOURCE])


@pytest.mark.parametrize("auto", [AutoModelForMaskedLM, AutoModelForSequenceClassification])
def test_pickled_weights_are_not_loaded(tmp_path: Path, wordpiece: Any, auto: Any) -> None:
    model = reader(auto, wordpiece)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(tmp_path)
    wordpiece.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelLoadError, match="safetensors"):
        Explainer(f"huggingface:{tmp_path}").explain("It is [MASK].", sources=[SOURCE])
