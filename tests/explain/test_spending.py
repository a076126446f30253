"""What an explanation may spend is known beforehand: all that it asks, and nothing beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from whence import Explainer
from whence.explain.pace import pace_of
from whence.providers.base import Capabilities, Prices, Progress, Step
from whence.providers.errors import BudgetError, RateLimitError, TemporaryError
from whence.providers.fake import FakeProvider
from whence.providers.observations import Generation
from whence.providers.prompt import Prompt

TEXT = "It says alpha. It says beta. It says gamma. It says delta. It says epsilon. It says zeta. And eta."
PRICES = Prices(input_per_million=1.0, output_per_million=2.0)


def test_the_pass_for_the_tensor_is_planned_and_paid() -> None:
    provider = FakeProvider()
    asked: dict[str, Any] = {"sources": [TEXT], "method": "leave_one_out", "attention": True}
    plan = Explainer(provider).plan("Go.", **asked)
    assert [item.method for item in plan.methods] == ["leave_one_out", "attention"]
    assert plan.calls == 1 + 8 + 1
    explanation = Explainer(provider).explain("Go.", **asked, budget={"calls": plan.calls})
    assert explanation.cost.calls == plan.calls == provider.calls
    with pytest.raises(BudgetError):
        Explainer(provider).explain("Go.", **asked, budget={"calls": plan.calls - 1})


def test_where_a_method_looks_at_the_attention_no_further_pass_is_planned() -> None:
    plan = Explainer(FakeProvider()).plan("Go.", sources=[TEXT], attention=True)
    assert [item.method for item in plan.methods] == ["attention"]


def test_tokens_of_an_attention_pass_are_paid_for() -> None:
    provider = FakeProvider(prices=PRICES)
    plan = Explainer(provider).plan("Go.", sources=[TEXT], output="The dose is low.", method="attention")
    cost = (
        Explainer(provider).explain("Go.", sources=[TEXT], output="The dose is low.", method="attention").cost
    )
    assert cost.input_tokens is not None
    assert 0 < cost.input_tokens <= plan.input_tokens
    assert cost.money is not None
    assert plan.money is not None
    assert 0 < cost.money.amount <= plan.money.amount


def test_a_limit_of_time_alone_does_not_lift_the_limit_of_a_metered_provider() -> None:
    provider = FakeProvider(access="logprobs", prices=PRICES)
    sentences = " ".join(f"It says word{i}." for i in range(300))
    with pytest.raises(BudgetError, match="200 calls, 60 seconds"):
        Explainer(provider).explain(
            "Go.", sources=[sentences], method="leave_one_out", budget={"seconds": 60}
        )
    assert provider.calls == 0


class Uncounted:
    """A provider that writes, says what it read by characters, and does not count beforehand."""

    name = model = "uncounted"

    def __init__(self) -> None:
        self.read: list[int] = []

    async def capabilities(self) -> Capabilities:
        return Capabilities(access="text", deterministic=True)

    async def generate(
        self, prompt: Prompt, *, max_tokens: int, seed: int, progress: Progress | None = None
    ) -> Generation:
        # One token for each character of a script without blanks, as a worst case of real tokenizers.
        self.read.append(sum(len(turn.text) for turn in prompt.turns()))
        return Generation(text="用量低。", prompt_tokens=self.read[-1], output_tokens=4)


def test_a_plan_that_nobody_counted_still_bounds_what_is_spent() -> None:
    provider = Uncounted()
    asked: dict[str, Any] = {
        "sources": ["患者对青霉素过敏。请两周后复诊。每天服用五毫克。" * 4],
        "output": "用量低。",
        "method": "leave_one_out",
        "max_tokens": 20,
    }
    plan = Explainer(provider).plan("总结。", **asked)
    assert not plan.counted
    cost = Explainer(provider).explain("总结。", **asked).cost
    assert cost.input_tokens == sum(provider.read)
    assert sum(provider.read) <= 1.4 * plan.input_tokens, "the markup is ASCII, and counted as fewer"


@pytest.mark.parametrize(
    ("budget", "complete"), [(None, True), ({"calls": 40}, False), ({"calls": 12}, False)], ids=str
)
def test_best_passages_that_were_not_removed_one_by_one_are_told_of(
    budget: Mapping[str, int] | None, complete: bool
) -> None:
    provider = FakeProvider(access="text")
    result = (
        Explainer(provider)
        .explain("Go.", sources=[TEXT], method="lasso", budget=budget, stop_early=False)
        .results[0]
    )
    told = any("Not all of the best passages" in caveat for caveat in result.caveats)
    confirmed = {item.segment for item in result.confirmations}
    assert told != complete or len(confirmed) == 8


def test_repeats_that_agree_do_not_say_that_there_is_no_chance() -> None:
    found: dict[bool, str] = {}
    for seed in range(20):
        result = (
            Explainer(FakeProvider(access="text", noise=0.05))
            .explain("Go.", sources=[TEXT], output="The dose is low.", method="leave_one_out", seed=seed)
            .results[0]
        )
        found[bool(result.scores.noise_floor)] = " ".join(result.caveats)
    assert "said the same, which does not exclude chance" in found[False]
    assert "noise floor" not in found[False]
    assert "noise floor" in found[True]


def test_progress_ends_where_its_total_is_and_faults_are_no_progress() -> None:
    steps: list[Step] = []
    provider = FakeProvider(access="text", faults=[RateLimitError("slow down", retry_after_seconds=0.0)] * 3)
    Explainer(provider).explain("Go.", sources=[TEXT], method="lasso", progress=steps.append)
    told = [step for step in steps if step.stage == "ablate"]
    assert [step.done for step in told] == sorted(step.done for step in told)
    assert all(step.total is not None and step.done <= step.total for step in told)
    assert told[-1].done == told[-1].total == provider.calls - 3


def test_an_error_of_an_adapters_own_kind_ends_as_the_kind_that_it_is() -> None:
    class BusyError(RateLimitError):
        def __init__(self) -> None:
            super().__init__("busy", retry_after_seconds=0.0)

    provider = FakeProvider(access="text", faults=[BusyError() for _ in range(6)])
    with pytest.raises(RateLimitError, match=r"busy \(asked 6 times") as caught:
        Explainer(provider).explain("Go.", sources=[TEXT])
    assert isinstance(caught.value.__cause__, BusyError)
    assert isinstance(caught.value, TemporaryError)


def test_a_provider_whose_end_cannot_be_seen_keeps_a_pace_of_its_own() -> None:
    class Slotted:
        __slots__ = ()
        name = model = "slotted"

        async def capabilities(self) -> Capabilities:
            return Capabilities(access="text")

        async def generate(
            self, prompt: Prompt, *, max_tokens: int, seed: int, progress: Progress | None = None
        ) -> Generation:
            return Generation(text="The dose is low.")

    one, two = Slotted(), Slotted()
    paces = [pace_of(provider, Capabilities(access="text")) for provider in (one, two, one)]
    assert paces[0] is paces[2]
    assert paces[0] is not paces[1]
    assert paces[0].owner is one
    explanation = Explainer(one).explain("Go.", sources=[TEXT], method="leave_one_out")
    assert explanation.cost.calls == 1 + 3 + 7
