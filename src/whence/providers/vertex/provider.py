"""Gemini on Vertex AI, asked over REST or gRPC."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Literal, TypeVar, cast, get_args

import anyio
import anyio.to_thread

from whence.providers.base import Capabilities, Prices, Progress, Writing
from whence.providers.clients import ClientOfLoop
from whence.providers.errors import InputError, MissingExtraError, UnavailableError
from whence.providers.observations import Generation
from whence.providers.options import require_limits, require_temperature, require_texts
from whence.providers.prompt import Message, Prompt
from whence.providers.turns import Turns
from whence.providers.vertex.access import Access
from whence.providers.vertex.failures import LogprobsRefusedError
from whence.providers.vertex.place import Model, place_of, require_names, resource_of
from whence.providers.vertex.reading import generation_of
from whence.providers.vertex.wire import Question, Reply, Transport

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

Wire = Literal["rest", "grpc"]
Answer = TypeVar("Answer")
Make = Callable[[Model, Access], Transport]
CLASSES = {
    "rest": ("whence.providers.vertex.rest", "RestTransport"),
    "grpc": ("whence.providers.vertex.gapic", "GrpcTransport"),
}
ROLES = {"user": "user", "assistant": "model"}
PROBE = Prompt(messages=(Message(role="user", content="Hello"),))
CHARACTERS_PER_TOKEN = 4
ENDPOINT = "GOOGLE_VERTEX_BASE_URL"
"""As Google's own SDK calls it."""
MOST_TEMPERATURE = 2
SEEDS = 2**31  # Vertex AI takes 32 bits, with a sign


class Vertex:
    """A model of Vertex AI, by its name; each call is one request, which is never repeated here.

    `project`, `location`: where None, GOOGLE_CLOUD_PROJECT (else the credentials' own project), and
    GOOGLE_CLOUD_LOCATION (else `global`). `credentials`: of google-auth; where None, the application-default
    ones of this machine. `transport`: `rest` or `grpc`. `endpoint`: where to ask instead of Google's own,
    https://HOST or HOST:PORT, and http:// for this machine alone; where None, GOOGLE_VERTEX_BASE_URL.
    `logprobs`: ask for the log-probabilities of each answer, until the model refuses them. `temperature`, in
    [0, 2]: newer models may ignore it. `prices`: what tokens cost. `timeout_seconds`: of one attempt;
    `max_in_flight`, `deadline_seconds`: as in `Capabilities`.

    Raises InputError, MissingExtraError.
    """

    name = "vertex"

    def __init__(
        self,
        model: str,
        *,
        project: str | None = None,
        location: str | None = None,
        credentials: Credentials | None = None,
        transport: Wire = "rest",
        endpoint: str | None = None,
        logprobs: bool = True,
        temperature: float = 0.0,
        prices: Prices | None = None,
        max_in_flight: int = 4,
        timeout_seconds: float = 120.0,
        deadline_seconds: float = 600.0,
    ) -> None:
        if transport not in get_args(Wire):
            raise InputError(f"transport {transport!r}: it is one of {', '.join(get_args(Wire))}")
        require_texts(model=model, project=project, location=location, endpoint=endpoint)
        require_limits(
            max_in_flight=max_in_flight, timeout_seconds=timeout_seconds, deadline_seconds=deadline_seconds
        )
        require_temperature(temperature, most=MOST_TEMPERATURE)
        if credentials is not None and not hasattr(credentials, "refresh"):
            raise InputError(
                f"credentials is {type(credentials).__name__}; pass an object of google-auth, or leave it "
                "out and set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account"
            )
        project = project or os.environ.get("GOOGLE_CLOUD_PROJECT") or None
        require_names(model, project)
        self.model = model
        self._location = location or os.environ.get("GOOGLE_CLOUD_LOCATION") or "global"
        self._place = place_of(endpoint or os.environ.get(ENDPOINT), self._location)
        self._access = Access(credentials, project)
        self._wire = transport
        self._asks_logprobs = logprobs
        self._temperature = temperature
        self._prices = prices
        self._max_in_flight = max_in_flight
        self._timeout_seconds = timeout_seconds
        self._deadline_seconds = deadline_seconds
        self._make: Make | None = None
        self._transports: ClientOfLoop[Transport] = ClientOfLoop(lambda transport: transport.aclose())
        self._known = False
        self._asking = Turns()

    async def capabilities(self) -> Capabilities:
        """What can be seen; the first call counts the tokens of one word, which costs nothing.

        Raises AuthenticationError, UnknownModelError, ProviderError, InputError, MissingExtraError.
        """
        async with self._asking.turn():
            if not self._known:
                await self.count_tokens(PROBE)
                self._known = True
        return Capabilities(
            access="logprobs" if self._asks_logprobs else "text",
            writes_logprobs=self._asks_logprobs,
            counts=True,
            max_in_flight=self._max_in_flight,
            deadline_seconds=self._deadline_seconds,
            metered=True,
            prices=self._prices,
        )

    async def count_tokens(self, prompt: Prompt) -> int:
        """Tokens that the model would read. Raises ProviderError, InputError."""
        question = _question(prompt)

        async def count(transport: Transport) -> int:
            return await transport.count(question)

        return await self._asked(count)

    async def generate(
        self, prompt: Prompt, *, max_tokens: int, seed: int, progress: Progress | None = None
    ) -> Generation:
        """Let the model answer, with the log-probabilities of its tokens where it tells them.

        Raises UnavailableError where the model refuses them, for then it is to be asked again, without;
        ContextLengthError, RefusedError, ProviderError, InputError.
        """
        logprobs = self._asks_logprobs
        question = _question(
            prompt, max_tokens=max_tokens, temperature=self._temperature, seed=seed, logprobs=logprobs
        )
        try:
            reply = await self._asked(partial(_reply, question, progress))
        except LogprobsRefusedError as error:
            self._asks_logprobs = False
            raise UnavailableError(
                f"{self.model} tells no log-probabilities; it is asked without them from now on",
                retry_after_seconds=0.0,
                request_id=error.request_id,
            ) from error.__cause__
        passed_over = bool(reply.text) and not reply.chosen
        written = generation_of(reply, model=self.model, logprobs=logprobs and not passed_over)
        if passed_over:  # by a server that answers all the same; a refusal tells nothing of what it would do
            self._asks_logprobs = False
        await Writing(progress, max_tokens).whole(written.output_tokens or _about(reply))
        return written

    async def _asked(self, ask: Callable[[Transport], Awaitable[Answer]]) -> Answer:
        """What the transport of the running loop answers, in the time for one attempt."""
        make = self._make
        if make is None:  # the SDKs take seconds to import
            make = await anyio.to_thread.run_sync(_imported, self._wire, abandon_on_cancel=True)
            self._make = make
        with anyio.move_on_after(self._timeout_seconds):
            await self._access.ready()
            return await ask(await self._transports.here(lambda: make(self._there(), self._access)))
        raise UnavailableError(f"{self.model} gave no answer within {self._timeout_seconds:g} s")

    def _there(self) -> Model:
        project, location = self._access.project, self._location
        return Model(
            name=self.model,
            resource=resource_of(self.model, project=project, location=location),
            project=project,
            location=location,
            place=self._place,
        )


async def _reply(question: Question, progress: Progress | None, transport: Transport) -> Reply:
    """The whole reply; on its way there, some steps are told."""
    writing = Writing(progress, question.max_tokens)
    reply: Reply | None = None
    async with aclosing(transport.ask(question)) as replies:
        async for reply in replies:
            if not reply.finish:
                await writing.so_far(_about(reply))
    if reply is None:
        raise UnavailableError("Vertex AI gave an empty answer")
    return reply


def _question(
    prompt: Prompt, *, max_tokens: int = 0, temperature: float = 0.0, seed: int = 0, logprobs: bool = False
) -> Question:
    """The prompt as Vertex AI takes it. Raises InputError."""
    turns = [(turn.role, turn.text) for turn in prompt.turns()]
    first = next((place for place, (role, _) in enumerate(turns) if role != "system"), len(turns))
    if any(role == "system" for role, _ in turns[first:]):
        raise InputError(
            "Vertex AI takes system messages before all others only; move them to the start, or make "
            "them user messages"
        )
    said = [(ROLES[role], text) for role, text in turns[first:] if text.strip()]  # it takes no blank text
    if not said:
        raise InputError("no message to Vertex AI has any text but system messages; add a user message")
    if said[-1][0] != "user":
        raise InputError(
            "the last message is the assistant's, and Gemini does not go on with an answer that is begun; "
            "end with a user message"
        )
    return Question(
        system=tuple(text for _, text in turns[:first] if text.strip()),
        turns=tuple(said),
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed % SEEDS,
        logprobs=logprobs,
    )


def _imported(wire: str) -> Make:
    module, name = CLASSES[wire]
    try:
        return cast("Make", getattr(import_module(module), name))
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.startswith("whence"):
            raise
        raise MissingExtraError("vertex", missing) from error


def _about(reply: Reply) -> int:
    """Tokens that were written so far, or about as many."""
    return reply.output_tokens or len(reply.text) // CHARACTERS_PER_TOKEN
