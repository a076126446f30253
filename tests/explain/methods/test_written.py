"""Where a model tells only how probable its own words are: nats to the first divergence, then similarity."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whence import CutError, Explainer, Explanation, FakeProvider, Plan, UnsupportedError
from whence.explain.written import known_nats, passed_over
from whence.providers.fake import BASE_NATS
from whence.providers.observations import Generation, WrittenToken

CUES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta")
TEXT = " ".join(f"It says {cue}." for cue in CUES) + " Nothing else."
ANSWER = "The dose is low. The scan was clear. The plan is agreed."
WORDS = 4  # of each sentence
NAN = math.nan
# Targets x segments. Without alpha the model writes " scan" where " dose" stood, of which it tells how
# probable it was: a quarter of three nats less. Without beta it writes the same, one nat less probable.
# Without epsilon, zeta or eta it ends before the last sentence, and nobody tells how probable that was.
ALONE = [
    [3 / WORDS, 1, 0, 0, 0, 0, 0, 0],
    [NAN, 0, 0, 0, 0, 0, 0, 0],
    [NAN, 0, 0, 0, NAN, NAN, NAN, 0],
]


def explainer(**fields: Any) -> Explainer:
    return Explainer(FakeProvider(access="logprobs", writes_logprobs=True, **fields))


def said(target: str, text: str) -> float:
    """1 where the target stands in the text."""
    return float(target.strip() in text)


def explained(method: str = "leave_one_out", **arguments: Any) -> Explanation:
    return explainer().explain("Say it.", sources=[TEXT], method=method, **arguments)


def measured(explanation: Explanation, number: int = 0) -> Any:
    """The scores, NaN where the explanation says that they are not known."""
    scores = explanation.results[number].scores
    values = np.array(scores.values)
    for target, segment in scores.unmeasured:
        values[target, segment] = NAN
    return values


def test_nats_reach_to_the_first_divergence_and_similarity_beyond_as_two_results() -> None:
    e = explained(scorer=said)
    assert e.output.text == ANSWER
    nats, similarity = e.results
    assert (nats.method.family, nats.method.access, nats.scores.unit) == ("logprob", "logprobs", "nats")
    assert (similarity.method.family, similarity.scores.unit) == ("perturbation", "similarity")
    np.testing.assert_allclose(measured(e), ALONE, atol=1e-6)
    assert similarity.scores.unmeasured == ()
    assert measured(e, 1)[2].tolist() == [0, 0, 0, 0, 1, 1, 1, 0]
    assert e.output.tokens is not None
    assert {token.logprob_nats for token in e.output.tokens} == {-BASE_NATS}


def test_both_results_come_from_the_same_calls() -> None:
    calls = {v: explained(value=v).cost.calls for v in ("auto", "logprob", "similarity")}
    assert calls == dict.fromkeys(calls, 1 + len(CUES) + 1)


def test_what_could_not_be_measured_is_said_and_counts_for_nothing() -> None:
    e = explained()
    assert any("5 of 24 scores could not be measured" in caveat for caveat in e.results[0].caveats)
    assert any("first word at which the model then wrote something else" in c for c in e.results[0].caveats)
    assert not any("could not be measured" in caveat for caveat in e.results[1].caveats)
    assert e.shares()[2].tolist() == [0] * 8
    assert e.top(2) == []


def test_every_face_tells_what_is_not_known_from_what_is_nothing(tmp_path: Path) -> None:
    e = explained()
    assert "no passage that could be measured received anything that counts" in str(e)
    assert "4 passages could not be measured." in str(e)
    rows = list(csv.DictReader(e.save(tmp_path / "e.csv").read_text().splitlines()))
    unknown = [row for row in rows if row["measured"] == "no"]
    assert len(unknown) == 5
    assert {row["unit"] for row in unknown} == {"nats"}
    assert "4 passages could not be measured." in e.save(tmp_path / "e.html", interactive=False).read_text()
    assert Explanation.model_validate_json(e.model_dump_json()) == e


def test_a_target_of_which_nothing_is_known_is_named() -> None:
    e = explained("lasso", masks=16, keep=0.3)
    assert [result.scores.unit for result in e.results] == ["similarity", "nats"], "half is taken away"
    unmeasured = {target for target, _ in e.results[1].scores.unmeasured}
    assert 2 in unmeasured
    assert any(re.search(r"Of . of 3 targets \(.*3\) none could", c) for c in e.results[1].caveats)


def test_the_fit_takes_the_masks_in_which_a_target_was_reached() -> None:
    e = explained("lasso", masks=256, stop_early=False, alpha=1e-6)
    nats = measured(e, 1)
    # Change of the first sentence: all four tokens where it is written again, else the one where it is not:
    # 0 with alpha and beta, -1 without beta, -3/4 without alpha, -1 without both.
    np.testing.assert_allclose(nats[0, :2], [(0.75 + 1 - 1) / 2, (1 + 1 - 0.75) / 2], atol=1e-4)
    np.testing.assert_allclose(nats[0, 2:], 0, atol=1e-6)
    assert np.isnan(nats[1, 0]), "without alpha the second sentence is never reached"


def test_with_noise_the_floor_comes_from_repeats_and_the_answer() -> None:
    provider = FakeProvider(access="logprobs", writes_logprobs=True, noise=0.05)
    e = Explainer(provider).explain("Say it.", sources=[TEXT], method="leave_one_out", seed=3)
    scores = e.results[0].scores
    assert scores.noise_floor is not None
    assert 0 < scores.noise_floor < 1
    assert scores.stderr is not None
    assert e.results[0].method.parameters["repeats"] == 3
    assert e.results[0].method.parameters["measured"] == "up to the first divergence"


def test_shapley_needs_every_value_and_compares_texts() -> None:
    e = explained("shapley", permutations=2)
    (result,) = e.results
    assert result.scores.unit == "similarity"
    assert "gaps that shapley cannot bear" in result.method.fallbacks[0].reason
    with pytest.raises(UnsupportedError, match="gaps that shapley cannot bear"):
        explained("shapley", value="logprob")


def test_of_a_given_output_only_texts_are_compared() -> None:
    e = explained(output="The dose is low.")
    assert [result.scores.unit for result in e.results] == ["similarity"]
    assert "this output was given" in e.results[0].method.fallbacks[0].reason
    with pytest.raises(UnsupportedError, match="this output was given"):
        explained(output="The dose is low.", value="logprob")


def test_tokens_of_the_output_have_nats_and_no_similarity() -> None:
    e = explained(target_by="token")
    assert [result.scores.unit for result in e.results] == ["nats"]
    assert len(e.output.targets) == 3 * WORDS


def test_a_model_that_turns_out_to_tell_nothing_is_compared_by_its_texts() -> None:
    class Silent(FakeProvider):
        async def generate(self, *arguments: Any, **options: Any) -> Generation:
            written = await super().generate(*arguments, **options)
            return Generation(text=written.text, output_tokens=written.output_tokens)

    provider = Silent(access="logprobs", writes_logprobs=True)
    e = Explainer(provider).explain("Say it.", sources=[TEXT], method="leave_one_out")
    assert [result.scores.unit for result in e.results] == ["similarity"]
    assert "gives no log-probabilities" in e.results[0].method.fallbacks[0].reason


def test_an_answer_that_was_cut_is_an_error_and_no_score() -> None:
    with pytest.raises(CutError, match=r"cut at its limit \(5 tokens.*max_tokens="):
        explained(max_tokens=5)


def test_the_plan_says_what_is_measured_and_bounds_what_is_spent() -> None:
    plan: Plan = explainer().plan("Say it.", sources=[TEXT], method="lasso", masks=32)
    e = explained("lasso", masks=32)
    assert [method.family for method in plan.methods] == ["logprob"]
    assert e.cost.calls <= plan.calls
    assert (e.cost.output_tokens or 0) <= plan.output_tokens


def test_equal_words_are_known_and_the_first_other_one_as_far_as_it_is_told() -> None:
    def written(*words: str, nats: float, others: dict[str, float] | None = None) -> Generation:
        ends = np.cumsum([len(word) for word in words]).tolist()
        tokens = tuple(
            WrittenToken(start=end - len(word), end=end, logprob_nats=nats, others=others or {})
            for word, end in zip(words, ends, strict=True)
        )
        return Generation(text="".join(words), tokens=tokens)

    answer = written("a", "b", "c", nats=-1)
    assert known_nats(answer, written("a", "b", "c", "d", nats=-2)).tolist() == [-2, -2, -2]
    assert known_nats(answer, written("a", "x", "c", nats=-2)).tolist() == [-2]
    assert known_nats(answer, written("a", "x", nats=-2, others={"b": -3, "y": -4})).tolist() == [-2, -3]
    assert known_nats(answer, written("a", "x", nats=-2, others={"y": -4, "z": -6})).tolist() == [-2, -6]
    assert known_nats(answer, written("a", nats=-2)).tolist() == [-2]
    assert known_nats(answer, written("x", nats=-2)).tolist() == []
    token = WrittenToken(start=0, end=1, logprob_nats=-1.0)
    assert passed_over(token, "b") is None


def test_of_two_values_of_the_same_texts_none_takes_the_other_s_calls() -> None:
    for calls in (30, 40, 50):
        provider = FakeProvider(access="logprobs", writes_logprobs=True, noise=0.01)
        e = Explainer(provider).explain(
            "Say it.", sources=[TEXT], method="lasso", stop_early=False, budget={"calls": calls}
        )
        similarity, nats = e.results
        assert similarity.method.parameters["masks"] == nats.method.parameters["masks"]
        assert similarity.confirmations
        assert e.cost.calls <= calls
