"""What is to be explained and how, and what can be known to be wrong with that before anything is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from whence.explain.budget import Budget
from whence.explain.keeper import KeepAttention
from whence.explain.methods import Method
from whence.explain.plan import Choice
from whence.explain.result import Family
from whence.explain.schema import TargetKind, TextKind
from whence.providers.base import Capabilities
from whence.providers.errors import EmptyOutputError, InputError, UnsupportedError
from whence.providers.observations import Generation
from whence.providers.prompt import Prompt, require_encodable


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be explained, and how. `methods`: the primary first. `attention`: how to keep the tensor.

    `output`: a text, or an answer of this model with all that came with it; None where it is to answer.
    `budget`: the most that may be spent; `metered_budget`: where calls cost money, and none is given.
    """

    prompt: Prompt
    output: str | Generation | None = None
    methods: tuple[str, ...] = ("auto",)
    segment_by: TextKind = "sentence"
    target_by: TargetKind = "sentence"
    detail: bool = False
    attention: KeepAttention | None = None
    max_tokens: int = 512
    seed: int = 0
    budget: Budget | None = None
    metered_budget: Budget | None = None
    truncate: bool = False
    parameters: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value, kinds in (
            ("segment_by", self.segment_by, get_args(TextKind)),
            ("target_by", self.target_by, get_args(TargetKind)),
        ):
            if value not in kinds:
                raise InputError(f"{name} is {value!r}; choose one of {', '.join(kinds)}")
        if not isinstance(self.max_tokens, int) or self.max_tokens < 1:
            raise InputError(f"max_tokens is {self.max_tokens!r}; ask for at least one token")
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or self.seed < 0:
            raise InputError(f"seed is {self.seed!r}; give a whole number from 0")
        if not self.methods or len(set(self.methods)) != len(self.methods):
            raise InputError(f"method is {list(self.methods)}; name one method, or several different ones")
        if self.output is not None:
            text = self.output if isinstance(self.output, str) else self.output.text
            require_encodable(text, "the output")
            if not text.strip():
                raise EmptyOutputError("the output is empty; give its text, or leave output away")


def check_choices(request: Request, choices: Sequence[Choice], capabilities: Capabilities) -> None:
    """What can be known to be wrong before the model has answered."""
    names = [choice.method.name for choice in choices]
    if len(set(names)) != len(names):
        raise InputError(f"method is {list(request.methods)}, here the same as {names}; name each one once")
    known = sorted(set().union(*(choice.method.parameters for choice in choices)))
    for name in request.parameters:
        if name not in known:
            raise InputError(
                f"{', '.join(names)} has no parameter {name!r}; it takes {', '.join(known) or 'none'}"
            )
    for choice in choices:
        choice.method.check(request.parameters, capabilities)
        require_units(request, choice.method, capabilities)


def family_of(request: Request, method: Method, capabilities: Capabilities) -> Family:
    """The family of the method's result, or of the first of two."""
    return method.effort(request.parameters, capabilities, segments=1).family


def require_units(request: Request, method: Method, capabilities: Capabilities) -> None:
    """Raise UnsupportedError for tokens where a text has none, and nobody would tell them."""
    family = family_of(request, method, capabilities)
    if family == "citation":
        _require_citable(request)
    if request.segment_by == "token" and family != "native_attention":
        raise UnsupportedError(
            f"{method.name} takes parts of the text away, and a token is none; choose segment_by='word'"
        )
    if request.target_by == "token" and family == "perturbation":
        raise UnsupportedError(
            f"{method.name} compares texts here, whose tokens are not known; choose target_by='word'"
        )


def _require_citable(request: Request) -> None:
    """Raise UnsupportedError for what no claim can be about."""
    carried = isinstance(request.output, Generation) and request.output.citations is not None
    if request.output is not None and not carried:
        raise UnsupportedError(
            "citations come with an answer that the model writes, and this output is given; leave output= "
            "away, or take a method that removes passages"
        )
    if request.segment_by in ("token", "word") or request.target_by == "token":
        raise UnsupportedError(
            "a claim is made of sentences; choose segment_by='sentence', 'paragraph' or 'source', and "
            "target_by='word', 'sentence' or 'whole'"
        )
