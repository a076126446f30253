"""Text that breaks programs passes through the service as it is."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
from tests.api.server.conftest import Server, assert_problem, body

from whence import Explanation

Ask = Callable[..., httpx.Response]
TEXTS = {
    "NUL": "alpha\x00beta\x00",
    "control characters": "".join(map(chr, range(32))) + "x\x7f\x80\x9f",
    "escape codes": "\x1b[31mred\x1b[0m \x1b]8;;https://example.org\x07link\x1b]8;;\x07 \x9b2J",
    "every line end": "one\ntwo\rthree\r\nfour\x0bfive\x0csix\x85seven\u2028eight\u2029",
    "events": "data: x\n\nevent: explanation\ndata: {}\n\n: y\r\n\r\n",
    "markup": "</script><script>alert(1)</script><img src=x onerror=alert(1)>&amp;<!--]]>",
    "right-to-left overrides": "dose \u202e gm 01\u202c \u2066isolate\u2069 שלום \u200f.",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇪🇺🇪 ☃️",
    "CJK": "患者は発熱した。抗生物質を投与した。体温は正常です！𠮷野家",
    "a log line": 'x", "level": "error"}\n{"message": "forged"}',
    "a format": "%s %(x)s {0} {text!r} ${HOME} {{ x }}",
}


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("name", TEXTS)
def test_hostile_text_is_unharmed_everywhere(ask: Ask, client: httpx.Client, name: str, accept: str) -> None:
    text = TEXTS[name]
    response = ask(
        sources=[{"text": text, "metadata": {text: text}}],
        prompt=text,
        system=text,
        output=f"{text} So it is.",
        headers={"Accept": accept},
    )
    assert response.status_code == 200
    document = response.text.rpartition("\ndata: ")[2] if accept == "text/event-stream" else response.text
    explanation = Explanation.model_validate_json(document)
    assert explanation.sources[0].text == text
    assert explanation.sources[0].metadata == {text: text}
    assert explanation.output.text == f"{text} So it is."
    assert explanation.prompt.instruction == text
    page = client.get(f"/v1/explanations/{explanation.id}.html")
    assert page.status_code == 200
    assert "<script>alert" not in page.text


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_names_end_as_problems_or_as_they_are(ask: Ask, name: str) -> None:
    text = TEXTS[name]
    assert_problem(ask(model=text), 404, "unknown-model")
    assert_problem(ask(method=text), 422, "unknown-method")
    assert_problem(ask(parameters={text: 1}), 422, "input")
    assert ask(sources=[{"text": "alpha", "name": text}]).status_code in (200, 422)


def test_a_source_that_ends_the_events_is_one_event(ask: Ask) -> None:
    response = ask(sources=[TEXTS["events"]], headers={"Accept": "text/event-stream"})
    assert response.text.count("\nevent: explanation\r\n") == 1


@pytest.mark.parametrize("field", ["prompt", "output", "system", "sources", "name", "metadata", "parameters"])
def test_a_lone_surrogate_is_422(client: httpx.Client, field: str) -> None:
    lone = "a\ud800b"
    values = {
        "sources": [lone],
        "name": [{"text": "alpha", "name": lone}],
        "metadata": [{"text": "alpha", "metadata": {"ward": lone}}],
        "parameters": {"layers": lone},
    }
    changes = {"sources" if field in ("name", "metadata") else field: values.get(field, lone)}
    content = json.dumps(body(**changes))
    assert "\\ud800" in content
    response = client.post("/v1/explanations", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 4000, "-0.0", "true"]
)
@pytest.mark.parametrize("field", ["max_tokens", "seed", "layers"])
def test_numbers_that_are_none_are_422(client: httpx.Client, number: str, field: str) -> None:
    given = f'{{"layers": {number}}}' if field == "layers" else number
    name = "parameters" if field == "layers" else field
    content = json.dumps(body())[:-1] + f', "{name}": {given}}}'
    response = client.post("/v1/explanations", content=content, headers={"Content-Type": "application/json"})
    if (field, number) in (("seed", "-0.0"), ("seed", "true"), ("max_tokens", "true")):
        assert response.status_code in (200, 422)
    else:
        assert response.status_code == 422
    assert response.headers["content-type"] in ("application/json", "application/problem+json")


@pytest.mark.parametrize("depth", [100, 500])
def test_deep_parameters_are_a_problem(ask: Ask, depth: int) -> None:
    value: object = 1
    for _ in range(depth):
        value = [value]
    response = ask(parameters={"layers": value})
    assert response.status_code in (400, 422)
    assert response.headers["content-type"] == "application/problem+json"


def test_a_hundred_thousand_words_are_explained(ask: Ask, server: Server) -> None:
    words = " ".join(f"word{number}." for number in range(99_999)) + " alpha."
    response = ask(sources=[words])
    assert response.status_code == 200
    (row,) = response.json()["results"][0]["scores"]["values"]
    assert row[-1] > 0
    assert not any(row[:-1])
    assert server.get("/healthz").status_code == 200


def test_many_small_sources_are_explained(ask: Ask) -> None:
    response = ask(sources=["x"] * 2000 + ["alpha"])
    assert response.json()["results"][0]["scores"]["values"][0][2000] > 0
