"""A provider whose true attributions are known in closed form: for tests, and for trying Whence out.

It reads words. A `Rule` says which cue words in the sources make it write a sentence, and what each is
worth in nats, so every number that a method should find can be worked out by hand.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import anyio
import anyio.to_thread
import numpy as np
from numpy.typing import NDArray

from whence.providers.base import (
    Access,
    Capabilities,
    Prices,
    Progress,
    Step,
    Watcher,
    report,
    require_known,
    text_to_explain,
)
from whence.providers.errors import UnsupportedError
from whence.providers.observations import (
    AttentionQuery,
    AttentionRows,
    Block,
    Generation,
    Span,
    Token,
    TokenScores,
)
from whence.providers.prompt import Prompt

# Of each row of attention: what goes to the cues, the sink and the instruction; the cues that are not in
# the sources leave their part to the sink.
CUE_MASS = 0.75
SINK_MASS = 0.15
INSTRUCTION_MASS = 0.10
ONE_LAYER = "a FakeProvider has one layer and one head, and no values"
BASE_NATS = 0.1
"""What every token costs, whatever the sources say."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A sentence, and the words of the sources that carry it.

    `cues`: word -> nats. `kind`: `additive`, each cue present is worth its own nats; `redundant`, any cue
    suffices and is worth the largest; `all_of`, the sum is gained only where every cue is present.
    """

    text: str
    cues: Mapping[str, float]
    kind: Literal["additive", "redundant", "all_of"] = "additive"

    def value_nats(self, words: frozenset[str]) -> float:
        """What sources that hold `words` are worth to this sentence."""
        present = [nats for cue, nats in self.cues.items() if cue in words]
        if self.kind == "additive":
            return sum(present)
        if self.kind == "redundant":
            return max(present, default=0.0)
        return sum(present) if len(present) == len(self.cues) else 0.0

    @property
    def full_nats(self) -> float:
        """What sources that hold every cue are worth."""
        return self.value_nats(frozenset(self.cues))


EXAMPLE_RULES = (
    Rule(text="The dose is low. ", cues={"alpha": 3.0, "beta": 1.0}),
    Rule(text="The scan was clear. ", cues={"gamma": 2.0, "delta": 2.0}, kind="redundant"),
    Rule(text="The plan is agreed.", cues={"epsilon": 1.0, "zeta": 1.0, "eta": 1.0}, kind="all_of"),
)


@dataclass(kw_only=True, eq=False)
class FakeProvider:
    """Writes the sentence of each rule whose cues are worth at least half of all of them.

    `access`: what it lets callers see. `latency_s`: waited in each call. `noise`: standard deviation of
    each log-probability, in nats, and the chance that a generated sentence is left out. `faults`: what the
    first calls raise, in order; None lets one through. `max_in_flight`, `deadline_seconds`, `prices`: as in
    `Capabilities`; with prices it is metered. `calls` counts what was asked, `most_in_flight` how much of it
    at once. The same seed and calls give the same answers.
    """

    rules: Sequence[Rule] = EXAMPLE_RULES
    access: Access = "weights"
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
            scores=self.access != "text",
            refused={"rollout": ONE_LAYER, "value_weighted": ONE_LAYER},
            deterministic=self.noise == 0,
            max_in_flight=self.max_in_flight,
            deadline_seconds=self.deadline_seconds,
            metered=self.prices is not None,
            prices=self.prices,
        )

    async def count_tokens(self, prompt: Prompt) -> int:
        """Words, and the first token."""
        return len(_prompt_tokens(prompt)[0])

    async def generate(
        self, prompt: Prompt, *, max_tokens: int, seed: int, progress: Progress | None = None
    ) -> Generation:
        """The sentences whose rules hold, or `Nothing is known.`; cut after `max_tokens` words."""
        rng = await self._call(seed)
        present = _words(prompt)
        sentences = [
            rule.text
            for rule in self.rules
            if rule.value_nats(present) >= rule.full_nats / 2 and rng.random() >= self.noise
        ]
        text = "".join(sentences) or "Nothing is known."
        words = re.findall(r"\s*\S+", text)
        await report(progress, Step(stage="generate", done=min(len(words), max_tokens), total=max_tokens))
        return Generation(
            text="".join(words[:max_tokens]),
            finish="length" if len(words) > max_tokens else "stop",
            prompt_tokens=len(_prompt_tokens(prompt)[0]),
            output_tokens=min(len(words), max_tokens),
        )

    async def score(
        self, prompts: Sequence[Prompt], output: str | Generation, *, progress: Progress | None = None
    ) -> tuple[TokenScores, ...]:
        """Log-probabilities: a sentence loses what its missing cues are worth, in equal parts by token."""
        if self.access == "text":
            raise UnsupportedError("this FakeProvider gives text only; make it with access='logprobs'")
        text = output if isinstance(output, str) else output.text
        scores: list[TokenScores] = []
        for number, prompt in enumerate(prompts, start=1):
            rng = await self._call(0)
            spans, owners = self._output_tokens(text)
            sizes = {rule: owners.count(rule) for rule in owners}
            words = _words(prompt)
            nats = [
                -BASE_NATS
                - (
                    0.0
                    if i is None
                    else (self.rules[i].full_nats - self.rules[i].value_nats(words)) / sizes[i]
                )
                + rng.gauss(0.0, self.noise)
                for i in owners
            ]
            read = len(_prompt_tokens(prompt)[0])
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
        prompt_tokens, words = _prompt_tokens(prompt)
        spans, owners = self._output_tokens(text)
        written = [Token(part="output", start=a, end=b, text=text[a:b]) for a, b in spans[:-1]]
        keys = (*prompt_tokens, *written)
        rows = np.zeros((len(owners), len(keys)))
        instruction = [i for i, key in enumerate(keys) if key.part == "instruction"]
        rows[:, 0] = SINK_MASS
        rows[:, instruction] += INSTRUCTION_MASS / len(instruction)
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
            await anyio.to_thread.run_sync(_show, watcher, keys, prompt_tokens, weights)
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
    watcher: Watcher, keys: tuple[Token, ...], prompt_tokens: tuple[Token, ...], rows: NDArray[np.float32]
) -> None:
    """The rows that explain the output are all that there is: the prompt attends to nothing."""
    queries = keys[len(prompt_tokens) - 1 :]
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


def _words(prompt: Prompt) -> frozenset[str]:
    keys, words = _prompt_tokens(prompt)
    return frozenset(word for key, word in zip(keys, words, strict=True) if key.part == "source")


def _prompt_tokens(prompt: Prompt) -> tuple[tuple[Token, ...], list[str]]:
    """The first token is the sink; each word of the prompt follows, stripped of punctuation."""
    keys = [Token(part="sink", text="<s>")]
    words = [""]
    for turn in prompt.turns():
        for match in re.finditer(r"\S+", turn.text):
            start, end = match.span()
            words.append(match.group().strip(".,;:!?"))
            place = next(((i, a) for i, a, b in turn.sources if a <= start and end <= b), None)
            if place is not None:
                index, begin = place
                keys.append(
                    Token(part="source", source=index, start=start - begin, end=end - begin, text=match[0])
                )
            elif any(a <= start and end <= b for a, b in turn.instructions):
                keys.append(Token(part="instruction", text=match[0]))
            else:
                keys.append(Token(part="template", text=match[0]))
    return tuple(keys), words
