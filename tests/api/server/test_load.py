"""Many at once, more than there is room for, and clients who leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.api.server.conftest import (
    FOREVER_SECONDS,
    LIMITS,
    PATIENCE_SECONDS,
    Server,
    Start,
    assert_problem,
    body,
    connect,
    remember,
)

Ask = Callable[..., httpx.Response]
MANY = 100
STUCK = {"model": "stuck"}


def question(number: int) -> str:
    """A source whose one cue is its word of that number."""
    return " ".join(["x"] * number + ["alpha"] + ["y"] * (MANY - number))


async def ask_all(server: Server, model: str) -> list[httpx.Response]:
    async def hook(request: httpx.Request) -> None:
        remember(request)

    async with httpx.AsyncClient(
        base_url=server.url, timeout=PATIENCE_SECONDS, limits=LIMITS, event_hooks={"request": [hook]}
    ) as client:
        return await asyncio.gather(
            *(
                client.post(
                    "/v1/explanations", json=body(model=model, sources=[question(number)], segment_by="word")
                )
                for number in range(MANY)
            )
        )


def test_a_hundred_at_once_each_get_their_own_answer(server: Server) -> None:
    answers = asyncio.run(ask_all(server, "fake"))
    assert [answer.status_code for answer in answers] == [200] * MANY
    explanations = [answer.json() for answer in answers]
    assert len({explanation["id"] for explanation in explanations}) == MANY
    for number, explanation in enumerate(explanations):
        assert explanation["sources"][0]["text"] == question(number)
        (row,) = explanation["results"][0]["scores"]["values"]
        assert [index for index, score in enumerate(row) if score] == [number]
    for answer in answers:
        assert server.get(answer.headers["content-location"]).content == answer.content


def test_where_there_is_no_room_the_rest_are_told_when_to_come_back(server: Server) -> None:
    answers = asyncio.run(ask_all(server, "narrow"))
    explained = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(explained) + len(refused) == MANY
    assert len(explained) >= 10, "one at the model, and nine who wait"
    assert refused
    for answer in refused:
        document = assert_problem(answer, 503, "queue-full")
        assert int(answer.headers["retry-after"]) == document["retry_after_seconds"] >= 1
    assert server.figure("whence_running", model="narrow") == 0
    assert server.figure("whence_waiting", model="narrow") == 0


def stuck(server: Server) -> tuple[float, float]:
    """How many are at the model that never answers, and how many wait for it."""
    return server.figure("whence_running", model="stuck"), server.figure("whence_waiting", model="stuck")


def cancelled(server: Server) -> float:
    return server.figure("whence_explanations_total", model="stuck", outcome="cancelled")


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_a_client_that_leaves_gives_up_its_place(server: Server, accept: str) -> None:
    """The first runs, the second waits, the third finds no room; each that leaves makes room."""
    before = cancelled(server)
    headers = {"Accept": accept}

    async def come_and_go() -> None:
        def state(*wanted: float) -> Any:
            return asyncio.to_thread(server.wait_for, lambda: stuck(server) == wanted)

        async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_SECONDS) as client:

            def leave_later() -> asyncio.Task[httpx.Response]:
                return asyncio.create_task(
                    client.post("/v1/explanations", json=body(**STUCK), headers=headers)
                )

            first = leave_later()
            await state(1, 0)
            second = leave_later()
            await state(1, 1)
            third = await client.post("/v1/explanations", json=body(**STUCK), headers=headers)
            assert_problem(third, 503, "queue-full")
            second.cancel()
            await state(1, 0)
            second = leave_later()
            await state(1, 1)
            first.cancel()
            await state(1, 0)
            second.cancel()
            await state(0, 0)

    asyncio.run(come_and_go())
    server.wait_for(lambda: cancelled(server) == before + 3)
    if accept == "application/json":
        server.wait_for(lambda: any(line.get("status") == 499 for line in server.lines))


def test_a_model_stops_writing_when_its_reader_leaves(unready: Server) -> None:
    """One pass at a time: the second is answered only once the first has been stopped."""
    request = body(model="endless", sources=["The patient has asthma."], max_tokens=900_000)
    with connect(unready) as client:
        with client.stream(
            "POST", "/v1/explanations", json=request, headers={"Accept": "text/event-stream"}
        ) as response:
            for line in response.iter_lines():
                if '"generate"' in line:
                    break
        again = client.post("/v1/explanations", json=request | {"output": "The diagnosis is asthma."})
        assert again.status_code == 200
    assert unready.figure("whence_explanations_total", model="endless", outcome="cancelled") == 1


# Server-sent events.


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The name and data of each event."""
    found = []
    for block in text.replace("\r\n", "\n").strip().split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_progress_comes_as_events_and_then_the_explanation(ask: Ask, client: httpx.Client) -> None:
    request = {"model": "demo", "sources": ["The patient has asthma. It is mild.\u2028\x85\rNo fever."]}
    response = ask(**request, headers={"Accept": "text/event-stream"})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    *progress, (last, explanation) = events(response.text)
    assert last == "explanation"
    assert {name for name, _ in progress} == {"progress"}
    assert all(set(step) == {"stage", "done", "total"} for _, step in progress)
    assert {step["stage"] for _, step in progress} <= {"load", "generate", "attend"}
    plain = ask(**request).json()
    assert explanation["results"] == plain["results"]
    assert explanation["sources"] == plain["sources"]
    assert client.get(f"/v1/explanations/{explanation['id']}").json() == explanation


@pytest.mark.parametrize(
    ("changes", "kind", "status"),
    [
        ({"prompt": " "}, "empty-prompt", 422),
        ({"parameters": {"layers": 9}}, "unknown-layer", 422),
        ({"model": "late"}, "timeout", 504),
        ({"model": "missing"}, "model-load", 500),
    ],
)
def test_what_goes_wrong_in_a_stream_is_its_last_event(
    ask: Ask, changes: dict[str, Any], kind: str, status: int
) -> None:
    response = ask(**changes, headers={"Accept": "text/event-stream"})
    name, document = events(response.text)[-1]
    assert name == "problem"
    assert (document["type"], document["status"]) == (f"/problems/{kind}", status)
    assert document["instance"] == f"urn:uuid:{response.headers['x-request-id']}"


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"model": "nobody"}, 404), ({"prompt": 5}, 422), ({"parameters": {"prompt": 5}}, 422)],
)
def test_what_is_known_to_be_wrong_before_has_a_status(
    ask: Ask, changes: dict[str, Any], status: int
) -> None:
    assert ask(**changes, headers={"Accept": "text/event-stream"}).status_code == status


@pytest.mark.parametrize(
    ("latency_seconds", "shutdown_seconds", "last"), [(3, 60, "explanation"), (FOREVER_SECONDS, 2, "problem")]
)
def test_a_stream_has_its_last_event_when_the_server_is_told_to_end(
    start: Start, latency_seconds: float, shutdown_seconds: int, last: str
) -> None:
    server = start(
        f"[server]\nshutdown_seconds = {shutdown_seconds}\n"
        f'[models.fake]\nprovider = "fake"\nlatency_s = {latency_seconds}\n'
    )
    with (
        connect(server, headers={"Accept": "text/event-stream"}) as client,
        client.stream("POST", "/v1/explanations", json=body()) as response,
    ):
        server.wait_for(lambda: server.figure("whence_running", model="fake") == 1)
        server.process.terminate()
        name, document = events(response.read().decode())[-1]
    assert name == last
    if last == "problem":
        assert (document["type"], document["status"]) == ("/problems/shutting-down", 503)
    server.process.wait(PATIENCE_SECONDS)
