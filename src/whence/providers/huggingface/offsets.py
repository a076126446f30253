"""Character offsets for tokenizers that give none: marian's, and others that are written in Python."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise
from typing import Any

from whence.providers.errors import ModelLoadError
from whence.providers.observations import Span

_BLANK = " "  # any blank, after folding
_HIDDEN = "\u2581"  # an unknown token that does not show its text; as SentencePiece's blank it is folded away

# How tokenizers mark the pieces of a word: two pieces, what a tokenizer that uses the mark joins them to,
# and the mark.
_MARKS = (
    (["a</w>", "b</w>"], "a b", re.compile(r"</w>$")),
    (["a@@", "b"], "ab", re.compile(r"@@$")),
    (["a", "##b"], "ab", re.compile(r"^##")),
)
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")

_Piece = tuple[str, int, int]  # folded characters, and the first and the last token that share them


def rebuild_offsets(
    tokenizer: Any, text: str, ids: Sequence[int], *, split_special: bool = False, target: bool = False
) -> list[Span]:
    """The characters of `text` that each of `ids` stands for: (start, end) in code points, starts rising.

    `ids` are `tokenizer(text)["input_ids"]`, with or without added special tokens, or those of
    `tokenizer(text_target=text)` where `target` is set. A span leaves out the blanks around a word; a token
    of blanks alone has them. A token without characters has the empty span where the next token starts.

    Pieces and text are compared without what tokenizers normalise away: compatibility forms, case, marks,
    controls, blanks. All the rest has to agree, or ModelLoadError is raised. Linear in the text.
    """
    try:
        pieces, own = _tokenize(tokenizer, text, split_special=split_special, target=target)
        surfaces = _surfaces(tokenizer, pieces)
        added = len(ids) - len(own)
        before = next(i for i in range(added + 1) if list(ids[i : i + len(own)]) == own)
    except Exception as error:  # tokenizers are programs of others: they may raise anything
        raise _unplaced(tokenizer, 0) from error
    unknown_id = tokenizer.unk_token_id
    unknown = [token == unknown_id for token in own]
    parts = [_fold(character) for character in text]
    folded, origins = "".join(parts), [at for at, part in enumerate(parts) for _ in part]
    spans = _align(folded, origins, _folded_pieces(surfaces, unknown), len(own))
    if isinstance(spans, int) and tokenizer.unk_token in pieces:
        # Most tokenizers show the characters of an unknown piece; this one hides them.
        shown = [None if p == tokenizer.unk_token else s for p, s in zip(pieces, surfaces, strict=True)]
        revealed = _reveal(folded, list(_folded_pieces(shown, unknown)))
        spans = _align(folded, origins, revealed, len(own))
    if isinstance(spans, int):
        raise _unplaced(tokenizer, before + spans)
    filled: list[Span] = []
    for span in reversed([*[None] * before, *spans, *[None] * (added - before)]):
        filled.append(span or ((filled[-1][0] if filled else len(text)),) * 2)
    return filled[::-1]


def _tokenize(tokenizer: Any, text: str, *, split_special: bool, target: bool) -> tuple[list[str], list[int]]:
    """Pieces and ids, without added special tokens; the library has no public way to a target's pieces."""
    if target:
        tokenizer._switch_to_target_mode()
    try:
        pieces = tokenizer.tokenize(text, split_special_tokens=split_special)
        return pieces, tokenizer.convert_tokens_to_ids(pieces)
    finally:
        if target:
            tokenizer._switch_to_input_mode()


def _surfaces(tokenizer: Any, pieces: list[str]) -> list[str]:
    """The pieces without the tokenizer's marks; bytes as <0xNN>, as SentencePiece writes them."""
    if tokenizer.tokenize("é") == ["Ã", "©"]:  # ByT5 and Perceiver: one character for each byte
        return [f"<0x{ord(piece):02X}>" if len(piece) == 1 else piece for piece in pieces]

    def joined(example: list[str]) -> str:
        with suppress(Exception):  # pieces that are not in the vocabulary are too much for some
            return str(tokenizer.convert_tokens_to_string(example))
        return ""

    for example, result, mark in _MARKS:
        if joined(example) == result:
            pieces = [mark.sub("", piece) for piece in pieces]
    if joined(["&amp;</w>"]) == "&":  # Moses escapes HTML, and puts hyphens between at-signs
        pieces = [html.unescape(piece).replace("@-@", "-") for piece in pieces]
    return pieces


@lru_cache(maxsize=1 << 16)
def _fold(text: str) -> str:
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(_BLANK if c == "\u2581" or c.isspace() else c for c in folded)


@lru_cache(maxsize=1 << 16)
def _may_vanish(folded: str) -> bool:
    """Whether a tokenizer may leave this out, or make a blank of it."""
    return folded in {_BLANK, "\ufffd"} or unicodedata.category(folded) in {"Mn", "Me", "Cc", "Cf"}


def _folded_pieces(surfaces: Sequence[str | None], unknown: list[bool]) -> Iterator[_Piece]:
    """The pieces, folded; those that make one character together, or are hidden together, as one."""
    held = b""
    first = 0
    for number, surface in enumerate(surfaces):
        if surface is None:
            first = first if number and surfaces[number - 1] is None else number
            if number + 1 == len(surfaces) or surfaces[number + 1] is not None:
                yield _HIDDEN, first, number
        elif (byte := _BYTE.fullmatch(surface)) and not unknown[number]:
            first = first if held else number
            held += bytes.fromhex(byte[1])
            with suppress(UnicodeDecodeError):
                yield _fold(held.decode()), first, number
                held = b""
        else:
            # Character by character, as the text: a whole would have its marks sorted.
            yield "".join(map(_fold, surface)), number, number


def _align(text: str, origins: list[int], pieces: Iterable[_Piece], count: int) -> list[Span | None] | int:
    """The span of each of `count` tokens, or the number of the one with which the text does not go on."""
    spans: list[Span | None] = [None] * count
    at = 0
    for piece, first, last in pieces:
        found: list[int] = []
        for character in piece:
            here = at
            # A blank is not looked for further on: SentencePiece puts one in front that no text has.
            if character != _BLANK:
                while here < len(text) and text[here] != character and _may_vanish(text[here]):
                    here += 1
            if text[here : here + 1] == character:
                found.append(here)
                at = here + 1
            elif not _may_vanish(character):
                return first
        if found:
            found = [here for here in found if text[here] != _BLANK] or found
            spans[first : last + 1] = [(origins[found[0]], origins[found[-1]] + 1)] * (last + 1 - first)
    return spans if all(map(_may_vanish, text[at:])) else count


def _reveal(text: str, pieces: list[_Piece]) -> list[_Piece]:
    """`pieces` with what is hidden filled in from the text, if it can be filled in only one way."""
    text = "".join(c for c in text if not _may_vanish(c))
    runs = "".join(c for piece, *_ in pieces for c in piece if not _may_vanish(c)).split(_HIDDEN)
    mirrored = [run[::-1] for run in reversed(runs)]
    ends = [start + len(run) for start, run in zip(_leftmost(mirrored, text[::-1]), mirrored, strict=True)]
    starts = _leftmost(runs, text)
    if starts != [len(text) - end for end in reversed(ends)]:
        return pieces
    hidden = (text[a + len(run) : b] for run, (a, b) in zip(runs, pairwise(starts), strict=False))
    return [(next(hidden) if p == _HIDDEN else p, first, last) for p, first, last in pieces]


def _leftmost(runs: list[str], text: str) -> list[int]:
    """Where the runs begin: as far left as can be with something between them, the last at the end."""
    starts = [0]
    for before, run in pairwise(runs[:-1]):
        starts.append(text.find(run, starts[-1] + len(before) + 1))
    return [*starts, len(text) - len(runs[-1])]


def _unplaced(tokenizer: Any, number: int) -> ModelLoadError:
    return ModelLoadError(
        f"{type(tokenizer).__name__} does not tell which characters its tokens stand for, and around token "
        f"{number} its pieces differ from the text by more than blanks, case and accents; use the fast "
        "version of this tokenizer"
    )
