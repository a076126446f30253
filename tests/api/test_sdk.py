"""`Explainer`, with a provider whose truth is known in closed form, and with the bundled model."""

from __future__ import annotations

import asyncio
import csv
import gc
import html
import io
import weakref
from importlib.resources import as_file, files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

import whence
from whence import Explainer, Explanation, FakeProvider, HuggingFace, InputError, Message, Source, Step
from whence.explain.schema import SourceReference, TargetKind, TextKind
from whence.explain.segments import split
from whence.providers.fake import BASE_NATS, CUE_MASS, INSTRUCTION_MASS, SINK_MASS, Rule

CLOSE = 1e-6
ADDITIVE, REDUNDANT, ALL_OF = "The dose is low.", "The scan was clear.", "The plan is agreed."
EVERY_CUE = "alpha beta gamma delta epsilon zeta eta"
ANSWER = "The patient is a 49-year-old woman. The diagnosis is asthma.\nAllergic to ibuprofen."


def elsewhere(explanation: Explanation) -> np.ndarray:
    parts = explanation.results[0].scores.elsewhere
    assert parts is not None
    return np.array([row.total for row in parts])


def parts(explanation: Explanation, target: int = 0) -> dict[str, float]:
    """What of one target fell elsewhere, without the parts that received nothing."""
    rows = explanation.results[0].scores.elsewhere
    assert rows is not None
    return {name: value for name, value in rows[target].parts.items() if value}


def assert_rows_sum_to_one(explanation: Explanation) -> None:
    np.testing.assert_allclose(explanation.matrix().sum(axis=1) + elsewhere(explanation), 1, atol=1e-5)


def assert_same_scores(one: Explanation, other: Explanation) -> None:
    assert one.segments == other.segments
    assert one.output.targets == other.output.targets
    np.testing.assert_allclose(one.matrix(), other.matrix(), rtol=0, atol=CLOSE)
    for target in range(len(one.output.targets)):
        assert parts(one, target) == pytest.approx(parts(other, target), abs=CLOSE)


def caveats(explanation: Explanation) -> str:
    return "\n".join(explanation.results[0].caveats)


# The closed form: what each cue receives is CUE_MASS in proportion to its nats, by hand.


def test_every_cue_receives_its_part() -> None:
    explanation = Explainer(FakeProvider()).explain("Do.", sources=[EVERY_CUE], segment_by="word")
    assert explanation.output.text == f"{ADDITIVE} {REDUNDANT} {ALL_OF}"
    wanted = np.array([
        [3 / 4, 1 / 4, 0, 0, 0, 0, 0],
        [0, 0, 1 / 2, 1 / 2, 0, 0, 0],
        [0, 0, 0, 0, 1 / 3, 1 / 3, 1 / 3],
    ])  # fmt: skip
    np.testing.assert_allclose(explanation.matrix(), CUE_MASS * wanted, rtol=0, atol=CLOSE)
    for target in range(3):
        outside = {"sink": SINK_MASS, "instruction": INSTRUCTION_MASS}
        assert parts(explanation, target) == pytest.approx(outside, abs=CLOSE)


@pytest.mark.parametrize(
    ("source", "answer", "received", "missing"),
    [
        pytest.param("alpha x beta", ADDITIVE, [3 / 4, 0, 1 / 4], 0, id="additive"),
        pytest.param("x alpha", ADDITIVE, [0, 3 / 4], 1 / 4, id="additive, only the greater"),
        pytest.param("beta", ADDITIVE, [1 / 4], 3 / 4, id="additive, only the less"),
        pytest.param("alpha alpha", ADDITIVE, [3 / 8, 3 / 8], 1 / 4, id="additive, a cue said twice"),
        pytest.param("gamma delta", REDUNDANT, [1 / 2, 1 / 2], 0, id="redundant, both"),
        pytest.param("gamma x", REDUNDANT, [1 / 2, 0], 1 / 2, id="redundant, one of them"),
        pytest.param("eta zeta epsilon", ALL_OF, [1 / 3, 1 / 3, 1 / 3], 0, id="all of three"),
        pytest.param("eta epsilon", ALL_OF, [1 / 3, 1 / 3], 1 / 3, id="two of three"),
        pytest.param("x y", ADDITIVE, [0, 0], 1, id="no cue"),
        pytest.param("alpha gamma", "Nothing of this.", [0, 0], 1, id="a sentence without a rule"),
    ],
)
def test_what_missing_cues_would_receive_rests_on_the_sink(
    source: str, answer: str, received: list[float], missing: float
) -> None:
    explanation = Explainer(FakeProvider()).explain("Do.", sources=[source], output=answer, segment_by="word")
    np.testing.assert_allclose(explanation.matrix(), [CUE_MASS * np.array(received)], rtol=0, atol=CLOSE)
    wanted = {"sink": SINK_MASS + CUE_MASS * missing, "instruction": INSTRUCTION_MASS}
    assert parts(explanation) == pytest.approx(wanted, abs=CLOSE)


@pytest.mark.parametrize(
    ("source", "answer", "lost_nats"),
    [
        ("alpha beta", ADDITIVE, 0.0),
        ("beta", ADDITIVE, 3.0),
        ("gamma", REDUNDANT, 0.0),
        ("x", REDUNDANT, 2.0),
        ("epsilon zeta", ALL_OF, 3.0),
    ],
)
def test_a_sentence_loses_the_nats_of_what_is_missing(source: str, answer: str, lost_nats: float) -> None:
    explanation = Explainer(FakeProvider()).explain("Do.", sources=[source], output=answer)
    tokens = explanation.output.tokens
    assert tokens is not None
    assert [token.logprob_nats for token in tokens] == pytest.approx([-BASE_NATS - lost_nats / 4] * 4)


def test_other_rules_give_other_numbers() -> None:
    rule = Rule(text="It snows.", cues={"cold": 1.0, "wet": 7.0})
    explanation = Explainer(FakeProvider(rules=[rule])).explain(
        "Do.", sources=["It is cold. ", "It is wet."], segment_by="source"
    )
    assert explanation.output.text == "It snows."
    np.testing.assert_allclose(explanation.matrix(), [[CUE_MASS / 8, CUE_MASS * 7 / 8]], atol=CLOSE)
    assert [passage.text for passage in explanation.top(0)] == ["It is wet.", "It is cold. "]


def test_a_target_of_several_tokens_is_their_average() -> None:
    explanation = Explainer(FakeProvider()).explain(
        "Do.", sources=["alpha. gamma."], output=f"{ADDITIVE} {REDUNDANT}", target_by="whole"
    )
    wanted = [[(CUE_MASS * 3 / 4 * 4 + 0) / 8, (CUE_MASS / 2 * 4 + 0) / 8]]
    np.testing.assert_allclose(explanation.matrix(), wanted, rtol=0, atol=CLOSE)


# Providers: by name, with options, as an object.


def test_a_name_and_an_object_explain_the_same() -> None:
    by_name, by_object = (Explainer(p).explain("Do.", sources=[EVERY_CUE]) for p in ("fake", FakeProvider()))
    assert by_name.matrix().tolist() == by_object.matrix().tolist()
    assert (by_name.provider, by_name.model) == (by_object.provider, by_object.model) == ("fake", "fake")


def test_options_reach_the_adapter_of_a_name() -> None:
    explanation = Explainer("fake", model="tiny", rules=[Rule(text="Yes.", cues={"x": 1.0})]).explain(
        "Do.", sources=["x"]
    )
    assert (explanation.model, explanation.output.text) == ("tiny", "Yes.")


def test_options_without_a_name_are_refused() -> None:
    with pytest.raises(TypeError, match="latency_s"):
        Explainer(FakeProvider(), latency_s=1)


def test_what_is_no_provider_is_refused() -> None:
    with pytest.raises(TypeError, match="int is no provider"):
        Explainer(3)  # type: ignore[arg-type]


def test_a_loaded_model_explains_as_its_name_does(demo: Explainer, record: str) -> None:
    with as_file(files("whence.demo") / "model") as folder:
        model = AutoModelForCausalLM.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    with Explainer(HuggingFace(model, tokenizer)) as explainer:
        explanation = explainer.explain("Summarise this record.", sources=[record], output=ANSWER)
    wanted = demo.explain("Summarise this record.", sources=[record], output=ANSWER)
    assert explanation.matrix().tolist() == wanted.matrix().tolist()


def test_the_seed_reaches_the_provider() -> None:
    def answer(seed: int) -> str:
        provider = FakeProvider(noise=0.5)
        return Explainer(provider).explain("Do.", sources=[EVERY_CUE], seed=seed).output.text

    answers = [answer(seed) for seed in range(8)]
    assert answers == [answer(seed) for seed in range(8)]
    assert len(set(answers)) > 1


def test_a_closed_explainer_lets_go_of_its_provider() -> None:
    provider = FakeProvider()
    gone = weakref.ref(provider)
    with Explainer(provider) as explainer:
        del provider
        explainer.explain("Do.", sources=["alpha"])
        assert gone() is not None
    gc.collect()
    assert gone() is None
    with pytest.raises(whence.InputError, match="closed"):
        explainer.explain("Do.", sources=["alpha"])


def test_closing_twice_is_no_error() -> None:
    explainer = Explainer("fake")
    explainer.close()
    explainer.close()


# Inside event loops.


def test_explain_works_inside_a_running_loop() -> None:
    async def cell() -> Explanation:
        return Explainer("fake").explain("Do.", sources=["alpha"])

    assert asyncio.run(cell()).output.text.strip() == ADDITIVE


def test_one_explainer_serves_one_loop_after_the_other(demo: Explainer, record: str) -> None:
    async def ask() -> Explanation:
        return await demo.aexplain("Summarise this record.", sources=[record], output=ANSWER)

    first, second = asyncio.run(ask()), asyncio.run(ask())
    blocking = demo.explain("Summarise this record.", sources=[record], output=ANSWER)
    assert first.matrix().tolist() == second.matrix().tolist() == blocking.matrix().tolist()


# Detail, and other granularities from it.

KINDS: tuple[TextKind, ...] = ("token", "word", "sentence", "paragraph", "source")


@pytest.mark.parametrize("target_by", ["token", "word", "sentence", "whole"])
@pytest.mark.parametrize("segment_by", KINDS)
def test_at_equals_a_fresh_explanation_of_the_fake(segment_by: TextKind, target_by: TargetKind) -> None:
    explainer = Explainer(FakeProvider())
    sources = ["Alpha alpha, beta.\n\ngamma delta. zeta", "epsilon 👩‍👩‍👧 eta.\r\nbeta"]
    kept = explainer.explain("Do it now.", sources=sources, detail=True)
    fresh = explainer.explain("Do it now.", sources=sources, segment_by=segment_by, target_by=target_by)
    assert_same_scores(kept.at(segment_by, target_by=target_by), fresh)


@pytest.mark.parametrize("segment_by", KINDS)
def test_at_equals_a_fresh_explanation_of_the_demo(
    demo: Explainer, record: str, segment_by: TextKind
) -> None:
    kept = demo.explain("Summarise this record.", sources=[record], output=ANSWER, detail=True)
    fresh = demo.explain("Summarise this record.", sources=[record], output=ANSWER, segment_by=segment_by)
    again = kept.at(segment_by)
    assert_same_scores(again, fresh)
    assert_rows_sum_to_one(again)
    assert {segment.kind for segment in again.segments} == {segment_by}


def test_without_detail_there_is_no_other_granularity() -> None:
    with pytest.raises(whence.UnsupportedError, match="detail=True"):
        Explainer("fake").explain("Do.", sources=["alpha"]).at("word")


# The output: given, generated, cut.


def test_a_given_output_is_explained_as_it_is() -> None:
    provider = FakeProvider()
    text = "  The dose is low.\r\n\nUnheard of 👩‍👩‍👧 here. "
    explanation = Explainer(provider).explain("Do.", sources=["alpha"], output=text)
    assert provider.calls == 1, "it was asked to look, and never to write"
    assert explanation.output.text == text
    assert explanation.output.given
    assert explanation.output.finish is None
    assert "".join(explanation.target_text(i) for i in range(len(explanation.output.targets))) == text
    assert "given, not generated" in caveats(explanation)


def test_a_generated_output_is_not_called_given(demo: Explainer, record: str) -> None:
    explanation = demo.explain("Summarise this record.", sources=[record])
    assert not explanation.output.given
    assert "given, not generated" not in caveats(explanation)
    assert "synthetic records only" in caveats(explanation)


def test_a_generated_output_explained_again_gets_the_same_scores(demo: Explainer, record: str) -> None:
    generated = demo.explain("Summarise this record.", sources=[record], target_by="word")
    given = demo.explain(
        "Summarise this record.", sources=[record], output=generated.output.text, target_by="word"
    )
    assert_same_scores(generated, given)


@pytest.mark.parametrize("provider", ["fake", "demo"])
def test_an_output_that_was_cut_is_flagged(provider: str, demo: Explainer, record: str) -> None:
    explainer = demo if provider == "demo" else Explainer(provider)
    sources = [record + " alpha"]
    cut = explainer.explain("Summarise this record.", sources=sources, max_tokens=3)
    whole = explainer.explain("Summarise this record.", sources=sources, max_tokens=400)
    assert (cut.output.finish, cut.cost.output_tokens) == ("length", 3)
    assert whole.output.text.startswith(cut.output.text)
    assert "cut at its limit" in caveats(cut)
    assert "cut" in str(cut)
    assert whole.output.finish == "stop"
    assert "cut at its limit" not in caveats(whole)


# Messages, system, sources.


def test_sources_may_stand_inside_several_messages() -> None:
    explanation = Explainer("fake").explain(
        [
            Message(role="system", content="You compare."),
            Message(role="user", content=["First:", Source(text="alpha one", name="A"), "read it."]),
            Message(role="assistant", content="Read."),
            Message(role="user", content=["Now", Source(text="beta two", kind="message"), "and answer."]),
        ],
        segment_by="source",
    )
    assert [(source.name, source.kind, source.text) for source in explanation.sources] == [
        ("A", "document", "alpha one"),
        ("source 2", "message", "beta two"),
    ]
    assert [(m.role, m.content) for m in explanation.prompt.messages] == [
        ("system", ("You compare.",)),
        ("user", ("First:", SourceReference(source="s1"), "read it.")),
        ("assistant", ("Read.",)),
        ("user", ("Now", SourceReference(source="s2"), "and answer.")),
    ]
    np.testing.assert_allclose(explanation.matrix(), [[CUE_MASS * 3 / 4, CUE_MASS / 4]], atol=CLOSE)


def test_a_conversation_with_the_demo_keeps_every_source_apart(demo: Explainer, record: str) -> None:
    half = split(record, "sentence")[5][0]
    one, two = record[:half], record[half:]
    explanation = demo.explain(
        [
            Message(role="user", content=[Source(text=one), "Read this."]),
            Message(role="assistant", content="Read."),
            Message(role="user", content=[Source(text=two), "Summarise this record."]),
        ],
        output=ANSWER,
        segment_by="source",
    )
    assert [explanation.segment_text(i) for i in range(2)] == [one, two]
    assert_rows_sum_to_one(explanation)
    assert (explanation.matrix() > 0).all()


def test_sources_get_names_of_their_own_and_keep_their_metadata() -> None:
    note = Source(text="alpha", name="note", metadata={"ward": "4"})
    explanation = Explainer("fake").explain("Do.", sources=[note, "beta", Source(text="x", name="note")])
    assert [source.name for source in explanation.sources] == ["note", "source 2", "note (2)"]
    assert explanation.sources[0].metadata == {"ward": "4"}


def test_a_blank_source_beside_another_receives_nothing() -> None:
    explanation = Explainer("fake").explain("Do.", sources=["", " \n", "alpha"], segment_by="source")
    assert [(s.source, s.start, s.end) for s in explanation.segments] == [("s2", 0, 2), ("s3", 0, 5)]
    np.testing.assert_allclose(explanation.matrix(), [[0, CUE_MASS * 3 / 4]], atol=CLOSE)


def test_the_system_text_is_read_by_the_model_and_recorded(demo: Explainer, record: str) -> None:
    def explain(system: str | None) -> Explanation:
        return demo.explain("Summarise this record.", sources=[record], output=ANSWER, system=system)

    without, told = explain(None), explain("Write in capitals.")
    first = told.prompt.messages[0]
    assert (first.role, first.content) == ("system", ("Write in capitals.",))
    assert told.prompt.instruction == without.prompt.instruction == "Summarise this record."
    assert told.output.tokens != without.output.tokens, "its log-probabilities should change"
    assert_rows_sum_to_one(told)


# Layers and heads.


@pytest.mark.parametrize(("what", "count"), [("layers", 4), ("heads", 8)])
def test_the_mean_of_each_layer_and_each_head_is_the_whole(
    demo: Explainer, record: str, what: str, count: int
) -> None:
    def explain(**choice: Any) -> Explanation:
        return demo.explain("Summarise this record.", sources=[record], output=ANSWER, **choice)

    single = [explain(**{what: index}) for index in range(count)]
    for index, explanation in enumerate(single):
        assert explanation.results[0].method.parameters[what] == [index]
        assert_rows_sum_to_one(explanation)
    assert not np.allclose(single[0].matrix(), single[1].matrix(), atol=1e-3)
    mean = np.mean([explanation.matrix() for explanation in single], axis=0)
    np.testing.assert_allclose(mean, explain().matrix(), rtol=0, atol=CLOSE)
    pair = np.mean([single[0].matrix(), single[2].matrix()], axis=0)
    np.testing.assert_allclose(pair, explain(**{what: [2, 0]}).matrix(), rtol=0, atol=CLOSE)


# More than the model can read.


def assert_whole_sentences(kept: str, text: str) -> None:
    assert text.startswith(kept)
    assert len(kept) in {start for start, _ in split(text, "sentence")}, "it ends within a sentence"


def test_truncation_keeps_whole_sentences_and_says_so(demo: Explainer, long_record: str) -> None:
    explanation = demo.explain("Summarise this record.", sources=[long_record], truncate=True)
    (source,) = explanation.sources
    assert source.text is not None
    assert 0 < len(source.text) < len(long_record) / 5
    assert_whole_sentences(source.text, long_record)
    note = f"did not read all of 'source 1': only its first {len(source.text)} of {len(long_record)}"
    assert note in caveats(explanation)
    assert explanation.cost.input_tokens is not None
    assert explanation.cost.calls == 2, "what did not fit was refused, and is no call"
    assert 700 < explanation.cost.input_tokens / 2 <= 1024, "it left out more than it had to"
    assert_rows_sum_to_one(explanation)


def test_a_truncated_source_is_explained_as_if_it_were_no_longer(demo: Explainer, long_record: str) -> None:
    cut = demo.explain("Summarise this record.", sources=[long_record], output=ANSWER, truncate=True)
    kept = cut.sources[0].text or ""
    whole = demo.explain("Summarise this record.", sources=[kept], output=ANSWER)
    assert cut.matrix().tolist() == whole.matrix().tolist()
    assert "did not read" not in caveats(whole)


def test_truncation_begins_with_the_last_source(demo: Explainer, record: str, long_record: str) -> None:
    names = ["first", "second", "third"]
    texts = [record, long_record, record]
    sources = [Source(text=text, name=name) for text, name in zip(texts, names, strict=True)]
    explanation = demo.explain("Summarise this record.", sources=sources, output=ANSWER, truncate=True)
    first, second, third = (source.text or "" for source in explanation.sources)
    assert first == record
    assert_whole_sentences(second, long_record)
    assert second
    assert third == ""
    assert {segment.source for segment in explanation.segments} == {"s1", "s2"}
    assert "all of 'first'" not in caveats(explanation)
    assert f"all of 'second': only its first {len(second)} of {len(long_record)}" in caveats(explanation)
    assert f"all of 'third': only its first 0 of {len(record)}" in caveats(explanation)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("患者は発熱した。" * 400, id="more tokens than characters"),
        pytest.param("Fever was seen. " * 400 + "患者は発熱した。" * 400, id="dense at its end"),
        pytest.param("患者は発熱した。" * 400 + "Fever was seen. " * 400, id="dense at its beginning"),
        pytest.param("Fever was seen. " + "x" * 5000, id="one long word at its end"),
        pytest.param("\n".join("x" * 200 + "." for _ in range(200)), id="long words"),
    ],
)
def test_truncation_keeps_what_fits_of_any_text(demo: Explainer, text: str) -> None:
    explanation = demo.explain("Summarise this record.", sources=[text], output=ANSWER, truncate=True)
    kept = explanation.sources[0].text or ""
    assert_whole_sentences(kept, text)
    following = next(end for start, end in split(text, "sentence") if start == len(kept))
    longer = text[: following + len(text) // 4]
    with pytest.raises(whence.ContextLengthError):
        demo.explain("Summarise this record.", sources=[longer], output=ANSWER)


def test_truncation_leaves_alone_what_fits(demo: Explainer, record: str) -> None:
    plain = demo.explain("Summarise this record.", sources=[record], output=ANSWER)
    asked = demo.explain("Summarise this record.", sources=[record], output=ANSWER, truncate=True)
    assert plain.results == asked.results
    assert asked.sources[0].text == record


# Progress.


def test_progress_goes_through_the_stages_in_order(demo: Explainer, record: str) -> None:
    steps: list[Step] = []
    explanation = demo.explain("Summarise this record.", sources=[record], progress=steps.append)
    stages = [step.stage for step in steps]
    changes = [stages[0], *(b for a, b in pairwise(stages) if a != b)]
    assert changes == ["load", "generate", "attend"]
    done = {stage: [step.done for step in steps if step.stage == stage] for stage in changes}
    assert done["load"] == [0, 1]
    assert done["generate"] == list(range(1, (explanation.cost.output_tokens or 0) + 1))
    assert done["attend"] == [0, 1, 2, 3, 4]
    assert all(step.total is not None and step.done <= step.total for step in steps)
    assert steps[-1] == Step(stage="attend", done=4, total=4)


def test_a_given_output_is_not_written_again(demo: Explainer, record: str) -> None:
    steps: list[Step] = []
    demo.explain("Summarise this record.", sources=[record], output=ANSWER, progress=steps.append)
    assert {step.stage for step in steps} == {"load", "attend"}


# Files.


def test_a_real_explanation_is_written_in_every_format(demo: Explainer, record: str, tmp_path: Path) -> None:
    explanation = demo.explain("Summarise this record.", sources=[record], detail=True)
    written = {
        kind: explanation.save(tmp_path / f"report.{kind}", interactive=False).read_bytes().decode()
        for kind in ("json", "html", "csv", "txt")
    }
    assert Explanation.model_validate_json(written["json"]) == explanation
    assert written["txt"] == str(explanation)
    rows = list(csv.DictReader(io.StringIO(written["csv"], newline="")))
    scores = [float(row["score"]) for row in rows]
    assert scores == [value for row in explanation.results[0].scores.values for value in row]
    page = html.unescape(written["html"])
    for index in range(len(explanation.segments)):
        assert explanation.segment_text(index).strip() in page
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".csv", ".html", ".json", ".txt"]


def test_json_gives_the_same_explanation_back(demo: Explainer, record: str) -> None:
    explanation = demo.explain("Summarise this record.", sources=[record], segment_by="token", detail=True)
    again = Explanation.model_validate_json(explanation.model_dump_json())
    assert again == explanation
    assert again.matrix().tobytes() == explanation.matrix().tobytes()
    assert again.model_dump_json() == explanation.model_dump_json()


def test_sources_may_come_one_by_one() -> None:
    with Explainer("fake") as explainer:
        e = explainer.explain("Go.", sources=(text for text in ["alpha", "beta"]))  # type: ignore[arg-type]
    assert [source.text for source in e.sources] == ["alpha", "beta"]


@pytest.mark.parametrize(
    "arguments", [{"sources": None}, {"method": None}, {"max_tokens": "5"}, {"system": 5}, {"sources": 5}]
)
def test_arguments_of_the_wrong_type_are_input_errors(arguments: dict[str, Any]) -> None:
    with Explainer("fake") as explainer, pytest.raises(InputError):
        explainer.explain("Go.", **({"sources": ["alpha"]} | arguments))
