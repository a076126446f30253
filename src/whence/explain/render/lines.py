"""What an explanation says in lines: a label in the gutter, and what stands beside it.

The evidence stands before the first passage, and the caveats after the last, where a terminal ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.style import Style
from rich.table import Table
from rich.text import Text

from whence.explain.render import describe, scale, wording
from whence.explain.render.ranking import Balance, Ranking
from whence.explain.render.view import Drawing
from whence.explain.render.visible import visible
from whence.explain.result import Result
from whence.explain.schema import Explanation

GUTTER = 12
"""Columns for the label of a line."""

# Black on blue, so that they read on a dark and on a light terminal; the upper steps also without colour.
STYLES = (
    Style(),
    Style(color="#000000", bgcolor="#e6f1fa"),
    Style(color="#000000", bgcolor="#cde3f5"),
    Style(color="#000000", bgcolor="#a9cfee"),
    Style(color="#000000", bgcolor="#7db4e3", underline=True),
    Style(color="#000000", bgcolor="#559bd9", underline=True, bold=True),
)
QUIET = Style(dim=True)
STRONG = Style(bold=True)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A label in the gutter, and what stands beside it; `right` aligns the label to the right."""

    label: str = ""
    body: Text
    right: bool = False

    def plain(self) -> str:
        """The line without any style; further lines of its body stay out of the gutter."""
        label = self.label.rjust(GUTTER) if self.right else self.label.ljust(GUTTER)
        body = self.body.plain.replace("\n", "\n" + " " * (GUTTER + 2))
        return f"{label}  {body}".rstrip()

    def grid(self) -> Table:
        """The line for a terminal, wrapped beside the gutter."""
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=GUTTER, no_wrap=True, justify="right" if self.right else "left")
        grid.add_column(overflow="fold")
        grid.add_row(Text(self.label, style=QUIET), self.body)
        return grid


def head(explanation: Explanation) -> Iterator[Line]:
    """Who was asked, when, what the scores are evidence of, and whether the output is whole."""
    primary = explanation.results[0].method
    yield Line(label="Whence", body=Text(wording.TITLES[primary.evidence], style=STRONG))
    revision = f", revision {describe.short_revision(explanation.revision)}" if explanation.revision else ""
    yield Line(label="Model", body=Text(f"{visible(explanation.model)}{revision}"))
    yield Line(label="Provider", body=Text(visible(explanation.provider)))
    yield Line(label="Made", body=Text(describe.moment(explanation.created_at)))
    for key, result in _by_key(explanation):
        yield Line(label=f"Evidence {key}".strip(), body=Text(wording.EVIDENCE[result.method.evidence]))
    if explanation.output.finish == "length":
        yield Line(label="Note", body=Text(wording.CUT, style=STRONG))
    if explanation.output.given:
        yield Line(label="Note", body=Text(wording.GIVEN, style=STRONG))
    yield _blank()


def target(drawing: Drawing, rankings: Sequence[Ranking], index: int) -> Iterator[Line]:
    """One target: its best passages, the others, elsewhere, and the checks."""
    yield Line(label=f"{index + 1}", body=Text(drawing.target(index), style=STRONG))
    for (key, result), ranking in zip(_by_key(drawing.explanation), rankings, strict=True):
        if key:
            yield Line(label=key, body=Text(visible(result.method.name), style=QUIET), right=True)
        yield from _balance(drawing, result, ranking.balances[index], index)
    yield _blank()


def _balance(drawing: Drawing, result: Result, balance: Balance, target: int) -> Iterator[Line]:
    for ranked in balance.top:
        quote = drawing.quote(ranked.segment)
        mark = (quote.text, STYLES[scale.step(ranked.share)])
        if quote.before or quote.after:
            passage = Text.assemble((quote.before, QUIET), "[", mark, "]", (quote.after, QUIET))
        else:
            passage = Text.assemble(mark)
        if quote.omitted:
            passage.append(f" … and {quote.omitted} more characters", QUIET)
        score = describe.score(ranked, result.scores)
        passage.append(f"  ({drawing.sources[quote.source]}{', ' if score else ''}{score})", QUIET)
        yield Line(label=scale.percent(ranked.share), body=passage, right=True)
    if balance.others:
        others = Text(describe.counted(balance.others, "other passage"))
        yield Line(label=scale.percent(balance.others_share), body=others, right=True)
    outside = Text(f"elsewhere: {describe.elsewhere(balance)}".removesuffix(": "))
    yield Line(label=describe.elsewhere_percent(balance), body=outside, right=True)
    if found := describe.found(balance, result.scores):
        yield Line(body=Text(found, style=QUIET))
    for name, measure in describe.measures(result).items():
        if values := describe.measured(measure, target):
            yield Line(body=Text(f"{name}: {values}", style=QUIET))


def methods(explanation: Explanation, rankings: Sequence[Ranking]) -> Iterator[Line]:
    """Each method: its evidence, elsewhere on average, what was passed over, and the caveats."""
    for (key, result), ranking in zip(_by_key(explanation), rankings, strict=True):
        method = result.method
        about = f"{visible(method.name)}: {wording.FAMILIES[method.family]}"
        yield Line(label=f"Method {key}".strip(), body=Text(about, style=STRONG))
        yield Line(label="Evidence", body=Text(wording.EVIDENCE[method.evidence]))
        if result.scores.elsewhere is None:
            average = wording.ELSEWHERE_UNMEASURED
        else:
            mean = sum(balance.elsewhere for balance in ranking.balances) / len(ranking.balances)
            average = f"{scale.percent(mean)} on average; its parts stand above"
        yield Line(label="Elsewhere", body=Text(average))
        for name, measure in describe.measures(result).items():
            if reason := describe.not_measured(measure):
                yield Line(label=name, body=Text(reason))
        for fallback in method.fallbacks:
            reason = f"{visible(fallback.method)}: {visible(fallback.reason)}"
            yield Line(label="Passed over", body=Text(reason))
        for caveat in result.caveats:
            yield Line(label="Caveat", body=Text(visible(caveat)))


def _by_key(explanation: Explanation) -> list[tuple[str, Result]]:
    return list(zip(describe.keys(len(explanation.results)), explanation.results, strict=True))


def _blank() -> Line:
    return Line(body=Text())
