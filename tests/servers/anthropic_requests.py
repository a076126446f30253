"""What a request to the Anthropic API may say, and what the bundled model reads of it.

Fields that the local server has no use for (tools, containers) are refused as unknown ones are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tests.servers.answers import Turn, sentences
from tests.servers.anthropic_errors import ApiError, invalid
from tests.servers.anthropic_models import MODELS, Model


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Shape = TypeVar("Shape", bound="Counted")


class CacheControl(_Strict):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] = "5m"


class Text(_Strict):
    type: Literal["text"]
    text: str
    cache_control: CacheControl | None = None
    citations: list[Any] | None = None  # of an earlier answer, sent back


class Thinking(_Strict):
    type: Literal["thinking"]
    thinking: str
    signature: str


class PlainText(_Strict):
    type: Literal["text"]
    media_type: Literal["text/plain"]
    data: str


class Blocks(_Strict):
    type: Literal["content"]
    content: str | list[Text]


class Citations(_Strict):
    enabled: bool = False


class Document(_Strict):
    type: Literal["document"]
    source: Annotated[PlainText | Blocks, Field(discriminator="type")]
    title: str | None = None
    context: str | None = None
    citations: Citations | None = None
    cache_control: CacheControl | None = None

    @property
    def cited(self) -> bool:
        return self.citations is not None and self.citations.enabled

    @property
    def blocks(self) -> list[str]:
        """The smallest parts that can be cited: the blocks given, or the sentences of a plain text."""
        if isinstance(self.source, PlainText):
            return sentences(self.source.data)
        content = self.source.content
        return [content] if isinstance(content, str) else [block.text for block in content]

    @property
    def rendered(self) -> str:
        context = f"{self.context}\n" if self.context else ""
        return f'<source name="{self.title or "document"}">\n{context}{_joined(self.blocks, " ")}\n</source>'


Block = Annotated[Text | Document | Thinking, Field(discriminator="type")]


class Message(_Strict):
    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class ThinkingConfig(_Strict):
    type: Literal["adaptive", "between_tools", "disabled", "enabled"]
    budget_tokens: int | None = Field(None, ge=1024)
    display: Literal["summarized", "omitted"] | None = None


class Metadata(_Strict):
    user_id: str | None = None


class Counted(_Strict):
    """The body of POST /v1/messages/count_tokens."""

    model: str
    messages: list[Message] = Field(min_length=1)
    system: str | list[Text] | None = None
    thinking: ThinkingConfig | None = None
    cache_control: CacheControl | None = None


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
    _check_model(asked, model)
    return asked, model


def _check_texts(asked: Counted) -> None:
    system = asked.system if isinstance(asked.system, list) else [asked.system]
    for given in system:
        _require_text("system", given.text if isinstance(given, Text) else given)
    for place, message in enumerate(asked.messages):
        if not message.content:
            raise invalid(f"messages.{place}: all messages must have non-empty content")
        for block in _blocks(message):
            if isinstance(block, Text):
                _require_text("messages", block.text)
            elif isinstance(block, Document):
                for text in block.blocks or [""]:
                    _require_text(f"messages.{place}.document", text)
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


def _blocks(message: Message) -> list[Text | Document | Thinking]:
    if isinstance(message.content, str):
        return [Text(type="text", text=message.content)]
    return list(message.content)


def documents(asked: Counted) -> list[Document]:
    """Every document, in the order of their indices."""
    return [block for message in asked.messages for block in _blocks(message) if isinstance(block, Document)]


def turns(asked: Counted) -> list[Turn]:
    """What the bundled model reads."""
    return _turns(_flat(asked))


def _flat(asked: Counted) -> list[tuple[str, Text | Document]]:
    """Every block with its role, the system's first; earlier thoughts are not read again."""
    system = [Text(type="text", text=asked.system)] if isinstance(asked.system, str) else asked.system or []
    spoken = ((message.role, block) for message in asked.messages for block in _blocks(message))
    return [
        *(("system", block) for block in system),
        *((role, block) for role, block in spoken if not isinstance(block, Thinking)),
    ]


def _turns(flat: Iterable[tuple[str, Text | Document]]) -> list[Turn]:
    """Turns of one role after the other are one."""
    found: list[tuple[str, list[str]]] = []
    for role, block in flat:
        if not found or found[-1][0] != role:
            found.append((role, []))
        found[-1][1].append(block.text if isinstance(block, Text) else block.rendered)
    return [(role, _joined(texts, "\n\n")) for role, texts in found]


def _joined(texts: list[str], gap: str) -> str:
    """Texts with a gap between two of them, where neither brings its own."""
    gaps = ["" if one[-1:].isspace() or other[:1].isspace() else gap for one, other in pairwise(texts)]
    return "".join(text + after for text, after in zip(texts, [*gaps, ""], strict=True))


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
            digest = sha256(json.dumps([asked.model, kept]).encode()).hexdigest()
            found.append(Prefix(digest=digest, turns=_turns(flat[:end]), ttl=control.ttl))
    return found
