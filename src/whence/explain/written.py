"""What segments are worth to an answer of which the model tells only how probable its own words are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import anyio.to_thread
import numpy as np
from numpy.typing import NDArray

from whence.explain.ablation import Ablation, Mask
from whence.explain.calls import Calls
from whence.explain.layout import Layout
from whence.explain.result import Access, Family, Unit
from whence.explain.schema import OutputToken, TargetKind, TextKind
from whence.explain.values import Rewriting, Value, Values, divided, require_whole
from whence.providers.errors import ProviderError, UnsupportedError
from whence.providers.observations import Generation, WrittenToken
from whence.providers.prompt import Prompt

CAVEAT = (
    "The model tells only how probable its own words are. So a removal was measured up to the first word at "
    "which the model then wrote something else, that word included where it tells of it, and not after it: "
    "there the similarity of the texts says more."
)
Nats = NDArray[np.float64]


class WrittenLogProbability(Value):
    """The log-probability of a target's tokens, up to the first that is not written again, in nats.

    Of that token it is what the model tells of the candidates that it passed over; of one that is not even
    among them, that of the least of them, which it cannot exceed. NaN for a target that begins later.
    """

    family: Family = "logprob"
    access: Access = "logprobs"
    unit: Unit = "nats"

    def __init__(self, rewriting: Rewriting, layout: Layout, output: Generation) -> None:
        self.ablation = rewriting.ablation
        self.repeats = rewriting.repeats
        self.layout = layout
        self.lengths = np.array([len(own) for own in layout.tokens_of], dtype=np.float64)
        self._rewriting = rewriting
        self._output = output
        self._nats: Nats = np.array([token.logprob_nats for token in output.tokens or ()])
        self.said: Mapping[str, str | int | float] = {}

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
        max_tokens: int,
        seed: int,
    ) -> WrittenLogProbability:
        """Write again from the whole prompt. Raises UnsupportedError, CutError, ProviderError."""
        if isinstance(output, str):
            raise UnsupportedError(
                f"{calls.provider.name} tells only how probable its own words are, and this output was "
                "given; let the model write it, or compare texts (value='similarity')"
            )
        if not output.tokens:
            raise UnsupportedError(
                f"{calls.provider.model} gives no log-probabilities; compare texts (value='similarity')"
            )
        require_whole(output, max_tokens)
        spans = [(token.start, token.end) for token in output.tokens]
        layout = divided(prompt, ids, output.text, spans, segment_by, target_by)
        ablation = Ablation.of(prompt, ids, layout.segments)
        value = cls(Rewriting(calls, ablation, max_tokens=max_tokens, seed=seed), layout, output)
        value.tokens = tuple(
            OutputToken(start=token.start, end=token.end, logprob_nats=token.logprob_nats)
            for token in output.tokens
        )
        value.full = value._summed(value._nats)
        again = await anyio.to_thread.run_sync(value._compared, await value._rewriting.whole())
        if np.isnan(again).all():
            raise UnsupportedError(
                f"{calls.provider.model} wrote nothing again of which log-probabilities are known; compare "
                "texts (value='similarity')"
            )
        # The answer itself is one more look at what nothing but noise changes.
        looks = np.vstack([value.full, again])
        value.full = np.nanmean(looks, axis=0)
        deviations = looks - value.full
        freedom = (~np.isnan(looks)).sum() - len(value.full)
        value.noise = float(np.sqrt(np.nansum(deviations**2) / freedom)) if freedom > 0 else 0.0
        value.said = {
            "value": "logprob",
            "measured": "up to the first divergence",
            "repeats": value.repeats,
            "noise_sd": round(value.noise, 6),
            "max_tokens": max_tokens,
        }
        return value

    @property
    def caveats(self) -> tuple[str, ...]:  # type: ignore[override]
        """How far a removal was measured, and of how many answers."""
        return (CAVEAT, *self._rewriting.caveats)

    @property
    def failures(self) -> Sequence[ProviderError]:  # type: ignore[override]
        """Why some values are not known, beside those after a divergence."""
        return self._rewriting.failures

    async def of(self, masks: Mask) -> Values:
        """The answer's log-probability given what is kept, NaN where it is not known. Raises CutError."""
        found: list[Values] = []
        async for written in self._rewriting.of(masks):
            found += await anyio.to_thread.run_sync(self._compared, written)
        return np.stack(found)

    def _compared(self, written: Sequence[Generation | None]) -> list[Values]:
        nothing = np.array([], dtype=np.float64)
        return [
            self._summed(nothing if again is None else known_nats(self._output, again)) for again in written
        ]

    def _summed(self, nats: Nats) -> Values:
        """The value of each target, given the log-probabilities of the answer's first tokens.

        What is not known of a target that has begun is taken to be as in the answer.
        """
        known = len(nats)
        change = np.concatenate([nats - self._nats[:known], np.zeros(len(self._nats) - known)])
        return np.array(
            [
                (self._nats + change)[list(own)].sum() if min(own) < known else np.nan
                for own in self.layout.tokens_of
            ]
        )


def known_nats(answer: Generation, again: Generation) -> Nats:
    """The log-probabilities of the first tokens of an answer, as told by one written from another prompt.

    They are known as far as the two are the same, and where they part.
    """
    found: list[float] = []
    for token, other in zip(answer.tokens or (), again.tokens or (), strict=False):
        word = answer.text[token.start : token.end]
        if again.text[other.start : other.end] == word:
            found.append(other.logprob_nats)
            continue
        nats = passed_over(other, word)
        found += [] if nats is None else [nats]
        break
    return np.array(found, dtype=np.float64)


def passed_over(written: WrittenToken, word: str) -> float | None:
    """How probable `word` was where another was written, at most; None where nothing is told."""
    return written.others.get(word, min(written.others.values(), default=None))
