"""The Python face: `Explainer`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Literal, Self, TypeVar

from whence.api.background import submit
from whence.explain.budget import DEFAULT_BUDGET, Budget
from whence.explain.engine import explain, plan
from whence.explain.keeper import KeepAttention
from whence.explain.plan import Plan
from whence.explain.request import Request
from whence.explain.schema import Explanation, TargetKind, TextKind
from whence.providers.base import Capabilities, Progress, Provider
from whence.providers.errors import InputError
from whence.providers.observations import Generation
from whence.providers.prompt import Message, Source, build_prompt
from whence.providers.registry import resolve

Answer = TypeVar("Answer")


class Explainer:
    """Explains what a model wrote. Reusable, and safe from many threads and tasks.

    `provider`: a name (`"demo"`, `"huggingface:org/model"`), with `options` for its adapter, or a provider
    such as `HuggingFace(model, tokenizer)`. Raises UnknownProviderError, MissingExtraError.

    As a context manager it lets go of the model at the end.
    """

    def __init__(self, provider: str | Provider, **options: Any) -> None:
        if isinstance(provider, str):
            self._provider: Provider | None = resolve(provider, **options)
        elif isinstance(provider, Provider):
            if options:
                raise TypeError(f"options ({', '.join(options)}) are for a provider given by name")
            self._provider = provider
        else:
            raise TypeError(
                f"{type(provider).__name__} is no provider; give a name such as 'demo', or "
                "HuggingFace(model, tokenizer) for a loaded model"
            )

    @property
    def name(self) -> str:
        """`PROVIDER:MODEL`, or the name of a provider that has one model. Raises InputError if closed."""
        provider = self._open()
        return provider.name if provider.name == provider.model else f"{provider.name}:{provider.model}"

    def explain(
        self,
        prompt: str | Sequence[Message],
        *,
        sources: Sequence[str | Source] = (),
        output: str | Generation | None = None,
        system: str | None = None,
        method: str | Sequence[str] = "auto",
        segment_by: TextKind = "sentence",
        target_by: TargetKind = "sentence",
        detail: bool = False,
        attention: bool | Literal["u8", "float16"] | KeepAttention = False,
        max_tokens: int = 512,
        seed: int = 0,
        budget: Budget | Mapping[str, object] | None = None,
        truncate: bool = False,
        progress: Progress | None = None,
        **parameters: object,
    ) -> Explanation:
        """Let the model answer, and explain each part of the answer by the parts of the sources.

        `output`: explain this text instead of generating one; a `Generation` is an answer that this model
        gave before, with what came with it (citations, log-probabilities of its tokens). `method`: one name,
        or several for several results; `auto` takes the best that the model allows. `segment_by`,
        `target_by`: what receives credit, and what is explained. `detail`: keep the token level, for
        `Explanation.at`. `attention`: keep every weight of every head in `Explanation.attention`, at one byte
        each (`True`, `"u8"`) or two (`"float16"`); `KeepAttention` also sets the limit of size. `truncate`:
        leave out the end of sources that do not fit, and say so. `budget`: the most that may be spent, such
        as `Budget(calls=100)`; where calls cost money and none is given, `DEFAULT_BUDGET` holds, and the
        explanation's `cost` says so. `progress` is called with a `Step`, from a worker thread. `parameters`
        are the method's, such as `layers=` and `heads=` for attention, or `masks=` for lasso.

        Blocks; also inside a running event loop. Interrupted, it stops the model. Raises WhenceError.
        """
        future = self._submit(
            explain,
            prompt,
            sources=sources,
            output=output,
            system=system,
            method=method,
            segment_by=segment_by,
            target_by=target_by,
            detail=detail,
            attention=attention,
            max_tokens=max_tokens,
            seed=seed,
            budget=budget,
            truncate=truncate,
            progress=progress,
            **parameters,
        )
        return _wait(future)

    async def aexplain(self, prompt: str | Sequence[Message], **arguments: Any) -> Explanation:
        """As `explain`, with the same arguments; cancelling the task stops the model within a layer."""
        return await asyncio.wrap_future(self._submit(explain, prompt, **arguments))

    def plan(self, prompt: str | Sequence[Message], **arguments: Any) -> Plan:
        """What `explain` with the same arguments would cost at most: calls, tokens, money.

        The model writes nothing. Raises as `explain` does, BudgetError too.
        """
        return _wait(self._submit(plan, prompt, **arguments))

    async def aplan(self, prompt: str | Sequence[Message], **arguments: Any) -> Plan:
        """As `plan`, in an event loop."""
        return await asyncio.wrap_future(self._submit(plan, prompt, **arguments))

    def capabilities(self) -> Capabilities:
        """What its model lets us see; loads it, or asks its provider, on first use. Raises ProviderError."""
        return _wait(submit(self._open().capabilities))

    def close(self) -> None:
        """Let go of the model. The explainer cannot be used afterwards."""
        self._provider = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _submit(
        self,
        work: Callable[[Provider, Request, Progress | None], Awaitable[Answer]],
        prompt: str | Sequence[Message],
        /,
        *,
        sources: Sequence[str | Source] = (),
        output: str | Generation | None = None,
        system: str | None = None,
        method: str | Sequence[str] = "auto",
        segment_by: TextKind = "sentence",
        target_by: TargetKind = "sentence",
        detail: bool = False,
        attention: bool | Literal["u8", "float16"] | KeepAttention = False,
        max_tokens: int = 512,
        seed: int = 0,
        budget: Budget | Mapping[str, object] | None = None,
        truncate: bool = False,
        progress: Progress | None = None,
        **parameters: object,
    ) -> Future[Answer]:
        provider = self._open()
        if isinstance(sources, str | Source) or not isinstance(sources, Iterable):
            raise InputError(f"sources is {type(sources).__name__}; pass a list: sources=[text]")
        if not isinstance(method, Iterable):
            raise InputError(f"method is {method!r}; name one, or several")
        request = Request(
            prompt=build_prompt(prompt, sources=list(sources), system=system),
            output=output,
            methods=(method,) if isinstance(method, str) else tuple(method),
            segment_by=segment_by,
            target_by=target_by,
            detail=detail,
            attention=KeepAttention.wanted(attention),
            max_tokens=max_tokens,
            seed=seed,
            budget=Budget.of(budget),
            metered_budget=DEFAULT_BUDGET,
            truncate=truncate,
            parameters=parameters,
        )
        return submit(partial(work, provider, request, progress))

    def _open(self) -> Provider:
        if self._provider is None:
            raise InputError("this Explainer is closed; make a new one")
        return self._provider


def _wait(future: Future[Answer]) -> Answer:
    """The result; an interrupt cancels the work."""
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
