"""Fit a prompt into a model's context, when asked to: whole sentences go, from the end of the sources."""

from __future__ import annotations

from dataclasses import dataclass, replace

from whence.explain.segments import split
from whence.providers.errors import ContextLengthError
from whence.providers.prompt import Prompt, Source

CAUTION = 0.5
"""The part of the characters that seem too many which one step takes away: the end of a text may have more
tokens for its characters than its beginning, as one of ideographs has after one of English."""


@dataclass(frozen=True, kw_only=True)
class Shortened:
    """A prompt, and sentences that say what was left out of it."""

    prompt: Prompt
    left_out: tuple[tuple[str, int, int], ...] = ()
    """(name of the source, characters kept, characters it had)"""

    @property
    def caveats(self) -> tuple[str, ...]:
        """What a reader must know."""
        return tuple(
            f"The model did not read all of {name!r}: only its first {kept} of {had} characters fitted."
            for name, kept, had in self.left_out
        )


def shorten(shortened: Shortened, error: ContextLengthError) -> Shortened:
    """Leave out the last sentence, and those before it that seem too many, going by what `error` says.

    Raises `error` again where nothing would be left to explain.
    """
    sources = shortened.prompt.sources
    lengths_kept = [len(source.text) for source in sources]
    wanted = CAUTION * sum(lengths_kept) * error.excess_tokens / error.tokens
    sentences = [(i, *span) for i, source in enumerate(sources) for span in split(source.text, "sentence")]
    gone = 0
    for index, start, end in reversed(sentences):
        if gone and gone + end - start > wanted:
            break
        lengths_kept[index] = start
        gone += end - start
    texts = [source.text[:kept] for source, kept in zip(sources, lengths_kept, strict=True)]
    if not any(text.strip() for text in texts):
        raise error
    had = {name: length for name, _, length in shortened.left_out}
    lengths = {source.name: had.get(source.name, len(source.text)) for source in sources}
    left_out = tuple(
        (source.name, len(text), lengths[source.name])
        for source, text in zip(sources, texts, strict=True)
        if len(text) < lengths[source.name]
    )
    return Shortened(prompt=_with_texts(shortened.prompt, texts), left_out=left_out)


def _with_texts(prompt: Prompt, texts: list[str]) -> Prompt:
    remaining = iter(texts)
    return Prompt(
        messages=tuple(
            replace(
                message,
                content=tuple(
                    replace(part, text=next(remaining)) if isinstance(part, Source) else part
                    for part in message.parts
                ),
            )
            for message in prompt.messages
        )
    )
