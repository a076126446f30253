"""What one explanation asks of its provider: each call once, counted, and within the budget."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any, TypeVar, cast

import anyio
import anyio.to_thread

from whence.explain.budget import Budget, Spending
from whence.explain.pace import pace_of
from whence.providers.base import (
    Attends,
    Capabilities,
    Cites,
    Counts,
    Passages,
    Progress,
    Provider,
    Scores,
    Step,
    Watcher,
    report,
)
from whence.providers.errors import BudgetError, ContextLengthError, RefusedError
from whence.providers.observations import AttentionQuery, AttentionRows, Generation, TokenScores
from whence.providers.prompt import Message, Prompt

Answer = TypeVar("Answer")
BYTES_PER_TOKEN = 3
"""Of UTF-8, where a provider does not count: rather too many tokens than too few, in any script."""
TEMPLATE_TOKENS = 8
"""What a chat template may put around a message."""
FORCED_AT_MOST = 2
"""Tokens that a model may need to write one that is forced upon it, quoted and by another way."""
STAGE = "ablate"


@dataclass(eq=False, kw_only=True)
class Calls:
    """Calls of one explanation. Raises BudgetError before calls for which the budget has no room.

    Calls that are the same are made once. A TemporaryError is tried again: after the time that the provider
    names, else after a growing, random one, up to the deadline of the provider's capabilities (see `Pace`).
    `spent`: every attempt that was not too long, and the tokens of those that were answered or refused.
    `total`: the calls expected. `longest_tokens`: the most that a prompt may have, where longer ones are
    shortened.
    """

    provider: Provider
    capabilities: Capabilities
    budget: Budget | None = None
    progress: Progress | None = None
    spent: Spending = field(default_factory=Spending)
    total: int | None = None
    longest_tokens: int | None = None
    _answered: int = 0
    _began: float = field(default_factory=time.monotonic)
    _promised: Spending = field(default_factory=Spending)
    _texts: dict[tuple[bytes, int | None], Generation | RefusedError] = field(default_factory=dict)
    _scores: dict[bytes, TokenScores] = field(default_factory=dict)
    _counts: dict[bytes, int] = field(default_factory=dict)
    _telling: anyio.Lock = field(default_factory=anyio.Lock)
    _whole: int = 0

    async def count(self, prompt: Prompt) -> int:
        """Tokens of a whole prompt; until another is counted, no call is expected to read more."""
        tokens = await self._count(prompt)
        self._whole = tokens if self.longest_tokens is None else min(tokens, self.longest_tokens)
        return self._whole

    async def length(self, output: str | Generation) -> int:
        """Tokens of an output: as its provider said, or as many as a message with its text."""
        if isinstance(output, Generation) and output.output_tokens is not None:
            return output.output_tokens
        text = output if isinstance(output, str) else output.text
        return await self._count(Prompt(messages=(Message(role="user", content=text),)))

    async def attend(
        self, prompt: Prompt, output: str | Generation, query: AttentionQuery, watcher: Watcher | None
    ) -> AttentionRows:
        """One pass that observes the attention of the output."""
        provider = cast("Attends", self.provider)

        async def ask() -> AttentionRows:
            return await provider.attend(prompt, output, query, progress=self.progress, watcher=watcher)

        return await self._paid(ask, self._most(0), lambda rows: _of_scores([rows.output]))

    async def answer(self, prompt: Prompt, *, max_tokens: int, seed: int) -> Generation:
        """The output that is to be explained."""

        async def ask() -> Generation:
            return await self.provider.generate(
                prompt, max_tokens=max_tokens, seed=seed, progress=self.progress
            )

        written = await self._paid(ask, self._most(max_tokens), _of_generation)
        self._texts[self._key(_said(prompt), seed)] = written
        return written

    async def cite(self, prompt: Prompt, passages: Passages, *, max_tokens: int, seed: int) -> Generation:
        """The output that is to be explained, with the model's own claims about it."""
        provider = cast("Cites", self.provider)

        async def ask() -> Generation:
            return await provider.cite(
                prompt, passages, max_tokens=max_tokens, seed=seed, progress=self.progress
            )

        read = await self.count_cited(prompt, passages)
        most = Spending(calls=1, input_tokens=read, output_tokens=max_tokens)
        return await self._paid(ask, most, _of_generation)

    async def count_cited(self, prompt: Prompt, passages: Passages) -> int:
        """Tokens of a prompt whose passages can be cited; nobody else's count has their markup."""
        ask = partial(cast("Cites", self.provider).count_cited_tokens, prompt, passages)
        return await self._counted(b"cited" + _said(prompt), ask)

    async def regenerate(
        self, prompts: Sequence[Prompt], *, max_tokens: int, seeds: Sequence[int]
    ) -> list[Generation | RefusedError]:
        """An answer to each prompt, or its refusal, in their order; as many at a time as is allowed."""
        said = await anyio.to_thread.run_sync(_all_said, prompts)
        keys = [self._key(own, seed) for own, seed in zip(said, seeds, strict=True)]
        new = dict(zip(keys, zip(prompts, seeds, strict=True), strict=True))
        jobs = [(key, job) for key, job in new.items() if key not in self._texts]
        most = self._most(max_tokens)
        self._require_room(most.times(len(jobs)))

        async def one(key: tuple[bytes, int | None], prompt: Prompt, seed: int) -> None:
            async def ask() -> Generation:
                return await self.provider.generate(prompt, max_tokens=max_tokens, seed=seed)

            try:
                written: Generation | RefusedError = await self._paid(ask, most, _of_generation)
            except RefusedError as refusal:  # of this prompt: the others may still be answered
                written = refusal
            self._texts[key] = written
            await self._tell()

        await _together([partial(one, key, *job) for key, job in jobs])
        return [self._texts[key] for key in keys]

    async def score(self, prompts: Sequence[Prompt], output: str | Generation) -> list[TokenScores]:
        """Log-probabilities of the output's tokens given each prompt, in their order."""
        keys = await anyio.to_thread.run_sync(_all_said, prompts)
        new = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in self._scores}
        # Where it is computed here, one by one, all of them together are done soonest.
        local = self.capabilities.max_in_flight == 1 and self.capabilities.deadline_seconds is None
        size = len(new) if local else 1
        length = 0 if self.budget is None else await self.length(output)
        most = scoring(self.capabilities, prompt_tokens=self._whole, output_tokens=length)
        self._require_room(most.times(len(new)))
        pending = list(new.items())

        async def some(part: list[tuple[bytes, Prompt]]) -> None:
            asked = [prompt for _, prompt in part]
            done = self._answered

            def tell(step: Step) -> None:
                if self.progress is not None:
                    self.progress(Step(stage=STAGE, done=done + step.done, total=self.total))

            async def ask() -> tuple[TokenScores, ...]:
                return await cast("Scores", self.provider).score(
                    asked, output, progress=tell if len(asked) > 1 else None
                )

            found = await self._paid(ask, most.times(len(asked)), _of_scores)
            self._scores.update(zip([key for key, _ in part], found, strict=True))
            await self._tell()

        parts = [pending[i : i + size] for i in range(0, len(pending), max(size, 1))]
        await _together([partial(some, part) for part in parts])
        return [self._scores[key] for key in keys]

    def _key(self, said: bytes, seed: int) -> tuple[bytes, int | None]:
        return said, None if self.capabilities.deterministic else seed

    async def _count(self, prompt: Prompt) -> int:
        if not self.capabilities.counts:
            return _estimated(prompt)
        return await self._counted(_said(prompt), partial(cast("Counts", self.provider).count_tokens, prompt))

    async def _counted(self, key: bytes, ask: Callable[[], Awaitable[int]]) -> int:
        """What the provider counts, which costs nothing; asked once."""
        if key not in self._counts:
            self._counts[key] = await self._paid(ask, Spending(), lambda _: (0, 0))
        return self._counts[key]

    def _most(self, max_tokens: int) -> Spending:
        """What one call may cost at most."""
        return Spending(calls=1, input_tokens=self._whole, output_tokens=max_tokens)

    async def _paid(
        self,
        ask: Callable[[], Awaitable[Answer]],
        most: Spending,
        cost: Callable[[Answer], tuple[int, int]],
    ) -> Answer:
        """An answer, for which every attempt is counted. Raises BudgetError, ProviderError."""
        pace = pace_of(self.provider, self.capabilities)

        async def attempt() -> Answer:
            await pace.wait()
            self._require_room(Spending())
            counted = most.calls
            try:
                answer = await ask()
            except ContextLengthError:  # refused as too long, and never worked on
                counted = 0
                raise
            except RefusedError as refusal:
                self.spent += Spending(
                    input_tokens=refusal.prompt_tokens, output_tokens=refusal.output_tokens
                )
                raise
            finally:
                self.spent += Spending(calls=counted)
            self._answered += most.calls
            read, wrote = cost(answer)
            self.spent += Spending(input_tokens=read, output_tokens=wrote)
            return answer

        self._require_room(most)
        self._promised += most
        try:
            with anyio.move_on_after(self._seconds_left()):
                # The turn is kept between attempts: what waits in the queue has not begun its deadline.
                async with pace.turns.turn():
                    return await pace.persist(attempt)
            raise BudgetError(self._over("its seconds are over"))
        finally:
            self._promised += most.times(-1)

    def _require_room(self, more: Spending) -> None:
        beyond = (self.spent + self._promised + more).exceeds(self.budget, self.capabilities.prices)
        left = self._seconds_left()
        if beyond is None and left is not None and left <= 0:
            beyond = "its seconds are over"
        if beyond is not None:
            raise BudgetError(self._over(beyond))

    def _seconds_left(self) -> float | None:
        if self.budget is None or self.budget.seconds is None:
            return None
        return self._began + self.budget.seconds - time.monotonic()

    def _over(self, what: str) -> str:
        return (
            f"the budget of {self.budget} is spent: {what}; {self.spent.calls} calls were made. Allow more, "
            "or ask for less: coarser segments (segment_by='paragraph'), or fewer masks"
        )

    async def end(self) -> None:
        """Tell that no more calls are made, fewer perhaps than were expected."""
        if self.total is not None:
            self.total = self._answered
            await self._tell()

    async def _tell(self) -> None:
        async with self._telling:  # one after the other, in order
            await report(self.progress, Step(stage=STAGE, done=self._answered, total=self.total))


def scoring(capabilities: Capabilities, *, prompt_tokens: int, output_tokens: int) -> Spending:
    """The most that it costs to score an output once, by reading it or by being made to write it."""
    if capabilities.forces:
        most = FORCED_AT_MOST * output_tokens + TEMPLATE_TOKENS
        return Spending(calls=1, input_tokens=prompt_tokens, output_tokens=most)
    return Spending(calls=1, input_tokens=prompt_tokens + output_tokens)


async def _together(jobs: Sequence[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    """Run all; the first error ends the others, and is raised as it is."""
    try:
        async with anyio.create_task_group() as group:
            for job in jobs:
                group.start_soon(job)
    except BaseExceptionGroup as errors:
        error = _first(errors)
        raise error from error.__cause__


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _said(prompt: Prompt) -> bytes:
    """What tells two prompts apart: a digest of what the model reads, for the texts may be long and many."""
    digest = blake2b()
    for turn in prompt.turns():
        digest.update(f"{turn.role} {len(turn.text)} {turn.text}".encode())
    return digest.digest()


def _all_said(prompts: Sequence[Prompt]) -> list[bytes]:
    return [_said(prompt) for prompt in prompts]


def _estimated(prompt: Prompt) -> int:
    """Tokens of a prompt that nobody counts, rather too many than too few."""
    return sum(TEMPLATE_TOKENS - -len(turn.text.encode()) // BYTES_PER_TOKEN for turn in prompt.turns())


def _of_generation(answer: Generation) -> tuple[int, int]:
    return answer.prompt_tokens or 0, answer.output_tokens or 0


def _of_scores(answers: Sequence[TokenScores]) -> tuple[int, int]:
    read = sum(s.prompt_tokens or 0 for s in answers)
    return (
        read + sum(len(s.spans) for s in answers if s.written_tokens is None),
        sum(s.written_tokens or 0 for s in answers),
    )
