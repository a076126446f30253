"""What the bundled model reads of a request to Gemini, and which tools it offers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from google.cloud import aiplatform_v1 as v1
from google.protobuf.json_format import MessageToJson  # type: ignore[import-untyped]
from google.rpc import code_pb2 as code  # type: ignore[import-untyped]
from tests.servers.answers import Turn
from tests.servers.scripts import ToolCall
from tests.servers.vertex_errors import StatusError

ROLES = {"": "user", "user": "user", "model": "assistant"}
SIGNATURES = "https://cloud.google.com/vertex-ai/generative-ai/docs/thought-signatures"
Mode = v1.FunctionCallingConfig.Mode


def offered(request: v1.GenerateContentRequest) -> set[str]:
    """The tools that the answer may call, by name."""
    chosen = request.tool_config.function_calling_config
    names = {function.name for tool in request.tools for function in tool.function_declarations}
    if chosen.mode == Mode.NONE:
        return set()
    return names & set(chosen.allowed_function_names) if chosen.allowed_function_names else names


def made(contents: Sequence[v1.Content]) -> list[str]:
    """The tools that were called before, by name, in order."""
    return [part.function_call.name for content in contents for part in _calls(content)]


def turns_of(request: v1.GenerateContentRequest | v1.CountTokensRequest, *, signed: bool) -> list[Turn]:
    """The system's turn and those of the contents; earlier thoughts are not read again.

    `signed`: whether calls of tools must have their signatures. Raises StatusError.
    """
    said: list[Turn] = []
    if request.system_instruction.parts:
        said.append(("system", _text(request.system_instruction)))
    for content in request.contents:
        if content.role not in ROLES:
            raise _invalid("Please use a valid role: user, model.")
        said.append((ROLES[content.role], _text(content)))
    if not request.contents:
        raise _invalid("at least one contents field is required")
    if said[-1][0] != "user":
        raise _invalid("Please ensure that a request ends with a user role.")
    _check_calls(request.contents, signed=signed)
    return said


def _check_calls(contents: Sequence[v1.Content], *, signed: bool) -> None:
    for before, content in pairwise([v1.Content(), *contents]):
        calls, results = len(_calls(before)), len(_results(content))
        if results and not calls:
            raise _invalid(
                "Please ensure that function response turn comes immediately after a function call turn."
            )
        if results != calls:
            raise _invalid(
                "Please ensure that the number of function response parts is equal to the number of function "
                "call parts of the function call turn."
            )
    if signed:
        _check_signatures(contents)


def _check_signatures(contents: Sequence[v1.Content]) -> None:
    """Calls since the user last spoke are signed; of those made together, the first."""
    spoken = [place for place, one in enumerate(contents) if ROLES[one.role] == "user" and not _results(one)]
    for place, content in enumerate(contents):
        calls = _calls(content)
        if calls and place > max(spoken, default=-1) and not calls[0].thought_signature:
            raise _invalid(
                f"Unable to submit request because function call `{calls[0].function_call.name}` in the "
                f"{place + 1}. content block is missing a `thought_signature`. Learn more: {SIGNATURES}"
            )


def _calls(content: v1.Content) -> list[v1.Part]:
    return [part for part in content.parts if "function_call" in part]


def _results(content: v1.Content) -> list[v1.Part]:
    return [part for part in content.parts if "function_response" in part]


def _text(content: v1.Content) -> str:
    gap = "\n\n" if _results(content) else ""
    return gap.join(_read(part) for part in content.parts if not part.thought)


def _read(part: v1.Part) -> str:
    if "function_call" in part:
        called = _plain(part.function_call)
        return ToolCall(name=called["name"], arguments=called.get("args", {})).text
    if "function_response" in part:
        return _result(_plain(part.function_response).get("response", {}))
    if "text" not in part:
        raise _invalid("Only parts with text are supported by this model.")
    if not part.text.strip():
        raise _invalid(
            "Unable to submit request because it has an empty text parameter. Add a value to the parameter "
            "and try again."
        )
    return str(part.text)


def _plain(message: v1.FunctionCall | v1.FunctionResponse) -> dict[str, Any]:
    """As it came over REST: a protocol buffer knows no whole numbers here."""
    told = MessageToJson(type(message).pb(message))
    plain: dict[str, Any] = json.loads(told, parse_float=_number)
    return plain


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


def _result(response: dict[str, Any]) -> str:
    """Its `output` or its `error`; all of it where it has neither."""
    told = response.get("output", response.get("error", response))
    return told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)


def _invalid(message: str) -> StatusError:
    return StatusError(code.INVALID_ARGUMENT, message)
