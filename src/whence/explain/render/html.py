"""The page: an explanation as HTML that runs nothing, loads nothing and can be mailed and printed.

Its template escapes every value; all text has been through `visible`; the content security policy allows
one style sheet, by its hash, and nothing else.
"""

from __future__ import annotations

from functools import cache
from html import escape

from jinja2 import Environment, PackageLoader

from whence.explain.render import describe, scale, wording
from whence.explain.render.pages import environment, sha256
from whence.explain.render.ranking import mentions, rank
from whence.explain.render.view import Drawing
from whence.explain.render.visible import visible
from whence.explain.schema import Explanation

TOP = 5
"""Passages listed under a target: the file stays small, and the numbers say what the list leaves out."""


def to_html(explanation: Explanation) -> str:
    """The whole page, as text to be written in UTF-8. It holds the sources in full."""
    return _page(explanation, here="")


def to_frame(explanation: Explanation) -> str:
    """The same page for a notebook's cell, in a frame that may run nothing and reach nothing."""
    # A bare "#t1" would lead out of the frame's page, to the address of the notebook.
    page = escape(_page(explanation, here="about:srcdoc"))
    return (
        '<iframe title="Whence: explanation" sandbox="" width="100%" height="640" frameborder="0"'
        f' srcdoc="{page}"></iframe>'
    )


def _page(explanation: Explanation, here: str) -> str:
    """`here`: the page's own address, which its inner links begin with."""
    rankings = [rank(explanation, result, TOP) for result in range(len(explanation.results))]
    css, drawing = _style(), Drawing(explanation)
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            here=here,
            css=css,
            css_source=sha256(css),
            e=explanation,
            drawing=drawing,
            rankings=rankings,
            describe=describe,
            keys=describe.keys(len(rankings)),
            mentions=mentions(rankings),
            names=dict(zip((source.id for source in explanation.sources), drawing.sources, strict=True)),
            several=len(rankings) > 1,
            kind=wording.TARGETS[explanation.output.targets[0].kind],
            wording=wording,
            legend=scale.legend(),
            unshaded=scale.EDGES_PERCENT[0],
        )
    )


@cache
def _environment() -> Environment:
    own = environment(_loader())
    own.filters.update(
        visible=visible,
        percent=scale.percent,
        step=scale.step,
        quantity=scale.quantity,
    )
    return own


@cache
def _style() -> str:
    return _loader().get_source(_environment(), "page.css")[0]


@cache
def _loader() -> PackageLoader:
    return PackageLoader("whence.explain.render", package_path=".")
