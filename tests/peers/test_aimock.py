"""What the contract does not ask: aimock's own ways to fail, and answers that come slowly."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from tests.contract.adapters import claude, gemini
from tests.peers.aimock import AIMOCK_AS_CLAUDE, AIMOCK_AS_VERTEX, Aimock, absent
from tests.servers.faults import Fault

from whence import ProviderError, RateLimitError, Step, UnavailableError
from whence.providers.base import Provider
from whence.providers.prompt import Message, Prompt

pytestmark = pytest.mark.skipif(bool(absent()), reason=absent() or "never")

PROMPT = Prompt(messages=(Message(role="user", content="The patient is allergic to latex."),))
PEERS = [(AIMOCK_AS_CLAUDE, claude), (AIMOCK_AS_VERTEX, partial(gemini, logprobs=False))]
Peer = tuple[Aimock, Provider]


@pytest.fixture(scope="module", params=PEERS, ids=["claude", "gemini"])
def started(request: pytest.FixtureRequest) -> Iterator[tuple[Aimock, Any]]:
    serve, make = request.param
    with serve() as server:
        yield server, make


@pytest.fixture
def peer(started: tuple[Aimock, Any]) -> Peer:
    server, make = started
    server.forget()
    return server, make(server)


@pytest.mark.parametrize(
    ("rate", "error"),
    [
        ("dropRate", UnavailableError),
        ("malformedRate", UnavailableError),
        ("disconnectRate", UnavailableError),
        ("rateLimitRate", RateLimitError),
    ],
)
def test_errors_of_another_shape_are_known_by_their_status(
    peer: Peer, rate: str, error: type[ProviderError]
) -> None:
    server, provider = peer
    server.spoil(**{rate: 1})
    with pytest.raises(error) as caught:
        asyncio.run(provider.generate(PROMPT, max_tokens=20, seed=0))
    assert type(caught.value) is error
    assert server.calls == 1
    if isinstance(caught.value, RateLimitError):
        assert caught.value.retry_after_seconds == 1


def test_a_slow_answer_is_told_as_it_grows(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whence.providers.base.TOLD_EVERY_SECONDS", 0.0)
    server, provider = peer
    server.faults.extend([Fault(kind="slow_body")])
    steps: list[Step] = []
    answer = asyncio.run(provider.generate(PROMPT, max_tokens=20, seed=0, progress=steps.append))
    assert (answer.text, answer.prompt_tokens, answer.output_tokens) == ("Allergic to latex.", 50, 9)
    done = [step.done for step in steps]
    assert len(done) > 2
    assert done == sorted(done)
    assert done[0] < done[-1] == 9
