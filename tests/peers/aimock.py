"""aimock: the wire formats of Claude and of Gemini on Vertex AI, as somebody else wrote them down."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from tests.servers.anthropic import API_KEY
from tests.servers.faults import Fault, Kind
from tests.servers.google_credentials import ACCESS_TOKEN

HERE = Path(__file__).parent
STOP_SECONDS = 10.0


def absent() -> str:
    """Why aimock cannot be started here; empty where it can."""
    if shutil.which("node") is None:
        return "aimock needs Node.js 20.15 or newer, and there is no node on the path"
    if not (HERE / "node_modules" / "@copilotkit" / "aimock").is_dir():
        return "aimock is not installed: run 'make peers', with npm and Node.js 20.15 or newer"
    return ""


def says(content: str, **fields: Any) -> dict[str, Any]:
    return {"response": {"content": content, **fields}}


def refuses(status: int, kind: str, message: str) -> dict[str, Any]:
    return {"response": {"error": {"type": kind, "message": message}, "status": status}}


ALIKE: dict[Kind, dict[str, Any]] = {
    # aimock's own faults, whose errors have the shape of neither API
    "server_error": {**says("Allergic"), "chaos": {"dropRate": 1}},
    "malformed_json": {**says("Allergic"), "chaos": {"malformedRate": 1}},
    "cut_connection": {**says("Allergic to latex."), "chunkSize": 4, "truncateAfterChunks": 3},
    "slow_body": {
        **says("Allergic to latex.", usage={"input_tokens": 50, "output_tokens": 9}),
        "chunkSize": 2,
        "latency": 100,  # milliseconds, before each part
    },
    "no_text": says(""),
    "max_tokens": says("Allergic to", finishReason="length"),
    "thinking_only": says("", reasoning="Is anybody allergic?", finishReason="length"),
}
CLAUDE: dict[Kind, dict[str, Any]] = ALIKE | {
    "rate_limit": refuses(429, "rate_limit_error", "This request would exceed your rate limit."),
    "overloaded": refuses(529, "overloaded_error", "Overloaded"),
    "wrong_key": refuses(401, "authentication_error", "invalid x-api-key"),
    "echo_key": refuses(401, "authentication_error", f"{API_KEY} is not known"),
    "quota": refuses(402, "billing_error", "Your credit balance is too low."),
    "context_length": refuses(400, "invalid_request_error", "prompt is too long: 900 tokens > 800 maximum"),
    "refusal": says("", finishReason="refusal"),
}
GEMINI: dict[Kind, dict[str, Any]] = ALIKE | {
    "rate_limit": refuses(429, "RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later."),
    "overloaded": refuses(503, "UNAVAILABLE", "The model is overloaded."),
    "wrong_key": refuses(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."),
    "echo_key": refuses(401, "UNAUTHENTICATED", f"{ACCESS_TOKEN} is not known"),
    "context_length": refuses(
        400, "INVALID_ARGUMENT", "The input token count (900) exceeds the limit (800)."
    ),
    "refusal": says("", finishReason="content_filter"),
}


class Faults:
    """What the next calls meet, as the deque of a local server."""

    def __init__(self, control: httpx.Client, known: Mapping[Kind, dict[str, Any]]) -> None:
        self._control, self._known = control, known
        self._contexts: dict[Fault, str] = {}

    def extend(self, faults: Iterable[Fault | None]) -> None:
        """Queue faults; None lets a call through. Skips the test where aimock has no such fault."""
        queued = list(faults)
        for fault in queued:
            if fault is not None and fault.kind not in self._known:
                pytest.skip(f"aimock cannot tell {fault.kind} as this API does")
        new = {fault for fault in queued if fault is not None} - self._contexts.keys()
        self._contexts |= {fault: f"fault {number}" for number, fault in enumerate(new, len(self._contexts))}
        fixtures = [self._fixture(fault) for fault in new]
        due = [fault and self._contexts[fault] for fault in queued]
        self._control.post("/due", json={"fixtures": fixtures, "due": due}).raise_for_status()

    def __len__(self) -> int:
        return int(self._control.get("/due").json()["due"])

    def _fixture(self, fault: Fault) -> dict[str, Any]:
        fixture = {"match": {"context": self._contexts[fault]}, **self._known[fault.kind]}
        if fault.retry_after_seconds is not None:
            fixture["response"] = {**fixture["response"], "retryAfter": fault.retry_after_seconds}
        return fixture


class Aimock:
    """A process of aimock, while its context is open; tests see it as they see a local server.

    `known`: the faults that it can have, as fixtures of aimock. Its journal is what counts calls and tokens.
    """

    def __init__(self, known: Mapping[Kind, dict[str, Any]]) -> None:
        self._known = known

    def __enter__(self) -> Self:
        node = shutil.which("node")
        assert node is not None
        self._process = subprocess.Popen(  # noqa: S603
            (node, "aimock.mjs"), cwd=HERE, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, "aimock did not start; what it said is on stderr"
        self._control = httpx.Client(base_url=self.url, trust_env=False)
        self.faults = Faults(self._control, self._known)
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        self._process.communicate(timeout=STOP_SECONDS)

    def forget(self) -> None:
        """Empty the journal, and drop the faults that nobody met."""
        self._control.delete("/due")
        self._control.post("/__aimock/reset/journal")
        self.spoil()

    def spoil(self, **rates: float) -> None:
        """Let calls fail in aimock's own ways, each at its rate, such as `disconnectRate`."""
        self._control.post("/__aimock/chaos", json=rates).raise_for_status()

    @property
    def latency_seconds(self) -> float:
        """Before each answer begins."""
        return float(self._control.get("/__aimock/chaos").json()["chaos"].get("latencyMs", 0)) / 1000

    @latency_seconds.setter
    def latency_seconds(self, seconds: float) -> None:
        self.spoil(latencyMs=round(seconds * 1000))

    @property
    def calls(self) -> int:
        return len(self._journal())

    @property
    def input_tokens(self) -> int:
        return self._billed("input_tokens")

    @property
    def output_tokens(self) -> int:
        return self._billed("output_tokens")

    @property
    def most_in_flight(self) -> int:
        return int(self._control.get("/due").json()["mostInFlight"])

    def _journal(self) -> list[dict[str, Any]]:
        return list(self._control.get("/__aimock/journal").json())

    def _billed(self, what: str) -> int:
        """Of the calls that were answered whole."""
        answers = [entry["response"] for entry in self._journal()]
        whole = [a for a in answers if a["status"] == 200 and not a.keys() & {"chaosAction", "interrupted"}]
        return sum(answer["fixture"]["response"].get("usage", {}).get(what, 0) for answer in whole)


AIMOCK_AS_CLAUDE = partial(Aimock, CLAUDE)
AIMOCK_AS_VERTEX = partial(Aimock, GEMINI)
