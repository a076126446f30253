"""How probable one output is under many prompts that are mostly the same text.

A decoder reads them in the order of their token ids, in which neighbours begin alike: what was read of the
common beginning stays in the key-value cache, and is not read again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import takewhile
from math import isfinite
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from whence.providers.errors import InputError, ProviderError
from whence.providers.huggingface.anatomy import DECODER_TOKENS
from whence.providers.huggingface.attention import Observer, observing
from whence.providers.huggingface.decoder import Decoder
from whence.providers.huggingface.encoding import encode_output, prompt_ids
from whence.providers.huggingface.generation import require_room
from whence.providers.huggingface.passes import accepted, call, run
from whence.providers.huggingface.reading import Loaded, logprobs_of
from whence.providers.observations import Generation, TokenScores
from whence.providers.prompt import Prompt

BATCH = 8
"""Prompts read at once where that is faster, which it is not on a CPU."""
ROWS = 128
"""Positions whose logits are computed at once, where that can wait: few at a time are slow, on a CPU too."""
Ids = tuple[int, ...]


def score(
    loaded: Loaded,
    prompts: Sequence[Prompt],
    output: str | Generation,
    *,
    batch: int | None,
    report: Callable[[int], None],
    observer: Observer,
) -> tuple[TokenScores, ...]:
    """Log-probabilities of the output's tokens given each prompt; equal prompts are read once.

    `batch`: how many prompts are read at once; None, by device. `report` is told how many were read. Raises
    ContextLengthError, RenderError, InputError, and ProviderError where a log-probability is not finite.
    """
    found = None
    if isinstance(loaded.kind, Decoder):
        found = _score_shared(loaded, prompts, output, batch=batch, report=report, observer=observer)
    if found is None:
        found = _score_alone(loaded, prompts, output, report=report, observer=observer)
    return found


def _score_alone(
    loaded: Loaded,
    prompts: Sequence[Prompt],
    output: str | Generation,
    *,
    report: Callable[[int], None],
    observer: Observer,
) -> tuple[TokenScores, ...]:
    """One pass over each prompt, as it is observed elsewhere."""
    known: dict[tuple[Ids, ...], TokenScores] = {}
    found: list[TokenScores] = []
    for prompt in prompts:
        observer.check()
        reading = loaded.kind.read(loaded, prompt, output)
        ids = tuple(tuple(tensor[0].tolist()) for tensor in reading.inputs.values())
        if ids not in known:
            seen = run(
                loaded.model,
                reading.inputs,
                observer,
                via=loaded.anatomy.via,
                last_logits=reading.last_logits,
            )
            known[ids] = reading.scores(seen)
            _require_finite(loaded.model, known[ids].logprobs_nats)
        found.append(known[ids])
        report(len(found))
    return tuple(found)


def _score_shared(
    loaded: Loaded,
    prompts: Sequence[Prompt],
    output: str | Generation,
    *,
    batch: int | None,
    report: Callable[[int], None],
    observer: Observer,
) -> tuple[TokenScores, ...] | None:
    """Groups of neighbours on the cache of what they share; None where this model's cache forbids that."""
    model, answer = loaded.model, encode_output(loaded.tokenizer, output)
    asked: list[Ids] = []
    for prompt in prompts:
        observer.check()
        ids = prompt_ids(loaded.tokenizer, prompt, render=loaded.render)
        if not ids:
            raise InputError("nothing is left of a prompt, so nothing precedes the output")
        require_room(len(ids) + len(answer.ids) - 1, loaded.context_tokens)
        asked.append(ids)
    times = Counter(asked)
    order = sorted(times)
    if batch is None:
        batch = 1 if model.device.type == "cpu" else BATCH
    logprobs: list[list[float]] = []
    waiting: list[Tensor] = []
    done = 0
    with observing(model, observer, via=loaded.anatomy.via), torch.no_grad():
        shared = _Shared(model, observer)
        if order and not shared.begin(order[0], max(map(len, order)) + len(answer.ids)):
            return None
        for start in range(0, len(order), batch):
            group = order[start : start + batch]
            waiting += shared.read(group, answer.ids)
            if len(waiting) * len(answer.ids) >= ROWS or start + batch >= len(order):
                logits = shared.head(torch.cat(waiting))
                values = logprobs_of(logits, answer.ids * len(waiting)).view(len(waiting), -1)
                logprobs += values.tolist()
                waiting = []
            for ids in group:
                for _ in range(times[ids]):
                    done += 1
                    report(done)
    found = {
        ids: TokenScores(spans=answer.spans, logprobs_nats=tuple(own), prompt_tokens=len(ids))
        for ids, own in zip(order, logprobs, strict=True)
    }
    for own in logprobs:
        _require_finite(model, own)
    return tuple(found[ids] for ids in asked)


class _Shared:
    """A decoder, and the key-value cache of the one sequence that it read last, `held`.

    `head`: from the rows that `read` returns to logits: (rows, vocabulary).
    """

    def __init__(self, model: PreTrainedModel, observer: Observer) -> None:
        self.model, self.observer = model, observer
        self.body: torch.nn.Module = model
        self.head: Callable[[Tensor], Tensor] = lambda logits: logits
        self.cache: Any = None
        self.held: Ids = ()

    def begin(self, ids: Ids, longest: int) -> bool:
        """Whether this model's cache can be cut back, found out by reading a few tokens.

        Only plain keys and values can. `longest`: tokens of the longest sequence.
        """
        if "past_key_values" not in accepted(self.model, {"past_key_values": True}):
            return False
        few = [ids[:DECODER_TOKENS]]
        seen = self._feed(few, 1)
        cache = getattr(seen, "past_key_values", None)
        if type(cache) is not DynamicCache or _depends_on_length(self.model, longest):
            return False
        holds_nothing = getattr(cache, "is_dummy", [False] * len(cache.layers))
        plain = [type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in cache.layers]
        if not all(a or b for a, b in zip(plain, holds_nothing, strict=True)):
            return False
        self._take_apart(few, seen.logits[0, -1:])
        self.cache = cache
        self._empty()
        return True

    def read(self, group: Sequence[Ids], answer: Ids) -> list[Tensor]:
        """For each prompt of the group the positions that predict the answer: (answer tokens, ...)."""
        rows = [(*ids, *answer[:-1]) for ids in group]
        shortest = min(map(len, group))
        # The last token of a prompt is read by each anew: it predicts the first of the answer.
        beginning = min(shortest - 1, *(_common(rows[0], row) for row in rows))
        cached = self._cut(min(_common(self.held, rows[0]), beginning))
        if len(rows) > 1:
            if cached < beginning:
                self._feed([rows[0][cached:beginning]], 1)
                cached = beginning
            self.cache.batch_repeat_interleave(len(rows))
        width = max(map(len, rows))
        # Without a mask: a decoder looks back only, so no token sees the padding after it.
        fed = [(*row[cached:], *row[-1:] * (width - len(row))) for row in rows]
        wanted = width - shortest + 1
        seen = self._feed(fed, wanted)
        states = (seen.logits if self.body is self.model else seen[0])[:, -wanted:]
        if len(rows) > 1:
            self.cache.batch_select_indices(torch.tensor([len(rows) - 1], device=self.model.device))
        self.held = (*rows[-1][:cached], *fed[-1])
        firsts = [len(ids) - shortest for ids in group]
        return [own[first : first + len(answer)] for own, first in zip(states, firsts, strict=True)]

    def _feed(self, rows: Sequence[Ids], last_logits: int) -> Any:
        options = {"past_key_values": self.cache, "use_cache": True}
        if self.body is self.model:
            options["logits_to_keep"] = last_logits
        inputs = torch.tensor(rows, device=self.model.device)
        return call(self.model, self.body, self.observer, input_ids=inputs, **accepted(self.model, options))

    def _take_apart(self, rows: Sequence[Ids], logits: Tensor) -> None:
        """Use body and head apart, where that gives the very same `logits` of the last token of `rows`.

        Then logits are computed for the answer's positions alone, of some prompts at once. Families that
        scale or cap their logits stay whole.
        """
        body: Any = self.model.base_model
        head: Any = self.model.get_output_embeddings()
        if body is self.model or not isinstance(head, torch.nn.Linear):
            return
        self.body = body
        if torch.equal(head(self._feed(rows, 1)[0][0, -1:]), logits):
            self.head = head
        else:
            self.body = self.model

    def _cut(self, tokens: int) -> int:
        """Keep the first `tokens` of what is held."""
        if tokens == 0:
            self._empty()
        elif tokens < len(self.held):
            self.cache.crop(tokens - len(self.held))
        return tokens

    def _empty(self) -> None:
        # A sliding window would forget what lies before it, and could not be cut back. Kept whole, the keys
        # are masked to the same window.
        self.cache.layers = [
            DynamicLayer() if isinstance(layer, DynamicLayer) else layer for layer in self.cache.layers
        ]


def _common(one: Ids, other: Ids) -> int:
    """How many tokens two sequences share from their beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _depends_on_length(model: PreTrainedModel, tokens: int) -> bool:
    """Whether a text of so many tokens has other keys than its own beginning (longrope)."""
    rope: Any = getattr(model.config.get_text_config(), "rope_parameters", None) or {}
    each = [rope] if "rope_type" in rope else rope.values()
    return any(
        own["rope_type"] == "longrope" and tokens > own["original_max_position_embeddings"]
        for own in each
        if own is not None
    )


def _require_finite(model: PreTrainedModel, logprobs_nats: Sequence[float | None]) -> None:
    if not all(nats is not None and isfinite(nats) for nats in logprobs_nats):
        raise ProviderError(
            f"{type(model).__name__} computed a log-probability that is not finite: its weights are damaged, "
            "or their precision (dtype) is too low"
        )
