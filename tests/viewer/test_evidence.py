"""What is shown is what was measured, and is called what it is."""

from __future__ import annotations

from playwright.sync_api import Page, expect
from tests.viewer.conftest import Opens
from tests.viewer.explained import causal, record, scored
from tests.viewer.test_export import Export, export, table

from whence.explain.render.scale import percent
from whence.explain.render.wording import EVIDENCE, TITLES
from whence.explain.tensor import CAVEAT

__all__ = ["export"]
AGAINST = scored((1, 0.5, 0, 0, 0), (-1, 0.2, 0.3, 0, 0), (0.4, -0.9, 0, 2e-5, 0))
"""The first passage speaks for two sentences and against one."""


def chosen(page: Page) -> list[str]:
    return page.locator(".answer [aria-selected=true]").all_inner_texts()


def test_the_whole_output_has_the_mean_of_the_shares_whatever_speaks_against(opens: Opens) -> None:
    page = opens(AGAINST)
    means = AGAINST.shares(0).mean(axis=0)
    assert page.locator(".summary ol .share").all_inner_texts() == [
        percent(float(mean)) for mean in sorted(means, reverse=True) if mean > 0
    ]
    shades = [own.get_attribute("class") or "" for own in page.locator(".sources [role=option]").all()]
    assert [shade[:1] for shade in shades] == ["s", "s", "s", "", ""]
    page.locator(".answer [role=option]").nth(1).click()
    assert (page.locator(".sources [role=option]").first.get_attribute("class") or "").startswith("n")


def test_attention_is_descriptive_beside_whatever_method(opens: Opens, export: Export) -> None:
    page = opens(causal())
    expect(page.locator("h1")).to_have_text(TITLES["causal"])
    for state in ("view=heads", "view=heatmap&picture=attention"):
        page.evaluate("state => { location.hash = state }", state)
        expect(page.locator("h1")).to_have_text(TITLES["descriptive"])
        assert CAVEAT in page.inner_text(".caveats")
        assert EVIDENCE["causal"] not in page.inner_text(".head")
        expect(page.locator(".heads-said, .readout").first).to_be_visible()
        facts, _ = table(export(page, "csv"))
        assert (facts["evidence"], facts["caveats"]) == (EVIDENCE["descriptive"], CAVEAT)
    page.evaluate("location.hash = 'view=heatmap'")
    expect(page.locator("h1")).to_have_text(TITLES["causal"])


def test_a_word_is_its_sentence_where_a_method_knows_no_words(opens: Opens) -> None:
    page = opens(record(), state="#chosen=15-16")
    page.locator("body").press("m")
    expect(page.locator(".balance bdi").first).to_have_text("sentence 1")
    assert len(chosen(page)) == 1


def test_keys_work_on_when_what_had_the_focus_is_gone(opens: Opens) -> None:
    page = opens(record(), state="#view=heatmap")
    page.locator(".plot-picture").focus()
    for key, view in (("1", "record"), ("4", "heads"), ("3", "heatmap")):
        page.keyboard.press(key)
        expect(page.locator(f"#whence-{view}")).to_be_visible()
    page.get_by_role("button", name="Tokens").focus()
    page.locator(".plot-picture").focus()
    page.keyboard.press("m")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()


def test_what_is_not_found_is_not_found_once(opens: Opens) -> None:
    page = opens(record())
    page.get_by_role("searchbox").fill("zzz")
    expect(page.locator(".search .count")).to_have_text("0")


def test_an_export_that_fails_says_so_where_it_is_seen(opens: Opens) -> None:
    page = opens(record())
    page.evaluate("() => { HTMLCanvasElement.prototype.toBlob = (back) => back(null); }")
    page.locator("summary", has_text="Export").click()
    page.get_by_role("button", name="PNG").click()
    expect(page.get_by_role("alert").filter(has_text="Nothing was saved")).to_be_visible()


def test_a_view_without_a_picture_exports_nothing(opens: Opens) -> None:
    """Of it the numbers of another view would be saved, under this one's name."""
    page = opens(AGAINST, state="#view=heads")
    page.locator("summary", has_text="Export").click()
    page.get_by_role("button", name="CSV").click()
    expect(page.get_by_role("alert").filter(has_text="there is no picture")).to_be_visible()


def test_what_is_pressed_is_done_once(opens: Opens) -> None:
    page = opens(record(), state="#chosen=constructor-0&view=heads")
    assert "chosen" not in page.evaluate("location.hash")
    heads = page.get_by_role("group", name="Heads")
    heads.get_by_role("button", name="0", exact=True).click(modifiers=["Control"])
    expect(heads.get_by_role("button", pressed=True)).to_have_text(["0"])
    page.get_by_role("tab", name="Sources").click()
    assert page.inner_text("[role=status]") == "Sources"
    page.get_by_role("tab", name="Heatmap").click()
    box = page.locator(".plot-picture").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + 150
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 80, y)
    page.mouse.move(x, y)
    page.mouse.up()
    page.mouse.click(box["x"] + 5, box["y"] + 5)
    assert "chosen" not in page.evaluate("location.hash")
    page.mouse.click(x, y)
    assert "chosen=target" in page.evaluate("location.hash")


def test_a_kept_token_stays_when_something_is_masked(opens: Opens) -> None:
    page = opens(record(), state="#view=heads&mask-special=no")
    page.locator(".of-query [role=option]").nth(5).click()
    kept = page.locator(".of-query [aria-selected=true]").inner_text()
    page.get_by_label("Mask special tokens").check()
    expect(page.locator(".heads-said")).to_contain_text("Masked")
    assert page.locator(".of-query [aria-selected=true]").inner_text() == kept
