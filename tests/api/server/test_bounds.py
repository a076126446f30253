"""What the service keeps is bounded, and its queue is fair."""

from __future__ import annotations

import asyncio
import json

import pytest
from starlette.testclient import TestClient
from tests.api.server.conftest import Server, Start, assert_problem, body, connect

from whence.api.server import create_app
from whence.api.service.logs import JsonLines
from whence.api.service.problems import ProblemError
from whence.api.service.queue import Queue
from whence.api.service.settings import ModelSettings, Settings
from whence.api.service.store import Kept, Store
from whence.providers.base import Capabilities
from whence.providers.fake import FakeProvider


def kept(name: str, size: int = 10, weights: int = 0) -> Kept:
    return Kept(id=name, owner="", document=b"x" * size, weights={("decoder", 0, 0): "y" * weights})


def names(store: Store) -> list[str]:
    return [name for name in "abcdef" if name in store]


def test_the_oldest_go_first_by_number() -> None:
    store = Store(limit=2, limit_bytes=1000)
    for name in "abc":
        store.add(kept(name))
    assert names(store) == ["b", "c"]
    assert (len(store), store.size_bytes) == (2, 20)
    with pytest.raises(ProblemError) as raised:
        store.get("a", "")
    assert raised.value.status == 404


def test_the_oldest_go_first_by_size_and_weights_count() -> None:
    store = Store(limit=10, limit_bytes=100)
    for name in "abc":
        store.add(kept(name, 10, 20))
    store.add(kept("d", 10, 40))
    assert names(store) == ["c", "d"]
    assert store.size_bytes == 80
    store.add(kept("e", 101))
    assert "e" not in store
    assert store.size_bytes <= 100


def test_what_is_kept_is_bounded_in_a_real_server(start: Start) -> None:
    server = start('[server]\nkept_explanations = 3\n[models.fake]\nprovider = "fake"\n')
    with connect(server) as client:
        places = [client.post("/v1/explanations", json=body()).headers["content-location"] for _ in range(5)]
        found = [client.get(place).status_code for place in places]
    assert found == [404, 404, 200, 200, 200]
    assert server.figure("whence_kept_explanations") == 3


def test_where_nothing_is_kept_no_place_is_told(start: Start) -> None:
    server = start('[server]\nkept_explanations = 0\n[models.fake]\nprovider = "fake"\n')
    with connect(server) as client:
        response = client.post("/v1/explanations", json=body())
        assert response.status_code == 200
        assert "content-location" not in response.headers
        assert_problem(client.get(f"/v1/explanations/{response.json()['id']}"), 404, "unknown-explanation")


def test_turns_come_in_the_order_of_asking() -> None:
    order: list[int] = []

    async def ask(queue: Queue, number: int) -> None:
        async with queue.turn():
            order.append(number)
            await asyncio.sleep(0)
            assert queue.running <= 2

    async def ask_all() -> Queue:
        queue = Queue(max_running=2, max_waiting=50)
        await asyncio.gather(*(ask(queue, number) for number in range(52)))
        return queue

    queue = asyncio.run(ask_all())
    assert order == list(range(52))
    assert (queue.running, queue.waiting) == (0, 0)


def test_who_finds_a_long_queue_is_told_to_stay_away_longer() -> None:
    async def told(waiting: int) -> int:
        queue = Queue(max_running=1, max_waiting=waiting)

        async def wait() -> None:
            async with queue.turn():
                await asyncio.Event().wait()

        tasks = [asyncio.create_task(wait()) for _ in range(1 + waiting)]
        await asyncio.sleep(0)
        with pytest.raises(ProblemError) as raised:
            queue.require_room()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (queue.running, queue.waiting) == (0, 0)
        return int((raised.value.headers or {})["Retry-After"])

    assert [asyncio.run(told(waiting)) for waiting in (0, 1, 9)] == [1, 2, 10]


def test_a_server_whose_model_cannot_be_loaded_is_not_ready_and_serves_the_others(unready: Server) -> None:
    unready.wait_for(lambda: "cannot be loaded" in unready.logged)
    response = unready.get("/readyz")
    document = assert_problem(response, 503, "model-load")
    assert "missing" in document["detail"]
    assert "retry-after" not in response.headers
    assert unready.get("/healthz").status_code == 200
    with connect(unready) as client:
        assert client.post("/v1/explanations", json=body()).status_code == 200


def test_a_load_that_fails_unexpectedly_is_logged_without_its_message(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(self: FakeProvider) -> Capabilities:
        raise RuntimeError("a message that may hold text")

    monkeypatch.setattr(FakeProvider, "capabilities", fail)
    app = create_app(Settings(models={"broken": ModelSettings(provider="fake")}))
    with TestClient(app, base_url="http://localhost") as client:
        while (response := client.get("/readyz")).json()["type"] == "/problems/not-ready":
            assert response.headers["retry-after"]
    assert response.json()["type"] == "/problems/model-load"
    assert "broken" in response.json()["detail"]
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    line = json.loads(JsonLines().format(record))
    assert (line["message"], line["exception"]) == ("the model broken cannot be loaded", "RuntimeError")
    assert "may hold text" not in json.dumps(line)


def test_a_model_that_is_loaded_at_the_start_makes_it_ready(server: Server) -> None:
    server.wait_for(lambda: server.get("/readyz").json() == {"status": "ready"})
