"""Rollout and value-weighted attention equal the papers' formulas, over eager attention in float64.

The reference shares nothing with what it checks: whole matrices from the bottom layer up, and each carried
vector by name of the modules that make it. A new family is one line in FAMILIES, and one in WIRING.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import anyio
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    PreTrainedModel,
)
from transformers.pytorch_utils import Conv1D

from whence.api.sdk import Explainer
from whence.explain.plan import serves
from whence.providers.errors import UnsupportedError
from whence.providers.huggingface import HuggingFace
from whence.providers.huggingface.anatomy import Anatomy, examine
from whence.providers.huggingface.attention import Observer
from whence.providers.huggingface.calls import Call
from whence.providers.huggingface.following import reduction
from whence.providers.huggingface.passes import run
from whence.providers.huggingface.reductions import Reduction, Wanted
from whence.providers.observations import AttentionQuery
from whence.providers.observations import Reduction as ReductionName
from whence.providers.prompt import build_prompt

TOLERANCE = 1e-5
VOCABULARY, LAYERS, HEADS = 97, 3, 4
LENGTH, WRITTEN = 150, 90  # more rows than are held at a time
SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GROUPED = SMALL | {"num_key_value_heads": 2}
OLD: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "n_embd": 32,
    "n_layer": LAYERS,
    "n_head": HEADS,
    "n_positions": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS = {"num_experts": 2, "num_local_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 16}
LATENT = {"kv_lora_rank": 8, "q_lora_rank": 16, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 6}

FAMILIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "llama": (AutoModelForCausalLM, GROUPED),
    "gpt2": (AutoModelForCausalLM, OLD),
    "gpt_neox": (AutoModelForCausalLM, SMALL),
    "qwen3": (AutoModelForCausalLM, GROUPED | {"head_dim": 16}),
    "mistral": (AutoModelForCausalLM, GROUPED | {"sliding_window": 20}),
    "gemma2": (
        AutoModelForCausalLM,
        GROUPED | {"head_dim": 8, "sliding_window": 20, "attn_logit_softcapping": 2.0},
    ),
    "gpt_oss": (AutoModelForCausalLM, GROUPED | EXPERTS | {"head_dim": 8, "sliding_window": 20}),
    "deepseek_v3": (
        AutoModelForCausalLM,
        SMALL | LATENT | {"first_k_dense_replace": 3, "num_key_value_heads": HEADS},
    ),
    "bert": (AutoModelForMaskedLM, SMALL),
    "t5": (
        AutoModelForSeq2SeqLM,
        {"vocab_size": VOCABULARY, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_heads": HEADS}
        | {"num_layers": 2, "num_decoder_layers": LAYERS, "pad_token_id": 0, "decoder_start_token_id": 0},
    ),
    "bart": (
        AutoModelForSeq2SeqLM,
        {"vocab_size": VOCABULARY, "d_model": 32, "encoder_layers": 2, "decoder_layers": LAYERS}
        | {"encoder_attention_heads": HEADS, "decoder_attention_heads": HEADS, "encoder_ffn_dim": 48}
        | {"decoder_ffn_dim": 48, "max_position_embeddings": 512, "decoder_start_token_id": 2},
    ),
    # past the attention interface
    "gptj": (AutoModelForCausalLM, OLD | {"rotary_dim": 4}),
    "falcon": (AutoModelForCausalLM, SMALL | {"num_kv_heads": 2, "new_decoder_architecture": True}),
    "deberta-v2": (
        AutoModelForMaskedLM,
        SMALL | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16},
    ),
    "fsmt": (
        AutoModelForSeq2SeqLM,
        {"src_vocab_size": VOCABULARY, "tgt_vocab_size": VOCABULARY, "langs": ["en", "de"], "d_model": 32}
        | {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
        | {"encoder_attention_heads": HEADS, "decoder_attention_heads": HEADS},
    ),
    # not all attention, or not straight into the output projection
    "jamba": (
        AutoModelForCausalLM,
        GROUPED | EXPERTS | {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False},
    ),
    "qwen3_next": (AutoModelForCausalLM, GROUPED | EXPERTS | {"num_hidden_layers": 4, "head_dim": 8}),
}


def whole(output: Tensor) -> Tensor:
    return output


def last_third(output: Tensor) -> Tensor:
    return output.chunk(3, dim=-1)[2]


def last_third_of_each_head(output: Tensor) -> Tensor:
    return output.view(*output.shape[:2], HEADS, 3, -1)[..., 2, :].flatten(-2)


def behind_the_key_of_each_head(output: Tensor) -> Tensor:
    output = output.squeeze(1)
    return output.view(*output.shape[:2], HEADS, -1)[..., LATENT["qk_nope_head_dim"] :].flatten(-2)


LIKE_LLAMA = ("model.layers.{}.self_attn.v_proj", whole, "model.layers.{}.self_attn.o_proj")
WIRING: dict[str, tuple[str, Callable[[Tensor], Tensor], str]] = {
    "llama": LIKE_LLAMA,
    "qwen3": LIKE_LLAMA,
    "mistral": LIKE_LLAMA,
    "gemma2": LIKE_LLAMA,
    "gpt_oss": LIKE_LLAMA,
    "gpt2": ("transformer.h.{}.attn.c_attn", last_third, "transformer.h.{}.attn.c_proj"),
    "gpt_neox": (
        "gpt_neox.layers.{}.attention.query_key_value",
        last_third_of_each_head,
        "gpt_neox.layers.{}.attention.dense",
    ),
    "deepseek_v3": (
        "model.layers.{}.self_attn.kv_b_proj",
        behind_the_key_of_each_head,
        "model.layers.{}.self_attn.o_proj",
    ),
    "bert": (
        "bert.encoder.layer.{}.attention.self.value",
        whole,
        "bert.encoder.layer.{}.attention.output.dense",
    ),
    "t5": ("decoder.block.{}.layer.1.EncDecAttention.v", whole, "decoder.block.{}.layer.1.EncDecAttention.o"),
    "bart": (
        "model.decoder.layers.{}.encoder_attn.v_proj",
        whole,
        "model.decoder.layers.{}.encoder_attn.out_proj",
    ),
}
"""By family: what computes the values, which part of its output they are, and what takes them up."""
FOLLOWED = [*WIRING, "gptj", "falcon", "deberta-v2"]
PROMPT = build_prompt("Summarise.", sources=["The patient is allergic to latex.", "Stopped taking warfarin."])
OUTPUT = "Allergic to latex. Stopped warfarin."


def build(family: str, **changes: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    auto, sizes = FAMILIES[family]
    config = AutoConfig.for_model(family, **(sizes | changes))
    model: PreTrainedModel = auto.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # As they are made, biases are zero, and all positions are attended to and carry nearly the same.
            if weight.dim() > 1 or name.endswith(("bias", "sinks")):
                weight.normal_(std=0.2)
    return model


def inputs_of(model: PreTrainedModel, length: int = LENGTH, batch: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = {"input_ids": torch.randint(3, VOCABULARY, (batch, length), generator=generator)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = torch.randint(3, VOCABULARY, (batch, WRITTEN), generator=generator)
    return inputs


@dataclass(frozen=True, kw_only=True)
class Eager:
    """What transformers itself tells of one pass, in float64.

    `attention`: for each block its layers, each batch x heads x queries x keys. `carried`: for each layer of
    the block that explains the output the length of each f(x_j), batch x heads x keys.
    """

    attention: Mapping[str, Sequence[Tensor]]
    carried: Sequence[Tensor]

    @property
    def explaining(self) -> Sequence[Tensor]:
        return self.attention["cross" if "cross" in self.attention else "only"]


def eager(family: str, model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> Eager:
    model = copy.deepcopy(model).double()
    model.set_attn_implementation("eager")
    model.set_experts_implementation("eager")  # the others are for single precision
    carried: list[Tensor] = []

    def hook(part: Callable[[Tensor], Tensor], takes: nn.Module, *seen: Any) -> None:
        carried.append(lengths(part(seen[-1]), takes))

    if family in WIRING:
        values, part, takes = WIRING[family]
        for layer in range(LAYERS):
            module = model.get_submodule(values.format(layer))
            module.register_forward_hook(partial(hook, part, model.get_submodule(takes.format(layer))))
    with torch.no_grad():
        output = model(**inputs, output_attentions=True, use_cache=False)
    if not model.config.is_encoder_decoder:
        return Eager(attention={"only": output.attentions}, carried=carried)
    attention = {name: output[f"{name}_attentions"] for name in ("encoder", "decoder", "cross")}
    return Eager(attention=attention, carried=carried)


def lengths(values: Tensor, takes: nn.Module) -> Tensor:
    """Kobayashi et al. 2020: |f(x_j)|, f(x) = (x W_V + b_V) W_O, by head.

    `values`: x W_V + b_V, batch x keys x (key-value heads * value size).
    """
    assert isinstance(takes.weight, Tensor)
    matrix = takes.weight if isinstance(takes, Conv1D) else takes.weight.T
    size = matrix.shape[0] // HEADS
    group = HEADS * size // values.shape[-1]
    heads = []
    for head in range(HEADS):
        own = values[..., head // group * size : (head // group + 1) * size]
        vectors = own @ matrix[head * size : (head + 1) * size]
        heads.append(torch.linalg.vector_norm(vectors, dim=-1))
    return torch.stack(heads, dim=1)


def value_weighted(seen: Eager, layers: Sequence[int], heads: Sequence[int]) -> Tensor:
    """Weights times what they carry, summed over heads; rows of a layer sum to 1; the mean of layers."""
    found = []
    for layer in layers:
        weighted = seen.explaining[layer] * seen.carried[layer][:, :, None, :]
        total = weighted[:, list(heads)].sum(dim=1)
        found.append(total / total.sum(dim=-1, keepdim=True))
    return torch.stack(found).mean(dim=0)


def rollout(seen: Eager, heads: Sequence[int]) -> Tensor:
    """Abnar and Zuidema 2020: R = (A/2 + I/2) R of the layer below, by whole matrices.

    A decoder with an encoder is half itself and half what it looks at twice in each layer: among its own
    positions, then among the encoder's. There R has the encoder's positions, then the decoder's.
    """
    mean = {
        name: [layer[:, list(heads)].mean(1) for layer in seen.attention[name]] for name in seen.attention
    }
    if "only" in mean:
        return through(mean["only"])
    encoder = through(mean["encoder"])
    own = torch.eye(mean["decoder"][0].shape[-1], dtype=torch.float64)
    reached = torch.cat([torch.zeros_like(mean["cross"][0]), own.expand_as(mean["decoder"][0])], dim=-1)
    for among_own, cross in zip(mean["decoder"], mean["cross"], strict=True):
        reached = (0.5 * among_own + 0.5 * own) @ reached
        read = torch.cat([cross @ encoder, torch.zeros_like(among_own)], dim=-1)
        reached = 0.5 * read + 0.5 * reached
    return reached


def through(layers: Sequence[Tensor]) -> Tensor:
    itself = torch.eye(layers[0].shape[-1], dtype=torch.float64)
    reached = itself.expand_as(layers[0])
    for attention in layers:
        reached = (0.5 * attention + 0.5 * itself) @ reached
    return reached


@cache
def reference(family: str) -> Eager:
    model = build(family)
    return eager(family, model, inputs_of(model))


class Reducing(Observer):
    """Gives every call to a reduction."""

    def __init__(self, anatomy: Anatomy, reduces: Reduction) -> None:
        super().__init__(lambda: None)
        self.places, self.reduces = iter(anatomy.places), reduces

    def observe(self, call: Call) -> None:
        place = next(self.places)
        assert place is not None
        self.reduces.take(place, call)


def reduced(
    model: PreTrainedModel,
    inputs: Mapping[str, Tensor],
    name: ReductionName,
    rows: Sequence[int],
    layers: tuple[int, ...] | None = None,
    heads: tuple[int, ...] | None = None,
) -> Tensor:
    """What Whence says, in float32."""
    if model._supports_sdpa:
        model.set_attn_implementation("sdpa")
    anatomy = examine(model, list(range(10, 20)))
    block = "cross" if "cross" in anatomy.blocks else anatomy.blocks[0]
    wanted = Wanted(block=block, rows=torch.tensor(rows), layers=layers, heads=heads)
    observer = Reducing(anatomy, reduction(name, wanted, anatomy))
    run(model, inputs, observer, via=anatomy.via)
    return observer.reduces.rows()


def queries_of(family: str) -> int:
    return WRITTEN if FAMILIES[family][0] is AutoModelForSeq2SeqLM else LENGTH


def assert_equal(found: Tensor, expected: Tensor) -> None:
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("heads", [None, (3,), (1, 3)])
@pytest.mark.parametrize("family", FOLLOWED)
def test_rollout_equals_products_of_whole_matrices(family: str, heads: tuple[int, ...] | None) -> None:
    model = build(family)
    found = reduced(model, inputs_of(model), "rollout", range(queries_of(family)), heads=heads)
    expected = rollout(reference(family), heads or range(HEADS))
    assert_equal(found, expected)
    if family == "gpt_oss":
        assert (found.sum(dim=-1) < 0.999).all(), "its learned sinks take a part of each row"
    else:
        torch.testing.assert_close(found.sum(dim=-1), torch.ones(2, queries_of(family)))


@pytest.mark.parametrize("layers", [None, (0, 2)])
@pytest.mark.parametrize("heads", [None, (3,), (1, 3)])
@pytest.mark.parametrize("family", WIRING)
def test_value_weighted_attention_equals_the_lengths_of_explicit_vectors(
    family: str, heads: tuple[int, ...] | None, layers: tuple[int, ...] | None
) -> None:
    model, seen = build(family), reference(family)
    found = reduced(model, inputs_of(model), "value_weighted", range(queries_of(family)), layers, heads)
    assert_equal(found, value_weighted(seen, layers or range(LAYERS), heads or range(HEADS)))
    torch.testing.assert_close(found.sum(dim=-1), torch.ones(2, queries_of(family)))


@pytest.mark.parametrize(
    ("name", "family"),
    [("rollout", family) for family in FOLLOWED] + [("value_weighted", family) for family in WIRING],
)
def test_wanted_rows_are_those_of_all_rows(name: ReductionName, family: str) -> None:
    model, queries = build(family), queries_of(family)
    inputs, rows = inputs_of(model), [0, 5, *range(20, queries)]  # in more than one block
    every = reduced(model, inputs, name, range(queries))
    torch.testing.assert_close(reduced(model, inputs, name, rows), every[:, rows], atol=1e-6, rtol=0)


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Of all tensors that are made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.elements = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        sizes = [tensor.numel() for tensor in tree_leaves(result) if isinstance(tensor, Tensor)]
        self.elements = max(self.elements, *sizes, 0)
        return result


@pytest.mark.parametrize("name", ["rollout", "value_weighted"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "bart"])
def test_no_tensor_is_as_large_as_the_attention_of_one_head(family: str, name: ReductionName) -> None:
    model, length = build(family), 280  # 64 rows of four heads are just less
    inputs = inputs_of(model, length=length, batch=1)
    with Largest() as largest:
        found = reduced(model, inputs, name, range(WRITTEN))
    assert found.numel() <= largest.elements < length * length


def provided(family: str, tokenizer: Any) -> tuple[PreTrainedModel, HuggingFace]:
    vocabulary = {name: len(tokenizer) for name in FAMILIES[family][1] if name.endswith("vocab_size")}
    model = build(family, **vocabulary)
    return model, HuggingFace(model, tokenizer)


@pytest.mark.parametrize("family", ["llama", "gpt_oss", "gptj", "bart", "t5"])
def test_a_provider_gives_the_rollout_of_the_rows_that_predict_the_output(
    family: str, tokenizer: Any
) -> None:
    model, provider = provided(family, tokenizer)
    passes: list[Any] = []
    model.register_forward_pre_hook(lambda *call: passes.append(call[2]), with_kwargs=True)
    given = anyio.run(lambda: provider.attend(PROMPT, OUTPUT, AttentionQuery(reduction="rollout")))
    inputs = {name: ids for name, ids in passes[-1].items() if name.endswith("input_ids")}
    expected = rollout(eager(family, model, inputs), range(HEADS))[0, -len(given.rows) :]
    followed = sum(ids.shape[1] for ids in inputs.values())  # of the encoder, then of the decoder
    np.testing.assert_allclose(given.rows[:, :followed], expected, atol=TOLERANCE, rtol=0)
    sinks = given.keys[followed:]
    assert [token.part for token in sinks] == (["sink"] if family == "gpt_oss" else [])
    np.testing.assert_allclose(given.rows.sum(axis=1), 1, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    ("family", "method", "reason"),
    [
        ("jamba", "attention_rollout", r"followed through layers 0, 2 \(JambaMambaMixer\)"),
        ("qwen3_next", "attention_rollout", r"followed through layers 0, 1, 2 \(Qwen3NextGatedDeltaNet\)"),
        ("fsmt", "attention_rollout", "not all of its blocks can be followed"),
        ("qwen3_next", "attention_value_weighted", "do not go straight .* into one output projection"),
        ("gptj", "attention_value_weighted", "does not use transformers' attention interface"),
        ("fsmt", "attention_value_weighted", "does not use transformers' attention interface"),
    ],
)
def test_what_cannot_be_computed_is_refused_with_the_reason_and_what_can(
    family: str, method: str, reason: str, tokenizer: Any
) -> None:
    _, provider = provided(family, tokenizer)
    served = serves(anyio.run(provider.capabilities))
    assert "attention" in served
    assert method not in served
    with pytest.raises(UnsupportedError, match=rf"{method} .*{reason}.* can serve: {', '.join(served)}$"):
        Explainer(provider).explain(
            "Summarise.", sources=["Allergic to latex."], output=OUTPUT, method=method
        )


class Quantised(nn.Linear):
    """As bitsandbytes and float8 checkpoints have them: the weight alone is not what is multiplied with."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=False)
        scale = linear.weight.detach().abs().amax() / 127
        self.scale = scale
        self.weight = nn.Parameter((linear.weight / scale).round().to(torch.int8), requires_grad=False)

    def forward(self, states: Tensor) -> Tensor:
        return nn.functional.linear(states, self.weight.to(states.dtype) * self.scale)


def test_no_lengths_are_made_up_from_quantised_weights(tokenizer: Any) -> None:
    model, provider = provided("llama", tokenizer)
    for layer in model.get_submodule("model.layers").children():
        attention: Any = layer.get_submodule("self_attn")
        attention.o_proj = Quantised(attention.o_proj)
    with pytest.raises(UnsupportedError, match=r"value_weighted .* quantised"):
        anyio.run(lambda: provider.attend(PROMPT, OUTPUT, AttentionQuery(reduction="value_weighted")))
