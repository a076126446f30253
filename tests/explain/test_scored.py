"""A given output whose scores have gaps, come in other tokens, or in another encoding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from whence import Explainer, Explanation, FakeProvider, Source
from whence.providers.base import Capabilities, Progress
from whence.providers.errors import ProviderError, UnsupportedError
from whence.providers.observations import Generation, TokenScores
from whence.providers.prompt import Prompt

TEXT = "It says alpha. Nothing here. It says gamma."
OUTPUT = "The dose is low. Stop the drug."
Change = Callable[[int, TokenScores], TokenScores]


class Changed(FakeProvider):
    """Its scores, changed; the first are of the whole prompt."""

    def __init__(self, change: Change) -> None:
        super().__init__(access="logprobs")
        self.change = change
        self.scored = 0

    async def score(
        self, prompts: Sequence[Prompt], output: str | Generation, *, progress: Progress | None = None
    ) -> tuple[TokenScores, ...]:
        found = await super().score(prompts, output, progress=progress)
        self.scored += len(found)
        return tuple(self.change(self.scored, scores) for scores in found)


def explained(change: Change, **arguments: Any) -> Explanation:
    given = {"sources": [Source(text=TEXT, name="note")], "output": OUTPUT, "method": "leave_one_out"}
    return Explainer(Changed(change)).explain("Go.", **{**given, **arguments})


def with_gap(scores: TokenScores, *places: int) -> TokenScores:
    nats = [None if i in places else own for i, own in enumerate(scores.logprobs_nats)]
    return TokenScores(spans=scores.spans, logprobs_nats=tuple(nats), prompt_tokens=scores.prompt_tokens)


def test_what_is_never_told_is_left_out_of_every_sum_and_said() -> None:
    whole = explained(lambda _, scores: scores)
    gaps = explained(lambda _, scores: with_gap(scores, 1))
    assert gaps.output.tokens is not None
    assert gaps.output.tokens[1].logprob_nats is None
    assert not gaps.results[0].scores.unmeasured
    assert gaps.matrix()[1] == pytest.approx(whole.matrix()[1])
    assert any("Of 1 of the" in caveat for caveat in gaps.results[0].caveats)
    assert not any("does not tell" in caveat for caveat in whole.results[0].caveats)


def test_a_target_of_which_another_part_is_told_is_not_measured() -> None:
    found = explained(lambda call, scores: with_gap(scores, 1) if call == 3 else scores)
    assert set(found.results[0].scores.unmeasured) == {(0, 1)}


def test_a_target_of_which_nothing_is_told_is_not_measured() -> None:
    def silent(_: int, scores: TokenScores) -> TokenScores:
        first = [i for i, span in enumerate(scores.spans) if span is not None and span[0] < 16]
        return with_gap(scores, *first)

    found = explained(silent)
    assert {target for target, _ in found.results[0].scores.unmeasured} == {0}
    by_lasso = explained(silent, method="lasso", masks=16)
    assert {target for target, _ in by_lasso.results[0].scores.unmeasured} == {0}
    with pytest.raises(UnsupportedError, match="take lasso or leave_one_out"):
        explained(silent, method="shapley")


def rejoined(scores: TokenScores, first: int) -> TokenScores:
    """Two tokens as one."""
    one, other = scores.spans[first], scores.spans[first + 1]
    assert one is not None
    assert other is not None
    spans = (*scores.spans[:first], (one[0], other[1]), *scores.spans[first + 2 :])
    nats = [own for own in scores.logprobs_nats if own is not None]
    together = (*nats[:first], nats[first] + nats[first + 1], *nats[first + 2 :])
    return TokenScores(spans=spans, logprobs_nats=together, prompt_tokens=scores.prompt_tokens)


def test_other_tokens_of_the_same_characters_give_the_same_sums() -> None:
    whole = explained(lambda _, scores: scores)
    other = explained(lambda call, scores: rejoined(scores, 0) if call > 1 else scores)
    np.testing.assert_allclose(other.matrix(), whole.matrix(), atol=1e-12)
    assert not other.results[0].scores.unmeasured


def test_a_token_over_the_edge_of_a_target_leaves_both_unmeasured() -> None:
    last_of_first = 3
    found = explained(lambda call, scores: rejoined(scores, last_of_first) if call == 2 else scores)
    assert set(found.results[0].scores.unmeasured) == {(0, 0), (1, 0)}


def test_scores_of_another_encoding_are_never_compared() -> None:
    def mixed(call: int, scores: TokenScores) -> TokenScores:
        return TokenScores(
            spans=scores.spans,
            logprobs_nats=scores.logprobs_nats,
            encoding="plain" if call > 1 else "json",
        )

    with pytest.raises(ProviderError, match="scored as json first and as plain now"):
        explained(mixed)


def test_an_encoding_is_named_in_the_parameters_and_in_a_caveat() -> None:
    found = explained(lambda _, s: TokenScores(spans=s.spans, logprobs_nats=s.logprobs_nats, encoding="json"))
    assert found.results[0].method.parameters["encoding"] == "json"
    assert any("JSON string" in caveat for caveat in found.results[0].caveats)
    plain = explained(lambda _, scores: scores)
    assert "encoding" not in plain.results[0].method.parameters
    assert not any("JSON" in caveat for caveat in plain.results[0].caveats)


def test_what_a_model_was_made_to_write_is_paid_as_written() -> None:
    class Forced(Changed):
        async def capabilities(self) -> Capabilities:
            return Capabilities(access="logprobs", scores=True, forces=True, max_in_flight=4)

    provider = Forced(
        lambda _, s: TokenScores(
            spans=s.spans, logprobs_nats=s.logprobs_nats, prompt_tokens=10, written_tokens=7, encoding="json"
        )
    )
    plan = Explainer(provider).plan("Go.", sources=[TEXT], output=OUTPUT, method="leave_one_out")
    cost = Explainer(provider).explain("Go.", sources=[TEXT], output=OUTPUT, method="leave_one_out").cost
    assert (cost.calls, cost.input_tokens, cost.output_tokens) == (4, 40, 28)
    assert plan.calls == cost.calls
    assert plan.output_tokens >= (cost.output_tokens or 0)


def test_minus_infinity_is_no_number_to_compare() -> None:
    def impossible(_: int, s: TokenScores) -> TokenScores:
        return TokenScores(spans=s.spans, logprobs_nats=(-math.inf, *s.logprobs_nats[1:]))

    with pytest.raises(ProviderError, match="no finite log-probability"):
        explained(impossible)


def test_a_target_for_which_something_else_was_scored_is_not_measured() -> None:
    """The first token of the output with the mark before it, or without."""

    def marked(call: int, scores: TokenScores) -> TokenScores:
        spans = [span for span in scores.spans if span is not None]
        extents = [(a + 1, b + 1) for a, b in spans]
        if call > 2:
            extents[0] = (0, extents[0][1])
        return TokenScores(
            spans=tuple(spans),
            logprobs_nats=scores.logprobs_nats[: len(spans)],
            encoding="json",
            extents=tuple(extents),
        )

    found = explained(marked)
    assert {target for target, _ in found.results[0].scores.unmeasured} == {0}
    assert len(found.results[0].scores.unmeasured) == 2
