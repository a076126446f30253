"""What a message and the texts of a library share: runs of the same words, and chains of these."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from whence.api.langchain.words import Words, read

SHINGLE_WORDS = 4
"""The least that is looked for of a longer text."""
BRIEF_LETTERS = 8
"""With fewer letters, or fewer words than a shingle, a text is brief."""
MOST_PLACES = 8
"""Shingles that stand in more places of the texts are not looked up, so that time is linear."""
GAP_WORDS = 12
"""The most words of something else between two runs of a chain: the head of a line of a log has nine."""
REPEATED_WORDS = 8
"""With so many words of the text again, a run does not go on with a chain, but begins another."""


@dataclass(frozen=True, order=True, slots=True)
class Run:
    """Words in a row: the first is `at` in the message, `begin` in the text."""

    at: int
    begin: int
    length: int

    @property
    def end(self) -> int:
        """The word of the message after the last."""
        return self.at + self.length

    def without(self, first: int) -> Run:
        """The run without its first words."""
        return Run(self.at + first, self.begin + first, self.length - first)


@dataclass(frozen=True, slots=True)
class Chain:
    """Runs of a text, in its order and the message's.

    `words`: how many are shared; `coverage`: their share of the text. `plain`: where all of it stands
    character for character, in the message's plain text; then there is one run, whose words may be cut.
    """

    text: int
    runs: tuple[Run, ...]
    words: int
    coverage: float
    plain: tuple[int, int] | None = None

    @property
    def start(self) -> int:
        """The first word, in the message."""
        return self.runs[0].at

    @property
    def end(self) -> int:
        """The word of the message after the last."""
        return self.runs[-1].end


class Library:
    """The texts of documents, each once. `lines`: of each, every word as one character: runs are strings.

    `owners`: the indices of the documents that are a text. `unseen`: texts without a shingle to look up.
    """

    def __init__(self, documents: Sequence[str]) -> None:
        self._codes: dict[str, str] = {}
        self._places: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._owner: dict[str, int] = {}
        self.documents: list[Words] = []
        self.texts: list[Words] = []
        self.lines: list[str] = []
        self.owners: list[list[int]] = []
        known: dict[str, int] = {}
        for number, document in enumerate(documents):
            text = read(document.strip())
            self.documents.append(text)
            for word in text.words:
                self._codes.setdefault(word, chr(1 + len(self._codes) % 0x10FFFF))
            line = self.line(text)
            if line and known.setdefault(line, len(self.lines)) == len(self.lines):
                self.texts.append(text)
                self.lines.append(line)
                self.owners.append([number])
            elif line:
                self.owners[known[line]].append(number)
        for text_number in range(len(self.lines)):
            for at, shingle in self._shingles(text_number):
                if len(self._places[shingle]) <= MOST_PLACES:
                    self._places[shingle].append((text_number, at))
                if self._owner.setdefault(shingle, text_number) != text_number:
                    self._owner[shingle] = -1
        self.unseen = [
            number
            for number in range(len(self.lines))
            if not any(len(self._places[shingle]) <= MOST_PLACES for _, shingle in self._shingles(number))
        ]

    def line(self, text: Words) -> str:
        """A text with each word as one character; `\0` is a word of no document."""
        return "".join([self._codes.get(word, "\0") for word in text.words])

    def brief(self, number: int) -> bool:
        """Whether a text is so short that its words alone do not tell it."""
        edges = self.texts[number].edges
        letters = sum(end - start for start, end in edges[:BRIEF_LETTERS])
        return len(edges) < SHINGLE_WORDS or letters < BRIEF_LETTERS

    def _shingles(self, number: int) -> Iterator[tuple[int, str]]:
        line = self.lines[number]
        for at in range(0 if self.brief(number) else len(line) - SHINGLE_WORDS + 1):
            yield at, line[at : at + SHINGLE_WORDS]

    def owned(self, number: int, run: Run) -> list[bool]:
        """For each shingle of a run, whether no other text has it."""
        line = self.lines[number]
        places = range(run.begin, run.begin + run.length - SHINGLE_WORDS + 1)
        return [self._owner.get(line[at : at + SHINGLE_WORDS]) == number for at in places]

    def plainly(self, plain: str) -> list[tuple[int, int, int]]:
        """(text, start, end) of each text in a plain text, be it within a word: joined to it or cut there."""
        return [
            (number, start, start + len(text.plain))
            for number, text in enumerate(self.texts)
            if not self.brief(number)
            for start in occurrences(text.plain, plain)
        ]

    def whole_chain(self, number: int, start: int, end: int, text: Words) -> Chain:
        """All of a text, at characters [start, end) of a message, whose words end there, too."""
        first, beyond = (bisect_left(text.edges, (at, 0)) for at in (start, end))
        words = len(self.lines[number])
        return Chain(number, (Run(first, 0, beyond - first),), words, 1.0, (start, end))

    def chains(self, line: str) -> Iterator[Chain]:
        """Every chain of every text that is not brief in a message's line."""
        for number, runs in self._runs(line).items():
            yield from (self.chain(number, chain) for chain in _joined(runs))
        for number in self.unseen:
            if not self.brief(number):
                yield from self.whole(number, line)

    def whole(self, number: int, line: str) -> Iterator[Chain]:
        """Where all of a text stands."""
        length = len(self.lines[number])
        for at in occurrences(self.lines[number], line):
            yield self.chain(number, (Run(at, 0, length),))

    def chain(self, number: int, runs: Iterable[Run]) -> Chain:
        """These runs of a text."""
        runs = tuple(runs)
        words = sum(run.length for run in runs)
        return Chain(number, runs, words, words / len(self.lines[number]))

    def _runs(self, line: str) -> dict[int, list[Run]]:
        """For each text its runs in a message, as long as they go from a shingle that is looked up.

        A word of the message is in few runs: those through the next such shingle on either side.
        """
        runs: dict[int, list[Run]] = defaultdict(list)
        covered: dict[tuple[int, int], int] = {}
        for at in range(len(line) - SHINGLE_WORDS + 1):
            places = self._places.get(line[at : at + SHINGLE_WORDS], ())
            for number, begin in places if len(places) <= MOST_PLACES else ():
                if covered.get((number, at - begin), -1) >= at:
                    continue
                text = self.lines[number]
                back, length = 0, SHINGLE_WORDS
                while min(at, begin) > back and line[at - back - 1] == text[begin - back - 1]:
                    back += 1
                most = min(len(line) - at, len(text) - begin)
                while length < most and line[at + length] == text[begin + length]:
                    length += 1
                covered[number, at - begin] = at + length - SHINGLE_WORDS
                runs[number].append(Run(at - back, begin - back, back + length))
        return runs


def occurrences(needle: str, text: str) -> Iterator[int]:
    """Where a string stands, one after the other."""
    at = text.find(needle)
    while at >= 0:
        yield at
        at = text.find(needle, at + len(needle))


def _joined(runs: list[Run]) -> Iterator[list[Run]]:
    """One text's runs as chains, that of most words first; each run is in one, trimmed where two overlap."""
    runs = sorted(runs)
    before = [-1] * len(runs)
    totals = [run.length for run in runs]
    near: list[int] = []
    for number, run in enumerate(runs):
        near = [other for other in near if runs[other].end + GAP_WORDS >= run.at]
        for other in near:
            overlap = _overlap(runs[other], run)
            total = totals[other] + run.length - overlap
            again = runs[other].begin + runs[other].length - run.begin  # words that the text has only once
            if overlap < run.length and again < REPEATED_WORDS and total > totals[number]:
                totals[number], before[number] = total, other
        near.append(number)
    used: set[int] = set()
    for last in sorted(range(len(runs)), key=lambda number: -totals[number]):
        chain: list[Run] = []
        number = last
        while number >= 0 and number not in used:
            used.add(number)
            chain.append(runs[number])
            number = before[number]
        chain.reverse()
        for place in range(1, len(chain)):
            chain[place] = chain[place].without(_overlap(chain[place - 1], chain[place]))
        if chain:
            yield chain


def _overlap(first: Run, second: Run) -> int:
    return max(0, first.end - second.at, first.begin + first.length - second.begin)
