"""A conversation of LangChain as messages of whence, with what can receive credit as sources."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from whence.api.langchain.finding import Found, covered, find
from whence.api.langchain.said import Call, Document, Said
from whence.providers.prompt import Message, Source, SourceKind, usable_name

RESULTS = ("tool", "function")
"""LangChain's types of messages that hold what a tool returned."""
SPEAKERS = {"human": "user", "ai": "assistant"}
QUOTED_WORDS = 16
"""With fewer words of a document, and less than the next part of it, a user may just quote it."""
QUOTED = 0.25


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A retrieved document, and where it stands in the prompt.

    `sources`: indices of those that hold it, none where it was not found. `within`: (source, start, end) of
    its characters, for those that hold other things, too. `coverage`: the share of its words that stand
    there, in [0, 1]. `unread`: types of blocks in which it may stand, where it was not found, and they were
    not read.
    """

    document: Document
    sources: tuple[int, ...] = ()
    within: tuple[tuple[int, int, int], ...] = ()
    coverage: float = 0.0
    unread: tuple[str, ...] = ()

    @property
    def places(self) -> int:
        """In how many places it stands."""
        shared = {source for source, _, _ in self.within}
        return len(self.within) + sum(source not in shared for source in self.sources)


@dataclass(frozen=True, kw_only=True)
class Retold:
    """`messages`: word for word what the model was told. `chunks`: in the order of retrieval.

    `brought`: documents that the messages bring as such, each with the index of its source; of those that
    cannot be read there is none. `left_out`: types of blocks that were not read.
    """

    messages: tuple[Message, ...]
    chunks: tuple[Chunk, ...]
    brought: tuple[tuple[int | None, Document], ...] = ()
    left_out: tuple[str, ...] = ()


def retell(said: Sequence[Said], documents: Sequence[Document]) -> Retold:
    """Find the documents in what was said, and make sources of them.

    What tools returned, and documents that messages bring as such, are sources, too. Where there is no
    document, each message is one. Calls of tools never are: the model is told them, but nobody says them.
    """
    documents = _merged(documents)
    parts = [(one, part) for one in said for part in one.parts]
    found = [
        place
        for place in find([document.text for document in documents], [_searched(part) for _, part in parts])
        if not (parts[place.message][0].kind == "human" and _quoted(place))
    ]
    brings = any(isinstance(part, Document) and part.readable for _, part in parts)
    made = _Made(documents, found)
    messages = []
    place = 0
    for one in said:
        content: list[str | Source] = []
        for part in one.parts:
            content += made.part(place, part, one, whole=not found and not brings)
            place += 1
        messages.append(Message(role=one.role, content=tuple(content), verbatim=True))
    left_out = tuple(dict.fromkeys(kind for one in said for kind in one.left_out))
    return Retold(
        messages=tuple(messages),
        chunks=tuple(made.chunk(number, left_out) for number in range(len(documents))),
        brought=tuple(made.brought),
        left_out=left_out,
    )


def _merged(documents: Sequence[Document]) -> list[Document]:
    """Each text once, as where several queries bring it: in its first place, with all that is told of it."""
    merged: dict[str, Document] = {}
    for document in documents:
        first = merged.setdefault(" ".join(document.text.split()), document)
        if first is not document:
            merged[" ".join(document.text.split())] = replace(
                first,
                name=first.name or document.name,
                metadata={**document.metadata, **first.metadata},
                score=document.score if first.score is None else first.score,
            )
    return list(merged.values())


def _searched(part: str | Document) -> str:
    """Where a document may stand. A model calls tools with what it read; that does not put it there again."""
    if isinstance(part, Document):
        return part.text
    return "" if isinstance(part, Call) else part


def _quoted(place: Found) -> bool:
    """Whether it is so little, and not the beginning, which a cut leaves, that somebody may speak of it."""
    words = sum(end - start for start, end in place.words)
    return place.words[0][0] > 0 and words < QUOTED_WORDS and place.coverage < QUOTED


class _Made:
    """Sources, one after the other, and which documents stand in each."""

    def __init__(self, documents: Sequence[Document], found: Sequence[Found]) -> None:
        self._documents = documents
        self._in_part: dict[int, list[Found]] = defaultdict(list)
        self._of: dict[int, list[Found]] = defaultdict(list)
        for one in found:
            self._in_part[one.message].append(one)
            self._of[one.document].append(one)
        self._sources = 0
        self._sources_of: dict[int, list[int]] = defaultdict(list)
        self._within: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        self.brought: list[tuple[int | None, Document]] = []

    def part(self, place: int, part: str | Document, said: Said, *, whole: bool) -> list[str | Source]:
        """A part of a message, cut into sources and what stands around them."""
        own = self._in_part[place]
        if isinstance(part, Document):
            return self._block(part, own)
        around = (whole or said.kind in RESULTS) and not isinstance(part, Call)
        at = 0
        cut: list[str | Source] = []
        for one in own:
            cut += self._around(part[at : one.start], said, around)
            self._sources_of[one.document].append(self._sources)
            document = self._documents[one.document]
            name = document.name or f"document {one.document + 1}"
            cut.append(self._source(part[one.start : one.end], name, "document", document))
            at = one.end
        return [*cut, *self._around(part[at:], said, around)]

    def chunk(self, number: int, left_out: tuple[str, ...]) -> Chunk:
        """A document with its sources."""
        sources = self._sources_of[number]
        return Chunk(
            document=self._documents[number],
            sources=tuple(dict.fromkeys(sources)),
            within=tuple(self._within[number]),
            coverage=covered(self._of[number]),
            unread=() if sources else left_out,
        )

    def _block(self, block: Document, own: Sequence[Found]) -> list[str | Source]:
        """A document that a message brings as such is one source, for it is cited as one."""
        if not block.readable:
            self.brought.append((None, block))
            return []
        for one in own:
            self._sources_of[one.document].append(self._sources)
            if block.text[one.start : one.end] != block.text.strip():
                place = (self._sources, one.start, one.end)
                self._within[one.document].append(place)
        self.brought.append((self._sources, block))
        return [self._source(block.text, block.name, "document", block)]

    def _around(self, text: str, said: Said, is_source: bool) -> list[str | Source]:
        if not is_source or not text.strip():
            return [text] if text else []
        name = said.name or SPEAKERS.get(said.kind, said.kind)
        return [self._source(text, name, "message")]

    def _source(self, text: str, name: str, kind: SourceKind, document: Document | None = None) -> Source:
        self._sources += 1
        metadata = {} if document is None else document.metadata
        return Source(
            text=text,
            name=encodable(usable_name(name)),
            kind=kind,
            metadata={encodable(key): encodable(value) for key, value in metadata.items()},
        )


def encodable(text: str) -> str:
    """Names and metadata are of others, may hold what no file can, and are no reason to explain nothing."""
    return text.encode(errors="replace").decode()
