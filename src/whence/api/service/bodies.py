"""What a request may hold."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from whence.api.sdk import Explainer
from whence.explain.budget import Budget
from whence.explain.schema import TargetKind, TextKind
from whence.providers.errors import InputError
from whence.providers.prompt import Message, Role, Source

LARGEST_SEED = 2**63 - 1
LARGEST_COUNT = 2**31 - 1
LARGEST_LIMIT = 1e15
FIELDS_OF_THE_CALL = frozenset(inspect.signature(Explainer.explain).parameters)

FOR_THE_OPERATOR = frozenset({"scorer_model"})
"""Parameters that name a model, or a path to one: a request may use what is configured, and no other."""


class Body(BaseModel):
    """Nothing beyond the named fields, and no text of a request in an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SourceBody(Body):
    """A named input. `metadata` is kept, and not shown to the model."""

    text: str
    name: str = Field(default="", description="Appears in the prompt; left empty, it is the source's place.")
    metadata: dict[str, str] = {}

    def to_source(self) -> Source:
        """For the SDK. Raises TextError."""
        return Source(text=self.text, name=self.name, metadata=self.metadata)


class MessageBody(Body):
    """One turn: a text, or texts and sources in the order in which the model reads them."""

    role: Role
    content: str | list[str | SourceBody]

    def to_message(self) -> Message:
        """For the SDK. Raises InputError."""
        parts = [self.content] if isinstance(self.content, str) else self.content
        return Message(
            role=self.role, content=[part if isinstance(part, str) else part.to_source() for part in parts]
        )


class BudgetBody(Body):
    """The most that may be spent; null sets no limit."""

    calls: int | None = Field(
        default=None, ge=0, le=LARGEST_COUNT, description="Of the model, each attempt counted."
    )
    tokens: int | None = Field(default=None, ge=0, le=LARGEST_SEED, description="Read and written together.")
    money: float | None = Field(
        default=None, ge=0, le=LARGEST_LIMIT, description="In the currency of the model's prices."
    )
    seconds: float | None = Field(
        default=None, ge=0, le=LARGEST_LIMIT, description="From the first call to the last."
    )

    def to_budget(self) -> Budget:
        """For the SDK."""
        return Budget(**self.model_dump())


Sources = list[str | SourceBody]


class ExplanationBody(Body):
    """What is to be explained, and how: the arguments of `Explainer.explain`."""

    model: str | None = Field(
        default=None, description="The name of a configured model; without it the default of /v1/models."
    )
    prompt: str | list[MessageBody] = Field(
        description="What the model is asked to do: a text, or messages that hold the sources themselves."
    )
    sources: Sources = Field(default=[], description="For a prompt that is one text.")
    output: str | None = Field(
        default=None, description="Explain this text instead of letting the model write one."
    )
    system: str | None = None
    method: str | Annotated[list[str], Field(min_length=1)] = Field(
        default="auto", description="One method, or several for several results; see /v1/models."
    )
    segment_by: TextKind = Field(default="sentence", description="What receives credit.")
    target_by: TargetKind = Field(default="sentence", description="What is explained.")
    detail: bool = Field(default=False, description="Keep the token level.")
    attention: bool | Literal["u8", "float16"] = Field(
        default=False, description="Keep every weight of every head: `true` or `u8` in one byte each."
    )
    max_tokens: int = Field(default=512, ge=1, le=LARGEST_COUNT, description="The longest answer, in tokens.")
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    budget: BudgetBody | None = Field(
        default=None,
        description="The most that may be spent; a lower limit of the server's holds as well.",
        examples=[{"calls": 100}],
    )
    truncate: bool = Field(
        default=False, description="Leave out the end of sources that do not fit into the model, and say so."
    )
    parameters: dict[str, JsonValue] = Field(
        default={},
        description="Of the method, such as `layers` and `heads` of attention, or `masks` of lasso.",
        examples=[{"layers": [1]}, {"masks": 32}],
    )

    def to_arguments(self) -> dict[str, Any]:
        """The call of `Explainer.explain`. Raises InputError."""
        misplaced = FIELDS_OF_THE_CALL & self.parameters.keys()
        if misplaced:
            raise InputError(
                f"parameters holds {', '.join(sorted(misplaced))}: parameters are those of the method, such "
                "as layers"
            )
        if barred := FOR_THE_OPERATOR & self.parameters.keys():
            raise InputError(f"{', '.join(sorted(barred))} cannot be chosen in a request: it names a model")
        if self.parameters.get("scorer") == "embedding":
            raise InputError(
                "the scorer 'embedding' needs a model, and this server has none for it; take 'overlap'"
            )
        return {
            "prompt": self.prompt
            if isinstance(self.prompt, str)
            else [message.to_message() for message in self.prompt],
            "sources": [item if isinstance(item, str) else item.to_source() for item in self.sources],
            **{
                name: getattr(self, name)
                for name in (
                    "output",
                    "system",
                    "method",
                    "segment_by",
                    "target_by",
                    "detail",
                    "attention",
                    "max_tokens",
                    "seed",
                    "truncate",
                )
            },
            "budget": self.budget and self.budget.to_budget(),
            **self.parameters,
        }


FIELDS = frozenset(
    name for body in (ExplanationBody, BudgetBody, MessageBody, SourceBody) for name in body.model_fields
)
