"""Clients of SDKs cannot leave the event loop that made them: one for each loop, and always closed in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar
from weakref import finalize

Client = TypeVar("Client")


class ClientOfLoop(Generic[Client]):
    """A client for each running loop, closed by it: before it ends, or once nobody holds this object."""

    def __init__(self, close: Callable[[Client], Awaitable[None]]) -> None:
        self._close = close
        self._made: dict[asyncio.AbstractEventLoop, Client] = {}

    async def here(self, make: Callable[[], Client]) -> Client:
        """That of the running loop, made when it is first asked for."""
        loop = asyncio.get_running_loop()
        if loop not in self._made:
            for other in list(self._made):
                if other.is_closed():
                    self._made.pop(other, None)
            client = make()
            keeper = _kept(client, self._close)
            await anext(keeper)  # a loop shuts down the generators whose first step it ran
            # This holds the client, too: with what is collected, its sockets would go unclosed.
            finalize(self, _shut, loop, keeper).atexit = False
            self._made[loop] = client
        return self._made[loop]


async def _kept(client: Client, close: Callable[[Client], Awaitable[None]]) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        try:
            await close(client)
        except asyncio.CancelledError:  # a loop that ends cancels what still runs: this is to be done first
            await close(client)
            raise


_closing: dict[AsyncGenerator[None], asyncio.AbstractEventLoop] = {}
"""Held until they are closed: a loop that ends before closes them itself."""


def _shut(loop: asyncio.AbstractEventLoop, keeper: AsyncGenerator[None]) -> None:
    async def shut() -> None:
        await keeper.aclose()
        _closing.pop(keeper, None)

    for other, own in list(_closing.items()):
        if own.is_closed():
            _closing.pop(other, None)
    if not loop.is_closed():
        _closing[keeper] = loop
        asyncio.run_coroutine_threadsafe(shut(), loop)
