"""What a set of segments is worth to each target: its log-probability, or how well it is said again."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

import anyio.to_thread
import numpy as np
from numpy.typing import NDArray

from whence.explain.ablation import Ablation, Mask
from whence.explain.calls import Calls
from whence.explain.layout import Layout, lay_out
from whence.explain.result import Access, Family, Unit
from whence.explain.schema import OutputToken, TargetKind, TextKind
from whence.explain.scorers import Scorer
from whence.providers.errors import CutError, ProviderError, RefusedError
from whence.providers.observations import Generation, Span
from whence.providers.prompt import Prompt

Values = NDArray[np.float64]
"""Masks x targets."""
REPEATS = 3
AT_ONCE = 256
"""Prompts that are made, and asked, together."""
LOST = 0.5
"""A target that comes back with less similarity, though nothing was removed, was not written again."""


class Value(Protocol):
    """A measure of what is kept, with everything kept as the standard.

    `full`: the value for each target of the whole prompt. `lengths`: tokens of each target where the value
    grows with them, else ones. `noise`: standard deviation of a value when nothing changes, over repeats;
    None where a value is exact. `repeats`: of the whole prompt. `said`: what a reader needs to compute it
    again. `tokens`: of the output, where they are known. `failures`: why some values are not known.
    """

    family: Family
    access: Access
    unit: Unit
    ablation: Ablation
    layout: Layout
    full: Values
    lengths: Values
    noise: float | None
    repeats: int
    said: Mapping[str, str | int | float]
    caveats: tuple[str, ...]
    tokens: tuple[OutputToken, ...] | None
    failures: Sequence[ProviderError] = ()

    async def of(self, masks: Mask) -> Values:
        """The values of what each mask keeps: masks x segments in, masks x targets out.

        NaN where a value could not be had.
        """


class Rewriting:
    """Answers to ablated prompts, each with a seed of its own, so that their noise is not the same.

    Two of the same call and seed ask for the same texts, which `Calls` then asks for once.
    """

    def __init__(self, calls: Calls, ablation: Ablation, *, max_tokens: int, seed: int) -> None:
        self.ablation = ablation
        self.repeats = 1 if calls.capabilities.deterministic else REPEATS
        self.max_tokens = max_tokens
        self.failures: list[ProviderError] = []
        self._calls = calls
        self._seed = seed
        self._asked = 0

    async def whole(self) -> list[Generation]:
        """What the model writes from everything, as often as noise asks for.

        Raises CutError, RefusedError.
        """
        masks = np.stack([self.ablation.full()] * self.repeats)
        written = [answer async for answers in self.of(masks) for answer in answers]
        if self.failures:
            raise self.failures[0]
        return [answer for answer in written if answer is not None]

    async def of(self, masks: Mask) -> AsyncIterator[list[Generation | None]]:
        """What the model writes from what each mask keeps, some at a time.

        None where it would not, or was cut. Raises CutError or RefusedError where most are None.
        """
        async for prompts in ablated(self.ablation, masks):
            first = self._seed + 1 + self._asked
            self._asked += len(prompts)
            written = await self._calls.regenerate(
                prompts, max_tokens=self.max_tokens, seeds=range(first, first + len(prompts))
            )
            answers = [self._whole_or_none(answer) for answer in written]
            if 2 * len(self.failures) > self._asked:
                raise self.failures[0]
            yield answers

    def _whole_or_none(self, answer: Generation | RefusedError) -> Generation | None:
        try:
            if isinstance(answer, RefusedError):
                raise answer
            require_whole(answer, self.max_tokens)
        except (RefusedError, CutError) as failure:
            self.failures.append(failure)
            return None
        return answer

    @property
    def caveats(self) -> tuple[str, ...]:
        """Says how many answers there were not."""
        if not self.failures:
            return ()
        return (
            f"{len(self.failures)} of {self._asked} answers to shortened records were refused, or cut at "
            f"{self.max_tokens} tokens: they are no evidence, and count for nothing.",
        )


class Similarity(Value):
    """How well a target is said by what the model writes from what is kept: by `scorer`, 1 is said."""

    family: Family = "perturbation"
    access: Access = "text"
    unit: Unit = "similarity"
    tokens = None

    def __init__(
        self, rewriting: Rewriting, layout: Layout, scorer: Scorer, *, targets: tuple[str, ...]
    ) -> None:
        self.ablation = rewriting.ablation
        self.repeats = rewriting.repeats
        self.layout = layout
        self.lengths = np.ones(len(targets))
        self._rewriting = rewriting
        self._scorer = scorer
        self._targets = targets

    @classmethod
    async def open(
        cls,
        calls: Calls,
        prompt: Prompt,
        ids: tuple[str, ...],
        output: str | Generation,
        *,
        segment_by: TextKind,
        target_by: TargetKind,
        scorer: Scorer,
        max_tokens: int,
        seed: int,
    ) -> Similarity:
        """Write again from the whole prompt, as often as noise asks for. Raises CutError, ProviderError."""
        require_whole(output, max_tokens)
        text = output if isinstance(output, str) else output.text
        layout = divided(prompt, ids, text, [], segment_by, target_by)
        ablation = Ablation.of(prompt, ids, layout.segments)
        value = cls(
            Rewriting(calls, ablation, max_tokens=max_tokens, seed=seed),
            layout,
            scorer,
            targets=tuple(text[target.start : target.end] for target in layout.targets),
        )
        again = np.array(await anyio.to_thread.run_sync(value._compared, await value._rewriting.whole()))
        value.full = again.mean(axis=0)
        spread = again.var(axis=0, ddof=1) if value.repeats > 1 else np.zeros_like(value.full)
        value.noise = float(np.sqrt(spread.mean()))
        value.said = {
            "value": "similarity",
            "scorer": scorer.name,
            "repeats": value.repeats,
            "noise_sd": round(value.noise, 6),
            "max_tokens": max_tokens,
        }
        return value

    @property
    def caveats(self) -> tuple[str, ...]:  # type: ignore[override]
        """Of the scorer, and of the answers that were had."""
        return (*self._scorer.caveats, *self._lost(), *self._rewriting.caveats)

    @property
    def failures(self) -> Sequence[ProviderError]:  # type: ignore[override]
        """Why some values are not known."""
        return self._rewriting.failures

    async def of(self, masks: Mask) -> Values:
        """Similarities of the targets to what is written from what is kept. Raises InputError, CutError."""
        found: list[list[float]] = []
        async for written in self._rewriting.of(masks):
            found += await anyio.to_thread.run_sync(self._compared, written)
        return np.array(found, dtype=np.float64)

    def _compared(self, written: Sequence[Generation | None]) -> list[list[float]]:
        unknown = [math.nan] * len(self._targets)
        return [unknown if one is None else self._scorer.score(self._targets, one.text) for one in written]

    def _lost(self) -> tuple[str, ...]:
        lost = [number for number, value in enumerate(self.full, start=1) if value < LOST]
        if not lost:
            return ()
        named = ", ".join(map(str, lost[:10])) + (", ..." if len(lost) > 10 else "")
        return (
            f"{len(lost)} of {len(self.full)} targets ({named}) are not written again even when nothing is "
            "removed: their scores say little.",
        )


def require_whole(output: str | Generation, max_tokens: int) -> None:
    """Raise CutError for an answer that was cut: it might have said later what seems to be missing."""
    if isinstance(output, Generation) and output.finish == "length":
        raise CutError(
            f"an answer was cut at its limit ({max_tokens} tokens, or the end of the model's context), so "
            "what it does not say is no evidence; allow longer answers (max_tokens=, --max-tokens), or ask "
            "for shorter ones in the prompt"
        )


def divided(
    prompt: Prompt,
    ids: tuple[str, ...],
    output: str,
    spans: Sequence[Span | None],
    segment_by: TextKind,
    target_by: TargetKind,
) -> Layout:
    """Segments and targets; `spans`: of the output's tokens, where they are known."""
    return lay_out(
        ids=ids,
        texts=[source.text for source in prompt.sources],
        output=output,
        source_tokens=[],
        output_tokens=spans,
        segment_by=segment_by,
        target_by=target_by,
    )


async def ablated(ablation: Ablation, masks: Mask) -> AsyncIterator[list[Prompt]]:
    """The prompts of the masks, some at a time: in a thread, and never all in memory."""

    def some(start: int) -> list[Prompt]:
        return [ablation.keeping(mask) for mask in masks[start : start + AT_ONCE]]

    for start in range(0, len(masks), AT_ONCE):
        yield await anyio.to_thread.run_sync(some, start)
