"""What one explanation asks of its provider: each call once, so many at a time, again where that may help."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any, TypeVar, cast
from weakref import finalize

import anyio
import anyio.to_thread
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.stop import stop_after_attempt, stop_before_delay
from tenacity.wait import wait_random_exponential

from whence.explain.budget import Budget, Spending
from whence.providers.base import (
    Attends,
    Capabilities,
    Counts,
    Progress,
    Provider,
    Scores,
    Step,
    Watcher,
    report,
)
from whence.providers.errors import BudgetError, RateLimitError, TemporaryError, UnavailableError
from whence.providers.observations import AttentionQuery, AttentionRows, Generation, TokenScores
from whence.providers.prompt import Message, Prompt
from whence.providers.turns import Turns

Answer = TypeVar("Answer")
ATTEMPTS = 6
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 20.0
CHARACTERS_PER_TOKEN = 4
"""Of English, about; where a provider does not count."""
STAGE = "ablate"


@dataclass(eq=False)
class _Pace:
    """How fast one provider may be asked, by all who ask it."""

    turns: Turns
    resume_at: float = 0.0

    async def wait(self, deadline_seconds: float | None) -> None:
        """Until the provider wants to be asked again. Raises RateLimitError where that is too late."""
        while (seconds := self.resume_at - time.monotonic()) > 0:  # it may be put off meanwhile
            if deadline_seconds is not None and seconds > deadline_seconds:
                raise RateLimitError(
                    f"the provider asked to wait, for {seconds:.0f} s still", retry_after_seconds=seconds
                )
            await anyio.sleep(seconds)


_paces: dict[int, _Pace] = {}
"""By the identity of the provider, which need not be hashable."""


@dataclass(eq=False, kw_only=True)
class Calls:
    """Calls of one explanation. Raises BudgetError before calls for which the budget has no room.

    Calls that are the same are made once. A TemporaryError is tried again: after the time that the provider
    names, else after a growing, random one, up to the deadline of the provider's capabilities.
    `spent`: every attempt, and the tokens of those that were answered. `total`: the calls expected.
    """

    provider: Provider
    capabilities: Capabilities
    budget: Budget | None = None
    progress: Progress | None = None
    spent: Spending = field(default_factory=Spending)
    total: int | None = None
    _began: float = field(default_factory=time.monotonic)
    _promised: Spending = field(default_factory=Spending)
    _texts: dict[tuple[bytes, int | None], Generation] = field(default_factory=dict)
    _scores: dict[bytes, TokenScores] = field(default_factory=dict)
    _counts: dict[bytes, int] = field(default_factory=dict)
    _telling: anyio.Lock = field(default_factory=anyio.Lock)
    _whole: int = 0

    async def count(self, prompt: Prompt) -> int:
        """Tokens of a whole prompt; until another is counted, no call is expected to read more."""
        self._whole = await self._count(prompt)
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

        return await self._paid(ask, Spending(calls=1), lambda _: (0, 0))

    async def answer(self, prompt: Prompt, *, max_tokens: int, seed: int) -> Generation:
        """The output that is to be explained."""

        async def ask() -> Generation:
            return await self.provider.generate(
                prompt, max_tokens=max_tokens, seed=seed, progress=self.progress
            )

        written = await self._paid(ask, self._most(max_tokens), _of_generation)
        self._texts[self._key(_said(prompt), seed)] = written
        return written

    async def regenerate(
        self, prompts: Sequence[Prompt], *, max_tokens: int, seeds: Sequence[int]
    ) -> list[Generation]:
        """An answer to each prompt, in their order; as many at a time as the provider allows."""
        said = await anyio.to_thread.run_sync(_all_said, prompts)
        keys = [self._key(own, seed) for own, seed in zip(said, seeds, strict=True)]
        new = dict(zip(keys, zip(prompts, seeds, strict=True), strict=True))
        jobs = [(key, job) for key, job in new.items() if key not in self._texts]
        most = self._most(max_tokens)
        self._require_room(most.times(len(jobs)))

        async def one(key: tuple[bytes, int | None], prompt: Prompt, seed: int) -> None:
            async def ask() -> Generation:
                return await self.provider.generate(prompt, max_tokens=max_tokens, seed=seed)

            self._texts[key] = await self._paid(ask, most, _of_generation)
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
        most = Spending() if self.budget is None else Spending(input_tokens=await self.length(output))
        most += self._most(0)
        self._require_room(most.times(len(new)))
        pending = list(new.items())

        async def some(part: list[tuple[bytes, Prompt]]) -> None:
            asked = [prompt for _, prompt in part]
            done = self.spent.calls

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
        key = _said(prompt)
        if key not in self._counts:
            tokens = -(-_characters(prompt) // CHARACTERS_PER_TOKEN)
            if isinstance(self.provider, Counts):
                tokens = await self._persist(partial(self.provider.count_tokens, prompt))
            self._counts[key] = tokens
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

        async def attempt() -> Answer:
            await self._pace().wait(self.capabilities.deadline_seconds)
            self._require_room(Spending())
            try:
                answer = await ask()
            finally:
                self.spent += Spending(calls=most.calls)
            read, wrote = cost(answer)
            self.spent += Spending(input_tokens=read, output_tokens=wrote)
            return answer

        self._require_room(most)
        self._promised += most
        try:
            with anyio.move_on_after(self._seconds_left()):
                # The turn is kept between attempts: what waits in the queue has not begun its deadline.
                async with self._pace().turns.turn():
                    return await self._persist(attempt)
            raise BudgetError(self._over("its seconds are over"))
        finally:
            self._promised += most.times(-1)

    async def _persist(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Try again what may succeed, until the deadline."""
        began = time.monotonic()
        deadline = self.capabilities.deadline_seconds
        stop = stop_after_attempt(ATTEMPTS)
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(TemporaryError),
            wait=self._pause,
            stop=stop if deadline is None else stop | stop_before_delay(deadline),
            sleep=anyio.sleep,
            reraise=True,
        )
        try:
            with anyio.move_on_after(deadline):
                return await retrying(ask)
            raise UnavailableError(f"the provider gave no answer within {deadline:g} s")
        except TemporaryError as error:
            tries = retrying.statistics.get("attempt_number", 1)
            often = "once" if tries == 1 else f"{tries} times"
            raise type(error)(
                f"{error} (asked {often} in {time.monotonic() - began:.1f} s)",
                retry_after_seconds=error.retry_after_seconds,
            ) from error

    def _pause(self, state: RetryCallState) -> float:
        """Seconds until the next attempt; nobody asks this provider before a time that it named."""
        error = state.outcome and state.outcome.exception()
        if isinstance(error, TemporaryError) and error.retry_after_seconds is not None:
            pace = self._pace()
            pace.resume_at = max(pace.resume_at, time.monotonic() + error.retry_after_seconds)
            return error.retry_after_seconds
        return wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS)(state)

    def _pace(self) -> _Pace:
        key = id(self.provider)
        if key not in _paces:
            _paces[key] = _Pace(Turns(self.capabilities.max_in_flight))
            finalize(self.provider, _paces.pop, key, None)
        return _paces[key]

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

    async def _tell(self) -> None:
        async with self._telling:  # one after the other, in order
            done = self.spent.calls
            total = None if self.total is None else max(self.total, done)  # attempts that failed count, too
            await report(self.progress, Step(stage=STAGE, done=done, total=total))


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


def _characters(prompt: Prompt) -> int:
    return sum(len(turn.text) for turn in prompt.turns())


def _of_generation(answer: Generation) -> tuple[int, int]:
    return answer.prompt_tokens or 0, answer.output_tokens or 0


def _of_scores(answers: Sequence[TokenScores]) -> tuple[int, int]:
    return sum((scores.prompt_tokens or 0) + len(scores.spans) for scores in answers), 0
