"""The shortest ways to ask an adapter, and what its server was asked."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.servers.ollama import OllamaServer
from tests.servers.ollama_runner import runner

from whence.providers.observations import Generation, TokenScores
from whence.providers.ollama import Ollama
from whence.providers.prompt import Prompt

MAX_TOKENS = 96
HOSTILE = {
    "quotes": 'He said "no" and \\"maybe\\".',
    "lines": "One.\nTwo.\r\n\tThree.",
    "backslashes": "C:\\new\\table \\u0041 \\",
    "emoji": "\U0001f469\u200d\u2695\ufe0f is \U0001f642.",
    "scripts": "你好，世界。 \u202eمرحبا\u202c e\u0301",
    "controls": "a\x00b\x1fc\x85d\u2028e\u2029f\x7f",
    "braces": '{"const": [1, null]}',
    "blanks": "  a \n\n ",
}


def answer(provider: Ollama, prompt: Prompt, *, max_tokens: int = MAX_TOKENS) -> Generation:
    return asyncio.run(provider.generate(prompt, max_tokens=max_tokens, seed=0))


def score(provider: Ollama, prompt: Prompt, output: str) -> TokenScores:
    (scores,) = asyncio.run(provider.score([prompt], output))
    return scores


def chats(server: OllamaServer) -> list[dict[str, Any]]:
    return [seen.body for seen in server.seen if seen.path == "/api/chat"]


def rendered(prompt: Prompt) -> list[int]:
    said = [{"role": turn.role, "content": turn.text} for turn in prompt.turns()]
    return runner().encode(runner().render(said))
