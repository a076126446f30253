"""Scores of ablations equal those of other people's packages, and of plain transformers code.

The peers: Captum (leave one out, Shapley values), SHAP (exact Shapley values), ContextCite (random masks).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.providers.huggingface.conftest import DEMO, sharpened
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from whence import Explainer, Explanation, HuggingFace
from whence.explain.methods.lasso import LassoOptions, _masks
from whence.explain.methods.shapley import _orders

# Without numba's compiler, which takes half a minute; and without a download as a package is imported.
with (
    warnings.catch_warnings(),
    mock.patch.dict("os.environ", NUMBA_DISABLE_JIT="1"),
    mock.patch("nltk.download"),
):
    warnings.simplefilter("ignore")
    import context_cite.context_citer  # type: ignore[import-untyped]
    import context_cite.utils  # type: ignore[import-untyped]
    import shap  # type: ignore[import-untyped]
    from captum.attr import (  # type: ignore[import-untyped]
        FeatureAblation,
        LLMAttribution,
        ShapleyValues,
        ShapleyValueSampling,
        TextTemplateInput,
    )
    from context_cite import ContextCiter
    from context_cite.context_partitioner import BaseContextPartitioner  # type: ignore[import-untyped]

TOLERANCE = 1e-4  # nats
RECORDS = (
    ("The patient has had a cough for two weeks.", "He takes aspirin 100 mg."),
    ("Chest film: clear.", "Blood pressure 130 over 80."),
)
MORE = ("He was a smoker.", "No fever was seen.", "Penicillin gave a rash.")
ASKED = "Summarise this record."
OUTPUT = "He takes aspirin. The film was clear."


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(DEMO)


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> LlamaForCausalLM:
    """Random, with attention far from uniform and logits far apart: a segment sways it by nats."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=512,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    made = sharpened(LlamaForCausalLM(config))
    with torch.no_grad():
        made.lm_head.weight.mul_(10)
    return made  # type: ignore[no-any-return]


def render(tokenizer: Any, kept: Sequence[Sequence[str]]) -> str:
    """By hand: the chat prompt of what is kept of each source."""
    return chat(tokenizer, blocks(kept) + ASKED)


def blocks(kept: Sequence[Sequence[str]]) -> str:
    named = [(f"source {number}", [t for t in texts if t]) for number, texts in enumerate(kept, start=1)]
    return "".join(
        f'<source name="{name}">\n{" ".join(texts)}\n</source>\n\n' for name, texts in named if texts
    )


def chat(tokenizer: Any, text: str) -> str:
    messages = [{"role": "user", "content": text}]
    rendered: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return rendered


def regrouped(texts: Sequence[str], sources: Sequence[Sequence[str]]) -> list[list[str]]:
    rest = iter(texts)
    return [[next(rest) for _ in own] for own in sources]


def explained(model: Any, tokenizer: Any, sources: Sequence[Sequence[str]], **parameters: Any) -> Explanation:
    explainer = Explainer(HuggingFace(model, tokenizer))
    texts = [" ".join(sentences) for sentences in sources]
    explanation = explainer.explain(ASKED, sources=texts, output=OUTPUT, **parameters)
    segments = [texts[int(s.source[1:]) - 1][s.start : s.end].strip() for s in explanation.segments]
    assert segments == [text for own in sources for text in own]
    return explanation


def scores_of(explanation: Explanation) -> NDArray[np.float64]:
    scores = np.array(explanation.results[0].scores.values)
    assert np.abs(scores).max() > 0.1  # or nothing would be compared
    return scores


# --- Captum ---


def captum(method: Any, model: Any, tokenizer: Any, **parameters: Any) -> Any:
    """Attributions of the given output, in one pass: its default, token by token, gives other numbers."""
    template = TextTemplateInput(
        template=lambda *texts: render(tokenizer, regrouped(texts, RECORDS)),
        values=[text for own in RECORDS for text in own],
        baselines=[""] * sum(map(len, RECORDS)),
    )
    return LLMAttribution(method, tokenizer).attribute(
        template, target=OUTPUT, forward_in_tokens=False, **parameters
    )


def assert_as_captum(model: Any, tokenizer: Any, theirs: Any, **ours: Any) -> None:
    whole = scores_of(explained(model, tokenizer, RECORDS, target_by="whole", **ours))
    assert whole[0] == pytest.approx(theirs.seq_attr.numpy(), abs=TOLERANCE)
    tokens = scores_of(explained(model, tokenizer, RECORDS, target_by="token", **ours))
    assert tokens == pytest.approx(theirs.token_attr.numpy(), abs=TOLERANCE)


def test_leave_one_out_is_captums_feature_ablation(model: Any, tokenizer: Any) -> None:
    theirs = captum(FeatureAblation(model), model, tokenizer)
    assert_as_captum(model, tokenizer, theirs, method="leave_one_out")


def test_exhaustive_shapley_values_are_captums(model: Any, tokenizer: Any) -> None:
    theirs = captum(ShapleyValues(model), model, tokenizer)
    assert_as_captum(model, tokenizer, theirs, method="shapley", permutations=24)


@pytest.mark.parametrize("seed", [0, 1])
def test_sampled_shapley_values_are_captums_along_the_same_orders(
    seed: int, model: Any, tokenizer: Any
) -> None:
    method = ShapleyValueSampling(model)

    def orders(features: int, samples: int) -> Iterable[Sequence[int]]:
        return [order.tolist() for order in _orders(features, samples, seed, exact=False)]

    method.permutation_generator = orders
    theirs = captum(method, model, tokenizer, n_samples=6)
    ours: dict[str, Any] = {"method": "shapley", "permutations": 6, "stop_early": False, "seed": seed}
    assert_as_captum(model, tokenizer, theirs, **ours)


# --- SHAP, and plain transformers ---


def log_probability(model: Any, tokenizer: Any) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    """Rows of 0 and 1, one for each segment, to log-probabilities: eager attention, full logits, no cache."""
    eager = LlamaForCausalLM._from_config(model.config, attn_implementation="eager").eval()
    eager.load_state_dict(model.state_dict())
    answer = tokenizer(OUTPUT, add_special_tokens=False)["input_ids"]
    texts = [text for own in RECORDS for text in own]

    def value(rows: NDArray[Any]) -> NDArray[np.float64]:
        found: list[float] = []
        for row in rows:
            kept = [text if keep else "" for text, keep in zip(texts, row, strict=True)]
            prompt = render(tokenizer, regrouped(kept, RECORDS))
            ids = tokenizer(prompt, add_special_tokens=False)["input_ids"] + answer
            with torch.no_grad():
                logits = eager(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
            logprobs = logits.log_softmax(dim=-1)
            first = len(ids) - len(answer)
            found.append(sum(logprobs[first - 1 + i, token].item() for i, token in enumerate(answer)))
        return np.array(found)

    return value


def test_exhaustive_shapley_values_are_those_of_shap(model: Any, tokenizer: Any) -> None:
    value = log_probability(model, tokenizer)
    nothing, everything = np.zeros((1, 4)), np.ones((1, 4))
    theirs = shap.explainers.Exact(value, shap.maskers.Independent(nothing))(everything)
    explanation = explained(model, tokenizer, RECORDS, target_by="whole", method="shapley", permutations=24)
    ours = scores_of(explanation)[0]
    assert ours == pytest.approx(theirs.values[0], abs=TOLERANCE)
    assert ours.sum() == pytest.approx(value(everything)[0] - value(nothing)[0], abs=TOLERANCE)


def test_leave_one_out_is_that_of_plain_transformers(model: Any, tokenizer: Any) -> None:
    value = log_probability(model, tokenizer)
    ours = scores_of(explained(model, tokenizer, RECORDS, target_by="whole", method="leave_one_out"))[0]
    assert ours == pytest.approx(value(np.ones((1, 4)))[0] - value(1 - np.eye(4)), abs=TOLERANCE)


# --- ContextCite ---


class Sentences(BaseContextPartitioner):  # type: ignore[misc]
    """Our segments, in the markup of our prompt."""

    def __init__(self, sources: Sequence[Sequence[str]]) -> None:
        super().__init__(blocks(sources))
        self._sources = sources
        self._texts = [text for own in sources for text in own]

    @property
    def num_sources(self) -> int:
        return len(self._texts)

    def split_context(self) -> None:
        """It is split already."""

    def get_source(self, index: int) -> str:
        return self._texts[index]

    def get_context(self, mask: NDArray[np.bool_] | None = None) -> str:
        kept = [text if mask is None or mask[i] else "" for i, text in enumerate(self._texts)]
        return blocks(regrouped(kept, self._sources))


@pytest.fixture
def citer(model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """ContextCite on our masks, with the given output as what was generated."""
    sources = (*RECORDS, MORE)
    ours = _masks(7, 64, LassoOptions(), 0, exact=False)
    monkeypatch.setattr(context_cite.utils, "_create_mask", lambda size, keep, seed: ours[seed])
    aggregate = partial(context_cite.utils.aggregate_logit_probs, output_type="log_prob")
    monkeypatch.setattr(context_cite.context_citer, "aggregate_logit_probs", aggregate)
    partitioner = Sentences(sources)
    made = ContextCiter(
        model,
        tokenizer,
        partitioner.context,
        ASKED,
        prompt_template="{context}{query}",
        partitioner=partitioner,
    )
    made._cache["output"] = render(tokenizer, sources) + OUTPUT
    return made


@pytest.mark.filterwarnings("ignore:.*torch.cuda.amp.autocast:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*CUDA is not available:UserWarning")
def test_log_probabilities_under_random_masks_are_those_of_context_cite(
    citer: Any, model: Any, tokenizer: Any
) -> None:
    theirs = torch.nn.functional.logsigmoid(torch.tensor(citer._logit_probs)).numpy()
    assert theirs.std(axis=0).max() > 0.1
    known: dict[str, Any] = {}

    class Noting(HuggingFace):
        async def score(self, prompts: Any, output: Any, *, progress: Any = None) -> Any:
            found = await super().score(prompts, output, progress=progress)
            known.update(
                (prompt.turns()[-1].text, scores.logprobs_nats)
                for prompt, scores in zip(prompts, found, strict=True)
            )
            return found

    texts = [" ".join(sentences) for sentences in (*RECORDS, MORE)]
    Explainer(Noting(model, tokenizer)).explain(
        ASKED, sources=texts, output=OUTPUT, method="lasso", stop_early=False
    )
    ours = [list(known[citer.partitioner.get_context(mask) + ASKED]) for mask in citer._masks]
    assert len(ours) == 64
    assert np.array(ours) == pytest.approx(theirs, abs=TOLERANCE)


@pytest.mark.filterwarnings("ignore:.*torch.cuda.amp.autocast:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*CUDA is not available:UserWarning")
@pytest.mark.parametrize("target_by", ["whole", "sentence", "word"])
def test_lasso_is_that_of_context_cite_on_the_same_masks(
    target_by: Any, citer: Any, model: Any, tokenizer: Any
) -> None:
    explanation = explained(
        model, tokenizer, (*RECORDS, MORE), method="lasso", stop_early=False, target_by=target_by
    )
    assert citer.response == OUTPUT
    theirs = []
    for target in explanation.output.targets:
        text = OUTPUT[target.start : target.end].rstrip()
        theirs.append(citer.get_attributions(target.start, target.start + len(text), verbose=False))
    assert scores_of(explanation) == pytest.approx(np.array(theirs), abs=TOLERANCE)
    assert (np.array(theirs) == 0).any()  # it is sparse, and so is ours
