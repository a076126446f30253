"""What a provider is: one protocol that all have, and one for each thing that only some can do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import anyio.to_thread
import numpy as np
from numpy.typing import NDArray

from whence.providers.errors import EmptyOutputError, UnknownLayerError
from whence.providers.observations import (
    AttentionQuery,
    AttentionRows,
    Block,
    BlockName,
    Generation,
    Reduction,
    Span,
    TokenScores,
)
from whence.providers.prompt import Prompt, require_encodable

Access = Literal["weights", "logprobs", "text"]
Passages = Sequence[Sequence[Span]]
"""For each source of a prompt its parts that can be cited, as characters of its text, in order."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """Progress of one stage of the work; `total` is None where nobody knows it."""

    stage: str
    done: int
    total: int | None = None


Progress = Callable[[Step], None]
"""Called from a worker thread; an exception that it raises ends the explanation."""


async def report(progress: Progress | None, step: Step) -> None:
    """Tell of a step from the event loop: in a worker thread, so a slow callback holds up nobody else."""
    if progress is not None:
        await anyio.to_thread.run_sync(progress, step)


TOLD_EVERY_SECONDS = 0.3


class Writing:
    """Tells how much of an answer is written: now and then, and how much it is in the end."""

    def __init__(self, progress: Progress | None, max_tokens: int) -> None:
        self._progress = progress
        self._max_tokens = max_tokens
        self._told = time.monotonic()

    async def so_far(self, tokens: int) -> None:
        """So many, or about; told unless something was told a moment ago."""
        if time.monotonic() - self._told >= TOLD_EVERY_SECONDS:
            self._told = time.monotonic()
            await self.whole(tokens)

    async def whole(self, tokens: int) -> None:
        """So many in all."""
        step = Step(stage="generate", done=min(tokens, self._max_tokens), total=self._max_tokens)
        await report(self._progress, step)


def text_to_explain(output: str | Generation) -> str:
    """The text of an output. Raises TextError, EmptyOutputError."""
    text = output if isinstance(output, str) else output.text
    require_encodable(text, "the output")
    if not text.strip():
        raise EmptyOutputError("the output has no text, so there is nothing to explain")
    return text


def require_known(query: AttentionQuery, *, layers: Sequence[int], heads: int) -> None:
    """Raise UnknownLayerError where the layers that attend, or their heads, are not those asked for."""
    for what, wanted, known in (("layer", query.layers, layers), ("head", query.heads, range(heads))):
        for index in wanted or ():
            if index not in known:
                first, last = known[0], known[-1]
                whole = last - first + 1 == len(known) > 1
                raise UnknownLayerError(what, index, [f"{first} to {last}"] if whole else known)


@dataclass(frozen=True, kw_only=True)
class Prices:
    """What tokens cost, as configured. `currency`: ISO 4217."""

    input_per_million: float
    output_per_million: float
    currency: str = "USD"

    def money(self, input_tokens: int, output_tokens: int) -> float:
        """What so many tokens cost, in `currency`."""
        return (input_tokens * self.input_per_million + output_tokens * self.output_per_million) / 1e6


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What this provider lets us see of this model, found out by asking and then remembered.

    `access`: the deepest level. `revision`: for local weights a digest. `context_tokens`: the longest
    sequence; None where unknown. `attends`, `scores`, `cites`, `counts`: whether those protocols can be used.
    `forces`: whether a given output is scored by making the model write it.
    `writes_logprobs`: whether an answer comes with the log-probabilities of its own tokens; where that is
    found out only by asking, it is said until it was refused. `refused`:
    reductions of attention that cannot be had from this model, each with the reason. `layers`, `heads`: those
    that can be asked for, where they are known beforehand. `instructed`: whether the model follows a prompt;
    others (classifiers, masked language models) only read text. `deterministic`: whether the same prompt
    gives the same answer, whatever the seed. `max_in_flight`: how many calls may run at once.
    `deadline_seconds`: how long one of them may take, with waiting and asking again; None where it is
    computed here, and takes as long as it takes. `metered`: whether calls cost money; `prices`: how much,
    where that is known. `notes`: sentences about this model that every reader of an explanation must see.
    """

    access: Access
    revision: str | None = None
    context_tokens: int | None = None
    attends: bool = False
    scores: bool = False
    cites: bool = False
    counts: bool = False
    forces: bool = False
    writes_logprobs: bool = False
    refused: Mapping[Reduction, str] = field(default_factory=dict)
    layers: Sequence[int] = ()
    heads: int = 0
    instructed: bool = True
    deterministic: bool = False
    max_in_flight: int = 1
    deadline_seconds: float | None = None
    metered: bool = False
    prices: Prices | None = None
    notes: tuple[str, ...] = ()


@runtime_checkable
class Provider(Protocol):
    """An adapter: it observes one model, and knows nothing of explanations."""

    @property
    def name(self) -> str:
        """The provider's name, as in the registry."""

    @property
    def model(self) -> str:
        """The model's name."""

    async def capabilities(self) -> Capabilities:
        """What can be seen; loads or probes on the first call."""

    async def generate(
        self, prompt: Prompt, *, max_tokens: int, seed: int, progress: Progress | None = None
    ) -> Generation:
        """Let the model answer. Raises ContextLengthError, ProviderError."""


class Watcher(Protocol):
    """Is shown every weight of every head while a model is observed, from the worker thread."""

    def begin(self, blocks: Sequence[Block]) -> Mapping[BlockName, Sequence[int]]:
        """Told once before the pass what there is; returns the queries wanted of each block, ascending.

        A block that is left out is not shown.
        """

    def see(self, block: BlockName, layer: int, head: int, weights: NDArray[np.float32]) -> None:
        """The weights of one head, wanted queries x keys; a row sums to 1, less what learned sinks took."""


@runtime_checkable
class Attends(Protocol):
    """A provider whose attention can be observed."""

    async def attend(
        self,
        prompt: Prompt,
        output: str | Generation,
        query: AttentionQuery,
        *,
        progress: Progress | None = None,
        watcher: Watcher | None = None,
    ) -> AttentionRows:
        """Attention of the output on the prompt, in one teacher-forced pass.

        A `Generation` keeps its token ids; a text is encoded without special tokens. `watcher` is shown the
        weights themselves, whatever the query's reduction.
        Raises ContextLengthError, UnknownLayerError, CaptureError.
        """


@runtime_checkable
class Scores(Protocol):
    """A provider that tells how probable a given output is."""

    async def score(
        self, prompts: Sequence[Prompt], output: str | Generation, *, progress: Progress | None = None
    ) -> tuple[TokenScores, ...]:
        """Log-probability of each token of the output, given each of the prompts, in their order.

        A `Generation` keeps its token ids; a text is encoded without special tokens. Every prompt gives the
        same tokens, unless the model is made to write them. `progress` is told the prompts done, in the stage
        `score`.
        Raises ContextLengthError, ProviderError.
        """


@runtime_checkable
class Cites(Protocol):
    """A provider whose model says itself what its answer rests on."""

    async def cite(
        self,
        prompt: Prompt,
        passages: Passages,
        *,
        max_tokens: int,
        seed: int,
        progress: Progress | None = None,
    ) -> Generation:
        """An answer with `citations` of these passages. Raises as `generate` does."""

    async def count_cited_tokens(self, prompt: Prompt, passages: Passages) -> int:
        """Tokens that the model would read in `cite`. Raises RenderError, ProviderError."""


@runtime_checkable
class Counts(Protocol):
    """A provider that tells, for nothing, how long a prompt is."""

    async def count_tokens(self, prompt: Prompt) -> int:
        """Tokens that the model would read. Raises RenderError, ProviderError."""
