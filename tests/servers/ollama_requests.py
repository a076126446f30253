"""Requests as Ollama's server reads them: unknown fields are ignored, null is absent, types are checked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tests.servers.ollama_errors import OllamaError
from tests.servers.scripts import ToolCall, next_call

MOST_TOP = 20
LEAST_CONTEXT = 4
SINCE = {
    "_debug_render_only": (0, 11, 5),
    "truncate": (0, 12, 6),
    "shift": (0, 12, 6),
    "logprobs": (0, 12, 11),
    "top_logprobs": (0, 12, 11),
}
"""The version from which a field of chats and generations is known; an older one ignores it."""
TYPES: dict[str, type] = {
    **dict.fromkeys(("num_keep", "seed", "num_predict", "top_k", "repeat_last_n", "num_ctx"), int),
    **dict.fromkeys(("num_batch", "num_gpu", "main_gpu", "num_thread", "draft_num_predict"), int),
    **dict.fromkeys(("top_p", "min_p", "typical_p", "temperature", "repeat_penalty"), float),
    **dict.fromkeys(("presence_penalty", "frequency_penalty"), float),
    "use_mmap": bool,
    "stop": list,
}
CALLED = {int: "integer", float: "float32", bool: "boolean", list: "array"}
SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3}
KEPT_SECONDS = 300.0
FOREVER_SECONDS = 1e9

Shape = TypeVar("Shape", bound=BaseModel)


class _Read(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class Called(_Read):
    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)

    @property
    def text(self) -> str:
        """As the bundled model reads it."""
        return ToolCall(name=self.name, arguments=self.arguments).text


class Call(_Read):
    """A call of a tool, in an answer that is sent back."""

    function: Called


class Message(_Read):
    role: str
    content: str = ""
    tool_calls: list[Call] = Field(default_factory=list)

    @property
    def said(self) -> dict[str, str]:
        """The role and the text that a template writes, which tells a result as what the user says."""
        role = self.role.lower()
        texts = [self.content, *(call.function.text for call in self.tool_calls)]
        return {"role": "user" if role == "tool" else role, "content": "".join(texts)}


class Function(_Read):
    name: str
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)


class Tool(_Read):
    type: str
    function: Function


class Asked(_Read):
    """What chats and generations have in common."""

    model: str = ""
    stream: bool = True
    format: Any = None
    keep_alive: float | str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    think: bool | str | None = None
    truncate: bool = True
    shift: bool = True
    render_only: bool = Field(False, alias="_debug_render_only")
    logprobs: bool = False
    top_logprobs: int = 0


class Chat(Asked):
    """The body of POST /api/chat."""

    messages: list[Message] = Field(default_factory=list)
    tools: list[Tool] = Field(default_factory=list)

    def next_call(self, script: Sequence[ToolCall]) -> ToolCall | None:
        """The call with which it is answered, if the script has one."""
        offered = {tool.function.name for tool in self.tools}
        made = [call.function.name for message in self.messages for call in message.tool_calls]
        return next_call(script, offered=offered, made=made)


class Generate(Asked):
    """The body of POST /api/generate."""

    prompt: str = ""
    system: str = ""
    raw: bool = False


class Show(_Read):
    """The body of POST /api/show; `name` is what `model` was called once."""

    model: str = ""
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Those of Ollama's options that change what the bundled model writes, with Ollama's defaults."""

    num_ctx: int
    num_keep: int = 4
    num_predict: int = -1
    temperature: float = 0.8
    seed: int = -1
    stop: tuple[str, ...] = ()


def read(body: bytes, shape: type[Shape], *, unknown: frozenset[str] = frozenset()) -> Shape:
    """Check a body. `unknown`: fields that this version does not know. Raises OllamaError."""
    if not body:
        raise OllamaError(400, "missing request body")
    try:
        payload = json.loads(body)
        if not isinstance(payload, dict):
            raise ValueError(f"json: cannot unmarshal {_kind(payload)} into Go value of type {_go(shape)}")
        known = {name: value for name, value in payload.items() if value is not None and name not in unknown}
        asked = shape.model_validate(known)
    except ValidationError as error:
        first = error.errors()[0]
        place = f"{_go(shape).removeprefix('api.')}.{'.'.join(map(str, first['loc']))}"
        message = f"json: cannot unmarshal {_kind(first['input'])} into Go struct field {place}"
        raise OllamaError(400, message) from error
    except ValueError as error:
        raise OllamaError(400, str(error)) from error
    if isinstance(asked, Asked):
        _check(asked)
    return asked


def _check(asked: Asked) -> None:
    if isinstance(asked.think, str) and asked.think not in ("high", "medium", "low", "max"):
        allowed = '"high", "medium", "low", "max", true, or false'
        raise OllamaError(400, f'invalid think value: "{asked.think}" (must be {allowed})')
    if not 0 <= asked.top_logprobs <= MOST_TOP:
        raise OllamaError(400, f"top_logprobs must be between 0 and {MOST_TOP}")


def options_of(own: Mapping[str, Any], asked: Mapping[str, Any], *, default: int, most: int) -> Options:
    """The model's own, and above them those of a request; unknown ones are ignored. Raises OllamaError.

    `default`: tokens of context where neither says it. `most`: what the model can read.
    """
    given: dict[str, Any] = {}
    for name, value in [*own.items(), *asked.items()]:
        wanted = TYPES.get(name)
        if wanted is None or value is None:
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number if wanted in (int, float) else isinstance(value, wanted)):
            raise OllamaError(500, f'option "{name}" must be of type {CALLED[wanted]}')
        if wanted is list and not all(isinstance(one, str) for one in value):
            raise OllamaError(500, f'option "{name}" must be of an array of strings')
        given[name] = tuple(value) if wanted is list else wanted(value)
    used = {field.name for field in fields(Options)}
    options = replace(
        Options(num_ctx=default), **{name: value for name, value in given.items() if name in used}
    )
    return replace(options, num_ctx=min(max(options.num_ctx, LEAST_CONTEXT), most))


def kept_seconds(keep_alive: float | str | None) -> float:
    """How long a model stays loaded after a call. Raises OllamaError."""
    if keep_alive is None:
        return KEPT_SECONDS
    if isinstance(keep_alive, str):
        found = re.fullmatch(r"(-?\d+(?:\.\d+)?)(h|m|s|ms)", keep_alive)
        if found is None and keep_alive != "0":
            raise OllamaError(400, f'time: invalid duration "{keep_alive}"')
        keep_alive = float(found[1]) * SECONDS[found[2]] if found else 0.0
    return FOREVER_SECONDS if keep_alive < 0 else keep_alive


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return {int: "number", float: "number", str: "string", list: "array", dict: "object"}.get(
        type(value), "null"
    )


def _go(shape: type[BaseModel]) -> str:
    return f"api.{shape.__name__}Request"
