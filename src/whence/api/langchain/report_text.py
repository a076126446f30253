"""A retrieval report in 80 columns."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.console import Console, Group
from rich.text import Text

from whence.api.langchain import report_words as words
from whence.api.langchain.report_schema import RetrievalReport
from whence.explain.render import wording
from whence.explain.render.lines import Line
from whence.explain.render.visible import visible

COLUMNS = 80


def to_text(report: RetrievalReport) -> str:
    """The sentences with their chunks, then the chunks, then the caveats; no escape codes."""
    written = io.StringIO()
    console = Console(
        file=written, width=COLUMNS, color_system=None, force_terminal=False, force_jupyter=False, _environ={}
    )
    console.print(Group(*(line.grid() for line in _lines(report))))
    return "".join(f"{line.rstrip()}\n" for line in written.getvalue().split("\n")[:-1])


def _lines(report: RetrievalReport) -> Iterator[Line]:
    yield _line("Whence", words.TITLE)
    yield _line("Model", words.one_line(report.model))
    yield _line("Provider", words.one_line(report.provider))
    yield _line("Method", words.one_line(report.method))
    yield _line("Evidence", wording.EVIDENCE[report.evidence])
    if report.removal_method is not None:
        yield _line("Removals", wording.EVIDENCE["causal"])
    if report.claims_method is not None:
        yield _line("Claims", wording.EVIDENCE["self_reported"])
    for text in words.summary(report):
        yield _line("", text)
    for number, sentence in enumerate(report.sentences):
        yield _line()
        yield _line(f"{words.noun(report).capitalize()} {number + 1}", words.one_line(sentence.text))
        for found in words.found(report, number):
            yield _line(found.sign, found.words, right=True)
    for chunk in report.chunks:
        yield _line()
        yield _line(f"Chunk {chunk.rank}", words.one_line(chunk.name))
        yield _line("", words.state(chunk))
        for name, value in words.details(report, chunk):
            yield _line(name, value, right=True)
        for name, value in chunk.metadata.items():
            yield _line("", f"{words.one_line(name)}: {words.one_line(value)}")
        yield _line("text", words.one_line(chunk.text), right=True)
    yield _line()
    for caveat in report.caveats:
        yield _line("Caveat", visible(caveat))


def _line(label: str = "", body: str = "", *, right: bool = False) -> Line:
    return Line(label=label, body=Text(body), right=right)
