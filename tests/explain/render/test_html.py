"""The page: what it says, and that it can do nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable

import pytest
from tests.pages import Page

from whence.explain.render import scale
from whence.explain.render.html import to_frame, to_html
from whence.explain.render.visible import visible
from whence.explain.result import Result
from whence.explain.schema import Explanation, Segment, SourceRecord

Fill = Callable[[str], Explanation]
Build = Callable[..., Explanation]


def test_hostile_text_adds_no_element_and_no_attribute(hostile: str, filled: Fill) -> None:
    hostile_page, plain_page = Page(to_html(filled(hostile))), Page(to_html(filled("plain")))
    assert hostile_page.elements == plain_page.elements
    assert hostile_page.open == plain_page.open == []


def test_hostile_text_stands_in_the_page_as_it_is_drawn(hostile: str, filled: Fill) -> None:
    page = Page(to_html(filled(hostile)))
    assert page.records == [visible(hostile)]
    assert page.text.count(visible(hostile).strip()) >= 10


def test_no_character_of_the_page_is_invisible_or_reorders_it(hostile: str, filled: Fill) -> None:
    page = to_html(filled(hostile))
    forbidden = "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
    assert re.search(forbidden, page) is None


def test_the_page_has_no_script_no_style_attribute_no_handler_and_no_address(compared: Explanation) -> None:
    html = to_html(compared)
    page = Page(html)
    names = {name for _, attrs in page.elements for name, _ in attrs}
    assert not {tag for tag, _ in page.elements} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "form",
        "base",
    }
    assert names <= {
        "lang", "charset", "http-equiv", "content", "name", "class", "id", "href", "dir", "datetime",
        "aria-labelledby",
    }  # fmt: skip
    assert "://" not in html
    assert "url(" not in html
    assert "@import" not in html


def test_every_link_leads_to_a_place_in_the_page(compared: Explanation) -> None:
    page = Page(to_html(compared))
    ids = page.attributes("id")
    assert len(set(ids)) == len(ids)
    links = page.attributes("href")
    assert len(links) > 20
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert set(page.attributes("aria-labelledby")) <= set(ids)


def test_the_policy_allows_the_one_style_sheet_by_its_hash(explanation: Explanation) -> None:
    html = to_html(explanation)
    styles = re.findall(r"<style>(.*?)</style>", html, flags=re.DOTALL)
    assert len(styles) == 1
    digest = base64.b64encode(hashlib.sha256(styles[0].encode()).digest()).decode()
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', html)
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert html.index("Content-Security-Policy") < html.index("<style>")


def test_the_title_names_no_patient(filled: Fill) -> None:
    assert "<title>Whence: explanation</title>" in to_html(filled("Mr. Ivanov"))


def test_evidence_caveats_and_elsewhere_are_always_there(compared: Explanation) -> None:
    page = Page(to_html(compared))
    assert "descriptive: where the model looked, not why it answered" in page.text
    assert "causal: what changed in the output when a passage was taken away" in page.text
    for result in compared.results:
        for caveat in result.caveats:
            assert page.text.index(caveat) < page.text.index("The output\n")
    assert page.text.count("Elsewhere") == 2 * len(compared.output.targets)
    assert "where idle attention rests" in page.text
    assert "not measured: this method only divides what it found in the sources" in page.text


def test_methods_stand_in_their_order_the_primary_first(compared: Explanation) -> None:
    text = Page(to_html(compared)).text
    sentence = text[text.index("Sentence by sentence") :]
    assert sentence.index("A attention") < sentence.index("B leave-one-out")


def test_every_passage_stands_with_its_share_and_its_source(explanation: Explanation) -> None:
    page = Page(to_html(explanation))
    for target in range(len(explanation.output.targets)):
        for passage in explanation.top(target, 5):
            assert passage.text.strip() in page.text
            assert f"#p{passage.segment + 1}" in page.attributes("href")
    assert page.text.count("admission note") > 5 * len(explanation.output.targets)


def test_an_output_that_was_cut_or_given_says_so(build: Build) -> None:
    assert "cut off at the length limit" in to_html(build(finish="length"))
    assert "was given" in to_html(build(given=True, finish=None))
    plain = to_html(build())
    assert "cut off" not in plain
    assert "was given" not in plain


def test_checks_show_their_values_or_why_they_have_none(compared: Explanation) -> None:
    text = Page(to_html(compared)).text
    assert "Fidelity: 1.25 nats (k = 1); 2.5 nats (k = 3)" in text
    assert "Groundedness: 3.5 nats (k = 1)" in text
    assert "not measured: no check was asked for" in text
    assert "attention: the provider does not show its weights" in text


def test_the_shades_are_those_of_the_fixed_scale(build: Build) -> None:
    made = build(
        [("note", "abcdef")], segment_starts=[[0, 1, 2, 3, 4, 5]], values=[[0.5, 0.25, 0.12, 0.05, 0.01, 0]]
    )
    page = Page(to_html(made))
    marks = [dict(attrs)["class"] for tag, attrs in page.elements if tag == "mark"]
    assert marks[5:] == ["s5", "s4", "s3", "s2", "s1"]


def test_the_record_is_shaded_by_the_primary_method(compared: Explanation) -> None:
    page = to_html(compared)
    expected = [f's{scale.step(share)}">{text}</span>' for share, text in (
        (compared.shares(0)[:, 0].max(), "Mr. Ivanov is a 95-year-old man."),
        (compared.shares(0)[:, 1].max(), "The patient was admitted with bronchitis."),
    )]  # fmt: skip
    assert expected[0].startswith("s4")
    assert all(mark in page for mark in expected)


def test_a_word_is_shown_in_its_line(build: Build) -> None:
    text = "Heading\nTake 30 mg daily.\nNext line"
    starts = [[0, 8, 13, 16, 19, 25, 26]]
    values = [[0, 0, 0.5, 0, 0, 0, 0]]
    html = to_html(build([("note", text)], segment_starts=starts, segment_kind="word", values=values))
    assert 'lang="">Take <mark class="s5">30</mark> mg daily.</p>' in html


def test_the_surroundings_of_a_word_are_whole_words(build: Build) -> None:
    text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    starts = [[0, *(match.end() for match in re.finditer(" ", text))]]
    values = [[0.5 if i == 9 else 0 for i in range(16)]]
    html = to_html(build([("note", text)], segment_starts=starts, segment_kind="word", values=values))
    assert ">… three four five six seven eight nine <mark" in html
    assert "ten</mark> eleven twelve thirteen fourteen fifteen …<" in html


def test_a_long_passage_is_cut_in_the_list_and_whole_in_the_record(build: Build) -> None:
    token = "x" * 10_000
    page = Page(to_html(build([("note", token)])))
    assert page.records == [token]
    assert "9400 more characters" in page.text


@pytest.mark.parametrize("kind", ["token", "word"])
def test_tokens_that_leave_gaps_or_share_a_character_keep_the_record_whole(build: Build, kind: str) -> None:
    spans = [(1, 2), (3, 4), (3, 6), (4, 5), (4, 6)] if kind == "token" else [(0, 3), (3, 6)]
    segments = tuple(
        Segment.model_validate({"source": "s0", "kind": kind, "start": a, "end": b}) for a, b in spans
    )
    values = [[0.1] * len(segments)]
    page = Page(to_html(build([("note", " a 👍bc")], segments=segments, values=values)))
    assert page.records == [" a 👍bc"]
    assert {f"p{i + 1}" for i in range(len(segments))} <= set(page.attributes("id"))


def test_an_image_is_named_with_its_regions(build: Build) -> None:
    image = SourceRecord(id="x", name="chest X-ray", kind="image", media_type="image/png", sha256="ab" * 32)
    note = SourceRecord(id="s0", name="empty note", kind="document", text="")
    region = Segment(source="x", kind="region", box=(1, 2, 30, 40))
    page = Page(to_html(build(sources=(note, image), segments=(region,), values=[[0.4]])))
    assert page.text.count("the region from (1, 2) to (30, 40), in pixels") == 2
    assert "An image, not shown here: image/png" in page.text
    assert page.records == [""]


def test_the_frame_may_do_nothing_and_holds_the_page(compared: Explanation) -> None:
    frame = Page(to_frame(compared))
    ((tag, attrs),) = frame.elements
    assert tag == "iframe"
    assert dict(attrs)["sandbox"] == ""
    inner = dict(attrs)["srcdoc"] or ""
    assert inner.replace('href="about:srcdoc#', 'href="#') == to_html(compared)
    assert all(link.startswith("about:srcdoc#") for link in Page(inner).attributes("href"))


def test_hostile_text_does_not_leave_the_frame(hostile: str, filled: Fill) -> None:
    frame, plain = Page(to_frame(filled(hostile))), Page(to_frame(filled("plain")))
    assert [tag for tag, _ in frame.elements] == ["iframe"]
    (inner,), (plain_inner,) = frame.attributes("srcdoc"), plain.attributes("srcdoc")
    assert Page(inner).elements == Page(plain_inner).elements


def test_two_thousand_words_and_250_targets_make_a_page_of_a_few_megabytes(
    build: Build, attention: Callable[..., Result]
) -> None:
    text, output = "word " * 2000, "said " * 250
    made = build(
        [("note", text)],
        output,
        segment_starts=[list(range(0, 10_000, 5))],
        target_starts=list(range(0, 1250, 5)),
        segment_kind="word",
        target_kind="word",
    )
    html = to_html(made)
    assert len(html.encode()) < 2_000_000
    assert html.count('class="passage"') == 5 * 250
    assert html.count(' id="p') == 2000


def test_the_whole_output_as_one_target_is_not_written_twice(build: Build) -> None:
    text = Page(to_html(build(output="He coughs badly.", target_kind="whole"))).text
    assert text.count("He coughs badly.") == 1
    assert "The output as a whole" in text
