"""Where the text of retrieved documents stands in the messages of a prompt.

A chain may wrap, cut, number, quote, escape or fold what its retriever gave it. So texts are compared as
words: runs of words that a message and a document share are joined to chains, across what was put between or
left out, and the chain of most words is chosen first. The rules:

- A document is found where nine tenths of its words stand; or eight in a row that no other document has; or
  eight of these in pieces, where half of the document stands. What documents share, as a header repeated in
  each chunk, is no evidence for any of them.
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
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile, zip_longest

import regex  # type: ignore[import-untyped]

from whence.api.langchain.passages import SHINGLE_WORDS, Chain, Library, Run
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
_QUOTES = "'‘’‚‛`´ʼ′\"“”„‟″«»‹›「」『』"
_ALIKE = str.maketrans(dict.fromkeys(_QUOTES, "'") | dict.fromkeys("‐‑‒–—―−", "-"))


@dataclass(frozen=True, kw_only=True)
class Found:
    """A place where a document stands. `document`, `message`: indices of what was given.

    `start`, `end`: code points of the message, end exclusive: from the first to the last of the document's
    words there, with its punctuation around them; blanks are outside. `coverage`: the share of the document's
    words that stand there, in (0, 1]; words that belong to an overlapping document count. `exact`: whether
    this is the whole document, character for character but for blanks around it.
    """

    document: int
    message: int
    start: int
    end: int
    coverage: float
    exact: bool


def find(documents: Sequence[str], messages: Sequence[str]) -> tuple[Found, ...]:
    """Every place of every document, by message and start. Places in one message never overlap.

    Takes time proportional to all text, and besides one `str.find` for each document in each message.
    """
    library = Library(documents)
    found: list[Found] = []
    for number, message in enumerate(messages):
        text = read(message, library.cuts(unescape(message)[0]))
        chosen = _chosen(library, text)
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
            _, inexact, document, start, end, (_, character, coverage) = min(places)
            dealt[document] += 1
            found.append(
                Found(
                    document=document,
                    message=number,
                    start=start,
                    end=end,
                    coverage=coverage,
                    exact=not inexact,
                )
            )
    return tuple(found)


def _chosen(library: Library, text: Words) -> list[Chain]:
    """The chains that are documents, in order of the message; none within another."""
    line = library.line(text)
    taken = bytearray(len(line))
    chosen: list[Chain] = []
    for chain in sorted(library.chains(line), key=lambda chain: (-chain.words, -chain.coverage, chain.start)):
        cut = _clipped(library, chain, taken)
        if cut and _fits(cut, chosen) and _told(library, text, cut, taken):
            insort(chosen, cut, key=_start)
            taken[cut.start : cut.end] = b"\1" * (cut.end - cut.start)
    return sorted([*chosen, *_apart(library, text, line, taken)], key=_start)


def _start(chain: Chain) -> int:
    return chain.start


def _clipped(library: Library, chain: Chain, taken: bytearray) -> Chain | None:
    """A chain without the runs at its ends that are within others: it would pull their words to itself."""
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
) -> tuple[int, int, float]:
    """Start and end in a message's plain text, from `start` to `stop` at most, and the coverage.

    `runs`: those of the chain that are left, of a text that the document has.
    """
    begin, end = runs[0].begin, runs[-1].begin + runs[-1].length
    before, first = _reach(document, begin, text, runs[0].at, start, -1)
    after, last = _reach(document, end, text, runs[-1].end, stop, 1)
    # Joined to something without a blank, a document's first and last words are not words of the message.
    added = before * begin * (runs[0] == chain.runs[0]) + after * (len(document.edges) - end)
    return first, last, min(1.0, (chain.words + added) / len(document.edges))


def _reach(document: Words, word: int, text: Words, at: int, stop: int, step: int) -> tuple[bool, int]:
    """How far a message goes on as a document does; whether up to the document's edge, and where it ends.

    `step`: -1 for backwards from the document's word `word` and the message's `at`, 1 for forwards from the
    words before these. `stop`: no further than that in the message's plain text. Up to the document's edge,
    if it goes so far; else to the end of a word that is cut, in the same line; else past the punctuation.
    """
    here = document.edges[word][0] if step < 0 else document.edges[word - 1][1]
    there = text.edges[at][0] if step < 0 else text.edges[at - 1][1]
    far = len(document.plain) if step > 0 else 0
    shift = min(step, 0)
    begin = reached = there
    bare = True
    while here != far and there != stop:
        written, read_ = document.plain[here + shift], text.plain[there + shift]
        if written.isspace() and read_.isspace():
            here, there = (
                _past_blanks(document.plain, here, far, step),
                _past_blanks(text.plain, there, stop, step),
            )
            bare = False
        elif _alike(written) == _alike(read_):
            here, there = here + step, there + step
            bare &= not written.isalnum()
            reached = there if bare else reached
        else:
            break
    if here == far:
        return True, there
    passed = text.plain[min(begin, there) : max(begin, there)]
    following = text.plain[max(0, there + shift) : there + shift + 1]
    if passed and passed[0 if step < 0 else -1].isalnum() and not following.isalnum() and "\n" not in passed:
        return False, there
    return False, reached


def _past_blanks(text: str, at: int, stop: int, step: int) -> int:
    while at != stop and text[at + min(step, 0)].isspace():
        at += step
    return at


def _alike(character: str) -> str:
    return character.translate(_ALIKE).casefold()


def _trimmed(message: str, start: int, end: int) -> tuple[int, int]:
    """Without blanks at the edges, which an escape may have stood for in the document."""
    piece = message[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
