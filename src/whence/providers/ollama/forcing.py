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

UNKNOWN = "\ufffd"
"""Stands for bytes that are no character by themselves, in what llama.cpp says of a token."""
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
    """Some characters [start, end) of a text, and their log-probability; None where nothing is told."""

    start: int
    end: int
    logprob_nats: float | None


def schema_of(text: str) -> dict[str, str]:
    """The `format` that allows nothing but this text."""
    return {"const": text}


def longest_literal_tokens(text: str) -> int:
    """The most tokens in which a model can write it: one for each byte, and the end."""
    return len(json.dumps(text, ensure_ascii=False).encode()) + 1


def align(written: str, entries: Sequence[Entry], text: str) -> tuple[Told, ...]:
    """What is told of the characters of `text`, from what was written for it and of each token of that.

    Tokens of the JSON alone (its quotation marks) are left out; one that holds a part of the text, too,
    counts for that. llama.cpp holds back tokens that end within a character, and of these nothing is told.
    Raises ProviderError where `written` is not the text, or the tokens are not what was written.
    """
    characters = _characters(written, text)
    found: list[Told] = []
    at = 0
    for entry in entries:
        if not entry.text:  # a control token
            continue
        start, end, told = _place(written, at, entry.text)
        found += _told(characters[at:start], None)
        found += _told(characters[start:end], entry.logprob_nats if told else None)
        at = end
    return (*found, *_told(characters[at:], None))


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
            "Ollama wrote something else than the text that it was to score, so its version does not hold "
            "itself to a format; compare texts (value='similarity')"
        )
    inside = UNITS.findall(literal[1:-1])
    marks: list[int | None] = [None] * (before + 1)
    return [*marks, *(place for place, unit in enumerate(inside) for _ in unit), *[None] * (after + 1)]


def _place(written: str, at: int, token: str) -> tuple[int, int, bool]:
    """Where the next token stands from `at` on, and whether it is of whole characters."""
    body = token.lstrip(UNKNOWN)
    cut = len(body) < len(token)
    start = at + 1 if cut else at
    while start <= len(written):
        held_back = written[at:start]
        if written.startswith(body, start) and (not held_back or not held_back.isascii()):
            return (start - 1 if cut else start), start + len(body), not cut
        start += 1
    raise ProviderError(
        "Ollama's log-probabilities do not fit the text that it wrote; compare texts (value='similarity')"
    )


def _told(characters: Sequence[int | None], logprob_nats: float | None) -> list[Told]:
    own = [character for character in characters if character is not None]
    return [Told(start=own[0], end=own[-1] + 1, logprob_nats=logprob_nats)] if own else []
