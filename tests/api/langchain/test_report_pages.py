"""The report as text, page and file: what others wrote stands there as text, and does nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.pages import Page

from whence.api.langchain.report_schema import (
    ChunkPassage,
    Removal,
    RetrievalReport,
    RetrievedChunk,
    Sentence,
    Support,
)
from whence.explain.render.visible import visible

HOSTILE = {
    "markup": "</script></style></title><img src=x onerror=alert(1)><script>alert(1)</script>",
    "attribute": '"><style>*{display:none}</style><a href=\'https://evil.test\' onclick="y">',
    "entity": "&lt;b&gt; &#0; &amp;amp; <!-- ]]> <![CDATA[",
    "template": "{{ 7 * 7 }}{% raw %}{# #}",
    "terminal": "[bold red]x[/] :smile: \x1b[31mred\x1b]8;;https://evil.test\x07",
    "controls": "a\x00b\x01c\x7fd\x85e\x9bf\x0bg\x0ch\ri",
    "bidi": "dose \u202e05\u202c mg \u2066x\u2069\u200f\u061c שלום",
    "invisible": "no\u200b \ufefffever\u00ad\u2028\u2029\U000e0041",
    "cjk": "患者は咳をしている。" * 12,
    "emoji": "👩🏽‍⚕️ 🏳️‍🌈 1️⃣",
    "long": "x" * 3000,
    "lines": "  one\r\n\ttwo\n\n three  ",
}
UNSEEN = "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]"


def filled(text: str) -> RetrievalReport:
    """A report that says one text wherever a text of others can stand."""
    passage = ChunkPassage(source="s1", start=0, end=len(text), text=text, share=0.6)
    used = RetrievedChunk(
        name=text,
        text=text,
        metadata={text: text},
        rank=1,
        retrieval_score=0.83,
        in_prompt=True,
        coverage=0.95,
        passages=(passage,),
        share=0.6,
        used=True,
        claimed=True,
        overlaps=(1,),
        removal=Removal(effects=(3.5, -0.25, 0.0), total=3.25),
    )
    late = RetrievedChunk(
        name=text,
        text=text,
        rank=2,
        in_prompt=False,
        coverage=0.0,
        used=False,
        claimed=False,
        overlaps=(0,),
        removal=Removal(reason=text),
    )
    support = Support(chunk=0, share=0.6, score=3.5, passages=(0,))
    return RetrievalReport(
        provider=text,
        model=text,
        method=text,
        evidence="causal",
        unit="nats",
        removal_method="leave_one_out",
        removal_unit="nats",
        claims_method="citations",
        kind="sentence",
        chunks=(used, late),
        sentences=(
            Sentence(
                text=text,
                start=0,
                end=1,
                supports=(support,),
                loses_without=(0,),
                others=(text,),
                claims=(0,),
                supported=True,
            ),
            Sentence(text=text, start=1, end=2, claims=(), supported=False),
            Sentence(text=text, start=2, end=3, claims=(), supported=None, reason=text),
        ),
        caveats=(text,),
    )


@pytest.fixture(params=list(HOSTILE.values()), ids=list(HOSTILE))
def hostile(request: pytest.FixtureRequest) -> str:
    text: str = request.param
    return text


def test_hostile_text_adds_no_element_and_no_attribute(hostile: str) -> None:
    page, plain = Page(filled(hostile).to_html()), Page(filled("plain").to_html())
    assert page.elements == plain.elements
    assert page.open == plain.open == []


def test_hostile_text_stands_in_the_page_as_it_is_drawn(hostile: str) -> None:
    page = Page(filled(hostile).to_html())
    assert page.records == [visible(hostile)] * 2
    assert page.text.count(visible(hostile).strip()) >= 5


def test_no_character_of_page_or_text_is_invisible_or_reorders_it(hostile: str) -> None:
    report = filled(hostile)
    assert re.search(UNSEEN, report.to_html()) is None
    assert re.search(UNSEEN, report.to_text()) is None


def test_the_page_may_do_nothing(hostile: str) -> None:
    page = Page(filled(hostile).to_html())
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "img", "iframe", "link", "object", "form"})
    names = {name for _, attrs in page.elements for name, _ in attrs}
    assert not {name for name in names if name.startswith("on")} | names & {"src", "style"}
    targets = [value or "" for _, attrs in page.elements for name, value in attrs if name == "href"]
    assert set(targets) == {"#c1"}


def test_the_policy_allows_its_own_style_sheet_and_nothing_else() -> None:
    html = filled("plain").to_html()
    style = html.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_each_link_leads_to_a_chunk_of_the_page() -> None:
    page = Page(filled("plain").to_html())
    ids = [value for _, attrs in page.elements for name, value in attrs if name == "id"]
    assert len(ids) == len(set(ids))
    assert {"c1", "c2", "t1", "t2", "t3"} <= set(ids)


def test_the_text_fits_into_80_columns(hostile: str) -> None:
    from rich.cells import cell_len

    text = str(filled(hostile))
    assert max(map(cell_len, text.split("\n"))) <= 80
    assert "\x1b" not in text


def test_the_text_says_what_a_reader_needs() -> None:
    said = " ".join(str(filled("plain")).replace("\N{NO-BREAK SPACE}", " ").split())
    for wanted in (
        "2 chunks retrieved: 1 used, 0 in the prompt and not used, 1 not in the prompt.",
        "1 of 3 sentences without support, 1 of which that is not known.",
        "60 % chunk 1, plain: 3.5 nats",
        "loses 3.5 nats without chunk 1, plain",
        "other plain, which is not one of the chunks",
        "claims chunk 1, plain",
        "without support: it rests on none of the sources",
        "? not known: plain",
        "share 60 % of what is lost without single passages",
        "95 % of its words stand in the prompt",
        "score 0.83, as retrieved",
        "shares text with chunk 2",
        "the answer loses 3.25 nats in all; sentence 1: 3.5",
        "not in the prompt",
        "plain: plain",
    ):
        assert wanted in said, wanted
    # A quarter of a nat is less than the rule counts.
    assert "sentence 2: " not in said


@pytest.mark.parametrize("ending", ["txt", "json", "HTML"])
def test_a_file_holds_what_its_ending_says(ending: str, tmp_path: Path) -> None:
    report = filled("plain")
    written = {"txt": report.to_text, "json": report.to_json, "html": report.to_html}[ending.lower()]()
    path = report.save(tmp_path / f"report.{ending}")
    assert path.read_bytes() == written.encode()
    assert list(tmp_path.iterdir()) == [path]


def test_another_ending_is_refused_and_a_failed_file_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one of \.html, \.json, \.txt"):
        filled("plain").save(tmp_path / "report.pdf")
    taken = tmp_path / "report.txt"
    taken.mkdir()
    with pytest.raises(OSError, match=r"report\.txt"):
        filled("plain").save(taken)
    assert list(tmp_path.iterdir()) == [taken]


def test_json_comes_back_equal(hostile: str) -> None:
    report = filled(hostile)
    assert RetrievalReport.model_validate_json(report.to_json()) == report


@pytest.mark.parametrize(
    ("part", "field", "value", "complaint"),
    [
        ("sentences", "supported", False, "supported where it rests on something"),
        ("sentences", "loses_without", (7,), "a chunk that is not there"),
        ("sentences", "claims", (2,), "a chunk that is not there"),
        ("sentences", "reason", "because", "has the reason why not"),
        ("chunks", "share", None, "a share together"),
        ("chunks", "in_prompt", None, "only in the prompt"),
        ("chunks", "passages", (), "a passage that is not there"),
        ("chunks", "overlaps", (5,), "overlaps with one that is not there"),
        ("chunks", "removal", {"effects": (1.0,), "total": 1.0}, "not one effect for each sentence"),
        ("chunks", "removal", {"effects": (1.0, None, 2.0), "total": 3.0}, "or the reason why not"),
        ("chunks", "removal", {}, "or the reason why not"),
    ],
)
def test_what_cannot_be_is_refused(part: str, field: str, value: object, complaint: str) -> None:
    content = filled("plain").model_dump()
    content[part][0][field] = value
    with pytest.raises(ValidationError, match=complaint):
        RetrievalReport.model_validate(content)
