"""Offsets rebuilt from pieces are those that SentencePiece and the fast tokenizers give themselves."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import ByT5Tokenizer, CanineTokenizer, CTRLTokenizer, PreTrainedTokenizerFast

from whence.providers.errors import ModelLoadError
from whence.providers.huggingface.offsets import rebuild_offsets

HOSTILE = (
    *(
        "👩‍👩‍👧‍👦",
        "🇪🇺",
        "肺炎。",
        "没",
        "한국어",
        "\u1100\u1161\u11a8",
        "か\u3099",
        "が",
        "\u202ereversed\u202c",
        "المريض",
    ),
    *("e\u0301", "\u0301", "\u0302\u0323", "क्षि", "ผู้ป่วย", "ﬁ", "ﬃ", "½", "ﷺ", "𝒜", "İ", "ß", "Å", "µ"),
    *("\x00", "\x01\x7f", "\t", "\n", " ", "  ", "\u00a0", "\u200b", "\ufeff", "\ufffd", "▁", "▁▁"),
    *("</s>", "<unk>", "<pad>", "<0x41>", "<0xE2>", "@@", "##", "</w>", "&apos;", ">>", "<<", ">>de<<"),
    *("patient", "The", " latex", "500 mg", "xyzzy"),
)
TEXT = st.lists(st.sampled_from(HOSTILE) | st.characters(exclude_categories=["Cs", "Cn"])).map("".join)
KINDS: dict[str, dict[str, Any]] = {
    "unigram": {},
    "bpe": {"model_type": "bpe"},
    "unigram with bytes": {"byte_fallback": True},
    "bpe with bytes": {"model_type": "bpe", "byte_fallback": True},
    "identity": {"normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    "case folded": {"normalization_rule_name": "nmt_nfkc_cf"},
}
Marian = Callable[..., Any]


LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
WORD_PIECES = ("[UNK]", *LETTERS, *(f"##{c}" for c in LETTERS), "patient")


def visible(character: str) -> bool:
    return not (character.isspace() or character == "▁")


def vanishes(character: str) -> bool:
    """Whether a normaliser may leave it out, or make a blank of it."""
    return (
        not visible(character)
        or character == "\ufffd"
        or unicodedata.category(character) in {"Cc", "Cf", "Mn", "Me"}
    )


def recomposed(text: str, span: tuple[int, int]) -> bool:
    """Whether normalising makes other characters of these, so that their places are a matter of taste."""
    return unicodedata.normalize("NFKC", text[slice(*span)]) != text[slice(*span)]


def rebuilt(tokenizer: Any, text: str, *, split_special: bool = False) -> list[tuple[str, tuple[int, int]]]:
    """Ids by name, with their spans, which are checked for what holds of every tokenizer."""
    ids = tokenizer(text, split_special_tokens=split_special, verbose=False)["input_ids"]
    spans = rebuild_offsets(tokenizer, text, ids, split_special=split_special)
    assert len(spans) == len(ids)
    assert [start for start, _ in spans] == sorted(start for start, _ in spans)
    assert all(0 <= start <= end <= len(text) for start, end in spans)
    return list(zip(tokenizer.convert_ids_to_tokens(ids), spans, strict=True))


@pytest.fixture(scope="session", params=KINDS)
def marian(request: pytest.FixtureRequest, make_marian: Marian) -> Any:
    return make_marian(**KINDS[request.param])


@given(text=TEXT, split_special=st.booleans())
def test_marian_covers_what_its_model_can_see(marian: Any, text: str, split_special: bool) -> None:
    covered = {i for _, span in rebuilt(marian, text, split_special=split_special) for i in range(*span)}
    assert all(vanishes(c) for i, c in enumerate(text) if i not in covered)


@given(text=TEXT.filter(lambda text: not text.startswith(">>")))
def test_marian_agrees_with_sentencepiece(marian: Any, text: str) -> None:
    own = marian.current_spm.encode(text, return_type="offset_mapping")
    *spans, end = (span for _, span in rebuilt(marian, text, split_special=True))
    assert end == (len(text), len(text))
    for piece, theirs, span in zip(own["pieces"], own["offsets"], spans, strict=True):
        if any(map(visible, piece)):
            # Theirs has what was left out beside it too; of several that share a character, one has it.
            assert all(i in range(*span) or vanishes(text[i]) for i in range(*theirs))
            assert (
                set(range(*span)) <= set(range(*theirs)) or piece.startswith("<0x") or recomposed(text, span)
            )


def test_identity_gives_exactly_the_offsets_of_sentencepiece(make_marian: Marian) -> None:
    marian = make_marian(**KINDS["identity"])
    text = "".join(HOSTILE).replace("▁", "")
    own = marian.current_spm.encode(text, return_type="offset_mapping")
    ours = [span for _, span in rebuilt(marian, text, split_special=True)]
    for (start, end), span in zip(own["offsets"], ours, strict=False):
        word = text[start:end]
        stripped = (start + len(word) - len(word.lstrip()), end - len(word) + len(word.rstrip()))
        assert span == (stripped if word.strip() else (start, end))


def test_the_blank_before_a_word_is_not_the_word(make_marian: Marian) -> None:
    places = rebuilt(make_marian(), "  The \t patient")
    assert places == [("▁The", (2, 5)), ("▁patient", (8, 15)), ("</s>", (15, 15))]


def test_a_blank_of_its_own_is_the_blank(make_marian: Marian) -> None:
    assert rebuilt(make_marian(), "Ω Ω")[2:4] == [("▁", (1, 2)), ("<unk>", (2, 3))]


def test_the_bytes_of_a_character_share_it(make_marian: Marian) -> None:
    places = rebuilt(make_marian(byte_fallback=True), "x \U0001f9ec.")
    assert [span for token, span in places if token.startswith("<0x")] == [(2, 3)] * 4


def test_text_that_looks_like_a_control_token_has_its_characters(make_marian: Marian) -> None:
    text = "The </s> latex"
    assert ("</s>", (4, 8)) in rebuilt(make_marian(), text)
    plain = rebuilt(make_marian(), text, split_special=True)
    assert [span for name, span in plain if name == "</s>"] == [(14, 14)]


def test_a_target_is_read_with_the_targets_pieces(make_marian: Marian) -> None:
    marian = make_marian(target_size=250)
    text = "Latex was stopped."
    ids = marian(text_target=text)["input_ids"]
    assert ids != marian(text)["input_ids"]
    spans = rebuild_offsets(marian, text, ids, target=True)
    assert {i for i, c in enumerate(text) if visible(c)} <= {i for span in spans for i in range(*span)}
    assert marian.current_spm is marian.spm_source


def test_ids_of_another_text_are_refused_without_quoting_the_record(make_marian: Marian) -> None:
    marian = make_marian()
    with pytest.raises(ModelLoadError, match=r"MarianTokenizer .* fast version") as error:
        rebuild_offsets(marian, "Latex was stopped.", marian("Warfarin.")["input_ids"])
    assert "Latex" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\x00",
        "\u200b" * 50_000,
        "e" + "\u0301\u0323" * 50_000,
        "</s>" * 5_000,
        "\U0001f9ec" * 50_000,
    ],
)
def test_extreme_texts_have_offsets(make_marian: Marian, text: str) -> None:
    rebuilt(make_marian(byte_fallback=True), text)
    rebuilt(make_marian(), text, split_special=True)


def test_a_hundred_thousand_words(make_marian: Marian) -> None:
    text = "The patient is allergic to latex. " * 16_667
    covered = {i for _, span in rebuilt(make_marian(), text) for i in range(*span)}
    assert all(i in covered for i, c in enumerate(text) if visible(c))


@pytest.fixture(scope="session")
def fast_unigram(make_marian: Marian) -> Any:
    spm = make_marian().spm_source
    vocab = [(spm.id_to_piece(i), spm.get_score(i)) for i in range(len(spm))]
    backend = Tokenizer(models.Unigram(vocab, spm.unk_id()))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


@pytest.fixture(scope="session")
def fast_word_pieces() -> Any:
    backend = Tokenizer(models.WordPiece({t: i for i, t in enumerate(WORD_PIECES)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(cleanup=False)
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")


def same_characters(fast: Any, text: str) -> None:
    encoded = fast(text, return_offsets_mapping=True)
    spans = rebuild_offsets(fast, text, encoded["input_ids"])
    for piece, theirs, span in zip(fast.tokenize(text), encoded["offset_mapping"], spans, strict=True):
        if any(map(visible, piece)):
            assert all(i in range(*span) or vanishes(text[i]) for i in range(*theirs))
            # Unknown words that do not show their characters share what is between their neighbours.
            same = all(i in range(*theirs) or vanishes(text[i]) for i in range(*span))
            assert same or piece == "[UNK]" or recomposed(text, span)


@given(text=TEXT)
def test_unigram_agrees_with_a_fast_tokenizer(fast_unigram: Any, text: str) -> None:
    same_characters(fast_unigram, text)


@given(text=st.lists(st.sampled_from([h for h in HOSTILE if h.isascii()])).map("".join))
def test_word_pieces_agree_with_a_fast_tokenizer(fast_word_pieces: Any, text: str) -> None:
    same_characters(fast_word_pieces, text)


def test_characters_and_bytes_are_tokens_of_their_own() -> None:
    text = "".join(HOSTILE)
    characters = [span for _, span in rebuilt(CanineTokenizer(), text, split_special=True)]
    assert characters == [(0, 0), *((i, i + 1) for i in range(len(text))), (len(text), len(text))]
    size = [len(c.encode()) for c in text]
    byte_spans = [span for _, span in rebuilt(ByT5Tokenizer(), text, split_special=True)]
    assert byte_spans == [*((i, i + 1) for i, n in enumerate(size) for _ in range(n)), (len(text),) * 2]


def test_an_unknown_word_has_the_characters_between_its_neighbours(fast_word_pieces: Any) -> None:
    text = "patient: 肺炎 12 \U0001f9ec\U0001f9ec, ok"
    assert [(token, text[a:b]) for token, (a, b) in rebuilt(fast_word_pieces, text)] == [
        ("patient", "patient"),
        ("[UNK]", ": 肺炎"),  # unknown side by side share their characters
        ("[UNK]", ": 肺炎"),
        ("[UNK]", ": 肺炎"),
        ("1", "1"),
        ("##2", "2"),
        ("[UNK]", "\U0001f9ec\U0001f9ec,"),
        ("[UNK]", "\U0001f9ec\U0001f9ec,"),
        ("o", "o"),
        ("##k", "k"),
    ]


def test_an_unknown_word_is_not_guessed(fast_word_pieces: Any) -> None:
    with pytest.raises(ModelLoadError, match="around token 0"):
        rebuilt(fast_word_pieces, "ωaω a ωaω")


def test_joined_pieces_lose_their_marks(tmp_path: Path) -> None:
    letters = dict.fromkeys("latex@a")
    names = ["<unk>", *letters, *(f"{c}@@" for c in letters), "te@@"]
    (tmp_path / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    (tmp_path / "merges.txt").write_text("#version\nt e\n")
    ctrl = CTRLTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    text = "latex  a@@ b"
    assert [(token, text[a:b]) for token, (a, b) in rebuilt(ctrl, text)] == [
        *[("l@@", "l"), ("a@@", "a"), ("te@@", "te"), ("x", "x")],
        *[("a@@", "a"), ("@@@", "@"), ("@", "@"), ("<unk>", "b")],
    ]


class Moses:
    """What BioGPT's tokenizer does, without the package that it needs."""

    unk_token, unk_token_id = "<unk>", 0

    def tokenize(self, text: str, *, split_special_tokens: bool = False) -> list[str]:
        dashed = re.sub(r"(?<=\w)-(?=\w)", " @-@ ", text)
        return [html.escape(word) + "</w>" for word in re.findall(r"@-@|\w+|[^\w\s]", dashed)]

    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int]:
        return [len(token) for token in tokens]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return html.unescape("".join(tokens).replace("</w>", " ")).strip()


def test_escaped_pieces_are_read_as_what_they_stand_for() -> None:
    moses, text = Moses(), 'a "well-known" <b> &amp;'
    ids = moses.convert_tokens_to_ids(moses.tokenize(text))
    assert [text[a:b] for a, b in rebuild_offsets(moses, text, ids)] == [
        *["a", '"', "well", "-", "known", '"', "<", "b", ">", "&", "amp", ";"]
    ]


def test_a_tokenizer_that_cannot_show_its_pieces_says_so() -> None:
    with pytest.raises(ModelLoadError, match="object does not tell"):
        rebuild_offsets(object(), "Latex.", [1])
