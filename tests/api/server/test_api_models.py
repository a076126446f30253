"""Models of an API behind the server: the default, what their failures say to whom, and keys that stay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.hosted import COMMAND, FAULTS
from tests.api.server.conftest import Server, Start, assert_problem, body, connect
from tests.api.server.test_load import events

ROOT = Path(__file__).parents[3]
KEY = "sk-planted-Wq7Zp3"
SAID = "Quetzalmark has a fracture."
PRICES = "prices = { input_per_million = 100, output_per_million = 500 }\nbudget = { calls = 50 }\n"
SETTINGS = (
    '[server]\ndefault_model = "working"\nlog_level = "debug"\n'
    f'[models.working]\nprovider = "hosted"\naccess = "text"\napi_key = "{KEY}"\n{PRICES}'
    "[models.working.options]\ntimeout_seconds = 5\n"
    + "".join(
        f'[models.{fault}]\nprovider = "hosted"\naccess = "text"\napi_key = "{KEY}"\nfails = "{fault}"\n'
        "deadline_seconds = 0.5\n"
        for fault in (*FAULTS, "bug")
    )
    + "".join(
        f'[models.no-{fault}]\nprovider = "hosted"\nfails = "{fault}"\nwhen = "loaded"\npreload = false\n'
        f'options = {{ api_key = "{KEY}" }}\n'
        for fault in ("key", "quota", "away", "unknown")
    )
)


@pytest.fixture(scope="module")
def hosted(start: Start) -> Server:
    """A server of models that work and fail, each with a key in its settings."""
    server = start(SETTINGS, COMMAND, WHENCE_MODELS__CUT__API_KEY=KEY)
    server.wait_for(lambda: server.get("/readyz").status_code == 200)
    return server


@pytest.fixture(scope="module")
def own(hosted: Server) -> Iterator[httpx.Client]:
    """Asks it."""
    with connect(hosted) as client:
        yield client


def request(model: str | None, **changes: Any) -> dict[str, Any]:
    return body(model=model, sources=[SAID], method="leave_one_out", max_tokens=5) | changes


@pytest.mark.parametrize(
    ("model", "status", "kind", "told"),
    [
        ("key", 502, "authentication", "The operator must"),
        ("quota", 503, "quota", "The operator must"),
        ("refused", 422, "refused", SAID),
        ("cut", 422, "cut", SAID),
        ("provider", 502, "provider", SAID),
        ("away", 503, "unavailable", SAID),
        ("unknown", 500, "model-load", "The log"),
        ("bug", 500, "internal", "Its log"),
        ("no-key", 502, "authentication", "The operator must"),
        ("no-quota", 503, "quota", "The operator must"),
        ("no-away", 503, "unavailable", "overloaded"),
        ("no-unknown", 500, "model-load", "The log"),
    ],
)
def test_a_failure_of_an_api_has_its_problem(
    own: httpx.Client, model: str, status: int, kind: str, told: str
) -> None:
    response = own.post("/v1/explanations", json=request(model))
    document = assert_problem(response, status, kind)
    assert told in document["detail"]
    assert (SAID in response.text) == (told == SAID), "quoted to the client, or not at all"
    assert response.headers.get("retry-after") == ("1" if kind == "unavailable" else None)
    streamed = own.post("/v1/explanations", json=request(model), headers={"Accept": "text/event-stream"})
    assert events(streamed.text)[-1][1]["type"] == f"/problems/{kind}"
    assert (SAID in streamed.text) == (told == SAID)


@pytest.mark.parametrize("model", ["key", "quota", "unknown"])
def test_what_the_settings_must_mend_is_logged_without_what_was_asked(
    hosted: Server, own: httpx.Client, model: str
) -> None:
    own.post("/v1/explanations", json=request(model))
    line = [line for line in hosted.lines if f"the model {model} cannot be used" in line.get("message", "")][
        -1
    ]
    assert line["level"] == "error"
    assert line["exception"] == type(FAULTS[model]("")).__name__
    assert any(frame.startswith("hosted.py:") for frame in line["frames"])
    assert line.get("provider_request") == ("req_1" if model == "key" else None)
    assert SAID not in hosted.logged


def test_what_an_api_says_when_nothing_was_asked_is_logged_whole(hosted: Server, own: httpx.Client) -> None:
    assert_problem(own.get("/v1/models/no-key"), 502, "authentication")
    wanted = "the model no-key cannot be loaded: no such key; asked: nothing (request req_1)"
    assert wanted in [line.get("message") for line in hosted.lines]


def test_who_names_no_model_gets_the_default(own: httpx.Client) -> None:
    listed = own.get("/v1/models").json()
    assert listed["default_model"] == "working"
    assert len(listed["models"]) > 1
    assert own.post("/v1/explanations", json=request(None, sources=["alpha."])).status_code == 200


def test_a_key_is_told_nowhere(hosted: Server, own: httpx.Client) -> None:
    answers = [
        own.request(method, path, json=request(model, sources=["alpha. beta."]) if method == "POST" else None)
        for model in ("working", "cut", "bug", "no-quota")
        for method, path in (
            ("POST", "/v1/plans"),
            ("POST", "/v1/explanations"),
            ("GET", f"/v1/models/{model}"),
            ("GET", "/v1/models"),
            ("GET", "/metrics"),
            ("GET", "/openapi.json"),
        )
    ]
    assert {answer.status_code for answer in answers} == {200, 422, 500, 503}
    assert not [answer.url for answer in answers if KEY in answer.text + str(answer.headers)]
    assert "working" in hosted.get("/metrics").text
    assert KEY not in hosted.logged


def test_the_local_model_of_the_hybrid_file_answers_who_names_none(start: Start, record: str) -> None:
    settings = (ROOT / "configs" / "hybrid.toml").read_text()
    server = start(settings, ANTHROPIC_API_KEY=KEY)
    with connect(server) as client:
        server.wait_for(lambda: client.get("/readyz").status_code == 200)
        response = client.post(
            "/v1/explanations", json={"prompt": "Summarise this record.", "sources": [record]}
        )
        assert (response.status_code, response.json()["model"]) == (200, "demo"), response.text
        listed = client.get("/v1/models").json()
    assert listed["default_model"] == "local"
    local, remote = listed["models"]
    assert (local["name"], local["loaded"]) == ("local", True)
    assert (remote["name"], remote["provider"], remote["loaded"]) == ("claude", "claude", False)
    assert KEY not in server.logged + json.dumps(listed)
