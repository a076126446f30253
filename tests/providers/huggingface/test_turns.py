"""Turns are taken by one task at a time, in order, across threads and event loops."""

from __future__ import annotations

import asyncio
import random
import threading

from whence.providers.turns import Turns


def test_first_come_first_served() -> None:
    turns = Turns()
    order: list[int] = []

    async def take(number: int) -> None:
        async with turns.turn():
            order.append(number)
            await asyncio.sleep(0)

    async def main() -> None:
        async with turns.turn():
            tasks = [asyncio.create_task(take(number)) for number in range(20)]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert order == list(range(20))


def test_who_gives_up_loses_the_place_and_holds_up_nobody() -> None:
    turns = Turns()
    order: list[str] = []

    async def take(name: str) -> None:
        async with turns.turn():
            order.append(name)

    async def main() -> None:
        async with turns.turn():
            impatient = asyncio.create_task(take("impatient"))
            patient = asyncio.create_task(take("patient"))
            await asyncio.sleep(0)
            impatient.cancel()
            await asyncio.sleep(0)
        await patient
        assert impatient.cancelled()

    asyncio.run(main())
    assert order == ["patient"]


def test_a_turn_that_comes_in_the_moment_of_giving_up_goes_to_the_next() -> None:
    turns = Turns()

    async def take() -> None:
        async with turns.turn():
            pass

    async def main() -> None:
        holding = turns.turn()
        await holding.__aenter__()
        first, second = asyncio.create_task(take()), asyncio.create_task(take())
        await asyncio.sleep(0)
        await holding.__aexit__(None, None, None)  # hands over to the first, which has not woken yet
        first.cancel()
        await asyncio.wait_for(second, 30)
        assert first.cancelled()

    asyncio.run(main())


def test_one_at_a_time_across_threads_with_some_who_give_up() -> None:
    turns = Turns()
    inside = 0
    most = 0
    taken = 0

    async def take(rng: random.Random) -> None:
        nonlocal inside, most, taken
        async with turns.turn():
            inside += 1
            most = max(most, inside)
            try:
                await asyncio.sleep(rng.random() / 2000)
                taken += 1
            finally:
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
    threads = [threading.Thread(target=lambda seed=seed: asyncio.run(work(seed))) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(ended) == 6, "somebody waits for ever"
    assert most == 1
    assert taken > 0
    asyncio.run(take(random.Random(0)))  # nobody left with the turn
