"""What the viewer calls things: the words of the page without script, so that neither is written twice."""

from __future__ import annotations

from functools import cache
from typing import Any

from whence.explain.render import scale, wording
from whence.explain.render.pages import data
from whence.explain.tensor import CAVEAT


@cache
def words() -> str:
    """`wording` as far as the viewer reads it, attention's caveat, and the edges of the shades, as JSON."""
    shared: dict[str, Any] = {name.lower(): value for name, value in vars(wording).items() if name.isupper()}
    del shared["access"]
    return data(shared | {"attention_caveat": CAVEAT, "edges_percent": scale.EDGES_PERCENT})
