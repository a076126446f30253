"""What a FakeProvider reads: words."""

from __future__ import annotations

import re

from whence.providers.observations import Token
from whence.providers.prompt import Prompt

PUNCTUATION = ".,;:!?"


def bare(text: str) -> set[str]:
    """The words of a text, without punctuation."""
    return {word.strip(PUNCTUATION) for word in text.split()}


def words_of(prompt: Prompt) -> frozenset[str]:
    """The words of all sources, without punctuation."""
    keys, words = prompt_tokens(prompt)
    return frozenset(word for key, word in zip(keys, words, strict=True) if key.part == "source")


def prompt_tokens(prompt: Prompt) -> tuple[tuple[Token, ...], list[str]]:
    """The first token is the sink; each word of the prompt follows, stripped of punctuation."""
    keys = [Token(part="sink", text="<s>")]
    words = [""]
    for turn in prompt.turns():
        for match in re.finditer(r"\S+", turn.text):
            start, end = match.span()
            words.append(match.group().strip(PUNCTUATION))
            place = next(((i, a) for i, a, b in turn.sources if a <= start and end <= b), None)
            if place is not None:
                index, begin = place
                keys.append(
                    Token(part="source", source=index, start=start - begin, end=end - begin, text=match[0])
                )
            elif any(a <= start and end <= b for a, b in turn.instructions):
                keys.append(Token(part="instruction", text=match[0]))
            else:
                keys.append(Token(part="template", text=match[0]))
    return tuple(keys), words
