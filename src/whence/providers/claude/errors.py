"""What Anthropic's SDK raises, and what it lets through, as the errors of Whence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import inf

import anyio
import httpx2
from anthropic import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    CredentialsError,
    WorkloadIdentityError,
)

from whence.providers.claude.clients import GIVE_KEY
from whence.providers.errors import (
    AuthenticationError,
    ContextLengthError,
    InputError,
    ProviderError,
    QuotaError,
    RateLimitError,
    UnavailableError,
    UnknownModelError,
    WhenceError,
)

STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""Of an error inside a stream, whose own status is 200."""
SPENT = re.compile("credit balance|usage limit|spend_limit_reached|billing_unavailable", re.IGNORECASE)
TOO_LONG = re.compile("prompt is too long|exceeds? (the )?context limit", re.IGNORECASE)
LENGTHS = re.compile(r"(?P<tokens>\d+)(?: tokens)?(?: \+ (?P<reserved>\d+))? > (?P<limit>\d+)")
"""As in `213 tokens > 200 maximum`, and with the tokens kept for an answer `188 + 20 > 200`."""
MALFORMED = (ValueError, TypeError, LookupError, AttributeError)
"""What the SDK, which does not validate, raises at an answer of another shape."""
LONGEST_MESSAGE = 300
"""Characters of what the API says that an error repeats."""


@contextmanager
def translated(model: str, *, request_id: str | None = None) -> Iterator[None]:
    """Raise the errors of Whence in place of those of the SDK. `request_id`: of a stream that is read."""
    try:
        yield
    except WhenceError:
        raise
    except Exception as error:
        ours = _translation(error, model, request_id)
        if isinstance(error, MALFORMED) and not _is_of_google(error):
            raise ours from None  # its words may be those of the answer
        raise ours from error


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """One attempt. Raises UnavailableError where it takes longer."""
    scope = anyio.CancelScope()
    try:
        with anyio.fail_after(seconds) as scope:
            yield
    except TimeoutError as error:
        if not scope.cancelled_caught:
            raise
        raise UnavailableError(
            f"Claude gave no whole answer within {seconds:g} s; for longer answers raise timeout_seconds"
        ) from error


def is_too_long(error: BaseException | None) -> bool:
    """Whether the API refused a request for its size."""
    return isinstance(error, APIStatusError) and (
        error.status_code == 413 or TOO_LONG.search(_message(error)) is not None
    )


def _translation(error: Exception, model: str, request_id: str | None) -> WhenceError:
    if isinstance(error, APIStatusError):
        return _of_status(error, model)
    if isinstance(error, APITimeoutError | httpx2.TimeoutException):
        return UnavailableError("Claude's API gave no answer in time", request_id=request_id)
    if isinstance(error, APIConnectionError | httpx2.HTTPError | httpx2.StreamError):
        return UnavailableError("the connection to Claude's API failed", request_id=request_id)
    if isinstance(error, CredentialsError | WorkloadIdentityError):
        return AuthenticationError(f"no credentials for Claude: {error}. A key is given by {GIVE_KEY}")
    if _is_of_google(error):
        return _of_google(error)
    if isinstance(error, MALFORMED):
        return UnavailableError(
            f"the answer of Claude's API cannot be read ({type(error).__name__})", request_id=request_id
        )
    return ProviderError(f"the client of Claude's API failed ({type(error).__name__})", request_id=request_id)


def _is_of_google(error: Exception) -> bool:
    return type(error).__module__ == "google.auth.exceptions"


def _of_google(error: Exception) -> WhenceError:
    """Of the library that Vertex AI alone needs; whose error it is, is installed."""
    from google.auth.exceptions import GoogleAuthError, TransportError

    if isinstance(error, TransportError) or (isinstance(error, GoogleAuthError) and error.retryable):
        return UnavailableError(f"Google's authentication is out of reach ({type(error).__name__})")
    return AuthenticationError(
        f"Google gave no access to Vertex AI ({type(error).__name__}): pass credentials=, or set up "
        "application default credentials, such as by GOOGLE_APPLICATION_CREDENTIALS"
    )


def _of_status(error: APIStatusError, model: str) -> WhenceError:
    request_id = error.request_id
    status = error.status_code if error.status_code >= 400 else STATUSES.get(str(error.type), 500)
    said = _without_key(error, _message(error))[:LONGEST_MESSAGE] or f"status {status}"
    error.args = (said,)  # it is shown in tracebacks, as the cause
    retry_after_seconds = _retry_after_seconds(error.response.headers)
    lengths = LENGTHS.search(said) if is_too_long(error) else None
    if lengths is not None:
        return ContextLengthError(
            tokens=int(lengths["tokens"]),
            limit_tokens=int(lengths["limit"]),
            reserved_tokens=int(lengths["reserved"] or 0),
            request_id=request_id,
        )
    if status == 402 or SPENT.search(f"{error.error_code} {said}"):
        return QuotaError(f"credit or quota for Claude is used up: {said}", request_id=request_id)
    if status in (401, 403):
        return AuthenticationError(
            f"Claude's API refused access: {said}. Check the key or credentials, and what they may use",
            request_id=request_id,
        )
    if status == 404 and _message(error):  # without it, no such path: another server
        known = "those that the API lists, and on Vertex AI those offered to this project and location"
        return UnknownModelError("model", model, [known], f"Claude's API says: {said}")
    if status == 429:
        return RateLimitError(
            f"Claude's API was asked too often: {said}",
            retry_after_seconds=retry_after_seconds,
            request_id=request_id,
        )
    if status in (408, 409) or status >= 500:
        return UnavailableError(
            f"Claude's API could not answer: {said}",
            retry_after_seconds=retry_after_seconds,
            request_id=request_id,
        )
    if status == 400 and "temperature" in said:
        return InputError(f"{model} takes no temperature; leave it away. Claude's API says: {said}")
    return ProviderError(f"Claude's API refused the request: {said}", request_id=request_id)


def _message(error: APIStatusError) -> str:
    """What the API says; empty where it is another server's answer, which may have any shape."""
    return error.api_message if isinstance(error.api_message, str) else ""


def _without_key(error: APIStatusError, text: str) -> str:
    """A message as it can be shown: some servers say which key they did not take."""
    for header in ("authorization", "x-api-key"):
        key = error.request.headers.get(header, "").removeprefix("Bearer ")
        text = text.replace(key, "[key]") if key else text
    return text


def _retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    for name, unit_seconds in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit_seconds
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < inf:
            return seconds
    try:
        until = parsedate_to_datetime(headers.get("retry-after", ""))
        return max(0.0, (until - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
