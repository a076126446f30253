"""What LangChain's messages and documents say, copied before anybody can change them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from langchain_core.documents import Document as LangChainDocument
from langchain_core.messages import BaseMessage

from whence.providers.prompt import Role, Span

ROLES: Mapping[str, Role] = {"system": "system", "ai": "assistant"}
"""Of LangChain's types of messages; all others are what a model is told, and no model knows more roles."""
SCORES = ("relevance_score", "score", "_score", "similarity", "similarity_score")
"""Where retrievers put how well a document fits."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """What a retriever returned, or a message brings as a document.

    `score`: as retrieved, where told. `blocks`: characters of its passages, where it is given in passages.
    """

    text: str
    name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    score: float | None = None
    blocks: tuple[Span, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Said:
    """One message. `kind`: LangChain's type. `parts`: texts, and documents that are given as such."""

    role: Role
    kind: str
    parts: tuple[str | Document, ...]
    name: str = ""


def said_in(message: BaseMessage) -> Said:
    """A copy of what a message says. Images and sounds are left out: no adapter reads them."""
    parts = list(_parts(message.content))
    parts += map(_called, getattr(message, "tool_calls", None) or ())
    return Said(
        role=ROLES.get(message.type, "user"),
        kind=message.type,
        parts=tuple(parts),
        name=message.name or "",
    )


def _called(call: Mapping[str, Any]) -> str:
    return f"{call['name']}({json.dumps(call['args'], ensure_ascii=False, default=str)})"


def text_of(message: BaseMessage) -> str:
    """The text of an answer, without its calls of tools."""
    return "".join(part for part in _parts(message.content) if isinstance(part, str))


def document_of(document: LangChainDocument) -> Document:
    """A copy of a retrieved document."""
    metadata = {str(key): str(value) for key, value in document.metadata.items()}
    told = [document.metadata.get(name) for name in SCORES]
    scores = [float(score) for score in told if isinstance(score, int | float) and score is not True]
    named = (metadata.get(name) for name in ("title", "source", "id", "file_name"))
    return Document(
        text=document.page_content,
        name=next((name for name in named if name), document.id or ""),
        metadata=metadata,
        score=scores[0] if scores else None,
    )


def _parts(content: str | Sequence[Any]) -> Sequence[str | Document]:
    if isinstance(content, str):
        return (content,)
    found: list[str | Document] = []
    for block in content:
        if isinstance(block, str):
            found.append(block)
        elif block.get("type") == "text" and isinstance(block.get("text"), str):
            found.append(block["text"])
        elif block.get("type") == "document":
            found += _documents(block)
    return found


def _documents(block: Mapping[str, Any]) -> Sequence[Document]:
    """Anthropic's document blocks, as a text or as passages, which are one text here."""
    source = block.get("source") or {}
    given = [source.get("data")] if source.get("type") == "text" else []
    if source.get("type") == "content" and isinstance(source.get("content"), list):
        given = [part.get("text") for part in source["content"]]
    texts = [text for text in given if isinstance(text, str)]
    if not texts or len(texts) != len(given):
        return ()
    ends = list(accumulate(map(len, texts)))
    blocks = tuple((end - len(text), end) for text, end in zip(texts, ends, strict=True))
    return (Document(text="".join(texts), name=str(block.get("title") or ""), blocks=blocks),)
