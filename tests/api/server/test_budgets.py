"""Plans and budgets over HTTP: what a request may spend of the server's money."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.conftest import MAIN, PROVIDERS, Marked
from tests.api.server.conftest import PATIENCE_SECONDS, Server, Start, assert_problem, body, connect
from tests.api.server.test_load import events

from whence import Budget, Explainer, Explanation, FakeProvider, InputError, Plan, Prices
from whence.api.service.settings import Settings, load_settings

SOURCE = "alpha is one. beta is two. gamma is three. nothing is four."
LONG = " ".join(f"Sentence number {number}." for number in range(40))
PRICES = "prices = {input_per_million = 100, output_per_million = 500, currency = 'EUR'}\n"
SETTINGS = f"""
[models.free]
provider = "fake"
access = "logprobs"

[models.capped]
provider = "fake"
access = "text"
{PRICES}
[models.capped.budget]
calls = 30
money = 5.5

[models.small]
provider = "fake"
access = "text"
[models.small.budget]
calls = 3

[models.unlimited]
provider = "fake"
access = "text"
{PRICES}
[models.hurried]
provider = "fake"
access = "text"
budget = {{seconds = 5}}
{PRICES}
[models.unpriced]
provider = "unpriced"
budget = {{money = 5}}

[models.slow]
provider = "counting"
access = "logprobs"
latency_s = 0.2
max_in_flight = 2
max_running = 1
max_waiting = 0

[models.limited]
provider = "limited"

[models.away]
provider = "away"
"""

Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def budgeted(start: Start, tmp_path_factory: pytest.TempPathFactory) -> tuple[Server, Marked]:
    """A server of models with and without budgets, and how often its slow model was asked."""
    folder = tmp_path_factory.mktemp("providers")
    (folder / "made_up.py").write_text(PROVIDERS)
    marked = Marked([sys.executable, "-c", MAIN, str(folder)], {"MARKS": str(folder / "marks")})
    return start(SETTINGS, marked.command, **marked.environment), marked


@pytest.fixture(scope="module")
def own(budgeted: tuple[Server, Marked]) -> Iterator[httpx.Client]:
    """Asks it."""
    with connect(budgeted[0]) as client:
        yield client


def request(model: str, **changes: Any) -> dict[str, Any]:
    return body(model=model, sources=[SOURCE], method="lasso", max_tokens=20) | changes


@pytest.fixture
def plan(own: httpx.Client) -> Ask:
    """POST /v1/plans, of lasso on four sentences."""
    return lambda model, **changes: own.post("/v1/plans", json=request(model, **changes))


@pytest.fixture
def explain(own: httpx.Client) -> Ask:
    """POST /v1/explanations of the same."""
    return lambda model, **changes: own.post("/v1/explanations", json=request(model, **changes))


# Plans.


def test_a_plan_is_that_of_the_sdk(plan: Ask) -> None:
    for budget in (None, {"calls": 12}):
        response = plan("free", budget=budget)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        sdk = Explainer(FakeProvider(access="logprobs")).plan(
            "Summarise this confidential record.",
            sources=[SOURCE],
            method="lasso",
            max_tokens=20,
            budget=budget,
        )
        assert Plan.model_validate_json(response.content) == sdk
        assert response.json() == json.loads(sdk.model_dump_json())


def test_a_plan_asks_nothing_and_does_not_wait_for_those_who_do(
    budgeted: tuple[Server, Marked], plan: Ask
) -> None:
    server, marked = budgeted
    before = marked.asked
    assert plan("slow").status_code == 200
    assert marked.asked == before
    with (
        connect(server, headers={"Accept": "text/event-stream"}) as client,
        client.stream("POST", "/v1/explanations", json=request("slow", sources=[LONG])),
    ):
        server.wait_for(lambda: server.figure("whence_running", model="slow") == 1)
        assert plan("slow").status_code == 200
    server.wait_for(lambda: server.figure("whence_running", model="slow") == 0)


def test_a_plan_is_kept_by_the_explanation(plan: Ask, explain: Ask) -> None:
    planned = Plan.model_validate_json(plan("capped").content)
    explained = Explanation.model_validate_json(explain("capped").content)
    assert planned.money is not None
    assert explained.cost.money is not None
    assert 0 < explained.cost.calls <= planned.calls <= 30
    assert 0 < explained.cost.money.amount <= planned.money.amount <= 5.5
    assert planned.money.currency == "EUR"
    assert planned.methods[0].fallbacks[0].method == "value='logprob'"


@pytest.mark.parametrize(
    ("changes", "status", "kind"),
    [
        ({"model": "nobody"}, 404, "unknown-model"),
        ({"method": "no-such"}, 422, "unknown-method"),
        ({"prompt": " "}, 422, "empty-prompt"),
        ({"parameters": {"masks": 1}}, 422, "input"),
        ({"parameters": {"budget": {}}}, 422, "input"),
        ({"parameters": {"scorer_model": "/etc"}}, 422, "input"),
        ({"parameters": {"value": "similarity", "scorer": "os.system"}}, 422, "unknown-scorer"),
        ({"budget": {"calls": 2}}, 422, "budget"),
        ({"segment_by": "token"}, 422, "unsupported"),
        ({"budget": 5}, 422, "invalid-request"),
        ({"sources": 5}, 422, "invalid-request"),
    ],
)
@pytest.mark.parametrize("route", ["plan", "explain"])
def test_plans_and_explanations_are_refused_alike(
    plan: Ask, explain: Ask, route: str, changes: dict[str, Any], status: int, kind: str
) -> None:
    response = (plan if route == "plan" else explain)(**({"model": "free"} | changes))
    assert_problem(response, status, kind)


def test_a_plan_takes_json_only_and_another_method_is_405(own: httpx.Client) -> None:
    response = own.post("/v1/plans", content=b"{}", headers={"Content-Type": "text/plain"})
    assert_problem(response, 415, "unsupported-media-type")
    assert_problem(own.get("/v1/plans"), 405, "method-not-allowed")


def test_plans_are_in_the_document(own: httpx.Client) -> None:
    document = own.get("/openapi.json").json()
    answer = document["paths"]["/v1/plans"]["post"]["responses"]["200"]
    assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Plan"}
    assert set(document["components"]["schemas"]["BudgetBody"]["properties"]) == set(Budget.model_fields)


# Budgets of requests, and caps of the server.


@pytest.mark.parametrize(
    ("budget", "pointer"),
    [
        ({"calls": -1}, "/budget/calls"),
        ({"calls": 10**400}, "/budget/calls"),
        ({"calls": 1.5}, "/budget/calls"),
        ({"tokens": "many"}, "/budget/tokens"),
        ({"money": -0.1}, "/budget/money"),
        ({"money": 1e300}, "/budget/money"),
        ({"seconds": None, "dollars": 5}, "/budget"),
    ],
)
def test_a_limit_that_is_none_says_where(explain: Ask, budget: dict[str, Any], pointer: str) -> None:
    document = assert_problem(explain("free", budget=budget), 422, "invalid-request")
    assert {error["pointer"] for error in document["errors"]} == {pointer}


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_a_limit_that_is_no_number_is_refused(own: httpx.Client, number: bytes) -> None:
    content = (
        json.dumps(request("free", budget={"money": 5}))
        .encode()
        .replace(b'"money": 5', b'"money": ' + number)
    )
    assert number in content
    response = own.post("/v1/explanations", content=content, headers={"Content-Type": "application/json"})
    assert_problem(response, 422, "invalid-request")


@pytest.mark.parametrize(
    ("asked", "holds"),
    [
        (None, {"calls": 30, "money": 5.5}),
        ({}, {"calls": 30, "money": 5.5}),
        ({"calls": 20}, {"calls": 20, "money": 5.5}),
        ({"calls": 1000, "money": 1000}, {"calls": 30, "money": 5.5}),
        ({"tokens": 50_000, "seconds": 60}, {"calls": 30, "money": 5.5, "tokens": 50_000, "seconds": 60}),
        ({"calls": None, "money": 5}, {"calls": 30, "money": 5}),
    ],
)
def test_the_lower_limit_holds(plan: Ask, explain: Ask, asked: Any, holds: dict[str, float]) -> None:
    for found in (plan("capped", budget=asked).json(), explain("capped", budget=asked).json()["cost"]):
        assert {name: limit for name, limit in found["budget"].items() if limit is not None} == holds


def test_the_servers_limit_refuses_what_is_beyond_it(plan: Ask, explain: Ask) -> None:
    for ask in (plan, explain):
        document = assert_problem(ask("small", budget={"calls": 1000}), 422, "budget")
        assert "the budget of 3 calls does not allow the cheapest plan for lasso" in document["detail"]


@pytest.mark.parametrize("budget", [None, {"calls": 10}])
@pytest.mark.parametrize("model", ["unlimited", "hurried", "unpriced"])
def test_a_model_whose_calls_cost_money_needs_the_servers_budget(
    budgeted: tuple[Server, Marked], own: httpx.Client, plan: Ask, explain: Ask, model: str, budget: Any
) -> None:
    server, _ = budgeted
    for response in (
        plan(model, budget=budget),
        explain(model, budget=budget),
        own.get(f"/v1/models/{model}"),
    ):
        document = assert_problem(response, 500, "no-budget")
        assert f"[models.{model}.budget]" in document["detail"]
    assert any(f"the model {model} cannot be used" in line["message"] for line in server.lines)
    ready = assert_problem(own.get("/readyz"), 503, "model-load")
    assert model in ready["detail"]
    streamed = own.post("/v1/explanations", json=request(model), headers={"Accept": "text/event-stream"})
    assert events(streamed.text)[-1][1]["type"] == "/problems/no-budget"


# Providers that are busy.


def test_a_provider_that_is_asked_too_often_is_503_and_says_when(explain: Ask) -> None:
    response = explain("limited")
    document = assert_problem(response, 503, "rate-limit")
    assert (response.headers["retry-after"], document["retry_after_seconds"]) == ("8", 8)


def test_a_provider_that_is_away_is_503(explain: Ask) -> None:
    response = explain("away")
    document = assert_problem(response, 503, "unavailable")
    assert "retry-after" not in response.headers
    assert "retry_after_seconds" not in document


# Progress, and clients who leave.


def test_progress_tells_the_calls_of_how_many(explain: Ask, plan: Ask, own: httpx.Client) -> None:
    asked = request("slow", method="leave_one_out", sources=[LONG.partition(" Sentence number 12")[0]])
    total = own.post("/v1/plans", json=asked).json()["calls"]
    response = own.post("/v1/explanations", json=asked, headers={"Accept": "text/event-stream"})
    *progress, (last, explanation) = events(response.text)
    assert last == "explanation"
    steps = [step for _, step in progress if step["stage"] == "ablate"]
    done = [step["done"] for step in steps]
    assert len(set(done)) >= 4, steps
    assert {step["total"] for step in steps} == {total}
    assert max(done) == explanation["cost"]["calls"] == total
    assert done[0] < done[len(done) // 2] < done[-1]


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_a_client_that_leaves_pays_for_nothing_more(budgeted: tuple[Server, Marked], accept: str) -> None:
    server, marked = budgeted
    before = marked.asked

    async def come_and_go() -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
            asked = request("slow", sources=[LONG], method="leave_one_out")
            task = asyncio.create_task(
                client.post("/v1/explanations", json=asked, headers={"Accept": accept})
            )
            await asyncio.to_thread(server.wait_for, lambda: marked.asked >= before + 4)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(come_and_go())
    server.wait_for(lambda: server.figure("whence_running", model="slow") == 0)
    asked = marked.asked
    time.sleep(1)
    assert marked.asked == asked, "it went on to ask"
    assert asked - before < 20


# Settings.


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Settings]:
    """The settings of one model."""

    def call(toml: str) -> Settings:
        (tmp_path / "settings.toml").write_text(f'[models.x]\nprovider = "fake"\n{toml}')
        return load_settings(tmp_path / "settings.toml")

    return call


def test_a_budget_and_prices_are_the_models(
    load: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHENCE_MODELS__X__BUDGET__TOKENS", "70")
    model = load(f"{PRICES}[models.x.budget]\ncalls = 7").models["x"]
    assert model.budget == Budget(calls=7, tokens=70)
    prices = Prices(input_per_million=100, output_per_million=500, currency="EUR")
    assert model.adapter_options == {"prices": prices}


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("budget = 5", "models.x.budget"),
        ("budget = {call = 5}", "models.x.budget.call"),
        ("budget = {calls = -5}", "models.x.budget.calls"),
        ("prices = {}", "models.x.prices.input_per_million"),
        ("prices = {input_per_million = 1, output_per_million = -1}", "models.x.prices.output_per_million"),
        ("prices = {input_per_million = nan, output_per_million = 1}", "models.x.prices.input_per_million"),
        (
            "prices = {input_per_million = 1, output_per_million = 1, currency = 'euro'}",
            "models.x.prices.currency",
        ),
    ],
)
def test_a_budget_that_cannot_be_used_says_where(
    load: Callable[[str], Settings], toml: str, words: str
) -> None:
    with pytest.raises(InputError) as raised:
        load(toml)
    assert words in str(raised.value)
