r"""A text as words that can be compared: without case, punctuation, blanks and escapes, by exact offsets.

Escapes of JSON, Python and HTML are read as what they stand for wherever they are, as nothing says which
texts are escaped, or how often: `C:\new` is misread, and alike in every text.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from html.entities import html5
from typing import NamedTuple

import regex  # type: ignore[import-untyped]

_SIGNS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"  # no blanks between words
_LETTERS = rf"[\w--[_{_SIGNS}]]++"
_WORD = regex.compile(
    rf"[{_SIGNS}]\p{{M}}*+ | {_LETTERS} (?: [\p{{Cf}}\0]++ {_LETTERS} )*+"
    r"| [\p{Extended_Pictographic}\p{Regional_Indicator}]",
    regex.VERBOSE | regex.VERSION1,
)
_UNSEEN = regex.compile(r"[\p{Cf}\0]+")  # databases drop NUL
# As many backslashes as the text was escaped times; so is `amp;`.
_ESCAPE = regex.compile(
    r"""\\++ (?: u(?P<high>[dD][89abAB]\p{ahex}{2}) \\++ u(?P<low>[dD][c-fC-F]\p{ahex}{2})
               | (?: u(?P<code>\p{ahex}{4}) | U(?P<code>000\p{ahex}{5}) | x(?P<code>\p{ahex}{2}) )
               | (?P<letter>[nrtbfvNRTBFV]) | (?P<mark>["'/]) )?
      | & (?:amp;|AMP;)*+ (?: (?: \#(?P<decimal>[0-9]{1,7}) | \#[xX](?P<code>\p{ahex}{1,6})
                                | (?P<name>[A-Za-z][A-Za-z0-9]{1,31}) ) ; )?""",
    regex.VERBOSE,
)
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v"}


class Words(NamedTuple):
    """`plain`: the text without escapes; `offsets`: of each of its characters in the text, and of its end.

    `edges`: start and end of each word in the plain text; `words`: as they are compared.
    """

    plain: str
    offsets: Sequence[int]
    edges: list[tuple[int, int]]
    words: list[str]


def unescape(text: str) -> tuple[str, Sequence[int]]:
    """The plain text, and its offsets."""
    if "\\" not in text and "&" not in text:
        return text, range(len(text) + 1)
    pieces: list[str] = []
    offsets: list[int] = []
    last = 0
    for escape in _ESCAPE.finditer(text):
        start, end = escape.span()
        meaning = _meaning(escape)
        pieces += text[last:start], meaning
        offsets += range(last, start + 1)
        offsets += range(end - len(meaning) + 1, end)
        last = end
    return "".join([*pieces, text[last:]]), [*offsets, *range(last, len(text) + 1)]


def _meaning(escape: regex.Match[str]) -> str:
    """The character that an escape stands for; where it is none, its end without what escapes it."""
    if escape["high"]:
        return chr(0x10000 + (int(escape["high"], 16) - 0xD800) * 0x400 + int(escape["low"], 16) - 0xDC00)
    if escape["code"] or escape["decimal"]:
        code = int(escape["code"], 16) if escape["code"] else int(escape["decimal"])
        return chr(code) if code <= 0x10FFFF else "\ufffd"
    if escape["name"]:
        meaning = html5.get(escape["name"] + ";", "")
        return meaning if len(meaning) == 1 else f"&{escape['name']};"
    if escape["letter"]:
        return _CONTROLS[escape["letter"].lower()]
    return str(escape["mark"] or escape[0][0])


def read(text: str, cuts: Iterable[int] = ()) -> Words:
    """The words of a text. `cuts`: where else words end, in order, in the plain text."""
    plain, offsets = unescape(text)
    edges = [match.span() for match in _WORD.finditer(plain)]
    for cut in cuts:
        at = bisect_right(edges, (cut, 0)) - 1
        if at >= 0 and edges[at][0] < cut < edges[at][1]:
            edges[at : at + 1] = [(edges[at][0], cut), (cut, edges[at][1])]
    return Words(plain, offsets, edges, [_folded(plain[start:end]) for start, end in edges])


def _folded(word: str) -> str:
    if word.isascii() and "\0" not in word:
        return word.lower()
    word = unicodedata.normalize("NFKC", _UNSEEN.sub("", word))
    return unicodedata.normalize("NFKC", word.casefold())
