"""From tokens to segments and targets: nothing is lost, and nothing is counted twice."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, get_args

import anyio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from whence.explain.aggregate import PARTS, TokenScores, aggregate, from_attention, to_detail, to_elsewhere
from whence.explain.engine import explain
from whence.explain.layout import Layout, lay_out
from whence.explain.request import Request
from whence.explain.result import Measure, Scores
from whence.explain.schema import Explanation, TargetKind, TextKind
from whence.providers import observations
from whence.providers.base import Capabilities, Progress, Watcher
from whence.providers.errors import UnsupportedError
from whence.providers.fake import FakeProvider
from whence.providers.observations import AttentionQuery, AttentionRows, Generation, Span, Token
from whence.providers.prompt import Prompt, build_prompt

SOURCE = "Dry cough.\nNo 👍 fever. "
LETTER = "HR 88"
OUTPUT = "He coughs. HR is 88."
KEYS = (
    Token(part="sink"),
    Token(part="special"),
    Token(part="template"),
    Token(part="source", source=0, start=0, end=3),  # Dry
    Token(part="source", source=0, start=3, end=13),  # ` cough.` and `No` of the next line
    Token(part="source", source=0, start=14, end=15),  # two bytes of the emoji
    Token(part="source", source=0, start=14, end=15),
    Token(part="source", source=0, start=15, end=22),  # ` fever.`
    Token(part="source", source=0, start=22, end=23),  # a blank
    Token(part="template"),
    Token(part="source", source=2, start=0, end=5),  # HR 88
    Token(part="instruction"),
    Token(part="special"),
    *[Token(part="output")] * 4,
)
# `He coughs`, `.`, ` HR is`, ` 88.`, and the end token.
SPANS = ((0, 9), (9, 10), (10, 16), (16, 20), None)
ROWS = np.array(
    [
        # sink, special, template, sources (6), template, source, instruction, special; then the output so far
        [8, 1, 2, 3, 4, 5, 6, 7, 9, 1, 10, 5, 3, 0, 0, 0, 0],
        [0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [4, 0, 0, 0, 8, 8, 8, 8, 4, 0, 16, 0, 0, 4, 4, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 16, 8, 8, 0],
        [64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ],
    dtype=np.float32,
) / np.float32(64)


def observed(rows: NDArray[np.float32] = ROWS) -> AttentionRows:
    scores = observations.TokenScores(spans=SPANS, logprobs_nats=(-0.5,) * len(SPANS))
    return AttentionRows(rows=rows, keys=KEYS, output=scores)


def laid_out(segment_by: TextKind, target_by: TargetKind) -> Layout:
    return lay_out(
        ids=["s1", "s2", "s3"],
        texts=[SOURCE, "", LETTER],
        output=OUTPUT,
        source_tokens=from_attention(observed()).tokens,
        output_tokens=SPANS,
        segment_by=segment_by,
        target_by=target_by,
    )


def parts(**masses: float) -> list[float]:
    return [masses.get(part, 0.0) for part in PARTS]


# --- by hand ---


def test_columns_are_divided_into_source_tokens_and_parts() -> None:
    scores = from_attention(observed())
    assert scores.tokens == (
        *((0, 0, 3), (0, 3, 13), (0, 14, 15), (0, 14, 15), (0, 15, 22), (0, 22, 23)),
        (2, 0, 5),
    )
    assert (scores.values * 64).tolist() == [
        [3, 4, 5, 6, 7, 9, 10],
        [64, 0, 0, 0, 0, 0, 0],
        [0, 8, 8, 8, 8, 4, 16],
        [0, 0, 0, 0, 0, 0, 32],
        [0, 0, 0, 0, 0, 0, 0],
    ]
    assert (scores.outside * 64).tolist() == [
        parts(sink=8, special=1 + 3, template=2 + 1, instruction=5),
        parts(),
        parts(sink=4, output_so_far=8),
        parts(output_so_far=32),
        parts(sink=64),
    ]


def test_sentences_sum_their_tokens_and_average_the_target_s() -> None:
    layout = laid_out("sentence", "sentence")
    assert [(s.source, s.start, s.end) for s in layout.segments] == [
        *(("s1", 0, 11), ("s1", 11, 23)),
        ("s3", 0, 5),
    ]
    assert layout.tokens_of == ((0, 1), (2, 3))
    values, outside = aggregate(from_attention(observed()), layout)
    assert (values * 64).tolist() == [
        # The token of two lines counts for the first; the blank for neither.
        [(3 + 4 + 64) / 2, (5 + 6 + 7) / 2, 10 / 2],
        [8 / 2, (8 + 8 + 8) / 2, (16 + 32) / 2],
    ]
    assert (outside * 64).tolist() == [
        parts(sink=4, special=2, template=1.5, instruction=2.5, blank=4.5),
        parts(sink=2, output_so_far=20, blank=2),
    ]
    assert (values.sum(axis=1) + outside.sum(axis=1)).tolist() == [1, 1]


def test_a_word_inside_the_token_of_its_neighbour_has_that_token_s_row() -> None:
    layout = laid_out("word", "word")
    assert [OUTPUT[t.start : t.end] for t in layout.targets] == ["He ", "coughs. ", "HR ", "is ", "88."]
    assert layout.tokens_of == ((0,), (1,), (2,), (2,), (3,))
    words = [(SOURCE if s.source == "s1" else LETTER)[s.start : s.end] for s in layout.segments]
    assert words == ["Dry ", "cough.\n", "No 👍 ", "fever. ", "HR ", "88"]
    values, outside = aggregate(from_attention(observed()), layout)
    assert (values * 64).tolist() == [
        [3, 4, 5 + 6, 7, 10, 0],
        [64, 0, 0, 0, 0, 0],
        [0, 8, 16, 8, 16, 0],
        [0, 8, 16, 8, 16, 0],
        [0, 0, 0, 0, 32, 0],
    ]
    assert (values.sum(axis=1) + outside.sum(axis=1)).tolist() == [1] * 5


def test_tokens_keep_their_own_numbers() -> None:
    layout = laid_out("token", "token")
    assert [(s.source, s.start, s.end) for s in layout.segments] == [
        *(("s1", 0, 3), ("s1", 3, 13), ("s1", 14, 15), ("s1", 14, 15), ("s1", 15, 22)),
        ("s3", 0, 5),
    ]
    values, outside = aggregate(from_attention(observed()), layout)
    assert (values * 64).tolist() == [
        [3, 4, 5, 6, 7, 10],
        [64, 0, 0, 0, 0, 0],
        [0, 8, 8, 8, 8, 16],
        [0, 0, 0, 0, 0, 32],
    ]
    assert (outside * 64).tolist() == [
        parts(sink=8, special=4, template=3, instruction=5, blank=9),
        parts(),
        parts(sink=4, output_so_far=8, blank=4),
        parts(output_so_far=32),
    ]


def test_whole_sources_and_the_whole_output() -> None:
    values, outside = aggregate(from_attention(observed()), laid_out("source", "whole"))
    # Four tokens: the end token belongs to no target.
    assert (values * 64 * 4).tolist() == [[25 + 64 + 32 + 0, 10 + 0 + 16 + 32]]
    assert outside.sum() * 64 * 4 == pytest.approx(4 * 64 - 121 - 58)


def test_nothing_that_was_observed_is_changed() -> None:
    scores = from_attention(observed())
    before = scores.outside.copy()
    aggregate(scores, laid_out("word", "word"))
    np.testing.assert_array_equal(scores.outside, before)


def test_the_parts_are_those_of_the_schema() -> None:
    (outside,) = to_elsewhere(np.array([[1.0, 2.0, 4.0, 8.0, 16.0, 32.0]]))
    assert list(outside.parts) == list(PARTS)
    assert list(outside.parts.values()) == [1, 2, 4, 8, 16, 32]
    assert outside.total == 63


def test_detail_is_the_token_level_to_the_bit() -> None:
    scores = from_attention(observed())
    detail = to_detail(scores, ("s1", "s2", "s3"))
    np.testing.assert_array_equal(detail.matrix(), scores.values)
    assert detail.tokens[0] == ("s1", 0, 3)
    assert detail.tokens[-1] == ("s3", 0, 5)
    assert [list(row.parts.values()) for row in detail.elsewhere] == scores.outside.tolist()


# --- a provider whose attention is given ---


@dataclass(kw_only=True)
class Observed:
    """A provider that attends as it is told; `calls` counts how often it was asked."""

    rows: AttentionRows
    text: str = OUTPUT
    name: str = "observed"
    model: str = "observed"
    calls: int = 0

    async def capabilities(self) -> Capabilities:
        return Capabilities(access="weights", attends=True)

    async def generate(
        self, prompt: Prompt, *, max_tokens: int, seed: int, progress: Progress | None = None
    ) -> Generation:
        return Generation(text=self.text)

    async def attend(
        self,
        prompt: Prompt,
        output: str | Generation,
        query: AttentionQuery,
        *,
        progress: Progress | None = None,
        watcher: Watcher | None = None,
    ) -> AttentionRows:
        self.calls += 1
        return self.rows


def explained(
    provider: Observed, texts: list[str], segment_by: Any, target_by: Any, *, detail: bool = False
) -> Explanation:
    request = Request(
        prompt=build_prompt("Summarise.", sources=texts),
        segment_by=segment_by,
        target_by=target_by,
        detail=detail,
    )
    return anyio.run(lambda: explain(provider, request))


PIECES = [*"ab .\n\t", "Dr. ", "No. ", "👍", "e\u0301", "\x00", "肺炎。", "word "]
texts = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


@st.composite
def observations_of_anything(draw: st.DrawFn) -> tuple[Observed, list[str]]:
    """Random weights that sum to 1 over random tokens of random texts."""
    sources = draw(st.lists(texts, min_size=1, max_size=3).filter(lambda own: any(map(str.strip, own))))
    output = draw(texts.filter(str.strip))

    def span(text: str) -> Span:
        ends = [draw(st.integers(0, len(text))) for _ in "ab"]
        return min(ends), max(ends)

    keys = [Token(part="sink")]
    for source, text in enumerate(sources):
        own = sorted([(0, len(text)), *(span(text) for _ in range(draw(st.integers(0, 3))))])
        keys += [Token(part="source", source=source, start=a, end=b) for a, b in own]
        keys.append(Token(part=draw(st.sampled_from(["template", "instruction", "special"]))))
    spans = sorted([(0, len(output)), *(span(output) for _ in range(draw(st.integers(0, 4))))])
    tokens = [None if a == b else (a, b) for a, b in spans]
    keys += [Token(part="output")] * (len(tokens) - 1)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weights = rng.gamma(0.3, size=(len(tokens), len(keys))) + 1e-9
    rows = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    scores = observations.TokenScores(spans=tuple(tokens), logprobs_nats=(-1.0,) * len(tokens))
    return Observed(rows=AttentionRows(rows=rows, keys=tuple(keys), output=scores), text=output), sources


KINDS = st.tuples(st.sampled_from(get_args(TextKind)), st.sampled_from(get_args(TargetKind)))


def totals(explanation: Explanation) -> NDArray[np.float64]:
    outside = explanation.results[0].scores.elsewhere
    assert outside is not None
    sums: NDArray[np.float64] = explanation.matrix().sum(axis=1, dtype=np.float64)
    sums += [part.total for part in outside]
    return sums


@settings(max_examples=50)
@given(observations_of_anything(), KINDS)
def test_every_row_and_its_elsewhere_sum_to_one(
    observation: tuple[Observed, list[str]], kinds: tuple[str, str]
) -> None:
    np.testing.assert_allclose(totals(explained(*observation, *kinds)), 1, atol=1e-5)


@settings(max_examples=50)
@given(observations_of_anything(), KINDS, KINDS)
def test_detail_gives_what_aggregating_directly_would_have_given(
    observation: tuple[Observed, list[str]], kinds: Any, others: Any
) -> None:
    provider, sources = observation
    direct = explained(provider, sources, *others)
    kept = explained(provider, sources, *kinds, detail=True)
    asked = provider.calls
    changed = kept.at(others[0], target_by=others[1])
    assert provider.calls == asked
    assert changed.segments == direct.segments
    assert changed.output == direct.output
    np.testing.assert_allclose(changed.matrix(), direct.matrix(), atol=1e-6)
    for one, other in zip(
        changed.results[0].scores.elsewhere or (), direct.results[0].scores.elsewhere or (), strict=True
    ):
        assert one.parts == pytest.approx(other.parts, abs=1e-6)
    back = changed.at(kinds[0], target_by=kinds[1])
    np.testing.assert_array_equal(back.matrix(), kept.at(kinds[0], target_by=kinds[1]).matrix())


def test_a_source_of_blanks_beside_a_full_one_can_be_explained_by_token() -> None:
    request = Request(
        prompt=build_prompt("Go.", sources=[" \n", "alpha"]), output="The dose is low.", segment_by="token"
    )
    explanation = anyio.run(lambda: explain(FakeProvider(), request))
    assert [segment.source for segment in explanation.segments] == ["s2"]


def known(*, detail: bool = True) -> Explanation:
    return explained(Observed(rows=observed()), [SOURCE, "", LETTER], "sentence", "word", detail=detail)


def test_the_targets_stay_unless_they_are_asked_for() -> None:
    assert known().at("source").output == known().output
    assert len(known().at("source", target_by="whole").output.targets) == 1


def test_everything_else_stays_as_it_was() -> None:
    before = known()
    after = before.at("word")
    fields = {name: value for name, value in before if name not in ("segments", "results")}
    assert {name: value for name, value in after if name in fields} == fields
    (old,), (new,) = before.results, after.results
    assert new.model_copy(update={"scores": old.scores}) == old


def test_without_detail_there_is_nothing_to_aggregate() -> None:
    with pytest.raises(UnsupportedError, match="detail=True"):
        known(detail=False).at("word")


def test_scores_that_do_not_add_up_are_refused() -> None:
    before = known()
    scores = Scores(
        values=tuple(map(tuple, before.matrix().tolist())), unit="nats", signed=True, elsewhere=None
    )
    result = before.results[0].model_copy(update={"scores": scores})
    for results in ((result,), (before.results[0], result)):
        with pytest.raises(UnsupportedError, match="nats, which does not add up over tokens"):
            before.model_copy(update={"results": results}).at("word")


def test_a_check_of_other_segments_is_not_kept_as_if_it_were_of_these() -> None:
    before = known()
    rows = tuple((0.5,) for _ in before.output.targets)
    check = Measure(k=(1,), values=rows, unit="nats")
    result = before.results[0].model_copy(update={"fidelity": check})
    checked = Explanation.model_validate(dict(before) | {"results": (result,)})
    assert checked.at("sentence").results[0].fidelity == check
    for changed in (checked.at("word"), checked.at("sentence", target_by="whole")):
        fidelity = changed.results[0].fidelity
        assert fidelity.values is None
        assert fidelity.reason is not None
        assert "another granularity" in fidelity.reason
        assert changed.results[0].groundedness == before.results[0].groundedness


def test_the_fake_provider_s_cues_are_found_at_every_granularity() -> None:
    request = Request(
        prompt=build_prompt("Go.", sources=["Alone. With alpha.", "Then beta."]),
        output="The dose is low.",
        detail=True,
    )
    explanation = anyio.run(lambda: explain(FakeProvider(), request))
    assert explanation.matrix()[0] == pytest.approx([0, 0.75 * 3 / 4, 0.75 / 4])
    assert explanation.at("source").matrix()[0] == pytest.approx([0.5625, 0.1875])
    words = explanation.at("word")
    assert {p.text: p.score for p in words.top(0)} == pytest.approx({"alpha.": 0.5625, "beta.": 0.1875})


# --- size ---


def test_a_long_record_and_a_long_answer_take_a_second_at_most() -> None:
    sentence = "It was so. "
    segments, tokens, answers = 2000, 4000, 512
    places = tuple((0, 11 * i + at, 11 * i + at + 6) for i in range(segments) for at in (0, 5))
    assert len(places) == tokens
    output = "It is. " * (answers // 2)
    spans = [(7 * i + at, 7 * i + at + 3) for i in range(answers // 2) for at in (0, 3)]
    rng = np.random.default_rng(0)
    scores = TokenScores(
        tokens=places, values=rng.random((answers, tokens)), outside=np.zeros((answers, len(PARTS)))
    )
    began = time.process_time()
    layout = lay_out(
        ids=["s1"],
        texts=[sentence * segments],
        output=output,
        source_tokens=places,
        output_tokens=spans,
        segment_by="sentence",
        target_by="sentence",
    )
    values, _ = aggregate(scores, layout)
    assert time.process_time() - began < 2
    assert values.shape == (answers // 2, segments)
    expected = scores.values.reshape(answers // 2, 2, segments, 2).sum(axis=3).mean(axis=1)
    np.testing.assert_allclose(values, expected)
