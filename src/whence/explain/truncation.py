"""Fit a prompt into a model's context, when asked to: whole sentences go, from the end of the sources."""

from __future__ import annotations

from dataclasses import dataclass, replace

from whence.explain.segments import split
from whence.providers.errors import ContextLengthError
from whence.providers.prompt import Message, Prompt, Source

MIN_CHARACTERS_PER_TOKEN = 2
"""Fewer than text has, so that a step takes away too little rather than too much."""


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
    """Leave out at least one more sentence, and about as many as `error` asks for.

    Raises `error` again where nothing would be left to explain.
    """
    wanted = error.excess_tokens * MIN_CHARACTERS_PER_TOKEN
    texts = [source.text for source in shortened.prompt.sources]
    had = {name: length for name, _, length in shortened.left_out}
    for index in range(len(texts) - 1, -1, -1):
        before = len(texts[index])
        kept = next(
            (start for start, _ in reversed(split(texts[index], "sentence")) if before - start >= wanted), 0
        )
        texts[index] = texts[index][:kept]
        wanted -= before - kept
        if wanted <= 0:
            break
    if not any(text.strip() for text in texts):
        raise error
    sources = shortened.prompt.sources
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
            Message(
                role=message.role,
                content=tuple(
                    replace(part, text=next(remaining)) if isinstance(part, Source) else part
                    for part in message.parts
                ),
            )
            for message in prompt.messages
        )
    )
