"""The configured models: nothing else can be asked, whatever name or path a request gives."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from whence.api.background import submit
from whence.api.sdk import Explainer
from whence.api.service.logs import describe, log, take_over
from whence.api.service.problems import ProblemError, cannot_load, from_whence
from whence.api.service.queue import Queue
from whence.api.service.settings import ModelName, ModelSettings
from whence.explain.plan import Plan, serves
from whence.explain.schema import Explanation
from whence.providers.base import Access, Capabilities, Provider
from whence.providers.errors import (
    AuthenticationError,
    QuotaError,
    TemporaryError,
    UnknownModelError,
    WhenceError,
)

Answer = TypeVar("Answer")
REQUEST_ID = re.compile(r"[\w.:-]{1,100}")
"""What a provider's id of a request looks like: anything else in its place is not logged."""


class ModelRecord(BaseModel):
    """A model of this server; what it can is null until it is loaded."""

    name: ModelName
    provider: str
    model: str
    loaded: bool
    access: Access | None = None
    methods: list[str] | None = None
    context_tokens: int | None = None


class Model:
    """A configured model: its adapter, which loads its weights on first use, and what it may spend."""

    def __init__(self, name: str, settings: ModelSettings, provider: Provider) -> None:
        self.name = name
        self.preload = settings.preload
        self.timeout_seconds = settings.timeout_seconds
        self.queue = Queue(max_running=settings.max_running, max_waiting=settings.max_waiting)
        # A plan needs no pass through the model, so it does not wait for those who do.
        self.planning = Queue(max_running=settings.max_running, max_waiting=settings.max_waiting)
        self.load_failed = False
        self._settings = settings
        self._capabilities: Capabilities | None = None
        self._provider = provider
        self._explainer = Explainer(provider)

    @property
    def loaded(self) -> bool:
        """Whether it is known what the model can."""
        return self._capabilities is not None

    async def load(self) -> None:
        """Find out what the model can, which loads it. Raises a problem; the log says what is wrong."""
        try:
            capabilities = await self._see()
            self._require_budget(capabilities)
            self._capabilities = capabilities
        except WhenceError as error:
            self.load_failed = True
            # No request is read here, so this message holds no text of one; it may hold a path of ours.
            log.error("the model %s cannot be loaded: %s", self.name, error)
            of_the_api = isinstance(error, TemporaryError | AuthenticationError | QuotaError)
            raise (from_whence(error) if of_the_api else cannot_load()) from error
        except Exception:
            self.load_failed = True
            raise
        else:
            self.load_failed = False
        finally:
            take_over()  # it is now that the libraries of a model are imported

    async def explain(self, arguments: Mapping[str, Any]) -> Explanation:
        """Wait for a turn, load the model where that is not done, and explain.

        Raises WhenceError, ProblemError.
        """
        explanation = await self._in_turn(self.queue, self._explainer.aexplain, arguments)
        self._capabilities = await self._see()  # an API may have refused what it was said to give
        return explanation

    async def plan(self, arguments: Mapping[str, Any]) -> Plan:
        """What that would cost at most; nothing is asked. Raises as `explain` does."""
        return await self._in_turn(self.planning, self._explainer.aplan, arguments)

    async def _see(self) -> Capabilities:
        return await asyncio.wrap_future(submit(self._provider.capabilities))

    async def _in_turn(
        self, queue: Queue, work: Callable[..., Awaitable[Answer]], arguments: Mapping[str, Any]
    ) -> Answer:
        """The server's budget holds, and what the request allows where that is less."""
        budget = self._settings.limit(arguments.get("budget"))
        try:
            async with asyncio.timeout(self.timeout_seconds), queue.turn():
                if not self.loaded:
                    await self.load()
                return await work(**{**arguments, "budget": budget})
        except (AuthenticationError, QuotaError, UnknownModelError) as error:
            self._tell_operator(error)
            raise
        except TimeoutError as error:
            raise self._late() from error

    async def record(self) -> ModelRecord:
        """What the model can; loads it. Raises a problem."""
        try:
            async with asyncio.timeout(self.timeout_seconds):
                if not self.loaded:
                    await self.load()
        except TimeoutError as error:
            raise self._late() from error
        return self.known()

    def known(self) -> ModelRecord:
        """What is known without loading it."""
        can = self._capabilities
        return ModelRecord(
            name=self.name,
            provider=self._provider.name,
            model=self._provider.model,
            loaded=can is not None,
            access=can and can.access,
            methods=can and serves(can),
            context_tokens=can and can.context_tokens,
        )

    def _require_budget(self, capabilities: Capabilities) -> None:
        """Who sends a request spends the server's money: only what its settings allow. Raises the problem."""
        own = self._settings.budget
        if not capabilities.metered:
            return
        if own is None or (own.calls, own.tokens, own.money) == (None, None, None):
            fault = "its calls cost money, and no budget limits calls, tokens or money"
        elif own.money is not None and capabilities.prices is None:
            fault = "its budget is of money, and it has no prices"
        else:
            return
        place = f"[models.{self.name}.budget]"
        log.error("the model %s cannot be used: %s; set %s", self.name, fault, place)
        raise ProblemError(
            500,
            "no-budget",
            "The server has no budget for this model.",
            f"The operator must mend its settings: {fault}. See {place}.",
        )

    def _tell_operator(self, error: AuthenticationError | QuotaError | UnknownModelError) -> None:
        """Log what only the settings can mend; not the message, in which an API may quote the request."""
        fields = describe(error)
        request_id = getattr(error, "request_id", None)
        if request_id is not None and REQUEST_ID.fullmatch(request_id):
            fields["provider_request"] = request_id
        log.error(
            "the model %s cannot be used: its provider refuses the account or the model's name",
            self.name,
            extra={"fields": fields},
        )

    def _late(self) -> ProblemError:
        return ProblemError(
            504,
            "timeout",
            "The model took too long.",
            f"Waiting and explaining took more than {self.timeout_seconds:g} s, the limit of this model.",
            limit_seconds=self.timeout_seconds,
        )
