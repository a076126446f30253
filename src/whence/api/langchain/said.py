"""What LangChain's messages and documents say, copied before anybody can change them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from numbers import Real
from typing import Any, Literal, NamedTuple, TypeGuard

from langchain_core.documents import Document as LangChainDocument
from langchain_core.messages import BaseMessage, ChatMessage, message_chunk_to_message

from whence.providers.prompt import Role, Span

ROLES: Mapping[str, Role] = {"system": "system", "ai": "assistant"}
"""Of LangChain's types of messages; all others are what a model is told, and no model knows more roles."""
KINDS: Mapping[str, str] = {"developer": "system", "assistant": "ai", "model": "ai", "user": "human"}
"""LangChain's types of messages, for the roles that are called otherwise."""
TEXTS = ("text", "input_text", "output_text", "untyped")
DOCUMENTS = ("document", "file", "text-plain", "search_result")
"""Blocks that Claude reads as documents: Anthropic's own, and what langchain-anthropic turns into them."""
CALLS = ("tool_use", "tool_call", "function_call", "input_json_delta")
"""Blocks that say again what `tool_calls` says."""
SCORES = ("relevance_score", "score", "_score", "similarity", "similarity_score")
"""Where retrievers put how well a document fits."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """What a retriever returned, or a message brings as a document.

    `score`: as retrieved, where told. `blocks`: characters of its passages, where it is given in passages.
    `readable`: whether its text is known; a PDF's is not. `citable`: whether citations were asked for.
    `numbered`: among which blocks Claude counts it when it cites.
    """

    text: str
    name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    score: float | None = None
    blocks: tuple[Span, ...] = ()
    readable: bool = True
    citable: bool = False
    numbered: Literal["document", "search_result"] = "document"


class Call(str):
    """A call of a tool, told as text: what it repeats, nobody put before the model."""

    __slots__ = ()


class Retrieved(NamedTuple):
    """What a retriever returned, as it was. To make texts of its metadata may take long."""

    text: str
    metadata: Mapping[str, Any]
    id: str | None


@dataclass(frozen=True, kw_only=True)
class Said:
    """One message. `kind`: LangChain's type. `parts`: texts, and documents that are given as such.

    `left_out`: the types of blocks that are not read, such as images and sounds.
    """

    role: Role
    kind: str
    parts: tuple[str | Document, ...]
    name: str = ""
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model wrote: the content, `response_metadata` and `usage_metadata` of its message."""

    content: str | Sequence[Any]
    told: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Without its calls of tools."""
        return "".join(text for text, _ in self.blocks())

    def blocks(self) -> Iterator[tuple[str, Sequence[Any]]]:
        """Its texts, each with what it cites."""
        for block in _blocks(self.content):
            if isinstance(block, str):
                yield block, ()
            elif _is_text(block):
                cited = block.get("citations") or block.get("annotations")
                yield block["text"], cited if isinstance(cited, list) else ()


def answer_of(message: BaseMessage) -> Answer:
    """A copy of what a model answered."""
    usage = getattr(message, "usage_metadata", None) or {}
    return Answer(content=_copied(message.content), told=dict(message.response_metadata), usage=usage)


def said_in(message: BaseMessage) -> Said:
    """A copy of what a message says."""
    message = message_chunk_to_message(message)
    kind = message.role.lower() if isinstance(message, ChatMessage) else message.type
    kind = KINDS.get(kind, kind)
    parts: list[str | Document] = []
    left_out: list[str] = []
    _read(message.content, parts, left_out)
    calls = getattr(message, "tool_calls", None) or ()
    parts += map(_called, calls)
    return Said(
        role=ROLES.get(kind, "user"),
        kind=kind,
        parts=tuple(parts),
        name=message.name or "",
        left_out=tuple(block for block in left_out if not calls or block not in CALLS),
    )


def retrieved_as(document: LangChainDocument) -> Retrieved:
    """A copy of a retrieved document."""
    return Retrieved(document.page_content, dict(document.metadata), document.id)


def document_of(document: Retrieved) -> Document:
    """What a retrieved document says. Its metadata may hold anything."""
    metadata = {_text(key): _text(value) for key, value in document.metadata.items()}
    told = (document.metadata.get(name) for name in SCORES)
    scores = (float(score) for score in told if not isinstance(score, bool) and isinstance(score, Real))
    named = (metadata.get(name) for name in ("title", "source", "id", "file_name"))
    return Document(
        text=document.text,
        name=next((name for name in named if name), document.id or ""),
        metadata=metadata,
        score=next(scores, None),
    )


def _called(call: Mapping[str, Any]) -> Call:
    try:
        args = json.dumps(call["args"], ensure_ascii=False, default=str)
    except (TypeError, ValueError):  # keys that are no texts, or a circle
        args = repr(call["args"])
    return Call(f"{call['name']}({args})")


def _read(content: object, parts: list[str | Document], left_out: list[str]) -> None:
    """The blocks of a message, or of what a tool returned, in their order."""
    for block in _blocks(content):
        if isinstance(block, str):
            parts.append(block)
        elif _is_text(block):
            parts.append(block["text"])
        elif _kind(block) in DOCUMENTS:
            document = _document(block)
            parts.append(document)
            left_out += [] if document.readable else [_kind(block)]
        elif _kind(block) == "tool_result":
            _read(block.get("content"), parts, left_out)
        else:
            left_out.append(_kind(block))


def _document(block: Mapping[str, Any]) -> Document:
    """A document as a text or as passages, which are one text here. One that is not text keeps its place."""
    source = block.get("source")
    given = block.get("content" if _kind(block) == "search_result" else "text")
    if isinstance(source, Mapping):
        given = source.get({"text": "data", "content": "content"}.get(str(source.get("type")), ""))
    passages = list(_blocks(given))
    texts = [part if isinstance(part, str) else part.get("text") for part in passages]
    known = [text for text in texts if isinstance(text, str)]
    readable = bool(known) and len(known) == len(texts)
    ends = list(accumulate(map(len, known)))
    citations = _extra(block, "citations")
    return Document(
        text="".join(known) if readable else "",
        name=str(_extra(block, "title") or (source if isinstance(source, str) else "")),
        blocks=tuple((end - len(text), end) for text, end in zip(known, ends, strict=True))
        if readable
        else (),
        readable=readable,
        citable=isinstance(citations, Mapping) and bool(citations.get("enabled")),
        numbered="search_result" if _kind(block) == "search_result" else "document",
    )


def _extra(block: Mapping[str, Any], key: str) -> Any:
    """Of a block, or where LangChain's own blocks keep what is a provider's."""
    for place in (block, block.get("extras"), block.get("metadata")):
        if isinstance(place, Mapping) and place.get(key):
            return place[key]
    return None


def _blocks(content: object) -> Iterator[str | Mapping[str, Any]]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        yield from (block for block in content if isinstance(block, str | Mapping))


def _kind(block: Mapping[str, Any]) -> str:
    return str(block.get("type") or "untyped")


def _is_text(block: Mapping[str, Any]) -> TypeGuard[Mapping[str, str]]:
    return _kind(block) in TEXTS and isinstance(block.get("text"), str)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - of whatever class it is
        return type(value).__name__


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(own) for key, own in value.items()}
    return [_copied(own) for own in value] if isinstance(value, list) else value
