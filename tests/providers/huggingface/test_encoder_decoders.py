"""Encoder-decoders: each token of the answer is explained by the cross-attention row that predicts it."""

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
    AutoModelForSeq2SeqLM,
    BartTokenizer,
    MBart50Tokenizer,
    MBartTokenizer,
    PegasusTokenizer,
    T5Tokenizer,
)

from whence import ContextLengthError, Explainer, Explanation, HuggingFace, UnsupportedError
from whence.explain.segments import split
from whence.providers.errors import CaptureError
from whence.providers.huggingface.encoding import decode, ordinary_ids
from whence.providers.observations import AttentionQuery, AttentionRows, Generation
from whence.providers.prompt import build_prompt

SOURCES = ["The patient is allergic to latex. Stopped taking warfarin.", "Discharged home. No fever."]
TASK = "summarize: in short"
READ = "\n\n".join([*SOURCES, TASK])
GIVEN = "The patient stopped warfarin. No fever."
HALVES: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 140,
    "forced_eos_token_id": None,
}
T5: dict[str, Any] = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 3,
    "num_decoder_layers": 2,  # with more of them the library's own generation fails
    "num_heads": 4,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
}


@dataclass(frozen=True)
class Case:
    model: Any
    tokenizer: Any
    prefix: tuple[str, ...]
    """What stands in the decoder before an answer."""

    @property
    def provider(self) -> HuggingFace:
        return HuggingFace(self.model, self.tokenizer)

    def explain(self, **options: Any) -> Explanation:
        return Explainer(self.provider).explain(TASK, **({"sources": SOURCES} | options))

    def attend(self, output: str | Generation) -> AttentionRows:
        prompt = build_prompt(TASK, sources=SOURCES)
        return anyio.run(lambda: self.provider.attend(prompt, output, AttentionQuery()))

    def eager(self, written: tuple[int, ...]) -> Any:
        """The library's own output for the prompt and the prefix with `written` after it."""
        start = self.tokenizer.convert_tokens_to_ids(list(self.prefix))
        own = self.model.config._attn_implementation
        self.model.set_attn_implementation("eager")
        with torch.no_grad():
            output = self.model(
                input_ids=torch.tensor([self.tokenizer(READ)["input_ids"]]),
                decoder_input_ids=torch.tensor([[*start, *written]]),
                output_attentions=True,
                use_cache=False,
            )
        self.model.set_attn_implementation(own)
        return output


@pytest.fixture(scope="session")
def case_of(
    byte_level: Callable[..., Any], unigram: Callable[..., Any], make_marian: Callable[..., Any]
) -> Callable[..., Case]:
    def parts(family: str) -> tuple[Any, dict[str, Any], tuple[str, ...]]:
        tokenizer: Any
        own: dict[str, Any]
        match family:
            case "t5" | "umt5":
                tokenizer = T5Tokenizer(vocab=unigram("<pad>", "</s>", "<unk>"), extra_ids=0)
                return tokenizer, T5, ("<pad>",)
            case "bart" | "fsmt":
                own = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
                if family == "fsmt":
                    own |= {"langs": ["en", "de"], "src_vocab_size": 600, "tgt_vocab_size": 600}
                return byte_level(BartTokenizer), HALVES | own, ("</s>", "<s>")
            case "marian":
                tokenizer = make_marian()
                pad = tokenizer.pad_token_id
                own = {"pad_token_id": pad, "eos_token_id": 0, "decoder_start_token_id": pad}
                return tokenizer, HALVES | own, ("<pad>",)
            case "pegasus":
                vocabulary = unigram("<pad>", "</s>", "<unk>", "<mask_2>")
                own = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
                return PegasusTokenizer(vocab=vocabulary, offset=3), HALVES | own, ("<pad>",)
            case "mbart":
                vocabulary = unigram("<s>", "<pad>", "</s>", "<unk>")
                tokenizer = MBartTokenizer(vocab=vocabulary, src_lang="en_XX", tgt_lang="de_DE")
                start = tokenizer.convert_tokens_to_ids("de_DE")
                own = {"pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": start}
                return tokenizer, HALVES | own, ("de_DE",)
            case "mbart50":
                vocabulary = unigram("<unk>", "<s>", "</s>")
                tokenizer = MBart50Tokenizer(vocab=vocabulary, src_lang="en_XX", tgt_lang="de_DE")
                own = {"pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
                return tokenizer, HALVES | own, ("</s>", "de_DE")
        raise AssertionError(family)

    def make(family: str, **changes: Any) -> Case:
        tokenizer, sizes, prefix = parts(family)
        torch.manual_seed(0)
        config = AutoConfig.for_model(
            family.removesuffix("50"), **({"vocab_size": len(tokenizer)} | sizes | changes)
        )
        return Case(sharpened(AutoModelForSeq2SeqLM.from_config(config)), tokenizer, prefix)

    return make


FAMILIES = ("t5", "umt5", "bart", "marian", "pegasus", "mbart", "mbart50", "fsmt")


@pytest.fixture(params=FAMILIES)
def case(request: pytest.FixtureRequest, case_of: Callable[..., Case]) -> Case:
    return case_of(request.param)


def test_what_is_written_is_what_the_library_writes(case: Case) -> None:
    prompt = build_prompt(TASK, sources=SOURCES)
    written = anyio.run(lambda: case.provider.generate(prompt, max_tokens=12, seed=0))
    start = case.tokenizer.convert_tokens_to_ids(list(case.prefix))
    case.model.generation_config.suppress_tokens = [case.tokenizer.pad_token_id]
    expected = case.model.generate(
        input_ids=torch.tensor([case.tokenizer(READ)["input_ids"]]),
        decoder_input_ids=torch.tensor([start]),
        max_new_tokens=12,
        do_sample=False,
        num_beams=1,
    )
    assert written.token_ids == tuple(expected[0, len(start) :].tolist())
    assert written.text == case.tokenizer.decode(written.token_ids, skip_special_tokens=True)
    assert written.prompt_tokens == len(case.tokenizer(READ)["input_ids"])


@pytest.mark.parametrize("family", ["t5", "marian", "pegasus", "mbart"])
def test_the_model_starts_where_the_library_starts_it(case_of: Callable[..., Case], family: str) -> None:
    case = case_of(family)
    prompt = build_prompt(TASK, sources=SOURCES)
    written = anyio.run(lambda: case.provider.generate(prompt, max_tokens=5, seed=0))
    case.model.generation_config.suppress_tokens = [case.tokenizer.pad_token_id]
    ids = torch.tensor([case.tokenizer(READ)["input_ids"]])
    expected = case.model.generate(input_ids=ids, max_new_tokens=5, do_sample=False, num_beams=1)
    assert written.token_ids == tuple(expected[0, 1:].tolist())


@pytest.mark.parametrize("family", ["bart", "mbart50"])
def test_a_forced_first_token_is_not_written_but_read(case_of: Callable[..., Case], family: str) -> None:
    case = case_of(family)
    forced = case.tokenizer.convert_tokens_to_ids("<unk>")
    case.model.generation_config.forced_bos_token_id = forced
    case.model.generation_config.suppress_tokens = [case.tokenizer.pad_token_id]
    prompt = build_prompt(TASK, sources=SOURCES)
    written = anyio.run(lambda: case.provider.generate(prompt, max_tokens=5, seed=0))
    ids = torch.tensor([case.tokenizer(READ)["input_ids"]])
    expected = case.model.generate(input_ids=ids, max_new_tokens=6, do_sample=False, num_beams=1)
    assert expected[0, 1] == forced
    assert written.token_ids == tuple(expected[0, 2:].tolist())


@pytest.mark.parametrize("generated", [False, True])
def test_each_row_is_that_of_the_cross_attention_which_predicts_the_token(
    case: Case, generated: bool
) -> None:
    if generated:
        # Hardly those that the tokenizer would choose for what they say.
        ids = (*ordinary_ids(case.tokenizer)[20:90:4], case.tokenizer.eos_token_id)
        output: Any = Generation(text=decode(case.tokenizer, ids), token_ids=ids)
    else:
        output = GIVEN
        ids = tuple(case.tokenizer(text_target=GIVEN, add_special_tokens=False)["input_ids"])
    rows = case.attend(output)
    seen = case.eager(ids)
    first = len(case.prefix) - 1
    mean = torch.stack(seen.cross_attentions).mean(dim=(0, 2))[0, first : first + len(ids)]
    np.testing.assert_allclose(rows.rows, mean.numpy(), rtol=0, atol=1e-5)
    assert np.abs(rows.rows - rows.rows.mean(axis=0)).max() > 1e-3, "any row would do"
    logprobs = torch.log_softmax(seen.logits[0, first : first + len(ids)].float(), -1)
    wanted = [logprobs[t, token].item() for t, token in enumerate(ids)]
    assert rows.output.logprobs_nats == pytest.approx(wanted, rel=1e-7, abs=1e-4)
    text = output.text if generated else output
    spans = [span for span in rows.output.spans if span is not None]
    assert all(0 <= a <= b <= len(text) for a, b in spans)
    covered = {k for a, b in spans for k in range(a, b)}
    assert covered >= {k for k, character in enumerate(text) if not character.isspace()}


@pytest.mark.parametrize("family", ["t5", "bart", "pegasus", "mbart"])
def test_sources_are_scored_by_the_sums_of_their_tokens(case_of: Callable[..., Case], family: str) -> None:
    case = case_of(family)
    explanation = case.explain(output=GIVEN, segment_by="sentence", target_by="sentence")
    offsets = case.tokenizer(READ, return_offsets_mapping=True)["offset_mapping"]
    rows = case.attend(GIVEN)
    starts = [next((k for k in range(*span or (0, 0)) if GIVEN[k] != " "), -1) for span in rows.output.spans]
    wanted = []
    for target in explanation.output.targets:
        own = [t for t, start in enumerate(starts) if target.start <= start < target.end]
        wanted.append(by_segment(explanation, READ, offsets, rows.rows[own].mean(axis=0)))
    np.testing.assert_allclose(explanation.matrix(), wanted, rtol=0, atol=1e-5)
    assert explanation.matrix().shape == (2, 4)


def test_no_first_token_of_a_source_is_called_a_sink(case: Case) -> None:
    explanation = case.explain(output=GIVEN, segment_by="word")
    assert_whole(explanation)
    assert explanation.results[0].scores.elsewhere is not None
    assert {own.sink for own in explanation.results[0].scores.elsewhere} == {0}
    assert explanation.matrix().min() > 0
    assert len(explanation.segments) == sum(len(split(text, "word")) for text in SOURCES)


def test_the_three_kinds_of_attention_are_kept_apart(case: Case) -> None:
    explanation = case.explain(output=GIVEN, attention="float16")
    assert explanation.attention is not None
    encoder, decoder, cross = explanation.attention
    assert [block.name for block in explanation.attention] == ["encoder", "decoder", "cross"]
    ids = tuple(case.tokenizer(text_target=GIVEN, add_special_tokens=False)["input_ids"])
    seen = case.eager(ids[:-1])
    read = case.tokenizer.convert_ids_to_tokens(case.tokenizer(READ)["input_ids"])
    assert len(encoder.queries) == len(encoder.keys) == len(cross.keys) == len(read)
    assert encoder.keys == cross.keys
    assert len(decoder.queries) == len(decoder.keys) == len(cross.queries) == len(case.prefix) + len(ids) - 1
    assert [token.text for token in decoder.keys[: len(case.prefix)]] == list(case.prefix)
    assert {token.part for token in decoder.keys[len(case.prefix) :]} == {"output"}
    assert (encoder.explaining, decoder.explaining) == ((), ())
    assert cross.explaining == tuple(range(len(case.prefix) - 1, len(case.prefix) - 1 + len(ids)))
    attentions = (seen.encoder_attentions, seen.decoder_attentions, seen.cross_attentions)
    for block, layers in zip(explanation.attention, attentions, strict=True):
        assert block.layers == tuple(range(len(layers)))
        for layer, weights in enumerate(layers):
            for head in range(block.heads):
                np.testing.assert_allclose(block.weights(layer, head), weights[0, head], atol=1e-3)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "fsmt"])
def test_rollout_follows_both_halves(case_of: Callable[..., Case], family: str) -> None:
    explanation = case_of(family).explain(output=GIVEN, method=["attention_rollout", "attention"])
    assert_whole(explanation)
    parts = explanation.results[0].scores.elsewhere
    assert parts is not None
    assert all(own.output_so_far > 0 for own in parts[1:])
    assert explanation.matrix().min() > 0


def test_rollout_of_a_family_that_is_tapped_is_refused(case_of: Callable[..., Case]) -> None:
    with pytest.raises(UnsupportedError, match="attention_rollout"):
        case_of("fsmt").explain(output=GIVEN, method="attention_rollout")


def test_layers_of_the_cross_attention_can_be_chosen(case: Case) -> None:
    explanation = case.explain(output=GIVEN, layers=[1], heads=[0, 3], target_by="token", segment_by="token")
    ids = tuple(case.tokenizer(text_target=GIVEN, add_special_tokens=False)["input_ids"])
    first = len(case.prefix) - 1
    seen = case.eager(ids[:-1]).cross_attentions[1][0, [0, 3], first:].mean(dim=0)
    own = [i for i, key in enumerate(case.attend(GIVEN).keys) if key.part == "source" and key.end > key.start]
    assert explanation.matrix().sum() <= float(seen[:, own].sum()) + 1e-4
    assert_whole(explanation)


def test_padding_is_never_written(case_of: Callable[..., Case]) -> None:
    case = case_of("marian")
    pad = case.tokenizer.pad_token_id
    with torch.no_grad():
        case.model.final_logits_bias[0, pad] = 100.0
    prompt = build_prompt(TASK, sources=SOURCES)
    written = anyio.run(lambda: case.provider.generate(prompt, max_tokens=8, seed=0))
    assert pad not in written.token_ids


def test_each_half_has_room_of_its_own(case_of: Callable[..., Case]) -> None:
    case = case_of("bart")
    limit = HALVES["max_position_embeddings"]
    with pytest.raises(ContextLengthError, match=f"the {limit} that"):
        case.explain(sources=["No fever. " * limit])
    with pytest.raises(ContextLengthError, match=f"the {limit} that"):
        case.explain(output="No fever. " * limit)
    prompt = build_prompt(TASK, sources=SOURCES)
    case.model.generation_config.eos_token_id = None
    case.tokenizer.eos_token = "<mask>"  # noqa: S105 - a token of text
    written = anyio.run(lambda: case.provider.generate(prompt, max_tokens=1000, seed=0))
    assert len(case.prefix) + len(written.token_ids) == limit
    assert written.finish == "length"
    assert len(case.attend(written).rows) == len(written.token_ids)


def test_a_model_that_does_not_say_how_answers_start_is_refused(case_of: Callable[..., Case]) -> None:
    case = case_of("t5")
    case.model.generation_config.decoder_start_token_id = None
    case.model.generation_config.bos_token_id = None
    case.model.config.decoder_start_token_id = None
    with pytest.raises(CaptureError, match="decoder_start_token_id"):
        case.explain(output=GIVEN)
