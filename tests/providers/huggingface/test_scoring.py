"""Scores equal the model's own forward passes over each prompt, and shared beginnings are read once."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest
import torch
from tests.providers.huggingface.conftest import sharpened
from tests.providers.huggingface.test_equal_to_eager import FAMILIES, GROUPED, HALVES, HYBRID, MOE, SMALL, T5
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    BartTokenizer,
    LlamaForCausalLM,
    RobertaTokenizer,
    T5Tokenizer,
)

from whence.providers.base import Counts, Scores, Step
from whence.providers.errors import (
    ContextLengthError,
    EmptyOutputError,
    InputError,
    ProviderError,
    RenderError,
)
from whence.providers.huggingface import HuggingFace
from whence.providers.observations import AttentionQuery, Generation, TokenScores
from whence.providers.prompt import Message, Prompt, Source

MakeModel = Callable[..., LlamaForCausalLM]
SENTENCES = (
    "The patient is allergic to latex. ",
    "She stopped taking warfarin. ",
    "Blood pressure was 150/90. ",
    "No fever. ",
    "She was seen in the memory clinic. ",
    "Her daughter will collect her. ",
    "No fever. ",
)
OUTPUT = "Allergic to latex. Stopped warfarin."
EVERYTHING = range(len(SENTENCES))
TOLERANCE = 1e-4
PER_LAYER = {"layer_types": ["linear_attention", "full_attention", "linear_attention"]}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_d_state": 8}
SHARING: dict[str, dict[str, Any]] = {
    **{name: sizes for name, (auto, sizes) in FAMILIES.items() if auto is AutoModelForCausalLM},
    "llama4_text": MOE
    | {"head_dim": 8, "attention_chunk_size": 20, "num_local_experts": 2, "intermediate_size_mlp": 48}
    | {"layer_types": ["chunked_attention", "full_attention", "chunked_attention"]},
    "gemma3n_text": GROUPED
    | {"head_dim": 8, "sliding_window": 20, "num_kv_shared_layers": 1, "hidden_size_per_layer_input": 8}
    | {"laurel_rank": 4, "altup_num_inputs": 2},
}
WITH_STATES: dict[str, dict[str, Any]] = {
    "falcon_h1": GROUPED | MAMBA | {"mamba_n_heads": 4, "mamba_d_ssm": 32},
    "qwen3_next": MOE
    | PER_LAYER
    | {"head_dim": 8, "linear_num_value_heads": 4, "linear_num_key_heads": 2}
    | {"linear_key_head_dim": 8, "linear_value_head_dim": 8},
    "bamba": GROUPED | MAMBA | {"attn_layer_indices": [1]},
    "jamba": HYBRID,
}


def prompt_of(kept: Sequence[int], task: str = "Summarise.") -> Prompt:
    source = Source(text="".join(SENTENCES[i] for i in kept), name="record")
    return Prompt(messages=(Message(role="user", content=(source, task)),))


def said(text: str) -> Prompt:
    return Prompt(messages=(Message(role="user", content=text),))


def ablations() -> list[Prompt]:
    """All, without each sentence, random halves, and none; two of them are equal, and none are in order."""
    rng = random.Random(0)
    kept = [list(EVERYTHING), *([i for i in EVERYTHING if i != left] for left in EVERYTHING), []]
    kept += [[i for i in EVERYTHING if rng.random() < 0.5] for _ in range(6)]
    rng.shuffle(kept)
    return [prompt_of(own) for own in [*kept, kept[2]]]


def build(family: str, sizes: dict[str, Any], auto: Any = AutoModelForCausalLM, **changes: Any) -> Any:
    torch.manual_seed(0)
    model = sharpened(auto.from_config(AutoConfig.for_model(family, **(sizes | changes))))
    head = model.get_output_embeddings()
    if head is not None:
        with torch.no_grad():
            head.weight.mul_(10)  # probabilities that are far from uniform
    return model


def scores_of(
    provider: HuggingFace, prompts: Sequence[Prompt], output: str | Generation = OUTPUT, **options: Any
) -> tuple[TokenScores, ...]:
    return anyio.run(lambda: provider.score(prompts, output, **options))


def numbers(scores: Sequence[TokenScores]) -> torch.Tensor:
    return torch.tensor([own.logprobs_nats for own in scores])


def ids_of(tokenizer: Any, prompt: Prompt) -> list[int]:
    """By the library's own way."""
    messages = [{"role": turn.role, "content": turn.text} for turn in prompt.turns()]
    ids: list[int] = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    return ids


def naive(model: Any, prompts: Sequence[Sequence[int]], output: Sequence[int]) -> torch.Tensor:
    """Full logits of eager passes without a cache: (prompts, output tokens)."""
    rows: list[torch.Tensor] = []
    own = model.config._attn_implementation
    model.set_attn_implementation("eager")
    for ids in prompts:
        with torch.no_grad():
            logits = model(torch.tensor([[*ids, *output]]), use_cache=False).logits[0].float()
        logprobs = torch.log_softmax(logits, dim=-1)
        rows.append(torch.stack([logprobs[len(ids) - 1 + t, token] for t, token in enumerate(output)]))
    model.set_attn_implementation(own)
    return torch.stack(rows)


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    spread = (expected - expected[0]).abs().max()
    assert spread > 100 * TOLERANCE, "all prompts score nearly the same, and this test could find no fault"
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


class Fed:
    """How many tokens a model is given, pass by pass."""

    def __init__(self, model: Any) -> None:
        self.passes: list[int] = []
        model.get_input_embeddings().register_forward_pre_hook(self._see)

    def _see(self, embeddings: Any, args: tuple[torch.Tensor]) -> None:
        self.passes.append(args[0].numel())


@pytest.mark.parametrize("family", SHARING)
def test_every_family_scores_as_its_own_forward_passes_do(family: str, tokenizer: Any) -> None:
    model = build(family, SHARING[family], vocab_size=len(tokenizer))
    prompts = ablations()
    ids = [ids_of(tokenizer, prompt) for prompt in prompts]
    expected = naive(model, ids, tokenizer(OUTPUT, add_special_tokens=False)["input_ids"])
    fed = Fed(model)
    for batch in (1, 3, 8):
        provider = HuggingFace(model, tokenizer, score_batch=batch)
        anyio.run(provider.capabilities)
        fed.passes.clear()
        scores = scores_of(provider, prompts)
        assert_close(numbers(scores), expected)
        assert [own.prompt_tokens for own in scores] == list(map(len, ids))
        if batch == 1:
            assert sum(fed.passes) < 0.75 * sum(map(len, ids)), "nothing was shared"


@pytest.mark.parametrize("family", WITH_STATES)
def test_layers_that_keep_a_state_are_scored_without_sharing(family: str, tokenizer: Any) -> None:
    model = build(family, WITH_STATES[family], vocab_size=len(tokenizer))
    prompts = ablations()
    ids = [ids_of(tokenizer, prompt) for prompt in prompts]
    expected = naive(model, ids, tokenizer(OUTPUT, add_special_tokens=False)["input_ids"])
    for batch in (1, 3):
        assert_close(numbers(scores_of(HuggingFace(model, tokenizer, score_batch=batch), prompts)), expected)


@pytest.mark.parametrize("batch", [1, 3])
def test_keys_that_depend_on_the_length_of_the_text_are_not_shared(batch: int, tokenizer: Any) -> None:
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "factor": 4.0}
    rope |= {"long_factor": [4.0] * 4, "short_factor": [1.0] * 4}
    sizes = GROUPED | {"original_max_position_embeddings": 60, "rope_parameters": rope}
    model = build("phi3", sizes, vocab_size=len(tokenizer))
    prompts = ablations()
    ids = [ids_of(tokenizer, prompt) for prompt in prompts]
    output = tokenizer(OUTPUT, add_special_tokens=False)["input_ids"]
    assert min(map(len, ids)) + len(output) < 60 < max(map(len, ids))
    found = numbers(scores_of(HuggingFace(model, tokenizer, score_batch=batch), prompts))
    assert_close(found, naive(model, ids, output))


def test_leaving_out_each_sentence_reads_far_fewer_tokens(make_model: MakeModel, tokenizer: Any) -> None:
    model = make_model().eval()
    kept = [list(EVERYTHING), *([i for i in EVERYTHING if i != left] for left in EVERYTHING)]
    prompts = [prompt_of(own) for own in kept]
    ids = [ids_of(tokenizer, prompt) for prompt in prompts]
    output = tokenizer(OUTPUT, add_special_tokens=False)["input_ids"]
    fed = Fed(model)
    provider = HuggingFace(model, tokenizer)
    anyio.run(provider.capabilities)
    fed.passes.clear()
    scores_of(provider, prompts)
    sequences = {(*own, *output[:-1]) for own in ids}
    beginnings = {sequence[: i + 1] for sequence in sequences for i in range(len(sequence))}
    # Each beginning once, but for the last token of a prompt that another begins with; and two short looks.
    assert sum(fed.passes) <= len(beginnings) + 10
    assert sum(fed.passes) < 0.7 * sum(map(len, sequences))


@pytest.mark.parametrize("batch", [1, 8])
def test_logits_are_computed_for_the_output_alone(make_model: MakeModel, tokenizer: Any, batch: int) -> None:
    model = make_model().eval()
    provider = HuggingFace(model, tokenizer, score_batch=batch)
    anyio.run(provider.capabilities)
    rows: list[int] = []
    model.lm_head.register_forward_pre_hook(lambda _, args: rows.append(args[0][..., 0].numel()))
    prompts = [prompt_of([i for i in EVERYTHING if i != left]) for left in EVERYTHING]
    scores = scores_of(provider, prompts)
    assert sum(rows) <= len(prompts) * len(scores[0].logprobs_nats) + 2  # and two short looks


def test_equal_prompts_are_read_once(make_model: MakeModel, tokenizer: Any) -> None:
    model = make_model().eval()
    provider = HuggingFace(model, tokenizer)
    anyio.run(provider.capabilities)
    fed = Fed(model)
    once = scores_of(provider, [prompt_of([0, 1])])
    alone = len(fed.passes)
    fed.passes.clear()
    assert scores_of(provider, [prompt_of([0, 1])] * 5) == once * 5
    assert len(fed.passes) == alone


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_a_prompt_may_begin_as_another_with_its_output(batch: int, tokenizer: Any) -> None:
    plain = copy.deepcopy(tokenizer)
    plain.chat_template = None
    model = build("llama", GROUPED, vocab_size=len(tokenizer))
    texts = ["No", "No fever.", "No fever.\n\nNo fever.", "No fever.\n\nNo fever.\n\nNo fever.", "Fever."]
    ids = [plain(f"{text}\n\n")["input_ids"] for text in texts]
    output = plain("No fever.", add_special_tokens=False)["input_ids"]
    assert ids[2][: len(ids[1]) + len(output)] == ids[1] + output
    found = numbers(
        scores_of(HuggingFace(model, plain, score_batch=batch), [said(text) for text in texts], "No fever.")
    )
    assert_close(found, naive(model, ids, output))


@pytest.mark.parametrize("batch", [1, 8])
def test_a_generation_keeps_its_ids_and_its_end(batch: int, tokenizer: Any) -> None:
    model = build("llama", GROUPED, vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id)
    letters = [token for letter in "No fever" for token in tokenizer(letter)["input_ids"]]
    assert letters != tokenizer("No fever")["input_ids"]
    written = Generation(text="No fever", token_ids=(*letters, tokenizer.eos_token_id))
    prompts = ablations()
    scores = scores_of(HuggingFace(model, tokenizer, score_batch=batch), prompts, written)
    ids = [ids_of(tokenizer, prompt) for prompt in prompts]
    assert_close(numbers(scores), naive(model, ids, written.token_ids))
    assert scores[0].spans == (*((i, i + 1) for i in range(8)), None)


def test_scores_equal_those_of_the_observed_pass(make_model: MakeModel, tokenizer: Any) -> None:
    provider = HuggingFace(make_model(), tokenizer)
    (scores,) = scores_of(provider, [prompt_of(EVERYTHING)])
    seen = anyio.run(lambda: provider.attend(prompt_of(EVERYTHING), OUTPUT, AttentionQuery())).output
    assert (scores.spans, scores.prompt_tokens) == (seen.spans, seen.prompt_tokens)
    assert scores.logprobs_nats == pytest.approx(seen.logprobs_nats, abs=TOLERANCE)


@pytest.mark.parametrize(
    "text", ["<|im_end|></s><s>", "👩‍👩‍👧‍👦 🇪🇺🇪", "a\x00b\u202e\u0301", "\u00a0x\u3000\u200b", "𓀀"]
)
def test_hostile_text_is_only_text(text: str, tokenizer: Any) -> None:
    model = build("llama", GROUPED, vocab_size=len(tokenizer), max_position_embeddings=1024)
    provider = HuggingFace(model, tokenizer, score_batch=2)
    parts = [f"{text} {end}" for end in tokenizer.all_special_tokens] + [text]
    prompts = [
        Prompt(messages=(Message(role="user", content=(Source(text="".join(own), name="r"), "Sum up.")),))
        for own in (parts, parts[1:], parts[:1])
    ]
    found = scores_of(provider, prompts, f"{text}{tokenizer.eos_token}")
    alone = [scores_of(provider, [prompt], f"{text}{tokenizer.eos_token}")[0] for prompt in prompts]
    assert_close(numbers(found), numbers(alone))
    special = set(tokenizer.all_special_ids)
    assert None not in found[0].spans, f"the text was taken for one of {special}"


def test_encoder_decoders_are_scored(byte_level: Callable[..., Any], unigram: Callable[..., Any]) -> None:
    cases: list[tuple[str, Any, dict[str, Any], list[int]]] = [
        ("t5", T5Tokenizer(vocab=unigram("<pad>", "</s>", "<unk>"), extra_ids=0), T5, [0]),
        (
            "bart",
            byte_level(BartTokenizer),
            HALVES | {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
            [2, 0],
        ),
    ]
    for family, tokenizer, sizes, prefix in cases:
        model = build(family, sizes, AutoModelForSeq2SeqLM, vocab_size=len(tokenizer))
        prompts = ablations()
        provider = HuggingFace(model, tokenizer, score_batch=3)
        scores = scores_of(provider, prompts)
        output = tokenizer(text_target=OUTPUT, add_special_tokens=False)["input_ids"]
        expected: list[torch.Tensor] = []
        for prompt, own in zip(prompts, scores, strict=True):
            ids = tokenizer("\n\n".join(part for part in texts_of(prompt) if part))["input_ids"]
            with torch.no_grad():
                logits = model(
                    torch.tensor([ids]), decoder_input_ids=torch.tensor([[*prefix, *output]])
                ).logits
            logprobs = torch.log_softmax(logits[0, len(prefix) - 1 : -1], dim=-1)
            expected.append(logprobs.gather(-1, torch.tensor(output)[:, None])[:, 0])
            assert own.prompt_tokens == len(ids) == anyio.run(provider.count_tokens, prompt)
        assert_close(numbers(scores), torch.stack(expected))


def texts_of(prompt: Prompt) -> list[str]:
    return [part.text if isinstance(part, Source) else part for part in prompt.messages[0].parts]


def test_masks_are_scored(byte_level: Callable[..., Any]) -> None:
    tokenizer = byte_level(RobertaTokenizer)
    model = build("roberta", SMALL | {"pad_token_id": 1}, AutoModelForMaskedLM, vocab_size=len(tokenizer))
    kept = [list(EVERYTHING), [0, 2, 4], [], [0, 2, 4]]
    prompts = [prompt_of(own, f"It was {tokenizer.mask_token} and {tokenizer.mask_token}.") for own in kept]
    scores = scores_of(HuggingFace(model, tokenizer), prompts, "the\n.")
    expected: list[torch.Tensor] = []
    for prompt in prompts:
        ids = tokenizer("\n\n".join(part for part in texts_of(prompt) if part))["input_ids"]
        masks = [i for i, token in enumerate(ids) if token == tokenizer.mask_token_id]
        with torch.no_grad():
            logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0, masks], dim=-1)
        words = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in (" the", ".")]
        expected.append(torch.stack([logprobs[i, word[0]] for i, word in enumerate(words)]))
    assert scores[0].spans == ((0, 3), (4, 5))
    assert_close(numbers(scores), torch.stack(expected))


@pytest.mark.parametrize("family", ["roberta", "llama"])
def test_labels_are_scored(family: str, byte_level: Callable[..., Any]) -> None:
    tokenizer = byte_level(RobertaTokenizer)
    sizes = SMALL | {"pad_token_id": 1, "id2label": {0: "urgent", 1: "routine", 2: "unclear"}}
    model = build(family, sizes, AutoModelForSequenceClassification, vocab_size=len(tokenizer))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # labels that depend on what is read
    prompts = [prompt_of(own, "") for own in ([0, 1, 2], [1, 2], [4])]
    provider = HuggingFace(model, tokenizer)
    scores = scores_of(provider, prompts, "routine")
    expected: list[torch.Tensor] = []
    for prompt, own in zip(prompts, scores, strict=True):
        ids = tokenizer(texts_of(prompt)[0])["input_ids"]
        with torch.no_grad():
            expected.append(torch.log_softmax(model(torch.tensor([ids])).logits, dim=-1)[0, 1:2])
        assert own.prompt_tokens == len(ids) == anyio.run(provider.count_tokens, prompt)
    assert_close(numbers(scores), torch.stack(expected))


@pytest.mark.parametrize("batch", [1, 3])
def test_each_prompt_done_is_told(make_model: MakeModel, tokenizer: Any, batch: int) -> None:
    steps: list[Step] = []
    prompts = ablations()
    scores_of(HuggingFace(make_model(), tokenizer, score_batch=batch), prompts, progress=steps.append)
    assert steps == [Step(stage="score", done=i + 1, total=len(prompts)) for i in range(len(prompts))]


@pytest.mark.parametrize("family", ["llama", "jamba"])
def test_a_cancelled_forward_stops_within_one_layer(family: str, tokenizer: Any) -> None:
    model = build(family, GROUPED | HYBRID, vocab_size=len(tokenizer), num_hidden_layers=8)
    provider = HuggingFace(model, tokenizer)
    anyio.run(provider.capabilities)
    before = model.config._attn_implementation
    began: list[tuple[int, int]] = []
    told: list[int] = []

    async def main() -> None:
        with anyio.CancelScope() as scope:

            def begin(layer: int) -> None:
                began.append((len(told), layer))
                if len(told) == 2 and layer == 3:  # attends, also in jamba
                    anyio.from_thread.run_sync(scope.cancel)

            for index, layer in enumerate(model.model.layers):
                layer.register_forward_pre_hook(lambda *_, index=index: begin(index))
            await provider.score(ablations(), OUTPUT, progress=lambda step: told.append(step.done))
        assert scope.cancelled_caught

    anyio.run(main)
    assert told == [1, 2]
    assert began[-1] == (2, 3)
    assert model.config._attn_implementation == before


def test_an_error_of_the_callback_ends_it_and_leaves_the_model_as_it_was(
    make_model: MakeModel, tokenizer: Any
) -> None:
    model = make_model()
    provider = HuggingFace(model, tokenizer)
    before = model.config._attn_implementation

    def fail(step: Step) -> None:
        raise TypeError(step.stage)

    with pytest.raises(TypeError, match="score"):
        scores_of(provider, ablations(), progress=fail)
    assert model.config._attn_implementation == before
    assert model.training


@pytest.mark.parametrize("batch", [1, 3])
def test_damaged_weights_are_an_error_and_no_score(make_model: MakeModel, tokenizer: Any, batch: int) -> None:
    model = make_model()
    with torch.no_grad():
        model.model.layers[0].self_attn.q_proj.weight.fill_(float("nan"))
    with pytest.raises(ProviderError, match=r"not finite: its weights are damaged, or their precision"):
        scores_of(HuggingFace(model, tokenizer, score_batch=batch), ablations())


def test_a_text_longer_than_the_context_is_refused(make_model: MakeModel, tokenizer: Any) -> None:
    whole = len(ids_of(tokenizer, prompt_of(EVERYTHING)))
    output = len(tokenizer(OUTPUT, add_special_tokens=False)["input_ids"])
    for room, fits in ((whole + output - 1, True), (whole + output - 2, False)):
        model = make_model(max_position_embeddings=room)
        fed = Fed(model)
        provider = HuggingFace(model, tokenizer)
        anyio.run(provider.capabilities)
        fed.passes.clear()
        if fits:
            assert len(scores_of(provider, ablations())) == len(ablations())
        else:
            with pytest.raises(ContextLengthError, match=f"has {whole + output - 1} tokens, 1 more"):
                scores_of(provider, ablations())
            assert fed.passes == [], "it read before it refused"


def test_what_cannot_be_scored_is_said(make_model: MakeModel, tokenizer: Any) -> None:
    model = make_model()
    provider = HuggingFace(model, tokenizer)
    with pytest.raises(EmptyOutputError):
        scores_of(provider, ablations(), " \n")
    with pytest.raises(InputError, match="score_batch=0"):
        HuggingFace(model, tokenizer, score_batch=0)
    refusing = copy.deepcopy(tokenizer)
    refusing.chat_template = "{{ raise_exception('no') }}"
    with pytest.raises(RenderError):
        scores_of(HuggingFace(model, refusing), ablations())
    with pytest.raises(RenderError):
        anyio.run(HuggingFace(model, refusing).count_tokens, prompt_of([0]))
    assert scores_of(provider, []) == ()


def test_it_counts_what_it_would_read(make_model: MakeModel, tokenizer: Any) -> None:
    provider = HuggingFace(make_model(max_position_embeddings=8), tokenizer)
    assert isinstance(provider, Counts)
    assert isinstance(provider, Scores)
    for prompt in (prompt_of([]), prompt_of(EVERYTHING)):
        assert anyio.run(provider.count_tokens, prompt) == len(ids_of(tokenizer, prompt))
    capabilities = anyio.run(provider.capabilities)
    assert (capabilities.scores, capabilities.deterministic, capabilities.max_in_flight) == (True, True, 1)
