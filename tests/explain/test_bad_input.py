"""What is odd gives a sane result, and what is wrong a clear error, before anything is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from whence import Explainer
from whence.explain.schema import Explanation
from whence.providers.base import Access, Prices
from whence.providers.errors import (
    BudgetError,
    InputError,
    NoSourceError,
    UnknownMethodError,
    UnknownScorerError,
    UnsupportedError,
    WhenceError,
)
from whence.providers.fake import FakeProvider, Rule

DESIGNS = ["lasso", "leave_one_out", "shapley"]
ACCESS: list[Access] = ["logprobs", "text"]
DOSE = "The dose is low."
SOURCES = ["It says alpha. It says beta.", "It says gamma."]


def said(target: str, text: str) -> float:
    return float(target.strip() in text)


def explain(provider: FakeProvider, sources: Sequence[str] = SOURCES, **options: Any) -> Explanation:
    return Explainer(provider).explain("Go.", sources=list(sources), **options)


def scores_are_whole(explanation: Explanation) -> bool:
    """One finite number for every target and segment."""
    return all(
        len(result.scores.values) == len(explanation.output.targets)
        and all(len(row) == len(explanation.segments) for row in result.scores.values)
        and all(math.isfinite(value) for row in result.scores.values for value in row)
        for result in explanation.results
    )


# --- odd, but sane ---


@pytest.mark.parametrize("method", DESIGNS)
@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize("text", ["It says alpha.", "alpha", " \n alpha \n "])
def test_one_segment_alone_gets_all_of_the_credit(method: str, access: Access, text: str) -> None:
    provider = FakeProvider(access=access)
    explanation = explain(provider, [text], output=DOSE, method=method, scorer=said)
    ((score,),) = explanation.results[0].scores.values
    whole = {"logprobs": 3.0, "text": 1.0}[access]
    assert score == pytest.approx(whole, rel=0.05), "lasso shrinks by its penalty"
    assert scores_are_whole(explanation)
    assert provider.calls <= 4


@pytest.mark.parametrize("method", DESIGNS)
@pytest.mark.parametrize("access", ACCESS)
def test_a_thousand_segments(method: str, access: Access) -> None:
    text = "\n".join("alpha" if n == 500 else "other" for n in range(1000))
    provider = FakeProvider(access=access, max_in_flight=16)
    parameters: dict[str, Any] = {"permutations": 1} if method == "shapley" else {}
    explanation = explain(provider, [text], output=DOSE, method=method, scorer=said, **parameters)
    (result,) = explanation.results
    assert len(explanation.segments) == 1000
    assert scores_are_whole(explanation)
    (row,) = result.scores.values
    assert max(range(1000), key=row.__getitem__) == 500
    assert provider.calls == explanation.cost.calls <= 1 + 1000
    if method == "lasso":
        assert any("1000 passages and only" in caveat for caveat in result.caveats)


@pytest.mark.parametrize("method", DESIGNS)
def test_an_output_that_the_model_would_never_write_has_no_cause_and_a_caveat(method: str) -> None:
    for access, caveat in (("logprobs", "would hardly write"), ("text", "not written again")):
        unlikely = Rule(text="I am a teapot.", cues={"absent": 200.0})
        provider = FakeProvider(access=access, rules=[unlikely])  # type: ignore[arg-type]
        explanation = explain(provider, output="I am a teapot.", method=method, scorer=said)
        (result,) = explanation.results
        assert any(caveat in text for text in result.caveats), (access, result.caveats)
        assert [value for row in result.scores.values for value in row] == [0, 0, 0]


def test_a_blank_source_beside_others_has_a_score_of_zero() -> None:
    explanation = explain(
        FakeProvider(access="logprobs"), [" ", "It says alpha.", "\n"], output=DOSE, method="leave_one_out"
    )
    (row,) = explanation.results[0].scores.values
    assert row == pytest.approx((0, 3, 0))


def test_a_budget_without_limits_sets_none() -> None:
    explanation = explain(FakeProvider(access="logprobs"), output=DOSE, budget={})
    assert explanation.cost.calls > 1
    assert scores_are_whole(explanation)


def test_confirmations_can_be_left_away() -> None:
    provider = FakeProvider(access="text")
    explanation = explain(provider, output=DOSE, method="lasso", confirm=0, scorer=said)
    assert explanation.results[0].confirmations == ()


# --- refused before anything is asked ---

WRONG: list[tuple[dict[str, Any], type[WhenceError], str]] = [
    (
        {"budget": {"calls": 1}},
        BudgetError,
        "the budget of 1 calls does not allow the cheapest plan for lasso",
    ),
    ({"budget": {"tokens": 5}}, BudgetError, "the budget of 5 tokens does not allow the cheapest plan"),
    ({"budget": {"money": 0}}, BudgetError, "more than 0 USD"),
    ({"budget": {"seconds": 0}}, BudgetError, "seconds are over"),
    ({"budget": {"calls": -1}}, InputError, "the budget cannot be understood"),
    ({"budget": {"call": 9}}, InputError, "the budget cannot be understood"),
    ({"budget": "much"}, InputError, "the budget cannot be understood"),
    ({"masks": "x"}, InputError, "masks is a str"),
    ({"masks": 1}, InputError, "masks is 1"),
    ({"masks": 10**9}, InputError, "masks is 1000000000"),
    ({"masks": None}, InputError, "masks is None"),
    ({"keep": 2}, InputError, "keep is 2"),
    ({"keep": 0}, InputError, "keep is 0"),
    ({"alpha": 0}, InputError, "alpha is 0"),
    ({"alpha": math.nan}, InputError, "alpha is nan"),
    ({"confirm": -1}, InputError, "confirm is -1"),
    ({"stop_early": "perhaps"}, InputError, "stop_early is a str"),
    ({"value": "perplexity"}, InputError, "value is a str"),
    ({"permutations": 8}, InputError, "lasso has no parameter 'permutations'; it takes"),
    ({"layers": [0]}, InputError, "lasso has no parameter 'layers'"),
    ({"Masks": 64}, InputError, "lasso has no parameter 'Masks'"),
    ({"method": "shapley", "permutations": 0}, InputError, "permutations is 0"),
    ({"method": "shapley", "permutations": "all"}, InputError, "permutations is a str"),
    ({"method": "leave_one_out", "masks": 64}, InputError, "leave_one_out has no parameter 'masks'"),
    ({"method": "lime"}, UnknownMethodError, "unknown method 'lime'"),
    ({"method": []}, InputError, "name one method"),
    ({"method": ["lasso", "auto"]}, InputError, "name each one once"),
    ({"scorer": "bleu"}, UnknownScorerError, "unknown scorer 'bleu'"),
    ({"scorer": 5}, InputError, "scorer"),
    ({"scorer_model": "some/model"}, InputError, "model"),
    ({"segment_by": "token"}, UnsupportedError, "segment_by='word'"),
    ({"segment_by": "line"}, InputError, "segment_by is 'line'"),
    ({"target_by": "token"}, UnsupportedError, "target_by='word'"),
    ({"value": "logprob"}, UnsupportedError, "value='logprob' needs log-probabilities"),
    ({"sources": [" ", ""]}, NoSourceError, "no source has any text"),
    ({"output": " \n"}, InputError, "the output is empty"),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG, ids=lambda v: str(v)[:60])
@pytest.mark.parametrize("output", [DOSE, None], ids=["given", "written"])
def test_what_is_wrong_is_refused_before_anything_is_asked(
    options: dict[str, Any], error: type[WhenceError], message: str, output: str | None
) -> None:
    provider = FakeProvider(access="text", prices=Prices(input_per_million=1, output_per_million=1))
    given = {"output": output, "method": "lasso", "sources": SOURCES, **options}
    with pytest.raises(error) as caught:
        explain(provider, **given)
    assert message in str(caught.value)
    assert provider.calls == 0


@pytest.mark.parametrize("method", DESIGNS)
def test_tokens_of_sources_cannot_be_removed_at_any_access(method: str) -> None:
    for access in ("weights", "logprobs", "text"):
        provider = FakeProvider(access=access)
        with pytest.raises(UnsupportedError, match="segment_by='word'"):
            explain(provider, output=DOSE, method=method, segment_by="token")
        assert provider.calls == 0


def test_tokens_of_the_output_can_be_explained_where_they_are_known() -> None:
    explanation = explain(
        FakeProvider(access="logprobs"), output=DOSE, method="leave_one_out", target_by="token"
    )
    assert [row[0] for row in explanation.results[0].scores.values] == pytest.approx([0.75] * 4)


def test_auto_does_not_look_for_another_method_where_the_request_is_wrong() -> None:
    provider = FakeProvider(access="text")
    with pytest.raises(UnsupportedError, match="target_by='word'"):
        explain(provider, target_by="token")
    assert provider.calls == 0


def test_a_parameter_of_one_of_several_methods_is_for_that_one() -> None:
    explanation = explain(
        FakeProvider(access="logprobs"), output=DOSE, method=["lasso", "shapley"], masks=64, permutations=2
    )
    assert scores_are_whole(explanation)
    assert explanation.results[1].method.parameters["permutations"] == 2
