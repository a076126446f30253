"""Finding the text of documents in prompts, whatever a chain did to it."""

from __future__ import annotations

import html
import json
import textwrap
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from whence.api.langchain.finding import Found, find

CHEST = "The patient, aged 54, was admitted on Monday with acute chest pain and shortness of breath."
ASPIRIN = 'Dr. Ito prescribed aspirin 81 mg daily; the echo showed "no regional abnormality" (EF 60%).'
HEADER = (
    "Saint Mary Hospital, Department of Cardiology. Confidential: do not copy this page or any part of it."
)

SCRIPTS = {
    "latin": "admitted patient l'hôpital naïve Straße 81 mg o'clock well-known İstanbul ﬁbrous x y",
    "greek": "καρδιά ασθενής οδός πόνος στήθος θεραπεία",
    "han": "患者 胸部 疼痛 治療 血圧 服用する",
    "thai": "ผู้ป่วย เจ็บหน้าอก ยา",
    "arabic": "المريض أُدخِل المستشفى ألم في الصدر",
    "devanagari": "रोगी को सीने में दर्द हुआ",
    "marks": "cafe\u0301 Zu\u0308rich ko\u0302ng n\u0303andu\u0301",
    "emoji": "👩\u200d⚕️ ❤️ 🇩🇪 pain 👍🏽 pill",
}
PROMPT = [
    "answer",
    "the",
    "question",
    "with",
    "what",
    "you",
    "know",
    "say",
    "so",
    "context",
    "user",
    "system",
]
BETWEEN = [
    " ",
    ", ",
    ". ",
    "; ",
    " (",
    ") ",
    "\n",
    "\n\n",
    " – ",
    ' "',
    "\t",
    "\r\n",
    "\0 ",
    "\u2028",
    " & ",
    " <",
]
ENDS = ["", ".", '."', ")", "!"]
SEPARATORS = [
    "\n\n",
    "\n---\n",
    " | ",
    " ",
    "\t",
    "\n\nDocument 3:\n",
    "\n* ",
    "\n### ",
    " <sep> ",
    "\n\n[2] ",
    "\n2. ",
]


@st.composite
def documents(draw: st.DrawFn, number: int, least: int = 12, *, varied: bool = False) -> str:
    """A document whose words no other has: each ends in its number; and if varied, in its place."""
    words = SCRIPTS[draw(st.sampled_from(sorted(SCRIPTS)))].split()
    count = draw(st.integers(least, least + 12))
    turn = draw(st.integers(0, len(words)))
    body = ""
    for at in range(count):
        word = words[(turn + at * turn) % len(words)]
        body += f"{draw(st.sampled_from(BETWEEN))}{word}{number}{f'v{at}' if varied else ''}"
    return draw(st.sampled_from(["", '"', "- ", "(", "# "])) + body.lstrip() + draw(st.sampled_from(ENDS))


@st.composite
def many(draw: st.DrawFn, least: int = 12, *, varied: bool = False) -> list[str]:
    count = draw(st.integers(1, 4))
    return [draw(documents(number, least, varied=varied)) for number in range(count)]


prompts = st.lists(st.sampled_from(PROMPT), max_size=8).map(" ".join)


def spans(documents: Sequence[str], message: str) -> list[tuple[int, str]]:
    return [(found.document, message[found.start : found.end]) for found in find(documents, [message])]


def quoted(text: str) -> str:
    return "\n".join("> " + line for line in text.splitlines())


def curly(text: str) -> str:
    return text.replace(' "', " “").replace('"', "”").replace("'", "’").replace("–", "-")


WHOLE: dict[str, Callable[[str], str]] = {
    "verbatim": str,
    "stripped": str.strip,
    "padded": lambda text: f"\n  {text}\t\n",
    "in one line": lambda text: " ".join(text.split()),
    "wrapped": lambda text: textwrap.fill(text, 24, break_long_words=False, break_on_hyphens=False),
    "spaced out": lambda text: "\n\n  ".join(text.split()),
    "upper": str.upper,
    "lower": str.lower,
    "curly": curly,
    "json": lambda text: json.dumps(text)[1:-1],
    "json, unicode": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json in json": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "repr": lambda text: repr(text)[1:-1],
    "html": html.escape,
    "html, twice": lambda text: html.escape(html.escape(text)),
    "html in json": lambda text: json.dumps(html.escape(text))[1:-1],
}


# --- whole documents ---


@pytest.mark.parametrize("change", WHOLE)
@settings(max_examples=12)
@given(data=st.data())
def test_inserted_documents_are_found_where_they_stand_and_no_other(change: str, data: st.DataObject) -> None:
    texts = data.draw(many())
    order = data.draw(st.permutations(range(len(texts))))
    inserted = order[: data.draw(st.integers(0, len(texts)))]
    message, expected = data.draw(prompts), []
    for number in inserted:
        message += data.draw(st.sampled_from(SEPARATORS))
        piece = WHOLE[change](texts[number])
        start = len(message) + len(piece) - len(piece.lstrip())
        message += piece
        expected.append((number, start, start + len(piece.strip())))
    message += data.draw(st.sampled_from(SEPARATORS)) + data.draw(prompts)
    found = find(texts, [message])
    assert [(item.document, item.start, item.end) for item in found] == expected
    assert all(item.coverage > 0.8 for item in found)
    assert [item.exact for item in found] == [
        message[start:end] == texts[n].strip() for n, start, end in expected
    ]
    if change in ("verbatim", "stripped", "padded"):
        assert all(item.exact and item.coverage == 1 for item in found)


@settings(max_examples=15)
@given(texts=many(), data=st.data())
def test_documents_joined_without_a_separator_are_told_apart(texts: list[str], data: st.DataObject) -> None:
    message = "Context" + "".join(texts) + "Question"
    assert spans(texts, message) == list(enumerate(texts))


@settings(max_examples=15)
@given(texts=many())
def test_a_document_in_several_messages_is_found_in_each(texts: list[str]) -> None:
    messages = ["\n\n".join(texts), "", "\n\n".join(reversed(texts)), "Nothing of it."]
    found = find(texts, messages)
    assert [(item.message, item.document) for item in found] == [
        *((0, number) for number in range(len(texts))),
        *((2, number) for number in reversed(range(len(texts)))),
    ]
    assert all(item.exact for item in found)


@settings(max_examples=15)
@given(texts=many())
def test_quoted_lines_and_a_numbered_list(texts: list[str]) -> None:
    lines = [" ".join(text.split()) for text in texts]
    wrapped = [textwrap.fill(line, 60, break_long_words=False, break_on_hyphens=False) for line in lines]
    message = "\n\n".join(quoted(text) for text in wrapped)
    expected = [(number, quoted(text)[2:]) for number, text in enumerate(wrapped)]
    assert spans(texts, message) == expected
    message = "".join(f"{number}. {text}\n" for number, text in enumerate(lines, start=1))
    assert spans(texts, message) == list(enumerate(lines))


def test_what_json_and_html_make_of_one_character_is_one_code_point_of_the_message_or_more() -> None:
    document = 'He said: "naïve 👍 & <b>"\nand went home with it.'
    message = json.dumps({"tool": "search", "content": [document]})
    (found,) = find([document], [message])
    assert message[found.start : found.end] == json.dumps(document)[1:-1]
    assert (found.coverage, found.exact) == (1.0, False)
    assert spans([document], f"<p>{html.escape(document)}</p>") == [(0, html.escape(document))]


def test_paths_and_formulas_that_look_like_escapes_are_found_all_the_same() -> None:
    document = r"Copy C:\new\table.txt and C:\\server\user to \\host\build; \nabla f \times g &amp;amp; AT&T;"
    for change in ("verbatim", "json", "json in json", "html", "repr"):
        text = WHOLE[change](document)
        assert spans([document], f"Context:\n{text}\n\nQuestion") == [(0, text)]


# --- documents that were cut ---


@pytest.mark.parametrize("mark", ["", "...", " ...", "…", " [truncated]"])
@settings(max_examples=12)
@given(data=st.data())
def test_a_document_cut_at_its_end_is_found_up_to_the_cut(mark: str, data: st.DataObject) -> None:
    texts = data.draw(many(24, varied=True))
    number = data.draw(st.integers(0, len(texts) - 1))
    kept = texts[number][: data.draw(st.integers(len(texts[number]) * 2 // 3, len(texts[number])))].rstrip()
    (found,) = find(texts, [f"context\n\n{kept}{mark}\n\nanswer"])
    assert (found.document, found.start) == (number, 9)
    assert len(" ".join(kept.split()[:-2])) <= found.end - 9 <= len(kept) + mark.startswith(".")
    assert 0.4 < found.coverage <= 1


@pytest.mark.parametrize("mark", ["", "...", "... ", "…", "[truncated] "])
@settings(max_examples=12)
@given(data=st.data())
def test_a_document_cut_at_its_start_is_found_from_the_cut(mark: str, data: st.DataObject) -> None:
    texts = data.draw(many(24, varied=True))
    number = data.draw(st.integers(0, len(texts) - 1))
    kept = texts[number][data.draw(st.integers(0, len(texts[number]) // 3)) :].lstrip()
    message = f"context\n\n{mark}{kept}\n\nanswer"
    (found,) = find(texts, [message])
    assert (found.document, found.end) == (number, len(message) - 8)
    assert len(" ".join(kept.split()[2:])) <= found.end - found.start <= len(kept) + 2 * mark.startswith(".")


@pytest.mark.parametrize("mark", [" ", "...", " … ", "\n[600 characters were left out]\n"])
@settings(max_examples=12)
@given(data=st.data())
def test_a_document_cut_in_its_middle_is_one_place(mark: str, data: st.DataObject) -> None:
    texts = data.draw(many(24, varied=True))
    number = data.draw(st.integers(0, len(texts) - 1))
    words = texts[number].split(" ")
    third = len(words) // 3
    assume(" ".join(words[:third]).count(f"{number}v") >= 8)
    assume(" ".join(words[-third:]).count(f"{number}v") >= 8)
    kept = " ".join(words[:third]) + mark + " ".join(words[-third:])
    (found,) = find(texts, [f"context\n\n{kept}\n\nanswer"])
    assert (found.document, found.start, found.end) == (number, 9, 9 + len(kept))


def test_the_two_ends_of_a_document_are_one_place() -> None:
    kept = f"{CHEST}\n[...]\n{ASPIRIN}"
    document = f"{CHEST} He takes no drugs, does not smoke, and lives with his wife. {ASPIRIN}"
    (found,) = find([document], [f"Context: {kept}"])
    assert (found.start, found.end) == (9, 9 + len(kept))
    assert 0.6 < found.coverage < 0.8


def test_a_few_words_of_a_long_document_are_not_that_document() -> None:
    assert (
        find([CHEST], ["Who was admitted on Monday with pain?", "The patient was admitted on Tuesday."]) == ()
    )


def test_a_cut_that_leaves_eight_words_is_found_and_one_that_leaves_fewer_is_not() -> None:
    words = CHEST.split()
    (found,) = find([CHEST], ["Context: " + " ".join(words[:8]) + "..."])
    assert (found.start, found.end, found.coverage) == (9, 9 + len(" ".join(words[:8])), 8 / 16)
    assert find([CHEST], ["Context: " + " ".join(words[:7]) + "..."]) == ()


# --- documents that have text in common ---


def test_a_header_that_chunks_share_tells_none_of_them() -> None:
    chunks = [f"{HEADER}\n{body}" for body in (CHEST, ASPIRIN, "Discharged on the next day, well.")]
    assert find(chunks, [HEADER, f"{HEADER}\nPlease answer: is the patient well?"]) == ()
    found = find(chunks, [f"Context:\n{chunks[1]}\n\nQuestion?"])
    assert [(item.document, item.exact) for item in found] == [(1, True)]
    assert spans(chunks, "\n\n".join(reversed(chunks))) == [(n, chunks[n]) for n in (2, 1, 0)]


def test_a_header_that_is_nearly_all_of_two_chunks_is_neither() -> None:
    chunks = [f"{HEADER} One", f"{HEADER} Two"]
    assert find(chunks, [f"{HEADER}\nPlease answer."]) == ()
    assert spans(chunks, f"{chunks[1]}\nPlease answer.") == [(1, chunks[1])]


def test_many_chunks_with_one_header_are_told_apart() -> None:
    chunks = [f"{HEADER} Row {n}: the value is {n * 7919} and the code {n * 104729}." for n in range(40)]
    inserted = [31, 4, 17]
    assert spans(chunks, "\n".join(chunks[n] for n in inserted)) == [(n, chunks[n]) for n in inserted]


def test_versions_of_a_text_are_told_apart_by_what_differs() -> None:
    versions = [CHEST.replace("54", str(age)) for age in range(50, 60)]
    assert spans(versions, f"1. {versions[7]}\n2. {versions[2]}") == [(7, versions[7]), (2, versions[2])]


@settings(max_examples=15)
@given(size=st.integers(20, 60), overlap=st.integers(0, 15))
def test_chunks_of_a_text_that_overlap_share_it_in_order(size: int, overlap: int) -> None:
    words = [f"word{n}{'.' if n % 7 == 0 else ''}" for n in range(200)]
    chunks = [" ".join(words[at : at + size]) for at in range(0, 200 - overlap, size - overlap)]
    chunks = [chunk for chunk in chunks if len(chunk.split()) > overlap + 4]
    text = " ".join(words)
    found = find(chunks, [text])
    assert [item.document for item in found] == list(range(len(chunks)))
    assert all(item.coverage == 1 for item in found)
    assert found[0].start == 0
    assert all(second.start == first.end + 1 for first, second in pairwise(found))
    assert [item.exact for item in found] == [overlap == 0 or n == 0 for n in range(len(chunks))]
    # Each inserted with its overlap is whole.
    assert spans(chunks, "\n\n".join(chunks)) == list(enumerate(chunks))


def test_chunks_that_overlap_by_half_are_all_found() -> None:
    words = [f"word{n}" for n in range(100)]
    chunks = [" ".join(words[at : at + 40]) for at in range(0, 61, 20)]
    assert [item.document for item in find(chunks, [" ".join(words)])] == [0, 1, 2, 3]


def test_a_document_within_another_is_found_only_where_it_stands_by_itself() -> None:
    part = "admitted on Monday with acute chest pain"
    assert spans([part, CHEST], CHEST) == [(1, CHEST)]
    assert spans([part, CHEST], f"{CHEST}\n\n{part}") == [(1, CHEST), (0, part)]
    assert spans([CHEST, part], f"Context: {part}.") == [(1, part)]


def test_a_label_that_a_document_happens_to_contain_is_not_drawn_into_it() -> None:
    rows = [f"row {n} " + f"alpha beta gamma delta {n} " * 6 + "end" for n in (1, 2)]
    rows = [row.strip() for row in rows]
    assert spans(rows, f"{rows[1]}\n[2] {rows[0]}\n[2] alpha") == [(1, rows[1]), (0, rows[0])]


def test_a_text_retrieved_twice_is_given_its_places_in_turn() -> None:
    assert spans([CHEST, ASPIRIN, CHEST], CHEST) == [(0, CHEST)]
    message = f"{CHEST}\n{CHEST}\n{CHEST}"
    assert spans([CHEST, ASPIRIN, CHEST], message) == [(0, CHEST), (2, CHEST), (0, CHEST)]
    assert spans(["YES!", "yes."], "1. yes.\n2. YES!") == [(1, "yes."), (0, "YES!")]


def test_a_document_that_stands_twice_is_found_twice() -> None:
    assert spans([CHEST], f"{CHEST} {CHEST}") == [(0, CHEST), (0, CHEST)]


CHANGED = "Blood pressure was 120/80 and the heart rate 70; she takes aspirin 81 mg and has not had a fever."


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("120/80", "150/95"),
        ("rate 70", "rate 88"),
        ("81 mg", "8 micrograms"),
        ("has not had", "has had"),
        ("had a fever", "had no fever"),
        ("and the heart", "and not the heart"),
    ],
)
def test_a_text_with_another_number_or_negation_is_another_text(old: str, new: str) -> None:
    said = CHANGED.replace(old, new)
    assert said != CHANGED
    assert find([CHANGED], [f"Context: {said}\nQuestion?"]) == ()
    assert spans([CHANGED, said], f"Context: {said}") == [(1, said)]


@pytest.mark.parametrize(
    ("old", "new"),
    [("aspirin", "warfarin"), ("she takes", "..."), ("heart rate 70; she takes", "[24 more characters]")],
)
def test_other_words_may_differ_and_are_said_not_to_be_there(old: str, new: str) -> None:
    (found,) = find([CHANGED], [f"Context: {CHANGED.replace(old, new)}"])
    assert found.coverage < 1
    assert not found.exact


def test_a_document_that_begins_with_another_number_is_another_text() -> None:
    rows = [f"{n} patients were seen in the clinic on that day." for n in (54, 60)]
    assert find(rows[:1], [f"Context: {rows[1]}"]) == ()
    assert spans(rows[:1], f"2. {rows[0]}") == [(0, rows[0])]


def test_chunks_that_are_cut_within_words_are_whole() -> None:
    text = " ".join(f"{'abcdefgh'[n % 8] * 3}{n * 7919}{'klmnop'[n % 6] * 2}" for n in range(300))
    chunks = [text[at : at + 700] for at in range(0, len(text) - 100, 600)]
    found = find(chunks, [f"Context:\n{text}\n\nQuestion?"])
    assert [item.document for item in found] == list(range(len(chunks)))
    assert all(item.coverage == 1 for item in found)
    assert [item.exact for item in found] == [True] + [False] * (len(chunks) - 1)


def test_lines_of_a_log_are_one_place() -> None:
    lines = textwrap.fill(f"{CHEST} {ASPIRIN}", 40).splitlines()
    message = "\n".join(f"2024-05-0{n} 12:00:0{n} INFO server[{n}]: {own}" for n, own in enumerate(lines))
    (found,) = find([f"{CHEST} {ASPIRIN}"], [message])
    assert found.coverage > 0.9


def test_a_nul_that_a_database_dropped_is_no_difference() -> None:
    assert (
        find(["ab\0cd is all there is to say of it"], ["abcd is all there is to say of it"])[0].coverage == 1
    )


# --- documents of a few words ---


@pytest.mark.parametrize("document", ["Yes.", "No fever", "EF 60%", "はい。", "👍", "é", "5"])
@pytest.mark.parametrize(
    "around",
    ["{}", "Context:\n{}\n\nQuestion?", "[1] {}\n[2] More", "1. {}\n2. More", "> {}\n", "- {}\n- More",
     "a | {} | b", '{{"text": "{}", "score": 1}}', "Document 3: {}\nMore",
     "<doc>{}</doc>", "{}\r\nMore", "a\\n{}\\nb"],
)  # fmt: skip
def test_a_few_words_are_found_where_they_stand_apart(document: str, around: str) -> None:
    message = around.format(document)
    assert spans([document], message) == [(0, document)]


@pytest.mark.parametrize(
    "message",
    ["Yes. No.", "He said yes. She did not.", "No. Yes.", "Yesterday", "Answer yes or no.", "Eyes.",
     "Is it 'Yes'?"],
)  # fmt: skip
def test_a_few_words_within_a_sentence_or_beside_one_are_not_found(message: str) -> None:
    assert find(["Yes."], [message]) == ()


def test_a_few_words_may_stand_beside_other_documents() -> None:
    assert spans(["Yes.", "No."], "Context:\nYes. No.\n") == [(0, "Yes."), (1, "No.")]
    assert spans(["Yes.", CHEST], f"{CHEST} Yes.") == [(1, CHEST), (0, "Yes.")]
    assert spans(["Yes.", CHEST], f"Yes. {CHEST}") == [(0, "Yes."), (1, CHEST)]
    assert spans(["Yes.", "Yes please."], "Yes please.") == [(1, "Yes please.")]


def test_four_words_must_all_be_there() -> None:
    document = "Alice has a cat."
    assert spans([document], "I know: Alice has a cat. What is its name?") == [(0, document)]
    assert (
        find([document], ["Alice has a dog.", "Alice has the cat.", "Malice has a cat.", "Alice has a cats"])
        == ()
    )


@pytest.mark.parametrize("document", ["", " \n", "...", "\0", "\u200b", "---", '""', "\\n", "&nbsp;"])
def test_a_document_without_a_word_is_never_found(document: str) -> None:
    (found,) = find([document, CHEST], [document, f"{document} {CHEST}", "... --- \0"])
    assert (found.document, found.message, found.exact) == (1, 1, True)


def test_nothing_is_found_of_nothing() -> None:
    assert find([], [CHEST]) == find([CHEST], []) == find([CHEST], [""]) == find([], []) == ()


# --- any text ---

PIECES = [
    *"aAbB .!'\"\\&;>\n\0\x85\u2028\u202e\u200d\ufe0f\u0301。中אا“ß1_👍İ\ud800",
    *("&amp;", "&#x41;", "\\u00e9", "\\ud83d", "\\ude00", "&#99999999;", "\\U0001f600", "&foo;", "\\n"),
    *("a b a b ", CHEST, HEADER),
]
hostile = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)
anything = st.one_of(hostile, st.text(max_size=60))


@given(documents=st.lists(anything, max_size=6), around=st.lists(anything, max_size=6), data=st.data())
def test_places_are_sorted_disjoint_visible_and_say_what_is_there(
    documents: list[str], around: list[str], data: st.DataObject
) -> None:
    pieces = (
        st.lists(st.sampled_from([*documents, *around]), max_size=6).map("".join) if documents else anything
    )
    messages = data.draw(st.lists(pieces, max_size=3))
    found = find(documents, messages)
    places = [(item.message, item.start, item.end) for item in found]
    assert places == sorted(places)
    assert all(first[0] < second[0] or first[2] <= second[1] for first, second in pairwise(places))
    for item in found:
        text = messages[item.message]
        assert 0 <= item.start < item.end <= len(text)
        assert text[item.start : item.end] == text[item.start : item.end].strip()
        assert item.exact == (text[item.start : item.end] == documents[item.document].strip())
        assert 0 < item.coverage <= 1
        assert item.coverage == 1 or not item.exact


@settings(max_examples=15)
@given(texts=many(), message=st.lists(st.sampled_from(PROMPT)).map(" ".join))
def test_a_document_that_has_no_word_of_the_prompt_is_never_found(texts: list[str], message: str) -> None:
    assert find(texts, [message, HEADER, CHEST]) == ()


# --- large and repetitive text ---


def cpu_s(documents: Sequence[str], message: str) -> tuple[float, tuple[Found, ...]]:
    begin = time.thread_time()
    found = find(documents, [message])
    return time.thread_time() - begin, found


def test_two_hundred_documents_in_a_hundred_thousand_words() -> None:
    texts = [" ".join(f"w{(n * 7919 + at * at) % 5003}" for at in range(500)) for n in range(200)]
    spent_s, found = cpu_s(texts, "\n\n".join(f"[{n}] {HEADER}\n{text}" for n, text in enumerate(texts)))
    assert [item.document for item in found if item.exact] == list(range(200))
    assert len(found) == 200
    assert spent_s < 20


LONG = "a " * 50_000


@pytest.mark.parametrize(
    ("documents", "message", "count"),
    [
        ([LONG], LONG, 1),
        (["a " * 1000 + "b"], LONG + "b", 1),
        (["a a a a a a a a"], LONG, 6_250),
        (["a"], LONG, 50_000),
        (["a " * 40 + "b " + "a " * 40], ("a " * 40 + "b ") * 500, 250),
        ([HEADER + f" {n}" for n in range(100)], (HEADER + "\n") * 300, 0),
        ([CHEST], "\\" * 100_000 + "\n" + CHEST, 1),
        ([CHEST], "&" + "amp;" * 50_000 + "\n" + CHEST, 1),
        ([CHEST], "!" * 100_000 + CHEST + " " * 100_000, 1),
        (["Yes.", CHEST], "Yes. No. " * 20_000, 0),
    ],
    ids=range(10),
)
def test_repetition_takes_no_more_than_its_length(documents: list[str], message: str, count: int) -> None:
    spent_s, found = cpu_s(documents, message)
    assert len(found) == count
    assert spent_s < 20
