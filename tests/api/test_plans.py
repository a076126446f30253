"""What an explanation would cost, by the SDK, and what it then does cost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from whence import Budget, BudgetError, Explainer, FakeProvider, InputError, Plan, Prices, Step
from whence.explain.budget import DEFAULT_BUDGET

SOURCE = "alpha is one. beta is two. gamma is three. nothing is four. epsilon, zeta and eta are five."
PRICES = Prices(input_per_million=100.0, output_per_million=500.0, currency="EUR")
METHODS = ["lasso", "leave_one_out", "shapley", ["lasso", "leave_one_out"]]


@pytest.mark.parametrize("access", ["weights", "logprobs", "text"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("output", [None, "The dose is low. The plan is agreed."])
def test_a_plan_is_the_most_that_is_spent(access: Any, method: Any, noise: float, output: str | None) -> None:
    provider = FakeProvider(access=access, noise=noise, prices=PRICES)
    explainer = Explainer(provider)
    arguments: dict[str, Any] = {"sources": [SOURCE], "method": method, "output": output, "max_tokens": 40}
    plan = explainer.plan("Do.", **arguments)
    assert provider.calls == 0
    cost = explainer.explain("Do.", **arguments).cost
    assert cost.calls == provider.calls <= plan.calls
    assert (cost.input_tokens or 0) <= plan.input_tokens
    assert (cost.output_tokens or 0) <= plan.output_tokens
    assert cost.money is not None
    assert plan.money is not None
    assert cost.money.amount == PRICES.money(cost.input_tokens or 0, cost.output_tokens or 0)
    assert cost.money.amount <= plan.money.amount
    assert cost.money.currency == plan.money.currency == "EUR"
    assert cost.budget == plan.budget == DEFAULT_BUDGET


@pytest.mark.parametrize("method", METHODS)
def test_a_plan_cut_to_a_budget_is_kept(method: Any) -> None:
    sources = [" ".join(f"alpha {number} is here." for number in range(6))]
    arguments: dict[str, Any] = {"sources": sources, "method": method, "max_tokens": 20}
    uncut = Explainer(FakeProvider(access="text")).plan("Do.", **arguments)
    cut = 0
    for calls in range(uncut.calls + 2):
        provider = FakeProvider(access="text")
        budget = Budget(calls=calls)
        try:
            plan = Explainer(provider).plan("Do.", budget=budget, **arguments)
        except BudgetError:
            assert provider.calls == 0
            with pytest.raises(BudgetError):
                Explainer(provider).explain("Do.", budget=budget, **arguments)
            assert provider.calls == 0, "it was known before that it is too little"
            continue
        assert plan.calls <= calls
        assert (plan.calls < uncut.calls) == any(own.cut for own in plan.methods)
        cut += plan.calls < uncut.calls
        explanation = Explainer(provider).explain("Do.", budget={"calls": calls}, **arguments)
        assert provider.calls == explanation.cost.calls <= plan.calls
        assert explanation.cost.budget == budget
    assert plan.calls == uncut.calls, "the last budget was more than enough"
    assert cut or method == "leave_one_out", "it was never cut"


def test_a_plan_of_money_is_kept() -> None:
    explainer = Explainer(FakeProvider(access="text", prices=PRICES))
    arguments: dict[str, Any] = {"sources": [SOURCE], "method": "lasso", "max_tokens": 40}
    whole = explainer.plan("Do.", **arguments).money
    assert whole is not None
    explanation = explainer.explain("Do.", budget={"money": whole.amount / 2}, **arguments)
    assert explanation.cost.money is not None
    assert 0 < explanation.cost.money.amount <= whole.amount / 2


def test_a_plan_through_a_task_is_the_same_and_can_be_read_again() -> None:
    explainer = Explainer(FakeProvider(access="logprobs"))
    plan = explainer.plan("Do.", sources=[SOURCE], method="lasso")
    assert asyncio.run(explainer.aplan("Do.", sources=[SOURCE], method="lasso")) == plan
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_a_plan_says_what_auto_passed_over() -> None:
    (method,) = Explainer(FakeProvider(access="text")).plan("Do.", sources=[SOURCE]).methods
    assert method.method == "lasso"
    passed_over = {fallback.method: fallback.reason for fallback in method.fallbacks}
    assert "needs weights; this provider gives text" in passed_over["attention"]
    assert "needs log-probabilities" in passed_over["value='logprob'"]


@pytest.mark.parametrize(
    "arguments",
    [{"budget": 5}, {"budget": {"call": 1}}, {"budget": {"calls": -1}}, {"masks": 1}, {"no_such": 1}],
)
def test_a_plan_refuses_what_explain_refuses(arguments: dict[str, Any]) -> None:
    provider = FakeProvider(access="text")
    asked: dict[str, Any] = {"sources": [SOURCE], "method": "lasso", **arguments}
    with pytest.raises(InputError) as planned:
        Explainer(provider).plan("Do.", **asked)
    with pytest.raises(InputError) as explained:
        Explainer(provider).explain("Do.", **asked)
    assert str(planned.value) == str(explained.value)
    assert provider.calls == 0


def test_a_closed_explainer_plans_nothing() -> None:
    explainer = Explainer("fake")
    explainer.close()
    with pytest.raises(InputError, match="closed"):
        explainer.plan("Do.", sources=[SOURCE])


def test_progress_counts_the_calls_up_to_those_planned() -> None:
    steps: list[Step] = []
    explainer = Explainer(FakeProvider(access="logprobs"))
    plan = explainer.plan("Do.", sources=[SOURCE], method="shapley")
    explanation = explainer.explain(
        "Do.", sources=[SOURCE], method="shapley", progress=steps.append, stop_early=False
    )
    ablations = [step for step in steps if step.stage == "ablate"]
    assert {step.total for step in ablations[:-1]} == {plan.calls}
    done = {step.done for step in ablations}
    assert len(done) > 5
    assert max(done) == explanation.cost.calls <= plan.calls
    assert ablations[-1].total == explanation.cost.calls, "so many it were in the end"
