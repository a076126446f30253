"""What a target's evidence is made of."""

from collections.abc import Callable

import numpy as np
import pytest

from whence.explain.render import describe
from whence.explain.render.ranking import mentions, rank
from whence.explain.result import Elsewhere, Measure, MethodRecord, Result, Scores
from whence.explain.schema import Explanation

TEXTS = [("note", "a b c d")]
STARTS = [[0, 2, 4, 6]]


def relevance(row: list[float], outside: Elsewhere) -> Callable[..., tuple[Result, ...]]:
    measure = Measure(reason="not asked for")
    scores = Scores(values=(tuple(row),), unit="relevance", signed=True, elsewhere=(outside,))
    method = MethodRecord(name="lrp", family="gradient", evidence="sensitivity", access="weights")
    result = Result(method=method, scores=scores, fidelity=measure, groundedness=measure, caveats=("c",))
    return lambda values: (result,)


def test_the_best_passages_are_those_of_the_schema(compared: Explanation) -> None:
    for result in range(2):
        for target, balance in enumerate(rank(compared, result, 4).balances):
            expected = compared.top(target, 4, result=result)
            assert [r.segment for r in balance.top] == [p.segment for p in expected]
            assert [r.score for r in balance.top] == pytest.approx([p.score for p in expected])
            assert [r.share for r in balance.top] == pytest.approx([p.share for p in expected])


def test_passages_others_and_elsewhere_add_up_to_one(compared: Explanation) -> None:
    for result in range(2):
        for balance in rank(compared, result, 2).balances:
            total = sum(r.share for r in balance.top) + balance.others_share + balance.elsewhere
            assert total == pytest.approx(1)


def test_the_parts_of_elsewhere_add_up_to_it_largest_first(explanation: Explanation) -> None:
    for balance in rank(explanation, 0, 3).balances:
        assert balance.parts is not None
        assert list(balance.parts) == ["sink", "template", "output_so_far"]
        assert sum(balance.parts.values()) == pytest.approx(balance.elsewhere, abs=1e-4)


def test_ties_stand_in_reading_order(build: Callable[..., Explanation]) -> None:
    values = [0.03 if i % 2 else 0.01 for i in range(40)]
    made = build([("note", "x" * 40)], segment_starts=[list(range(40))], values=[values])
    listed = [r.segment for r in rank(made, 0, 40).balances[0].top]
    assert listed == [*range(1, 40, 2), *range(0, 40, 2)]


def test_the_peak_is_the_largest_share_of_any_target(explanation: Explanation) -> None:
    assert rank(explanation, 0, 1).peak.tolist() == explanation.shares().max(axis=0).tolist()


def test_less_than_one_passage_is_refused(explanation: Explanation) -> None:
    with pytest.raises(ValueError, match="k is 0"):
        rank(explanation, 0, 0)


def test_scores_below_zero_are_counted_beyond_the_noise(
    build: Callable[..., Explanation], ablation: Callable[..., Result]
) -> None:
    made = build(
        TEXTS, segment_starts=STARTS, values=[[2.0, 0.05, -0.05, -0.5]], results=lambda v: (ablation(v),)
    )
    (balance,) = rank(made, 0, 3).balances
    assert [r.segment for r in balance.top] == [0]
    assert (balance.found, balance.against, balance.lowest) == (2.0, 1, -0.5)
    assert balance.parts is None
    words = describe.found(balance, made.results[0].scores)
    assert words.startswith("Sum above noise: 2 nats. 1 passage scores below zero, the lowest −0.5 nats")
    assert describe.elsewhere_percent(balance) == "–"
    assert describe.elsewhere(balance).startswith("not measured")


def test_a_target_without_evidence_lies_elsewhere_as_a_whole(
    build: Callable[..., Explanation], ablation: Callable[..., Result]
) -> None:
    made = build(TEXTS, values=[[-1.0]], results=lambda v: (ablation(v),))
    (balance,) = rank(made, 0, 3).balances
    assert balance.top == ()
    assert balance.elsewhere == 1
    assert describe.elsewhere_percent(balance).startswith("100")
    assert describe.elsewhere(balance).startswith("no passage")


def test_negative_parts_of_elsewhere_keep_their_sign(build: Callable[..., Explanation]) -> None:
    outside = Elsewhere(template=-0.5, instruction=0.1, total=-0.4)
    made = build(TEXTS, segment_starts=STARTS, results=relevance([1.0, 1.0, 0.0, -1.0], outside))
    (balance,) = rank(made, 0, 3).balances
    assert balance.elsewhere == 0
    assert balance.parts == pytest.approx({"template": -0.25, "instruction": 0.05})
    assert "−25\N{NO-BREAK SPACE}% on the chat template" in describe.elsewhere(balance)


def test_nothing_found_anywhere_has_no_parts_to_divide(build: Callable[..., Explanation]) -> None:
    made = build(TEXTS, results=relevance([0.0], Elsewhere(total=0.0)))
    assert rank(made, 0, 1).balances[0].parts == {}


def test_each_mention_is_of_a_passage_that_is_listed(compared: Explanation) -> None:
    rankings = [rank(compared, 0, 2), rank(compared, 1, 2)]
    listed = {
        (r.segment, result, target)
        for result, ranking in enumerate(rankings)
        for target, balance in enumerate(ranking.balances)
        for r in balance.top
    }
    pairs = {(s, result, target) for s, found in mentions(rankings).items() for result, target in found}
    assert pairs == listed


def test_standard_errors_stand_with_their_scores(
    build: Callable[..., Explanation], ablation: Callable[..., Result]
) -> None:
    made = build(TEXTS, values=np.array([[1.5]]), results=lambda v: (ablation(v),))
    (ranked,) = rank(made, 0, 1).balances[0].top
    words = describe.score(ranked, made.results[0].scores)
    assert words.replace("\N{NO-BREAK SPACE}", " ") == "1.5 ± 0.05 nats"


def test_a_revision_is_shortened_behind_its_algorithm() -> None:
    assert describe.short_revision("sha256:0123456789abcdef") == "sha256:0123456789ab…"
    assert describe.short_revision("main") == "main"


def test_every_method_has_a_letter_of_its_own() -> None:
    assert describe.keys(1) == [""]
    assert describe.keys(3) == ["A", "B", "C"]
    assert len(set(describe.keys(100))) == 100
