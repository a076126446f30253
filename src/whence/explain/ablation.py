"""A prompt without some of its segments: what is left reads as if they had never stood there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whence.explain.schema import Segment
from whence.providers.prompt import Message, Prompt, Source

Mask = NDArray[np.bool_]
"""One entry for each segment that can be removed: whether it is kept."""


class _Piece(NamedTuple):
    """A segment's text and the blanks after it; `part`: its place among those that can be removed."""

    body: str
    blanks: str
    part: int | None


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """A prompt, divided into what can be removed.

    `removable`: indices of the segments with any visible character, in order; the masks are over these.
    """

    prompt: Prompt
    removable: tuple[int, ...]
    pieces: tuple[tuple[_Piece, ...], ...]

    @classmethod
    def of(cls, prompt: Prompt, ids: Sequence[str], segments: Sequence[Segment]) -> Ablation:
        """`segments` partition the text of each source; `ids`: of `prompt.sources`, in their order."""
        texts = {name: source.text for name, source in zip(ids, prompt.sources, strict=True)}
        pieces: dict[str, list[_Piece]] = {name: [] for name in ids}
        removable: list[int] = []
        for index, segment in enumerate(segments):
            text = texts[segment.source][segment.start : segment.end]
            body = text.rstrip()
            if body:
                removable.append(index)
            part = len(removable) - 1 if body else None
            pieces[segment.source].append(_Piece(body, text[len(body) :], part))
        return cls(
            prompt=prompt,
            removable=tuple(removable),
            pieces=tuple(tuple(pieces[name]) for name in ids),
        )

    def __len__(self) -> int:
        return len(self.removable)

    def keeping(self, mask: Mask) -> Prompt:
        """The prompt with the segments of `mask` only.

        Instructions and messages stay. A source of which nothing is left goes with the lines around it,
        unless its message would be empty then.
        """
        texts = iter([_joined(pieces, mask) for pieces in self.pieces if any(p.body for p in pieces)])
        return Prompt(messages=tuple(_with(message, texts) for message in self.prompt.messages))

    def full(self) -> Mask:
        """The mask that removes nothing."""
        return np.ones(len(self), dtype=np.bool_)

    def without(self, parts: Sequence[int]) -> Mask:
        """Masks, one for each of `parts`, that remove that one alone: parts x segments."""
        masks = np.ones((len(parts), len(self)), dtype=np.bool_)
        masks[np.arange(len(parts)), list(parts)] = False
        return masks


def _joined(pieces: Sequence[_Piece], mask: Mask) -> str:
    """What is kept of a source, with a line or paragraph still parted where the removed text parted it."""
    text, blanks = "", ""
    for body, after, part in pieces:
        if part is not None and mask[part]:
            text += blanks + body if text else body
            blanks = after
        else:  # the removed text may have ended a line or a paragraph, which the text before it now ends
            blanks = max(blanks, after, key=_parting)
    return text + (pieces[-1].blanks if text else "")


def _parting(blanks: str) -> tuple[int, bool]:
    """How far blanks part what they stand between: by so many lines, else by a blank or not at all."""
    return len(f"{blanks}.".splitlines()), bool(blanks)


def _with(message: Message, texts: Iterator[str]) -> Message:
    content: list[str | Source] = []
    gone: list[str | Source] = []
    for part in message.parts:
        if not isinstance(part, Source):
            content.append(part)
            continue
        left = replace(part, text=next(texts)) if part.text.strip() else part
        (content if left.text.strip() or left is part else gone).append(left)
    said = any(isinstance(part, Source) or part.strip() for part in content)
    return replace(message, content=tuple(content if said else gone or content))
