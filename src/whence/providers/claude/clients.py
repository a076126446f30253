"""Clients of Anthropic's SDK, which alone hold the key."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from anthropic import AsyncAnthropic, AsyncAnthropicVertex

from whence.providers.errors import AuthenticationError, InputError, MissingExtraError
from whence.providers.options import split_url

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

Client = AsyncAnthropic | AsyncAnthropicVertex
"""What is asked of both is the same, but for the models, which Vertex AI does not list."""
SDK_LOG = logging.getLogger("anthropic")
if SDK_LOG.level == logging.NOTSET:
    # At DEBUG it writes whole requests, and so the record: nobody who only turns on their own log wants that.
    SDK_LOG.setLevel(logging.INFO)
GIVE_KEY = "api_key=, or the environment variable ANTHROPIC_API_KEY"
REGION = "CLOUD_ML_REGION"


def direct(api_key: str | None, base_url: str | None, timeout_seconds: float) -> Callable[[], Client]:
    """Clients of Anthropic's API; without `api_key`, with what the SDK finds in the environment."""

    def make() -> Client:
        client = AsyncAnthropic(
            api_key=api_key or None, base_url=base_url, timeout=timeout_seconds, max_retries=0
        )
        key = client.api_key or client.auth_token
        if key is None and client.credentials is None:
            raise AuthenticationError(
                f"there is no key for Claude; it is given by {GIVE_KEY}. For Claude on Vertex AI pass "
                "project= and location="
            )
        # The error of a header that cannot be sent would show the key.
        if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
            raise AuthenticationError(
                "the key for Claude holds a character that no key has, such as a blank or a line break; "
                f"give it without that, by {GIVE_KEY}"
            )
        _require_place(client)
        return client

    return make


def vertex(
    project: str,
    location: str | None,
    credentials: Credentials | None,
    base_url: str | None,
    timeout_seconds: float,
) -> Callable[[], Client]:
    """Clients of Vertex AI; without `credentials`, with the application default ones.

    Raises InputError, MissingExtraError.
    """
    region = location or os.environ.get(REGION)
    if not project or not region:
        missing = "project=" if not project else f"location=, or set the environment variable {REGION}"
        raise InputError(f"Claude on Vertex AI is asked in a project and a location: give {missing}")
    try:
        import google.auth  # noqa: F401 - the SDK imports it at its first call
    except ModuleNotFoundError as error:
        raise MissingExtraError("vertex", "google-auth") from error

    def make() -> Client:
        client = AsyncAnthropicVertex(
            project_id=project,
            region=region,
            credentials=credentials,
            base_url=base_url,
            timeout=timeout_seconds,
            max_retries=0,
        )
        _require_place(client)
        return client

    return make


def _require_place(client: Client) -> None:
    """Where the SDK asks may be named by the environment, or by a profile of its own. Raises InputError."""
    split_url("the base URL of Claude", str(client.base_url))
