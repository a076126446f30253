"""A chat model of LangChain as a provider: it is asked as it is, and tells nothing but text."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from whence.api.langchain.said import text_of
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
"""Set while a model is asked here: a handler that hears of all calls does not explain these."""
MAX_IN_FLIGHT = 4
DEADLINE_SECONDS = 600.0


class ByHand:
    """A model given by hand. Nobody's callbacks hear of these calls, this handler's least of all."""

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
        ask = partial(self._model.invoke, messages, config={"callbacks": []})
        asking = ASKING.set(True)
        try:
            # In a thread: the model's asynchronous client belongs to the loop of the chain.
            answer = await anyio.to_thread.run_sync(ask, abandon_on_cancel=True)
        except Exception as error:  # of any integration
            raise _ours(error) from error
        finally:
            ASKING.reset(asking)
        return generation_of(answer)


def generation_of(answer: BaseMessage) -> Generation:
    """What a message of a model says of itself, in any integration."""
    told: Mapping[str, Any] = answer.response_metadata
    usage: Mapping[str, Any] = getattr(answer, "usage_metadata", None) or {}
    reason = told.get("finish_reason") or told.get("stop_reason") or told.get("done_reason")
    return Generation(
        text=text_of(answer),
        finish="length" if reason in CUT else "stop",
        prompt_tokens=usage.get("input_tokens"),
        output_tokens=usage.get("output_tokens"),
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
