"""What segments are worth to an output of which the model tells how probable it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from whence.explain.ablation import Ablation, Mask
from whence.explain.calls import Calls
from whence.explain.layout import Layout, tokens_of
from whence.explain.result import Access, Family, Unit
from whence.explain.schema import OutputToken, TargetKind, TextKind
from whence.explain.values import Value, Values, ablated, divided
from whence.providers.errors import ProviderError
from whence.providers.observations import Generation, Span, TokenScores
from whence.providers.prompt import Prompt

IMPROBABLE = 0.01
"""A given output whose tokens have a lower probability, by their geometric mean, is hardly this model's."""
JSON_CAVEAT = (
    "The output was scored as a JSON string, for only in that form can this model be made to write a given "
    "text: its quotation mark, and the escapes of line breaks and quotes, change what the model expects. "
    "Such scores are no measure beside those of plain text."
)


class LogProbability(Value):
    """The sum of the log-probabilities of a target's tokens, each given the output before it, in nats.

    What the model does not tell is left out of every sum of a target. NaN where another part of the target is
    told than given the whole prompt, and where nothing of it is.
    """

    family: Family = "logprob"
    access: Access = "logprobs"
    unit: Unit = "nats"
    noise = None
    repeats = 1

    def __init__(
        self,
        calls: Calls,
        ablation: Ablation,
        output: str | Generation,
        layout: Layout,
        whole: TokenScores,
    ) -> None:
        self.ablation = ablation
        self.layout = layout
        self._calls = calls
        self._output = output
        self._text = output if isinstance(output, str) else output.text
        self._whole = whole
        self._told = [self._told_of(own, whole) for own in layout.tokens_of]
        self.full = self._summed(whole)
        self.lengths = np.array([len(own) for own in layout.tokens_of], dtype=np.float64)
        self.tokens = output_tokens(whole, self._text)
        self.said: Mapping[str, str | int | float] = {"value": "logprob"}
        if whole.encoding != "plain":
            self.said = {**self.said, "encoding": whole.encoding}
        self.caveats = (*self._of_encoding(), *self._of_gaps(), *self._of_probability())

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
    ) -> LogProbability:
        """Score the whole prompt. Raises ContextLengthError, ProviderError, UnsupportedError."""
        (scores,) = await calls.score([prompt], output)
        text = output if isinstance(output, str) else output.text
        layout = divided(prompt, ids, text, scores.spans, segment_by, target_by)
        return cls(calls, Ablation.of(prompt, ids, layout.segments), output, layout, scores)

    async def of(self, masks: Mask) -> Values:
        """The output's log-probability given what is kept."""
        found: list[Values] = []
        async for prompts in ablated(self.ablation, masks):
            found += [self._summed(scores) for scores in await self._calls.score(prompts, self._output)]
        return np.stack(found)

    def _summed(self, scores: TokenScores) -> Values:
        nats = np.array([math.nan if own is None else own for own in scores.logprobs_nats], dtype=np.float64)
        if not all(own is None or math.isfinite(own) for own in scores.logprobs_nats):
            raise ProviderError(
                "the model gives a token of this output no finite log-probability, so no change of it can be "
                "measured; take weights of higher precision, or method parameters value='similarity'"
            )
        if scores.encoding != self._whole.encoding:
            raise ProviderError(
                f"the output was scored as {self._whole.encoding} first and as {scores.encoding} now, and "
                "such scores cannot be compared; explain again"
            )
        own_of, told = self.layout.tokens_of, self._told
        if _told_places(scores) != _told_places(self._whole):
            own_of = tokens_of(self._text, self.layout.targets, scores.spans)
            told = [self._told_of(own, scores) for own in own_of]
        return np.array(
            [
                np.nansum(nats[list(own)]) if here is not None and here == there else math.nan
                for own, here, there in zip(own_of, told, self._told, strict=True)
            ]
        )

    def _told_of(self, own: Sequence[int], scores: TokenScores) -> frozenset[int] | None:
        """What was scored by those of some tokens whose log-probability is told; None for none."""
        places = scores.spans if scores.extents is None else scores.extents
        spans = [places[i] for i in own if scores.logprobs_nats[i] is not None]
        return frozenset(at for span in spans if span is not None for at in range(*span)) if spans else None

    def _of_encoding(self) -> tuple[str, ...]:
        return (JSON_CAVEAT,) if self._whole.encoding == "json" else ()

    def _of_gaps(self) -> tuple[str, ...]:
        silent = sum(own is None for own in self._whole.logprobs_nats)
        if not silent:
            return ()
        return (
            f"Of {silent} of the {len(self._whole.logprobs_nats)} tokens of the output the model does not "
            "tell how probable they are: they are left out of every score.",
        )

    def _of_probability(self) -> tuple[str, ...]:
        nats = [own for own in self._whole.logprobs_nats if own is not None]
        mean = math.exp(math.fsum(nats) / len(nats)) if nats else 1.0
        if not isinstance(self._output, str) or mean >= IMPROBABLE:
            return ()
        return (
            f"The model would hardly write this output: it gives a token a probability of {mean:.1g} "
            "(geometric mean). What sways that says little about what the model would write.",
        )


def _told_places(scores: TokenScores) -> tuple[object, ...]:
    """Which tokens there are, and of which something is told: mostly the same for every prompt."""
    return scores.spans, scores.extents, [own is None for own in scores.logprobs_nats]


def output_tokens(scores: TokenScores, text: str) -> tuple[OutputToken, ...]:
    """The tokens of an output; one without characters stands at its end."""
    places: list[Span] = [(len(text), len(text)) if span is None else span for span in scores.spans]
    return tuple(
        OutputToken(start=start, end=end, logprob_nats=nats)
        for (start, end), nats in zip(places, scores.logprobs_nats, strict=True)
    )
