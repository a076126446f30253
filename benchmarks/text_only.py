"""The bundled model behind a wall: it takes a prompt and gives a text, in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import anyio.to_thread
import numpy as np
import torch

from whence.providers.base import Capabilities, Progress
from whence.providers.huggingface.encoding import decode, encode_prompt
from whence.providers.observations import Generation
from whence.providers.prompt import Prompt

IN_FLIGHT = 256
AT_ONCE = 32
WINDOW_SECONDS = 0.002


class TextOnly:
    """Access to text only. Calls at one time share batches.

    `temperature`: 0 writes the most probable token; else tokens are drawn with the seed of the call. What it
    wrote of a record is remembered, as the designs of a method begin alike; `saved_seconds` is the CPU time
    that this saved, which belongs to whoever asked again.
    """

    name = "demo, text only"
    model = "demo"

    def __init__(self, model: Any, tokenizer: Any, *, temperature: float) -> None:
        self._model, self._tokenizer, self._temperature = model, tokenizer, temperature
        self._waiting: list[tuple[Prompt, int, int, asyncio.Future[tuple[Generation, float]]]] = []
        self._busy = asyncio.Lock()
        self._written: dict[object, tuple[Generation, float]] = {}
        self.saved_seconds = 0.0

    def forget(self) -> None:
        """The next record is another one."""
        self._written.clear()

    async def capabilities(self) -> Capabilities:
        """Text, and as much of it at once as there is."""
        return Capabilities(access="text", max_in_flight=IN_FLIGHT, deterministic=self._temperature == 0)

    async def generate(
        self, prompt: Prompt, *, max_tokens: int, seed: int, progress: Progress | None = None
    ) -> Generation:
        """Write together with all who ask at this moment."""
        key = (prompt.turns(), max_tokens, seed if self._temperature else None)
        if key in self._written:
            known, seconds = self._written[key]
            self.saved_seconds += seconds
            return known
        answer: asyncio.Future[tuple[Generation, float]] = asyncio.get_running_loop().create_future()
        self._waiting.append((prompt, max_tokens, seed, answer))
        await asyncio.sleep(WINDOW_SECONDS)
        async with self._busy:
            batch, self._waiting = self._waiting, []
            if batch:
                batch.sort(key=lambda call: len(call[0].turns()[0].text))
            for start in range(0, len(batch), AT_ONCE):
                prompts, limits, seeds, answers = zip(*batch[start : start + AT_ONCE], strict=True)
                began = time.process_time()
                written = await anyio.to_thread.run_sync(self._write, prompts, max(limits), seeds)
                each = (time.process_time() - began) / len(written)
                for waiting, text in zip(answers, written, strict=True):
                    waiting.set_result((text, each))
        self._written[key] = await answer
        return self._written[key][0]

    @torch.no_grad()
    def _write(self, prompts: Sequence[Prompt], max_tokens: int, seeds: Sequence[int]) -> list[Generation]:
        model, tokenizer = self._model, self._tokenizer
        ids = [encode_prompt(tokenizer, prompt).ids for prompt in prompts]
        width = max(map(len, ids))
        fed = torch.tensor([(0,) * (width - len(row)) + row for row in ids])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ids])
        places = (mask.cumsum(1) - 1).clamp(min=0)
        chance = [np.random.default_rng(seed) for seed in seeds]
        end, padding = tokenizer.eos_token_id, tokenizer.pad_token_id
        cache, written = None, [[] for _ in ids]
        open_rows = set(range(len(ids)))
        for _ in range(max_tokens):
            step = model(
                input_ids=fed,
                attention_mask=mask,
                position_ids=places,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache, logits = step.past_key_values, step.logits[:, -1]
            if padding not in (None, end):
                logits[:, padding] = -torch.inf
            chosen = self._choose(logits, chance)
            for row in list(open_rows):
                written[row].append(chosen[row])
                if chosen[row] == end:
                    open_rows.discard(row)
            if not open_rows:
                break
            fed = torch.tensor(chosen)[:, None]
            mask = torch.cat([mask, torch.ones(len(ids), 1, dtype=mask.dtype)], dim=1)
            places = places[:, -1:] + 1
        return [
            Generation(
                text=decode(tokenizer, tuple(row)),
                finish="stop" if row[-1] == end else "length",
                prompt_tokens=len(read),
                output_tokens=len(row),
            )
            for row, read in zip(written, ids, strict=True)
        ]

    def _choose(self, logits: torch.Tensor, chance: list[np.random.Generator]) -> list[int]:
        if self._temperature == 0:
            return logits.argmax(dim=-1).tolist()
        sums = torch.softmax(logits.double() / self._temperature, dim=-1).cumsum(-1).numpy()
        drawn = np.array([rng.random() for rng in chance]) * sums[:, -1]
        return (sums > drawn[:, None]).argmax(axis=1).tolist()
