"""The page of a retrieval report: it runs nothing, loads nothing, and can be mailed and printed.

As the page of an explanation (`whence.explain.render.html`), whose style sheet it shares: the template
escapes every value, all text of others has been through `visible`, and the content security policy allows
that style sheet, by its hash, and nothing else.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader

from whence.api.langchain import report_words as words
from whence.api.langchain.report_schema import RetrievalReport
from whence.explain.render import scale, wording
from whence.explain.render.pages import environment, sha256
from whence.explain.render.visible import visible


def to_html(report: RetrievalReport) -> str:
    """The whole page, as text to be written in UTF-8. It holds the chunks in full."""
    css = _style()
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            css=css,
            css_source=sha256(css),
            report=report,
            words=words,
            wording=wording,
            noun=words.noun(report),
        )
    )


@cache
def _environment() -> Environment:
    own = environment(PackageLoader("whence.api.langchain", package_path="."))
    own.filters.update(visible=visible, one_line=words.one_line, percent=scale.percent, step=scale.step)
    return own


@cache
def _style() -> str:
    return files("whence.explain.render").joinpath("page.css").read_text("utf-8")
