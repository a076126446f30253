"""What the bundled model answers in the place of Claude, and what that costs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import count
from typing import Any

from tests.servers.answers import sentences, writer
from tests.servers.anthropic_errors import too_long
from tests.servers.anthropic_messages import THOUGHT, Answer, text_blocks, thought, tool_use
from tests.servers.anthropic_models import Model
from tests.servers.anthropic_requests import Asked, Prefix, Sampled, documents, prefixes, turns
from tests.servers.anthropic_tools import made, offered
from tests.servers.faults import Fault
from tests.servers.scripts import ToolCall, next_call

CUT_TOKENS = 8
CACHEABLE_TOKENS = 64
"""A shorter prefix is not cached. The real limit is 1024 or more, which the bundled model could not read."""
REFUSAL = {"type": "refusal", "category": "bio", "explanation": "This request was declined."}


class Answers:
    """Writes answers; may be asked from any thread.

    `temperature`: at which it writes where a request does not say it. `max_input_tokens`: what a model can
    read, with its answer.
    """

    def __init__(self, *, temperature: float, max_input_tokens: int) -> None:
        self.temperature, self.max_input_tokens = temperature, max_input_tokens
        self.cache = Cache()
        self._numbers = count()

    def answer(
        self, asked: Asked, model: Model, fault: Fault | None, script: Sequence[ToolCall] = ()
    ) -> Answer:
        """Answer, or refuse, or say too little, as the fault wants; or call a tool, as the script wants.

        Raises ApiError for too long a prompt.
        """
        call = next_call(script, offered=offered(asked.tools, asked.tool_choice), made=made(asked.messages))
        kind, number = fault.kind if fault else None, next(self._numbers)
        total = writer().count(turns(asked))
        if total > self.max_input_tokens:
            raise too_long(total, self.max_input_tokens)
        limit = min(asked.max_tokens, self.max_input_tokens - total)
        cut = "max_tokens" if limit == asked.max_tokens else "model_context_window_exceeded"
        thinking_tokens = limit if kind == "thinking_only" else min(limit, _thinking_tokens(asked, model))
        content: list[dict[str, Any]] = []
        text_tokens, stop_reason = 0, "end_turn"
        if thinking_tokens:
            content.append(thought(shown=asked.thinking is None or asked.thinking.display != "omitted"))
        if kind == "refusal":
            content, thinking_tokens, stop_reason = [], 0, "refusal"
        elif thinking_tokens == limit:
            stop_reason = cut
        elif kind == "no_text":
            pass
        elif call is not None:
            content.append(tool_use(call, number))
            text_tokens, stop_reason = writer().count([("assistant", call.text)]), "tool_use"
        else:
            room = limit - thinking_tokens
            written = writer().write(
                turns(asked),
                max_tokens=min(room, CUT_TOKENS) if kind == "max_tokens" else room,
                temperature=self._temperature(asked),
                seed=number,
            )
            content += _text_blocks(asked, written.text)
            text_tokens = written.output_tokens
            stop_reason = "end_turn" if written.finish == "stop" else cut
        return Answer(
            model=model.id,
            message_id=f"msg_{number:024d}",
            content=content,
            stop_reason=stop_reason,
            stop_details=REFUSAL if stop_reason == "refusal" else None,
            input_usage=self.cache.usage(prefixes(asked), total),
            output_tokens=thinking_tokens + text_tokens,
            thinking_tokens=thinking_tokens,
        )

    def _temperature(self, asked: Asked) -> float:
        given = asked.temperature if isinstance(asked, Sampled) else None
        return self.temperature if given is None else given


def _thinking_tokens(asked: Asked, model: Model) -> int:
    wanted = asked.thinking is not None and asked.thinking.type in ("adaptive", "enabled")
    return writer().count([("assistant", THOUGHT)]) if model.always_thinks or wanted else 0


def _text_blocks(asked: Asked, text: str) -> list[dict[str, Any]]:
    """The answer, cut where its citations change."""
    cited = [document for document in documents(asked) if document.cited]
    if not cited:
        return text_blocks(text, [], [[] for _ in sentences(text)])
    passages = [block for document in cited for block in document.blocks]
    return text_blocks(text, cited, writer().claims(turns(asked), text, passages))


class Cache:
    """Which beginnings of prompts were read before; kept until it is cleared, whatever their lifetime."""

    def __init__(self) -> None:
        self._kept: set[str] = set()
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._kept.clear()

    def usage(self, marked: Sequence[Prefix], total_tokens: int) -> dict[str, Any]:
        """How many tokens of a prompt are read from the cache, written to it, or neither.

        `marked`: the beginnings that the request wants to be kept, shortest first.
        """
        counted = ((min(writer().count(prefix.turns), total_tokens), prefix) for prefix in marked)
        kept = [(tokens, prefix) for tokens, prefix in counted if tokens >= CACHEABLE_TOKENS]
        with self._lock:
            read = max((tokens for tokens, prefix in kept if prefix.digest in self._kept), default=0)
            self._kept.update(prefix.digest for _, prefix in kept)
        at, created = read, {"5m": 0, "1h": 0}
        for tokens, prefix in kept:
            created[prefix.ttl] += max(0, tokens - at)
            at = max(at, tokens)
        return {
            "input_tokens": total_tokens - at,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": at - read,
            "cache_creation": {f"ephemeral_{ttl}_input_tokens": tokens for ttl, tokens in created.items()},
        }
