"""A conversation of LangChain as messages of whence, with what can receive credit as sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from whence.api.langchain.finding import Found, find
from whence.api.langchain.said import Document, Said
from whence.providers.prompt import Message, Source, SourceKind, usable_name

RESULTS = ("tool", "function")
"""LangChain's types of messages that hold what a tool returned."""
SPEAKERS = {"human": "user", "ai": "assistant"}


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A retrieved document, and where it stands in the prompt.

    `sources`: their indices, none where it is not there. `coverage`: the share of its words that stand there,
    in [0, 1].
    """

    document: Document
    sources: tuple[int, ...] = ()
    coverage: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Retold:
    """`messages`: word for word what the model was told. `chunks`: in the order of retrieval.

    `brought`: documents that the messages bring as such, each with the index of its source.
    """

    messages: tuple[Message, ...]
    chunks: tuple[Chunk, ...]
    brought: tuple[tuple[int, Document], ...] = ()


def retell(said: Sequence[Said], documents: Sequence[Document]) -> Retold:
    """Find the documents in what was said, and make sources of them.

    What tools returned, and documents that messages bring as such, are sources, too. Where there is none of
    all these, each message is one.
    """
    parts = [part for one in said for part in one.parts]
    texts = [part if isinstance(part, str) else part.text for part in parts]
    found = find([document.text for document in documents], texts)
    sourceless = not found and not any(_brings_sources(one) for one in said)
    made = _Made(documents, found)
    messages = []
    place = 0
    for one in said:
        content: list[str | Source] = []
        for part in one.parts:
            content += made.part(place, part, one, whole=sourceless)
            place += 1
        messages.append(Message(role=one.role, content=tuple(content), verbatim=True))
    return Retold(messages=tuple(messages), chunks=made.chunks(), brought=tuple(made.brought))


class _Made:
    """Sources, one after the other, and which documents stand in each."""

    def __init__(self, documents: Sequence[Document], found: Sequence[Found]) -> None:
        self._documents = documents
        self._found = found
        self._sources = 0
        self._sources_of: dict[int, list[int]] = {}
        self.brought: list[tuple[int, Document]] = []

    def part(self, place: int, part: str | Document, said: Said, *, whole: bool) -> list[str | Source]:
        """A part of a message, cut into sources and what stands around them."""
        own = [one for one in self._found if one.message == place]
        if isinstance(part, Document):
            for one in own:
                self._sources_of.setdefault(one.document, []).append(self._sources)
            self.brought.append((self._sources, part))
            return [self._source(part.text, part.name, "document", part)]
        text, at = part, 0
        cut: list[str | Source] = []
        around = "message" if whole or said.kind in RESULTS else None
        for one in own:
            cut += self._around(text[at : one.start], said, around)
            self._sources_of.setdefault(one.document, []).append(self._sources)
            document = self._documents[one.document]
            name = document.name or f"document {one.document + 1}"
            cut.append(self._source(text[one.start : one.end], name, "document", document))
            at = one.end
        return [*cut, *self._around(text[at:], said, around)]

    def chunks(self) -> tuple[Chunk, ...]:
        """Each document with its sources."""
        coverage = dict.fromkeys(range(len(self._documents)), 0.0)
        for one in self._found:
            coverage[one.document] = max(coverage[one.document], one.coverage)
        return tuple(
            Chunk(
                document=document, sources=tuple(self._sources_of.get(number, ())), coverage=coverage[number]
            )
            for number, document in enumerate(self._documents)
        )

    def _around(self, text: str, said: Said, kind: str | None) -> list[str | Source]:
        if kind is None or not text.strip():
            return [text] if text else []
        name = said.name or SPEAKERS.get(said.kind, said.kind)
        return [self._source(text, name, "message")]

    def _source(self, text: str, name: str, kind: SourceKind, document: Document | None = None) -> Source:
        self._sources += 1
        metadata = {} if document is None else document.metadata
        return Source(
            text=text,
            name=_encodable(usable_name(name)),
            kind=kind,
            metadata={_encodable(key): _encodable(value) for key, value in metadata.items()},
        )


def _brings_sources(said: Said) -> bool:
    return said.kind in RESULTS or any(isinstance(part, Document) for part in said.parts)


def _encodable(text: str) -> str:
    """Names and metadata are of others, and no reason to explain nothing."""
    return text.encode(errors="replace").decode()
