"""What a provider can, compared with what a method needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from whence import Explainer
from whence.explain.budget import DEFAULT_BUDGET, Budget
from whence.explain.methods import METHODS, Method, get_method
from whence.explain.plan import choose, serves
from whence.explain.result import Fallback
from whence.providers.base import Access, Capabilities, Prices
from whence.providers.errors import BudgetError, InputError, UnknownMethodError, UnsupportedError
from whence.providers.fake import FakeProvider

WEIGHTS = Capabilities(access="weights", attends=True, scores=True)
LOGPROBS = Capabilities(access="logprobs", scores=True)
TEXT = Capabilities(access="text")
ATTENTION = ("attention", "attention_rollout", "attention_value_weighted")
ABLATIONS = ("lasso", "leave_one_out", "shapley")
OUTPUT = "The dose is low. The scan was clear. The plan is agreed."
SOURCES = (
    "It says alpha. It says beta. It says gamma.\n\nIt says delta. Now epsilon.",
    "Then zeta. And eta. Hypercholesterolaemia.",
)
PRICES = Prices(input_per_million=3.0, output_per_million=15.0)


def asked(**options: Any) -> dict[str, Any]:
    return {"sources": list(SOURCES), **options}


def test_auto_takes_attention_where_weights_are_seen() -> None:
    choice = choose("auto", WEIGHTS, provider="fake")
    assert choice.method.name == "attention"
    assert choice.fallbacks == ()


def test_a_method_asked_for_by_name_is_taken() -> None:
    choice = choose("attention", WEIGHTS, provider="fake")
    assert choice.method.name == "attention"
    assert choice.fallbacks == ()


@pytest.mark.parametrize("capabilities", [LOGPROBS, TEXT], ids=lambda c: c.access)
def test_auto_records_what_it_passed_over_and_why(capabilities: Capabilities) -> None:
    choice = choose("auto", capabilities, provider="fake")
    assert choice.method.name == "lasso"
    assert choice.fallbacks == tuple(
        Fallback(method=name, reason=f"needs weights; this provider gives {capabilities.access}")
        for name in ATTENTION
    )
    assert names(choice.rest) == ["leave_one_out", "shapley"]


def names(candidates: Sequence[Method | Fallback]) -> list[str]:
    return [item.method if isinstance(item, Fallback) else item.name for item in candidates]


def test_auto_keeps_what_else_could_be_tried() -> None:
    rest = choose("auto", WEIGHTS, provider="fake").rest
    assert names(rest) == [*ATTENTION[1:], *ABLATIONS]


def test_what_cannot_be_served_is_refused_with_what_can() -> None:
    with pytest.raises(UnsupportedError) as caught:
        choose("attention", LOGPROBS, provider="fake")
    assert str(caught.value) == (
        "attention needs weights; this provider gives logprobs. fake can serve: lasso, leave_one_out, shapley"
    )


@pytest.mark.parametrize("capabilities", [TEXT, LOGPROBS], ids=lambda c: c.access)
def test_a_provider_that_no_method_can_explain_is_refused(
    capabilities: Capabilities, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = {name: METHODS[name] for name in ATTENTION}
    monkeypatch.setattr("whence.explain.plan.METHODS", only)
    monkeypatch.setattr("whence.explain.plan.AUTO", tuple(only))
    with pytest.raises(UnsupportedError, match=r"^attention needs weights.*fake can serve: none$"):
        choose("attention", capabilities, provider="fake")
    with pytest.raises(UnsupportedError, match="no method can explain fake: attention needs weights") as said:
        choose("auto", capabilities, provider="fake")
    for name in only:
        assert f"{name} needs weights; this provider gives {capabilities.access}" in str(said.value)


@pytest.mark.parametrize("name", ["", "Attention", "attention ", "lime"])
def test_an_unknown_method_is_refused_with_those_that_exist(name: str) -> None:
    with pytest.raises(UnknownMethodError, match=r"known: auto, attention") as caught:
        choose(name, WEIGHTS, provider="fake")
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [(WEIGHTS, (*ATTENTION, *ABLATIONS)), (LOGPROBS, ABLATIONS), (TEXT, ABLATIONS)],
    ids=["weights", "logprobs", "text"],
)
def test_what_can_be_served_is_listed(capabilities: Capabilities, expected: Sequence[str]) -> None:
    assert serves(capabilities) == list(expected)


def test_a_reduction_that_a_model_refuses_is_passed_on_with_the_reason() -> None:
    capabilities = replace(WEIGHTS, refused={"rollout": "layers 0, 1 (Mamba) have no attention"})
    assert serves(capabilities) == ["attention", "attention_value_weighted", *ABLATIONS]
    with pytest.raises(UnsupportedError) as caught:
        choose("attention_rollout", capabilities, provider="fake")
    assert str(caught.value) == (
        "attention_rollout cannot be had from this model: layers 0, 1 (Mamba) have no attention. "
        "fake can serve: attention, attention_value_weighted, lasso, leave_one_out, shapley"
    )


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_there_under_its_name(name: str) -> None:
    assert get_method(name).name == name


@pytest.mark.parametrize("access", ["logprobs", "text"])
def test_an_explanation_that_cannot_be_made_asks_nothing_of_the_model(access: Access) -> None:
    provider = FakeProvider(access=access)
    with pytest.raises(UnsupportedError):
        Explainer(provider).explain("Go.", sources=["alpha"], method="attention")
    assert provider.calls == 0


# --- what an explanation records ---


def fallbacks_of(provider: FakeProvider, **options: Any) -> dict[str, str]:
    explanation = Explainer(provider).explain("Go.", **asked(output=OUTPUT, **options))
    return {item.method: item.reason for item in explanation.results[0].method.fallbacks}


def test_everything_that_was_passed_over_is_recorded_at_every_level_of_access() -> None:
    assert fallbacks_of(FakeProvider()) == {}
    assert fallbacks_of(FakeProvider(access="logprobs")) == dict.fromkeys(
        ATTENTION, "needs weights; this provider gives logprobs"
    )
    assert fallbacks_of(FakeProvider(access="text")) == {
        **dict.fromkeys(ATTENTION, "needs weights; this provider gives text"),
        "value='logprob'": "needs log-probabilities of a given output; this provider gives text",
    }
    assert fallbacks_of(FakeProvider(access="text"), method="shapley") == {
        "value='logprob'": "needs log-probabilities of a given output; this provider gives text"
    }
    assert fallbacks_of(FakeProvider(), method="lasso") == {}
    assert fallbacks_of(FakeProvider(), method="lasso", value="similarity") == {}, "nothing was passed over"


@dataclass(kw_only=True, eq=False)
class Boastful(FakeProvider):
    """Claims more than it has."""

    lies: str = "score"

    async def score(self, *args: Any, **options: Any) -> Any:
        if self.lies == "score":
            raise UnsupportedError("this endpoint tells nothing of a given text")
        return await super().score(*args, **options)

    async def attend(self, *args: Any, **options: Any) -> Any:
        if self.lies == "attend":
            raise UnsupportedError("this model keeps its attention to itself")
        return await super().attend(*args, **options)


@pytest.mark.parametrize("method", ABLATIONS)
def test_log_probabilities_that_turn_out_impossible_are_passed_over_with_the_reason(method: str) -> None:
    provider = Boastful(access="logprobs")
    explanation = Explainer(provider).explain("Go.", **asked(output=OUTPUT, method=method))
    (result,) = explanation.results
    assert result.method.family == "perturbation"
    assert result.method.fallbacks == (
        Fallback(method="value='logprob'", reason="this endpoint tells nothing of a given text"),
    )
    with pytest.raises(UnsupportedError, match="this endpoint tells nothing"):
        Explainer(provider).explain("Go.", **asked(output=OUTPUT, method=method, value="logprob"))


def test_attention_that_turns_out_impossible_is_passed_over_by_auto_alone() -> None:
    provider = Boastful(lies="attend")
    (result,) = Explainer(provider).explain("Go.", **asked(output=OUTPUT)).results
    assert result.method.name == "lasso"
    reasons = {item.method: item.reason for item in result.method.fallbacks}
    assert list(reasons) == list(ATTENTION)
    assert reasons["attention"] == "this model keeps its attention to itself"
    with pytest.raises(UnsupportedError, match="keeps its attention to itself"):
        Explainer(provider).explain("Go.", **asked(output=OUTPUT, method="attention"))


def test_attention_that_turns_out_impossible_leaves_tokens_without_a_method() -> None:
    provider = Boastful(lies="attend")
    with pytest.raises(UnsupportedError, match="segment_by='word'"):
        Explainer(provider).explain("Go.", **asked(output=OUTPUT, segment_by="token"))


# --- the plan ---


@pytest.mark.parametrize("access", ["weights", "logprobs", "text"])
@pytest.mark.parametrize("output", [None, OUTPUT], ids=["written", "given"])
@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize(
    "method", ["auto", *ABLATIONS, ("shapley", "lasso"), ("leave_one_out", "lasso", "shapley")], ids=str
)
def test_a_plan_asks_nothing_and_bounds_what_is_then_spent(
    access: Access, output: str | None, noise: float, method: str | tuple[str, ...]
) -> None:
    provider = FakeProvider(access=access, noise=noise, prices=PRICES)
    explainer = Explainer(provider)
    options = asked(output=output, method=method, max_tokens=20, budget=Budget(calls=5000))
    plan = explainer.plan("Go.", **options)
    assert provider.calls == 0
    cost = explainer.explain("Go.", **options).cost
    assert cost.calls == provider.calls <= plan.calls
    assert (cost.input_tokens or 0) <= plan.input_tokens
    assert (cost.output_tokens or 0) <= plan.output_tokens
    assert cost.money is not None
    assert plan.money is not None
    assert cost.money.amount <= plan.money.amount
    assert (plan.provider, plan.model, plan.access) == ("fake", "fake", access)
    assert plan.segments == 8
    assert plan.counted
    assert plan.calls == sum(part.calls for part in plan.methods) + (output is None)
    assert plan.budget == Budget(calls=5000)


@pytest.mark.parametrize("access", ["logprobs", "text"])
def test_the_calls_of_leave_one_out_are_planned_exactly(access: Access) -> None:
    provider = FakeProvider(access=access)
    options = asked(output=OUTPUT, method="leave_one_out")
    plan = Explainer(provider).plan("Go.", **options)
    cost = Explainer(provider).explain("Go.", **options).cost
    assert plan.calls == cost.calls == 1 + 8
    assert plan.methods[0].cut is None


def test_attention_is_one_pass() -> None:
    plan = Explainer(FakeProvider()).plan("Go.", **asked(method="attention", output=OUTPUT))
    assert (plan.calls, plan.output_tokens, plan.money, plan.budget) == (1, 0, None, None)


def test_a_plan_says_what_auto_passes_over() -> None:
    (part,) = Explainer(FakeProvider(access="text")).plan("Go.", **asked()).methods
    assert [item.method for item in part.fallbacks] == [*ATTENTION, "value='logprob'"]
    assert part.family == "perturbation"


def test_a_plan_of_a_cut_says_what_is_cut() -> None:
    provider = FakeProvider(access="logprobs")
    options = asked(output=OUTPUT, method="lasso", segment_by="word", budget={"calls": 31})
    plan = Explainer(provider).plan("Go.", **options)
    assert plan.methods[0].cut == "31 of 65 calls"
    assert plan.calls == 31
    assert Explainer(provider).explain("Go.", **options).cost.calls <= 31


def test_what_comes_later_keeps_its_least() -> None:
    options = asked(output=OUTPUT, method=["shapley", "leave_one_out"], budget={"calls": 30})
    plan = Explainer(FakeProvider(access="logprobs")).plan("Go.", **options)
    assert [part.method for part in plan.methods] == ["shapley", "leave_one_out"]
    assert plan.methods[0].calls == 30 - 9
    assert plan.methods[1].calls == 9
    assert plan.methods[1].cut is None


@pytest.mark.parametrize("method", ABLATIONS)
@pytest.mark.parametrize("kind", ["calls", "tokens"])
def test_a_budget_of_the_cheapest_plan_is_enough_and_one_less_is_refused(method: str, kind: str) -> None:
    provider = FakeProvider(access="text")
    options = asked(output=OUTPUT, method=method, max_tokens=20)

    def fits(limit: int) -> bool:
        try:
            Explainer(provider).plan("Go.", **options, budget={kind: limit})
        except BudgetError:
            return False
        return True

    low, high = 0, 100_000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    assert provider.calls == 0
    with pytest.raises(BudgetError, match="does not allow the cheapest plan for"):
        Explainer(provider).explain("Go.", **options, budget={kind: low})
    assert provider.calls == 0
    cost = Explainer(provider).explain("Go.", **options, budget={kind: high}).cost
    spent = {"calls": cost.calls, "tokens": (cost.input_tokens or 0) + (cost.output_tokens or 0)}
    assert 0 < spent[kind] <= high


def test_a_default_budget_is_in_the_plan_of_what_costs_money() -> None:
    plan = Explainer(FakeProvider(access="text", prices=PRICES)).plan("Go.", **asked(method="lasso"))
    assert plan.budget == DEFAULT_BUDGET


def test_prices_come_from_the_provider_and_are_of_the_planned_tokens() -> None:
    plan = Explainer(FakeProvider(access="text", prices=PRICES)).plan("Go.", **asked(method="lasso"))
    assert plan.money is not None
    assert plan.money.amount == pytest.approx((3 * plan.input_tokens + 15 * plan.output_tokens) / 1e6)
    assert plan.money.currency == "USD"


def test_a_prompt_that_cannot_be_counted_is_estimated_and_said_to_be() -> None:
    class Countless:
        name = model = "countless"
        generate = FakeProvider(access="text").generate

        async def capabilities(self) -> Capabilities:
            return replace(await FakeProvider(access="text").capabilities(), counts=False)

    plan = Explainer(Countless()).plan("Go.", **asked(method="lasso"))
    assert not plan.counted
    assert 30 < plan.prompt_tokens < 80


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"method": "lime"}, UnknownMethodError),
        ({"method": "attention"}, UnsupportedError),
        ({"masks": 64, "method": "shapley"}, InputError),
        ({"method": ["lasso", "lasso"]}, InputError),
        ({"budget": {"calls": 0}}, BudgetError),
    ],
    ids=["unknown", "unsupported", "parameter", "twice", "budget"],
)
def test_a_plan_is_refused_as_the_explanation_would_be(
    options: Mapping[str, Any], error: type[Exception]
) -> None:
    provider = FakeProvider(access="text")
    with pytest.raises(error) as planned:
        Explainer(provider).plan("Go.", **asked(**options))
    with pytest.raises(error) as explained:
        Explainer(provider).explain("Go.", **asked(**options))
    assert str(planned.value) == str(explained.value)
    assert provider.calls == 0
