"""Splitting text by exact offsets, and giving tokens to segments."""

from __future__ import annotations

from typing import Literal, get_args

import pytest
import regex  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from whence.demo.records import generate
from whence.explain.segments import Span, assign_tokens, split

Kind = Literal["word", "sentence", "paragraph", "source", "whole"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Pieces that break splitters, joined in any order: line ends, abbreviations, brackets, marks, emoji.
PIECES = [
    *"aA1 .!?-_'\"()<>|\t*\n\r\0\x1c\x85\xa0\u2028\u2029\u202e\u200d\ufe0f\u0301\u3000。؟۔中אا“”«‘’…²",
    *("\r\n", "👍🏽", "👨\u200d👩\u200d👧", "🇩🇪", "❤\ufe0f", "</script>", "don't", "word " * 12),
    *("Dr. ", "b.i.d. ", "e.g. ", "The ", "1. ", "- ", "C. ", "ok. "),
]
hostile = st.lists(st.sampled_from(PIECES)).map("".join)
texts = st.one_of(st.text(), hostile)


def parts(text: str, kind: Kind) -> list[str]:
    return [text[start:end] for start, end in split(text, kind)]


# --- every kind ---


@pytest.mark.parametrize("kind", KINDS)
@given(text=texts)
def test_segments_touch_are_not_empty_and_give_the_text_back(kind: Kind, text: str) -> None:
    spans = split(text, kind)
    assert [start for start, _ in spans] == [0, *(end for _, end in spans)][: len(spans)]
    assert all(start < end for start, end in spans)
    assert "".join(text[start:end] for start, end in spans) == text


@pytest.mark.parametrize("kind", ["word", "sentence", "paragraph"])
@given(text=hostile)
def test_blanks_belong_to_the_segment_before_them(kind: Kind, text: str) -> None:
    assert not any(part[0].isspace() for part in parts(text, kind)[1:])


@pytest.mark.parametrize("kind", ["word", "sentence", "paragraph"])
@given(text=hostile.filter(lambda text: bool(text.strip())))
def test_every_segment_of_a_visible_text_is_visible(kind: Kind, text: str) -> None:
    assert all(part.strip() for part in parts(text, kind))


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_text_has_no_segment_and_a_blank_one_has_one(kind: Kind) -> None:
    assert split("", kind) == []
    assert split(" \n\n\t\r\n ", kind) == [(0, 7)]
    assert split("...", kind) == [(0, 3)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_lone_surrogate_is_a_plain_value_error_that_does_not_repeat_the_text(kind: Kind) -> None:
    with pytest.raises(ValueError, match="lone surrogate at character 7") as caught:
        split("secret \ud800. More", kind)
    assert type(caught.value) is ValueError
    assert caught.value.__suppress_context__
    assert "secret" not in str(caught.value)


def test_tokens_are_not_ours_to_split() -> None:
    with pytest.raises(ValueError, match=r"'token'.*sentence"):
        split("text", "token")  # type: ignore[arg-type]


# --- words ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("take b.i.d. for pain", ["take ", "b.i.d. ", "for ", "pain"]),
        ("pH 7.35, q4h", ["pH ", "7.35, ", "q4h"]),
        ("don't give 5mg.", ["don't ", "give ", "5mg."]),
        ("O’Brien's l'aspirine", ["O’Brien's ", "l'aspirine"]),
        ("kg/m² 1,200", ["kg/", "m² ", "1,200"]),
        ("see (left) [note] f(x)", ["see ", "(left) ", "[note] ", "f", "(x)"]),
        ("said 'aspirin' and \"('stop')\" «non»", ["said ", "'aspirin' ", "and ", "\"('stop')\" ", "«non»"]),
        ("K <5 at -20, ~3 $2", ["K ", "<5 ", "at ", "-20, ", "~3 ", "$2"]),
        ("  one\r\n- two", ["  one\r\n- ", "two"]),
        ("患者 です", ["患", "者 ", "で", "す"]),
        ("カタカナ 한국어", ["カタカナ ", "한국어"]),
        ('שלום ד"ר כהן', ["שלום ", 'ד"ר ', "כהן"]),
        ("ok 👍🏽 yes👨\u200d👩\u200d👧no 🇩🇪🇫🇷 x", ["ok 👍🏽 ", "yes👨\u200d👩\u200d👧", "no 🇩🇪🇫🇷 ", "x"]),
        ("e\u0301te\u0301 \u0301 a", ["e\u0301te\u0301 \u0301 ", "a"]),
        ("a\u200db \u202ec</script>\x00d", ["a\u200db \u202e", "c</", "script>\x00", "d"]),
        ("snake_case __init__", ["snake_case ", "__init__"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert parts(text, "word") == expected


@given(hostile)
def test_every_word_of_uax_29_with_a_letter_or_digit_is_one_segment(text: str) -> None:
    pieces = regex.split(r"(?wV1)\b", text)
    words = [piece for piece in pieces if regex.search(r"(?V1)[[\p{L}\p{N}]--²]", piece)]
    assert len(split(text, "word")) == (len(words) or bool(text))


@given(hostile)
def test_no_word_begins_inside_a_character_that_the_reader_sees_as_one(text: str) -> None:
    clusters = {match.start() for match in regex.finditer(r"\X", text)}
    assert {start for start, _ in split(text, "word")} <= clusters


# --- sentences ---


WRAPPED = "The patient was admitted with a severe community-acquired"


@pytest.mark.parametrize(
    "marked",  # with ¦ where a sentence begins
    [
        "Give aspirin b.i.d. for comfort. ¦Next.",
        "Give aspirin b.i.d. ¦The patient agreed. ¦TAKE IT P.R.N. ¦THEN STOP.",
        "Morphine p.r.n. and t.i.d. ¦Lisinopril was stopped.",
        "Given i.v. Vancomycin i.v. in the ward at 3 p.m. ¦The fever fell.",
        "Seen by Dr. Chen. ¦Mrs. Smith left. ¦Mr. Hughes is a 75-year-old man.",
        "Arterial pH 7.35 now. ¦Give 2.5 mg daily. ¦Lactate was 2.1. ¦It fell.",
        "Mass of approx. 3 cm vs. 2 cm. ¦Take fluids, e.g. Water, i.e. (Tap) water.",
        "Ward No. 5 at St. Mary's. ¦J. R. Smith operated. ¦Seen by J. Smith.",
        "Rubella immune? ¦No. ¦Take 5 mg. daily. ¦Given 5 mg. ¦Aspirin stopped. ¦Done.",
        "Has hepatitis C. ¦Stopped. ¦Temp. 38 C. ¦Stable. ¦Urine n/a. ¦Hx. of MI.",
        "Lungs ok. ¦Heart ok. ¦Acutely ill. ¦Aspirin given.",
        "Na <135. ¦K was low. ¦Glucose >10. ¦<2 before. ¦Well.",
        'Height 5\'10". ¦Weight 80 kg. ¦Waist 30" today.',
        'He said "Stop." ¦Then he left. ¦**Stable.** ¦Home!',
        "Plan: 1. Stop aspirin. ¦2. Start heparin. ¦GCS: 15. ¦Alert.",
        "Really?! ¦Yes. ¦Well...",
        "Stop." + " " * 60 + "¦Go.",
        "Vitamin A\xa0.",  # sentencex panics on it
        "你好。¦再见！¦好吗？¦好",
        "مرحبا كيف حالك؟ ¦نعم. ¦این است۔ ¦بله",
        "שלום. ¦מה שלומך? ¦טוב.",
        "😀 Hi. ¦👨\u200d👩\u200d👧 ok‼\ufe0f ¦你\x00好。¦\u202eRTL. ¦</script>. ¦Ok",
        # lines
        "HR 88\n¦Dx: pneumonia\r\n¦Rx: aspirin\r¦Plan\u2028¦Home\u2029¦Ok",
        "- aspirin 100 mg\n¦* warfarin 2.5 mg\n¦• codeine. ¦Stop it.\n  ¦a. one\n¦(b) two",
        "1. Aspirin 100 mg\n¦2. Take b.i.d. ¦The end\n¦10) Home",
        "Drug\tDose. Max.\tDr.\n¦| Na | 135. K. |\n¦a | b. C\n¦Text. ¦More",
        "HISTORY OF PRESENT ILLNESS:\n¦the patient fell.\n\n \n¦PLAN: Rest. ¦Home",
        # hard wraps
        WRAPPED + "\npneumonia. ¦It was treated.",
        WRAPPED + "  \r\n   pneumonia and treated with antibiotics on the ward\r\n  for a week. ¦Well.",
        "- " + WRAPPED + "\n  pneumonia",
        WRAPPED + " illness.\n¦pneumonia",
        WRAPPED + " (illness:)\n¦pneumonia",
        WRAPPED + "\n¦Pneumonia",
        WRAPPED + "\n¦- pneumonia",
        WRAPPED + "\n¦a) pneumonia",
        WRAPPED + "\n\n¦pneumonia",
        WRAPPED + "\n¦pneumonia\tyes",
        WRAPPED + "\tyes\n¦pneumonia",
        "Short line\n¦pneumonia",
    ],
)
def test_sentences(marked: str) -> None:
    assert parts(marked.replace("¦", ""), "sentence") == marked.split("¦")


@pytest.mark.parametrize("seed", range(300))
def test_sentences_of_a_synthetic_record_and_its_summary_are_the_true_ones(seed: int) -> None:
    record = generate(seed)
    assert stripped(record.text) == list(record.spans)
    assert stripped(record.summary) == [(support.start, support.end) for support in record.truth]


def stripped(text: str) -> list[Span]:
    return [(start, start + len(text[start:end].strip())) for start, end in split(text, "sentence")]


# --- paragraphs ---


def test_blank_lines_separate_paragraphs() -> None:
    text = "\n \none\nstill one\n\t\n\r\n  two\r\n\x0c\r\nthree\n\n"
    assert parts(text, "paragraph") == ["\n \none\nstill one\n\t\n\r\n  ", "two\r\n\x0c\r\n", "three\n\n"]


def test_each_line_is_a_paragraph_where_no_blank_line_separates_any() -> None:
    assert parts("\none\n  two\r\nthree\u2028four\n\n", "paragraph") == [
        "\none\n  ",
        "two\r\n",
        "three\u2028",
        "four\n\n",
    ]


# --- size: anything quadratic would take minutes here ---

COUNT = 100_000


@pytest.mark.parametrize(
    ("piece", "words", "sentences", "paragraphs"),
    [
        ("word ", COUNT, 1, 1),
        ("He left. ", 2 * COUNT, COUNT, 1),
        ("HR 88\r\n", 2 * COUNT, COUNT, COUNT),
        ("a\n\n", COUNT, COUNT, COUNT),
        ("Take b.i.d. ", 2 * COUNT, COUNT, 1),
        ("Dr. ", COUNT, 1, 1),
        ("e.g. ", COUNT, 1, 1),
        ("你。", COUNT, COUNT, 1),
        ("aaaaaaaaaa", 1, 1, 1),
        ("\n", 1, 1, 1),
        (".", 1, 1, 1),
        (" ", 1, 1, 1),
        ("(", 1, 1, 1),
        ("“", 1, 1, 1),
        ("🇩🇪", 1, 1, 1),
        ("\u0301", 1, 1, 1),
        ("👩\u200d", 1, 1, 1),
    ],
)
def test_long_and_repetitive_texts_are_split_in_linear_time(
    piece: str, words: int, sentences: int, paragraphs: int
) -> None:
    text = piece * COUNT
    assert [len(split(text, kind)) for kind in KINDS[:3]] == [words, sentences, paragraphs]


@pytest.mark.parametrize("piece", ["!-", "!\u200d", "。“", "”。", "a.'", "x\n“.", "(a. ", "1. a "])
def test_texts_on_which_sentencex_is_quadratic_are_split_in_linear_time(piece: str) -> None:
    assert parts(piece * COUNT, "sentence")


@pytest.mark.parametrize("words", [1, 40, 190, 1000])
def test_sentences_of_any_length_are_found_in_a_line_of_any_length(words: int) -> None:
    sentence = "It " + "was " * words + "so. "
    assert parts(sentence * 50, "sentence") == [sentence] * 50


# --- tokens ---


def test_a_token_belongs_to_the_segment_of_its_first_visible_character() -> None:
    text = "One two. \n Three"
    segments = split(text, "sentence")
    assert segments == [(0, 11), (11, 16)]
    tokens = [(0, 3), (3, 7), (7, 9), (8, 14), (9, 12), (10, 11), (8, 11), (11, 16), None, (0, 0), (16, 16)]
    assert assign_tokens(text, tokens, segments) == [0, 0, 0, 1, 1, None, None, 1, None, None, None]


def test_tokens_may_share_a_character() -> None:
    text = "a 👍🏽"
    assert assign_tokens(text, [(2, 3), (2, 3), (3, 4), (2, 4)], [(0, 2), (2, 4)]) == [1, 1, 1, 1]


def test_a_token_outside_every_segment_belongs_to_none() -> None:
    text = "abc def ghi"
    tokens = [(0, 1), (2, 4), (3, 5), (4, 7), (6, 9), (8, 11)]
    assert assign_tokens(text, tokens, [(1, 3), (4, 6)]) == [None, 0, 1, 1, None, None]
    assert assign_tokens(text, tokens, []) == [None] * 6


@pytest.mark.parametrize("token", [(0, 4), (-1, 2), (3, 2)])
def test_a_token_outside_the_text_is_refused(token: Span) -> None:
    with pytest.raises(ValueError, match="not within a text of 3 characters"):
        assign_tokens("abc", [token], [(0, 3)])


@pytest.mark.parametrize("segments", [[(2, 3), (0, 1)], [(0, 2), (1, 3)]])
def test_segments_out_of_order_are_refused(segments: list[Span]) -> None:
    with pytest.raises(ValueError, match="sorted"):
        assign_tokens("abc", [(0, 1)], segments)


@given(hostile, st.data())
def test_tokens_are_assigned_as_by_looking_at_every_character(text: str, data: st.DataObject) -> None:
    segments = split(text, "word")
    place = st.integers(0, len(text))
    tokens = data.draw(st.lists(st.tuples(place, place).map(lambda pair: (min(pair), max(pair)))))
    owner = {at: index for index, span in enumerate(segments) for at in range(*span)}
    expected = [next((owner[at] for at in range(*token) if not text[at].isspace()), None) for token in tokens]
    assert assign_tokens(text, tokens, segments) == expected


def test_many_tokens_over_one_run_of_blanks_are_assigned_in_linear_time() -> None:
    text = " " * COUNT + "a"
    tokens = [(at, COUNT + 1) for at in range(COUNT)]
    assert assign_tokens(text, tokens, split(text, "word")) == [0] * COUNT
