"""What is drawn, whatever it is drawn on: passages with their surroundings, and records in pieces.

All text in here has been through `visible`. Its offsets were applied before, character by character.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from whence.explain.render.visible import blanks_visible, visible, visible_characters
from whence.explain.schema import Explanation

EXCERPT = 600
"""Characters of a passage that a list shows; the record shows all of them."""
CONTEXT = 40
"""Characters on either side of a token or word: by itself it says little."""


@dataclass(frozen=True, kw_only=True)
class Quote:
    """A passage to be shown: `text` is what the model's evidence is about, the rest surrounds it.

    `omitted`: characters of the passage that are not shown.
    """

    before: str
    text: str
    after: str
    omitted: int
    source: int


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A stretch of a text: span `number`, or None for characters that belong to no span.

    `tail`: the blanks that end it, apart, so that a mark sits at the end of the words.
    """

    number: int | None
    text: str
    tail: str


class Drawing:
    """An explanation's texts, ready to be drawn."""

    def __init__(self, explanation: Explanation) -> None:
        self.explanation = explanation
        self._position = {source.id: index for index, source in enumerate(explanation.sources)}
        self._sources = [visible_characters(source.text or "") for source in explanation.sources]
        self._output = visible_characters(explanation.output.text)
        self._spans: list[list[tuple[int, int, int]]] = [[] for _ in explanation.sources]
        for index, segment in enumerate(explanation.segments):
            if segment.start is not None and segment.end is not None:
                self._spans[self._position[segment.source]].append((index, segment.start, segment.end))
        self.sources = tuple(
            visible(source.name).strip() or f"source {number}"
            for number, source in enumerate(explanation.sources, start=1)
        )

    def quote(self, index: int) -> Quote:
        """One segment as a passage, with its surroundings if it is a token or a word."""
        segment = self.explanation.segments[index]
        source = self._position[segment.source]
        if segment.box is not None:
            left, top, right, bottom = segment.box
            text = f"the region from ({left}, {top}) to ({right}, {bottom}), in pixels"
            return Quote(before="", text=text, after="", omitted=0, source=source)
        start, end = segment.start or 0, segment.end or 0
        drawn = self._sources[source]
        text = "".join(drawn[start : min(end, start + EXCERPT)])
        words = text.strip()
        before = after = ""
        if words and segment.kind in ("token", "word"):
            # The blanks of the segment itself belong to its surroundings.
            lead, tail = text[: text.index(words)], text[text.index(words) + len(words) :]
            before = _line_end("".join(drawn[max(0, start - CONTEXT) : start]) + lead, cut=start > CONTEXT)
            after = _line_start(tail + "".join(drawn[end : end + CONTEXT]), cut=end + CONTEXT < len(drawn))
        omitted = max(0, end - start - EXCERPT)
        return Quote(
            before=before,
            text=words or blanks_visible(text),
            after="…" if omitted else after,
            omitted=omitted,
            source=source,
        )

    def regions(self, source: int) -> list[tuple[int, str]]:
        """The segments of an image, by number, in words."""
        name = self.explanation.sources[source].id
        return [
            (index, self.quote(index).text)
            for index, segment in enumerate(self.explanation.segments)
            if segment.source == name and segment.box is not None
        ]

    def target(self, index: int) -> str:
        """The words of one target, without the blanks around them."""
        target = self.explanation.output.targets[index]
        text = "".join(self._output[target.start : target.end])
        return text.strip() or blanks_visible(text)

    def output(self) -> list[Piece]:
        """The output as a whole, piece by piece."""
        targets = self.explanation.output.targets
        return _pieces(self._output, [(i, t.start, t.end) for i, t in enumerate(targets)])

    def record(self, source: int) -> list[Piece]:
        """A source as a whole, piece by piece; an image has none."""
        return _pieces(self._sources[source], self._spans[source])


def _pieces(drawn: Sequence[str], spans: Sequence[tuple[int, int, int]]) -> list[Piece]:
    """The text cut at its spans; where tokens overlap, a character stays with the first."""
    pieces: list[Piece] = []
    at = 0
    for number, start, end in spans:
        if start > at:
            pieces.append(_piece(None, drawn[at:start]))
        pieces.append(_piece(number, drawn[max(at, start) : end]))
        at = max(at, end)
    if at < len(drawn):
        pieces.append(_piece(None, drawn[at:]))
    return pieces


def _piece(number: int | None, drawn: Sequence[str]) -> Piece:
    text = "".join(drawn)
    words = text.rstrip()
    return Piece(number=number, text=words, tail=text[len(words) :])


def _line_end(text: str, *, cut: bool) -> str:
    """The last line of what comes before a passage; where it was cut off, from a whole word on."""
    line = text[text.rfind("\n") + 1 :]
    if not cut or line != text:
        return line
    return f"…{line[max(0, line.find(' ')) :]}"


def _line_start(text: str, *, cut: bool) -> str:
    """The first line of what comes after a passage; where it is cut off, up to a whole word."""
    line = text.split("\n", 1)[0]
    if not cut or line != text:
        return line
    return f"{line[: line.rfind(' ') + 1] or line}…"
