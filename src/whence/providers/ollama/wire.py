"""What is asked of an Ollama over HTTP, and what it answers: one request each, never repeated here.

Answers are read as the types of Ollama's own client where it has them. It asks for nothing itself: it has no
field for truncate, shift, log-probabilities as bytes and _debug_render_only, it reads without a limit, and
its errors quote whatever came. See Ollama's api/types.go.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import anyio
import httpx
import ollama
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from whence.providers.clients import ClientOfLoop
from whence.providers.errors import InputError, ProviderError, UnavailableError, UnknownModelError
from whence.providers.ollama.failures import clean, error_of
from whence.providers.ollama.place import Place

KEY = "OLLAMA_API_KEY"
Messages = tuple[tuple[str, str], ...]
"""Each a role and a text."""
BYTES_PER_TOKEN = 3
LARGEST_ANSWER_BYTES = 64 << 20
"""Far more than log-probabilities of a whole context take; beyond that, whatever answers does not end."""
CONNECT_SECONDS = 10.0
CONFORMS = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class TopToken(BaseModel):
    """A token, its text as UTF-8, and its log-probability in nats."""

    model_config = CONFORMS
    token: str
    logprob: float


class Message(BaseModel):
    """What was written, and what was thought before."""

    model_config = CONFORMS
    content: str = ""
    thinking: str | None = None


class Rendering(BaseModel):
    """The prompt that the model would be given."""

    model_config = CONFORMS
    rendered_template: str


class Reply(BaseModel):
    """One answer, or one line of a stream."""

    model_config = CONFORMS
    message: Message = Message()
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = Field(default=None, ge=0)
    eval_count: int | None = Field(default=None, ge=0)
    logprobs: tuple[TopToken, ...] | None = None
    rendering: Rendering | None = Field(default=None, alias="_debug_info")
    error: str | None = None


class Version(BaseModel):
    """Of the server."""

    model_config = CONFORMS
    version: str


class Shown(ollama.ShowResponse):
    """What is known of a model; `remote_host`: where it really runs."""

    remote_host: str | None = None


Parsed = TypeVar("Parsed", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class Held:
    """A model that an Ollama holds. `digest`: SHA-256 of its manifest, in hexadecimal."""

    name: str
    digest: str


class Wire:
    """An Ollama, asked from whatever event loop is running. Raises AuthenticationError, ProviderError.

    `api_key`: where None, OLLAMA_API_KEY. Raises InputError for one that is none.
    """

    def __init__(self, place: Place, *, api_key: str | None, timeout_seconds: float) -> None:
        key = api_key or os.environ.get(KEY) or None
        if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
            raise InputError(f"api_key ({KEY}) has blanks or other characters that no key has; copy it again")
        self.place = place
        self._key = key
        self._timeout_seconds = timeout_seconds
        self._clients: ClientOfLoop[httpx.AsyncClient] = ClientOfLoop(lambda client: client.aclose())

    async def version(self) -> str:
        """Of the server. Raises ProviderError where there is none, or it is no Ollama."""
        try:
            return (await self._read(Version, "GET", "/api/version")).version
        except (UnknownModelError, _NotConformingError) as error:
            raise self._no_ollama() from error
        except UnavailableError as error:
            if isinstance(error.__cause__, httpx.ConnectError):
                raise ProviderError(
                    f"no Ollama answers at {self.place.url}; start it ('ollama serve'), or say where it is "
                    "(host=, OLLAMA_HOST)"
                ) from error.__cause__
            raise

    async def held(self) -> list[Held]:
        """The models, as `ollama list` shows them."""
        try:
            listed = await self._asked(ollama.ListResponse, "GET", "/api/tags")
        except UnknownModelError as error:  # of a server that has no such path
            raise self._no_ollama() from error
        return [Held(name=model.model or "", digest=model.digest or "") for model in listed.models]

    def _no_ollama(self) -> ProviderError:
        return ProviderError(
            f"what answers at {self.place.url} is no Ollama; say where it is (host=, OLLAMA_HOST)"
        )

    async def show(self, model: str) -> Shown:
        """What is known of a model. Raises UnknownModelError."""
        return await self._asked(Shown, "POST", "/api/show", {"model": model})

    async def chat(self, model: str, messages: Messages, **fields: Any) -> Reply:
        """One answer. Raises UnknownModelError, ContextLengthError."""
        body = _body(model, messages, stream=False, **fields)
        reply = await self._asked(Reply, "POST", "/api/chat", body)
        if reply.error is not None:
            raise self._error(HTTPStatus.INTERNAL_SERVER_ERROR, reply.error, body)
        return reply

    async def stream(self, model: str, messages: Messages, **fields: Any) -> AsyncGenerator[Reply]:
        """The same line by line, to be read `in_time`. Raises as `chat`."""
        body = _body(model, messages, stream=True, **fields)
        try:
            async with self._answer("POST", "/api/chat", body) as answer:
                async for line in _lines(answer):
                    reply = _parsed(Reply, line)
                    if reply.error is not None:
                        raise self._error(HTTPStatus.INTERNAL_SERVER_ERROR, reply.error, body)
                    yield reply
        except _NotConformingError as error:
            raise UnavailableError(str(error)) from None

    @contextmanager
    def in_time(self) -> Iterator[None]:
        """Raise UnavailableError where what is done inside takes longer than one attempt may."""
        with anyio.move_on_after(self._timeout_seconds) as scope:
            yield
        if scope.cancelled_caught:
            raise UnavailableError(f"{self.place.url} gave no answer within {self._timeout_seconds:g} s")

    async def _asked(
        self, kind: type[Parsed], method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Parsed:
        """A whole answer."""
        try:
            return await self._read(kind, method, path, body)
        except _NotConformingError as error:
            raise UnavailableError(str(error)) from None

    async def _read(
        self, kind: type[Parsed], method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Parsed:
        with self.in_time():
            async with self._answer(method, path, body) as answer:
                return _parsed(kind, await _whole(answer))
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> AsyncIterator[httpx.Response]:
        client = await self._here()
        try:
            async with client.stream(method, path, json=body) as answer:
                try:
                    answer.raise_for_status()
                except httpx.HTTPStatusError as error:
                    message = _message(await _whole(answer))
                    raise self._error(answer.status_code, message, body) from error
                yield answer
        except httpx.TimeoutException as error:
            raise UnavailableError(
                f"{self.place.url} gave no answer within {self._timeout_seconds:g} s"
            ) from error
        except httpx.HTTPError as error:
            # What is no HTTP may be anything, the key too.
            cause = None if self._key is not None and self._key in str(error) else error
            told = clean(str(error) or type(error).__name__, self._key)
            raise UnavailableError(f"{self.place.url} could not be asked: {told}") from cause

    async def _here(self) -> httpx.AsyncClient:
        return await self._clients.here(self._made)

    def _made(self) -> httpx.AsyncClient:
        """It follows to no other address, and asks by no proxy where it asks this machine."""
        return httpx.AsyncClient(
            base_url=self.place.url,
            follow_redirects=False,
            trust_env=not self.place.here,
            timeout=httpx.Timeout(self._timeout_seconds, connect=CONNECT_SECONDS),
            headers={"authorization": f"Bearer {self._key}"} if self._key else {},
        )

    def _error(self, status: int, message: str, body: Mapping[str, Any] | None = None) -> Exception:
        asked = body or {}
        said = "".join(message["content"] for message in asked.get("messages", ()))
        return error_of(
            status,
            message,
            model=str(asked.get("model", "")),
            asked_tokens=len(said.encode()) // BYTES_PER_TOKEN,
            num_ctx=asked.get("options", {}).get("num_ctx", 0),
            secret=self._key,
        )


class _NotConformingError(Exception):
    """An answer that is not of Ollama's format: cut on its way, perhaps."""


def _parsed(kind: type[Parsed], text: str | bytes) -> Parsed:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        faults = ", ".join(str(fault["msg"]) for fault in error.errors(include_input=False)[:1])
        raise _NotConformingError(f"an answer that Ollama would not give: {faults}") from None


def _body(model: str, messages: Messages, **fields: Any) -> dict[str, Any]:
    said = [{"role": role, "content": text} for role, text in messages]
    return {"model": model, "messages": said, "truncate": False, "shift": False, "think": False, **fields}


async def _whole(answer: httpx.Response) -> bytes:
    read = bytearray()
    async for part in answer.aiter_bytes():
        read += part
        _require_an_end(len(read))
    return bytes(read)


def _require_an_end(size_bytes: int) -> None:
    if size_bytes > LARGEST_ANSWER_BYTES:
        raise _NotConformingError(
            f"an answer that Ollama would not give: more than {LARGEST_ANSWER_BYTES} bytes"
        )


async def _lines(answer: httpx.Response) -> AsyncIterator[bytes]:
    """The lines of NDJSON; httpx would also end one at U+0085, which may stand inside a text."""
    rest = b""
    async for part in answer.aiter_bytes():
        *whole, rest = (rest + part).split(b"\n")
        _require_an_end(len(rest))
        for line in whole:
            if line.strip():
                yield line
    if rest.strip():
        yield rest


def _message(body: bytes) -> str:
    """The error that a body names. Anything else may be a page that quotes what was asked."""
    try:
        return _parsed(Reply, body).error or ""
    except _NotConformingError:
        return ""
