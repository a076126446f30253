"""Families that bypass the attention interface, have few attention layers or none, or sinks of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import numpy as np
import pytest
import torch
from tests.providers.huggingface.conftest import assert_whole, sharpened
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    ViTConfig,
    ViTForImageClassification,
)

from whence import (
    ContextLengthError,
    Explainer,
    HuggingFace,
    InputError,
    UnknownLayerError,
    UnsupportedError,
)
from whence.providers.base import Step
from whence.providers.errors import CaptureError, EmptyPromptError
from whence.providers.observations import AttentionQuery
from whence.providers.prompt import build_prompt

SOURCES = ["The patient is allergic to latex.", "Stopped taking warfarin."]
PROMPT = build_prompt("Summarise.", sources=SOURCES)
OUTPUT = "Allergic to latex. Stopped warfarin."
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "eos_token_id": None,
    "bos_token_id": 1,
    "pad_token_id": 0,
}
OLD = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 512, "rotary_dim": 4}
FEW: dict[str, Any] = {"num_experts": 2, "num_local_experts": 2, "num_experts_per_tok": 1, "head_dim": 8}
FAMILIES: dict[str, dict[str, Any]] = {
    "gptj": OLD,
    "falcon": {"num_kv_heads": 2, "new_decoder_architecture": True},
    "bloom": {},
    "mpt": {"d_model": 32, "n_layers": 3, "n_heads": 4},
    "gpt_oss": FEW | {"num_key_value_heads": 2},
    "jamba": {
        "num_key_value_heads": 2,
        "num_hidden_layers": 6,
        "attn_layer_period": 3,
        "attn_layer_offset": 1,
        "use_mamba_kernels": False,
        "num_experts": 2,
    },
}
TAPPED = ("gptj", "falcon", "bloom", "mpt")
Make = Callable[..., Any]


@pytest.fixture(scope="session")
def make(tokenizer: Any) -> Make:
    def make(
        family: str, auto: Any = AutoModelForCausalLM, *, attention: str | None = None, **changes: Any
    ) -> Any:
        sizes = SIZES if family not in ("gptj", "mpt") else {}
        torch.manual_seed(0)
        config = AutoConfig.for_model(
            family, **({"vocab_size": len(tokenizer)} | sizes | FAMILIES.get(family, {}) | changes)
        )
        return sharpened(auto.from_config(config, attn_implementation=attention))

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_the_row_is_that_of_the_predicting_position(make: Make, tokenizer: Any, family: str) -> None:
    provider = HuggingFace(make(family), tokenizer)
    rows = anyio.run(lambda: provider.attend(PROMPT, OUTPUT, AttentionQuery()))
    (turn,) = PROMPT.turns()
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": turn.text}], add_generation_prompt=True, return_dict=False
    )
    output = tokenizer(OUTPUT, add_special_tokens=False)["input_ids"]
    eager = make(family, attention="eager")
    with torch.no_grad():
        seen = eager(torch.tensor([[*ids, *output[:-1]]]), output_attentions=True, use_cache=False)
    layers = [layer for layer in seen.attentions if layer is not None]
    mean = torch.stack(layers).mean(dim=(0, 2))[0, len(ids) - 1 :]
    np.testing.assert_allclose(rows.rows[:, : mean.shape[1]], mean.float().numpy(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(rows.rows.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "bloom"])  # it writes only blanks
def test_what_it_writes_itself_is_explained(make: Make, tokenizer: Any, family: str) -> None:
    explainer = Explainer(HuggingFace(make(family), tokenizer))
    explanation = explainer.explain("Summarise.", sources=SOURCES, max_tokens=8)
    assert explanation.cost.output_tokens == 8
    assert_whole(explanation)
    assert explanation.matrix().min() > 0


def test_learned_sinks_are_a_column_of_their_own(make: Make, tokenizer: Any) -> None:
    model = make("gpt_oss")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "sinks" in name:
                weight.fill_(2.0)
    rows = anyio.run(lambda: HuggingFace(model, tokenizer).attend(PROMPT, OUTPUT, AttentionQuery()))
    assert (rows.keys[-1].part, rows.keys[-1].text) == ("sink", "learned sink")
    assert rows.rows[:, -1].min() > 1e-3
    np.testing.assert_allclose(rows.rows.sum(axis=1), 1, atol=1e-5)
    assert_whole(Explainer(HuggingFace(model, tokenizer)).explain("Do.", sources=SOURCES, output=OUTPUT))


@pytest.mark.parametrize("family", TAPPED)
def test_a_cancelled_pass_that_is_tapped_stops_within_one_layer(
    make: Make, tokenizer: Any, family: str
) -> None:
    names = {
        "gptj": "n_layer",
        "bloom": "num_hidden_layers",
        "falcon": "num_hidden_layers",
        "mpt": "n_layers",
    }
    provider = HuggingFace(make(family, **{names[family]: 20}), tokenizer)
    layers: list[int] = []

    async def main() -> None:
        with anyio.CancelScope() as scope:

            def report(step: Step) -> None:
                layers.append(step.done)
                if step.done == 3:
                    anyio.from_thread.run_sync(scope.cancel)

            await provider.attend(PROMPT, OUTPUT, AttentionQuery(), progress=report)
        assert scope.cancelled_caught

    anyio.run(main)
    assert layers == [0, 1, 2, 3]
    rows = anyio.run(lambda: provider.attend(PROMPT, OUTPUT, AttentionQuery()))
    np.testing.assert_allclose(rows.rows.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("family", ["gptj", "bloom", "jamba"])
def test_a_cancelled_generation_stops_within_one_token(make: Make, tokenizer: Any, family: str) -> None:
    provider = HuggingFace(make(family), tokenizer)
    written: list[int] = []

    async def main() -> None:
        with anyio.CancelScope() as scope:

            def report(step: Step) -> None:
                written.append(step.done)
                if step.done == 3:
                    anyio.from_thread.run_sync(scope.cancel)

            await provider.generate(PROMPT, max_tokens=50, seed=0, progress=report)
        assert scope.cancelled_caught

    anyio.run(main)
    assert written == [1, 2, 3]


HYBRID_CAVEAT = (
    "Attention of layers 1, 4 only: layers 0, 2, 3, 5 (JambaMambaMixer) pass on what they read in another "
    "way, which is not shown."
)


def test_a_hybrid_says_in_every_result_which_layers_it_has(make: Make, tokenizer: Any) -> None:
    explainer = Explainer(HuggingFace(make("jamba"), tokenizer))
    explanation = explainer.explain(
        "Summarise.",
        sources=SOURCES,
        output=OUTPUT,
        method=["attention", "attention_value_weighted"],
        attention=True,
    )
    assert [HYBRID_CAVEAT in result.caveats for result in explanation.results] == [True, True]
    assert_whole(explanation)
    assert explanation.attention is not None
    assert explanation.attention[0].layers == (1, 4)


def test_a_layer_without_attention_cannot_be_asked_for(make: Make, tokenizer: Any) -> None:
    explainer = Explainer(HuggingFace(make("jamba"), tokenizer))
    one = explainer.explain("Summarise.", sources=SOURCES, output=OUTPUT, layers=4)
    assert_whole(one)
    with pytest.raises(UnknownLayerError, match="unknown layer 2; known: 1, 4"):
        explainer.explain("Summarise.", sources=SOURCES, output=OUTPUT, layers=2)


def test_attention_cannot_be_followed_through_a_layer_that_has_none(make: Make, tokenizer: Any) -> None:
    explainer = Explainer(HuggingFace(make("jamba"), tokenizer))
    with pytest.raises(UnsupportedError, match=r"layers 0, 2, 3, 5 \(JambaMambaMixer\)"):
        explainer.explain("Summarise.", sources=SOURCES, output=OUTPUT, method="attention_rollout")


def test_the_attention_of_state_spaces_is_refused_with_their_layers_named(make: Make, tokenizer: Any) -> None:
    explainer = Explainer(HuggingFace(make("mamba"), tokenizer))
    named = r"MambaForCausalLM has no attention.* 0, 1, 2 \(MambaMixer\)"
    for asked in ({"method": "attention"}, {"method": "attention_rollout"}, {"attention": True}):
        with pytest.raises(UnsupportedError, match=named):
            explainer.explain("Summarise.", sources=SOURCES, output=OUTPUT, **asked)


def test_state_spaces_are_explained_by_what_changes_without_a_passage(make: Make, tokenizer: Any) -> None:
    explanation = Explainer(HuggingFace(make("mamba"), tokenizer)).explain(
        "Summarise.", sources=SOURCES, output=OUTPUT
    )
    method = explanation.results[0].method
    assert (method.name, method.family, method.access) == ("lasso", "logprob", "logprobs")
    assert [item.method for item in method.fallbacks] == [
        "attention",
        "attention_rollout",
        "attention_value_weighted",
    ]
    assert all("MambaMixer" in item.reason for item in method.fallbacks)
    assert np.abs(explanation.matrix()).max() > 0


def test_a_decoder_wants_to_be_told_what_to_do(make: Make, tokenizer: Any) -> None:
    with pytest.raises(EmptyPromptError):
        Explainer(HuggingFace(make("gptj"), tokenizer)).explain("", sources=SOURCES)


@pytest.mark.parametrize(
    ("family", "auto", "named"),
    [
        ("bert", AutoModel, "BertModel"),
        ("bert", AutoModelForTokenClassification, "BertForTokenClassification"),
        ("bert", AutoModelForQuestionAnswering, "BertForQuestionAnswering"),
        ("gpt_neox", AutoModel, "GPTNeoXModel"),
        ("bart", AutoModelForSequenceClassification, "BartForSequenceClassification"),
    ],
)
def test_a_model_without_a_head_that_is_known_is_refused_at_once(
    make: Make, tokenizer: Any, family: str, auto: Any, named: str
) -> None:
    changes = {"d_model": 32, "decoder_layers": 1, "encoder_layers": 1} if family == "bart" else {}
    model = make(family, auto, **changes)
    with pytest.raises(UnsupportedError, match=f"{named} cannot be explained; causal language models"):
        HuggingFace(model, tokenizer)


def test_a_vision_model_is_refused_at_once(tokenizer: Any) -> None:
    model = ViTForImageClassification(
        ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    )
    with pytest.raises(UnsupportedError, match="ViTForImageClassification cannot be explained"):
        HuggingFace(model, tokenizer)


def test_a_class_of_the_callers_own_is_what_it_inherits_from(make: Make, tokenizer: Any) -> None:
    model = make("falcon")
    model.__class__ = type("OurModel", (type(model),), {})
    assert_whole(Explainer(HuggingFace(model, tokenizer)).explain("Do.", sources=SOURCES, output=OUTPUT))


def test_layers_and_heads_are_checked_before_the_model_answers(make: Make, tokenizer: Any) -> None:
    explainer = Explainer(HuggingFace(make("gptj"), tokenizer))
    for parameters in ({"layers": [99]}, {"heads": [99]}, {"layers": "x"}):
        steps: list[Step] = []
        with pytest.raises((UnknownLayerError, InputError)):
            explainer.explain("Go.", sources=SOURCES, progress=steps.append, **parameters)
        assert {step.stage for step in steps} == {"load"}


def test_a_model_that_would_change_itself_for_a_short_input_is_refused_unchanged(tokenizer: Any) -> None:
    config = AutoConfig.for_model("big_bird", **SIZES, vocab_size=len(tokenizer), block_size=16)
    model = AutoModelForSequenceClassification.from_config(config)
    before = [type(module) for module in model.modules()]
    with pytest.raises(CaptureError, match="original_full"):
        Explainer(HuggingFace(model, tokenizer)).explain("", sources=SOURCES)
    assert [type(module) for module in model.modules()] == before
    assert model.config.attention_type == "block_sparse"


class Adapted(torch.nn.Module):
    """As peft wraps a projection: what an adapter adds stands beside it."""

    def __init__(self, base_layer: torch.nn.Linear) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.lora_dropout = torch.nn.Identity()
        self.lora_a = torch.nn.Linear(base_layer.in_features, 2, bias=False)
        self.lora_b = torch.nn.Linear(2, base_layer.out_features, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.base_layer(x) + self.lora_b(self.lora_a(self.lora_dropout(x)))
        return result


def test_values_through_an_adapted_projection_are_refused(tokenizer: Any, make_model: Any) -> None:
    model = make_model()
    for layer in model.model.layers:
        layer.self_attn.o_proj = Adapted(layer.self_attn.o_proj)
    explainer = Explainer(HuggingFace(model, tokenizer))
    with pytest.raises(UnsupportedError, match="adapted"):
        explainer.explain("Go.", sources=SOURCES, output=OUTPUT, method="attention_value_weighted")
    assert_whole(explainer.explain("Go.", sources=SOURCES, output=OUTPUT))


@pytest.mark.parametrize("seed", range(4))
def test_weights_that_a_model_rounds_itself_still_sum_to_one(seed: int, wordpiece: Any) -> None:
    torch.manual_seed(seed)
    sizes = SIZES | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
    config = AutoConfig.for_model("deberta-v2", **sizes, vocab_size=len(wordpiece))
    model = sharpened(AutoModelForMaskedLM.from_config(config).to(torch.bfloat16))
    explanation = Explainer(HuggingFace(model, wordpiece)).explain(
        "It is [MASK].", sources=["The patient is allergic to latex. " * 20]
    )
    assert_whole(explanation)
    outside = explanation.results[0].scores.elsewhere
    assert outside is not None


def test_a_limit_by_another_name_is_known(tokenizer: Any) -> None:
    sizes = {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 64, "vocab_size": len(tokenizer)}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("mpt", **sizes))
    provider = HuggingFace(model, tokenizer)
    assert anyio.run(provider.capabilities).context_tokens == 64
    with pytest.raises(ContextLengthError):
        Explainer(provider).explain("Go.", sources=["latex " * 100])


def test_layers_with_other_numbers_of_heads_keep_no_tensor(tokenizer: Any, make_model: Any) -> None:
    model = make_model()
    attention = model.model.layers[1].self_attn
    half = attention.q_proj.out_features // 2
    attention.q_proj = torch.nn.Linear(32, half, bias=False)
    attention.k_proj = torch.nn.Linear(32, half, bias=False)
    attention.v_proj = torch.nn.Linear(32, half, bias=False)
    attention.o_proj = torch.nn.Linear(half, 32, bias=False)
    explainer = Explainer(HuggingFace(model, tokenizer))
    assert_whole(explainer.explain("Go.", sources=SOURCES, output=OUTPUT))
    with pytest.raises(UnsupportedError, match="2 or 4 heads"):
        explainer.explain("Go.", sources=SOURCES, output=OUTPUT, attention=True)
