"""What we observe equals transformers' own eager attention. A new family is one line in FAMILIES."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    PreTrainedModel,
)

from whence.providers.errors import CaptureError
from whence.providers.huggingface.anatomy import Anatomy, Place, examine
from whence.providers.huggingface.attention import Observer
from whence.providers.huggingface.calls import Call, Products
from whence.providers.huggingface.following import silent_notes
from whence.providers.huggingface.passes import run
from whence.providers.huggingface.reductions import Mean, Wanted

TOLERANCE = 1e-5
VOCABULARY, LENGTH, WRITTEN, ROWS = 97, 150, 90, 70  # more rows than are held at a time
PADDINGS = ("unpadded", "right", "left")
SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GROUPED = SMALL | {"num_key_value_heads": 2}
OLD: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
HALVES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "decoder_start_token_id": 2,
}
T5: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 4,
    "pad_token_id": 0,
    "decoder_start_token_id": 0,
}
RELATIVE = SMALL | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
MOE = GROUPED | {
    "num_experts": 2,
    "num_experts_per_tok": 1,
    "num_local_experts": 2,
    "moe_intermediate_size": 16,
}

FAMILIES: dict[str, tuple[Any, dict[str, Any]]] = {
    # read only
    "bert": (AutoModelForMaskedLM, SMALL),
    "roberta": (AutoModelForMaskedLM, SMALL),
    "xlm-roberta": (AutoModelForMaskedLM, SMALL),
    "distilbert": (AutoModelForMaskedLM, SMALL | {"dim": 32, "hidden_dim": 48, "n_layers": 3, "n_heads": 4}),
    "albert": (AutoModelForMaskedLM, SMALL | {"embedding_size": 16}),
    "deberta": (AutoModelForMaskedLM, RELATIVE),
    "deberta-v2": (AutoModelForMaskedLM, RELATIVE | {"position_buckets": 16, "share_att_key": True}),
    "electra": (AutoModelForMaskedLM, SMALL | {"embedding_size": 32}),
    "modernbert": (AutoModelForMaskedLM, SMALL | {"local_attention": 20, "global_attn_every_n_layers": 2}),
    "mpnet": (AutoModelForMaskedLM, SMALL),
    "roformer": (AutoModelForMaskedLM, SMALL | {"embedding_size": 32}),
    # write only
    "gpt2": (AutoModelForCausalLM, OLD),
    "gpt_neo": (
        AutoModelForCausalLM,
        SMALL
        | {"num_layers": 3, "num_heads": 4, "attention_types": [[["global", "local", "global"], 1]]}
        | {"window_size": 20},
    ),
    "gptj": (AutoModelForCausalLM, OLD | {"rotary_dim": 4}),
    "codegen": (AutoModelForCausalLM, OLD | {"rotary_dim": 4}),
    "gpt_neox": (AutoModelForCausalLM, SMALL),
    "opt": (AutoModelForCausalLM, SMALL | {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "bloom": (AutoModelForCausalLM, SMALL | {"n_layer": 3, "n_head": 4}),
    "falcon": (AutoModelForCausalLM, SMALL | {"num_kv_heads": 2, "new_decoder_architecture": True}),
    "mpt": (AutoModelForCausalLM, {"vocab_size": VOCABULARY, "d_model": 32, "n_layers": 3, "n_heads": 4}),
    "llama": (AutoModelForCausalLM, GROUPED),
    "mistral": (AutoModelForCausalLM, GROUPED | {"sliding_window": 20}),
    "qwen2": (AutoModelForCausalLM, GROUPED),
    "qwen3": (AutoModelForCausalLM, GROUPED | {"head_dim": 16}),
    "gemma": (AutoModelForCausalLM, GROUPED | {"head_dim": 8}),
    "gemma2": (
        AutoModelForCausalLM,
        GROUPED | {"head_dim": 8, "sliding_window": 20, "attn_logit_softcapping": 2.0},
    ),
    "gemma3_text": (AutoModelForCausalLM, GROUPED | {"head_dim": 8, "sliding_window": 20}),
    "phi": (AutoModelForCausalLM, SMALL),
    "phi3": (AutoModelForCausalLM, GROUPED),
    "mixtral": (AutoModelForCausalLM, MOE | {"sliding_window": None}),
    "qwen3_moe": (AutoModelForCausalLM, MOE | {"head_dim": 8}),
    "gpt_oss": (AutoModelForCausalLM, MOE | {"head_dim": 8, "sliding_window": 20}),
    "deepseek_v3": (
        AutoModelForCausalLM,
        SMALL
        | {"first_k_dense_replace": 3, "kv_lora_rank": 8, "q_lora_rank": 16, "qk_rope_head_dim": 4}
        | {"qk_nope_head_dim": 8, "v_head_dim": 8, "num_key_value_heads": 4, "initializer_range": 0.2},
    ),
    "olmo2": (AutoModelForCausalLM, GROUPED),
    "granite": (AutoModelForCausalLM, GROUPED),
    "stablelm": (AutoModelForCausalLM, GROUPED),
    # read, then write
    "t5": (AutoModelForSeq2SeqLM, T5),
    "umt5": (AutoModelForSeq2SeqLM, T5),
    "bart": (AutoModelForSeq2SeqLM, HALVES),
    "mbart": (AutoModelForSeq2SeqLM, HALVES),
    "marian": (AutoModelForSeq2SeqLM, HALVES | {"decoder_vocab_size": VOCABULARY}),
    "pegasus": (AutoModelForSeq2SeqLM, HALVES),
    "m2m_100": (AutoModelForSeq2SeqLM, HALVES),
    "blenderbot": (AutoModelForSeq2SeqLM, HALVES),
    "fsmt": (
        AutoModelForSeq2SeqLM,
        HALVES | {"langs": ["en", "de"], "src_vocab_size": VOCABULARY, "tgt_vocab_size": VOCABULARY},
    ),
}
QUERIES = (
    "q_proj",
    "k_proj",
    "qkv",
    "c_attn",
    "query",
    "key",
    "q_lin",
    "k_lin",
    "in_proj",
    ".q.",
    ".k.",
    "Wqkv",
)
TAPPED = {
    "deberta",
    "deberta-v2",
    "mpnet",
    "roformer",
    "gpt_neo",
    "gptj",
    "codegen",
    "bloom",
    "falcon",
    "mpt",
    "fsmt",
}


def build(family: str) -> PreTrainedModel:
    torch.manual_seed(0)
    auto, sizes = FAMILIES[family]
    sharpness = 1 if sizes is T5 else 12  # scores that are not scaled are large enough
    config = AutoConfig.for_model(family, **sizes)
    model: PreTrainedModel = auto.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if any(part in name for part in QUERIES):
                weight.mul_(sharpness)  # small random weights attend almost uniformly: nothing to get wrong
            if "sinks" in name:
                weight.normal_(1.0)
    return model


def inputs_with(model: PreTrainedModel, padding: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, VOCABULARY, (2, LENGTH), generator=generator)
    mask = torch.ones_like(ids)
    if padding == "right":
        mask[1, -30:] = 0
    if padding == "left":
        mask[1, :30] = 0
    inputs = {"input_ids": torch.where(mask.bool(), ids, 0), "attention_mask": mask}
    if model.config.is_encoder_decoder:
        written = torch.randint(3, VOCABULARY, (2, WRITTEN), generator=generator)
        inputs["decoder_input_ids"] = written
    return inputs


def eager_attention(model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> dict[str, list[torch.Tensor]]:
    """For each block its layers, each batch x heads x queries x keys."""
    with torch.no_grad():
        output = model(**inputs, output_attentions=True, use_cache=False)
    if model.config.is_encoder_decoder:
        return {
            "encoder": list(output.encoder_attentions),
            "decoder": list(output.decoder_attentions),
            "cross": list(output.cross_attentions),
        }
    return {"only": list(output.attentions)}


class Keeper(Observer):
    """Keeps every weight of every call."""

    def __init__(self) -> None:
        super().__init__(lambda: None)
        self.seen: list[torch.Tensor] = []

    def observe(self, call: Call) -> None:
        self.seen.append(call.weights(slice(None)).clone())


class Combining(Observer):
    def __init__(self, anatomy: Anatomy, wanted: Wanted) -> None:
        super().__init__(lambda: None)
        self.places, self.mean = iter(anatomy.places), Mean(wanted)

    def observe(self, call: Call) -> None:
        place = next(self.places)
        assert place is not None
        self.mean.take(place, call)


def observed(
    model: PreTrainedModel, inputs: dict[str, torch.Tensor]
) -> tuple[Anatomy, dict[str, list[Any]], Any]:
    anatomy = examine(model, list(range(10, 20)))
    keeper = Keeper()
    output = run(model, inputs, keeper, via=anatomy.via)
    by_block: dict[str, list[Any]] = {}
    for place, weights in zip(anatomy.places, keeper.seen, strict=True):
        if place is not None:
            by_block.setdefault(place.block, []).append((place.layer, weights))
    return anatomy, by_block, output


def real(inputs: dict[str, torch.Tensor], queries: int) -> torch.Tensor:
    """Which rows are not those of padding."""
    mask = inputs["attention_mask"].bool()
    return mask if mask.shape[1] == queries else torch.ones(2, queries, dtype=torch.bool)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_weight_equals_eager_attention(family: str, padding: str) -> None:
    model = build(family)
    inputs = inputs_with(model, padding)
    expected = eager_attention(model, inputs)
    for layers in expected.values():
        sharpest = max(float(layer[:, :, -1].amax()) * layer.shape[-1] for layer in layers)
        assert sharpest > 2, "all weights are nearly the same, and this test could find no fault"
    if model._supports_sdpa:
        model.set_attn_implementation("sdpa")
    anatomy, by_block, output = observed(model, inputs)
    assert anatomy.via == ("tap" if family in TAPPED else "interface")
    if "only" in expected:
        (block,) = by_block
        assert block == ("decoder" if FAMILIES[family][0] is AutoModelForCausalLM else "encoder")
        expected = {block: expected["only"]}
    assert by_block.keys() == expected.keys()
    for block, layers in expected.items():
        assert [layer for layer, _ in by_block[block]] == list(range(len(layers)))
        for wanted, (_, weights) in zip(layers, by_block[block], strict=True):
            rows = real(inputs, wanted.shape[2])
            torch.testing.assert_close(
                weights.transpose(1, 2)[rows], wanted.transpose(1, 2)[rows].float(), atol=TOLERANCE, rtol=0
            )
    with torch.no_grad():
        plain = model(**inputs, use_cache=False).logits
    rows = real(inputs, plain.shape[1])
    torch.testing.assert_close(output.logits[rows], plain[rows], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt_oss", "gptj", "bert", "deberta-v2", "t5", "bart"])
def test_chosen_layers_and_heads_equal_eager(family: str) -> None:
    model = build(family)
    inputs = inputs_with(model, "unpadded")
    expected = eager_attention(model, inputs)
    anatomy = examine(model, list(range(10, 20)))
    block = "cross" if "cross" in expected else anatomy.blocks[0]
    layers = torch.stack(expected.get(block, expected.get("only", [])))
    first = layers.shape[3] - ROWS
    combining = Combining(
        anatomy, Wanted(block=block, rows=torch.arange(first, first + ROWS), layers=(0, 2), heads=(1, 3))
    )
    run(model, inputs, combining, via=anatomy.via)
    wanted = layers[[0, 2]][:, :, [1, 3], first:].mean(dim=(0, 2))
    torch.testing.assert_close(combining.mean.rows(), wanted, atol=TOLERANCE, rtol=0)


def test_the_sliding_window_is_shorter_than_the_input() -> None:
    model = build("mistral")
    _, by_block, _ = observed(model, inputs_with(model, "unpadded"))
    assert torch.count_nonzero(by_block["decoder"][0][1][0, 0, -1]) == 20


def test_learned_sinks_take_a_part_of_each_row() -> None:
    model = build("gpt_oss")
    _, by_block, _ = observed(model, inputs_with(model, "unpadded"))
    assert (by_block["decoder"][0][1].sum(dim=-1).amin(dim=-1) < 0.9).all()


STATES = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 3}
HYBRID = GROUPED | {
    "attn_layer_period": 2,
    "attn_layer_offset": 1,
    "use_mamba_kernels": False,
    "num_experts": 2,
}


@pytest.mark.parametrize(
    ("family", "sizes", "named"),
    [
        ("mamba", STATES | {"state_size": 4}, r"MambaForCausalLM.*layers 0, 1, 2 \(MambaMixer\)"),
        ("rwkv", STATES, r"RwkvForCausalLM.*layers 0, 1, 2 \(RwkvSelfAttention\)"),
    ],
)
def test_a_model_without_attention_is_refused_with_its_layers_named(
    family: str, sizes: dict[str, Any], named: str
) -> None:
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **sizes))
    with pytest.raises(CaptureError, match=named):
        examine(model, list(range(10, 20)))


def test_a_hybrid_has_the_layers_that_it_has() -> None:
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("jamba", **HYBRID))
    anatomy = examine(model, list(range(10, 20)))
    assert anatomy.layers("decoder") == (1,)
    assert anatomy.silent == {"decoder": {0: "JambaMambaMixer", 2: "JambaMambaMixer"}}


def test_half_a_model_that_cannot_be_observed_is_said() -> None:
    sizes = HALVES | {"attention_window": 8, "max_encoder_position_embeddings": 256}
    model = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model("led", **sizes))
    anatomy = examine(model, list(range(10, 20)))
    assert anatomy.blocks == ("decoder", "cross")
    (note,) = silent_notes(anatomy, "cross")
    assert "within the encoder cannot be observed" in note
    assert silent_notes(examine(build("bart"), list(range(10, 20))), "cross") == ()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_of_half_precision_are_computed_in_full(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = ((torch.randn(1, 2, 40, 64, generator=generator) * 6).to(dtype) for _ in range(2))
    scores = query.double() @ key.double().transpose(-1, -2) / 8
    expected = scores.masked_fill(~torch.ones(40, 40).tril().bool(), float("-inf")).softmax(-1)
    call = Products(query=query, key=key, value=key, mask=None, causal=True, scale=1 / 8)
    torch.testing.assert_close(call.weights(slice(0, 40)).double(), expected, atol=TOLERANCE, rtol=0)


def test_a_place_knows_what_takes_up_its_output() -> None:
    model = build("bert")
    places = [place for place in examine(model, list(range(10, 20))).places if isinstance(place, Place)]
    layers: Any = model.get_submodule("bert.encoder.layer")
    expected = [layer.attention.output.dense for layer in layers]
    assert [place.projection for place in places] == expected
