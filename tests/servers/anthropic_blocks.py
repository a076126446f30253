"""The blocks of content that a request to the Anthropic API may have, and what is read of each."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from tests.servers.answers import sentences
from tests.servers.scripts import ToolCall


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class CacheControl(Strict):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] = "5m"


class Text(Strict):
    type: Literal["text"]
    text: str
    cache_control: CacheControl | None = None
    citations: list[Any] | None = None  # of an earlier answer, sent back

    @property
    def rendered(self) -> str:
        return self.text


class Thinking(Strict):
    type: Literal["thinking"]
    thinking: str
    signature: str


class PlainText(Strict):
    type: Literal["text"]
    media_type: Literal["text/plain"]
    data: str


class Blocks(Strict):
    type: Literal["content"]
    content: str | list[Text]


class Citations(Strict):
    enabled: bool = False


class Document(Strict):
    type: Literal["document"]
    source: Annotated[PlainText | Blocks, Field(discriminator="type")]
    title: str | None = None
    context: str | None = None
    citations: Citations | None = None
    cache_control: CacheControl | None = None

    @property
    def cited(self) -> bool:
        return self.citations is not None and self.citations.enabled

    @property
    def blocks(self) -> list[str]:
        """The smallest parts that can be cited: the blocks given, or the sentences of a plain text."""
        if isinstance(self.source, PlainText):
            return sentences(self.source.data)
        content = self.source.content
        return [content] if isinstance(content, str) else [block.text for block in content]

    @property
    def rendered(self) -> str:
        context = f"{self.context}\n" if self.context else ""
        return f'<source name="{self.title or "document"}">\n{context}{joined(self.blocks, " ")}\n</source>'


class ToolUse(Strict):
    """A call of a tool, in an answer that is sent back."""

    type: Literal["tool_use"]
    id: str = Field(pattern=r"^[a-zA-Z0-9_-]+$")
    name: str = Field(min_length=1, max_length=200)
    input: dict[str, Any]
    cache_control: CacheControl | None = None

    @property
    def rendered(self) -> str:
        return ToolCall(name=self.name, arguments=self.input).text


class ToolResult(Strict):
    """What a call of a tool brought."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: str | list[Text] = ""
    is_error: bool = False
    cache_control: CacheControl | None = None

    @property
    def rendered(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return joined([block.text for block in self.content], "\n\n")


Block = Annotated[Text | Document | Thinking | ToolUse | ToolResult, Field(discriminator="type")]


class Message(Strict):
    role: Literal["user", "assistant", "system"]
    content: str | list[Block]

    @property
    def blocks(self) -> list[Block]:
        if isinstance(self.content, str):
            return [Text(type="text", text=self.content)]
        return self.content


def joined(texts: list[str], gap: str) -> str:
    """Texts with a gap between two of them, where neither brings its own."""
    gaps = ["" if one[-1:].isspace() or other[:1].isspace() else gap for one, other in pairwise(texts)]
    return "".join(text + after for text, after in zip(texts, [*gaps, ""], strict=True))
