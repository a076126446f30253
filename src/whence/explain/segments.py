"""Text to words, sentences and paragraphs, by exact character offsets.

A span is `(start, end)` in Python code points of the text as given, end exclusive; nothing is
normalised. The spans of one `split` partition the text: they touch, none is empty, and joined they give
the text back. Every span but the first begins with a visible character, so blanks belong to what they
follow. All of it takes time proportional to the text, whatever the text is.

Words follow UAX #29 (https://unicode.org/reports/tr29/) as the `regex` package implements it. Sentences
are `sentencex` (https://github.com/wikimedia/sentencex) within rules for clinical text: see `_blocks`
for lines, bullets, tables and hard wraps, `_settle` for abbreviations.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Literal

import regex  # type: ignore[import-untyped]
import sentencex  # type: ignore[import-untyped]

Span = tuple[int, int]


def split(text: str, kind: Literal["word", "sentence", "paragraph", "source", "whole"]) -> list[Span]:
    """Partition `text` into spans of one kind: none for an empty text, one for a text of only blanks.

    `word`: what UAX #29 calls a word and holds a letter or digit, with the punctuation and blanks after
    it, and the signs glued before it (`(see`, `<5`, `"stop`).
    `sentence`: never longer than a line, unless the line is hard-wrapped; a table row is one.
    `paragraph`: separated by blank lines; in a text without any between its lines, each line.
    `source`, `whole`: all of it.

    Raises ValueError for a lone surrogate, and for another `kind` (tokens are the tokenizer's to give).
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        # `from None`: that error carries the whole text, which is confidential, into every traceback.
        raise ValueError(
            f"the text has a lone surrogate at character {error.start}, which is no character; "
            "decode its bytes with errors='replace'"
        ) from None
    starts: Iterable[int]
    match kind:
        case "word":
            starts = (match.start() for match in _WORD.finditer(text))
        case "sentence":
            starts = _sentence_starts(text)
        case "paragraph":
            starts = _paragraph_starts(text)
        case "source" | "whole":
            starts = ()
        case _:
            raise ValueError(f"cannot split into {kind!r}; choose word, sentence, paragraph, source or whole")
    # The first segment takes what comes before it, too.
    edges = sorted({0, len(text), *list(starts)[1:]})
    return list(pairwise(edges))


def assign_tokens(text: str, tokens: Sequence[Span | None], segments: Sequence[Span]) -> list[int | None]:
    """For each token, the index of the segment that holds its first visible character, or None.

    `tokens`: spans from a tokenizer, in characters of `text`, in any order; they may overlap, be empty,
    or be None. `segments`: sorted, not overlapping, not necessarily touching.
    None where a token has no visible character, or has it outside every segment.
    Raises ValueError for a token that does not lie within `text` and for segments out of order.
    """
    if any(before[1] > after[0] for before, after in pairwise(segments)):
        raise ValueError("segments must be sorted and must not overlap")
    # Runs of blanks are found once: tokens may share one, and each would search through it again.
    blanks = [match.span() for match in _BLANKS.finditer(text)]
    owners: list[int | None] = []
    for token in tokens:
        start, end = token or (0, 0)
        if not 0 <= start <= end <= len(text):
            raise ValueError(f"token {start}:{end} is not within a text of {len(text)} characters")
        run = _holding(blanks, start)
        first = start if run is None else blanks[run][1]
        owners.append(_holding(segments, first) if first < end else None)
    return owners


def _holding(spans: Sequence[Span], at: int) -> int | None:
    """The index of the one of the sorted `spans` that holds the character `at`."""
    index = bisect_right(spans, at, key=itemgetter(0)) - 1
    return index if index >= 0 and at < spans[index][1] else None


# What `str.isspace` and `str.strip` call blank; the four separators are no White_Space in Unicode.
_BLANKS = regex.compile(r"[\s\x1c-\x1f]+")

# Letters and digits, less superscripts (`m²` is one word); what UAX #29 joins to a word (one may
# begin with U+202F, the only word to begin with a blank).
_LETTER = r"[[\p{Alphabetic}\p{N}\p{WB=ALetter}]--[¹²³\u2070-\u208e]]"
_JOINER = r"[\p{WB=ExtendNumLet}\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]"
_SIGN = rf"[[\p{{P}}\p{{S}}]--[\p{{Pc}}{_LETTER}]]"
_OPENING = r"[\p{Ps}\p{Pi}]"

# A word up to its first letter, with the signs glued before it: any after a blank, else brackets and
# quotes that open, else one that `regex` does not part from the letter (`'a`, as in l'aspirine).
# Linear: a run of signs is tried from its start only, and `\b` is never asked within a run of flags,
# where it counts back to the first.
_WORD = regex.compile(
    rf"""(?: (?<!\S) \b {_SIGN}++
          | (?<!{_OPENING}) (?={_OPENING}) \b {_OPENING}++
          | (?!\p{{WB=RI}}) (?={_SIGN}) \b {_SIGN} \B
          | (?={_JOINER}|{_LETTER}) \b
        ) {_JOINER}*+ {_LETTER}""",
    regex.WORD | regex.VERBOSE | regex.VERSION1,
)


def _lines(text: str) -> Iterator[tuple[int, int, str]]:
    """The start, end and stripped content of each line; every line end that Python knows, CRLF as one."""
    start = 0
    for line in text.splitlines(keepends=True):
        yield start + len(line) - len(line.lstrip()), start + len(line), line.strip()
        start += len(line)


def _paragraph_starts(text: str) -> list[int]:
    lines = [(start, content) for start, _, content in _lines(text)]
    after_blank = [
        start for (_, before), (start, content) in pairwise([(0, ""), *lines]) if content and not before
    ]
    return after_blank if len(after_blank) > 1 else [start for start, content in lines if content]


# --- sentences ---

_BULLET = regex.compile(r"(?:[-*+o•‣◦▪·–—]|\(?(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,5})[.)])\s")
_WRAP_CHARACTERS = 50
_CLOSING = tuple(".!?:;…。！？؟۔।")


def _sentence_starts(text: str) -> Iterator[int]:
    for start, end, is_row in _blocks(text):
        yield start
        if not is_row:
            yield from (start + at for at in _breaks(text[start:end]))


def _blocks(text: str) -> list[tuple[int, int, bool]]:
    """What no sentence crosses: lines, each with the lines that continue it. (start, end, is a table row)

    A line continues in the next if it has 50 characters or more and no closing punctuation, and the next
    begins in lower case and is no bullet. A line with a tab or `|` inside is a row of a table.
    """
    blocks: list[tuple[int, int, bool]] = []
    before = ""
    for start, end, line in _lines(text):
        is_row = "\t" in line or "|" in line
        wrapped = len(before) >= _WRAP_CHARACTERS and not before.rstrip("\"')]}”’»*_").endswith(_CLOSING)
        if wrapped and line[:1].islower() and not is_row and not blocks[-1][2] and not _BULLET.match(line):
            blocks[-1] = (blocks[-1][0], end, False)
        elif line:
            blocks.append((start, end, is_row))
        before = line
    return blocks


# A word and its full stop, or an abbreviation with several, and the word after the blank.
_STOP = regex.compile(r"(?<![\w.])((?:\p{L}\p{M}*+\.?+)++)(?<=\.)(?= ++[^\w ]*+(\w*+))")
_NO_INITIAL = regex.compile(
    r"(?:\d |\b(?:hepatitis|influenza|vitamin|factor|type|group|grade|class|stage)[ -]|[-/'’])$",
    regex.IGNORECASE,
)
_NUMBERING = regex.compile(r"(?<=[.!?;] |: (?=1\.))\d{1,2}\.(?= )")
_NO_BRACKET = regex.compile(r"[<>]|(?<=\d)[\"']")
# sentencex breaks before the stars of `**Stable.** Next`, the selector of `!\ufe0f`, a blank after 30 others.
_TAIL = regex.compile(r"(?:(?<! )[\p{M}\u200d]*+(?:[*_`\"'\p{Pe}\p{Pf}]*+(?= |$))?+)?+ *+")


def _table(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Abbreviations without their full stops, by when one may be the last word of a sentence.
_NEVER_LAST = _table("dr drs mr mrs ms mx prof eg ie vs cf ca approx viz nr")
_LAST_BEFORE_CAPITAL = _table(
    "bid tid qid qd qod qhs qam qpm hs ac pc prn bd tds qds od"  # when a medicine is taken
    " mg mcg g kg ml dl l cm mm m hr hrs min mins sec wk wks yr yrs mo"  # units
    " no nos fig figs vol pp pg ch eq ref jan feb mar apr jun jul aug sep sept oct nov dec"  # 'No. 5'
    " pt pts hx dx tx rx sx fx temp wt ht max etc incl al rt abd resp bilat"
)
_LAST_BEFORE_STARTER = _table(
    "st mt tab cap inj syp gen rev col capt lt sgt hon gov sen rep sr jr co corp inc ltd ave blvd dept univ"
)
_STARTERS = _table(
    "The This That These Those There He She It We They You His Her Its Their Our My In On At After Before"
    " During For From With Without Since Then If When While As To Today No Not Patient Pt Please"
)


def _settle(match: regex.Match[str]) -> str:
    """Show a full stop that ends a sentence as `!`, and one that does not as a comma.

    An abbreviation of titles and the like never ends one; of doses, units and numbered things only before
    a capital; one with inner full stops or of a single letter (an initial) only before a word that starts
    sentences, though `hepatitis C.` and `38 C.` are no initials; any other word always.
    """
    word: str = match[1]
    following: str = match[2]
    key = word.replace(".", "").lower()
    if key in _NEVER_LAST:
        ends = False
    elif key in _LAST_BEFORE_CAPITAL and not (len(key) == 1 and word[0].isupper()):
        ends = not (following[:1].islower() or following[:1].isdigit())
    elif key in _LAST_BEFORE_STARTER or len(key) == 1 or "." in word[:-1]:
        letters = match.string[max(0, match.start() - 12) : match.start()]
        ends = following.capitalize() in _STARTERS and following[0].isupper()
        ends = ends or (len(key) == 1 and _NO_INITIAL.search(letters) is not None)
    else:
        ends = True
    return word[:-1].replace(".", ",") + ("!" if ends else ",")


# Characters given to sentencex at once: on `!-!-!-` and the like it takes the square of the length.
_WINDOW = 1000


def _breaks(block: str) -> Iterator[int]:
    """Where sentences after the first begin in `block`.

    sentencex reads a copy of the same length in which what misleads it is covered: blanks but the space
    (it panics on `"A\\xa0."`); `<`, `>` and inches, between which it skips as if within brackets or quotes;
    every full stop after a word, as its list of abbreviations joins `Lungs ok. Heart ok.`; the numbers of
    a list. A sentence of more than half a window may lose sight of what came before in it.
    """
    copy = _NO_BRACKET.sub("-", _BLANKS.sub(lambda match: " " * len(match[0]), block))
    if bullet := _BULLET.match(copy):
        copy = "," * (bullet.end() - 1) + copy[bullet.end() - 1 :]
    copy = _NUMBERING.sub(lambda match: "1" * len(match[0]), _STOP.sub(_settle, copy))
    copy = copy.rstrip()
    begin = last = 0
    while begin < len(copy):
        at = begin
        for piece in sentencex.segment("en", copy[begin : begin + _WINDOW]):
            if at > begin:
                last = _TAIL.match(copy, at).end()
                if last < len(copy):
                    yield last
            at += len(piece)
        if begin + _WINDOW >= len(copy):
            return
        begin = max(last, begin + _WINDOW // 2)
