"""What a model says that it used: taken as a claim, and for nothing more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from whence import BudgetError, Explainer, Explanation, FakeProvider, Prices, Source, UnsupportedError
from whence.explain.schema import TextKind

CUES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta")
TEXT = " ".join(f"It says {cue}." for cue in CUES) + " Nothing else."
# Targets x segments: the fake cites the passages that hold a cue of the sentence's rule.
CLAIMED = [[1, 1, 0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 0]]


def explained(*methods: str, access: Any = "text", **arguments: Any) -> Explanation:
    provider = FakeProvider(access=access, cites=True, **arguments.pop("fields", {}))
    return Explainer(provider).explain(
        "Say it.", sources=arguments.pop("sources", [TEXT]), method=methods or ("citations",), **arguments
    )


def test_a_claim_is_one_and_everything_else_nothing() -> None:
    e = explained()
    (result,) = e.results
    assert e.matrix().tolist() == CLAIMED
    assert (result.method.family, result.method.evidence) == ("citation", "self_reported")
    assert (result.scores.unit, result.scores.signed, result.scores.elsewhere) == ("claim", False, None)
    np.testing.assert_allclose(e.shares()[2], np.array(CLAIMED[2]) / 3)
    assert "Nobody checked that" in result.caveats[0]
    assert e.cost.calls == 1


def test_a_claim_stands_beside_what_removal_shows() -> None:
    e = explained("leave_one_out", "citations")
    causal, claimed = e.results
    assert [result.method.evidence for result in e.results] == ["causal", "self_reported"]
    assert set(causal.scores.values[1]) == {0}, "two that say the same: neither is missed"
    assert claimed.scores.values[1] == tuple(CLAIMED[1]), "and both are claimed"
    assert any("documents that can be cited" in caveat for caveat in causal.caveats)


@pytest.mark.parametrize(
    ("segment_by", "expected"), [("paragraph", [[1, 0], [1, 0], [0, 1]]), ("source", [[1], [1], [1]])]
)
def test_coarser_segments_receive_the_claims_of_their_sentences(
    segment_by: TextKind, expected: list[list[int]]
) -> None:
    text = TEXT.replace(" It says epsilon", "\n\nIt says epsilon")
    assert explained(sources=[text], segment_by=segment_by).matrix().tolist() == expected


def test_claims_name_the_right_one_of_several_sources() -> None:
    sources = [Source(text="Nothing.", name="a"), Source(text="  "), Source(text=TEXT, name="b")]
    e = explained(sources=sources)
    assert e.matrix()[:, 0].tolist() == [0, 0, 0]
    assert e.matrix()[:, -8:].tolist() == CLAIMED


def test_a_target_without_a_claim_is_counted_and_has_no_evidence() -> None:
    class Modest(FakeProvider):
        async def cite(self, *arguments: Any, **options: Any) -> Any:
            written = await super().cite(*arguments, **options)
            assert written.citations is not None
            return replace(written, citations=tuple(c for c in written.citations if c.start == 0))

    e = Explainer(Modest(access="text", cites=True)).explain("Go.", sources=[TEXT], method="citations")
    assert "For 2 of 3 targets the model cites nothing." in e.results[0].caveats
    assert e.elsewhere_share().tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output": "The dose is low."}, "this output is given"),
        ({"segment_by": "word"}, "a claim is made of sentences"),
        ({"target_by": "token"}, "a claim is made of sentences"),
    ],
)
def test_what_no_claim_can_be_about_is_refused_before_anything_is_asked(
    arguments: dict[str, Any], message: str
) -> None:
    provider = FakeProvider(access="text", cites=True)
    with pytest.raises(UnsupportedError, match=message):
        Explainer(provider).explain("Go.", sources=[TEXT], method="citations", **arguments)
    assert provider.calls == 0


def test_a_model_that_does_not_cite_is_refused_with_what_it_can() -> None:
    with pytest.raises(UnsupportedError, match=r"citations needs a model that cites.*can serve: lasso"):
        Explainer(FakeProvider(access="text")).explain("Go.", sources=[TEXT], method="citations")


def test_auto_never_takes_a_claim_for_evidence() -> None:
    assert explained("auto").results[0].method.evidence == "causal"


def test_the_plan_counts_the_markup_of_what_can_be_cited() -> None:
    prices = Prices(input_per_million=1.0, output_per_million=1.0)
    explainer = Explainer(FakeProvider(access="text", cites=True, prices=prices))
    plain = explainer.plan("Go.", sources=[TEXT], method="lasso", masks=8, max_tokens=64)
    cited = explainer.plan("Go.", sources=[TEXT], method=["lasso", "citations"], masks=8, max_tokens=64)
    assert (cited.calls, cited.input_tokens) == (plain.calls, plain.input_tokens + 8)
    alone = explainer.plan("Go.", sources=[TEXT], method="citations", max_tokens=64)
    assert alone.calls == 1
    e = explainer.explain("Go.", sources=[TEXT], method="citations", max_tokens=64)
    assert e.cost.input_tokens == alone.input_tokens
    with pytest.raises(BudgetError, match="the budget of 9 tokens"):
        explainer.explain("Go.", sources=[TEXT], method="citations", budget={"tokens": 9})
