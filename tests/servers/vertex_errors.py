"""The errors of Vertex AI, as Google's APIs tell them."""

from __future__ import annotations

from google.protobuf.message import Message  # type: ignore[import-untyped]
from google.rpc import code_pb2 as code  # type: ignore[import-untyped]
from google.rpc.error_details_pb2 import ErrorInfo, QuotaFailure, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from tests.servers.faults import Fault, Kind
from tests.servers.google_credentials import ACCESS_TOKEN

LOGPROBS_REFUSED = "Logprobs is not supported for the current model."
ERRORS: dict[Kind, tuple[code.Code, str]] = {
    "rate_limit": (code.RESOURCE_EXHAUSTED, "Resource exhausted. Please try again later."),
    "server_error": (code.INTERNAL, "Internal error encountered."),
    "overloaded": (code.UNAVAILABLE, "The model is overloaded. Please try again later."),
    "wrong_key": (
        code.UNAUTHENTICATED,
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or "
        "other valid authentication credential.",
    ),
    "forbidden": (code.PERMISSION_DENIED, "Permission 'aiplatform.endpoints.predict' denied."),
    "quota": (code.PERMISSION_DENIED, "This API method requires billing to be enabled."),
    "spend_limit": (
        code.RESOURCE_EXHAUSTED,
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "logprobs_refused": (code.INVALID_ARGUMENT, LOGPROBS_REFUSED),
}
DETAILS: dict[Kind, tuple[Message, ...]] = {
    "quota": (ErrorInfo(reason="BILLING_DISABLED", domain="googleapis.com"),),
    "spend_limit": (
        QuotaFailure(violations=[QuotaFailure.Violation(subject="GenerateRequestsPerDayPerProjectPerModel")]),
    ),
}


class StatusError(Exception):
    """An error as Google's APIs tell it. `retry_after_seconds`: what it asks the caller to wait."""

    def __init__(
        self, of: code.Code, message: str, *details: Message, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = of
        self.details = details
        self.retry_after_seconds = retry_after_seconds

    def status(self, *, with_retry: bool) -> Status:
        """As a message, with a `RetryInfo` where that is wanted and known."""
        details = list(self.details)
        if with_retry and self.retry_after_seconds is not None:
            retry = RetryInfo()
            retry.retry_delay.FromNanoseconds(round(self.retry_after_seconds * 1e9))
            details.append(retry)
        status = Status(code=self.code, message=str(self))
        for detail in details:
            status.details.add().Pack(detail)
        return status


def error_of(fault: Fault, credential: str) -> StatusError | None:
    """The error that a fault stands for; None where the model answers. `credential`: what the caller sent."""
    if fault.kind == "echo_key":
        return StatusError(code.INVALID_ARGUMENT, f"The request of {credential} cannot be served.")
    if fault.kind == "low_credit":
        raise ValueError("Vertex AI bills afterwards: credit does not run low; see 'quota', 'spend_limit'")
    if fault.kind not in ERRORS:
        return None
    of, message = ERRORS[fault.kind]
    return StatusError(
        of, message, *DETAILS.get(fault.kind, ()), retry_after_seconds=fault.retry_after_seconds
    )


def require_token(authorization: str | None) -> None:
    """Raise StatusError where a caller does not come with the token."""
    if authorization != f"Bearer {ACCESS_TOKEN}":
        raise StatusError(*ERRORS["wrong_key"])
