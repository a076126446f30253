"""Scoring a given text by making the model write it: as a JSON string, which is all that can be forced.

Its `format` takes a JSON schema, and `{"const": text}` allows one answer only: the text as a JSON string.
The log-probabilities it reports with it are of the whole vocabulary, whatever the grammar forbids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from whence.providers.errors import ProviderError
from whence.providers.observations import Span

UNKNOWN = "\ufffd"
"""Stands for bytes that are no character by themselves, in what llama.cpp says of a token."""
FIRST_BEYOND_ASCII = 0x80
MOST_SPACE = 22
"""Characters that llama.cpp's grammars allow after a value: two line breaks and twenty blanks."""
UNITS = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]", re.DOTALL
)
"""What stands for one character inside a JSON string (RFC 8259, section 7)."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is told of one token: its text, and its log-probability in nats."""

    text: str
    logprob_nats: float


@dataclass(frozen=True, kw_only=True)
class Told:
    """Some characters [start, end) of a text, and their log-probability; None where nothing is told.

    `extent`: what was scored for them, in bytes of what was written: with a quotation mark, perhaps.
    """

    start: int
    end: int
    logprob_nats: float | None
    extent: Span


def schema_of(text: str) -> dict[str, str]:
    """The `format` that allows nothing but this text."""
    return {"const": text}


def longest_literal_tokens(text: str) -> int:
    """The most tokens in which a model can write it: one for each byte, white space after it, and the end."""
    return len(json.dumps(text, ensure_ascii=False).encode()) + MOST_SPACE + 1


def align(written: str, entries: Sequence[Entry], text: str, *, tokens: int) -> tuple[Told, ...]:
    """What is told of the characters of `text`, from what was written for it and of each token of that.

    Tokens of the JSON alone (its quotation marks) are left out; one that holds a part of the text, too,
    counts for that. `tokens`: how many were written, with the end. From 0.30 on Ollama tells nothing of
    tokens that end within a character, and of the one that completes it as if it were all of them: where some
    are not told, those with characters beyond ASCII are taken to be such. Before that each token has its
    entry, with a U+FFFD for each byte that is no character by itself.

    Raises ProviderError where `written` is not the text, or the tokens are not what was written.
    """
    characters = _characters(written, text)
    whole = written.encode()
    owner = [place for place, character in enumerate(written) for _ in character.encode()]
    held_back = tokens - len(entries) > 1  # beside the end
    found: list[Told] = []
    at = 0

    def add(start: int, end: int, logprob_nats: float | None) -> None:
        own = [c for place in owner[start:end] if (c := characters[place]) is not None]
        if own:
            found.append(Told(start=own[0], end=own[-1] + 1, logprob_nats=logprob_nats, extent=(start, end)))

    for entry in entries:
        if not entry.text:  # a control token
            continue
        start, end = _place(whole, at, entry.text)
        doubtful = held_back and not entry.text.isascii()
        add(at, start, None)
        add(start, end, None if doubtful else entry.logprob_nats)
        at = end
    add(at, len(whole), None)
    return tuple(found)


def with_blanks(told: Sequence[Told], text: str) -> tuple[Told, ...]:
    """The same, with blanks counted to what follows them: after another prompt the two may be one token."""
    found: list[Told] = []
    for one in told:
        before = found[-1] if found else None
        if before is None or not text[before.start : before.end].isspace():
            found.append(one)
            continue
        known = [own.logprob_nats for own in (before, one) if own.logprob_nats is not None]
        found[-1] = Told(
            start=before.start,
            end=one.end,
            logprob_nats=sum(known) if len(known) > 1 else None,
            extent=(before.extent[0], one.extent[1]),
        )
    return tuple(found)


def _characters(written: str, text: str) -> list[int | None]:
    """For each character of what was written that of the text which it stands for; None for the marks."""
    literal = written.strip()
    before = len(written) - len(written.lstrip())
    after = len(written) - len(literal) - before
    try:
        same = json.loads(literal) == text
    except ValueError:
        same = False
    if not same:
        raise ProviderError(
            "Ollama wrote something else than the text that it was to score: its version does not hold "
            "itself to a format (0.13.2 is the first that can write line breaks and quotes so), or the text "
            "holds a control token of the model; compare texts (value='similarity')"
        )
    inside = UNITS.findall(literal[1:-1])
    marks: list[int | None] = [None] * (before + 1)
    return [*marks, *(place for place, unit in enumerate(inside) for _ in unit), *[None] * (after + 1)]


def _place(whole: bytes, at: int, token: str) -> tuple[int, int]:
    """Where the next token stands from byte `at` on: its first byte, and the one after its last."""
    said = token.encode()
    if whole.startswith(said, at):
        return at, at + len(said)
    core = token.strip(UNKNOWN)
    before = len(token) - len(token.lstrip(UNKNOWN))
    after = len(token) - len(core) - before
    middle = at + before
    end = middle + len(core.encode()) + after
    cut = whole[at:middle] + whole[end - after : end]
    of_characters = len(cut) == before + after and all(byte >= FIRST_BEYOND_ASCII for byte in cut)
    if cut and of_characters and whole.startswith(core.encode(), middle):
        return at, end
    start = whole.find(said, at)
    if start < 0 or whole[at : start + len(said)].isascii():  # what is held back ends beyond ASCII
        raise ProviderError(
            "Ollama's log-probabilities do not fit the text that it wrote; compare texts (value='similarity')"
        )
    return start, start + len(said)
