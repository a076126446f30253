"""Who may ask: addresses, keys, other sites; and what each may see."""

from __future__ import annotations

import subprocess

import httpx
import pytest
from tests.api.server.conftest import PROGRAM, Server, Start, assert_problem, body, connect

from whence.api.service.keys import find_key, hash_key, make_key

KEYS = [make_key(), make_key()]
SITE = "https://viewer.example"


@pytest.fixture(scope="module")
def guarded(start: Start) -> Server:
    """A server that can be reached from elsewhere, with two keys, for one site."""
    hashes = ", ".join(f'"{hash_key(key)}"' for key in KEYS)
    return start(
        f'[server]\nhost = "0.0.0.0"\napi_keys = [{hashes}]\ncors_origins = ["{SITE}"]\n'
        'allowed_hosts = ["whence.example"]\n[models.fake]\nprovider = "fake"\n'
    )


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_key_is_long_and_its_hash_finds_it() -> None:
    assert len({make_key() for _ in range(100)}) == 100
    hashes = [hash_key(key) for key in KEYS]
    assert [find_key(key, hashes) for key in KEYS] == hashes
    assert find_key(make_key(), hashes) is None
    assert find_key("", hashes) is None
    assert find_key("clé", hashes) is None


def test_the_program_makes_keys() -> None:
    done = subprocess.run([PROGRAM, "key"], capture_output=True, text=True, check=True)  # noqa: S603
    key, hashed = (line.split()[1] for line in done.stdout.splitlines())
    assert hash_key(key) == hashed
    assert "api_keys" in done.stderr


PATHS = ["/v1/models", "/v1/models/fake", "/v1/schema", "/metrics", "/v1/explanations/x", "/nowhere"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("wrong"),
        {"Authorization": "Bearer"},
        bearer(hash_key(KEYS[0])),
        {"Authorization": KEYS[0]},
        {"X-Key": KEYS[0]},
    ],
)
def test_without_a_key_nothing_is_told(guarded: Server, path: str, headers: dict[str, str]) -> None:
    response = guarded.get(path, headers=headers)
    assert_problem(response, 401, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/docs", "/openapi.json", "/", "/page.js", "/viewer.js"]
)
def test_health_and_documentation_need_no_key(guarded: Server, path: str) -> None:
    guarded.wait_for(lambda: guarded.get(path).status_code == 200)


@pytest.mark.parametrize("key", KEYS, ids=["first", "second"])
def test_any_of_the_keys_opens(guarded: Server, key: str) -> None:
    for path in PATHS[:4]:
        assert guarded.get(path, headers=bearer(key)).status_code == 200
    assert guarded.get("/v1/models", headers={"Authorization": f"bearer  {key}"}).status_code == 200


def test_an_explanation_is_for_the_key_that_asked(guarded: Server) -> None:
    with connect(guarded, headers=bearer(KEYS[0])) as client:
        place = client.post("/v1/explanations", json=body()).headers["content-location"]
        assert client.get(place).status_code == 200
    for path in (place, f"{place}.html", f"{place}/attention/decoder/0/0"):
        assert_problem(guarded.get(path, headers=bearer(KEYS[1])), 404, "unknown-explanation")


def test_neither_keys_nor_hashes_are_logged(guarded: Server) -> None:
    assert not [text for key in KEYS for text in (key, hash_key(key)) if text in guarded.logged]


def test_the_document_asks_for_the_key(guarded: Server) -> None:
    document = guarded.get("/openapi.json").json()
    assert document["security"] == [{"key": []}]
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


@pytest.mark.parametrize("host", ["whence.example", "whence.example:80", "0.0.0.0", "localhost"])  # noqa: S104
def test_configured_hosts_are_answered(guarded: Server, host: str) -> None:
    assert guarded.get("/healthz", headers={"Host": host}).status_code == 200
    assert_problem(guarded.get("/healthz", headers={"Host": f"x.{host}"}), 421, "unknown-host")


# Other sites.


def preflight(server: Server, site: str, method: str = "POST") -> httpx.Response:
    headers = {"Origin": site, "Access-Control-Request-Method": method}
    return httpx.options(f"{server.url}/v1/explanations", headers=headers)


def test_no_other_site_may_ask_unless_configured(server: Server) -> None:
    assert_problem(preflight(server, SITE), 405, "method-not-allowed")
    response = server.get("/v1/models", headers={"Origin": SITE})
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_a_configured_site_may_ask(guarded: Server) -> None:
    allowed = preflight(guarded, SITE)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == SITE
    assert "access-control-allow-credentials" not in allowed.headers
    for headers in ({}, bearer(KEYS[0])):  # the site may read the refusal, too
        response = guarded.get("/v1/models", headers={"Origin": SITE, **headers})
        assert response.headers["access-control-allow-origin"] == SITE


def test_a_site_that_is_not_configured_may_not(guarded: Server) -> None:
    for response in (preflight(guarded, "https://evil.example"), preflight(guarded, SITE, "DELETE")):
        assert_problem(response, 400, "cross-origin")
    response = guarded.get("/v1/models", headers={"Origin": "https://evil.example", **bearer(KEYS[0])})
    assert "access-control-allow-origin" not in response.headers
