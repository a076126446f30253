"""What routes that read a body require of a request."""

from __future__ import annotations

from fastapi import Request

from whence.api.service.problems import ProblemError


def require_json(request: Request) -> None:
    """Raise the 415 problem for a body of another kind."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ProblemError(
            415,
            "unsupported-media-type",
            "The body is not JSON.",
            "Send Content-Type: application/json.",
            headers={"Accept-Post": "application/json"},
        )
