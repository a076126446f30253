"""What each route answers."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any, get_args

import httpx
import jsonschema
import numpy as np
import pytest
from tests.api.server.conftest import Server, assert_problem

from whence import Explainer, Explanation
from whence.explain.schema import TargetKind

Ask = Callable[..., httpx.Response]


def test_an_explanation_is_made_and_can_be_read_again(ask: Ask, client: httpx.Client) -> None:
    response = ask(detail=True)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    explanation = Explanation.model_validate_json(response.content)
    assert explanation.output.text == "The dose is low."
    assert explanation.results[0].detail is not None
    place = response.headers["content-location"]
    assert place == f"/v1/explanations/{explanation.id}"
    again = client.get(place)
    assert (again.status_code, again.content) == (200, response.content)


@pytest.mark.parametrize(
    ("changes", "observe", "wanted"),
    [
        ({"prompt": "Be brief."}, lambda e: e.prompt.instruction, "Be brief."),
        ({"system": "You are brief."}, lambda e: e.prompt.messages[0].role, "system"),
        ({"output": "So it is."}, lambda e: (e.output.text, e.output.given), ("So it is.", True)),
        ({"method": ["attention"]}, lambda e: e.results[0].method.name, "attention"),
        ({"segment_by": "word"}, lambda e: e.segments[0].kind, "word"),
        ({"target_by": "whole"}, lambda e: e.output.targets[0].kind, "whole"),
        ({"max_tokens": 2}, lambda e: (e.output.text, e.output.finish), ("The dose", "length")),
        ({"parameters": {"layers": 0}}, lambda e: e.results[0].method.parameters["layers"], [0]),
        (
            {"sources": [{"text": "alpha", "name": "note", "metadata": {"ward": "3"}}]},
            lambda e: (e.sources[0].name, e.sources[0].metadata),
            ("note", {"ward": "3"}),
        ),
        (
            {
                "sources": [],
                "prompt": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": ["Here:", {"text": "alpha"}, "Summarise it."]},
                ],
            },
            lambda e: (e.sources[0].text, [message.role for message in e.prompt.messages]),
            ("alpha", ["system", "user"]),
        ),
    ],
)
def test_every_field_has_its_effect(
    ask: Ask, changes: dict[str, Any], observe: Callable[[Explanation], object], wanted: object
) -> None:
    without, changed = (Explanation.model_validate_json(ask(**own).content) for own in ({}, changes))
    assert observe(changed) == wanted
    assert "method" in changes or observe(without) != wanted, "it is so without the field, too"


def test_two_sources_may_be_text_and_object(ask: Ask) -> None:
    response = ask(sources=["alpha", {"text": "beta", "name": "b"}])
    assert [source["name"] for source in response.json()["sources"]] == ["source 1", "b"]


def test_the_page_is_the_sdks_and_allows_nothing(ask: Ask, client: httpx.Client) -> None:
    made = Explanation.model_validate_json(ask(sources=["<script>alert(1)</script> alpha."]).content)
    page = client.get(f"/v1/explanations/{made.id}.html")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<script>alert" not in page.text
    policy = page.headers["content-security-policy"]
    own = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page.text)
    assert own is not None
    assert policy.startswith("default-src 'none'; ")
    assert set(own[1].replace("&#39;", "'").split("; ")) <= set(policy.split("; "))
    assert "frame-ancestors 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["", ".html", "/attention/decoder/0/0"])
def test_an_explanation_that_is_not_kept_is_404(client: httpx.Client, path: str) -> None:
    assert_problem(client.get(f"/v1/explanations/{'0' * 32}{path}"), 404, "unknown-explanation")


# Attention.


@pytest.mark.parametrize("model", ["fake", "demo"])
def test_attention_comes_head_by_head(ask: Ask, client: httpx.Client, model: str) -> None:
    outline = ask(model=model, attention=True, output="The dose is low.")
    full = client.get(outline.headers["content-location"], params={"attention": "all"})
    none = client.get(outline.headers["content-location"], params={"attention": "none"})
    assert none.json()["attention"] is None
    assert none.json()["results"] == outline.json()["results"] == full.json()["results"]
    explanation = Explanation.model_validate_json(full.content)
    assert explanation.attention is not None
    assert Explanation.model_validate_json(outline.content).results == explanation.results
    (block,) = explanation.attention
    (light,) = outline.json()["attention"]
    assert all(head["values"] is None and head["thumbnail"] for head in light["data"])
    assert "/attention/" in light["left_out"]
    assert block.left_out is None
    for own in block.data:
        place = f"{outline.headers['content-location']}/attention/decoder/{own.layer}/{own.head}"
        chunk = client.get(place).json()
        assert chunk["explanation"] == explanation.id
        assert chunk["head"] == json.loads(own.model_dump_json())
        assert chunk["head"]["values"] is not None
        assert (chunk["block"], chunk["encoding"]) == ("decoder", "u8_log")
        assert tuple(chunk["shape"]) == block.weights(own.layer, own.head).shape
        assert chunk["precision"] == block.precision.model_dump()


def test_attention_through_http_is_that_of_the_sdk(ask: Ask) -> None:
    wanted = Explainer("fake").explain("Do.", sources=["alpha beta."], attention="float16").attention
    assert wanted is not None
    response = ask(prompt="Do.", sources=["alpha beta."], attention="float16", query="?attention=all")
    found = Explanation.model_validate_json(response.content).attention
    assert found == wanted
    np.testing.assert_array_equal(found[0].weights(0, 0), wanted[0].weights(0, 0))


@pytest.mark.parametrize("path", ["decoder/0/1", "decoder/1/0", "cross/0/0"])
def test_a_head_that_is_not_there_says_which_are(ask: Ask, client: httpx.Client, path: str) -> None:
    place = ask(attention=True).headers["content-location"]
    document = assert_problem(client.get(f"{place}/attention/{path}"), 404, "unknown-head")
    assert document["known"] == [{"block": "decoder", "layers": [0], "heads": 1}]
    without = ask().headers["content-location"]
    assert assert_problem(client.get(f"{without}/attention/{path}"), 404, "unknown-head")["known"] == []


@pytest.mark.parametrize("path", ["middle/0/0", "decoder/x/0", "decoder/-1/0", f"decoder/0/{10**30}"])
def test_what_cannot_be_a_head_is_404(ask: Ask, client: httpx.Client, path: str) -> None:
    place = ask(attention=True).headers["content-location"]
    assert_problem(client.get(f"{place}/attention/{path}"), 404, "not-found")


# Models, schema, health, metrics, documentation.


def test_models_are_listed_with_access_and_methods(server: Server, client: httpx.Client) -> None:
    server.wait_for(lambda: client.get("/readyz").status_code == 200)
    listed = {item["name"]: item for item in client.get("/v1/models").json()["models"]}
    assert list(listed) == ["fake", "demo", "text", "narrow", "stuck", "late", "missing"]
    assert listed["fake"] == {
        "name": "fake",
        "provider": "fake",
        "model": "fake",
        "loaded": True,
        "access": "weights",
        "methods": ["attention"],
        "context_tokens": None,
    } | {"methods": listed["fake"]["methods"]}
    assert "attention" in listed["fake"]["methods"]
    assert listed["text"]["access"] == "text"
    assert "attention" not in listed["text"]["methods"]
    assert listed["missing"]["loaded"] is False
    assert listed["missing"]["methods"] is None


def test_a_model_is_loaded_by_asking_for_it(client: httpx.Client) -> None:
    shown = client.get("/v1/models/demo").json()
    assert (shown["loaded"], shown["access"], shown["context_tokens"]) == (True, "weights", 1024)
    assert shown in client.get("/v1/models").json()["models"]


def test_a_model_that_cannot_be_loaded_is_told_to_the_log_only(server: Server, client: httpx.Client) -> None:
    for response in (client.get("/v1/models/missing"), ask_missing(client)):
        document = assert_problem(response, 500, "model-load")
        assert "/no/such" not in json.dumps(document)
    assert "/no/such/model" in server.logged


def ask_missing(client: httpx.Client) -> httpx.Response:
    return client.post("/v1/explanations", json={"model": "missing", "prompt": "Do.", "sources": ["a"]})


def test_the_schema_is_the_packages(client: httpx.Client, ask: Ask) -> None:
    response = client.get("/v1/schema")
    assert response.headers["content-type"] == "application/schema+json"
    assert response.json() == Explanation.model_json_schema()
    jsonschema.validate(ask(attention=True).json(), response.json())


def test_health(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


def test_metrics_are_prometheus(server: Server, ask: Ask) -> None:
    before = server.figure("whence_explanations_total", model="fake", outcome="explained")
    asked = server.figure("whence_requests_total", method="POST", route="/v1/explanations", status="200")
    ask()
    response = server.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert server.figure("whence_explanations_total", model="fake", outcome="explained") == before + 1
    labels = {"method": "POST", "route": "/v1/explanations", "status": "200"}
    server.wait_for(lambda: server.figure("whence_requests_total", **labels) == asked + 1)
    assert server.figure("whence_kept_explanations") >= 1
    assert server.figure("whence_kept_bytes") > 0
    assert server.figure("process_resident_memory_bytes") > 0


def test_the_documentation_needs_no_network(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert not re.search(r"<script|<link|<img|@import|https?://|url\(", page.text)
    style = re.search(r"<style>(.*?)</style>", page.text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in page.text
    assert "segment_by" in page.text


def test_every_error_in_the_document_is_a_problem(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                if status != "200":
                    assert list(response["content"]) == ["application/problem+json"], (path, status)
    assert "ProblemDocument" in document["components"]["schemas"]
    assert "securitySchemes" not in document["components"]


def test_every_target_kind_is_in_the_document(client: httpx.Client) -> None:
    properties = client.get("/openapi.json").json()["components"]["schemas"]["ExplanationBody"]["properties"]
    assert tuple(properties["target_by"]["enum"]) == get_args(TargetKind)
