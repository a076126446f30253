"""The documentation as a page without script: the usual viewers of OpenAPI load theirs from the internet."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import PackageLoader, Template

from whence.explain.render.pages import environment, sha256

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { border-top: 1px solid #999; padding-top: 1rem; font-size: 1.1rem; }
pre { background: #f4f4f4; color: #111; padding: .75rem; overflow-x: auto; }
td, th { text-align: left; vertical-align: top; padding: .1rem 1rem .1rem 0; }
"""
POLICY = (
    f"default-src 'none'; style-src '{sha256(STYLE)}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""One style sheet, by its hash, and nothing else."""


def page(document: Mapping[str, Any]) -> str:
    """An OpenAPI document as HTML."""
    return _template().render(api=document, style=STYLE)


@cache
def _template() -> Template:
    return environment(PackageLoader("whence.api.service", package_path=".")).get_template("docs.html.jinja")
