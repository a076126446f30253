"""A prompt as the Messages API takes it: as text, or with each source as a document that can be cited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from whence.providers.base import Passages
from whence.providers.errors import InputError
from whence.providers.observations import Span
from whence.providers.prompt import Message, Prompt, Source

Block = dict[str, Any]
Body = dict[str, Any]
"""`messages`, and `system` where there is any."""


@dataclass(frozen=True)
class Document:
    """What was sent of a source. `source`: its index in the prompt; `blocks`: its passages with any text."""

    source: int
    text: str
    blocks: tuple[Span, ...]


def plain(prompt: Prompt) -> Body:
    """Each message as one text. Raises InputError.

    What stands before the message with the first source is the same in every ablation, so it is marked to
    be cached. The mark stands between messages: what the model reads is not changed by it.
    """
    turns = prompt.turns()
    contents = [_text(turn.text) for turn in turns]
    first = next((i for i, turn in enumerate(turns) if turn.sources), 0)
    unchanging = [block for content in contents[:first] for block in content]
    if unchanging:
        unchanging[-1]["cache_control"] = {"type": "ephemeral"}
    return _body(prompt, contents)


def cited(prompt: Prompt, passages: Passages) -> tuple[Body, tuple[Document, ...]]:
    """Each source of a user message as a document of its passages, and those documents, in order.

    The API takes no block without visible text: such passages and sources are left out, and so is what
    lies outside every passage. Sources of other messages stay text. Raises InputError.
    """
    sources = prompt.sources
    if len(passages) != len(sources):
        raise InputError(f"passages of {len(passages)} sources, and the prompt has {len(sources)}")
    documents: list[Document] = []
    contents: list[list[Block]] = []
    index = 0
    for message, turn in zip(prompt.messages, prompt.turns(), strict=True):
        own = range(index, index + len(turn.sources))
        index = own.stop
        if message.role == "user":
            found = {i: _document(i, sources[i], passages[i]) for i in own}
            documents += [document for document in found.values() if document.blocks]
            contents.append(_parts(message, list(found.values())))
        else:
            contents.append(_text(turn.text))
    return _body(prompt, contents), tuple(documents)


def _document(index: int, source: Source, passages: Sequence[Span]) -> Document:
    visible = tuple((start, end) for start, end in passages if source.text[start:end].strip())
    return Document(index, source.text, visible)


def _parts(message: Message, documents: Sequence[Document]) -> list[Block]:
    """The content of a user message, whose sources are these documents."""
    blocks: list[Block] = []
    following = iter(documents)
    for part in message.parts:
        if isinstance(part, str):
            blocks += _text(part)
            continue
        document = next(following)
        passages = [_text(document.text[start:end])[0] for start, end in document.blocks]
        if passages:
            blocks.append(
                {
                    "type": "document",
                    "source": {"type": "content", "content": passages},
                    "title": part.name,
                    "citations": {"enabled": True},
                }
            )
    return blocks


def _text(text: str) -> list[Block]:
    """One block, or none for a text that the API would refuse."""
    return [{"type": "text", "text": text}] if text.strip() else []


def _body(prompt: Prompt, contents: Sequence[list[Block]]) -> Body:
    roles = [message.role for message in prompt.messages]
    leading = next((i for i, role in enumerate(roles) if role != "system"), len(roles))
    if "system" in roles[leading:]:
        raise InputError(
            "a system message follows other messages; for Claude put every system message first, or write "
            "it as a user message"
        )
    said = zip(roles[leading:], contents[leading:], strict=True)
    messages = [{"role": role, "content": content} for role, content in said if content]
    if not messages:
        raise InputError("no message to Claude has any text but system messages; add a user message")
    if messages[-1]["role"] == "assistant":
        raise InputError(
            "the last message is the assistant's, and Claude does not go on with an answer that is begun; "
            "end with a user message"
        )
    system = [block for content in contents[:leading] for block in content]
    return {"messages": messages, "system": system} if system else {"messages": messages}
