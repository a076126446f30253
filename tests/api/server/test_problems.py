"""Every error is an RFC 9457 problem, and none gives back what was sent."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.api.server.conftest import PATIENCE_SECONDS, Server, assert_problem, body, connect

Ask = Callable[..., httpx.Response]
MARK = "Zyxmarkzyx"
LARGE = "x" * 1_500_000


@pytest.mark.parametrize(
    "model", ["nobody", "", "/etc/passwd", "../fake", "huggingface:gpt2", "FAKE", "fake "]
)
def test_only_configured_models_exist(ask: Ask, client: httpx.Client, model: str) -> None:
    known = ["fake", "demo", "text", "narrow", "stuck", "late", "missing"]
    document = assert_problem(ask(model=model), 404, "unknown-model")
    assert document["known"] == known
    assert all(name in document["detail"] for name in known)
    if model and "/" not in model:
        assert assert_problem(client.get(f"/v1/models/{model}"), 404, "unknown-model")["known"] == known


def test_with_several_models_one_must_be_named(ask: Ask) -> None:
    assert "demo, text" in assert_problem(ask(model=None), 422, "input")["detail"]


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"prompt": " "}, "empty-prompt", "prompt is empty"),
        ({"sources": []}, "no-source", "no source"),
        ({"sources": [" ", {"text": ""}]}, "no-source", "no source"),
        ({"sources": [{"text": "a", "name": "a\nb"}]}, "text", "line break"),
        ({"output": " "}, "empty-output", "output is empty"),
        ({"method": "no-such"}, "unknown-method", "attention"),
        ({"method": ["attention", "attention"]}, "input", "different"),
        ({"method": "attention", "model": "text"}, "unsupported", "text"),
        ({"attention": True, "model": "text", "method": "attention"}, "unsupported", "text"),
        ({"parameters": {"layers": [7]}}, "unknown-layer", "known: 0"),
        ({"parameters": {"heads": 10**30}}, "unknown-layer", "known: 0"),
        ({"parameters": {"layers": "all of them"}}, "input", "index"),
        ({"parameters": {"no_such": 1}}, "input", "layers"),
        ({"parameters": {"progress": 1, "prompt": "x"}}, "input", "progress, prompt"),
        ({"prompt": [{"role": "user", "content": "Do."}]}, "input", "messages"),
    ],
)
def test_what_cannot_be_explained_is_422(ask: Ask, changes: dict[str, Any], kind: str, words: str) -> None:
    assert words in assert_problem(ask(**changes), 422, kind)["detail"]


def test_a_text_that_does_not_fit_says_by_how_much(ask: Ask) -> None:
    response = ask(model="demo", sources=["The patient has asthma. " * 1000])
    document = assert_problem(response, 422, "context-length")
    assert document["limit_tokens"] == 1024
    assert document["tokens"] > document["limit_tokens"]
    assert document["excess_tokens"] > 0
    assert ask(model="demo", sources=["The patient has asthma. " * 1000], truncate=True).status_code == 200


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"prompt": 5}, "/prompt"),
        ({"sources": MARK}, "/sources"),
        ({"sources": [{"text": 5, "name": MARK}]}, "/sources/0/text"),
        ({"sources": [{"name": MARK}]}, "/sources/0/text"),
        ({"sources": [{"text": "a", "metadata": {MARK: 5}}]}, "/sources/0/metadata"),
        ({"sources": [{"text": "a", MARK: MARK}]}, "/sources/0"),
        ({"segment_by": MARK}, "/segment_by"),
        ({"target_by": MARK}, "/target_by"),
        ({"max_tokens": MARK}, "/max_tokens"),
        ({"max_tokens": 0}, "/max_tokens"),
        ({"max_tokens": 10**30}, "/max_tokens"),
        ({"seed": -1}, "/seed"),
        ({"detail": MARK}, "/detail"),
        ({"attention": MARK}, "/attention"),
        ({"method": []}, "/method"),
        ({"output": [MARK]}, "/output"),
        ({"parameters": MARK}, "/parameters"),
        ({MARK: MARK}, ""),
        ({"prompt": [{"role": MARK, "content": MARK}]}, "/prompt/0/role"),
        ({"prompt": [{"role": "user", "content": [{"text": MARK, MARK: 1}]}]}, "/prompt/0/content/0"),
    ],
)
def test_a_field_of_the_wrong_kind_says_where_and_not_what(
    server: Server, ask: Ask, changes: dict[str, Any], pointer: str
) -> None:
    response = ask(**changes)
    document = assert_problem(response, 422, "invalid-request")
    assert pointer in [error["pointer"] for error in document["errors"]]
    assert MARK not in response.text
    assert MARK not in server.logged


def test_a_parameter_of_the_wrong_kind_is_named(ask: Ask) -> None:
    (error,) = assert_problem(ask(query=f"?attention={MARK}"), 422, "invalid-request")["errors"]
    assert error["parameter"] == "attention"
    assert MARK not in error["detail"]


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [
        (b"", 422, "invalid-request"),
        (b"{", 422, "invalid-request"),
        (b'{"prompt": "' + MARK.encode() + b'"', 422, "invalid-request"),
        (b"[]", 422, "invalid-request"),
        (b"null", 422, "invalid-request"),
        (b'"text"', 422, "invalid-request"),
        (b"\xff\xfe\xfd", 400, "bad-request"),
        (b'{"prompt": "\xff"}', 400, "bad-request"),
        (b"[" * 100_000, 400, "bad-request"),
        (b'{"a":' * 100_000, 400, "bad-request"),
        (b"1" * 100_000, 400, "bad-request"),
    ],
)
def test_what_is_no_json_is_a_problem(client: httpx.Client, content: bytes, status: int, kind: str) -> None:
    response = client.post("/v1/explanations", content=content, headers={"Content-Type": "application/json"})
    assert_problem(response, status, kind)
    assert MARK not in response.text


@pytest.mark.parametrize("media_type", [None, "text/plain", "application/xml", "multipart/form-data", "x"])
def test_another_kind_of_body_is_415(client: httpx.Client, media_type: str | None) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    response = client.post("/v1/explanations", content=json.dumps(body()), headers=headers)
    assert_problem(response, 415, "unsupported-media-type")


@pytest.mark.parametrize("path", ["/v1", "/v1/explanations/", "/v2/models", "/v1/models/", "/" + MARK])
def test_a_path_that_is_not_there_is_404(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    if path == "/v1/explanations/":
        assert response.status_code in (404, 405)
    else:
        assert_problem(response, 404, "not-found")
    assert MARK not in response.text


def test_another_method_is_405(client: httpx.Client) -> None:
    response = client.delete("/v1/explanations")
    assert_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("times", [2, 20])
def test_a_large_body_is_413(client: httpx.Client, times: int) -> None:
    headers = {"Content-Type": "application/json"}
    try:
        response = client.post("/v1/explanations", content=LARGE * times, headers=headers)
    except (httpx.WriteError, httpx.ReadError):
        assert times > 2, "the answer to a body of less than the double is heard"
        return
    assert assert_problem(response, 413, "body-too-large")["limit_bytes"] == 2_000_000


def raw(server: Server, data: bytes) -> bytes:
    """What a server answers to these bytes."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(data)
        while part := connection.recv(65536):
            answer += part
    return answer


def test_a_body_that_does_not_come_is_408(server: Server) -> None:
    answer = raw(server, b"POST /v1/explanations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"/problems/request-timeout" in answer


@pytest.mark.parametrize(
    "data", [b"NO SUCH THING\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\r\n\r\n"]
)
def test_what_is_no_http_is_a_problem(server: Server, data: bytes) -> None:
    head, _, content = raw(server, data).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in head
    assert json.loads(content)["type"] == "/problems/bad-request"


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "", b"localhost:\xb2"]
)
@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/docs", "/nowhere"])
def test_another_host_is_421(client: httpx.Client, host: str | bytes, path: str) -> None:
    response = client.get(path, headers=[(b"Host", host)] if isinstance(host, bytes) else {"Host": host})
    assert_problem(response, 421, "unknown-host")
    assert "evil" not in response.text


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:", "LOCALHOST:9", "127.0.0.1:1", "[::1]", "[::1]:8000"]
)
def test_this_machine_has_several_names(client: httpx.Client, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_a_model_that_is_late_is_504(ask: Ask, server: Server) -> None:
    document = assert_problem(ask(model="late"), 504, "timeout")
    assert document["limit_seconds"] == 0.3
    assert server.figure("whence_running", model="late") == 0
    assert server.figure("whence_explanations_total", model="late", outcome="timeout") >= 1


BROKEN = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from whence.providers.registry import PROVIDERS, Entry
PROVIDERS["broken"] = Entry(factory="broken:Broken", about="fails")
from whence.api.cli import main
main()
"""
MODULE = '''
import logging, sys, threading, warnings
from whence.providers.fake import FakeProvider

class Broken(FakeProvider):
    """Says the record wherever a library could: in errors, logs, warnings, threads."""
    async def generate(self, prompt, **options):
        text = prompt.sources[0].text
        logging.getLogger("a.library").error("read %s", text)
        logging.getLogger("a.library").info(text, extra={"text": text})
        warnings.warn(text)
        thread = threading.Thread(target=lambda: int(text))
        thread.start()
        thread.join()
        try:
            int(text)
        except ValueError as error:
            raise RuntimeError(f"cannot use {text}") from error
'''


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_an_unexpected_error_is_told_without_its_message(
    start: Any, tmp_path_factory: pytest.TempPathFactory, accept: str
) -> None:
    folder = tmp_path_factory.mktemp("broken")
    (folder / "broken.py").write_text(MODULE)
    server = start(
        '[server]\nlog_level = "debug"\n[models.broken]\nprovider = "broken"\n',
        [sys.executable, "-c", BROKEN, str(folder)],
    )
    with connect(server) as client:
        response = client.post(
            "/v1/explanations", json=body(model=None, sources=[MARK]), headers={"Accept": accept}
        )
    assert MARK not in response.text
    if accept == "application/json":
        document = assert_problem(response, 500, "internal")
    else:
        assert response.text.count("event: problem") == 1
        document = json.loads(response.text.rpartition("data: ")[2])
        assert document["type"] == "/problems/internal"
    line = server.line_of(response.headers["x-request-id"], exception="RuntimeError")
    assert document["instance"] == f"urn:uuid:{line['request']}"
    assert any(frame.startswith("broken.py:") and frame.endswith(" generate") for frame in line["frames"])
    assert MARK not in server.logged
    assert [line for line in server.lines if line.get("place", "").startswith("broken.py:")], "not logged"
    assert [line for line in server.lines if line.get("exception") == "ValueError"], "the thread's error"
