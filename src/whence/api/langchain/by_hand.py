"""A chat model of LangChain as a provider: it is asked as it is, and tells nothing but text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Context, ContextVar
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import anyio.to_thread
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langsmith import tracing_context

from whence.api.langchain.said import Answer, answer_of
from whence.providers.base import Capabilities, Progress
from whence.providers.errors import (
    AuthenticationError,
    ProviderError,
    RateLimitError,
    UnavailableError,
    WhenceError,
)
from whence.providers.observations import Generation
from whence.providers.prompt import Prompt

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

Result = TypeVar("Result")
KINDS: Mapping[str, type[BaseMessage]] = {
    "system": SystemMessage,
    "user": HumanMessage,
    "assistant": AIMessage,
}
CUT = ("length", "max_tokens", "MAX_TOKENS")
NOTE = (
    "The model was asked again through LangChain, with the messages of the chain as plain texts: calls of "
    "tools and what they returned are told as text."
)
ASKING: ContextVar[bool] = ContextVar("whence_asking", default=False)
"""Set where models are asked aside: a handler that hears of all calls does not explain these."""
MAX_IN_FLIGHT = 4
DEADLINE_SECONDS = 600.0


def aside(work: Callable[[], Result]) -> Result:
    """Do it as no part of a chain: none has its callbacks there, and no handler of ours explains it."""
    context = Context()
    context.run(ASKING.set, True)
    return context.run(work)


class ByHand:
    """A model given by hand. Nobody's callbacks hear of these calls, nor does LangSmith."""

    name = "langchain"

    def __init__(self, model: BaseChatModel, *, name: str) -> None:
        self.model = name
        # Callbacks of its own would hear of each call, and a cache makes noise look like none.
        self._model = model.model_copy(update={"callbacks": None, "cache": False})

    async def capabilities(self) -> Capabilities:
        """Text, at whatever it costs: LangChain does not tell."""
        return Capabilities(
            access="text",
            max_in_flight=MAX_IN_FLIGHT,
            deadline_seconds=DEADLINE_SECONDS,
            metered=True,
            notes=(NOTE,),
        )

    async def generate(
        self, prompt: Prompt, *, max_tokens: int, seed: int, progress: Progress | None = None
    ) -> Generation:
        """An answer, as long as the model itself allows. Raises ProviderError."""
        messages = [KINDS[turn.role](content=turn.text) for turn in prompt.turns()]
        ask = partial(aside, partial(self._ask, messages))
        try:
            # In a thread: the model's asynchronous client belongs to the loop of the chain.
            answer = await anyio.to_thread.run_sync(ask, abandon_on_cancel=True)
        except Exception as error:  # of any integration
            raise _ours(error) from error
        return generation_of(answer_of(answer))

    def _ask(self, messages: list[BaseMessage]) -> BaseMessage:
        with tracing_context(enabled=False):
            return self._model.invoke(messages, config={"callbacks": []})


def generation_of(answer: Answer) -> Generation:
    """What a model's answer says of itself, in any integration."""
    reasons = (answer.told.get(name) for name in ("finish_reason", "stop_reason", "done_reason"))
    reason = next((reason for reason in reasons if reason), None)
    return Generation(
        text=answer.text,
        finish="length" if reason in CUT else "stop",
        prompt_tokens=answer.usage.get("input_tokens"),
        output_tokens=answer.usage.get("output_tokens"),
    )


def _ours(error: Exception) -> WhenceError:
    """By the status that most SDKs put on their errors; the text may quote the request, and stays there."""
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    told = f"the model raised {type(error).__name__}"
    if status in (401, 403):
        return AuthenticationError(told)
    if status == 429:
        return RateLimitError(told)
    if isinstance(status, int) and status >= 500:
        return UnavailableError(told)
    return ProviderError(f"{told}; see its cause")
