"""Tools in requests to the Anthropic API: which are offered, and which calls must have a result."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Annotated, Any, Literal

from pydantic import Field
from tests.servers.anthropic_blocks import Block, CacheControl, Message, Strict, ToolResult, ToolUse
from tests.servers.anthropic_errors import invalid


class Schema(Strict, extra="allow"):
    type: Literal["object"]


class Tool(Strict):
    """A tool of the caller's own; the API's own ones (`type` says which) are not served here."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")
    input_schema: Schema
    description: str | None = None
    type: Literal["custom"] | None = None
    strict: bool = False
    input_examples: list[dict[str, Any]] | None = None
    eager_input_streaming: bool | None = None
    cache_control: CacheControl | None = None


class AnyTool(Strict):
    type: Literal["auto", "any"]
    disable_parallel_tool_use: bool = False


class NoTool(Strict):
    type: Literal["none"]


class OneTool(Strict):
    type: Literal["tool"]
    name: str
    disable_parallel_tool_use: bool = False


ToolChoice = Annotated[AnyTool | NoTool | OneTool, Field(discriminator="type")]


def offered(tools: Sequence[Tool] | None, choice: ToolChoice | None) -> set[str]:
    """The tools that the answer may call, by name."""
    names = {tool.name for tool in tools or ()}
    if isinstance(choice, NoTool):
        return set()
    return names & {choice.name} if isinstance(choice, OneTool) else names


def made(messages: Sequence[Message]) -> list[str]:
    """The tools that were called before, by name, in order."""
    return [block.name for message in messages for block in message.blocks if isinstance(block, ToolUse)]


def check(tools: Sequence[Tool] | None, choice: ToolChoice | None, messages: Sequence[Message]) -> None:
    """Raises ApiError."""
    names = [tool.name for tool in tools or ()]
    if len(set(names)) < len(names):
        raise invalid("tools: Tool names must be unique.")
    if choice is not None and not names:
        raise invalid("tool_choice: tool_choice may only be specified while providing tools.")
    if isinstance(choice, OneTool) and choice.name not in names:
        raise invalid(f"Tool '{choice.name}' not found in provided tools")
    _check_calls(messages)


def _check_calls(messages: Sequence[Message]) -> None:
    """Each call has its result in the next message, and each result its call in the previous one."""
    seen: set[str] = set()
    called: list[str] = []
    caller = 0
    # Messages of one role after the other are read as one.
    for role, run in groupby(enumerate(messages), key=lambda numbered: numbered[1].role):
        numbered = list(run)
        blocks = [(place, block) for place, message in numbered for block in enumerate(message.blocks)]
        _check_results(called, caller, blocks)
        called = []
        for place, (index, block) in blocks:
            if isinstance(block, ToolUse):
                where = f"messages.{place}.content.{index}"
                if role != "assistant":
                    raise invalid(f"{where}: `tool_use` blocks can only be in `assistant` messages")
                if block.id in seen:
                    raise invalid(f"{where}: `tool_use` ids must be unique")
                seen.add(block.id)
                called.append(block.id)
        caller = numbered[-1][0]
    _check_results(called, caller, [])


def _check_results(called: list[str], caller: int, blocks: Sequence[tuple[int, tuple[int, Block]]]) -> None:
    """`called`: ids of the calls in the message at `caller`; `blocks`: of the next one, with their places."""
    missing = list(called)
    for place, (index, block) in blocks:
        if not isinstance(block, ToolResult):
            continue
        if block.tool_use_id not in called:
            raise invalid(
                f"messages.{place}.content.{index}: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{block.tool_use_id}. Each `tool_result` block must have a corresponding `tool_use` block "
                "in the previous message."
            )
        if block.tool_use_id not in missing:
            raise invalid(
                f"messages.{place}.content.{index}: each tool_use must have a single result. Found multiple "
                f"`tool_result` blocks with id: {block.tool_use_id}"
            )
        missing.remove(block.tool_use_id)
    if missing:
        raise invalid(
            f"messages.{caller}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in "
            "the next message."
        )
