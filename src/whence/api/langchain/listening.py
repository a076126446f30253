"""What LangChain tells a callback handler, followed until a model has answered."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document as LangChainDocument
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from whence.api.langchain.by_hand import ASKING
from whence.api.langchain.harmless import Harmless
from whence.api.langchain.said import Answer, Said, answer_of, retrieved_as, said_in
from whence.api.langchain.traces import Asked, Traces


class Listening(BaseCallbackHandler):
    """Keeps the runs of chains in `traces`; what is made of an answer is for those who inherit it."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces
        self._harmless = Harmless()

    @abstractmethod
    def _passes(self, asked: Asked) -> bool:
        """Whether the answer to this may be wanted."""

    @abstractmethod
    def _answered(self, asked: Asked, answer: Answer) -> None:
        """A model has answered."""

    @abstractmethod
    def _called_tools(self) -> None:
        """A model has called tools, which is no answer."""

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **told: Any
    ) -> None:
        """Part of the lineage of what it runs."""
        with self._harmless:
            self._traces.begin(run_id, parent_run_id, _name(serialized, told))

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **told: Any) -> None:
        """Nothing more comes of it."""
        with self._harmless:
            self._traces.end(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **told: Any) -> None:
        """Nothing more comes of it."""
        with self._harmless:
            self._traces.end(run_id)

    def on_tool_start(
        self, serialized: Any, input_str: str, *, run_id: UUID, parent_run_id: UUID | None = None, **told: Any
    ) -> None:
        """Part of the lineage of what it runs."""
        with self._harmless:
            self._traces.begin(run_id, parent_run_id, _name(serialized, told))

    def on_tool_end(self, output: Any, *, run_id: UUID, **told: Any) -> None:
        """Nothing more comes of it; what it returned stands in a message."""
        with self._harmless:
            self._traces.end(run_id)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **told: Any) -> None:
        """Nothing more comes of it."""
        with self._harmless:
            self._traces.end(run_id)

    def on_retriever_start(
        self, serialized: Any, query: str, *, run_id: UUID, parent_run_id: UUID | None = None, **told: Any
    ) -> None:
        """Part of a chain."""
        with self._harmless:
            self._traces.begin(run_id, parent_run_id, _name(serialized, told), retrieves=True)

    def on_retriever_end(self, documents: Sequence[LangChainDocument], *, run_id: UUID, **told: Any) -> None:
        """What its chain may put into a prompt."""
        with self._harmless:
            self._traces.retrieve(run_id, map(retrieved_as, documents))

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **told: Any) -> None:
        """Nothing comes of it."""
        with self._harmless:
            self._traces.end(run_id)

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **told: Any,
    ) -> None:
        """A chat model is asked."""
        with self._harmless:
            self._asked(serialized, partial(_told, messages[0]), run_id, parent_run_id, told)

    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **told: Any,
    ) -> None:
        """A model that continues texts is asked."""
        with self._harmless:
            self._asked(serialized, partial(_continued, prompts[0]), run_id, parent_run_id, told)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **told: Any) -> None:
        """A model has answered."""
        with self._harmless:
            asked = self._traces.answer(run_id)
            if asked is None:
                return
            first = response.generations[0][0]
            if not isinstance(first, ChatGeneration):
                self._answered(asked, Answer(content=first.text, told=first.generation_info or {}))
            elif getattr(first.message, "tool_calls", None):
                self._called_tools()
            else:
                self._answered(asked, answer_of(first.message))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **told: Any) -> None:
        """There is no answer to explain."""
        with self._harmless:
            self._traces.end(run_id)

    def _asked(
        self,
        serialized: dict[str, Any] | None,
        said: Callable[[], tuple[Said, ...]],
        run_id: UUID,
        parent: UUID | None,
        told: Mapping[str, Any],
    ) -> None:
        if ASKING.get():
            return
        facts = {
            "serialized": serialized,
            "metadata": told.get("metadata"),
            "invocation_params": told.get("invocation_params"),
        }
        tags = frozenset(told.get("tags") or ())
        asked = self._traces.ask(run_id, parent, _name(serialized, told), tags=tags, facts=facts)
        if not self._passes(asked):
            self._traces.end(run_id)
            return
        try:
            asked.said = said()
        except Exception as error:  # noqa: BLE001 - of whatever message; its answer's record will tell
            asked.error = error


def _name(serialized: Mapping[str, Any] | None, told: Mapping[str, Any]) -> str | None:
    """Of the run, or of what runs: of tools and models LangChain tells only that."""
    return told.get("name") or (serialized or {}).get("name")


def _told(messages: Sequence[BaseMessage]) -> tuple[Said, ...]:
    return tuple(map(said_in, messages))


def _continued(prompt: str) -> tuple[Said, ...]:
    return (Said(role="user", kind="human", parts=(prompt,)),)
