"""An explanation as plain text for a file or a pipe, and shaded for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.text import Text

from whence.explain.render import lines, scale
from whence.explain.render.lines import STRONG, STYLES, Line
from whence.explain.render.ranking import Ranking, rank
from whence.explain.render.view import Drawing
from whence.explain.schema import Explanation


def to_text(explanation: Explanation, *, k: int = 3) -> str:
    """Each target with its k best passages, elsewhere, method, evidence and caveats; no escape codes.

    The sources are not repeated in full. Raises ValueError for k < 1.
    """
    drawing, rankings = _prepare(explanation, k)
    parts: list[Line] = list(lines.head(explanation))
    for index in range(len(explanation.output.targets)):
        parts += lines.target(drawing, rankings, index)
    parts += lines.methods(explanation, rankings)
    return "".join(f"{line.plain()}\n" for line in parts)


def to_terminal(explanation: Explanation, *, k: int = 3) -> RenderableType:
    """The same lines for a rich console, and under each target the sources, shaded in five steps.

    The shades are those of the primary method's shares for that target. Raises ValueError for k < 1.
    """
    drawing, rankings = _prepare(explanation, k)
    parts: list[RenderableType] = [line.grid() for line in lines.head(explanation)]
    parts.append(_legend())
    for index in range(len(explanation.output.targets)):
        parts += [line.grid() for line in lines.target(drawing, rankings, index)]
        parts += _sources(drawing, rankings[0].shares[index])
    return Group(*parts, *(line.grid() for line in lines.methods(explanation, rankings)))


def _prepare(explanation: Explanation, k: int) -> tuple[Drawing, list[Ranking]]:
    return Drawing(explanation), [rank(explanation, i, k) for i in range(len(explanation.results))]


def _legend() -> Text:
    marks = [part for step, label in scale.legend() for part in ((f" {label} ", STYLES[step]), " ")]
    return Text.assemble("Share of the evidence for a target: ", *marks, "\n")


def _sources(drawing: Drawing, shares: NDArray[np.float64]) -> Iterator[Text]:
    """Each source in full, under its name, shaded by the shares of its segments."""
    for index, name in enumerate(drawing.sources):
        body = Text()
        pieces = [(piece.number, piece.text, piece.tail) for piece in drawing.record(index)]
        regions = [(number, text, "\n") for number, text in drawing.regions(index)]
        for number, text, tail in [*pieces, *regions]:
            body.append(text, STYLES[0 if number is None else scale.step(float(shares[number]))])
            body.append(tail)
        yield from (Text(name, style=STRONG), body, Text())
