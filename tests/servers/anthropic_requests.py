"""What a request to the Anthropic API may say, and what the bundled model reads of it.

Fields that the local server has no use for (containers, stop sequences) are refused as unknown ones are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError
from tests.servers.answers import Turn
from tests.servers.anthropic_blocks import (
    CacheControl,
    Document,
    Message,
    Strict,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    joined,
)
from tests.servers.anthropic_errors import ApiError, invalid
from tests.servers.anthropic_models import MODELS, Model
from tests.servers.anthropic_tools import Tool, ToolChoice, check

Shape = TypeVar("Shape", bound="Counted")
_Read = Text | Document | ToolUse | ToolResult  # earlier thoughts are not read again


class ThinkingConfig(Strict):
    type: Literal["adaptive", "between_tools", "disabled", "enabled"]
    budget_tokens: int | None = Field(None, ge=1024)
    display: Literal["summarized", "omitted"] | None = None


class Metadata(Strict):
    user_id: str | None = None


class Counted(Strict):
    """The body of POST /v1/messages/count_tokens."""

    model: str
    messages: list[Message] = Field(min_length=1)
    system: str | list[Text] | None = None
    thinking: ThinkingConfig | None = None
    cache_control: CacheControl | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None


class Asked(Counted):
    """The body of POST /v1/messages."""

    max_tokens: int = Field(ge=1)
    stream: bool = False
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    inference_geo: str | None = None


class Sampled(Asked):
    """The same in the first version of the API."""

    temperature: float | None = Field(None, ge=0, le=1)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=0)


def read(body: Any, shape: type[Shape]) -> tuple[Shape, Model]:
    """Check a body, in the order in which the API would complain. Raises ApiError."""
    try:
        asked = shape.model_validate(body)
    except ValidationError as error:
        # Of the branches of a union, the one that came furthest is the one that was meant.
        told = max(error.errors(), key=lambda one: len(one["loc"]))
        raise invalid(f"{'.'.join(map(str, told['loc']))}: {told['msg']}") from error
    model = MODELS.get(asked.model)
    if model is None:
        raise ApiError(404, "not_found_error", f"model: {asked.model}")
    _check_texts(asked)
    check(asked.tools, asked.tool_choice, asked.messages)
    _check_model(asked, model)
    return asked, model


def _check_texts(asked: Counted) -> None:
    system = asked.system if isinstance(asked.system, list) else [asked.system]
    for given in system:
        _require_text("system", given.text if isinstance(given, Text) else given)
    for place, message in enumerate(asked.messages):
        if not message.content:
            raise invalid(f"messages.{place}: all messages must have non-empty content")
        for block in message.blocks:
            if isinstance(block, Text):
                _require_text("messages", block.text)
            elif isinstance(block, Document):
                for text in block.blocks or [""]:
                    _require_text(f"messages.{place}.document", text)
            elif isinstance(block, ToolResult) and not isinstance(block.content, str):
                for one in block.content:
                    _require_text("messages", one.text)
    if len({document.cited for document in documents(asked)}) > 1:
        raise invalid("messages: citations must be enabled on all of the documents, or on none of them")


def _require_text(where: str, text: str | None) -> None:
    if text == "":
        raise invalid(f"{where}: text content blocks must be non-empty")
    if text is not None and not text.strip():
        raise invalid(f"{where}: text content blocks must contain non-whitespace text")


def _check_model(asked: Counted, model: Model) -> None:
    if asked.messages[-1].role == "assistant":
        raise invalid(
            "This model does not support assistant message prefill. The conversation must end with a user "
            "message."
        )
    if asked.thinking is not None and asked.thinking.type not in model.thinking:
        raise invalid(f'"thinking.type.{asked.thinking.type}" is not supported for this model.')
    if isinstance(asked, Asked) and asked.max_tokens > model.max_tokens:
        raise invalid(
            f"max_tokens: {asked.max_tokens} > {model.max_tokens}, which is the maximum allowed number of "
            f"output tokens for {model.id}"
        )
    if isinstance(asked, Sampled) and not model.samples:
        for name in sorted(asked.model_fields_set & {"temperature", "top_p", "top_k"}):
            raise invalid(f"`{name}` is not supported for this model.")


def documents(asked: Counted) -> list[Document]:
    """Every document, in the order of their indices."""
    return [block for message in asked.messages for block in message.blocks if isinstance(block, Document)]


def turns(asked: Counted) -> list[Turn]:
    """What the bundled model reads."""
    return _turns(_flat(asked))


def _flat(asked: Counted) -> list[tuple[str, _Read]]:
    """Every block with its role, the system's first."""
    system = [Text(type="text", text=asked.system)] if isinstance(asked.system, str) else asked.system or []
    spoken = ((message.role, block) for message in asked.messages for block in message.blocks)
    return [
        *(("system", block) for block in system),
        *((role, block) for role, block in spoken if not isinstance(block, Thinking)),
    ]


def _turns(flat: Iterable[tuple[str, _Read]]) -> list[Turn]:
    """Turns of one role after the other are one."""
    found: list[tuple[str, list[str]]] = []
    for role, block in flat:
        if not found or found[-1][0] != role:
            found.append((role, []))
        found[-1][1].append(block.rendered)
    return [(role, joined(texts, "\n\n")) for role, texts in found]


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """What a breakpoint of the cache would keep."""

    digest: str
    turns: list[Turn]
    ttl: Literal["5m", "1h"]


def prefixes(asked: Counted) -> list[Prefix]:
    """One for each breakpoint, shortest first."""
    flat = _flat(asked)
    found: list[Prefix] = []
    for end, (_, block) in enumerate(flat, start=1):
        control = block.cache_control or (asked.cache_control if end == len(flat) else None)
        if control is not None:
            kept = [
                (role, block.model_dump(exclude={"cache_control"}, mode="json")) for role, block in flat[:end]
            ]
            tools = [tool.model_dump(exclude={"cache_control"}, mode="json") for tool in asked.tools or ()]
            digest = sha256(json.dumps([asked.model, tools, kept]).encode()).hexdigest()
            found.append(Prefix(digest=digest, turns=_turns(flat[:end]), ttl=control.ttl))
    return found
