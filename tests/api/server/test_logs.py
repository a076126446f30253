"""No text of a record is in any line that a server writes, whichever way it comes in."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable

import httpx
import pytest
from tests.api.server import conftest
from tests.api.server.conftest import Server, body

Ask = Callable[..., httpx.Response]
MARK = "Quaxolotlmark"


def test_no_mark_is_in_the_log_whichever_way_it_came_in(server: Server, client: httpx.Client) -> None:
    source = {"text": f"alpha {MARK}.", "name": MARK, "metadata": {MARK: MARK}}
    message = {"role": "user", "content": [MARK, source]}
    bodies = [
        body(
            prompt=MARK, sources=[source], output=f"{MARK} it is.", system=MARK, attention=True, detail=True
        ),
        body(prompt=[message], sources=[]),
        body(model="demo", sources=[source], prompt=MARK),
        body(model="text", sources=[source], method="attention"),
        body(model="late", sources=[source]),
        body(model=MARK),
        body(method=MARK),
        body(method=[MARK, MARK]),
        body(segment_by=MARK),
        body(parameters={MARK: MARK}),
        body(parameters={"layers": MARK}),
        body(**{MARK: MARK}),
        body(sources=[source | {"name": f'"{MARK}'}]),
        body(sources=[source | {MARK: 1}]),
        body(sources=[f"{MARK}\ud800"]),
        body(model="demo", sources=[f"{MARK} " * 3000]),
        [MARK],
        MARK,
    ]
    contents: list[str | bytes] = [
        *map(json.dumps, bodies),
        MARK,
        f'{{"prompt": "{MARK}',
        b"\xff" + MARK.encode(),
    ]
    for accept in ("application/json", "text/event-stream"):
        headers = {"Content-Type": "application/json", "Accept": accept, "X-Mark": MARK, "User-Agent": MARK}
        for content in contents:
            response = client.post("/v1/explanations", content=content, headers=headers)
            place = response.headers.get("content-location")
            if place:
                for path in (place, f"{place}.html", f"{place}/attention/decoder/0/0"):
                    assert client.get(path).status_code in (200, 404)
    for path in (f"/{MARK}", f"/v1/models/{MARK}", f"/v1/explanations/{MARK}", f"/v1/explanations?x={MARK}"):
        client.get(path)
    client.request(MARK.upper(), "/v1/models", headers={"Host": MARK, "Authorization": f"Bearer {MARK}"})
    server.wait_for(lambda: "request" in server.logged)
    assert MARK.lower() not in server.logged.lower()
    assert {line["logger"] for line in server.lines} >= {
        "whence.server",
        "uvicorn.error",
        "sse_starlette.sse",
    }


def test_each_request_has_one_line(server: Server, client: httpx.Client) -> None:
    response = client.get("/v1/explanations/some-id?attention=none")
    identity = response.headers["x-request-id"]
    line = server.line_of(identity)
    assert {name: line[name] for name in ("level", "logger", "message", "method", "route", "status")} == {
        "level": "info",
        "logger": "whence.server",
        "message": "request",
        "method": "GET",
        "route": "/v1/explanations/{explanation_id}",
        "status": 404,
    }
    assert line["milliseconds"] >= 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", line["time"])


def test_an_unknown_path_and_method_are_not_written(server: Server, client: httpx.Client) -> None:
    identity = client.request("BREW", "/coffee").headers["x-request-id"]
    line = server.line_of(identity)
    assert (line["method"], line["route"]) == ("unmatched", "unmatched")


def test_an_odd_method_is_neither_logged_nor_a_label(server: Server, client: httpx.Client) -> None:
    response = client.request("SECRETMETHOD", "/healthz")
    assert response.status_code == 405
    line = server.line_of(response.headers["x-request-id"])
    assert (line["method"], line["route"]) == ("other", "/healthz")
    assert server.figure("whence_requests_total", method="other", route="/healthz", status="405") >= 1
    assert "SECRETMETHOD" not in server.logged + server.get("/metrics").text


LIBRARIES = f"""
import logging
from whence.api.service.logs import configure, take_over

logging.getLogger("uvicorn.access").propagate = False
configure("info")
import huggingface_hub, torch, transformers
take_over()
for name in ("transformers", "transformers.models.gpt2", "huggingface_hub", "torch.fx"):
    logging.getLogger(name).warning("{MARK}")
logging.getLogger("uvicorn.access").info("{MARK}")
"""


def test_a_library_with_handlers_of_its_own_writes_only_places() -> None:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", LIBRARIES], capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["logger"] for line in lines if line.get("place", "").startswith("<string>")] == [
        "transformers",
        "transformers.models.gpt2",
        "huggingface_hub",
        "torch.fx",
    ]
    assert MARK not in done.stdout + done.stderr


def test_what_the_suite_sends_is_remembered(ask: Ask) -> None:
    """What is searched for at the end of the session, in what every server wrote."""
    ask(sources=["alpha and a text that no other test sends"])
    assert "alpha and a text that no other test sends" in conftest.sent
    assert len(conftest.written) >= 1


@pytest.mark.parametrize("level", ["info", "debug"])
def test_every_line_is_json_at_any_level(server: Server, level: str) -> None:
    assert [line for line in server.lines if line["level"] == level]
