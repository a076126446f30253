"""Run an explanation: answer, observe, score, and put it all into the one schema."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import anyio.to_thread

from whence.explain.assembly import Observed, assemble
from whence.explain.budget import Budget
from whence.explain.calls import Calls
from whence.explain.keeper import TensorKeeper
from whence.explain.methods import get_method
from whence.explain.methods.ablation import AblationMethod
from whence.explain.methods.base import Finding, Task
from whence.explain.pace import Pace
from whence.explain.plan import Choice, Plan, choose, price, size_of
from whence.explain.request import Request, check_choices, family_of, require_units
from whence.explain.schema import Explanation
from whence.explain.segments import split
from whence.explain.truncation import Shortened, shorten
from whence.explain.values import require_whole
from whence.providers.base import Capabilities, Passages, Progress, Provider, Step, report
from whence.providers.errors import BudgetError, ContextLengthError, EmptyOutputError, UnsupportedError
from whence.providers.observations import Generation
from whence.providers.prompt import Prompt, require_instruction
from whence.providers.turns import Turns


@dataclass(frozen=True, kw_only=True)
class _Job:
    """A request that the provider can serve, and the budget that holds for it."""

    request: Request
    choices: tuple[Choice, ...]
    calls: Calls

    @property
    def cites(self) -> bool:
        """Whether the answer has to come with the model's own claims."""
        return any(
            family_of(self.request, c.method, self.calls.capabilities) == "citation" for c in self.choices
        )

    @property
    def looks(self) -> tuple[Choice, ...]:
        """The pass that `attention=` takes where no method makes one."""
        families = [
            family_of(self.request, choice.method, self.calls.capabilities) for choice in self.choices
        ]
        if self.request.attention is None or "native_attention" in families:
            return ()
        return (Choice(method=get_method("attention")),)

    @classmethod
    async def of(cls, provider: Provider, request: Request, progress: Progress | None) -> _Job:
        """Find out what the provider can. Raises InputError, UnsupportedError, ProviderError."""
        capabilities = await _capabilities(provider, progress)
        if capabilities.instructed:
            require_instruction(request.prompt)
        if request.attention is not None and not capabilities.attends:
            reason = capabilities.refused.get("mean", f"{provider.name} gives {capabilities.access} only")
            raise UnsupportedError(
                f"attention= keeps the model's attention, and {reason}; leave attention= away, or take a "
                "model whose attention can be read"
            )
        choices = tuple(choose(name, capabilities, provider=provider.name) for name in request.methods)
        # In a thread: a scorer may load a model of its own.
        await anyio.to_thread.run_sync(check_choices, request, choices, capabilities)
        budget = request.budget
        if capabilities.metered and request.metered_budget is not None and not _bounded(budget):
            budget = request.metered_budget.within(budget)
        calls = Calls(
            provider=provider,
            capabilities=capabilities,
            budget=budget,
            progress=progress,
            longest_tokens=capabilities.context_tokens if request.truncate else None,
        )
        return cls(request=request, choices=choices, calls=calls)

    async def plan(self, prompt: Prompt, output: str | Generation | None, choices: Sequence[Choice]) -> Plan:
        """What these methods, and the look at the attention, cost at most, beside what is spent.

        Raises BudgetError.
        """
        calls = self.calls
        choices = [*choices, *self.looks]
        return price(
            choices,
            self.request.parameters,
            calls.capabilities,
            await size_of(
                calls,
                prompt,
                output,
                passages=await _passages(prompt) if self.cites and output is None else None,
                segment_by=self.request.segment_by,
                max_tokens=self.request.max_tokens,
            ),
            calls.budget,
            provider=calls.provider.name,
            model=calls.provider.model,
            spent=calls.spent,
        )

    @property
    def priced(self) -> bool:
        """Whether it matters what it costs: one pass through a model of one's own needs no plan."""
        return self.calls.budget is not None or any(
            isinstance(choice.method, AblationMethod) for choice in self.choices
        )


async def plan(provider: Provider, request: Request, progress: Progress | None = None) -> Plan:
    """What an explanation would cost at most; the model writes nothing.

    Raises as `explain` does, before it asks anything.
    """
    job = await _Job.of(provider, request, progress)
    _require_budget(job)
    found = await job.plan(request.prompt, request.output, job.choices)
    limit = job.calls.capabilities.context_tokens
    if found.counted and limit is not None and found.prompt_tokens > limit and not request.truncate:
        raise ContextLengthError(tokens=found.prompt_tokens, limit_tokens=limit)
    return found


async def explain(provider: Provider, request: Request, progress: Progress | None = None) -> Explanation:
    """Explain one output. Raises the errors of `whence.providers.errors`; nothing partial is returned."""
    began = time.monotonic()
    job = await _Job.of(provider, request, progress)
    _require_budget(job)
    shortened = Shortened(prompt=request.prompt)
    while True:
        try:
            observed = await _observe(job, shortened.prompt)
            break
        except ContextLengthError as error:
            if not request.truncate:
                raise
            shortened = shorten(shortened, error)
    return assemble(job.calls, shortened, observed, seconds=time.monotonic() - began)


async def _capabilities(provider: Provider, progress: Progress | None) -> Capabilities:
    """What the provider can; to find out, it loads its model, or asks, where that is not done yet."""
    await report(progress, Step(stage="load", done=0, total=1))
    capabilities = await Pace(Turns(), None).persist(provider.capabilities)
    await report(progress, Step(stage="load", done=1, total=1))
    return capabilities


async def _observe(job: _Job, prompt: Prompt) -> Observed:
    request, calls = job.request, job.calls
    output: str | Generation
    if request.output is None:
        if job.priced:
            await job.plan(prompt, None, job.choices)
        output = await _answered(job, prompt)
        if not output.text.strip():
            require_whole(output, request.max_tokens)
            raise EmptyOutputError(
                f"{calls.provider.model} answered without any text, so there is nothing to explain; "
                "change the prompt, or give the output that you want explained"
            )
    else:
        output = request.output
    task = Task(
        calls=calls,
        allowed=None,
        prompt=prompt,
        ids=tuple(f"s{number}" for number in range(1, len(prompt.sources) + 1)),
        output=output,
        segment_by=request.segment_by,
        target_by=request.target_by,
        detail=request.detail,
        seed=request.seed,
        parameters=request.parameters,
        max_tokens=request.max_tokens,
        fallbacks=(),
    )
    keeper = None if request.attention is None else TensorKeeper(request.attention, task.ids)
    findings: list[Finding] = []
    for index in range(len(job.choices)):
        watcher = None if keeper is None or keeper.begun else keeper
        findings += await _find(job, job.choices[index:], replace(task, watcher=watcher))
    looks = list(findings)
    if keeper is not None and not keeper.begun:  # no method looked at the attention: one more pass does
        looks += await get_method("attention").run(replace(task, parameters={}, watcher=keeper))
    await calls.end()
    return Observed(
        output=output,
        findings=tuple(findings),
        looks=tuple(looks),
        attention=None if keeper is None else keeper.finish(),
    )


async def _answered(job: _Job, prompt: Prompt) -> Generation:
    """What the model writes, with its claims where a method reads them."""
    request = job.request
    if request.truncate:
        await _keep_room(job, prompt)
    if not job.cites:
        return await job.calls.answer(prompt, max_tokens=request.max_tokens, seed=request.seed)
    passages = await _passages(prompt)
    return await job.calls.cite(prompt, passages, max_tokens=request.max_tokens, seed=request.seed)


async def _keep_room(job: _Job, prompt: Prompt) -> None:
    """Raise ContextLengthError where the answer of a model elsewhere would be cut for want of room.

    Models that run here keep some room themselves.
    """
    capabilities, max_tokens = job.calls.capabilities, job.request.max_tokens
    limit = capabilities.context_tokens
    if limit is not None and capabilities.deadline_seconds is not None:
        reserved = min(max_tokens, limit // 2)
        tokens = await job.calls.count(prompt)
        if tokens > limit - reserved:
            raise ContextLengthError(tokens=tokens, limit_tokens=limit, reserved_tokens=reserved)


async def _passages(prompt: Prompt) -> Passages:
    """What can be cited: the sentences of the sources."""
    return [await anyio.to_thread.run_sync(split, source.text, "sentence") for source in prompt.sources]


async def _find(job: _Job, choices: Sequence[Choice], task: Task) -> tuple[Finding, ...]:
    """Run the first of some methods; the rest are those whose part of the budget is kept.

    What `auto` chose may turn out impossible only when it is tried: then the next method is.
    """
    choice = choices[0]
    while True:
        allowed = None
        if job.priced:
            planned = await job.plan(task.prompt, task.output, [choice, *choices[1:]])
            job.calls.total = planned.calls
            allowed = planned.methods[0].calls if job.calls.budget is not None else None
        try:
            return await choice.method.run(replace(task, allowed=allowed, fallbacks=choice.fallbacks))
        except UnsupportedError as error:
            following = choice.after(str(error)) if choice.rest else None
            if following is None:
                raise
            require_units(job.request, following.method, job.calls.capabilities)
            choice = following


def _require_budget(job: _Job) -> None:
    """Nothing that costs money fans out without a limit."""
    if job.priced and job.calls.capabilities.metered and not _bounded(job.calls.budget):
        raise BudgetError(
            f"each call of {job.calls.provider.name} costs money, and no budget is set; set one, such as "
            "budget={'calls': 100}"
        )


def _bounded(budget: Budget | None) -> bool:
    """Whether a budget limits what is spent: time alone does not."""
    return budget is not None and (budget.calls, budget.tokens, budget.money) != (None, None, None)
