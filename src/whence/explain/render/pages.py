"""What all pages have in common: templates that escape every value, blocks of data, hashes for a policy."""

from __future__ import annotations

import base64
import hashlib
import json

from jinja2 import BaseLoader, Environment, StrictUndefined


def environment(loader: BaseLoader) -> Environment:
    """Templates in which every value is escaped, and has to be there."""
    return Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def sha256(text: str) -> str:
    """A style sheet or script, as a source of a content security policy names it: `sha256-...`."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def data(document: object) -> str:
    """JSON for a block of data in HTML: no `<` can end the block."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")
