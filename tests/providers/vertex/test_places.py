"""Where Vertex AI is asked, by whom, and what its answers are held to."""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from google.auth.exceptions import RefreshError, TransportError
from google.oauth2 import service_account
from google.oauth2.credentials import Credentials
from tests.servers.google_credentials import ACCESS_TOKEN, PROJECT
from tests.servers.google_credentials import service_account as write_service_account
from tests.servers.vertex import VertexServer
from tests.servers.vertex_answers import LOCATION
from tests.servers.vertex_grpc import VertexGrpcServer

from whence.providers.errors import AuthenticationError, InputError, UnavailableError
from whence.providers.vertex import Vertex
from whence.providers.vertex.place import place_of, resource_of

AnyServer = VertexServer | VertexGrpcServer
Make = Callable[..., Vertex]
Servers = dict[str, AnyServer]


@pytest.fixture
def key_file(tmp_path: Path, servers: Servers) -> Path:
    """Of a service account that gets its tokens from the local server."""
    rest = servers["rest"]
    assert isinstance(rest, VertexServer)
    return write_service_account(tmp_path / "key.json", f"{rest.url}/token")


def test_without_credentials_those_of_the_environment_are_used_with_their_project(
    server: AnyServer, vertex: Make, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key_file))
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", LOCATION)
    provider = vertex(project=None, location=None, credentials=None)
    assert anyio.run(provider.capabilities).metered
    assert server.seen[-1].headers["authorization"] == f"Bearer {ACCESS_TOKEN}"


def test_a_service_account_needs_no_scopes_of_its_own(vertex: Make, key_file: Path) -> None:
    credentials = service_account.Credentials.from_service_account_file(str(key_file))  # type: ignore[no-untyped-call]
    assert anyio.run(vertex(credentials=credentials).capabilities).metered


def test_the_environment_names_the_project(
    server: AnyServer, vertex: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", PROJECT)
    assert anyio.run(vertex(project=None).capabilities).metered


def test_the_project_that_pays_is_told(server: AnyServer, vertex: Make) -> None:
    credentials: Any = Credentials(token=ACCESS_TOKEN, quota_project_id="payer")  # type: ignore[no-untyped-call]
    anyio.run(vertex(credentials=credentials).capabilities)
    assert server.seen[-1].headers["x-goog-user-project"] == "payer"


def test_no_credentials_and_no_project_say_what_to_set(
    vertex: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    with pytest.raises(AuthenticationError, match="gcloud auth application-default login") as caught:
        anyio.run(vertex(credentials=None).capabilities)
    assert caught.value.__cause__ is not None
    with pytest.raises(InputError, match="GOOGLE_CLOUD_PROJECT"):
        anyio.run(vertex(project=None).capabilities)


def test_credentials_that_cannot_be_renewed_are_refused(
    server: AnyServer, vertex: Make, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = json.loads(key_file.read_text())
    key_file.write_text(json.dumps({**account, "token_uri": account["token_uri"] + "/none"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key_file))
    with pytest.raises(AuthenticationError, match="GOOGLE_APPLICATION_CREDENTIALS") as caught:
        anyio.run(vertex(credentials=None).capabilities)
    assert isinstance(caught.value.__cause__, RefreshError)
    assert account["private_key"][40:80] not in str(caught.value)


def test_a_place_of_tokens_where_nobody_listens_is_unavailable(
    server: AnyServer, vertex: Make, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/token"
    key_file.write_text(json.dumps({**json.loads(key_file.read_text()), "token_uri": nobody}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key_file))
    with pytest.raises(UnavailableError, match="could not be renewed") as caught:
        anyio.run(vertex(credentials=None).capabilities)
    assert isinstance(caught.value.__cause__, TransportError)


def test_a_token_that_no_header_can_hold_is_not_shown(vertex: Make) -> None:
    with pytest.raises(AuthenticationError, match="line break") as caught:
        anyio.run(vertex(credentials=Credentials(token="secret\ntoken")).capabilities)  # type: ignore[no-untyped-call]
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "location", "url", "target", "secure"),
    [
        (None, "global", "https://aiplatform.googleapis.com", "aiplatform.googleapis.com:443", True),
        (
            None,
            "europe-west4",
            "https://europe-west4-aiplatform.googleapis.com",
            "europe-west4-aiplatform.googleapis.com:443",
            True,
        ),
        (
            None,
            "eu",
            "https://aiplatform.eu.rep.googleapis.com",
            "aiplatform.eu.rep.googleapis.com:443",
            True,
        ),
        ("10.1.2.3:8443", "global", "https://10.1.2.3:8443", "10.1.2.3:8443", True),
        ("127.0.0.1:8443", "global", "https://127.0.0.1:8443", "127.0.0.1:8443", True),
        (
            "https://gateway.example/vertex/",
            "eu",
            "https://gateway.example/vertex",
            "gateway.example:443",
            True,
        ),
        ("http://127.0.0.1:80", "global", "http://127.0.0.1:80", "127.0.0.1:80", False),
        ("http://localhost", "global", "http://localhost", "localhost:80", False),
        ("http://[::1]:8080", "global", "http://[::1]:8080", "[::1]:8080", False),
    ],
)
def test_a_place_is_asked_by_tls_unless_it_is_on_this_machine_and_says_otherwise(
    endpoint: str | None, location: str, url: str, target: str, secure: bool
) -> None:
    place = place_of(endpoint, location)
    assert (place.url, place.target, place.secure) == (url, target, secure)


@pytest.mark.parametrize(
    "options",
    [
        {"endpoint": "http://10.1.2.3:8080"},
        {"endpoint": "http://vertex.example"},
        {"endpoint": "ftp://127.0.0.1"},
        {"endpoint": "https://user:word@vertex.example"},
        {"endpoint": "https://vertex.example?x=1"},
        {"endpoint": "https://"},
        {"endpoint": "https://[bad"},
        {"endpoint": 5},
        {"endpoint": "127.0.0.1:port"},
        {"location": "evil.example/"},
        {"project": "p/../q"},
        {"model": "../../projects"},
        {"model": "gemini?x"},
        {"model": ""},
        {"transport": "http"},
        {"model": 5},
        {"max_in_flight": 0},
        {"max_in_flight": 1.5},
        {"timeout_seconds": 0},
        {"timeout_seconds": math.nan},
        {"deadline_seconds": math.inf},
        {"deadline_seconds": "60"},
        {"temperature": 3},
        {"temperature": "hot"},
        {"credentials": "key.json"},
    ],
)
def test_options_that_make_no_sense_or_lead_elsewhere_are_refused(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(InputError, match=name) as caught:
        Vertex(**{"model": "gemini-2.5-flash", "project": "p", **options})
    assert "user:word" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "resource"),
    [
        ("gemini-2.5-flash", "projects/p/locations/l/publishers/google/models/gemini-2.5-flash"),
        ("publishers/other/models/m@1", "projects/p/locations/l/publishers/other/models/m@1"),
        ("projects/q/locations/l/endpoints/1", "projects/q/locations/l/endpoints/1"),
    ],
)
def test_a_model_has_a_full_name(model: str, resource: str) -> None:
    assert resource_of(model, project="p", location="l") == resource
