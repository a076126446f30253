"""A model in this process, whatever it was loaded from: asked in a worker thread, one pass at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_args
from weakref import WeakKeyDictionary

import anyio.from_thread
import anyio.to_thread
import numpy as np
import torch
from numpy.typing import NDArray

from whence.providers.base import Capabilities, Progress, Step, Watcher, require_known
from whence.providers.errors import CaptureError, UnsupportedError
from whence.providers.huggingface.attention import Observer
from whence.providers.huggingface.following import Following, reduction, refused, silent_notes
from whence.providers.huggingface.passes import run
from whence.providers.huggingface.reading import Loaded, Reading
from whence.providers.huggingface.reductions import Wanted
from whence.providers.huggingface.scoring import score
from whence.providers.observations import (
    AttentionQuery,
    AttentionRows,
    Generation,
    Reduction,
    Token,
    TokenScores,
)
from whence.providers.prompt import Prompt
from whence.providers.turns import Turns

Answer = TypeVar("Answer")
HALF_PRECISION_ROUNDING = 0.02
"""How far from 1 a row may sum that a model rounded to bfloat16 itself, as some tapped families do."""

# One pass at a time per model, also where several providers hold the same model object.
_turns: WeakKeyDictionary[torch.nn.Module, Turns] = WeakKeyDictionary()
_turns_lock = threading.Lock()


class LocalModel:
    """A model that is loaded on first use, in a worker thread.

    `load`: how; `loading`: held while it is. `score_batch`: how many prompts are scored at once; by default 1
    on a CPU, where more bring nothing, and 8 elsewhere. `notes`: what readers of explanations must know.
    """

    def __init__(
        self,
        load: Callable[[], Loaded],
        *,
        loading: Turns | None = None,
        score_batch: int | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._load = load
        self._loading = loading or Turns()
        self._loaded: Loaded | None = None
        self._score_batch = score_batch
        self._notes = notes

    async def capabilities(self) -> Capabilities:
        """What this model lets us see; loads it on the first call."""
        loaded = await self._ready()
        seen = loaded.unseen is None
        return Capabilities(
            access="weights",
            revision=loaded.revision,
            context_tokens=loaded.context_tokens,
            attends=seen,
            scores=True,
            counts=True,
            refused=refused(loaded.anatomy, loaded.kind.block)
            if loaded.unseen is None
            else dict.fromkeys(get_args(Reduction), loaded.unseen),
            layers=loaded.anatomy.layers(loaded.kind.block),
            heads=loaded.anatomy.heads(loaded.kind.block) if seen else 0,
            instructed=loaded.kind.instructed,
            deterministic=True,
            notes=(*self._notes, *silent_notes(loaded.anatomy, loaded.kind.block)),
        )

    async def generate(
        self, prompt: Prompt, *, max_tokens: int, seed: int, progress: Progress | None = None
    ) -> Generation:
        """Answer greedily: the seed changes nothing. Raises ContextLengthError, RenderError, InputError.

        Room is kept for an eighth of the context, or for `max_tokens` if that is less; the answer may be
        cut where the context ends, and then its `finish` is `length`.
        """

        def work(loaded: Loaded) -> Generation:
            return loaded.kind.generate(
                loaded,
                prompt,
                max_tokens=max_tokens,
                report=lambda done: _report(progress, "generate", done, max_tokens),
                observer=Observer(anyio.from_thread.check_cancelled),
            )

        return await self._in_worker(work)

    async def attend(
        self,
        prompt: Prompt,
        output: str | Generation,
        query: AttentionQuery,
        *,
        progress: Progress | None = None,
        watcher: Watcher | None = None,
    ) -> AttentionRows:
        """Attention in one teacher-forced pass over prompt and output; see `Attends.attend`."""

        def work(loaded: Loaded) -> AttentionRows:
            if loaded.unseen is not None:
                raise CaptureError(loaded.unseen)
            reading = loaded.kind.read(loaded, prompt, output)
            return _attend(loaded, reading, query, progress, watcher)

        return await self._in_worker(work)

    async def score(
        self, prompts: Sequence[Prompt], output: str | Generation, *, progress: Progress | None = None
    ) -> tuple[TokenScores, ...]:
        """Log-probabilities of the output under each prompt; see `Scores.score`. Also raises RenderError."""

        def work(loaded: Loaded) -> tuple[TokenScores, ...]:
            return score(
                loaded,
                prompts,
                output,
                batch=self._score_batch,
                report=lambda done: _report(progress, "score", done, len(prompts)),
                observer=Observer(anyio.from_thread.check_cancelled),
            )

        return await self._in_worker(work)

    async def count_tokens(self, prompt: Prompt) -> int:
        """Tokens of the prompt as this kind of model reads it; see `Counts.count_tokens`."""
        loaded = await self._ready()
        return await anyio.to_thread.run_sync(loaded.kind.count, loaded, prompt)

    async def _ready(self) -> Loaded:
        """The model, loaded in a worker thread by the first who asks."""
        if self._loaded is None:
            async with self._loading.turn():
                if self._loaded is None:
                    self._loaded = await anyio.to_thread.run_sync(self._load)
        return self._loaded

    async def _in_worker(self, work: Callable[[Loaded], Answer]) -> Answer:
        """Run torch work in a thread, one at a time per model. The thread hears of cancellation by itself."""
        loaded = await self._ready()
        async with turns_of(loaded.model).turn():
            return await anyio.to_thread.run_sync(work, loaded)


def _attend(
    loaded: Loaded,
    reading: Reading,
    query: AttentionQuery,
    progress: Progress | None,
    watcher: Watcher | None,
) -> AttentionRows:
    anatomy, model = loaded.anatomy, loaded.model
    followed = anatomy.blocks if query.reduction == "rollout" else (reading.block,)
    heads = min(anatomy.heads(block) for block in followed)
    require_known(query, layers=anatomy.layers(reading.block), heads=heads)
    if query.reduction == "rollout" and query.layers is not None:
        raise UnsupportedError("rollout follows all layers; leave layers= away, or take another reduction")
    refusal = refused(anatomy, reading.block).get(query.reduction)
    if refusal is not None:
        raise UnsupportedError(
            f"{query.reduction} attention cannot be had from {type(model).__name__}: {refusal}"
        )
    numbers = sorted({row for rows in reading.rows for row in rows})
    wanted = Wanted(
        block=reading.block,
        rows=torch.tensor(numbers, device=model.device),
        layers=query.layers,
        heads=query.heads,
    )
    total = len(anatomy.places)
    done = 0

    def check() -> None:
        nonlocal done
        anyio.from_thread.check_cancelled()
        _report(progress, "attend", min(done, total), total)
        done += 1

    observer = Following(anatomy, reading, reduction(query.reduction, wanted, anatomy), check, watcher)
    output = run(model, reading.inputs, observer, via=anatomy.via, last_logits=reading.last_logits)
    observer.finish(model)
    rows = observer.reduction.rows()[0]
    _report(progress, "attend", total, total)
    place = {number: index for index, number in enumerate(numbers)}
    explaining = torch.stack([rows[[place[row] for row in own]].mean(dim=0) for own in reading.rows])
    keys = reading.keys(rollout=query.reduction == "rollout")
    return AttentionRows(
        **_whole(explaining.cpu().numpy(), keys, sinks=observer.sinks),
        output=reading.scores(output),
    )


def _whole(rows: NDArray[np.float32], keys: tuple[Token, ...], *, sinks: bool) -> dict[str, Any]:
    """Rows that sum to 1: what learned `sinks` took becomes a column of its own."""
    sums = rows.sum(axis=1, dtype=np.float64, keepdims=True)
    if not np.isfinite(sums).all():
        raise CaptureError("the attention of this model is not finite: its weights are damaged")
    if sinks:
        column = (1 - sums).clip(min=0).astype(np.float32)
        return {"rows": np.hstack([rows, column]), "keys": (*keys, Token(part="sink", text="learned sink"))}
    if np.abs(sums - 1).max() > HALF_PRECISION_ROUNDING:
        raise CaptureError("the attention of this model does not sum to 1, so its weights are not all seen")
    return {"rows": (rows / sums).astype(np.float32), "keys": keys}


def _report(progress: Progress | None, stage: str, done: int, total: int) -> None:
    if progress is not None:
        progress(Step(stage=stage, done=done, total=total))


def turns_of(model: torch.nn.Module) -> Turns:
    """Held by whoever asks this model object."""
    with _turns_lock:
        return _turns.setdefault(model, Turns())
