"""Calls of tools, which are scripted: the bundled model, which answers, knows none."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A tool, and what a model gives it."""

    name: str
    arguments: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The call as the bundled model reads it, and as it is counted."""
        # Sorted, as a protocol buffer keeps no order.
        return f"{self.name}({json.dumps(self.arguments, ensure_ascii=False, sort_keys=True)})"


def next_call(
    script: Sequence[ToolCall], *, offered: Collection[str], made: Iterable[str]
) -> ToolCall | None:
    """The call with which a request is answered; None where the script has no more for it.

    Of the script only calls of `offered` tools count, and as many of them are over as the conversation has
    `made`. So agents that run at one time share a script, and a call that is tried again gets the same.
    """
    calls = [call for call in script if call.name in offered]
    over = sum(name in offered for name in made)
    return calls[over] if over < len(calls) else None
