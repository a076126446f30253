"""The configured models: nothing else can be asked, whatever name or path a request gives."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from whence.api.background import submit
from whence.api.sdk import Explainer
from whence.api.service.logs import log, take_over
from whence.api.service.problems import ProblemError
from whence.api.service.queue import Queue
from whence.api.service.settings import ModelName, ModelSettings
from whence.explain.plan import serves
from whence.explain.schema import Explanation
from whence.providers.base import Access, Capabilities
from whence.providers.errors import InputError, WhenceError
from whence.providers.registry import resolve


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
    """A configured model. Its adapter is made at once, its weights are loaded on first use.

    Raises UnknownProviderError, MissingExtraError, InputError.
    """

    def __init__(self, name: str, settings: ModelSettings) -> None:
        self.name = name
        self.preload = settings.preload
        self.timeout_seconds = settings.timeout_seconds
        self.queue = Queue(max_running=settings.max_running, max_waiting=settings.max_waiting)
        self.load_failed = False
        self._capabilities: Capabilities | None = None
        try:
            self._provider = resolve(settings.provider, **settings.options)
        except TypeError as error:
            raise InputError(
                f"models.{name}: {settings.provider} does not take {', '.join(settings.options)}: {error}"
            ) from error
        self._explainer = Explainer(self._provider)

    @property
    def loaded(self) -> bool:
        """Whether it is known what the model can."""
        return self._capabilities is not None

    async def load(self) -> None:
        """Find out what the model can, which loads it. Raises a problem; the log says what is wrong."""
        try:
            self._capabilities = await asyncio.wrap_future(submit(self._provider.capabilities))
        except WhenceError as error:
            self.load_failed = True
            # No request is read here, so this message holds no text of one; it may hold a path of ours.
            log.error("the model %s cannot be loaded: %s", self.name, error)
            raise ProblemError(
                500, "model-load", "The model cannot be loaded.", "The log of the server says why."
            ) from error
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
        try:
            async with asyncio.timeout(self.timeout_seconds), self.queue.turn():
                if not self.loaded:
                    await self.load()
                return await self._explainer.aexplain(**arguments)
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

    def _late(self) -> ProblemError:
        return ProblemError(
            504,
            "timeout",
            "The model took too long.",
            f"Waiting and explaining took more than {self.timeout_seconds:g} s, the limit of this model.",
            limit_seconds=self.timeout_seconds,
        )
