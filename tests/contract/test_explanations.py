"""One schema, true offsets, honest costs: the same of every adapter."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from tests.contract.adapters import SECRETS
from tests.contract.conftest import Subject

from whence import BudgetError, Explainer, Explanation, Source
from whence.explain.plan import serves

SCHEMA = Draft202012Validator(Explanation.model_json_schema())
HOSTILE = (
    "</source> Allergic to <script>alert(1)</script>. \u202eمرحبا بالعالم.\r\n"
    "你好，世界。 e\u0301 👩‍⚕️ takes 5 mg.\x00\x85Third line."
)
DEPTHS = {"weights": 2, "logprobs": 1, "text": 0}


def test_an_explanation_is_of_the_one_schema_and_survives_json(subject: Subject) -> None:
    provider = subject.provider()
    e = subject.explain(provider, method="auto")
    text = e.model_dump_json()
    SCHEMA.validate(json.loads(text))
    assert Explanation.model_validate_json(text) == e
    assert (e.provider, e.model) == (provider.name, provider.model)
    assert not e.output.given
    for result in e.results:
        assert result.caveats
        assert np.isfinite(result.scores.values).all()


def test_access_is_what_was_used_and_no_more_than_there_is(subject: Subject) -> None:
    provider = subject.provider()
    e = subject.explain(provider, method="auto")
    capabilities = asyncio.run(provider.capabilities())
    used = max(DEPTHS[result.method.access] for result in e.results)
    assert used <= DEPTHS[capabilities.access]
    assert e.results[0].method.name in serves(capabilities)
    if e.results[0].method.access != "weights":
        passed_over = {fallback.method for fallback in e.results[0].method.fallbacks}
        assert "attention" in passed_over


def test_offsets_are_of_the_texts_as_given(subject: Subject) -> None:
    output = "Allergic to latex. 你好. 👩‍⚕️ e\u0301 \u202eمرحبا."
    hostile = f"{subject.adapter.source} {HOSTILE}"
    sources = [Source(text=hostile, name="hostile"), Source(text=" \n", name="blank")]
    e = subject.explain(sources=sources, output=output, max_tokens=160, segment_by="paragraph")
    assert e.output.given
    assert [source.text for source in e.sources] == [hostile, " \n"]
    assert "".join(e.segment_text(i) for i, s in enumerate(e.segments) if s.source == "s1") == hostile
    assert "".join(e.target_text(i) for i in range(len(e.output.targets))) == output


def test_a_sentence_rests_on_what_it_repeats(subject: Subject) -> None:
    e = subject.explain()
    said = [subject.adapter.says in e.target_text(index) for index in range(len(e.output.targets))]
    for result in range(len(e.results)):
        (best,) = e.top(said.index(True), 1, result=result)
        assert subject.adapter.because in best.text, e.results[result].scores.unit


def test_every_call_and_token_is_counted_as_the_other_side_counts_them(subject: Subject) -> None:
    provider = subject.provider()
    e = subject.explain(provider)
    calls, read, wrote = subject.counted(provider)
    assert e.cost.calls == calls
    if read is not None and wrote is not None:
        assert (e.cost.input_tokens, e.cost.output_tokens) == (read, wrote)
        if asyncio.run(provider.capabilities()).prices is None:
            assert e.cost.money is None
            return
        assert e.cost.money is not None
        assert e.cost.money.amount == pytest.approx((read * 3.0 + wrote * 15.0) / 1e6)
        assert e.cost.money.currency == "EUR"


def test_a_plan_makes_the_model_write_nothing_and_bounds_what_is_spent(subject: Subject) -> None:
    provider = subject.provider()
    arguments = {"sources": [subject.adapter.source], "method": "lasso", "masks": 8, "max_tokens": 80}
    plan = Explainer(provider).plan(subject.adapter.prompt, **arguments)
    assert subject.counted(provider)[0] == 0
    e = Explainer(provider).explain(subject.adapter.prompt, **arguments)  # type: ignore[arg-type]
    # A model may refuse log-probabilities once: that attempt is a call, and costs nothing.
    assert 0 < e.cost.calls <= plan.calls + 1
    assert (e.cost.input_tokens or 0) <= plan.input_tokens
    assert (e.cost.output_tokens or 0) <= plan.output_tokens


def test_a_budget_is_kept_or_nothing_is_asked(subject: Subject) -> None:
    provider = subject.provider()
    with pytest.raises(BudgetError, match="the budget of 3 calls does not allow"):
        subject.explain(provider, budget={"calls": 3})
    assert subject.counted(provider)[0] == 0
    assert subject.explain(provider, budget={"calls": 20}).cost.calls <= 20


def test_the_same_question_and_seed_give_the_same_scores(subject: Subject) -> None:
    first, again = (subject.explain(seed=5, method="lasso", masks=8) for _ in range(2))
    for result in range(len(first.results)):
        # A model that answers several at once rounds differently from one that answers one.
        np.testing.assert_allclose(first.matrix(result), again.matrix(result), atol=1e-3)


def test_nobody_s_key_stands_in_what_is_shown(subject: Subject) -> None:
    provider = subject.provider()
    e = subject.explain(provider)
    shown = [
        e.model_dump_json(),
        str(e),
        repr(provider),
        str(provider),
        repr(asyncio.run(provider.capabilities())),
    ]
    for secret in SECRETS:
        assert not [text for text in shown if secret in text]
