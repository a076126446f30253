"""The adapter for Hugging Face models."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import anyio.from_thread
import anyio.to_thread
import torch

from whence.providers.base import Capabilities, Progress, Step, Watcher, require_known
from whence.providers.errors import CaptureError, ContextLengthError
from whence.providers.huggingface.attention import RowCollector, collect_rows
from whence.providers.huggingface.encoding import EncodedPrompt, encode_output, encode_prompt
from whence.providers.huggingface.generation import generate
from whence.providers.huggingface.loading import Loaded, load, require_decoder_only, require_offsets
from whence.providers.observations import AttentionQuery, AttentionRows, Generation, TokenScores
from whence.providers.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from transformers import PreTrainedModel

Answer = TypeVar("Answer")
LOCK_POLL_SECONDS = 0.01

# One pass at a time per model, also where several providers hold the same model object.
_locks: WeakKeyDictionary[torch.nn.Module, threading.Lock] = WeakKeyDictionary()
_locks_lock = threading.Lock()


class HuggingFace:
    """A decoder-only model: `HuggingFace("org/name")`, a local directory, or `HuggingFace(model, tokenizer)`.

    `device`: `cpu`, `cuda`, `mps`; by default the best there is. A loaded model stays where it is.
    `dtype`: `auto` is the checkpoint's own; `float32` is exact, and twice the size of `bfloat16`.
    `trust_remote_code` lets a repository's own code run here: off unless you turn it on.
    `model_name`: how explanations call it. `notes`: what their readers must know of it.

    A name is loaded on first use, in a worker thread. Raises as `loading.load` does. A loaded model is left
    as it was; while it is explained, do not run it elsewhere, unless its own attention is sdpa.
    """

    name = "huggingface"

    def __init__(
        self,
        model: str | PreTrainedModel,
        tokenizer: Any = None,
        *,
        device: str | None = None,
        dtype: str | torch.dtype = "auto",
        revision: str | None = None,
        trust_remote_code: bool = False,
        model_name: str | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._notes = notes
        self._loaded: Loaded | None = None
        self._load: Callable[[], Loaded] | None = None
        self._load_lock = threading.Lock()
        if isinstance(model, str):
            if tokenizer is not None:
                raise TypeError("a model given by name brings its own tokenizer; pass HuggingFace(name)")
            self._load = partial(
                load,
                model,
                device=device,
                dtype=dtype,
                revision=revision,
                trust_remote_code=trust_remote_code,
            )
            self.model = model_name or model
        else:
            if tokenizer is None:
                raise TypeError("a loaded model needs its tokenizer: HuggingFace(model, tokenizer)")
            require_decoder_only(model.config)
            commit = getattr(model.config, "_commit_hash", None)
            self._loaded = Loaded(model=model, tokenizer=require_offsets(tokenizer), revision=commit)
            self.model = model_name or model.config.name_or_path or type(model).__name__

    async def capabilities(self) -> Capabilities:
        """What this model lets us see; loads it on the first call."""
        loaded = await self._ready()
        return Capabilities(
            access="weights",
            revision=loaded.revision,
            context_tokens=_context_tokens(loaded),
            attends=True,
            notes=self._notes,
        )

    async def generate(
        self, prompt: Prompt, *, max_tokens: int, seed: int, progress: Progress | None = None
    ) -> Generation:
        """Answer greedily: the seed changes nothing. Raises ContextLengthError, RenderError.

        Room is kept for an eighth of the context, or for `max_tokens` if that is less; the answer may be
        cut where the context ends, and then its `finish` is `length`.
        """

        def work(loaded: Loaded) -> Generation:
            encoded = encode_prompt(loaded.tokenizer, prompt)
            limit = _context_tokens(loaded)
            room = max_tokens
            if limit is not None:
                _require_room(len(encoded.ids), limit, reserved_tokens=min(max_tokens, limit // 8))
                room = min(max_tokens, limit - len(encoded.ids))
            return generate(
                loaded,
                encoded.ids,
                max_tokens=room,
                report=lambda done: _report(progress, "generate", done, room),
                on_layer=lambda _: anyio.from_thread.check_cancelled(),
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
            encoded = encode_prompt(loaded.tokenizer, prompt)
            return _attend(loaded, encoded, output, query, progress)

        return await self._in_worker(work)

    async def _ready(self) -> Loaded:
        """The model, loaded in a worker thread by the first who asks."""
        async with _held(self._load_lock):
            if self._loaded is None:
                assert self._load is not None  # noqa: S101 - one of the two was set at the start
                self._loaded = await anyio.to_thread.run_sync(self._load)
            return self._loaded

    async def _in_worker(self, work: Callable[[Loaded], Answer]) -> Answer:
        """Run torch work in a thread, one at a time per model. The thread hears of cancellation by itself."""
        loaded = await self._ready()
        async with _held(_lock_of(loaded.model)):
            return await anyio.to_thread.run_sync(work, loaded)


def _attend(
    loaded: Loaded,
    encoded: EncodedPrompt,
    output: str | Generation,
    query: AttentionQuery,
    progress: Progress | None,
) -> AttentionRows:
    config = loaded.model.config.get_text_config()
    layers, heads = config.num_hidden_layers, getattr(config, "num_attention_heads", 0)
    if not heads:
        raise CaptureError(f"{config.model_type} has no attention heads: there is no attention to observe")
    require_known(query, layers=layers, heads=heads)
    answer = encode_output(loaded.tokenizer, output)
    # The last output token predicts nothing that is explained, so it is not read.
    ids = (*encoded.ids, *answer.ids[:-1])
    limit = _context_tokens(loaded)
    if limit is not None:
        _require_room(len(ids), limit)

    def on_layer(layer: int) -> None:
        anyio.from_thread.check_cancelled()
        _report(progress, "attend", layer, layers)

    collector = RowCollector(
        rows=len(answer.ids),
        layers=None if query.layers is None else frozenset(query.layers),
        heads=query.heads,
        on_layer=on_layer,
    )
    inputs = torch.tensor([ids], device=loaded.model.device)
    rows, logits = collect_rows(loaded.model, {"input_ids": inputs}, collector)
    _report(progress, "attend", layers, layers)
    wanted = torch.tensor([answer.ids], device=logits.device)
    logprobs = torch.log_softmax(logits.float(), dim=-1).gather(-1, wanted.unsqueeze(-1))[0, :, 0]
    return AttentionRows(
        rows=rows[0].cpu().numpy(),
        keys=(*encoded.tokens, *answer.tokens[:-1]),
        output=TokenScores(spans=answer.spans, logprobs_nats=tuple(logprobs.tolist())),
    )


def _context_tokens(loaded: Loaded) -> int | None:
    limit: int | None = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
    return limit


def _require_room(tokens: int, limit_tokens: int, *, reserved_tokens: int = 0) -> None:
    if tokens > limit_tokens - reserved_tokens:
        raise ContextLengthError(tokens=tokens, limit_tokens=limit_tokens, reserved_tokens=reserved_tokens)


def _report(progress: Progress | None, stage: str, done: int, total: int) -> None:
    if progress is not None:
        progress(Step(stage=stage, done=done, total=total))


def _lock_of(model: torch.nn.Module) -> threading.Lock:
    with _locks_lock:
        return _locks.setdefault(model, threading.Lock())


@asynccontextmanager
async def _held(lock: threading.Lock) -> AsyncIterator[None]:
    """Hold a lock that tasks of any event loop share; who waits takes no thread, and can be cancelled."""
    while not lock.acquire(blocking=False):  # noqa: ASYNC110 - an Event belongs to one loop
        await anyio.sleep(LOCK_POLL_SECONDS)
    try:
        yield
    finally:
        lock.release()
