"""The models of the Anthropic API that the local server has, as GET /v1/models tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

ThinkingType = Literal["adaptive", "between_tools", "disabled", "enabled"]


@dataclass(frozen=True, kw_only=True)
class Model:
    """`thinking`: the types that a request may name. `always_thinks`: also where a request names none.

    `samples`: whether it takes `temperature` from requests of the first API version.
    """

    id: str
    display_name: str
    line: str
    created_at: str
    thinking: tuple[ThinkingType, ...]
    always_thinks: bool = False
    samples: bool = False
    max_tokens: int = 64_000

    def info(self, max_input_tokens: int) -> dict[str, Any]:
        """The body of GET /v1/models/{id}."""
        return {
            "type": "model",
            "id": self.id,
            "display_name": self.display_name,
            "line": self.line,
            "lifecycle": "active",
            "created_at": self.created_at,
            "deprecated_at": None,
            "retires_at": None,
            "max_input_tokens": max_input_tokens,
            "max_tokens": self.max_tokens,
            "capabilities": self._capabilities(),
        }

    def _capabilities(self) -> dict[str, Any]:
        yes, no = {"supported": True}, {"supported": False}
        return {
            "batch": yes,
            "citations": yes,
            "code_execution": no,
            "context_management": no,
            "effort": no | dict.fromkeys(("low", "medium", "high", "xhigh", "max"), no),
            "image_input": no,
            "pdf_input": no,
            "server_tools": no | dict.fromkeys(("code_execution", "web_search"), no),
            "structured_outputs": no,
            "thinking": {
                "supported": True,
                "types": {kind: {"supported": kind in self.thinking} for kind in get_args(ThinkingType)},
            },
        }


_ALL = (
    Model(
        id="claude-fable-5-2",
        display_name="Claude Fable 5.2",
        line="fable",
        created_at="2026-10-21T00:00:00Z",
        thinking=("adaptive",),
        always_thinks=True,
    ),
    Model(
        id="claude-opus-5-5",
        display_name="Claude Opus 5.5",
        line="opus",
        created_at="2026-10-21T00:00:00Z",
        thinking=("adaptive",),
        always_thinks=True,
    ),
    Model(
        id="claude-sonnet-5-5",
        display_name="Claude Sonnet 5.5",
        line="sonnet",
        created_at="2026-10-21T00:00:00Z",
        thinking=("adaptive", "disabled"),
    ),
    Model(
        id="claude-haiku-5-5",
        display_name="Claude Haiku 5.5",
        line="haiku",
        created_at="2026-10-21T00:00:00Z",
        thinking=("adaptive", "disabled"),
    ),
    Model(
        id="claude-sonnet-4-6",
        display_name="Claude Sonnet 4.6",
        line="sonnet",
        created_at="2026-02-17T00:00:00Z",
        thinking=("adaptive", "disabled", "enabled"),
        samples=True,
    ),
)
MODELS = {model.id: model for model in _ALL}
