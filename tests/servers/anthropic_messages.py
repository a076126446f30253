"""An answer as the Anthropic API gives it: blocks of content with citations, usage, events of a stream."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.servers.answers import sentences
from tests.servers.anthropic_blocks import Document
from tests.servers.scripts import ToolCall

Json = dict[str, Any]

THOUGHT = "First I read what was given, and then I answer what was asked."
SIGNATURE = "c2lnbmF0dXJlIG9mIGEgdGhvdWdodA=="
DELTA_CHARACTERS = 16


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`content`, and how it ended. `input_usage`: the fields of usage that count what was read."""

    model: str
    message_id: str
    content: list[Json]
    stop_reason: str
    input_usage: Json
    output_tokens: int
    thinking_tokens: int = 0
    stop_details: Json | None = None

    @property
    def input_tokens(self) -> int:
        """All that was read, from the cache or not."""
        names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        return sum(self.input_usage[name] for name in names)

    @property
    def usage(self) -> Json:
        return self.input_usage | {
            "output_tokens": self.output_tokens,
            "output_tokens_details": {"thinking_tokens": self.thinking_tokens},
        }

    def message(self) -> Json:
        """The body of an answer that is not streamed."""
        return {
            "id": self.message_id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": self.content,
            "stop_reason": self.stop_reason,
            "stop_sequence": None,
            "stop_details": self.stop_details,
            "usage": self.usage | {"service_tier": "standard"},
        }

    def events(self) -> Iterator[Json]:
        """The events of a stream."""
        begun: Json = {"content": [], "stop_reason": None, "stop_details": None}
        usage = self.input_usage | {"output_tokens": 1, "service_tier": "standard"}
        yield {"type": "message_start", "message": self.message() | begun | {"usage": usage}}
        for index, block in enumerate(self.content):
            yield {"type": "content_block_start", "index": index, "content_block": _opened(block)}
            if index == 0:
                yield {"type": "ping"}
            for delta in _deltas(block):
                yield {"type": "content_block_delta", "index": index, "delta": delta}
            yield {"type": "content_block_stop", "index": index}
        ending = {
            "stop_reason": self.stop_reason,
            "stop_sequence": None,
            "stop_details": self.stop_details,
        }
        yield {"type": "message_delta", "delta": ending, "usage": self.usage}
        yield {"type": "message_stop"}


def encoded(event: Json) -> bytes:
    """An event on the wire."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _opened(block: Json) -> Json:
    if block["type"] == "thinking":
        return {"type": "thinking", "thinking": "", "signature": ""}
    if block["type"] == "tool_use":
        return block | {"input": {}}
    return {"type": "text", "text": ""} | ({"citations": []} if block["citations"] else {})


def _deltas(block: Json) -> Iterator[Json]:
    kind = block["type"]
    if kind == "tool_use":
        for part in ["", *_parts(json.dumps(block["input"]))]:
            yield {"type": "input_json_delta", "partial_json": part}
        return
    for citation in block.get("citations") or ():
        yield {"type": "citations_delta", "citation": citation}
    for part in _parts(block[kind]):
        yield {"type": f"{kind}_delta", kind: part}
    if kind == "thinking":
        yield {"type": "signature_delta", "signature": block["signature"]}


def _parts(text: str) -> list[str]:
    return re.findall(rf".{{1,{DELTA_CHARACTERS}}}", text, flags=re.DOTALL)


def thought(*, shown: bool) -> Json:
    """A block of thinking; not `shown`, there is only its signature."""
    return {"type": "thinking", "thinking": THOUGHT if shown else "", "signature": SIGNATURE}


def tool_use(call: ToolCall, number: int) -> Json:
    """A call of a tool. `number`: of the answer."""
    return {
        "type": "tool_use",
        "id": f"toolu_{number:024d}",
        "name": call.name,
        "input": dict(call.arguments),
    }


def text_blocks(text: str, cited: Sequence[Document], claims: Sequence[Sequence[int]]) -> list[Json]:
    """The answer, in blocks that each rest on the same passages.

    `claims`: for each sentence the passages it cites, by index into the blocks of all `cited` documents.
    """
    blocks: list[Json] = []
    for sentence, passages in zip(sentences(text), claims, strict=True):
        citations = _citations(cited, passages)
        if blocks and citations is None and blocks[-1]["citations"] is None:
            blocks[-1]["text"] += sentence
        else:
            blocks.append({"type": "text", "text": sentence, "citations": citations})
    return blocks


def _citations(cited: Sequence[Document], passages: Sequence[int]) -> list[Json] | None:
    """Neighbours are cited as one."""
    places = [(index, place) for index, document in enumerate(cited) for place in range(len(document.blocks))]
    runs: list[tuple[int, int, int]] = []
    for passage in passages:
        index, place = places[passage]
        if runs and (runs[-1][0], runs[-1][2]) == (index, place):
            runs[-1] = (index, runs[-1][1], place + 1)
        else:
            runs.append((index, place, place + 1))
    return [_location(index, cited[index], start, end) for index, start, end in runs] or None


def _location(index: int, document: Document, start: int, end: int) -> Json:
    text = "".join(document.blocks[start:end])
    location: Json = {"cited_text": text, "document_index": index, "document_title": document.title}
    if document.source.type == "content":
        return location | {
            "type": "content_block_location",
            "start_block_index": start,
            "end_block_index": end,
        }
    first = len("".join(document.blocks[:start]))
    return location | {
        "type": "char_location",
        "start_char_index": first,
        "end_char_index": first + len(text),
    }
