"""The adapter for Claude."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

from anthropic import AsyncAnthropicVertex, NotFoundError
from anthropic.types import Message, RawContentBlockDelta, RawContentBlockDeltaEvent, TextDelta, ThinkingDelta

from whence.providers.base import Capabilities, Passages, Prices, Progress, Writing
from whence.providers.claude.answer import generation
from whence.providers.claude.clients import Client, direct, vertex
from whence.providers.claude.content import Body, Document, cited, plain
from whence.providers.claude.errors import is_too_long, translated, within
from whence.providers.clients import ClientOfLoop
from whence.providers.errors import (
    ContextLengthError,
    InputError,
    ProviderError,
    UnavailableError,
    UnknownModelError,
)
from whence.providers.observations import Generation
from whence.providers.options import require_limits, require_temperature, require_texts, split_url
from whence.providers.prompt import Prompt
from whence.providers.turns import Turns

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

OLDER, OLDER_ON_VERTEX = "2023-06-01", "vertex-2023-10-16"
"""Versions of the API that still take a temperature."""
MOST_TEMPERATURE = 1
MOST_MODELS = 100
"""Named in an error."""
CHARACTERS_PER_TOKEN = 4
"""Of what is being written; how many tokens it was, the API says at the end."""


class Claude:
    """A Claude model: `Claude("claude-sonnet-5-5")`, or with `project` on Vertex AI.

    `api_key`: by default what Anthropic's SDK finds, such as the environment variable ANTHROPIC_API_KEY.
    `base_url`: of another server that speaks the same protocol, http:// for this machine alone. `project`,
    `location`: of Google Cloud, the location by default from CLOUD_ML_REGION; `credentials`: Google's, by
    default the application default ones. `temperature`: for models that still take one (up to 4.6), from 0
    to 1; newer ones refuse it, so by default none is sent. `prices`: as you pay. `max_in_flight`: calls at
    once. `timeout_seconds`: of one attempt; `deadline_seconds`: of a call with all its attempts.

    Raises InputError, MissingExtraError.
    """

    name = "claude"

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        project: str | None = None,
        location: str | None = None,
        credentials: Credentials | None = None,
        temperature: float | None = None,
        prices: Prices | None = None,
        max_in_flight: int = 4,
        timeout_seconds: float = 120.0,
        deadline_seconds: float = 600.0,
    ) -> None:
        require_texts(model=model, api_key=api_key, base_url=base_url, project=project, location=location)
        require_limits(
            max_in_flight=max_in_flight, timeout_seconds=timeout_seconds, deadline_seconds=deadline_seconds
        )
        if temperature is not None:
            require_temperature(temperature, most=MOST_TEMPERATURE)
        if base_url is not None:
            split_url("base_url", base_url)
        if not model.strip():
            raise InputError("Claude needs the name of a model, such as claude-sonnet-5-5")
        if project is None and (location is not None or credentials is not None):
            raise InputError("location and credentials are of Claude on Vertex AI: give project=, too")
        if project is not None and api_key is not None:
            raise InputError("Vertex AI takes no api_key: leave it away, or leave project away")
        self.model = model
        self._make = (
            direct(api_key, base_url, timeout_seconds)
            if project is None
            else vertex(project, location, credentials, base_url, timeout_seconds)
        )
        self._clients: ClientOfLoop[Client] = ClientOfLoop(lambda client: client.close())
        self._temperature = temperature
        self._prices = prices
        self._max_in_flight = max_in_flight
        self._timeout_seconds = timeout_seconds
        self._deadline_seconds = deadline_seconds
        self._known: Capabilities | None = None
        self._asking = Turns()

    async def capabilities(self) -> Capabilities:
        """What Anthropic says of the model, which is asked once, for nothing; Vertex AI does not tell.

        Raises AuthenticationError, UnknownModelError, ProviderError.
        """
        async with self._asking.turn():
            if self._known is None:
                context_tokens, cites = await self._look_up()
                self._known = Capabilities(
                    access="text",
                    context_tokens=context_tokens,
                    cites=cites,
                    counts=True,
                    max_in_flight=self._max_in_flight,
                    deadline_seconds=self._deadline_seconds,
                    metered=True,
                    prices=self._prices,
                )
            return self._known

    async def generate(
        self, prompt: Prompt, *, max_tokens: int, seed: int, progress: Progress | None = None
    ) -> Generation:
        """Let Claude answer. It takes no seed: an answer may differ each time.

        `progress` is told about how many tokens are written, of `max_tokens`, in the stage `generate`.
        """
        return await self._answer(plain(prompt), None, max_tokens, progress)

    async def cite(
        self,
        prompt: Prompt,
        passages: Passages,
        *,
        max_tokens: int,
        seed: int,
        progress: Progress | None = None,
    ) -> Generation:
        """Let Claude answer, and say for each part of its answer which passages it rests on.

        It is given the passages that have any visible text, and nothing else of the sources.
        """
        return await self._answer(*cited(prompt, passages), max_tokens, progress)

    async def count_tokens(self, prompt: Prompt) -> int:
        """Tokens that Claude would read in `generate`, as the API counts them, for nothing."""
        return await self._count(plain(prompt))

    async def count_cited_tokens(self, prompt: Prompt, passages: Passages) -> int:
        """Tokens that Claude would read in `cite`."""
        return await self._count(cited(prompt, passages)[0])

    async def _look_up(self) -> tuple[int | None, bool]:
        """The model's context in tokens, where that is known, and whether it cites."""
        with within(self._timeout_seconds), translated(self.model):
            client = await self._clients.here(self._make)
            if isinstance(client, AsyncAnthropicVertex):
                return None, True
            try:
                info = await client.models.retrieve(self.model)
            except NotFoundError as error:
                listed = await client.models.list(limit=MOST_MODELS)
                raise UnknownModelError("model", self.model, [known.id for known in listed.data]) from error
            cites = info.capabilities is not None and info.capabilities.citations.supported
            return info.max_input_tokens, cites

    async def _answer(
        self, body: Body, documents: Sequence[Document] | None, max_tokens: int, progress: Progress | None
    ) -> Generation:
        with within(self._timeout_seconds):
            try:
                message, request_id = await self._stream(body, max_tokens, progress)
            except ProviderError as error:
                if is_too_long(error.__cause__) and not isinstance(error, ContextLengthError):
                    await self._require_room(body, error)
                raise
            with translated(self.model, request_id=request_id):
                answer = generation(message, request_id=request_id, documents=documents)
            await Writing(progress, max_tokens).whole(answer.output_tokens or 0)
            return answer

    async def _stream(
        self, body: Body, max_tokens: int, progress: Progress | None
    ) -> tuple[Message, str | None]:
        """A whole answer, and the request's id; streamed, for others may not be long."""
        async with AsyncExitStack() as stack:
            with translated(self.model):
                client = await self._clients.here(self._make)
                asked = {"model": self.model, "max_tokens": max_tokens, **body, **self._sampling(client)}
                stream = await stack.enter_async_context(client.messages.stream(**asked))
            request_id = stream.request_id
            characters, whole = 0, False
            writing = Writing(progress, max_tokens)
            while True:
                with translated(self.model, request_id=request_id):
                    event = await anext(stream, None)
                    if event is None:
                        break
                    whole = event.type == "message_stop"
                    if isinstance(event, RawContentBlockDeltaEvent):
                        characters += _characters(event.delta)
                await writing.so_far(characters // CHARACTERS_PER_TOKEN)
            with translated(self.model, request_id=request_id):
                if not whole:
                    raise UnavailableError(
                        "Claude's API ended the connection before the answer", request_id=request_id
                    )
                return stream.current_message_snapshot, request_id

    def _sampling(self, client: Client) -> dict[str, Any]:
        """The temperature: the SDK has no parameter for it, and its version of the API refuses it."""
        if self._temperature is None:
            return {}
        if isinstance(client, AsyncAnthropicVertex):
            return {"extra_body": {"temperature": self._temperature, "anthropic_version": OLDER_ON_VERTEX}}
        return {
            "extra_body": {"temperature": self._temperature},
            "extra_headers": {"anthropic-version": OLDER},
        }

    async def _count(self, body: Body) -> int:
        with within(self._timeout_seconds), translated(self.model):
            client = await self._clients.here(self._make)
            return (await client.messages.count_tokens(model=self.model, **body)).input_tokens

    async def _require_room(self, body: Body, refused: ProviderError) -> None:
        """Raise ContextLengthError with the numbers that a refusal did not give, where they can be had."""
        limit_tokens = None if self._known is None else self._known.context_tokens
        if limit_tokens is None:
            return
        tokens = 0
        with suppress(ProviderError):  # too large to be counted, too: then the refusal stands
            tokens = await self._count(body)
        if tokens > limit_tokens:
            raise ContextLengthError(
                tokens=tokens, limit_tokens=limit_tokens, request_id=refused.request_id
            ) from refused.__cause__


def _characters(delta: RawContentBlockDelta) -> int:
    """How much was written, also of what is only thought."""
    if isinstance(delta, TextDelta):
        return len(delta.text)
    return len(delta.thinking) if isinstance(delta, ThinkingDelta) else 0
