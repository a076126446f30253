"""Run an explanation: answer, observe, score, and put it all into the one schema."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

import anyio.to_thread

from whence.explain.budget import Budget
from whence.explain.calls import Calls
from whence.explain.keeper import KeepAttention, TensorKeeper
from whence.explain.methods import Method, get_method
from whence.explain.methods.ablation import AblationMethod
from whence.explain.methods.base import Finding, Task
from whence.explain.plan import Choice, Plan, choose, price, size_of
from whence.explain.result import Family
from whence.explain.schema import (
    Cost,
    Explanation,
    MessageRecord,
    Money,
    Output,
    PromptRecord,
    SourceRecord,
    SourceReference,
    TargetKind,
    TextKind,
    now,
)
from whence.explain.tensor import AttentionBlock
from whence.explain.truncation import Shortened, shorten
from whence.providers.base import Capabilities, Progress, Provider, Step, report
from whence.providers.errors import (
    BudgetError,
    ContextLengthError,
    EmptyOutputError,
    InputError,
    UnsupportedError,
)
from whence.providers.observations import Generation
from whence.providers.prompt import Prompt, Source, require_encodable, require_instruction

GIVEN_CAVEAT = "The output was given, not generated: the model may never have written it."
CUT_CAVEAT = "The output was cut at its limit of tokens: its last sentence may be incomplete."


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be explained, and how. `methods`: the primary first. `attention`: how to keep the tensor.

    `budget`: the most that may be spent; `metered_budget`: where calls cost money, and none is given.
    """

    prompt: Prompt
    output: str | None = None
    methods: tuple[str, ...] = ("auto",)
    segment_by: TextKind = "sentence"
    target_by: TargetKind = "sentence"
    detail: bool = False
    attention: KeepAttention | None = None
    max_tokens: int = 512
    seed: int = 0
    budget: Budget | None = None
    metered_budget: Budget | None = None
    truncate: bool = False
    parameters: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value, kinds in (
            ("segment_by", self.segment_by, get_args(TextKind)),
            ("target_by", self.target_by, get_args(TargetKind)),
        ):
            if value not in kinds:
                raise InputError(f"{name} is {value!r}; choose one of {', '.join(kinds)}")
        if not isinstance(self.max_tokens, int) or self.max_tokens < 1:
            raise InputError(f"max_tokens is {self.max_tokens!r}; ask for at least one token")
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or self.seed < 0:
            raise InputError(f"seed is {self.seed!r}; give a whole number from 0")
        if not self.methods or len(set(self.methods)) != len(self.methods):
            raise InputError(f"method is {list(self.methods)}; name one method, or several different ones")
        if self.output is not None:
            require_encodable(self.output, "the output")
            if not self.output.strip():
                raise EmptyOutputError("the output is empty; give its text, or leave output away")


@dataclass(frozen=True, kw_only=True)
class _Observed:
    """What was learned of one output. `looks`: the findings, and a pass made for the tensor alone."""

    output: str | Generation
    findings: tuple[Finding, ...]
    looks: tuple[Finding, ...]
    attention: tuple[AttentionBlock, ...] | None


@dataclass(frozen=True, kw_only=True)
class _Job:
    """A request that the provider can serve, and the budget that holds for it."""

    request: Request
    choices: tuple[Choice, ...]
    calls: Calls

    @property
    def looks(self) -> tuple[Choice, ...]:
        """The pass that `attention=` takes where no method makes one."""
        families = [_family(self.request, choice.method, self.calls.capabilities) for choice in self.choices]
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
        await anyio.to_thread.run_sync(_check_choices, request, choices, capabilities)
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
                calls, prompt, output, segment_by=self.request.segment_by, max_tokens=self.request.max_tokens
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
    return _assemble(job.calls, shortened, observed, seconds=time.monotonic() - began)


async def _capabilities(provider: Provider, progress: Progress | None) -> Capabilities:
    """What the provider can; to find out, it loads its model, where that is not done yet."""
    await report(progress, Step(stage="load", done=0, total=1))
    capabilities = await provider.capabilities()
    await report(progress, Step(stage="load", done=1, total=1))
    return capabilities


async def _observe(job: _Job, prompt: Prompt) -> _Observed:
    request, calls = job.request, job.calls
    output: str | Generation
    if request.output is None:
        if job.priced:
            await job.plan(prompt, None, job.choices)
        output = await calls.answer(prompt, max_tokens=request.max_tokens, seed=request.seed)
        if not output.text.strip():
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
        findings.append(await _find(job, job.choices[index:], replace(task, watcher=watcher)))
    looks = list(findings)
    if keeper is not None and not keeper.begun:  # no method looked at the attention: one more pass does
        looks.append(await get_method("attention").run(replace(task, parameters={}, watcher=keeper)))
    await calls.end()
    return _Observed(
        output=output,
        findings=tuple(findings),
        looks=tuple(looks),
        attention=None if keeper is None else keeper.finish(),
    )


async def _find(job: _Job, choices: Sequence[Choice], task: Task) -> Finding:
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
            _require_units(job.request, following.method, job.calls.capabilities)
            choice = following


def _require_budget(job: _Job) -> None:
    """Nothing that costs money fans out without a limit."""
    if job.priced and job.calls.capabilities.metered and not _bounded(job.calls.budget):
        raise BudgetError(
            f"each call of {job.calls.provider.name} costs money, and no budget is set; set one, such as "
            "budget={'calls': 100}"
        )


def _check_choices(request: Request, choices: Sequence[Choice], capabilities: Capabilities) -> None:
    """What can be known to be wrong before the model has answered."""
    names = [choice.method.name for choice in choices]
    if len(set(names)) != len(names):
        raise InputError(f"method is {list(request.methods)}, here the same as {names}; name each one once")
    known = sorted(set().union(*(choice.method.parameters for choice in choices)))
    for name in request.parameters:
        if name not in known:
            raise InputError(
                f"{', '.join(names)} has no parameter {name!r}; it takes {', '.join(known) or 'none'}"
            )
    for choice in choices:
        choice.method.check(request.parameters, capabilities)
        _require_units(request, choice.method, capabilities)


def _family(request: Request, method: Method, capabilities: Capabilities) -> Family:
    return method.effort(request.parameters, capabilities, segments=1).family


def _bounded(budget: Budget | None) -> bool:
    """Whether a budget limits what is spent: time alone does not."""
    return budget is not None and (budget.calls, budget.tokens, budget.money) != (None, None, None)


def _require_units(request: Request, method: Method, capabilities: Capabilities) -> None:
    """Raise UnsupportedError for tokens where a text has none, and nobody would tell them."""
    family = _family(request, method, capabilities)
    if request.segment_by == "token" and family != "native_attention":
        raise UnsupportedError(
            f"{method.name} takes parts of the text away, and a token is none; choose segment_by='word'"
        )
    if request.target_by == "token" and family == "perturbation":
        raise UnsupportedError(
            f"{method.name} compares texts here, whose tokens are not known; choose target_by='word'"
        )


def _assemble(calls: Calls, shortened: Shortened, observed: _Observed, *, seconds: float) -> Explanation:
    provider, capabilities, spent = calls.provider, calls.capabilities, calls.spent
    prices = capabilities.prices
    output, findings = observed.output, observed.findings
    generated = isinstance(output, Generation)
    caveats = [
        *capabilities.notes,
        *shortened.caveats,
        *([] if generated else [GIVEN_CAVEAT]),
        *([CUT_CAVEAT] if isinstance(output, Generation) and output.finish == "length" else []),
    ]
    layout = findings[0].layout
    prompt = shortened.prompt
    return Explanation(
        id=uuid.uuid4().hex,
        created_at=now(),
        provider=provider.name,
        model=provider.model,
        revision=capabilities.revision,
        prompt=_prompt_record(prompt),
        sources=tuple(
            SourceRecord(
                id=f"s{number}",
                name=source.name,
                kind=source.kind,
                metadata=dict(source.metadata),
                text=source.text,
            )
            for number, source in enumerate(prompt.sources, start=1)
        ),
        segments=layout.segments,
        output=Output(
            text=output.text if isinstance(output, Generation) else output,
            given=not generated,
            finish=output.finish if isinstance(output, Generation) else None,
            targets=layout.targets,
            tokens=next((look.tokens for look in observed.looks if look.tokens), None),
        ),
        results=tuple(
            finding.result.model_copy(update={"caveats": (*finding.result.caveats, *caveats)})
            for finding in findings
        ),
        attention=observed.attention,
        cost=Cost(
            calls=spent.calls,
            input_tokens=spent.input_tokens or None,
            output_tokens=spent.output_tokens or None,
            seconds=seconds,
            money=None
            if prices is None
            else Money(
                amount=prices.money(spent.input_tokens, spent.output_tokens), currency=prices.currency
            ),
            budget=calls.budget,
        ),
    )


def _prompt_record(prompt: Prompt) -> PromptRecord:
    number = 0
    messages: list[MessageRecord] = []
    instruction: list[str] = []
    for message in prompt.messages:
        content: list[str | SourceReference] = []
        for part in message.parts:
            if isinstance(part, Source):
                number += 1
                content.append(SourceReference(source=f"s{number}"))
            else:
                content.append(part)
                instruction += [part] if message.role == "user" else []
        messages.append(MessageRecord(role=message.role, content=tuple(content)))
    return PromptRecord(instruction="\n\n".join(instruction), messages=tuple(messages))
