"""Several places at a time: never more, first come first served, and none is lost."""

from __future__ import annotations

import asyncio
import random
import threading
import time

import pytest

from whence.providers.turns import Turns


@pytest.mark.parametrize("places", [1, 2, 5])
def test_as_many_as_there_are_places_and_in_the_order_in_which_they_came(places: int) -> None:
    turns = Turns(places)
    order: list[int] = []
    inside = most = 0

    async def take(number: int) -> None:
        nonlocal inside, most
        async with turns.turn():
            order.append(number)
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.001)
            inside -= 1

    async def main() -> None:
        await asyncio.gather(*(take(number) for number in range(20)))

    asyncio.run(main())
    assert order == list(range(20))
    assert most == places


def test_who_comes_while_a_place_is_free_does_not_wait() -> None:
    turns = Turns(3)

    async def main() -> None:
        async with turns.turn(), turns.turn(), turns.turn():
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(turns.turn().__aenter__(), 0.02)
        async with asyncio.timeout(10), turns.turn(), turns.turn(), turns.turn():
            pass

    asyncio.run(main())


def test_those_who_give_up_lose_their_place_in_the_queue_and_nobody_elses() -> None:
    turns = Turns(2)
    order: list[str] = []

    async def take(name: str) -> None:
        async with turns.turn():
            order.append(name)
            await asyncio.sleep(0)

    async def main() -> None:
        async with turns.turn(), turns.turn():
            tasks = {name: asyncio.create_task(take(name)) for name in "abcdef"}
            await asyncio.sleep(0)
            for name in "ace":
                tasks[name].cancel()
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        assert all(tasks[name].cancelled() for name in "ace")

    asyncio.run(main())
    assert order == list("bdf")


def test_turns_that_come_in_the_moment_of_giving_up_go_to_the_next() -> None:
    turns = Turns(2)
    order: list[int] = []

    async def take(number: int) -> None:
        async with turns.turn():
            order.append(number)

    async def main() -> None:
        holding = [turns.turn(), turns.turn()]
        for held in holding:
            await held.__aenter__()
        tasks = [asyncio.create_task(take(number)) for number in range(4)]
        await asyncio.sleep(0)
        for held in holding:  # hand over to the first two, which have not woken yet
            await held.__aexit__(None, None, None)
        tasks[0].cancel()
        tasks[1].cancel()
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks, return_exceptions=True)
            assert order == [2, 3]
            async with turns.turn(), turns.turn():
                pass

    asyncio.run(main())


def test_an_error_inside_gives_the_place_back() -> None:
    turns = Turns(2)

    async def main() -> None:
        for _ in range(5):
            with pytest.raises(LookupError):
                async with turns.turn():
                    raise LookupError
        async with asyncio.timeout(10), turns.turn(), turns.turn():
            pass

    asyncio.run(main())


@pytest.mark.parametrize("places", [1, 3])
def test_across_threads_and_loops_with_some_who_give_up(places: int) -> None:
    turns = Turns(places)
    guard = threading.Lock()
    inside = most = taken = 0

    async def take(rng: random.Random) -> None:
        nonlocal inside, most, taken
        async with turns.turn():
            with guard:
                inside += 1
                most = max(most, inside)
            try:
                await asyncio.sleep(rng.random() / 1000)
                with guard:
                    taken += 1
            finally:
                with guard:
                    inside -= 1

    async def work(seed: int) -> None:
        rng = random.Random(seed)
        tasks = [asyncio.create_task(take(rng)) for _ in range(40)]
        for task in tasks:
            await asyncio.sleep(rng.random() / 2000)
            if rng.random() < 0.3:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        ended.append(seed)

    ended: list[int] = []
    threads = [threading.Thread(target=lambda seed=seed: asyncio.run(work(seed))) for seed in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(ended) == 5, "somebody waits for ever"
    assert most == places
    assert taken > 0

    async def all_places() -> None:
        async with asyncio.timeout(10):
            held = [turns.turn() for _ in range(places)]
            for turn in held:
                await turn.__aenter__()
            for turn in held:
                await turn.__aexit__(None, None, None)

    asyncio.run(all_places())


def test_who_waits_takes_no_thread_and_holds_up_no_loop() -> None:
    turns = Turns(2)

    async def main() -> float:
        async with turns.turn(), turns.turn():
            before = threading.active_count()
            waiting = [asyncio.create_task(turns.turn().__aenter__()) for _ in range(50)]
            began = time.monotonic()
            for _ in range(100):
                await asyncio.sleep(0)
            took = time.monotonic() - began
            assert threading.active_count() == before
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return took

    assert asyncio.run(main()) < 5
