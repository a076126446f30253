"""What was found, as one explanation."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from whence.explain.calls import Calls
from whence.explain.methods.base import Finding
from whence.explain.schema import (
    Cost,
    Explanation,
    MessageRecord,
    Money,
    Output,
    OutputToken,
    PromptRecord,
    SourceRecord,
    SourceReference,
    now,
)
from whence.explain.tensor import AttentionBlock
from whence.explain.truncation import Shortened
from whence.providers.observations import Generation
from whence.providers.prompt import Prompt, Source

GIVEN_CAVEAT = "The output was given, not generated: the model may never have written it."
CITED_CAVEAT = (
    "The answer was written with its sources as documents that can be cited; what was written again without "
    "some passages, was written from the same text between lines that name its source."
)
CUT_CAVEAT = "The output was cut at its limit of tokens: its last sentence may be incomplete."


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What was learned of one output. `looks`: the findings, and a pass made for the tensor alone."""

    output: str | Generation
    findings: tuple[Finding, ...]
    looks: tuple[Finding, ...]
    attention: tuple[AttentionBlock, ...] | None


def assemble(calls: Calls, shortened: Shortened, observed: Observed, *, seconds: float) -> Explanation:
    """The explanation, with what a reader of any result must know added to its caveats."""
    provider, capabilities, spent = calls.provider, calls.capabilities, calls.spent
    prices = capabilities.prices
    output, findings = observed.output, observed.findings
    written = output if isinstance(output, Generation) else None
    caveats = [
        *capabilities.notes,
        *shortened.caveats,
        *([GIVEN_CAVEAT] if written is None else []),
        *([CUT_CAVEAT] if written is not None and written.finish == "length" else []),
        *(
            [CITED_CAVEAT]
            if written is not None and written.citations is not None and len(findings) > 1
            else []
        ),
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
            given=written is None,
            finish=None if written is None else written.finish,
            targets=layout.targets,
            tokens=next((look.tokens for look in observed.looks if look.tokens), _carried_tokens(written)),
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


def _carried_tokens(written: Generation | None) -> tuple[OutputToken, ...] | None:
    """What an answer itself tells of its tokens."""
    if written is None or not written.tokens:
        return None
    return tuple(
        OutputToken(start=token.start, end=token.end, logprob_nats=token.logprob_nats)
        for token in written.tokens
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
