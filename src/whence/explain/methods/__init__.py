"""The methods by name. A method states what it needs; `plan` compares that with what a provider can."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from whence.explain.methods.base import Method
from whence.providers.errors import UnknownMethodError

METHODS: dict[str, str] = {
    "attention": "whence.explain.methods.attention:NativeAttention",
    "attention_rollout": "whence.explain.methods.attention:AttentionRollout",
    "attention_value_weighted": "whence.explain.methods.attention:ValueWeightedAttention",
    "lasso": "whence.explain.methods.lasso:Lasso",
    "leave_one_out": "whence.explain.methods.leave_one_out:LeaveOneOut",
    "shapley": "whence.explain.methods.shapley:Shapley",
    "citations": "whence.explain.methods.citations:Citations",
}

AUTO = tuple(name for name in METHODS if name != "citations")
"""What `auto` tries, in this order: what a model says of itself is never taken for more than that."""


def get_method(name: str) -> Method:
    """The method of that name. Raises UnknownMethodError."""
    if name not in METHODS:
        raise UnknownMethodError("method", name, ["auto", *METHODS])
    module, _, attribute = METHODS[name].partition(":")
    return cast("Method", getattr(import_module(module), attribute)())


__all__ = ["AUTO", "METHODS", "Method", "get_method"]
