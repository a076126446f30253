"""Where some values could not be had: what is known is fitted, and what is not is not made up."""

from __future__ import annotations

import math
from typing import Any

import anyio
import numpy as np
import pytest
from numpy.typing import NDArray

from whence import CutError, Explainer, FakeProvider, RefusedError
from whence.explain.ablation import Ablation, Mask
from whence.explain.layout import Layout
from whence.explain.methods.ablation import Estimate, Study
from whence.explain.methods.lasso import Lasso, LassoOptions, fit
from whence.explain.result import Access, Family, Unit
from whence.explain.values import Value, Values
from whence.providers.observations import Generation
from whence.providers.prompt import Prompt

CUES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta")
TEXT = " ".join(f"It says {cue}." for cue in CUES) + " Nothing else."
SIZE, BEST, NATS, NOISE = 20, (3, 7), (20.0, 10.0), 0.5


class Gappy(Value):
    """One target that rests on two of twenty segments, of which each value is known with some probability."""

    family: Family = "logprob"
    access: Access = "logprobs"
    unit: Unit = "nats"
    caveats = ()
    tokens = None
    repeats = 3
    noise = NOISE

    def __init__(self, known: float, seed: int) -> None:
        self.ablation = Ablation(prompt=Prompt(messages=()), removable=tuple(range(SIZE)), pieces=())
        self.said = {}
        self.full = np.array([-10.0])
        self.lengths = np.ones(1)
        self._known, self._random = known, np.random.default_rng(seed)

    @property
    def layout(self) -> Layout:  # type: ignore[override]
        raise NotImplementedError

    async def of(self, masks: Mask) -> Values:
        kept = masks.astype(np.float64)
        nats: Values = -40 + kept[:, list(BEST)] @ np.array(NATS) + self._random.normal(0, NOISE, len(masks))
        nats[self._random.random(len(masks)) >= self._known] = math.nan
        found: Values = nats[:, None]
        return found


def estimated(known: float, seed: int) -> Estimate:
    async def work() -> Estimate:
        options = LassoOptions(masks=128)
        return await Lasso().estimate(Study(value=Gappy(known, seed), seed=seed, left=None), options)

    return anyio.run(work)


@pytest.mark.parametrize("known", [1.0, 0.5])
def test_the_best_are_found_and_told_apart_from_chance_with_half_of_the_values(known: float) -> None:
    found = [estimated(known, seed) for seed in range(12)]
    scores = np.array([estimate.scores[0] for estimate in found])
    assert [set(np.argsort(-row)[:2].tolist()) for row in scores] == [set(BEST)] * len(found)
    # What is told of the spread is what it is, within what twelve runs can show.
    told = np.mean([estimate.stderr[0, 0] for estimate in found if estimate.stderr is not None])
    assert 0.5 < told / scores[:, 0].std(ddof=1) < 3
    least = NOISE * 2 / math.sqrt(128 * known)
    assert all(estimate.noise_factor * NOISE >= least for estimate in found)


def test_of_hardly_any_value_nothing_is_said_and_nothing_is_settled() -> None:
    estimate = estimated(0.02, 1)
    assert np.isnan(estimate.scores).all()
    assert estimate.said["masks"] == 128
    assert not estimate.said["stopped_early"]
    assert np.isfinite(np.array(estimate.stderr)).all()


def test_a_segment_that_was_always_kept_has_no_score() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((40, 4)) < 0.5
    values: NDArray[np.float64] = masks @ np.array([5.0, 3.0, 0.0, 0.0])
    values[~masks[:, 1]] = math.nan
    scores = fit(masks, values[:, None], np.ones(1), 0.01)[0]
    assert np.isnan(scores).tolist() == [False, True, False, False]
    assert scores[0] == pytest.approx(5, abs=0.1)


class Sensitive(FakeProvider):
    """Refuses where one word alone is missing."""

    word = "alpha"

    async def generate(self, prompt: Prompt, **options: Any) -> Generation:
        text = prompt.turns()[-1].text
        if [cue for cue in CUES if f"{cue}." not in text] == [self.word]:
            raise RefusedError("not this", prompt_tokens=11, output_tokens=3)
        return await super().generate(prompt, **options)


def test_a_best_passage_whose_removal_is_refused_is_not_confirmed() -> None:
    e = Explainer(Sensitive(access="text", noise=0.001)).explain(
        "Say it.", sources=[TEXT], method="lasso", masks=32, stop_early=False, seed=3
    )
    (result,) = e.results
    confirmed = {item.segment for item in result.confirmations}
    assert 0 not in confirmed
    assert confirmed
    assert any("the answer without one of them was refused or cut" in c for c in result.caveats)


def test_the_tokens_of_a_refusal_are_counted() -> None:
    def read(provider: FakeProvider) -> int:
        return (
            Explainer(provider).explain("Say it.", sources=[TEXT], method="leave_one_out").cost.input_tokens
            or 0
        )

    without_alpha = Explainer("fake").plan("Say it.", sources=[TEXT.replace("It says alpha. ", "")])
    answered = read(FakeProvider(access="text"))
    assert read(Sensitive(access="text")) == answered - without_alpha.prompt_tokens + 11


def test_a_cut_answer_has_no_claims() -> None:
    with pytest.raises(CutError):
        Explainer(FakeProvider(access="text", cites=True)).explain(
            "Say it.", sources=[TEXT], method="citations", max_tokens=6
        )
