"""Vertex AI over REST, by google-genai."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from json import JSONDecodeError
from typing import Any

import httpx
import pydantic
from google.auth.exceptions import GoogleAuthError
from google.genai import Client, types
from google.genai.errors import APIError, UnknownApiResponseError

from whence.providers.errors import ProviderError
from whence.providers.vertex.access import Access, refused
from whence.providers.vertex.failures import (
    Failure,
    as_cause,
    error_of,
    malformed,
    out_of_reach,
    request_id_of,
    retry_after_of,
    seconds_of,
    without_content,
)
from whence.providers.vertex.place import Model
from whence.providers.vertex.wire import MOST_ALTERNATIVES, Gathered, Question, Reply

TLS = httpx.create_ssl_context()
"""Made with the module, in the thread that imports it: to read the certificates takes a while, each time."""

MALFORMED = (
    UnknownApiResponseError,
    JSONDecodeError,
    pydantic.ValidationError,
    TypeError,
    LookupError,
    AttributeError,
)
"""What the SDK raises at an answer of another shape."""
STATUS_OF_HTTP = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
}


class RestTransport:
    """A client of one event loop. `access` was made ready by whoever asks."""

    def __init__(self, model: Model, access: Access) -> None:
        self._model = model
        self._access = access
        # A client of our own, because the SDK's asks a second time where a connection fails (aiohttp), and
        # is closed in whatever loop runs when it is collected.
        self._http = httpx.AsyncClient(verify=TLS, timeout=None)  # noqa: S113 - the provider limits each attempt
        self._client = Client(
            vertexai=True,
            project=model.project,
            location=model.location,
            credentials=access.credentials,
            http_options=types.HttpOptions(
                base_url=model.place.url,
                api_version="v1",
                httpx_async_client=self._http,
                client_args={"verify": TLS},
                async_client_args={"ssl": TLS},
            ),
        )

    async def ask(self, question: Question) -> AsyncGenerator[Reply]:
        """The reply as it grows: whether a stream tells log-probabilities, nobody has promised."""
        models = self._client.aio.models
        contents, config = _contents(question), _config(question)
        gathered = _Gathered()
        with self._errors():
            if question.logprobs:
                yield gathered.add(
                    await models.generate_content(
                        model=self._model.resource, contents=contents, config=config
                    )
                )
                return
            stream: Any = await models.generate_content_stream(
                model=self._model.resource, contents=contents, config=config
            )
            async with aclosing(stream):
                async for response in stream:
                    yield gathered.add(response)

    async def count(self, question: Question) -> int:
        """Tokens of the system text and the turns."""
        with self._errors():
            counted = await self._client.aio.models.count_tokens(
                model=self._model.resource,
                contents=_contents(question),
                config=types.CountTokensConfig(system_instruction=_system(question)),
            )
        if counted.total_tokens is None:
            raise ProviderError(f"Vertex AI did not tell how many tokens a prompt has for {self._model.name}")
        return counted.total_tokens

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        self._client.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        secrets = self._access.secrets
        try:
            yield
        except APIError as error:
            raise error_of(_failure(error), self._model, secrets) from as_cause(error, secrets)
        except MALFORMED as error:
            raise malformed() from without_content(error)
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise out_of_reach(error, secrets) from as_cause(error, secrets)
        except GoogleAuthError as error:
            raise refused(error) from error


class _Gathered(Gathered):
    """What was not sent is None."""

    def has(self, message: Any, name: str) -> bool:
        return getattr(message, name) is not None

    def enum(self, message: Any, name: str) -> str:
        value = getattr(message, name)
        return "" if value is None or value.name.endswith("_UNSPECIFIED") else str(value.name)


def _contents(question: Question) -> list[types.Content]:
    return [types.Content(role=role, parts=[types.Part(text=text)]) for role, text in question.turns]


def _system(question: Question) -> types.Content | None:
    if not question.system:
        return None
    return types.Content(role="user", parts=[types.Part(text=text) for text in question.system])


def _config(question: Question) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(
        system_instruction=_system(question),
        max_output_tokens=question.max_tokens,
        temperature=question.temperature,
        seed=question.seed,
        response_logprobs=True if question.logprobs else None,
        logprobs=MOST_ALTERNATIVES if question.logprobs else None,
        # One question is one request, which is counted and limited as such.
        automatic_continuation=False,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )


def _failure(error: APIError) -> Failure:
    """The body of an error, as far as it has one: what stands between may answer with a page."""
    body = error.details if isinstance(error.details, Mapping) else {}
    told = body.get("error", body)
    told = told if isinstance(told, Mapping) else {}
    entries = told.get("details")
    details = [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []
    kinds = {str(entry.get("@type", "")).rpartition(".")[2]: entry for entry in details}
    headers: Mapping[str, str] = getattr(error.response, "headers", None) or {}
    violations = kinds.get("QuotaFailure", {}).get("violations")
    wait = _seconds(kinds.get("RetryInfo", {}).get("retryDelay"))
    return Failure(
        status=_status(error),
        message=str(error.message or ""),
        reason=str(kinds.get("ErrorInfo", {}).get("reason", "")),
        quotas=tuple(str(violation) for violation in violations) if isinstance(violations, list) else (),
        retry_after_seconds=retry_after_of(headers) if wait is None else wait,
        request_id=request_id_of(headers) or kinds.get("RequestInfo", {}).get("requestId"),
    )


def _status(error: APIError) -> str:
    """Google's name of it; in a page of somebody else's, that of the HTTP status."""
    if isinstance(error.status, str) and error.status.isupper():
        return error.status
    code = error.code if isinstance(error.code, int) else 500
    return STATUS_OF_HTTP.get(code, "UNAVAILABLE" if code >= 500 else f"HTTP {code}")


def _seconds(duration: object) -> float | None:
    """Of a Duration in JSON, such as 1.5s."""
    return seconds_of(duration.removesuffix("s")) if isinstance(duration, str) else None
