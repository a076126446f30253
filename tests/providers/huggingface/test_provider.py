"""The adapter: the model is as it was, passes do not disturb each other, and cancelled work stops."""

from __future__ import annotations

import copy
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertGenerationConfig,
    ByT5Tokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    LongformerConfig,
    ViTConfig,
    XLNetConfig,
)

from whence.providers.base import Attends, Provider, Step
from whence.providers.errors import (
    CaptureError,
    ContextLengthError,
    ModelLoadError,
    ProviderError,
    UnknownLayerError,
    UnknownModelError,
    UnsupportedError,
)
from whence.providers.huggingface import HuggingFace
from whence.providers.observations import AttentionQuery, AttentionRows, Generation
from whence.providers.prompt import Prompt, build_prompt

MakeModel = Callable[..., LlamaForCausalLM]
PROMPT = build_prompt("Summarise.", sources=["The patient is allergic to latex.", "Stopped taking warfarin."])
OUTPUT = "Allergic to latex. Stopped warfarin."
ALL = AttentionQuery()
READER: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}


def attend(
    provider: HuggingFace, prompt: Prompt = PROMPT, output: str | Generation = OUTPUT
) -> AttentionRows:
    return anyio.run(lambda: provider.attend(prompt, output, ALL))


def state_of(model: Any) -> dict[str, Any]:
    return {
        "weights": {name: value.clone() for name, value in model.state_dict().items()},
        "training": [module.training for module in model.modules()],
        "attention": [m.config._attn_implementation for m in model.modules() if hasattr(m, "config")],
        "config": model.config.to_dict(),
        "generation": copy.deepcopy(model.generation_config.to_dict()),
        "gradients": [parameter.requires_grad for parameter in model.parameters()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()],
    }


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert all(torch.equal(one["weights"][name], other["weights"][name]) for name in one["weights"])
    assert {k: v for k, v in one.items() if k != "weights"} == {
        k: v for k, v in other.items() if k != "weights"
    }


def test_it_is_a_provider_that_attends(make_model: MakeModel, tokenizer: Any) -> None:
    provider = HuggingFace(make_model(), tokenizer)
    assert isinstance(provider, Provider)
    assert isinstance(provider, Attends)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("training", [True, False])
def test_after_an_explanation_the_model_is_as_it_was(
    make_model: MakeModel, tokenizer: Any, implementation: str, training: bool
) -> None:
    model = make_model(attention_dropout=0.5).train(training)
    model.model.layers[1].train(not training)
    model.set_attn_implementation(implementation)
    before = state_of(model)
    provider = HuggingFace(model, tokenizer)
    anyio.run(lambda: provider.generate(PROMPT, max_tokens=5, seed=0))
    first = attend(provider)
    assert_same(before, state_of(model))
    np.testing.assert_array_equal(first.rows, attend(provider).rows)  # no dropout while observed


def test_the_row_is_that_of_the_predicting_position(make_model: MakeModel, tokenizer: Any) -> None:
    model = make_model().eval()
    rows = attend(HuggingFace(model, tokenizer))
    (turn,) = PROMPT.turns()
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": turn.text}], add_generation_prompt=True, tokenize=True, return_dict=False
    )
    output = tokenizer(OUTPUT, add_special_tokens=False)["input_ids"]
    model.set_attn_implementation("eager")
    with torch.no_grad():
        seen = model(torch.tensor([ids + output]), output_attentions=True)
    mean = torch.stack(seen.attentions).mean(dim=(0, 2))[0]
    assert rows.rows.shape == (len(output), len(ids) + len(output) - 1)
    for t in range(len(output)):
        np.testing.assert_allclose(
            rows.rows[t], mean[len(ids) + t - 1, : rows.rows.shape[1]].numpy(), atol=1e-5, rtol=0
        )
    logprobs = torch.log_softmax(seen.logits[0, len(ids) - 1 : -1].float(), -1)
    wanted = [logprobs[t, i].item() for t, i in enumerate(output)]
    assert rows.output.logprobs_nats == pytest.approx(wanted, rel=1e-7, abs=1e-4)
    np.testing.assert_allclose(rows.rows.sum(axis=1), 1, atol=1e-5)


def test_a_generation_keeps_its_ids_and_is_greedy(make_model: MakeModel, tokenizer: Any) -> None:
    model = make_model(eos_token_id=None).eval()
    provider = HuggingFace(model, tokenizer)
    generation = anyio.run(lambda: provider.generate(PROMPT, max_tokens=12, seed=0))
    assert generation.finish == "length"
    assert generation.output_tokens == 12
    rows = attend(provider, output=generation)
    assert len(rows.rows) == 12
    # What a greedy model wrote is, at each step, what it held most probable.
    with torch.no_grad():
        (turn,) = PROMPT.turns()
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": turn.text}], add_generation_prompt=True, return_dict=False
        )
        logits = model(torch.tensor([[*ids, *generation.token_ids]])).logits[0, len(ids) - 1 : -1]
    assert tuple(logits.argmax(-1).tolist()) == generation.token_ids


def test_two_models_and_many_threads_do_not_disturb_each_other(make_model: MakeModel, tokenizer: Any) -> None:
    models = [make_model(seed).eval() for seed in (1, 2)]
    # Two providers for the first model: its passes must wait for each other all the same.
    providers = [
        HuggingFace(models[0], tokenizer),
        HuggingFace(models[0], tokenizer),
        HuggingFace(models[1], tokenizer),
    ]
    outputs = [f"Allergic to latex {n}." for n in range(8)]
    alone = {(p, o): attend(providers[p], output=o).rows for p in (0, 2) for o in outputs}
    plain = models[0](torch.tensor([[5, 6, 7]])).logits
    wrong: list[str] = []

    def explain(which: int, output: str) -> None:
        rows = attend(providers[which], output=output).rows
        if not np.array_equal(rows, alone[(0 if which < 2 else 2, output)]):
            wrong.append(f"{which} {output}")

    def use_the_model() -> None:
        logits = [models[0](torch.tensor([[5, 6, 7]])).logits for _ in range(20)]
        if not all(torch.equal(own, plain) for own in logits):
            wrong.append("a forward pass of the caller's own changed")

    threads = [threading.Thread(target=explain, args=(p, o)) for p in range(3) for o in outputs]
    threads.append(threading.Thread(target=use_the_model))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_finding_the_attention_of_a_model_waits_for_its_passes(make_model: MakeModel, tokenizer: Any) -> None:
    model = make_model()
    before = state_of(model)
    first, second = HuggingFace(model, tokenizer), HuggingFace(model, tokenizer)
    busy, finish = threading.Event(), threading.Event()

    def hold(step: Step) -> None:
        if step.done == 1:  # within the pass
            busy.set()
            finish.wait(timeout=60)

    def attend_slowly() -> None:
        anyio.run(lambda: first.attend(PROMPT, OUTPUT, ALL, progress=hold))

    holder = threading.Thread(target=attend_slowly)
    holder.start()
    assert busy.wait(timeout=60)

    async def look() -> bool:
        with anyio.move_on_after(0.2) as scope:
            await second.capabilities()
        return scope.cancelled_caught

    assert anyio.run(look)
    anyio.run(first.capabilities)  # what is known already is told at once
    finish.set()
    holder.join()
    anyio.run(second.capabilities)
    assert_same(before, state_of(model))


@pytest.mark.parametrize("auto", [AutoModelForCausalLM, AutoModelForSequenceClassification])
def test_passes_of_others_are_not_taken_for_those_that_find_the_attention(auto: Any, tokenizer: Any) -> None:
    config = LlamaConfig(vocab_size=len(tokenizer), pad_token_id=0, **READER)
    model = auto.from_config(config).eval()
    ids = torch.tensor([[5, 6, 7]])
    plain = model(ids).logits
    done = threading.Event()
    wrong: list[Any] = []

    def use_the_model() -> None:
        while not done.is_set():
            try:
                wrong.extend([] if torch.equal(model(ids).logits, plain) else ["other numbers"])
            except Exception as error:  # noqa: BLE001 - any would be ours
                wrong.append(error)

    user = threading.Thread(target=use_the_model)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # the two take turns within a pass
    user.start()
    try:
        for _ in range(20):
            anyio.run(HuggingFace(model, tokenizer).capabilities)
    finally:
        sys.setswitchinterval(interval)
        done.set()
        user.join()
    assert wrong == []


def test_a_pass_that_began_before_the_attention_was_looked_for_ends_as_it_would(
    make_model: MakeModel, tokenizer: Any
) -> None:
    model = make_model().eval()
    ids = torch.tensor([[5, 6, 7]])
    plain = model(ids).logits
    meeting = threading.Barrier(2, timeout=10)

    def meet(*_: Any) -> None:
        meeting.wait()

    model.model.layers[0].register_forward_pre_hook(meet)
    model.model.layers[1].register_forward_pre_hook(meet)
    model.lm_head.register_forward_hook(meet)
    results: list[torch.Tensor] = []
    user = threading.Thread(target=lambda: results.append(model(ids).logits))
    user.start()
    while not meeting.n_waiting:
        time.sleep(0.01)
    anyio.run(HuggingFace(model, tokenizer).capabilities)
    user.join()
    assert torch.equal(results[0], plain)


def test_a_cancelled_forward_stops_within_one_layer(make_model: MakeModel, tokenizer: Any) -> None:
    model = make_model(num_hidden_layers=40)
    provider = HuggingFace(model, tokenizer)
    before = state_of(model)
    layers: list[int] = []

    async def main() -> None:
        with anyio.CancelScope() as scope:

            def report(step: Step) -> None:
                layers.append(step.done)
                if step.done == 3:
                    anyio.from_thread.run_sync(scope.cancel)

            await provider.attend(PROMPT, OUTPUT, ALL, progress=report)
        assert scope.cancelled_caught

    anyio.run(main)
    assert layers == [0, 1, 2, 3]
    assert_same(before, state_of(model))
    assert attend(provider).rows.shape[0] > 0


def test_a_cancelled_generation_stops_within_one_token(make_model: MakeModel, tokenizer: Any) -> None:
    provider = HuggingFace(make_model(eos_token_id=None), tokenizer)
    written: list[int] = []

    async def main() -> None:
        with anyio.CancelScope() as scope:

            def report(step: Step) -> None:
                written.append(step.done)
                if step.done == 4:
                    anyio.from_thread.run_sync(scope.cancel)

            await provider.generate(PROMPT, max_tokens=100, seed=0, progress=report)
        assert scope.cancelled_caught

    anyio.run(main)
    assert written == [1, 2, 3, 4]


def test_waiting_for_a_busy_model_can_be_cancelled(make_model: MakeModel, tokenizer: Any) -> None:
    provider = HuggingFace(make_model(), tokenizer)
    busy, finish = threading.Event(), threading.Event()

    def hold(_: Step) -> None:
        busy.set()
        finish.wait(timeout=60)

    holder = threading.Thread(
        target=lambda: anyio.run(lambda: provider.attend(PROMPT, OUTPUT, ALL, progress=hold))
    )
    holder.start()
    assert busy.wait(timeout=60)

    async def wait_a_little() -> bool:
        with anyio.move_on_after(0.2) as scope:
            await provider.attend(PROMPT, OUTPUT, ALL)
        return scope.cancelled_caught

    assert anyio.run(wait_a_little)
    assert holder.is_alive(), "the wait was cancelled, not what it waited for"
    finish.set()
    holder.join()


def test_a_prompt_beyond_the_context_says_by_how_many_tokens(make_model: MakeModel, tokenizer: Any) -> None:
    provider = HuggingFace(make_model(max_position_embeddings=64), tokenizer)
    long = build_prompt("Summarise.", sources=["latex " * 200])
    with pytest.raises(ContextLengthError) as caught:
        attend(provider, prompt=long)
    assert caught.value.tokens - caught.value.limit_tokens == caught.value.excess_tokens > 0
    assert str(caught.value.excess_tokens) in str(caught.value)
    with pytest.raises(ContextLengthError):
        anyio.run(lambda: provider.generate(long, max_tokens=5, seed=0))


def test_an_answer_that_reaches_the_end_of_the_context_is_cut(make_model: MakeModel, tokenizer: Any) -> None:
    provider = HuggingFace(make_model(max_position_embeddings=64, eos_token_id=None), tokenizer)
    generation = anyio.run(lambda: provider.generate(PROMPT, max_tokens=500, seed=0))
    assert generation.finish == "length"
    assert generation.prompt_tokens is not None
    assert generation.prompt_tokens + len(generation.token_ids) == 64


@pytest.mark.parametrize(("layers", "heads"), [((3,), None), (None, (4,)), ((-1,), None)])
def test_an_unknown_layer_or_head_is_refused_with_those_that_exist(
    make_model: MakeModel, tokenizer: Any, layers: tuple[int, ...] | None, heads: tuple[int, ...] | None
) -> None:
    provider = HuggingFace(make_model(), tokenizer)
    query = AttentionQuery(layers=layers, heads=heads)
    with pytest.raises(UnknownLayerError, match=r"0 to [23]"):
        anyio.run(lambda: provider.attend(PROMPT, OUTPUT, query))


@pytest.mark.parametrize(
    ("maker", "config", "error", "named"),
    [
        (
            AutoModelForMaskedLM,
            LongformerConfig(vocab_size=1662, attention_window=[4, 4], **READER),
            CaptureError,
            "LongformerForMaskedLM",
        ),
        (
            AutoModelForCausalLM,
            XLNetConfig(vocab_size=1662, d_model=32, n_layer=2, n_head=2, d_inner=32),
            CaptureError,
            "XLNetLMHeadModel",
        ),
        (
            AutoModelForImageClassification,
            ViTConfig(**READER),
            UnsupportedError,
            "ViTForImageClassification",
        ),
    ],
)
def test_attention_that_is_not_seen_is_an_error_and_never_zeros(
    maker: Any, config: Any, error: type[Exception], named: str, tokenizer: Any
) -> None:
    with pytest.raises(error, match=named):
        attend(HuggingFace(maker.from_config(config), tokenizer))


def test_a_saved_model_gives_the_same_rows_and_a_digest(
    make_model: MakeModel, tokenizer: Any, tmp_path: Path
) -> None:
    model = make_model().eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    provider = HuggingFace(str(tmp_path), device="cpu")
    np.testing.assert_array_equal(attend(provider).rows, attend(HuggingFace(model, tokenizer)).rows)
    revision = anyio.run(provider.capabilities).revision
    assert revision is not None
    assert revision.startswith("sha256:")


def test_a_name_that_is_no_model_is_refused() -> None:
    with pytest.raises(UnknownModelError, match="no/such-model"):
        anyio.run(HuggingFace("no/such-model").capabilities)


def test_a_pickle_is_not_loaded(make_model: MakeModel, tokenizer: Any, tmp_path: Path) -> None:
    model = make_model()
    model.config.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelLoadError, match="safetensors"):
        anyio.run(HuggingFace(str(tmp_path)).capabilities)


def test_a_checkpoint_with_missing_weights_is_refused(
    make_model: MakeModel, tokenizer: Any, tmp_path: Path
) -> None:
    make_model(num_hidden_layers=1).save_pretrained(tmp_path)
    make_model(num_hidden_layers=2).config.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelLoadError, match="would be random"):
        anyio.run(HuggingFace(str(tmp_path)).capabilities)


def test_remote_code_does_not_run_by_itself(make_model: MakeModel, tokenizer: Any, tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(
        config.replace(
            '"model_type": "llama"', '"model_type": "trap", "auto_map": {"AutoConfig": "trap.Trap"}'
        )
    )
    (tmp_path / "trap.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\nclass Trap: pass\n")
    with pytest.raises(ModelLoadError):
        anyio.run(HuggingFace(str(tmp_path)).capabilities)
    assert not (tmp_path / "sprung").exists()


def test_a_tokenizer_whose_pieces_cannot_be_found_in_the_text_is_refused(
    make_model: MakeModel, tokenizer: Any
) -> None:
    class Rhyming(ByT5Tokenizer):
        """Writes other letters than it reads."""

        def _tokenize(self, text: Any, **kwargs: Any) -> Any:
            return ["z"] * len(text)

    with pytest.raises(ModelLoadError, match="fast version"):
        attend(HuggingFace(make_model(), Rhyming()))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", "{"),
        ("config.json", '{"model_type": "llama", "hidden_size": "x"}'),
        ("model.safetensors", "x"),
    ],
)
def test_a_damaged_file_is_said_to_be_damaged(
    make_model: MakeModel, tokenizer: Any, tmp_path: Path, file: str, content: str
) -> None:
    make_model().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / file).write_text(content)
    with pytest.raises(ModelLoadError, match="cannot be"):
        anyio.run(HuggingFace(str(tmp_path)).capabilities)


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_here_is_refused(
    make_model: MakeModel, tokenizer: Any, tmp_path: Path, device: str
) -> None:
    make_model().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelLoadError, match=device):
        anyio.run(HuggingFace(str(tmp_path), device=device).capabilities)


def test_settings_of_the_model_do_not_bend_what_is_most_probable(
    make_model: MakeModel, tokenizer: Any
) -> None:
    model = make_model(eos_token_id=None, tie_word_embeddings=True).eval()  # tied, it repeats its last token
    plain = anyio.run(lambda: HuggingFace(model, tokenizer).generate(PROMPT, max_tokens=20, seed=0))
    model.generation_config.repetition_penalty = 5.0
    model.generation_config.no_repeat_ngram_size = 1
    bent = anyio.run(lambda: HuggingFace(model, tokenizer).generate(PROMPT, max_tokens=20, seed=0))
    assert bent.token_ids == plain.token_ids
    assert len(set(plain.token_ids)) < 20, "nothing is repeated, so this test would find nothing"


def test_greedy_text_equals_that_of_the_library(make_model: MakeModel, tokenizer: Any) -> None:
    model = make_model(eos_token_id=None).eval()
    (turn,) = PROMPT.turns()
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": turn.text}], add_generation_prompt=True, return_dict=False
    )
    expected = model.generate(
        torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), max_new_tokens=20, do_sample=False
    )
    written = anyio.run(lambda: HuggingFace(model, tokenizer).generate(PROMPT, max_tokens=20, seed=0))
    assert written.token_ids == tuple(expected[0, len(ids) :].tolist())


def test_damaged_weights_are_an_error_and_no_explanation(make_model: MakeModel, tokenizer: Any) -> None:
    model = make_model()
    with torch.no_grad():
        model.model.layers[0].self_attn.q_proj.weight.fill_(float("nan"))
    with pytest.raises(CaptureError, match="not finite"):
        attend(HuggingFace(model, tokenizer))
    with pytest.raises(ProviderError, match="finite"):
        anyio.run(lambda: HuggingFace(model, tokenizer).generate(PROMPT, max_tokens=5, seed=0))


def test_a_model_that_reads_in_both_directions_is_refused(tokenizer: Any) -> None:
    config = BertGenerationConfig(
        vocab_size=1662, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    with pytest.raises((CaptureError, UnsupportedError)):
        attend(HuggingFace(AutoModelForCausalLM.from_config(config), tokenizer))


def test_an_error_of_the_callback_is_not_taken_for_one_of_the_model(
    make_model: MakeModel, tokenizer: Any
) -> None:
    def fail(step: Step) -> None:
        raise TypeError(step.stage)

    with pytest.raises(TypeError, match="attend"):
        anyio.run(lambda: HuggingFace(make_model(), tokenizer).attend(PROMPT, OUTPUT, ALL, progress=fail))


def test_the_error_of_a_long_prompt_tells_the_limit_and_what_is_kept_for_the_answer(
    make_model: MakeModel, tokenizer: Any
) -> None:
    provider = HuggingFace(make_model(max_position_embeddings=64), tokenizer)
    long = build_prompt("Summarise.", sources=["latex " * 200])
    with pytest.raises(ContextLengthError, match="can read 64, of which 8 are kept"):
        anyio.run(lambda: provider.generate(long, max_tokens=50, seed=0))
