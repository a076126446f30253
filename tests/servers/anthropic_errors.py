"""The errors of the Anthropic API, and those of Google's front before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.servers.faults import Fault

GOOGLE_STATUS = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
}
"""What Google itself refuses, before Claude is asked."""


DAMAGING = ("cut_connection", "malformed_json", "slow_body")
SPOILING = (*DAMAGING, "refusal", "no_text", "max_tokens", "thinking_only")


class ApiError(Exception):
    """`kind`: the error's type. `code`: the stable name of its cause, where it has one."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.code = status, kind, message, code
        self.headers = dict(headers or {})

    def body(self, request_id: str) -> dict[str, Any]:
        """As Anthropic tells it."""
        details = {"details": {"error_code": self.code}} if self.code else {}
        return {
            "type": "error",
            "error": {"type": self.kind, "message": self.message, **details},
            "request_id": request_id,
        }

    def google_body(self) -> dict[str, Any]:
        """As Google tells it; KeyError where it is Anthropic who would."""
        status = GOOGLE_STATUS[self.status]
        return {"error": {"code": self.status, "message": self.message, "status": status}}


def invalid(message: str) -> ApiError:
    """400 invalid_request_error."""
    return ApiError(400, "invalid_request_error", message)


def error_of(fault: Fault, *, key: str, max_input_tokens: int) -> ApiError | None:
    """The error with which a call is answered; None for a fault that spoils the answer instead.

    Raises ValueError for a fault of other APIs.
    """
    wait = fault.retry_after_seconds
    headers = {} if wait is None else {"retry-after": f"{wait:g}"}
    errors = {
        "rate_limit": ApiError(
            429,
            "rate_limit_error",
            "This request would exceed your organization's rate limit of 50 requests per minute.",
            headers=headers,
        ),
        "spend_limit": ApiError(
            429,
            "rate_limit_error",
            "You have reached your specified API usage limits.",
            code="enforced_spend_limit_reached",
        ),
        "server_error": ApiError(500, "api_error", "Internal server error", headers=headers),
        "overloaded": ApiError(529, "overloaded_error", "Overloaded", headers=headers),
        "wrong_key": ApiError(401, "authentication_error", "invalid API key"),
        "echo_key": ApiError(401, "authentication_error", f"invalid API key: {key}"),
        "forbidden": ApiError(
            403, "permission_error", "Your API key does not have permission to use the specified resource."
        ),
        "quota": ApiError(402, "billing_error", "There is an issue with your billing."),
        "low_credit": invalid(
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to "
            "upgrade or purchase credits."
        ),
        "context_length": too_long(4 * max_input_tokens, max_input_tokens),
    }
    if fault.kind not in errors and fault.kind not in SPOILING:
        raise ValueError(f"Claude has no fault {fault.kind!r}")
    return errors.get(fault.kind)


def too_long(tokens: int, max_input_tokens: int) -> ApiError:
    """A prompt that the model cannot read."""
    return invalid(f"prompt is too long: {tokens} tokens > {max_input_tokens} maximum")
