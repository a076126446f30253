"""Classifiers: the label is explained by the rows of the positions that the classifier looks at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio
import numpy as np
import pytest
import torch
from tests.providers.huggingface.conftest import assert_whole, by_segment, sharpened
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    LlamaForSequenceClassification,
    RobertaTokenizer,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from whence import ContextLengthError, Explainer, Explanation, HuggingFace, InputError, UnsupportedError
from whence.providers.errors import ProviderError

SOURCE = "The patient is allergic to latex. Stopped taking warfarin. No fever."
LABELS = {0: "urgent", 1: "routine", 2: "unclear"}
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 514,
    "pad_token_id": 0,
    "id2label": LABELS,
}
FAMILIES: dict[str, tuple[str, dict[str, Any], str]] = {
    "bert": ("bert", {}, "first"),
    "distilbert": (
        "distilbert",
        {"dim": 32, "hidden_dim": 48, "n_layers": 3, "n_heads": 4},
        "first",
    ),
    "albert": ("albert", {"embedding_size": 16}, "first"),
    "roberta": ("roberta", {"pad_token_id": 1}, "first"),
    "electra": ("electra", {"embedding_size": 32}, "first"),
    "deberta-v2": ("deberta-v2", {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}, "first"),
    "flaubert": ("flaubert", {"emb_dim": 32, "n_layers": 3, "n_heads": 4}, "first"),
    "modernbert by its first": ("modernbert", {"classifier_pooling": "cls"}, "first"),
    "modernbert by the mean": ("modernbert", {"classifier_pooling": "mean"}, "mean"),
    "llama": ("llama", {"num_key_value_heads": 2}, "last"),
    "gpt2": ("gpt2", {"n_embd": 32, "n_layer": 3, "n_head": 4}, "last"),
    "bloom": ("bloom", {"n_layer": 3, "n_head": 4}, "last"),
}


@dataclass(frozen=True)
class Case:
    model: Any
    tokenizer: Any
    pooled: str

    @property
    def explainer(self) -> Explainer:
        return Explainer(HuggingFace(self.model, self.tokenizer))

    def explain(self, prompt: str = "", **options: Any) -> Explanation:
        return self.explainer.explain(prompt, **({"sources": [SOURCE]} | options))

    def eager(self, text: str) -> tuple[Any, torch.Tensor, torch.Tensor]:
        """The offsets of what is read, the row that explains the label, and the scores."""
        encoded = self.tokenizer(text, return_offsets_mapping=True)
        own = self.model.config._attn_implementation
        self.model.set_attn_implementation("eager")
        with torch.no_grad():
            output = self.model(torch.tensor([encoded["input_ids"]]), output_attentions=True)
        self.model.set_attn_implementation(own)
        rows = torch.stack(output.attentions).mean(dim=(0, 2))[0]
        row = {"first": rows[0], "last": rows[-1], "mean": rows.mean(dim=0)}[self.pooled]
        return encoded["offset_mapping"], row, output.logits[0]


@pytest.fixture(scope="module")
def case_of(wordpiece: Any, byte_level: Callable[..., Any]) -> Callable[..., Case]:
    def make(name: str, **changes: Any) -> Case:
        family, sizes, pooled = FAMILIES[name]
        tokenizer = byte_level(RobertaTokenizer) if family == "roberta" else wordpiece
        torch.manual_seed(0)
        config = AutoConfig.for_model(family, **(SIZES | {"vocab_size": len(tokenizer)} | sizes | changes))
        model = AutoModelForSequenceClassification.from_config(config)
        return Case(sharpened(model), tokenizer, pooled)

    return make


@pytest.fixture(params=FAMILIES)
def case(request: pytest.FixtureRequest, case_of: Callable[..., Case]) -> Case:
    return case_of(request.param)


@pytest.mark.parametrize("prompt", ["", "Is it urgent?"])
def test_the_label_is_explained_by_the_row_of_the_pooled_position(case: Case, prompt: str) -> None:
    text = f"{SOURCE}\n\n{prompt}" if prompt else SOURCE
    offsets, row, scores = case.eager(text)
    explanation = case.explain(prompt, segment_by="word", method=["attention", "attention_rollout"])
    label = int(scores.argmax())
    assert explanation.output.text == LABELS[label]
    assert not explanation.output.given
    tokens = explanation.output.tokens
    assert tokens is not None
    assert tokens[0].logprob_nats == pytest.approx(float(scores.log_softmax(-1)[label]), abs=1e-4)
    wanted = [by_segment(explanation, text, offsets, row)]
    np.testing.assert_allclose(explanation.matrix(), wanted, rtol=0, atol=1e-5)
    assert np.ptp(explanation.matrix()) > 0.01
    assert_whole(explanation)


def test_a_given_label_has_the_same_row_and_its_own_probability(case: Case) -> None:
    _, _, scores = case.eager(SOURCE)
    chosen = case.explain()
    for number, label in LABELS.items():
        explanation = case.explain(output=label)
        assert explanation.matrix().tolist() == chosen.matrix().tolist()
        tokens = explanation.output.tokens
        assert tokens is not None
        assert tokens[0].logprob_nats == pytest.approx(float(scores.log_softmax(-1)[number]), abs=1e-4)


def test_an_unknown_label_is_answered_with_those_there_are(case: Case) -> None:
    with pytest.raises(InputError, match="urgent, routine, unclear"):
        case.explain(output="Urgent")


def test_the_row_that_explains_the_label_is_named_in_the_tensor_unless_it_is_a_mean(case: Case) -> None:
    explanation = case.explain(attention=True)
    assert explanation.attention is not None
    (block,) = explanation.attention
    assert block.name == ("decoder" if case.pooled == "last" else "encoder")
    last = len(block.queries) - 1
    assert block.explaining == {"first": (0,), "last": (last,), "mean": ()}[case.pooled]


@pytest.mark.parametrize("name", ["bert", "modernbert by the mean", "llama"])
def test_several_labels_at_once_are_probabilities_of_their_own(
    case_of: Callable[..., Case], name: str
) -> None:
    case = case_of(name, problem_type="multi_label_classification")
    _, _, scores = case.eager(SOURCE)
    for number, label in LABELS.items():
        tokens = case.explain(output=label).output.tokens
        assert tokens is not None
        assert tokens[0].logprob_nats == pytest.approx(float(scores[number].sigmoid().log()), abs=1e-4)


@pytest.mark.parametrize("changes", [{"id2label": {0: "dose"}}, {"problem_type": "regression"}])
def test_a_number_is_no_label(case_of: Callable[..., Case], changes: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match="regression"):
        case_of("bert", **changes).explain()


def test_a_label_may_have_blanks_around_it(case_of: Callable[..., Case]) -> None:
    case = case_of("bert", id2label={0: " urgent", 1: " routine "})
    assert case.explain().output.text.strip() in ("urgent", "routine")
    assert case.explain(output="routine").output.text == "routine"


def test_where_the_end_token_is_padding_too_the_last_token_is_the_one_before_it(
    case_of: Callable[..., Case],
) -> None:
    case = case_of("llama")
    case.model.config.pad_token_id = case.tokenizer.sep_token_id  # the last of every input
    offsets, _, _ = case.eager(SOURCE)
    explanation = case.explain(attention=True)
    assert explanation.attention is not None
    assert explanation.attention[0].explaining == (len(offsets) - 2,)


class Maximum(BertForSequenceClassification):
    """Takes the greatest of all positions."""

    def forward(self, input_ids: Any = None, **kwargs: Any) -> SequenceClassifierOutput:
        states = self.bert(input_ids, **kwargs)[0]
        return SequenceClassifierOutput(logits=self.classifier(self.pool(states)))

    def pool(self, states: torch.Tensor) -> torch.Tensor:
        return states.amax(dim=1)


class Attentive(Maximum):
    """Takes all positions, each as much as it seems to matter."""

    def pool(self, states: torch.Tensor) -> torch.Tensor:
        return (states.mean(dim=-1).softmax(dim=-1).unsqueeze(-1) * states).sum(dim=1)


class Second(Maximum):
    """Takes the position after the first."""

    def pool(self, states: torch.Tensor) -> torch.Tensor:
        return states[:, 1]


class Untied(Maximum):
    """Looks at nothing."""

    def pool(self, states: torch.Tensor) -> torch.Tensor:
        return torch.ones(1, states.shape[-1])


@pytest.mark.parametrize("kind", [Maximum, Attentive, Second, Untied])
def test_other_pooling_is_refused(wordpiece: Any, kind: Any) -> None:
    model = kind(BertConfig(vocab_size=len(wordpiece), **SIZES))
    with pytest.raises(UnsupportedError, match=f"{kind.__name__} pools"):
        Explainer(HuggingFace(model, wordpiece)).explain("", sources=[SOURCE])
    assert all(not module._forward_hooks for module in model.modules())
    assert model.training


@pytest.mark.parametrize(("family", "limit"), [("roberta", 512), ("bert", 514)])
def test_the_positions_kept_for_padding_are_not_counted(
    case_of: Callable[..., Case], family: str, limit: int
) -> None:
    case = case_of(family)
    words = ["a"] * (limit - 2)
    # It is read twice: to choose the label, and to observe the attention behind it.
    assert case.explain(sources=[" ".join(words)]).cost.input_tokens == 2 * limit + 1
    with pytest.raises(ContextLengthError) as caught:
        case.explain(sources=[" ".join([*words, "a"])])
    assert (caught.value.tokens, caught.value.limit_tokens) == (limit + 1, limit)
    # Whole sentences are left out.
    cut = case.explain(sources=[" ".join(words[:-1]) + "\nNo fever."], truncate=True)
    assert cut.cost.input_tokens in (2 * limit - 1, 2 * limit + 1)  # a line break may be a token
    assert_whole(cut)


def test_damaged_weights_are_an_error_and_no_label(case_of: Callable[..., Case]) -> None:
    case = case_of("bert")
    provider = HuggingFace(case.model, case.tokenizer)
    anyio.run(provider.capabilities)
    with torch.no_grad():
        case.model.classifier.weight.fill_(float("nan"))
    with pytest.raises(ProviderError, match="finite"):
        Explainer(provider).explain("", sources=[SOURCE])


def test_layers_that_share_their_weights_are_told_apart(case_of: Callable[..., Case]) -> None:
    case = case_of("albert")
    explanation = case.explain(layers=[0, 2], heads=[1])
    own = case.model.config._attn_implementation
    case.model.set_attn_implementation("eager")
    with torch.no_grad():
        encoded = case.tokenizer(SOURCE, return_offsets_mapping=True)
        seen = case.model(torch.tensor([encoded["input_ids"]]), output_attentions=True).attentions
    case.model.set_attn_implementation(own)
    row = (seen[0][0, 1, 0] + seen[2][0, 1, 0]) / 2
    wanted = [by_segment(explanation, SOURCE, encoded["offset_mapping"], row)]
    np.testing.assert_allclose(explanation.matrix(), wanted, rtol=0, atol=1e-5)


def test_the_first_word_of_a_record_is_no_sink(tokenizer: Any) -> None:
    sizes = {"n_embd": 32, "n_layer": 3, "n_head": 4, "vocab_size": len(tokenizer), "pad_token_id": 0}
    torch.manual_seed(0)
    config = AutoConfig.for_model("gpt2", **sizes, num_labels=2)
    model = AutoModelForSequenceClassification.from_config(config)
    explanation = Explainer(HuggingFace(model, tokenizer)).explain(
        "", sources=["latex is what she is allergic to"], segment_by="word"
    )
    outside = explanation.results[0].scores.elsewhere
    assert outside is not None
    assert explanation.matrix()[0, 0] > 0
    assert outside[0].sink == 0


@pytest.mark.parametrize("method", ["leave_one_out", "lasso", "shapley"])
@pytest.mark.parametrize("maker", [BertForSequenceClassification, LlamaForSequenceClassification])
def test_a_label_is_explained_by_taking_everything_away(method: str, maker: Any, tokenizer: Any) -> None:
    # This tokenizer adds nothing to a text: of an empty one no token is left.
    config = maker.config_class(
        **SIZES | {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    )
    provider = HuggingFace(maker(config).eval(), tokenizer)
    explanation = Explainer(provider).explain("", sources=["fever"], method=method)
    assert np.isfinite(explanation.matrix()).all()
    assert explanation.results[0].scores.unit == "nats"
