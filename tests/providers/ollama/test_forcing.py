"""Log-probabilities of a forced JSON string, told of the characters of the text that it stands for."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from whence.providers.errors import ProviderError
from whence.providers.ollama.forcing import (
    Entry,
    Told,
    align,
    longest_literal_tokens,
    schema_of,
    with_blanks,
)

HOSTILE = (
    'He said "no".\n\tC:\\new\\table \\u0041 \\" \u2028\u2029\x85\x00\x1f\x7f',
    "\U0001f469\u200d\u2695\ufe0f \U0001f1ef\U0001f1f5 e\u0301 \ufeff",
    "你好，世界。 \u202eمرحبا بالعالم\u202c",
    '"', "\\", " ", "\n", "é", '\\"\\', " \n a \n ",
)  # fmt: skip
TEXTS = st.one_of(
    st.text(min_size=1, max_size=40),
    st.text(alphabet='ab "\\\n\té你\U0001f642\u0301\x00\u2028\x85', min_size=1, max_size=40),
    st.sampled_from(HOSTILE),
)
GAPS = ("", " ", "\n", "\n\n  ")


@dataclass(frozen=True)
class Forced:
    """A text as a model may write it, its tokens as they are cut, and which characters each one holds."""

    text: str
    written: str
    tokens: tuple[bytes, ...]
    owned: tuple[tuple[int, ...], ...]

    def characters(self, first: int, last: int) -> tuple[int, int] | None:
        """The characters of tokens `first` to `last`, both with."""
        own = sorted({place for places in self.owned[first : last + 1] for place in places})
        return (own[0], own[-1] + 1) if own else None


@st.composite
def forced(draw: st.DrawFn, texts: st.SearchStrategy[str] = TEXTS) -> Forced:
    """Cut anywhere, within characters, too; escapes as a writer of JSON may choose them."""
    text = draw(texts)
    pieces: list[tuple[bytes, int | None]] = [(draw(st.sampled_from(GAPS)).encode(), None), (b'"', None)]
    for place, character in enumerate(text):
        pieces.append((escaped(character, always=draw(st.integers(0, 9)) == 0), place))
    pieces += [(b'"', None), (draw(st.sampled_from(GAPS)).encode(), None)]
    whole = b"".join(piece for piece, _ in pieces)
    owner = [place for piece, place in pieces for _ in piece]
    cuts = draw(st.sets(st.integers(1, len(whole) - 1), max_size=len(whole)))
    spans = list(pairwise([0, *sorted(cuts), len(whole)]))
    return Forced(
        text=text,
        written=whole.decode(),
        tokens=tuple(whole[a:b] for a, b in spans),
        owned=tuple(tuple(sorted({own for own in owner[a:b] if own is not None})) for a, b in spans),
    )


def escaped(character: str, *, always: bool) -> bytes:
    if always:
        units = character.encode("utf-16-be")
        return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)).encode()
    return json.dumps(character, ensure_ascii=False)[1:-1].encode()


def nats(index: int) -> float:
    """A value that tells which token it is of."""
    return -float(index) - 0.5


def is_whole(part: bytes) -> bool:
    try:
        part.decode()
    except UnicodeDecodeError:
        return False
    return True


def each_token(found: Forced) -> list[Entry]:
    """As Ollama's own runner told them: bytes that are no character by themselves are each one U+FFFD."""
    shown = [
        re.sub("[\udc80-\udcff]", "\ufffd", own.decode(errors="surrogateescape")) for own in found.tokens
    ]
    return [Entry(text=text, logprob_nats=nats(index)) for index, text in enumerate(shown)]


def groups(found: Forced) -> list[tuple[int, int]]:
    """Tokens that end with one character: first and last."""
    ended, first, held = list[tuple[int, int]](), 0, b""
    for index, own in enumerate(found.tokens):
        held += own
        if is_whole(held):
            ended.append((first, index))
            first, held = index + 1, b""
    return ended


def last_of_each(found: Forced) -> list[Entry]:
    """As llama-server tells them: what is held back goes with the token that completes it."""
    return [
        Entry(text=b"".join(found.tokens[a : b + 1]).decode(), logprob_nats=nats(b)) for a, b in groups(found)
    ]


def told_of(found: Forced, entries: Sequence[Entry]) -> tuple[Told, ...]:
    return align(found.written, entries, found.text, tokens=len(found.tokens) + 1)


def unheard(told: Sequence[Told], text: str) -> set[int]:
    """The characters that nothing at all is said of."""
    return set(range(len(text))) - {place for one in told for place in range(one.start, one.end)}


@given(forced(TEXTS.filter(lambda text: "\ufffd" not in text)))
def test_where_each_token_has_its_entry_each_has_its_characters(found: Forced) -> None:
    expected = [
        (*span, nats(index))
        for index in range(len(found.tokens))
        if (span := found.characters(index, index)) is not None
    ]
    told = told_of(found, each_token(found))
    assert [(one.start, one.end, one.logprob_nats) for one in told] == expected


@given(forced(st.text(alphabet='\ufffdé a"', min_size=1, max_size=12)))
def test_a_text_of_replacement_characters_may_be_off_by_these_alone_or_an_error(found: Forced) -> None:
    try:
        told = told_of(found, each_token(found))
    except ProviderError:
        return
    for one in told:
        if one.logprob_nats is not None:
            own = set(found.owned[int(-one.logprob_nats - 0.5)])
            assert {found.text[place] for place in own ^ set(range(one.start, one.end))} <= {"\ufffd"}


@given(forced())
@example(Forced(text="a 🙂", written='"a 🙂"', tokens=(b'"a', b" \xf0\x9f", b"\x99\x82", b'"'),
                owned=((0,), (1, 2), (2,), ())))  # fmt: skip
def test_of_what_is_held_back_nothing_is_told_and_of_all_else_the_right_thing(found: Forced) -> None:
    told = told_of(found, last_of_each(found))
    alone = {nats(b): found.characters(a, b) for a, b in groups(found) if a == b}
    for one in told:
        if one.logprob_nats is not None:
            assert alone[one.logprob_nats] == (one.start, one.end)
    assert not unheard(told, found.text)
    values = {one.logprob_nats for one in told}
    ascii_alone = {
        nats(a) for a, b in groups(found) if a == b and found.owned[a] and found.tokens[a].isascii()
    }
    assert ascii_alone <= values
    if all(a == b for a, b in groups(found)):
        assert values == {value for value, span in alone.items() if span is not None}


@given(
    st.one_of(st.text(), TEXTS.map(lambda text: json.dumps(text, ensure_ascii=False))),
    st.lists(st.builds(Entry, text=st.text(max_size=6), logprob_nats=st.floats(-20, 0)), max_size=20),
    TEXTS,
    st.integers(0, 30),
)
def test_nonsense_is_an_error_or_stays_within_the_text(
    written: str, entries: list[Entry], text: str, tokens: int
) -> None:
    try:
        told = align(written, entries, text, tokens=tokens)
    except ProviderError:
        return
    assert all(0 <= one.start < one.end <= len(text) for one in told)
    assert not unheard(told, text)


@given(forced(), st.randoms(use_true_random=False))
def test_entries_of_another_answer_are_an_error_or_tell_no_character_of_another(
    found: Forced, random: object
) -> None:
    entries = each_token(found)
    random.shuffle(entries)  # type: ignore[attr-defined]
    try:
        told = told_of(found, entries)
    except ProviderError:
        return
    for one in told:
        if one.logprob_nats is not None:
            entry = next(entry for entry in entries if entry.logprob_nats == one.logprob_nats)
            written = json.dumps(found.text[one.start : one.end], ensure_ascii=False)
            assert "\ufffd" in entry.text or "\\" in found.written or entry.text.strip('" \n') in written


@pytest.mark.parametrize("text", HOSTILE)
def test_characters_told_one_by_one_are_those_of_the_text(text: str) -> None:
    written = json.dumps(text, ensure_ascii=False)
    entries = [Entry(text=character, logprob_nats=nats(i)) for i, character in enumerate(written)]
    told = align(written, entries, text, tokens=len(entries) + 1)
    assert [found for one in told for found in range(one.start, one.end)] == sorted(
        found for one in told for found in range(one.start, one.end)
    )
    assert not unheard(told, text)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("Started on apixaban.", "Started on apixaban."),
        ('"Started on apixaban', "Started on apixaban."),
        ('"Started on apixaban."', "Started on warfarin."),
        ('"Started on apixaban." And more', "Started on apixaban."),
        ('["Started on apixaban."]', "Started on apixaban."),
        ("", "Started on apixaban."),
        ("12", "12"),
        ("null", "null"),
        ('"\\ud800"', "x"),
        ('"\\q"', "q"),
    ],
)
def test_an_answer_that_is_not_the_text_is_no_score(written: str, text: str) -> None:
    with pytest.raises(ProviderError, match=r"something else than the text.*similarity"):
        align(written, [Entry(text=written, logprob_nats=-1.0)], text, tokens=2)


@pytest.mark.parametrize("tokens", [["Start", "ed"], ['"a', "bc", '"']])
def test_tokens_of_another_text_are_no_score(tokens: list[str]) -> None:
    entries = [Entry(text=token, logprob_nats=-1.0) for token in tokens]
    with pytest.raises(ProviderError, match="do not fit"):
        align('"abd"', entries, "abd", tokens=len(entries) + 1)


def test_nothing_told_is_a_gap_and_not_a_zero() -> None:
    assert align('"a é"', [], "a é", tokens=5) == (Told(start=0, end=3, logprob_nats=None, extent=(0, 6)),)
    control = Entry(text="", logprob_nats=-9.0)
    told = align('"ab"', [control, Entry(text='"ab"', logprob_nats=-1.0), control], "ab", tokens=4)
    assert told == (Told(start=0, end=2, logprob_nats=-1.0, extent=(0, 4)),)


@given(TEXTS)
def test_room_is_asked_for_one_token_for_each_byte_and_for_the_blanks_of_the_grammar(text: str) -> None:
    assert schema_of(text) == {"const": text}
    literal = json.dumps(text, ensure_ascii=False) + "\n\n" + " " * 20
    assert longest_literal_tokens(text) == len(literal.encode()) + 1


def of(*tokens: str) -> list[Entry]:
    return [Entry(text=token, logprob_nats=-1.0) for token in tokens]


def test_what_was_scored_is_told_with_the_marks_that_a_token_holds() -> None:
    """Else the same text by other tokens would seem to be worth something else."""
    apart = align('"Take it"', of('"', "Take", " it", '"'), "Take it", tokens=5)
    merged = align('"Take it"', of('"Take', " it", '"'), "Take it", tokens=4)
    assert [one.extent for one in apart] == [(1, 5), (5, 8)]
    assert [one.extent for one in merged] == [(0, 5), (5, 8)]
    assert [(one.start, one.end) for one in apart] == [(one.start, one.end) for one in merged]


def test_blanks_count_with_what_follows_them_by_whatever_tokens() -> None:
    text = "Low. Stop\nnow"
    written = json.dumps(text)
    together = align(written, of('"Low', ".", " Stop", "\\nnow", '"'), text, tokens=6)
    apart = align(written, of('"Low', ".", " ", "Stop", "\\", "n", "now", '"'), text, tokens=9)
    one, other = with_blanks(together, text), with_blanks(apart, text)
    assert [(told.start, told.end, told.extent) for told in one] == [
        (told.start, told.end, told.extent) for told in other
    ]
    assert [told.logprob_nats for told in other] == [-1.0, -1.0, -2.0, -3.0]
    gap = align('"a \u00e9b"', of('"a', " ", "b", '"'), "a \u00e9b", tokens=7)
    assert [(told.start, told.end, told.logprob_nats) for told in with_blanks(gap, "a \u00e9b")] == [
        (0, 1, -1.0),
        (1, 3, None),
        (3, 4, -1.0),
    ]
