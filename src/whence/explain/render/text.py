"""An explanation as plain text for a file or a pipe, and shaded for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from whence.explain.render import describe, lines, scale
from whence.explain.render.lines import QUIET, STRONG, STYLES
from whence.explain.render.ranking import Ranking, mentions, rank
from whence.explain.render.view import Drawing
from whence.explain.schema import Explanation


def to_text(explanation: Explanation, *, k: int = 3) -> str:
    """Each target with its k best passages, elsewhere, method, evidence and caveats; no escape codes.

    The sources are not repeated in full. Raises ValueError for k < 1.
    """
    drawing, rankings = _prepare(explanation, k)
    parts = (lines.head(explanation), lines.targets(drawing, rankings), lines.methods(explanation, rankings))
    return "".join(f"{line.plain()}\n" for part in parts for line in part)


def to_terminal(explanation: Explanation, *, k: int = 3) -> RenderableType:
    """The same lines for a rich console, and before the methods the sources in full, in five shades.

    A passage of a source is shaded by its largest share for any one target, by the primary method, and
    followed by the numbers of the targets that list it. Raises ValueError for k < 1.
    """
    drawing, rankings = _prepare(explanation, k)
    return Group(
        *(line.grid() for line in lines.head(explanation)),
        *(line.grid() for line in lines.targets(drawing, rankings)),
        _legend(),
        *_sources(drawing, rankings),
        *(line.grid() for line in lines.methods(explanation, rankings)),
    )


def _prepare(explanation: Explanation, k: int) -> tuple[Drawing, list[Ranking]]:
    return Drawing(explanation), [rank(explanation, i, k) for i in range(len(explanation.results))]


def _legend() -> Text:
    marks = [part for step, label in scale.legend() for part in ((f" {label} ", STYLES[step]), " ")]
    return Text.assemble("Largest share for any one target: ", *marks, "\n")


def _sources(drawing: Drawing, rankings: list[Ranking]) -> list[Text]:
    """Each source in full, under its name."""
    keys, listed = describe.keys(len(rankings)), mentions(rankings)
    numbers = {
        segment: f" [{' '.join(f'{keys[result]}{target + 1}' for result, target in pairs)}]"
        for segment, pairs in listed.items()
    }
    sources: list[Text] = []
    for index, name in enumerate(drawing.sources):
        body = Text()
        pieces = [(piece.number, piece.text, piece.tail) for piece in drawing.record(index)]
        regions = [(number, text, "\n") for number, text in drawing.regions(index)]
        for number, text, tail in [*pieces, *regions]:
            peak = 0.0 if number is None else float(rankings[0].peak[number])
            body.append(text, STYLES[scale.step(peak)])
            body.append("" if number is None else numbers.get(number, ""), QUIET)
            body.append(tail)
        sources += [Text(name, style=STRONG), body, Text()]
    return sources
