"""How fast one provider is asked, by all who ask it, and again where that may help."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar
from weakref import finalize

import anyio
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.stop import stop_after_attempt, stop_before_delay
from tenacity.wait import wait_random_exponential

from whence.providers.base import Capabilities, Provider
from whence.providers.errors import RateLimitError, TemporaryError, UnavailableError
from whence.providers.turns import Turns

Answer = TypeVar("Answer")
ATTEMPTS = 6
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 20.0
LONGEST_PAUSE_SECONDS = 3600.0
"""Whatever a provider names: it is asked again after this, by whoever wants to."""
PATIENCE_SECONDS = 60.0
"""Of what has no deadline: an attempt takes as long as it takes, and none begins later than this."""


@dataclass(eq=False)
class Pace:
    """`turns`: for so many calls as may run at once. `resume_at`: the moment that the provider last named.

    `deadline_seconds`: of a call with all its attempts. `owner`: see `pace_of`.
    """

    turns: Turns
    deadline_seconds: float | None
    resume_at: float = 0.0
    owner: Provider | None = None

    async def wait(self) -> None:
        """Until the provider wants to be asked again. Raises RateLimitError where that is too late."""
        while (seconds := self.resume_at - time.monotonic()) > 0:  # it may be put off meanwhile
            if self.deadline_seconds is not None and seconds > self.deadline_seconds:
                raise RateLimitError(
                    f"the provider asked to wait, for {seconds:.0f} s still", retry_after_seconds=seconds
                )
            await anyio.sleep(seconds)

    async def persist(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Try again what may succeed, until the deadline."""
        began = time.monotonic()
        deadline = self.deadline_seconds
        longest = PATIENCE_SECONDS if deadline is None else deadline
        last: TemporaryError | None = None

        async def attempt() -> Answer:
            nonlocal last
            try:
                return await ask()
            except TemporaryError as error:
                last = error
                raise

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(TemporaryError),
            wait=self._pause,
            stop=stop_after_attempt(ATTEMPTS) | stop_before_delay(longest),
            sleep=anyio.sleep,
            reraise=True,
        )
        try:
            with anyio.move_on_after(deadline):
                return await retrying(attempt)
            raise UnavailableError(f"the provider gave no answer within {deadline:g} s") from last
        except TemporaryError as error:
            tries = retrying.statistics.get("attempt_number", 1)
            seconds = time.monotonic() - began
            raise _given_up(error, last or error, tries=tries, seconds=seconds) from (last or error)

    def _pause(self, state: RetryCallState) -> float:
        """Seconds until the next attempt; nobody asks this provider before a time that it named."""
        error = state.outcome and state.outcome.exception()
        if isinstance(error, TemporaryError) and error.retry_after_seconds is not None:
            wait = min(error.retry_after_seconds, LONGEST_PAUSE_SECONDS)
            self.resume_at = max(self.resume_at, time.monotonic() + wait)
            return error.retry_after_seconds
        return wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS)(state)


def _given_up(error: TemporaryError, last: TemporaryError, *, tries: int, seconds: float) -> TemporaryError:
    """The error that ended the attempts, with how many there were; `last`: of the provider."""
    kinds = (RateLimitError, UnavailableError, TemporaryError)
    kind = next(known for known in kinds if isinstance(error, known))
    often = "once" if tries == 1 else f"{tries} times"
    told = kind(f"{error} (asked {often} in {seconds:.1f} s)", retry_after_seconds=error.retry_after_seconds)
    told.request_id = last.request_id  # the message of the provider's own error names it already
    return told


_paces: dict[int, Pace] = {}
"""By the identity of the provider, which need not be hashable."""


def pace_of(provider: Provider, capabilities: Capabilities) -> Pace:
    """The pace of a provider, the same for every explanation that asks this object."""
    key = id(provider)
    if key not in _paces:
        pace = Pace(Turns(capabilities.max_in_flight), capabilities.deadline_seconds)
        try:
            finalize(provider, _paces.pop, key, None)
        except TypeError:  # its end cannot be seen: it is kept, so that no other has its identity
            pace.owner = provider
        _paces[key] = pace
    return _paces[key]
