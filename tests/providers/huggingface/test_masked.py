"""Masked language models: each line of the output is a mask, explained by the row of its position."""

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
    AutoModelForMaskedLM,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)

from whence import ContextLengthError, Explainer, Explanation, HuggingFace, InputError
from whence.explain.schema import TargetKind
from whence.providers.huggingface.encoding import encode_prompt
from whence.providers.prompt import build_prompt

SOURCES = ["The patient is allergic to latex. Stopped taking warfarin.", "Discharged home. No fever."]
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 130,
    "pad_token_id": 0,
}
DISTIL = {"dim": 32, "hidden_dim": 48, "n_layers": 3, "n_heads": 4}
RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {},
    "distilbert": DISTIL,
    "modernbert": {"local_attention": 20, "global_attn_every_n_layers": 2},
    "albert": {"embedding_size": 16},
    "roberta": {"pad_token_id": 1},
    "xlm-roberta": {"pad_token_id": 1},
    "deberta-v2": RELATIVE,
}


@dataclass(frozen=True)
class Case:
    model: Any
    tokenizer: Any

    @property
    def mask(self) -> str:
        mask: str = self.tokenizer.mask_token
        return mask

    @property
    def explainer(self) -> Explainer:
        return Explainer(HuggingFace(self.model, self.tokenizer))

    def explain(self, prompt: str, **options: Any) -> Explanation:
        return self.explainer.explain(prompt.replace("_", self.mask), **({"sources": SOURCES} | options))

    def eager(self, prompt: str) -> tuple[str, list[Any], list[int], Any, torch.Tensor]:
        """What is read, its offsets, the masked positions, and for each position its row and its scores."""
        text = "\n\n".join([*SOURCES, prompt.replace("_", self.mask)])
        encoded = self.tokenizer(text, return_offsets_mapping=True)
        ids = encoded["input_ids"]
        own = self.model.config._attn_implementation
        self.model.set_attn_implementation("eager")
        with torch.no_grad():
            output = self.model(torch.tensor([ids]), output_attentions=True)
        self.model.set_attn_implementation(own)
        rows = torch.stack(output.attentions).mean(dim=(0, 2))[0]
        masks = [i for i, token in enumerate(ids) if token == self.tokenizer.mask_token_id]
        return text, encoded["offset_mapping"], masks, rows, torch.log_softmax(output.logits[0].float(), -1)


@pytest.fixture(scope="module")
def case_of(
    wordpiece: Any, byte_level: Callable[..., Any], unigram: Callable[..., Any]
) -> Callable[[str], Case]:
    def make(family: str) -> Case:
        tokenizer = wordpiece
        if family == "roberta":
            tokenizer = byte_level(RobertaTokenizer)
        if family == "xlm-roberta":
            tokenizer = XLMRobertaTokenizer(vocab=unigram("<s>", "<pad>", "</s>", "<unk>", "<mask>"))
        torch.manual_seed(0)
        config = AutoConfig.for_model(family, vocab_size=len(tokenizer), **(SIZES | FAMILIES[family]))
        return Case(sharpened(AutoModelForMaskedLM.from_config(config)), tokenizer)

    return make


@pytest.fixture(params=FAMILIES)
def case(request: pytest.FixtureRequest, case_of: Callable[[str], Case]) -> Case:
    return case_of(request.param)


@pytest.mark.parametrize("prompt", ["The diagnosis is _.", "The _ is allergic to _, and has no _"])
@pytest.mark.parametrize("target_by", ["sentence", "word", "token"])
def test_each_mask_is_a_target_explained_by_its_own_row(
    case: Case, prompt: str, target_by: TargetKind
) -> None:
    text, offsets, masks, rows, logprobs = case.eager(prompt)
    lines = ["patient", "was", "no"][: len(masks)]
    output = "\n".join(lines)
    given = case.explain(prompt, output=output, target_by=target_by, segment_by="word")
    assert [given.target_text(t).strip() for t in range(len(given.output.targets))] == lines
    wanted = [by_segment(given, text, offsets, rows[mask]) for mask in masks]
    np.testing.assert_allclose(given.matrix(), wanted, rtol=0, atol=1e-5)
    assert_whole(given)
    assert np.ptp(given.matrix()) > 0.01
    tokens = given.output.tokens
    assert tokens is not None
    for token, line, mask in zip(tokens, lines, masks, strict=True):
        assert output[token.start : token.end] == line
        ids = case.tokenizer(f" {line}", add_special_tokens=False)["input_ids"]
        assert len(ids) == 1
        assert token.logprob_nats == pytest.approx(float(logprobs[mask, ids[0]]), abs=1e-4)


def test_what_it_fills_in_is_the_most_probable_word_that_can_be_seen(case: Case) -> None:
    prompt = "The _ is allergic to _."
    _, _, masks, _, logprobs = case.eager(prompt)
    explanation = case.explain(prompt)
    assert not explanation.output.given
    tokens = explanation.output.tokens
    assert tokens is not None
    special = set(case.tokenizer.all_special_ids)
    for mask, token, line in zip(masks, tokens, explanation.output.text.split("\n"), strict=True):
        ranked = [int(i) for i in logprobs[mask].argsort(descending=True) if int(i) not in special]
        words = [case.tokenizer.decode([i]).strip() for i in ranked]
        best = next(i for i, word in enumerate(words) if word.strip("\ufffd"))
        assert line == words[best]
        assert token.logprob_nats == pytest.approx(float(logprobs[mask, ranked[best]]), abs=1e-4)


@pytest.mark.parametrize("seen", ["\ufffd", ""], ids=["a byte of a character", "a blank"])
def test_what_cannot_be_seen_fills_no_mask(case_of: Callable[[str], Case], seen: str) -> None:
    case = case_of("roberta")
    ids = range(5, len(case.tokenizer))
    unseen = next(i for i in ids if case.tokenizer.decode([i]).strip() == seen)
    with torch.no_grad():
        case.model.lm_head.bias[unseen] = 1000.0
    filled = case.explain("It is _.").output.text
    assert filled.strip("\ufffd").strip()


@pytest.mark.parametrize("output", [".\n,\nDr.", "1.\n2.\n("])
def test_lines_without_a_letter_are_targets_too(case_of: Callable[[str], Case], output: str) -> None:
    case = case_of("roberta")
    case.tokenizer.add_tokens(["Dr.", "1.", "2."])
    case.model.resize_token_embeddings(len(case.tokenizer))
    for target_by in ("sentence", "token"):
        explanation = case.explain("_ and _ and _", output=output, target_by=target_by)
        assert len(explanation.output.targets) == 3


def test_without_a_mask_it_says_how_to_write_one(case: Case) -> None:
    with pytest.raises(InputError, match="in the prompt where a word is wanted") as caught:
        case.explain("The diagnosis is unknown.")
    assert f"write {case.mask} in" in str(caught.value)


@pytest.mark.parametrize("text", ["MASK", "The MASKMASK.", " MASK", "MASK\n", "xMASKx", "\nMASK\n\n"])
def test_a_mask_in_a_record_is_text(case: Case, text: str) -> None:
    text = text.replace("MASK", case.mask)
    prompt = build_prompt(f"It is {case.mask}.", sources=[text, "So."], system=f"Fill in {case.mask}")
    encoded = encode_prompt(case.tokenizer, prompt, plain=True)
    masks = [i for i, token in enumerate(encoded.ids) if token == case.tokenizer.mask_token_id]
    assert len(masks) == 2
    assert {encoded.tokens[i].part for i in masks} == {"special"}
    own = [token for token in encoded.tokens if token.source == 0]
    covered = {k for token in own for k in range(token.start, token.end)}
    assert covered >= {k for k, character in enumerate(text) if not character.isspace()}
    explanation = case.explain("It is _.", sources=[text], segment_by="source")
    assert explanation.matrix().min() > 0
    assert_whole(explanation)


@pytest.mark.parametrize("prompt", ["It is _, and _.", "_ it is", "It was\n _\n_ so"])
def test_a_mask_in_a_record_changes_nothing_about_those_of_the_prompt(case: Case, prompt: str) -> None:
    prompt = prompt.replace("_", case.mask)
    hostile = encode_prompt(case.tokenizer, build_prompt(prompt, sources=[f"x {case.mask} y."]), plain=True)
    plain = encode_prompt(case.tokenizer, build_prompt(prompt, sources=["x y."]), plain=True)

    def asked(encoded: Any) -> list[int]:
        places = list(zip(encoded.ids, encoded.tokens, strict=True))
        return [token for token, place in places if place.part in ("instruction", "special")]

    assert asked(hostile) == asked(plain)


def test_as_many_lines_as_masks_are_wanted(case: Case) -> None:
    with pytest.raises(InputError, match="has 1 masked positions, and the output 2 lines"):
        case.explain("It is _.", output="no\nno")


@pytest.mark.parametrize("output", ["heterochromatic", "no no", "MASK", "\n", "no\n"])
def test_what_is_not_one_token_cannot_fill_a_mask(case: Case, output: str) -> None:
    with pytest.raises(InputError):
        case.explain("It is _." if "\n" not in output else "_ _", output=output.replace("MASK", case.mask))


def test_a_piece_of_a_word_is_given_by_its_name(case_of: Callable[[str], Case]) -> None:
    case = case_of("bert")
    piece = next(name for name in case.tokenizer.get_vocab() if name.startswith("##"))
    _, _, (mask,), _, logprobs = case.eager("It is _.")
    tokens = case.explain("It is _.", output=piece).output.tokens
    assert tokens is not None
    wanted = logprobs[mask, case.tokenizer.convert_tokens_to_ids(piece)]
    assert tokens[0].logprob_nats == pytest.approx(float(wanted), abs=1e-4)


def test_the_positions_that_roberta_keeps_for_padding_are_not_counted(case_of: Callable[[str], Case]) -> None:
    case = case_of("roberta")
    limit = SIZES["max_position_embeddings"] - 2
    assert anyio.run(HuggingFace(case.model, case.tokenizer).capabilities).context_tokens == limit
    around = len(case.tokenizer(f"a\n\n{case.mask}")["input_ids"]) - 1
    words = ["a"] * (limit - around)
    assert case.explain("_", sources=[" ".join(words)], output="no").matrix().size == 1
    with pytest.raises(ContextLengthError, match=f"{limit + 1} tokens.*{limit}"):
        case.explain("_", sources=[" ".join([*words, "a"])], output="no")


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2"])
def test_rollout_follows_the_masked_position_down(case_of: Callable[[str], Case], family: str) -> None:
    case = case_of(family)
    explanation = case.explain("It is _.", output="no", method="attention_rollout", segment_by="source")
    assert_whole(explanation)
    assert explanation.matrix().min() > 0


def test_every_weight_can_be_kept(case: Case) -> None:
    explanation = case.explain("It is _, not _.", output="no\nwas", attention=True)
    _, _, masks, _, _ = case.eager("It is _, not _.")
    assert explanation.attention is not None
    (block,) = explanation.attention
    assert (block.name, block.layers, block.heads) == ("encoder", (0, 1, 2), 4)
    assert [block.positions[row] for row in block.explaining] == masks
    assert len(block.queries) == len(block.keys)
    assert block.keys[masks[0]].text == case.mask
