"""What each level of access can find: the bundled model on unseen records, seen in three ways.

- weights: its attention, read in each way;
- logprob: only the log-probability of a given output, by each design of ablations;
- text: only what it writes, with and without the noise of sampling, by each design.

best: the share of targets whose best segment is true; recall: of the true segments, the share among the best
3 (or as many as are true, if more); calls and CPU seconds for one explanation, on average. The number after a
design is its budget in calls, all of them counted; records with more segments than that allows are left out.

It says what these methods find in one small model and made-up records, and nothing about other models or
text.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, fields
from multiprocessing import get_context
from statistics import mean
from typing import Any

import anyio.to_thread
import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from whence import Explainer, Explanation, Source
from whence.demo.provider import load
from whence.demo.records import PROMPT, Record, generate
from whence.providers.base import Capabilities, Progress
from whence.providers.errors import BudgetError
from whence.providers.huggingface import HuggingFace
from whence.providers.huggingface.encoding import decode, encode_prompt
from whence.providers.observations import Generation
from whence.providers.prompt import Prompt

AIMS = {"logprob lasso 64": 0.95, "text lasso 64": 0.90}
CALLS = (32, 64, 128)
TEMPERATURE = 1.0
LONGEST_ANSWER_TOKENS = 128
IN_FLIGHT = 256
AT_ONCE = 32
WINDOW_SECONDS = 0.002


class TextOnly:
    """The bundled model behind a wall: it takes a prompt and gives a text. Calls at one time share batches.

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


@dataclass
class Row:
    """One way to look: what it found over the records."""

    best: list[bool] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, explanation: Explanation, record: Record, seconds: float) -> None:
        """Count what one explanation found, over the sentences that were written right."""
        matrix = explanation.matrix()
        self.calls.append(explanation.cost.calls)
        self.seconds.append(seconds)
        for index, support in enumerate(record.truth):
            written = explanation.target_text(index).strip() if index < len(matrix) else ""
            if not support.lines or written != support.text:
                continue
            order = np.argsort(-matrix[index], kind="stable").tolist()
            k = max(3, len(support.lines))
            self.best.append(order[0] in support.lines)
            self.recall.append(len(support.lines & set(order[:k])) / len(support.lines))

    def figures(self) -> dict[str, float]:
        """The means."""
        return {
            "best": mean(self.best),
            "recall": mean(self.recall),
            "calls": mean(self.calls),
            "cpu_seconds": mean(self.seconds),
            "records": len(self.calls),
        }


def merged(rows: Sequence[Row]) -> Row:
    """The rows of several processes as one."""
    return Row(*([item for row in rows for item in getattr(row, f.name)] for f in fields(Row)))


def ways() -> dict[str, tuple[str, dict[str, Any]]]:
    """Name -> (explainer, arguments)."""
    found: dict[str, tuple[str, dict[str, Any]]] = {
        f"weights {name}": ("weights", {"method": name})
        for name in ("attention", "attention_rollout", "attention_value_weighted")
    }
    for explainer in ("logprob", "text", "text with noise"):
        access = "weights" if explainer == "logprob" else explainer
        found[f"{explainer} leave_one_out"] = (access, {"method": "leave_one_out"})
        for calls in CALLS:
            budget = {"budget": {"calls": calls}, "stop_early": False}
            found[f"{explainer} lasso {calls}"] = (access, budget | {"method": "lasso", "masks": calls})
            found[f"{explainer} shapley {calls}"] = (
                access,
                budget | {"method": "shapley", "permutations": calls},
            )
        found[f"{explainer} lasso by default"] = (access, {"method": "lasso"})
    return found


def measure(seeds: Sequence[int]) -> dict[str, Row]:
    """Every way on the records of these seeds."""
    torch.set_num_threads(1)
    provider = load()
    loaded = provider_parts(provider)
    walls = {
        "text": TextOnly(*loaded, temperature=0),
        "text with noise": TextOnly(*loaded, temperature=TEMPERATURE),
    }
    explainers = {"weights": Explainer(provider)} | {name: Explainer(wall) for name, wall in walls.items()}
    rows: dict[str, Row] = defaultdict(Row)
    for seed in track(seeds, description="records", disable=not sys.stderr.isatty()):
        record = generate(seed)
        sources = [Source(text=record.text, name="record")]
        output = explainers["weights"].explain(PROMPT, sources=sources, method="attention").output.text
        for wall in walls.values():
            wall.forget()
        for name, (access, arguments) in ways().items():
            began = time.process_time() + sum(wall.saved_seconds for wall in walls.values())
            try:
                explanation = explainers[access].explain(
                    PROMPT, sources=sources, output=output, max_tokens=LONGEST_ANSWER_TOKENS, **arguments
                )
            except BudgetError:
                continue
            ended = time.process_time() + sum(wall.saved_seconds for wall in walls.values())
            rows[name].add(explanation, record, ended - began)
    return dict(rows)


def provider_parts(provider: HuggingFace) -> tuple[Any, Any]:
    """The model and the tokenizer of a provider."""
    explainer = Explainer(provider)
    sources = ["The patient is allergic to latex. It is raining."]
    # So that nobody pays for what is imported late.
    explainer.explain(PROMPT, sources=sources, max_tokens=9, method=["attention", "lasso"])
    return provider._loaded.model, provider._loaded.tokenizer


def show(figures: dict[str, dict[str, float]]) -> None:
    table = Table("access and method", "best is true", "recall", "calls", "CPU s", "records", box=None)
    for name, row in figures.items():
        table.add_row(
            name,
            f"{row['best']:.3f}",
            f"{row['recall']:.3f}",
            f"{row['calls']:.1f}",
            f"{row['cpu_seconds']:.2f}",
            f"{row['records']:.0f}",
        )
    Console(width=100).print(table)
    for name, aim in AIMS.items():
        reached = min(figures[name]["best"], figures[name]["recall"])
        print(f"{name}: {reached:.3f}, the lower of best and recall / aim {aim} = {reached / aim:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--records", type=int, default=100)
    parser.add_argument("--workers", type=int, default=1, help="processes that share the records")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--check", action="store_true", help="exit with 1 where an aim is missed")
    arguments = parser.parse_args()
    shares = [range(start, arguments.records, arguments.workers) for start in range(arguments.workers)]
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(measure, shares))
    figures = {name: merged([part[name] for part in parts if name in part]).figures() for name in ways()}
    if arguments.json:
        print(json.dumps(figures))
    else:
        show(figures)
    missed = [n for n, aim in AIMS.items() if min(figures[n]["best"], figures[n]["recall"]) < aim]
    if arguments.check and missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
