"""What a set of segments is worth: log-probabilities that add up, similarities with their noise."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
import numpy as np
import pytest

from whence import Explainer
from whence.explain.calls import Calls
from whence.explain.schema import TargetKind
from whence.explain.scored import LogProbability, output_tokens
from whence.explain.scorers import get_scorer
from whence.explain.values import REPEATS, Similarity
from whence.providers.base import Progress, Provider
from whence.providers.errors import CutError, InputError, ProviderError
from whence.providers.fake import FakeProvider, Rule
from whence.providers.observations import Generation, TokenScores
from whence.providers.prompt import Prompt, build_prompt

Answer = TypeVar("Answer")
OUTPUT = "The dose is low. The scan was clear. The plan is agreed."
TEXT = "It says alpha. It says beta. It says gamma. It says delta. Now epsilon. Now zeta. And eta."
PROMPT = build_prompt("Go.", sources=[TEXT])


def run(work: Callable[[], Awaitable[Answer]]) -> Answer:
    return anyio.run(work)


def same(target: str, text: str) -> float:
    return float(target.strip() in text)


async def calls_of(provider: Provider) -> Calls:
    return Calls(provider=provider, capabilities=await provider.capabilities())


async def logprobs(
    provider: Provider, output: str | Generation = OUTPUT, target_by: TargetKind = "sentence"
) -> LogProbability:
    return await LogProbability.open(
        await calls_of(provider), PROMPT, ("s1",), output, segment_by="sentence", target_by=target_by
    )


async def similarity(
    provider: Provider,
    output: str | Generation = OUTPUT,
    scorer: Callable[[str, str], float] = same,
    **options: Any,
) -> Similarity:
    given: dict[str, Any] = {"max_tokens": 50, "seed": 0, **options}
    return await Similarity.open(
        await calls_of(provider),
        PROMPT,
        ("s1",),
        output,
        segment_by="sentence",
        target_by="sentence",
        scorer=get_scorer(scorer),
        **given,
    )


@dataclass(kw_only=True, eq=False)
class Recording(FakeProvider):
    """Remembers what it was asked to write, and with which seed."""

    asked: list[tuple[str, int, int]] = field(default_factory=list)

    async def generate(
        self, prompt: Prompt, *, max_tokens: int, seed: int, progress: Progress | None = None
    ) -> Generation:
        self.asked.append((prompt.turns()[0].text, max_tokens, seed))
        return await super().generate(prompt, max_tokens=max_tokens, seed=seed, progress=progress)


@dataclass(kw_only=True, eq=False)
class Damaged(FakeProvider):
    """From the call of that number on, one token has that log-probability."""

    nats: float = math.nan
    sound: int = 0

    async def score(
        self, prompts: Sequence[Prompt], output: str | Generation, *, progress: Progress | None = None
    ) -> tuple[TokenScores, ...]:
        found = await super().score(prompts, output, progress=progress)
        if self.calls <= self.sound:
            return found
        return tuple(
            TokenScores(spans=s.spans, logprobs_nats=(*s.logprobs_nats[:-1], self.nats)) for s in found
        )


# --- log-probabilities ---


@pytest.mark.parametrize("target_by", ["word", "sentence", "whole", "token"])
def test_the_value_of_a_target_is_the_sum_of_its_tokens(target_by: TargetKind) -> None:
    async def work() -> None:
        value = await logprobs(FakeProvider(), target_by=target_by)
        assert value.tokens is not None
        for number, target in enumerate(value.layout.targets):
            own = [
                token.logprob_nats
                for token in value.tokens
                if target.start <= token.end - 1 < target.end and token.logprob_nats is not None
            ]
            assert value.lengths[number] == len(own) > 0
            assert value.full[number] == pytest.approx(math.fsum(own))
        assert value.full.sum() == pytest.approx(-0.1 * 12)

    run(work)


def test_the_value_of_a_mask_is_known_in_closed_form() -> None:
    async def work() -> None:
        value = await logprobs(FakeProvider())
        masks = np.array(
            [[True] * 7, [False] * 7, [False, *[True] * 6], [True, True, False, True, True, False, True]]
        )
        found = await value.of(masks)
        np.testing.assert_allclose(
            found, [[-0.4, -0.4, -0.4], [-4.4, -2.4, -3.4], [-3.4, -0.4, -0.4], [-0.4, -0.4, -3.4]]
        )
        np.testing.assert_allclose(value.full, found[0])

    run(work)


def test_an_exact_value_knows_no_noise_and_says_what_it_is() -> None:
    async def work() -> None:
        value = await logprobs(FakeProvider())
        assert (value.noise, value.repeats, dict(value.said)) == (None, 1, {"value": "logprob"})
        assert (value.family, value.access, value.unit) == ("logprob", "logprobs", "nats")
        assert value.caveats == ()

    run(work)


@pytest.mark.parametrize("nats", [math.nan, -math.inf, math.inf])
@pytest.mark.parametrize("sound", [0, 1])
def test_no_finite_log_probability_is_an_error_that_says_what_to_do(nats: float, sound: int) -> None:
    async def work() -> None:
        value = await logprobs(Damaged(nats=nats, sound=sound))
        await value.of(value.ablation.without([0]))

    with pytest.raises(ProviderError, match=r"no finite log-probability.*value='similarity'"):
        run(work)


def test_an_explanation_with_such_a_token_is_an_error_and_nothing_partial() -> None:
    provider = Damaged(access="logprobs", nats=-math.inf, sound=3)
    with pytest.raises(ProviderError, match="no finite log-probability"):
        Explainer(provider).explain("Go.", sources=[TEXT], output=OUTPUT, method="leave_one_out")


IMPROBABLE = FakeProvider(access="logprobs", rules=[Rule(text="The dose is low.", cues={"absent": 100.0})])


def test_an_output_that_the_model_would_hardly_write_has_a_caveat_with_the_number() -> None:
    async def work() -> tuple[str, ...]:
        return (await logprobs(IMPROBABLE, "The dose is low.")).caveats

    (caveat,) = run(work)
    assert f"a probability of {math.exp(-25.1):.1g} (geometric mean)" in caveat


def test_the_caveat_is_for_given_outputs_and_reaches_the_reader() -> None:
    async def work() -> tuple[str, ...]:
        return (await logprobs(IMPROBABLE, Generation(text="The dose is low."))).caveats

    assert run(work) == ()
    explanation = Explainer(IMPROBABLE).explain("Go.", sources=[TEXT], output="The dose is low.")
    assert any("would hardly write this output" in caveat for caveat in explanation.results[0].caveats)
    usual = Explainer(FakeProvider(access="logprobs")).explain("Go.", sources=[TEXT], output=OUTPUT)
    assert not any("would hardly write" in caveat for caveat in usual.results[0].caveats)


def test_a_token_without_characters_belongs_to_no_target_and_stands_at_the_end() -> None:
    class Ending(FakeProvider):
        async def score(self, *args: Any, **options: Any) -> tuple[TokenScores, ...]:
            return tuple(
                TokenScores(spans=(*s.spans, None), logprobs_nats=(*s.logprobs_nats, -9.0))
                for s in await super().score(*args, **options)
            )

    async def work() -> None:
        value = await logprobs(Ending(), target_by="whole")
        assert value.full.tolist() == pytest.approx([-1.2])
        assert value.tokens is not None
        assert (value.tokens[-1].start, value.tokens[-1].end) == (len(OUTPUT), len(OUTPUT))

    run(work)


def test_tokens_carry_their_place_and_log_probability() -> None:
    scores = TokenScores(spans=((0, 2), None, (2, 3)), logprobs_nats=(-1.0, -2.0, -3.0))
    assert [(t.start, t.end, t.logprob_nats) for t in output_tokens(scores, "abc")] == [
        (0, 2, -1.0),
        (3, 3, -2.0),
        (2, 3, -3.0),
    ]


# --- similarity ---


def test_a_model_that_repeats_itself_is_asked_once_and_has_no_noise() -> None:
    async def work() -> None:
        provider = Recording()
        value = await similarity(provider)
        assert len(provider.asked) == 1
        assert (value.repeats, value.noise) == (1, 0.0)
        assert value.full.tolist() == [1, 1, 1]
        assert value.lengths.tolist() == [1, 1, 1]
        assert value.said["noise_sd"] == 0
        assert value.tokens is None
        assert (value.family, value.access, value.unit) == ("perturbation", "text", "similarity")

    run(work)


def test_of_a_model_that_does_not_the_noise_is_measured_over_repeats() -> None:
    async def work() -> None:
        provider = Recording(noise=0.4)
        value = await similarity(provider)
        assert len(provider.asked) == value.repeats == REPEATS
        again = FakeProvider(noise=0.4)
        texts = [
            (await again.generate(PROMPT, max_tokens=50, seed=seed)).text for _, _, seed in provider.asked
        ]
        targets = ["The dose is low.", "The scan was clear.", "The plan is agreed."]
        by_hand = np.array([[same(target, text) for target in targets] for text in texts])
        assert value.full == pytest.approx(by_hand.mean(axis=0))
        assert value.noise == pytest.approx(math.sqrt(by_hand.var(axis=0, ddof=1).mean()))
        assert value.said["noise_sd"] == round(value.noise or 0, 6)
        assert value.said["repeats"] == REPEATS

    run(work)


def test_the_estimate_of_noise_is_near_to_the_truth() -> None:
    async def work() -> float:
        found = [(await similarity(FakeProvider(noise=0.3), seed=1000 * n)).noise for n in range(150)]
        return float(np.mean([(noise or 0) ** 2 for noise in found]))

    assert run(work) == pytest.approx(0.3 * 0.7, rel=0.15)


def test_calls_with_the_same_prompt_have_seeds_of_their_own() -> None:
    async def work() -> None:
        provider = Recording(noise=0.4)
        value = await similarity(provider, seed=5)
        full = value.ablation.full()
        await value.of(np.stack([full, full]))
        await value.of(value.ablation.without([0, 1]))
        seeds = [seed for _, _, seed in provider.asked]
        assert len(seeds) == len(set(seeds)) == REPEATS + 4
        assert 5 not in seeds, "that is the seed of the answer itself"

    run(work)


def test_the_same_seed_gives_the_same_values() -> None:
    async def values(seed: int) -> list[float]:
        value = await similarity(FakeProvider(noise=0.5, max_in_flight=1), seed=seed)
        found = await value.of(value.ablation.without(range(7)))
        return [*value.full.tolist(), *found.ravel().tolist()]

    first, again, other = (run(lambda seed=seed: values(seed)) for seed in (1, 1, 2))  # type: ignore[misc]
    assert first == again
    assert first != other


def test_what_is_kept_decides_what_is_said_again() -> None:
    async def work() -> None:
        value = await similarity(FakeProvider())
        masks = np.array([[False] * 7, [True, *[False] * 6], [True] * 6 + [False]])
        assert (await value.of(masks)).tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0]]

    run(work)


def test_targets_that_never_come_back_are_named() -> None:
    async def caveats(output: str) -> tuple[str, ...]:
        return (await similarity(FakeProvider(), output)).caveats

    assert run(lambda: caveats(OUTPUT)) == ()
    (one,) = run(lambda: caveats("The dose is low. I am a teapot. The plan is agreed."))
    assert one.startswith("1 of 3 targets (2) are not written again even when nothing is removed")
    (many,) = run(lambda: caveats(" ".join(f"Sentence {n} is mine." for n in range(12))))
    assert many.startswith("12 of 12 targets (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ...) are not written")


def test_a_text_written_again_may_be_as_long_as_the_answer_might() -> None:
    async def work() -> None:
        provider = Recording()
        await similarity(provider, Generation(text=OUTPUT, output_tokens=12), max_tokens=77)
        assert {most for _, most, _ in provider.asked} == {77}

    run(work)


@pytest.mark.parametrize("output", [OUTPUT, Generation(text=OUTPUT, finish="length")])
def test_a_text_that_was_cut_is_an_error_and_no_score(output: str | Generation) -> None:
    most = 512 if isinstance(output, Generation) else 5
    with pytest.raises(CutError, match=rf"cut at its limit \({most} tokens"):
        run(lambda: similarity(FakeProvider(), output, max_tokens=most))


@pytest.mark.parametrize("given", [math.nan, math.inf, -math.inf, 7.0, None, "1", True])
def test_a_scorer_that_gives_no_number_is_an_error(given: Any) -> None:
    with pytest.raises(InputError, match=r"the scorer custom:.* returned"):
        run(lambda: similarity(FakeProvider(), scorer=lambda _target, _text: given))


def test_a_scorer_that_raises_is_an_error_with_its_own_as_the_cause() -> None:
    def broken(target: str, text: str) -> float:
        raise ZeroDivisionError(f"confidential: {text}")

    provider = FakeProvider(access="text")
    with pytest.raises(InputError, match="raised ZeroDivisionError") as caught:
        Explainer(provider).explain("Go.", sources=[TEXT], output=OUTPUT, scorer=broken)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "confidential" not in str(caught.value)
    assert provider.calls == 1, "it was found out with the first text"
