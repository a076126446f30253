"""A provider whose true attributions are known in closed form: see `Rule`."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

import anyio
import anyio.to_thread
import numpy as np
from numpy.typing import NDArray

from whence.providers.base import (
    Access,
    Capabilities,
    Passages,
    Prices,
    Progress,
    Step,
    Watcher,
    report,
    require_known,
    text_to_explain,
)
from whence.providers.errors import UnsupportedError
from whence.providers.fake.rules import BASE_NATS, EXAMPLE_RULES, NOTHING, Rule
from whence.providers.fake.words import bare, prompt_tokens, words_of
from whence.providers.observations import (
    AttentionQuery,
    AttentionRows,
    Block,
    Citation,
    Generation,
    Span,
    Token,
    TokenScores,
    WrittenToken,
)
from whence.providers.prompt import Prompt

# Of each row of attention: what goes to the cues, the sink and the instruction; the cues that are not in
# the sources leave their part to the sink.
CUE_MASS = 0.75
SINK_MASS = 0.15
INSTRUCTION_MASS = 0.10
ONE_LAYER = "a FakeProvider has one layer and one head, and no values"


@dataclass(kw_only=True, eq=False)
class FakeProvider:
    """Writes the sentence of each rule whose cues are worth at least half of all of them.

    `access`: what it lets callers see. `writes_logprobs`: with access to log-probabilities, whether only to
    those of its own words. `cites`: whether it says which passages hold its cues. `latency_s`: waited in each
    call. `noise`: standard deviation of each log-probability, in nats, and the chance that a generated
    sentence is left out. `faults`: what the first calls raise, in order; None lets one through.
    `max_in_flight`, `deadline_seconds`, `prices`: as in `Capabilities`; with prices it is metered. `calls`
    counts what was asked, `most_in_flight` how much of it at once. The same seed and calls give the same
    answers.
    """

    rules: Sequence[Rule] = EXAMPLE_RULES
    access: Access = "weights"
    writes_logprobs: bool = False
    cites: bool = False
    latency_s: float = 0.0
    noise: float = 0.0
    faults: Sequence[Exception | None] = ()
    max_in_flight: int = 4
    deadline_seconds: float | None = 60.0
    prices: Prices | None = None
    name: str = "fake"
    model: str = "fake"
    calls: int = field(default=0, init=False)
    most_in_flight: int = field(default=0, init=False)
    _in_flight: int = field(default=0, init=False)

    async def capabilities(self) -> Capabilities:
        """As many protocols as `access` allows."""
        return Capabilities(
            access=self.access,
            attends=self.access == "weights",
            layers=(0,),
            heads=1,
            scores=self._scores,
            cites=self.cites,
            counts=True,
            writes_logprobs=self.writes_logprobs,
            refused={"rollout": ONE_LAYER, "value_weighted": ONE_LAYER},
            deterministic=self.noise == 0,
            max_in_flight=self.max_in_flight,
            deadline_seconds=self.deadline_seconds,
            metered=self.prices is not None,
            prices=self.prices,
        )

    @property
    def _scores(self) -> bool:
        return self.access != "text" and not self.writes_logprobs

    async def count_tokens(self, prompt: Prompt) -> int:
        """Words, and the first token."""
        return len(prompt_tokens(prompt)[0])

    async def count_cited_tokens(self, prompt: Prompt, passages: Passages) -> int:
        """A mark for each passage, and the words."""
        return await self.count_tokens(prompt) + sum(map(len, passages))

    async def generate(
        self, prompt: Prompt, *, max_tokens: int, seed: int, progress: Progress | None = None
    ) -> Generation:
        """The sentences whose rules hold, or `Nothing is known.`; cut after `max_tokens` words."""
        rng = await self._call(seed)
        present = words_of(prompt)
        written = [
            rule.value_nats(present) >= rule.full_nats / 2 and rng.random() >= self.noise
            for rule in self.rules
        ]
        tokens = self._written_tokens(written, present, rng)
        text = "".join(word for word, _, _ in tokens[:max_tokens])
        ends = list(accumulate(len(word) for word, _, _ in tokens[:max_tokens]))
        await report(progress, Step(stage="generate", done=len(ends), total=max_tokens))
        return Generation(
            text=text,
            finish="length" if len(tokens) > max_tokens else "stop",
            prompt_tokens=len(prompt_tokens(prompt)[0]),
            output_tokens=len(ends),
            tokens=tuple(
                WrittenToken(start=end - len(word), end=end, logprob_nats=nats, others=others)
                for end, (word, nats, others) in zip(ends, tokens, strict=False)
            )
            if self.writes_logprobs
            else None,
        )

    async def cite(
        self,
        prompt: Prompt,
        passages: Passages,
        *,
        max_tokens: int,
        seed: int,
        progress: Progress | None = None,
    ) -> Generation:
        """As `generate`; each sentence cites the passages that hold a cue of its rule."""
        if not self.cites:
            raise UnsupportedError("this FakeProvider does not cite; make it with cites=True")
        written = await self.generate(prompt, max_tokens=max_tokens, seed=seed, progress=progress)
        cited = [
            Citation(
                start=written.text.index(rule.text.strip()),
                end=written.text.index(rule.text.strip()) + len(rule.text.strip()),
                source=index,
                source_start=start,
                source_end=end,
            )
            for rule in self.rules
            if rule.text.strip() in written.text
            for index, (source, spans) in enumerate(zip(prompt.sources, passages, strict=True))
            for start, end in spans
            if not rule.cues.keys().isdisjoint(bare(source.text[start:end]))
        ]
        read = await self.count_cited_tokens(prompt, passages)
        return replace(written, prompt_tokens=read, citations=tuple(cited))

    async def score(
        self, prompts: Sequence[Prompt], output: str | Generation, *, progress: Progress | None = None
    ) -> tuple[TokenScores, ...]:
        """Log-probabilities: a sentence loses what its missing cues are worth, in equal parts by token."""
        if not self._scores:
            raise UnsupportedError(
                "this FakeProvider scores no text of others; make it with access='logprobs', and without "
                "writes_logprobs"
            )
        text = output if isinstance(output, str) else output.text
        scores: list[TokenScores] = []
        for number, prompt in enumerate(prompts, start=1):
            rng = await self._call(0)
            spans, owners = self._output_tokens(text)
            sizes = {rule: owners.count(rule) for rule in owners}
            words = words_of(prompt)
            nats = [
                (-BASE_NATS if i is None else self.rules[i].token_nats(words, sizes[i]))
                + rng.gauss(0.0, self.noise)
                for i in owners
            ]
            read = len(prompt_tokens(prompt)[0])
            scores.append(TokenScores(spans=spans, logprobs_nats=tuple(nats), prompt_tokens=read))
            await report(progress, Step(stage="score", done=number, total=len(prompts)))
        return tuple(scores)

    async def attend(
        self,
        prompt: Prompt,
        output: str | Generation,
        query: AttentionQuery,
        *,
        progress: Progress | None = None,
        watcher: Watcher | None = None,
    ) -> AttentionRows:
        """Attention on a sentence's cues in proportion to their nats; one layer, one head."""
        if self.access != "weights":
            raise UnsupportedError("this FakeProvider hides its weights; make it with access='weights'")
        require_known(query, layers=[0], heads=1)
        text = text_to_explain(output)
        (scores,) = await self.score([prompt], text)
        read, words = prompt_tokens(prompt)
        spans, owners = self._output_tokens(text)
        written = [Token(part="output", start=a, end=b, text=text[a:b]) for a, b in spans[:-1]]
        keys = (*read, *written)
        rows = np.zeros((len(owners), len(keys)))
        instruction = [i for i, key in enumerate(keys) if key.part == "instruction"]
        rows[:, 0] = SINK_MASS
        rows[:, instruction or [0]] += INSTRUCTION_MASS / max(len(instruction), 1)
        for row, owner in zip(rows, owners, strict=True):
            cues = {} if owner is None else self.rules[owner].cues
            for cue, nats in cues.items():
                places = [i for i, word in enumerate(words) if word == cue and keys[i].part == "source"]
                row[places or [0]] += CUE_MASS * nats / sum(cues.values()) / max(len(places), 1)
            if not cues:
                row[0] += CUE_MASS
        await report(progress, Step(stage="attend", done=1, total=1))
        weights = rows.astype(np.float32)
        if watcher is not None:
            await anyio.to_thread.run_sync(_show, watcher, keys, read, weights)
        return AttentionRows(rows=weights, keys=keys, output=scores)

    async def _call(self, seed: int) -> random.Random:
        self.calls += 1
        number = self.calls
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            await anyio.sleep(self.latency_s)
        finally:
            self._in_flight -= 1
        if number <= len(self.faults) and (fault := self.faults[number - 1]) is not None:
            raise fault
        return random.Random(f"{seed}/{number}")

    def _written_tokens(
        self, written: Sequence[bool], present: frozenset[str], rng: random.Random
    ) -> list[tuple[str, float, dict[str, float]]]:
        """(word, nats, others): what might have been written instead are sentences left out just before."""
        tokens: list[tuple[str, float, dict[str, float]]] = []
        left_out: list[tuple[list[str], float]] = []
        silent = not any(written)
        for rule, kept in [*zip(self.rules, written, strict=True), (NOTHING, silent)]:
            words = re.findall(r"\S+", rule.text)
            nats = rule.token_nats(present, len(words))
            if not kept:
                left_out.append((words, nats))
                continue
            for place, word in enumerate(words):
                blank = " " if tokens else ""
                others = {
                    blank + other[place]: others_nats
                    for other, others_nats in reversed(left_out)
                    if place < len(other) and other[place] != word
                }
                tokens.append((blank + word, nats + rng.gauss(0.0, self.noise), others))
            left_out = []
        return tokens

    def _output_tokens(self, text: str) -> tuple[tuple[Span, ...], list[int | None]]:
        """Words of the output, and the index of the rule whose sentence each belongs to."""
        owners: list[int | None] = []
        spans: list[Span] = []
        places = [(text.find(rule.text.strip()), rule.text.strip()) for rule in self.rules]
        for match in re.finditer(r"\s*\S+", text):
            spans.append(match.span())
            visible = match.end() - 1
            owners.append(
                next((i for i, (at, t) in enumerate(places) if 0 <= at <= visible < at + len(t)), None)
            )
        return tuple(spans), owners


def _show(
    watcher: Watcher, keys: tuple[Token, ...], read: tuple[Token, ...], rows: NDArray[np.float32]
) -> None:
    """The rows that explain the output are all that there is: the prompt attends to nothing."""
    queries = keys[len(read) - 1 :]
    block = Block(
        name="decoder",
        layers=(0,),
        heads=1,
        queries=queries,
        keys=keys,
        explaining=tuple(range(len(queries))),
    )
    wanted = watcher.begin([block]).get("decoder")
    if wanted is not None:
        watcher.see("decoder", 0, 0, rows[list(wanted)])
