"""The view of sources: ranked, with what the retriever had said, and what became of each document."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from tests.viewer.conftest import Opens
from tests.viewer.hostile import EXECUTED, hostile

from whence.explain.render.scale import percent
from whence.explain.render.visible import visible

pytest.importorskip("langchain_core")

from whence.api.langchain.report_schema import (
    ChunkPassage,
    Removal,
    RetrievalReport,
    RetrievedChunk,
    Sentence,
)

RAW = "&mask-sink=no&mask-special=no"


def retrieved() -> str:
    """The hostile record as two retrieved documents, of which one was not used, and a third left out."""
    record, message, _ = hostile().sources

    def chunk(rank: int, source: str | None, text: str, used: bool | None) -> RetrievedChunk:
        passage = ChunkPassage(source=source or "", start=0, end=len(text), text=text, share=0.5)
        return RetrievedChunk(
            name=text[:80],
            text=text,
            rank=rank,
            retrieval_score=1 - rank / 10,
            in_prompt=source is not None,
            coverage=float(source is not None),
            passages=(passage,) if source is not None else (),
            share=0.5 if source is not None else None,
            used=used,
            removal=Removal(reason="not asked for"),
        )

    assert record.text is not None
    assert message.text is not None
    return RetrievalReport(
        provider="p",
        model="m",
        method="attention",
        evidence="descriptive",
        unit="attention_mass",
        kind="sentence",
        chunks=(
            chunk(1, None, "left out", False),
            chunk(2, "s2", message.text, False),
            chunk(3, "s1", record.text, None),
        ),
        sentences=(Sentence(text="x", start=0, end=1, supported=False),),
        caveats=("Attention is where a model looked.",),
    ).to_json()


def rows(page: Page) -> list[list[str]]:
    return [row.locator("th, td").all_inner_texts() for row in page.locator(".sources-view tbody tr").all()]


def test_the_sources_are_ranked_by_their_share_of_the_whole_or_of_a_sentence(opens: Opens) -> None:
    shares = hostile().shares(0)
    page = opens(hostile(), state="#view=sources" + RAW)
    for what, own in (("the whole output", shares.mean(axis=0)), ("sentence 2", shares[1])):
        if what == "sentence 2":
            page.goto(page.url.split("#")[0] + "#view=sources&chosen=target-1" + RAW)
        expect(page.locator(".sources-view h2")).to_contain_text(what)
        sums = {"s1": own[:-2].sum(), "s2": own[-2], "s3": own[-1]}
        wanted = sorted((float(total) for total in sums.values()), reverse=True)
        assert [row[1].strip() for row in rows(page)] == [percent(share) for share in wanted]


def test_what_was_retrieved_and_not_used_is_said(opens: Opens) -> None:
    page = opens(hostile(), retrieval=retrieved(), state="#view=sources")
    table = {row[3]: row for row in rows(page)}
    assert table["1"][1].strip() == "–"
    assert table["1"][4] == "retrieved, not in the prompt"
    assert table["2"][4] == "retrieved but unused"
    assert table["3"][4] == "in the prompt; not known whether it is used"
    assert [table[rank][2] for rank in "123"] == ["0.9", "0.8", "0.7"]
    assert table["–"][4] == "not retrieved"
    expect(page.locator(".sources-view")).to_contain_text("3 documents retrieved: 1 in the prompt and unused")
    assert not page.evaluate(EXECUTED)


def test_a_source_leads_to_its_place_in_the_record(opens: Opens) -> None:
    page = opens(hostile(), state="#view=sources")
    name = visible(hostile().sources[1].name)
    page.get_by_role("button", name=name).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="Record and summary")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".sources [role=listbox]").nth(1).locator("[role=option]")).to_be_focused()
