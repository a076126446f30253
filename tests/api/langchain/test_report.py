"""What the report says of each sentence and chunk, where the truth is known in closed form."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import pytest

from whence import Explainer, Explanation, Message, Source
from whence.api.langchain.report import RetrievalReport, report_of
from whence.api.langchain.report_overlaps import overlapping
from whence.api.langchain.report_removals import ONE_BY_ONE
from whence.api.langchain.report_rules import NO_PROOF, SEVERAL
from whence.api.langchain.retelling import Chunk
from whence.api.langchain.said import Document
from whence.explain.schema import TextKind
from whence.providers.fake import FakeProvider, Rule

RULES = (
    Rule(text="The dose is low. ", cues={"alpha": 3.0, "beta": 1.0}),
    Rule(text="The scan was clear. ", cues={"gamma": 2.0, "delta": 2.0}, kind="redundant"),
)
ANSWER = "The dose is low. The scan was clear. The cat sat."
GUIDE = Document(text="Take alpha daily. The room is cold.", name="guide", metadata={"page": "3"}, score=0.83)
SCAN = Document(text="We saw gamma on Monday. It rained all day.", name="scan", score=0.7)
MENU = Document(text="The menu has soup. Bread is served with it.", name="menu")
BETA = Document(text="Then beta at noon, with water. It is bitter.", name="beta")
LATE = Document(text="A delta was found elsewhere in the building.", name="late", score=0.1)


def said(*documents: Document, after: str = "\n\nAnswer.") -> tuple[list[Message], list[Chunk]]:
    """The documents word for word in one message, and where each stands."""
    parts: list[str | Source] = ["Context:\n"]
    for document in documents:
        parts += [Source(text=document.text, name=document.name), "\n\n"]
    chunks = [
        Chunk(document=document, sources=(index,), coverage=1.0) for index, document in enumerate(documents)
    ]
    return [Message(role="user", content=(*parts, after), verbatim=True)], chunks


def explained(
    messages: Sequence[Message],
    method: str | Sequence[str],
    *,
    segment_by: TextKind = "sentence",
    output: str | None = ANSWER,
    **options: Any,
) -> Explanation:
    provider = FakeProvider(rules=RULES, cites=True)
    with Explainer(provider) as explainer:
        return explainer.explain(messages, output=output, method=method, segment_by=segment_by, **options)


def removed(messages: Sequence[Message]) -> Explanation:
    return explained(messages, "leave_one_out", segment_by="source", groundedness=True)


def supports(report: RetrievalReport) -> list[list[int]]:
    return [[support.chunk for support in sentence.supports] for sentence in report.sentences]


def test_attention_finds_the_chunks_that_hold_the_cues() -> None:
    messages, chunks = said(GUIDE, SCAN, MENU)
    report = report_of(explained(messages, "attention", layers=0), chunks)
    assert supports(report) == [[0], [1], []]
    # Where a model does not look is no proof that it used nothing.
    assert [sentence.supported for sentence in report.sentences] == [True, True, None]
    assert [chunk.used for chunk in report.chunks] == [True, True, None]
    assert (report.unsupported, report.unused, report.not_in_prompt) == ((), (), ())
    support = report.sentences[0].supports[0]
    # 3 of 4 nats of the 75 % that go to cues; the other cue is in no source.
    assert support.score == pytest.approx(0.5625)
    assert support.share == pytest.approx(0.5625)
    assert [report.chunks[0].passages[i].text for i in support.passages] == ["Take alpha daily. "]
    assert report.chunks[0].share == pytest.approx(0.5625 / 3)
    assert (report.method, report.evidence, report.unit) == ("attention", "descriptive", "attention_mass")


@pytest.mark.parametrize("layers", ["all", [0, 1]], ids=["all", "each of them"])
def test_attention_over_all_layers_names_no_chunk(layers: Any) -> None:
    messages, chunks = said(GUIDE, SCAN, MENU)
    explanation = explained(messages, "attention")
    (result,) = explanation.results
    method = result.method.model_copy(update={"parameters": {"layers": layers}})
    result = result.model_copy(update={"method": method})
    report = report_of(explanation.model_copy(update={"results": (result,)}), chunks)
    assert supports(report) == [[], [], []]
    assert [sentence.supported for sentence in report.sentences] == [None, None, None]
    assert [chunk.used for chunk in report.chunks] == [None, None, None]
    assert report.chunks[0].share == pytest.approx(0.5625 / 3)
    assert any("averaged over all layers" in caveat for caveat in report.caveats)
    assert "share  19" in str(report)
    assert "% of the attention" in str(report)


def test_what_all_sources_together_are_worth_is_proof_where_attention_is_none() -> None:
    messages, chunks = said(GUIDE, SCAN, MENU)
    report = report_of(explained(messages, "attention"), chunks, removed(messages))
    assert [sentence.loses_without for sentence in report.sentences] == [(0,), (1,), ()]
    assert [sentence.supported for sentence in report.sentences] == [True, True, False]
    assert report.unused == (2,)
    assert report.removal_unit == "nats"


def test_what_is_stated_twice_is_not_without_support() -> None:
    messages, chunks = said(SCAN, LATE, MENU)  # either carries the second sentence
    alone = explained(messages, "leave_one_out", segment_by="source")
    report = report_of(explained(messages, "leave_one_out"), chunks, alone)
    assert [sentence.supported for sentence in report.sentences] == [None, None, None]
    assert {sentence.reason for sentence in report.sentences} == {NO_PROOF}
    report = report_of(explained(messages, "leave_one_out"), chunks, removed(messages))
    assert [sentence.supported for sentence in report.sentences] == [False, None, False]
    assert report.sentences[1].reason == SEVERAL
    assert [chunk.used for chunk in report.chunks] == [None, None, None]
    assert "stated more than once, or by several together" in str(report)


def test_designs_that_take_many_away_together_see_what_is_stated_twice() -> None:
    messages, chunks = said(SCAN, LATE, MENU)
    report = report_of(explained(messages, "shapley"), chunks)
    assert [set(own) for own in supports(report)] == [set(), {0, 1}, set()]
    assert [sentence.supported for sentence in report.sentences] == [False, True, False]
    assert report.unused == (2,)
    # Lasso gives each less than a nat here, and the two of them more.
    report = report_of(explained(messages, "lasso"), chunks)
    assert [sentence.supported for sentence in report.sentences] == [False, None, False]
    assert report.sentences[1].reason == SEVERAL


def test_attention_spread_evenly_is_no_support() -> None:
    """Each of the two chunks has half the characters, and half of the cue's 37.5 %."""
    alike = [Document(text=f"We saw gamma at {place}.", name=place) for place in ("one", "two")]
    messages, chunks = said(*alike)
    report = report_of(explained(messages, "attention", layers=0), chunks)
    assert [chunk.share for chunk in report.chunks] == pytest.approx([0.1875 / 3] * 2)
    assert supports(report) == [[], [], []]
    assert {sentence.supported for sentence in report.sentences} == {None}


def test_of_one_passage_alone_attention_says_nothing() -> None:
    messages, chunks = said(Document(text="Take alpha daily.", name="only"))
    report = report_of(explained(messages, "attention", layers=0), chunks)
    assert {sentence.supported for sentence in report.sentences} == {None}
    assert any("one passage only" in caveat for caveat in report.caveats)


def test_leave_one_out_finds_what_the_answer_loses() -> None:
    messages, chunks = said(GUIDE, BETA, SCAN, MENU)
    report = report_of(explained(messages, "leave_one_out", groundedness=True), chunks)
    assert supports(report) == [[0, 1], [2], []]
    assert [support.score for support in report.sentences[0].supports] == pytest.approx([3, 1], abs=1e-5)
    assert [support.share for support in report.sentences[0].supports] == pytest.approx([0.75, 0.25])
    assert report.unsupported == (2,)
    assert report.evidence == "causal"


@pytest.mark.parametrize(("nats", "counts"), [(0.9, False), (1.1, True)])
def test_less_than_a_nat_is_no_support(nats: float, counts: bool) -> None:
    messages, chunks = said(GUIDE, MENU)
    provider = FakeProvider(rules=[Rule(text="The dose is low.", cues={"alpha": nats})])
    with Explainer(provider) as explainer:
        explanation = explainer.explain(messages, output="The dose is low.", method="leave_one_out")
    assert supports(report_of(explanation, chunks)) == [[0] if counts else []]


def test_less_than_a_quarter_of_the_best_is_no_support() -> None:
    messages, chunks = said(GUIDE, BETA)
    provider = FakeProvider(rules=[Rule(text="The dose is low.", cues={"alpha": 9.0, "beta": 2.0})])
    with Explainer(provider) as explainer:
        explanation = explainer.explain(messages, output="The dose is low.", method="leave_one_out")
    assert supports(report_of(explanation, chunks)) == [[0]]


def test_the_effect_of_a_removal_is_that_of_the_whole_chunk() -> None:
    messages, chunks = said(GUIDE, BETA, SCAN, MENU)
    report = report_of(explained(messages, "attention", layers=0), chunks, removed(messages))
    effects = [chunk.removal.effects for chunk in report.chunks]
    wanted = [(3, 0, 0), (1, 0, 0), (0, 2, 0), (0, 0, 0)]
    for found, known in zip(effects, wanted, strict=True):
        assert found == pytest.approx(known, abs=1e-5)
    assert [chunk.removal.total for chunk in report.chunks] == pytest.approx([3, 1, 2, 0], abs=1e-5)


def test_of_a_chunk_in_two_places_that_were_not_taken_away_together_nothing_is_said() -> None:
    messages, _ = said(GUIDE, BETA, MENU)
    chunks = [Chunk(document=GUIDE, sources=(0, 1), coverage=1.0), Chunk(document=MENU, sources=(2,))]
    report = report_of(explained(messages, "attention"), chunks, removed(messages))
    assert report.chunks[0].removal.effects is None
    assert report.chunks[0].removal.reason == (
        "stands in 2 places of the prompt, which were not taken away together"
    )
    first, _, third = report.sentences
    assert (first.loses_without, first.others, first.supported, first.reason) == ((), (), None, ONE_BY_ONE)
    assert third.supported is False  # all of them together are worth nothing to it
    assert [chunk.used for chunk in report.chunks] == [None, None]
    assert any("several places of the prompt" in caveat for caveat in report.caveats)


def test_what_attention_names_in_two_places_counts_together() -> None:
    messages, _ = said(GUIDE, BETA, MENU)
    chunk = Chunk(document=GUIDE, sources=(1, 0), coverage=1.0)
    report = report_of(explained(messages, "attention", layers=0), [chunk], removed(messages))
    assert {passage.source for passage in report.chunks[0].passages} == {"s1", "s2"}
    assert report.sentences[0].supports[0].share == pytest.approx(0.75)
    assert report.chunks[0].used is True


BLOCK = Document(text="Record\nTake alpha daily. The scan shows gamma. Lunch is at noon.", name="block")


def within_a_block() -> tuple[list[Message], list[Chunk]]:
    """Three documents that a message brings as one."""
    messages, _ = said(BLOCK)
    chunks = []
    for text in ("Take alpha daily.", "The scan shows gamma.", "Lunch is at noon."):
        start = BLOCK.text.index(text)
        within = ((0, start, start + len(text)),)
        chunks.append(Chunk(document=Document(text=text), sources=(0,), within=within, coverage=1.0))
    return messages, chunks


def test_of_a_document_that_holds_several_each_is_credited_for_its_own_passages() -> None:
    messages, chunks = within_a_block()
    report = report_of(explained(messages, "leave_one_out"), chunks, removed(messages))
    assert [[passage.text.strip() for passage in chunk.passages] for chunk in report.chunks] == [
        [chunk.document.text] for chunk in chunks
    ]
    assert supports(report) == [[0], [1], []]
    assert [sentence.loses_without for sentence in report.sentences] == [(), (), ()]
    assert report.sentences[0].others == ("block",)  # all of it was taken away
    assert [chunk.removal.reason for chunk in report.chunks] == [
        "taken away only together with chunks 2, 3",
        "taken away only together with chunks 1, 3",
        "taken away only together with chunks 1, 2",
    ]
    assert [chunk.overlaps for chunk in report.chunks] == [(), (), ()]
    assert any("a passage that reaches beyond a chunk counts for none" in own for own in report.caveats)


def test_a_passage_of_several_chunks_counts_for_none() -> None:
    messages, chunks = within_a_block()
    report = report_of(explained(messages, "leave_one_out", segment_by="source"), chunks)
    for chunk in report.chunks:
        assert (chunk.in_prompt, chunk.passages, chunk.share, chunk.used) == (True, (), None, None)
    assert [sentence.others for sentence in report.sentences] == [("block",), ("block",), ()]
    assert RetrievalReport.model_validate_json(report.to_json()) == report


def test_of_what_was_not_read_it_is_not_known_whether_a_chunk_stands_there() -> None:
    messages, chunks = said(GUIDE)
    report = report_of(
        explained(messages, "leave_one_out"), [*chunks, Chunk(document=LATE, unread=("image",))]
    )
    late = report.chunks[1]
    assert (late.in_prompt, late.used, late.share) == (None, None, None)
    assert late.removal.reason == "it was not found in the prompt"
    assert report.not_in_prompt == ()
    assert "not found in the prompt, of which some was not read" in str(report)
    assert any("not read (image)" in caveat for caveat in report.caveats)


def test_without_removals_the_reason_is_told() -> None:
    messages, chunks = said(GUIDE, MENU)
    late = Chunk(document=LATE)
    report = report_of(explained(messages, "attention", layers=0), [*chunks, late])
    assert report.chunks[0].removal.effects is None
    assert report.chunks[0].removal.reason == "nothing was taken away to measure it"
    assert report.chunks[2].removal.reason == "it is not in the prompt"
    report = report_of(explained(messages, "attention", layers=0), chunks, reason="no removals: 4 calls")
    assert report.chunks[0].removal.reason == "no removals: 4 calls"
    assert "not measured: no removals: 4 calls" in str(report)


def test_removals_of_other_parts_of_the_answer_are_not_told() -> None:
    messages, chunks = said(GUIDE, MENU)
    whole = explained(messages, "leave_one_out", segment_by="source", target_by="whole")
    report = report_of(explained(messages, "attention", layers=0), chunks, whole)
    assert report.chunks[0].removal.effects is None
    assert "other parts" in (report.chunks[0].removal.reason or "")
    assert report.sentences[0].loses_without == ()


def test_what_was_retrieved_and_not_read_is_told_apart_from_what_was_not_used() -> None:
    messages, chunks = said(GUIDE, MENU)
    report = report_of(
        explained(messages, "attention", layers=0),
        [chunks[0], Chunk(document=LATE), chunks[1]],
        removed(messages),
    )
    assert (report.not_in_prompt, report.unused) == ((1,), (2,))
    late = report.chunks[1]
    assert (late.in_prompt, late.share, late.used, late.passages) == (False, None, False, ())
    assert (late.name, late.rank, late.retrieval_score, late.text) == ("late", 2, 0.1, LATE.text)
    assert report.chunks[0].metadata == {"page": "3"}


def test_a_source_that_was_not_retrieved_supports_a_sentence_as_well() -> None:
    messages, chunks = said(SCAN, GUIDE)
    report = report_of(explained(messages, "leave_one_out"), chunks[:1])
    first = report.sentences[0]
    assert (first.supports, first.others, first.supported) == ((), ("guide",), True)
    assert any("Only documents and what tools returned" in caveat for caveat in report.caveats)
    # And where it is lost only as a whole.
    report = report_of(explained(messages, "attention"), chunks[:1], removed(messages))
    assert report.sentences[0].others == ("guide",)


def test_without_chunks_there_is_still_a_report() -> None:
    messages, _ = said(GUIDE)
    report = report_of(explained(messages, "leave_one_out"), [])
    assert report.chunks == ()
    assert report.sentences[0].others == ("guide",)
    assert "No document was retrieved." in str(report)


def test_claims_alone_are_the_supports() -> None:
    messages, chunks = said(GUIDE, SCAN, MENU)
    report = report_of(explained(messages, "citations", output=None), chunks)
    assert supports(report) == [[0], [1]]
    assert [sentence.claims for sentence in report.sentences] == [None, None]
    assert (report.evidence, report.claims_method) == ("self_reported", None)
    # That an answer does not say it is no proof.
    assert [chunk.used for chunk in report.chunks] == [True, True, None]


def test_claims_stand_beside_what_was_measured_and_change_nothing_there() -> None:
    late = Document(text="There was delta in the sample. It is old.", name="sample")
    messages, chunks = said(SCAN, late, MENU)
    both = explained(messages, ["citations", "leave_one_out"], output=None)
    report = report_of(both, chunks)
    (sentence,) = report.sentences
    assert sentence.claims == (0, 1)
    # Either suffices, so neither is lost: the model claims both, and leaving one out sees none.
    assert (sentence.supports, sentence.supported) == ((), None)
    assert [chunk.claimed for chunk in report.chunks] == [True, True, False]
    assert [chunk.used for chunk in report.chunks] == [None, None, None]
    assert (report.method, report.claims_method) == ("leave_one_out", "citations")


def test_results_that_are_not_shown_are_named() -> None:
    messages, chunks = said(GUIDE, SCAN)
    both = explained(messages, ["attention", "leave_one_out"], layers=0)
    report = report_of(both, chunks)
    assert report.method == "attention"
    assert "The explanation has more results than this report shows: leave_one_out." in report.caveats


def test_what_could_not_be_measured_is_unknown() -> None:
    messages, chunks = said(GUIDE, SCAN)
    explanation, without = explained(messages, "leave_one_out"), removed(messages)
    report = report_of(unmeasured(explanation, 2, 0), chunks, unmeasured(without, 2, 0))
    assert [sentence.supported for sentence in report.sentences] == [True, True, None]
    removal = report.chunks[0].removal
    assert removal.effects is not None
    assert removal.effects[:2] == pytest.approx((3, 0), abs=1e-5)
    assert (removal.effects[2], removal.total) == (None, None)
    assert removal.reason == "1 of 3 could not be measured"


def test_a_chunk_whose_removal_was_not_measured_is_not_unused() -> None:
    messages, chunks = said(GUIDE, SCAN, MENU)
    attention, without = explained(messages, "attention", layers=0), removed(messages)
    assert report_of(attention, chunks, without).unused == (2,)
    report = report_of(attention, chunks, unmeasured(without, 0, 2))
    assert [chunk.used for chunk in report.chunks] == [True, True, None]


def unmeasured(explanation: Explanation, target: int, segment: int) -> Explanation:
    (result,) = explanation.results
    scores = result.scores.model_copy(update={"unmeasured": ((target, segment),)})
    return explanation.model_copy(update={"results": (result.model_copy(update={"scores": scores}),)})


def test_noise_is_no_support() -> None:
    messages, chunks = said(GUIDE, BETA, SCAN)
    explanation = explained(messages, "leave_one_out")
    (result,) = explanation.results
    scores = result.scores.model_copy(update={"noise_floor": 2.5})
    noisy = explanation.model_copy(update={"results": (result.model_copy(update={"scores": scores}),)})
    assert supports(report_of(noisy, chunks)) == [[0], [], []]


def test_chunks_that_share_text_are_told() -> None:
    first = Document(text="Take alpha daily. The room is cold at night in winter.", name="first")
    second = Document(text="The room is cold at night in winter. The menu has soup.", name="second")
    messages, chunks = said(first, second, SCAN)
    report = report_of(explained(messages, "attention", layers=0), chunks)
    assert [chunk.overlaps for chunk in report.chunks] == [(1,), (0,), ()]
    assert any(caveat.startswith("Chunks 1 and 2 share text") for caveat in report.caveats)


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ("A long sentence that ends in the same words.", "ends in the same words. And goes on.", True),
        ("ends in the same words. And goes on.", "A long sentence that ends in the same\n words.", True),
        ("Inside another there is this text of some length, whole.", "this text of some length", True),
        ("Header of all chunks. First.", "Header of all chunks. Second.", False),
        ("Yes.", "Yes. No.", False),
        ("Yes.", "Yes.", True),
        ("Nothing in common at all here.", "Something else stands in this one.", False),
    ],
)
def test_texts_that_overlap(first: str, second: str, shared: bool) -> None:
    assert overlapping([first, second]) == overlapping([second, first]) == [(0, 1)] * shared


def test_what_no_file_can_hold_is_replaced() -> None:
    strange = Document(text="Lone \ud800 half", name="\udfff", metadata={"\ud800": "\udc00"}, score=math.nan)
    messages, _ = said(GUIDE)
    report = report_of(explained(messages, "attention", layers=0), [Chunk(document=strange)])
    (chunk,) = report.chunks
    assert (chunk.name, chunk.text, chunk.metadata) == ("?", "Lone ? half", {"?": "?"})
    assert chunk.retrieval_score is None
    report.to_json().encode()


def test_json_comes_back_equal() -> None:
    messages, chunks = said(GUIDE, BETA, SCAN, MENU)
    report = report_of(
        explained(messages, ["leave_one_out", "attention"]),
        [*chunks, Chunk(document=LATE)],
        removed(messages),
    )
    assert RetrievalReport.model_validate_json(report.to_json()) == report


def test_a_thousand_chunks_take_no_more_than_their_text() -> None:
    texts = [" ".join(f"w{(n * 7919 + at * at) % 5003}" for at in range(100)) for n in range(1000)]
    begin = time.thread_time()
    assert overlapping(texts) == []
    assert time.thread_time() - begin < 10
