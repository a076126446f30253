"""Which segment, and which target, each token belongs to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.explain.layout import NOWHERE, Layout, SourceToken, lay_out
from whence.explain.schema import TargetKind, TextKind
from whence.explain.segments import Span, split


def divide(
    texts: Sequence[str],
    source_tokens: Sequence[SourceToken],
    *,
    segment_by: TextKind = "word",
    output: str = "x",
    output_tokens: Sequence[Span | None] = ((0, 1),),
    target_by: TargetKind = "word",
) -> Layout:
    return lay_out(
        ids=[f"s{i}" for i in range(len(texts))],
        texts=texts,
        output=output,
        source_tokens=source_tokens,
        output_tokens=output_tokens,
        segment_by=segment_by,
        target_by=target_by,
    )


def segments(layout: Layout) -> list[tuple[str, int | None, int | None]]:
    return [(segment.source, segment.start, segment.end) for segment in layout.segments]


def targets_of(output: str, tokens: Sequence[Span | None], target_by: TargetKind = "word") -> Layout:
    return divide(["x"], [(0, 0, 1)], output=output, output_tokens=tokens, target_by=target_by)


def spans_of_targets(layout: Layout) -> list[Span]:
    return [(target.start, target.end) for target in layout.targets]


# --- segments ---


def test_a_token_shared_by_two_words_belongs_to_the_first() -> None:
    layout = divide(["ab cd ef"], [(0, 0, 5), (0, 5, 8)])
    assert segments(layout) == [("s0", 0, 3), ("s0", 3, 6), ("s0", 6, 8)]
    assert layout.segment_of.tolist() == [0, 2]


def test_the_blank_before_a_token_does_not_bind_it_to_the_word_before() -> None:
    assert divide(["ab cd"], [(0, 0, 2), (0, 2, 5)]).segment_of.tolist() == [0, 1]


def test_four_byte_tokens_of_an_emoji_belong_where_the_emoji_is() -> None:
    text = "ok.\n👍\nNo."
    tokens = [(0, 0, 3), *[(0, 4, 5)] * 4, (0, 5, 9)]
    by_sentence = divide([text], tokens, segment_by="sentence")
    assert segments(by_sentence) == [("s0", 0, 4), ("s0", 4, 6), ("s0", 6, 9)]
    assert by_sentence.segment_of.tolist() == [0, 1, 1, 1, 1, 2]


def test_each_token_of_a_shared_character_is_a_segment_of_its_own() -> None:
    layout = divide(["a 👍"], [(0, 0, 1), *[(0, 2, 3)] * 4], segment_by="token")
    assert segments(layout) == [("s0", 0, 1), *[("s0", 2, 3)] * 4]
    assert layout.segment_of.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("segment_by", get_args(TextKind))
def test_tokens_without_a_visible_character_belong_nowhere(segment_by: TextKind) -> None:
    tokens = [(0, 0, 2), (0, 1, 2), (0, 2, 3), (0, 3, 3), (0, 3, 6)]
    layout = divide(["\n b \t\n"], tokens, segment_by=segment_by)
    assert layout.segment_of.tolist() == [NOWHERE, NOWHERE, 0, NOWHERE, NOWHERE]


def test_segments_are_counted_over_all_sources() -> None:
    texts = ["One. Two.", "Three.", "Four. Five."]
    tokens = [(0, 0, 4), (0, 4, 9), (1, 0, 6), (2, 0, 5), (2, 5, 11)]
    layout = divide(texts, tokens, segment_by="sentence")
    assert segments(layout) == [("s0", 0, 5), ("s0", 5, 9), ("s1", 0, 6), ("s2", 0, 6), ("s2", 6, 11)]
    assert layout.segment_of.tolist() == [0, 1, 2, 3, 4]
    assert {segment.kind for segment in layout.segments} == {"sentence"}
    assert divide(texts, tokens, segment_by="source").segment_of.tolist() == [0, 0, 1, 2, 2]


@pytest.mark.parametrize("segment_by", get_args(TextKind))
def test_an_empty_source_beside_a_full_one_has_no_segment(segment_by: TextKind) -> None:
    layout = divide(["", "ab", ""], [(1, 0, 2)], segment_by=segment_by)
    assert segments(layout) == [("s1", 0, 2)]
    assert layout.segment_of.tolist() == [0]


def test_a_source_of_blanks_is_a_segment_that_receives_nothing() -> None:
    layout = divide([" \n", "ab"], [(0, 0, 2), (1, 0, 2)])
    assert segments(layout) == [("s0", 0, 2), ("s1", 0, 2)]
    assert layout.segment_of.tolist() == [NOWHERE, 1]
    assert segments(divide([" \n", "ab"], [(0, 0, 2), (1, 0, 2)], segment_by="token")) == [("s1", 0, 2)]


def test_a_source_without_tokens_keeps_its_segments() -> None:
    layout = divide(["ab", "cd"], [(1, 0, 2)])
    assert segments(layout) == [("s0", 0, 2), ("s1", 0, 2)]
    assert layout.segment_of.tolist() == [1]


def test_tokens_of_several_sources_may_come_in_any_order() -> None:
    layout = divide(["ab cd", "ef"], [(1, 0, 2), (0, 3, 5), (0, 0, 2)])
    assert layout.segment_of.tolist() == [2, 1, 0]


# --- targets ---


def test_an_output_token_belongs_to_one_target() -> None:
    layout = targets_of("No fever.", [(0, 2), (2, 5), (5, 8), (8, 9)])
    assert spans_of_targets(layout) == [(0, 3), (3, 9)]
    assert layout.tokens_of == ((0,), (1, 2, 3))


def test_a_target_inside_a_token_of_its_neighbour_takes_that_token_too() -> None:
    layout = targets_of("a b c d", [(0, 1), (1, 5), (5, 7)])
    assert spans_of_targets(layout) == [(0, 2), (2, 4), (4, 6), (6, 7)]
    assert layout.tokens_of == ((0,), (1,), (1,), (2,))


def test_all_targets_may_stand_in_one_token() -> None:
    assert targets_of("a b c", [(0, 5), None]).tokens_of == ((0,), (0,), (0,))


def test_the_end_token_and_blank_tokens_belong_to_no_target() -> None:
    assert targets_of("a  b\n", [(0, 1), (1, 2), (2, 4), (4, 5), None]).tokens_of == ((0,), (2,))


def test_a_target_inside_the_last_byte_of_an_emoji_takes_the_nearest_token() -> None:
    # The fourth byte's token ends after the word that follows the emoji.
    layout = targets_of("👍\nNo.\nYes.", [(0, 1), (0, 1), (0, 1), (0, 6), (6, 10)], "sentence")
    assert spans_of_targets(layout) == [(0, 2), (2, 6), (6, 10)]
    assert layout.tokens_of == ((0, 1, 2, 3), (3,), (4,))


def test_each_visible_token_is_a_target_of_its_own() -> None:
    layout = targets_of("a 👍\n", [(0, 1), (1, 3), (2, 3), (3, 4), None], "token")
    assert spans_of_targets(layout) == [(0, 1), (1, 3), (2, 3)]
    assert layout.tokens_of == ((0,), (1,), (2,))


def test_the_whole_output_is_one_target() -> None:
    layout = targets_of("a b. c", [(0, 1), (1, 4), (4, 6), None], "whole")
    assert spans_of_targets(layout) == [(0, 6)]
    assert layout.tokens_of == ((0, 1, 2),)


def test_a_target_before_every_token_takes_the_first() -> None:
    assert targets_of("a b", [None, (2, 3)]).tokens_of == ((0,), (1,))


# --- the same by looking at every character ---

PIECES = [*"ab .\n\t", "Dr. ", "No. ", "👍🏽", "e\u0301", "\x00", "\u2028", "肺炎。", "word "]
texts = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def spans(text: str) -> st.SearchStrategy[Span]:
    place = st.integers(0, len(text))
    return st.tuples(place, place).map(lambda pair: (min(pair), max(pair)))


def first_visible(text: str, span: Span | None) -> int | None:
    return next((at for at in range(*(span or (0, 0))) if not text[at].isspace()), None)


@given(
    sources=st.lists(texts, min_size=1, max_size=4),
    output=texts.filter(str.strip),
    segment_by=st.sampled_from(["word", "sentence", "paragraph", "source"]),
    target_by=st.sampled_from(["word", "sentence", "whole"]),
    data=st.data(),
)
def test_tokens_belong_where_their_first_visible_character_is(
    sources: list[str], output: str, segment_by: Any, target_by: Any, data: st.DataObject
) -> None:
    token = st.sampled_from(range(len(sources))).flatmap(
        lambda source: spans(sources[source]).map(lambda span: (source, *span))
    )
    source_tokens = data.draw(st.lists(token))
    output_tokens = sorted(data.draw(st.lists(spans(output), min_size=1)))
    layout = divide(
        sources,
        source_tokens,
        segment_by=segment_by,
        output=output,
        output_tokens=output_tokens,
        target_by=target_by,
    )
    expected = [(f"s{i}", a, b) for i, text in enumerate(sources) for a, b in split(text, segment_by)]
    assert segments(layout) == expected
    for (source, *span), segment in zip(source_tokens, layout.segment_of.tolist(), strict=True):
        at = first_visible(sources[source], (span[0], span[1]))
        if at is None:
            assert segment == NOWHERE
        else:
            name, start, end = expected[segment]
            assert name == f"s{source}"
            assert start <= at < end
    assert spans_of_targets(layout) == split(output, target_by)
    for own, (start, end) in zip(layout.tokens_of, spans_of_targets(layout), strict=True):
        firsts = [first_visible(output, token) for token in output_tokens]
        holding = [i for i, at in enumerate(firsts) if at is not None and start <= at < end]
        if holding:
            assert list(own) == holding
        else:
            before = [i for i, token in enumerate(output_tokens) if token[0] <= start]
            assert list(own) == [before[-1] if before else 0]


# --- size: anything quadratic would take a minute here ---

COUNT = 20_000


@pytest.mark.parametrize("segment_by", ["token", "sentence"])
@pytest.mark.parametrize("sources", [1, COUNT])
def test_many_tokens_are_given_to_many_segments_in_linear_time(sources: int, segment_by: Any) -> None:
    each = COUNT // sources
    tokens = [(s, 8 * i + at, 8 * i + at + 4) for s in range(sources) for i in range(each) for at in (0, 4)]
    began = time.process_time()
    layout = divide(["It was.\n" * each] * sources, tokens, segment_by=segment_by)
    assert time.process_time() - began < 10
    assert len(layout.segments) == (2 * COUNT if segment_by == "token" else COUNT)
    assert np.bincount(layout.segment_of).tolist() == [2 * COUNT // len(layout.segments)] * len(
        layout.segments
    )


@pytest.mark.parametrize("one_token", [True, False])
def test_many_targets_find_their_tokens_in_linear_time(one_token: bool) -> None:
    output = "it " * COUNT
    tokens = [(0, len(output))] if one_token else [(3 * i, 3 * i + 2) for i in range(COUNT)]
    began = time.process_time()
    layout = targets_of(output, tokens)
    assert time.process_time() - began < 10
    assert layout.tokens_of == tuple((0 if one_token else i,) for i in range(COUNT))
