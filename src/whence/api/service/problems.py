"""Every error as an RFC 9457 problem: a stable type, a status, and a sentence.

Fields that are not valid are never repeated. An error of whence may name the parameter, method or layer
that was sent, and one of a model (RenderError, RefusedError) may quote a library or an API: to the client
that asked, and not to the log. What concerns the server's account at an API is not told to clients.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from whence.providers import errors

MEDIA_TYPE = "application/problem+json"
STATUSES: Mapping[type[BaseException], int] = {
    errors.WhenceError: 500,
    errors.InputError: 422,
    errors.NameUnknownError: 422,
    errors.UnsupportedError: 422,
    errors.MissingExtraError: 501,
    errors.ProviderError: 502,
    errors.QuotaError: 503,
    errors.RefusedError: 422,
    errors.CutError: 422,
    errors.ContextLengthError: 422,
    errors.TemporaryError: 503,
}
"""The status of an error is that of its nearest ancestor here."""
FIGURES = ("tokens", "limit_tokens", "reserved_tokens", "excess_tokens", "extra", "retry_after_seconds")
"""Attributes of errors that a program may want to read: members of the problem."""


FOR_THE_OPERATOR: Mapping[type[BaseException], str] = {
    errors.AuthenticationError: "The operator must mend it. Asking again does not help until then.",
    errors.QuotaError: "The operator must renew it. Asking again does not help until then.",
}
"""What a client is told of the server's account, in place of the message."""


class ProblemDocument(BaseModel):
    """An error (RFC 9457); some types have members of their own, such as `tokens`, `known` or `errors`."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": True})

    type: str = Field(description="What kind of problem, as `/problems/...`; stable.")
    title: str
    status: int
    detail: str
    instance: str | None = Field(
        default=None, description="This occurrence; the server's log has a line with the same id."
    )


class ProblemError(Exception):
    """An error with its HTTP face. `members` go beside the standard ones."""

    def __init__(
        self,
        status: int,
        kind: str,
        title: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.title = title
        self.detail = detail
        self.headers = headers
        self.members = members

    def document(self, request_id: str | None) -> dict[str, Any]:
        """The problem as JSON; `request_id` says which request it was, if it was one."""
        return {
            "type": f"/problems/{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **({"instance": f"urn:uuid:{request_id}"} if request_id else {}),
            **self.members,
        }

    def response(self, request_id: str) -> JSONResponse:
        """The problem as a response."""
        return JSONResponse(
            self.document(request_id), self.status, headers=self.headers, media_type=MEDIA_TYPE
        )


def from_whence(error: errors.WhenceError) -> ProblemError:
    """Each class of error is a type of problem: ContextLengthError is `/problems/context-length`.

    But a model that its provider does not know was named by the settings, not by the request.
    """
    if isinstance(error, errors.UnknownModelError):
        return cannot_load()
    status = next(STATUSES[ancestor] for ancestor in type(error).__mro__ if ancestor in STATUSES)
    name = type(error).__name__.removesuffix("Error")
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()
    title = (type(error).__doc__ or name).partition("\n")[0]
    figures = {name: getattr(error, name) for name in FIGURES if getattr(error, name, None) is not None}
    headers: dict[str, str] = {}
    if isinstance(error, errors.TemporaryError) and error.retry_after_seconds is not None:
        seconds = max(1, math.ceil(error.retry_after_seconds))
        figures["retry_after_seconds"] = seconds
        headers = {"Retry-After": str(seconds)}
    detail = next((text for own, text in FOR_THE_OPERATOR.items() if isinstance(error, own)), str(error))
    return ProblemError(status, kind, title, detail, headers=headers, **figures)


def cannot_load() -> ProblemError:
    """The settings name a model that cannot be had. Why stays here: it may be a path of ours."""
    return ProblemError(500, "model-load", "The model cannot be loaded.", "The log of the server says why.")


def client_left() -> ProblemError:
    """Nobody reads this one: its status, as nginx has it, stands in the log and in the metrics."""
    return ProblemError(499, "client-left", "The client left.", "Its work was cancelled.")


def shutting_down() -> ProblemError:
    """The server ends, and what it was asked is not done."""
    return ProblemError(
        503,
        "shutting-down",
        "The server is shutting down.",
        "The explanation was not done in time. Ask again.",
    )


def unexpected() -> ProblemError:
    """An error of ours: its message stays here, for it may hold text of a record."""
    return ProblemError(
        500,
        "internal",
        "The server made a mistake.",
        "This is an error of the server. Its log names the place, under the id of this request.",
    )


def from_validation(raised: Sequence[Mapping[str, Any]], fields: frozenset[str]) -> ProblemError:
    """What pydantic found wrong: where, as JSON Pointers, and why.

    Only names of `fields` and numbers stand in the pointers: any other name came with the request.
    """
    if any(error["loc"][0] == "path" for error in raised):
        return not_found()
    found = {}  # the alternatives of a union say the same several times
    for error in raised:
        known = [str(part) for part in error["loc"][1:] if isinstance(part, int) or part in fields]
        if error["type"] == "json_invalid":  # here the number is a position in the text
            known = []
        place = {"pointer": "".join(f"/{part}" for part in known)}
        if error["loc"][0] != "body":
            place = {"parameter": ".".join(known)}
        found[tuple(place.values()), error["msg"]] = place | {"detail": error["msg"]}
    return ProblemError(
        422,
        "invalid-request",
        "The request is not what the API takes.",
        "`errors` says where, and why; /docs says what is taken.",
        errors=list(found.values()),
    )


def not_found() -> ProblemError:
    """No such path."""
    return ProblemError(
        404, "not-found", "There is nothing here.", "No such path; /docs lists those that exist."
    )


def from_http(error: HTTPException) -> ProblemError:
    """Errors of the framework: an unknown path, another method, a body that is no JSON."""
    if error.status_code == HTTPStatus.NOT_FOUND:
        return not_found()
    status = HTTPStatus(error.status_code)
    kind = status.phrase.lower().replace(" ", "-")
    detail = {
        HTTPStatus.METHOD_NOT_ALLOWED: "This path takes other methods: see the Allow header.",
        HTTPStatus.BAD_REQUEST: "The body cannot be read: it is UTF-8 JSON, not too deeply nested.",
    }.get(status, status.description)
    return ProblemError(status, kind, f"{status.phrase}.", detail or status.phrase, headers=error.headers)


def install(app: FastAPI, fields: frozenset[str]) -> None:
    """Let the application answer every error that it knows with a problem. `fields`: of all bodies."""

    async def on_problem(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ProblemError)  # noqa: S101 - registered for it
        return error.response(request.state.id)

    async def on_whence(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, errors.WhenceError)  # noqa: S101
        return from_whence(error).response(request.state.id)

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101
        return from_http(error).response(request.state.id)

    async def on_validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        return from_validation(error.errors(), fields).response(request.state.id)

    app.add_exception_handler(ProblemError, on_problem)
    app.add_exception_handler(errors.WhenceError, on_whence)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_validation)
