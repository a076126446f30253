"""A made-up model of an API: it takes a key, and fails as APIs do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from whence.providers.base import Capabilities
from whence.providers.errors import (
    AuthenticationError,
    CutError,
    ProviderError,
    QuotaError,
    RefusedError,
    UnavailableError,
    UnknownModelError,
)
from whence.providers.fake import FakeProvider
from whence.providers.observations import Generation
from whence.providers.prompt import Prompt
from whence.providers.registry import PROVIDERS, Entry

ENTRY = Entry(factory="tests.api.hosted:Hosted", about="made up")
PROGRAM = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from tests.api.hosted import main
main()
"""
COMMAND = [sys.executable, "-c", PROGRAM, str(Path(__file__).parents[2])]
"""The program, with this provider as `hosted`."""

FAULTS: dict[str, Callable[[str], Exception]] = {
    "key": lambda said: AuthenticationError(f"no such key; asked: {said}", request_id="req_1"),
    "quota": lambda said: QuotaError(f"no credit is left; asked: {said}", request_id=f"no id: {said}"),
    "refused": lambda said: RefusedError(f"it would not answer: {said}"),
    "cut": lambda said: CutError(f"cut at 5 tokens: {said}"),
    "provider": lambda said: ProviderError(f"400: {said}"),
    "away": lambda said: UnavailableError(f"overloaded: {said}", retry_after_seconds=0.1),
    "unknown": lambda said: UnknownModelError("model", said, []),
}


@dataclass(kw_only=True, eq=False)
class Hosted(FakeProvider):
    """`fails`: of FAULTS, when it is `asked` or `loaded`, with what it was asked in the message."""

    api_key: str = ""
    timeout_seconds: float = 120.0
    fails: str = ""
    when: Literal["asked", "loaded"] = "asked"

    async def capabilities(self) -> Capabilities:
        if self.fails and self.when == "loaded":
            raise FAULTS[self.fails]("nothing")
        return await super().capabilities()

    async def generate(self, prompt: Prompt, **options: Any) -> Generation:
        if self.fails == "bug":
            raise RuntimeError(f"Illegal header value b'Bearer {self.api_key}': {prompt.sources[0].text}")
        if self.fails:
            raise FAULTS[self.fails](prompt.sources[0].text)
        return await super().generate(prompt, **options)


def main() -> None:
    from whence.api import cli

    PROVIDERS["hosted"] = ENTRY
    cli.main()
