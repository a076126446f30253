"""The documentation as a page without script: the usual viewers of OpenAPI load theirs from the internet."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, Template

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { border-top: 1px solid #999; padding-top: 1rem; font-size: 1.1rem; }
pre { background: #f4f4f4; color: #111; padding: .75rem; overflow-x: auto; }
td, th { text-align: left; vertical-align: top; padding: .1rem 1rem .1rem 0; }
"""
_STYLE_SHA256 = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_SHA256}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""One style sheet, by its hash, and nothing else."""


def page(document: Mapping[str, Any]) -> str:
    """An OpenAPI document as HTML."""
    return _template().render(api=document, style=STYLE)


@cache
def _template() -> Template:
    loader = PackageLoader("whence.api.service", package_path=".")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("docs.html.jinja")
