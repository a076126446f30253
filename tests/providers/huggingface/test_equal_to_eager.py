"""What we observe equals transformers' own eager attention. A new family is one line in FAMILIES."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from whence.providers.huggingface.attention import RowCollector, attention_weights, collect_rows

TOLERANCE = 1e-5
VOCABULARY, LENGTH, ROWS = 97, 150, 70  # more rows than are held at a time

SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,  # grouped queries
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 256},
    "llama": SMALL,
    "qwen2": SMALL,
    "qwen3": SMALL | {"head_dim": 16},
    "mistral": SMALL | {"sliding_window": 20},
    "gemma2": SMALL | {"head_dim": 8, "sliding_window": 20, "attn_logit_softcapping": 2.0},
    "phi3": SMALL,
    "mixtral": SMALL | {"num_local_experts": 2, "sliding_window": None},
}
PADDINGS = ("unpadded", "right", "left")


def build(family: str) -> PreTrainedModel:
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(family, **FAMILIES[family]), attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "q_proj" in name or "k_proj" in name or "qkv" in name or "c_attn" in name:
                weight.mul_(8)  # small random weights attend almost uniformly: nothing to get wrong
    return model


def inputs_with(padding: str) -> dict[str, torch.Tensor]:
    ids = torch.randint(3, VOCABULARY, (2, LENGTH), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    if padding == "right":
        mask[1, -30:] = 0
    if padding == "left":
        mask[1, :30] = 0
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    return {"input_ids": ids, "attention_mask": mask, "position_ids": positions}


def eager_attention(model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Layers x batch x heads x queries x keys."""
    model.set_attn_implementation("eager")
    with torch.no_grad():
        attentions = model(**inputs, output_attentions=True, use_cache=False).attentions
    assert len(attentions) == 3
    return torch.stack(attentions)


def collect(model: PreTrainedModel, inputs: dict[str, torch.Tensor], **choice: Any) -> torch.Tensor:
    collector = RowCollector(
        rows=ROWS, layers=choice.get("layers"), heads=choice.get("heads"), on_layer=lambda _: None
    )
    rows, _ = collect_rows(model, inputs, collector)
    return rows


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_rows_equal_the_mean_of_eager_attention(family: str, padding: str) -> None:
    model, inputs = build(family), inputs_with(padding)
    eager = eager_attention(model, inputs)
    wanted = eager.mean(dim=(0, 2))[:, -ROWS:]
    assert eager.amax() > 0.3, "the attention is too even for this test to find anything"
    model.set_attn_implementation("sdpa" if model._supports_sdpa else "eager")
    rows = collect(model, inputs)
    real = inputs["attention_mask"][:, -ROWS:].bool()
    torch.testing.assert_close(rows[real], wanted[real], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_chosen_layers_and_heads_equal_eager(family: str) -> None:
    model, inputs = build(family), inputs_with("unpadded")
    wanted = eager_attention(model, inputs)[[0, 2]][:, :, [1, 3], -ROWS:].mean(dim=(0, 2))
    rows = collect(model, inputs, layers=frozenset({0, 2}), heads=(1, 3))
    torch.testing.assert_close(rows, wanted, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_model_computes_the_same_while_it_is_observed(family: str) -> None:
    model, inputs = build(family), inputs_with("left")
    with torch.no_grad():
        wanted = model(**inputs, use_cache=False).logits[:, -ROWS:]
    collector = RowCollector(rows=ROWS, layers=None, heads=None, on_layer=lambda _: None)
    _, logits = collect_rows(model, inputs, collector)
    real = inputs["attention_mask"][:, -ROWS:].bool()
    torch.testing.assert_close(logits[real], wanted[real], atol=1e-4, rtol=1e-4)


def test_the_sliding_window_is_shorter_than_the_input() -> None:
    rows = collect(build("mistral"), inputs_with("unpadded"))
    assert torch.count_nonzero(rows[0, -1]) == 20


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_of_half_precision_are_computed_in_full(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = ((torch.randn(1, 2, 40, 64, generator=generator) * 6).to(dtype) for _ in range(2))
    scores = query.double() @ key.double().transpose(-1, -2) / 8
    expected = scores.masked_fill(~torch.ones(40, 40).tril().bool(), float("-inf")).softmax(-1)
    weights = attention_weights(query, key, None, 1 / 8, None, rows=slice(0, 40))
    torch.testing.assert_close(weights.double(), expected, atol=TOLERANCE, rtol=0)
