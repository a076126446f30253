"""What a file says becomes the configuration; what is not handled is refused, by name."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from tests.gguf.export import export
from tests.gguf.tiny import CONFIGS, bundled_tokenizer, tiny
from transformers import PreTrainedConfig

from whence.providers.errors import ModelLoadError, UnsupportedError
from whence.providers.ollama.gguf.architectures import configuration_of
from whence.providers.ollama.gguf.header import Header, TensorInfo, read_header
from whence.providers.ollama.gguf.vocabulary import tokenizer_of


@cache
def header_of(name: str) -> Header:
    with TemporaryDirectory() as directory:
        model = tiny(CONFIGS[name])
        return read_header(export(model, bundled_tokenizer(), Path(directory) / "model.gguf"))


def with_keys(name: str, **changes: object) -> Header:
    """Keys with their dots written as `__`; None leaves one out."""
    header = header_of(name)
    named = {key.replace("__", "."): value for key, value in changes.items()}
    metadata: dict[str, Any] = {**header.metadata, **named}
    return replace(header, metadata={key: value for key, value in metadata.items() if value is not None})


def config_of(name: str, **changes: object) -> PreTrainedConfig:
    return configuration_of(with_keys(name, **changes))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_configuration_is_the_one_that_was_written(name: str) -> None:
    given, found = CONFIGS[name].to_dict(), config_of(name).to_dict()
    # Named otherwise, or without a say in what is computed.
    others = {"rope_parameters", "architectures", "transformers_version", "rms_norm_eps", "head_dim", "dtype"}
    others |= {"sliding_window", "use_sliding_window", "max_window_layers", "use_bidirectional_attention"}
    if name.startswith("phi3"):
        others |= {"max_position_embeddings", "original_max_position_embeddings"}
    assert {key: found[key] for key in given.keys() - others} == {
        key: given[key] for key in given.keys() - others
    }
    assert found["rms_norm_eps"] == pytest.approx(given["rms_norm_eps"])


def test_heads_need_not_share_the_width_evenly() -> None:
    assert config_of("qwen3").head_dim == 32


def test_long_and_short_factors_are_read_as_far_as_the_short_ones_go() -> None:
    assert CONFIGS["phi3-long"].max_position_embeddings == 1024
    assert config_of("phi3-long").max_position_embeddings == 512


def test_phi3_has_no_window_in_llama_cpp() -> None:
    assert config_of("phi3", phi3__attention__sliding_window=8).sliding_window is None


def test_gemma3_of_ollamas_own_converter_is_filled_in_as_ollama_does() -> None:
    own = {
        "gemma3__rope__freq_base": None,
        "gemma3__rope__freq_base_swa": None,
        "gemma3__attention__layer_norm_rms_epsilon": None,
        "gemma3__rope__global__freq_base": 500_000.0,
    }
    config = config_of("gemma3", **own)
    assert config.rope_parameters["full_attention"]["rope_theta"] == 500_000
    assert config.rope_parameters["sliding_attention"]["rope_theta"] == 10_000
    assert config.rms_norm_eps == 1e-6
    with pytest.raises(UnsupportedError, match=r"gemma3\.rope\.scaling\.factor is missing"):
        config_of("gemma3", **own, gemma3__context_length=131_072, gemma3__rope__scaling__factor=None)
    tokens = [*header_of("gemma3").metadata["tokenizer.ggml.tokens"], "<image_soft_token>"]  # type: ignore[misc]
    longer = with_keys("gemma3", **own, tokenizer__ggml__tokens=tokens)
    assert configuration_of(longer).vocab_size == len(tokens) - 1 == len(tokenizer_of(longer))


REFUSED: list[tuple[str, dict[str, object], str]] = [
    ("llama", {"general__architecture": "gptoss"}, "its architecture is 'gptoss'"),
    ("llama", {"general__architecture": "clip"}, "its architecture is 'clip'"),
    ("llama", {"general__type": "adapter"}, "general.type is 'adapter'"),
    ("llama", {"general__type": "mmproj"}, "general.type is 'mmproj'"),
    ("llama", {"split__count": 2, "split__no": 0}, "one of several parts"),
    ("llama", {"llama__expert_count": 8}, "llama.expert_count = 8"),
    ("llama", {"llama__pooling_type": 1}, "llama.pooling_type = 1"),
    ("llama", {"llama__attention__causal": False}, "llama.attention.causal = False"),
    ("llama", {"llama__logit_scale": 4.0}, "llama.logit_scale"),
    ("llama", {"llama__attention__temperature_scale": 0.1}, "llama.attention.temperature_scale"),
    ("llama", {"llama__attention__head_count_kv": [2, 2, 1]}, "head_count_kv differs from layer to layer"),
    ("llama", {"llama__attention__value_length": 8}, "llama.attention.value_length = 8"),
    ("llama", {"llama__rope__dimension_count": 8}, "llama.rope.dimension_count = 8"),
    ("llama", {"llama__rope__dimension_sections": [4, 4, 4, 4]}, "llama.rope.dimension_sections"),
    ("llama", {"llama__rope__scaling__type": "longrope"}, "rope.scaling.type is 'longrope'"),
    ("llama", {"llama__rope__scaling__attn_factor": 1.3}, "llama.rope.scaling.attn_factor = 1.3"),
    ("llama", {"clip__has_vision_encoder": True}, "clip.has_vision_encoder"),
    ("llama", {"tokenizer__ggml__pre": "default"}, "tokenizer.ggml.pre is 'default'"),
    ("llama", {"tokenizer__ggml__pre": None}, "tokenizer.ggml.pre is None"),
    ("llama", {"tokenizer__ggml__model": "bert"}, "tokenizer.ggml.model is 'bert'"),
    ("llama", {"tokenizer__ggml__precompiled_charsmap": [1]}, "tokenizer.ggml.precompiled_charsmap"),
    ("llama", {"tokenizer__ggml__add_sep_token": True}, "tokenizer.ggml.add_sep_token = True"),
    ("qwen2-yarn", {"qwen2__rope__scaling__yarn_beta_fast": 8.0}, "yarn_beta_fast = 8.0"),
    ("qwen2-yarn", {"qwen2__rope__scaling__yarn_log_multiplier": 0.5}, "yarn_log_multiplier = 0.5"),
    ("gemma2", {"gemma2__rope__freq_base_swa": 5000.0}, "gemma2.rope.freq_base_swa = 5000.0"),
    ("gemma3", {"gemma3__vision__block_count": 27}, "gemma3.vision.block_count"),
    ("gemma3", {"gemma3__mm__tokens_per_image": 256}, "gemma3.mm.tokens_per_image"),
    ("phi3", {"phi3__rope__scaling__factor": 2.0}, "phi3.rope.scaling.type is 'linear'"),
    ("phi3-long", {"phi3__rope__scaling__type": "yarn"}, "phi3.rope.scaling.type = 'yarn'"),
]


@pytest.mark.parametrize(("name", "changes", "words"), REFUSED, ids=[words for *_, words in REFUSED])
def test_what_is_not_handled_is_refused_by_name(name: str, changes: dict[str, object], words: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        config_of(name, **changes)
    assert words in str(caught.value)
    assert "log-probabilities" in str(caught.value)


DAMAGED: list[tuple[str, dict[str, object], str]] = [
    ("llama", {"llama__attention__head_count": 0}, "not a whole number from 1 on"),
    ("llama", {"llama__attention__head_count": 3}, "no multiple of attention.head_count 3"),
    ("llama", {"llama__attention__head_count_kv": 4}, "has the shape"),
    ("llama", {"llama__block_count": 2**31 - 1}, "tensors for 2147483647 layers"),
    ("llama", {"llama__block_count": 2}, "blk.2"),
    ("llama", {"llama__block_count": 4}, "it lacks tensors (blk.3.attn_k.weight"),
    ("llama", {"llama__embedding_length": "64"}, "not a whole number"),
    ("llama", {"llama__context_length": None}, "llama.context_length is missing"),
    ("llama", {"llama__rope__freq_base": float("nan")}, "not a number above 0"),
    ("llama", {"llama__attention__layer_norm_rms_epsilon": float("inf")}, "not a number above 0"),
    ("llama", {"tokenizer__ggml__tokens": ["a"]}, "it has 1 tokens"),
    ("qwen2-yarn", {"qwen2__rope__scaling__factor": 0.5}, "below 1"),
    ("phi3", {"phi3__rope__dimension_count": 32}, "phi3.rope.dimension_count is 32"),
]


@pytest.mark.parametrize(("name", "changes", "words"), DAMAGED, ids=[words for *_, words in DAMAGED])
def test_what_makes_no_sense_is_refused(name: str, changes: dict[str, object], words: str) -> None:
    with pytest.raises((ModelLoadError, UnsupportedError)) as caught:
        config_of(name, **changes)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "extra", ["v.blk.0.attn_q.weight", "blk.0.attn_q.lora_a", "rope_factors_long.weight"]
)
def test_tensors_that_are_not_handled_are_refused_by_name(extra: str) -> None:
    header = header_of("llama")
    tensor = TensorInfo(name=extra, shape=(8,), type="F32", offset_bytes=0, size_bytes=32)
    with pytest.raises(UnsupportedError) as caught:
        configuration_of(replace(header, tensors=(*header.tensors, tensor)))
    assert extra in str(caught.value)


def test_a_tensor_that_is_missing_is_named() -> None:
    header = header_of("llama")
    with pytest.raises(ModelLoadError, match=r"blk\.1\.ffn_up\.weight"):
        configuration_of(
            replace(header, tensors=tuple(t for t in header.tensors if t.name != "blk.1.ffn_up.weight"))
        )


def test_weights_of_a_type_that_is_not_read_are_refused_by_name() -> None:
    header = header_of("llama")
    whole = replace(header.tensors[3], type="I8")
    with pytest.raises(UnsupportedError, match="weights of type I8"):
        configuration_of(replace(header, tensors=(*header.tensors[:3], whole, *header.tensors[4:])))


def test_keys_that_only_describe_do_not_matter() -> None:
    described = {"general__name": "x", "general__license": "y", "quantize__imatrix__file": "z"}
    assert config_of("llama", **described).to_dict() == config_of("llama").to_dict()


# The tokenizer ----------------------------------------------------------------------------------------------


def test_tokens_that_are_there_twice_are_refused() -> None:
    tokens = list(header_of("llama").metadata["tokenizer.ggml.tokens"])  # type: ignore[arg-type]
    tokens[-1] = tokens[0]
    with pytest.raises(ModelLoadError, match="the same text"):
        tokenizer_of(with_keys("llama", tokenizer__ggml__tokens=tokens))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tokenizer__ggml__merges": None}, "tokenizer.ggml.merges is missing"),
        ({"tokenizer__ggml__merges": ["a"]}, "not two tokens with a blank"),
        ({"tokenizer__ggml__merges": ["zzzz yyyy"]}, "its tokenizer cannot be made"),
        ({"tokenizer__ggml__token_type": [1]}, "has fewer than 1662 entries"),
        ({"tokenizer__ggml__bos_token_id": 99999}, "bos_token_id is 99999"),
        ({"tokenizer__ggml__add_bos_token": 1}, "add_bos_token is 1, not true or false"),
        ({"tokenizer__ggml__model": "llama"}, "tokenizer.ggml.scores is missing"),
    ],
)
def test_damaged_tokenizers_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ModelLoadError) as caught:
        tokenizer_of(with_keys("llama", **changes))
    assert words in str(caught.value)


def test_a_beginning_is_added_where_the_file_wants_it() -> None:
    plain = tokenizer_of(header_of("llama"))
    begun = tokenizer_of(with_keys("llama", tokenizer__ggml__add_bos_token=True))
    assert begun("latex")["input_ids"] == [1, *plain("latex")["input_ids"]]
    assert begun("<|begin|>latex")["input_ids"][:2] == [1, 1]
    with pytest.raises(UnsupportedError, match="does not say which"):
        tokenizer_of(
            with_keys("llama", tokenizer__ggml__add_bos_token=True, tokenizer__ggml__bos_token_id=None)
        )
