"""What an explanation and its removals cost together, and what is left where one of them fails."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda
from tests.api.langchain.conftest import PATIENCE_SECONDS, WROTE, Make, explained, to
from tests.api.langchain.test_traces import Brings, joined

from whence import Explainer, FakeProvider
from whence.api.langchain import ExplanationHandler
from whence.providers.base import Prices

PRICES = Prices(input_per_million=1.0, output_per_million=2.0, currency="EUR")
TEXTS = ["Take alpha daily before food comes.", "The scan shows gamma on the left.", "Parking is free today."]


def chain() -> Any:
    documents = [Document(text) for text in TEXTS]
    return Brings(documents=documents) | RunnableLambda(joined) | FakeListChatModel(responses=[WROTE])


def paid() -> FakeProvider:
    return FakeProvider(access="text", prices=PRICES)


@pytest.mark.parametrize("method", ["leave_one_out", "lasso"])
def test_what_is_planned_is_enough_for_both(method: str, handler: Make) -> None:
    made = handler({"*": Explainer(paid())}, method=method)
    chain().invoke("x", to(made))
    assert made.flush(PATIENCE_SECONDS)
    (record,) = made.records
    plan = record.plan
    assert plan is not None
    assert [one.method for one in plan.methods] == [method, "leave_one_out"]
    assert plan.calls == sum(one.calls for one in plan.methods)
    assert plan.input_tokens == sum(one.input_tokens for one in plan.methods)
    assert plan.money is not None
    assert plan.money.amount == pytest.approx(PRICES.money(plan.input_tokens, plan.output_tokens))
    assert f"budget={{'calls': {plan.calls}}}" in record.reason
    provider = paid()
    made = handler({"*": Explainer(provider)}, method=method, budget={"calls": plan.calls})
    chain().invoke("x", to(made))
    (record,) = explained(made)
    assert record.removals is not None
    assert provider.calls <= plan.calls


@pytest.mark.parametrize(
    ("budget", "enough"),
    [({"calls": 8}, False), ({"calls": 9}, True), ({"tokens": 120}, False)],
    ids=str,
)
def test_removals_have_what_is_left(budget: Any, enough: bool, handler: Make) -> None:
    provider = paid()
    made = handler({"*": Explainer(provider)}, method="leave_one_out", max_tokens=10, budget=budget)
    chain().invoke("x", to(made))
    assert made.flush(PATIENCE_SECONDS)
    (record,) = made.records
    assert record.status == "explained"
    assert (record.removals is not None) == enough
    assert enough or record.reason.startswith("no removals: the budget of ")
    spent = [one.cost for one in (record.explanation, record.removals) if one is not None]
    assert sum(cost.calls for cost in spent) == provider.calls <= budget.get("calls", 100)


def test_removals_tell_how_much_all_documents_are_worth(handler: Make) -> None:
    made = handler(method="leave_one_out")
    chain().invoke("x", to(made))
    (record,) = explained(made)
    assert record.removals is not None
    assert record.explanation is not None
    (all_of_them,) = (result.groundedness for result in record.removals.results)
    assert (all_of_them.k, len(all_of_them.values or ())) == ((len(TEXTS),), 2)
    assert record.explanation.results[0].groundedness.values is None


def test_removals_that_were_asked_for_are_not_measured_twice(provider: FakeProvider, handler: Make) -> None:
    made = handler(method="leave_one_out", segment_by="source")
    chain().invoke("x", to(made))
    (record,) = explained(made)
    assert record.explanation is not None
    assert record.removals is not None
    assert record.removals.results == record.explanation.results
    assert record.removals.results[0].groundedness.values is not None
    assert provider.calls == record.explanation.cost.calls


class Interrupted(Explainer):
    """Cannot take anything away; tells how the record stands meanwhile."""

    handler: ExplanationHandler

    def explain(self, *given: Any, **options: Any) -> Any:
        if options["method"] == "leave_one_out":
            self.seen = [(one.status, one.explanation, one.chunks) for one in self.handler.records]
            raise RuntimeError("cannot schedule new futures")
        return super().explain(*given, **options)


def test_removals_that_fail_leave_the_explanation(handler: Make, provider: FakeProvider) -> None:
    explainer = Interrupted(provider)
    made = explainer.handler = handler({"*": explainer})
    chain().invoke("x", to(made))
    assert made.flush(PATIENCE_SECONDS)
    (record,) = made.records
    assert (record.status, record.reason) == ("explained", "no removals: RuntimeError")
    assert (record.removals, made.counts.explained, made.errors) == (None, 1, [record.error])
    assert len(made.explanations) == 1
    assert explainer.seen == [("waiting", None, ())]  # until all of it is there
