"""Who asks: the caller's credentials, or those that Google's libraries find on this machine."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import anyio.to_thread

from whence.providers.errors import AuthenticationError, InputError, ProviderError, UnavailableError
from whence.providers.vertex.failures import clean

if TYPE_CHECKING:
    from google.auth.credentials import Credentials
    from google.auth.exceptions import GoogleAuthError

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


class Access:
    """Credentials with a token that is valid, and the project that is asked for and billed."""

    def __init__(self, credentials: Credentials | None, project: str | None) -> None:
        self._given = credentials
        self._project = project
        self._found: Credentials | None = None
        self._one_at_a_time = threading.Lock()

    @property
    def credentials(self) -> Credentials:
        """Those that are used; known once `ready` was awaited."""
        if self._found is None:
            raise RuntimeError("the credentials were not looked for")
        return self._found

    @property
    def project(self) -> str:
        """Known once `ready` was awaited."""
        if self._project is None:
            raise RuntimeError("the project was not looked for")
        return self._project

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message may hold."""
        token = None if self._found is None else self._found.token
        return (token,) if token else ()

    async def ready(self) -> None:
        """Find the credentials, and renew their token where it is due; both may ask the network.

        Raises AuthenticationError, UnavailableError, InputError.
        """
        if self._found is None or self._found.expired or not self._found.token:
            await anyio.to_thread.run_sync(self._prepare, abandon_on_cancel=True)

    def headers(self) -> dict[str, str]:
        """What makes a request one of this caller's."""
        headers: dict[str, str] = {}
        self.credentials.apply(headers)  # type: ignore[no-untyped-call]
        return headers

    def _prepare(self) -> None:
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request

        with self._one_at_a_time:
            try:
                credentials = self._found or self._find()
                if credentials.expired or not credentials.token:
                    credentials.refresh(Request())  # type: ignore[no-untyped-call]
                _require_sendable(credentials.token)
            except GoogleAuthError as error:
                raise refused(error) from error
            self._found = credentials

    def _find(self) -> Credentials:
        from google.auth import default
        from google.auth.credentials import with_scopes_if_required

        if self._given is None:
            credentials, project = default(scopes=SCOPES)
            self._project = self._project or project
        else:
            credentials = with_scopes_if_required(self._given, SCOPES)  # type: ignore[no-untyped-call]
        if not self._project:
            raise InputError(
                "Vertex AI needs a project of Google Cloud; pass project=, or set GOOGLE_CLOUD_PROJECT"
            )
        found: Credentials = credentials
        return found


def _require_sendable(token: str | None) -> None:
    """The error of a header that cannot be sent would show the token. Raises AuthenticationError."""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise AuthenticationError(
            "the credentials for Vertex AI gave no access token, or one that holds a character which no "
            "token has, such as a blank or a line break"
        )


def refused(error: GoogleAuthError) -> ProviderError:
    """Ours for an error of Google's credentials: nobody answered, or they are not accepted."""
    from google.auth.exceptions import TransportError

    said = clean(str(error))
    if error.retryable or isinstance(error, TransportError):
        return UnavailableError(f"the credentials for Vertex AI could not be renewed: {said}")
    return AuthenticationError(
        f"no usable credentials for Vertex AI: {said.rstrip('.')}. Run 'gcloud auth "
        "application-default login', set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account, or "
        "pass credentials="
    )
