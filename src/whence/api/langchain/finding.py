"""Where the text of retrieved documents stands in the messages of a prompt.

A chain may wrap, cut, number, quote, escape or fold what its retriever gave it. So texts are compared as
words: runs of words that a message and a document share are joined to chains, across what was put between or
left out, and the chain of most words is chosen first. The rules:

- A document is found where all of it stands, character for character; or nine tenths of its words; or eight
  in a row that no other document has; or eight of these in pieces, where half of the document stands. What
  documents share, as a header repeated in each chunk, is no evidence for any of them.
- Where a message has another number, or a negation more or less, it is another text (`contrary`).
- One of fewer than four words, or eight letters, must be there whole and apart: on both sides a mark that is
  no sentence's (a line break, a bracket, a bar, a quote with a comma; before it also a colon or a number), or
  another document. `Yes.` is not found in `Yes. No.`, unless `No.` is a document, too.
- Characters that documents share, as chunks with an overlap do, belong to the one that begins earlier. A
  document that stands only within another is not found there.
- A document is found wherever it stands. Documents of the same words are given its places in turn.
- A document without a word, or cut to less than the above, is not found.

Our own code, as difflib takes the square of the length on repetitive text, and looks for one document only.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile, zip_longest

import regex  # type: ignore[import-untyped]

from whence.api.langchain.contrary import says_otherwise
from whence.api.langchain.passages import SHINGLE_WORDS, Chain, Library, Run
from whence.api.langchain.reaching import reach
from whence.api.langchain.words import Words, read, unescape

WHOLE = 0.9
"""The coverage with which a document stands there whole."""
HALF = 0.5
"""The coverage with which its pieces are enough."""
ROW_WORDS = 8
"""Of a document that was cut, the words of its own that tell it,"""
ROW_CHARACTERS = 16
"""which take so many characters of the message: in some scripts each character is a word."""

_MARK = regex.compile(r"""[\n\r\v\f\t\x85\u2028\u2029|\[\]{}<>*#=•·▪◦●~^`]|["'],|-{2,}|[—–]{2,}""")
_LABEL = regex.compile(r"(?:^|[\n\r])[^\S\n\r]*+\(?(?:\d{1,4}|\p{L})[.)]\s*+\p{P}*+$|[:：]")
_LABEL_CHARACTERS = 16


@dataclass(frozen=True, kw_only=True)
class Found:
    """A place where a document stands. `document`, `message`: indices of what was given.

    `start`, `end`: code points of the message, end exclusive: from the first to the last of the document's
    words there, with its punctuation around them; blanks are outside. `words`: which of the document's `of`
    words stand there, as ranges; those that belong to an overlapping document count. `exact`: whether this is
    the whole document, character for character but for blanks around it.
    """

    document: int
    message: int
    start: int
    end: int
    words: tuple[tuple[int, int], ...]
    of: int
    exact: bool

    @property
    def coverage(self) -> float:
        """The share of the document's words that stand there, in (0, 1]."""
        return covered([self])


def covered(places: Iterable[Found]) -> float:
    """The share of one document's words that stand in any of its places."""
    places = tuple(places)
    reached = total = 0
    for start, end in sorted(words for place in places for words in place.words):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total / places[0].of if places else 0.0


def find(documents: Sequence[str], messages: Sequence[str]) -> tuple[Found, ...]:
    """Every place of every document, by message and start. Places in one message never overlap.

    Takes time proportional to all text, and besides one `str.find` for each document in each message.
    """
    library = Library(documents)
    found: list[Found] = []
    for number, message in enumerate(messages):
        plainly = library.plainly(unescape(message)[0])
        text = read(message, sorted({edge for _, *span in plainly for edge in span}))
        chosen = _chosen(library, text, [library.whole_chain(*place, text) for place in plainly])
        dealt: Counter[int] = Counter()
        word = character = 0
        for chain, following in zip_longest(chosen, chosen[1:]):
            # What two share is the earlier one's.
            runs = [run.without(max(0, word - run.at)) for run in chain.runs if run.end > word]
            if not runs:
                continue
            word = runs[-1].end
            stop = _edge(text, max(word, following.start) if following else len(text.edges))
            places = []
            for document in library.owners[chain.text]:
                place = _place(library.documents[document], text, chain, runs, character, stop)
                start, end = _trimmed(message, text.offsets[place[0]], text.offsets[place[1]])
                exact = message[start:end] == documents[document].strip()
                places.append((dealt[document], not exact, document, start, end, place))
            _, inexact, document, start, end, (_, character, words) = min(places)
            dealt[document] += 1
            of = len(library.documents[document].edges)
            found.append(
                Found(
                    document=document,
                    message=number,
                    start=start,
                    end=end,
                    words=words if inexact else ((0, of),),
                    of=of,
                    exact=not inexact,
                )
            )
    return tuple(found)


def _chosen(library: Library, text: Words, whole: Sequence[Chain]) -> list[Chain]:
    """The chains that are documents, in order of the message; none within another.

    `whole`: those that stand there plainly.
    """
    line = library.line(text)
    taken = bytearray(len(line))
    chosen: list[Chain] = []
    chains = [*whole, *library.chains(line)]
    for chain in sorted(chains, key=lambda chain: (-chain.words, -chain.coverage, chain.start)):
        cut = _clipped(library, chain, taken)
        if cut and _fits(cut, chosen) and _told(library, text, cut, taken):
            insort(chosen, cut, key=_start)
            taken[cut.start : cut.end] = b"\1" * (cut.end - cut.start)
    return sorted([*chosen, *_apart(library, text, line, taken)], key=_start)


def _start(chain: Chain) -> int:
    return chain.start


def _clipped(library: Library, chain: Chain, taken: bytearray) -> Chain | None:
    """A chain without the runs at its ends that are within others: it would pull their words to itself."""
    if chain.plain is not None:
        return chain if 0 in taken[chain.start : chain.end] else None
    runs = list(chain.runs)
    while runs and 0 not in taken[runs[0].at : runs[0].end]:
        del runs[0]
    while runs and 0 not in taken[runs[-1].at : runs[-1].end]:
        del runs[-1]
    return library.chain(chain.text, runs) if runs else None


def _fits(chain: Chain, chosen: list[Chain]) -> bool:
    """Whether a chain is not within one that is chosen, nor around one, and overlaps none of its own text."""
    after = bisect_right(chosen, chain.start, key=_start)
    earlier = (chosen[at] for at in range(after - 1, -1, -1))
    later = (chosen[at] for at in range(after, len(chosen)))
    for other in takewhile(lambda other: other.end > chain.start, earlier):
        if other.end >= chain.end or other.start == chain.start or other.text == chain.text:
            return False
    return all(
        other.end > chain.end and other.text != chain.text
        for other in takewhile(lambda other: other.start < chain.end, later)
    )


def _told(library: Library, text: Words, chain: Chain, taken: bytearray) -> bool:
    """Whether a chain is enough to tell its document, by words that are no other's."""
    if chain.plain is not None:
        return True
    if says_otherwise(library.texts[chain.text].words, text.words, chain.runs):
        return False
    if chain.coverage == 1:
        return True
    rows: list[int] = []
    for run in chain.runs:
        owned = library.owned(chain.text, run)
        own = (mine and not taken[at] for at, mine in enumerate(owned, start=run.at))
        rows += (sum(group) + SHINGLE_WORDS - 1 for mine, group in groupby(own) if mine)
    if not rows or chain.coverage >= WHOLE:
        return bool(rows)
    characters = text.edges[chain.end - 1][1] - text.edges[chain.start][0]
    enough = max(rows) >= ROW_WORDS or (sum(rows) >= ROW_WORDS and chain.coverage >= HALF)
    return enough and characters >= ROW_CHARACTERS


def _apart(library: Library, text: Words, line: str, taken: bytearray) -> list[Chain]:
    """The brief texts that stand apart, alone or in a row."""
    brief = [number for number in range(len(library.texts)) if library.brief(number)]
    chains = [chain for number in brief for chain in library.whole(number, line)]
    rows: list[list[Chain]] = []
    for chain in sorted(chains, key=lambda chain: (chain.start, -chain.words)):
        last = rows[-1][-1].end if rows else 0
        if chain.start < last or 1 in taken[chain.start : chain.end]:
            continue
        if rows and chain.start == last and not _MARK.search(_before(text, chain.start)):
            rows[-1].append(chain)
        else:
            rows.append([chain])
    return [
        chain
        for row in rows
        if _begins(text, row[0].start, taken) and _ends(text, row[-1].end, taken)
        for chain in row
    ]


def _before(text: Words, word: int) -> str:
    """What stands between a word and the one before it."""
    return text.plain[text.edges[word - 1][1] : text.edges[word][0]]


def _begins(text: Words, word: int, taken: bytearray) -> bool:
    """Whether something may begin at a word that stands apart."""
    if word == 0 or taken[word - 1] or _MARK.search(_before(text, word)):
        return True
    start = text.edges[word][0]
    return _LABEL.search(text.plain, max(0, start - _LABEL_CHARACTERS), start) is not None


def _ends(text: Words, word: int, taken: bytearray) -> bool:
    """Whether something that stands apart may end before a word."""
    return word == len(taken) or taken[word] == 1 or _MARK.search(_before(text, word)) is not None


def _edge(text: Words, word: int) -> int:
    """Where a word begins, or the text ends."""
    return text.edges[word][0] if word < len(text.edges) else len(text.plain)


def _place(
    document: Words, text: Words, chain: Chain, runs: list[Run], start: int, stop: int
) -> tuple[int, int, tuple[tuple[int, int], ...]]:
    """Where a document stands in a message's plain text, and which words of it.

    `start`, `stop`: from where to where it may reach. `runs`: those of the chain that are left, of a text
    that the document has.
    """
    if chain.plain is not None:
        return max(start, chain.plain[0]), chain.plain[1], ((0, len(document.edges)),)
    begin, end = runs[0].begin, runs[-1].begin + runs[-1].length
    before, first = reach(document, begin, text, runs[0].at, start, -1)
    after, last = reach(document, end, text, runs[-1].end, stop, 1)
    words = [(run.begin, run.begin + run.length) for run in chain.runs]
    # Joined to something without a blank, a document's first and last words are not words of the message.
    if before and runs[0] == chain.runs[0]:
        words[0] = (0, words[0][1])
    if after:
        words[-1] = (words[-1][0], len(document.edges))
    return first, last, tuple(words)


def _trimmed(message: str, start: int, end: int) -> tuple[int, int]:
    """Without blanks at the edges, which an escape may have stood for in the document."""
    piece = message[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
