"""What a reader sees of a text that hides something."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.explain.render.visible import blanks_visible, visible, visible_characters


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("a\x00b", "a␀b"),
        ("\x01\x1b\x1f", "␁␛␟"),
        ("\x7f", "␡"),
        ("\x0b\x0c\r", "␋␌␍"),
        ("\x80\x85\x9b", "⟦U+0080⟧⟦U+0085⟧⟦U+009B⟧"),
        ("\u202a\u202b\u202c\u202d\u202e", "⟦U+202A⟧⟦U+202B⟧⟦U+202C⟧⟦U+202D⟧⟦U+202E⟧"),
        ("\u2066\u2067\u2068\u2069", "⟦U+2066⟧⟦U+2067⟧⟦U+2068⟧⟦U+2069⟧"),
        ("\u200e\u200f\u061c", "⟦U+200E⟧⟦U+200F⟧⟦U+061C⟧"),
        ("\u200b\ufeff\u2028\u2029\u2060\u00ad", "⟦U+200B⟧⟦U+FEFF⟧⟦U+2028⟧⟦U+2029⟧⟦U+2060⟧⟦U+00AD⟧"),
        ("\U000e0041\U000e007f", "⟦U+E0041⟧⟦U+E007F⟧"),
        ("\u3164\u115f\u034f", "⟦U+3164⟧⟦U+115F⟧⟦U+034F⟧"),
        ("\ud800", "⟦U+D800⟧"),
    ],
)
def test_what_cannot_be_seen_is_drawn_as_a_sign(text: str, drawn: str) -> None:
    assert visible(text) == drawn


@pytest.mark.parametrize(
    "text",
    [
        "plain, with \n line and \t tab",
        "50\N{NO-BREAK SPACE}mg, 37 °C, naïve, Å",
        "患者は咳をしている。",
        "👩🏽‍⚕️ 🏳️‍🌈 👨‍👩‍👧 1️⃣",
        "می\u200cخواهم",
        "क्\u200dष",
        "e\u0301 a\u0323\u0307",
        "葛\U000e0100城",
        "\u0600\u06dd",
        "שלום",
    ],
)
def test_what_writes_a_language_stays(text: str) -> None:
    assert visible(text) == text


def test_a_joiner_that_joins_nothing_is_drawn() -> None:
    assert visible("no\u200dfever") == "no⟦U+200D⟧fever"
    assert visible("\u200cx") == "⟦U+200C⟧x"
    assert visible("👩\u200d\u200d") == "👩\u200d⟦U+200D⟧"
    assert visible("\u202e\u200d") == "⟦U+202E⟧⟦U+200D⟧"


def test_a_run_of_variation_selectors_hides_nothing() -> None:
    assert visible("👍\ufe0f\ufe01\U000e0101") == "👍\ufe0f⟦U+FE01⟧⟦U+E0101⟧"
    assert visible("\ufe0f") == "⟦U+FE0F⟧"


def test_the_line_end_of_another_system_is_a_line_end() -> None:
    assert visible("a\r\nb\rc\n") == "a\nb␍c\n"
    assert visible_characters("\r\n") == ["", "\n"]


def test_blanks_can_be_shown_where_there_is_nothing_else() -> None:
    assert blanks_visible(" \t\n") == "␣␉␊"


@given(st.text())
def test_offsets_stay_valid_and_nothing_stays_hidden(text: str) -> None:
    drawn = visible_characters(text)
    assert len(drawn) == len(text)
    assert "".join(drawn) == visible(text)
    for character in visible(text).translate({0x0A: None, 0x09: None, 0x200C: None, 0x200D: None}):
        if unicodedata.category(character) == "Cf":
            assert (
                character
                in "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
            )
        assert unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
