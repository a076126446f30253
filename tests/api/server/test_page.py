"""The page at `/` as the service sends it; tests/viewer/test_page.py looks at it in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest
from tests.api.server.conftest import Start

from whence import Explanation
from whence.api.service.keys import hash_key
from whence.explain.render.viewer import bundle, to_viewer

Ask = Callable[..., httpx.Response]


def test_the_page_runs_its_own_script_and_asks_its_own_server(client: httpx.Client) -> None:
    page = client.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.partition(" ")[::2] for part in page.headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    data = '<script type="application/json" id="words">'
    assert re.findall(r"<script[^>]*>", page.text) == ['<script src="page.js" defer>', data]
    assert "style" not in page.text


@pytest.mark.parametrize("name", ["page.js", "viewer.js"])
def test_a_script_is_sent_once_for_each_version(client: httpx.Client, name: str) -> None:
    script = client.get(f"/{name}")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert script.headers["x-content-type-options"] == "nosniff"
    assert script.text == bundle(name)
    tag = script.headers["etag"]
    for known in (tag, f'"other", W/{tag}'):
        again = client.get(f"/{name}", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get(f"/{name}", headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_page_and_its_script_need_no_key_and_what_they_ask_does(start: Start) -> None:
    server = start(f'[server]\napi_keys = ["{hash_key("key")}"]\n[models.fake]\nprovider = "fake"\n')
    assert {path: server.get(path).status_code for path in ("/", "/page.js", "/v1/models")} == {
        "/": 200,
        "/page.js": 200,
        "/v1/models": 401,
    }


def test_the_viewer_of_an_explanation_holds_all_its_attention(ask: Ask, client: httpx.Client) -> None:
    made = Explanation.model_validate_json(ask(attention=True, query="?attention=all").content)
    page = client.get(f"/v1/explanations/{made.id}.html?interactive=true")
    assert page.text == to_viewer(made)
    assert 'id="head-decoder-0-0"' in page.text
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert policy.endswith("; frame-ancestors 'none'")
