"""What the command line takes as text, as the arguments of `Explainer.explain`."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from typing import Any

from whence.api.sdk import Explainer
from whence.explain.budget import Budget
from whence.providers.errors import InputError

OWN = frozenset(inspect.signature(Explainer.explain).parameters)
"""What `explain` itself takes, and no method does."""
JSON_BEGINS = ("[", "{", '"')
"""A value that begins so is meant to be JSON; any other that is none is text."""


def to_parameters(settings: Sequence[str], **lists: str | None) -> dict[str, Any]:
    """Parameters of the method: NAME=VALUE of `--set`, and options such as `--layers 0,3`.

    Raises InputError.
    """
    given: dict[str, Any] = {name: _numbers(name, text) for name, text in lists.items() if text is not None}
    for setting in settings:
        name, equals, text = setting.partition("=")
        name = name.strip()
        if not equals or not name:
            raise InputError(f"--set is {setting!r}; write NAME=VALUE, such as --set masks=32")
        if name in OWN:
            raise InputError(f"--set {name}: it is no parameter of a method; see whence explain --help")
        if name in given:
            raise InputError(f"{name} is given twice; give it once")
        given[name] = _value(name, text)
    return given


def to_budget(
    *, calls: int | None, tokens: int | None, money: float | None, seconds: float | None
) -> Budget | None:
    """The budget of the `--budget-` options; None where none was given. Raises InputError."""
    given = {"calls": calls, "tokens": tokens, "money": money, "seconds": seconds}
    return Budget.of({name: limit for name, limit in given.items() if limit is not None} or None)


def _value(name: str, text: str) -> Any:
    """The value of a setting: JSON, or else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith(JSON_BEGINS):
            raise InputError(f"--set {name}: {text!r} is no JSON: {error}") from error
        return text


def _numbers(name: str, text: str) -> list[int]:
    """Numbers separated by commas."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError as error:
        raise InputError(f"--{name} is {text!r}; write numbers such as 0,3") from error
