"""Scores of ablations are those that can be worked out by hand from what each cue is worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import numpy as np
import pytest
from numpy.typing import NDArray

from whence import BudgetError, Explainer, Explanation, FakeProvider, Result, Source, UnsupportedError
from whence.explain.ablation import Ablation, Mask
from whence.explain.layout import Layout
from whence.explain.methods.ablation import Estimate, Options, Study
from whence.explain.methods.lasso import Lasso, LassoOptions
from whence.explain.methods.leave_one_out import LeaveOneOut, LeaveOneOutOptions
from whence.explain.methods.shapley import Shapley, ShapleyOptions
from whence.explain.result import Access, Family, Unit
from whence.explain.values import Value, Values
from whence.providers.errors import TemporaryError
from whence.providers.fake import EXAMPLE_RULES, Rule
from whence.providers.observations import Generation, TokenScores
from whence.providers.prompt import Prompt

Matrix = NDArray[np.float64]
CUES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta")
TEXT = " ".join(f"It says {cue}." for cue in CUES) + " Nothing else."
TOKENS = 4  # words of each sentence of EXAMPLE_RULES
ALPHA, SD = 0.01, 0.5  # the penalty, and the standard deviation of a segment kept with probability 1/2
# Targets x segments, the last of which carries nothing: additive, a redundant pair, all of three.
ALONE = [[3, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 3, 3, 3, 0]]
SHARED = [[3, 1, 0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 0]]
# Least squares over masks of keep 1/2: the difference of the means with and without the segment. Redundant,
# of worth 2: 2 - 1. All of three, of worth 3: 3/4 - 0.
FITTED = [[3, 1, 0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0.75, 0.75, 0.75, 0]]
# What is written again: 1 where the sentence is, which needs alpha, either of two, all of three.
SAID_ALONE = [[1, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 0]]
SAID_SHARED = [[1, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0.5, 0.5, 0, 0, 0, 0], [0, 0, 0, 0, 1 / 3, 1 / 3, 1 / 3, 0]]
SAID_FITTED = [[1, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0.5, 0.5, 0, 0, 0, 0], [0, 0, 0, 0, 0.25, 0.25, 0.25, 0]]


def said(target: str, text: str) -> float:
    """1 where the target stands in the text."""
    return float(target.strip() in text)


def explained(
    method: str | Sequence[str] = "leave_one_out",
    *,
    sources: Sequence[str | Source] = (TEXT,),
    provider: FakeProvider | None = None,
    access: Access = "logprobs",
    noise: float = 0.0,
    **parameters: Any,
) -> Explanation:
    provider = provider or FakeProvider(access=access, noise=noise)
    return Explainer(provider).explain("Say it.", sources=sources, method=method, **parameters)


def scores_of(explanation: Explanation, number: int = 0) -> Matrix:
    return np.array(explanation.results[number].scores.values)


def stderr_of(result: Result) -> Matrix:
    assert result.scores.stderr is not None
    return np.array(result.scores.stderr)


class Recorder(FakeProvider):
    """Remembers which cues were kept in each ablation, in the order of the calls."""

    def __init__(self, cues: Sequence[str], **fields: Any) -> None:
        super().__init__(**fields)
        self.cues = tuple(cues)
        self.masks: list[tuple[bool, ...]] = []

    async def score(
        self, prompts: Sequence[Prompt], output: str | Generation, *, progress: Any = None
    ) -> tuple[TokenScores, ...]:
        for prompt in prompts:
            text = prompt.turns()[-1].text
            self.masks.append(tuple(f"{cue}." in text for cue in self.cues))
        return await super().score(prompts, output, progress=progress)


class Known(Value):
    """A value of so many segments, worked out by `worth`, with normal noise of the deviation `noise`."""

    family: Family = "perturbation"
    access: Access = "text"
    unit: Unit = "similarity"
    caveats = ()
    tokens = None

    def __init__(
        self,
        worth: Callable[[Matrix], Matrix],
        size: int,
        *,
        noise: float | None = None,
        repeats: int = 1,
        seed: int = 0,
    ) -> None:
        self.ablation = Ablation(prompt=Prompt(messages=()), removable=tuple(range(size)), pieces=())
        self.noise, self.repeats, self.said = noise, repeats, {}
        self.asked: list[tuple[bool, ...]] = []
        self._worth, self._random = worth, np.random.default_rng(seed)
        kept = np.ones((repeats, size))
        self.full = self._noisy(worth(kept)).mean(axis=0)
        self.lengths = np.ones(len(self.full))

    @property
    def layout(self) -> Layout:  # type: ignore[override]
        raise NotImplementedError

    def _noisy(self, values: Matrix) -> Matrix:
        return values + self._random.normal(0, self.noise or 0, values.shape)

    async def of(self, masks: Mask) -> Values:
        self.asked += [tuple(row) for row in masks.tolist()]
        return self._noisy(self._worth(masks.astype(np.float64)))


def estimated(
    method: Any, value: Known, options: Options, *, seed: int = 0, left: int | None = None
) -> Estimate:
    async def estimate() -> Estimate:
        found: Estimate = await method.estimate(Study(value=value, seed=seed, left=left), options)
        return found

    return anyio.run(estimate)


def additive(weights: Sequence[float]) -> Callable[[Matrix], Matrix]:
    def worth(kept: Matrix) -> Matrix:
        found: Matrix = kept @ np.array(weights, dtype=np.float64)[:, None]
        return found

    return worth


def either(kept: Matrix) -> Matrix:
    """1 with the first segment or the second."""
    return np.maximum(kept[:, :1], kept[:, 1:2])


def all_of_three(kept: Matrix) -> Matrix:
    """1 with the first three segments."""
    found: Matrix = kept[:, :3].min(axis=1, keepdims=True)
    return found


# --- log-probabilities, exact ---


def test_leave_one_out_is_what_each_segment_alone_is_worth() -> None:
    explanation = explained("leave_one_out")
    scores = explanation.results[0].scores
    assert scores_of(explanation) == pytest.approx(np.array(ALONE), abs=1e-6)
    assert (scores.unit, scores.signed, scores.stderr, scores.noise_floor) == ("nats", True, None, None)
    assert explanation.results[0].method.family == "logprob"
    assert explanation.cost.calls == 1 + 1 + 8


def test_groundedness_is_what_all_segments_together_are_worth() -> None:
    """Also of the redundant pair, of which each alone is worth nothing; for one call more."""
    plain, explanation = explained(), explained(groundedness=True)
    result = explanation.results[0]
    assert result.groundedness.values == ((4.0,), (2.0,), (3.0,))
    assert (result.groundedness.k, result.groundedness.unit) == ((len(CUES) + 1,), "nats")
    assert result.scores == plain.results[0].scores
    assert explanation.cost.calls == plain.cost.calls + 1
    assert (
        Explainer(FakeProvider(access="logprobs"))
        .plan("Say it.", sources=[TEXT], method="leave_one_out", groundedness=True)
        .calls
        >= explanation.cost.calls
    )
    assert plain.results[0].groundedness.values is None


def test_shapley_values_of_additive_and_redundant_segments_need_one_antithetic_pair() -> None:
    explanation = explained("shapley", permutations=2, stop_early=False)
    assert scores_of(explanation)[:2] == pytest.approx(np.array(SHARED)[:2], abs=1e-6)


def test_shapley_values_of_all_of_three_converge_with_the_permutations() -> None:
    result = explained("shapley", permutations=400, stop_early=False).results[0]
    found, stderr = np.array(result.scores.values), stderr_of(result)
    # In a pair the last of an order gains all 3, and in the reverse the first does: 3/2 each, in 2 of 3.
    assert stderr[2, 4:7] == pytest.approx(1.5 * math.sqrt(2 / 9) / math.sqrt(200), rel=0.15)
    assert found[2, 4:7] == pytest.approx(1, abs=4 * 0.05)
    assert found[:2] == pytest.approx(np.array(SHARED)[:2], abs=1e-6)
    assert stderr[:2] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("permutations", [1, 2, 3, 8])
def test_shapley_values_add_up_to_everything_less_nothing(permutations: int, seed: int) -> None:
    found = scores_of(explained("shapley", permutations=permutations, seed=seed))
    assert found.sum(axis=1) == pytest.approx([4, 2, 3], abs=1e-5)


@pytest.mark.parametrize("permutations", [24, 30])
def test_few_segments_are_permuted_exhaustively_which_is_exact(permutations: int) -> None:
    text = "It says epsilon. It says zeta. It says eta. Nothing."
    explanation = explained(
        "shapley", sources=[text], output="The plan is agreed.", permutations=permutations
    )
    result = explanation.results[0]
    assert scores_of(explanation) == pytest.approx(np.array([[1, 1, 1, 0]]), abs=1e-6)
    assert result.method.parameters["exact"] is True
    assert result.method.parameters["permutations"] == 24
    assert stderr_of(result) == pytest.approx(0)
    assert explanation.cost.calls == 2**4  # one for each set of segments, as often as it may be needed


def test_one_segment_gets_everything_from_every_method() -> None:
    explanation = explained(["leave_one_out", "shapley", "lasso"], sources=["It says alpha and beta."])
    for number, expected in enumerate([4, 4, 4 - ALPHA * 4 / SD]):
        assert scores_of(explanation, number)[0] == pytest.approx([expected], abs=1e-5)


def test_lasso_over_all_masks_is_least_squares_less_the_penalty() -> None:
    explanation = explained("lasso", masks=256, stop_early=False)
    result = explanation.results[0]
    # The columns of all masks are orthogonal: soft thresholding, by alpha for the standardised column and a
    # token, by alpha / sd * tokens in nats.
    fitted = np.array(FITTED)
    expected = np.sign(fitted) * np.maximum(np.abs(fitted) - ALPHA / SD * TOKENS, 0)
    assert scores_of(explanation) == pytest.approx(expected, abs=1e-5)
    assert result.method.parameters["all_masks"] is True
    assert stderr_of(result) == pytest.approx(0)
    assert explanation.cost.calls == 1 + 256


@pytest.mark.parametrize("alpha", [0.01, 0.05])
@pytest.mark.parametrize("seed", range(3))
def test_lasso_over_random_masks_is_as_near_to_least_squares_as_the_penalty_allows(
    seed: int, alpha: float
) -> None:
    cues = [f"cue{number}" for number in range(24)]
    worth = {cue: 4.0 if number < 3 else 0.5 * (number % 2) for number, cue in enumerate(cues)}
    provider = Recorder(cues, rules=[Rule(text="So it is.", cues=worth)], access="logprobs")
    text = " ".join(f"It says {cue}." for cue in cues)
    explanation = explained(
        "lasso", provider=provider, sources=[text], masks=96, alpha=alpha, seed=seed, stop_early=False
    )
    masks = np.array(provider.masks[1:], dtype=np.float64)
    assert masks.shape == (96, 24)
    assert masks.mean() == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(masks.size))
    # An additive truth is fitted exactly by least squares. At the optimum X'(y - Xb) / n = alpha * s with s
    # in [-1, 1], so b is within alpha * |G^-1| of it, where G = X'X / n.
    kept = (masks - masks.mean(axis=0)) / masks.std(axis=0)
    inverse = np.linalg.inv(kept.T @ kept / len(masks))
    bound = alpha * np.abs(inverse).sum(axis=1) / masks.std(axis=0) * 3  # 3 tokens
    error = np.abs(scores_of(explanation)[0] - list(worth.values()))
    assert (error <= bound + 1e-3).all()
    assert error.max() > alpha  # it is a lasso, not least squares


@pytest.mark.parametrize("keep", [0.3, 0.5, 0.8])
@pytest.mark.parametrize(
    ("worth", "expected"),
    [
        (additive([3, 1, 0, -1] + [0] * 9), lambda keep: [3, 1, 0, -1]),
        (either, lambda keep: [1 - keep, 1 - keep, 0, 0]),
        (all_of_three, lambda keep: [keep**2, keep**2, keep**2, 0]),
    ],
    ids=["additive", "redundant", "all_of"],
)
def test_lasso_is_near_to_the_population_fit_of_the_probability_to_keep(
    worth: Callable[[Matrix], Matrix], expected: Callable[[float], list[float]], keep: float
) -> None:
    options = LassoOptions(masks=4000, keep=keep, alpha=1e-4, stop_early=False, confirm=0)
    value = Known(lambda kept: worth(kept), 13)
    found = estimated(Lasso(), value, options).scores[0]
    # The residual of a value within [0, 1] deviates by 1/2 at most; four standard errors of a coefficient.
    tolerance = 4 * 0.5 / math.sqrt(4000 * keep * (1 - keep)) + 1e-3
    assert found == pytest.approx(np.array(expected(keep) + [0] * 9), abs=tolerance)


def test_another_probability_to_keep_is_drawn_though_there_are_as_many_masks_as_asked_for() -> None:
    value = Known(all_of_three, 6)
    found = estimated(Lasso(), value, LassoOptions(masks=64, keep=0.9, stop_early=False, confirm=0))
    assert np.mean(value.asked) == pytest.approx(0.9, abs=4 * 0.3 / math.sqrt(64 * 6))
    assert found.said["all_masks"] is False


def test_a_great_penalty_leaves_nothing() -> None:
    # The greatest standardised coefficient is 3 nats x 1/2 / 4 tokens.
    assert scores_of(explained("lasso", masks=256, alpha=0.376, stop_early=False)) == pytest.approx(0)
    assert scores_of(explained("lasso", masks=256, alpha=0.3, stop_early=False))[0, 0] == pytest.approx(
        0.6, abs=1e-5
    )


# --- noise ---


def spread(
    method: Any,
    options: Options,
    *,
    truth: Sequence[float] = (2, 1, 0, 0, 0),
    runs: int = 200,
    repeats: int = 3,
) -> tuple[float, float]:
    """Over many runs: the root mean square of error / stderr, and the part of noughts beyond the floor."""
    errors: list[Matrix] = []
    beyond: list[NDArray[np.bool_]] = []
    for seed in range(runs):
        value = Known(additive(truth), len(truth), noise=0.3, repeats=repeats, seed=1000 + seed)
        found = estimated(method, value, options, seed=seed)
        assert found.stderr is not None
        errors.append((found.scores[0] - truth) / found.stderr[0])
        nought = np.array(truth) == 0
        beyond.append(np.abs(found.scores[0][nought]) > 1.96 * 0.3 * found.noise_factor)
    return float(np.sqrt(np.mean(np.square(errors)))), float(np.mean(beyond))


@pytest.mark.parametrize("repeats", [1, 3])
def test_standard_errors_of_leave_one_out_are_those_of_the_noise(repeats: int) -> None:
    ratio, beyond = spread(LeaveOneOut(), LeaveOneOutOptions(), repeats=repeats)
    assert ratio == pytest.approx(1, abs=0.1)
    assert beyond == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("permutations", [24, 100])
def test_standard_errors_of_shapley_values_hold_under_noise(permutations: int) -> None:
    options = ShapleyOptions(permutations=permutations, stop_early=False)
    ratio, beyond = spread(Shapley(), options)
    assert ratio == pytest.approx(1, abs=0.1)
    assert beyond == pytest.approx(0.05, abs=0.025)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_exhaustive_shapley_values_under_noise_are_not_said_to_be_without_error(size: int) -> None:
    truth = [0, 1, 0, 0][:size]
    options = ShapleyOptions(permutations=24)
    ratio, beyond = spread(Shapley(), options, truth=truth, runs=300)
    assert ratio == pytest.approx(1, abs=0.1)
    assert beyond == pytest.approx(0.05, abs=0.025)


def test_standard_errors_of_the_lasso_hold_under_noise() -> None:
    # Nearly without a penalty: what it takes from every score is no noise.
    options = LassoOptions(masks=64, alpha=1e-4, stop_early=False, confirm=0)
    ratio, beyond = spread(Lasso(), options, truth=[2, 1] + [0] * 6, runs=40)
    assert ratio == pytest.approx(1, abs=0.15)
    assert beyond == pytest.approx(0.06, abs=0.035)


def test_standard_errors_of_all_masks_are_those_of_the_noise_alone() -> None:
    errors: list[Matrix] = []
    for seed in range(300):
        value = Known(all_of_three, 5, noise=0.3, repeats=3, seed=1000 + seed)
        found = estimated(Lasso(), value, LassoOptions(alpha=1e-6, stop_early=False, confirm=0), seed=seed)
        assert found.stderr == pytest.approx(0.3 / math.sqrt(32 * 0.25))
        errors.append(found.scores[0] - [0.25, 0.25, 0.25, 0, 0])
    assert np.std(errors) == pytest.approx(0.3 / math.sqrt(32 * 0.25), rel=0.1)


def test_antithetic_pairs_vary_less_than_independent_permutations() -> None:
    def alone(order: NDArray[np.intp]) -> Matrix:
        masks = np.array([np.isin(range(4), order[:kept]) for kept in range(5)], dtype=np.float64)
        added = np.empty(4)
        added[order] = np.diff(all_of_three(masks)[:, 0] + either(masks)[:, 0])
        return added

    options = ShapleyOptions(permutations=8, stop_early=False)
    value = Known(lambda kept: all_of_three(kept) + either(kept), 4)
    ours = [estimated(Shapley(), value, options, seed=seed).scores[0] for seed in range(300)]
    rng = np.random.default_rng(0)
    theirs = [np.mean([alone(rng.permutation(4)) for _ in range(8)], axis=0) for _ in range(300)]
    assert np.mean(ours, axis=0) == pytest.approx(np.array([5, 5, 2, 0]) / 6, abs=0.03)
    assert np.mean(theirs, axis=0) == pytest.approx(np.array([5, 5, 2, 0]) / 6, abs=0.03)
    assert np.var(ours, axis=0).sum() < 0.6 * np.var(theirs, axis=0).sum()


@pytest.mark.parametrize("permutations", [4, 8])
def test_pairs_of_an_additive_truth_do_not_vary_at_all(permutations: int) -> None:
    value = Known(additive([3, 1, 0, -2, 5]), 5)
    options = ShapleyOptions(permutations=permutations, stop_early=False)
    found = estimated(Shapley(), value, options)
    assert found.scores[0] == pytest.approx([3, 1, 0, -2, 5])
    assert found.stderr == pytest.approx(0, abs=1e-12)


def test_noise_of_log_probabilities_shows_in_the_standard_errors() -> None:
    # The truth is additive: without noise both would be 0 within 1e-5.
    rules = [EXAMPLE_RULES[0]]
    result = explained(
        "shapley", provider=FakeProvider(rules=rules, access="logprobs", noise=0.3), output="The dose is low."
    ).results[0]
    assert (stderr_of(result) > 0.01).all()
    assert np.array(result.scores.values)[0] == pytest.approx(np.array(SHARED)[0], abs=1.5)


# --- what is written again ---


@pytest.mark.parametrize(
    ("method", "parameters", "expected", "tolerance"),
    [
        ("leave_one_out", {}, SAID_ALONE, 1e-6),
        ("lasso", {"masks": 256, "stop_early": False, "alpha": 1e-6}, SAID_FITTED, 1e-5),
        (
            "lasso",
            {"masks": 256, "stop_early": False, "alpha": 0.04},
            np.array(SAID_FITTED) - 0.08 * (np.array(SAID_FITTED) > 0),
            1e-5,
        ),
        # The spread of one pair is 1/2 * sqrt(2/9): four standard errors.
        ("shapley", {"permutations": 400, "stop_early": False}, SAID_SHARED, 4 * 0.236 / math.sqrt(200)),
    ],
)
def test_similarities_are_those_of_the_sentences_that_come_back(
    method: str, parameters: dict[str, Any], expected: Any, tolerance: float
) -> None:
    explanation = explained(method, access="text", scorer=said, **parameters)
    result = explanation.results[0]
    assert scores_of(explanation) == pytest.approx(np.array(expected), abs=tolerance)
    assert (result.method.family, result.method.access) == ("perturbation", "text")
    assert (result.scores.unit, result.scores.noise_floor) == ("similarity", 0)
    assert result.method.parameters["repeats"] == 1  # a deterministic provider writes the same again
    assert [fallback.method for fallback in result.method.fallbacks] == ["value='logprob'"]


def test_similarity_may_be_asked_for_where_log_probabilities_are_seen() -> None:
    result = explained(value="similarity", scorer=said).results[0]
    assert np.array(result.scores.values) == pytest.approx(np.array(SAID_ALONE))
    assert result.method.fallbacks == ()


def test_log_probabilities_cannot_be_asked_for_where_none_are_seen() -> None:
    with pytest.raises(UnsupportedError, match="value='similarity'"):
        explained(value="logprob", access="text")


def unsteady(seed: int, method: str = "leave_one_out", **parameters: Any) -> tuple[Explanation, list[str]]:
    """With texts that are left out at random; and the texts, in the order in which they were written."""
    written: list[str] = []

    def scorer(target: str, text: str) -> float:
        if target.startswith("The dose"):
            written.append(text)
        return said(target, text)

    provider = FakeProvider(access="text", noise=0.2, max_in_flight=1)
    output = "The dose is low. The scan was clear. The plan is agreed."
    return explained(
        method, provider=provider, output=output, scorer=scorer, seed=seed, **parameters
    ), written


@pytest.mark.parametrize("seed", range(4))
def test_three_repeats_of_the_whole_prompt_give_the_noise_floor(seed: int) -> None:
    explanation, written = unsteady(seed)
    sentences = [rule.text.strip() for rule in EXAMPLE_RULES]
    repeats = np.array([[said(sentence, text) for sentence in sentences] for text in written[:3]])
    noise = math.sqrt(repeats.var(axis=0, ddof=1).mean())
    result = explanation.results[0]
    assert len(written) == 3 + 8
    assert result.method.parameters["repeats"] == 3
    assert result.method.parameters["noise_sd"] == pytest.approx(noise, abs=1e-6)
    assert result.scores.noise_floor == pytest.approx(1.96 * noise * math.sqrt(4 / 3), rel=1e-6)
    assert stderr_of(result) == pytest.approx(noise * math.sqrt(4 / 3))
    # The standard is the mean of the repeats.
    values = np.array([[said(sentence, text) for sentence in sentences] for text in written[3:]])
    assert np.array(result.scores.values) == pytest.approx((repeats.mean(axis=0) - values).T, abs=1e-6)


def test_what_lies_under_the_noise_floor_gets_no_share() -> None:
    floors: list[bool] = []
    for seed in range(6):
        explanation, _ = unsteady(seed)
        scores = explanation.results[0].scores
        assert scores.noise_floor is not None
        values, shares = np.array(scores.values), explanation.shares()
        below = values < scores.noise_floor
        assert shares[below] == pytest.approx(0)
        assert (shares[~below & (values > 0)] > 0).all()
        floors.append(bool((below & (values > 0)).any()))
    assert any(floors)  # else nothing was seen


def test_confirmations_have_the_effect_of_removing_one_segment() -> None:
    result = explained("lasso", access="text", scorer=said, masks=256, stop_early=False).results[0]
    found = {(item.target, item.segment): (item.effect, item.confirmed) for item in result.confirmations}
    assert found == {
        (0, 0): (1, True),  # alpha carries its sentence
        (1, 2): (0, False),  # either of two does
        (1, 3): (0, False),
        (2, 4): (1, True),  # each of three is needed
        (2, 5): (1, True),
        (2, 6): (1, True),
    }


def test_fewer_confirmations_go_to_the_best_of_every_target_first() -> None:
    result = explained("lasso", access="text", scorer=said, masks=256, stop_early=False, confirm=3).results[0]
    assert [item.target for item in result.confirmations] == [0, 1, 2]


def test_no_confirmation_is_made_where_log_probabilities_are_seen() -> None:
    provider = FakeProvider(access="logprobs")
    assert explained("lasso", provider=provider, masks=64, stop_early=False).results[0].confirmations == ()
    assert explained("lasso", access="text", scorer=said, confirm=0).results[0].confirmations == ()


@pytest.mark.parametrize(("effect", "expected"), [(0.9, False), (1.1, True)])
def test_an_effect_within_the_noise_is_not_confirmed(effect: float, expected: bool) -> None:
    # The floor is 1.96 x 0.4 x sqrt(4/3) = 0.905; the values themselves are exact here.
    value = Known(additive([effect, 0, 0]), 3)
    value.noise, value.repeats = 0.4, 3
    value._random = np.random.default_rng(0)
    value._noisy = lambda values: values  # type: ignore[method-assign]
    found = estimated(Lasso(), value, LassoOptions(masks=8)).confirmations
    assert [(item.segment, item.confirmed) for item in found] == [(0, expected)]


# --- seeds, stopping, budgets ---


@pytest.mark.parametrize("method", ["lasso", "shapley"])
def test_the_same_seed_gives_the_same_numbers_and_another_seed_other_masks(method: str) -> None:
    def run(seed: int) -> tuple[Result, list[tuple[bool, ...]]]:
        provider = Recorder(CUES, access="logprobs")
        return explained(method, provider=provider, seed=seed).results[0], provider.masks

    (first, masks), (again, same), (other, different) = run(5), run(5), run(6)
    assert first == again
    assert masks == same
    assert masks != different
    assert first.method.seed == 5
    assert other.method.seed == 6
    assert first.scores.values != other.scores.values


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("method", ["lasso", "shapley"])
def test_an_early_stop_is_said_and_finds_the_same_best_segments(method: str, seed: int) -> None:
    wanted: dict[str, Any] = {"masks": 200} if method == "lasso" else {"permutations": 60}
    ((name, number),) = wanted.items()
    stopped = explained(method, seed=seed, **wanted)
    whole = explained(method, seed=seed, stop_early=False, **wanted)
    record = stopped.results[0].method.parameters
    done = record[name]
    assert isinstance(done, int)
    assert record["stopped_early"] is True
    assert (32 if method == "lasso" else 6) <= done < number
    assert any(f"Stopped after {done} of {number} {name}" in text for text in stopped.results[0].caveats)
    assert whole.results[0].method.parameters["stopped_early"] is False
    assert whole.results[0].method.parameters[name] == number
    assert not any("Stopped" in text for text in whole.results[0].caveats)
    assert stopped.cost.calls < whole.cost.calls
    for explanation in (stopped, whole):
        ranked = np.argsort(-scores_of(explanation), axis=1)
        assert ranked[0, :2].tolist() == [0, 1]
        assert set(ranked[1, :2].tolist()) == {2, 3}
        assert set(ranked[2, :3].tolist()) == {4, 5, 6}


def test_a_stopped_lasso_is_that_of_fewer_masks() -> None:
    stopped = explained("lasso", masks=200)
    done = stopped.results[0].method.parameters["masks"]
    assert isinstance(done, int)
    assert scores_of(explained("lasso", masks=done, stop_early=False)) == pytest.approx(scores_of(stopped))


@pytest.mark.parametrize("method", ["leave_one_out", "shapley", "lasso"])
def test_targets_share_the_calls(method: str) -> None:
    parameters: dict[str, Any] = {} if method == "leave_one_out" else {"stop_early": False}
    counts = set()
    for target_by in ("whole", "sentence", "word", "token"):
        provider = FakeProvider(access="logprobs")
        explanation = explained(
            method,
            provider=provider,
            output="The dose is low. The scan was clear.",
            target_by=target_by,
            **parameters,
        )
        assert explanation.cost.calls == provider.calls
        counts.add(provider.calls)
    assert len(counts) == 1


def test_each_target_gets_its_part() -> None:
    output = "The dose is low. The scan was clear. The plan is agreed."
    word = scores_of(explained(target_by="word", output=output))
    assert word.shape == (12, 8)
    assert word == pytest.approx(np.repeat(np.array(ALONE) / TOKENS, TOKENS, axis=0), abs=1e-6)
    whole = scores_of(explained(target_by="whole", output=output))
    assert whole == pytest.approx(np.array(ALONE).sum(axis=0)[None], abs=1e-6)


def test_the_penalty_is_that_of_a_token() -> None:
    # 12 tokens as one target: the mean over them, so the penalty costs 12 times as much in nats.
    found = scores_of(
        explained("lasso", target_by="whole", masks=256, stop_early=False, output=explained().output.text)
    )
    assert found[0, :4] == pytest.approx(
        np.maximum(np.array(FITTED).sum(axis=0)[:4] - ALPHA / SD * 12, 0), abs=1e-5
    )


@pytest.mark.parametrize(
    ("segment_by", "expected"),
    [
        # Words of "It says alpha." and so on; the cue is the third.
        ("word", {2: 3.0, 5: 1.0, 8: 0.0, 11: 0.0, 14: 3.0, 17: 3.0, 20: 3.0}),
        ("sentence", {0: 3.0, 1: 1.0, 4: 3.0, 5: 3.0, 6: 3.0}),
        ("paragraph", {0: 4.0, 1: 2.0, 2: 3.0}),
        ("source", {0: 4.0, 1: 2.0 + 3.0}),
    ],
)
def test_segments_of_every_size_get_what_they_alone_are_worth(
    segment_by: Any, expected: dict[int, float]
) -> None:
    first = "It says alpha. It says beta."
    rest = "It says gamma. It says delta.\n\nIt says epsilon. It says zeta. It says eta."
    explanation = explained(sources=[first, rest], segment_by=segment_by)
    found = scores_of(explanation).sum(axis=0)
    assert {i: value for i, value in enumerate(found.tolist()) if value} == pytest.approx(
        {i: value for i, value in expected.items() if value}
    )


@pytest.mark.parametrize("method", ["leave_one_out", "shapley", "lasso"])
def test_a_source_without_a_visible_character_costs_nothing_and_gets_nothing(method: str) -> None:
    cut = TEXT.index(" It says gamma")
    parts = [TEXT[:cut], " \n\t ", TEXT[cut + 1 :]]
    with_blank = explained(method, sources=[Source(text=part, name=f"n{i}") for i, part in enumerate(parts)])
    assert [segment.source for segment in with_blank.segments].count("s2") == 1
    found = scores_of(with_blank)
    blank = [i for i, segment in enumerate(with_blank.segments) if segment.source == "s2"]
    assert (found[:, blank] == 0).all()
    plain = explained(method)
    assert np.delete(found, blank, axis=1) == pytest.approx(scores_of(plain), abs=1e-6)
    assert with_blank.cost.calls == plain.cost.calls


def test_what_stands_in_two_documents_is_shared_by_them() -> None:
    sources = ["It says alpha. Nothing.", "Nothing again. It says alpha."]
    found = {
        method: scores_of(explained(method, sources=sources, output="The dose is low."))[0]
        for method in ("leave_one_out", "shapley", "lasso")
    }
    assert found["leave_one_out"] == pytest.approx([0, 0, 0, 0], abs=1e-6)
    assert found["shapley"] == pytest.approx([1.5, 0, 0, 1.5], abs=1e-6)
    assert found["lasso"] == pytest.approx([1.42, 0, 0, 1.42], abs=1e-5)  # 16 masks are all there are


@pytest.mark.parametrize("method", ["leave_one_out", "shapley", "lasso"])
@pytest.mark.parametrize("access", ["text", "logprobs"])
def test_a_budget_of_the_plan_is_enough(method: str, access: Access) -> None:
    provider = FakeProvider(access=access, noise=0.1)
    explainer = Explainer(provider)
    asked: dict[str, Any] = {"sources": [TEXT], "method": method, "scorer": said}
    plan = explainer.plan("Say it.", **asked)
    for budget in ({"calls": plan.calls}, {"tokens": plan.input_tokens + plan.output_tokens}):
        explanation = explainer.explain("Say it.", **asked, budget=budget)
        assert explanation.cost.calls <= plan.calls
        assert not any("Cut by the budget" in text for text in explanation.results[0].caveats)


@pytest.mark.parametrize("seed", range(5))
def test_permutations_that_the_budget_cuts_are_fair_to_every_segment(seed: int) -> None:
    # Four segments have 24 orders of three calls, beside the one for nothing: four can be walked, two pairs.
    value = Known(either, 4)
    found = estimated(Shapley(), value, ShapleyOptions(permutations=24), seed=seed, left=13)
    assert found.said == {"permutations": 4, "exact": False, "stopped_early": False}
    assert found.scores[0] == pytest.approx([0.5, 0.5, 0, 0])
    assert any("Cut by the budget: 4 of 24 permutations" in text for text in found.caveats)


@pytest.mark.parametrize("left", [8, 9, 20, 64])
def test_a_cut_lasso_still_takes_its_least_masks(left: int) -> None:
    value = Known(additive([3, 1] + [0] * 8), 10, noise=0.01)
    found = estimated(Lasso(), value, LassoOptions(stop_early=False), left=left)
    assert len(value.asked) <= left
    masks = found.said["masks"]
    assert masks >= 8
    assert any(f"Cut by the budget: {masks} of 64 masks" in text for text in found.caveats)


@pytest.mark.parametrize("method", [LeaveOneOut(), Shapley(), Lasso()], ids=lambda method: method.name)
@pytest.mark.parametrize("size", [1, 2, 5, 30])
def test_no_design_asks_for_more_than_it_says(method: Any, size: int) -> None:
    value = Known(additive([1.0] * size), size, noise=0.1, repeats=3)
    options = method.chosen({})
    least, wanted = method.calls(options, size, regenerates=True)
    estimated(method, value, options)
    assert len(set(value.asked)) <= wanted
    for left in {least, (least + wanted) // 2, wanted}:
        value.asked.clear()
        found = estimated(method, value, options, left=left)
        assert len(set(value.asked)) <= left
        assert np.isfinite(found.scores).all()


@pytest.mark.parametrize("method", ["leave_one_out", "shapley", "lasso"])
def test_too_small_a_budget_is_refused_before_anything_is_asked(method: str) -> None:
    provider = FakeProvider(access="logprobs")
    with pytest.raises(BudgetError):
        explained(method, provider=provider, output="The dose is low.", budget={"calls": 4})
    assert provider.calls == 0


def test_calls_that_failed_for_a_while_change_no_number() -> None:
    faults = [TemporaryError("busy", retry_after_seconds=0.0)] * 2
    provider = FakeProvider(access="logprobs", faults=[None, None, *faults])
    assert scores_of(explained(provider=provider)) == pytest.approx(np.array(ALONE), abs=1e-6)


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize(("worth", "effect"), [(either, 0), (all_of_three, 1)], ids=["redundant", "all_of"])
def test_all_masks_of_few_segments_leave_nothing_to_chance(
    worth: Callable[[Matrix], Matrix], effect: float, noise: float
) -> None:
    value = Known(worth, 3, noise=noise)
    found = estimated(Lasso(), value, LassoOptions()).confirmations
    needed = [0, 1] if worth is either else [0, 1, 2]
    assert [item.segment for item in found] == needed
    assert [item.effect for item in found] == pytest.approx([effect] * len(needed), abs=5 * noise)


def test_cut_permutations_favour_no_segment_over_many_seeds() -> None:
    options = ShapleyOptions(permutations=24)
    found = [
        estimated(Shapley(), Known(all_of_three, 4), options, seed=seed, left=13).scores[0]
        for seed in range(200)
    ]
    # Two pairs, each with 1/2 for the segment in two cases of three: a spread of sqrt(1/9) / 2 at most.
    assert np.mean(found, axis=0) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0], abs=4 / 6 / math.sqrt(200))
