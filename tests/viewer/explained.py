"""Explanations to look at: of the bundled model, whose attention is real."""

from __future__ import annotations

from functools import cache

from whence import Explainer, Explanation
from whence.demo.records import PROMPT, generate


@cache
def record() -> Explanation:
    """Two methods, token detail, and all attention."""
    return Explainer("demo").explain(
        PROMPT, sources=[generate(3).text], method=["attention", "leave_one_out"], detail=True, attention=True
    )
