"""What is asked of a provider: once, so many at a time, again where that helps, within the budget."""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.explain import pace as module
from whence.explain.budget import DEFAULT_BUDGET, Budget, Spending
from whence.explain.calls import BYTES_PER_TOKEN, STAGE, TEMPLATE_TOKENS, Calls
from whence.explain.engine import explain
from whence.explain.request import Request
from whence.explain.schema import Explanation
from whence.providers.base import Access, Capabilities, Prices, Progress, Provider, Step
from whence.providers.errors import (
    BudgetError,
    InputError,
    ProviderError,
    RateLimitError,
    TemporaryError,
    UnavailableError,
)
from whence.providers.fake import FakeProvider
from whence.providers.observations import Generation
from whence.providers.prompt import Prompt, build_prompt

Answer = TypeVar("Answer")
OUTPUT = "The dose is low. The scan was clear. The plan is agreed."
TEXT = "It says alpha. It says beta. It says gamma. It says delta. It says epsilon. It says zeta. And eta."
PRICES = Prices(input_per_million=1e6, output_per_million=2e6)
DESIGNS = ("lasso", "leave_one_out", "shapley")


def prompts(number: int) -> list[Prompt]:
    return [build_prompt("Go.", sources=[f"alpha beta {i}"]) for i in range(number)]


async def calls_of(provider: Provider, **options: Any) -> Calls:
    return Calls(provider=provider, capabilities=await provider.capabilities(), **options)


async def rewritten(calls: Calls, asked: Sequence[Prompt], seed: int = 0) -> list[Generation]:
    return await calls.regenerate(asked, max_tokens=20, seeds=[seed] * len(asked))  # type: ignore[return-value]


def run(work: Callable[[], Awaitable[Answer]]) -> Answer:
    async def limited() -> Answer:
        with anyio.fail_after(60):
            return await work()

    return anyio.run(limited)


def explained(provider: Provider, *, sources: Sequence[str] = (TEXT,), **options: Any) -> Explanation:
    method = options.pop("method", "auto")
    parameters = options.pop("parameters", {})
    request = Request(
        prompt=build_prompt("Go.", sources=list(sources)),
        methods=(method,) if isinstance(method, str) else tuple(method),
        parameters=parameters,
        **options,
    )
    return run(lambda: explain(provider, request))


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off, but without the wait."""
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.0)


# --- once ---


def test_identical_calls_are_made_once_and_answered_each_time() -> None:
    async def work() -> None:
        provider = FakeProvider()
        calls = await calls_of(provider)
        one, two = prompts(2)
        scores = await calls.score([one, two, one, one], OUTPUT)
        assert provider.calls == calls.spent.calls == 2
        assert scores[0] == scores[2] == scores[3]
        assert await calls.score([two, one], OUTPUT) == [scores[1], scores[0]]
        texts = await rewritten(calls, [one, two, one])
        assert provider.calls == 4
        assert texts[0] == texts[2]
        assert await rewritten(calls, [one], seed=7) == [texts[0]]
        assert provider.calls == calls.spent.calls == 4

    run(work)


def test_answers_come_in_the_order_of_the_questions_whoever_is_first() -> None:
    @dataclass(kw_only=True, eq=False)
    class Uneven(FakeProvider):
        async def generate(
            self, prompt: Prompt, *, max_tokens: int, seed: int, progress: Progress | None = None
        ) -> Generation:
            await anyio.sleep(0.02 if "alpha" in prompt.sources[0].text else 0)
            return await super().generate(prompt, max_tokens=max_tokens, seed=seed, progress=progress)

    async def work() -> None:
        texts = ["alpha", "gamma", "alpha x", "delta", "nothing"]
        asked = [build_prompt("Go.", sources=[text]) for text in texts]
        written = await rewritten(await calls_of(Uneven()), asked)
        assert [g.text for g in written] == [
            *("The dose is low.", "The scan was clear.", "The dose is low.", "The scan was clear."),
            "Nothing is known.",
        ]

    run(work)


def test_where_the_same_prompt_may_be_answered_otherwise_only_the_same_seed_is_the_same_call() -> None:
    async def work() -> None:
        provider = FakeProvider(noise=0.5)
        calls = await calls_of(provider)
        (one,) = prompts(1)
        await calls.regenerate([one, one, one], max_tokens=20, seeds=[1, 2, 1])
        assert provider.calls == 2

    run(work)


def test_the_answer_itself_is_not_asked_for_again() -> None:
    async def work() -> None:
        provider = FakeProvider()
        calls = await calls_of(provider)
        (one,) = prompts(1)
        answer = await calls.answer(one, max_tokens=20, seed=3)
        assert await rewritten(calls, [one]) == [answer]
        assert provider.calls == 1

    run(work)


def test_prompts_that_differ_only_in_who_speaks_are_different() -> None:
    async def work() -> None:
        provider = FakeProvider()
        calls = await calls_of(provider)
        one = build_prompt("Go.", sources=["alpha"], system="Be brief.")
        other = build_prompt("Be brief.\n\nGo.", sources=["alpha"])
        await rewritten(calls, [one, other])
        assert provider.calls == 2

    run(work)


# --- so many at a time ---


@pytest.mark.parametrize("bound", [1, 3, 8])
def test_no_more_are_in_flight_than_the_provider_allows_and_no_fewer(bound: int) -> None:
    async def work() -> None:
        provider = FakeProvider(max_in_flight=bound, latency_s=0.005)
        calls = await calls_of(provider)
        await rewritten(calls, prompts(24))
        await calls.score(prompts(24), OUTPUT)
        assert provider.most_in_flight == bound
        assert provider.calls == 48

    run(work)


def test_two_explanations_at_once_share_the_bound_of_their_provider() -> None:
    async def work() -> None:
        provider = FakeProvider(max_in_flight=3, latency_s=0.005)
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(rewritten, await calls_of(provider), prompts(12))
        assert provider.most_in_flight == 3
        assert provider.calls == 24

    run(work)


def test_another_provider_has_a_bound_of_its_own() -> None:
    async def work() -> None:
        slow, fast = FakeProvider(max_in_flight=1, latency_s=3600), FakeProvider(max_in_flight=1)
        async with anyio.create_task_group() as group:
            group.start_soon(rewritten, await calls_of(slow), prompts(1))
            await anyio.sleep(0.01)
            await rewritten(await calls_of(fast), prompts(3))
            group.cancel_scope.cancel()
        assert fast.calls == 3

    run(work)


def test_a_provider_that_cannot_be_hashed_is_served_and_forgotten() -> None:
    @dataclass(kw_only=True)
    class Unhashable(FakeProvider):
        pass

    async def work() -> None:
        provider = Unhashable()
        await rewritten(await calls_of(provider), prompts(2))
        assert id(provider) in module._paces

    before = set(module._paces)
    run(work)
    gc.collect()
    assert set(module._paces) <= before


def test_a_model_that_is_computed_here_scores_all_in_one_go() -> None:
    @dataclass(kw_only=True, eq=False)
    class Counting(FakeProvider):
        batches: list[int] = field(default_factory=list)

        async def score(self, prompts: Sequence[Prompt], output: Any, *, progress: Any = None) -> Any:
            self.batches.append(len(prompts))
            return await super().score(prompts, output, progress=progress)

    async def batches(**options: Any) -> list[int]:
        provider = Counting(**options)
        calls = await calls_of(provider)
        await calls.score([*prompts(5), *prompts(5)], OUTPUT)
        assert calls.spent.calls == 5
        return provider.batches

    assert run(lambda: batches(max_in_flight=1, deadline_seconds=None)) == [5]
    assert run(lambda: batches(max_in_flight=1)) == [1] * 5, "one deadline would hold for all of them"
    assert run(lambda: batches(max_in_flight=4)) == [1] * 5


# --- again ---


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("error", [RateLimitError, UnavailableError])
def test_what_may_succeed_later_is_asked_again_and_every_attempt_counts(error: type[TemporaryError]) -> None:
    async def work() -> None:
        provider = FakeProvider(faults=[error("busy"), None, error("busy"), error("busy")])
        calls = await calls_of(provider)
        written = await rewritten(calls, prompts(3))
        assert [g.text for g in written] == ["The dose is low."] * 3
        assert provider.calls == calls.spent.calls == 6
        assert calls.spent.output_tokens == 12, "only what was answered has tokens"

    run(work)


@pytest.mark.usefixtures("no_waiting")
def test_attempts_come_to_an_end_with_the_last_error_which_says_how_often_and_how_long() -> None:
    async def work() -> None:
        faults = [UnavailableError(f"fault {number}") for number in range(1, 50)]
        provider = FakeProvider(faults=faults)
        calls = await calls_of(provider)
        with pytest.raises(UnavailableError) as caught:
            await rewritten(calls, prompts(1))
        assert provider.calls == calls.spent.calls == module.ATTEMPTS
        last = f"fault {module.ATTEMPTS}"
        assert str(caught.value).startswith(f"{last} (asked {module.ATTEMPTS} times in 0.")
        assert str(caught.value).endswith(" s)")
        assert caught.value.__cause__ is faults[module.ATTEMPTS - 1]

    run(work)


def test_without_a_word_from_the_provider_waits_grow_and_are_random(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    async def work() -> None:
        for _ in range(30):
            calls = await calls_of(FakeProvider(faults=[RateLimitError("slow down")] * 5))
            monkeypatch.setattr(anyio, "sleep", sleep)
            await rewritten(calls, prompts(1))

    run(work)
    own = [seconds for seconds in waited if seconds]  # FakeProvider sleeps for its latency of 0
    assert len(own) == 150
    assert len(set(own)) > 100
    means = [sum(own[n::5]) / 30 for n in range(5)]
    assert means[0] < means[2] < means[4]
    for number in range(5):
        assert max(own[number::5]) <= module.FIRST_WAIT_SECONDS * 2**number


def test_an_error_that_will_not_go_away_is_not_asked_again() -> None:
    async def work() -> None:
        error = ProviderError("no such model")
        provider = FakeProvider(faults=[error])
        with pytest.raises(ProviderError) as caught:
            await rewritten(await calls_of(provider), prompts(1))
        assert caught.value is error
        assert provider.calls == 1

    run(work)


def test_a_time_that_the_provider_names_holds_for_all_of_its_calls() -> None:
    @dataclass(kw_only=True, eq=False)
    class Timed(FakeProvider):
        times: list[float] = field(default_factory=list)

        async def generate(
            self, prompt: Prompt, *, max_tokens: int, seed: int, progress: Progress | None = None
        ) -> Generation:
            self.times.append(time.monotonic())
            return await super().generate(prompt, max_tokens=max_tokens, seed=seed, progress=progress)

    async def work() -> None:
        provider = Timed(faults=[RateLimitError("slow down", retry_after_seconds=0.3)], max_in_flight=2)
        first, second = await calls_of(provider), await calls_of(provider)
        began = time.monotonic()
        async with anyio.create_task_group() as group:
            group.start_soon(rewritten, first, prompts(1))
            await anyio.sleep(0.05)
            group.start_soon(rewritten, second, prompts(3))
        waited = [at - began for at in provider.times]
        assert waited[0] < 0.3
        assert len(waited) == 5
        assert min(waited[1:]) >= 0.299, "nobody asks before, whoever was refused"

    run(work)


def test_a_time_beyond_the_deadline_is_not_waited_for() -> None:
    async def work() -> None:
        provider = FakeProvider(
            faults=[RateLimitError("come back tomorrow", retry_after_seconds=86_400)], deadline_seconds=30
        )
        began = time.monotonic()
        with pytest.raises(RateLimitError, match=r"come back tomorrow \(asked once in 0\.\d s\)") as caught:
            await rewritten(await calls_of(provider), prompts(1))
        assert caught.value.retry_after_seconds == 86_400
        assert time.monotonic() - began < 10
        assert provider.calls == 1

    run(work)


# --- deadlines ---


def test_a_call_that_hangs_ends_at_its_deadline() -> None:
    async def work() -> None:
        provider = FakeProvider(latency_s=3600, deadline_seconds=0.05)
        calls = await calls_of(provider)
        with pytest.raises(UnavailableError, match=r"no answer within 0.05 s \(asked once in 0\.\d s\)"):
            await rewritten(calls, prompts(1))
        assert calls.spent == Spending(calls=1)
        assert provider._in_flight == 0

    run(work)


def test_what_is_given_up_names_the_provider_s_last_error_and_request() -> None:
    faults = [UnavailableError("overloaded", request_id=f"req_{n}") for n in range(9)]

    async def work() -> None:
        calls = await calls_of(FakeProvider(faults=faults, deadline_seconds=1.5))
        with pytest.raises(UnavailableError) as caught:
            await rewritten(calls, prompts(1))
        last = caught.value.__cause__
        assert isinstance(last, UnavailableError)
        assert caught.value.request_id == last.request_id
        assert str(caught.value).count("req_") == 1

    run(work)


def test_attempts_end_at_the_deadline() -> None:
    async def work() -> None:
        provider = FakeProvider(
            faults=[UnavailableError("down", retry_after_seconds=0.3)] * 50, deadline_seconds=0.8
        )
        with pytest.raises(UnavailableError, match=r"^down \(asked [23] times in 0\.\d s\)$"):
            await rewritten(await calls_of(provider), prompts(1))
        assert provider.calls in (2, 3)

    run(work)


def test_waiting_for_others_is_no_part_of_the_deadline() -> None:
    async def work() -> None:
        provider = FakeProvider(latency_s=0.02, max_in_flight=1, deadline_seconds=0.2)
        assert len(await rewritten(await calls_of(provider), prompts(20))) == 20
        assert provider.calls == 20

    run(work)


def test_without_a_deadline_it_takes_as_long_as_it_takes() -> None:
    async def work() -> None:
        provider = FakeProvider(latency_s=0.05, deadline_seconds=None)
        assert len(await rewritten(await calls_of(provider), prompts(2))) == 2

    run(work)


# --- the end of it ---


@pytest.mark.parametrize("ask", ["score", "regenerate"])
def test_an_error_in_one_call_ends_the_others_and_is_raised_as_itself(ask: str) -> None:
    async def work() -> None:
        error = ProviderError("broken")
        error.__cause__ = OSError("underneath")
        provider = FakeProvider(faults=[None, None, error], latency_s=0.01, max_in_flight=2)
        calls = await calls_of(provider)
        asked = calls.score(prompts(50), OUTPUT) if ask == "score" else rewritten(calls, prompts(50))
        with pytest.raises(ProviderError) as caught:
            await asked
        assert caught.value is error
        assert isinstance(caught.value.__cause__, OSError), "what the library said is kept"
        assert provider.calls < 6
        await anyio.sleep(0.05)
        assert provider.calls < 6, "nobody goes on in the background"
        assert provider._in_flight == 0
        assert calls.spent.calls == provider.calls

    run(work)


def test_a_cancelled_explanation_asks_nothing_more_and_leaves_no_turn_behind() -> None:
    async def work() -> None:
        provider = FakeProvider(access="text", latency_s=0.1, max_in_flight=2)
        request = Request(prompt=build_prompt("Go.", sources=[TEXT]), output=OUTPUT, methods=("lasso",))
        with anyio.move_on_after(0.7) as scope:
            await explain(provider, request)
        assert scope.cancelled_caught
        asked = provider.calls
        assert 0 < asked < 64
        await anyio.sleep(0.3)
        assert provider.calls == asked
        assert provider._in_flight == 0
        await rewritten(await calls_of(provider), prompts(4))
        assert provider.calls == asked + 4

    run(work)


@pytest.mark.usefixtures("no_waiting")
def test_a_cancelled_call_is_not_asked_again() -> None:
    async def work() -> None:
        provider = FakeProvider(
            faults=[UnavailableError("down", retry_after_seconds=30)], deadline_seconds=None
        )
        with anyio.move_on_after(0.05) as scope:
            await rewritten(await calls_of(provider), prompts(1))
        assert scope.cancelled_caught
        assert provider.calls == 1

    run(work)


# --- counting ---


def test_calls_and_tokens_are_counted_as_the_provider_says() -> None:
    async def work() -> None:
        calls = await calls_of(FakeProvider())
        (one,) = prompts(1)
        read = await FakeProvider().count_tokens(one)
        await calls.answer(one, max_tokens=3, seed=0)
        assert calls.spent == Spending(calls=1, input_tokens=read, output_tokens=3)
        await calls.score([one], OUTPUT)
        assert calls.spent == Spending(calls=2, input_tokens=2 * read + 12, output_tokens=3)

    run(work)


def test_counting_a_prompt_is_no_call_and_without_a_counter_characters_are() -> None:
    class Countless:
        name = model = "countless"
        generate = FakeProvider().generate

        async def capabilities(self) -> Capabilities:
            return replace(await FakeProvider().capabilities(), counts=False)

    async def work() -> None:
        (one,) = prompts(1)
        provider = FakeProvider()
        calls = await calls_of(provider)
        assert await calls.count(one) == await provider.count_tokens(one)
        assert calls.spent == Spending()
        estimated = await (await calls_of(Countless())).count(one)
        assert estimated == TEMPLATE_TOKENS + -(-len(one.turns()[0].text.encode()) // BYTES_PER_TOKEN)

    run(work)


def test_progress_tells_of_every_call() -> None:
    async def work() -> None:
        steps: list[Step] = []
        calls = await calls_of(FakeProvider(), progress=steps.append)
        calls.total = 9
        await rewritten(calls, prompts(3))
        assert {step.stage for step in steps} == {STAGE}
        assert max(step.done for step in steps) == 3
        assert {step.total for step in steps} == {9}

    run(work)


def test_a_progress_callback_that_raises_ends_it() -> None:
    def progress(step: Step) -> None:
        raise LookupError("enough")

    async def work() -> None:
        provider = FakeProvider(max_in_flight=1, latency_s=0.05)
        with pytest.raises(LookupError, match="enough"):
            await rewritten(await calls_of(provider, progress=progress), prompts(9))
        assert provider.calls < 4

    run(work)


# --- budgets ---


@pytest.mark.parametrize(
    ("budget", "limit"),
    [
        ({"calls": 2}, "8 calls are more than 2"),
        ({"tokens": 100}, "tokens are more than 100"),
        ({"money": 60.0}, "USD is more than 60 USD"),
        ({"seconds": 0}, "its seconds are over"),
    ],
)
def test_what_the_budget_does_not_allow_is_refused_before_it_is_asked(
    budget: dict[str, Any], limit: str
) -> None:
    async def work() -> None:
        provider = FakeProvider(prices=PRICES)
        calls = await calls_of(provider, budget=Budget(**budget))

        async def ask() -> None:
            await calls.count(prompts(1)[0])
            await rewritten(calls, prompts(8))

        with pytest.raises(BudgetError, match=limit) as caught:
            await ask()
        assert "Allow more" in str(caught.value)
        assert provider.calls == 0

    run(work)


def test_calls_under_way_hold_their_part_of_the_budget() -> None:
    async def work() -> None:
        provider = FakeProvider(latency_s=0.01, max_in_flight=8)
        calls = await calls_of(provider, budget=Budget(calls=5))
        await rewritten(calls, prompts(5))
        with pytest.raises(BudgetError, match="6 calls are more than 5; 5 calls were made"):
            await rewritten(calls, prompts(6))
        assert provider.calls == calls.spent.calls == 5

    run(work)


@pytest.mark.usefixtures("no_waiting")
def test_attempts_count_against_the_budget() -> None:
    async def work() -> None:
        provider = FakeProvider(faults=[UnavailableError("down")] * 50)
        calls = await calls_of(provider, budget=Budget(calls=3))
        with pytest.raises(BudgetError, match="4 calls are more than 3"):
            await rewritten(calls, prompts(1))
        assert provider.calls == calls.spent.calls == 3

    run(work)


def test_a_budget_of_seconds_ends_calls_waits_and_queues() -> None:
    async def seconds(provider: FakeProvider) -> float:
        calls = await calls_of(provider, budget=Budget(seconds=0.1))
        began = time.monotonic()
        with pytest.raises(BudgetError, match="its seconds are over"):
            await rewritten(calls, prompts(3))
        return time.monotonic() - began

    async def queueing() -> float:
        provider = FakeProvider(latency_s=3600, max_in_flight=1)
        async with anyio.create_task_group() as group:
            group.start_soon(rewritten, await calls_of(provider), prompts(1))
            await anyio.sleep(0.01)
            took = await seconds(provider)
            group.cancel_scope.cancel()
        return took

    refusing = FakeProvider(faults=[RateLimitError("later", retry_after_seconds=50)] * 9)
    for work in (
        lambda: seconds(FakeProvider(latency_s=3600)),
        lambda: seconds(FakeProvider(latency_s=3600, deadline_seconds=None)),
        lambda: seconds(refusing),
        queueing,
    ):
        assert 0.09 <= run(work) < 20


def test_tokens_of_the_output_that_is_scored_belong_to_the_budget() -> None:
    async def work() -> None:
        provider = FakeProvider()
        (one,) = prompts(1)
        tokens = await provider.count_tokens(one) + 12
        for short in (2, 1):  # a message with the output has a token more than the output
            calls = await calls_of(provider, budget=Budget(tokens=tokens + 1 - short))
            await calls.count(one)
            with pytest.raises(BudgetError):
                await calls.score([one], OUTPUT)
        assert provider.calls == 0
        calls = await calls_of(provider, budget=Budget(tokens=tokens + 1))
        await calls.count(one)
        await calls.score([one], OUTPUT)
        assert calls.spent.input_tokens == tokens

    run(work)


@pytest.mark.parametrize("access", ["logprobs", "text"])
@pytest.mark.parametrize("method", DESIGNS)
@pytest.mark.parametrize("budget", [{"calls": 2}, {"tokens": 60}, {"money": 60.0}, {"seconds": 0}])
def test_an_explanation_that_costs_too_much_is_refused_before_anything_is_asked(
    access: Access, method: str, budget: dict[str, Any]
) -> None:
    provider = FakeProvider(access=access, prices=PRICES)
    with pytest.raises(BudgetError):
        explained(provider, method=method, budget=Budget(**budget))
    assert provider.calls == 0


def test_a_budget_that_cuts_says_so() -> None:
    provider = FakeProvider(access="logprobs")
    explanation = explained(
        provider,
        sources=[" ".join(f"Sentence {n} says alpha." for n in range(20))],
        output=OUTPUT,
        method="lasso",
        budget=Budget(calls=31),
        parameters={"stop_early": False},
    )
    (result,) = explanation.results
    assert result.method.parameters["masks"] == 30
    assert any("Cut by the budget: 30 of 64 masks" in caveat for caveat in result.caveats)
    assert provider.calls == explanation.cost.calls == 31
    assert explanation.cost.budget == Budget(calls=31)


def test_several_methods_share_the_calls_and_the_budget() -> None:
    alone = {}
    for method in ("leave_one_out", "shapley"):
        provider = FakeProvider(access="logprobs")
        explained(provider, output=OUTPUT, method=method)
        alone[method] = provider.calls
    provider = FakeProvider(access="logprobs")
    both = explained(provider, output=OUTPUT, method=["leave_one_out", "shapley"], budget=Budget(calls=70))
    assert [result.method.name for result in both.results] == ["leave_one_out", "shapley"]
    assert provider.calls == both.cost.calls < sum(alone.values())
    assert provider.calls <= 70


def test_the_least_of_a_later_method_is_kept_for_it() -> None:
    provider = FakeProvider(access="logprobs")
    # Of 20: one for the whole prompt and eight masks for lasso at least, 1 + 7 for leave one out.
    both = explained(provider, output=OUTPUT, method=["lasso", "leave_one_out"], budget=Budget(calls=20))
    assert both.results[0].method.parameters["masks"] == 11
    assert len(both.results) == 2
    assert provider.calls <= 20


def test_a_default_holds_where_calls_cost_money_and_is_recorded() -> None:
    def cost(provider: FakeProvider, **options: Any) -> Budget | None:
        return explained(
            provider, output=OUTPUT, method="leave_one_out", metered_budget=DEFAULT_BUDGET, **options
        ).cost.budget

    assert cost(FakeProvider(access="text", prices=PRICES)) == DEFAULT_BUDGET
    assert cost(FakeProvider(access="text")) is None
    own = Budget(calls=1000)
    assert cost(FakeProvider(access="text", prices=PRICES), budget=own) == own


def test_what_costs_money_is_refused_without_any_limit() -> None:
    provider = FakeProvider(access="text", prices=PRICES)
    with pytest.raises(BudgetError, match="costs money, and no budget is set"):
        explained(provider, output=OUTPUT)
    assert provider.calls == 0


def test_money_is_that_of_the_tokens() -> None:
    provider = FakeProvider(
        access="text", prices=Prices(input_per_million=3, output_per_million=15, currency="EUR")
    )
    cost = explained(provider, method="leave_one_out", budget=Budget(money=100.0)).cost
    assert cost.input_tokens is not None
    assert cost.output_tokens is not None
    assert cost.money is not None
    assert cost.money.amount == pytest.approx((3 * cost.input_tokens + 15 * cost.output_tokens) / 1e6)
    assert cost.money.currency == "EUR"


def test_a_budget_of_money_without_known_prices_is_an_error() -> None:
    @dataclass(kw_only=True, eq=False)
    class Unpriced(FakeProvider):
        async def capabilities(self) -> Any:
            from dataclasses import replace

            return replace(await super().capabilities(), metered=True)

    provider = Unpriced(access="text")
    with pytest.raises(BudgetError, match="a budget of money needs prices"):
        explained(provider, output=OUTPUT, budget=Budget(money=1.0))
    assert provider.calls == 0
    assert explained(provider, output=OUTPUT, budget=Budget(calls=100)).cost.money is None


@pytest.mark.parametrize("access", ["logprobs", "text"])
@pytest.mark.parametrize(
    ("method", "parameters", "latency_s"),
    [
        ("lasso", {"masks": 2000}, 0.07),
        ("lasso", {"masks": 2000, "stop_early": False}, 0.01),
        ("shapley", {"permutations": 1000, "stop_early": False}, 0.01),
    ],
    ids=["lasso", "lasso-all", "shapley"],
)
def test_a_budget_of_seconds_cuts_to_what_was_done(
    method: str, parameters: dict[str, Any], latency_s: float, access: Access
) -> None:
    provider = FakeProvider(access=access, latency_s=latency_s, max_in_flight=2, noise=0.5)
    explanation = explained(
        provider,
        sources=[" ".join(f"Sentence {number} alpha gamma." for number in range(20))],
        output=OUTPUT,
        method=method,
        budget=Budget(seconds=1.5),
        parameters=parameters,
    )
    (result,) = explanation.results
    assert any("Cut by the budget" in caveat for caveat in result.caveats)
    done = result.method.parameters["masks" if method == "lasso" else "permutations"]
    assert isinstance(done, int)
    assert 2 <= done < 1000
    assert 1 < explanation.cost.seconds < 20


def test_a_budget_of_seconds_refuses_what_cannot_be_cut() -> None:
    provider = FakeProvider(access="logprobs", latency_s=0.05, max_in_flight=1)
    with pytest.raises(BudgetError, match="its seconds are over"):
        explained(provider, output=OUTPUT, method="leave_one_out", budget=Budget(seconds=0.15))


WORDS = st.sampled_from(["alpha.", "Beta.", "gamma delta.", "x.", "Hypercholesterolaemia.", "a b c d e f g."])


@settings(max_examples=60)
@given(
    st.lists(WORDS, min_size=1, max_size=12).map(" ".join),
    st.sampled_from([*DESIGNS, ("lasso", "leave_one_out"), ("attention", "shapley")]),
    st.sampled_from(["weights", "logprobs", "text"]),
    st.sampled_from([0.0, 0.3]),
    st.one_of(st.none(), st.just("The dose is low. A b c d e f g h."), st.just("Hypercholesterolaemia.")),
    st.one_of(
        st.builds(Budget, calls=st.integers(0, 80)),
        st.builds(Budget, tokens=st.integers(0, 3000)),
        st.builds(Budget, calls=st.integers(0, 80), tokens=st.integers(0, 3000)),
        st.builds(Budget, money=st.floats(0, 3000)),
    ),
)
def test_a_budget_is_never_exceeded_and_refused_at_once_or_served(
    text: str,
    method: str | tuple[str, ...],
    access: Access,
    noise: float,
    output: str | None,
    budget: Budget,
) -> None:
    if "attention" in method and access != "weights":
        access = "weights"
    provider = FakeProvider(access=access, noise=noise, prices=PRICES)
    try:
        explanation = explained(
            provider, sources=[text], output=output, method=method, budget=budget, max_tokens=15
        )
    except BudgetError:
        # The plan was the last word: whoever is told after an answer was paid could have been told before.
        assert provider.calls == 0
        return
    cost = explanation.cost
    assert cost.calls == provider.calls
    tokens = (cost.input_tokens or 0) + (cost.output_tokens or 0)
    assert (
        Spending(
            calls=cost.calls, input_tokens=cost.input_tokens or 0, output_tokens=cost.output_tokens or 0
        ).exceeds(budget, PRICES)
        is None
    ), (cost, tokens)
    for result in explanation.results:
        assert len(result.scores.values) == len(explanation.output.targets)


# --- what a caller may write ---


@pytest.mark.parametrize(
    "wrong", [{"call": 5}, {"calls": -1}, {"money": float("nan")}, {"tokens": 1.5}, 5, "100"]
)
def test_a_budget_that_makes_no_sense_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match=r"the budget cannot be understood .* write Budget\(calls=100\)"):
        Budget.of(wrong)


def test_a_budget_says_its_limits_in_full() -> None:
    assert str(Budget(calls=1_234_567, money=0.5)) == "1234567 calls, 0.5 money"
    assert str(Budget(tokens=10**9, seconds=60)) == "1000000000 tokens, 60 seconds"
    assert str(Budget()) == "no limit"
    assert Budget.of({}) == Budget()
    assert Budget.of(None) is None


def test_of_two_budgets_the_lower_limit_holds_for_each_kind() -> None:
    assert Budget(calls=5, tokens=9).within(Budget(calls=7, tokens=8, money=1.0)) == Budget(
        calls=5, tokens=8, money=1.0
    )
    assert Budget(calls=5).within(None) == Budget(calls=5)
    assert Budget().within(Budget()) == Budget()
