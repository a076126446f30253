"""Real servers: `whence serve` in a process of its own, on a real socket, its output in a file.

Every text that a test sends as JSON is remembered, and at the end of the session none of them may stand in
what any server wrote.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

PROGRAM = Path(sys.executable).with_name("whence")
PATIENCE_SECONDS = 120.0  # only reached by a test that fails
SHORTEST_TEXT = 12
"""Shorter texts that are sent are names of methods and units, which may stand anywhere."""
FOREVER_SECONDS = 3600.0

Body = dict[str, Any]
# A connection is given up well before a server would close it: none is used just then.
LIMITS = httpx.Limits(max_connections=100, keepalive_expiry=1)
asker = httpx.Client(timeout=PATIENCE_SECONDS, limits=LIMITS)


@dataclass
class Server:
    """A running server."""

    process: subprocess.Popen[bytes]
    log: Path
    url: str

    @property
    def logged(self) -> str:
        """All that it has written."""
        return self.log.read_text(errors="replace")

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it logged; every line is JSON."""
        return [json.loads(line) for line in self.logged.splitlines()]

    def line_of(self, request_id: str, **wanted: object) -> dict[str, Any]:
        """The line of a request; it is written when the answer has been sent."""

        def found() -> list[dict[str, Any]]:
            written = [line for line in self.lines if line.get("request") == request_id]
            return [line for line in written if wanted.items() <= line.items()]

        self.wait_for(lambda: bool(found()))
        (line,) = found()
        return line

    def figure(self, name: str, **labels: str) -> float:
        """A figure of /metrics; 0 where it was not counted yet."""
        wanted = "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}" if labels else ""
        found = re.search(rf"^{re.escape(name + wanted)} (\S+)$", self.get("/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Ask for a path, apart from the clients of tests."""
        return asker.get(self.url + path, **options)

    def wait_for(self, done: Callable[[], bool]) -> None:
        """Ask until it is so."""
        limit = time.monotonic() + PATIENCE_SECONDS
        while not done():
            assert time.monotonic() < limit, f"it never happened: {self.logged[-2000:]}"
            time.sleep(0.05)


Start = Callable[..., Server]
sent: set[str] = set()
written: list[Path] = []


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start a server with these settings, as TOML: start(toml, command=[...], **environment)."""
    servers: list[Server] = []

    def launch(settings: str, command: list[str] | None = None, **environment: str) -> Server:
        folder = tmp_path_factory.mktemp("server")
        config, log = folder / "settings.toml", folder / "log"
        config.write_text(settings)
        written.append(log)
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603
                [*(command or [str(PROGRAM)]), "serve", "--config", str(config), "--port", "0"],
                cwd=folder,
                env=os.environ | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        server = Server(process, log, "")
        servers.append(server)
        server.wait_for(lambda: process.poll() is not None or "Uvicorn running on" in server.logged)
        found = re.search(r"Uvicorn running on http://\S+:(\d+)", server.logged)
        assert found, server.logged
        server.url = f"http://127.0.0.1:{found[1]}"
        return server

    yield launch
    for server in servers:
        server.process.terminate()
    for server in servers:
        server.process.wait(PATIENCE_SECONDS)
    asker.close()
    texts = [path.read_text(errors="replace") for path in written]
    told = sorted(text for text in sent if any(text in log for log in texts))
    assert not told, f"{len(told)} texts that were sent are in a log, such as {told[0]!r}"


def remember(request: httpx.Request) -> None:
    """Collect every text of a request, also in the form in which JSON writes it."""

    def collect(value: Any) -> None:
        if isinstance(value, str):
            for line in value.splitlines():
                if len(line.strip()) >= SHORTEST_TEXT:
                    sent.update({line.strip(), json.dumps(line.strip())[1:-1]})
        elif isinstance(value, dict):
            collect([*value.keys(), *value.values()])
        elif isinstance(value, list):
            for item in value:
                collect(item)

    try:
        collect(json.loads(request.content))
    except (ValueError, RecursionError):
        collect(request.content.decode(errors="replace"))


MODELS = f"""
[server]
log_level = "debug"
body_limit_bytes = 2_000_000
body_timeout_seconds = 2
kept_explanations = 150

[models.fake]
provider = "fake"
max_waiting = 200

[models.demo]
provider = "demo"
preload = false

[models.text]
provider = "fake"
access = "text"

[models.narrow]
provider = "fake"
latency_s = 0.05
max_waiting = 9

[models.stuck]
provider = "fake"
latency_s = {FOREVER_SECONDS}
max_waiting = 1

[models.late]
provider = "fake"
latency_s = {FOREVER_SECONDS}
timeout_seconds = 0.3

[models.missing]
provider = "huggingface:/no/such/model"
preload = false
"""


@pytest.fixture(scope="session")
def server(start: Start) -> Server:
    """The server of most tests; its logs are as chatty as they can be."""
    return start(MODELS)


@pytest.fixture(scope="session")
def unready(start: Start, endless: str) -> Server:
    """A server with a model that cannot be loaded, one that never stops writing, and the fake one."""
    return start(
        '[models.missing]\nprovider = "huggingface:/no/such/model"\n[models.fake]\nprovider = "fake"\n'
        f'[models.endless]\nprovider = "{endless}"\npreload = false\n'
    )


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[httpx.Client]:
    """Asks it."""
    with connect(server) as made:
        yield made


def connect(server: Server, **options: Any) -> httpx.Client:
    """A client of a server, whose texts are remembered."""
    return httpx.Client(
        base_url=server.url,
        timeout=PATIENCE_SECONDS,
        limits=LIMITS,
        event_hooks={"request": [remember]},
        **options,
    )


@pytest.fixture
def ask(client: httpx.Client) -> Callable[..., httpx.Response]:
    """POST an explanation of a source that the fake model has something to say of, with changes."""

    def post(*, headers: dict[str, str] | None = None, query: str = "", **changes: Any) -> httpx.Response:
        return client.post(f"/v1/explanations{query}", json=body(**changes), headers=headers)

    return post


def body(**changes: Any) -> Body:
    """A request for the fake model."""
    sources = ["alpha is in this confidential record. nothing is there."]
    return {"model": "fake", "prompt": "Summarise this confidential record.", "sources": sources} | changes


def assert_problem(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """It is an RFC 9457 problem of this kind; the document."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), (
        response.text
    )
    document: dict[str, Any] = response.json()
    assert document["type"] == f"/problems/{kind}"
    assert document["status"] == status
    assert document["title"].endswith(".")
    assert document["detail"]
    assert document["instance"] == f"urn:uuid:{response.headers['x-request-id']}"
    return document
