"""Run an explanation: answer, observe, score, and put it all into the one schema."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

from whence.explain.keeper import KeepAttention, TensorKeeper
from whence.explain.methods import get_method
from whence.explain.methods.base import Finding, Task
from whence.explain.plan import Choice, choose
from whence.explain.schema import (
    Cost,
    Explanation,
    MessageRecord,
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
from whence.providers.errors import ContextLengthError, EmptyOutputError, InputError, UnsupportedError
from whence.providers.observations import Generation
from whence.providers.prompt import Prompt, Source, require_encodable, require_instruction

GIVEN_CAVEAT = "The output was given, not generated: the model may never have written it."
CUT_CAVEAT = "The output was cut at its limit of tokens: its last sentence may be incomplete."


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be explained, and how. `methods`: the primary first. `attention`: how to keep the tensor."""

    prompt: Prompt
    output: str | None = None
    methods: tuple[str, ...] = ("auto",)
    segment_by: TextKind = "sentence"
    target_by: TargetKind = "sentence"
    detail: bool = False
    attention: KeepAttention | None = None
    max_tokens: int = 512
    seed: int = 0
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


async def explain(provider: Provider, request: Request, progress: Progress | None = None) -> Explanation:
    """Explain one output. Raises the errors of `whence.providers.errors`; nothing partial is returned."""
    began = time.monotonic()
    capabilities = await _capabilities(provider, progress)
    if capabilities.instructed:
        require_instruction(request.prompt)
    if request.attention is not None and not capabilities.attends:
        raise UnsupportedError(
            f"attention= keeps the model's attention, and {provider.name} gives {capabilities.access} only; "
            "leave attention= away, or take a model whose weights can be read"
        )
    choices = [choose(name, capabilities, provider=provider.name) for name in request.methods]
    _check_choices(request, choices, capabilities)
    shortened = Shortened(prompt=request.prompt)
    while True:
        try:
            observed = await _observe(provider, request, choices, shortened.prompt, progress)
            break
        except ContextLengthError as error:
            if not request.truncate:
                raise
            shortened = shorten(shortened, error)
    return _assemble(provider, capabilities, shortened, observed, seconds=time.monotonic() - began)


async def _capabilities(provider: Provider, progress: Progress | None) -> Capabilities:
    """What the provider can; to find out, it loads its model, where that is not done yet."""
    await report(progress, Step(stage="load", done=0, total=1))
    capabilities = await provider.capabilities()
    await report(progress, Step(stage="load", done=1, total=1))
    return capabilities


async def _observe(
    provider: Provider, request: Request, choices: list[Choice], prompt: Prompt, progress: Progress | None
) -> _Observed:
    output: str | Generation
    if request.output is None:
        output = await provider.generate(
            prompt, max_tokens=request.max_tokens, seed=request.seed, progress=progress
        )
        if not output.text.strip():
            raise EmptyOutputError(
                f"{provider.model} answered without any text, so there is nothing to explain; "
                "change the prompt, or give the output that you want explained"
            )
    else:
        output = request.output
    task = Task(
        provider=provider,
        prompt=prompt,
        ids=tuple(f"s{number}" for number in range(1, len(prompt.sources) + 1)),
        output=output,
        segment_by=request.segment_by,
        target_by=request.target_by,
        detail=request.detail,
        seed=request.seed,
        parameters=request.parameters,
        fallbacks=(),
        progress=progress,
    )
    keeper = None if request.attention is None else TensorKeeper(request.attention, task.ids)
    findings: list[Finding] = []
    for choice in choices:
        watcher = None if keeper is None or keeper.begun else keeper
        findings.append(await choice.method.run(replace(task, fallbacks=choice.fallbacks, watcher=watcher)))
    looks = list(findings)
    if keeper is not None and not keeper.begun:  # no method looked at the attention: one more pass does
        looks.append(await get_method("attention").run(replace(task, parameters={}, watcher=keeper)))
    return _Observed(
        output=output,
        findings=tuple(findings),
        looks=tuple(looks),
        attention=None if keeper is None else keeper.finish(),
    )


def _check_choices(request: Request, choices: list[Choice], capabilities: Capabilities) -> None:
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


def _assemble(
    provider: Provider,
    capabilities: Capabilities,
    shortened: Shortened,
    observed: _Observed,
    *,
    seconds: float,
) -> Explanation:
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
            calls=int(generated) + sum(look.calls for look in observed.looks),
            input_tokens=output.prompt_tokens if isinstance(output, Generation) else None,
            output_tokens=output.output_tokens if isinstance(output, Generation) else None,
            seconds=seconds,
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
