"""What Vertex AI says went wrong, by either transport, as the errors of whence."""

from __future__ import annotations

import math
import re
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from json import JSONDecodeError

from whence.providers.errors import (
    AuthenticationError,
    ContextLengthError,
    ProviderError,
    QuotaError,
    RateLimitError,
    UnavailableError,
    UnknownModelError,
    WhenceError,
)
from whence.providers.vertex.place import Model

LONGEST_MESSAGE = 400
REQUEST_IDS = ("x-request-id", "x-goog-request-id")
TEMPORARY = ("UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED", "UNKNOWN", "DATA_LOSS")
NO_CREDIT = ("BILLING_DISABLED", "BILLING_STATE_INVALID")
TOO_LONG = re.compile(r"input token count\D*(\d+)\D+(\d+)", re.IGNORECASE)
NO_LOGPROBS = re.compile(
    r"""
    log(prob|[ -]?probabilitie)s?[`'"]?(\s(parameter|option|feature)s?)?
    (\s(is|are|has\sbeen|have\sbeen))?(\scurrently)?
    ((\snot|n't)(\syet|\scurrently)?\s(supported|enabled|available)|\s(un(supported|available)|disabled))
    | (\snot|n't)\ssupport\s[`'"]?(response_?)?log(prob|[ -]?probabilitie)s?\b(?!=|\s(values?|of|above|over))
    """,
    re.IGNORECASE | re.VERBOSE,
)
SPENT = re.compile(r"per ?day|plan and billing", re.IGNORECASE)
BEARER = re.compile(r"(Bearer\s+|ya29\.)[^\s'\",;]+")


class LogprobsRefusedError(Exception):
    """The model does not tell log-probabilities; never seen outside this adapter."""

    def __init__(self, message: str, *, request_id: str | None = None) -> None:
        super().__init__(message)
        self.request_id = request_id


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An error of the API. `status`: the name of Google's canonical code. `reason`: of its ErrorInfo.

    `quotas`: the names of those that are used up.
    """

    status: str
    message: str
    reason: str = ""
    quotas: tuple[str, ...] = ()
    retry_after_seconds: float | None = None
    request_id: str | None = None


def clean(message: str, secrets: Iterable[str] = (), *, most: int = LONGEST_MESSAGE) -> str:
    """A message of somebody else's: on one line, not too long, and without what is secret."""
    for secret in secrets:
        message = message.replace(secret, "***")
    line = " ".join(BEARER.sub("***", message).split())
    return line if len(line) <= most else line[:most] + " ..."


def as_cause(error: Exception, secrets: Sequence[str]) -> Exception | None:
    """The error as it can be shown under ours: some servers say which token they did not take.

    What it came from goes where that shows a secret, and the error itself where it cannot be told otherwise.
    """
    if not _shows(error, secrets):
        return error
    error.__cause__ = error.__context__ = None
    error.args = tuple(clean(str(part), secrets) for part in error.args)
    if hasattr(error, "message"):
        error.message = clean(str(error.message), secrets)
    return None if _shows(error, secrets) else error


def _shows(error: Exception, secrets: Sequence[str]) -> bool:
    shown = "".join(traceback.format_exception(error))
    return any(secret in shown for secret in secrets)


def error_of(failure: Failure, model: Model, secrets: Iterable[str]) -> WhenceError | LogprobsRefusedError:
    """Ours for a failure."""
    status, request_id = failure.status, failure.request_id
    said = clean(failure.message, secrets) or "no message"
    told = f"Vertex AI answered {status}: {said.rstrip('.')}"
    if failure.reason in NO_CREDIT:
        return QuotaError(f"{told}. Enable billing for the project", request_id=request_id)
    if status == "UNAUTHENTICATED":
        return AuthenticationError(
            f"{told}. Renew the credentials: 'gcloud auth application-default login', "
            "GOOGLE_APPLICATION_CREDENTIALS, or credentials=",
            request_id=request_id,
        )
    if status == "PERMISSION_DENIED":
        return AuthenticationError(
            f"{told}. The credentials need the role Vertex AI User (roles/aiplatform.user) in the project, "
            "whose Vertex AI API must be enabled",
            request_id=request_id,
        )
    if status == "NOT_FOUND":
        return UnknownModelError(
            "model",
            model.name,
            ["those that Vertex AI serves to this project and location"],
            f"Asked for: {model.resource}",
        )
    if status == "RESOURCE_EXHAUSTED":
        wait = failure.retry_after_seconds
        if any(SPENT.search(quota) for quota in failure.quotas) or (wait is None and SPENT.search(said)):
            return QuotaError(f"{told}. Ask for more quota, or wait until it renews", request_id=request_id)
        return RateLimitError(told, retry_after_seconds=wait, request_id=request_id)
    if status in TEMPORARY:
        return UnavailableError(told, retry_after_seconds=failure.retry_after_seconds, request_id=request_id)
    if status == "INVALID_ARGUMENT":
        if found := TOO_LONG.search(said):
            tokens, limit = map(int, found.groups())
            return ContextLengthError(tokens=tokens, limit_tokens=limit, request_id=request_id)
        if NO_LOGPROBS.search(said):
            return LogprobsRefusedError(told, request_id=request_id)
    return ProviderError(told, request_id=request_id)


def out_of_reach(error: Exception, secrets: Iterable[str]) -> UnavailableError:
    """Ours for a connection that failed or was cut, and for a body that is none."""
    said = clean(str(error), secrets)
    return UnavailableError(
        f"Vertex AI gave no whole answer ({type(error).__name__}{': ' if said else ''}{said})"
    )


def malformed() -> UnavailableError:
    """Ours for a body that is no answer; what it holds may be the record, so it is not shown."""
    return UnavailableError("Vertex AI gave an answer that cannot be read")


def without_content(error: Exception) -> ValueError:
    """What an SDK stumbled over, to be shown as a cause: its own words quote the answer."""
    inner = error if isinstance(error, JSONDecodeError) else error.__cause__
    place = f" at character {inner.pos}" if isinstance(inner, JSONDecodeError) else ""
    return ValueError(f"{type(error).__name__}{place}")


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The id by which the provider knows a request."""
    return next((headers[name] for name in REQUEST_IDS if name in headers), None)


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Seconds until the provider wants to be asked again, told as such or as a date; nonsense is ignored."""
    told = headers.get("retry-after", "")
    seconds = seconds_of(told)
    if seconds is not None:
        return seconds
    try:
        return max(0.0, (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def seconds_of(told: str) -> float | None:
    """A wait as it is told; None for what cannot be waited."""
    try:
        seconds = float(told)
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None
